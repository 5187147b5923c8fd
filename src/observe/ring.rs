//! The bounded byte ring between one worker and the log writer.
//!
//! One side pushes lines, the other takes them, in order and whole; neither waits for the other. A
//! line that does not fit is refused, and its loss is the caller's to count. All of it is safe
//! code: the bytes travel as relaxed `u64` words (300 bytes are 38 stores), published by a release
//! store of the tail and returned by a release store of the head. This file names nothing of the
//! crate; loom explores it:
//! `RUSTFLAGS="--cfg loom" cargo test --release --lib observe::ring`.
//! Invariant: `head <= tail <= head + words`; the words between belong to the taker, the others to
//! the pusher. Positions count words since the beginning and do not wrap (2^64 words).

#[cfg(all(test, loom))]
use loom::sync::{Arc, atomic};
#[cfg(not(all(test, loom)))]
use std::sync::{Arc, atomic};

use atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use crossbeam_utils::CachePadded;

const WORD: usize = size_of::<u64>();

/// The worker's end.
pub struct Pusher {
    shared: Arc<Shared>,
    tail: u64,
    /// The head as last seen: the real one is at least this.
    head_seen: u64,
    /// The head that was seen when the taker was last to be woken.
    woken_at: Option<u64>,
}

/// The log writer's end.
pub struct Taker {
    shared: Arc<Shared>,
    head: u64,
}

/// What became of a pushed line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It will be taken.
    Yes,
    /// It will be taken, and with it the ring is more than half full: wake the taker. Once for each
    /// head that is seen then: a taker that sleeps after it has taken all there was is woken in
    /// time, also if it took while a line was pushed that saw the ring fuller than it is.
    HalfFull,
    /// There was no room (or it is longer than the ring): it is lost.
    Dropped,
}

struct Shared {
    /// INVARIANT: stored by the taker only.
    head: CachePadded<AtomicU64>,
    /// INVARIANT: stored by the pusher only.
    tail: CachePadded<AtomicU64>,
    /// A power of two of words. A line is a word with its length in bytes, then its bytes.
    words: Box<[AtomicU64]>,
}

/// A ring of at least `bytes` bytes, lengths included.
#[must_use]
pub fn ring(bytes: usize) -> (Pusher, Taker) {
    let words = bytes.div_ceil(WORD).next_power_of_two().max(2);
    let shared = Arc::new(Shared {
        head: CachePadded::new(AtomicU64::new(0)),
        tail: CachePadded::new(AtomicU64::new(0)),
        words: (0..words).map(|_| AtomicU64::new(0)).collect(),
    });
    let pusher = Pusher { shared: Arc::clone(&shared), tail: 0, head_seen: 0, woken_at: None };
    (pusher, Taker { shared, head: 0 })
}

// === impl Pusher ===

impl Pusher {
    /// Puts a line into the ring, or drops it: never waits.
    #[must_use = "a dropped line is to be counted"]
    pub fn push(&mut self, line: &[u8]) -> Pushed {
        let need = 1 + line.len().div_ceil(WORD) as u64;
        let capacity = self.shared.words.len() as u64;
        let mut used = self.tail - self.head_seen;
        if used + need > capacity / 2 {
            // Acquire: the taker has read the words before this head; they may be written again.
            self.head_seen = self.shared.head.load(Acquire);
            used = self.tail - self.head_seen;
        }
        if used + need > capacity {
            return Pushed::Dropped;
        }
        self.shared.slot(self.tail).store(line.len() as u64, Relaxed);
        let (whole, rest) = line.as_chunks::<WORD>();
        let (front, back) = self.shared.slots(self.tail + 1, whole.len());
        let (to_front, to_back) = whole.split_at(front.len());
        store(to_front, front);
        store(to_back, back);
        if !rest.is_empty() {
            let mut last = [0; WORD];
            last[..rest.len()].copy_from_slice(rest);
            let slot = self.shared.slot(self.tail + need - 1);
            slot.store(u64::from_le_bytes(last), Relaxed);
        }
        self.tail += need;
        // Release: whoever sees this tail sees the words before it.
        self.shared.tail.store(self.tail, Release);
        if used + need <= capacity / 2 || self.woken_at == Some(self.head_seen) {
            return Pushed::Yes;
        }
        self.woken_at = Some(self.head_seen);
        Pushed::HalfFull
    }
}

