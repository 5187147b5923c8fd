//! Requests to language models: what is asked (`read`), who is asked for it, and what it has cost
//! (`settle`).
//!
//! The order in which providers are asked stands here, in [`serve`]; one attempt at one of them is
//! `integration::llm`'s. Invariants: what a request may cost is taken from its limits before it is
//! sent, and what it did cost settled exactly once, however it ended; after the first byte of an
//! answer nobody else is asked.

mod models;
mod nobody;
mod read;
mod settle;

use std::sync::Arc;
use std::time::Duration;

use super::meter;
use super::serve::Scene;
use crate::clock::{self, Tick, nanos};
use crate::failure::Failure;
use crate::integration::Exchange;
use crate::integration::llm::{self, Chat, Fault, Way};
use crate::llm::Endpoint;
use crate::message::Reply;
use crate::net::deadline;
use crate::observe::gen_ai::AttemptEnd;
use crate::snapshot::{Attempt, Cause, Credential, LlmRoute, LlmTarget, Need, Route, Tried};
use nobody::{Failed, PassedOver};

pub use read::{limits, read, reserved};
pub use settle::settle;

/// How long a credential rests that its provider has refused; a reload brings a new one.
const REFUSED_RESTS: Duration = Duration::from_secs(300);
/// How long one rests whose rate is used up, where the provider does not say.
const RATE_RESTS: Duration = Duration::from_secs(5);
/// How long one rests at least: a provider that says "at once" has refused all the same.
const RESTS_MIN: Duration = Duration::from_millis(100);

/// What came of a target whose turn it was.
enum Came<'c> {
    /// Its answer has been passed on.
    Served,
    /// It was not asked: the next one's turn, whatever `failover.on` says.
    PassedOver(PassedOver<'c>),
    /// It has failed, at that time.
    Failed(Fault, Tick, Next),
}

/// Whose turn it is after one that has failed.
enum Next {
    /// The same target's, with another of its credentials.
    Credential,
    Target,
}

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
    // When the limits were asked, which was just now, if any were.
    let mut now = match exchange.metered.at.tick {
        Tick(0) => clock::now(),
        at => at,
    };
    model.retries.deposit(now);
    let (mut tried, mut failed, mut rounds) = (Tried::default(), Failed::default(), 0);
    let mut once_more = None;
    loop {
        let chosen = match once_more.take() {
            Some(target) => Ok(target),
            None => model.choose(now, &mut scene.context.random.borrow_mut(), tried, &need),
        };
        let target = match chosen {
            Ok(target) => target,
            Err(none) => {
                let Some(wait) = failed.pause(chat, none, rounds, now) else {
                    return Err(failed.told(exchange, chat, none, now));
                };
                let asleep = scene.patience.wait(deadline::sleep_until(now.after(wait))).await;
                asleep.map_err(|_| Failure::ClientGone)?;
                (tried, rounds, now) = (Tried::default(), rounds + 1, clock::now());
                continue;
            }
        };
        let (fault, next) = match ask(scene, exchange, chat, (route, target), now, reply).await {
            Came::Served => return Ok(()),
            Came::PassedOver(over) => {
                failed.passed_over(over);
                tried.add(target);
                continue;
            }
            Came::Failed(fault, ended, next) => {
                now = ended;
                (fault, next)
            }
        };
        if !reply.has_started() {
            settle::lost(scene, exchange, chat, &fault);
        }
        let again = fault.cause.is_some_and(|cause| model.failover.on.contains(cause));
        if reply.has_started() || !again || chat.attempts >= model.failover.attempts {
            return Err(nobody::tell(exchange, chat, &fault, now));
        }
        if !model.retries.withdraw(now) {
            exchange.detail = "retry_budget";
            return Err(nobody::tell(exchange, chat, &fault, now));
        }
        match next {
            Next::Credential => once_more = Some(target),
            Next::Target => tried.add(target),
        }
        failed.last = Some(fault);
    }
}

/// Sends the request to a target, if its provider's limits let it go there.
async fn ask<'c>(
    scene: &Scene<'c>,
    exchange: &mut Exchange<'c>,
    chat: &mut Chat<'c>,
    (route, target): (&'c Route, &'c Arc<LlmTarget>),
    now: Tick,
    reply: &mut Reply<'_>,
) -> Came<'c> {
    let provider = &target.provider;
    // The last trial of a breaker that is half open may have been taken meanwhile.
    let Some(mut entry) = target.enter(now) else {
        return Came::PassedOver(PassedOver::of_breaker());
    };
    let snapshot = &scene.current.snapshot;
    let upstream = &snapshot.upstreams[provider.upstream()];
    let Some(local) = scene.context.pool.upstream(provider.upstream(), upstream) else {
        return Came::PassedOver(PassedOver::of_breaker());
    };
    exchange.provider = Some(&provider.name);
    if let Err(failure) = meter::take_more(scene, exchange, &provider.limits, &chat.reserved) {
        return Came::PassedOver(PassedOver::of_limit(exchange, failure));
    }
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
    match done {
        Ok(()) => {
            chat.served = Some(now);
            Came::Served
        }
        Err(fault) => {
            let ended = clock::now();
            let (operation, took) = (chat.endpoint.operation(), nanos(ended.since(now)));
            way.cells.attempt_ended(operation, end_of(&fault), took);
            let next = rest(target, &mut entry, credential, &fault, ended);
            Came::Failed(fault, ended, next)
        }
    }
}

/// Leaves alone what has failed: the credential, or the target. With another credential that is
/// awake the same target may do better.
fn rest(
    target: &LlmTarget,
    entry: &mut Attempt,
    credential: Option<&Arc<Credential>>,
    fault: &Fault,
    now: Tick,
) -> Next {
    let provider = &target.provider;
    let until = |otherwise| now.after(fault.retry_after.unwrap_or(otherwise).max(RESTS_MIN));
    match (fault.cause, credential) {
        (Some(Cause::Auth), _) => {
            tracing::warn!(
                provider = &*provider.name,
                credential = credential.map_or("", |credential| &credential.name),
                failure = fault.failure.row().name,
                "a provider refuses a credential"
            );
            if let Some(credential) = credential {
                credential.rest(until(REFUSED_RESTS));
            }
        }
        (Some(Cause::RateLimit), Some(credential)) if provider.credentials.len() > 1 => {
            credential.limit(until(RATE_RESTS));
        }
        (Some(Cause::RateLimit), _) => {
            if let Some(wait) = fault.retry_after {
                entry.limited(now, wait);
            }
            return Next::Target;
        }
        _ => {
            if fault.is_theirs() {
                entry.failed(now, fault.retry_after);
            }
            return Next::Target;
        }
    }
    match provider.credentials.len() > 1 && provider.awake_at(now) <= now {
        true => Next::Credential,
        false => Next::Target,
    }
}

/// How an attempt failed, for the counters.
fn end_of(fault: &Fault) -> AttemptEnd {
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
