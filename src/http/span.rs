//! A place in a buffer: start and length, eight bytes, no lifetime.
//!
//! Owns the one conversion between slices and positions. Knows nothing of what stands there. The
//! invariant: a span is only ever read with the buffer it was made from, whose bytes have not
//! moved.

/// Where some bytes stand in the buffer their head was parsed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub start: u32,
    pub len: u32,
}

// === impl Span ===

impl Span {
    /// The bytes `start..end`. Heads are bounded far below 4 GiB (`bounds::HEAD_BYTES_CEILING`).
    #[must_use]
    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a const assert in bounds keeps heads below u32::MAX"
    )]
    pub fn new(start: usize, end: usize) -> Span {
        debug_assert!(start <= end && u32::try_from(end).is_ok());
        Span { start: start as u32, len: (end - start) as u32 }
    }

    /// Where `part`, a sub-slice of `whole`, stands in it.
    #[must_use]
    #[inline]
    pub fn within(whole: &[u8], part: &[u8]) -> Span {
        let start = part.as_ptr().addr() - whole.as_ptr().addr();
        debug_assert!(start + part.len() <= whole.len());
        Span::new(start, start + part.len())
    }

    /// The bytes.
    #[must_use]
    #[inline]
    pub fn of(self, buf: &[u8]) -> &[u8] {
        &buf[self.start as usize..self.end()]
    }

    /// The position after the last byte.
    #[must_use]
    #[inline]
    pub fn end(self) -> usize {
        self.start as usize + self.len as usize
    }

    /// Whether no byte stands here.
    #[must_use]
    #[inline]
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The part of this span between two positions counted from its start.
    #[must_use]
    #[inline]
    pub fn part(self, from: usize, to: usize) -> Span {
        debug_assert!(from <= to && to <= self.len as usize);
        let start = self.start as usize;
        Span::new(start + from, start + to)
    }
}
