//! How keys and versions are used, as operators are told: who still asks for a version that is to
//! end, and what a key's plans have left for it now.

use serde_json::{Value, json};

use crate::admin_api::{TOKEN, json_of, read, send, write};
use crate::kit::gateway::run;
use crate::kit::message::Response;
use crate::kit::{Gateway, PATIENCE, Scrape, eventually};

const ACME: &str = "acme-secret-0123456789";
const BETA: &str = "beta-secret-0123456789";

/// Versions of which the last has ended, keys, a plan that never refills during a test.
fn config() -> String {
    let key = |name: &str, secret: &str, more: &str| {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, secret.as_bytes());
        let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("[keys.{name}]\nhashes = [\"sha256:{hex}\"]\n{more}\n")
    };
    format!(
        r#"[gateway]
workers = 2
pin = false
state_dir = "state"
[admin]
address = "127.0.0.1:0"
token = {{ file = "admin.token" }}
[listeners.web]
address = "127.0.0.1:0"
[plans.gold]
rate = "1/h"
burst = 5
quota = {{ limit = 9, per = "month" }}
[plans.gold.routes."orders GET /slow"]
rate = "1/h"
burst = 2
[apis.orders]
versioning = {{ select = ["path"] }}
api_key = {{ required = "optional", source = ["header:x-api-key", "query:api_key"] }}
[apis.orders.versions.v1]
deprecated = 2024-01-01
[apis.orders.versions.v2]
[apis.orders.versions.v0]
sunset = 2024-01-01
[apis.orders.routes."GET /pets"]
respond = {{ body = "x" }}
[apis.orders.routes."GET /slow"]
respond = {{ body = "x" }}
{}{}"#,
        key("acme", ACME, "plans = [\"gold\"]"),
        key("beta", BETA, "enabled = false"),
    )
}

fn started() -> Gateway {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("admin.token"), format!("{TOKEN}\n")).expect("a file");
    Gateway::start_in(dir, &config())
}

fn ask(gateway: &Gateway, target: &str, secret: &str) -> Response {
    let field = match secret {
        "" => String::new(),
        secret => format!("x-api-key: {secret}\r\n"),
    };
    gateway.ask(format!("GET {target} HTTP/1.1\r\nHost: a\r\n{field}\r\n"))
}

/// The version of this name in the list.
fn version(gateway: &Gateway, name: &str) -> Value {
    let page = read(gateway, "/versions");
    let all = page["versions"].as_array().expect("a list").clone();
    all.into_iter().find(|version| version["name"] == name).expect("it is there")
}

fn callers(version: &Value) -> Vec<(String, u64)> {
    let callers = version["callers"].as_array().expect("a list").iter().map(|caller| {
        let last = caller["last"].as_str().expect("a time");
        assert!(last.starts_with("20") && last.ends_with('Z'), "{last}");
        let name = caller["key"].as_str().expect("a name").to_owned();
        (name, caller["requests"].as_u64().expect("a number"))
    });
    let mut callers: Vec<_> = callers.collect();
    callers.sort();
    callers
}

#[test]
fn a_version_tells_which_keys_still_ask_for_it() {
    let gateway = started();
    assert_eq!(ask(&gateway, "/v1/pets", ACME).status, 200);
    assert_eq!(ask(&gateway, "/v1/pets", ACME).status, 200);
    assert_eq!(ask(&gateway, "/v1/pets", "").status, 200);
    assert_eq!(ask(&gateway, "/v2/pets", ACME).status, 200);
    assert_eq!(
        ask(&gateway, "/v1/pets", BETA).status,
        401,
        "it is disabled, and asks all the same"
    );
    // Also of one that has ended: whoever still asks is to be told.
    assert_eq!(ask(&gateway, "/v0/pets", ACME).status, 410);
    assert_eq!(ask(&gateway, &format!("/v0/pets?api_key={ACME}&a=1"), "").status, 410);
    let own = |name: &str, requests| (name.to_owned(), requests);
    assert!(eventually(PATIENCE, || callers(&version(&gateway, "v0")).len() == 1));
    let v1 = version(&gateway, "v1");
    assert_eq!(callers(&v1), [own("acme", 2), own("beta", 1)]);
    assert_eq!((&v1["keyless"]["requests"], &v1["other_keys"]), (&json!(1), &Value::Null));
    assert_eq!(callers(&version(&gateway, "v2")), [own("acme", 1)]);
    assert!(eventually(PATIENCE, || callers(&version(&gateway, "v0")) == [own("acme", 2)]));

    let acme = read(&gateway, "/keys/acme");
    let versions: Vec<_> = acme["versions"].as_array().expect("a list").iter().collect();
    let told = versions.iter().map(|v| (v["version"].as_str(), v["requests"].as_u64()));
    let expected = [(Some("v0"), Some(2)), (Some("v1"), Some(2)), (Some("v2"), Some(1))];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    assert_eq!(versions[0]["api"], "orders");

    let scrape = Scrape::of(&gateway);
    let count = |labels: &[(&str, &str)]| scrape.sum("ringway_version_requests_total", labels);
    assert_eq!(count(&[("version", "v1"), ("key", "acme"), ("status", "200")]), 2);
    assert_eq!(count(&[("version", "v1"), ("key", "beta"), ("status", "401")]), 1);
    assert_eq!(count(&[("version", "v0"), ("key", "acme"), ("status", "410")]), 2);
    assert_eq!(count(&[("version", "v1")]), 4, "those without a key too");

    gateway.access_log(7);
    let whole = std::fs::read_to_string(gateway.path("access.log")).expect("a log");
    assert!(!whole.contains("secret"), "not of a version that has ended either: {whole}");
}

