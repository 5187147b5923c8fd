//! IMF-fixdate, the one date format HTTP sends (RFC 9110 section 5.6.7).
//!
//! Owns the calendar arithmetic; the time is an argument. The invariant: 29 bytes, always.

use crate::clock::Wall;

/// `Sun, 06 Nov 1994 08:49:37 GMT`
pub type Date = [u8; 29];

/// A date made once a second and given out in between.
#[derive(Clone, Copy, Debug)]
pub struct DateCache {
    second: u64,
    text: Date,
}

const DAYS: &[u8; 21] = b"ThuFriSatSunMonTueWed";
const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
/// 9999-12-31T23:59:59Z: the year has four digits.
const LAST_SECOND: u64 = 253_402_300_799;

/// The date of a time; the end of year 9999 for any later one.
#[must_use]
pub fn imf_fixdate(wall: Wall) -> Date {
    let seconds = wall.seconds().min(LAST_SECOND);
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let mut out = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    out[0..3].copy_from_slice(three(DAYS, days % 7));
    two(&mut out[5..7], day);
    out[8..11].copy_from_slice(three(MONTHS, month - 1));
    two(&mut out[12..14], year / 100);
    two(&mut out[14..16], year % 100);
    two(&mut out[17..19], of_day / 3600);
    two(&mut out[20..22], of_day / 60 % 60);
    two(&mut out[23..25], of_day % 60);
    out
}

/// The seconds since 1970 of a date in this format; `None` for the two obsolete ones, which nobody
/// sends, and for what is no date.
#[must_use]
pub fn seconds(text: &[u8]) -> Option<u64> {
    let text: &Date = text.try_into().ok()?;
    let number = |range: std::ops::Range<usize>| {
        text[range].iter().try_fold(0, |sum, digit| {
            digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0'))
        })
    };
    let month = MONTHS.chunks(3).zip(1..).find(|(month, _)| **month == text[8..11])?.1;
    let (year, day) = (number(12..16)?, number(5..7).filter(|day| *day > 0)?);
    let (hour, minute, second) = (number(17..19)?, number(20..22)?, number(23..25)?);
    let days = days_from_civil(year, month, day);
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second.min(59);
    let seconds = u64::try_from(seconds).ok()?;
    // Whatever is not as it would be written is no date: the weekday, the blanks, the 30th of
    // February.
    let same = imf_fixdate(Wall(seconds.checked_mul(1_000_000_000)?)) == *text;
    (same || second == 60).then_some(seconds)
}

/// Days since 1970-01-01 of a date, also before it, by the proleptic Gregorian calendar (Hinnant's
/// `days_from_civil`): the year is counted from March, as in [`civil`].
#[must_use]
pub fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// `1994-11-06T08:49:37Z` (RFC 3339), with the same bound.
#[must_use]
pub fn rfc3339(wall: Wall) -> [u8; 20] {
    let seconds = wall.seconds().min(LAST_SECOND);
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let mut out = *b"1970-01-01T00:00:00Z";
    two(&mut out[0..2], year / 100);
    two(&mut out[2..4], year % 100);
    two(&mut out[5..7], month);
    two(&mut out[8..10], day);
    two(&mut out[11..13], of_day / 3600);
    two(&mut out[14..16], of_day / 60 % 60);
    two(&mut out[17..19], of_day % 60);
    out
}

/// Year, month and day of a day since 1970-01-01, by the proleptic Gregorian calendar: the year is
/// counted from March, so that the leap day is its last (Hinnant's `civil_from_days`).
#[must_use]
pub fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

fn three(table: &[u8], index: u64) -> &[u8] {
    let at = usize::try_from(index).expect("a weekday or a month") * 3;
    &table[at..at + 3]
}

fn two(out: &mut [u8], value: u64) {
    out[0] = b'0' + u8::try_from(value / 10).expect("two digits");
    out[1] = b'0' + u8::try_from(value % 10).expect("one digit");
}

// === impl DateCache ===

impl Default for DateCache {
    fn default() -> DateCache {
        DateCache { second: 0, text: imf_fixdate(Wall(0)) }
    }
}

impl DateCache {
    /// The date of a time.
    #[inline]
    pub fn at(&mut self, wall: Wall) -> &Date {
        if wall.seconds() != self.second {
            *self = DateCache { second: wall.seconds(), text: imf_fixdate(wall) };
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_in_the_form_of_rfc_3339() {
        let text = |seconds: u64| rfc3339(Wall(seconds * 1_000_000_000));
        assert_eq!(&text(784_111_777), b"1994-11-06T08:49:37Z");
        assert_eq!(&text(0), b"1970-01-01T00:00:00Z");
        assert_eq!(&text(951_782_400), b"2000-02-29T00:00:00Z");
    }

    fn of(seconds: u64) -> String {
        let date = imf_fixdate(Wall(seconds * 1_000_000_000));
        String::from_utf8(date.to_vec()).expect("ASCII")
    }

    #[test]
    fn known_dates() {
        for (seconds, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
            (18_000_000_000, "Wed, 25 May 2540 08:00:00 GMT"),
        ] {
            assert_eq!(of(seconds), text);
        }
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        for day in (0..200_000).step_by(37) {
            let at = day * 86_400 + day % 86_400;
            assert_eq!(seconds(&imf_fixdate(Wall(at * 1_000_000_000))), Some(at));
        }
        for wrong in [
            "Mon, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 30 Feb 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 25:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "",
        ] {
            assert_eq!(seconds(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let leap = |year: u64| {
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
        };
        let mut expected = (1970, 1, 1);
        for days in 0..366 * 500 {
            assert_eq!(civil(days), expected);
            let (year, month, day) = expected;
            let last = match month {
                2 => 28 + u64::from(leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            expected = match (month, day) {
                (12, 31) => (year + 1, 1, 1),
                (_, day) if day == last => (year, month + 1, 1),
                _ => (year, month, day + 1),
            };
        }
    }

    #[test]
    fn the_cache_tells_the_same_as_the_calendar() {
        let mut cache = DateCache::default();
        for nanos in [0, 1, 999_999_999, 1_000_000_000, 5_000_000_000, 1_500_000_000, u64::MAX] {
            assert_eq!(*cache.at(Wall(nanos)), imf_fixdate(Wall(nanos)));
        }
    }
}
