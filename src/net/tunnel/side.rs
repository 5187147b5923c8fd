//! What a tunnel needs of either of its ends, and the end that is a socket.
//!
//! Whatever else carries a tunnel (a stream of HTTP/2) is another `impl`; the relay knows no more
//! than this. Invariant: a receive is called when there is something to receive, so that no buffer
//! waits for a peer.

use std::future::Future;
use std::io;

use crate::net::buffer::{Buf, Class};
use crate::net::stream::Stream;

/// One end of a tunnel. At most one receive and one send are pending at a time.
pub trait Side {
    /// Waits, without a buffer, until there is something to receive. May be dropped at any time.
    fn readable(&self) -> impl Future<Output = io::Result<()>>;
    /// Takes what is there; called when it is readable. Never dropped while pending.
    fn receive(&self, class: Class) -> impl Future<Output = io::Result<Received>>;
    /// Sends all of it.
    fn send(&self, data: Buf) -> impl Future<Output = io::Result<()>>;
    /// Tells the peer that nothing more comes; receiving goes on.
    fn finish(&self) -> impl Future<Output = ()>;
    /// Ends both directions: whatever is pending completes.
    fn abort(&self);
    /// Ends receiving (what is pending completes), and makes the end of this side one that cannot
    /// be taken for an end in order.
    fn reset(&self);
    /// Bytes the peer's side of the network has taken so far.
    fn sent(&self) -> u64;
    /// Whether the connection is known to be broken.
    fn is_broken(&self) -> bool;
}

/// What a receive brought.
pub enum Received {
    Data(Buf),
    /// No data after all.
    Nothing,
    /// The peer has finished.
    End,
}

// === impl Side ===

impl Side for Stream {
    fn readable(&self) -> impl Future<Output = io::Result<()>> {
        Stream::readable(self)
    }

    async fn receive(&self, class: Class) -> io::Result<Received> {
        let (read, buf) = self.read_once(Buf::of(class)).await;
        Ok(match read? {
            None => Received::Nothing,
            Some(0) => Received::End,
            Some(_) => Received::Data(buf),
        })
    }

    async fn send(&self, data: Buf) -> io::Result<()> {
        self.write_all(data).await.0
    }

    fn finish(&self) -> impl Future<Output = ()> {
        Stream::finish(self)
    }

    fn abort(&self) {
        self.switch().abort();
    }

    fn reset(&self) {
        self.reset_on_close();
        self.switch().stop_reading();
    }

    fn sent(&self) -> u64 {
        self.progress()
    }

    fn is_broken(&self) -> bool {
        Stream::is_broken(self)
    }
}
