//! Endpoints that speak HTTP/2: translated exactly, many requests on one connection, and no request
//! sent again that may have been processed.

use std::io::Write;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use h2::Reason;
use http::HeaderMap;

use crate::kit::gateway::{ADMIN, with};
use crate::kit::h2origin::{Exchange, Tap, Ways, pause, send};
use crate::kit::message::Chunk;
use crate::kit::tls::Authority;
use crate::kit::{
    Client, Conn, End, Gateway, H2Origin, Origin, PATIENCE, Scrape, eventually, ms, pattern,
};

/// One worker, so that it is known how many connections there should be.
const ONE: &str = "[gateway]\nworkers = 1\npin = false\n";

fn config(upstream: &str, origin: SocketAddr) -> String {
    let upstream = format!("protocol = \"h2\"\n{upstream}");
    format!("{ONE}{}", with("", &upstream, origin))
}

fn before(origin: &H2Origin) -> Gateway {
    Gateway::start(&config("", origin.addr))
}

/// What curl makes of it: status, body, and its exit code.
fn curl(gateway: &Gateway, args: &[&str]) -> (String, Vec<u8>, i32) {
    let url = format!("http://{}/some/path?q=1", gateway.addr());
    let output = Command::new("curl")
        .args(["-sS", "--max-time", "60", "--http2-prior-knowledge", "-w", "%{stderr}%{http_code}"])
        .args(args)
        .arg(url)
        .output()
        .expect("curl is installed");
    let status = String::from_utf8_lossy(&output.stderr).into_owned();
    (status, output.stdout, output.status.code().unwrap_or(-1))
}

#[test]
fn a_get_is_translated_and_so_is_its_answer() {
    let origin = H2Origin::start(Ways::default(), |mut exchange| async move {
        exchange.body().await;
        let mut stream = exchange.head(201, &[("x-own", "yes"), ("content-length", "5")]);
        send(&mut stream, b"hello", true).await;
    });
    let gateway = before(&origin);
    let response = gateway.ask(
        "GET /some/path?q=1 HTTP/1.1\r\nHost: a.test:81\r\nConnection: x-hop\r\nX-Hop: 1\r\n\
         X-Kept: one\r\nX-Kept: two\r\nCookie: a=1; b=2\r\n\r\n",
    );
    assert_eq!((response.status, &*response.text()), (201, "hello"));
    assert_eq!(response.field("content-length"), Some("5"));
    assert_eq!(response.field("x-own"), Some("yes"));
    assert_eq!(response.field("transfer-encoding"), None);
    let heard = origin.only();
    assert_eq!((&*heard.method, &*heard.uri), ("GET", "http://a.test:81/some/path?q=1"));
    let all = |name: &str| heard.headers.get_all(name).iter().count();
    assert_eq!((all("x-kept"), all("x-hop"), all("connection"), all("host")), (2, 0, 0, 0));
    assert_eq!((all("content-length"), all("transfer-encoding"), all("te")), (0, 0, 0));
    assert_eq!(heard.headers["cookie"], "a=1; b=2");
    let line = gateway.access_line();
    assert_eq!((&line["status"], &line["attempts"]), (&201.into(), &1.into()));
    let (status, body, code) = curl(&gateway, &[]);
    assert_eq!((&*status, &body[..], code), ("201", &b"hello"[..], 0));
    assert_eq!(origin.connections(), 1, "the connection is shared and kept");
}

#[test]
fn a_body_arrives_whole_with_its_length_if_that_is_known() {
    let origin = H2Origin::echo();
    let gateway = before(&origin);
    for len in [0, 1, 5_000, 300_000, 3_000_000] {
        let body = pattern(len);
        let mut client = gateway.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n"));
        client.send(&body);
        let response = client.response();
        assert!(response.body == body, "{len} bytes came back as {}", response.body.len());
        let heard = origin.requests().pop().expect("it was heard");
        assert_eq!(heard.headers["content-length"], len.to_string());
        assert!(heard.body == body);
    }
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(&pattern(300_000)).expect("a file");
    let path = format!("@{}", file.path().display());
    let (status, body, code) = curl(&gateway, &["--data-binary", &path]);
    assert_eq!((&*status, code), ("200", 0));
    assert!(body == pattern(300_000));
}

