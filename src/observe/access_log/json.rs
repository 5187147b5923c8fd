//! The JSON line: one object, fields in the table's order, those without a value left out.
//!
//! Strings are exact: they parse to the received bytes read as UTF-8, each maximal invalid part as
//! U+FFFD (what `String::from_utf8_lossy` gives). Control characters, also the two-byte ones (C1),
//! line separators and direction overrides are written as escapes: they do nothing to a terminal.
//! A value cut to its bound is cut between characters, and the line then ends in `"cut":true`.

use super::field::{JsonLine, Row, Value, each_in_json};
use super::query::QueryPolicy;
use super::{Dates, LineBuf, Record};

const HEX: &[u8; 16] = b"0123456789abcdef";

/// A line being written.
struct Line<'a> {
    out: &'a mut LineBuf,
    dates: &'a Dates,
    policy: &'a QueryPolicy,
    cut: bool,
}

/// A string being written: how many bytes it may still take, and whether that was too few.
struct Text {
    left: usize,
    cut: bool,
}

pub(super) fn write(record: &Record<'_>, policy: &QueryPolicy, dates: &Dates, out: &mut LineBuf) {
    let mut line = Line { out, dates, policy, cut: false };
    each_in_json(record, &mut line);
    let cut = line.cut;
    out.begin_with(b'{');
    if cut {
        out.raw(b",\"cut\":true");
    }
    out.byte(b'}');
}

// === impl Line ===

impl JsonLine for Line<'_> {
    // Inlined into each field's place, of which only the arm that can be remains.
    #[inline(always)]
    fn field(&mut self, row: &'static Row, value: Value<'_>) {
        match value {
            Value::Absent | Value::RequestLine => {}
            Value::Flag(flag) => {
                self.unquoted(row);
                self.out.raw(if flag { b"true" } else { b"false" });
            }
            Value::Number(n) => self.number(row, n),
            Value::Money(pico) => {
                self.unquoted(row);
                self.out.money(pico);
            }
            // Only where it need not be cut.
            Value::Plain(bytes) if bytes.len() <= row.bytes_max => self.plain(row, bytes),
            Value::Plain(bytes) | Value::Text(bytes) => self.text(row, bytes),
            Value::Pairs(bytes) => self.pairs(row, bytes),
            Value::Address(address) => self.quoted(row, |line, _| line.out.socket(address)),
            Value::Ip(ip) => self.quoted(row, |line, _| line.out.ip(ip)),
            Value::TimeClf => self.quoted(row, |line, _| line.dates.write_clf(line.out)),
            Value::TimeIso => self.quoted(row, |line, _| line.dates.write_iso(line.out)),
            Value::Query(_) if !self.policy.shows() => {}
            Value::Query(query) => self.quoted(row, |line, text| {
                line.policy.pieces(query, |piece| text.write(piece, line.out));
            }),
            Value::Url(url) => self.quoted(row, |line, text| {
                line.policy.url_pieces(url, |piece| text.write(piece, line.out));
            }),
        }
    }
}

impl Line<'_> {
    fn number(&mut self, row: &'static Row, n: u64) {
        self.unquoted(row);
        self.out.number(n);
    }

    fn plain(&mut self, row: &'static Row, bytes: &[u8]) {
        self.out.word(&row.json_key);
        self.out.raw(bytes);
        self.out.byte(b'"');
    }

    fn text(&mut self, row: &'static Row, bytes: &[u8]) {
        self.out.word(&row.json_key);
        let clean = self.out.clean(bytes, row.bytes_max);
        if clean < bytes.len() {
            let mut text = Text { left: row.bytes_max - clean, cut: false };
            text.write(&bytes[clean..], self.out);
            self.cut |= text.cut;
        }
        self.out.byte(b'"');
    }

    /// An object; a pair that does not fit as a whole is left out, and those behind it.
    #[inline(never)]
    fn pairs(&mut self, row: &'static Row, bytes: &[u8]) {
        self.unquoted(row);
        self.out.byte(b'{');
        let mut text = Text { left: row.bytes_max, cut: false };
        for (at, (name, value)) in Value::pairs(bytes).enumerate() {
            // Quotes, colon and comma; the braces stand where a text has its quotes.
            const AROUND: usize = 6;
            // Escapes of six bytes for each that one takes at most.
            if text.left < AROUND + 6 * name.len() {
                text.cut = true;
                break;
            }
            text.left -= AROUND;
            self.out.raw(if at == 0 { b"\"" } else { b",\"" });
            text.write(name, self.out);
            self.out.raw(b"\":\"");
            text.write(value, self.out);
            self.out.byte(b'"');
            if text.cut {
                break;
            }
        }
        self.out.byte(b'}');
        self.cut |= text.cut;
    }

    fn quoted(&mut self, row: &'static Row, write: impl FnOnce(&mut Self, &mut Text)) {
        self.out.word(&row.json_key);
        let mut text = Text { left: row.bytes_max, cut: false };
        write(self, &mut text);
        self.out.byte(b'"');
        self.cut |= text.cut;
    }

    /// Writes the key without the quote that begins a string.
    fn unquoted(&mut self, row: &'static Row) {
        self.out.word_but_last(&row.json_key);
    }
}

