//! The table of all keys, by what a client shows.
//!
//! Readers take no lock: the digests are spread over shards, each an immutable open-addressed array
//! behind a pointer that is swapped. A change copies the shards of the values it touches and no
//! other, so it costs the same at a million keys as at ten thousand. Writers take turns. The
//! configuration's keys and the store's are replaced each without the other. Invariant: a name and
//! a value are each one key's, whatever the order of changes.

use std::borrow::{Borrow, Cow};
use std::cmp::Ordering;
use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use super::key::{About, Key, Rules};
use super::record::{KeyRecord, Origin};
use super::secret::Digest;

/// All keys of the gateway.
pub struct KeyTable {
    shards: Box<[ArcSwap<Shard>]>,
    written: Mutex<Written>,
}

/// Two keys that cannot be at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash {
    pub name: String,
    pub origin: Origin,
    pub other: String,
    pub other_origin: Origin,
}

/// The writers' side: keys by name, of either origin, and what they share.
#[derive(Default)]
struct Written {
    configured: BTreeSet<ByName>,
    stored: BTreeSet<ByName>,
    rules: Shared<Rules>,
    about: Shared<About>,
}

/// Orders keys by their names.
#[derive(Clone)]
struct ByName(Arc<Key>);

/// Equal parts of keys, once each.
struct Shared<T> {
    known: BTreeSet<Arc<T>>,
    /// How many there may be before those nobody has any more are looked for.
    sweep_at: usize,
}

/// Some of the values: an open-addressed array, a third of it free.
#[derive(Default)]
struct Shard {
    slots: Box<[Option<Slot>]>,
    count: usize,
}

#[derive(Clone)]
struct Slot {
    /// Eight bytes of the digest: nearly always tells two apart without following the pointer.
    tag: u64,
    key: Arc<Key>,
}

/// At a million keys a change copies 250 slots.
const SHARDS: usize = 4096;
const SWEEP_MIN: usize = 1024;

// === impl KeyTable ===

impl Default for KeyTable {
    fn default() -> KeyTable {
        let empty = Arc::new(Shard::default());
        let shards = (0..SHARDS).map(|_| ArcSwap::new(empty.clone())).collect();
        KeyTable { shards, written: Mutex::default() }
    }
}

impl KeyTable {
    /// The key that has this value. No lock, and no more work in a large table.
    #[must_use]
    pub fn find(&self, value: &Digest) -> Option<Arc<Key>> {
        self.shards[shard_of(value)].load().find(value).cloned()
    }

