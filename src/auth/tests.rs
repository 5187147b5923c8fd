//! Tokens and keys against each other: every algorithm, every claim, and what an attacker would
//! try.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::jwt::{Refused, Rules, Token, looks_like_one, verify};
use super::{Algorithm, Algorithms, KeySet, KeySetError};

pub mod mint;

use mint::{Mint, forged, jwks};

const NOW: u64 = 1_800_000_000;

static RSA: LazyLock<Mint> = LazyLock::new(|| Mint::new("r1", "RS256"));
static EC: LazyLock<Mint> = LazyLock::new(|| Mint::new("e1", "ES256"));
static ED: LazyLock<Mint> = LazyLock::new(|| Mint::new("d1", "EdDSA"));

fn rules() -> Rules {
    Rules {
        issuer: "https://id.example/".into(),
        audiences: Some(vec!["orders".into(), "billing".into()]),
        algorithms: Algorithms::all(),
        leeway: 10,
    }
}

fn claims() -> Value {
    json!({ "iss": "https://id.example/", "aud": "orders", "sub": "alice", "exp": NOW + 60 })
}

/// The good claims with some replaced; `null` takes one out.
fn with(changes: Value) -> Value {
    let mut all = claims();
    let map = all.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            map.remove(name);
        } else {
            map.insert(name.clone(), value.clone());
        }
    }
    all
}

fn keys(mints: &[&Mint]) -> KeySet {
    KeySet::parse(jwks(mints).as_bytes()).unwrap()
}

fn judge(token: &str) -> Result<Token, Refused> {
    verify(token.as_bytes(), Some(&keys(&[&RSA, &EC, &ED])), &rules(), NOW)
}

fn refused(token: &str) -> Refused {
    judge(token).map(|token| token.subject).expect_err("is refused")
}

#[test]
fn every_algorithm_verifies_its_own_and_no_other() {
    for algorithm in Algorithm::ALL {
        let mint = Mint::new("k", algorithm.name());
        let set = keys(&[&mint]);
        let token = mint.token(&claims());
        let verified = verify(token.as_bytes(), Some(&set), &rules(), NOW).unwrap();
        assert_eq!(&*verified.subject, "alice", "{algorithm}");
        let only = |algorithm| Rules { algorithms: Algorithms::of(&[algorithm]), ..rules() };
        for other in Algorithm::ALL.iter().filter(|other| *other != algorithm) {
            let refused = verify(token.as_bytes(), Some(&set), &only(*other), NOW);
            assert_eq!(refused.err(), Some(Refused::Algorithm), "{algorithm} as {other}");
            // The header claims another algorithm for the same signature.
            let header = json!({ "alg": other.name(), "kid": "k" });
            let token = mint.token_with(&header, &claims());
            let refused = verify(token.as_bytes(), Some(&set), &rules(), NOW).err();
            assert!(
                matches!(refused, Some(Refused::Signature | Refused::UnknownKey)),
                "{algorithm} said to be {other}: {refused:?}"
            );
        }
    }
}

#[test]
fn a_key_that_names_its_algorithm_is_used_with_that_one_only() {
    let mut jwk = RSA.jwk();
    jwk["alg"] = json!("RS512");
    let set = KeySet::parse(json!({ "keys": [jwk] }).to_string().as_bytes()).unwrap();
    let refused = verify(RSA.token(&claims()).as_bytes(), Some(&set), &rules(), NOW);
    assert_eq!(refused.err(), Some(Refused::UnknownKey));
}

#[test]
fn nothing_unsigned_or_symmetric_passes() {
    for alg in ["none", "None", "nOnE", "", "HS256", "HS384", "HS512"] {
        let header = json!({ "alg": alg, "kid": "r1" });
        let signature = RSA.jwk()["n"].to_string();
        let token = forged(&header, &claims(), signature.as_bytes());
        assert_eq!(refused(&token), Refused::Algorithm, "{alg}");
    }
    let unsigned = forged(&json!({ "alg": "RS256", "kid": "r1" }), &claims(), b"");
    assert_eq!(refused(&unsigned), Refused::NotSigned);
    // HMAC with the public key's own text as its secret: the classic confusion.
    let public = RSA.jwk().to_string();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, public.as_bytes());
    let tag = aws_lc_rs::hmac::sign(&key, b"anything");
    let token = forged(&json!({ "alg": "HS256", "kid": "r1" }), &claims(), tag.as_ref());
    assert_eq!(refused(&token), Refused::Algorithm);
}

