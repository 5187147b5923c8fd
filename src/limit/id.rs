//! What a slot is found by: a keyed hash of a limit's name and of what it is counted by.
//!
//! SipHash-1-3 with 128 bits and a random key that stands in the file's header: a client cannot
//! choose values that meet in one slot. Of the 128 bits, 64 say where to look and 45 are compared:
//! an id meets one that looks like it in its window of the table with a probability of 2^-39.
//! Invariant: parts are told apart (each is hashed with its length), so ("a", "bc") is not ("ab",
//! "c").

use core::hash::Hasher as _;

use siphasher::sip128::{Hasher128, SipHasher13};

/// The key of all hashes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashKey(pub u64, pub u64);

/// A hash that has begun: constant parts once, when a limit is compiled; the others per request.
#[derive(Clone)]
pub struct Hasher(SipHasher13);

/// Where a limit's state is kept, for one value of what it is counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id {
    /// Where to look.
    pub home: u64,
    /// What to compare.
    pub tag: u64,
}

/// Bits of a slot that are compared.
pub const TAG_BITS: u32 = 45;

// === impl Hasher ===

impl Hasher {
    /// Begins with the name of the limit.
    #[must_use]
    pub fn new(key: HashKey, name: &str) -> Hasher {
        let mut hasher = Hasher(SipHasher13::new_with_keys(key.0, key.1));
        hasher.part(name.as_bytes());
        hasher
    }

    /// One more part.
    pub fn part(&mut self, bytes: &[u8]) {
        self.0.write_usize(bytes.len());
        self.0.write(bytes);
    }

    /// What has come together.
    #[must_use]
    pub fn id(&self) -> Id {
        let hash = self.0.finish128();
        Id { home: hash.h1, tag: hash.h2 >> (64 - TAG_BITS) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_apart_and_the_key_matters() {
        let id = |key: HashKey, parts: &[&str]| {
            let mut hasher = Hasher::new(key, "limit");
            parts.iter().for_each(|part| hasher.part(part.as_bytes()));
            hasher.id()
        };
        let key = HashKey(1, 2);
        assert_eq!(id(key, &["a", "bc"]), id(key, &["a", "bc"]));
        assert_ne!(id(key, &["a", "bc"]), id(key, &["ab", "c"]));
        assert_ne!(id(key, &["a"]), id(key, &["a", ""]));
        assert_ne!(id(key, &["a"]), id(HashKey(1, 3), &["a"]));
        assert_ne!(Hasher::new(key, "x").id(), Hasher::new(key, "y").id());
    }
}
