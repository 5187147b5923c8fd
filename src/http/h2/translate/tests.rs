use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

mod survives;

use survives::{assert_request, assert_response, request_parts, response_parts};

fn request(lines: &str) -> ::http::request::Parts {
    request_parts(lines.as_bytes()).expect("as the crate hands it out")
}

fn text_of(lines: &str, ends: bool) -> Result<String, Reject> {
    let mut out = Vec::new();
    request_text(&request(lines), ends, &mut out)?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

#[test]
fn a_request_becomes_the_text_a_client_of_http11_would_send() {
    let text = text_of("GET\na.example\n/p?q\naccept:*/*\nte:trailers\n", true);
    let expected = "GET /p?q HTTP/1.1\r\nhost: a.example\r\naccept: */*\r\nte: trailers\r\n\r\n";
    assert_eq!(text.as_deref(), Ok(expected));
    let text = text_of("POST\n\n/\nhost:b:81\ncontent-length:5\n", false);
    let expected = "POST / HTTP/1.1\r\nhost: b:81\r\ncontent-length: 5\r\n\r\n";
    assert_eq!(text.as_deref(), Ok(expected));
    let text = text_of("POST\na\n/\n", false);
    let expected = "POST / HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(text.as_deref(), Ok(expected));
    assert!(text_of("OPTIONS\na\n*\n", true).is_ok_and(|text| text.starts_with("OPTIONS * ")));
}

#[test]
fn cookie_crumbs_are_joined() {
    let text = text_of("GET\na\n/\ncookie:a=b\nx:y\ncookie:c=d\ncookie:e=f\n", true);
    let expected = "GET / HTTP/1.1\r\nhost: a\r\ncookie: a=b; c=d; e=f\r\nx: y\r\n\r\n";
    assert_eq!(text.as_deref(), Ok(expected));
}

#[test]
fn authority_and_host_become_one_or_are_refused() {
    for (lines, host) in [
        ("GET\na\n/\nhost:a\n", "a"),
        ("GET\nA.b\n/\nhost:a.B\n", "A.b"),
        ("GET\na:443\n/\nhost:a\n", "a:443"),
        ("GET\n\n/\nhost:a\n", "a"),
    ] {
        let text = text_of(lines, true).expect(lines);
        assert!(text.contains(&format!("\r\nhost: {host}\r\n")), "{text}");
        assert_eq!(text.matches("host:").count(), 1);
    }
    for (lines, reject) in [
        ("GET\na\n/\nhost:b\n", Reject::HostDiffers),
        ("GET\na:8443\n/\nhost:a\n", Reject::HostDiffers),
        ("GET\na:80\n/\nhost:a\n", Reject::HostDiffers),
        ("GET\na\n/\nhost:\n", Reject::HostDiffers),
        ("GET\na\n/\nhost:a\nhost:a\n", Reject::HostRepeated),
        ("GET\n\n/\n", Reject::HostMissing),
        ("GET\n\n/\nhost:\n", Reject::HostMissing),
        ("GET\nu:p@a\n/\n", Reject::TargetUserinfo),
    ] {
        assert_eq!(text_of(lines, true), Err(reject), "{lines}");
    }
}

#[test]
fn what_would_be_dangerous_as_http11_is_refused() {
    for (lines, reject) in [
        ("GET\na\n/\ntransfer-encoding:chunked\n", Reject::HopField),
        ("GET\na\n/\nconnection:close\n", Reject::HopField),
        ("GET\na\n/\nkeep-alive:1\n", Reject::HopField),
        ("GET\na\n/\nproxy-connection:x\n", Reject::HopField),
        ("GET\na\n/\nupgrade:h2c\n", Reject::HopField),
        ("GET\na\n/\nte:gzip\n", Reject::HopField),
        ("GET\na\n/\nte:trailers, gzip\n", Reject::HopField),
        ("GET\na\n/\n\"x\":y\n", Reject::FieldName),
        ("GET\na\n/\nx: y\n", Reject::ValueBlank),
        ("GET\na\n/\nx:y\t\n", Reject::ValueBlank),
        ("GET\na\n/\ncookie: \n", Reject::ValueBlank),
        ("GET\na\n/\ncontent-length:1\ncontent-length:1\n", Reject::LengthRepeated),
        ("GET\na\n/\ncontent-length:1\ncontent-length:2\n", Reject::LengthRepeated),
        ("GET\na\n/\ncontent-length:+1\n", Reject::Length),
        ("GET\na\n/\ncontent-length:1, 1\n", Reject::Length),
        ("GET\na\n/\ncontent-length:\n", Reject::Length),
        ("GET\na\n/\ncontent-length:99999999999999999999\n", Reject::Length),
        ("GET\na\n/\ncontent-length:1\n", Reject::Length),
        ("GET\na\n/\u{e9}\n", Reject::TargetBytes),
        ("GET\na\n*\n", Reject::TargetForm),
        ("GET\na\n?q\n", Reject::TargetForm),
        ("CONNECT\na:1\n/\n", Reject::Connect),
    ] {
        assert_eq!(text_of(lines, true), Err(reject), "{lines}");
    }
    let mut parts = request("GET\na\n/\n");
    parts.uri = Uri::from_static("a.example");
    assert_eq!(request_text(&parts, true, &mut Vec::new()), Err(Reject::Pseudo));
}

/// The `http` crate refuses such values too when it makes them, which it may be told not to.
#[test]
fn a_line_end_in_a_value_cannot_end_the_head() {
    for value in ["b\r\nx: y", "b\nx: y", "b\r", "a\0b", "a\x7f", "b\r\n\r\nGET /x HTTP/1.1"] {
        assert_eq!(sound(b"x", value.as_bytes()), Err(Reject::FieldValue), "{value:?}");
        assert!(HeaderValue::from_str(value).is_err());
    }
    for value in [" a", "a ", "\ta", "a\t", " "] {
        assert_eq!(sound(b"x", value.as_bytes()), Err(Reject::ValueBlank), "{value:?}");
    }
    for value in ["", "a", "a b", "a\tb", "\u{e9}"] {
        assert_eq!(sound(b"x", value.as_bytes()), Ok(()), "{value:?}");
    }
}

#[test]
fn an_extended_connect_asks_for_the_same_upgrade() {
    let lines = "CONNECT\na\n/chat\nsec-websocket-version:13\nsec-websocket-key:mine\n";
    let mut out = Vec::new();
    websocket_text(&request(lines), "websocket", b"dGhlIHNhbXBsZSBub25jZQ==", &mut out)
        .expect("well formed");
    let expected = "GET /chat HTTP/1.1\r\nhost: a\r\nsec-websocket-version: 13\r\n\
        connection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    assert_eq!(String::from_utf8_lossy(&out), expected);
    let mut head = RequestHead::default();
    let parsed = parse_request(&mut head, &mut Scan::default(), &out, &Limits::default());
    assert_eq!((parsed, head.upgrade), (Ok(Parsed::Complete), true));

    let mut refused =
        |lines, protocol| websocket_text(&request(lines), protocol, &[b'a'; 24], &mut out).err();
    assert_eq!(refused(lines, "connect-udp"), Some(Reject::Connect));
    assert_eq!(refused("GET\na\n/\n", "websocket"), Some(Reject::Connect));
    let with_length = refused("CONNECT\na\n/\ncontent-length:0\n", "websocket");
    assert_eq!(with_length, Some(Reject::BodyForbidden));
    assert_eq!(refused("CONNECT\na\n/\nupgrade:x\n", "websocket"), Some(Reject::HopField));
}

#[test]
fn a_response_becomes_text_whose_body_ends_where_it_should() {
    let text = |lines: &str, method, ends| {
        let mut out = Vec::new();
        let parts = response_parts(lines.as_bytes()).expect("as the crate hands it out");
        response_text(&parts, method, ends, &mut out)?;
        Ok::<_, Reject>(String::from_utf8_lossy(&out).into_owned())
    };
    let get = Method::Get;
    for (lines, method, ends, expected) in [
        ("200", get, false, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("200", get, true, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ("200\ncontent-length:3", get, false, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n"),
        (
            "200\ncontent-length:3",
            Method::Head,
            true,
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n",
        ),
        ("200", Method::Head, true, "HTTP/1.1 200 OK\r\n\r\n"),
        ("204", get, true, "HTTP/1.1 204 No Content\r\n\r\n"),
        (
            "304\ncontent-length:9",
            get,
            true,
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n",
        ),
        ("103\nlink:x", get, false, "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"),
    ] {
        assert_eq!(text(lines, method, ends).as_deref(), Ok(expected));
    }
    for (lines, ends, reject) in [
        ("101", true, Reject::Status),
        ("200\nconnection:close", true, Reject::HopField),
        ("200\nx: y", true, Reject::ValueBlank),
        ("200\ncontent-length:1\ncontent-length:1", false, Reject::LengthRepeated),
        ("200\ncontent-length:1", true, Reject::Length),
    ] {
        assert_eq!(text(lines, get, ends), Err(reject), "{lines}");
    }
}

#[test]
fn a_request_goes_back_without_what_is_for_one_hop() {
    let text = "POST /p?q=<x> HTTP/1.1\r\nHost: a:8443\r\nConnection: te, x-own, close\r\n\
        X-Own: 1\r\nTE: trailers\r\nKeep-Alive: 5\r\nTransfer-Encoding: chunked\r\nCookie: s\r\n\
        Upgrade: h2c\r\nHTTP2-Settings: x\r\nX-Kept: 1\r\nX-Kept: 2\r\n\r\n";
    let request = to_request(text.as_bytes(), Scheme::Https).expect("well formed");
    assert_eq!(request.uri().to_string(), "https://a:8443/p?q=%3Cx%3E");
    assert_eq!((request.method().as_str(), request.version()), ("POST", ::http::Version::HTTP_2));
    let mut fields: Vec<_> = request.headers().iter().collect();
    fields.sort_by_key(|(name, _)| name.as_str());
    let shown =
        fields.iter().map(|(name, value)| format!("{name}: {}", value.to_str().expect("ASCII")));
    assert_eq!(shown.collect::<Vec<_>>(), ["cookie: s", "te: trailers", "x-kept: 1", "x-kept: 2"]);
    assert!(request.headers()["cookie"].is_sensitive() && !request.headers()["te"].is_sensitive());

    let with_length = b"PUT * HTTP/1.1\r\nhost: a\r\ncontent-length: 7\r\n\r\n";
    assert_eq!(to_request(with_length, Scheme::Http).err(), Some(Reject::TargetForm));
    let with_length = b"OPTIONS * HTTP/1.1\r\nhost: a\r\ncontent-length: 7\r\n\r\n";
    let request = to_request(with_length, Scheme::Http).expect("well formed");
    assert_eq!(
        (request.uri().path(), &request.headers()["content-length"]),
        ("*", &"7".parse().expect("a number"))
    );

    for (text, reject) in [
        ("GET / HTTP/1.1\r\nhost: a\r\n\r\nrest", Reject::RequestLine),
        ("GET / HTTP/1.1\r\nhost: a\r\n", Reject::RequestLine),
        ("GET / HTTP/1.1\r\nhost:\r\n\r\n", Reject::Host),
        ("GET http://a/ HTTP/1.1\r\nhost: a\r\n\r\n", Reject::TargetForm),
        ("CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n", Reject::Connect),
    ] {
        assert_eq!(to_request(text.as_bytes(), Scheme::Http).err(), Some(reject), "{text}");
    }
}

#[test]
fn a_response_goes_back_and_101_becomes_the_200_of_http2() {
    let back = |text: &str, method| {
        let response = to_response(text.as_bytes(), method).expect("well formed");
        let field = |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {value:?}");
        (response.status().as_u16(), response.headers().iter().map(field).collect::<Vec<_>>())
    };
    let text = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\nA: b\r\n\r\n";
    let expected = (200, vec!["a: \"b\"".to_owned(), "content-length: \"3\"".to_owned()]);
    assert_eq!(back(text, Method::Get), expected);
    assert_eq!(back(text, Method::Head), expected);
    let text = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: chat\r\n\r\n";
    let expected = (200, vec!["sec-websocket-protocol: \"chat\"".to_owned()]);
    assert_eq!(back(text, Method::Get), expected);
    assert_eq!(back("HTTP/1.1 103 x\r\nLink: y\r\n\r\n", Method::Get).0, 103);
    assert!(to_response(b"HTTP/1.1 200 OK\r\n\r\nbody", Method::Get).is_err());
}

#[test]
fn trailers_pass_without_the_names_that_mean_something_here() {
    let mut map = HeaderMap::new();
    map.append("grpc-status", HeaderValue::from_static("0"));
    map.append("grpc-message", HeaderValue::from_static("ok"));
    map.append("authorization", HeaderValue::from_static("x"));
    map.append("x-sum", HeaderValue::from_static("1"));
    map.append("x-sum", HeaderValue::from_static("2"));
    check_trailers(&map).expect("sound");
    let passed: Vec<_> = trailers(&map).collect();
    let expected: [(&[u8], &[u8]); 4] =
        [(b"grpc-status", b"0"), (b"grpc-message", b"ok"), (b"x-sum", b"1"), (b"x-sum", b"2")];
    assert_eq!(passed, expected);
    let again = to_trailers(passed).expect("they were parsed");
    assert_eq!((again.len(), again.get_all("x-sum").iter().count()), (4, 2));

    let refused = |name: &'static str, value: &'static str, times: usize| {
        let mut map = HeaderMap::new();
        for _ in 0..times {
            map.append(name, HeaderValue::from_static(value));
        }
        check_trailers(&map).err()
    };
    assert_eq!(refused("connection", "x", 1), Some(Reject::HopField));
    assert_eq!(refused("x", " y", 1), Some(Reject::ValueBlank));
    assert_eq!(refused("x", "y", 33), Some(Reject::TrailersTooMany));
    let long: &'static str = Box::leak("y".repeat(8192).into_boxed_str());
    assert_eq!(refused("x", long, 1), Some(Reject::TrailersTooLarge));
}

/// Lines as [`request_parts`] takes them, mostly nearly right, then broken a little.
fn lines(first: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let field = select(
        &[
            "host:a",
            "host:a:443",
            "host:b",
            "content-length:5",
            "content-length:0",
            "content-length:05",
            "content-length:x",
            "transfer-encoding:chunked",
            "connection:x-own",
            "upgrade:websocket",
            "te:trailers",
            "te:gzip",
            "cookie:a=b",
            "cookie:c=\"d\"",
            "cookie:",
            "x-own:1",
            "x-own:2 ",
            "x_forwarded_for:1",
            "proxy-authorization:x",
            "http2-settings:x",
            "expect:100-continue",
            "v:\u{e9}",
            "empty:",
            "trailer:x",
            "via:2 x",
        ][..],
    );
    let fields = proptest::collection::vec(field, 0..7);
    let byte = select(&b"\r\n\t\0 :;=,\"\\0aAG@#?%\x7f\x80\xff"[..]);
    let change = (any::<Index>(), 0..2u8, byte);
    let changes = proptest::collection::vec(change, 0..3);
    (select(first), fields, changes).prop_map(|(first, fields, changes)| {
        let mut bytes = format!("{first}\n{}\n", fields.join("\n")).into_bytes();
        for (at, kind, byte) in changes {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                _ => bytes.insert(at, byte),
            }
        }
        bytes
    })
}

const REQUESTS: &[&str] = &[
    "GET\na\n/",
    "POST\na.example:443\n/a/b?c=d",
    "OPTIONS\na\n*",
    "PUT\n\n/%2f//..;x",
    "GET\n[::1]:80\n/\"{}|",
    "X-Y\na_b\n/?",
    "CONNECT\na:1\n/",
    "HEAD\nu@a\n/",
];

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 3000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_request_that_comes_out_is_one_message_with_the_same_fields(
        lines in lines(REQUESTS),
        ends: bool,
    ) {
        if let Some(parts) = request_parts(&lines) {
            assert_request(&parts, ends);
        }
    }

    #[test]
    fn a_response_that_comes_out_is_one_message_with_the_same_fields(
        lines in lines(&["200", "204", "304", "103", "100", "101", "404", "999"]),
        ends: bool,
    ) {
        if let Some(parts) = response_parts(&lines) {
            for method in [Method::Get, Method::Head] {
                assert_response(&parts, method, ends);
            }
        }
    }
}

/// The properties above are about something: most of what is generated comes out.
#[test]
fn a_plain_request_and_response_come_out() {
    for lines in REQUESTS.iter().take(6) {
        let lines = format!("{lines}\nhost:a\nx:y\n").replace("host:a\n", "");
        let lines = if lines.contains("\n\n/") { format!("{lines}host:a\n") } else { lines };
        assert!(assert_request(&request(&lines), true) > 0, "{lines}");
    }
    let parts = response_parts(b"200\nx:y").expect("well formed");
    assert!(assert_response(&parts, Method::Get, false) > 0);
}
