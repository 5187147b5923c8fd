//! Clients of language models that others wrote, in Python and Node, where they are installed
//! (`.ci/run` installs them; a scenario whose client is missing says so). Each suite is run against
//! the mock itself, so that it is known to be right, and then through the gateway.

use std::net::SocketAddr;

use crate::kit::client::ask;
use crate::kit::scripts::{node_passes, node_runs, python_passes, python_runs};
use crate::kit::{Gateway, Mock};

/// What the clients say; the scripts know the two others.
const KEY: &str = "sk-test-of-the-clients";
/// What the gateway says to the mock: the mock knows none but this.
const PROVIDERS: &str = "sk-provider-of-the-clients";

/// One door to two providers, each of which is the mock: `gpt-*` speaks OpenAI's dialect behind the
/// gateway, `claude-*` Anthropic's. A key that is slowed down, and one that has no money left.
fn house() -> (Mock, Gateway) {
    let mock = Mock::start(&["--key", PROVIDERS]);
    let dir = tempfile::tempdir().expect("a directory");
    for (file, key) in [
        ("provider.key", PROVIDERS),
        ("clients.key", KEY),
        ("limited.key", "sk-limited-of-the-clients"),
        ("broke.key", "sk-broke-of-the-clients"),
    ] {
        std::fs::write(dir.path().join(file), key).expect("a file");
    }
    let config = HOUSE.replace("MOCK", &mock.addr.to_string());
    let gateway = Gateway::start_in(dir, &config);
    (mock, gateway)
}

const HOUSE: &str = r#"
[listeners.web]
address = "127.0.0.1:0"

[providers.one]
dialect = "openai"
base_url = "http://MOCK/v1"
credentials = [{ file = "provider.key" }]
[providers.one.prices."*"]
input = "1"
output = "2"
[providers.two]
dialect = "anthropic"
base_url = "http://MOCK/v1"
credentials = [{ file = "provider.key" }]
[providers.two.prices."*"]
input = "1"
output = "2"

[providers.spent]
dialect = "openai"
base_url = "http://MOCK/v1"
credentials = [{ file = "provider.key" }]

[models.mock-fault-quota]
targets = [{ provider = "spent" }]
# Only these are listed: who asks for the others writes what he likes behind their beginning.
[models.gpt-4o-mini]
targets = [{ provider = "one" }]
[models.claude-sonnet-5-5]
targets = [{ provider = "two" }]

# Faults are asked for on purpose here: no breaker is to open.
[models."gpt-*"]
targets = [{ provider = "one", model = "*" }]
breaker = { failures = 0, ratio = "0%" }
[models."text-embedding-*"]
targets = [{ provider = "one", model = "*" }]
[models."claude-*"]
targets = [{ provider = "two", model = "*" }]
breaker = { failures = 0, ratio = "0%" }

[limits.slow]
by = ["key"]
rate = "60/m"
burst = 1
[limits.money]
unit = "usd"
by = ["key"]
quota = { limit = "0.000001", per = "month" }
[plans.slow]
limits = ["slow"]
[plans.broke]
limits = ["money"]
[keys.clients]
values = [{ file = "clients.key" }]
[keys.limited]
values = [{ file = "limited.key" }]
plans = ["slow"]
[keys.broke]
values = [{ file = "broke.key" }]
plans = ["broke"]

[apis.llm]
api_key = { required = "required", source = ["header:x-api-key", "bearer"] }
[apis.llm.routes."ANY /v1/{proxy+}"]
llm = true
"#;

/// The base URL as OpenAI's clients want it, and as Anthropic's do.
fn bases(addr: SocketAddr) -> (String, String) {
    (format!("http://{addr}/v1"), format!("http://{addr}"))
}

fn pythons(addr: SocketAddr, place: &str, maker: &str) {
    let (v1, bare) = bases(addr);
    for (script, modules, base) in [
        ("llm_openai.py", "openai, pydantic", &v1),
        ("llm_anthropic.py", "anthropic", &bare),
        ("llm_langchain.py", "langchain_openai", &v1),
    ] {
        python_passes(script, modules, &[base, KEY, place, maker]);
    }
}

fn nodes(addr: SocketAddr, place: &str, maker: &str) {
    let (v1, bare) = bases(addr);
    node_passes("llm_openai.mjs", &[&v1, KEY, place, maker]);
    node_passes("llm_anthropic.mjs", &[&bare, KEY, place, maker]);
    node_passes("llm_ai_sdk.mjs", &[&v1, KEY, place, maker]);
}

#[test]
fn pythons_clients_agree_with_the_mock() {
    let mock = Mock::start(&["--key", KEY]);
    pythons(mock.addr, "mock", "gpt");
    mock.settled();
}

#[test]
fn nodes_clients_agree_with_the_mock() {
    let mock = Mock::start(&["--key", KEY]);
    nodes(mock.addr, "mock", "gpt");
    nodes(mock.addr, "mock", "claude");
}

#[test]
fn pythons_clients_work_through_the_gateway() {
    let (mock, gateway) = house();
    pythons(gateway.addr(), "gateway", "gpt");
    mock.settled();
}

#[test]
fn pythons_clients_are_translated_for() {
    let (mock, gateway) = house();
    pythons(gateway.addr(), "gateway", "claude");
    mock.settled();
}

#[test]
fn nodes_clients_work_through_the_gateway() {
    let (mock, gateway) = house();
    nodes(gateway.addr(), "gateway", "gpt");
    nodes(gateway.addr(), "gateway", "claude");
    mock.settled();
}

/// docs/clients.md: every program in it, as it stands there, but for the address.
#[test]
fn the_guides_programs_run() {
    let (_mock, gateway) = house();
    let guide = include_str!("../../docs/clients.md");
    let mut programs = 0;
    for block in guide.split("\n```").skip(1).step_by(2) {
        let (language, program) = block.split_once('\n').expect("a fence has a line");
        let program =
            program.replace("127.0.0.1:8080", &gateway.addr().to_string()).replace("TEAM_KEY", KEY);
        let said = match language {
            "python" => python_runs(&program, "openai, anthropic, langchain_openai"),
            "js" => node_runs(&program),
            _ => continue,
        };
        programs += 1;
        // Where the client is installed, the mock's words have come.
        assert!(said.is_none_or(|said| said.contains("t0 t1")), "{program}");
    }
    assert_eq!(programs, 6);
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
