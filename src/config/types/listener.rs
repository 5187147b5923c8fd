//! A listener: where clients connect, what they may send, and how TLS is terminated for them.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Serialize, Serializer};

use super::{FilePath, Place};
use crate::config::units::{
    as_duration, as_duration_or_zero, as_number_or_zero, as_size, as_texts,
};

/// `[listeners.NAME]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Listener {
    #[serde(skip)]
    pub place: Place,
    /// At least one; no two listeners share one.
    pub addresses: Vec<Listen>,
    /// At least one, the preferred one first.
    pub protocols: Vec<Protocol>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocolAccept>,
    /// Peers whose `Forwarded` and `X-Forwarded-*` are believed.
    #[serde(serialize_with = "as_texts")]
    pub trusted_proxies: Vec<IpNet>,
    pub half_close: HalfClose,
    /// Connections this listener holds at once, over all workers.
    pub connections_max: u32,
    /// Requests on one connection before it is closed; `None` = no bound.
    #[serde(serialize_with = "as_number_or_zero")]
    pub requests_max: Option<u64>,
    pub path_policy: PathPolicy,
    pub timeouts: ListenerTimeouts,
    pub limits: HeadLimits,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenerTls>,
}

/// One address a listener is bound to.
#[derive(Clone, Debug, PartialEq)]
pub struct Listen {
    pub address: SocketAddr,
    pub place: Place,
}

/// `proxy_protocol`: the PROXY protocol, v1 or v2, is read from these peers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProxyProtocolAccept {
    #[serde(serialize_with = "as_texts")]
    pub from: Vec<IpNet>,
    /// Whether a connection from `from` without the header, or from elsewhere, is closed.
    pub required: bool,
}

/// What a client's FIN before its answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HalfClose {
    /// The client is gone: the exchange is cancelled.
    Close,
    /// The client still waits for its answer.
    Keep,
}

/// What is done about `.`, `..`, `//` and encoded bytes in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PathPolicy {
    /// Route and forward the normal form.
    Normalize,
    /// Answer 400 to a path that is not in normal form.
    Reject,
    /// Route and forward as it came.
    Raw,
}

/// `timeouts` of a listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListenerTimeouts {
    /// From a request's first byte (or the connection's start) to the end of its head.
    #[serde(serialize_with = "as_duration")]
    pub header: Duration,
    /// Between requests on a kept connection.
    #[serde(serialize_with = "as_duration")]
    pub idle: Duration,
    /// Between two reads of a request's body.
    #[serde(serialize_with = "as_duration")]
    pub body: Duration,
    /// Between two moments of progress when sending.
    #[serde(serialize_with = "as_duration")]
    pub write: Duration,
    #[serde(serialize_with = "as_duration")]
    pub tls_handshake: Duration,
    /// Age after which a connection is closed at the next request's end; `None` = never.
    #[serde(serialize_with = "as_duration_or_zero")]
    pub lifetime: Option<Duration>,
}

/// `limits` of a listener: what a request's head may measure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeadLimits {
    /// Request line and fields together, in bytes.
    #[serde(serialize_with = "as_size")]
    pub head: u64,
    /// The request target, in bytes.
    #[serde(serialize_with = "as_size")]
    pub target: u64,
    /// How many fields.
    pub fields: u32,
}

/// `[listeners.NAME.tls]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ListenerTls {
    #[serde(skip)]
    pub place: Place,
    /// At least one. Which names each serves is read from the certificate itself.
    pub certificates: Vec<Certificate>,
    /// The host name whose certificate answers clients without SNI; `None` = the first certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    pub min_version: TlsVersion,
    #[serde(flatten)]
    pub client: Option<ClientAuth>,
    pub unknown_sni: UnknownSni,
}

/// A certificate chain and its key, both PEM files.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Certificate {
    #[serde(skip)]
    pub place: Place,
    pub cert: FilePath,
    pub key: FilePath,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum TlsVersion {
    #[serde(rename = "1.2")]
    V1_2,
    #[serde(rename = "1.3")]
    V1_3,
}

/// A protocol that clients may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Protocol {
    #[serde(rename = "h2")]
    H2,
    #[serde(rename = "http/1.1")]
    Http11,
}

/// Client certificates are asked for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClientAuth {
    #[serde(rename = "client_auth")]
    pub mode: ClientAuthMode,
    /// PEM file of the authorities whose certificates are accepted.
    #[serde(rename = "client_ca")]
    pub ca: FilePath,
    /// PEM file of revocation lists.
    #[serde(rename = "client_crl", skip_serializing_if = "Option::is_none")]
    pub crl: Option<FilePath>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuthMode {
    /// A client without a certificate is let in; one with a bad certificate is not.
    Request,
    Require,
}

/// What a client gets that names a host no certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownSni {
    /// The default certificate.
    Default,
    /// The alert `access_denied`.
    Reject,
}

impl Serialize for Listen {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.address)
    }
}
