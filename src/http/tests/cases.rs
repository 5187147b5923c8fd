//! Reads the case tables in `tests/data`. Stands alone, so that the wire-level tests can include
//! it.

/// One line of a table.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: &'static str,
    /// What stands between name and bytes, split at ` | ` and blanks.
    pub columns: Vec<Vec<&'static str>>,
    pub bytes: Vec<u8>,
}

/// The cases of a table.
pub fn cases(table: &'static str) -> Vec<Case> {
    table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(case).collect()
}

fn case(line: &'static str) -> Case {
    let (rest, bytes) = line.rsplit_once(" | ").unwrap_or_else(|| panic!("no bytes in {line:?}"));
    let mut columns = rest.split(" | ");
    let name = columns.next().expect("a first column");
    let columns = columns.map(|column| column.split(' ').collect()).collect();
    Case { name, columns, bytes: unescape(bytes) }
}

/// `\r \n \t \\ \xHH`, and `\{N:text}` for N times text, which may nest.
pub fn unescape(text: &str) -> Vec<u8> {
    let mut rest = text.as_bytes();
    let out = unescape_until(&mut rest, false);
    assert!(rest.is_empty(), "{text:?} has an end too many");
    out
}

fn unescape_until(rest: &mut &[u8], nested: bool) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some((&byte, after)) = rest.split_first() {
        *rest = after;
        match byte {
            b'}' if nested => return out,
            b'\\' => escape(rest, &mut out),
            _ => out.push(byte),
        }
    }
    assert!(!nested, "a repetition has no end");
    out
}

fn escape(rest: &mut &[u8], out: &mut Vec<u8>) {
    let (&kind, after) = rest.split_first().expect("a character after a backslash");
    *rest = after;
    match kind {
        b'r' => out.push(b'\r'),
        b'n' => out.push(b'\n'),
        b't' => out.push(b'\t'),
        b'\\' => out.push(b'\\'),
        b'x' => {
            let digits = std::str::from_utf8(&rest[..2]).expect("two hex digits");
            out.push(u8::from_str_radix(digits, 16).expect("two hex digits"));
            *rest = &rest[2..];
        }
        b'{' => {
            let colon = rest.iter().position(|&b| b == b':').expect("a colon after the count");
            let count = std::str::from_utf8(&rest[..colon]).expect("a decimal count");
            *rest = &rest[colon + 1..];
            let text = unescape_until(rest, true);
            out.extend(text.repeat(count.parse().expect("a decimal count")));
        }
        _ => panic!("no escape: \\{}", kind as char),
    }
}
