//! The mock model's wire, byte for byte where clients look: formats, usage, faults, counters.
//! Every test has a process of its own on a free port.

mod kit;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use kit::Served;
use serde_json::{Value, json};

struct Mock {
    served: Served,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
    /// The body ended as its framing said it would.
    is_whole: bool,
}

// === impl Mock ===

impl Mock {
    fn start(flags: &[&str]) -> Mock {
        Mock { served: Served::mock(flags) }
    }

    fn open(&self, method: &str, path: &str, fields: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.served.address).expect("the mock listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: m\r\nConnection: close\r\n{fields}\
             Content-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).expect("the mock reads");
        stream
    }

    fn ask(&self, method: &str, path: &str, fields: &str, body: &str) -> Answer {
        let mut stream = self.open(method, path, fields, body);
        let mut bytes = Vec::new();
        let ended = stream.read_to_end(&mut bytes).is_ok();
        Answer::read(&bytes, ended)
    }

    fn chat(&self, body: &Value) -> Answer {
        self.ask("POST", "/v1/chat/completions", "", &body.to_string())
    }

    fn message(&self, body: &Value) -> Answer {
        let fields = "anthropic-version: 2023-06-01\r\n";
        self.ask("POST", "/v1/messages", fields, &body.to_string())
    }

    fn counters(&self) -> Value {
        self.ask("GET", "/mock/counters", "", "").json()
    }

    /// Until nothing is generated any more.
    fn settled(&self) -> Value {
        let begun = now();
        loop {
            let counters = self.counters();
            if counters["running"] == 0 || begun.elapsed() > Duration::from_secs(10) {
                return counters;
            }
        }
    }
}

// === impl Answer ===

impl Answer {
    fn read(bytes: &[u8], ended: bool) -> Answer {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let (head, rest) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        let head = head.to_ascii_lowercase();
        let (body, is_whole) = if head.contains("transfer-encoding: chunked") {
            unchunked(rest)
        } else {
            let length = head.split("content-length: ").nth(1).and_then(|s| s.lines().next());
            let length = length.and_then(|n| n.trim().parse().ok()).unwrap_or(usize::MAX);
            (rest.to_owned(), rest.len() == length)
        };
        Answer { status, head, body, is_whole: is_whole && ended }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    /// The events' data, `[DONE]` and all.
    fn data(&self) -> Vec<&str> {
        self.body.lines().filter_map(|line| line.strip_prefix("data: ")).collect()
    }

    fn events(&self) -> Vec<Value> {
        let data = self.data().into_iter().filter(|data| *data != "[DONE]");
        data.map(|data| serde_json::from_str(data).expect("JSON")).collect()
    }

    fn joined(&self, pointer: &str) -> String {
        let events = self.events();
        events.iter().filter_map(|event| event.pointer(pointer)?.as_str()).collect()
    }
}

fn unchunked(mut rest: &str) -> (String, bool) {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a chunk's size");
        if size == 0 {
            return (body, after == "\r\n");
        }
        body.push_str(&after[..size.min(after.len())]);
        rest = after.get(size + 2..).unwrap_or("");
    }
    (body, false)
}

#[expect(clippy::disallowed_methods, reason = "a test that measures reads a clock")]
fn now() -> Instant {
    Instant::now()
}

fn says(model: &str, text: &str) -> Value {
    json!({"model": model, "max_tokens": 1000, "messages": [{"role": "user", "content": text}]})
}

fn with(mut body: Value, more: Value) -> Value {
    let more = more.as_object().expect("an object").clone();
    body.as_object_mut().expect("an object").extend(more);
    body
}

fn tool(name: &str) -> Value {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    json!({"type": "function", "name": name, "input_schema": schema,
        "function": {"name": name, "parameters": schema}})
}

