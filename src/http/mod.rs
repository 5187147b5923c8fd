//! HTTP/1.1 and 1.0, both sides, sans-IO: bytes in, spans and verdicts out.
//!
//! Owns the wire grammar: heads, framing, the chunked coding, hop-by-hop fields, and how heads are
//! written. Knows no socket, no clock, no routing and no policy. The invariant: a message is either
//! taken exactly as RFC 9112 reads it or refused with one named [`Reject`]; what is ambiguous is
//! refused, never guessed, and the verdict does not depend on how the bytes were split on arrival.
//!
//! A head is a set of [`Span`]s into the caller's buffer, so nothing is copied and a head object
//! that is used again allocates nothing. Bodies are read with a [`BodyReader`], which tells ranges
//! of the caller's input. Everything forwarded is written anew with [`mod@write`], never echoed.

pub mod body;
pub mod chunked;
pub mod date;
mod diagnose;
pub mod escape;
pub mod field;
pub mod framing;
pub mod grammar;
pub mod grpc;
pub mod h2;
pub mod head;
pub mod hop;
pub mod lanes;
pub mod method;
mod name_pattern;
mod parse;
mod parse_response;
pub mod pattern;
mod plain;
pub mod query;
pub mod reject;
mod scan;
pub mod span;
pub mod sse;
pub mod target;
mod trailer;
pub mod upgrade;
pub mod url;
pub mod write;
pub mod ws;

pub use body::{BodyReader, Cut, Step};
pub use field::{Field, Name, NameSet};
pub use framing::Framing;
pub use head::{Limits, Parsed, RequestHead, ResponseHead, Version};
pub use hop::Connection;
pub use method::Method;
pub use name_pattern::NamePattern;
pub use parse::parse_request;
pub use parse_response::parse_response;
pub use reject::Reject;
pub use scan::Scan;
pub use span::Span;
pub use target::{Scheme, TargetForm};
pub use upgrade::Upgrade;
pub use url::Url;

#[cfg(test)]
mod tests;
