//! Frames on their way out, under the peer's flow control (RFC 9113 section 5.2): what the windows
//! allow becomes bytes to send, the rest waits in its stream's queue. Pure.
//!
//! Invariant: no more DATA is ever written than the peer gave window for, on the stream and on the
//! connection.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::Fault;
use super::frame::{self, WINDOW_DEFAULT, WINDOW_MAX};

/// Rendered at once; the queues wait until it was sent.
const BATCH_MAX: usize = 256 * 1024;

pub struct Outbox {
    /// Ready to be sent.
    pub bytes: Vec<u8>,
    window: i64,
    /// What a new stream may send, and in frames of what size.
    initial: i64,
    frame_max: usize,
    sending: Vec<Sending>,
}

/// A stream that we have not ended.
struct Sending {
    id: u32,
    window: i64,
    queue: VecDeque<Piece>,
}

/// What a stream sends after its header block.
pub enum Piece {
    Bytes {
        bytes: Cow<'static, [u8]>,
        at: usize,
    },
    /// `left` bytes of an endless repetition, from `offset`.
    Cycle {
        of: &'static [u8],
        offset: usize,
        left: u64,
    },
    /// The end, after whatever came before.
    End,
    /// A block that is the end.
    Trailers(Vec<u8>),
    /// RST_STREAM with this code.
    Reset(u32),
}

// === impl Outbox ===

impl Outbox {
    #[must_use]
    pub fn new() -> Outbox {
        Outbox {
            bytes: Vec::with_capacity(4096),
            window: WINDOW_DEFAULT,
            initial: WINDOW_DEFAULT,
            frame_max: frame::PAYLOAD_MAX,
            sending: Vec::new(),
        }
    }

    /// A header block, in as many frames as it needs.
    pub fn headers(&mut self, id: u32, block: &[u8], end: bool) {
        let mut kind = frame::HEADERS;
        let mut rest = block;
        loop {
            let (piece, after) = rest.split_at(rest.len().min(self.frame_max));
            rest = after;
            let mut flags = if rest.is_empty() { frame::END_HEADERS } else { 0 };
            if end && kind == frame::HEADERS {
                flags |= frame::END_STREAM;
            }
            frame::head(&mut self.bytes, piece.len(), kind, flags, id);
            self.bytes.extend_from_slice(piece);
            kind = frame::CONTINUATION;
            if rest.is_empty() {
                return;
            }
        }
    }

    /// A whole body, which is the end of its stream: the common case, and the cheap one.
    pub fn body(&mut self, id: u32, body: Cow<'static, [u8]>) {
        let length = i64::try_from(body.len()).unwrap_or(i64::MAX);
        let fits = body.len() <= self.frame_max && length <= self.window.min(self.initial);
        if fits && !self.is_open(id) {
            self.window -= length;
            frame::head(&mut self.bytes, body.len(), frame::DATA, frame::END_STREAM, id);
            self.bytes.extend_from_slice(&body);
            return;
        }
        self.open(id);
        self.push(id, Piece::Bytes { bytes: body, at: 0 });
        self.push(id, Piece::End);
    }

    /// From now on the stream may be pushed to, until its end.
    pub fn open(&mut self, id: u32) {
        if !self.is_open(id) {
            self.sending.push(Sending { id, window: self.initial, queue: VecDeque::new() });
        }
    }

    #[must_use]
    pub fn is_open(&self, id: u32) -> bool {
        self.sending.iter().any(|stream| stream.id == id)
    }

    /// `false`: the stream is not open any more.
    pub fn push(&mut self, id: u32, piece: Piece) -> bool {
        match self.sending.iter_mut().find(|stream| stream.id == id) {
            Some(stream) => stream.queue.push_back(piece),
            None => return false,
        }
        true
    }

    /// Forgets what is left of a stream; whether there was one.
    pub fn close(&mut self, id: u32) -> bool {
        let before = self.sending.len();
        self.sending.retain(|stream| stream.id != id);
        before > self.sending.len()
    }

    pub fn close_all(&mut self) -> usize {
        std::mem::take(&mut self.sending).len()
    }

