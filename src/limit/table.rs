//! The slots: a hash table in shared memory without a lock, in which an id has one slot at most.
//!
//! A slot is one 128-bit word: 45 bits of the id, 2 of the kind, 1 that says it is being joined,
//! 80 of state. Every change is one compare-and-swap of the whole word: a process that is killed
//! leaves nothing half-written, and a slot that has changed hands is noticed (no ABA).
//!
//! An id is looked for in a window of consecutive slots. What can be forgotten without anybody
//! noticing (a full bucket, a period that is over) gives its slot to an id that needs one; a slot
//! never becomes [`EMPTY`] again, so a search may end at the first that is. Joining is in steps,
//! for two threads may see different free slots first: (1) the id is put into a free slot, marked
//! as joining, with a nonce; (2) the window is searched once more: a member elsewhere, or another
//! who joins in a lower slot, wins; one who joins in a higher slot is struck out; (3) the mark is
//! taken off, if the word is still the same. Anybody who asks for the id may do (2) and (3) for one
//! who does not come back; a slot whose id nobody asks for is struck out after a while. Invariant:
//! of an id there is one member at most, for of two who joined, the second search of at least one
//! began after both had done (1).
//!
//! This file and `bucket`, `quota`, `id` name nothing of the crate but the clock's types, so that
//! loom can explore them alone (`tests/loom`).

use core::sync::atomic::Ordering::SeqCst;

use super::id::{Id, TAG_BITS};
use super::{bucket, quota};
use crate::clock::{Boot, Wall};

#[cfg(not(all(test, loom)))]
pub use portable_atomic::AtomicU128 as Slot;

#[cfg(all(test, loom))]
pub use self::explored::Slot;

/// What a slot's state means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Bucket = 1,
    Quota = 2,
    /// Requests at once.
    Held = 3,
}

/// What time it is, for each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    pub boot: Boot,
    pub wall: Wall,
}

/// Why a change was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotDone<R> {
    /// The rule says no.
    Refused(R),
    /// There is no slot to count in.
    Full,
}

/// Where an id's state was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    at: usize,
    word: u128,
}

/// A change that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// The state that was written.
    pub state: u128,
    /// Somebody else's state was forgotten for it.
    pub evicted: bool,
}

/// The table over some memory.
pub struct Table<M> {
    slots: M,
    /// Joiners of this table tell their words apart by this.
    nonce: Nonce,
}

/// What a search of a window found.
#[derive(Default)]
struct Search {
    member: Option<Seen>,
    joining: Option<Seen>,
    free: Option<Seen>,
}

/// Never used. Once used, a slot is never empty again.
const EMPTY: u128 = 0;
/// Used once, and nobody's now.
const STRUCK: u128 = 1;

const STATE_BITS: u32 = 80;
const STATE_MASK: u128 = (1 << STATE_BITS) - 1;
const JOINING: u128 = 1 << STATE_BITS;
const KIND_SHIFT: u32 = STATE_BITS + 1;
const TAG_SHIFT: u32 = KIND_SHIFT + 2;
const _: () = assert!(TAG_SHIFT + TAG_BITS == 128, "a word is full");

/// Slots of a cache line: windows begin at its start.
const LINE: usize = 4;
/// Slots an id may be in: sixteen lines, of which most searches see one. At half load one id in
/// millions finds none of them free.
#[cfg(not(all(test, loom)))]
const WINDOW: usize = 64;
#[cfg(all(test, loom))]
const WINDOW: usize = 2;
/// Each time round, another thread has got on. More than that, and something is broken.
const ATTEMPTS_MAX: usize = 10_000;

// === impl Table ===

impl<M: AsRef<[Slot]>> Table<M> {
    /// A table over these slots; `seed` differs for every table that shares them.
    ///
    /// # Panics
    /// If there are fewer slots than a window.
    #[must_use]
    pub fn new(slots: M, seed: u128) -> Table<M> {
        assert!(slots.as_ref().len() >= WINDOW, "a table has a window at least");
        Table { slots, nonce: Nonce::new(seed) }
    }

