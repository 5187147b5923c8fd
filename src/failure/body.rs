//! The body of an error in its four forms: Ringway's own (which OpenAI's SDKs also read), RFC 9457
//! problem details, Anthropic's and AWS API Gateway's.
//!
//! Pure: a failure and what is known of the request in, bytes out. Invariant: whatever the values
//! are, what comes out is one JSON object and nothing of a value stands outside its string.

use serde::Serialize;

use super::details::{lossy, put_text};
use super::{Details, Failure, words};

/// The body of the errors the gateway itself answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorFormat {
    #[default]
    Ringway,
    /// RFC 9457.
    Problem,
    /// As Anthropic's API writes errors.
    Anthropic,
    /// As AWS API Gateway does, with `x-amzn-ErrorType` and AWS's own statuses.
    Aws,
}

/// A failure, and what is known of the request it ends.
#[derive(Clone, Copy)]
pub struct Told<'a> {
    pub failure: Failure,
    pub request_id: &'a [u8],
    /// What exactly failed, in a word of our own; empty if there is none.
    pub reason: &'a str,
    pub details: Option<&'a Details>,
}

/// How a client is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub media_type: &'static str,
    pub body: Vec<u8>,
    /// The value of `x-amzn-ErrorType`, where the client looks for it.
    pub amzn_type: Option<&'static str>,
}

// === impl Told ===

impl Told<'_> {
    /// The sentence a client reads.
    #[must_use]
    pub fn message(&self) -> &str {
        let own = self.details.and_then(|details| details.message.as_deref());
        own.unwrap_or(self.failure.row().message)
    }

    /// The seconds `Retry-After` says, if the request is worth sending again after some time.
    #[must_use]
    pub fn retry_after(&self) -> Option<u64> {
        let told = self.details.and_then(|details| details.retry_after);
        // Overload passes, or it would not be told with 503 (RFC 9110 section 15.6.4).
        told.or_else(|| (self.failure.row().status == 503).then_some(1))
    }

    /// The whole answer in this form.
    #[must_use]
    pub fn answer(&self, format: ErrorFormat) -> Answer {
        let row = self.failure.row();
        let mut out = Vec::with_capacity(384);
        let (mut status, mut amzn_type, mut media_type) = (row.status, None, "application/json");
        match format {
            ErrorFormat::Ringway => self.put_ringway(&mut out),
            ErrorFormat::Problem => {
                media_type = "application/problem+json";
                self.put_problem(&mut out);
            }
            ErrorFormat::Anthropic => self.put_anthropic(&mut out),
            ErrorFormat::Aws => {
                let aws = words::aws(row);
                (status, amzn_type) = (aws.status, Some(aws.kind));
                let message = if aws.message.is_empty() { self.message() } else { aws.message };
                member(&mut out, "{\"message\":", message);
                out.extend_from_slice(b"}");
            }
        }
        Answer { status, media_type, body: out, amzn_type }
    }

    fn put_ringway(&self, out: &mut Vec<u8>) {
        let row = self.failure.row();
        member(out, "{\"error\":{\"code\":", row.code);
        member(out, ",\"type\":", row.kind);
        member(out, ",\"message\":", self.message());
        match self.details.and_then(|details| details.param.as_deref()) {
            Some(param) => member(out, ",\"param\":", param),
            None => out.extend_from_slice(b",\"param\":null"),
        }
        out.extend_from_slice(b",\"details\":");
        self.put_details(out);
        self.put_rest(out);
        out.extend_from_slice(b"}}\n");
    }

    /// RFC 9457 section 3; what is not in its section 3.1 are extension members (3.2).
    fn put_problem(&self, out: &mut Vec<u8>) {
        let row = self.failure.row();
        member(out, "{\"type\":", &doc_url(row.code));
        member(out, ",\"title\":", row.message);
        out.extend_from_slice(format!(",\"status\":{}", row.status).as_bytes());
        if self.message() != row.message {
            member(out, ",\"detail\":", self.message());
        }
        member(out, ",\"code\":", row.code);
        out.extend_from_slice(b",\"details\":");
        self.put_details(out);
        self.put_rest(out);
        out.extend_from_slice(b"}\n");
    }

    fn put_anthropic(&self, out: &mut Vec<u8>) {
        let row = self.failure.row();
        member(out, "{\"type\":\"error\",\"error\":{\"type\":", words::anthropic_type(row));
        member(out, ",\"message\":", self.message());
        out.extend_from_slice(b"}");
        self.put_request_id(out);
        out.extend_from_slice(b"}\n");
    }

    fn put_details(&self, out: &mut Vec<u8>) {
        let start = out.len();
        if !self.reason.is_empty() {
            member(out, ",\"reason\":", self.reason);
        }
        if let Some(details) = self.details {
            details.put_members(out);
        }
        // Every member came after a comma: the first one's becomes the brace.
        match out.get_mut(start) {
            Some(comma) => *comma = b'{',
            None => out.push(b'{'),
        }
        out.push(b'}');
    }

    fn put_rest(&self, out: &mut Vec<u8>) {
        let row = self.failure.row();
        self.put_request_id(out);
        member(out, ",\"doc_url\":", &doc_url(row.code));
        let own = self.details.and_then(|details| details.retryable);
        let retryable = own.unwrap_or(row.retryable);
        out.extend_from_slice(format!(",\"retryable\":{retryable}").as_bytes());
    }

    /// Who is told at the door has no id yet.
    fn put_request_id(&self, out: &mut Vec<u8>) {
        if !self.request_id.is_empty() {
            member(out, ",\"request_id\":", &lossy(self.request_id));
        }
    }
}

