//! Byte buffers of a worker, and the bounded pool they come from and go back to when dropped.
//!
//! A [`Buf`] is filled by the kernel at its end and drained from its front; it keeps [`HEADROOM`]
//! bytes free in front of the data and [`TAILROOM`] behind, so that a chunk of HTTP/1.1 chunked
//! coding is framed in place and goes out in one send. Buffers are taken when bytes are there to be
//! read and dropped when they are gone: an idle connection holds none.
//!
//! Invariant: a worker's buffers never exceed the bound given to [`set_limit`], but for the
//! smallest class, whose number the connection limits bound.
#![expect(unsafe_code, reason = "IoBuf and IoBufMut are unsafe traits")]

mod pool;

pub use pool::{bytes_in_use, count_in_use, set_limit, trim};

use monoio::buf::{IoBuf, IoBufMut};

/// Free bytes in front of the data of a fresh buffer: a response's head is written anew right in
/// front of the body it arrived with, and is seldom this much longer than it was. A chunk-size line
/// fits too.
pub const HEADROOM: usize = 512;
/// Bytes behind the data that reads leave free: room for CRLF and the last chunk ("\r\n0\r\n\r\n").
pub const TAILROOM: usize = 8;

/// Blocks of one size lie a multiple of the page size apart, so their first bytes, which are the
/// busy ones, would all fall into the same few sets of the cache. Data therefore begin at one of
/// this many cache lines, by the block's address.
const STAGGER_LINES: usize = 47;
const LINE: usize = 64;

/// The sizes there are. Bigger ones are for big bodies: one big receive and one big send beat many
/// small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// 8 KiB: where many wait for one slow reader.
    Tiny = 0,
    /// 24 KiB: heads, and bodies that fit; a full TLS record (16 KiB and its overhead) does.
    Small = 1,
    /// 72 KiB: a body of 64 KiB and its head in one receive.
    Medium = 2,
    /// 264 KiB: past it the copies leave the L2 cache and nothing is gained.
    Large = 3,
}

const CLASSES: usize = 4;
const ALL: [Class; CLASSES] = [Class::Tiny, Class::Small, Class::Medium, Class::Large];

/// A contiguous, pooled byte buffer. One word: it goes through many hands on its way to the kernel
/// and back, and each of them moves it.
pub struct Buf(Option<Box<Block>>);

/// What a buffer is: `mem[start..end]` is data.
struct Block {
    /// INVARIANT: never reallocated while the `Buf` lives, so the kernel's pointer stays valid.
    mem: Box<[u8]>,
    /// INVARIANT: `start <= end && end <= mem.len()`.
    start: usize,
    end: usize,
    class: Class,
}

// === impl Class ===

impl Class {
    /// Bytes of a buffer of this class, head- and tailroom included.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Class::Tiny => 8 * 1024,
            Class::Small => 24 * 1024,
            Class::Medium => 72 * 1024,
            Class::Large => 264 * 1024,
        }
    }

    /// The smallest class whose data room holds `bytes`, or the largest.
    #[must_use]
    pub fn holding(bytes: u64) -> Class {
        let room = |c: Class| (c.bytes() - STAGGER_LINES * LINE - HEADROOM - TAILROOM) as u64;
        [Class::Small, Class::Medium]
            .into_iter()
            .find(|c| bytes <= room(*c))
            .unwrap_or(Class::Large)
    }

    /// The next larger class, or the largest itself.
    #[must_use]
    pub fn grown(self) -> Class {
        match self {
            Class::Tiny => Class::Small,
            Class::Small => Class::Medium,
            Class::Medium | Class::Large => Class::Large,
        }
    }
}

// === impl Buf ===

impl Buf {
    /// A small buffer: always granted.
    #[must_use]
    pub fn small() -> Buf {
        take(Class::Small)
    }

