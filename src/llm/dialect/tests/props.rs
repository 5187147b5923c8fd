//! What holds of every translation: nothing panics, what there and back again have in common comes
//! back, and a stream says what the whole answer says.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::*;
use super::golden::events;
use super::survives::{as_bodies, as_streams, plain_back};
use super::{STAMP, ask};

/// Any JSON, with keys that mean something here now and then.
fn any_json() -> impl Strategy<Value = Value> {
    let keys = "(model|messages|role|content|type|text|tools|function|name|id|tool_calls|index|\
                arguments|input|choices|delta|message|usage|system|output|image_url|url|source|\
                tool_choice|response_format|thinking|stop|error|finish_reason|call_id|[a-z]{1,3})";
    let words = "(user|assistant|tool|system|text|function|tool_use|tool_result|image|message|\
                 content_block_start|content_block_delta|message_start|message_delta|auto|stop|\
                 input_text|function_call|data:image/png;base64,AA==|.{0,4})";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        words.prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((keys, inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// A change to a request that was good: some value becomes another.
fn spoil(value: &mut Value, mut at: usize, other: Value) {
    fn count(value: &Value) -> usize {
        1 + match value {
            Value::Array(items) => items.iter().map(count).sum(),
            Value::Object(pairs) => pairs.values().map(count).sum::<usize>(),
            _ => 0,
        }
    }
    fn replace(value: &mut Value, at: &mut usize, other: &mut Option<Value>) {
        if *at == 0 {
            if let Some(other) = other.take() {
                *value = other;
            }
            return;
        }
        *at -= 1;
        match value {
            Value::Array(items) => {
                for item in items {
                    replace(item, at, other);
                    if other.is_none() {
                        return;
                    }
                }
            }
            Value::Object(pairs) => {
                for item in pairs.values_mut() {
                    replace(item, at, other);
                    if other.is_none() {
                        return;
                    }
                }
            }
            _ => {}
        }
    }
    at %= count(value);
    replace(value, &mut at, &mut Some(other));
}

/// Good inputs, from the golden files.
static GOOD: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/llm");
    let mut all = Vec::new();
    for way in std::fs::read_dir(root).expect("is there") {
        for kind in ["request", "answer"] {
            let folder = way.as_ref().expect("is listed").path().join(kind);
            let Ok(entries) = std::fs::read_dir(folder) else { continue };
            for entry in entries {
                let path = entry.expect("is listed").path();
                if path.extension().is_some_and(|ending| ending == "json") {
                    let text = std::fs::read(path).expect("is read");
                    all.extend(serde_json::from_slice::<Value>(&text).ok());
                }
            }
        }
    }
    all.sort_by_key(Value::to_string);
    all
});

proptest! {
    #[test]
    fn nothing_makes_it_panic(value in any_json()) {
        as_bodies(value.to_string().as_bytes());
    }

    #[test]
    fn nothing_in_a_good_one_makes_it_panic(which: u16, at: u16, other in any_json()) {
        let mut value = GOOD[usize::from(which) % GOOD.len()].clone();
        spoil(&mut value, usize::from(at), other);
        as_bodies(value.to_string().as_bytes());
    }

    #[test]
    fn no_events_make_it_panic(values in prop::collection::vec(any_json(), 0..6)) {
        let lines: Vec<_> = values.iter().map(Value::to_string).collect();
        as_streams(lines.join("\n").as_bytes());
    }

    #[test]
    fn nothing_in_a_good_stream_makes_it_panic(
        said in said(),
        chat: bool,
        (which, at, other) in (any::<u16>(), any::<u16>(), any_json()),
        gone in any::<u16>(),
    ) {
        let mut events =
            if chat { chat_events(&said, &[2, 0, 1]) } else { anthropic_events(&said) };
        let count = events.len();
        spoil(&mut events[usize::from(which) % count], usize::from(at), other);
        events.remove(usize::from(gone) % count);
        let mut lines: Vec<_> = events.iter().map(Value::to_string).collect();
        lines.push("[DONE]".to_owned());
        as_streams(lines.join("\n").as_bytes());
    }
}

// === there and back ===

/// A chat that both dialects can say the same way.
fn chat() -> impl Strategy<Value = Value> {
    let text = "[a-zA-Z é\"\\\\]{0,11}[a-z]";
    let call = (0..2usize, text).prop_map(|(which, text)| {
        let name = ["get_weather", "get_time"][which];
        (name, json!({"z": text, "a": [1, 0.5, null]}).to_string())
    });
    let round = (text, prop::option::of(text), prop::collection::vec(call, 0..3), text);
    let settings = (1..9000u64, 0..10u8, prop::option::of(text), any::<bool>(), 0..5usize);
    (prop::option::of(text), prop::collection::vec(round, 0..4), text, settings).prop_map(
        |(system, rounds, last, (max, temperature, stop, stream, choice))| {
            let mut messages = Vec::new();
            messages.extend(system.map(|text| json!({"role": "system", "content": text})));
            for (n, (asked, said, calls, result)) in rounds.into_iter().enumerate() {
                messages.push(json!({"role": "user", "content": asked}));
                if said.is_none() && calls.is_empty() {
                    continue;
                }
                let mut reply = json!({"role": "assistant", "content": said});
                let ids: Vec<_> = (0..calls.len()).map(|at| format!("call_{n}_{at}")).collect();
                if !calls.is_empty() {
                    let calls = calls.iter().zip(&ids).map(|((name, arguments), id)| {
                        json!({"id": id, "type": "function",
                               "function": {"name": name, "arguments": arguments}})
                    });
                    reply["tool_calls"] = calls.collect();
                }
                messages.push(reply);
                for id in ids {
                    messages.push(json!({"role": "tool", "tool_call_id": id, "content": result}));
                }
            }
            messages.push(json!({"role": "user", "content": last}));
            let tool = |name: &str| {
                json!({"type": "function", "function": {"name": name, "description": name,
                       "parameters": {"type": "object", "properties": {"z": {"type": "string"}}}}})
            };
            let mut chat = json!({
                "model": "m", "messages": messages, "max_completion_tokens": max,
                "temperature": f64::from(temperature) / 10.0,
                "tools": [tool("get_weather"), tool("get_time")],
            });
            let choices = [
                json!("auto"),
                json!("none"),
                json!("required"),
                json!({"type": "function", "function": {"name": "get_time"}}),
            ];
            if let Some(choice) = choices.get(choice) {
                chat["tool_choice"] = choice.clone();
            }
            if let Some(stop) = stop {
                chat["stop"] = json!([stop]);
            }
            if stream {
                chat["stream"] = json!(true);
                chat["stream_options"] = json!({"include_usage": true});
            }
            chat
        },
    )
}

/// What Anthropic puts together because it means the same: neighbours of one role.
fn joined(chat: &Value) -> Value {
    let mut chat = chat.clone();
    let mut messages: Vec<Value> = Vec::new();
    for message in chat["messages"].as_array().expect("is a list") {
        let of = |message: &Value| -> Vec<Value> {
            match &message["content"] {
                Value::Array(parts) => parts.clone(),
                text => vec![json!({"type": "text", "text": text})],
            }
        };
        match messages.last_mut() {
            Some(last) if last["role"] == "user" && message["role"] == "user" => {
                let parts = [of(last), of(message)].concat();
                last["content"] = Value::Array(parts);
            }
            _ => messages.push(message.clone()),
        }
    }
    chat["messages"] = Value::Array(messages);
    chat
}

proptest! {
    #[test]
    fn what_both_can_say_comes_back(chat in chat()) {
        let body = chat.to_string();
        let there = request(&ask(Endpoint::ChatCompletions, body.as_bytes())).expect("goes");
        let mut asked = ask(Endpoint::Messages, &there.body);
        asked.model = "m";
        // The model's name decides what the limit is called.
        let back = String::from_utf8(request(&asked).expect("comes back").body).expect("is text");
        let back = back.replace("\"max_tokens\":", "\"max_completion_tokens\":");
        let back: Value = serde_json::from_str(&back).expect("is JSON");
        prop_assert_eq!(back, joined(&chat));
    }
}

/// A conversation of Anthropic's that both dialects can say the same way.
fn conversation() -> impl Strategy<Value = Value> {
    let text = "[a-zA-Z é\"\\\\]{0,11}[a-z]";
    let block = prop_oneof![
        text.prop_map(|text| json!({"type": "text", "text": text})),
        "[a-z]{1,9}".prop_map(|path| {
            let url = format!("https://example.com/{path}.png");
            json!({"type": "image", "source": {"type": "url", "url": url}})
        }),
        "[A-Za-z0-9+/]{4,12}".prop_map(|data| {
            let source = json!({"type": "base64", "media_type": "image/png", "data": data});
            json!({"type": "image", "source": source})
        }),
    ];
    let asked = prop::collection::vec(block, 1..4);
    let call = text.prop_map(|text| json!({"z": text, "a": [1, 0.5, null, {"b": true}]}));
    let calls = prop::collection::vec((call, text), 0..3);
    let round = (asked.clone(), prop::option::of(text), calls);
    let settings = (1..9000u64, prop::option::of(text), 0..5usize, any::<bool>());
    (prop::collection::vec(round, 0..4), asked, settings).prop_map(
        |(rounds, last, (max, system, choice, single))| {
            let mut messages: Vec<Value> = Vec::new();
            let mut results = Vec::new();
            for (n, (mut asked, said, calls)) in rounds.into_iter().enumerate() {
                if said.is_none() && calls.is_empty() {
                    continue;
                }
                results.append(&mut asked);
                messages.push(json!({"role": "user", "content": std::mem::take(&mut results)}));
                let text = said.map(|text| json!({"type": "text", "text": text}));
                let mut blocks: Vec<_> = text.into_iter().collect();
                for (at, (input, result)) in calls.into_iter().enumerate() {
                    let id = format!("toolu_{n}_{at}");
                    blocks.push(json!({"type": "tool_use", "id": id, "name": "f", "input": input}));
                    results
                        .push(json!({"type": "tool_result", "tool_use_id": id, "content": result}));
                }
                messages.push(json!({"role": "assistant", "content": blocks}));
            }
            results.extend(last);
            messages.push(json!({"role": "user", "content": results}));
            let schema = json!({"type": "object", "properties": {"z": {"type": "string"}}});
            let tool = json!({"name": "f", "description": "d", "input_schema": schema});
            let mut asked = json!({
                "model": "m", "max_tokens": max, "messages": messages, "tools": [tool],
                "stream": true, "stop_sequences": ["END"], "metadata": {"user_id": "u"},
            });
            let choices = ["auto", "any", "none", "tool"];
            if let Some(kind) = choices.get(choice) {
                asked["tool_choice"] = json!({"type": kind});
                if *kind == "tool" {
                    asked["tool_choice"]["name"] = "f".into();
                }
                if single && *kind != "none" {
                    asked["tool_choice"]["disable_parallel_tool_use"] = true.into();
                }
            }
            if let Some(system) = system {
                asked["system"] = system.into();
            }
            asked
        },
    )
}

/// One plain text is as good as a list that holds it.
fn unfolded(asked: &Value) -> Value {
    let mut asked = asked.clone();
    for message in asked["messages"].as_array_mut().expect("a list") {
        if let Some(text) = message["content"].as_str().map(str::to_owned) {
            message["content"] = json!([{"type": "text", "text": text}]);
        }
    }
    asked
}

proptest! {
    #[test]
    fn what_both_can_converse_comes_back(asked in conversation()) {
        let body = asked.to_string();
        let mut there = ask(Endpoint::Messages, body.as_bytes());
        there.model = "m";
        let there = request(&there).expect("goes");
        let mut back = ask(Endpoint::ChatCompletions, &there.body);
        back.model = "m";
        let back = request(&back).expect("comes back").body;
        let back: Value = serde_json::from_slice(&back).expect("is JSON");
        prop_assert_eq!(unfolded(&back), asked);
    }
}

// === streams ===

/// An answer in pieces, in no dialect.
#[derive(Clone, Debug)]
struct Said {
    thinking: Vec<String>,
    text: Vec<String>,
    calls: Vec<Vec<String>>,
}

fn said() -> impl Strategy<Value = Said> {
    let pieces = |most| prop::collection::vec("[a-z é\"\\\\\n]{1,6}", 0..most);
    let call = prop::collection::vec("[a-z{}\\[\\]\"\\\\:, ]{0,9}", 1..5).prop_map(|values| {
        let text = json!({"k": values}).to_string();
        let mut pieces = Vec::new();
        let chars: Vec<char> = text.chars().collect();
        for piece in chars.chunks(3) {
            pieces.push(piece.iter().collect::<String>());
        }
        pieces
    });
    (pieces(3), pieces(5), prop::collection::vec(call, 0..4))
        .prop_map(|(thinking, text, calls)| Said { thinking, text, calls })
}

/// The same order for all calls, or any mixture of them that keeps each one's own order.
fn mixed(calls: &[Vec<String>], order: &[u8]) -> Vec<(usize, String)> {
    let mut left: Vec<std::collections::VecDeque<_>> =
        calls.iter().map(|pieces| pieces.iter().cloned().collect()).collect();
    let mut mixed = Vec::new();
    let mut order = order.iter().cycle();
    while left.iter().any(|pieces| !pieces.is_empty()) {
        let begun: Vec<_> = (0..left.len()).filter(|at| !left[*at].is_empty()).collect();
        let choice = order.next().map_or(0, |byte| usize::from(*byte));
        let at = begun[choice % begun.len()];
        let piece = left[at].pop_front().expect("it was not empty");
        mixed.push((at, piece));
    }
    mixed
}

fn chat_events(said: &Said, order: &[u8]) -> Vec<Value> {
    let chunk = |delta: Value, finish: Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
        json!({"id": "c", "choices": [choice]})
    };
    let mut all = vec![chunk(json!({"role": "assistant"}), Value::Null)];
    for text in &said.thinking {
        all.push(chunk(json!({"reasoning_content": text}), Value::Null));
    }
    for text in &said.text {
        all.push(chunk(json!({"content": text}), Value::Null));
    }
    // Every call is announced before any goes on, the hardest order there is.
    let call = |value: Value| chunk(json!({"tool_calls": [value]}), Value::Null);
    for at in 0..said.calls.len() {
        let function = json!({"name": format!("f{at}"), "arguments": ""});
        all.push(call(json!({"index": at, "id": format!("id{at}"), "function": function})));
    }
    for (at, piece) in mixed(&said.calls, order) {
        all.push(call(json!({"index": at, "function": {"arguments": piece}})));
    }
    all.push(chunk(json!({}), json!("stop")));
    all.push(json!({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 6}}));
    all
}

