//! A connection to an endpoint that speaks HTTP/2: opens streams on it and drives all of them.
//!
//! Who drives ([`Client`]) and who asks ([`Requests`]) are apart: the one is a task, of the other
//! every exchange has a copy. When the last copy and the last stream are gone the connection ends
//! in order. Invariant: [`Lost::Refused`] is said only of what the endpoint promised not to have
//! processed.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use http::{Request, Response, response};

use super::incoming::{Incoming, Stopped};
use super::outgoing::Outgoing;
use super::pings::Pings;
use super::wire::Wire;
use crate::bounds;

/// The connection: nothing of it moves but while this is polled.
pub struct Client {
    connection: Connection<Wire, Bytes>,
    pub pings: Pings,
}

/// The right to open streams.
#[derive(Clone)]
pub struct Requests(SendRequest<Bytes>);

/// A request that was sent, as far as its body is here: the answer's side of the stream.
pub struct Asked {
    answer: ResponseFuture,
    stopped: Rc<Stopped>,
}

/// What came of waiting for a head.
pub enum Heard {
    /// A 1xx; another head follows.
    Interim(Box<response::Parts>),
    /// The answer.
    Final(Box<Answered>),
}

/// An answer: its head, and what its body comes from.
pub struct Answered {
    pub parts: response::Parts,
    recv: RecvStream,
    stopped: Rc<Stopped>,
}

/// Why no answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The endpoint says that it has not processed the request and will not (RFC 9113 section 8.7).
    Refused,
    /// It broke the protocol.
    Malformed,
    /// The stream was reset, or the connection broke.
    Broken,
}

// === impl Client ===

impl Client {
    /// Sends the preface; an answer's head may measure `head_bytes_max`.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn handshake(wire: Wire, head_bytes_max: usize) -> io::Result<(Client, Requests)> {
        let mut builder = Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(bounds::H2_STREAM_WINDOW)
            .initial_connection_window_size(bounds::H2_UPSTREAM_WINDOW)
            // Until the endpoint has said how many it takes, none.
            .initial_max_send_streams(0)
            .max_header_list_size(u32::try_from(head_bytes_max).unwrap_or(u32::MAX))
            .max_send_buffer_size(bounds::H2_SEND_BUFFER)
            .max_concurrent_reset_streams(bounds::H2_UPSTREAM_STREAMS_MAX);
        let shaken = builder.handshake::<_, Bytes>(wire).await;
        let (requests, mut connection) = shaken.map_err(io::Error::other)?;
        let pings = Pings::new(connection.ping_pong());
        Ok((Client { connection, pings }, Requests(requests)))
    }

    /// Moves the connection's frames; ready when it has ended.
    pub fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.connection).poll(cx).map_err(io::Error::other)
    }
}

// === impl Requests ===

impl Requests {
    /// How many streams the endpoint lets be open at once; none before it has said so.
    #[must_use]
    pub fn streams_max(&self) -> usize {
        self.0.current_max_send_streams()
    }

    /// Whether another stream can be opened: no GOAWAY has come, and ids are left.
    pub fn is_open(&mut self) -> bool {
        let ready = self.0.poll_ready(&mut Context::from_waker(Waker::noop()));
        matches!(ready, Poll::Ready(Ok(())))
    }

    /// Opens a stream with this head; `last`: no body follows it.
    ///
    /// # Errors
    /// Nothing was sent: the connection takes no more.
    pub fn open(&mut self, head: Request<()>, last: bool) -> Result<(Asked, Rc<Outgoing>), Lost> {
        let (answer, stream) = self.0.send_request(head, last).map_err(|_| Lost::Refused)?;
        let stopped = Rc::new(Stopped::default());
        let outgoing = Rc::new(Outgoing::of_request(stream, last, stopped.clone()));
        Ok((Asked { answer, stopped }, outgoing))
    }
}

// === impl Asked ===

impl Asked {
    /// The next head.
    ///
    /// # Errors
    /// Why none comes.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Heard, Lost>> {
        match ready!(self.answer.poll_informational(cx)) {
            Some(Ok(head)) => {
                let (parts, ()) = head.into_parts();
                return Poll::Ready(Ok(Heard::Interim(Box::new(parts))));
            }
            Some(Err(error)) => return Poll::Ready(Err(lost(&error))),
            None => {}
        }
        let head = ready!(std::pin::Pin::new(&mut self.answer).poll(cx));
        Poll::Ready(head.map_err(|error| lost(&error)).map(|head| {
            let (parts, recv) = Response::into_parts(head);
            Heard::Final(Box::new(Answered { parts, recv, stopped: self.stopped.clone() }))
        }))
    }
}

// === impl Answered ===

impl Answered {
    /// Whether the head was all there is.
    #[must_use]
    pub fn is_bodyless(&self) -> bool {
        self.recv.is_end_stream()
    }

    /// The body; `length` as the head declares it.
    #[must_use]
    pub fn into_body(self, length: Option<u64>) -> Incoming {
        Incoming::new(self.recv, length, self.stopped)
    }
}

fn lost(error: &h2::Error) -> Lost {
    let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    // RFC 9113 section 6.8: the crate says this of streams above the GOAWAY's last one only.
    if error.is_remote() && (refused || error.is_go_away()) {
        Lost::Refused
    } else if error.is_library() {
        Lost::Malformed
    } else {
        Lost::Broken
    }
}
