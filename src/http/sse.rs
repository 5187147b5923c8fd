//! A stream of server-sent events (WHATWG HTML section 9.2), split into its events.
//!
//! Owns where an event begins and ends: lines end in LF, CR or CRLF, however they are mixed and
//! wherever the bytes were cut on arrival. Knows nothing of what events say. It serves a relay that
//! passes bytes on untouched, up to the last whole event: an event that arrived whole is a range of
//! what was pushed and is not copied; only one that was cut is put together here. Invariants: the
//! events and their order do not depend on the cuts; the bytes of all events, in order, are the
//! bytes pushed; no byte is looked at for an end of line twice; and no event is longer than
//! [`bounds::SSE_EVENT_BYTES_MAX`].

use std::borrow::Cow;
use std::ops::Range;

use memchr::memchr2;

use crate::bounds;

/// Splits a stream into events.
///
/// ```
/// # use ringway::http::sse::{Events, Place};
/// let mut events = Events::default();
/// for chunk in [&b"data: one\n\ndata: t"[..], b"wo\n\n"] {
///     let mut at = 0;
///     while let Some(event) = events.next(chunk, &mut at).expect("no event is too long") {
///         match &event.place {
///             Place::Chunk(range) => println!("pass on {:?}", &chunk[range.clone()]),
///             Place::Held => println!("pass on {:?}", event.bytes),
///         }
///     }
/// }
/// assert!(events.held().is_empty());
/// ```
#[derive(Debug, Default)]
pub struct Events {
    /// The front of an event whose end has not come.
    held: Vec<u8>,
    /// `held` is an event that was told: it goes before the next one is looked for.
    told: bool,
    line: Line,
    /// The last byte was a CR: a LF belongs to it.
    after_cr: bool,
    /// What was read of the event is comments only.
    begun: bool,
    /// The stream has begun: a byte order mark is none any more.
    after_first: bool,
}

/// How far a line has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Line {
    #[default]
    Empty,
    Comment,
    Field,
}

/// An event, or a comment between two.
#[derive(Clone, Debug)]
pub struct Event<'a> {
    /// Exactly what came, to the end of the empty line.
    pub bytes: &'a [u8],
    pub place: Place,
    /// A byte order mark at the front is none of its bytes.
    first: bool,
}

/// Where an event's bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the chunk that was pushed.
    Chunk(Range<usize>),
    /// In the splitter: it came in more than one chunk.
    Held,
}

/// An event that is longer than any may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// What an event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields<'a> {
    /// Empty where the stream names none, which means `message`.
    pub name: &'a [u8],
    /// `None` if there is no data: clients do not see such an event.
    pub data: Option<Cow<'a, [u8]>>,
}

/// A buffer above this is not kept for the next event that is cut: streams are many and most of
/// their events short.
const HELD_BYTES_KEPT: usize = 4 * 1024;

// === impl Events ===

impl Events {
    /// The next event that ends in this chunk, from `at` on, which moves behind it; `None` once all
    /// of the chunk was taken.
    pub fn next<'a>(
        &'a mut self,
        chunk: &'a [u8],
        at: &mut usize,
    ) -> Result<Option<Event<'a>>, TooLong> {
        if std::mem::take(&mut self.told) {
            self.held.clear();
            if self.held.capacity() > HELD_BYTES_KEPT {
                self.held = Vec::new();
            }
        }
        let start = (*at).min(chunk.len());
        let rest = &chunk[start..];
        let Some(len) = self.end(rest) else {
            *at = chunk.len();
            self.hold(rest)?;
            return Ok(None);
        };
        *at = start + len;
        let first = !std::mem::replace(&mut self.after_first, true);
        if self.held.is_empty() {
            if len > bounds::SSE_EVENT_BYTES_MAX {
                return Err(TooLong);
            }
            let place = Place::Chunk(start..start + len);
            return Ok(Some(Event { bytes: &rest[..len], place, first }));
        }
        self.hold(&rest[..len])?;
        self.told = true;
        Ok(Some(Event { bytes: &self.held, place: Place::Held, first }))
    }

    /// What came of an event whose end did not; empty between two events.
    #[must_use]
    pub fn held(&self) -> &[u8] {
        // A LF at the front belongs to the CR that ended the event before.
        if self.told { &[] } else { self.held.strip_prefix(b"\n").unwrap_or(&self.held) }
    }

    /// What came of an event whose end did not, as an event: some senders leave the last empty line
    /// away. By the standard it is none.
    #[must_use]
    pub fn cut(&self) -> Option<Event<'_>> {
        let bytes = self.held();
        let first = !self.after_first;
        (!bytes.is_empty()).then_some(Event { bytes, place: Place::Held, first })
    }

    fn hold(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        if self.held.len() + bytes.len() > bounds::SSE_EVENT_BYTES_MAX {
            return Err(TooLong);
        }
        self.held.extend_from_slice(bytes);
        Ok(())
    }

    /// How many bytes the event under way has here; `None` if it does not end here.
    fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let after_cr = std::mem::take(&mut self.after_cr);
            if self.line == Line::Empty {
                match byte {
                    b'\n' if after_cr => {
                        at += 1;
                        // The end before was told with its CR only: the LF is not an event.
                        continue;
                    }
                    b'\r' | b'\n' => {
                        self.begun = false;
                        return Some(at + self.line_end(&bytes[at..]));
                    }
                    b':' => self.line = Line::Comment,
                    _ => self.line = Line::Field,
                }
            }
            at += memchr2(b'\r', b'\n', &bytes[at..])?;
            let comment = self.line == Line::Comment;
            at += self.line_end(&bytes[at..]);
            // A comment between two events is passed on at once: it keeps a connection alive.
            if comment && !self.begun {
                return Some(at);
            }
            self.begun = true;
        }
        None
    }

    /// How many bytes the end of line at the front has.
    fn line_end(&mut self, bytes: &[u8]) -> usize {
        self.line = Line::Empty;
        match bytes {
            [b'\r', b'\n', ..] => 2,
            [b'\r'] => {
                self.after_cr = true;
                1
            }
            _ => 1,
        }
    }
}

// === impl Event ===

impl<'a> Event<'a> {
    /// What it says.
    #[must_use]
    pub fn fields(&self) -> Fields<'a> {
        let mut fields = Fields { name: b"", data: None };
        let mut rest = self.bytes;
        if self.first {
            rest = rest.strip_prefix(b"\xef\xbb\xbf").unwrap_or(rest);
        }
        while !rest.is_empty() {
            let len = memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
            let line = &rest[..len];
            rest = rest.get(len + 1..).unwrap_or_default();
            if let Some(value) = value(line, b"data") {
                fields.data = Some(match fields.data {
                    None => Cow::Borrowed(value),
                    Some(before) => {
                        let mut all = before.into_owned();
                        all.push(b'\n');
                        all.extend_from_slice(value);
                        Cow::Owned(all)
                    }
                });
            } else if let Some(value) = value(line, b"event") {
                fields.name = value;
            }
        }
        fields
    }
}

/// The value of a field of this name: one space behind the colon is none of it, and neither colon
/// nor value need be there.
fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    match line.strip_prefix(name)? {
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        [] => Some(b""),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
