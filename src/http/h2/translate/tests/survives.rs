//! What must hold of every translated message, whatever it was made from. Compiled into the fuzz
//! target too, so it names the rooms by their public doors only.

use ::http::header::{self, HeaderMap};
use ::http::{request, response};

use crate::http::h2::translate::{request_text, response_text, to_request, to_response};
use crate::http::*;

const WIDE: Limits = Limits { head_bytes_max: 1 << 18, target_bytes_max: 1 << 17, fields_max: 256 };

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Translates a request; where it is not refused, asserts that the strict parser reads one head
/// that means the same, and that this head goes back into the same HTTP/2 request. The head's
/// length, or 0 if refused.
pub fn assert_request(parts: &request::Parts, ends: bool) -> usize {
    let mut text = Vec::new();
    if request_text(parts, ends, &mut text).is_err() {
        return 0;
    }
    let mut head = RequestHead::default();
    let parsed = match parse_request(&mut head, &mut Scan::default(), &text, &WIDE) {
        Ok(parsed) => parsed,
        Err(_) => return 0,
    };
    let shown = String::from_utf8_lossy(&text);
    assert_eq!((parsed, head.len), (Parsed::Complete, text.len()), "{shown}");
    assert_eq!(head.method.token(&text), parts.method.as_str().as_bytes(), "{shown}");
    let path = parts.uri.path_and_query().expect("translated").as_str().as_bytes();
    assert_eq!(head.target.of(&text), path, "{shown}");
    assert_eq!(head.version, Version::Http11);
    let authority = head.authority.of(&text);
    let host = parts.headers.get(header::HOST).map(|value| value.as_bytes());
    match parts.uri.authority() {
        Some(named) => assert_eq!(authority, named.as_str().as_bytes(), "{shown}"),
        None => assert_eq!(Some(authority), host, "{shown}"),
    }
    let framing = match (length(&parts.headers), ends) {
        (Some(length), _) => Framing::Length(length),
        (None, true) => Framing::None,
        (None, false) => Framing::Chunked,
    };
    assert_eq!(head.framing, framing, "{shown}");
    assert!(head.keep_alive && !head.upgrade, "{shown}");
    let ours = ["host", "transfer-encoding"];
    let fields = head.fields.iter().map(|field| (field.name.of(&text), field.value.of(&text)));
    let came = fields
        .filter(|(name, _)| !ours.iter().any(|other| name.eq_ignore_ascii_case(other.as_bytes())));
    let came: Pairs = came.map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
    assert_eq!(came, whole_cookies(&parts.headers), "{shown}");

    // An empty Host never came out, so the way back is open.
    let back =
        to_request(&text, Scheme::Https).unwrap_or_else(|reject| panic!("{reject}: {shown}"));
    let target = back.uri().path_and_query().expect("set").as_str().as_bytes();
    assert_eq!(target, path, "{shown}");
    assert_eq!(back.uri().authority().expect("set").as_str().as_bytes(), authority);
    assert_eq!(*back.method(), parts.method);
    for (name, value) in back.headers() {
        let (name, value) = plain(name, value);
        // `trailers` is a keyword: it goes on in its one form, however it was written.
        let same = |other: &[u8]| match &name[..] {
            b"te" => other.eq_ignore_ascii_case(&value),
            _ => other == value,
        };
        let found = came.iter().any(|(other, value)| *other == name && same(value));
        assert!(found, "{} appeared: {shown}", String::from_utf8_lossy(&name));
    }
    text.len()
}

