//! Language models: who serves them, and the names clients use.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::{FilePath, Name, Percent, Place, Upstream};
use crate::config::units::{as_duration, as_duration_or_zero};
use crate::http::Url;
use crate::llm::{Dialect, Features, ModelPattern};

/// `[providers.NAME]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Provider {
    pub place: Place,
    pub dialect: Dialect,
    /// Without user information, query and fragment.
    pub base_url: Url,
    /// Empty: it asks for none.
    pub credentials: Vec<CredentialSource>,
    /// Names in lower case, each once.
    pub headers: BTreeMap<String, String>,
    pub limits: Vec<Name>,
    pub stream_first_byte: Duration,
    /// By the provider's name for the model.
    pub prices: BTreeMap<ModelPattern, Price>,
    /// Its one endpoint is where the URL leads.
    pub upstream: Upstream,
}

/// An entry of `credentials`: where its value is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CredentialSource {
    #[serde(skip)]
    pub place: Place,
    /// Known by no other of its provider.
    pub name: String,
    #[serde(flatten)]
    pub held: Held,
}

/// What holds a credential.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Held {
    /// An environment variable of this name.
    Env(String),
    File(FilePath),
    /// A file of this name in `$CREDENTIALS_DIRECTORY`.
    Systemd(String),
}

/// What a million tokens cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Price {
    pub input: Usd,
    pub output: Usd,
    pub cached_input: Usd,
    pub cache_write: Usd,
    pub reasoning: Usd,
    pub batch_input: Usd,
    pub batch_output: Usd,
}

/// Millionths of a USD; of a million tokens, what one costs in 10^-12 USD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Usd(pub u64);

/// `[models.NAME]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Model {
    #[serde(skip)]
    pub place: Place,
    /// At least one, and one of them with a weight above zero.
    pub targets: Vec<ModelTarget>,
    pub balance: ModelBalance,
    /// `None` = learned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_max: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Name>,
    pub failover: Failover,
    pub breaker: Breaker,
}

/// An entry of `targets`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelTarget {
    #[serde(skip)]
    pub place: Place,
    pub provider: Name,
    /// The provider's name for it; `*`: as the client wrote it.
    pub model: String,
    /// Zero = gets no requests.
    pub weight: u32,
    pub priority: u32,
    /// `None` = nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_max: Option<u64>,
    /// `None` = all.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_words")]
    pub features: Option<Features>,
}

/// How one of several targets is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelBalance {
    Weighted,
    LeastLatency,
}

/// `failover` of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failover {
    pub attempts: u32,
    pub on: BTreeSet<FailoverCause>,
    pub budget: Percent,
    pub budget_min: u32,
    /// `None` = none is waited for.
    #[serde(serialize_with = "as_duration_or_zero")]
    pub retry_after_max: Option<Duration>,
}

/// Why a request may be sent to another target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FailoverCause {
    /// No connection, or it broke before a byte of the answer.
    Connect,
    /// No byte of the answer in time.
    Timeout,
    RateLimit,
    ServerError,
    Overloaded,
    Auth,
}

/// `breaker` of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Breaker {
    /// Zero = never.
    pub failures: u32,
    /// Zero = never.
    pub ratio: Percent,
    pub requests_min: u32,
    #[serde(serialize_with = "as_duration")]
    pub window: Duration,
    #[serde(serialize_with = "as_duration")]
    pub open: Duration,
    #[serde(serialize_with = "as_duration")]
    pub open_max: Duration,
    pub half_open: u32,
}

/// `llm` of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LlmRoute {
    /// Empty = all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ModelPattern>,
    pub log_content: bool,
}

// === impl Provider ===

impl Provider {
    /// The name of the upstream that is made of the provider of this name. No `[upstreams.NAME]`
    /// can have it.
    #[must_use]
    pub fn upstream_name(provider: &str) -> Name {
        Name::from(format!("provider:{provider}").as_str())
    }

    /// What the model costs that the provider calls so; `None`: nobody has said.
    #[must_use]
    pub fn price(&self, model: &str) -> Option<&Price> {
        ModelPattern::closest(&self.prices, model)
    }
}

impl Serialize for Provider {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Upstream {
            protocol, timeouts, pool, concurrency, retry, health, ejection, tls, ..
        } = &self.upstream;
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("dialect", self.dialect.name())?;
        map.serialize_entry("base_url", self.base_url.as_str())?;
        map.serialize_entry("credentials", &self.credentials)?;
        map.serialize_entry("headers", &self.headers)?;
        if !self.limits.is_empty() {
            map.serialize_entry("limits", &self.limits)?;
        }
        map.serialize_entry("stream_first_byte", &Millis(self.stream_first_byte))?;
        map.serialize_entry("protocol", protocol)?;
        map.serialize_entry("timeouts", timeouts)?;
        map.serialize_entry("pool", pool)?;
        map.serialize_entry("concurrency", concurrency)?;
        map.serialize_entry("retry", retry)?;
        if let Some(health) = health {
            map.serialize_entry("health", health)?;
        }
        map.serialize_entry("ejection", &super::upstream::Ejected(ejection))?;
        if let Some(tls) = tls {
            map.serialize_entry("tls", tls)?;
        }
        if !self.prices.is_empty() {
            map.serialize_entry("prices", &self.prices)?;
        }
        map.end()
    }
}

struct Millis(Duration);

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        as_duration(&self.0, to)
    }
}

// === impl Model ===

impl fmt::Display for Model {
    /// Its targets in one line: `openai:gpt-4o-mini 3, then azure:mini`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut priority = None;
        for target in &self.targets {
            f.write_str(match priority.replace(target.priority) {
                None => "",
                Some(before) if before == target.priority => ", ",
                Some(_) => ", then ",
            })?;
            write!(f, "{}:{}", target.provider, target.model)?;
            if target.weight != 1 {
                write!(f, " {}", target.weight)?;
            }
        }
        Ok(())
    }
}

// === impl Usd ===

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / 1_000_000, self.0 % 1_000_000);
        if part == 0 {
            return write!(f, "{whole}");
        }
        let digits = format!("{part:06}");
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

fn as_words<S: Serializer>(features: &Option<Features>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(features.iter().flat_map(|features| features.words()))
}
