//! A message's body that arrives over HTTP/2: buffers of data, then perhaps trailers.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf as _, Bytes};
use h2::RecvStream;
use http::HeaderMap;

use crate::http::h2::translate;
use crate::net::buffer::{Buf, Class};

/// The receiving half of a stream.
pub struct Incoming {
    stream: RecvStream,
    /// Received and not yet given out.
    ahead: Bytes,
    /// Given out and not yet acknowledged: the peer may send as much again once it is taken.
    owed: usize,
    class: Class,
    received: u64,
    /// INVARIANT: sound.
    trailers: Option<HeaderMap>,
    done: bool,
    stopped: Rc<Stopped>,
}

/// Tells who waits for data that nobody needs them any more.
#[derive(Default)]
pub struct Stopped {
    asked: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

/// There are no more data, and the body is not complete: the peer reset the stream, the connection
/// broke, or we were asked to stop.
#[derive(Debug)]
pub struct Cut;

// === impl Stopped ===

impl Stopped {
    /// From now on waiting for data ends at once.
    pub fn ask(&self) {
        self.asked.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

// === impl Incoming ===

impl Incoming {
    /// The body of which `length` says how long it is, if anybody knows.
    #[must_use]
    pub fn new(stream: RecvStream, length: Option<u64>, stopped: Rc<Stopped>) -> Incoming {
        let done = stream.is_end_stream();
        Incoming {
            stream,
            ahead: Bytes::new(),
            owed: 0,
            class: length.map_or(Class::Small, Class::holding),
            received: 0,
            trailers: None,
            done,
            stopped,
        }
    }

    /// Whether the body is complete and nothing of it is left to give out.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Bytes of data given out.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The trailer fields that go on, once the body is done: names that mean something to whoever
    /// is next may only stand in a head (RFC 9110 section 6.5.1).
    pub fn trailers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.trailers.iter().flat_map(translate::trailers)
    }

    /// Data that are here already.
    ///
    /// # Errors
    /// When the stream was cut.
    pub fn ready(&mut self) -> Result<Option<Buf>, Cut> {
        match self.poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(next) => next,
            Poll::Pending => Ok(None),
        }
    }

    /// The next data, as much as is here; `None` when the body is complete.
    ///
    /// # Errors
    /// When the stream was cut.
    pub async fn next(&mut self) -> Result<Option<Buf>, Cut> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Ready once there is something to take: data, the end, or a cut.
    pub fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.done || self.stopped.asked.get() || !self.ahead.is_empty() {
            return Poll::Ready(());
        }
        self.acknowledge();
        match self.stream.poll_data(cx) {
            Poll::Ready(Some(Ok(data))) => {
                self.ahead = data;
                Poll::Ready(())
            }
            // The end, or an error, says so again.
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => {
                self.stopped.waker.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Buf>, Cut>> {
        if self.done {
            return Poll::Ready(Ok(None));
        }
        if self.stopped.asked.get() {
            return Poll::Ready(Err(Cut));
        }
        self.acknowledge();
        let mut buf: Option<Buf> = None;
        loop {
            if self.ahead.is_empty() {
                match self.stream.poll_data(cx) {
                    Poll::Ready(Some(Ok(data))) => self.ahead = data,
                    // What came before the reset still counts; the next time says that it was cut.
                    Poll::Ready(Some(Err(_))) if buf.is_some() => break,
                    Poll::Ready(Some(Err(_))) => return Poll::Ready(Err(Cut)),
                    Poll::Ready(None) => match self.stream.poll_trailers(cx) {
                        // RFC 9113 section 8.1.1: malformed to its last field, not complete.
                        Poll::Ready(Ok(Some(map))) if translate::check_trailers(&map).is_err() => {
                            return Poll::Ready(Err(Cut));
                        }
                        Poll::Ready(Ok(trailers)) => {
                            self.trailers = trailers;
                            self.done = true;
                            break;
                        }
                        Poll::Ready(Err(_)) => return Poll::Ready(Err(Cut)),
                        Poll::Pending => break,
                    },
                    Poll::Pending => break,
                }
            }
            // An empty frame is no data: given out, it would read as the end once it is a chunk.
            if self.ahead.is_empty() {
                if self.stream.is_end_stream() {
                    self.done = true;
                    break;
                }
                continue;
            }
            let class = self.class;
            let buf = buf.get_or_insert_with(|| Buf::of(class));
            let n = buf.put_some(&self.ahead);
            self.ahead.advance(n);
            self.owed += n;
            self.received += n as u64;
            if self.stream.is_end_stream() && self.ahead.is_empty() {
                self.done = true;
                break;
            }
            if buf.room() == 0 {
                self.class = self.class.grown();
                break;
            }
        }
        match buf {
            Some(buf) => Poll::Ready(Ok(Some(buf))),
            None if self.done => Poll::Ready(Ok(None)),
            None => {
                self.stopped.waker.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }

    fn acknowledge(&mut self) {
        let owed = std::mem::take(&mut self.owed);
        if owed > 0 {
            // An error means that the stream is gone, which the next poll says.
            let _ = self.stream.flow_control().release_capacity(owed);
        }
    }
}
