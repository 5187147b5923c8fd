//! Choosing an endpoint, keeping connections, giving up in time, leaving out what fails, never
//! sending more at once than an upstream takes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use crate::kit::gateway::{ADMIN, with};
use crate::kit::origin::ok;
use crate::kit::{Client, Gateway, Origin, PATIENCE, Scrape, eventually, free_port, ms};

const ONE_WORKER: &str = "[gateway]\nworkers = 1\npin = false\n";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// A gateway of one worker in front of several endpoints.
fn spread(endpoints: &[String], upstream: &str) -> Gateway {
    let list = endpoints.join(", ");
    Gateway::start(&format!(
        "{ONE_WORKER}\n[listeners.web]\naddress = \"127.0.0.1:0\"\n[upstreams.app]\n\
         endpoints = [{list}]\n{upstream}\n[apis.a.routes.\"$default\"]\nupstream = \"app\"\n"
    ))
}

fn plainly(origins: &[&Origin]) -> Vec<String> {
    origins.iter().map(|origin| format!("\"{}\"", origin.addr)).collect()
}

fn single(upstream: &str, origin: SocketAddr) -> Gateway {
    Gateway::start(&format!("{ONE_WORKER}{}", with("", upstream, origin)))
}

/// Who answers that many requests on one connection.
fn answers(client: &mut Client, count: usize, fields: &str) -> BTreeMap<String, usize> {
    let mut seen = BTreeMap::new();
    for _ in 0..count {
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        *seen.entry(client.response().text()).or_default() += 1;
    }
    seen
}

#[test]
fn round_robin_takes_turns() {
    let (a, b, c) = (Origin::named("a"), Origin::named("b"), Origin::named("c"));
    let gateway = spread(&plainly(&[&a, &b, &c]), "balance = \"round_robin\"");
    let seen = answers(&mut gateway.client(), 30, "");
    assert_eq!(seen.values().copied().collect::<Vec<_>>(), [10, 10, 10], "{seen:?}");
}

#[test]
fn weights_are_shares_and_zero_is_none() {
    let (a, b, c) = (Origin::named("a"), Origin::named("b"), Origin::named("c"));
    let endpoints: Vec<String> = [(&a, 3), (&b, 1), (&c, 0)]
        .iter()
        .map(|(origin, weight)| format!("{{ address = \"{}\", weight = {weight} }}", origin.addr))
        .collect();
    let gateway = spread(&endpoints, "balance = \"round_robin\"");
    let seen = answers(&mut gateway.client(), 40, "");
    assert_eq!((seen["a"], seen["b"], c.count()), (30, 10, 0), "{seen:?}");
}

#[test]
fn least_request_prefers_the_endpoint_with_less_to_do() {
    let (busy, go, _) = holding();
    let free = Origin::named("free");
    let gateway = spread(&plainly(&[&busy, &free]), "");
    // Until one of them is held, both are alike.
    let mut held = Vec::new();
    assert!(eventually(PATIENCE, || {
        let mut client = gateway.client();
        client.send(GET);
        held.push(client);
        eventually(PATIENCE, || busy.count() + free.count() == held.len());
        busy.count() == 1
    }));
    let seen = answers(&mut gateway.client(), 30, "");
    assert_eq!(seen["free"], 30, "one has a request in hand, the other none");
    go.store(true, Ordering::SeqCst);
    assert_eq!(held.pop().expect("the last").response().text(), "held");
}

#[test]
fn a_hash_sends_the_same_value_to_the_same_endpoint_and_moves_few_when_one_goes() {
    let origins = [Origin::named("a"), Origin::named("b"), Origin::named("c"), Origin::named("d")];
    let all: Vec<&Origin> = origins.iter().collect();
    let hash = "balance = \"hash\"\nhash = \"header:x-user\"";
    let place = |gateway: &Gateway| -> Vec<String> {
        let mut client = gateway.client();
        (0..100)
            .map(|user| {
                let field = format!("X-User: {user}\r\n");
                let seen = answers(&mut client, 2, &field);
                assert_eq!(seen.len(), 1, "user {user} met {seen:?}");
                seen.into_keys().next().expect("one")
            })
            .collect()
    };
    let before = place(&spread(&plainly(&all), hash));
    for origin in ["a", "b", "c", "d"] {
        let share = before.iter().filter(|name| *name == origin).count();
        assert!((8..=45).contains(&share), "{origin} has {share} of 100");
    }
    // Another order, and without `d`: only d's users move.
    let after = place(&spread(&plainly(&[&origins[2], &origins[0], &origins[1]]), hash));
    for (before, after) in before.iter().zip(&after) {
        assert!(before == "d" || before == after, "moved from {before} to {after}");
    }
}

