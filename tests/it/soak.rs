//! Everything at once for a while: reloads (some broken), upstreams that die, slow readers, clients
//! that leave. Then the books must balance and nothing may be left over.
//!
//! Ten seconds by default; `RINGWAY_SOAK_SECONDS` says otherwise.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::kit::origin::ok;
use crate::kit::{Client, Gateway, Origin, PATIENCE, eventually, ms, pattern};

/// Exchanges that a client saw to their end.
type Count = usize;

#[test]
fn after_a_busy_while_the_books_balance_and_nothing_is_left_over() {
    let time = std::env::var("RINGWAY_SOAK_SECONDS").ok().and_then(|text| text.parse().ok());
    let time = Duration::from_secs(time.unwrap_or(10));
    let (steady, flaky) = (steady(), flaky());
    let mut gateway = Gateway::start(&config(&steady, &flaky, 0));
    let addr = gateway.addr();
    // Warm: buffers, threads, the allocator.
    for _ in 0..50 {
        crate::kit::client::get(addr, "/ok/warm");
    }
    assert!(eventually(PATIENCE, || gateway.access_log(50).len() == 50));
    std::thread::sleep(ms(800));
    let descriptors = gateway.descriptors();

    let stop = Arc::new(AtomicBool::new(false));
    let spawn = |work: fn(SocketAddr) -> bool| -> JoinHandle<Count> {
        let stop = stop.clone();
        std::thread::spawn(move || {
            let mut count = 0;
            while !stop.load(Ordering::SeqCst) {
                count += usize::from(work(addr));
            }
            count
        })
    };
    let kept = {
        let stop = stop.clone();
        std::thread::spawn(move || keeping(addr, &stop))
    };
    let once = [spawn(closing), spawn(posting)];
    let risky = [spawn(risking), spawn(risking)];
    let readers = [spawn(reading_slowly), spawn(reading_slowly)];
    let leavers = [spawn(leaving), spawn(leaving)];

    let started = Instant::now();
    let mut early = None;
    let mut round = 0;
    while started.elapsed() < time {
        round += 1;
        match round % 4 {
            0 => drop(gateway.reload_raw("[listeners.web")),
            3 => flaky.hang_up(),
            _ => {
                let said = gateway.reload(&config(&steady, &flaky, round));
                assert!(!said.contains("refused"), "{said}");
            }
        }
        std::thread::sleep(ms(200));
        if started.elapsed() > time / 3 {
            early.get_or_insert_with(|| gateway.memory());
        }
    }
    let late = gateway.memory();
    stop.store(true, Ordering::SeqCst);
    let join = |threads: Vec<JoinHandle<Count>>| -> Count {
        threads.into_iter().map(|thread| thread.join().expect("a client saw no nonsense")).sum()
    };
    let kept = join(vec![kept]);
    let once = join(once.into());
    let risky = join(risky.into());
    let readers = join(readers.into());
    join(leavers.into());

    assert!(gateway.is_running());
    let back = eventually(PATIENCE, || gateway.descriptors() <= descriptors + 4);
    assert!(back, "{} descriptors, {descriptors} before", gateway.descriptors());
    let grown = late.saturating_sub(early.expect("a third of the time has passed"));
    assert!(grown < 16 << 20, "grew by {grown} bytes in two thirds of {time:?}");

    // Every exchange a client saw to its end has one line, and none that nobody saw has.
    let whole = kept + once + risky + readers + 50;
    // Clients that left have lines too: the number alone does not tell that the last are there.
    let well = |lines: &[serde_json::Value]| {
        let path = |line: &&serde_json::Value| {
            line["path"].as_str().is_some_and(|path| path.starts_with("/ok/"))
        };
        lines.iter().filter(path).count()
    };
    eventually(PATIENCE, || well(&gateway.access_log(whole)) >= kept + once + 50);
    let lines = gateway.access_log(whole);
    let count = |prefix: &str, failed: bool| {
        let of =
            lines.iter().filter(|line| line["path"].as_str().unwrap_or("").starts_with(prefix));
        // An answer of the gateway's own (502, 504) is whole; one that was cut is not.
        let cut = |line: &&serde_json::Value| {
            matches!(line["failure"].as_str(), Some("client_gone" | "client_stalled"))
                || line["status"].as_u64() == Some(200) && line.get("failure").is_some()
        };
        of.filter(|line| cut(line) == failed).count()
    };
    assert_eq!(count("/ok/", false), kept + once + 50, "exchanges that went well");
    assert_eq!(count("/ok/", true), 0, "nobody left these");
    assert_eq!(count("/flaky/", false), risky, "whole answers of the flaky upstream");
    assert_eq!(count("/big/", false), readers, "slow readers");
    assert!(count("/leave/", true) > 0, "nobody was seen to leave");
    eprintln!(
        "{time:?}: {kept} kept, {once} once, {risky} risky, {readers} slow; {} lines",
        lines.len()
    );
    assert_eq!(gateway.terminate().code(), Some(0));
}

