//! Passwords (RFC 7617): who claims to be who, and what proves it.
//!
//! Owns the reading of credentials and of hashes (argon2id in PHC form, bcrypt), with bounds on
//! what a hash may cost to verify. Knows no threads: whoever verifies chooses where that time is
//! spent. Invariant: finding a user takes as long as finding none, for an unknown name is verified
//! too, against a stranger's hash.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::str::FromStr as _;
use std::sync::Arc;

use argon2::password_hash::PasswordVerifier as _;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, Params};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::bounds::{ARGON2_MEMORY_KIB_MAX, ARGON2_WORK_MAX, BCRYPT_COST_MAX, PASSWORD_BYTES_MAX};

/// A password's hash.
#[derive(Clone, PartialEq, Eq)]
pub struct Hash {
    text: Box<str>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Argon2,
    Bcrypt,
}

/// Why a text is no hash to verify with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadHash {
    /// Neither argon2id nor bcrypt.
    Unknown,
    Malformed,
    /// To verify it would take more memory or time than one request may.
    TooCostly,
}

/// Who may log in.
#[derive(Clone)]
pub struct Users {
    by_name: HashMap<Box<str>, Arc<Hash>>,
    /// All the hashes: one of them is verified for a name that nobody has.
    decoys: Vec<Arc<Hash>>,
    /// Which one, so that a name always has the same, and nobody can tell which.
    keyed: RandomState,
}

/// A name and its hash.
pub type User = (Box<str>, Hash);

/// What a request shows.
#[derive(PartialEq, Eq)]
pub struct Credentials {
    pub user: Box<str>,
    pub password: Vec<u8>,
}

// === impl Hash ===

impl Hash {
    /// Reads `$argon2id$...` or `$2b$...` (also `$2a$` and `$2y$`, as htpasswd writes it).
    ///
    /// # Errors
    /// When it is neither, or could not be afforded.
    pub fn parse(text: &str) -> Result<Hash, BadHash> {
        let kind = if text.starts_with("$argon2id$") {
            let hash = PasswordHash::new(text).map_err(|_| BadHash::Malformed)?;
            let params = Params::try_from(&hash).map_err(|_| BadHash::Malformed)?;
            if hash.hash.is_none() || hash.salt.is_none() {
                return Err(BadHash::Malformed);
            }
            let work = u64::from(params.m_cost()) * u64::from(params.t_cost());
            if params.m_cost() > ARGON2_MEMORY_KIB_MAX || work > ARGON2_WORK_MAX {
                return Err(BadHash::TooCostly);
            }
            Kind::Argon2
        } else if ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| text.starts_with(prefix)) {
            let parts = bcrypt::HashParts::from_str(text).map_err(|_| BadHash::Malformed)?;
            if text.len() != 60 {
                return Err(BadHash::Malformed);
            }
            if parts.get_cost() > BCRYPT_COST_MAX {
                return Err(BadHash::TooCostly);
            }
            Kind::Bcrypt
        } else {
            return Err(BadHash::Unknown);
        };
        Ok(Hash { text: text.into(), kind })
    }

    /// Whether this is the password. Takes as long as the hash was made to take: tens of
    /// milliseconds.
    #[must_use]
    pub fn verify(&self, password: &[u8]) -> bool {
        match self.kind {
            Kind::Argon2 => Argon2::default().verify_password(password, &*self.text).is_ok(),
            // bcrypt reads 72 bytes and ignores the rest: a longer password is refused, not cut.
            Kind::Bcrypt => bcrypt::non_truncating_verify(password, &self.text).unwrap_or(false),
        }
    }

    /// As it is written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hash").field(&self.kind).finish()
    }
}

impl fmt::Display for BadHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadHash::Unknown => "neither an argon2id nor a bcrypt hash",
            BadHash::Malformed => "not a well-formed hash",
            BadHash::TooCostly => "costs more to verify than a request may",
        })
    }
}

// === impl Users ===

impl Users {
    /// `None` if there is nobody.
    #[must_use]
    pub fn new(users: impl IntoIterator<Item = (Box<str>, Hash)>) -> Option<Users> {
        let by_name: HashMap<Box<str>, Arc<Hash>> =
            users.into_iter().map(|(name, hash)| (name, Arc::new(hash))).collect();
        let decoys: Vec<_> = by_name.values().cloned().collect();
        (!decoys.is_empty()).then(|| Users { by_name, decoys, keyed: RandomState::new() })
    }

    /// The hash to verify, and whether it is this user's at all.
    #[must_use]
    pub fn find(&self, user: &str) -> (&Arc<Hash>, bool) {
        match self.by_name.get(user) {
            Some(hash) => (hash, true),
            // Hashes may cost differently: strangers are as quick or slow as one of those who are
            // known, each always in the same way.
            None => {
                let count = self.decoys.len() as u64;
                let at = usize::try_from(self.keyed.hash_one(user) % count).unwrap_or(0);
                (&self.decoys[at], false)
            }
        }
    }

    /// Reads a file as `htpasswd -B` writes it: `name:hash`, one a line, `#` before comments.
    ///
    /// # Errors
    /// The number of the line at fault, from 1, and why.
    pub fn parse_file(text: &str) -> Result<Vec<User>, (usize, String)> {
        let mut users: Vec<User> = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |why: &str| (at + 1, why.to_owned());
            let (name, hash) = line.split_once(':').ok_or_else(|| wrong("not `name:hash`"))?;
            if name.is_empty() || users.iter().any(|(other, _)| **other == *name) {
                return Err(wrong("the name is empty or there twice"));
            }
            let hash = Hash::parse(hash).map_err(|bad| wrong(&bad.to_string()))?;
            users.push((name.into(), hash));
        }
        Ok(users)
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}

