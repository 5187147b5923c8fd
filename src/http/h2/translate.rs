//! HTTP/2 messages to HTTP/1.1 text, and back.
//!
//! Owns RFC 9113 section 8: which pseudo fields there must be, what may not stand in a field, and
//! how `:authority` and Host become one. Knows nothing of streams or flow control. The `http` types
//! guarantee little (a value may begin with a blank, a name may hold a quote, a path may be UTF-8),
//! so what would mean something else as HTTP/1.1 is refused here; every other rule is the strict
//! parser's, which reads the text next. The invariant: the text holds one head with those fields,
//! or is refused.
//!
//! After a refusal the output holds a part of a head, to be thrown away. The `http` crate cuts a
//! fragment off a path before anybody sees it: what is routed and sent on is the path without it.

use ::http::header::{HeaderMap, HeaderName, HeaderValue};
use ::http::uri::{self, Authority, PathAndQuery, Uri};
use ::http::{Request, Response, StatusCode, request, response};

use crate::bounds;

use super::super::field::{Field, Name, NameSet};
use super::super::framing::Framing;
use super::super::grammar;
use super::super::head::{Limits, Parsed, RequestHead, ResponseHead};
use super::super::method::Method;
use super::super::parse::parse_request;
use super::super::parse_response::parse_response;
use super::super::reject::Reject;
use super::super::scan::Scan;
use super::super::target::{Scheme, TargetForm};
use super::super::write::{self, Out};

/// RFC 9113 8.2.2: fields that speak of one HTTP/1.1 connection make a message malformed.
const OF_A_CONNECTION: NameSet = NameSet::of(&[
    Name::Connection,
    Name::KeepAlive,
    Name::ProxyConnection,
    Name::TransferEncoding,
    Name::Upgrade,
]);
/// RFC 8441 5: they have no meaning in HTTP/2, where the handshake needs no proof.
const OF_A_HANDSHAKE: NameSet = NameSet::of(&[Name::SecWebsocketKey, Name::SecWebsocketAccept]);
/// RFC 7541 7.1.3: secrets that share a connection with other clients' requests stay out of its
/// compression state, where their length would tell of their content. So do ids, which are never
/// said again and would only displace what is.
const UNINDEXED: NameSet = NameSet::of(&[
    Name::Authorization,
    Name::Cookie,
    Name::XApiKey,
    Name::ApiKey,
    Name::XRequestId,
    Name::Traceparent,
]);

/// The text is our own, so it may be as large as any.
const WIDE: Limits = Limits {
    head_bytes_max: bounds::HEAD_BYTES_CEILING,
    target_bytes_max: bounds::HEAD_BYTES_CEILING,
    fields_max: bounds::FIELDS_CEILING,
};

// === HTTP/2 to text ===

/// Writes a request as HTTP/1.1. `ends`: END_STREAM stood on its HEADERS, no body follows. A body
/// whose length is not told is announced as chunked.
pub fn request_text(parts: &request::Parts, ends: bool, out: &mut impl Out) -> Result<(), Reject> {
    if parts.method == ::http::Method::CONNECT {
        return Err(Reject::Connect);
    }
    request_line(parts, parts.method.as_str(), out)?;
    let told = fields(&parts.headers, NameSet::default(), out)?;
    body(told, ends, out)?;
    write::end(out);
    Ok(())
}

/// Writes an extended CONNECT (RFC 8441) as the HTTP/1.1 request that asks for the same upgrade.
/// `protocol` is what `:protocol` said; `key` becomes Sec-WebSocket-Key, since HTTP/2 has none.
pub fn websocket_text(
    parts: &request::Parts,
    protocol: &str,
    key: &[u8; 24],
    out: &mut impl Out,
) -> Result<(), Reject> {
    let known = protocol.eq_ignore_ascii_case("websocket");
    if parts.method != ::http::Method::CONNECT || !known {
        return Err(Reject::Connect);
    }
    request_line(parts, "GET", out)?;
    // RFC 8441 5: DATA is the tunnel's bytes, there is no body whose length could be told.
    if fields(&parts.headers, OF_A_HANDSHAKE, out)?.is_some() {
        return Err(Reject::BodyForbidden);
    }
    write::field(out, b"connection", b"upgrade");
    write::field(out, b"upgrade", b"websocket");
    write::field(out, b"sec-websocket-key", key);
    write::end(out);
    Ok(())
}

