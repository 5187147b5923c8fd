//! Names as an operator writes them for many to be meant: whole, or the beginning of all.
//!
//! No HTTP of itself, but here for rooms beside each other that read the same names: which models
//! there are, and which of them a key is good for.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A name, of which a `*` at the end stands for any rest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamePattern(Box<str>);

// === impl NamePattern ===

impl NamePattern {
    /// `None` unless it is made of visible characters with at most one `*`, its last.
    #[must_use]
    pub fn parse(text: &str) -> Option<NamePattern> {
        let whole = text.strip_suffix('*').unwrap_or(text);
        let visible = text.chars().all(|c| !c.is_control() && !c.is_whitespace());
        (!text.is_empty() && visible && !whole.contains('*')).then(|| NamePattern(text.into()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it stands for many.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.0.ends_with('*')
    }

    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(before) => name.starts_with(before),
            None => *self.0 == *name,
        }
    }

    /// Of those that match a name, the one that says most of it: a whole name, else the longest.
    pub fn closest<'p, T>(
        patterns: impl IntoIterator<Item = (&'p NamePattern, T)>,
        name: &str,
    ) -> Option<T> {
        let matching = patterns.into_iter().filter(|(pattern, _)| pattern.matches(name));
        let closest = matching.max_by_key(|(pattern, _)| (!pattern.is_wildcard(), pattern.0.len()));
        closest.map(|(_, found)| found)
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for NamePattern {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for NamePattern {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<NamePattern, D::Error> {
        let text = String::deserialize(from)?;
        let bad = || de::Error::custom("not a name, perhaps with a `*` at its end");
        NamePattern::parse(&text).ok_or_else(bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> NamePattern {
        NamePattern::parse(text).unwrap_or_else(|| panic!("{text:?} is one"))
    }

    #[test]
    fn a_star_stands_for_any_rest() {
        assert!(pattern("gpt-4o*").matches("gpt-4o") && pattern("gpt-4o*").matches("gpt-4o-mini"));
        assert!(!pattern("gpt-4o*").matches("gpt-4") && !pattern("gpt-4o").matches("gpt-4o-mini"));
        assert!(pattern("*").matches("anything/at:all"));
        for text in ["", "a b", "*a", "a*b", "a**", "a\n", "a\u{7f}"] {
            assert_eq!(NamePattern::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_closest_says_most() {
        let all: Vec<_> = ["*", "gpt-4o*", "gpt-4o", "gpt*"].map(pattern).into();
        for (name, closest) in
            [("gpt-4o", "gpt-4o"), ("gpt-4o-mini", "gpt-4o*"), ("gpt-5", "gpt*"), ("x", "*")]
        {
            let found = NamePattern::closest(all.iter().map(|p| (p, p.as_str())), name);
            assert_eq!(found, Some(closest));
        }
        assert_eq!(NamePattern::closest([(&pattern("a"), ())], "b"), None);
    }
}
