//! Finds where a head ends, however it arrives.
//!
//! Owns the line structure: CRLF and nothing else ends a line, an empty line ends the head, and the
//! limits on length. Knows nothing of what stands in a line. The invariants: each byte is looked at
//! once, however many reads brought the head; and the verdict depends on the bytes only, not on how
//! they were split (what could be told early is told at the same byte when all comes at once).

use memchr::memchr;

use crate::bounds;

use super::grammar;
use super::head::Limits;
use super::reject::Reject;

/// How far the search for a head's end has come. One per connection and direction; it starts over
/// by itself when a head is complete.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scan {
    /// Where the start line begins, after skipped empty lines.
    start: usize,
    /// Whether the first byte of the start line was seen.
    begun: bool,
    /// After the start line's CRLF; 0 until that is found.
    fields: usize,
    lines: Lines,
}

/// A complete head's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// First byte of the start line.
    pub start: usize,
    /// After the start line's CRLF: the first field line.
    pub fields: usize,
    /// After the empty line.
    pub end: usize,
}

/// The search for an empty line, in any block of lines.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lines {
    /// All before was looked at.
    pos: usize,
    /// Where the current line began.
    line: usize,
}

// === impl Scan ===

impl Scan {
    /// Where the request line begins, once its first byte is there: empty lines before it are
    /// skipped (RFC 9112 2.2). What cannot begin a method (TLS on a plain port) is refused at once:
    /// its sender waits for an answer.
    pub(super) fn request_start(&mut self, buf: &[u8]) -> Result<Option<usize>, Reject> {
        while !self.begun {
            match &buf[self.start..] {
                [] | [b'\r'] => return Ok(None),
                [b'\r', b'\n', ..] if self.start < 2 * bounds::EMPTY_LINES_MAX => self.start += 2,
                [b'\r', b'\n', ..] => return Err(Reject::EmptyLines),
                [b'\r', ..] => return Err(Reject::BareCr),
                [b'\n', ..] => return Err(Reject::BareLf),
                [first, ..] if !grammar::is_tchar(*first) => return Err(Reject::Method),
                _ => {
                    self.begun = true;
                    self.lines = Lines { pos: self.start, line: self.start };
                }
            }
        }
        Ok(Some(self.start))
    }

    /// Whether the first byte is there. RFC 9112 2.2 skips empty lines before a request only.
    pub(super) fn response_start(&mut self, buf: &[u8]) -> Result<bool, Reject> {
        match buf.first() {
            None => Ok(false),
            Some(b'H') => Ok(true),
            Some(_) => Err(Reject::StatusLine),
        }
    }

    /// Whether bytes after the first were looked at already: an earlier read brought a part.
    pub(super) fn has_looked(&self) -> bool {
        self.lines.pos > self.start
    }

    /// Where a begun request's head ends.
    pub(super) fn request(&mut self, buf: &[u8], limits: &Limits) -> Result<Option<Found>, Reject> {
        self.head(buf, limits, limits.request_line_bytes_max(), Reject::TargetTooLong)
    }

    /// Where a begun response's head ends.
    pub(super) fn response(
        &mut self,
        buf: &[u8],
        limits: &Limits,
    ) -> Result<Option<Found>, Reject> {
        self.head(buf, limits, limits.head_bytes(), Reject::HeadTooLarge)
    }

    fn head(
        &mut self,
        buf: &[u8],
        limits: &Limits,
        line_max: usize,
        line_too_long: Reject,
    ) -> Result<Option<Found>, Reject> {
        let head_max = self.start + limits.head_bytes();
        if self.fields == 0 {
            let line_max = head_max.min(self.start + line_max);
            match self.lines.next(&buf[..buf.len().min(line_max)])? {
                Some(_) => self.fields = self.lines.line,
                None if buf.len() >= line_max => return Err(line_too_long),
                None => return Ok(None),
            }
        }
        match self.lines.end(buf, head_max)? {
            Some(end) => {
                let found = Found { start: self.start, fields: self.fields, end };
                *self = Scan::default();
                Ok(Some(found))
            }
            None if buf.len() >= head_max => Err(Reject::HeadTooLarge),
            None => Ok(None),
        }
    }
}

// === impl Lines ===

impl Lines {
    /// Where the block ends (after its empty line), looking at no more than `max` bytes of `buf`.
    pub(super) fn end(&mut self, buf: &[u8], max: usize) -> Result<Option<usize>, Reject> {
        let window = &buf[..buf.len().min(max)];
        while let Some(len) = self.next(window)? {
            if len == 0 {
                return Ok(Some(self.line));
            }
        }
        Ok(None)
    }

    /// The next line's length without its CRLF, once the CRLF is there.
    #[inline]
    fn next(&mut self, buf: &[u8]) -> Result<Option<usize>, Reject> {
        let Some(found) = memchr(b'\n', buf.get(self.pos..).unwrap_or_default()) else {
            self.pos = self.pos.max(buf.len());
            return Ok(None);
        };
        let lf = self.pos + found;
        if lf == self.line || buf[lf - 1] != b'\r' {
            return Err(Reject::BareLf);
        }
        let len = lf - 1 - self.line;
        self.line = lf + 1;
        self.pos = lf + 1;
        Ok(Some(len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nrest";

    fn find(scan: &mut Scan, buf: &[u8], limits: &Limits) -> Result<Option<Found>, Reject> {
        match scan.request_start(buf)? {
            Some(_) => scan.request(buf, limits),
            None => Ok(None),
        }
    }

    #[test]
    fn the_end_is_found_at_every_split_and_the_scan_starts_over() {
        let limits = Limits::default();
        let whole = find(&mut Scan::default(), HEAD, &limits);
        let found = Found { start: 2, fields: 18, end: HEAD.len() - 4 };
        assert_eq!(whole, Ok(Some(found)));
        let mut scan = Scan::default();
        for upto in 0..found.end {
            assert_eq!(find(&mut scan, &HEAD[..upto], &limits), Ok(None), "{upto}");
        }
        assert_eq!(find(&mut scan, &HEAD[..found.end], &limits), Ok(Some(found)));
        assert_eq!(find(&mut scan, HEAD, &limits), Ok(Some(found)));
    }

    #[test]
    fn no_byte_is_looked_at_twice() {
        let mut scan = Scan::default();
        for upto in 0..HEAD.len() - 5 {
            assert_eq!(find(&mut scan, &HEAD[..upto], &Limits::default()), Ok(None));
            assert!(scan.lines.pos == upto || !scan.begun);
        }
    }

    #[test]
    fn the_limits_hold_at_their_byte() {
        let limits = Limits { head_bytes_max: 64, target_bytes_max: 10, fields_max: 4 };
        let of_len = |len: usize| {
            let fixed = "GET / HTTP/1.1\r\nA: \r\n\r\n".len();
            format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(len - fixed))
        };
        let end = |text: &str| find(&mut Scan::default(), text.as_bytes(), &limits);
        assert_eq!(end(&of_len(64)).map(|found| found.map(|found| found.end)), Ok(Some(64)));
        assert_eq!(end(&of_len(65)), Err(Reject::HeadTooLarge));
        assert_eq!(end(&of_len(65)[..64]), Err(Reject::HeadTooLarge));
        assert_eq!(end(&of_len(65)[..63]), Ok(None));
        assert_eq!(end(&"G".repeat(53)), Ok(None));
        assert_eq!(end(&"G".repeat(54)), Err(Reject::TargetTooLong));
    }
}
