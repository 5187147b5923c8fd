//! Passive outlier ejection: what the results of real requests say of each endpoint.
//!
//! An endpoint is left out after too many failures in a row, or too many of the recent requests,
//! for a time that doubles each time it happens; not more than a share of the endpoints at once;
//! and it comes back with a share of its weight that grows. Whoever owns the endpoints carries an
//! [`Outlier`] over a reload by the endpoint's name.

use std::time::Duration;

use super::RAMP_FULL;
use super::window::Window;
use crate::bounds::BALANCE_DOUBLINGS_MAX;
use crate::clock::{Tick, nanos};

/// When to eject, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EjectionRules {
    /// Failures in a row; 0 turns this reason off.
    pub consecutive_failures: u32,
    /// Failures of 100 requests in the window; 0 turns this reason off.
    pub failure_percent: u32,
    /// The window of `failure_percent`.
    pub window: Duration,
    /// Requests in the window below which `failure_percent` says nothing.
    pub requests_min: u32,
    /// The first ejection lasts so long, the next twice that, and so on.
    pub base: Duration,
    /// But none longer than this.
    pub longest: Duration,
    /// Of 100 endpoints so many may be out at once; one always may, if there is another.
    pub ejected_percent_max: u32,
    /// After coming back, the time until the full share; zero for at once.
    pub slow_start: Duration,
}

/// How a request ended, as far as the endpoint is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It answered, and not with an error of its own.
    Good,
    /// It refused, was silent, broke off, or answered 5xx.
    Bad,
}

/// What is known of one endpoint.
#[derive(Clone, Debug)]
pub struct Outlier {
    failures_in_a_row: u32,
    /// First counter: good; second: bad.
    window: Window,
    ejected_until: Tick,
    /// The length of the last ejection, and how many came close upon each other.
    ejected_for: Duration,
    times: u32,
    /// When its ramp began, if it has one.
    ramp_from: Option<Tick>,
}

/// The endpoints of one upstream, by position.
#[derive(Clone, Debug)]
pub struct Ejection {
    rules: EjectionRules,
    endpoints: Vec<Outlier>,
}

// === impl EjectionRules ===

impl Default for EjectionRules {
    /// Envoy's numbers, but half of the endpoints may be out.
    fn default() -> EjectionRules {
        EjectionRules {
            consecutive_failures: 5,
            failure_percent: 0,
            window: Duration::from_secs(10),
            requests_min: 20,
            base: Duration::from_secs(30),
            longest: Duration::from_secs(300),
            ejected_percent_max: 50,
            slow_start: Duration::ZERO,
        }
    }
}

// === impl Outlier ===

impl Outlier {
    /// An endpoint nothing is known of; it takes its full share.
    #[must_use]
    pub fn new(rules: &EjectionRules) -> Outlier {
        Outlier {
            failures_in_a_row: 0,
            window: Window::new(rules.window),
            ejected_until: Tick(0),
            ejected_for: Duration::ZERO,
            times: 0,
            ramp_from: None,
        }
    }

    /// An endpoint that joins others which are at work: it starts slowly.
    #[must_use]
    pub fn joining(rules: &EjectionRules, now: Tick) -> Outlier {
        Outlier { ramp_from: Some(now), ..Outlier::new(rules) }
    }

    fn is_outlier(&mut self, rules: &EjectionRules, now: Tick) -> bool {
        if rules.consecutive_failures > 0 && self.failures_in_a_row >= rules.consecutive_failures {
            return true;
        }
        let [good, bad] = self.window.sums(now);
        rules.failure_percent > 0
            && good + bad >= u64::from(rules.requests_min)
            && bad * 100 >= (good + bad) * u64::from(rules.failure_percent)
    }

    fn eject(&mut self, rules: &EjectionRules, now: Tick) -> Tick {
        let doublings = self.times.min(BALANCE_DOUBLINGS_MAX);
        self.times = self.times.saturating_add(1);
        self.ejected_for = rules.base.saturating_mul(1 << doublings).min(rules.longest);
        self.ejected_until = now.after(self.ejected_for);
        self.ramp_from = Some(self.ejected_until);
        self.failures_in_a_row = 0;
        self.window.clear();
        self.ejected_until
    }
}

// === impl Ejection ===

impl Ejection {
    /// Keeps watch over these endpoints: new ones, or carried over.
    #[must_use]
    pub fn new(rules: EjectionRules, endpoints: Vec<Outlier>) -> Ejection {
        let mut endpoints = endpoints;
        for endpoint in &mut endpoints {
            // The rules may have changed while the endpoint stayed. What one window counted says
            // little in another; how often and until when it was ejected still holds.
            endpoint.window = Window::new(rules.window);
        }
        Ejection { rules, endpoints }
    }

