//! Streams of an HTTP/2 connection: side by side, ended by either end, back-pressured; and the
//! connection's own end, which streams that are open never notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use crate::kit::gateway::with;
use crate::kit::h2raw::{CANCEL, END_STREAM, H2, INITIAL_WINDOW, NO_ERROR, data, kind, reset};
use crate::kit::message::Chunk;
use crate::kit::origin::ok;
use crate::kit::{Client, End, Gateway, Origin, PATIENCE, eventually, ms, pattern};

const MIB: usize = 1 << 20;
/// The last stream of a GOAWAY that only warns (RFC 9113 section 6.8).
const ANY: u32 = 0x7fff_ffff;

/// Answers `/slow` once told to, everything else at once.
fn slow_and_fast() -> (Origin, Arc<AtomicBool>) {
    let go = Arc::new(AtomicBool::new(false));
    let told = go.clone();
    let origin = Origin::scripted(move |conn| {
        while let Some(request) = conn.request() {
            if request.target() == "/slow" {
                conn.wait_for(&told);
            }
            conn.send(ok(request.target()));
        }
    });
    (origin, go)
}

/// An origin that begins an answer of unknown length, and says when the gateway has left.
fn endless(head: &'static str) -> (Origin, Arc<AtomicBool>) {
    let gone = Arc::new(AtomicBool::new(false));
    let tell = gone.clone();
    let origin = Origin::scripted(move |conn| {
        if conn.request_head().is_some() {
            conn.send(head);
            if conn.until_left() {
                tell.store(true, Ordering::SeqCst);
            }
        }
    });
    (origin, gone)
}

fn body_of(h2: &H2, stream: u32) -> usize {
    h2.answers.get(&stream).map_or(0, |answer| answer.body.len())
}

#[test]
fn a_slow_stream_does_not_hold_up_the_others() {
    let (origin, go) = slow_and_fast();
    let gateway = Gateway::before(origin.addr);
    let mut client = H2::connect(gateway.addr());
    let slow = client.get("/slow");
    let fast: Vec<u32> = (0..80).map(|nth| client.get(&format!("/{nth}"))).collect();
    for (nth, stream) in fast.into_iter().enumerate() {
        assert_eq!(client.answer(stream).text(), format!("/{nth}"));
    }
    assert!(!client.answers.contains_key(&slow));
    go.store(true, Ordering::SeqCst);
    assert_eq!(client.answer(slow).text(), "/slow");
    assert_eq!(gateway.access_log(81).len(), 81);
}

#[test]
fn streams_beyond_the_bound_are_refused_and_may_be_tried_again() {
    let (origin, go) = slow_and_fast();
    let gateway = Gateway::before(origin.addr);
    let mut client = H2::connect(gateway.addr());
    let streams: Vec<u32> = (0..103).map(|_| client.get("/slow")).collect();
    for stream in &streams[100..] {
        assert_eq!(client.answer(*stream).reset, Some(7), "REFUSED_STREAM");
    }
    go.store(true, Ordering::SeqCst);
    for stream in &streams[..100] {
        assert_eq!(client.answer(*stream).status, Some(200));
    }
    assert_eq!(client.fetch("GET", "/again", &[]).text(), "/again");
}

/// RFC 9113 section 8.1.1: what was cut is never ended as if it were complete.
#[test]
fn an_upstream_cut_in_the_middle_of_a_body_resets_the_stream() {
    for (head, rst) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart", false),
        ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart", true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n", false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n7\r\nmo", true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\nbad\r\n", false),
    ] {
        let go = Arc::new(AtomicBool::new(false));
        let told = go.clone();
        let origin = Origin::scripted(move |conn| {
            conn.request();
            let (begun, rest) = head.split_at(head.find("part").expect("it is there") + 4);
            conn.send(begun);
            conn.wait_for(&told);
            conn.send(rest);
            if rst {
                conn.reset();
            }
        });
        let gateway = Gateway::start(&with("", "ejection = { failures = 0 }", origin.addr));
        let mut client = H2::connect(gateway.addr());
        let stream = client.get("/");
        client.until(PATIENCE, |h2| body_of(h2, stream) == 4).expect("the first part");
        go.store(true, Ordering::SeqCst);
        let answer = client.answer(stream);
        assert!(answer.reset.is_some_and(|code| code != NO_ERROR), "{head}: {answer:?}");
        assert!(!answer.ended && answer.status == Some(200), "{head}: {answer:?}");
        assert!(client.is_alive().expect("only the stream has ended"));
        assert!(gateway.access_line()["failure"].is_string());
    }
}

