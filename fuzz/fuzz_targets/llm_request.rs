//! Requests to models: no panic, what is read is JSON, and what is written for a provider is the
//! same request with another model's name.
//!
//! The first byte chooses the endpoint.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::llm::{Asked, Endpoint, estimate_input};
use serde_json::Value;

fuzz_target!(|input: &[u8]| {
    let Some((&choice, body)) = input.split_first() else { return };
    let endpoint = match choice % 6 {
        0 => Endpoint::ChatCompletions,
        1 => Endpoint::Completions,
        2 => Endpoint::Embeddings,
        3 => Endpoint::Responses,
        4 => Endpoint::Messages,
        _ => Endpoint::CountTokens,
    };
    let asked = match Asked::read(endpoint, body) {
        Ok(asked) => asked,
        Err(error) => return assert!(error.at <= body.len()),
    };
    assert!(!asked.model().is_empty() && !asked.model().chars().any(char::is_control));
    assert!(asked.input.text_bytes <= 2 * body.len() as u64);
    assert!(estimate_input(&asked) >= asked.input.tokens);
    let mut out = Vec::new();
    asked.write_body(body, "an\"other", true, &mut out);
    let again = Asked::read(endpoint, &out).expect("it is still a request");
    assert_eq!(again.model(), "an\"other");
    assert!(!again.needs_rewriting("an\"other", true), "the usage is asked for");
    assert_eq!((again.input, again.stream), (asked.input, asked.stream));
    assert_eq!((again.output_max, again.choices), (asked.output_max, asked.choices));
    assert_eq!((again.features, again.batch), (asked.features, asked.batch));
    // Half a surrogate pair and a number out of range are JSON, but no values to serde_json.
    let Ok(mut before) = serde_json::from_slice::<Value>(body) else { return };
    let mut after: Value = serde_json::from_slice(&out).expect("only a name was changed");
    for tree in [&mut before, &mut after] {
        let members = tree.as_object_mut().expect("a request is an object");
        members.remove("model");
        members.remove("stream_options");
    }
    assert_eq!(before, after);
});
