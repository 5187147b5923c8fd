//! Limits over the wire: exact over workers, connections, processes, restarts and reloads.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use crate::kit::gateway::{ADMIN, with};
use crate::kit::origin::ok;
use crate::kit::{Client, Gateway, H2Client, Origin, PATIENCE, Scrape, eventually, ms, ws};

/// A gateway that answers itself, with these limits on all its requests.
fn config(limits: &str, names: &str) -> String {
    format!(
        r#"
{ADMIN}
[listeners.web]
address = "127.0.0.1:0"
{limits}
[apis.app]
limits = {names}
[apis.app.routes."$default"]
respond = {{ status = 200, body = "ok" }}
[apis.app.routes."GET /free"]
respond = {{ status = 200, body = "free" }}
"#
    )
}

fn get(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n")
}

/// Asks so often on one connection: the statuses.
fn statuses(client: &mut Client, count: usize, fields: &str) -> Vec<u16> {
    let ask = |_| client.send(get(fields)).response().status;
    (0..count).map(ask).collect()
}

fn admitted(statuses: &[u16]) -> usize {
    assert!(statuses.iter().all(|status| matches!(status, 200 | 429)), "{statuses:?}");
    statuses.iter().filter(|status| **status == 200).count()
}

#[test]
fn a_burst_is_admitted_exactly_and_the_rest_is_told_when_to_come_back() {
    let limit = "[limits.slow]\nrate = \"1/h\"\nburst = 5\n";
    let gateway = Gateway::start(&config(limit, r#"["slow"]"#));
    let mut client = gateway.client();
    for left in (0..5).rev() {
        let response = client.send(get("")).response();
        assert_eq!(response.status, 200);
        assert_eq!(response.field("ratelimit-policy"), Some("\"slow\";q=5;w=18000"));
        let told = response.field("ratelimit").expect("how it stands").to_owned();
        let used = 3600 * (5 - left);
        // The bucket has got a little since.
        let t = told.strip_prefix(&format!("\"slow\";r={left};t=")).expect("tokens are left");
        let t: i32 = t.parse().expect("seconds");
        assert!((used - 60..=used).contains(&t), "{told}, not about {used}");
        assert_eq!(response.field("retry-after"), None);
    }
    let response = client.send(get("")).response();
    assert_eq!(response.status, 429);
    let told = response.field("ratelimit").expect("how it stands");
    assert!(told.starts_with("\"slow\";r=0;t=179") || told.ends_with("t=18000"), "{told}");
    let after: u64 = response.field("retry-after").expect("seconds").parse().expect("a number");
    assert!((3500..=3600).contains(&after), "{after}");
    assert!(response.text().contains("\"code\":\"RATE_LIMIT_001\""), "{response:?}");
    assert_eq!(gateway.access_log(6)[5]["limit"], "slow");
    let counts = Scrape::of(&gateway);
    let of = |verdict| {
        counts.sum("ringway_limit_verdicts_total", &[("limit", "slow"), ("verdict", verdict)])
    };
    assert_eq!((of("admitted"), of("refused"), of("shadow_refused")), (5, 1, 0));
}

#[test]
fn two_workers_and_64_connections_flat_out_are_admitted_what_one_bucket_gives() {
    let limit = "[limits.hot]\nrate = \"100/s\"\nburst = 500\n";
    let gateway = Gateway::start(&config(limit, r#"["hot"]"#));
    let (count, took, most) =
        flat_out(gateway.addr(), Duration::from_secs(3), |_, _| String::new());
    // From before the first request to after the last answer no more than this can have come; and
    // from the first answer to the last request, all the time asking, no less: one token a second
    // may be lost to rounding, and a bucket five seconds from full overflows in no pause of 64
    // connections.
    let most_of = |time: Duration| 500.0 + 100.0 * time.as_secs_f64();
    assert!(count as f64 <= most_of(most), "{count} in {most:?}");
    let least = most_of(took) - 1.0 - took.as_secs_f64();
    assert!(count as f64 >= least, "{count} in {took:?}, not {least}");
}

#[test]
fn ten_thousand_keys_have_a_bucket_each() {
    let limit = "[limits.each]\nby = [\"header:x-user\"]\nrate = \"1/h\"\nburst = 2\n";
    let gateway = Gateway::start(&config(limit, r#"["each"]"#));
    let threads: Vec<_> = (0..60)
        .map(|thread| {
            let mut client = gateway.client();
            std::thread::spawn(move || {
                let mut sum = 0;
                // Each key is asked for three times, by three threads at about the same time.
                for i in 0..500 {
                    let key = (thread / 3 * 500) + i;
                    sum += admitted(&statuses(&mut client, 1, &format!("x-user: u{key}\r\n")));
                }
                sum
            })
        })
        .collect();
    let sum: usize =
        threads.into_iter().map(|thread| thread.join().expect("no thread fails")).sum();
    assert_eq!(sum, 20_000, "two of three for each of 10,000 keys");
}

#[test]
fn a_quota_admits_exactly_so_many_also_through_kill_and_restart() {
    let state = tempfile::tempdir().expect("a directory");
    let text = quota(&state, 300);
    let mut sum = 0;
    for _ in 0..3 {
        let gateway = Gateway::start(&text);
        sum += admitted(&statuses(&mut gateway.client(), 110, ""));
        // SIGKILL, when dropped: nothing is written on the way out.
    }
    assert_eq!(sum, 300);
    let gateway = Gateway::start(&text);
    let response = gateway.get("/");
    assert_eq!(response.status, 429);
    assert!(response.text().contains("RATE_LIMIT_004"), "{response:?}");
    let told = response.field("ratelimit").expect("how it stands");
    assert!(told.starts_with("\"day/day\";r=0;t="), "{told}");
    assert_eq!(response.field("ratelimit-policy"), Some("\"day/day\";q=300;w=86400"));
    let reset: u64 = told.rsplit('=').next().expect("t").parse().expect("a number");
    assert!((1..=86_400).contains(&reset), "{told}");
}

#[test]
fn killed_in_the_middle_of_requests_a_quota_never_admits_one_more() {
    let state = tempfile::tempdir().expect("a directory");
    let text = quota(&state, 20_000);
    let mut seen = 0;
    for round in 0..3 {
        let gateway = Gateway::start(&text);
        let addr = gateway.addr();
        let count = Arc::new(AtomicU64::new(0));
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let count = count.clone();
                std::thread::spawn(move || {
                    let mut client = Client::connect(addr);
                    while client.try_send(get("")).is_ok() {
                        let Ok(response) = client.try_response("GET") else { return };
                        if response.status == 429 {
                            return;
                        }
                        count.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        if round < 2 {
            assert!(eventually(ms(10_000), || count.load(Ordering::SeqCst) > 3000));
            drop(gateway);
        }
        threads.into_iter().for_each(|thread| thread.join().expect("no thread fails"));
        seen += count.load(Ordering::SeqCst);
    }
    // What was admitted and not yet answered when it was killed nobody has seen: at most one for
    // each connection and kill.
    assert!((20_000 - 16..=20_000).contains(&seen), "{seen}");
}

#[test]
fn two_processes_on_one_directory_share_every_limit() {
    let state = tempfile::tempdir().expect("a directory");
    let text = quota(&state, 1000);
    let gateways = [Gateway::start(&text), Gateway::start(&text)];
    let threads: Vec<_> = (0..8)
        .map(|at| {
            let mut client = gateways[at % 2].client();
            std::thread::spawn(move || admitted(&statuses(&mut client, 200, "")))
        })
        .collect();
    let sum: usize =
        threads.into_iter().map(|thread| thread.join().expect("no thread fails")).sum();
    assert_eq!(sum, 1000);
}

#[test]
fn a_request_that_one_limit_refuses_takes_nothing_of_the_others() {
    let limits = "[limits.wide]\nrate = \"1/h\"\nburst = 10\n\
                  [limits.narrow]\nby = [\"header:x-user\"]\nrate = \"1/h\"\nburst = 2\n\
                  quota = { limit = 100 }\n";
    let gateway = Gateway::start(&config(limits, r#"["wide", "narrow"]"#));
    let mut client = gateway.client();
    assert_eq!(admitted(&statuses(&mut client, 50, "x-user: a\r\n")), 2);
    let mut sum = 2;
    for user in ["b", "c", "d"] {
        sum += admitted(&statuses(&mut client, 5, &format!("x-user: {user}\r\n")));
    }
    assert_eq!(sum, 8);
    let response = client.send(get("x-user: a\r\n")).response();
    assert_eq!(response.status, 429);
    let told = response.field("ratelimit").expect("how they stand");
    assert!(told.starts_with("\"wide\";r=2;t="), "{told}");
    assert!(told.contains(", \"narrow\";r=0;t=") && told.contains(", \"narrow/day\";r=98;t="));
}

#[test]
fn a_limit_in_shadow_counts_and_refuses_nobody() {
    let limits = "[limits.trial]\nrate = \"1/h\"\nburst = 2\nshadow = true\n";
    let gateway = Gateway::start(&config(limits, r#"["trial"]"#));
    let mut client = gateway.client();
    let response = client.send(get("")).response();
    assert_eq!((response.status, response.field("ratelimit")), (200, None));
    assert_eq!(admitted(&statuses(&mut client, 9, "")), 9);
    let counts = Scrape::of(&gateway);
    let of = |verdict| counts.sum("ringway_limit_verdicts_total", &[("verdict", verdict)]);
    assert_eq!((of("admitted"), of("refused"), of("shadow_refused")), (2, 0, 8));
}

#[test]
fn a_reload_keeps_what_was_counted_and_takes_a_new_rate() {
    let limit = |burst| {
        let text = format!("[limits.slow]\nrate = \"1/h\"\nburst = {burst}\n");
        config(&text, r#"["slow"]"#)
    };
    let mut gateway = Gateway::start(&limit(5));
    assert_eq!(admitted(&statuses(&mut gateway.client(), 4, "")), 4);
    let said = gateway.reload(&limit(5).replace("body = \"ok\"", "body = \"new\""));
    assert!(said.contains("reloaded"), "{said}");
    assert_eq!(admitted(&statuses(&mut gateway.client(), 4, "")), 1);
    gateway.reload(&limit(8));
    assert_eq!(admitted(&statuses(&mut gateway.client(), 9, "")), 3, "three more than five");
}

#[test]
fn a_request_without_the_key_is_refused_or_not_counted() {
    let limits = "[limits.must]\nby = [\"header:x-user\"]\nrate = \"1/h\"\nburst = 1\n";
    let gateway = Gateway::start(&config(limits, r#"["must"]"#));
    let response = gateway.get("/");
    assert_eq!(response.status, 400);
    assert!(response.text().contains("RATE_LIMIT_006"), "{response:?}");
    let limits = format!("{limits}missing = \"skip\"\n");
    let gateway = Gateway::start(&config(&limits, r#"["must"]"#));
    let mut client = gateway.client();
    assert_eq!(admitted(&statuses(&mut client, 5, "")), 5);
    assert_eq!(admitted(&statuses(&mut client, 5, "x-user: a\r\n")), 1);
}

#[test]
fn so_many_at_once_and_a_place_is_free_when_its_request_ends_however_it_ends() {
    let go = Arc::new(AtomicBool::new(false));
    let wait = go.clone();
    let origin = Origin::scripted(move |conn| {
        while conn.request().is_some() {
            conn.wait_for(&wait);
            conn.send(ok("done"));
        }
    });
    let gateway = Gateway::start(&before(origin.addr, "[limits.few]\nconcurrency = 2\n", "few"));
    let mut clients: Vec<Client> = (0..2).map(|_| gateway.client()).collect();
    for client in &mut clients {
        client.send(get(""));
    }
    origin.await_requests(2);
    let response = gateway.get("/");
    assert_eq!((response.status, response.field("retry-after")), (429, Some("1")));
    assert!(response.text().contains("RATE_LIMIT_003"), "{response:?}");
    // One hangs up in the middle: its place is free, and no other's.
    clients.pop().expect("two of them").reset();
    let mut third = gateway.client();
    third.read_timeout(ms(300));
    let free = eventually(PATIENCE, || {
        let mut next = gateway.client();
        next.read_timeout(ms(300));
        let waits = next.send(get("")).head().is_err();
        if waits {
            third = next;
        }
        waits
    });
    assert!(free, "the place of the one who left is never free");
    assert_eq!(gateway.get("/").status, 429);
    go.store(true, Ordering::SeqCst);
    third.read_timeout(PATIENCE);
    assert_eq!((clients[0].response().status, third.response().status), (200, 200));
    for _ in 0..5 {
        assert_eq!(gateway.get("/").status, 200);
    }
}

#[test]
fn a_websocket_holds_its_place_as_long_as_it_is_open() {
    let origin = Origin::scripted(ws::echo);
    let text = before(origin.addr, "[limits.one]\nconcurrency = 1\n", "one");
    let gateway = Gateway::start(&text);
    let mut client = ws::open(gateway.addr());
    for _ in 0..3 {
        assert_eq!(gateway.get("/").status, 429);
        client.send(ws::frame(ws::TEXT, b"still here", true));
        assert_eq!(ws::receive(&mut client).payload, b"still here");
    }
    client.reset();
    let mut opened = None;
    assert!(eventually(PATIENCE, || {
        let mut next = gateway.client();
        let opens = ws::shake(&mut next, "/").status == 101;
        opened = opens.then_some(next);
        opens
    }));
    assert_eq!(gateway.get("/").status, 429);
}

#[test]
fn a_kill_leaves_nobody_in_a_place() {
    let state = tempfile::tempdir().expect("a directory");
    let origin = Origin::scripted(|conn| while conn.request().is_some() {});
    let text = format!(
        "[gateway]\nworkers = 2\npin = false\nlimits_max = 1000\nstate_dir = \"{}\"\n{}",
        state.path().display(),
        before(origin.addr, "[limits.one]\nconcurrency = 1\n", "one")
    );
    for round in 1..4 {
        let gateway = Gateway::start(&text);
        let mut client = gateway.client();
        client.send(get(""));
        origin.await_requests(round);
        assert_eq!(gateway.get("/").status, 429);
    }
}

#[test]
fn a_throttle_is_of_its_route_alone() {
    let text = format!(
        "{}\n[apis.app.routes.\"GET /pets/{{id}}\"]\nrespond = {{ status = 200 }}\n\
         throttle = {{ rate = \"1/d\", burst = 3 }}\n",
        config("", "[]")
    );
    let gateway = Gateway::start(&text);
    let paths = ["/pets/1", "/pets/2", "/other", "/pets/3", "/pets/4", "/other"];
    let statuses = paths.map(|path| gateway.get(path).status);
    assert_eq!(statuses, [200, 200, 200, 200, 429, 200]);
    let response = gateway.get("/pets/5");
    assert_eq!(response.field("ratelimit-policy"), Some("\"app GET /pets/{id}\";q=3;w=259200"));
}

#[test]
fn a_stage_and_a_version_have_limits_of_their_own() {
    let gateway = Gateway::start(
        r#"
[listeners.web]
address = "127.0.0.1:0"
[limits.old]
rate = "1/d"
burst = 2
[apis.app]
versioning = { select = ["path"] }
[apis.app.versions.v1]
limits = ["old"]
[apis.app.versions.v2]
[apis.app.stages.dev]
throttle = { rate = "1/d", burst = 3 }
[apis.app.stages.prod]
[apis.app.routes."$default"]
respond = { status = 200 }
"#,
    );
    let asked = |paths: &[&str]| -> Vec<u16> {
        paths.iter().map(|path| gateway.get(path).status).collect()
    };
    // The stage's three are for both versions, and for this stage only.
    assert_eq!(asked(&["/dev/v2/a", "/dev/v1/a", "/dev/v2/b", "/dev/v2/a"]), [200, 200, 200, 429]);
    // Of the version's two, one went in the other stage; a refusal took none.
    assert_eq!(
        asked(&["/dev/v1/a", "/prod/v1/a", "/prod/v1/a", "/prod/v2/a"]),
        [429, 200, 429, 200]
    );
    let refused = gateway.get("/dev/v2/a");
    assert_eq!(refused.field("ratelimit-policy"), Some("\"app/dev stage\";q=3;w=259200"));
    assert!(!gateway.says("limits.old"), "a version names it");
}

#[test]
fn networks_are_counted_as_one_and_headers_as_aws_has_them_are_none() {
    let limits = "[limits.net]\nby = [\"ip/24\"]\nrate = \"1/d\"\nburst = 2\nheaders = \"aws\"\n";
    let text = config(limits, "[\"net\"]").replace(
        "address = \"127.0.0.1:0\"\n[limits",
        "address = \"127.0.0.1:0\"\ntrusted_proxies = [\"127.0.0.1\"]\n[limits",
    );
    let gateway = Gateway::start(&text);
    let from = |ip: &str| {
        let request = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {ip}\r\n\r\n");
        gateway.client().send(request).response()
    };
    let statuses = ["10.1.2.3", "10.1.2.200", "10.1.2.4", "10.1.3.4"].map(|ip| from(ip).status);
    assert_eq!(statuses, [200, 200, 429, 200]);
    let response = from("10.1.2.9");
    for field in ["ratelimit", "ratelimit-policy", "retry-after"] {
        assert_eq!(response.field(field), None, "{field}");
    }
    // An IPv6 customer has a /64.
    let statuses = ["2001:db8::1", "2001:db8::ffff:2", "2001:db8::3", "2001:db8:0:1::1"];
    assert_eq!(statuses.map(|ip| from(ip).status), [200, 200, 429, 200]);
}

#[test]
fn a_grpc_call_is_refused_in_its_own_words() {
    let limit = "[limits.none]\nrate = \"1/d\"\nburst = 1\n";
    let gateway = Gateway::start(&config(limit, r#"["none"]"#));
    assert_eq!(gateway.get("/").status, 200, "the one there is");
    let mut client = H2Client::connect(gateway.addr());
    let fields = [("content-type", "application/grpc"), ("te", "trailers")];
    let answer = client.ask("/t.S/Call", &fields, b"\0\0\0\0\0");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.field("grpc-status"), Some("8"));
    assert!(answer.field("retry-after").is_some() && answer.field("ratelimit").is_some());
}

#[test]
fn a_file_that_is_no_table_is_an_error_and_stays_as_it_is() {
    let state = tempfile::tempdir().expect("a directory");
    let file = state.path().join("limits.tab");
    for content in ["somebody's notes", ""] {
        std::fs::write(&file, content).expect("a file");
        let dir = tempfile::tempdir().expect("a directory");
        let text = crate::kit::gateway::complete(&quota(&state, 5));
        std::fs::write(dir.path().join("ringway.toml"), text).expect("a file");
        let ended = crate::kit::gateway::run(dir.path(), &["serve", "--config", "ringway.toml"]);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains("limits.tab: it is not a table of limits"), "{ended:?}");
        assert_eq!(std::fs::read_to_string(&file).expect("a file"), content);
    }
}

/// A gateway before an origin, with this limit on all its requests.
fn before(origin: SocketAddr, limit: &str, name: &str) -> String {
    with("", "", origin) + &format!("{limit}[apis.app]\nlimits = [\"{name}\"]\n")
}

fn quota(state: &tempfile::TempDir, limit: u64) -> String {
    let text = format!("[limits.day]\nquota = {{ limit = {limit} }}\n");
    let gateway = format!(
        "[gateway]\nworkers = 2\npin = false\nlimits_max = 1000\nstate_dir = \"{}\"\n",
        state.path().display()
    );
    gateway + &config(&text, r#"["day"]"#)
}

/// Asks on 64 connections for so long. How many were admitted; the time from the last of them being
/// ready to the first who stops; the time from before the first to after the last.
fn flat_out(
    addr: SocketAddr,
    time: Duration,
    fields: fn(usize, usize) -> String,
) -> (u64, Duration, Duration) {
    let count = Arc::new(AtomicU64::new(0));
    let start = Arc::new(Barrier::new(65));
    let threads: Vec<_> = (0..64)
        .map(|thread| {
            let (count, start) = (count.clone(), start.clone());
            let mut client = Client::connect(addr);
            std::thread::spawn(move || {
                start.wait();
                let began = Instant::now();
                let (mut i, mut slowest) = (0, Duration::ZERO);
                while began.elapsed() < time {
                    let asked = Instant::now();
                    let status = client.send(get(&fields(thread, i))).response().status;
                    count.fetch_add(u64::from(status == 200), Ordering::SeqCst);
                    i += 1;
                    slowest = slowest.max(asked.elapsed());
                }
                (began, Instant::now(), slowest)
            })
        })
        .collect();
    let before = Instant::now();
    start.wait();
    let spans: Vec<_> = threads.into_iter().map(|t| t.join().expect("no thread fails")).collect();
    let after = Instant::now();
    let first = spans.iter().map(|(began, ..)| *began).max().expect("64 of them");
    let last = spans.iter().map(|(_, ended, _)| *ended).min().expect("64 of them");
    // The last to be judged may have been so as long before its answer.
    let slowest = spans.iter().map(|(.., slowest)| *slowest).max().expect("64 of them");
    (count.load(Ordering::SeqCst), (last - first).saturating_sub(slowest), after - before)
}
