//! A raw HTTP/2 client: any frame, well formed or not, and exactly what comes back.
//!
//! Fields are written as HPACK literals without indexing (RFC 7541 section 6.2.2), so that nothing
//! is compressed and a test sees what it sends. Of what comes only the status is decoded.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::client::{Client, End};
use super::{PATIENCE, ms, show};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Frame types: RFC 9113 section 6, RFC 9218 section 7.1.
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
    pub const PRIORITY_UPDATE: u8 = 16;
}

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub const CANCEL: u32 = 8;
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// SETTINGS_INITIAL_WINDOW_SIZE.
pub const INITIAL_WINDOW: u16 = 4;

/// A connection that speaks HTTP/2, over TCP or TLS.
pub struct H2 {
    pub client: Client,
    /// The stream of the next request.
    next: u32,
}

/// A frame as it came.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// What came for one stream.
#[derive(Debug, Default)]
pub struct Answer {
    pub status: Option<u16>,
    pub body: Vec<u8>,
    /// The code of a RST_STREAM, if that ended it.
    pub reset: Option<u32>,
}

/// How a connection was ended, after how many steps.
#[derive(Debug)]
pub struct Ended {
    pub steps: usize,
    /// The code of the last GOAWAY.
    pub goaway: Option<u32>,
    pub end: End,
    /// Codes of RST_STREAM frames that came.
    pub resets: Vec<u32>,
}

// === building frames ===

pub fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let len = u32::try_from(payload.len()).expect("a frame is short").to_be_bytes();
    assert_eq!(len[0], 0, "a length has three bytes");
    let mut out = vec![len[1], len[2], len[3], kind, flags];
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

pub fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let one = |(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(kind::SETTINGS, 0, 0, values.iter().flat_map(one).collect::<Vec<u8>>())
}

/// HEADERS with the whole block.
pub fn headers(stream: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    frame(kind::HEADERS, flags | END_HEADERS, stream, block)
}

pub fn data(stream: u32, flags: u8, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    frame(kind::DATA, flags, stream, bytes)
}

pub fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(kind::RST_STREAM, 0, stream, code.to_be_bytes())
}

pub fn window(stream: u32, increment: u32) -> Vec<u8> {
    frame(kind::WINDOW_UPDATE, 0, stream, increment.to_be_bytes())
}

/// PRIORITY that makes `stream` depend on `on`.
pub fn priority(stream: u32, on: u32) -> Vec<u8> {
    frame(kind::PRIORITY, 0, stream, [&on.to_be_bytes()[..], &[16]].concat())
}

/// A literal without indexing, with a new name.
pub fn field(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    literal(0x00, name.as_ref(), value.as_ref())
}

/// A literal that enters the dynamic table, as its first entry ([`FIRST_DYNAMIC`]).
pub fn indexed_field(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    literal(0x40, name.as_ref(), value.as_ref())
}

/// The whole field at the dynamic table's first place: index 62 in one byte.
pub const FIRST_DYNAMIC: u8 = 0x80 | 62;

fn literal(first: u8, name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    for text in [name, value] {
        integer(text.len(), &mut out);
        out.extend(text);
    }
    out
}

/// RFC 7541 section 5.1, with a prefix of 7 bits.
fn integer(mut value: usize, out: &mut Vec<u8>) {
    if value < 127 {
        out.push(u8::try_from(value).expect("below 127"));
        return;
    }
    out.push(127);
    value -= 127;
    while value >= 128 {
        out.push(u8::try_from(value % 128).expect("below 128") | 128);
        value /= 128;
    }
    out.push(u8::try_from(value).expect("below 128"));
}

/// The block of a request to the host `a`, with more fields.
pub fn request(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "a")];
    pseudo.iter().chain(more).flat_map(|(name, value)| field(name, value)).collect()
}

// === impl H2 ===

impl H2 {
    /// Connects with prior knowledge, in clear.
    pub fn connect(to: SocketAddr) -> H2 {
        H2::over(Client::connect(to), &[])
    }

    /// Speaks HTTP/2 on a connection (after TLS, with ALPN), beginning with these SETTINGS.
    pub fn over(client: Client, values: &[(u16, u32)]) -> H2 {
        let mut h2 = H2 { client, next: 1 };
        h2.client.send([PREFACE, &settings(values)].concat());
        let first = h2.frame_within(PATIENCE).expect("the gateway speaks HTTP/2");
        assert_eq!((first.kind, first.flags & ACK), (kind::SETTINGS, 0), "{first:?}");
        h2.client.send(frame(kind::SETTINGS, ACK, 0, ""));
        h2
    }