#[test]
fn a_client_that_resets_its_stream_ends_the_upstreams_work() {
    for head in [
        "",
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
    ] {
        for upload in [false, true] {
            let (origin, gone) = endless(head);
            let gateway = Gateway::before(origin.addr);
            let mut client = H2::connect(gateway.addr());
            let stream = client.ask("POST", "/", &[], !upload);
            assert!(eventually(PATIENCE, || origin.open() == 1));
            if upload {
                client.client.send(data(stream, 0, [b'x'; 1000]));
            }
            if head.is_empty() {
                std::thread::sleep(ms(100));
            } else {
                client.until(PATIENCE, |h2| body_of(h2, stream) == 1).expect("a first byte");
            }
            client.client.send(reset(stream, CANCEL));
            assert!(eventually(PATIENCE, || gone.load(Ordering::SeqCst)), "{head:?} {upload}");
            assert!(client.is_alive().expect("open"), "the connection goes on");
            assert_eq!(gateway.access_line()["failure"], "client_gone", "{head:?} {upload}");
        }
    }
}

#[test]
fn a_client_that_leaves_ends_the_upstreams_work_on_all_of_its_streams() {
    let origin = Origin::scripted(|conn| while conn.request().is_some() {});
    let gateway = Gateway::before(origin.addr);
    for cut in [false, true] {
        let mut client = H2::connect(gateway.addr());
        for _ in 0..20 {
            client.get("/");
        }
        assert!(eventually(PATIENCE, || origin.open() == 20), "{} are open", origin.open());
        match cut {
            true => client.client.reset(),
            false => drop(client),
        }
        assert!(eventually(PATIENCE, || origin.open() == 0), "{} go on upstream", origin.open());
    }
}

/// Sends for ever, and counts what it gets rid of.
fn pouring(sent: Arc<AtomicUsize>, total: usize) -> Origin {
    Origin::scripted(move |conn| {
        let piece = pattern(MIB);
        while conn.request().is_some() {
            conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n"));
            for _ in 0..total / MIB {
                if !conn.send(&piece) {
                    return;
                }
                sent.fetch_add(MIB, Ordering::SeqCst);
            }
        }
    })
}

#[test]
fn a_slow_reader_slows_its_upstream_and_no_other_stream() {
    let sent = Arc::new(AtomicUsize::new(0));
    let origin = pouring(sent.clone(), 100 * MIB);
    let gateway = Gateway::before(origin.addr);
    let mut client = H2::over(Client::connect(gateway.addr()), &[(INITIAL_WINDOW, 10_000)]);
    client.opens_windows = false;
    let before = gateway.memory();
    let slow = client.get("/");
    client.until(PATIENCE, |h2| body_of(h2, slow) >= 10_000).expect("as much as fits");
    let _ = client.until(ms(1000), |_| false);
    assert_eq!(body_of(&client, slow), 10_000, "what the stream's window allows, no more");
    let stuck = sent.load(Ordering::SeqCst);
    assert!(stuck < 16 * MIB, "the upstream sent {stuck} bytes to a client that takes none");
    let grown = gateway.memory().saturating_sub(before);
    assert!(grown < 4 * MIB as u64, "grew by {grown} bytes");
    let missing = client.fetch("GET", "/../..", &[]);
    assert_eq!(missing.status, Some(400), "another stream goes on");
    // And it goes on where it stopped.
    client.opens_windows = true;
    client.client.send(crate::kit::h2raw::window(slow, 1_000_000));
    client.client.send(crate::kit::h2raw::window(0, 1_000_000));
    client.until(PATIENCE, |h2| body_of(h2, slow) >= 2 * MIB).expect("more");
    let body = &client.answers[&slow].body;
    assert!(body[..MIB] == pattern(MIB) && body[MIB..2 * MIB] == pattern(MIB));
}

