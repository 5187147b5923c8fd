//! Under upstreams that are killed and restarted, and clients that leave in the middle of either
//! body, the counters agree with the access log, and both with what clients and origins saw.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use serde_json::Value;

use crate::kit::gateway::ADMIN;
use crate::kit::origin::ok;
use crate::kit::{Client, Conn, Gateway, Origin, PATIENCE, Scrape, eventually, ms, pattern};

/// What clients of one kind saw.
#[derive(Default)]
struct Tally {
    /// Connections they made.
    opened: usize,
    /// Whole answers by status.
    whole: BTreeMap<u64, usize>,
    /// Answers that broke off.
    cut: usize,
    /// Times they left on purpose, their request read by the gateway.
    left: usize,
}

/// How many bytes an endless answer claims to have.
const ENDLESS: usize = 1 << 30;
const UPLOAD: usize = 64 * 1024;
/// Answers that broke off, whoever saw it.
static CUT: AtomicUsize = AtomicUsize::new(0);

#[test]
pub fn counters_agree_with_the_log_and_with_the_clients() {
    let steady = Origin::scripted(answer);
    let mortal = Origin::scripted(answer);
    let (addr_of_mortal, mut connections) = (mortal.addr, 0);
    let mut mortal = Some(mortal);
    let gateway = Gateway::start(&config(steady.addr, addr_of_mortal));
    let stop = Arc::new(AtomicBool::new(false));
    let kinds: [fn(SocketAddr, &AtomicBool, &mut Tally); 4] =
        [keeping, uploading, leaving_uploads, leaving_downloads];
    let threads = kinds.map(|kind| run(kind, gateway.addr(), &stop));
    let began = Instant::now();
    let mut kills = 0;
    // Until enough has happened, on a busy machine, too.
    let enough = || {
        let counts = Scrape::of(&gateway);
        let more = |name: &str, than: u64| counts.sum(name, &[]) > than;
        more("ringway_requests_total", 400)
            && more("ringway_upstream_connect_failures_total", 0)
            && more("ringway_upstream_retries_total", 0)
            && CUT.load(Ordering::SeqCst) > 0
    };
    while began.elapsed() < PATIENCE * 2 {
        if began.elapsed() > ms(4000) && kills > 5 && enough() {
            break;
        }
        std::thread::sleep(ms(150));
        match mortal.take() {
            Some(origin) => {
                kills += 1;
                connections += origin.connections();
                drop(origin);
            }
            None => mortal = Some(Origin::at(addr_of_mortal, answer)),
        }
    }
    stop.store(true, Ordering::SeqCst);
    let [kept, up, left_up, left_down] =
        threads.map(|thread| thread.join().expect("no client saw nonsense"));
    connections += steady.connections() + mortal.as_ref().map_or(0, Origin::connections);
    let all = [&kept, &up, &left_up, &left_down];
    let asked: usize = all.iter().map(|tally| tally.asked()).sum();
    eprintln!("{kills} kills, {asked} requests, {} cut", kept.cut + up.cut);
    assert!(kills > 5 && asked > 200 && kept.cut + up.cut > 0, "{kills} kills, {asked} requests");

    let lines = gateway.access_log(asked);
    gauges_return_to_zero(&gateway);
    let counts = Scrape::of(&gateway);
    the_log_agrees(&counts, &lines);
    the_clients_agree(&lines, &kept, &up, &left_up, &left_down);
    let opened: usize = all.iter().map(|tally| tally.opened).sum();
    assert_eq!(counts.sum("ringway_connections_opened_total", &[]), opened as u64);
    assert_eq!(counts.sum("ringway_connections_refused_total", &[]), 0);
    assert_eq!(counts.sum("ringway_access_log_lines_total", &[]), lines.len() as u64);
    assert_eq!(counts.sum("ringway_access_log_dropped_total", &[]), 0);
    assert_eq!(counts.sum("ringway_panics_total", &[]), 0);

    // A connection the kernel took for an origin that died is one the origin never saw.
    let connects = counts.sum("ringway_upstream_connects_total", &[]);
    assert!(connects >= connections as u64, "{connects} made, the origins saw {connections}");
    let attempts: u64 = lines.iter().filter_map(|line| line["attempts"].as_u64()).sum();
    let refused = counts.sum("ringway_upstream_connect_failures_total", &[]);
    let reused = counts.sum("ringway_upstream_reuses_total", &[]);
    assert_eq!(
        connects + refused + reused,
        attempts,
        "every attempt had a connection, or had none"
    );
    let retries = counts.sum("ringway_upstream_retries_total", &[]);
    let again = |line: &Value| line["attempts"].as_u64().unwrap_or(1).saturating_sub(1);
    assert_eq!(retries, lines.iter().map(again).sum::<u64>());
    assert!(refused > 0 && reused > 0 && retries > 0, "{refused} {reused} {retries}: too quiet");
    assert_eq!(gateway.terminate().code(), Some(0));
}

