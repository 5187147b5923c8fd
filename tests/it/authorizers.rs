//! Who may call, over the wire: tokens of an issuer whose keys the gateway fetches, passwords,
//! certificates, networks; what the refused are told, and what upstreams get to see.

#[path = "../../src/auth/tests/mint.rs"]
mod mint;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use self::mint::{Mint, forged, jwks};
use crate::kit::gateway::ADMIN;
use crate::kit::message::Response;
use crate::kit::origin::ok;
use crate::kit::{Conn, Gateway, Origin, PATIENCE, Scrape, eventually, ms};

const ISSUER: &str = "https://id.example/";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

fn claims() -> Value {
    json!({ "iss": ISSUER, "aud": "orders", "sub": "alice", "exp": now() + 300, "level": 3,
            "org": { "id": "o1" }, "scope": "orders:read", "email": "alice@example.com" })
}

fn with(changes: Value) -> Value {
    let mut all = claims();
    for (name, value) in changes.as_object().expect("an object") {
        all[name] = value.clone();
    }
    all
}

/// An issuer's web server: its answer can be changed, and its requests are counted.
struct Issuer {
    origin: Origin,
    answer: Arc<Mutex<Vec<u8>>>,
    asked: Arc<AtomicUsize>,
}

impl Issuer {
    fn of(mints: &[&Mint]) -> Issuer {
        let answer = Arc::new(Mutex::new(ok(&jwks(mints))));
        let asked = Arc::new(AtomicUsize::new(0));
        let (says, counts) = (answer.clone(), asked.clone());
        let origin = Origin::scripted(move |conn: &mut Conn| {
            while conn.request().is_some() {
                counts.fetch_add(1, Ordering::SeqCst);
                conn.send(says.lock().expect("never poisoned").clone());
            }
        });
        Issuer { origin, answer, asked }
    }

    fn says(&self, answer: Vec<u8>) {
        *self.answer.lock().expect("never poisoned") = answer;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn url(&self) -> String {
        format!("http://{}/keys", self.origin.addr)
    }
}

fn config(origin: &Origin, authorizer: &str, api: &str) -> String {
    format!(
        r#"
{ADMIN}
[listeners.web]
address = "127.0.0.1:0"
[upstreams.app]
endpoints = ["{}"]
[authorizers.sso]
{authorizer}
[apis.app]
{api}
[apis.app.routes."$default"]
upstream = "app"
"#,
        origin.addr
    )
}

fn jwt(jwks: &str) -> String {
    format!(
        "type = \"jwt\"\nissuer = \"{ISSUER}\"\naudiences = [\"orders\"]\njwks = {{ {jwks} }}\n"
    )
}

fn ask(gateway: &Gateway, path: &str, fields: &str) -> Response {
    gateway.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n"))
}

fn bearer(gateway: &Gateway, token: &str) -> Response {
    ask(gateway, "/", &format!("Authorization: Bearer {token}\r\n"))
}

#[test]
fn a_token_of_a_key_in_a_file_lets_its_owner_in() {
    let mint = Mint::new("k1", "RS256");
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("keys.json"), jwks(&[&mint])).expect("written");
    let origin = Origin::fixed(ok("hello"));
    let api = "authorizer = \"sso\"";
    let gateway = Gateway::start_in(dir, &config(&origin, &jwt("file = \"keys.json\""), api));
    let response = bearer(&gateway, &mint.token(&claims()));
    assert_eq!(response.status, 200, "{response:?}");
    let response = ask(&gateway, "/", "");
    assert_eq!((response.status, &*response.code()), (401, "AUTH_009"));
    assert_eq!(response.field("www-authenticate"), Some("Bearer realm=\"sso\""));
    let response = bearer(&gateway, &Mint::new("k1", "RS256").token(&claims()));
    assert_eq!((response.status, &*response.code()), (401, "AUTH_001"));
    assert_eq!(
        response.field("www-authenticate"),
        Some(
            "Bearer realm=\"sso\", error=\"invalid_token\", \
             error_description=\"the token's signature is not valid\""
        )
    );
}

#[test]
fn keys_are_fetched_from_their_url_and_again_for_a_key_that_is_new() {
    let (old, new) = (Mint::new("k1", "ES256"), Mint::new("k2", "EdDSA"));
    let issuer = Issuer::of(&[&old]);
    let origin = Origin::fixed(ok("hello"));
    let source = format!("url = \"{}\", cooldown = \"300ms\"", issuer.url());
    let gateway = Gateway::start(&config(&origin, &jwt(&source), "authorizer = \"sso\""));
    assert_eq!(bearer(&gateway, &old.token(&claims())).status, 200);
    assert_eq!(issuer.asked(), 1);
    issuer.says(ok(&jwks(&[&old, &new])));
    std::thread::sleep(ms(350));
    assert_eq!(bearer(&gateway, &new.token(&claims())).status, 200, "the request waits for it");
    assert_eq!(issuer.asked(), 2);
    // Nobody can make it ask more often than the cooldown lets it.
    let stranger = Mint::new("k3", "ES256");
    for _ in 0..20 {
        let response = bearer(&gateway, &stranger.token(&claims()));
        assert_eq!((response.status, &*response.code()), (401, "AUTH_001"));
    }
    assert!(issuer.asked() <= 4, "{} fetches", issuer.asked());
    // A key that is gone from the set lets nobody in any more.
    issuer.says(ok(&jwks(&[&new])));
    std::thread::sleep(ms(350));
    bearer(&gateway, &stranger.token(&claims()));
    assert_eq!(bearer(&gateway, &old.token(&claims())).status, 401);
    assert_eq!(bearer(&gateway, &new.token(&claims())).status, 200);
}
