//! Durations as log-linear buckets: four to a power of two, from 1 us to 137 s.
//!
//! Owns the bucket arithmetic and nothing else: which durations exist is `metrics`' business. A
//! recorded value is known to within 12.5 %: a bucket is at most a quarter of its lower bound
//! wide.
//! Invariant: every `u64` has exactly one bucket, and a bucket's upper bound is inclusive, so that
//! it is Prometheus' `le` without a correction.

use super::count::Count;

/// The first bucket ends here: 2^10 ns. Shorter is of no interest to anybody who serves HTTP.
const FIRST_BITS: u32 = 10;
/// The last finite bucket ends here: 2^37 ns, 137 s.
const LAST_BITS: u32 = 37;
/// Four buckets to a power of two.
const SUB_BITS: u32 = 2;
const SUBS: usize = 1 << SUB_BITS;
const OCTAVES: usize = (LAST_BITS - FIRST_BITS) as usize;

/// Buckets of a histogram: one below the first power of two, one above the last.
pub const BUCKETS: usize = OCTAVES * SUBS + 2;

/// One worker's histogram: written by its owner, read by the scraper.
pub struct Histogram {
    buckets: [Count; BUCKETS],
    sum_ns: Count,
}

/// The same, summed over workers at a scrape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    buckets: [u64; BUCKETS],
    sum_ns: u64,
}

// === impl Histogram ===

impl Histogram {
    /// All buckets empty.
    #[must_use]
    pub const fn new() -> Histogram {
        Histogram { buckets: [const { Count::new() }; BUCKETS], sum_ns: Count::new() }
    }

    /// Counts one duration; only the owning worker calls this.
    #[inline]
    pub fn record_ns(&self, ns: u64) {
        self.buckets[bucket_of(ns)].add(1);
        self.sum_ns.add(ns);
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram::new()
    }
}

// === impl Distribution ===

impl Distribution {
    /// Nothing recorded.
    #[must_use]
    pub const fn new() -> Distribution {
        Distribution { buckets: [0; BUCKETS], sum_ns: 0 }
    }

    /// Adds what one worker has recorded.
    pub fn merge(&mut self, histogram: &Histogram) {
        for (sum, bucket) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *sum += bucket.get();
        }
        self.sum_ns = self.sum_ns.wrapping_add(histogram.sum_ns.get());
    }

    /// How many durations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Their sum in nanoseconds.
    #[must_use]
    pub fn sum_ns(&self) -> u64 {
        self.sum_ns
    }

    /// `(upper bound in ns, how many at or below it)` for the finite buckets, `per_octave` (1, 2
    /// or 4) of them to a power of two: fewer lines in a scrape, each still exact.
    pub fn cumulative(&self, per_octave: usize) -> impl Iterator<Item = (u64, u64)> + '_ {
        assert!(matches!(per_octave, 1 | 2 | 4), "a power of two is cut into 1, 2 or 4");
        let step = SUBS / per_octave;
        let mut below = 0;
        self.buckets[..BUCKETS - 1].iter().enumerate().filter_map(move |(i, count)| {
            below += count;
            (i % step == 0).then(|| (upper_ns(i), below))
        })
    }

    /// The duration at or below which a share `q` of all lie, to within a bucket; 0 when empty.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank: counts stay far below 2^53, and q is clamped to 0..=1"
    )]
    pub fn quantile_ns(&self, q: f64) -> u64 {
        let count = self.count();
        let rank = ((count as f64 * q.clamp(0.0, 1.0)).ceil() as u64).max(1);
        let mut below = 0;
        for (i, bucket) in self.buckets.iter().enumerate() {
            below += bucket;
            if below >= rank {
                return upper_ns(i.min(BUCKETS - 2));
            }
        }
        0
    }
}

impl Default for Distribution {
    fn default() -> Self {
        Distribution::new()
    }
}

/// The bucket whose bounds `(lower, upper]` hold `ns`.
#[inline]
fn bucket_of(ns: u64) -> usize {
    // One less makes the upper bound inclusive: 1024 ns belong to the bucket that ends there.
    let units = ns.saturating_sub(1) >> (FIRST_BITS - SUB_BITS);
    if units < SUBS as u64 {
        return 0;
    }
    let octave = 63 - units.leading_zeros() - SUB_BITS;
    let sub = ((units >> octave) & (SUBS as u64 - 1)) as usize;
    (1 + octave as usize * SUBS + sub).min(BUCKETS - 1)
}

/// The inclusive upper bound of a finite bucket.
const fn upper_ns(bucket: usize) -> u64 {
    if bucket == 0 {
        return 1 << FIRST_BITS;
    }
    let (octave, sub) = ((bucket - 1) / SUBS, (bucket - 1) % SUBS);
    ((SUBS + sub + 1) as u64) << (FIRST_BITS - SUB_BITS) << octave
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[u64]) -> Distribution {
        let histogram = Histogram::new();
        values.iter().for_each(|ns| histogram.record_ns(*ns));
        let mut merged = Distribution::new();
        merged.merge(&histogram);
        merged
    }

    #[test]
    fn an_upper_bound_is_inclusive_and_one_more_is_the_next_bucket() {
        for bucket in 0..BUCKETS - 1 {
            assert_eq!(bucket_of(upper_ns(bucket)), bucket);
            assert_eq!(bucket_of(upper_ns(bucket) + 1), bucket + 1);
        }
        assert_eq!(bucket_of(0), 0);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
        assert_eq!(upper_ns(0), 1024);
        assert_eq!(upper_ns(BUCKETS - 2), 1 << LAST_BITS);
    }

    #[test]
    fn a_bucket_is_at_most_a_quarter_of_its_lower_bound_wide() {
        for bucket in 1..BUCKETS - 1 {
            let (low, high) = (upper_ns(bucket - 1), upper_ns(bucket));
            assert!((high - low) * 4 <= low, "bucket {bucket}: {low}..{high}");
        }
    }

    #[test]
    fn every_coarseness_ends_at_the_same_bound_and_count() {
        let d = of(&[0, 1024, 1025, 5_000_000, 1 << 37, u64::MAX]);
        for per_octave in [1, 2, 4] {
            let all: Vec<_> = d.cumulative(per_octave).collect();
            assert_eq!(all.len(), OCTAVES * per_octave + 1);
            assert_eq!(all[0], (1024, 2));
            assert_eq!(all.last(), Some(&(1 << 37, 5)));
        }
        assert_eq!(d.count(), 6);
    }

    #[test]
    fn quantiles_of_nothing_one_and_many() {
        assert_eq!(of(&[]).quantile_ns(0.5), 0);
        assert_eq!(of(&[1000]).quantile_ns(0.99), 1024);
        let thousand: Vec<u64> = (1..=1000).map(|us| us * 1000).collect();
        let p99 = of(&thousand).quantile_ns(0.99);
        assert!((990_000..=990_000 * 5 / 4).contains(&p99), "{p99}");
        assert_eq!(of(&thousand).sum_ns(), 500_500_000);
    }

    proptest! {
        #[test]
        fn any_duration_lies_within_its_buckets_bounds(ns in 0_u64..1 << 40) {
            let bucket = bucket_of(ns);
            if bucket < BUCKETS - 1 { prop_assert!(ns <= upper_ns(bucket)); }
            if bucket > 0 { prop_assert!(ns > upper_ns(bucket - 1)); }
        }
    }
}
