//! The PROXY protocol, versions 1 and 2: believed from those it is expected of, sent to upstreams.

use crate::kit::gateway::with;
use crate::kit::origin::ok;
use crate::kit::{End, Gateway, Origin, PATIENCE, eventually, ms};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn version_2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("fits").to_be_bytes();
    [SIGNATURE, &[0x20 | command, family], &length, payload].concat()
}

/// 203.0.113.9:4711 to 192.0.2.1:80.
fn inet(extra: &[u8]) -> Vec<u8> {
    let addresses = [203, 0, 113, 9, 192, 0, 2, 1, 0x12, 0x67, 0, 80];
    version_2(1, 0x11, &[addresses.as_slice(), extra].concat())
}

fn accepting(keys: &str, origin: &Origin) -> Gateway {
    accepting_for("10m", keys, origin)
}

fn accepting_for(time: &str, keys: &str, origin: &Origin) -> Gateway {
    let listener = format!(
        "proxy_protocol = {{ {keys} }}\n\
         timeouts = {{ tls_handshake = \"{time}\", header = \"{time}\" }}"
    );
    Gateway::start(&with(&listener, "", origin.addr))
}

#[test]
fn both_versions_name_the_client_whole_or_in_pieces() {
    let origin = Origin::named("ok");
    let gateway = accepting("from = [\"127.0.0.0/8\"]", &origin);
    let mut v6 = vec![0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
    v6.extend([0; 15]);
    v6.extend([1, 0x12, 0x67, 0, 80]);
    let tlv = [&[0x04, 0x01, 0x00][..], &[0; 256]].concat();
    for (header, client) in [
        (b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 80\r\n".to_vec(), "203.0.113.9"),
        (b"PROXY TCP6 2001:db8::9 2001:db8::1 4711 80\r\n".to_vec(), "2001:db8::9"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), "127.0.0.1"),
        (inet(b""), "203.0.113.9"),
        (inet(&tlv), "203.0.113.9"),
        (version_2(1, 0x21, &v6), "2001:db8::9"),
        (version_2(0, 0, b""), "127.0.0.1"),
        (version_2(0, 0, &[0; 40]), "127.0.0.1"),
    ] {
        for pieces in [1, 7] {
            let bytes = [header.as_slice(), GET].concat();
            let mut connection = gateway.client();
            let size = bytes.len().div_ceil(pieces);
            connection.send_split(bytes.chunks(size), ms(if pieces == 1 { 0 } else { 3 }));
            assert_eq!(connection.response().text(), "ok", "{}", header.escape_ascii());
            assert_eq!(origin.last().field("x-forwarded-for"), Some(client));
        }
    }
    let lines = gateway.access_log(18);
    let named = |line: &&serde_json::Value| line["client"] == "203.0.113.9";
    assert_eq!(lines.iter().filter(named).count(), 6);
    assert!(lines.iter().filter(named).all(|line| line["client_port"] == 4711), "{lines:#?}");
}

#[test]
fn what_is_no_header_or_a_broken_one_ends_the_connection_unanswered() {
    let origin = Origin::named("never");
    let gateway = accepting_for("500ms", "from = [\"127.0.0.0/8\"]", &origin);
    let mut wrong = Vec::new();
    for header in [
        b"".to_vec(),
        b"PROXY TCP4 203.0.113.9 192.0.2.1 4711\r\n".to_vec(),
        b"PROXY TCP4 999.0.113.9 192.0.2.1 4711 80\r\n".to_vec(),
        b"PROXY TCP4 2001:db8::9 192.0.2.1 4711 80\r\n".to_vec(),
        b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 99999\r\n".to_vec(),
        b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 80\n".to_vec(),
        b"proxy TCP4 203.0.113.9 192.0.2.1 4711 80\r\n".to_vec(),
        [b"PROXY ".as_slice(), &[b'x'; 200]].concat(),
        version_2(2, 0x11, &[0; 12]),
        version_2(1, 0x11, &[0; 4]),
        [SIGNATURE, &[0x31, 0x11, 0, 12], &[0; 12]].concat(),
    ] {
        let mut client = gateway.client();
        let _ = client.try_send([header.as_slice(), GET].concat());
        let (bytes, end) = client.read_to_end();
        if end == End::Open || !bytes.is_empty() {
            wrong.push(format!("{}: {end:?} {}", header.escape_ascii(), bytes.escape_ascii()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(origin.connections(), 0);
}

#[test]
fn the_longest_header_a_length_can_announce_does_no_harm() {
    let origin = Origin::named("ok");
    let gateway = accepting("from = [\"127.0.0.0/8\"]", &origin);
    let mut client = gateway.client();
    let huge = inet(&vec![0; 65_535 - 12]);
    let _ = client.try_send(huge);
    let _ = client.try_send(GET);
    // Served or refused, but in time, and the gateway goes on.
    assert_ne!(client.end_within(PATIENCE), End::Open);
    let mut next = gateway.client();
    next.send([inet(b"").as_slice(), GET].concat());
    assert_eq!(next.response().status, 200);
}

#[test]
fn a_header_from_somebody_else_is_not_believed() {
    let origin = Origin::named("ok");
    let gateway = accepting("from = [\"10.0.0.0/8\"]", &origin);
    gateway.client().expect_closed();
    let gateway = accepting("from = [\"10.0.0.0/8\"], required = false", &origin);
    assert_eq!(gateway.get("/").status, 200, "without one it is a plain client");
    let mut liar = gateway.client();
    liar.send([b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 80\r\n".as_slice(), GET].concat());
    assert_eq!(liar.response().status, 400);
    assert_eq!(origin.only().field("x-forwarded-for"), Some("127.0.0.1"));
}

#[test]
fn where_it_is_not_required_a_plain_client_is_served_too() {
    let origin = Origin::named("ok");
    let gateway = accepting("from = [\"127.0.0.0/8\"], required = false", &origin);
    assert_eq!(gateway.get("/").status, 200);
    let mut named = gateway.client();
    named.send([inet(b"").as_slice(), GET].concat());
    assert_eq!(named.response().status, 200);
    assert_eq!(origin.last().field("x-forwarded-for"), Some("203.0.113.9"));
}

#[test]
fn an_upstream_is_told_the_client_at_each_connections_start() {
    for version in ["v1", "v2"] {
        let origin = Origin::scripted(move |conn| {
            let length = loop {
                let have = conn.buf.len();
                match version {
                    "v1" if conn.buf.ends_with(b"\r\n") || conn.buf.contains(&b'\n') => {
                        let at = conn.buf.windows(2).position(|two| two == b"\r\n");
                        break at.expect("a line") + 2;
                    }
                    "v2" if have >= 16 => {
                        break 16 + usize::from(u16::from_be_bytes([conn.buf[14], conn.buf[15]]));
                    }
                    _ if conn.more().is_err() => return,
                    _ => {}
                }
            };
            while conn.buf.len() < length {
                if conn.more().is_err() {
                    return;
                }
            }
            let header: Vec<u8> = conn.buf.drain(..length).collect();
            conn.serve(&|_| ok(&header.escape_ascii().to_string()));
        });
        let upstream = format!("proxy_protocol = \"{version}\"");
        let gateway = Gateway::start(&with("", &upstream, origin.addr));
        let mut client = gateway.client();
        let from = client.tcp.local_addr().expect("an address");
        let to = gateway.addr();
        for _ in 0..2 {
            let said = client.send(GET).response().text();
            let expected = match version {
                "v1" => format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n", from.port(), to.port())
                    .into_bytes(),
                _ => {
                    let ports = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
                    version_2(1, 0x11, &[&[127, 0, 0, 1, 127, 0, 0, 1][..], &ports].concat())
                }
            };
            assert_eq!(said, expected.escape_ascii().to_string());
        }
        // A connection that speaks for one client is never another's.
        gateway.get("/");
        assert!(eventually(PATIENCE, || origin.connections() == 3), "{}", origin.connections());
    }
}
