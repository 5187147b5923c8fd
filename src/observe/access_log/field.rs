//! The fields of an access-log line: one row each. The JSON line, the templates, their
//! documentation and the proof that a line fits its buffer all come from this table.

use core::net::{IpAddr, SocketAddr};

use super::line::{Plain, Word};
use super::{LlmRecord, Record};
use crate::bounds::{LOG_LINE_BYTES_MAX, log_field_bytes_max as max};

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub field: Field,
    /// The key in JSON and the word in a template.
    pub name: &'static str,
    /// The most bytes its value takes, without quotes.
    pub bytes_max: usize,
    /// Whether the JSON line has it; the others say again what those say, in an older form.
    pub in_json: bool,
    /// `,"name":"`. The time always has a value, so that only the first comma is to be a brace.
    pub(super) json_key: Word,
    /// One sentence for the documentation.
    pub help: &'static str,
}

/// What a field has to say about a record.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Absent,
    Address(SocketAddr),
    Flag(bool),
    Ip(IpAddr),
    /// 10^-12 USD, shown as USD.
    Money(u64),
    Number(u64),
    /// Name, NUL, text, NUL, and so on.
    Pairs(&'a [u8]),
    Plain(&'a [u8]),
    /// A query string: subject to the query policy.
    Query(&'a [u8]),
    RequestLine,
    Text(&'a [u8]),
    TimeClf,
    TimeIso,
    /// A whole URL: its query is subject to the query policy.
    Url(&'a [u8]),
}

/// What takes the fields of a JSON line.
pub(super) trait JsonLine {
    fn field(&mut self, row: &'static Row, value: Value<'_>);
}

macro_rules! table {
    ($($variant:ident $name:literal $max:expr, $json:literal $help:literal;)*) => {
        /// A field of an access-log line.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Field { $(#[doc = $help] $variant),* }

        /// Shows the fields of the JSON line to `line`, one after the other. A loop over the table
        /// would take twice the time: here each field's value is known to be text, or a number.
        pub(super) fn each_in_json<'a>(record: &Record<'a>, line: &mut impl JsonLine) {
            $(if $json {
                line.field(Field::$variant.row(), Field::$variant.value(record));
            })*
        }

        /// All fields, in the order of the JSON line.
        pub const TABLE: &[Row] = &[$(Row {
            field: Field::$variant, name: $name, bytes_max: $max, in_json: $json, help: $help,
            json_key: Word::new(concat!(",\"", $name, "\":\"")),
        }),*];
    };
}

const REQUEST_LINE: usize = max::METHOD + 1 + max::PATH + 1 + max::QUERY + 1 + max::TOKEN;

// variant, name, most bytes, in the JSON line?, help
table! {
    Time "time" max::TIME, true "When the answer was complete: ISO 8601, UTC, milliseconds.";
    TimeClf "time_clf" max::TIME, false "The same in the common log format, without brackets.";
    RequestId "request_id" max::REQUEST_ID, true "The request's id, as both sides got it.";
    Client "client" max::ADDRESS, true "The client's address, after trusted forwarding headers.";
    ClientPort "client_port" max::NUMBER, true "The client's port, where the connection told it.";
    Subject "subject" max::SUBJECT, true "Whom an authorizer has found the client to be.";
    Claims "claims" max::CLAIMS, true
        "What `log_claims` names: an object in JSON, `name=text` with blanks elsewhere.";
    Listener "listener" max::NAME, true "The listener's name.";
    Api "api" max::NAME, true "The API's name.";
    Route "route" max::ROUTE, true "The route key, as configured.";
    Stage "stage" max::NAME, true "The stage, if the API has stages.";
    ApiVersion "api_version" max::TOKEN, true
        "The version the request asked for, if the API has any.";
    Canary "canary" 4, true "`true` if the stage's canary served it.";
    Method "method" max::METHOD, true "The request's method.";
    Host "host" max::HOST, true "The request's host, with its port if it had one.";
    Path "path" max::PATH, true "The request's path, as received.";
    Query "query" max::QUERY, true
        "The request's query, with the values of secret parameters hidden.";
    Version "version" max::TOKEN, true "The protocol the client spoke, as HTTP/1.1.";
    Request "request" REQUEST_LINE, false "Method, path, query and version, as a request line.";
    Status "status" max::NUMBER, true "The status sent; 499 if the client had gone before.";
    Failure "failure" max::TOKEN, true "Why the request failed: a name of docs/errors.md.";
    Detail "detail" max::TOKEN, true "What exactly failed, in one word.";
    Key "key" max::NAME, true "The name of the API key, also of one that was refused.";
    Plan "plan" max::NAME, true "The usage plan that metered the request.";
    Limit "limit" max::NAME, true "The limit that refused it.";
    TunnelEnd "tunnel_end" max::TOKEN, true
        "Who or what ended the tunnel, if the request opened one (its line is written then).";
    GrpcStatus "grpc_status" max::NUMBER, true "How a gRPC call ended, as the number it has there.";
    BytesIn "bytes_in" max::NUMBER, true "Bytes received from the client, head and body.";
    BytesOut "bytes_out" max::NUMBER, true "Bytes sent to the client, head and body.";
    TotalUs "total_us" max::NUMBER, true
        "Microseconds from the first byte of the request to the last of the answer.";
    GatewayUs "gateway_us" max::NUMBER, true "Of those, the gateway's own.";
    UpstreamUs "upstream_us" max::NUMBER, true "Of those, spent waiting on the upstream.";
    ConnectUs "upstream_connect_us" max::NUMBER, true "Microseconds to connect, if it had to.";
    FirstByteUs "upstream_first_byte_us" max::NUMBER, true
        "Microseconds from the request being sent to the first byte of the answer.";
    Upstream "upstream" max::NAME, true "The upstream's name.";
    Endpoint "endpoint" max::ADDRESS, true "The endpoint that was asked last.";
    Attempts "attempts" max::NUMBER, true "How often the request was sent to an endpoint.";
    UpstreamReused "upstream_reused" 5, true "Whether the upstream connection was a pooled one.";
    ConnectionRequests "connection_requests" max::NUMBER, true
        "Which request of its connection it was, from 1.";
    UserAgent "user_agent" max::USER_AGENT, true "The User-Agent field.";
    Referer "referer" max::REFERER, true "The Referer field, its query treated like the request's.";
    TlsVersion "tls_version" max::TOKEN, true "The TLS version, if any.";
    Sni "sni" max::HOST, true "The server name the client asked for in TLS.";
    Traceparent "traceparent" max::TRACEPARENT, true "The W3C trace context sent to the upstream.";
    Model "model" max::MODEL, true "The model as the client named it.";
    Provider "provider" max::NAME, true "Who served it, or was asked last.";
    ServedModel "served_model" max::MODEL, true "The provider's own name for the model.";
    TokensIn "tokens_in" max::NUMBER, true "Tokens of the input, those from a cache included.";
    TokensOut "tokens_out" max::NUMBER, true "Tokens of the output, reasoning included.";
    TokensCached "tokens_cached" max::NUMBER, true
        "Of the input, tokens that the provider read from its cache.";
    CostUsd "cost_usd" max::NUMBER + 1, true
        "What it cost by the price table: USD, an exact decimal.";
    TtftUs "ttft_us" max::NUMBER, true
        "Microseconds from the first byte of the request to the first token of its stream.";
    UsageEstimated "usage_estimated" 4, true
        "`true` if the gateway estimated the tokens, for the provider did not count them.";
}

/// `"name":` and two quotes around the value and a comma: what a JSON field takes beside both.
const JSON_AROUND: usize = 2 + 1 + 2 + 1;
/// Braces, the mark of a line that was cut, the newline.
const JSON_LINE: usize = 2 + ",\"cut\":true".len() + 1;

const _: () = assert!(json_bytes_max() <= LOG_LINE_BYTES_MAX, "the longest JSON line fits");

// === impl Field ===

impl Field {
    /// This field's row.
    #[must_use]
    #[inline]
    pub fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// The field called so.
    #[must_use]
    pub fn named(name: &str) -> Option<Field> {
        TABLE.iter().find(|row| row.name == name).map(|row| row.field)
    }

    #[inline(always)]
    pub(super) fn value<'a>(self, record: &Record<'a>) -> Value<'a> {
        match self {
            Field::Time => Value::TimeIso,
            Field::TimeClf => Value::TimeClf,
            Field::RequestId => Value::plain(record.request_id),
            Field::Client => Value::Ip(record.client),
            Field::ClientPort => Value::unless_zero(u64::from(record.client_port)),
            Field::Subject => Value::name(record.subject),
            Field::Claims if record.claims.is_empty() => Value::Absent,
            Field::Claims => Value::Pairs(record.claims),
            Field::Listener => Value::plain(record.listener),
            Field::Api => Value::plain(record.api),
            Field::Route => Value::name(record.route),
            Field::Stage => Value::name(record.stage),
            Field::ApiVersion => Value::name(record.api_version),
            Field::Canary if record.canary => Value::Flag(true),
            Field::Canary => Value::Absent,
            Field::Method => Value::plain(record.method),
            Field::Host => Value::plain(record.host),
            Field::Path => Value::bytes(record.path),
            Field::Query => record.query.map_or(Value::Absent, Value::Query),
            Field::Version => Value::word(record.version),
            Field::Request => Value::RequestLine,
            Field::Status => Value::Number(u64::from(record.status)),
            Field::Failure => record.failure.map_or(Value::Absent, |f| Value::word(f.row().name)),
            Field::Detail => Value::word(record.detail),
            Field::Key => Value::name(record.key),
            Field::Plan => Value::name(record.plan),
            Field::Limit => Value::name(record.limit),
            Field::TunnelEnd => Value::word(record.tunnel_end),
            Field::GrpcStatus => {
                record.grpc_status.map_or(Value::Absent, |status| Value::Number(u64::from(status)))
            }
            Field::BytesIn => Value::Number(record.bytes_in),
            Field::BytesOut => Value::Number(record.bytes_out),
            Field::TotalUs => Value::Number(record.total_ns / 1000),
            Field::GatewayUs => Value::Number(record.gateway_ns() / 1000),
            Field::UpstreamUs => Value::micros(record.upstream_ns),
            Field::ConnectUs => Value::micros(record.upstream_connect_ns),
            Field::FirstByteUs => Value::micros(record.upstream_first_byte_ns),
            Field::Upstream => Value::plain(record.upstream),
            Field::Endpoint => record.endpoint.map_or(Value::Absent, Value::Address),
            Field::Attempts => Value::unless_zero(u64::from(record.attempts)),
            Field::UpstreamReused if record.attempts == 0 => Value::Absent,
            Field::UpstreamReused => Value::Flag(record.upstream_reused),
            Field::ConnectionRequests => Value::Number(u64::from(record.connection_requests)),
            Field::UserAgent => Value::bytes(record.user_agent),
            Field::Referer if record.referer.is_empty() => Value::Absent,
            Field::Referer => Value::Url(record.referer),
            Field::TlsVersion => Value::word(record.tls_version),
            Field::Sni => Value::bytes(record.sni),
            Field::Traceparent => Value::plain(record.traceparent),
            _ => record.llm.as_ref().map_or(Value::Absent, |llm| self.value_of_llm(llm)),
        }
    }
}

impl Field {
    /// Of a request to a model; all others have none of these.
    #[inline(always)]
    fn value_of_llm<'a>(self, llm: &LlmRecord<'a>) -> Value<'a> {
        match self {
            Field::Model => Value::name(llm.model),
            Field::Provider => Value::plain(llm.provider),
            Field::ServedModel => Value::name(llm.served_model),
            Field::TokensIn => Value::Number(llm.tokens_in),
            Field::TokensOut => Value::Number(llm.tokens_out),
            Field::TokensCached => Value::unless_zero(llm.tokens_cached),
            Field::CostUsd => Value::Money(llm.cost_pico),
            Field::TtftUs => llm.ttft_us.map_or(Value::Absent, Value::Number),
            Field::UsageEstimated if llm.estimated => Value::Flag(true),
            _ => Value::Absent,
        }
    }
}

