//! A tunnel's life after its request: opened, counted, told to leave, logged.
//!
//! Owns what a tunnel still knows of the request that opened it, which is little: heads, buffers
//! and the snapshot it was routed by are gone while it lasts. Invariant: a reload that keeps the
//! tunnel's route, by API and key, leaves no trace in it.

use std::cell::Cell;
use std::pin::Pin;
use std::time::Duration;

use super::context::Context;
use super::record;
use super::serve::Scene;
use crate::bounds;
use crate::clock::{self, Tick, nanos};
use crate::integration::{Exchange, Opened};
use crate::message::Reply;
use crate::net::Timer;
use crate::net::buffer::Buf;
use crate::net::tunnel::{self, Ended, Leave, Side, Terms};
use crate::observe::access_log::Kept;
use crate::observe::cells::TunnelEnd;

/// A tunnel that is about to begin.
pub struct Tunnel {
    opened: Opened,
    /// What the client sent behind its request.
    ahead: Option<Box<Buf>>,
    /// The longest time in which the client takes nothing of what is there for it.
    write: Duration,
    mask: [u8; 4],
    started: Tick,
    /// The configuration its route was last looked for in.
    generation: Cell<u64>,
    /// For the log line, if there is to be one.
    kept: Option<Box<Kept>>,
}

// === impl Tunnel ===

impl Tunnel {
    /// Counts the request that opened it, and keeps what is needed of it.
    #[must_use]
    pub fn new(
        scene: &Scene<'_>,
        exchange: &Exchange<'_>,
        reply: &Reply<'_>,
        opened: Opened,
        ahead: Option<Buf>,
    ) -> Box<Tunnel> {
        let kept = record::opened(scene, exchange, reply, clock::moment());
        let bits = scene.context.random.borrow_mut().bits().to_ne_bytes();
        Box::new(Tunnel {
            opened,
            ahead: ahead.map(Box::new),
            write: exchange.listener.conf.timeouts.write,
            mask: [bits[0], bits[1], bits[2], bits[3]],
            started: exchange.started,
            generation: Cell::new(scene.current.snapshot.generation),
            kept,
        })
    }

    /// Passes bytes to and from `client` until it ends, then logs. Boxed where it is made: whoever
    /// awaits it pays for no room until there is a tunnel.
    pub fn run<'t>(
        self: Box<Self>,
        context: &'t Context,
        client: &'t impl Side,
        timer: &'t Timer,
    ) -> Pin<Box<dyn Future<Output = ()> + 't>> {
        Box::pin(self.relay(context, client, timer))
    }

    async fn relay(mut self: Box<Self>, context: &Context, client: &impl Side, timer: &Timer) {
        let ahead = [self.ahead.take(), self.opened.first.take()];
        let ended = {
            let cells = self.opened.route.cells.of(context.worker);
            let _open = cells.tunnels.tunnel_opened();
            let _active = self.opened.lease.local().cells().exchange_active();
            let terms = Terms {
                websocket: self.opened.websocket,
                mask: self.mask,
                idle: self.opened.idle,
                until: self.opened.until,
                client_write: self.write,
                upstream_write: self.opened.write,
                received: &cells.tunnels.received,
                sent: &cells.tunnels.sent,
                look: &|| self.leaves(context),
            };
            let stream = self.opened.lease.h1().expect("a 101 comes over HTTP/1 only");
            let ended = tunnel::run(client, stream, &terms, timer, ahead).await;
            cells.tunnels.tunnel_closed(ended.why);
            ended
        };
        self.log(context, &ended);
    }

    /// Whether the gateway wants it to end.
    fn leaves(&self, context: &Context) -> Option<Leave> {
        let current = context.current();
        let snapshot = &current.snapshot;
        if context.is_draining() {
            let deadline = snapshot.config.gateway.drain_deadline;
            let last_words = bounds::TUNNEL_LAST_WORDS.min(deadline / 4);
            let until = clock::now().after(deadline.saturating_sub(last_words));
            return Some(Leave { why: TunnelEnd::Drain, until });
        }
        if self.generation.replace(snapshot.generation) == snapshot.generation {
            return None;
        }
        let gone = snapshot.same_route(&self.opened.route).is_none();
        let until = clock::now().after(bounds::TUNNEL_FAREWELL);
        gone.then_some(Leave { why: TunnelEnd::RouteGone, until })
    }

    fn log(&self, context: &Context, ended: &Ended) {
        let Some(kept) = &self.kept else { return };
        let mut record = kept.record();
        let handshake_ns = record.total_ns;
        let now = clock::moment();
        record.time = now.wall;
        record.total_ns = nanos(now.tick.since(self.started));
        // What came after the handshake is nobody's work: the gateway's share stays what it was.
        let after = record.total_ns.saturating_sub(handshake_ns);
        record.upstream_ns = record.upstream_ns.map(|ns| ns + after);
        record.bytes_in += ended.received;
        record.bytes_out += ended.sent;
        record.tunnel_end = ended.why.name();
        context.log(&context.current(), &record);
    }
}
