//! Values as text: the escaping nginx uses, and the `combined` line.
//!
//! `"`, `\`, control characters and everything above `~` are written `\xHH`, so that a quoted field
//! cannot be left and a line cannot be broken. What is not known is `-`.

use super::field::{Field, Value};
use super::query::QueryPolicy;
use super::{Dates, LineBuf, Record};
use crate::bounds::log_field_bytes_max as max;

const HEX: &[u8; 16] = b"0123456789ABCDEF";
const ABSENT: &[u8] = b"-";

/// Writes `$remote_addr - $remote_user [$time_local] "$request" $status $bytes "$referer"
/// "$agent"`. The user is always `-`, the bytes include the head.
pub(super) fn write_combined(
    record: &Record<'_>,
    policy: &QueryPolicy,
    dates: &Dates,
    out: &mut LineBuf,
) {
    out.ip(record.client);
    out.raw(b" - - [");
    dates.write_clf(out);
    out.raw(b"] \"");
    request_line(record, policy, out);
    out.raw(b"\" ");
    out.number(u64::from(record.status));
    out.byte(b' ');
    out.number(record.bytes_out);
    for field in [Field::Referer, Field::UserAgent] {
        out.raw(b" \"");
        write_field(field, record, policy, dates, out);
        out.byte(b'"');
    }
}

/// Writes one field as text, `-` if there is nothing to say.
pub(super) fn write_field(
    field: Field,
    record: &Record<'_>,
    policy: &QueryPolicy,
    dates: &Dates,
    out: &mut LineBuf,
) {
    let mut left = field.row().bytes_max;
    match field.value(record) {
        Value::Absent => out.raw(ABSENT),
        Value::Address(address) => out.socket(address),
        Value::Flag(flag) => out.raw(if flag { b"true" } else { b"false" }),
        Value::Ip(ip) => out.ip(ip),
        Value::Number(n) => out.number(n),
        Value::Money(pico) => out.money(pico),
        Value::Pairs(bytes) => {
            for (at, (name, value)) in Value::pairs(bytes).enumerate() {
                if at > 0 {
                    escaped(b" ", &mut left, out);
                }
                escaped(name, &mut left, out);
                escaped(b"=", &mut left, out);
                escaped(value, &mut left, out);
            }
        }
        Value::Query(_) if !policy.shows() => out.raw(ABSENT),
        Value::Query(query) => policy.pieces(query, |piece| escaped(piece, &mut left, out)),
        Value::RequestLine => request_line(record, policy, out),
        Value::Plain(bytes) | Value::Text(bytes) => escaped(bytes, &mut left, out),
        Value::TimeClf => dates.write_clf(out),
        Value::TimeIso => dates.write_iso(out),
        Value::Url(url) => policy.url_pieces(url, |piece| escaped(piece, &mut left, out)),
    }
}

fn request_line(record: &Record<'_>, policy: &QueryPolicy, out: &mut LineBuf) {
    if record.method.bytes().is_empty() {
        // The request line was not understood; nothing of it is believed.
        return out.raw(ABSENT);
    }
    escaped(record.method.bytes(), &mut { max::METHOD }, out);
    out.byte(b' ');
    escaped(record.path, &mut { max::PATH }, out);
    if let Some(query) = record.query.filter(|_| policy.shows()) {
        out.byte(b'?');
        let mut left = max::QUERY;
        policy.pieces(query, |piece| escaped(piece, &mut left, out));
    }
    out.byte(b' ');
    escaped(record.version.as_bytes(), &mut { max::TOKEN }, out);
}

/// Writes what fits into `left` bytes once escaped.
fn escaped(bytes: &[u8], left: &mut usize, out: &mut LineBuf) {
    let mut rest = bytes;
    loop {
        let clean = out.clean(rest, *left);
        *left -= clean;
        let Some(byte) = rest.get(clean).filter(|_| *left >= 4) else { return };
        out.raw(&[b'\\', b'x', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xf)]]);
        *left -= 4;
        rest = &rest[clean + 1..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(bytes: &[u8], mut left: usize) -> String {
        let mut out = LineBuf::new();
        escaped(bytes, &mut left, &mut out);
        String::from_utf8(out.bytes().to_vec()).unwrap()
    }

    #[test]
    fn what_nginx_escapes_is_escaped_as_nginx_does() {
        assert_eq!(text(b"a\"b\\c\nd\x7f\xc3\xa9~ ", 100), r"a\x22b\x5Cc\x0Ad\x7F\xC3\xA9~ ");
    }

    #[test]
    fn a_cut_falls_between_escapes() {
        assert_eq!(text(b"ab\n\n", 9), r"ab\x0A");
        assert_eq!(text(b"ab\n\n", 10), r"ab\x0A\x0A");
        assert_eq!(text(b"abcdef", 3), "abc");
        assert_eq!(text(b"abc\n", 0), "");
    }

    proptest! {
        #[test]
        fn nothing_leaves_the_quotes_and_the_bound_holds(
            bytes in proptest::collection::vec(any::<u8>(), 0..60), left in 0_usize..80
        ) {
            let shown = text(&bytes, left);
            prop_assert!(shown.len() <= left);
            prop_assert!(shown.bytes().all(|b| matches!(b, 0x20..=0x7e) && b != b'"'));
            prop_assert!(!shown.replace("\\x", "").contains('\\'));
        }
    }
}