#[test]
fn connections_to_an_endpoint_are_reused() {
    let origin = Origin::named("ok");
    let gateway = single("", origin.addr);
    let mut client = gateway.client();
    answers(&mut client, 10, "");
    for _ in 0..10 {
        gateway.get("/");
    }
    assert_eq!((origin.count(), origin.connections()), (20, 1));
}

#[test]
pub fn a_pooled_connection_is_left_after_its_requests_or_its_idle_time() {
    let origin = Origin::named("ok");
    let gateway = single("pool = { requests_max = 3 }", origin.addr);
    answers(&mut gateway.client(), 9, "");
    assert_eq!(origin.connections(), 3);
    let origin = Origin::named("ok");
    let gateway = single("pool = { idle_timeout = \"200ms\" }", origin.addr);
    gateway.get("/");
    assert!(eventually(PATIENCE, || origin.open() == 0), "swept when its time is up");
    gateway.get("/");
    assert_eq!(origin.connections(), 2);
    let origin = Origin::named("ok");
    let gateway = single("pool = { idle_max = 0 }", origin.addr);
    answers(&mut gateway.client(), 3, "");
    assert_eq!(origin.connections(), 3);
}

#[test]
fn an_idle_connection_that_died_is_noticed_before_a_post_is_risked_on_it() {
    // Each connection answers once without saying that it is the last.
    let origin = Origin::scripted(|conn| {
        if conn.request().is_some() {
            conn.send(ok("once"));
        }
    });
    let gateway = single("retry = { attempts = 1 }", origin.addr);
    let mut client = gateway.client();
    for _ in 0..5 {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!(client.response().text(), "once");
        assert!(eventually(PATIENCE, || origin.open() == 0));
    }
    assert_eq!(origin.count(), 5);
}

#[test]
fn bytes_nobody_asked_for_are_no_answer() {
    let unasked = Arc::new(AtomicUsize::new(0));
    let (late, glued) = (unasked.clone(), unasked.clone());
    let late = Origin::scripted(move |conn| {
        while conn.request().is_some() {
            conn.send(ok("asked"));
            std::thread::sleep(ms(20));
            conn.send(ok("unasked"));
            late.fetch_add(1, Ordering::SeqCst);
        }
    });
    let glued = Origin::answering(move |_| {
        glued.fetch_add(1, Ordering::SeqCst);
        [ok("asked"), ok("unasked")].concat()
    });
    for origin in [late, glued] {
        unasked.store(0, Ordering::SeqCst);
        let gateway = single("", origin.addr);
        let mut client = gateway.client();
        for nth in 1..=4 {
            assert_eq!(client.send(GET).response().text(), "asked");
            // What came after the next request would be taken for its answer.
            assert!(eventually(PATIENCE, || unasked.load(Ordering::SeqCst) == nth));
        }
        assert_eq!(origin.connections(), 4, "none of them could be used again");
    }
}

#[test]
fn an_answer_that_says_close_is_the_last_of_its_connection() {
    let origin = Origin::answering(|_| {
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi".to_vec()
    });
    let gateway = single("", origin.addr);
    let mut client = gateway.client();
    for _ in 0..3 {
        assert!(!client.send(GET).response().closes(), "the client's connection is its own");
    }
    assert_eq!(origin.connections(), 3);
}

#[test]
fn a_refused_connection_is_a_502_and_one_that_does_not_come_about_a_504() {
    let gateway = single("", SocketAddr::from(([127, 0, 0, 1], free_port())));
    let response = gateway.get("/");
    assert_eq!((response.status, response.code()), (502, "UPSTREAM_001".to_owned()));

    // A full backlog: the kernel drops what comes.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let full = full.expect("a socket");
    full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
    full.listen(0).expect("a listener");
    let addr = full.local_addr().expect("an address").as_socket().expect("an address");
    let fill: Vec<_> =
        (0..4).map(|_| std::net::TcpStream::connect_timeout(&addr, ms(100))).collect();
    let gateway = single("timeouts = { connect = \"200ms\" }\nretry = { attempts = 1 }", addr);
    let started = Instant::now();
    let response = gateway.get("/");
    assert_eq!((response.status, response.code()), (504, "UPSTREAM_002".to_owned()));
    assert!(started.elapsed() >= ms(200), "{:?}", started.elapsed());
    drop(fill);
}

