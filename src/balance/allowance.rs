//! The retry budget that all workers share: a share of the requests and some a second, kept as
//! what is left of it, on one word.
//!
//! The same promise as [`super::Budget`], without its window: what is not used is kept up to
//! `window` of the floor, or ten retries where that is more, and no further. Invariant: in any time
//! t no more retries are granted than that, and `percent` of the requests, and the floor of t.

use std::sync::atomic::{AtomicU64, Ordering};

use super::BudgetRules;
use crate::clock::{Tick, nanos};

/// What is left.
#[derive(Debug)]
pub struct Allowance {
    rules: BudgetRules,
    /// Upper half: the time up to which the floor is in it, in units of 2^20 ns. Lower half: what
    /// is left, in hundredths of a retry.
    word: AtomicU64,
}

const UNIT: u32 = 20;
const HALF: u64 = u32::MAX as u64;
/// In hundredths.
const RETRY: u64 = 100;

// === impl Allowance ===

impl Allowance {
    /// A full one.
    #[must_use]
    pub fn new(rules: BudgetRules, now: Tick) -> Allowance {
        let allowance = Allowance { rules, word: AtomicU64::new(0) };
        let word = stamp(now) << 32 | allowance.most();
        allowance.word.store(word, Ordering::Relaxed);
        allowance
    }

    #[must_use]
    pub fn rules(&self) -> &BudgetRules {
        &self.rules
    }

    /// Counts a request: its first try, not its retries.
    pub fn deposit(&self, now: Tick) {
        let earned = u64::from(self.rules.percent);
        self.change(now, |left| Some(left + earned));
    }

    /// Takes one retry out, if there is one.
    #[must_use]
    pub fn withdraw(&self, now: Tick) -> bool {
        self.change(now, |left| left.checked_sub(RETRY))
    }

    fn change(&self, now: Tick, next: impl Fn(u64) -> Option<u64>) -> bool {
        let mut seen = self.word.load(Ordering::Relaxed);
        loop {
            let (then, left) = (seen >> 32, seen & HALF);
            let passed = stamp(now).wrapping_sub(then) & HALF;
            // A worker whose now is a little earlier adds nothing.
            let passed = if passed > HALF / 2 { 0 } else { passed };
            let floor = passed * (u64::from(self.rules.min_per_second) * RETRY) * (1 << UNIT)
                / 1_000_000_000;
            // Time that has not yet earned anything is not forgotten.
            let then = if floor > 0 { stamp(now) } else { then };
            let Some(left) = next((left + floor).min(self.most())) else { return false };
            let word = then << 32 | left.min(self.most());
            match self.word.compare_exchange_weak(seen, word, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(other) => seen = other,
            }
        }
    }

    fn most(&self) -> u64 {
        let seconds = nanos(self.rules.window) / 1_000_000_000;
        let floor = u64::from(self.rules.min_per_second).saturating_mul(seconds);
        floor.clamp(10, HALF / (2 * RETRY)) * RETRY
    }
}

fn stamp(now: Tick) -> u64 {
    (now.0 >> UNIT) & HALF
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn rules(percent: u32, min_per_second: u32) -> BudgetRules {
        BudgetRules { percent, min_per_second, window: Duration::from_secs(10) }
    }

    fn retries(allowance: &Allowance, tries: u32, now: Tick) -> u32 {
        (0..tries).map(|_| u32::from(allowance.withdraw(now))).sum()
    }

    #[test]
    fn a_share_of_the_requests_beside_what_there_was() {
        let allowance = Allowance::new(rules(20, 0), Tick(0));
        assert_eq!(retries(&allowance, 1000, Tick(0)), 10);
        for (requests, allowed) in [(4, 0), (1, 1), (9, 1), (1, 1), (40, 8)] {
            (0..requests).for_each(|_| allowance.deposit(Tick(1)));
            assert_eq!(retries(&allowance, 1000, Tick(1)), allowed, "after {requests} more");
        }
        (0..10_000).for_each(|_| allowance.deposit(Tick(2)));
        assert_eq!(retries(&allowance, 1000, Tick(2)), 10, "not without bound");
    }

    #[test]
    fn the_floor_is_for_quiet_times_and_comes_back() {
        let allowance = Allowance::new(rules(20, 3), Tick(0));
        assert_eq!(retries(&allowance, 1000, Tick(0)), 30);
        assert_eq!(retries(&allowance, 1000, Tick(SECOND / 100)), 0);
        let second = retries(&allowance, 1000, Tick(SECOND + SECOND / 100));
        assert!((2..=3).contains(&second), "{second}");
        assert_eq!(retries(&allowance, 1000, Tick(3600 * SECOND)), 30);
    }

    #[test]
    fn calls_close_upon_each_other_lose_no_time() {
        let allowance = Allowance::new(rules(0, 1), Tick(0));
        assert_eq!(retries(&allowance, 1000, Tick(0)), 10);
        let granted: u32 =
            (0..100_000u64).map(|i| retries(&allowance, 1, Tick(i * SECOND / 1000))).sum();
        assert!((95..=100).contains(&granted), "{granted}");
    }

    #[test]
    fn an_upstream_that_always_fails_sees_a_fifth_more() {
        let allowance = Allowance::new(rules(20, 1), Tick(0));
        let mut granted = 0;
        for i in 0..100_000u64 {
            let now = Tick(i * SECOND / 1000);
            allowance.deposit(now);
            granted += u32::from(allowance.withdraw(now));
        }
        assert!((19_900..=20_200).contains(&granted), "{granted}");
    }
}
