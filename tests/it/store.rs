//! The store of keys over time: what was acknowledged stays, whoever wrote it and however the
//! process ends; a change is live on every worker within a tenth of a second.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::admin_api::{TOKEN, config, json_of, read, started, write};
use crate::kit::gateway::{Ended, complete, run};
use crate::kit::{Gateway, Origin, PATIENCE, eventually};

/// Live on every worker, and generous for two busy cores: the store looks every 40 ms.
const SOON: Duration = PATIENCE;

/// A gateway whose only API asks for a key.
fn guarded(origin: &Origin) -> String {
    format!("{}[apis.app]\napi_key = {{ required = \"required\" }}\n", config(origin))
}

fn status(gateway: &Gateway, secret: &str) -> u16 {
    let text =
        format!("GET / HTTP/1.1\r\nHost: a\r\nx-api-key: {secret}\r\nConnection: close\r\n\r\n");
    gateway.ask(text).status
}

/// Whether every one of many connections, which both workers share, gets this status in time.
fn becomes(gateway: &Gateway, secret: &str, wanted: u16) -> bool {
    let all = || (0..8).all(|_| status(gateway, secret) == wanted);
    eventually(SOON, all)
}

fn made(gateway: &Gateway, name: &str) -> String {
    let response = write(gateway, "POST", "/keys", &json!({ "name": name }));
    assert_eq!(response.status, 201, "{}", response.text());
    secret_of(&json_of(&response))
}

fn secret_of(key: &Value) -> String {
    key["secret"].as_str().expect("a secret").to_owned()
}

/// `ringway keys` in the gateway's directory.
fn keys(gateway: &Gateway, args: &[&str]) -> Ended {
    let all = [&["keys"], args, &["--config", "ringway.toml"]].concat();
    run(gateway.dir.path(), &all)
}

#[test]
fn a_key_is_good_from_its_making_to_its_end() {
    let origin = Origin::named("o");
    let gateway = started(&guarded(&origin));
    assert_eq!(status(&gateway, "rw_nobody-has-this-value-at-all"), 401);
    let first = made(&gateway, "acme");
    let other = made(&gateway, "other");
    // Published before the answer: no wait at all.
    assert_eq!((status(&gateway, &first), status(&gateway, &other)), (200, 200));

    let rotated = write(&gateway, "POST", "/keys/acme/rotate", &json!({ "grace_seconds": 3600 }));
    let second = secret_of(&json_of(&rotated));
    assert_eq!((status(&gateway, &first), status(&gateway, &second)), (200, 200));
    let rotated = write(&gateway, "POST", "/keys/acme/rotate", &json!({ "grace_seconds": 0 }));
    let third = secret_of(&json_of(&rotated));
    assert!(becomes(&gateway, &first, 401) && becomes(&gateway, &second, 401));
    assert_eq!(status(&gateway, &third), 200);

    write(&gateway, "PATCH", "/keys/acme", &json!({ "enabled": false }));
    assert!(becomes(&gateway, &third, 401));
    write(&gateway, "PATCH", "/keys/acme", &json!({ "enabled": true }));
    assert!(becomes(&gateway, &third, 200));
    write(&gateway, "PATCH", "/keys/acme", &json!({ "expires": "2020-01-01T00:00:00Z" }));
    assert!(becomes(&gateway, &third, 401));
    assert_eq!(read(&gateway, "/keys/acme")["state"], "expired");
    assert_eq!(write(&gateway, "DELETE", "/keys/acme", &Value::Null).status, 204);
    assert!(becomes(&gateway, &third, 401));
    assert_eq!(status(&gateway, &other), 200, "nobody else noticed");
}

#[test]
fn what_was_acknowledged_outlives_a_kill() {
    let origin = Origin::named("o");
    let mut gateway = started(&guarded(&origin));
    let mut secrets = Vec::new();
    for nth in 0..20 {
        secrets.push(made(&gateway, &format!("key-{nth}")));
    }
    write(&gateway, "DELETE", "/keys/key-0", &Value::Null);
    write(&gateway, "PATCH", "/keys/key-1", &json!({ "enabled": false, "owner": "x" }));
    let rotated = write(&gateway, "POST", "/keys/key-2/rotate", &json!({ "grace_seconds": 0 }));
    secrets[2] = secret_of(&json_of(&rotated));
    gateway.signal("KILL");
    gateway.await_end(PATIENCE).expect("it was killed");

    let again = restarted(&mut gateway, &guarded(&origin));
    for (nth, secret) in secrets.iter().enumerate() {
        let wanted = if nth < 2 { 401 } else { 200 };
        assert_eq!(status(&again, secret), wanted, "key-{nth}");
    }
    assert_eq!(read(&again, "/keys/key-1")["owner"], "x");
    assert_eq!(read(&again, "/audit?limit=1000")["audit"].as_array().map(Vec::len), Some(23));
    let reloads = read(&again, "/reloads");
    assert_eq!(reloads["reloads"].as_array().map(Vec::len), Some(2), "two starts");
}

