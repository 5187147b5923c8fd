//! Many at once, slow ones, and too many: others are served as if they were not there.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::kit::gateway::{ADMIN, SERVE, with};
use crate::kit::system::allow_descriptors;
use crate::kit::tls::{Authority, connect};
use crate::kit::{Client, End, Gateway, Origin, PATIENCE, Scrape, client, eventually, ms};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// How a client is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loris {
    Silent,
    /// Sends a byte of its head now and then.
    Dripping,
    HalfHead,
    HalfBody,
}

const LORISES: [Loris; 4] = [Loris::Silent, Loris::Dripping, Loris::HalfHead, Loris::HalfBody];

impl Loris {
    fn begin(self, gateway: &Gateway) -> Client {
        let mut client = gateway.client();
        client.send(match self {
            Loris::Silent => "",
            Loris::Dripping => "GET / HTTP/1.1\r\nHost: a\r\nX-",
            Loris::HalfHead => "G",
            Loris::HalfBody => "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf",
        });
        client
    }
}

/// Requests of normal clients until told to stop: how many, and how long each took.
fn normal(addr: SocketAddr, stop: &AtomicBool, keeps: bool) -> Vec<Duration> {
    let mut took = Vec::new();
    let mut client = Client::connect(addr);
    while !stop.load(Ordering::SeqCst) {
        let asked = Instant::now();
        if keeps {
            let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
            assert_eq!(client.send(GET).response().status, 200);
            assert_eq!(client.send(post).response().status, 200);
        } else {
            assert_eq!(client::get(addr, "/").status, 200);
        }
        took.push(asked.elapsed());
        std::thread::sleep(ms(2));
    }
    took
}

#[test]
pub fn two_thousand_slow_lorises_slow_nobody_and_are_ended_counted_and_forgotten() {
    const EACH: usize = 500;
    allow_descriptors(6_000);
    let origin = Origin::named("ok");
    let config = with(
        "timeouts = { header = \"4s\", body = \"4s\" }",
        "pool = { idle_timeout = \"500ms\" }",
        origin.addr,
    );
    let gateway = Gateway::start(&format!("{ADMIN}{config}"));
    let addr = gateway.addr();
    gateway.get("/");
    assert!(eventually(PATIENCE, || origin.open() == 0), "the pool's connection is swept");
    Scrape::of(&gateway);
    let (descriptors, threads) = (gateway.descriptors(), gateway.threads());
    let memory = gateway.memory();

    let started = Instant::now();
    let mut lorises: Vec<(Loris, Client)> = (0..4 * EACH)
        .map(|nth| LORISES[nth % 4])
        .map(|kind| (kind, kind.begin(&gateway)))
        .collect();
    assert!(started.elapsed() < ms(3500), "they came too slowly: {:?}", started.elapsed());
    let stop = Arc::new(AtomicBool::new(false));
    let others: Vec<_> = [true, true, false]
        .into_iter()
        .map(|keeps| {
            let stop = stop.clone();
            std::thread::spawn(move || normal(addr, &stop, keeps))
        })
        .collect();
    let drips_until = started + ms(3500);
    while Instant::now() < drips_until {
        for (_, loris) in lorises.iter_mut().filter(|(kind, _)| *kind == Loris::Dripping) {
            // A byte now and then must not buy more time.
            let _ = loris.try_send("a");
        }
        std::thread::sleep(ms(100));
    }
    let held = Scrape::of(&gateway);
    assert_eq!(held.sum("ringway_requests_in_flight", &[]) / 100, EACH as u64 / 100);
    let grown = gateway.memory().saturating_sub(memory) / (4 * EACH as u64);
    for (kind, loris) in &mut lorises {
        assert_ne!(loris.end_within(ms(6000)), End::Open, "{kind:?}");
        let text = String::from_utf8_lossy(&loris.buf).into_owned();
        match kind {
            Loris::Silent => assert!(text.is_empty(), "{text}"),
            _ => assert!(text.starts_with("HTTP/1.1 408 "), "{kind:?}: {text:?}"),
        }
    }
    assert!(started.elapsed() < ms(9000), "{:?}", started.elapsed());
    stop.store(true, Ordering::SeqCst);
    let rounds: Vec<Vec<Duration>> =
        others.into_iter().map(|other| other.join().expect("everybody is served")).collect();
    drop(lorises);

    let mut took = rounds.concat();
    took.sort_unstable();
    let (usual, slowest) = (took[took.len() * 99 / 100], took[took.len() - 1]);
    assert!(usual < ms(300) && slowest < ms(2000), "99 of 100 in {usual:?}, one {slowest:?}");
    assert!(grown < 32 * 1024, "a slow connection costs {grown} bytes");
    let served = 1 + 2 * (rounds[0].len() + rounds[1].len()) + rounds[2].len();
    let opened = 1 + 4 * EACH + 3 + rounds[2].len();
    nothing_is_left(&gateway, &origin, descriptors, threads);
    books_of_lorises(&gateway, EACH, served, opened);
}

