//! The use of an endpoint for one exchange: a whole connection of HTTP/1, or one stream of HTTP/2.
//!
//! Whoever holds a lease sends a head, data and an end, reads a head, and takes the body; which of
//! the two carries it shows in no other place. Invariant: a lease that is dropped before its
//! exchange is complete ends what it stands for: the connection is closed, the stream reset.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;

use super::pool::{Idle, Local, Member};
use super::shared::Place;
use crate::clock::Tick;
use crate::failure::Failure;
use crate::http::h2::translate::{response_text, to_request, to_trailers};
use crate::http::{Method, Reject, ResponseHead, Scheme, write};
use crate::message::{Body, HeadOut, Inbound};
use crate::net::buffer::Buf;
use crate::net::h2::{Answered, Asked, Heard, Lost, Outgoing};
use crate::net::patience::{Ended, Patience};
use crate::net::stream::Stream;
use crate::observe::cells::Eviction;

/// A connection and what its reuse depends on.
pub struct Conn {
    pub stream: Stream,
    pub(super) born: Tick,
    pub(super) requests: u64,
}

/// The use of an endpoint for one exchange. Dropped before [`Lease::give_back`]: ended.
pub struct Lease {
    way: Way,
    pub member: Rc<Member>,
    local: Rc<Local>,
    /// The connection had carried an exchange before.
    pub reused: bool,
}

enum Way {
    Own {
        /// Boxed: a lease is moved from step to step of an exchange.
        conn: Option<Box<Conn>>,
        /// Bytes sent and received over the connection before this exchange.
        before: (u64, u64),
    },
    Shared(Box<OneStream>),
}

/// A stream on a shared connection.
struct OneStream {
    asked: RefCell<Option<Asked>>,
    answered: RefCell<Option<Answered>>,
    outgoing: RefCell<Option<Rc<Outgoing>>>,
    /// The endpoint has not processed the request, and says so.
    refused: Cell<bool>,
    /// The last: freed when the stream's handles are gone.
    place: Place,
}

/// How far sending came.
pub struct Sent {
    /// Something has left that the endpoint may have acted on.
    pub any: bool,
    pub ended: Result<(), Ended>,
}

// === impl Conn ===

impl Conn {
    pub(super) fn new(stream: Stream, born: Tick) -> Box<Conn> {
        Box::new(Conn { stream, born, requests: 0 })
    }
}

// === impl Lease ===

impl Lease {
    pub(super) fn own(conn: Box<Conn>, member: &Rc<Member>, local: &Rc<Local>) -> Lease {
        let before = (conn.stream.progress(), conn.stream.received());
        let reused = conn.requests > 0;
        Lease::new(Way::Own { conn: Some(conn), before }, member, local, reused)
    }

    pub(super) fn shared(place: Place, local: &Rc<Local>) -> Lease {
        let (member, reused) = (place.member().clone(), place.reused());
        let stream = OneStream {
            asked: RefCell::default(),
            answered: RefCell::default(),
            outgoing: RefCell::default(),
            refused: Cell::new(false),
            place,
        };
        Lease::new(Way::Shared(Box::new(stream)), &member, local, reused)
    }

    fn new(way: Way, member: &Rc<Member>, local: &Rc<Local>, reused: bool) -> Lease {
        member.begins();
        Lease { way, member: member.clone(), local: local.clone(), reused }
    }

    /// The connection, if this is all of one: an HTTP/1 one.
    #[must_use]
    pub fn h1(&self) -> Option<&Stream> {
        match &self.way {
            Way::Own { conn, .. } => conn.as_ref().map(|conn| &conn.stream),
            Way::Shared(_) => None,
        }
    }

    /// The upstream on this worker.
    #[must_use]
    pub fn local(&self) -> &Rc<Local> {
        &self.local
    }

    /// Whether the endpoint has said that it did not process the request.
    #[must_use]
    pub fn was_refused(&self) -> bool {
        matches!(&self.way, Way::Shared(stream) if stream.refused.get())
    }

    /// The endpoint did not answer in time: is it there at all?
    pub fn doubt(&self) {
        if let Way::Shared(stream) = &self.way {
            stream.place.doubt();
        }
    }

