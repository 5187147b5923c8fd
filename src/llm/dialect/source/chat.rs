//! OpenAI's chat completions: one JSON object, or chunks with deltas and `[DONE]`.
//!
//! Deltas of several calls may alternate, while those who read events are told of one call after
//! another: what belongs to a later call waits until the arguments of the one before are a whole
//! JSON object, or the end has come. Servers differ from OpenAI in what they leave out (ids,
//! indexes, roles) and add (`reasoning_content`); all of that is read.

use std::borrow::Cow;

use super::super::Malformed;
use super::super::error::Kind;
use super::super::json::Json;
use super::super::reply::{Block, Event, Input, Reply, Stop};
use super::super::usage::of_chat;
use super::Take;
use crate::bounds::{HELD_BACK_BYTES_MAX, TOOL_CALLS_MAX};
use crate::llm::Usage;

/// A chat completion while it is read.
#[derive(Debug, Default)]
pub(in super::super) struct Reader {
    started: bool,
    calls: Vec<Call>,
    /// Of the calls, so many have been told of whole; the next one is the one under way.
    told: usize,
    /// Text that came while a call was under way.
    late: String,
    /// All bytes that wait.
    waiting: usize,
    refused: bool,
    finish: Option<Finish>,
    usage: Usage,
}

/// A call while it is read.
#[derive(Debug)]
struct Call {
    /// Its place as the server numbers them.
    index: u64,
    id: String,
    name: String,
    /// What waits to be told.
    waiting: String,
    /// It has been told of.
    begun: bool,
    braces: Braces,
}

/// Whether the arguments are a whole object yet.
#[derive(Clone, Copy, Debug, Default)]
struct Braces {
    depth: u32,
    begun: bool,
    in_text: bool,
    escaped: bool,
}

#[derive(Debug)]
struct Finish {
    stop: Stop,
    sequence: Option<String>,
}

pub(super) fn whole(json: Json<'_>) -> Result<Reply<'_>, Malformed> {
    let Json::Object(pairs) = json else {
        return Err(Malformed::new("the answer is not an object"));
    };
    let (mut id, mut choice, mut usage) = (None, None, None);
    for (key, value) in pairs {
        match (&*key, value) {
            ("id", Json::Text(text)) => id = Some(text),
            ("choices", Json::List(choices)) => choice = choices.into_iter().next(),
            ("usage", value) => usage = of_chat(&value),
            _ => {}
        }
    }
    let Some(Json::Object(choice)) = choice else {
        return Err(Malformed::new("the answer has no choices"));
    };
    let (mut message, mut stop, mut sequence) = (None, None, None);
    for (key, value) in choice {
        match (&*key, value) {
            ("message", Json::Object(pairs)) => message = Some(pairs),
            ("finish_reason", Json::Text(text)) => stop = Some(text),
            // vLLM says here which sequence it met.
            ("stop_reason", Json::Text(text)) => sequence = Some(text),
            _ => {}
        }
    }
    let message = message.ok_or(Malformed::new("the choice has no message"))?;
    let blocks = blocks(message)?;
    let stop = ending(stop.as_deref(), sequence.is_some(), &blocks);
    let sequence = sequence.filter(|_| stop == Stop::Sequence);
    let id = id.unwrap_or_default();
    Ok(Reply { id, blocks, stop, sequence, usage: usage.unwrap_or_default() })
}

fn ending(word: Option<&str>, met: bool, blocks: &[Block<'_>]) -> Stop {
    let calls = blocks.iter().any(|block| matches!(block, Block::Tool { .. }));
    let refused = blocks.iter().any(|block| matches!(block, Block::Refusal(_)));
    match Stop::of_chat(word).with_calls(calls) {
        Stop::End if refused => Stop::Refusal,
        Stop::End if met => Stop::Sequence,
        other => other,
    }
}

/// Thinking, then text, then calls: the order in which models say them.
fn blocks<'a>(message: Vec<(Cow<'a, str>, Json<'a>)>) -> Result<Vec<Block<'a>>, Malformed> {
    let (mut thinking, mut text, mut refusal, mut calls) = (None, None, None, Vec::new());
    for (key, value) in message {
        match (&*key, value) {
            ("reasoning_content" | "reasoning", Json::Text(value)) => thinking = Some(value),
            ("content", Json::Text(value)) => text = Some(value),
            ("content", Json::List(parts)) => text = Some(Cow::Owned(joined(&parts))),
            ("refusal", Json::Text(value)) => refusal = Some(value),
            ("tool_calls", Json::List(items)) => {
                for (at, item) in items.into_iter().enumerate() {
                    calls.push(call(at, item)?);
                }
            }
            _ => {}
        }
    }
    let mut blocks = Vec::new();
    let some = |text: &Cow<'_, str>| !text.is_empty();
    if let Some(text) = thinking.filter(some) {
        blocks.push(Block::Thinking { text, signature: Cow::Borrowed("") });
    }
    blocks.extend(text.filter(some).map(Block::Text));
    blocks.extend(refusal.filter(some).map(Block::Refusal));
    blocks.extend(calls);
    Ok(blocks)
}

/// The texts of a content in parts (Mistral's).
fn joined(parts: &[Json<'_>]) -> String {
    let texts = parts.iter().filter(|part| part.get("type").as_str() == Some("text"));
    texts.filter_map(|part| part.get("text").as_str()).collect()
}

fn call<'a>(at: usize, item: Json<'a>) -> Result<Block<'a>, Malformed> {
    let (mut id, mut function) = (None, None);
    if at >= TOOL_CALLS_MAX {
        return Err(Malformed::new("too many calls in the answer"));
    }
    if let Json::Object(pairs) = item {
        for (key, value) in pairs {
            match (&*key, value) {
                ("id", Json::Text(text)) => id = Some(text),
                ("function", Json::Object(pairs)) => function = Some(pairs),
                _ => {}
            }
        }
    }
    let (mut name, mut input) = (None, Input::Text(Cow::Borrowed("")));
    for (key, value) in function.into_iter().flatten() {
        match (&*key, value) {
            ("name", Json::Text(text)) => name = Some(text),
            ("arguments", Json::Text(text)) => input = Input::Text(text),
            // Some servers forget to write it as a text.
            ("arguments", value @ Json::Object(_)) => input = Input::Value(value),
            _ => {}
        }
    }
    let named = name.filter(|name| !name.is_empty());
    let name = named.ok_or(Malformed::new("a call in the answer has no name"))?;
    let id = id.filter(|id| !id.is_empty()).unwrap_or_else(|| made_id(at));
    Ok(Block::Tool { id, name, input })
}

/// The id of a call whose server gave it none.
fn made_id(at: usize) -> Cow<'static, str> {
    Cow::Owned(format!("call_{at}"))
}

