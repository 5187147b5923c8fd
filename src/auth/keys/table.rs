//! The keys kept at run time, by what a client shows; and the configuration's beside them.
//!
//! Readers take no lock: the digests are spread over shards, each an immutable array behind a
//! pointer that is swapped. A change copies the shards of the values it touches and no other, so it
//! costs the same at a million keys as at ten thousand. Writers take turns. The configuration's
//! keys come and go with its snapshot; the table knows them so that it can refuse what clashes.
//! Invariant: a name and a value are each one key's, whatever the order of changes.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use super::configured::Configured;
use super::key::Key;
use super::record::{KeyRecord, Origin};
use super::secret::Digest;
use super::shard::Shard;
use super::shared::{ByName, Shared};

/// All keys of the gateway.
pub struct KeyTable {
    /// Values of the store's keys.
    shards: Box<[ArcSwap<Shard>]>,
    configured: ArcSwap<Configured>,
    written: Mutex<Written>,
}

/// Two keys that cannot be at once: they have a name in common (then `name` is `other`) or a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash {
    pub name: String,
    pub origin: Origin,
    pub other: String,
    pub other_origin: Origin,
}

/// The writers' side: the store's keys by name, and what they share.
#[derive(Default)]
struct Written {
    stored: BTreeSet<ByName>,
    shared: Shared,
}

/// At a million keys a change copies 250 places.
const SHARDS: usize = 4096;

// === impl KeyTable ===

impl Default for KeyTable {
    fn default() -> KeyTable {
        let empty = Arc::new(Shard::default());
        KeyTable {
            shards: (0..SHARDS).map(|_| ArcSwap::new(empty.clone())).collect(),
            configured: ArcSwap::default(),
            written: Mutex::default(),
        }
    }
}

impl KeyTable {
    /// The store's key that has this value. No lock, and no more work in a large table.
    #[must_use]
    pub fn find(&self, value: &Digest) -> Option<Arc<Key>> {
        self.shards[shard_of(value)].load().find(value).cloned()
    }

    /// The key that has this value, whoever keeps it.
    #[must_use]
    pub fn holder(&self, value: &Digest) -> Option<Arc<Key>> {
        self.configured.load().find(value).cloned().or_else(|| self.find(value))
    }

