//! A tunnel: bytes between a client and an upstream once both have left HTTP.
//!
//! Owns the relay both ways, half-close, the timeouts of a connection nobody asks anything of any
//! more, and the goodbye of WebSocket (RFC 6455 section 5.5.1). Knows nothing of routes or how the
//! tunnel came about; what the client speaks is hidden by [`Side`].
//!
//! Invariants: a way waits without a buffer, and what it receives is sent from where it was
//! received; it receives only when the last bytes were taken, so a slow reader slows its peer; a
//! frame of ours stands between frames only; no read is dropped while it is pending.

mod side;

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

pub use self::side::{Received, Side};
use super::buffer::{Buf, Class};
use super::deadline::Timer;
use crate::bounds;
use crate::clock::{self, COARSE_LAG, Tick};
use crate::http::ws::{self, Walker};
use crate::observe::cells::TunnelEnd;
use crate::observe::count::Count;

/// That the tunnel is to end, and until when that may take.
#[derive(Clone, Copy, Debug)]
pub struct Leave {
    pub why: TunnelEnd,
    pub until: Tick,
}

/// What a tunnel may do and what it is counted by.
pub struct Terms<'t> {
    /// Frames of RFC 6455 pass: a goodbye can be said.
    pub websocket: bool,
    /// Masks our Close frame to the upstream.
    pub mask: [u8; 4],
    /// The longest time without a byte either way.
    pub idle: Duration,
    /// When its lifetime is over.
    pub until: Tick,
    /// The longest time in which a side takes nothing of what is there for it.
    pub client_write: Duration,
    pub upstream_write: Duration,
    /// Counted by while it lasts.
    pub received: &'t Count,
    pub sent: &'t Count,
    /// Asked at the start and whenever the timer fires: [`super::deadline::wake_idle`] has that.
    pub look: &'t dyn Fn() -> Option<Leave>,
}

/// How a tunnel ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    pub why: TunnelEnd,
    /// From the client, and to it.
    pub received: u64,
    pub sent: u64,
}

/// One direction.
struct Way {
    /// Received already. Boxed: most tunnels begin with nothing.
    ahead: Cell<Option<Box<Buf>>>,
    walker: Cell<Walker>,
    /// Nothing more is passed on: our goodbye was said.
    said: Cell<bool>,
    done: Cell<bool>,
    /// When the pending send has been without progress for too long; `NEVER`: none is pending.
    late: Cell<Tick>,
    /// The receiver's progress when that was last looked at.
    seen: Cell<u64>,
    bytes: Cell<u64>,
    class: Cell<Class>,
    write: Duration,
    /// Why the tunnel ends if the sender finishes, and if it breaks.
    ends: (TunnelEnd, TunnelEnd),
    /// And if the receiver breaks.
    breaks: TunnelEnd,
}

struct Tunnel<'t, C, U> {
    client: &'t C,
    upstream: &'t U,
    terms: &'t Terms<'t>,
    timer: &'t Timer,
    up: Way,
    down: Way,
    /// When a byte moved last.
    moved: Cell<Tick>,
    why: Cell<Option<TunnelEnd>>,
    leave: Cell<Option<Leave>>,
    /// Everything pending has been told to complete.
    over: Cell<bool>,
}

/// What a way waited for.
enum Woken {
    Readable,
    /// It is to say goodbye.
    Leave,
    Over,
}

