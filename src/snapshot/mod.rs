//! The compiled form of a configuration: immutable tables that every worker reads, published by
//! swapping one pointer.
//!
//! Compiled on the control thread from a typed `Config` and the previous snapshot: what did not
//! change by name is the same object (an `Arc`), so its pools, health and counters live on. What
//! may move within a snapshot (addresses behind a name, health) moves in atomics. Invariant: a
//! snapshot is published whole or not at all.

mod access;
mod api;
mod authorizer;
mod checks;
mod compile;
mod edge;
mod keys;
mod limit;
mod listener;
mod llm;
mod mounts;
mod route;
mod routes;
mod socket;
mod upstream;
mod versions;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;

use crate::clock::Tick;
use crate::config::{Config, Name};
use crate::limit::Store;
use crate::observe::access_log::Format;

pub use crate::config::{KeyNeed, KeyPart, Missing, Source as TokenSource};
pub use access::is_claimed;
pub use api::{Api, Chosen, Deployment, Judged, Mount, Split, Sticky, Unmatched};
pub use authorizer::{Access, Authorizer, KeyStore, Proof, Tokens};
pub use checks::{Checks, Source};
pub use compile::{Names, Parts, compile};
pub use edge::{Cors, PREFLIGHT};
pub use keys::{KeyRules, Keys, PlanHere, Source as KeySource};
pub use limit::{LIST_COMMA, Limit, LimitScope, LimitSpec, Limits};
pub use listener::{Listener, contains};
pub use llm::{
    Attempt, Cause, Causes, Credential, Failover, Learned, Llm, LlmRoute, LlmTarget, Model,
    ModelBalance, Models, Need, NoTarget, Provider, TargetState, Tried,
};
pub use route::{
    Action, Edit, EditKind, Edits, QueryEdits, Route, Target, TargetEdits, TargetPath,
};
pub use socket::{Bound, Sockets, Wanted};
pub use upstream::{Endpoint, Endpoints, Upstream};

/// Everything the workers need to serve.
pub struct Snapshot {
    /// Counts publications, from 1.
    pub generation: u64,
    /// What it was compiled from.
    pub config: Arc<Config>,
    /// In the order of their names.
    pub listeners: Vec<Arc<Listener>>,
    /// In the order of their names.
    pub apis: Vec<Arc<Api>>,
    /// A route table's owner is an index into this.
    pub mounts: Vec<Mount>,
    /// In the order of [`Route::name`]. A route table's target is an index into this.
    pub routes: Vec<Arc<Route>>,
    /// A route's target is an index into this.
    pub upstreams: Vec<Arc<Upstream>>,
    /// Who may show which API key.
    pub keys: Keys,
    /// What limits are counted in: of the process, the same in every snapshot.
    pub limits: Arc<Store>,
    /// By name.
    pub authorizers: BTreeMap<Name, Arc<Authorizer>>,
    /// Language models and who serves them.
    pub llm: Llm,
    /// How access-log lines are written; `None`: none are.
    pub log: Option<Format>,
}

/// Where the current snapshot stands, and whether the process is to end: all that the control
/// thread tells its workers.
pub struct Cell {
    snapshot: ArcSwap<Snapshot>,
    draining: AtomicBool,
    /// The tick at which a drain gives up waiting.
    drain_until: AtomicU64,
}

// === impl Snapshot ===

impl Snapshot {
    /// The listener of that name.
    #[must_use]
    pub fn listener(&self, name: &str) -> Option<&Arc<Listener>> {
        self.listeners.iter().find(|listener| &*listener.name == name)
    }

    /// The route that has the name of this one; of a canary that has ended, the one beside it.
    #[must_use]
    pub fn same_route(&self, route: &Route) -> Option<&Arc<Route>> {
        let find = |name| self.routes.binary_search_by(|other| other.name().cmp(&name)).ok();
        let (api, key, stage, version, canary) = route.name();
        let exactly = find((api, key, stage, version, canary));
        let at = exactly.or_else(|| find((api, key, stage, version, false)))?;
        Some(&self.routes[at])
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
        Cell {
            snapshot: ArcSwap::new(first),
            draining: AtomicBool::new(false),
            drain_until: AtomicU64::new(u64::MAX),
        }
    }

    /// The current snapshot.
    #[must_use]
    pub fn load(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Makes `next` the current one; workers must be woken to see it.
    pub fn publish(&self, next: Arc<Snapshot>) {
        self.snapshot.store(next);
    }

    /// From now on workers accept nothing and end when their connections have, or at `until`.
    pub fn drain(&self, until: Tick) {
        self.drain_until.store(until.0, Ordering::Relaxed);
        self.draining.store(true, Ordering::Release);
    }

    /// Until when a drain waits; `None` while the process serves.
    #[must_use]
    pub fn draining(&self) -> Option<Tick> {
        let draining = self.draining.load(Ordering::Acquire);
        draining.then(|| Tick(self.drain_until.load(Ordering::Relaxed)))
    }
}
