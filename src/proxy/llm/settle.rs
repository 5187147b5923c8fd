//! What a request to a model has cost: given back to its limits or taken from them, written into
//! the ledger, counted.

use crate::clock::{self, Moment, nanos};
use crate::failure::Failure;
use crate::integration::Exchange;
use crate::integration::llm::{self, Chat, Fault, Lost};
use crate::limit::Costs;
use crate::llm::price::Pico;
use crate::llm::{Entry, Usage};
use crate::observe::gen_ai::{AbortPhase, AttemptEnd, GenAiOutcome};
use crate::proxy::meter;
use crate::proxy::serve::Scene;

/// Settles what has been reserved, once the request has ended; when that was.
pub fn settle<'c>(scene: &Scene<'c>, exchange: &mut Exchange<'c>) -> Moment {
    let Some(mut chat) = exchange.chat.take() else { return clock::moment() };
    chat.close();
    let Usage { input, output, .. } = chat.usage;
    let actual = Costs { input, output, nano_usd: Pico(chat.cost_pico()).nano() };
    let now = meter::settle(scene, exchange, &actual);
    count(scene, exchange, &chat, now);
    if let Some((prompt, answer)) = chat.content() {
        let request_id = String::from_utf8_lossy(&exchange.ids.request);
        let (prompt, answer) = (String::from_utf8_lossy(prompt), String::from_utf8_lossy(answer));
        tracing::info!(%request_id, %prompt, %answer, "content, which the route wants logged");
    }
    if chat.admitted {
        scene.context.ledger(&entry(exchange, &chat, now));
    }
    exchange.chat = Some(chat);
    now
}

/// Settles an attempt that has failed before its client saw anything of it: what its provider may
/// bill is taken from the provider's limits and written into the ledger, as a row of its own. The
/// caller pays nothing for it.
pub fn lost<'c>(
    scene: &Scene<'c>,
    exchange: &mut Exchange<'c>,
    chat: &mut Chat<'c>,
    fault: &Fault,
) {
    // A client that leaves pays for what it has set going.
    if matches!(fault.failure, Failure::ClientGone | Failure::ClientStalled) {
        return;
    }
    let Some(Lost { usage, estimated, cost_pico }) = chat.lose() else {
        return meter::settle_more(scene, exchange, &Costs::default());
    };
    let nano_usd = Pico(cost_pico).nano();
    let actual = Costs { input: usage.input, output: usage.output, nano_usd };
    meter::settle_more(scene, exchange, &actual);
    let row = Entry {
        usage,
        estimated,
        cost_pico,
        status: 0,
        outcome: Entry::LOST,
        first_token_us: None,
        ..entry(exchange, chat, clock::moment())
    };
    scene.context.ledger(&row);
}

fn count(scene: &Scene<'_>, exchange: &Exchange<'_>, chat: &Chat<'_>, now: Moment) {
    if exchange.failure == Some(Failure::ClientGone) {
        scene.context.cells().llm.aborted(match (chat.attempts, chat.first_token_ns) {
            (0, _) => AbortPhase::Unsent,
            (_, None) => AbortPhase::Waiting,
            (_, Some(_)) => AbortPhase::Answering,
        });
    }
    let Some(target) = chat.target else { return };
    let (cells, operation) = (target.cells.of(scene.context.worker), chat.endpoint.operation());
    if let Some(asked_at) = chat.served {
        let refused = exchange.detail == llm::REFUSED;
        let end = if refused { AttemptEnd::Rejected } else { AttemptEnd::Ok };
        cells.attempt_ended(operation, end, nanos(now.tick.since(asked_at)));
    }
    cells.request_ended(
        operation,
        &GenAiOutcome {
            failure: exchange.failure,
            total_ns: nanos(now.tick.since(exchange.started)),
            first_token_ns: chat.first_token_ns,
            input_tokens: chat.usage.input,
            output_tokens: chat.usage.output,
            estimated: chat.estimated,
            cost_pico: chat.cost_pico(),
        },
    );
}

fn entry<'a>(exchange: &'a Exchange<'_>, chat: &'a Chat<'_>, now: Moment) -> Entry<'a> {
    let target = chat.target;
    let key = exchange.identity.key.as_ref();
    Entry {
        time: now.wall,
        request_id: &exchange.ids.request,
        key: exchange.identity.key_name(),
        team: key.and_then(|key| key.tag("team")).unwrap_or(""),
        api: exchange.route.map_or("", |route| &route.api),
        operation: chat.endpoint.operation(),
        model: chat.asked.model(),
        provider: target.map_or("", |target| &target.provider.name),
        served: target.map_or("", |target| target.model_for(chat.asked.model())),
        stream: chat.asked.stream,
        usage: chat.usage,
        estimated: chat.estimated,
        cost_pico: chat.cost_pico(),
        status: exchange.status,
        outcome: exchange.failure.map_or("ok", |failure| failure.row().name),
        attempts: chat.attempts,
        total_us: nanos(now.tick.since(exchange.started)) / 1000,
        first_token_us: chat.first_token_ns.map(|ns| ns / 1000),
    }
}