/// Passes bytes both ways until the tunnel ends; `ahead` is what was received already, from the
/// client and from the upstream.
pub async fn run<C: Side, U: Side>(
    client: &C,
    upstream: &U,
    terms: &Terms<'_>,
    timer: &Timer,
    ahead: [Option<Box<Buf>>; 2],
) -> Ended {
    let [from_client, from_upstream] = ahead;
    let tunnel = Tunnel {
        client,
        upstream,
        terms,
        timer,
        up: Way {
            ends: (TunnelEnd::Client, TunnelEnd::ClientGone),
            breaks: TunnelEnd::UpstreamGone,
            ..Way::new(terms.upstream_write, from_client)
        },
        down: Way {
            ends: (TunnelEnd::Upstream, TunnelEnd::UpstreamGone),
            breaks: TunnelEnd::ClientGone,
            ..Way::new(terms.client_write, from_upstream)
        },
        moved: Cell::new(clock::coarse()),
        why: Cell::new(None),
        leave: Cell::new(None),
        over: Cell::new(false),
    };
    timer.set_idle(true);
    tunnel.look_around(clock::now());
    tunnel.both().await;
    timer.set_idle(false);
    timer.arm(Tick::NEVER);
    Ended {
        why: tunnel.why.get().unwrap_or(TunnelEnd::Client),
        received: tunnel.up.bytes.get(),
        sent: tunnel.down.bytes.get(),
    }
}

// === impl Way ===

impl Way {
    fn new(write: Duration, ahead: Option<Box<Buf>>) -> Way {
        Way {
            ahead: Cell::new(ahead),
            walker: Cell::default(),
            said: Cell::new(false),
            done: Cell::new(false),
            late: Cell::new(Tick::NEVER),
            seen: Cell::new(0),
            bytes: Cell::new(0),
            class: Cell::new(Class::Small),
            write,
            ends: (TunnelEnd::Client, TunnelEnd::ClientGone),
            breaks: TunnelEnd::UpstreamGone,
        }
    }

    /// Whether the receiver has been told that nothing more comes.
    fn has_closed(&self) -> bool {
        self.said.get() || self.walker.get().has_closed()
    }
}

// === impl Tunnel ===

