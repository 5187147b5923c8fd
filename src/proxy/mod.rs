//! A client's connection and the requests on it: accept, read, serve, record.
//!
//! [`serve`] is the request path in one screen; [`conn`] reads requests off an HTTP/1 connection
//! and decides when it ends, `h2` does so for HTTP/2. Knows the compiled snapshot, never the
//! configuration file.

mod admit;
mod canary;
pub mod conn;
pub mod context;
mod cors;
mod h2;
mod key;
pub mod ledger;
mod link;
mod llm;
mod meter;
mod record;
pub mod refuse;
mod select;
pub mod serve;
mod tunnel;
mod validate;
mod welcome;

pub use context::{Context, Current};
