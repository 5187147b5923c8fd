//! The numbers that cells are made of: written by one thread, read by any.
//!
//! A write is a relaxed load and a relaxed store: one writer loses nothing that way, and pays no
//! bus lock. Readers see each number whole, though not all numbers of one instant.
//! Invariant: whoever writes is the owner; two writers would lose counts, never memory safety.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that only grows. Its owner adds, anybody reads.
pub struct Count(AtomicU64);

/// A number that goes up and down. Its owner writes, anybody reads.
pub struct Gauge(AtomicU64);

/// One unit of a [`Gauge`], given back when dropped: also when a future is dropped or panics.
#[must_use = "dropping it at once counts nothing"]
pub struct Held<'a>(&'a Gauge);

/// Counts told apart by a small enum.
pub(super) struct Array<const N: usize>([Count; N]);

// === impl Count ===

impl Count {
    /// Zero.
    #[must_use]
    pub const fn new() -> Count {
        Count(AtomicU64::new(0))
    }

    /// Adds; only the owner calls this.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// What it has come to.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Default for Count {
    fn default() -> Self {
        Count::new()
    }
}

// === impl Gauge ===

impl Gauge {
    /// Zero.
    #[must_use]
    pub const fn new() -> Gauge {
        Gauge(AtomicU64::new(0))
    }

    /// One more until the guard is dropped; only the owner calls this.
    #[inline]
    pub fn hold(&self) -> Held<'_> {
        self.0.store(self.0.load(Relaxed).wrapping_add(1), Relaxed);
        Held(self)
    }

    /// Says what it is; only the owner calls this.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// What it is.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Default for Gauge {
    fn default() -> Self {
        Gauge::new()
    }
}

// === impl Held ===

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let gauge = &self.0.0;
        gauge.store(gauge.load(Relaxed).wrapping_sub(1), Relaxed);
    }
}

// === impl Array ===

impl<const N: usize> Array<N> {
    #[inline]
    pub(super) fn add(&self, slot: usize) {
        self.0[slot].add(1);
    }

    /// What one of them has come to.
    pub(super) fn get(&self, slot: usize) -> u64 {
        self.0[slot].get()
    }
}

impl<const N: usize> Default for Array<N> {
    fn default() -> Self {
        Array([const { Count::new() }; N])
    }
}
