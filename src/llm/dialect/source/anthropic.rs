//! Anthropic's messages: one JSON object, or a stream of `message_start`, blocks, `message_delta`
//! and `message_stop`. Blocks come one after another; one inside another is refused. Blocks of
//! tools that Anthropic's own servers run are skipped: no translated request asks for them.

use super::super::Malformed;
use super::super::error::Kind;
use super::super::json::Json;
use super::super::reply::{Block, Event, Input, Reply, Stop};
use super::super::usage::Counts;
use super::Take;

/// A message while it is read.
#[derive(Debug, Default)]
pub(in super::super) struct Reader {
    started: bool,
    open: Option<Open>,
    calls: bool,
    counts: Counts,
    /// Why it stopped, told of only when the stream ends as well: whoever reads a reason believes
    /// the answer whole.
    stopped: Option<(Stop, Option<String>)>,
}

/// The block that is under way.
#[derive(Debug)]
struct Open {
    index: u64,
    kind: Content,
}

#[derive(Clone, Debug, PartialEq)]
enum Content {
    Text,
    Thinking,
    /// A call, with the input that stood at its start (often none): it counts if no other comes.
    Tool(Option<String>),
    Skipped,
}

pub(super) fn whole(json: Json<'_>) -> Result<Reply<'_>, Malformed> {
    let Json::Object(pairs) = json else {
        return Err(Malformed::new("the answer is not an object"));
    };
    let (mut id, mut content, mut stop, mut sequence) = (None, None, None, None);
    let (mut counts, mut why) = (Counts::default(), Json::Null);
    for (key, value) in pairs {
        match (&*key, value) {
            ("id", Json::Text(text)) => id = Some(text),
            ("content", Json::List(blocks)) => content = Some(blocks),
            ("stop_reason", Json::Text(text)) => stop = Some(text),
            ("stop_sequence", Json::Text(text)) => sequence = Some(text),
            ("stop_details", mut details) => why = details.take("explanation"),
            ("usage", usage) => counts.read(&usage),
            _ => {}
        }
    }
    let content = content.ok_or(Malformed::new("the answer has no content"))?;
    let mut blocks = Vec::with_capacity(content.len());
    for block in content {
        blocks.extend(read_block(block)?);
    }
    if let Json::Text(why) = why {
        blocks.push(Block::Refusal(why));
    }
    let calls = blocks.iter().any(|block| matches!(block, Block::Tool { .. }));
    let stop = Stop::of_messages(stop.as_deref()).with_calls(calls);
    let id = id.unwrap_or_default();
    Ok(Reply { id, blocks, stop, sequence, usage: counts.usage() })
}

fn read_block(block: Json<'_>) -> Result<Option<Block<'_>>, Malformed> {
    let Json::Object(pairs) = block else {
        return Err(Malformed::new("a block of the answer is not an object"));
    };
    let mut kind = None;
    let (mut text, mut signature, mut id, mut name, mut input) = (None, None, None, None, None);
    for (key, value) in pairs {
        match (&*key, value) {
            ("type", Json::Text(value)) => kind = Some(value),
            ("text" | "thinking" | "data", Json::Text(value)) => text = Some(value),
            ("signature", Json::Text(value)) => signature = Some(value),
            ("id", Json::Text(value)) => id = Some(value),
            ("name", Json::Text(value)) => name = Some(value),
            ("input", value) => input = Some(value),
            _ => {}
        }
    }
    let text = text.unwrap_or_default();
    Ok(match kind.as_deref() {
        Some("text") => Some(Block::Text(text)),
        Some("thinking") => {
            Some(Block::Thinking { text, signature: signature.unwrap_or_default() })
        }
        Some("redacted_thinking") => Some(Block::Redacted(text)),
        Some("tool_use") => {
            let (Some(id), Some(name)) = (id, name) else {
                return Err(Malformed::new("a call in the answer has no id or no name"));
            };
            let input = input.filter(Json::is_object).unwrap_or(Json::Object(Vec::new()));
            Some(Block::Tool { id, name, input: Input::Value(input) })
        }
        _ => None,
    })
}

// === impl Reader ===

impl Reader {
    pub(super) fn event(&mut self, data: &[u8], take: Take<'_>) -> Result<(), Malformed> {
        let json = Json::parse(data).map_err(|_| Malformed::new("an event is not JSON"))?;
        let kind = json.get("type").as_str().unwrap_or_default();
        if !self.started && !matches!(kind, "message_start" | "ping" | "error") {
            return Err(Malformed::new("the stream does not begin with message_start"));
        }
        if self.stopped.is_some() && matches!(kind, "content_block_start" | "content_block_delta") {
            return Err(Malformed::new("the stream goes on after its stop reason"));
        }
        match kind {
            "message_start" if self.started => Err(Malformed::new("the stream begins twice")),
            "message_start" => {
                self.started = true;
                let message = json.get("message");
                self.counts.read(message.get("usage"));
                let id = message.get("id").as_str().unwrap_or_default();
                take(Event::Start { id, usage: self.counts.usage() })
            }
            "content_block_start" => self.block(&json, take),
            "content_block_delta" => self.delta(&json, take),
            "content_block_stop" => self.close(take),
            "message_delta" => self.stop(&json, take),
            "message_stop" => self.end(take),
            "ping" => take(Event::Ping),
            "error" => {
                let error = json.get("error");
                let message = error.get("message").as_str().unwrap_or("the provider failed");
                let kind = Kind::of_messages(error.get("type").as_str());
                take(Event::Failed { kind, message })
            }
            _ => Ok(()),
        }
    }

    fn block(&mut self, json: &Json, take: Take<'_>) -> Result<(), Malformed> {
        // A provider that leaves out content_block_stop means it.
        self.close(take)?;
        let block = json.get("content_block");
        let text = |key: &str| block.get(key).as_str().unwrap_or_default();
        let kind = match text("type") {
            "text" => {
                send(text("text"), Event::Text, take)?;
                Content::Text
            }
            "thinking" => {
                send(text("thinking"), Event::Thinking, take)?;
                send(text("signature"), Event::Signature, take)?;
                Content::Thinking
            }
            "redacted_thinking" => {
                take(Event::Redacted(text("data")))?;
                Content::Skipped
            }
            "tool_use" => {
                let (id, name) = (text("id"), text("name"));
                if id.is_empty() || name.is_empty() {
                    return Err(Malformed::new("a call in the answer has no id or no name"));
                }
                take(Event::Tool { id, name })?;
                self.calls = true;
                let input = Some(block.get("input")).filter(|input| input.is_object());
                Content::Tool(Some(input.map_or("{}".to_owned(), Json::to_text)))
            }
            _ => Content::Skipped,
        };
        self.open = Some(Open { index: json.get("index").as_u64().unwrap_or(0), kind });
        Ok(())
    }

    fn delta(&mut self, json: &Json, take: Take<'_>) -> Result<(), Malformed> {
        let index = json.get("index").as_u64().unwrap_or(0);
        let Some(open) = self.open.as_mut().filter(|open| open.index == index) else {
            return Err(Malformed::new("a delta belongs to no block"));
        };
        let delta = json.get("delta");
        let text = |key: &str| delta.get(key).as_str().unwrap_or_default();
        match (text("type"), &mut open.kind) {
            ("text_delta", Content::Text) => send(text("text"), Event::Text, take),
            ("thinking_delta", Content::Thinking) => send(text("thinking"), Event::Thinking, take),
            ("signature_delta", Content::Thinking) => {
                send(text("signature"), Event::Signature, take)
            }
            ("input_json_delta", Content::Tool(whole)) => {
                let part = text("partial_json");
                if !part.is_empty() {
                    *whole = None;
                }
                send(part, Event::Arguments, take)
            }
            // Citations, and what may come yet.
            _ => Ok(()),
        }
    }

    fn close(&mut self, take: Take<'_>) -> Result<(), Malformed> {
        match self.open.take() {
            Some(Open { kind: Content::Tool(Some(input)), .. }) => take(Event::Arguments(&input)),
            _ => Ok(()),
        }
    }

    fn stop(&mut self, json: &Json, take: Take<'_>) -> Result<(), Malformed> {
        self.counts.read(json.get("usage"));
        let delta = json.get("delta");
        let Some(word) = delta.get("stop_reason").as_str() else { return Ok(()) };
        if self.stopped.is_some() {
            return Ok(());
        }
        self.close(take)?;
        let why = delta.get("stop_details").get("explanation");
        send(why.as_str().unwrap_or_default(), Event::Refusal, take)?;
        let stop = Stop::of_messages(Some(word)).with_calls(self.calls);
        self.stopped = Some((stop, delta.get("stop_sequence").as_str().map(str::to_owned)));
        Ok(())
    }

    fn end(&mut self, take: Take<'_>) -> Result<(), Malformed> {
        let Some((stop, sequence)) = self.stopped.take() else {
            return Err(Malformed::new("the stream ends without a stop reason"));
        };
        take(Event::Stop { stop, sequence: sequence.as_deref(), usage: self.counts.usage() })?;
        take(Event::End)
    }
}

/// Passes a text on, if there is any.
fn send<'t>(
    text: &'t str,
    event: impl Fn(&'t str) -> Event<'t>,
    take: Take<'_>,
) -> Result<(), Malformed> {
    if text.is_empty() { Ok(()) } else { take(event(text)) }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    #[test]
    fn a_block_of_an_unknown_kind_is_skipped() {
        let text =
            br#"{"content":[{"type":"server_tool_use","id":"a"},{"type":"text","text":"b"}]}"#;
        let reply = whole(Json::parse(text).expect("is JSON")).expect("is read");
        assert_eq!(reply.blocks, [Block::Text(Cow::Borrowed("b"))]);
    }
}
