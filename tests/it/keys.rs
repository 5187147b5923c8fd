//! API keys over the wire: which are let in where, what is said to the others, and what becomes of
//! a key when it is rotated, disabled or taken out.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};

use crate::kit::gateway::{ADMIN, complete, run};
use crate::kit::message::Response;
use crate::kit::{Gateway, H2Client, Origin, PATIENCE, Scrape, eventually, ms};

const ACME: &str = "acme-secret-0123456789";
const ACME_NEW: &str = "acme-secret-9876543210";
const BETA: &str = "beta-secret-0123456789";

fn hash(secret: &str) -> String {
    let bytes = digest(&SHA256, secret.as_bytes());
    let hex: String = bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// `[keys.NAME]` of one secret, with more keys behind it.
fn key(name: &str, secret: &str, more: &str) -> String {
    format!("[keys.{name}]\nhashes = [\"{}\"]\n{more}\n", hash(secret))
}

/// An API `app` with `api` in its table, and whatever comes after it.
fn config(origin: SocketAddr, api: &str, rest: &str) -> String {
    format!(
        "[listeners.web]\naddress = \"127.0.0.1:0\"\n\
         [upstreams.app]\nendpoints = [\"{origin}\"]\n\
         [apis.app]\n{api}\n\
         [apis.app.routes.\"GET /pets\"]\nupstream = \"app\"\n\
         [apis.app.routes.\"GET /open\"]\nupstream = \"app\"\napi_key = \"off\"\n\
         [apis.app.routes.\"$default\"]\nupstream = \"app\"\n{rest}\n"
    )
}

/// Lines of the access log are in order within a worker.
const ONE_WORKER: &str = "[gateway]\nworkers = 1\npin = false\n";
const REQUIRED: &str = "api_key = \"required\"";

fn ask(gateway: &Gateway, path: &str, fields: &str) -> Response {
    gateway.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
}

fn with_key(gateway: &Gateway, path: &str, secret: &str) -> Response {
    ask(gateway, path, &format!("x-api-key: {secret}\r\n"))
}

/// The error's code.
fn code(response: &Response) -> String {
    let body: serde_json::Value = serde_json::from_str(&response.text()).expect("JSON");
    body["error"]["code"].as_str().expect("a code").to_owned()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

fn date(seconds: u64) -> String {
    let output = std::process::Command::new("date")
        .args(["-u", "-d", &format!("@{seconds}"), "+%Y-%m-%dT%H:%M:%SZ"])
        .output()
        .expect("date runs");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

#[test]
fn a_key_is_asked_for_where_it_is_required_and_only_there() {
    let origin = Origin::named("ok");
    let gateway = Gateway::start(
        &(ONE_WORKER.to_owned() + &config(origin.addr, REQUIRED, &key("acme", ACME, ""))),
    );
    let refused = ask(&gateway, "/pets", "");
    assert_eq!((refused.status, code(&refused)), (401, "AUTH_004".to_owned()));
    assert_eq!(refused.field("www-authenticate"), Some("ApiKey realm=\"app\""));
    gateway.access_log(1);
    let refused = with_key(&gateway, "/pets", "acme-secret-0123456780");
    assert_eq!((refused.status, code(&refused)), (401, "AUTH_005".to_owned()));
    gateway.access_log(2);
    assert_eq!(with_key(&gateway, "/pets", ACME).text(), "ok");
    gateway.access_log(3);
    assert_eq!(ask(&gateway, "/open", "").text(), "ok");
    assert_eq!(origin.count(), 2, "the upstream never saw the others");
    let lines = gateway.access_log(4);
    assert_eq!(
        (&lines[0]["detail"], &lines[0]["failure"]),
        (&"missing".into(), &"key_missing".into())
    );
    assert_eq!(
        (&lines[1]["detail"], &lines[1]["failure"]),
        (&"unknown".into(), &"key_invalid".into())
    );
    assert_eq!((&lines[2]["key"], lines[3].get("key")), (&"acme".into(), None));
    let whole = std::fs::read_to_string(gateway.path("access.log")).expect("a log");
    assert!(!whole.contains("secret") && !gateway.log_lines().join("").contains("secret"));
}

#[test]
fn what_would_be_accepted_is_said_in_one_form_to_all() {
    let origin = Origin::named("ok");
    let start = |api: &str| {
        let config = config(origin.addr, api, &key("acme", ACME, ""));
        let protocols = "[listeners.web]\nprotocols = [\"h2\", \"http/1.1\"]\n";
        Gateway::start(&config.replace("[listeners.web]\n", protocols))
    };
    let gateway = start("api_key = { required = \"required\", source = [\"bearer\"] }");
    let asks = |fields: &str| ask(&gateway, "/pets", fields).all("www-authenticate").join("|");
    assert_eq!(asks(""), "Bearer realm=\"app\"", "RFC 6750: a parameter at least");
    assert_eq!(
        asks("Authorization: Bearer nobody-has-this-one\r\n"),
        "Bearer realm=\"app\", error=\"invalid_token\", \
         error_description=\"the API key is not valid\""
    );
    let twice = format!("Authorization: Basic eDp5\r\nAuthorization: Bearer {ACME}\r\n");
    assert!(asks(&twice).contains("invalid_token"), "which is the caller?");

    let mut client = H2Client::connect(gateway.addr());
    let fields = [("content-type", "application/grpc"), ("te", "trailers")];
    let mut call = client.open("POST", "/pets", &fields, true);
    let answer = client.answer(&mut call);
    assert_eq!(answer.field("grpc-status"), Some("16"), "UNAUTHENTICATED");
    assert_eq!(answer.field("www-authenticate"), Some("Bearer realm=\"app\""));

    let gateway = start("api_key = \"required\"\nerrors = \"aws\"");
    let refused = ask(&gateway, "/pets", "");
    assert_eq!((refused.status, refused.field("www-authenticate")), (403, None));
}

#[test]
fn the_same_key_twice_is_nobodys() {
    let origin = Origin::named("ok");
    let gateway = Gateway::start(&config(origin.addr, REQUIRED, &key("acme", ACME, "")));
    let refused = ask(&gateway, "/pets", &format!("x-api-key: {ACME}\r\nX-API-Key: {ACME}\r\n"));
    assert_eq!(code(&refused), "AUTH_005");
    let refused = ask(&gateway, "/pets", "x-api-key:\r\n");
    assert_eq!(code(&refused), "AUTH_005");
}

#[test]
fn each_rule_of_a_key_refuses_by_itself() {
    let origin = Origin::named("ok");
    let past = "2020-01-01";
    let keys = [
        ("on", "", 200, ""),
        ("off", "enabled = false", 401, "disabled"),
        ("late", &*format!("expires = {past}"), 401, "expired"),
        ("elsewhere", "allow.apis = [\"other\"]", 403, "api"),
        ("stage", "allow.apis = [\"app/dev\"]", 403, "api"),
        ("here", "allow.apis = [\"app/$default\"]", 200, ""),
        ("version", "allow.versions = [\"v2\"]", 403, "version"),
        ("route", "allow.routes = [\"app GET /open\"]", 403, "route"),
        ("routed", "allow.routes = [\"app GET /pets\"]", 200, ""),
        ("net", "allow.networks = [\"10.0.0.0/8\"]", 403, "network"),
        ("netted", "allow.networks = [\"127.0.0.0/8\"]", 200, ""),
    ];
    let secret = |name: &str| format!("{name}-secret-0123456789abcdef");
    let tables: String =
        keys.iter().map(|(name, more, ..)| key(name, &secret(name), more)).collect();
    let rest = format!("[apis.other.routes.\"GET /other\"]\nrespond = {{}}\n{tables}");
    let gateway = Gateway::start(&(ONE_WORKER.to_owned() + &config(origin.addr, REQUIRED, &rest)));
    for (at, (name, _, status, reason)) in keys.into_iter().enumerate() {
        let response = with_key(&gateway, "/pets", &secret(name));
        assert_eq!(response.status, status, "{name}: {}", response.text());
        let line = &gateway.access_log(at + 1)[at];
        assert_eq!(line["detail"].as_str().unwrap_or_default(), reason, "{name}");
        // Also of one that is refused: whom an operator must tell.
        assert_eq!(line["key"], name);
        if status == 403 {
            assert_eq!(code(&response), "AUTH_006");
        }
    }
}

#[test]
fn a_key_may_come_in_each_source_and_stays_behind() {
    let origin = Origin::named("ok");
    let api = "api_key = { required = \"required\", identity_headers = true, \
               source = [\"header:x-key\", \"bearer\", \"query:api_key\"] }";
    let gateway = Gateway::start(&config(origin.addr, api, &key("acme", ACME, "")));
    let forged = "x-ringway-key-name: admin\r\nX-Ringway-Plan: gold\r\n";
    let percent = ACME.replacen('a', "%61", 1);
    for (target, fields, query) in [
        ("/pets?a=1", format!("X-Key: {ACME}\r\n"), "?a=1"),
        ("/pets", format!("Authorization: bearer {ACME}\r\n"), ""),
        (&*format!("/pets?api_key={ACME}&b=2"), String::new(), "?b=2"),
        (&*format!("/pets?b=2&api_key={percent}&c"), String::new(), "?b=2&c"),
        (&*format!("/pets?api_key={ACME}"), String::new(), ""),
    ] {
        let response = ask(&gateway, target, &format!("{fields}{forged}"));
        assert_eq!(response.status, 200, "{target} {fields}: {}", response.text());
        let request = origin.last();
        assert_eq!(request.target(), format!("/pets{query}"));
        assert_eq!(request.all("x-ringway-key-name"), ["acme"]);
        assert_eq!(request.field("x-ringway-plan"), None);
        assert_eq!((request.field("x-key"), request.field("authorization")), (None, None));
    }
    let refused = ask(&gateway, &format!("/pets?api_key={ACME}&%61pi_key={ACME}"), "");
    assert_eq!(code(&refused), "AUTH_005", "two of them are ambiguous");
    // Where none is asked for it stays behind all the same.
    ask(&gateway, &format!("/open?api_key={ACME}"), &format!("X-Key: {ACME}\r\n"));
    assert_eq!((origin.last().field("x-key"), origin.last().target()), (None, "/open"));
    // What is not a key is the upstream's.
    ask(&gateway, "/open", "Authorization: Basic eDp5\r\n");
    assert_eq!(origin.last().field("authorization"), Some("Basic eDp5"));
    gateway.access_log(8);
    let whole = std::fs::read_to_string(gateway.path("access.log")).expect("a log");
    assert!(!whole.contains("secret"), "{whole}");
}

#[test]
fn a_key_is_forwarded_where_that_is_wanted() {
    let origin = Origin::named("ok");
    let api = "api_key = { required = \"required\", forward = true }";
    let gateway = Gateway::start(&config(origin.addr, api, &key("acme", ACME, "")));
    with_key(&gateway, "/pets", ACME);
    assert_eq!(origin.last().field("x-api-key"), Some(ACME));
}

#[test]
fn an_optional_key_must_be_good_if_it_is_shown() {
    let origin = Origin::named("ok");
    let gateway =
        Gateway::start(&config(origin.addr, "api_key = \"optional\"", &key("acme", ACME, "")));
    assert_eq!(ask(&gateway, "/pets", "").status, 200);
    assert_eq!(with_key(&gateway, "/pets", ACME).status, 200);
    assert_eq!(code(&with_key(&gateway, "/pets", BETA)), "AUTH_005");
    // A token is for an authorizer, and nothing is said against it here.
    assert_eq!(ask(&gateway, "/pets", "Authorization: Bearer eyJhbGciOi.eyJ.x\r\n").status, 200);
    assert_eq!(origin.last().field("authorization"), Some("Bearer eyJhbGciOi.eyJ.x"));
}

#[test]
fn a_plan_makes_its_apis_ask_for_keys_and_is_where_its_keys_are_good() {
    let origin = Origin::named("ok");
    let rest = format!(
        "[plans.gold]\napis = [\"app\"]\n[plans.other]\napis = [\"other\"]\n\
         [apis.other.routes.\"GET /other\"]\nrespond = {{}}\n{}{}{}",
        key("acme", ACME, "plans = [\"gold\", \"other\"]"),
        key("beta", BETA, "plans = [\"other\"]"),
        key("free", ACME_NEW, ""),
    );
    // Lines are waited for one by one: those of two workers may come in any order.
    let gateway = Gateway::start(&(ONE_WORKER.to_owned() + &config(origin.addr, "", &rest)));
    assert_eq!(code(&ask(&gateway, "/pets", "")), "AUTH_004");
    gateway.access_log(1);
    assert_eq!(with_key(&gateway, "/pets", ACME).status, 200);
    gateway.access_log(2);
    assert_eq!(code(&with_key(&gateway, "/pets", BETA)), "AUTH_006");
    gateway.access_log(3);
    assert_eq!(with_key(&gateway, "/pets", ACME_NEW).status, 200);
    gateway.access_log(4);
    assert_eq!(with_key(&gateway, "/other", BETA).status, 200);
    let lines = gateway.access_log(5);
    assert_eq!((&lines[1]["key"], &lines[1]["plan"]), (&"acme".into(), &"gold".into()));
    assert_eq!((&lines[2]["detail"], lines[2].get("plan")), (&"plan".into(), None));
    assert_eq!(lines[3].get("plan"), None);
}

#[test]
fn a_plan_is_of_its_stage_a_key_of_its_version_and_documents_are_anybodys() {
    let text = format!(
        r#"[listeners.web]
address = "127.0.0.1:0"
[apis.app]
versioning = {{ select = ["path"] }}
[apis.app.versions.v1]
guide = "/docs/v1"
guide_text = "move on"
[apis.app.versions.v2]
[apis.app.stages.dev]
[apis.app.stages.prod]
canary = {{ percent = "100%" }}
[apis.app.routes."GET /pets"]
respond = {{ status = 200 }}
[plans.gold]
apis = ["app/prod"]
rate = "1/d"
burst = 2
{}{}"#,
        key("acme", ACME, "plans = [\"gold\"]\nallow = { versions = [\"v1\"] }"),
        key("beta", BETA, ""),
    );
    let gateway = Gateway::start(&text);
    assert_eq!(ask(&gateway, "/dev/v2/pets", "").status, 200, "no plan there");
    assert_eq!(code(&ask(&gateway, "/prod/v2/pets", "")), "AUTH_004");
    assert_eq!(code(&with_key(&gateway, "/prod/v2/pets", ACME)), "AUTH_006");
    let statuses = [ACME, BETA, ACME, ACME, BETA, BETA]
        .map(|secret| with_key(&gateway, "/prod/v1/pets", secret).status);
    assert_eq!(statuses, [200, 200, 200, 429, 200, 200], "two of the plan; beta has none");
    for path in ["/prod/.well-known/api-versions", "/prod/docs/v1"] {
        assert_eq!(ask(&gateway, path, "").status, 200, "{path}");
    }
}

#[test]
fn both_values_are_the_key_until_the_old_one_is_rotated_out() {
    let origin = Origin::named("ok");
    let until = now() + 3;
    let rest = format!(
        "[keys.acme]\nhashes = [\"{}\"]\n\
         values = [{{ hash = \"{}\", not_after = \"{}\" }}]\n",
        hash(ACME_NEW),
        hash(ACME),
        date(until)
    );
    let gateway = Gateway::start(&config(origin.addr, REQUIRED, &rest));
    let status = |secret| with_key(&gateway, "/pets", secret).status;
    let both = (status(ACME), status(ACME_NEW));
    if now() < until {
        assert_eq!(both, (200, 200));
    }
    assert!(eventually(PATIENCE, || status(ACME) == 401));
    assert!(now() >= until, "not before its time");
    assert_eq!(status(ACME_NEW), 200);
}

#[test]
fn disabling_a_key_under_load_touches_no_other() {
    let origin = Origin::named("ok");
    let keys = |acme: &str| {
        let both = key("acme", ACME, acme) + &key("beta", BETA, "");
        config(origin.addr, REQUIRED, &both)
    };
    let mut gateway = Gateway::start(&keys(""));
    let addr = gateway.addr();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let load = {
        let stop = stop.clone();
        std::thread::spawn(move || {
            let mut client = crate::kit::Client::connect(addr);
            let mut served = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let request = format!("GET /pets HTTP/1.1\r\nHost: a\r\nx-api-key: {BETA}\r\n\r\n");
                let response = client.send(request).response();
                assert_eq!(response.status, 200, "{}", response.text());
                served += 1;
            }
            served
        })
    };
    for _ in 0..5 {
        gateway.reload(&keys("enabled = false"));
        assert!(eventually(PATIENCE, || with_key(&gateway, "/pets", ACME).status == 401));
        gateway.reload(&keys("owner = \"acme\""));
        assert!(eventually(PATIENCE, || with_key(&gateway, "/pets", ACME).status == 200));
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(load.join().expect("no other key was refused") > 20);
}

#[test]
fn a_reload_adds_and_removes_keys_and_reads_their_files_anew() {
    let origin = Origin::named("ok");
    let file = "[keys.acme]\nvalues = [{ file = \"acme.key\" }]\n";
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("acme.key"), format!("{ACME}\n")).expect("a file");
    let one = config(origin.addr, REQUIRED, file);
    let two = config(origin.addr, REQUIRED, &format!("{file}{}", key("beta", BETA, "")));
    let mut gateway = Gateway::start_in(dir, &one);
    let becomes = |gateway: &Gateway, secret, status| {
        eventually(PATIENCE, || with_key(gateway, "/pets", secret).status == status)
    };
    assert_eq!(with_key(&gateway, "/pets", ACME).status, 200);
    assert_eq!(with_key(&gateway, "/pets", BETA).status, 401);
    let said = gateway.reload(&two);
    assert!(said.contains("added keys.beta"), "{said}");
    assert!(becomes(&gateway, BETA, 200));
    std::fs::write(gateway.path("acme.key"), ACME_NEW).expect("a file");
    gateway.reload(&one);
    assert!(becomes(&gateway, ACME_NEW, 200));
    assert!(becomes(&gateway, ACME, 401) && becomes(&gateway, BETA, 401));
    // A secret that has become unreadable leaves everything as it was.
    std::fs::remove_file(gateway.path("acme.key")).expect("it was there");
    let said = gateway.reload(&two);
    assert!(said.contains("acme.key: cannot be read"), "{said}");
    assert_eq!(with_key(&gateway, "/pets", ACME_NEW).status, 200);
}

#[test]
fn what_clashes_is_refused_with_both_places() {
    let dir = tempfile::tempdir().expect("a directory");
    let check = |rest: &str| {
        let text = complete(&config("127.0.0.1:1".parse().expect("an address"), REQUIRED, rest));
        std::fs::write(dir.path().join("ringway.toml"), text).expect("a file");
        let ended = run(dir.path(), &["check", "ringway.toml"]);
        assert_ne!(ended.code, Some(0), "{}", ended.stdout);
        ended.stderr
    };
    let said = check(&(key("acme", ACME, "") + &key("beta", ACME, "")));
    assert!(
        said.contains(
            "the key \"beta\" (ringway.toml:25:7) has a value that \"acme\" \
             (ringway.toml:22:7) has too"
        ),
        "{said}"
    );
    let said = check(&(key("acme", ACME, "") + &key("acme", BETA, "")));
    assert!(
        said.contains(
            "ringway.toml:25:7: keys.acme: written twice; the first is at ringway.toml:22:7"
        ),
        "{said}"
    );
    let plans = "[plans.gold]\napis = [\"app\"]\n[plans.all]\n";
    let said = check(&(plans.to_owned() + &key("acme", ACME, "plans = [\"gold\", \"all\"]")));
    assert!(
        said.contains(
            "the plans \"gold\" (ringway.toml:22:8) and \"all\" (ringway.toml:24:8) both hold at \
             app"
        ),
        "{said}"
    );
    let said = check("[keys.acme]\nvalues = [{ env = \"RINGWAY_TEST_NO_SUCH\" }]\n");
    assert!(said.contains("RINGWAY_TEST_NO_SUCH is not set"), "{said}");
    std::fs::write(dir.path().join("short"), "too-short").expect("a file");
    let said = check("[keys.acme]\nvalues = [{ file = \"short\" }]\n");
    assert!(said.contains("shorter than 20 characters") && !said.contains("too-short"), "{said}");
}

#[test]
fn refusals_are_counted_by_reason() {
    let origin = Origin::named("ok");
    let gateway = Gateway::start(
        &(ADMIN.to_owned() + &config(origin.addr, REQUIRED, &key("acme", ACME, "enabled = false"))),
    );
    for _ in 0..3 {
        ask(&gateway, "/pets", "");
    }
    with_key(&gateway, "/pets", ACME);
    std::thread::sleep(ms(50));
    let by = Scrape::of(&gateway).by("ringway_key_refusals_total", "reason");
    let of = |reason: &str| by.get(reason).copied().unwrap_or(0);
    assert_eq!((of("missing"), of("disabled"), of("unknown")), (3, 1, 0));
}

/// Statuses of so many requests with a key.
fn statuses(gateway: &Gateway, path: &str, secret: &str, count: usize) -> Vec<u16> {
    (0..count).map(|_| with_key(gateway, path, secret).status).collect()
}

#[test]
fn a_plan_gives_each_key_its_own_over_all_its_apis() {
    let origin = Origin::named("ok");
    let rest = |beta: &str, acme: &str| {
        format!(
            "[plans.gold]\napis = [\"app\", \"other\"]\nrate = \"1/h\"\nburst = 3\n\
             quota = {{ limit = 5, per = \"month\" }}\n\
             routes = {{ \"app GET /open\" = {{ rate = \"1/h\", burst = 1 }} }}\n\
             [apis.other]\nbase_path = \"/other\"\n\
             [apis.other.routes.\"GET /\"]\nrespond = {{}}\n{acme}{beta}"
        )
    };
    let gold = "plans = [\"gold\"]";
    let (acme, beta) = (key("acme", ACME, gold), key("beta", BETA, gold));
    // The route is open to all but asks for a key that is shown.
    let text = |rest: &str| {
        config(origin.addr, "", rest).replace("api_key = \"off\"", "api_key = \"required\"")
    };
    let mut gateway = Gateway::start(&text(&rest(&beta, &acme)));
    assert_eq!(statuses(&gateway, "/pets", ACME, 2), [200, 200]);
    // One bucket for both APIs.
    assert_eq!(statuses(&gateway, "/other/", ACME, 2), [200, 429]);
    let response = with_key(&gateway, "/pets", ACME);
    assert_eq!((response.status, code(&response)), (429, "RATE_LIMIT_001".to_owned()));
    assert!(response.field("retry-after").is_some() && response.field("ratelimit").is_some());
    // A route with a rate of its own, and the quota all the same.
    assert_eq!(statuses(&gateway, "/open", ACME, 2), [200, 429]);
    // Another key, taken out or not, is another's business.
    assert_eq!(statuses(&gateway, "/pets", BETA, 4), [200, 200, 200, 429]);
    let off = key("beta", BETA, &format!("{gold}\nenabled = false"));
    gateway.reload(&text(&rest(&off, &acme)));
    assert!(eventually(PATIENCE, || with_key(&gateway, "/pets", BETA).status == 401));
    assert_eq!(with_key(&gateway, "/pets", ACME).status, 429, "acme's bucket is as it was");
    // A new value is the same key.
    gateway.reload(&text(&rest("", &key("acme", ACME_NEW, gold))));
    assert!(eventually(PATIENCE, || with_key(&gateway, "/pets", ACME_NEW).status == 429));
    gateway.reload(&text(&rest(&beta, &acme)));
    assert!(eventually(PATIENCE, || with_key(&gateway, "/pets", BETA).status == 429));
    assert_eq!(with_key(&gateway, "/pets", ACME).status, 429);
}

#[test]
fn a_quota_of_a_plan_never_admits_one_more() {
    let origin = Origin::named("ok");
    let rest = format!(
        "[plans.gold]\napis = [\"app\"]\nquota = {{ limit = 25 }}\nheaders = \"aws\"\n{}",
        key("acme", ACME, "plans = [\"gold\"]")
    );
    let gateway = Gateway::start(&(ADMIN.to_owned() + &config(origin.addr, "", &rest)));
    let addr = gateway.addr();
    let ask = move || {
        let mut client = crate::kit::Client::connect(addr);
        let request = format!("GET /pets HTTP/1.1\r\nHost: a\r\nx-api-key: {ACME}\r\n\r\n");
        let status = |_| {
            let response = client.send(&request).response();
            assert_eq!(response.field("ratelimit"), None, "AWS says nothing");
            response.status
        };
        (0..10).map(status).filter(|status| *status == 200).count()
    };
    let threads: Vec<_> = (0..8).map(|_| std::thread::spawn(ask)).collect();
    let admitted: usize = threads.into_iter().map(|t| t.join().expect("no panic")).sum();
    assert_eq!(admitted, 25);
    std::thread::sleep(ms(50));
    let scrape = Scrape::of(&gateway);
    let verdicts = |verdict| {
        scrape.sum("ringway_limit_verdicts_total", &[("limit", "plan gold"), ("verdict", verdict)])
    };
    assert_eq!((verdicts("admitted"), verdicts("refused")), (25, 55));
}
