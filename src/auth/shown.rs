//! Where a request shows a credential: the one finder of tokens, passwords and API keys.
//!
//! Owns how the places are read (fields, cookies, the query) and the forms `Bearer` and `Basic`.
//! Knows nothing of what is found there. Invariant: of two credentials in one place none is taken:
//! which of them the upstream would believe is anybody's guess.

use crate::http::{Name, RequestHead, query};

/// What a place of a request holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown<'r> {
    Nothing,
    One(&'r [u8]),
    /// More than one.
    Several,
}

// === impl Shown ===

impl<'r> Shown<'r> {
    /// The `Authorization` field, scheme and all.
    #[must_use]
    pub fn authorization(head: &'r RequestHead, block: &'r [u8]) -> Shown<'r> {
        Shown::of(head.values(Name::Authorization, block))
    }

    /// The field of this (lower-case) name.
    #[must_use]
    pub fn field(name: &'r str, head: &'r RequestHead, block: &'r [u8]) -> Shown<'r> {
        Shown::of(head.values_named(name.as_bytes(), block))
    }

    /// The cookie of this name (RFC 6265 section 4.2.1).
    #[must_use]
    pub fn cookie(name: &'r str, head: &'r RequestHead, block: &'r [u8]) -> Shown<'r> {
        let fields = head.values(Name::Cookie, block);
        let pairs = fields.flat_map(|field| field.split(|byte| *byte == b';'));
        Shown::of(
            pairs.filter_map(|pair| {
                pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")
            }),
        )
    }

    /// The query's parameter of this name, however that is written, and as it stands: what is
    /// decoded to the same name must not hide beside it.
    #[must_use]
    pub fn parameter(name: &str, query: &'r [u8]) -> Shown<'r> {
        let named = |pair: &(&[u8], &[u8])| query::is_named(pair.0, name.as_bytes());
        Shown::of(query::pairs(query).filter(named).map(|(_, value)| value))
    }

    fn of(mut values: impl Iterator<Item = &'r [u8]>) -> Shown<'r> {
        match (values.next(), values.next()) {
            (None, _) => Shown::Nothing,
            (Some(value), None) => Shown::One(value),
            (Some(_), Some(_)) => Shown::Several,
        }
    }
}

/// The token of `Bearer TOKEN` (RFC 6750 section 2.1).
#[must_use]
pub fn bearer(value: &[u8]) -> Option<&[u8]> {
    of_scheme(value, b"bearer ")
}

/// The credentials of `Basic CREDENTIALS` (RFC 7617 section 2).
#[must_use]
pub fn basic(value: &[u8]) -> Option<&[u8]> {
    of_scheme(value, b"basic ")
}

/// What stands behind a scheme, whose name knows no case (RFC 9110 section 11.1).
fn of_scheme<'v>(value: &'v [u8], scheme: &[u8]) -> Option<&'v [u8]> {
    let (name, rest) = value.split_at_checked(scheme.len())?;
    let rest = rest.trim_ascii();
    (name.eq_ignore_ascii_case(scheme) && !rest.is_empty()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Limits, Parsed, Scan, parse_request};

    fn shown(fields: &str, find: impl Fn(&RequestHead, &[u8]) -> String) -> String {
        let block = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let mut head = RequestHead::default();
        let limits = Limits::default();
        let parsed = parse_request(&mut head, &mut Scan::default(), block.as_bytes(), &limits);
        assert!(matches!(parsed, Ok(Parsed::Complete)), "{fields}");
        find(&head, block.as_bytes())
    }

    fn told(shown: Shown<'_>) -> String {
        match shown {
            Shown::Nothing => "nothing".to_owned(),
            Shown::One(value) => String::from_utf8_lossy(value).into_owned(),
            Shown::Several => "several".to_owned(),
        }
    }

    #[test]
    fn the_scheme_is_read_in_any_case() {
        for value in ["Bearer a.b.c", "bearer a.b.c", "BEARER   a.b.c "] {
            assert_eq!(bearer(value.as_bytes()), Some(&b"a.b.c"[..]), "{value}");
        }
        for value in ["Bearer", "Bearer ", "Basic a.b.c", "Bearera.b.c", "a.b.c", ""] {
            assert_eq!(bearer(value.as_bytes()), None, "{value}");
        }
        assert_eq!(basic(b"BASIC eDp5"), Some(&b"eDp5"[..]));
        assert_eq!(basic(b"Bearer eDp5"), None);
    }

    #[test]
    fn two_in_one_place_are_nobodys() {
        let field = |head: &RequestHead, block: &[u8]| told(Shown::field("x-key", head, block));
        assert_eq!(shown("", field), "nothing");
        assert_eq!(shown("X-Key: a\r\n", field), "a");
        assert_eq!(shown("X-Key: a\r\nx-key: a\r\n", field), "several");
        let of = |head: &RequestHead, block: &[u8]| told(Shown::authorization(head, block));
        assert_eq!(shown("Authorization: Basic x\r\n", of), "Basic x");
        let both = "Authorization: Basic x\r\nAuthorization: Bearer y\r\n";
        assert_eq!(shown(both, of), "several", "whatever their schemes are");
        let cookie = |head: &RequestHead, block: &[u8]| told(Shown::cookie("t", head, block));
        assert_eq!(shown("Cookie: a=1; t=x; tt=y\r\n", cookie), "x");
        assert_eq!(shown("Cookie: t=x\r\nCookie: t=y\r\n", cookie), "several");
    }

    #[test]
    fn parameters_are_found_however_they_are_written() {
        let found = |query: &'static str| told(Shown::parameter("api_key", query.as_bytes()));
        assert_eq!(found("a=1&api_key=x%2By&b"), "x%2By");
        assert_eq!(found("%61pi_key=x"), "x");
        assert_eq!(found("api_key"), "");
        assert_eq!(found("my_api_key=x&api_keys=x"), "nothing");
        assert_eq!(found("api_key=1&%61pi_key=2"), "several");
    }
}
