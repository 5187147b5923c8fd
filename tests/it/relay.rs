//! Bodies stream both ways under back-pressure with bounded memory; whoever leaves is noticed at
//! once, and whoever stays is told honestly.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::kit::gateway::with;
use crate::kit::message::Chunk;
use crate::kit::origin::ok;
use crate::kit::{Client, End, Gateway, Origin, PATIENCE, eventually, ms, pattern};

const MIB: usize = 1024 * 1024;
const GROWTH_MAX: u64 = 30 << 20;
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const NO_LIMIT: &str = "body_max = 0\n";

/// Sends that many bytes behind its head, each mebibyte the same pattern, and says how many went
/// out.
fn pouring(total: usize, chunked: bool, sent: Arc<AtomicUsize>) -> Origin {
    Origin::scripted(move |conn| {
        if conn.request().is_none() {
            return;
        }
        let piece = pattern(MIB);
        conn.send(if chunked {
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned()
        } else {
            format!("HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n")
        });
        for _ in 0..total / MIB {
            let framed = match chunked {
                true => [b"100000\r\n".as_slice(), &piece, b"\r\n"].concat(),
                false => piece.clone(),
            };
            if !conn.send(framed) {
                return;
            }
            sent.fetch_add(MIB, Ordering::SeqCst);
        }
        if chunked {
            conn.send("0\r\n\r\n");
        }
    })
}

#[test]
pub fn a_large_download_passes_with_bounded_memory() {
    const TOTAL: usize = 200 * MIB;
    let origin = pouring(TOTAL, false, Arc::default());
    let gateway = Gateway::before(origin.addr);
    gateway.ask("GET /nothing HTTP/1.1\r\nHost: a b\r\n\r\n");
    let before = gateway.memory();
    let mut client = gateway.client();
    assert_eq!(client.send(GET).head().expect("a head").status, 200);
    let piece = pattern(MIB);
    let mut highest = 0;
    for nth in 0..TOTAL / MIB {
        let got = client.take(MIB).expect("more of the body");
        assert!(got == piece, "mebibyte {nth} is not what was sent");
        highest = highest.max(gateway.memory());
    }
    assert!(client.buf.is_empty());
    let growth = highest.saturating_sub(before);
    assert!(growth < GROWTH_MAX, "grew by {growth} bytes");
}

#[test]
pub fn a_slow_reader_slows_its_upstream_and_costs_no_memory() {
    for chunked in [false, true] {
        let sent = Arc::new(AtomicUsize::new(0));
        let origin = pouring(200 * MIB, chunked, sent.clone());
        let gateway = Gateway::before(origin.addr);
        let before = gateway.memory();
        let mut client = gateway.client();
        client.receive_buffer(16 * 1024);
        client.send(GET).head().expect("a head");
        // What the sockets on both sides hold, then nothing moves.
        let mut last = 0;
        eventually(PATIENCE, || {
            std::thread::sleep(ms(150));
            let now = sent.load(Ordering::SeqCst);
            std::mem::replace(&mut last, now) == now && now > 0
        });
        assert!(last < 32 * MIB, "the upstream sent {last} bytes to a client that reads none");
        let growth = gateway.memory().saturating_sub(before);
        assert!(growth < GROWTH_MAX, "grew by {growth} bytes");
        // Through a small window the rest would take minutes on a busy machine.
        client.receive_buffer(MIB);
        for _ in 0..20 {
            client.take(MIB).expect("it goes on");
        }
        assert!(sent.load(Ordering::SeqCst) > last, "the upstream goes on with its reader");
    }
}

