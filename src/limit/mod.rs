//! How much a caller may: rates, quotas and requests at once, exact over all workers, over
//! `kill -9` and over two processes on one state directory.
//!
//! Owns the arithmetic of a [`Bucket`] and a [`Quota`], the [`Table`] of slots they are kept in,
//! and what one request does to several of them: all or nothing ([`take`]). Refuses to know files,
//! clocks and names of limits: it is given mapped memory, the time, and an [`Id`]. Invariants: in
//! any time t no more than `burst + rate * t` are admitted; a quota of N never admits N + 1; a slot
//! is one 128-bit word and every change is one compare-and-swap of it, so that no state is ever
//! half-written; what cannot be counted is refused, never let through.

mod bucket;
mod id;
mod memory;
mod quota;
mod request;
mod store;
mod table;
mod unit;

pub use bucket::{Bucket, BucketError, Rate};
pub use id::{HashKey, Hasher, Id};
pub use memory::{HEADER_BYTES, Header, Memory, MemoryError};
pub use quota::{Period, Quota};
pub use request::{Ask, Debits, Holds, Level, Refusal, Rules, Standing, Taken, Why, settle, take};
pub use store::{Store, Survey};
pub use table::{Kind, Table, Times};
pub use unit::{Costs, NANO_PER_USD, Unit, show_usd};
