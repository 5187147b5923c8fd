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

// --- config ----------------------------------------------------------------------------------------

// --- upstream --------------------------------------------------------------------------------------

// --- proxy -----------------------------------------------------------------------------------------
