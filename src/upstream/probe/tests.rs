//! Probes against a scripted origin on loopback.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use super::*;
use crate::net::ring::{self, Driver};
use crate::observe::registry::Registry;
use crate::snapshot::{Names, Parts, Sockets, compile};

/// An endpoint that answers what it is told to; `HANGS` never answers.
struct Origin {
    address: SocketAddr,
    status: Arc<AtomicU16>,
    heads: Arc<Mutex<Vec<String>>>,
}

const HANGS: u16 = 0;

impl Origin {
    fn start(status: u16) -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let status = Arc::new(AtomicU16::new(status));
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (say, tell) = (status.clone(), heads.clone());
        std::thread::spawn(move || {
            let mut hanging = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                // Read before the lock is taken: who waits for the lock may be who sends.
                let head = head_from(&mut stream);
                tell.lock().unwrap().push(head);
                match say.load(Ordering::SeqCst) {
                    HANGS => hanging.push(stream),
                    status => {
                        let early = "HTTP/1.1 103 Early Hints\r\n\r\n";
                        let text =
                            format!("{early}HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nok");
                        let _ = stream.write_all(text.as_bytes());
                    }
                }
            }
        });
        Origin { address, status, heads }
    }

    fn answers(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    fn asked(&self) -> usize {
        self.heads.lock().unwrap().len()
    }
}

