//! An issuer for tests: keys, the JWK Set of their public halves, and tokens, good or as bad as a
//! test wants them. Names no room of the gateway, so that scenarios use it too.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair as _, RsaEncoding, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// With the system's random numbers there are keys and signatures.
const MADE: &str = "keys and signatures can be made";

/// A signing key with the algorithm it is used with.
pub struct Mint {
    pub kid: String,
    pub algorithm: &'static str,
    key: Key,
}

enum Key {
    Rsa(Box<RsaKeyPair>),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

// === impl Mint ===

impl Mint {
    /// A new key for this algorithm.
    pub fn new(kid: &str, algorithm: &'static str) -> Mint {
        let key = match algorithm {
            "ES256" => {
                Key::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect(MADE))
            }
            "ES384" => {
                Key::Ec(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).expect(MADE))
            }
            "EdDSA" => Key::Ed(Ed25519KeyPair::generate().expect(MADE)),
            _ => Key::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).expect(MADE))),
        };
        Mint { kid: kid.to_owned(), algorithm, key }
    }

    /// The public half as a JWK, without `alg` and `use`.
    pub fn jwk(&self) -> Value {
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match &self.key {
            Key::Rsa(key) => {
                let public = key.public_key();
                let der: Vec<u8> = public.as_ref().to_vec();
                let (n, e) = rsa_numbers(&der);
                json!({ "kty": "RSA", "kid": self.kid, "n": b64(&n), "e": b64(&e) })
            }
            Key::Ec(key) => {
                let point = key.public_key().as_ref();
                let (x, y) = point[1..].split_at(point.len() / 2);
                let crv = if self.algorithm == "ES256" { "P-256" } else { "P-384" };
                json!({ "kty": "EC", "kid": self.kid, "crv": crv, "x": b64(x), "y": b64(y) })
            }
            Key::Ed(key) => {
                let x = b64(key.public_key().as_ref());
                json!({ "kty": "OKP", "kid": self.kid, "crv": "Ed25519", "x": x })
            }
        }
    }

    /// A token with these claims.
    pub fn token(&self, claims: &Value) -> String {
        self.token_with(&json!({ "alg": self.algorithm, "kid": self.kid, "typ": "JWT" }), claims)
    }

    /// The same with a header of the test's own; the signature is this key's all the same.
    pub fn token_with(&self, header: &Value, claims: &Value) -> String {
        let b64 = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", b64(header), b64(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            Key::Ec(key) => key.sign(&random, message).expect(MADE).as_ref().to_vec(),
            Key::Ed(key) => key.sign(message).as_ref().to_vec(),
            Key::Rsa(key) => {
                let padding: &dyn RsaEncoding = match self.algorithm {
                    "RS256" => &signature::RSA_PKCS1_SHA256,
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    _ => &signature::RSA_PSS_SHA512,
                };
                let mut out = vec![0; key.public_modulus_len()];
                key.sign(padding, &random, message, &mut out).expect(MADE);
                out
            }
        }
    }
}

/// A JWK Set of these keys.
pub fn jwks(mints: &[&Mint]) -> String {
    json!({ "keys": mints.iter().map(|mint| mint.jwk()).collect::<Vec<_>>() }).to_string()
}

/// A token of three parts out of JSON of the test's own and any signature.
pub fn forged(header: &Value, claims: &Value, signature: &[u8]) -> String {
    let b64 = |text: String| URL_SAFE_NO_PAD.encode(text);
    let signature = URL_SAFE_NO_PAD.encode(signature);
    format!("{}.{}.{signature}", b64(header.to_string()), b64(claims.to_string()))
}

/// The two numbers of an RSAPublicKey (RFC 8017 appendix A.1.1).
fn rsa_numbers(der: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let element = |der: &[u8]| -> (Vec<u8>, Vec<u8>) {
        let (len, at) = match der[1] {
            0x81 => (usize::from(der[2]), 3),
            0x82 => (usize::from(der[2]) << 8 | usize::from(der[3]), 4),
            short => (usize::from(short), 2),
        };
        (der[at..at + len].to_vec(), der[at + len..].to_vec())
    };
    let (inner, _) = element(der);
    let (n, rest) = element(&inner);
    let (e, _) = element(&rest);
    let strip = |number: Vec<u8>| number.into_iter().skip_while(|byte| *byte == 0).collect();
    (strip(n), strip(e))
}
