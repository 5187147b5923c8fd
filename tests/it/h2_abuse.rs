//! Attacks on HTTP/2, frame by frame: each is ended within 200 steps, takes little memory, and
//! other clients do not notice.
//!
//! The effective limits are tested, not the settings: a step is what the attack repeats.

use crate::kit::gateway::with;
use crate::kit::h2raw::{
    CANCEL, END_HEADERS, END_STREAM, Ended, FIRST_DYNAMIC, H2, INITIAL_WINDOW, data, frame,
    headers, indexed_field, kind, priority, request, reset, settings, window,
};
use crate::kit::{Client, End, Gateway, Origin, PATIENCE, eventually, ms, origin};

const STEPS: usize = 200;
/// 1 MiB; the futures of a build without optimisation are twice as large.
const CONNECTION_BYTES: u64 = if cfg!(debug_assertions) { 3 << 19 } else { 1 << 20 };

fn gateway(origin: &Origin) -> Gateway {
    gateway_with("", origin)
}

fn gateway_with(listener: &str, origin: &Origin) -> Gateway {
    let listener = format!("protocols = [\"h2\", \"http/1.1\"]\n{listener}");
    Gateway::start(&with(&listener, "", origin.addr))
}

/// A GET on the stream of that step.
fn get(step: usize) -> Vec<u8> {
    headers(stream(step), END_STREAM, &request("GET", "/", &[]))
}

/// The head of an upload whose body is to come.
fn post(step: usize) -> Vec<u8> {
    headers(stream(step), 0, &request("POST", "/", &[]))
}

fn stream(step: usize) -> u32 {
    u32::try_from(2 * step + 1).expect("few streams")
}

/// Runs one attack against a gateway that another client uses meanwhile, before, and after.
fn attacked(name: &str, step: impl FnMut(usize) -> Vec<u8>) -> Ended {
    let origin = Origin::named("ok");
    let gateway = gateway(&origin);
    let mut other = H2::connect(gateway.addr());
    let first = other.get("/");
    assert_eq!(other.answer(first).status, Some(200));
    let ended = H2::connect(gateway.addr()).attack(STEPS, step);
    let again = other.get("/");
    assert_eq!(other.answer(again).body, b"ok", "{name}: another client is not served");
    let mut fresh = H2::connect(gateway.addr());
    let first = fresh.get("/");
    assert_eq!(fresh.answer(first).status, Some(200), "{name}: a new client is not served");
    ended
}

/// The attack is ended as too much.
fn is_calmed(name: &str, step: impl FnMut(usize) -> Vec<u8>) {
    let ended = attacked(name, step);
    assert!(ended.is_calmed(), "{name}: {ended:?}");
}

/// The attack is ended; some are plain errors of the protocol, and may be called so.
fn is_over(name: &str, step: impl FnMut(usize) -> Vec<u8>) {
    let ended = attacked(name, step);
    assert!(ended.is_over(), "{name}: {ended:?}");
}

#[test]
fn a_rapid_reset_is_ended_and_its_upstream_work_stops() {
    let origin = Origin::scripted(|conn| {
        // Never answers; the connection ends when the gateway leaves.
        while conn.request().is_some() {}
    });
    let gateway = gateway(&origin);
    let mut attacker = H2::connect(gateway.addr());
    let ended = attacker.attack(STEPS, |step| [get(step), reset(stream(step), CANCEL)].concat());
    assert!(ended.is_calmed(), "{ended:?}");
    assert!(eventually(PATIENCE, || origin.open() == 0), "{} go on upstream", origin.open());
}

#[test]
fn a_client_that_cancels_a_page_is_not_ended() {
    let origin = Origin::named("ok");
    let gateway = gateway(&origin);
    let mut client = H2::connect(gateway.addr());
    for _ in 0..10 {
        let stream = client.get("/");
        assert_eq!(client.answer(stream).status, Some(200));
    }
    let streams: Vec<u32> = (0..90).map(|_| client.get("/")).collect();
    for stream in streams {
        client.client.send(reset(stream, CANCEL));
    }
    let stream = client.get("/");
    assert_eq!(client.answer(stream).body, b"ok");
    assert!(client.is_alive().expect("open"));
}

#[test]
fn resets_that_we_are_made_to_send_are_ended() {
    is_over("window update of 0", |step| [get(step), window(stream(step), 0)].concat());
    is_calmed("window overflow", |step| [post(step), window(stream(step), 0x7fff_ffff)].concat());
    is_over("HEADERS on half-closed", |step| [get(step), get(step)].concat());
    is_over("DATA on half-closed", |step| [get(step), data(stream(step), 0, "x")].concat());
    is_calmed("PRIORITY on itself", |step| {
        [post(step), priority(stream(step), stream(step))].concat()
    });
    is_over("PRIORITY too long", |step| {
        [post(step), frame(kind::PRIORITY, 0, stream(step), [0; 6])].concat()
    });
    is_calmed("wrong content-length", |step| {
        let block = request("POST", "/", &[("content-length", "5")]);
        headers(stream(step), END_STREAM, &block)
    });
    is_calmed("content-length that DATA belies", |step| {
        let block = request("POST", "/", &[("content-length", "5")]);
        [headers(stream(step), 0, &block), data(stream(step), END_STREAM, "x")].concat()
    });
}

