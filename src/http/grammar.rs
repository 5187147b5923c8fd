//! The character classes of RFC 9110 section 5.6 and what is built straight from them.
//!
//! Owns one table of 256 bytes; every rule about single bytes asks it. Knows nothing of lines or
//! fields. The invariant: a class holds exactly the bytes the RFC lists, or fewer where a comment
//! says why.

const TCHAR: u8 = 1;
const HOST: u8 = 2;
const VALUE: u8 = 4;

static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0u8; 256];
    let mut b: u8 = 0;
    loop {
        let mut class = 0;
        if b.is_ascii_alphanumeric() || in_list(b, b"!#$%&'*+-.^_`|~") {
            class |= TCHAR;
        }
        // RFC 3986 reg-name also has sub-delims and %-escapes. No DNS name needs them, and an
        // escaped host is a second spelling of another host, so they are refused.
        if b.is_ascii_alphanumeric() || in_list(b, b"-._") {
            class |= HOST;
        }
        // RFC 9110 5.5: field-vchar (VCHAR / obs-text), SP and HTAB.
        if b == b'\t' || (b >= b' ' && b != 0x7f) {
            class |= VALUE;
        }
        table[b as usize] = class;
        if b == 255 {
            return table;
        }
        b += 1;
    }
}

const fn in_list(b: u8, list: &[u8]) -> bool {
    let mut i = 0;
    while i < list.len() {
        if list[i] == b {
            return true;
        }
        i += 1;
    }
    false
}

/// Whether `b` may stand in a token.
#[must_use]
#[inline]
pub fn is_tchar(b: u8) -> bool {
    CLASS[b as usize] & TCHAR != 0
}

/// Whether the bytes are a token: at least one tchar and nothing else.
#[must_use]
#[inline]
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && all(bytes, TCHAR)
}

/// Whether the bytes may stand as a field's value: no CR, LF, NUL or other control byte but HTAB.
/// Leading and trailing blanks pass here; a parser trims them.
#[must_use]
#[inline]
pub fn is_value(bytes: &[u8]) -> bool {
    all(bytes, VALUE)
}

/// Whether `b` may stand in a host name: a letter, a digit, `-`, `.` or `_`.
#[must_use]
#[inline]
pub(super) fn is_host(b: u8) -> bool {
    CLASS[b as usize] & HOST != 0
}

/// Whether the bytes are visible ASCII without `#`. Without branches, so that it vectorises: a
/// target is the longest thing here that httparse has not checked already.
#[must_use]
#[inline]
pub fn is_target(bytes: &[u8]) -> bool {
    // Wider than RFC 3986's pchar because browsers send `|`, `"` and `{` raw; never a fragment.
    let is_bad = |b: u8| (b.wrapping_sub(b'!') > b'~' - b'!') | (b == b'#');
    !bytes.iter().fold(false, |bad, &b| bad | is_bad(b))
}

#[inline]
fn all(bytes: &[u8], class: u8) -> bool {
    bytes.iter().all(|&b| CLASS[b as usize] & class != 0)
}

/// The bytes without blanks (SP, HTAB) at either end: RFC 9110 5.6.3.
#[must_use]
#[inline]
pub fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The elements of a comma-separated list, trimmed; empty elements are skipped (RFC 9110 5.6.1.2).
/// For lists of tokens only: a quoted string with a comma in it would be cut.
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(trim).filter(|part| !part.is_empty())
}

/// A decimal number as Content-Length writes it: digits only, at most 19 of them.
#[must_use]
pub fn decimal(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() || bytes.len() > 19 {
        return None;
    }
    let mut value: u64 = 0;
    for &b in bytes {
        let digit = b.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // 19 digits are less than 2^64, so this cannot overflow.
        value = value * 10 + u64::from(digit);
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_is_digits_only_and_fits() {
        assert_eq!(decimal(b"0"), Some(0));
        assert_eq!(decimal(b"0012"), Some(12));
        assert_eq!(decimal(b"9999999999999999999"), Some(9_999_999_999_999_999_999));
        for bad in
            [&b""[..], b"+1", b"-1", b" 1", b"1 ", b"0x1", b"1a", b"1,1", b"18446744073709551616"]
        {
            assert_eq!(decimal(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_classes_are_the_rfcs() {
        for b in 0..=255u8 {
            let token = b.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&b);
            assert_eq!(is_tchar(b), token, "{b:#x}");
            assert_eq!(is_value(&[b]), b == 9 || (b >= 32 && b != 127), "{b:#x}");
            assert_eq!(is_target(&[b]), b.is_ascii_graphic() && b != b'#', "{b:#x}");
        }
        assert!(!is_token(b""));
    }

    #[test]
    fn a_list_skips_empty_elements_and_blanks() {
        let parts: Vec<_> = list(b" , close ,\t,TE,").collect();
        assert_eq!(parts, [&b"close"[..], b"TE"]);
    }
}
