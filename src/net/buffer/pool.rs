//! A worker's blocks of memory that no buffer has at the moment, and the count of those that are
//! out.

use std::cell::{Cell, RefCell};

use super::{ALL, Block, CLASSES, Class};
use crate::allocator;
use crate::bounds::{BUFFER_BYTES_KEPT, BUFFER_BYTES_MAX};

/// Worth the millisecond it takes to have the allocator give memory back to the system: what a
/// crowd of connections leaves behind.
const COLLECT_BYTES_MIN: usize = 512 * 1024;

struct Pool {
    #[expect(clippy::vec_box, reason = "it goes from hand to hand as one word")]
    free: [RefCell<Vec<Box<Block>>>; CLASSES],
    /// Bytes in buffers that are out, all classes.
    out_bytes: Cell<usize>,
    out_count: Cell<u64>,
    /// Bytes kept in `free`.
    kept_bytes: Cell<usize>,
    limit_bytes: Cell<usize>,
    /// The fewest free buffers of each class since the last [`trim`].
    idle_low: [Cell<usize>; CLASSES],
}

thread_local! {
    static POOL: Pool = const { Pool {
        free: [const { RefCell::new(Vec::new()) }; CLASSES],
        out_bytes: Cell::new(0),
        out_count: Cell::new(0),
        kept_bytes: Cell::new(0),
        limit_bytes: Cell::new(BUFFER_BYTES_MAX),
        idle_low: [const { Cell::new(0) }; CLASSES],
    } };
}

// === impl Pool ===

impl Pool {
    fn take(&self, class: Class) -> Box<Block> {
        let bytes = class.bytes();
        self.out_bytes.set(self.out_bytes.get() + bytes);
        self.out_count.set(self.out_count.get() + 1);
        // Last in, first out: the block that was touched last is the one still in the cache.
        let mut list = self.free[class as usize].borrow_mut();
        let kept = list.pop();
        let low = &self.idle_low[class as usize];
        low.set(low.get().min(list.len()));
        if let Some(block) = kept {
            self.kept_bytes.set(self.kept_bytes.get() - bytes);
            return block;
        }
        let mem = vec![0; bytes].into_boxed_slice();
        Box::new(Block { mem, start: 0, end: 0, class })
    }

    fn give_back(&self, block: Box<Block>) {
        let (class, bytes) = (block.class, block.class.bytes());
        self.out_bytes.set(self.out_bytes.get() - bytes);
        self.out_count.set(self.out_count.get() - 1);
        let kept = self.kept_bytes.get();
        if kept + bytes <= BUFFER_BYTES_KEPT {
            self.kept_bytes.set(kept + bytes);
            self.free[class as usize].borrow_mut().push(block);
        }
    }

    /// Frees half of what was not needed since the last call; tells how many bytes that was.
    fn trim(&self) -> usize {
        let before = self.kept_bytes.get();
        for (class, (list, low)) in ALL.into_iter().zip(self.free.iter().zip(&self.idle_low)) {
            let mut list = list.borrow_mut();
            let surplus = low.get().min(list.len()).div_ceil(2);
            // The oldest lie at the bottom.
            list.drain(..surplus);
            self.kept_bytes.set(self.kept_bytes.get() - surplus * class.bytes());
            low.set(list.len());
        }
        before - self.kept_bytes.get()
    }
}

/// A block of `class`, whatever the bound; what an earlier buffer left is still in it.
pub(super) fn take(class: Class) -> Box<Block> {
    POOL.with(|pool| pool.take(class))
}

pub(super) fn give_back(block: Box<Block>) {
    // At thread exit the pool may be gone already: the memory is then simply freed.
    let _ = POOL.try_with(|pool| pool.give_back(block));
}

/// Whether the worker's bound still grants a buffer of `class`.
pub(super) fn within_limit(class: Class) -> bool {
    POOL.with(|pool| pool.out_bytes.get() + class.bytes() <= pool.limit_bytes.get())
}

/// Sets this worker's bound on buffer memory.
pub fn set_limit(bytes: usize) {
    POOL.with(|pool| pool.limit_bytes.set(bytes));
}

/// Bytes of this worker's buffers that are in use now.
#[must_use]
pub fn bytes_in_use() -> usize {
    POOL.with(|pool| pool.out_bytes.get())
}

/// How many of this worker's buffers are in use now.
#[must_use]
pub fn count_in_use() -> u64 {
    POOL.with(|pool| pool.out_count.get())
}

/// Gives back to the allocator half of the free buffers that were not needed since the last call;
/// called about once a second.
pub fn trim() {
    if POOL.with(Pool::trim) >= COLLECT_BYTES_MIN {
        allocator::collect();
    }
}