/// A second gateway on the directory of the first.
fn restarted(gateway: &mut Gateway, config: &str) -> Gateway {
    let dir = std::mem::replace(&mut gateway.dir, tempfile::tempdir().expect("a directory"));
    Gateway::start_in(dir, config)
}

#[test]
fn two_processes_on_one_directory_see_each_others_keys() {
    let origin = Origin::named("o");
    let one = started(&guarded(&origin));
    let state = one.path("state");
    let shared = guarded(&origin)
        .replace("state_dir = \"state\"", &format!("state_dir = \"{}\"", state.display()));
    let two = started(&shared);
    let secret = made(&one, "acme");
    assert!(becomes(&two, &secret, 200), "live in the other process");
    write(&two, "PATCH", "/keys/acme", &json!({ "enabled": false }));
    assert!(becomes(&one, &secret, 401));
    // The second knows what the first did: no copy is written back.
    let clash = write(&two, "POST", "/keys", &json!({ "name": "acme" }));
    assert_eq!(clash.status, 409, "{}", clash.text());
    assert_eq!(write(&two, "DELETE", "/keys/acme", &Value::Null).status, 204);
    assert!(eventually(SOON, || read(&one, "/keys")["keys"] == json!([])));
}

#[test]
fn a_store_that_cannot_be_used_is_a_clear_error_of_the_start() {
    let origin = Origin::named("o");
    let text = complete(&config(&origin));
    let start = |spoil: &dyn Fn(&std::path::Path)| {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("ringway.toml"), &text).expect("a file");
        std::fs::create_dir(dir.path().join("state")).expect("a directory");
        spoil(&dir.path().join("state"));
        run(dir.path(), &["serve", "--config", "ringway.toml"])
    };
    let damaged = start(&|state| {
        std::fs::write(state.join("ringway.db"), "not a database at all".repeat(500))
            .expect("a file");
    });
    assert_eq!(damaged.code, Some(1), "{}", damaged.stderr);
    assert!(damaged.stderr.contains("ringway.db is damaged"), "{}", damaged.stderr);
    assert!(damaged.stderr.contains("put a backup in its place"), "{}", damaged.stderr);
    let folder = start(&|state| {
        std::fs::create_dir(state.join("ringway.db")).expect("a directory");
    });
    assert_eq!(folder.code, Some(1), "{}", folder.stderr);
    assert!(folder.stderr.contains("gateway.state_dir must be"), "{}", folder.stderr);
}

#[test]
fn a_key_of_the_configuration_is_shown_and_left_alone() {
    let origin = Origin::named("o");
    let digest = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let configured = format!("{}[keys.fixed]\nhashes = [\"{digest}\"]\n", guarded(&origin));
    let mut gateway = started(&configured);
    let key = read(&gateway, "/keys/fixed");
    assert_eq!(key["source"], "config");
    assert!(key["place"].as_str().is_some_and(|place| place.starts_with("ringway.toml:")), "{key}");
    for (method, path) in [("PATCH", "/keys/fixed"), ("DELETE", "/keys/fixed")] {
        let body = if method == "PATCH" { json!({ "enabled": false }) } else { Value::Null };
        let response = write(&gateway, method, path, &body);
        assert_eq!(response.status, 409, "{}", response.text());
        assert!(response.text().contains("ringway.toml:"), "{}", response.text());
    }
    for body in [json!({ "name": "fixed" }), json!({ "name": "b", "digest": digest })] {
        assert_eq!(write(&gateway, "POST", "/keys", &body).status, 409, "{body}");
    }
    // And the other way round: a reload may not take what the store has.
    made(&gateway, "stored");
    let said = gateway.reload(&configured.replace("[keys.fixed]", "[keys.stored]"));
    assert!(said.contains("reload refused") && said.contains("stored"), "{said}");
}

