//! Reading a body of any framing: which bytes of the input are its data, and when it is over.
//!
//! Owns the count of what is left and the verdict on an end of stream. Copies nothing: it tells
//! ranges of the caller's input. The invariant: a body is complete when its framing says so and
//! never because the stream ended, except where the stream's end is the framing.

use super::chunked::Decoder;
use super::framing::Framing;
use super::reject::Reject;

/// What the next bytes of the input are. Call again with what follows until `More` or `Done`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Skip `skip` bytes of framing; the `len` bytes after them are data (`len > 0`).
    Data { skip: usize, len: usize },
    /// All of the input was framing, or it was empty: more bytes are needed.
    More,
    /// The body is complete; `used` bytes of the input were its last framing.
    Done { used: usize },
}

/// The stream ended before the body did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut;

/// Where in a body a connection is.
#[derive(Debug, Default)]
pub enum BodyReader {
    #[default]
    None,
    Length {
        left: u64,
    },
    Chunked(Decoder),
    UntilClose,
}

// === impl BodyReader ===

impl BodyReader {
    /// At the start of a body.
    #[must_use]
    pub fn new(framing: Framing) -> BodyReader {
        match framing {
            Framing::None => BodyReader::None,
            Framing::Length(left) => BodyReader::Length { left },
            Framing::Chunked => BodyReader::Chunked(Decoder::default()),
            Framing::UntilClose => BodyReader::UntilClose,
        }
    }

    /// What the next bytes are. An empty input is allowed: it tells `Done` or `More`.
    pub fn step(&mut self, input: &[u8]) -> Result<Step, Reject> {
        match self {
            BodyReader::None | BodyReader::Length { left: 0 } => Ok(Step::Done { used: 0 }),
            BodyReader::Chunked(decoder) => decoder.step(input),
            _ if input.is_empty() => Ok(Step::More),
            BodyReader::Length { left } => {
                let len = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                *left -= len as u64;
                Ok(Step::Data { skip: 0, len })
            }
            BodyReader::UntilClose => Ok(Step::Data { skip: 0, len: input.len() }),
        }
    }

    /// Whether the body is complete and no byte of the stream belongs to it any more.
    #[must_use]
    pub fn is_done(&self) -> bool {
        match self {
            BodyReader::None | BodyReader::Length { left: 0 } => true,
            BodyReader::Chunked(decoder) => decoder.is_done(),
            BodyReader::Length { .. } | BodyReader::UntilClose => false,
        }
    }

    /// The stream has ended: whether the body is complete (RFC 9112 section 8).
    pub fn on_eof(&self) -> Result<(), Cut> {
        if self.is_done() || matches!(self, BodyReader::UntilClose) { Ok(()) } else { Err(Cut) }
    }

    /// The trailer fields kept, once a chunked body is done.
    pub fn trailers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let decoder = if let BodyReader::Chunked(decoder) = self { Some(decoder) } else { None };
        decoder.into_iter().flat_map(Decoder::trailers)
    }

    /// Whether there are any.
    #[must_use]
    pub fn has_trailers(&self) -> bool {
        matches!(self, BodyReader::Chunked(decoder) if decoder.trailers().next().is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counted_body_ends_at_its_count_and_leaves_the_rest() {
        let mut body = BodyReader::new(Framing::Length(5));
        assert_eq!(body.step(b""), Ok(Step::More));
        assert_eq!(body.step(b"abc"), Ok(Step::Data { skip: 0, len: 3 }));
        assert_eq!(body.on_eof(), Err(Cut));
        assert_eq!(body.step(b"deGET /"), Ok(Step::Data { skip: 0, len: 2 }));
        assert!(body.is_done());
        assert_eq!(body.step(b"GET /"), Ok(Step::Done { used: 0 }));
        assert_eq!(body.on_eof(), Ok(()));
    }

    #[test]
    fn the_end_of_the_stream_completes_only_what_it_frames() {
        assert_eq!(BodyReader::new(Framing::None).on_eof(), Ok(()));
        assert_eq!(BodyReader::new(Framing::Length(0)).on_eof(), Ok(()));
        assert_eq!(BodyReader::new(Framing::Length(1)).on_eof(), Err(Cut));
        assert_eq!(BodyReader::new(Framing::Chunked).on_eof(), Err(Cut));
        let mut until_close = BodyReader::new(Framing::UntilClose);
        assert_eq!(until_close.step(b"abc"), Ok(Step::Data { skip: 0, len: 3 }));
        assert!(!until_close.is_done());
        assert_eq!(until_close.on_eof(), Ok(()));
    }

    #[test]
    fn every_cut_of_a_chunked_body_is_a_cut() {
        let whole = b"3\r\nabc\r\n0\r\nA: b\r\n\r\n";
        for upto in 0..whole.len() {
            let mut body = BodyReader::new(Framing::Chunked);
            let mut at = 0;
            while let Step::Data { skip, len } = body.step(&whole[at..upto]).expect("well formed") {
                at += skip + len;
            }
            assert_eq!(body.on_eof(), Err(Cut), "cut at {upto}");
        }
    }
}
