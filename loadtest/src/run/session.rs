//! The generator's end of one HTTP/2 connection: begins requests, takes received bytes, ends
//! requests. Strict on purpose, as `response` is: what a strict client would refuse is an error of
//! the run. Pure: bytes and times are arguments.
//!
//! Invariant: every request that was begun ends exactly once, in [`Session::ended`].

use super::exchange::Outcome;
use super::request::Message;
use super::response::decimal;
use super::sse::Events;
use super::tally::{Answer, Problem, Times};
use crate::clock::Nanos;
use crate::h2::hpack::Decoder;
use crate::h2::link::{Event, Link};
use crate::h2::{self, Fault, frame};

/// A connection is left when it has used up so many of its stream numbers.
const LAST_ID: u32 = 0x7fff_fff0;

pub struct Session {
    pub link: Link,
    /// Requests that have ended since the last look.
    pub ended: Vec<Ended>,
    /// Gaps between events: when, how long.
    pub gaps: Vec<(Nanos, Nanos)>,
    streams: Vec<Stream>,
    next_id: u32,
    /// No more requests on this connection: it said GOAWAY, or we are through with it.
    draining: bool,
    sse: bool,
    grpc: bool,
    /// The last header block and what it says: most answers of a run have the same.
    cached: (Vec<u8>, Head),
}

/// A request to begin.
pub struct Begin {
    pub message: Message,
    pub is_head: bool,
    pub due: Nanos,
    pub starved: bool,
    /// When it fails, and when we hang up if that comes first.
    pub deadline: Nanos,
    pub abort_at: Nanos,
}

pub struct Ended {
    pub times: Times,
    pub sent_bytes: usize,
    pub outcome: Outcome,
}

struct Stream {
    id: u32,
    times: Times,
    deadline: Nanos,
    abort_at: Nanos,
    is_head: bool,
    sent_bytes: usize,
    head: Option<Head>,
    answer: Answer,
    events: Events,
    last_event: Nanos,
}

/// What a header block says, as far as it concerns us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Head {
    status: Option<u16>,
    length: Option<u64>,
    grpc_status: Option<u16>,
}

// === impl Session ===

