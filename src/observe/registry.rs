//! Which cells belong to which name.
//!
//! A snapshot asks for its routes', listeners' and upstreams' cells when it is compiled; the same
//! name gets the same cells, so counts follow the name over reloads. What a reload removed keeps
//! its counts and stays in the scrape, for a counter must not vanish because a route was rolled
//! back; only when a kind of name reaches its bound do those unused the longest go. When all are
//! in use, further names share one row, `(other)`. Endpoints come and go by DNS, so only those in
//! use are shown.
//! Control side only: the lock is never taken by a worker that serves a request.
//! Invariant: cells that somebody still holds are never forgotten.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::callers::{Callers, VersionCalls, VersionCells};
use super::cells::{
    ControlCells, EndpointCells, ListenerCells, PerWorker, RouteCells, UpstreamCells, WorkerCells,
};
use super::gen_ai::{GenAiCells, GenAiName};
use super::proofs::{AuthorizerCells, JwksCells};
use super::verdicts::LimitCells;
use crate::bounds::{
    AUTHORIZER_CELLS_MAX, ENDPOINT_CELLS_MAX, GEN_AI_CELLS_MAX, LIMIT_CELLS_MAX,
    LISTENER_CELLS_MAX, ROUTE_CELLS_MAX, UPSTREAM_CELLS_MAX, VERSION_CELLS_MAX, WORKERS_MAX,
};
use crate::clock::Wall;

/// The name of what has no room for a name of its own.
const OTHER: &str = "(other)";
/// The name of the route of a request that found none.
const UNROUTED: &str = "-";

/// All cells of the process.
pub struct Registry {
    workers: u16,
    control: ControlCells,
    per_worker: Arc<PerWorker<WorkerCells>>,
    names: Mutex<Names>,
    /// Made with the first version.
    callers: OnceLock<Arc<Callers>>,
}

/// How often a version was asked for, by whom, and when last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calls {
    pub api: Arc<str>,
    pub version: Arc<str>,
    pub by: By,
    pub requests: u64,
    /// In seconds since 1970.
    pub last: u64,
}

/// Who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    Key(Arc<str>),
    /// Nobody showed a key.
    Keyless,
    /// Keys for which there was no room.
    Others,
}

/// What the counts of a route are known by; a part that is empty is no label.
#[derive(Clone, Copy, Debug, Default)]
pub struct RouteName<'a> {
    pub api: &'a str,
    pub route: &'a str,
    pub stage: &'a str,
    pub version: &'a str,
    pub canary: bool,
}

/// Cells with the name they have: the values of the labels that tell them apart.
pub(super) type Named<const N: usize, T> = ([Arc<str>; N], Arc<PerWorker<T>>);

/// Cells of every kind, in the names' order: what a scrape works on while others take the lock.
pub(super) struct Listing {
    pub(super) listeners: Vec<Named<1, ListenerCells>>,
    pub(super) routes: Vec<Named<5, RouteCells>>,
    pub(super) versions: Vec<Named<3, VersionCells>>,
    pub(super) upstreams: Vec<Named<1, UpstreamCells>>,
    pub(super) endpoints: Vec<Named<2, EndpointCells>>,
    pub(super) limits: Vec<Named<1, LimitCells>>,
    pub(super) authorizers: Vec<Named<1, AuthorizerCells>>,
    pub(super) jwks: Vec<Named<1, JwksCells>>,
    /// Dialect, model, served model, address, port, provider.
    pub(super) gen_ai: Vec<Named<6, GenAiCells>>,
}

struct Names {
    listeners: Kind<1, ListenerCells>,
    routes: Kind<5, RouteCells>,
    versions: Kind<3, VersionCells>,
    upstreams: Kind<1, UpstreamCells>,
    endpoints: Kind<2, EndpointCells>,
    limits: Kind<1, LimitCells>,
    authorizers: Kind<1, AuthorizerCells>,
    jwks: Kind<1, JwksCells>,
    gen_ai: Kind<6, GenAiCells>,
}

