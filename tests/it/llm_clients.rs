//! Clients of language models that others wrote, in Python and Node, where they are installed
//! (`.ci/run` installs them; a scenario whose client is missing says so). Each suite is run against
//! the mock itself, so that it is known to be right, and then through the gateway.

use crate::kit::Mock;
use crate::kit::client::ask;
use crate::kit::system::{node_passes, python_passes};

/// What the clients say; the scripts know the two others.
const KEY: &str = "sk-test-of-the-clients";

/// Everything but what only a gateway has.
fn mock() -> Mock {
    Mock::start(&["--key", KEY])
}

/// The base URL as OpenAI's clients want it, and as Anthropic's do.
fn bases(mock: &Mock) -> (String, String) {
    (format!("http://{}/v1", mock.addr), format!("http://{}", mock.addr))
}

#[test]
fn pythons_clients_agree_with_the_mock() {
    let mock = mock();
    let (v1, bare) = bases(&mock);
    for (script, modules, base) in [
        ("llm_openai.py", "openai, httpx, pydantic", &v1),
        ("llm_anthropic.py", "anthropic, httpx", &bare),
        ("llm_langchain.py", "langchain_openai", &v1),
    ] {
        python_passes(script, modules, &[base, KEY, "mock", "gpt"]);
    }
    let counters = mock.settled();
    assert_eq!(counters["running"], 0);
}

#[test]
fn nodes_clients_agree_with_the_mock() {
    let mock = mock();
    let (v1, bare) = bases(&mock);
    node_passes("llm_openai.mjs", &[&v1, KEY, "mock", "gpt"]);
    node_passes("llm_anthropic.mjs", &[&bare, KEY, "mock", "claude"]);
    node_passes("llm_ai_sdk.mjs", &[&v1, KEY, "mock", "gpt"]);
    node_passes("llm_ai_sdk.mjs", &[&v1, KEY, "mock", "claude"]);
}

#[test]
fn the_mock_does_as_it_is_told() {
    let mock = Mock::start(&[]);
    let chat = || {
        let body = r#"{"model":"mock","messages":[{"role":"user","content":"x"}]}"#;
        let length = body.len();
        let head = "POST /v1/chat/completions HTTP/1.1\r\nHost: m\r\nContent-Length:";
        ask(mock.addr, format!("{head} {length}\r\n\r\n{body}")).status
    };
    mock.commit("503");
    assert_eq!(chat(), 503);
    mock.commit("");
    assert_eq!(chat(), 200);
    assert_eq!(mock.counters()["faults"]["503"], 1);
    mock.reset();
    assert_eq!(mock.counters()["requests"], 0);
}