    pub fn window_update(&mut self, id: u32, more: u32) -> Result<(), Fault> {
        if more == 0 || more > 0x7fff_ffff {
            return Err(Fault("window update of nothing"));
        }
        let window = match id {
            0 => &mut self.window,
            id => match self.sending.iter_mut().find(|stream| stream.id == id) {
                Some(stream) => &mut stream.window,
                None => return Ok(()), // has ended meanwhile
            },
        };
        *window += i64::from(more);
        if *window > WINDOW_MAX {
            return Err(Fault("window beyond 2^31-1"));
        }
        Ok(())
    }

    /// SETTINGS_INITIAL_WINDOW_SIZE changes the open streams, too (section 6.9.2).
    pub fn set_initial_window(&mut self, value: u32) -> Result<(), Fault> {
        let value = i64::from(value);
        if value > WINDOW_MAX {
            return Err(Fault("window beyond 2^31-1"));
        }
        for stream in &mut self.sending {
            stream.window += value - self.initial;
        }
        self.initial = value;
        Ok(())
    }

    pub fn set_frame_max(&mut self, value: u32) -> Result<(), Fault> {
        if !(16_384..=16_777_215).contains(&value) {
            return Err(Fault("SETTINGS_MAX_FRAME_SIZE"));
        }
        // Larger frames would only make the streams wait for each other.
        self.frame_max = frame::PAYLOAD_MAX;
        Ok(())
    }

    /// Renders what may be sent, one frame of each stream after the other. Whether there is more
    /// that only waits for this batch to be sent.
    pub fn pump(&mut self) -> bool {
        loop {
            let mut moved = false;
            for stream in &mut self.sending {
                if self.bytes.len() < BATCH_MAX {
                    moved |= stream.step(&mut self.bytes, &mut self.window, self.frame_max);
                }
            }
            self.sending.retain(|stream| stream.id != 0);
            if self.bytes.len() >= BATCH_MAX {
                return true;
            }
            if !moved {
                return false;
            }
        }
    }
}

// === impl Sending ===

impl Sending {
    /// One frame, if there is something and the windows allow it. A stream that ends loses its id.
    fn step(&mut self, out: &mut Vec<u8>, window: &mut i64, frame_max: usize) -> bool {
        let Some(piece) = self.queue.front_mut() else {
            return false;
        };
        let allowed = usize::try_from(self.window.min(*window)).unwrap_or(0).min(frame_max);
        let id = self.id;
        let sent = match piece {
            Piece::End => {
                frame::head(out, 0, frame::DATA, frame::END_STREAM, id);
                self.id = 0;
                return true;
            }
            Piece::Trailers(block) => {
                let flags = frame::END_STREAM | frame::END_HEADERS;
                frame::head(out, block.len(), frame::HEADERS, flags, id);
                out.extend_from_slice(block);
                self.id = 0;
                return true;
            }
            Piece::Reset(code) => {
                frame::word(out, frame::RST_STREAM, id, *code);
                self.id = 0;
                return true;
            }
            _ if allowed == 0 && piece.left() > 0 => return false,
            Piece::Bytes { bytes, at } => {
                let sent = allowed.min(bytes.len() - *at);
                frame::head(out, sent, frame::DATA, 0, id);
                out.extend_from_slice(&bytes[*at..*at + sent]);
                *at += sent;
                sent
            }
            Piece::Cycle { of, offset, left } => {
                let sent = usize::try_from(*left).map_or(allowed, |left| left.min(allowed));
                frame::head(out, sent, frame::DATA, 0, id);
                out.extend(of.iter().cycle().skip(*offset % of.len()).take(sent));
                *offset += sent;
                *left -= sent as u64;
                sent
            }
        };
        let taken = i64::try_from(sent).unwrap_or(i64::MAX);
        self.window -= taken;
        *window -= taken;
        if piece.left() == 0 {
            self.queue.pop_front();
            if matches!(self.queue.front(), Some(Piece::End)) {
                // The end rides on the frame just written: its flags are the fifth byte.
                let flags = out.len() - sent - frame::HEAD + 4;
                out[flags] |= frame::END_STREAM;
                self.id = 0;
            }
        }
        true
    }
}

// === impl Piece ===

impl Piece {
    #[must_use]
    pub fn of(bytes: Vec<u8>) -> Piece {
        Piece::Bytes { bytes: Cow::Owned(bytes), at: 0 }
    }

