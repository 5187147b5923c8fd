//! HTTP/2 requests that are malformed are refused one by one, and nothing of them gets upstream;
//! the bug classes of other proxies' advisories that touch HTTP/2, by name.

use crate::kit::gateway::with;
use crate::kit::h2raw::{
    END_STREAM, H2, PROTOCOL_ERROR, data, field, frame, headers, kind, request,
};
use crate::kit::origin::ok;
use crate::kit::{Gateway, Origin, PATIENCE, ms};

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    /// It was answered so.
    Status(u16),
    /// Its stream was reset, with PROTOCOL_ERROR.
    Reset,
    /// The connection was ended for it, with this code: what the `h2` crate cannot hold as a field
    /// is an error of the connection to it.
    Connection(u32),
}

use Refused::{Connection, Reset, Status};

/// COMPRESSION_ERROR.
const COMPRESSION: u32 = 9;

fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| field(name, value)).collect()
}

/// A whole request's pseudo fields, but one.
fn without(missing: &str) -> Vec<u8> {
    let all = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")];
    block(&all.into_iter().filter(|(name, _)| *name != missing).collect::<Vec<_>>())
}

fn plus(more: &[(&str, &str)]) -> Vec<u8> {
    request("GET", "/", more)
}

/// Sends one stream's frames; how it was refused.
fn refused(client: &mut H2, frames: &[u8], stream: u32) -> Option<Refused> {
    client.client.send(frames);
    let over = |h2: &H2| h2.answers.get(&stream).is_some_and(|a| a.is_over());
    let _ = client.until(PATIENCE, |h2| over(h2) || h2.goaways.iter().any(|goaway| goaway.1 != 0));
    if let Some((_, code)) = client.goaways.first() {
        return Some(Connection(*code));
    }
    let answer = client.answers.remove(&stream)?;
    match (answer.status, answer.reset) {
        (Some(status), _) if answer.ended => Some(Status(status)),
        (None, Some(PROTOCOL_ERROR)) => Some(Reset),
        other => panic!("neither refused nor served: {other:?}"),
    }
}

/// Each head is refused in one of these ways, and only it: nothing reaches the origin.
fn all_refused(heads: &[(&str, Vec<u8>)], ways: &[Refused]) {
    let origin = Origin::named("never");
    let gateway = Gateway::before(origin.addr);
    for (name, head) in heads {
        for ends in [true, false] {
            let mut client = H2::connect(gateway.addr());
            let stream = client.open();
            let flags = if ends { END_STREAM } else { 0 };
            let mut frames = headers(stream, flags, head);
            if !ends {
                frames.extend(data(stream, END_STREAM, "GET /admin HTTP/1.1\r\n\r\n"));
            }
            let found = refused(&mut client, &frames, stream);
            assert!(found.is_some_and(|way| ways.contains(&way)), "{name} {ends}: {found:?}");
            if !matches!(found, Some(Connection(_))) {
                assert!(client.is_alive().expect("open"), "{name}: only the stream ends");
            }
        }
    }
    assert_eq!(origin.bytes(), b"", "something reached the origin");
}

