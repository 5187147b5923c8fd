//! Mistakes of syntax in our form, and the guard before the TOML parser: its tables nest as deeply
//! as the text says, and a tree thousands of levels deep would exhaust the stack when it is
//! dropped.

use std::collections::BTreeSet;

use super::{Diagnostic, Place, Source};
use crate::bounds::{CONFIG_DEPTH_MAX, CONFIG_DIAGNOSTICS_KEPT};
use crate::config::schema::join;

/// Where a text nests brackets, or the parts of one dotted key, more than the bound deep. Knows
/// just enough of TOML's lexical grammar: comments, and the four kinds of strings.
pub(super) fn too_deep(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut at, mut brackets, mut parts) = (0, 0_usize, 0_usize);
    while let Some(byte) = bytes.get(at) {
        let mut next = at + 1;
        match byte {
            b'"' | b'\'' => next = string_end(bytes, at),
            b'#' => next = line_end(bytes, at),
            b'[' | b'{' => (brackets, parts) = (brackets + 1, 0),
            b']' | b'}' => (brackets, parts) = (brackets.saturating_sub(1), 0),
            b'.' => parts += 1,
            b'=' | b',' | b'\n' => parts = 0,
            _ => {}
        }
        if brackets > CONFIG_DEPTH_MAX || parts > CONFIG_DEPTH_MAX {
            return Some(at);
        }
        at = next;
    }
    None
}

/// The offset behind the string that begins at `start`; strings of one line end with it at the
/// latest.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let rest = bytes.get(start..).unwrap_or_default();
    let quote = rest.first().copied().unwrap_or(b'"');
    let long = rest.get(..3).is_some_and(|three| three.iter().all(|byte| *byte == quote));
    let close: &[u8] = if long { &[quote; 3] } else { &[quote] };
    let mut at = start + close.len();
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' if quote == b'"' => at += 1,
            b'\n' if !long => return at,
            _ if bytes.get(at..).is_some_and(|rest| rest.starts_with(close)) => {
                return at + close.len();
            }
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

fn line_end(bytes: &[u8], start: usize) -> usize {
    let rest = bytes.get(start..).unwrap_or_default();
    memchr::memchr(b'\n', rest).map_or(bytes.len(), |length| start + length)
}

// === impl Source ===