    /// A buffer of `class`, or the largest smaller one that the worker's bound still grants.
    #[must_use]
    pub fn of(class: Class) -> Buf {
        let mut granted = class;
        while granted > Class::Small && !pool::within_limit(granted) {
            granted = match granted {
                Class::Large => Class::Medium,
                _ => Class::Small,
            };
        }
        take(granted)
    }

    /// No buffer at all: what stands in while the real one is with the kernel.
    #[must_use]
    pub fn none() -> Buf {
        Buf(None)
    }

    fn block(&mut self) -> &mut Block {
        self.0.as_mut().expect("a buffer, not what stands in for one")
    }

    /// The same data in the next larger buffer, whatever the bound: for heads, which their own
    /// limit bounds. `None` if this is the largest.
    #[must_use]
    pub fn larger(&self) -> Option<Buf> {
        if self.class() == Class::Large {
            return None;
        }
        let mut larger = take(self.class().grown());
        larger.put_some(self.filled());
        Some(larger)
    }

    /// A buffer with room for `bytes`, or the largest there is: granted whatever the bound, for
    /// heads and what was received already, which their own limits bound.
    #[must_use]
    pub fn with_room(bytes: usize) -> Buf {
        take(Class::holding(bytes as u64))
    }

    /// The data.
    #[must_use]
    pub fn filled(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |block| &block.mem[block.start..block.end])
    }

    /// The data, writable.
    pub fn filled_mut(&mut self) -> &mut [u8] {
        self.0.as_mut().map_or(&mut [], |block| &mut block.mem[block.start..block.end])
    }

    /// Bytes of data.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |block| block.end - block.start)
    }

    /// Whether there is no data.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that can still be put or read behind the data, tailroom excluded.
    #[must_use]
    pub fn room(&self) -> usize {
        self.0.as_ref().map_or(0, |block| block.room())
    }

    /// This buffer's class.
    #[must_use]
    pub fn class(&self) -> Class {
        self.0.as_ref().map_or(Class::Small, |block| block.class)
    }

    /// Takes `n` bytes off the front.
    pub fn consume(&mut self, n: usize) {
        assert!(n <= self.len(), "consumes no more than there is");
        if let Some(block) = &mut self.0 {
            block.start += n;
        }
    }

    /// Keeps the first `n` bytes of the data and forgets the rest.
    pub fn truncate(&mut self, n: usize) {
        if let Some(block) = &mut self.0 {
            block.end = block.end.min(block.start + n);
        }
    }

    /// Forgets all data; the buffer is as fresh.
    pub fn clear(&mut self) {
        if let Some(block) = &mut self.0 {
            block.clear();
        }
    }

    /// Moves the data to the front so that all free room is behind it.
    pub fn compact(&mut self) {
        if let Some(block) = &mut self.0 {
            block.compact();
        }
    }

    /// Appends as much of `bytes` as there is room for; returns how many.
    pub fn put_some(&mut self, bytes: &[u8]) -> usize {
        let n = bytes.len().min(self.room());
        if let Some(block) = &mut self.0 {
            block.append(&bytes[..n]);
        }
        n
    }

    /// Appends `bytes`, for which there must be room.
    #[inline]
    pub fn put_all(&mut self, bytes: &[u8]) {
        let block = self.block();
        let end = block.end + bytes.len();
        copy_short(&mut block.mem[block.end..end], bytes);
        block.end = end;
    }

    /// Appends `name: value` and CRLF, for which there must be room.
    #[inline]
    pub fn put_field(&mut self, name: &[u8], value: &[u8]) {
        let block = self.block();
        let (colon, end) = (name.len(), name.len() + 2 + value.len());
        let to = &mut block.mem[block.end..block.end + end + 2];
        copy_short(&mut to[..colon], name);
        (to[colon], to[colon + 1]) = (b':', b' ');
        copy_short(&mut to[colon + 2..end], value);
        (to[end], to[end + 1]) = (b'\r', b'\n');
        block.end += end + 2;
    }

    /// Bytes that can be put in front of the data.
    #[must_use]
    pub fn headroom(&self) -> usize {
        self.0.as_ref().map_or(0, |block| block.start)
    }

    /// Writes `bytes` in front of the data, into the headroom.
    pub fn prepend(&mut self, bytes: &[u8]) {
        let block = self.block();
        assert!(bytes.len() <= block.start, "the headroom holds a chunk-size line");
        block.start -= bytes.len();
        block.mem[block.start..block.start + bytes.len()].copy_from_slice(bytes);
    }

    /// Writes `bytes` behind the data, into the tailroom if need be.
    pub fn append_tail(&mut self, bytes: &[u8]) {
        let block = self.block();
        assert!(block.end + bytes.len() <= block.mem.len(), "the tailroom holds a chunk's end");
        block.append(bytes);
    }

    /// Makes the data one chunk of chunked coding, in place; `last` adds the last chunk behind it.
    pub fn frame_chunk(&mut self, last: bool) {
        if self.is_empty() {
            return; // an empty chunk would be the last one
        }
        let mut line = [0; 18];
        let mut at = line.len() - 2;
        line[at..].copy_from_slice(b"\r\n");
        let mut left = self.len();
        while left > 0 {
            at -= 1;
            line[at] = b"0123456789abcdef"[left & 15];
            left >>= 4;
        }
        self.prepend(&line[at..]);
        self.append_tail(if last { b"\r\n0\r\n\r\n" } else { b"\r\n" });
    }

    /// The free room behind the data, tailroom excluded; `commit` says how much of it was written.
    pub fn spare_mut(&mut self) -> &mut [u8] {
        let block = self.block();
        let to = block.mem.len() - TAILROOM;
        let from = block.end.min(to);
        &mut block.mem[from..to]
    }

    /// Declares the first `n` bytes of the spare room to be data.
    pub fn commit(&mut self, n: usize) {
        let block = self.block();
        assert!(n <= block.room(), "commits no more than there is room");
        block.end += n;
    }

    /// The same if the bound still grants it. `None` if it does not, or this is the largest.
    #[must_use]
    pub fn grown(&self) -> Option<Buf> {
        if pool::within_limit(self.class().grown()) { self.larger() } else { None }
    }
}

