//! An HTTP/2 connection: accepts requests, gives each a task, and decides when to leave.
//!
//! The connection's task moves all its frames; a stream's task serves one request through the same
//! path as HTTP/1's. Invariant: streams that are open when the connection is told to leave (a
//! drain, a reload that took the listener, its age) are served to their end.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use super::link::{Link, drained};
use super::serve::{arrive, refused};
use super::tunnel::Tunnel;
use crate::bounds;
use crate::clock::{self, Tick};
use crate::http::h2::meter::AbuseKind;
use crate::http::h2::translate::{request_text, websocket_text};
use crate::http::upgrade;
use crate::http::{Framing, Parsed, Reject, RequestHead, Scan, Version, parse_request};
use crate::message::{Body, Reply, Request, Spare};
use crate::net::buffer::Buf;
use crate::net::h2::{Accepted, Guard, Server, StreamSide, Wire};
use crate::net::patience::{ClientWatch, Patience};
use crate::net::{Stream, Timer, task};

/// A client's connection.
struct Conn<'t> {
    link: Link,
    server: Server,
    guard: Rc<Guard>,
    timer: &'t Timer,
    opened: Tick,
    requests: u32,
    open: Rc<Open>,
    /// We have said that no new streams are accepted.
    leaving: bool,
    /// A ping is under way since.
    pinged: Option<Tick>,
    /// When to ask for a sign of life, if streams are open then.
    ping_at: Tick,
}

/// The streams of a connection that are being served.
#[derive(Default)]
struct Open {
    streams: Cell<u32>,
    /// When the last of them ended.
    rests_since: Cell<Tick>,
}

/// What happened on a connection.
enum Event {
    Accepted(Box<Accepted>),
    Ended,
    Abuse(AbuseKind),
    Pong,
    Timer,
}

/// Room for the head that most requests have.
const HEAD_BYTES_USUAL: usize = 512;

/// Serves a connection to its end.
pub async fn live(
    link: Link,
    stream: &Rc<Stream>,
    ahead: Option<Buf>,
    timer: &Timer,
    opened: Tick,
) {
    let idle = link.listener.conf.timeouts.header;
    let patience = Patience { timer, idle, until: Tick::NEVER, client: None };
    let guard = Rc::new(Guard::new());
    let wire = Wire::new(stream.clone(), ahead, Some(guard.clone()));
    let handshake = Server::handshake(wire, link.listener.limits.head_bytes_max);
    let Ok(Ok(server)) = patience.wait(handshake).await else { return };
    let open = Rc::new(Open::default());
    open.rests_since.set(clock::coarse());
    let mut conn = Conn {
        link,
        server,
        guard,
        timer,
        opened,
        requests: 0,
        open,
        leaving: false,
        pinged: None,
        ping_at: clock::coarse().after(bounds::H2_PING),
    };
    timer.set_idle(true);
    conn.live().await;
    drop(conn);
    timer.set_idle(false);
    let until = clock::now().after(bounds::LINGER);
    let patience = Patience { timer, idle: bounds::LINGER, until, client: None };
    let finish = std::pin::pin!(stream.finish());
    patience.guard(stream, finish).await;
}

// === impl Conn ===