fn chat_whole(said: &Said) -> Value {
    let calls = said.calls.iter().enumerate().map(|(at, pieces)| {
        json!({"id": format!("id{at}"),
               "function": {"name": format!("f{at}"), "arguments": pieces.concat()}})
    });
    let mut message =
        json!({"content": said.text.concat(), "tool_calls": calls.collect::<Vec<_>>()});
    message["reasoning_content"] = said.thinking.concat().into();
    json!({"id": "c", "choices": [{"message": message, "finish_reason": "stop"}],
           "usage": {"prompt_tokens": 5, "completion_tokens": 6}})
}

fn anthropic_events(said: &Said) -> Vec<Value> {
    let mut all = vec![json!({"type": "message_start",
        "message": {"id": "c", "usage": {"input_tokens": 5, "output_tokens": 1}}})];
    let mut index = 0;
    let mut block = |start: Value, kind: &str, key: &str, pieces: &[String]| {
        all.push(json!({"type": "content_block_start", "index": index, "content_block": start}));
        for piece in pieces {
            let mut delta = json!({"type": kind});
            delta[key] = piece.clone().into();
            all.push(json!({"type": "content_block_delta", "index": index, "delta": delta}));
        }
        all.push(json!({"type": "content_block_stop", "index": index}));
        index += 1;
    };
    if !said.thinking.is_empty() {
        let start = json!({"type": "thinking", "thinking": "", "signature": ""});
        block(start, "thinking_delta", "thinking", &said.thinking);
    }
    if !said.text.is_empty() {
        block(json!({"type": "text", "text": ""}), "text_delta", "text", &said.text);
    }
    for (at, pieces) in said.calls.iter().enumerate() {
        let (id, name) = (format!("id{at}"), format!("f{at}"));
        let start = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
        block(start, "input_json_delta", "partial_json", pieces);
    }
    let reason = if said.calls.is_empty() { "end_turn" } else { "tool_use" };
    all.push(json!({"type": "message_delta", "delta": {"stop_reason": reason},
                    "usage": {"output_tokens": 6}}));
    all.push(json!({"type": "message_stop"}));
    all
}

