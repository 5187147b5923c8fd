//! The request method.
//!
//! Owns the known methods and what RFC 9110 section 9.2 says of them. Methods are case-sensitive; a
//! valid token that is not known is [`Method::Other`] and is forwarded as it stands.

use super::span::Span;

/// A request's method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Delete,
    Options,
    Patch,
    Trace,
    Connect,
    /// Another token; the span is where it stands.
    Other(Span),
}

// === impl Method ===

impl Method {
    /// The method of that exact spelling, if it is one of the known ones.
    #[must_use]
    #[inline]
    pub fn known(token: &[u8]) -> Option<Method> {
        Some(match token {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"DELETE" => Method::Delete,
            b"OPTIONS" => Method::Options,
            b"PATCH" => Method::Patch,
            b"TRACE" => Method::Trace,
            b"CONNECT" => Method::Connect,
            _ => return None,
        })
    }

    /// The method's spelling; `buf` is the buffer the head was parsed from.
    #[must_use]
    pub fn token(self, buf: &[u8]) -> &[u8] {
        match self {
            Method::Get => b"GET",
            Method::Head => b"HEAD",
            Method::Post => b"POST",
            Method::Put => b"PUT",
            Method::Delete => b"DELETE",
            Method::Options => b"OPTIONS",
            Method::Patch => b"PATCH",
            Method::Trace => b"TRACE",
            Method::Connect => b"CONNECT",
            Method::Other(span) => span.of(buf),
        }
    }

    /// RFC 9110 9.2.2: sending it twice has the effect of sending it once. An unknown method is
    /// not.
    #[must_use]
    pub fn is_idempotent(self) -> bool {
        self.is_safe() || matches!(self, Method::Put | Method::Delete)
    }

    /// RFC 9110 9.2.1: asks for no change of state. An unknown method is not safe.
    #[must_use]
    pub fn is_safe(self) -> bool {
        matches!(self, Method::Get | Method::Head | Method::Options | Method::Trace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_method_is_spelt_as_it_was_read_and_in_capitals_only() {
        for token in
            ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"]
        {
            let method = Method::known(token.as_bytes()).expect("a known method");
            assert_eq!(method.token(b""), token.as_bytes());
            assert_eq!(Method::known(token.to_lowercase().as_bytes()), None);
        }
        assert_eq!(Method::known(b"PROPFIND"), None);
    }

    #[test]
    fn only_what_the_rfc_lists_may_be_sent_twice() {
        assert!(
            Method::Put.is_idempotent()
                && Method::Delete.is_idempotent()
                && Method::Get.is_idempotent()
        );
        assert!(!Method::Post.is_idempotent() && !Method::Patch.is_idempotent());
        assert!(
            !Method::Other(Span::default()).is_idempotent() && !Method::Connect.is_idempotent()
        );
    }
}