fn head_from(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

struct Gateway {
    cell: Arc<Cell>,
    registry: Registry,
}

impl Gateway {
    fn of(upstream: &str) -> Gateway {
        let registry = Registry::new(1);
        let first = snapshot(upstream, None, &registry);
        Gateway { cell: Arc::new(Cell::new(first)), registry }
    }

    fn reload(&self, upstream: &str) {
        let old = self.cell.load();
        self.cell.publish(snapshot(upstream, Some(&old), &self.registry));
    }

    fn endpoint(&self, at: usize) -> Arc<Endpoint> {
        self.cell.load().upstreams[0].endpoints().list[at].clone()
    }
}

fn snapshot(upstream: &str, old: Option<&Snapshot>, registry: &Registry) -> Arc<Snapshot> {
    let text = format!(
        "[listeners.web]\naddress = \"127.0.0.1:8080\"\n[upstreams.u]\n{upstream}\n\
         [apis.a.routes.\"$default\"]\nupstream = \"u\"\n"
    );
    let loaded = config::parse_str(&text, "test.toml").unwrap_or_else(|wrong| panic!("{wrong:?}"));
    let (names, sockets) = (Names::new(), Sockets::default());
    let limits = std::sync::Arc::new(
        crate::limit::Store::anonymous(256, crate::limit::HashKey(1, 2), 3).expect("memory"),
    );
    let parts =
        Parts { previous: old, registry, names: &names, sockets: &sockets, limits: &limits };
    let compiled = compile(Arc::new(loaded.config), &parts);
    Arc::new(compiled.unwrap_or_else(|wrong| panic!("{wrong:?}")))
}

fn upstream(origin: &Origin, more: &str) -> String {
    format!(
        "endpoints = [\"{}\"]\n{more}\nhealth = {{ path = \"/well?deep=1\", interval = \"100ms\", \
         timeout = \"50ms\", rise = 2, fall = 2, status = \"200\" }}",
        origin.address
    )
}

/// Runs the prober and, beside it, what the test awaits.
fn probing(gateway: &Gateway, test: impl Future<Output = ()>) {
    let cell = gateway.cell.clone();
    ring::build(Driver::Epoll).unwrap().run(async move {
        task::spawn(deadline::run_wheel());
        task::spawn(run(cell, 7));
        test.await;
    });
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let late = clock::now().after(Duration::from_secs(20));
    while !holds() {
        assert!(clock::now() < late, "in vain: {what}");
        deadline::sleep_until(clock::now().after(Duration::from_millis(5))).await;
    }
}

#[test]
fn an_endpoint_goes_down_with_bad_answers_and_comes_back_with_good_ones_in_a_row() {
    let origin = Origin::start(200);
    let gateway = Gateway::of(&upstream(&origin, ""));
    let endpoint = gateway.endpoint(0);
    probing(&gateway, async {
        until("asked", || origin.asked() >= 2).await;
        assert!(!endpoint.is_down());
        let head = origin.heads.lock().unwrap()[0].clone();
        assert!(head.starts_with("GET /well?deep=1 HTTP/1.1\r\n"), "{head}");
        assert!(head.contains(&format!("\r\nhost: {}\r\n", origin.address)), "{head}");
        origin.answers(500);
        until("down", || endpoint.is_down()).await;
        origin.answers(200);
        let asked = origin.asked();
        until("up", || !endpoint.is_down()).await;
        assert!(origin.asked() >= asked + 2, "one good answer is not yet two in a row");
    });
}

#[test]
fn no_answer_in_time_and_no_connection_are_bad_from_the_first_on() {
    let hangs = Origin::start(HANGS);
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = upstream(&hangs, "").replace("endpoints = [", &format!("endpoints = [\"{gone}\", "));
    let gateway = Gateway::of(&text);
    let (first, second) = (gateway.endpoint(0), gateway.endpoint(1));
    assert!(!first.is_down() && !second.is_down(), "up until the first result");
    probing(&gateway, async {
        until("both down", || first.is_down() && second.is_down()).await;
        assert!(hangs.asked() >= 1);
    });
}

#[test]
fn what_is_known_outlives_a_reload_and_ends_with_the_checks() {
    let origin = Origin::start(503);
    let gateway = Gateway::of(&upstream(&origin, ""));
    let endpoint = gateway.endpoint(0);
    probing(&gateway, async {
        until("down", || endpoint.is_down()).await;
        gateway.reload(&upstream(&origin, "timeouts = { first_byte = \"3s\" }"));
        assert!(Arc::ptr_eq(&endpoint, &gateway.endpoint(0)));
        let asked = origin.asked();
        until("asked again", || origin.asked() >= asked + 2).await;
        assert!(endpoint.is_down());
        gateway.reload(&format!("endpoints = [\"{}\"]", origin.address));
        until("no longer held down", || !endpoint.is_down()).await;
        // What was under way when the checks ended has ended too.
        deadline::sleep_until(clock::now().after(Duration::from_millis(100))).await;
        let asked = origin.asked();
        deadline::sleep_until(clock::now().after(Duration::from_millis(300))).await;
        assert_eq!(origin.asked(), asked, "nobody asks any more");
    });
}

#[test]
fn a_probe_speaks_on_nobodys_behalf_where_the_endpoint_wants_a_proxy_header() {
    let origin = Origin::start(200);
    let gateway = Gateway::of(&upstream(&origin, "proxy_protocol = \"v1\""));
    probing(&gateway, async {
        until("asked", || origin.asked() >= 1).await;
        let head = origin.heads.lock().unwrap()[0].clone();
        assert!(head.starts_with("PROXY UNKNOWN\r\nGET /well"), "{head}");
    });
}

#[test]
fn probes_are_bounded_and_every_endpoint_is_asked_all_the_same() {
    let origins: Vec<Origin> = (0..bounds::PROBES_MAX + 20).map(|_| Origin::start(HANGS)).collect();
    let addresses: Vec<String> =
        origins.iter().map(|origin| format!("\"{}\"", origin.address)).collect();
    let text = upstream(&origins[0], "");
    let (_, rest) = text.split_once('\n').unwrap();
    let gateway = Gateway::of(&format!("endpoints = [{}]\n{rest}", addresses.join(", ")));
    let mut rounds = Rounds {
        watches: Vec::new(),
        seen: Vec::new(),
        generation: 0,
        random: Random::new(1),
        running: Rc::default(),
    };
    ring::build(Driver::Epoll).unwrap().run(async {
        task::spawn(deadline::run_wheel());
        let now = clock::now();
        rounds.follow(&gateway.cell.load(), now);
        rounds.ask_those_due(now);
        assert_eq!(rounds.running.get(), bounds::PROBES_MAX);
        rounds.ask_those_due(now);
        assert_eq!(rounds.running.get(), bounds::PROBES_MAX, "no more, however often one looks");
    });
    probing(&gateway, async {
        until("all asked", || origins.iter().all(|origin| origin.asked() >= 1)).await;
    });
}
