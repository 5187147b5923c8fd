//! Reads one HTTP/1.1 response from bytes that arrive in any pieces. Strict on purpose: this is
//! the witness, and what a strict client would refuse must show up as an error of the run. Pure:
//! no socket, no clock.
//!
//! Invariant: how the bytes were split over calls of [`Reader::feed`] changes nothing.

use httparse::{EMPTY_HEADER, Status};

use crate::chunked::Chunked;

/// A head larger than this is refused.
const HEAD_BYTES_MAX: usize = 64 * 1024;
const FIELDS_MAX: usize = 128;

/// What is known once the head of the final response was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    pub status: u16,
    /// The peer keeps the connection after this response.
    pub keep_alive: bool,
}

/// Why a response is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The head or the chunked framing breaks RFC 9112.
    Malformed(&'static str),
    /// End of stream before the declared end of the body (or of the head).
    Truncated,
    /// End of stream before the first byte.
    Empty,
}

/// What a feed led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    More,
    /// The response is complete; this many bytes of the last feed belong to it.
    Done(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    Fixed(u64),
    UntilClose,
    Chunked,
    Done,
}

pub struct Reader {
    state: State,
    /// The answer to a HEAD request has no body whatever it declares.
    bodiless: bool,
    head: Head,
    /// The beginning of a head whose end has not come yet.
    pending: Vec<u8>,
    chunks: Chunked,
    /// Bytes of this response seen so far, on the wire.
    wire_bytes: u64,
    body_bytes: u64,
}

// === impl Reader ===

impl Reader {
    #[must_use]
    pub fn new() -> Reader {
        Reader {
            state: State::Head,
            bodiless: false,
            head: Head::default(),
            pending: Vec::new(),
            chunks: Chunked::default(),
            wire_bytes: 0,
            body_bytes: 0,
        }
    }

    /// Forgets the former response and expects the next one.
    pub fn begin(&mut self, head_request: bool) {
        self.state = State::Head;
        self.bodiless = head_request;
        self.head = Head::default();
        self.pending.clear();
        self.chunks.reset();
        self.wire_bytes = 0;
        self.body_bytes = 0;
    }

    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    #[must_use]
    pub fn wire_bytes(&self) -> u64 {
        self.wire_bytes
    }

    #[must_use]
    pub fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// Takes the next bytes of the stream; `body` gets every piece of the decoded body.
    pub fn feed(&mut self, data: &[u8], mut body: impl FnMut(&[u8])) -> Result<Progress, Fault> {
        let mut at = 0;
        while self.state != State::Done {
            if at == data.len() {
                self.wire_bytes += at as u64;
                return Ok(Progress::More);
            }
            at += self.step(&data[at..], &mut body)?;
        }
        self.wire_bytes += at as u64;
        Ok(Progress::Done(at))
    }

    /// The stream has ended.
    pub fn end_of_stream(&mut self) -> Result<(), Fault> {
        match self.state {
            // RFC 9112 section 6.3, rule 8: no declared length, so closing ends the body.
            State::UntilClose | State::Done => {
                self.state = State::Done;
                Ok(())
            }
            State::Head if self.wire_bytes == 0 => Err(Fault::Empty),
            _ => Err(Fault::Truncated),
        }
    }

    /// Consumes at least one byte of `data` (never empty) and says how many.
    fn step(&mut self, data: &[u8], body: &mut impl FnMut(&[u8])) -> Result<usize, Fault> {
        match self.state {
            State::Head => self.take_head(data),
            State::Fixed(left) => {
                let n = self.take_body(data, left, body);
                let left = left - n as u64;
                self.state = if left == 0 { State::Done } else { State::Fixed(left) };
                Ok(n)
            }
            State::UntilClose => Ok(self.take_body(data, u64::MAX, body)),
            State::Chunked => {
                let decoded = &mut self.body_bytes;
                let used = self.chunks.feed(data, |piece| {
                    *decoded += piece.len() as u64;
                    body(piece);
                });
                if self.chunks.is_done() {
                    self.state = State::Done;
                }
                used.map_err(|bad| Fault::Malformed(bad.0))
            }
            State::Done => Ok(0),
        }
    }

    fn take_body(&mut self, data: &[u8], left: u64, body: &mut impl FnMut(&[u8])) -> usize {
        let n = usize::try_from(left).map_or(data.len(), |left| left.min(data.len()));
        self.body_bytes += n as u64;
        body(&data[..n]);
        n
    }

