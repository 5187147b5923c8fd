//! A raw HTTP/2 client: any frame, well formed or not, and exactly what comes back.
//!
//! Fields are written as HPACK literals without indexing (RFC 7541 section 6.2.2), so that nothing
//! is compressed and a test sees what it sends. What comes is decoded frame by frame, and can be
//! gathered stream by stream ([`H2::answer`]).

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::client::{Client, End};
use super::hpack::Decoder;
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

pub const NO_ERROR: u32 = 0;
pub const PROTOCOL_ERROR: u32 = 1;
pub const CANCEL: u32 = 8;
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// SETTINGS_INITIAL_WINDOW_SIZE.
pub const INITIAL_WINDOW: u16 = 4;

/// A connection that speaks HTTP/2, over TCP or TLS.
pub struct H2 {
    pub client: Client,
    /// Whether data that come are made up for with WINDOW_UPDATE.
    pub opens_windows: bool,
    /// Last stream and code of each GOAWAY that came.
    pub goaways: Vec<(u32, u32)>,
    /// What came for each stream and nobody has asked for.
    pub answers: BTreeMap<u32, Answer>,
    /// The stream of the next request.
    next: u32,
    decoder: Decoder,
    /// What we may send: on the connection, on a new stream, and on each there is.
    room: i64,
    initial: i64,
    rooms: BTreeMap<u32, i64>,
}

/// A frame as it came.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
    /// The fields of HEADERS.
    pub fields: Vec<(String, String)>,
}

/// What came for one stream.
#[derive(Debug, Default)]
pub struct Answer {
    pub status: Option<u16>,
    pub fields: Vec<(String, String)>,
    /// Status and fields of the heads before the final one.
    pub interim: Vec<(u16, Vec<(String, String)>)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
    /// END_STREAM came.
    pub ended: bool,
    /// The code of a RST_STREAM.
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
    pub fn over(mut client: Client, values: &[(u16, u32)]) -> H2 {
        client.send([PREFACE, &settings(values)].concat());
        H2::begun(client)
    }

