//! What a log may show of a query string.
//!
//! Owns the hiding of secrets that callers put into URLs: the value of a parameter whose name is on
//! the list is written as `***`. Names are compared without regard to ASCII case and after percent
//! decoding, for an API that decodes them takes `%74oken=` for `token=`.
//! Invariant: no byte of a masked value is handed on, whatever separators stand in it.

use memchr::{memchr, memchr2};

/// Names masked unless the config says otherwise.
pub const MASKED_BY_DEFAULT: &[&str] = &[
    "access_token",
    "api-key",
    "api_key",
    "apikey",
    "assertion",
    "auth",
    "auth_token",
    "authorization",
    "client_assertion",
    "client_secret",
    "id_token",
    "jwt",
    "key",
    "otp",
    "passwd",
    "password",
    "pwd",
    "refresh_token",
    "samlresponse",
    "secret",
    "session",
    "session_id",
    "sessionid",
    "sig",
    "signature",
    "subscription-key",
    "token",
    "x-amz-credential",
    "x-amz-security-token",
    "x-amz-signature",
    "x-api-key",
    "x-goog-credential",
    "x-goog-signature",
];

const MASK: &[u8] = b"***";

/// Behind which bytes a name may begin. `;` separates parameters for some servers and not for
/// others; `?` and `#` begin a new query in a URL that carries another one; `=` ends a name that is
/// no secret.
const ENDS_NAME: [bool; 256] = {
    let mut ends = [false; 256];
    ends[b'&' as usize] = true;
    ends[b';' as usize] = true;
    ends[b'=' as usize] = true;
    ends[b'?' as usize] = true;
    ends[b'#' as usize] = true;
    ends
};

/// What becomes of query strings, the referer's included.
#[derive(Clone, Debug)]
pub enum QueryPolicy {
    /// Written as received.
    Keep,
    /// Written, but for the values of these parameters.
    Mask(Box<MaskList>),
    /// Not written.
    Omit,
}

/// Names of parameters whose values are hidden.
#[derive(Clone, Debug)]
pub struct MaskList {
    /// INVARIANT: lower case, not empty.
    names: Vec<Box<[u8]>>,
    /// Whether a name has this sketch: most parameters are told apart by it alone.
    sketches: [bool; 256],
}

// === impl QueryPolicy ===

impl Default for QueryPolicy {
    fn default() -> Self {
        QueryPolicy::mask(MASKED_BY_DEFAULT)
    }
}

impl QueryPolicy {
    /// Hides the values of these parameters, empty names ignored.
    #[must_use]
    pub fn mask<S: AsRef<str>>(names: &[S]) -> QueryPolicy {
        QueryPolicy::Mask(Box::new(MaskList::new(names)))
    }

    /// Whether anything of a query is written.
    pub(super) fn shows(&self) -> bool {
        !matches!(self, QueryPolicy::Omit)
    }

    /// Hands the query on in pieces, without what must not be seen.
    pub(super) fn pieces(&self, query: &[u8], piece: impl FnMut(&[u8])) {
        match self {
            QueryPolicy::Omit => {}
            QueryPolicy::Keep => [query].into_iter().for_each(piece),
            QueryPolicy::Mask(list) => list.pieces(query, piece),
        }
    }

    /// The same for a whole URL: what stands before its `?` is handed on as it is. The fragment is
    /// treated as part of the query, for single-page applications carry tokens there.
    pub(super) fn url_pieces(&self, url: &[u8], mut piece: impl FnMut(&[u8])) {
        let Some(mark) = memchr2(b'?', b'#', url) else { return piece(url) };
        if !self.shows() {
            return piece(&url[..mark]);
        }
        piece(&url[..=mark]);
        self.pieces(&url[mark + 1..], piece);
    }
}

// === impl MaskList ===

impl MaskList {
    fn new<S: AsRef<str>>(names: &[S]) -> MaskList {
        let names: Vec<Box<[u8]>> = names
            .iter()
            .map(|name| name.as_ref().to_ascii_lowercase().into_bytes().into_boxed_slice())
            .filter(|name| !name.is_empty())
            .collect();
        let mut sketches = [false; 256];
        names.iter().for_each(|name| sketches[sketch(name)] = true);
        MaskList { names, sketches }
    }

