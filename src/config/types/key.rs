//! API keys and usage plans, and how an API asks for keys.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};

use super::{Config, FilePath, LimitHeaders, Moment, Name, Place, Quota, Throttle};
use crate::auth::keys::{Allow, Digest};
use crate::auth::plans::{ApiStage, Attached, Plans};

/// `[keys.NAME]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Key {
    #[serde(skip)]
    pub place: Place,
    /// At least one; each of them is the key.
    pub values: Vec<KeyValue>,
    pub enabled: bool,
    /// `None` = never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Moment>,
    pub owner: String,
    pub tags: BTreeMap<String, String>,
    /// At most one for each API stage.
    pub plans: Vec<Name>,
    pub allow: Allow,
}

/// An entry of `values`, or of `hashes`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KeyValue {
    #[serde(skip)]
    pub place: Place,
    #[serde(flatten)]
    pub source: ValueSource,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Moment>,
}

/// What a value is known from.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ValueSource {
    /// Its digest only.
    Hash(Digest),
    /// The name of an environment variable that holds it.
    Env(String),
    /// A file that holds it and nothing else, but for blanks around it.
    File(FilePath),
}

/// `[plans.NAME]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    #[serde(skip)]
    pub place: Place,
    /// `orders` or `orders/prod`; `None` = every API that asks for keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apis: Option<Vec<String>>,
    /// `[limits.NAME]` that apply to each request of a key, beside what follows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Name>,
    /// Of each key over all APIs of the plan, but for the routes that have their own.
    #[serde(flatten)]
    pub throttle: Option<Throttle>,
    /// Of each key over all APIs of the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quota>,
    /// Of each key over all APIs of the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u64>,
    pub headers: LimitHeaders,
    /// In place of the plan's rate, by API and route key: `orders GET /pets`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub routes: BTreeMap<String, Throttle>,
}

/// `api_key` of an API.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ApiKey {
    /// `None` = required where a plan is attached by name, else off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub required: Option<KeyNeed>,
    /// In the order in which they are looked at; not empty unless `from_claim` is there.
    pub source: Vec<KeySource>,
    /// The claim of a verified token that holds the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_claim: Option<String>,
    /// Whether the upstream sees the key too.
    pub forward: bool,
    /// Whether the upstream is told the key's name and plan.
    pub identity_headers: bool,
}

/// Whether a request needs a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyNeed {
    Required,
    /// One that is shown must be good.
    Optional,
    /// None is looked for.
    Off,
}

/// Where a client shows its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// Lower case.
    Header(String),
    /// `Authorization: Bearer KEY`.
    Bearer,
    /// A parameter of the query string.
    Query(String),
}

// === impl Config ===

impl Config {
    /// The usage plans and where they hold.
    #[must_use]
    pub fn usage_plans(&self) -> Plans {
        let plan = |(name, plan): (&Name, &Plan)| {
            let attached = match &plan.apis {
                None => Attached::Everywhere,
                Some(places) => Attached::To(places.iter().map(|p| ApiStage::parse(p)).collect()),
            };
            (name.to_string(), attached)
        };
        self.plans.iter().map(plan).collect()
    }
}

// === impl KeySource ===

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeySource::Header(name) => write!(f, "header:{name}"),
            KeySource::Bearer => f.write_str("bearer"),
            KeySource::Query(name) => write!(f, "query:{name}"),
        }
    }
}

impl Serialize for KeySource {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}
