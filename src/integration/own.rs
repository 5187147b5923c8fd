//! The fields the gateway itself puts on an answer, whoever gave it: an upstream, a fixed answer or
//! a failure. One line a concern; each says nothing where it does not apply.

use super::Exchange;
use crate::message::Reply;

/// Puts the gateway's own fields behind those of the answer.
pub fn fields(exchange: &Exchange<'_>, reply: &mut Reply<'_>) {
    // A failure is not the route's answer: its edits do not apply, and it always has its id.
    let edits = exchange.route.filter(|_| exchange.failure.is_none());
    if !edits.is_some_and(|route| route.response.drops(b"x-request-id")) {
        reply.field(b"x-request-id", &exchange.ids.request);
    }
    exchange.metered.fields(reply);
}

/// Whether a field of an upstream's answer is left out because the gateway speaks in its place.
#[must_use]
pub fn replaces(exchange: &Exchange<'_>, name: &[u8]) -> bool {
    let _ = (exchange, name);
    false
}