/// RFC 9113 section 8.3.
#[test]
fn pseudo_fields_that_are_missing_doubled_or_out_of_place() {
    let after = [block(&[("x", "y")]), without("")].concat();
    let twice = [without(""), block(&[(":path", "/b")])].concat();
    let heads = [
        ("no method", without(":method")),
        ("no path", without(":path")),
        ("no scheme", without(":scheme")),
        ("an empty path", [without(":path"), block(&[(":path", "")])].concat()),
        ("an empty method", [without(":method"), block(&[(":method", "")])].concat()),
        ("a path that is none", [without(":path"), block(&[(":path", "admin")])].concat()),
        ("a path that is a URL", [without(":path"), block(&[(":path", "http://b/")])].concat()),
        (
            "an asterisk that is not for OPTIONS",
            [without(":path"), block(&[(":path", "*")])].concat(),
        ),
        ("a blank in the path", [without(":path"), block(&[(":path", "/a b")])].concat()),
        (
            "a request line in the path",
            [without(":path"), block(&[(":path", "/ HTTP/1.1\r\nX: y")])].concat(),
        ),
        ("a blank in the method", [without(":method"), block(&[(":method", "GET /")])].concat()),
        ("a pseudo field after a field", after),
        ("two paths", twice),
        ("two methods", [without(""), block(&[(":method", "POST")])].concat()),
        ("two authorities", [without(""), block(&[(":authority", "b")])].concat()),
        ("a pseudo field of answers", [without(""), block(&[(":status", "200")])].concat()),
        ("an unknown pseudo field", [without(""), block(&[(":x", "y")])].concat()),
        (
            "a protocol without CONNECT",
            [without(""), block(&[(":protocol", "websocket")])].concat(),
        ),
        ("user information", [without(":authority"), block(&[(":authority", "u@a")])].concat()),
        (
            "a path in the authority",
            [without(":authority"), block(&[(":authority", "a/b")])].concat(),
        ),
        (
            "a blank in the authority",
            [without(":authority"), block(&[(":authority", "a b")])].concat(),
        ),
    ];
    all_refused(&heads, &[Status(400), Reset, Connection(PROTOCOL_ERROR), Connection(COMPRESSION)]);
}

/// RFC 9113 section 8.2.2.
#[test]
fn fields_of_an_http_1_connection() {
    let heads = [
        ("connection", plus(&[("connection", "close")])),
        ("keep-alive", plus(&[("keep-alive", "timeout=5")])),
        ("proxy-connection", plus(&[("proxy-connection", "keep-alive")])),
        ("transfer-encoding", plus(&[("transfer-encoding", "chunked")])),
        ("upgrade", plus(&[("upgrade", "h2c")])),
        ("te", plus(&[("te", "gzip")])),
        ("te with more", plus(&[("te", "trailers, gzip")])),
    ];
    all_refused(&heads, &[Status(400), Reset]);
}

/// RFC 9113 section 8.2.1.
#[test]
fn names_that_are_none() {
    let heads = [
        ("an upper-case name", plus(&[("X-Upper", "1")])),
        ("a blank in a name", plus(&[("x y", "1")])),
        ("a colon in a name", plus(&[("x:y", "1")])),
        ("a line end in a name", plus(&[("x\r\ny", "1")])),
        ("NUL in a name", plus(&[("x\0", "1")])),
        ("a quote in a name", plus(&[("x\"", "1")])),
        ("no name", plus(&[("", "1")])),
    ];
    all_refused(&heads, &[Status(400), Reset, Connection(PROTOCOL_ERROR), Connection(COMPRESSION)]);
}

#[test]
fn values_that_would_end_a_line_of_http_1() {
    let heads = [
        ("CR", plus(&[("x", "1\r2")])),
        ("LF", plus(&[("x", "1\n2")])),
        ("NUL", plus(&[("x", "1\x002")])),
        ("CRLF and a field", plus(&[("x", "1\r\nx-admin: 1")])),
        ("CRLF in a cookie", plus(&[("cookie", "a\r\nx-admin: 1")])),
        (
            "CRLF in the authority",
            [without(":authority"), block(&[(":authority", "a\r\nx: y")])].concat(),
        ),
    ];
    all_refused(&heads, &[Status(400), Reset, Connection(PROTOCOL_ERROR), Connection(COMPRESSION)]);
    let blanks = [
        ("a blank before a value", plus(&[("x", " 1")])),
        ("a tab after a value", plus(&[("x", "1\t")])),
        ("a blank before a cookie", plus(&[("cookie", " a=1")])),
    ];
    all_refused(&blanks, &[Status(400), Reset]);
}

