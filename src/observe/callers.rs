//! Who asks for which version of an API: cells for each API key that does.
//!
//! A worker that meets a key finds its cells, or makes them, without a lock: the table is open
//! addressed, each place is written once, and a place that is written never changes. The control
//! side makes room, when there was none, by putting a table without the quiet ones in its place;
//! the free places of the old one are closed first, so that nobody is written where nobody looks.
//! Invariant: at most [`CALLERS_MAX`] callers have cells of their own, and a request of any other
//! is counted with those of all such: the sum over a version's cells is always the whole.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;

use super::cells::{PerWorker, WorkerId};
use super::count::{Array, Gauge};
use super::status::{self, STATUS_SLOTS};
use crate::bounds::{CALLER_QUIET_SECONDS, CALLERS_MAX};

/// All callers of all versions.
pub struct Callers {
    workers: u16,
    table: ArcSwap<Table>,
    /// Somebody found no room since it was last made.
    crowded: AtomicBool,
    /// Who makes room does so alone.
    making_room: Mutex<()>,
}

/// What is counted of a version: kept by a snapshot.
pub struct VersionCalls {
    api: Arc<str>,
    version: Arc<str>,
    /// The hash of both.
    hash: u64,
    /// Of requests without a key.
    keyless: Arc<PerWorker<VersionCells>>,
    /// Of keys for which there is no room.
    others: Arc<PerWorker<VersionCells>>,
    callers: Arc<Callers>,
}

/// What is counted per version of an API, and of that per API key.
#[derive(Default)]
pub struct VersionCells {
    pub(super) status: Array<STATUS_SLOTS>,
    /// Second of the last request; 0: there was none.
    last: Gauge,
}

/// A key that asks for a version.
pub(super) struct Caller {
    hash: u64,
    pub(super) api: Arc<str>,
    pub(super) version: Arc<str>,
    pub(super) key: Arc<str>,
    pub(super) cells: Arc<PerWorker<VersionCells>>,
}

/// `None` in a place: it was free, and is closed.
struct Table {
    places: Box<[OnceLock<Option<Arc<Caller>>>]>,
    taken: AtomicUsize,
}

/// Half of them stay free, so that a search ends soon.
const PLACES: usize = 2 * CALLERS_MAX;

// === impl Callers ===

impl Callers {
    /// A table for a process of so many workers.
    pub(super) fn new(workers: u16) -> Callers {
        Callers {
            workers,
            table: ArcSwap::from_pointee(Table::new()),
            crowded: AtomicBool::new(false),
            making_room: Mutex::new(()),
        }
    }

    /// Forgets who has been quiet for long, if somebody found no room. What it has counted goes.
    pub(super) fn make_room(&self, now_seconds: u64) {
        let _alone = self.making_room.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.crowded.swap(false, Relaxed) {
            return;
        }
        let is_quiet = |caller: &Caller| caller.last() + CALLER_QUIET_SECONDS <= now_seconds;
        let old = self.table.load_full();
        if !old.callers().any(|caller| is_quiet(&caller)) {
            return;
        }
        let new = Table::new();
        for place in &old.places {
            if let Some(caller) = place.get_or_init(|| None)
                && !is_quiet(caller)
            {
                new.put(caller.clone());
            }
        }
        self.table.store(Arc::new(new));
    }

    /// Everybody who has cells.
    pub(super) fn all(&self) -> Vec<Arc<Caller>> {
        self.table.load().callers().collect()
    }
}

// === impl VersionCalls ===

impl VersionCalls {
    pub(super) fn new(
        api: &str,
        version: &str,
        keyless: Arc<PerWorker<VersionCells>>,
        others: Arc<PerWorker<VersionCells>>,
        callers: Arc<Callers>,
    ) -> VersionCalls {
        let hash = hash(hash(0, api), version);
        VersionCalls { api: api.into(), version: version.into(), hash, keyless, others, callers }
    }

    /// A request for this version has been answered, whatever it met; without a key if that is
    /// empty. The time is in seconds.
    #[inline]
    pub fn version_asked(&self, worker: WorkerId, key: &str, status: u16, now: u64) {
        if key.is_empty() {
            return self.keyless.of(worker).asked(status, now);
        }
        match self.callers.table.load().caller(self, key) {
            Some(caller) => caller.cells.of(worker).asked(status, now),
            None => {
                self.callers.crowded.store(true, Relaxed);
                self.others.of(worker).asked(status, now);
            }
        }
    }
}

