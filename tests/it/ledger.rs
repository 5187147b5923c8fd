//! The usage ledger over the wire: every request to a model lands in it once, with the tokens the
//! provider counted and what they cost, whatever ends the request and the gateway.

use std::thread;

use serde_json::{Value, json};

use crate::kit::client::ask;
use crate::kit::gateway::run;
use crate::kit::mock::Mock;
use crate::kit::{Gateway, PATIENCE, eventually};

const KEY: &str = "acme-secret-0123456789";

/// Two workers, a key of a team, the mock as the provider of every model that begins like it.
fn config(mock: &Mock, gateway: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, KEY.as_bytes());
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        r#"[gateway]
workers = 2
pin = false
{gateway}
[admin]
address = "127.0.0.1:0"
[listeners.web]
address = "127.0.0.1:0"
[providers.mock]
dialect = "openai"
base_url = "http://{}/v1"
credentials = []
[providers.mock.prices."*"]
input = "1"
output = "2.5"
[models."mock*"]
targets = [{{ provider = "mock", model = "*" }}]
[keys.acme]
hashes = ["sha256:{hex}"]
tags = {{ team = "search" }}
[apis.llm]
api_key = {{ required = "required", source = ["bearer"] }}
[apis.llm.routes."ANY /v1/{{proxy+}}"]
llm = true
"#,
        mock.addr
    )
}