    fn take_head(&mut self, data: &[u8]) -> Result<usize, Fault> {
        if self.pending.is_empty() {
            // The common case: the whole head lies in one receive and nothing is copied.
            if let Some(used) = self.parse_head(data)? {
                return Ok(used);
            }
            self.pending.extend_from_slice(data);
        } else {
            let before = self.pending.len();
            self.pending.extend_from_slice(data);
            let pending = std::mem::take(&mut self.pending);
            let parsed = self.parse_head(&pending)?;
            if let Some(used) = parsed {
                return Ok(used - before);
            }
            self.pending = pending;
        }
        if self.pending.len() > HEAD_BYTES_MAX {
            return Err(Fault::Malformed("head too large"));
        }
        Ok(data.len())
    }

    /// Parses a head at the start of `bytes`; `None` if its end is not there yet.
    fn parse_head(&mut self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        let mut fields = [EMPTY_HEADER; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut fields);
        let used = match response.parse(bytes) {
            Ok(Status::Complete(used)) => used,
            Ok(Status::Partial) => return Ok(None),
            Err(_) => return Err(Fault::Malformed("head syntax")),
        };
        if bytes[0] != b'H' {
            return Err(Fault::Malformed("empty line before the status line"));
        }
        strict_lines(&bytes[..used])?;
        let status = response.code.expect("httparse completed the head");
        let http11 = response.version == Some(1);
        let framing = Framing::of(response.headers)?;
        if (100..200).contains(&status) {
            if status == 101 {
                return Err(Fault::Malformed("101 without an upgrade request"));
            }
            return Ok(Some(used)); // an interim response; the final one follows
        }
        self.head = Head { status, keep_alive: http11 && !framing.close };
        self.state = self.framed(status, http11, &framing)?;
        if self.state == State::UntilClose {
            self.head.keep_alive = false;
        }
        Ok(Some(used))
    }

    /// RFC 9112 section 6.3.
    fn framed(&self, status: u16, http11: bool, framing: &Framing) -> Result<State, Fault> {
        if framing.chunked && framing.length.is_some() {
            return Err(Fault::Malformed("Transfer-Encoding with Content-Length"));
        }
        if framing.chunked && !http11 {
            return Err(Fault::Malformed("Transfer-Encoding in HTTP/1.0"));
        }
        if self.bodiless || status == 204 || status == 304 {
            return Ok(State::Done);
        }
        Ok(match (framing.chunked, framing.length) {
            (true, _) => State::Chunked,
            (false, Some(0)) => State::Done,
            (false, Some(length)) => State::Fixed(length),
            (false, None) => State::UntilClose,
        })
    }
}

#[derive(Default)]
struct Framing {
    length: Option<u64>,
    chunked: bool,
    close: bool,
}

// === impl Framing ===

impl Framing {
    fn of(fields: &[httparse::Header<'_>]) -> Result<Framing, Fault> {
        let mut framing = Framing::default();
        for field in fields {
            if field.name.eq_ignore_ascii_case("content-length") {
                if framing.length.is_some() {
                    return Err(Fault::Malformed("two Content-Length"));
                }
                framing.length = Some(decimal(field.value)?);
            } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
                if framing.chunked || !field.value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Fault::Malformed("Transfer-Encoding other than chunked"));
                }
                framing.chunked = true;
            } else if field.name.eq_ignore_ascii_case("connection") {
                framing.close |= field
                    .value
                    .split(|b| *b == b',')
                    .any(|t| t.trim_ascii().eq_ignore_ascii_case(b"close"));
            }
        }
        Ok(framing)
    }
}

pub fn decimal(value: &[u8]) -> Result<u64, Fault> {
    const BAD: Fault = Fault::Malformed("Content-Length is not a number");
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(BAD); // `parse` would take a plus sign
    }
    std::str::from_utf8(value).ok().and_then(|s| s.parse().ok()).ok_or(BAD)
}

/// httparse accepts a bare LF as the end of a line; RFC 9112 section 2.2 lets a recipient, but a
/// gateway must not send one.
fn strict_lines(head: &[u8]) -> Result<(), Fault> {
    for at in memchr::memchr_iter(b'\n', head) {
        if at == 0 || head[at - 1] != b'\r' {
            return Err(Fault::Malformed("bare LF in head"));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
