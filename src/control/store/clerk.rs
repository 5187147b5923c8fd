//! The store's thread: one job after the other, and a look at the other processes in between.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::{self, Thread};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};

use super::{Store, StoreError};
use crate::auth::keys::KeyTable;
use crate::bounds;
use crate::observe::exposition::StoreSeen;
use crate::snapshot::Snapshot;

type Job = Box<dyn FnOnce(&mut Store) + Send>;

/// Whoever wants something of the store; the thread ends with the last of them.
#[derive(Clone)]
pub struct Clerk {
    jobs: Sender<Job>,
    thread: Thread,
    pub table: Arc<KeyTable>,
    pub counts: Arc<Counts>,
}

/// How its writes ended.
#[derive(Debug, Default)]
pub struct Counts {
    pub writes: AtomicU64,
    pub errors: AtomicU64,
}

// === impl Clerk ===

impl Clerk {
    /// The clerk of a first snapshot: its state directory, its table.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub fn of(snapshot: &Snapshot) -> Result<Clerk, StoreError> {
        let dir = snapshot.config.gateway.state_dir.as_ref().map(|dir| dir.path.clone());
        Clerk::start(dir, snapshot.keys.table.clone())
    }

    /// Opens the store, loads its keys into the table and starts its thread.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub fn start(dir: Option<PathBuf>, table: Arc<KeyTable>) -> Result<Clerk, StoreError> {
        let store = Store::open(dir.as_deref(), table.clone())?;
        let (jobs, asked) = bounded(bounds::STORE_QUEUE_MAX);
        let counts = Arc::<Counts>::default();
        let seen = counts.clone();
        let started = thread::Builder::new()
            .name("store".into())
            .spawn(move || run(store, &asked, &seen))
            .map_err(|error| StoreError::Io(dir.unwrap_or_default(), error))?;
        Ok(Clerk { jobs, thread: started.thread().clone(), table, counts })
    }

    /// What the metrics tell of it.
    #[must_use]
    pub fn seen(&self) -> StoreSeen {
        StoreSeen {
            keys: self.table.len() as u64,
            writes: self.counts.writes.load(Relaxed),
            errors: self.counts.errors.load(Relaxed),
        }
    }

    /// Has the store do something, soon; false if too much waits already.
    #[must_use]
    pub fn ask(&self, job: impl FnOnce(&mut Store) + Send + 'static) -> bool {
        let taken = self.jobs.try_send(Box::new(job)).is_ok();
        self.thread.unpark();
        taken
    }
}

// === impl Counts ===

impl Counts {
    /// Counts how a write ended.
    pub fn wrote(&self, well: bool) {
        let count = if well { &self.writes } else { &self.errors };
        count.fetch_add(1, Relaxed);
    }
}

fn run(mut store: Store, asked: &Receiver<Job>, counts: &Counts) {
    let mut failing = false;
    loop {
        match asked.try_recv() {
            // A bug in one job must not take the others' store from them.
            Ok(job) => {
                if catch_unwind(AssertUnwindSafe(|| job(&mut store))).is_err() {
                    counts.wrote(false);
                }
                continue;
            }
            Err(TryRecvError::Disconnected) => return,
            // Not asleep in the channel: that yields the core, which may be a worker's, some times
            // before it sleeps, and this 25 times a second.
            Err(TryRecvError::Empty) => thread::park_timeout(bounds::STORE_LOOK),
        }
        if !store.keeps() || !asked.is_empty() {
            continue;
        }
        match store.catch_up() {
            Ok(_) => failing = false,
            Err(error) => {
                counts.wrote(false);
                // Once, not 25 times a second.
                if !failing {
                    tracing::error!(%error, "cannot see what other processes change");
                }
                failing = true;
            }
        }
    }
}
