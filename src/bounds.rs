//! Every limit of the process, with where the number comes from. Limits an operator may set have
//! their default here and their range in `config`. Units end the name.

// --- http ------------------------------------------------------------------------------------------

// --- route -----------------------------------------------------------------------------------------

// --- balance ---------------------------------------------------------------------------------------

// --- observe ---------------------------------------------------------------------------------------

// --- net -------------------------------------------------------------------------------------------

// --- config ----------------------------------------------------------------------------------------

/// One configuration file: 5,000 routes of 200 bytes are 1 MB, and the rest is room.
pub const CONFIG_FILE_BYTES_MAX: u64 = 16 << 20;
/// Files of one configuration: a file per team in a large company.
pub const CONFIG_FILES_MAX: usize = 1_024;
/// Includes within includes: main, environment, team, API, and as many again.
pub const CONFIG_INCLUDE_DEPTH_MAX: usize = 8;
/// Tables within tables; the schema's deepest key is the seventh, so deeper text is nonsense.
pub const CONFIG_DEPTH_MAX: usize = 16;
/// Diagnostics reported at once: more than a screen helps nobody.
pub const CONFIG_DIAGNOSTICS_MAX: usize = 100;
/// Diagnostics kept until all files are read, to show the first of them in order.
pub const CONFIG_DIAGNOSTICS_KEPT: usize = 10 * CONFIG_DIAGNOSTICS_MAX;
/// Entries of one list (endpoints, hosts, networks): each is compared with all others.
pub const CONFIG_LIST_MAX: usize = 4_096;
/// A name is a metric label and a log field.
pub const CONFIG_NAME_BYTES_MAX: usize = 64;
/// A template becomes at least as many bytes of a head, and heads are bounded.
pub const CONFIG_TEMPLATE_BYTES_MAX: usize = 4_096;

pub const MINUTE_MS: u64 = 60_000;
pub const HOUR_MS: u64 = 60 * MINUTE_MS;
pub const DAY_MS: u64 = 24 * HOUR_MS;

/// The widest hosts sold have about 900 cores.
pub const WORKERS_MAX: u64 = 1_024;
/// What Kubernetes waits between SIGTERM and SIGKILL.
pub const DRAIN_DEADLINE_MS: u64 = 30_000;
/// Per worker: 1,024 exchanges at the relay's largest buffer of 256 KiB.
pub const BUFFERS_BYTES_MAX: u64 = 256 << 20;
pub const DNS_TIMEOUT_MS: u64 = 2_000;
pub const DNS_TTL_MIN_MS: u64 = 1_000;
pub const DNS_TTL_MAX_MS: u64 = 5 * MINUTE_MS;
/// 8,192 lines of about 400 bytes: 3 MiB a worker, 80 ms of log at 100,000 requests a second.
pub const LOG_QUEUE_LINES: u64 = 8_192;

/// 100,000 idle connections of 2.1 KiB plain (10.7 KiB TLS) are 0.2 GiB (1 GiB).
pub const LISTENER_CONNECTIONS: u64 = 100_000;
/// The kernel's own ceiling on descriptors of a process (`fs.nr_open`) is about a million.
pub const CONNECTIONS_MAX: u64 = 10_000_000;
pub const HEADER_MS: u64 = 10_000;
/// Above the 60 s of the usual balancer in front, which must be the side that closes first.
pub const KEEPALIVE_MS: u64 = 75_000;
pub const BODY_MS: u64 = 30_000;
pub const WRITE_MS: u64 = 30_000;
pub const TLS_HANDSHAKE_MS: u64 = 10_000;
/// nginx gives 4 x 8 KiB, HAProxy 16 KiB: cookies and a JWT need the larger.
pub const CLIENT_HEAD_BYTES: u64 = 32 << 10;
/// RFC 9112 section 3: at least 8000 octets.
pub const CLIENT_TARGET_BYTES: u64 = 8 << 10;
pub const CLIENT_FIELDS: u64 = 100;
/// The most an operator may set `limits.head` to: a head is held in memory whole.
pub const HEAD_BYTES_CEILING: u64 = 1 << 20;
pub const FIELDS_CEILING: u64 = 1_000;

/// Two lost SYNs (retransmitted after 1 s and 2 s more) still fit.
pub const CONNECT_MS: u64 = 5_000;
/// What AWS API Gateway's HTTP APIs give an integration.
pub const FIRST_BYTE_MS: u64 = 30_000;
pub const EXCHANGE_IDLE_MS: u64 = 60_000;
pub const POOL_IDLE: u64 = 256;
/// Below the keep-alive of nginx (75 s), Apache prefork excepted (5 s); the retry rule covers the
/// race.
pub const POOL_IDLE_MS: u64 = 30_000;
pub const QUEUE_REQUESTS: u64 = 1_024;
pub const QUEUE_MS: u64 = 1_000;
pub const RETRY_ATTEMPTS: u64 = 2;
pub const RETRY_ATTEMPTS_MAX: u64 = 10;
/// 20 %, as linkerd and Finagle: a failing upstream gets at most 1.2 times its load.
pub const RETRY_BUDGET_BASIS_POINTS: u32 = 2_000;
pub const RETRY_BUDGET_MIN: u64 = 10;
pub const PROBE_INTERVAL_MS: u64 = 5_000;
pub const PROBE_TIMEOUT_MS: u64 = 1_000;
pub const PROBE_RISE: u64 = 2;
pub const PROBE_FALL: u64 = 3;
/// Envoy's outlier detection: five in a row, thirty seconds.
pub const EJECTION_FAILURES: u64 = 5;
pub const EJECTION_MS: u64 = 30_000;
pub const EJECTION_SHARE_BASIS_POINTS: u32 = 5_000;
pub const SLOW_START_MS: u64 = 10_000;
/// The weights of a full list ([`CONFIG_LIST_MAX`]) still sum within 32 bits.
pub const WEIGHT_MAX: u64 = 65_535;

/// AWS API Gateway's payload limit, so that what works there works here.
pub const REQUEST_BODY_BYTES: u64 = 10 << 20;

const _: () = assert!(CLIENT_TARGET_BYTES < CLIENT_HEAD_BYTES);
const _: () = assert!(CLIENT_HEAD_BYTES <= HEAD_BYTES_CEILING);
const _: () = assert!(PROBE_TIMEOUT_MS <= PROBE_INTERVAL_MS);
const _: () = assert!(DNS_TTL_MIN_MS <= DNS_TTL_MAX_MS);
const _: () = assert!(WEIGHT_MAX * (CONFIG_LIST_MAX as u64) <= u32::MAX as u64);
const _: () = assert!(RETRY_ATTEMPTS <= RETRY_ATTEMPTS_MAX);

// --- upstream --------------------------------------------------------------------------------------

// --- proxy -----------------------------------------------------------------------------------------
