//! HTTP/2 where it is pure: what the `h2` crate leaves to its user, sans-IO.
//!
//! Owns the way between HTTP/2 messages and the HTTP/1.1 text that the rest of the gateway reads
//! ([`translate`]), and what a peer may send that is no use to it ([`meter`]). Knows no socket, no
//! clock and no stream; frames and HPACK are the crate's. The invariant is the room's: one parser.
//! What came as HTTP/2 is written as text and read by [`parse_request`](super::parse_request) like
//! everything else, so nothing is believed twice.

pub mod meter;
pub mod translate;
mod walk;

/// The first bytes of a client that speaks HTTP/2 (RFC 9113 section 3.4).
pub const PREFACE: &[u8; PREFACE_BYTES as usize] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const PREFACE_BYTES: u32 = 24;
