//! The admin API over the wire: who may, what it answers, and that no secret comes out twice.

use serde_json::{Value, json};

use crate::kit::client::ask;
use crate::kit::gateway::{complete, plain};
use crate::kit::message::Response;
use crate::kit::system::python_with;
use crate::kit::{Gateway, Origin};

pub const TOKEN: &str = "correct-horse-battery-staple";

/// A configuration with a store and a token in front of one origin.
pub fn config(origin: &Origin) -> String {
    // printf %s second-token-of-the-admin | sha256sum
    let sum = "47a7d6a22ed3064accb502b58271f645989443bdbeca1bac9aec71f827c09bb2";
    format!(
        "[gateway]\nworkers = 2\npin = false\nstate_dir = \"state\"\n[admin]\naddress = \
         \"127.0.0.1:0\"\ntoken = {{ file = \"admin.token\" }}\ntoken_sha256 = \"{sum}\"\n{}",
        plain(origin.addr)
    )
}

/// Starts one in a directory that holds the token.
pub fn started(config: &str) -> Gateway {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("admin.token"), format!("{TOKEN}\n")).expect("a file");
    Gateway::start_in(dir, config)
}

/// Asks as `ringway keys` does; fields may be anything.
pub fn send(gateway: &Gateway, method: &str, path: &str, fields: &str, body: &str) -> Response {
    let length = match (method, body) {
        ("GET" | "DELETE", "") => String::new(),
        _ => format!("Content-Length: {}\r\n", body.len()),
    };
    let text = format!(
        "{method} /admin/v1{path} HTTP/1.1\r\nHost: localhost\r\n{fields}{length}\
         Connection: close\r\n\r\n{body}"
    );
    ask(gateway.admin(), text)
}

/// A read.
pub fn read(gateway: &Gateway, path: &str) -> Value {
    let response = send(gateway, "GET", path, "", "");
    assert_eq!(response.status, 200, "{path}: {}", response.text());
    json_of(&response)
}

/// A write with the token.
pub fn write(gateway: &Gateway, method: &str, path: &str, body: &Value) -> Response {
    let fields = format!("Authorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n");
    let body = if body.is_null() { String::new() } else { body.to_string() };
    send(gateway, method, path, &fields, &body)
}

pub fn json_of(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap_or_else(|error| panic!("{error}: {response:?}"))
}

fn code(response: &Response) -> String {
    assert_eq!(response.field("content-type"), Some("application/problem+json"), "{response:?}");
    json_of(response)["code"].as_str().expect("a code").to_owned()
}

#[test]
fn reads_tell_what_is_in_force() {
    let origin = Origin::named("o");
    let gateway = started(&config(&origin));
    let index = read(&gateway, "");
    let operations = index["operations"].as_array().expect("a list");
    assert!(operations.iter().any(|o| o["path"] == "/admin/v1/keys/{name}/rotate"), "{index}");
    assert_eq!(read(&gateway, "/apis")["apis"][0]["name"], "app");
    assert_eq!(read(&gateway, "/apis/app")["base_path"], "/");
    let routes = read(&gateway, "/routes?api=app");
    assert_eq!(routes["listeners"][0]["routes"][0]["key"], "$default");
    assert_eq!(read(&gateway, "/routes?api=x")["listeners"][0]["routes"], json!([]));
    assert_eq!(read(&gateway, "/upstreams")["upstreams"][0]["upstream"], "app");
    for section in ["plans", "limits", "authorizers", "versions"] {
        assert_eq!(read(&gateway, &format!("/{section}"))[section], json!([]));
    }
    assert_eq!(read(&gateway, "/openapi.json")["openapi"], "3.1.0");
    assert_eq!(code(&send(&gateway, "GET", "/apis/none", "", "")), "COMMON_002");
    assert_eq!(code(&send(&gateway, "GET", "/nothing", "", "")), "COMMON_002");
    let response = send(&gateway, "GET", "/keys?limit=0", "", "");
    assert_eq!((response.status, code(&response).as_str()), (400, "COMMON_001"));
    assert_eq!(json_of(&response)["errors"][0]["parameter"], "limit");
    for query in ["nonsense=1", "limit=1&limit=2", "limit=x", "after=%zz", "state=gone"] {
        assert_eq!(send(&gateway, "GET", &format!("/keys?{query}"), "", "").status, 400, "{query}");
    }
}

