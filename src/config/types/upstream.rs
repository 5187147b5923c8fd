//! An upstream: the endpoints behind a name, and how requests are spread, retried, limited and
//! watched.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::{FilePath, Percent, Place};
use crate::config::units::{as_duration, as_duration_or_zero, as_number_or_zero};

/// `[upstreams.NAME]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Upstream {
    #[serde(skip)]
    pub place: Place,
    /// At least one, and one of them with a weight above zero.
    pub endpoints: Vec<Endpoint>,
    pub protocol: UpstreamProtocol,
    #[serde(flatten)]
    pub balance: Balance,
    pub host: HostPolicy,
    pub timeouts: UpstreamTimeouts,
    pub pool: Pool,
    pub concurrency: Concurrency,
    pub retry: Retry,
    /// Active health checks; `None` = none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// Passive ejection; `None` = never.
    #[serde(serialize_with = "as_ejection")]
    pub ejection: Option<Ejection>,
    /// The PROXY protocol header sent first on each connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocolVersion>,
    /// Present = TLS to the endpoints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<UpstreamTls>,
}

/// One entry of `endpoints`; a name stands for all addresses it resolves to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Endpoint {
    #[serde(skip)]
    pub place: Place,
    pub address: EndpointAddress,
    /// Zero = takes no new requests.
    pub weight: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndpointAddress {
    Ip(SocketAddr),
    /// Lower case, without a trailing dot.
    Name {
        host: String,
        port: u16,
    },
}

/// What is spoken to the endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UpstreamProtocol {
    H1,
    /// In clear by prior knowledge.
    H2,
    /// Over TLS what the handshake agrees on; in clear HTTP/1.1.
    Auto,
}

/// How an endpoint is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Balance {
    /// The less loaded of two drawn at random.
    LeastRequest,
    RoundRobin,
    Random,
    /// Consistent hashing over this part of the request.
    Hash(HashKey),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashKey {
    ClientIp,
    /// The path without the query.
    Path,
    /// A request field, lower case.
    Header(String),
    Cookie(String),
}

/// The `Host` an endpoint sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPolicy {
    /// The client's.
    Preserve,
    /// The endpoint's own, as it is written in `endpoints`.
    Endpoint,
    Literal(String),
}

/// `timeouts` of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UpstreamTimeouts {
    /// TCP connect; the TLS handshake has as long again.
    #[serde(serialize_with = "as_duration")]
    pub connect: Duration,
    /// From the request's last byte to the response's first.
    #[serde(serialize_with = "as_duration")]
    pub first_byte: Duration,
    /// Between two moments of progress, either way.
    #[serde(serialize_with = "as_duration")]
    pub idle: Duration,
    /// The whole exchange, retries included; `None` = no bound.
    #[serde(serialize_with = "as_duration_or_zero")]
    pub total: Option<Duration>,
    /// A tunnel in which nothing moves.
    #[serde(serialize_with = "as_duration")]
    pub tunnel_idle: Duration,
    /// A tunnel's whole life; `None` = no bound.
    #[serde(serialize_with = "as_duration_or_zero")]
    pub tunnel_lifetime: Option<Duration>,
}

/// `pool` of an upstream: idle connections kept, per worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pool {
    /// Zero = none is kept.
    pub idle_max: u32,
    #[serde(serialize_with = "as_duration")]
    pub idle_timeout: Duration,
    /// Requests on one connection; `None` = no bound.
    #[serde(serialize_with = "as_number_or_zero")]
    pub requests_max: Option<u64>,
    /// Age after which a connection is not reused; `None` = no bound.
    #[serde(serialize_with = "as_duration_or_zero")]
    pub lifetime: Option<Duration>,
    /// HTTP/2: silence under open streams before a ping; `None` = never.
    #[serde(serialize_with = "as_duration_or_zero")]
    pub ping_interval: Option<Duration>,
}

/// `concurrency` of an upstream: requests at once, over all workers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Concurrency {
    /// `None` = no bound, and then nothing queues.
    #[serde(serialize_with = "as_number_or_zero")]
    pub requests_max: Option<u64>,
    /// Requests that may wait for their turn.
    pub queue_max: u32,
    #[serde(serialize_with = "as_duration")]
    pub queue_timeout: Duration,
}

