//! HTTP/2 clients, frame by frame: messages pass as they do for HTTP/1, in HTTP/2's own framing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::kit::gateway::with;
use crate::kit::h2raw::{
    END_STREAM, H2, NO_ERROR, PREFACE, data, field, frame, headers, kind, request, settings,
};
use crate::kit::message::{Chunk, Framing};
use crate::kit::origin::ok;
use crate::kit::tls::{Authority, connect};
use crate::kit::{Client, End, Gateway, Origin, PATIENCE, eventually, ms};

/// An origin's connection that waits for the test before it ends its answers.
fn flag() -> (Arc<AtomicBool>, Arc<AtomicBool>) {
    let flag = Arc::new(AtomicBool::new(false));
    (flag.clone(), flag)
}

fn fields(more: &[(&str, &str)]) -> Vec<(String, String)> {
    more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_get_is_forwarded_as_any_other_and_says_that_it_came_over_2_0() {
    let origin = Origin::named("hello");
    let gateway = Gateway::before(origin.addr);
    let mut client = H2::connect(gateway.addr());
    let answer = client.fetch("GET", "/p?q=1", &[("x-request-id", "id-7"), ("te", "trailers")]);
    assert_eq!((answer.status, answer.text().as_str()), (Some(200), "hello"));
    assert_eq!(answer.field("content-length"), Some("5"));
    assert_eq!(answer.field("x-request-id"), Some("id-7"));
    assert!(answer.field("date").is_some());
    let seen = origin.only();
    assert_eq!(seen.line, "GET /p?q=1 HTTP/1.1");
    for (name, value) in [
        ("host", "a"),
        ("via", "2.0 ringway"),
        ("x-request-id", "id-7"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "a"),
        ("forwarded", "for=127.0.0.1;proto=http;host=\"a\""),
        ("te", "trailers"),
    ] {
        assert_eq!(seen.field(name), Some(value), "{name}");
    }
    assert!(seen.field("traceparent").is_some());
    assert_eq!(seen.framing(), Framing::None);
}

#[test]
fn the_access_line_says_2_0_and_counts_what_passed() {
    let origin = Origin::named("hello");
    let gateway = Gateway::before(origin.addr);
    let mut client = H2::connect(gateway.addr());
    let stream = client.ask("POST", "/p?q=1", &[("user-agent", "t")], false);
    client.upload(stream, &[b'x'; 1000], true, PATIENCE);
    let answer = client.answer(stream);
    client.fetch("GET", "/2", &[]);
    let lines = gateway.access_log(2);
    let line = &lines[0];
    assert_eq!((line["version"].as_str(), line["status"].as_u64()), (Some("HTTP/2.0"), Some(200)));
    assert_eq!((line["method"].as_str(), line["path"].as_str()), (Some("POST"), Some("/p")));
    assert_eq!((line["host"].as_str(), line["user_agent"].as_str()), (Some("a"), Some("t")));
    assert_eq!(line["connection_requests"], 1);
    assert_eq!(lines[1]["connection_requests"], 2);
    // Heads are counted as texts, before their compression.
    let (bytes_in, bytes_out) = (&line["bytes_in"], &line["bytes_out"]);
    assert!((1000..1300).contains(&bytes_in.as_u64().expect("a number")), "{line}");
    let head: usize = answer.fields.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert_eq!(bytes_out.as_u64(), Some((head + 5) as u64), "{line}");
}

#[test]
fn over_tls_alpn_decides() {
    let authority = Authority::new("ours");
    let origin = Origin::named("secret");
    for (protocols, offered, agreed) in [
        ("[\"h2\", \"http/1.1\"]", &["h2", "http/1.1"][..], Some("h2")),
        ("[\"h2\", \"http/1.1\"]", &["http/1.1"], Some("http/1.1")),
        ("[\"http/1.1\", \"h2\"]", &["h2", "http/1.1"], Some("http/1.1")),
        ("[\"http/1.1\"]", &["h2", "http/1.1"], Some("http/1.1")),
        ("[\"h2\", \"http/1.1\"]", &[], None),
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        authority.issue(&["a"]).write(dir.path(), "a");
        let listener = format!(
            "protocols = {protocols}\n[listeners.web.tls]\n\
             certificates = [{{ cert = \"a.pem\", key = \"a.key\" }}]"
        );
        let gateway = Gateway::start_in(dir, &with(&listener, "", origin.addr));
        let mut config = authority.client();
        config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
        let mut shaken = connect(gateway.addr(), config, "a").expect("a handshake");
        let found = shaken.alpn.as_deref().map(|name| std::str::from_utf8(name).expect("text"));
        assert_eq!(found, agreed, "{protocols} {offered:?}");
        if agreed == Some("h2") {
            let mut h2 = H2::over(shaken.client, &[]);
            let block: Vec<u8> =
                [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "a")]
                    .iter()
                    .flat_map(|(name, value)| field(name, value))
                    .collect();
            let stream = h2.open();
            h2.client.send(headers(stream, END_STREAM, &block));
            assert_eq!(h2.answer(stream).text(), "secret");
            assert_eq!(origin.last().field("x-forwarded-proto"), Some("https"));
            assert_eq!(gateway.access_line()["tls_version"], "TLSv1.3");
        } else {
            let response = shaken.client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").response();
            assert_eq!(response.text(), "secret");
        }
    }
}

