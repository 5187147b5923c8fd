use serde_json::{Value, json};

use super::*;
use crate::llm::{Asked, Endpoint, estimate_input};

fn input(endpoint: Endpoint, member: &str, value: &Value) -> Input {
    let body = json!({"model": "m", member: value}).to_string();
    Asked::read(endpoint, body.as_bytes()).unwrap_or_else(|error| panic!("{error:?}: {body}")).input
}

fn messages(parts: &Value) -> Input {
    input(Endpoint::Messages, "messages", &json!([{"role": "user", "content": parts}]))
}

#[test]
fn text_is_counted_as_it_is_meant() {
    let said = |text: &str| messages(&json!(text)).text_bytes;
    let frame = said("");
    assert!(frame < 10, "{frame}");
    assert_eq!(said("hello") - frame, 5);
    // Six bytes of escape are three of text.
    let body = br#"{"model":"m","prompt":"\u4e2d\n"}"#;
    let asked = Asked::read(Endpoint::Completions, body).expect("is a request");
    assert_eq!(asked.input.text_bytes, 4);
    let parts =
        messages(&json!([{"type": "text", "text": "hello"}, {"type": "text", "text": "!"}]));
    assert_eq!((parts.text_bytes - frame, parts.messages), (6, 1));
}

#[test]
fn media_is_no_text() {
    let data = "A".repeat(90_000);
    let image = json!({"type": "base64", "media_type": "image/png", "data": data});
    let frame = 200;
    for part in [
        json!({"type": "image", "source": image}),
        json!({"source": image, "type": "image"}),
        json!({"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{data}")}}),
        json!({"type": "input_image", "image_url": format!("data:image/png;base64,{data}")}),
        json!({"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}),
        json!({"type": "image", "source": {"type": "file", "file_id": "f"}}),
    ] {
        let found = messages(&json!([part]));
        assert_eq!((found.images, found.media_tokens), (1, 0), "{found:?}");
        assert!(found.text_bytes < frame, "{found:?}");
    }
    for (part, tokens) in [
        (json!({"type": "document", "source": {"type": "base64", "data": data}}), 30_000),
        (json!({"type": "file", "file": {"file_data": data, "filename": "a.pdf"}}), 30_000),
        (json!({"type": "input_file", "file_id": "f"}), bounds::DOCUMENT_TOKENS),
        (json!({"type": "document", "source": {"type": "url", "url": "http://x/"}}), 10_000),
        (json!({"type": "input_audio", "input_audio": {"data": data, "format": "mp3"}}), 1406),
    ] {
        let found = messages(&json!([part]));
        assert_eq!((found.images, found.media_tokens), (0, tokens), "{part:.80}");
        assert!(found.text_bytes < frame, "{found:?}");
    }
    // What a tool has found is input too, images in it as well.
    let result = json!({"type": "tool_result", "tool_use_id": "t", "content": [
        {"type": "text", "text": "x".repeat(1000)}, {"type": "image", "source": image}]});
    let found = messages(&json!([result]));
    assert_eq!(found.images, 1);
    assert!((1000..1000 + frame).contains(&found.text_bytes));
}

#[test]
fn text_does_not_hide() {
    let long = "word ".repeat(20_000);
    for part in [
        json!({"type": "text", "data": long}),
        json!({"type": "unheard_of", "data": long}),
        json!({"data": long}),
        json!({"type": "document", "source": {"type": "text", "data": long}}),
        json!({"type": "document", "source": {"data": long, "type": "text"}}),
        json!({"type": "image", "alt": long}),
        json!({"type": "image", "text": long}),
        json!({"type": "text", "text": {"value": [long]}}),
        json!({"type": "image", "source": {"type": "base64", "x": {"data": long}}}),
        json!([[[[[[[[[[[long]]]]]]]]]]]),
        json!({"content": [{"content": [{"content": [{"content": [{"content": [long]}]}]}]}]}),
    ] {
        let found = messages(&json!([part]));
        assert!(found.text_bytes >= 100_000, "{part:.60}: {found:?}");
    }
}

#[test]
fn the_estimate_grows_with_what_is_asked() {
    let of = |body: Value| {
        let body = body.to_string();
        let asked = Asked::read(Endpoint::ChatCompletions, body.as_bytes()).expect("is a request");
        estimate_input(&asked)
    };
    let hello = of(json!({"model": "m", "messages": [{"role": "user", "content": "Hello!"}]}));
    // OpenAI counts 9 for it.
    assert!((9..30).contains(&hello), "{hello}");
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    assert!(of(json!({"model": "m", "messages": [], "tools": tools})) > 500);
    // The first article of the Universal Declaration of Human Rights: 31 tokens (o200k).
    let article = "All human beings are born free and equal in dignity and rights. They are \
        endowed with reason and conscience and should act towards one another in a spirit of \
        brotherhood.";
    let found = of(json!({"model": "m", "messages": [{"role": "user", "content": article}]}));
    assert!((31 + 7..120).contains(&found), "{found}");
    let numbers = br#"{"model":"m","input":[[1,2,3],[4,5]]}"#;
    let asked = Asked::read(Endpoint::Embeddings, numbers).expect("is a request");
    assert_eq!(estimate_input(&asked), 5);
}
