//! Every limit of the process, with where the number comes from. Limits an operator may set have their
//! default here and their range in `config`. Units end the name.

// --- http ------------------------------------------------------------------------------------------

/// Bytes of one head, empty line included. 32 KiB holds the 8 KiB target, 16 KiB of cookies (what
/// browsers cap one name at is 4 KiB) and 8 KiB of everything else.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;
/// The most an operator may raise [`HEAD_BYTES_MAX`] to: it is also one connection's read buffer.
pub const HEAD_BYTES_CEILING: usize = 256 * 1024;
/// Bytes of a request target. RFC 9112 section 3 asks for at least 8,000 octets of request line.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;
/// Fields in one head. Browsers send about 20, a mesh behind three proxies about 50.
pub const FIELDS_MAX: usize = 100;
/// The most an operator may raise [`FIELDS_MAX`] to: the parser's table of 256 x 32 bytes is 8 KiB of stack.
pub const FIELDS_CEILING: usize = 256;
/// Bytes of a method. The longest registered one is UPDATEREDIRECTREF (17).
pub const METHOD_BYTES_MAX: usize = 32;
/// Bytes of a host name: RFC 1035 section 2.3.4.
pub const HOST_BYTES_MAX: usize = 255;
/// Empty lines skipped before a request line: RFC 9112 section 2.2 says "at least one".
pub const EMPTY_LINES_MAX: usize = 4;
/// Options in all Connection fields of one head; each nominated name costs a compare per unknown field.
pub const CONNECTION_OPTIONS_MAX: usize = 16;
/// The longest body one length may announce: 2^63 - 1, so that sums of two fit a u64.
pub const BODY_BYTES_MAX: u64 = i64::MAX as u64;
/// Hex digits of a chunk size: 16 are 64 bits.
pub const CHUNK_SIZE_DIGITS_MAX: usize = 16;
/// Bytes of one chunk's extensions. They mean nothing here; real ones (signatures) stay under 200.
pub const CHUNK_EXTENSION_BYTES_MAX: usize = 1024;
/// Bytes of all chunk extensions of one body: they are read and thrown away, so a sender of one-byte
/// chunks with long extensions makes work that no body limit counts.
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