impl Conn<'_> {
    async fn live(&mut self) {
        self.timer.arm(self.next_look());
        loop {
            let mut has_looked = false;
            match self.event().await {
                Event::Accepted(accepted) => self.serve(*accepted),
                Event::Ended => return,
                Event::Abuse(kind) => return self.calm_down(kind).await,
                Event::Pong => self.pinged = None,
                Event::Timer => {
                    if !self.look() {
                        return;
                    }
                    has_looked = true;
                }
            }
            if !self.leaving && self.link.must_leave(self.requests, self.opened) {
                self.leaving = true;
                self.server.leave();
            }
            if has_looked {
                self.timer.arm(self.next_look());
            }
        }
    }

    async fn event(&mut self) -> Event {
        std::future::poll_fn(|cx| {
            let accepted = self.server.poll_accept(cx);
            if let Some(kind) = self.guard.abuse() {
                return Poll::Ready(Event::Abuse(kind));
            }
            if let Poll::Ready(accepted) = accepted {
                return Poll::Ready(match accepted {
                    Some(Ok(accepted)) => Event::Accepted(Box::new(accepted)),
                    Some(Err(error)) => {
                        let (peer, listener) = (self.link.peer, &*self.link.listener.name);
                        tracing::debug!(%peer, listener, %error, "HTTP/2 connection failed");
                        Event::Ended
                    }
                    None => Event::Ended,
                });
            }
            if self.pinged.is_some() && self.server.pings.poll_answer(cx).is_ready() {
                return Poll::Ready(Event::Pong);
            }
            self.timer.poll_fired(cx).map(|()| Event::Timer)
        })
        .await
    }

    /// Tells a client that abuses the protocol to calm down, and ends the connection.
    async fn calm_down(&mut self, kind: AbuseKind) {
        let Link { context, listener, peer, .. } = &self.link;
        listener.cells.of(context.worker).abused(kind);
        tracing::warn!(%peer, listener = &*listener.name, kind = kind.name(), "HTTP/2 abused");
        self.server.calm_down();
        self.timer.arm(clock::now().after(bounds::LINGER));
        std::future::poll_fn(|cx| match self.server.poll_accept(cx) {
            Poll::Ready(Some(Ok(_))) | Poll::Pending => self.timer.poll_fired(cx),
            Poll::Ready(_) => Poll::Ready(()),
        })
        .await;
    }

    /// When the timer fires: ends what has rested long enough, asks for a sign of life where
    /// streams are open. False: there was none.
    fn look(&mut self) -> bool {
        let now = clock::now();
        if self.open.streams.get() == 0 {
            self.ping_at = now.after(bounds::H2_PING);
            if now >= self.rests_until() && !self.leaving {
                self.leaving = true;
                self.server.leave();
                return true;
            }
            // Told to leave, a client has nothing left to wait for.
            return !self.leaving || now < self.rests_until().after(bounds::LINGER);
        }
        match self.pinged {
            Some(at) => now.since(at) < bounds::H2_PONG,
            None => {
                if now >= self.ping_at {
                    self.pinged = Some(now);
                    self.ping_at = now.after(bounds::H2_PING);
                    self.server.pings.ask();
                }
                true
            }
        }
    }

    /// When to look around next. Streams that come and go arm no timer, so this is never longer
    /// than a connection may rest: its rest cannot end unseen.
    fn next_look(&self) -> Tick {
        let now = clock::now();
        let conf = &self.link.listener.conf;
        let next = match self.open.streams.get() {
            0 if self.leaving => return now.after(bounds::LINGER),
            0 => self.rests_until().min(now.after(bounds::H2_PING)),
            _ => self.pinged.map_or(self.ping_at, |at| at.after(bounds::H2_PONG)),
        };
        let next = next.min(now.after(conf.timeouts.idle));
        match conf.timeouts.lifetime {
            Some(lifetime) if !self.leaving => next.min(self.opened.after(lifetime)),
            _ => next,
        }
    }

    /// Before its first request a client has as long as one of HTTP/1 has for its first head.
    fn rests_until(&self) -> Tick {
        let timeouts = &self.link.listener.conf.timeouts;
        let rest = if self.requests == 0 { timeouts.header } else { timeouts.idle };
        self.open.rests_since.get().after(rest)
    }

    fn serve(&mut self, accepted: Accepted) {
        self.requests += 1;
        let place = Place::take(&self.open);
        let context = self.link.context.clone();
        let arrived = Arrived { link: self.link.clone(), accepted, nth: self.requests };
        let arrived = Box::new(arrived);
        task::spawn(async move {
            // Boxed, and gone once it has ended: a tunnel keeps neither its room nor its snapshot.
            if let Some(Left { tunnel, side, timer }) = request_boxed(arrived).await {
                tunnel.run(&context, &side, &timer).await;
            }
            drop(place);
        });
    }
}

/// A stream that has left HTTP.
struct Left {
    tunnel: Box<Tunnel>,
    side: StreamSide,
    timer: Timer,
}

