//! Connections that leave HTTP: only by the answer to what was asked, and both ways from then on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::kit::gateway::{ADMIN, with};
use crate::kit::origin::ok;
use crate::kit::system::{python_pair, python_pair_passes};
use crate::kit::tls::{Authority, connect};
use crate::kit::ws::{self, BINARY, CLOSE, TEXT, expect_goodbye, frame, receive, shake};
use crate::kit::{End, Gateway, Origin, PATIENCE, eventually, ms, pattern};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// One worker, so that a loop's turn is the same for all.
fn gateway(upstream: &str, origin: &Origin) -> Gateway {
    Gateway::start(&with("", upstream, origin.addr))
}

#[test]
fn a_websocket_opens_echoes_and_closes() {
    let origin = Origin::scripted(ws::echo);
    let gateway = Gateway::before(origin.addr);
    let mut client = gateway.client();
    let response = shake(&mut client, "/chat?x=1");
    assert_eq!((response.status, response.reason.as_str()), (101, "Switching Protocols"));
    assert_eq!(response.field("upgrade"), Some("websocket"));
    assert_eq!(response.field("connection"), Some("upgrade"));
    assert_eq!(response.field("sec-websocket-accept"), Some(ws::ACCEPT));
    assert_eq!(response.field("content-length"), None);
    let asked = origin.only();
    assert_eq!(asked.line, "GET /chat?x=1 HTTP/1.1");
    assert_eq!(asked.field("upgrade"), Some("websocket"));
    assert_eq!(asked.field("connection"), Some("upgrade"));
    assert_eq!(asked.field("sec-websocket-key"), Some(ws::KEY));
    for len in [0, 5, 125, 126, 4_000, 70_000] {
        let payload = pattern(len);
        client.send(frame(BINARY, &payload, true));
        let got = receive(&mut client);
        assert_eq!((got.opcode, got.masked), (BINARY, false));
        assert!(got.payload == payload, "{len} bytes");
    }
    client.send(frame(CLOSE, &1000_u16.to_be_bytes(), true));
    assert_eq!(receive(&mut client).code(), 1000);
    assert_eq!(client.end_within(PATIENCE), End::Fin);
    assert!(eventually(PATIENCE, || origin.open() == 0));
    let line = gateway.access_line();
    assert_eq!(line["status"], 101);
    assert_eq!(line["tunnel_end"], "upstream");
    assert_eq!(line["path"], "/chat");
    assert!(line["bytes_in"].as_u64() > Some(74_000), "{line}");
    assert!(line["bytes_out"].as_u64() > Some(74_000), "{line}");
}