fn steady() -> Origin {
    let big = [b"HTTP/1.1 200 OK\r\nContent-Length: 524288\r\n\r\n".to_vec(), pattern(524_288)];
    let big = big.concat();
    Origin::answering(move |request| match request.target() {
        target if target.starts_with("/big") => big.clone(),
        target if target.starts_with("/leave") => {
            std::thread::sleep(ms(30));
            big.clone()
        }
        target => ok(&format!("{target} {}", request.body.len())),
    })
}

/// Dies in every way there is, and serves now and then.
fn flaky() -> Origin {
    Origin::scripted(|conn| {
        let mut nth = conn.nth;
        while conn.request().is_some() {
            nth += 1;
            match nth % 7 {
                0 => return conn.reset(),
                1 => return,
                2 => {
                    conn.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut");
                    return;
                }
                3 => {
                    conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ncut\r\n");
                    return conn.reset();
                }
                4 => drop(conn.send("nonsense\r\n\r\n")),
                _ => drop(conn.send(ok("fine"))),
            }
        }
    })
}

fn config(steady: &Origin, flaky: &Origin, round: usize) -> String {
    let (steady, flaky) = (steady.addr, flaky.addr);
    format!(
        r#"
[listeners.web]
address = "127.0.0.1:0"
connections_max = {connections}
[upstreams.steady]
endpoints = ["{steady}"]
pool = {{ idle_timeout = "500ms", idle_max = {idle} }}
[upstreams.flaky]
endpoints = ["{flaky}"]
pool = {{ idle_timeout = "500ms" }}
ejection = {{ failures = 0 }}
timeouts = {{ first_byte = "5m", connect = "{connect}ms" }}
[apis.a.routes."$default"]
upstream = "steady"
[apis.a.routes."ANY /flaky/{{proxy+}}"]
upstream = "flaky"
[apis.a.routes."GET /round/{round}"]
respond = {{ body = "{round}" }}
"#,
        connections = 1000 + round,
        idle = 100 + round % 3,
        connect = 60_000 + round,
    )
}

/// Many requests on one connection, some of them sent ahead.
fn keeping(addr: SocketAddr, stop: &AtomicBool) -> Count {
    let mut count = 0;
    while !stop.load(Ordering::SeqCst) {
        let mut client = Client::connect(addr);
        for nth in 0..200 {
            let one = format!("GET /ok/{nth} HTTP/1.1\r\nHost: a\r\n\r\n");
            client.send(one.repeat(3));
            for _ in 0..3 {
                assert_eq!(client.response().text(), format!("/ok/{nth} 0"));
                count += 1;
            }
        }
    }
    count
}

fn closing(addr: SocketAddr) -> bool {
    let response = crate::kit::client::get(addr, "/ok/close");
    assert_eq!(response.text(), "/ok/close 0");
    true
}

fn posting(addr: SocketAddr) -> bool {
    let mut client = Client::connect(addr);
    client.send("POST /ok/post HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let piece = [b"1000\r\n".to_vec(), pattern(4096), b"\r\n".to_vec()].concat();
    for _ in 0..8 {
        client.send(&piece);
    }
    assert_eq!(client.send("0\r\n\r\n").response().text(), "/ok/post 32768");
    true
}

fn risking(addr: SocketAddr) -> bool {
    let mut client = Client::connect(addr);
    client.send("GET /flaky/x HTTP/1.1\r\nHost: a\r\n\r\n");
    client.try_response("GET").is_ok_and(|response| {
        assert!(response.status == 502 || response.text() == "fine", "{response:?}");
        true
    })
}

fn reading_slowly(addr: SocketAddr) -> bool {
    let mut client = Client::connect(addr);
    client.receive_buffer(64 * 1024);
    client.send("GET /big/x HTTP/1.1\r\nHost: a\r\n\r\n").head().expect("a head");
    let mut got = Vec::new();
    while got.len() < 524_288 {
        got.extend(client.take(65_536).expect("more"));
        std::thread::sleep(ms(10));
    }
    assert!(got == pattern(524_288));
    true
}

/// Leaves before the answer, in its middle, or in the middle of the request.
fn leaving(addr: SocketAddr) -> bool {
    for nth in 0..4 {
        let mut client = Client::connect(addr);
        match nth {
            0 => drop(client.send("GET /leave/x HTTP/1.1\r\nHo")),
            1 => drop(
                client.send("POST /leave/x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhal"),
            ),
            2 => drop(client.send("GET /leave/x HTTP/1.1\r\nHost: a\r\n\r\n")),
            _ => {
                client.send("GET /leave/x HTTP/1.1\r\nHost: a\r\n\r\n");
                let _ = client.head();
            }
        }
        std::thread::sleep(ms(5));
        if nth % 2 == 0 {
            client.reset();
        }
    }
    true
}