    /// What is known of an endpoint, to carry it over.
    #[must_use]
    pub fn outlier(&self, i: usize) -> Option<&Outlier> {
        self.endpoints.get(i)
    }

    /// Whether the endpoint may be used.
    #[must_use]
    pub fn usable(&self, i: usize, now: Tick) -> bool {
        self.endpoints.get(i).is_none_or(|e| e.ejected_until <= now)
    }

    /// Its share of its weight, of [`RAMP_FULL`]: grows in a line over `slow_start`, from a tenth.
    #[must_use]
    pub fn ramp(&self, i: usize, now: Tick) -> u32 {
        let Some(from) = self.endpoints.get(i).and_then(|e| e.ramp_from) else { return RAMP_FULL };
        let (passed, whole) = (nanos(now.since(from)), nanos(self.rules.slow_start));
        if passed >= whole {
            return RAMP_FULL;
        }
        let part = u128::from(RAMP_FULL) * u128::from(passed) / u128::from(whole);
        u32::try_from(part).expect("less than the whole").max(RAMP_FULL / 10)
    }

    /// Probes found the endpoint up again: it starts slowly.
    pub fn on_return(&mut self, i: usize, now: Tick) {
        if let Some(endpoint) = self.endpoints.get_mut(i) {
            endpoint.ramp_from = Some(now);
        }
    }

    /// Takes the result of a request. `Some` says that it ejects the endpoint, and until when.
    pub fn on_result(&mut self, i: usize, outcome: Outcome, now: Tick) -> Option<Tick> {
        let rules = self.rules;
        let endpoint = self.endpoints.get_mut(i)?;
        if endpoint.ejected_until > now {
            return None; // sent before the ejection: it is already judged
        }
        // It stayed in for as long as it was out: the past is forgotten.
        let quiet = now.since(endpoint.ejected_until);
        if endpoint.times > 0 && quiet >= endpoint.ejected_for.max(rules.window) {
            endpoint.times = 0;
        }
        endpoint.window.count(outcome == Outcome::Bad, now);
        if outcome == Outcome::Good {
            endpoint.failures_in_a_row = 0;
            return None;
        }
        endpoint.failures_in_a_row = endpoint.failures_in_a_row.saturating_add(1);
        if !endpoint.is_outlier(&rules, now) || !self.may_eject(now) {
            return None;
        }
        self.endpoints.get_mut(i).map(|endpoint| endpoint.eject(&rules, now))
    }

