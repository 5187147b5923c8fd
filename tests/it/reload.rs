//! A reload changes what changed, and nobody else notices; a broken one changes nothing and says
//! why.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::kit::client::{ask, get};
use crate::kit::gateway::{complete, with};
use crate::kit::message::Chunk;
use crate::kit::tls::{Authority, connect};
use crate::kit::{Client, End, Gateway, Origin, PATIENCE, eventually, free_port, ms, pattern};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
pub fn a_changed_upstream_is_used_by_the_next_request_on_the_same_connection() {
    let (old, new) = (Origin::named("old"), Origin::named("new"));
    let mut gateway = Gateway::before(old.addr);
    let mut client = gateway.client();
    assert_eq!(client.send(GET).response().text(), "old");
    let said = gateway.reload(&with("", "", new.addr));
    assert!(said.contains("app"), "it says what changed: {said}");
    assert_eq!(client.send(GET).response().text(), "new");
    assert_eq!(gateway.get("/").text(), "new");
    assert!(eventually(PATIENCE, || old.open() == 0), "connections to the old one are closed");
}

#[test]
fn downloads_and_event_streams_go_on_over_reloads() {
    let next = Arc::new(AtomicUsize::new(0));
    let told = next.clone();
    let stream = Origin::scripted(move |conn| {
        conn.request();
        conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for nth in 0..10 {
            eventually(PATIENCE * 2, || told.load(Ordering::SeqCst) >= nth);
            conn.send(format!("7\r\ndata: {nth}\r\n"));
        }
        conn.send("0\r\n\r\n");
    });
    let body = pattern(20 << 20);
    let sent = body.clone();
    let download = Origin::answering(move |_| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", sent.len());
        [head.into_bytes(), sent.clone()].concat()
    });
    let config = |to: &Origin, extra: &str| {
        format!(
            "{}{extra}[apis.more.routes.\"GET /x{}\"]\nrespond = {{}}\n",
            with("", "", to.addr)
                .replace("[apis.app.routes", "[apis.app]\nbase_path = \"/a\"\n[apis.app.routes"),
            extra.len()
        )
    };
    let both = |extra: &str| {
        let second = format!(
            "[upstreams.big]\nendpoints = [\"{}\"]\n[apis.big]\nbase_path = \"/b\"\n\
             [apis.big.routes.\"$default\"]\nupstream = \"big\"\n{extra}",
            download.addr
        );
        config(&stream, &second)
    };
    let mut gateway = Gateway::start(&both(""));
    let mut events = gateway.client();
    events.send("GET /a/e HTTP/1.1\r\nHost: a\r\n\r\n").head().expect("a head");
    let mut big = gateway.client();
    big.receive_buffer(64 * 1024);
    big.send("GET /b/f HTTP/1.1\r\nHost: a\r\n\r\n").head().expect("a head");
    let mut got = Vec::new();
    let gone = Origin::named("elsewhere");
    for nth in 0..10 {
        got.extend(big.take(1 << 20).expect("more of the body"));
        let event = format!("data: {nth}").into_bytes();
        assert_eq!(events.chunk().expect("an event"), Chunk::Data(event));
        match nth % 3 {
            0 => drop(gateway.reload(&both(&format!("retry = false\n# {nth}\n")))),
            // Their upstreams and routes are gone altogether.
            1 => drop(gateway.reload(&with("", "", gone.addr))),
            _ => drop(gateway.reload_raw("broken = [")),
        }
        next.store(nth + 1, Ordering::SeqCst);
    }
    assert_eq!(events.chunk().expect("the end"), Chunk::Last(Vec::new()));
    got.extend(big.take((20 << 20) - got.len()).expect("the rest of the body"));
    assert!(got == body, "not a byte is lost");
}

#[test]
fn a_broken_file_changes_nothing_and_names_the_place() {
    let origin = Origin::named("kept");
    let mut gateway = Gateway::before(origin.addr);
    let good = complete(&with("", "", origin.addr));
    for (broken, place, word) in [
        ("[listeners.web\n".to_owned(), "ringway.toml:1:", ""),
        (good.replace("upstream = \"app\"", "upstream = \"ap\""), "ringway.toml:", "did you mean"),
        (
            good.replace("address = \"127.0.0.1:0\"", "adress = \"127.0.0.1:0\""),
            "ringway.toml:",
            "address",
        ),
        (format!("{good}connections_max = \"x\"\n"), "ringway.toml:", "connections_max"),
    ] {
        let said = gateway.reload_raw(&broken);
        assert!(said.contains("reload refused"), "{said}");
        let at = said.find(place).unwrap_or_else(|| panic!("no place in: {said}"));
        let after = &said[at + "ringway.toml:".len()..];
        let numbers: Vec<&str> = after.splitn(3, ':').collect();
        assert!(numbers[0].parse::<u32>().is_ok() && numbers[1].parse::<u32>().is_ok(), "{said}");
        assert!(said.contains(word), "{said}");
        assert_eq!(gateway.get("/").text(), "kept");
    }
    std::fs::remove_file(gateway.path("ringway.toml")).expect("it was there");
    gateway.signal("HUP");
    assert!(eventually(PATIENCE, || gateway
        .log_lines()
        .iter()
        .filter(|l| l.contains("reload refused"))
        .count()
        == 5));
    assert_eq!(gateway.get("/").text(), "kept");
}

#[test]
fn an_address_that_cannot_be_bound_refuses_the_whole_reload() {
    let origin = Origin::named("kept");
    let other = Origin::named("other");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken_at = taken.local_addr().expect("an address");
    let mut gateway = Gateway::before(origin.addr);
    let config = with("", "", other.addr);
    let said = gateway.reload(&format!("{config}[listeners.more]\naddress = \"{taken_at}\"\n"));
    assert!(said.contains("reload refused") && said.contains(&taken_at.to_string()), "{said}");
    assert_eq!(gateway.get("/").text(), "kept");
}

