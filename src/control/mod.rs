//! The control side: one thread that loads, publishes, hears signals and ends the process; the log
//! writer; the usage ledger; the admin server; name resolution. Nothing here is on a request's way.
//!
//! Talks to the workers through the snapshot cell only. Invariant: whatever goes wrong in a reload,
//! the old snapshot stays and the reason is said.

pub mod gateway;
pub mod house;
mod jwks;
pub mod ledger;
pub mod log_sink;
pub mod names;
pub mod notify;
pub mod signal;
mod start_error;
pub mod state;
pub mod store;

pub use gateway::{Gateway, StartError};