#[test]
fn a_listener_without_h2_refuses_the_preface() {
    let origin = Origin::named("never");
    let gateway = Gateway::start(&with("protocols = [\"http/1.1\"]", "", origin.addr));
    let mut client = gateway.client();
    client.send([PREFACE, &settings(&[])].concat());
    let response = client.response();
    assert!(matches!(response.status, 400 | 505) && response.closes(), "{response:?}");
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_preface_in_pieces_is_one_and_what_begins_like_it_is_http_1() {
    let origin = Origin::named("ok");
    let gateway = Gateway::before(origin.addr);
    for size in [1, 3, 15, 23] {
        let mut client = gateway.client();
        let first = [PREFACE, &settings(&[]), &frame(kind::PING, 0, 0, [7; 8])].concat();
        client.send_split(first.chunks(size), ms(5));
        assert_eq!(H2::begun(client).fetch("GET", "/", &[]).text(), "ok", "pieces of {size}");
    }
    for method in ["P", "PR", "PRI", "PRIX"] {
        let mut client = gateway.client();
        let text = format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
        client.send_split(text.as_bytes().chunks(1), ms(2));
        assert_eq!(client.response().text(), "ok", "{method}");
        assert_eq!(origin.last().method(), method);
    }
    // Other bytes where the preface has its own.
    let mut client = gateway.client();
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\rX").send(settings(&[]));
    let (bytes, end) = client.read_to_end();
    assert!(end != End::Open && !String::from_utf8_lossy(&bytes).contains(" 200 "), "{bytes:?}");
}

#[test]
fn bodies_are_told_by_their_length_or_chunked_and_trailers_pass_both_ways() {
    let origin = Origin::answering(|request| {
        let body = request.body.len();
        format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n\
             {:x}\r\n{body}\r\n0\r\nX-Sum: {body}\r\nContent-Length: 9\r\n\r\n",
            body.to_string().len()
        )
        .into_bytes()
    });
    let gateway = Gateway::before(origin.addr);
    let mut client = H2::connect(gateway.addr());
    // No body.
    let answer = client.fetch("POST", "/", &[]);
    assert_eq!(answer.text(), "0");
    assert!(matches!(origin.last().framing(), Framing::None | Framing::Length(0)));
    let answer = client.fetch("POST", "/", &[("content-length", "0")]);
    assert_eq!((answer.text().as_str(), origin.last().framing()), ("0", Framing::Length(0)));
    // A length.
    let stream = client.ask("POST", "/", &[("content-length", "5")], false);
    client.client.send(data(stream, 0, "he")).send(data(stream, END_STREAM, "llo"));
    assert_eq!(client.answer(stream).text(), "5");
    assert_eq!(
        (origin.last().framing(), origin.last().text()),
        (Framing::Length(5), "hello".into())
    );
    // None, with trailers and without.
    for trailers in [true, false] {
        let heads = || String::from_utf8_lossy(&origin.bytes()).matches("chunked").count();
        let before = heads();
        let stream = client.ask("POST", "/", &[], false);
        client.client.send(data(stream, 0, "he")).send(data(stream, 0, "llo"));
        // A small body that is here as a whole is told by its length, but not one with trailers,
        // and not one that streams.
        if trailers {
            let block = [field("x-check", "1"), field("content-length", "9")].concat();
            client.client.send(headers(stream, END_STREAM, &block));
        } else {
            assert!(eventually(PATIENCE, || heads() > before), "it does not stream");
            client.client.send(data(stream, END_STREAM, ""));
        }
        let answer = client.answer(stream);
        assert_eq!((answer.text().as_str(), answer.field("content-length")), ("5", None));
        assert_eq!(answer.trailers, fields(&[("x-sum", "5")]), "{answer:?}");
        let seen = origin.last();
        assert_eq!((seen.framing(), seen.text()), (Framing::Chunked, "hello".to_owned()));
        let expected = if trailers { fields(&[("x-check", "1")]) } else { Vec::new() };
        assert_eq!(seen.trailers, expected);
    }
}

