//! A circuit breaker: who has failed some times in a row, or with too large a share of the last
//! requests, is left alone for a while, then tried with a few requests, and left alone for twice as
//! long if those fail as well.
//!
//! All workers share it: how it stands is one word, the share a [`Tally`] (whose interleavings loom
//! explores); the rules are an argument, so that they may change while the state stays. Invariants:
//! while it is open nobody is admitted; while it is half open no more than `half_open` requests are
//! under way; what a request that was sent before it opened has to say changes nothing. A request
//! that is admitted settles its [`Admission`] once: succeeded, failed, or given back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::tally::Tally;
use crate::bounds::BALANCE_DOUBLINGS_MAX;
use crate::clock::{Tick, nanos};

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerRules {
    /// Failures in a row that open it; 0: no number does.
    pub failures: u32,
    /// The share of failures that opens it, in hundredths of a percent; 0: no share does. Without
    /// either nothing opens it but [`Breaker::hold`].
    pub ratio: u32,
    /// Of how many requests at least,
    pub requests_min: u32,
    /// which ended no longer ago than this.
    pub window: Duration,
    /// How long the first time, then twice that, and so on.
    pub open: Duration,
    /// But no longer than this.
    pub open_max: Duration,
    /// Requests at once while it is half open.
    pub half_open: u32,
}

/// The state of one breaker.
#[derive(Debug, Default)]
pub struct Breaker {
    word: AtomicU64,
    /// Requests that ended while it was closed.
    tally: Tally,
}

/// That a request may go.
#[must_use = "a trial that nobody settles keeps its place"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// As any other.
    Usual,
    /// To see whether it works again. Holds which time it was opened.
    Trial(Epoch),
}

/// Which time a breaker was opened: the end of that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(u64);

/// How a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    Closed,
    /// Until then.
    Open(Tick),
    HalfOpen,
}

/// The word, taken apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Word {
    /// The end of the open time in units of 2^20 ns (about a millisecond): 40 bits of them are 36
    /// years. 0: closed.
    until: u64,
    /// How often it has opened without closing in between; 8 bits.
    times: u64,
    /// Closed: failures in a row. Half open: trials under way. 16 bits.
    count: u64,
}

const UNIT: u32 = 20;
const UNTIL_MAX: u64 = (1 << 40) - 1;
const TIMES_MAX: u64 = (1 << 8) - 1;
const COUNT_MAX: u64 = (1 << 16) - 1;

// === impl Breaker ===

impl Breaker {
    /// How it stands.
    #[must_use]
    pub fn state(&self, now: Tick) -> BreakerState {
        match Word::of(self.word.load(Ordering::Relaxed)) {
            Word { until: 0, .. } => BreakerState::Closed,
            word if word.is_open(now) => BreakerState::Open(Tick(word.until << UNIT)),
            _ => BreakerState::HalfOpen,
        }
    }

    /// Whether [`Breaker::admit`] would admit a request.
    #[must_use]
    pub fn admits(&self, rules: &BreakerRules, now: Tick) -> bool {
        let word = Word::of(self.word.load(Ordering::Relaxed));
        word.until == 0 || word.has_trial(rules, now)
    }

    /// Lets a request go, or not.
    pub fn admit(&self, rules: &BreakerRules, now: Tick) -> Option<Admission> {
        let mut admission = None;
        self.change(|word| {
            admission = None;
            if word.until == 0 {
                admission = Some(Admission::Usual);
                return None;
            }
            word.has_trial(rules, now).then(|| {
                admission = Some(Admission::Trial(Epoch(word.until)));
                Word { count: word.count + 1, ..word }
            })
        });
        admission
    }

    /// It worked.
    pub fn succeeded(&self, admission: Admission, rules: &BreakerRules, now: Tick) {
        match admission {
            Admission::Usual => {
                if rules.ratio > 0 {
                    self.tally.count(rules.window, now, false);
                }
                self.change(|word| {
                    (word.until == 0 && word.count > 0).then_some(Word { count: 0, ..word })
                });
            }
            Admission::Trial(epoch) => {
                // What was before it opened is no reason to open it again.
                self.tally.clear();
                self.change(|word| (epoch.0 == word.until).then(Word::default));
            }
        }
    }

