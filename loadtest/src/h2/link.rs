//! The part of a connection that is the same at both ends: frames to events, header blocks put
//! together, SETTINGS, PING and windows answered, faults told. Pure.
//!
//! Invariant: every DATA byte received is given back to the connection's window, whoever threw the
//! stream away meanwhile.

use std::borrow::Cow;

use super::Fault;
use super::frame::{self, Frame, WINDOW_DEFAULT, WINDOW_MAX};
use super::hpack::Decoder;
use super::outbox::Outbox;

/// A header block in pieces, larger than this, is refused.
const BLOCK_BYTES_MAX: usize = 256 * 1024;
/// The connection's window is filled up again when so much of it was used.
const REFILL: i64 = 1 << 30;

pub struct Link {
    pub decoder: Decoder,
    pub outbox: Outbox,
    /// How many streams the peer lets us begin. What the peer may begin we never bound.
    pub streams_max: u32,
    /// A block whose end has not come: stream, whether it ends the stream, what there is.
    block: Option<(u32, bool, Vec<u8>)>,
    settings_seen: bool,
    used: i64,
}

/// What a frame means to whoever owns the streams.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// Nothing; it was dealt with.
    None,
    Headers {
        id: u32,
        end: bool,
        block: Cow<'a, [u8]>,
    },
    Data {
        id: u32,
        end: bool,
        bytes: &'a [u8],
    },
    Reset {
        id: u32,
        code: u32,
    },
    GoAway {
        last: u32,
        code: u32,
    },
}

// === impl Link ===

impl Link {
    /// A client's: begins with the preface. No table, so that each block stands for itself.
    #[must_use]
    pub fn client() -> Link {
        let mut link = Link::new(0);
        link.outbox.bytes.extend_from_slice(frame::PREFACE);
        link.greet(&[(frame::HEADER_TABLE_SIZE, 0), (frame::ENABLE_PUSH, 0)]);
        link
    }

    #[must_use]
    pub fn server() -> Link {
        let mut link = Link::new(4096);
        link.greet(&[(frame::MAX_CONCURRENT_STREAMS, 100)]);
        link
    }

    fn new(table: usize) -> Link {
        Link {
            decoder: Decoder::new(table),
            outbox: Outbox::new(),
            streams_max: 100, // until its SETTINGS say it (RFC 9113 section 6.5.2)
            block: None,
            settings_seen: false,
            used: 0,
        }
    }

    fn greet(&mut self, settings: &[(u16, u32)]) {
        const WINDOW: u32 = (1 << 31) - 1;
        let out = &mut self.outbox.bytes;
        frame::settings(out, &[settings, &[(frame::INITIAL_WINDOW_SIZE, WINDOW)]].concat());
        frame::word(out, frame::WINDOW_UPDATE, 0, WINDOW - 65_535);
    }

    /// The next frame's event and the frame's length; `None` if its end is not there yet.
    pub fn next<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<(usize, Event<'a>)>, Fault> {
        let Some(frame) = Frame::parse(bytes)? else {
            return Ok(None);
        };
        if !self.settings_seen && (frame.kind != frame::SETTINGS || frame.has(frame::ACK)) {
            return Err(Fault("the first frame is not SETTINGS"));
        }
        if self.block.is_some() && frame.kind != frame::CONTINUATION {
            return Err(Fault("a frame inside a header block"));
        }
        let event = self.event(&frame)?;
        Ok(Some((frame::HEAD + frame.payload.len(), event)))
    }

