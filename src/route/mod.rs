//! Which route a request takes: host, then base path, then route key, with AWS HTTP API's
//! precedence.
//!
//! Owns the grammar of route keys and host patterns, the compiled [`Table`], and the canonical form
//! a path must have before it is routed. Refuses to know what a route leads to: a target is a
//! number the caller chose. No IO, no clock.
//!
//! Invariants: a table answers the same whatever the order its routes were written in; two routes
//! that could both be meant never build; no path makes a lookup visit more than
//! [`crate::bounds::ROUTE_VISITS_MAX`] nodes; a lookup does not allocate (but for a ninth
//! parameter).

pub mod canary;
mod conflict;
mod host;
mod index;
mod key;
mod path;
mod table;
mod trie;
pub mod version;

#[cfg(test)]
mod tests;

pub use conflict::{Conflict, Place};
pub use host::{HostError, HostPattern};
pub use key::{BasePath, KeyError, KeyFault, MethodKey, PathPattern, RouteKey, Segment};
pub use path::{PathError, PathPolicy, canonical};
pub use table::{Claim, Lookup, Options, Params, Route, Span, Spec, Table};
