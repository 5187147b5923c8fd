//! The retry budget of an upstream: how many of the recent requests may have been retries.
//!
//! A retry is allowed while the retries of the last window stay below a share of its requests plus
//! a floor for quiet times (the scheme of Finagle and linkerd). So retries can never multiply the
//! load of an upstream that fails, whatever each request's own limit says.

use std::time::Duration;

use super::window::Window;
use crate::clock::{Tick, nanos};

/// How many retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetRules {
    /// Of 100 requests, so many may be tried again.
    pub percent: u32,
    /// And so many retries a second in any case.
    pub min_per_second: u32,
    /// What "recent" is.
    pub window: Duration,
}

/// The account of one upstream.
#[derive(Clone, Debug)]
pub struct Budget {
    rules: BudgetRules,
    /// First counter: requests; second: retries.
    window: Window,
}

// === impl BudgetRules ===

impl Default for BudgetRules {
    /// linkerd's: 20 % and ten a second, over ten seconds.
    fn default() -> BudgetRules {
        BudgetRules { percent: 20, min_per_second: 10, window: Duration::from_secs(10) }
    }
}

// === impl Budget ===

impl Budget {
    /// A full budget.
    #[must_use]
    pub fn new(rules: BudgetRules) -> Budget {
        Budget { rules, window: Window::new(rules.window) }
    }

    /// Counts a request: its first try, not its retries.
    pub fn deposit(&mut self, now: Tick) {
        self.window.count(false, now);
    }

    /// Takes one retry out, if there is one.
    #[must_use]
    pub fn withdraw(&mut self, now: Tick) -> bool {
        let [requests, retries] = self.window.sums(now);
        // In units of a hundredth of a retry.
        let earned = u128::from(requests) * u128::from(self.rules.percent);
        let floor = u128::from(self.rules.min_per_second) * u128::from(nanos(self.rules.window))
            / 10_000_000;
        let allowed = (u128::from(retries) + 1) * 100 <= earned + floor;
        if allowed {
            self.window.count(true, now);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn retries(budget: &mut Budget, tries: u32, now: Tick) -> u32 {
        (0..tries).map(|_| u32::from(budget.withdraw(now))).sum()
    }

    #[test]
    fn a_share_of_the_requests_and_no_more() {
        let rules = BudgetRules { min_per_second: 0, ..BudgetRules::default() };
        let mut budget = Budget::new(rules);
        assert!(!budget.withdraw(Tick(0)));
        for (requests, allowed) in [(4, 0), (1, 1), (9, 1), (1, 1), (985, 197)] {
            (0..requests).for_each(|_| budget.deposit(Tick(1)));
            assert_eq!(retries(&mut budget, 1000, Tick(1)), allowed, "after {requests} more");
        }
    }

    #[test]
    fn the_floor_is_for_quiet_times_and_comes_back() {
        let mut budget = Budget::new(BudgetRules::default());
        assert_eq!(retries(&mut budget, 1000, Tick(0)), 100);
        assert_eq!(retries(&mut budget, 1000, Tick(8 * SECOND)), 0);
        assert_eq!(retries(&mut budget, 1000, Tick(10 * SECOND)), 100);
    }

    #[test]
    fn old_requests_earn_nothing() {
        let rules = BudgetRules { min_per_second: 0, ..BudgetRules::default() };
        let mut budget = Budget::new(rules);
        (0..100).for_each(|_| budget.deposit(Tick(0)));
        assert!(budget.withdraw(Tick(9 * SECOND)));
        assert!(!budget.withdraw(Tick(11 * SECOND)));
    }

    // The promise: in any window at most (percent of its requests + floor) are retries.
    #[test]
    fn an_upstream_that_always_fails_sees_a_fifth_more() {
        let rules = BudgetRules { min_per_second: 1, ..BudgetRules::default() };
        let mut budget = Budget::new(rules);
        let mut granted = 0;
        for i in 0..100_000u64 {
            let now = Tick(i * SECOND / 1000);
            budget.deposit(now);
            granted += u32::from(budget.withdraw(now));
        }
        assert!((19_000..=20_200).contains(&granted), "{granted}");
    }
}