#[test]
fn a_chat_completion_and_its_stream_say_the_same() {
    let mock = Mock::start(&["--tokens", "5"]);
    let whole = mock.chat(&says("gpt-4o", "12345")).json();
    assert_eq!(whole["object"], "chat.completion");
    assert_eq!(whole["choices"][0]["message"]["content"], "t0 t1 t2 t3 t4");
    assert_eq!(whole["choices"][0]["finish_reason"], "stop");
    let usage = &whole["usage"];
    assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"]), (&json!(2), &json!(5)));
    assert_eq!(usage["total_tokens"], 7);

    let asked = with(says("gpt-4o", "12345"), json!({"stream": true}));
    let stream = mock.chat(&asked);
    assert!(stream.head.contains("content-type: text/event-stream"), "{}", stream.head);
    assert!(stream.is_whole);
    assert_eq!(stream.joined("/choices/0/delta/content"), "t0 t1 t2 t3 t4");
    assert_eq!(stream.data().last(), Some(&"[DONE]"));
    assert!(!stream.body.contains("usage"), "nobody asked for it");
    let ids: std::collections::BTreeSet<_> =
        stream.events().iter().map(|event| event["id"].to_string()).collect();
    assert_eq!(ids.len(), 1);

    let asked = with(asked, json!({"stream_options": {"include_usage": true}, "n": 2}));
    let events = mock.chat(&asked).events();
    let last = events.last().expect("events");
    assert_eq!((&last["choices"], &last["usage"]["completion_tokens"]), (&json!([]), &json!(10)));
    assert!(events[..events.len() - 1].iter().all(|event| event["usage"].is_null()));
    let second = events.iter().filter(|event| event["choices"][0]["index"] == 1);
    assert_eq!(second.count(), 7, "a role, five words, an end");
}

#[test]
fn a_message_is_built_of_the_events_anthropic_sends() {
    let mock = Mock::start(&[]);
    let asked = with(says("mock-t3-c1", "12345"), json!({"stream": true}));
    let answer = mock.message(&asked);
    let names: Vec<_> =
        answer.body.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    let expected = "message_start content_block_start ping content_block_delta \
        content_block_delta content_block_delta content_block_stop message_delta message_stop";
    assert_eq!(names.join(" "), expected);
    assert_eq!(answer.joined("/delta/text"), "t0 t1 t2");
    let events = answer.events();
    assert_eq!(events[0]["message"]["usage"]["input_tokens"], 1);
    assert_eq!(events[0]["message"]["usage"]["cache_read_input_tokens"], 1);
    let end = &events[events.len() - 2];
    assert_eq!(end["delta"]["stop_reason"], "end_turn");
    assert_eq!(end["usage"]["output_tokens"], 3);
    // Thoughts come first and are signed.
    let thinks = with(asked, json!({"thinking": {"type": "enabled", "budget_tokens": 1024}}));
    let answer = mock.message(&thinks);
    assert_eq!(answer.joined("/delta/thinking"), "t0 t1 t2 t3");
    assert!(!answer.joined("/delta/signature").is_empty());
    let whole = mock.message(&says("mock-t3", "x")).json();
    assert_eq!(whole["content"], json!([{"type": "text", "text": "t0 t1 t2"}]));
    let count = mock.ask(
        "POST",
        "/v1/messages/count_tokens",
        "anthropic-version: 2023-06-01\r\n",
        &says("claude-x", "123456789").to_string(),
    );
    assert_eq!(count.json(), json!({"input_tokens": 3}));
}

#[test]
fn a_maximum_is_kept_and_said() {
    let mock = Mock::start(&[]);
    let cut = |n: u64| json!({"max_tokens": n, "max_output_tokens": n});
    let chat = mock.chat(&with(says("mock-t9", "x"), cut(4))).json();
    assert_eq!(chat["choices"][0]["message"]["content"], "t0 t1 t2 t3");
    assert_eq!(chat["choices"][0]["finish_reason"], "length");
    let message = mock.message(&with(says("mock-t9", "x"), cut(4))).json();
    assert_eq!(
        (&message["stop_reason"], &message["usage"]["output_tokens"]),
        (&json!("max_tokens"), &json!(4))
    );
    let asked = json!({"model": "mock-t9", "input": "x", "max_output_tokens": 4});
    let response = mock.ask("POST", "/v1/responses", "", &asked.to_string()).json();
    assert_eq!(response["status"], "incomplete");
    assert_eq!(response["usage"]["output_tokens"], 4);
    let hidden = with(says("mock-t9-r3", "x"), cut(5));
    let chat = mock.chat(&hidden).json();
    assert_eq!(chat["choices"][0]["message"]["content"], "t0 t1");
    assert_eq!(chat["usage"]["completion_tokens_details"]["reasoning_tokens"], 3);
}

