//! The errors as an OpenAPI fragment, for documents of your own to refer to: a schema for each of
//! the four bodies, a response for each code.
//!
//! Examples are what the gateway would send, written by the code that sends it.

use serde_json::{Map, Value, json};

use crate::failure::{self, Details, ErrorFormat, Row, Told};

/// docs/errors.openapi.json.
#[must_use]
pub fn errors_openapi() -> String {
    let mut responses = Map::new();
    // 499 is never sent.
    for row in failure::TABLE.iter().filter(|row| row.status != 499) {
        responses.insert(row.code.to_owned(), response(row));
    }
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Errors of Ringway",
            "version": "1",
            "description": "Generated from the table in src/failure.rs. Refer to the responses \
                from documents of your own; which body an API answers with its `errors` says.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": {},
        "components": { "schemas": schemas(), "responses": responses },
    });
    format!("{document:#}\n")
}

fn response(row: &Row) -> Value {
    let details = match row.status {
        429 => Details::new().retry_after(1),
        _ => Details::new(),
    };
    let told =
        Told { failure: row.failure, request_id: b"3f2a9c01", reason: "", details: Some(&details) };
    let example = |format| -> Value {
        let body = told.answer(format).body;
        json!({ "value": serde_json::from_slice::<Value>(&body).expect("a body is JSON") })
    };
    let aws = told.answer(ErrorFormat::Aws);
    let mut headers = json!({
        "x-request-id": {
            "description": "The request's id, as in the access log.",
            "schema": { "type": "string" },
        },
    });
    if told.retry_after().is_some() {
        headers["retry-after"] = json!({
            "description": "Seconds until the request may be sent again.",
            "schema": { "type": "integer", "minimum": 0 },
        });
    }
    json!({
        "description": format!("{} Status {}.", row.message, row.status),
        "headers": headers,
        "x-status": row.status,
        "x-retryable": row.retryable,
        "x-aws-status": aws.status,
        "x-aws-error-type": aws.amzn_type,
        "content": {
            "application/json": {
                "schema": { "oneOf": [
                    { "$ref": "#/components/schemas/RingwayError" },
                    { "$ref": "#/components/schemas/AnthropicError" },
                    { "$ref": "#/components/schemas/AwsError" },
                ] },
                "examples": {
                    "ringway": example(ErrorFormat::Ringway),
                    "anthropic": example(ErrorFormat::Anthropic),
                    "aws": example(ErrorFormat::Aws),
                },
            },
            "application/problem+json": {
                "schema": { "$ref": "#/components/schemas/Problem" },
                "examples": { "problem": example(ErrorFormat::Problem) },
            },
        },
    })
}

fn schemas() -> Value {
    let codes: Vec<&str> =
        failure::TABLE.iter().filter(|row| row.status != 499).map(|row| row.code).collect();
    let text = || json!({ "type": "string" });
    let details = || json!({ "type": "object", "description": "Values of this one request." });
    let code = json!({ "type": "string", "enum": codes });
    json!({
        "RingwayError": {
            "type": "object",
            "required": ["error"],
            "additionalProperties": false,
            "properties": { "error": {
                "type": "object",
                "required": [
                    "code", "type", "message", "param", "details", "doc_url", "retryable",
                ],
                "properties": {
                    "code": code, "type": text(), "message": text(),
                    "param": { "type": ["string", "null"] }, "details": details(),
                    "request_id": text(), "doc_url": text(), "retryable": { "type": "boolean" },
                },
            } },
        },
        "Problem": {
            "type": "object",
            "description": "RFC 9457.",
            "required": ["type", "title", "status", "code", "details", "doc_url", "retryable"],
            "properties": {
                "type": text(), "title": text(), "status": { "type": "integer" },
                "detail": text(), "code": code, "details": details(),
                "request_id": text(), "doc_url": text(), "retryable": { "type": "boolean" },
            },
        },
        "AnthropicError": {
            "type": "object",
            "required": ["type", "error"],
            "additionalProperties": false,
            "properties": {
                "type": { "const": "error" },
                "error": {
                    "type": "object",
                    "required": ["type", "message"],
                    "properties": { "type": text(), "message": text() },
                },
                "request_id": text(),
            },
        },
        "AwsError": {
            "type": "object",
            "required": ["message"],
            "additionalProperties": false,
            "properties": { "message": text() },
        },
    })
}
