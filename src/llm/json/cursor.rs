//! The tokens of JSON: what a string, a number or a word is, and how deep values nest.
//!
//! A [`Cursor`] is a position and no more: what it does is done on a copy, which the compiler keeps
//! in registers, so all of it is inlined. Knows no member and keeps nothing. Invariant: it stands
//! behind the token it has read, or where the text stops being one.

use crate::bounds;

/// What kind of value comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Object,
    Array,
    String,
    Number,
    Bool,
    Null,
}

/// A position in a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
}

/// Why a token is none; where is where the cursor stands.
pub(super) type Token<T> = Result<T, &'static str>;

const _: () = assert!(bounds::JSON_DEPTH_MAX <= u128::BITS as usize);

pub(super) const TOO_DEEP: &str = "it nests too deep";

// === impl Cursor ===

impl Cursor<'_> {
    #[inline(always)]
    pub fn byte(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline(always)]
    pub fn blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.byte() {
            self.at += 1;
        }
    }

    #[inline(always)]
    pub fn take(&mut self, byte: u8, reason: &'static str) -> Token<()> {
        if self.byte() != Some(byte) {
            return Err(reason);
        }
        self.at += 1;
        Ok(())
    }

    #[inline(always)]
    pub fn kind(&self) -> Token<Kind> {
        match self.byte() {
            Some(b'"') => Ok(Kind::String),
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'n') => Ok(Kind::Null),
            Some(_) => Err("a value was expected"),
            None => Err("it ends in the middle"),
        }
    }

    /// To what comes next in an object or an array; false once it has ended.
    #[inline(always)]
    pub fn next(&mut self, end: u8, first: bool) -> Token<bool> {
        self.blanks();
        if self.byte() == Some(end) {
            self.at += 1;
            return Ok(false);
        }
        if !first {
            self.take(b',', "a comma or the end was expected")?;
            self.blanks();
        }
        Ok(true)
    }

    /// A member's name and the colon; how many bytes its escapes are longer than what they mean,
    /// and where its closing quote is.
    #[inline(always)]
    pub fn name(&mut self) -> Token<(usize, usize)> {
        if self.byte() != Some(b'"') {
            return Err("a member's name was expected");
        }
        let shrunk = self.string()?;
        let end = self.at - 1;
        self.blanks();
        self.take(b':', "a colon was expected")?;
        self.blanks();
        Ok((shrunk, end))
    }

    /// A string; how many bytes its escapes are longer than what they mean.
    #[inline(always)]
    pub fn string(&mut self) -> Token<usize> {
        self.take(b'"', "a string was expected")?;
        let mut shrunk = 0;
        loop {
            self.plain();
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(shrunk);
                }
                Some(b'\\') => {
                    let escape = escape(&self.bytes[self.at..]);
                    let (written, meant) = escape.ok_or("an escape that is none")?;
                    self.at += written;
                    shrunk += written - meant;
                }
                Some(_) => return Err("a control character in a string"),
                None => return Err("a string without its end"),
            }
        }
    }

    /// To the end of a plain part of a string. Most strings are short.
    #[inline(always)]
    fn plain(&mut self) {
        for _ in 0..4 {
            let Some(word) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk()) else {
                break;
            };
            if let Some(found) = first_of_word(*word) {
                self.at += found;
                return;
            }
            self.at += 8;
        }
        self.at += plain(&self.bytes[self.at..]);
    }

    #[inline(always)]
    pub fn number(&mut self) -> Token<()> {
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        match self.byte() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.byte() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    #[inline(always)]
    fn digits(&mut self) -> Token<()> {
        let start = self.at;
        while self.byte().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err("a digit was expected") } else { Ok(()) }
    }

    #[inline(always)]
    pub fn literal(&mut self, word: &[u8]) -> Token<()> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err("a value was expected");
        }
        self.at += word.len();
        Ok(())
    }

    /// A value of any kind, which may nest so deep.
    #[inline(always)]
    pub fn value(&mut self, room: usize) -> Token<()> {
        // One bit for what is open, the innermost the lowest: 1 is an object.
        let (mut objects, mut open) = (0_u128, 0_usize);
        loop {
            let kind = self.kind()?;
            let mut first = false;
            match kind {
                Kind::String => _ = self.string()?,
                Kind::Number => self.number()?,
                Kind::Bool if self.byte() == Some(b't') => self.literal(b"true")?,
                Kind::Bool => self.literal(b"false")?,
                Kind::Null => self.literal(b"null")?,
                Kind::Object | Kind::Array => {
                    self.at += 1;
                    open += 1;
                    if open > room {
                        return Err(TOO_DEEP);
                    }
                    objects = objects << 1 | u128::from(kind == Kind::Object);
                    first = true;
                }
            }
            loop {
                if open == 0 {
                    return Ok(());
                }
                let end = if objects & 1 == 1 { b'}' } else { b']' };
                if self.next(end, std::mem::take(&mut first))? {
                    if objects & 1 == 1 {
                        self.name()?;
                    }
                    break;
                }
                (objects, open) = (objects >> 1, open - 1);
            }
        }
    }
}

