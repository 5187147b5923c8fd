//! The events of a Responses stream.

use std::borrow::Cow;

use super::super::super::error::Kind;
use super::super::super::json::{Json, Object, write_text};
use super::super::super::reply::{Event, Stop};
use super::super::super::{Back, Malformed, Stamp};
use super::items::{self, Content, Ids};
use super::{End, response};
use crate::bounds::RESPONSE_BYTES_MAX;

/// A stream of events while it is written.
#[derive(Debug)]
pub(in super::super::super) struct Writer {
    back: Back,
    unix: u64,
    stamp_id: String,
    ids: Option<Ids>,
    /// The number of the next event.
    sequence: u64,
    /// The items that have ended.
    output: Vec<Json<'static>>,
    open: Option<Open>,
    /// Bytes of text that are kept.
    kept: usize,
}

/// The item under way.
#[derive(Debug)]
enum Open {
    Message { parts: Vec<Json<'static>>, part: Option<Part> },
    Reasoning { text: String, signature: String },
    Call { id: String, name: String, arguments: String },
}

/// The part of a message under way.
#[derive(Debug)]
struct Part {
    refusal: bool,
    text: String,
}

// === impl Writer ===

impl Writer {
    pub(in super::super) fn new(back: &Back, stamp: &Stamp<'_>) -> Writer {
        Writer {
            back: back.clone(),
            unix: stamp.unix,
            stamp_id: stamp.id.to_owned(),
            ids: None,
            sequence: 0,
            output: Vec::new(),
            open: None,
            kept: 0,
        }
    }

    /// The number the next event will have.
    pub(in super::super) fn sequence(&self) -> u64 {
        self.sequence
    }

    pub(in super::super) fn event(
        &mut self,
        event: Event<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        match event {
            Event::Start { id, .. } => {
                self.ids = Some(Ids::new(id, &self.stamp_id));
                self.response("response.created", None, Vec::new(), out);
                self.response("response.in_progress", None, Vec::new(), out);
            }
            Event::Text(text) => self.say(text, false, out)?,
            Event::Refusal(text) => self.say(text, true, out)?,
            Event::Thinking(text) => self.think(text, out)?,
            Event::Signature(text) => {
                if !matches!(self.open, Some(Open::Reasoning { .. })) {
                    self.begin_reasoning(out);
                }
                self.keep(text)?;
                if let Some(Open::Reasoning { signature, .. }) = &mut self.open {
                    signature.push_str(text);
                }
                self.close(false, out);
            }
            Event::Redacted(data) => {
                self.close(false, out);
                self.keep(data)?;
                let item = items::redacted(self.ids(), self.output.len(), data);
                self.added(item.clone(), out);
                self.done(item, out);
            }
            Event::Tool { id, name } => self.begin_call(id, name, out),
            Event::Arguments(part) => {
                self.keep(part)?;
                if let Some(Open::Call { arguments, .. }) = &mut self.open {
                    arguments.push_str(part);
                }
                self.delta("response.function_call_arguments.delta", "fc", "", part, "", out);
            }
            Event::Stop { stop, usage, .. } => {
                self.close(stop == Stop::Length, out);
                let end = End { stop, usage };
                let output = std::mem::take(&mut self.output);
                let name = match end.status().0 {
                    "completed" => "response.completed",
                    _ => "response.incomplete",
                };
                self.response(name, Some(&end), output, out);
            }
            Event::Ping => out.extend(b": ping\n\n"),
            Event::Failed { kind, message } => self.failed(kind, message, out),
            Event::End => {}
        }
        Ok(())
    }

    fn ids(&self) -> &Ids {
        self.ids.as_ref().expect("a stream starts before it says anything")
    }

    fn keep(&mut self, text: &str) -> Result<(), Malformed> {
        self.kept += text.len();
        if self.kept > RESPONSE_BYTES_MAX {
            return Err(Malformed::new("the answer is too long to be repeated at its end"));
        }
        Ok(())
    }

