//! When the requests of an open-loop run are due. Pure: a schedule never looks at the clock and
//! never skips; who is late sends at once.
//!
//! Invariant: constant arrivals are t_i = t0 + i/rate by integer arithmetic, so no error builds
//! up over a long run.

use crate::cli::Arrivals;
use crate::clock::Nanos;
use crate::dice::Dice;

/// One thread's share of the whole schedule.
pub struct Schedule {
    start: Nanos,
    /// No request is due at or after this.
    end: Nanos,
    left: u64,
    next: Option<Nanos>,
    kind: Kind,
}

enum Kind {
    /// Of the common sequence 0, 1, 2, ... this thread has `index`, `index + stride`, ...
    Constant { index: u64, stride: u64, millihertz: u64 },
    /// Independent per thread: the sum of Poisson processes is one.
    Poisson { at: f64, mean_gap: f64, dice: Dice },
}

/// Which of how many threads.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    pub index: usize,
    pub of: usize,
}

// === impl Schedule ===

impl Schedule {
    /// `rate` is that of all threads together; `requests` bounds this thread's.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "rates are positive and bounded by the caller; thread counts are small"
    )]
    pub fn new(
        arrivals: Arrivals,
        rate: f64,
        share: Share,
        start: Nanos,
        end: Nanos,
        requests: u64,
        seed: u64,
    ) -> Schedule {
        let kind = match arrivals {
            Arrivals::Constant => Kind::Constant {
                index: share.index as u64,
                stride: share.of as u64,
                millihertz: ((rate * 1e3).round() as u64).max(1),
            },
            Arrivals::Poisson => Kind::Poisson {
                at: 0.0,
                mean_gap: 1e9 * share.of as f64 / rate,
                dice: Dice::new(seed ^ (share.index as u64) << 32),
            },
        };
        let mut schedule = Schedule { start, end, left: requests, next: None, kind };
        schedule.advance();
        schedule
    }

    /// When the next request is due; `None` once the schedule is over.
    #[must_use]
    pub fn peek(&self) -> Option<Nanos> {
        self.next
    }

    /// Takes the next request.
    pub fn take(&mut self) -> Option<Nanos> {
        let due = self.next?;
        self.advance();
        Some(due)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "nanoseconds of a run fit 64 bits, and gaps are positive"
    )]
    fn advance(&mut self) {
        self.next = None;
        if self.left == 0 {
            return;
        }
        self.left -= 1;
        let offset = match &mut self.kind {
            Kind::Constant { index, stride, millihertz } => {
                let offset = u128::from(*index) * 1_000_000_000_000 / u128::from(*millihertz);
                *index += *stride;
                u64::try_from(offset).unwrap_or(u64::MAX)
            }
            Kind::Poisson { at, mean_gap, dice } => {
                *at += -dice.unit().ln() * *mean_gap;
                *at as u64
            }
        };
        let due = self.start.saturating_add(offset);
        self.next = (due < self.end).then_some(due);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::SECOND;

    fn all(mut schedule: Schedule) -> Vec<Nanos> {
        std::iter::from_fn(|| schedule.take()).collect()
    }

    fn constant(rate: f64, index: usize, of: usize, start: Nanos, end: Nanos) -> Vec<Nanos> {
        let share = Share { index, of };
        all(Schedule::new(Arrivals::Constant, rate, share, start, end, u64::MAX, 1))
    }

    #[test]
    fn constant_is_exact_after_a_million() {
        let due = constant(20_000.0, 0, 1, 7, 7 + 60 * SECOND);
        assert_eq!(due.len(), 1_200_000);
        for i in [0u64, 1, 2, 999_999, 1_199_999] {
            assert_eq!(due[usize::try_from(i).unwrap()], 7 + i * 50_000);
        }
    }

    #[test]
    fn a_rate_that_does_not_divide_does_not_drift() {
        let due = constant(3.0, 0, 1, 0, 1000 * SECOND);
        assert_eq!(due.len(), 3000);
        assert_eq!(due[2999], 2999 * SECOND / 3);
    }

    #[test]
    fn requests_bound_the_schedule() {
        let share = Share { index: 0, of: 1 };
        let schedule = Schedule::new(Arrivals::Constant, 10.0, share, 0, u64::MAX, 5, 1);
        assert_eq!(all(schedule).len(), 5);
    }

    #[test]
    fn poisson_has_the_mean_and_the_spread_of_one() {
        let share = Share { index: 0, of: 1 };
        let end = 100 * SECOND;
        let due = all(Schedule::new(Arrivals::Poisson, 1000.0, share, 0, end, u64::MAX, 42));
        // 100,000 expected; the standard deviation of the count is 316.
        assert!(due.len().abs_diff(100_000) < 1500, "{}", due.len());
        let gaps: Vec<f64> = due.windows(2).map(|w| (w[1] - w[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((mean / 1e6 - 1.0).abs() < 0.02, "{mean}");
        // An exponential's deviation equals its mean; a constant schedule's would be 0.
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.03, "{}", variance.sqrt());
    }

    proptest! {
        #[test]
        fn threads_share_one_sequence(
            rate in 1.0..50_000.0f64,
            of in 1usize..5,
            start in 0u64..SECOND,
        ) {
            let end = start + SECOND / 4;
            let mut together: Vec<Nanos> =
                (0..of).flat_map(|index| constant(rate, index, of, start, end)).collect();
            together.sort_unstable();
            prop_assert_eq!(together, constant(rate, 0, 1, start, end));
        }
    }
}
