//! A token bucket as one number: the time at which it will be full again (GCRA's theoretical
//! arrival time).
//!
//! Time is CLOCK_BOOTTIME in units of 2^-22 ns: fine enough that a rate of 1,000,000/s loses less
//! than a thousandth of a token a second to rounding, and 80 bits of it last nine years of uptime.
//! The interval between tokens is rounded up. Invariant: between any two instants t apart, no more
//! than `burst + rate * t` tokens are given, whatever the order in which threads with slightly
//! different ideas of now arrive: one who is late is treated as if it had come later.
//!
//! What is known only afterwards (tokens of a model, money) is reserved first and settled then. If
//! it turns out to be more, a bucket that [carries](Bucket::carrying) is in debt: its state stands
//! further ahead than an empty one's, and nothing is given until time has made up for it.

use crate::clock::Boot;

/// Binary digits behind a nanosecond.
const FRACTION: u32 = 22;
/// What a state may be: the 80 bits a slot has for it.
const STATE_MAX: u128 = (1 << 80) - 1;
/// A bucket that fills for longer than this is refused when it is made.
const FILL_NS_MAX: u128 = 366 * 86_400 * 1_000_000_000;
/// The least interval: rounding up costs less than a thousandth of a token.
const INTERVAL_MIN: u128 = 1 << 10;
/// How many times what it holds a bucket may owe. A bound, so that a reload that makes a slow
/// bucket a fast one does not leave its callers waiting for what the slow one would have taken.
const DEBT_DEPTHS: u128 = 100;

/// Tokens in a time: "100/s", "0.5/s", "6000/m".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// In thousandths of a token.
    pub thousandths: u64,
    pub per_ns: u64,
}

/// What a bucket of some rate and burst is: the arithmetic, not the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Between two tokens.
    interval: u128,
    /// From empty to full.
    depth: u128,
    burst: u64,
    /// How far beyond empty it may stand.
    debt: u128,
}

/// Why there is no such bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BucketError {
    /// No tokens, or none ever.
    Empty,
    /// It would take more than a year to fill.
    TooSlow,
    /// Its tokens come faster than they can be counted.
    TooFast,
}

/// A bucket as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Whole tokens in it.
    pub tokens: u64,
    /// Until it is full.
    pub full_in_ns: u64,
}

/// There are not enough tokens in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short {
    /// Until there will be, if nobody takes any; `None`: never, it does not hold so many.
    pub wait_ns: Option<u64>,
}

// === impl Bucket ===

impl Bucket {
    /// A bucket that gets tokens at `rate` and holds `burst` of them.
    ///
    /// # Errors
    /// When it would hold none, or hardly ever get one.
    pub fn new(rate: Rate, burst: u64) -> Result<Bucket, BucketError> {
        if rate.thousandths == 0 || rate.per_ns == 0 || burst == 0 {
            return Err(BucketError::Empty);
        }
        let span = (u128::from(rate.per_ns) * 1000) << FRACTION;
        // Up: a token too late is allowed, one too early is not.
        let interval = span.div_ceil(u128::from(rate.thousandths));
        if interval < INTERVAL_MIN {
            return Err(BucketError::TooFast);
        }
        let depth = interval.checked_mul(u128::from(burst)).ok_or(BucketError::TooSlow)?;
        if depth >> FRACTION > FILL_NS_MAX {
            return Err(BucketError::TooSlow);
        }
        Ok(Bucket { interval, depth, burst, debt: 0 })
    }

    /// The same, and it may owe: what it gives is settled afterwards.
    #[must_use]
    pub fn carrying(self) -> Bucket {
        Bucket { debt: self.depth.saturating_mul(DEBT_DEPTHS), ..self }
    }

    /// The most tokens it holds.
    #[must_use]
    pub fn burst(&self) -> u64 {
        self.burst
    }

    /// How long an empty one takes to fill.
    #[must_use]
    pub fn fill_ns(&self) -> u64 {
        nanos(self.depth)
    }

    /// Takes `cost` tokens: the state after it.
    ///
    /// # Errors
    /// When there are not so many.
    pub fn take(&self, state: u128, now: Boot, cost: u64) -> Result<u128, Short> {
        let now = at(now);
        let before = self.settled(state, now);
        let after = self.interval.saturating_mul(u128::from(cost)).saturating_add(before);
        if after > now + self.depth || after > STATE_MAX {
            let wait = after.saturating_sub(now + self.depth);
            return Err(Short { wait_ns: (cost <= self.burst).then(|| nanos(wait)) });
        }
        Ok(after)
    }

    /// Gives back `cost` tokens that were taken at `taken`: the state after it.
    ///
    /// What the bucket would have got since then and not held, had the tokens never been taken, is
    /// not given back: that could be tokens twice. It is at most the time that has passed.
    #[must_use]
    pub fn give_back(&self, state: u128, taken: Boot, now: Boot, cost: u64) -> u128 {
        let passed = at(now).saturating_sub(at(taken));
        let credit = self.interval.saturating_mul(u128::from(cost)).saturating_sub(passed);
        state.saturating_sub(credit)
    }

    /// Corrects what was `reserved` when the state `taken` was written to what it came to: the
    /// state after it. Never says no.
    ///
    /// What was reserved and not used is worth what the bucket would still have to wait for it: by
    /// the time of `taken` it would have been full again in any case, had nobody else come.
    #[must_use]
    pub fn settle(
        &self,
        state: u128,
        taken: u128,
        now: Boot,
        (reserved, used): (u64, u64),
    ) -> u128 {
        let now = at(now);
        let time = |tokens: u64| self.interval.saturating_mul(u128::from(tokens));
        if used <= reserved {
            let credit = time(reserved - used).min(taken.saturating_sub(now));
            return state.saturating_sub(credit);
        }
        let most = (now + self.depth).saturating_add(self.debt).min(STATE_MAX);
        let after = self.settled(state, now).saturating_add(time(used - reserved));
        after.min(most)
    }

    /// How it stands.
    #[must_use]
    pub fn peek(&self, state: u128, now: Boot) -> Fill {
        let now = at(now);
        let missing = self.settled(state, now) - now;
        let tokens = self.depth.saturating_sub(missing) / self.interval;
        Fill { tokens: u64::try_from(tokens).unwrap_or(u64::MAX), full_in_ns: nanos(missing) }
    }

    /// The state as it counts now: a full bucket is full now, and one that was filled by a slower
    /// rate or a larger burst before a reload is at worst empty, or as deep in debt as can be.
    fn settled(&self, state: u128, now: u128) -> u128 {
        state.clamp(now, (now + self.depth).saturating_add(self.debt))
    }
}

/// Whether every bucket of this state is full: nothing is lost if it is forgotten.
#[must_use]
pub fn is_full(state: u128, now: Boot) -> bool {
    state <= at(now)
}

fn at(time: Boot) -> u128 {
    u128::from(time.0) << FRACTION
}

/// In whole nanoseconds, rounded up.
fn nanos(units: u128) -> u64 {
    u64::try_from(units.div_ceil(1 << FRACTION)).unwrap_or(u64::MAX)
}

#[cfg(all(test, not(loom)))]
#[path = "bucket/tests.rs"]
mod tests;
