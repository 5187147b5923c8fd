//! What proves a caller: no bytes are a token of a key that never signed, and none panic. The first
//! byte chooses what the others are read as.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ringway::auth::basic::{Credentials, Hash, Users};
use ringway::auth::jwt::{self, Rules};
use ringway::auth::{Algorithms, KeySet};
use ringway::http::Url;

/// Public keys whose private halves nobody has (RFC 7515 appendix A, RFC 8037 appendix A).
const KEYS: &[u8] = br#"{"keys":[
    {"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
    {"kty":"EC","kid":"e","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
     "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;

static SET: LazyLock<KeySet> = LazyLock::new(|| KeySet::parse(KEYS).expect("two keys"));

fuzz_target!(|input: &[u8]| {
    let Some((&choice, bytes)) = input.split_first() else { return };
    match choice % 5 {
        0 => {
            let rules = Rules {
                issuer: "i".into(),
                audiences: None,
                algorithms: Algorithms::all(),
                leeway: 0,
            };
            let verified = jwt::verify(bytes, Some(&SET), &rules, 1_800_000_000);
            assert!(verified.is_err(), "nobody signed this");
            // Without keys it gets no further, whatever it is.
            assert!(jwt::verify(bytes, None, &rules, 0).is_err());
        }
        1 => {
            if let Ok(set) = KeySet::parse(bytes) {
                assert!(!set.is_empty());
            }
        }
        2 => {
            if let Some(shown) = Credentials::parse(bytes) {
                assert!(!shown.user.contains(':'));
            }
        }
        3 => {
            let text = String::from_utf8_lossy(bytes);
            let _ = Hash::parse(&text);
            let _ = Users::parse_file(&text);
        }
        _ => {
            if let Some(url) = std::str::from_utf8(bytes).ok().and_then(Url::parse) {
                let written = format!("{}{}", url.authority(), url.target);
                assert!(written.bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }
    }
});
