//! The schema: one row per key, with its type, default, range and meaning. The reader refuses what
//! is not here, takes every default and range from here, and `docs/configuration.md` is written
//! from here, so that the three cannot disagree. Patterns: `*` stands for a name, `[]` for an entry
//! of a list.

mod api;
mod authorizer;
mod edge;
mod gateway;
mod key;
mod limit;
mod listener;
mod llm;
mod reference;
mod stage;
mod upstream;
mod version;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::LazyLock;

pub use reference::reference;

/// A key a file may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// Such as `upstreams.*.timeouts.connect`.
    pub path: &'static str,
    pub kind: Kind,
    /// For the documentation: what it means, and why the default is what it is.
    pub text: &'static str,
    /// A value to show; empty = the default.
    pub example: &'static str,
    /// Whether the table that may hold it must.
    pub required: bool,
}

/// The type of a key. `default: None` = the key may be left out and then something else holds,
/// which the row's text names.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A table of the keys below it.
    Table,
    /// A table of named objects.
    Named,
    /// A list of tables, or of what the text names.
    Tables(&'static str),
    Flag(bool),
    Count {
        default: Option<u64>,
        range: Range,
    },
    /// So much of what a limit counts: a number, or dollars as a decimal text. The range is of the
    /// number.
    Amount(Range),
    Duration {
        default: Option<u64>,
        range: Range,
    },
    Size {
        default: Option<u64>,
        range: Range,
    },
    /// In hundredths of a percent.
    Percent {
        default: u32,
        range: Range,
    },
    Choice {
        default: Option<&'static str>,
        words: &'static [&'static str],
    },
    /// A date, or a date and time: TOML's own, or a text.
    Date,
    /// One of these words, or a table of the keys below it.
    Either(&'static [&'static str]),
    /// Text of the named form.
    Text {
        default: Option<&'static str>,
        form: &'static str,
    },
    /// A list of texts of the named form.
    Texts {
        default: Option<&'static [&'static str]>,
        form: &'static str,
    },
    /// `true`, or a table of the keys below it.
    Switch,
    /// A table of field names and templates (or lists of templates).
    Fields,
    /// A table of free keys and values of the named form.
    Pairs(&'static str),
}

/// What a number may be, ends included; durations are in milliseconds, sizes in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub min: u64,
    pub max: u64,
    /// What `0` means where it is allowed below `min`.
    pub zero: Option<&'static str>,
}

/// All rows by path.
static ROWS: LazyLock<BTreeMap<&'static str, &'static Row>> = LazyLock::new(|| {
    let mut rows = BTreeMap::new();
    for row in sections().iter().flat_map(|(_, rows)| *rows) {
        assert!(rows.insert(row.path, row).is_none(), "{} has one row", row.path);
    }
    rows
});

/// The rows in the order of the documentation, by the heading they stand under.
pub(super) fn sections() -> &'static [(&'static str, &'static [Row])] {
    static SECTIONS: LazyLock<Vec<(&str, &[Row])>> =
        LazyLock::new(|| [all(), llm::sections()].concat());
    &SECTIONS
}

fn all() -> Vec<(&'static str, &'static [Row])> {
    vec![
        ("gateway", gateway::GATEWAY),
        ("admin", gateway::ADMIN),
        ("log", gateway::LOG),
        ("ledger", gateway::LEDGER),
        ("listeners", listener::ROWS),
        ("upstreams", upstream::ROWS),
        ("limits", limit::ROWS),
        ("apis", api::ROWS),
        ("apis: CORS, checks, transforms", edge::ROWS),
        ("api keys of an API", key::API_KEY),
        ("keys", key::KEYS),
        ("plans", key::PLANS),
        ("stages", stage::ROWS),
        ("versions", version::ROWS),
        ("domains", stage::DOMAINS),
        ("authorizers", authorizer::ROWS),
        ("apis: who may call", authorizer::OF_APIS),
        ("routes: who may call", authorizer::OF_ROUTES),
    ]
}

/// The row of `key` in the table of this pattern; the named child if the table holds named objects.
pub(super) fn find(pattern: &str, key: &str) -> Option<&'static Row> {
    ROWS.get(join(pattern, key).as_str()).copied()
}

