//! What gRPC-Web adds for browsers, which see no trailers: they come as the body's last frame; and
//! for those that cannot read bytes, the body is in base64.
//!
//! Owns the trailer frame and the coding as streams ("PROTOCOL-WEB"). Knows no messages: request
//! and response frames pass as they are. The invariant: what a decoder gives does not depend on how
//! the text was split on arrival, and each holds at most one group of four.

use super::super::write::Out;

/// The flag that makes a frame the trailers'.
const TRAILERS: u8 = 0x80;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const NONE: u8 = u8::MAX;
static VALUE: [u8; 256] = values();

/// The text is not base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotBase64;

/// Bytes to base64, in pieces.
#[derive(Clone, Debug, Default)]
pub struct Encoder {
    left: [u8; 2],
    have: usize,
}

/// Base64 to bytes, in pieces. Each part may have its padding: clients encode message by message.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    group: [u8; 4],
    have: usize,
}

/// Writes the frame that stands for the trailers. Names are in lower case (the protocol asks for
/// it), whatever they were; names and values were parsed.
pub fn put_trailers<'a>(
    trailers: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
    out: &mut impl Out,
) {
    let line = |(name, value): (&[u8], &[u8])| name.len() + value.len() + ": \r\n".len();
    let len: usize = trailers.clone().map(line).sum();
    // Trailers are bounded by `bounds::TRAILER_BYTES_MAX`, or by a head.
    let len = u32::try_from(len).expect("trailers are far below 4 GiB");
    out.put(&[TRAILERS]);
    out.put(&len.to_be_bytes());
    for (name, value) in trailers {
        for b in name {
            out.put(&[b.to_ascii_lowercase()]);
        }
        out.put(b": ");
        out.put(value);
        out.put(b"\r\n");
    }
}

// === impl Encoder ===

impl Encoder {
    /// Takes in bytes and writes what is whole of them.
    pub fn put(&mut self, mut bytes: &[u8], out: &mut impl Out) {
        while self.have > 0 && !bytes.is_empty() {
            if self.have < 2 {
                self.left[1] = bytes[0];
                self.have = 2;
            } else {
                out.put(&group([self.left[0], self.left[1], bytes[0]]));
                self.have = 0;
            }
            bytes = &bytes[1..];
        }
        let (groups, left) = bytes.as_chunks();
        for three in groups {
            out.put(&group(*three));
        }
        if self.have == 0 {
            self.left[..left.len()].copy_from_slice(left);
            self.have = left.len();
        }
    }

    /// Writes what is left, padded: at the end, and wherever the client must see all so far.
    pub fn flush(&mut self, out: &mut impl Out) {
        let [a, b, c, _] = match self.have {
            0 => return,
            1 => group([self.left[0], 0, 0]),
            _ => group([self.left[0], self.left[1], 0]),
        };
        out.put(&[a, b, if self.have == 1 { b'=' } else { c }, b'=']);
        self.have = 0;
    }
}

// === impl Decoder ===

impl Decoder {
    /// Takes in text and writes the bytes of its whole groups.
    pub fn put(&mut self, text: &[u8], out: &mut impl Out) -> Result<(), NotBase64> {
        for &b in text {
            self.group[self.have] = b;
            self.have += 1;
            if self.have == 4 {
                self.have = 0;
                let (bytes, len) = ungroup(self.group).ok_or(NotBase64)?;
                out.put(&bytes[..len]);
            }
        }
        Ok(())
    }

    /// The text has ended: in the middle of a group it is none.
    pub fn finish(&self) -> Result<(), NotBase64> {
        if self.have == 0 { Ok(()) } else { Err(NotBase64) }
    }
}

fn group([a, b, c]: [u8; 3]) -> [u8; 4] {
    let bits = u32::from_be_bytes([0, a, b, c]);
    [18, 12, 6, 0].map(|shift| ALPHABET[(bits >> shift & 63) as usize])
}