#[test]
fn a_chunked_body_has_no_length_and_trailers_pass_both_ways() {
    let origin = H2Origin::echo();
    let gateway = before(&origin);
    let mut client = gateway.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\
         Connection: te\r\n\r\n3\r\nabc\r\n",
    );
    std::thread::sleep(ms(50));
    client.send("2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n");
    let response = client.response();
    assert_eq!(response.text(), "abcde");
    assert_eq!(response.field("transfer-encoding"), Some("chunked"));
    assert_eq!(response.trailers, [("x-sum".to_owned(), "5".to_owned())]);
    let heard = origin.only();
    assert_eq!(heard.headers.get("content-length"), None);
    assert_eq!(heard.headers["te"], "trailers");
    assert_eq!(heard.trailers["x-sum"], "5");
}

#[test]
fn trailers_and_bodies_pass_between_two_sides_of_http_2() {
    let origin = H2Origin::start(Ways::default(), |mut exchange| async move {
        let (body, _) = exchange.body().await;
        let mut stream = exchange.head(200, &[("content-type", "application/grpc")]);
        send(&mut stream, &body, false).await;
        let trailers = HeaderMap::from_iter([(
            http::HeaderName::from_static("grpc-status"),
            http::HeaderValue::from_static("0"),
        )]);
        stream.send_trailers(trailers).expect("the stream is open");
    });
    let gateway = before(&origin);
    let (status, shown, code) =
        curl(&gateway, &["-D", "-", "-H", "te: trailers", "--data-binary", "0123456789"]);
    assert_eq!((&*status, code), ("200", 0));
    let shown = String::from_utf8(shown).expect("text");
    assert!(shown.contains("0123456789") && shown.contains("grpc-status: 0"), "{shown}");
    assert_eq!(origin.only().headers["te"], "trailers");
}

#[test]
fn both_directions_stream_at_once() {
    let origin = H2Origin::start(Ways::default(), |mut exchange| async move {
        let mut stream = exchange.head(200, &[]);
        while let Some(Ok(data)) = exchange.recv.data().await {
            let _ = exchange.recv.flow_control().release_capacity(data.len());
            send(&mut stream, &data, false).await;
        }
        send(&mut stream, b".", true).await;
    });
    let gateway = before(&origin);
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(client.head().expect("a head").status, 200);
    for nth in 0..20 {
        client.send(format!("3\r\n{nth:03}\r\n"));
        let back = client.chunk().expect("it comes back before more is sent");
        assert_eq!(back, Chunk::Data(format!("{nth:03}").into_bytes()));
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.chunk().expect("the end"), Chunk::Data(b".".to_vec()));
    assert_eq!(client.chunk().expect("the end"), Chunk::Last(Vec::new()));
}

#[test]
fn answers_without_a_body_have_none() {
    let origin = H2Origin::start(Ways::default(), |mut exchange| async move {
        exchange.body().await;
        match exchange.parts.uri.path() {
            "/204" => exchange.bare(204, &[]),
            "/304" => exchange.bare(304, &[("content-length", "7"), ("etag", "\"a\"")]),
            "/empty" => exchange.bare(200, &[]),
            // No END_STREAM on the head: an empty DATA frame follows.
            "/late" => exchange.answer(200, b"", None).await,
            _ => exchange.bare(200, &[("content-length", "7")]),
        }
    });
    let gateway = before(&origin);
    let mut client = gateway.client();
    for (method, path, status, length) in [
        ("GET", "/204", 204, None),
        ("GET", "/304", 304, Some("7")),
        ("GET", "/empty", 200, Some("0")),
        ("GET", "/late", 200, None),
        ("HEAD", "/", 200, Some("7")),
        ("HEAD", "/late", 200, None),
    ] {
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let response = client.response_to(method);
        assert_eq!((response.status, &*response.text()), (status, ""), "{path}");
        assert_eq!(response.field("content-length"), length, "{path}");
    }
}

#[test]
fn interim_answers_are_passed_on() {
    let origin = H2Origin::start(Ways::default(), |mut exchange| async move {
        let hint = http::Response::builder().status(103).header("link", "</a.css>");
        let hint = hint.body(()).expect("a valid head");
        exchange.respond.send_informational(hint).expect("the stream is open");
        pause(ms(30)).await;
        exchange.body().await;
        exchange.answer(200, b"then", None).await;
    });
    let gateway = before(&origin);
    let response = gateway.get("/");
    assert_eq!(response.text(), "then");
    assert_eq!(response.interim.len(), 1);
    assert_eq!(response.interim[0].status, 103);
    assert_eq!(response.interim[0].field("link"), Some("</a.css>"));
}

