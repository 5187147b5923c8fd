//! Every limit of the process, with where the number comes from. Limits an operator may set have their
//! default here and their range in `config`. Units end the name.

// --- http ------------------------------------------------------------------------------------------

// --- route -----------------------------------------------------------------------------------------

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
