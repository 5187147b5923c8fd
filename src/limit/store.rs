//! All that is counted: the table that is kept over restarts, and the one of requests at once,
//! which are gone with the process that serves them.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use super::id::{HashKey, Hasher, Id};
use super::memory::{Memory, MemoryError};
use super::table::{Kind, Seen, Table, Times};
use crate::bounds::LIMIT_HELD_SLOTS;

/// What a process counts limits in.
pub struct Store {
    /// Buckets and quotas.
    pub(super) kept: Table<Memory>,
    /// Requests at once: in memory of this process only, so that no other can leave some behind.
    pub(super) held: Table<Memory>,
    key: HashKey,
    evicted: AtomicU64,
    full: AtomicU64,
    /// Live slots as of the last survey, and of the one that runs.
    live: AtomicU64,
    counting: AtomicU64,
    next: AtomicU64,
    /// Slots in which somebody joined when they were counted last.
    joining: Mutex<Vec<Seen>>,
}

/// How full the table is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Slots there are.
    pub capacity: u64,
    /// Slots whose state cannot be forgotten, when they were last counted.
    pub live: u64,
    /// States forgotten to make room.
    pub evicted: u64,
    /// Times there was no room.
    pub full: u64,
}

/// A survey goes round in so many steps.
const SURVEY_STEPS: usize = 30;

// === impl Store ===

impl Store {
    /// Keeps state in `memory`, whose ids are hashed by `key`; `seed` is of this process only.
    ///
    /// # Errors
    /// When there is no memory for the rest.
    pub fn new(memory: Memory, key: HashKey, seed: u64) -> Result<Store, MemoryError> {
        let held = Memory::anonymous(LIMIT_HELD_SLOTS)?;
        Ok(Store {
            kept: Table::new(memory, u128::from(seed)),
            held: Table::new(held, u128::from(seed)),
            key,
            evicted: AtomicU64::new(0),
            full: AtomicU64::new(0),
            live: AtomicU64::new(0),
            counting: AtomicU64::new(0),
            next: AtomicU64::new(0),
            joining: Mutex::default(),
        })
    }

    /// In memory of this process only: forgotten when it ends.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn anonymous(slots: usize, key: HashKey, seed: u64) -> Result<Store, MemoryError> {
        Store::new(Memory::anonymous(slots)?, key, seed)
    }

    /// Begins the hash of a limit.
    #[must_use]
    pub fn hasher(&self, name: &str) -> Hasher {
        Hasher::new(self.key, name)
    }

    /// How many buckets and quotas fit.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.kept.capacity()
    }

    /// Forgets all buckets: their time is of another boot. Nobody else may use the file meanwhile.
    pub fn forget_buckets(&self) {
        self.kept.forget(Kind::Bucket);
    }

    /// Hands what has changed to the disk.
    ///
    /// # Errors
    /// When the disk says no.
    pub fn flush(&self) -> std::io::Result<()> {
        self.kept.memory().flush()
    }

    /// Counts the next part of the table. One thread calls this, every second or so.
    pub fn survey(&self, now: Times) {
        let step = usize::try_from(self.next.load(Relaxed)).expect("a small number");
        let size = self.capacity().div_ceil(SURVEY_STEPS);
        let range = step * size..(step + 1) * size;
        let live = self.kept.live(range.clone(), now) as u64;
        self.strike_orphans(range);
        let sum = self.counting.load(Relaxed) + live;
        let last = step + 1 == SURVEY_STEPS;
        if last {
            self.live.store(sum, Relaxed);
        }
        self.counting.store(if last { 0 } else { sum }, Relaxed);
        self.next.store(if last { 0 } else { step as u64 + 1 }, Relaxed);
    }

    /// Gives free what killed processes left behind: joining takes well under a microsecond, and
    /// these have been at it since the last time round.
    fn strike_orphans(&self, range: Range<usize>) {
        let mut before = self.joining.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.kept.joining(range.clone());
        now.iter().filter(|seen| before.contains(seen)).for_each(|seen| self.kept.strike(*seen));
        before.retain(|seen| !range.contains(&seen.at()));
        before.extend(now);
    }

    /// How full the table is.
    #[must_use]
    pub fn seen(&self) -> Survey {
        Survey {
            capacity: self.capacity() as u64,
            live: self.live.load(Relaxed),
            evicted: self.evicted.load(Relaxed),
            full: self.full.load(Relaxed),
        }
    }

    pub(super) fn table(&self, kind: Kind) -> &Table<Memory> {
        if kind == Kind::Held { &self.held } else { &self.kept }
    }

    pub(super) fn count_evicted(&self) {
        self.evicted.fetch_add(1, Relaxed);
    }

    pub(super) fn count_full(&self) {
        self.full.fetch_add(1, Relaxed);
    }

    /// One request of this id less.
    pub(super) fn let_go(&self, id: Id) {
        self.held.amend(id, Kind::Held, |count| count.saturating_sub(1));
    }
}
