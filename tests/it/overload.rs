//! Many at once, slow ones, and too many: others are served as if they were not there.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Instant;

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

/// Normal clients: all of their requests are served, nine times [`ROUNDS`].
fn are_served(addr: SocketAddr) {
    const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    let keeps = || {
        std::thread::spawn(move || {
            let mut client = Client::connect(addr);
            for _ in 0..2 * ROUNDS {
                assert_eq!(client.send(GET).response().status, 200);
                assert_eq!(client.send(POST).response().status, 200);
            }
        })
    };
    let others = [keeps(), keeps()];
    (0..ROUNDS).for_each(|_| assert_eq!(client::get(addr, "/").status, 200));
    others.into_iter().for_each(|other| other.join().expect("everybody is served"));
}

const ROUNDS: usize = 30;
/// Descriptors that two workers may open for themselves after the gateway says that it serves.
const LATE: usize = 8;

/// A gateway that gives a head and a body so long.
fn giving(time: &str, origin: &Origin) -> Gateway {
    let config = with(
        &format!("timeouts = {{ header = \"{time}\", body = \"{time}\" }}"),
        "pool = { idle_timeout = \"500ms\" }",
        origin.addr,
    );
    Gateway::start(&format!("{ADMIN}{config}"))
}

fn lorises(gateway: &Gateway, each: usize) -> Vec<(Loris, Client)> {
    let kinds = (0..4 * each).map(|nth| LORISES[nth % 4]);
    kinds.map(|kind| (kind, kind.begin(gateway))).collect()
}

#[test]
pub fn two_thousand_slow_lorises_slow_nobody_and_are_ended_counted_and_forgotten() {
    const EACH: usize = 500;
    allow_descriptors(6_000);
    let origin = Origin::named("ok");
    slow_nobody(&origin, EACH);

    let gateway = giving("4s", &origin);
    gateway.get("/");
    assert!(eventually(PATIENCE, || origin.open() == 0), "the pool's connection is swept");
    Scrape::of(&gateway);
    let (descriptors, threads) = (gateway.descriptors(), gateway.threads());
    let mut lorises = lorises(&gateway, EACH);
    // A byte now and then must not buy more time: they drip until they are ended.
    let drips = lorises.iter_mut().filter(|(kind, _)| *kind == Loris::Dripping);
    let mut dripping: Vec<&mut Client> = drips.map(|(_, loris)| loris).collect();
    let ended = eventually(PATIENCE, || {
        dripping.retain_mut(|loris| {
            let is_open = loris.end_within(ms(1)) == End::Open;
            let _ = is_open.then(|| loris.try_send("a"));
            is_open
        });
        dripping.is_empty()
    });
    assert!(ended, "{} buy more time", dripping.len());
    for (kind, loris) in &mut lorises {
        assert_ne!(loris.end_within(PATIENCE), End::Open, "{kind:?}");
        let text = String::from_utf8_lossy(&loris.buf).into_owned();
        match kind {
            Loris::Silent => assert!(text.is_empty(), "{text}"),
            _ => assert!(text.starts_with("HTTP/1.1 408 "), "{kind:?}: {text:?}"),
        }
    }
    drop(lorises);
    nothing_is_left(&gateway, &origin, descriptors, threads);
    books_of_lorises(&gateway, EACH, 1, 1 + 4 * EACH);
}

/// While lorises whose time is not up are held, normal clients are served, and each costs little.
fn slow_nobody(origin: &Origin, each: usize) {
    let gateway = giving("10m", origin);
    gateway.get("/");
    let memory = gateway.memory();
    let lorises = lorises(&gateway, each);
    are_served(gateway.addr());
    // Of these only a request whose head has come is one.
    let held = || Scrape::of(&gateway).count("ringway_requests_in_flight", &[]);
    assert!(eventually(PATIENCE, || held() == each), "{} are held", held());
    let grown = gateway.memory().saturating_sub(memory) / (4 * each as u64);
    assert!(grown < 32 * 1024, "a slow connection costs {grown} bytes");
    let counts = Scrape::of(&gateway);
    assert_eq!(counts.count("ringway_requests_total", &[("status", "200")]), 1 + 9 * ROUNDS);
    assert_eq!(counts.count("ringway_request_failures_total", &[]), 0);
    drop(lorises);
}

