//! WebSocket framing, as far as one who only passes frames on must know it (RFC 6455 section 5.2).
//!
//! Owns where one frame ends and the next begins, and how a Close frame is written. Knows nothing
//! of payloads, masks, fragments or extensions: all of them leave the header's layout alone. The
//! invariant: what a [`Walker`] says does not depend on how the bytes were split on arrival, and no
//! bytes make it fail: an endpoint judges frames, we count them.

use smallvec::SmallVec;

/// Two bytes, eight of an extended length, four of a mask.
const HEAD_BYTES_MAX: usize = 14;
const OPCODE_CLOSE: u8 = 0x8;
/// An endpoint is "going away" (RFC 6455 section 7.4.1).
pub const GOING_AWAY: u16 = 1001;

/// Follows the frames of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walker {
    head: [u8; HEAD_BYTES_MAX],
    /// Bytes of the header that are there.
    have: u8,
    /// Bytes of payload still to come.
    left: u64,
    closed: bool,
}

// === impl Walker ===

impl Walker {
    /// Whether the next byte begins a frame.
    #[must_use]
    pub fn at_boundary(&self) -> bool {
        self.have == 0
    }

    /// Whether a whole Close frame has gone by: no other frame may follow it (section 5.5.1).
    #[must_use]
    pub fn has_closed(&self) -> bool {
        self.closed
    }

    /// Takes in bytes of any number of frames.
    pub fn walk(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = self.frame(bytes);
            bytes = &bytes[taken..];
        }
    }

    /// Takes in the rest of the frame under way and nothing after it: how many bytes that were.
    /// Zero at a boundary.
    pub fn finish_frame(&mut self, bytes: &[u8]) -> usize {
        if self.at_boundary() { 0 } else { self.frame(bytes) }
    }

    /// Takes in bytes up to the end of one frame at most.
    fn frame(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while self.left == 0 {
            let Some(byte) = bytes.get(taken) else { return taken };
            taken += 1;
            self.head[usize::from(self.have)] = *byte;
            self.have += 1;
            if usize::from(self.have) == self.head_len() {
                self.left = self.payload_len();
                if self.left == 0 {
                    self.end();
                    return taken;
                }
            }
        }
        let rest = (bytes.len() - taken) as u64;
        let payload = rest.min(self.left);
        self.left -= payload;
        if self.left == 0 {
            self.end();
        }
        taken + usize::try_from(payload).expect("no more than there are bytes")
    }

    fn end(&mut self) {
        self.closed |= self.head[0] & 0x0f == OPCODE_CLOSE;
        self.have = 0;
    }

    /// How long the header is, as far as it can be told by now.
    fn head_len(&self) -> usize {
        if self.have < 2 {
            return 2;
        }
        let extended = match self.head[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + extended + if self.head[1] & 0x80 != 0 { 4 } else { 0 }
    }

    fn payload_len(&self) -> u64 {
        let number = |bytes: &[u8]| bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b));
        match self.head[1] & 0x7f {
            126 => number(&self.head[2..4]),
            127 => number(&self.head[2..10]),
            short => u64::from(short),
        }
    }
}

