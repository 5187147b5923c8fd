//! Choosing an endpoint, keeping connections, giving up in time, leaving out what fails, never
//! sending more at once than an upstream takes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::kit::gateway::with;
use crate::kit::origin::ok;
use crate::kit::{Client, Gateway, Origin, PATIENCE, eventually, free_port, ms};

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
    let slow = Origin::answering(|_| {
        std::thread::sleep(ms(200));
        ok("slow")
    });
    let fast = Origin::named("fast");
    let gateway = spread(&plainly(&[&slow, &fast]), "");
    let until = Instant::now() + ms(1200);
    let threads: Vec<_> = (0..6)
        .map(|_| {
            let mut client = gateway.client();
            std::thread::spawn(move || {
                while Instant::now() < until {
                    client.send(GET).response();
                    std::thread::sleep(ms(2));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("a client"));
    let (slow, fast) = (slow.count(), fast.count());
    assert!(fast > 4 * slow, "the slow one got {slow}, the fast one {fast}");
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
    assert!(eventually(ms(3000), || origin.open() == 0), "swept when its time is up");
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
    let origin = Origin::scripted(|conn| {
        while conn.request().is_some() {
            conn.send(ok("asked"));
            std::thread::sleep(ms(20));
            conn.send(ok("unasked"));
        }
    });
    let glued = Origin::answering(|_| [ok("asked"), ok("unasked")].concat());
    for origin in [origin, glued] {
        let gateway = single("", origin.addr);
        let mut client = gateway.client();
        for _ in 0..4 {
            assert_eq!(client.send(GET).response().text(), "asked");
            std::thread::sleep(ms(40));
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
    assert!((ms(200)..ms(1500)).contains(&started.elapsed()), "{:?}", started.elapsed());
    drop(fill);
}

#[test]
pub fn a_first_byte_that_does_not_come_in_time_is_a_504() {
    let origin = Origin::scripted(|conn| {
        conn.request();
        conn.is_left_within(PATIENCE);
    });
    let gateway = single("timeouts = { first_byte = \"200ms\" }", origin.addr);
    let started = Instant::now();
    let response = gateway.get("/");
    assert_eq!((response.status, response.code()), (504, "UPSTREAM_008".to_owned()));
    assert!((ms(200)..ms(1500)).contains(&started.elapsed()), "{:?}", started.elapsed());
    assert_eq!(origin.count(), 1, "not sent again: nobody asked for retries on timeouts");
    assert!(eventually(ms(1000), || origin.open() == 0), "the upstream's work is ended");
}

#[test]
fn half_a_head_is_not_a_first_byte_for_ever() {
    let origin = Origin::scripted(|conn| {
        conn.request();
        conn.send("HTTP/1.1 200 OK\r\nX: ");
        conn.is_left_within(PATIENCE);
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
            std::thread::sleep(ms(100));
        }
        conn.is_left_within(PATIENCE);
    });
    let gateway = single("timeouts = { idle = \"300ms\" }", origin.addr);
    assert_eq!(gateway.get("/slow").body.len(), 10, "slower than the idle time in all");
    let mut client = gateway.client();
    let broken = client.send("GET /stops HTTP/1.1\r\nHost: a\r\n\r\n").try_response("GET");
    assert_eq!(broken.expect_err("a cut").rest, b"xxxxx");
    let line = gateway.access_log(2)[1].clone();
    assert_eq!(line["failure"], "upstream_idle_timeout", "{line}");
}

#[test]
fn the_total_time_bounds_an_exchange_that_moves() {
    let origin = Origin::scripted(|conn| {
        let Some(request) = conn.request() else { return };
        if request.target() == "/silent" {
            conn.is_left_within(PATIENCE);
            return;
        }
        conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        while conn.send("1\r\nx\r\n") {
            std::thread::sleep(ms(20));
        }
    });
    let gateway = single("timeouts = { total = \"300ms\" }", origin.addr);
    let response = gateway.get("/silent");
    assert_eq!((response.status, response.code()), (504, "UPSTREAM_012".to_owned()));
    let started = Instant::now();
    let broken = gateway.client().send(GET).try_response("GET");
    assert!(broken.is_err() && started.elapsed() < ms(1500), "{:?}", started.elapsed());
    assert_eq!(gateway.access_log(2)[1]["failure"], "upstream_total_timeout");
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
    let gateway = spread(
        &plainly(&[&origin, &other]),
        "balance = \"round_robin\"\nretry = { attempts = 1 }\n\
         ejection = { failures = 3, base_time = \"700ms\", share_max = \"50%\", \
         slow_start = \"0s\" }",
    );
    let statuses =
        |count: usize| -> Vec<u16> { (0..count).map(|_| gateway.get("/").status).collect() };
    let failed = statuses(12).iter().filter(|status| **status == 502).count();
    assert_eq!(failed, 3, "after three in a row it is left out");
    assert!(gateway.says("endpoint ejected"));
    sick.store(false, Ordering::SeqCst);
    let back = eventually(ms(3000), || gateway.get("/").text() == "well");
    assert!(back, "it comes back");
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
    let gateway = capped(&origin, "requests_max = 2, queue_max = 10, queue_timeout = \"10s\"");
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
    let one = Gateway::start(&format!(
        "{ONE_WORKER}{}",
        with(
            "",
            "concurrency = { requests_max = 1, queue_max = 1, queue_timeout = \"400ms\" }",
            origin.addr
        )
    ));
    let mut first = one.client();
    first.send(GET);
    origin.await_requests(1);
    let started = Instant::now();
    let mut second = one.client();
    second.send(GET);
    std::thread::sleep(ms(100));
    let third = one.get("/");
    assert_eq!((third.status, third.code()), (503, "UPSTREAM_004".to_owned()));
    assert!(third.field("retry-after").is_some());
    let second = second.response();
    assert_eq!((second.status, second.code()), (503, "UPSTREAM_005".to_owned()));
    assert!((ms(400)..ms(1500)).contains(&started.elapsed()), "{:?}", started.elapsed());
    // Those who waited in vain take no place of the queue.
    for _ in 0..3 {
        assert_eq!(one.get("/").code(), "UPSTREAM_005");
    }
    go.store(true, Ordering::SeqCst);
    assert_eq!(first.response().text(), "held");
    assert_eq!(one.get("/").text(), "held");
}

#[test]
fn a_client_that_leaves_the_queue_frees_its_place_in_it() {
    let (origin, go, _) = holding();
    let gateway = Gateway::start(&format!(
        "{ONE_WORKER}{}",
        with(
            "",
            "concurrency = { requests_max = 1, queue_max = 1, queue_timeout = \"20s\" }",
            origin.addr
        )
    ));
    let mut first = gateway.client();
    first.send(GET);
    origin.await_requests(1);
    let mut second = gateway.client();
    second.send(GET);
    std::thread::sleep(ms(50));
    drop(second);
    let line = gateway.access_line();
    assert_eq!(
        (line["status"].as_u64(), line["failure"].as_str()),
        (Some(499), Some("client_gone"))
    );
    let mut third = gateway.client();
    third.send(GET);
    std::thread::sleep(ms(50));
    go.store(true, Ordering::SeqCst);
    assert_eq!(third.response().text(), "held");
    assert_eq!(first.response().text(), "held");
    assert_eq!(origin.count(), 2, "the request of the one that left was never sent");
}

#[test]
fn a_request_that_waits_while_its_upstream_is_changed_is_still_served() {
    let (origin, go, _) = holding();
    let config = |keys: &str| {
        format!("{ONE_WORKER}{}", with("", &format!("concurrency = {{ {keys} }}"), origin.addr))
    };
    let mut gateway =
        Gateway::start(&config("requests_max = 1, queue_max = 5, queue_timeout = \"20s\""));
    let mut first = gateway.client();
    first.send(GET);
    origin.await_requests(1);
    let mut second = gateway.client();
    second.send(GET);
    std::thread::sleep(ms(50));
    let said = gateway.reload(&config("requests_max = 1, queue_max = 6, queue_timeout = \"20s\""));
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
                "/hang" => drop(conn.is_left_within(PATIENCE)),
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
        let fine = eventually(Duration::from_secs(2), || gateway.get("/ok").status == 200);
        assert!(fine, "after {path} the place is still taken");
    }
}