impl Session {
    #[must_use]
    pub fn new(sse: bool, grpc: bool) -> Session {
        Session {
            link: Link::client(),
            ended: Vec::new(),
            gaps: Vec::new(),
            streams: Vec::new(),
            next_id: 1,
            draining: false,
            sse,
            grpc,
            cached: (Vec::new(), Head::default()),
        }
    }

    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.streams.len()
    }

    /// Whether one more request may begin now.
    #[must_use]
    pub fn has_room(&self, streams: usize) -> bool {
        let max = usize::try_from(self.link.streams_max).unwrap_or(usize::MAX).min(streams);
        !self.draining && self.streams.len() < max
    }

    /// Begins no more; whether all that began has ended.
    pub fn drain(&mut self) -> bool {
        self.draining = true;
        self.streams.is_empty()
    }

    /// Whether the connection is of no more use.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.draining && self.streams.is_empty()
    }

    pub fn begin(&mut self, begin: Begin, now: Nanos) {
        let id = self.next_id;
        self.next_id += 2;
        self.draining |= self.next_id > LAST_ID;
        let Message { block, body } = begin.message;
        let sent_bytes = block.len() + frame::HEAD + body.as_ref().map_or(0, |b| b.len());
        let outbox = &mut self.link.outbox;
        outbox.headers(id, block.as_slice(), body.is_none());
        if let Some(body) = body {
            outbox.body(id, body.into_cow());
        }
        let times = Times { due: begin.due, sent: now, starved: begin.starved, ..Times::default() };
        self.streams.push(Stream {
            id,
            times,
            deadline: begin.deadline,
            abort_at: begin.abort_at,
            is_head: begin.is_head,
            sent_bytes,
            head: None,
            answer: Answer::default(),
            events: Events::default(),
            last_event: 0,
        });
    }

    /// Takes whole frames off the front of `bytes`; says how many bytes. After an error nothing
    /// more may be fed.
    pub fn receive(&mut self, bytes: &[u8], now: Nanos) -> Result<usize, Problem> {
        let mut at = 0;
        while let Some((used, event)) = self.link.next(&bytes[at..]).map_err(broken)? {
            at += used;
            match event {
                Event::None => {}
                Event::Headers { id, end, block } => self.headers(id, end, &block, used, now)?,
                Event::Data { id, end, bytes } => self.data(id, end, bytes, used, now)?,
                Event::Reset { id, code } => {
                    if self.find(id)?.is_some() {
                        self.link.outbox.close(id);
                        self.end(id, Err(Problem::StreamReset(h2::code_name(code))), now);
                    }
                }
                Event::GoAway { last, code } => self.gone_away(last, code, now),
            }
        }
        Ok(at)
    }

    /// Ends what has taken too long, and what we hang up on.
    pub fn cut_overdue(&mut self, now: Nanos) {
        let overdue: Vec<_> = self
            .streams
            .iter()
            .filter(|stream| stream.deadline.min(stream.abort_at) <= now)
            .map(|stream| (stream.id, stream.abort_at <= now))
            .collect();
        for (id, aborted) in overdue {
            self.reset(id);
            if aborted {
                self.take(id, Outcome::Aborted, now);
            } else {
                self.end(id, Err(Problem::Timeout), now);
            }
        }
    }

    /// The earliest moment at which [`Session::cut_overdue`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Nanos {
        let each = self.streams.iter().map(|stream| stream.deadline.min(stream.abort_at));
        each.min().unwrap_or(Nanos::MAX)
    }

    /// The connection is lost, and all that was under way on it.
    pub fn fail_all(&mut self, problem: Problem, now: Nanos) {
        self.draining = true;
        while let Some(stream) = self.streams.first() {
            self.end(stream.id, Err(problem), now);
        }
    }

    fn headers(
        &mut self,
        id: u32,
        end: bool,
        block: &[u8],
        wire: usize,
        now: Nanos,
    ) -> Result<(), Problem> {
        let head = self.decode(block).map_err(broken)?;
        let grpc = self.grpc;
        let Some(stream) = self.find(id)? else {
            return Ok(()); // of a stream that has ended
        };
        stream.answer.wire_bytes += wire as u64;
        if stream.times.first_byte == 0 {
            stream.times.first_byte = now;
        }
        let verdict = stream.take_head(head, end);
        let verdict = match verdict {
            Ok(()) if !end => return Ok(()),
            Ok(()) => stream.complete(grpc.then_some(head.grpc_status)),
            Err(problem) => Err(problem),
        };
        self.finish(id, verdict, end, now);
        Ok(())
    }

    fn data(
        &mut self,
        id: u32,
        end: bool,
        bytes: &[u8],
        wire: usize,
        now: Nanos,
    ) -> Result<(), Problem> {
        let (sse, grpc) = (self.sse, self.grpc);
        let mut gap = None;
        let Some(stream) = self.find(id)? else {
            return Ok(());
        };
        stream.answer.wire_bytes += wire as u64;
        stream.answer.body_bytes += bytes.len() as u64;
        if sse {
            let ended = stream.events.feed(bytes);
            if ended > 0 {
                gap = (stream.answer.events > 0).then(|| (now, now - stream.last_event));
                stream.answer.events += ended;
                stream.last_event = now;
            }
        }
        let too_long =
            stream.head.and_then(|h| h.length).is_some_and(|n| stream.answer.body_bytes > n);
        let verdict = if stream.head.is_none() {
            Err(Problem::Malformed("DATA before HEADERS"))
        } else if too_long || (stream.is_head && !bytes.is_empty()) {
            Err(Problem::Excess)
        } else if end {
            stream.complete(grpc.then_some(None))
        } else {
            self.gaps.extend(gap);
            return Ok(());
        };
        self.gaps.extend(gap);
        self.finish(id, verdict, end, now);
        Ok(())
    }

    /// Ends a request; tells the peer if it still sends, or still expects, something.
    fn finish(&mut self, id: u32, verdict: Result<(), Problem>, end: bool, now: Nanos) {
        if !end || self.link.outbox.is_open(id) {
            self.reset(id);
        }
        self.end(id, verdict, now);
    }

    fn reset(&mut self, id: u32) {
        self.link.outbox.close(id);
        frame::word(&mut self.link.outbox.bytes, frame::RST_STREAM, id, h2::CANCEL);
    }

    fn end(&mut self, id: u32, verdict: Result<(), Problem>, now: Nanos) {
        let Some(stream) = self.streams.iter().find(|stream| stream.id == id) else {
            return;
        };
        let status = stream.head.and_then(|head| head.status).unwrap_or(0);
        let outcome = match verdict {
            Ok(()) => Outcome::Answered(Answer { status, ..stream.answer }),
            Err(problem) => Outcome::Failed(problem),
        };
        self.take(id, outcome, now);
    }

    fn take(&mut self, id: u32, outcome: Outcome, now: Nanos) {
        let Some(at) = self.streams.iter().position(|stream| stream.id == id) else {
            return;
        };
        let stream = self.streams.swap_remove(at);
        let times = Times { ended: now, ..stream.times };
        self.ended.push(Ended { times, sent_bytes: stream.sent_bytes, outcome });
    }

    fn gone_away(&mut self, last: u32, code: u32, now: Nanos) {
        self.draining = true;
        let lost: Vec<u32> = self.streams.iter().map(|s| s.id).filter(|&id| id > last).collect();
        for id in lost {
            self.link.outbox.close(id);
            self.end(id, Err(Problem::GoneAway(h2::code_name(code))), now);
        }
    }

    /// `None`: it has ended. A stream that never began is the connection's fault.
    fn find(&mut self, id: u32) -> Result<Option<&mut Stream>, Problem> {
        if id >= self.next_id || id.is_multiple_of(2) {
            return Err(Problem::Malformed("a frame on an idle stream"));
        }
        Ok(self.streams.iter_mut().find(|stream| stream.id == id))
    }

    fn decode(&mut self, block: &[u8]) -> Result<Head, Fault> {
        if self.cached.0 != block {
            let head = Head::decode(&mut self.link.decoder, block)?;
            self.cached.0.clear();
            self.cached.0.extend_from_slice(block);
            self.cached.1 = head;
        }
        Ok(self.cached.1)
    }
}

