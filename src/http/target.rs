//! The request target's four forms, and host validation.
//!
//! Owns RFC 9112 section 3.2 and the syntax of `host [: port]`. Knows nothing of which hosts exist,
//! and nothing of what stands in a path: dots and escapes are the router's. The invariant: a host
//! that passes is a DNS-like name or an IP address, so routing and the upstream read the same name.

use std::net::Ipv6Addr;

use memchr::memchr;

use crate::bounds;

use super::grammar;
use super::lanes;
use super::method::Method;
use super::reject::Reject;
use super::span::Span;

/// The scheme of an absolute target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

/// Which form a request target has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetForm {
    /// `/path?query`
    #[default]
    Origin,
    /// `http://host/path?query`
    Absolute(Scheme),
    /// `*`, of OPTIONS only
    Asterisk,
    /// `host:port`, of CONNECT only
    Authority,
}

/// A target's parts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Target {
    pub form: TargetForm,
    pub path: Span,
    pub query: Option<Span>,
    pub authority: Option<Authority>,
}

/// A validated `host [: port]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Authority {
    pub whole: Span,
    pub host: Span,
    pub port: Option<u16>,
}

/// Reads a target; `span` is not empty.
pub(super) fn parse(method: Method, span: Span, buf: &[u8]) -> Result<Target, Reject> {
    let bytes = span.of(buf);
    if !grammar::is_target(bytes) {
        return Err(Reject::TargetBytes);
    }
    if method == Method::Connect {
        return connect(span, buf);
    }
    match bytes {
        [b'/', ..] => {
            let (path, query) = split_query(span, buf);
            Ok(Target { form: TargetForm::Origin, path, query, authority: None })
        }
        b"*" if method == Method::Options => {
            Ok(Target { form: TargetForm::Asterisk, path: span, ..Target::default() })
        }
        _ => absolute(span, buf),
    }
}

/// RFC 9112 3.2.3: CONNECT takes `host:port` and nothing else; RFC 9110 9.3.6: the port must be
/// there.
fn connect(span: Span, buf: &[u8]) -> Result<Target, Reject> {
    let bytes = span.of(buf);
    if bytes.starts_with(b"/") || bytes == b"*" || bytes.windows(3).any(|three| three == b"://") {
        return Err(Reject::TargetForm);
    }
    if bytes.contains(&b'@') {
        return Err(Reject::TargetUserinfo);
    }
    let authority = authority(span, buf)?;
    if authority.port.is_none() || authority.host.is_empty() {
        return Err(Reject::Host);
    }
    let path = span.part(0, 0);
    Ok(Target { form: TargetForm::Authority, path, query: None, authority: Some(authority) })
}

/// RFC 9112 3.2.2.
fn absolute(span: Span, buf: &[u8]) -> Result<Target, Reject> {
    let bytes = span.of(buf);
    let (scheme, skip) = if has_prefix(bytes, b"http://") {
        (Scheme::Http, 7)
    } else if has_prefix(bytes, b"https://") {
        (Scheme::Https, 8)
    } else if is_scheme(bytes) {
        return Err(Reject::TargetScheme);
    } else {
        return Err(Reject::TargetForm);
    };
    let rest = &bytes[skip..];
    let end = skip + rest.iter().position(|&b| b == b'/' || b == b'?').unwrap_or(rest.len());
    if bytes[skip..end].contains(&b'@') {
        // RFC 9110 4.2.4: it hides the real host from a reader.
        return Err(Reject::TargetUserinfo);
    }
    let authority = authority(span.part(skip, end), buf)?;
    if authority.host.is_empty() {
        // RFC 9110 4.2.1: an empty host in an http URI must be refused.
        return Err(Reject::Host);
    }
    let (path, query) = split_query(span.part(end, bytes.len()), buf);
    Ok(Target { form: TargetForm::Absolute(scheme), path, query, authority: Some(authority) })
}

fn has_prefix(bytes: &[u8], prefix: &[u8]) -> bool {
    bytes.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Whether the target begins like `scheme:`.
fn is_scheme(bytes: &[u8]) -> bool {
    let Some(colon) = memchr(b':', bytes) else { return false };
    let scheme = &bytes[..colon];
    scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.iter().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b))
}

fn split_query(span: Span, buf: &[u8]) -> (Span, Option<Span>) {
    let bytes = span.of(buf);
    match lanes::find(bytes, b'?') {
        Some(at) => (span.part(0, at), Some(span.part(at + 1, bytes.len()))),
        None => (span, None),
    }
}

/// `host [: port]`, also with nothing in it (RFC 9112 3.2 asks for an empty Host where the target
/// has no authority); a port without a host is refused.
pub(super) fn authority(span: Span, buf: &[u8]) -> Result<Authority, Reject> {
    let bytes = span.of(buf);
    let host_len = match bytes {
        [b'[', ..] => memchr(b']', bytes).ok_or(Reject::Host)? + 1,
        _ => lanes::find(bytes, b':').unwrap_or(bytes.len()),
    };
    let (host, after) = bytes.split_at(host_len);
    let port = match after {
        [] => None,
        [b':', digits @ ..] if !host.is_empty() => port(digits)?,
        _ => return Err(Reject::Host),
    };
    let good = match host {
        [] => true,
        [b'[', address @ .., b']'] => is_ipv6(address),
        _ => is_name(host),
    };
    if !good {
        return Err(Reject::Host);
    }
    Ok(Authority { whole: span, host: span.part(0, host_len), port })
}

