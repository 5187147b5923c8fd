//! How heads and chunks are written.
//!
//! Owns the bytes of the wire format in the outgoing direction. Knows nothing of which fields to
//! send. Formats nothing: numbers are written digit by digit, dates come ready. The invariant: what
//! is written from a parsed head parses to the same head; a name or value that did not come from
//! this parser (a configuration, HTTP/2) goes through [`checked_field`].

use super::field::Field;
use super::framing::Framing;
use super::{grammar, lanes};

/// Where bytes go.
pub trait Out {
    fn put(&mut self, bytes: &[u8]);

    /// `name: value` and CRLF.
    #[inline]
    fn put_field(&mut self, name: &[u8], value: &[u8]) {
        self.put(name);
        self.put(b": ");
        self.put(value);
        self.put(b"\r\n");
    }
}

impl<A: smallvec::Array<Item = u8>> Out for smallvec::SmallVec<A> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl Out for Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// A text of at most `N` bytes, where that bound is known to hold.
pub struct Text<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

// === impl Text ===

impl<const N: usize> Text<N> {
    /// An empty one.
    #[must_use]
    pub fn new() -> Text<N> {
        Text { bytes: [0; N], len: 0 }
    }

    /// What was put.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Text::new()
    }
}

impl<const N: usize> Out for Text<N> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
}

/// `HTTP/1.1 200 OK` and CRLF, with the RFC's reason.
pub fn status_line(out: &mut impl Out, status: u16) {
    status_line_with(out, status, reason(status).as_bytes());
}

/// A status line with its own reason. RFC 9112 4: the space after the status stands even if the
/// reason is empty. A status has three digits.
pub fn status_line_with(out: &mut impl Out, status: u16, reason: &[u8]) {
    debug_assert!((100..1000).contains(&status) && grammar::is_value(reason));
    let mut line = *b"HTTP/1.1 000 ";
    let digits = [status / 100 % 10, status / 10 % 10, status % 10];
    for (to, digit) in line[9..12].iter_mut().zip(digits) {
        *to += digit.to_le_bytes()[0];
    }
    out.put(&line);
    out.put(reason);
    out.put(b"\r\n");
}

/// `GET /path?query HTTP/1.1` and CRLF. The target is always sent in origin form (or `*`).
pub fn request_line(out: &mut impl Out, method: &[u8], path: &[u8], query: Option<&[u8]>) {
    debug_assert!(grammar::is_token(method) && !path.is_empty() && grammar::is_target(path));
    out.put(method);
    out.put(b" ");
    out.put(path);
    if let Some(query) = query {
        debug_assert!(grammar::is_target(query));
        out.put(b"?");
        out.put(query);
    }
    out.put(b" HTTP/1.1\r\n");
}

/// One field whose name and value were parsed, or are constants.
#[inline]
pub fn field(out: &mut impl Out, name: &[u8], value: &[u8]) {
    debug_assert!(grammar::is_token(name) && grammar::is_value(value));
    out.put_field(name, value);
}

/// Writes fields of one head to another. A line that stands in `buf` byte for byte as [`field`]
/// would write it joins its neighbours in one copy: the same bytes, for a third of the cost.
#[derive(Debug, Default)]
pub struct Lines {
    /// The run not yet written: `buf[start..end]`.
    start: usize,
    end: usize,
}

impl Lines {
    /// Adds a parsed field.
    #[inline]
    pub fn add(&mut self, out: &mut impl Out, field: &Field, buf: &[u8]) {
        let (start, end) = (field.name.start as usize, field.value.end() + 2);
        let colon = field.name.end();
        let as_written = field.value.start as usize == colon + 2
            && buf.get(colon..colon + 2) == Some(b": ")
            && buf.get(end - 2..end) == Some(b"\r\n");
        if as_written && start == self.end {
            self.end = end;
            return;
        }
        self.flush(out, buf);
        if as_written {
            (self.start, self.end) = (start, end);
        } else {
            self::field(out, field.name.of(buf), field.value.of(buf));
        }
    }

    /// Writes what was added and not yet written.
    #[inline]
    pub fn flush(&mut self, out: &mut impl Out, buf: &[u8]) {
        out.put(&buf[self.start..self.end]);
        (self.start, self.end) = (0, 0);
    }
}

/// One field from elsewhere. False, and nothing written, if the name is no token or the value holds
/// a CR, LF, NUL or other control byte: it could end the head early.
#[must_use]
pub fn checked_field(out: &mut impl Out, name: &[u8], value: &[u8]) -> bool {
    let good = grammar::is_token(name) && grammar::is_value(value);
    if good {
        field(out, name, grammar::trim(value));
    }
    good
}

/// One field whose value is a number.
pub fn field_decimal(out: &mut impl Out, name: &[u8], value: u64) {
    debug_assert!(grammar::is_token(name));
    out.put_field(name, digits(value, &mut [0; DIGITS_MAX]));
}

/// Content-Length or Transfer-Encoding as the framing asks for. Nothing where there is no body, or
/// it ends with the connection.
pub fn framing(out: &mut impl Out, framing: Framing) {
    match framing {
        Framing::Length(length) => field_decimal(out, b"Content-Length", length),
        Framing::Chunked => out.put(b"Transfer-Encoding: chunked\r\n"),
        Framing::None | Framing::UntilClose => {}
    }
}

/// The empty line after the fields.
#[inline]
pub fn end(out: &mut impl Out) {
    out.put(b"\r\n");
}

/// What stands before a chunk of `len` bytes. `len` is not 0: that would be the last chunk.
pub fn chunk_prefix(out: &mut impl Out, len: usize) {
    debug_assert!(len > 0);
    hex(out, len as u64);
    out.put(b"\r\n");
}

