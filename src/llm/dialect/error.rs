//! What went wrong, in the words of either dialect: statuses, types and codes (OpenAI's error
//! codes, Anthropic's `errors` page). The provider's message is kept; what is no JSON has none: it
//! is the page of some proxy.

use super::json::Json;
use crate::bounds::ERROR_MESSAGE_BYTES_MAX;
use crate::llm::{Dialect, Endpoint};

/// The kinds of errors both dialects have words for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Invalid,
    Authentication,
    Billing,
    Permission,
    NotFound,
    TooLarge,
    RateLimit,
    Api,
    Timeout,
    Overloaded,
}

/// Kind, Anthropic's type, its status, OpenAI's type, code and status.
type Row = (Kind, &'static str, u16, &'static str, Option<&'static str>, u16);

const INVALID: &str = "invalid_request_error";
const SERVER: &str = "server_error";

const TABLE: &[Row] = &[
    (Kind::Invalid, INVALID, 400, INVALID, None, 400),
    (Kind::Authentication, "authentication_error", 401, INVALID, Some("invalid_api_key"), 401),
    (Kind::Billing, "billing_error", 402, "insufficient_quota", Some("insufficient_quota"), 402),
    (Kind::Permission, "permission_error", 403, INVALID, Some("permission_denied"), 403),
    (Kind::NotFound, "not_found_error", 404, INVALID, Some("model_not_found"), 404),
    (Kind::TooLarge, "request_too_large", 413, INVALID, Some("request_too_large"), 413),
    (
        Kind::RateLimit,
        "rate_limit_error",
        429,
        "rate_limit_error",
        Some("rate_limit_exceeded"),
        429,
    ),
    (Kind::Api, "api_error", 500, SERVER, None, 500),
    (Kind::Timeout, "timeout_error", 504, SERVER, Some("timeout"), 504),
    (Kind::Overloaded, "overloaded_error", 529, SERVER, Some("server_is_overloaded"), 503),
];

/// The answer to a request that failed at a provider of the dialect `from`, as the client of `to`
/// understands it: a status and a body.
#[must_use]
pub fn error(to: Endpoint, from: Dialect, status: u16, body: &[u8]) -> (u16, Vec<u8>) {
    let json = Json::parse(body).unwrap_or(Json::Null);
    let told = json.get("error");
    // A bare text stands for the whole error in some servers; FastAPI's are in `detail`.
    let message = told.get("message").as_str().or(told.as_str());
    let message = message.or(json.get("message").as_str()).or(json.get("detail").as_str());
    let word = told.get("type").as_str();
    let kind = match from {
        Dialect::Anthropic => find(|row| Some(row.1) == word && row.0 != Kind::Api),
        Dialect::OpenAi => Kind::found_in_chat(word, told.get("code")),
    };
    let kind = kind.unwrap_or_else(|| Kind::of_status(status));
    let status = kind.status(to.dialect(), from, status);
    let made;
    let message = match message.filter(|message| !message.is_empty()) {
        Some(message) => message,
        None => {
            made = format!("The provider answered with status {status} and no message.");
            &made
        }
    };
    let message = &message[..message.floor_char_boundary(ERROR_MESSAGE_BYTES_MAX)];
    let param = told.get("param").as_str();
    let mut out = Vec::with_capacity(message.len() + 128);
    kind.body(to.dialect(), message, param, json.get("request_id").as_str()).write(&mut out);
    (status, out)
}

fn find(is: impl Fn(&Row) -> bool) -> Option<Kind> {
    TABLE.iter().find(|row| is(row)).map(|row| row.0)
}

// === impl Kind ===

impl Kind {
    pub(super) fn of_messages(word: Option<&str>) -> Kind {
        find(|row| Some(row.1) == word).unwrap_or(Kind::Api)
    }

    pub(super) fn of_chat(word: Option<&str>, code: &Json) -> Kind {
        // Some servers write the status where OpenAI has its code.
        let status = code.as_u64().and_then(|code| u16::try_from(code).ok());
        let status = status.or(code.as_str().and_then(|code| code.parse().ok()));
        let found = Kind::found_in_chat(word, code).or(status.map(Kind::of_status));
        found.unwrap_or(if word == Some(INVALID) { Kind::Invalid } else { Kind::Api })
    }

    /// By OpenAI's code or type, where they say more than the status does.
    fn found_in_chat(word: Option<&str>, code: &Json) -> Option<Kind> {
        let said = |text: &str| word == Some(text) || code.as_str() == Some(text);
        if ["insufficient_quota", "billing_hard_limit_reached", "credit_balance_exhausted"]
            .iter()
            .any(|text| said(text))
        {
            return Some(Kind::Billing);
        }
        if said("slow_down") || said("server_is_overloaded") || said("overloaded_error") {
            return Some(Kind::Overloaded);
        }
        find(|row| code.as_str().is_some() && row.4 == code.as_str())
            .or_else(|| find(|row| row.3 != INVALID && row.3 != SERVER && Some(row.3) == word))
    }

    fn of_status(status: u16) -> Kind {
        match status {
            401 => Kind::Authentication,
            402 => Kind::Billing,
            403 => Kind::Permission,
            404 => Kind::NotFound,
            408 | 504 => Kind::Timeout,
            413 => Kind::TooLarge,
            429 => Kind::RateLimit,
            503 | 529 => Kind::Overloaded,
            400..=499 => Kind::Invalid,
            _ => Kind::Api,
        }
    }

    fn row(self) -> &'static Row {
        TABLE.iter().find(|row| row.0 == self).expect("every kind has a row")
    }

    /// What the client is told: the provider's own status where it says the same kind.
    fn status(self, to: Dialect, from: Dialect, status: u16) -> u16 {
        let row = self.row();
        let (theirs, ours) = match from {
            Dialect::Anthropic => (row.2, row.5),
            Dialect::OpenAi => (row.5, row.2),
        };
        let same = to == from || (400..=599).contains(&status) && Kind::of_status(status) == self;
        if same && status != theirs { status } else { ours }
    }

    /// OpenAI's code for it; what has none is named by its type.
    pub(super) fn code(self) -> &'static str {
        self.row().4.unwrap_or(self.row().3)
    }

    /// What a failed response says: OpenAI has few codes there.
    pub(super) fn response_code(self) -> &'static str {
        match self {
            Kind::RateLimit => "rate_limit_exceeded",
            Kind::Invalid | Kind::TooLarge => "invalid_prompt",
            _ => "server_error",
        }
    }

    /// The whole body.
    pub(super) fn body<'a>(
        self,
        dialect: Dialect,
        message: &'a str,
        param: Option<&'a str>,
        request_id: Option<&'a str>,
    ) -> Json<'a> {
        let row = self.row();
        // Of what is not found, only a model has a code.
        let code = row.4.filter(|_| self != Kind::NotFound || message.contains("model"));
        let optional = |text: Option<&'a str>| text.map_or(Json::Null, Json::text);
        match dialect {
            Dialect::Anthropic => {
                let error =
                    Json::object([("type", Json::text(row.1)), ("message", Json::text(message))]);
                let mut pairs = vec![("type".into(), Json::text("error")), ("error".into(), error)];
                if request_id.is_some() {
                    pairs.push(("request_id".into(), optional(request_id)));
                }
                Json::Object(pairs)
            }
            Dialect::OpenAi => {
                let error = Json::object([
                    ("message", Json::text(message)),
                    ("type", Json::text(row.3)),
                    ("param", optional(param)),
                    ("code", optional(code)),
                ]);
                Json::object([("error", error)])
            }
        }
    }
}
