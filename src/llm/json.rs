//! JSON (RFC 8259) read in one pass over its bytes: no tree, no recursion, nothing copied.
//!
//! Owns the grammar. A [`Reader`] is led by whoever knows what to expect: it steps into objects and
//! arrays, tells members one by one, and skips what nobody asks for, which it checks as strictly.
//! Knows no member's meaning. Invariants: what was read to its [`Reader::end`] is one well-formed
//! text in UTF-8, whatever was skipped; no text makes it recurse, and none nests deeper than
//! [`bounds::JSON_DEPTH_MAX`].

use std::borrow::Cow;
use std::ops::Range;

use crate::bounds;

/// Why a text is not JSON, or not what was expected there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    pub reason: &'static str,
    /// Which byte it was found at.
    pub at: usize,
}

/// A position in a text, and in the objects and arrays it is in.
#[derive(Debug)]
pub struct Reader<'a> {
    text: &'a str,
    cursor: Cursor<'a>,
    /// Objects and arrays that are open.
    depth: usize,
    /// One was just opened: its first member or element needs no comma.
    fresh: bool,
}

/// A position in a text: the grammar of single tokens. What it does is done on a copy, which the
/// compiler keeps in registers; so all of it is inlined.
#[derive(Clone, Copy, Debug)]
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Why a token is none; where is where the cursor stands.
type Token<T> = Result<T, &'static str>;

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

/// A string, as it is written in the text.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    /// Between the quotes.
    raw: &'a str,
    /// Bytes once the escapes are undone.
    len: usize,
    /// Where it begins, quote included.
    start: usize,
}

/// A number, as it is written in the text.
#[derive(Clone, Copy, Debug)]
pub struct Number<'a> {
    raw: &'a [u8],
    start: usize,
}

const _: () = assert!(bounds::JSON_DEPTH_MAX <= u128::BITS as usize);

// === impl Reader ===

impl<'a> Reader<'a> {
    /// At the first value of a text, which is the only one.
    pub fn new(bytes: &'a [u8]) -> Result<Reader<'a>, Malformed> {
        let text = std::str::from_utf8(bytes)
            .map_err(|error| Malformed { reason: "it is not UTF-8", at: error.valid_up_to() })?;
        let mut cursor = Cursor { bytes, at: 0 };
        cursor.blanks();
        Ok(Reader { text, cursor, depth: 0, fresh: false })
    }

    /// Where the next byte is.
    #[must_use]
    pub fn at(&self) -> usize {
        self.cursor.at
    }

    /// The kind of the value that comes next, as told by its first byte.
    pub fn kind(&self) -> Result<Kind, Malformed> {
        self.cursor.kind().map_err(|reason| self.wrong(reason))
    }

    /// Steps into an object.
    pub fn begin_object(&mut self) -> Result<(), Malformed> {
        self.open(b'{', "an object was expected")
    }

    /// The name of the object's next member, whose value must then be read or skipped; `None` once
    /// the object has ended.
    pub fn next_member(&mut self) -> Result<Option<Text<'a>>, Malformed> {
        if !self.next(b'}')? {
            return Ok(None);
        }
        let start = self.cursor.at;
        let (shrunk, end) = self.token(|cursor| cursor.name())?;
        let raw = &self.text[start + 1..end];
        Ok(Some(Text { raw, len: raw.len() - shrunk, start }))
    }

    /// Steps into an array.
    pub fn begin_array(&mut self) -> Result<(), Malformed> {
        self.open(b'[', "an array was expected")
    }

    /// Whether the array has another element, which must then be read or skipped.
    pub fn next_element(&mut self) -> Result<bool, Malformed> {
        self.next(b']')
    }

    /// Reads a string.
    pub fn string(&mut self) -> Result<Text<'a>, Malformed> {
        let start = self.cursor.at;
        let shrunk = self.token(|cursor| cursor.string())?;
        let raw = &self.text[start + 1..self.cursor.at - 1];
        Ok(Text { raw, len: raw.len() - shrunk, start })
    }

    /// Reads a number.
    pub fn number(&mut self) -> Result<Number<'a>, Malformed> {
        let start = self.cursor.at;
        self.token(|cursor| cursor.number())?;
        Ok(Number { raw: &self.cursor.bytes[start..self.cursor.at], start })
    }

    /// Reads `true` or `false`.
    pub fn bool(&mut self) -> Result<bool, Malformed> {
        self.token(|cursor| match cursor.byte() {
            Some(b't') => cursor.literal(b"true").map(|()| true),
            _ => cursor.literal(b"false").map(|()| false),
        })
    }

    /// Reads `null` if it comes next.
    pub fn null(&mut self) -> Result<bool, Malformed> {
        self.token(|cursor| match cursor.byte() {
            Some(b'n') => cursor.literal(b"null").map(|()| true),
            _ => Ok(false),
        })
    }

    /// Reads a value of any kind; where it is.
    pub fn skip(&mut self) -> Result<Range<usize>, Malformed> {
        let start = self.cursor.at;
        let room = bounds::JSON_DEPTH_MAX.saturating_sub(self.depth);
        self.token(|cursor| cursor.value(room))?;
        self.fresh = false;
        Ok(start..self.cursor.at)
    }

    /// Nothing may follow but blanks.
    pub fn end(&mut self) -> Result<(), Malformed> {
        self.cursor.blanks();
        match self.cursor.byte() {
            None => Ok(()),
            Some(_) => Err(self.wrong("something follows the end")),
        }
    }

    /// What is wrong with what comes next.
    #[must_use]
    pub fn wrong(&self, reason: &'static str) -> Malformed {
        Malformed { reason, at: self.cursor.at }
    }

    /// Reads with a copy of the cursor.
    #[inline(always)]
    fn token<T>(&mut self, read: impl FnOnce(&mut Cursor<'a>) -> Token<T>) -> Result<T, Malformed> {
        let mut cursor = self.cursor;
        let token = read(&mut cursor);
        self.cursor = cursor;
        token.map_err(|reason| self.wrong(reason))
    }

    fn open(&mut self, byte: u8, reason: &'static str) -> Result<(), Malformed> {
        self.token(|cursor| cursor.take(byte, reason))?;
        self.depth += 1;
        if self.depth > bounds::JSON_DEPTH_MAX {
            return Err(self.wrong(TOO_DEEP));
        }
        self.fresh = true;
        Ok(())
    }

    /// To what comes next in an object or an array; false once it has ended.
    fn next(&mut self, end: u8) -> Result<bool, Malformed> {
        let first = std::mem::take(&mut self.fresh);
        let more = self.token(|cursor| cursor.next(end, first))?;
        if !more {
            // A caller that asks beyond the end gets an error of the grammar, not a wrapped sum.
            self.depth = self.depth.saturating_sub(1);
        }
        Ok(more)
    }
}

