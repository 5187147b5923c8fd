//! What was proven lately, by the digest of what proved it: a bounded map that forgets the oldest
//! half at a time.
//!
//! Two maps: what is found in the older one moves to the newer; when that is full the older is
//! dropped. So what is used often stays, in constant time and without a list. Keys are SHA-256
//! digests: the credential itself is never kept.

use std::collections::HashMap;

/// A digest of a credential and of the authorizer it was shown to.
pub type Digest = [u8; 32];

/// A bounded map.
pub struct Recent<V> {
    young: HashMap<Digest, V>,
    old: HashMap<Digest, V>,
    /// Of one of the two.
    most: usize,
}

// === impl Recent ===

impl<V: Clone> Recent<V> {
    /// Holds `most` entries at most.
    #[must_use]
    pub fn new(most: usize) -> Recent<V> {
        Recent { young: HashMap::new(), old: HashMap::new(), most: (most / 2).max(1) }
    }

    pub fn get(&mut self, digest: &Digest) -> Option<V> {
        if let Some(value) = self.young.get(digest) {
            return Some(value.clone());
        }
        let value = self.old.remove(digest)?;
        self.put(*digest, value.clone());
        Some(value)
    }

    pub fn put(&mut self, digest: Digest, value: V) {
        if self.young.len() >= self.most && !self.young.contains_key(&digest) {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&digest);
        self.young.insert(digest, value);
    }

    pub fn remove(&mut self, digest: &Digest) {
        self.young.remove(digest);
        self.old.remove(digest);
    }

    pub fn clear(&mut self) {
        self.young = HashMap::new();
        self.old = HashMap::new();
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(n: u8) -> Digest {
        [n; 32]
    }

    #[test]
    fn it_never_holds_more_than_it_may_and_what_is_used_stays() {
        let mut recent = Recent::new(8);
        for n in 0..100 {
            recent.put(digest(n), n);
            assert_eq!(recent.get(&digest(0)), Some(0), "after {n}");
            assert!(recent.len() <= 8, "{}", recent.len());
        }
        assert_eq!(recent.get(&digest(99)), Some(99));
        assert_eq!(recent.get(&digest(50)), None);
        recent.remove(&digest(0));
        assert_eq!(recent.get(&digest(0)), None);
        recent.clear();
        assert!(recent.is_empty());
    }

    #[test]
    fn what_is_put_again_is_the_newer() {
        let mut recent = Recent::new(2);
        recent.put(digest(1), 'a');
        recent.put(digest(2), 'b');
        recent.put(digest(1), 'c');
        assert_eq!(recent.get(&digest(1)), Some('c'));
    }
}
