//! Messages both ways: chunked streaming, trailers, Expect, interim responses, bodiless ones,
//! close-delimited ones, pipelining, keep-alive and its caps, request forms, Date.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::kit::gateway::with;
use crate::kit::message::Chunk;
use crate::kit::origin::ok;
use crate::kit::{End, Gateway, Origin, PATIENCE, eventually, ms};

#[test]
pub fn a_chunked_request_streams_each_piece_arriving_before_the_next_is_sent() {
    let origin = Origin::scripted(|conn| {
        conn.request_head();
        while let Some(Chunk::Data(data)) = conn.chunk() {
            // Each piece is acknowledged with an interim response that names it.
            let text = String::from_utf8(data).expect("text");
            conn.send(format!("HTTP/1.1 102 Processing\r\nx-got: {text}\r\n\r\n"));
        }
        conn.send(ok("all"));
    });
    let gateway = Gateway::before(origin.addr);
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for piece in ["one", "two", "three"] {
        client.send(format!("{:x}\r\n{piece}\r\n", piece.len()));
        let interim = client.head().expect("an interim response");
        assert_eq!((interim.status, interim.field("x-got")), (102, Some(piece)));
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.response().text(), "all");
}

#[test]
fn a_chunked_response_streams_each_piece_arriving_before_the_next_is_sent() {
    let go = Arc::new([AtomicBool::new(true), AtomicBool::new(false), AtomicBool::new(false)]);
    let told = go.clone();
    let origin = Origin::scripted(move |conn| {
        conn.request();
        conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for go in told.iter() {
            conn.wait_for(go);
            conn.send("5\r\nhello\r\n");
        }
        conn.send("0\r\n\r\n");
    });
    let gateway = Gateway::before(origin.addr);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().expect("a head").field("transfer-encoding"), Some("chunked"));
    for next in 1..=3 {
        assert_eq!(client.chunk().expect("a chunk"), Chunk::Data(b"hello".to_vec()));
        if let Some(go) = go.get(next) {
            go.store(true, Ordering::SeqCst);
        }
    }
    assert_eq!(client.chunk().expect("the last chunk"), Chunk::Last(Vec::new()));
}

#[test]
fn request_trailers_that_stream_reach_the_origin() {
    let origin = Origin::named("ok");
    let gateway = Gateway::before(origin.addr);
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n");
    std::thread::sleep(ms(50));
    client.send("0\r\nX-Sum: 7\r\nHost: evil\r\nContent-Length: 3\r\n\r\n");
    assert_eq!(client.response().status, 200);
    let request = origin.only();
    assert_eq!(request.body, b"hi");
    assert_eq!(request.trailers, [("x-sum".to_owned(), "7".to_owned())]);
}

#[test]
fn response_trailers_reach_the_client() {
    let origin = Origin::fixed(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
         2\r\nhi\r\n0\r\nX-Sum: 7\r\nContent-Length: 9\r\n\r\n",
    );
    let response = Gateway::before(origin.addr).get("/");
    assert_eq!(response.body, b"hi");
    assert_eq!(response.trailers, [("x-sum".to_owned(), "7".to_owned())]);
}

#[test]
fn expect_100_continue_is_answered_once_an_endpoint_is_there_and_not_passed_on() {
    let origin = Origin::named("got it");
    let gateway = Gateway::before(origin.addr);
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(client.head().expect("an interim response").status, 100);
    client.send("hello");
    assert_eq!(client.response().text(), "got it");
    assert_eq!(origin.only().body, b"hello");
    assert_eq!(origin.only().field("expect"), None);
}

