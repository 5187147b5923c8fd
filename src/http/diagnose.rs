//! Which rule a refused head broke.
//!
//! Runs only once the fast parser has said no, over lines the scan has already split: it looks for
//! the first broken rule in reading order, so that the log names it. Knows nothing of meaning. The
//! invariant: it finds a fault if and only if the fast parser does (a test holds the two against
//! each other).

use super::grammar;
use super::reject::Reject;

/// The first fault of a request line, without its CRLF.
pub(super) fn request_line(line: &[u8], method_max: usize) -> Option<Reject> {
    if line.contains(&b'\r') {
        return Some(Reject::BareCr);
    }
    let mut parts = line.splitn(3, |&b| b == b' ');
    let method = parts.next().unwrap_or_default();
    if !grammar::is_token(method) || method.len() > method_max {
        return Some(Reject::Method);
    }
    let (Some(target), Some(version)) = (parts.next(), parts.next()) else {
        return Some(Reject::RequestLine);
    };
    if target.is_empty() || version.contains(&b' ') {
        return Some(Reject::RequestLine);
    }
    if !grammar::is_target(target) {
        return Some(Reject::TargetBytes);
    }
    of_version(version)
}

/// The first fault of a status line, without its CRLF.
pub(super) fn status_line(line: &[u8]) -> Option<Reject> {
    if line.contains(&b'\r') {
        return Some(Reject::BareCr);
    }
    let (version, rest) = line.split_at(line.len().min("HTTP/1.1".len()));
    if let Some(fault) = of_version(version) {
        return Some(fault);
    }
    let digits = rest.get(1..4).unwrap_or_default();
    let reason = rest.get(4..).unwrap_or_default();
    let good = rest.first() == Some(&b' ')
        && digits.len() == 3
        && digits.iter().all(u8::is_ascii_digit)
        && matches!(reason, [] | [b' ', ..])
        && grammar::is_value(reason);
    if good { None } else { Some(Reject::StatusLine) }
}

fn of_version(version: &[u8]) -> Option<Reject> {
    match version {
        b"HTTP/1.1" | b"HTTP/1.0" => None,
        // RFC 9112 2.3: the name is case-sensitive and both numbers are one digit.
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Some(Reject::VersionUnsupported)
        }
        _ => Some(Reject::Version),
    }
}

/// The first fault of a block of field lines, empty line included, or `None`.
pub(super) fn fields(block: &[u8], fields_max: usize) -> Option<Reject> {
    let mut rest = block;
    let mut count = 0;
    while let Some(lf) = memchr::memchr(b'\n', rest) {
        let line = &rest[..lf.saturating_sub(1)];
        rest = &rest[lf + 1..];
        if line.is_empty() {
            return None;
        }
        if let Some(fault) = field(line, count == 0) {
            return Some(fault);
        }
        count += 1;
        if count > fields_max {
            return Some(Reject::FieldsTooMany);
        }
    }
    None
}

fn field(line: &[u8], first: bool) -> Option<Reject> {
    if line.contains(&b'\r') {
        return Some(Reject::BareCr);
    }
    if matches!(line[0], b' ' | b'\t') {
        return Some(if first { Reject::BlankBeforeFields } else { Reject::ObsFold });
    }
    let Some(colon) = memchr::memchr(b':', line) else { return Some(Reject::FieldNoColon) };
    let name = &line[..colon];
    if name.is_empty() {
        return Some(Reject::FieldNameEmpty);
    }
    if !grammar::is_token(name) {
        let blank = matches!(name, [.., b' ' | b'\t']) && grammar::is_token(grammar::trim(name));
        return Some(if blank { Reject::BlankBeforeColon } else { Reject::FieldName });
    }
    if grammar::is_value(&line[colon + 1..]) { None } else { Some(Reject::FieldValue) }
}
