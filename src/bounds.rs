//! Every limit of the process, with where the number comes from. Limits an operator may set have
//! their default here and their range in `config`. Units end the name.

mod auth;
mod chat;
mod control;
mod ledger;
mod llm;
mod llm_dialect;
mod models;

pub use auth::*;
pub use chat::*;
pub use control::*;
pub use ledger::*;
pub use llm::*;
pub use llm_dialect::*;
pub use models::*;

// --- http --------------------------------------------------------------------

/// Bytes of one head, empty line included. 32 KiB holds the 8 KiB target, 16 KiB of cookies (what
/// browsers cap one name at is 4 KiB) and 8 KiB of everything else.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;
/// The most an operator may raise [`HEAD_BYTES_MAX`] to: it is also one connection's read buffer.
pub const HEAD_BYTES_CEILING: usize = 256 * 1024;
/// Bytes of a request target. RFC 9112 section 3 asks for at least 8,000 octets of request line.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;
/// Fields in one head. Browsers send about 20, a mesh behind three proxies about 50.
pub const FIELDS_MAX: usize = 100;
/// The most an operator may raise [`FIELDS_MAX`] to: the parser's table of 256 x 32 bytes is 8 KiB
/// of stack.
pub const FIELDS_CEILING: usize = 256;
/// Bytes of a method. The longest registered one is UPDATEREDIRECTREF (17).
pub const METHOD_BYTES_MAX: usize = 32;
/// Bytes of a host name: RFC 1035 section 2.3.4.
pub const HOST_BYTES_MAX: usize = 255;
/// Empty lines skipped before a request line: RFC 9112 section 2.2 says "at least one".
pub const EMPTY_LINES_MAX: usize = 4;
/// Options in all Connection fields of one head; each nominated name costs a compare per unknown
/// field.
pub const CONNECTION_OPTIONS_MAX: usize = 16;
/// The longest body one length may announce: 2^63 - 1, so that sums of two fit a u64.
pub const BODY_BYTES_MAX: u64 = i64::MAX as u64;
/// Hex digits of a chunk size: 16 are 64 bits.
pub const CHUNK_SIZE_DIGITS_MAX: usize = 16;
/// Bytes of one chunk's extensions. They mean nothing here; real ones (signatures) stay under 200.
pub const CHUNK_EXTENSION_BYTES_MAX: usize = 1024;
/// Bytes of all chunk extensions of one body: they are read and thrown away, so a sender of
/// one-byte chunks with long extensions makes work that no body limit counts.
pub const CHUNK_EXTENSION_BYTES_TOTAL_MAX: usize = 16 * 1024;
/// Bytes of a trailer section. Checksums and gRPC status fit many times over.
pub const TRAILER_BYTES_MAX: usize = 8 * 1024;
/// Fields of a trailer section.
pub const TRAILER_FIELDS_MAX: usize = 32;

const _: () = assert!(TARGET_BYTES_MAX + METHOD_BYTES_MAX + 32 < HEAD_BYTES_MAX);
const _: () =
    assert!(HEAD_BYTES_MAX <= HEAD_BYTES_CEILING && HEAD_BYTES_CEILING < u32::MAX as usize);
const _: () = assert!(FIELDS_MAX <= FIELDS_CEILING && TRAILER_FIELDS_MAX <= FIELDS_CEILING);
const _: () = assert!(CHUNK_EXTENSION_BYTES_MAX <= CHUNK_EXTENSION_BYTES_TOTAL_MAX);

// --- http: HTTP/2 frames --------------------------------------------------------------------
//
// What a client may send that is no use to it: how many at once, and how many a second come back.
// Every burst is below the 200 frames after which an attack must be over, with what a second gives
// back. What is useful (requests completed, DATA sent) gives more back: see `http::h2::meter`.

