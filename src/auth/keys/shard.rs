//! Values to keys: an open-addressed array that is built once and then only read.
//!
//! A digest's bits are as good as random, so they are the hash. Invariant: a quarter of the places
//! is free, so that a search ends soon.

use std::sync::Arc;

use super::key::Key;
use super::secret::Digest;

/// Some of the values.
#[derive(Default)]
pub(super) struct Shard {
    slots: Box<[Option<Slot>]>,
}

#[derive(Clone)]
struct Slot {
    /// Eight bytes of the digest: nearly always tells two apart without following the pointer.
    tag: u64,
    key: Arc<Key>,
}

// === impl Shard ===

impl Shard {
    /// An empty one that has room for so many values.
    pub fn with_room(count: usize) -> Shard {
        let len = if count == 0 { 0 } else { count + count / 3 + 1 };
        Shard { slots: vec![None; len].into_boxed_slice() }
    }

    /// A copy without some keys that has room for so many values more.
    pub fn without(&self, gone: impl Fn(&Arc<Key>) -> bool, more: usize) -> Shard {
        let stays = self.slots.iter().flatten().filter(|slot| !gone(&slot.key));
        let mut copy = Shard::with_room(stays.clone().count() + more);
        stays.for_each(|slot| copy.take(slot.clone()));
        copy
    }

    pub fn find(&self, value: &Digest) -> Option<&Arc<Key>> {
        let tag = tag_of(value);
        // Where a tag matches takes longer; whoever makes one match has not found its preimage.
        let row = self.probe(tag).map_while(|at| self.slots[at].as_ref());
        let mut same = row.filter(|slot| slot.tag == tag);
        same.find(|slot| slot.key.digests().any(|digest| digest == *value)).map(|slot| &slot.key)
    }

    /// Adds a value, for which there must be room.
    ///
    /// # Errors
    /// The key that has it.
    pub fn add(&mut self, value: &Digest, key: &Arc<Key>) -> Result<(), Arc<Key>> {
        if let Some(other) = self.find(value) {
            return Err(other.clone());
        }
        self.take(Slot { tag: tag_of(value), key: key.clone() });
        Ok(())
    }

    /// Puts a slot into the first free place of its row.
    fn take(&mut self, slot: Slot) {
        let free = self.probe(slot.tag).find(|at| self.slots[*at].is_none());
        self.slots[free.expect("a quarter of the places is free")] = Some(slot);
    }

    /// All places, from the one where the tag belongs on.
    fn probe(&self, tag: u64) -> impl Iterator<Item = usize> + use<> {
        let len = self.slots.len();
        let first = (u128::from(tag) * len as u128) >> 64;
        let first = usize::try_from(first).expect("below the length");
        (first..len).chain(0..first)
    }
}

/// Not the bytes by which the shard is chosen.
fn tag_of(value: &Digest) -> u64 {
    u64::from_be_bytes(value.0[2..10].try_into().expect("eight bytes"))
}
