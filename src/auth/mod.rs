//! Who calls, and whether they may: proofs (API keys, tokens, certificates, passwords) and rules
//! (networks, origins), bytes and a time in, a verdict out.
//!
//! Owns [`Identity`], what has been proven about a request's caller; limits, logs and templates
//! read it and nothing else. No IO, no clock: key material and tables are given. Invariant: what
//! cannot be proven is refused; no code path treats missing key material as permission.

mod identity;
pub mod keys;
pub mod plans;

pub use identity::{Claims, Identity};
pub use keys::Key;