    /// It did not.
    pub fn failed(&self, admission: Admission, rules: &BreakerRules, now: Tick) {
        match admission {
            Admission::Usual => {
                let too_often = self.fails_too_often(rules, now);
                self.change(|word| {
                    let count = (word.count + 1).min(COUNT_MAX);
                    let in_a_row = rules.failures > 0 && count >= u64::from(rules.failures);
                    let next = if in_a_row || too_often {
                        word.opened(rules, now)
                    } else {
                        Word { count, ..word }
                    };
                    (word.until == 0).then_some(next)
                });
            }
            // Held only, by rules that never open it: that is over now.
            Admission::Trial(epoch) if rules.never_open() => {
                self.change(|word| (epoch.0 == word.until).then(Word::default));
            }
            Admission::Trial(epoch) => {
                self.change(|word| (epoch.0 == word.until).then(|| word.opened(rules, now)));
            }
        }
    }

    /// Counts a failure: whether there are too many among the last requests.
    fn fails_too_often(&self, rules: &BreakerRules, now: Tick) -> bool {
        if rules.ratio == 0 {
            return false;
        }
        self.tally.count(rules.window, now, true);
        let (all, failed) = self.tally.sums(rules.window, now);
        all >= u64::from(rules.requests_min) && failed * 10_000 >= all * u64::from(rules.ratio)
    }

    /// The request came to nothing for reasons of its own: its place is free again.
    pub fn given_back(&self, admission: Admission) {
        let Admission::Trial(epoch) = admission else { return };
        self.change(|word| {
            (epoch.0 == word.until && word.count > 0)
                .then(|| Word { count: word.count - 1, ..word })
        });
    }

    /// It is to be left alone for so long (as `Retry-After` may say), `open_max` at most; never
    /// shortens the time it is open.
    pub fn hold(&self, rules: &BreakerRules, now: Tick, wait: Duration) {
        let until = units(now, wait.min(rules.open_max));
        self.change(|word| (until > word.until).then_some(Word { until, count: 0, ..word }));
    }

    fn change(&self, next: impl FnMut(Word) -> Option<Word>) {
        let mut next = next;
        let mut seen = self.word.load(Ordering::Relaxed);
        while let Some(word) = next(Word::of(seen)) {
            // Nothing else is published by it.
            match self.word.compare_exchange_weak(
                seen,
                word.bits(),
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }
}

// === impl BreakerRules ===

impl BreakerRules {
    fn never_open(&self) -> bool {
        self.failures == 0 && self.ratio == 0
    }
}

// === impl Word ===

impl Word {
    fn of(bits: u64) -> Word {
        Word { until: bits >> 24, times: (bits >> 16) & TIMES_MAX, count: bits & COUNT_MAX }
    }

    fn bits(self) -> u64 {
        self.until << 24 | self.times << 16 | self.count
    }

    fn is_open(self, now: Tick) -> bool {
        self.until > now.0 >> UNIT
    }

    /// Half open, and not all of its trials are under way.
    fn has_trial(self, rules: &BreakerRules, now: Tick) -> bool {
        self.until > 0
            && !self.is_open(now)
            && self.count < u64::from(rules.half_open.max(1)).min(COUNT_MAX)
    }

    fn opened(self, rules: &BreakerRules, now: Tick) -> Word {
        let doublings = u32::try_from(self.times).expect("8 bits").min(BALANCE_DOUBLINGS_MAX);
        let open = rules.open.saturating_mul(1 << doublings).min(rules.open_max);
        // Later than the last time, so that trials of the two are told apart.
        let until = units(now, open).max(self.until + 1).min(UNTIL_MAX);
        Word { until, times: (self.times + 1).min(TIMES_MAX), count: 0 }
    }
}

/// The first unit that begins no earlier than `wait` after `now`.
fn units(now: Tick, wait: Duration) -> u64 {
    let at = now.0.saturating_add(nanos(wait));
    ((at >> UNIT) + 1).clamp(1, UNTIL_MAX)
}

#[cfg(test)]
mod tests;
