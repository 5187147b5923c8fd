//! What a request to a language model says, what it costs, and what comes back, as bytes.
//!
//! Owns the wire formats of the providers (their [`Dialect`]s), what is read of a request before it
//! is sent and of an answer while it passes ([`Usage`]), prices, and the translation of one dialect
//! to the other. Refuses to know sockets, clocks, providers and limits: it is given bytes and gives
//! bytes. Invariants: a body that stays in its dialect passes untouched but for the model's name
//! and what the gateway must ask for; nothing a client or a provider writes makes it recurse or
//! grow without a bound.

pub mod answer;
pub mod dialect;
mod endpoint;
mod entry;
mod errors;
pub mod estimate;
mod features;
mod input;
pub mod json;
pub mod price;
mod reported;
mod request;
mod spoken;
mod tap;
mod usage;

pub use endpoint::{Dialect, Endpoint};
pub use entry::{ENTRY_BYTES_MAX, Entry, Label, Line, NoEntry};
pub use errors::broken_stream;
pub use estimate::input as estimate_input;
pub use features::Features;
pub use input::Input;
pub use price::Price;
pub use reported::{Fault, ProviderError};
pub use request::{Asked, BadRequest};
pub use tap::{Seen, Tap};
pub use usage::Usage;

/// The name of a model, or the beginning of many.
pub use crate::http::NamePattern as ModelPattern;
