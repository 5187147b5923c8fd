//! Decodes the chunked transfer coding (RFC 9112 section 7.1) from bytes in any pieces, strictly:
//! CRLF only, no sign or space before a size. Shared by the generator (answers) and the origin
//! (request bodies). Pure.

/// A chunk-size line or one trailer field larger than this is refused.
const LINE_BYTES_MAX: usize = 8 * 1024;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    Data(u64),
    DataEnd,
    Trailer,
    Done,
}

#[derive(Default)]
pub struct Chunked {
    state: State,
    /// The beginning of a line whose end has not come yet.
    pending: Vec<u8>,
}

/// What breaks the coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadChunk(pub &'static str);

// === impl Chunked ===

impl Chunked {
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Forgets everything and expects the first chunk of a new body.
    pub fn reset(&mut self) {
        self.state = State::Size;
        self.pending.clear();
    }

    /// Takes bytes up to the end of the body (or of `data`); says how many it took.
    pub fn feed(&mut self, data: &[u8], mut body: impl FnMut(&[u8])) -> Result<usize, BadChunk> {
        let mut at = 0;
        while at < data.len() && self.state != State::Done {
            at += match self.state {
                State::Data(left) => {
                    let rest = data.len() - at;
                    let n = usize::try_from(left).map_or(rest, |left| left.min(rest));
                    body(&data[at..at + n]);
                    let left = left - n as u64;
                    self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                    n
                }
                _ => self.take_line(&data[at..])?,
            };
        }
        Ok(at)
    }

    /// Takes bytes up to the end of one line and acts on a whole line.
    fn take_line(&mut self, data: &[u8]) -> Result<usize, BadChunk> {
        let Some(end) = memchr::memchr(b'\n', data) else {
            self.pending.extend_from_slice(data);
            if self.pending.len() > LINE_BYTES_MAX {
                return Err(BadChunk("chunk line too long"));
            }
            return Ok(data.len());
        };
        let used = end + 1;
        if self.pending.is_empty() {
            self.state = next(self.state, &data[..used])?;
        } else {
            self.pending.extend_from_slice(&data[..used]);
            self.state = next(self.state, &self.pending)?;
            self.pending.clear();
        }
        Ok(used)
    }
}

fn next(state: State, line: &[u8]) -> Result<State, BadChunk> {
    let line = line.strip_suffix(b"\r\n").ok_or(BadChunk("bare LF in chunks"))?;
    match state {
        State::DataEnd if line.is_empty() => Ok(State::Size),
        State::DataEnd => Err(BadChunk("chunk longer than its size")),
        State::Trailer if line.is_empty() => Ok(State::Done),
        State::Trailer => Ok(State::Trailer),
        _ => match chunk_size(line)? {
            0 => Ok(State::Trailer),
            n => Ok(State::Data(n)),
        },
    }
}

fn chunk_size(line: &[u8]) -> Result<u64, BadChunk> {
    const BAD: BadChunk = BadChunk("chunk size");
    let digits = line.split(|b| *b == b';').next().unwrap_or_default().trim_ascii_end();
    if digits.is_empty() || digits.len() > 15 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(BAD);
    }
    let text = std::str::from_utf8(digits).map_err(|_| BAD)?;
    u64::from_str_radix(text, 16).map_err(|_| BAD)
}
