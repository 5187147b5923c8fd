//! A set of public keys (RFC 7517), ready to verify with.
//!
//! Owns the reading of a JWK Set: each key is parsed once, for every algorithm it may be used with.
//! What cannot verify a signature (a symmetric key, a key for encryption, a curve not known here,
//! an RSA key of less than 2048 bits) is left out and counted. Refuses to know where sets come
//! from. Invariant: a key verifies the algorithm it names, or, if it names none, those of its
//! family; never what only a token asks for.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::signature::{ParsedPublicKey, RsaParameters, RsaPublicKeyComponents};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::algorithm::{Algorithm, Family};
use crate::bounds::{JWKS_BYTES_MAX, JWKS_KEYS_MAX, JWKS_TRIES_MAX};

/// Public keys.
pub struct KeySet {
    /// Tells this set from every other of the process: what was verified by one is not by another.
    pub id: u64,
    keys: Vec<Key>,
    /// Keys that cannot verify signatures here.
    pub skipped: usize,
}

/// One of them.
struct Key {
    kid: Option<Box<str>>,
    /// By the algorithms it may be used with.
    by_algorithm: Vec<(Algorithm, ParsedPublicKey)>,
}

/// Why a text is not a set of keys to verify with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySetError {
    TooLarge,
    NotAKeySet,
    TooManyKeys,
    /// No key of it can verify a signature.
    NoKey,
}

/// What came of looking for the key that made a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Good,
    /// There are keys it could be of, and it is of none.
    Bad,
    /// No key of that id, or none that may be used with the algorithm.
    NoSuchKey,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

/// RFC 7517 section 4, and RFC 7518 section 6 for the members of the kinds.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

// === impl KeySet ===

impl KeySet {
    /// Reads a JWK Set, or a single JWK.
    ///
    /// # Errors
    /// When nothing can be verified with it: an empty set is never taken for permission.
    pub fn parse(text: &[u8]) -> Result<KeySet, KeySetError> {
        static SETS: AtomicU64 = AtomicU64::new(1);
        if text.len() > JWKS_BYTES_MAX {
            return Err(KeySetError::TooLarge);
        }
        let value: serde_json::Value =
            serde_json::from_slice(text).map_err(|_| KeySetError::NotAKeySet)?;
        let listed = if value.get("keys").is_some() {
            let document = Document::deserialize(value).map_err(|_| KeySetError::NotAKeySet)?;
            document.keys
        } else if value.get("kty").is_some() {
            vec![value]
        } else {
            return Err(KeySetError::NotAKeySet);
        };
        if listed.len() > JWKS_KEYS_MAX {
            return Err(KeySetError::TooManyKeys);
        }
        let count = listed.len();
        // RFC 7517 section 5: what is not understood is ignored, not a reason to refuse the rest.
        let keys: Vec<Key> = listed
            .into_iter()
            .filter_map(|value| Jwk::deserialize(value).ok().as_ref().and_then(Key::of))
            .collect();
        if keys.is_empty() {
            return Err(KeySetError::NoKey);
        }
        let id = SETS.fetch_add(1, Ordering::Relaxed);
        Ok(KeySet { id, skipped: count - keys.len(), keys })
    }