/// Cells of one kind.
struct Kind<const N: usize, T> {
    entries: BTreeMap<[Arc<str>; N], Entry<T>>,
    entries_max: usize,
    /// Grows with every question; says who was asked for last.
    asked: u64,
}

struct Entry<T> {
    cells: Arc<PerWorker<T>>,
    asked: u64,
}

// === impl Registry ===

impl Registry {
    /// A registry for a process of `workers` workers.
    ///
    /// # Panics
    /// If there are none, or more than [`WORKERS_MAX`].
    #[must_use]
    pub fn new(workers: u16) -> Registry {
        assert!(
            (1..=WORKERS_MAX).contains(&usize::from(workers)),
            "a process has 1 to {WORKERS_MAX} workers"
        );
        let names = Names {
            listeners: Kind::new(LISTENER_CELLS_MAX),
            routes: Kind::new(ROUTE_CELLS_MAX),
            versions: Kind::new(VERSION_CELLS_MAX),
            upstreams: Kind::new(UPSTREAM_CELLS_MAX),
            endpoints: Kind::new(ENDPOINT_CELLS_MAX),
            limits: Kind::new(LIMIT_CELLS_MAX),
            authorizers: Kind::new(AUTHORIZER_CELLS_MAX),
            jwks: Kind::new(AUTHORIZER_CELLS_MAX),
            gen_ai: Kind::new(GEN_AI_CELLS_MAX),
        };
        Registry {
            workers,
            control: ControlCells::default(),
            per_worker: Arc::new(PerWorker::new(workers)),
            names: Mutex::new(names),
            callers: OnceLock::new(),
        }
    }

    /// The control threads' own cells.
    #[must_use]
    pub fn control(&self) -> &ControlCells {
        &self.control
    }

    /// The workers' own cells.
    #[must_use]
    pub fn workers(&self) -> Arc<PerWorker<WorkerCells>> {
        Arc::clone(&self.per_worker)
    }

    /// The cells of the listener called so.
    #[must_use]
    pub fn listener(&self, name: &str) -> Arc<PerWorker<ListenerCells>> {
        self.lock().listeners.cells([name], self.workers)
    }

    /// The cells of a route: its API's name and its key.
    #[must_use]
    pub fn route(&self, api: &str, key: &str) -> Arc<PerWorker<RouteCells>> {
        self.route_of(&RouteName { api, route: key, ..RouteName::default() })
    }

    /// The cells of a route of a stage, version or canary.
    #[must_use]
    pub fn route_of(&self, name: &RouteName<'_>) -> Arc<PerWorker<RouteCells>> {
        let RouteName { api, route, stage, version, canary } = *name;
        let canary = if canary { "true" } else { "" };
        self.lock().routes.cells([api, route, stage, version, canary], self.workers)
    }

    /// What is counted of a version of an API, by the keys of those who ask for it.
    #[must_use]
    pub fn version(&self, api: &str, id: &str) -> VersionCalls {
        let mut names = self.lock();
        let mut of = |key| names.versions.cells([api, id, key], self.workers);
        let (keyless, others) = (of(""), of(OTHER));
        let callers = self.callers.get_or_init(|| Arc::new(Callers::new(self.workers)));
        VersionCalls::new(api, id, keyless, others, callers.clone())
    }

    /// Who has asked for which version since the process began; those forgotten that have been
    /// quiet for long, if there is no room for others.
    #[must_use]
    pub fn calls(&self, now: Wall) -> Vec<Calls> {
        self.make_room(now);
        let calls = self.versions().into_iter().filter_map(|([api, version, key], cells)| {
            let by = match &*key {
                "" => By::Keyless,
                OTHER => By::Others,
                _ => By::Key(key),
            };
            let requests = cells.sum(VersionCells::requests);
            let last = cells.iter().map(VersionCells::last).max().unwrap_or(0);
            (requests > 0).then_some(Calls { api, version, by, requests, last })
        });
        calls.collect()
    }