// === impl Taker ===

impl Taker {
    /// Appends whole lines to `out` as long as it stays within `bytes_max`; tells how many lines.
    /// A first line is taken even if it is longer, so that no line can block the ring.
    pub fn take(&mut self, out: &mut Vec<u8>, bytes_max: usize) -> usize {
        // Acquire: pairs with the pusher's release; the words before this tail are written.
        let tail = self.shared.tail.load(Acquire);
        let mut lines = 0;
        while self.head < tail {
            let len = self.shared.slot(self.head).load(Relaxed);
            let len = usize::try_from(len).expect("the length of a line that was in memory");
            if out.len() + len > bytes_max && !out.is_empty() {
                break;
            }
            let (words, start) = (len.div_ceil(WORD), out.len());
            out.resize(start + words * WORD, 0);
            let (front, back) = self.shared.slots(self.head + 1, words);
            let (from_front, from_back) = out[start..].split_at_mut(front.len() * WORD);
            load(front, from_front);
            load(back, from_back);
            out.truncate(start + len);
            self.head += 1 + words as u64;
            lines += 1;
        }
        if lines > 0 {
            // Release: the reads above come before the pusher's writes to these words.
            self.shared.head.store(self.head, Release);
        }
        lines
    }

    /// Whether there is nothing to take now.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shared.tail.load(Acquire) == self.head
    }
}

// === impl Shared ===

impl Shared {
    #[inline]
    fn slot(&self, position: u64) -> &AtomicU64 {
        &self.words[self.index(position)]
    }

    /// `count` words from `position` on, in two parts if they pass the end.
    #[inline]
    fn slots(&self, position: u64, count: usize) -> (&[AtomicU64], &[AtomicU64]) {
        let start = self.index(position);
        let front = count.min(self.words.len() - start);
        (&self.words[start..start + front], &self.words[..count - front])
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "masked by the number of words")]
    fn index(&self, position: u64) -> usize {
        position as usize & (self.words.len() - 1)
    }
}

// Two slices of one length each: a loop without a branch but its end.

fn store(chunks: &[[u8; WORD]], slots: &[AtomicU64]) {
    for (chunk, slot) in chunks.iter().zip(slots) {
        slot.store(u64::from_le_bytes(*chunk), Relaxed);
    }
}

