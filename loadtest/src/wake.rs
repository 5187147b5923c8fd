//! Lets one task of a thread end another's receive, without losing a byte: the receive is
//! cancelled and still awaited to its end. Owns the flag and the canceller; knows no protocol.
//!
//! Invariant: a wake is never lost. One that comes while nobody receives is found by the next
//! receive, which then does not begin.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

use monoio::io::{CancelHandle, Canceller};

pub struct Wake {
    pending: Cell<bool>,
    /// A receive may be under way.
    armed: Cell<bool>,
    canceller: RefCell<Canceller>,
    waker: RefCell<Option<Waker>>,
}

// === impl Wake ===

impl Wake {
    pub fn new() -> Wake {
        Wake {
            pending: Cell::new(false),
            armed: Cell::new(false),
            canceller: RefCell::new(Canceller::new()),
            waker: RefCell::default(),
        }
    }

    pub fn wake(&self) {
        if self.pending.replace(true) {
            return;
        }
        if self.armed.take() {
            // A canceller is spent by its use.
            let spent = self.canceller.replace(Canceller::new());
            let _ = spent.cancel();
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Whether somebody woke us since the last call.
    pub fn take(&self) -> bool {
        self.pending.take()
    }

    /// For a receive that is to end when somebody wakes us; `None` if somebody has.
    pub fn handle(&self) -> Option<CancelHandle> {
        if self.pending.get() {
            return None;
        }
        self.armed.set(true);
        Some(self.canceller.borrow().handle())
    }

    /// Until somebody wakes us, when there is nothing to receive from.
    pub async fn wait(&self) {
        poll_fn(|cx| {
            if self.pending.get() {
                return Poll::Ready(());
            }
            self.waker.replace(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}
