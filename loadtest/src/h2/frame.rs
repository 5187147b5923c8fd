//! Frames as bytes (RFC 9113 section 4): taking one off the front of what was received, writing
//! the ones we send. Pure.
//!
//! Invariant: a frame is handed out whole or not at all; the largest is the protocol's default,
//! because neither side here ever asks for more.

use super::Fault;

pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Every frame begins with so many bytes.
pub const HEAD: usize = 9;
/// SETTINGS_MAX_FRAME_SIZE where nothing was said.
pub const PAYLOAD_MAX: usize = 16 * 1024;
pub const WINDOW_MAX: i64 = (1 << 31) - 1;
pub const WINDOW_DEFAULT: i64 = 65_535;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const WITH_PRIORITY: u8 = 0x20;

pub const HEADER_TABLE_SIZE: u16 = 1;
pub const ENABLE_PUSH: u16 = 2;
pub const MAX_CONCURRENT_STREAMS: u16 = 3;
pub const INITIAL_WINDOW_SIZE: u16 = 4;
pub const MAX_FRAME_SIZE: u16 = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub kind: u8,
    pub flags: u8,
    pub id: u32,
    pub payload: &'a [u8],
}

// === impl Frame ===

impl<'a> Frame<'a> {
    /// The frame at the front; `None` if its end is not there yet.
    pub fn parse(bytes: &'a [u8]) -> Result<Option<Frame<'a>>, Fault> {
        let Some((head, rest)) = bytes.split_at_checked(HEAD) else {
            return Ok(None);
        };
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        if length > PAYLOAD_MAX {
            return Err(Fault("frame too large"));
        }
        let Some(payload) = rest.get(..length) else {
            return Ok(None);
        };
        let id = number(&head[5..9]) & 0x7fff_ffff;
        Ok(Some(Frame { kind: head[3], flags: head[4], id, payload }))
    }

    #[must_use]
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The payload of DATA or HEADERS without padding and priority.
    pub fn content(&self) -> Result<&'a [u8], Fault> {
        const SHORT: Fault = Fault("padding longer than its frame");
        let mut content = self.payload;
        let mut padding = 0;
        if self.has(PADDED) {
            let (&length, rest) = content.split_first().ok_or(SHORT)?;
            (padding, content) = (usize::from(length), rest);
        }
        if self.kind == HEADERS && self.has(WITH_PRIORITY) {
            content = content.get(5..).ok_or(SHORT)?;
        }
        let end = content.len().checked_sub(padding).ok_or(SHORT)?;
        Ok(&content[..end])
    }

    /// The payload's only number: of RST_STREAM and WINDOW_UPDATE.
    pub fn word(&self) -> Result<u32, Fault> {
        if self.payload.len() != 4 {
            return Err(Fault("frame of a wrong size"));
        }
        Ok(number(self.payload))
    }
}

/// Big-endian.
#[must_use]
pub fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |sum, &byte| sum << 8 | u32::from(byte))
}

/// A frame's nine bytes; the caller bounds the length.
pub fn head(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, id: u32) {
    debug_assert!(length <= 0x00ff_ffff, "24 bits of length");
    let length = u32::try_from(length).unwrap_or(0).to_be_bytes();
    let id = id.to_be_bytes();
    out.extend_from_slice(&[
        length[1], length[2], length[3], kind, flags, id[0], id[1], id[2], id[3],
    ]);
}

/// A frame whose payload is one number.
pub fn word(out: &mut Vec<u8>, kind: u8, id: u32, value: u32) {
    head(out, 4, kind, 0, id);
    out.extend_from_slice(&value.to_be_bytes());
}

pub fn settings(out: &mut Vec<u8>, list: &[(u16, u32)]) {
    head(out, list.len() * 6, SETTINGS, 0, 0);
    for (name, value) in list {
        out.extend_from_slice(&name.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

pub fn goaway(out: &mut Vec<u8>, last: u32, code: u32) {
    head(out, 8, GOAWAY, 0, 0);
    out.extend_from_slice(&last.to_be_bytes());
    out.extend_from_slice(&code.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_whole_or_absent() {
        let mut bytes = Vec::new();
        word(&mut bytes, WINDOW_UPDATE, 3, 70_000);
        for end in 0..bytes.len() {
            assert_eq!(Frame::parse(&bytes[..end]), Ok(None));
        }
        bytes.push(9);
        let frame = Frame::parse(&bytes).unwrap().unwrap();
        assert_eq!((frame.kind, frame.id, frame.word()), (WINDOW_UPDATE, 3, Ok(70_000)));
        assert_eq!(Frame::parse(&[0, 0x40, 1, 0, 0, 0, 0, 0, 1]), Err(Fault("frame too large")));
    }

    #[test]
    fn padding_and_priority_are_taken_off() {
        let padded =
            |payload| Frame { kind: HEADERS, flags: PADDED | WITH_PRIORITY, id: 1, payload };
        assert_eq!(padded(&[2, 0, 0, 0, 0, 9, b'x', 0, 0]).content(), Ok(&b"x"[..]));
        assert!(padded(&[4, 0, 0, 0, 0, 9, b'x', 0, 0]).content().is_err());
        assert!(padded(&[0, 1, 2]).content().is_err());
        assert!(padded(&[]).content().is_err());
    }
}