// === impl VersionCells ===

impl VersionCells {
    #[inline]
    pub(super) fn asked(&self, status: u16, now: u64) {
        self.status.add(status::slot_of(status));
        self.last.set(now);
    }

    pub(super) fn requests(&self) -> u64 {
        (0..STATUS_SLOTS).map(|slot| self.status.get(slot)).sum()
    }

    pub(super) fn last(&self) -> u64 {
        self.last.get()
    }
}

// === impl Caller ===

impl Caller {
    fn is(&self, hash: u64, version: &VersionCalls, key: &str) -> bool {
        self.hash == hash
            && *self.key == *key
            && *self.version == *version.version
            && *self.api == *version.api
    }

    fn last(&self) -> u64 {
        self.cells.iter().map(VersionCells::last).max().unwrap_or(0)
    }
}

// === impl Table ===

impl Table {
    fn new() -> Table {
        Table { places: (0..PLACES).map(|_| OnceLock::new()).collect(), taken: AtomicUsize::new(0) }
    }

    /// The cells of a key, which are made if there is room.
    fn caller(&self, version: &VersionCalls, key: &str) -> Option<&Caller> {
        let hash = hash(version.hash, key);
        for place in self.row(hash) {
            let found = match place.get() {
                Some(found) => found,
                None if self.reserve() => {
                    let mut is_made = false;
                    // Waits only while another worker writes this very place.
                    let found = place.get_or_init(|| {
                        is_made = true;
                        Some(Arc::new(version.caller(hash, key)))
                    });
                    if !is_made {
                        self.taken.fetch_sub(1, Relaxed);
                    }
                    found
                }
                None => return None,
            };
            match found {
                Some(caller) if caller.is(hash, version, key) => return Some(caller),
                Some(_) => {}
                None => return None,
            }
        }
        None
    }

    /// Puts a caller into a table that nobody else sees yet.
    fn put(&self, caller: Arc<Caller>) {
        let free = self.row(caller.hash).find(|place| place.get().is_none());
        let free = free.expect("half of the places are free");
        drop(free.set(Some(caller)));
        self.taken.fetch_add(1, Relaxed);
    }

    fn reserve(&self) -> bool {
        let is_room = self.taken.fetch_add(1, Relaxed) < CALLERS_MAX;
        if !is_room {
            self.taken.fetch_sub(1, Relaxed);
        }
        is_room
    }

    fn callers(&self) -> impl Iterator<Item = Arc<Caller>> {
        self.places.iter().filter_map(|place| place.get()?.clone())
    }

    /// All places, from the one where the hash belongs on.
    fn row(&self, hash: u64) -> impl Iterator<Item = &OnceLock<Option<Arc<Caller>>>> {
        let first = (u128::from(hash) * PLACES as u128) >> 64;
        let first = usize::try_from(first).expect("below the length");
        let (before, from) = self.places.split_at(first);
        from.iter().chain(before)
    }
}

impl VersionCalls {
    #[cold]
    fn caller(&self, hash: u64, key: &str) -> Caller {
        Caller {
            hash,
            api: self.api.clone(),
            version: self.version.clone(),
            key: key.into(),
            cells: Arc::new(PerWorker::new(self.callers.workers)),
        }
    }
}

