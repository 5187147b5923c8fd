//! What a request to a model makes use of, which not every model can do.

use std::fmt;

/// A set of what a request uses, or of what a model can do.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Features(u8);

/// All there are, by the names the configuration has for them.
const NAMES: &[(&str, Features)] = &[
    ("tools", Features::TOOLS),
    ("images", Features::IMAGES),
    ("json", Features::JSON),
    ("stream", Features::STREAM),
    ("reasoning", Features::REASONING),
];

// === impl Features ===

impl Features {
    /// Tools, or functions as they were once called.
    pub const TOOLS: Features = Features(1);
    /// Images to look at.
    pub const IMAGES: Features = Features(1 << 1);
    /// An answer that must be JSON, of a schema or not.
    pub const JSON: Features = Features(1 << 2);
    /// An answer token by token.
    pub const STREAM: Features = Features(1 << 3);
    /// Thinking before the answer, asked for by name.
    pub const REASONING: Features = Features(1 << 4);

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Features> {
        NAMES.iter().find(|(own, _)| *own == name).map(|(_, feature)| *feature)
    }

    /// The names of those in the set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.iter().filter(move |(_, one)| self.contains(*one)).map(|(name, _)| *name)
    }

    /// Whether all of the other are in this one.
    #[must_use]
    pub fn contains(self, other: Features) -> bool {
        self.0 & other.0 == other.0
    }

    /// What is in either.
    #[must_use]
    pub fn with(self, other: Features) -> Features {
        Features(self.0 | other.0)
    }

    /// What is in this one and not in the other.
    #[must_use]
    pub fn without(self, other: Features) -> Features {
        Features(self.0 & !other.0)
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Debug for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

impl FromIterator<Features> for Features {
    fn from_iter<I: IntoIterator<Item = Features>>(all: I) -> Features {
        all.into_iter().fold(Features::default(), Features::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_has_a_name_and_a_bit_of_its_own() {
        let mut all = Features::default();
        for (name, feature) in NAMES {
            assert!(!all.contains(*feature));
            all = all.with(*feature);
            assert_eq!(Features::named(name), Some(*feature));
            assert_eq!(feature.names().collect::<Vec<_>>(), [*name]);
        }
        assert_eq!(all.names().count(), NAMES.len());
        assert_eq!(Features::named("magic"), None);
        assert_eq!(all.without(Features::JSON).names().count(), NAMES.len() - 1);
        assert!(all.contains(Features::default()) && Features::default().is_empty());
        assert_eq!(format!("{:?}", Features::TOOLS.with(Features::JSON)), r#"{"tools", "json"}"#);
    }
}