fn load(slots: &[AtomicU64], bytes: &mut [u8]) {
    for (slot, chunk) in slots.iter().zip(bytes.as_chunks_mut::<WORD>().0) {
        *chunk = slot.load(Relaxed).to_le_bytes();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    fn taken(taker: &mut Taker, bytes_max: usize) -> Vec<u8> {
        let mut out = Vec::new();
        taker.take(&mut out, bytes_max);
        out
    }

    #[test]
    fn a_full_ring_drops_the_new_line_and_keeps_the_old() {
        let (mut pusher, mut taker) = ring(64); // 8 words
        assert_eq!(pusher.push(b"12345678abc"), Pushed::Yes); // 3 words
        assert_eq!(pusher.push(b"12345678def"), Pushed::HalfFull); // 6
        assert_eq!(pusher.push(b"12345678ghi"), Pushed::Dropped);
        assert_eq!(pusher.push(b"short"), Pushed::Yes); // 8, exactly full
        assert_eq!(pusher.push(b""), Pushed::Dropped);
        assert_eq!(taken(&mut taker, 1000), b"12345678abc12345678defshort");
        assert!(taker.is_empty());
        assert_eq!(pusher.push(b"again"), Pushed::Yes);
        assert_eq!(taken(&mut taker, 1000), b"again");
    }

    #[test]
    fn a_taker_that_leaves_more_than_half_is_woken_again() {
        let (mut pusher, mut taker) = ring(128); // 16 words, a line is 2
        let mut push = || pusher.push(b"1234567\n");
        assert_eq!([(); 4].map(|()| push()), [Pushed::Yes; 4]);
        assert_eq!([(); 2].map(|()| push()), [Pushed::HalfFull, Pushed::Yes], "woken once");
        assert_eq!(taken(&mut taker, 8).len(), 8);
        assert_eq!([(); 2].map(|()| push()), [Pushed::HalfFull, Pushed::Yes], "10 of 16 were left");
        assert_eq!(taken(&mut taker, 1000).len(), 7 * 8);
        assert_eq!([(); 4].map(|()| push()), [Pushed::Yes; 4]);
        assert_eq!(push(), Pushed::HalfFull);
    }

    #[test]
    fn a_line_longer_than_the_ring_is_dropped_and_one_as_long_fits() {
        let (mut pusher, mut taker) = ring(64);
        assert_eq!(pusher.push(&[b'x'; 57]), Pushed::Dropped);
        assert_eq!(pusher.push(&[b'x'; 56]), Pushed::HalfFull);
        assert_eq!(taken(&mut taker, 8), [b'x'; 56], "a first line is taken whatever its length");
    }

    #[test]
    fn taking_stops_before_the_line_that_would_not_fit() {
        let (mut pusher, mut taker) = ring(256);
        for line in [b"aaaa\n", b"bbbb\n", b"cccc\n"] {
            assert_ne!(pusher.push(line), Pushed::Dropped);
        }
        assert_eq!(taken(&mut taker, 10), b"aaaa\nbbbb\n");
        assert_eq!(taken(&mut taker, 10), b"cccc\n");
        assert_eq!(taken(&mut taker, 10), b"");
    }

    #[test]
    fn two_threads_pass_every_line_in_order() {
        let (mut pusher, mut taker) = ring(512);
        let writer = std::thread::spawn(move || {
            for n in 0..20_000_u32 {
                let line = format!("{n}:{}\n", "x".repeat((n % 40) as usize));
                while pusher.push(line.as_bytes()) == Pushed::Dropped {
                    std::thread::yield_now();
                }
            }
        });
        let mut all = Vec::new();
        while !writer.is_finished() || !taker.is_empty() {
            let limit = all.len() + 100;
            taker.take(&mut all, limit);
        }
        writer.join().unwrap();
        let mut expected = 0;
        for line in String::from_utf8(all).unwrap().lines() {
            let (n, xs) = line.split_once(':').unwrap();
            assert_eq!(n.parse::<u32>().unwrap(), expected);
            assert_eq!(xs.len(), (expected % 40) as usize);
            expected += 1;
        }
        assert_eq!(expected, 20_000);
    }

    proptest! {
        /// Against a queue: whatever was accepted comes out equal and in order, and a line is only
        /// refused when the model says that it cannot fit.
        #[test]
        fn any_interleaving_comes_out_equal_and_in_order(
            size in 1_usize..400,
            steps in proptest::collection::vec((any::<bool>(), 0_usize..90, any::<u8>()), 0..300),
        ) {
            let (mut pusher, mut taker) = ring(size);
            let capacity = size.div_ceil(8).next_power_of_two().max(2);
            let mut model: VecDeque<Vec<u8>> = VecDeque::new();
            for (push, n, byte) in steps {
                if push {
                    let line = vec![byte; n];
                    let used: usize = model.iter().map(|l| 1 + l.len().div_ceil(8)).sum();
                    let fits = used + 1 + n.div_ceil(8) <= capacity;
                    prop_assert_eq!(pusher.push(&line) != Pushed::Dropped, fits);
                    if fits { model.push_back(line); }
                } else {
                    let mut out = Vec::new();
                    let lines = taker.take(&mut out, n);
                    let expected: Vec<u8> = model.drain(..lines).flatten().collect();
                    prop_assert_eq!(out, expected);
                    prop_assert!(lines > 0 || model.is_empty());
                }
            }
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;

    /// Four words, so that the second line is written over the first one's place. Loom finds a tail
    /// that is not released or not acquired; it cannot show a load that sees a later store, so the
    /// head's pair rests on the comments beside it.
    #[test]
    fn no_interleaving_tears_loses_or_reorders_a_line() {
        loom::model(|| {
            let (mut pusher, mut taker) = ring(4 * WORD);
            let writer = loom::thread::spawn(move || {
                [b"abcdefghij", b"klmnopqrst"].map(|line| pusher.push(line) != Pushed::Dropped)
            });
            let mut out = Vec::new();
            taker.take(&mut out, 1000);
            taker.take(&mut out, 1000);
            let accepted = writer.join().unwrap();
            taker.take(&mut out, 1000);
            assert!(accepted[0], "an empty ring takes the first line");
            let expected: &[u8] = if accepted[1] { b"abcdefghijklmnopqrst" } else { b"abcdefghij" };
            assert_eq!(out, expected);
        });
    }
}
