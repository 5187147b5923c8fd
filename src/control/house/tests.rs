//! The house as a client sees it: raw HTTP over a socket.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::page::{Asked, Content, Page, TEXT};
use super::server::{OwnThread, serve};
use super::*;
use crate::clock::Tick;
use crate::config;
use crate::snapshot::{Names, Parts, Sockets, compile};

const CONFIG: &str = r#"
[admin]
address = "127.0.0.1:0"
[listeners.web]
address = "127.0.0.1:8080"
[upstreams.pets]
endpoints = ["127.0.0.1:9000", { address = "127.0.0.1:9001", weight = 3 }]
[apis.pets.request_headers]
set = { authorization = "Bearer hunter2" }
[apis.pets.routes."GET /pets/{id}"]
upstream = "pets"
[apis.pets.routes."GET /old"]
redirect = { to = "/new" }
"#;

fn limits() -> Arc<crate::limit::Store> {
    crate::control::state::for_check().expect("memory")
}

fn cell(registry: &Registry) -> Arc<Cell> {
    cell_of(CONFIG, registry)
}

fn cell_of(text: &str, registry: &Registry) -> Arc<Cell> {
    let loaded = config::parse_str(text, "test.toml").unwrap();
    let names = Names::new();
    let sockets = Sockets::default();
    let limits = limits();
    let parts =
        Parts { previous: None, registry, names: &names, sockets: &sockets, limits: &limits };
    let snapshot = compile(Arc::new(loaded.config), &parts);
    Arc::new(Cell::new(Arc::new(snapshot.unwrap_or_else(|wrong| panic!("{wrong:?}")))))
}

/// A house that nobody answers for: no store, no control thread.
fn start(cell: Arc<Cell>, registry: Arc<Registry>) -> Result<House, StartError> {
    let clerk = Clerk::start(None, Arc::default()).unwrap();
    let (asking, _) = crossbeam_channel::bounded(1);
    House::start(cell, registry, Driver::Epoll, (clerk, Desk::default()), asking)
}

