//! Deadlines of a worker: one lazy timing wheel, one [`Timer`] a connection.
//!
//! Arming a timer is a store: the wheel looks at an entry when its slot comes round and moves it on
//! if the deadline has moved meanwhile. What to do when it passes is the waiter's business
//! (`patience`).
//!
//! Invariant: a deadline is noticed at most [`SLOT`] after it has passed, never before.

use std::cell::{Cell, RefCell};
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::clock::{self, Tick};

/// How precisely a deadline is kept: coarse enough that a busy worker wakes 250 times a second at
/// most.
pub const SLOT: Duration = Duration::from_millis(4);
const SLOT_NS: u64 = 4_000_000;
/// Slots of the wheel: a turn is 8.2 s. An entry further away is looked at once a turn.
const SLOTS: usize = 2048;

/// A connection's place in its worker's wheel.
pub struct Timer {
    index: usize,
}

struct Entry {
    deadline: Tick,
    /// The slot number (time / SLOT) this entry is queued in; `u64::MAX` when it is in none.
    queued: u64,
    fired: bool,
    /// Whether the owner waits for its next request and may be woken to be told to leave.
    idle: bool,
    waker: Option<Waker>,
}

/// The wheel: pure, time is an argument.
pub struct Wheel {
    slots: Vec<Vec<usize>>,
    /// Slot number up to which all entries have been looked at.
    done: u64,
    entries: Vec<Entry>,
    free: Vec<usize>,
    /// Entries queued in any slot.
    queued: usize,
    /// The slot the ticker sleeps until, and how to wake it earlier.
    sleeping_until: u64,
    ticker: Option<Waker>,
}

