//! The Responses API: one object with output items, or numbered events that tell how each item and
//! each part of it begins, grows and ends, and that end with the whole object.
//!
//! The end of every part and the last event repeat what was said, so a stream keeps the text of its
//! answer until then, up to a bound.

mod items;
mod stream;

use std::borrow::Cow;

pub(in super::super) use self::stream::Writer;

use self::items::{Content, Ids};
use super::super::json::{Json, Object};
use super::super::reply::{Block, Reply, Stop};
use super::super::{Back, Stamp, usage};
use crate::llm::Usage;

pub(super) fn whole<'a>(reply: Reply<'a>, back: &'a Back, stamp: &Stamp<'_>) -> Json<'a> {
    let ids = Ids::new(&reply.id, stamp.id);
    let mut output: Vec<Json<'a>> = Vec::new();
    let mut said: Vec<Content<'a>> = Vec::new();
    let last = reply.blocks.len().checked_sub(1);
    let cut = |at: usize| reply.stop == Stop::Length && Some(at) == last;
    let blocks = reply.blocks;
    for (at, block) in blocks.into_iter().enumerate() {
        match block {
            Block::Text(text) => match said.last_mut() {
                Some(Content::Text(before)) => before.to_mut().push_str(&text),
                _ => said.push(Content::Text(text)),
            },
            Block::Refusal(text) => said.push(Content::Refusal(text)),
            other => {
                end_message(&mut output, &mut said, &ids, false);
                let index = output.len();
                output.push(match other {
                    Block::Tool { id, name, input } => {
                        let arguments = input.into_text();
                        items::call(&ids, index, id, name, arguments, items::status(cut(at)))
                    }
                    Block::Redacted(data) => items::redacted(&ids, index, &data),
                    Block::Thinking { text, signature } => {
                        items::reasoning(&ids, index, Some(text), &signature)
                    }
                    Block::Text(_) | Block::Refusal(_) => unreachable!("they were matched before"),
                });
            }
        }
    }
    end_message(&mut output, &mut said, &ids, reply.stop == Stop::Length);
    let end = End { stop: reply.stop, usage: reply.usage };
    response(&ids, back, stamp.unix, Some(&end), Json::List(output))
}

fn end_message<'a>(output: &mut Vec<Json<'a>>, said: &mut Vec<Content<'a>>, ids: &Ids, cut: bool) {
    if !said.is_empty() {
        let content = said.drain(..).map(Content::into_json).collect();
        output.push(items::message(ids, output.len(), content, items::status(cut)));
    }
}

/// How an answer ended.
#[derive(Clone, Copy, Debug)]
struct End {
    stop: Stop,
    usage: Usage,
}

// === impl End ===

impl End {
    /// Its status, and why it is not complete.
    fn status(&self) -> (&'static str, Json<'static>) {
        let reason = |text| Json::object([("reason", Json::text(text))]);
        match self.stop {
            Stop::Length => ("incomplete", reason("max_output_tokens")),
            Stop::Refusal => ("incomplete", reason("content_filter")),
            Stop::End | Stop::Sequence | Stop::Tools => ("completed", Json::Null),
        }
    }
}

/// The whole object; without an end it is still in progress.
fn response<'a>(
    ids: &Ids,
    back: &'a Back,
    unix: u64,
    end: Option<&End>,
    output: Json<'a>,
) -> Json<'a> {
    let (status, incomplete) = end.map_or(("in_progress", Json::Null), End::status);
    let Json::Object(mut pairs) = Json::object([
        ("id", Json::text(ids.response())),
        ("object", Json::text("response")),
        ("created_at", unix.into()),
        ("status", Json::text(status)),
        ("background", Json::Bool(false)),
        ("error", Json::Null),
        ("incomplete_details", incomplete),
        ("model", Json::text(&*back.model)),
        ("output", output),
    ]) else {
        unreachable!("it was made an object")
    };
    if let Some(Json::Object(echo)) = &back.echo {
        let said: &Object<'static> = echo;
        pairs.extend(said.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    let usage = end.map_or(Json::Null, |end| usage::to_responses(&end.usage));
    pairs.push((Cow::Borrowed("usage"), usage));
    Json::Object(pairs)
}