fn anthropic_whole(said: &Said) -> Value {
    let mut content = Vec::new();
    if !said.thinking.is_empty() {
        content.push(json!({"type": "thinking", "thinking": said.thinking.concat()}));
    }
    if !said.text.is_empty() {
        content.push(json!({"type": "text", "text": said.text.concat()}));
    }
    for (at, pieces) in said.calls.iter().enumerate() {
        let input: Value = serde_json::from_str(&pieces.concat()).expect("is JSON");
        let (id, name) = (format!("id{at}"), format!("f{at}"));
        content.push(json!({"type": "tool_use", "id": id, "name": name, "input": input}));
    }
    json!({"id": "c", "content": content, "stop_reason": "end_turn",
           "usage": {"input_tokens": 5, "output_tokens": 6}})
}

fn index_of(value: &Value) -> Option<usize> {
    value["index"].as_u64().map(|index| usize::try_from(index).expect("is small"))
}

/// Puts a stream of chunks together as OpenAI's clients do.
fn assembled_chat(out: &str) -> Value {
    let mut message = json!({"role": "assistant", "content": null, "refusal": null});
    let (mut whole, mut usage, mut finish, mut done) = (json!({}), Value::Null, Value::Null, false);
    let mut calls: Vec<Value> = Vec::new();
    for (_, data) in events(out) {
        assert!(!done, "nothing comes after [DONE]");
        if data == "[DONE]" {
            done = true;
            continue;
        }
        let chunk: Value = serde_json::from_str(&data).expect("is JSON");
        for key in ["id", "created", "model"] {
            whole[key] = chunk[key].clone();
        }
        if !chunk["usage"].is_null() {
            usage = chunk["usage"].clone();
        }
        let Some(choice) = chunk["choices"].get(0) else { continue };
        assert!(finish.is_null(), "nothing comes after the finish reason");
        finish = choice["finish_reason"].clone();
        for key in ["content", "reasoning_content"] {
            if let Some(text) = choice["delta"][key].as_str().filter(|text| !text.is_empty()) {
                let before = message[key].as_str().unwrap_or_default().to_owned();
                message[key] = (before + text).into();
            }
        }
        for call in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
            let at = index_of(call).expect("has an index");
            if at == calls.len() {
                calls.push(json!({"id": call["id"], "type": call["type"],
                    "function": {"name": call["function"]["name"], "arguments": ""}}));
            }
            let more = call["function"]["arguments"].as_str().expect("is text");
            let before = calls[at]["function"]["arguments"].as_str().expect("is text").to_owned();
            calls[at]["function"]["arguments"] = (before + more).into();
        }
    }
    assert!(done);
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    } else if message["content"].is_null() {
        message["content"] = "".into();
    }
    whole["object"] = "chat.completion".into();
    whole["usage"] = usage;
    whole["choices"] =
        json!([{"index": 0, "message": message, "logprobs": null, "finish_reason": finish}]);
    whole
}

