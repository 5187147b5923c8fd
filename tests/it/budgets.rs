//! Budgets of tokens and money over the wire, in front of a model that is none: reserved, settled,
//! told in the clients' words, and exact whatever becomes of requests.

use serde_json::{Value, json};

use crate::kit::client::ask;
use crate::kit::gateway::ADMIN;
use crate::kit::message::Response;
use crate::kit::mock::Mock;
use crate::kit::{Client, Gateway, PATIENCE, eventually};

/// A gateway in front of the mock, with these limits on all requests.
fn config(mock: &Mock, limits: &str, names: &str) -> String {
    let mock = mock.addr;
    format!(
        r#"
[gateway]
workers = 2
pin = false
state_dir = "state"
{ADMIN}
[listeners.web]
address = "127.0.0.1:0"
{limits}
[providers.mock]
dialect = "openai"
base_url = "http://{mock}/v1"
[providers.mock.prices."*"]
input = "1"
output = "10"
[providers.claude]
dialect = "anthropic"
base_url = "http://{mock}/v1"
[providers.claude.prices."*"]
input = "1"
output = "10"
[models."mock*"]
targets = [{{ provider = "mock", model = "*" }}]
breaker = {{ failures = 1000 }}
failover = {{ attempts = 1 }}
[models."gpt*"]
targets = [{{ provider = "mock", model = "*" }}]
failover = {{ attempts = 1 }}
[models."claude*"]
targets = [{{ provider = "claude", model = "*" }}]
[apis.llm]
limits = {names}
[apis.llm.routes."ANY /v1/{{proxy+}}"]
llm = true
"#
    )
}