#[test]
fn the_command_line_asks_the_gateway_that_runs_or_the_store() {
    let origin = Origin::named("o");
    let port = crate::kit::free_port();
    let text = guarded(&origin).replace(
        "address = \"127.0.0.1:0\"\ntoken",
        &format!("address = \"127.0.0.1:{port}\"\ntoken"),
    );
    let mut gateway = started(&text);
    let created = keys(&gateway, &["create", "acme", "--owner", "Acme", "--tag", "a=b"]);
    assert_eq!(created.code, Some(0), "{}", created.stderr);
    let secret = created.stdout.trim().to_owned();
    assert_eq!(status(&gateway, &secret), 200, "the secret alone is on standard output");
    let listed = keys(&gateway, &["list"]);
    assert!(
        listed.stdout.starts_with("NAME") && listed.stdout.contains("Acme"),
        "{}",
        listed.stdout
    );
    let shown = keys(&gateway, &["show", "acme", "--format", "json"]);
    let key: Value = serde_json::from_str(&shown.stdout).expect("JSON");
    assert_eq!(key["tags"], json!({ "a": "b" }));
    assert!(!shown.stdout.contains(&secret) && !listed.stdout.contains(&secret));
    let again = keys(&gateway, &["create", "acme"]);
    assert_eq!(again.code, Some(4), "{}", again.stderr);
    assert!(again.stderr.contains("there is a key \"acme\""), "{}", again.stderr);
    assert_eq!(keys(&gateway, &["disable", "nobody"]).code, Some(4));
    assert_eq!(keys(&gateway, &["disable", "acme"]).code, Some(0));
    assert!(becomes(&gateway, &secret, 401));
    assert_eq!(keys(&gateway, &["enable", "acme"]).code, Some(0));
    assert!(becomes(&gateway, &secret, 200));
    let audit = read(&gateway, "/audit");
    assert!(
        audit["audit"][0]["who"].as_str().is_some_and(|w| w.contains("ringway keys")),
        "{audit}"
    );

    // Without the token, by address: told, not done.
    std::fs::write(gateway.path("wrong.token"), "a-token-that-is-not-it").expect("a file");
    let admin = format!("http://127.0.0.1:{port}");
    let wrong = ["keys", "delete", "acme", "--admin", &admin, "--token-file", "wrong.token"];
    let refused = run(gateway.dir.path(), &wrong);
    assert_eq!(refused.code, Some(4), "{}", refused.stderr);
    let good = Command::new(env!("CARGO_BIN_EXE_ringway"))
        .args(["keys", "rotate", "acme", "--admin", &admin, "--grace", "0s", "--format", "json"])
        .env("RINGWAY_ADMIN_TOKEN", TOKEN)
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs");
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
    let rotated = secret_of(&serde_json::from_slice(&good.stdout).expect("JSON"));
    assert!(becomes(&gateway, &rotated, 200) && becomes(&gateway, &secret, 401));

    // The gateway ends; the store is asked itself, and the next gateway knows.
    gateway.signal("TERM");
    gateway.await_end(PATIENCE * 3).expect("it ends");
    let offline =
        keys(&gateway, &["create", "offline", "--network", "127.0.0.0/8", "--model", "gpt-4o*"]);
    assert_eq!(offline.code, Some(0), "{}", offline.stderr);
    assert_eq!(keys(&gateway, &["delete", "acme"]).code, Some(0));
    let again = restarted(&mut gateway, &text);
    assert_eq!(status(&again, offline.stdout.trim()), 200);
    assert_eq!(status(&again, &rotated), 401);
    let audit = read(&again, "/audit?object=keys/offline");
    assert!(audit["audit"][0]["who"].as_str().is_some_and(|w| w.starts_with("command line, uid")));
}

#[test]
fn the_command_line_says_what_it_lacks() {
    let dir = tempfile::tempdir().expect("a directory");
    let origin = Origin::named("o");
    let text = complete(&crate::kit::gateway::plain(origin.addr));
    std::fs::write(dir.path().join("ringway.toml"), text).expect("a file");
    let nowhere = run(dir.path(), &["keys", "list", "--config", "ringway.toml"]);
    assert_eq!(nowhere.code, Some(1), "{}", nowhere.stderr);
    assert!(nowhere.stderr.contains("gateway.state_dir"), "{}", nowhere.stderr);
    let usage = run(dir.path(), &["keys", "list"]);
    assert_eq!(usage.code, Some(2), "{}", usage.stderr);
    let nobody = run(dir.path(), &["keys", "list", "--admin", "http://127.0.0.1:9"]);
    assert_eq!(nobody.code, Some(1), "{}", nobody.stderr);
    let help = run(dir.path(), &["keys", "--help"]);
    assert!(help.stdout.contains("Examples:") && help.stdout.contains("Exit codes:"));
}

#[test]
fn the_store_is_counted() {
    let origin = Origin::named("o");
    let gateway = started(&config(&origin));
    made(&gateway, "acme");
    let ask = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let scrape = || crate::kit::client::ask(gateway.admin(), ask).text();
    assert!(eventually(PATIENCE, || scrape().contains("\nringway_store_writes_total 2\n")));
    let text = scrape();
    assert!(text.contains("\nringway_store_keys 1\n"), "{text}");
    assert!(text.contains("\nringway_store_errors_total 0\n"), "{text}");
}