    fn event<'a>(&mut self, frame: &Frame<'a>) -> Result<Event<'a>, Fault> {
        let of_stream = matches!(
            frame.kind,
            frame::DATA
                | frame::HEADERS
                | frame::PRIORITY
                | frame::RST_STREAM
                | frame::CONTINUATION
        );
        let of_connection = matches!(frame.kind, frame::SETTINGS | frame::PING | frame::GOAWAY);
        if (of_stream && frame.id == 0) || (of_connection && frame.id != 0) {
            eprintln!("DBG {frame:?}");
            return Err(Fault("a frame on the wrong stream"));
        }
        let id = frame.id;
        let end = frame.has(frame::END_STREAM);
        match frame.kind {
            frame::DATA => {
                self.count(frame.payload.len())?;
                Ok(Event::Data { id, end, bytes: frame.content()? })
            }
            frame::HEADERS if frame.has(frame::END_HEADERS) => {
                Ok(Event::Headers { id, end, block: Cow::Borrowed(frame.content()?) })
            }
            frame::HEADERS => {
                self.block = Some((id, end, frame.content()?.to_vec()));
                Ok(Event::None)
            }
            frame::CONTINUATION => self.continued(frame),
            frame::RST_STREAM => Ok(Event::Reset { id, code: frame.word()? }),
            frame::SETTINGS => self.settings(frame),
            frame::PUSH_PROMISE => Err(Fault("a push, which was refused")),
            frame::PING => self.ping(frame),
            frame::GOAWAY if frame.payload.len() < 8 => Err(Fault("frame of a wrong size")),
            frame::GOAWAY => Ok(Event::GoAway {
                last: frame::number(&frame.payload[..4]) & 0x7fff_ffff,
                code: frame::number(&frame.payload[4..8]),
            }),
            frame::WINDOW_UPDATE => {
                self.outbox.window_update(id, frame.word()? & 0x7fff_ffff)?;
                Ok(Event::None)
            }
            _ => Ok(Event::None), // PRIORITY, and kinds nobody knows (section 5.5)
        }
    }

    fn continued<'a>(&mut self, frame: &Frame<'a>) -> Result<Event<'a>, Fault> {
        let (id, end, mut block) = self.block.take().ok_or(Fault("a stray CONTINUATION"))?;
        block.extend_from_slice(frame.payload);
        if id != frame.id || block.len() > BLOCK_BYTES_MAX {
            return Err(Fault("a bad CONTINUATION"));
        }
        if frame.has(frame::END_HEADERS) {
            return Ok(Event::Headers { id, end, block: Cow::Owned(block) });
        }
        self.block = Some((id, end, block));
        Ok(Event::None)
    }

    fn settings(&mut self, frame: &Frame<'_>) -> Result<Event<'static>, Fault> {
        self.settings_seen = true;
        if frame.has(frame::ACK) {
            return if frame.payload.is_empty() {
                Ok(Event::None)
            } else {
                Err(Fault("frame of a wrong size"))
            };
        }
        if !frame.payload.len().is_multiple_of(6) {
            return Err(Fault("frame of a wrong size"));
        }
        for entry in frame.payload.chunks_exact(6) {
            let value = frame::number(&entry[2..]);
            match u16::from_be_bytes([entry[0], entry[1]]) {
                frame::INITIAL_WINDOW_SIZE => self.outbox.set_initial_window(value)?,
                frame::MAX_FRAME_SIZE => self.outbox.set_frame_max(value)?,
                frame::MAX_CONCURRENT_STREAMS => self.streams_max = value,
                _ => {}
            }
        }
        frame::head(&mut self.outbox.bytes, 0, frame::SETTINGS, frame::ACK, 0);
        Ok(Event::None)
    }

    fn ping(&mut self, frame: &Frame<'_>) -> Result<Event<'static>, Fault> {
        if frame.payload.len() != 8 {
            return Err(Fault("frame of a wrong size"));
        }
        if !frame.has(frame::ACK) {
            frame::head(&mut self.outbox.bytes, 8, frame::PING, frame::ACK, 0);
            self.outbox.bytes.extend_from_slice(frame.payload);
        }
        Ok(Event::None)
    }

    fn count(&mut self, bytes: usize) -> Result<(), Fault> {
        self.used += i64::try_from(bytes).unwrap_or(i64::MAX);
        if self.used > WINDOW_MAX {
            return Err(Fault("more DATA than the window allows"));
        }
        if self.used >= REFILL.max(WINDOW_DEFAULT) {
            let used = u32::try_from(self.used).expect("bounded by the window");
            frame::word(&mut self.outbox.bytes, frame::WINDOW_UPDATE, 0, used);
            self.used = 0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, id: u32, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        frame::head(&mut out, payload.len(), kind, flags, id);
        out.extend_from_slice(payload);
        out
    }

    /// A client whose peer has sent its SETTINGS.
    fn greeted() -> Link {
        let mut link = Link::client();
        link.next(&frame(frame::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 7])).unwrap();
        link.outbox.bytes.clear();
        link
    }

    #[test]
    fn the_two_ends_understand_each_other() {
        let (mut client, mut server) = (Link::client(), Link::server());
        let hello = std::mem::take(&mut client.outbox.bytes);
        let mut rest = hello.strip_prefix(frame::PREFACE).unwrap();
        while let Some((used, event)) = server.next(rest).unwrap() {
            assert_eq!(event, Event::None);
            rest = &rest[used..];
        }
        assert!(rest.is_empty());
        let hello = std::mem::take(&mut server.outbox.bytes);
        let mut rest = &hello[..];
        while let Some((used, _)) = client.next(rest).unwrap() {
            rest = &rest[used..];
        }
        assert!(rest.is_empty());
        assert_eq!(client.streams_max, 100);
    }

    #[test]
    fn settings_and_pings_are_answered() {
        let mut link = greeted();
        assert_eq!(link.streams_max, 7);
        link.next(&frame(frame::PING, 0, 0, b"12345678")).unwrap();
        assert_eq!(link.outbox.bytes, frame(frame::PING, frame::ACK, 0, b"12345678"));
    }

    #[test]
    fn a_block_in_pieces_is_put_together() {
        let mut link = greeted();
        let begin = frame(frame::HEADERS, 1, 1, b"ab");
        let (_, event) = link.next(&begin).unwrap().unwrap();
        assert_eq!(event, Event::None);
        assert!(link.next(&frame(frame::PING, 0, 0, b"12345678")).is_err(), "nothing in between");
        let end = frame(frame::CONTINUATION, frame::END_HEADERS, 1, b"c");
        let (_, event) = link.next(&end).unwrap().unwrap();
        let block = Cow::Borrowed(b"abc".as_slice());
        assert_eq!(event, Event::Headers { id: 1, end: true, block });
        assert!(link.next(&end).is_err(), "a stray one");
    }

    #[test]
    fn what_breaks_the_protocol_is_told() {
        let first = frame(frame::PING, 0, 0, b"12345678");
        assert!(Link::client().next(&first).is_err(), "SETTINGS come first");
        for (kind, flags, id, payload) in [
            (frame::DATA, 0, 0, &b"x"[..]),
            (frame::SETTINGS, 0, 1, b""),
            (frame::SETTINGS, frame::ACK, 0, b"123456"),
            (frame::SETTINGS, 0, 0, b"12345"),
            (frame::SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0]),
            (frame::SETTINGS, 0, 0, &[0, 5, 0, 0, 0, 0]),
            (frame::PING, 0, 0, b"1234567"),
            (frame::RST_STREAM, 0, 1, b"123"),
            (frame::GOAWAY, 0, 0, b"1234567"),
            (frame::PUSH_PROMISE, 0, 1, b"1234"),
            (frame::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 0]),
        ] {
            let bytes = frame(kind, flags, id, payload);
            assert!(greeted().next(&bytes).is_err(), "{kind} {payload:?}");
        }
        assert!(greeted().next(&frame(0xb, 0, 0, b"unknown")).is_ok());
    }

    #[test]
    fn the_connection_window_is_filled_up() {
        let mut link = greeted();
        let data = frame(frame::DATA, 0, 1, &[0; 16 * 1024]);
        for _ in 0..(1 << 30) / (16 * 1024) {
            assert!(link.outbox.bytes.is_empty());
            link.next(&data).unwrap();
        }
        let update = Frame::parse(&link.outbox.bytes).unwrap().unwrap();
        assert_eq!((update.kind, update.id, update.word()), (frame::WINDOW_UPDATE, 0, Ok(1 << 30)));
    }
}