fn house() -> (House, Arc<Cell>, Arc<Registry>) {
    let registry = Arc::new(Registry::new(2));
    let cell = cell(&registry);
    let house = start(cell.clone(), registry.clone()).unwrap();
    (house, cell, registry)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Sends bytes and reads until the server closes.
fn talk(address: SocketAddr, bytes: &str) -> String {
    let mut stream = connect(address);
    stream.write_all(bytes.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn get(house: &House, path: &str) -> String {
    get_with(house, path, "")
}

fn get_with(house: &House, path: &str, fields: &str) -> String {
    let text =
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{fields}Connection: close\r\n\r\n");
    talk(house.admin.unwrap(), &text)
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

fn json(answer: &str) -> serde_json::Value {
    assert!(answer.contains("\r\ncontent-type: application/json\r\n"), "{answer}");
    serde_json::from_str(body(answer)).unwrap()
}

#[test]
fn readyz_says_no_once_told_and_while_the_process_drains_healthz_stays() {
    let (house, cell, _) = house();
    assert_eq!(body(&get(&house, "/healthz")), "ok\n");
    assert!(get(&house, "/readyz").starts_with("HTTP/1.1 200 OK\r\n"));
    house.not_ready();
    let answer = get(&house, "/readyz");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert_eq!(body(&answer), "draining\n");
    assert!(get(&house, "/healthz").starts_with("HTTP/1.1 200 OK\r\n"));

    let (other, ..) = (start(cell.clone(), Arc::new(Registry::new(1))), ());
    let other = other.unwrap();
    assert!(get(&other, "/readyz").starts_with("HTTP/1.1 200 OK\r\n"));
    cell.drain(Tick::NEVER);
    assert!(get(&other, "/readyz").starts_with("HTTP/1.1 503 "));
}

#[test]
fn metrics_come_in_the_dialect_that_is_asked_for() {
    let (house, _cell, registry) = house();
    registry.upstream("pets").of(crate::observe::cells::WorkerId(1)).retried();
    let answer = get(&house, "/metrics");
    assert!(answer.contains("\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert!(answer.contains("\nringway_upstream_retries_total{upstream=\"pets\"} 1\n"));
    let state = "{upstream=\"pets\",endpoint=\"127.0.0.1:9001\",state=\"healthy\"} 1\n";
    assert!(answer.contains(state), "{answer}");
    let open_fds = answer.lines().find_map(|line| line.strip_prefix("process_open_fds ")).unwrap();
    assert!(open_fds.parse::<u64>().unwrap() > 3);
    let accept = "Accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3\r\n";
    let answer = get_with(&house, "/metrics", accept);
    assert!(answer.contains("\r\ncontent-type: application/openmetrics-text; version=1.0.0;"));
    assert!(answer.ends_with("\n# EOF\n"));
}

#[test]
fn routes_are_told_as_json_and_as_the_table_of_the_command() {
    let (house, cell, _) = house();
    let value = json(&get(&house, "/routes"));
    let routes = value["listeners"][0]["routes"].as_array().unwrap();
    assert_eq!(value["listeners"][0]["listener"], "web");
    let pets = routes.iter().find(|route| route["key"] == "GET /pets/{id}").unwrap();
    assert_eq!((&pets["api"], &pets["ends_in"]), (&"pets".into(), &"pets".into()));
    let table = routes::text(&cell.load());
    assert!(table.contains("GET /old") && table.contains("308 to /new"), "{table}");
    assert_eq!(body(&get(&house, "/routes?format=text")), table);
    assert_eq!(body(&get_with(&house, "/routes", "Accept: text/plain\r\n")), table);
}

#[test]
fn upstreams_show_what_checks_and_results_say_of_each_endpoint() {
    let (house, cell, _) = house();
    let snapshot = cell.load();
    let upstream = &snapshot.upstreams[0];
    upstream.probed(&upstream.endpoints().list[1], false, Tick(0));
    let value = json(&get(&house, "/upstreams"));
    let endpoints = value["upstreams"][0]["endpoints"].as_array().unwrap();
    assert_eq!((&endpoints[0]["state"], &endpoints[0]["weight"]), (&"healthy".into(), &1.into()));
    assert_eq!((&endpoints[1]["state"], &endpoints[1]["weight"]), (&"unhealthy".into(), &3.into()));
    let state = "{upstream=\"pets\",endpoint=\"127.0.0.1:9001\",state=\"unhealthy\"} 1\n";
    assert!(get(&house, "/metrics").contains(state));
}

#[test]
fn models_show_how_their_targets_fare_and_nothing_of_a_credential_but_its_name() {
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key.path(), "sk-hunter2\n").unwrap();
    let text = format!(
        "{CONFIG}[providers.near]\ndialect = \"openai\"\nbase_url = \"http://127.0.0.1:9/v1\"\n\
         credentials = [{{ name = \"first\", file = {:?} }}]\n\
         [models.\"gpt-*\"]\ntargets = [{{ provider = \"near\" }}]\n\
         [apis.pets.routes.\"ANY /v1/{{proxy+}}\"]\nllm = {{ models = [\"gpt-*\"] }}\n",
        key.path()
    );
    let registry = Arc::new(Registry::new(1));
    let cell = cell_of(&text, &registry);
    let house = start(cell.clone(), registry).unwrap();
    let snapshot = cell.load();
    let target = &snapshot.llm.models.find("gpt-5").unwrap().targets[0];
    let now = clock::now();
    for _ in 0..5 {
        target.enter(now).unwrap().failed(now, None);
    }
    snapshot.llm.providers[0].credentials[0].rest(Tick::NEVER);
    for path in ["/models", "/admin/v1/models"] {
        let shown = json(&get(&house, path));
        let target = &shown["models"][0]["targets"][0];
        assert_eq!(shown["models"][0]["name"], "gpt-*");
        assert_eq!((&target["provider"], &target["model"]), (&"near".into(), &"*".into()));
        assert_eq!((&target["breaker"], &target["in_flight"]), (&"open".into(), &0.into()));
        assert!((1..=10_001).contains(&target["open_for_ms"].as_u64().unwrap()), "{target}");
        assert_eq!(target["takes_requests"], false);
    }
    for path in ["/providers", "/admin/v1/providers"] {
        let shown = json(&get(&house, path));
        let near = &shown["providers"][0];
        assert_eq!((&near["name"], &near["dialect"]), (&"near".into(), &"openai".into()));
        assert_eq!(near["upstream"], "provider:near");
        assert_eq!(near["credentials"][0]["name"], "first");
        assert_eq!(near["credentials"][0]["resting"], true);
    }
    let metrics = get(&house, "/metrics");
    let open = metrics.lines().find(|line| line.contains("state=\"open\"")).unwrap();
    assert!(open.contains("model=\"gpt-*\"") && open.ends_with(" 1"), "{open}");
    for path in ["/config", "/config?format=json", "/providers", "/models", "/routes", "/metrics"] {
        let answer = get(&house, path);
        assert!(!answer.contains("hunter2"), "{path}: {answer}");
    }
    assert!(routes::text(&snapshot).contains("language models gpt-*"));
}

#[test]
fn the_configuration_is_shown_without_its_secrets() {
    let (house, ..) = house();
    for (path, expected) in [
        ("/config", "authorization = \"***\""),
        ("/config?format=json", "\"authorization\": \"***\""),
    ] {
        let answer = get(&house, path);
        assert!(answer.contains(expected) && !answer.contains("hunter2"), "{answer}");
    }
    assert_eq!(json(&get(&house, "/version"))["generation"], 1);
}

#[test]
fn every_page_of_the_index_is_there_and_no_other() {
    let (house, ..) = house();
    let index = get(&house, "/");
    let links: Vec<&str> =
        index.split("href=\"").skip(1).filter_map(|text| text.split('"').next()).collect();
    assert!(links.len() >= 7, "{index}");
    for link in links {
        assert!(get(&house, link).starts_with("HTTP/1.1 200 OK\r\n"), "{link}");
    }
    let answer = get(&house, "/nothing");
    assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"));
    assert_eq!(json(&answer)["error"]["code"], "COMMON_002");
}

#[test]
fn other_methods_and_other_names_are_refused() {
    let (house, ..) = house();
    let admin = house.admin.unwrap();
    let post = "POST /config HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\
                Connection: close\r\n\r\nabc";
    let answer = talk(admin, post);
    assert!(answer.starts_with("HTTP/1.1 405 ") && answer.contains("\r\nallow: GET, HEAD\r\n"));
    let rebound = "GET /config HTTP/1.1\r\nHost: evil.example:9901\r\nConnection: close\r\n\r\n";
    let answer = talk(admin, rebound);
    assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
    assert_eq!(json(&answer)["error"]["code"], "COMMON_012");
    let head = "HEAD /version HTTP/1.1\r\nHost: [::1]:9901\r\nConnection: close\r\n\r\n";
    let answer = talk(admin, head);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\ncontent-length: "), "{answer}");
    assert_eq!(body(&answer), "");
}

#[test]
fn an_address_in_use_is_said_as_for_a_listener() {
    let (house, cell, registry) = house();
    let taken = house.admin.unwrap();
    let mut config = (*cell.load().config).clone();
    config.admin.address = taken;
    let parts = Parts {
        previous: None,
        registry: &registry,
        names: &Names::new(),
        sockets: &Sockets::default(),
        limits: &limits(),
    };
    let Ok(snapshot) = compile(Arc::new(config), &parts) else { panic!("it compiled before") };
    let second = start(Arc::new(Cell::new(Arc::new(snapshot))), registry);
    let Err(error) = second else { panic!("{taken} is taken") };
    let said = error.to_string();
    assert!(said.starts_with(&format!("{taken} is in use by another program")), "{said}");
}

// --- the server --------------------------------------------------------------------------------

/// A server that says what it was asked; `/ticks` in three parts.
fn echo() -> (OwnThread, SocketAddr) {
    let (socket, address) = bind(([127, 0, 0, 1], 0).into()).unwrap();
    let answer = |asked: &Asked<'_>| {
        let request = &asked.request;
        if request.path() == b"/ticks" {
            let parts = (1..=3).map(|n| format!("tick {n}\n").into_bytes());
            let content = Content::Paced(Duration::from_millis(10), Box::new(parts));
            return Page { status: 200, content_type: TEXT, fields: Vec::new(), content };
        }
        if request.path() == b"/large" {
            return Page::of(200, TEXT, vec![b'x'; 1_000_000]);
        }
        assert_ne!(request.path(), b"/panic", "asked for");
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let (method, path, kept) = (text(request.method()), text(request.path()), text(asked.body));
        Page::text(200, format!("{method} {path} {} {kept}", asked.body_bytes))
    };
    let thread = OwnThread::start("echo", move || serve(socket, answer)).unwrap();
    (thread, address)
}

#[test]
fn requests_sent_ahead_are_answered_in_order_on_one_connection() {
    let (_echo, address) = echo();
    let answer = talk(
        address,
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\
         POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
         GET /c HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    let at = |text: &str| answer.find(text).unwrap_or_else(|| panic!("{text} in {answer}"));
    assert!(at("POST /a 5 hello") < at("POST /b 3 abc") && at("POST /b") < at("GET /c 0 "));
    assert_eq!(answer.matches("HTTP/1.1 200 OK\r\n").count(), 3);
}

#[test]
fn what_is_no_request_is_refused_in_our_words_and_the_connection_closed() {
    let (_echo, address) = echo();
    for (bytes, status, code) in [
        ("GET / HTTP/1.1\r\n\r\n", "400", "COMMON_001"),
        ("GET / HTTP/1.1\nHost: a\n\n", "400", "COMMON_001"),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "505", "COMMON_010"),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "400",
            "COMMON_001",
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n", "413", "COMMON_007"),
    ] {
        let answer = talk(address, bytes);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{bytes:?}: {answer}");
        assert_eq!(json(&answer)["error"]["code"], code, "{bytes:?}");
        assert!(answer.contains("\r\nconnection: close\r\n"));
    }
    let endless = format!("GET / HTTP/1.1\r\nHost: a\r\nx: {}", "y".repeat(64 << 10));
    assert!(talk(address, &endless).starts_with("HTTP/1.1 431 "));
}

#[test]
fn large_pages_and_paced_ones_arrive_whole() {
    let (_echo, address) = echo();
    let answer = talk(address, "GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(body(&answer).len(), 1_000_000);
    let answer = talk(address, "GET /ticks HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let ticks = "7\r\ntick 1\n\r\n7\r\ntick 2\n\r\n7\r\ntick 3\n\r\n0\r\n\r\n";
    assert_eq!(body(&answer), ticks);
    // Without chunks the end of the connection is the end of the page.
    assert_eq!(body(&talk(address, "GET /ticks HTTP/1.0\r\n\r\n")), "tick 1\ntick 2\ntick 3\n");
}

#[test]
fn an_expectation_is_met_before_the_body_is_read() {
    let (_echo, address) = echo();
    let mut stream = connect(address);
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\
                Connection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"ok").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("POST / 2 ok"), "{answer}");
}

#[test]
fn a_page_that_panics_takes_its_connection_and_nothing_else() {
    let (_echo, address) = echo();
    let before = crate::net::task::panics();
    assert_eq!(talk(address, "GET /panic HTTP/1.1\r\nHost: a\r\n\r\n"), "");
    let answer = talk(address, "GET /on HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(answer.ends_with("GET /on 0 "), "{answer}");
    assert!(crate::net::task::panics() > before);
}

#[test]
fn more_connections_than_the_bound_are_closed_at_once_and_places_come_back() {
    let (_echo, address) = echo();
    let open: Vec<TcpStream> =
        (0..crate::bounds::HOUSE_CONNECTIONS_MAX).map(|_| connect(address)).collect();
    let mut over = connect(address);
    assert_eq!(over.read(&mut [0; 1]).unwrap_or(0), 0, "closed, not served");
    drop(open);
    // The places are free once the server has seen the ends.
    for _ in 0..1000 {
        let mut stream = connect(address);
        let sent = stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let mut answer = String::new();
        if sent.is_ok() && stream.read_to_string(&mut answer).is_ok() && !answer.is_empty() {
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"));
            return;
        }
    }
    panic!("places do not come back");
}