impl<C: Side, U: Side> Tunnel<'_, C, U> {
    async fn both(&self) {
        let mut up = pin!(self.pass(self.client, self.upstream, &self.up));
        let mut down = pin!(self.pass(self.upstream, self.client, &self.down));
        poll_fn(|cx| {
            self.supervise(cx);
            if !self.up.done.get() && up.as_mut().poll(cx).is_ready() {
                self.up.done.set(true);
                self.arm();
            }
            if !self.down.done.get() && down.as_mut().poll(cx).is_ready() {
                self.down.done.set(true);
                self.arm();
            }
            let done = self.up.done.get() && self.down.done.get();
            if done { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// One direction, to its end.
    async fn pass<F: Side, T: Side>(&self, from: &F, to: &T, way: &Way) {
        if let Some(ahead) = way.ahead.take()
            && !Box::pin(self.forward(from, to, way, *ahead)).await
        {
            return;
        }
        loop {
            // What is only needed while bytes move is boxed: an idle tunnel does not pay for it.
            let goes_on = match self.wait(from, way).await {
                Woken::Readable => Box::pin(self.take(from, to, way)).await,
                Woken::Leave => Box::pin(self.forward(from, to, way, Buf::none())).await,
                Woken::Over => false,
            };
            if !goes_on {
                return;
            }
            // RFC 6455 section 7.1.1: both have said Close, so the connection can end.
            let back = self.other(way);
            if self.speaks() && way.walker.get().has_closed() && back.has_closed() {
                return Box::pin(self.watched(from, back, from.finish())).await;
            }
        }
    }

    async fn wait<F: Side>(&self, from: &F, way: &Way) -> Woken {
        let mut readable = pin!(from.readable());
        poll_fn(|cx| {
            if self.over.get() {
                return Poll::Ready(Woken::Over);
            }
            if self.owes_goodbye(way) {
                return Poll::Ready(Woken::Leave);
            }
            // What is wrong with it the read will say.
            readable.as_mut().poll(cx).map(|_| Woken::Readable)
        })
        .await
    }

    /// Passes on what there is. False: this way has ended.
    async fn take<F: Side, T: Side>(&self, from: &F, to: &T, way: &Way) -> bool {
        let received = from.receive(way.class.get()).await;
        if self.over.get() {
            return false;
        }
        match received {
            Ok(Received::Data(data)) => {
                let class = if data.room() == 0 { data.class().grown() } else { Class::Small };
                way.class.set(class);
                self.forward(from, to, way, data).await
            }
            Ok(Received::Nothing) => true,
            Ok(Received::End) => self.finish(to, way).await,
            // TLS cut without close_notify between two frames: nothing can be missing.
            Err(error)
                if error.kind() == io::ErrorKind::UnexpectedEof
                    && self.terms.websocket
                    && way.walker.get().at_boundary() =>
            {
                self.finish(to, way).await
            }
            Err(_) => {
                self.broke(from, (to, way), way.ends.1);
                false
            }
        }
    }

    /// The sender has finished: so do we.
    async fn finish<T: Side>(&self, to: &T, way: &Way) -> bool {
        self.because(way.ends.0);
        self.moved.set(clock::coarse());
        self.watched(to, way, to.finish()).await;
        if way.walker.get().has_closed() && self.other(way).walker.get().has_closed() {
            // RFC 6455 section 7.1.1: after two Close frames nobody has anything to say.
            self.stop(way.ends.0);
        }
        false
    }

    /// Sends data on, or what of them still may be. False: this way has ended.
    async fn forward<F: Side, T: Side>(&self, from: &F, to: &T, way: &Way, mut data: Buf) -> bool {
        let taken = data.len() as u64;
        self.moved.set(clock::coarse());
        let mut walker = way.walker.get();
        let mut goodbye = false;
        if way.said.get() {
            walker.walk(data.filled());
            data.clear();
        } else if self.speaks() && !walker.has_closed() {
            // The frame under way goes on, and nothing after it.
            let rest = if self.terms.websocket { walker.finish_frame(data.filled()) } else { 0 };
            goodbye = !self.terms.websocket || walker.at_boundary();
            if goodbye {
                walker.walk(&data.filled()[rest..]);
            }
            data.truncate(rest);
        } else if self.terms.websocket {
            walker.walk(data.filled());
        }
        way.walker.set(walker);
        self.count(way, taken, data.len() as u64);
        if !data.is_empty() {
            let sent = self.watched(to, way, to.send(data)).await;
            if sent.is_err() {
                return self.refused(from, to, way);
            }
        }
        !self.over.get() && (!goodbye || self.say_goodbye(from, to, way).await)
    }

    async fn say_goodbye<F: Side, T: Side>(&self, from: &F, to: &T, way: &Way) -> bool {
        way.said.set(true);
        if !self.terms.websocket {
            self.watched(to, way, to.finish()).await;
            return !self.over.get();
        }
        let to_upstream = std::ptr::eq(way, &self.up);
        let frame = ws::close_frame(ws::GOING_AWAY, to_upstream.then_some(self.terms.mask));
        let mut buf = Buf::small();
        buf.put_all(&frame);
        self.count(way, 0, frame.len() as u64);
        let sent = self.watched(to, way, to.send(buf)).await;
        if sent.is_ok() { !self.over.get() } else { self.refused(from, to, way) }
    }

    /// The receiver takes nothing any more.
    fn refused<F: Side, T: Side>(&self, from: &F, to: &T, way: &Way) -> bool {
        if !self.over.get() {
            self.broke(to, (from, self.other(way)), way.breaks);
        }
        false
    }

    /// Awaits work on a side that may take its time, but not for ever.
    async fn watched<T: Side, W: Future>(&self, to: &T, way: &Way, work: W) -> W::Output {
        let mut work = pin!(work);
        let mut waits = false;
        let out = poll_fn(|cx| {
            let polled = work.as_mut().poll(cx);
            if polled.is_pending() && !waits {
                waits = true;
                way.seen.set(to.sent());
                way.late.set(clock::coarse().after(way.write).after(COARSE_LAG));
                self.arm();
            }
            polled
        })
        .await;
        way.late.set(Tick::NEVER);
        out
    }

    /// From the client what was received counts, to it what was sent.
    fn count(&self, way: &Way, taken: u64, sent: u64) {
        if std::ptr::eq(way, &self.up) {
            way.bytes.set(way.bytes.get() + taken);
            self.terms.received.add(taken);
        } else {
            way.bytes.set(way.bytes.get() + sent);
            self.terms.sent.add(sent);
        }
    }

    /// Whether goodbyes are being said.
    fn speaks(&self) -> bool {
        let quiet = |leave: Leave| !self.terms.websocket && leave.why == TunnelEnd::Drain;
        self.leave.get().is_some_and(|leave| !quiet(leave))
    }

    fn owes_goodbye(&self, way: &Way) -> bool {
        self.speaks() && !way.has_closed() && way.walker.get().at_boundary()
    }

    fn because(&self, why: TunnelEnd) {
        self.why.set(self.why.get().or(Some(why)));
    }

    fn other(&self, way: &Way) -> &Way {
        if std::ptr::eq(way, &self.up) { &self.down } else { &self.up }
    }

    /// `side` is broken: its peer, to which `way` leads, must be able to tell.
    fn broke(&self, side: &impl Side, (peer, way): (&impl Side, &Way), why: TunnelEnd) {
        self.because(why);
        self.over.set(true);
        side.abort();
        peer.reset();
        // A send that is pending is not ended by what ends receiving.
        if way.late.get() != Tick::NEVER {
            peer.abort();
        }
    }

    /// Ends everything at once.
    fn stop(&self, why: TunnelEnd) {
        self.because(why);
        self.over.set(true);
        self.client.abort();
        self.upstream.abort();
    }

    fn supervise(&self, cx: &mut Context<'_>) {
        // The second poll registers for the deadline that the first one's look has set.
        while self.timer.poll_fired(cx).is_ready() {
            self.look_around(clock::now());
        }
    }

    /// Sees what the time, and the gateway, want of this tunnel.
    fn look_around(&self, now: Tick) {
        if self.over.get() {
            return;
        }
        if self.leave.get().is_none() {
            let asked = (self.terms.look)();
            let farewell = now.after(bounds::TUNNEL_FAREWELL);
            let spent = (now >= self.terms.until)
                .then_some(Leave { why: TunnelEnd::Lifetime, until: farewell });
            let silent = (now >= self.silent_at())
                .then_some(Leave { why: TunnelEnd::Idle, until: now.after(bounds::LINGER) });
            self.leave.set(asked.or(spent).or(silent));
            if self.speaks()
                && let Some(leave) = self.leave.get()
            {
                self.because(leave.why);
            }
        }
        if let Some(leave) = self.leave.get()
            && now >= leave.until
        {
            return self.stop(leave.why);
        }
        self.look_at(now, self.client, self.upstream, &self.up);
        self.look_at(now, self.upstream, self.client, &self.down);
        self.arm();
    }

    /// Looks at a way whose receiver has been slow.
    fn look_at(&self, now: Tick, from: &impl Side, to: &impl Side, way: &Way) {
        if way.late.get() == Tick::NEVER || self.over.get() {
            return;
        }
        if to.sent() != way.seen.get() {
            way.seen.set(to.sent());
            way.late.set(now.after(way.write));
            self.moved.set(now);
        } else if now >= way.late.get() {
            // What it did not take is lost: it must not look complete.
            self.broke(to, (from, self.other(way)), TunnelEnd::Stalled);
        }
        if !self.over.get() && from.is_broken() {
            // Nobody reads from it now, so nobody else would notice.
            self.broke(from, (to, way), way.ends.1);
        }
    }

    fn silent_at(&self) -> Tick {
        let half = self.up.done.get() || self.down.done.get();
        let idle = self.terms.idle;
        let idle = if half { idle.min(bounds::TUNNEL_HALF_CLOSED) } else { idle };
        self.moved.get().after(idle).after(COARSE_LAG)
    }

    /// Sets the timer to when something is to be looked at next.
    fn arm(&self) {
        let blocked = [&self.up, &self.down].iter().any(|way| way.late.get() != Tick::NEVER);
        let look = if blocked { clock::coarse().after(bounds::TUNNEL_LOOK) } else { Tick::NEVER };
        let end = match self.leave.get() {
            Some(leave) => leave.until,
            None => self.terms.until.min(self.silent_at()),
        };
        self.timer.arm(look.min(end));
    }
}
