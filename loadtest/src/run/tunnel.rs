//! WebSocket on a connection of the generator: the upgrade, then one message out and its echo back.
//! The rest of a connection's life is `exchange`'s business.
//!
//! Invariant: an exchange succeeds only if the very bytes that were sent have come back.

use super::exchange::{Line, Report};
use super::request::Rendered;
use super::tally::{Answer, Problem};
use crate::clock;
use crate::transport::Transport;
use crate::websocket::{self as wire, Head};

const BUFFER: usize = 16 * 1024;
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The upgrade request, but for its key.
#[must_use]
pub fn upgrade_request(path: &str, host: &str, headers: &[(String, String)]) -> String {
    let mut head = format!("GET {path} HTTP/1.1\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head.push_str(&format!("Host: {host}\r\n"));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n");
    head
}

impl Line {
    /// Turns the connection just made into a tunnel.
    pub(super) async fn upgrade(&mut self, request: &str) -> Result<(), Problem> {
        let nonce = [self.dice.next().to_be_bytes(), self.dice.next().to_be_bytes()].concat();
        let key = wire::base64(&nonce);
        let bytes = format!("{request}Sec-WebSocket-Key: {key}\r\n\r\n").into_bytes();
        let transport = self.transport.as_mut().expect("a connection was made");
        transport.write_all(bytes).await.0.map_err(|_| Problem::Reset)?;
        let mut head = Vec::with_capacity(1024);
        loop {
            if head.len() == head.capacity() {
                head.reserve(head.len());
            }
            match transport.read(&mut head).await {
                Ok(0) => return Err(Problem::Truncated),
                Ok(_) => {}
                Err(_) => return Err(Problem::Reset),
            }
            if let Some(used) = accepted(&head, &key)? {
                return if used == head.len() { Ok(()) } else { Err(Problem::Excess) };
            }
            if head.len() > HEAD_BYTES_MAX {
                return Err(Problem::Malformed("head too large"));
            }
        }
    }

    /// One message and its echo.
    pub(super) async fn echo(
        &mut self,
        message: Rendered,
        report: &mut Report,
    ) -> Result<(Answer, bool), Problem> {
        let [a, b, c, d, ..] = self.dice.next().to_be_bytes();
        let key = Some([a, b, c, d]);
        let mut frame = Vec::with_capacity(message.len() + 14);
        wire::frame(&mut frame, true, wire::BINARY, key, message.as_slice());
        report.sent_bytes = frame.len();
        let transport = self.transport.as_mut().expect("a connection was made");
        let written = transport.write_all(frame).await.0;
        let mut echo = Echo::default();
        self.buf.clear();
        if self.buf.capacity() == 0 {
            // A tunnel that is to be held idle needs no more than its message.
            self.buf.reserve_exact(BUFFER.min(message.len() + 1024));
        }
        loop {
            if self.buf.len() == self.buf.capacity() {
                self.buf.reserve(self.buf.len());
            }
            let received = transport.read(&mut self.buf).await;
            if report.first_byte == 0 {
                report.first_byte = clock::now();
            }
            match received {
                Ok(0) if self.uses > 0 && echo.wire_bytes == 0 => return Err(Problem::Stale),
                Ok(0) => return Err(Problem::Truncated),
                Ok(received) => echo.wire_bytes += received as u64,
                Err(_) => return Err(Problem::Reset),
            }
            let used = echo.take(&self.buf, message.as_slice())?;
            self.buf.drain(..used);
            if !echo.pongs.is_empty() {
                pong(transport, std::mem::take(&mut echo.pongs)).await?;
            }
            if echo.done {
                if !self.buf.is_empty() {
                    return Err(Problem::Excess);
                }
                self.uses += 1;
                let body_bytes = message.len() as u64;
                let answer =
                    Answer { status: 101, wire_bytes: echo.wire_bytes, body_bytes, events: 0 };
                return Ok((answer, self.spec.keep_alive && written.is_ok()));
            }
        }
    }
}

async fn pong(transport: &mut Transport, bytes: Vec<u8>) -> Result<(), Problem> {
    transport.write_all(bytes).await.0.map_err(|_| Problem::Reset)
}