/// Descriptors, threads, connections and buffers are back where they were.
fn nothing_is_left(gateway: &Gateway, origin: &Origin, descriptors: usize, threads: usize) {
    let back = eventually(PATIENCE, || gateway.descriptors() <= descriptors);
    assert!(back, "{} descriptors, {descriptors} before", gateway.descriptors());
    assert!(gateway.threads() <= threads, "{} threads, {threads} before", gateway.threads());
    assert!(eventually(PATIENCE, || origin.open() == 0), "{} upstream connections", origin.open());
    for gauge in [
        "ringway_connections_active",
        "ringway_requests_in_flight",
        "ringway_relay_buffers_in_use",
        "ringway_upstream_exchanges_active",
        "ringway_upstream_connections_idle",
    ] {
        // Some are set once a second.
        let zero = eventually(ms(3000), || Scrape::of(gateway).sum(gauge, &[]) == 0);
        assert!(zero, "{gauge} is {}", Scrape::of(gateway).sum(gauge, &[]));
    }
}

/// What is counted and logged of `each` of the four kinds, and of normal requests.
fn books_of_lorises(gateway: &Gateway, each: usize, served: usize, opened: usize) {
    let counts = Scrape::of(gateway);
    let count = |name: &str, labels: &[(&str, &str)]| counts.count(name, labels);
    assert_eq!(count("ringway_connections_opened_total", &[]), opened);
    assert_eq!(count("ringway_connections_refused_total", &[]), 0);
    assert_eq!(count("ringway_panics_total", &[]), 0);
    assert_eq!(count("ringway_access_log_dropped_total", &[]), 0);
    assert_eq!(count("ringway_requests_total", &[("status", "200")]), served);
    assert_eq!(count("ringway_requests_total", &[("status", "408")]), 3 * each);
    let failures = counts.by("ringway_request_failures_total", "failure");
    let each_u64 = each as u64;
    let expected = [("client_stalled", each_u64), ("request_timeout", 2 * each_u64)];
    assert_eq!(failures, expected.map(|(name, n)| (name.to_owned(), n)).into());

    let lines = gateway.access_log(served + 3 * each);
    assert_eq!(lines.len(), served + 3 * each, "who was silent has no line");
    let logged = |failure: &str| lines.iter().filter(|line| line["failure"] == failure).count();
    assert_eq!((logged("request_timeout"), logged("client_stalled")), (2 * each, each));
    assert!(lines.iter().all(|line| match line["failure"].as_str() {
        Some(_) => line["status"] == 408,
        None => line["status"] == 200,
    }));
    let names = ["WARN", "ERROR"];
    let loud = gateway.log_lines();
    let loud: Vec<_> = loud.iter().filter(|line| names.iter().any(|n| line.contains(n))).collect();
    assert!(loud.is_empty(), "clients must not fill the process log: {loud:#?}");
}