/// RFC 9113 section 8.1.1: the length told is the sum of the DATA frames, or the request is not
/// complete, and the upstream must not take it for that.
#[test]
fn data_that_belie_content_length() {
    let origin = Origin::answering(|request| ok(&request.text()));
    let gateway = Gateway::before(origin.addr);
    let told = |length: &str| request("POST", "/", &[("content-length", length)]);
    for (name, head, frames) in [
        ("shorter", told("10"), &["half"][..]),
        ("none at all", told("10"), &[""]),
        ("longer", told("4"), &["more!"]),
        ("longer, in pieces", told("4"), &["mo", "re!"]),
        ("a smuggled request", told("4"), &["fourGET /admin HTTP/1.1\r\nHost: a\r\n\r\n"]),
        ("data where none were told", told("0"), &["x"]),
        ("no number", told("x"), &["x"]),
        ("a sign", told("+1"), &["x"]),
        ("a list", told("1, 1"), &["x"]),
        ("beyond 64 bits", told("18446744073709551617"), &["x"]),
        ("two that differ", [told("1"), field("content-length", "2")].concat(), &["x"]),
        ("two alike", [told("1"), field("content-length", "1")].concat(), &["x"]),
    ] {
        let mut client = H2::connect(gateway.addr());
        let stream = client.open();
        let mut sent = headers(stream, 0, &head);
        for (nth, piece) in frames.iter().enumerate() {
            let last = if nth + 1 == frames.len() { END_STREAM } else { 0 };
            sent.extend(data(stream, last, piece));
        }
        let found = refused(&mut client, &sent, stream);
        assert!(matches!(found, Some(Reset | Status(400))), "{name}: {found:?}");
        assert!(client.is_alive().expect("open"), "{name}");
    }
    // Told a length, and END_STREAM on the head.
    let mut client = H2::connect(gateway.addr());
    let stream = client.open();
    let found = refused(&mut client, &headers(stream, END_STREAM, &told("4")), stream);
    assert!(matches!(found, Some(Reset | Status(400))), "{found:?}");
    assert_eq!(origin.count(), 0, "{:?}", origin.requests());
    let bytes = String::from_utf8_lossy(&origin.bytes()).into_owned();
    assert!(!bytes.contains("GET /admin"), "{bytes}");
    // A request that is sound is served, by the connections that are left.
    let stream = client.ask("POST", "/", &[("content-length", "5")], false);
    client.client.send(data(stream, END_STREAM, "sound"));
    assert_eq!(client.answer(stream).text(), "sound");
}

#[test]
fn trailers_that_are_malformed_do_not_complete_a_request() {
    let origin = Origin::named("never");
    let gateway = Gateway::before(origin.addr);
    for (name, trailers) in [
        ("an upper-case name", field("X-Upper", "1")),
        ("a quote in a name", field("x\"", "1")),
        ("a blank before the value", field("x", " 1")),
        ("connection", field("connection", "close")),
        ("transfer-encoding", field("transfer-encoding", "chunked")),
    ] {
        let mut client = H2::connect(gateway.addr());
        let stream = client.ask("POST", "/", &[], false);
        client.client.send(data(stream, 0, "body"));
        std::thread::sleep(ms(50));
        client.client.send(headers(stream, END_STREAM, &trailers));
        let over = |h2: &H2| h2.answers.get(&stream).is_some_and(|a| a.is_over());
        let _ = client.until(PATIENCE, |h2| over(h2) || !h2.goaways.is_empty());
        let answer = client.answers.remove(&stream).unwrap_or_default();
        let refused = answer.reset.is_some() || answer.status.is_some_and(|code| code >= 400);
        assert!(refused || !client.goaways.is_empty(), "{name}: {answer:?}");
        assert_eq!(origin.count(), 0, "{name}: {:?}", origin.requests());
    }
}

