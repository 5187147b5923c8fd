//! The OpenAPI document of the admin API: paths from its table, schemas from `schemas.json`.

use serde_json::{Map, Value, json};

use super::problem::Problem;
use super::query::STATES;
use super::table::{Query, ROOT, Row, TABLE};
use crate::bounds;
use crate::control::ledger::Column;

const SCHEMAS: &str = include_str!("schemas.json");
const ABOUT: &str = "\
    What Ringway serves, and the API keys it keeps. Reads are open where only this host can reach \
    the admin address; writes show the admin token. Errors are problem details (RFC 9457) with a \
    stable `code`.";

/// The document.
#[must_use]
pub fn text() -> String {
    format!("{:#}\n", document())
}

fn document() -> Value {
    let mut paths = Map::new();
    for row in TABLE {
        let path = paths.entry(row.path.to_owned()).or_insert_with(|| json!({}));
        path[row.method.to_ascii_lowercase()] = operation(row);
    }
    // The root itself has no path below it.
    if let Some(index) = paths.remove("") {
        paths.insert("/".to_owned(), index);
    }
    let paths: Map<String, Value> = paths
        .into_iter()
        .map(|(path, item)| (format!("{ROOT}{}", path.trim_end_matches('/')), item))
        .collect();
    let schemas: Value = serde_json::from_str(SCHEMAS).expect("schemas.json is JSON");
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Ringway admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "responses": { "Problem": {
                "description": "It was not done, and why (RFC 9457)",
                "content": {
                    "application/problem+json": reference("Problem"),
                    // What is no HTTP at all is refused before the API is asked.
                    "application/json": { "schema": {} },
                },
            } },
        },
    })
}

fn operation(row: &Row) -> Value {
    let (status, schema) = row.answer;
    let mut answer = json!({ "description": "Done" });
    if !schema.is_empty() {
        answer["content"] = json!({ "application/json": reference(schema) });
    }
    if matches!(schema, "Key" | "MadeKey") {
        answer["headers"]["ETag"] = header("Tells this state of the key from any other");
    }
    if status == 201 {
        answer["headers"]["Location"] = header("Where the key is");
    }
    let mut responses = Map::new();
    responses.insert(status.to_string(), answer);
    for problem in problems(row) {
        let response = json!({ "$ref": "#/components/responses/Problem" });
        responses.insert(problem.status().to_string(), response);
    }
    responses.insert("default".into(), json!({ "$ref": "#/components/responses/Problem" }));
    let mut operation = json!({
        "operationId": format!("{:?}", row.op),
        "summary": row.summary,
        "responses": responses,
    });
    let parameters = parameters(row);
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some((schema, required)) = row.body {
        let mut content = json!({ "application/json": reference(schema) });
        if row.method == "PATCH" {
            content["application/merge-patch+json"] = reference(schema);
        }
        operation["requestBody"] = json!({ "required": required, "content": content });
    }
    if row.writes() {
        operation["security"] = json!([{ "token": [] }]);
    }
    operation
}

/// All problems that an operation may have.
fn problems(row: &Row) -> Vec<Problem> {
    let mut all = row.problems.to_vec();
    if row.writes() {
        all.extend([Problem::NoToken, Problem::Closed]);
    }
    if row.body.is_some() {
        all.extend([Problem::MediaType, Problem::TooLarge]);
    }
    if row.path.contains("{name}") {
        all.push(Problem::NotFound);
    }
    // A query or a body of another form.
    all.push(Problem::Invalid);
    all
}

fn parameters(row: &Row) -> Vec<Value> {
    let mut all = Vec::new();
    if row.path.contains("{name}") {
        all.push(json!({
            "name": "name", "in": "path", "required": true, "schema": { "$ref": NAME },
        }));
    }
    if row.problems.contains(&Problem::Changed) {
        all.push(json!({
            "name": "If-Match", "in": "header", "required": false,
            "description": "Only if the key still is what this ETag told",
            "schema": { "type": "string", "format": "etag" },
        }));
    }
    all.extend(row.query.iter().map(|query| {
        let (schema, text) = about(*query);
        json!({
            "name": query.name(), "in": "query", "required": false, "description": text,
            "schema": schema,
        })
    }));
    all
}