#[test]
fn reads_tell_where_versions_and_limits_stand() {
    let conf = "[admin]\naddress = \"127.0.0.1:0\"\n[listeners.main]\naddress = \"127.0.0.1:0\"\n\
                [limits.all]\nrate = \"1/h\"\nburst = 5\n\
                [limits.each]\nby = [\"stage\"]\nquota = { limit = 9, per = \"day\" }\n\
                [limits.caller]\nby = [\"ip\"]\nrate = \"1/h\"\nburst = 5\n\
                [apis.app]\nlimits = [\"all\", \"each\", \"caller\"]\n\
                versioning = { select = [\"path\"], default = \"v2\" }\n\
                [apis.app.versions.v1]\nstatus = \"active\"\nsunset = \"2001-01-01\"\n\
                [apis.app.versions.v2]\nsunset = \"2100-01-01\"\n\
                [apis.app.routes.\"GET /\"]\nrespond = { status = 200 }\n";
    let gateway = Gateway::start(conf);
    for _ in 0..2 {
        let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        assert_eq!(ask(gateway.addr_of("main"), request).status, 200);
    }
    let versions = read(&gateway, "/versions");
    let standing = |at: usize| versions["versions"][at]["standing"].clone();
    assert_eq!((standing(0), standing(1)), (json!("sunset"), json!("active")), "{versions}");
    assert_eq!(versions["versions"][0]["days_to_sunset"], 0);
    assert!(versions["versions"][1]["days_to_sunset"].as_u64() > Some(365), "{versions}");
    let limits = read(&gateway, "/limits");
    let limits = limits["limits"].as_array().expect("a list");
    let names: Vec<_> = limits.iter().map(|limit| limit["name"].clone()).collect();
    assert_eq!(names, ["all", "caller", "each"]);
    let all = &limits[0]["standing"];
    assert_eq!((&all[0]["rate"]["left"], &all[0]["quota"]), (&json!(3), &Value::Null), "{all}");
    assert_eq!(limits[1]["standing"], json!([]), "it looks at the caller");
    let each = &limits[2]["standing"][0];
    assert_eq!((&each["quota"]["left"], &each["place"]["api"]), (&json!(7), &json!("app")));
}

#[test]
fn a_write_needs_the_token_in_its_form_and_of_our_own_origin() {
    let origin = Origin::named("o");
    let gateway = started(&config(&origin));
    let body = json!({ "name": "a" }).to_string();
    let post = |fields: &str| {
        let fields = format!("Content-Type: application/json\r\n{fields}");
        send(&gateway, "POST", "/keys", &fields, &body)
    };
    let missing = post("");
    assert_eq!((missing.status, code(&missing).as_str()), (401, "AUTH_009"));
    assert_eq!(missing.field("www-authenticate"), Some("Bearer realm=\"ringway admin\""));
    for wrong in ["Bearer wrong-but-long-enough", "Bearer ", "Basic abc", "Bearer"] {
        let response = post(&format!("Authorization: {wrong}\r\n"));
        assert_eq!((response.status, code(&response).as_str()), (401, "AUTH_001"), "{wrong}");
        let challenge = response.field("www-authenticate").expect("a challenge");
        assert!(challenge.contains("invalid_token"), "{challenge}");
    }
    let good = format!("Authorization: Bearer {TOKEN}\r\n");
    let other = post(&format!("{good}Origin: https://evil.example\r\n"));
    assert_eq!((other.status, code(&other).as_str()), (403, "ADMIN_002"));
    assert_eq!(post(&format!("{good}Origin: null\r\n")).status, 403);
    assert_eq!(post(&format!("{good}Origin: http://localhost\r\n")).status, 201);
    let second = "Authorization: Bearer second-token-of-the-admin\r\n";
    assert_eq!(code(&post(second)), "ADMIN_004", "the second token holds; the name is taken");
    // Replaced, the first is good for nothing at once.
    std::fs::write(gateway.path("admin.token"), "another-token-of-the-admin").expect("a file");
    assert_eq!(post(&good).status, 401);
    let rebound = "GET /admin/v1/keys HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    assert_eq!(ask(gateway.admin(), rebound).status, 421);
}

