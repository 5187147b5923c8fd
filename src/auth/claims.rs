//! What is said of a caller, by name: a token's claims, or what stands for them with a certificate
//! or a password.
//!
//! Owns how a claim reads as text: limits, fields, logs and templates all ask by name and get the
//! same answer, without an allocation. Invariant: a name gives the same text for as long as the
//! claims live.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::bounds::CLAIM_DEPTH_MAX;

/// Claims, as they were signed and as texts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claims {
    all: Map<String, Value>,
    /// What is not a text at the top: numbers, flags, lists, and what lies in objects, by dotted
    /// path.
    texts: HashMap<Box<str>, Box<str>>,
}

// === impl Claims ===

impl Claims {
    /// Takes a JSON object's members.
    #[must_use]
    pub fn new(all: Map<String, Value>) -> Claims {
        let mut texts = HashMap::new();
        for (name, value) in &all {
            if !value.is_string() {
                collect(name, value, 0, &mut texts);
            }
        }
        Claims { all, texts }
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &Map<String, Value> {
        &self.all
    }

    /// A claim as text: a text as it is, a number or a flag as JSON writes it, the elements of a
    /// list with commas between. A dotted name leads into objects, unless there is a claim of
    /// exactly that name. `None` for objects, `null` and what is not there.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.all.get(name) {
            Some(Value::String(text)) => Some(text),
            _ => self.texts.get(name).map(|text| &**text),
        }
    }
}

fn collect(path: &str, value: &Value, depth: usize, texts: &mut HashMap<Box<str>, Box<str>>) {
    match value {
        Value::Object(members) if depth < CLAIM_DEPTH_MAX => {
            for (name, value) in members {
                collect(&format!("{path}.{name}"), value, depth + 1, texts);
            }
        }
        Value::Object(_) | Value::Null => {}
        Value::Array(list) => {
            let elements: Option<Vec<String>> = list.iter().map(scalar).collect();
            // A list of objects has no text.
            if let Some(elements) = elements {
                texts.entry(path.into()).or_insert_with(|| elements.join(",").into());
            }
        }
        Value::String(_) | Value::Number(_) | Value::Bool(_) => {
            if let Some(text) = scalar(value) {
                texts.entry(path.into()).or_insert_with(|| text.into());
            }
        }
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_reads_as_text_whatever_it_is() {
        let json = serde_json::json!({
            "sub": "alice", "level": 3, "score": 1.5, "staff": true, "none": null,
            "roles": ["a", "b", 7], "mixed": [{"x": 1}],
            "org": {"id": "o1", "unit": {"n": 9}, "tags": ["p"]},
            "https://a.example/tenant": "t1", "a.b": "exact", "a": {"b": "nested"},
        });
        let Value::Object(map) = json else { panic!("an object") };
        let claims = Claims::new(map);
        for (name, text) in [
            ("sub", Some("alice")),
            ("level", Some("3")),
            ("score", Some("1.5")),
            ("staff", Some("true")),
            ("none", None),
            ("roles", Some("a,b,7")),
            ("mixed", None),
            ("org", None),
            ("org.id", Some("o1")),
            ("org.unit.n", Some("9")),
            ("org.tags", Some("p")),
            ("https://a.example/tenant", Some("t1")),
            ("a.b", Some("exact")),
            ("nothing", None),
            ("", None),
        ] {
            assert_eq!(claims.text(name), text, "{name}");
        }
    }

    #[test]
    fn what_lies_too_deep_has_no_text() {
        let deep = (0..20).fold(Value::from(1), |inner, _| serde_json::json!({ "a": inner }));
        let Value::Object(map) = deep else { panic!("an object") };
        let claims = Claims::new(map);
        assert!(claims.texts.is_empty());
    }
}