// === impl Value ===

impl<'a> Value<'a> {
    /// The pairs of [`Value::Pairs`].
    pub(super) fn pairs(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut parts = bytes.split(|byte| *byte == 0);
        std::iter::from_fn(move || Some((parts.next()?, parts.next()?)))
    }

    fn bytes(bytes: &'a [u8]) -> Value<'a> {
        if bytes.is_empty() { Value::Absent } else { Value::Text(bytes) }
    }

    fn name(name: &'a str) -> Value<'a> {
        Value::bytes(name.as_bytes())
    }

    fn plain(text: Plain<'a>) -> Value<'a> {
        let bytes = text.bytes();
        if bytes.is_empty() { Value::Absent } else { Value::Plain(bytes) }
    }

    /// A word of the program's own.
    fn word(word: &'static str) -> Value<'a> {
        Value::plain(Plain::of(word))
    }

    fn unless_zero(n: u64) -> Value<'a> {
        if n == 0 { Value::Absent } else { Value::Number(n) }
    }

    fn micros(ns: Option<u64>) -> Value<'a> {
        ns.map_or(Value::Absent, |ns| Value::Number(ns / 1000))
    }
}

const fn json_bytes_max() -> usize {
    let (mut sum, mut i) = (JSON_LINE, 0);
    while i < TABLE.len() {
        if TABLE[i].in_json {
            sum += TABLE[i].name.len() + TABLE[i].bytes_max + JSON_AROUND;
        }
        i += 1;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_at_their_fields_index_and_no_name_stands_twice() {
        for (i, row) in TABLE.iter().enumerate() {
            assert_eq!(row.field as usize, i);
            assert_eq!(Field::named(row.name), Some(row.field), "{} twice", row.name);
            assert!(row.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
        }
    }

    #[test]
    fn the_tables_own_words_fit_their_bounds() {
        assert!(crate::failure::TABLE.iter().all(|row| row.name.len() <= max::TOKEN));
    }
}