/// Writes a response, interim or final, as HTTP/1.1. `method` is that of the request it answers.
pub fn response_text(
    parts: &response::Parts,
    method: Method,
    ends: bool,
    out: &mut impl Out,
) -> Result<(), Reject> {
    let status = parts.status.as_u16();
    // RFC 9113 8.6: there is no 101 in HTTP/2.
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Reject::Status);
    }
    write::status_line(out, status);
    let told = fields(&parts.headers, NameSet::default(), out)?;
    // RFC 9110 6.4.1: these have no content; a length that HEAD or 304 tell is another's.
    let bodiless = matches!(status, 100..200 | 204 | 304) || method == Method::Head;
    match told {
        _ if bodiless => {}
        None if ends => write::framing(out, Framing::Length(0)),
        _ => body(told, ends, out)?,
    }
    write::end(out);
    Ok(())
}

/// Whether trailers are sound: a message with malformed ones is not complete (RFC 9113 section
/// 8.1.1).
pub fn check_trailers(map: &HeaderMap) -> Result<(), Reject> {
    let mut bytes = 0;
    for (name, value) in map {
        sound(name.as_str().as_bytes(), value.as_bytes())?;
        if OF_A_CONNECTION.has(Name::of(name.as_str().as_bytes())) {
            return Err(Reject::HopField);
        }
        bytes += name.as_str().len() + value.len() + ": \r\n".len();
    }
    if bytes > bounds::TRAILER_BYTES_MAX {
        return Err(Reject::TrailersTooLarge);
    }
    if map.len() > bounds::TRAILER_FIELDS_MAX {
        return Err(Reject::TrailersTooMany);
    }
    Ok(())
}

/// Of sound trailers those that go on: names this gateway gives no meaning to (RFC 9110 section
/// 6.5.1).
pub fn trailers(map: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    let text = map.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
    text.filter(|(name, _)| Name::of(name) == Name::Other)
}

fn request_line(parts: &request::Parts, method: &str, out: &mut impl Out) -> Result<(), Reject> {
    if !grammar::is_token(method.as_bytes()) {
        return Err(Reject::Method);
    }
    // RFC 9113 8.3.1: all requests but CONNECT have a path; it is not empty.
    let path = parts.uri.path_and_query().ok_or(Reject::Pseudo)?.as_str().as_bytes();
    if !grammar::is_target(path) {
        return Err(Reject::TargetBytes);
    }
    let is_path = path.starts_with(b"/") || path == b"*" && method == "OPTIONS";
    if !is_path {
        return Err(Reject::TargetForm);
    }
    out.put(method.as_bytes());
    out.put(b" ");
    out.put(path);
    out.put(b" HTTP/1.1\r\n");
    write::field(out, b"host", authority(parts)?);
    Ok(())
}

/// RFC 9113 8.3.1: `:authority`, else Host; both may stand if they name the same. The parser checks
/// the name itself.
fn authority(parts: &request::Parts) -> Result<&[u8], Reject> {
    let mut hosts = parts.headers.get_all(::http::header::HOST).iter();
    let host = hosts.next().map(HeaderValue::as_bytes);
    if hosts.next().is_some() {
        return Err(Reject::HostRepeated);
    }
    let Some(authority) = parts.uri.authority() else {
        let host = host.filter(|host| !host.is_empty()).ok_or(Reject::HostMissing)?;
        sound(b"host", host)?;
        return Ok(host);
    };
    let authority = authority.as_str().as_bytes();
    // RFC 9113 8.3.1: user information MUST NOT be there.
    if authority.contains(&b'@') {
        return Err(Reject::TargetUserinfo);
    }
    sound(b"host", authority)?;
    let port: &[u8] = match parts.uri.scheme_str() {
        Some("https") => b":443",
        Some("http") => b":80",
        _ => b"",
    };
    let bare = |text: &'_ [u8]| text.strip_suffix(port).unwrap_or(text).to_ascii_lowercase();
    match host {
        Some(host) if host != authority && bare(host) != bare(authority) => {
            Err(Reject::HostDiffers)
        }
        _ => Ok(authority),
    }
}

