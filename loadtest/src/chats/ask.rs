//! Renders the chats of a run: dialect, key, model, streaming or not, and the tag by which the
//! witness is asked about it. Pure.

use super::check::Expected;
use super::{Dialect, Dialects, Spec};
use crate::dice::Dice;

/// One request, and when to hang up on it.
pub struct Chat {
    pub tag: u64,
    pub bytes: Vec<u8>,
    pub stream: bool,
    pub expected: Expected,
    pub hangs_up: Option<Point>,
}

/// Where an abort comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// This long after sending.
    After(u64),
    /// After so many words.
    Words(u64),
}

// === impl Chat ===

impl Chat {
    /// Number `n` of the run: keys and models are taken in turn, the rest is drawn.
    pub fn new(spec: &Spec, n: u64, dice: &mut Dice) -> Chat {
        let dialect = match spec.dialects {
            Dialects::Openai => Dialect::OpenAi,
            Dialects::Anthropic => Dialect::Anthropic,
            Dialects::Both if n.is_multiple_of(2) => Dialect::OpenAi,
            Dialects::Both => Dialect::Anthropic,
        };
        let stream = dice.unit() <= spec.streaming;
        let tag = spec.tags + n;
        let expected = Expected { dialect, usage: spec.usage, numbered: spec.numbered };
        let mut hangs_up = None;
        if spec.abort > 0.0 && dice.unit() <= spec.abort {
            hangs_up = Some(if stream && dice.next() & (1 << 40) == 0 {
                Point::Words(1 + dice.below(spec.abort_words))
            } else {
                Point::After(dice.below(spec.abort_within.max(1)))
            });
        }
        let bytes = render(spec, dialect, stream, tag, n);
        Chat { tag, bytes, stream, expected, hangs_up }
    }
}

fn render(spec: &Spec, dialect: Dialect, stream: bool, tag: u64, n: u64) -> Vec<u8> {
    let take = |list: &[String]| {
        let len = list.len() as u64;
        let at = usize::try_from(n % len.max(1)).expect("below a length");
        list.get(at).map_or("", String::as_str).to_owned()
    };
    let (model, key) = (take(&spec.models), take(&spec.keys));
    let model = serde_json::Value::from(model).to_string();
    let prompt = &spec.prompt;
    let tail = match dialect {
        Dialect::OpenAi => {
            let most = spec
                .max_tokens
                .map_or(String::new(), |n| format!(r#","max_completion_tokens":{n}"#));
            let usage = if stream && spec.usage {
                r#","stream_options":{"include_usage":true}"#
            } else {
                ""
            };
            format!(r#","user":"{tag}"{most}{usage}"#)
        }
        Dialect::Anthropic => {
            let most = spec.max_tokens.unwrap_or(4096);
            format!(r#","max_tokens":{most},"metadata":{{"user_id":"{tag}"}}"#)
        }
    };
    let streams = if stream { r#","stream":true"# } else { "" };
    let body = format!(
        r#"{{"model":{model},"messages":[{{"role":"user","content":"{prompt}"}}]{streams}{tail}}}"#
    );
    let (path, auth) = match dialect {
        Dialect::OpenAi => ("/chat/completions", format!("Authorization: Bearer {key}\r\n")),
        Dialect::Anthropic => {
            ("/messages", format!("x-api-key: {key}\r\nanthropic-version: 2023-06-01\r\n"))
        }
    };
    let auth = if key.is_empty() && dialect == Dialect::OpenAi { "" } else { &auth };
    let (base, host) = (&spec.base, &spec.host);
    format!(
        "POST {base}{path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n{auth}{}\
         Content-Length: {}\r\n\r\n{body}",
        spec.fields,
        body.len()
    )
    .into_bytes()
}