    /// A stream's number, two above the last.
    pub fn open(&mut self) -> u32 {
        let stream = self.next;
        self.next += 2;
        stream
    }

    /// Sends a GET; its stream.
    pub fn get(&mut self, path: &str) -> u32 {
        let stream = self.open();
        self.client.send(headers(stream, END_STREAM, &request("GET", path, &[])));
        stream
    }

    /// The next frame; an error says how it did not come.
    pub fn frame_within(&mut self, time: Duration) -> Result<Frame, End> {
        let until = Instant::now() + time;
        loop {
            if let Some(frame) = self.buffered() {
                return Ok(frame);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(End::Open);
            }
            self.client.read_timeout(left);
            let came = self.client.more();
            self.client.read_timeout(PATIENCE);
            came?;
        }
    }

    /// The next frame that is already here.
    pub fn frame_now(&mut self) -> Result<Option<Frame>, End> {
        if let Some(frame) = self.buffered() {
            return Ok(Some(frame));
        }
        self.client.tcp.set_nonblocking(true).expect("a socket");
        let came = self.client.more();
        self.client.tcp.set_nonblocking(false).expect("a socket");
        match came {
            Ok(_) => Ok(self.buffered()),
            Err(End::Open) => Ok(None),
            Err(end) => Err(end),
        }
    }

    /// Reads until this stream has ended. Acknowledges what is to be acknowledged, opens windows.
    pub fn answer(&mut self, stream: u32) -> Answer {
        let mut answer = Answer::default();
        loop {
            let frame = self.frame_within(PATIENCE).unwrap_or_else(|end| {
                panic!("no answer on stream {stream}: {end:?} after {answer:?}")
            });
            match frame.kind {
                kind::SETTINGS if frame.flags & ACK == 0 => {
                    self.client.send(self::frame(kind::SETTINGS, ACK, 0, ""));
                }
                kind::PING if frame.flags & ACK == 0 => {
                    self.client.send(self::frame(kind::PING, ACK, 0, &frame.payload));
                }
                kind::GOAWAY => panic!("GOAWAY {} instead of an answer", frame.code()),
                _ => {}
            }
            if frame.kind == kind::DATA && !frame.payload.is_empty() {
                let len = u32::try_from(frame.payload.len()).expect("a frame is short");
                let windows = [window(0, len), window(frame.stream, len)].concat();
                self.client.send(windows);
            }
            if frame.stream != stream {
                continue;
            }
            match frame.kind {
                kind::HEADERS => answer.status = answer.status.or(frame.status()),
                kind::DATA => answer.body.extend(&frame.payload),
                kind::RST_STREAM => answer.reset = Some(frame.code()),
                _ => {}
            }
            let last =
                matches!(frame.kind, kind::HEADERS | kind::DATA) && frame.flags & END_STREAM != 0;
            if last || answer.reset.is_some() {
                return answer;
            }
        }
    }

    /// Sends what `step` gives, again and again, until the gateway ends the connection, at most so
    /// many times. What comes is read in between, as an attacker who wants to last would.
    pub fn attack(&mut self, steps_max: usize, mut step: impl FnMut(usize) -> Vec<u8>) -> Ended {
        let mut ended = Ended { steps: 0, goaway: None, end: End::Open, resets: Vec::new() };
        while ended.steps < steps_max && ended.end == End::Open && !ended.is_told() {
            let bytes = step(ended.steps);
            ended.steps += 1;
            if self.client.try_send(bytes).is_err() {
                break;
            }
            // The gateway answers within that; the budgets hardly grow.
            std::thread::sleep(Duration::from_micros(200));
            self.read_now(&mut ended);
        }
        // What was sent last may take effect later.
        let until = Instant::now() + ms(1000);
        while ended.end == End::Open && Instant::now() < until {
            self.read_now(&mut ended);
            std::thread::sleep(ms(2));
        }
        ended
    }

    fn read_now(&mut self, ended: &mut Ended) {
        loop {
            match self.frame_now() {
                Ok(Some(frame)) if frame.kind == kind::GOAWAY => ended.goaway = Some(frame.code()),
                Ok(Some(frame)) if frame.kind == kind::RST_STREAM => {
                    ended.resets.push(frame.code())
                }
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(end) => {
                    ended.end = end;
                    return;
                }
            }
        }
    }

