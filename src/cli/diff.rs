//! `ringway diff OLD NEW`: what a reload from one to the other would change, by name. Both are
//! compiled as a load would: what a reload would refuse is refused here. What is in other files
//! (certificates, guides) is read anew by every reload and compared by none.

use std::path::Path;

use serde_json::{Value, json};

use crate::config::{self, Change};

/// How the differences are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    Text,
    Json,
}

/// Prints the differences; the exit code.
#[expect(clippy::print_stdout, reason = "what the verb is for")]
pub fn run(old: &Path, new: &Path, form: Form) -> u8 {
    let (old, new) = match (super::check::compile(old), super::check::compile(new)) {
        (Ok(old), Ok(new)) => (old, new),
        (old, new) => {
            let wrong = [old.err(), new.err()].into_iter().flatten().flatten();
            return super::complain(&wrong.collect::<Vec<_>>());
        }
    };
    let changes = config::diff(&old.config, &new.config);
    match form {
        Form::Text => changes.iter().for_each(|change| print!("{}", text(change))),
        Form::Json => println!("{}", page(&changes)),
    }
    if changes.is_empty() { super::DONE } else { super::DIFFERENT }
}

fn text(change: &Change) -> String {
    let mut text = format!("{} {}\n", change.what, change.object);
    for (key, (old, new)) in change.keys.iter().zip(&change.values) {
        let show = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), Value::to_string);
        let (old, new) = (show(old), show(new));
        let hidden = if old == new { " (hidden)" } else { "" };
        text += &format!("  {key}: {old} -> {new}{hidden}\n");
    }
    text
}

fn page(changes: &[Change]) -> Value {
    let entry = |change: &Change| {
        let keys = change.keys.iter().zip(&change.values);
        let keys = keys.map(|(key, (old, new))| json!({ "key": key, "old": old, "new": new }));
        json!({
            "change": change.what.to_string(),
            "object": change.object,
            "keys": keys.collect::<Vec<_>>(),
        })
    };
    json!({ "changes": changes.iter().map(entry).collect::<Vec<_>>() })
}