#[test]
fn an_upload_is_slowed_by_its_upstream_and_holds_up_no_other_stream() {
    let go = Arc::new(AtomicBool::new(false));
    let told = go.clone();
    let origin = Origin::scripted(move |conn| {
        while let Some(request) = conn.request_head() {
            if request.method() == "GET" {
                conn.send(ok("fast"));
                continue;
            }
            conn.wait_for(&told);
            let mut body = Vec::new();
            while let Some(Chunk::Data(data)) = conn.chunk() {
                body.extend(data);
            }
            conn.send(ok(&format!("{} {}", body.len(), body == pattern(body.len()))));
        }
    });
    let gateway =
        Gateway::start(&format!("{}[apis.app]\nbody_max = 0\n", with("", "", origin.addr)));
    let mut client = H2::connect(gateway.addr());
    let before = gateway.memory();
    let body = pattern(30 * MIB);
    let stream = client.ask("POST", "/", &[], false);
    let sent = client.upload(stream, &body, true, ms(1500));
    // Sockets of both ends take some megabytes; the stream's window bounds the rest.
    assert!(sent < 16 * MIB, "{sent} bytes were taken from a client whose upstream reads none");
    let grown = gateway.memory().saturating_sub(before);
    assert!(grown < 4 * MIB as u64, "grew by {grown} bytes");
    assert_eq!(client.fetch("GET", "/", &[]).text(), "fast");
    go.store(true, Ordering::SeqCst);
    let rest = client.upload(stream, &body[sent..], true, PATIENCE * 2);
    assert_eq!(sent + rest, body.len());
    assert_eq!(client.answer(stream).text(), format!("{} true", body.len()));
}

#[test]
fn ten_megabytes_pass_intact_both_ways() {
    let body = pattern(10_000_000);
    let sent = body.clone();
    let origin = Origin::answering(move |request| {
        assert!(request.method() == "GET" || request.body == sent, "the upload is not intact");
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", sent.len());
        [head.as_bytes(), &sent].concat()
    });
    let gateway = Gateway::before(origin.addr);
    let length = body.len().to_string();
    let mut client = H2::connect(gateway.addr());
    for more in [&[("content-length", length.as_str())][..], &[]] {
        let stream = client.ask("POST", "/", more, false);
        assert_eq!(client.upload(stream, &body, true, PATIENCE * 2), body.len());
        assert!(client.answer(stream).body == body, "the download is not intact");
    }
    // Several at once share the connection's window.
    let streams: Vec<u32> = (0..4).map(|_| client.get("/")).collect();
    for stream in streams {
        assert!(client.answer(stream).body == body, "a download beside others is not intact");
    }
}

#[test]
fn a_client_that_takes_nothing_for_too_long_loses_its_stream() {
    let origin = pouring(Arc::default(), 10 * MIB);
    let gateway = Gateway::start(&with("timeouts = { write = \"500ms\" }", "", origin.addr));
    let mut client = H2::over(Client::connect(gateway.addr()), &[(INITIAL_WINDOW, 100)]);
    client.opens_windows = false;
    let began = Instant::now();
    let stream = client.get("/");
    assert!(client.reset_within(PATIENCE, stream).is_some_and(|code| code != NO_ERROR));
    assert!(began.elapsed() >= ms(450), "{:?}", began.elapsed());
    assert!(eventually(PATIENCE, || origin.open() == 0));
}

