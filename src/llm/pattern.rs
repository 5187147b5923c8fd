//! Names of models as an operator writes them: whole, or the beginning of many.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A model's name, of which a `*` at the end stands for any rest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelPattern(Box<str>);

// === impl ModelPattern ===

impl ModelPattern {
    /// `None` unless it is made of visible characters with at most one `*`, its last.
    #[must_use]
    pub fn parse(text: &str) -> Option<ModelPattern> {
        let whole = text.strip_suffix('*').unwrap_or(text);
        let visible = text.chars().all(|c| !c.is_control() && !c.is_whitespace());
        (!text.is_empty() && visible && !whole.contains('*')).then(|| ModelPattern(text.into()))
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
        patterns: impl IntoIterator<Item = (&'p ModelPattern, T)>,
        name: &str,
    ) -> Option<T> {
        let matching = patterns.into_iter().filter(|(pattern, _)| pattern.matches(name));
        let closest = matching.max_by_key(|(pattern, _)| (!pattern.is_wildcard(), pattern.0.len()));
        closest.map(|(_, found)| found)
    }
}

impl fmt::Display for ModelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for ModelPattern {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ModelPattern {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<ModelPattern, D::Error> {
        let text = String::deserialize(from)?;
        let bad = || de::Error::custom("not the name of a model, perhaps with a `*` at its end");
        ModelPattern::parse(&text).ok_or_else(bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> ModelPattern {
        ModelPattern::parse(text).unwrap_or_else(|| panic!("{text:?} is one"))
    }

    #[test]
    fn a_star_stands_for_any_rest() {
        assert!(pattern("gpt-4o*").matches("gpt-4o") && pattern("gpt-4o*").matches("gpt-4o-mini"));
        assert!(!pattern("gpt-4o*").matches("gpt-4") && !pattern("gpt-4o").matches("gpt-4o-mini"));
        assert!(pattern("*").matches("anything/at:all"));
        for text in ["", "a b", "*a", "a*b", "a**", "a\n", "a\u{7f}"] {
            assert_eq!(ModelPattern::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_closest_says_most() {
        let all: Vec<_> = ["*", "gpt-4o*", "gpt-4o", "gpt*"].map(pattern).into();
        for (name, closest) in
            [("gpt-4o", "gpt-4o"), ("gpt-4o-mini", "gpt-4o*"), ("gpt-5", "gpt*"), ("x", "*")]
        {
            let found = ModelPattern::closest(all.iter().map(|p| (p, p.as_str())), name);
            assert_eq!(found, Some(closest));
        }
        assert_eq!(ModelPattern::closest([(&pattern("a"), ())], "b"), None);
    }
}