/// The `h2` crate takes them away and says nothing.
#[test]
fn pseudo_fields_in_trailers_go_nowhere() {
    let origin = Origin::named("ok");
    let gateway = Gateway::before(origin.addr);
    let mut client = H2::connect(gateway.addr());
    let stream = client.ask("POST", "/", &[], false);
    client.client.send(data(stream, 0, "body"));
    std::thread::sleep(ms(50));
    let trailers = [field(":path", "/admin"), field("x-sum", "1")].concat();
    client.client.send(headers(stream, END_STREAM, &trailers));
    client.answer(stream);
    for request in origin.requests() {
        assert_eq!((request.target(), request.trailers.len()), ("/", 1), "{request:?}");
    }
}

#[test]
fn connect_is_not_for_a_gateway() {
    let origin = Origin::named("never");
    let gateway = Gateway::before(origin.addr);
    let mut client = H2::connect(gateway.addr());
    let stream = client.open();
    let head = block(&[(":method", "CONNECT"), (":authority", "b:443")]);
    let found = refused(&mut client, &headers(stream, 0, &head), stream);
    assert!(matches!(found, Some(Status(400 | 501) | Reset)), "{found:?}");
    assert_eq!(origin.connections(), 0);
}

/// RFC 9113: errors of the connection, each with its code.
#[test]
fn frames_that_break_the_protocol_end_the_connection() {
    const FLOW_CONTROL: u32 = 3;
    const FRAME_SIZE: u32 = 6;
    let origin = Origin::named("never");
    let gateway = Gateway::before(origin.addr);
    for (name, frames, codes) in [
        ("DATA on stream 0", data(0, 0, "x"), &[PROTOCOL_ERROR][..]),
        ("DATA on an idle stream", data(1, 0, "x"), &[PROTOCOL_ERROR]),
        ("HEADERS on stream 0", headers(0, END_STREAM, &plus(&[])), &[PROTOCOL_ERROR]),
        ("HEADERS on an even stream", headers(2, END_STREAM, &plus(&[])), &[PROTOCOL_ERROR]),
        // Where RFC 9113 has a code of its own, PROTOCOL_ERROR says as much.
        ("a frame too large", frame(kind::DATA, 0, 1, [0; 16_385]), &[FRAME_SIZE]),
        ("SETTINGS of a stream", frame(kind::SETTINGS, 0, 1, ""), &[PROTOCOL_ERROR]),
        ("SETTINGS of 5 bytes", frame(kind::SETTINGS, 0, 0, [0; 5]), &[FRAME_SIZE, PROTOCOL_ERROR]),
        (
            "a window of 2^31",
            frame(kind::SETTINGS, 0, 0, [0, 4, 0x80, 0, 0, 0]),
            &[FLOW_CONTROL, PROTOCOL_ERROR],
        ),
        ("PING of 7 bytes", frame(kind::PING, 0, 0, [0; 7]), &[FRAME_SIZE, PROTOCOL_ERROR]),
        ("WINDOW_UPDATE of 0", frame(kind::WINDOW_UPDATE, 0, 0, [0; 4]), &[PROTOCOL_ERROR]),
        ("PUSH_PROMISE", frame(5, 4, 1, [0, 0, 0, 2]), &[PROTOCOL_ERROR]),
        ("RST_STREAM of an idle stream", frame(3, 0, 9, [0; 4]), &[PROTOCOL_ERROR]),
        ("CONTINUATION alone", frame(kind::CONTINUATION, 4, 1, ""), &[PROTOCOL_ERROR]),
        ("padding beyond the frame", frame(kind::DATA, 8, 1, [9, 0]), &[PROTOCOL_ERROR]),
        (
            "an index beyond the table",
            headers(1, END_STREAM, &[0xff, 0x7f]),
            &[COMPRESSION, PROTOCOL_ERROR],
        ),
        ("half a block", headers(1, END_STREAM, &[0x40, 5, b'x']), &[COMPRESSION, PROTOCOL_ERROR]),
    ] {
        let mut client = H2::connect(gateway.addr());
        client.client.send(frames);
        let end = client.end_within(PATIENCE);
        assert_ne!(end, crate::kit::End::Open, "{name}: {:?}", client.goaways);
        let found = client.goaways.last().map(|goaway| goaway.1);
        assert!(found.is_some_and(|code| codes.contains(&code)), "{name}: {found:?}");
    }
    assert_eq!(origin.connections(), 0);
}