#[test]
fn without_a_token_writes_are_refused_and_told_how_to_allow_them() {
    let origin = Origin::named("o");
    let gateway =
        Gateway::start(&format!("[admin]\naddress = \"127.0.0.1:0\"\n{}", plain(origin.addr)));
    let response = write(&gateway, "POST", "/keys", &json!({ "name": "a" }));
    assert_eq!((response.status, code(&response).as_str()), (403, "ADMIN_001"));
    assert!(response.text().contains("admin.token"), "{}", response.text());
    assert_eq!(read(&gateway, "/keys")["keys"], json!([]));
    assert_eq!(read(&gateway, "/reloads")["reloads"][0]["cause"], "start");
}

#[test]
fn a_token_that_is_short_or_not_there_is_said_and_not_used() {
    let origin = Origin::named("o");
    let gateway = started(&config(&origin).replace("\"admin.token\"", "\"none.token\""));
    assert!(gateway.says("none.token: No such file"), "the log says it");
    let mut gateway = started(&config(&origin));
    std::fs::write(gateway.path("admin.token"), "short").expect("a file");
    let said = gateway.reload(&format!("{}\n", config(&origin).replace("[admin]", "[admin] # x")));
    assert!(said.contains("fewer than 16 characters"), "{said}");
    let fields = "Authorization: Bearer short\r\nContent-Type: application/json\r\n";
    assert_eq!(send(&gateway, "POST", "/keys", fields, "{\"name\":\"a\"}").status, 401);
}

#[test]
fn methods_media_types_and_bodies_are_checked() {
    let origin = Origin::named("o");
    let gateway = started(&config(&origin));
    let response = write(&gateway, "PUT", "/keys/a", &json!({}));
    assert_eq!((response.status, code(&response).as_str()), (405, "ADMIN_003"));
    assert_eq!(response.field("allow"), Some("DELETE, GET, HEAD, PATCH"));
    let auth = format!("Authorization: Bearer {TOKEN}\r\n");
    let send = |kind: &str, body: &str| {
        let fields = format!("{auth}{kind}");
        send(&gateway, "POST", "/keys", &fields, body)
    };
    for kind in ["", "Content-Type: text/plain\r\n", "Content-Type: application/jsonx\r\n"] {
        let response = send(kind, "{\"name\":\"a\"}");
        assert_eq!((response.status, code(&response).as_str()), (415, "COMMON_017"), "{kind}");
    }
    let kind = "Content-Type: application/json; charset=utf-8\r\n";
    for (body, pointer) in [
        ("", ""),
        ("nonsense", ""),
        ("[]", ""),
        ("{}", "/name"),
        ("{\"name\":1}", "/name"),
        ("{\"name\":\"a b\"}", "/name"),
        ("{\"name\":\"a\",\"colour\":1}", "/"),
        ("{\"name\":\"a\",\"owner\":null}", "/"),
        ("{\"name\":\"a\",\"allow\":{\"networks\":[\"10.0.0.1/8\"]}}", "/allow/networks"),
        ("{\"name\":\"a\",\"allow\":{\"models\":[\"gpt*4\"]}}", "/allow/models"),
        ("{\"name\":\"a\",\"allow\":{\"routes\":[\"GET /\"]}}", "/allow/routes"),
        ("{\"name\":\"a\",\"allow\":[]}", "/allow"),
        ("{\"name\":\"a\",\"expires\":\"tomorrow\"}", "/expires"),
        ("{\"name\":\"a\",\"secret\":\"short\"}", "/secret"),
        ("{\"name\":\"a\",\"digest\":\"sha256:12\"}", "/digest"),
    ] {
        let response = send(kind, body);
        assert_eq!((response.status, code(&response).as_str()), (400, "COMMON_001"), "{body}");
        assert_eq!(json_of(&response)["errors"][0]["pointer"], pointer, "{body}");
    }
    let large = format!("{{\"name\":\"a\",\"owner\":\"{}\"}}", "x".repeat(70_000));
    assert_eq!(send(kind, &large).status, 413);
    assert_eq!(read(&gateway, "/keys")["keys"], json!([]), "nothing was made");
}

