//! API keys: who shows which secret, and where it is good.
//!
//! A [`KeyRecord`] is a key as the configuration or the store writes it; a [`Key`] is the same,
//! compact, as a worker sees it; the [`KeyTable`] finds the one by a [`Digest`] of what a client
//! showed. A key is known by its name and by nothing else: its values come and go. Invariant: no
//! secret is kept or printed here, only digests of them, and two keys never share a name or a
//! value.

mod configured;
mod key;
mod record;
mod secret;
mod shard;
mod shared;
mod table;

pub use configured::Configured;
pub use key::{Here, Key, Refusal};
pub use record::{Allow, KeyRecord, KeyValue, Network, Origin, Wrong};
pub use secret::{Digest, RANDOM_BYTES, SECRET_MAX, Secret};
pub use table::{Clash, KeyTable};
