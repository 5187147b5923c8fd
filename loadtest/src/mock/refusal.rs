//! What is said instead of an answer: each dialect's error bodies and error events. Bytes only.

use std::time::Duration;

use super::asked::Complaint;
use super::fault::Fault;
use super::wire::{Answer, Endpoint, put, quoted};

pub struct Refusal {
    pub status: u16,
    message: String,
    param: Option<&'static str>,
    code: Option<&'static str>,
    /// Overrides what the status says: OpenAI's type, Anthropic's type.
    kinds: Option<(&'static str, &'static str)>,
    pub retry_after: Option<Duration>,
}

// === impl Refusal ===

impl Refusal {
    fn new(status: u16, code: Option<&'static str>, message: impl Into<String>) -> Refusal {
        let message = message.into();
        Refusal { status, message, param: None, code, kinds: None, retry_after: None }
    }

    pub fn of_complaint(complaint: Complaint) -> Refusal {
        let Complaint { param, code, message } = complaint;
        Refusal { param, ..Refusal::new(400, code, message) }
    }

    pub fn bad_request(message: impl Into<String>) -> Refusal {
        Refusal::new(400, None, message)
    }

    pub fn not_json() -> Refusal {
        let message = "We could not parse the JSON body of your request. (HINT: This likely means \
                       you aren't using your HTTP library correctly.)";
        Refusal::new(400, None, message)
    }

    pub fn no_key(key: &str) -> Refusal {
        if key.is_empty() {
            return Refusal::new(401, None, "You didn't provide an API key.");
        }
        let shown = key.get(..key.len().min(4)).unwrap_or("");
        let message = format!("Incorrect API key provided: {shown}***.");
        Refusal::new(401, Some("invalid_api_key"), message)
    }

    pub fn no_model(model: &str, anthropic: bool) -> Refusal {
        let message = if anthropic {
            format!("model: {model}")
        } else {
            format!("The model `{model}` does not exist or you do not have access to it.")
        };
        Refusal::new(404, Some("model_not_found"), message)
    }

    pub fn no_path(method: &str, path: &str) -> Refusal {
        Refusal::new(404, None, format!("Invalid URL ({method} {path})"))
    }

    pub fn too_large() -> Refusal {
        Refusal::new(413, None, "Request exceeds the maximum size")
    }

    /// The faults that are answers.
    pub fn of_fault(fault: Fault, retry_after: Duration) -> Option<Refusal> {
        Some(match fault {
            Fault::Quota => Refusal {
                kinds: Some(("insufficient_quota", "billing_error")),
                ..Refusal::new(
                    429,
                    Some("insufficient_quota"),
                    "You exceeded your current quota, please check your plan and billing details.",
                )
            },
            Fault::Context => Refusal {
                param: Some("messages"),
                ..Refusal::new(
                    400,
                    Some("context_length_exceeded"),
                    "prompt is too long: this model's maximum context length is 8192 tokens",
                )
            },
            Fault::Status(status) => {
                let (code, message) = match status {
                    401 => (Some("invalid_api_key"), "Incorrect API key provided: mock***."),
                    429 => (Some("rate_limit_exceeded"), "Rate limit reached for requests"),
                    503 | 529 => (Some("overloaded"), "Overloaded"),
                    500.. => (None, "The server had an error while processing your request."),
                    _ => (None, "The request was refused because it asked for that"),
                };
                let waits = matches!(status, 429 | 503).then_some(retry_after);
                Refusal { retry_after: waits, ..Refusal::new(status, code, message) }
            }
            _ => return None,
        })
    }

    pub fn body(&self, anthropic: bool, request_id: &str, out: &mut Vec<u8>) {
        let message = quoted(&self.message);
        if anthropic {
            let kind = self.kinds.map_or_else(|| anthropic_kind(self.status), |(_, kind)| kind);
            put(
                out,
                format_args!(
                    "{{\"type\":\"error\",\"error\":{{\"type\":\"{kind}\",\
                     \"message\":{message}}},\"request_id\":\"{request_id}\"}}"
                ),
            );
            return;
        }
        let kind = self.kinds.map_or_else(|| openai_kind(self.status), |(kind, _)| kind);
        let or_null = |text: Option<&str>| text.map_or("null".to_owned(), quoted);
        let (param, code) = (or_null(self.param), or_null(self.code));
        put(
            out,
            format_args!(
                "{{\"error\":{{\"message\":{message},\"type\":\"{kind}\",\"param\":{param},\
                 \"code\":{code}}}}}"
            ),
        );
    }
}

fn openai_kind(status: u16) -> &'static str {
    match status {
        429 => "requests",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
}

fn anthropic_kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        503 | 529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

/// The event with which a stream breaks.
pub fn event(endpoint: Endpoint, answer: &Answer, out: &mut Vec<u8>) {
    const MESSAGE: &str = "The server had an error while processing your request.";
    match endpoint {
        Endpoint::Messages => out.extend_from_slice(
            b"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\
              \"message\":\"Overloaded\"}}\n\n",
        ),
        Endpoint::Responses => {
            let number = answer.next();
            put(
                out,
                format_args!(
                    "event: error\ndata: {{\"type\":\"error\",\"code\":\"server_error\",\
                 \"message\":\"{MESSAGE}\",\"param\":null,\"sequence_number\":{number}}}\n\n"
                ),
            );
        }
        _ => put(
            out,
            format_args!(
                "data: {{\"error\":{{\"message\":\"{MESSAGE}\",\"type\":\"server_error\",\
             \"param\":null,\"code\":null}}}}\n\n"
            ),
        ),
    }
}