// === the bug classes ===

#[test]
fn class_1_a_body_that_an_early_answer_did_not_read_is_no_request_of_the_next_stream() {
    let origin = Origin::answering(|request| ok(request.target()));
    let config = with("", "", origin.addr).replace("$default", "ANY /up");
    let gateway = Gateway::start(&format!("{config}[apis.app]\nbody_max = \"1KiB\"\n"));
    let smuggled = "GET /up HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100);
    let mut client = H2::connect(gateway.addr());
    for path in ["/none", "/up", "/up/%zz"] {
        let stream = client.ask("POST", path, &[], false);
        client.client.send(data(stream, 0, &smuggled)).send(data(stream, END_STREAM, &smuggled));
        let status = client.answer(stream).status;
        assert!(matches!(status, Some(400 | 404 | 413)), "{path}: {status:?}");
        assert_eq!(client.fetch("GET", "/up", &[]).text(), "/up");
    }
    assert_eq!(origin.count(), 3, "{:?}", origin.requests());
}

/// Sozu's and Envoy's of 2026: names and values of the greatest length come through whole.
#[test]
fn class_6_names_and_values_of_any_length_are_whole() {
    let origin = Origin::named("ok");
    let gateway = Gateway::start(&with("limits = { head = \"256KiB\" }", "", origin.addr));
    let mut client = H2::connect(gateway.addr());
    for len in [126, 127, 128, 254, 255, 256, 16_383, 16_384, 65_535, 65_536, 100_000] {
        let value = "v".repeat(len);
        let name = format!("x-{}", "n".repeat(len.min(60_000)));
        let head = request("GET", "/", &[("x-long", &value), (&name, "1")]);
        let stream = client.open();
        // In frames of 16 KiB: HEADERS, then CONTINUATION.
        let pieces: Vec<&[u8]> = head.chunks(16_384).collect();
        for (nth, piece) in pieces.iter().enumerate() {
            let (kind, first) =
                if nth == 0 { (kind::HEADERS, END_STREAM) } else { (kind::CONTINUATION, 0) };
            let last = if nth + 1 == pieces.len() { crate::kit::h2raw::END_HEADERS } else { 0 };
            client.client.send(frame(kind, first | last, stream, piece));
        }
        let answer = client.answer(stream);
        match answer.status {
            Some(200) => {
                let seen = origin.last();
                assert_eq!(seen.field("x-long"), Some(value.as_str()), "{len}");
                assert_eq!(seen.field(&name), Some("1"), "{len}");
            }
            // A name as long as that may be refused, but is never cut.
            status => assert!(matches!(status, Some(400 | 431)), "{len}: {status:?}"),
        }
    }
    assert!(origin.count() >= 8);
}

#[test]
fn class_7_a_field_without_a_name_is_refused_and_takes_no_other_with_it() {
    let heads = [("first", [without(""), field("", "1"), field("x-api-key", "k")].concat())];
    all_refused(&heads, &[Status(400), Reset, Connection(PROTOCOL_ERROR), Connection(COMPRESSION)]);
}

#[test]
fn class_11_connection_cannot_strip_fields() {
    let names = ["x-forwarded-for", "authorization", "host", "content-length", "cookie"];
    let heads = names.map(|name| (name, plus(&[("connection", name), ("authorization", "x")])));
    all_refused(&heads, &[Status(400), Reset]);
}