/// RST_STREAM from the client. A page that is left cancels at most the 100 streams there can be.
/// Each costs two frames, so 96 of them are over after 194; the other four come from requests that
/// were completed, which save up to [`H2_RESETS_SAVED`] more.
pub const H2_RESETS: (u32, u32) = (96, 20);
/// Resets that completed requests may earn beyond the burst: a page of 100 streams, twice.
pub const H2_RESETS_SAVED: u32 = 104;
/// RST_STREAM that we send for an error of the client's. A client in a race with our reset of an
/// upload makes one for each of its 16 KiB frames in flight: 64 in a window of 1 MiB.
pub const H2_RESETS_MADE: (u32, u32) = (64, 10);
/// Streams refused because the client has opened as many as it may: a client that has not read
/// our SETTINGS yet assumes 100 and opens some too many, once.
pub const H2_REFUSED: (u32, u32) = (64, 10);
/// CONTINUATION frames of one block: the largest head, [`HEAD_BYTES_CEILING`], in 16 KiB frames.
pub const H2_CONTINUATIONS: (u32, u32) = (16, 0);
/// CONTINUATION frames with nothing in them: some encoders end a block with one.
pub const H2_CONTINUATIONS_EMPTY: (u32, u32) = (8, 1);
/// PING. Keep-alive is one in 10 s; gRPC measures its window with one per round trip while DATA
/// comes in, which DATA sent gives back.
pub const H2_PINGS: (u32, u32) = (64, 10);
/// SETTINGS. One at the start; gRPC sends one each time it doubles its window, 10 times in all.
pub const H2_SETTINGS: (u32, u32) = (32, 2);
/// DATA with nothing in it that does not end its stream. The `h2` crate allows 100 in all.
pub const H2_EMPTY_DATA: (u32, u32) = (64, 10);
/// PRIORITY and PRIORITY_UPDATE. Firefox and nghttp build a tree of 6 at the start; browsers then
/// send one or two for a request.
pub const H2_PRIORITIES: (u32, u32) = (100, 20);
/// WINDOW_UPDATE. Most clients send one for half a window; a few (Dart) send two for each DATA
/// frame, which DATA sent gives back.
pub const H2_WINDOW_UPDATES: (u32, u32) = (100, 20);
/// WINDOW_UPDATE frames that DATA sent may earn beyond the burst: what is under way is acknowledged
/// all at once. Two for each 16 KiB frame of a window of 8 MiB.
pub const H2_WINDOW_UPDATES_SAVED: u32 = 1024;
/// DATA frames below this give no WINDOW_UPDATE back: a client that opens its window byte by byte
/// makes such frames. The smallest message of gRPC that says something is about as long.
pub const H2_DATA_BYTES_USEFUL: u32 = 32;
/// HEADERS on a stream that was open: trailers, of which a stream has one at most.
pub const H2_TRAILERS: (u32, u32) = (32, 5);
/// Frames of unknown types, GOAWAY and PUSH_PROMISE: Chrome greases with one per request.
pub const H2_UNKNOWN: (u32, u32) = (32, 5);

const _: () = assert!(H2_CONTINUATIONS.0 as usize * 16 * 1024 >= HEAD_BYTES_CEILING);
const _: () = assert!(2 * H2_RESETS.0 < 200 && H2_WINDOW_UPDATES.0 < 200);

// --- route --------------------------------------------------------------------

/// Path segments of a route, base path and key together. 64 lets a lookup keep its segment starts
/// on the stack (260 bytes) and its alternatives in a fixed stack; a longer request path can still
/// meet a greedy route or `$default`.
pub const ROUTE_SEGMENTS_MAX: usize = 64;
/// One literal segment of a route key, percent-decoded: the decode buffer of a lookup is this long.
pub const ROUTE_LITERAL_BYTES_MAX: usize = 255;
/// A whole route key, `GET /pets/{id}`: AWS stops at 1024 bytes too.
pub const ROUTE_KEY_BYTES_MAX: usize = 1024;
/// A method's token. The longest registered one (`UPDATEREDIRECTREF`) has 17 bytes.
pub const ROUTE_METHOD_BYTES_MAX: usize = 32;
/// Distinct methods named by one table: a lookup finds its method by scanning them.
pub const ROUTE_METHODS_MAX: usize = 64;
/// A host name: RFC 1035 section 2.3.4 allows 255 bytes on the wire, 253 as text.
pub const ROUTE_HOST_BYTES_MAX: usize = 253;
/// Trie nodes any lookup may visit, whatever the path. A table that could make one visit more is
/// refused when it is built, so no path is ever expensive. Plain REST resources need one or two for
/// each segment; 2048 take some 50 us (24 ns each, measured).
pub const ROUTE_VISITS_MAX: u64 = 2048;

// --- balance --------------------------------------------------------------------

/// An endpoint's weight. With the slow-start ramp (8 bits) and 2^24 endpoints a sum stays below
/// 2^48.
pub const BALANCE_WEIGHT_MAX: u32 = 65_535;
/// Draws of an endpoint at random before the exact scan of all of them: with half of the endpoints
/// usable and equal weights, one pick in 256 scans.
pub const BALANCE_DRAWS_MAX: u32 = 8;
/// Slots of a sliding window: it forgets in steps of an eighth.
pub const BALANCE_WINDOW_SLOTS: usize = 8;
/// Doublings of the ejection time: 2^20 times any base is more than any maximum.
pub const BALANCE_DOUBLINGS_MAX: u32 = 20;