impl Source<'_> {
    /// The parser's errors in our form. A table that is written twice is one mistake: that its keys
    /// then are there twice as well goes without saying.
    pub(super) fn syntax(&self, errors: &[toml::de::Error]) -> Vec<Diagnostic> {
        let mut twins = BTreeSet::new();
        let mut diagnostics = Vec::new();
        for error in errors.iter().take(CONFIG_DIAGNOSTICS_KEPT) {
            let offset = error.span().map_or(self.text.len(), |span| span.start);
            if error.message() != "duplicate key" {
                diagnostics.push(Diagnostic {
                    place: self.place(offset),
                    key: String::new(),
                    value: None,
                    message: format!("not TOML: {}", error.message()),
                    remedy: String::new(),
                });
                continue;
            }
            let line = self.line_of(offset);
            let header = self.header_over(line);
            if self.is_header(line) {
                twins.insert(line);
            } else if header.is_some_and(|header| twins.contains(&header)) {
                continue;
            }
            let (key, first) = self.first_of(offset, line, header);
            diagnostics.push(Diagnostic {
                place: self.place(offset),
                key,
                value: None,
                message: match first {
                    Some(first) => format!("written twice; the first is at {first}"),
                    None => "written twice".to_owned(),
                },
                remedy: "remove or rename one of them".to_owned(),
            });
        }
        diagnostics
    }

    /// The path of the key at `offset` and where it was first written. The parser tells of the
    /// second place only, so the text before is searched: all headers for a header, the keys up to
    /// the header over it for a key, the line itself for a key of an inline table.
    fn first_of(
        &self,
        offset: usize,
        line: usize,
        header: Option<usize>,
    ) -> (String, Option<Place>) {
        let name = self.text.get(offset..).unwrap_or_default();
        let name = name.split(['=', ']', '\n']).next().unwrap_or_default().trim();
        let Some(wanted) = self.line_key(line) else { return (name.to_owned(), None) };
        let same = |other: &usize| self.line_key(*other).as_ref() == Some(&wanted);
        let (start, inside) =
            (self.line_start(line), |text: &str| text.trim_matches(['[', ']']).to_owned());
        if self.is_header(line) {
            let first = (0..line).find(same);
            return (inside(&wanted), first.map(|first| self.place_in(first, offset - start)));
        }
        let section = header.and_then(|header| self.line_key(header)).unwrap_or_default();
        let path = join(&inside(&section), &wanted);
        if self.line_text(line).trim_start().starts_with(name) {
            let first = (header.map_or(0, |header| header + 1)..line).find(same);
            return (path, first.map(|first| self.place_in(first, 0)));
        }
        let before = self.text.get(start..offset).unwrap_or_default();
        let is_key = |at: &usize| {
            let (left, right) = before.split_at(*at);
            let rest = right.strip_prefix(name).unwrap_or_default();
            left.ends_with(['{', ',', ' ']) && rest.trim_start().starts_with('=')
        };
        let first = before.match_indices(name).map(|(at, _)| at).find(is_key);
        (join(&path, name), first.map(|at| self.place(start + at)))
    }

    fn line_of(&self, offset: usize) -> usize {
        self.lines.partition_point(|start| *start <= offset).saturating_sub(1)
    }

    fn line_start(&self, line: usize) -> usize {
        self.lines.get(line).copied().unwrap_or(self.text.len())
    }

    fn line_text(&self, line: usize) -> &str {
        self.text.get(self.line_start(line)..self.line_start(line + 1)).unwrap_or_default()
    }

    /// The place this far into a line, or where its text begins if that is later.
    fn place_in(&self, line: usize, within: usize) -> Place {
        let text = self.line_text(line);
        let indent = text.len() - text.trim_start().len();
        let at = if text.is_char_boundary(within) { within.max(indent) } else { indent };
        self.place(self.line_start(line) + at)
    }

    fn is_header(&self, line: usize) -> bool {
        self.line_text(line).trim_start().starts_with('[')
    }

    /// The last line with a header before this one.
    fn header_over(&self, line: usize) -> Option<usize> {
        (0..line).rev().find(|line| self.is_header(*line))
    }

    /// What a line defines: `[a.b]` of a header, `key` of `key = value`.
    fn line_key(&self, line: usize) -> Option<String> {
        let text = self.line_text(line).trim_start();
        let stop = if text.starts_with('[') { text.rfind(']')? + 1 } else { text.find('=')? };
        Some(text.get(..stop)?.trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::too_deep;

    #[test]
    fn brackets_and_dots_in_strings_and_comments_do_not_count() {
        let many = "[{.".repeat(20);
        let numbers = "1.5, ".repeat(40);
        for text in [
            format!("a = \"{many}\""),
            format!("a = '{many}'"),
            format!("a = \"\\\"{many}\""),
            format!("a = \"\"\"\n{many}\n\"{many}\"\"\""),
            format!("a = '''\n{many}'{many}'''"),
            format!("# {many}\na = 1"),
            format!("a = [{numbers}]"),
            "[a.b.c]\nx = { y = [1] }\n".repeat(40),
        ] {
            assert_eq!(too_deep(&text), None, "{text}");
        }
    }

    #[test]
    fn depth_is_told_where_it_passes_the_bound() {
        assert_eq!(too_deep(&"[".repeat(17)), Some(16));
        assert_eq!(too_deep(&"a.".repeat(17)), Some(33));
        assert_eq!(too_deep(&format!("a = \"x\n{}", "{".repeat(17))), Some(23));
    }
}
