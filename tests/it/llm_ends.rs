//! How streams of models end: what has said why it stopped and ended in order is complete, whether
//! or not its last event came; what was cut is not.

use serde_json::{Value, json};

use crate::kit::client::{self, Client};
use crate::kit::gateway::Gateway;
use crate::kit::message::Response;
use crate::kit::mock::Mock;
use crate::kit::origin::Origin;

/// A gateway before one provider, which speaks this dialect.
fn gateway(dialect: &str, at: &str) -> Gateway {
    Gateway::start(&format!(
        "[listeners.web]\naddress = \"127.0.0.1:0\"\n\
         [apis.llm.routes.\"ANY /v1/{{proxy+}}\"]\nllm = true\n\
         [providers.p]\ndialect = \"{dialect}\"\nbase_url = \"http://{at}/v1\"\n\
         timeouts = {{ idle = \"700ms\" }}\n\
         [models.\"m*\"]\ntargets = [{{ provider = \"p\", model = \"*\" }}]\n"
    ))
}

fn request(path: &str, model: &str, more: &Value) -> String {
    let mut body = json!({
        "model": model,
        "stream": true,
        "max_tokens": 99,
        "messages": [{ "role": "user", "content": "a question" }],
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    let body = body.to_string();
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}")
}

fn ask(gateway: &Gateway, path: &str, model: &str) -> Response {
    client::ask(gateway.addr(), request(path, model, &json!({})))
}

fn event(index: u32, reason: &Value) -> String {
    let delta = json!({ "content": "x" });
    let choice = json!({ "index": index, "delta": delta, "finish_reason": reason });
    format!("data: {}\n\n", json!({ "choices": [choice] }))
}

#[test]
fn a_last_event_that_was_left_away_is_written_in_the_clients_dialect() {
    let mock = Mock::start(&[]);
    for dialect in ["openai", "anthropic"] {
        let gateway = gateway(dialect, &mock.addr.to_string());
        for (path, last) in
            [("/v1/chat/completions", "data: [DONE]"), ("/v1/messages", "event: message_stop")]
        {
            let what = format!("{path} of {dialect}");
            let sound = ask(&gateway, path, "mock-t6").text();
            let answer = ask(&gateway, path, "mock-t6-fault-no-done");
            assert_eq!(answer.status, 200, "{what}");
            let text = answer.text();
            assert_eq!(text.matches(last).count(), 1, "{what}: {text}");
            assert!(!text.contains("error"), "{what}: {text}");
            let kinds = |text: &str| text.lines().filter(|line| line.contains("data")).count();
            assert_eq!(kinds(&text), kinds(&sound), "{what}: as if it had come: {text}");
        }
    }
    assert_eq!(mock.settled()["completed"], 8);
}

#[test]
fn all_choices_must_have_stopped() {
    let (none, stop) = (Value::Null, json!("stop"));
    let one = event(0, &none) + &event(1, &none) + &event(0, &stop);
    for (events, complete) in [(one.clone(), false), (one + &event(1, &stop), true)] {
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: {}\r\n\r\n\
             {events}",
            events.len()
        );
        let origin = Origin::fixed(answer);
        let gateway = gateway("openai", &origin.addr.to_string());
        let request = request("/v1/chat/completions", "m", &json!({ "n": 2 }));
        let text = client::ask(gateway.addr(), request).text();
        assert_eq!(text.ends_with("data: [DONE]\n\n"), complete, "{text}");
        assert_eq!(text.contains("data: {\"error\":"), !complete, "{text}");
    }
}

#[test]
fn a_stream_that_is_cut_is_broken_even_after_it_has_said_why_it_stopped() {
    let goes_on = event(0, &Value::Null);
    let stops = event(0, &json!("stop"));
    let chunked = |events: &str, end: &str| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
             Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{events}\r\n{end}",
            events.len()
        )
    };
    let to_eof = |events: &str| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\
             \r\n{events}"
        )
    };
    for (what, answer, complete) in [
        ("chunked to its end", chunked(&stops, "0\r\n\r\n"), true),
        ("cut behind a chunk", chunked(&stops, ""), false),
        ("cut within the end", chunked(&stops, "0\r\n"), false),
        ("cut within an event", chunked(&format!("{stops}data: {{\"usa"), "0\r\n\r\n"), false),
        ("chunked, without a reason", chunked(&goes_on, "0\r\n\r\n"), false),
        ("to the connection's end", to_eof(&stops), true),
        ("to the connection's end, without a reason", to_eof(&goes_on), false),
    ] {
        let origin = Origin::scripted(move |conn| {
            if conn.request().is_some() {
                conn.send(&answer);
            }
        });
        let gateway = gateway("openai", &origin.addr.to_string());
        let mut client = Client::connect(gateway.addr());
        client.send(request("/v1/chat/completions", "m", &json!({})));
        let answer = client.response();
        let text = answer.text();
        assert!(text.contains("\"x\""), "{what}: it had begun: {text}");
        assert_eq!(text.contains("data: [DONE]"), complete, "{what}: {text}");
        assert_eq!(text.contains("data: {\"error\":"), !complete, "{what}: {text}");
    }
}