#[test]
fn head_204_and_304_have_no_data() {
    let origin = Origin::answering(|request| match request.target() {
        "/204" => "HTTP/1.1 204 No Content\r\n\r\n".into(),
        "/304" => "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 9\r\n\r\n".into(),
        _ if request.method() == "HEAD" => "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n".into(),
        _ => ok("content"),
    });
    let gateway = Gateway::before(origin.addr);
    let mut client = H2::connect(gateway.addr());
    for (method, path, status, length) in [
        ("HEAD", "/", 200, Some("7")),
        ("GET", "/204", 204, None),
        ("GET", "/304", 304, Some("9")),
        ("GET", "/", 200, Some("7")),
    ] {
        let answer = client.fetch(method, path, &[]);
        assert_eq!(answer.status, Some(status));
        assert_eq!(answer.field("content-length"), length, "{method} {path}");
        assert_eq!(answer.body.len(), if path == "/" && method == "GET" { 7 } else { 0 });
        assert!(answer.ended && answer.reset.is_none());
    }
    assert_eq!(origin.connections(), 1, "and the next answer was in its place");
}

#[test]
fn interim_heads_pass_before_the_final_one() {
    let origin = Origin::fixed(
        "HTTP/1.1 100 Continue\r\n\r\n\
         HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: x\r\nX: y\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    );
    let gateway = Gateway::before(origin.addr);
    let answer = H2::connect(gateway.addr()).fetch("GET", "/", &[]);
    assert_eq!(answer.interim, [(103, fields(&[("link", "</a.css>; rel=preload")]))]);
    assert_eq!((answer.status, answer.text().as_str()), (Some(200), "hi"));
}

#[test]
fn expect_100_continue_is_answered_or_refused_before_the_body() {
    let origin = Origin::named("got it");
    let config = with("", "", origin.addr).replace("$default", "POST /up");
    let gateway = Gateway::start(&config);
    let mut client = H2::connect(gateway.addr());
    let expecting = [("expect", "100-continue"), ("content-length", "5")];
    let stream = client.ask("POST", "/up", &expecting, false);
    let interim = |h2: &H2| h2.answers.get(&stream).is_some_and(|a| !a.interim.is_empty());
    client.until(PATIENCE, interim).expect("an interim head");
    client.client.send(data(stream, END_STREAM, "hello"));
    let answer = client.answer(stream);
    assert_eq!((answer.interim[0].0, answer.text().as_str()), (100, "got it"));
    assert_eq!((origin.only().text().as_str(), origin.only().field("expect")), ("hello", None));
    let stream = client.ask("POST", "/no", &expecting, false);
    let answer = client.answer(stream);
    assert_eq!((answer.status, answer.interim.len()), (Some(404), 0));
    assert_eq!(client.fetch("POST", "/up", &[]).status, Some(200));
}

/// RFC 9113 section 8.1: an answer that is complete before the request is, is not an error.
#[test]
fn an_answer_before_the_bodys_end_is_complete_and_the_rest_unwanted() {
    let origin = Origin::named("never");
    let config = with("", "", origin.addr).replace("$default", "POST /up");
    let gateway = Gateway::start(&format!("{config}[apis.app]\nbody_max = \"1KiB\"\n"));
    let mut client = H2::connect(gateway.addr());
    for (path, more, status, code) in [
        ("/none", &[][..], 404, "COMMON_002"),
        ("/up", &[("content-length", "1000000")][..], 413, "COMMON_007"),
    ] {
        let stream = client.ask("POST", path, more, false);
        client.client.send(data(stream, 0, [b'x'; 10_000]));
        let answer = client.answer(stream);
        assert_eq!(answer.status, Some(status), "{path}");
        assert_eq!(answer.code(), code, "{path}");
        assert!(answer.ended && answer.reset.is_none(), "{path}: complete first");
        assert_eq!(client.reset_within(PATIENCE, stream), Some(NO_ERROR), "{path}");
        // Data that were under way harm nobody.
        client.client.send(data(stream, END_STREAM, [b'x'; 10_000]));
    }
    assert_eq!(origin.connections(), 0);
    assert!(client.is_alive().expect("open"));
    assert_eq!(client.fetch("GET", "/none", &[]).status, Some(404));
}

#[test]
fn a_body_that_grows_too_large_gets_413_and_the_upstream_no_whole_request() {
    let origin = Origin::named("never");
    let config = format!("{}[apis.app]\nbody_max = \"64KiB\"\n", with("", "", origin.addr));
    let gateway = Gateway::start(&config);
    let mut client = H2::connect(gateway.addr());
    let stream = client.ask("POST", "/", &[], false);
    client.upload(stream, &vec![b'x'; 1 << 20], false, PATIENCE);
    let answer = client.answer(stream);
    assert_eq!((answer.status, answer.ended), (Some(413), true), "{answer:?}");
    assert_eq!(client.reset_within(PATIENCE, stream), Some(NO_ERROR));
    assert_eq!(origin.count(), 0);
    assert!(client.is_alive().expect("open"));
}

#[test]
fn a_head_that_is_too_large_gets_431() {
    let origin = Origin::named("ok");
    let gateway = Gateway::start(&with("limits = { head = \"8KiB\" }", "", origin.addr));
    let mut client = H2::connect(gateway.addr());
    let long = "x".repeat(12_000);
    assert_eq!(client.fetch("GET", "/", &[("x-long", &long)]).status, Some(431));
    assert_eq!(client.fetch("GET", &format!("/{long}"), &[]).status.map(|s| s / 100), Some(4));
    let many: Vec<(String, &str)> = (0..101).map(|nth| (format!("x-{nth}"), "1")).collect();
    let many: Vec<(&str, &str)> =
        many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(client.fetch("GET", "/", &many).status, Some(431));
    assert_eq!(origin.connections(), 0);
    assert_eq!(client.fetch("GET", "/", &[]).status, Some(200));
}

#[test]
fn cookie_crumbs_are_one_field_and_others_keep_their_order() {
    let origin = Origin::fixed(
        "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nConnection: x-own\r\n\
         X-Own: 1\r\nKeep-Alive: timeout=5\r\nContent-Length: 0\r\n\r\n",
    );
    let gateway = Gateway::before(origin.addr);
    let more = [("cookie", "a=1"), ("x-a", "1"), ("cookie", "b=2"), ("x-a", "2"), ("cookie", "c")];
    let answer = H2::connect(gateway.addr()).fetch("GET", "/", &more);
    assert_eq!(origin.only().field("cookie"), Some("a=1; b=2; c"));
    assert_eq!(origin.only().all("x-a"), ["1", "2"]);
    let cookies = answer.fields.iter().filter(|(name, _)| name == "set-cookie");
    assert_eq!(cookies.map(|(_, value)| value.as_str()).collect::<Vec<_>>(), ["a=1", "b=2"]);
    for gone in ["connection", "x-own", "keep-alive", "transfer-encoding"] {
        assert_eq!(answer.field(gone), None, "{gone}");
    }
}

/// RFC 9113 section 8.3.1.
#[test]
fn authority_and_host_are_one_name() {
    let origin = Origin::named("ok");
    let gateway = Gateway::before(origin.addr);
    let mut client = H2::connect(gateway.addr());
    let mut ask = |pairs: &[(&str, &str)]| {
        let stream = client.open();
        let all = [(":method", "GET"), (":scheme", "http"), (":path", "/")];
        let block = all.iter().chain(pairs).flat_map(|(name, value)| field(name, value));
        client.client.send(headers(stream, END_STREAM, &block.collect::<Vec<u8>>()));
        client.answer(stream).status
    };
    for (pairs, host) in [
        (&[(":authority", "a.example:80")][..], "a.example:80"),
        (&[("host", "b.example")], "b.example"),
        (&[(":authority", "c"), ("host", "c")], "c"),
        (&[(":authority", "d"), ("host", "D:80")], "d"),
        (&[(":authority", "[::1]:8080")], "[::1]:8080"),
    ] {
        assert_eq!(ask(pairs), Some(200), "{pairs:?}");
        assert_eq!(origin.last().field("host"), Some(host));
        assert_eq!(origin.last().field("x-forwarded-host"), Some(host));
    }
    let count = origin.count();
    for pairs in [
        &[(":authority", "a"), ("host", "b")][..],
        &[],
        &[("host", "a"), ("host", "a")],
        &[("host", "")],
    ] {
        assert_eq!(ask(pairs), Some(400), "{pairs:?}");
    }
    assert_eq!(origin.count(), count);
}

#[test]
fn routes_of_every_kind_answer() {
    let origin = Origin::named("up");
    let addr = origin.addr;
    let gateway = Gateway::start(&format!(
        r#"
[listeners.web]
address = "127.0.0.1:0"
[upstreams.app]
endpoints = ["{addr}"]
[apis.a.routes."ANY /fixed"]
respond = {{ status = 201, body = "fixed", headers = {{ x-own = "1" }} }}
[apis.a.routes."ANY /moved/{{id}}"]
redirect = {{ to = "/there/{{id}}", status = 308 }}
[apis.a.routes."GET /up/{{id}}"]
upstream = "app"
request_headers = {{ set = {{ x-id = "{{id}}" }} }}
response_headers = {{ set = {{ x-b = "2" }} }}
"#
    ));
    let mut client = H2::connect(gateway.addr());
    let fixed = client.fetch("GET", "/fixed", &[]);
    assert_eq!((fixed.status, fixed.text().as_str()), (Some(201), "fixed"));
    assert_eq!(fixed.field("x-own"), Some("1"));
    let moved = client.fetch("GET", "/moved/7", &[]);
    assert_eq!((moved.status, moved.field("location")), (Some(308), Some("/there/7")));
    let up = client.fetch("GET", "/up/9", &[]);
    assert_eq!((up.text().as_str(), up.field("x-b")), ("up", Some("2")));
    assert_eq!(origin.only().field("x-id"), Some("9"));
    assert_eq!(client.fetch("HEAD", "/fixed", &[]).body, b"");
    assert_eq!(client.fetch("POST", "/up/9", &[]).status.map(|status| status / 100), Some(4));
    assert_eq!(client.fetch("OPTIONS", "*", &[("max-forwards", "0")]).status, Some(200));
    assert_eq!(client.fetch("TRACE", "/", &[]).status, Some(501));
}

#[test]
fn an_upstream_that_cannot_be_reached_is_told_as_ever() {
    let gateway = Gateway::before(([127, 0, 0, 1], crate::kit::free_port()).into());
    let mut client = H2::connect(gateway.addr());
    let answer = client.fetch("GET", "/", &[]);
    assert_eq!(answer.status.map(|status| status / 100), Some(5), "{answer:?}");
    assert!(answer.code().starts_with("UPSTREAM_"), "{answer:?}");
    assert!(client.is_alive().expect("open"));
}

#[test]
fn pieces_pass_as_they_come_each_way() {
    let (go, told) = flag();
    let origin = Origin::scripted(move |conn| {
        conn.request_head();
        conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        while let Some(Chunk::Data(data)) = conn.chunk() {
            conn.send(format!("{:x}\r\n", data.len()));
            conn.send(data);
            conn.send("\r\n");
        }
        conn.wait_for(&told);
        conn.send("0\r\n\r\n");
    });
    let gateway = Gateway::before(origin.addr);
    let mut client = H2::connect(gateway.addr());
    let stream = client.ask("POST", "/", &[], false);
    for nth in 1..=20 {
        client.client.send(data(stream, 0, "piece"));
        let came = |h2: &H2| h2.answers.get(&stream).is_some_and(|a| a.body.len() == 5 * nth);
        client.until(PATIENCE, came).expect("the piece comes back before the next is sent");
    }
    client.client.send(data(stream, END_STREAM, ""));
    assert!(!client.answers[&stream].ended);
    go.store(true, Ordering::SeqCst);
    let answer = client.answer(stream);
    assert!(answer.ended && answer.text() == "piece".repeat(20));
}

#[test]
fn padding_and_priority_are_taken_off() {
    let origin = Origin::answering(|request| ok(&request.text()));
    let gateway = Gateway::before(origin.addr);
    let mut client = H2::connect(gateway.addr());
    let stream = client.open();
    let block = request("POST", "/", &[("content-length", "5")]);
    // PADDED and PRIORITY, then PADDED data.
    let head = [&[3, 0, 0, 0, 0, 15][..], &block, &[0; 3]].concat();
    client.client.send(frame(kind::HEADERS, 0x8 | 0x20 | 0x4, stream, head));
    client.client.send(frame(kind::DATA, 0x8 | END_STREAM, stream, b"\x04hello\0\0\0\0"));
    assert_eq!(client.answer(stream).text(), "hello");
}

#[test]
fn http_1_is_spoken_beside_it_byte_by_byte() {
    let origin = Origin::named("ok");
    let gateway = Gateway::before(origin.addr);
    let mut h2 = H2::connect(gateway.addr());
    let mut h1 = Client::connect(gateway.addr());
    for _ in 0..2 {
        let text = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n";
        h1.send_split(text.as_bytes().chunks(1), ms(1));
        assert_eq!(h1.response().text(), "ok");
        assert_eq!(h2.fetch("GET", "/2", &[]).text(), "ok");
    }
    let lines = gateway.access_log(4);
    let of = |version: &str| lines.iter().filter(|line| line["version"] == version).count();
    assert_eq!((of("HTTP/1.1"), of("HTTP/2.0")), (2, 2));
}
