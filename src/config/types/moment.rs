//! A point in time, as RFC 3339 writes it.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::http::date::{civil, days_from_civil};

/// A point in time, as RFC 3339 writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Since 1970-01-01T00:00:00Z.
    pub seconds: u64,
}

// === impl Moment ===

impl Moment {
    /// Reads a date (midnight UTC), or a date and time with its offset (RFC 3339).
    #[must_use]
    pub fn parse(text: &str) -> Option<Moment> {
        let (date, time) = match text.find(['T', 't', ' ']) {
            Some(at) => (&text[..at], &text[at + 1..]),
            None => (text, "00:00:00Z"),
        };
        let [year, month, day] = numbers::<3>(date, '-', &[4, 2, 2])?;
        let at = time.find(['Z', 'z', '+', '-'])?;
        let (clock, offset) = time.split_at(at);
        let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
        if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let [hour, minute, second] = numbers::<3>(clock, ':', &[2, 2, 2])?;
        let ahead = match offset {
            "Z" | "z" => 0,
            offset => {
                let [hours, minutes] = numbers::<2>(offset.get(1..)?, ':', &[2, 2])?;
                if hours > 23 || minutes > 59 {
                    return None;
                }
                let seconds = hours * 3600 + minutes * 60;
                if offset.starts_with('+') { seconds } else { -seconds }
            }
        };
        let last = match month {
            2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        // A leap second (RFC 3339 section 5.6) is the first of the next minute here.
        if !(1..=last).contains(&day) || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let days = days_from_civil(year, month, day);
        let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - ahead;
        u64::try_from(seconds).ok().map(|seconds| Moment { seconds })
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, of_day) = (self.seconds / 86_400, self.seconds % 86_400);
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// Numbers of exactly these many digits.
fn numbers<const N: usize>(text: &str, between: char, digits: &[usize]) -> Option<[i64; N]> {
    let mut numbers = [0; N];
    let mut parts = text.split(between);
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next()?;
        if part.len() != *digits || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn moments_are_those_of_rfc_3339() {
        let seconds = |text| Moment::parse(text).map(|moment| moment.seconds);
        for (text, second) in [
            ("1970-01-01", 0),
            ("2024-02-29", 1_709_164_800),
            ("2026-12-31T23:59:59Z", 1_798_761_599),
            ("2026-12-31 23:59:60Z", 1_798_761_600),
            ("2027-01-01T00:59:59+01:00", 1_798_761_599),
            ("2026-12-31T18:29:59-05:30", 1_798_761_599),
        ] {
            assert_eq!(seconds(text), Some(second), "{text}");
        }
        for wrong in [
            "",
            "2026",
            "2026-13-01",
            "2026-02-29",
            "2026-1-1",
            "+026-01-01",
            "1969-12-31",
            "2026-01-01T00:00:00",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+0100",
            "2026-01-01T00:00:00+1:00",
            "2026-01-01T00:00:00+01:00x",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01Té0:00:00Z",
        ] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_moment_is_written_as_it_is_read(seconds in 0_u64..253_402_300_799) {
            let moment = Moment { seconds };
            prop_assert_eq!(Moment::parse(&moment.to_string()), Some(moment));
        }
    }
}