/// Puts a stream of events together as Anthropic's clients do.
fn assembled_message(out: &str) -> Value {
    let (mut message, mut stopped) = (Value::Null, false);
    let mut inputs: Vec<String> = Vec::new();
    let mut open = None;
    for (name, data) in events(out) {
        assert!(!stopped, "nothing comes after message_stop");
        let event: Value = serde_json::from_str(&data).expect("is JSON");
        assert_eq!(event["type"], name.as_str());
        let index = index_of(&event);
        match &*name {
            "message_start" => message = event["message"].clone(),
            "content_block_start" => {
                assert_eq!((open, index), (None, Some(inputs.len())));
                open = index;
                inputs.push(String::new());
                message["content"]
                    .as_array_mut()
                    .expect("a list")
                    .push(event["content_block"].clone());
            }
            "content_block_delta" => {
                assert_eq!(index, open);
                let at = index.expect("has an index");
                let delta = &event["delta"];
                for key in ["text", "thinking"] {
                    if let Some(text) = delta[key].as_str() {
                        let before =
                            message["content"][at][key].as_str().expect("is text").to_owned();
                        message["content"][at][key] = (before + text).into();
                    }
                }
                inputs[at] += delta["partial_json"].as_str().unwrap_or_default();
            }
            "content_block_stop" => {
                assert_eq!(index, open.take());
                let at = index.expect("has an index");
                if !inputs[at].is_empty() {
                    message["content"][at]["input"] =
                        serde_json::from_str(&inputs[at]).expect("is JSON");
                }
            }
            "message_delta" => {
                assert_eq!(open, None);
                message["stop_reason"] = event["delta"]["stop_reason"].clone();
                message["usage"] = event["usage"].clone();
            }
            "message_stop" => stopped = true,
            other => panic!("{other}"),
        }
    }
    assert!(stopped);
    message
}

