//! One test per rule of a head's meaning, and the faults of others that must not be ours.

use crate::http::*;

fn request(bytes: &[u8]) -> Result<RequestHead, Reject> {
    let mut head = RequestHead::default();
    let parsed = parse_request(&mut head, &mut Scan::default(), bytes, &Limits::default())?;
    assert_eq!(parsed, Parsed::Complete, "the test's head is whole");
    Ok(head)
}

fn response(method: Method, bytes: &[u8]) -> Result<ResponseHead, Reject> {
    let mut head = ResponseHead::default();
    let (mut scan, limits) = (Scan::default(), Limits::default());
    let parsed = parse_response(&mut head, &mut scan, bytes, &limits, method)?;
    assert_eq!(parsed, Parsed::Complete, "the test's head is whole");
    Ok(head)
}

/// The fault for which monoio-http 0.3 is not our base (docs/decisions/002): it looks for CRLFCRLF,
/// takes all before it for the head, parses that with httparse, and ignores how much httparse used.
#[test]
fn a_bare_lf_head_drops_bytes_in_monoio_http_and_is_refused_here() {
    let stream: &[u8] =
        b"POST / HTTP/1.1\nHost: a\nContent-Length: 5\n\nhelloGET /admin HTTP/1.1\r\n\
        Host: a\r\n\r\n";
    // Its steps: the split ...
    let split = stream.windows(4).position(|four| four == b"\r\n\r\n").expect("a CRLFCRLF") + 4;
    // ... and the parse. httparse takes a bare LF for a line end and stops after the first head.
    let mut fields = [httparse::EMPTY_HEADER; 8];
    let mut raw = httparse::Request::new(&mut fields);
    let used = raw.parse(&stream[..split]).expect("httparse is lenient").unwrap();
    assert_eq!((used, split), (43, 80));
    // So `hello` and the whole second request (37 bytes) belong to nobody, and what comes next on
    // the connection is taken for the body.
    assert!(stream[used..split].starts_with(b"helloGET /admin"));

    // Here it is refused, at its first bare LF, however it arrives.
    assert_eq!(request(stream).err(), Some(Reject::BareLf));
    let mut scan = Scan::default();
    let mut head = RequestHead::default();
    for upto in 0..16 {
        let parsed = parse_request(&mut head, &mut scan, &stream[..upto], &Limits::default());
        assert_eq!(parsed, Ok(Parsed::Partial));
    }
    let parsed = parse_request(&mut head, &mut scan, &stream[..16], &Limits::default());
    assert_eq!(parsed, Err(Reject::BareLf));
}

/// Another of its faults: a field name above 64 KiB panics there.
#[test]
fn a_field_name_of_70000_bytes_is_refused() {
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{}: b\r\n\r\n", "n".repeat(70_000));
    assert_eq!(request(head.as_bytes()).err(), Some(Reject::HeadTooLarge));
    let limits = Limits { head_bytes_max: 128 * 1024, ..Limits::default() };
    let (mut read, mut scan) = (RequestHead::default(), Scan::default());
    let parsed = parse_request(&mut read, &mut scan, head.as_bytes(), &limits);
    assert_eq!(parsed, Ok(Parsed::Complete), "a wider limit takes it");
    assert_eq!(read.fields[1].name.len, 70_000);
}

#[test]
fn a_head_ends_at_its_empty_line_and_leaves_the_rest() {
    let stream =
        b"\r\nPOST /a?b HTTP/1.1\r\nHost: h:81\r\nContent-Length: 2\r\n\r\nokGET / HTTP/1.1";
    let head = request(stream).expect("valid");
    assert_eq!(&stream[head.len..], b"okGET / HTTP/1.1");
    assert_eq!(head.target.of(stream), b"/a?b");
    assert_eq!(head.query.map(|query| query.of(stream)), Some(&b"b"[..]));
    assert_eq!((head.authority.of(stream), head.host.of(stream)), (&b"h:81"[..], &b"h"[..]));
    assert_eq!(head.port, Some(81));
    assert_eq!(head.value(Name::ContentLength, stream), Some(&b"2"[..]));
    assert_eq!(head.value(Name::Cookie, stream), None);
}

