//! The chunked coding, taken off in place.
//!
//! Owns the grammar of RFC 9112 section 7.1 as a state machine over single framing bytes; data is
//! told as ranges of the input and never touched. Knows nothing of buffers or of who reads. The
//! invariants: any split of the input gives the same data and the same verdict; a chunk's line is
//! believed only if every byte of it fits the grammar (extensions are checked, then dropped: they
//! are of this hop).

use crate::bounds;

use super::body::Step;
use super::grammar;
use super::reject::Reject;
use super::trailer::Trailers;

/// Where in a chunked body a connection is.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
    /// Of the current chunk: its size, then what is left of its data.
    left: u64,
    digits: usize,
    /// Bytes of the current chunk's extensions.
    extension: usize,
    /// Bytes of all extensions before.
    extensions: usize,
    trailers: Trailers,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// The hex digits of a chunk size.
    #[default]
    Size,
    /// A blank where only blanks and `;` may follow (RFC 9112 7.1.1 BWS).
    BeforeSemicolon,
    /// After `;`: blanks, then a name.
    BeforeName,
    Name,
    /// Blanks after a name: `=` or `;` follows.
    AfterName,
    /// After `=`: blanks, then a token or a quoted string.
    BeforeValue,
    Value,
    Quoted,
    /// After a backslash in a quoted string.
    Escaped,
    /// After a quoted string's closing quote.
    Unquoted,
    /// The CR that ends the size line was read.
    SizeLf,
    Data,
    /// All data of a chunk was read: CR, then LF.
    DataCr,
    DataLf,
    /// After the last chunk's line: an empty line, or trailers.
    Last,
    LastLf,
    Trailers,
    Done,
}

// === impl Decoder ===

impl Decoder {
    /// What the next bytes of the body are; see [`Step`]. After an error the connection closes.
    pub fn step(&mut self, input: &[u8]) -> Result<Step, Reject> {
        let mut at = 0;
        while self.state != State::Done {
            let Some(&byte) = input.get(at) else { return Ok(Step::More) };
            match self.state {
                State::Data => return Ok(self.data(at, input.len() - at)),
                State::Trailers => match self.trailers.feed(&input[at..])? {
                    Some(used) => {
                        at += used;
                        self.state = State::Done;
                    }
                    None => return Ok(Step::More),
                },
                // The first byte of a trailer belongs to the section: it is not consumed here.
                State::Last if byte != b'\r' => self.state = State::Trailers,
                _ => {
                    self.state = self.framing(byte)?;
                    at += 1;
                }
            }
        }
        Ok(Step::Done { used: at })
    }

    /// Whether the last chunk and the trailers were read.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The trailer fields that may go on, once done: those this gateway gives a meaning to
    /// (framing, routing, authentication, caching ...) were dropped (RFC 9110 6.5.1).
    pub fn trailers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.trailers.iter()
    }

    fn data(&mut self, skip: usize, available: usize) -> Step {
        let len = usize::try_from(self.left).map_or(available, |left| left.min(available));
        self.left -= len as u64;
        if self.left == 0 {
            self.state = State::DataCr;
        }
        Step::Data { skip, len }
    }

    fn framing(&mut self, byte: u8) -> Result<State, Reject> {
        match (self.state, byte) {
            (State::Size, _) => self.size(byte),
            (State::SizeLf, b'\n') => Ok(self.size_line_ended()),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::Size),
            (State::DataCr | State::DataLf, _) => Err(Reject::ChunkEnd),
            (State::Last, b'\r') => Ok(State::LastLf),
            (State::LastLf, b'\n') => Ok(State::Done),
            (State::SizeLf | State::LastLf, _) => Err(Reject::BareCr),
            _ => self.extension(byte),
        }
    }

    fn size(&mut self, byte: u8) -> Result<State, Reject> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            // chunk-size = 1*HEXDIG: an empty one is not 0.
            _ if self.digits == 0 => return Err(Reject::ChunkSize),
            b'\r' => return Ok(State::SizeLf),
            b';' => return self.extension_byte(State::BeforeName),
            b' ' | b'\t' => return self.extension_byte(State::BeforeSemicolon),
            b'\n' => return Err(Reject::BareLf),
            _ => return Err(Reject::ChunkSize),
        };
        self.digits += 1;
        if self.digits > bounds::CHUNK_SIZE_DIGITS_MAX {
            return Err(Reject::ChunkSize);
        }
        // 16 digits fill 64 bits exactly.
        self.left = self.left << 4 | u64::from(digit);
        if self.left > bounds::BODY_BYTES_MAX {
            return Err(Reject::ChunkTooLarge);
        }
        Ok(State::Size)
    }

    fn size_line_ended(&mut self) -> State {
        self.extensions += self.extension;
        (self.extension, self.digits) = (0, 0);
        if self.left == 0 { State::Last } else { State::Data }
    }

    /// chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )
    fn extension(&mut self, byte: u8) -> Result<State, Reject> {
        let blank = matches!(byte, b' ' | b'\t');
        let next = match (self.state, byte) {
            (State::Quoted, b'"') => State::Unquoted,
            (State::Quoted, b'\\') => State::Escaped,
            (State::Quoted | State::Escaped, _) if grammar::is_value(&[byte]) => State::Quoted,
            (_, b'\n') => return Err(Reject::BareLf),
            (State::Name | State::Value | State::Unquoted, b'\r') => return Ok(State::SizeLf),
            (
                State::BeforeSemicolon
                | State::Name
                | State::AfterName
                | State::Value
                | State::Unquoted,
                b';',
            ) => State::BeforeName,
            (State::Name | State::AfterName, b'=') => State::BeforeValue,
            (State::BeforeValue, b'"') => State::Quoted,
            (State::BeforeSemicolon | State::BeforeName | State::BeforeValue, _) if blank => {
                self.state
            }
            (State::Name | State::AfterName, _) if blank => State::AfterName,
            (State::Value | State::Unquoted, _) if blank => State::BeforeSemicolon,
            (State::BeforeName | State::Name, _) if grammar::is_tchar(byte) => State::Name,
            (State::BeforeValue | State::Value, _) if grammar::is_tchar(byte) => State::Value,
            _ => return Err(Reject::ChunkExtension),
        };
        self.extension_byte(next)
    }

    fn extension_byte(&mut self, next: State) -> Result<State, Reject> {
        self.extension += 1;
        if self.extension > bounds::CHUNK_EXTENSION_BYTES_MAX
            || self.extensions + self.extension > bounds::CHUNK_EXTENSION_BYTES_TOTAL_MAX
        {
            return Err(Reject::ChunkExtensionTooLong);
        }
        Ok(next)
    }
}

#[cfg(test)]
mod tests;
