//! Reading a tree by the schema. A [`Section`] is a table whose keys have been checked against the
//! schema; its readers (in `values`) give the typed value, or report what is wrong and give the
//! default, so that one pass finds every mistake of a file. Which keys there are, their defaults
//! and ranges, the schema alone knows; asking for a key it does not hold is a bug and panics.

mod values;

use std::collections::BTreeSet;

use super::diagnostic::{Diagnostic, Place};
use super::report::Report;
use super::schema::{self, Kind, Row};
use super::spot::Spot;
use super::suggest::nearest;
use super::tree::{Entry, Node, Table, Value};
use super::types::Name;
use crate::bounds::{CONFIG_LIST_MAX, CONFIG_NAME_BYTES_MAX};

/// A table, where it stands, and where it stands in the schema.
#[derive(Clone)]
pub(super) struct Section<'a> {
    table: &'a Table,
    pub place: Place,
    /// Such as `upstreams.pets.pool`.
    pub path: String,
    /// Such as `upstreams.*.pool`.
    pattern: String,
    pub report: &'a Report,
}

/// A word, or the table that says more.
pub(super) enum Either<'a, T> {
    Word(T),
    Table(Section<'a>),
}

/// What a table that is not there is read as.
static EMPTY: Table = Table::new();

// === impl Section ===

