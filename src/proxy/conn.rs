//! An HTTP/1 connection: waits for a request without a buffer, reads its head, has it served, and
//! decides whether another may follow.
//!
//! While a connection waits it is this file's small future; each request runs in a boxed one that
//! is gone when the answer is. Invariant: the next request is read only when the last one's body
//! was read to its end and its answer was complete.

use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use smallvec::SmallVec;

use super::context::Context;
use super::h2;
use super::link::{Link, drained};
use super::serve::arrive;
use super::tunnel::Tunnel;
use super::welcome::welcome;
use crate::bounds;
use crate::clock::{self, COARSE_LAG, Tick};
use crate::failure::Failure;
use crate::http::h2::PREFACE;
use crate::http::{Framing, Parsed, Reject, RequestHead, Scan, parse_request};
use crate::integration::forward::address;
use crate::message::{Body, Inbound, Reply, Request, Spare};
use crate::net::Timer;
use crate::net::buffer::{self, Buf};
use crate::net::patience::{Arrival, Canceller, ClientWatch, Ended, Patience, arrival};
use crate::net::stream::Stream;
use crate::net::task;
use crate::snapshot::Listener;

/// A client's connection.
struct Conn {
    link: Link,
    /// Shared with the watch on whether the client is still there.
    stream: Rc<Stream>,
    timer: Timer,
    /// Takes the buffer back that waits for the next request; gone once it has.
    takes_back: Option<Canceller>,
    opened: Tick,
    requests: u32,
}

/// What follows a request.
enum Next {
    /// Another may come; these bytes of it are here.
    Request(Option<Buf>),
    /// The connection ends; what the client may still be sending is read and dropped first.
    Linger,
    /// The connection ends at once.
    Close,
    /// It leaves HTTP.
    Tunnel(Box<Tunnel>),
}

/// What came of waiting for a request.
enum Waited {
    /// Its first bytes.
    Bytes(Buf),
    /// There is something to read.
    Readable,
    /// The client has gone, or has said nothing for too long, or the connection may not go on.
    Over,
}

/// A connection's place among its listener's.
struct Seat {
    context: Rc<Context>,
    /// The listener's: not itself, which would keep the routes it once had.
    connections: Arc<AtomicU32>,
}

/// A connection that has left HTTP.
struct Left {
    tunnel: Box<Tunnel>,
    stream: Rc<Stream>,
    timer: Timer,
}

/// Serves a connection to its end.
pub async fn run(context: Rc<Context>, listener: Arc<Listener>, stream: Stream, peer: SocketAddr) {
    let seat = Seat::take(&context, &listener);
    let cells = listener.cells.clone();
    let _open = cells.of(context.worker).connection_opened();
    // Boxed, and gone once it has ended: a tunnel may outlive many snapshots, and keeps neither
    // them nor the room that HTTP takes.
    let left = speak_boxed(context.clone(), listener, stream, peer).await;
    if let Some(Left { tunnel, stream, timer }) = left {
        tunnel.run(&context, &*stream, &timer).await;
    }
    drop(seat);
}

/// A future that is boxed where it is made takes no room in the one that awaits it.
fn speak_boxed(
    context: Rc<Context>,
    listener: Arc<Listener>,
    stream: Stream,
    peer: SocketAddr,
) -> Pin<Box<dyn Future<Output = Option<Left>>>> {
    Box::pin(speak(context, listener, stream, peer))
}

