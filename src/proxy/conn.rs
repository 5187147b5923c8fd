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

use super::context::{Context, Current};
use super::serve::{Scene, serve};
use super::tunnel::Tunnel;
use super::welcome::{TlsFacts, welcome};
use crate::bounds;
use crate::clock::{self, COARSE_LAG, Tick};
use crate::config::HalfClose;
use crate::failure::Failure;
use crate::http::{Framing, Name, Parsed, Reject, RequestHead, Scan, parse_request};
use crate::integration::forward::claimed_client;
use crate::integration::{Exchange, Ids, Party};
use crate::message::{Body, Inbound, Reply, Request, Spare};
use crate::net::Timer;
use crate::net::buffer::{self, Buf};
use crate::net::patience::{Arrival, ClientWatch, Ended, Patience, arrival};
use crate::net::stream::Stream;
use crate::route::{Params, canonical};
use crate::snapshot::Listener;
use crate::upstream::Timings;

/// A client's connection.
struct Conn {
    context: Rc<Context>,
    listener: Arc<Listener>,
    /// The snapshot the listener is of.
    current: Rc<Current>,
    /// Shared with the watch on whether the client is still there.
    stream: Rc<Stream>,
    peer: SocketAddr,
    local: SocketAddr,
    tls: Option<Box<TlsFacts>>,
    timer: Timer,
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
        tunnel_boxed(tunnel, &context, &stream, &timer).await;
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

/// The same for a tunnel's.
fn tunnel_boxed<'t>(
    tunnel: Box<Tunnel>,
    context: &'t Context,
    stream: &'t Stream,
    timer: &'t Timer,
) -> Pin<Box<dyn Future<Output = ()> + 't>> {
    Box::pin(tunnel.run(context, stream, timer))
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
        (welcomed.stream, welcomed.peer, welcomed.tls.map(Box::new), welcomed.ahead)
    } else {
        (stream, peer, None, None)
    };
    let stream = Rc::new(stream);
    let opened = clock::now();
    let current = context.current();
    // A reload may have come since the connection was accepted; if it took the listener away,
    // nothing has been asked yet.
    let listener = current.snapshot.listener(&listener.name).cloned()?;
    let mut conn =
        Conn { context, listener, current, stream, peer, local, tls, timer, opened, requests: 0 };
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
            match Box::pin(self.request(ahead.take())).await {
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

    /// Waits for a request's first byte: a moment with a buffer in hand, then holding none.
    async fn wait(&mut self) -> Waited {
        let timeouts = &self.listener.conf.timeouts;
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
            let arrived = Box::pin(arrival(&self.stream, &self.timer)).await;
            self.timer.set_idle(false);
            match arrived {
                Arrival::Bytes(buf) => return Waited::Bytes(buf),
                Arrival::End => return Waited::Over,
                Arrival::Timer => {}
            }
        }
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
        let current = self.context.current();
        if !Rc::ptr_eq(&current, &self.current) {
            // Gone from the new snapshot: what is here already is served from the old one.
            let Some(listener) = current.snapshot.listener(&self.listener.name).cloned() else {
                return true;
            };
            (self.listener, self.current) = (listener, current);
        }
        let conf = &self.listener.conf;
        self.context.is_draining()
            || conf.requests_max.is_some_and(|max| u64::from(self.requests) >= max)
            || conf.timeouts.lifetime.is_some_and(|max| clock::now().since(self.opened) >= max)
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
        let rest = (buf.len() > head.len).then(|| {
            let rest = &buf.filled()[head.len..];
            let mut ahead = Buf::with_room(rest.len());
            ahead.put_some(rest);
            ahead
        });
        self.answer(&head, &buf, rest, started, last).await
    }

    /// Reads until a head is complete. `Ok(false)`: the client closed before it sent one.
    async fn read_head(
        &self,
        head: &mut RequestHead,
        buf: &mut Buf,
        started: &mut Tick,
    ) -> Result<bool, Refused> {
        let mut scan = Scan::default();
        let until = started.after(self.listener.conf.timeouts.header);
        let idle = Duration::MAX;
        let patience = Patience { timer: &self.timer, idle, until, client: None };
        loop {
            if !buf.is_empty() {
                match parse_request(head, &mut scan, buf.filled(), &self.listener.limits) {
                    Ok(Parsed::Complete) => return Ok(true),
                    Ok(Parsed::Partial) => {}
                    Err(reject) => return Err(Refused::Malformed(reject)),
                }
            }
            let mut taken = std::mem::replace(buf, Buf::none());
            if taken.room() == 0 {
                taken = Buf::larger(taken).ok_or(Refused::Malformed(Reject::HeadTooLarge))?;
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
        buf: &Buf,
        rest: Option<Buf>,
        started: Tick,
        last: bool,
    ) -> Next {
        let current = self.current.clone();
        let request = Request { head, block: buf.filled() };
        let mut path = Vec::new();
        let canonical = canonical(request.path(), self.listener.path_policy, &mut path);
        let mut exchange = self.exchange(request, started);
        let watch = ClientWatch::new(&self.stream, self.half_close_counts());
        let scene = self.scene(&current, Some(&watch));
        let mut reply = Reply::h1(&self.stream, head.version, head.keep_alive && !last);
        reply.closes_if(self.context.draining());
        let (mut body, mut rest) = match head.framing {
            Framing::None | Framing::Length(0) => (Body::Empty, rest),
            framing => (Body::H1(Inbound::new(&self.stream, framing, rest)), None),
        };
        match canonical {
            Ok(path) => {
                exchange.path = path;
                serve(&scene, &mut exchange, &mut body, &mut reply).await;
            }
            Err(error) => {
                exchange.detail = error.token();
                let failure = Failure::BadRequest;
                super::serve::refused(&scene, &mut exchange, failure, &body, &mut reply).await;
            }
        }
        if let Some(opened) = exchange.opened.take() {
            return Next::Tunnel(Tunnel::new(&scene, &exchange, &reply, *opened, rest));
        }
        if reply.must_reset() {
            return Next::Close;
        }
        if !body.is_done() && !Box::pin(self.drained(&mut body, &reply)).await {
            return if reply.has_started() { Next::Linger } else { Next::Close };
        }
        if !reply.keeps_alive() {
            return Next::Linger;
        }
        if let Body::H1(inbound) = body {
            rest = inbound.into_rest();
        }
        Next::Request(rest)
    }

    /// Reads what is left of a request's body, within bounds: its bytes must not pass for the next
    /// request. False: more is left than is worth reading, or the connection ends anyway.
    async fn drained(&self, body: &mut Body<'_>, reply: &Reply<'_>) -> bool {
        let enough = body.received() + bounds::DRAIN_BYTES_MAX;
        let until = clock::now().after(bounds::LINGER);
        let patience = Patience { timer: &self.timer, idle: bounds::LINGER, until, client: None };
        while !body.is_done() {
            if !reply.keeps_alive() || body.received() > enough {
                return false;
            }
            match body.next(&patience).await {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return false,
            }
        }
        true
    }

    /// Answers what is no request.
    async fn refuse(&self, head: &RequestHead, buf: &Buf, refused: Refused, started: Tick) {
        let current = self.current.clone();
        let request = Request { head, block: buf.filled() };
        let mut exchange = self.exchange(request, started);
        let failure = match refused {
            Refused::Malformed(reject) => {
                exchange.detail = reject.token();
                reject.failure()
            }
            Refused::Late => Failure::RequestTimeout,
        };
        let scene = self.scene(&current, None);
        let mut reply = Reply::h1(&self.stream, crate::http::Version::Http11, false);
        super::serve::refused(&scene, &mut exchange, failure, &Body::Empty, &mut reply).await;
    }

    fn exchange<'c>(&'c self, request: Request<'c>, started: Tick) -> Exchange<'c> {
        Exchange {
            ids: Ids::of(&request, &mut self.context.random.borrow_mut()),
            party: self.party(&request),
            request,
            listener: &self.listener,
            started,
            path: b"",
            params: Params::new(),
            route: None,
            upstream: "",
            timings: Timings::default(),
            upstream_ns: None,
            upgrade: None,
            opened: None,
            status: 0,
            failure: None,
            detail: "",
        }
    }

    fn scene<'c>(&'c self, current: &'c Current, client: Option<&'c ClientWatch>) -> Scene<'c> {
        let idle = self.listener.conf.timeouts.write;
        Scene {
            context: &self.context,
            current,
            patience: Patience { timer: &self.timer, idle, until: Tick::NEVER, client },
            tls: self.tls.as_deref(),
            nth: self.requests,
        }
    }

    fn party(&self, request: &Request<'_>) -> Party {
        let peer = self.peer.ip();
        let trusted = self.listener.trusts(peer);
        let client = if trusted {
            // Few hops: the list is as long as the header.
            let values: SmallVec<[&[u8]; 4]> =
                request.head.values(Name::XForwardedFor, request.block).collect();
            claimed_client(values.into_iter(), |ip| self.listener.trusts(ip)).unwrap_or(peer)
        } else {
            peer
        };
        Party { peer: self.peer, local: self.local, client, trusted, secure: self.tls.is_some() }
    }

    fn half_close_counts(&self) -> bool {
        self.listener.conf.half_close == HalfClose::Close
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