    /// How many slots there are.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.slots.as_ref().len()
    }

    /// The memory it is over.
    #[must_use]
    pub fn memory(&self) -> &M {
        &self.slots
    }

    /// Where the state of an id is, if it has any.
    #[must_use]
    pub fn find(&self, id: Id, kind: Kind) -> Option<Seen> {
        for at in self.window(id) {
            let word = self.load(at);
            if is_of(word, id, kind) && word & JOINING == 0 {
                return Some(Seen { at, word });
            }
            if word == EMPTY {
                return None;
            }
        }
        None
    }

    /// Writes the state of an id where it was seen; false, and nothing done, if it has changed
    /// since.
    pub fn replace(&self, seen: Seen, (id, kind): (Id, Kind), state: u128) -> bool {
        debug_assert!(state <= STATE_MASK, "a state has 80 bits");
        self.swap(seen, word(id, kind, state))
    }

    /// Changes the state of an id as `rule` says, which is given 0 for one that has none.
    ///
    /// # Errors
    /// When the rule says no, or no slot is free.
    pub fn change<R>(
        &self,
        (id, kind): (Id, Kind),
        now: Times,
        rule: impl Fn(u128) -> Result<u128, R>,
    ) -> Result<Done, NotDone<R>> {
        for _ in 0..ATTEMPTS_MAX {
            let Some(seen) = self.find(id, kind) else {
                if let Some(done) = self.join(id, kind, now, &rule)? {
                    return Ok(done);
                }
                continue;
            };
            let state = rule(seen.state()).map_err(NotDone::Refused)?;
            if self.replace(seen, (id, kind), state) {
                return Ok(Done { state, evicted: false });
            }
        }
        Err(NotDone::Full)
    }

    /// Changes the state of an id that has one; nothing happens if it has none.
    pub fn amend(&self, id: Id, kind: Kind, rule: impl Fn(u128) -> u128) {
        for _ in 0..ATTEMPTS_MAX {
            let Some(seen) = self.find(id, kind) else { return };
            if self.replace(seen, (id, kind), rule(seen.state())) {
                return;
            }
        }
    }

    /// How many of these slots hold what cannot be forgotten.
    pub fn live(&self, range: core::ops::Range<usize>, now: Times) -> usize {
        let slots = self.slots.as_ref();
        let range = range.start.min(slots.len())..range.end.min(slots.len());
        slots[range].iter().filter(|slot| is_live(slot.load(SeqCst), now)).count()
    }

    /// Slots in which somebody joins, of these. One that is here a while later is of somebody who
    /// was killed.
    #[must_use]
    pub fn joining(&self, range: core::ops::Range<usize>) -> Vec<Seen> {
        let range = range.start.min(self.capacity())..range.end.min(self.capacity());
        let seen = range.map(|at| Seen { at, word: self.load(at) });
        seen.filter(|seen| kind_of(seen.word) != 0 && seen.word & JOINING != 0).collect()
    }

    /// Gives a slot free, if it is as it was seen.
    pub fn strike(&self, seen: Seen) {
        self.swap(seen, STRUCK);
    }

    /// Forgets all state of a kind. Nobody else may use the table meanwhile.
    pub fn forget(&self, kind: Kind) {
        for slot in self.slots.as_ref() {
            let word = slot.load(SeqCst);
            if kind_of(word) == kind as u8 {
                slot.store(STRUCK, SeqCst);
            }
        }
    }

    /// Gives an id that has no slot one, with the state the rule says; `None`: look again.
    fn join<R>(
        &self,
        id: Id,
        kind: Kind,
        now: Times,
        rule: &impl Fn(u128) -> Result<u128, R>,
    ) -> Result<Option<Done>, NotDone<R>> {
        // Before a slot is taken: who is refused needs none.
        let state = rule(0).map_err(NotDone::Refused)?;
        let found = self.search(id, kind, now);
        let mut evicted = false;
        let mine = match (found.member, found.joining, found.free) {
            (Some(_), ..) => return Ok(None),
            (None, Some(joining), _) => joining,
            (None, None, Some(free)) => {
                let word = word(id, kind, self.nonce.next()) | JOINING;
                if !self.swap(free, word) {
                    return Ok(None);
                }
                evicted = kind_of(free.word) != 0;
                Seen { at: free.at, word }
            }
            (None, None, None) => return Err(NotDone::Full),
        };
        if !self.is_alone(mine, id, kind) || !self.swap(mine, word(id, kind, state)) {
            return Ok(None);
        }
        Ok(Some(Done { state, evicted }))
    }

    /// Whether nobody else has the id or may get it before `mine` does.
    fn is_alone(&self, mine: Seen, id: Id, kind: Kind) -> bool {
        for at in self.window(id) {
            let seen = Seen { at, word: self.load(at) };
            if seen.word == EMPTY {
                break;
            }
            if at == mine.at || !is_of(seen.word, id, kind) {
                continue;
            }
            let joins = seen.word & JOINING != 0;
            if joins && at > mine.at {
                if !self.swap(seen, STRUCK) {
                    return false;
                }
            } else {
                self.swap(mine, STRUCK);
                return false;
            }
        }
        true
    }

    /// The first step of joining, and no other.
    #[cfg(all(test, not(loom)))]
    pub(super) fn prepare(&self, id: Id, kind: Kind, now: Times) -> Seen {
        let free = self.search(id, kind, now).free.expect("a free slot");
        let word = word(id, kind, self.nonce.next()) | JOINING;
        assert!(self.swap(free, word));
        Seen { at: free.at, word }
    }

    fn search(&self, id: Id, kind: Kind, now: Times) -> Search {
        let mut found = Search::default();
        for at in self.window(id) {
            let word = self.load(at);
            let seen = Seen { at, word };
            if word == EMPTY {
                found.free = found.free.or(Some(seen));
                break;
            }
            if is_of(word, id, kind) {
                if word & JOINING == 0 {
                    found.member = Some(seen);
                    return found;
                }
                found.joining = found.joining.or(Some(seen));
            } else if found.free.is_none() && !is_live(word, now) {
                found.free = Some(seen);
            }
        }
        found
    }

    fn window(&self, id: Id) -> impl Iterator<Item = usize> + use<M> {
        let capacity = self.capacity();
        let lines = (capacity / LINE).max(1);
        let line = (u128::from(id.home) * lines as u128) >> 64;
        let first = usize::try_from(line).expect("below the number of lines") * LINE;
        (first..first + WINDOW).map(move |at| if at < capacity { at } else { at - capacity })
    }

    fn load(&self, at: usize) -> u128 {
        self.slots.as_ref()[at].load(SeqCst)
    }

    fn swap(&self, seen: Seen, word: u128) -> bool {
        let slot = &self.slots.as_ref()[seen.at];
        slot.compare_exchange(seen.word, word, SeqCst, SeqCst).is_ok()
    }
}

