//! A URL to ask: scheme, host, port and target of an `http` or `https` URL (RFC 3986), for the few
//! places where the gateway itself is the client.
//!
//! Strict: no user information, no fragment, ASCII only. Invariant: what is parsed can be written
//! into a request line and a Host field as it is.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A URL to ask.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Url {
    pub https: bool,
    /// A name in lower case, or an address; IPv6 without brackets.
    pub host: String,
    pub port: u16,
    /// Path and query; begins with `/`.
    pub target: String,
    text: String,
}

// === impl Url ===

impl Url {
    /// Parses an absolute URL.
    #[must_use]
    pub fn parse(text: &str) -> Option<Url> {
        let (https, rest) = match text.strip_prefix("https://") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("http://")?),
        };
        if text.len() > 2048 || !text.bytes().all(|b| b.is_ascii_graphic()) || text.contains('#') {
            return None;
        }
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(at);
        let (host, port) = split(authority)?;
        let port = match port {
            None => {
                if https {
                    443
                } else {
                    80
                }
            }
            Some(port) => port.parse().ok().filter(|port| *port != 0)?,
        };
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        Some(Url { https, host, port, target, text: text.to_owned() })
    }

    /// The `Host` field's value.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        match (self.https, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it stays on this host.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let v4 = self.host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback());
        let v6 = self.host.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback());
        v4 || v6 || self.host == "localhost"
    }
}

fn split(authority: &str) -> Option<(String, Option<&str>)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (inner, port) = rest.split_once(']')?;
        let ip: Ipv6Addr = inner.parse().ok()?;
        let port = if port.is_empty() { None } else { Some(port.strip_prefix(':')?) };
        return Some((ip.to_string(), port));
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let labels = host.split('.').all(|label| (1..=63).contains(&label.len()));
    let named = labels && host.len() <= 253 && host.bytes().all(good);
    named.then(|| (host.to_ascii_lowercase(), port))
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_url_is_taken_apart() {
        let url = Url::parse("https://Issuer.example/a/b?c=d").unwrap();
        assert_eq!((url.https, &*url.host, url.port), (true, "issuer.example", 443));
        assert_eq!((&*url.target, &*url.authority()), ("/a/b?c=d", "issuer.example"));
        let url = Url::parse("http://127.0.0.1:8080").unwrap();
        assert_eq!((&*url.authority(), &*url.target), ("127.0.0.1:8080", "/"));
        assert!(url.is_loopback());
        let url = Url::parse("http://[::1]:81?x").unwrap();
        assert_eq!((&*url.host, &*url.authority(), &*url.target), ("::1", "[::1]:81", "/?x"));
    }

    #[test]
    fn what_is_no_such_url_is_refused() {
        for text in [
            "",
            "https://",
            "ftp://a/",
            "//a/b",
            "/a",
            "https://u@a/",
            "https://u:p@a/",
            "https://a/#b",
            "https://a:0/",
            "https://a:65536/",
            "https://a:/",
            "https://a b/",
            "https://a/\r\nx: y",
            "https://a..b/",
            "https://[::1/",
            "https://[::1]x/",
            "https://é.example/",
            "HTTPS://a/",
        ] {
            assert_eq!(Url::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_taken_is_safe_to_write(text in "https?://.{0,40}") {
            if let Some(url) = Url::parse(&text) {
                let written = format!("{}{}", url.authority(), url.target);
                prop_assert!(written.bytes().all(|b| b.is_ascii_graphic()), "{}", written);
            }
        }
    }
}