const TOO_DEEP: &str = "it nests too deep";

// === impl Cursor ===

impl Cursor<'_> {
    #[inline(always)]
    fn byte(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline(always)]
    fn blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.byte() {
            self.at += 1;
        }
    }

    #[inline(always)]
    fn take(&mut self, byte: u8, reason: &'static str) -> Token<()> {
        if self.byte() != Some(byte) {
            return Err(reason);
        }
        self.at += 1;
        Ok(())
    }

    #[inline(always)]
    fn kind(&self) -> Token<Kind> {
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
    fn next(&mut self, end: u8, first: bool) -> Token<bool> {
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
    fn name(&mut self) -> Token<(usize, usize)> {
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
    fn string(&mut self) -> Token<usize> {
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
    fn number(&mut self) -> Token<()> {
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
    fn literal(&mut self, word: &[u8]) -> Token<()> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err("a value was expected");
        }
        self.at += word.len();
        Ok(())
    }

    /// A value of any kind, which may nest so deep.
    #[inline(always)]
    fn value(&mut self, room: usize) -> Token<()> {
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

// === impl Text ===

impl<'a> Text<'a> {
    /// Whether it says this, however it is written.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        self.len == text.len()
            && (self.raw == text || self.decoded().is_some_and(|own| own == text))
    }

    /// Whether it is written with this at its front.
    #[must_use]
    pub fn begins(&self, text: &str) -> bool {
        self.raw.starts_with(text)
    }

    /// What it says; `None` if that is no text: it has half a surrogate pair.
    #[must_use]
    pub fn decoded(&self) -> Option<Cow<'a, str>> {
        if self.len == self.raw.len() {
            return Some(Cow::Borrowed(self.raw));
        }
        let mut text = String::with_capacity(self.len);
        let mut rest = self.raw;
        while let Some((clean, escaped)) = rest.split_once('\\') {
            text.push_str(clean);
            let (written, c) = unescape(&rest.as_bytes()[clean.len()..])?;
            text.push(c);
            rest = &escaped[written - 1..];
        }
        text.push_str(rest);
        Some(Cow::Owned(text))
    }

    /// How many bytes of UTF-8 it says.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where it is in the text, quotes included.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.start..self.start + self.raw.len() + 2
    }
}

// === impl Number ===

impl Number<'_> {
    /// As a whole number; `5.0` is one, `5e0` is not read as one.
    #[must_use]
    pub fn integer(&self) -> Option<u64> {
        let whole = match memchr::memchr(b'.', self.raw) {
            Some(dot) if self.raw[dot + 1..].iter().all(|b| *b == b'0') => &self.raw[..dot],
            Some(_) => return None,
            None => self.raw,
        };
        whole.iter().try_fold(0_u64, |sum, b| {
            let digit = b.is_ascii_digit().then(|| b - b'0')?;
            sum.checked_mul(10)?.checked_add(u64::from(digit))
        })
    }

    /// Where it begins.
    #[must_use]
    pub fn start(&self) -> usize {
        self.start
    }
}

/// Writes a string with its quotes.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let clean = plain(rest);
        out.extend_from_slice(&rest[..clean]);
        let Some(&b) = rest.get(clean) else { break };
        match b {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', b]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(b >> 4), digit(b & 15)]);
            }
        }
        rest = &rest[clean + 1..];
    }
    out.push(b'"');
}

/// How many bytes come before the first that ends a plain part of a string: a quote, a backslash,
/// a control character. 64 at a time, which the compiler does in a few vector instructions.
fn plain(bytes: &[u8]) -> usize {
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
fn unescape(bytes: &[u8]) -> Option<(usize, char)> {
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

#[cfg(test)]
mod tests;