#[test]
fn a_reload_keeps_who_has_called() {
    let mut gateway = started();
    ask(&gateway, "/v1/pets", ACME);
    assert!(eventually(PATIENCE, || callers(&version(&gateway, "v1")).len() == 1));
    let more = "[apis.more.routes.\"GET /m\"]\nrespond = {}\n";
    gateway.reload(&format!("{}{more}", config()));
    ask(&gateway, "/v1/pets", ACME);
    let two = [("acme".to_owned(), 2)];
    assert!(eventually(PATIENCE, || callers(&version(&gateway, "v1")) == two));
}

#[test]
fn a_key_tells_what_its_plans_have_left_for_it() {
    let gateway = started();
    let standing = |name: &str| read(&gateway, &format!("/keys/{name}"))["standing"].clone();
    let fresh = standing("acme");
    assert_eq!((&fresh[0]["plan"], &fresh[0]["name"]), (&json!("gold"), &json!("plan gold")));
    assert_eq!(fresh[0]["rate"], json!({ "limit": 5, "left": 5, "full_in": 0 }));
    assert_eq!((&fresh[0]["quota"]["limit"], &fresh[0]["quota"]["left"]), (&json!(9), &json!(9)));
    for _ in 0..2 {
        assert_eq!(ask(&gateway, "/v2/pets", ACME).status, 200);
    }
    assert_eq!(ask(&gateway, "/v2/slow", ACME).status, 200);
    let used = standing("acme");
    assert_eq!((&used[0]["rate"]["left"], &used[0]["quota"]["left"]), (&json!(3), &json!(6)));
    let full_in = used[0]["rate"]["full_in"].as_u64().expect("seconds");
    assert!((3_600..=7_200).contains(&full_in), "two tokens at one an hour: {full_in}");
    let resets_in = used[0]["quota"]["resets_in"].as_u64().expect("seconds");
    assert!((1..=31 * 86_400).contains(&resets_in), "{resets_in}");
    assert_eq!(used[1]["name"], "plan gold orders GET /slow");
    assert_eq!((&used[1]["rate"]["left"], &used[1]["quota"]), (&json!(1), &Value::Null));
    assert_eq!(standing("beta"), json!([]), "it has no plan");

    // Keys of the store have their own; a list tells the same.
    let made =
        json_of(&write(&gateway, "POST", "/keys", &json!({ "name": "made", "plans": ["gold"] })));
    assert_eq!(made.get("standing"), None, "told where a key is read");
    let secret = made["secret"].as_str().expect("a secret").to_owned();
    assert_eq!(ask(&gateway, "/v2/pets", &secret).status, 200);
    let list = read(&gateway, "/keys?plan=gold");
    let left = |at: usize| list["keys"][at]["standing"][0]["rate"]["left"].clone();
    assert_eq!((left(0), left(1)), (json!(3), json!(4)), "{list}");
    assert!(eventually(PATIENCE, || {
        read(&gateway, "/keys/made")["versions"][0]["requests"] == json!(1)
    }));

    let admin = format!("http://{}", gateway.admin());
    let shown = run(gateway.dir.path(), &["keys", "show", "acme", "--admin", &admin]);
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    let expected = "standing  plan gold: rate 3 of 5, full in ";
    assert!(shown.stdout.contains(expected), "{}", shown.stdout);
    assert!(shown.stdout.contains("; quota 6 of 9, resets in "), "{}", shown.stdout);
    assert!(shown.stdout.contains("versions  orders v2: 3, last 20"), "{}", shown.stdout);
    assert_eq!(send(&gateway, "GET", "/keys/none", "", "").status, 404);
}
