//! Walks the frames of one direction of a connection.
//!
//! Owns RFC 9113 section 4.1 and nothing else: the nine bytes of a frame's head, the first four of
//! its payload, and how much to skip. Knows no meaning. The invariant: the frames told do not
//! depend on how the bytes were split, and nothing is kept but what a split frame needs.

const HEAD: usize = 9;
const LEAD: usize = 4;

/// A frame, as much of it as the meter looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Bytes of payload.
    pub len: u32,
    pub kind: u8,
    pub flags: u8,
    /// Without the reserved bit.
    pub stream: u32,
    /// The payload's first bytes, zeros behind its end.
    pub lead: [u8; LEAD],
}

/// Where in a frame the bytes have stopped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    /// Bytes of payload (or preface) that nobody looks at.
    skip: u32,
    /// The begun frame's bytes.
    begun: [u8; HEAD + LEAD],
    have: u8,
}

// === impl Walk ===

impl Walk {
    /// A direction whose first `skip` bytes are no frame.
    pub(super) fn after(skip: u32) -> Walk {
        Walk { skip, begun: [0; HEAD + LEAD], have: 0 }
    }

    /// The next frame whose first bytes are here; `bytes` becomes what was not looked at.
    #[inline]
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Option<Frame> {
        let skipped = bytes.len().min(self.skip as usize);
        *bytes = &bytes[skipped..];
        self.skip = self.skip.saturating_sub(u32::try_from(skipped).unwrap_or(u32::MAX));
        if self.have == 0
            && let Some(whole) = bytes.first_chunk()
        {
            *bytes = &bytes[wanted(whole)..];
            return Some(self.take(*whole));
        }
        // A frame in pieces: first its head, which says whether there is a payload to look at.
        for of_head in [true, false] {
            let upto = if of_head { HEAD } else { wanted(&self.begun) };
            let have = usize::from(self.have);
            let count = bytes.len().min(upto.saturating_sub(have));
            self.begun[have..have + count].copy_from_slice(&bytes[..count]);
            *bytes = &bytes[count..];
            self.have = u8::try_from(have + count).expect("at most 13");
            if have + count < upto {
                return None;
            }
        }
        self.have = 0;
        Some(self.take(self.begun))
    }

    /// Reads a frame's first bytes and remembers to skip the rest.
    fn take(&mut self, whole: [u8; HEAD + LEAD]) -> Frame {
        let len = length(&whole);
        let [.., kind, flags, s0, s1, s2, s3, l0, l1, l2, l3] = whole;
        let mut lead = [l0, l1, l2, l3];
        lead[LEAD.min(len as usize)..].fill(0);
        self.skip = len.saturating_sub(4);
        let stream = u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]);
        Frame { len, kind, flags, stream, lead }
    }
}

fn length(whole: &[u8; HEAD + LEAD]) -> u32 {
    u32::from_be_bytes([0, whole[0], whole[1], whole[2]])
}

/// How many of a frame's bytes are looked at.
fn wanted(whole: &[u8; HEAD + LEAD]) -> usize {
    HEAD + LEAD.min(length(whole) as usize)
}
