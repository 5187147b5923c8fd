//! gRPC calls: messages as they are sent, statuses where a client's library looks for them, and
//! gRPC-Web for browsers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use h2::Reason;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::kit::gateway::{ADMIN, with};
use crate::kit::h2client::Answer;
use crate::kit::h2origin::{Exchange, Tap, Ways, pause, send};
use crate::kit::message::{Chunk, Response};
use crate::kit::system::{python_pair, python_pair_passes};
use crate::kit::tls::Authority;
use crate::kit::{Client, Gateway, H2Client, H2Origin, PATIENCE, Scrape, eventually, ms, pattern};

const GRPC: &[(&str, &str)] = &[("content-type", "application/grpc+proto"), ("te", "trailers")];
const WEB: &str = "application/grpc-web+proto";
const TEXT: &str = "application/grpc-web-text+proto";

/// A message in its frame.
fn message(bytes: &[u8]) -> Vec<u8> {
    let len = u32::try_from(bytes.len()).expect("messages are short").to_be_bytes();
    [&[0][..], &len, bytes].concat()
}

fn config(upstream: &str, origin: SocketAddr) -> String {
    let upstream = format!("protocol = \"h2\"\n{upstream}");
    format!("[gateway]\nworkers = 1\npin = false\n{ADMIN}{}", with("", &upstream, origin))
}

fn before(origin: &H2Origin) -> Gateway {
    Gateway::start(&config("", origin.addr))
}