/// RFC 3986 3.2.3: the digits may be none, which means the scheme's default.
fn port(digits: &[u8]) -> Result<Option<u16>, Reject> {
    if digits.is_empty() {
        return Ok(None);
    }
    if digits.len() > 5 {
        return Err(Reject::Host);
    }
    let number = grammar::decimal(digits).ok_or(Reject::Host)?;
    match u16::try_from(number) {
        Ok(port) if port != 0 => Ok(Some(port)),
        _ => Err(Reject::Host),
    }
}

/// RFC 6874 zones and IPvFuture name nothing a gateway could route to.
fn is_ipv6(address: &[u8]) -> bool {
    std::str::from_utf8(address).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

/// Labels of letters, digits, `-` and `_`, none empty but for the root's trailing dot.
fn is_name(host: &[u8]) -> bool {
    let mut before = b'.';
    let mut good = host.len() <= bounds::HOST_BYTES_MAX;
    for &b in host {
        good &= grammar::is_host(b) && (b != b'.' || before != b'.');
        before = b;
    }
    good
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: Method, target: &str) -> Result<Target, Reject> {
        parse(method, Span::new(0, target.len()), target.as_bytes())
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_an_optional_port() {
        for (text, host, port) in [
            ("a", "a", None),
            ("a.example.", "a.example.", None),
            ("a_b-c.example:80", "a_b-c.example", Some(80)),
            ("a:", "a", None),
            ("127.0.0.1:65535", "127.0.0.1", Some(65535)),
            ("[::1]", "[::1]", None),
            ("[2001:db8::1]:8443", "[2001:db8::1]", Some(8443)),
            ("", "", None),
        ] {
            let read = authority(Span::new(0, text.len()), text.as_bytes()).expect(text);
            assert_eq!(
                (read.host.of(text.as_bytes()), read.port),
                (host.as_bytes(), port),
                "{text}"
            );
        }
        let long = "a".repeat(256);
        for bad in [
            "a b",
            "a@b",
            "u:p@b",
            "a:b",
            "a:-1",
            "a:65536",
            "a:0",
            "a:80:80",
            "a:000080",
            ":80",
            ":",
            "a,b",
            "a/b",
            "a?b",
            "a#b",
            "[::1",
            "::1",
            "[::1]x",
            "[::1%25eth0]",
            "[v1.a]",
            "[]",
            "a..b",
            ".a",
            ".",
            "a%2eb",
            "a\\b",
            "\"a\"",
            "a\u{e9}",
            &long,
        ] {
            let read = authority(Span::new(0, bad.len()), bad.as_bytes());
            assert_eq!(read, Err(Reject::Host), "{bad}");
        }
    }

    #[test]
    fn each_form_fits_its_methods_only() {
        let form = |method, target| read(method, target).map(|target| target.form);
        assert_eq!(form(Method::Get, "/"), Ok(TargetForm::Origin));
        assert_eq!(form(Method::Get, "//a/b?c?d"), Ok(TargetForm::Origin));
        assert_eq!(form(Method::Options, "*"), Ok(TargetForm::Asterisk));
        assert_eq!(form(Method::Get, "*"), Err(Reject::TargetForm));
        assert_eq!(form(Method::Options, "**"), Err(Reject::TargetForm));
        assert_eq!(form(Method::Get, "HTTP://a"), Ok(TargetForm::Absolute(Scheme::Http)));
        assert_eq!(form(Method::Get, "https://a:1/b"), Ok(TargetForm::Absolute(Scheme::Https)));
        assert_eq!(form(Method::Get, "ftp://a/"), Err(Reject::TargetScheme));
        assert_eq!(form(Method::Get, "http:/a"), Err(Reject::TargetScheme));
        assert_eq!(form(Method::Get, "http:///a"), Err(Reject::Host));
        assert_eq!(form(Method::Get, "http://u@a/"), Err(Reject::TargetUserinfo));
        assert_eq!(form(Method::Get, "a/b"), Err(Reject::TargetForm));
        assert_eq!(form(Method::Get, "?a"), Err(Reject::TargetForm));
        assert_eq!(form(Method::Get, "/a#b"), Err(Reject::TargetBytes));
        assert_eq!(form(Method::Connect, "a:443"), Ok(TargetForm::Authority));
        assert_eq!(form(Method::Connect, "[::1]:443"), Ok(TargetForm::Authority));
        assert_eq!(form(Method::Connect, "a"), Err(Reject::Host));
        assert_eq!(form(Method::Connect, "/a"), Err(Reject::TargetForm));
        assert_eq!(form(Method::Connect, "http://a:80"), Err(Reject::TargetForm));
        assert_eq!(form(Method::Connect, "u@a:80"), Err(Reject::TargetUserinfo));
    }

    #[test]
    fn path_and_query_part_at_the_first_question_mark() {
        for (target, path, query) in [
            ("/a?b?c", "/a", Some("b?c")),
            ("/a?", "/a", Some("")),
            ("/a", "/a", None),
            ("http://h", "", None),
            ("http://h?q", "", Some("q")),
            ("http://h/p?q", "/p", Some("q")),
        ] {
            let read = read(Method::Get, target).expect(target);
            assert_eq!(read.path.of(target.as_bytes()), path.as_bytes(), "{target}");
            let found = read.query.map(|query| query.of(target.as_bytes()));
            assert_eq!(found, query.map(str::as_bytes), "{target}");
        }
    }
}
