//! Many at once, slow ones, and too many: others are served as if they were not there.

use std::time::Instant;

use crate::kit::gateway::with;
use crate::kit::{Client, End, Gateway, Origin, eventually, ms};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn slow_lorises_do_not_slow_a_normal_client_and_are_ended_in_time() {
    let origin = Origin::named("ok");
    let gateway = Gateway::start(&with("timeouts = { header = \"2s\" }", "", origin.addr));
    gateway.get("/");
    let before = gateway.memory();
    let started = Instant::now();
    let mut lorises: Vec<Client> = (0..200)
        .map(|nth| {
            let mut client = gateway.client();
            client.send(match nth % 3 {
                0 => "",
                1 => "GET / HTTP/1.1\r\nHost: a\r\nX-",
                _ => "G",
            });
            client
        })
        .collect();
    let mut normal = gateway.client();
    let mut slowest = ms(0);
    while started.elapsed() < ms(1500) {
        for loris in lorises.iter_mut().skip(1).step_by(3) {
            // A byte now and then must not buy more time.
            let _ = loris.try_send("a");
        }
        for _ in 0..10 {
            let asked = Instant::now();
            assert_eq!(normal.send(GET).response().status, 200);
            slowest = slowest.max(asked.elapsed());
        }
        std::thread::sleep(ms(20));
    }
    assert!(slowest < ms(300), "a normal request took {slowest:?}");
    let grown = gateway.memory().saturating_sub(before);
    assert!(grown < 200 * 64 * 1024, "200 slow connections cost {grown} bytes");
    for (nth, loris) in lorises.iter_mut().enumerate() {
        assert_ne!(loris.end_within(ms(4000)), End::Open, "loris {nth}");
        let text = String::from_utf8_lossy(&loris.buf).into_owned();
        match nth % 3 {
            0 => assert!(text.is_empty(), "{text}"),
            _ => assert!(text.starts_with("HTTP/1.1 408 "), "{text:?}"),
        }
    }
    assert!(started.elapsed() < ms(6000), "{:?}", started.elapsed());
    assert_eq!(normal.send(GET).response().status, 200);
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
fn a_thousand_idle_connections_cost_little_and_go_when_they_leave() {
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
