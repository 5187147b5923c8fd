//! A value that a JSON schema allows, always the same one: what the model says when it calls a
//! tool or has to answer in JSON. Knows the part of JSON Schema that tools are written in. Pure.

use serde_json::{Map, Value, json};

/// References and recursive schemas end here.
const DEPTH_MAX: usize = 16;

pub fn sample(schema: &Value) -> Value {
    sampled(schema, schema, 0)
}

fn sampled(schema: &Value, root: &Value, depth: usize) -> Value {
    if depth > DEPTH_MAX {
        return Value::Null;
    }
    if let Some(path) = schema["$ref"].as_str().and_then(|path| path.strip_prefix('#')) {
        return root.pointer(path).map_or(Value::Null, |inner| sampled(inner, root, depth + 1));
    }
    if !schema["const"].is_null() {
        return schema["const"].clone();
    }
    if let Some(first) = schema["enum"].as_array().and_then(|list| list.first()) {
        return first.clone();
    }
    for name in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema[name].as_array().and_then(|list| list.first()) {
            return sampled(first, root, depth + 1);
        }
    }
    let kind = schema["type"].as_str().or(schema["type"][0].as_str());
    match kind {
        Some("string") => json!("Paris"),
        Some("integer" | "number") => match &schema["minimum"] {
            Value::Null => json!(1),
            least => least.clone(),
        },
        Some("boolean") => json!(true),
        Some("null") => Value::Null,
        Some("array") => json!([sampled(&schema["items"], root, depth + 1)]),
        _ => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            let fields = properties.map(|(name, of)| (name.clone(), sampled(of, root, depth + 1)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_allowed_by_their_schema() {
        let unit = json!({"unit": {"enum": ["C", "F"]}});
        let schema = json!({"type": "object", "$defs": unit, "properties": {
            "city": {"type": "string"}, "days": {"type": ["integer", "null"], "minimum": 2},
            "unit": {"$ref": "#/$defs/unit"},
            "tags": {"type": "array", "items": {"type": "boolean"}},
            "or": {"anyOf": [{"type": "null"}, {"type": "string"}]}}});
        let expected = json!({"city": "Paris", "days": 2, "unit": "C", "tags": [true], "or": null});
        assert_eq!(sample(&schema), expected);
        assert_eq!(sample(&Value::Null), json!({}));
        let endless = json!({"properties": {"a": {"$ref": "#"}}});
        assert!(sample(&endless).is_object());
    }
}
