//! Calendar times as the admin API writes and reads them: RFC 3339, UTC, seconds.

use crate::clock::Wall;

const DAY: u64 = 86_400;
/// Years of four digits end here.
const LAST: u64 = 253_402_300_799;

/// `2026-11-22T04:38:48Z`.
#[must_use]
pub fn show(at: Wall) -> String {
    show_seconds(at.seconds())
}

/// The same of seconds since 1970.
#[must_use]
pub fn show_seconds(seconds: u64) -> String {
    let seconds = seconds.min(LAST);
    let (year, month, day) = civil(seconds / DAY);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// A date-time of RFC 3339 section 5.6 (any offset, any fraction, which is dropped), or a date,
/// which means its first second (UTC); as seconds since 1970. `None` for what is neither.
#[must_use]
pub fn read(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let number = |from: usize, len: usize| -> Option<u64> {
        let digits = text.get(from..from + len)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let is = |at: usize, any: &[u8]| bytes.get(at).is_some_and(|b| any.contains(b));
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    if !is(4, b"-") || !is(7, b"-") || year < 1970 || !(1..=12).contains(&month) {
        return None;
    }
    if !(1..=days_of(year, month)).contains(&day) {
        return None;
    }
    let date = days(year, month, day) * DAY;
    if bytes.len() == 10 {
        return Some(date);
    }
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    // 60 is a leap second, which the calendar of computers does not have.
    let good = is(10, b"Tt ") && is(13, b":") && is(16, b":");
    if !good || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let local = date + hour * 3600 + minute * 60 + second.min(59);
    let mut rest = &text[19..];
    if let Some(fraction) = rest.strip_prefix('.') {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return None;
        }
        rest = &fraction[digits..];
    }
    if rest.eq_ignore_ascii_case("Z") {
        return Some(local);
    }
    let at = text.len() - rest.len();
    let (hours, minutes) = (number(at + 1, 2)?, number(at + 4, 2)?);
    if rest.len() != 6 || !is(at + 3, b":") || hours > 23 || minutes > 59 {
        return None;
    }
    let offset = hours * 3600 + minutes * 60;
    match rest.as_bytes()[0] {
        b'+' => local.checked_sub(offset),
        b'-' => Some(local + offset),
        _ => None,
    }
}

/// Year, month and day of a day since 1970-01-01 (Hinnant's `civil_from_days`).
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

/// The day since 1970-01-01 of a date that is not before it.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = year - u64::from(month <= 2);
    let (era, of_era) = (year / 400, year % 400);
    let shifted = (month + 9) % 12;
    let of_year = (153 * shifted + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn days_of(year: u64, month: u64) -> u64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 => 28 + u64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_again() {
        for seconds in (0..LAST).step_by(86_399 * 97) {
            assert_eq!(read(&show_seconds(seconds)), Some(seconds));
        }
        assert_eq!(show_seconds(951_782_400), "2000-02-29T00:00:00Z");
    }

    #[test]
    fn offsets_fractions_and_dates_are_read() {
        for (text, seconds) in [
            ("1970-01-01", 0),
            ("1970-01-02T00:00:00+01:00", 82_800),
            ("1970-01-01t00:00:00.123456-00:30", 1_800),
            ("2000-02-29T23:59:60z", 951_868_799),
        ] {
            assert_eq!(read(text), Some(seconds), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "now",
            "1969-12-31",
            "1970-01-01T00:00:00+01:00",
            "2001-02-29",
            "2001-13-01",
            "2001-00-01",
            "2001-01-01T24:00:00Z",
            "2001-01-01T00:00:00",
            "2001-01-01T00:00:00.Z",
            "2001-01-01T00:00:00+0100",
            "2001-01-01T00:00:00+01:00x",
            "2001-01-01Té0:00:00Z",
            "+001-01-01",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
