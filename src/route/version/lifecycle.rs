//! Where a version stands in its life at a given time, and what its callers are told of it.
//!
//! Dates move a version forward by themselves: nothing is reloaded, nothing waits for a timer, the
//! verdict is a comparison with the time it is given. What was written as the status is where the
//! version is at least.

use crate::clock::Wall;
use crate::http::date::imf_fixdate;
use crate::route::canary::PARTS;

/// The life of a version, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    Beta,
    #[default]
    Active,
    Deprecated,
    Sunset,
}

/// What is known of a version's life. Times are seconds since 1970.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    /// Where it is at least.
    pub status: Status,
    pub deprecated: Option<u64>,
    pub sunset: Option<u64>,
    pub brownouts: Vec<Brownout>,
}

/// Times at which requests are refused to tell callers who read no fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brownout {
    /// Not before, and not from then on.
    pub from: Option<u64>,
    pub until: Option<u64>,
    /// The time of day or week, in UTC; `None`: always.
    pub hours: Option<Hours>,
    /// How many of [`PARTS`] requests are refused at the beginning and at the end; in between the
    /// share grows evenly. Where they differ there are both ends.
    pub parts: (u32, u32),
}

/// Seconds of a day or week; an end before the beginning is on the next day or week.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    pub cycle: Cycle,
    pub begin: u64,
    pub end: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cycle {
    Day,
    /// From Monday.
    Week,
}

/// Where a version stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub status: Status,
    /// This request is to be refused, and may come again after so many seconds.
    pub brownout: Option<u64>,
}

// === impl Status ===

impl Status {
    /// The word in the configuration, the list of versions and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Status::Beta => "beta",
            Status::Active => "active",
            Status::Deprecated => "deprecated",
            Status::Sunset => "sunset",
        }
    }
}

// === impl Lifecycle ===

impl Lifecycle {
    /// Whether the verdict depends on the time at all.
    #[must_use]
    pub fn needs_time(&self) -> bool {
        self.deprecated.is_some() || self.sunset.is_some() || !self.brownouts.is_empty()
    }

    /// The verdict at a time; `draw` is a number below [`PARTS`], by chance.
    #[must_use]
    pub fn at(&self, now: Wall, draw: u32) -> Standing {
        let seconds = now.seconds();
        let passed = |date: Option<u64>| date.is_some_and(|date| seconds >= date);
        let by_date = if passed(self.sunset) {
            Status::Sunset
        } else if passed(self.deprecated) {
            Status::Deprecated
        } else {
            Status::Beta
        };
        let status = self.status.max(by_date);
        let brownout = match status {
            Status::Sunset => None,
            _ => self.brownouts.iter().find_map(|brownout| brownout.refuses(seconds, draw)),
        };
        Standing { status, brownout }
    }

    /// `@` and the second of deprecation (RFC 9745 section 2.1), of a version that is deprecated.
    #[must_use]
    pub fn deprecation(&self, status: Status) -> Option<u64> {
        self.deprecated.filter(|_| status >= Status::Deprecated)
    }

    /// The date of RFC 8594 section 3: told once the version is deprecated, or from the start where
    /// nobody said when it will be.
    #[must_use]
    pub fn sunset_date(&self, status: Status) -> Option<[u8; 29]> {
        let told = status >= Status::Deprecated || self.deprecated.is_none();
        let sunset = self.sunset.filter(|_| told)?;
        Some(imf_fixdate(Wall(sunset.saturating_mul(1_000_000_000))))
    }
}

// === impl Brownout ===

impl Brownout {
    /// Whether a request at this second is refused, and after how many it may come again.
    fn refuses(&self, now: u64, draw: u32) -> Option<u64> {
        if self.from.is_some_and(|from| now < from) || self.until.is_some_and(|end| now >= end) {
            return None;
        }
        let left = match self.hours {
            Some(hours) => Some(hours.left(now)?),
            None => None,
        };
        let (begin, end) = self.parts;
        let share = match (self.from, self.until) {
            (Some(from), Some(until)) if begin != end => {
                between(begin, end, now - from, until - from)
            }
            _ => begin,
        };
        if draw >= share {
            return None;
        }
        if share < PARTS {
            return Some(1); // the next one may well pass
        }
        let until_end = self.until.map(|until| until - now);
        [left, until_end].into_iter().flatten().min().or(Some(1))
    }
}

/// What lies between two shares after `gone` of `whole` seconds.
fn between(begin: u32, end: u32, gone: u64, whole: u64) -> u32 {
    let (begin, end) = (i128::from(begin), i128::from(end));
    let share = begin + (end - begin) * i128::from(gone) / i128::from(whole.max(1));
    u32::try_from(share).unwrap_or(0).min(PARTS)
}

// === impl Hours ===

