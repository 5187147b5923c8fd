//! What holds of any bytes at all, for the property tests and the fuzz target.

use serde_json::{Value, json};

use crate::llm::dialect::{Ask, Back, Stamp, error, request};
use crate::llm::{Dialect, Endpoint};

const STAMP: Stamp<'static> = Stamp { unix: 1_700_000_000, id: "0a1b" };

pub const ENDPOINTS: [Endpoint; 3] =
    [Endpoint::ChatCompletions, Endpoint::Messages, Endpoint::Responses];

fn ask(from: Endpoint, body: &[u8]) -> Ask<'_> {
    let to = match from.dialect() {
        Dialect::OpenAi => Dialect::Anthropic,
        Dialect::Anthropic => Dialect::OpenAi,
    };
    Ask { from, to, body, model: "m", output_max: 4096 }
}

/// The way back of a request that asks for all there is.
pub fn plain_back(from: Endpoint) -> Back {
    let body = json!({
        "model": "fast", "max_tokens": 9, "input": "hi",
        "messages": [{"role": "user", "content": "hi"}],
        "thinking": {"type": "enabled", "budget_tokens": 2000},
    });
    let body = body.to_string();
    request(&ask(from, body.as_bytes())).expect("is translated").back
}

/// The way back of a request for JSON, whose answer is wrapped.
fn wrapped_back(from: Endpoint) -> Back {
    let format = json!({"type": "json_object"});
    let body = json!({
        "model": "fast", "max_tokens": 9, "input": "hi", "text": {"format": format},
        "messages": [{"role": "user", "content": "hi"}], "response_format": format,
    });
    let body = body.to_string();
    request(&ask(from, body.as_bytes())).expect("is translated").back
}

fn is_json(bytes: &[u8]) {
    serde_json::from_slice::<Value>(bytes).expect("what is written is JSON");
}

/// Bytes as a request, an answer and an error of every endpoint.
pub fn as_bodies(body: &[u8]) {
    for from in ENDPOINTS {
        let asked = ask(from, body);
        match request(&asked) {
            Ok(translated) => {
                is_json(&translated.body);
                translated.back.stream(&STAMP).finish(&mut Vec::new());
            }
            Err(refused) => assert!(!refused.message.is_empty()),
        }
        for back in [plain_back(from), wrapped_back(from)] {
            if let Ok(answer) = back.answer(body, &STAMP) {
                is_json(&answer);
            }
        }
        for status in [0, 200, 400, 418, 429, 503, u16::MAX] {
            let (told, body) = error(from, asked.to, status, body);
            assert!((400..600).contains(&told), "{status} became {told}");
            is_json(&body);
        }
    }
}

/// Bytes as a stream's events, one a line, to every endpoint.
pub fn as_streams(text: &[u8]) {
    for from in ENDPOINTS {
        for back in [plain_back(from), wrapped_back(from)] {
            let (mut stream, mut out) = (back.stream(&STAMP), Vec::new());
            for line in text.split(|byte| *byte == b'\n') {
                let name = if line.len() % 16 == 15 { &b"error"[..] } else { b"" };
                let _ = stream.event(name, line, &mut out);
            }
            let complete = stream.finish(&mut out);
            assert_eq!(complete, stream.finish(&mut out));
            assert_eq!(complete, stream.is_complete());
            well_formed(&out, complete);
        }
    }
}

/// Whole events that hold JSON; an end if and only if it is complete, and nothing behind it.
fn well_formed(out: &[u8], complete: bool) {
    let text = std::str::from_utf8(out).expect("is text");
    assert!(text.is_empty() || text.ends_with("\n\n"), "{text}");
    let mut ends = 0;
    for event in text.split_terminator("\n\n") {
        assert_eq!(ends, 0, "nothing stands behind the end: {text}");
        let name = event.lines().find_map(|line| line.strip_prefix("event: "));
        let data = event.lines().find_map(|line| line.strip_prefix("data: "));
        assert!(data.is_some() || event == ": ping", "{event}");
        match data {
            Some("[DONE]") => ends += 1,
            Some(data) => is_json(data.as_bytes()),
            None => {}
        }
        let last = ["message_stop", "response.completed", "response.incomplete"];
        ends += usize::from(name.is_some_and(|name| last.contains(&name)));
    }
    assert_eq!(ends, usize::from(complete), "{text}");
}