    /// Makes room among callers for those who found none.
    pub fn make_room(&self, now: Wall) {
        if let Some(callers) = self.callers.get() {
            callers.make_room(now.seconds());
        }
    }

    /// The cells of requests that found no route: not understood, or nobody's.
    #[must_use]
    pub fn unrouted(&self) -> Arc<PerWorker<RouteCells>> {
        self.route(UNROUTED, UNROUTED)
    }

    /// The cells of the upstream called so.
    #[must_use]
    pub fn upstream(&self, name: &str) -> Arc<PerWorker<UpstreamCells>> {
        self.lock().upstreams.cells([name], self.workers)
    }

    /// The cells of the authorizer called so.
    #[must_use]
    pub fn authorizer(&self, name: &str) -> Arc<PerWorker<AuthorizerCells>> {
        self.lock().authorizers.cells([name], self.workers)
    }

    /// The cells of the keys of the authorizer called so; those of worker 0 are the thread's that
    /// fetches them.
    #[must_use]
    pub fn jwks(&self, name: &str) -> Arc<PerWorker<JwksCells>> {
        self.lock().jwks.cells([name], self.workers)
    }

    /// The cells of an upstream's endpoint, by its address in text. Asked for when a name was
    /// resolved, not while a request waits.
    #[must_use]
    pub fn endpoint(&self, upstream: &str, address: &str) -> Arc<PerWorker<EndpointCells>> {
        self.lock().endpoints.cells([upstream, address], self.workers)
    }

    /// The cells of the limit called so.
    #[must_use]
    pub fn limit(&self, name: &str) -> Arc<PerWorker<LimitCells>> {
        self.lock().limits.cells([name], self.workers)
    }

    /// The cells of a target of a model.
    #[must_use]
    pub fn gen_ai(&self, name: &GenAiName<'_>) -> Arc<PerWorker<GenAiCells>> {
        let GenAiName { dialect, model, served, address, port, provider } = *name;
        let port = if port == 0 { String::new() } else { port.to_string() };
        let name = [dialect, model, served, address, &port, provider];
        self.lock().gen_ai.cells(name, self.workers)
    }

    /// All names now. While a listing lives, its cells count as held.
    pub(super) fn listing(&self) -> Listing {
        let versions = self.versions();
        let names = self.lock();
        Listing {
            listeners: names.listeners.all(),
            routes: names.routes.all(),
            versions,
            upstreams: names.upstreams.all(),
            endpoints: names.endpoints.held(),
            limits: names.limits.all(),
            authorizers: names.authorizers.all(),
            jwks: names.jwks.held(),
            gen_ai: names.gen_ai.all(),
        }
    }

    /// Versions with the keys that ask for them, in the order of their names.
    fn versions(&self) -> Vec<Named<3, VersionCells>> {
        let mut all = self.lock().versions.all();
        let callers = self.callers.get().map(|callers| callers.all()).unwrap_or_default();
        all.extend(callers.iter().map(|caller| {
            let name = [&caller.api, &caller.version, &caller.key].map(Arc::clone);
            (name, caller.cells.clone())
        }));
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        all
    }

    fn lock(&self) -> MutexGuard<'_, Names> {
        // The maps are whole between any two statements that could panic.
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Kind ===

impl<const N: usize, T: Default> Kind<N, T> {
    fn new(entries_max: usize) -> Kind<N, T> {
        Kind { entries: BTreeMap::new(), entries_max, asked: 0 }
    }

    fn cells(&mut self, name: [&str; N], workers: u16) -> Arc<PerWorker<T>> {
        self.asked += 1;
        let mut name = name.map(Arc::from);
        let full = self.entries.len() >= self.entries_max && !self.entries.contains_key(&name);
        if full && !self.forget_one() {
            name = [OTHER; N].map(Arc::from);
        }
        let entry = self
            .entries
            .entry(name)
            .or_insert_with(|| Entry { cells: Arc::new(PerWorker::new(workers)), asked: 0 });
        entry.asked = self.asked;
        Arc::clone(&entry.cells)
    }

