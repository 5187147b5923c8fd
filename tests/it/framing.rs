//! Strict on framing (RFC 9112): what is malformed or ambiguous is refused with the right status,
//! the connection closed, and nothing of it reaches an origin, or a client.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::kit::cases::{Case, cases};
use crate::kit::gateway::with;
use crate::kit::{End, Gateway, Origin, PATIENCE, ms, show};

const MALFORMED: &str = include_str!("../data/malformed-requests.txt");
const MALFORMED_RESPONSES: &str = include_str!("../data/malformed-responses.txt");
const HTTP_1_ONLY: &str = "protocols = [\"http/1.1\"]\ntimeouts = { header = \"10m\" }";
const WELLFORMED: &str = include_str!("../data/wellformed-requests.txt");

#[test]
fn every_malformed_request_gets_its_status_and_a_close_and_no_origin_sees_it() {
    let origin = Origin::named("never");
    let gateway = Gateway::start(&with(HTTP_1_ONLY, "", origin.addr));
    let wrong: Vec<String> = cases(MALFORMED)
        .iter()
        .filter_map(|case| refused(&gateway, case, std::slice::from_ref(&case.bytes)))
        .collect();
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(origin.count(), 0, "the origin saw {}", show(&origin.bytes()));
}

#[test]
fn a_malformed_request_is_refused_the_same_when_it_comes_in_two_pieces() {
    let origin = Origin::named("never");
    let gateway = Gateway::start(&with(HTTP_1_ONLY, "", origin.addr));
    let mut wrong = Vec::new();
    for case in cases(MALFORMED).iter().filter(|case| case.bytes.len() < 2000) {
        let (front, back) = case.bytes.split_at(case.bytes.len() / 2);
        wrong.extend(refused(&gateway, case, &[front.to_vec(), back.to_vec()]));
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(origin.count(), 0, "the origin saw {}", show(&origin.bytes()));
}

/// What is wrong with the gateway's answer to a malformed request.
fn refused(gateway: &Gateway, case: &Case, pieces: &[Vec<u8>]) -> Option<String> {
    let expected: u16 = case.columns[0][0].parse().expect("a status");
    let mut client = gateway.client();
    // Refused early, the gateway may stop listening before it has got all.
    let pause = if pieces.len() > 1 { ms(2) } else { ms(0) };
    client.send_split(pieces.iter().map(Vec::as_slice), pause);
    let got = client.try_response("GET");
    let fine = got.as_ref().is_ok_and(|response| response.status == expected && response.closes());
    let end = client.end_within(PATIENCE);
    let wrong = !fine || end == End::Open || !client.buf.is_empty();
    wrong.then(|| format!("{}: wanted {expected}, got {got:?}, then {end:?}", case.name))
}

#[test]
fn every_malformed_response_becomes_a_502_or_a_cut_and_never_a_whole_answer() {
    let origin = Origin::scripted(|conn| {
        let Some(request) = conn.request() else { return };
        let nth: usize = request.target()[1..].parse().expect("the case's number");
        conn.send(&cases(MALFORMED_RESPONSES)[nth].bytes);
        conn.finish();
        conn.until_left();
    });
    let quick = "timeouts = { first_byte = \"5m\", idle = \"5m\" }\nejection = { failures = 0 }";
    let gateway = Gateway::start(&with("", quick, origin.addr));
    let mut wrong = Vec::new();
    for (nth, case) in cases(MALFORMED_RESPONSES).iter().enumerate() {
        let method = case.columns[0][0];
        let mut client = gateway.client();
        client.send(format!("{method} /{nth} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let got = client.try_response(method);
        let fine = match &got {
            Ok(response) => response.status == 502,
            Err(broken) => broken.end != End::Open && broken.head.is_some(),
        };
        if !fine {
            wrong.push(format!("{}: {got:?}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_unusual_but_valid_request_reaches_the_origin_as_it_is_meant() {
    let origin = Origin::named("fine");
    let raw = "path_policy = \"raw\"\ntimeouts = { header = \"10m\" }";
    let gateway = Gateway::start(&with(raw, "", origin.addr));
    let mut wrong = Vec::new();
    for case in cases(WELLFORMED) {
        let [method, path, host, framing, keep] = case.columns[0][..] else { panic!("5 words") };
        if method == "CONNECT" || framing == "length:9223372036854775807" {
            continue; // Never forwarded; never complete.
        }
        let before = origin.count();
        let mut client = gateway.client();
        client.send(&case.bytes);
        let got = client.try_response(method);
        let status = got.as_ref().map_or(0, |response| response.status);
        let seen = origin.requests().get(before).cloned();
        let path_only = |target: &str| target.split('?').next().unwrap_or_default().to_owned();
        let unescaped = |text: &str| crate::kit::cases::unescape(text);
        let fine = seen.as_ref().is_some_and(|seen| {
            let body = case.columns[1].join(" ");
            let body = if body == "-" { Vec::new() } else { unescaped(&body) };
            let bare = seen.field("host").unwrap_or_default();
            let host = if host == "-" { Vec::new() } else { unescaped(host) };
            seen.method().as_bytes() == unescaped(method)
                && path_only(seen.target()).as_bytes() == unescaped(path)
                && bare.as_bytes().starts_with(&host)
                && seen.body == body
        });
        let kept = got.as_ref().is_ok_and(|response| response.closes()) == (keep == "close");
        if status != 200 || !fine || !kept {
            wrong.push(format!("{}: {got:?}; the origin saw {seen:?}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_request_that_comes_byte_by_byte_is_understood() {
    let origin = Origin::named("hello");
    let gateway = Gateway::before(origin.addr);
    let mut client = gateway.client();
    let request = b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                    3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: u\r\n\r\n";
    client.send_split(request.chunks(1), ms(0));
    assert_eq!(client.response().text(), "hello");
    assert_eq!(origin.only().body, b"abcde");
}

#[test]
fn a_malformed_request_behind_a_good_one_does_not_spoil_the_good_one() {
    let origin = Origin::named("good");
    let gateway = Gateway::before(origin.addr);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\nHost: a\n\n");
    assert_eq!(client.response().text(), "good");
    let refused = client.response();
    assert_eq!((refused.status, refused.code()), (400, "COMMON_001".to_owned()));
    client.expect_closed();
    assert_eq!(origin.count(), 1);
}

#[test]
fn an_oversize_head_gets_431_and_an_oversize_target_414_while_they_still_come() {
    let origin = Origin::named("never");
    let gateway = Gateway::before(origin.addr);
    for (start, status, code) in
        [("GET / HTTP/1.1\r\nHost: a\r\nX: ", 431, "COMMON_006"), ("GET /", 414, "COMMON_005")]
    {
        let mut client = gateway.client();
        client.send(start);
        // An endless sender: far more than any limit, and no end of the line.
        for _ in 0..64 {
            if client.try_send([b'a'; 4096]).is_err() {
                break;
            }
        }
        let response = client.response();
        assert_eq!((response.status, response.code().as_str()), (status, code));
        assert_ne!(client.end_within(PATIENCE), End::Open);
    }
    assert_eq!(origin.connections(), 0);
}

#[test]
fn an_upstream_body_cut_short_never_looks_complete_to_the_client() {
    let cuts = [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ];
    for reset in [false, true] {
        let next = AtomicUsize::new(0);
        let origin = Origin::scripted(move |conn| {
            if conn.request().is_some() {
                conn.send(cuts[next.fetch_add(1, Ordering::SeqCst) % cuts.len()]);
                std::thread::sleep(ms(30));
                if reset {
                    conn.reset();
                }
            }
        });
        let gateway = Gateway::before(origin.addr);
        for version in ["1.1", "1.0"] {
            for cut in cuts {
                let mut client = gateway.client();
                client.send(format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n"));
                let got = client.try_response("GET");
                let broken = got.map(|r| panic!("{cut:?} to {version} looks whole: {r:?}"));
                let broken = broken.expect_err("a cut");
                let until_close = cut.contains("chunked") && version == "1.0";
                assert_ne!(broken.end, End::Open, "{cut:?} to {version} is left open");
                if until_close {
                    assert_eq!(broken.end, End::Reset, "{cut:?}: a FIN would be its end");
                }
            }
        }
    }
}

#[test]
fn a_close_delimited_body_that_ends_in_a_reset_is_not_an_end() {
    let origin = Origin::scripted(|conn| {
        if conn.request().is_some() {
            conn.send("HTTP/1.1 200 OK\r\n\r\nhello");
            std::thread::sleep(ms(50));
            conn.reset();
        }
    });
    let gateway = Gateway::before(origin.addr);
    for version in ["1.1", "1.0"] {
        let mut client = gateway.client();
        client.send(format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n"));
        let got = client.try_response("GET");
        assert!(got.is_err(), "to HTTP/{version} it looks whole: {got:?}");
    }
}
