//! TLS without IO: rustls through its unbuffered API over the caller's buffers, and the building of
//! its configurations from files.
//!
//! Owns what a TLS connection is ([`Session`]), which certificate a name gets ([`resolver`]), and
//! how PEM files become a configuration ([`server`], [`client`]). Refuses to know sockets, the
//! runtime and the config file's grammar: it takes bytes and paths. Invariant: whatever is missing,
//! empty or corrupt in a file refuses the whole load; nothing here ever opens a door because a file
//! was bad.

mod certificate;
pub mod client;
mod der;
pub mod error;
mod names;
mod records;
pub mod resolver;
pub mod server;
pub mod session;

#[cfg(test)]
mod kit;
#[cfg(test)]
mod tests;

pub use certificate::Warning;
pub use client::{ClientSpec, ClientTls, Identity, Trust};
pub use error::{TlsConfigError, TlsError};
pub use records::{RECORD_WIRE_MAX, encrypted_len};
pub use server::{ClientAuth, ClientAuthMode, MinVersion, ServerSpec, ServerTls, UnknownSni};
pub use session::{Negotiated, Received, STASH_BYTES_MAX, Session, TlsVersion};
