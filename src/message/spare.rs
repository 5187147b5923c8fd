//! Parsed heads used again: a worker keeps those of ended requests, allocations and all.
//!
//! A head is some hundred bytes and lives in a request's future; boxed and shelved it costs that
//! future a pointer, and a request no allocation.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::thread::LocalKey;

use crate::http::{RequestHead, ResponseHead};

/// Heads a worker keeps: what a busy turn uses; more would be memory that a burst leaves behind.
const SHELF_MAX: usize = 256;

/// Boxed: a head moves between shelf and request as a pointer.
type Shelf<T> = RefCell<Vec<Box<T>>>;

/// What can be shelved.
pub trait Reuse: Default + 'static {
    /// This worker's shelf.
    fn shelf() -> &'static LocalKey<Shelf<Self>>;
    /// As new, but the allocations stay.
    fn renew(&mut self);
}

/// A head off the shelf; goes back when dropped.
pub struct Spare<T: Reuse>(Option<Box<T>>);

thread_local! {
    static REQUESTS: Shelf<RequestHead> = const { RefCell::new(Vec::new()) };
    static RESPONSES: Shelf<ResponseHead> = const { RefCell::new(Vec::new()) };
}

// === impl Reuse ===

impl Reuse for RequestHead {
    fn shelf() -> &'static LocalKey<Shelf<Self>> {
        &REQUESTS
    }

    fn renew(&mut self) {
        self.clear();
    }
}

impl Reuse for ResponseHead {
    fn shelf() -> &'static LocalKey<Shelf<Self>> {
        &RESPONSES
    }

    fn renew(&mut self) {
        self.clear();
    }
}

// === impl Spare ===

impl<T: Reuse> Spare<T> {
    /// One as new.
    #[must_use]
    pub fn take() -> Spare<T> {
        let shelved = T::shelf().with(|shelf| shelf.borrow_mut().pop());
        Spare(Some(shelved.unwrap_or_default()))
    }
}

impl<T: Reuse> Deref for Spare<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("there until dropped")
    }
}

impl<T: Reuse> DerefMut for Spare<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("there until dropped")
    }
}

impl<T: Reuse> Drop for Spare<T> {
    fn drop(&mut self) {
        let Some(mut head) = self.0.take() else { return };
        head.renew();
        let _ = T::shelf().try_with(|shelf| {
            let mut shelf = shelf.borrow_mut();
            if shelf.len() < SHELF_MAX {
                shelf.push(head);
            }
        });
    }
}
