//! Two counters over the last span of time, which forgets in steps.
//!
//! Invariant: what was counted less than seven eighths of the span ago is in the sums, what was
//! counted more than the whole span ago is not.

use std::time::Duration;

use crate::bounds::BALANCE_WINDOW_SLOTS;
use crate::clock::{Tick, nanos};

/// A sliding pair of counters.
#[derive(Clone, Debug)]
pub(super) struct Window {
    slot_ns: u64,
    /// The number of the newest slot, counted from tick zero.
    newest: u64,
    slots: [[u32; 2]; BALANCE_WINDOW_SLOTS],
}

// === impl Window ===

impl Window {
    /// An empty window over `span`.
    pub(super) fn new(span: Duration) -> Window {
        Window {
            slot_ns: (nanos(span) / BALANCE_WINDOW_SLOTS as u64).max(1),
            newest: 0,
            slots: [[0; 2]; BALANCE_WINDOW_SLOTS],
        }
    }

    /// Counts one on the first or the second counter.
    pub(super) fn count(&mut self, second: bool, now: Tick) {
        self.turn(now);
        let slot = &mut self.slots[place(self.newest)][usize::from(second)];
        *slot = slot.saturating_add(1);
    }

    /// Both sums.
    pub(super) fn sums(&mut self, now: Tick) -> [u64; 2] {
        self.turn(now);
        let sum = |i: usize| self.slots.iter().map(|s| u64::from(s[i])).sum();
        [sum(0), sum(1)]
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.slots = [[0; 2]; BALANCE_WINDOW_SLOTS];
    }

    /// Empties the slots that `now` has left behind. A tick from the past counts into the newest.
    fn turn(&mut self, now: Tick) {
        let slot = now.0 / self.slot_ns;
        let passed = slot.saturating_sub(self.newest).min(BALANCE_WINDOW_SLOTS as u64);
        for i in 0..passed {
            self.slots[place(slot - i)] = [0; 2];
        }
        self.newest = self.newest.max(slot);
    }
}

fn place(slot: u64) -> usize {
    usize::try_from(slot % BALANCE_WINDOW_SLOTS as u64).expect("a remainder of eight")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_forgets_after_the_span_and_not_before_seven_eighths_of_it() {
        let mut window = Window::new(Duration::from_nanos(80));
        for (at, second, sums) in [
            (5, false, [1, 0]),
            (9, true, [1, 1]),
            (10, false, [2, 1]),
            (79, false, [3, 1]),
            (80, true, [2, 1]),
            (3, true, [2, 2]), // late: counted as now
            (89, true, [2, 3]),
            (90, true, [1, 4]),
            (1000, false, [1, 0]),
        ] {
            window.count(second, Tick(at));
            assert_eq!(window.sums(Tick(at)), sums, "at {at}");
        }
        assert_eq!(window.sums(Tick(1079)), [1, 0]);
        assert_eq!(window.sums(Tick(1080)), [0, 0]);
        assert_eq!(window.sums(Tick(u64::MAX)), [0, 0]);
    }
}