impl<'a> Section<'a> {
    /// The whole file, or all files merged.
    pub(super) fn root(table: &'a Table, place: Place, report: &'a Report) -> Section<'a> {
        Section { table, place, path: String::new(), pattern: String::new(), report }.checked()
    }

    /// The table of `key`; an empty one if it is not there, so that its defaults hold.
    pub(super) fn sub(&self, key: &str) -> Section<'a> {
        self.sub_if(key).unwrap_or_else(|| Section {
            table: &EMPTY,
            place: self.place.clone(),
            path: schema::join(&self.path, key),
            pattern: schema::join(&self.pattern, key),
            report: self.report,
        })
    }

    /// The table of `key`, if it is there.
    pub(super) fn sub_if(&self, key: &str) -> Option<Section<'a>> {
        assert!(matches!(self.row(key).kind, Kind::Table), "{} is a table", self.path_of(key));
        self.below(key)
    }

    fn below(&self, key: &str) -> Option<Section<'a>> {
        let entry = self.table.get(key)?;
        self.open(entry, self.path_of(key), schema::join(&self.pattern, key))
    }

    /// The objects of the table `key` whose names are well-formed.
    pub(super) fn named(&self, key: &str) -> Vec<(Name, Section<'a>)> {
        let objects = self.keyed(key).into_iter();
        let named = objects.filter_map(|(name, section)| {
            if is_name(name) {
                return Some((Name::from(name), section));
            }
            section.error(
                "not a name",
                &format!(
                    "use at most {CONFIG_NAME_BYTES_MAX} letters, digits, `_` and `-`, \
                     the first of them not `-`"
                ),
            );
            None
        });
        named.collect()
    }

    /// The objects of the table `key`, whatever their names are.
    pub(super) fn keyed(&self, key: &str) -> Vec<(&'a str, Section<'a>)> {
        assert!(matches!(self.row(key).kind, Kind::Named), "{} is named", self.path_of(key));
        let path = self.path_of(key);
        let pattern = format!("{}.*", schema::join(&self.pattern, key));
        let Some(entry) = self.table.get(key) else { return Vec::new() };
        let Value::Table(objects) = &entry.node.value else {
            self.spot(key, &entry.node).expected("a table");
            return Vec::new();
        };
        let open = |(name, object): (&'a String, &'a Entry)| {
            let path = format!("{path}.{}", quoted(name));
            Some((name.as_str(), self.open(object, path, pattern.clone())?))
        };
        objects.iter().filter_map(open).collect()
    }

    /// The entries of the list `key`; `None` if it is not there.
    pub(super) fn items(&self, key: &str) -> Option<Vec<Spot<'a>>> {
        let kind = self.row(key).kind;
        assert!(matches!(kind, Kind::Tables(_) | Kind::Texts { .. }), "{key} is a list");
        let entry = self.table.get(key)?;
        let Value::List(nodes) = &entry.node.value else {
            self.spot(key, &entry.node).expected("a list");
            return Some(Vec::new());
        };
        if nodes.len() > CONFIG_LIST_MAX {
            let message = format!("has more than {CONFIG_LIST_MAX} entries");
            self.error_at(key, &message, "write fewer; a name or a network can stand for many");
            return Some(Vec::new());
        }
        let path = self.path_of(key);
        let spot = |(i, node)| Spot { node, path: format!("{path}[{i}]"), report: self.report };
        Some(nodes.iter().enumerate().map(spot).collect())
    }

    /// An entry of the list `key` as a table.
    pub(super) fn item(&self, key: &str, spot: &Spot<'a>) -> Option<Section<'a>> {
        let Value::Table(table) = &spot.node.value else {
            spot.expected("a table");
            return None;
        };
        let pattern = format!("{}[]", schema::join(&self.pattern, key));
        let place = spot.node.place.clone();
        let path = spot.path.clone();
        Some(Section { table, place, path, pattern, report: self.report }.checked())
    }

    /// The pairs of a table of free keys, as header edits have; each key with its place.
    pub(super) fn pairs(&self, key: &str) -> Vec<(&'a str, Place, Spot<'a>)> {
        assert!(matches!(self.row(key).kind, Kind::Fields), "{} has fields", self.path_of(key));
        self.entries(key)
    }

    fn entries(&self, key: &str) -> Vec<(&'a str, Place, Spot<'a>)> {
        let Some(entry) = self.table.get(key) else { return Vec::new() };
        let Value::Table(table) = &entry.node.value else {
            self.spot(key, &entry.node).expected("a table");
            return Vec::new();
        };
        let path = self.path_of(key);
        let pair = |(name, entry): (&'a String, &'a Entry)| {
            let path = format!("{path}.{}", quoted(name));
            let spot = Spot { node: &entry.node, path, report: self.report };
            (name.as_str(), entry.place.clone(), spot)
        };
        table.iter().map(pair).collect()
    }

    /// The keys of the table `key`, whatever stands under them.
    pub(super) fn keys_of(&self, key: &str) -> BTreeSet<&'a str> {
        match self.table.get(key).map(|entry| &entry.node.value) {
            Some(Value::Table(table)) => table.keys().map(String::as_str).collect(),
            _ => BTreeSet::new(),
        }
    }

    /// Whether `key` is a table or not there: otherwise that is its mistake, and not that it is
    /// empty.
    pub(super) fn may_hold(&self, key: &str) -> bool {
        let entry = self.table.get(key);
        entry.is_none_or(|entry| matches!(entry.node.value, Value::Table(_)))
    }

    pub(super) fn has(&self, key: &str) -> bool {
        debug_assert!(schema::find(&self.pattern, key).is_some(), "{key} is known");
        self.table.contains_key(key)
    }

    /// Reports a mistake of the table as a whole.
    pub(super) fn error(&self, message: &str, remedy: &str) {
        self.report.error(self.diagnostic(message, remedy));
    }

    /// Reports a mistake at one of its keys (or at the table, if the key is not there).
    pub(super) fn error_at(&self, key: &str, message: &str, remedy: &str) {
        self.report.error(self.diagnostic_at(key, message, remedy));
    }

    pub(super) fn warn_at(&self, key: &str, message: &str, remedy: &str) {
        self.report.warn(self.diagnostic_at(key, message, remedy));
    }

    pub(super) fn diagnostic(&self, message: &str, remedy: &str) -> Diagnostic {
        Diagnostic {
            place: self.place.clone(),
            key: self.path.clone(),
            value: None,
            message: message.to_owned(),
            remedy: remedy.to_owned(),
        }
    }

    fn diagnostic_at(&self, key: &str, message: &str, remedy: &str) -> Diagnostic {
        let mut diagnostic = self.diagnostic(message, remedy);
        diagnostic.key = self.path_of(key);
        if let Some(entry) = self.table.get(key) {
            diagnostic.place = entry.place.clone();
            diagnostic.value = entry.node.written();
        }
        diagnostic
    }

    fn open(&self, entry: &'a Entry, path: String, pattern: String) -> Option<Section<'a>> {
        let place = entry.place.clone();
        let Value::Table(table) = &entry.node.value else {
            Spot { node: &entry.node, path, report: self.report }.expected("a table");
            return None;
        };
        Some(Section { table, place, path, pattern, report: self.report }.checked())
    }

    /// Reports keys the schema does not hold, and required ones the table does not.
    fn checked(self) -> Section<'a> {
        let known = schema::keys(&self.pattern);
        for (key, entry) in self.table {
            if schema::find(&self.pattern, key).is_none() || key == "*" {
                self.unknown(key, entry, &known);
            }
        }
        for key in known {
            let Some(row) = schema::find(&self.pattern, key) else { continue };
            if row.required && !self.table.contains_key(key) {
                let remedy = format!("write `{key} = {}`", row.example);
                let mut missing = self.diagnostic("missing", &remedy);
                missing.key = self.path_of(key);
                self.report.error(missing);
            }
        }
        self
    }

    fn unknown(&self, key: &str, entry: &Entry, known: &[&'static str]) {
        if self.report.is_full() {
            return;
        }
        let meant = nearest(key, known.iter().copied())
            .or_else(|| schema::below(&self.pattern, key))
            .or_else(|| known.iter().copied().find(|k| k.split('_').any(|part| part == key)));
        let remedy = match meant {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("known keys here: {}", known.join(", ")),
        };
        self.report.error(Diagnostic {
            place: entry.place.clone(),
            key: schema::join(&self.path, &quoted(key)),
            value: entry.node.written(),
            message: "unknown key".to_owned(),
            remedy,
        });
    }

    fn path_of(&self, key: &str) -> String {
        schema::join(&self.path, key)
    }

    fn spot(&self, key: &str, node: &'a Node) -> Spot<'a> {
        Spot { node, path: self.path_of(key), report: self.report }
    }

    fn row(&self, key: &str) -> &'static Row {
        #[cfg(test)]
        tests::ASKED.with_borrow_mut(|asked| asked.insert(schema::join(&self.pattern, key)));
        schema::find(&self.pattern, key)
            .unwrap_or_else(|| panic!("the schema has a row for {}.{key}", self.pattern))
    }

    fn value(&self, key: &str) -> Option<Spot<'a>> {
        let entry = self.table.get(key)?;
        Some(self.spot(key, &entry.node))
    }
}

/// A key as it stands in a path: in quotes unless it is bare.
pub(super) fn quoted(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(bare) {
        return key.to_owned();
    }
    let short: String = key.chars().take(120).collect();
    format!("\"{}\"", short.escape_debug())
}

fn is_name(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    text.len() <= CONFIG_NAME_BYTES_MAX
        && text.bytes().all(inner)
        && text.bytes().next().is_some_and(|first| first != b'-')
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    thread_local! {
        /// Every key a reader has asked for: compared with the schema, so that no row is idle.
        pub(crate) static ASKED: RefCell<BTreeSet<String>> = RefCell::default();
    }
}