/// Answers once `go` is true.
fn holding(ways: Ways) -> (H2Origin, Arc<AtomicBool>) {
    let go = Arc::new(AtomicBool::new(false));
    let when = go.clone();
    let origin = H2Origin::start(ways, move |mut exchange| {
        let go = when.clone();
        async move {
            exchange.body().await;
            while !go.load(Ordering::SeqCst) {
                pause(ms(2)).await;
            }
            exchange.answer(200, b"held", None).await;
        }
    });
    (origin, go)
}

fn ask_all(gateway: &Gateway, count: usize) -> Vec<Client> {
    (0..count)
        .map(|_| {
            let mut client = gateway.client();
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            client
        })
        .collect()
}

#[test]
fn many_requests_at_once_share_one_connection_from_the_start() {
    let (origin, go) = holding(Ways::default());
    let gateway = before(&origin);
    let clients = ask_all(&gateway, 40);
    let most = || origin.seen.most.load(Ordering::SeqCst);
    assert!(eventually(PATIENCE, || most() == 40), "{} at once", most());
    go.store(true, Ordering::SeqCst);
    for mut client in clients {
        assert_eq!(client.response().text(), "held");
    }
    assert_eq!(origin.connections(), 1);
    let reused = gateway.access_log(40).iter().filter(|l| l["upstream_reused"] == true).count();
    assert_eq!(reused, 39);
}

#[test]
fn no_more_streams_are_opened_than_the_endpoint_allows() {
    let (origin, go) = holding(Ways { streams_max: Some(2), ..Ways::default() });
    let gateway = before(&origin);
    let clients = ask_all(&gateway, 7);
    assert!(eventually(PATIENCE, || origin.seen.streams.load(Ordering::SeqCst) == 7));
    assert_eq!(origin.connections(), 4, "seven requests, two a connection");
    go.store(true, Ordering::SeqCst);
    for mut client in clients {
        assert_eq!(client.response().text(), "held");
    }
    let attempts = gateway.access_log(7);
    assert!(attempts.iter().all(|line| line["attempts"] == 1), "none was refused: {attempts:?}");
}

#[test]
fn what_finds_no_stream_waits_for_one() {
    const CONNECTIONS: usize = 64;
    let (origin, go) = holding(Ways { streams_max: Some(1), ..Ways::default() });
    let keys = "concurrency = { queue_timeout = \"1m\" }";
    let gateway = Gateway::start(&config(keys, origin.addr));
    let clients = ask_all(&gateway, CONNECTIONS + 10);
    let streams = || origin.seen.streams.load(Ordering::SeqCst);
    assert!(eventually(PATIENCE, || streams() == CONNECTIONS), "{} at once", streams());
    std::thread::sleep(ms(100));
    assert_eq!((streams(), origin.connections()), (CONNECTIONS, CONNECTIONS));
    go.store(true, Ordering::SeqCst);
    for mut client in clients {
        assert_eq!(client.response().text(), "held");
    }
    assert_eq!(origin.connections(), CONNECTIONS);
}

#[test]
fn a_dial_that_fails_is_one_failure_however_many_wait_for_it() {
    let go = Arc::new(AtomicBool::new(false));
    let told = go.clone();
    let origin = Origin::scripted(move |conn| {
        conn.wait_for(&told);
        conn.reset();
    });
    let keys = "retry = { attempts = 1 }\nejection = { failures = 3 }\n\
                timeouts = { connect = \"5m\" }";
    let gateway = Gateway::start(&format!("{ADMIN}{}", config(keys, origin.addr)));
    let clients = ask_all(&gateway, 20);
    let wait = || Scrape::of(&gateway).sum("ringway_requests_in_flight", &[]);
    assert!(eventually(PATIENCE, || wait() == 20), "{} wait", wait());
    go.store(true, Ordering::SeqCst);
    for mut client in clients {
        assert_eq!(client.response().code(), "UPSTREAM_001");
    }
    let ejected = gateway.log_lines().iter().any(|line| line.contains("ejected"));
    assert!(!ejected, "{} dials", origin.connections());
    assert!(origin.connections() <= 2, "{} dials", origin.connections());
}

