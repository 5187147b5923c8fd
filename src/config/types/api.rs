//! An API: the hosts and the base path it answers on, and its routes, each ending in one action.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::edge::as_statuses;
use super::stage::{Stage, Unmatched};
use super::version::{Select, VersionSet, Versioning, as_upstream};
use super::{
    Access, ApiKey, KeyNeed, LlmRoute, Name, Place, RespondBody, StatusChange, Throttle, Validate,
};
use crate::auth::Cors;
use crate::config::template::Template;
use crate::config::units::{as_duration_option, as_size_or_zero};
use crate::failure::ErrorFormat;

/// `[apis.NAME]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Api {
    #[serde(skip)]
    pub place: Place,
    /// At least one.
    pub hosts: Vec<Host>,
    /// Begins with `/` and, unless it is `/`, does not end with it. Routes are below it.
    pub base_path: String,
    /// `None` = all listeners.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listeners: Option<BTreeSet<Name>>,
    pub errors: ErrorFormat,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    /// What its routes inherit.
    #[serde(flatten)]
    pub access: Access,
    pub request_headers: HeaderEdits,
    pub response_headers: HeaderEdits,
    /// What its routes inherit, in bytes; `None` = no bound.
    #[serde(serialize_with = "as_size_or_zero")]
    pub body_max: Option<u64>,
    /// What its routes inherit: tokens of protocols, lower case.
    pub upgrade: Vec<String>,
    pub api_key: ApiKey,
    /// Limits that apply to all its routes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Name>,
    pub unmatched: Unmatched,
    /// Where routes go that say nothing else.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_upstream")]
    pub upstream: Option<Target>,
    /// By name; empty: one, `$default`, that needs no name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub stages: BTreeMap<Name, Stage>,
    #[serde(flatten, serialize_with = "versioning")]
    pub versioning: Option<Versioning>,
    /// By route key as it is written; `route` gives the key its meaning. Several of one key are for
    /// different versions.
    #[serde(serialize_with = "by_key")]
    pub routes: BTreeMap<String, Vec<Route>>,
}

/// A pattern of `hosts`. Lower case, no port, no trailing dot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// `*`: every host, and requests without one.
    Any,
    Exact(String),
    /// `*.example.com` is `Below("example.com")`: any number of labels before it, at least one.
    Below(String),
}

/// Edits of a message's fields; in this order: remove, set, add.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeaderEdits {
    /// Field names, lower case.
    pub remove: Vec<String>,
    /// Replaces all fields of the name.
    pub set: Vec<HeaderEdit>,
    /// Stands beside those that are there.
    pub add: Vec<HeaderEdit>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct HeaderEdit {
    /// Lower case.
    pub name: String,
    pub value: Template,
    pub place: Place,
}

/// `[apis.NAME.routes."KEY"]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Route {
    #[serde(skip)]
    pub place: Place,
    #[serde(flatten)]
    pub action: Action,
    /// As the route itself says; [`Access::over`] the API's is what holds.
    #[serde(flatten)]
    pub access: Access,
    /// Taken off the front of the path before it goes to the upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strip_prefix: Option<String>,
    /// The whole target the upstream sees (path and query).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<Template>,
    /// The path the upstream sees; the query stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Template>,
    /// Names are case-sensitive, values not encoded.
    #[serde(skip_serializing_if = "HeaderEdits::is_empty")]
    pub request_query: HeaderEdits,
    /// Statuses of the upstream and what clients get instead.
    #[serde(serialize_with = "as_statuses", skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<StatusChange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validate: Option<Validate>,
    /// Applied after the API's.
    pub request_headers: HeaderEdits,
    /// Applied after the API's.
    pub response_headers: HeaderEdits,
    /// In bytes; the API's where the route says nothing; `None` = no bound.
    #[serde(serialize_with = "as_size_or_zero")]
    pub body_max: Option<u64>,
    /// Protocols a connection may be upgraded to; the API's where the route says nothing.
    pub upgrade: Vec<String>,
    pub timeouts: RouteTimeouts,
    /// Limits that apply beside the API's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Name>,
    /// A limit of the route alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttle: Option<Throttle>,
    /// Whether the upstream's `retry` applies.
    pub retry: bool,
    /// In place of the API's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key: Option<KeyNeed>,
    /// The versions it is in; `None`: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub versions: Option<VersionSet>,
}

/// What a route ends in.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// One target or several, at least one weight above zero; none: the version's or the API's.
    Proxy(Vec<Target>),
    Redirect(Redirect),
    Respond(Respond),
    Llm(LlmRoute),
}

/// A share of a route's requests goes to this upstream.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Target {
    /// May hold stage variables.
    pub upstream: Name,
    pub weight: u32,
    #[serde(skip)]
    pub place: Place,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Redirect {
    /// An absolute URL or a path.
    pub to: Template,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// The request's query goes along.
    pub keep_query: bool,
}