    /// Sends a head, and the body that is here. `streams`: more of it follows.
    ///
    /// # Errors
    /// When the head cannot be sent as HTTP/2.
    pub async fn send(
        &self,
        patience: &Patience<'_>,
        head: Buf,
        body: &[u8],
        streams: bool,
    ) -> Result<Sent, Failure> {
        match &self.way {
            Way::Own { conn, .. } => Ok(send_h1(patience, conn.as_deref(), head, body).await),
            Way::Shared(stream) => {
                let secure = self.local.def.tls.is_some();
                let scheme = if secure { Scheme::Https } else { Scheme::Http };
                stream.send(patience, &head, scheme, body, streams).await
            }
        }
    }

    /// Sends data of a body that streams; `last`: nothing follows, no trailers either.
    ///
    /// # Errors
    /// How the write ended.
    pub async fn data(
        &self,
        patience: &Patience<'_>,
        mut data: Buf,
        chunked: bool,
        last: bool,
    ) -> Result<(), Ended> {
        match &self.way {
            Way::Own { conn, .. } => {
                if chunked {
                    data.frame_chunk(false);
                }
                write(patience, conn.as_deref(), data).await
            }
            Way::Shared(stream) => {
                let outgoing = stream.outgoing()?;
                patience.wait(outgoing.data(data, last)).await?.map_err(Ended::Io)
            }
        }
    }

    /// Ends a body that streamed.
    ///
    /// # Errors
    /// How the write ended.
    pub async fn end<'f>(
        &self,
        patience: &Patience<'_>,
        chunked: bool,
        trailers: impl Iterator<Item = (&'f [u8], &'f [u8])>,
    ) -> Result<(), Ended> {
        match &self.way {
            Way::Own { .. } if !chunked => Ok(()),
            Way::Own { conn, .. } => {
                let mut tail = HeadOut::new();
                write::last_chunk_with(&mut tail, trailers);
                match tail.into_buf() {
                    Some(tail) => write(patience, conn.as_deref(), tail).await,
                    None => Err(Ended::Io(io::ErrorKind::OutOfMemory.into())),
                }
            }
            Way::Shared(stream) => {
                // They were parsed, strictly: none is refused.
                let map = to_trailers(trailers).unwrap_or_default();
                let outgoing = stream.outgoing()?;
                outgoing.end((!map.is_empty()).then_some(map)).map_err(Ended::Io)
            }
        }
    }

    /// The next head a stream brings, as HTTP/1.1 text.
    pub(super) async fn hear(
        &self,
        patience: &Patience<'_>,
        method: Method,
    ) -> Result<Result<Buf, Unheard>, Ended> {
        match &self.way {
            Way::Own { .. } => Ok(Err(Unheard::Lost(Lost::Broken))),
            Way::Shared(stream) => stream.hear(patience, method).await,
        }
    }

    /// The body of the answer whose head `block` began with.
    #[must_use]
    pub fn body(&self, head: &ResponseHead, block: Buf) -> Body<'_> {
        match &self.way {
            Way::Own { conn: Some(conn), .. } => {
                Body::H1(Inbound::new(&conn.stream, head.framing, Some(block)))
            }
            Way::Own { conn: None, .. } => Body::Empty,
            Way::Shared(stream) => match stream.answered.take() {
                Some(answered) if !answered.is_bodyless() => {
                    Body::H2(Box::new(answered.into_body(head.content_length)))
                }
                _ => Body::Empty,
            },
        }
    }

    /// Ends whatever is pending: neither side is waited for any more.
    pub fn abort(&self) {
        match &self.way {
            Way::Own { conn, .. } => {
                if let Some(conn) = conn {
                    conn.stream.switch().abort();
                }
            }
            Way::Shared(stream) => {
                if let Ok(outgoing) = stream.outgoing() {
                    outgoing.stop_reading();
                    outgoing.reset();
                }
            }
        }
    }

    /// The exchange is complete and nothing was left over: the connection can carry another.
    pub fn give_back(mut self, now: Tick) {
        self.count();
        // A stream that is complete ends with its handles.
        let Way::Own { conn, .. } = &mut self.way else { return };
        let Some(mut conn) = conn.take() else { return };
        conn.requests += 1;
        // Its PROXY header speaks for one client only.
        let personal = self.local.def.conf.proxy_protocol.is_some();
        if personal || self.local.is_spent(&conn, std::time::Duration::ZERO, now) {
            self.local.cells().connection_evicted(Eviction::Expired);
            return;
        }
        // The pool may have been drained, or the endpoint dropped, while this exchange ran.
        if self.member.is_retired() || !self.local.rests_one_more() {
            self.local.cells().connection_evicted(Eviction::Excess);
            return;
        }
        self.member.keep(Idle { conn, since: now });
    }

    /// Counts the exchange's bytes. A shared connection counts its own.
    fn count(&self) {
        let Way::Own { conn: Some(conn), before: (sent, received) } = &self.way else { return };
        let stream = &conn.stream;
        self.local.cells().bytes_exchanged(stream.progress() - sent, stream.received() - received);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.count();
        self.member.ends();
    }
}