// === impl Stream ===

impl Stream {
    fn take_head(&mut self, head: Head, end: bool) -> Result<(), Problem> {
        match (self.head, head.status) {
            // RFC 9113 section 8.1: a second block is the trailers, and the end.
            (Some(_), None) if end => Ok(()),
            (Some(_), _) => Err(Problem::Malformed("a second header block")),
            (None, Some(100..200)) if !end => Ok(()), // interim
            (None, Some(200..600)) => {
                self.head = Some(head);
                Ok(())
            }
            (None, _) => Err(Problem::Malformed(":status")),
        }
    }

    /// All of it has come; `grpc`: whether this is gRPC, and what the trailers said then.
    fn complete(&self, grpc: Option<Option<u16>>) -> Result<(), Problem> {
        let head = self.head.ok_or(Problem::Malformed("an end before HEADERS"))?;
        let bodiless = self.is_head || matches!(head.status, Some(204 | 304));
        if !bodiless && head.length.is_some_and(|length| length > self.answer.body_bytes) {
            return Err(Problem::Truncated);
        }
        match grpc {
            // Not gRPC's answer but a proxy's: the status tells more.
            _ if head.status != Some(200) => Ok(()),
            None | Some(Some(0)) => Ok(()),
            Some(Some(code)) => Err(Problem::Grpc(code)),
            Some(None) => Err(Problem::Malformed("no grpc-status")),
        }
    }
}

// === impl Head ===

impl Head {
    fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Head, Fault> {
        let mut head = Head::default();
        let mut regular = false;
        decoder.decode(block, |name, value| {
            if name.starts_with(b":") {
                if regular || name != b":status" || head.status.is_some() {
                    return Err(Fault("pseudo-header field"));
                }
                head.status = Some(status(value)?);
                return Ok(());
            }
            regular = true;
            // RFC 9113 sections 8.2.1 and 8.2.2.
            if name.is_empty() || name.iter().any(|b| b.is_ascii_uppercase() || *b <= b' ') {
                return Err(Fault("field name"));
            }
            if value.iter().any(|b| matches!(b, 0 | b'\r' | b'\n')) {
                return Err(Fault("field value"));
            }
            match name {
                b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding"
                | b"upgrade" => return Err(Fault("a field of HTTP/1.1's connections")),
                b"content-length" if head.length.is_some() => {
                    return Err(Fault("two content-length"));
                }
                b"content-length" => {
                    head.length = Some(decimal(value).map_err(|_| Fault("content-length"))?);
                }
                b"grpc-status" => {
                    let code = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok());
                    head.grpc_status = Some(code.ok_or(Fault("grpc-status"))?);
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(head)
    }
}

fn status(value: &[u8]) -> Result<u16, Fault> {
    match value {
        [b'1'..=b'5', b'0'..=b'9', b'0'..=b'9'] => {
            Ok(value.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0')))
        }
        _ => Err(Fault(":status")),
    }
}

fn broken(fault: Fault) -> Problem {
    Problem::Malformed(fault.0)
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
