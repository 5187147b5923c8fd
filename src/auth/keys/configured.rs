//! The keys of one configuration: built whole, then only read. They are part of its snapshot, so
//! that a reload that changes keys and plans together is seen at once or not at all.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::key::Key;
use super::record::KeyRecord;
use super::secret::Digest;
use super::shard::Shard;
use super::shared::{ByName, Shared};
use super::table::Clash;

/// All keys of a configuration.
#[derive(Default)]
pub struct Configured {
    shard: Shard,
    names: BTreeSet<ByName>,
}

// === impl Configured ===

impl Configured {
    /// The keys of these records, each of another name.
    ///
    /// # Errors
    /// All keys that have a name or a value in common with another.
    pub fn build(records: &[KeyRecord]) -> Result<Configured, Vec<Clash>> {
        let mut parts = Shared::default();
        let values = records.iter().map(|record| record.values.len()).sum();
        let mut all = Configured { shard: Shard::with_room(values), names: BTreeSet::new() };
        let mut clashes = Vec::new();
        for record in records {
            let key = parts.key(record);
            if let Some(other) = all.get(key.name()) {
                clashes.push(Clash::of(&key, other));
                continue;
            }
            for digest in key.digests() {
                if let Err(other) = all.shard.add(&digest, &key) {
                    clashes.push(Clash::of(&key, &other));
                }
            }
            all.names.insert(ByName(key));
        }
        if clashes.is_empty() { Ok(all) } else { Err(clashes) }
    }

    /// The key that has this value.
    #[must_use]
    pub fn find(&self, value: &Digest) -> Option<&Arc<Key>> {
        self.shard.find(value)
    }

    /// The key of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Key>> {
        self.names.get(name).map(|key| &key.0)
    }

    pub(super) fn names(&self) -> &BTreeSet<ByName> {
        &self.names
    }
}
