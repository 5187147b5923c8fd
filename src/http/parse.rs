//! Request heads: bytes to a [`RequestHead`].
//!
//! Owns the order of the checks: read the lines (`plain`, in one pass, where nothing is unusual;
//! else `scan` finds the end and httparse reads), then the rules no tokenizer knows. httparse takes
//! a bare LF for a line end and knows nothing of framing. The invariant: what it consumed is what
//! the scan finds, or the head is refused; no byte between a head and its body can vanish.

use std::mem::MaybeUninit;

use crate::bounds;

use super::diagnose;
use super::field::{Field, Name};
use super::framing::{self, Framing, Lengths};
use super::grammar;
use super::head::{Limits, Parsed, RequestHead, Version};
use super::hop::Side;
use super::method::Method;
use super::plain::{self, RequestLine};
use super::reject::Reject;
use super::scan::{Found, Scan};
use super::span::Span;
use super::target::{self, Authority};

/// Parses a request's head from `buf`, whose first byte is the head's first (or an empty line
/// before it). `Partial`: call again with more bytes and the same `scan`. `Complete`: the head is
/// `buf[..head.len]`, what follows is body or the next request. After an error the connection
/// closes.
pub fn parse_request(
    head: &mut RequestHead,
    scan: &mut Scan,
    buf: &[u8],
    limits: &Limits,
) -> Result<Parsed, Reject> {
    let Some(start) = scan.request_start(buf)? else { return Ok(Parsed::Partial) };
    if !scan.has_looked() {
        // Most heads come whole: one pass is then enough. Anything unusual goes the long way, whose
        // verdict is the one that counts.
        head.clear();
        if let Some((line, end)) = plain::request(buf, start, limits, &mut head.fields) {
            *scan = Scan::default();
            return read(head, &line, buf, end);
        }
    }
    let Some(found) = scan.request(buf, limits)? else { return Ok(Parsed::Partial) };
    scanned(head, found, buf, limits)
}

/// Reads a head whose end the scan has found.
fn scanned(
    head: &mut RequestHead,
    found: Found,
    buf: &[u8],
    limits: &Limits,
) -> Result<Parsed, Reject> {
    let mut table = [const { MaybeUninit::uninit() }; bounds::FIELDS_CEILING];
    let mut raw = httparse::Request::new(&mut []);
    let whole = &buf[found.start..found.end];
    let result = raw.parse_with_uninit_headers(whole, &mut table[..limits.fields()]);
    if result != Ok(httparse::Status::Complete(whole.len())) {
        return Err(fault(buf, found, limits));
    }
    let (Some(method), Some(target), Some(version)) = (raw.method, raw.path, raw.version) else {
        return Err(Reject::RequestLine);
    };
    if method.len() > bounds::METHOD_BYTES_MAX {
        return Err(Reject::Method);
    }
    if target.len() > limits.target_bytes_max {
        return Err(Reject::TargetTooLong);
    }
    head.clear();
    head.fields.extend(raw.headers.iter().map(|header| field(header, buf)));
    let line = RequestLine {
        method: Span::within(buf, method.as_bytes()),
        target: Span::within(buf, target.as_bytes()),
        version: if version == 0 { Version::Http10 } else { Version::Http11 },
    };
    read(head, &line, buf, found.end)
}

/// The rules on the lines that were read; `head` has its fields.
fn read(
    head: &mut RequestHead,
    line: &RequestLine,
    buf: &[u8],
    end: usize,
) -> Result<Parsed, Reject> {
    head.len = end;
    head.version = line.version;
    head.method = Method::known(line.method.of(buf)).unwrap_or(Method::Other(line.method));
    head.target = line.target;
    let target = target::parse(head.method, head.target, buf)?;
    (head.form, head.path, head.query) = (target.form, target.path, target.query);

    let mut seen = Seen::default();
    for at in 0..head.fields.len() {
        let field = head.fields[at];
        head.names.add(field.id);
        if field.id.is_special() {
            special(head, &mut seen, field, buf)?;
        }
    }
    finish(head, &seen, target.authority)?;
    Ok(Parsed::Complete)
}

/// What the special fields said.
#[derive(Default)]
struct Seen {
    lengths: Lengths,
    host: Option<Authority>,
    expect: bool,
    upgrade: bool,
}

/// A field as spans.
#[inline]
pub(super) fn field(header: &httparse::Header<'_>, buf: &[u8]) -> Field {
    let name = header.name.as_bytes();
    Field {
        id: Name::of(name),
        name: Span::within(buf, name),
        value: Span::within(buf, header.value),
    }
}

fn special(
    head: &mut RequestHead,
    seen: &mut Seen,
    field: Field,
    buf: &[u8],
) -> Result<(), Reject> {
    let value = field.value.of(buf);
    match field.id {
        Name::Host => {
            // RFC 9112 3.2: a repeated Host MUST be answered 400, equal or not.
            if seen.host.is_some() {
                return Err(Reject::HostRepeated);
            }
            seen.host = Some(target::authority(field.value, buf)?);
        }
        Name::ContentLength => seen.lengths.add_length(value)?,
        Name::TransferEncoding => seen.lengths.add_coding(value)?,
        Name::Connection => head.connection.add(value, buf, Side::Request)?,
        Name::Expect => {
            // RFC 9110 10.1.1: the only expectation there is.
            if !value.eq_ignore_ascii_case(b"100-continue") {
                return Err(Reject::Expectation);
            }
            seen.expect = true;
        }
        Name::Upgrade => seen.upgrade = true,
        Name::Te => {
            head.te_trailers |=
                grammar::list(value).any(|coding| coding.eq_ignore_ascii_case(b"trailers"));
        }
        _ => {}
    }
    Ok(())
}

fn finish(
    head: &mut RequestHead,
    seen: &Seen,
    from_target: Option<Authority>,
) -> Result<(), Reject> {
    let http11 = head.version == Version::Http11;
    // RFC 9112 3.2: also where the target says the host.
    if http11 && seen.host.is_none() {
        return Err(Reject::HostMissing);
    }
    // RFC 9112 3.2.2: the target's authority replaces Host, whatever that said.
    let authority = from_target.or(seen.host).unwrap_or_default();
    (head.authority, head.host, head.port) = (authority.whole, authority.host, authority.port);
    head.framing = framing::of_request(&seen.lengths, head.version, head.method)?;
    // RFC 9112 C.2.2: keep-alive of HTTP/1.0 goes wrong through proxies; such a client is served
    // once.
    head.keep_alive = http11 && !head.connection.close;
    // RFC 9110 10.1.1: ignored in HTTP/1.0; a client does not wait where it sends no content.
    let has_body = !matches!(head.framing, Framing::None | Framing::Length(0));
    head.expect_continue = http11 && seen.expect && has_body;
    // RFC 9110 7.8: MUST be ignored in HTTP/1.0.
    head.upgrade = http11 && head.connection.upgrade && seen.upgrade;
    Ok(())
}

/// The rule that the refused head broke.
#[cold]
fn fault(buf: &[u8], found: Found, limits: &Limits) -> Reject {
    diagnose::request_line(&buf[found.start..found.fields - 2], bounds::METHOD_BYTES_MAX)
        .or_else(|| diagnose::fields(&buf[found.fields..found.end], limits.fields()))
        .unwrap_or(Reject::RequestLine)
}