/// A chat, at OpenAI's endpoint or at Anthropic's.
fn chat(model: &str, max_tokens: u64, stream: bool) -> String {
    let path = if model.starts_with("claude") { "messages" } else { "chat/completions" };
    let body = json!({
        "model": model, "max_tokens": max_tokens, "stream": stream,
        "messages": [{ "role": "user", "content": "say something to everybody" }],
    });
    let body = body.to_string();
    format!(
        "POST /v1/{path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn json_of(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap_or_else(|e| panic!("{e}: {response:?}"))
}

/// What a limit has left, as the admin API tells: of its rate and of its quota.
fn left(gateway: &Gateway, name: &str) -> [Value; 2] {
    let answer = ask(gateway.admin(), "GET /admin/v1/limits HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let all = json_of(&answer);
    let limit = all["limits"].as_array().into_iter().flatten().find(|limit| limit["name"] == name);
    let standing = &limit.unwrap_or_else(|| panic!("{name} is a limit: {all}"))["standing"][0];
    ["rate", "quota"].map(|of| standing[of]["left"].clone())
}

/// An amount of dollars in 10^-9 of one.
fn nano(text: &Value) -> u64 {
    let (whole, part) = text.as_str().and_then(|text| text.split_once('.')).expect("decimals");
    format!("{whole}{part:0<9}").parse().expect("digits")
}

#[test]
fn a_chat_takes_what_it_has_used_and_tells_what_is_left() {
    let mock = Mock::start(&[]);
    let limits = "[limits.asked]\nrate = \"100/m\"\nburst = 100\n\
                  [limits.tokens]\nunit = \"tokens\"\nquota = { limit = 10000, per = \"month\" }\n\
                  [limits.output]\nunit = \"output_tokens\"\nrate = \"600000/m\"\n\
                  [limits.money]\nunit = \"usd\"\nquota = { limit = \"1.00\", per = \"month\" }\n";
    let names = r#"["asked", "tokens", "output", "money"]"#;
    let gateway = Gateway::start(&config(&mock, limits, names));
    let mut client = gateway.client();
    let answer = client.send(chat("mock-t5", 1000, false)).response();
    assert_eq!(answer.status, 200, "{answer:?}");
    let field = |name: &str| answer.field(name).unwrap_or_else(|| panic!("{name}: {answer:?}"));
    assert_eq!(field("x-ratelimit-limit-requests"), "100");
    assert_eq!(field("x-ratelimit-remaining-requests"), "99");
    assert_eq!(field("x-ratelimit-limit-tokens"), "10000");
    // All that it might have taken is told to be gone: it was, when the answer began.
    let told: u64 = field("x-ratelimit-remaining-tokens").parse().expect("a number");
    assert!((8900..9000).contains(&told), "{told}");
    assert!(
        field("x-ratelimit-reset-tokens").ends_with("m0s")
            || field("x-ratelimit-reset-tokens").ends_with('s')
    );
    assert!(field("ratelimit-policy").contains("\"money/month\";q=1000000;qu=\"micro-usd\""));
    let usage = &json_of(&answer)["usage"];
    let (input, output) = (usage["prompt_tokens"].as_u64(), usage["completion_tokens"].as_u64());
    let (input, output) = (input.expect("input"), output.expect("output"));
    assert_eq!(output, 5);
    let settles = eventually(PATIENCE, || left(&gateway, "tokens")[1] == 10_000 - input - output);
    assert!(settles, "{:?} after {usage}", left(&gateway, "tokens"));
    let cost = input * 1000 + output * 10_000;
    assert_eq!(nano(&left(&gateway, "money")[1]), 1_000_000_000 - cost);

    let answer = client.send(chat("claude-mock-t5", 1000, false)).response();
    assert_eq!(answer.status, 200, "{answer:?}");
    let field = |name: &str| answer.field(name).unwrap_or_else(|| panic!("{name}: {answer:?}"));
    assert_eq!(field("anthropic-ratelimit-tokens-limit"), "10000");
    assert_eq!(field("anthropic-ratelimit-output-tokens-limit"), "600000");
    let reset = field("anthropic-ratelimit-requests-reset");
    assert!(reset.len() == 20 && reset.ends_with('Z'), "{reset}");
    assert_eq!(answer.field("x-ratelimit-limit-tokens"), None);
    assert_eq!(answer.field("anthropic-ratelimit-input-tokens-limit"), None);
}

#[test]
fn what_is_refused_says_why_and_whether_to_come_back_and_reaches_nobody() {
    let mock = Mock::start(&[]);
    let limits = "[limits.rate]\nunit = \"tokens\"\nrate = \"60000/m\"\nburst = 1500\n\
                  [limits.money]\nunit = \"usd\"\nquota = { limit = \"0.05\", per = \"month\" }\n";
    let gateway = Gateway::start(&config(&mock, limits, r#"["rate", "money"]"#));
    let mut client = gateway.client();
    let mut refused = |model: &str, max_tokens: u64, status: u16| {
        let answer = client.send(chat(model, max_tokens, false)).response();
        assert_eq!(answer.status, status, "{answer:?}");
        answer
    };
    // More than the limit ever admits.
    let answer = refused("mock-t5", 2000, 429);
    let error = &json_of(&answer)["error"];
    assert_eq!((&error["code"], &error["retryable"]), (&json!("RATE_LIMIT_002"), &json!(false)));
    assert_eq!(answer.field("x-should-retry"), Some("false"));
    assert_eq!((answer.field("retry-after"), answer.field("retry-after-ms")), (None, None));
    let details = &error["details"];
    assert_eq!((&details["limit"], &details["unit"]), (&json!("rate"), &json!("tokens")));
    assert_eq!(details["left"], 1500);
    assert!(details["asked"].as_u64().is_some_and(|asked| asked > 2000), "{details}");
    let message = error["message"].as_str().unwrap_or_default();
    assert!(message.contains("never admits more than 1500 tokens"), "{message}");
    assert_eq!(mock.counters()["requests"], 0);

    // More than there is now, while another one runs.
    let mut other = gateway.client();
    other.send(chat("mock-t2-f500ms", 1000, false));
    assert!(eventually(PATIENCE, || mock.counters()["running"] == 1));
    let answer = refused("mock-t5", 1400, 429);
    assert_eq!(answer.field("x-should-retry"), Some("true"));
    let number = |name: &str| answer.field(name).and_then(|text| text.parse::<u64>().ok());
    let (seconds, ms) = (number("retry-after"), number("retry-after-ms"));
    assert!(ms.is_some_and(|ms| ms > 0 && ms < 1000), "{answer:?}");
    assert_eq!(seconds, ms.map(|ms| ms.div_ceil(1000)));
    assert_eq!(other.response().status, 200);
    // Once that is settled there is enough.
    let is_there = || left(&gateway, "rate")[0].as_u64().is_some_and(|left| left > 1450);
    assert!(eventually(PATIENCE, is_there));
    refused("mock-t5", 1400, 200);

    // In Anthropic's words; and money is no matter of waiting.
    let answer = refused("claude-mock-t5", 1600, 429);
    assert_eq!(json_of(&answer)["error"]["type"], "rate_limit_error", "{answer:?}");
    let mut spent = None;
    for _ in 0..200 {
        let answer = client.send(chat("mock-t100", 1000, false)).response();
        match answer.status {
            200 => {}
            429 => std::thread::sleep(std::time::Duration::from_millis(100)),
            _ => {
                spent = Some(answer);
                break;
            }
        }
    }
    let spent = spent.expect("five cents are not for ever");
    assert_eq!(spent.status, 402, "{spent:?}");
    assert_eq!(spent.field("x-should-retry"), Some("false"));
    let error = &json_of(&spent)["error"];
    assert_eq!((&error["code"], &error["details"]["unit"]), (&json!("BILLING_001"), &json!("usd")));
    assert_eq!(nano(&error["details"]["left"]), nano(&left(&gateway, "money")[1]));
    assert!(nano(&error["details"]["asked"]) > nano(&error["details"]["left"]));
}

/// What clients do: a model's name (an option of the mock's), streamed or not, and whether the
/// client goes away in the middle.
const WAYS: [(&str, bool, bool); 12] = [
    ("mock-t8", false, false),
    ("mock-t8", true, false),
    ("mock-t9-p1ms", true, false),
    ("mock-t50-p20ms-f5ms", true, true),
    ("mock-t50-p20ms-f5ms", false, true),
    ("mock-t50-f900ms", true, true),
    ("mock-t8-fault-500", false, false),
    ("gpt-mock-t8-fault-429", true, false),
    ("mock-t8-k4-fault-truncate", true, false),
    ("mock-t8-k4-fault-reset-mid", true, false),
    ("mock-t8-fault-no-usage", true, false),
    ("mock-t8-fault-reset", false, false),
];

/// How many of its requests were refused for the budget.
fn one_client(gateway: std::net::SocketAddr, seed: usize) -> u64 {
    let mut refused = 0;
    for round in 0..12 {
        let (model, stream, leaves) = WAYS[(seed * 7 + round * 5) % WAYS.len()];
        let mut client = Client::connect(gateway);
        client.send(chat(model, 200, stream));
        if leaves {
            std::thread::sleep(std::time::Duration::from_millis(20 + (seed as u64 % 5) * 17));
            client.reset();
            continue;
        }
        match client.try_response("POST") {
            Ok(answer) if answer.status == 429 => {
                let error = json_of(&answer)["error"]["code"].clone();
                refused += u64::from(error == "RATE_LIMIT_002");
            }
            // Cut short by the fault, or told of it.
            Ok(_) | Err(_) => {}
        }
    }
    refused
}

#[test]
fn the_counters_the_ledger_and_the_provider_agree_whatever_becomes_of_requests() {
    const TOKENS: u64 = 50_000;
    let mock = Mock::start(&[]);
    let limits = format!(
        "[limits.tokens]\nunit = \"tokens\"\nquota = {{ limit = {TOKENS}, per = \"month\" }}\n\
         [limits.tight]\nunit = \"tokens\"\nrate = \"10000/s\"\nburst = 12000\n\
         [limits.money]\nunit = \"usd\"\nquota = {{ limit = \"100.00\", per = \"month\" }}\n"
    );
    let gateway = Gateway::start(&config(&mock, &limits, r#"["tokens", "tight", "money"]"#));
    let address = gateway.addr();
    let clients: Vec<_> =
        (0..64).map(|seed| std::thread::spawn(move || one_client(address, seed))).collect();
    let refused: u64 = clients.into_iter().map(|c| c.join().expect("no client fails")).sum();
    assert!(refused > 0, "64 that reserve 200 each are too many for a burst of 12,000");
    let counters = mock.settled();
    // What was used is what the ledger says, to the token and the 10^-9 dollar.
    let rows = || ledger(&gateway, "TRUE");
    let counted = || {
        let [_, tokens] = left(&gateway, "tokens");
        let [_, money] = left(&gateway, "money");
        let tokens = TOKENS - tokens.as_u64().expect("tokens");
        (tokens, 100_000_000_000 - nano(&money))
    };
    let agree = eventually(PATIENCE, || {
        let Ledger { input, output, nano, .. } = rows();
        input + output > 0 && counted() == (input + output, nano)
    });
    assert!(agree, "{:?} counted, {:?}", counted(), rows());
    // And what was not estimated is what the provider has counted.
    let (mut input, mut output, mut completed) = (0, 0, 0);
    let models = counters["models"].as_object().expect("models were asked for");
    for (_, ends) in models.iter().filter(|(name, _)| !name.contains("no-usage")) {
        let ended = &ends["completed"];
        input += ended["input"].as_u64().unwrap_or(0);
        output += ended["output"].as_u64().unwrap_or(0);
        completed += ended["requests"].as_u64().unwrap_or(0);
    }
    let exact = ledger(&gateway, "NOT estimated AND status = 200 AND outcome = 'ok'");
    assert!(completed > 20, "{counters:#}");
    assert_eq!((exact.requests, exact.input, exact.output), (completed, input, output));
    assert_eq!(gateway.terminate().code(), Some(0));
}

/// Sums over the ledger's lines.
#[derive(Debug)]
struct Ledger {
    requests: u64,
    input: u64,
    output: u64,
    nano: u64,
}

fn ledger(gateway: &Gateway, which: &str) -> Ledger {
    let db = rusqlite::Connection::open(gateway.path("state/usage.db")).expect("the ledger");
    let sums = format!(
        "SELECT count(*), coalesce(sum(input), 0), coalesce(sum(output), 0),
                coalesce(sum((cost_pico_usd + 999) / 1000), 0)
         FROM usage WHERE {which}"
    );
    db.query_row(&sums, [], |row| {
        let (requests, input) = (row.get(0)?, row.get(1)?);
        Ok(Ledger { requests, input, output: row.get(2)?, nano: row.get(3)? })
    })
    .expect("the ledger is read")
}
