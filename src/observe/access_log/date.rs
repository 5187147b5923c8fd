//! The time of day as text, worked out once a second.
//!
//! Owns the civil calendar (proleptic Gregorian, UTC, no leap seconds) and the two forms that log
//! lines use. Reads no clock.

use super::line::{LineBuf, low_byte};
use crate::clock::Wall;

/// Both forms of the time last asked for.
pub struct Dates {
    second: u64,
    /// `2026-11-21T22:12:00.123Z`
    iso: [u8; 24],
    /// `21/Nov/2026:22:12:00 +0000`
    clf: [u8; 26],
}

const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
const DAY: u64 = 86_400;
/// Year 9999 ends here: later has no four-digit year, and is a clock gone wrong.
const SECOND_MAX: u64 = 253_402_300_799;

// === impl Dates ===

impl Dates {
    /// At the epoch.
    #[must_use]
    pub fn new() -> Dates {
        let mut dates = Dates {
            second: u64::MAX,
            iso: *b"0000-00-00T00:00:00.000Z",
            clf: *b"00/Jan/0000:00:00:00 +0000",
        };
        dates.set(Wall(0));
        dates
    }

    /// Makes `at` the time that is written.
    #[inline]
    pub(super) fn set(&mut self, at: Wall) {
        let millis = at.0 / 1_000_000 % 1000;
        self.iso[20] = b'0' + low_byte(millis / 100);
        put2(&mut self.iso, 21, millis % 100);
        let second = at.seconds().min(SECOND_MAX);
        if second != self.second {
            self.second = second;
            self.render();
        }
    }

    /// ISO 8601, UTC, milliseconds.
    pub(super) fn write_iso(&self, out: &mut LineBuf) {
        out.front(&self.iso, self.iso.len());
    }

    /// The common log format's.
    pub(super) fn write_clf(&self, out: &mut LineBuf) {
        out.front(&self.clf, self.clf.len());
    }

    fn render(&mut self) {
        let (days, of_day) = (self.second / DAY, self.second % DAY);
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        put2(&mut self.iso, 0, year / 100);
        put2(&mut self.iso, 2, year % 100);
        put2(&mut self.iso, 5, month);
        put2(&mut self.iso, 8, day);
        put2(&mut self.clf, 0, day);
        let name = usize::from(low_byte(month - 1)) * 3;
        self.clf[3..6].copy_from_slice(&MONTHS[name..name + 3]);
        put2(&mut self.clf, 7, year / 100);
        put2(&mut self.clf, 9, year % 100);
        for (i, n) in [hour, minute, second].into_iter().enumerate() {
            put2(&mut self.iso, 11 + 3 * i, n);
            put2(&mut self.clf, 12 + 3 * i, n);
        }
    }
}

impl Default for Dates {
    fn default() -> Self {
        Dates::new()
    }
}

fn put2(out: &mut [u8], at: usize, n: u64) {
    out[at] = b'0' + low_byte(n / 10);
    out[at + 1] = b'0' + low_byte(n % 10);
}

/// Year, month and day of a day counted from 1970-01-01 (Hinnant's `civil_from_days`).
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468; // from 0000-03-01, so that a leap day ends its year
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(dates: &mut Dates, at: Wall) -> (String, String) {
        dates.set(at);
        both_as_set(dates)
    }

    fn both_as_set(dates: &Dates) -> (String, String) {
        let text = |write: &dyn Fn(&mut LineBuf)| {
            let mut line = LineBuf::new();
            write(&mut line);
            String::from_utf8(line.bytes().to_vec()).unwrap()
        };
        (text(&|l| dates.write_iso(l)), text(&|l| dates.write_clf(l)))
    }

    #[test]
    fn known_instants_in_both_forms() {
        let mut dates = Dates::new();
        for (second, iso, clf) in [
            (0, "1970-01-01T00:00:00", "01/Jan/1970:00:00:00 +0000"),
            (951_782_399, "2000-02-28T23:59:59", "28/Feb/2000:23:59:59 +0000"),
            (951_782_400, "2000-02-29T00:00:00", "29/Feb/2000:00:00:00 +0000"),
            (1_709_251_199, "2024-02-29T23:59:59", "29/Feb/2024:23:59:59 +0000"),
            (1_709_251_200, "2024-03-01T00:00:00", "01/Mar/2024:00:00:00 +0000"),
            (4_107_542_399, "2100-02-28T23:59:59", "28/Feb/2100:23:59:59 +0000"),
            (4_107_542_400, "2100-03-01T00:00:00", "01/Mar/2100:00:00:00 +0000"),
            (SECOND_MAX, "9999-12-31T23:59:59", "31/Dec/9999:23:59:59 +0000"),
        ] {
            dates.second = second;
            dates.render();
            assert_eq!(both_as_set(&dates), (format!("{iso}.000Z"), clf.to_string()));
        }
    }

    #[test]
    fn a_clock_gone_wrong_is_still_a_date() {
        let (iso, _) = both(&mut Dates::new(), Wall(u64::MAX));
        assert_eq!(iso, "2554-07-21T23:34:33.709Z");
    }

    #[test]
    fn milliseconds_move_within_a_cached_second() {
        let mut dates = Dates::new();
        for (ns, millis) in
            [(0, "000"), (999_999, "000"), (45_000_000, "045"), (999_999_999, "999")]
        {
            let (iso, _) = both(&mut dates, Wall(1_763_763_120_000_000_000 + ns));
            assert_eq!(iso, format!("2025-11-21T22:12:00.{millis}Z"));
        }
    }

    #[test]
    fn every_day_of_four_centuries_follows_the_one_before() {
        let mut before = civil(0);
        for day in 1..146_097 {
            let now = civil(day);
            let next_day = (before.0, before.1, before.2 + 1);
            let next_month = (before.0, before.1 + 1, 1);
            let next_year = (before.0 + 1, 1, 1);
            assert!(now == next_day || now == next_month || now == next_year && before.1 == 12);
            assert!((1..=31).contains(&now.2) && (1..=12).contains(&now.1));
            before = now;
        }
        assert_eq!(civil(146_097), (2370, 1, 1));
    }
}
