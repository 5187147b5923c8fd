//! The HTTP/2 wire (RFC 9113, RFC 7541), for both verbs: frames, HPACK, flow control, and one
//! connection's common part. Pure: bytes in, events out; no socket, no clock, no task.
//!
//! Written by hand and small, because the witness must be cheap and must not share a library with
//! the gateway. Not here: priorities (read and ignored) and server push (refused).

pub mod frame;
pub mod hpack;
mod huffman;
pub mod link;
pub mod outbox;

/// Names of the error codes (RFC 9113 section 7), for reports.
#[must_use]
pub fn code_name(code: u32) -> &'static str {
    const NAMES: [&str; 14] = [
        "no_error",
        "protocol_error",
        "internal_error",
        "flow_control_error",
        "settings_timeout",
        "stream_closed",
        "frame_size_error",
        "refused_stream",
        "cancel",
        "compression_error",
        "connect_error",
        "enhance_your_calm",
        "inadequate_security",
        "http_1_1_required",
    ];
    usize::try_from(code).ok().and_then(|at| NAMES.get(at)).copied().unwrap_or("unknown_code")
}

pub const NO_ERROR: u32 = 0;
pub const PROTOCOL_ERROR: u32 = 1;
pub const INTERNAL_ERROR: u32 = 2;
pub const CANCEL: u32 = 8;

/// What breaks the protocol, and with it the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault(pub &'static str);
