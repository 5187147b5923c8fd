//! What a request to a language model says, what it costs, and what comes back, as bytes.
//!
//! Owns the wire formats of the providers (their [`Dialect`]s), what is read of a request before it
//! is sent and of an answer while it passes ([`Usage`]), prices, and the translation of one dialect
//! to the other. Refuses to know sockets, clocks, providers and limits: it is given bytes and gives
//! bytes. Invariants: a body that stays in its dialect passes untouched but for the model's name
//! and what the gateway must ask for; nothing a client or a provider writes makes it recurse or
//! grow without a bound.

mod endpoint;
mod entry;
mod features;
mod pattern;
mod usage;

pub use endpoint::{Dialect, Endpoint};
pub use entry::{ENTRY_BYTES_MAX, Entry, NoEntry};
pub use features::Features;
pub use pattern::ModelPattern;
pub use usage::Usage;
