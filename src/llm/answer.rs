//! A whole answer, which came at once: what it cost, how much was said, or what went wrong.
//!
//! Reads it in one pass and keeps none of it. Knows no status and no provider: whatever the body
//! is, it is data of somebody else's.

use super::json::{Kind, Malformed, Reader, Text};
use super::reported::{ProviderError, Reported};
use super::spoken::spoken;
use super::{Endpoint, Usage};

/// What a whole answer says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whole {
    /// What the provider says it cost.
    pub usage: Option<Usage>,
    /// Bytes of what the model said; not counted where the provider says what it cost.
    pub output_bytes: u64,
    /// An error, which some providers put into an answer that has the status of success.
    pub error: Option<ProviderError>,
}

/// The members that mean something.
enum Member {
    Usage,
    Error,
    /// What the model said.
    Says,
}

/// Reads the body of an answer.
pub fn read(endpoint: Endpoint, body: &[u8]) -> Result<Whole, Malformed> {
    let says: Option<&[u8]> = match endpoint {
        Endpoint::ChatCompletions | Endpoint::Completions => Some(b"choices"),
        Endpoint::Responses => Some(b"output"),
        Endpoint::Messages => Some(b"content"),
        Endpoint::Embeddings | Endpoint::Models | Endpoint::CountTokens => None,
    };
    let member = |name: &Text<'_>| match &*name.name() {
        b"usage" => Some(Member::Usage),
        b"error" => Some(Member::Error),
        name => (says == Some(name)).then_some(Member::Says),
    };
    let (mut whole, mut said) = (Whole::default(), None);
    let mut reader = Reader::new(body);
    reader.begin_object()?;
    while let Some(member) = reader.next_known(member)? {
        match member {
            Member::Usage => {
                let reported = Reported::read(&mut reader)?;
                whole.usage = reported.and_then(|said| said.usage(endpoint.dialect()));
            }
            Member::Error => whole.error = ProviderError::read(&mut reader)?,
            Member::Says => {
                let is_list = reader.kind()? == Kind::Array;
                let span = reader.skip()?;
                said = is_list.then_some(span).or(said);
            }
        }
    }
    reader.end()?;
    if let (None, Some(said)) = (whole.usage, said) {
        whole.output_bytes = spoken(&mut Reader::new(&body[said]))?;
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn whole(endpoint: Endpoint, body: &Value) -> Whole {
        read(endpoint, body.to_string().as_bytes()).expect("is an answer")
    }

    /// What is counted where the provider does not say what it cost.
    fn counted(endpoint: Endpoint, body: &Value) -> u64 {
        let mut body = body.clone();
        body.as_object_mut().expect("an object").remove("usage");
        whole(endpoint, &body).output_bytes
    }

    #[test]
    fn every_endpoint_says_what_it_cost() {
        let chat = json!({"id": "c", "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "hello", "refusal": null}},
            {"index": 1, "message": {"content": null, "tool_calls": [{"id": "t", "type": "function",
                "function": {"name": "f", "arguments": "{}"}}]}}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}});
        let found = whole(Endpoint::ChatCompletions, &chat);
        let usage = Usage { input: 9, output: 4, ..Usage::default() };
        assert_eq!(found, Whole { usage: Some(usage), output_bytes: 0, error: None });
        assert_eq!(counted(Endpoint::ChatCompletions, &chat), 7);
        let text = json!({"choices": [{"text": "abc"}], "usage": null});
        let found = whole(Endpoint::Completions, &text);
        assert_eq!((found.usage, found.output_bytes), (None, 3));
        let embedding = json!({"data": [{"embedding": [0.1, -2e-3]}], "usage":
            {"prompt_tokens": 8, "total_tokens": 8}});
        let usage = Usage { input: 8, ..Usage::default() };
        assert_eq!(whole(Endpoint::Embeddings, &embedding).usage, Some(usage));
        let response = json!({"output": [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
            {"type": "message", "content":
                [{"type": "output_text", "text": "four", "logprobs": []}]},
            {"type": "function_call", "name": "f", "arguments": "{}"}],
            "error": null, "instructions": "long long", "usage": {"input_tokens": 5,
            "output_tokens": 6, "output_tokens_details": {"reasoning_tokens": 2}}});
        let found = whole(Endpoint::Responses, &response);
        let usage = Usage { input: 5, output: 6, reasoning: 2, ..Usage::default() };
        assert_eq!(found.usage, Some(usage));
        assert_eq!(counted(Endpoint::Responses, &response), 8);
        let message = json!({"type": "message", "content": [{"type": "text", "text": "hello"},
            {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}], "usage":
            {"input_tokens": 3, "cache_read_input_tokens": 7, "output_tokens": 2}});
        let found = whole(Endpoint::Messages, &message);
        let usage = Usage { input: 10, cached: 7, output: 2, ..Usage::default() };
        assert_eq!(found.usage, Some(usage));
        assert_eq!(counted(Endpoint::Messages, &message), 5 + 7);
        let count = whole(Endpoint::CountTokens, &json!({"input_tokens": 12}));
        assert_eq!(count, Whole::default());
    }

    #[test]
    fn an_error_may_come_with_success() {
        let body = json!({"error": {"message": "no", "code": 429}});
        let error = whole(Endpoint::ChatCompletions, &body).error.expect("is one");
        assert_eq!((&*error.code, &*error.message), ("429", "no"));
        assert!(read(Endpoint::ChatCompletions, b"<html>").is_err());
        assert!(read(Endpoint::ChatCompletions, b"{} {}").is_err());
        let deep = [b"{\"choices\":".to_vec(), b"[".repeat(100_000)].concat();
        assert!(read(Endpoint::ChatCompletions, &deep).is_err());
    }
}
