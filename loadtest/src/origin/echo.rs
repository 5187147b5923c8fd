//! A WebSocket connection of the origin: every message comes back as it came, frame by frame.
//! Owns nothing but the bytes under way; the upgrade was answered by `conn`.
//!
//! Invariant: all frames that are there are answered with one send.

use std::io;

use super::counters::{self, bump};
use crate::transport::Transport;
use crate::websocket::{self as wire, Head};

const BUFFER: usize = 4 * 1024;
const PROTOCOL_ERROR: u16 = 1002;

/// Echoes until the peer closes; `buf` may hold the first frames.
pub async fn serve(mut transport: Transport, mut buf: Vec<u8>) -> io::Result<()> {
    let mut out = Vec::new();
    loop {
        let (used, open) = answer(&mut buf, &mut out);
        buf.drain(..used);
        if !out.is_empty() {
            let (result, bytes) = transport.write_all(out).await;
            result?;
            out = bytes;
            out.clear();
        }
        if !open {
            transport.finish().await?;
            while transport.read(&mut { Vec::with_capacity(BUFFER) }).await? > 0 {}
            return Ok(());
        }
        if buf.capacity() - buf.len() < BUFFER {
            buf.reserve(buf.len().max(BUFFER));
        }
        if transport.read(&mut buf).await? == 0 {
            return Ok(());
        }
    }
}

/// Answers all whole frames: how many bytes they were, and whether the connection goes on.
fn answer(buf: &mut [u8], out: &mut Vec<u8>) -> (usize, bool) {
    let mut at = 0;
    loop {
        let head = match Head::parse(&buf[at..]) {
            Ok(Some(head)) if at + head.total() <= buf.len() => head,
            Ok(_) => return (at, true),
            Err(_) => return (at, refuse(out)),
        };
        // Section 5.1: a client masks.
        let Some(key) = head.key else {
            return (at, refuse(out));
        };
        let payload = &mut buf[at + head.len..at + head.total()];
        wire::mask(payload, key);
        at += head.total();
        match head.opcode {
            wire::CLOSE => {
                wire::frame(out, true, wire::CLOSE, None, payload);
                return (at, false);
            }
            wire::PING => wire::frame(out, true, wire::PONG, None, payload),
            wire::PONG => {}
            opcode => {
                wire::frame(out, head.fin, opcode, None, payload);
                if head.fin {
                    bump(&counters::MESSAGES);
                }
            }
        }
    }
}

fn refuse(out: &mut Vec<u8>) -> bool {
    bump(&counters::MALFORMED);
    wire::frame(out, true, wire::CLOSE, None, &PROTOCOL_ERROR.to_be_bytes());
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_unmasked_and_in_order() {
        let key = Some([1, 2, 3, 4]);
        let mut sent = Vec::new();
        wire::frame(&mut sent, false, 1, key, b"frag");
        wire::frame(&mut sent, true, wire::PING, key, b"p");
        wire::frame(&mut sent, true, wire::CONTINUATION, key, b"ment");
        let whole = sent.len();
        wire::frame(&mut sent, true, wire::BINARY, key, b"cut");
        sent.pop();
        let mut expected = Vec::new();
        wire::frame(&mut expected, false, 1, None, b"frag");
        wire::frame(&mut expected, true, wire::PONG, None, b"p");
        wire::frame(&mut expected, true, wire::CONTINUATION, None, b"ment");
        let mut out = Vec::new();
        assert_eq!(answer(&mut sent, &mut out), (whole, true));
        assert_eq!(out, expected);
    }

    #[test]
    fn an_unmasked_frame_ends_it() {
        let mut sent = Vec::new();
        wire::frame(&mut sent, true, wire::BINARY, None, b"bare");
        let mut out = Vec::new();
        assert_eq!(answer(&mut sent, &mut out), (0, false));
        assert_eq!(out, [0x88, 2, 0x03, 0xea]);
    }
}