/// A fixed answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Respond {
    pub status: u16,
    pub body: RespondBody,
    /// Holds `content-type` whenever the body is not empty.
    pub headers: Vec<HeaderEdit>,
}

/// `timeouts` of a route: what is `None` (or `Inherit`) is the upstream's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RouteTimeouts {
    #[serde(serialize_with = "as_duration_option", skip_serializing_if = "Option::is_none")]
    pub first_byte: Option<Duration>,
    #[serde(serialize_with = "as_duration_option", skip_serializing_if = "Option::is_none")]
    pub idle: Option<Duration>,
    #[serde(skip_serializing_if = "TotalTimeout::is_inherited")]
    pub total: TotalTimeout,
    #[serde(serialize_with = "as_duration_option", skip_serializing_if = "Option::is_none")]
    pub tunnel_idle: Option<Duration>,
    #[serde(skip_serializing_if = "TotalTimeout::is_inherited")]
    pub tunnel_lifetime: TotalTimeout,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TotalTimeout {
    Inherit,
    /// `"0s"`: this route's exchanges may last as long as they make progress.
    Unlimited,
    After(Duration),
}

// === impl Api ===

/// A key of one route is a table, one of several a list of them.
fn by_key<S: Serializer>(routes: &BTreeMap<String, Vec<Route>>, to: S) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(routes.len()))?;
    for (key, routes) in routes {
        match routes.as_slice() {
            [only] => map.serialize_entry(key, only)?,
            several => map.serialize_entry(key, several)?,
        }
    }
    map.end()
}

/// `versioning = { .. }` and `versions = { .. }`.
#[expect(clippy::ref_option, reason = "serde's form")]
fn versioning<S: Serializer>(versioning: &Option<Versioning>, to: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Written<'a> {
        select: &'a [Select],
        header: &'a str,
        query: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        default: Option<&'a Name>,
    }
    let mut map = to.serialize_map(None)?;
    if let Some(Versioning { select, header, query, default, versions, .. }) = versioning {
        let written = Written { select, header, query, default: default.as_ref() };
        map.serialize_entry("versioning", &written)?;
        map.serialize_entry("versions", versions)?;
    }
    map.end()
}

// === impl Host ===

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Any => f.write_str("*"),
            Host::Exact(host) => f.write_str(host),
            Host::Below(suffix) => write!(f, "*.{suffix}"),
        }
    }
}

impl Serialize for Host {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

// === impl HeaderEdits ===

impl HeaderEdits {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }
}

impl Serialize for HeaderEdits {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        if !self.remove.is_empty() {
            map.serialize_entry("remove", &self.remove)?;
        }
        if !self.set.is_empty() {
            map.serialize_entry("set", &ByName(&self.set))?;
        }
        if !self.add.is_empty() {
            map.serialize_entry("add", &ByName(&self.add))?;
        }
        map.end()
    }
}

/// Serialises edits as a table `name = ["value", ...]`; edits of one name stand together.
struct ByName<'a>(&'a [HeaderEdit]);

impl Serialize for ByName<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        for group in self.0.chunk_by(|a, b| a.name == b.name) {
            match group {
                [one] => map.serialize_entry(&one.name, &one.value)?,
                many => {
                    let values: Vec<_> = many.iter().map(|edit| &edit.value).collect();
                    map.serialize_entry(&many[0].name, &values)?;
                }
            }
        }
        map.end()
    }
}

// === impl Action ===

impl Serialize for Action {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(1))?;
        match self {
            Action::Proxy(targets) => match targets.as_slice() {
                [] => {}
                [only] if only.weight == 1 => map.serialize_entry("upstream", &only.upstream)?,
                several => map.serialize_entry("split", several)?,
            },
            Action::Llm(llm) => map.serialize_entry("llm", llm)?,
            Action::Redirect(redirect) => map.serialize_entry("redirect", redirect)?,
            Action::Respond(respond) => map.serialize_entry("respond", respond)?,
        }
        map.end()
    }
}

impl Serialize for Respond {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("status", &self.status)?;
        map.serialize_entry("body", self.body.text())?;
        let is_template = matches!(self.body, RespondBody::Template { .. });
        map.serialize_entry("template", &is_template)?;
        map.serialize_entry("headers", &ByName(&self.headers))?;
        map.end()
    }
}

// === impl TotalTimeout ===

impl TotalTimeout {
    /// Whether the route says nothing.
    #[must_use]
    pub fn is_inherited(&self) -> bool {
        *self == TotalTimeout::Inherit
    }

    /// The bound that holds, given the upstream's.
    #[must_use]
    pub fn or(self, upstream: Option<Duration>) -> Option<Duration> {
        match self {
            TotalTimeout::Inherit => upstream,
            TotalTimeout::Unlimited => None,
            TotalTimeout::After(duration) => Some(duration),
        }
    }
}

impl Serialize for TotalTimeout {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        as_duration_option(&self.or(Some(Duration::ZERO)).or(Some(Duration::ZERO)), to)
    }
}
