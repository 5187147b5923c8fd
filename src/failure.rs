//! THE table: one row per way a request can end badly. The client's error body, the metric label,
//! the log field and docs/errors.md all come from here. Add rows as needed; never renumber a code.
//!
//! What a client is told beside its row is [`Details`]; how it is told, in four bodies, `body`; in
//! the words of AWS and Anthropic, `words`; the page behind `doc_url`, `page`.

mod body;
mod details;
pub mod page;
mod words;

pub use body::{Answer, ErrorFormat, Told};
pub use details::{Detail, Details};
pub use words::{Aws, anthropic_type, aws};

/// Whose doing it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The caller sent something wrong, too much, too late, or hung up.
    Client,
    /// The gateway itself: overload, a bound reached, or a bug.
    Gateway,
    /// The endpoint behind: unreachable, slow, or speaking nonsense.
    Upstream,
}

// === impl Blame ===

impl Blame {
    /// Whose doing it was, in words.
    #[must_use]
    pub fn whose(self) -> &'static str {
        match self {
            Blame::Client => "the client",
            Blame::Gateway => "the gateway",
            Blame::Upstream => "the upstream",
        }
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Which failure this row tells of.
    pub failure: Failure,
    /// Metric label and log token: stable, `snake_case`.
    pub name: &'static str,
    /// The code a client sees; stable for ever.
    pub code: &'static str,
    /// The error's type, in the words OpenAI's SDKs know.
    pub kind: &'static str,
    /// HTTP status. 499 is never sent: it marks a client that went away (nginx's number).
    pub status: u16,
    /// Whether the same request may succeed when sent again unchanged.
    pub retryable: bool,
    /// Whose doing it was.
    pub blame: Blame,
    /// Whether the downstream connection must close after the answer (RFC 9112 section 9.6).
    pub close: bool,
    /// One sentence for the client; no internals in it.
    pub message: &'static str,
}

macro_rules! table {
    ($($variant:ident $name:literal $code:literal $kind:literal $status:literal $retry:literal
       $blame:ident $close:literal $message:literal;)*) => {
        /// A way a request can end badly.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Failure { $(#[doc = $message] $variant),* }

        /// All rows, in declaration order: `TABLE[failure as usize]` is the failure's row.
        pub const TABLE: &[Row] = &[$(Row {
            failure: Failure::$variant, name: $name, code: $code, kind: $kind, status: $status,
            retryable: $retry, blame: Blame::$blame, close: $close, message: $message,
        }),*];
    };
}

