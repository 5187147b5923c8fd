//! `ringway-load llm` against `ringway-load mock-llm`: what the mock does must be what the chats
//! report, and the sums of both must agree.

mod kit;

use std::process::Command;

use kit::{PROGRAM, Served};
use serde_json::Value;

fn run(mock: &Served, flags: &[&str]) -> (Option<i32>, Value) {
    let url = format!("http://{}", mock.address);
    let output = Command::new(PROGRAM)
        .args(["llm", &url, "--json", "--mock", &url])
        .args(flags)
        .output()
        .expect("the program was built");
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), report)
}

fn count(report: &Value, path: &str) -> u64 {
    let found = report.pointer(path).and_then(Value::as_u64);
    found.unwrap_or_else(|| panic!("no number at {path} in {report:#}"))
}

#[test]
fn every_chat_is_judged_and_the_sums_agree() {
    let mock = Served::mock(&["--key", "sk-a,sk-b", "--threads", "2"]);
    let flags = ["-n", "120", "-c", "6", "--threads", "2", "--key", "sk-a,sk-b", "--prompt", "400"];
    let models = ["--model", "mock-t8,mock-t3-r5-c7,mock-t9-p2ms-crlf-s5"];
    let mix = ["--stream", "0.5", "--dialect", "both", "--usage", "--max-tokens", "7"];
    let (code, report) = run(&mock, &[&flags[..], &models, &mix].concat());
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!((count(&report, "/ok"), count(&report, "/errors_total")), (120, 0), "{report:#}");
    let streams = count(&report, "/streams");
    assert!((30..90).contains(&streams), "{report:#}");
    assert_eq!(count(&report, "/first_token_us/count"), streams);
    assert_eq!(count(&report, "/usage/input"), 120 * 100);
    let keys = &report["mock"]["counters"]["keys"];
    let asked = |key: &str| count(&keys[key], "/completed/requests");
    assert_eq!((asked("sk-a"), asked("sk-b")), (60, 60), "keys are taken in turn");
    let told = asked_output(keys, "sk-a") + asked_output(keys, "sk-b");
    assert_eq!(count(&report, "/usage/output"), told);
}

fn asked_output(keys: &Value, key: &str) -> u64 {
    count(&keys[key], "/completed/output")
}

#[test]
fn an_open_loop_begins_what_is_due_and_times_every_word() {
    let mock = Served::mock(&[]);
    let flags = ["--rate", "100", "-d", "1s", "--arrivals", "constant", "-c", "100"];
    let (_, report) = run(&mock, &[&flags[..], &["--model", "mock-t5-p20ms-f40ms-stamp"]].concat());
    assert_eq!(count(&report, "/ok"), 100, "{report:#}");
    assert_eq!(count(&report, "/words"), 500);
    assert_eq!(count(&report, "/transit_us/count"), 500);
    assert_eq!(count(&report, "/gap_us/count"), 400);
    let p50 = |name: &str| report[name]["p50"].as_f64().expect("a number");
    assert!(p50("first_token_us") >= 40_000.0, "{report:#}");
    assert!((15_000.0..40_000.0).contains(&p50("gap_us")), "{report:#}");
    assert!(p50("latency_us") >= 120_000.0, "{report:#}");
}

#[test]
fn what_is_wrong_is_called_by_its_name() {
    let mock = Served::mock(&["--tokens", "6"]);
    for (fault, streams, error) in [
        ("429", "on", "status_429"),
        ("reset", "on", "reset"),
        ("reset-mid", "on", "reset"),
        ("truncate", "on", "truncated"),
        ("truncate", "off", "truncated"),
        ("error-mid", "on", "error_event"),
        ("error-first", "on", "error_event"),
        ("end-early", "on", "incomplete"),
        ("end-early", "off", "not_json"),
        ("no-usage", "off", "wrong_usage"),
        ("no-usage", "on", "wrong_usage"),
        ("stall", "on", "timeout"),
        ("stall-mid", "on", "timeout"),
        ("garbage-http", "on", "malformed: head syntax"),
    ] {
        let model = format!("mock-fault-{fault}");
        let flags = ["-n", "2", "-c", "1", "--usage", "--timeout", "300ms", "--stream", streams];
        let (code, report) = run(&mock, &[&flags[..], &["--model", &model]].concat());
        assert_eq!(code, Some(3), "{fault}: nothing succeeded");
        assert_eq!(report["errors"][error].as_u64(), Some(2), "{fault}: {report:#}");
    }
}

#[test]
fn every_abort_is_seen_by_the_mock_and_nothing_runs_on() {
    let mock = Served::mock(&[]);
    let flags = ["-n", "150", "-c", "10", "--abort", "1", "--dialect", "both", "--stream", "0.6"];
    let timing =
        ["--model", "mock-t64-p10ms-f150ms", "--abort-within", "40ms", "--abort-words", "3"];
    let (code, report) = run(&mock, &[&flags[..], &timing].concat());
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!(count(&report, "/aborted/total"), 150, "{report:#}");
    for phase in ["before_first_byte", "mid_stream", "generating"] {
        let ours = count(&report["aborted"], &format!("/{phase}"));
        assert!(ours > 10, "{report:#}");
        assert_eq!(ours, count(&report["mock"]["counters"]["aborted"], &format!("/{phase}")));
    }
    assert_eq!(count(&report, "/mock/aborts_seen"), 150);
    assert_eq!(count(&report, "/mock/abort_notice_us/count"), 150);
    assert_eq!(count(&report, "/mock/counters/running"), 0);
}
