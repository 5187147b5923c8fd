//! Anthropic's messages: one object, or `message_start`, blocks one after another, `message_delta`
//! with the usage and `message_stop`.
//!
//! Thinking is shown to a client that asked for it only: many read `content[0].text`.

use super::super::json::{Json, write_text};
use super::super::reply::{Block, Event, Reply, Stop};
use super::super::{Back, Stamp, usage};
use crate::llm::{Dialect, Usage};

/// A stream of events while it is written.
#[derive(Debug)]
pub(in super::super) struct Writer {
    stamp_id: String,
    model: String,
    thinking: bool,
    /// The index of the next block.
    next: u64,
    open: Option<Open>,
}

/// The block under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Text,
    Thinking,
    Tool,
}

pub(super) fn whole<'a>(reply: Reply<'a>, back: &'a Back, stamp: &Stamp<'_>) -> Json<'a> {
    let mut content: Vec<Json<'a>> = Vec::with_capacity(reply.blocks.len());
    for block in reply.blocks {
        content.push(match block {
            Block::Text(text) | Block::Refusal(text) => {
                Json::object([("type", Json::text("text")), ("text", Json::Text(text))])
            }
            Block::Thinking { .. } | Block::Redacted(_) if !back.thinking => continue,
            Block::Thinking { text, signature } => Json::object([
                ("type", Json::text("thinking")),
                ("thinking", Json::Text(text)),
                ("signature", Json::Text(signature)),
            ]),
            Block::Redacted(data) => Json::object([
                ("type", Json::text("redacted_thinking")),
                ("data", Json::Text(data)),
            ]),
            Block::Tool { id, name, input } => Json::object([
                ("type", Json::text("tool_use")),
                ("id", Json::Text(id)),
                ("name", Json::Text(name)),
                ("input", input.into_object()),
            ]),
        });
    }
    let id = if reply.id.is_empty() { made_id(stamp.id).into() } else { reply.id };
    Json::object([
        ("id", Json::Text(id)),
        ("type", Json::text("message")),
        ("role", Json::text("assistant")),
        ("model", Json::text(&*back.model)),
        ("content", Json::List(content)),
        ("stop_reason", Json::text(reply.stop.messages())),
        ("stop_sequence", reply.sequence.map_or(Json::Null, Json::Text)),
        ("usage", usage::to_messages(&reply.usage)),
    ])
}

fn made_id(stamp: &str) -> String {
    format!("msg_{stamp}")
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(back: &Back, stamp: &Stamp<'_>) -> Writer {
        Writer {
            stamp_id: stamp.id.to_owned(),
            model: back.model.clone(),
            thinking: back.thinking,
            next: 0,
            open: None,
        }
    }

    pub(super) fn event(&mut self, event: Event<'_>, out: &mut Vec<u8>) {
        match event {
            Event::Start { id, usage } => self.start(id, &usage, out),
            Event::Text(text) | Event::Refusal(text) => {
                if self.open != Some(Open::Text) {
                    self.begin(Open::Text, br#"{"type":"text","text":""}"#, out);
                }
                self.delta(br#"{"type":"text_delta","text":"#, text, out);
            }
            Event::Thinking(_) | Event::Signature(_) | Event::Redacted(_) if !self.thinking => {}
            Event::Thinking(text) => {
                self.think(out);
                self.delta(br#"{"type":"thinking_delta","thinking":"#, text, out);
            }
            Event::Signature(text) => {
                self.think(out);
                self.delta(br#"{"type":"signature_delta","signature":"#, text, out);
                self.close(out);
            }
            Event::Redacted(data) => {
                let mut block = br#"{"type":"redacted_thinking","data":"#.to_vec();
                write_text(data, &mut block);
                block.push(b'}');
                self.begin(Open::Thinking, &block, out);
                self.close(out);
            }
            Event::Tool { id, name } => {
                let mut block = br#"{"type":"tool_use","id":"#.to_vec();
                write_text(id, &mut block);
                block.extend(br#","name":"#);
                write_text(name, &mut block);
                block.extend(br#","input":{}}"#);
                self.begin(Open::Tool, &block, out);
            }
            Event::Arguments(part) => {
                self.delta(br#"{"type":"input_json_delta","partial_json":"#, part, out);
            }
            Event::Stop { stop, sequence, usage } => self.stop(stop, sequence, &usage, out),
            Event::Ping => frame("ping", br#"{"type":"ping"}"#, out),
            Event::Failed { kind, message } => {
                out.extend(b"event: error\ndata: ");
                kind.body(Dialect::Anthropic, message, None, None).write(out);
                out.extend(b"\n\n");
            }
            Event::End => frame("message_stop", br#"{"type":"message_stop"}"#, out),
        }
    }

    fn start(&mut self, id: &str, usage: &Usage, out: &mut Vec<u8>) {
        let id = if id.is_empty() { made_id(&self.stamp_id) } else { id.to_owned() };
        let message = Json::object([
            ("id", Json::text(id)),
            ("type", Json::text("message")),
            ("role", Json::text("assistant")),
            ("model", Json::text(&*self.model)),
            ("content", Json::List(Vec::new())),
            ("stop_reason", Json::Null),
            ("stop_sequence", Json::Null),
            ("usage", usage::to_messages(usage)),
        ]);
        out.extend(b"event: message_start\ndata: ");
        Json::object([("type", Json::text("message_start")), ("message", message)]).write(out);
        out.extend(b"\n\n");
    }

    fn stop(&mut self, stop: Stop, sequence: Option<&str>, usage: &Usage, out: &mut Vec<u8>) {
        self.close(out);
        let delta = Json::object([
            ("stop_reason", Json::text(stop.messages())),
            ("stop_sequence", sequence.map_or(Json::Null, Json::text)),
        ]);
        out.extend(b"event: message_delta\ndata: ");
        Json::object([
            ("type", Json::text("message_delta")),
            ("delta", delta),
            ("usage", usage::to_messages(usage)),
        ])
        .write(out);
        out.extend(b"\n\n");
    }

    fn think(&mut self, out: &mut Vec<u8>) {
        if self.open != Some(Open::Thinking) {
            let block = br#"{"type":"thinking","thinking":"","signature":""}"#;
            self.begin(Open::Thinking, block, out);
        }
    }

    fn begin(&mut self, open: Open, block: &[u8], out: &mut Vec<u8>) {
        self.close(out);
        out.extend(b"event: content_block_start\ndata: ");
        out.extend(
            format!(r#"{{"type":"content_block_start","index":{},"content_block":"#, self.next)
                .bytes(),
        );
        out.extend(block);
        out.extend(b"}\n\n");
        self.open = Some(open);
        self.next += 1;
    }

    fn delta(&self, before: &[u8], text: &str, out: &mut Vec<u8>) {
        out.extend(b"event: content_block_delta\ndata: ");
        let index = self.next.saturating_sub(1);
        out.extend(format!(r#"{{"type":"content_block_delta","index":{index},"delta":"#).bytes());
        out.extend(before);
        write_text(text, out);
        out.extend(b"}}\n\n");
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if self.open.take().is_some() {
            let index = self.next - 1;
            let data = format!(r#"{{"type":"content_block_stop","index":{index}}}"#);
            frame("content_block_stop", data.as_bytes(), out);
        }
    }
}

fn frame(name: &str, data: &[u8], out: &mut Vec<u8>) {
    out.extend(b"event: ");
    out.extend(name.bytes());
    out.extend(b"\ndata: ");
    out.extend(data);
    out.extend(b"\n\n");
}
