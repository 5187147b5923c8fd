use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use Endpoint::{ChatCompletions, Completions, CountTokens, Embeddings, Messages, Responses};

fn read(endpoint: Endpoint, body: &Value) -> Asked {
    let body = body.to_string();
    Asked::read(endpoint, body.as_bytes()).unwrap_or_else(|error| panic!("{error:?}: {body}"))
}

fn refused(endpoint: Endpoint, body: &str) -> (Option<&'static str>, &'static str) {
    let error = Asked::read(endpoint, body.as_bytes()).expect_err(body);
    assert!(error.at <= body.len());
    (error.param, error.reason)
}

fn rewritten(body: &str, model: &str, ask: bool) -> String {
    let asked = Asked::read(ChatCompletions, body.as_bytes()).expect("is a request");
    let mut out = Vec::new();
    asked.write_body(body.as_bytes(), model, ask, &mut out);
    let out = String::from_utf8(out).expect("is text");
    assert_eq!(asked.needs_rewriting(model, ask), out != body, "{out}");
    out
}

#[test]
fn a_chat_says_what_it_asks_for() {
    let asked = read(
        ChatCompletions,
        &json!({
            "model": "gpt-4o-mini",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                ]},
            ],
            "stream": true,
            "stream_options": {"include_usage": true},
            "max_completion_tokens": 77, "max_tokens": 5, "n": 3,
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
            "response_format": {"type": "json_object"},
            "reasoning_effort": "low",
            "service_tier": "flex",
            "x-unknown": [1, {"model": "another"}],
        }),
    );
    assert_eq!(asked.model(), "gpt-4o-mini");
    assert!(asked.stream && asked.includes_usage && asked.batch && !asked.continues);
    assert_eq!((asked.output_max, asked.choices), (Some(77), 3));
    assert_eq!(asked.features.words().count(), 5);
    assert_eq!((asked.input.messages, asked.input.images, asked.input.tools), (2, 1, 1));
    let plain = read(ChatCompletions, &json!({"model": "m", "messages": []}));
    assert!(plain.features.is_empty() && !plain.stream && !plain.batch);
    assert_eq!((plain.output_max, plain.choices), (None, 1));
}

#[test]
fn every_endpoint_has_its_own_members() {
    let asked = read(
        Messages,
        &json!({"model": "claude", "max_tokens": 10, "stream": true,
            "thinking": {"type": "enabled"},
            "system": "Be kind.", "messages": [{"role": "user", "content": "Hi"}],
            "output_config": {"format": {"type": "json_schema", "schema": {}}}, "n": "not ours"}),
    );
    assert_eq!((asked.output_max, asked.choices), (Some(10), 1));
    assert!(asked.features.contains(Features::JSON | Features::REASONING));
    let asked = read(
        Responses,
        &json!({"model": "o", "input": "Hi", "instructions": "Be kind.", "max_output_tokens": 9,
            "text": {"format": {"type": "json_schema", "name": "x"}},
            "reasoning": {"effort": "none"},
            "previous_response_id": "resp_1", "stream": null}),
    );
    assert_eq!((asked.output_max, asked.continues, asked.stream), (Some(9), true, false));
    assert_eq!(asked.features, Features::JSON);
    let asked =
        read(Completions, &json!({"model": "d", "prompt": ["a", "b"], "n": 2, "best_of": 4}));
    assert_eq!(asked.choices, 2 * 4, "for each of two prompts");
    for (prompt, choices) in [(json!("a"), 1), (json!([1, 2, 3]), 1), (json!([[1, 2], [3]]), 2)] {
        let asked = read(Completions, &json!({"model": "d", "prompt": prompt}));
        assert_eq!(asked.choices, choices);
    }
    let asked = read(Embeddings, &json!({"model": "e", "input": [[1, 2, 3], [4]], "stream": true}));
    assert_eq!((asked.input.tokens, asked.stream, asked.input.text_bytes), (4, false, 0));
    let asked = read(CountTokens, &json!({"model": "c", "messages": [], "thinking": null}));
    assert!(asked.features.is_empty());
    let off = read(Messages, &json!({"model": "c", "thinking": {"type": "disabled"}}));
    assert!(off.features.is_empty());
}