#[test]
fn a_connection_that_says_goaway_finishes_what_it_has_and_gets_no_more() {
    let go = Arc::new(AtomicBool::new(false));
    let when = go.clone();
    let origin = H2Origin::start(Ways::default(), move |mut exchange| {
        let go = when.clone();
        async move {
            exchange.body().await;
            if exchange.nth == 0 {
                let mut stream = exchange.head(200, &[]);
                send(&mut stream, b"begun, ", false).await;
                exchange.tap.set(Tap::Leave);
                while !go.load(Ordering::SeqCst) {
                    pause(ms(2)).await;
                }
                send(&mut stream, b"and done", true).await;
            } else {
                let name = format!("connection {}", exchange.connection);
                exchange.answer(200, name.as_bytes(), None).await;
            }
        }
    });
    let gateway = before(&origin);
    let mut first = gateway.client();
    first.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(first.head().expect("a head").status, 200);
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab";
    // Until its GOAWAY has come, the old one takes more.
    assert!(eventually(PATIENCE, || gateway.ask(post).text() == "connection 1"));
    for _ in 0..3 {
        assert_eq!(gateway.ask(post).text(), "connection 1");
    }
    go.store(true, Ordering::SeqCst);
    let mut body = Vec::new();
    while let Ok(Chunk::Data(data)) = first.chunk() {
        body.extend(data);
    }
    assert_eq!(String::from_utf8_lossy(&body), "begun, and done");
    assert_eq!(origin.connections(), 2);
    let open = || origin.seen.open.load(Ordering::SeqCst);
    assert!(eventually(PATIENCE, || open() == 1), "the old connection closes: {}", open());
}

#[test]
fn what_the_endpoint_refused_is_sent_again_whatever_the_method() {
    let origin = H2Origin::start(Ways::default(), |mut exchange| async move {
        if exchange.nth.is_multiple_of(2) {
            exchange.respond.send_reset(Reason::REFUSED_STREAM);
            return;
        }
        let (body, _) = exchange.body().await;
        exchange.answer(200, &body, None).await;
    });
    let gateway = before(&origin);
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab",
    ] {
        assert_eq!(gateway.ask(request).status, 200, "{request}");
    }
    assert!(gateway.access_log(2).iter().all(|line| line["attempts"] == 2));
    assert_eq!(origin.connections(), 1);
}

#[test]
fn what_may_have_been_processed_is_sent_again_only_if_idempotent() {
    let origin = H2Origin::start(Ways::default(), |mut exchange| async move {
        exchange.body().await;
        exchange.respond.send_reset(Reason::INTERNAL_ERROR);
    });
    let gateway = before(&origin);
    for (request, sent) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 2),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab", 1),
    ] {
        let before = origin.requests().len();
        let response = gateway.ask(request);
        assert_eq!((response.status, &*response.code()), (502, "UPSTREAM_006"));
        assert_eq!(origin.requests().len() - before, sent, "{request}");
    }
}

#[test]
fn an_answer_that_is_reset_midway_is_never_complete() {
    for fields in [&[][..], &[("content-length", "10")][..]] {
        let origin = H2Origin::start(Ways::default(), move |mut exchange| async move {
            exchange.body().await;
            let mut stream = exchange.head(200, fields);
            send(&mut stream, b"half", false).await;
            pause(ms(100)).await;
            stream.send_reset(Reason::INTERNAL_ERROR);
        });
        let gateway = before(&origin);
        let mut client = gateway.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let broken = client.try_response("GET").expect_err("the answer is cut");
        assert_ne!(broken.end, End::Open);
        assert_eq!(gateway.access_line()["failure"], "upstream_cut");
        let (_, body, code) = curl(&gateway, &[]);
        // RST_STREAM overtakes data that wait to be sent.
        assert!(b"half".starts_with(&body) && code == 92, "a stream error to an h2 client: {code}");
    }
}

