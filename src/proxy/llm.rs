//! Requests to language models: what is asked (`read`), who is asked for it, and what it has cost
//! (`settle`).
//!
//! The order in which providers are asked stands here, in [`serve`]; one attempt at one of them is
//! `integration::llm`'s. Invariants: what a request may cost is taken from its limits before it is
//! sent, and what it did cost settled exactly once, however it ended; after the first byte of an
//! answer nobody else is asked.

mod models;
mod read;
mod settle;

use std::time::Duration;

use super::meter;
use super::serve::Scene;
use crate::clock::{self, Tick, nanos};
use crate::failure::{Details, Failure};
use crate::integration::Exchange;
use crate::integration::llm::fault::come_back;
use crate::integration::llm::{self, Chat, Fault, Way};
use crate::limit::Costs;
use crate::llm::Endpoint;
use crate::message::Reply;
use crate::net::deadline;
use crate::observe::gen_ai::AttemptEnd;
use crate::snapshot::{Cause, Credential, LlmRoute, LlmTarget, Need, NoTarget, Route, Tried};
use std::sync::Arc;

pub use read::{limits, read, reserved};
pub use settle::settle;

/// How long a credential rests that its provider has refused; a reload brings a new one.
const REFUSED_RESTS: Duration = Duration::from_secs(300);
/// How long one rests whose rate is used up, where the provider does not say.
const RATE_RESTS: Duration = Duration::from_secs(5);
/// So short a rest is waited out before anybody has been asked, and so often: a refusal would take
/// the client longer.
const REST_WAITED: Duration = Duration::from_millis(20);
const RESTS_WAITED: u32 = 3;
/// Before the same targets are asked again, doubled each time.
const PAUSE: Duration = Duration::from_millis(100);

/// Asks one provider after the other, as long as that can do good, and passes the answer on.
///
/// # Errors
/// What the last one failed with.
pub async fn serve<'c>(
    scene: &Scene<'c>,
    exchange: &mut Exchange<'c>,
    (route, rules): (&'c Route, &'c LlmRoute),
    reply: &mut Reply<'_>,
) -> Result<(), Failure> {
    let Some(mut chat) = exchange.chat.take() else {
        return models::list(scene, exchange, rules, reply).await;
    };
    chat.admitted = true;
    let outcome = match chat.endpoint {
        Endpoint::CountTokens if !chat.has_native_target() => {
            models::count(scene, exchange, &chat, reply).await
        }
        _ => ask_each(scene, exchange, &mut chat, route, reply).await,
    };
    exchange.chat = Some(chat);
    outcome
}

async fn ask_each<'c>(
    scene: &Scene<'c>,
    exchange: &mut Exchange<'c>,
    chat: &mut Chat<'c>,
    route: &'c Route,
    reply: &mut Reply<'_>,
) -> Result<(), Failure> {
    let model = chat.model;
    let need = Need { features: chat.asked.features, tokens: chat.tokens_at_most() };
    model.retries.deposit(clock::coarse());
    let (mut tried, mut last, mut rounds) = (Tried::default(), None::<Fault>, 0);
    loop {
        let now = clock::now();
        let chosen = model.choose(now, &mut scene.context.random.borrow_mut(), tried, &need);
        let target = match chosen {
            Ok(target) => target,
            Err(none) => {
                let Some(wait) = pause(chat, last.as_ref(), none, rounds, now) else {
                    return Err(nobody(exchange, chat, last, none));
                };
                let asleep = scene.patience.wait(deadline::sleep_until(now.after(wait))).await;
                asleep.map_err(|_| Failure::ClientGone)?;
                (tried, rounds) = (Tried::default(), rounds + 1);
                continue;
            }
        };
        let fault = match attempt(scene, exchange, chat, (route, target), reply).await {
            None => return Ok(()),
            Some(fault) => fault,
        };
        let again = fault.cause.is_some_and(|cause| model.failover.on.contains(cause));
        if reply.has_started() || !again || chat.attempts >= model.failover.attempts {
            return Err(told(exchange, chat, fault));
        }
        if chat.attempts > 0 && !model.retries.withdraw(now) {
            exchange.detail = "retry_budget";
            return Err(told(exchange, chat, fault));
        }
        meter::settle_more(scene, exchange, &Costs::default());
        // With another of its credentials the same provider may do better.
        if fault.cause != Some(Cause::Auth) || !has_other(target, now) {
            tried.add(target);
        }
        last = Some(fault);
    }
}