/// Of names out of the configuration and the store, which nobody chooses to make them meet.
fn hash(seed: u64, text: &str) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let fold = |hash: u64, word: u64| {
        let product = u128::from(hash ^ word) * u128::from(ODD);
        let halves = (product >> 64) ^ product;
        u64::try_from(halves & u128::from(u64::MAX)).expect("64 bits") ^ ODD
    };
    let mut words = text.as_bytes().chunks_exact(8);
    let mut hash = fold(seed ^ ODD, text.len() as u64);
    for word in &mut words {
        hash = fold(hash, u64::from_le_bytes(word.try_into().expect("eight bytes")));
    }
    let rest = words.remainder().iter().rev().fold(0, |rest, byte| rest << 8 | u64::from(*byte));
    fold(hash, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: WorkerId = WorkerId(0);

    fn version(callers: &Arc<Callers>, id: &str) -> VersionCalls {
        let cells = || Arc::new(PerWorker::new(2));
        VersionCalls::new("orders", id, cells(), cells(), callers.clone())
    }

    fn sums(callers: &Callers) -> Vec<(String, u64, u64)> {
        let mut all: Vec<_> = callers
            .all()
            .iter()
            .map(|caller| {
                let name = format!("{} {}", caller.version, caller.key);
                (name, caller.cells.sum(VersionCells::requests), caller.last())
            })
            .collect();
        all.sort();
        all
    }

    #[test]
    fn each_key_of_each_version_has_its_own_count_and_its_last_time() {
        let callers = Arc::new(Callers::new(2));
        let (v1, v2) = (version(&callers, "v1"), version(&callers, "v2"));
        v1.version_asked(ME, "acme", 200, 10);
        v1.version_asked(WorkerId(1), "acme", 410, 12);
        v1.version_asked(ME, "", 200, 11);
        v2.version_asked(ME, "acme", 200, 13);
        let own = |name: &str, count, last| (name.to_owned(), count, last);
        assert_eq!(sums(&callers), [own("v1 acme", 2, 12), own("v2 acme", 1, 13)]);
        assert_eq!(v1.keyless.sum(VersionCells::requests), 1);
        // Another snapshot's view of the same version finds the same cells.
        version(&callers, "v1").version_asked(ME, "acme", 200, 20);
        assert_eq!(sums(&callers)[0], own("v1 acme", 3, 20));
    }

    #[test]
    fn beyond_the_bound_keys_are_counted_together_and_the_quiet_make_room() {
        let callers = Arc::new(Callers::new(1));
        let v1 = version(&callers, "v1");
        let name = |n: usize| format!("key-{n}");
        (0..CALLERS_MAX).for_each(|n| v1.version_asked(ME, &name(n), 200, n as u64));
        (0..5).for_each(|n| v1.version_asked(ME, &name(CALLERS_MAX + n), 200, 1));
        assert_eq!(callers.all().len(), CALLERS_MAX);
        assert_eq!(v1.others.sum(VersionCells::requests), 5);
        // All have called today: nobody goes, and who has room keeps it.
        callers.make_room(CALLERS_MAX as u64);
        v1.version_asked(ME, &name(0), 200, CALLERS_MAX as u64);
        assert_eq!(callers.all().len(), CALLERS_MAX);
        v1.version_asked(ME, &name(CALLERS_MAX), 200, 1);
        callers.make_room(9 + CALLER_QUIET_SECONDS);
        assert_eq!(callers.all().len(), CALLERS_MAX - 9, "1 to 9 have been quiet, 0 has not");
        v1.version_asked(ME, &name(CALLERS_MAX), 200, 1);
        assert_eq!(callers.all().len(), CALLERS_MAX - 8);
        assert_eq!(v1.others.sum(VersionCells::requests), 6);
        assert_eq!(v1.callers.table.load().caller(&v1, "key-0").map(Caller::requests), Some(2));
    }

    #[test]
    fn who_still_has_the_old_table_counts_with_the_others() {
        let callers = Arc::new(Callers::new(1));
        let v1 = version(&callers, "v1");
        v1.version_asked(ME, "old", 200, 0);
        let old = callers.table.load_full();
        callers.crowded.store(true, Relaxed);
        callers.make_room(CALLER_QUIET_SECONDS);
        assert!(callers.all().is_empty());
        assert!(old.caller(&v1, "new").is_none(), "its places are closed");
        assert!(old.caller(&v1, "old").is_some());
    }

    #[test]
    fn workers_that_meet_one_key_at_once_share_its_cells() {
        let callers = Arc::new(Callers::new(4));
        let v1 = version(&callers, "v1");
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let v1 = &v1;
                scope.spawn(move || {
                    for n in 0..2_000 {
                        v1.version_asked(WorkerId(worker), &format!("key-{}", n % 500), 200, 1);
                    }
                });
            }
        });
        let sums = sums(&callers);
        assert_eq!(sums.len(), 500);
        assert!(sums.iter().all(|(_, count, _)| *count == 16));
        assert_eq!(callers.table.load().taken.load(Relaxed), 500);
    }

    #[test]
    fn names_spread_over_the_table() {
        let firsts = |n: usize| (u128::from(hash(7, &format!("customer-{n}"))) * 64) >> 64;
        let mut counts = [0; 64];
        (0..6_400).for_each(|n| counts[usize::try_from(firsts(n)).expect("below 64")] += 1);
        assert!(counts.iter().all(|count| (50..200).contains(count)), "{counts:?}");
        assert_ne!(hash(hash(0, "a"), "bc"), hash(hash(0, "ab"), "c"));
    }

    impl Caller {
        fn requests(&self) -> u64 {
            self.cells.sum(VersionCells::requests)
        }
    }
}