#[test]
fn a_key_is_made_shown_changed_rotated_and_taken_out() {
    let origin = Origin::named("o");
    let gateway = started(&config(&origin));
    let body = json!({
        "name": "acme", "owner": "Ä team", "tags": { "team": "a", "tier": "1" },
        "expires": "2100-01-01T00:00:00Z",
        "allow": { "networks": ["10.0.0.0/8"], "models": ["gpt-4o*"] },
    });
    let made = write(&gateway, "POST", "/keys", &body);
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(made.field("location"), Some("/admin/v1/keys/acme"));
    let tag = made.field("etag").expect("a tag").to_owned();
    let key = json_of(&made);
    let secret = key["secret"].as_str().expect("a secret").to_owned();
    assert!(secret.starts_with("rw_") && secret.len() > 40, "{secret}");
    assert_eq!(key["values"][0]["shown"], secret[..8]);
    let shown = read(&gateway, "/keys/acme");
    assert_eq!((&shown["owner"], &shown["state"]), (&json!("Ä team"), &json!("active")));
    assert!(shown.get("secret").is_none());

    // A merge patch: what is not named stays, null takes out.
    let patch = json!({ "enabled": false, "tags": { "tier": null }, "expires": null });
    let wrong = send(
        &gateway,
        "PATCH",
        "/keys/acme",
        &format!(
            "Authorization: Bearer {TOKEN}\r\nIf-Match: \"0123456789abcdef01234567\"\r\n\
             Content-Type: application/merge-patch+json\r\n"
        ),
        &patch.to_string(),
    );
    assert_eq!((wrong.status, code(&wrong).as_str()), (412, "ADMIN_007"));
    let fields = format!(
        "Authorization: Bearer {TOKEN}\r\nIf-Match: {tag}\r\nContent-Type: application/json\r\n"
    );
    let changed = send(&gateway, "PATCH", "/keys/acme", &fields, &patch.to_string());
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert_ne!(changed.field("etag"), Some(&*tag));
    let key = json_of(&changed);
    assert_eq!((&key["state"], &key["tags"]), (&json!("disabled"), &json!({ "team": "a" })));
    assert_eq!((&key["expires"], &key["owner"]), (&Value::Null, &json!("Ä team")));
    assert_eq!(key["allow"]["networks"], json!(["10.0.0.0/8"]));
    assert_eq!(key["allow"]["models"], json!(["gpt-4o*"]));

    let rotated = write(&gateway, "POST", "/keys/acme/rotate", &json!({ "grace_seconds": 60 }));
    assert_eq!(rotated.status, 200, "{}", rotated.text());
    let key = json_of(&rotated);
    assert_ne!(key["secret"], *secret);
    let values = key["values"].as_array().expect("a list");
    assert_eq!(values.len(), 2, "{key}");
    assert!(values[0]["not_after"].is_null() && values[1]["not_after"].is_string(), "{key}");
    let rotated = write(&gateway, "POST", "/keys/acme/rotate", &json!({ "grace_seconds": 0 }));
    assert_eq!(json_of(&rotated)["values"].as_array().map(Vec::len), Some(1));

    assert_eq!(write(&gateway, "DELETE", "/keys/acme", &Value::Null).status, 204);
    for (method, path) in [("GET", "/keys/acme"), ("DELETE", "/keys/acme")] {
        assert_eq!(code(&write(&gateway, method, path, &Value::Null)), "COMMON_002");
    }
    let audit = read(&gateway, "/audit?object=keys/acme");
    let audit = audit["audit"].as_array().expect("a list");
    let actions: Vec<&str> = audit.iter().filter_map(|entry| entry["action"].as_str()).collect();
    assert_eq!(actions, ["key.delete", "key.rotate", "key.rotate", "key.change", "key.create"]);
    assert_eq!(audit[3]["before"]["enabled"], true);
    assert_eq!(audit[3]["after"]["enabled"], false);
    assert!(audit[0]["who"].as_str().is_some_and(|who| who.contains("127.0.0.1")));
}

