//! Heads as nearly everyone sends them: all there, every line ended by CRLF, nothing odd in any.
//!
//! One pass finds the parts of each line and checks their bytes. It says yes or nothing: what it
//! does not take (a part of a head, a fault, a lone LF, a limit) is for `scan` and httparse, whose
//! verdict counts. Invariant: what it takes, they take too, and to the same spans; every test that
//! feeds a head byte by byte as well as whole holds the two against each other.

use crate::bounds;

use super::field::{Field, Name};
use super::grammar;
use super::head::{Limits, Version};
use super::lanes;
use super::span::Span;

/// The first line of a request.
pub(super) struct RequestLine {
    pub method: Span,
    pub target: Span,
    pub version: Version,
}

/// The first line of a response.
pub(super) struct StatusLine {
    pub version: Version,
    pub status: u16,
    pub reason: Span,
}

/// Reads the head that begins at `start`: its first line and where it ends.
#[inline]
pub(super) fn request(
    buf: &[u8],
    start: usize,
    limits: &Limits,
    into: &mut Vec<Field>,
) -> Option<(RequestLine, usize)> {
    let buf = &buf[..buf.len().min(start + limits.head_bytes())];
    let len = buf[start..].iter().position(|b| !grammar::is_tchar(*b))?;
    let (method, from) = (Span::new(start, start + len), start + len + 1);
    if len == 0 || len > bounds::METHOD_BYTES_MAX || buf[start + len] != b' ' {
        return None;
    }
    let len = lanes::find_blank(&buf[from..])?;
    let to = from + len;
    if len == 0 || len > limits.target_bytes_max {
        return None;
    }
    let version = match buf.get(to..to + 11)? {
        b" HTTP/1.1\r\n" => Version::Http11,
        b" HTTP/1.0\r\n" => Version::Http10,
        _ => return None,
    };
    let end = fields(buf, to + 11, limits.fields(), into)?;
    Some((RequestLine { method, target: Span::new(from, to), version }, end))
}

/// The same for a response, which begins where `buf` does.
#[inline]
pub(super) fn response(
    buf: &[u8],
    limits: &Limits,
    into: &mut Vec<Field>,
) -> Option<(StatusLine, usize)> {
    let buf = &buf[..buf.len().min(limits.head_bytes())];
    let (&line, rest) = buf.split_first_chunk::<13>()?;
    let version = match &line[..8] {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        _ => return None,
    };
    let [b' ', digits @ .., b' '] = &line[8..] else { return None };
    let status = u16::try_from(grammar::decimal(digits)?).ok()?;
    let to = line.len() + value_end(rest)?;
    let [b'\r', b'\n', ..] = buf[to..] else { return None };
    let end = fields(buf, to + 2, limits.fields(), into)?;
    Some((StatusLine { version, status, reason: Span::new(line.len(), to) }, end))
}

/// Reads field lines from `at` on, and the empty line: where the head ends.
fn fields(buf: &[u8], at: usize, max: usize, into: &mut Vec<Field>) -> Option<usize> {
    let mut rest = &buf[at..];
    loop {
        if let [b'\r', b'\n', body @ ..] = rest {
            return Some(buf.len() - body.len());
        }
        let (name, behind) = rest.split_at(lanes::find(rest, b':')?);
        let id = match Name::known(name) {
            Some(id) => id,
            // As nearly all are: a token, and without the `_` of an alias.
            None if !name.is_empty() && lanes::is_name(name) => Name::Other,
            None if grammar::is_token(name) => Name::of(name),
            None => return None,
        };
        let (value, end) = behind[1..].split_at(value_end(&behind[1..])?);
        let [b'\r', b'\n', lines @ ..] = end else { return None };
        if into.len() == max {
            return None;
        }
        let value = Span::within(buf, grammar::trim(value));
        into.push(Field { id, name: Span::within(buf, name), value });
        rest = lines;
    }
}

/// Where the first byte stands that may not stand in a value.
#[inline]
fn value_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += lanes::find_control(&bytes[at..])?;
        if bytes[at] != b'\t' {
            return Some(at);
        }
        at += 1;
    }
}
