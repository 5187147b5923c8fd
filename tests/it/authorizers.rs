//! Who may call, over the wire: tokens of an issuer whose keys the gateway fetches, passwords,
//! certificates, networks; what the refused are told, and what upstreams get to see.

#[path = "../../src/auth/tests/mint.rs"]
pub mod mint;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use self::mint::{Mint, forged, jwks};
use crate::kit::gateway::ADMIN;
use crate::kit::message::Response;
use crate::kit::origin::ok;
use crate::kit::tls::{Authority, connect};
use crate::kit::{Conn, Gateway, H2Client, Origin, PATIENCE, Scrape, eventually, ms};

pub const ISSUER: &str = "https://id.example/";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

pub fn claims() -> Value {
    json!({ "iss": ISSUER, "aud": "orders", "sub": "alice", "exp": now() + 300, "level": 3,
            "org": { "id": "o1" }, "scope": "orders:read", "email": "alice@example.com" })
}

pub fn with(changes: Value) -> Value {
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

pub fn jwt(jwks: &str) -> String {
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

#[test]
fn keys_that_cannot_be_fetched_again_stay_in_use_until_they_are_too_old() {
    let mint = Mint::new("k1", "EdDSA");
    let issuer = Issuer::of(&[&mint]);
    let origin = Origin::fixed(ok("hello"));
    let source = format!(
        "url = \"{}\", refresh = \"1s\", cooldown = \"100ms\", stale = \"3s\"",
        issuer.url()
    );
    let gateway = Gateway::start(&config(&origin, &jwt(&source), "authorizer = \"sso\""));
    assert_eq!(bearer(&gateway, &mint.token(&claims())).status, 200);
    issuer.says(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n".to_vec());
    assert!(gateway.says("those there are stay"), "an outage is logged");
    assert_eq!(bearer(&gateway, &mint.token(&with(json!({ "n": 2 })))).status, 200, "stale");
    let scrape = Scrape::of(&gateway);
    assert_eq!(scrape.sum("ringway_jwks_fetches_total", &[("result", "ok")]), 1);
    assert!(scrape.sum("ringway_jwks_fetches_total", &[("result", "failed")]) >= 1);
    assert_eq!(scrape.sum("ringway_jwks_keys", &[("authorizer", "sso")]), 1);
    let token = mint.token(&claims());
    let refused = || bearer(&gateway, &token).status == 503;
    assert!(eventually(PATIENCE, refused), "too old to be believed");
    issuer.says(ok(&jwks(&[&mint])));
    assert!(eventually(PATIENCE, || bearer(&gateway, &token).status == 200), "and back again");
}

#[test]
fn while_keys_have_never_come_nobody_is_let_in() {
    let mint = Mint::new("k1", "EdDSA");
    let origin = Origin::fixed(ok("hello"));
    for answer in [
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
        ok("<html>"),
        ok("{\"keys\":[]}"),
        b"HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n".to_vec(),
        ok(&format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(200_000))),
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"keys\":".to_vec(),
    ] {
        let issuer = Issuer::of(&[&mint]);
        issuer.says(answer);
        let source = format!("url = \"{}\", timeout = \"300ms\"", issuer.url());
        let gateway = Gateway::start(&config(&origin, &jwt(&source), "authorizer = \"sso\""));
        let response = bearer(&gateway, &mint.token(&claims()));
        assert_eq!((response.status, &*response.code()), (503, "AUTH_008"), "{response:?}");
        assert_eq!(response.field("www-authenticate"), None);
        // Whoever shows nothing, or something for another door, is told so all the same.
        assert_eq!(ask(&gateway, "/", "").status, 401);
        let other = mint.token(&with(json!({ "iss": "https://other.example/" })));
        assert_eq!(bearer(&gateway, &other).status, 401);
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn an_issuers_metadata_says_where_its_keys_are() {
    let mint = Mint::new("k1", "ES384");
    let keys = Issuer::of(&[&mint]);
    let metadata = Issuer::of(&[&mint]);
    let issuer = format!("http://{}/realm", metadata.origin.addr);
    let document = json!({ "issuer": issuer, "jwks_uri": keys.url() });
    metadata.says(ok(&document.to_string()));
    let origin = Origin::fixed(ok("hello"));
    let authorizer = format!("type = \"jwt\"\nissuer = \"{issuer}\"\naudiences = [\"orders\"]\n");
    let gateway = Gateway::start(&config(&origin, &authorizer, "authorizer = \"sso\""));
    assert_eq!(bearer(&gateway, &mint.token(&with(json!({ "iss": issuer })))).status, 200);
    let asked = metadata.origin.last();
    assert_eq!(asked.target(), "/realm/.well-known/openid-configuration");
    // A document of somebody else leads nowhere.
    let document = json!({ "issuer": "https://evil.example", "jwks_uri": keys.url() });
    metadata.says(ok(&document.to_string()));
    let gateway = Gateway::start(&config(&origin, &authorizer, "authorizer = \"sso\""));
    assert_eq!(bearer(&gateway, &mint.token(&with(json!({ "iss": issuer })))).status, 503);
    assert!(gateway.says("the metadata is of another issuer"));
}

/// A gateway with one issuer's keys in a file.
fn with_file(mints: &[&Mint], origin: &Origin, more: &str, api: &str) -> Gateway {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("keys.json"), jwks(mints)).expect("written");
    let authorizer = jwt("file = \"keys.json\"") + more;
    Gateway::start_in(dir, &config(origin, &authorizer, api))
}

#[test]
fn what_an_attacker_would_try_is_refused() {
    let (rsa, mallory) = (Mint::new("k1", "RS256"), Mint::new("k1", "RS256"));
    let origin = Origin::fixed(ok("hello"));
    let gateway = with_file(&[&rsa], &origin, "", "authorizer = \"sso\"");
    let header = |alg: &str| json!({ "alg": alg, "kid": "k1", "typ": "JWT" });
    let secret = serde_json::to_string(&rsa.jwk()).expect("JSON");
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
    let unsigned = forged(&header("HS256"), &claims(), b"");
    let signed = unsigned.trim_end_matches('.').as_bytes();
    let confused =
        forged(&header("HS256"), &claims(), aws_lc_rs::hmac::sign(&key, signed).as_ref());
    let mut injected = header("RS256");
    injected["jwk"] = mallory.jwk();
    for (what, token, detail) in [
        ("alg none", forged(&header("none"), &claims(), b"x"), "token_algorithm"),
        ("no signature", forged(&header("none"), &claims(), b""), "token_not_signed"),
        ("HMAC with the public key", confused, "token_algorithm"),
        ("a key in the header", mallory.token_with(&injected, &claims()), "token_signature"),
        (
            "a path for a key's name",
            mallory.token_with(&json!({ "alg": "RS256", "kid": "../../dev/null" }), &claims()),
            "token_key_unknown",
        ),
        ("expired", rsa.token(&with(json!({ "exp": now() - 100 }))), "token_expired"),
        ("not yet", rsa.token(&with(json!({ "nbf": now() + 100 }))), "token_not_yet_valid"),
        ("another audience", rsa.token(&with(json!({ "aud": "other" }))), "token_audience"),
        ("another issuer", rsa.token(&with(json!({ "iss": "x" }))), "token_issuer"),
        (
            "critical",
            rsa.token_with(&json!({ "alg": "RS256", "kid": "k1", "crit": ["x"] }), &claims()),
            "token_critical_header",
        ),
        ("too long", "x".repeat(17_000), "token_too_long"),
        ("nonsense", "nonsense".to_owned(), "token_malformed"),
    ] {
        let response = bearer(&gateway, &token);
        assert_eq!((response.status, &*response.code()), (401, "AUTH_001"), "{what}");
        assert!(response.text().contains(detail), "{what}: {response:?}");
    }
    let good = rsa.token(&claims());
    let twice = format!("Authorization: Bearer {good}\r\nAuthorization: Bearer {good}\r\n");
    let response = ask(&gateway, "/", &twice);
    assert_eq!((response.status, &*response.code()), (401, "AUTH_001"));
    assert!(response.field("www-authenticate").is_some_and(|v| v.contains("invalid_request")));
    // The bare token, where `Bearer ` is asked for, is no credential.
    let response = ask(&gateway, "/", &format!("Authorization: {good}\r\n"));
    assert_eq!(response.code(), "AUTH_009");
    assert_eq!(origin.count(), 0);
    assert_eq!(bearer(&gateway, &good).status, 200);
}

#[test]
fn a_token_may_stand_elsewhere_too() {
    let mint = Mint::new("k1", "EdDSA");
    let origin = Origin::fixed(ok("hello"));
    let (good, api) = (mint.token(&claims()), "authorizer = \"sso\"");
    for (source, path, fields, status) in [
        ("header:x-token", "/", format!("X-Token: {good}\r\n"), 200),
        ("header:x-token", "/", format!("X-Token: bearer {good}\r\n"), 200),
        ("header:x-token", "/", format!("X-Token: {good}\r\nX-Token: {good}\r\n"), 401),
        ("header:x-token", "/", format!("Authorization: Bearer {good}\r\n"), 401),
        ("cookie:session", "/", format!("Cookie: a=b; session={good}; c=d\r\n"), 200),
        ("cookie:session", "/", format!("Cookie: session={good}; session=x\r\n"), 401),
        ("cookie:session", "/", format!("Cookie: xsession={good}\r\n"), 401),
    ] {
        let more = format!("identity_source = \"{source}\"\n");
        let gateway = with_file(&[&mint], &origin, &more, api);
        assert_eq!(ask(&gateway, path, &fields).status, status, "{source} {fields:.30}");
    }
    let gateway = with_file(&[&mint], &origin, "identity_source = \"query:t\"\n", api);
    assert_eq!(ask(&gateway, &format!("/?a=1&t={good}"), "").status, 200);
    assert_eq!(ask(&gateway, &format!("/?t={good}&t={good}"), "").status, 401);
    assert_eq!(ask(&gateway, "/?t=", "").code(), "AUTH_009");
    let gateway = with_file(&[&mint], &origin, "bearer = \"optional\"\n", api);
    assert_eq!(ask(&gateway, "/", &format!("Authorization: {good}\r\n")).status, 200);
    assert_eq!(ask(&gateway, "/", &format!("Authorization: BEARER {good}\r\n")).status, 200);
}

#[test]
fn scopes_and_second_factors_are_asked_of_those_who_are_known() {
    let mint = Mint::new("k1", "ES256");
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("keys.json"), jwks(&[&mint])).expect("written");
    let origin = Origin::fixed(ok("hello"));
    let api = "authorizer = \"sso\"\nscopes = [\"orders:read\", \"orders:write\"]\n\
               [apis.app.routes.\"GET /admin\"]\nupstream = \"app\"\nscopes = [\"admin\"]\n\
               [apis.app.routes.\"GET /pay\"]\nupstream = \"app\"\nmfa = true\n\
               [apis.app.routes.\"GET /open\"]\nupstream = \"app\"\nauthorizer = \"none\"\n";
    let gateway = Gateway::start_in(dir, &config(&origin, &jwt("file = \"keys.json\""), api));
    let get = |path: &str, token: &str| {
        ask(&gateway, path, &format!("Authorization: Bearer {token}\r\n"))
    };
    let reader = mint.token(&claims());
    assert_eq!(get("/", &reader).status, 200);
    let response = get("/admin", &reader);
    assert_eq!((response.status, &*response.code()), (403, "AUTH_002"));
    assert_eq!(
        response.field("www-authenticate"),
        Some(
            "Bearer realm=\"sso\", error=\"insufficient_scope\", \
             error_description=\"the token has none of the scopes\", scope=\"admin\""
        )
    );
    let response = get("/pay", &reader);
    assert_eq!((response.status, &*response.code()), (403, "AUTH_003"));
    let careful = mint.token(&with(json!({ "amr": ["pwd", "mfa"], "scp": ["admin"] })));
    assert_eq!(get("/pay", &careful).status, 200);
    assert_eq!(get("/admin", &careful).status, 200);
    assert_eq!(ask(&gateway, "/open", "").status, 200);
    assert_eq!(ask(&gateway, "/other", "").status, 401);
    let scrape = Scrape::of(&gateway);
    let judged = scrape.by("ringway_authorizations_total", "outcome");
    assert_eq!(judged["forbidden"], 2, "{judged:?}");
    assert_eq!(judged["missing"], 1, "{judged:?}");
}

#[test]
fn claims_become_fields_and_no_clients_copy_survives() {
    let mint = Mint::new("k1", "ES256");
    let origin = Origin::fixed(ok("hello"));
    let more = "claims_to_headers = { x-user = \"sub\", x-org = \"org.id\", x-level = \"level\", \
                x-none = \"nothing\" }\nlog_claims = [\"email\", \"nothing\"]\n";
    let api = "authorizer = \"sso\"\n\
               request_headers = { set = { x-mail = \"<{claim:email}>\" } }\n\
               [apis.app.routes.\"GET /open\"]\nupstream = \"app\"\nauthorizer = \"none\"\n\
               [apis.app.routes.\"GET /me\"]\nupstream = \"app\"\n\
               rewrite = \"/users/{claim:sub}\"\n";
    let gateway = with_file(&[&mint], &origin, more, api);
    let lies = "X-User: root\r\nx_user: root\r\nX-None: root\r\nX-Org: a\r\nX-Org: b\r\n";
    let token = mint.token(&claims());
    let fields = format!("{lies}Authorization: Bearer {token}\r\n");
    assert_eq!(ask(&gateway, "/", &fields).status, 200);
    let seen = origin.last();
    assert_eq!(seen.all("x-user"), ["alice"]);
    assert_eq!(seen.all("x-org"), ["o1"]);
    assert_eq!(seen.all("x-level"), ["3"]);
    assert_eq!(seen.all("x-mail"), ["<alice@example.com>"]);
    assert!(seen.all("x-none").is_empty() && seen.all("x_user").is_empty());
    assert_eq!(seen.field("authorization"), Some(&*format!("Bearer {token}")));
    // An open route of the API is no way round.
    assert_eq!(ask(&gateway, "/open", lies).status, 200);
    let seen = origin.last();
    assert!(["x-user", "x_user", "x-none", "x-org"].iter().all(|name| seen.all(name).is_empty()));
    // Neither are trailers, which some servers take for fields.
    let head = "POST /open HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunked = format!("{head}1\r\na\r\n0\r\nX-User: root\r\nX-Sum: 7\r\n\r\n");
    let mut client = gateway.client();
    client.send(chunked.replace("POST", "GET"));
    assert_eq!(client.response().status, 200);
    let bytes = String::from_utf8_lossy(&origin.bytes()).to_lowercase();
    assert!(bytes.contains("x-sum: 7") && !bytes.contains("x-user: root"), "{bytes}");
    // A claim in a target stays within its segment.
    let token = mint.token(&with(json!({ "sub": "../a b?c#d" })));
    assert_eq!(ask(&gateway, "/me", &format!("Authorization: Bearer {token}\r\n")).status, 200);
    assert_eq!(origin.last().target(), "/users/..%2Fa%20b%3Fc%23d");
    // What cannot be a field is refused.
    for sub in ["a\r\nx-admin: yes", " alice", "a\0"] {
        let response = bearer(&gateway, &mint.token(&with(json!({ "sub": sub }))));
        assert_eq!((response.status, &*response.code()), (401, "AUTH_001"), "{sub:?}");
    }
    // Two workers write the log: lines come in any order.
    let lines = gateway.access_log(7);
    let line = |path: &str| lines.iter().find(|line| line["path"] == path).expect("is logged");
    let known: Vec<&Value> = lines.iter().filter(|line| line["subject"] == "alice").collect();
    assert_eq!(known.len(), 1);
    assert_eq!(known[0]["claims"], json!({ "email": "alice@example.com" }));
    assert_eq!(line("/me")["subject"], "../a b?c#d");
    assert_eq!(line("/open").get("subject"), None);
    assert_eq!(lines.iter().filter(|line| line["detail"] == "token_claim").count(), 3);
}

#[test]
fn a_known_token_is_known_again_until_it_ends_or_its_key_goes() {
    let mint = Mint::new("k1", "ES256");
    let origin = Origin::fixed(ok("hello"));
    let mut gateway = with_file(&[&mint], &origin, "leeway = \"0s\"\n", "authorizer = \"sso\"");
    let token = mint.token(&with(json!({ "exp": now() + 3 })));
    let mut client = gateway.client();
    let mut get = |token: &str| {
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"));
        client.response().status
    };
    assert_eq!([get(&token), get(&token), get(&token)], [200, 200, 200]);
    let scrape = Scrape::of(&gateway);
    let judged = scrape.by("ringway_authorizations_total", "outcome");
    assert_eq!((judged["accepted"], judged["known"]), (1, 2));
    assert!(eventually(PATIENCE, || get(&token) == 401), "it ends, known or not");
    // A key that goes takes its tokens along, without a reload of the configuration.
    let token = mint.token(&claims());
    assert_eq!([get(&token), get(&token)], [200, 200]);
    let other = Mint::new("k2", "ES256");
    std::fs::write(gateway.path("keys.json"), jwks(&[&other, &other])).expect("written");
    assert!(eventually(PATIENCE, || get(&token) == 401), "the file has changed");
    assert_eq!(get(&other.token(&claims())), 200);
    // A file that cannot be read changes nothing, neither does it let a reload through.
    std::fs::write(gateway.path("keys.json"), "{").expect("written");
    assert!(gateway.says("those there are stay"));
    assert_eq!(get(&other.token(&claims())), 200);
    let text = std::fs::read_to_string(gateway.path("ringway.toml")).expect("is there");
    let said = gateway.reload_raw(&text);
    assert!(said.contains("reload refused") && said.contains("keys.json"), "{said}");
    assert_eq!(get(&other.token(&claims())), 200);
}

#[test]
fn keys_outlive_a_reload_and_do_not_pass_to_another_issuer() {
    let mint = Mint::new("k1", "ES256");
    let issuer = Issuer::of(&[&mint]);
    let origin = Origin::fixed(ok("hello"));
    let source = format!("url = \"{}\"", issuer.url());
    let text = config(&origin, &jwt(&source), "authorizer = \"sso\"");
    let mut gateway = Gateway::start(&text);
    let token = mint.token(&claims());
    assert_eq!(bearer(&gateway, &token).status, 200);
    issuer.says(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n".to_vec());
    gateway.reload(&text.replace("audiences = [\"orders\"]", "audiences = [\"orders\", \"x\"]"));
    assert_eq!(bearer(&gateway, &token).status, 200, "the keys follow the name");
    assert_eq!(issuer.asked(), 1);
    gateway.reload(&text.replace(ISSUER, "https://other.example/"));
    let other = mint.token(&with(json!({ "iss": "https://other.example/" })));
    assert_eq!(bearer(&gateway, &other).status, 503, "they are the old issuer's");
}

/// `open sesame`, hashed at the least cost there is.
fn argon2_hash() -> String {
    use argon2::password_hash::CustomizedPasswordHasher as _;
    let params = argon2::Params::new(8, 1, 1, None).expect("the least");
    let hasher = argon2::Argon2::default();
    let hash = hasher.hash_password_customized(b"open sesame", b"somesalt", None, None, params);
    hash.expect("is hashed").to_string()
}

fn basic(gateway: &Gateway, credentials: &str) -> Response {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(credentials);
    ask(gateway, "/", &format!("Authorization: Basic {encoded}\r\n"))
}

#[test]
fn a_password_lets_its_user_in_and_stays_here() {
    let origin = Origin::fixed(ok("hello"));
    let dir = tempfile::tempdir().expect("a directory");
    let bcrypt = bcrypt::hash_with_salt("pass:word", 4, [7; 16]).expect("is hashed").to_string();
    std::fs::write(dir.path().join("users"), format!("bob:{bcrypt}\n")).expect("written");
    let authorizer = format!(
        "type = \"basic\"\nrealm = \"the edge\"\nusers = {{ ada = \"{}\" }}\n\
         users_file = \"users\"\nclaims_to_headers = {{ x-user = \"sub\" }}\n",
        argon2_hash()
    );
    let gateway = Gateway::start_in(dir, &config(&origin, &authorizer, "authorizer = \"sso\""));
    for _ in 0..3 {
        assert_eq!(basic(&gateway, "ada:open sesame").status, 200);
    }
    assert_eq!(origin.last().all("x-user"), ["ada"]);
    assert_eq!(origin.last().field("authorization"), None, "held back");
    assert_eq!(basic(&gateway, "bob:pass:word").status, 200);
    let mut bodies = Vec::new();
    for wrong in ["ada:open sesam", "ada:", "mallory:open sesame", "bob:open sesame", "ada:x"] {
        let response = basic(&gateway, wrong);
        assert_eq!((response.status, &*response.code()), (401, "AUTH_001"), "{wrong}");
        let challenge = "Basic realm=\"the edge\", charset=\"UTF-8\"";
        assert_eq!(response.field("www-authenticate"), Some(challenge));
        let body: Value = serde_json::from_slice(&response.body).expect("JSON");
        bodies.push(body["error"]["details"].clone());
    }
    bodies.dedup();
    assert_eq!(bodies, [json!({ "reason": "user_or_password" })], "nothing tells them apart");
    assert_eq!(ask(&gateway, "/", "Authorization: Basic !!!\r\n").code(), "AUTH_001");
    assert_eq!(ask(&gateway, "/", "").code(), "AUTH_009");
    let lines = gateway.access_log(11);
    assert_eq!(lines.iter().filter(|line| line["subject"] == "ada").count(), 3);
    assert_eq!(lines.iter().filter(|line| line["subject"] == "bob").count(), 1);
}

#[test]
fn one_of_several_authorizers_is_enough() {
    let mint = Mint::new("k1", "ES256");
    let origin = Origin::fixed(ok("hello"));
    let more = format!(
        "[authorizers.staff]\ntype = \"basic\"\nusers = {{ ada = \"{}\" }}\n",
        argon2_hash()
    );
    let api = "authorizers = [\"sso\", \"staff\"]";
    let gateway = with_file(&[&mint], &origin, &more, api);
    assert_eq!(bearer(&gateway, &mint.token(&claims())).status, 200);
    assert_eq!(basic(&gateway, "ada:open sesame").status, 200);
    let response = bearer(&gateway, &mint.token(&with(json!({ "exp": 5 }))));
    assert_eq!(response.status, 401);
    assert_eq!(
        response.all("www-authenticate"),
        [
            "Bearer realm=\"sso\", error=\"invalid_token\", \
             error_description=\"the token has expired\"",
            "Basic realm=\"staff\", charset=\"UTF-8\"",
        ]
    );
    assert_eq!(ask(&gateway, "/", "").all("www-authenticate").len(), 2);
}

#[test]
fn networks_decide_before_anything_else() {
    let origin = Origin::fixed(ok("hello"));
    let text = format!(
        r#"
[listeners.web]
address = "127.0.0.1:0"
trusted_proxies = ["127.0.0.1"]
[upstreams.app]
endpoints = ["{}"]
[apis.app]
allow_from = ["10.0.0.0/8", "2001:db8::/32", "127.0.0.1"]
deny_from = ["10.6.0.0/16"]
[apis.app.routes."$default"]
upstream = "app"
[apis.app.routes."GET /wide"]
upstream = "app"
allow_from = ["0.0.0.0/0"]
[apis.app.routes."GET /narrow"]
upstream = "app"
deny_from = ["10.0.0.0/8"]
"#,
        origin.addr
    );
    let gateway = Gateway::start(&text);
    for (path, client, status) in [
        ("/", "10.1.2.3", 200),
        ("/", "10.6.0.1", 403),
        ("/", "192.0.2.1", 403),
        ("/", "2001:db8::7", 200),
        ("/", "2001:db9::7", 403),
        ("/", "::ffff:10.1.2.3", 200),
        ("/wide", "192.0.2.1", 200),
        ("/wide", "10.6.0.1", 403),
        ("/narrow", "10.1.2.3", 403),
        ("/narrow", "2001:db8::7", 200),
    ] {
        let response = ask(&gateway, path, &format!("X-Forwarded-For: {client}\r\n"));
        assert_eq!(response.status, status, "{path} from {client}");
        if status == 403 {
            assert_eq!(response.code(), "AUTH_007");
            assert_eq!(response.field("www-authenticate"), None);
        }
    }
}

#[test]
fn a_client_certificate_is_an_identity_by_its_names() {
    let authority = Authority::new("ours");
    let dir = tempfile::tempdir().expect("a directory");
    authority.issue(&["a.test"]).write(dir.path(), "a");
    authority.write(dir.path(), "clients.pem");
    let origin = Origin::fixed(ok("hello"));
    let text = format!(
        r#"
[listeners.web]
address = "127.0.0.1:0"
[listeners.web.tls]
certificates = [{{ cert = "a.pem", key = "a.key" }}]
client_ca = "clients.pem"
client_auth = "request"
[upstreams.app]
endpoints = ["{}"]
[authorizers.machines]
type = "mtls"
names = ["*.svc.test"]
claims_to_headers = {{ x-machine = "sub", x-print = "fingerprint" }}
[apis.app]
authorizer = "machines"
[apis.app.routes."$default"]
upstream = "app"
"#,
        origin.addr
    );
    let gateway = Gateway::start_in(dir, &text);
    let get = "GET / HTTP/1.1\r\nHost: a.test\r\nX-Machine: lie\r\n\r\n";
    let answer = |config| {
        let mut shaken = connect(gateway.addr(), config, "a.test").expect("a handshake");
        shaken.client.send(get).response()
    };
    let response = answer(authority.client());
    assert_eq!((response.status, &*response.code()), (401, "AUTH_009"));
    assert_eq!(response.field("www-authenticate"), Some("ClientCertificate realm=\"machines\""));
    let response = answer(authority.client_with(&authority.issue(&["billing.other.test"])));
    assert_eq!((response.status, &*response.code()), (401, "AUTH_001"));
    assert_eq!(origin.count(), 0);
    let mine = authority.issue(&["billing.svc.test"]);
    assert_eq!(answer(authority.client_with(&mine)).status, 200);
    let seen = origin.last();
    assert_eq!(seen.all("x-machine"), ["billing.svc.test"]);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, mine.der());
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(seen.field("x-print"), Some(&*hex));
}

#[test]
fn keys_come_over_tls_from_whom_the_authority_vouches_for_only() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let mint = Mint::new("k1", "ES256");
    let origin = Origin::fixed(ok("hello"));
    for (authority, status) in [(&ours, 200), (&other, 503)] {
        let keys = ok(&jwks(&[&mint]));
        let server = authority.server(&authority.issue(&["localhost"]), false);
        let issuer = Origin::tls(server, move |conn| conn.serve(&|_| keys.clone()));
        let dir = tempfile::tempdir().expect("a directory");
        ours.write(dir.path(), "ca.pem");
        // A name: resolved on its way.
        let url = format!("https://localhost:{}/keys", issuer.addr.port());
        let source = format!("url = \"{url}\", ca = \"ca.pem\"");
        let text = config(&origin, &jwt(&source), "authorizer = \"sso\"");
        let gateway = Gateway::start_in(dir, &text);
        assert_eq!(bearer(&gateway, &mint.token(&claims())).status, status);
    }
}

#[test]
fn http2_and_grpc_are_told_in_their_own_words() {
    let mint = Mint::new("k1", "ES256");
    let origin = Origin::fixed(ok("hello"));
    let api = "authorizer = \"sso\"\nscopes = [\"admin\"]\n";
    let gateway = with_file(&[&mint], &origin, "", api);
    let mut client = H2Client::connect(gateway.addr());
    let grpc = ("content-type", "application/grpc");
    let answer = client.ask("/s/M", &[grpc, ("te", "trailers")], b"\0\0\0\0\0");
    assert_eq!(answer.field("grpc-status"), Some("16"));
    let token = format!("Bearer {}", mint.token(&claims()));
    let fields = [grpc, ("te", "trailers"), ("authorization", &*token)];
    let answer = client.ask("/s/M", &fields, b"\0\0\0\0\0");
    assert_eq!(answer.field("grpc-status"), Some("7"));
    let answer = client.ask("/", &[("authorization", &*token)], b"");
    assert_eq!(answer.status, 403);
    assert!(answer.field("www-authenticate").is_some_and(|v| v.contains("insufficient_scope")));
    let admin = format!("Bearer {}", mint.token(&with(json!({ "scope": "admin" }))));
    assert_eq!(client.ask("/", &[("authorization", &*admin)], b"").status, 200);
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_refused_upload_is_answered_at_once_and_the_connection_goes_on() {
    let origin = Origin::fixed(ok("hello"));
    let mint = Mint::new("k1", "ES256");
    let gateway = with_file(&[&mint], &origin, "", "authorizer = \"sso\"");
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(client.response().status, 401);
    let token = mint.token(&claims());
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"));
    assert_eq!(client.response().status, 200);
}

#[test]
fn many_passwords_at_once_are_verified_or_refused_and_the_worker_goes_on() {
    let origin = Origin::fixed(ok("hello"));
    // Dear enough for a queue to form, at a debug build's speed.
    let params = argon2::Params::new(1024, 2, 1, None).expect("some");
    let hash = {
        use argon2::password_hash::CustomizedPasswordHasher as _;
        let hasher = argon2::Argon2::default();
        let hash = hasher.hash_password_customized(b"pw", b"somesalt", None, None, params);
        hash.expect("is hashed").to_string()
    };
    let authorizer = format!("type = \"basic\"\nusers = {{ ada = \"{hash}\" }}\n");
    let api = "authorizer = \"sso\"\n[apis.app.routes.\"GET /open\"]\nupstream = \"app\"\n\
               authorizer = \"none\"\n";
    let gateway = Gateway::start(&config(&origin, &authorizer, api));
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let ask = |n: usize| basic(&gateway, &format!("ada:wrong{n}")).status;
        let asking: Vec<_> = (0..120).map(|n| scope.spawn(move || ask(n))).collect();
        // While they wait the workers serve others.
        for _ in 0..10 {
            assert_eq!(self::ask(&gateway, "/open", "").status, 200);
        }
        assert!(asking.iter().any(|asked| !asked.is_finished()), "nobody waits any more");
        asking.into_iter().map(|asked| asked.join().expect("answered")).collect()
    });
    assert!(statuses.iter().all(|status| [401, 503].contains(status)), "{statuses:?}");
    assert!(statuses.contains(&401), "{statuses:?}");
    assert_eq!(basic(&gateway, "ada:pw").status, 200);
}

