//! `tests/data/llm/`: a folder for each way, in it `request`, `answer`, `stream` and `error`, in
//! them a file for each case beside what becomes of it, `NAME.expected.*`. An answer or a stream
//! whose request matters has it as `NAME.request.json`. `RINGWAY_BLESS=1` writes what is expected
//! anew; read the difference before committing.

use std::fs;
use std::path::{Path as FilePath, PathBuf};

use super::super::json::Json;
use super::super::*;
use super::{STAMP, ask};

/// The folders, each with whom its client speaks to.
const WAYS: [(&str, Endpoint); 3] = [
    ("chat_to_messages", Endpoint::ChatCompletions),
    ("messages_to_chat", Endpoint::Messages),
    ("responses_to_messages", Endpoint::Responses),
];

/// JSON for eyes, in the order it was written.
fn pretty(json: &[u8]) -> String {
    let json = Json::parse(json).expect("what is written is JSON");
    serde_json::to_string_pretty(&json).expect("is written") + "\n"
}

fn request_text(from: Endpoint, model: Option<&str>, body: &[u8]) -> String {
    let mut ask = ask(from, body);
    if let Some(model) = model {
        ask.model = model;
    }
    match request(&ask) {
        Ok(translated) => {
            let head = format!("POST {}\n", translated.endpoint.path());
            head + &pretty(&translated.body)
        }
        Err(refused) => format!("param: {}\nmessage: {}\n", refused.param, refused.message),
    }
}

/// The way back of a case.
fn back(from: Endpoint, path: &FilePath) -> Back {
    let stem = path.file_stem().expect("is a file").to_string_lossy().into_owned();
    let default = match from {
        Endpoint::Responses => &br#"{"model":"fast","input":"hi"}"#[..],
        _ => br#"{"model":"fast","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#,
    };
    let beside = fs::read(path.with_file_name(format!("{stem}.request.json")));
    let body = beside.as_deref().unwrap_or(default);
    request(&ask(from, body)).expect("the request of a case is translated").back
}

fn answer_text(back: &Back, body: &[u8]) -> String {
    match back.answer(body, &STAMP) {
        Ok(body) => pretty(&body),
        Err(malformed) => format!("malformed: {malformed}\n"),
    }
}

/// The events of a file, whose lines end in LF.
pub(super) fn events(text: &str) -> Vec<(String, String)> {
    let read = |event: &str| {
        let field = |name: &str| {
            let lines = event.lines().filter_map(|line| line.strip_prefix(name));
            lines.map(str::trim_start).collect::<Vec<_>>().join("\n")
        };
        (field("event:"), field("data:"))
    };
    text.split("\n\n").map(read).filter(|(_, data)| !data.is_empty()).collect()
}

fn stream_text(back: &Back, text: &str) -> String {
    let mut stream = back.stream(&STAMP);
    let mut out = Vec::new();
    for (name, data) in events(text) {
        if let Err(malformed) = stream.event(name.as_bytes(), data.as_bytes(), &mut out) {
            out.extend(format!("# malformed: {malformed}\n").bytes());
        }
    }
    let complete = stream.finish(&mut out);
    let mut text = String::from_utf8(out).expect("is text");
    text += if complete { "# complete\n" } else { "# incomplete\n" };
    text
}

fn error_text(to: Endpoint, path: &FilePath, body: &[u8]) -> String {
    let name = path.file_name().expect("is a file").to_string_lossy();
    let status = name.split('-').next().and_then(|text| text.parse().ok());
    let from = ask(to, b"").to;
    let (status, body) = error(to, from, status.expect("its name begins with the status"), body);
    format!("{status}\n{}", pretty(&body))
}

/// The cases of a folder: no file that says what is expected or asked.
fn cases(folder: &FilePath) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("is listed").path()).collect();
    paths.retain(|path| {
        let name = path.file_name().expect("is a file").to_string_lossy();
        !name.contains(".expected.") && !name.ends_with(".request.json")
    });
    paths.sort();
    paths
}

#[test]
fn every_case_becomes_what_stands_beside_it() {
    let root = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/llm");
    let (mut count, mut wrong) = (0, String::new());
    for (way, client) in WAYS {
        for kind in ["request", "answer", "stream", "error"] {
            for path in cases(&root.join(way).join(kind)) {
                let input = fs::read(&path).expect("a case is read");
                let name = path.file_stem().expect("is a file").to_string_lossy().into_owned();
                // `NAME@MODEL`: what the provider calls the model.
                let model = name.split_once('@').map(|(_, model)| model);
                let found = match kind {
                    "request" => request_text(client, model, &input),
                    "answer" => answer_text(&back(client, &path), &input),
                    "stream" => {
                        let text = String::from_utf8(input).expect("a stream is text");
                        stream_text(&back(client, &path), &text)
                    }
                    _ => error_text(client, &path, &input),
                };
                let ending = if kind == "stream" { "sse" } else { "txt" };
                let expected_path = path.with_file_name(format!("{name}.expected.{ending}"));
                if std::env::var_os("RINGWAY_BLESS").is_some() {
                    fs::write(&expected_path, &found).expect("is written");
                }
                let expected = fs::read_to_string(&expected_path).unwrap_or_default();
                if found != expected {
                    wrong += &format!(
                        "--- {}: expected\n{expected}--- found\n{found}",
                        expected_path.display()
                    );
                }
                count += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(count >= 40, "{count} cases");
}
