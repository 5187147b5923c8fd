//! WebSocket's wire (RFC 6455) for both verbs: the handshake's answer, frame heads, masking. Pure.
//! No extensions: a reserved bit is refused.
//!
//! Invariant: a frame's head is handed out only when it is whole, and its length is bounded.

use aws_lc_rs::digest;

/// A frame larger than this is refused.
pub const PAYLOAD_MAX: usize = 64 << 20;

pub const CONTINUATION: u8 = 0;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub fin: bool,
    pub opcode: u8,
    pub key: Option<[u8; 4]>,
    /// Of the head itself, and of the payload behind it.
    pub len: usize,
    pub payload: usize,
}

// === impl Head ===

impl Head {
    /// The head at the front; `None` if its end is not there yet.
    pub fn parse(bytes: &[u8]) -> Result<Option<Head>, &'static str> {
        let [first, second, rest @ ..] = bytes else {
            return Ok(None);
        };
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
        if first & 0x70 != 0 {
            return Err("a reserved bit");
        }
        if !matches!(opcode, 0..=2 | CLOSE..=PONG) {
            return Err("an unknown opcode");
        }
        let short = usize::from(second & 0x7f);
        if opcode >= CLOSE && (!fin || short > 125) {
            return Err("a long or broken control frame");
        }
        let extra = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let Some(length) = rest.get(..extra) else {
            return Ok(None);
        };
        let payload = if extra == 0 {
            short
        } else {
            let wide = length.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
            usize::try_from(wide).unwrap_or(usize::MAX)
        };
        // Section 5.2: the shortest form of the length.
        if payload > PAYLOAD_MAX || (extra == 2 && payload < 126) || (extra == 8 && payload < 65536)
        {
            return Err("a length");
        }
        let mut len = 2 + extra;
        let mut key = None;
        if second & 0x80 != 0 {
            let Some(bytes) = rest.get(extra..extra + 4) else {
                return Ok(None);
            };
            key = Some([bytes[0], bytes[1], bytes[2], bytes[3]]);
            len += 4;
        }
        Ok(Some(Head { fin, opcode, key, len, payload }))
    }

    /// The whole frame.
    #[must_use]
    pub fn total(&self) -> usize {
        self.len + self.payload
    }
}

/// Appends a frame, masked if there is a key.
pub fn frame(out: &mut Vec<u8>, fin: bool, opcode: u8, key: Option<[u8; 4]>, payload: &[u8]) {
    out.push(opcode | if fin { 0x80 } else { 0 });
    let masked = if key.is_some() { 0x80 } else { 0 };
    match payload.len() {
        short @ 0..126 => out.push(masked | u8::try_from(short).expect("below 126")),
        middle @ 126..65536 => {
            out.push(masked | 126);
            out.extend_from_slice(&(middle as u64).to_be_bytes()[6..]);
        }
        long => {
            out.push(masked | 127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend(key.into_iter().flatten());
    let at = out.len();
    out.extend_from_slice(payload);
    if let Some(key) = key {
        mask(&mut out[at..], key);
    }
}

/// Masks, and unmasks (section 5.3).
pub fn mask(payload: &mut [u8], key: [u8; 4]) {
    for four in payload.chunks_mut(4) {
        for (byte, key) in four.iter_mut().zip(key) {
            *byte ^= key;
        }
    }
}

/// What Sec-WebSocket-Accept says to this key (section 4.2.2).
#[must_use]
pub fn accept(key: &str) -> String {
    const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let joined = format!("{key}{GUID}");
    base64(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, joined.as_bytes()).as_ref())
}

#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let sum = (0..3).fold(0, |sum, at| sum << 8 | three.get(at).map_or(0, |&b| usize::from(b)));
        for at in 0..4 {
            let digit = char::from(DIGITS[sum >> (18 - 6 * at) & 63]);
            out.push(if at <= three.len() { digit } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 6455 section 1.3, and RFC 4648 section 10.
    #[test]
    fn the_examples_of_the_rfcs() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        for (plain, coded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
        // Section 5.7: a masked "Hello".
        let mut out = Vec::new();
        frame(&mut out, true, 1, Some([0x37, 0xfa, 0x21, 0x3d]), b"Hello");
        let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(out, hello);
    }

    #[test]
    fn broken_heads_are_refused() {
        for bytes in [
            &[0xc2, 0][..],
            &[0x83, 0],
            &[0x09, 0],
            &[0x89, 126, 0, 200],
            &[0x82, 126, 0, 125],
            &[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
            &[0x82, 127, 0xff, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert!(Head::parse(bytes).is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn there_and_back(length in 0usize..70_000, key in any::<Option<[u8; 4]>>()) {
            let payload: Vec<u8> = (0..length).map(|i| u8::try_from(i % 251).unwrap()).collect();
            let mut out = Vec::new();
            frame(&mut out, true, BINARY, key, &payload);
            for end in 0..out.len() - length {
                prop_assert_eq!(Head::parse(&out[..end]), Ok(None));
            }
            let head = Head::parse(&out).unwrap().unwrap();
            prop_assert_eq!((head.total(), head.payload, head.key), (out.len(), length, key));
            if let Some(key) = key {
                mask(&mut out[head.len..], key);
            }
            prop_assert_eq!(&out[head.len..], &payload[..]);
        }
    }
}