// === impl Reader ===

impl Reader {
    pub(super) fn event(
        &mut self,
        name: &[u8],
        data: &[u8],
        take: Take<'_>,
    ) -> Result<(), Malformed> {
        if data.trim_ascii() == b"[DONE]" {
            return self.end(take);
        }
        let json = Json::parse(data).map_err(|_| Malformed::new("an event is not JSON"))?;
        let error = match json.get("error") {
            Json::Null if name == b"error" => &json,
            error => error,
        };
        if !error.is_null() {
            let message = error.get("message").as_str().or(error.as_str());
            let kind = Kind::of_chat(error.get("type").as_str(), error.get("code"));
            return take(Event::Failed { kind, message: message.unwrap_or("the provider failed") });
        }
        if let Some(usage) = of_chat(json.get("usage")) {
            self.usage = usage;
        }
        // `n` is 1; what stands at other places belongs to nobody.
        let ours = |choice: &&Json| choice.get("index").as_u64().unwrap_or(0) == 0;
        let Some(choice) = json.get("choices").items().iter().find(ours) else { return Ok(()) };
        // Azure's first chunk has neither choices nor an id.
        if !std::mem::replace(&mut self.started, true) {
            let id = json.get("id").as_str().unwrap_or_default();
            take(Event::Start { id, usage: self.usage })?;
        }
        self.delta(choice.get("delta"), take)?;
        if let Some(word) = choice.get("finish_reason").as_str() {
            let sequence = choice.get("stop_reason").as_str().map(str::to_owned);
            let stop = Stop::of_chat(Some(word));
            // Some servers say it with every chunk: the last one counts, and `[DONE]` ends it.
            self.finish = Some(Finish { stop, sequence });
        }
        Ok(())
    }

    fn delta(&mut self, delta: &Json, take: Take<'_>) -> Result<(), Malformed> {
        let text = |key: &str| delta.get(key).as_str().unwrap_or_default();
        let content = match delta.get("content") {
            Json::List(parts) => Cow::Owned(joined(parts)),
            content => Cow::Borrowed(content.as_str().unwrap_or_default()),
        };
        let calls = delta.get("tool_calls").items();
        let thinking = match text("reasoning_content") {
            "" => text("reasoning"),
            thinking => thinking,
        };
        let refusal = text("refusal");
        // Thinking that comes while a call is under way is not part of what it says.
        if !thinking.is_empty() && self.free(take)? {
            take(Event::Thinking(thinking))?;
        }
        self.refused |= !refusal.is_empty();
        for (text, event) in
            [(&*content, Event::Text as fn(_) -> _), (refusal, Event::Refusal as fn(_) -> _)]
        {
            if !text.is_empty() {
                if self.free(take)? {
                    take(event(text))?;
                } else {
                    self.late.push_str(text);
                    self.waiting += text.len();
                    self.bounded()?;
                }
            }
        }
        for call in calls {
            self.call(call, take)?;
        }
        Ok(())
    }

