//! Patterns that values must match as a whole: regular expressions over bytes.
//!
//! Made with the tables of `regex-automata`, since the `regex` crate keeps caches behind a lock. A
//! pattern becomes a table when the configuration is read; a match then reads every byte once,
//! takes no lock and no memory, and takes the same time whatever the value is made of. Invariant: a
//! pattern whose table would be large is refused, not slow.

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::{Anchored, Input};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Hir, Look};

use crate::bounds::{PATTERN_BYTES_MAX, PATTERN_TABLE_BYTES_MAX};

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    table: dense::DFA<Vec<u32>>,
}

/// Why a text is no pattern, and before which of its bytes, if that can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPattern {
    pub message: String,
    pub at: Option<usize>,
}

// === impl Pattern ===

impl Pattern {
    /// Compiles a regular expression (the syntax of Rust's `regex`, ASCII classes). It stands for
    /// the whole value: no `^` and `$` are needed.
    ///
    /// # Errors
    /// Why it is none, or why it is too large.
    pub fn compile(text: &str) -> Result<Pattern, BadPattern> {
        let whole = |message: &str| BadPattern { message: message.to_owned(), at: None };
        if text.len() > PATTERN_BYTES_MAX {
            return Err(whole(&format!("longer than {PATTERN_BYTES_MAX} bytes")));
        }
        let mut parser = ParserBuilder::new().unicode(false).utf8(false).nest_limit(50).build();
        let inner = parser.parse(text).map_err(|error| of_syntax(&error))?;
        let all = Hir::concat(vec![Hir::look(Look::Start), inner, Hir::look(Look::End)]);
        let too_large = |_| whole("too large: repeat less, or match less of the value");
        let nfa = thompson::Config::new().utf8(false).nfa_size_limit(Some(PATTERN_TABLE_BYTES_MAX));
        let nfa = thompson::Compiler::new()
            .configure(nfa)
            .build_from_hir(&all)
            .map_err(|_| whole("too large: repeat less, or match less of the value"))?;
        let dense = dense::Config::new()
            .start_kind(StartKind::Anchored)
            .dfa_size_limit(Some(PATTERN_TABLE_BYTES_MAX))
            .determinize_size_limit(Some(4 * PATTERN_TABLE_BYTES_MAX));
        let table = dense::Builder::new().configure(dense).build_from_nfa(&nfa);
        Ok(Pattern { table: table.map_err(too_large)? })
    }

    /// Whether the whole value matches.
    #[must_use]
    pub fn matches(&self, value: &[u8]) -> bool {
        let input = Input::new(value).anchored(Anchored::Yes).earliest(true);
        // It ends with the end: a match is one of all bytes. No byte makes the search give up.
        self.table.try_search_fwd(&input).is_ok_and(|found| found.is_some())
    }
}

fn of_syntax(error: &regex_syntax::Error) -> BadPattern {
    let (message, at) = match error {
        regex_syntax::Error::Parse(error) => (error.kind().to_string(), error.span().start.offset),
        regex_syntax::Error::Translate(error) => {
            (error.kind().to_string(), error.span().start.offset)
        }
        _ => return BadPattern { message: "not a regular expression".to_owned(), at: None },
    };
    BadPattern { message, at: Some(at) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, value: &str) -> bool {
        Pattern::compile(pattern).unwrap_or_else(|e| panic!("{e:?}")).matches(value.as_bytes())
    }

    #[test]
    fn a_pattern_stands_for_the_whole_value() {
        for (pattern, value, expected) in [
            ("[0-9]+", "12", true),
            ("[0-9]+", "12a", false),
            ("[0-9]+", "a12", false),
            ("[0-9]+", "", false),
            ("a|b", "a", true),
            ("a|b", "ab", false),
            ("a|ab", "ab", true),
            ("^a$", "a", true),
            ("(?i)yes|no", "YES", true),
            (r"\d{4}-\d\d", "2026-01", true),
            (r"\w+", "é", false),
            (".*", "é\u{2028}", true),
            (".*", "a\nb", false),
            ("(?x) a # a comment", "a", true),
            ("", "", true),
            ("é", "é", true),
        ] {
            assert_eq!(matches(pattern, value), expected, "{pattern} {value:?}");
        }
        assert!(Pattern::compile(".*").expect("is one").matches(b"\xff\xfe"));
    }

    #[test]
    fn what_is_no_pattern_is_told_where() {
        for (pattern, at) in [("a(b", 1), ("[z-a]", 1), ("a)|(b", 1), (r"\p{Greek}", 0)] {
            let bad = Pattern::compile(pattern).expect_err(pattern);
            assert!(!bad.message.is_empty() && !bad.message.contains('\n'), "{bad:?}");
            assert_eq!(bad.at, Some(at), "{pattern}: {bad:?}");
        }
    }

    #[test]
    fn a_pattern_that_would_cost_too_much_is_refused() {
        for pattern in ["(a{1000}){1000}", ".*a.{30}", "[ab]*a[ab]{20}"] {
            let bad = Pattern::compile(pattern).expect_err(pattern);
            assert!(bad.message.starts_with("too large"), "{bad:?}");
        }
        assert!(Pattern::compile(&"a".repeat(PATTERN_BYTES_MAX + 1)).is_err());
        assert!(Pattern::compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").is_ok());
    }
}