/// How many bytes come before the first that ends a plain part of a string: a quote, a backslash,
/// a control character. 64 at a time, which the compiler does in a few vector instructions.
pub(super) fn plain(bytes: &[u8]) -> usize {
    let ends = |b: u8| b == b'"' || b == b'\\' || b < 0x20;
    let mut at = 0;
    while let Some(block) = bytes[at..].first_chunk::<64>() {
        if block.iter().fold(false, |found, b| found | ends(*b)) {
            break;
        }
        at += 64;
    }
    while let Some(word) = bytes[at..].first_chunk::<8>() {
        if let Some(found) = first_of_word(*word) {
            return at + found;
        }
        at += 8;
    }
    bytes[at..].iter().position(|b| ends(*b)).map_or(bytes.len(), |found| at + found)
}

/// Eight bytes at once. `(x - 1) & !x` has the high bit of the lowest byte that is 0 (of a byte
/// above it perhaps too, by the borrow): so the lowest bit found is always a true one.
#[inline(always)]
fn first_of_word(word: [u8; 8]) -> Option<usize> {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let word = u64::from_le_bytes(word);
    let zero = |x: u64| x.wrapping_sub(EACH) & !x;
    let quote = zero(word ^ (EACH * 0x22));
    let backslash = zero(word ^ (EACH * 0x5c));
    let control = word.wrapping_sub(EACH * 0x20) & !word;
    let found = (quote | backslash | control) & (EACH * 0x80);
    (found != 0).then(|| (found.trailing_zeros() / 8) as usize)
}

/// How many bytes the escape at the front is written with, and how many it means.
fn escape(bytes: &[u8]) -> Option<(usize, usize)> {
    if let Some((written, c)) = unescape(bytes) {
        return Some((written, c.len_utf8()));
    }
    // Half a pair, which ECMAScript writes where a text was cut in two: it is passed on, and is no
    // text to us (RFC 8259 section 8.2). What stands for it, U+FFFD, has three bytes.
    (bytes.get(1) == Some(&b'u')).then_some(())?;
    hex(bytes.get(2..6)?)?;
    Some((6, 3))
}

/// How many bytes the escape at the front is written with, and the character it means.
pub(super) fn unescape(bytes: &[u8]) -> Option<(usize, char)> {
    let c = match bytes.get(1)? {
        b @ (b'"' | b'\\' | b'/') => char::from(*b),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let high = hex(bytes.get(2..6)?)?;
            if !(0xd800..0xdc00).contains(&high) {
                return Some((6, char::from_u32(high)?));
            }
            let low = bytes.get(6..8).filter(|b| b == b"\\u").and_then(|_| hex(bytes.get(8..12)?));
            let low = low.filter(|low| (0xdc00..0xe000).contains(low))?;
            return Some((
                12,
                char::from_u32(0x1_0000 + ((high - 0xd800) << 10 | (low - 0xdc00)))?,
            ));
        }
        _ => return None,
    };
    Some((2, c))
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |sum, b| Some(sum << 4 | char::from(*b).to_digit(16)?))
}
