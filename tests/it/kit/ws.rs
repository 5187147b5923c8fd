//! WebSocket as scenarios see it: the handshake's bytes, frames written and read one by one.
//!
//! Shares nothing with the product: the accept value is the one RFC 6455 prints for its own key.

use std::net::SocketAddr;

use super::client::Client;
use super::message::Response;
use super::{Conn, End, show};

/// The key of RFC 6455 section 1.3 and its answer.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;

/// A frame as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub opcode: u8,
    pub masked: bool,
    /// Unmasked.
    pub payload: Vec<u8>,
}

// === impl Frame ===

impl Frame {
    /// The code of a Close frame.
    pub fn code(&self) -> u16 {
        assert_eq!(self.opcode, CLOSE, "{self:?}");
        u16::from_be_bytes([self.payload[0], self.payload[1]])
    }
}

/// The request that opens a WebSocket.
pub fn handshake(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    )
}

/// The 101 that answers it.
pub fn switching() -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
    )
}

/// A frame's bytes; a client masks.
pub fn frame(opcode: u8, payload: &[u8], masked: bool) -> Vec<u8> {
    let bit = if masked { 0x80 } else { 0 };
    let mut out = vec![0x80 | opcode];
    match u16::try_from(payload.len()) {
        Ok(len) if len < 126 => out.push(bit | len.to_be_bytes()[1]),
        Ok(len) => {
            out.push(bit | 126);
            out.extend(len.to_be_bytes());
        }
        Err(_) => {
            out.push(bit | 127);
            out.extend((payload.len() as u64).to_be_bytes());
        }
    }
    if masked {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        out.extend(mask);
        out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    } else {
        out.extend(payload);
    }
    out
}

/// The frame at the front of `bytes`, taken off; `None` if it is not whole.
pub fn take_frame(bytes: &mut Vec<u8>) -> Option<Frame> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    let (len, mut at) = match second & 0x7f {
        126 => (usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
        127 => {
            let len = u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?);
            (usize::try_from(len).expect("a length that fits"), 10)
        }
        short => (usize::from(short), 2),
    };
    let masked = second & 0x80 != 0;
    let mask: [u8; 4] = if masked { bytes.get(at..at + 4)?.try_into().ok()? } else { [0; 4] };
    at += if masked { 4 } else { 0 };
    let payload = bytes.get(at..at + len)?;
    let payload = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    bytes.drain(..at + len);
    Some(Frame { opcode: first & 0x0f, masked, payload })
}

/// Opens a WebSocket, or fails the test.
pub fn open(to: SocketAddr) -> Client {
    let mut client = Client::connect(to);
    let response = shake(&mut client, "/");
    assert_eq!(response.status, 101, "{response:?}");
    client
}

/// Asks for a WebSocket: the answer's head.
pub fn shake(client: &mut Client, path: &str) -> Response {
    client.send(handshake(path)).head().unwrap_or_else(|broken| panic!("no answer: {broken:?}"))
}

/// The next frame a client gets.
pub fn receive(client: &mut Client) -> Frame {
    loop {
        if let Some(frame) = take_frame(&mut client.buf) {
            return frame;
        }
        if let Err(end) = client.more() {
            panic!("no frame but {end:?} after {}", show(&client.buf));
        }
    }
}

/// The next frame an origin gets; `None`: the connection ended first.
pub fn receive_at(conn: &mut Conn) -> Option<Frame> {
    loop {
        if let Some(frame) = take_frame(&mut conn.buf) {
            return Some(frame);
        }
        conn.more().ok()?;
    }
}

/// An origin's side: answers the handshake for whatever key it has, sends every frame back, answers
/// Close with Close.
pub fn echo(conn: &mut Conn) {
    let Some(request) = conn.request() else { return };
    let key = request.field("sec-websocket-key").expect("a key").to_owned();
    let accept = ringway::http::upgrade::accept(key.as_bytes());
    let accept = std::str::from_utf8(&accept).expect("base64");
    if !conn.send(switching().replace(ACCEPT, accept)) {
        return;
    }
    while let Some(got) = receive_at(conn) {
        assert!(got.masked, "a client masks its frames: {got:?}");
        conn.send(frame(got.opcode, &got.payload, false));
        if got.opcode == CLOSE {
            return;
        }
    }
}

/// Fails unless `client` gets a Close frame with this code next; answers it, and sees the end.
pub fn expect_goodbye(client: &mut Client, code: u16) {
    let frame = receive(client);
    assert_eq!((frame.code(), frame.masked), (code, false), "{frame:?}");
    client.send(self::frame(CLOSE, &frame.payload, true));
    assert_eq!(client.end_within(super::PATIENCE), End::Fin);
}