#[test]
pub fn a_first_byte_that_does_not_come_in_time_is_a_504() {
    let origin = Origin::scripted(|conn| {
        conn.request();
        conn.until_left();
    });
    let gateway = single("timeouts = { first_byte = \"200ms\" }", origin.addr);
    let started = Instant::now();
    let response = gateway.get("/");
    assert_eq!((response.status, response.code()), (504, "UPSTREAM_008".to_owned()));
    assert!(started.elapsed() >= ms(200), "{:?}", started.elapsed());
    origin.await_requests(1);
    assert_eq!(origin.count(), 1, "not sent again: nobody asked for retries on timeouts");
    assert!(eventually(PATIENCE, || origin.open() == 0), "the upstream's work is ended");
}

#[test]
fn half_a_head_is_not_a_first_byte_for_ever() {
    let origin = Origin::scripted(|conn| {
        conn.request();
        conn.send("HTTP/1.1 200 OK\r\nX: ");
        conn.until_left();
    });
    let gateway = single("timeouts = { first_byte = \"200ms\" }", origin.addr);
    assert_eq!(gateway.get("/").status, 504);
}

#[test]
fn an_answer_that_stops_is_cut_after_the_idle_time_but_one_that_goes_on_is_not() {
    let origin = Origin::scripted(|conn| {
        let Some(request) = conn.request() else { return };
        conn.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 10\r\n\r\n");
        let pieces = if request.target() == "/slow" { 10 } else { 5 };
        for _ in 0..pieces {
            conn.send("x");
            std::thread::sleep(ms(150));
        }
        conn.until_left();
    });
    let gateway = single("timeouts = { idle = \"1s\" }", origin.addr);
    let ask = |path: &str| {
        let mut client = gateway.client();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).try_response("GET")
    };
    // A busy origin may stop for as long, too; were the whole time meant, none would be in time.
    let whole = || ask("/slow").is_ok_and(|response| response.body.len() == 10);
    assert!(eventually(PATIENCE, whole), "slower than the idle time in all");
    let lines = gateway.access_log(1).len();
    let broken = ask("/stops").expect_err("a cut");
    assert!(b"xxxxx".starts_with(&broken.rest[..]), "{broken:?}");
    let line = gateway.access_log(lines + 1)[lines].clone();
    assert_eq!(
        (&line["path"], &line["failure"]),
        (&"/stops".into(), &"upstream_idle_timeout".into())
    );
}

#[test]
fn the_total_time_bounds_an_exchange_that_moves() {
    let origin = Origin::scripted(|conn| {
        let Some(request) = conn.request() else { return };
        if request.target() == "/silent" {
            conn.until_left();
            return;
        }
        conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until && conn.send("1\r\nx\r\n") {
            std::thread::sleep(ms(20));
        }
        conn.send("0\r\n\r\n");
    });
    let gateway = single("timeouts = { total = \"500ms\" }", origin.addr);
    let response = gateway.get("/silent");
    assert_eq!((response.status, response.code()), (504, "UPSTREAM_012".to_owned()));
    let cut = eventually(PATIENCE, || match gateway.client().send(GET).try_response("GET") {
        Ok(response) => {
            // Its time may be up before a busy origin has begun.
            assert_eq!((response.status, response.code()), (504, "UPSTREAM_012".to_owned()));
            false
        }
        Err(_) => true,
    });
    assert!(cut, "it is never cut");
    let lines = gateway.access_log(2);
    assert!(lines.iter().all(|line| line["failure"] == "upstream_total_timeout"), "{lines:#?}");
}

