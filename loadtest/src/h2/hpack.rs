//! Header compression (RFC 7541): decodes everything, with the dynamic table; encodes simply:
//! static names, Huffman where it is shorter, nothing indexed, so that a block is a constant. Pure.
//!
//! Invariant: a decoder that was promised a table of no entries keeps no state between blocks.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::{Fault, huffman};

/// Fields of one block together, decoded: more is refused.
const BLOCK_BYTES_MAX: usize = 256 * 1024;
/// What an entry costs beyond its text (RFC 7541 section 4.1).
const ENTRY_OVERHEAD: usize = 32;

pub struct Decoder {
    table: VecDeque<(Vec<u8>, Vec<u8>)>,
    /// Octets the table holds, may hold now, and may ever be told to hold.
    size: usize,
    limit: usize,
    promised: usize,
}

type Field<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

// === impl Decoder ===

impl Decoder {
    /// `promised`: the SETTINGS_HEADER_TABLE_SIZE we sent.
    #[must_use]
    pub fn new(promised: usize) -> Decoder {
        // Until our SETTINGS are read the peer may use the default of 4096 (section 4.2), but only
        // one that sends before it reads: a server never does.
        Decoder { table: VecDeque::new(), size: 0, limit: promised, promised }
    }

    /// Hands out each field of a block. Names are as they came.
    pub fn decode(
        &mut self,
        block: &[u8],
        mut each: impl FnMut(&[u8], &[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut rest = block;
        let mut total = 0;
        let mut any = false;
        while let Some(&first) = rest.first() {
            if first & 0xe0 == 0x20 {
                let limit = integer(&mut rest, 5)?;
                // Section 4.2: at the beginning of a block, and within what was promised.
                if any || limit > self.promised {
                    return Err(Fault("header table size"));
                }
                self.limit = limit;
                self.evict(0);
                continue;
            }
            any = true;
            let keep = first & 0xc0 == 0x40;
            let (name, value) = if first & 0x80 != 0 {
                let index = integer(&mut rest, 7)?;
                self.entry(index)?
            } else {
                let index = integer(&mut rest, if keep { 6 } else { 4 })?;
                let name = match index {
                    0 => text(&mut rest)?,
                    index => self.entry(index)?.0,
                };
                (name, text(&mut rest)?)
            };
            total += name.len() + value.len() + ENTRY_OVERHEAD;
            if total > BLOCK_BYTES_MAX {
                return Err(Fault("header block too large"));
            }
            each(&name, &value)?;
            if keep {
                let (name, value) = (name.into_owned(), value.into_owned());
                self.insert(name, value);
            }
        }
        Ok(())
    }

    fn entry(&self, index: usize) -> Result<Field<'_>, Fault> {
        const BAD: Fault = Fault("header index");
        let at = index.checked_sub(1).ok_or(BAD)?;
        if let Some((name, value)) = STATIC.get(at) {
            return Ok((Cow::Borrowed(name.as_bytes()), Cow::Borrowed(value.as_bytes())));
        }
        let (name, value) = self.table.get(at - STATIC.len()).ok_or(BAD)?;
        Ok((Cow::Borrowed(name), Cow::Borrowed(value)))
    }

    fn insert(&mut self, name: Vec<u8>, value: Vec<u8>) {
        let size = name.len() + value.len() + ENTRY_OVERHEAD;
        self.evict(size);
        // Section 4.4: an entry larger than the table empties it and is not kept.
        if size <= self.limit {
            self.size += size;
            self.table.push_front((name, value));
        }
    }

    fn evict(&mut self, room: usize) {
        while self.size + room > self.limit {
            let Some((name, value)) = self.table.pop_back() else {
                return;
            };
            self.size -= name.len() + value.len() + ENTRY_OVERHEAD;
        }
    }
}

/// Section 5.1.
fn integer(rest: &mut &[u8], prefix: u32) -> Result<usize, Fault> {
    const BAD: Fault = Fault("header integer");
    let (&first, mut tail) = rest.split_first().ok_or(BAD)?;
    let mask = (1usize << prefix) - 1;
    let mut value = usize::from(first) & mask;
    if value == mask {
        let mut shift = 0;
        loop {
            let (&byte, after) = tail.split_first().ok_or(BAD)?;
            tail = after;
            value += usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
            if shift > 28 {
                return Err(BAD);
            }
        }
    }
    *rest = tail;
    Ok(value)
}

/// Section 5.2.
fn text<'a>(rest: &mut &'a [u8]) -> Result<Cow<'a, [u8]>, Fault> {
    let coded = rest.first().is_some_and(|first| first & 0x80 != 0);
    let length = integer(rest, 7)?;
    let (bytes, tail) = rest.split_at_checked(length).ok_or(Fault("header text"))?;
    *rest = tail;
    if !coded {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut plain = Vec::with_capacity(length * 2);
    huffman::decode(bytes, &mut plain).ok_or(Fault("header Huffman code"))?;
    Ok(Cow::Owned(plain))
}

/// Appends one field; `name` in lower case.
pub fn encode(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    let same = |entry: &&(&str, &str)| entry.0 == name;
    if let Some(at) = STATIC.iter().position(|e| e.0 == name && e.1.as_bytes() == value) {
        return encode_integer(out, 7, 0x80, at + 1);
    }
    match STATIC.iter().position(|e| same(&e)) {
        Some(at) => encode_integer(out, 4, 0, at + 1),
        None => {
            out.push(0);
            encode_text(out, name.as_bytes());
        }
    }
    encode_text(out, value);
}

