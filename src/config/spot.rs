//! One value of a file with everything an error about it needs: its place, its key's path, the
//! report.

use std::path::Path;
use std::time::Duration;

use super::diagnostic::Diagnostic;
use super::report::Report;
use super::schema::Range;
use super::suggest::nearest;
use super::tree::{Node, Value};
use super::types::{FilePath, Percent};
use super::units::{Bad, show_duration, show_size};

/// A value, where it stands, and the key it belongs to.
#[derive(Clone)]
pub(super) struct Spot<'a> {
    pub node: &'a Node,
    pub path: String,
    pub report: &'a Report,
}

// === impl Spot ===

impl<'a> Spot<'a> {
    /// The entries of a list, or the value itself.
    pub(super) fn each(&self) -> Vec<Spot<'a>> {
        let Value::List(nodes) = &self.node.value else { return vec![self.clone()] };
        let spot =
            |(i, node)| Spot { node, path: format!("{}[{i}]", self.path), report: self.report };
        nodes.iter().enumerate().map(spot).collect()
    }

    pub(super) fn text(&self) -> &str {
        self.node.text().unwrap_or_default()
    }

    /// The parsed text, or a report of why it is none.
    pub(super) fn read<T>(&self, parse: impl FnOnce(&str) -> Result<T, Bad>) -> Option<T> {
        self.take(parse(self.text()))
    }

    pub(super) fn file(&self) -> Option<FilePath> {
        if self.text().is_empty() || self.text().contains('\0') {
            self.error("not a path", "name a file, relative to this one or absolute");
            return None;
        }
        let place = self.node.place.clone();
        let directory = Path::new(&*place.file).parent();
        let path = directory.unwrap_or(Path::new("")).join(self.text());
        Some(FilePath { path, place })
    }

    pub(super) fn error(&self, message: &str, remedy: &str) {
        self.error_inside(None, message, remedy);
    }

    /// Reports a mistake at a character of the text.
    pub(super) fn error_inside(&self, character: Option<usize>, message: &str, remedy: &str) {
        self.report.error(Diagnostic {
            place: character.map_or(self.node.place.clone(), |at| self.node.inside(at)),
            key: self.path.clone(),
            value: self.node.written(),
            message: message.to_owned(),
            remedy: remedy.to_owned(),
        });
    }

    pub(super) fn expected(&self, what: &str) {
        let remedy = if what.ends_with("list") {
            "write [ ] around it"
        } else {
            "write { key = value, ... }, or a [section]"
        };
        self.error(&format!("expected {what}, found {}", self.node.kind()), remedy);
    }

    /// One of these words.
    pub(super) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let found = self.node.text().and_then(|text| words.iter().find(|(word, _)| *word == text));
        if found.is_none() {
            let all: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            let all = all.join(", ");
            match nearest(self.text(), words.iter().map(|(word, _)| *word)) {
                Some(meant) => self.error(
                    "not one of the words known here",
                    &format!("did you mean \"{meant}\"? (known: {all})"),
                ),
                None => self.error("not one of the words known here", &format!("write {all}")),
            }
        }
        found.map(|(_, value)| *value)
    }

    pub(super) fn take<T>(&self, read: Result<T, Bad>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(bad) => {
                self.error(&bad.message, &bad.remedy);
                None
            }
        }
    }

    /// A number with a unit; 0 needs none, in quotes or not.
    pub(super) fn measure(
        &self,
        parse: impl Fn(&str) -> Result<Option<u64>, Bad>,
    ) -> Option<Option<u64>> {
        match &self.node.value {
            Value::Text { text, .. } if text == "0" => Some(Some(0)),
            Value::Text { text, .. } => self.take(parse(text)),
            Value::Integer(Some(0), _) => Some(Some(0)),
            // The parser's own words for what is missing: the unit.
            _ => self.take(parse("")),
        }
    }

    pub(super) fn is_text(&self, form: &str) -> bool {
        let is = self.node.text().is_some();
        if !is {
            let message = format!("expected a text, found {}", self.node.kind());
            self.error(&message, &format!("write a text in quotes ({form})"));
        }
        is
    }

    /// The number if the range holds it; `None` stands for one beyond 64 bits or below zero.
    pub(super) fn within(
        &self,
        number: Option<u64>,
        range: Range,
        show: fn(u64) -> String,
    ) -> Option<u64> {
        let inside = number.filter(|number| range.contains(*number));
        if inside.is_none() {
            let small = match number {
                Some(number) => number < range.min,
                None => matches!(self.node.value, Value::Integer(Some(_), _)),
            };
            let message = if small { "too small" } else { "too large" };
            self.error(message, &format!("write {}", range.show(show)));
        }
        inside
    }
}

// === impl Range ===

impl Range {
    /// `from 1ms to 10m, or 0s for no bound`.
    pub(super) fn show(self, show: fn(u64) -> String) -> String {
        let bounds = format!("a value from {} to {}", show(self.min), show(self.max));
        match self.zero {
            Some(meaning) => format!("{bounds}, or {} for {meaning}", show(0)),
            None => bounds,
        }
    }
}

pub(super) fn show_count(number: u64) -> String {
    number.to_string()
}

pub(super) fn show_ms(ms: u64) -> String {
    format!("\"{}\"", show_duration(Duration::from_millis(ms)))
}

pub(super) fn show_bytes(bytes: u64) -> String {
    format!("\"{}\"", show_size(bytes))
}

pub(super) fn show_percent(parts: u64) -> String {
    format!("\"{}\"", Percent(u32::try_from(parts).unwrap_or(u32::MAX)))
}