#[test]
fn a_connection_that_breaks_cuts_the_answers_on_it_and_a_new_one_is_opened() {
    let origin = H2Origin::start(Ways::default(), |mut exchange| async move {
        exchange.body().await;
        match exchange.parts.uri.path() {
            "/cut" => exchange.tap.set(Tap::Cut),
            "/begun" => {
                let mut stream = exchange.head(200, &[]);
                send(&mut stream, b"begun", false).await;
                std::future::pending::<()>().await;
            }
            _ => exchange.answer(200, b"new", None).await,
        }
    });
    let gateway = Gateway::start(&config("retry = { attempts = 1 }", origin.addr));
    let mut begun: Vec<Client> = (0..3).map(|_| gateway.client()).collect();
    for client in &mut begun {
        client.send("GET /begun HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.head().expect("a head").status, 200);
    }
    assert_eq!(gateway.get("/cut").code(), "UPSTREAM_006");
    for mut client in begun {
        let (rest, end) = client.read_to_end();
        assert!(!rest.ends_with(b"0\r\n\r\n") && end != End::Open, "{end:?}");
    }
    assert_eq!(gateway.get("/").text(), "new");
    assert_eq!(origin.connections(), 2);
}

/// Frame by frame: what the crate on the other side would not do.
fn next_frame(conn: &mut Conn) -> Option<(u8, u8, u32)> {
    while conn.buf.len() < 9 {
        conn.more().ok().filter(|n| *n > 0)?;
    }
    let len =
        usize::from(conn.buf[0]) << 16 | usize::from(conn.buf[1]) << 8 | usize::from(conn.buf[2]);
    while conn.buf.len() < 9 + len {
        conn.more().ok().filter(|n| *n > 0)?;
    }
    let frame: Vec<u8> = conn.buf.drain(..9 + len).collect();
    let stream = u32::from_be_bytes([frame[5], frame[6], frame[7], frame[8]]);
    Some((frame[3], frame[4], stream))
}

#[test]
fn a_request_above_the_last_stream_of_a_goaway_is_sent_again_whatever_its_method() {
    const PREFACE: usize = 24;
    let origin = Origin::scripted(|conn| {
        while conn.buf.len() < PREFACE {
            if conn.more().is_err() {
                return;
            }
        }
        conn.buf.drain(..PREFACE);
        // SETTINGS, empty.
        conn.send([0, 0, 0, 4, 0, 0, 0, 0, 0]);
        while let Some((kind, _, stream)) = next_frame(conn) {
            if kind != 1 {
                continue;
            }
            if conn.nth == 0 {
                // GOAWAY, the last stream processed is none, NO_ERROR.
                conn.send([0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
                return;
            }
            let id = stream.to_be_bytes();
            // HEADERS with END_STREAM and END_HEADERS; 0x88 is `:status: 200`.
            conn.send([0, 0, 1, 1, 5, id[0], id[1], id[2], id[3], 0x88]);
        }
    });
    let gateway = Gateway::start(&config("", origin.addr));
    let answer = gateway.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab");
    assert_eq!(answer.status, 200);
    assert_eq!(gateway.access_line()["attempts"], 2);
    assert_eq!(origin.connections(), 2);
}

/// Notes when the stream is reset, having sent `begun`.
fn waiting(begun: bool) -> H2Origin {
    H2Origin::start(Ways::default(), move |mut exchange: Exchange| async move {
        if exchange.parts.uri.path() == "/quick" {
            return exchange.answer(200, b"quick", None).await;
        }
        let mut stream = None;
        if begun {
            let mut open = exchange.head(200, &[]);
            send(&mut open, b"begun", false).await;
            stream = Some(open);
        }
        match &mut stream {
            Some(stream) => exchange.gone_while(stream).await,
            None => exchange.gone().await,
        }
    })
}

#[test]
fn a_client_that_leaves_has_its_stream_reset_and_the_connection_stays() {
    for begun in [false, true] {
        let origin = waiting(begun);
        let gateway = before(&origin);
        assert_eq!(gateway.get("/quick").text(), "quick");
        let mut client = gateway.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let accepted = || origin.seen.accepted.load(Ordering::SeqCst);
        assert!(eventually(PATIENCE, || accepted() == 2));
        drop(client);
        assert_eq!(origin.reset(), Some(Reason::CANCEL), "begun: {begun}");
        assert_eq!(gateway.get("/quick").text(), "quick");
        assert_eq!(origin.connections(), 1);
    }
}

#[test]
fn a_client_that_leaves_in_its_body_has_its_stream_reset() {
    let origin = waiting(false);
    let gateway = before(&origin);
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    assert!(eventually(PATIENCE, || origin.seen.streams.load(Ordering::SeqCst) == 1));
    drop(client);
    assert_eq!(origin.reset(), Some(Reason::CANCEL));
}

#[test]
fn an_early_answer_ends_the_upload_and_nothing_else() {
    let origin = H2Origin::start(Ways::default(), |mut exchange| async move {
        exchange.answer(413, b"too much", None).await;
    });
    let gateway = before(&origin);
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n");
    let _ = client.try_send(pattern(100_000));
    let response = client.response();
    assert_eq!((response.status, &*response.text()), (413, "too much"));
    assert_eq!(gateway.get("/").status, 413);
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_slow_endpoint_slows_its_client() {
    let taken = Arc::new(AtomicBool::new(false));
    let when = taken.clone();
    let origin = H2Origin::start(Ways::default(), move |mut exchange| {
        let go = when.clone();
        async move {
            while !go.load(Ordering::SeqCst) {
                pause(ms(2)).await;
            }
            let (body, _) = exchange.body().await;
            exchange.answer(200, body.len().to_string().as_bytes(), None).await;
        }
    });
    let gateway = before(&origin);
    let body = pattern(8 << 20);
    let mut client = gateway.client();
    let mut sender = client.tcp.try_clone().expect("a socket");
    let len = body.len();
    let sent = Arc::new(AtomicBool::new(false));
    let all = sent.clone();
    let writer = std::thread::spawn(move || {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n");
        sender.write_all(head.as_bytes()).and_then(|()| sender.write_all(&body)).expect("it goes");
        all.store(true, Ordering::SeqCst);
    });
    std::thread::sleep(ms(400));
    assert!(!sent.load(Ordering::SeqCst), "the gateway swallowed 8 MiB nobody reads");
    taken.store(true, Ordering::SeqCst);
    assert_eq!(client.response().text(), len.to_string());
    writer.join().expect("all was sent");
}

#[test]
fn an_expectation_is_answered_here_and_the_body_then_sent() {
    let origin = H2Origin::echo();
    let gateway = before(&origin);
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(client.head().expect("an interim head").status, 100);
    client.send("hello");
    assert_eq!(client.response().text(), "hello");
    assert_eq!(origin.only().headers.get("expect"), None);
}

#[test]
fn a_storm_with_clients_that_leave_ends_with_nothing_open() {
    let origin = H2Origin::start(Ways::default(), |mut exchange| async move {
        let (body, _) = exchange.body().await;
        pause(ms(3)).await;
        exchange.answer(200, &body, None).await;
    });
    let config = config("", origin.addr);
    let gateway = Gateway::start(&format!("{ADMIN}{config}"));
    let addr = gateway.addr();
    let storm = (0..12).map(|thread| {
        std::thread::spawn(move || {
            for nth in 0..30 {
                let mut client = Client::connect(addr);
                let len = (thread * 31 + nth) * 97;
                client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n"));
                let body = pattern(len);
                match nth % 3 {
                    0 => drop(client.try_send(&body[..len / 2])),
                    1 => drop(client.try_send(&body)),
                    _ => assert!(client.send(&body).response().body == body),
                }
            }
        })
    });
    let storm: Vec<_> = storm.collect();
    storm.into_iter().for_each(|thread| thread.join().expect("every answer is right"));
    let streams = || origin.seen.streams.load(Ordering::SeqCst);
    assert!(eventually(PATIENCE, || streams() == 0), "{} streams", streams());
    assert_eq!(origin.connections(), 1);
    let metrics = || {
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        crate::kit::client::ask(gateway.admin(), request).text()
    };
    let says = |line: &str| eventually(PATIENCE, || metrics().contains(line));
    for line in [
        "ringway_upstream_streams_active{upstream=\"app\"} 0\n",
        "ringway_upstream_connections_shared{upstream=\"app\"} 1\n",
        "ringway_upstream_connections_idle{upstream=\"app\"} 1\n",
        "ringway_upstream_exchanges_active{upstream=\"app\"} 0\n",
        "ringway_upstream_connects_total{upstream=\"app\"} 1\n",
    ] {
        assert!(says(line), "no {line} in\n{}", metrics());
    }
}

#[test]
fn a_drain_lets_streams_end_and_says_goodbye() {
    let (origin, go) = holding(Ways::default());
    let gateway = before(&origin);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(eventually(PATIENCE, || origin.seen.streams.load(Ordering::SeqCst) == 1));
    let ending = std::thread::spawn(move || gateway.terminate());
    std::thread::sleep(ms(200));
    go.store(true, Ordering::SeqCst);
    assert_eq!(client.response().text(), "held");
    assert!(ending.join().expect("it ends").success());
}

#[test]
fn trailers_that_would_mean_something_are_left_out() {
    let origin = H2Origin::start(Ways::default(), |mut exchange| async move {
        exchange.body().await;
        let mut stream = exchange.head(200, &[]);
        send(&mut stream, b"body", false).await;
        let mut trailers = HeaderMap::new();
        for (name, value) in [("content-length", "9"), ("x-sum", "1"), ("set-cookie", "a=1")] {
            trailers.insert(name, http::HeaderValue::from_static(value));
        }
        stream.send_trailers(trailers).expect("the stream is open");
    });
    let gateway = before(&origin);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: te\r\n\r\n");
    assert_eq!(client.response().trailers, [("x-sum".to_owned(), "1".to_owned())]);
}

#[test]
fn a_reload_keeps_the_connection_of_an_upstream_that_stays() {
    let origin = H2Origin::echo();
    let mut gateway = before(&origin);
    assert_eq!(gateway.get("/").status, 200);
    let other = config("timeouts = { idle = \"33s\" }", origin.addr);
    for config in [config("", origin.addr), other] {
        let said = gateway.reload(&config);
        assert!(said.contains("reloaded: "), "{said}");
        assert_eq!(gateway.get("/").status, 200);
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn an_endpoint_that_is_gone_loses_its_connection_once_its_requests_have_ended() {
    let (origin, go) = holding(Ways::default());
    let next = H2Origin::echo();
    let mut gateway = before(&origin);
    let mut held = gateway.client();
    held.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(eventually(PATIENCE, || origin.seen.streams.load(Ordering::SeqCst) == 1));
    let said = gateway.reload(&config("", next.addr));
    assert!(said.contains("reloaded: "), "{said}");
    assert_eq!(gateway.get("/").text(), "");
    assert_eq!((origin.connections(), next.connections()), (1, 1));
    go.store(true, Ordering::SeqCst);
    assert_eq!(held.response().text(), "held");
    let open = || origin.seen.open.load(Ordering::SeqCst);
    assert!(eventually(PATIENCE, || open() == 0), "it stays open");
}

#[test]
fn an_idle_connection_closes_after_its_time_and_a_spent_one_after_its_requests() {
    let origin = H2Origin::echo();
    let gateway = Gateway::start(&config("pool = { idle_timeout = \"200ms\" }", origin.addr));
    assert_eq!(gateway.get("/").status, 200);
    let open = || origin.seen.open.load(Ordering::SeqCst);
    assert!(eventually(PATIENCE, || open() == 0), "it stays open");
    assert_eq!(gateway.get("/").status, 200);
    assert_eq!(origin.connections(), 2);
    drop(gateway);
    let origin = H2Origin::echo();
    let gateway = Gateway::start(&config("pool = { requests_max = 2 }", origin.addr));
    (0..5).for_each(|_| assert_eq!(gateway.get("/").status, 200));
    assert_eq!(origin.connections(), 3);
}

#[test]
fn a_peer_that_died_is_noticed_and_its_requests_fail() {
    let origin = H2Origin::start(Ways::default(), |mut exchange| async move {
        exchange.body().await;
        if exchange.connection == 0 {
            exchange.tap.set(Tap::Silent);
            std::future::pending::<()>().await;
        }
        exchange.answer(200, b"alive", None).await;
    });
    let gateway = Gateway::start(&config("pool = { ping_interval = \"200ms\" }", origin.addr));
    let response = gateway.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab");
    assert_eq!((response.status, &*response.code()), (502, "UPSTREAM_006"));
    assert!(gateway.says("no sign of life"));
    // A busy origin may be late with its sign, too.
    assert!(eventually(PATIENCE, || gateway.get("/").text() == "alive"));
}

#[test]
fn an_answer_that_is_late_puts_its_connection_in_doubt() {
    let origin = || {
        H2Origin::start(Ways::default(), |mut exchange| async move {
            exchange.body().await;
            match exchange.parts.uri.path() {
                "/slow" => exchange.gone().await,
                "/dead" => {
                    exchange.tap.set(Tap::Silent);
                    std::future::pending::<()>().await;
                }
                _ => exchange.answer(200, b"alive", None).await,
            }
        })
    };
    let before = |origin: &H2Origin, interval: &str| {
        let late = "timeouts = { first_byte = \"300ms\" }";
        let upstream = format!("{late}\npool = {{ ping_interval = \"{interval}\" }}");
        Gateway::start(&config(&upstream, origin.addr))
    };
    let alive = |gateway: &Gateway, request: &str| {
        // What a busy origin answers may be late, too.
        eventually(PATIENCE, || gateway.ask(request).text() == "alive")
    };
    let dead =
        |gateway: &Gateway| gateway.log_lines().iter().any(|line| line.contains("no sign of life"));
    let (get, post) = (
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab",
    );
    let (slow, patient) = (origin(), "1h");
    let gateway = before(&slow, patient);
    assert_eq!(gateway.get("/slow").code(), "UPSTREAM_008");
    assert!(alive(&gateway, get));
    std::thread::sleep(ms(300));
    assert!(!dead(&gateway), "a slow answer is no dead peer");
    let open = || slow.seen.open.load(Ordering::SeqCst);
    assert!(eventually(PATIENCE, || open() == slow.connections()), "one was closed");
    // While one is in doubt nothing is risked on it, POSTs the least, and nothing waits for it.
    let began = Instant::now();
    assert_eq!(gateway.get("/dead").code(), "UPSTREAM_008");
    assert!(alive(&gateway, post));
    // However long the interval, a sign of life is given up after 15 s.
    assert!(!dead(&gateway) || began.elapsed() > ms(14_000), "it waited until that was known");
    let silent = origin();
    let gateway = before(&silent, "300ms");
    assert_eq!(gateway.get("/dead").code(), "UPSTREAM_008");
    assert!(eventually(PATIENCE, || dead(&gateway)), "it is never given up");
    assert!(alive(&gateway, post));
}

#[test]
fn an_endpoint_that_does_not_speak_http_2_gets_no_request() {
    let origin = Origin::named("h1");
    let gateway = Gateway::start(&config("", origin.addr));
    let response = gateway.get("/");
    assert_eq!((response.status, &*response.code()), (502, "UPSTREAM_001"));
    assert!(gateway.says("does not speak HTTP/2"));
    assert_eq!(gateway.access_line()["upstream"], "app");
}

/// A gateway in front of an upstream over TLS whose origin offers `alpn`.
fn over_tls(
    protocol: &str,
    alpn: &[&[u8]],
    h2: bool,
) -> (Gateway, Option<H2Origin>, Option<Origin>) {
    let authority = Authority::new("ours");
    let dir = tempfile::tempdir().expect("a directory");
    authority.write(dir.path(), "ca.pem");
    let own = authority.issue(&["o.test"]);
    let mut tls = (*authority.server(&own, false)).clone();
    tls.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let tls = Arc::new(tls);
    let (mut two, mut one) = (None, None);
    let addr = if h2 {
        let origin =
            H2Origin::start(Ways { tls: Some(tls), ..Ways::default() }, |mut e| async move {
                let (body, _) = e.body().await;
                e.answer(200, &body, None).await;
            });
        two.insert(origin).addr
    } else {
        let origin = Origin::tls(tls, |conn| conn.serve(&|_| crate::kit::origin::ok("h1")));
        one.insert(origin).addr
    };
    let upstream = format!(
        "protocol = \"{protocol}\"\nejection = {{ failures = 0 }}\n[upstreams.app.tls]\n\
         ca = \"ca.pem\"\nserver_name = \"o.test\""
    );
    let gateway = Gateway::start_in(dir, &format!("{ONE}{}", with("", &upstream, addr)));
    (gateway, two, one)
}

#[test]
fn over_tls_the_handshake_decides_or_must_agree() {
    let post = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nab";
    let both: &[&[u8]] = &[b"h2", b"http/1.1"];
    for protocol in ["h2", "auto"] {
        let (gateway, origin, _) = over_tls(protocol, both, true);
        (0..3).for_each(|_| assert_eq!(gateway.ask(post).text(), "ab"));
        let origin = origin.expect("it is one");
        assert_eq!(origin.connections(), 1);
        assert_eq!(origin.requests()[0].uri, "https://a.test/");
    }
    for alpn in [&[][..], &[&b"http/1.1"[..]][..]] {
        let (gateway, _, origin) = over_tls("auto", alpn, false);
        (0..3).for_each(|_| assert_eq!(gateway.ask(post).text(), "h1"));
        assert_eq!(origin.expect("it is one").connections(), 1, "kept as any HTTP/1.1 connection");
        let (gateway, _, origin) = over_tls("h2", alpn, false);
        let response = gateway.ask(post);
        assert_eq!((response.status, &*response.code()), (502, "UPSTREAM_010"));
        assert_eq!(origin.expect("it is one").count(), 0);
    }
}

#[test]
fn probes_speak_what_requests_do() {
    let origin = H2Origin::start(Ways::default(), |mut exchange| async move {
        exchange.body().await;
        let well = exchange.parts.uri.path() != "/healthz" || exchange.nth < 3;
        exchange.answer(if well { 200 } else { 503 }, b"", None).await;
    });
    let health = "health = { path = \"/healthz\", interval = \"2s\", timeout = \"2s\" }";
    let gateway = Gateway::start(&config(health, origin.addr));
    assert_eq!(gateway.get("/").status, 200);
    assert!(gateway.says("endpoint down: probes fail"));
    assert!(gateway.log_lines().iter().any(|line| line.contains("status 503")));
    let probe = origin.requests().into_iter().find(|heard| heard.uri.ends_with("/healthz"));
    let probe = probe.expect("it was asked");
    assert_eq!(probe.headers.get("connection"), None);
    assert_eq!(probe.uri, format!("http://{}/healthz", origin.addr));
}