// --- upstream: names --------------------------------------------------------------------

/// An answer is kept no shorter than this, whatever its TTL: a TTL of 0 must not become a busy
/// loop. `gateway.dns.ttl_min` can only ask for more.
pub const DNS_TTL_MIN: std::time::Duration = std::time::Duration::from_secs(1);
/// And no longer, the most that `gateway.dns.ttl_max` can allow.
pub const DNS_TTL_MAX: std::time::Duration = std::time::Duration::from_secs(24 * 3600);
/// How long a line of the hosts file holds before the file is read again.
pub const DNS_TTL_HOSTS: std::time::Duration = std::time::Duration::from_secs(30);
/// Aliases followed inside one answer: resolvers stop at 8 to 16.
pub const DNS_ALIASES_MAX: usize = 16;
/// Addresses taken from one answer: more endpoints than that have another kind of discovery.
pub const DNS_ADDRESSES_MAX: usize = 256;
/// A message over TCP (RFC 1035 section 4.2.2: a 16-bit length).
pub const DNS_MESSAGE_BYTES_MAX: usize = 65_535;
/// Datagrams that are no answer to the question before a server is given up: noise, or an attack.
pub const DNS_STRAYS_MAX: u32 = 64;
/// Name servers of a resolv.conf (glibc's MAXNS).
pub const DNS_SERVERS_MAX: usize = 3;
/// Domains of its search list (glibc's old MAXDNSRCH).
pub const DNS_SEARCH_MAX: usize = 6;
/// The hosts file and resolv.conf are read up to here.
pub const DNS_FILE_BYTES_MAX: u64 = 1 << 20;

// --- observe --------------------------------------------------------------------

/// Workers a process may have: cells are allocated per worker and name, so this bounds their sum.
pub const WORKERS_MAX: usize = 256;
/// Named routes the registry counts apart; more share the row "(other)". 4096 routes x 3.3 KiB is
/// 13 MiB a worker, and a scrape of 4096 x 3 histograms is about as much as Prometheus swallows.
pub const ROUTE_CELLS_MAX: usize = 4096;
/// Named upstreams the registry counts apart (0.4 KiB each and worker).
pub const UPSTREAM_CELLS_MAX: usize = 4096;
/// Endpoints the registry counts apart. They come from DNS and churn: the longest unused go first.
pub const ENDPOINT_CELLS_MAX: usize = 8192;
/// Limits the registry counts apart, throttles of routes included.
pub const LIMIT_CELLS_MAX: usize = 4096;
/// Versions the registry counts apart (0.5 KiB each and worker), each with two rows: requests
/// without an API key, and those of keys beyond the next bound.
pub const VERSION_CELLS_MAX: usize = 4096;
/// API keys times the versions they ask for that are counted apart, in all: 2 MiB a worker, and
/// some 10,000 lines of a scrape. More share a row of their version.
pub const CALLERS_MAX: usize = 4096;
/// Who has not called for so long makes room for who finds none: longer than a monthly job rests.
pub const CALLER_QUIET_SECONDS: u64 = 35 * 86_400;
/// Listeners the registry counts apart.
pub const LISTENER_CELLS_MAX: usize = 256;
/// Authorizers: an issuer or two per team.
pub const AUTHORIZER_CELLS_MAX: usize = 1024;

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
    /// An issuer's name for somebody: a UUID, a mail address, a SPIFFE id.
    pub const SUBJECT: usize = 256;
    /// All claims of a line with their names.
    pub const CLAIMS: usize = 1024;
    /// Names out of the config: API, listener, upstream.
    pub const NAME: usize = 128;
    pub const METHOD: usize = 32;
    /// A model's name: a client writes it.
    pub const MODEL: usize = 256;
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
pub const LOG_LINE_BYTES_MAX: usize = 12 * 1024;
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

// --- net --------------------------------------------------------------------

/// Default bound on one worker's buffers: a thousand exchanges that each relay a body with one 256
/// KiB buffer.
pub const BUFFER_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Bytes of free buffers a worker keeps: 512 small ones and 32 large ones, what a busy worker turns
/// over in one loop. The rest goes back to the allocator.
pub const BUFFER_BYTES_KEPT: usize = 16 * 1024 * 1024;
/// Submission queue entries of a worker's ring. A full queue can drop a cancel (monoio 0.2.4), so
/// it is larger than what one loop turn submits: two operations for each of 1,000 connections that
/// wake at once.
pub const RING_ENTRIES: u32 = 2048;
/// Connections accepted in one loop turn before the others get theirs.
pub const ACCEPTS_PER_TURN: usize = 64;
/// Pending connections a listening socket holds; the kernel caps it at net.core.somaxconn.
pub const LISTEN_BACKLOG: i32 = 4096;

