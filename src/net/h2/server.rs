//! A client's HTTP/2 connection: accepts its requests and drives all of its streams.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::ext::Protocol;
use h2::server::{Builder, Connection};
use h2::{Reason, RecvStream};
use http::Request;

use super::incoming::{Incoming, Stopped};
use super::outgoing::Outgoing;
use super::pings::Pings;
use super::wire::Wire;
use crate::bounds;

/// A connection whose preface has been exchanged.
pub struct Server {
    connection: Connection<Wire, Bytes>,
    pub pings: Pings,
    /// Streams whose answers are not complete.
    open: Rc<Cell<u32>>,
}

/// A request: its head, and the two halves of its stream.
pub struct Accepted {
    pub parts: http::request::Parts,
    /// What an extended CONNECT asks for (RFC 8441).
    pub protocol: Option<Protocol>,
    recv: RecvStream,
    stopped: Rc<Stopped>,
    pub outgoing: Rc<Outgoing>,
}

// === impl Server ===

impl Server {
    /// Exchanges prefaces; a head may measure `head_bytes_max`.
    ///
    /// # Errors
    /// What the client sent instead.
    pub async fn handshake(wire: Wire, head_bytes_max: usize) -> io::Result<Server> {
        let mut builder = Builder::new();
        builder
            .enable_connect_protocol()
            .initial_window_size(bounds::H2_STREAM_WINDOW)
            .initial_connection_window_size(bounds::H2_CONNECTION_WINDOW)
            .max_concurrent_streams(bounds::H2_STREAMS_MAX)
            .max_header_list_size(u32::try_from(head_bytes_max).unwrap_or(u32::MAX))
            .max_send_buffer_size(bounds::H2_SEND_BUFFER)
            .max_pending_accept_reset_streams(bounds::H2_RESETS_PENDING)
            .max_concurrent_reset_streams(bounds::H2_RESETS_REMEMBERED)
            .max_local_error_reset_streams(Some(bounds::H2_LOCAL_RESETS));
        let mut connection = builder.handshake::<_, Bytes>(wire).await.map_err(io::Error::other)?;
        let pings = Pings::new(connection.ping_pong());
        Ok(Server { connection, pings, open: Rc::default() })
    }

    /// The next request; `None` when the connection has ended. Nothing of the connection moves but
    /// while this is polled.
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Accepted>>> {
        let Some(accepted) = ready!(self.connection.poll_accept(cx)) else {
            return Poll::Ready(None);
        };
        Poll::Ready(Some(accepted.map_err(io::Error::other).map(|(request, respond)| {
            let (mut parts, recv) = Request::into_parts(request);
            let protocol = parts.extensions.remove::<Protocol>();
            let stopped = Rc::new(Stopped::default());
            let outgoing = Rc::new(Outgoing::new(respond, stopped.clone(), self.open.clone()));
            Accepted { parts, protocol, recv, stopped, outgoing }
        })))
    }

    /// No new streams: GOAWAY, twice as RFC 9113 section 6.8 asks; those there are go on.
    pub fn leave(&mut self) {
        self.connection.graceful_shutdown();
    }

    /// The client abuses the protocol: GOAWAY with ENHANCE_YOUR_CALM, and the end.
    pub fn calm_down(&mut self) {
        self.connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
    }
}

// === impl Accepted ===

impl Accepted {
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
