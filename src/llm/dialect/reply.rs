//! What a model answered, in no dialect: whole, and as the events of a stream.
//!
//! A `source` reads one dialect into it, a `sink` writes another from it. Invariant of a stream:
//! `Start` comes first, `Arguments` belong to the `Tool` before them, `Stop` comes after all
//! content and `End` last, if it comes: without it the answer is not complete.

use std::borrow::Cow;

use super::error::Kind;
use super::json::Json;
use crate::llm::Usage;

/// A whole answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reply<'a> {
    /// As the provider named it; empty if it did not.
    pub id: Cow<'a, str>,
    pub blocks: Vec<Block<'a>>,
    pub stop: Stop,
    /// The stop sequence that was met, if the provider says which.
    pub sequence: Option<Cow<'a, str>>,
    pub usage: Usage,
}

/// A piece of an answer's content.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Block<'a> {
    Text(Cow<'a, str>),
    /// What the model said in place of an answer.
    Refusal(Cow<'a, str>),
    Thinking {
        text: Cow<'a, str>,
        signature: Cow<'a, str>,
    },
    /// Thinking that only its provider can read.
    Redacted(Cow<'a, str>),
    Tool {
        id: Cow<'a, str>,
        name: Cow<'a, str>,
        input: Input<'a>,
    },
}

/// What a tool is called with.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Input<'a> {
    /// As Anthropic has it.
    Value(Json<'a>),
    /// As OpenAI has it: the model's text, which need not be JSON.
    Text(Cow<'a, str>),
}

/// Why the model stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    End,
    Sequence,
    Length,
    Tools,
    Refusal,
}

/// A step of a streamed answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Event<'a> {
    Start {
        id: &'a str,
        /// What is known of it before the end.
        usage: Usage,
    },
    Text(&'a str),
    Refusal(&'a str),
    Thinking(&'a str),
    /// Ends a block of thinking.
    Signature(&'a str),
    Redacted(&'a str),
    Tool {
        id: &'a str,
        name: &'a str,
    },
    Arguments(&'a str),
    Stop {
        stop: Stop,
        sequence: Option<&'a str>,
        usage: Usage,
    },
    Ping,
    Failed {
        kind: Kind,
        message: &'a str,
    },
    End,
}

// === impl Stop ===

impl Stop {
    pub(super) fn of_messages(word: Option<&str>) -> Stop {
        match word {
            Some("stop_sequence") => Stop::Sequence,
            Some("max_tokens" | "model_context_window_exceeded") => Stop::Length,
            Some("tool_use") => Stop::Tools,
            Some("refusal") => Stop::Refusal,
            // `end_turn`, `pause_turn` and what may come yet.
            _ => Stop::End,
        }
    }

    pub(super) fn of_chat(word: Option<&str>) -> Stop {
        match word {
            Some("length") => Stop::Length,
            Some("tool_calls" | "function_call") => Stop::Tools,
            Some("content_filter") => Stop::Refusal,
            _ => Stop::End,
        }
    }

    pub(super) fn messages(self) -> &'static str {
        match self {
            Stop::End => "end_turn",
            Stop::Sequence => "stop_sequence",
            Stop::Length => "max_tokens",
            Stop::Tools => "tool_use",
            Stop::Refusal => "refusal",
        }
    }

    pub(super) fn chat(self) -> &'static str {
        match self {
            Stop::End | Stop::Sequence => "stop",
            Stop::Length => "length",
            Stop::Tools => "tool_calls",
            Stop::Refusal => "content_filter",
        }
    }

    /// With calls in an answer, its end is that they be made: some servers say `stop` all the same;
    /// without any, there is nothing to call.
    pub(super) fn with_calls(self, calls: bool) -> Stop {
        match self {
            Stop::End | Stop::Sequence if calls => Stop::Tools,
            Stop::Tools if !calls => Stop::End,
            other => other,
        }
    }
}

// === impl Input ===

impl<'a> Input<'a> {
    /// As a JSON object. A text that is none is wrapped as Anthropic's guide to fine-grained tool
    /// streaming says, so that the model sees its own mistake when it comes back.
    pub(super) fn into_object(self) -> Json<'a> {
        let text = match self {
            Input::Value(value) => return value,
            Input::Text(text) => text,
        };
        if text.trim().is_empty() {
            return Json::Object(Vec::new());
        }
        let read = Json::parse(text.as_bytes()).ok().filter(Json::is_object);
        match read.map(Json::into_owned) {
            Some(object) => object,
            None => Json::object([("INVALID_JSON", Json::Text(text))]),
        }
    }

    /// As the text of a JSON object.
    pub(super) fn into_text(self) -> Cow<'a, str> {
        match self {
            Input::Value(value) => Cow::Owned(value.to_text()),
            Input::Text(text) => text,
        }
    }
}