/// Serves requests until the connection ends, or leaves HTTP.
async fn speak(
    context: Rc<Context>,
    listener: Arc<Listener>,
    stream: Stream,
    peer: SocketAddr,
) -> Option<Left> {
    let timer = Timer::new();
    let local = stream.local_addr().ok()?;
    let preliminaries = listener.tls.is_some() || listener.conf.proxy_protocol.is_some();
    let (stream, peer, tls, ahead) = if preliminaries {
        let welcomed = welcome(&listener, context.worker, stream, peer, &timer);
        let welcomed = Box::pin(welcomed).await?;
        (welcomed.stream, welcomed.peer, welcomed.tls.map(Rc::new), welcomed.ahead)
    } else {
        (stream, peer, None, None)
    };
    let stream = Rc::new(stream);
    let opened = clock::now();
    let current = context.current();
    // A reload may have come since the connection was accepted; if it took the listener away,
    // nothing has been asked yet.
    let listener = current.snapshot.listener(&listener.name).cloned()?;
    let mut peer_text = SmallVec::new();
    address(peer.ip(), &mut peer_text);
    let link = Link { context, listener, current, peer, peer_text, local, tls };
    let mut conn = Conn { link, stream, timer, takes_back: None, opened, requests: 0 };
    if conn.link.tls.as_ref().is_some_and(|tls| tls.h2) {
        conn.live_as_h2(ahead).await;
        return None;
    }
    let tunnel = conn.live(ahead).await?;
    let Conn { stream, timer, .. } = conn;
    Some(Left { tunnel, stream, timer })
}

// === impl Conn ===

impl Conn {
    async fn live(&mut self, mut ahead: Option<Buf>) -> Option<Box<Tunnel>> {
        loop {
            if ahead.is_none() {
                match self.wait().await {
                    Waited::Bytes(buf) => ahead = Some(buf),
                    Waited::Readable => {}
                    Waited::Over => {
                        Box::pin(self.leave(false)).await;
                        return None;
                    }
                }
            }
            if self.requests == 0 && self.may_be_h2() {
                match Box::pin(self.begins_as_h2(&mut ahead)).await {
                    Some(false) => {}
                    Some(true) => {
                        self.live_as_h2(ahead).await;
                        return None;
                    }
                    None => return None,
                }
            }
            match task::boxed(|| self.request(ahead.take())).await {
                Next::Request(more) => ahead = more,
                Next::Linger => {
                    Box::pin(self.leave(true)).await;
                    return None;
                }
                Next::Close => return None,
                Next::Tunnel(tunnel) => return Some(tunnel),
            }
        }
    }

    /// Whether a client may choose HTTP/2 by beginning with its preface.
    fn may_be_h2(&self) -> bool {
        self.link.tls.is_none() && self.link.listener.speaks_h2()
    }

    /// Whether the connection's first bytes are HTTP/2's preface; `None`: it ended before they were
    /// all there.
    async fn begins_as_h2(&self, ahead: &mut Option<Buf>) -> Option<bool> {
        let until = clock::now().after(self.link.listener.conf.timeouts.header);
        let patience = Patience { timer: &self.timer, idle: Duration::MAX, until, client: None };
        let mut buf = ahead.take().unwrap_or_else(Buf::small);
        let begins = loop {
            let seen = buf.len().min(PREFACE.len());
            if buf.filled()[..seen] != PREFACE[..seen] {
                break false;
            }
            if seen == PREFACE.len() {
                break true;
            }
            let (read, back) = patience.read(&self.stream, buf).await;
            buf = back;
            if !read.is_ok_and(|n| n > 0) {
                return None;
            }
        };
        *ahead = Some(buf);
        Some(begins)
    }

    async fn live_as_h2(&self, ahead: Option<Buf>) {
        let link = self.link.clone();
        Box::pin(h2::live(link, &self.stream, ahead, &self.timer, self.opened)).await;
    }

