//! A worker's end of the usage ledger: entries become bytes in its ring.
//!
//! Knows neither the database nor who reads the ring. What finds the ring full is kept here, in
//! order, until there is room: its reader is late on a busy host. A request is only begun while no
//! more than half of what may be kept is; the other half is for those that run already.
//! Invariant: an entry is lost only if more than `LEDGER_KEPT_MAX` are kept; then it is counted.

use std::collections::VecDeque;

use crate::bounds::LEDGER_KEPT_MAX;
use crate::llm::{ENTRY_BYTES_MAX, Entry};
use crate::observe::cells::WorkerCells;
use crate::observe::ring::{Pushed, Pusher};

/// Where a worker's entries go.
pub struct WorkerLedger {
    pusher: Pusher,
    wake: Box<dyn Fn() + Send>,
    /// One entry's bytes; kept, so that none is allocated.
    bytes: Vec<u8>,
    /// What the ring had no room for, the oldest first.
    kept: VecDeque<Box<[u8]>>,
}

// === impl WorkerLedger ===

impl WorkerLedger {
    /// A ledger that pushes into `pusher`; `wake` is called when the ring becomes half full.
    #[must_use]
    pub fn new(pusher: Pusher, wake: Box<dyn Fn() + Send>) -> WorkerLedger {
        let bytes = Vec::with_capacity(ENTRY_BYTES_MAX);
        WorkerLedger { pusher, wake, bytes, kept: VecDeque::new() }
    }

    /// Whether a request may begin whose entry is to be written.
    pub fn has_room(&mut self) -> bool {
        self.hand_on() || self.kept.len() < LEDGER_KEPT_MAX / 2
    }

    /// Takes an entry.
    pub fn note(&mut self, entry: &Entry<'_>, cells: &WorkerCells) {
        self.bytes.clear();
        entry.encode(&mut self.bytes);
        let pushed = if self.hand_on() { self.pusher.push(&self.bytes) } else { Pushed::Dropped };
        let reached = pushed != Pushed::Dropped || self.kept.len() < LEDGER_KEPT_MAX;
        cells.llm.entry_pushed(reached);
        match pushed {
            Pushed::Yes => {}
            Pushed::HalfFull => (self.wake)(),
            Pushed::Dropped if reached => self.kept.push_back(self.bytes.as_slice().into()),
            // The thread that cannot write says so; this is what it comes to.
            Pushed::Dropped => tracing::error!(
                request_id = %String::from_utf8_lossy(entry.request_id),
                key = entry.key,
                cost_pico_usd = entry.cost_pico,
                "the usage ledger has no room: this entry is lost"
            ),
        }
    }

    /// Pushes what was kept, as far as there is room; whether all of it went.
    pub fn hand_on(&mut self) -> bool {
        while let Some(oldest) = self.kept.front() {
            match self.pusher.push(oldest) {
                Pushed::Dropped => {
                    (self.wake)();
                    return false;
                }
                Pushed::HalfFull => (self.wake)(),
                Pushed::Yes => {}
            }
            self.kept.pop_front();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;
    use crate::clock::Wall;
    use crate::llm::{Line, Usage};
    use crate::observe::ring::{Taker, ring};

    fn entry(time: u64) -> Entry<'static> {
        Entry {
            time: Wall(time),
            request_id: b"r",
            key: "acme",
            team: "",
            api: "llm",
            operation: "chat",
            model: "m",
            provider: "p",
            served: "m",
            stream: false,
            usage: Usage::default(),
            estimated: false,
            cost_pico: 0,
            status: 200,
            outcome: "ok",
            attempts: 1,
            total_us: 1,
            first_token_us: None,
        }
    }

    fn times(taker: &mut Taker) -> Vec<u64> {
        let mut bytes = Vec::new();
        taker.take(&mut bytes, usize::MAX);
        let (mut rest, mut times) = (&bytes[..], Vec::new());
        while let Ok((line, behind)) = Line::decode(rest) {
            times.push(line.time.0);
            rest = behind;
        }
        assert!(rest.is_empty());
        times
    }

    #[test]
    fn what_a_full_ring_has_no_room_for_comes_later_and_in_order() {
        let (pusher, mut taker) = ring(512);
        let woken = Arc::new(AtomicUsize::new(0));
        let wakes = woken.clone();
        let mut ledger = WorkerLedger::new(
            pusher,
            Box::new(move || {
                wakes.fetch_add(1, Relaxed);
            }),
        );
        let cells = WorkerCells::default();
        assert!(ledger.has_room());
        (0..40).for_each(|time| ledger.note(&entry(time), &cells));
        assert!(ledger.has_room() && woken.load(Relaxed) > 0);
        assert!(!ledger.kept.is_empty());
        let mut all = Vec::new();
        while all.len() < 40 {
            let some = times(&mut taker);
            assert!(!some.is_empty(), "each time the ring is emptied more goes in");
            all.extend(some);
            ledger.hand_on();
        }
        assert_eq!(all, (0..40).collect::<Vec<_>>());
        assert!(ledger.has_room());
    }

    #[test]
    fn beyond_the_bound_an_entry_is_lost_and_counted() {
        let (pusher, _taker) = ring(64);
        let mut ledger = WorkerLedger::new(pusher, Box::new(|| {}));
        let registry = crate::observe::registry::Registry::new(1);
        let workers = registry.workers();
        let cells = workers.of(crate::observe::cells::WorkerId(0));
        let half = LEDGER_KEPT_MAX as u64 / 2;
        (0..half - 1).for_each(|time| ledger.note(&entry(time), cells));
        assert!(ledger.has_room());
        (0..3).for_each(|time| ledger.note(&entry(time), cells));
        assert!(!ledger.has_room() && cells.llm.entries_lost() == 0);
        (0..half + 2).for_each(|time| ledger.note(&entry(time), cells));
        assert!(ledger.kept.len() <= LEDGER_KEPT_MAX);
        assert!(cells.llm.entries_lost() > 0);
    }
}