fn config(steady: SocketAddr, mortal: SocketAddr) -> String {
    format!(
        r#"
{ADMIN}
[listeners.web]
address = "127.0.0.1:0"
[upstreams.app]
endpoints = ["{steady}", "{mortal}"]
balance = "round_robin"
pool = {{ idle_timeout = "500ms" }}
ejection = {{ failures = 0 }}
[apis.a.routes."$default"]
upstream = "app"
[apis.b.routes."ANY /up/{{proxy+}}"]
upstream = "app"
"#
    )
}

fn run(
    kind: fn(SocketAddr, &AtomicBool, &mut Tally),
    addr: SocketAddr,
    stop: &Arc<AtomicBool>,
) -> JoinHandle<Tally> {
    let stop = stop.clone();
    std::thread::spawn(move || {
        let mut tally = Tally::default();
        while !stop.load(Ordering::SeqCst) {
            kind(addr, &stop, &mut tally);
        }
        tally
    })
}

/// An origin's side: bodies are read to their end, `/down` never ends.
fn answer(conn: &mut Conn) {
    while let Some(request) = conn.request() {
        if request.target().starts_with("/down") {
            conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {ENDLESS}\r\n\r\n"));
            let piece = pattern(64 * 1024);
            while conn.send(&piece) {}
            return;
        }
        // In two parts, so that some die between them.
        let whole = ok(&"x".repeat(2000));
        let (first, rest) = whole.split_at(1000);
        conn.send(first);
        std::thread::sleep(ms(4));
        if !conn.send(rest) {
            return;
        }
    }
}

// === impl Tally ===

impl Tally {
    fn connect(&mut self, addr: SocketAddr) -> Client {
        self.opened += 1;
        Client::connect(addr)
    }

    /// Takes an answer in; false if the connection is over.
    fn take(&mut self, client: &mut Client) -> bool {
        match client.try_response("GET") {
            Ok(response) => {
                *self.whole.entry(response.status.into()).or_default() += 1;
                !response.closes()
            }
            Err(broken) => {
                assert!(broken.head.is_some(), "left without an answer: {broken:?}");
                self.cut += 1;
                CUT.fetch_add(1, Ordering::SeqCst);
                false
            }
        }
    }

    /// Requests the gateway must know of.
    fn asked(&self) -> usize {
        self.whole.values().sum::<usize>() + self.cut + self.left
    }
}

fn keeping(addr: SocketAddr, stop: &AtomicBool, tally: &mut Tally) {
    let mut client = tally.connect(addr);
    while !stop.load(Ordering::SeqCst) {
        client.send("GET /keep/x HTTP/1.1\r\nHost: a\r\n\r\n");
        if !tally.take(&mut client) {
            return;
        }
    }
}

fn uploading(addr: SocketAddr, _: &AtomicBool, tally: &mut Tally) {
    let mut client = tally.connect(addr);
    client.send(format!("POST /post/x HTTP/1.1\r\nHost: a\r\nContent-Length: {UPLOAD}\r\n\r\n"));
    // Refused early, the rest of it may not be taken.
    let _ = client.try_send(pattern(UPLOAD));
    tally.take(&mut client);
}

/// Leaves in the middle of an upload that was asked for.
fn leaving_uploads(addr: SocketAddr, _: &AtomicBool, tally: &mut Tally) {
    let mut client = tally.connect(addr);
    client.send(format!(
        "PUT /up/x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {UPLOAD}\r\n\r\n"
    ));
    let head = client.head().expect("an answer, or to be asked for the body");
    if head.status != 100 {
        *tally.whole.entry(head.status.into()).or_default() += 1;
        return;
    }
    let _ = client.try_send(pattern(UPLOAD / 2));
    tally.left += 1;
    if tally.left.is_multiple_of(2) {
        client.reset();
    }
}