#[test]
fn class_12_aliases_of_trusted_names_do_not_reach_the_upstream() {
    let origin = Origin::named("ok");
    let gateway = Gateway::before(origin.addr);
    let answer = H2::connect(gateway.addr()).fetch(
        "GET",
        "/",
        &[
            ("x_forwarded_for", "6.6.6.6"),
            ("x-forwarded_proto", "https"),
            ("x-forwarded-for", "6.6.6.6"),
            ("content_length", "5"),
            ("transfer_encoding", "chunked"),
            ("x_real_ip", "6.6.6.6"),
            ("forwarded", "for=6.6.6.6"),
        ],
    );
    assert_eq!(answer.status, Some(200));
    let request = origin.only();
    let head = String::from_utf8(request.head.clone()).expect("text").to_ascii_lowercase();
    assert!(!head.contains("6.6.6.6") && !head.contains("transfer_encoding"), "{head}");
    assert!(!head.contains("content_length") && !head.contains("forwarded_"), "{head}");
    assert_eq!(request.field("x-forwarded-for"), Some("127.0.0.1"));
}

#[test]
fn class_14_the_path_that_is_routed_is_the_path_that_is_forwarded() {
    let origin = Origin::answering(|request| ok(request.target()));
    let addr = origin.addr;
    let gateway = Gateway::start(&format!(
        r#"
[listeners.web]
address = "127.0.0.1:0"
[upstreams.app]
endpoints = ["{addr}"]
[apis.a.routes."ANY /public/{{proxy+}}"]
upstream = "app"
[apis.a.routes."ANY /admin/{{proxy+}}"]
respond = {{ status = 403, body = "forbidden" }}
"#
    ));
    let mut client = H2::connect(gateway.addr());
    for path in [
        "/public/../admin/x",
        "/public/%2e%2e/admin/x",
        "/public/.%2E/admin/x",
        "//admin/x",
        "/public//../admin/x",
        "/public/..;/admin/x",
        "/public/..%2fadmin/x",
        "/public/%252e%252e/admin/x",
        "/public\\..\\admin/x",
        "/%61dmin/x",
        "/public/x#/../admin",
        "/public/x?/../admin",
    ] {
        let answer = client.fetch("GET", path, &[]);
        if answer.status == Some(200) {
            let target = answer.text().to_ascii_lowercase();
            let path_only = target.split('?').next().expect("a first part");
            let decoded = path_only.replace("%2f", "/").replace("%2e", ".").replace(';', "/");
            assert!(target.starts_with("/public/"), "{path} became {target}");
            assert!(!decoded.split('/').any(|part| part == ".."), "{path} became {target}");
        } else {
            assert!(matches!(answer.status, Some(400 | 403 | 404)), "{path}: {answer:?}");
        }
    }
}

/// HTTP/2's values where HTTP/1.1 has lines: nothing a client writes becomes another line upstream.
#[test]
fn class_17_nothing_becomes_a_line_of_its_own_upstream() {
    let mut heads = Vec::new();
    for evil in ["\r\nx-evil: 1", "\nx-evil: 1", "\r\n\r\nGET /admin HTTP/1.1\r\nhost: a", "\0"] {
        let value = format!("1{evil}");
        let replaced = |name: &str, value: &str| [without(name), block(&[(name, value)])].concat();
        heads.push(("value", plus(&[("x", &value)])));
        heads.push(("name", plus(&[(&format!("x{evil}"), "1")])));
        heads.push(("path", replaced(":path", &format!("/{evil}"))));
        heads.push(("method", replaced(":method", &format!("GET{evil}"))));
        heads.push(("authority", replaced(":authority", &format!("a{evil}"))));
        heads.push(("scheme", replaced(":scheme", &format!("http{evil}"))));
    }
    heads.push(("leading blank", plus(&[(" x", "1")])));
    heads.push(("no name", plus(&[("", "1")])));
    all_refused(&heads, &[Status(400), Reset, Connection(PROTOCOL_ERROR), Connection(COMPRESSION)]);
}
