//! What active probes say of an endpoint: up after `rise` good ones in a row, down after `fall` bad
//! ones. Sends no probe and knows no protocol.

use std::time::Duration;

use super::random::Random;
use crate::clock::{Tick, nanos};

/// When probes count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthRules {
    /// Good probes in a row that bring an endpoint back; at least 1.
    pub rise: u32,
    /// Bad probes in a row that take it out; at least 1.
    pub fall: u32,
    /// From one probe to the next.
    pub interval: Duration,
}

/// The state of one endpoint. Before the first probe it counts as up, so that a gateway serves at
/// once; the first result decides alone.
#[derive(Clone, Debug, Default)]
pub struct Health {
    state: State,
    /// Results in a row that speak against the state.
    against: u32,
}

/// What a probe changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthChange {
    /// It may be used again.
    CameUp,
    /// It may not be used any more.
    WentDown,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Unknown,
    Up,
    Down,
}

// === impl Health ===

impl Health {
    /// Not probed yet.
    #[must_use]
    pub fn new() -> Health {
        Health::default()
    }

    /// Whether the endpoint may be used.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.state != State::Down
    }

    /// Takes the result of a probe.
    pub fn on_probe(&mut self, good: bool, rules: &HealthRules) -> Option<HealthChange> {
        let needed = match (self.state, good) {
            (State::Unknown, _) => 1,
            (State::Up, true) | (State::Down, false) => {
                self.against = 0;
                return None;
            }
            (State::Up, false) => rules.fall.max(1),
            (State::Down, true) => rules.rise.max(1),
        };
        self.against += 1;
        if self.against < needed {
            return None;
        }
        self.against = 0;
        let before = std::mem::replace(&mut self.state, if good { State::Up } else { State::Down });
        match (before, good) {
            (State::Unknown, true) => None, // it was usable all along
            (_, true) => Some(HealthChange::CameUp),
            (_, false) => Some(HealthChange::WentDown),
        }
    }
}

// === impl HealthRules ===

impl HealthRules {
    /// When to probe next: an interval from `now`, less up to a tenth of it at random, so that the
    /// probes of many endpoints and gateways drift apart.
    pub fn next(&self, now: Tick, random: &mut Random) -> Tick {
        let jitter = random.below(nanos(self.interval) / 10 + 1);
        now.after(self.interval - Duration::from_nanos(jitter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use HealthChange::{CameUp, WentDown};

    #[test]
    fn probes_in_a_row_decide() {
        let rules = HealthRules { rise: 2, fall: 3, interval: Duration::from_secs(5) };
        let mut health = Health::new();
        assert!(health.is_up());
        for (step, (good, change, up)) in [
            (true, None, true),
            (false, None, true),
            (false, None, true),
            (true, None, true), // the row is broken
            (false, None, true),
            (false, None, true),
            (false, Some(WentDown), false),
            (false, None, false),
            (true, None, false),
            (false, None, false),
            (true, None, false),
            (true, Some(CameUp), true),
            (false, None, true),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(health.on_probe(good, &rules), change, "step {step}");
            assert_eq!(health.is_up(), up, "step {step}");
        }
    }

    #[test]
    fn the_first_probe_decides_alone() {
        let rules = HealthRules { rise: 5, fall: 5, interval: Duration::from_secs(1) };
        let mut health = Health::new();
        assert_eq!(health.on_probe(false, &rules), Some(WentDown));
        assert!(!health.is_up());
    }

    #[test]
    fn probes_drift_apart_but_are_never_late() {
        let rules = HealthRules { rise: 1, fall: 1, interval: Duration::from_nanos(1000) };
        let mut random = Random::new(1);
        let ticks: Vec<u64> = (0..100).map(|_| rules.next(Tick(50), &mut random).0).collect();
        assert!(ticks.iter().all(|t| (950..=1050).contains(t)));
        assert!(ticks.iter().any(|t| *t != ticks[0]));
    }
}
