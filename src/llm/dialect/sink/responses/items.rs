//! Output items and their ids: made from the id of the answer and the item's place, so that the
//! same answer always has the same.

use std::borrow::Cow;

use super::super::super::json::Json;
use super::super::super::reasoning::{seal_redacted, seal_signature};

/// What ids of an answer are made of.
#[derive(Clone, Debug)]
pub(super) struct Ids {
    base: String,
}

/// A part of a message.
#[derive(Clone, Debug)]
pub(super) enum Content<'a> {
    Text(Cow<'a, str>),
    Refusal(Cow<'a, str>),
}

// === impl Ids ===

impl Ids {
    /// `msg_0123` is the message's, the response it becomes is `resp_0123`.
    pub(super) fn new(reply: &str, stamp: &str) -> Ids {
        let base = reply.split_once('_').map_or(reply, |(_, rest)| rest);
        let base = if base.is_empty() { stamp } else { base };
        Ids { base: base.to_owned() }
    }

    pub(super) fn response(&self) -> String {
        format!("resp_{}", self.base)
    }

    pub(super) fn item(&self, kind: &str, index: usize) -> String {
        format!("{kind}_{}_{index}", self.base)
    }
}

// === impl Content ===

impl<'a> Content<'a> {
    pub(super) fn into_json(self) -> Json<'a> {
        match self {
            Content::Text(text) => Json::object([
                ("type", Json::text("output_text")),
                ("text", Json::Text(text)),
                ("annotations", Json::List(Vec::new())),
                ("logprobs", Json::List(Vec::new())),
            ]),
            Content::Refusal(text) => {
                Json::object([("type", Json::text("refusal")), ("refusal", Json::Text(text))])
            }
        }
    }
}

/// The status of an item that has ended.
pub(super) fn status(cut: bool) -> &'static str {
    if cut { "incomplete" } else { "completed" }
}

pub(super) fn message<'a>(
    ids: &Ids,
    index: usize,
    content: Vec<Json<'a>>,
    status: &'static str,
) -> Json<'a> {
    Json::object([
        ("id", Json::text(ids.item("msg", index))),
        ("type", Json::text("message")),
        ("status", Json::text(status)),
        ("role", Json::text("assistant")),
        ("content", Json::List(content)),
    ])
}

pub(super) fn call<'a>(
    ids: &Ids,
    index: usize,
    id: Cow<'a, str>,
    name: Cow<'a, str>,
    arguments: Cow<'a, str>,
    status: &'static str,
) -> Json<'a> {
    Json::object([
        ("id", Json::text(ids.item("fc", index))),
        ("type", Json::text("function_call")),
        ("status", Json::text(status)),
        ("arguments", Json::Text(arguments)),
        ("call_id", Json::Text(id)),
        ("name", Json::Text(name)),
    ])
}

/// Thinking; without a signature it cannot come back.
pub(super) fn reasoning<'a>(
    ids: &Ids,
    index: usize,
    text: Option<Cow<'a, str>>,
    signature: &str,
) -> Json<'a> {
    let text = text.filter(|text| !text.is_empty());
    let summary = text.map(summary_text).into_iter().collect();
    let sealed = (!signature.is_empty()).then(|| seal_signature(signature));
    item(ids, index, summary, sealed)
}

pub(super) fn summary_text(text: Cow<'_, str>) -> Json<'_> {
    Json::object([("type", Json::text("summary_text")), ("text", Json::Text(text))])
}

pub(super) fn redacted(ids: &Ids, index: usize, data: &str) -> Json<'static> {
    item(ids, index, Vec::new(), Some(seal_redacted(data)))
}

fn item<'a>(ids: &Ids, index: usize, summary: Vec<Json<'a>>, sealed: Option<String>) -> Json<'a> {
    Json::object([
        ("id", Json::text(ids.item("rs", index))),
        ("type", Json::text("reasoning")),
        ("summary", Json::List(summary)),
        ("encrypted_content", sealed.map_or(Json::Null, Json::text)),
    ])
}
