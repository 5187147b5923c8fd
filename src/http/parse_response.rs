//! Response heads: bytes to a [`ResponseHead`].
//!
//! The same order as for requests: find the end, read the lines, then the rules. Upstreams are held
//! to the same grammar as clients: a blank before a colon or a folded line is refused (RFC 9112 5.2
//! lets a gateway answer 502), since two servers that read a response differently poison a cache
//! between them.

use std::mem::MaybeUninit;

use crate::bounds;

use super::diagnose;
use super::field::Name;
use super::framing::{self, Framing, Lengths};
use super::head::{Limits, Parsed, ResponseHead, Version};
use super::hop::Side;
use super::method::Method;
use super::parse::field;
use super::plain::{self, StatusLine};
use super::reject::Reject;
use super::scan::{Found, Scan};
use super::span::Span;

/// `HTTP/1.1 200`, after which a reason may stand.
const STATUS_END: usize = 12;

/// Parses a response's head from `buf`; `method` is that of the request it answers. `Partial`: call
/// again with more bytes and the same `scan`. After an interim response (`head.is_interim()`)
/// another head follows. After an error the connection closes.
pub fn parse_response(
    head: &mut ResponseHead,
    scan: &mut Scan,
    buf: &[u8],
    limits: &Limits,
    method: Method,
) -> Result<Parsed, Reject> {
    if !scan.response_start(buf)? {
        return Ok(Parsed::Partial);
    }
    if !scan.has_looked() {
        // As for requests: one pass where the head is whole and nothing about it is unusual.
        head.clear();
        if let Some((line, end)) = plain::response(buf, limits, &mut head.fields) {
            *scan = Scan::default();
            return read(head, &line, buf, end, method);
        }
    }
    let Some(found) = scan.response(buf, limits)? else { return Ok(Parsed::Partial) };
    let mut table = [const { MaybeUninit::uninit() }; bounds::FIELDS_CEILING];
    let mut raw = httparse::Response::new(&mut []);
    let whole = &buf[..found.end];
    let result = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut raw,
        whole,
        &mut table[..limits.fields()],
    );
    if result != Ok(httparse::Status::Complete(found.end)) {
        return Err(fault(buf, found, limits));
    }
    let (Some(version), Some(status)) = (raw.version, raw.code) else {
        return Err(Reject::StatusLine);
    };
    head.clear();
    head.fields.extend(raw.headers.iter().map(|header| field(header, buf)));
    // Not httparse's reason: it gives "" for one with bytes above 0x7f.
    let line_end = found.fields - 2;
    let line = StatusLine {
        version: if version == 0 { Version::Http10 } else { Version::Http11 },
        status,
        reason: Span::new((STATUS_END + 1).min(line_end), line_end),
    };
    read(head, &line, buf, found.end, method)
}

/// The rules on the lines that were read; `head` has its fields.
fn read(
    head: &mut ResponseHead,
    line: &StatusLine,
    buf: &[u8],
    end: usize,
    method: Method,
) -> Result<Parsed, Reject> {
    let status = line.status;
    if status < 100 {
        return Err(Reject::Status);
    }
    head.len = end;
    (head.version, head.status, head.reason) = (line.version, status, line.reason);

    let mut lengths = Lengths::default();
    for field in &head.fields {
        let value = field.value.of(buf);
        head.names.add(field.id);
        match field.id {
            Name::ContentLength => lengths.add_length(value)?,
            Name::TransferEncoding => lengths.add_coding(value)?,
            Name::Connection => head.connection.add(value, buf, Side::Response)?,
            _ => {}
        }
    }
    head.framing = framing::of_response(&lengths, head.version, status, method)?;
    head.content_length = lengths.length;
    head.tunnel = status == 101 || method == Method::Connect && (200..300).contains(&status);
    // RFC 9112 9.3, in its order: close; HTTP/1.1; HTTP/1.0 with keep-alive.
    let persists = head.version == Version::Http11 || head.connection.keep_alive;
    head.keep_alive =
        !head.connection.close && persists && !head.tunnel && head.framing != Framing::UntilClose;
    Ok(Parsed::Complete)
}

/// The rule that the refused head broke.
#[cold]
fn fault(buf: &[u8], found: Found, limits: &Limits) -> Reject {
    diagnose::status_line(&buf[..found.fields - 2])
        .or_else(|| diagnose::fields(&buf[found.fields..found.end], limits.fields()))
        .unwrap_or(Reject::StatusLine)
}