#[test]
fn what_a_header_points_at_is_not_read() {
    let mallory = Mint::new("r1", "RS256");
    for extra in ["jwk", "jku", "x5u", "x5c"] {
        let mut header = json!({ "alg": "RS256", "kid": "r1" });
        header[extra] = mallory.jwk();
        let token = mallory.token_with(&header, &claims());
        assert_eq!(refused(&token), Refused::Signature, "{extra}");
    }
    for kid in ["../../../dev/null", "' OR 1=1 --", "r1\0", "R1", ""] {
        let token = mallory.token_with(&json!({ "alg": "RS256", "kid": kid }), &claims());
        assert_eq!(refused(&token), Refused::UnknownKey, "{kid}");
    }
}

#[test]
fn an_extension_that_must_be_understood_is_not() {
    for (name, value) in [("crit", json!(["exp"])), ("crit", json!([])), ("b64", json!(false))] {
        let mut header = json!({ "alg": "RS256", "kid": "r1" });
        header[name] = value;
        assert_eq!(refused(&RSA.token_with(&header, &claims())), Refused::Critical);
    }
}

#[test]
fn a_member_that_is_there_twice_is_no_header() {
    let b64 = |text: &str| {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
    };
    let header = b64(r#"{"alg":"RS256","kid":"r1","alg":"RS256"}"#);
    let token = format!("{header}.{}.{}", b64(&claims().to_string()), b64("x"));
    assert_eq!(refused(&token), Refused::Malformed);
}

#[test]
fn the_right_issuer_and_audience_and_times_are_asked_for() {
    for (changes, why) in [
        (json!({ "iss": "https://evil.example/" }), Refused::Issuer),
        (json!({ "iss": "https://id.example" }), Refused::Issuer),
        (json!({ "iss": ["https://id.example/"] }), Refused::Issuer),
        (json!({ "iss": null }), Refused::Issuer),
        (json!({ "aud": "other" }), Refused::Audience),
        (json!({ "aud": [] }), Refused::Audience),
        (json!({ "aud": 7 }), Refused::Audience),
        (json!({ "aud": null }), Refused::Audience),
        // `client_id` counts only where there is no `aud`.
        (json!({ "aud": "other", "client_id": "orders" }), Refused::Audience),
        (json!({ "exp": NOW - 10 }), Refused::Expired),
        (json!({ "exp": 0 }), Refused::Expired),
        (json!({ "exp": null }), Refused::Dates),
        (json!({ "exp": "1900000000" }), Refused::Dates),
        (json!({ "exp": -5 }), Refused::Dates),
        (json!({ "exp": 1e300 }), Refused::Dates),
        (json!({ "nbf": NOW + 11 }), Refused::NotYet),
        (json!({ "iat": NOW + 11 }), Refused::NotYet),
        (json!({ "nbf": "soon" }), Refused::Dates),
    ] {
        assert_eq!(refused(&RSA.token(&with(changes.clone()))), why, "{changes}");
    }
    for changes in [
        json!({ "aud": ["x", "billing"] }),
        json!({ "aud": null, "client_id": "orders" }),
        json!({ "exp": NOW - 9 }),
        json!({ "exp": NOW as f64 + 0.5 }),
        json!({ "nbf": NOW + 10, "iat": NOW + 10 }),
    ] {
        assert!(judge(&RSA.token(&with(changes.clone()))).is_ok(), "{changes}");
    }
    let anybody = Rules { audiences: None, ..rules() };
    let token = RSA.token(&with(json!({ "aud": null })));
    assert!(verify(token.as_bytes(), Some(&keys(&[&RSA])), &anybody, NOW).is_ok());
}

#[test]
fn a_token_ends_when_it_says_and_not_before() {
    let token = judge(&RSA.token(&claims())).unwrap();
    assert_eq!(token.ends, NOW + 70);
    let at = |now| verify(RSA.token(&claims()).as_bytes(), Some(&keys(&[&RSA])), &rules(), now);
    assert!(at(NOW + 69).is_ok());
    assert_eq!(at(NOW + 70).err(), Some(Refused::Expired));
}

#[test]
fn without_keys_nobody_passes_but_who_is_at_the_wrong_door_is_told() {
    let token = RSA.token(&claims());
    assert_eq!(verify(token.as_bytes(), None, &rules(), NOW).err(), Some(Refused::NoKeys));
    let other = RSA.token(&with(json!({ "iss": "https://other.example/" })));
    assert_eq!(verify(other.as_bytes(), None, &rules(), NOW).err(), Some(Refused::Issuer));
}

#[test]
fn keys_are_found_by_their_name_and_those_without_one_stand_in() {
    let (one, two) = (Mint::new("k1", "ES256"), Mint::new("k2", "ES256"));
    let set = keys(&[&one, &two]);
    let try_with = |set: &KeySet, token: &str| {
        verify(token.as_bytes(), Some(set), &rules(), NOW).map(|_| ()).err()
    };
    assert_eq!(try_with(&set, &one.token(&claims())), None);
    assert_eq!(try_with(&set, &two.token(&claims())), None);
    let crossed = one.token_with(&json!({ "alg": "ES256", "kid": "k2" }), &claims());
    assert_eq!(try_with(&set, &crossed), Some(Refused::Signature));
    let nameless = two.token_with(&json!({ "alg": "ES256" }), &claims());
    assert_eq!(try_with(&set, &nameless), None, "any key of the kind is tried");
    let mut jwk = two.jwk();
    jwk.as_object_mut().unwrap().remove("kid");
    let set = KeySet::parse(json!({ "keys": [one.jwk(), jwk] }).to_string().as_bytes()).unwrap();
    assert_eq!(try_with(&set, &two.token(&claims())), None, "a key without a name is any");
    let renamed = two.token_with(&json!({ "alg": "ES256", "kid": "k1" }), &claims());
    assert_eq!(try_with(&set, &renamed), Some(Refused::Signature), "but a name binds");
}

#[test]
fn sets_without_a_key_to_verify_with_are_refused() {
    let parse = |value: &Value| KeySet::parse(value.to_string().as_bytes()).map(|set| set.len());
    let of = |change: &dyn Fn(&mut Value)| {
        let mut jwk = RSA.jwk();
        change(&mut jwk);
        parse(&json!({ "keys": [jwk] }))
    };
    assert_eq!(of(&|_| ()), Ok(1));
    assert_eq!(of(&|jwk| jwk["use"] = json!("sig")), Ok(1));
    assert_eq!(of(&|jwk| jwk["use"] = json!("enc")), Err(KeySetError::NoKey));
    assert_eq!(of(&|jwk| jwk["key_ops"] = json!(["encrypt"])), Err(KeySetError::NoKey));
    assert_eq!(of(&|jwk| jwk["alg"] = json!("HS256")), Err(KeySetError::NoKey));
    assert_eq!(of(&|jwk| jwk["alg"] = json!("ES256")), Err(KeySetError::NoKey));
    assert_eq!(of(&|jwk| jwk["alg"] = json!("RSA-OAEP")), Err(KeySetError::NoKey));
    assert_eq!(of(&|jwk| jwk["e"] = json!("AQ")), Err(KeySetError::NoKey), "e = 1");
    assert_eq!(of(&|jwk| jwk["n"] = json!("AQAB")), Err(KeySetError::NoKey), "a short key");
    assert_eq!(of(&|jwk| jwk["kty"] = json!("oct")), Err(KeySetError::NoKey));
    assert_eq!(parse(&json!({ "keys": [] })), Err(KeySetError::NoKey));
    assert_eq!(parse(&json!({ "keys": 7 })), Err(KeySetError::NotAKeySet));
    assert_eq!(parse(&json!([])), Err(KeySetError::NotAKeySet));
    assert_eq!(parse(&RSA.jwk()), Ok(1), "a single key");
    let oct = json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "s" });
    let set = json!({ "keys": [oct, EC.jwk(), {"kty": "??"}, 7] }).to_string();
    let set = KeySet::parse(set.as_bytes()).unwrap();
    assert_eq!((set.len(), set.skipped), (1, 3));
    let many: Vec<Value> = (0..200).map(|_| ED.jwk()).collect();
    assert_eq!(parse(&json!({ "keys": many })), Err(KeySetError::TooManyKeys));
    let huge = format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(150_000));
    assert_eq!(KeySet::parse(huge.as_bytes()).map(|_| ()), Err(KeySetError::TooLarge));
    // A point that is not on the curve.
    let mut off = EC.jwk();
    off["x"] = off["y"].clone();
    assert_eq!(parse(&json!({ "keys": [off] })), Err(KeySetError::NoKey));
}