    /// Waits for a request's first byte: a moment with a buffer in hand, then holding none.
    async fn wait(&mut self) -> Waited {
        let timeouts = &self.link.listener.conf.timeouts;
        let idle = if self.requests == 0 { timeouts.header } else { timeouts.idle };
        let now = clock::coarse();
        let give_up = now.after(idle).after(COARSE_LAG);
        if self.must_leave() {
            return self.over();
        }
        if buffer::bytes_in_use() < bounds::WARM_BYTES_MAX {
            self.timer.arm(now.after(bounds::WARM).min(give_up));
            self.timer.set_idle(true);
            // Boxed: an idle connection does not pay for the room.
            let arrived = Box::pin(arrival(&self.stream, &self.timer, &mut self.takes_back)).await;
            self.timer.set_idle(false);
            match arrived {
                Arrival::Bytes(buf) => return Waited::Bytes(buf),
                Arrival::End => return Waited::Over,
                Arrival::Timer => {}
            }
        }
        self.takes_back = None;
        Box::pin(self.rest(give_up)).await
    }

    /// Waits for as long as an idle connection may, holding nothing but its place.
    async fn rest(&mut self, give_up: Tick) -> Waited {
        loop {
            if self.must_leave() {
                return self.over();
            }
            self.timer.arm(give_up);
            self.timer.set_idle(true);
            let mut readable = std::pin::pin!(self.stream.readable());
            let ready = std::future::poll_fn(|cx| {
                // Dropping a poll loses nothing.
                if let Poll::Ready(ready) = readable.as_mut().poll(cx) {
                    return Poll::Ready(Some(ready.is_ok()));
                }
                self.timer.poll_fired(cx).map(|()| None)
            })
            .await;
            self.timer.set_idle(false);
            match ready {
                Some(true) => return Waited::Readable,
                Some(false) => return Waited::Over,
                None if clock::now() >= give_up => return Waited::Over,
                // Woken to look around: a drain, or a reload.
                None => {}
            }
        }
    }

    /// It is to end: but what the client has sent already was sent in good faith, and is served.
    fn over(&self) -> Waited {
        if self.stream.has_sent() { Waited::Readable } else { Waited::Over }
    }

    /// Whether this connection may not carry another request.
    fn must_leave(&mut self) -> bool {
        self.link.must_leave(self.requests, self.opened)
    }

    /// Reads one request and serves it.
    async fn request(&mut self, ahead: Option<Buf>) -> Next {
        let mut head = Spare::<RequestHead>::take();
        let mut buf = ahead.unwrap_or_else(Buf::small);
        let mut started = clock::now();
        let read = self.read_head(&mut head, &mut buf, &mut started).await;
        self.requests += 1;
        match read {
            Ok(true) => {}
            Ok(false) => return Next::Close,
            Err(refused) => {
                Box::pin(self.refuse(&head, &buf, refused, started)).await;
                return Next::Linger;
            }
        }
        let last = self.must_leave();
        // Copied to a block of its own length: an answer may be minutes away, or last for minutes,
        // and a buffer is no place to wait in.
        let block: Box<[u8]> = buf.filled()[..head.len].into();
        buf.consume(head.len);
        let rest = (!buf.is_empty()).then_some(buf);
        self.answer(&head, &block, rest, started, last).await
    }

    /// Reads until a head is complete. `Ok(false)`: the client closed before it sent one.
    async fn read_head(
        &self,
        head: &mut RequestHead,
        buf: &mut Buf,
        started: &mut Tick,
    ) -> Result<bool, Refused> {
        let mut scan = Scan::default();
        let until = started.after(self.link.listener.conf.timeouts.header);
        let idle = Duration::MAX;
        let patience = Patience { timer: &self.timer, idle, until, client: None };
        loop {
            if !buf.is_empty() {
                match parse_request(head, &mut scan, buf.filled(), &self.link.listener.limits) {
                    Ok(Parsed::Complete) => return Ok(true),
                    Ok(Parsed::Partial) => {}
                    Err(reject) => return Err(Refused::Malformed(reject)),
                }
            }
            let mut taken = std::mem::replace(buf, Buf::none());
            // The request before may have stood in front.
            taken.compact();
            if taken.room() == 0 {
                taken = taken.larger().ok_or(Refused::Malformed(Reject::HeadTooLarge))?;
            }
            let (read, back) = patience.read(&self.stream, taken).await;
            *buf = back;
            match read {
                // Nothing but perhaps an empty line: nobody asked anything.
                Ok(0) | Err(Ended::Io(_) | Ended::ClientGone) => return Ok(false),
                Ok(_) => {}
                Err(Ended::Deadline) if buf.is_empty() => return Ok(false),
                Err(Ended::Deadline) => return Err(Refused::Late),
            }
        }
    }