// === impl Block ===

impl Block {
    fn room(&self) -> usize {
        self.mem.len().saturating_sub(TAILROOM + self.end)
    }

    fn clear(&mut self) {
        self.start = first_byte(&self.mem);
        self.end = self.start;
    }

    fn compact(&mut self) {
        let first = first_byte(&self.mem);
        if self.start > first {
            self.mem.copy_within(self.start..self.end, first);
            self.end -= self.start - first;
            self.start = first;
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        self.mem[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }
}

impl Drop for Buf {
    fn drop(&mut self) {
        if let Some(block) = self.0.take() {
            pool::give_back(block);
        }
    }
}

impl AsRef<[u8]> for Buf {
    fn as_ref(&self) -> &[u8] {
        self.filled()
    }
}

impl std::fmt::Debug for Buf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buf({:?}, {} bytes)", self.class(), self.len())
    }
}

// SAFETY: the pointer is into a heap block that this `Buf` owns and never reallocates, so it stays
// valid when the `Buf` moves; `start..end` of it is initialised (the whole block is, from its
// allocation on).
unsafe impl IoBuf for Buf {
    fn read_ptr(&self) -> *const u8 {
        self.filled().as_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.len()
    }
}

// SAFETY: as above; `spare_mut` is `bytes_total` bytes long, inside the block and disjoint from the
// data.
unsafe impl IoBufMut for Buf {
    fn write_ptr(&mut self) -> *mut u8 {
        self.spare_mut().as_mut_ptr()
    }

    fn bytes_total(&mut self) -> usize {
        self.room()
    }

    unsafe fn set_init(&mut self, n: usize) {
        self.commit(n);
    }
}