#[test]
fn only_the_protocol_that_is_allowed_is_asked_for_and_h2c_never() {
    let origin = Origin::named("plain");
    let config = with("", "", origin.addr);
    let none = Gateway::start(&format!("{config}upgrade = []\n"));
    let asked = ws::handshake("/");
    assert_eq!(none.ask(&asked).text(), "plain");
    let some = Gateway::before(origin.addr);
    let h2c = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade, http2-settings\r\n\
               Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";
    assert_eq!(some.ask(h2c).text(), "plain");
    // With a body it is a plain request.
    let body = asked.replace("\r\n\r\n", "\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(some.ask(&body).text(), "plain");
    for request in origin.requests() {
        assert_eq!(request.field("upgrade"), None, "{request:?}");
        assert_eq!(request.field("http2-settings"), None, "{request:?}");
    }
    assert_eq!(origin.last().body, b"hi");
    let both = asked.replace("Upgrade: websocket", "Upgrade: h2c, WebSocket");
    assert_eq!(some.ask(&both).text(), "plain");
    assert_eq!(origin.last().field("upgrade"), Some("websocket"));
}

#[test]
fn a_handshake_without_a_key_of_16_bytes_is_refused() {
    let origin = Origin::scripted(ws::echo);
    let gateway = Gateway::before(origin.addr);
    for key in ["", "short==", "dGhlIHNhbXBsZSBub25jZSE="] {
        let response = gateway.ask(ws::handshake("/").replace(ws::KEY, key));
        assert_eq!((response.status, response.closes()), (400, true), "{key}");
    }
    assert_eq!(origin.count(), 0);
    assert_eq!(gateway.access_log(3)[0]["detail"], "websocket_key");
}

#[test]
fn a_101_that_does_not_answer_what_was_asked_is_a_502() {
    let wrong = [
        ("websocket_accept", ws::switching().replace("s3pP", "S3pP")),
        ("websocket_accept", ws::switching().replace("Sec-WebSocket-Accept", "X")),
        ("upgrade_protocol", ws::switching().replace("websocket", "chat")),
        ("upgrade_connection", ws::switching().replace("Connection: Upgrade\r\n", "")),
    ];
    for (detail, answer) in wrong {
        let origin = Origin::fixed(answer);
        let gateway = Gateway::before(origin.addr);
        let mut client = gateway.client();
        let response = client.send(ws::handshake("/")).response();
        assert_eq!((response.status, response.code().as_str()), (502, "UPSTREAM_007"));
        assert_eq!(gateway.access_line()["detail"], detail);
        assert!(eventually(PATIENCE, || origin.open() == 0), "the connection is not used again");
    }
}

#[test]
fn a_101_nobody_asked_for_is_a_502() {
    let origin = Origin::fixed(ws::switching());
    let gateway = Gateway::before(origin.addr);
    for request in [
        GET.to_owned(),
        ws::handshake("/").replace("Connection: keep-alive, Upgrade\r\n", ""),
        ws::handshake("/").replace("HTTP/1.1", "HTTP/1.0"),
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx".to_owned(),
    ] {
        let response = gateway.ask(&request);
        assert_eq!(response.status, 502, "{request}");
    }
}

#[test]
fn an_answer_other_than_101_is_http_and_the_connection_goes_on() {
    // CVE-2026-2833: what follows an upgrade that was not granted is another request.
    let origin = Origin::answering(|request| ok(request.target()));
    let gateway = Gateway::before(origin.addr);
    let mut client = gateway.client();
    let second = "GET /second HTTP/1.1\r\nHost: a\r\n\r\n";
    client.send(format!("{}{second}", ws::handshake("/first")));
    assert_eq!(client.response().text(), "/first");
    assert_eq!(client.response().text(), "/second");
    assert_eq!(client.send(ws::handshake("/third")).response().text(), "/third");
    assert_eq!(origin.connections(), 1);
    assert_eq!(origin.last().line, "GET /third HTTP/1.1");
}

#[test]
fn early_bytes_wait_for_the_101_and_both_sides_first_bytes_arrive() {
    let (go, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (wait, early) = (go.clone(), seen.clone());
    let origin = Origin::scripted(move |conn| {
        conn.request();
        let _ = conn.tcp.set_read_timeout(Some(ms(300)));
        early.store(conn.more().is_ok(), Ordering::SeqCst);
        let _ = conn.tcp.set_read_timeout(Some(PATIENCE));
        conn.wait_for(&wait);
        let hello = frame(TEXT, b"hello", false);
        conn.send([ws::switching().into_bytes(), hello].concat());
        let got = ws::receive_at(conn).expect("the early frame");
        conn.send(frame(TEXT, &got.payload, false));
        ws::receive_at(conn);
    });
    let gateway = Gateway::before(origin.addr);
    let mut client = gateway.client();
    let early = [ws::handshake("/").into_bytes(), frame(TEXT, b"early", true)].concat();
    client.send(early);
    std::thread::sleep(ms(400));
    assert!(!seen.load(Ordering::SeqCst), "frames went out before the 101");
    go.store(true, Ordering::SeqCst);
    assert_eq!(client.head().expect("a head").status, 101);
    assert_eq!(receive(&mut client).payload, b"hello");
    assert_eq!(receive(&mut client).payload, b"early");
}

#[test]
fn other_protocols_pass_any_bytes_and_half_closes() {
    let origin = Origin::scripted(|conn| {
        conn.request();
        conn.send("HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: echo/2\r\n\r\n");
        // Everything up to the client's FIN, and only then the answer.
        while conn.more().is_ok() {}
        let all = conn.buf.clone();
        conn.send(all);
    });
    let gateway = Gateway::start(&format!("{}upgrade = [\"echo/2\"]\n", with("", "", origin.addr)));
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: ECHO/2\r\n\r\n");
    let response = client.head().expect("a head");
    assert_eq!((response.status, response.field("upgrade")), (101, Some("echo/2")));
    let bytes = pattern(300_000);
    client.send(&bytes);
    client.finish();
    let (got, end) = client.read_to_end();
    assert!(got == bytes, "{} bytes", got.len());
    assert_eq!(end, End::Fin);
    assert_eq!(gateway.access_line()["tunnel_end"], "client");
}

#[test]
fn large_messages_pass_both_ways_at_the_readers_pace() {
    const SIZE: usize = 24 << 20;
    let origin = Origin::scripted(ws::echo);
    let gateway = Gateway::before(origin.addr);
    let before = gateway.memory();
    let mut client = ws::open(gateway.addr());
    client.receive_buffer(64 * 1024);
    let payload = pattern(SIZE);
    let bytes = frame(BINARY, &payload, true);
    let mut writer = client.tcp.try_clone().expect("a clone");
    let sending = std::thread::spawn(move || std::io::Write::write_all(&mut writer, &bytes));
    std::thread::sleep(ms(500));
    let grown = gateway.memory().saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes while the reader sleeps");
    let got = receive(&mut client);
    assert!(got.payload == payload);
    sending.join().expect("a thread").expect("all of it is taken");
}

#[test]
fn when_one_side_is_gone_the_other_is_told_at_once() {
    let origin = Origin::scripted(ws::echo);
    let gateway = Gateway::before(origin.addr);
    let client = ws::open(gateway.addr());
    client.reset();
    assert!(eventually(PATIENCE, || origin.open() == 0), "the upstream was not told");
    assert_eq!(gateway.access_log(1)[0]["tunnel_end"], "client_gone");

    let mut client = ws::open(gateway.addr());
    origin.hang_up();
    assert_ne!(client.end_within(PATIENCE), End::Open, "the client was not told");
    drop(client);
    let end = gateway.access_log(2)[1]["tunnel_end"].clone();
    assert!(end == "upstream" || end == "upstream_gone", "{end}");

    let reset = Origin::scripted(|conn| {
        conn.request();
        conn.send(ws::switching());
        ws::receive_at(conn);
        conn.reset();
    });
    let gateway = Gateway::before(reset.addr);
    let mut client = ws::open(gateway.addr());
    client.send(frame(TEXT, b"x", true));
    assert_eq!(client.end_within(PATIENCE), End::Reset, "a cut must not look like an end");
    assert_eq!(gateway.access_line()["tunnel_end"], "upstream_gone");
}

#[test]
fn a_silent_tunnel_ends_and_one_that_moves_does_not() {
    let origin = Origin::scripted(ws::echo);
    let gateway = gateway("timeouts = { tunnel_idle = \"600ms\" }", &origin);
    let mut open = None;
    // A busy client may be silent for too long, too; were its age what counts, none would stay.
    let stays = eventually(PATIENCE, || {
        let client = open.insert(ws::open(gateway.addr()));
        (0..6).all(|_| {
            std::thread::sleep(ms(150));
            let _ = client.try_send(frame(TEXT, b"x", true));
            receive(client).opcode == TEXT
        })
    });
    assert!(stays, "it ends though it moves");
    expect_goodbye(&mut open.expect("it stays"), 1001);
    assert!(eventually(PATIENCE, || origin.open() == 0));
    let idle = || gateway.access_log(1).iter().any(|line| line["tunnel_end"] == "idle");
    assert!(eventually(PATIENCE, idle), "{:#?}", gateway.access_log(1));
}

#[test]
fn a_tunnel_ends_when_its_lifetime_is_over() {
    let origin = Origin::scripted(ws::echo);
    let config = with("", "", origin.addr);
    let config = format!("{config}timeouts = {{ tunnel_lifetime = \"500ms\" }}\n");
    let gateway = Gateway::start(&config);
    let began = Instant::now();
    let mut client = ws::open(gateway.addr());
    let goodbye = loop {
        // It moves all the time.
        let _ = client.try_send(frame(TEXT, b"x", true));
        let got = receive(&mut client);
        if got.opcode == CLOSE {
            break got;
        }
        assert_eq!(got.payload, b"x");
        assert!(began.elapsed() < PATIENCE, "it goes on");
        std::thread::sleep(ms(20));
    };
    assert_eq!(goodbye.code(), 1001);
    assert!(began.elapsed() >= ms(450), "{:?}", began.elapsed());
    client.send(frame(CLOSE, &goodbye.payload, true));
    assert_eq!(client.end_within(PATIENCE), End::Fin);
    assert_eq!(gateway.access_line()["tunnel_end"], "lifetime");
}

#[test]
fn a_drain_says_goodbye_to_both_sides_between_frames() {
    let closed = Arc::new(AtomicBool::new(false));
    let told = closed.clone();
    let origin = Origin::scripted(move |conn| {
        conn.request();
        conn.send(ws::switching());
        let first = ws::receive_at(conn).expect("the frame that was under way");
        assert_eq!(first.payload, pattern(50_000));
        let close = ws::receive_at(conn).expect("a goodbye");
        assert!(close.masked && close.code() == 1001, "{close:?}");
        told.store(true, Ordering::SeqCst);
        conn.send(frame(CLOSE, &close.payload, false));
    });
    let mut gateway = Gateway::before(origin.addr);
    let mut client = ws::open(gateway.addr());
    let message = frame(BINARY, &pattern(50_000), true);
    client.send(&message[..20_000]);
    assert!(eventually(PATIENCE, || origin.bytes().len() >= 20_000), "it is under way");
    gateway.signal("TERM");
    assert!(gateway.says("draining"));
    std::thread::sleep(ms(200));
    assert!(!closed.load(Ordering::SeqCst), "a Close frame inside another frame");
    // More than the rest: what follows the frame under way is not passed on.
    client.send([&message[20_000..], &frame(TEXT, b"late", true)[..]].concat());
    expect_goodbye(&mut client, 1001);
    assert_eq!(gateway.await_end(PATIENCE).expect("it ends").code(), Some(0));
    assert!(closed.load(Ordering::SeqCst));
    assert_eq!(gateway.access_line()["tunnel_end"], "drain");
}

#[test]
fn a_drain_waits_for_nobody_longer_than_its_deadline_and_writes_the_line() {
    let origin = Origin::scripted(|conn| {
        conn.request();
        conn.send(ws::switching());
        while conn.more().is_ok() {}
    });
    let config = with("", "", origin.addr);
    let mut gateway =
        Gateway::start(&format!("[gateway]\nworkers = 1\ndrain_deadline = \"4s\"\n{config}"));
    let mut client = ws::open(gateway.addr());
    gateway.signal("TERM");
    assert_eq!(receive(&mut client).code(), 1001);
    let ended = gateway.await_end(PATIENCE).expect("it ends");
    assert_eq!(ended.code(), Some(0));
    assert_eq!(gateway.access_line()["tunnel_end"], "drain");
}

#[test]
fn reloads_leave_a_hundred_tunnels_alone() {
    let origin = Origin::scripted(ws::echo);
    let mut gateway = Gateway::before(origin.addr);
    let mut clients: Vec<_> = (0..100).map(|_| ws::open(gateway.addr())).collect();
    for round in 0..5 {
        gateway.reload(&with(
            &format!("connections_max = {}", 1000 + round),
            &format!("pool = {{ idle_max = {} }}", 100 + round),
            origin.addr,
        ));
        for client in &mut clients {
            client.send(frame(TEXT, b"still here", true));
        }
        for (nth, client) in clients.iter_mut().enumerate() {
            assert_eq!(receive(client).payload, b"still here", "round {round}, tunnel {nth}");
        }
    }
    assert_eq!(origin.connections(), 100);
}

#[test]
fn a_route_that_is_gone_takes_its_tunnels_with_it_and_no_other() {
    let origin = Origin::scripted(ws::echo);
    let more = "[apis.app.routes.\"GET /other\"]\nupstream = \"app\"\n";
    let config = with("", "", origin.addr);
    let mut gateway = Gateway::start(&format!("{config}{more}"));
    let mut stays = ws::open(gateway.addr());
    let mut goes = gateway.client();
    assert_eq!(shake(&mut goes, "/other").status, 101);
    gateway.reload(&config);
    expect_goodbye(&mut goes, 1001);
    stays.send(frame(TEXT, b"x", true));
    assert_eq!(receive(&mut stays).payload, b"x");
    assert_eq!(gateway.access_line()["tunnel_end"], "route_gone");
}

#[test]
fn tunnels_pass_through_tls_on_both_sides() {
    let authority = Authority::new("ours");
    let dir = tempfile::tempdir().expect("a directory");
    authority.write(dir.path(), "ca.pem");
    let own = authority.issue(&["a.test"]);
    own.write(dir.path(), "a");
    let origin = Origin::tls(authority.server(&authority.issue(&["o.test"]), false), ws::echo);
    let tls = "[listeners.web.tls]\ncertificates = [{ cert = \"a.pem\", key = \"a.key\" }]\n";
    let up = "tls = { ca = \"ca.pem\", server_name = \"o.test\" }";
    let mut gateway = Gateway::start_in(dir, &with(tls, up, origin.addr));
    let mut shaken = connect(gateway.addr(), authority.client(), "a.test").expect("a handshake");
    let client = &mut shaken.client;
    assert_eq!(shake(client, "/").status, 101);
    for len in [3, 16_384, 200_000] {
        let payload = pattern(len);
        client.send(frame(BINARY, &payload, true));
        assert!(receive(client).payload == payload, "{len} bytes");
    }
    gateway.signal("TERM");
    let close = receive(client);
    assert_eq!(close.code(), 1001);
    client.send(frame(CLOSE, &close.payload, true));
    assert_eq!(client.end_within(PATIENCE), End::Fin, "close_notify before the FIN");
    assert_eq!(gateway.await_end(PATIENCE).expect("it ends").code(), Some(0));
}

#[test]
fn counters_tell_of_tunnels_while_they_are_open() {
    let origin = Origin::scripted(ws::echo);
    let config = with("", "", origin.addr);
    let gateway = Gateway::start(&format!("{ADMIN}{config}"));
    let metric = |name: &str| {
        let asked = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let page = crate::kit::client::ask(gateway.admin(), asked).text();
        let line = page.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        line.rsplit(' ').next().and_then(|value| value.parse::<u64>().ok()).unwrap_or(0)
    };
    let mut client = ws::open(gateway.addr());
    let sent = frame(TEXT, b"hello", true);
    client.send(&sent);
    assert_eq!(receive(&mut client).payload, b"hello");
    let route = "{api=\"app\",route=\"$default\"";
    assert_eq!(metric(&format!("ringway_tunnels_open{route}")), 1);
    assert_eq!(metric(&format!("ringway_tunnels_opened_total{route}")), 1);
    let received = format!("ringway_tunnel_received_bytes_total{route}");
    assert!(eventually(PATIENCE, || metric(&received) == sent.len() as u64));
    let echoed = format!("ringway_tunnel_sent_bytes_total{route}");
    assert!(eventually(PATIENCE, || metric(&echoed) == 7));
    assert_eq!(metric(&format!("ringway_requests_total{route},status=\"101\"")), 1);
    assert_eq!(metric("ringway_connections_active"), 1);
    drop(client);
    let closed = format!("ringway_tunnels_closed_total{route},reason=\"client\"");
    assert!(eventually(PATIENCE, || metric(&closed) == 1));
    assert!(eventually(PATIENCE, || metric(&format!("ringway_tunnels_open{route}")) == 0));
}

#[test]
fn a_client_that_takes_nothing_does_not_hold_its_tunnel() {
    let origin = Origin::scripted(|conn| {
        conn.request();
        conn.send(ws::switching());
        let _ = conn.tcp.set_write_timeout(Some(PATIENCE * 3));
        conn.send(frame(BINARY, &vec![0; 64 << 20], false));
    });
    let config = with("timeouts = { write = \"400ms\" }", "", origin.addr);
    let gateway = Gateway::start(&config);
    let client = ws::open(gateway.addr());
    assert!(eventually(PATIENCE, || origin.open() == 0), "the upstream was not told");
    assert_eq!(gateway.access_line()["tunnel_end"], "stalled");
    drop(client);
}

#[test]
fn an_upstream_that_breaks_behind_a_slow_client_is_noticed() {
    let (go, gone) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (wait, done) = (go.clone(), gone.clone());
    let origin = Origin::scripted(move |conn| {
        conn.request();
        conn.send(ws::switching());
        conn.wait_for(&wait);
        conn.reset();
        done.store(true, Ordering::SeqCst);
    });
    let gateway = Gateway::before(origin.addr);
    let mut client = ws::open(gateway.addr());
    // The origin reads nothing: the way up is blocked in a send, and nobody reads from the client.
    let mut writer = client.tcp.try_clone().expect("a clone");
    let sending = std::thread::spawn(move || {
        let bytes = frame(BINARY, &vec![0; 64 << 20], true);
        let _ = std::io::Write::write_all(&mut writer, &bytes);
    });
    std::thread::sleep(ms(300));
    go.store(true, Ordering::SeqCst);
    assert!(eventually(PATIENCE, || gone.load(Ordering::SeqCst)));
    assert_ne!(client.end_within(PATIENCE), End::Open);
    sending.join().expect("the client's send ends");
}

/// Real clients and servers, where Python has the library.
#[test]
fn the_websockets_library_sees_no_difference() {
    let Some((pair, origin)) = python_pair("websocket_pair.py", "websockets.asyncio.server") else {
        return;
    };
    let gateway = Gateway::before(origin);
    python_pair_passes(pair, &gateway.addr().port().to_string());
}

#[test]
fn ten_upgrades_on_epoll_pass_bytes_and_end() {
    let origin = Origin::scripted(ws::echo);
    let config = with("", "", origin.addr);
    let gateway = Gateway::start(&format!("[gateway]\nworkers = 1\nio = \"epoll\"\n{config}"));
    for _ in 0..10 {
        let mut client = ws::open(gateway.addr());
        let payload = pattern(100_000);
        client.send(frame(BINARY, &payload, true));
        assert!(receive(&mut client).payload == payload);
    }
    assert!(eventually(PATIENCE, || origin.open() == 0));
    let mut client = ws::open(gateway.addr());
    gateway.signal("TERM");
    expect_goodbye(&mut client, 1001);
    assert_eq!(gateway.access_log(11).len(), 11);
}

#[test]
fn a_close_frame_from_a_peer_is_not_followed_by_one_of_ours() {
    let origin = Origin::scripted(|conn| {
        conn.request();
        conn.send([ws::switching().into_bytes(), frame(CLOSE, &[0x0f, 0xa0], false)].concat());
        let answer = ws::receive_at(conn);
        // The client answers late; the gateway has meanwhile been told to drain.
        assert!(answer.is_some_and(|answer| answer.opcode == CLOSE));
    });
    let gateway = Gateway::before(origin.addr);
    let mut client = ws::open(gateway.addr());
    assert_eq!(receive(&mut client).code(), 4000);
    gateway.signal("TERM");
    assert!(gateway.says("draining"));
    std::thread::sleep(ms(100));
    assert!(client.buf.is_empty());
    client.send(frame(CLOSE, &[0x0f, 0xa0], true));
    let (rest, end) = client.read_to_end();
    assert_eq!((rest.len(), end), (0, End::Fin), "a second Close frame");
}

/// A tunnel holds no buffer while nothing moves, on whatever side its bytes stopped.
#[test]
fn idle_tunnels_hold_no_buffers() {
    let origin = Origin::scripted(ws::echo);
    let gateway = Gateway::before(origin.addr);
    let warm: Vec<_> = (0..200).map(|_| ws::open(gateway.addr())).collect();
    drop(warm);
    assert!(eventually(PATIENCE, || origin.open() == 0));
    let before = gateway.memory();
    let mut clients: Vec<_> = (0..400).map(|_| ws::open(gateway.addr())).collect();
    for client in &mut clients {
        client.send(frame(TEXT, &pattern(10_000), true));
        assert_eq!(receive(client).payload.len(), 10_000);
    }
    let each = gateway.memory().saturating_sub(before) / 400;
    // A buffer is 24 KiB, and debug builds are generous with room.
    assert!(each < 8 * 1024, "{each} bytes each");
}

#[test]
fn other_protocols_go_on_while_the_process_drains_and_end_in_order_with_their_route() {
    let origin = Origin::scripted(|conn| {
        conn.request();
        conn.send("HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: echo/2\r\n\r\n");
        while conn.more().is_ok() {
            let bytes = std::mem::take(&mut conn.buf);
            conn.send(bytes);
        }
    });
    let config = with("", "", origin.addr);
    let more = "[apis.app.routes.\"GET /other\"]\nupstream = \"app\"\nupgrade = [\"echo/2\"]\n";
    let config = format!("{config}upgrade = [\"echo/2\"]\n");
    let mut gateway = Gateway::start(&format!("{config}{more}"));
    let ask = "Host: a\r\nConnection: upgrade\r\nUpgrade: echo/2\r\n\r\n";
    let (mut stays, mut goes) = (gateway.client(), gateway.client());
    for (client, path) in [(&mut stays, "/"), (&mut goes, "/other")] {
        client.send(format!("GET {path} HTTP/1.1\r\n{ask}")).head().expect("a head");
    }
    gateway.reload(&config);
    assert_eq!(goes.read_to_end(), (Vec::new(), End::Fin));
    drop(goes);
    gateway.signal("TERM");
    assert!(gateway.says("draining"));
    for _ in 0..5 {
        std::thread::sleep(ms(50));
        stays.send("still");
        assert_eq!(stays.take(5).expect("an echo"), b"still");
    }
    stays.finish();
    assert_eq!(stays.read_to_end(), (Vec::new(), End::Fin));
    drop(stays);
    assert_eq!(gateway.await_end(PATIENCE).expect("it ends").code(), Some(0));
    let ends: Vec<_> = gateway.access_log(2).iter().map(|l| l["tunnel_end"].clone()).collect();
    assert_eq!(ends, ["route_gone", "client"]);
}