#[test]
pub fn a_large_upload_passes_with_bounded_memory_and_a_slow_upstream_slows_it() {
    const TOTAL: usize = 200 * MIB;
    let go = Arc::new(AtomicBool::new(false));
    let told = go.clone();
    let origin = Origin::scripted(move |conn| {
        conn.request_head();
        conn.wait_for(&told);
        let piece = pattern(MIB);
        for nth in 0..TOTAL / MIB {
            while conn.buf.len() < MIB {
                if conn.more().is_err() {
                    return;
                }
            }
            assert!(conn.buf[..MIB] == piece[..], "mebibyte {nth} is not what was sent");
            conn.buf.drain(..MIB);
        }
        conn.send(ok("all"));
    });
    let gateway = Gateway::start(&format!("{}[apis.app]\n{NO_LIMIT}", with("", "", origin.addr)));
    let before = gateway.memory();
    let mut client = gateway.client();
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {TOTAL}\r\n\r\n"));
    let mut up = Client::over(
        client.tcp.try_clone().expect("a clone"),
        client.tcp.try_clone().expect("a clone"),
    );
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    let sender = std::thread::spawn(move || {
        let piece = pattern(MIB);
        for _ in 0..TOTAL / MIB {
            up.send(&piece);
            counted.fetch_add(MIB, Ordering::SeqCst);
        }
    });
    std::thread::sleep(ms(500));
    let stuck = sent.load(Ordering::SeqCst);
    assert!(stuck < 32 * MIB, "{stuck} bytes were taken from a client whose upstream reads none");
    go.store(true, Ordering::SeqCst);
    let mut highest = 0;
    while !sender.is_finished() {
        highest = highest.max(gateway.memory());
        std::thread::sleep(ms(5));
    }
    assert_eq!(client.response().text(), "all");
    let growth = highest.saturating_sub(before);
    assert!(growth < GROWTH_MAX, "grew by {growth} bytes");
}

#[test]
pub fn upload_and_download_run_at_once() {
    let origin = Origin::scripted(|conn| {
        conn.request_head();
        conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        while let Some(Chunk::Data(data)) = conn.chunk() {
            conn.send(format!("{:x}\r\n", data.len()));
            conn.send(data);
            conn.send("\r\n");
        }
        conn.send("0\r\n\r\n");
    });
    let gateway = Gateway::before(origin.addr);
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
    assert_eq!(client.head().expect("a head before the body's end").status, 200);
    let mut back = 0;
    for round in 0..40 {
        let data = pattern(1000 * (round + 1));
        client.send(format!("{:x}\r\n", data.len())).send(&data).send("\r\n");
        while back < 1 + data.len() {
            match client.chunk().expect("an echo") {
                Chunk::Data(data) => back += data.len(),
                Chunk::Last(_) => panic!("ended early"),
            }
        }
        back -= data.len();
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.chunk().expect("the end"), Chunk::Last(Vec::new()));
}

#[test]
fn events_arrive_one_by_one_each_before_the_next_is_sent() {
    for framing in ["Transfer-Encoding: chunked", "Connection: close"] {
        let chunked = framing.contains("chunked");
        let next = Arc::new(AtomicUsize::new(0));
        let told = next.clone();
        let origin = Origin::scripted(move |conn| {
            conn.request();
            conn.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{framing}\r\n\r\n"
            ));
            for nth in 0..20 {
                eventually(PATIENCE * 2, || told.load(Ordering::SeqCst) >= nth);
                let event = format!("data: {nth}\n\n");
                conn.send(match chunked {
                    true => format!("{:x}\r\n{event}\r\n", event.len()),
                    false => event,
                });
            }
        });
        let gateway = Gateway::before(origin.addr);
        let mut client = gateway.client();
        client.send("GET /events HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n");
        let head = client.head().expect("a head before the first event");
        assert_eq!(head.field("content-type"), Some("text/event-stream"));
        for nth in 0..20 {
            let event = format!("data: {nth}\n\n").into_bytes();
            assert_eq!(client.chunk().expect("an event"), Chunk::Data(event));
            next.store(nth + 1, Ordering::SeqCst);
        }
    }
}

#[test]
fn single_bytes_pass_as_they_come() {
    let taken = Arc::new(AtomicUsize::new(0));
    let told = taken.clone();
    let origin = Origin::scripted(move |conn| {
        conn.request();
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n");
        for nth in 0..30_u8 {
            // A byte that is held back would be waited for in vain.
            eventually(PATIENCE * 2, || told.load(Ordering::SeqCst) >= usize::from(nth));
            conn.send([nth]);
        }
    });
    let gateway = Gateway::before(origin.addr);
    let mut client = gateway.client();
    client.send(GET).head().expect("a head");
    for nth in 0..30 {
        assert_eq!(client.take(1).expect("a byte"), [nth]);
        taken.fetch_add(1, Ordering::SeqCst);
    }
}

