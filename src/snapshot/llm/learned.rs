//! How many tokens a model's answers have: what to reserve for a request that does not say.

use std::sync::atomic::{AtomicU64, Ordering};

/// The longest of the recent answers of a model, which fades.
///
/// Invariant: the ceiling is never below an answer just seen.
#[derive(Debug, Default)]
pub struct Learned(AtomicU64);

/// Before so many answers are known the ceiling is at least [`FIRST`].
const ENOUGH: u64 = 32;
/// Tokens. Most answers of chats have fewer than a thousand.
const FIRST: u64 = 4096;
/// Tokens that are never gone below: short answers say little of the next one.
const LEAST: u64 = 256;
/// With each shorter answer the longest one loses this part of the difference.
const FADES: u64 = 128;
/// Upper bits of the word: how many answers are known, [`ENOUGH`] at most.
const SHIFT: u32 = 48;
const TOKENS_MAX: u64 = (1 << SHIFT) - 1;

// === impl Learned ===

impl Learned {
    /// An answer had so many tokens.
    pub fn saw(&self, tokens: u64) {
        let tokens = tokens.min(TOKENS_MAX);
        let next = |word: u64| {
            let (known, longest) = (word >> SHIFT, word & TOKENS_MAX);
            let faded = longest - longest.saturating_sub(tokens) / FADES;
            Some((known + 1).min(ENOUGH) << SHIFT | faded.max(tokens))
        };
        let always = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        debug_assert!(always.is_ok(), "`next` never says no");
    }

    /// What to reserve: a quarter more than the longest.
    #[must_use]
    pub fn ceiling(&self) -> u64 {
        let word = self.0.load(Ordering::Relaxed);
        let (known, longest) = (word >> SHIFT, word & TOKENS_MAX);
        let least = if known < ENOUGH { FIRST } else { LEAST };
        (longest + longest / 4).max(least)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_starts_high_follows_the_longest_and_forgets_it_slowly() {
        let learned = Learned::default();
        assert_eq!(learned.ceiling(), FIRST);
        learned.saw(10_000);
        assert_eq!(learned.ceiling(), 12_500);
        (0..31).for_each(|_| learned.saw(100));
        assert!(learned.ceiling() > 9_000, "{}", learned.ceiling());
        (0..2000).for_each(|_| learned.saw(100));
        assert!((256..=300).contains(&learned.ceiling()), "{}", learned.ceiling());
    }

    proptest! {
        #[test]
        fn the_ceiling_is_never_below_the_last_answer(
            answers in prop::collection::vec(any::<u64>(), 1..100),
        ) {
            let learned = Learned::default();
            for answer in answers {
                learned.saw(answer);
                prop_assert!(learned.ceiling() >= answer.min(TOKENS_MAX));
            }
        }
    }
}
