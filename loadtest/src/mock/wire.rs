//! The door to the dialects: an answer, and how each endpoint writes it, whole or as the events of
//! a stream. Owns what all of them share; how the bytes look is told in a file for each.
//!
//! Invariant: `begin`, then `open` / `token`s / `close` for every part, then `end`, is a complete
//! stream; whatever is cut out of the middle is not.

use std::cell::Cell;
use std::io::Write as _;

use super::asked::Asked;
use super::chat::Chat;
use super::draft::{self, Draft, Part, Usage};
use super::messages::Messages;
use super::options::Options;
use super::responses::Responses;
use super::text::Text;
use crate::sys;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Chat,
    Text,
    Responses,
    Embeddings,
    Messages,
    CountTokens,
}

/// What is said, to whom, and under which name.
pub struct Answer {
    pub id: String,
    pub created: u64,
    /// The model's name as a JSON string.
    pub model: String,
    pub draft: Draft,
    pub usage: Usage,
    pub choices: u64,
    /// The stream is to tell its usage.
    pub includes_usage: bool,
    /// Off: the usage is left out where it ought to be.
    pub tells_usage: bool,
    pub stamp: bool,
    /// Events so far, for dialects that number them.
    pub sequence: Cell<u64>,
}

/// One dialect's way of writing an answer.
pub trait Wire {
    /// The body of an answer that is not streamed.
    fn whole(&self, answer: &Answer, out: &mut Vec<u8>);
    fn begin(&self, answer: &Answer, out: &mut Vec<u8>);
    fn open(&self, answer: &Answer, part: usize, out: &mut Vec<u8>);
    fn token(&self, answer: &Answer, part: usize, n: u64, out: &mut Vec<u8>);
    fn close(&self, answer: &Answer, part: usize, out: &mut Vec<u8>);
    fn end(&self, answer: &Answer, out: &mut Vec<u8>);
}

pub const ENDPOINTS: [Endpoint; 6] = [
    Endpoint::Chat,
    Endpoint::Text,
    Endpoint::Responses,
    Endpoint::Embeddings,
    Endpoint::Messages,
    Endpoint::CountTokens,
];

// === impl Endpoint ===

impl Endpoint {
    /// By the end of the path: gateways and base URLs put all sorts of things before it.
    pub fn of(path: &str) -> Option<Endpoint> {
        let path = path.split('?').next().unwrap_or(path);
        ENDPOINTS.into_iter().find(|endpoint| path.ends_with(endpoint.path()))
    }

    pub fn path(self) -> &'static str {
        match self {
            Endpoint::Chat => "/chat/completions",
            Endpoint::Text => "/completions",
            Endpoint::Responses => "/responses",
            Endpoint::Embeddings => "/embeddings",
            Endpoint::Messages => "/messages",
            Endpoint::CountTokens => "/messages/count_tokens",
        }
    }

    pub fn is_anthropic(self) -> bool {
        matches!(self, Endpoint::Messages | Endpoint::CountTokens)
    }

    /// How its answers are written; `None` where there is nothing but a body.
    pub fn wire(self) -> Option<&'static dyn Wire> {
        match self {
            Endpoint::Chat => Some(&Chat),
            Endpoint::Text => Some(&Text),
            Endpoint::Responses => Some(&Responses),
            Endpoint::Messages => Some(&Messages),
            Endpoint::Embeddings | Endpoint::CountTokens => None,
        }
    }
}

// === impl Answer ===

impl Answer {
    pub fn new(
        endpoint: Endpoint,
        asked: &Asked,
        options: &Options,
        id: String,
        created: u64,
    ) -> Answer {
        let draft = match endpoint.wire() {
            Some(_) => Draft::of(asked, options, endpoint == Endpoint::Messages),
            None => Draft::silence(),
        };
        let usage = draft.usage(asked, options);
        let tells_usage = options.fault != Some(super::fault::Fault::NoUsage);
        Answer {
            id,
            created,
            model: quoted(&asked.model),
            draft,
            usage,
            choices: asked.choices,
            includes_usage: asked.includes_usage && tells_usage,
            tells_usage,
            stamp: options.stamp && asked.stream,
            sequence: Cell::new(0),
        }
    }

    /// The text of one token as the inside of a JSON string.
    pub fn token(&self, part: usize, n: u64, out: &mut Vec<u8>) {
        match &self.draft.parts[part] {
            Part::Thought(_) | Part::Words(_) => {
                draft::word(n, out);
                if self.stamp {
                    put(out, format_args!("@{}", sys::monotonic()));
                }
            }
            Part::Json(text) | Part::Call { arguments: text, .. } => {
                escape(draft::piece(text, n), out);
            }
        }
    }

    /// All tokens of a part as the inside of a JSON string.
    pub fn text(&self, part: usize, out: &mut Vec<u8>) {
        match &self.draft.parts[part] {
            Part::Thought(n) | Part::Words(n) => draft::words(*n, out),
            Part::Json(text) | Part::Call { arguments: text, .. } => escape(text, out),
        }
    }

    /// The number of the next event.
    pub fn next(&self) -> u64 {
        self.sequence.replace(self.sequence.get() + 1)
    }
}

pub fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a Vec takes everything");
}

/// As a JSON string.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn escape(text: &str, out: &mut Vec<u8>) {
    let quoted = quoted(text);
    out.extend_from_slice(&quoted.as_bytes()[1..quoted.len() - 1]);
}
