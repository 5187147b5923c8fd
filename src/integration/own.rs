//! The fields the gateway itself puts on an answer, whoever gave it: an upstream, a fixed answer or
//! a failure. One line a concern; each says nothing where it does not apply.

use super::{Exchange, lifecycle};
use crate::auth::{Form, is_cors_field};
use crate::http::Name;
use crate::message::Reply;

/// Puts the gateway's own fields behind those of the answer.
pub fn fields(exchange: &Exchange<'_>, reply: &mut Reply<'_>) {
    // A failure is not the route's answer: its edits do not apply, and it always has its id.
    let edits = exchange.route.filter(|_| exchange.failure.is_none());
    for value in challenge_values(exchange) {
        reply.field(b"www-authenticate", &value);
    }
    if !edits.is_some_and(|route| route.response.drops(b"x-request-id")) {
        reply.field(b"x-request-id", &exchange.ids.request);
    }
    cors(exchange, reply);
    exchange.metered.fields(reply);
    lifecycle::fields(exchange, reply);
}

/// Whether a field of an upstream's answer is left out because the gateway speaks in its place.
#[must_use]
pub fn replaces(exchange: &Exchange<'_>, name: &[u8]) -> bool {
    exchange.cors().is_some() && is_cors_field(name) || exchange.metered.replaces(name)
}

/// Errors carry them too: without them a script could not tell a 429 from a broken connection.
fn cors(exchange: &Exchange<'_>, reply: &mut Reply<'_>) {
    let Some(cors) = exchange.cors() else { return };
    let origin = exchange.request.value(Name::Origin);
    cors.policy.put_fields(origin, &mut |name, value| reply.field(name.as_bytes(), value));
}

/// The challenges as an answer's fields.
fn challenge_values<'e>(exchange: &'e Exchange<'_>) -> impl Iterator<Item = Vec<u8>> + 'e {
    let access = exchange.route.and_then(|route| route.access.as_deref());
    let form = access.map_or(Form::Rfc, |access| access.form);
    exchange.challenges.iter().map(move |challenge| challenge.value(form))
}
