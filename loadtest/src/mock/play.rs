//! Gives an answer on a line: token by token at its pace, or whole when it would have been
//! generated, with the fault that was asked for at its place. What the bytes are is `wire`'s.
//!
//! Invariant: a fault is committed exactly where it was asked for, and what was sent before it is
//! what a sound answer would have begun with.

use super::counters::{End, Phase};
use super::draft::Usage;
use super::fault::Fault;
use super::line::{Gone, Line};
use super::options::{Eol, Options};
use super::refusal;
use super::wire::{Answer, Endpoint, Wire};
use crate::clock::{self, MILLI, Nanos};

pub struct Job<'a> {
    pub endpoint: Endpoint,
    pub answer: &'a Answer,
    pub options: &'a Options,
    /// The fields of the head that every answer has.
    pub fields: &'a str,
    pub arrived: Nanos,
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    Again,
    Close,
    Reset,
}

/// How an answer ended.
pub struct Played {
    pub end: End,
    pub then: Then,
    /// Tokens that were sent.
    pub sent: u64,
}

/// The stream under way.
struct Stream<'l, 'a> {
    line: &'l mut Line<'a>,
    options: &'l Options,
    /// Bytes of events that are not sent yet.
    events: Vec<u8>,
    /// Bytes to send: the head at first.
    out: Vec<u8>,
    sent: u64,
    has_begun: bool,
}

const SLOW: Nanos = 2_000 * MILLI;
/// Events are collected up to this many bytes, where there is no pace.
const SEND_BYTES: usize = 16 * 1024;
const HUGE_BYTES: usize = 64 << 20;
const GARBAGE: &[u8] = b"<html>\x00\xff\xfe not what you asked for {\"choices\": [";
const GARBAGE_HTTP: &[u8] = b"\x16\x03\x01 this is not http\r\n\r\n";
const PADDING: [u8; 16 * 1024] = [b'x'; 16 * 1024];

// === impl Job ===

