//! The reference of all keys, as Markdown: what stands in `docs/configuration.md` between its
//! markers.

use super::{Kind, Range, Row, sections};
use crate::config::spot::{show_bytes, show_count, show_ms, show_percent};

/// One table a section: key, type, default, meaning, example.
#[must_use]
pub fn reference() -> String {
    let mut text = String::new();
    for (heading, rows) in sections() {
        text.push_str(&format!(
            "### `{heading}`\n\n| key | type | default | meaning | example \
             |\n|---|---|---|---|---|\n"
        ));
        rows.iter().for_each(|row| text.push_str(&row.line()));
        text.push('\n');
    }
    text
}

impl Row {
    fn line(&self) -> String {
        let default = if self.required { "required".to_owned() } else { self.kind.default() };
        let example = match (self.example, self.kind) {
            ("", Kind::Table | Kind::Named | Kind::Tables(_)) => String::new(),
            ("", _) => self.assignment(&self.kind.default()),
            (example, _) => self.assignment(&code(example)),
        };
        let cells =
            [code(&self.name()), self.kind.describe(), default, self.text.to_owned(), example];
        format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
    }

    /// The key with `NAME` and `KEY` in place of the stars.
    fn name(&self) -> String {
        let path = self.path.replace("routes.*", "routes.\"KEY\"");
        let path =
            path.replace("domains.*", "domains.\"HOST\"").replace("prices.*", "prices.\"MODEL\"");
        let path = path.replace("models.*", "models.\"MODEL\"");
        path.replace("stages.*", "stages.STAGE")
            .replace("versions.*", "versions.ID")
            .replace(".*", ".NAME")
    }

    fn assignment(&self, value: &str) -> String {
        let key = self.path.rsplit('.').next().unwrap_or(self.path);
        let value = value.trim_matches('`');
        if value.is_empty() { String::new() } else { code(&format!("{key} = {value}")) }
    }
}

impl Kind {
    fn describe(self) -> String {
        match self {
            Kind::Table => "table".to_owned(),
            Kind::Named => "table of tables".to_owned(),
            Kind::Tables(of) => format!("list of {of}"),
            Kind::Flag(_) => "`true` or `false`".to_owned(),
            Kind::Count { range, .. } => format!("number, {}", between(range, show_count)),
            Kind::Amount(range) => {
                format!("number, {}; of `usd`: dollars in quotes", between(range, show_count))
            }
            Kind::Duration { range, .. } => format!("duration, {}", between(range, show_ms)),
            Kind::Size { range, .. } => format!("size, {}", between(range, show_bytes)),
            Kind::Percent { range, .. } => format!("percentage, {}", between(range, show_percent)),
            Kind::Choice { words, .. } => one_of(words),
            Kind::Text { form, .. } => form.to_owned(),
            Kind::Texts { form, .. } => format!("list: {form}"),
            Kind::Fields => "table: field name = template".to_owned(),
            Kind::Pairs(form) => format!("table: {form}"),
            Kind::Date => "date".to_owned(),
            Kind::Switch => "`true`, or a table".to_owned(),
            Kind::Either(words) => format!("{}, or a table", one_of(words)),
        }
    }

    fn default(self) -> String {
        match self {
            Kind::Flag(flag) => code(&flag.to_string()),
            Kind::Count { default: Some(number), .. } => code(&show_count(number)),
            Kind::Duration { default: Some(ms), .. } => code(&show_ms(ms)),
            Kind::Size { default: Some(bytes), .. } => code(&show_bytes(bytes)),
            Kind::Percent { default, .. } => code(&show_percent(u64::from(default))),
            Kind::Choice { default: Some(text), .. } | Kind::Text { default: Some(text), .. } => {
                code(&format!("\"{text}\""))
            }
            Kind::Texts { default: Some(texts), .. } => code(&format!("{texts:?}")),
            _ => String::new(),
        }
    }
}

fn one_of(words: &[&str]) -> String {
    let words: Vec<_> = words.iter().map(|word| code(&format!("\"{word}\""))).collect();
    words.join(", ")
}

fn between(range: Range, show: fn(u64) -> String) -> String {
    let bounds = format!("{} to {}", code(&show(range.min)), code(&show(range.max)));
    match range.zero {
        Some(meaning) => format!("{bounds}; `0` = {meaning}"),
        None => bounds,
    }
}

fn code(text: &str) -> String {
    format!("`{text}`")
}