// === impl Seen ===

impl Seen {
    /// The slot.
    #[must_use]
    pub fn at(&self) -> usize {
        self.at
    }

    /// The state that was in it.
    #[must_use]
    pub fn state(&self) -> u128 {
        self.word & STATE_MASK
    }
}

fn word(id: Id, kind: Kind, state: u128) -> u128 {
    u128::from(id.tag) << TAG_SHIFT | u128::from(kind as u8) << KIND_SHIFT | state & STATE_MASK
}

fn is_of(found: u128, id: Id, kind: Kind) -> bool {
    found >> KIND_SHIFT == word(id, kind, 0) >> KIND_SHIFT
}

fn kind_of(word: u128) -> u8 {
    u8::try_from(word >> KIND_SHIFT & 3).expect("two bits")
}

/// Whether something would be lost with it.
fn is_live(word: u128, now: Times) -> bool {
    let state = word & STATE_MASK;
    match kind_of(word) {
        0 => false,
        _ if word & JOINING != 0 => true,
        1 => !bucket::is_full(state, now.boot),
        2 => !quota::is_over(state, now.wall),
        _ => state != 0,
    }
}

/// Numbers that no other joiner uses.
struct Nonce {
    seed: u128,
    #[cfg(not(all(test, loom)))]
    count: core::sync::atomic::AtomicU64,
    #[cfg(all(test, loom))]
    count: loom::sync::atomic::AtomicU64,
}

// === impl Nonce ===

impl Nonce {
    fn new(seed: u128) -> Nonce {
        Nonce { seed, count: Default::default() }
    }

    /// Half of it tells tables apart, half the joiners of one.
    fn next(&self) -> u128 {
        let count = self.count.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
        (self.seed << 40 | u128::from(count) & ((1 << 40) - 1)) & STATE_MASK
    }
}

/// loom knows no 128-bit atomic: a lock around each word has the same interleavings.
#[cfg(all(test, loom))]
mod explored {
    use core::sync::atomic::Ordering;

    /// A word that changes whole.
    #[derive(Default)]
    pub struct Slot(loom::sync::Mutex<u128>);

    // === impl Slot ===

    impl Slot {
        pub fn load(&self, _: Ordering) -> u128 {
            *self.0.lock().expect("no thread panics with it")
        }

        pub fn store(&self, word: u128, _: Ordering) {
            *self.0.lock().expect("no thread panics with it") = word;
        }

        pub fn compare_exchange(
            &self,
            from: u128,
            to: u128,
            _: Ordering,
            _: Ordering,
        ) -> Result<u128, u128> {
            let mut word = self.0.lock().expect("no thread panics with it");
            if *word == from {
                *word = to;
                return Ok(from);
            }
            Err(*word)
        }
    }
}

#[cfg(all(test, loom))]
#[path = "table/interleavings.rs"]
mod interleavings;

#[cfg(all(test, not(loom)))]
#[path = "table/tests.rs"]
mod tests;