    async fn answer(
        &mut self,
        head: &RequestHead,
        block: &[u8],
        rest: Option<Buf>,
        started: Tick,
        last: bool,
    ) -> Next {
        let current = self.link.current.clone();
        let request = Request { head, block };
        let mut path = Vec::new();
        let watch = ClientWatch::new(&self.stream, self.link.listener.half_close_counts());
        let mut exchange = self.link.exchange(request, started);
        let scene = self.link.scene(&current, &self.timer, Some(&watch), self.requests);
        let mut reply = Reply::h1(&self.stream, head.version, head.keep_alive && !last);
        reply.closes_if(self.link.context.draining());
        let (mut body, mut rest) = match head.framing {
            Framing::None | Framing::Length(0) => (Body::Empty, rest),
            framing => (Body::H1(Inbound::new(&self.stream, framing, rest)), None),
        };
        arrive(&scene, &mut exchange, &mut path, &mut body, &mut reply).await;
        if let Some(opened) = exchange.opened.take() {
            return Next::Tunnel(Tunnel::new(&scene, &exchange, &reply, *opened, rest));
        }
        if reply.must_reset() {
            return Next::Close;
        }
        if !body.is_done() && !Box::pin(drained(&self.timer, &mut body, &reply)).await {
            return if reply.has_started() { Next::Linger } else { Next::Close };
        }
        if !reply.keeps_alive() {
            return Next::Linger;
        }
        if !matches!(body, Body::Empty) {
            rest = body.into_rest();
        }
        Next::Request(rest)
    }

    /// Answers what is no request.
    async fn refuse(&self, head: &RequestHead, buf: &Buf, refused: Refused, started: Tick) {
        let current = self.link.current.clone();
        let request = Request { head, block: buf.filled() };
        let mut exchange = self.link.exchange(request, started);
        let failure = match refused {
            Refused::Malformed(reject) => {
                exchange.detail = reject.token();
                reject.failure()
            }
            Refused::Late => Failure::RequestTimeout,
        };
        let scene = self.link.scene(&current, &self.timer, None, self.requests);
        let mut reply = Reply::h1(&self.stream, crate::http::Version::Http11, false);
        super::serve::refused(&scene, &mut exchange, failure, &Body::Empty, &mut reply).await;
    }

    /// Ends the connection. `lingers`: the client may still be sending, and would lose our answer
    /// to the RST that closing over unread data causes (RFC 9112 section 9.6).
    async fn leave(&self, lingers: bool) {
        let until = clock::now().after(bounds::LINGER);
        let patience = Patience { timer: &self.timer, idle: bounds::LINGER, until, client: None };
        let work = std::pin::pin!(self.stream.finish());
        let (_, ended) = patience.guard(&self.stream, work).await;
        if !lingers || ended.is_some() {
            return;
        }
        let mut left = bounds::DRAIN_BYTES_MAX;
        let mut buf = Buf::small();
        loop {
            buf.clear();
            let (read, back) = patience.read(&self.stream, buf).await;
            buf = back;
            match read {
                Ok(n) if n > 0 && (n as u64) < left => left -= n as u64,
                _ => return,
            }
        }
    }
}

/// Why a head was not accepted.
enum Refused {
    Malformed(Reject),
    Late,
}

// === impl Seat ===

impl Seat {
    fn take(context: &Rc<Context>, listener: &Arc<Listener>) -> Seat {
        context.connections.set(context.connections.get() + 1);
        Seat { context: context.clone(), connections: listener.connections.clone() }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.context.connections.set(self.context.connections.get() - 1);
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