// variant, log token, code, type, status, retryable, blame, close, message
table! {
    BadRequest "bad_request" "COMMON_001" "invalid_request_error" 400 false Client true
        "The request is not valid HTTP/1.1.";
    NotFound "not_found" "COMMON_002" "not_found_error" 404 false Client false
        "No route matches this host, method and path.";
    Internal "internal" "COMMON_003" "api_error" 500 true Gateway true
        "The gateway failed to process the request.";
    Unavailable "unavailable" "COMMON_004" "overloaded_error" 503 true Gateway true
        "The gateway cannot take this request now.";
    TargetTooLong "target_too_long" "COMMON_005" "invalid_request_error" 414 false Client true
        "The request target is longer than the gateway accepts.";
    HeadTooLarge "head_too_large" "COMMON_006" "invalid_request_error" 431 false Client true
        "The request's header fields are larger or more than the gateway accepts.";
    BodyTooLarge "body_too_large" "COMMON_007" "request_too_large" 413 false Client true
        "The request body is larger than this route accepts.";
    RequestTimeout "request_timeout" "COMMON_008" "timeout_error" 408 true Client true
        "The request did not arrive in time.";
    MethodNotImplemented "method_not_implemented" "COMMON_009" "invalid_request_error" 501 false Client true
        "The gateway does not implement this method or transfer coding.";
    VersionNotSupported "version_not_supported" "COMMON_010" "invalid_request_error" 505 false Client true
        "The gateway speaks HTTP/1.0 and HTTP/1.1 only.";
    ExpectationFailed "expectation_failed" "COMMON_011" "invalid_request_error" 417 false Client true
        "The gateway knows no expectation but 100-continue.";
    Misdirected "misdirected" "COMMON_012" "invalid_request_error" 421 true Client true
        "This connection was opened for another host name.";
    ConnectionLimit "connection_limit" "COMMON_013" "overloaded_error" 503 true Gateway true
        "The listener holds as many connections as it may.";
    LoopDetected "loop_detected" "COMMON_014" "api_error" 508 false Gateway true
        "The request has already passed through this gateway.";
    RateLimited "rate_limited" "RATE_LIMIT_001" "rate_limit_error" 429 false Client false
        "Too many requests in a short time.";
    ConcurrencyLimited "concurrency_limited" "RATE_LIMIT_003" "rate_limit_error" 429 false Client false
        "Too many requests at once.";
    QuotaExceeded "quota_exceeded" "RATE_LIMIT_004" "rate_limit_error" 429 false Client false
        "The quota of this period is used up.";
    LimitsFull "limits_full" "RATE_LIMIT_005" "overloaded_error" 503 true Gateway false
        "The gateway cannot count this request now.";
    LimitKeyMissing "limit_key_missing" "RATE_LIMIT_006" "invalid_request_error" 400 false Client false
        "The request lacks what its limit is counted by.";
    MissingToken "missing_token" "COMMON_015" "permission_error" 403 false Client false
        "Missing Authentication Token";
    VersionNotFound "version_not_found" "API_VERSION_NOT_FOUND" "not_found_error" 404 false Client false
        "The API has no such version, or none was named and there is no default.";
    VersionSunset "version_sunset" "API_VERSION_SUNSET" "gone_error" 410 false Client false
        "This version of the API is no longer served.";
    VersionBrownout "version_brownout" "API_VERSION_BROWNOUT" "gone_error" 410 true Client false
        "This version of the API is about to end: requests are refused for a while, as a warning.";
    TokenInvalid "token_invalid" "AUTH_001" "authentication_error" 401 false Client false
        "The credentials are not valid, or no longer.";
    Forbidden "forbidden" "AUTH_002" "permission_error" 403 false Client false
        "The credentials are valid, but do not permit this.";
    MfaRequired "mfa_required" "AUTH_003" "permission_error" 403 false Client false
        "This needs a second factor of authentication.";
    AddressForbidden "address_forbidden" "AUTH_007" "permission_error" 403 false Client false
        "Requests from this address are not permitted.";
    AuthorizerUnavailable "authorizer_unavailable" "AUTH_008" "overloaded_error" 503 true Gateway false
        "The credentials cannot be verified now.";
    CredentialsMissing "credentials_missing" "AUTH_009" "authentication_error" 401 false Client false
        "The request has no credentials.";
    ClientGone "client_gone" "CLIENT_001" "client_error" 499 false Client true
        "The client went away before the answer was complete.";
    ClientStalled "client_stalled" "CLIENT_002" "timeout_error" 408 true Client true
        "The client stopped sending its request body or reading the answer.";
    UpstreamConnect "upstream_connect" "UPSTREAM_001" "api_error" 502 true Upstream false
        "The upstream refused the connection.";
    UpstreamConnectTimeout "upstream_connect_timeout" "UPSTREAM_002" "timeout_error" 504 true Upstream false
        "The upstream did not accept a connection in time.";
    UpstreamNone "upstream_none" "UPSTREAM_003" "overloaded_error" 503 true Upstream false
        "No endpoint of the upstream is available.";
    UpstreamQueueFull "upstream_queue_full" "UPSTREAM_004" "overloaded_error" 503 true Gateway false
        "The upstream is at its concurrency limit and its queue is full.";
    UpstreamQueueTimeout "upstream_queue_timeout" "UPSTREAM_005" "overloaded_error" 503 true Gateway false
        "The upstream was at its concurrency limit for too long.";
    UpstreamReset "upstream_reset" "UPSTREAM_006" "api_error" 502 true Upstream false
        "The upstream closed the connection before it answered.";
    UpstreamInvalid "upstream_invalid" "UPSTREAM_007" "api_error" 502 true Upstream false
        "The upstream's answer is not valid HTTP/1.1.";
    UpstreamFirstByteTimeout "upstream_first_byte_timeout" "UPSTREAM_008" "timeout_error" 504 true Upstream false
        "The upstream did not begin to answer in time.";
    UpstreamHeadTooLarge "upstream_head_too_large" "UPSTREAM_009" "api_error" 502 false Upstream false
        "The upstream's header fields are larger than the gateway accepts.";
    UpstreamTls "upstream_tls" "UPSTREAM_010" "api_error" 502 true Upstream false
        "The TLS handshake with the upstream failed.";
    UpstreamIdleTimeout "upstream_idle_timeout" "UPSTREAM_011" "timeout_error" 504 true Upstream true
        "The upstream stopped in the middle of its answer.";
    UpstreamTotalTimeout "upstream_total_timeout" "UPSTREAM_012" "timeout_error" 504 true Upstream true
        "The upstream did not complete its answer in time.";
    UpstreamCut "upstream_cut" "UPSTREAM_013" "api_error" 502 true Upstream true
        "The upstream closed the connection in the middle of its answer.";
    ParameterMissing "parameter_missing" "COMMON_016" "invalid_request_error" 400 false Client false
        "A required header field or parameter is missing or has a wrong form.";
    MediaTypeUnsupported "media_type_unsupported" "COMMON_017" "invalid_request_error" 415 false Client false
        "This route does not take a body of this content type.";
    ModelRequest "model_request" "COMMON_018" "invalid_request_error" 400 false Client false
        "The request to the model is not valid.";
    TokenLimit "token_limit" "RATE_LIMIT_002" "rate_limit_error" 429 true Client false
        "The token limit is reached.";
    BillingBalance "billing_balance" "BILLING_001" "billing_error" 402 false Client false
        "The balance does not cover this request.";
    BillingCharge "billing_charge" "BILLING_002" "api_error" 500 true Gateway false
        "The request could not be charged.";
    BillingRefund "billing_refund" "BILLING_003" "api_error" 500 true Gateway false
        "What was charged too much could not be given back.";
    BillingDiscrepancy "billing_discrepancy" "BILLING_004" "api_error" 500 true Gateway false
        "What was charged and what was used do not agree.";
    RouterNone "router_none" "ROUTER_001" "overloaded_error" 503 true Upstream false
        "No provider is available for this model.";
    RouterAllFailed "router_all_failed" "ROUTER_002" "overloaded_error" 503 true Upstream false
        "All providers of this model failed.";
    RouterTimeout "router_timeout" "ROUTER_003" "timeout_error" 504 true Upstream false
        "No provider answered in time.";
    ProviderKey "provider_key" "PROVIDER_001" "authentication_error" 401 false Upstream false
        "The provider does not accept its API key.";
    ProviderRateLimit "provider_rate_limit" "PROVIDER_002" "rate_limit_error" 429 true Upstream false
        "The provider's rate limit is reached.";
    ProviderQuota "provider_quota" "PROVIDER_003" "billing_error" 402 false Upstream false
        "The quota at the provider is used up.";
    ProviderModel "provider_model" "PROVIDER_004" "not_found_error" 404 false Upstream false
        "The provider does not have this model.";
    ProviderError "provider_error" "PROVIDER_005" "api_error" 502 true Upstream false
        "The provider failed to answer.";
    KeyMissing "key_missing" "AUTH_004" "authentication_error" 401 false Client false
        "This route needs an API key.";
    KeyInvalid "key_invalid" "AUTH_005" "authentication_error" 401 false Client false
        "The API key is not valid.";
    KeyNotAllowed "key_not_allowed" "AUTH_006" "permission_error" 403 false Client false
        "The API key is not allowed here.";
}

/// How many rows there are; per-worker counters are arrays of this length.
pub const COUNT: usize = TABLE.len();

// === impl Failure ===

impl Failure {
    /// This failure's row.
    #[must_use]
    pub fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// The failure of this code, letter case aside.
    #[must_use]
    pub fn of_code(code: &[u8]) -> Option<Failure> {
        let row = TABLE.iter().find(|row| row.code.as_bytes().eq_ignore_ascii_case(code));
        row.map(|row| row.failure)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.row().message)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn rows_stand_at_their_failures_index_and_no_code_or_name_stands_twice() {
        let (mut names, mut codes) = (HashSet::new(), HashSet::new());
        for (i, row) in TABLE.iter().enumerate() {
            assert_eq!(row.failure as usize, i);
            assert!(names.insert(row.name), "{} twice", row.name);
            assert!(codes.insert(row.code), "{} twice", row.code);
            assert!((400..600).contains(&row.status));
        }
    }
}