    fn call(&mut self, delta: &Json, take: Take<'_>) -> Result<(), Malformed> {
        let text = |json: &Json, key: &str| json.get(key).as_str().unwrap_or_default().to_owned();
        let function = delta.get("function");
        let (id, name) = (text(delta, "id"), text(function, "name"));
        let arguments = match function.get("arguments") {
            Json::Text(text) => Cow::Borrowed(&**text),
            value @ Json::Object(_) => Cow::Owned(value.to_text()),
            _ => Cow::Borrowed(""),
        };
        let at = self.place(delta.get("index").as_u64(), &id, &name)?;
        let call = &mut self.calls[at];
        if call.id.is_empty() {
            call.id = id;
        }
        if call.name.is_empty() {
            call.name = name;
        }
        if at < self.told {
            return match arguments.trim() {
                "" => Ok(()),
                _ => Err(Malformed::new("a call goes on after its end")),
            };
        }
        call.braces.read(&arguments);
        call.waiting.push_str(&arguments);
        self.waiting += arguments.len();
        self.advance(take)?;
        self.bounded()
    }

    /// Which call a delta belongs to. Some servers number every call 0, or none, and give each an
    /// id of its own.
    fn place(&mut self, index: Option<u64>, id: &str, name: &str) -> Result<usize, Malformed> {
        let found = match index {
            Some(index) => self.calls.iter().rposition(|call| call.index == index),
            None if id.is_empty() => self.calls.len().checked_sub(1),
            None => self.calls.iter().rposition(|call| call.id == id),
        };
        let other = |at: &usize| {
            let known = &self.calls[*at].id;
            !id.is_empty() && !name.is_empty() && !known.is_empty() && known != id
        };
        if let Some(at) = found.filter(|at| !other(at)) {
            return Ok(at);
        }
        if self.calls.len() >= TOOL_CALLS_MAX {
            return Err(Malformed::new("too many calls in the answer"));
        }
        self.calls.push(Call {
            index: index.unwrap_or(self.calls.len() as u64),
            id: String::new(),
            name: String::new(),
            waiting: String::new(),
            begun: false,
            braces: Braces::default(),
        });
        Ok(self.calls.len() - 1)
    }

    /// Tells of the call under way what is known of it, and of the next one if that is whole.
    fn advance(&mut self, take: Take<'_>) -> Result<(), Malformed> {
        while let Some(call) = self.calls.get_mut(self.told) {
            if call.name.is_empty() {
                return Ok(());
            }
            self.waiting -= call.waiting.len();
            call.tell(self.told, take)?;
            // A server that numbers them alike may say more of the last one.
            if !call.braces.whole() || self.told + 1 == self.calls.len() {
                return Ok(());
            }
            self.told += 1;
        }
        Ok(())
    }

    /// Whether no call is under way, so that other content may be told of.
    fn free(&mut self, take: Take<'_>) -> Result<bool, Malformed> {
        if self.told < self.calls.len() && self.told + 1 == self.calls.len() {
            let last = &self.calls[self.told];
            if last.begun && last.braces.whole() {
                self.told += 1;
            }
        }
        self.advance(take)?;
        Ok(self.told == self.calls.len())
    }

    fn bounded(&self) -> Result<(), Malformed> {
        if self.waiting > HELD_BACK_BYTES_MAX {
            return Err(Malformed::new("too much of the answer comes out of turn"));
        }
        Ok(())
    }

    /// `[DONE]`.
    fn end(&mut self, take: Take<'_>) -> Result<(), Malformed> {
        let Some(finish) = self.finish.take() else {
            return Err(Malformed::new("the stream ends without a finish reason"));
        };
        for at in self.told..self.calls.len() {
            if self.calls[at].name.is_empty() {
                return Err(Malformed::new("a call in the answer has no name"));
            }
            self.calls[at].tell(at, take)?;
        }
        if !self.late.is_empty() {
            take(Event::Text(&std::mem::take(&mut self.late)))?;
        }
        let stop = match finish.stop.with_calls(!self.calls.is_empty()) {
            Stop::End if self.refused => Stop::Refusal,
            Stop::End if finish.sequence.is_some() => Stop::Sequence,
            other => other,
        };
        let sequence = finish.sequence.as_deref().filter(|_| stop == Stop::Sequence);
        take(Event::Stop { stop, sequence, usage: self.usage })?;
        take(Event::End)
    }
}

// === impl Call ===

impl Call {
    fn tell(&mut self, at: usize, take: Take<'_>) -> Result<(), Malformed> {
        if !std::mem::replace(&mut self.begun, true) {
            if self.id.is_empty() {
                self.id = made_id(at).into_owned();
            }
            take(Event::Tool { id: &self.id, name: &self.name })?;
        }
        if !self.waiting.is_empty() {
            take(Event::Arguments(&self.waiting))?;
            self.waiting.clear();
        }
        Ok(())
    }
}

// === impl Braces ===

impl Braces {
    fn read(&mut self, part: &str) {
        for byte in part.bytes() {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_text => self.escaped = true,
                b'"' => self.in_text = !self.in_text,
                _ if self.in_text => {}
                b'{' | b'[' => {
                    self.depth = self.depth.saturating_add(1);
                    self.begun = true;
                }
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    fn whole(self) -> bool {
        self.begun && self.depth == 0
    }
}