#[test]
fn what_is_wrong_is_told_by_its_name() {
    let whole = "a whole number was expected, not below 0";
    let chat = |member: &str| refused(ChatCompletions, &format!("{{\"model\":\"m\",{member}}}"));
    for number in ["1e400", "-1", "1.5", "\"5\"", "true", "[]", "99999999999999999999", "1e2"] {
        assert_eq!(chat(&format!("\"max_tokens\":{number}")), (Some("max_tokens"), whole));
        assert_eq!(chat(&format!("\"n\":{number}")), (Some("n"), whole), "{number}");
    }
    assert_eq!(chat("\"n\":0"), (Some("n"), "it must be from 1 to 128"));
    assert_eq!(chat("\"n\":129"), (Some("n"), "it must be from 1 to 128"));
    assert_eq!(chat("\"stream\":1"), (Some("stream"), "true or false was expected"));
    assert_eq!(chat("\"stream\":\"true\"").0, Some("stream"));
    assert_eq!(chat("\"stream_options\":[]").0, Some("stream_options"));
    let usage = chat("\"stream_options\":{\"include_usage\":1}");
    assert_eq!(usage.0, Some("stream_options.include_usage"));
    assert_eq!(chat("\"service_tier\":7").0, Some("service_tier"));
    assert_eq!(chat("\"tools\":{}").0, Some("tools"));
    assert_eq!(chat("\"response_format\":\"json\"").0, Some("response_format"));
    let twice = "it is there twice";
    assert_eq!(chat("\"model\":\"n\""), (Some("model"), twice));
    assert_eq!(chat("\"mod\\u0065l\":\"n\""), (Some("model"), twice));
    assert_eq!(chat("\"stream\":true,\"stream\":false"), (Some("stream"), twice));
    assert_eq!(chat("\"Model\":\"n\""), (Some("model"), "its name must be in lower case"));
    assert_eq!(
        chat("\"stream_options\":{\"include_usage\":true,\"include_usage\":false}"),
        (Some("stream_options"), twice)
    );
    assert_eq!(chat("\"messages\":[{\"type\":\"text\",\"type\":\"image\"}]").0, Some("type"));
    assert_eq!(chat("\"x\":tru").0, None);
}

#[test]
fn no_member_is_longer_than_is_looked_at() {
    for (name, _, endpoints) in MEMBERS {
        assert!(name.len() <= MEMBER_BYTES_MAX && !endpoints.is_empty(), "{name}");
        assert_eq!(*name, name.to_ascii_lowercase());
        assert_eq!(MEMBERS.iter().filter(|(other, ..)| other == name).count(), 1);
    }
}

#[test]
fn a_model_has_a_name() {
    let of = |name: &str| refused(ChatCompletions, &format!("{{\"model\":{name}}}"));
    assert_eq!(of("\"\""), (Some("model"), "it is empty"));
    assert_eq!(of("null"), (Some("model"), "a string was expected"));
    assert_eq!(of("[\"m\"]"), (Some("model"), "a string was expected"));
    assert_eq!(of("\"a\\u0000b\""), (Some("model"), "it has a control character"));
    assert_eq!(of("\"a\\r\\nb\""), (Some("model"), "it has a control character"));
    assert_eq!(of("\"\\ud800\""), (Some("model"), "it is no Unicode text"));
    let long = "x".repeat(bounds::MODEL_NAME_BYTES_MAX + 1);
    assert_eq!(of(&format!("\"{long}\"")), (Some("model"), "it is too long"));
    assert_eq!(refused(ChatCompletions, "{}"), (Some("model"), "it is missing"));
    assert_eq!(refused(ChatCompletions, "[]"), (None, "an object was expected"));
    assert_eq!(refused(ChatCompletions, ""), (None, "an object was expected"));
    assert_eq!(refused(ChatCompletions, "{\"model\":\"m\"} {}").1, "something follows the end");
    let longest = "é".repeat(bounds::MODEL_NAME_BYTES_MAX / 2);
    assert_eq!(read(ChatCompletions, &json!({"model": longest})).model(), longest);
}

