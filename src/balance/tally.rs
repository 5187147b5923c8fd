//! How many requests of the last span of time failed, counted by all workers.
//!
//! A word for each eighth of the span: which eighth it is, how many requests ended in it, how many
//! of those failed. The span is an argument, as all rules are. Invariants: no request is counted
//! twice, and none is lost to another worker's; whoever counts sees at least his own and what was
//! counted before in the same eighth. The sums are of no single moment: a failure that another
//! eighth's does not see is seen by the next one.

#[cfg(all(test, loom))]
use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(all(test, loom)))]
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::bounds::BALANCE_WINDOW_SLOTS;
use crate::clock::{Tick, nanos};

/// The counters; all zero: nothing was counted.
#[derive(Debug, Default)]
pub struct Tally {
    slots: [AtomicU64; BALANCE_WINDOW_SLOTS],
}

/// A word, taken apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Slot {
    /// Which eighth, counted from tick zero; 28 bits: with a span of a second it comes again after
    /// a year.
    number: u64,
    /// 18 bits each; counting stops where the first is full, so that their ratio stays.
    all: u64,
    failed: u64,
}

const NUMBER_MAX: u64 = (1 << 28) - 1;
const COUNT_MAX: u64 = (1 << 18) - 1;

// === impl Tally ===

impl Tally {
    /// Counts a request that has ended.
    pub fn count(&self, span: Duration, now: Tick, failed: bool) {
        let number = number(span, now);
        let place = &self.slots[place(number)];
        let mut seen = place.load(Ordering::Relaxed);
        loop {
            let mut slot = Slot::of(seen);
            // Of a worker whose now is a whole span earlier it is counted as now.
            if slot.number != number && !is_later(slot.number, number) {
                slot = Slot { number, ..Slot::default() };
            }
            if slot.all < COUNT_MAX {
                slot.all += 1;
                slot.failed += u64::from(failed);
            }
            let (old, new) = (seen, slot.bits());
            match place.compare_exchange_weak(old, new, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }

    /// How many requests ended within the span, and how many of them failed.
    #[must_use]
    pub fn sums(&self, span: Duration, now: Tick) -> (u64, u64) {
        let number = number(span, now);
        let slots = self.slots.iter().map(|slot| Slot::of(slot.load(Ordering::Relaxed)));
        // Another worker's now may be a little later.
        let recent = slots.filter(|slot| {
            let age = number.wrapping_sub(slot.number) & NUMBER_MAX;
            age < BALANCE_WINDOW_SLOTS as u64 || is_later(slot.number, number)
        });
        recent.fold((0, 0), |(all, failed), slot| (all + slot.all, failed + slot.failed))
    }

    /// Forgets all of them.
    pub fn clear(&self) {
        for slot in &self.slots {
            slot.store(0, Ordering::Relaxed);
        }
    }
}

// === impl Slot ===

impl Slot {
    fn of(bits: u64) -> Slot {
        Slot { number: bits >> 36, all: bits >> 18 & COUNT_MAX, failed: bits & COUNT_MAX }
    }

    fn bits(self) -> u64 {
        self.number << 36 | self.all << 18 | self.failed
    }
}

/// Whether an eighth is after another, and not by much.
fn is_later(one: u64, other: u64) -> bool {
    let ahead = one.wrapping_sub(other) & NUMBER_MAX;
    ahead > 0 && ahead <= BALANCE_WINDOW_SLOTS as u64
}

fn number(span: Duration, now: Tick) -> u64 {
    let each = (nanos(span) / BALANCE_WINDOW_SLOTS as u64).max(1);
    // Never zero, which an empty word has.
    (now.0 / each + 1) & NUMBER_MAX
}

fn place(number: u64) -> usize {
    usize::try_from(number % BALANCE_WINDOW_SLOTS as u64).expect("a remainder of eight")
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_nanos(80);

    #[test]
    fn it_forgets_after_the_span_and_not_before_seven_eighths_of_it() {
        let tally = Tally::default();
        assert_eq!(tally.sums(SPAN, Tick(0)), (0, 0));
        for (at, failed, sums) in [
            (5, false, (1, 0)),
            (9, true, (2, 1)),
            (10, false, (3, 1)),
            (79, false, (4, 1)),
            (80, true, (3, 1)),
            (3, true, (4, 2)), // late: counted as now
            (89, true, (5, 3)),
            (90, true, (5, 4)),
            (1000, false, (1, 0)),
        ] {
            tally.count(SPAN, Tick(at), failed);
            assert_eq!(tally.sums(SPAN, Tick(at)), sums, "at {at}");
        }
        assert_eq!(tally.sums(SPAN, Tick(1079)), (1, 0));
        assert_eq!(tally.sums(SPAN, Tick(1080)), (0, 0));
        tally.count(SPAN, Tick(1080), true);
        tally.clear();
        assert_eq!(tally.sums(SPAN, Tick(1080)), (0, 0));
    }

    #[test]
    fn a_full_eighth_keeps_its_share() {
        let tally = Tally::default();
        (0..600_000).for_each(|n| tally.count(SPAN, Tick(1), n % 4 == 0));
        let (all, failed) = tally.sums(SPAN, Tick(1));
        assert_eq!((all, failed), (COUNT_MAX, COUNT_MAX.div_ceil(4)));
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    const SPAN: Duration = Duration::from_nanos(80);

    /// Two who count at once, in a word that an eighth long past has left behind: both are counted,
    /// and who comes last sees both, so that one of them sees what opens a breaker.
    #[test]
    fn nobody_is_lost_and_the_last_one_sees_all() {
        loom::model(|| {
            let tally = Arc::new(Tally::default());
            tally.count(SPAN, Tick(5), true);
            let other = tally.clone();
            let count = |tally: &Tally, at: u64| {
                tally.count(SPAN, Tick(at), true);
                tally.sums(SPAN, Tick(at))
            };
            let thread = thread::spawn(move || count(&other, 165));
            let mine = count(&tally, 165);
            let theirs = thread.join().expect("no panic");
            assert_eq!(tally.sums(SPAN, Tick(165)), (2, 2));
            assert_eq!(mine.max(theirs), (2, 2), "{mine:?} {theirs:?}");
        });
    }

    /// One whose clock is a span behind counts into what the other has begun.
    #[test]
    fn a_late_one_does_not_bring_the_past_back() {
        loom::model(|| {
            let tally = Arc::new(Tally::default());
            let other = tally.clone();
            let late = thread::spawn(move || other.count(SPAN, Tick(5), true));
            tally.count(SPAN, Tick(85), true);
            late.join().expect("no panic");
            let sums = tally.sums(SPAN, Tick(85));
            assert!(sums == (2, 2) || sums == (1, 1), "{sums:?}");
        });
    }
}
