//! OpenAI's chat completions. Thinking goes into `reasoning_content`, which OpenAI itself does not
//! have, but the servers that speak its dialect and the clients that show thinking do.

use std::borrow::Cow;

use super::super::json::{Json, write_text};
use super::super::reply::{Block, Event, Reply};
use super::super::{Back, Stamp, usage};
use crate::llm::Dialect;

/// A stream of chunks while it is written.
#[derive(Debug)]
pub(in super::super) struct Writer {
    /// A chunk up to its delta; the id comes with the first event.
    head: Vec<u8>,
    stamp_id: String,
    created: u64,
    model: String,
    wants_usage: bool,
    calls: u64,
}

pub(super) fn whole<'a>(reply: Reply<'a>, back: &'a Back, stamp: &Stamp<'_>) -> Json<'a> {
    let (mut text, mut thinking, mut refusal) = (None, None, None);
    let mut calls = Vec::new();
    for block in reply.blocks {
        match block {
            Block::Text(part) => add(&mut text, part),
            Block::Refusal(part) => add(&mut refusal, part),
            Block::Thinking { text: part, .. } => add(&mut thinking, part),
            Block::Redacted(_) => {}
            Block::Tool { id, name, input } => {
                let function = Json::object([
                    ("name", Json::Text(name)),
                    ("arguments", Json::Text(input.into_text())),
                ]);
                calls.push(Json::object([
                    ("id", Json::Text(id)),
                    ("type", Json::text("function")),
                    ("function", function),
                ]));
            }
        }
    }
    let content = match text {
        Some(text) => Json::Text(text),
        None if !calls.is_empty() || refusal.is_some() => Json::Null,
        None => Json::text(""),
    };
    let mut message = vec![
        (Cow::Borrowed("role"), Json::text("assistant")),
        (Cow::Borrowed("content"), content),
        (Cow::Borrowed("refusal"), refusal.map_or(Json::Null, Json::Text)),
    ];
    if let Some(thinking) = thinking.filter(|text| !text.is_empty()) {
        message.push((Cow::Borrowed("reasoning_content"), Json::Text(thinking)));
    }
    if !calls.is_empty() {
        message.push((Cow::Borrowed("tool_calls"), Json::List(calls)));
    }
    let choice = Json::object([
        ("index", 0.into()),
        ("message", Json::Object(message)),
        ("logprobs", Json::Null),
        ("finish_reason", Json::text(reply.stop.chat())),
    ]);
    let id = if reply.id.is_empty() { made_id(stamp.id).into() } else { reply.id };
    Json::object([
        ("id", Json::Text(id)),
        ("object", Json::text("chat.completion")),
        ("created", stamp.unix.into()),
        ("model", Json::text(&*back.model)),
        ("choices", Json::List(vec![choice])),
        ("usage", usage::to_chat(&reply.usage)),
    ])
}

fn add<'a>(text: &mut Option<Cow<'a, str>>, part: Cow<'a, str>) {
    match text {
        Some(text) => text.to_mut().push_str(&part),
        None => *text = Some(part),
    }
}

fn made_id(stamp: &str) -> String {
    format!("chatcmpl-{stamp}")
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(back: &Back, stamp: &Stamp<'_>) -> Writer {
        Writer {
            head: Vec::new(),
            stamp_id: stamp.id.to_owned(),
            created: stamp.unix,
            model: back.model.clone(),
            wants_usage: back.usage,
            calls: 0,
        }
    }

    pub(super) fn event(&mut self, event: Event<'_>, out: &mut Vec<u8>) {
        match event {
            Event::Start { id, .. } => {
                self.begin(id);
                self.delta(out, |out| out.extend(br#"{"role":"assistant","content":""}"#));
            }
            Event::Text(text) => self.delta(out, |out| pair(br#"{"content":"#, text, b"}", out)),
            Event::Refusal(text) => self.delta(out, |out| pair(br#"{"refusal":"#, text, b"}", out)),
            Event::Thinking(text) => {
                self.delta(out, |out| pair(br#"{"reasoning_content":"#, text, b"}", out));
            }
            Event::Signature(_) | Event::Redacted(_) => {}
            Event::Tool { id, name } => {
                let index = self.calls;
                self.calls += 1;
                self.delta(out, |out| {
                    out.extend(format!(r#"{{"tool_calls":[{{"index":{index},"id":"#).bytes());
                    write_text(id, out);
                    pair(br#","type":"function","function":{"name":"#, name, b"", out);
                    out.extend(br#","arguments":""}}]}"#);
                });
            }
            Event::Arguments(part) => {
                let index = self.calls.saturating_sub(1);
                self.delta(out, |out| {
                    out.extend(format!(r#"{{"tool_calls":[{{"index":{index},"#).bytes());
                    pair(br#""function":{"arguments":"#, part, b"}}]}", out);
                });
            }
            Event::Stop { stop, usage, .. } => {
                self.chunk(out, Some(stop.chat()), |out| out.extend(b"{}"));
                if self.wants_usage {
                    let begin = self.head.len() - CHOICE.len();
                    out.extend(&self.head[..begin]);
                    out.extend(br#"[],"usage":"#);
                    usage::to_chat(&usage).write(out);
                    out.extend(b"}\n\n");
                }
            }
            // A comment: it keeps the connection warm and no reader of events sees it.
            Event::Ping => out.extend(b": ping\n\n"),
            Event::Failed { kind, message } => {
                out.extend(b"data: ");
                kind.body(Dialect::OpenAi, message, None, None).write(out);
                out.extend(b"\n\n");
            }
            Event::End => out.extend(b"data: [DONE]\n\n"),
        }
    }

    fn begin(&mut self, id: &str) {
        let made;
        let id = match id {
            "" => {
                made = made_id(&self.stamp_id);
                &made
            }
            id => id,
        };
        let out = &mut self.head;
        pair(br#"data: {"id":"#, id, br#","object":"chat.completion.chunk","#, out);
        out.extend(format!(r#""created":{},"model":"#, self.created).bytes());
        pair(b"", &self.model, br#","choices":"#, out);
        out.extend(CHOICE);
    }

    fn delta(&self, out: &mut Vec<u8>, delta: impl FnOnce(&mut Vec<u8>)) {
        self.chunk(out, None, delta);
    }

    fn chunk(&self, out: &mut Vec<u8>, finish: Option<&str>, delta: impl FnOnce(&mut Vec<u8>)) {
        out.extend(&self.head);
        delta(out);
        out.extend(br#","logprobs":null,"finish_reason":"#);
        match finish {
            Some(word) => write_text(word, out),
            None => out.extend(b"null"),
        }
        out.extend(b"}]");
        if self.wants_usage {
            out.extend(br#","usage":null"#);
        }
        out.extend(b"}\n\n");
    }
}

/// How the one choice of a chunk begins.
const CHOICE: &[u8] = br#"[{"index":0,"delta":"#;

/// A text between two pieces of JSON.
fn pair(before: &[u8], text: &str, behind: &[u8], out: &mut Vec<u8>) {
    out.extend(before);
    write_text(text, out);
    out.extend(behind);
}