    fn pieces(&self, query: &[u8], mut piece: impl FnMut(&[u8])) {
        let (mut shown, mut name) = (0, 0);
        let mut at = 0;
        while at < query.len() {
            let byte = query[at];
            at += 1;
            if !ENDS_NAME[usize::from(byte)] {
                continue;
            }
            let masked = byte == b'=' && self.holds(&query[name..at - 1]);
            name = at;
            if masked {
                // The value ends at `&` only, whatever else some server might end it at.
                let end = memchr(b'&', &query[at..]).map_or(query.len(), |n| at + n);
                if end > at {
                    piece(&query[shown..at]);
                    piece(MASK);
                    shown = end;
                }
                at = end;
            }
        }
        piece(&query[shown..]);
    }

    fn holds(&self, name: &[u8]) -> bool {
        let named_so = self.sketches[sketch(name)]
            && self.names.iter().any(|masked| masked.eq_ignore_ascii_case(name));
        named_so
            || memchr(b'%', name).is_some()
                && self.names.iter().any(|masked| decoded(name).eq(masked.iter().copied()))
    }
}

/// A name's length, first and last letter, mixed into a byte; the same for both cases.
fn sketch(name: &[u8]) -> usize {
    let [first, last] = [name.first(), name.last()].map(|b| usize::from(b.map_or(0, |b| b | 0x20)));
    (name.len() * 37 + first * 5 + last) & 0xff
}

/// The bytes of a percent-encoded name in lower case; what is no encoding stays as it is.
fn decoded(name: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let byte = *name.get(at)?;
        let digit = |n: usize| name.get(at + n).and_then(|d| hex_value(*d));
        let (byte, len) = match (byte, digit(1), digit(2)) {
            (b'%', Some(high), Some(low)) => (high << 4 | low, 3),
            _ => (byte, 1),
        };
        at += len;
        Some(byte.to_ascii_lowercase())
    })
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(policy: &QueryPolicy, query: &str) -> String {
        let mut out = Vec::new();
        policy.pieces(query.as_bytes(), |piece| out.extend_from_slice(piece));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_of_listed_names_are_hidden_and_nothing_else() {
        for (query, expected) in [
            ("", ""),
            ("a=1&b=2", "a=1&b=2"),
            ("key=abc", "key=***"),
            ("a=1&TOKEN=abc&b=2", "a=1&TOKEN=***&b=2"),
            ("token=a=b&x", "token=***&x"),
            ("token=", "token="),
            ("token", "token"),
            ("tokens=1&keyed=2&monkey=3", "tokens=1&keyed=2&monkey=3"),
            ("%74oken=abc&%6B%65y=d", "%74oken=***&%6B%65y=***"),
            ("a=1;token=abc;b=2&c=3", "a=1;token=***&c=3"),
            ("token=ab;cd&c=3", "token=***&c=3"),
            ("&&key=1&", "&&key=***&"),
            ("url=/x?sig=abc", "url=/x?sig=***"),
            ("x%=1&%zz=2", "x%=1&%zz=2"),
        ] {
            assert_eq!(shown(&QueryPolicy::default(), query), expected, "{query}");
        }
    }

    #[test]
    fn keep_and_omit_do_as_they_say() {
        assert_eq!(shown(&QueryPolicy::Keep, "key=abc"), "key=abc");
        assert_eq!(shown(&QueryPolicy::Omit, "key=abc"), "");
        let own = QueryPolicy::mask(&["Pin", ""]);
        assert_eq!(shown(&own, "pin=1234&key=abc"), "pin=***&key=abc");
    }

    #[test]
    fn a_url_keeps_its_path_and_loses_what_its_query_hides() {
        let url = |policy: &QueryPolicy, url: &str| {
            let mut out = Vec::new();
            policy.url_pieces(url.as_bytes(), |piece| out.extend_from_slice(piece));
            String::from_utf8(out).unwrap()
        };
        let mask = QueryPolicy::default();
        assert_eq!(url(&mask, "https://a/b"), "https://a/b");
        assert_eq!(url(&mask, "https://a/b?x=1&token=s"), "https://a/b?x=1&token=***");
        assert_eq!(url(&mask, "https://a/b#id_token=s"), "https://a/b#id_token=***");
        assert_eq!(url(&mask, "https://a/b?x=1#id_token=s"), "https://a/b?x=1#id_token=***");
        assert_eq!(url(&QueryPolicy::Omit, "https://a/b?x=1"), "https://a/b");
    }

    proptest! {
        #[test]
        fn a_masked_value_never_shows(
            before in "[a-z=&;?#%]{0,12}",
            name in 0..MASKED_BY_DEFAULT.len(),
            after in "[a-z=&;]{0,12}",
        ) {
            let name = MASKED_BY_DEFAULT[name];
            let query = format!("{before}&{name}=SECRET;SECRET&{after}");
            prop_assert!(!shown(&QueryPolicy::default(), &query).contains("SECRET"));
        }
    }
}