#[test]
fn an_upload_that_stops_gets_408() {
    let origin = Origin::named("never");
    let gateway = Gateway::start(&with("timeouts = { body = \"300ms\" }", "", origin.addr));
    let mut client = H2::connect(gateway.addr());
    let stream = client.ask("POST", "/", &[("content-length", "10")], false);
    client.client.send(data(stream, 0, "half"));
    assert_eq!(client.answer(stream).status, Some(408));
    assert!(client.reset_within(PATIENCE, stream).is_some());
    assert_eq!(origin.count(), 0);
    assert!(client.is_alive().expect("open"));
}

// === the connection's end ===

/// It has been told to leave, its open stream is served, and then it is closed.
fn leaves_in_order(client: &mut H2, slow: u32, go: &AtomicBool) {
    client.until(PATIENCE, |h2| h2.goaways.len() == 2).expect("two GOAWAYs");
    assert_eq!(client.goaways, [(ANY, NO_ERROR), (slow, NO_ERROR)]);
    go.store(true, Ordering::SeqCst);
    let answer = client.answer(slow);
    assert!(answer.ended && answer.text() == "/slow", "{answer:?}");
    assert_eq!(client.end_within(PATIENCE), End::Fin);
}

#[test]
fn sigterm_lets_streams_finish_says_goaway_and_ends_with_0() {
    let (origin, go) = slow_and_fast();
    let mut gateway = Gateway::before(origin.addr);
    let mut idle = H2::connect(gateway.addr());
    assert_eq!(idle.fetch("GET", "/", &[]).status, Some(200));
    let mut busy = H2::connect(gateway.addr());
    let slow = busy.get("/slow");
    origin.await_requests(2);
    gateway.signal("TERM");
    assert_eq!(idle.end_within(PATIENCE), End::Fin);
    assert_eq!(idle.goaways.last(), Some(&(1, NO_ERROR)));
    leaves_in_order(&mut busy, slow, &go);
    assert_eq!(gateway.await_end(PATIENCE).expect("it ends").code(), Some(0));
    assert_eq!(gateway.access_log(2).len(), 2, "the log is whole");
}

/// Between the two GOAWAYs a client that has not seen the first may open streams: they are served.
#[test]
fn streams_opened_before_the_last_goaway_are_served() {
    let (origin, go) = slow_and_fast();
    let mut gateway = Gateway::before(origin.addr);
    let mut client = H2::connect(gateway.addr());
    let slow = client.get("/slow");
    origin.await_requests(1);
    gateway.signal("TERM");
    // Reads without answering the ping that follows the first GOAWAY.
    let mut frames = Vec::new();
    while !frames.contains(&kind::GOAWAY) {
        frames.push(client.frame_within(PATIENCE).expect("a GOAWAY").kind);
    }
    let late = client.get("/late");
    assert_eq!(client.answer(late).text(), "/late");
    go.store(true, Ordering::SeqCst);
    assert_eq!(client.answer(slow).text(), "/slow");
    assert_eq!(gateway.await_end(PATIENCE).expect("it ends").code(), Some(0));
}

#[test]
fn a_reload_leaves_streams_alone_and_the_next_request_sees_it() {
    let (old, go) = slow_and_fast();
    let new = Origin::named("new");
    let mut gateway = Gateway::before(old.addr);
    let mut client = H2::connect(gateway.addr());
    let slow = client.get("/slow");
    let upload = client.ask("POST", "/up", &[], false);
    client.client.send(data(upload, 0, "be"));
    old.await_requests(1);
    let begun = || old.bytes().windows(9).any(|nine| nine == b"POST /up ");
    assert!(eventually(PATIENCE, begun), "both are under way");
    gateway.reload(&with("", "", new.addr));
    assert_eq!(client.fetch("GET", "/", &[]).text(), "new");
    client.client.send(data(upload, END_STREAM, "fore"));
    assert_eq!(client.answer(upload).text(), "/up");
    go.store(true, Ordering::SeqCst);
    assert_eq!(client.answer(slow).text(), "/slow");
    assert_eq!(client.goaways, []);
    assert!(eventually(PATIENCE, || old.open() == 0), "connections to the old one are closed");
}

