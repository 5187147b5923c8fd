//! Who calls, and whether they may: proofs (API keys, tokens, certificates, passwords) and rules
//! (networks, origins), bytes and a time in, a verdict out.
//!
//! Owns [`Identity`], what has been proven about a request's caller; limits, logs and templates
//! read it and nothing else. No IO, no clock: key material and tables are given. Invariant: what
//! cannot be proven is refused; no code path treats missing key material as permission.

mod algorithm;
pub mod basic;
mod certificate;
mod challenge;
mod claims;
mod cors;
mod identity;
mod jwks;
pub mod jwt;
pub mod keys;
mod networks;
pub mod plans;
mod recent;
pub mod shown;

pub use algorithm::{Algorithm, Algorithms};
pub use certificate::{Certificate, Patterns};
pub use challenge::{Challenge, Form, Scheme};
pub use claims::Claims;
pub use cors::{Cors, List, Names, OriginPattern, is_ours as is_cors_field};
pub use identity::Identity;
pub use jwks::{KeySet, KeySetError};
pub use keys::Key;
pub use networks::Networks;
pub use recent::{Digest, Recent};
pub use shown::Shown;

#[cfg(test)]
mod tests;