    fn left(&self) -> u64 {
        match self {
            Piece::Bytes { bytes, at } => (bytes.len() - at) as u64,
            Piece::Cycle { left, .. } => *left,
            Piece::End | Piece::Trailers(_) | Piece::Reset(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::Frame;
    use super::*;

    /// What was written: kind, flags, stream, length.
    fn frames(outbox: &mut Outbox) -> Vec<(u8, u8, u32, usize)> {
        let bytes = std::mem::take(&mut outbox.bytes);
        let mut rest = &bytes[..];
        let mut list = Vec::new();
        while let Some(frame) = Frame::parse(rest).unwrap() {
            list.push((frame.kind, frame.flags, frame.id, frame.payload.len()));
            rest = &rest[frame::HEAD + frame.payload.len()..];
        }
        assert!(rest.is_empty());
        list
    }

    #[test]
    fn a_small_body_is_one_frame() {
        let mut outbox = Outbox::new();
        outbox.body(1, Cow::Borrowed(b"abc"));
        assert_eq!(frames(&mut outbox), [(frame::DATA, frame::END_STREAM, 1, 3)]);
        assert_eq!(outbox.sending.len(), 0);
        outbox.body(3, Cow::Borrowed(b""));
        assert_eq!(frames(&mut outbox), [(frame::DATA, frame::END_STREAM, 3, 0)]);
    }

    #[test]
    fn both_windows_are_kept() {
        let mut outbox = Outbox::new();
        outbox.set_initial_window(40_000).unwrap();
        for id in [1, 3] {
            outbox.open(id);
            outbox.push(id, Piece::Cycle { of: b"xy", offset: 0, left: 50_000 });
            outbox.push(id, Piece::End);
        }
        assert!(!outbox.pump());
        let sent = |list: &[(u8, u8, u32, usize)], id| -> usize {
            list.iter().filter(|f| f.2 == id).map(|f| f.3).sum()
        };
        let list = frames(&mut outbox);
        assert_eq!(sent(&list, 1) + sent(&list, 3), 65_535, "the connection's window");
        assert!(sent(&list, 1) <= 40_000 && sent(&list, 3) <= 40_000);
        outbox.window_update(0, 1_000_000).unwrap();
        outbox.pump();
        assert_eq!(
            sent(&list, 1) + sent(&list, 3) + {
                let more = frames(&mut outbox);
                sent(&more, 1) + sent(&more, 3)
            },
            80_000,
            "the streams' windows"
        );
        outbox.set_initial_window(60_000).unwrap();
        outbox.pump();
        let rest = frames(&mut outbox);
        assert_eq!(rest.iter().filter(|f| f.1 == frame::END_STREAM).count(), 2, "{rest:?}");
        assert_eq!(outbox.sending.len(), 0);
    }

    #[test]
    fn a_stream_that_ends_as_the_batch_is_full_ends_once() {
        let mut outbox = Outbox::new();
        outbox.set_initial_window(1 << 30).unwrap();
        outbox.window_update(0, 1 << 30).unwrap();
        for id in 0..40 {
            outbox.open(2 * id + 1);
            outbox.push(2 * id + 1, Piece::Cycle { of: b"xy", offset: 0, left: 16_384 });
            outbox.push(2 * id + 1, Piece::End);
        }
        let mut list = Vec::new();
        while outbox.pump() {
            list.extend(frames(&mut outbox));
        }
        list.extend(frames(&mut outbox));
        let expected = (0..40).map(|id| (frame::DATA, frame::END_STREAM, 2 * id + 1, 16_384));
        assert_eq!(list, expected.collect::<Vec<_>>());
    }

    #[test]
    fn windows_have_a_bound() {
        let mut outbox = Outbox::new();
        assert!(outbox.window_update(0, 0).is_err());
        assert!(outbox.window_update(0, 0x7fff_ffff).is_err());
        assert!(outbox.window_update(7, 0x7fff_ffff).is_ok(), "a stream that is gone");
        assert!(outbox.set_initial_window(0x8000_0000).is_err());
    }

    #[test]
    fn a_long_block_is_continued() {
        let mut outbox = Outbox::new();
        outbox.headers(5, &[0; 40_000], true);
        let kinds: Vec<_> = frames(&mut outbox).iter().map(|f| (f.0, f.1)).collect();
        let end = frame::END_HEADERS;
        assert_eq!(kinds, [(frame::HEADERS, frame::END_STREAM), (9, 0), (9, end)]);
    }
}
