//! Eight bytes at a time: where in a text a byte of some kind stands.
//!
//! Owns the arithmetic on words that hold eight bytes each. Knows nothing of what the bytes mean.
//! Invariant: every answer is the one a loop over single bytes gives (a test holds the two against
//! each other); texts shorter than a word are looped over.

const ONES: u64 = 0x0101_0101_0101_0101;
const TOPS: u64 = 0x8080_8080_8080_8080;

/// Where `byte` stands first.
#[inline]
pub(super) fn find(bytes: &[u8], byte: u8) -> Option<usize> {
    first(bytes, |word| is(word, byte), |b| b == byte)
}

/// Calls `at` with every place where `byte` stands, in order, until it says no.
#[inline]
pub fn each(bytes: &[u8], byte: u8, mut at: impl FnMut(usize) -> bool) {
    let (words, tail) = bytes.as_chunks::<8>();
    for (i, chunk) in words.iter().enumerate() {
        let mut marks = equal(u64::from_le_bytes(*chunk), byte);
        while marks != 0 {
            if !at(i * 8 + lowest(marks)) {
                return;
            }
            marks &= marks - 1;
        }
    }
    let from = bytes.len() - tail.len();
    let in_tail = tail.iter().enumerate().filter(|(_, b)| **b == byte);
    in_tail.map(|(i, _)| from + i).all(at);
}

/// Where a control byte (HTAB and DEL are) stands first.
#[inline]
pub(super) fn find_control(bytes: &[u8]) -> Option<usize> {
    let is_control = |b: u8| b < b' ' || b == 0x7f;
    first(bytes, |word| drops::<0x20>(word) | is(word, 0x7f), is_control)
}

/// Where a control byte or a blank stands first.
#[inline]
pub(super) fn find_blank(bytes: &[u8]) -> Option<usize> {
    let is_blank = |b: u8| b <= b' ' || b == 0x7f;
    first(bytes, |word| drops::<0x21>(word) | is(word, 0x7f), is_blank)
}

/// Whether all are letters, digits or `-`.
#[inline]
pub(super) fn is_name(bytes: &[u8]) -> bool {
    let Some(last) = bytes.len().checked_sub(8) else {
        return bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-');
    };
    let mut at = 0;
    while at < last {
        if !is_named(word(bytes, at)) {
            return false;
        }
        at += 8;
    }
    is_named(word(bytes, last))
}

/// The eight bytes from `at` on.
#[inline]
pub(super) fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("eight bytes from `at` on"))
}

/// `marks` sets the top bit of each byte that is meant: of the lowest such byte surely, above it
/// perhaps of others too.
#[inline]
fn first(bytes: &[u8], marks: impl Fn(u64) -> u64, is_meant: impl Fn(u8) -> bool) -> Option<usize> {
    let (words, tail) = bytes.as_chunks::<8>();
    for (i, chunk) in words.iter().enumerate() {
        let marked = marks(u64::from_le_bytes(*chunk));
        if marked != 0 {
            return Some(i * 8 + lowest(marked));
        }
    }
    tail.iter().position(|&b| is_meant(b)).map(|more| words.len() * 8 + more)
}

/// The index of the lowest byte that is marked; 8 if none is.
#[inline]
pub const fn lowest(marks: u64) -> usize {
    marks.trailing_zeros() as usize / 8
}

/// The byte eight times.
#[inline]
pub const fn all(byte: u8) -> u64 {
    ONES * byte as u64
}

/// Marks the bytes that are less than `LIMIT`, which is ASCII, and perhaps some above such a one:
/// what a byte borrows it borrows from those above it, so the [`lowest`] mark is right.
#[inline]
pub const fn drops<const LIMIT: u64>(word: u64) -> u64 {
    word.wrapping_sub(ONES * LIMIT) & !word & TOPS
}

/// Marks those, and the bytes that are not ASCII, for less; of marks above the lowest the same
/// holds.
#[inline]
pub const fn drops_or_not_ascii<const LIMIT: u64>(word: u64) -> u64 {
    (word.wrapping_sub(ONES * LIMIT) | word) & TOPS
}

/// Marks the bytes that are `byte`; of marks above the lowest the same holds.
#[inline]
pub const fn is(word: u64, byte: u8) -> u64 {
    drops::<1>(word ^ all(byte))
}

/// Marks the bytes that are not ASCII.
#[inline]
pub const fn not_ascii(word: u64) -> u64 {
    word & TOPS
}

/// Marks the bytes that are `byte`.
#[inline]
const fn equal(word: u64, byte: u8) -> u64 {
    let off = word ^ all(byte);
    // The sum stays in its byte, and has the top bit unless the seven below are zero.
    !(((off & !TOPS) + !TOPS) | off) & TOPS
}

/// Marks the bytes from `first` to `last`, where all eight are ASCII.
#[inline]
const fn within(word: u64, first: u8, last: u8) -> u64 {
    // Both sums stay in their bytes, and have the top bit from `first`, and beyond `last`.
    word.wrapping_add(all(0x80 - first)) & !word.wrapping_add(all(0x7f - last))
}

/// Whether all eight are letters, digits or `-`.
#[inline]
const fn is_named(word: u64) -> bool {
    let letters = within(word | 0x2020_2020_2020_2020, b'a', b'z');
    let named = letters | within(word, b'0', b'9') | within(word, b'-', b'-');
    // What is not ASCII is none, and its neighbours do not matter then.
    named & !word & TOPS == TOPS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_is_found_where_a_loop_finds_it() {
        for len in [0, 1, 7, 8, 9, 15, 16, 23] {
            for at in 0..len {
                for b in 0..=255u8 {
                    for filler in [b'a', 0x80, 0xff, b'!', b'~', b'-', b.wrapping_add(1)] {
                        let mut text = vec![filler; len];
                        text[at] = b;
                        holds(&text, b);
                    }
                }
            }
        }
    }

    fn holds(text: &[u8], b: u8) {
        let position = |is: &dyn Fn(u8) -> bool| text.iter().position(|&b| is(b));
        assert_eq!(find(text, b), position(&|other| other == b));
        assert_eq!(find_control(text), position(&|b| b < 32 || b == 127));
        assert_eq!(find_blank(text), position(&|b| b < 33 || b == 127));
        if let Some(front) = text.first_chunk() {
            let below = drops_or_not_ascii::<0x21>(u64::from_le_bytes(*front));
            let first = front.iter().position(|b| *b < 33 || !b.is_ascii());
            assert_eq!((below != 0).then(|| lowest(below)), first);
        }
        let name = text.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-');
        assert_eq!(is_name(text), name);
        let mut places = Vec::new();
        each(text, b, |at| {
            places.push(at);
            places.len() < 3
        });
        let all = text.iter().enumerate().filter(|(_, other)| **other == b).map(|(at, _)| at);
        assert_eq!(places, all.take(3).collect::<Vec<_>>());
    }
}
