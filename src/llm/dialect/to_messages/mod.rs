//! Requests to a provider that speaks Anthropic's Messages, from either of OpenAI's endpoints.
//!
//! What both endpoints have is here: a [`Draft`] gathers turns, tools and wishes, and
//! [`Draft::finish`] settles those that contradict each other at Anthropic (thinking, a forced
//! tool, a temperature, JSON mode).

pub(super) mod chat;
mod parts;
pub(super) mod responses;
mod settle;
mod tools;

use std::borrow::Cow;

use super::json::{Json, Object};
use super::{Ask, Back, Translated, Untranslatable};
use crate::llm::Endpoint;

/// A request while it is gathered.
#[derive(Debug)]
struct Draft<'a> {
    max_tokens: u64,
    system: Vec<Json<'a>>,
    turns: Vec<Turn<'a>>,
    tools: Vec<Json<'a>>,
    choice: Choice<'a>,
    /// False asks for one call at a time.
    parallel: Option<bool>,
    effort: Option<Cow<'a, str>>,
    /// The client asks to see a summary of the thinking.
    summary: bool,
    format: Format<'a>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<u64>,
    /// Fields that need no settling.
    rest: Object<'a>,
}

/// What one side says before the other speaks.
#[derive(Debug)]
struct Turn<'a> {
    assistant: bool,
    blocks: Vec<Json<'a>>,
}

/// Which tools the model may or must call.
#[derive(Debug, PartialEq)]
enum Choice<'a> {
    /// The client has not said.
    Open,
    Auto,
    None,
    Any,
    Tool(Cow<'a, str>),
}

/// What the answer must be.
#[derive(Debug)]
enum Format<'a> {
    Text,
    /// A JSON object, of that schema if there is one.
    Json {
        schema: Option<Json<'a>>,
        description: Option<Cow<'a, str>>,
    },
}

// === impl Draft ===

impl<'a> Draft<'a> {
    fn new(ask: &Ask<'_>) -> Draft<'a> {
        Draft {
            max_tokens: ask.output_max,
            system: Vec::new(),
            turns: Vec::new(),
            tools: Vec::new(),
            choice: Choice::Open,
            parallel: None,
            effort: None,
            summary: false,
            format: Format::Text,
            temperature: None,
            top_p: None,
            top_k: None,
            rest: Vec::new(),
        }
    }

    /// Adds to the turn of that side: Anthropic wants results of tools together, and the question
    /// that follows them in the same turn.
    fn say(&mut self, assistant: bool, blocks: Vec<Json<'a>>) {
        if blocks.is_empty() {
            return;
        }
        match self.turns.last_mut() {
            Some(turn) if turn.assistant == assistant => turn.blocks.extend(blocks),
            _ => self.turns.push(Turn { assistant, blocks }),
        }
    }

    fn rest(&mut self, key: &'static str, value: Json<'a>) {
        self.rest.push((Cow::Borrowed(key), value));
    }

    /// The whole request.
    fn finish(mut self, ask: &Ask<'_>, mut back: Back) -> Result<Translated, Untranslatable> {
        let settled = self.settle(ask.model, &mut back)?;
        let mut pairs: Object<'_> = vec![
            (Cow::Borrowed("model"), Json::text(ask.model)),
            (Cow::Borrowed("max_tokens"), self.max_tokens.into()),
        ];
        let mut add = |key, value| pairs.push((Cow::Borrowed(key), value));
        match &mut *self.system {
            [] => {}
            // One plain text stands for itself.
            [Json::Object(block)] if block.len() == 2 => {
                add("system", std::mem::replace(&mut block[1].1, Json::Null));
            }
            blocks => add("system", Json::List(blocks.iter_mut().map(take).collect())),
        }
        if let Some(last) = self.turns.last_mut().filter(|turn| turn.assistant) {
            trim(last);
        }
        add("messages", Json::List(self.turns.into_iter().map(Turn::into_json).collect()));
        if !self.tools.is_empty() {
            add("tools", Json::List(self.tools));
        }
        for (key, value) in settled.into_iter().chain(self.rest) {
            pairs.push((key, value));
        }
        let mut body = Vec::with_capacity(ask.body.len() + 256);
        Json::Object(pairs).write(&mut body);
        Ok(Translated { endpoint: Endpoint::Messages, body, back })
    }
}

fn take<'a>(json: &mut Json<'a>) -> Json<'a> {
    std::mem::replace(json, Json::Null)
}

/// Anthropic refuses a last turn of the assistant that ends in white space.
fn trim(turn: &mut Turn<'_>) {
    let Some(Json::Object(block)) = turn.blocks.last_mut() else { return };
    for (key, value) in block {
        if let ("text", Json::Text(text)) = (&**key, value) {
            *text = Cow::Owned(text.trim_end().to_owned());
        }
    }
}

/// A block of text.
fn text_block<'a>(text: impl Into<Cow<'a, str>>) -> Json<'a> {
    Json::object([("type", Json::text("text")), ("text", Json::text(text))])
}

// === impl Turn ===

impl<'a> Turn<'a> {
    fn into_json(mut self) -> Json<'a> {
        let role = if self.assistant { "assistant" } else { "user" };
        let plain = match &mut *self.blocks {
            [Json::Object(block)] if block.len() == 2 && block[1].0 == "text" => {
                Some(take(&mut block[1].1))
            }
            _ => None,
        };
        let content = plain.unwrap_or(Json::List(self.blocks));
        Json::object([("role", Json::text(role)), ("content", content)])
    }
}