#[test]
fn handshakes_that_never_end_slow_nobody_and_are_ended_and_counted() {
    const EACH: usize = 250;
    allow_descriptors(6_000);
    let authority = Authority::new("ours");
    let dir = tempfile::tempdir().expect("a directory");
    authority.issue(&["a.test"]).write(dir.path(), "a");
    let origin = Origin::named("ok");
    let tls = "timeouts = { tls_handshake = \"2s\" }\n[listeners.web.tls]\n\
               certificates = [{ cert = \"a.pem\", key = \"a.key\" }]\n";
    let pool = "pool = { idle_timeout = \"500ms\" }";
    let config = format!("{ADMIN}{}", with(tls, pool, origin.addr));
    let gateway = Gateway::start_in(dir, &config);
    let ask = || {
        let asked = Instant::now();
        let shaken = connect(gateway.addr(), authority.client(), "a.test");
        let mut client = shaken.expect("a handshake").client;
        assert_eq!(client.send(GET).response().status, 200);
        asked.elapsed()
    };
    ask();
    assert!(eventually(PATIENCE, || origin.open() == 0), "the pool's connection is swept");
    Scrape::of(&gateway);
    let (descriptors, threads) = (gateway.descriptors(), gateway.threads());

    // Silent, or a record's head and the beginning of a ClientHello.
    let begun = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice();
    let mut slow: Vec<Client> = (0..2 * EACH).map(|_| gateway.client()).collect();
    for client in slow.iter_mut().step_by(2) {
        client.send(begun);
    }
    let started = Instant::now();
    let took: Vec<Duration> = (0..20).map(|_| ask()).collect();
    assert!(started.elapsed() < ms(2000), "they were beside each other: {:?}", started.elapsed());
    assert!(took.iter().all(|took| *took < ms(1000)), "{took:?}");
    for client in &mut slow {
        assert_ne!(client.end_within(ms(5000)), End::Open);
    }
    drop(slow);
    nothing_is_left(&gateway, &origin, descriptors, threads);
    let counts = Scrape::of(&gateway);
    let shaken = counts.by("ringway_tls_handshakes_total", "result");
    let expected = [("failed", 2 * EACH as u64), ("full", 21)];
    assert_eq!(shaken, expected.map(|(result, n)| (result.to_owned(), n)).into());
    assert_eq!(counts.count("ringway_connections_opened_total", &[]), 2 * EACH + 21);
    assert_eq!(gateway.access_log(21).len(), 21, "who did not get as far as HTTP has no line");
}

#[test]
fn slow_bodies_do_not_slow_a_normal_client() {
    let origin = Origin::named("ok");
    let gateway = Gateway::start(&with("timeouts = { body = \"1s\" }", "", origin.addr));
    let mut slow: Vec<Client> = (0..100)
        .map(|_| {
            let mut client = gateway.client();
            client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nx");
            client
        })
        .collect();
    let mut slowest = ms(0);
    for _ in 0..50 {
        let asked = Instant::now();
        assert_eq!(gateway.get("/").status, 200);
        slowest = slowest.max(asked.elapsed());
    }
    assert!(slowest < ms(500), "a normal request took {slowest:?}");
    for client in &mut slow {
        assert_eq!(client.response().status, 408);
    }
    assert!(eventually(ms(3000), || origin.open() <= 4), "their upstream connections are ended");
}

#[test]
fn beyond_its_connections_a_listener_refuses_and_serves_again_when_one_ends() {
    let origin = Origin::named("ok");
    let gateway = Gateway::start(&with("connections_max = 3", "", origin.addr));
    let mut held: Vec<Client> = (0..3).map(|_| gateway.client()).collect();
    for client in &mut held {
        assert_eq!(client.send(GET).response().status, 200);
    }
    let mut over = gateway.client();
    let _ = over.try_send(GET);
    match over.try_response("GET") {
        Ok(response) => {
            assert_eq!((response.status, response.code().as_str()), (503, "COMMON_013"))
        }
        Err(broken) => panic!("docs/configuration.md says 503, not {broken:?}"),
    }
    for client in &mut held {
        assert_eq!(client.send(GET).response().status, 200, "those inside do not notice");
    }
    held.pop();
    let served = eventually(ms(3000), || {
        let mut client = gateway.client();
        client.try_send(GET).is_ok() && client.try_response("GET").is_ok_and(|r| r.status == 200)
    });
    assert!(served, "a place is free again");
}

