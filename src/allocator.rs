//! The process's allocator: mimalloc, asked the short way.
//!
//! The `mimalloc` crate asks for every block by `mi_malloc_aligned`, which for all that is longer
//! than 1 KiB takes a slow path, and room for the size *and* the alignment; the future of each
//! request is longer. Blocks of `mi_malloc` are aligned to [`ALIGNED`] anyway.
#![expect(unsafe_code, reason = "GlobalAlloc is an unsafe trait; mimalloc is foreign")]

use std::alloc::{GlobalAlloc, Layout};

use libmimalloc_sys::{
    mi_collect, mi_free, mi_malloc, mi_malloc_aligned, mi_realloc, mi_realloc_aligned, mi_zalloc,
    mi_zalloc_aligned,
};

/// What mimalloc aligns each block to that is not shorter: its `MI_MAX_ALIGN_SIZE`.
const ALIGNED: usize = 16;

/// mimalloc as Rust's global allocator.
pub struct Mimalloc;

/// Whether mimalloc aligns a block of this layout without being told to.
const fn by_itself(size: usize, align: usize) -> bool {
    align <= ALIGNED && align <= size
}

// SAFETY: mimalloc's blocks have at least the size asked for, belong to nobody else until freed,
// and are aligned as asked: by `by_itself`, or because the call says so. It never unwinds.
unsafe impl GlobalAlloc for Mimalloc {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: any size may be asked for, and `align` is a power of two.
        unsafe {
            if by_itself(size, align) { mi_malloc(size) } else { mi_malloc_aligned(size, align) }
                .cast()
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: as in `alloc`.
        unsafe {
            if by_itself(size, align) { mi_zalloc(size) } else { mi_zalloc_aligned(size, align) }
                .cast()
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the caller got the block from here and has not freed it.
        unsafe { mi_free(block.cast()) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let align = layout.align();
        // SAFETY: the block is the caller's, from here; a block that has to move is a new one.
        unsafe {
            if by_itself(size, align) {
                mi_realloc(block.cast(), size)
            } else {
                mi_realloc_aligned(block.cast(), size, align)
            }
            .cast()
        }
    }
}

/// Gives memory nobody uses back to the system: some milliseconds of work.
pub fn collect() {
    // SAFETY: may be called at any time from any thread; without mimalloc as the global allocator
    // it has nothing to do.
    unsafe { mi_collect(true) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_is_aligned_and_keeps_its_bytes_when_it_grows() {
        for align in (0..8).map(|power| 1 << power) {
            for size in [1, 8, 15, 16, 24, 48, 100, 1_023, 1_025, 3_000, 40_000, 2_000_000] {
                let layout = Layout::from_size_align(size, align).expect("a layout");
                // SAFETY: the layout's size is not zero; each block is freed once, as it was got.
                unsafe {
                    let block = Mimalloc.alloc_zeroed(layout);
                    assert_eq!(block.addr() % align, 0, "{size} bytes aligned to {align}");
                    assert_eq!(*block.add(size - 1), 0);
                    *block = 7;
                    let grown = Mimalloc.realloc(block, layout, size * 2 + 1);
                    assert_eq!((grown.addr() % align, *grown), (0, 7), "{size} for {align}");
                    let layout = Layout::from_size_align(size * 2 + 1, align).expect("a layout");
                    Mimalloc.dealloc(grown, layout);
                    let fresh = Mimalloc.alloc(layout);
                    assert_eq!(fresh.addr() % align, 0);
                    Mimalloc.dealloc(fresh, layout);
                }
            }
        }
    }
}
