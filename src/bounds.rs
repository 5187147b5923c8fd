//! Every limit of the process, with where the number comes from. Limits an operator may set have their
//! default here and their range in `config`. Units end the name.

// --- http ------------------------------------------------------------------------------------------

// --- route -----------------------------------------------------------------------------------------

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

// --- balance ---------------------------------------------------------------------------------------

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

// --- upstream: names -------------------------------------------------------------------------------

/// An answer is kept no shorter than this, whatever its TTL: a TTL of 0 must not become a busy
/// loop.
pub const DNS_TTL_MIN: std::time::Duration = std::time::Duration::from_secs(5);
/// And no longer: a mistyped TTL of a week must not pin an upstream for a week.
pub const DNS_TTL_MAX: std::time::Duration = std::time::Duration::from_secs(3600);
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

// --- observe ---------------------------------------------------------------------------------------

// --- net -------------------------------------------------------------------------------------------

// --- config ----------------------------------------------------------------------------------------

// --- upstream --------------------------------------------------------------------------------------

// --- proxy -----------------------------------------------------------------------------------------