/// The last event of a Responses stream, which must say what those before it said.
fn assembled_response(out: &str) -> Value {
    let (mut response, mut deltas, mut items) = (Value::Null, Vec::<String>::new(), Vec::new());
    for (at, (name, data)) in events(out).into_iter().enumerate() {
        assert!(response.is_null(), "nothing comes after response.completed");
        let event: Value = serde_json::from_str(&data).expect("is JSON");
        assert_eq!(event["type"], name.as_str());
        assert_eq!(event["sequence_number"], at);
        if let Some(index) = event["output_index"].as_u64() {
            assert_eq!(index, items.len() as u64, "items come one after another");
        }
        match &*name {
            "response.output_item.added" => deltas.push(String::new()),
            "response.output_item.done" => {
                let item = event["item"].clone();
                let content = &item["content"][0]["text"];
                let said = [content, &item["summary"][0]["text"], &item["arguments"]];
                let said: Vec<_> = said.iter().filter_map(|text| text.as_str()).collect();
                let delta = deltas.last().expect("it was added");
                assert!(said.concat() == *delta, "{item} is not {delta}");
                items.push(item);
            }
            "response.completed" => response = event["response"].clone(),
            _ => {
                if let Some(text) = event["delta"].as_str() {
                    *deltas.last_mut().expect("it was added") += text;
                }
            }
        }
    }
    assert_eq!(response["output"], Value::Array(items));
    response
}