    /// The key of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<Key>> {
        let written = self.written();
        written.get(name).cloned()
    }

    /// Up to `count` keys in the order of their names, from the first after `after` on.
    #[must_use]
    pub fn list(&self, after: &str, count: usize) -> Vec<Arc<Key>> {
        let written = self.written();
        let range = (Bound::Excluded(after), Bound::Unbounded);
        let of = |set: &BTreeSet<ByName>| {
            let keys = set.range::<str, _>(range).take(count);
            keys.map(|key| key.0.clone()).collect::<Vec<_>>()
        };
        let mut keys = of(&written.configured);
        keys.extend(of(&written.stored));
        keys.sort_by(|a, b| a.name().cmp(b.name()));
        keys.truncate(count);
        keys
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        let written = self.written();
        written.configured.len() + written.stored.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a key, or puts it in the place of the one of its name and origin, which is returned.
    /// Every worker sees it at once.
    ///
    /// # Errors
    /// The key it cannot be beside; nothing has changed then.
    pub fn put(&self, record: &KeyRecord) -> Result<Option<Arc<Key>>, Clash> {
        let mut written = self.written();
        let of_store = record.origin == Origin::Store;
        let key = written.key(record);
        if let Some(other) = written.of(!of_store).get(record.name.as_str()) {
            return Err(Clash::of(&key, &other.0));
        }
        for value in &record.values {
            match self.find(&value.digest) {
                Some(other) if *other.name() != *record.name => {
                    return Err(Clash::of(&key, &other));
                }
                _ => {}
            }
        }
        let old = written.of(of_store).get(key.name()).map(|old| old.0.clone());
        let built = self.built(old.as_slice(), std::slice::from_ref(&key), &mut Vec::new());
        self.publish(built);
        written.of_mut(of_store).replace(ByName(key));
        Ok(old)
    }

    /// Takes out a key of the store.
    ///
    /// # Errors
    /// The key is the configuration's.
    pub fn remove(&self, name: &str) -> Result<Option<Arc<Key>>, Origin> {
        let mut written = self.written();
        if let Some(key) = written.configured.get(name) {
            return Err(key.0.origin());
        }
        let old = written.stored.take(name).map(|old| old.0);
        let built = self.built(old.as_slice(), &[], &mut Vec::new());
        self.publish(built);
        Ok(old)
    }

    /// Puts all keys of the configuration in place of those it had. What did not change is not
    /// touched.
    ///
    /// # Errors
    /// All keys that cannot be beside another; nothing has changed then.
    pub fn configure(&self, records: &[KeyRecord]) -> Result<(), Vec<Clash>> {
        self.replace(false, records.iter().map(Cow::Borrowed))
    }

    /// Puts all keys of the store in place of those it had: what is done once, at the start. The
    /// records need not be in memory all at once.
    ///
    /// # Errors
    /// All keys that cannot be beside another; nothing has changed then.
    pub fn load(&self, records: impl IntoIterator<Item = KeyRecord>) -> Result<(), Vec<Clash>> {
        self.replace(true, records.into_iter().map(Cow::Owned))
    }

    fn replace<'r>(
        &self,
        of_store: bool,
        records: impl Iterator<Item = Cow<'r, KeyRecord>>,
    ) -> Result<(), Vec<Clash>> {
        let mut written = self.written();
        let mut keys: Vec<Arc<Key>> = Vec::new();
        for record in records {
            let old = written.of(of_store).get(record.name.as_str());
            let same = old.map(|old| &old.0).filter(|old| old.record() == *record).cloned();
            keys.push(same.unwrap_or_else(|| written.key(&record)));
        }
        keys.sort_by(|a, b| a.name().cmp(b.name()));
        let mut clashes = Vec::new();
        for pair in keys.windows(2).filter(|pair| pair[0].name() == pair[1].name()) {
            clashes.push(Clash::of(&pair[1], &pair[0]));
        }
        for key in &keys {
            if let Some(other) = written.of(!of_store).get(key.name()) {
                clashes.push(Clash::of(key, &other.0));
            }
        }
        let set: BTreeSet<ByName> = keys.iter().cloned().map(ByName).collect();
        let old = written.of(of_store);
        let is_in = |set: &BTreeSet<ByName>, key: &Arc<Key>| {
            set.get(key.name()).is_some_and(|other| Arc::ptr_eq(&other.0, key))
        };
        let gone: Vec<_> = old.iter().map(|k| &k.0).filter(|k| !is_in(&set, k)).cloned().collect();
        // In place, for a million may come at once.
        keys.retain(|key| !is_in(old, key));
        let built = self.built(&gone, &keys, &mut clashes);
        if !clashes.is_empty() {
            return Err(clashes);
        }
        self.publish(built);
        *written.of_mut(of_store) = set;
        written.sweep();
        Ok(())
    }

    /// The shards as they will be without some keys and with others.
    fn built(
        &self,
        gone: &[Arc<Key>],
        new: &[Arc<Key>],
        clashes: &mut Vec<Clash>,
    ) -> Vec<Option<Shard>> {
        let mut touched = vec![false; SHARDS];
        let mut added = vec![0usize; SHARDS];
        for value in gone.iter().flat_map(|key| &key.values) {
            touched[shard_of(&value.digest)] = true;
        }
        for value in new.iter().flat_map(|key| &key.values) {
            touched[shard_of(&value.digest)] = true;
            added[shard_of(&value.digest)] += 1;
        }
        let gone: HashSet<*const Key> = gone.iter().map(Arc::as_ptr).collect();
        let stays = |slot: &&Slot| !gone.contains(&Arc::as_ptr(&slot.key));
        let mut built: Vec<Option<Shard>> = Vec::with_capacity(SHARDS);
        for (at, shard) in self.shards.iter().enumerate() {
            built.push(touched[at].then(|| {
                let old = shard.load();
                let mut shard = Shard::with_room(old.count + added[at]);
                old.slots.iter().flatten().filter(stays).for_each(|slot| shard.take(slot.clone()));
                shard
            }));
        }
        for key in new {
            for value in &key.values {
                let shard = built[shard_of(&value.digest)].as_mut().expect("it is touched");
                match shard.find(&value.digest) {
                    Some(other) => clashes.push(Clash::of(key, other)),
                    None => shard.take(Slot { tag: tag_of(&value.digest), key: key.clone() }),
                }
            }
        }
        built
    }

    fn publish(&self, built: Vec<Option<Shard>>) {
        for (cell, shard) in self.shards.iter().zip(built) {
            if let Some(shard) = shard {
                cell.store(Arc::new(shard));
            }
        }
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        // A writer that panicked has published whole shards or none.
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for KeyTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyTable").field("len", &self.len()).finish_non_exhaustive()
    }
}