#[test]
fn blocks_of_fields_that_do_not_end_are_ended() {
    let block = request("GET", "/", &[]);
    let opened = |step, next: &[u8]| match step {
        0 => frame(kind::HEADERS, END_STREAM, 1, &block),
        _ => frame(kind::CONTINUATION, 0, 1, next),
    };
    let field = crate::kit::h2raw::field("x", "y");
    is_calmed("CONTINUATION", |step| opened(step, &field));
    is_calmed("empty CONTINUATION", |step| opened(step, b""));
    is_calmed("empty CONTINUATION of many blocks", |step| {
        let mut bytes = frame(kind::HEADERS, END_STREAM, stream(step), &block);
        bytes.extend(frame(kind::CONTINUATION, 0, stream(step), ""));
        bytes.extend(frame(kind::CONTINUATION, END_HEADERS, stream(step), ""));
        bytes
    });
}

#[test]
fn floods_of_small_frames_are_ended() {
    let after_post = |step, next: Vec<u8>| if step == 0 { post(0) } else { next };
    is_calmed("PING", |_| frame(kind::PING, 0, 0, [0; 8]));
    is_calmed("SETTINGS", |_| settings(&[]));
    is_calmed("SETTINGS with values", |step| {
        settings(&[(INITIAL_WINDOW, 65_535 - u32::try_from(step).expect("few steps"))])
    });
    is_calmed("empty DATA", |step| after_post(step, data(1, 0, "")));
    is_calmed("padding only", |step| after_post(step, frame(kind::DATA, 8, 1, [9; 10])));
    is_calmed("PRIORITY", |step| priority(stream(step) + 2, 1));
    is_calmed("PRIORITY_UPDATE", |_| frame(kind::PRIORITY_UPDATE, 0, 0, b"\0\0\0\x01u=1"));
    is_calmed("WINDOW_UPDATE", |_| window(0, 1));
    is_calmed("WINDOW_UPDATE of a stream", |step| after_post(step, window(1, 1)));
    is_calmed("unknown frames", |_| frame(0x42, 0, 0, [0; 100]));
    is_over("trailers again and again", |step| after_post(step, post(0)));
}

/// RFC 9113 section 5.1.2 lets us refuse them one by one; who goes on is ended.
#[test]
fn streams_that_are_opened_and_left_are_ended() {
    is_calmed("half-open streams", post);
}

/// DATA byte by byte, as windows of one byte ask for it.
#[test]
fn a_window_opened_byte_by_byte_is_ended() {
    let origin = Origin::fixed(origin::ok(&"x".repeat(100_000)));
    let gateway = gateway(&origin);
    let mut client = H2::over(Client::connect(gateway.addr()), &[(INITIAL_WINDOW, 0)]);
    let stream = client.get("/");
    let ended = client.attack(STEPS, |_| window(stream, 1));
    assert!(ended.is_calmed(), "{ended:?}");
}

/// One byte on the wire stands for a field of 4 KiB, and the answers are not taken.
#[test]
fn header_amplification_with_a_stalled_window_takes_little_memory() {
    const CONNECTIONS: usize = 8;
    let origin = Origin::fixed(origin::ok(&"x".repeat(100_000)));
    let gateway = gateway(&origin);
    let mut other = H2::connect(gateway.addr());
    let first = other.get("/");
    other.answer(first);
    let before = gateway.memory();
    let mut attackers = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut attacker = H2::over(Client::connect(gateway.addr()), &[(INITIAL_WINDOW, 0)]);
        let big = indexed_field("cookie", "c".repeat(4000));
        let ended = attacker.spend(100, |step| {
            let mut block = request("GET", "/", &[]);
            match step {
                0 => block.extend(&big),
                _ => block.extend([FIRST_DYNAMIC; 1000]),
            }
            headers(stream(step), END_STREAM, &block)
        });
        attackers.push((attacker, ended));
    }
    let grown = gateway.memory().saturating_sub(before) / CONNECTIONS as u64;
    assert!(grown <= CONNECTION_BYTES, "each connection takes {grown} bytes");
    let again = other.get("/");
    assert_eq!(other.answer(again).body.len(), 100_000);
}

#[test]
fn readers_that_take_nothing_are_ended_in_time_and_hold_little_memory() {
    const CONNECTIONS: usize = 8;
    let large = origin::ok(&"x".repeat(4 << 20));
    let origin = Origin::answering(move |request| match request.target() {
        "/small" => origin::ok("small"),
        _ => large.clone(),
    });
    let gateway = gateway_with("timeouts = { write = \"1s\" }", &origin);
    let mut other = H2::connect(gateway.addr());
    let first = other.get("/small");
    other.answer(first);
    let before = gateway.memory();
    let mut readers: Vec<H2> = (0..CONNECTIONS)
        .map(|_| {
            let mut reader = H2::over(Client::connect(gateway.addr()), &[(INITIAL_WINDOW, 1000)]);
            for _ in 0..50 {
                reader.get("/");
            }
            reader
        })
        .collect();
    std::thread::sleep(ms(500));
    let grown = gateway.memory().saturating_sub(before) / CONNECTIONS as u64;
    assert!(grown <= CONNECTION_BYTES, "each connection takes {grown} bytes");
    let again = other.get("/small");
    assert_eq!(other.answer(again).body, b"small");
    for reader in &mut readers {
        // All 50 streams are reset, or the connection ends.
        let (mut resets, mut end) = (0, End::Open);
        eventually(PATIENCE, || {
            match reader.frame_now() {
                Ok(Some(frame)) if frame.kind == kind::RST_STREAM => resets += 1,
                Ok(_) => {}
                Err(found) => end = found,
            }
            resets == 50 || end != End::Open
        });
        assert!(resets == 50 || end != End::Open, "{resets} of 50 streams are ended");
    }
    assert!(eventually(PATIENCE, || origin.open() <= 4), "{} go on upstream", origin.open());
}
