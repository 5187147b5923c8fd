//! Who proves callers, and who may call: `[authorizers.NAME]`, and the keys of an API or a route
//! that use them.

use std::collections::BTreeMap;
use std::time::Duration;

use ipnet::IpNet;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::{FilePath, Name, Place};
use crate::auth::Algorithm;
use crate::auth::basic::Hash;
use crate::config::units::{as_duration, as_duration_or_zero, as_texts};
use crate::http::Url;

/// `[authorizers.NAME]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Authorizer {
    #[serde(skip)]
    pub place: Place,
    #[serde(flatten)]
    pub proof: Proof,
    pub realm: String,
    /// Field name, lower case, to claim.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub claims_to_headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub log_claims: Vec<String>,
    pub forward_credentials: bool,
}

/// What an authorizer asks for.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Proof {
    Jwt(Box<Jwt>),
    Basic(Basic),
    Mtls(Mtls),
}

/// A signed token.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Jwt {
    pub issuer: String,
    /// `["*"]`: anybody's.
    pub audiences: Vec<String>,
    #[serde(serialize_with = "as_words")]
    pub algorithms: Vec<Algorithm>,
    #[serde(serialize_with = "as_duration")]
    pub leeway: Duration,
    #[serde(serialize_with = "as_text")]
    pub identity_source: Source,
    pub bearer: Bearer,
    pub jwks: Jwks,
}

/// Where a token stands in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A field, lower case.
    Header(String),
    Cookie(String),
    Query(String),
}

/// Whether `Bearer ` must stand before the token in `Authorization`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Bearer {
    Required,
    Optional,
}

/// Where the keys come from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Jwks {
    #[serde(flatten)]
    pub source: JwksSource,
    #[serde(serialize_with = "as_duration")]
    pub refresh: Duration,
    #[serde(serialize_with = "as_duration")]
    pub cooldown: Duration,
    /// `None`: for ever.
    #[serde(serialize_with = "as_duration_or_zero")]
    pub stale: Option<Duration>,
    #[serde(serialize_with = "as_duration")]
    pub timeout: Duration,
    /// `None`: the system's authorities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<FilePath>,
}

/// A file, a URL, or what the issuer says of itself.
#[derive(Clone, Debug, PartialEq)]
pub enum JwksSource {
    File(FilePath),
    Url(Url),
    /// The URL of the issuer's metadata, which names that of its keys.
    Discovery(Url),
}

/// A name and a password.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Basic {
    #[serde(serialize_with = "as_users", skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<(String, Hash)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users_file: Option<FilePath>,
}

/// A client certificate, verified by the listener.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mtls {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

/// Who may call an API or a route: what is `None` is not said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Access {
    /// Any one of them; empty: everybody (`authorizer = "none"`).
    pub authorizers: Option<Vec<Name>>,
    /// At least one of them.
    pub scopes: Option<Vec<String>>,
    pub mfa: Option<bool>,
    pub allow_from: Option<Vec<IpNet>>,
    pub deny_from: Option<Vec<IpNet>>,
}

// === impl Source ===

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::Header(name) => write!(f, "header:{name}"),
            Source::Cookie(name) => write!(f, "cookie:{name}"),
            Source::Query(name) => write!(f, "query:{name}"),
        }
    }
}

// === impl JwksSource ===

impl Serialize for JwksSource {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        match self {
            JwksSource::File(file) => map.serialize_entry("file", file)?,
            JwksSource::Url(url) => map.serialize_entry("url", url.as_str())?,
            // The issuer says it.
            JwksSource::Discovery(_) => {}
        }
        map.end()
    }
}

// === impl Access ===

impl Access {
    /// What holds for a route of an API: its own words before the API's, key by key.
    #[must_use]
    pub fn over(&self, api: &Access) -> Access {
        Access {
            authorizers: self.authorizers.clone().or_else(|| api.authorizers.clone()),
            scopes: self.scopes.clone().or_else(|| api.scopes.clone()),
            mfa: self.mfa.or(api.mfa),
            allow_from: self.allow_from.clone().or_else(|| api.allow_from.clone()),
            deny_from: self.deny_from.clone().or_else(|| api.deny_from.clone()),
        }
    }
}

impl Serialize for Access {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        match &self.authorizers {
            None => {}
            Some(none) if none.is_empty() => map.serialize_entry("authorizer", "none")?,
            Some(names) => map.serialize_entry("authorizers", names)?,
        }
        if let Some(scopes) = &self.scopes {
            map.serialize_entry("scopes", scopes)?;
        }
        if let Some(mfa) = &self.mfa {
            map.serialize_entry("mfa", mfa)?;
        }
        if let Some(networks) = &self.allow_from {
            map.serialize_entry("allow_from", &texts_of(networks))?;
        }
        if let Some(networks) = &self.deny_from {
            map.serialize_entry("deny_from", &texts_of(networks))?;
        }
        map.end()
    }
}

fn texts_of(networks: &[IpNet]) -> Vec<String> {
    networks.iter().map(IpNet::to_string).collect()
}

fn as_text<S: Serializer>(source: &Source, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(source)
}

fn as_words<S: Serializer>(algorithms: &[Algorithm], to: S) -> Result<S::Ok, S::Error> {
    as_texts(algorithms, to)
}

fn as_users<S: Serializer>(users: &[(String, Hash)], to: S) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(users.len()))?;
    for (name, hash) in users {
        map.serialize_entry(name, hash.text())?;
    }
    map.end()
}