#[test]
fn what_is_no_token_is_refused_and_a_long_one_before_it_is_read() {
    for (token, why) in [
        (String::new(), Refused::Malformed),
        ("a".to_owned(), Refused::Malformed),
        ("a.b".to_owned(), Refused::Malformed),
        ("a.b.c.d.e".to_owned(), Refused::NotSigned),
        ("!!.b.c".to_owned(), Refused::Malformed),
        ("e30.e30.x".to_owned(), Refused::Malformed),
        ("x".repeat(20_000), Refused::TooLong),
    ] {
        assert_eq!(refused(&token), why, "{token:.20}");
    }
    let good = RSA.token(&claims());
    assert!(
        looks_like_one(good.as_bytes()) && !looks_like_one(b"a.b") && !looks_like_one(b"a b.c.d")
    );
    // The last characters of base64 have bits that mean nothing: there is one spelling only.
    let padded = format!("{good}=");
    assert_eq!(refused(&padded), Refused::Malformed);
}

#[test]
fn scopes_and_second_factors_are_read_in_all_their_forms() {
    let token = |changes: Value| judge(&ED.token(&with(changes))).unwrap();
    let wanted = [Box::from("b"), Box::from("z")];
    assert!(token(json!({ "scope": "a b" })).has_scope_of(&wanted));
    assert!(token(json!({ "scp": ["b"] })).has_scope_of(&wanted));
    assert!(token(json!({ "scp": "c b" })).has_scope_of(&wanted));
    assert!(token(json!({ "scope": ["x", "z"] })).has_scope_of(&wanted));
    assert!(!token(json!({ "scope": "bb B a:b" })).has_scope_of(&wanted));
    assert!(!token(json!({ "scope": {"b": 1} })).has_scope_of(&wanted));
    assert!(!token(json!({})).has_scope_of(&wanted) && token(json!({})).has_scope_of(&[]));
    assert!(token(json!({ "amr": ["pwd", "mfa"] })).mfa && token(json!({ "amr": "mfa" })).mfa);
    assert!(!token(json!({ "amr": ["otp"] })).mfa && !token(json!({ "amr": true })).mfa);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_bytes_panic_and_none_pass(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let set = keys(&[&ED]);
        prop_assert!(verify(&bytes, Some(&set), &rules(), NOW).is_err());
        let _ = KeySet::parse(&bytes);
    }

    #[test]
    fn a_token_changed_in_any_byte_proves_nothing(at in any::<usize>(), to in any::<u8>()) {
        let set = keys(&[&ED]);
        let mut token = ED.token(&claims()).into_bytes();
        let at = at % token.len();
        prop_assume!(token[at] != to);
        token[at] = to;
        prop_assert!(verify(&token, Some(&set), &rules(), NOW).is_err());
    }
}