/// Writes the fields but Host and those to leave out, with the cookie's crumbs put together; gives
/// the length they tell.
fn fields(map: &HeaderMap, left_out: NameSet, out: &mut impl Out) -> Result<Option<u64>, Reject> {
    let mut told = None;
    // Whether the last line written is a cookie's without its end: the map gives the values of one
    // name one after the other.
    let mut in_cookie = false;
    for (name, value) in map {
        let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
        sound(name, value)?;
        let id = Name::of(name);
        if in_cookie && id != Name::Cookie {
            out.put(b"\r\n");
            in_cookie = false;
        }
        match id {
            Name::Host => continue,
            id if left_out.has(id) => continue,
            id if OF_A_CONNECTION.has(id) => return Err(Reject::HopField),
            // RFC 9113 8.2.2: TE may say "trailers", and nothing else.
            Name::Te if !value.eq_ignore_ascii_case(b"trailers") => return Err(Reject::HopField),
            Name::ContentLength => {
                let length = grammar::decimal(value).ok_or(Reject::Length)?;
                if told.replace(length).is_some() {
                    return Err(Reject::LengthRepeated);
                }
                write::field_decimal(out, name, length);
                continue;
            }
            // RFC 9113 8.2.3: crumbs MUST be joined before they leave HTTP/2. An empty one is none.
            Name::Cookie if value.is_empty() => continue,
            Name::Cookie => {
                out.put(if in_cookie { b"; " } else { b"cookie: " });
                out.put(value);
                in_cookie = true;
                continue;
            }
            _ => {}
        }
        write::field(out, name, value);
    }
    if in_cookie {
        out.put(b"\r\n");
    }
    Ok(told)
}

/// RFC 9113 8.2.1: no CR, LF or NUL, no blank at either end; as HTTP/1.1 they would be lost or mean
/// another thing. A `HeaderName` is in lower case, but not always a token: it may hold `"`.
fn sound(name: &[u8], value: &[u8]) -> Result<(), Reject> {
    if !grammar::is_token(name) {
        return Err(Reject::FieldName);
    }
    if !grammar::is_value(value) {
        return Err(Reject::FieldValue);
    }
    match value {
        [b' ' | b'\t', ..] | [.., b' ' | b'\t'] => Err(Reject::ValueBlank),
        _ => Ok(()),
    }
}

/// Announces a body whose length the fields do not tell.
fn body(told: Option<u64>, ends: bool, out: &mut impl Out) -> Result<(), Reject> {
    match told {
        // RFC 9113 8.1.1: the length told is not the sum of the DATA frames.
        Some(1..) if ends => return Err(Reject::Length),
        None if !ends => write::framing(out, Framing::Chunked),
        _ => {}
    }
    Ok(())
}

// === text to HTTP/2 ===

/// Reads a request's head that we wrote as HTTP/1.1 into what the `h2` crate sends. What is for one
/// hop stays behind, but `te: trailers`.
pub fn to_request(text: &[u8], scheme: Scheme) -> Result<Request<()>, Reject> {
    let mut head = RequestHead::default();
    let parsed = parse_request(&mut head, &mut Scan::default(), text, &WIDE)?;
    if parsed != Parsed::Complete || head.len != text.len() {
        return Err(Reject::RequestLine);
    }
    let method = head.method.token(text);
    if head.method == Method::Connect {
        return Err(Reject::Connect);
    }
    if matches!(head.form, TargetForm::Absolute(_)) {
        return Err(Reject::TargetForm);
    }
    let mut headers = map(head.forwarded(text), head.fields.len() + 2, text, UNINDEXED)?;
    if let Framing::Length(length) = head.framing {
        headers.insert(::http::header::CONTENT_LENGTH, length.into());
    }
    if head.te_trailers {
        headers.insert(::http::header::TE, HeaderValue::from_static("trailers"));
    }
    let mut parts = uri::Parts::default();
    parts.scheme = Some(match scheme {
        Scheme::Http => uri::Scheme::HTTP,
        Scheme::Https => uri::Scheme::HTTPS,
    });
    let authority = Authority::try_from(head.authority.of(text));
    parts.authority = Some(authority.map_err(|_| Reject::Host)?);
    parts.path_and_query = Some(path_and_query(head.target.of(text))?);
    let mut request = Request::new(());
    *request.method_mut() = ::http::Method::from_bytes(method).map_err(|_| Reject::Method)?;
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_| Reject::Pseudo)?;
    *request.version_mut() = ::http::Version::HTTP_2;
    *request.headers_mut() = headers;
    Ok(request)
}

