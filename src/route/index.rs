//! A hash index from bytes to numbers, with the keys kept elsewhere.
//!
//! Built from configuration only, so its chains are what the operator wrote: a request can look up
//! whatever bytes it likes, it cannot make a chain longer. Hence a fast unkeyed hash. At most half
//! of the slots are taken, so a probe ends.

/// Open addressing with linear probing. The owner of the keys compares them.
#[derive(Debug, Default)]
pub(super) struct Index {
    // INVARIANT: the length is zero or a power of two, and at least twice `taken`.
    slots: Vec<Slot>,
    taken: usize,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    tag: u32,
    id: u32,
}

const FREE: Slot = Slot { tag: 0, id: u32::MAX };

// === impl Index ===

impl Index {
    /// The number filed under `hash` whose key is the `same`.
    #[inline]
    pub(super) fn get(&self, hash: u32, mut same: impl FnMut(u32) -> bool) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot.id == FREE.id {
                return None;
            }
            if slot.tag == hash && same(slot.id) {
                return Some(slot.id);
            }
            at = (at + 1) & mask;
        }
    }

    /// Files `id` under `hash`. The caller has made sure that its key is new.
    pub(super) fn insert(&mut self, hash: u32, id: u32) {
        assert_ne!(id, FREE.id, "the last number marks a free slot");
        if (self.taken + 1) * 2 > self.slots.len() {
            let grown = vec![FREE; (self.slots.len() * 2).max(16)];
            for slot in std::mem::replace(&mut self.slots, grown) {
                if slot.id != FREE.id {
                    self.place(slot);
                }
            }
        }
        self.place(Slot { tag: hash, id });
        self.taken += 1;
    }

    fn place(&mut self, slot: Slot) {
        let mask = self.slots.len() - 1;
        let mut at = slot.tag as usize & mask;
        while self.slots[at].id != FREE.id {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot;
    }
}

/// A hash of `seed` and `bytes`: eight bytes a step, each step a full 64 x 64 -> 128 bit product
/// folded together (the step of wyhash).
#[inline]
pub(super) fn hash(seed: u32, bytes: &[u8]) -> u32 {
    const P0: u64 = 0xa076_1d64_78bd_642f;
    const P1: u64 = 0xe703_7ed1_a0b4_28db;
    let mut h = fold(u64::from(seed) ^ P0, bytes.len() as u64 ^ P1);
    let (words, tail) = bytes.as_chunks::<8>();
    for word in words {
        h = fold(h ^ u64::from_le_bytes(*word), P1);
    }
    if !tail.is_empty() {
        let mut last = [0u8; 8];
        last[..tail.len()].copy_from_slice(tail);
        h = fold(h ^ u64::from_le_bytes(last), P0);
    }
    low32(h ^ (h >> 32))
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "both halves of the product are kept")]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the upper half was folded in before")]
fn low32(h: u64) -> u32 {
    h as u32
}
