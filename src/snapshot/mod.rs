//! The compiled form of a configuration: immutable tables that every worker reads, published by swapping
//! one pointer.
//!
//! Compiled on the control thread from a typed `Config` and the previous snapshot: what did not change
//! by name is the same object (an `Arc`), so its pools, health and counters live on. What may move
//! within a snapshot (addresses behind a name, health) moves in atomics. Invariant: a snapshot is
//! published whole or not at all.

mod compile;
mod listener;
mod route;
mod upstream;

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::config::Config;
use crate::observe::access_log::Format;

pub use compile::compile;
pub use listener::{Listener, contains};
pub use route::{Action, Edit, EditKind, Edits, Route, Target};
pub use upstream::{Endpoint, Endpoints, Upstream};

/// Everything the workers need to serve.
pub struct Snapshot {
    /// Counts publications, from 1.
    pub generation: u64,
    /// What it was compiled from.
    pub config: Arc<Config>,
    /// In the order of their names.
    pub listeners: Vec<Arc<Listener>>,
    /// A route table's target is an index into this.
    pub routes: Vec<Arc<Route>>,
    /// A route's target is an index into this.
    pub upstreams: Vec<Arc<Upstream>>,
    /// How access-log lines are written; `None`: none are.
    pub log: Option<Format>,
}

/// Where the current snapshot stands.
pub struct Cell(ArcSwap<Snapshot>);

// === impl Snapshot ===

impl Snapshot {
    /// The listener of that name.
    #[must_use]
    pub fn listener(&self, name: &str) -> Option<&Arc<Listener>> {
        self.listeners.iter().find(|listener| &*listener.name == name)
    }

    /// The upstream of that name.
    #[must_use]
    pub fn upstream(&self, name: &str) -> Option<&Arc<Upstream>> {
        self.upstreams.iter().find(|upstream| &*upstream.name == name)
    }
}

// === impl Cell ===

impl Cell {
    /// Holds the first snapshot.
    #[must_use]
    pub fn new(first: Arc<Snapshot>) -> Cell {
        Cell(ArcSwap::new(first))
    }

    /// The current snapshot.
    #[must_use]
    pub fn load(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// Makes `next` the current one; workers must be woken to see it.
    pub fn publish(&self, next: Arc<Snapshot>) {
        self.0.store(next);
    }
}
