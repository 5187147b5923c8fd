//! Versions of an API as they are written: how one is chosen, and what is known of each.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};

use super::stage::Variables;
use super::{FilePath, Host, Moment, Name, Percent, Place, Target};
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
    /// Limits that apply beside the API's and the stage's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Name>,
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
