use serde_json::{Value, json};

use super::*;
use crate::http::sse::Events;
use crate::llm::Fault;
use Endpoint::{ChatCompletions, Completions, Messages, Responses};

fn see(tap: &mut Tap, data: &Value) -> Seen {
    let name = data.get("type").and_then(Value::as_str).unwrap_or_default();
    tap.data(name.as_bytes(), data.to_string().as_bytes())
}

fn chat(delta: Value, usage: Value) -> Value {
    json!({"id": "c", "object": "chat.completion.chunk", "choices":
        [{"index": 0, "delta": delta, "finish_reason": null}], "usage": usage})
}

#[test]
fn a_chat_stream_is_counted_to_its_end() {
    let mut tap = Tap::new(ChatCompletions);
    assert_eq!(
        see(&mut tap, &chat(json!({"role": "assistant", "content": ""}), json!(null))),
        Seen::Other
    );
    for _ in 0..10 {
        assert_eq!(see(&mut tap, &chat(json!({"content": "four"}), json!(null))), Seen::Delta);
    }
    let call = json!({"tool_calls": [{"index": 0, "function": {"arguments": "{\"a\":1"}}]});
    assert_eq!(see(&mut tap, &chat(call, json!(null))), Seen::Delta);
    assert_eq!(see(&mut tap, &chat(json!({"reasoning_content": "hm"}), json!(null))), Seen::Delta);
    assert_eq!((tap.deltas(), tap.text_bytes(), tap.output_estimate()), (12, 48, 12));
    assert_eq!((tap.usage(), tap.is_complete()), (None, false));
    assert_eq!(
        tap.usage_or_estimate(9),
        (Usage { input: 9, output: 12, ..Usage::default() }, true)
    );
    let usage = json!({"prompt_tokens": 20, "completion_tokens": 30, "total_tokens": 50,
        "prompt_tokens_details": {"cached_tokens": 5, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 7}});
    let last = json!({"id": "c", "choices": [], "usage": usage});
    assert_eq!(see(&mut tap, &last), Seen::Usage);
    let expected = Usage { input: 20, cached: 5, cache_write: 0, output: 30, reasoning: 7 };
    assert_eq!(tap.usage_or_estimate(9), (expected, false));
    assert_eq!(tap.data(b"", b"[DONE]"), Seen::Done);
    assert!(tap.is_complete() && tap.error().is_none());
}

#[test]
fn only_a_chunk_of_nothing_but_usage_is_hidden() {
    let usage = json!({"prompt_tokens": 1, "completion_tokens": 2});
    let mut tap = Tap::new(ChatCompletions);
    assert_eq!(see(&mut tap, &json!({"choices": [], "prompt_filter_results": []})), Seen::Other);
    assert_eq!(see(&mut tap, &json!({"choices": [], "usage": null})), Seen::Other);
    assert_eq!(see(&mut tap, &chat(json!({"content": "x"}), usage.clone())), Seen::Delta);
    assert!(tap.usage().is_some(), "some servers report with every chunk");
    assert_eq!(see(&mut tap, &chat(json!({"content": "y"}), json!(null))), Seen::Delta);
    assert_eq!(tap.usage(), None, "more was generated since");
    assert_eq!(see(&mut tap, &chat(json!({}), usage)), Seen::Other);
    assert!(tap.usage().is_some());
    let mut tap = Tap::new(Completions);
    assert_eq!(see(&mut tap, &json!({"choices": [{"text": "abc", "index": 0}]})), Seen::Delta);
    assert_eq!(tap.text_bytes(), 3);
}

#[test]
fn what_is_no_count_is_no_usage() {
    for count in [json!(-1), json!(1.5), json!("12"), json!(1e300), json!(2_000_000_000), json!([])]
    {
        let mut tap = Tap::new(ChatCompletions);
        let usage = json!({"prompt_tokens": 3, "completion_tokens": count});
        see(&mut tap, &json!({"choices": [], "usage": usage}));
        assert_eq!(tap.usage(), None, "{count}");
    }
    let mut tap = Tap::new(ChatCompletions);
    let text = br#"{"choices":[],"usage":{"prompt_tokens":1e400,"completion_tokens":1}}"#;
    tap.data(b"", text);
    assert_eq!(tap.usage(), None);
    assert_eq!(tap.data(b"", b"{\"choices\":"), Seen::Malformed);
    assert_eq!(tap.data(b"", b"not JSON"), Seen::Malformed);
    assert_eq!(tap.data(b"", b"\xff"), Seen::Malformed);
    assert_eq!(tap.data(b"", b" "), Seen::Other);
}

