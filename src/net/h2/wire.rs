//! A stream as the `h2` crate wants one: polled reads and writes over our owned-buffer operations.
//!
//! What the crate writes is gathered in one buffer until it flushes, so that a turn's frames leave
//! in one send. While nothing arrives no buffer is held. Invariant: an operation that is under way
//! is never dropped: the last act of a `Wire` is to end the socket and see its operations off.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::bounds;
use crate::clock;
use crate::http::h2::meter::{AbuseKind, Meter};
use crate::net::Timer;
use crate::net::buffer::{self, Buf, Class};
use crate::net::patience::{Arrival, arrival};
use crate::net::stream::Stream;
use crate::net::task;

/// An operation under way.
type Operation<T> = Pin<Box<dyn Future<Output = T>>>;

/// Counts what a client does with HTTP/2, and says when it is abuse.
pub struct Guard {
    meter: RefCell<Meter>,
    abuse: Cell<Option<AbuseKind>>,
}

/// A stream with HTTP/2 on it.
pub struct Wire {
    stream: Rc<Stream>,
    timer: Rc<Timer>,
    guard: Option<Rc<Guard>>,
    /// Received and not yet taken.
    ahead: Option<Buf>,
    reading: Option<Operation<io::Result<Option<Buf>>>>,
    /// Written by the crate and not yet sent.
    gathered: Option<Buf>,
    /// What the next gathering buffer is: grows while they fill up.
    class: Class,
    sending: Option<Operation<io::Result<()>>>,
}

// === impl Guard ===

impl Guard {
    /// Of a connection that begins now.
    #[must_use]
    pub fn new() -> Guard {
        Guard { meter: RefCell::new(Meter::new(clock::coarse())), abuse: Cell::new(None) }
    }

    /// What the client has done, if the connection must end for it.
    #[must_use]
    pub fn abuse(&self) -> Option<AbuseKind> {
        self.abuse.get()
    }

    fn received(&self, bytes: &[u8]) {
        if let Err(kind) = self.meter.borrow_mut().received(bytes, clock::coarse()) {
            self.abuse.set(Some(kind));
        }
    }

    fn sent(&self, bytes: &[u8]) {
        if let Err(kind) = self.meter.borrow_mut().sent(bytes) {
            self.abuse.set(Some(kind));
        }
    }
}

impl Default for Guard {
    fn default() -> Self {
        Guard::new()
    }
}

// === impl Wire ===

impl Wire {
    /// HTTP/2 on `stream`, whose first bytes may be in `ahead` already.
    #[must_use]
    pub fn new(stream: Rc<Stream>, ahead: Option<Buf>, guard: Option<Rc<Guard>>) -> Wire {
        if let (Some(guard), Some(buf)) = (&guard, &ahead) {
            guard.received(buf.filled());
        }
        Wire {
            stream,
            timer: Rc::new(Timer::new()),
            guard,
            ahead,
            reading: None,
            gathered: None,
            class: Class::Small,
            sending: None,
        }
    }

    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(sending) = &mut self.sending else { return Poll::Ready(Ok(())) };
        let sent = ready!(sending.as_mut().poll(cx));
        self.sending = None;
        Poll::Ready(sent)
    }

    fn send_gathered(&mut self) {
        let Some(buf) = self.gathered.take() else { return };
        self.class = if buf.room() == 0 { self.class.grown() } else { Class::Small };
        let stream = self.stream.clone();
        self.sending = Some(Box::pin(async move { stream.write_all(buf).await.0 }));
    }
}

/// Waits for bytes: a moment with a buffer in hand, then holding none.
async fn receive(stream: Rc<Stream>, timer: Rc<Timer>) -> io::Result<Option<Buf>> {
    if buffer::bytes_in_use() < bounds::WARM_BYTES_MAX {
        timer.arm(clock::coarse().after(bounds::WARM));
        match arrival(&stream, &timer, &mut None).await {
            Arrival::Bytes(buf) => return Ok(Some(buf)),
            Arrival::End => return Ok(None),
            Arrival::Timer => {}
        }
    }
    stream.readable().await?;
    let (read, buf) = stream.read(Buf::small()).await;
    Ok((read? > 0).then_some(buf))
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.ahead.is_none() {
            let (stream, timer) = (&this.stream, &this.timer);
            let reading = this
                .reading
                .get_or_insert_with(|| Box::pin(receive(stream.clone(), timer.clone())));
            let read = ready!(reading.as_mut().poll(cx));
            this.reading = None;
            this.ahead = read?;
            if let (Some(guard), Some(buf)) = (&this.guard, &this.ahead) {
                guard.received(buf.filled());
            }
        }
        if this.guard.as_ref().is_some_and(|guard| guard.abuse().is_some()) {
            // Not a byte of it goes further. Who polls us looks at the guard next.
            return Poll::Pending;
        }
        if let Some(buf) = &mut this.ahead {
            let n = buf.len().min(into.remaining());
            into.put_slice(&buf.filled()[..n]);
            buf.consume(n);
            if buf.is_empty() {
                this.ahead = None;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.gathered.as_ref().is_some_and(|buf| buf.room() == 0) {
            // One buffer under way and one full: the peer is slower than we are.
            ready!(this.poll_sent(cx))?;
            this.send_gathered();
        }
        let class = this.class;
        let gathered = this.gathered.get_or_insert_with(|| Buf::of(class));
        let put = gathered.put_some(bytes);
        if let Some(guard) = &this.guard {
            guard.sent(&bytes[..put]);
        }
        Poll::Ready(Ok(put))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_sent(cx))?;
            if self.gathered.is_none() {
                return Poll::Ready(Ok(()));
            }
            self.send_gathered();
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The connection's owner announces the end (TLS close_notify, FIN) itself.
        self.as_mut().poll_flush(cx)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let (reading, sending) = (self.reading.take(), self.sending.take());
        if reading.is_none() && sending.is_none() {
            return;
        }
        if sending.is_some() {
            self.stream.switch().abort();
        } else {
            // The owner may still say goodbye (TLS close_notify).
            self.stream.switch().stop_reading();
        }
        task::spawn(async move {
            if let Some(reading) = reading {
                let _ = reading.await;
            }
            if let Some(sending) = sending {
                let _ = sending.await;
            }
        });
    }
}
