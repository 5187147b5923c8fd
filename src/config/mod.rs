//! The configuration: TOML text in, one typed [`Config`] or every mistake at once.
//!
//! Owns the schema (one table: key, type, default, meaning), the units, includes, and the
//! diagnostics, each of which names `file:line:column`, the key's path, the value and a remedy.
//! Three steps: text -> tree with spans (the raw form) -> typed [`Config`]; the compiled form
//! belongs to `snapshot`. It refuses to know behaviour: no socket, no name resolution, no
//! certificate is opened here. It reads configuration files only, and records the paths of all
//! others with the place that names them. Invariant: identity is a name, never a position; what is
//! written twice is an error with both places.

mod demo;
mod diagnostic;
mod load;
mod read;
mod report;
mod schema;
mod section;
mod show;
mod spot;
mod suggest;
mod template;
mod tree;
mod types;
mod units;

#[cfg(test)]
mod tests;

pub use demo::demo;
pub use diagnostic::{Diagnostic, Place};
pub use load::{Loaded, load, parse_str};
pub use schema::reference;
pub use show::{Change, What, diff};
pub use template::{Part, Template, Variable};
pub use types::{
    Access, AccessFormat, AccessLog, Action, Admin, AdminToken, Api, ApiKey, Authorizer, Balance,
    Basic, Bearer, Breaker, Brownout, Canary, Certificate, ClientAuth, ClientAuthMode, Concurrency,
    Config, CredentialSource, DEFAULT_STAGE, Deployment, Dns, Domain, Ejection, Endpoint,
    EndpointAddress, Failover, FailoverCause, FilePath, Gateway, GuideSource, HalfClose, HashKey,
    HeadLimits, HeaderEdit, HeaderEdits, Health, Held, Host, HostPolicy, IoChoice, Jwks,
    JwksSource, Jwt, Key, KeyNeed, KeyPart, KeySource, KeyValue, Level, Limit, LimitHeaders,
    Listen, Listener, ListenerTimeouts, ListenerTls, LlmRoute, Log, LogPath, Mapping, Missing,
    Model, ModelBalance, ModelTarget, Moment, Mtls, Name, PathPolicy, Pattern, Percent, Plan, Pool,
    Price, ProbeMethod, Proof, Protocol, Provider, ProxyProtocolAccept, ProxyProtocolVersion,
    Quota, Redirect, Respond, RespondBody, Retry, RetryCause, Route, RouteTimeouts, Select,
    ServerHeader, Setting, Share, Source, Stage, StatusChange, StatusRange, Sticky, Target,
    Throttle, TlsVersion, TotalTimeout, UnknownSni, Unmatched, Upstream, UpstreamProtocol,
    UpstreamTimeouts, UpstreamTls, Usd, Validate, ValueSource, Variables, Version, VersionSet,
    Versioning,
};
pub use units::duration_of;