const NAME: &str = "#/components/schemas/Name";

fn about(query: Query) -> (Value, &'static str) {
    let text = json!({ "type": "string" });
    let number = |most: Option<usize>| {
        let mut schema = json!({ "type": "integer", "minimum": 1 });
        schema["maximum"] = most.map_or(i64::MAX.into(), Value::from);
        schema
    };
    match query {
        Query::Limit => {
            (number(Some(bounds::ADMIN_PAGE_MAX)), "Entries of one page; 100 by default")
        }
        Query::Before => {
            (number(None), "Only entries older than this one: `next` of the page before")
        }
        Query::After => (text, "Only names after this one: `next` of the page before"),
        Query::Owner => (text, "Only keys of this owner"),
        Query::Plan => (text, "Only keys of this usage plan"),
        Query::Tag => (text, "Only keys that have this tag: its name, or name=value"),
        Query::State => (json!({ "type": "string", "enum": STATES }), "Only keys in this state"),
        Query::Api => (text, "Only routes of this API"),
        Query::By => {
            let names = Column::ALL.map(|(_, name)| name).join("|");
            let pattern = format!("^(({names})(,({names}))*)?$");
            let schema = json!({ "type": "string", "pattern": pattern, "example": "key,model" });
            (schema, "What to group by; without it, there is one group")
        }
        Query::Since => (
            json!({ "type": "string", "format": "since", "default": "24h", "example": "7d" }),
            "The first moment: how long ago (`24h`, `7d`), a date, or a time (RFC 3339)",
        ),
        Query::Until => (
            json!({ "type": "string", "format": "until", "example": "2027-01-31" }),
            "The moment after the last, written like the first; now by default",
        ),
        Query::Where => (
            json!({ "type": "string", "format": "conditions", "example": "key=acme,outcome=ok" }),
            "Only requests that have these values: column=value, with commas between several",
        ),
        Query::Object => (text, "Only changes of this object, such as keys/acme"),
    }
}

fn reference(schema: &str) -> Value {
    json!({ "schema": { "$ref": format!("#/components/schemas/{schema}") } })
}

fn header(text: &str) -> Value {
    json!({ "description": text, "schema": { "type": "string" } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_every_row_of_the_table_and_nothing_else() {
        let document = document();
        let paths = document["paths"].as_object().expect("paths");
        for row in TABLE {
            let item = &paths[&format!("{ROOT}{}", row.path)];
            let operation = &item[row.method.to_ascii_lowercase()];
            assert_eq!(operation["operationId"], format!("{:?}", row.op), "{}", row.path);
            assert!(operation["responses"].get(row.answer.0.to_string()).is_some());
            assert_eq!(operation.get("security").is_some(), row.writes(), "{}", row.path);
        }
        let operations = paths.values().map(|item| item.as_object().map_or(0, Map::len));
        assert_eq!(operations.sum::<usize>(), TABLE.len());
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_schema_is_used() {
        let document = document();
        let mut found = std::collections::BTreeSet::new();
        collect(&document, &mut found);
        for reference in &found {
            let pointer = reference.strip_prefix('#').expect("within the document");
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        for name in document["components"]["schemas"].as_object().expect("schemas").keys() {
            let reference = format!("#/components/schemas/{name}");
            assert!(found.contains(&reference), "{name} is not used");
        }
    }

    fn collect(value: &Value, found: &mut std::collections::BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                let reference = map.get("$ref").and_then(Value::as_str);
                found.extend(reference.map(str::to_owned));
                map.values().for_each(|value| collect(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| collect(value, found)),
            _ => {}
        }
    }
}
