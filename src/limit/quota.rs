//! A quota as one number: when its period ends, and how much it has admitted.
//!
//! Periods are of the calendar in UTC, moved by an offset, and known by when they end: a state
//! whose end is past counts for nothing, whoever looks at it. Invariant: within a period no more
//! than the quota is admitted, also when the clock steps back over its start, by up to a period
//! (the later one goes on), or a reload changes the period (what was counted stays counted).
//!
//! What is known only afterwards (tokens, money) is reserved first and settled then. It may turn
//! out to be more than there was: a quota that [carries](Quota::carries) takes the rest from the
//! periods that follow. Its state is of another form, which says also until when it is to be kept.

use crate::clock::Wall;

/// Bits of the count; the second in which the period ends stands above them, below the top bit.
const COUNT_BITS: u32 = 44;
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;
/// Set in the state of a quota that carries: below it 27 bits of the minute in which the period
/// ends, 5 of how long after that the state is kept, 47 of the count. The other form never has it:
/// its ends are of 35 bits for a thousand years.
const CARRIES: u128 = 1 << 79;
const CARRIED_BITS: u32 = 47;
const CARRIED_MAX: u64 = (1 << CARRIED_BITS) - 1;
const KEEP_SHIFT: u32 = CARRIED_BITS;
const KEEP_MAX: u32 = 31;
const MINUTES_SHIFT: u32 = KEEP_SHIFT + 5;
const MINUTES_MAX: u64 = (1 << 27) - 1;
const _: () = assert!(MINUTES_SHIFT + 27 == 79, "a state is full");
const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 86_400;
/// 1970-01-01 was a Thursday; weeks begin on Monday (ISO 8601).
const MONDAY: u64 = 3;

/// What a quota is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    Minute,
    Hour,
    Day,
    Week,
    Month,
}

/// A quota: the arithmetic, not the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    pub max: u64,
    pub period: Period,
    /// How many seconds after midnight UTC (of Monday, of the 1st) its period begins; whole minutes
    /// if it carries.
    pub offset: u64,
    /// Whether what is over it counts against the periods that follow.
    pub carries: bool,
}

/// A quota as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    pub count: u64,
    /// Seconds until the period ends, at least 1.
    pub ends_in: u64,
}

/// There is not enough left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Seconds until there will be, if nobody takes any; `None`: never, it is not so large.
    pub wait: Option<u64>,
}

// === impl Quota ===

impl Quota {
    /// Counts `cost` more: the state after it.
    ///
    /// # Errors
    /// When that would be too much.
    pub fn take(&self, state: u128, now: Wall, cost: u64) -> Result<u128, Spent> {
        let (end, count) = self.settled(state, now);
        match count.checked_add(cost).filter(|sum| *sum <= self.max.min(self.count_max())) {
            Some(sum) => Ok(self.state(end, sum)),
            None => Err(Spent { wait: self.wait(count, cost, ends_in(end, now)) }),
        }
    }

    /// Corrects what was `reserved` when the state `taken` was written to what it came to: the
    /// state after it. Never says no.
    ///
    /// While the state is of the same period, its count comes to the sum of what was used, also if
    /// the period is over and nobody has begun the next. Later, what is left of a reservation is
    /// not given back: its period is past. What is over counts in the period of now.
    #[must_use]
    pub fn settle(
        &self,
        state: u128,
        now: Wall,
        taken: u128,
        (reserved, used): (u64, u64),
    ) -> u128 {
        let ((end, count), (taken_end, _)) = (read(state), read(taken));
        if end == taken_end {
            return self.state(end, count.saturating_sub(reserved).saturating_add(used));
        }
        match used.saturating_sub(reserved) {
            0 => state,
            over => {
                let (end, count) = self.settled(state, now);
                self.state(end, count.saturating_add(over))
            }
        }
    }

    /// How it stands.
    #[must_use]
    pub fn peek(&self, state: u128, now: Wall) -> Left {
        let (end, count) = self.settled(state, now);
        Left { count: self.max.saturating_sub(count), ends_in: ends_in(end, now) }
    }

    /// The end of the period that counts now, and its count.
    fn settled(&self, state: u128, now: Wall) -> (u64, u64) {
        let (was_end, count) = read(state);
        // It ends before the next period does, whatever the calendar says.
        if was_end.wrapping_sub(now.seconds()).wrapping_sub(1) < self.period.seconds_min() {
            return (was_end, count);
        }
        let (start, end) = self.period.around(now.seconds(), self.offset);
        if was_end <= now.seconds() {
            (end, self.carried(count, was_end, start))
        } else if was_end > end + (end - start) {
            // Counted by a longer period before a reload: nobody waits for the end of that.
            (end, count)
        } else {
            (was_end, count)
        }
    }