#[test]
fn tools_are_called_in_both_dialects() {
    let mock = Mock::start(&[]);
    let tools = json!({"tools": [tool("f"), tool("g")]});
    let asked = with(says("gpt-4o", "call all tools"), tools);
    let whole = mock.chat(&asked).json();
    let calls = &whole["choices"][0]["message"]["tool_calls"];
    assert_eq!(calls[1]["function"], json!({"name": "g", "arguments": r#"{"city":"Paris"}"#}));
    assert_eq!(whole["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(whole["usage"]["completion_tokens"], 6, "a name and two pieces, twice");
    let stream = with(asked, json!({"stream": true}));
    let events = mock.chat(&stream).events();
    let of = |n: u64| {
        let deltas = events.iter().map(|event| &event["choices"][0]["delta"]["tool_calls"][0]);
        let own = deltas.filter(|call| call["index"] == n);
        own.filter_map(|call| call["function"]["arguments"].as_str()).collect::<String>()
    };
    assert_eq!((of(0).as_str(), of(1).as_str()), (r#"{"city":"Paris"}"#, r#"{"city":"Paris"}"#));
    let message = mock.message(&stream);
    assert_eq!(message.joined("/delta/partial_json"), r#"{"city":"Paris"}{"city":"Paris"}"#);
    assert_eq!(message.joined("/content_block/name"), "fg");
    assert_eq!(message.joined("/delta/stop_reason"), "tool_use");
}

#[test]
fn responses_number_their_events() {
    let mock = Mock::start(&[]);
    let asked = json!({"model": "mock-t3", "input": "12345", "stream": true});
    let answer = mock.ask("POST", "/v1/responses", "", &asked.to_string());
    let events = answer.events();
    for (n, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], n);
    }
    assert_eq!(events[0]["type"], "response.created");
    let end = events.last().expect("events");
    assert_eq!(end["type"], "response.completed");
    assert_eq!(end["response"]["output"][0]["content"][0]["text"], "t0 t1 t2");
    assert_eq!(end["response"]["usage"]["total_tokens"], 5);
    assert_eq!(answer.joined("/delta"), "t0 t1 t2");
    assert!(!answer.body.contains("[DONE]"));
}

#[test]
fn other_endpoints_answer_in_their_form() {
    let mock = Mock::start(&["--tokens", "2"]);
    let text = json!({"model": "gpt-x", "prompt": "1234"}).to_string();
    let text = mock.ask("POST", "/v1/completions", "", &text).json();
    assert_eq!(
        (&text["object"], &text["choices"][0]["text"]),
        (&json!("text_completion"), &json!("t0 t1"))
    );
    let asked = json!({"model": "text-embedding-3", "input": ["a", "b"], "dimensions": 8});
    let floats = mock.ask("POST", "/v1/embeddings", "", &asked.to_string()).json();
    assert_eq!(floats["data"][1]["embedding"].as_array().map(Vec::len), Some(8));
    let asked = with(asked, json!({"encoding_format": "base64"}));
    let coded = mock.ask("POST", "/v1/embeddings", "", &asked.to_string()).json();
    let text = coded["data"][0]["embedding"].as_str().expect("base64");
    assert_eq!(text.len(), 44, "32 bytes");
    let models = mock.ask("GET", "/v1/models", "", "").json();
    assert_eq!(models["object"], "list");
    let json_mode = with(says("gpt-x", "x"), json!({"response_format": {"type": "json_object"}}));
    let said = mock.chat(&json_mode).json();
    let said = said["choices"][0]["message"]["content"].as_str().expect("text").to_owned();
    assert!(serde_json::from_str::<Value>(&said).expect("JSON").is_object());
}

#[test]
fn refusals_speak_the_dialect() {
    let mock = Mock::start(&["--key", "sk-a,sk-b"]);
    let post = |path: &str, fields: &str, body: &str| mock.ask("POST", path, fields, body);
    let openai = |fields: &str, body: &str| post("/v1/chat/completions", fields, body);
    let good = says("gpt-4o", "x").to_string();
    let answer = openai("", &good);
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (401, &Value::Null));
    let answer = openai("Authorization: Bearer sk-c\r\n", &good);
    assert_eq!(answer.json()["error"]["code"], "invalid_api_key");
    let auth = "authorization: Bearer sk-b\r\n";
    assert_eq!(openai(auth, &good).status, 200);
    let answer = openai(auth, &says("nosuch", "x").to_string());
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (404, &json!("model_not_found")));
    assert_eq!(openai(auth, "{\"model\":").status, 400);
    let answer = openai(auth, r#"{"model":"gpt-4o"}"#);
    assert_eq!(answer.json()["error"]["param"], "messages");

    let auth = "x-api-key: sk-a\r\nanthropic-version: 2023-06-01\r\n";
    let lacks = json!({"model": "claude-x", "messages": [{"role": "user", "content": "x"}]});
    let answer = post("/v1/messages", auth, &lacks.to_string());
    assert_eq!(answer.json()["error"]["message"], "max_tokens: Field required");
    assert_eq!(answer.json()["error"]["type"], "invalid_request_error");
    let answer = post("/v1/messages", "x-api-key: sk-a\r\n", &good);
    assert!(answer.json()["error"]["message"].to_string().contains("anthropic-version"));
    let answer = post("/v1/messages", "x-api-key: no\r\nanthropic-version: 1\r\n", &good);
    assert_eq!(
        (answer.status, &answer.json()["error"]["type"]),
        (401, &json!("authentication_error"))
    );
    assert_eq!(mock.counters()["errors"], 8);
}

#[test]
fn each_fault_is_what_it_is_called() {
    let mock = Mock::start(&["--tokens", "8"]);
    let ask = |fault: &str, streams: bool| {
        let body = says(&format!("mock-a1500ms-fault-{fault}"), "x");
        mock.chat(&with(body, json!({"stream": streams})))
    };
    let limited = ask("429", true);
    assert_eq!(limited.status, 429);
    assert!(limited.head.contains("retry-after: 2\r\nretry-after-ms: 1500"), "{}", limited.head);
    assert_eq!(limited.json()["error"]["code"], "rate_limit_exceeded");
    assert_eq!(ask("529", false).status, 529);
    assert_eq!(ask("quota", false).json()["error"]["code"], "insufficient_quota");
    for fault in ["reset", "close"] {
        assert_eq!((ask(fault, true).status, ask(fault, false).status), (0, 0), "{fault}");
    }
    for fault in ["reset-mid", "truncate"] {
        let (stream, whole) = (ask(fault, true), ask(fault, false));
        assert!(!stream.is_whole && !whole.is_whole, "{fault}");
        assert!(stream.body.contains(" t3") && !stream.body.contains("[DONE]"), "{fault}");
    }
    let early = ask("end-early", true);
    assert!(early.is_whole && early.body.ends_with("\n\n") && !early.body.contains("[DONE]"));
    let broken = ask("error-mid", true);
    assert!(broken.is_whole && broken.data().last().expect("events").starts_with(r#"{"error":"#));
    let first = ask("error-first", true);
    assert_eq!((first.status, first.events().len()), (200, 1));
    assert!(ask("no-usage", false).json().get("usage").is_none());
    let garbage = ask("garbage", false);
    assert!(garbage.status == 200 && serde_json::from_str::<Value>(&garbage.body).is_err());
    assert_eq!(ask("garbage-http", true).status, 0);
    let huge = ask("huge", false);
    assert!(huge.is_whole && huge.body.len() > 64 << 20);
    assert_eq!(huge.json()["object"], "chat.completion");
    assert_eq!(ask("nosuch", false).status, 400, "a misspelt fault is no success");
    let counters = mock.counters();
    assert_eq!((&counters["faults"]["429"], &counters["running"]), (&json!(1), &json!(0)));
}

#[test]
fn fields_and_switches_choose_too() {
    let mock = Mock::start(&["--fault", "503"]);
    assert_eq!(mock.chat(&says("mock", "x")).status, 503);
    assert_eq!(mock.ask("POST", "/mock/faults", "", "").status, 200);
    let fields = "x-mock-tokens: 2\r\nX-Mock-Split: 3\r\n";
    let body = with(says("mock-t9-crlf", "x"), json!({"stream": true}));
    let answer = mock.ask("POST", "/v1/chat/completions", fields, &body.to_string());
    assert!(answer.is_whole && answer.body.contains("}\r\n\r\ndata: "));
    assert_eq!(answer.joined("/choices/0/delta/content"), "t0 t1");
    assert_eq!(mock.ask("POST", "/mock/faults", "", "stall:2").status, 400);
    assert_eq!(mock.ask("POST", "/v1/chat/completions", "x-mock-tokns: 1\r\n", "{}").status, 400);
}

#[test]
fn a_peer_that_leaves_is_noticed_in_every_phase() {
    let mock = Mock::start(&["--pace", "10s"]);
    let leave = |first: &str, streams: bool, after: &str| {
        let body = with(
            says(&format!("mock-t4-f{first}"), "12345678"),
            json!({"stream": streams, "user": after}),
        );
        let mut stream = mock.open("POST", "/v1/chat/completions", "", &body.to_string());
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains(after) {
            let mut piece = [0; 4096];
            let n = stream.read(&mut piece).expect("bytes");
            seen.extend_from_slice(&piece[..n]);
        }
        stream.shutdown(Shutdown::Both).expect("open until now");
    };
    leave("10s", true, "");
    leave("10s", false, "");
    leave("0", true, "t0");
    let counters = mock.settled();
    let expected = json!({"before_first_byte": 1, "mid_stream": 1, "generating": 1, "total": 3});
    assert_eq!(counters["aborted"], expected, "{counters:#}");
    let sums = &counters["models"]["mock-t4-f0"]["aborted"];
    assert_eq!((&sums["input"], &sums["output"]), (&json!(2), &json!(1)));
    let aborts = mock.ask("GET", "/mock/aborts", "", "").json();
    assert_eq!(aborts[2]["tag"], "t0");
    assert_eq!(mock.ask("POST", "/mock/reset", "", "").status, 200);
    assert_eq!(mock.counters()["aborted"]["total"], 0);
}

#[test]
fn tokens_come_at_their_pace() {
    let mock = Mock::start(&["--pace", "40ms", "--first", "60ms", "--tokens", "6"]);
    let begun = now();
    let asked = with(says("gpt-4o", "x"), json!({"stream": true}));
    let mut stream = mock.open("POST", "/v1/chat/completions", "", &asked.to_string());
    let mut first = [0; 1];
    stream.read_exact(&mut first).expect("a head");
    let to_first = begun.elapsed();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("an end");
    let to_last = begun.elapsed();
    assert!(to_first >= Duration::from_millis(60), "{to_first:?}");
    assert!(to_last >= Duration::from_millis(260), "{to_last:?}");
    // The stamps tell the same: no token was held back to go with the next.
    let stamped = mock.chat(&with(says("mock-t4-p30ms-stamp", "x"), json!({"stream": true})));
    let said = stamped.joined("/choices/0/delta/content");
    let stamps: Vec<u64> = said
        .split(' ')
        .map(|word| word.split_once('@').expect("a stamp").1.parse().expect("ns"))
        .collect();
    assert_eq!(stamps.len(), 4);
    assert!(stamps.windows(2).all(|two| two[1] - two[0] > 20_000_000), "{stamps:?}");
}