fn request(model: &str, stream: bool) -> String {
    let mut body = json!({
        "model": model, "stream": stream,
        "messages": [{ "role": "user", "content": "how much is it?" }],
    });
    if stream {
        body["stream_options"] = json!({ "include_usage": true });
    }
    let body = body.to_string();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// The tokens that the provider has told the client of: in, out.
fn told(text: &str) -> (u64, u64) {
    let whole: Option<Value> = serde_json::from_str(text).ok();
    let events = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let events = events.filter_map(|data| serde_json::from_str(data).ok());
    let usage = whole.into_iter().chain(events).find_map(|value: Value| {
        let usage = value.get("usage").filter(|usage| !usage.is_null())?;
        Some((usage["prompt_tokens"].as_u64()?, usage["completion_tokens"].as_u64()?))
    });
    usage.unwrap_or_else(|| panic!("no usage in {text}"))
}

/// What `ringway usage` says of a state directory, as JSON.
fn usage(dir: &std::path::Path, more: &[&str]) -> Value {
    let mut args = vec!["usage", "--state-dir", "state", "--since", "1h", "--format", "json"];
    args.extend(more);
    let ended = run(dir, &args);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    serde_json::from_str(&ended.stdout).expect("JSON")
}

/// Micro-USD by the price table above, twice, for the half cent.
fn half_micros(usd: &Value) -> u64 {
    let text = usd.as_str().expect("a decimal");
    let (whole, part) = text.split_once('.').expect("a point");
    let micros: u64 = format!("{whole}{part:0<7}").parse().expect("digits");
    assert_eq!(micros % 5, 0, "{text}");
    micros / 5
}

#[test]
fn every_request_is_in_the_ledger_once_and_sigterm_loses_none() {
    let mock = Mock::start(&[]);
    let gateway = Gateway::start(&config(&mock, "state_dir = \"state\""));
    let address = gateway.addr();
    let clients: Vec<_> = (0..6)
        .map(|client| {
            thread::spawn(move || {
                let (mut input, mut output) = (0, 0);
                for nth in 0..10 {
                    let model = format!("mock-t{}", 3 + (client + nth) % 7);
                    let answer = ask(address, request(&model, nth % 2 == 0));
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    let (read, written) = told(&answer.text());
                    input += read;
                    output += written;
                }
                (input, output)
            })
        })
        .collect();
    let sums = clients.into_iter().map(|client| client.join().expect("a client"));
    let (input, output) = sums.fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
    let counters = mock.settled();
    let dir = tempfile::tempdir().expect("a directory");
    let kept = dir.path().join("state");
    let state = gateway.path("state");
    // The last answer has hardly been read.
    gateway.signal("TERM");
    let mut gateway = gateway;
    assert!(gateway.await_end(PATIENCE * 3).is_some_and(|status| status.success()));
    std::fs::create_dir(&kept).expect("a directory");
    std::fs::copy(state.join("usage.db"), kept.join("usage.db")).expect("one file holds it all");

    let all = usage(dir.path(), &["--by", "key,team,api,provider,operation,outcome"]);
    let group = &all["groups"][0];
    assert_eq!(all["groups"].as_array().map(Vec::len), Some(1), "{all:#}");
    for (column, value) in [
        ("key", "acme"),
        ("team", "search"),
        ("api", "llm"),
        ("provider", "mock"),
        ("operation", "chat"),
        ("outcome", "ok"),
    ] {
        assert_eq!(group[column], value);
    }
    assert_eq!(group["requests"], 60);
    assert_eq!((&group["input_tokens"], &group["output_tokens"]), (&json!(input), &json!(output)));
    assert_eq!(half_micros(&group["cost_usd"]), 2 * input + 5 * output);
    assert_eq!((&group["estimated"], &group["errors"]), (&json!(0), &json!(0)));
    assert!(group["latency_p95_us"].as_u64() >= group["latency_p50_us"].as_u64());
    assert_eq!(counters["running"], 0);

    let one = usage(dir.path(), &["--by", "model", "--where", "model=mock-t3"]);
    assert_eq!(one["groups"][0]["served"], Value::Null);
    assert_eq!(
        one["total"]["output_tokens"],
        json!(3 * one["total"]["requests"].as_u64().unwrap())
    );
    let csv =
        run(dir.path(), &["usage", "--state-dir", "state", "--by", "team", "--format", "csv"]);
    let line = format!("search,60,{input},0,0,{output},0,{},", input + output);
    assert!(csv.stdout.lines().nth(1).is_some_and(|row| row.starts_with(&line)), "{}", csv.stdout);
}

#[test]
fn a_stream_that_outlasts_the_drain_is_settled_and_in_the_ledger() {
    let mock = Mock::start(&[]);
    let drain = "state_dir = \"state\"\ndrain_deadline = \"1s\"";
    let gateway = Gateway::start(&config(&mock, drain));
    let mut client = gateway.client();
    client.send(request("mock-t500-p50ms", true));
    assert_eq!(client.head().expect("a head").status, 200);
    client.chunk().expect("the first event");
    gateway.signal("TERM");
    let mut gateway = gateway;
    assert!(gateway.await_end(PATIENCE * 3).is_some());
    let all = usage(gateway.dir.path(), &["--by", "outcome"]);
    assert_eq!(all["total"]["requests"], 1, "{all:#}");
    assert_eq!(all["total"]["errors"], 1, "{all:#}");
    assert_eq!(all["total"]["estimated"], 1, "{all:#}");
    assert!(all["total"]["output_tokens"].as_u64() > Some(0), "{all:#}");
}

#[test]
fn without_a_state_directory_the_gateway_is_asked_and_the_log_has_the_same() {
    let mock = Mock::start(&[]);
    let gateway = Gateway::start(&config(&mock, ""));
    let answer = ask(gateway.addr(), request("mock-t5", true));
    let (input, output) = told(&answer.text());
    let url = format!("http://{}", gateway.admin());
    let args = ["usage", "--admin", &url, "--by", "model,served", "--format", "json"];
    let mut said = Value::Null;
    let comes = eventually(PATIENCE, || {
        let ended = run(gateway.dir.path(), &args);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        said = serde_json::from_str(&ended.stdout).expect("JSON");
        said["total"]["requests"] == 1
    });
    assert!(comes, "{said:#}");
    let group = &said["groups"][0];
    assert_eq!((&group["model"], &group["served"]), (&json!("mock-t5"), &json!("mock-t5")));
    assert_eq!(group["total_tokens"], input + output);
    assert!(gateway.says("the usage ledger is in memory"));
    let line = gateway.access_line();
    assert_eq!((&line["model"], &line["provider"]), (&json!("mock-t5"), &json!("mock")));
    assert_eq!((&line["tokens_in"], &line["tokens_out"]), (&json!(input), &json!(output)));
    assert!(line["ttft_us"].as_u64() <= line["total_us"].as_u64(), "{line}");
    let usd = format!("{:.7}", line["cost_usd"].as_f64().expect("a number"));
    assert_eq!(half_micros(&json!(usd)), 2 * input + 5 * output);
    let wrong = run(gateway.dir.path(), &["usage", "--admin", &url, "--by", "shoe"]);
    assert_eq!(wrong.code, Some(2), "{}", wrong.stderr);
}

/// What was begun and cut the provider may bill: it is in the ledger beside the request that
/// another has served, and not on the caller's account.
#[test]
fn an_attempt_that_is_lost_is_a_row_of_its_own() {
    let (cuts, serves) = (Mock::start(&[]), Mock::start(&[]));
    let config = config(&cuts, "state_dir = \"state\"").replace(
        "targets = [{ provider = \"mock\", model = \"*\" }]",
        "targets = [{ provider = \"mock\", model = \"*\" }, \
         { provider = \"other\", model = \"mock-t6\", priority = 2 }]",
    );
    let gateway = Gateway::start(&format!(
        "{config}\n[providers.other]\ndialect = \"openai\"\nbase_url = \"http://{}/v1\"\n",
        serves.addr
    ));
    // Cut in the middle of a whole answer, and of a stream before its first token; the others are
    // errors, which nobody bills.
    let lost = [("mock-k0-fault-truncate", false), ("mock-k0-fault-truncate", true)];
    let failed = [("mock-fault-500", false), ("mock-fault-error-first", true)];
    for (model, stream) in lost.into_iter().chain(failed) {
        let answer = ask(gateway.addr(), request(model, stream));
        assert_eq!(answer.status, 200, "{model}: {}", answer.text());
        assert_eq!(answer.field("x-ringway-attempts"), Some("2"), "{model}");
    }
    let dir = tempfile::tempdir().expect("a directory");
    let state = gateway.path("state");
    gateway.signal("TERM");
    let mut gateway = gateway;
    assert!(gateway.await_end(PATIENCE * 3).is_some_and(|status| status.success()));
    std::fs::create_dir(dir.path().join("state")).expect("a directory");
    std::fs::copy(state.join("usage.db"), dir.path().join("state/usage.db")).expect("one file");

    let all = usage(dir.path(), &["--by", "outcome,provider,key"]);
    let group = |outcome: &str| {
        let groups = all["groups"].as_array().expect("groups");
        let mut found = groups.iter().filter(|group| group["outcome"] == outcome);
        found.next().unwrap_or_else(|| panic!("{outcome}: {all:#}"))
    };
    assert_eq!((&group("ok")["requests"], &group("ok")["provider"]), (&json!(4), &json!("other")));
    let lost = group("lost");
    assert_eq!((&lost["requests"], &lost["provider"]), (&json!(0), &json!("mock")));
    assert_eq!((&lost["estimated"], &lost["key"]), (&json!(2), &json!("acme")), "{lost:#}");
    assert!(lost["input_tokens"].as_u64() > Some(0), "{lost:#}");
    assert!(half_micros(&lost["cost_usd"]) > 0, "{lost:#}");
    assert_eq!(all["total"]["requests"], 4, "{all:#}");
}
