//! The raw form: a TOML text as a tree in which every key and value knows its place. Nothing is
//! given a meaning here, and nothing is lost but comments and the order of keys. Depth is bounded,
//! so that walking the tree cannot exhaust the stack.

mod syntax;

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, Place};
use crate::bounds::CONFIG_DEPTH_MAX;

/// A value and where it is written.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub value: Value,
    pub place: Place,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    /// `plain`: written without escapes on one line, so that a character's column can be told.
    Text {
        text: String,
        plain: bool,
    },
    /// `None`: beyond 64 bits; and as it is written.
    Integer(Option<i64>, String),
    Float(String),
    Flag(bool),
    Date(String),
    List(Vec<Node>),
    Table(Table),
}

/// Keys in alphabetical order.
pub(super) type Table = BTreeMap<String, Entry>;

#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Where the key is written; of a table with a header, where its name stands in that header.
    pub place: Place,
    pub node: Node,
}

/// A text being read: turns offsets into places.
struct Source<'a> {
    text: &'a str,
    file: Arc<str>,
    /// Offset of each line's first byte.
    lines: Vec<usize>,
}

/// Parses a text; the error lists every mistake of syntax found.
pub(super) fn parse(text: &str, file: &Arc<str>) -> Result<Table, Vec<Diagnostic>> {
    let source = Source::new(text, file);
    if let Some(offset) = syntax::too_deep(text) {
        return Err(vec![source.deep(offset)]);
    }
    let (root, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return source.table(root.get_ref(), 0).map_err(|deep| vec![deep]);
    }
    Err(source.syntax(&errors))
}

// === impl Source ===

impl<'a> Source<'a> {
    fn new(text: &'a str, file: &Arc<str>) -> Source<'a> {
        let starts = text.match_indices('\n').map(|(offset, _)| offset + 1);
        Source { text, file: file.clone(), lines: std::iter::once(0).chain(starts).collect() }
    }

    fn place(&self, offset: usize) -> Place {
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = line.checked_sub(1).and_then(|i| self.lines.get(i)).copied().unwrap_or(0);
        let before = self.text.get(start..offset).map_or(0, |text| text.chars().count());
        Place {
            file: self.file.clone(),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(before + 1).unwrap_or(u32::MAX),
        }
    }

    fn table(&self, table: &DeTable<'_>, depth: usize) -> Result<Table, Diagnostic> {
        let entries = table.iter().map(|(key, value)| {
            let place = self.place(key.span().start);
            let node = self.node(value, depth + 1)?;
            Ok((key.get_ref().clone().into_owned(), Entry { place, node }))
        });
        entries.collect()
    }

    fn node(&self, value: &Spanned<DeValue<'_>>, depth: usize) -> Result<Node, Diagnostic> {
        let span = value.span();
        if depth > CONFIG_DEPTH_MAX {
            return Err(self.deep(span.start));
        }
        let value = match value.get_ref() {
            DeValue::String(text) => {
                let plain = span.len() == text.len() + 2;
                Value::Text { text: text.clone().into_owned(), plain }
            }
            DeValue::Integer(number) => {
                let read = i64::from_str_radix(number.as_str(), number.radix()).ok();
                Value::Integer(read, number.to_string())
            }
            DeValue::Float(number) => Value::Float(number.to_string()),
            DeValue::Boolean(flag) => Value::Flag(*flag),
            DeValue::Datetime(date) => Value::Date(date.to_string()),
            DeValue::Array(list) => {
                let nodes = list.iter().map(|item| self.node(item, depth + 1));
                Value::List(nodes.collect::<Result<_, _>>()?)
            }
            DeValue::Table(table) => Value::Table(self.table(table, depth)?),
        };
        Ok(Node { value, place: self.place(span.start) })
    }

    fn deep(&self, offset: usize) -> Diagnostic {
        Diagnostic {
            place: self.place(offset),
            key: String::new(),
            value: None,
            message: format!("tables or lists are nested more than {CONFIG_DEPTH_MAX} deep"),
            remedy: "no key needs that; see docs/configuration.md".to_owned(),
        }
    }
}

// === impl Node ===

impl Node {
    /// The type in words, for "expected ..., found ...".
    pub(super) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Text { .. } => "a text",
            Value::Integer(..) => "a number",
            Value::Float(_) => "a number with a point",
            Value::Flag(_) => "true or false",
            Value::Date(_) => "a date",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The value as one would write it, on one line and shortened; `None` of lists and tables.
    pub(super) fn written(&self) -> Option<String> {
        match &self.value {
            Value::Text { text, .. } => {
                let short: String = text.chars().take(SHOWN).collect();
                let rest = if short.len() < text.len() { "..." } else { "" };
                Some(format!("\"{}{rest}\"", short.escape_debug()))
            }
            Value::Integer(_, number) | Value::Float(number) => {
                Some(number.chars().take(SHOWN).collect())
            }
            Value::Flag(flag) => Some(flag.to_string()),
            Value::Date(date) => Some(date.clone()),
            Value::List(_) | Value::Table(_) => None,
        }
    }

    /// The place of a character of a text, where it can be told; of the text's beginning otherwise.
    pub(super) fn inside(&self, characters: usize) -> Place {
        let mut place = self.place.clone();
        if matches!(self.value, Value::Text { plain: true, .. }) {
            let quote_and_before = u32::try_from(characters + 1).unwrap_or(u32::MAX);
            place.column = place.column.saturating_add(quote_and_before);
        }
        place
    }
}

/// Characters of a value that a diagnostic repeats.
const SHOWN: usize = 60;
