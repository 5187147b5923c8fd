//! Every limit of the process, with where the number comes from. Limits an operator may set have their
//! default here and their range in `config`. Units end the name.

// --- http ------------------------------------------------------------------------------------------

// --- route -----------------------------------------------------------------------------------------

// --- balance ---------------------------------------------------------------------------------------

// --- observe ---------------------------------------------------------------------------------------

/// Workers a process may have: cells are allocated per worker and name, so this bounds their sum.
pub const WORKERS_MAX: usize = 256;
/// Named routes the registry counts apart; more share the row "(other)". 4096 routes x 3.3 KiB is
/// 13 MiB a worker, and a scrape of 4096 x 3 histograms is about as much as Prometheus swallows.
pub const ROUTE_CELLS_MAX: usize = 4096;
/// Named upstreams the registry counts apart (0.4 KiB each and worker).
pub const UPSTREAM_CELLS_MAX: usize = 4096;
/// Endpoints the registry counts apart. They come from DNS and churn: the longest unused go first.
pub const ENDPOINT_CELLS_MAX: usize = 8192;
/// Listeners the registry counts apart.
pub const LISTENER_CELLS_MAX: usize = 256;

/// Bytes that one field of an access-log line may take once escaped; what is over is cut.
pub mod log_field_bytes_max {
    pub const PATH: usize = 2048;
    pub const QUERY: usize = 2048;
    pub const REFERER: usize = 1024;
    pub const USER_AGENT: usize = 512;
    /// A host name has at most 255 octets (RFC 1035 section 2.3.4), and a port.
    pub const HOST: usize = 264;
    pub const ROUTE: usize = 256;
    pub const REQUEST_ID: usize = 128;
    /// 00-{32 hex}-{16 hex}-{2 hex} is 55.
    pub const TRACEPARENT: usize = 64;
    /// Names out of the config: API, listener, upstream.
    pub const NAME: usize = 128;
    pub const METHOD: usize = 32;
    /// Words of our own: failure, detail, protocol and TLS version.
    pub const TOKEN: usize = 64;
    /// "[" + 45 of an IPv6 address in its longest text form + "]:65535".
    pub const ADDRESS: usize = 54;
    /// u64::MAX has 20 digits.
    pub const NUMBER: usize = 20;
    /// "2026-11-21T22:12:00.123Z" is 24, "21/Nov/2026:22:12:00 +0000" 26.
    pub const TIME: usize = 26;
}

/// One access-log line with its newline. `observe::access_log` proves at compile time that the JSON
/// line fits, and refuses a template that might not.
pub const LOG_LINE_BYTES_MAX: usize = 10 * 1024;
/// The ring between a worker and the log writer. Small enough to stay in L2; half of it (the mark
/// at which a worker wakes the writer) is 300 lines of 400 bytes, 10 ms of a worker at 30,000
/// req/s.
pub const LOG_RING_BYTES: usize = 256 * 1024;
/// What the log writer hands to one write(2).
pub const LOG_BATCH_BYTES: usize = 256 * 1024;
/// How long the log writer sleeps when all rings are empty: the age of a line an idle host shows.
pub const LOG_PARK_MS: u64 = 50;
/// How long between two attempts to write after an error (disk full, reader gone).
pub const LOG_RETRY_MS: u64 = 250;
/// The same when stdout is a non-blocking pipe that is full: its 64 KiB every 5 ms are 13 MB/s.
pub const LOG_FULL_PIPE_MS: u64 = 5;
/// How long between two reports of log write errors.
pub const LOG_REPORT_MS: u64 = 10_000;
/// Names of query parameters whose values a log hides, beyond which the config is refused.
pub const LOG_MASKED_NAMES_MAX: usize = 64;

const _: () = assert!(LOG_RING_BYTES >= 16 * LOG_LINE_BYTES_MAX, "a burst of long lines fits");
const _: () = assert!(LOG_BATCH_BYTES >= LOG_LINE_BYTES_MAX, "a batch takes at least one line");

// --- net -------------------------------------------------------------------------------------------

// --- config ----------------------------------------------------------------------------------------

// --- upstream --------------------------------------------------------------------------------------

// --- proxy -----------------------------------------------------------------------------------------
