//! The typed configuration: what a file means, with every default filled in and every `0 = none` an
//! `Option`. All fields are public: the data path's tables are compiled from these by `snapshot`.
//! Serialised, each type looks like the TOML it came from, so that the admin's `/config` page and a
//! reload's list of changed keys speak the operator's words.

mod api;
mod authorizer;
mod edge;
mod gateway;
mod key;
mod limit;
mod listener;
mod llm;
mod moment;
mod stage;
mod upstream;
mod version;

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::diagnostic::Place;
use crate::llm::ModelPattern;

pub use api::{
    Action, Api, HeaderEdit, HeaderEdits, Host, Redirect, Respond, Route, RouteTimeouts, Target,
    TotalTimeout,
};
pub use authorizer::{
    Access, Authorizer, Basic, Bearer, Jwks, JwksSource, Jwt, Mtls, Proof, Source,
};
pub use edge::{Pattern, RespondBody, StatusChange, Validate};
pub use gateway::{
    AccessFormat, AccessLog, Admin, AdminToken, Dns, Gateway, IoChoice, Ledger, Level, Log,
    LogPath, ServerHeader,
};
pub use key::{ApiKey, Key, KeyNeed, KeySource, KeyValue, Plan, ValueSource};
pub use limit::{IPV6_BITS, KeyPart, Limit, LimitHeaders, Missing, Quota, Throttle};
pub use listener::{
    Certificate, ClientAuth, ClientAuthMode, HalfClose, HeadLimits, Listen, Listener,
    ListenerTimeouts, ListenerTls, PathPolicy, Protocol, ProxyProtocolAccept, TlsVersion,
    UnknownSni,
};
pub use llm::{
    Breaker, CredentialSource, Failover, FailoverCause, Held, LlmRoute, Model, ModelBalance,
    ModelTarget, Price, Provider, Usd,
};
pub use moment::Moment;
pub(super) use stage::OPENS;
pub use stage::{
    Canary, DEFAULT_STAGE, Deployment, Domain, Mapping, Piece, Setting, Stage, Sticky, Unmatched,
    Variables, is_variable_name, pieces,
};
pub use upstream::{
    Balance, Concurrency, Ejection, Endpoint, EndpointAddress, HashKey, Health, HostPolicy, Pool,
    ProbeMethod, ProxyProtocolVersion, Retry, RetryCause, StatusRange, Upstream, UpstreamProtocol,
    UpstreamTimeouts, UpstreamTls,
};
pub(super) use version::WEEKDAYS;
pub use version::{Brownout, GuideSource, Select, Share, Version, VersionSet, Versioning};

/// A whole configuration: the named file and all it includes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Config {
    pub gateway: Gateway,
    pub admin: Admin,
    pub log: Log,
    pub ledger: Ledger,
    pub listeners: BTreeMap<Name, Listener>,
    pub upstreams: BTreeMap<Name, Upstream>,
    pub limits: BTreeMap<Name, Limit>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub providers: BTreeMap<Name, Provider>,
    /// By the name clients use, which may end in `*`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<ModelPattern, Model>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub authorizers: BTreeMap<Name, Authorizer>,
    pub apis: BTreeMap<Name, Api>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub keys: BTreeMap<Name, Key>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub plans: BTreeMap<Name, Plan>,
    /// By host pattern as it is written.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub domains: BTreeMap<String, Domain>,
}

/// The name of a listener, upstream or API: `[A-Za-z0-9_][A-Za-z0-9_-]*`, at most 64 characters.
/// State (pools, health, buckets) follows the name over reloads. Cloning copies a pointer.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// A share in hundredths of a percent: `Percent(2_000)` is 20 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(pub u32);

/// A file another room opens, already resolved against the directory of the file that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePath {
    pub path: PathBuf,
    /// Where it is named, for the error of whoever fails to open it.
    pub place: Place,
}

// === impl Config ===

impl Config {
    /// Whether some route ends in language models.
    #[must_use]
    pub fn has_llm_route(&self) -> bool {
        let routes = self.apis.values().flat_map(|api| api.routes.values().flatten());
        routes.into_iter().any(|route| matches!(route.action, Action::Llm(_)))
    }

    /// The upstreams that are written, then those that providers are made of; each with the key
    /// that holds it.
    pub fn all_upstreams(&self) -> impl Iterator<Item = (Name, &Upstream, String)> {
        let written = self
            .upstreams
            .iter()
            .map(|(name, upstream)| (name.clone(), upstream, format!("upstreams.{name}")));
        written.chain(self.providers.iter().map(|(name, provider)| {
            let upstream = Provider::upstream_name(name);
            (upstream, &provider.upstream, format!("providers.{name}"))
        }))
    }
}

// === impl Name ===

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Name {
    /// Takes any text: the parser has checked what comes from a file.
    fn from(text: &str) -> Name {
        Name(Arc::from(text))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

// === impl Percent ===

impl Percent {
    /// This share of `whole`, rounded down.
    #[must_use]
    pub fn of(self, whole: u64) -> u64 {
        let share = u128::from(whole) * u128::from(self.0) / 10_000;
        u64::try_from(share).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole}%"),
            (whole, part) if part % 10 == 0 => write!(f, "{whole}.{}%", part / 10),
            (whole, part) => write!(f, "{whole}.{part:02}%"),
        }
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

// === impl FilePath ===

impl Serialize for FilePath {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.path.display())
    }
}