    fn buffered(&mut self) -> Option<Frame> {
        let buf = &mut self.client.buf;
        let head: [u8; 9] = *buf.first_chunk()?;
        let len = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        if buf.len() < 9 + len {
            return None;
        }
        let payload = buf.drain(..9 + len).skip(9).collect();
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// Whether the peer still answers a PING.
    pub fn is_alive(&mut self) -> io::Result<bool> {
        self.client.try_send(frame(kind::PING, 0, 0, b"ringalib"))?;
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            match self.frame_within(PATIENCE) {
                Ok(frame) if frame.kind == kind::PING && frame.flags & ACK != 0 => return Ok(true),
                Ok(_) => {}
                Err(_) => return Ok(false),
            }
        }
        Ok(false)
    }
}

// === impl Frame ===

impl Frame {
    /// The error code of RST_STREAM and GOAWAY.
    pub fn code(&self) -> u32 {
        let at = if self.kind == kind::GOAWAY { 4 } else { 0 };
        let bytes = self.payload.get(at..at + 4).expect("a whole frame");
        u32::from_be_bytes(bytes.try_into().expect("four bytes"))
    }

    /// The status of a response's HEADERS, whose first field it is: from the static table, or a
    /// literal, plain or Huffman-coded. None where it stands in the dynamic table.
    pub fn status(&self) -> Option<u16> {
        const STATIC: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
        match *self.payload.as_slice() {
            [first @ 0x88..=0x8e, ..] => Some(STATIC[usize::from(first - 0x88)]),
            // A literal with the name of index 8, with or without indexing.
            [0x48 | 0x08 | 0x18, 3, a, b, c, ..] => {
                std::str::from_utf8(&[a, b, c]).ok()?.parse().ok()
            }
            [0x48 | 0x08 | 0x18, len @ 0x82..=0x83, ref rest @ ..] => {
                digits(rest.get(..usize::from(len & 0x7f))?)
            }
            _ => None,
        }
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Frame { kind, flags, stream, payload } = self;
        write!(f, "type {kind} flags {flags:#x} stream {stream}: {}", show(payload))
    }
}

// === impl Ended ===

impl Ended {
    /// Whether the gateway has said that it is enough.
    fn is_told(&self) -> bool {
        self.goaway.is_some_and(|code| code != 0)
    }

    /// Whether the connection was ended, in time, by the one code that says why.
    pub fn is_calmed(&self, steps_max: usize) -> bool {
        let code = self.goaway.unwrap_or(ENHANCE_YOUR_CALM);
        self.steps < steps_max && code == ENHANCE_YOUR_CALM && self.is_over()
    }

    /// Whether it was ended, whatever the gateway called it.
    pub fn is_over(&self) -> bool {
        self.is_told() || self.end != End::Open
    }
}

/// Three digits in the Huffman code of RFC 7541 appendix B: 0 to 2 have five bits, the others six.
fn digits(bytes: &[u8]) -> Option<u16> {
    let bits: Vec<u8> =
        bytes.iter().flat_map(|b| (0..8).rev().map(move |at| b >> at & 1)).collect();
    let (mut at, mut value) = (0, 0);
    for _ in 0..3 {
        let take = |count: usize| {
            bits.get(at..at + count).map(|bits| bits.iter().fold(0, |sum, bit| sum << 1 | bit))
        };
        let (digit, count) = match (take(5)?, take(6)) {
            (digit @ 0..=2, _) => (digit, 5),
            (_, Some(code @ 0b011001..=0b011111)) => (code - 0b011001 + 3, 6),
            _ => return None,
        };
        value = value * 10 + u16::from(digit);
        at += count;
    }
    Some(value)
}

#[test]
fn a_status_is_read_in_any_of_its_forms() {
    let status = |payload: &[u8]| {
        Frame { kind: kind::HEADERS, flags: 0, stream: 1, payload: payload.to_vec() }.status()
    };
    assert_eq!(status(&[0x88, 0x76]), Some(200));
    assert_eq!(status(&[0x8d]), Some(404));
    assert_eq!(status(b"\x48\x03503"), Some(503));
    // RFC 7541 C.6.1 and C.6.2: 302 and 307 in Huffman's code.
    assert_eq!(status(&[0x48, 0x82, 0x64, 0x02]), Some(302));
    assert_eq!(status(&[0x48, 0x83, 0x64, 0x0e, 0xff]), Some(307));
    assert_eq!(status(&[0xbe]), None);
}

#[test]
fn an_integer_is_that_of_rfc_7541() {
    let written = |value| {
        let mut out = Vec::new();
        integer(value, &mut out);
        out
    };
    assert_eq!(written(126), [126]);
    assert_eq!(written(127), [127, 0]);
    assert_eq!(written(1337), [127, 186, 9]);
    assert_eq!(field("ab", "c"), b"\x00\x02ab\x01c");
}