/// The keys of the table of this pattern, in alphabetical order.
pub(super) fn keys(pattern: &str) -> Vec<&'static str> {
    let rows = under(pattern);
    rows.filter(|rest| !rest.contains('.') && !rest.contains('[') && *rest != "*").collect()
}

/// Where below this pattern a key of this name stands, such as `timeouts.connect` for `connect`.
pub(super) fn below(pattern: &str, key: &str) -> Option<&'static str> {
    let mut rows = under(pattern);
    rows.find(|rest| !rest.contains(['*', '[']) && rest.rsplit('.').next() == Some(key))
}

/// The paths of all rows below this pattern, without it.
fn under(pattern: &str) -> impl Iterator<Item = &'static str> {
    let prefix = join(pattern, "");
    let from = (Bound::Included(prefix.as_str()), Bound::Unbounded);
    let rows = ROWS.range::<str, _>(from).map(|(path, _)| *path);
    rows.map_while(move |path| path.strip_prefix(&prefix))
}

/// `pattern.key`, or `key` at the top.
pub(super) fn join(pattern: &str, key: &str) -> String {
    if pattern.is_empty() { key.to_owned() } else { format!("{pattern}.{key}") }
}

// === impl Row ===

impl Row {
    const fn new(path: &'static str, kind: Kind, text: &'static str) -> Row {
        Row { path, kind, text, example: "", required: false }
    }

    const fn example(mut self, example: &'static str) -> Row {
        self.example = example;
        self
    }

    const fn required(mut self) -> Row {
        self.required = true;
        self
    }
}

// === impl Range ===

impl Range {
    const fn of(min: u64, max: u64) -> Range {
        Range { min, max, zero: None }
    }

    const fn zero(mut self, meaning: &'static str) -> Range {
        self.zero = Some(meaning);
        self
    }

    pub(super) fn contains(self, number: u64) -> bool {
        (self.min..=self.max).contains(&number) || (number == 0 && self.zero.is_some())
    }
}

// === impl Kind ===

impl Kind {
    const fn count(default: u64, range: Range) -> Kind {
        Kind::Count { default: Some(default), range }
    }

    /// `default` in milliseconds.
    const fn duration(default: u64, range: Range) -> Kind {
        Kind::Duration { default: Some(default), range }
    }

    /// `default` in bytes.
    const fn size(default: u64, range: Range) -> Kind {
        Kind::Size { default: Some(default), range }
    }

    const fn choice(default: &'static str, words: &'static [&'static str]) -> Kind {
        Kind::Choice { default: Some(default), words }
    }

    const fn text(form: &'static str) -> Kind {
        Kind::Text { default: None, form }
    }

    /// No default: the row's text says what holds then.
    const fn texts(form: &'static str) -> Kind {
        Kind::Texts { default: None, form }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_in_its_range() {
        for row in ROWS.values() {
            match row.kind {
                Kind::Count { default: Some(number), range }
                | Kind::Duration { default: Some(number), range }
                | Kind::Size { default: Some(number), range } => {
                    assert!(range.contains(number), "{}", row.path);
                }
                Kind::Percent { default, range } => {
                    assert!(range.contains(u64::from(default)), "{}", row.path);
                }
                Kind::Choice { default: Some(word), words } => {
                    assert!(words.contains(&word), "{}", row.path);
                }
                _ => {}
            }
        }
    }

    #[test]
    fn every_row_hangs_on_a_row() {
        for path in ROWS.keys() {
            let Some((parent, last)) = path.rsplit_once('.') else { continue };
            let parent = parent.strip_suffix("[]").unwrap_or(parent);
            assert!(!last.is_empty());
            assert!(ROWS.contains_key(parent), "{path} has no row {parent}");
        }
    }

    #[test]
    fn keys_are_those_of_one_table_only() {
        assert_eq!(
            keys("upstreams.*.pool"),
            ["idle_max", "idle_timeout", "lifetime", "ping_interval", "requests_max"]
        );
        assert_eq!(keys("").first(), Some(&"admin"));
        assert!(!keys("").contains(&"gateway.io"));
    }

    #[test]
    fn a_key_is_found_in_the_tables_below() {
        assert_eq!(below("upstreams.*", "connect"), Some("timeouts.connect"));
        assert_eq!(below("upstreams.*", "nonsense"), None);
    }
}
