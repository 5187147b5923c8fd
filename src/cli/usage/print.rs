//! Usage on the terminal. Names that clients wrote are shown without control characters.

use serde_json::Value;

use super::Format;

/// A number's name in the JSON, and over its column.
const NUMBERS: [(&str, &str); 14] = [
    ("requests", "REQUESTS"),
    ("input_tokens", "INPUT"),
    ("cached_tokens", "CACHED"),
    ("cache_write_tokens", "CACHE-WRITE"),
    ("output_tokens", "OUTPUT"),
    ("reasoning_tokens", "REASONING"),
    ("total_tokens", "TOTAL"),
    ("cost_usd", "COST-USD"),
    ("estimated", "ESTIMATED"),
    ("errors", "ERRORS"),
    ("latency_p50_us", "P50"),
    ("latency_p95_us", "P95"),
    ("first_token_p50_us", "TTFT-P50"),
    ("first_token_p95_us", "TTFT-P95"),
];

/// Prints an answer.
#[expect(clippy::print_stdout, reason = "what the verb is for")]
pub fn answer(format: Format, answer: &Value) {
    print!("{}", text(format, answer));
}

fn text(format: Format, answer: &Value) -> String {
    match format {
        Format::Json => format!("{answer:#}\n"),
        Format::Csv => csv(answer),
        Format::Table => table(answer),
    }
}

/// RFC 4180, but for the line ends, which are those of this host.
fn csv(answer: &Value) -> String {
    let by = by(answer);
    let names = by.iter().copied().chain(NUMBERS.map(|(name, _)| name));
    let mut out = names.collect::<Vec<_>>().join(",") + "\n";
    for group in groups(answer) {
        let cells = by.iter().map(|name| quoted(&shown(&group[*name])));
        let numbers = NUMBERS.map(|(name, _)| shown(&group[name]));
        out.push_str(&cells.chain(numbers).collect::<Vec<_>>().join(","));
        out.push('\n');
    }
    out
}

fn table(answer: &Value) -> String {
    let by = by(answer);
    let mut heads: Vec<String> = by.iter().map(|name| name.to_uppercase()).collect();
    heads.extend(NUMBERS.map(|(_, head)| head.to_owned()));
    let mut rows = vec![heads];
    rows.extend(groups(answer).map(|group| {
        let names = by.iter().map(|name| match shown(&group[*name]) {
            text if text.is_empty() => "-".to_owned(),
            text => clean(&text),
        });
        names.chain(NUMBERS.map(|(name, _)| cell(name, &group[name]))).collect()
    }));
    if !by.is_empty() {
        let names = by.iter().enumerate().map(|(at, _)| if at == 0 { "(all)" } else { "" });
        let total = NUMBERS.map(|(name, _)| cell(name, &answer["total"][name]));
        rows.push(names.map(str::to_owned).chain(total).collect());
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..rows[0].len()).map(|at| width(at).unwrap_or(0)).collect();
    let mut out = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(at, (cell, width))| {
            // Numbers stand to the right.
            if at < by.len() { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

fn by(answer: &Value) -> Vec<&str> {
    answer["by"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn groups(answer: &Value) -> impl Iterator<Item = &Value> {
    answer["groups"].as_array().into_iter().flatten()
}

/// Empty for what is not known.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Times are shown in a unit that suits them.
fn cell(name: &str, value: &Value) -> String {
    match (name.ends_with("_us"), value.as_u64()) {
        (true, None) => "-".to_owned(),
        (true, Some(us)) if us < 1_000 => format!("{us}us"),
        (true, Some(us)) if us < 1_000_000 => format!("{}ms", (us + 500) / 1_000),
        (true, Some(us)) => format!("{}.{}s", us / 1_000_000, us % 1_000_000 / 100_000),
        _ => shown(value),
    }
}

/// A field of CSV. A spreadsheet would calculate with what begins like a formula: a mark before it
/// keeps it text.
fn quoted(text: &str) -> String {
    let marked = match text.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r') => format!("'{text}"),
        _ => text.to_owned(),
    };
    if marked.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", marked.replace('"', "\"\""));
    }
    marked
}

fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sum(requests: u64, cost: &str) -> Value {
        json!({
            "requests": requests, "input_tokens": 1200, "cached_tokens": 1024,
            "cache_write_tokens": 0, "output_tokens": 340, "reasoning_tokens": 64,
            "total_tokens": 1540, "cost_usd": cost, "estimated": 0, "errors": 1,
            "latency_p50_us": 900, "latency_p95_us": 1_260_000, "first_token_p50_us": 210_400,
            "first_token_p95_us": null,
        })
    }

    fn answer() -> Value {
        let mut one = sum(2, "0.000768");
        one["key"] = "acme".into();
        one["model"] = "gpt-4o-mini".into();
        let mut two = sum(1, "0.10");
        two["key"] = "".into();
        two["model"] = "=cmd(\"x\"),\u{1b}[1m".into();
        json!({
            "since": "2026-11-21T08:00:00Z", "until": "2026-11-22T08:00:00Z",
            "by": ["key", "model"], "groups": [one, two], "total": sum(3, "0.100768"),
        })
    }

    #[test]
    fn a_table_has_names_to_the_left_numbers_to_the_right_and_the_total_below() {
        let text = text(Format::Table, &answer());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0].split_whitespace().count(), 16);
        assert!(lines.iter().all(|line| line.chars().count() == lines[0].chars().count()));
        assert!(lines[1].starts_with("acme   gpt-4o-mini"), "{text}");
        assert!(lines[1].contains("0.000768"));
        assert!(lines[1].ends_with("900us  1.2s     210ms         -"), "{text}");
        assert!(lines[2].starts_with("-      =cmd(\"x\"),[1m"), "{text}");
        assert!(lines[3].starts_with("(all)"));
    }

    #[test]
    fn csv_is_quoted_where_it_must_and_no_cell_is_a_formula() {
        let text = text(Format::Csv, &answer());
        let mut lines = text.lines();
        assert_eq!(
            lines.next(),
            Some(
                "key,model,requests,input_tokens,cached_tokens,cache_write_tokens,output_tokens,\
                 reasoning_tokens,total_tokens,cost_usd,estimated,errors,latency_p50_us,\
                 latency_p95_us,first_token_p50_us,first_token_p95_us"
            )
        );
        assert_eq!(
            lines.next(),
            Some("acme,gpt-4o-mini,2,1200,1024,0,340,64,1540,0.000768,0,1,900,1260000,210400,")
        );
        assert!(lines.next().unwrap().starts_with(",\"'=cmd(\"\"x\"\"),"), "{text}");
    }

    #[test]
    fn json_is_the_answer_itself() {
        let text = text(Format::Json, &answer());
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), answer());
    }
}
