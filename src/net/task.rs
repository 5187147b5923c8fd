//! Spawning on this worker: a panic ends the task it happened in, is counted, and nothing else.

use std::cell::Cell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

/// Panics caught in any task of any worker since the process started.
static PANICS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static TASKS: Cell<usize> = const { Cell::new(0) };
}

/// A task's root: catches what unwinds out of it. The future is a field, not captured by an async
/// block, which would store it twice.
struct Root<F> {
    task: Pin<Box<F>>,
    _alive: Alive,
}

/// Counts a task for as long as it lives, however it ends.
struct Alive;

// === impl Root ===

impl<F: Future<Output = ()>> Future for Root<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let inner = self.task.as_mut();
        // The future is dropped right after a panic and never polled again, so what it left
        // half-done is seen by nobody but the destructors of its own fields.
        if let Ok(polled) = catch_unwind(AssertUnwindSafe(|| inner.poll(cx))) {
            return polled;
        }
        PANICS.fetch_add(1, Ordering::Relaxed);
        tracing::error!("a task panicked; its connection is closed, nothing else is touched");
        Poll::Ready(())
    }
}

// === impl Alive ===

impl Alive {
    fn new() -> Alive {
        TASKS.with(|tasks| tasks.set(tasks.get() + 1));
        Alive
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        let _ = TASKS.try_with(|tasks| tasks.set(tasks.get() - 1));
    }
}

/// Runs `task` on this worker until it ends.
pub fn spawn(task: impl Future<Output = ()> + 'static) {
    drop(monoio::spawn(Root { task: Box::pin(task), _alive: Alive::new() }));
}

/// Makes a future in the box where it will stay. `Box::pin` makes it on the stack and copies all of
/// it, room for states it has not reached included: several KiB a request for the largest.
#[inline(always)]
pub fn boxed<F: Future>(make: impl FnOnce() -> F) -> Pin<Box<F>> {
    let room = Box::new_uninit();
    Box::into_pin(Box::write(room, make()))
}

/// Tasks alive on this worker.
#[must_use]
pub fn alive() -> usize {
    TASKS.with(Cell::get)
}

/// Panics caught since the process started.
#[must_use]
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}
