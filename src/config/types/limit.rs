//! How much a caller may: `[limits.NAME]`, and `throttle` of a stage or a route.

use std::fmt;
use std::time::Duration;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::Place;
use crate::config::units::{show_duration, show_rate, show_usd, show_usd_rate};
use crate::limit::{self, Period, Unit};

/// `[limits.NAME]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Limit {
    #[serde(skip)]
    pub place: Place,
    #[serde(serialize_with = "as_unit")]
    pub unit: Unit,
    /// What is counted apart; empty: all requests together.
    pub by: Vec<KeyPart>,
    #[serde(flatten)]
    pub throttle: Option<Throttle>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quota>,
    /// Requests at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u64>,
    /// Counted, not enforced.
    pub shadow: bool,
    pub missing: Missing,
    pub headers: LimitHeaders,
}

/// A rate and a burst: `throttle` of a stage or a route.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Throttle {
    pub rate: limit::Rate,
    pub burst: u64,
    pub unit: Unit,
}

/// `quota` of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    pub limit: u64,
    pub per: Period,
    /// After midnight UTC (of Monday, of the 1st).
    pub offset: Duration,
    pub unit: Unit,
}

/// A part of what a limit is counted by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyPart {
    /// The name of the API key.
    Key,
    /// The name of the usage plan.
    Plan,
    /// The client's network: bits of an IPv4 and of an IPv6 address.
    Ip(u8, u8),
    /// A field of the request, lower case.
    Header(String),
    /// A claim of the token.
    Claim(String),
    /// A tag of the API key.
    Tag(String),
    /// The name of the model.
    Model,
    /// The name of the provider that serves it.
    Provider,
    Route,
    Api,
    Stage,
    Version,
}

/// What becomes of a request that lacks a part of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Missing {
    Skip,
    Refuse,
}

/// What answers tell about a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LimitHeaders {
    /// `RateLimit-Policy`, `RateLimit`, and `Retry-After` with a refusal.
    Standard,
    /// Nothing, as AWS API Gateway does.
    Aws,
    /// `Retry-After` with a refusal.
    Off,
}

/// Bits of an IPv6 address where `ip` says nothing: what one customer has.
pub const IPV6_BITS: u8 = 64;

// === impl Limit ===

impl fmt::Display for Limit {
    /// In one line, such as `100/s burst 200 by key`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some(Throttle { rate, burst, .. }) = self.throttle {
            let burst = self.unit.show(burst);
            parts.push(format!("{} burst {burst}", show_rate_of(self.unit, rate)));
        }
        if let Some(quota) = self.quota {
            parts.push(format!("{} a {}", self.unit.show(quota.limit), quota.per.name()));
        }
        if let Some(most) = self.concurrency {
            parts.push(format!("{most} at once"));
        }
        f.write_str(&parts.join(", "))?;
        if !self.by.is_empty() {
            let by: Vec<String> = self.by.iter().map(ToString::to_string).collect();
            write!(f, " by {}", by.join(" and "))?;
        }
        f.write_str(if self.shadow { " (shadow)" } else { "" })
    }
}

// === impl KeyPart ===

impl fmt::Display for KeyPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyPart::Key => f.write_str("key"),
            KeyPart::Plan => f.write_str("plan"),
            KeyPart::Ip(32, IPV6_BITS) => f.write_str("ip"),
            KeyPart::Ip(v4, IPV6_BITS) => write!(f, "ip/{v4}"),
            KeyPart::Ip(v4, v6) => write!(f, "ip/{v4}/{v6}"),
            KeyPart::Header(name) => write!(f, "header:{name}"),
            KeyPart::Claim(name) => write!(f, "claim:{name}"),
            KeyPart::Tag(name) => write!(f, "tag:{name}"),
            KeyPart::Model => f.write_str("model"),
            KeyPart::Provider => f.write_str("provider"),
            KeyPart::Route => f.write_str("route"),
            KeyPart::Api => f.write_str("api"),
            KeyPart::Stage => f.write_str("stage"),
            KeyPart::Version => f.write_str("version"),
        }
    }
}

impl Serialize for KeyPart {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

// === impl Throttle ===

impl Serialize for Throttle {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut fields = to.serialize_struct("Throttle", 2)?;
        fields.serialize_field("rate", &show_rate_of(self.unit, self.rate))?;
        fields.serialize_field("burst", &Amount(self.unit, self.burst))?;
        fields.end()
    }
}

// === impl Quota ===

impl Serialize for Quota {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut fields = to.serialize_struct("Quota", 3)?;
        fields.serialize_field("limit", &Amount(self.unit, self.limit))?;
        fields.serialize_field("per", self.per.name())?;
        fields.serialize_field("offset", &show_duration(self.offset))?;
        fields.end()
    }
}

/// So much of a unit, as the configuration writes it.
struct Amount(Unit, u64);

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Amount(Unit::Money, nano) => to.serialize_str(&show_usd(*nano)),
            Amount(_, count) => to.serialize_u64(*count),
        }
    }
}

fn show_rate_of(unit: Unit, rate: limit::Rate) -> String {
    if unit == Unit::Money { show_usd_rate(rate) } else { show_rate(rate) }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn as_unit<S: Serializer>(unit: &Unit, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(unit.name())
}