#[test]
fn an_endpoint_that_fails_is_left_out_for_a_while_and_comes_back() {
    let sick = Arc::new(AtomicBool::new(true));
    let is_sick = sick.clone();
    let origin = Origin::scripted(move |conn| {
        while conn.request_head().is_some() {
            if is_sick.load(Ordering::SeqCst) {
                conn.reset();
                return;
            }
            conn.send(ok("well"));
        }
    });
    let other = Origin::named("other");
    let gateway = |base_time: &str| {
        let keys = format!(
            "balance = \"round_robin\"\nretry = {{ attempts = 1 }}\n\
             ejection = {{ failures = 3, base_time = \"{base_time}\", share_max = \"50%\", \
             slow_start = \"0s\" }}"
        );
        spread(&plainly(&[&origin, &other]), &keys)
    };
    let out = gateway("1h");
    let statuses = (0..12).map(|_| out.get("/").status);
    let failed = statuses.filter(|status| *status == 502).count();
    assert_eq!(failed, 3, "after three in a row it is left out");
    assert!(out.says("endpoint ejected"));
    let back = gateway("700ms");
    assert!(eventually(PATIENCE, || {
        back.get("/");
        back.log_lines().iter().any(|line| line.contains("endpoint ejected"))
    }));
    sick.store(false, Ordering::SeqCst);
    assert!(eventually(PATIENCE, || back.get("/").text() == "well"), "it comes back");
    for _ in 0..10 {
        assert_eq!(out.get("/").text(), "other", "its time is not up");
    }
}

#[test]
fn endpoints_that_fail_streamed_posts_are_left_out_too() {
    let sick = Origin::scripted(|conn| {
        conn.request();
        conn.reset();
    });
    let other = Origin::named("other");
    let gateway = spread(
        &plainly(&[&sick, &other]),
        "balance = \"round_robin\"\nejection = { failures = 2, share_max = \"50%\" }",
    );
    let mut failed = 0;
    for _ in 0..10 {
        let mut client = gateway.client();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n");
        std::thread::sleep(ms(10));
        failed += usize::from(client.send("body").response().status == 502);
    }
    assert_eq!(failed, 2);
}

#[test]
fn never_all_endpoints_are_left_out() {
    let dead = [free_port(), free_port()].map(|port| format!("\"127.0.0.1:{port}\""));
    let gateway = spread(&dead, "retry = { attempts = 1 }\nejection = { failures = 1 }");
    for _ in 0..6 {
        assert_eq!(gateway.get("/").status, 502, "they are still tried");
    }
}

/// An origin that holds requests until told to answer, and says how many it holds at most.
fn holding() -> (Origin, Arc<AtomicBool>, Arc<AtomicUsize>) {
    let go = Arc::new(AtomicBool::new(false));
    let most = Arc::new(AtomicUsize::new(0));
    let (told, highest, now) = (go.clone(), most.clone(), AtomicUsize::new(0));
    let origin = Origin::scripted(move |conn| {
        while conn.request().is_some() {
            highest.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            conn.wait_for(&told);
            now.fetch_sub(1, Ordering::SeqCst);
            conn.send(ok("held"));
        }
    });
    (origin, go, most)
}

fn capped(origin: &Origin, keys: &str) -> Gateway {
    Gateway::start(&with("", &format!("concurrency = {{ {keys} }}"), origin.addr))
}