    /// The key of this name, whoever keeps it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<Key>> {
        let stored = || self.written().stored.get(name).map(|key| key.0.clone());
        self.configured.load().get(name).cloned().or_else(stored)
    }

    /// Up to `count` keys in the order of their names, from the first after `after` on.
    #[must_use]
    pub fn list(&self, after: &str, count: usize) -> Vec<Arc<Key>> {
        let range = (Bound::Excluded(after), Bound::Unbounded);
        let configured = self.configured.load();
        let mut keys: Vec<_> = configured.names().range::<str, _>(range).take(count).collect();
        let written = self.written();
        keys.extend(written.stored.range::<str, _>(range).take(count));
        keys.sort();
        keys.into_iter().take(count).map(|key| key.0.clone()).collect()
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.configured.load().names().len() + self.written().stored.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a key of the store, or puts it in the place of the one of its name, which is returned.
    /// Every worker sees it at once.
    ///
    /// # Errors
    /// The key it cannot be beside; nothing has changed then.
    pub fn put(&self, record: &KeyRecord) -> Result<Option<Arc<Key>>, Clash> {
        debug_assert_eq!(record.origin, Origin::Store, "the configuration's come by `configure`");
        let mut written = self.written();
        let key = written.shared.key(record);
        let configured = self.configured.load();
        if let Some(other) = configured.get(key.name()) {
            return Err(Clash::of(&key, other));
        }
        for digest in key.digests() {
            match self.holder(&digest) {
                Some(other) if other.name() != key.name() => return Err(Clash::of(&key, &other)),
                _ => {}
            }
        }
        let old = written.stored.get(key.name()).map(|old| old.0.clone());
        let built = self.built(old.as_slice(), std::slice::from_ref(&key), &mut Vec::new());
        self.publish(built);
        written.stored.replace(ByName(key));
        Ok(old)
    }

    /// Takes out a key of the store, and returns it.
    ///
    /// # Errors
    /// The key is the configuration's: where it is written.
    pub fn remove(&self, name: &str) -> Result<Option<Arc<Key>>, Origin> {
        let mut written = self.written();
        if let Some(key) = self.configured.load().get(name) {
            return Err(key.origin());
        }
        let old = written.stored.take(name).map(|old| old.0);
        self.publish(self.built(old.as_slice(), &[], &mut Vec::new()));
        Ok(old)
    }

    /// Puts all keys of the store in place of those it had: what is done once, at the start. The
    /// records need not be in memory all at once.
    ///
    /// # Errors
    /// All keys that cannot be beside another; nothing has changed then.
    pub fn load(&self, records: impl IntoIterator<Item = KeyRecord>) -> Result<(), Vec<Clash>> {
        let mut written = self.written();
        let records = records.into_iter();
        let mut keys: Vec<Arc<Key>> = records.map(|record| written.shared.key(&record)).collect();
        keys.sort_unstable_by(|a, b| a.name().cmp(b.name()));
        let mut clashes = Vec::new();
        for pair in keys.windows(2).filter(|pair| pair[0].name() == pair[1].name()) {
            clashes.push(Clash::of(&pair[1], &pair[0]));
        }
        let configured = self.configured.load();
        for key in &keys {
            clashes.extend(configured.get(key.name()).map(|other| Clash::of(key, other)));
            let others = key.digests().filter_map(|digest| configured.find(&digest));
            clashes.extend(others.map(|other| Clash::of(key, other)));
        }
        let old: Vec<Arc<Key>> = written.stored.iter().map(|key| key.0.clone()).collect();
        let built = self.built(&old, &keys, &mut clashes);
        if !clashes.is_empty() {
            return Err(clashes);
        }
        self.publish(built);
        written.stored = keys.into_iter().map(ByName).collect();
        written.shared.sweep();
        Ok(())
    }

    /// The store's first keys whose plans are wrong, up to `count`: a configuration may have taken
    /// a plan away. Lists of plans are looked at once each, keys only if one is wrong.
    #[must_use]
    pub fn with_plans(
        &self,
        count: usize,
        is_wrong: impl Fn(&[Arc<str>]) -> bool,
    ) -> Vec<Arc<Key>> {
        let written = self.written();
        if !written.shared.plans().any(&is_wrong) {
            return Vec::new();
        }
        let keys = written.stored.iter().map(|key| &key.0);
        keys.filter(|key| is_wrong(key.plans())).take(count).cloned().collect()
    }

    /// All keys of the store that cannot be beside one of these.
    #[must_use]
    pub fn clashes(&self, configured: &Configured) -> Vec<Clash> {
        self.clashes_with(configured, &self.written())
    }

    /// Takes note of the configuration's keys, which a snapshot has.
    ///
    /// # Errors
    /// All keys of the store that cannot be beside one of them; nothing has changed then.
    pub fn configure(&self, configured: &Arc<Configured>) -> Result<(), Vec<Clash>> {
        let written = self.written();
        let clashes = self.clashes_with(configured, &written);
        if !clashes.is_empty() {
            return Err(clashes);
        }
        self.configured.store(configured.clone());
        Ok(())
    }

    fn clashes_with(&self, configured: &Configured, written: &Written) -> Vec<Clash> {
        let mut clashes = Vec::new();
        for key in configured.names().iter().map(|key| &key.0) {
            let named = written.stored.get(key.name()).map(|other| Clash::of(key, &other.0));
            clashes.extend(named);
            let others = key.digests().filter_map(|digest| self.find(&digest));
            clashes.extend(others.map(|other| Clash::of(key, &other)));
        }
        clashes
    }

    /// The shards that change, as they will be without some keys and with others.
    fn built(
        &self,
        gone: &[Arc<Key>],
        new: &[Arc<Key>],
        clashes: &mut Vec<Clash>,
    ) -> BTreeMap<usize, Shard> {
        let mut added: BTreeMap<usize, usize> = BTreeMap::new();
        for digest in gone.iter().flat_map(|key| key.digests()) {
            added.entry(shard_of(&digest)).or_default();
        }
        for digest in new.iter().flat_map(|key| key.digests()) {
            *added.entry(shard_of(&digest)).or_default() += 1;
        }
        let gone: HashSet<*const Key> = gone.iter().map(Arc::as_ptr).collect();
        let copied = |(at, added): (usize, usize)| {
            let is_gone = |key: &Arc<Key>| gone.contains(&Arc::as_ptr(key));
            (at, self.shards[at].load().without(is_gone, added))
        };
        let mut built: BTreeMap<usize, Shard> = added.into_iter().map(copied).collect();
        for key in new {
            for digest in key.digests() {
                let shard = built.get_mut(&shard_of(&digest)).expect("it was copied");
                if let Err(other) = shard.add(&digest, key) {
                    clashes.push(Clash::of(key, &other));
                }
            }
        }
        built
    }

    fn publish(&self, built: BTreeMap<usize, Shard>) {
        for (at, shard) in built {
            self.shards[at].store(Arc::new(shard));
        }
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        // Names are written after whole shards; a writer does not panic in between.
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
    pub(super) fn of(key: &Key, other: &Key) -> Clash {
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
        if name == other {
            return write!(f, "the key {name:?} ({origin}) is also in {other_origin}");
        }
        write!(f, "the key {name:?} ({origin}) has a value that {other:?} ({other_origin}) has too")
    }
}

impl std::error::Error for Clash {}

/// By the first two bytes: a digest's bits are as good as random.
fn shard_of(value: &Digest) -> usize {
    usize::from(u16::from_be_bytes([value.0[0], value.0[1]])) % SHARDS
}

#[cfg(test)]
mod tests;