// --- route: stages and versions -----------------------------------------------------------------

/// A stage's name: AWS's limit.
pub const STAGE_NAME_BYTES_MAX: usize = 128;
/// Stage variables of a stage, a name and a value of one: AWS's limits.
pub const STAGE_VARIABLES_MAX: usize = 100;
pub const STAGE_VARIABLE_NAME_BYTES_MAX: usize = 64;
pub const STAGE_VARIABLE_BYTES_MAX: usize = 512;
/// Versions of an API: a request's is found by comparing with each of them, and each has routes of
/// its own. Stripe, who never takes one away, has about 100.
pub const VERSIONS_MAX: usize = 256;
/// A guide served by the gateway stays in memory.
pub const GUIDE_BYTES_MAX: u64 = 1 << 20;

// --- config --------------------------------------------------------------------

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

// --- edge: checks and mocks -----------------------------------------------------------------

/// A pattern of a parameter: what does not fit in a line or two is no pattern but a program.
pub const PATTERN_BYTES_MAX: usize = 1_024;
/// The table of one pattern. A UUID takes 10 KiB; a thousand patterns stay below 256 MiB.
pub const PATTERN_TABLE_BYTES_MAX: usize = 256 << 10;
/// The body of a mock answer: it lives in every snapshot.
pub const MOCK_BODY_BYTES_MAX: usize = 256 << 10;

pub const MINUTE_MS: u64 = 60_000;
pub const HOUR_MS: u64 = 60 * MINUTE_MS;
pub const DAY_MS: u64 = 24 * HOUR_MS;

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

/// Two lost SYNs (retransmitted after 1 s and 2 s more) still fit.
pub const CONNECT_MS: u64 = 5_000;
/// What AWS API Gateway gives an integration before its 504. Below the 30 s after which many
/// clients and balancers give up, so that they get an answer.
pub const FIRST_BYTE_MS: u64 = 29_000;
pub const EXCHANGE_IDLE_MS: u64 = 60_000;
/// A tunnel's protocol has its own idea of silence (WebSocket pings every 20 to 60 s, but not every
/// library sends them): an hour ends what was forgotten, and no chat that merely rests. nginx gives
/// 60 s and Envoy 5 min, and both are in every list of reasons for dropped WebSockets.
pub const TUNNEL_IDLE_MS: u64 = HOUR_MS;
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
const _: () = assert!(CLIENT_HEAD_BYTES <= HEAD_BYTES_CEILING as u64);
const _: () = assert!(PROBE_TIMEOUT_MS <= PROBE_INTERVAL_MS);
const _: () = assert!(DNS_TTL_MIN_MS <= DNS_TTL_MAX_MS);
const _: () = assert!(WEIGHT_MAX * (CONFIG_LIST_MAX as u64) <= u32::MAX as u64);
const _: () = assert!(RETRY_ATTEMPTS <= RETRY_ATTEMPTS_MAX);

// --- upstream --------------------------------------------------------------------

/// Probes that run at once: with the default timeout of a second and every endpoint hanging, 64
/// endpoints a second are still asked; descriptors stay for requests.
pub const PROBES_MAX: usize = 64;
/// How often the prober looks whether the endpoints have changed, or one is due.
pub const PROBE_LOOK: std::time::Duration = std::time::Duration::from_millis(250);
/// Of a good answer's body, so much is read before the connection is closed, to close it without a
/// RST.
pub const PROBE_BODY_BYTES: u64 = 64 * 1024;
/// Streams a worker has open on one connection to an endpoint, however many more that allows: past
/// it one loss holds up too many, and one slow socket too much.
pub const H2_UPSTREAM_STREAMS_MAX: usize = 100;
/// Connections a worker has to one endpoint; what does not fit on their streams waits.
pub const H2_UPSTREAM_CONNECTIONS_MAX: usize = 64;
/// Of all streams of a connection to an endpoint, so much may be under way unread: as much as each
/// of them may, so that no slow client holds up the others'.
pub const H2_UPSTREAM_WINDOW: u32 = H2_STREAM_WINDOW * 100;
const _: () =
    assert!(H2_UPSTREAM_WINDOW as usize == H2_STREAM_WINDOW as usize * H2_UPSTREAM_STREAMS_MAX);