#[test]
fn a_head_used_again_allocates_nothing_and_remembers_nothing() {
    let first =
        b"POST http://h/x?y HTTP/1.1\r\nHost: a\r\nConnection: close, A, B\r\nUpgrade: c\r\n\
        TE: trailers\r\nExpect: 100-continue\r\nContent-Length: 9\r\nA: 1\r\nB: 2\r\n\r\n";
    let second = b"GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\n\r\n";
    let (mut head, mut scan) = (RequestHead::default(), Scan::default());
    let limits = Limits::default();
    assert_eq!(parse_request(&mut head, &mut scan, first, &limits), Ok(Parsed::Complete));
    assert!(!head.keep_alive && head.expect_continue && head.te_trailers);
    let allocation = (head.fields.as_ptr(), head.fields.capacity());
    assert_eq!(parse_request(&mut head, &mut scan, second, &limits), Ok(Parsed::Complete));
    assert_eq!((head.fields.as_ptr(), head.fields.capacity()), allocation);
    assert_eq!(format!("{head:?}"), format!("{:?}", request(second).expect("valid")));
}

#[test]
fn values_are_found_by_name_in_order() {
    let stream =
        b"GET / HTTP/1.1\r\nHost: a\r\ncookie: 1\r\nX-Own: 2\r\nCOOKIE: 3\r\nx-own: 4\r\n\r\n";
    let head = request(stream).expect("valid");
    assert!(head.values(Name::Cookie, stream).eq([&b"1"[..], b"3"]));
    assert!(head.values_named(b"X-OWN", stream).eq([&b"2"[..], b"4"]));
}

fn forwarded(stream: &[u8]) -> Vec<String> {
    let head = request(stream).expect("valid");
    head.forwarded(stream)
        .map(|field| String::from_utf8_lossy(field.name.of(stream)).into_owned())
        .collect()
}

#[test]
fn hop_by_hop_and_remade_fields_do_not_go_on() {
    let stream = b"GET / HTTP/1.1\r\nHost: a\r\n\
        Connection: keep-alive, TE, Upgrade, HTTP2-Settings\r\n\
        Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nUpgrade: h2c\r\n\
        HTTP2-Settings: AAMAAABk\r\nProxy-Authorization: Basic x\r\nProxy-Authenticate: y\r\n\
        Content-Length: 0\r\nAccept: */*\r\nTrailer: X-Sum\r\nX-Own: 1\r\n\
        X-Forwarded-For: 1.2.3.4\r\n\r\n";
    assert_eq!(forwarded(stream), ["Accept", "Trailer", "X-Own", "X-Forwarded-For"]);
}

#[test]
fn nominated_unknown_fields_do_not_go_on() {
    let stream =
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Own: 1\r\nConnection: x-OWN, X-Absent\r\nX-Own2: 2\r\n\
        x-own: 3\r\n\r\n";
    assert_eq!(forwarded(stream), ["X-Own2"]);
}

/// Bug class: hop-by-hop abuse. A client may not have trusted or authenticating fields stripped.
#[test]
fn a_client_cannot_nominate_fields_that_others_decide_by() {
    for name in
        ["Host", "Authorization", "X-Forwarded-For", "Forwarded", "X-API-Key", "Cookie", "Via"]
    {
        for list in [name.to_owned(), format!("close, {}", name.to_ascii_lowercase())] {
            let stream = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: {list}\r\n\r\n");
            assert_eq!(
                request(stream.as_bytes()).err(),
                Some(Reject::ConnectionProtected),
                "{list}"
            );
        }
    }
}

/// Bug class: header aliasing. `_` and `-` are one to CGI and its kin.
#[test]
fn a_known_name_spelt_with_underscores_does_not_go_on_and_means_nothing() {
    let stream =
        b"POST / HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\nTransfer_Encoding: chunked\r\n\
        X_Forwarded_For: 1.2.3.4\r\nx-api_key: k\r\nmy_own: 1\r\n\r\n";
    let head = request(stream).expect("valid");
    assert_eq!(head.framing, Framing::None);
    assert_eq!(forwarded(stream), ["my_own"]);
}

#[test]
fn an_upstream_may_nominate_any_field_of_its_own() {
    let stream =
        b"HTTP/1.1 200 OK\r\nConnection: Server, X-Own\r\nServer: s\r\nX-Own: o\r\nVia: v\r\n\
        Content-Length: 0\r\n\r\n";
    let head = response(Method::Get, stream).expect("valid");
    assert!(head.forwarded(stream).map(|field| field.id).eq([Name::Via]));
}