#[test]
fn a_body_changes_where_it_must_and_nowhere_else() {
    let chat = r#"{ "x" : 1.50, "model" : "a", "stream":true , "y":"é" }"#;
    let options = r#""stream_options":{"include_usage":true},"#;
    assert_eq!(rewritten(chat, "a", false), chat);
    assert_eq!(
        rewritten(chat, "b\"c", false),
        r#"{ "x" : 1.50, "model" : "b\"c", "stream":true , "y":"é" }"#
    );
    assert_eq!(rewritten(chat, "a", true), format!("{{{options}{}", &chat[1..]));
    for (options, expected) in [
        ("null", r#"{"include_usage":true}"#),
        ("{}", r#"{"include_usage":true}"#),
        (r#"{ "z":[1] }"#, r#"{"include_usage":true, "z":[1] }"#),
        (r#"{"z":1,"include_usage":false}"#, r#"{"z":1,"include_usage":true}"#),
        (r#"{"include_usage": null ,"z":1}"#, r#"{"include_usage": true ,"z":1}"#),
        (r#"{"include_usage":true}"#, r#"{"include_usage":true}"#),
    ] {
        for model_first in [true, false] {
            let body = |model: &str, options: &str| match model_first {
                true => {
                    format!(r#"{{"model":"{model}","stream":true,"stream_options":{options}}}"#)
                }
                false => {
                    format!(r#"{{"stream_options":{options},"stream":true,"model":"{model}"}}"#)
                }
            };
            assert_eq!(rewritten(&body("a", options), "bcd", true), body("bcd", expected));
            assert_eq!(rewritten(&body("a", options), "a", false), body("a", options));
        }
    }
    // Who does not stream cannot be told the usage of a stream.
    let whole = r#"{"model":"a","stream":false}"#;
    assert_eq!(rewritten(whole, "a", true), whole);
    let body = br#"{"model":"a","stream":true}"#;
    for endpoint in [Responses, Messages] {
        let asked = Asked::read(endpoint, body).expect("is a request");
        assert!(!asked.needs_rewriting("a", true));
    }
    assert!(Asked::read(Completions, body).expect("is a request").needs_rewriting("a", true));
}

proptest! {
    #[test]
    fn rewriting_is_what_a_tree_would_do(
        model in "[a-z\"\\\\é]{1,8}",
        to in "[a-z\"\\\\é]{1,8}",
        options in prop_oneof![
            Just(None),
            Just(Some(json!(null))),
            Just(Some(json!({}))),
            Just(Some(json!({"include_obfuscation": false}))),
            Just(Some(json!({"include_usage": false, "z": 1}))),
            Just(Some(json!({"include_usage": true}))),
        ],
        first: bool,
    ) {
        let mut members = vec![
            ("messages", json!([{"role": "user", "content": "hi"}])),
            ("model", json!(model)),
            ("stream", json!(true)),
        ];
        if let Some(options) = options {
            let at = if first { 0 } else { members.len() };
            members.insert(at, ("stream_options", options));
        }
        let mut tree: Value = members.iter().cloned().collect();
        let text: Vec<String> =
            members.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
        let body = format!("{{{}}}", text.join(" , "));
        let out = rewritten(&body, &to, true);
        tree["model"] = json!(to);
        if tree["stream_options"].is_null() {
            tree["stream_options"] = json!({});
        }
        tree["stream_options"]["include_usage"] = json!(true);
        prop_assert_eq!(serde_json::from_str::<Value>(&out).expect("is JSON"), tree);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>, front in "\\{\"model\":\"m\",\"[a-z_]{0,8}") {
        let body = [front.as_bytes(), &bytes].concat();
        for endpoint in [ChatCompletions, Completions, Embeddings, Responses, Messages] {
            if let Ok(asked) = Asked::read(endpoint, &body) {
                let mut out = Vec::new();
                asked.write_body(&body, "other", true, &mut out);
                let again = Asked::read(endpoint, &out).expect("is still a request");
                prop_assert_eq!(again.model(), "other");
            }
        }
    }
}