/// How often a connection to an endpoint that is silent under open streams is asked for a sign of
/// life.
pub const H2_UPSTREAM_PING_MS: u64 = 30_000;
/// How often a request that queues for its upstream looks whether another worker has freed a place.
pub const QUEUE_LOOK: std::time::Duration = std::time::Duration::from_millis(5);

// --- proxy --------------------------------------------------------------------

/// While a worker's buffers in use stay below this, a connection waits for its next request with a
/// buffer in hand: about 128 busy connections. With more of them their buffers no longer stay in
/// the cache from one request to the next, and a poll is cheaper than the misses.
pub const WARM_BYTES_MAX: usize = 3 * 1024 * 1024;
/// And for so long: past it the connection is idle, and an idle connection holds no buffer.
pub const WARM: std::time::Duration = std::time::Duration::from_millis(100);

/// Of a request body nobody wants, so much is read and dropped to keep its connection, and so much
/// of what a client sends on after an answer that closes: a few round trips' worth.
pub const DRAIN_BYTES_MAX: u64 = 256 * 1024;
/// And for so long.
pub const LINGER: std::time::Duration = std::time::Duration::from_secs(2);

// --- HTTP/2 -----------------------------------------------------------------------

/// Streams a client may have open at once: what RFC 9113 section 6.5.2 asks for at least and
/// HAProxy allows; half-open ones beyond it are told within 200 steps.
pub const H2_STREAMS_MAX: u32 = 100;
/// Of one stream's body, so much may be under way unread: a round trip of 10 ms at 100 Mbit/s.
pub const H2_STREAM_WINDOW: u32 = 128 * 1024;
/// And of all streams of a connection together: what an abusive one can make us hold.
pub const H2_CONNECTION_WINDOW: u32 = 512 * 1024;
/// Of an answer, so much lies ready to be written: a stream's turn in one send.
pub const H2_SEND_BUFFER: usize = 64 * 1024;
/// How often a client with open streams is asked for a sign of life.
pub const H2_PING: std::time::Duration = std::time::Duration::from_secs(30);
/// And how long it may take to give it.
pub const H2_PONG: std::time::Duration = std::time::Duration::from_secs(15);
/// Streams reset by the client before we accepted them: a page that is cancelled at once is no
/// attack, and what is one (rapid reset, CVE-2023-44487) the meter tells.
pub const H2_RESETS_PENDING: usize = 2 * H2_STREAMS_MAX as usize;
/// Streams we have reset whose late frames are still told from an attack.
pub const H2_RESETS_REMEMBERED: usize = 20;
/// Streams we reset because of what the client sent on them, over a connection's life
/// (MadeYouReset, CVE-2025-8671).
pub const H2_LOCAL_RESETS: usize = 100;

/// When one side of a tunnel has finished, so long may the other be silent before the tunnel ends:
/// a last answer fits, a peer that is gone without a word does not keep it.
pub const TUNNEL_HALF_CLOSED: std::time::Duration = std::time::Duration::from_secs(30);
/// How long both ends of a tunnel that the gateway ends may take to say goodbye. A drain gives them
/// as long as it lasts.
pub const TUNNEL_FAREWELL: std::time::Duration = std::time::Duration::from_secs(10);
/// A drained tunnel is closed so long before the drain's deadline, for its log line to be written.
pub const TUNNEL_LAST_WORDS: std::time::Duration = std::time::Duration::from_secs(1);
/// A peer that broke while nothing is read from it, because the other side takes nothing, is
/// noticed at looks so far apart.
pub const TUNNEL_LOOK: std::time::Duration = std::time::Duration::from_millis(250);

// --- limit ---------------------------------------------------------------------------------

/// Slots for what is counted per bucket or quota: a table half full finds a free one for all but
/// one id in millions.
pub const LIMIT_SLOTS_PER_BUCKET: usize = 2;
/// Buckets and quotas that are counted at once by default: 32 MiB of slots, untouched ones for
/// nothing.
pub const LIMITS_MAX: u64 = 1_000_000;
/// Tokens a bucket may hold, and requests a limit may admit at once.
pub const BURST_MAX: u64 = 1_000_000_000;
/// Requests a quota may admit in its period: what 44 bits of a slot count.
pub const QUOTA_MAX: u64 = 10_000_000_000_000;
/// Dollars a budget may be: 47 bits count its 10^-9 USD, and two fifths as much again of debt.
pub const USD_MAX: u64 = 100_000;
/// Limits a route may have, its API's included.
pub const LIMITS_PER_ROUTE_MAX: usize = 16;
/// Slots for requests at once: as many ids as have one now, and twice that. 4 MiB if all are used.
pub const LIMIT_HELD_SLOTS: usize = 1 << 18;
