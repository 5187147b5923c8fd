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

// --- route -----------------------------------------------------------------------------------------

// --- balance ---------------------------------------------------------------------------------------

// --- observe ---------------------------------------------------------------------------------------

// --- net -------------------------------------------------------------------------------------------

// --- config ----------------------------------------------------------------------------------------

// --- upstream --------------------------------------------------------------------------------------

// --- proxy -----------------------------------------------------------------------------------------