/// A Close frame without a reason. RFC 6455 section 5.3: a client's frames are masked, a server's
/// are not.
#[must_use]
pub fn close_frame(code: u16, mask: Option<[u8; 4]>) -> SmallVec<[u8; 8]> {
    let mut frame = SmallVec::new();
    frame.push(0x80 | OPCODE_CLOSE);
    let [high, low] = code.to_be_bytes();
    match mask {
        None => frame.extend_from_slice(&[2, high, low]),
        Some(mask) => {
            frame.push(0x80 | 2);
            frame.extend_from_slice(&mask);
            frame.extend_from_slice(&[high ^ mask[0], low ^ mask[1]]);
        }
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(opcode: u8, len: usize, masked: bool) -> Vec<u8> {
        let mut out = vec![0x80 | opcode];
        let bit = if masked { 0x80 } else { 0 };
        match len {
            0..126 => out.push(bit | u8::try_from(len).unwrap()),
            126..65_536 => {
                out.push(bit | 126);
                out.extend(u16::try_from(len).unwrap().to_be_bytes());
            }
            _ => {
                out.push(bit | 127);
                out.extend((len as u64).to_be_bytes());
            }
        }
        if masked {
            out.extend([0x88, 0, 0x81, 0x7f]);
        }
        // Payload that looks like headers.
        out.extend(std::iter::repeat_n(0x88, len));
        out
    }

    #[test]
    fn boundaries_are_between_frames_only() {
        let mut walker = Walker::default();
        assert!(walker.at_boundary());
        let bytes = frame(2, 3, true);
        for (at, byte) in bytes.iter().enumerate() {
            walker.walk(&[*byte]);
            assert_eq!(walker.at_boundary(), at + 1 == bytes.len(), "after byte {at}");
        }
        walker.walk(&frame(9, 0, false));
        assert!(walker.at_boundary() && !walker.has_closed());
    }

    #[test]
    fn a_close_frame_counts_once_it_is_whole() {
        for mask in [None, Some([1, 2, 3, 4])] {
            let bytes = close_frame(GOING_AWAY, mask);
            let mut walker = Walker::default();
            walker.walk(&bytes[..bytes.len() - 1]);
            assert!(!walker.has_closed() && !walker.at_boundary());
            walker.walk(&bytes[bytes.len() - 1..]);
            assert!(walker.has_closed() && walker.at_boundary());
        }
        assert_eq!(&close_frame(1001, None)[..], [0x88, 2, 0x03, 0xe9]);
        let masked = close_frame(1001, Some([0xff, 0, 9, 9]));
        assert_eq!(&masked[..], [0x88, 0x82, 0xff, 0, 9, 9, 0xfc, 0xe9]);
    }

    #[test]
    fn a_length_of_all_ones_is_a_frame_that_never_ends() {
        let mut walker = Walker::default();
        walker.walk(&[0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255]);
        walker.walk(&[0; 4096]);
        assert!(!walker.at_boundary());
    }

    proptest! {
        #[test]
        fn any_split_ends_the_same_and_a_frames_rest_is_exact(
            frames in proptest::collection::vec((0_u8..16, 0_usize..300, any::<bool>()), 1..6),
            long in any::<bool>(),
            cuts in proptest::collection::vec(1_usize..200, 0..40),
        ) {
            let mut all: Vec<Vec<u8>> =
                frames.iter().map(|(opcode, len, masked)| frame(*opcode, *len, *masked)).collect();
            if long {
                all.push(frame(1, 70_000, true));
            }
            let bytes = all.concat();
            let ends: Vec<usize> =
                all.iter().scan(0, |at, f| { *at += f.len(); Some(*at) }).collect();
            let mut whole = Walker::default();
            whole.walk(&bytes);
            prop_assert!(whole.at_boundary());
            prop_assert_eq!(whole.has_closed(), frames.iter().any(|(opcode, ..)| *opcode == 8));

            let (mut split, mut at) = (Walker::default(), 0);
            for cut in cuts {
                let to = (at + cut).min(bytes.len());
                split.walk(&bytes[at..to]);
                at = to;
                prop_assert_eq!(split.at_boundary(), at == 0 || ends.contains(&at));
                // From anywhere, the rest of the frame under way is what leads to the next end.
                let mut other = split;
                let rest = other.finish_frame(&bytes[at..]);
                let next = ends.iter().copied().find(|end| *end >= at).unwrap_or(at);
                prop_assert_eq!(rest, if split.at_boundary() { 0 } else { next - at });
            }
            split.walk(&bytes[at..]);
            prop_assert_eq!(split.at_boundary(), true);
            prop_assert_eq!(split.has_closed(), whole.has_closed());
        }
    }
}
