//! What a request asks of a model beyond text in and text out.

use std::fmt;
use std::ops::BitOr;

/// A set of features.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Features(u8);

// === impl Features ===

impl Features {
    pub const NONE: Features = Features(0);
    pub const TOOLS: Features = Features(1);
    pub const IMAGES: Features = Features(1 << 1);
    /// Answers that must be JSON.
    pub const JSON: Features = Features(1 << 2);
    pub const STREAM: Features = Features(1 << 3);
    pub const REASONING: Features = Features(1 << 4);

    /// Each with its word in the configuration.
    pub const WORDS: [(&str, Features); 5] = [
        ("tools", Features::TOOLS),
        ("images", Features::IMAGES),
        ("json", Features::JSON),
        ("stream", Features::STREAM),
        ("reasoning", Features::REASONING),
    ];

    /// Whether all of `other` are among these.
    #[must_use]
    pub fn contains(self, other: Features) -> bool {
        self.0 & other.0 == other.0
    }

    /// Those of this set that are not in `other`.
    #[must_use]
    pub fn without(self, other: Features) -> Features {
        Features(self.0 & !other.0)
    }

    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The words, in the order of [`Features::WORDS`].
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        let mine = move |(_, feature): &(&str, Features)| self.contains(*feature);
        Features::WORDS.into_iter().filter(mine).map(|(word, _)| word)
    }
}

impl BitOr for Features {
    type Output = Features;

    fn bitor(self, other: Features) -> Features {
        Features(self.0 | other.0)
    }
}

impl FromIterator<Features> for Features {
    fn from_iter<I: IntoIterator<Item = Features>>(features: I) -> Features {
        features.into_iter().fold(Features::NONE, BitOr::bitor)
    }
}

impl fmt::Debug for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.words()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_known_by_its_words() {
        let set = Features::JSON | Features::TOOLS;
        assert_eq!(set.words().collect::<Vec<_>>(), ["tools", "json"]);
        assert!(set.contains(Features::JSON) && set.contains(Features::NONE));
        assert!(!set.contains(Features::JSON | Features::IMAGES));
        assert_eq!(set.without(Features::TOOLS), Features::JSON);
        let all: Features = Features::WORDS.into_iter().map(|(_, feature)| feature).collect();
        assert_eq!(all.words().count(), Features::WORDS.len());
        assert!(Features::NONE.is_empty() && !all.is_empty());
    }
}
