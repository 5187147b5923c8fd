//! Versions of an API as they are written: how one is chosen, and what is known of each.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};

use super::stage::Variables;
use super::{FilePath, Host, Name, Percent, Place, Target};
use crate::route::version::{AfterSunset, Cycle, Hours, Range, Status};

/// `[apis.NAME.versioning]`, and `[apis.NAME.versions]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Versioning {
    pub place: Place,
    /// In the order in which they are asked.
    pub select: Vec<Select>,
    /// The field that names a version, lower case.
    pub header: String,
    /// The query parameter that does.
    pub query: String,
    pub default: Option<Name>,
    /// At least one, by id.
    pub versions: BTreeMap<Name, Version>,
}

/// Where a request names its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Select {
    Path,
    Header,
    Query,
    Host,
    MediaType,
}

/// `[apis.NAME.versions.ID]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Version {
    #[serde(skip)]
    pub place: Place,
    #[serde(serialize_with = "as_status")]
    pub status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub released: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sunset: Option<Moment>,
    #[serde(serialize_with = "as_after", skip_serializing_if = "is_gone")]
    pub after_sunset: AfterSunset,
    /// A URL, or a path below the API's base path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guide: Option<String>,
    /// What is served at that path.
    #[serde(flatten)]
    pub guide_source: Option<GuideSource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub successor: Option<Name>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub breaking_changes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<Host>,
    /// Where routes go that say nothing else.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_upstream")]
    pub upstream: Option<Target>,
    /// Beside the stage's, and before them.
    #[serde(skip_serializing_if = "Variables::is_empty")]
    pub variables: Variables,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub brownouts: Vec<Brownout>,
}

/// The text of a guide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GuideSource {
    GuideText(String),
    GuideFile(FilePath),
}

/// A point in time, as RFC 3339 writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Since 1970-01-01T00:00:00Z.
    pub seconds: u64,
}

/// When requests are refused before the sunset.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Brownout {
    #[serde(skip)]
    pub place: Place,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
    #[serde(flatten, serialize_with = "as_hours")]
    pub hours: Option<Hours>,
    pub percent: Share,
}

/// `"100%"`, or `"0%..50%"` for a share that grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    pub from: Percent,
    pub to: Percent,
}

/// The versions of a route: `["v1", "v3"]`, or a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionSet {
    pub ranges: Vec<Range>,
    pub place: Place,
}

// === impl Version ===

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn is_gone(after: &AfterSunset) -> bool {
    *after == AfterSunset::Gone
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn as_status<S: Serializer>(status: &Status, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(status.name())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn as_after<S: Serializer>(after: &AfterSunset, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(match after {
        AfterSunset::Gone => "gone",
        AfterSunset::Redirect => "redirect",
    })
}

/// An inherited upstream has no weight: its name says all.
#[expect(clippy::ref_option, reason = "serde's form")]
pub(super) fn as_upstream<S: Serializer>(
    target: &Option<Target>,
    to: S,
) -> Result<S::Ok, S::Error> {
    target.as_ref().map(|target| &target.upstream).serialize(to)
}

// === impl Brownout ===

pub(in crate::config) const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

#[expect(clippy::ref_option, reason = "serde's form")]
fn as_hours<S: Serializer>(hours: &Option<Hours>, to: S) -> Result<S::Ok, S::Error> {
    use serde::ser::SerializeMap;
    let mut map = to.serialize_map(None)?;
    if let Some(Hours { cycle, begin, end }) = hours {
        let clock = |second: u64| format!("{:02}:{:02}", second / 3600 % 24, second / 60 % 60);
        let span = format!("{}-{}", clock(*begin), clock(*end));
        match cycle {
            Cycle::Day => map.serialize_entry("daily", &span)?,
            Cycle::Week => {
                let day = usize::try_from(begin / 86_400).unwrap_or_default();
                map.serialize_entry("weekly", &format!("{} {span}", WEEKDAYS[day % 7]))?;
            }
        }
    }
    map.end()
}

// === impl Share ===

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.from == self.to {
            return self.to.fmt(f);
        }
        write!(f, "{}..{}", self.from, self.to)
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

// === impl VersionSet ===

impl VersionSet {
    /// Whether it holds a version.
    #[must_use]
    pub fn holds(&self, id: &str) -> bool {
        self.ranges.iter().any(|range| range.holds(id))
    }
}

impl fmt::Display for VersionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ranges: Vec<String> = self.ranges.iter().map(ToString::to_string).collect();
        f.write_str(&ranges.join(", "))
    }
}

impl Serialize for VersionSet {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.ranges.iter().map(ToString::to_string))
    }
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
        let [hour, minute, second] = numbers::<3>(clock.split('.').next()?, ':', &[2, 2, 2])?;
        let ahead = match offset {
            "Z" | "z" => 0,
            offset => {
                let [hours, minutes] = numbers::<2>(offset.get(1..)?, ':', &[2, 2])?;
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
        let (year, month, day) = crate::http::date::civil(days);
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

/// Days since 1970-01-01 by the proleptic Gregorian calendar (Hinnant's `days_from_civil`).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
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
            ("2026-12-31t23:59:59.75z", 1_798_761_599),
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
            "2026-01-01T00:00:00",
            "2026-01-01T24:00:00Z",
            "1969-12-31",
            "2026-01-01T00:00Z",
            "2026-01-01T00:00:00+1:00",
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