#[test]
fn expect_100_continue_gets_the_refusal_at_once_and_no_100() {
    let origin = Origin::named("never");
    let config = with("", "", origin.addr).replace("$default", "GET /");
    let gateway = Gateway::start(&config);
    let mut client = gateway.client();
    client
        .send("POST /no HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status, response.interim.len()), (404, 0));
    // Whether the body comes cannot be known: what follows must not be taken for a request,
    // unless the body came first.
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    if response.closes() {
        client.expect_closed();
    } else {
        client.read_timeout(ms(3000));
        let next = client.try_response("GET");
        assert!(next.map_or(true, |next| next.status == 400), "the body's bytes were a request");
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn interim_responses_pass_but_a_100_nobody_asked_for_does_not() {
    let origin = Origin::fixed(
        "HTTP/1.1 100 Continue\r\n\r\n\
         HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: x\r\nX: y\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    );
    let gateway = Gateway::before(origin.addr);
    let response = gateway.get("/");
    assert_eq!(response.body, b"hi");
    assert_eq!(response.interim.len(), 1, "{:?}", response.interim);
    assert_eq!(response.interim[0].status, 103);
    assert_eq!(response.interim[0].field("link"), Some("</a.css>; rel=preload"));
    assert_eq!(response.interim[0].field("x"), None, "a field that Connection names");
    // RFC 9110 section 15.2: none to a client of HTTP/1.0.
    assert!(gateway.ask("GET / HTTP/1.0\r\n\r\n").interim.is_empty());
}

#[test]
fn a_101_nobody_asked_for_is_a_502() {
    let origin = Origin::fixed("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n");
    let response = Gateway::before(origin.addr).get("/");
    assert_eq!((response.status, response.code()), (502, "UPSTREAM_007".to_owned()));
}

#[test]
fn responses_without_a_body_have_none_and_the_next_one_is_in_its_place() {
    let origin = Origin::answering(|request| match request.target() {
        "/204" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        "/304" => b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nETag: \"a\"\r\n\r\n".to_vec(),
        "/empty" => b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec(),
        _ if request.method() == "HEAD" => b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n".to_vec(),
        _ => ok("body"),
    });
    let gateway = Gateway::before(origin.addr);
    let mut client = gateway.client();
    for (method, path) in [("HEAD", "/"), ("GET", "/204"), ("GET", "/304"), ("GET", "/empty")] {
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let response = client.response_to(method);
        assert!(response.body.is_empty());
        assert_eq!(response.field("transfer-encoding"), None, "{method} {path}");
        let length = response.field("content-length");
        match path {
            "/204" => assert_eq!(length, None, "RFC 9110 section 8.6"),
            "/empty" => assert_eq!(length, Some("0")),
            "/" => assert_eq!(length, Some("9"), "HEAD says what GET would"),
            _ => {}
        }
        client.send("GET /body HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().text(), "body", "after {method} {path}");
    }
    assert_eq!(origin.connections(), 1, "one connection carried all of them");
}

#[test]
fn head_of_a_gateway_error_has_no_body() {
    let origin = Origin::named("never");
    let gateway = Gateway::start(&with("", "", origin.addr).replace("$default", "GET /x"));
    let mut client = gateway.client();
    client.send("HEAD /no HTTP/1.1\r\nHost: a\r\n\r\nGET /no HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response_to("HEAD").status, 404);
    assert_eq!(client.response().code(), "COMMON_002");
}

#[test]
fn a_close_delimited_response_is_chunked_for_1_1_and_close_delimited_for_1_0() {
    let origin = Origin::scripted(|conn| {
        if conn.request().is_some() {
            conn.send("HTTP/1.1 200 OK\r\n\r\nhel");
            std::thread::sleep(ms(20));
            conn.send("lo");
        }
    });
    let gateway = Gateway::before(origin.addr);
    let mut client = gateway.client();
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let response = client.response();
        assert_eq!(response.field("transfer-encoding"), Some("chunked"));
        assert_eq!(response.text(), "hello", "and the connection goes on");
    }
    let mut old = gateway.client();
    let (bytes, end) = old.send("GET / HTTP/1.0\r\n\r\n").read_to_end();
    assert_eq!(end, End::Fin);
    let text = String::from_utf8(bytes).expect("text");
    assert!(text.ends_with("\r\n\r\nhello") && !text.contains("chunked"), "{text}");
}

#[test]
pub fn pipelined_requests_are_answered_in_order() {
    let origin =
        Origin::answering(|request| ok(&format!("{} {}", request.target(), request.body.len())));
    let gateway = Gateway::before(origin.addr);
    let mut client = gateway.client();
    let mut all = String::new();
    for i in 0..20 {
        all += &match i % 3 {
            0 => format!("GET /{i} HTTP/1.1\r\nHost: a\r\n\r\n"),
            1 => format!("POST /{i} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"),
            _ => format!(
                "POST /{i} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                 3\r\nabc\r\n0\r\n\r\n"
            ),
        };
    }
    // Cut where it hurts: pieces end inside heads, bodies and chunk lines.
    client.send_split(all.as_bytes().chunks(37), ms(1));
    for i in 0..20 {
        let length = if i % 3 == 0 { 0 } else { 3 };
        assert_eq!(client.response().text(), format!("/{i} {length}"));
    }
}

/// Far more than any buffer holds: heads lie across the ends of buffers, at every place.
#[test]
fn a_thousand_requests_sent_ahead_are_all_read() {
    let origin = Origin::answering(|request| ok(request.target()));
    let gateway = Gateway::before(origin.addr);
    let mut client = gateway.client();
    let mut all = String::new();
    for i in 0..1000 {
        let pad = "p".repeat(i % 701);
        let body = if i % 4 == 0 { "Content-Length: 5\r\n\r\nhello" } else { "\r\n" };
        let method = if i % 4 == 0 { "POST" } else { "GET" };
        all += &format!("{method} /{i} HTTP/1.1\r\nHost: a\r\nX-Pad: {pad}\r\n{body}");
    }
    client.send(&all);
    for i in 0..1000 {
        assert_eq!(client.response().text(), format!("/{i}"));
    }
}

#[test]
pub fn a_connection_is_kept_until_its_idle_time_is_up() {
    let origin = Origin::named("ok");
    let gateway = Gateway::start(&with("timeouts = { idle = \"500ms\" }", "", origin.addr));
    let mut client = gateway.client();
    // A busy client may rest for too long, too; were its age what counts, none would be kept.
    let kept = eventually(PATIENCE, || {
        client = gateway.client();
        (0..4).all(|_| {
            std::thread::sleep(ms(200));
            client.try_send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").is_ok()
                && client.try_response("GET").is_ok_and(|response| !response.closes())
        })
    });
    assert!(kept, "it is closed though it is used");
    client.expect_closed();
}

#[test]
fn the_last_request_a_connection_may_carry_says_so() {
    let origin = Origin::named("ok");
    let gateway = Gateway::start(&with("requests_max = 3", "", origin.addr));
    let mut client = gateway.client();
    for nth in 1..=3 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().closes(), nth == 3, "request {nth}");
    }
    client.expect_closed();
}

#[test]
fn a_head_that_does_not_come_in_time_gets_408() {
    let origin = Origin::named("never");
    let gateway = Gateway::start(&with("timeouts = { header = \"1s\" }", "", origin.addr));
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: ");
    let response = client.response();
    assert_eq!((response.status, response.code()), (408, "COMMON_008".to_owned()));
    client.expect_closed();
    // Nothing at all is no request: no answer either.
    gateway.client().expect_closed();
}

#[test]
fn http_1_0_clients_get_one_answer_and_a_close() {
    let origin = Origin::named("old");
    let gateway = Gateway::before(origin.addr);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
    let response = client.response();
    assert_eq!((response.text().as_str(), response.closes()), ("old", true));
    client.expect_closed();
    assert!(origin.only().line.ends_with("HTTP/1.1"), "the gateway speaks its own version");
}

#[test]
fn the_absolute_form_replaces_host() {
    let origin = Origin::named("ok");
    let gateway = Gateway::before(origin.addr);
    gateway.ask("GET http://b.example:81/x?y HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(origin.only().target(), "/x?y");
    assert_eq!(origin.only().field("host"), Some("b.example:81"));
}

#[test]
fn options_of_the_asterisk_reaches_the_default_route() {
    let origin = Origin::named("all of it");
    let gateway = Gateway::before(origin.addr);
    let response = gateway.ask("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(response.text(), "all of it");
    assert_eq!(origin.only().line, "OPTIONS * HTTP/1.1");
}

#[test]
fn options_that_may_go_no_further_is_answered_here() {
    let origin = Origin::named("too far");
    let gateway = Gateway::before(origin.addr);
    let response = gateway.ask("OPTIONS /a HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n");
    assert!(response.status < 300, "{response:?}");
    assert_eq!(origin.count(), 0, "RFC 9110 section 7.6.2: not forwarded");
    gateway.ask("OPTIONS /a HTTP/1.1\r\nHost: a\r\nMax-Forwards: 5\r\n\r\n");
    assert_eq!(origin.only().field("max-forwards"), Some("4"));
}

#[test]
fn connect_and_trace_are_not_for_a_gateway() {
    let origin = Origin::named("never");
    let gateway = Gateway::before(origin.addr);
    for request in
        ["CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"]
    {
        let response = gateway.ask(request);
        assert_eq!((response.status, response.closes()), (501, true));
    }
    assert_eq!(origin.connections(), 0);
}

#[test]
fn date_is_added_where_it_is_missing_and_left_where_it_is_not() {
    const THEIRS: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    let origin = Origin::answering(|request| {
        match request.target() {
            "/dated" => format!("HTTP/1.1 200 OK\r\nDate: {THEIRS}\r\nContent-Length: 0\r\n\r\n"),
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(),
        }
        .into_bytes()
    });
    let gateway = Gateway::before(origin.addr);
    assert_eq!(gateway.get("/dated").field("date"), Some(THEIRS));
    let ours = gateway.get("/").field("date").expect("a date").to_owned();
    assert!(ours.ends_with(" GMT") && ours.len() == THEIRS.len() && ours != THEIRS, "{ours}");
}

#[test]
fn the_rest_of_an_unwanted_body_is_not_the_next_request() {
    let origin = Origin::named("never");
    let gateway = Gateway::start(&with("", "", origin.addr).replace("$default", "GET /x"));
    let mut client = gateway.client();
    let smuggled = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
    client.send(format!(
        "POST /no HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{smuggled}\
         GET /no2 HTTP/1.1\r\nHost: a\r\n\r\n",
        smuggled.len()
    ));
    assert_eq!(client.response().status, 404);
    assert_eq!(client.response().status, 404, "the second answer is /no2's");
    assert!(client.is_quiet_for(ms(200)));
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_kept_connection_is_not_spoilt_by_an_error() {
    let origin = Origin::named("ok");
    let gateway = Gateway::start(&with("", "", origin.addr).replace("$default", "GET /x"));
    let mut client = gateway.client();
    for _ in 0..3 {
        client.send("GET /no HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().status, 404);
        client.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().status, 200);
    }
    assert!(eventually(PATIENCE, || origin.count() == 3));
}

#[test]
fn status_and_reason_pass_as_they_came() {
    let origin = Origin::answering(|request| {
        let line = request.target()[1..].replace('_', " ");
        format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n").into_bytes()
    });
    let gateway = Gateway::before(origin.addr);
    for (target, status, reason) in [
        ("/200_OK", 200, "OK"),
        ("/299_Very_Fine", 299, "Very Fine"),
        ("/404_", 404, ""),
        ("/599_x", 599, "x"),
        ("/799_Beyond", 799, "Beyond"),
    ] {
        let response = gateway.get(target);
        assert_eq!((response.status, response.reason.as_str()), (status, reason), "{target}");
    }
}
