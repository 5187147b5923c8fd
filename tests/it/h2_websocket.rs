//! WebSocket over HTTP/2 (RFC 8441): an extended CONNECT becomes an HTTP/1.1 upgrade, and the
//! stream's DATA the tunnel's bytes.

use crate::kit::gateway::with;
use crate::kit::h2raw::{CANCEL, END_HEADERS, END_STREAM, H2, data, headers, kind, request, reset};
use crate::kit::ws::{self, CLOSE, TEXT, frame, take_frame};
use crate::kit::{Gateway, Origin, PATIENCE, eventually, pattern};

/// Opens a tunnel; its stream.
fn open(client: &mut H2, path: &str) -> u32 {
    let stream = client.open();
    let more = [(":protocol", "websocket"), ("sec-websocket-version", "13")];
    client.client.send(headers(stream, END_HEADERS, &request("CONNECT", path, &more)));
    let head = next(client, stream, kind::HEADERS);
    assert_eq!((head.status(), head.flags & END_STREAM), (Some(200), 0), "{head:?}");
    stream
}

/// The next frame of that kind on the stream.
fn next(client: &mut H2, stream: u32, kind: u8) -> crate::kit::h2raw::Frame {
    loop {
        let frame = client.frame_within(PATIENCE).unwrap_or_else(|end| panic!("{end:?}"));
        if (frame.stream, frame.kind) == (stream, kind) {
            return frame;
        }
    }
}

/// The next WebSocket frame on the stream.
fn receive(client: &mut H2, stream: u32, bytes: &mut Vec<u8>) -> ws::Frame {
    loop {
        if let Some(frame) = take_frame(bytes) {
            return frame;
        }
        bytes.extend(next(client, stream, kind::DATA).payload);
    }
}

#[test]
fn an_extended_connect_is_an_upgrade_that_echoes_and_closes() {
    let origin = Origin::scripted(ws::echo);
    let gateway = Gateway::before(origin.addr);
    let mut client = H2::connect(gateway.addr());
    let stream = open(&mut client, "/chat?x=1");
    let asked = origin.only();
    assert_eq!(asked.line, "GET /chat?x=1 HTTP/1.1");
    assert_eq!(asked.field("upgrade"), Some("websocket"));
    assert_eq!(asked.field("sec-websocket-version"), Some("13"));
    let mut bytes = Vec::new();
    for len in [0, 5, 4_000, 9_000] {
        let payload = pattern(len);
        client.client.send(data(stream, 0, frame(TEXT, &payload, true)));
        let got = receive(&mut client, stream, &mut bytes);
        assert_eq!((got.opcode, got.masked), (TEXT, false));
        assert!(got.payload == payload, "{len} bytes");
    }
    // Other streams of the connection are requests as ever.
    let two = open(&mut client, "/two");
    client.client.send(data(two, 0, frame(TEXT, b"two", true)));
    assert_eq!(receive(&mut client, two, &mut Vec::new()).payload, b"two");
    client.client.send(data(stream, 0, frame(CLOSE, &1000_u16.to_be_bytes(), true)));
    assert_eq!(receive(&mut client, stream, &mut bytes).code(), 1000);
    let end = next(&mut client, stream, kind::DATA);
    assert_eq!((end.payload.len(), end.flags & END_STREAM), (0, END_STREAM), "{end:?}");
    let line = gateway.access_line();
    assert_eq!((line["status"].as_u64(), line["version"].as_str()), (Some(101), Some("HTTP/2.0")));
    assert!(line["bytes_in"].as_u64() > Some(13_000), "{line}");
}

#[test]
fn a_reset_stream_ends_the_tunnel_at_the_upstream_and_the_others_go_on() {
    let origin = Origin::scripted(ws::echo);
    let gateway = Gateway::before(origin.addr);
    let mut client = H2::connect(gateway.addr());
    let (one, two) = (open(&mut client, "/1"), open(&mut client, "/2"));
    assert!(eventually(PATIENCE, || origin.open() == 2));
    client.client.send(reset(one, CANCEL));
    assert!(eventually(PATIENCE, || origin.open() == 1), "its upstream is told");
    client.client.send(data(two, 0, frame(TEXT, b"still here", true)));
    assert_eq!(receive(&mut client, two, &mut Vec::new()).payload, b"still here");
}

#[test]
fn what_is_no_websocket_or_not_allowed_is_not_tunnelled() {
    let origin = Origin::scripted(|conn| {
        while let Some(request) = conn.request() {
            let status = if request.target() == "/no" { "403 Forbidden" } else { "200 OK" };
            conn.send(format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\nplain"));
        }
    });
    let gateway = Gateway::before(origin.addr);
    let mut client = H2::connect(gateway.addr());
    let mut ask = |path: &str, protocol: &str| {
        let stream = client.open();
        let more = [(":protocol", protocol), ("sec-websocket-version", "13")];
        client.client.send(headers(stream, END_HEADERS, &request("CONNECT", path, &more)));
        client.answer(stream).status
    };
    assert_eq!(ask("/no", "websocket"), Some(403));
    assert_eq!(ask("/", "websocket"), Some(502), "a 200 would say that the tunnel is open");
    assert_eq!(ask("/", "connect-udp"), Some(501));
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_drain_says_goodbye_to_tunnels_on_streams() {
    let origin = Origin::scripted(ws::echo);
    let gateway = Gateway::start(&with("", "", origin.addr));
    let mut client = H2::connect(gateway.addr());
    let stream = open(&mut client, "/");
    gateway.signal("TERM");
    let goodbye = receive(&mut client, stream, &mut Vec::new());
    assert_eq!((goodbye.code(), goodbye.masked), (1001, false));
    client.client.send(data(stream, 0, frame(CLOSE, &goodbye.payload, true)));
    let end = next(&mut client, stream, kind::DATA);
    assert_eq!(end.flags & END_STREAM, END_STREAM, "{end:?}");
}