#[test]
fn what_was_thought_beside_the_completion_is_output() {
    let mut tap = Tap::new(ChatCompletions);
    let usage = json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 115,
        "completion_tokens_details": {"reasoning_tokens": 100}});
    see(&mut tap, &json!({"choices": [], "usage": usage}));
    let expected = Usage { input: 10, output: 105, reasoning: 100, ..Usage::default() };
    assert_eq!(tap.usage(), Some(expected));
}

#[test]
fn a_message_stream_is_counted_to_its_end() {
    let mut tap = Tap::new(Messages);
    let start = json!({"type": "message_start", "message": {"id": "msg", "content": [], "usage":
        {"input_tokens": 25, "cache_creation_input_tokens": 10, "cache_read_input_tokens": 100,
         "output_tokens": 1}}});
    assert_eq!(see(&mut tap, &start), Seen::Other);
    assert_eq!(see(&mut tap, &json!({"type": "ping"})), Seen::Other);
    let block = json!({"type": "content_block_start", "index": 0, "content_block":
        {"type": "text", "text": ""}});
    assert_eq!(see(&mut tap, &block), Seen::Other);
    for delta in [
        json!({"type": "text_delta", "text": "Hello there"}),
        json!({"type": "thinking_delta", "thinking": "Let me see"}),
        json!({"type": "input_json_delta", "partial_json": "{\"a\":"}),
    ] {
        let delta = json!({"type": "content_block_delta", "index": 0, "delta": delta});
        assert_eq!(see(&mut tap, &delta), Seen::Delta);
    }
    let signature = json!({"type": "content_block_delta", "delta":
        {"type": "signature_delta", "signature": "EqQBCgIYAhIM"}});
    assert_eq!(see(&mut tap, &signature), Seen::Other);
    assert_eq!(tap.usage(), None);
    // The input is known by now, the output estimated.
    let known = Usage { input: 135, cached: 100, cache_write: 10, output: 7, reasoning: 0 };
    assert_eq!(tap.usage_or_estimate(1), (known, true));
    let end = json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"},
        "usage": {"output_tokens": 42}});
    assert_eq!(see(&mut tap, &end), Seen::Other);
    assert_eq!(tap.usage_or_estimate(1), (Usage { output: 42, ..known }, false));
    assert!(!tap.is_complete());
    assert_eq!(see(&mut tap, &json!({"type": "message_stop"})), Seen::Done);
    assert!(tap.is_complete());
}

