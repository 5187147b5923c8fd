//! What keeps a million keys small and in order: equal parts once, and keys by their names.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::key::{Key, Rest};
use super::record::KeyRecord;

/// Orders keys by their names.
#[derive(Clone)]
pub(super) struct ByName(pub Arc<Key>);

/// Equal parts of keys, once each.
pub(super) struct Shared {
    known: BTreeSet<Arc<Rest>>,
    /// How many there may be before those nobody has any more are looked for.
    sweep_at: usize,
}

const SWEEP_MIN: usize = 1024;

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

impl Default for Shared {
    fn default() -> Shared {
        Shared { known: BTreeSet::new(), sweep_at: SWEEP_MIN }
    }
}

impl Shared {
    /// The compact key of a record.
    pub fn key(&mut self, record: &KeyRecord) -> Arc<Key> {
        let rest = self.share(Rest::of(record));
        Arc::new(Key::new(record, rest))
    }

    /// The lists of plans there are.
    pub fn plans(&self) -> impl Iterator<Item = &[Arc<str>]> {
        self.known.iter().map(|rest| rest.plans())
    }

    fn share(&mut self, rest: Rest) -> Arc<Rest> {
        if let Some(known) = self.known.get(&rest) {
            return known.clone();
        }
        if self.known.len() >= self.sweep_at {
            self.sweep();
        }
        let rest = Arc::new(rest);
        self.known.insert(rest.clone());
        rest
    }

    /// Forgets what no key has any more.
    pub fn sweep(&mut self) {
        self.known.retain(|rest| Arc::strong_count(rest) > 1);
        self.sweep_at = SWEEP_MIN.max(2 * self.known.len());
    }
}
