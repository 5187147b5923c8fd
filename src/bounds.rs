//! Every limit of the process, with where the number comes from. Limits an operator may set have their
//! default here and their range in `config`. Units end the name.

// --- http ------------------------------------------------------------------------------------------

// --- route -----------------------------------------------------------------------------------------

/// Path segments of a route, base path and key together. 64 lets a lookup keep its segment starts on
/// the stack (260 bytes) and its alternatives in a fixed stack; a longer request path can still meet
/// a greedy route or `$default`.
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
/// refused when it is built, so no path is ever expensive. An ordinary table of a hundred thousand
/// routes stays under 200; 2048 visits are some 30 us.
pub const ROUTE_VISITS_MAX: u64 = 2048;

// --- balance ---------------------------------------------------------------------------------------

// --- observe ---------------------------------------------------------------------------------------

// --- net -------------------------------------------------------------------------------------------

/// Default bound on one worker's buffers: a thousand exchanges that each relay a body with one 256 KiB
/// buffer.
pub const BUFFER_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Bytes of free buffers a worker keeps: 512 small ones and 32 large ones, what a busy worker turns over
/// in one loop. The rest goes back to the allocator.
pub const BUFFER_BYTES_KEPT: usize = 16 * 1024 * 1024;
/// Submission queue entries of a worker's ring. A full queue can drop a cancel (monoio 0.2.4), so it is
/// larger than what one loop turn submits: two operations for each of 1,000 connections that wake at once.
pub const RING_ENTRIES: u32 = 2048;
/// Connections accepted in one loop turn before the others get theirs.
pub const ACCEPTS_PER_TURN: usize = 64;
/// Pending connections a listening socket holds; the kernel caps it at net.core.somaxconn.
pub const LISTEN_BACKLOG: i32 = 4096;

// --- config ----------------------------------------------------------------------------------------

// --- upstream --------------------------------------------------------------------------------------

// --- proxy -----------------------------------------------------------------------------------------