#[test]
pub fn a_removed_listener_drains_and_an_added_one_serves() {
    let origin = Origin::scripted(|conn| {
        while let Some(request) = conn.request() {
            if request.target() == "/slow" {
                std::thread::sleep(ms(400));
            }
            conn.send(crate::kit::origin::ok("served"));
        }
    });
    let (first, second) = (free_port(), free_port());
    let listener =
        |name: &str, port: u16| format!("\n[listeners.{name}]\naddress = \"127.0.0.1:{port}\"\n");
    let rest =
        with("", "", origin.addr).replace("\n[listeners.web]\naddress = \"127.0.0.1:0\"\n", "");
    let (first_at, second_at) = (([127, 0, 0, 1], first).into(), ([127, 0, 0, 1], second).into());
    let mut gateway = Gateway::start(&format!("{}{rest}", listener("one", first)));
    let mut idle = Client::connect(first_at);
    assert_eq!(idle.send(GET).response().text(), "served");
    let mut busy = Client::connect(first_at);
    busy.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.await_requests(2);
    gateway.reload(&format!("{}{rest}", listener("two", second)));
    assert_eq!(get(second_at, "/").text(), "served");
    assert_eq!(busy.response().text(), "served", "the request in flight is served to its end");
    assert_ne!(idle.end_within(PATIENCE), End::Open, "idle connections are closed");
    assert_ne!(busy.end_within(PATIENCE), End::Open, "and busy ones after their answer");
    assert!(
        eventually(PATIENCE, || Client::try_connect(first_at).is_err()),
        "nobody listens there"
    );
}

#[test]
fn an_unchanged_listener_loses_no_connection_and_a_changed_one_none_either() {
    let origin = Origin::named("ok");
    let mut gateway = Gateway::before(origin.addr);
    let mut client = gateway.client();
    for round in 0..10 {
        gateway.reload(&with(&format!("requests_max = {}", 1000 + round), "", origin.addr));
        assert_eq!(client.send(GET).response().status, 200, "round {round}");
    }
    gateway.reload(&with("requests_max = 5", "", origin.addr));
    // It has had its five: closed already, or after one more.
    if client.try_send(GET).is_ok()
        && let Ok(response) = client.try_response("GET")
    {
        assert!(response.closes());
    }
    client.expect_closed();
}

#[test]
fn pools_of_unchanged_upstreams_stay_warm_over_reloads() {
    let origin = Origin::named("ok");
    let one = |extra: &str| {
        format!("[gateway]\nworkers = 1\npin = false\n{}{extra}", with("", "", origin.addr))
    };
    let mut gateway = Gateway::start(&one(""));
    let mut client = gateway.client();
    for round in 0..5 {
        assert_eq!(client.send(GET).response().status, 200);
        gateway.reload(&one(&format!("[apis.b.routes.\"GET /{round}\"]\nrespond = {{}}\n")));
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_changed_certificate_is_shown_to_new_connections_only() {
    let authority = Authority::new("ours");
    let dir = tempfile::tempdir().expect("a directory");
    let (first, second) = (authority.issue(&["a.test"]), authority.issue(&["a.test"]));
    first.write(dir.path(), "a");
    let origin = Origin::named("ok");
    let tls = "[listeners.web.tls]\ncertificates = [{ cert = \"a.pem\", key = \"a.key\" }]\n";
    let config = with(tls, "", origin.addr);
    let mut gateway = Gateway::start_in(dir, &config);
    let mut old = connect(gateway.addr(), authority.client(), "a.test").expect("a handshake");
    assert_eq!(&old.shown, first.der());
    old.client.send(GET).response();
    second.write(gateway.dir.path(), "a");
    // The file has not changed, what it names has.
    gateway.reload(&config);
    let new = connect(gateway.addr(), authority.client(), "a.test").expect("a handshake");
    assert_eq!(&new.shown, second.der());
    assert_eq!(old.client.send(GET).response().status, 200, "the old connection goes on");
    // A certificate whose key is another's changes nothing.
    std::fs::write(gateway.path("a.key"), &first.key_pem).expect("a file");
    let said = gateway.reload(&config);
    assert!(said.contains("reload refused"), "{said}");
    let kept = connect(gateway.addr(), authority.client(), "a.test").expect("a handshake");
    assert_eq!(&kept.shown, second.der());
}

#[test]
pub fn reloads_under_load_lose_no_request() {
    let origin = Origin::named("ok");
    let mut gateway = Gateway::before(origin.addr);
    let (addr, stop) = (gateway.addr(), Arc::new(AtomicUsize::new(0)));
    let threads: Vec<_> = (0..4)
        .map(|nth| {
            let stop = stop.clone();
            std::thread::spawn(move || {
                let mut count = 0;
                let mut client = Client::connect(addr);
                while stop.load(Ordering::SeqCst) == 0 {
                    if nth % 2 == 0 {
                        assert_eq!(client.send(GET).response().status, 200);
                    } else {
                        let closing = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
                        assert_eq!(ask(addr, closing).status, 200);
                    }
                    count += 1;
                }
                count
            })
        })
        .collect();
    for round in 0..15 {
        gateway.reload(&with(
            &format!("connections_max = {}", 1000 + round),
            &format!("pool = {{ idle_max = {} }}", 100 + round),
            origin.addr,
        ));
    }
    stop.store(1, Ordering::SeqCst);
    let counts: Vec<usize> =
        threads.into_iter().map(|thread| thread.join().expect("no request lost")).collect();
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
}
