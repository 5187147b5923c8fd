//! What is counted of authorizers: whom they let pass, and how their keys are kept.
//!
//! As all cells these have one writer each: a worker its own outcomes, the thread that fetches keys
//! the cells of worker 0 of [`JwksCells`], which no worker writes.

use super::count::{Array, Gauge};
use crate::clock::Wall;

/// How an authorizer has judged a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// The caller is who it says, and may call.
    Accepted,
    /// The same, known from a moment before.
    Known,
    /// What it showed proves nothing.
    Invalid,
    /// It is who it says, and may not call.
    Forbidden,
    /// It showed nothing.
    Missing,
    /// There were no keys, or no time, to judge by.
    Unavailable,
}

/// What is counted per authorizer.
#[derive(Default)]
pub struct AuthorizerCells {
    pub(super) judged: Array<{ Judged::NAMES.len() }>,
}

/// How a fetch of keys ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetch {
    Failed,
    Ok,
}

/// What is counted per set of keys.
#[derive(Default)]
pub struct JwksCells {
    pub(super) fetches: Array<{ Fetch::NAMES.len() }>,
    pub(super) fetched_ns: Gauge,
    pub(super) keys: Gauge,
}

// === impl Judged ===

impl Judged {
    pub(super) const NAMES: [&'static str; 6] =
        ["accepted", "known", "invalid", "forbidden", "missing", "unavailable"];
}

// === impl AuthorizerCells ===

impl AuthorizerCells {
    /// A request was judged.
    #[inline]
    pub fn judged(&self, how: Judged) {
        self.judged.add(how as usize);
    }
}

// === impl Fetch ===

impl Fetch {
    pub(super) const NAMES: [&'static str; 2] = ["failed", "ok"];
}

// === impl JwksCells ===

impl JwksCells {
    /// Keys were read, so many of them.
    pub fn keys_fetched(&self, keys: usize, at: Wall) {
        self.fetches.add(Fetch::Ok as usize);
        self.keys.set(keys as u64);
        self.fetched_ns.set(at.0);
    }

    /// Keys could not be read; those there are stay.
    pub fn fetch_failed(&self) {
        self.fetches.add(Fetch::Failed as usize);
    }
}