// === impl Credentials ===

impl Credentials {
    /// Reads what stands behind `Basic `. `None`: malformed, or longer than a password may be.
    #[must_use]
    pub fn parse(encoded: &[u8]) -> Option<Credentials> {
        if encoded.len() > 2 * PASSWORD_BYTES_MAX {
            return None;
        }
        let plain = STANDARD.decode(encoded).ok()?;
        // RFC 7617 section 2: a name has no colon, a password may.
        let colon = plain.iter().position(|byte| *byte == b':')?;
        let (user, password) = (&plain[..colon], &plain[colon + 1..]);
        let control = |byte: &u8| byte.is_ascii_control();
        if plain.iter().any(control) || password.len() > PASSWORD_BYTES_MAX {
            return None;
        }
        let user = std::str::from_utf8(user).ok()?.into();
        Some(Credentials { user, password: password.to_vec() })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `open sesame`, at the least cost there is.
    const ARGON2: &str = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$";

    fn argon2(password: &str) -> String {
        use argon2::password_hash::CustomizedPasswordHasher as _;
        let params = Params::new(8, 1, 1, None).unwrap();
        let hash = Argon2::default().hash_password_customized(
            password.as_bytes(),
            b"somesalt",
            None,
            None,
            params,
        );
        hash.unwrap().to_string()
    }

    #[test]
    fn a_password_is_verified_by_its_hash() {
        let text = argon2("open sesame");
        assert!(text.starts_with(ARGON2), "{text}");
        let hash = Hash::parse(&text).unwrap();
        assert!(hash.verify(b"open sesame") && !hash.verify(b"open sesam"));
        let bcrypt = bcrypt::hash_with_salt("open sesame", 4, [7; 16]).unwrap();
        for version in [bcrypt::Version::TwoA, bcrypt::Version::TwoB, bcrypt::Version::TwoY] {
            let hash = Hash::parse(&bcrypt.format_for_version(version)).unwrap();
            assert!(hash.verify(b"open sesame") && !hash.verify(b"Open sesame"));
            // 72 bytes are all that bcrypt reads.
            assert!(!hash.verify(&[b'a'; 100]));
        }
    }

    #[test]
    fn what_is_no_hash_or_too_dear_is_refused() {
        for (text, why) in [
            ("secret", BadHash::Unknown),
            ("", BadHash::Unknown),
            ("$1$abc$def", BadHash::Unknown),
            ("$argon2i$v=19$m=8,t=1,p=1$c29tZXNhbHQ$YWJjZGVmZ2hpamtsbW5vcA", BadHash::Unknown),
            ("$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ", BadHash::Malformed),
            ("$argon2id$v=19$m=8", BadHash::Malformed),
            (
                "$argon2id$v=19$m=4194304,t=1,p=1$c29tZXNhbHQ$YWJjZGVmZ2hpamtsbW5vcA",
                BadHash::TooCostly,
            ),
            ("$2b$10$short", BadHash::Malformed),
        ] {
            assert_eq!(Hash::parse(text).map(|_| ()), Err(why), "{text}");
        }
        let cheap = bcrypt::hash_with_salt("x", 4, [7; 16]).unwrap().to_string();
        let dear = cheap.replacen("$04$", "$20$", 1);
        assert_eq!(Hash::parse(&dear).map(|_| ()), Err(BadHash::TooCostly));
    }

    #[test]
    fn an_unknown_name_is_verified_against_a_strangers_hash() {
        let hash = |password| Hash::parse(&argon2(password)).unwrap();
        let users = Users::new([("alice".into(), hash("x")), ("bob".into(), hash("y"))]).unwrap();
        assert!(users.find("alice").1 && users.find("alice").0.verify(b"x"));
        let mut decoys = 0;
        for n in 0..100 {
            let name = format!("mallory{n}");
            let (decoy, known) = users.find(&name);
            assert!(!known && Arc::ptr_eq(decoy, users.find(&name).0), "always the same");
            decoys += usize::from(Arc::ptr_eq(decoy, users.find("alice").0));
        }
        assert!((1..100).contains(&decoys), "strangers are spread over all: {decoys}");
        assert!(Users::new([]).is_none());
    }

    #[test]
    fn a_file_of_users_is_read_line_by_line() {
        let text = format!("# who\n\nalice:{}\nbob:{}\n", argon2("a"), argon2("b"));
        let users = Users::parse_file(&text).unwrap();
        assert_eq!(users.len(), 2);
        assert!(users[1].1.verify(b"b"));
        assert_eq!(Users::parse_file("alice").unwrap_err().0, 1);
        assert_eq!(Users::parse_file("\nalice:plain").unwrap_err().0, 2);
        let twice = format!("a:{0}\na:{0}", argon2("a"));
        assert_eq!(Users::parse_file(&twice).unwrap_err().0, 2);
    }

    #[test]
    fn credentials_are_a_name_and_whatever_follows_the_first_colon() {
        let parse = |plain: &str| Credentials::parse(STANDARD.encode(plain).as_bytes());
        let read = parse("alice:pa:ss").unwrap();
        assert_eq!((&*read.user, &read.password[..]), ("alice", &b"pa:ss"[..]));
        assert_eq!(parse("alice:").map(|read| read.password), Some(Vec::new()));
        assert_eq!(parse("alice"), None);
        assert_eq!(parse("al\nice:x"), None);
        assert_eq!(Credentials::parse(b"!!"), None);
        assert_eq!(parse(&format!("a:{}", "x".repeat(PASSWORD_BYTES_MAX + 1))), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in ".*") {
            let _ = Credentials::parse(&bytes);
            let _ = Hash::parse(&text);
            let _ = Users::parse_file(&text);
        }
    }
}