fn streamed(back: &Back, events: &[Value], done: bool) -> String {
    let (mut stream, mut out) = (back.stream(&STAMP), Vec::new());
    for event in events {
        let name = event["type"].as_str().unwrap_or_default();
        let data = event.to_string();
        stream.event(name.as_bytes(), data.as_bytes(), &mut out).expect("is understood");
        assert!(done || !stream.is_complete() || name == "message_stop");
    }
    if done {
        stream.event(b"", b"[DONE]", &mut out).expect("is understood");
    }
    assert!(stream.finish(&mut out));
    String::from_utf8(out).expect("is text")
}

proptest! {
    #[test]
    fn a_stream_of_chunks_says_what_the_whole_says(
        said in said(),
        order in prop::collection::vec(any::<u8>(), 1..9),
    ) {
        let back = plain_back(Endpoint::Messages);
        let out = streamed(&back, &chat_events(&said, &order), true);
        let whole = back.answer(chat_whole(&said).to_string().as_bytes(), &STAMP).expect("is good");
        let whole: Value = serde_json::from_slice(&whole).expect("is JSON");
        prop_assert_eq!(assembled_message(&out), whole);
    }

    #[test]
    fn a_stream_of_blocks_says_what_the_whole_says(said in said()) {
        let body = json!({"model": "fast", "messages": [{"role": "user", "content": "hi"}],
            "stream": true, "stream_options": {"include_usage": true}}).to_string();
        let back = request(&ask(Endpoint::ChatCompletions, body.as_bytes())).expect("goes").back;
        let out = streamed(&back, &anthropic_events(&said), false);
        let whole = back.answer(anthropic_whole(&said).to_string().as_bytes(), &STAMP);
        let whole: Value = serde_json::from_slice(&whole.expect("is good")).expect("is JSON");
        let mut assembled = assembled_chat(&out);
        // Calls are compared by what they mean.
        let arguments = |value: &mut Value| {
            let calls = value["choices"][0]["message"]["tool_calls"].as_array_mut();
            for call in calls.into_iter().flatten() {
                let text = call["function"]["arguments"].as_str().expect("is text").to_owned();
                call["function"]["arguments"] = serde_json::from_str(&text).expect("is JSON");
            }
        };
        let mut whole = whole;
        arguments(&mut whole);
        arguments(&mut assembled);
        prop_assert_eq!(assembled, whole);
    }

    #[test]
    fn a_stream_of_items_says_what_the_whole_says(said in said()) {
        let back = plain_back(Endpoint::Responses);
        let out = streamed(&back, &anthropic_events(&said), false);
        let whole = back.answer(anthropic_whole(&said).to_string().as_bytes(), &STAMP);
        let mut whole: Value = serde_json::from_slice(&whole.expect("is good")).expect("is JSON");
        let mut assembled = assembled_response(&out);
        for response in [&mut whole, &mut assembled] {
            for item in response["output"].as_array_mut().expect("a list") {
                if let Some(text) = item["arguments"].as_str().map(str::to_owned) {
                    item["arguments"] = serde_json::from_str(&text).expect("is JSON");
                }
            }
        }
        prop_assert_eq!(assembled, whole);
    }

    /// Wherever it is cut, it does not look complete, and the client is told once.
    #[test]
    fn a_stream_that_is_cut_is_not_complete(said in said(), cut in any::<u16>(), which in 0..3) {
        let (back, events) = match which {
            0 => (plain_back(Endpoint::ChatCompletions), anthropic_events(&said)),
            1 => (plain_back(Endpoint::Responses), anthropic_events(&said)),
            _ => (plain_back(Endpoint::Messages), chat_events(&said, &[1, 0, 2])),
        };
        let events = &events[..usize::from(cut) % events.len()];
        let (mut stream, mut out) = (back.stream(&STAMP), Vec::new());
        for event in events {
            stream.event(b"", event.to_string().as_bytes(), &mut out).expect("is understood");
        }
        prop_assert!(!stream.finish(&mut out));
        let length = out.len();
        stream.broken("api_error", "again", &mut out);
        prop_assert!(!stream.finish(&mut out));
        prop_assert_eq!(length, out.len());
        let out = String::from_utf8(out).expect("is text");
        // `error` and `response.failed` say it both.
        let told = if out.contains("response.failed") { 2 } else { 1 };
        prop_assert_eq!(out.matches("broke off").count(), told);
        let reasons = ["\"finish_reason\":\"", "\"stop_reason\":\""];
        for end in ["[DONE]", "message_stop", "response.completed"].into_iter().chain(reasons) {
            prop_assert!(!out.contains(end), "{}", out);
        }
    }
}