/// The bytes of a group and how many they are. RFC 4648 3.5: bits behind the last byte are zero, or
/// two texts would say the same.
fn ungroup(text: [u8; 4]) -> Option<([u8; 3], usize)> {
    let len = match text {
        [_, _, b'=', b'='] => 1,
        [_, _, _, b'='] => 2,
        _ => 3,
    };
    let mut bits = 0;
    for (at, &b) in text.iter().enumerate() {
        let value = if at > len { 0 } else { VALUE[usize::from(b)] };
        if value == NONE {
            return None;
        }
        bits = bits << 6 | u32::from(value);
    }
    let [_, bytes @ ..] = bits.to_be_bytes();
    bytes[len..].iter().all(|&b| b == 0).then_some((bytes, len))
}

#[expect(clippy::cast_possible_truncation, reason = "the alphabet has 64 letters")]
const fn values() -> [u8; 256] {
    let mut table = [NONE; 256];
    let mut i = 0;
    while i < ALPHABET.len() {
        table[ALPHABET[i] as usize] = i as u8;
        i += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(bytes: &[u8]) -> String {
        let (mut encoder, mut out) = (Encoder::default(), Vec::new());
        encoder.put(bytes, &mut out);
        encoder.flush(&mut out);
        String::from_utf8(out).expect("ASCII")
    }

    fn decoded(text: &[u8]) -> Result<Vec<u8>, NotBase64> {
        let (mut decoder, mut out) = (Decoder::default(), Vec::new());
        decoder.put(text, &mut out)?;
        decoder.finish()?;
        Ok(out)
    }

    #[test]
    fn the_vectors_of_rfc_4648() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encoded(bytes.as_bytes()), text);
            assert_eq!(decoded(text.as_bytes()), Ok(bytes.as_bytes().to_vec()));
        }
        assert_eq!(decoded(b"Zg==Zm8=Zm9v"), Ok(b"ffofoo".to_vec()));
        for bad in
            ["Z", "Zg", "Zg=", "Zh==", "Zm9=", "Z===", "====", "=Zg=", "Zg=x", "Zm9-", "Zg\n="]
        {
            assert_eq!(decoded(bad.as_bytes()), Err(NotBase64), "{bad}");
        }
    }

    #[test]
    fn trailers_become_the_last_frame() {
        let mut out = Vec::new();
        let trailers: [(&[u8], &[u8]); 2] = [(b"Grpc-Status", b"0"), (b"x", b"y z")];
        put_trailers(trailers.into_iter(), &mut out);
        assert_eq!(out, b"\x80\0\0\0\x18grpc-status: 0\r\nx: y z\r\n".as_slice());
        assert_eq!(out.len(), 5 + 0x18);
        out.clear();
        put_trailers(std::iter::empty(), &mut out);
        assert_eq!(out, b"\x80\0\0\0\0");
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn bytes_survive_whatever_the_pieces(
            pieces in proptest::collection::vec(
                (proptest::collection::vec(any::<u8>(), 0..10), any::<bool>()), 0..12),
            cut in 1usize..7,
        ) {
            let (mut encoder, mut text) = (Encoder::default(), Vec::new());
            for (bytes, flush) in &pieces {
                encoder.put(bytes, &mut text);
                if *flush {
                    encoder.flush(&mut text);
                    prop_assert_eq!(text.len() % 4, 0);
                }
            }
            encoder.flush(&mut text);
            let (mut decoder, mut out) = (Decoder::default(), Vec::new());
            for piece in text.chunks(cut) {
                prop_assert_eq!(decoder.put(piece, &mut out), Ok(()));
            }
            prop_assert_eq!(decoder.finish(), Ok(()));
            let whole: Vec<u8> = pieces.into_iter().flat_map(|(bytes, _)| bytes).collect();
            prop_assert_eq!(out, whole);
        }

        #[test]
        fn what_decodes_is_what_encodes(text in "[A-Da-d+/=]{0,16}") {
            let in_one = !text.trim_end_matches('=').contains('=');
            if let Ok(bytes) = decoded(text.as_bytes()) && in_one {
                prop_assert_eq!(encoded(&bytes), text);
            }
        }
    }
}