/// The length of the head, once it is there and says yes.
fn accepted(bytes: &[u8], key: &str) -> Result<Option<usize>, Problem> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut fields);
    let used = match response.parse(bytes) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(Problem::Malformed("head syntax")),
    };
    let is = |name: &str, value: &str| {
        let mut named = response.headers.iter().filter(|f| f.name.eq_ignore_ascii_case(name));
        named.next().is_some_and(|f| f.value.eq_ignore_ascii_case(value.as_bytes()))
    };
    if response.code != Some(101) {
        return Err(Problem::Upgrade);
    }
    if !is("upgrade", "websocket") || !is("connection", "upgrade") {
        return Err(Problem::Malformed("101 without its fields"));
    }
    // Base64 tells letters' case apart.
    let expected = wire::accept(key);
    let named = |f: &&httparse::Header<'_>| f.name.eq_ignore_ascii_case("sec-websocket-accept");
    match response.headers.iter().find(named) {
        Some(field) if field.value == expected.as_bytes() => Ok(Some(used)),
        _ => Err(Problem::Malformed("Sec-WebSocket-Accept")),
    }
}

/// How much of the message has come back.
#[derive(Default)]
struct Echo {
    matched: usize,
    begun: bool,
    done: bool,
    wire_bytes: u64,
    /// Answers to the peer's pings.
    pongs: Vec<u8>,
}

// === impl Echo ===

impl Echo {
    /// Takes whole frames, until the message's end; says how many bytes.
    fn take(&mut self, bytes: &[u8], message: &[u8]) -> Result<usize, Problem> {
        let mut at = 0;
        while !self.done {
            let head = match Head::parse(&bytes[at..]).map_err(Problem::Malformed)? {
                Some(head) if at + head.total() <= bytes.len() => head,
                _ => break,
            };
            if head.key.is_some() {
                return Err(Problem::Malformed("a masked frame from the server"));
            }
            let payload = &bytes[at + head.len..at + head.total()];
            at += head.total();
            match head.opcode {
                wire::PING => wire::frame(&mut self.pongs, true, wire::PONG, Some([0; 4]), payload),
                wire::PONG => {}
                wire::CLOSE => return Err(Problem::Truncated),
                opcode => {
                    let expected = if self.begun { wire::CONTINUATION } else { wire::BINARY };
                    let rest = &message[self.matched..];
                    if opcode != expected || !rest.starts_with(payload) {
                        return Err(Problem::Echo);
                    }
                    self.begun = true;
                    self.matched += payload.len();
                    if head.fin {
                        self.done = true;
                        if self.matched != message.len() {
                            return Err(Problem::Echo);
                        }
                    }
                }
            }
        }
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(list: &[(bool, u8, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (fin, opcode, payload) in list {
            wire::frame(&mut out, *fin, *opcode, None, payload);
        }
        out
    }

    #[test]
    fn only_the_very_message_is_an_echo() {
        let verdict = |list: &[(bool, u8, &[u8])]| {
            let mut echo = Echo::default();
            echo.take(&frames(list), b"hello").map(|_| echo.done)
        };
        assert_eq!(verdict(&[(true, 2, b"hello")]), Ok(true));
        assert_eq!(verdict(&[(false, 2, b"he"), (true, 9, b""), (true, 0, b"llo")]), Ok(true));
        assert_eq!(verdict(&[(false, 2, b"hello")]), Ok(false));
        assert_eq!(verdict(&[(true, 1, b"hello")]), Err(Problem::Echo));
        assert_eq!(verdict(&[(true, 2, b"hellO")]), Err(Problem::Echo));
        assert_eq!(verdict(&[(true, 2, b"hell")]), Err(Problem::Echo));
        assert_eq!(verdict(&[(true, 8, b"")]), Err(Problem::Truncated));
    }

    #[test]
    fn the_upgrade_is_checked() {
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        let answer = |accept: &str| {
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {accept}\r\n\r\n"
            )
        };
        let good = answer("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(accepted(good.as_bytes(), key), Ok(Some(good.len())));
        assert_eq!(accepted(&good.as_bytes()[..50], key), Ok(None));
        let bad = answer("S3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(accepted(bad.as_bytes(), key).is_err(), "another case is another key");
        let refused = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(accepted(refused, key), Err(Problem::Upgrade));
    }
}