    /// Forgets the name that was asked for the longest ago among those nobody holds.
    fn forget_one(&mut self) -> bool {
        let unused = self.entries.iter().filter(|(_, entry)| !entry.is_held());
        let oldest = unused.min_by_key(|(_, entry)| entry.asked).map(|(name, _)| name.clone());
        oldest.is_some_and(|name| self.entries.remove(&name).is_some())
    }

    /// All names and their cells.
    fn all(&self) -> Vec<Named<N, T>> {
        self.listed(|_| true)
    }

    /// The same, of those that somebody holds.
    fn held(&self) -> Vec<Named<N, T>> {
        self.listed(Entry::is_held)
    }

    fn listed(&self, wanted: impl Fn(&Entry<T>) -> bool) -> Vec<Named<N, T>> {
        let entries = self.entries.iter().filter(|(_, entry)| wanted(entry));
        entries.map(|(name, entry)| (name.clone(), Arc::clone(&entry.cells))).collect()
    }
}

// === impl Entry ===

impl<T> Entry<T> {
    /// Only the registry makes more of the first `Arc`, under its lock: one is the registry's own.
    fn is_held(&self) -> bool {
        Arc::strong_count(&self.cells) > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::cells::WorkerId;

    const ME: WorkerId = WorkerId(0);

    fn names(kind: &Kind<1, WorkerCells>) -> Vec<String> {
        kind.all().into_iter().map(|([name], _)| name.to_string()).collect()
    }

    #[test]
    fn the_same_name_has_the_same_cells_also_after_nobody_held_them() {
        let registry = Registry::new(2);
        registry.upstream("a").of(ME).connected();
        registry.upstream("a").of(WorkerId(1)).connected();
        registry.upstream("b").of(ME).connected();
        assert_eq!(registry.upstream("a").sum(|c| c.connects.get()), 2);
        assert_eq!(registry.upstream("b").sum(|c| c.connects.get()), 1);
    }

    #[test]
    fn a_route_is_its_api_and_its_key_together() {
        let registry = Registry::new(1);
        let cells = registry.route("a", "GET /b");
        assert!(Arc::ptr_eq(&cells, &registry.route("a", "GET /b")));
        assert!(!Arc::ptr_eq(&cells, &registry.route("b", "GET /b")));
        assert!(Arc::ptr_eq(&registry.unrouted(), &registry.unrouted()));
    }

    #[test]
    fn at_the_bound_the_longest_unused_goes_and_what_is_held_stays() {
        let mut kind = Kind::new(3);
        let held = kind.cells(["a"], 1);
        drop(kind.cells(["b"], 1));
        drop(kind.cells(["c"], 1));
        drop(kind.cells(["b"], 1)); // asked for again: c is older now
        drop(kind.cells(["d"], 1));
        assert_eq!(names(&kind), ["a", "b", "d"]);
        assert_eq!(kind.held().len(), 1);
        assert!(Arc::ptr_eq(&held, &kind.cells(["a"], 1)));
    }

    #[test]
    fn when_all_are_held_further_names_share_one_row() {
        let mut kind = Kind::new(2);
        let (_a, _b) = (kind.cells(["a"], 1), kind.cells(["b"], 1));
        let (c, d) = (kind.cells(["c"], 1), kind.cells(["d"], 1));
        assert!(Arc::ptr_eq(&c, &d));
        assert_eq!(names(&kind), [OTHER, "a", "b"], "one more than the bound, and never another");
    }

    #[test]
    fn an_endpoint_nobody_holds_is_not_shown_but_its_counts_come_back_with_it() {
        let registry = Registry::new(1);
        registry.endpoint("u", "10.0.0.1:80").of(ME).ejected();
        assert!(registry.listing().endpoints.is_empty());
        let _again = registry.endpoint("u", "10.0.0.1:80");
        let listing = registry.listing();
        assert_eq!(listing.endpoints[0].1.sum(|c| c.ejections.get()), 1);
    }
}
