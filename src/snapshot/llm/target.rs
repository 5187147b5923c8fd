//! A target of a model: who can serve it, under which name, and how that goes.
//!
//! Owns what all workers know of it in atomics, and the request that is on its way ([`Attempt`]).
//! Invariant: what an attempt took (a trial of the breaker, a place among those in flight) is given
//! back when it is dropped, however it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Need, Provider};
use crate::balance::{Admission, Breaker, BreakerRules, BreakerState, Latency};
use crate::clock::Tick;
use crate::llm::{Features, Price};
use crate::observe::cells::PerWorker;
use crate::observe::gen_ai::GenAiCells;

/// Who can serve a model, under which name.
pub struct LlmTarget {
    pub provider: Arc<Provider>,
    /// The provider's name for the model; `*`: as the client wrote it.
    pub model: Arc<str>,
    pub weight: u32,
    /// Lower ones first.
    pub priority: u32,
    /// Tokens of input and output it has room for; `None`: nobody knows.
    pub context_max: Option<u64>,
    /// What it can do; `None`: everything.
    pub features: Option<Features>,
    /// Of [`LlmTarget::model`]; of a model that keeps its name see [`LlmTarget::price_for`].
    pub(super) price: Price,
    pub breaker: BreakerRules,
    pub state: Arc<TargetState>,
    pub cells: Arc<PerWorker<GenAiCells>>,
    /// Its place in the model's targets.
    pub(super) at: u8,
}

/// What is known of a target over all workers.
#[derive(Default)]
pub struct TargetState {
    pub breaker: Breaker,
    pub latency: Latency,
    in_flight: AtomicU64,
    limited_until: AtomicU64,
}

/// A request that is on its way to a target: counted as in flight until it is dropped. Dropped
/// without a verdict it says nothing of the target.
#[must_use = "the request is in flight as long as this lives"]
pub struct Attempt {
    target: Arc<LlmTarget>,
    admission: Option<Admission>,
}

// === impl LlmTarget ===

impl LlmTarget {
    /// The provider's name for a model that a client calls `asked`.
    #[must_use]
    pub fn model_for<'n>(&'n self, asked: &'n str) -> &'n str {
        if &*self.model == "*" { asked } else { &self.model }
    }

    /// What a model costs there that a client calls `asked`.
    #[must_use]
    pub fn price_for(&self, asked: &str) -> Price {
        if &*self.model == "*" { self.provider.price(asked) } else { self.price }
    }

    /// When both its breaker and a credential let a request go; `now` if they do.
    #[must_use]
    pub fn awake_at(&self, now: Tick) -> Tick {
        let breaker = match self.state.breaker.state(now) {
            _ if self.state.breaker.admits(&self.breaker, now) => now,
            BreakerState::Open(until) => until,
            // All trials are under way: one of them may be over at any time.
            BreakerState::HalfOpen | BreakerState::Closed => now.after(TRIAL_WAIT),
        };
        breaker.max(self.provider.awake_at(now))
    }

    /// Whether it is left alone because it, or a credential of its provider's, has had enough.
    #[must_use]
    pub fn is_limited(&self, now: Tick) -> bool {
        let credentials = &self.provider.credentials;
        self.state.is_limited(now)
            || credentials.iter().all(|credential| credential.is_resting(now))
                && credentials.iter().any(|credential| credential.is_limited(now))
    }

    /// Sends a request there, if the breaker admits it: another may have taken its last trial.
    #[must_use]
    pub fn enter(self: &Arc<LlmTarget>, now: Tick) -> Option<Attempt> {
        let admission = self.state.breaker.admit(&self.breaker, now)?;
        self.state.in_flight.fetch_add(1, Ordering::Relaxed);
        Some(Attempt { target: self.clone(), admission: Some(admission) })
    }

    pub(super) fn fits(&self, need: &Need) -> bool {
        self.weight > 0 && self.has_room(need.tokens) && self.lacks(need.features).is_empty()
    }

    pub(super) fn has_room(&self, tokens: u64) -> bool {
        self.context_max.is_none_or(|max| tokens <= max)
    }

    pub(super) fn lacks(&self, features: Features) -> Features {
        self.features.map_or(Features::NONE, |mine| features.without(mine))
    }
}

/// What a client is told where all trials of a half-open breaker are under way.
const TRIAL_WAIT: Duration = Duration::from_secs(1);

// === impl TargetState ===

impl TargetState {
    /// Requests that are on their way now.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    fn is_limited(&self, now: Tick) -> bool {
        self.limited_until.load(Ordering::Relaxed) > now.0
    }

    /// What it costs to wait behind those that are there.
    pub(super) fn cost(&self, now: Tick) -> u64 {
        // A stranger who is being asked costs nothing that is known: the others go first.
        let micros = self.latency.micros(now).unwrap_or(u64::from(u32::MAX));
        micros.saturating_mul(self.in_flight() + 1)
    }
}

// === impl Attempt ===

impl Attempt {
    #[must_use]
    pub fn target(&self) -> &Arc<LlmTarget> {
        &self.target
    }

    /// The first byte of a good answer has come, so long after the request was sent. It is still
    /// in flight.
    pub fn succeeded(&mut self, now: Tick, first_byte: Duration) {
        if let Some(admission) = self.admission.take() {
            self.target.state.breaker.succeeded(admission, &self.target.breaker, now);
            self.target.state.latency.record(first_byte, now);
        }
    }

    /// It has had enough for now: it is left alone for so long, which is no failure of its.
    pub fn limited(&mut self, now: Tick, wait: Duration) {
        let until = now.after(wait);
        self.target.state.limited_until.store(until.0, Ordering::Relaxed);
        self.failed(now, Some(wait));
    }

    /// It failed, and the target is to blame. One that says when to come back works: it is left
    /// alone until then, and no longer, however often it says so.
    pub fn failed(&mut self, now: Tick, retry_after: Option<Duration>) {
        let (breaker, rules) = (&self.target.state.breaker, &self.target.breaker);
        let Some(admission) = self.admission.take() else { return };
        match retry_after {
            None => breaker.failed(admission, rules, now),
            Some(wait) => {
                breaker.given_back(admission);
                breaker.hold(rules, now, wait);
            }
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(admission) = self.admission.take() {
            self.target.state.breaker.given_back(admission);
        }
        self.target.state.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