/// Descriptors, threads, connections and buffers are back where they were.
fn nothing_is_left(gateway: &Gateway, origin: &Origin, descriptors: usize, threads: usize) {
    let back = eventually(PATIENCE, || gateway.descriptors() <= descriptors + LATE);
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
        let zero = eventually(PATIENCE, || Scrape::of(gateway).sum(gauge, &[]) == 0);
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
    let origin = Origin::named("ok");
    let start = |time: &str| {
        let dir = tempfile::tempdir().expect("a directory");
        authority.issue(&["a.test"]).write(dir.path(), "a");
        let tls = format!(
            "timeouts = {{ tls_handshake = \"{time}\" }}\n[listeners.web.tls]\n\
             certificates = [{{ cert = \"a.pem\", key = \"a.key\" }}]\n"
        );
        let pool = "pool = { idle_timeout = \"500ms\" }";
        Gateway::start_in(dir, &format!("{ADMIN}{}", with(&tls, pool, origin.addr)))
    };
    // Silent, or a record's head and the beginning of a ClientHello.
    let begun = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice();
    let slow = |gateway: &Gateway| {
        let mut slow: Vec<Client> = (0..2 * EACH).map(|_| gateway.client()).collect();
        for client in slow.iter_mut().step_by(2) {
            // Its time may be up by now.
            let _ = client.try_send(begun);
        }
        slow
    };
    // Others are served while their time is not up.
    let gateway = start("10m");
    let held = slow(&gateway);
    for _ in 0..20 {
        let shaken = connect(gateway.addr(), authority.client(), "a.test");
        let mut client = shaken.expect("a handshake").client;
        assert_eq!(client.send(GET).response().status, 200);
    }
    assert_eq!(gateway.access_log(20).len(), 20, "who did not get as far as HTTP has no line");
    drop(held);
    let shaken = || Scrape::of(&gateway).by("ringway_tls_handshakes_total", "result");
    let expected = [("failed", 2 * EACH as u64), ("full", 20)];
    let expected = expected.map(|(result, n)| (result.to_owned(), n)).into();
    assert!(eventually(PATIENCE, || shaken() == expected), "{:?}", shaken());
    drop(gateway);

    let gateway = start("1s");
    assert!(eventually(PATIENCE, || origin.open() == 0), "the pool's connections are gone");
    Scrape::of(&gateway);
    let (descriptors, threads) = (gateway.descriptors(), gateway.threads());
    let mut slow = slow(&gateway);
    for client in &mut slow {
        assert_ne!(client.end_within(PATIENCE), End::Open);
    }
    drop(slow);
    nothing_is_left(&gateway, &origin, descriptors, threads);
    let counts = Scrape::of(&gateway);
    assert_eq!(
        counts.by("ringway_tls_handshakes_total", "result"),
        [("failed".to_owned(), 2 * EACH as u64)].into()
    );
    assert_eq!(counts.count("ringway_connections_opened_total", &[]), 2 * EACH);
}

#[test]
fn slow_bodies_do_not_slow_a_normal_client() {
    let origin = Origin::named("ok");
    let start = |time: &str| {
        Gateway::start(&with(&format!("timeouts = {{ body = \"{time}\" }}"), "", origin.addr))
    };
    let slow = |gateway: &Gateway| -> Vec<Client> {
        (0..100)
            .map(|_| {
                let mut client = gateway.client();
                client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nx");
                client
            })
            .collect()
    };
    let gateway = start("10m");
    let held = slow(&gateway);
    for _ in 0..50 {
        assert_eq!(gateway.get("/").status, 200);
    }
    drop(held);
    let gateway = start("1s");
    let mut slow = slow(&gateway);
    for client in &mut slow {
        assert_eq!(client.response().status, 408);
    }
    assert!(eventually(PATIENCE, || origin.open() <= 4), "their upstream connections are ended");
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
    let served = eventually(PATIENCE, || {
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
    let began = Instant::now();
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
    // Whoever has been answered leaves and makes room: not one after the other, for each worker has
    // a queue of its own.
    let all_served = eventually(PATIENCE * 2, || {
        more.retain_mut(|client| {
            client.read_timeout(ms(1));
            let response = match client.more() {
                Err(End::Open) => return true,
                Ok(_) => client.response(),
                Err(end) => panic!("not served: {end:?}"),
            };
            assert_eq!(response.text(), "ok");
            false
        });
        more.is_empty()
    });
    assert!(all_served, "{} are not served", more.len());
    let back = eventually(PATIENCE, || gateway.descriptors() <= before + LATE);
    assert!(back, "{} descriptors, {before} before", gateway.descriptors());
    let refused = Scrape::of(&gateway).count("ringway_connections_refused_total", &[]);
    assert!(refused > 0, "it was counted");
    let lines = gateway.log_lines();
    let loud = lines.iter().filter(|line| line.contains("cannot accept")).count();
    assert_eq!(refused, loud);
    assert_eq!(gateway.access_log(240).len(), 240, "nobody was lost");
    // Each of the two workers and the house pauses for 100 ms after each.
    let most = 3 * (began.elapsed().as_millis() / 100 + 2);
    assert!(loud as u128 <= most, "{loud} lines: the log must not grow with every attempt");
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
    let each = || gateway.memory().saturating_sub(memory) / 1000;
    let little = eventually(PATIENCE, || each() < 64 * 1024);
    assert!(little, "an idle connection costs {} bytes once it rests", each());
    drop(idle);
    let back = eventually(PATIENCE, || gateway.descriptors() <= descriptors + 8);
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
    while started.elapsed() < PATIENCE {
        client.buf.clear();
        match client.more() {
            Err(End::Open) => panic!("neither more nor an end"),
            Err(_) => return,
            Ok(_) => {}
        }
        if client.buf.windows(12).any(|at| at == b"HTTP/1.1 502" || at == b"HTTP/1.1 504") {
            return;
        }
    }
    panic!("interim responses for {:?}", started.elapsed());
}
