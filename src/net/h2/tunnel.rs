//! A stream of HTTP/2 as one end of a tunnel (RFC 8441): its DATA are the tunnel's bytes.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;

use super::incoming::Incoming;
use super::outgoing::Outgoing;
use crate::net::buffer::{Buf, Class};
use crate::net::tunnel::{Received, Side};

/// Both halves of a stream that has left HTTP.
pub struct StreamSide {
    incoming: RefCell<Incoming>,
    outgoing: Rc<Outgoing>,
}

// === impl StreamSide ===

impl StreamSide {
    /// The stream on which `outgoing` has answered.
    #[must_use]
    pub fn new(incoming: Incoming, outgoing: Rc<Outgoing>) -> StreamSide {
        StreamSide { incoming: RefCell::new(incoming), outgoing }
    }
}

impl Side for StreamSide {
    async fn readable(&self) -> io::Result<()> {
        poll_fn(|cx| self.incoming.borrow_mut().poll_readable(cx)).await;
        Ok(())
    }

    async fn receive(&self, _class: Class) -> io::Result<Received> {
        let mut incoming = self.incoming.borrow_mut();
        match incoming.ready() {
            Ok(Some(data)) => Ok(Received::Data(data)),
            Ok(None) if incoming.is_done() => Ok(Received::End),
            Ok(None) => Ok(Received::Nothing),
            Err(_) => Err(io::ErrorKind::ConnectionReset.into()),
        }
    }

    async fn send(&self, data: Buf) -> io::Result<()> {
        self.outgoing.data(data, false).await
    }

    async fn finish(&self) {
        // An error: the stream has ended already.
        let _ = self.outgoing.end(None);
    }

    fn abort(&self) {
        self.outgoing.reset();
        self.outgoing.stop_reading();
    }

    fn reset(&self) {
        self.abort();
    }

    fn sent(&self) -> u64 {
        self.outgoing.sent()
    }

    fn is_broken(&self) -> bool {
        self.outgoing.is_gone()
    }
}
