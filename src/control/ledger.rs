//! The usage ledger: one thread that takes the entries out of all workers' rings and writes them
//! into `usage.db`.
//!
//! Owns when they are written and what happens when they cannot be: they wait in a bounded queue,
//! then in the rings, and then workers begin no more requests to models. Entries gather for 200 ms
//! and are committed together with a full synchronisation, so that is what a power cut or `kill -9`
//! can lose; a drain loses none. Reports read the file by a connection of their own, on another
//! thread. Without a state directory the ledger is in memory, bounded, and
//! ends with the process. Invariant: an entry leaves the queue when it is committed, not before.

mod db;
mod report;
mod rows;
mod writer;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use rusqlite::Connection;

use crate::bounds::{LEDGER_ASKS_MAX, LEDGER_RING_BYTES};
use crate::clock;
use crate::config::Config;
use crate::control::store::StoreError;
use crate::observe::exposition::LedgerSeen;
use crate::observe::ring::ring;
use crate::proxy::ledger::WorkerLedger;
pub use db::{FILE, open_to_read};
pub use report::{Column, NoReport, Question};

use writer::{Command, Writer};

/// The running ledger.
pub struct Ledger {
    commands: Sender<Command>,
    thread: JoinHandle<()>,
    /// Tells how many bytes of entries were lost when the thread ends.
    ended: Receiver<u64>,
    desk: Desk,
}

/// Whoever looks on, and asks.
#[derive(Clone, Default)]
pub struct Desk {
    counts: Arc<Counts>,
    /// Who reads for it; nobody where there is no ledger.
    asks: Option<Asks>,
}

#[derive(Clone)]
struct Asks {
    jobs: Sender<Job>,
    /// Sleeps until it is woken.
    thread: Thread,
}

/// What is done with a connection that may read.
type Job = Box<dyn FnOnce(Result<&Connection, StoreError>) + Send>;

/// Why [`Ledger::finish`] did not write all entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// A write did not return.
    Blocked,
    /// The thread panicked.
    Died,
    /// The file could not be written; so many entries were lost.
    Lost(u64),
}

/// How its writes ended.
#[derive(Debug, Default)]
struct Counts {
    written: AtomicU64,
    errors: AtomicU64,
    waiting_bytes: AtomicU64,
}

// === impl Ledger ===

impl Ledger {
    /// Opens the ledger and starts its thread; gives its end to each of `workers` workers.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub fn start(config: &Config, workers: u16) -> Result<(Ledger, Vec<WorkerLedger>), StoreError> {
        let dir = config.gateway.state_dir.as_ref().map(|dir| &*dir.path);
        let db = db::Usage::open(dir)?;
        let (pushers, takers): (Vec<_>, Vec<_>) =
            (0..workers).map(|_| ring(LEDGER_RING_BYTES)).unzip();
        let (commands, inbox) = unbounded();
        let (end, ended) = bounded(1);
        let counts = Arc::<Counts>::default();
        let (jobs, asked) = bounded(LEDGER_ASKS_MAX);
        // What is in memory has one connection: its thread answers too.
        let reader = match dir {
            Some(dir) => Some(start_reader(dir, asked.clone())?),
            None => None,
        };
        let asked = reader.is_none().then_some(asked);
        let seen = counts.clone();
        let thread = thread::Builder::new()
            .name("ledger".into())
            .spawn(move || {
                let lost = Writer::new(&db, takers, seen, asked).run(&inbox);
                // Its last connection closed, the file is one file again.
                drop(db);
                // Nobody listens if `finish` has given up.
                let _ = end.send(lost);
            })
            .map_err(|error| StoreError::Io(dir.unwrap_or("".as_ref()).to_owned(), error))?;
        let wake = |thread: Thread| Box::new(move || thread.unpark());
        let ledgers = pushers
            .into_iter()
            .map(|pusher| WorkerLedger::new(pusher, wake(thread.thread().clone())))
            .collect();
        let reader = reader.unwrap_or_else(|| thread.thread().clone());
        let desk = Desk { counts, asks: Some(Asks { jobs, thread: reader }) };
        let ledger = Ledger { commands, thread, ended, desk };
        ledger.keep(config.ledger.keep);
        Ok((ledger, ledgers))
    }

    /// From now on entries are kept for so long; for ever if that is not said.
    pub fn keep(&self, keep: Option<Duration>) {
        self.command(Command::Keep(keep));
    }

    /// For whoever asks about it.
    #[must_use]
    pub fn desk(&self) -> Desk {
        self.desk.clone()
    }

    /// Writes all that the rings hold and ends the thread. To be called when the workers have
    /// stopped; gives up after `patience`.
    ///
    /// # Errors
    /// What is not written, and why.
    pub fn finish(self, patience: Duration) -> Result<(), Unfinished> {
        // Retries end at half of it, which leaves the other half to a write that is slow.
        self.command(Command::Finish(clock::now().after(patience / 2)));
        match self.ended.recv_timeout(patience) {
            Ok(0) => Ok(()),
            Ok(lost) => Err(Unfinished::Lost(lost)),
            Err(RecvTimeoutError::Timeout) => Err(Unfinished::Blocked),
            Err(RecvTimeoutError::Disconnected) => Err(Unfinished::Died),
        }
    }

    fn command(&self, command: Command) {
        // If the thread has died, `finish` says so.
        let _ = self.commands.send(command);
        self.thread.thread().unpark();
    }
}

// === impl Desk ===

impl Desk {
    /// What the metrics tell of it.
    #[must_use]
    pub fn seen(&self) -> LedgerSeen {
        LedgerSeen {
            written: self.counts.written.load(Relaxed),
            errors: self.counts.errors.load(Relaxed),
            waiting_bytes: self.counts.waiting_bytes.load(Relaxed),
        }
    }
}

impl Desk {
    /// Has somebody read in the ledger, soon; false if too many wait already.
    #[must_use]
    pub fn ask(&self, job: impl FnOnce(Result<&Connection, StoreError>) + Send + 'static) -> bool {
        let Some(asks) = &self.asks else { return false };
        let asked = asks.jobs.try_send(Box::new(job)).is_ok();
        asks.thread.unpark();
        asked
    }
}

/// Starts the thread that reads in the file of a state directory; it ends with the last desk.
fn start_reader(dir: &Path, asked: Receiver<Job>) -> Result<Thread, StoreError> {
    let dir = dir.to_owned();
    let place = dir.clone();
    let read = move || {
        for job in asked {
            let conn = db::open_to_read(&dir);
            // A bug in one report must not take the others' thread from them.
            let _ = catch_unwind(AssertUnwindSafe(|| match conn {
                Ok(conn) => job(Ok(&conn)),
                Err(error) => job(Err(error)),
            }));
        }
    };
    let thread = thread::Builder::new().name("usage".into()).spawn(read);
    thread.map(|handle| handle.thread().clone()).map_err(|error| StoreError::Io(place, error))
}

// === impl Unfinished ===

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfinished::Blocked => f.write_str("a write does not return"),
            Unfinished::Died => f.write_str("its thread panicked"),
            Unfinished::Lost(entries) => write!(f, "{entries} entries could not be written"),
        }
    }
}

impl std::error::Error for Unfinished {}

#[cfg(test)]
mod tests;