impl Job<'_> {
    fn fault(&self) -> Option<Fault> {
        self.options.fault
    }

    fn first(&self) -> Nanos {
        let slow = if self.fault() == Some(Fault::Slow) { SLOW } else { 0 };
        self.arrived + clock::nanos(self.options.first) + slow
    }

    /// When token `n` is due.
    fn due(&self, n: u64) -> Nanos {
        self.first().saturating_add(clock::nanos(self.options.pace).saturating_mul(n))
    }

    /// Tokens that are there at that time.
    fn generated(&self, now: Nanos) -> u64 {
        match now.checked_sub(self.first()) {
            None => 0,
            Some(spent) => spent.checked_div(clock::nanos(self.options.pace)).unwrap_or(u64::MAX),
        }
    }

    /// The faults that come before the first byte, of a stream or not.
    async fn early(&self, line: &mut Line<'_>) -> Result<Option<Then>, Gone> {
        let Some(fault) = self.fault() else {
            return Ok(None);
        };
        match fault {
            Fault::Stall => Err(line.for_ever().await),
            Fault::Reset => Ok(Some(Then::Reset)),
            Fault::Close => Ok(Some(Then::Close)),
            Fault::GarbageHttp => {
                line.send(GARBAGE_HTTP).await?;
                Ok(Some(Then::Close))
            }
            _ => Ok(None),
        }
    }

    fn head(&self, kind: &str, framing: &str) -> Vec<u8> {
        format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{framing}{}\r\n", self.fields)
            .into_bytes()
    }

    fn aborted(phase: Phase, sent: u64) -> Played {
        Played { end: End::Aborted(phase), then: Then::Close, sent }
    }

    fn faulted(then: Then, sent: u64) -> Played {
        Played { end: End::Faulted, then, sent }
    }

    /// An answer that is a stream.
    pub async fn stream(&self, wire: &dyn Wire, line: &mut Line<'_>) -> Played {
        let early = match line.until(self.first()).await {
            Ok(()) => self.early(line).await,
            Err(gone) => Err(gone),
        };
        match early {
            Err(Gone) => return Job::aborted(Phase::BeforeFirstByte, 0),
            Ok(Some(then)) => return Job::faulted(then, 0),
            Ok(None) => {}
        }
        let framing = "Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n";
        let out = self.head("text/event-stream; charset=utf-8", framing);
        let options = self.options;
        let events = Vec::new();
        let mut stream = Stream { line, options, events, out, sent: 0, has_begun: false };
        let ended = self.tell(wire, &mut stream).await;
        let Stream { sent, has_begun, .. } = stream;
        match ended {
            Ok(None) => Played { end: End::Completed, then: Then::Again, sent },
            Ok(Some(then)) => Job::faulted(then, sent),
            Err(Gone) if has_begun => Job::aborted(Phase::MidStream, sent),
            Err(Gone) => Job::aborted(Phase::BeforeFirstByte, sent),
        }
    }

    /// All events; a fault ends it early and says what becomes of the connection.
    async fn tell(&self, wire: &dyn Wire, to: &mut Stream<'_, '_>) -> Result<Option<Then>, Gone> {
        match self.fault() {
            Some(Fault::ErrorFirst) => {
                refusal::event(self.endpoint, self.answer, &mut to.events);
                to.finish().await?;
                return Ok(Some(Then::Again));
            }
            Some(Fault::Garbage) => {
                to.events.extend_from_slice(GARBAGE);
                to.finish().await?;
                return Ok(Some(Then::Again));
            }
            _ => {}
        }
        let tokens = self.answer.draft.tokens();
        let midway = self.fault().filter(|fault| fault.is_midway());
        let at = midway.map(|_| self.options.at.unwrap_or(tokens / 2).min(tokens));
        let paced = !self.options.pace.is_zero();
        wire.begin(self.answer, &mut to.events);
        for (number, part) in self.answer.draft.parts.iter().enumerate() {
            wire.open(self.answer, number, &mut to.events);
            for n in 0..part.tokens() {
                if let Some(fault) = midway.filter(|_| at == Some(to.sent)) {
                    return self.commit(fault, (wire, number, n), to).await;
                }
                if paced && to.sent > 0 {
                    to.flush().await?;
                    to.line.until(self.due(to.sent)).await?;
                }
                wire.token(self.answer, number, n, &mut to.events);
                to.sent += 1;
                if to.events.len() >= SEND_BYTES {
                    to.flush().await?;
                }
            }
            wire.close(self.answer, number, &mut to.events);
        }
        if let Some(fault) = midway {
            let last = self.answer.draft.parts.len().saturating_sub(1);
            return self.commit(fault, (wire, last, 0), to).await;
        }
        wire.end(self.answer, &mut to.events);
        if self.fault() == Some(Fault::NoDone) {
            leave_last_away(&mut to.events);
        }
        to.finish().await?;
        Ok(None)
    }

    /// A fault in the middle of a stream, before the token that would be next.
    async fn commit(
        &self,
        fault: Fault,
        (wire, part, n): (&dyn Wire, usize, u64),
        to: &mut Stream<'_, '_>,
    ) -> Result<Option<Then>, Gone> {
        to.flush().await?;
        match fault {
            Fault::StallMid => Err(to.line.for_ever().await),
            Fault::ResetMid => Ok(Some(Then::Reset)),
            Fault::EndEarly => {
                to.finish().await?;
                Ok(Some(Then::Again))
            }
            Fault::ErrorMid => {
                refusal::event(self.endpoint, self.answer, &mut to.events);
                to.finish().await?;
                Ok(Some(Then::Again))
            }
            Fault::Endless | Fault::Huge => {
                to.events.extend_from_slice(b"data: {\"padding\":\"");
                let mut left = if fault == Fault::Huge { HUGE_BYTES } else { usize::MAX };
                while left > 0 {
                    let more = left.min(PADDING.len());
                    to.events.extend_from_slice(&PADDING[..more]);
                    to.flush().await?;
                    left -= more;
                }
                to.events.extend_from_slice(b"\"}\n\n");
                to.finish().await?;
                Ok(Some(Then::Again))
            }
            _ => {
                // Half an event within a whole chunk's frame.
                if self.answer.draft.parts.is_empty() {
                    to.events.extend_from_slice(b"data: {\"id\":");
                } else {
                    wire.token(self.answer, part, n, &mut to.events);
                }
                let frame = framed(&to.events);
                to.line.send(&frame[..frame.len() / 2]).await?;
                Ok(Some(Then::Close))
            }
        }
    }

    /// An answer in one piece.
    pub async fn whole(&self, body: Vec<u8>, line: &mut Line<'_>) -> Played {
        let tokens = self.answer.draft.tokens();
        let told = async {
            line.until(self.due(tokens)).await?;
            if let Some(then) = self.early(line).await? {
                return Ok(Some(then));
            }
            self.tell_whole(body, line).await
        };
        match told.await {
            Ok(None) => Played { end: End::Completed, then: Then::Again, sent: tokens },
            Ok(Some(then)) => Job::faulted(then, tokens),
            Err(Gone) => Job::aborted(Phase::Generating, self.generated(clock::now()).min(tokens)),
        }
    }

    async fn tell_whole(
        &self,
        mut body: Vec<u8>,
        line: &mut Line<'_>,
    ) -> Result<Option<Then>, Gone> {
        let fault = self.fault();
        match fault {
            Some(Fault::Garbage) => body = GARBAGE.to_vec(),
            Some(Fault::EndEarly) => body.truncate(body.len() / 2),
            Some(Fault::ErrorFirst | Fault::ErrorMid) => {
                body.clear();
                let refusal =
                    refusal::Refusal::of_fault(Fault::Status(500), self.options.retry_after);
                let refusal = refusal.expect("a status is an answer");
                refusal.body(self.endpoint.is_anthropic(), "req_mock", &mut body);
            }
            Some(Fault::Huge) => {
                let padding = std::iter::repeat_n(b'x', HUGE_BYTES);
                body.splice(1..1, b"\"padding\":\"".iter().copied().chain(padding).chain(*b"\","));
            }
            Some(Fault::Endless) => {
                let mut out = self.head("application/json", "Transfer-Encoding: chunked\r\n");
                out.extend_from_slice(&framed(b"{\"padding\":\""));
                line.send(&out).await?;
                let frame = framed(&PADDING);
                loop {
                    line.send(&frame).await?;
                }
            }
            _ => {}
        }
        let mut out = self.head("application/json", &format!("Content-Length: {}\r\n", body.len()));
        let half = out.len() + body.len() / 2;
        out.append(&mut body);
        match fault {
            Some(Fault::StallMid) => {
                line.send(&out[..half]).await?;
                return Err(line.for_ever().await);
            }
            Some(Fault::ResetMid | Fault::Truncate) => {
                line.send(&out[..half]).await?;
                let resets = fault == Some(Fault::ResetMid);
                return Ok(Some(if resets { Then::Reset } else { Then::Close }));
            }
            _ => {}
        }
        send_split(line, self.options.split, &out).await?;
        let is_sound = matches!(fault, None | Some(Fault::Slow | Fault::NoUsage | Fault::NoDone));
        Ok((!is_sound).then_some(Then::Again))
    }
}

