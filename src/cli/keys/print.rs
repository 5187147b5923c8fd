//! Keys on the terminal. What others wrote into a key is shown without control characters.

use serde_json::Value;

use super::Format;

/// One line.
#[expect(clippy::print_stdout, reason = "what the verb is for")]
pub fn say(text: &str) {
    println!("{text}");
}

/// A list of keys.
pub fn list(format: Format, keys: &[Value]) {
    if format == Format::Json {
        return say(&format!("{:#}", Value::from(keys.to_vec())));
    }
    let heads = ["NAME", "STATE", "SECRET", "OWNER", "PLANS", "EXPIRES", "SOURCE"];
    let mut rows = vec![heads.map(str::to_owned)];
    rows.extend(keys.iter().map(row));
    let widths: Vec<usize> = (0..heads.len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        say(cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

/// One key, field by field.
pub fn one(format: Format, key: &Value) {
    if format == Format::Json {
        return say(&format!("{key:#}"));
    }
    let fields = key.as_object().into_iter().flatten();
    for (name, value) in fields.filter(|(_, value)| !is_empty(value)) {
        let texts: Vec<String> = match (name.as_str(), value) {
            (_, Value::String(text)) => vec![text.clone()],
            ("standing", Value::Array(limits)) => limits.iter().map(standing).collect(),
            ("versions", Value::Array(versions)) => versions.iter().map(calls).collect(),
            (_, other) => vec![other.to_string()],
        };
        texts.iter().for_each(|text| say(&format!("{name:<9} {}", clean(text))));
    }
}

/// What a limit has left: `plan gold: rate 4 of 5, full in 1 s; quota 7 of 9, resets in 60 s`.
fn standing(limit: &Value) -> String {
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), clean);
    let unit = limit["unit"].as_str().filter(|unit| *unit != "requests");
    let unit = unit.map_or_else(String::new, |unit| format!(" {}", clean(unit)));
    let level = |what: &str, when: &str, field: &str| {
        let level = limit[what].as_object()?;
        let (left, all, seconds) = (level.get("left")?, level.get("limit")?, level.get(field)?);
        let (left, all) = (plain(left), plain(all));
        Some(format!("{what} {left} of {all}{unit}, {when} in {seconds} s"))
    };
    let levels = [level("rate", "full", "full_in"), level("quota", "resets", "resets_in")];
    let levels: Vec<String> = levels.into_iter().flatten().collect();
    let name = limit["name"].as_str().unwrap_or_default();
    match levels.is_empty() {
        true => format!("{name}: no rate, no quota"),
        false => format!("{name}: {}", levels.join("; ")),
    }
}

/// How often a version was asked for: `orders v1: 3, last 2027-01-31T12:00:00Z`.
fn calls(version: &Value) -> String {
    let text = |field: &str| version[field].as_str().unwrap_or_default();
    format!("{} {}: {}, last {}", text("api"), text("version"), version["requests"], text("last"))
}

/// A key whose secret is seen now and never again.
pub fn made(format: Format, key: &Value) {
    if format == Format::Json {
        return say(&format!("{key:#}"));
    }
    let name = key["name"].as_str().unwrap_or_default();
    match key["secret"].as_str() {
        Some(secret) => {
            eprintln!("The secret of {name}; it is not shown again:");
            say(secret);
        }
        None => say(&format!("{name} has the value of that digest")),
    }
}

fn row(key: &Value) -> [String; 7] {
    let text = |value: &Value| clean(value.as_str().unwrap_or_default());
    let list = |value: &Value| {
        let texts = value.as_array().into_iter().flatten().map(text);
        texts.collect::<Vec<_>>().join(",")
    };
    let shown = match text(&key["values"][0]["shown"]) {
        shown if shown.is_empty() => "-".to_owned(),
        shown => format!("{shown}…"),
    };
    [
        text(&key["name"]),
        text(&key["state"]),
        shown,
        text(&key["owner"]),
        list(&key["plans"]),
        text(&key["expires"]),
        text(&key["source"]),
    ]
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.values().all(is_empty),
        _ => false,
    }
}

fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}
