//! How much a caller may: `[limits.NAME]`, and `throttle` of a stage or a route.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::Place;
use crate::config::units::{as_duration, show_rate};
use crate::limit::{self, Period};

/// `[limits.NAME]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Limit {
    #[serde(skip)]
    pub place: Place,
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
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Throttle {
    #[serde(serialize_with = "as_rate")]
    pub rate: limit::Rate,
    pub burst: u64,
}

/// `quota` of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Quota {
    pub limit: u64,
    #[serde(serialize_with = "as_period")]
    pub per: Period,
    /// After midnight UTC (of Monday, of the 1st).
    #[serde(serialize_with = "as_duration")]
    pub offset: Duration,
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
        if let Some(Throttle { rate, burst }) = self.throttle {
            parts.push(format!("{} burst {burst}", show_rate(rate)));
        }
        if let Some(quota) = self.quota {
            parts.push(format!("{} a {}", quota.limit, quota.per.name()));
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

fn as_rate<S: Serializer>(rate: &limit::Rate, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&show_rate(*rate))
}

fn as_period<S: Serializer>(period: &Period, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(period.name())
}
