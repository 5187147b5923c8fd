//! What a worker's connections share: its pool, its cells, its log, the snapshot it serves.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use super::admit::Proofs;
use super::ledger::WorkerLedger;
use crate::balance::Random;
use crate::llm::Entry;
use crate::observe::access_log::{Record, WorkerLog};
use crate::observe::cells::{PerWorker, RouteCells, WorkerCells, WorkerId};
use crate::snapshot::{Listener, Snapshot};
use crate::upstream::Pool;

/// A worker's state. One thread only.
pub struct Context {
    pub worker: WorkerId,
    cells: Arc<PerWorker<WorkerCells>>,
    unrouted: Arc<PerWorker<RouteCells>>,
    current: RefCell<Rc<Current>>,
    pub pool: Pool,
    pub random: RefCell<Random>,
    /// What is known of callers.
    pub proofs: Proofs,
    log: RefCell<WorkerLog>,
    ledger: RefCell<WorkerLedger>,
    draining: Cell<bool>,
    /// Connections open on this worker.
    pub connections: Cell<usize>,
}

/// The snapshot this worker serves now.
pub struct Current {
    pub snapshot: Arc<Snapshot>,
}

// === impl Context ===

impl Context {
    /// A worker that serves `snapshot`.
    #[must_use]
    pub fn new(
        worker: WorkerId,
        snapshot: Arc<Snapshot>,
        cells: Arc<PerWorker<WorkerCells>>,
        unrouted: Arc<PerWorker<RouteCells>>,
        (log, ledger): (WorkerLog, WorkerLedger),
        seed: u64,
    ) -> Context {
        let context = Context {
            worker,
            cells,
            unrouted,
            current: RefCell::new(Rc::new(Current { snapshot: snapshot.clone() })),
            pool: Pool::default(),
            random: RefCell::new(Random::new(seed)),
            proofs: Proofs::new(),
            log: RefCell::new(log),
            ledger: RefCell::new(ledger),
            draining: Cell::new(false),
            connections: Cell::new(0),
        };
        context.adopt(snapshot);
        context
    }

    /// Takes in a new snapshot: the next request on any connection is served from it.
    pub fn adopt(&self, snapshot: Arc<Snapshot>) {
        let seed = self.random.borrow_mut().bits();
        self.pool.adopt(&snapshot, self.worker, seed);
        self.proofs.forget();
        self.cells().serves_generation(snapshot.generation);
        *self.current.borrow_mut() = Rc::new(Current { snapshot });
    }

    /// The snapshot this worker serves now.
    #[must_use]
    pub fn current(&self) -> Rc<Current> {
        self.current.borrow().clone()
    }

    /// This worker's cells.
    #[must_use]
    pub fn cells(&self) -> &WorkerCells {
        self.cells.of(self.worker)
    }

    /// The cells of requests that found no route.
    #[must_use]
    pub fn unrouted(&self) -> &RouteCells {
        self.unrouted.of(self.worker)
    }

    /// Writes an access-log line, if the snapshot asks for one.
    pub fn log(&self, current: &Current, record: &Record<'_>) {
        if let Some(format) = &current.snapshot.log {
            self.log.borrow_mut().log(format, record, self.cells());
        }
    }

    /// Writes a request to a model into the usage ledger, once it has ended.
    pub fn ledger(&self, entry: &Entry<'_>) {
        self.ledger.borrow_mut().note(entry, self.cells());
    }

    /// Whether the ledger can take one more request: asked before it begins, since what has begun
    /// is written whatever comes.
    #[must_use]
    pub fn ledger_has_room(&self) -> bool {
        self.ledger.borrow_mut().has_room()
    }

    /// Hands on what the ledger had no room for when it came; whether nothing is left.
    pub fn ledger_is_handed_on(&self) -> bool {
        self.ledger.borrow_mut().hand_on()
    }

    /// From now on connections end with their current request.
    pub fn drain(&self) {
        self.draining.set(true);
        self.pool.retire();
        crate::net::deadline::wake_idle();
    }

    /// True from the drain on.
    #[must_use]
    pub fn draining(&self) -> &Cell<bool> {
        &self.draining
    }

    /// Whether connections end with their current request.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// The listener as the current snapshot has it; `None` if it is gone, and its connections
    /// drain.
    #[must_use]
    pub fn listener_now(&self, name: &str) -> Option<Arc<Listener>> {
        self.current.borrow().snapshot.listener(name).cloned()
    }
}