impl Hours {
    /// How many seconds are left of them; `None` outside of them.
    fn left(self, now: u64) -> Option<u64> {
        const DAY: u64 = 86_400;
        let (cycle, at) = match self.cycle {
            Cycle::Day => (DAY, now % DAY),
            // 1970-01-01 was a Thursday: the third day after Monday.
            Cycle::Week => (7 * DAY, (now + 3 * DAY) % (7 * DAY)),
        };
        let length = (cycle + self.end - self.begin) % cycle;
        let gone = (cycle + at - self.begin) % cycle;
        (gone < length).then(|| length - gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(life: &Lifecycle, second: u64) -> Status {
        life.at(Wall(second * 1_000_000_000), 0).status
    }

    #[test]
    fn a_version_moves_at_the_very_second() {
        let life = Lifecycle { deprecated: Some(100), sunset: Some(200), ..Lifecycle::default() };
        assert_eq!(at(&life, 99), Status::Active);
        assert_eq!(at(&life, 100), Status::Deprecated);
        assert_eq!(at(&life, 199), Status::Deprecated);
        assert_eq!(at(&life, 200), Status::Sunset);
        assert_eq!(life.at(Wall(199_999_999_999), 0).status, Status::Deprecated);
        let beta = Lifecycle { status: Status::Beta, sunset: Some(5), ..Lifecycle::default() };
        assert_eq!((at(&beta, 4), at(&beta, 5)), (Status::Beta, Status::Sunset));
    }

    #[test]
    fn what_was_written_is_the_least() {
        let life =
            Lifecycle { status: Status::Sunset, deprecated: Some(9), ..Lifecycle::default() };
        assert_eq!(at(&life, 0), Status::Sunset);
        assert!(!Lifecycle::default().needs_time());
    }

    #[test]
    fn dates_are_told_when_they_matter() {
        let life = Lifecycle { deprecated: Some(100), sunset: Some(0), ..Lifecycle::default() };
        assert_eq!(life.deprecation(Status::Active), None);
        assert_eq!(life.deprecation(Status::Deprecated), Some(100));
        assert_eq!(life.sunset_date(Status::Active), None);
        let date = life.sunset_date(Status::Deprecated).expect("has one");
        assert_eq!(&date, b"Thu, 01 Jan 1970 00:00:00 GMT");
        let only = Lifecycle { sunset: Some(0), ..Lifecycle::default() };
        assert!(only.sunset_date(Status::Active).is_some());
    }

    const ALL: (u32, u32) = (PARTS, PARTS);

    fn window(hours: Option<Hours>, parts: (u32, u32)) -> Brownout {
        Brownout { from: Some(1_000), until: Some(2_000), hours, parts }
    }

    #[test]
    fn a_window_says_when_it_is_over() {
        let brownout = window(None, ALL);
        assert_eq!(brownout.refuses(999, 0), None);
        assert_eq!(brownout.refuses(1_000, PARTS - 1), Some(1_000));
        assert_eq!(brownout.refuses(1_999, 0), Some(1));
        assert_eq!(brownout.refuses(2_000, 0), None);
    }

    #[test]
    fn hours_come_again_also_over_midnight() {
        let night = Hours { cycle: Cycle::Day, begin: 23 * 3600, end: 3600 };
        assert_eq!(night.left(22 * 3600), None);
        assert_eq!(night.left(23 * 3600), Some(7200));
        assert_eq!(night.left(86_400 + 1800), Some(1800));
        assert_eq!(night.left(86_400 + 3600), None);
        // 2026-06-01 was a Monday.
        let monday = 1_780_272_000;
        let hours = Hours { cycle: Cycle::Week, begin: 10 * 3600, end: 11 * 3600 };
        assert_eq!(hours.left(monday + 10 * 3600), Some(3600));
        assert_eq!(hours.left(monday + 86_400 + 10 * 3600), None);
        assert_eq!(hours.left(monday + 7 * 86_400 + 10 * 3600 + 1), Some(3599));
    }

    #[test]
    fn a_share_of_requests_may_come_again_at_once() {
        let brownout = window(None, (500, 500));
        assert_eq!(brownout.refuses(1_500, 499), Some(1));
        assert_eq!(brownout.refuses(1_500, 500), None);
    }

    #[test]
    fn a_sunset_version_is_gone_and_not_browned_out() {
        let life = Lifecycle {
            sunset: Some(1_500),
            brownouts: vec![window(None, ALL)],
            ..Lifecycle::default()
        };
        assert_eq!(life.at(Wall(1_400 * 1_000_000_000), 0).brownout, Some(600));
        let gone = life.at(Wall(1_500 * 1_000_000_000), 0);
        assert_eq!(gone, Standing { status: Status::Sunset, brownout: None });
    }

    proptest! {
        #[test]
        fn a_growing_share_never_shrinks(
            begin in 0..=PARTS, end in 0..=PARTS, early in 1_000_u64..2_000, later in 0_u64..1_000,
        ) {
            let (low, high) = (begin.min(end), begin.max(end));
            let brownout = window(None, (low, high));
            let later = (early + later).min(1_999);
            let refused = |now| (0..PARTS).filter(|d| brownout.refuses(now, *d).is_some()).count();
            prop_assert!(refused(early) <= refused(later));
            prop_assert!(refused(early) >= low as usize && refused(later) <= high as usize);
        }

        #[test]
        fn a_status_never_goes_back(
            deprecated in prop::option::of(0_u64..100), sunset in prop::option::of(0_u64..100),
            early in 0_u64..120, later in 0_u64..120,
        ) {
            let life = Lifecycle { deprecated, sunset, ..Lifecycle::default() };
            prop_assert!(at(&life, early) <= at(&life, early + later));
        }
    }
}