#[test]
fn lists_are_paged_and_filtered() {
    let origin = Origin::named("o");
    let gateway = started(&config(&origin));
    for nth in 0..25 {
        let body = json!({
            "name": format!("key-{nth:02}"), "enabled": nth % 2 == 0,
            "owner": if nth < 5 { "a" } else { "b" }, "tags": { "n": nth.to_string() },
        });
        assert_eq!(write(&gateway, "POST", "/keys", &body).status, 201);
    }
    let (mut after, mut names) = (String::new(), Vec::new());
    loop {
        let page = read(&gateway, &format!("/keys?limit=10&after={after}"));
        let keys = page["keys"].as_array().expect("a list");
        names.extend(keys.iter().map(|key| key["name"].as_str().expect("a name").to_owned()));
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    let all: Vec<String> = (0..25).map(|nth| format!("key-{nth:02}")).collect();
    assert_eq!(names, all);
    let count =
        |query: &str| read(&gateway, &format!("/keys?{query}"))["keys"].as_array().map(Vec::len);
    assert_eq!(count("owner=a"), Some(5));
    assert_eq!(count("owner=a&state=disabled"), Some(2));
    assert_eq!((count("tag=n%3D7"), count("tag=n"), count("tag=x")), (Some(1), Some(25), Some(0)));
    let page = read(&gateway, "/audit?limit=20");
    let next = page["next"].as_i64().expect("more");
    let rest = read(&gateway, &format!("/audit?limit=20&before={next}"));
    assert_eq!(rest["audit"].as_array().map(Vec::len), Some(5));
    assert!(rest["next"].is_null());
}

#[test]
fn a_reload_can_be_looked_at_done_and_remembered() {
    let origin = Origin::named("o");
    let gateway = started(&config(&origin));
    assert_eq!(read(&gateway, "/config/diff")["changes"], json!([]));
    let changed = format!("{}[apis.more.routes.\"GET /x\"]\nrespond = {{}}\n", config(&origin))
        .replace("[apis.app", "[apis.app]\nbase_path = \"/a\"\n[apis.app");
    std::fs::write(gateway.path("ringway.toml"), complete(&changed)).expect("a file");
    let preview = read(&gateway, "/config/diff");
    let objects = |page: &Value| -> Vec<String> {
        let changes = page["changes"].as_array().expect("a list");
        changes.iter().map(|c| format!("{} {}", c["what"], c["object"])).collect()
    };
    assert!(objects(&preview).contains(&"\"added\" \"apis.more\"".to_owned()), "{preview}");
    assert_eq!(gateway.get("/x").status, 200, "nothing has changed yet: the origin answers");
    let done = write(&gateway, "POST", "/reload", &Value::Null);
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(objects(&json_of(&done)), objects(&preview));
    assert_eq!(json_of(&done)["generation"], 2);
    assert_eq!(gateway.get("/x").text(), "", "the new route answers");

    std::fs::write(gateway.path("ringway.toml"), "broken = [").expect("a file");
    let refused = write(&gateway, "POST", "/reload", &Value::Null);
    assert_eq!((refused.status, code(&refused).as_str()), (409, "ADMIN_006"));
    assert!(refused.text().contains("ringway.toml:1:"), "{}", refused.text());
    assert_eq!(code(&send(&gateway, "GET", "/config/diff", "", "")), "ADMIN_006");
    let history = read(&gateway, "/reloads");
    let history = history["reloads"].as_array().expect("a list");
    let outcomes: Vec<&str> = history.iter().filter_map(|r| r["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["refused", "applied", "applied"]);
    assert!(history[0]["error"].is_string() && history[0]["generation"] == 2, "{history:?}");
    assert!(history[1]["cause"].as_str().is_some_and(|c| c.starts_with("admin API from")));
    assert_eq!(history[2]["cause"], "start");
}

#[test]
fn no_secret_is_told_twice_logged_or_written_down() {
    let origin = Origin::named("o");
    let gateway = started(&config(&origin).replace("[admin]", "[log]\nlevel = \"trace\"\n[admin]"));
    let chosen = "my-own-secret-of-some-length";
    let made = json_of(&write(&gateway, "POST", "/keys", &json!({ "name": "made" })));
    let own = write(&gateway, "POST", "/keys", &json!({ "name": "own", "secret": chosen }));
    assert_eq!(json_of(&own)["secret"], Value::Null, "who chose it knows it");
    let rotated = write(&gateway, "POST", "/keys/made/rotate", &Value::Null);
    let rotated = json_of(&rotated);
    let taken = write(&gateway, "POST", "/keys", &json!({ "name": "other", "secret": chosen }));
    assert_eq!(code(&taken), "ADMIN_004");
    let secrets = [&made["secret"], &rotated["secret"]].map(|s| s.as_str().expect("a secret"));
    let mut told = String::new();
    for path in ["/keys", "/keys/made", "/keys/own", "/audit", "/reloads", "", "/openapi.json"] {
        told += &send(&gateway, "GET", path, "", "").text();
    }
    told += &gateway.log_lines().join("\n");
    told += &taken.text();
    told += &std::fs::read_to_string(gateway.path("access.log")).unwrap_or_default();
    let mut files = Vec::new();
    for file in ["ringway.db", "ringway.db-wal"] {
        files.extend(std::fs::read(gateway.path("state").join(file)).expect("a file"));
    }
    for secret in secrets.into_iter().chain([chosen, TOKEN]) {
        assert!(!told.contains(secret), "{secret}");
        let found = files.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(!found, "{secret} is in the database");
        assert!(!told.contains(&secret[secret.len() - 12..]), "the end of {secret}");
    }
}

/// Schemathesis reads the document and asks what nobody would think of.
#[test]
fn schemathesis_finds_nothing() {
    let Some(python) = python_with("schemathesis") else { return };
    let origin = Origin::named("o");
    let gateway = started(&config(&origin));
    let root = env!("CARGO_MANIFEST_DIR");
    let output = std::process::Command::new(python)
        .args(["-c", "from schemathesis.cli import schemathesis; schemathesis()"])
        .args(["--config-file", &format!("{root}/tests/it/python/schemathesis.toml"), "run"])
        .arg(format!("http://{}/admin/v1/openapi.json", gateway.admin()))
        .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
        .args(["--max-examples", "15", "--seed", "1", "--no-color"])
        .current_dir(gateway.dir.path())
        .env("SCHEMATHESIS_HOOKS", "admin_formats")
        .env("PYTHONPATH", format!("{root}/tests/it/python"))
        .output()
        .expect("python runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{errors}");
    assert!(said.contains("No issues found"), "{said}{errors}");
}
