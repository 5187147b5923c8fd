//! How long an endpoint takes for its first byte: a moving average on one word that all workers
//! share.
//!
//! A sample moves the average by an eighth of the difference; what nobody has measured for a while
//! is believed less and less, so that one who was slow once is tried again. Invariant: an estimate
//! lies between the samples, and never above the one before if no sample came in between.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::{Tick, nanos};

/// The average of one endpoint. Nothing is known of a new one.
#[derive(Debug, Default)]
pub struct Latency(AtomicU64);

/// Of the difference between a sample and the average.
const SHARE: u64 = 8;
/// Without a sample for so long, an estimate is half of what it was.
const HALF_LIFE: Duration = Duration::from_secs(30);
/// Time is kept in units of 2^24 ns (17 ms), 32 bits of them: two years, then it wraps, and one
/// estimate is believed for too long or not long enough.
const UNIT: u32 = 24;

// === impl Latency ===

impl Latency {
    /// Takes a sample.
    pub fn record(&self, sample: Duration, now: Tick) {
        let sample = u64::try_from(sample.as_micros()).unwrap_or(u64::MAX);
        let sample = sample.clamp(1, u64::from(u32::MAX));
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            let next = match estimate(seen, now) {
                None => sample,
                Some(old) if sample > old => old + (sample - old).div_ceil(SHARE),
                Some(old) => old - (old - sample).div_ceil(SHARE),
            };
            let word = next << 32 | stamp(now);
            match self.0.compare_exchange_weak(seen, word, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }

    /// The estimate in microseconds; `None` before the first sample.
    #[must_use]
    pub fn micros(&self, now: Tick) -> Option<u64> {
        estimate(self.0.load(Ordering::Relaxed), now)
    }
}

fn stamp(now: Tick) -> u64 {
    (now.0 >> UNIT) & u64::from(u32::MAX)
}

/// The upper half of a word is microseconds, 0 for nothing known; the lower one the time.
fn estimate(word: u64, now: Tick) -> Option<u64> {
    let (micros, then) = (word >> 32, word & u64::from(u32::MAX));
    if micros == 0 {
        return None;
    }
    // Wrapping: a worker whose now is a little earlier than the sample's sees no time passed.
    let passed = stamp(now).wrapping_sub(then) & u64::from(u32::MAX);
    if passed > u64::from(u32::MAX) / 2 {
        return Some(micros);
    }
    let half = nanos(HALF_LIFE) >> UNIT;
    let halvings = passed / half;
    if halvings >= 32 {
        return Some(1);
    }
    // Between two halvings in a line.
    let halved = micros >> halvings;
    Some((halved - halved * (passed % half) / (2 * half)).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn nothing_is_known_before_the_first_sample_which_is_then_the_estimate() {
        let latency = Latency::default();
        assert_eq!(latency.micros(Tick(5)), None);
        latency.record(ms(80), Tick(0));
        assert_eq!(latency.micros(Tick(0)), Some(80_000));
        latency.record(ms(160), Tick(0));
        assert_eq!(latency.micros(Tick(0)), Some(90_000));
        latency.record(Duration::ZERO, Tick(0));
        assert_eq!(latency.micros(Tick(0)), Some(78_750));
        latency.record(Duration::MAX, Tick(0));
        assert!(latency.micros(Tick(0)).unwrap() > 500_000_000);
    }

    #[test]
    fn what_is_not_measured_again_is_believed_less() {
        let latency = Latency::default();
        latency.record(ms(1000), Tick(10 * SECOND));
        for (at, about) in [(10, 1_000_000), (25, 750_000), (40, 500_000), (70, 250_000)] {
            let seen = latency.micros(Tick(at * SECOND)).unwrap();
            assert!(seen.abs_diff(about) <= about / 100, "{seen} at {at}");
        }
        assert_eq!(latency.micros(Tick(3600 * SECOND)), Some(1));
        // A worker whose time is a little behind.
        assert_eq!(latency.micros(Tick(9 * SECOND)), Some(1_000_000));
    }

    proptest! {
        #[test]
        fn an_estimate_lies_between_the_samples(
            samples in prop::collection::vec(1u64..10_000_000, 1..50),
            at in 0u64..u64::MAX / 2,
        ) {
            let latency = Latency::default();
            for sample in &samples {
                latency.record(Duration::from_micros(*sample), Tick(at));
            }
            let seen = latency.micros(Tick(at)).unwrap();
            prop_assert!(seen >= *samples.iter().min().unwrap());
            prop_assert!(seen <= *samples.iter().max().unwrap());
        }

        #[test]
        fn an_estimate_falls_while_nobody_measures(
            sample in 1u64..10_000_000,
            mut passed in prop::collection::vec(0u64..100 * SECOND, 1..20),
        ) {
            let latency = Latency::default();
            latency.record(Duration::from_micros(sample), Tick(0));
            passed.sort_unstable();
            let seen: Vec<u64> =
                passed.iter().map(|at| latency.micros(Tick(*at)).unwrap()).collect();
            prop_assert!(seen.is_sorted_by(|a, b| a >= b), "{seen:?}");
            prop_assert!(seen.iter().all(|micros| *micros >= 1 && *micros <= sample));
        }
    }
}