/// Sends the request to one target; `None`: its answer has been passed on.
async fn attempt<'c>(
    scene: &Scene<'c>,
    exchange: &mut Exchange<'c>,
    chat: &mut Chat<'c>,
    (route, target): (&'c Route, &'c Arc<LlmTarget>),
    reply: &mut Reply<'_>,
) -> Option<Fault> {
    let now = clock::now();
    let provider = &target.provider;
    let Some(mut entry) = target.enter(now) else {
        return Some(Fault::passed_over(Failure::RouterNone));
    };
    exchange.provider = Some(&provider.name);
    if let Err(failure) = meter::take_more(scene, exchange, &provider.limits, &chat.reserved) {
        return Some(Fault::passed_over(failure));
    }
    let snapshot = &scene.current.snapshot;
    let upstream = &snapshot.upstreams[provider.upstream()];
    let Some(local) = scene.context.pool.upstream(provider.upstream(), upstream) else {
        return Some(Fault::passed_over(Failure::RouterNone));
    };
    let credential = provider.credential(now);
    exchange.upstream = &upstream.name;
    chat.target = Some(target);
    chat.attempts += 1;
    let way = Way {
        local: &local,
        target,
        credential: credential.map(|credential| &**credential),
        route,
        gateway: &snapshot.config.gateway,
        client: scene.patience,
        buffer_max: reply.buffer_max(),
        asked_at: now,
        cells: target.cells.of(scene.context.worker),
    };
    let done = llm::run(exchange, chat, &way, &mut entry, reply).await;
    let ended = clock::now();
    let operation = chat.endpoint.operation();
    way.cells.attempt_ended(operation, end_of(exchange, &done), nanos(ended.since(now)));
    let (fault, now) = (done.err()?, ended);
    match fault.cause {
        Some(Cause::Auth) => {
            tracing::warn!(
                provider = &*provider.name,
                credential = credential.map_or("", |credential| &credential.name),
                failure = fault.failure.row().name,
                "a provider refuses a credential"
            );
            rest(credential, now.after(fault.retry_after.unwrap_or(REFUSED_RESTS)));
        }
        Some(Cause::RateLimit) if provider.credentials.len() > 1 => {
            rest(credential, now.after(fault.retry_after.unwrap_or(RATE_RESTS)));
        }
        Some(Cause::RateLimit) => {
            if let Some(wait) = fault.retry_after {
                entry.limited(now, wait);
            }
        }
        _ if fault.is_theirs() => entry.failed(now, fault.retry_after),
        _ => {}
    }
    Some(fault)
}

/// How an attempt ended, for the counters.
fn end_of(exchange: &Exchange<'_>, done: &Result<(), Fault>) -> AttemptEnd {
    let fault = match done {
        Ok(()) if exchange.detail == llm::REFUSED => return AttemptEnd::Rejected,
        Ok(()) => return AttemptEnd::Ok,
        Err(fault) => fault,
    };
    match fault.cause {
        _ if fault.failure == Failure::ClientGone => AttemptEnd::Cancelled,
        Some(Cause::Connect) => AttemptEnd::Connect,
        Some(Cause::Timeout) => AttemptEnd::Timeout,
        Some(Cause::RateLimit) => AttemptEnd::RateLimit,
        Some(Cause::ServerError) => AttemptEnd::ServerError,
        Some(Cause::Overloaded) => AttemptEnd::Overloaded,
        Some(Cause::Auth) => AttemptEnd::Auth,
        None if fault.is_theirs() => AttemptEnd::Broken,
        None => AttemptEnd::Rejected,
    }
}

fn rest(credential: Option<&Arc<Credential>>, until: Tick) {
    if let Some(credential) = credential {
        credential.rest(until);
    }
}

/// Whether the target's provider has a credential that is awake.
fn has_other(target: &LlmTarget, now: Tick) -> bool {
    target.provider.credentials.iter().any(|credential| !credential.is_resting(now))
}

/// How long to wait before those that have failed are asked again; `None`: no use.
fn pause(
    chat: &Chat<'_>,
    last: Option<&Fault>,
    none: NoTarget,
    rounds: u32,
    now: Tick,
) -> Option<Duration> {
    if let (None, NoTarget::Resting(until)) = (last, none) {
        let wait = until.since(now);
        return (wait <= REST_WAITED && rounds < RESTS_WAITED).then_some(wait);
    }
    let said = last?.retry_after;
    let wait = match none {
        NoTarget::AllTried => said.unwrap_or(PAUSE * 2u32.saturating_pow(rounds)),
        NoTarget::Resting(until) => until.since(now).max(said.unwrap_or_default()),
        NoTarget::Features(_) | NoTarget::TooLong(_) => return None,
    };
    (wait <= chat.model.failover.retry_after_max).then_some(wait)
}

/// What a client is told for whom nobody is left to ask.
fn nobody(
    exchange: &mut Exchange<'_>,
    chat: &Chat<'_>,
    last: Option<Fault>,
    none: NoTarget,
) -> Failure {
    if let Some(fault) = last {
        return told(exchange, chat, fault);
    }
    let model = chat.asked.model();
    let (failure, details) = match none {
        NoTarget::TooLong(most) => {
            let tokens = chat.tokens_at_most();
            let message = format!(
                "`{model}` has room for {most} tokens; the request may take {tokens} (its input, \
                 estimated, and the output it asks for)."
            );
            let details = Details::new().text("reason", "context_length_exceeded");
            (Failure::ModelRequest, details.message(message).number("context_max", most))
        }
        NoTarget::Features(features) => {
            let words = features.words().collect::<Vec<_>>().join(", ");
            let message = format!("Nobody who serves `{model}` can do what it asks: {words}.");
            (Failure::ModelRequest, Details::new().message(message))
        }
        NoTarget::Resting(until) => {
            let now = clock::now();
            let wait = until.since(now).as_secs().max(1);
            let details = Details::new().field("x-should-retry", "true");
            let mut targets = chat.model.targets.iter();
            // Clients tell a rate from a failure.
            let is_rate = targets.any(|target| target.state.is_limited(now));
            let failure = if is_rate { Failure::ProviderRateLimit } else { Failure::RouterNone };
            (failure, come_back(details, Duration::from_secs(wait)))
        }
        NoTarget::AllTried => (Failure::RouterAllFailed, Details::new()),
    };
    exchange.told = Some(Box::new(details));
    failure
}

fn told(exchange: &mut Exchange<'_>, chat: &Chat<'_>, fault: Fault) -> Failure {
    // Of a limit the meter has told already.
    if exchange.told.is_none() {
        let provider = chat.target.map_or("", |target| &target.provider.name);
        exchange.told = Some(Box::new(fault.details(provider, chat.attempts)));
    }
    exchange.upstream_ns =
        exchange.upstream_ns.or_else(|| Some(nanos(clock::now().since(exchange.started))));
    fault.failure
}
