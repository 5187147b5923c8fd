//! Limits of providers and models as they are configured.

/// For the first byte of an answer that is not streamed, which comes when all of it has been
/// generated: OpenAI's and Anthropic's SDKs wait for ten minutes.
pub const PROVIDER_FIRST_BYTE_MS: u64 = 600_000;
/// For the first byte of a streamed answer: the head comes before the model thinks, but requests
/// may queue for some seconds.
pub const PROVIDER_STREAM_FIRST_BYTE_MS: u64 = 60_000;
/// Below the 60 s after which AWS's balancers close. Longer than for upstreams nearby: a TLS
/// handshake with a provider costs two long ways.
pub const PROVIDER_POOL_IDLE_MS: u64 = 55_000;
/// Credentials of a provider: one a month is rotated, and some are limited each for itself.
pub const PROVIDER_CREDENTIALS_MAX: usize = 32;
/// Bytes of a credential. Those of providers are below 200, signed tokens below 4 KiB.
pub const CREDENTIAL_BYTES_MAX: usize = 8192;
/// Targets of a model: a set of them is one word.
pub const MODEL_TARGETS_MAX: usize = 64;
/// Tokens a model may have room for; more than any has.
pub const MODEL_TOKENS_MAX: u64 = 1 << 30;
/// How often a request is sent at most.
pub const FAILOVER_ATTEMPTS: u64 = 3;
/// Retries a second that are always allowed, over all workers.
pub const FAILOVER_BUDGET_MIN: u64 = 3;
/// What a client that waits hardly notices.
pub const FAILOVER_RETRY_AFTER_MS: u64 = 5_000;
/// Failures in a row that open a breaker.
pub const BREAKER_FAILURES: u64 = 5;
/// The share of failures that opens one: half of them, as LiteLLM has it.
pub const BREAKER_RATIO_BASIS_POINTS: u32 = 5_000;
/// Of fewer requests a share says little.
pub const BREAKER_REQUESTS_MIN: u64 = 20;
/// Of how long ago at most.
pub const BREAKER_WINDOW_MS: u64 = 10_000;
/// How long it is open the first time.
pub const BREAKER_OPEN_MS: u64 = 10_000;
/// How long at most.
pub const BREAKER_OPEN_MAX_MS: u64 = 300_000;
/// Requests at once while it is half open.
pub const BREAKER_HALF_OPEN: u64 = 1;
