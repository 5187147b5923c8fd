//! The process as a whole: workers, drain, name resolution, the admin server, the logs.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::{FilePath, Place};
use crate::config::units::{as_duration, as_duration_or_zero, as_size};

/// `[gateway]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gateway {
    #[serde(skip)]
    pub place: Place,
    /// Worker threads; `None` = one per core the process may run on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<usize>,
    /// Whether each worker is bound to a core.
    pub pin: bool,
    pub io: IoChoice,
    /// How long a drain may take before connections are cut.
    #[serde(serialize_with = "as_duration")]
    pub drain_deadline: Duration,
    /// How long `/readyz` says no before listeners close, so that balancers look elsewhere first.
    #[serde(serialize_with = "as_duration")]
    pub drain_delay: Duration,
    pub server_header: ServerHeader,
    /// The pseudonym in `Via` (RFC 9110 section 7.6.3).
    pub via: String,
    /// Bound on the relay buffers of one worker, in bytes.
    #[serde(serialize_with = "as_size")]
    pub buffers_max: u64,
    /// Whether the pages behind an error's `doc_url` are served.
    pub error_docs: bool,
    /// Where `limits.tab` and `ringway.db` live; `None` = nothing outlives the process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_dir: Option<FilePath>,
    /// Buckets and quotas that are counted at once.
    pub limits_max: u64,
    pub dns: Dns,
}

/// Which driver the workers use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum IoChoice {
    /// io_uring, or epoll with one loud line if the kernel or a sandbox refuses.
    Auto,
    /// io_uring, or do not start.
    Uring,
    Epoll,
}

/// What becomes of the upstream's `Server` field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerHeader {
    Pass,
    Remove,
    /// Replaced, or added where the upstream sends none.
    Set(String),
}

/// `[gateway.dns]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dns {
    /// Empty = those of `/etc/resolv.conf`.
    pub servers: Vec<SocketAddr>,
    /// Per question and server.
    #[serde(serialize_with = "as_duration")]
    pub timeout: Duration,
    /// An answer's time to live is raised to this ...
    #[serde(serialize_with = "as_duration")]
    pub ttl_min: Duration,
    /// ... and cut to this.
    #[serde(serialize_with = "as_duration")]
    pub ttl_max: Duration,
}

/// `[admin]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Admin {
    #[serde(skip)]
    pub place: Place,
    pub enabled: bool,
    pub address: SocketAddr,
    /// Whether `address` may be other than loopback.
    pub allow_remote: bool,
    /// Where the token stands that writes must show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<AdminToken>,
    /// The SHA-256 of such a token, in hexadecimal digits; it holds beside the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_sha256: Option<String>,
}

/// `admin.token`: looked up whenever a token is shown, so that a new one holds at once.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AdminToken {
    /// A variable of the process's environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<FilePath>,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Log {
    #[serde(skip)]
    pub place: Place,
    pub level: Level,
    pub access: AccessLog,
}

/// `[ledger]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ledger {
    #[serde(skip)]
    pub place: Place,
    /// How long an entry is kept; `None` = for ever.
    #[serde(serialize_with = "as_duration_or_zero")]
    pub keep: Option<Duration>,
}

/// The least severe line of the process log that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// `[log.access]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AccessLog {
    pub enabled: bool,
    pub format: AccessFormat,
    pub path: LogPath,
    /// Lines each worker's ring holds; a full ring drops lines and counts them.
    pub queue: usize,
}

/// The form of an access-log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessFormat {
    /// One JSON object a line.
    Json,
    /// The combined log format of Apache and nginx.
    Combined,
    /// Text with `{fields}`; `observe` knows the fields, here only the braces are checked.
    Template { text: String, place: Place },
}

/// Where access-log lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogPath {
    Stdout,
    Stderr,
    File(FilePath),
}

impl Serialize for ServerHeader {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(match self {
            ServerHeader::Pass => "pass",
            ServerHeader::Remove => "remove",
            ServerHeader::Set(text) => text,
        })
    }
}

impl Serialize for AccessFormat {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(match self {
            AccessFormat::Json => "json",
            AccessFormat::Combined => "combined",
            AccessFormat::Template { text, .. } => text,
        })
    }
}

impl Serialize for LogPath {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            LogPath::Stdout => to.serialize_str("stdout"),
            LogPath::Stderr => to.serialize_str("stderr"),
            LogPath::File(file) => file.serialize(to),
        }
    }
}