    /// Whether one more may go.
    fn may_eject(&self, now: Tick) -> bool {
        let all = self.endpoints.len();
        let out = self.endpoints.iter().filter(|e| e.ejected_until > now).count();
        let share = usize::try_from(self.rules.ejected_percent_max.min(100)).unwrap_or(100);
        // Never the only one: a bad endpoint is better than none.
        let most = (all * share / 100).max(1).min(all.saturating_sub(1));
        out < most
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Outcome::{Bad, Good};

    const S: u64 = 1_000_000_000;

    fn watch(rules: EjectionRules, endpoints: usize) -> Ejection {
        Ejection::new(rules, vec![Outlier::new(&rules); endpoints])
    }

    fn rules() -> EjectionRules {
        EjectionRules {
            consecutive_failures: 3,
            base: Duration::from_secs(10),
            longest: Duration::from_secs(35),
            ..EjectionRules::default()
        }
    }

    #[test]
    fn a_row_of_failures_ejects_for_longer_each_time() {
        let mut e = watch(rules(), 2);
        // second, outcome of endpoint 0, ejected until
        for (at, outcome, until) in [
            (0, Bad, None),
            (0, Bad, None),
            (1, Good, None), // breaks the row
            (1, Bad, None),
            (1, Bad, None),
            (2, Bad, Some(12)),
            (3, Bad, None), // late answers of an ejected endpoint count for nothing
            (11, Bad, None),
            (12, Bad, None),
            (12, Bad, None),
            (13, Bad, Some(33)),
            (33, Bad, None),
            (33, Bad, None),
            (33, Bad, Some(68)), // forty seconds, but for the longest
            (103, Good, None),   // 35 seconds in after 35 seconds out: forgotten
            (103, Bad, None),
            (103, Bad, None),
            (103, Bad, Some(113)),
        ] {
            assert_eq!(
                e.on_result(0, outcome, Tick(at * S)),
                until.map(|u| Tick(u * S)),
                "at {at}"
            );
        }
        for (at, usable) in [(103, false), (112, false), (113, true), (114, true)] {
            assert_eq!(e.usable(0, Tick(at * S)), usable, "at {at}");
            assert!(e.usable(1, Tick(at * S)));
        }
    }

    #[test]
    fn a_share_of_failures_ejects_once_there_are_enough_requests() {
        let rules = EjectionRules {
            consecutive_failures: 0,
            failure_percent: 50,
            requests_min: 10,
            ..EjectionRules::default()
        };
        let mut e = watch(rules, 2);
        for i in 0..9 {
            assert_eq!(e.on_result(0, if i % 2 == 0 { Bad } else { Good }, Tick(0)), None);
        }
        assert!(e.on_result(0, Bad, Tick(0)).is_some());

        // The same failures spread over more than the window do nothing.
        let mut e = watch(rules, 2);
        for i in 0..100 {
            assert_eq!(e.on_result(0, Bad, Tick(i * 2 * S)), None);
        }
        // Nor do they among many good ones.
        let mut e = watch(rules, 2);
        for i in 0..1000 {
            assert_eq!(e.on_result(0, if i % 3 == 0 { Bad } else { Good }, Tick(0)), None);
        }
    }

    #[test]
    fn not_more_than_a_share_of_them_and_never_the_only_one() {
        // endpoints, percent, how many of them all failing are ejected
        for (endpoints, percent, ejected) in
            [(1, 100, 0), (2, 100, 1), (2, 50, 1), (4, 50, 2), (10, 10, 1), (10, 0, 1), (5, 50, 2)]
        {
            let rules = EjectionRules { ejected_percent_max: percent, ..rules() };
            let mut e = watch(rules, endpoints);
            let mut out = 0;
            for i in (0..endpoints).cycle().take(endpoints * 10) {
                out += usize::from(e.on_result(i, Bad, Tick(0)).is_some());
            }
            assert_eq!(out, ejected, "{percent} % of {endpoints}");
        }
        // One that came back makes room.
        let mut e = watch(rules(), 2);
        for _ in 0..3 {
            e.on_result(0, Bad, Tick(0));
        }
        (0..5).for_each(|_| assert_eq!(e.on_result(1, Bad, Tick(0)), None));
        assert_eq!(e.on_result(1, Bad, Tick(10 * S)), Some(Tick(20 * S)));
    }

    #[test]
    fn it_comes_back_slowly() {
        let rules = EjectionRules { slow_start: Duration::from_secs(100), ..rules() };
        let mut e = watch(rules, 2);
        assert_eq!(e.ramp(0, Tick(0)), RAMP_FULL);
        for _ in 0..3 {
            e.on_result(0, Bad, Tick(0));
        }
        for (at, ramp) in
            [(10, 25), (15, 25), (35, 64), (60, 128), (109, 253), (110, 256), (999, 256)]
        {
            assert_eq!(e.ramp(0, Tick(at * S)), ramp, "at {at}");
        }
        assert_eq!(e.ramp(1, Tick(20 * S)), RAMP_FULL);
        e.on_return(1, Tick(1000 * S));
        assert_eq!(e.ramp(1, Tick(1050 * S)), 128);
        let joined = Ejection::new(rules, vec![Outlier::joining(&rules, Tick(0))]);
        assert_eq!(joined.ramp(0, Tick(50 * S)), 128);
        // Without a slow start there is no ramp at all.
        let mut e = watch(self::rules(), 2);
        for _ in 0..3 {
            e.on_result(0, Bad, Tick(0));
        }
        assert_eq!(e.ramp(0, Tick(10 * S)), RAMP_FULL);
    }

    #[test]
    fn an_ejection_is_carried_over_a_reload_by_whoever_knows_the_names() {
        let mut old = watch(rules(), 2);
        for _ in 0..3 {
            old.on_result(1, Bad, Tick(0));
        }
        let fresh = Outlier::new(&rules());
        let carried =
            vec![old.outlier(1).cloned().unwrap(), fresh, old.outlier(0).cloned().unwrap()];
        let mut new = Ejection::new(rules(), carried);
        let usable = |e: &Ejection, t| [0, 1, 2].map(|i| e.usable(i, Tick(t)));
        assert_eq!(usable(&new, S), [false, true, true]);
        // And so is the count: the next one is twice as long.
        let until = (0..3).filter_map(|_| new.on_result(0, Bad, Tick(10 * S))).next();
        assert_eq!(until, Some(Tick(30 * S)));
    }
}
