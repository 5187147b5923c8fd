//! THE table: one row per way a request can end badly. The client's error body, the metric label,
//! the log field and docs/errors.md all come from here. Add rows as needed; never renumber a code.

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
