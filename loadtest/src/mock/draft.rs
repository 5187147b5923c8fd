//! What the model says, before any dialect: parts made of tokens. Words are numbered (`t0 t1 t2`),
//! so that whoever reads them knows that none is missing, doubled or out of order. Pure.
//!
//! Invariant: the tokens of a draft are what its usage says, and a draft never has more than the
//! request allowed.

use std::io::Write as _;
use std::sync::LazyLock;

use super::asked::Asked;
use super::options::Options;

/// JSON text and arguments come in pieces of this many bytes, one a token.
pub const PIECE: usize = 8;

#[derive(Debug, PartialEq, Eq)]
pub enum Part {
    /// Reasoning that is shown (Anthropic's thinking), of so many words.
    Thought(u64),
    Words(u64),
    Json(String),
    /// The name is a token, then come the arguments.
    Call {
        name: String,
        arguments: String,
    },
}

#[derive(Debug, PartialEq, Eq)]
pub struct Draft {
    pub parts: Vec<Part>,
    /// The request's maximum was reached.
    pub is_cut: bool,
    /// Reasoning that is counted but not shown.
    pub hidden: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// With what was read from a cache and what was written to one.
    pub input: u64,
    pub cached: u64,
    pub written: u64,
    /// With the reasoning.
    pub output: u64,
    pub reasoning: u64,
}

/// The first words, joined, and where each ends: most answers are a copy of a piece of this.
static TEXT: LazyLock<(Vec<u8>, Vec<usize>)> = LazyLock::new(|| {
    let mut text = Vec::new();
    let ends = (0..4096).map(|n| {
        word(n, &mut text);
        text.len()
    });
    let ends = ends.collect();
    (text, ends)
});

// === impl Part ===

impl Part {
    pub fn tokens(&self) -> u64 {
        match self {
            Part::Thought(n) | Part::Words(n) => *n,
            Part::Json(text) => pieces(text),
            Part::Call { arguments, .. } => 1 + pieces(arguments),
        }
    }

    /// At most `left` tokens of it; `None` for none.
    fn cut(self, left: u64) -> Option<Part> {
        if left == 0 || self.tokens() == 0 {
            return None;
        }
        let bytes =
            |tokens: u64| usize::try_from(tokens).unwrap_or(usize::MAX).saturating_mul(PIECE);
        Some(match self {
            Part::Thought(n) => Part::Thought(n.min(left)),
            Part::Words(n) => Part::Words(n.min(left)),
            Part::Json(mut text) => {
                text.truncate(text.floor_char_boundary(bytes(left)));
                Part::Json(text)
            }
            Part::Call { name, mut arguments } => {
                arguments.truncate(arguments.floor_char_boundary(bytes(left - 1)));
                Part::Call { name, arguments }
            }
        })
    }
}

// === impl Draft ===

impl Draft {
    pub fn of(asked: &Asked, options: &Options, shows_thoughts: bool) -> Draft {
        let mut parts = Vec::new();
        let mut hidden = 0;
        match (shows_thoughts, asked.thinks) {
            (true, true) => parts.push(Part::Thought(options.reasoning.unwrap_or(4))),
            (true, false) => {}
            (false, _) => hidden = options.reasoning.unwrap_or(0),
        }
        for (name, arguments) in &asked.calls {
            parts.push(Part::Call { name: name.clone(), arguments: arguments.clone() });
        }
        match &asked.json {
            _ if !asked.calls.is_empty() => {}
            Some(text) => parts.push(Part::Json(text.clone())),
            None => parts.push(Part::Words(options.tokens)),
        }
        let wanted: u64 = hidden + parts.iter().map(Part::tokens).sum::<u64>();
        let most = asked.tokens_max.unwrap_or(u64::MAX);
        hidden = hidden.min(most);
        let mut left = most - hidden;
        let kept = parts.into_iter().filter_map(|part| {
            let part = part.cut(left)?;
            left -= part.tokens().min(left);
            Some(part)
        });
        Draft { parts: kept.collect(), is_cut: wanted > most, hidden }
    }

    /// Nothing is said: there are vectors, or a count.
    pub fn silence() -> Draft {
        Draft { parts: Vec::new(), is_cut: false, hidden: 0 }
    }

    /// What is sent, token by token.
    pub fn tokens(&self) -> u64 {
        self.parts.iter().map(Part::tokens).sum()
    }

    pub fn calls(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parts.iter().filter_map(|part| match part {
            Part::Call { name, arguments } => Some((name.as_str(), arguments.as_str())),
            _ => None,
        })
    }

    pub fn has_calls(&self) -> bool {
        self.calls().next().is_some()
    }

    pub fn usage(&self, asked: &Asked, options: &Options) -> Usage {
        let thoughts = self.parts.iter().map(|part| match part {
            Part::Thought(n) => *n,
            _ => 0,
        });
        let reasoning = self.hidden + thoughts.sum::<u64>();
        let cached = options.cached.min(asked.input);
        Usage {
            input: asked.input,
            cached,
            written: options.written.min(asked.input - cached),
            output: (self.hidden + self.tokens()) * asked.choices,
            reasoning: reasoning * asked.choices,
        }
    }
}

fn pieces(text: &str) -> u64 {
    text.len().div_ceil(PIECE) as u64
}

/// The nth piece of a text, cut between characters.
pub fn piece(text: &str, n: u64) -> &str {
    let at = usize::try_from(n).unwrap_or(usize::MAX).saturating_mul(PIECE);
    let from = text.floor_char_boundary(at);
    &text[from..text.floor_char_boundary(at.saturating_add(PIECE))]
}

/// Word `n` as it follows the one before.
pub fn word(n: u64, out: &mut Vec<u8>) {
    let space = if n == 0 { "" } else { " " };
    write!(out, "{space}t{n}").expect("a Vec takes everything");
}

/// Words 0 to `n`.
pub fn words(n: u64, out: &mut Vec<u8>) {
    let (text, ends) = &*TEXT;
    let table = ends.len() as u64;
    if let Some(end) = usize::try_from(n.min(table)).ok().and_then(|n| n.checked_sub(1)) {
        out.extend_from_slice(&text[..ends[end]]);
    }
    (table..n).for_each(|n| word(n, out));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_their_tokens_joined() {
        for n in [0, 1, 2, 11, 4096, 4100] {
            let (mut whole, mut joined) = (Vec::new(), Vec::new());
            words(n, &mut whole);
            (0..n).for_each(|n| word(n, &mut joined));
            assert_eq!(whole, joined);
        }
    }

    #[test]
    fn pieces_are_their_text_joined() {
        let text = "zürich, die größte Stadt — 東京 as well";
        let joined: String = (0..pieces(text)).map(|n| piece(text, n)).collect();
        assert_eq!(joined, text);
    }

    #[test]
    fn a_cut_leaves_as_many_tokens_as_were_allowed() {
        let call = || Part::Call { name: "f".into(), arguments: "x".repeat(50) };
        for left in 1..12 {
            assert_eq!(call().cut(left).unwrap().tokens(), left.min(8));
            assert_eq!(Part::Words(5).cut(left).unwrap().tokens(), left.min(5));
        }
        assert_eq!(call().cut(0), None);
    }
}