// === impl Text ===

impl Text {
    #[inline(never)]
    fn write(&mut self, bytes: &[u8], out: &mut LineBuf) {
        let mut rest = bytes;
        while !self.cut {
            let clean = out.clean(rest, self.left);
            self.left -= clean;
            rest = &rest[clean..];
            if rest.is_empty() {
                return;
            }
            rest = &rest[self.write_one(rest, out)..];
        }
    }

    /// Writes the character at the front; tells how many bytes of `rest` it was.
    fn write_one(&mut self, rest: &[u8], out: &mut LineBuf) -> usize {
        // A character has at most four bytes, and an invalid part is shorter than one.
        let front = &rest[..rest.len().min(4)];
        let chunk = front.utf8_chunks().next().expect("the rest is not empty");
        let Some(character) = chunk.valid().chars().next() else {
            self.piece("\u{fffd}".as_bytes(), out);
            return chunk.invalid().len();
        };
        match character {
            '"' => self.piece(b"\\\"", out),
            '\\' => self.piece(b"\\\\", out),
            '\n' => self.piece(b"\\n", out),
            '\r' => self.piece(b"\\r", out),
            '\t' => self.piece(b"\\t", out),
            c if acts_on_a_terminal(c) => self.piece(&escape(c), out),
            c => self.piece(&rest[..c.len_utf8()], out),
        }
        character.len_utf8()
    }

    /// Writes a piece that must not be torn.
    fn piece(&mut self, piece: &[u8], out: &mut LineBuf) {
        if piece.len() > self.left {
            self.cut = true;
            return;
        }
        out.raw(piece);
        self.left -= piece.len();
    }
}

/// C0, DEL and C1 controls, line and paragraph separators, direction marks: all below U+10000.
fn acts_on_a_terminal(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

fn escape(c: char) -> [u8; 6] {
    let digit = |shift: u32| HEX[(u32::from(c) >> shift & 0xf) as usize];
    [b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn quoted(bytes: &[u8], left: usize) -> (String, bool) {
        let mut out = LineBuf::new();
        out.byte(b'"');
        let mut text = Text { left, cut: false };
        text.write(bytes, &mut out);
        out.byte(b'"');
        (String::from_utf8(out.bytes().to_vec()).unwrap(), text.cut)
    }

    #[test]
    fn characters_that_need_it_are_escaped_others_are_themselves() {
        for (bytes, expected) in [
            (&b"a\"b\\c"[..], r#""a\"b\\c""#),
            (b"\n\r\t\x00\x1b[31m\x7f", r#""\n\r\t\u0000\u001b[31m\u007f""#),
            ("é €😀".as_bytes(), "\"é €😀\""),
            ("\u{85}\u{2028}\u{202e}".as_bytes(), r#""\u0085\u2028\u202e""#),
            (b"a\xffb\xe2\x82c", "\"a\u{fffd}b\u{fffd}c\""),
        ] {
            assert_eq!(quoted(bytes, 100), (expected.to_string(), false));
        }
    }

    #[test]
    fn a_cut_falls_between_characters() {
        assert_eq!(quoted("aé".as_bytes(), 2), ("\"a\"".to_string(), true));
        assert_eq!(quoted("aé".as_bytes(), 3), ("\"aé\"".to_string(), false));
        assert_eq!(quoted(b"ab\x01", 7), ("\"ab\"".to_string(), true));
        assert_eq!(quoted(b"", 0), ("\"\"".to_string(), false));
    }

    proptest! {
        #[test]
        fn any_bytes_parse_to_their_lossy_reading(
            bytes in proptest::collection::vec(
                prop_oneof![any::<u8>(), 0x20_u8..0x7f, Just(0xe2), Just(0x80)], 0..80)
        ) {
            let (json, cut) = quoted(&bytes, 1000);
            let parsed: String = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(parsed, String::from_utf8_lossy(&bytes));
            prop_assert!(!cut);
            prop_assert!(!json.chars().any(char::is_control));
        }

        #[test]
        fn a_cut_text_is_within_its_bound_and_a_prefix(s in "\\PC{0,30}", left in 0_usize..60) {
            let (json, cut) = quoted(s.as_bytes(), left);
            prop_assert!(json.len() <= left + 2);
            let parsed: String = serde_json::from_str(&json).unwrap();
            prop_assert!(s.starts_with(&parsed));
            prop_assert_eq!(cut, parsed.len() < s.len());
        }
    }
}