fn trailers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let one = |(name, value): &(&'static str, &'static str)| {
        (HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    fields.iter().map(one).collect()
}

/// What the origin's methods do.
async fn methods(mut exchange: Exchange) {
    const FIELDS: &[(&str, &str)] = &[("content-type", "application/grpc+proto"), ("x-own", "1")];
    let ok = || trailers(&[("grpc-status", "0"), ("x-sum", "7")]);
    let path = exchange.parts.uri.path().to_owned();
    match &*path {
        "/t.S/Only" => {
            exchange.body().await;
            let status = [("grpc-status", "5"), ("grpc-message", "no%20such thing")];
            exchange.bare(200, &[FIELDS, &status].concat());
        }
        "/t.S/Wrong" => {
            exchange.body().await;
            let mut stream = exchange.head(200, FIELDS);
            send(&mut stream, &message(b"half"), false).await;
            stream.send_trailers(trailers(&[("grpc-status", "9")])).expect("it is open");
        }
        "/t.S/Bidi" => {
            let mut stream = exchange.head(200, FIELDS);
            while let Some(Ok(data)) = exchange.recv.data().await {
                let _ = exchange.recv.flow_control().release_capacity(data.len());
                send(&mut stream, &data, false).await;
            }
            let _ = stream.send_trailers(ok());
        }
        "/t.S/Silent" => exchange.gone().await,
        "/t.S/Hold" | "/t.S/Cut" => {
            let mut stream = exchange.head(200, FIELDS);
            send(&mut stream, &message(b"one"), false).await;
            if path.ends_with("Hold") {
                return exchange.gone_while(&mut stream).await;
            }
            pause(ms(100)).await;
            exchange.tap.set(Tap::Cut);
            // Were the stream dropped first, a RST_STREAM would precede the cut.
            std::future::pending::<()>().await;
        }
        "/t.S/CutInside" => {
            let mut stream = exchange.head(200, FIELDS);
            send(&mut stream, &message(b"one")[..6], false).await;
            pause(ms(100)).await;
            exchange.tap.set(Tap::Cut);
            // Were the stream dropped first, a RST_STREAM would precede the cut.
            std::future::pending::<()>().await;
        }
        "/t.S/Proxy" => {
            exchange.body().await;
            let mut stream = exchange.head(503, &[("content-type", "text/html")]);
            send(&mut stream, b"<p>overloaded", true).await;
        }
        "/t.S/NoStatus" => {
            exchange.body().await;
            let mut stream = exchange.head(200, FIELDS);
            send(&mut stream, &message(b"alone"), true).await;
        }
        _ => {
            let (body, _) = exchange.body().await;
            if exchange.is_reset() {
                return;
            }
            let mut stream = exchange.head(200, FIELDS);
            send(&mut stream, &body, false).await;
            stream.send_trailers(ok()).expect("it is open");
        }
    }
}

fn origin() -> H2Origin {
    H2Origin::start(Ways::default(), methods)
}

/// An origin that streams four messages, each sent when that many have been taken.
fn in_turns() -> (H2Origin, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let told = taken.clone();
    let origin = H2Origin::start(Ways::default(), move |mut exchange| {
        let taken = told.clone();
        async move {
            exchange.body().await;
            let mut stream = exchange.head(200, &[("content-type", "application/grpc+proto")]);
            for nth in 0..4 {
                while taken.load(Ordering::SeqCst) < nth {
                    pause(ms(2)).await;
                }
                send(&mut stream, &message(&[u8::try_from(nth).expect("few"); 3]), false).await;
            }
            stream.send_trailers(trailers(&[("grpc-status", "0")])).expect("it is open");
        }
    });
    (origin, taken)
}

/// How a call ended: status and message, wherever they were.
fn status(answer: &Answer) -> (&str, &str) {
    assert_eq!((answer.status, answer.broken), (200, None), "{answer:?}");
    (
        answer.field("grpc-status").unwrap_or("none"),
        answer.field("grpc-message").unwrap_or_default(),
    )
}

/// The status of a failure that is told in the head alone.
fn only(answer: &Answer) -> &str {
    assert_eq!(answer.trailers, None, "{answer:?}");
    assert_eq!(answer.body, b"", "{answer:?}");
    assert_eq!(answer.field("content-type"), Some("application/grpc+proto"));
    let (code, message) = status(answer);
    assert!(!message.is_empty(), "{answer:?}");
    code
}

/// The access log's only line: its status of gRPC and its failure.
fn logged(gateway: &Gateway) -> (serde_json::Value, serde_json::Value) {
    let line = gateway.access_line();
    assert_eq!(line["status"], 200, "{line}");
    (line["grpc_status"].clone(), line["failure"].clone())
}

/// What the access log says of the last call of that method.
fn last_failure(gateway: &Gateway, method: &str) -> serde_json::Value {
    let mut found = None;
    eventually(PATIENCE, || {
        let lines = gateway.access_log(0);
        found = lines.into_iter().rfind(|line| line["path"] == method);
        found.is_some()
    });
    found.expect("a line")["failure"].clone()
}

fn calls(gateway: &Gateway, status: &str) -> u64 {
    let metrics = Scrape::of(gateway);
    metrics.sum("ringway_grpc_calls_total", &[("grpc_status", status)])
}

#[test]
fn a_unary_call_passes_with_metadata_and_trailers() {
    let origin = origin();
    let gateway = before(&origin);
    let mut client = H2Client::connect(gateway.addr());
    let fields = [GRPC, &[("x-meta", "one"), ("x-meta-bin", "AAE=")]].concat();
    let answer = client.ask("/t.S/Unary", &fields, &message(b"hello"));
    assert_eq!(status(&answer), ("0", ""));
    assert_eq!(answer.body, message(b"hello"));
    assert_eq!(answer.field("content-type"), Some("application/grpc+proto"));
    assert_eq!(answer.field("x-own"), Some("1"));
    let told = answer.trailers.expect("trailers");
    assert_eq!((told["grpc-status"].as_bytes(), told["x-sum"].as_bytes()), (&b"0"[..], &b"7"[..]));
    let heard = origin.only();
    assert_eq!((&*heard.method, &*heard.uri), ("POST", "http://a.test/t.S/Unary"));
    assert_eq!(heard.headers["te"], "trailers");
    assert_eq!(heard.headers["content-type"], "application/grpc+proto");
    assert_eq!(heard.headers["x-meta"], "one");
    assert_eq!(heard.headers["x-meta-bin"], "AAE=");
    assert_eq!(logged(&gateway).0, 0);
    assert_eq!(calls(&gateway, "OK"), 1);
}

#[test]
fn statuses_of_the_upstream_pass_logged_and_counted() {
    let origin = origin();
    let gateway = before(&origin);
    let mut client = H2Client::connect(gateway.addr());
    let answer = client.ask("/t.S/Only", GRPC, &message(b""));
    assert_eq!((status(&answer), &answer.trailers), (("5", "no%20such thing"), &None));
    let answer = client.ask("/t.S/Wrong", GRPC, &message(b""));
    assert_eq!((status(&answer), &answer.body), (("9", ""), &message(b"half")));
    let lines = gateway.access_log(2);
    assert_eq!((&lines[0]["grpc_status"], &lines[1]["grpc_status"]), (&5.into(), &9.into()));
    assert_eq!((calls(&gateway, "NOT_FOUND"), calls(&gateway, "FAILED_PRECONDITION")), (1, 1));
    assert_eq!(calls(&gateway, "OK"), 0);
}

#[test]
fn an_answer_without_a_status_is_counted_as_clients_take_it() {
    let origin = origin();
    let gateway = before(&origin);
    let mut client = H2Client::connect(gateway.addr());
    let answer = client.ask("/t.S/Proxy", GRPC, &message(b""));
    assert_eq!((answer.status, &*answer.body), (503, &b"<p>overloaded"[..]));
    assert_eq!(answer.field("content-type"), Some("text/html"));
    client.ask("/t.S/NoStatus", GRPC, &message(b""));
    let lines = gateway.access_log(2);
    assert_eq!((&lines[0]["grpc_status"], &lines[1]["grpc_status"]), (&14.into(), &2.into()));
    assert_eq!((calls(&gateway, "UNAVAILABLE"), calls(&gateway, "UNKNOWN")), (1, 1));
}

#[test]
fn a_servers_messages_arrive_as_they_are_sent() {
    let (origin, taken) = in_turns();
    let gateway = before(&origin);
    let mut client = H2Client::connect(gateway.addr());
    let mut call = client.open("POST", "/t.S/Stream", GRPC, false);
    client.send(&mut call, &message(b"go"), true);
    let head = client.head(&mut call).expect("a head");
    for nth in 0..4 {
        // The next is sent only once this one has come.
        assert_eq!(client.exactly(&mut call, 8), message(&[nth; 3]));
        taken.fetch_add(1, Ordering::SeqCst);
    }
    assert_eq!(status(&client.rest(&mut call, head)), ("0", ""));
}

#[test]
fn a_clients_messages_arrive_whole_and_in_order() {
    let origin = origin();
    let gateway = before(&origin);
    let mut client = H2Client::connect(gateway.addr());
    let mut call = client.open("POST", "/t.S/Collect", GRPC, false);
    let messages: Vec<_> = (0..20).map(|nth| message(&pattern(nth * 1_000))).collect();
    for one in &messages {
        client.send(&mut call, one, false);
    }
    client.send(&mut call, b"", true);
    let answer = client.answer(&mut call);
    assert_eq!(status(&answer), ("0", ""));
    assert!(answer.body == messages.concat());
    assert!(origin.only().body == messages.concat());
}

#[test]
fn both_sides_talk_in_turns_on_one_stream() {
    let origin = origin();
    let gateway = before(&origin);
    let mut client = H2Client::connect(gateway.addr());
    let mut call = client.open("POST", "/t.S/Bidi", GRPC, false);
    // The head comes before the first message is sent.
    let head = client.head(&mut call).expect("a head");
    for nth in 0..50 {
        let said = message(&pattern(nth * 37));
        client.send(&mut call, &said, false);
        assert!(client.exactly(&mut call, said.len()) == said, "turn {nth}");
    }
    client.send(&mut call, b"", true);
    assert_eq!(status(&client.rest(&mut call, head)), ("0", ""));
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_call_in_which_the_client_rests_goes_on() {
    let origin = origin();
    let body = "timeouts = { body = \"500ms\" }";
    let config =
        config("", origin.addr).replace("[upstreams.app]", &format!("{body}\n[upstreams.app]"));
    let gateway = Gateway::start(&config);
    let mut client = H2Client::connect(gateway.addr());
    let until = Instant::now() + PATIENCE;
    let (mut call, head) = loop {
        let mut call = client.open("POST", "/t.S/Bidi", GRPC, false);
        let head = client.head(&mut call).expect("a head");
        // The origin may be slower than the client may be: it has had its time then.
        if !head.headers.contains_key("grpc-status") {
            break (call, head);
        }
        assert!(Instant::now() < until, "no call is answered");
    };
    for _ in 0..2 {
        client.idle(ms(1_000));
        client.send(&mut call, &message(b"still here"), false);
        assert_eq!(client.exactly(&mut call, 15), message(b"still here"));
    }
    client.send(&mut call, b"", true);
    assert_eq!(status(&client.rest(&mut call, head)), ("0", ""));
    // One that has no answer yet is late.
    let mut call = client.open("POST", "/t.S/Collect", GRPC, false);
    client.send(&mut call, &message(b"x"), false);
    assert_eq!(only(&client.answer(&mut call)), "4");
    assert_eq!(last_failure(&gateway, "/t.S/Collect"), "client_stalled");
}

#[test]
fn the_answer_is_awaited_from_the_end_of_the_upload_on() {
    let origin = origin();
    let gateway = Gateway::start(&config("timeouts = { first_byte = \"500ms\" }", origin.addr));
    let mut client = H2Client::connect(gateway.addr());
    // A busy origin may take its time, too; were the upload's counted, none would ever be in time.
    let in_time = eventually(PATIENCE, || {
        let mut call = client.open("POST", "/t.S/Collect", GRPC, false);
        for _ in 0..8 {
            client.send(&mut call, &message(b"slow"), false);
            client.idle(ms(80));
        }
        client.send(&mut call, b"", true);
        let answer = client.answer(&mut call);
        matches!(status(&answer).0, "0")
    });
    assert!(in_time, "the time of the upload is counted");
    let mut call = client.open("POST", "/t.S/Silent", GRPC, false);
    client.send(&mut call, &message(b"slow"), false);
    client.idle(ms(700));
    let began = Instant::now();
    client.send(&mut call, b"", true);
    assert_eq!(only(&client.answer(&mut call)), "4");
    assert!(began.elapsed() > ms(400), "{:?}", began.elapsed());
    assert_eq!(last_failure(&gateway, "/t.S/Silent"), "upstream_first_byte_timeout");
}

#[test]
fn our_failures_are_told_in_the_fields_of_grpc() {
    let closed: SocketAddr = ([127, 0, 0, 1], crate::kit::free_port()).into();
    let gateway = Gateway::start(&config("", closed));
    let mut client = H2Client::connect(gateway.addr());
    assert_eq!(only(&client.ask("/t.S/Unary", GRPC, &message(b"x"))), "14");
    assert_eq!(logged(&gateway), (14.into(), "upstream_connect".into()));
    assert_eq!(calls(&gateway, "UNAVAILABLE"), 1);
    // A failure that is no gRPC call's stays HTTP's.
    let answer = client.ask("/", &[("content-type", "application/grpcx")], b"x");
    assert_eq!((answer.status, answer.field("grpc-status")), (502, None));

    let origin = origin();
    let known = config("", origin.addr).replace("$default", "POST /t.S/Unary");
    let gateway = Gateway::start(&known);
    let mut client = H2Client::connect(gateway.addr());
    assert_eq!(only(&client.ask("/t.S/Nowhere", GRPC, &message(b"x"))), "12");
    assert_eq!(logged(&gateway).0, 12);
    assert_eq!(calls(&gateway, "UNIMPLEMENTED"), 1);
}

#[test]
fn a_body_beyond_the_routes_limit_is_resource_exhausted() {
    let origin = origin();
    let gateway = Gateway::start(&format!("{}body_max = \"1KiB\"\n", config("", origin.addr)));
    let mut client = H2Client::connect(gateway.addr());
    let declared = [GRPC, &[("content-length", "2005")]].concat();
    let big = message(&pattern(2_000));
    assert_eq!(only(&client.ask("/t.S/Unary", &declared, &big)), "8");
    assert_eq!(only(&client.ask("/t.S/Unary", GRPC, &big)), "8");
    let mut call = client.open("POST", "/t.S/Unary", GRPC, false);
    client.send(&mut call, &big[..1_000], false);
    client.idle(ms(50));
    client.send(&mut call, &big[1_000..], false);
    assert_eq!(only(&client.answer(&mut call)), "8");
    assert_eq!(status(&client.ask("/t.S/Unary", GRPC, &message(b"x"))), ("0", ""));
    assert_eq!(calls(&gateway, "RESOURCE_EXHAUSTED"), 3);
}

#[test]
fn an_upstream_that_does_not_answer_in_time_is_deadline_exceeded() {
    let origin = origin();
    let config = config("timeouts = { first_byte = \"500ms\" }", origin.addr);
    let gateway = Gateway::start(&config);
    let mut client = H2Client::connect(gateway.addr());
    assert_eq!(only(&client.ask("/t.S/Silent", GRPC, &message(b"x"))), "4");
    assert_eq!(logged(&gateway), (4.into(), "upstream_first_byte_timeout".into()));
    assert!(origin.reset().is_some());
}

#[test]
fn an_upstream_that_is_cut_in_the_middle_is_told_in_trailers() {
    let origin = origin();
    let gateway = before(&origin);
    let mut client = H2Client::connect(gateway.addr());
    let answer = client.ask("/t.S/Cut", GRPC, &message(b"x"));
    let (code, told) = status(&answer);
    assert_eq!((code, &answer.body), ("14", &message(b"one")));
    assert!(!told.is_empty() && answer.trailers.is_some());
    assert_eq!(logged(&gateway), (14.into(), "upstream_cut".into()));
    // While the client still sends.
    let mut call = client.open("POST", "/t.S/Cut", GRPC, false);
    client.send(&mut call, &message(b"x"), false);
    assert_eq!(status(&client.answer(&mut call)).0, "14");
    assert_eq!(calls(&gateway, "UNAVAILABLE"), 2);
}

#[test]
fn a_call_ends_when_its_client_has_said_it_would() {
    let origin = origin();
    let gateway = before(&origin);
    let mut client = H2Client::connect(gateway.addr());
    // The connection to the origin is there before any time runs.
    assert_eq!(status(&client.ask("/t.S/Unary", GRPC, &message(b"warm"))), ("0", ""));
    let fields = [GRPC, &[("grpc-timeout", "1500m")]].concat();
    // Silent from the start; after the first message; while the client has more to say.
    let kinds =
        [("/t.S/Silent", true), ("/t.S/Hold", true), ("/t.S/Silent", false), ("/t.S/Hold", false)];
    let began = Instant::now();
    let mut open = kinds.map(|(path, last)| {
        let mut call = client.open("POST", path, &fields, false);
        client.send(&mut call, &message(b"x"), last);
        call
    });
    for (call, (path, last)) in open.iter_mut().zip(kinds) {
        let answer = client.answer(call);
        assert_eq!(status(&answer).0, "4", "{path} {last}");
        // What had come until then is passed on; a busy origin may not have come to it.
        let one = message(b"one");
        assert!(answer.body.is_empty() || path == "/t.S/Hold" && answer.body == one, "{answer:?}");
        assert!(began.elapsed() > ms(1_400), "{path} {last}: {:?}", began.elapsed());
    }
    let resets = || origin.seen.resets.lock().expect("no script panics").len();
    assert!(eventually(PATIENCE, || resets() == 4), "{} of 4 are reset upstream", resets());
    assert_eq!(calls(&gateway, "DEADLINE_EXCEEDED"), 4);
    for line in &gateway.access_log(5)[1..] {
        assert_eq!(
            (&line["grpc_status"], &line["failure"]),
            (&4.into(), &"upstream_total_timeout".into())
        );
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_client_that_cancels_cancels_at_the_upstream() {
    let origin = origin();
    let gateway = before(&origin);
    let mut client = H2Client::connect(gateway.addr());
    for (nth, path) in ["/t.S/Silent", "/t.S/Hold"].into_iter().enumerate() {
        let mut call = client.open("POST", path, GRPC, false);
        client.send(&mut call, &message(b"x"), false);
        let accepted = || origin.seen.accepted.load(Ordering::SeqCst);
        assert!(eventually(PATIENCE, || accepted() == nth + 1));
        client.reset(&mut call, Reason::CANCEL);
        let resets = || origin.seen.resets.lock().expect("no script panics").clone();
        assert!(eventually(PATIENCE, || resets().len() == nth + 1), "{path}");
        assert_eq!(resets()[nth], Reason::CANCEL);
    }
    assert!(eventually(PATIENCE, || calls(&gateway, "CANCELLED") == 2));
    for line in gateway.access_log(2) {
        assert_eq!((&line["grpc_status"], &line["failure"]), (&1.into(), &"client_gone".into()));
    }
}

/// Both ends by gRPC's own library, the gateway of this configuration in between.
fn pair(start: impl FnOnce(SocketAddr) -> Gateway, authority: &str) {
    let Some((pair, origin)) = python_pair("grpc_pair.py", "grpc") else { return };
    let gateway = start(origin);
    let authority = gateway.path(authority);
    let authority = if authority.is_file() { authority } else { PathBuf::new() };
    let port = gateway.addr().port();
    python_pair_passes(pair, &format!("{port} {}", authority.display()));
    let streams = || Scrape::of(&gateway).sum("ringway_upstream_streams_active", &[]);
    assert!(eventually(PATIENCE, || streams() == 0), "{} streams", streams());
}

#[test]
fn the_grpc_library_sees_no_difference() {
    pair(|origin| Gateway::start(&config("", origin)), "none");
}

#[test]
fn the_grpc_library_sees_none_over_tls_either() {
    let authority = Authority::new("ours");
    let dir = tempfile::tempdir().expect("a directory");
    authority.write(dir.path(), "ca.pem");
    authority.issue(&["a.test"]).write(dir.path(), "a");
    let tls = "[listeners.web.tls]\ncertificates = [{ cert = \"a.pem\", key = \"a.key\" }]\n";
    let start = |origin| {
        let config = format!("{ADMIN}{}", with(tls, "protocol = \"h2\"", origin));
        Gateway::start_in(dir, &config)
    };
    pair(start, "ca.pem");
}

// === gRPC-Web ===

const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn to_text(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for three in bytes.chunks(3) {
        let at = |nth: usize| u32::from(three.get(nth).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for nth in 0..4 {
            let letter = usize::try_from(bits >> (18 - 6 * nth) & 63).expect("six bits");
            text.push(if nth as usize > three.len() { b'=' } else { ALPHABET[letter] });
        }
    }
    text
}

/// Padding may stand behind any part.
fn of_text(text: &[u8]) -> Vec<u8> {
    assert_eq!(text.len() % 4, 0, "{} letters", text.len());
    let mut bytes = Vec::new();
    for four in text.chunks(4) {
        let value = |b: &u8| ALPHABET.iter().position(|letter| letter == b).unwrap_or(0);
        let bits = four.iter().fold(0, |bits, b| bits << 6 | value(b));
        let bits = u32::try_from(bits).expect("24 bits").to_be_bytes();
        let padding = four.iter().filter(|b| **b == b'=').count();
        bytes.extend(&bits[1..4 - padding]);
    }
    bytes
}

/// Frames with their flags.
fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [flag, a, b, c, d, rest @ ..] = bytes {
        let len = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        assert!(rest.len() >= len, "a frame of {len} has {} bytes", rest.len());
        frames.push((*flag, rest[..len].to_vec()));
        bytes = &rest[len..];
    }
    assert_eq!(bytes, b"", "behind the last frame");
    frames
}

/// Both clients' answers: content type and body.
fn ask_web(gateway: &Gateway, h2: bool, path: &str, kind: &str, body: &[u8]) -> (String, Vec<u8>) {
    let fields = [("content-type", kind), ("x-grpc-web", "1")];
    if h2 {
        let answer = H2Client::connect(gateway.addr()).ask(path, &fields, body);
        assert_eq!((answer.status, answer.broken, &answer.trailers), (200, None, &None));
        return (answer.field("content-type").unwrap_or_default().to_owned(), answer.body);
    }
    let mut client = gateway.client();
    let len = body.len();
    client.send(format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nX-Grpc-Web: 1\r\n\
         Content-Length: {len}\r\n\r\n"
    ));
    client.send(body);
    let response = client.response();
    assert_eq!((response.status, &*response.trailers), (200, &[][..]));
    (response.field("content-type").unwrap_or_default().to_owned(), response.body)
}

#[test]
fn browsers_get_the_trailers_as_the_last_frame() {
    let origin = origin();
    let gateway = before(&origin);
    for (kind, h2) in [(WEB, false), (WEB, true), (TEXT, false), (TEXT, true)] {
        for len in [0, 1, 5, 100_000, 1 << 20] {
            let payload = pattern(len);
            let sent = message(&payload);
            let body = if kind == TEXT { to_text(&sent) } else { sent.clone() };
            let (told, body) = ask_web(&gateway, h2, "/t.S/Unary", kind, &body);
            let body = if kind == TEXT { of_text(&body) } else { body };
            assert_eq!(told, kind);
            let got = frames(&body);
            assert_eq!(got.len(), 2, "{kind} {h2} {len}");
            assert!(got[0] == (0, payload), "{kind} {h2} {len}");
            assert_eq!(got[1], (0x80, b"grpc-status: 0\r\nx-sum: 7\r\n".to_vec()));
            let heard = origin.requests().pop().expect("it was heard");
            assert_eq!(heard.headers["content-type"], "application/grpc+proto");
            assert_eq!(heard.headers["te"], "trailers");
            assert!(heard.body == sent, "{kind} {h2} {len}: {} bytes", heard.body.len());
            if let Some(length) = heard.headers.get("content-length") {
                assert_eq!(length, &*sent.len().to_string());
            }
        }
    }
    assert_eq!(calls(&gateway, "OK"), 20);
}

#[test]
fn browsers_get_each_message_as_it_is_sent() {
    let (origin, taken) = in_turns();
    let gateway = before(&origin);
    let mut client = gateway.client();
    let body = to_text(&message(b"go"));
    client.send(format!(
        "POST /t.S/Stream HTTP/1.1\r\nHost: a\r\nContent-Type: {TEXT}\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    ));
    client.send(body);
    assert_eq!(client.head().expect("a head").field("content-type"), Some(TEXT));
    for nth in 0..4 {
        let Ok(Chunk::Data(data)) = client.chunk() else { panic!("no message {nth}") };
        assert_eq!(frames(&of_text(&data)), [(0, vec![nth; 3])], "as it was sent");
        taken.fetch_add(1, Ordering::SeqCst);
    }
    let Ok(Chunk::Data(data)) = client.chunk() else { panic!("no trailers") };
    assert_eq!(frames(&of_text(&data))[0].0, 0x80);
    assert!(matches!(client.chunk(), Ok(Chunk::Last(trailers)) if trailers.is_empty()));
}

/// A POST in base64, its body in these chunks.
fn in_chunks(gateway: &Gateway, chunks: &[&[u8]]) -> Response {
    let mut client: Client = gateway.client();
    client.send(format!(
        "POST /t.S/Unary HTTP/1.1\r\nHost: a\r\nContent-Type: {TEXT}\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    ));
    for chunk in chunks {
        client.send([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
        std::thread::sleep(ms(30));
    }
    client.send("0\r\n\r\n");
    client.response()
}

#[test]
fn base64_may_be_split_anywhere_and_padded_per_message() {
    let origin = origin();
    let gateway = before(&origin);
    let (one, two) = (message(b"split"), message(b"twice"));
    let text = [to_text(&one), to_text(&two)].concat();
    let whole: Vec<u8> = [one, two].concat();
    for at in [1, 2, 3, 4, 5, 13, text.len() - 1] {
        let response = in_chunks(&gateway, &[&text[..at], &text[at..]]);
        let got = frames(&of_text(&response.body));
        assert_eq!(got.len(), 3, "split at {at}: {got:?}");
        assert_eq!(origin.requests().pop().expect("it was heard").body, whole, "split at {at}");
    }
    let letters: Vec<&[u8]> = text.chunks(1).collect();
    assert_eq!(frames(&of_text(&in_chunks(&gateway, &letters).body)).len(), 3);
}

#[test]
fn base64_that_is_none_is_an_invalid_argument() {
    let origin = origin();
    let gateway = before(&origin);
    let (bad, short) = (&b"AAAA!AAA"[..], &b"AAAAAAA"[..]);
    let declared = |body: &[u8]| {
        let len = body.len();
        let mut client = gateway.client();
        client.send(format!(
            "POST /t.S/Unary HTTP/1.1\r\nHost: a\r\nContent-Type: {TEXT}\r\n\
             Content-Length: {len}\r\n\r\n"
        ));
        client.send(body).response()
    };
    let answers = [
        declared(bad),
        declared(short),
        in_chunks(&gateway, &[bad]),
        in_chunks(&gateway, &[short]),
        in_chunks(&gateway, &[b"AAAA", b"!AAA"]),
    ];
    for (nth, answer) in answers.iter().enumerate() {
        assert_eq!((answer.status, answer.field("grpc-status")), (200, Some("3")), "{nth}");
        assert_eq!(answer.field("content-type"), Some(TEXT));
    }
    for line in gateway.access_log(answers.len()) {
        assert_eq!((&line["grpc_status"], &line["failure"]), (&3.into(), &"bad_request".into()));
    }
    assert!(origin.requests().iter().all(|heard| heard.body != b"\0\0\0\0\0"), "taken for whole");
}

#[test]
fn browsers_learn_of_failures_before_and_after_the_head() {
    let origin = origin();
    let gateway = before(&origin);
    let hasty = Gateway::start(&config("timeouts = { first_byte = \"500ms\" }", origin.addr));
    for (kind, h2) in [(WEB, false), (WEB, true), (TEXT, false), (TEXT, true)] {
        let ask_of = |gateway, path| {
            let sent = message(b"x");
            let body = if kind == TEXT { to_text(&sent) } else { sent };
            let (told, body) = ask_web(gateway, h2, path, kind, &body);
            assert_eq!(told, kind);
            frames(&if kind == TEXT { of_text(&body) } else { body })
        };
        let ask = |path| ask_of(&gateway, path);
        assert_eq!(ask_of(&hasty, "/t.S/Silent"), [], "the head says it");
        assert_eq!(ask("/t.S/Only"), [], "the head says it");
        let got = ask("/t.S/NoStatus");
        assert_eq!(got[0], (0, b"alone".to_vec()));
        let got = ask("/t.S/Cut");
        assert_eq!(got[0], (0, b"one".to_vec()));
        assert!(got[1].1.starts_with(b"grpc-status: 14\r\ngrpc-message: "), "{got:?}");
    }
}

#[test]
fn a_message_that_is_cut_does_not_get_trailers_for_its_rest() {
    let origin = origin();
    let gateway = before(&origin);
    let fields = [("content-type", WEB)];
    let answer = H2Client::connect(gateway.addr()).ask("/t.S/CutInside", &fields, &message(b"x"));
    assert_eq!((&*answer.body, answer.broken.is_some()), (&message(b"one")[..6], true));
    let mut client = gateway.client();
    client.send(format!(
        "POST /t.S/CutInside HTTP/1.1\r\nHost: a\r\nContent-Type: {WEB}\r\n\
         Content-Length: 6\r\n\r\n"
    ));
    let broken = client.send(message(b"x")).try_response("POST").expect_err("it is cut");
    let came = broken.head.expect("a head");
    assert_eq!((came.status, came.body), (200, message(b"one")[..6].to_vec()));
    // Over HTTP/2 trailers are no bytes of the body.
    let answer = H2Client::connect(gateway.addr()).ask("/t.S/CutInside", GRPC, &message(b"x"));
    assert_eq!(status(&answer).0, "14");
    assert_eq!(calls(&gateway, "UNAVAILABLE"), 3);
}

#[test]
fn browsers_get_an_answer_that_is_not_grpc_as_it_is() {
    let origin = origin();
    let gateway = before(&origin);
    for kind in [WEB, TEXT] {
        let body = to_text(&message(b"xx"));
        let answer =
            H2Client::connect(gateway.addr()).ask("/t.S/Proxy", &[("content-type", kind)], &body);
        assert_eq!((answer.status, &*answer.body), (503, &b"<p>overloaded"[..]));
        assert_eq!(answer.field("content-type"), Some("text/html"));
    }
    assert_eq!(calls(&gateway, "UNAVAILABLE"), 2);
}