#[test]
fn a_token_in_a_query_is_not_in_the_log() {
    let mint = Mint::new("k1", "EdDSA");
    let origin = Origin::fixed(ok("hello"));
    let more = "identity_source = \"query:badge\"\n";
    let gateway = with_file(&[&mint], &origin, more, "authorizer = \"sso\"");
    let token = mint.token(&claims());
    assert_eq!(ask(&gateway, &format!("/?a=1&badge={token}&token=x"), "").status, 200);
    assert_eq!(gateway.access_line()["query"], "a=1&badge=***&token=***");
}

#[test]
fn tokens_of_another_implementation_mean_the_same() {
    let modules = "jwt.algorithms, cryptography";
    let Some(python) = crate::kit::system::python_with(modules) else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/python/tokens.py");
    let made = std::process::Command::new(python).args([script, ISSUER, "orders"]).output();
    let made = made.expect("python3 runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let made: Value = serde_json::from_slice(&made.stdout).expect("JSON");
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("keys.json"), made["jwks"].to_string()).expect("written");
    let origin = Origin::fixed(ok("hello"));
    let authorizer = jwt("file = \"keys.json\"") + "claims_to_headers = { x-user = \"sub\" }\n";
    let gateway = Gateway::start_in(dir, &config(&origin, &authorizer, "authorizer = \"sso\""));
    let good = made["good"].as_object().expect("tokens");
    assert_eq!(good.len(), 9);
    for (algorithm, token) in good {
        assert_eq!(bearer(&gateway, token.as_str().expect("a text")).status, 200, "{algorithm}");
        let seen = origin.last();
        assert!(String::from_utf8_lossy(&seen.head).contains("x-user: zo\u{eb}"), "{algorithm}");
    }
    let bad = made["bad"].as_object().expect("tokens");
    assert_eq!(bad.len(), 11);
    for (what, token) in bad {
        assert_eq!(bearer(&gateway, token.as_str().expect("a text")).status, 401, "{what}");
    }
}