/// Copies all of `bytes` to `to`, which is as long. Heads are put together from short pieces: up to
/// 64 bytes are copied in two moves, without a call.
#[inline]
fn copy_short(to: &mut [u8], bytes: &[u8]) {
    match bytes.len() {
        33..=64 => copy_ends::<32>(to, bytes),
        16..=32 => copy_ends::<16>(to, bytes),
        8..16 => copy_ends::<8>(to, bytes),
        4..8 => copy_ends::<4>(to, bytes),
        2..4 => copy_ends::<2>(to, bytes),
        1 => to[0] = bytes[0],
        _ => to.copy_from_slice(bytes),
    }
}

/// Copies the first `N` bytes and the last.
#[inline]
fn copy_ends<const N: usize>(to: &mut [u8], bytes: &[u8]) {
    if let (Some(to), Some(first)) = (to.first_chunk_mut::<N>(), bytes.first_chunk::<N>()) {
        *to = *first;
    }
    if let (Some(to), Some(last)) = (to.last_chunk_mut::<N>(), bytes.last_chunk::<N>()) {
        *to = *last;
    }
}

fn take(class: Class) -> Buf {
    let mut block = pool::take(class);
    block.clear();
    Buf(Some(block))
}

/// Where the data of a fresh buffer begin.
fn first_byte(mem: &[u8]) -> usize {
    const PAGE: usize = 4096;
    HEADROOM + mem.as_ptr().addr() / PAGE % STAGGER_LINES * LINE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_buffer_comes_back_and_is_counted() {
        let before = bytes_in_use();
        let a = Buf::small();
        let b = Buf::of(Class::Large);
        assert_eq!(bytes_in_use() - before, Class::Small.bytes() + Class::Large.bytes());
        let at = b.filled().as_ptr();
        drop(b);
        assert_eq!(Buf::of(Class::Large).filled().as_ptr(), at, "last in, first out");
        drop(a);
        assert_eq!(bytes_in_use(), before);
    }

    #[test]
    fn past_the_bound_only_small_ones_are_granted() {
        set_limit(bytes_in_use() + Class::Medium.bytes());
        let medium = Buf::of(Class::Large);
        assert_eq!(medium.class(), Class::Medium);
        assert_eq!(Buf::of(Class::Medium).class(), Class::Small);
        assert!(medium.grown().is_none());
        set_limit(crate::bounds::BUFFER_BYTES_MAX);
        assert_eq!(medium.grown().expect("the bound is lifted").class(), Class::Large);
    }

    #[test]
    fn a_chunk_is_framed_in_place() {
        let mut buf = Buf::small();
        assert_eq!(buf.put_some(&[b'x'; 0x1f0]), 0x1f0);
        buf.frame_chunk(true);
        assert!(
            buf.filled().starts_with(b"1f0\r\nxx") && buf.filled().ends_with(b"x\r\n0\r\n\r\n")
        );
        buf.clear();
        assert_eq!(buf.put_some(b"hello"), 5);
        buf.frame_chunk(false);
        assert_eq!(buf.filled(), b"5\r\nhello\r\n");
        buf.consume(3);
        buf.compact();
        assert_eq!(buf.filled(), b"hello\r\n");
        buf.truncate(5);
        assert_eq!(buf.filled(), b"hello");
    }

    #[test]
    fn a_full_buffer_still_has_its_tailroom() {
        let mut buf = Buf::small();
        let n = buf.put_some(&vec![7; 30_000]);
        assert!(n >= Class::Small.bytes() - STAGGER_LINES * LINE - HEADROOM - TAILROOM);
        assert_eq!(buf.room(), 0);
        buf.append_tail(b"\r\n0\r\n\r\n");
        assert_eq!(Class::holding(20 * 1024), Class::Small);
        assert_eq!(Class::holding(24 * 1024), Class::Medium);
    }
}
