//! A query as pairs: how they are told apart and decoded.
//!
//! Owns what forms and AWS's APIs agree on (WHATWG URL section 5.1): `&` between pairs, the first
//! `=` after the name, `+` for a blank, percent-encoding. Nothing is an error: what is no escape
//! stands for itself. Names are compared decoded, so that no spelling hides one.

use std::borrow::Cow;

/// The pairs of a query, as they stand. Empty pairs are left out.
pub fn pairs(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let pieces = query.split(|b| *b == b'&').filter(|piece| !piece.is_empty());
    pieces.map(|piece| match memchr::memchr(b'=', piece) {
        Some(at) => (&piece[..at], &piece[at + 1..]),
        None => (piece, &piece[piece.len()..]),
    })
}

/// The values of a name, as they stand.
pub fn values<'a>(query: &'a [u8], name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let named = move |pair: &(&[u8], &[u8])| is_named(pair.0, name);
    pairs(query).filter(named).map(|(_, value)| value)
}

/// Whether a name, as it stands in a query, is this one.
#[must_use]
pub fn is_named(written: &[u8], name: &[u8]) -> bool {
    written == name || (written.len() > name.len() && *decoded(written) == *name) || {
        // A blank may be written as `+`, which is no longer than what it stands for.
        written.len() == name.len() && written.contains(&b'+') && *decoded(written) == *name
    }
}

/// A name or a value without its encoding.
#[must_use]
pub fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|b| matches!(b, b'%' | b'+')) {
        return Cow::Borrowed(text);
    }
    let plus = |b: &u8| if *b == b'+' { b' ' } else { *b };
    let blanks: Vec<u8> = text.iter().map(plus).collect();
    Cow::Owned(percent_decoded(&blanks).into_owned())
}

/// A text without its percent-encoding (RFC 3986 section 2.1).
#[must_use]
pub fn percent_decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'%', text).is_none() {
        return Cow::Borrowed(text);
    }
    let hex = |b: u8| char::from(b).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        match (first, after) {
            (b'%', [high, low, behind @ ..])
                if let (Some(high), Some(low)) = (hex(*high), hex(*low)) =>
            {
                out.push(high << 4 | low);
                rest = behind;
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_its_pairs() {
        let found: Vec<_> = pairs(b"a=1&&b&c=x=y&=z&").collect();
        let expected: [(&[u8], &[u8]); 4] =
            [(b"a", b"1"), (b"b", b""), (b"c", b"x=y"), (b"", b"z")];
        assert_eq!(found, expected);
        assert_eq!(pairs(b"").count(), 0);
    }

    #[test]
    fn a_name_is_found_however_it_is_spelt() {
        let query = b"a%62=1&ab=2&x+y=3&x%20y=4&AB=5&%zz=6";
        assert_eq!(values(query, b"ab").collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!(values(query, b"x y").collect::<Vec<_>>(), [b"3", b"4"]);
        assert_eq!(values(query, b"%zz").collect::<Vec<_>>(), [b"6"]);
        assert_eq!(values(query, b"b").count(), 0);
    }

    #[test]
    fn what_is_no_escape_stands_for_itself() {
        assert_eq!(&*decoded(b"a+b%2Bc%2"), b"a b+c%2");
        assert_eq!(&*decoded(b"%%41%4g%"), b"%A%4g%");
        assert_eq!(&*percent_decoded(b"a+b%2F%ff"), b"a+b/\xff");
        assert!(matches!(decoded(b"plain"), Cow::Borrowed(_)));
    }
}