/// How a client leaves.
#[derive(Clone, Copy, Debug)]
enum Leaves {
    Closing,
    Finishing,
    Resetting,
}

const WAYS: [Leaves; 3] = [Leaves::Closing, Leaves::Finishing, Leaves::Resetting];

/// Has the client leave, and checks that the upstream is left for that and no other reason.
fn left(
    gateway: &Gateway,
    origin: &Origin,
    client: Client,
    way: Leaves,
    phase: &str,
    lines: usize,
) {
    let kept = match way {
        Leaves::Closing => {
            drop(client);
            None
        }
        Leaves::Finishing => {
            client.finish();
            Some(client)
        }
        Leaves::Resetting => {
            client.reset();
            None
        }
    };
    assert!(eventually(PATIENCE, || origin.open() == 0), "{phase}, {way:?}: the upstream works on");
    let line = gateway.access_log(lines)[lines - 1].clone();
    assert_eq!(line["failure"], "client_gone", "{phase}, {way:?}: {line}");
    drop(kept);
}

/// Waits for the gateway to leave, having answered with `answer`.
fn waiting(answer: &'static str) -> Origin {
    Origin::scripted(move |conn| {
        conn.request_head();
        conn.send(answer);
        conn.until_left();
    })
}

#[test]
pub fn a_client_that_leaves_before_the_first_byte_ends_the_upstreams_work() {
    let origin = waiting("");
    let gateway = Gateway::before(origin.addr);
    for (nth, way) in WAYS.into_iter().enumerate() {
        let mut client = gateway.client();
        client.send(GET);
        assert!(eventually(PATIENCE, || origin.open() == 1));
        std::thread::sleep(ms(30));
        left(&gateway, &origin, client, way, "before the first byte", nth + 1);
    }
}

#[test]
fn a_client_that_leaves_after_a_whole_streamed_upload_ends_the_upstreams_work() {
    let origin = waiting("");
    let gateway = Gateway::before(origin.addr);
    for (nth, way) in WAYS.into_iter().enumerate() {
        let mut client = gateway.client();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel");
        std::thread::sleep(ms(30));
        client.send("lo");
        let whole = || origin.bytes().windows(5).filter(|five| five == b"hello").count();
        assert!(eventually(PATIENCE, || whole() == nth + 1));
        std::thread::sleep(ms(30));
        left(&gateway, &origin, client, way, "after the upload", nth + 1);
    }
}

#[test]
pub fn a_client_that_leaves_during_its_upload_ends_the_upstreams_work() {
    let origin = waiting("");
    let gateway = Gateway::before(origin.addr);
    for (nth, way) in WAYS.into_iter().enumerate() {
        let mut client = gateway.client();
        client
            .send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        assert!(eventually(PATIENCE, || origin.open() == 1));
        std::thread::sleep(ms(30));
        left(&gateway, &origin, client, way, "during the upload", nth + 1);
    }
    let text = String::from_utf8_lossy(&origin.bytes()).into_owned();
    assert!(!text.contains("\r\n0\r\n\r\n"), "a cut upload looks whole to the upstream: {text}");
}

#[test]
fn a_client_that_leaves_in_the_middle_of_the_answer_ends_the_upstreams_work() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\n\r\nhello",
    ] {
        let origin = waiting(answer);
        let gateway = Gateway::before(origin.addr);
        for (nth, way) in WAYS.into_iter().enumerate() {
            let mut client = gateway.client();
            client.send(GET).head().expect("a head");
            std::thread::sleep(ms(30));
            left(&gateway, &origin, client, way, "mid-body", nth + 1);
        }
    }
}

#[test]
fn a_client_that_stops_reading_and_leaves_ends_the_upstreams_work() {
    let origin = pouring(200 * MIB, false, Arc::default());
    let gateway = Gateway::before(origin.addr);
    for (nth, way) in [Leaves::Closing, Leaves::Resetting].into_iter().enumerate() {
        let mut client = gateway.client();
        client.receive_buffer(16 * 1024);
        client.send(GET).head().expect("a head");
        std::thread::sleep(ms(300));
        left(&gateway, &origin, client, way, "while it did not read", nth + 1);
    }
}