/// Reads a response's head that we wrote as HTTP/1.1 into what the `h2` crate sends. `method` is
/// that of the request it answers. 101 becomes the 200 that opens a tunnel in HTTP/2 (RFC 8441).
pub fn to_response(text: &[u8], method: Method) -> Result<Response<()>, Reject> {
    let mut head = ResponseHead::default();
    let parsed = parse_response(&mut head, &mut Scan::default(), text, &WIDE, method)?;
    if parsed != Parsed::Complete || head.len != text.len() {
        return Err(Reject::StatusLine);
    }
    let tunnel = head.status == 101;
    let passes = |field: &&Field| !(tunnel && OF_A_HANDSHAKE.has(field.id));
    let fields = head.forwarded(text).filter(passes);
    let mut headers = map(fields, head.fields.len() + 1, text, NameSet::default())?;
    // RFC 9110 8.6: neither 1xx nor 204 may tell a length.
    if let Some(length) = head.content_length
        && !matches!(head.status, 100..200 | 204)
    {
        headers.insert(::http::header::CONTENT_LENGTH, length.into());
    }
    let status = if tunnel { 200 } else { head.status };
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).map_err(|_| Reject::Status)?;
    *response.version_mut() = ::http::Version::HTTP_2;
    *response.headers_mut() = headers;
    Ok(response)
}

/// Trailers that were parsed, as the `h2` crate sends them.
pub fn to_trailers<'a>(
    trailers: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<HeaderMap, Reject> {
    let mut map = HeaderMap::new();
    for (name, value) in trailers {
        append(&mut map, name, value, false)?;
    }
    Ok(map)
}

fn map<'a>(
    fields: impl Iterator<Item = &'a Field>,
    capacity: usize,
    text: &[u8],
    secret: NameSet,
) -> Result<HeaderMap, Reject> {
    let mut map = HeaderMap::with_capacity(capacity);
    for field in fields {
        append(&mut map, field.name.of(text), field.value.of(text), secret.has(field.id))?;
    }
    Ok(map)
}

fn append(map: &mut HeaderMap, name: &[u8], value: &[u8], secret: bool) -> Result<(), Reject> {
    let name = HeaderName::from_bytes(name).map_err(|_| Reject::FieldName)?;
    let mut value = HeaderValue::from_bytes(value).map_err(|_| Reject::FieldValue)?;
    value.set_sensitive(secret);
    map.try_append(name, value).map_err(|_| Reject::FieldsTooMany)?;
    Ok(())
}

/// A target we wrote as `:path`. The `http` crate refuses a few bytes that browsers send raw and
/// that our parser lets pass; percent-encoded they are what a strict client would have sent.
fn path_and_query(target: &[u8]) -> Result<PathAndQuery, Reject> {
    PathAndQuery::try_from(target).or_else(|_| {
        let mut encoded = Vec::with_capacity(target.len() + 16);
        for &b in target {
            // RFC 3986 3.3: pchar, with the delimiters of path and query and the escapes there are.
            if b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(&b) {
                encoded.push(b);
            } else {
                encoded.push(b'%');
                let digit = |nibble: u8| b"0123456789ABCDEF"[usize::from(nibble)];
                encoded.extend([digit(b >> 4), digit(b & 15)]);
            }
        }
        PathAndQuery::try_from(encoded.as_slice()).map_err(|_| Reject::TargetBytes)
    })
}

#[cfg(test)]
mod tests;