/// What stands after a chunk's data.
#[inline]
pub fn chunk_end(out: &mut impl Out) {
    out.put(b"\r\n");
}

/// The last chunk, without trailers.
pub fn last_chunk(out: &mut impl Out) {
    out.put(b"0\r\n\r\n");
}

/// The last chunk with trailers.
pub fn last_chunk_with<'a>(
    out: &mut impl Out,
    trailers: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
) {
    out.put(b"0\r\n");
    for (name, value) in trailers {
        field(out, name, value);
    }
    end(out);
}

/// A number in decimal digits.
pub fn decimal(out: &mut (impl Out + ?Sized), value: u64) {
    out.put(digits(value, &mut [0; DIGITS_MAX]));
}

/// The decimal digits of a number, at the end of `room`.
#[inline]
pub fn digits(mut value: u64, room: &mut [u8; DIGITS_MAX]) -> &[u8] {
    let (pairs, _) = room.as_chunks_mut::<2>();
    let mut from = 0;
    for (at, pair) in pairs.iter_mut().enumerate().rev() {
        *pair = *two_digits(value);
        value /= 100;
        if value == 0 {
            from = 2 * at + usize::from(pair[0] == b'0');
            break;
        }
    }
    &room[from..]
}

/// Those of a number that has eight at most, as most have, and how many these are. Worked out all
/// at once, and behind the last there is room: a writer that takes a word takes them in one store.
#[inline]
#[must_use]
pub fn few_digits(value: u64) -> Option<([u8; 8], usize)> {
    if value >= 100_000_000 {
        return None;
    }
    // The higher half stands below the lower one, as it will be read: two parts of four digits each
    // become four of two, and these eight of one. To multiply and to shift is to divide all parts.
    let fours = (value / 10_000) | (value % 10_000) << 32;
    let hundreds = ((fours * 5243) >> 19) & 0x0000_007f_0000_007f;
    let twos = hundreds | (fours - hundreds * 100) << 16;
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    let ones = tens | (twos - tens * 10) << 8;
    let zeros = lanes::lowest(ones | 1 << 63); // the last digit stands in any case
    let text = (ones | lanes::all(b'0')) >> (8 * zeros);
    Some((text.to_le_bytes(), 8 - zeros))
}

/// The last two digits of a number.
#[inline]
#[must_use]
pub fn two_digits(value: u64) -> &'static [u8; 2] {
    &TWO_DIGITS[(value % 100) as usize]
}

/// Those of u64::MAX.
pub const DIGITS_MAX: usize = 20;

static TWO_DIGITS: [[u8; 2]; 100] = {
    let (mut all, mut tens) = ([*b"00"; 100], 0);
    while tens < 10 {
        let mut ones = 0;
        while ones < 10 {
            all[tens * 10 + ones] = [b"0123456789"[tens], b"0123456789"[ones]];
            ones += 1;
        }
        tens += 1;
    }
    all
};

/// A number in lower-case hex digits.
pub fn hex(out: &mut impl Out, mut value: u64) {
    let mut text = [0; 16];
    let mut at = text.len();
    loop {
        at -= 1;
        text[at] = b"0123456789abcdef"[(value & 0xf) as usize];
        value >>= 4;
        if value == 0 {
            return out.put(&text[at..]);
        }
    }
}

/// The reason RFC 9110 section 15 gives for a status, or an empty one.
#[must_use]
pub fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        511 => "Network Authentication Required",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn numbers_are_as_format_would_write_them() {
        for value in [0, 1, 9, 10, 15, 16, 99, 100, 101, 255, 1000, 4096, 1 << 40, u64::MAX] {
            assert_eq!(written(|out| decimal(out, value)), value.to_string());
            assert_eq!(written(|out| hex(out, value)), format!("{value:x}"));
        }
        for value in (0..100_000_000).step_by(9973).chain(0..1000) {
            let (text, len) = few_digits(value).expect("eight at most");
            assert_eq!(&text[..len], value.to_string().as_bytes());
        }
        assert_eq!(few_digits(99_999_999), Some((*b"99999999", 8)));
        assert_eq!(few_digits(100_000_000), None);
    }

    #[test]
    fn lines_have_their_bytes() {
        assert_eq!(written(|out| status_line(out, 404)), "HTTP/1.1 404 Not Found\r\n");
        assert_eq!(written(|out| status_line(out, 799)), "HTTP/1.1 799 \r\n");
        let line = written(|out| request_line(out, b"GET", b"/a", Some(b"b=c")));
        assert_eq!(line, "GET /a?b=c HTTP/1.1\r\n");
        assert_eq!(
            written(|out| request_line(out, b"OPTIONS", b"*", None)),
            "OPTIONS * HTTP/1.1\r\n"
        );
        assert_eq!(written(|out| framing(out, Framing::Length(7))), "Content-Length: 7\r\n");
        assert_eq!(written(|out| framing(out, Framing::None)), "");
        assert_eq!(written(|out| chunk_prefix(out, 4096)), "1000\r\n");
        let trailers = [(&b"a"[..], &b"b"[..])];
        assert_eq!(written(|out| last_chunk_with(out, trailers)), "0\r\na: b\r\n\r\n");
    }

    #[test]
    fn a_field_from_elsewhere_cannot_end_the_head() {
        let mut out = Vec::new();
        for (name, value) in [
            (&b"a"[..], &b"b\r\nc: d"[..]),
            (b"a", b"b\nc"),
            (b"a", b"b\0"),
            (b"", b"b"),
            (b"a b", b"c"),
            (b"a:", b"c"),
            (b"a\r\n", b"c"),
        ] {
            assert!(!checked_field(&mut out, name, value));
        }
        assert!(out.is_empty());
        assert!(checked_field(&mut out, b"a", b" b\t"));
        assert_eq!(out, b"a: b\r\n");
    }
}