/// `retry` of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Retry {
    /// How often a request is sent at most, the first time included; 1 = never retried.
    pub attempts: u32,
    pub on: BTreeSet<RetryCause>,
    /// Retries as a share of the requests of the last seconds ...
    pub budget: Percent,
    /// ... but this many a second are always allowed.
    pub budget_min: u32,
}

/// Why a request may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RetryCause {
    /// No connection: nothing was sent, so any method is safe.
    Connect,
    /// The connection broke before a byte of the answer; idempotent methods only.
    Reset,
    /// `first_byte` passed without a byte of the answer; idempotent methods only.
    Timeout,
}

/// `health` of an upstream: active checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    #[serde(skip)]
    pub place: Place,
    pub path: String,
    pub method: ProbeMethod,
    /// `None` = the endpoint as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    #[serde(serialize_with = "as_duration")]
    pub interval: Duration,
    #[serde(serialize_with = "as_duration")]
    pub timeout: Duration,
    /// Good answers in a row that bring an endpoint back.
    pub rise: u32,
    /// Bad ones in a row that take it out.
    pub fall: u32,
    pub status: StatusRange,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ProbeMethod {
    Get,
    Head,
    Options,
}

/// The statuses from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusRange {
    pub first: u16,
    pub last: u16,
}

/// `ejection` of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ejection {
    /// Failures in a row that eject an endpoint.
    pub failures: u32,
    /// How long the first time; doubled at each further one, up to ten times this.
    #[serde(serialize_with = "as_duration")]
    pub base_time: Duration,
    /// At most this share of the endpoints is out at once.
    pub share_max: Percent,
    /// How long a returning endpoint's share of the requests grows; `None` = at once in full.
    #[serde(serialize_with = "as_duration_or_zero")]
    pub slow_start: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyProtocolVersion {
    V1,
    V2,
}

/// `[upstreams.NAME.tls]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UpstreamTls {
    #[serde(skip)]
    pub place: Place,
    /// PEM file of authorities; `None` = the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<FilePath>,
    /// SNI and the name the certificate must be for; `None` = the endpoint's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// What the gateway shows the endpoint.
    #[serde(flatten)]
    pub client: Option<super::Certificate>,
    pub min_version: super::TlsVersion,
    pub insecure_skip_verify: bool,
}

/// `ejection` as it is written.
pub(super) struct Ejected<'u>(pub &'u Option<Ejection>);

impl Serialize for Ejected<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        as_ejection(self.0, to)
    }
}

/// `None` is written as the `failures = 0` it was read from: without the table, defaults hold.
fn as_ejection<S: Serializer>(ejection: &Option<Ejection>, to: S) -> Result<S::Ok, S::Error> {
    match ejection {
        Some(ejection) => ejection.serialize(to),
        None => {
            let mut fields = to.serialize_struct("Ejection", 1)?;
            fields.serialize_field("failures", &0)?;
            fields.end()
        }
    }
}

// === impl EndpointAddress ===

impl fmt::Display for EndpointAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EndpointAddress::Ip(address) => write!(f, "{address}"),
            EndpointAddress::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

impl Serialize for EndpointAddress {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

// === impl Balance ===

impl Serialize for Balance {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut fields = to.serialize_struct("Balance", 2)?;
        match self {
            Balance::LeastRequest => fields.serialize_field("balance", "least_request")?,
            Balance::RoundRobin => fields.serialize_field("balance", "round_robin")?,
            Balance::Random => fields.serialize_field("balance", "random")?,
            Balance::Hash(key) => {
                fields.serialize_field("balance", "hash")?;
                fields.serialize_field("hash", &key.to_string())?;
            }
        }
        fields.end()
    }
}

// === impl HashKey ===

impl fmt::Display for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HashKey::ClientIp => f.write_str("client_ip"),
            HashKey::Path => f.write_str("path"),
            HashKey::Header(name) => write!(f, "header:{name}"),
            HashKey::Cookie(name) => write!(f, "cookie:{name}"),
        }
    }
}

// === impl HostPolicy ===

impl Serialize for HostPolicy {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(match self {
            HostPolicy::Preserve => "preserve",
            HostPolicy::Endpoint => "endpoint",
            HostPolicy::Literal(host) => host,
        })
    }
}

// === impl StatusRange ===

impl StatusRange {
    #[must_use]
    pub fn contains(self, status: u16) -> bool {
        self.first <= status && status <= self.last
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl Serialize for StatusRange {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}
