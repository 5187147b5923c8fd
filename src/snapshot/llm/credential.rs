//! A secret a provider knows us by.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use zeroize::Zeroizing;

use crate::clock::Tick;

/// One credential of a provider. Its value is in no text this type can be turned into, and wiped
/// from memory with it.
pub struct Credential {
    pub name: Arc<str>,
    secret: Zeroizing<Vec<u8>>,
    rests_until: AtomicU64,
    /// The part of it that is for its rate.
    limited_until: AtomicU64,
}

// === impl Credential ===

impl Credential {
    #[must_use]
    pub fn new(name: &str, secret: Zeroizing<Vec<u8>>) -> Credential {
        Credential {
            name: Arc::from(name),
            secret,
            rests_until: AtomicU64::new(0),
            limited_until: AtomicU64::new(0),
        }
    }

    /// Its value.
    #[must_use]
    pub fn secret(&self) -> &[u8] {
        &self.secret
    }

    /// Whether the provider refused it a while ago.
    #[must_use]
    pub fn is_resting(&self, now: Tick) -> bool {
        self.rests_until() > now
    }

    /// Until when it rests; past if it does not.
    #[must_use]
    pub fn rests_until(&self) -> Tick {
        Tick(self.rests_until.load(Ordering::Relaxed))
    }

    /// Others go first until then. Never shortens a rest.
    pub fn rest(&self, until: Tick) {
        self.rests_until.fetch_max(until.0, Ordering::Relaxed);
    }

    /// It has had enough: it rests, and is good again after that.
    pub fn limit(&self, until: Tick) {
        self.rest(until);
        self.limited_until.fetch_max(until.0, Ordering::Relaxed);
    }

    /// Whether it rests because it has had enough.
    #[must_use]
    pub fn is_limited(&self, now: Tick) -> bool {
        self.limited_until.load(Ordering::Relaxed) > now.0
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rests_and_shows_its_value_to_nobody() {
        let credential = Credential::new("first", Zeroizing::new(b"sk-secret".to_vec()));
        assert_eq!(format!("{credential:?}"), "Credential { name: \"first\", .. }");
        assert!(!credential.is_resting(Tick(0)));
        credential.rest(Tick(10));
        credential.rest(Tick(5));
        assert!(credential.is_resting(Tick(9)) && !credential.is_resting(Tick(10)));
        assert_eq!(credential.secret(), b"sk-secret");
        assert!(!credential.is_limited(Tick(9)), "it was refused");
        credential.limit(Tick(30));
        assert!(credential.is_resting(Tick(29)) && credential.is_limited(Tick(29)));
        assert!(!credential.is_resting(Tick(30)) && !credential.is_limited(Tick(30)));
    }
}