fn encode_text(out: &mut Vec<u8>, text: &[u8]) {
    let coded = huffman::encoded_len(text);
    if coded < text.len() {
        encode_integer(out, 7, 0x80, coded);
        huffman::encode(text, out);
    } else {
        encode_integer(out, 7, 0, text.len());
        out.extend_from_slice(text);
    }
}

fn encode_integer(out: &mut Vec<u8>, prefix: u32, flags: u8, value: usize) {
    let mask = (1usize << prefix) - 1;
    if value < mask {
        out.push(flags | low(value));
        return;
    }
    out.push(flags | low(mask));
    let mut left = value - mask;
    while left >= 0x80 {
        out.push(low(left & 0x7f) | 0x80);
        left >>= 7;
    }
    out.push(low(left & 0x7f));
}

#[expect(clippy::cast_possible_truncation, reason = "the low byte is what is wanted")]
fn low(value: usize) -> u8 {
    value as u8
}

/// Appendix A.
#[rustfmt::skip]
const STATIC: [(&str, &str); 61] = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"),
    (":path", "/index.html"), (":scheme", "http"), (":scheme", "https"), (":status", "200"),
    (":status", "204"), (":status", "206"), (":status", "304"), (":status", "400"),
    (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""),
    ("accept", ""), ("access-control-allow-origin", ""), ("age", ""), ("allow", ""),
    ("authorization", ""), ("cache-control", ""), ("content-disposition", ""),
    ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
    ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""),
    ("date", ""), ("etag", ""), ("expect", ""), ("expires", ""), ("from", ""), ("host", ""),
    ("if-match", ""), ("if-modified-since", ""), ("if-none-match", ""), ("if-range", ""),
    ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""), ("location", ""),
    ("max-forwards", ""), ("proxy-authenticate", ""), ("proxy-authorization", ""), ("range", ""),
    ("referer", ""), ("refresh", ""), ("retry-after", ""), ("server", ""), ("set-cookie", ""),
    ("strict-transport-security", ""), ("transfer-encoding", ""), ("user-agent", ""),
    ("vary", ""), ("via", ""), ("www-authenticate", ""),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(decoder: &mut Decoder, block: &[u8]) -> Result<String, Fault> {
        let mut lines = String::new();
        decoder.decode(block, |name, value| {
            lines.push_str(&String::from_utf8_lossy(name));
            lines.push_str(": ");
            lines.push_str(&String::from_utf8_lossy(value));
            lines.push('\n');
            Ok(())
        })?;
        Ok(lines)
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: String = hex.split_whitespace().collect();
        let pair = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        (0..digits.len()).step_by(2).map(pair).collect()
    }

    /// RFC 7541 appendix C.6: three responses through a table of 256 octets, with evictions.
    #[test]
    fn the_responses_of_the_rfc() {
        let mut decoder = Decoder::new(256);
        let first = "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 \
                     82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3";
        let fields = decoded(&mut decoder, &bytes(first)).unwrap();
        assert_eq!(
            fields,
            ":status: 302\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\n\
             location: https://www.example.com\n"
        );
        assert_eq!(decoder.size, 222);
        let fields = decoded(&mut decoder, &bytes("4883 640e ffc1 c0bf")).unwrap();
        assert!(fields.starts_with(":status: 307\ncache-control: private\n"), "{fields}");
        assert_eq!(decoder.size, 222, ":status: 302 was evicted");
        let third = "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b \
                     d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 \
                     0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07";
        let fields = decoded(&mut decoder, &bytes(third)).unwrap();
        assert!(fields.ends_with(
            "content-encoding: gzip\n\
             set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1\n"
        ));
        assert_eq!(decoder.size, 215);
    }

    #[test]
    fn broken_blocks_are_refused() {
        for block in ["80", "be", "ff", "ffffffffffff7f", "0005aa", "40", "3fe21f", "8820"] {
            assert!(decoded(&mut Decoder::new(4096), &bytes(block)).is_err(), "{block}");
        }
        // A table was not promised, so it may only be told to be empty.
        assert_eq!(decoded(&mut Decoder::new(0), &bytes("2088")).unwrap(), ":status: 200\n");
        assert!(decoded(&mut Decoder::new(0), &bytes("2188")).is_err());
        assert!(decoded(&mut Decoder::new(0), &bytes("400161016288be")).is_err());
    }

    proptest! {
        #[test]
        fn there_and_back(
            fields in proptest::collection::vec(("[a-z-]{1,20}", "[ -~]{0,300}"), 0..10),
        ) {
            let mut block = Vec::new();
            let mut expected = String::new();
            for (name, value) in &fields {
                encode(&mut block, name, value.as_bytes());
                expected.push_str(&format!("{name}: {value}\n"));
            }
            prop_assert_eq!(decoded(&mut Decoder::new(0), &block).unwrap(), expected);
        }

        #[test]
        fn no_bytes_break_it(block in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = Decoder::new(4096);
            let _ = decoder.decode(&block, |_, _| Ok(()));
            prop_assert!(decoder.size <= 4096);
        }
    }
}