/// Leaves in the middle of an answer.
fn leaving_downloads(addr: SocketAddr, _: &AtomicBool, tally: &mut Tally) {
    let mut client = tally.connect(addr);
    client.receive_buffer(32 * 1024);
    client.send("GET /down/x HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.head().expect("a head");
    if head.status != 200 {
        *tally.whole.entry(head.status.into()).or_default() += 1;
        return;
    }
    let _ = client.take(1000);
    tally.left += 1;
    if tally.left.is_multiple_of(2) {
        client.reset();
    }
}

fn gauges_return_to_zero(gateway: &Gateway) {
    for gauge in [
        "ringway_connections_active",
        "ringway_requests_in_flight",
        "ringway_upstream_exchanges_active",
        "ringway_upstream_queue_waiting",
        "ringway_upstream_connections_idle",
        "ringway_relay_buffers_in_use",
    ] {
        let zero = eventually(PATIENCE, || Scrape::of(gateway).sum(gauge, &[]) == 0);
        assert!(zero, "{gauge} is {}", Scrape::of(gateway).sum(gauge, &[]));
    }
}

/// Requests by status, failures by name, bytes and durations: the same in both.
fn the_log_agrees(counts: &Scrape, lines: &[Value]) {
    let mut by: [BTreeMap<String, u64>; 2] = Default::default();
    for line in lines {
        *by[0].entry(line["status"].to_string()).or_default() += 1;
        if let Some(failure) = line["failure"].as_str() {
            *by[1].entry(failure.to_owned()).or_default() += 1;
        }
    }
    assert_eq!(counts.by("ringway_requests_total", "status"), by[0]);
    assert_eq!(counts.by("ringway_request_failures_total", "failure"), by[1]);
    let of_b = lines.iter().filter(|line| line["api"] == "b").count() as u64;
    assert_eq!(counts.sum("ringway_requests_total", &[("api", "b")]), of_b);
    let timed = counts.sum("ringway_request_duration_seconds_count", &[]);
    assert_eq!(timed, lines.len() as u64);
    for (metric, field) in [
        ("ringway_downstream_received_bytes_total", "bytes_in"),
        ("ringway_downstream_sent_bytes_total", "bytes_out"),
    ] {
        let logged: u64 = lines.iter().map(|line| line[field].as_u64().expect("a number")).sum();
        assert_eq!(counts.sum(metric, &[]), logged, "{metric}");
    }
}

/// A line for each request a client made, and in it what that client saw.
fn the_clients_agree(
    lines: &[Value],
    kept: &Tally,
    up: &Tally,
    left_up: &Tally,
    left_down: &Tally,
) {
    for (path, tally) in [("/keep/x", kept), ("/post/x", up)] {
        let mine = lines.iter().filter(|line| line["path"] == path);
        let (mut whole, mut cut) = (BTreeMap::new(), 0);
        for line in mine {
            let status = line["status"].as_u64().expect("a number");
            // A failure's own answer is whole; a 200 that failed was cut.
            match line.get("failure") {
                Some(_) if status == 200 => cut += 1,
                _ => *whole.entry(status).or_default() += 1,
            }
        }
        assert_eq!((&whole, cut), (&tally.whole, tally.cut), "{path}");
    }
    for (path, tally) in [("/up/x", left_up), ("/down/x", left_down)] {
        let mine: Vec<&Value> = lines.iter().filter(|line| line["path"] == path).collect();
        assert_eq!(mine.len(), tally.asked(), "{path}");
        let gone = mine.iter().filter(|line| line["failure"] == "client_gone").count();
        // Its upstream may have died a moment before it left.
        let died = |line: &&&Value| {
            line["failure"].as_str().is_some_and(|failure| failure.starts_with("upstream_"))
        };
        let died = mine.iter().filter(died).count();
        assert_eq!(gone + died, mine.len(), "{path}: all of these failed");
        assert!(gone > 0, "{path}: {gone} seen to leave of {}", tally.left);
    }
}