#[test]
fn expect_continue_only_where_there_is_a_body_to_wait_for() {
    let expects = |version: &str, fields: &str| {
        let stream =
            format!("POST / HTTP/{version}\r\nHost: a\r\nExpect: 100-continue\r\n{fields}\r\n");
        request(stream.as_bytes()).expect("valid").expect_continue
    };
    assert!(expects("1.1", "Content-Length: 1\r\n"));
    assert!(expects("1.1", "Transfer-Encoding: chunked\r\n"));
    assert!(!expects("1.1", "Content-Length: 0\r\n"));
    assert!(!expects("1.1", ""));
    assert!(!expects("1.0", "Content-Length: 1\r\n"));
}

#[test]
fn an_upgrade_needs_both_fields_and_http_1_1() {
    let upgrades = |version: &str, fields: &str| {
        let stream = format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n");
        request(stream.as_bytes()).expect("valid").upgrade
    };
    assert!(upgrades("1.1", "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"));
    assert!(!upgrades("1.1", "Upgrade: websocket\r\n"));
    assert!(!upgrades("1.1", "Connection: upgrade\r\n"));
    assert!(!upgrades("1.0", "Connection: upgrade\r\nUpgrade: websocket\r\n"));
}

#[test]
fn a_response_is_framed_by_the_first_rule_that_fits() {
    let chunked = "Transfer-Encoding: chunked\r\n";
    let five = "Content-Length: 5\r\n";
    let both = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n";
    for (method, status, fields, framing) in [
        (Method::Get, 200, "", Framing::UntilClose),
        (Method::Get, 200, five, Framing::Length(5)),
        (Method::Get, 200, chunked, Framing::Chunked),
        (Method::Get, 404, five, Framing::Length(5)),
        (Method::Head, 200, five, Framing::None),
        (Method::Head, 200, chunked, Framing::None),
        (Method::Head, 200, both, Framing::None),
        (Method::Head, 200, "", Framing::None),
        (Method::Get, 204, five, Framing::None),
        (Method::Get, 204, chunked, Framing::None),
        (Method::Get, 304, five, Framing::None),
        (Method::Get, 100, five, Framing::None),
        (Method::Get, 101, chunked, Framing::None),
        (Method::Get, 103, "", Framing::None),
        (Method::Connect, 200, both, Framing::None),
        (Method::Connect, 299, five, Framing::None),
        (Method::Connect, 403, five, Framing::Length(5)),
        (Method::Post, 205, five, Framing::Length(5)),
    ] {
        let stream = format!("HTTP/1.1 {status} x\r\n{fields}\r\n");
        let head = response(method, stream.as_bytes()).expect("valid");
        assert_eq!(head.framing, framing, "{method:?} {status} {fields:?}");
        assert_eq!(head.content_length, fields.contains("Length").then_some(5));
        assert_eq!(head.is_interim(), matches!(status, 100 | 103));
        let tunnel = status == 101 || method == Method::Connect && status < 300;
        assert_eq!(head.tunnel, tunnel, "{method:?} {status}");
        assert_eq!(head.keep_alive, !tunnel && framing != Framing::UntilClose);
    }
}

#[test]
fn a_response_keeps_its_connection_as_its_version_and_fields_say() {
    for (version, connection, keep) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: keep-alive, close\r\n", false),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
    ] {
        let stream = format!("HTTP/{version} 200 OK\r\n{connection}Content-Length: 0\r\n\r\n");
        let head = response(Method::Get, stream.as_bytes()).expect("valid");
        assert_eq!(head.keep_alive, keep, "{stream:?}");
    }
}

#[test]
fn a_reason_is_told_as_it_came() {
    for (line, reason) in [
        (&b"HTTP/1.1 200 OK"[..], &b"OK"[..]),
        (b"HTTP/1.1 200 ", b""),
        (b"HTTP/1.1 200", b""),
        (b"HTTP/1.1 404 Nicht da, \xfc\xff", b"Nicht da, \xfc\xff"),
        (b"HTTP/1.0 999 a  b\t", b"a  b\t"),
    ] {
        let stream = [line, b"\r\nContent-Length: 0\r\n\r\n"].concat();
        let head = response(Method::Get, &stream).expect("valid");
        assert_eq!(head.reason.of(&stream), reason);
        assert_eq!(head.len, stream.len());
    }
}