    /// The same, where the preface and SETTINGS have been sent.
    pub fn begun(client: Client) -> H2 {
        let mut h2 = H2 {
            client,
            opens_windows: true,
            goaways: Vec::new(),
            answers: BTreeMap::new(),
            next: 1,
            decoder: Decoder::default(),
            room: 65_535,
            initial: 65_535,
            rooms: BTreeMap::new(),
        };
        let first = h2.frame_within(PATIENCE).expect("the gateway speaks HTTP/2");
        assert_eq!((first.kind, first.flags & ACK), (kind::SETTINGS, 0), "{first:?}");
        h2.take_in(&first);
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

    /// Sends a head; its stream.
    pub fn ask(&mut self, method: &str, path: &str, more: &[(&str, &str)], ends: bool) -> u32 {
        let stream = self.open();
        let flags = if ends { END_STREAM } else { 0 };
        self.client.send(headers(stream, flags, &request(method, path, more)));
        stream
    }

    /// One request without a body, and its answer.
    pub fn fetch(&mut self, method: &str, path: &str, more: &[(&str, &str)]) -> Answer {
        let stream = self.ask(method, path, more, true);
        self.answer(stream)
    }

    /// Reads until this stream has ended. Acknowledges what is to be acknowledged, opens windows.
    pub fn answer(&mut self, stream: u32) -> Answer {
        let over = |h2: &H2| h2.answers.get(&stream).is_some_and(Answer::is_over);
        let came = self.until(PATIENCE, |h2| over(h2) || h2.goaways.iter().any(|g| g.1 != 0));
        let answer = self.answers.remove(&stream).unwrap_or_default();
        assert!(
            answer.is_over(),
            "no answer on stream {stream}: {came:?}, GOAWAYs {:?}, after {:?} and {} bytes",
            self.goaways,
            answer.status,
            answer.body.len()
        );
        answer
    }

    /// Reads until that is so; an error says how it did not become so.
    pub fn until(&mut self, time: Duration, is_so: impl Fn(&H2) -> bool) -> Result<(), End> {
        let until = Instant::now() + time;
        while !is_so(self) {
            let frame = self.frame_within(until.saturating_duration_since(Instant::now()))?;
            self.take_in(&frame);
        }
        Ok(())
    }

    /// Reads on until the connection ends or the time is up.
    pub fn end_within(&mut self, time: Duration) -> End {
        self.until(time, |_| false).expect_err("it only ends so")
    }

    /// The code of a RST_STREAM that comes for a stream.
    pub fn reset_within(&mut self, time: Duration, stream: u32) -> Option<u32> {
        let reset = |h2: &H2| h2.answers.get(&stream).and_then(|answer| answer.reset);
        let _ = self.until(time, |h2| reset(h2).is_some());
        reset(self)
    }

    /// Sends data as the gateway's windows allow, at most for `time`; how many went out.
    pub fn upload(&mut self, stream: u32, bytes: &[u8], ends: bool, time: Duration) -> usize {
        let (mut sent, until) = (0, Instant::now() + time);
        while sent < bytes.len() {
            let initial = self.initial;
            let room = *self.rooms.entry(stream).or_insert(initial);
            let room = usize::try_from(room.min(self.room)).unwrap_or(0);
            let len = room.min(bytes.len() - sent).min(16 * 1024);
            let is_over = self.answers.get(&stream).is_some_and(Answer::is_over);
            let left = until.saturating_duration_since(Instant::now());
            if is_over || left.is_zero() {
                break;
            }
            if len == 0 {
                let Ok(frame) = self.frame_within(left) else { break };
                self.take_in(&frame);
                continue;
            }
            let flags = if ends && sent + len == bytes.len() { END_STREAM } else { 0 };
            self.client.send(data(stream, flags, &bytes[sent..sent + len]));
            sent += len;
            let taken = i64::try_from(len).expect("a frame is short");
            self.room -= taken;
            *self.rooms.get_mut(&stream).expect("entered above") -= taken;
        }
        sent
    }

    fn take_in(&mut self, frame: &Frame) {
        let acknowledged = frame.flags & ACK != 0;
        match frame.kind {
            kind::SETTINGS if !acknowledged => {
                for value in frame.payload.chunks(6) {
                    if value[..2] == INITIAL_WINDOW.to_be_bytes() {
                        let new = i64::from(number(&value[2..]));
                        self.rooms.values_mut().for_each(|room| *room += new - self.initial);
                        self.initial = new;
                    }
                }
                self.client.send(self::frame(kind::SETTINGS, ACK, 0, ""));
            }
            kind::PING if !acknowledged => {
                // Who has said goodbye may not listen any more.
                let _ = self.client.try_send(self::frame(kind::PING, ACK, 0, &frame.payload));
            }
            kind::GOAWAY => {
                let last = number(&frame.payload[..4]);
                self.goaways.push((last, frame.code()));
            }
            kind::WINDOW_UPDATE => {
                let more = i64::from(number(&frame.payload));
                match frame.stream {
                    0 => self.room += more,
                    stream => *self.rooms.entry(stream).or_insert(self.initial) += more,
                }
            }
            kind::DATA | kind::HEADERS | kind::RST_STREAM => {
                if self.opens_windows && frame.kind == kind::DATA && !frame.payload.is_empty() {
                    let len = u32::try_from(frame.payload.len()).expect("a frame is short");
                    let windows = [window(0, len), window(frame.stream, len)].concat();
                    let _ = self.client.try_send(windows);
                }
                self.answers.entry(frame.stream).or_default().take_in(frame);
            }
            _ => {}
        }
    }

    /// Sends what `step` gives, again and again, until the gateway ends the connection, at most so
    /// many times; then waits for the end that so many steps must have led to.
    pub fn attack(&mut self, steps_max: usize, step: impl FnMut(usize) -> Vec<u8>) -> Ended {
        let mut ended = self.spend(steps_max, step);
        let until = Instant::now() + PATIENCE;
        while !ended.is_over() && Instant::now() < until {
            std::thread::sleep(ms(2));
            self.read_now(&mut ended);
        }
        ended
    }

    /// The same without waiting. What comes is read in between, as an attacker who wants to last
    /// would.
    pub fn spend(&mut self, steps_max: usize, mut step: impl FnMut(usize) -> Vec<u8>) -> Ended {
        let mut ended = Ended { steps: 0, goaway: None, end: End::Open, resets: Vec::new() };
        while ended.steps < steps_max && ended.end == End::Open && !ended.is_told() {
            let bytes = step(ended.steps);
            ended.steps += 1;
            if self.client.try_send(bytes).is_err() {
                break;
            }
            // The gateway answers within that as a rule; the budgets hardly grow.
            std::thread::sleep(Duration::from_micros(200));
            self.read_now(&mut ended);
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
        // A block of fields may go on in more frames; it is given as one.
        let (mut len, mut payload) = (0, Vec::new());
        let head: [u8; 9] = *self.client.buf.first_chunk()?;
        loop {
            let head: [u8; 9] = *self.client.buf.get(len..)?.first_chunk()?;
            let part =
                usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            payload.extend(self.client.buf.get(len + 9..len + 9 + part)?);
            len += 9 + part;
            let of_block = matches!(head[3], kind::HEADERS | kind::CONTINUATION);
            if !of_block || head[4] & END_HEADERS != 0 {
                break;
            }
        }
        self.client.buf.drain(..len);
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        let fields = match head[3] {
            kind::HEADERS => self.decoder.block(&payload),
            _ => Vec::new(),
        };
        Some(Frame { kind: head[3], flags: head[4], stream, payload, fields })
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

    /// The status in a response's HEADERS.
    pub fn status(&self) -> Option<u16> {
        let (name, value) = self.fields.first()?;
        (name == ":status").then(|| value.parse().expect("a status is a number"))
    }
}

// === impl Answer ===

impl Answer {
    /// Whether nothing more is to come.
    pub fn is_over(&self) -> bool {
        self.ended || self.reset.is_some()
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        let mut found = self.fields.iter().filter(|(other, _)| other == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} stands twice: {:?}", self.fields);
        value
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The code of a gateway error.
    pub fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("not an error body: {}", show(&self.body)));
        body["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    fn take_in(&mut self, frame: &Frame) {
        assert!(!self.ended || frame.kind == kind::RST_STREAM, "{frame:?} after END_STREAM");
        match frame.kind {
            kind::HEADERS => self.head(frame),
            kind::DATA => {
                assert!(self.status.is_some(), "DATA before a head");
                self.body.extend(&frame.payload);
            }
            _ => self.reset = Some(frame.code()),
        }
        self.ended |= frame.kind != kind::RST_STREAM && frame.flags & END_STREAM != 0;
    }

    /// RFC 9113 section 8.1: interim heads, the final one, trailers.
    fn head(&mut self, frame: &Frame) {
        let names = frame.fields.iter().map(|(name, _)| name);
        names.for_each(|name| assert_eq!(*name, name.to_ascii_lowercase(), "RFC 9113 8.2"));
        match (self.status, frame.status()) {
            (None, Some(status @ 100..=199)) => {
                self.interim.push((status, frame.fields[1..].to_vec()));
            }
            (None, Some(status)) => {
                self.status = Some(status);
                self.fields = frame.fields[1..].to_vec();
            }
            (Some(_), None) => {
                assert_ne!(frame.flags & END_STREAM, 0, "trailers end a stream");
                self.trailers = frame.fields.clone();
            }
            both => panic!("a head out of its order: {both:?} {frame:?}"),
        }
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Frame { kind, flags, stream, payload, .. } = self;
        write!(f, "type {kind} flags {flags:#x} stream {stream}: {}", show(payload))
    }
}

// === impl Ended ===

impl Ended {
    /// Whether the gateway has said that it is enough.
    fn is_told(&self) -> bool {
        self.goaway.is_some_and(|code| code != 0)
    }

    /// Whether the connection was ended by the one code that says why.
    pub fn is_calmed(&self) -> bool {
        self.goaway.unwrap_or(ENHANCE_YOUR_CALM) == ENHANCE_YOUR_CALM && self.is_over()
    }

    /// Whether it was ended, whatever the gateway called it.
    pub fn is_over(&self) -> bool {
        self.is_told() || self.end != End::Open
    }
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().expect("four bytes"))
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
