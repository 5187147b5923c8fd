//! Asking a peer for a sign of life (RFC 9113 section 6.7).

use std::task::{Context, Poll};

use h2::{Ping, PingPong};

/// The pings of a connection, one at a time.
pub struct Pings(Option<PingPong>);

// === impl Pings ===

impl Pings {
    pub(super) fn new(pings: Option<PingPong>) -> Pings {
        Pings(pings)
    }

    /// Asks, unless a ping is under way already.
    pub fn ask(&mut self) {
        if let Some(pings) = &mut self.0 {
            // An error: one is under way, or the connection has ended.
            let _ = pings.send_ping(Ping::opaque());
        }
    }

    /// Ready once the peer has answered.
    pub fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Some(pings) => pings.poll_pong(cx).map(drop),
            None => Poll::Pending,
        }
    }
}