#[test]
fn an_upstream_gets_no_more_requests_at_once_than_it_takes_the_others_wait() {
    let (origin, go, most) = holding();
    let gateway = capped(&origin, "requests_max = 2, queue_max = 10, queue_timeout = \"1m\"");
    let mut clients: Vec<Client> = (0..6).map(|_| gateway.client()).collect();
    for client in &mut clients {
        client.send(GET);
    }
    origin.await_requests(2);
    std::thread::sleep(ms(100));
    assert_eq!(origin.count(), 2);
    go.store(true, Ordering::SeqCst);
    for client in &mut clients {
        assert_eq!(client.response().text(), "held");
    }
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

#[test]
fn a_full_queue_refuses_at_once_and_a_wait_too_long_in_its_time() {
    let (origin, go, _) = holding();
    let gateway = |queue_timeout: &str| {
        let keys = format!("requests_max = 1, queue_max = 1, queue_timeout = \"{queue_timeout}\"");
        let config = with("", &format!("concurrency = {{ {keys} }}"), origin.addr);
        Gateway::start(&format!("{ONE_WORKER}{ADMIN}{config}"))
    };
    let patient = gateway("1m");
    let mut first = patient.client();
    first.send(GET);
    origin.await_requests(1);
    let mut second = patient.client();
    second.send(GET);
    assert!(eventually(PATIENCE, || waiting(&patient) == 1));
    let third = patient.get("/");
    assert_eq!((third.status, third.code()), (503, "UPSTREAM_004".to_owned()));
    assert!(third.field("retry-after").is_some());

    let hasty = gateway("400ms");
    let mut held = hasty.client();
    held.send(GET);
    origin.await_requests(2);
    // Those who waited in vain take no place of the queue.
    for _ in 0..4 {
        let started = Instant::now();
        let refused = hasty.get("/");
        assert_eq!((refused.status, refused.code()), (503, "UPSTREAM_005".to_owned()));
        assert!(started.elapsed() >= ms(400), "{:?}", started.elapsed());
    }
    go.store(true, Ordering::SeqCst);
    for client in [&mut first, &mut second, &mut held] {
        assert_eq!(client.response().text(), "held");
    }
    assert_eq!(patient.get("/").text(), "held");
    assert!(eventually(PATIENCE, || hasty.get("/").text() == "held"));
}

/// Requests in the queue.
fn waiting(gateway: &Gateway) -> u64 {
    Scrape::of(gateway).sum("ringway_upstream_queue_waiting", &[])
}

#[test]
fn a_client_that_leaves_the_queue_frees_its_place_in_it() {
    let (origin, go, _) = holding();
    let gateway = Gateway::start(&format!(
        "{ONE_WORKER}{ADMIN}{}",
        with(
            "",
            "concurrency = { requests_max = 1, queue_max = 1, queue_timeout = \"1m\" }",
            origin.addr
        )
    ));
    let mut first = gateway.client();
    first.send(GET);
    origin.await_requests(1);
    let mut second = gateway.client();
    second.send(GET);
    assert!(eventually(PATIENCE, || waiting(&gateway) == 1));
    drop(second);
    let line = gateway.access_line();
    assert_eq!(
        (line["status"].as_u64(), line["failure"].as_str()),
        (Some(499), Some("client_gone"))
    );
    assert!(eventually(PATIENCE, || waiting(&gateway) == 0));
    let mut third = gateway.client();
    third.send(GET);
    assert!(eventually(PATIENCE, || waiting(&gateway) == 1), "its place is free");
    go.store(true, Ordering::SeqCst);
    assert_eq!(third.response().text(), "held");
    assert_eq!(first.response().text(), "held");
    assert_eq!(origin.count(), 2, "the request of the one that left was never sent");
}

#[test]
fn a_request_that_waits_while_its_upstream_is_changed_is_still_served() {
    let (origin, go, _) = holding();
    let config = |keys: &str| {
        format!(
            "{ONE_WORKER}{ADMIN}{}",
            with("", &format!("concurrency = {{ {keys} }}"), origin.addr)
        )
    };
    let mut gateway =
        Gateway::start(&config("requests_max = 1, queue_max = 5, queue_timeout = \"1m\""));
    let mut first = gateway.client();
    first.send(GET);
    origin.await_requests(1);
    let mut second = gateway.client();
    second.send(GET);
    assert!(eventually(PATIENCE, || waiting(&gateway) == 1));
    let said = gateway.reload(&config("requests_max = 1, queue_max = 6, queue_timeout = \"1m\""));
    assert!(said.contains("reloaded"), "{said}");
    go.store(true, Ordering::SeqCst);
    assert_eq!(first.response().text(), "held");
    assert_eq!(second.response().text(), "held");
}

#[test]
fn a_place_is_free_again_however_its_exchange_ended() {
    let origin = Origin::scripted(|conn| {
        while let Some(request) = conn.request() {
            match request.target() {
                "/reset" => return conn.reset(),
                "/junk" => drop(conn.send("junk\r\n\r\n")),
                "/cut" => {
                    conn.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi");
                    return;
                }
                "/hang" => drop(conn.until_left()),
                _ => drop(conn.send(ok("ok"))),
            }
        }
    });
    let gateway = Gateway::start(&with(
        "",
        "concurrency = { requests_max = 1, queue_max = 0 }\nejection = { failures = 0 }\n\
         timeouts = { first_byte = \"300ms\" }",
        origin.addr,
    ));
    for path in ["/reset", "/junk", "/cut", "/hang", "/gone"] {
        let mut client = gateway.client();
        let target = if path == "/gone" { "/hang" } else { path };
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        if path == "/gone" {
            std::thread::sleep(ms(50));
        } else {
            let _ = client.try_response("GET");
        }
        drop(client);
        let fine = eventually(PATIENCE, || gateway.get("/ok").status == 200);
        assert!(fine, "after {path} the place is still taken");
    }
}