    fn say(&mut self, text: &str, refusal: bool, out: &mut Vec<u8>) -> Result<(), Malformed> {
        self.keep(text)?;
        if !matches!(self.open, Some(Open::Message { .. })) {
            self.close(false, out);
            let item = items::message(self.ids(), self.output.len(), Vec::new(), "in_progress");
            self.added(item, out);
            self.open = Some(Open::Message { parts: Vec::new(), part: None });
        }
        let other = |part: &Part| part.refusal != refusal;
        if matches!(&self.open, Some(Open::Message { part: Some(part), .. }) if other(part)) {
            self.end_part(out);
        }
        if matches!(self.open, Some(Open::Message { part: None, .. })) {
            let part = Part { refusal, text: String::new() };
            self.part("response.content_part.added", part.json(), out);
            if let Some(Open::Message { part: open, .. }) = &mut self.open {
                *open = Some(part);
            }
        }
        let Some(Open::Message { parts, part: Some(part) }) = &mut self.open else {
            unreachable!("a part was just begun");
        };
        part.text.push_str(text);
        let place = format!("\"content_index\":{},", parts.len());
        let (name, tail) = match refusal {
            true => ("response.refusal.delta", ""),
            false => ("response.output_text.delta", ",\"logprobs\":[]"),
        };
        self.delta(name, "msg", &place, text, tail, out);
        Ok(())
    }

    fn think(&mut self, text: &str, out: &mut Vec<u8>) -> Result<(), Malformed> {
        self.keep(text)?;
        if !matches!(self.open, Some(Open::Reasoning { .. })) {
            self.begin_reasoning(out);
        }
        let Some(Open::Reasoning { text: before, .. }) = &mut self.open else {
            unreachable!("it was just begun");
        };
        let first = before.is_empty();
        before.push_str(text);
        if first {
            let part = items::summary_text(Cow::Borrowed(""));
            self.summary("response.reasoning_summary_part.added", ("part", part), out);
        }
        let name = "response.reasoning_summary_text.delta";
        self.delta(name, "rs", "\"summary_index\":0,", text, "", out);
        Ok(())
    }

    fn begin_reasoning(&mut self, out: &mut Vec<u8>) {
        self.close(false, out);
        let item = items::reasoning(self.ids(), self.output.len(), None, "");
        self.added(item, out);
        self.open = Some(Open::Reasoning { text: String::new(), signature: String::new() });
    }

    fn begin_call(&mut self, id: &str, name: &str, out: &mut Vec<u8>) {
        self.close(false, out);
        let (ids, index) = (self.ids(), self.output.len());
        let item = items::call(ids, index, id.into(), name.into(), "".into(), "in_progress");
        self.added(item, out);
        let (id, name) = (id.to_owned(), name.to_owned());
        self.open = Some(Open::Call { id, name, arguments: String::new() });
    }

    /// Ends the item under way.
    fn close(&mut self, cut: bool, out: &mut Vec<u8>) {
        if matches!(self.open, Some(Open::Message { part: Some(_), .. })) {
            self.end_part(out);
        }
        let index = self.output.len();
        let status = items::status(cut);
        let item = match self.open.take() {
            None => return,
            Some(Open::Message { parts, .. }) => items::message(self.ids(), index, parts, status),
            Some(Open::Reasoning { text, signature }) => {
                if !text.is_empty() {
                    let name = "response.reasoning_summary_text.done";
                    self.summary(name, ("text", Json::text(&*text)), out);
                    let part = items::summary_text(Cow::Borrowed(&text));
                    self.summary("response.reasoning_summary_part.done", ("part", part), out);
                }
                items::reasoning(self.ids(), index, Some(Cow::Owned(text)), &signature)
            }
            Some(Open::Call { id, name, arguments }) => {
                let pairs = vec![
                    (Cow::Borrowed("item_id"), Json::text(self.ids().item("fc", index))),
                    (Cow::Borrowed("output_index"), (index as u64).into()),
                    (Cow::Borrowed("arguments"), Json::text(&*arguments)),
                ];
                self.frame("response.function_call_arguments.done", pairs, out);
                items::call(self.ids(), index, id.into(), name.into(), arguments.into(), status)
            }
        };
        self.done(item, out);
    }

    fn end_part(&mut self, out: &mut Vec<u8>) {
        let Some(Open::Message { part, .. }) = &mut self.open else { return };
        let Some(part) = part.take() else { return };
        let (name, key) = match part.refusal {
            true => ("response.refusal.done", "refusal"),
            false => ("response.output_text.done", "text"),
        };
        let mut pairs = self.place();
        pairs.push((Cow::Borrowed(key), Json::text(&*part.text)));
        if !part.refusal {
            pairs.push((Cow::Borrowed("logprobs"), Json::List(Vec::new())));
        }
        self.frame(name, pairs, out);
        let part = part.json();
        self.part("response.content_part.done", part.clone(), out);
        if let Some(Open::Message { parts, .. }) = &mut self.open {
            parts.push(part);
        }
    }