#[test]
fn a_client_that_does_not_read_for_too_long_is_left() {
    let origin = pouring(200 * MIB, false, Arc::default());
    let gateway = Gateway::start(&with("timeouts = { write = \"300ms\" }", "", origin.addr));
    let mut client = gateway.client();
    client.receive_buffer(16 * 1024);
    client.send(GET).head().expect("a head");
    assert!(eventually(PATIENCE, || origin.open() == 0), "the upstream waits for a stalled client");
    assert_eq!(gateway.access_line()["failure"], "client_stalled");
}

#[test]
fn a_client_that_stops_uploading_gets_408_and_the_upstream_no_whole_request() {
    let origin = waiting("");
    let gateway = Gateway::start(&with("timeouts = { body = \"300ms\" }", "", origin.addr));
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhel");
    let response = client.response();
    assert_eq!((response.status, response.code()), (408, "CLIENT_002".to_owned()));
    assert!(eventually(PATIENCE, || origin.open() == 0));
}

#[test]
fn a_client_that_half_closes_still_gets_its_answer_where_that_is_allowed() {
    let origin = Origin::scripted(|conn| {
        while conn.request().is_some() {
            std::thread::sleep(ms(100));
            conn.send(ok("late"));
        }
    });
    let gateway = Gateway::start(&with("half_close = \"keep\"", "", origin.addr));
    for request in [GET, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"] {
        let mut client = gateway.client();
        client.send(request).finish();
        assert_eq!(client.response().text(), "late");
    }
}

#[test]
fn an_upstream_that_fails_while_an_upload_pauses_is_told_at_once() {
    let origin = Origin::scripted(|conn| {
        conn.request_head();
        std::thread::sleep(ms(50));
        conn.reset();
    });
    let gateway = Gateway::before(origin.addr);
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    let response = client.response();
    assert_eq!((response.status, response.closes()), (502, true), "{response:?}");
}

#[test]
fn an_answer_before_the_uploads_end_reaches_the_client() {
    for close in [true, false] {
        let origin = Origin::scripted(move |conn| {
            conn.request_head();
            conn.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno");
            if !close {
                conn.until_left();
            }
        });
        let gateway =
            Gateway::start(&format!("{}[apis.app]\n{NO_LIMIT}", with("", "", origin.addr)));
        let mut client = gateway.client();
        let length = 50 * MIB;
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
        let piece = pattern(64 * 1024);
        client.tcp.set_write_timeout(Some(ms(500))).expect("a timeout");
        for _ in 0..100 {
            if client.try_send(&piece).is_err() {
                break;
            }
        }
        let response = client.response();
        assert_eq!((response.status, response.text().as_str()), (401, "no"));
    }
}

#[test]
fn an_early_answer_frees_its_upstream_though_the_client_still_uploads() {
    let origin = Origin::scripted(|conn| {
        conn.request_head();
        conn.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno");
        conn.until_left();
    });
    let gateway = Gateway::before(origin.addr);
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhel");
    assert_eq!(client.response().status, 401);
    assert!(eventually(PATIENCE, || origin.open() == 0), "the upstream's connection is held");
    let line = gateway.access_line();
    assert_eq!(line["status"], 401);
}

#[test]
fn an_upstream_that_leaves_mid_body_ends_the_client_in_every_framing() {
    for (answer, reset) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", false),
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", true),
    ] {
        let origin = Origin::scripted(move |conn| {
            conn.request();
            conn.send(answer);
            std::thread::sleep(ms(50));
            if reset {
                conn.reset();
            }
        });
        let gateway = Gateway::before(origin.addr);
        let mut client = gateway.client();
        let broken = client.send(GET).try_response("GET").expect_err("a cut");
        assert_ne!(broken.end, End::Open);
        assert_eq!(gateway.access_line()["failure"], "upstream_cut", "{answer:?} {reset}");
    }
}
