//! The demo's language model: it repeats what it is told, a word at a time, in OpenAI's words.
//!
//! Enough for OpenAI's SDKs: chat completions, streamed or not, and embeddings. A token is a word.

use serde_json::{Value, json};

use crate::clock;
use crate::control::house::page::{Asked, Content, Page};

use super::origin::TOKEN;

/// Below this path it is asked.
const BASE: &[u8] = b"/llm/v1";
/// What it says beside what it repeats.
const PREAMBLE: &str = "Ringway's demo model repeats what it is told:";
const EMBEDDING: usize = 8;

/// What it answers; `None`: it is not asked.
pub(super) fn answer(asked: &Asked<'_>) -> Option<Page> {
    let endpoint = asked.request.path().strip_prefix(BASE)?;
    let Ok(body) = serde_json::from_slice::<Value>(asked.body) else {
        return Some(refused("The body is not JSON, or too long for a demo."));
    };
    Some(match endpoint {
        b"/chat/completions" => chat(&body),
        b"/embeddings" => embeddings(&body),
        _ => refused("The demo's model knows chat completions and embeddings."),
    })
}

fn refused(message: &str) -> Page {
    let error = json!({ "message": message, "type": "invalid_request_error" });
    Page::json(400, &json!({ "error": error }))
}

fn chat(body: &Value) -> Page {
    let said = last_said(body);
    let words: Vec<String> = words(&format!("{PREAMBLE} {said}"));
    let max = ["max_completion_tokens", "max_tokens"].iter().find_map(|name| body[*name].as_u64());
    let max = max.map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX));
    let finish = if words.len() > max { "length" } else { "stop" };
    let words: Vec<String> = words.into_iter().take(max).collect();
    let input = self::words(&said).len();
    let usage = json!({
        "prompt_tokens": input,
        "completion_tokens": words.len(),
        "total_tokens": input + words.len(),
    });
    let head = json!({
        "id": "chatcmpl-demo",
        "created": clock::wall().seconds(),
        "model": body["model"],
    });
    if body["stream"] == true {
        return stream(&head, words, finish, &usage, &body["stream_options"]);
    }
    let message = json!({ "role": "assistant", "content": words.concat() });
    let mut answer = head;
    answer["object"] = "chat.completion".into();
    answer["choices"] = json!([{ "index": 0, "message": message, "finish_reason": finish }]);
    answer["usage"] = usage;
    Page::json(200, &answer)
}

fn stream(
    head: &Value,
    words: Vec<String>,
    finish: &'static str,
    usage: &Value,
    options: &Value,
) -> Page {
    let event = |chunk: &Value| format!("data: {chunk}\n\n").into_bytes();
    let chunk = |choices: Value| {
        let mut chunk = head.clone();
        chunk["object"] = "chat.completion.chunk".into();
        chunk["choices"] = choices;
        chunk
    };
    let delta = |delta: Value, finish: Value| {
        event(&chunk(json!([{ "index": 0, "delta": delta, "finish_reason": finish }])))
    };
    let mut events = vec![delta(json!({ "role": "assistant", "content": "" }), Value::Null)];
    events.extend(words.iter().map(|word| delta(json!({ "content": word }), Value::Null)));
    let mut last = delta(json!({}), finish.into());
    if options["include_usage"] == true {
        let mut told = chunk(json!([]));
        told["usage"] = usage.clone();
        last.extend(event(&told));
    }
    last.extend_from_slice(b"data: [DONE]\n\n");
    events.push(last);
    Page {
        status: 200,
        content_type: "text/event-stream",
        fields: Vec::new(),
        content: Content::Paced(TOKEN, Box::new(events.into_iter())),
    }
}

/// The same text gives the same numbers, and another one others.
fn embeddings(body: &Value) -> Page {
    let texts: Vec<&str> = match &body["input"] {
        Value::String(text) => vec![text],
        Value::Array(texts) => texts.iter().filter_map(Value::as_str).collect(),
        _ => return refused("`input` is to be a text or a list of texts."),
    };
    let data: Vec<Value> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let numbers: Vec<f64> = (0..EMBEDDING).map(|at| number(text, at)).collect();
            json!({ "object": "embedding", "index": index, "embedding": numbers })
        })
        .collect();
    let tokens: usize = texts.iter().map(|text| words(text).len()).sum();
    Page::json(
        200,
        &json!({
            "object": "list",
            "data": data,
            "model": body["model"],
            "usage": { "prompt_tokens": tokens, "total_tokens": tokens },
        }),
    )
}

fn number(text: &str, at: usize) -> f64 {
    let sum = text.bytes().fold(at as u64, |sum, byte| sum.wrapping_mul(31) + u64::from(byte));
    f64::from(u16::try_from(sum % 2001).expect("below 2001")) / 1000.0 - 1.0
}

/// The last thing a user said.
fn last_said(body: &Value) -> String {
    let messages = body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let last = messages.iter().rev().find(|message| message["role"] == "user");
    match last.map(|message| &message["content"]) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            let texts: Vec<&str> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
            texts.join(" ")
        }
        _ => String::new(),
    }
}

/// Words, each with the blank before it.
fn words(text: &str) -> Vec<String> {
    let words = text.split_whitespace().enumerate();
    words.map(|(at, word)| if at == 0 { word.to_owned() } else { format!(" {word}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_repeats_the_users_last_words() {
        let body = json!({ "messages": [
            { "role": "user", "content": "no" },
            { "role": "assistant", "content": "what?" },
            { "role": "user", "content": [{ "type": "text", "text": "well said" }] },
        ]});
        assert_eq!(last_said(&body), "well said");
        assert_eq!(words(" a  b "), ["a", " b"]);
    }

    #[test]
    fn numbers_follow_the_text() {
        assert_eq!(number("a", 1).to_bits(), number("a", 1).to_bits());
        assert_ne!(number("a", 1).to_bits(), number("b", 1).to_bits());
        assert!((-1.0..=1.0).contains(&number("some longer text", 3)));
    }
}
