//! HPACK's Huffman code (RFC 7541 section 5.2 and appendix B). The code is canonical: the lengths
//! alone give it, so the lengths are all that stands here. Pure.
//!
//! Invariant: what [`encode`] writes, [`decode`] reads; padding that is not a prefix of EOS, or is
//! longer than seven bits, is refused.

use std::sync::LazyLock;

/// Bits of each symbol's code; the last is EOS, which nobody may send.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28,
    28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11,
    10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8,
    15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5,
    6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7,
    7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23,
    23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21,
    23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25,
    26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26,
    28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

const EOS: u16 = 256;
const BITS_MAX: usize = 30;

struct Code {
    /// Of each length: the first code, where its symbols begin in `symbols`, and how many.
    first: [u32; BITS_MAX + 1],
    offset: [usize; BITS_MAX + 1],
    count: [u32; BITS_MAX + 1],
    /// In the order of their codes.
    symbols: Vec<u16>,
    /// By symbol.
    codes: Vec<u32>,
}

static CODE: LazyLock<Code> = LazyLock::new(Code::canonical);

// === impl Code ===

impl Code {
    fn canonical() -> Code {
        let mut symbols: Vec<u16> = (0..=EOS).collect();
        symbols.sort_by_key(|&symbol| LENGTHS[usize::from(symbol)]);
        let mut code = Code {
            first: [0; BITS_MAX + 1],
            offset: [0; BITS_MAX + 1],
            count: [0; BITS_MAX + 1],
            symbols,
            codes: vec![0; LENGTHS.len()],
        };
        let (mut next, mut length) = (0u32, 0usize);
        for (at, &symbol) in code.symbols.iter().enumerate() {
            let bits = usize::from(LENGTHS[usize::from(symbol)]);
            next <<= bits - length;
            length = bits;
            if code.count[bits] == 0 {
                (code.first[bits], code.offset[bits]) = (next, at);
            }
            code.count[bits] += 1;
            code.codes[usize::from(symbol)] = next;
            next += 1;
        }
        code
    }
}

/// Appends the text; `None` if it is not one.
pub fn decode(coded: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let code = &*CODE;
    let (mut value, mut bits) = (0u32, 0usize);
    for byte in coded {
        for shift in (0..8).rev() {
            value = value << 1 | u32::from(byte >> shift & 1);
            bits += 1;
            if bits > BITS_MAX {
                return None;
            }
            let above = value.wrapping_sub(code.first[bits]);
            if value >= code.first[bits] && above < code.count[bits] {
                let symbol = code.symbols[code.offset[bits] + above as usize];
                out.push(u8::try_from(symbol).ok()?); // EOS is an error (section 5.2)
                (value, bits) = (0, 0);
            }
        }
    }
    // Padding: fewer than eight bits, all ones.
    (bits < 8 && value == (1 << bits) - 1).then_some(())
}

/// How long the text becomes.
#[must_use]
pub fn encoded_len(text: &[u8]) -> usize {
    let bits: usize = text.iter().map(|&b| usize::from(LENGTHS[usize::from(b)])).sum();
    bits.div_ceil(8)
}

pub fn encode(text: &[u8], out: &mut Vec<u8>) {
    let code = &*CODE;
    let (mut value, mut bits) = (0u64, 0u32);
    for &byte in text {
        let length = u32::from(LENGTHS[usize::from(byte)]);
        value = value << length | u64::from(code.codes[usize::from(byte)]);
        bits += length;
        while bits >= 8 {
            bits -= 8;
            out.push((value >> bits & 0xff) as u8);
        }
    }
    if bits > 0 {
        let padded = value << (8 - bits) | (0xff >> bits);
        out.push((padded & 0xff) as u8);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(coded: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        decode(coded, &mut out).map(|()| out)
    }

    /// RFC 7541 appendix C.4.1 and C.6.1.
    #[test]
    fn the_examples_of_the_rfc() {
        let www = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
        assert_eq!(decoded(&www).unwrap(), b"www.example.com");
        let mut coded = Vec::new();
        encode(b"www.example.com", &mut coded);
        assert_eq!(coded, www);
        assert_eq!(decoded(&[0xae, 0xc3, 0x77, 0x1a, 0x4b]).unwrap(), b"private");
        let date = [
            0xd0, 0x7a, 0xbe, 0x94, 0x10, 0x54, 0xd4, 0x44, 0xa8, 0x20, 0x05, 0x95, 0x04, 0x0b,
            0x81, 0x66, 0xe0, 0x82, 0xa6, 0x2d, 0x1b, 0xff,
        ];
        assert_eq!(decoded(&date).unwrap(), b"Mon, 21 Oct 2013 20:13:21 GMT");
    }

    #[test]
    fn bad_padding_is_refused() {
        assert!(decoded(&[0x00]).is_none(), "padded with zeros"); // '0', then 000
        assert!(decoded(&[0xff]).is_none(), "eight bits of padding");
        assert!(decoded(&[0xff, 0xff, 0xff, 0xff]).is_none(), "EOS");
    }

    proptest! {
        #[test]
        fn there_and_back(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut coded = Vec::new();
            encode(&text, &mut coded);
            prop_assert_eq!(coded.len(), encoded_len(&text));
            prop_assert_eq!(decoded(&coded), Some(text));
        }
    }
}