    /// What is left of a count in the period from `start` on: each since has paid its share.
    fn carried(&self, count: u64, end: u64, start: u64) -> u64 {
        if !self.carries || count <= self.max {
            return 0;
        }
        let length = self.period.seconds_mean();
        // To the nearest: months are not all of one length.
        let since = (start.saturating_sub(end) + length / 2) / length;
        count.saturating_sub(self.max.saturating_mul(since + 1))
    }

    /// Seconds until `cost` fits, `count` being counted in a period that ends in `ends_in`.
    fn wait(&self, count: u64, cost: u64, ends_in: u64) -> Option<u64> {
        if cost > self.max {
            return None;
        }
        let over = count.saturating_add(cost).saturating_sub(self.max);
        let more = if self.carries { over.div_ceil(self.max.max(1)).saturating_sub(1) } else { 0 };
        Some(ends_in.saturating_add(more.saturating_mul(self.period.seconds_mean())))
    }

    fn count_max(&self) -> u64 {
        if self.carries { CARRIED_MAX } else { COUNT_MAX }
    }

    fn state(&self, end: u64, count: u64) -> u128 {
        let count = count.min(self.count_max());
        if !self.carries {
            return u128::from(end) << COUNT_BITS | u128::from(count);
        }
        let minutes = u128::from(end.div_ceil(MINUTE).min(MINUTES_MAX));
        let keep = u128::from(self.keep(count));
        CARRIES | minutes << MINUTES_SHIFT | keep << KEEP_SHIFT | u128::from(count)
    }

    /// For how long after its period a state matters: 0, or the power of two of minutes above that.
    fn keep(&self, count: u64) -> u32 {
        if count <= self.max {
            return 0;
        }
        let periods = count.div_ceil(self.max.max(1)) - 1;
        let minutes = periods.saturating_mul(self.period.seconds_max() / MINUTE);
        let power = minutes.checked_next_power_of_two().map_or(u64::BITS, u64::trailing_zeros);
        (power + 1).min(KEEP_MAX)
    }
}

fn ends_in(end: u64, now: Wall) -> u64 {
    end.saturating_sub(now.seconds()).max(1)
}

/// The end and the count of a state of either form.
fn read(state: u128) -> (u64, u64) {
    let bits = |from: u32, count: u32| {
        u64::try_from(state >> from & ((1 << count) - 1)).expect("at most 47 bits")
    };
    if state & CARRIES == 0 {
        return (bits(COUNT_BITS, 35), bits(0, COUNT_BITS));
    }
    (bits(MINUTES_SHIFT, 27) * MINUTE, bits(0, CARRIED_BITS))
}

/// Whether the period of this state is over: nothing is lost if it is forgotten.
#[must_use]
pub fn is_over(state: u128, now: Wall) -> bool {
    let (end, _) = read(state);
    let keep = if state & CARRIES == 0 { 0 } else { state >> KEEP_SHIFT & u128::from(KEEP_MAX) };
    let kept = if keep == 0 { 0 } else { (1_u64 << (keep - 1)) * MINUTE };
    end + kept <= now.seconds()
}

// === impl Period ===

impl Period {
    pub const ALL: [Period; 5] =
        [Period::Minute, Period::Hour, Period::Day, Period::Week, Period::Month];

    /// The word in the configuration and in policies.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Period::Minute => "minute",
            Period::Hour => "hour",
            Period::Day => "day",
            Period::Week => "week",
            Period::Month => "month",
        }
    }

    /// How long the shortest such period is, in seconds: an offset is less.
    #[must_use]
    pub fn seconds_min(self) -> u64 {
        match self {
            Period::Month => 28 * DAY,
            _ => self.seconds_mean(),
        }
    }

    /// How long the longest such period is, in seconds.
    fn seconds_max(self) -> u64 {
        match self {
            Period::Month => 31 * DAY,
            _ => self.seconds_mean(),
        }
    }

    /// How long such periods are, one with another: 4,800 months are 146,097 days.
    fn seconds_mean(self) -> u64 {
        match self {
            Period::Minute => MINUTE,
            Period::Hour => HOUR,
            Period::Day => DAY,
            Period::Week => 7 * DAY,
            Period::Month => 146_097 * DAY / 4800,
        }
    }

    /// First second of the period that `now` is in, and of the next.
    #[must_use]
    pub fn around(self, now: u64, offset: u64) -> (u64, u64) {
        // The first periods of the epoch are of no interest: nobody's clock is there for long.
        let moved = now.saturating_sub(offset);
        let (start, end) = match self {
            Period::Minute | Period::Hour | Period::Day => {
                let start = moved - moved % self.seconds_mean();
                (start, start + self.seconds_mean())
            }
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