#[test]
fn a_listener_that_a_reload_removes_says_goaway() {
    let (origin, go) = slow_and_fast();
    let config = with("", "", origin.addr);
    let more = "[listeners.more]\naddress = \"127.0.0.1:0\"\n";
    let mut gateway = Gateway::start(&format!("{config}{more}"));
    let mut client = H2::connect(gateway.addr_of("more"));
    let mut stays = H2::connect(gateway.addr());
    let slow = client.get("/slow");
    origin.await_requests(1);
    gateway.reload(&config);
    leaves_in_order(&mut client, slow, &go);
    assert_eq!(stays.fetch("GET", "/", &[]).status, Some(200));
    assert_eq!(stays.goaways, []);
}

#[test]
fn a_connection_that_has_carried_enough_says_goaway() {
    let (origin, go) = slow_and_fast();
    let gateway = Gateway::start(&with("requests_max = 3", "", origin.addr));
    let mut client = H2::connect(gateway.addr());
    for _ in 0..2 {
        assert_eq!(client.fetch("GET", "/", &[]).status, Some(200));
    }
    assert_eq!(client.goaways, []);
    let slow = client.get("/slow");
    leaves_in_order(&mut client, slow, &go);
}

#[test]
fn a_connection_that_is_old_enough_says_goaway() {
    let (origin, go) = slow_and_fast();
    let gateway = Gateway::start(&with("timeouts = { lifetime = \"1s\" }", "", origin.addr));
    let began = Instant::now();
    let (mut client, slow) = with_a_slow_stream(&gateway, &origin);
    leaves_in_order(&mut client, slow, &go);
    assert!(began.elapsed() >= ms(950), "{:?}", began.elapsed());
    // One that nobody uses leaves by itself.
    let mut idle = H2::connect(gateway.addr());
    assert_eq!(idle.end_within(PATIENCE), End::Fin);
    assert_eq!(idle.goaways.last(), Some(&(0, NO_ERROR)));
}

/// A connection whose time runs, and a stream that was opened before it was up.
fn with_a_slow_stream(gateway: &Gateway, origin: &Origin) -> (H2, u32) {
    let until = Instant::now() + PATIENCE;
    loop {
        let before = origin.count();
        let mut client = H2::connect(gateway.addr());
        let slow = client.get("/slow");
        while client.goaways.len() < 2 && Instant::now() < until {
            let _ = client.until(ms(5), |_| false);
            if origin.count() > before {
                return (client, slow);
            }
        }
        assert!(Instant::now() < until, "no stream is in time");
    }
}

#[test]
fn a_connection_that_rests_for_too_long_says_goaway() {
    let (origin, go) = slow_and_fast();
    let gateway = Gateway::start(&with("timeouts = { idle = \"700ms\" }", "", origin.addr));
    let (mut client, slow) = with_a_slow_stream(&gateway, &origin);
    assert_eq!(client.end_within(ms(1500)), End::Open, "a stream is open");
    let rests = Instant::now();
    go.store(true, Ordering::SeqCst);
    assert_eq!(client.answer(slow).status, Some(200));
    assert_eq!(client.end_within(PATIENCE), End::Fin);
    assert_eq!(client.goaways.last(), Some(&(slow, NO_ERROR)));
    assert!(rests.elapsed() >= ms(650), "{:?}", rests.elapsed());
}

#[test]
fn a_client_that_says_nothing_after_its_preface_is_left() {
    let origin = Origin::named("never");
    let gateway = Gateway::start(&with("timeouts = { header = \"500ms\" }", "", origin.addr));
    let mut client = gateway.client();
    client.send(crate::kit::h2raw::PREFACE);
    assert_ne!(client.end_within(PATIENCE), End::Open);
}