#[test]
fn a_response_stream_is_counted_to_its_end() {
    let mut tap = Tap::new(Responses);
    let created = json!({"type": "response.created", "sequence_number": 0, "response":
        {"id": "r", "status": "in_progress", "error": null, "usage": null, "instructions": "Hi"}});
    assert_eq!(see(&mut tap, &created), Seen::Other);
    for kind in ["output_text", "function_call_arguments", "reasoning_summary_text", "refusal"] {
        let delta = json!({"type": format!("response.{kind}.delta"), "delta": "abcd"});
        assert_eq!(see(&mut tap, &delta), Seen::Delta);
    }
    let audio = json!({"type": "response.audio.delta", "delta": "AAAAAAAA", "sequence_number": 5});
    assert_eq!(see(&mut tap, &audio), Seen::Other);
    let done = json!({"type": "response.output_text.done", "text": "abcdabcd"});
    assert_eq!(see(&mut tap, &done), Seen::Other);
    assert_eq!((tap.text_bytes(), tap.deltas(), tap.sequence()), (16, 4, 6));
    let completed = json!({"type": "response.completed", "response": {"status": "completed",
        "output": [], "usage": {"input_tokens": 37, "input_tokens_details": {"cached_tokens": 3},
        "output_tokens": 11, "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 48}}});
    assert_eq!(see(&mut tap, &completed), Seen::Done);
    let expected = Usage { input: 37, cached: 3, cache_write: 0, output: 11, reasoning: 2 };
    assert!(tap.is_complete() && tap.usage() == Some(expected));
}

#[test]
fn errors_are_seen_in_every_form() {
    for (endpoint, data, kind, fault) in [
        (
            ChatCompletions,
            json!({"error": {"message": "m", "type": "server_error", "code": null}}),
            "server_error",
            Fault::Server,
        ),
        (
            ChatCompletions,
            json!({"error": {"message": "m", "type": "tokens", "code": "rate_limit_exceeded"}}),
            "tokens",
            Fault::RateLimit,
        ),
        (
            ChatCompletions,
            json!({"error": {"message": "m", "code": 502}, "choices": []}),
            "",
            Fault::Server,
        ),
        (ChatCompletions, json!({"error": "m"}), "", Fault::Server),
        (
            Messages,
            json!({"type": "error", "error": {"type": "overloaded_error", "message": "m"}}),
            "overloaded_error",
            Fault::Overloaded,
        ),
        (
            Responses,
            json!({"type": "error", "code": "insufficient_quota", "message": "m", "param": null}),
            "",
            Fault::Quota,
        ),
        (
            Responses,
            json!({"type": "response.failed", "response": {"status": "failed", "usage": null,
                "error": {"code": "rate_limit_exceeded", "message": "m"}}}),
            "",
            Fault::RateLimit,
        ),
        (
            Responses,
            json!({"type": "error", "error":
            {"type": "invalid_request_error", "code": "invalid_api_key", "message": "m"}}),
            "invalid_request_error",
            Fault::Auth,
        ),
    ] {
        let mut tap = Tap::new(endpoint);
        assert_eq!(see(&mut tap, &data), Seen::Error, "{data}");
        let error = tap.error().expect("was told");
        assert_eq!((&*error.kind, &*error.message, error.fault()), (kind, "m", fault), "{data}");
        assert!(!tap.is_complete());
    }
    for (code, fault) in [
        ("RESOURCE_EXHAUSTED", Fault::RateLimit),
        ("ThrottlingException", Fault::RateLimit),
        ("UNAUTHENTICATED", Fault::Auth),
        ("model_not_found", Fault::NotFound),
        ("DEADLINE_EXCEEDED", Fault::Timeout),
        ("context_length_exceeded", Fault::Invalid),
        ("server_is_overloaded", Fault::Overloaded),
        ("internal", Fault::Server),
        ("", Fault::Server),
    ] {
        let error = ProviderError { code: code.into(), ..ProviderError::default() };
        assert_eq!(error.fault(), fault, "{code}");
    }
    let body = br#"{"type":"error","error":{"type":"rate_limit_error","message":"slow"}}"#;
    let error = ProviderError::of_body(body).expect("is one");
    assert_eq!(error.fault(), Fault::RateLimit);
    let long = format!("{{\"error\":{{\"message\":\"{}\"}}}}", "é".repeat(5000));
    let error = ProviderError::of_body(long.as_bytes()).expect("is one");
    assert_eq!(error.message.len(), crate::bounds::PROVIDER_ERROR_BYTES_MAX);
    let mut tap = Tap::new(Responses);
    see(&mut tap, &json!({"type": "error", "message": "x".repeat(5000)}));
    assert_eq!(tap.error().expect("was told").message.len(), 512);
    assert_eq!(ProviderError::of_body(b"<html>"), None);
}

#[test]
fn a_stream_of_bytes_is_tapped() {
    let stream = b": hi\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\r\n\r\n\
        data: {\"choices\":\ndata: []}\n\ndata:[DONE]\n\n";
    let (mut events, mut at, mut seen) = (Events::default(), 0, Vec::new());
    let mut tap = Tap::new(ChatCompletions);
    while let Some(event) = events.next(stream, &mut at).expect("is short") {
        seen.push(tap.event(&event));
    }
    seen.retain(|seen| *seen != Seen::Other);
    assert_eq!(seen, [Seen::Delta, Seen::Done]);
}

#[test]
fn what_has_said_why_it_stopped_lacks_only_its_last_event() {
    let stop = |index: u32, reason: Value| {
        let choice = json!({"index": index, "delta": {"content": "x"}, "finish_reason": reason});
        json!({"choices": [choice]})
    };
    let done: Option<&[u8]> = Some(b"data: [DONE]\n\n");
    let mut tap = Tap::new(ChatCompletions);
    assert_eq!(tap.last_event(1), None, "nothing has come");
    // index, why it stops, the last event of two choices, of one
    for (index, reason, of_two, of_one) in [
        (0, json!(null), None, None),
        (0, json!(""), None, None),
        (0, json!("stop"), None, done),
        (1, json!(null), None, None),
        (1, json!("length"), done, done),
    ] {
        see(&mut tap, &stop(index, reason.clone()));
        assert_eq!((tap.last_event(2), tap.last_event(1)), (of_two, of_one), "{index} {reason}");
    }
    see(&mut tap, &json!({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}));
    assert_eq!(tap.last_event(2), done, "usage comes behind it");
    tap.data(b"", b"[DONE]");
    assert_eq!(tap.last_event(2), None, "it is complete");

    let mut tap = Tap::new(Messages);
    see(&mut tap, &json!({"type": "content_block_delta", "delta": {"stop_reason": "no"}}));
    see(&mut tap, &json!({"type": "message_delta", "delta": {"stop_reason": null}}));
    assert_eq!(tap.last_event(1), None);
    see(&mut tap, &json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}));
    let last = tap.last_event(1).expect("it has stopped");
    assert!(last.starts_with(b"event: message_stop\ndata: {"));
    see(&mut tap, &json!({"type": "error", "error": {"type": "api_error", "message": "no"}}));
    assert_eq!(tap.last_event(1), None, "it has failed");

    let mut tap = Tap::new(Responses);
    see(&mut tap, &json!({"type": "response.output_text.delta", "delta": "x"}));
    assert_eq!(tap.last_event(1), None);
}
