//! What keeps a million keys small and in order: equal parts once, and keys by their names.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::key::{About, Key, Rules};
use super::record::KeyRecord;

/// Orders keys by their names.
#[derive(Clone)]
pub(super) struct ByName(pub Arc<Key>);

/// Parts of keys.
#[derive(Default)]
pub(super) struct Parts {
    rules: Shared<Rules>,
    about: Shared<About>,
}

/// Equal parts of keys, once each.
struct Shared<T> {
    known: BTreeSet<Arc<T>>,
    /// How many there may be before those nobody has any more are looked for.
    sweep_at: usize,
}

const SWEEP_MIN: usize = 1024;

// === impl Parts ===

impl Parts {
    /// The compact key of a record.
    pub fn key(&mut self, record: &KeyRecord) -> Arc<Key> {
        let rules = self.rules.share(Rules::of(record));
        let about = About::of(record).map(|about| self.about.share(about));
        Arc::new(Key::new(record, rules, about))
    }

    pub fn sweep(&mut self) {
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