/// The same of a response to a request of that method.
pub fn assert_response(parts: &response::Parts, method: Method, ends: bool) -> usize {
    let mut text = Vec::new();
    if response_text(parts, method, ends, &mut text).is_err() {
        return 0;
    }
    let mut head = ResponseHead::default();
    let parsed = match parse_response(&mut head, &mut Scan::default(), &text, &WIDE, method) {
        Ok(parsed) => parsed,
        Err(_) => return 0,
    };
    let shown = String::from_utf8_lossy(&text);
    assert_eq!((parsed, head.len), (Parsed::Complete, text.len()), "{shown}");
    assert_eq!(head.status, parts.status.as_u16());
    assert!(head.framing != Framing::UntilClose && !head.tunnel && head.keep_alive, "{shown}");
    let bodiless = matches!(head.status, 100..200 | 204 | 304) || method == Method::Head;
    if !bodiless {
        let framing = match (length(&parts.headers), ends) {
            (Some(length), _) => Framing::Length(length),
            (None, true) => Framing::Length(0),
            (None, false) => Framing::Chunked,
        };
        assert_eq!(head.framing, framing, "{shown}");
    }
    let back = to_response(&text, method).unwrap_or_else(|reject| panic!("{reject}: {shown}"));
    assert_eq!(back.status(), parts.status);
    for (name, value) in back.headers() {
        let pair = plain(name, value);
        let there = parts.headers.iter().any(|(name, value)| plain(name, value) == pair);
        let made = name == header::CONTENT_LENGTH && value == "0" && ends;
        let joined = name == header::COOKIE;
        assert!(there || made || joined, "{name} appeared: {shown}");
    }
    text.len()
}

/// A request as the `h2` crate would hand it out, from lines: method, authority, path, then fields
/// `name:value`. None where that crate would have refused it.
pub fn request_parts(input: &[u8]) -> Option<request::Parts> {
    let mut lines = input.split(|&b| b == b'\n');
    let method = ::http::Method::from_bytes(lines.next()?).ok()?;
    let mut uri = ::http::uri::Parts::default();
    match lines.next()? {
        b"" => {}
        authority => {
            uri.authority = Some(::http::uri::Authority::try_from(authority).ok()?);
            uri.scheme = Some(::http::uri::Scheme::HTTPS);
        }
    }
    uri.path_and_query = Some(::http::uri::PathAndQuery::try_from(lines.next()?).ok()?);
    let mut request = ::http::Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = ::http::Uri::from_parts(uri).ok()?;
    *request.headers_mut() = header_map(lines)?;
    Some(request.into_parts().0)
}

/// A response from lines: status, then fields.
pub fn response_parts(input: &[u8]) -> Option<response::Parts> {
    let mut lines = input.split(|&b| b == b'\n');
    let mut response = ::http::Response::new(());
    *response.status_mut() = ::http::StatusCode::from_bytes(lines.next()?).ok()?;
    *response.headers_mut() = header_map(lines)?;
    Some(response.into_parts().0)
}

/// Names as HPACK's decoder takes them, in lower case only.
fn header_map<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Option<HeaderMap> {
    let mut map = HeaderMap::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let colon = line.iter().position(|&b| b == b':')?;
        let name = header::HeaderName::from_lowercase(&line[..colon]).ok()?;
        let value = header::HeaderValue::from_bytes(&line[colon + 1..]).ok()?;
        map.try_append(name, value).ok()?;
    }
    Some(map)
}

fn length(map: &HeaderMap) -> Option<u64> {
    map.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The fields in order, but Host, and all cookies in the place of the first.
fn whole_cookies(map: &HeaderMap) -> Pairs {
    let mut pairs = Pairs::new();
    for (name, value) in map {
        if name == header::HOST || name == header::COOKIE && value.is_empty() {
            continue;
        }
        match pairs.last_mut() {
            Some((last, cookie)) if name == header::COOKIE && last == b"cookie" => {
                cookie.extend_from_slice(b"; ");
                cookie.extend_from_slice(value.as_bytes());
            }
            _ => pairs.push(plain(name, value)),
        }
    }
    pairs
}

/// A field's bytes; a length without zeros before it, as we write it.
fn plain(name: &header::HeaderName, value: &header::HeaderValue) -> (Vec<u8>, Vec<u8>) {
    let number = value.to_str().ok().and_then(|text| text.parse::<u64>().ok());
    let value = match number {
        Some(length) if name == header::CONTENT_LENGTH => length.to_string().into_bytes(),
        _ => value.as_bytes().to_vec(),
    };
    (name.as_str().into(), value)
}