// === impl Stream ===

impl Stream<'_, '_> {
    /// Sends what has been written, as one chunk (or as many small ones).
    async fn flush(&mut self) -> Result<(), Gone> {
        if self.options.eol != Eol::Lf {
            let eol: &[u8] = if self.options.eol == Eol::CrLf { b"\r\n" } else { b"\r" };
            self.events = with_ends(&self.events, eol);
        }
        let pieces = self.options.split.unwrap_or(usize::MAX);
        for piece in self.events.chunks(pieces) {
            frame(piece, &mut self.out);
            if self.options.split.is_some() {
                self.line.send(&self.out).await?;
                self.has_begun = true;
                self.out.clear();
            }
        }
        self.events.clear();
        if !self.out.is_empty() {
            self.line.send(&self.out).await?;
            self.has_begun = true;
            self.out.clear();
        }
        Ok(())
    }

    /// The last bytes and the end of the body.
    async fn finish(&mut self) -> Result<(), Gone> {
        if self.options.split.is_some() || self.options.eol != Eol::Lf {
            self.flush().await?;
        } else if !self.events.is_empty() {
            frame(&self.events, &mut self.out);
            self.events.clear();
        }
        self.out.extend_from_slice(b"0\r\n\r\n");
        self.flush().await
    }
}

/// Every event ends with an empty line.
fn leave_last_away(events: &mut Vec<u8>) {
    let before = events.len().saturating_sub(2);
    let end = events[..before].windows(2).rposition(|two| two == b"\n\n");
    events.truncate(end.map_or(0, |end| end + 2));
}

/// What the usage is when only so many tokens were sent.
pub fn usage_of(answer: &Answer, end: End, sent: u64) -> Usage {
    match end {
        End::Completed => answer.usage,
        _ => {
            let hidden = if sent > 0 { answer.draft.hidden } else { 0 };
            Usage { output: (sent + hidden) * answer.choices, ..answer.usage }
        }
    }
}

async fn send_split(line: &mut Line<'_>, split: Option<usize>, bytes: &[u8]) -> Result<(), Gone> {
    for piece in bytes.chunks(split.unwrap_or(usize::MAX)) {
        line.send(piece).await?;
    }
    Ok(())
}

fn frame(piece: &[u8], out: &mut Vec<u8>) {
    super::wire::put(out, format_args!("{:x}\r\n", piece.len()));
    out.extend_from_slice(piece);
    out.extend_from_slice(b"\r\n");
}

fn framed(piece: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(piece.len() + 16);
    frame(piece, &mut out);
    out
}

/// JSON holds no bare line feed, so every one of them ends a line of the stream.
fn with_ends(events: &[u8], eol: &[u8]) -> Vec<u8> {
    events.split_inclusive(|&b| b == b'\n').fold(Vec::new(), |mut out, line| {
        out.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
        if line.ends_with(b"\n") {
            out.extend_from_slice(eol);
        }
        out
    })
}
