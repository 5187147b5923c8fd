//! Putting a text from the network into a place that has a grammar of its own.
//!
//! Owns, for each such place, which bytes must not stand there as they are. Invariant: whatever is
//! put through [`Escaped`], what comes out cannot end the place it stands in.

use serde::Serialize;

use super::write::Out;

/// The place a text is put into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Escape {
    /// One that takes every text: plain text; a field's value, as parsed from another.
    #[default]
    Nothing,
    /// Between the quotes of a JSON string (RFC 8259 section 7).
    Json,
    /// Text, or a quoted attribute, of HTML or XML.
    Markup,
    /// A request's target or a URL: what is encoded already stays so.
    Target,
    /// A name or a value of a query, or one segment of a path: all but unreserved characters.
    Component,
}

/// Writes to `out` what may stand in the place.
pub struct Escaped<'o, O: Out> {
    pub out: &'o mut O,
    pub place: Escape,
}

// === impl Escape ===

impl Escape {
    /// The place that the body of a content type is.
    #[must_use]
    pub fn of_content_type(value: &str) -> Escape {
        let media = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let is = |name: &str| {
            let (_, sub) = media.split_once('/').unwrap_or_default();
            sub == name || sub.strip_suffix(name).is_some_and(|front| front.ends_with('+'))
        };
        match () {
            () if is("json") => Escape::Json,
            () if is("html") || is("xml") => Escape::Markup,
            () => Escape::Nothing,
        }
    }

    /// Whether the byte may stand there as it is.
    fn keeps(self, b: u8) -> bool {
        match self {
            Escape::Nothing => true,
            // `<` could end a script that the JSON is put into.
            Escape::Json => (0x20..0x7f).contains(&b) && !matches!(b, b'"' | b'\\' | b'<'),
            Escape::Markup => !matches!(b, b'&' | b'<' | b'>' | b'"' | b'\''),
            Escape::Target => b.is_ascii_graphic() && b != b'#',
            // RFC 3986 section 2.3.
            Escape::Component => b.is_ascii_alphanumeric() || b"-._~".contains(&b),
        }
    }
}

// === impl Escaped ===

impl<O: Out> Out for Escaped<'_, O> {
    fn put(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|b| !self.place.keeps(*b)) {
            self.out.put(&rest[..at]);
            let taken = self.replace(&rest[at..]);
            rest = &rest[at + taken..];
        }
        self.out.put(rest);
    }
}

impl<O: Out> Escaped<'_, O> {
    /// Writes what stands for the first byte or character; how many bytes that was.
    fn replace(&mut self, rest: &[u8]) -> usize {
        let first = rest[0];
        match self.place {
            Escape::Nothing => unreachable!("it keeps every byte"),
            Escape::Json => return self.json(rest),
            Escape::Markup => self.out.put(match first {
                b'&' => b"&amp;",
                b'<' => b"&lt;",
                b'>' => b"&gt;",
                b'"' => b"&quot;",
                _ => b"&#39;",
            }),
            Escape::Target | Escape::Component => {
                let digit = |nibble: u8| b"0123456789ABCDEF"[usize::from(nibble)];
                self.out.put(&[b'%', digit(first >> 4), digit(first & 15)]);
            }
        }
        1
    }

    fn json(&mut self, rest: &[u8]) -> usize {
        let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
        match rest[0] {
            b'"' => self.out.put(b"\\\""),
            b'\\' => self.out.put(b"\\\\"),
            b @ (..0x80) => self.out.put(&[b'\\', b'u', b'0', b'0', digit(b >> 4), digit(b & 15)]),
            // Beyond ASCII: one character, or what stands for bytes that are none.
            _ => {
                let chunk = rest.utf8_chunks().next().expect("is not empty");
                let Some(c) = chunk.valid().chars().next() else {
                    self.out.put("\u{fffd}".as_bytes());
                    return chunk.invalid().len();
                };
                match c {
                    // JavaScript once took these for ends of lines.
                    '\u{2028}' => self.out.put(b"\\u2028"),
                    '\u{2029}' => self.out.put(b"\\u2029"),
                    c => self.out.put(&rest[..c.len_utf8()]),
                }
                return c.len_utf8();
            }
        }
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn escaped(place: Escape, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Escaped { out: &mut out, place }.put(text);
        out
    }

    #[test]
    fn each_place_has_its_own_escapes() {
        let text = "a\"b\\<é\u{2028}\n&'#%41/".as_bytes();
        for (place, expected) in [
            (Escape::Json, "a\\\"b\\\\\\u003cé\\u2028\\u000a&'#%41/"),
            (Escape::Markup, "a&quot;b\\&lt;é\u{2028}\n&amp;&#39;#%41/"),
            (Escape::Target, "a\"b\\<%C3%A9%E2%80%A8%0A&'%23%41/"),
            (Escape::Component, "a%22b%5C%3C%C3%A9%E2%80%A8%0A%26%27%23%2541%2F"),
        ] {
            assert_eq!(String::from_utf8_lossy(&escaped(place, text)), expected, "{place:?}");
        }
        assert_eq!(escaped(Escape::Json, b"a\xff\xfe"), "a\u{fffd}\u{fffd}".as_bytes());
    }

    #[test]
    fn the_place_is_told_by_the_content_type() {
        for (value, place) in [
            ("application/json; charset=utf-8", Escape::Json),
            ("Application/Problem+JSON", Escape::Json),
            ("text/html", Escape::Markup),
            ("image/svg+xml", Escape::Markup),
            ("text/plain", Escape::Nothing),
            ("application/jsonlines", Escape::Nothing),
            ("", Escape::Nothing),
        ] {
            assert_eq!(Escape::of_content_type(value), place, "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_stay_inside_a_json_string(text: Vec<u8>) {
            let mut json = b"\"".to_vec();
            json.extend(escaped(Escape::Json, &text));
            json.push(b'"');
            let value: String = serde_json::from_slice(&json).expect("is one string");
            prop_assert_eq!(value, String::from_utf8_lossy(&text));
        }

        #[test]
        fn any_bytes_stay_inside_a_component(text: Vec<u8>) {
            let out = escaped(Escape::Component, &text);
            prop_assert!(!out.iter().any(|b| b"&=?#/+ ".contains(b)));
            prop_assert_eq!(&*super::super::query::decoded(&out), &text[..]);
        }
    }
}
