//! A second reading of RFC 9112 section 7.1, written from the grammar without looking at speed or
//! at splits: it takes lines apart instead of walking states. The decoder must agree with it.
//! Compiled into the fuzz targets too.

use std::ops::ControlFlow;

/// Bytes of one chunk's extensions, and of all.
const EXTENSION_MAX: usize = 1024;
const EXTENSIONS_MAX: usize = 16 * 1024;
const TRAILERS_MAX: usize = 8 * 1024;

/// The data and the length of the coded body at the start of `input`; `None` if it is malformed or
/// not all there.
pub fn decode(input: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut data, mut rest, mut extensions) = (Vec::new(), input, 0);
    loop {
        let (line, after) = line(rest)?;
        let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        if digits == 0 || digits > 16 {
            return None;
        }
        let size = u64::from_str_radix(std::str::from_utf8(&line[..digits]).ok()?, 16).ok()?;
        let extension = &line[digits..];
        extensions += extension.len();
        let lengths = extension.len() <= EXTENSION_MAX && extensions <= EXTENSIONS_MAX;
        if size >= 1 << 63 || !lengths || !is_extension(extension) {
            return None;
        }
        if size == 0 {
            let used = trailers(after)?;
            return Some((data, input.len() - after.len() + used));
        }
        let size = usize::try_from(size).ok().filter(|size| *size <= after.len())?;
        data.extend_from_slice(&after[..size]);
        rest = after[size..].strip_prefix(b"\r\n")?;
    }
}

/// The first line without its CRLF, and what follows; no other CR or LF in it.
fn line(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = input.windows(2).position(|two| two == b"\r\n")?;
    let line = &input[..end];
    if line.iter().any(|b| matches!(b, b'\r' | b'\n')) {
        None
    } else {
        Some((line, &input[end + 2..]))
    }
}

/// *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )
fn is_extension(mut rest: &[u8]) -> bool {
    while !rest.is_empty() {
        rest = blanks(rest);
        let Some(after) = rest.strip_prefix(b";") else { return false };
        let Some(after) = token(blanks(after)) else { return false };
        rest = after;
        if let Some(after) = blanks(rest).strip_prefix(b"=") {
            let value = blanks(after);
            let after = if value.first() == Some(&b'"') { quoted(value) } else { token(value) };
            let Some(after) = after else { return false };
            rest = after;
        }
    }
    true
}

fn blanks(input: &[u8]) -> &[u8] {
    let len = input.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    &input[len..]
}

fn token(input: &[u8]) -> Option<&[u8]> {
    let of = |b: &&u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    let len = input.iter().take_while(of).count();
    if len == 0 { None } else { Some(&input[len..]) }
}

fn quoted(input: &[u8]) -> Option<&[u8]> {
    let mut escaped = false;
    let end = input.iter().enumerate().skip(1).try_for_each(|(at, &b)| {
        if b != b'\t' && (b < b' ' || b == 0x7f) {
            return ControlFlow::Break(None);
        }
        if b == b'"' && !escaped {
            return ControlFlow::Break(Some(at));
        }
        escaped = b == b'\\' && !escaped;
        ControlFlow::Continue(())
    });
    match end {
        ControlFlow::Break(Some(at)) => Some(&input[at + 1..]),
        _ => None,
    }
}

/// Length of the trailer section with its empty line.
fn trailers(input: &[u8]) -> Option<usize> {
    let (mut rest, mut count) = (input, 0);
    loop {
        let (line, after) = line(rest)?;
        rest = after;
        let used = input.len() - rest.len();
        if line.is_empty() {
            // The section's bound counts its empty line, but an empty section is never bounded.
            return if used <= TRAILERS_MAX { Some(used) } else { None };
        }
        count += 1;
        let colon = line.iter().position(|b| *b == b':')?;
        let name = token(line).map(<[u8]>::len);
        let value = line[colon + 1..].iter().all(|b| *b == b'\t' || (*b >= b' ' && *b != 0x7f));
        if name != Some(line.len() - colon) || !value || count > 32 {
            return None;
        }
    }
}
