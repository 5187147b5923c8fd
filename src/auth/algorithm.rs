//! The signature algorithms a token may carry (RFC 7518 section 3.1, RFC 8037), and which keys they
//! belong to.
//!
//! Owns the table from a name to the verification it means. Only asymmetric algorithms stand in it:
//! `none` and HMAC cannot even be written down here, so no token can ask for them. Invariant: an
//! algorithm is of exactly one family, and a key of another family never verifies it.

use std::fmt;

use aws_lc_rs::signature::{self, VerificationAlgorithm};

/// What kind of key an algorithm needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Rsa,
    P256,
    P384,
    Ed25519,
}

macro_rules! algorithms {
    ($($variant:ident $name:literal $family:ident $verification:ident;)*) => {
        /// A signature algorithm, by its name in a token's header.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Algorithm { $(#[doc = $name] $variant),* }

        impl Algorithm {
            /// All of them, in the order of the documentation.
            pub const ALL: &[Algorithm] = &[$(Algorithm::$variant),*];

            /// The name in a token's header.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Algorithm::$variant => $name),* }
            }

            /// The kind of key it needs.
            #[must_use]
            pub fn family(self) -> Family {
                match self { $(Algorithm::$variant => Family::$family),* }
            }

            pub(super) fn verification(self) -> &'static dyn VerificationAlgorithm {
                match self { $(Algorithm::$variant => &signature::$verification),* }
            }
        }
    };
}

algorithms! {
    Rs256 "RS256" Rsa RSA_PKCS1_2048_8192_SHA256;
    Rs384 "RS384" Rsa RSA_PKCS1_2048_8192_SHA384;
    Rs512 "RS512" Rsa RSA_PKCS1_2048_8192_SHA512;
    Ps256 "PS256" Rsa RSA_PSS_2048_8192_SHA256;
    Ps384 "PS384" Rsa RSA_PSS_2048_8192_SHA384;
    Ps512 "PS512" Rsa RSA_PSS_2048_8192_SHA512;
    Es256 "ES256" P256 ECDSA_P256_SHA256_FIXED;
    Es384 "ES384" P384 ECDSA_P384_SHA384_FIXED;
    EdDsa "EdDSA" Ed25519 ED25519;
}

/// A set of algorithms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Algorithms(u16);

// === impl Algorithm ===

impl Algorithm {
    /// The algorithm called so; names are case-sensitive (RFC 7515 section 4.1.1).
    #[must_use]
    pub fn named(name: &str) -> Option<Algorithm> {
        // RFC 9864 names the curve; both names mean the same here.
        let name = if name == "Ed25519" { "EdDSA" } else { name };
        Algorithm::ALL.iter().copied().find(|algorithm| algorithm.name() == name)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

// === impl Algorithms ===

impl Algorithms {
    /// Every algorithm there is.
    #[must_use]
    pub fn all() -> Algorithms {
        Algorithms::of(Algorithm::ALL)
    }

    /// These.
    #[must_use]
    pub fn of(list: &[Algorithm]) -> Algorithms {
        Algorithms(list.iter().fold(0, |bits, algorithm| bits | 1 << (*algorithm as u8)))
    }

    #[must_use]
    pub fn has(self, algorithm: Algorithm) -> bool {
        self.0 & (1 << (algorithm as u8)) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_as_it_is_written_and_nothing_symmetric_is() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::named(algorithm.name()), Some(*algorithm));
            assert!(Algorithms::all().has(*algorithm));
            assert!(!Algorithms::default().has(*algorithm));
        }
        for name in ["none", "None", "NONE", "HS256", "HS384", "HS512", "rs256", "ES256K", ""] {
            assert_eq!(Algorithm::named(name), None, "{name}");
        }
    }

    #[test]
    fn a_set_holds_what_it_was_made_of() {
        let set = Algorithms::of(&[Algorithm::Es256, Algorithm::EdDsa]);
        assert!(set.has(Algorithm::Es256) && set.has(Algorithm::EdDsa));
        assert!(!set.has(Algorithm::Es384) && !set.has(Algorithm::Rs256));
    }
}
