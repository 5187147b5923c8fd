//! JSON (RFC 8259) read in one pass over its bytes: no tree, no recursion, nothing copied.
//!
//! Owns the grammar. A [`Reader`] is led by whoever knows what to expect: it steps into objects and
//! arrays, tells members one by one, and skips what nobody asks for, which it checks as strictly.
//! Knows no member's meaning. Invariants: what was read to its [`Reader::end`] is one well-formed
//! text in UTF-8, whatever was skipped; no text makes it recurse, and none nests deeper than
//! [`bounds::JSON_DEPTH_MAX`].

mod cursor;

use std::borrow::Cow;
use std::ops::Range;

use crate::bounds;

pub use self::cursor::Kind;
use self::cursor::{Cursor, TOO_DEEP, Token, Written, plain, unescape};

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
    text: &'a [u8],
    cursor: Cursor<'a>,
    /// Objects and arrays that are open.
    depth: usize,
    /// One was just opened: its first member or element needs no comma.
    fresh: bool,
}

/// A string, as it is written in the text.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    /// Between the quotes; in UTF-8.
    raw: &'a [u8],
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

// === impl Reader ===

impl<'a> Reader<'a> {
    /// At the first value of a text, which is the only one.
    #[must_use]
    pub fn new(text: &'a [u8]) -> Reader<'a> {
        let mut cursor = Cursor { rest: text };
        cursor.blanks();
        Reader { text, cursor, depth: 0, fresh: false }
    }

    /// Where the next byte is.
    #[must_use]
    pub fn at(&self) -> usize {
        self.text.len() - self.cursor.rest.len()
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
        self.member()
    }

    /// The object's next member that is `known` by its name; the others are skipped.
    #[inline(always)]
    pub fn next_known<M>(
        &mut self,
        mut known: impl FnMut(&Text<'a>) -> Option<M>,
    ) -> Result<Option<M>, Malformed> {
        while let Some(name) = self.member()? {
            if let Some(known) = known(&name) {
                return Ok(Some(known));
            }
            self.skip()?;
        }
        Ok(None)
    }

    #[inline(always)]
    fn member(&mut self) -> Result<Option<Text<'a>>, Malformed> {
        let first = std::mem::take(&mut self.fresh);
        let name = self.token(|cursor| cursor.member(first))?;
        if name.is_none() {
            self.close();
        }
        Ok(name.map(|name| self.text(&name)))
    }

    /// Steps into an array.
    pub fn begin_array(&mut self) -> Result<(), Malformed> {
        self.open(b'[', "an array was expected")
    }

    /// Whether the array has another element, which must then be read or skipped.
    pub fn next_element(&mut self) -> Result<bool, Malformed> {
        let first = std::mem::take(&mut self.fresh);
        let more = self.token(|cursor| cursor.next(b']', first))?;
        if !more {
            self.close();
        }
        Ok(more)
    }

    /// Reads a string.
    pub fn string(&mut self) -> Result<Text<'a>, Malformed> {
        let written = self.token(Cursor::string)?;
        Ok(self.text(&written))
    }

    /// Reads a number.
    #[inline(always)]
    pub fn number(&mut self) -> Result<Number<'a>, Malformed> {
        let start = self.at();
        self.token(Cursor::number)?;
        Ok(Number { raw: &self.text[start..self.at()], start })
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
        let start = self.at();
        let room = bounds::JSON_DEPTH_MAX.saturating_sub(self.depth);
        self.token(|cursor| cursor.value(room))?;
        self.fresh = false;
        Ok(start..self.at())
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
        Malformed { reason, at: self.at() }
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

    fn close(&mut self) {
        // A caller that asks beyond the end gets an error of the grammar, not a wrapped sum.
        self.depth = self.depth.saturating_sub(1);
    }

    #[inline(always)]
    fn text(&self, written: &Written<'a>) -> Text<'a> {
        let raw = written.raw;
        Text { raw, len: raw.len() - written.shrunk, start: self.text.len() - written.behind - 1 }
    }
}

// === impl Text ===

impl<'a> Text<'a> {
    /// Whether it says this, however it is written.
    #[inline]
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        self.len == text.len() && *self.name() == *text.as_bytes()
    }

    /// What it says, to be compared with names: empty if it is no text.
    #[inline]
    #[must_use]
    pub fn name(&self) -> Cow<'a, [u8]> {
        match self.len == self.raw.len() {
            true => Cow::Borrowed(self.raw),
            false => Cow::Owned(self.unescaped().unwrap_or_default().into_bytes()),
        }
    }

    /// Whether it is written with this at its front.
    #[must_use]
    pub fn begins(&self, text: &str) -> bool {
        self.raw.starts_with(text.as_bytes())
    }

    /// What it says; `None` if that is no text: it has half a surrogate pair.
    #[must_use]
    pub fn decoded(&self) -> Option<Cow<'a, str>> {
        match self.len == self.raw.len() {
            true => str::from_utf8(self.raw).ok().map(Cow::Borrowed),
            false => self.unescaped().map(Cow::Owned),
        }
    }

    #[cold]
    fn unescaped(&self) -> Option<String> {
        let mut text = String::with_capacity(self.len);
        let mut rest = str::from_utf8(self.raw).ok()?;
        while let Some((clean, escaped)) = rest.split_once('\\') {
            text.push_str(clean);
            let (written, c) = unescape(&rest.as_bytes()[clean.len()..])?;
            text.push(c);
            rest = &escaped[written - 1..];
        }
        text.push_str(rest);
        Some(text)
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
    #[inline]
    #[must_use]
    pub fn integer(&self) -> Option<u64> {
        let (mut sum, mut rest) = (0_u64, self.raw);
        while let [digit @ b'0'..=b'9', behind @ ..] = rest {
            sum = sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
            rest = behind;
        }
        match rest {
            [] => Some(sum),
            [b'.', zeros @ ..] => zeros.iter().all(|b| *b == b'0').then_some(sum),
            _ => None,
        }
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
        let clean = plain(rest, &mut 0);
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

#[cfg(test)]
mod tests;