/// Where a code is explained, on every listener.
#[must_use]
pub(super) fn doc_url(code: &str) -> String {
    format!("{}{}", super::page::BELOW, code.to_ascii_lowercase())
}

fn member(out: &mut Vec<u8>, key: &str, value: &str) {
    out.extend_from_slice(key.as_bytes());
    put_text(out, value);
}

#[cfg(test)]
mod tests {
    use super::super::TABLE;
    use super::*;
    use serde_json::{Value, json};

    const FORMATS: [ErrorFormat; 4] =
        [ErrorFormat::Ringway, ErrorFormat::Problem, ErrorFormat::Anthropic, ErrorFormat::Aws];

    fn told<'a>(failure: Failure, reason: &'a str, details: Option<&'a Details>) -> Told<'a> {
        Told { failure, request_id: b"r-1", reason, details }
    }

    fn json_of(answer: &Answer) -> Value {
        serde_json::from_slice(&answer.body).expect("is JSON")
    }

    #[test]
    fn the_own_body_has_all_the_members_it_promises() {
        let details = Details::new().texts("missing", ["a", "b"]).param("a").message("a, b");
        let answer = told(Failure::ParameterMissing, "", Some(&details)).answer(FORMATS[0]);
        assert_eq!(
            json_of(&answer),
            json!({"error": {
                "code": "COMMON_016", "type": "invalid_request_error", "message": "a, b",
                "param": "a", "details": {"missing": ["a", "b"]}, "request_id": "r-1",
                "doc_url": "/docs/errors/common_016", "retryable": false,
            }})
        );
        let answer = told(Failure::Unavailable, "full", None).answer(FORMATS[0]);
        assert_eq!(json_of(&answer)["error"]["details"], json!({"reason": "full"}));
        assert_eq!(json_of(&answer)["error"]["param"], Value::Null);
    }

    #[test]
    fn the_other_bodies_have_their_own_shape() {
        let details = Details::new().text("guide", "/docs/v1").message("Missing: [a]");
        let told = told(Failure::ParameterMissing, "", Some(&details));
        let problem = told.answer(ErrorFormat::Problem);
        assert_eq!(problem.media_type, "application/problem+json");
        assert_eq!(
            json_of(&problem),
            json!({
                "type": "/docs/errors/common_016", "title": told.failure.row().message,
                "status": 400, "detail": "Missing: [a]", "code": "COMMON_016",
                "details": {"guide": "/docs/v1"}, "request_id": "r-1",
                "doc_url": "/docs/errors/common_016", "retryable": false,
            })
        );
        assert_eq!(
            json_of(&told.answer(ErrorFormat::Anthropic)),
            json!({
                "type": "error", "request_id": "r-1",
                "error": {"type": "invalid_request_error", "message": "Missing: [a]"},
            })
        );
        let aws = told.answer(ErrorFormat::Aws);
        assert_eq!((aws.status, aws.amzn_type), (400, Some("BadRequestException")));
        assert_eq!(aws.body, b"{\"message\":\"Missing: [a]\"}");
    }

    #[test]
    fn every_row_is_one_json_object_in_every_form_whatever_its_values() {
        let nasty = "\"},\"x\":{\"y\":\"\\\u{0}\u{2028}";
        let details = Details::new().text("guide", nasty).message(nasty).param(nasty);
        for row in TABLE {
            for format in FORMATS {
                let told = Told {
                    failure: row.failure,
                    request_id: b"a\"\xff\\",
                    reason: nasty,
                    details: Some(&details),
                };
                let value = json_of(&told.answer(format));
                let text = value.to_string();
                assert!(value.is_object() && !text.contains("\"x\":"), "{}: {text}", row.code);
            }
        }
    }

    #[test]
    fn retry_after_is_told_where_waiting_helps() {
        assert_eq!(told(Failure::Unavailable, "", None).retry_after(), Some(1));
        assert_eq!(told(Failure::NotFound, "", None).retry_after(), None);
        let details = Details::new().retry_after(17);
        assert_eq!(told(Failure::TokenLimit, "", Some(&details)).retry_after(), Some(17));
    }
}