/// A request of a stream, before it is looked at.
struct Arrived {
    link: Link,
    accepted: Accepted,
    nth: u32,
}

/// A future that is boxed where it is made takes no room in the one that awaits it.
fn request_boxed(arrived: Box<Arrived>) -> Pin<Box<dyn Future<Output = Option<Left>>>> {
    task::boxed(|| to_its_end(arrived))
}

async fn to_its_end(arrived: Box<Arrived>) -> Option<Left> {
    let Arrived { link, accepted, nth } = *arrived;
    let timer = Timer::new();
    let (tunnel, side) = request(&link, accepted, nth, &timer).await?;
    Some(Left { tunnel, side, timer })
}

/// A stream's place among its connection's.
struct Place(Rc<Open>);

// === impl Place ===

impl Place {
    fn take(open: &Rc<Open>) -> Place {
        open.streams.set(open.streams.get() + 1);
        Place(open.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get() - 1);
        self.0.rests_since.set(clock::coarse());
    }
}

/// Serves one request, up to its end or to where it opens a tunnel.
async fn request(
    link: &Link,
    accepted: Accepted,
    nth: u32,
    timer: &Timer,
) -> Option<(Box<Tunnel>, StreamSide)> {
    let started = clock::now();
    let mut head = Spare::<RequestHead>::take();
    let read = read_head(link, &accepted, &mut head);
    let outgoing = accepted.outgoing.clone();
    let watch = ClientWatch::of_stream(&outgoing);
    let scene = link.scene(&link.current, timer, Some(&watch), nth);
    let mut reply = Reply::h2(outgoing.clone());
    let block = match read {
        Ok(block) => block,
        Err(reject) => {
            let request = Request { head: &head, block: b"" };
            let mut exchange = link.exchange(request, started);
            exchange.detail = reject.token();
            refused(&scene, &mut exchange, reject.failure(), &Body::Empty, &mut reply).await;
            return None;
        }
    };
    let mut room = Vec::new();
    let mut exchange = link.exchange(Request { head: &head, block: &block }, started);
    let (mut body, stream) = match head.framing {
        Framing::None if accepted.protocol.is_some() => (Body::Empty, Some(accepted)),
        Framing::None => (Body::Empty, None),
        Framing::Length(length) => (Body::H2(Box::new(accepted.into_body(Some(length)))), None),
        _ => (Body::H2(Box::new(accepted.into_body(None))), None),
    };
    arrive(&scene, &mut exchange, &mut room, &mut body, &mut reply).await;
    if let (Some(opened), Some(stream)) = (exchange.opened.take(), stream) {
        let tunnel = Tunnel::new(&scene, &exchange, &reply, *opened, None);
        return Some((tunnel, StreamSide::new(stream.into_body(None), outgoing)));
    }
    if !body.is_done() {
        Box::pin(drained(timer, &mut body, &reply)).await;
    }
    None
}

/// The head as text, which our own parser then reads: one grammar decides for both protocols.
fn read_head(link: &Link, accepted: &Accepted, head: &mut RequestHead) -> Result<Vec<u8>, Reject> {
    // As small as it can be: it lasts as long as the request, and there may be many.
    let mut text = Vec::with_capacity(HEAD_BYTES_USUAL);
    match &accepted.protocol {
        None => request_text(&accepted.parts, accepted.is_bodyless(), &mut text)?,
        Some(protocol) => {
            let random = &mut link.context.random.borrow_mut();
            let key = upgrade::key([random.bits(), random.bits()]);
            websocket_text(&accepted.parts, protocol.as_str(), &key, &mut text)?;
        }
    }
    let parsed = parse_request(head, &mut Scan::default(), &text, &link.listener.limits);
    match parsed {
        Ok(Parsed::Complete) => {
            head.version = Version::Http2;
            Ok(text)
        }
        Ok(Parsed::Partial) => Err(Reject::HeadTooLarge),
        Err(reject) => {
            // Its spans point into the text, which ends here.
            head.clear();
            Err(reject)
        }
    }
}
