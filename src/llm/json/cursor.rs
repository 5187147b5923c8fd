//! The tokens of JSON: what a string, a number or a word is, and how deep values nest.
//!
//! A [`Cursor`] is a position and no more: what it does is done on a copy, which the compiler keeps
//! in registers, so all of it is inlined. Knows no member and keeps nothing. Invariant: it stands
//! behind the token it has read, or where the text stops being one.

use crate::bounds;
use crate::http::lanes;

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

/// A position in a text: what comes there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    pub rest: &'a [u8],
}

/// A string as it is written, which is in UTF-8.
pub(super) struct Written<'a> {
    /// Between the quotes.
    pub raw: &'a [u8],
    /// How many bytes its escapes are longer than what they mean.
    pub shrunk: usize,
    /// How many bytes come behind the opening quote.
    pub behind: usize,
}

/// Why a token is none; where is where the cursor stands.
pub(super) type Token<T> = Result<T, &'static str>;

const _: () = assert!(bounds::JSON_DEPTH_MAX <= u128::BITS as usize);

pub(super) const TOO_DEEP: &str = "it nests too deep";

// === impl Cursor ===

impl<'a> Cursor<'a> {
    #[inline(always)]
    pub fn byte(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    #[inline(always)]
    pub fn blanks(&mut self) {
        // Most texts have none, which one comparison tells.
        if let [..=b' ', ..] = self.rest {
            self.rest = behind_blanks(self.rest);
        }
    }

    /// Whether this comes next; if so, it is read.
    #[inline(always)]
    fn takes(&mut self, byte: u8) -> bool {
        match self.rest {
            [b, rest @ ..] if *b == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    #[inline(always)]
    fn takes_both(&mut self, bytes: [u8; 2]) -> bool {
        match self.rest.split_first_chunk() {
            Some((both, rest)) if *both == bytes => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    #[inline(always)]
    pub fn take(&mut self, byte: u8, reason: &'static str) -> Token<()> {
        if self.takes(byte) { Ok(()) } else { Err(reason) }
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
        if first || !self.takes(b',') {
            self.blanks();
            if self.takes(end) {
                return Ok(false);
            }
            if !first {
                self.take(b',', "a comma or the end was expected")?;
            }
        }
        self.blanks();
        Ok(true)
    }

    /// An object's next member: its name and the colon; `None` once the object has ended.
    #[inline(always)]
    pub fn member(&mut self, first: bool) -> Token<Option<Written<'a>>> {
        // Most texts have no blanks, which one comparison tells.
        if first || !self.takes_both(*b",\"") {
            if !self.next(b'}', first)? {
                return Ok(None);
            }
            self.take(b'"', "a member's name was expected")?;
        }
        let name = self.behind_quote()?;
        if !self.takes(b':') {
            self.blanks();
            self.take(b':', "a colon was expected")?;
        }
        self.blanks();
        Ok(Some(name))
    }

    #[inline(always)]
    pub fn string(&mut self) -> Token<Written<'a>> {
        self.take(b'"', "a string was expected")?;
        self.behind_quote()
    }

    /// A string whose opening quote has been read.
    #[inline(always)]
    fn behind_quote(&mut self) -> Token<Written<'a>> {
        let whole = self.rest;
        let written = |rest: &[u8], shrunk| {
            let raw = &whole[..whole.len() - rest.len()];
            Ok(Written { raw, shrunk, behind: whole.len() })
        };
        // Most strings are short and written in ASCII without escapes.
        for _ in 0..SHORT_WORDS {
            let Some((word, rest)) = self.rest.split_first_chunk() else { break };
            let word = u64::from_le_bytes(*word);
            let found = lanes::drops_or_not_ascii::<0x21>(word ^ lanes::all(QUOTE_BIT))
                | lanes::drops_or_not_ascii::<1>(word ^ lanes::all(b'\\'));
            if found == 0 {
                self.rest = rest;
                continue;
            }
            self.rest = &self.rest[lanes::lowest(found)..];
            let end = self.rest;
            if self.takes(b'"') {
                return written(end, 0);
            }
            break;
        }
        let (rest, shrunk) = string_end(self.rest);
        self.rest = rest;
        let shrunk = shrunk?;
        self.takes(b'"');
        written(rest, shrunk)
    }

    #[inline(always)]
    pub fn number(&mut self) -> Token<()> {
        self.takes(b'-');
        if !self.takes(b'0') {
            self.digits()?;
        }
        if self.takes(b'.') {
            self.digits()?;
        }
        if let [b'e' | b'E', rest @ ..] = self.rest {
            self.rest = rest;
            if let [b'+' | b'-', rest @ ..] = self.rest {
                self.rest = rest;
            }
            self.digits()?;
        }
        Ok(())
    }

    #[inline(always)]
    fn digits(&mut self) -> Token<()> {
        let before = self.rest.len();
        while let [b'0'..=b'9', rest @ ..] = self.rest {
            self.rest = rest;
        }
        if self.rest.len() == before { Err("a digit was expected") } else { Ok(()) }
    }

    #[inline(always)]
    pub fn literal(&mut self, word: &[u8]) -> Token<()> {
        self.rest = self.rest.strip_prefix(word).ok_or("a value was expected")?;
        Ok(())
    }

    /// A value of any kind, which may nest so deep.
    #[inline(always)]
    pub fn value(&mut self, room: usize) -> Token<()> {
        match self.kind()? {
            Kind::Object | Kind::Array => {
                let (rest, nested) = nested(self.rest, room);
                self.rest = rest;
                nested
            }
            kind => self.scalar(kind),
        }
    }

    /// A value that is no object and no array.
    #[inline(always)]
    fn scalar(&mut self, kind: Kind) -> Token<()> {
        match kind {
            Kind::String => self.string().map(drop),
            Kind::Number => self.number(),
            Kind::Bool if self.byte() == Some(b't') => self.literal(b"true"),
            Kind::Bool => self.literal(b"false"),
            _ => self.literal(b"null"),
        }
    }

    #[inline(always)]
    fn nested(&mut self, room: usize) -> Token<()> {
        // One bit for what is open, the innermost the lowest: 1 is an object.
        let (mut objects, mut open) = (0_u128, 0_usize);
        loop {
            let kind = self.kind()?;
            let mut first = matches!(kind, Kind::Object | Kind::Array);
            if first {
                self.rest = &self.rest[1..];
                open += 1;
                if open > room {
                    return Err(TOO_DEEP);
                }
                objects = objects << 1 | u128::from(kind == Kind::Object);
            } else {
                self.scalar(kind)?;
            }
            loop {
                if open == 0 {
                    return Ok(());
                }
                let first = std::mem::take(&mut first);
                let goes_on = match objects & 1 {
                    1 => self.member(first)?.is_some(),
                    _ => self.next(b']', first)?,
                };
                if goes_on {
                    break;
                }
                (objects, open) = (objects >> 1, open - 1);
            }
        }
    }
}

/// From an object or an array to behind its end, or to where it is none.
#[inline(never)]
fn nested(rest: &[u8], room: usize) -> (&[u8], Token<()>) {
    let mut cursor = Cursor { rest };
    let read = cursor.nested(room);
    (cursor.rest, read)
}

#[inline(never)]
fn behind_blanks(mut rest: &[u8]) -> &[u8] {
    while let [b' ' | b'\n' | b'\t' | b'\r', behind @ ..] = rest {
        rest = behind;
    }
    rest
}

/// Up to here a string is short.
const SHORT_WORDS: usize = 4;

/// From within a string to its closing quote, or to where it is none; how many bytes its escapes
/// are longer than what they mean.
#[inline(never)]
fn string_end(whole: &[u8]) -> (&[u8], Token<usize>) {
    let (mut rest, mut shrunk, mut seen) = (whole, 0, 0);
    loop {
        rest = &rest[plain(rest, &mut seen)..];
        match rest {
            [b'"', ..] => break,
            [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', behind @ ..] => {
                rest = behind;
                shrunk += 1;
            }
            [b'\\', ..] => {
                let Some((written, meant)) = escape(rest) else {
                    return (rest, Err("an escape that is none"));
                };
                rest = &rest[written..];
                shrunk += written - meant;
            }
            [_, ..] => return (rest, Err("a control character in a string")),
            [] => return (rest, Err("a string without its end")),
        }
    }
    if lanes::not_ascii(seen) == 0 {
        return (rest, Ok(shrunk));
    }
    match str::from_utf8(&whole[..whole.len() - rest.len()]) {
        Ok(_) => (rest, Ok(shrunk)),
        Err(error) => (&whole[error.valid_up_to()..], Err("it is not UTF-8")),
    }
}

/// How many bytes come before the first that ends a plain part of a string: a quote, a backslash,
/// a control character. What bits any byte has that was looked at goes into `seen`.
#[inline(always)]
pub(super) fn plain(bytes: &[u8], seen: &mut u64) -> usize {
    let mut rest = bytes;
    let at = |rest: &[u8]| bytes.len() - rest.len();
    // Where there are escapes, parts are short.
    for _ in 0..SHORT_WORDS {
        let Some((word, behind)) = rest.split_first_chunk() else { break };
        if let Some(found) = first_of_word(*word, seen) {
            return at(rest) + found;
        }
        rest = behind;
    }
    // 64 at a time, which the compiler does in a few vector instructions.
    while let Some((block, behind)) = rest.split_first_chunk::<64>() {
        if block.iter().fold(false, |found, b| found | ends_plain_ascii(*b)) {
            if block.iter().fold(false, |found, b| found | ends_plain(*b)) {
                break;
            }
            *seen = u64::MAX;
        }
        rest = behind;
    }
    while let Some((word, behind)) = rest.split_first_chunk() {
        if let Some(found) = first_of_word(*word, seen) {
            return at(rest) + found;
        }
        rest = behind;
    }
    for (found, b) in rest.iter().enumerate() {
        *seen |= u64::from(*b);
        if ends_plain(*b) {
            return at(rest) + found;
        }
    }
    bytes.len()
}

/// A bit that only the quote, of what is not below it, differs in from a control character.
const QUOTE_BIT: u8 = b'"' ^ 0x20;

/// With that bit turned, a quote is 0x20 and the control characters are still those below it.
#[inline(always)]
fn ends_plain(b: u8) -> bool {
    (b ^ QUOTE_BIT) <= 0x20 || b == b'\\'
}

/// The same, or not ASCII: the sign tells both at once.
#[inline(always)]
fn ends_plain_ascii(b: u8) -> bool {
    (b ^ QUOTE_BIT).cast_signed() <= 0x20 || b == b'\\'
}

/// The first of eight bytes that ends a plain part.
#[inline(always)]
fn first_of_word(word: [u8; 8], seen: &mut u64) -> Option<usize> {
    let word = u64::from_le_bytes(word);
    *seen |= word;
    let quote_or_control = lanes::drops::<0x21>(word ^ lanes::all(QUOTE_BIT));
    let found = quote_or_control | lanes::is(word, b'\\');
    (found != 0).then(|| lanes::lowest(found))
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
