//! The request's head as a provider gets it.
//!
//! Of the client's fields those go on that are about the request; nothing that says who the client
//! is does: no credentials, no cookies, no addresses, no origin of a page. The provider's own
//! credentials and fields take their place.

use crate::http::write::{self, Out};
use crate::http::{Field, Name, NameSet, Version};
use crate::integration::{Exchange, forward};
use crate::llm::{Dialect, Endpoint};
use crate::message::HeadOut;
use crate::snapshot::{Credential, LlmTarget, Route};

/// Fields that are written anew, or are of the client and the gateway only.
const HELD_BACK: NameSet = NameSet::of(&[
    Name::Accept,
    Name::AcceptEncoding,
    Name::Authorization,
    Name::ContentType,
    Name::Cookie,
    Name::Expect,
    Name::Forwarded,
    Name::MaxForwards,
    Name::Origin,
    Name::Referer,
    Name::Traceparent,
    Name::Via,
    Name::XForwardedFor,
    Name::XForwardedHost,
    Name::XForwardedPort,
    Name::XForwardedPrefix,
    Name::XForwardedProto,
    Name::XForwardedServer,
    Name::XRealIp,
    Name::XRequestId,
]);

/// More of them, which the parser does not know by name.
const CREDENTIALS: [&[u8]; 5] =
    [b"x-api-key", b"api-key", b"openai-organization", b"openai-project", b"x-goog-api-key"];

/// Where Anthropic's dialect says which version of itself it is.
const ANTHROPIC_VERSION: &[u8] = b"anthropic-version";
/// The version whose wire format this gateway knows.
const ANTHROPIC_VERSION_KNOWN: &[u8] = b"2023-06-01";

/// What an attempt sends.
pub(super) struct Sending<'a> {
    pub target: &'a LlmTarget,
    pub credential: Option<&'a Credential>,
    /// Where it goes below the base URL.
    pub endpoint: Endpoint,
    pub stream: bool,
    pub body_bytes: usize,
    pub via: &'a str,
}

/// Writes the head.
pub(super) fn write(
    exchange: &Exchange<'_>,
    route: &Route,
    sending: &Sending<'_>,
    out: &mut HeadOut,
) {
    let provider = &sending.target.provider;
    out.put(b"POST ");
    out.put(provider.base_path.as_bytes());
    out.put(sending.endpoint.path().as_bytes());
    out.put(b" HTTP/1.1\r\nhost: ");
    out.put(provider.host.as_bytes());
    out.put(b"\r\ncontent-type: application/json\r\naccept: ");
    out.put(if sending.stream { b"text/event-stream" } else { b"application/json" });
    // What is compressed could not be read: of usage and of errors.
    out.put(b"\r\naccept-encoding: identity\r\n");
    write::field_decimal(out, b"content-length", sending.body_bytes as u64);
    forwarded(exchange, route, sending, out);
    if provider.dialect == Dialect::Anthropic {
        anthropic_version(exchange, sending, out);
    }
    credentials(sending, out);
    for (name, value) in &provider.headers {
        write::field(out, name.as_bytes(), value.as_bytes());
    }
    traces(exchange, sending.via, out);
    write::end(out);
}

fn forwarded(exchange: &Exchange<'_>, route: &Route, sending: &Sending<'_>, out: &mut HeadOut) {
    let request = &exchange.request;
    let mut lines = write::Lines::default();
    for field in request.head.forwarded(request.block) {
        if passes(exchange, route, sending, field) {
            lines.add(out, field, request.block);
        }
    }
    lines.flush(out, request.block);
}

fn passes(exchange: &Exchange<'_>, route: &Route, sending: &Sending<'_>, field: &Field) -> bool {
    if HELD_BACK.has(field.id) {
        return false;
    }
    let name = exchange.request.text(field.name);
    let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
    let own = &sending.target.provider.headers;
    !(CREDENTIALS.iter().any(|credential| is(credential))
        || is(ANTHROPIC_VERSION)
        || own.iter().any(|(name, _)| is(name.as_bytes()))
        || forward::hides(exchange, route, field)
        || (!route.request.list.is_empty() && route.request.drops(name)))
}

fn anthropic_version(exchange: &Exchange<'_>, sending: &Sending<'_>, out: &mut HeadOut) {
    let own = &sending.target.provider.headers;
    if own.iter().any(|(name, _)| name.as_bytes() == ANTHROPIC_VERSION) {
        return;
    }
    let request = &exchange.request;
    let mut said = request.head.values_named(ANTHROPIC_VERSION, request.block);
    write::field(out, ANTHROPIC_VERSION, said.next().unwrap_or(ANTHROPIC_VERSION_KNOWN));
}

fn credentials(sending: &Sending<'_>, out: &mut HeadOut) {
    let Some(credential) = sending.credential else { return };
    match sending.target.provider.dialect {
        Dialect::OpenAi => out.put(b"authorization: Bearer "),
        Dialect::Anthropic => out.put(b"x-api-key: "),
    }
    out.put(credential.secret());
    out.put(b"\r\n");
}

/// RFC 9110 section 7.6.3, and what ties the request to log lines elsewhere.
fn traces(exchange: &Exchange<'_>, via: &str, out: &mut HeadOut) {
    out.put(match exchange.request.head.version {
        Version::Http10 => b"via: 1.0 ",
        Version::Http11 => b"via: 1.1 ",
        Version::Http2 => b"via: 2.0 ",
    });
    out.put(via.as_bytes());
    out.put(b"\r\nx-request-id: ");
    out.put(&exchange.ids.request);
    out.put(b"\r\ntraceparent: ");
    out.put(&exchange.ids.traceparent);
    out.put(b"\r\n");
}
