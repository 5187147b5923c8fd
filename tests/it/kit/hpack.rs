//! Reads header blocks: RFC 7541, all of it, slowly and plainly.
//!
//! Shares nothing with the product's decoder, so that what a scenario sees is what was sent. A
//! block that is not well-formed fails the test.

use std::collections::VecDeque;

/// What was decoded so far on a connection.
#[derive(Default)]
pub struct Decoder {
    dynamic: VecDeque<(String, String)>,
    /// How large the table may be; 4096 unless the encoder says otherwise.
    bound: Option<usize>,
}

/// Reads a block from its front.
struct Block<'b> {
    rest: &'b [u8],
}

// === impl Decoder ===

impl Decoder {
    /// The fields of one block, in their order.
    pub fn block(&mut self, bytes: &[u8]) -> Vec<(String, String)> {
        let mut block = Block { rest: bytes };
        let mut fields = Vec::new();
        while let Some(&first) = block.rest.first() {
            match first {
                0x80.. => fields.push(self.indexed(block.integer(7))),
                0x40.. => {
                    let field = self.literal(&mut block, 6);
                    self.dynamic.push_front(field.clone());
                    self.evict();
                    fields.push(field);
                }
                0x20.. => {
                    self.bound = Some(block.integer(5));
                    self.evict();
                }
                _ => fields.push(self.literal(&mut block, 4)),
            }
        }
        fields
    }

    fn literal(&self, block: &mut Block<'_>, prefix: u32) -> (String, String) {
        let name = match block.integer(prefix) {
            0 => block.string(),
            index => self.indexed(index).0,
        };
        (name, block.string())
    }

    fn indexed(&self, index: usize) -> (String, String) {
        assert_ne!(index, 0, "index 0");
        match STATIC.get(index - 1) {
            Some((name, value)) => ((*name).to_owned(), (*value).to_owned()),
            None => self.dynamic.get(index - 1 - STATIC.len()).expect("a known index").clone(),
        }
    }

    /// RFC 7541 section 4.1: each entry counts 32 bytes more than its texts.
    fn evict(&mut self) {
        let size = |field: &(String, String)| field.0.len() + field.1.len() + 32;
        let bound = self.bound.unwrap_or(4096);
        while self.dynamic.iter().map(size).sum::<usize>() > bound {
            self.dynamic.pop_back();
        }
    }
}

// === impl Block ===

impl Block<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.rest.split_first().expect("a whole block");
        self.rest = rest;
        *first
    }

    fn integer(&mut self, prefix: u32) -> usize {
        let full = (1 << prefix) - 1;
        let mut value = usize::from(self.byte()) & full;
        if value < full {
            return value;
        }
        for shift in (0..28).step_by(7) {
            let byte = self.byte();
            value += usize::from(byte & 127) << shift;
            if byte < 128 {
                return value;
            }
        }
        panic!("an integer that is too long");
    }

    fn string(&mut self) -> String {
        let coded = self.rest.first().is_some_and(|first| *first >= 128);
        let len = self.integer(7);
        assert!(len <= self.rest.len(), "a string beyond its block");
        let (bytes, rest) = self.rest.split_at(len);
        self.rest = rest;
        let bytes = if coded { huffman(bytes) } else { bytes.to_vec() };
        bytes.into_iter().map(char::from).collect()
    }
}

/// RFC 7541 appendix B. The code is canonical: its lengths say all.
fn huffman(bytes: &[u8]) -> Vec<u8> {
    let mut order: Vec<(u32, usize)> =
        LENGTHS.iter().enumerate().map(|(symbol, len)| (*len, symbol)).collect();
    order.sort_unstable();
    let (mut code, mut last) = (0u32, 0);
    let mut codes = std::collections::HashMap::new();
    for (len, symbol) in order {
        code <<= len - last;
        codes.insert((len, code), symbol);
        (code, last) = (code + 1, len);
    }
    let bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| u32::from(byte >> at & 1)));
    let (mut out, mut len, mut code) = (Vec::new(), 0, 0);
    for bit in bits {
        (len, code) = (len + 1, code << 1 | bit);
        if let Some(symbol) = codes.get(&(len, code)) {
            out.push(u8::try_from(*symbol).expect("EOS is never sent"));
            (len, code) = (0, 0);
        }
    }
    // What is left is the beginning of EOS: ones.
    assert!(len < 8 && code == (1 << len) - 1, "wrong padding");
    out
}

/// Lengths of the codes of all bytes, and of EOS.
#[rustfmt::skip]
const LENGTHS: [u32; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30,
    28, 28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5,
    7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22,
    22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23,
    22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22,
    21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26,
    26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20,
    24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27,
    27, 28, 27, 27, 27, 27, 27, 26, 30,
];

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
    ("max-forwards", ""), ("proxy-authenticate", ""), ("proxy-authorization", ""),
    ("range", ""), ("referer", ""), ("refresh", ""), ("retry-after", ""), ("server", ""),
    ("set-cookie", ""), ("strict-transport-security", ""), ("transfer-encoding", ""),
    ("user-agent", ""), ("vary", ""), ("via", ""), ("www-authenticate", ""),
];

/// RFC 7541 appendix C.6.1 and C.6.2.
#[test]
fn the_examples_of_rfc_7541_are_read() {
    let hex = |text: &str| -> Vec<u8> {
        let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
        let pair = |two: &[char]| u8::from_str_radix(&two.iter().collect::<String>(), 16);
        digits.chunks(2).map(|two| pair(two).expect("hex")).collect()
    };
    let mut decoder = Decoder { bound: Some(256), ..Decoder::default() };
    let first = decoder.block(&hex(
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 \
         2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
    ));
    let date = "Mon, 21 Oct 2013 20:13:21 GMT";
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let rest = [
        field("cache-control", "private"),
        field("date", date),
        field("location", "https://www.example.com"),
    ];
    assert_eq!(first, [&[field(":status", "302")][..], &rest].concat());
    let second = decoder.block(&hex("4883 640e ffc1 c0bf"));
    assert_eq!(second, [&[field(":status", "307")][..], &rest].concat());
}