    /// How many keys can verify.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Never true: a set without keys is not made.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether one of the keys has made this signature. A token that names a key is verified with
    /// that one only; keys without a name stand in for any.
    #[must_use]
    pub fn verify(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Verdict {
        let mut tried = 0;
        for named in [true, false] {
            // First the keys of that name; only if there are none, those without any.
            if !named && (kid.is_none() || tried > 0) {
                break;
            }
            let fits = |key: &&Key| match (kid, named) {
                (None, _) => true,
                (Some(kid), true) => key.kid.as_deref() == Some(kid),
                (Some(_), false) => key.kid.is_none(),
            };
            let keys = self.keys.iter().filter(fits).filter_map(|key| key.for_algorithm(algorithm));
            for key in keys.take(JWKS_TRIES_MAX) {
                tried += 1;
                if key.verify_sig(message, signature).is_ok() {
                    return Verdict::Good;
                }
            }
        }
        if tried == 0 { Verdict::NoSuchKey } else { Verdict::Bad }
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kids: Vec<_> = self.keys.iter().map(|key| key.kid.as_deref()).collect();
        f.debug_struct("KeySet").field("id", &self.id).field("kids", &kids).finish()
    }
}

// === impl Key ===

impl Key {
    /// `None`: it cannot verify a signature here.
    fn of(jwk: &Jwk) -> Option<Key> {
        // RFC 7517 sections 4.2 and 4.3: what a key is for binds whoever uses it.
        let for_signatures = jwk.usage.as_deref().is_none_or(|usage| usage == "sig");
        let ops = jwk.key_ops.as_ref();
        let verifies = ops.is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        if !for_signatures || !verifies {
            return None;
        }
        let family = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => Family::Rsa,
            ("EC", Some("P-256")) => Family::P256,
            ("EC", Some("P-384")) => Family::P384,
            ("OKP", Some("Ed25519")) => Family::Ed25519,
            _ => return None,
        };
        let named = match jwk.alg.as_deref() {
            None => None,
            Some(name) => Some(Algorithm::named(name)?),
        };
        let fits = |algorithm: &Algorithm| {
            algorithm.family() == family && named.is_none_or(|named| named == *algorithm)
        };
        let algorithms = Algorithm::ALL.iter().copied().filter(fits);
        let parsed = algorithms.map(|algorithm| Some((algorithm, parse(jwk, algorithm)?)));
        let by_algorithm: Vec<_> = parsed.collect::<Option<_>>()?;
        let kid = jwk.kid.clone().map(String::into_boxed_str);
        (!by_algorithm.is_empty()).then_some(Key { kid, by_algorithm })
    }

    fn for_algorithm(&self, algorithm: Algorithm) -> Option<&ParsedPublicKey> {
        self.by_algorithm.iter().find(|(its, _)| *its == algorithm).map(|(_, key)| key)
    }
}

fn parse(jwk: &Jwk, algorithm: Algorithm) -> Option<ParsedPublicKey> {
    let bytes = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
    match algorithm.family() {
        Family::Rsa => {
            let (n, e) = (bytes(&jwk.n)?, bytes(&jwk.e)?);
            let strip = |number: Vec<u8>| -> Vec<u8> {
                number.into_iter().skip_while(|byte| *byte == 0).collect()
            };
            let (n, e) = (strip(n), strip(e));
            // RFC 7518 section 3.3: 2048 bits or more. The exponent must be odd and above 1.
            let bits = n.len() * 8 - usize::try_from(n.first()?.leading_zeros()).ok()?;
            if !(2048..=8192).contains(&bits) || e.len() > 8 || e.last()? & 1 == 0 || e == [1] {
                return None;
            }
            let components = RsaPublicKeyComponents { n, e };
            components.to_parsed_public_key(rsa(algorithm)?).ok()
        }
        Family::P256 | Family::P384 => {
            let (x, y) = (bytes(&jwk.x)?, bytes(&jwk.y)?);
            let len = if algorithm.family() == Family::P256 { 32 } else { 48 };
            if x.len() != len || y.len() != len {
                return None;
            }
            // SEC 1 section 2.3.3: uncompressed.
            let point = [&[4], &x[..], &y[..]].concat();
            ParsedPublicKey::new(algorithm.verification(), point).ok()
        }
        Family::Ed25519 => {
            let x = bytes(&jwk.x)?;
            if x.len() != 32 {
                return None;
            }
            ParsedPublicKey::new(algorithm.verification(), x).ok()
        }
    }
}

fn rsa(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    use aws_lc_rs::signature as s;
    Some(match algorithm {
        Algorithm::Rs256 => &s::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &s::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &s::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &s::RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &s::RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &s::RSA_PSS_2048_8192_SHA512,
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa => return None,
    })
}

// === impl KeySetError ===

impl fmt::Display for KeySetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeySetError::TooLarge => write!(f, "larger than {JWKS_BYTES_MAX} bytes"),
            KeySetError::NotAKeySet => f.write_str("not a JWK Set (RFC 7517)"),
            KeySetError::TooManyKeys => write!(f, "more than {JWKS_KEYS_MAX} keys"),
            KeySetError::NoKey => f.write_str("no key in it can verify a signature"),
        }
    }
}

impl std::error::Error for KeySetError {}
