//! How long a body is: RFC 9112 section 6.3, rule by rule.
//!
//! Owns the reading of Content-Length and Transfer-Encoding and the choice between them. Knows
//! nothing of how a body is then read. The invariant: there is exactly one reading of a message's
//! length, or the message is refused; a field that is allowed once is refused twice, even with the
//! same value.

use crate::bounds;

use super::grammar;
use super::head::Version;
use super::method::Method;
use super::reject::Reject;

/// How a body ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    #[default]
    None,
    /// After that many bytes; 0 if the sender said so.
    Length(u64),
    /// After the last chunk and its trailers.
    Chunked,
    /// When the connection closes; only a response's.
    UntilClose,
}

/// What Content-Length and Transfer-Encoding said, gathered field by field.
#[derive(Debug, Default)]
pub(super) struct Lengths {
    pub length: Option<u64>,
    codings: u32,
    chunked: u32,
    chunked_is_last: bool,
}

// === impl Lengths ===

impl Lengths {
    pub(super) fn add_length(&mut self, value: &[u8]) -> Result<(), Reject> {
        // 6.3 rule 5 lets us collapse equal values. Two of them mean that somebody before us
        // already disagrees about this message, so they are refused.
        if self.length.is_some() {
            return Err(Reject::LengthRepeated);
        }
        let length = grammar::decimal(value).ok_or(Reject::Length)?;
        if length > bounds::BODY_BYTES_MAX {
            return Err(Reject::Length);
        }
        self.length = Some(length);
        Ok(())
    }

    pub(super) fn add_coding(&mut self, value: &[u8]) -> Result<(), Reject> {
        for coding in value.split(|&b| b == b',').map(grammar::trim) {
            // No empty elements and no parameters: neither occurs but in attacks.
            if !grammar::is_token(coding) {
                return Err(Reject::Coding);
            }
            self.codings += 1;
            self.chunked_is_last = coding.eq_ignore_ascii_case(b"chunked");
            self.chunked += u32::from(self.chunked_is_last);
        }
        Ok(())
    }

    /// Whether the body is chunked; an error if codings were named that we cannot take off.
    fn coding(&self, version: Version) -> Result<bool, Reject> {
        if self.codings == 0 {
            return Ok(false);
        }
        if version == Version::Http10 {
            // 6.1: such a message's framing is faulty, whatever it says.
            return Err(Reject::CodingInHttp10);
        }
        if self.length.is_some() {
            return Err(Reject::LengthWithCoding);
        }
        if !self.chunked_is_last {
            return Err(Reject::CodingNotFinal);
        }
        if self.chunked > 1 {
            return Err(Reject::CodingRepeated);
        }
        if self.codings > 1 {
            return Err(Reject::CodingUnknown);
        }
        Ok(true)
    }
}

/// A request's framing.
pub(super) fn of_request(
    lengths: &Lengths,
    version: Version,
    method: Method,
) -> Result<Framing, Reject> {
    // RFC 9112 6.3, as it applies to a request:
    // 1. (HEAD, 1xx, 204, 304: responses only)
    // 2. (2xx to CONNECT: responses only)
    // 3. "If a message is received with both a Transfer-Encoding and a Content-Length header field
    //    ... Such a message might indicate an attempt to perform request smuggling ... and ought to
    //    be handled as an error": it is, in `coding`.
    // 4. "If a Transfer-Encoding header field is present in a request and the chunked transfer
    //    coding is not the final encoding ... the server MUST respond with the 400 (Bad Request)
    //    status code and then close the connection": in `coding`.
    // 5. "If a message is received without Transfer-Encoding and with an invalid Content-Length
    //    header field ... the recipient MUST treat it as an unrecoverable error": in `add_length`.
    // 6. "If a valid Content-Length header field is present without Transfer-Encoding, its decimal
    //    value defines the expected message body length in octets."
    // 7. "If this is a request message and none of the above are true, then the message body length
    //    is zero (no message body is present)."
    // 8. (responses only)
    let framing = if lengths.coding(version)? {
        Framing::Chunked
    } else {
        lengths.length.map_or(Framing::None, Framing::Length)
    };
    // RFC 9110 9.3.6: content after CONNECT would be read as the tunnel's first bytes; 9.3.8: a
    // client MUST NOT send content in TRACE.
    let bodiless = matches!(method, Method::Connect | Method::Trace);
    if bodiless && !matches!(framing, Framing::None | Framing::Length(0)) {
        return Err(Reject::BodyForbidden);
    }
    Ok(framing)
}

/// A response's framing; `method` is the request's.
pub(super) fn of_response(
    lengths: &Lengths,
    version: Version,
    status: u16,
    method: Method,
) -> Result<Framing, Reject> {
    // RFC 9112 6.3, as it applies to a response:
    // 1. "Any response to a HEAD request and any response with a 1xx (Informational), 204 (No
    //    Content), or 304 (Not Modified) status code is always terminated by the first empty line
    //    after the header fields, regardless of the header fields present in the message".
    if method == Method::Head || matches!(status, 100..200 | 204 | 304) {
        return Ok(Framing::None);
    }
    // 2. "Any 2xx (Successful) response to a CONNECT request implies that the connection will
    //    become a tunnel ... A client MUST ignore any Content-Length or Transfer-Encoding header
    //    fields received in such a message."
    if method == Method::Connect && (200..300).contains(&status) {
        return Ok(Framing::None);
    }
    // 3. Both fields: "ought to be handled as an error"; in `coding`.
    // 4. Transfer-Encoding: chunked last, or (a response only) until close. We cannot take other
    //    codings off and may not forward them, so they are an error.
    if lengths.coding(version)? {
        return Ok(Framing::Chunked);
    }
    // 5. An invalid Content-Length: "the proxy MUST close the connection to the server, discard the
    //    received response, and send a 502"; in `add_length`.
    // 6. A valid Content-Length: its value.
    // 7. (requests only)
    // 8. "Otherwise, this is a response message without a declared message body length, so the
    //    message body length is determined by the number of octets received prior to the server
    //    closing the connection."
    Ok(lengths.length.map_or(Framing::UntilClose, Framing::Length))
}