thread_local! {
    static WHEEL: RefCell<Wheel> = RefCell::new(Wheel::new(clock::now()));
    static LAG: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

const NOWHERE: u64 = u64::MAX;
/// The runtime's timers count milliseconds, rounded up.
const GRAIN: Duration = Duration::from_millis(1);
/// Entries a slot keeps room for when it is empty: 2048 slots of them are 1 MiB.
const SLOT_KEEPS: usize = 64;

// === impl Wheel ===

impl Wheel {
    /// An empty wheel that stands at `now`.
    #[must_use]
    pub fn new(now: Tick) -> Wheel {
        Wheel {
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            done: now.0 / SLOT_NS,
            entries: Vec::new(),
            free: Vec::new(),
            queued: 0,
            sleeping_until: NOWHERE,
            ticker: None,
        }
    }

    fn add(&mut self) -> usize {
        let fresh = Entry {
            deadline: Tick::NEVER,
            queued: NOWHERE,
            fired: false,
            idle: false,
            waker: None,
        };
        if let Some(index) = self.free.pop() {
            // The old entry's slot may still hold this index: `queued` tells it from ours.
            let queued = self.entries[index].queued;
            self.entries[index] = Entry { queued, ..fresh };
            return index;
        }
        self.entries.push(fresh);
        self.entries.len() - 1
    }

    fn remove(&mut self, index: usize) {
        let entry = &mut self.entries[index];
        entry.deadline = Tick::NEVER;
        entry.waker = None;
        entry.idle = false;
        self.free.push(index);
    }

    fn arm(&mut self, index: usize, at: Tick) {
        let entry = &mut self.entries[index];
        entry.deadline = at;
        entry.fired = false;
        if at != Tick::NEVER {
            self.queue(index);
        }
    }

    /// Puts the entry where its deadline is looked at in time, unless it already is.
    fn queue(&mut self, index: usize) {
        // Rounded up: the slot that has fully passed when the deadline has.
        let due = self.entries[index].deadline.0.div_ceil(SLOT_NS);
        let slot = due.clamp(self.done + 1, self.done + SLOTS as u64 - 1);
        let entry = &mut self.entries[index];
        if entry.queued != NOWHERE && entry.queued <= slot && entry.queued > self.done {
            return;
        }
        if entry.queued == NOWHERE {
            self.queued += 1;
        }
        entry.queued = slot;
        self.slots[slot_index(slot)].push(index);
        if slot < self.sleeping_until {
            self.sleeping_until = slot;
            if let Some(ticker) = &self.ticker {
                ticker.wake_by_ref();
            }
        }
    }

    /// Looks at every slot that `now` has passed and fires what is due.
    pub fn advance(&mut self, now: Tick) {
        let to = now.0 / SLOT_NS;
        if to.saturating_sub(self.done) >= SLOTS as u64 {
            // The host slept, or the worker was stopped: one turn sees every slot there is.
            self.done = to - SLOTS as u64;
        }
        while self.done < to {
            self.done += 1;
            let mut due = std::mem::take(&mut self.slots[slot_index(self.done)]);
            for index in due.drain(..) {
                self.look_at(index, now);
            }
            // Keep the slot's allocation, for the wheel turns as long as the worker lives; but not
            // that of a crowd, which moves from slot to slot and would leave its room behind in
            // each.
            let slot = &mut self.slots[slot_index(self.done)];
            if slot.is_empty() && due.capacity() <= SLOT_KEEPS {
                *slot = due;
            }
        }
    }

    fn look_at(&mut self, index: usize, now: Tick) {
        if self.entries[index].queued > self.done {
            return; // a stale mark: the entry has been queued elsewhere since
        }
        if self.entries[index].queued == NOWHERE {
            return;
        }
        self.entries[index].queued = NOWHERE;
        self.queued -= 1;
        let entry = &mut self.entries[index];
        if entry.deadline == Tick::NEVER {
            return;
        }
        if entry.deadline <= now {
            entry.deadline = Tick::NEVER;
            entry.fired = true;
            if let Some(waker) = entry.waker.take() {
                waker.wake();
            }
            return;
        }
        self.queue(index);
    }

    /// When the next slot that holds anything has passed.
    fn next_due(&self) -> Option<Tick> {
        if self.queued == 0 {
            return None;
        }
        (self.done + 1..=self.done + SLOTS as u64)
            .find(|slot| !self.slots[slot_index(*slot)].is_empty())
            .map(|slot| Tick(slot * SLOT_NS))
    }

    fn fire_armed(&mut self) {
        for entry in self.entries.iter_mut().filter(|entry| entry.deadline != Tick::NEVER) {
            entry.deadline = Tick::NEVER;
            entry.fired = true;
            if let Some(waker) = entry.waker.take() {
                waker.wake();
            }
        }
    }

    fn fire_idle(&mut self) {
        for entry in self.entries.iter_mut().filter(|entry| entry.idle) {
            entry.fired = true;
            if let Some(waker) = entry.waker.take() {
                waker.wake();
            }
        }
    }
}

fn slot_index(slot: u64) -> usize {
    usize::try_from(slot % SLOTS as u64).expect("a slot's index is below SLOTS")
}

// === impl Timer ===

impl Default for Timer {
    fn default() -> Self {
        Timer::new()
    }
}

impl Timer {
    /// A timer in this worker's wheel; never fires until armed.
    #[must_use]
    pub fn new() -> Timer {
        Timer { index: WHEEL.with(|w| w.borrow_mut().add()) }
    }

    /// Sets the deadline; `Tick::NEVER` disarms.
    pub fn arm(&self, at: Tick) {
        WHEEL.with(|w| w.borrow_mut().arm(self.index, at));
    }

    /// Marks whether the owner is idle: [`wake_idle`] then wakes it as if its deadline had passed.
    pub fn set_idle(&self, idle: bool) {
        WHEEL.with(|w| w.borrow_mut().entries[self.index].idle = idle);
    }

    /// Ready once the deadline has passed.
    pub fn poll_fired(&self, cx: &mut Context<'_>) -> Poll<()> {
        WHEEL.with(|w| {
            let entry = &mut w.borrow_mut().entries[self.index];
            if entry.fired {
                entry.fired = false;
                return Poll::Ready(());
            }
            match &entry.waker {
                Some(waker) if waker.will_wake(cx.waker()) => {}
                _ => entry.waker = Some(cx.waker().clone()),
            }
            Poll::Pending
        })
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // At thread exit the wheel may be gone already, and nobody waits any more.
        let _ = WHEEL.try_with(|w| w.borrow_mut().remove(self.index));
    }
}

/// Sleeps until `at`.
pub async fn sleep_until(at: Tick) {
    let timer = Timer::new();
    timer.arm(at);
    std::future::poll_fn(|cx| timer.poll_fired(cx)).await;
}

/// Wakes every owner that marked itself idle, as if its deadline had passed: they look whether to
/// leave.
pub fn wake_idle() {
    WHEEL.with(|w| w.borrow_mut().fire_idle());
}

/// Fires every deadline there is, as if its time had come: whoever waits gives up.
pub fn pass_all() {
    WHEEL.with(|w| w.borrow_mut().fire_armed());
}

/// How late this worker has come of late to what was due: about the length of its turns. Waits that
/// take a turn or two say nothing of the peer that is waited for.
#[must_use]
pub fn lag() -> Duration {
    LAG.with(Cell::get)
}

/// More counts at once, less by and by; a worker that was stopped is no busy one.
fn lagged(before: Duration, late: Duration) -> Duration {
    const LAG_MAX: Duration = Duration::from_millis(50);
    late.max(before - before / 8).min(LAG_MAX)
}

/// Turns this worker's wheel for ever; the worker spawns it once, first.
pub async fn run_wheel() {
    let mut sleep: Pin<Box<monoio::time::Sleep>> = Box::pin(monoio::time::sleep(Duration::ZERO));
    std::future::poll_fn(move |cx| {
        loop {
            let now = clock::now();
            let next = WHEEL.with(|w| {
                let mut wheel = w.borrow_mut();
                let due = wheel.sleeping_until.saturating_mul(SLOT_NS);
                if due <= now.0 {
                    let late = now.since(Tick(due)).saturating_sub(GRAIN);
                    LAG.with(|lag| lag.set(lagged(lag.get(), late)));
                }
                wheel.advance(now);
                let next = wheel.next_due();
                wheel.sleeping_until = next.map_or(NOWHERE, |at| at.0 / SLOT_NS);
                match &wheel.ticker {
                    Some(waker) if waker.will_wake(cx.waker()) => {}
                    _ => wheel.ticker = Some(cx.waker().clone()),
                }
                next
            });
            let Some(at) = next else {
                return Poll::<()>::Pending;
            };
            sleep.as_mut().reset(monoio::time::Instant::now() + at.since(now));
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn fired(wheel: &mut Wheel, index: usize) -> bool {
        std::mem::take(&mut wheel.entries[index].fired)
    }

    #[test]
    fn fires_after_and_within_one_slot_of_the_deadline_near_and_far() {
        for after_ms in [0, 1, 3, 4, 5, 100, 8191, 8192, 8193, 60_000, 75_001] {
            let start = Tick(123_456_789_123);
            let mut wheel = Wheel::new(start);
            let index = wheel.add();
            let deadline = Tick(start.0 + after_ms * MS);
            wheel.arm(index, deadline);
            let mut now = start;
            loop {
                now = wheel.next_due().map_or(Tick(now.0 + MS), |due| Tick(due.0.max(now.0 + 1)));
                wheel.advance(now);
                if fired(&mut wheel, index) {
                    break;
                }
                assert!(now < deadline.after(SLOT), "{after_ms} ms: late");
            }
            assert!(now >= deadline, "{after_ms} ms: early");
            assert!(
                now <= deadline.after(SLOT),
                "{after_ms} ms: late by {:?}",
                now.since(deadline)
            );
            assert_eq!(wheel.queued, 0);
        }
    }

    #[test]
    fn a_deadline_that_moves_on_does_not_fire_and_one_that_moves_near_does() {
        let mut wheel = Wheel::new(Tick(0));
        let index = wheel.add();
        wheel.arm(index, Tick(100 * MS));
        wheel.advance(Tick(50 * MS));
        wheel.arm(index, Tick(400 * MS));
        wheel.advance(Tick(399 * MS));
        assert!(!fired(&mut wheel, index));
        wheel.arm(index, Tick(420 * MS));
        wheel.arm(index, Tick(404 * MS));
        wheel.advance(Tick(408 * MS));
        assert!(fired(&mut wheel, index));
        wheel.advance(Tick(900 * MS));
        assert!(!fired(&mut wheel, index), "fires once");
    }

    #[test]
    fn a_disarmed_or_reused_entry_never_fires_for_its_past() {
        let mut wheel = Wheel::new(Tick(0));
        let a = wheel.add();
        wheel.arm(a, Tick(20 * MS));
        wheel.remove(a);
        let b = wheel.add();
        assert_eq!(a, b, "the place is used again");
        wheel.arm(b, Tick(100 * MS));
        wheel.advance(Tick(60 * MS));
        assert!(!fired(&mut wheel, b));
        wheel.advance(Tick(104 * MS));
        assert!(fired(&mut wheel, b));
    }

    #[test]
    fn a_long_sleep_of_the_host_fires_everything_due() {
        let mut wheel = Wheel::new(Tick(0));
        let all: Vec<usize> = (0..100).map(|_| wheel.add()).collect();
        for (i, index) in all.iter().enumerate() {
            wheel.arm(*index, Tick(i as u64 * 1000 * MS));
        }
        wheel.advance(Tick(3_600_000 * MS));
        assert!(all.iter().all(|index| wheel.entries[*index].fired));
        assert!(wheel.next_due().is_none());
    }

    #[test]
    fn a_lag_counts_at_once_and_is_forgotten_by_and_by() {
        let ms = Duration::from_millis;
        let mut lag = lagged(ms(1), ms(5));
        assert_eq!(lag, ms(5));
        for _ in 0..40 {
            lag = lagged(lag, Duration::ZERO);
        }
        assert!(lag < ms(1));
        assert!(lagged(lag, ms(3_600_000)) < ms(100), "the host slept");
    }

    #[test]
    fn idle_owners_are_woken_others_not() {
        let mut wheel = Wheel::new(Tick(0));
        let (a, b) = (wheel.add(), wheel.add());
        wheel.entries[a].idle = true;
        wheel.fire_idle();
        assert!(fired(&mut wheel, a) && !fired(&mut wheel, b));
    }
}
