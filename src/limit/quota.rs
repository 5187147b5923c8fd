//! A quota as one number: when its period ends, and how many it has admitted.
//!
//! Periods are of the calendar in UTC, moved by an offset, and known by the second in which they
//! end: a state whose end is past counts for nothing, whoever looks at it. Invariant: within a
//! period no more than the quota is admitted, also when the clock steps back over its start, by up
//! to a period (the later one goes on), or a reload changes the period (what was counted stays
//! counted).

use crate::clock::Wall;

/// Bits of the count; the end of the period stands above them.
const COUNT_BITS: u32 = 44;
const COUNT_MAX: u128 = (1 << COUNT_BITS) - 1;
const DAY: u64 = 86_400;
/// 1970-01-01 was a Thursday; weeks begin on Monday (ISO 8601).
const MONDAY: u64 = 3;

/// What a quota is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    Day,
    Week,
    Month,
}

/// A quota: the arithmetic, not the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    pub max: u64,
    pub period: Period,
    /// How many seconds after midnight UTC (of Monday, of the 1st) its period begins.
    pub offset: u64,
}

/// A quota as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    pub count: u64,
    /// Seconds until the period ends, at least 1.
    pub ends_in: u64,
}

// === impl Quota ===

impl Quota {
    /// Counts `cost` more: the state after it and what is left.
    ///
    /// # Errors
    /// When that would be too many, with what is left.
    pub fn take(&self, state: u128, now: Wall, cost: u64) -> Result<(u128, Left), Left> {
        let (end, count) = self.settled(state, now);
        let ends_in = end.saturating_sub(now.seconds()).max(1);
        let left = |count: u64| Left { count: self.max.saturating_sub(count), ends_in };
        match count.checked_add(cost).filter(|sum| *sum <= self.max.min(max_count())) {
            Some(sum) => Ok((u128::from(end) << COUNT_BITS | u128::from(sum), left(sum))),
            None => Err(left(count)),
        }
    }

    /// Counts `cost` less, if the period is the one in which it was counted.
    #[must_use]
    pub fn give_back(&self, state: u128, taken: u128, cost: u64) -> u128 {
        let same = state >> COUNT_BITS == taken >> COUNT_BITS;
        let count = state & COUNT_MAX;
        if same { state - count.min(u128::from(cost)) } else { state }
    }

    /// How it stands.
    #[must_use]
    pub fn peek(&self, state: u128, now: Wall) -> Left {
        let (end, count) = self.settled(state, now);
        Left {
            count: self.max.saturating_sub(count),
            ends_in: end.saturating_sub(now.seconds()).max(1),
        }
    }

    /// The end of the period that counts now, and its count.
    fn settled(&self, state: u128, now: Wall) -> (u64, u64) {
        let (start, end) = self.period.around(now.seconds(), self.offset);
        let was_end = u64::try_from(state >> COUNT_BITS).unwrap_or(u64::MAX);
        let count = u64::try_from(state & COUNT_MAX).expect("44 bits");
        if was_end <= now.seconds() {
            (end, 0)
        } else if was_end > end + (end - start) {
            // Counted by a longer period before a reload: nobody waits for the end of that.
            (end, count)
        } else {
            (was_end, count)
        }
    }
}

/// Whether the period of this state is over: nothing is lost if it is forgotten.
#[must_use]
pub fn is_over(state: u128, now: Wall) -> bool {
    state >> COUNT_BITS <= u128::from(now.seconds())
}

fn max_count() -> u64 {
    u64::try_from(COUNT_MAX).expect("44 bits")
}

// === impl Period ===

impl Period {
    /// The word in the configuration and in policies.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Period::Day => "day",
            Period::Week => "week",
            Period::Month => "month",
        }
    }

    /// How long the shortest such period is, in seconds: an offset is less.
    #[must_use]
    pub fn seconds_min(self) -> u64 {
        match self {
            Period::Day => DAY,
            Period::Week => 7 * DAY,
            Period::Month => 28 * DAY,
        }
    }

    /// First second of the period that `now` is in, and of the next.
    #[must_use]
    pub fn around(self, now: u64, offset: u64) -> (u64, u64) {
        // The first periods of the epoch are of no interest: nobody's clock is there for long.
        let moved = now.saturating_sub(offset);
        let (start, end) = match self {
            Period::Day => (moved - moved % DAY, moved - moved % DAY + DAY),
            Period::Week => {
                let into = (moved + MONDAY * DAY) % (7 * DAY);
                (moved.saturating_sub(into), moved - into.min(moved) + 7 * DAY)
            }
            Period::Month => {
                let (first, length) = month_of(moved / DAY);
                (first * DAY, (first + length) * DAY)
            }
        };
        (start + offset, end + offset)
    }
}

/// The first day of the month that day (since 1970-01-01) is in, and how many it has.
///
/// Howard Hinnant's `civil_from_days`, for days from 1970 on.
fn month_of(day: u64) -> (u64, u64) {
    let shifted = day + 719_468;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153; // from March
    let first_of_year = (153 * month + 2) / 5;
    let day_of_month = day_of_year - first_of_year;
    // February is the last: its end is the year's.
    let length = if month == 11 {
        let year = year_of_era + 1; // the calendar year this February is in, modulo 400
        28 + u64::from(is_leap(year))
    } else {
        (153 * (month + 1) + 2) / 5 - first_of_year
    };
    (day - day_of_month, length)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

#[cfg(all(test, not(loom)))]
#[path = "quota/tests.rs"]
mod tests;