// === impl Clash ===

impl Clash {
    fn of(key: &Key, other: &Key) -> Clash {
        Clash {
            name: key.name().to_owned(),
            origin: key.origin(),
            other: other.name().to_owned(),
            other_origin: other.origin(),
        }
    }
}

impl fmt::Display for Clash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Clash { name, origin, other, other_origin } = self;
        match name == other {
            true => write!(f, "the key {name:?} ({origin}) is also in {other_origin}"),
            false => write!(
                f,
                "the key {name:?} ({origin}) has a value that is also of {other:?} ({other_origin})"
            ),
        }
    }
}

impl std::error::Error for Clash {}

// === impl Written ===

impl Written {
    fn of(&self, store: bool) -> &BTreeSet<ByName> {
        if store { &self.stored } else { &self.configured }
    }

    fn of_mut(&mut self, store: bool) -> &mut BTreeSet<ByName> {
        if store { &mut self.stored } else { &mut self.configured }
    }

    fn get(&self, name: &str) -> Option<&Arc<Key>> {
        self.configured.get(name).or_else(|| self.stored.get(name)).map(|key| &key.0)
    }

    fn key(&mut self, record: &KeyRecord) -> Arc<Key> {
        let rules = self.rules.share(Rules::of(record));
        let about = About::of(record).map(|about| self.about.share(about));
        Arc::new(Key::new(record, rules, about))
    }

    fn sweep(&mut self) {
        self.rules.sweep();
        self.about.sweep();
    }
}

// === impl ByName ===

impl Borrow<str> for ByName {
    fn borrow(&self) -> &str {
        self.0.name()
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &ByName) -> bool {
        self.0.name() == other.0.name()
    }
}

impl Eq for ByName {}

impl PartialOrd for ByName {
    fn partial_cmp(&self, other: &ByName) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByName {
    fn cmp(&self, other: &ByName) -> Ordering {
        self.0.name().cmp(other.0.name())
    }
}

// === impl Shared ===

impl<T> Default for Shared<T> {
    fn default() -> Shared<T> {
        Shared { known: BTreeSet::new(), sweep_at: SWEEP_MIN }
    }
}

impl<T: Ord> Shared<T> {
    fn share(&mut self, value: T) -> Arc<T> {
        if let Some(known) = self.known.get(&value) {
            return known.clone();
        }
        if self.known.len() >= self.sweep_at {
            self.sweep();
        }
        let value = Arc::new(value);
        self.known.insert(value.clone());
        value
    }

    /// Forgets what no key has any more.
    fn sweep(&mut self) {
        self.known.retain(|value| Arc::strong_count(value) > 1);
        self.sweep_at = SWEEP_MIN.max(2 * self.known.len());
    }
}

// === impl Shard ===

impl Shard {
    fn with_room(count: usize) -> Shard {
        let len = if count == 0 { 0 } else { count + count / 2 + 1 };
        Shard { slots: vec![None; len].into_boxed_slice(), count: 0 }
    }

    fn find(&self, value: &Digest) -> Option<&Arc<Key>> {
        let tag = tag_of(value);
        let slots = self.probe(tag).map_while(|at| self.slots[at].as_ref());
        // The tags tell nothing: whoever finds a matching one has not found its preimage.
        slots
            .filter(|slot| slot.tag == tag)
            .find(|slot| slot.key.value(value).is_some())
            .map(|slot| &slot.key)
    }

    /// Puts a slot into the first free place of its row.
    fn take(&mut self, slot: Slot) {
        let free = self.probe(slot.tag).find(|at| self.slots[*at].is_none());
        self.slots[free.expect("a third of the slots is free")] = Some(slot);
        self.count += 1;
    }

    /// All places, from the one where the tag belongs on.
    fn probe(&self, tag: u64) -> impl Iterator<Item = usize> + use<> {
        let len = self.slots.len();
        let first = u128::from(tag) * u128::try_from(len).unwrap_or_default() >> 64;
        let first = usize::try_from(first).expect("below the length");
        (first..len).chain(0..first)
    }
}

/// The first two bytes choose the shard, the next eight are the tag: a digest's bits are as good
/// as random.
fn shard_of(value: &Digest) -> usize {
    usize::from(u16::from_be_bytes([value.0[0], value.0[1]])) % SHARDS
}

fn tag_of(value: &Digest) -> u64 {
    u64::from_be_bytes(value.0[2..10].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests;