    /// Where a part of the message under way stands.
    fn place<'a>(&self) -> Object<'a> {
        let index = self.output.len();
        let content = match &self.open {
            Some(Open::Message { parts, .. }) => parts.len(),
            _ => 0,
        };
        vec![
            (Cow::Borrowed("item_id"), Json::text(self.ids().item("msg", index))),
            (Cow::Borrowed("output_index"), (index as u64).into()),
            (Cow::Borrowed("content_index"), (content as u64).into()),
        ]
    }

    fn part(&mut self, name: &str, part: Json<'_>, out: &mut Vec<u8>) {
        let mut pairs = self.place();
        pairs.push((Cow::Borrowed("part"), part));
        self.frame(name, pairs, out);
    }

    fn summary(&mut self, name: &str, value: (&'static str, Json<'_>), out: &mut Vec<u8>) {
        let index = self.output.len();
        let pairs = vec![
            (Cow::Borrowed("item_id"), Json::text(self.ids().item("rs", index))),
            (Cow::Borrowed("output_index"), (index as u64).into()),
            (Cow::Borrowed("summary_index"), 0.into()),
            (Cow::Borrowed(value.0), value.1),
        ];
        self.frame(name, pairs, out);
    }

    fn added(&mut self, item: Json<'_>, out: &mut Vec<u8>) {
        let index = (self.output.len() as u64).into();
        let pairs = vec![(Cow::Borrowed("output_index"), index), (Cow::Borrowed("item"), item)];
        self.frame("response.output_item.added", pairs, out);
    }

    fn done(&mut self, item: Json<'static>, out: &mut Vec<u8>) {
        let index = (self.output.len() as u64).into();
        let pairs =
            vec![(Cow::Borrowed("output_index"), index), (Cow::Borrowed("item"), item.clone())];
        self.frame("response.output_item.done", pairs, out);
        self.output.push(item);
    }

    fn response(
        &mut self,
        name: &str,
        end: Option<&End>,
        output: Vec<Json<'static>>,
        out: &mut Vec<u8>,
    ) {
        let json = response(self.ids(), &self.back, self.unix, end, Json::List(output));
        let json = json.into_owned();
        self.frame(name, vec![(Cow::Borrowed("response"), json)], out);
    }

    fn failed(&mut self, kind: Kind, message: &str, out: &mut Vec<u8>) {
        let pairs = vec![
            (Cow::Borrowed("code"), Json::text(kind.code())),
            (Cow::Borrowed("message"), Json::text(message)),
            (Cow::Borrowed("param"), Json::Null),
        ];
        self.frame("error", pairs, out);
        if self.ids.is_none() {
            return;
        }
        let output = Json::List(std::mem::take(&mut self.output));
        let mut json = response(self.ids(), &self.back, self.unix, None, output).into_owned();
        let error = Json::object([
            ("code", Json::text(kind.response_code())),
            ("message", Json::text(message.to_owned())),
        ]);
        if let Json::Object(pairs) = &mut json {
            for (key, value) in pairs {
                match &**key {
                    "status" => *value = Json::text("failed"),
                    "error" => *value = error.clone(),
                    _ => {}
                }
            }
        }
        self.frame("response.failed", vec![(Cow::Borrowed("response"), json)], out);
    }

    /// A piece of the item under way, written without a tree: `place` and `tail` are JSON.
    fn delta(
        &mut self,
        name: &str,
        item: &str,
        place: &str,
        text: &str,
        tail: &str,
        out: &mut Vec<u8>,
    ) {
        let (sequence, index) = (self.sequence, self.output.len());
        self.sequence += 1;
        out.extend(format!("event: {name}\ndata: {{\"type\":\"{name}\",").bytes());
        out.extend(format!("\"sequence_number\":{sequence},\"item_id\":").bytes());
        write_text(&self.ids().item(item, index), out);
        out.extend(format!(",\"output_index\":{index},{place}\"delta\":").bytes());
        write_text(text, out);
        out.extend(tail.bytes());
        out.extend(b"}\n\n");
    }

    fn frame(&mut self, name: &str, pairs: Object<'_>, out: &mut Vec<u8>) {
        let mut all: Object<'_> = vec![
            (Cow::Borrowed("type"), Json::text(name)),
            (Cow::Borrowed("sequence_number"), self.sequence.into()),
        ];
        self.sequence += 1;
        all.extend(pairs);
        out.extend(format!("event: {name}\ndata: ").bytes());
        Json::Object(all).write(out);
        out.extend(b"\n\n");
    }
}

// === impl Part ===

impl Part {
    fn json(&self) -> Json<'static> {
        let text = Cow::Owned(self.text.clone());
        if self.refusal { Content::Refusal(text) } else { Content::Text(text) }.into_json()
    }
}