#[test]
fn out_of_descriptors_those_inside_are_served_and_others_wait_until_some_leave() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 120; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_ringway")]);
    command.args(SERVE).env_remove("LISTEN_FDS");
    let config = format!(
        "{ADMIN}[listeners.web]\naddress = \"127.0.0.1:0\"\n\
         [apis.a.routes.\"$default\"]\nrespond = {{ body = \"ok\" }}\n"
    );
    let dir = tempfile::tempdir().expect("a directory");
    let gateway = Gateway::start_by(command, dir, &config);
    let before = gateway.descriptors();
    let mut inside: Vec<Client> = (0..20).map(|_| gateway.client()).collect();
    let mut scraper = Client::connect(gateway.admin());
    let health = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for client in &mut inside {
        assert_eq!(client.send(GET).response().text(), "ok");
    }
    assert_eq!(scraper.send(health).response().status, 200);
    let mut more: Vec<Client> = (0..200).map(|_| gateway.client()).collect();
    for client in &mut more {
        client.send(GET);
    }
    assert!(gateway.says("raise LimitNOFILE"), "it says what to do");
    let open = gateway.descriptors();
    assert!(open < before + 120, "{open} descriptors: the limit did not hold");
    for client in &mut inside {
        assert_eq!(client.send(GET).response().text(), "ok", "who is inside is served");
    }
    assert_eq!(scraper.send(health).response().status, 200, "and so are those who look");
    drop(inside);
    for mut client in more {
        // One after the other leaves and makes room.
        assert_eq!(client.response().text(), "ok");
    }
    assert!(eventually(PATIENCE, || gateway.descriptors() <= before + 1));
    let refused = Scrape::of(&gateway).count("ringway_connections_refused_total", &[]);
    assert!(refused > 0, "it was counted");
    let lines = gateway.log_lines();
    let loud = lines.iter().filter(|line| line.contains("cannot accept")).count();
    assert_eq!(refused, loud);
    assert_eq!(gateway.access_log(240).len(), 240, "nobody was lost");
    assert!(loud < 100, "{loud} lines: the log must not grow with every attempt");
}

#[test]
fn a_thousand_idle_connections_cost_little_and_go_when_they_leave() {
    allow_descriptors(6_000);
    let origin = Origin::named("ok");
    let gateway = Gateway::before(origin.addr);
    gateway.get("/");
    let (memory, descriptors) = (gateway.memory(), gateway.descriptors());
    let mut idle: Vec<Client> = (0..1000).map(|_| gateway.client()).collect();
    for client in &mut idle {
        assert_eq!(client.send(GET).response().status, 200);
    }
    // They give back what serving took.
    std::thread::sleep(ms(500));
    let each = gateway.memory().saturating_sub(memory) / 1000;
    eprintln!("an idle connection costs {each} bytes");
    assert!(each < 64 * 1024, "an idle connection costs {each} bytes");
    drop(idle);
    let back = eventually(ms(5000), || gateway.descriptors() <= descriptors + 8);
    assert!(back, "{} descriptors, {descriptors} before", gateway.descriptors());
}

#[test]
fn endless_interim_responses_do_not_last_for_ever() {
    let origin = Origin::scripted(|conn| {
        conn.request();
        while conn.send("HTTP/1.1 102 Processing\r\n\r\n") {}
    });
    let gateway = Gateway::start(&with("", "timeouts = { first_byte = \"1s\" }", origin.addr));
    let mut client = gateway.client();
    client.send(GET);
    let started = Instant::now();
    // The client reads all of it: nothing but a bound of the gateway's ends this.
    while started.elapsed() < ms(6000) {
        client.buf.clear();
        if client.more().is_err() {
            return;
        }
        if client.buf.windows(12).any(|at| at == b"HTTP/1.1 502" || at == b"HTTP/1.1 504") {
            return;
        }
    }
    panic!("interim responses for {:?}", started.elapsed());
}