/// Why no head was heard.
pub enum Unheard {
    Lost(Lost),
    /// It cannot be said in HTTP/1.1, or breaks a rule of either.
    Malformed(Reject),
}

// === impl OneStream ===

impl OneStream {
    fn outgoing(&self) -> Result<Rc<Outgoing>, Ended> {
        let outgoing = self.outgoing.borrow().clone();
        outgoing.ok_or_else(|| Ended::Io(io::ErrorKind::NotConnected.into()))
    }

    async fn send(
        &self,
        patience: &Patience<'_>,
        head: &Buf,
        scheme: Scheme,
        body: &[u8],
        streams: bool,
    ) -> Result<Sent, Failure> {
        let request = to_request(head.filled(), scheme).map_err(Reject::failure)?;
        let last = body.is_empty() && !streams;
        let Ok((asked, outgoing)) = self.place.open(request, last) else {
            self.refused.set(true);
            let gone = io::ErrorKind::NotConnected.into();
            return Ok(Sent { any: false, ended: Err(Ended::Io(gone)) });
        };
        self.asked.replace(Some(asked));
        self.outgoing.replace(Some(outgoing.clone()));
        let mut rest = body;
        while !rest.is_empty() {
            let mut part = Buf::with_room(rest.len());
            let n = part.put_some(rest);
            rest = &rest[n..];
            let sent = patience.wait(outgoing.data(part, rest.is_empty() && !streams)).await;
            if let Err(ended) = sent.and_then(|sent| sent.map_err(Ended::Io)) {
                return Ok(Sent { any: true, ended: Err(ended) });
            }
        }
        Ok(Sent { any: true, ended: Ok(()) })
    }

    async fn hear(
        &self,
        patience: &Patience<'_>,
        method: Method,
    ) -> Result<Result<Buf, Unheard>, Ended> {
        let heard = poll_fn(|cx| match &mut *self.asked.borrow_mut() {
            Some(asked) => asked.poll_head(cx),
            None => Poll::Ready(Err(Lost::Broken)),
        });
        let mut text = HeadOut::new();
        let written = match patience.wait(heard).await? {
            Ok(Heard::Interim(parts)) => response_text(&parts, method, false, &mut text),
            Ok(Heard::Final(answered)) => {
                self.asked.take();
                let ends = answered.is_bodyless();
                let written = response_text(&answered.parts, method, ends, &mut text);
                self.answered.replace(Some(*answered));
                written
            }
            Err(lost) => {
                self.refused.set(lost == Lost::Refused);
                return Ok(Err(Unheard::Lost(lost)));
            }
        };
        let text = written.and_then(|()| text.into_buf().ok_or(Reject::HeadTooLarge));
        Ok(text.map_err(Unheard::Malformed))
    }
}

async fn send_h1(
    patience: &Patience<'_>,
    conn: Option<&Conn>,
    mut first: Buf,
    body: &[u8],
) -> Sent {
    let Some(conn) = conn else {
        return Sent { any: false, ended: Err(Ended::Io(io::ErrorKind::NotConnected.into())) };
    };
    let before = conn.stream.progress();
    let copied = first.put_some(body);
    let mut ended = patience.write(&conn.stream, first).await;
    let mut rest = &body[copied..];
    while ended.is_ok() && !rest.is_empty() {
        let mut more = Buf::with_room(rest.len());
        let n = more.put_some(rest);
        rest = &rest[n..];
        ended = patience.write(&conn.stream, more).await;
    }
    Sent { any: conn.stream.progress() != before, ended }
}

async fn write(patience: &Patience<'_>, conn: Option<&Conn>, buf: Buf) -> Result<(), Ended> {
    match conn {
        Some(conn) => patience.write(&conn.stream, buf).await,
        None => Err(Ended::Io(io::ErrorKind::NotConnected.into())),
    }
}
