//! What becomes of a request whose targets have all had their turn: it waits for one of them, or
//! its client is told why nobody serves it.
//!
//! What a provider has said goes before what our own limits have: it was asked. Of limits the one
//! speaks that passes first. Invariant: no request waits longer for a target at a time than
//! `retry_after_max`, or more often than it may be sent.

use std::time::Duration;

use crate::clock::{Tick, nanos};
use crate::failure::{Details, Failure};
use crate::integration::Exchange;
use crate::integration::llm::fault::come_back;
use crate::integration::llm::{Chat, Fault};
use crate::snapshot::NoTarget;

/// So short a rest is waited out before anybody has been asked, and so often: a refusal would take
/// the client longer.
const REST_WAITED: Duration = Duration::from_millis(20);
const RESTS_WAITED: u32 = 3;
/// Before the same targets are asked again, doubled each time.
const PAUSE: Duration = Duration::from_millis(100);

/// Who has had his turn, and what came of it.
#[derive(Default)]
pub(super) struct Failed<'c> {
    /// What the provider that was asked last has failed with.
    pub last: Option<Fault>,
    /// Of those that were passed over, the one whose turn comes again first.
    over: Option<PassedOver<'c>>,
}

/// A target that was not asked.
pub(super) struct PassedOver<'c> {
    failure: Failure,
    /// When its turn comes again; `None`: never.
    wait: Option<Duration>,
    /// What the limit has told that refused.
    refused_by: &'c str,
    should_retry: Option<bool>,
    details: Option<Box<Details>>,
}

// === impl PassedOver ===

impl<'c> PassedOver<'c> {
    /// Another request was quicker.
    pub fn of_breaker() -> PassedOver<'c> {
        PassedOver {
            failure: Failure::RouterNone,
            wait: Some(PAUSE),
            refused_by: "",
            should_retry: Some(true),
            details: None,
        }
    }

    /// A limit of the provider has refused, and left what it has to say with the exchange.
    pub fn of_limit(exchange: &mut Exchange<'c>, failure: Failure) -> PassedOver<'c> {
        let metered = &mut exchange.metered;
        let over = PassedOver {
            failure,
            wait: metered.retry_after_ms.map(Duration::from_millis),
            refused_by: metered.refused_by,
            should_retry: metered.should_retry,
            details: exchange.told.take(),
        };
        metered.forget_refusal();
        over
    }

    fn tell(self, exchange: &mut Exchange<'c>) -> Failure {
        let metered = &mut exchange.metered;
        metered.dialect = exchange.dialect;
        metered.refused_by = self.refused_by;
        metered.should_retry = self.should_retry;
        metered.retry_after_ms =
            self.wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        exchange.told = self.details;
        self.failure
    }
}

// === impl Failed ===

impl<'c> Failed<'c> {
    /// A target was passed over.
    pub fn passed_over(&mut self, over: PassedOver<'c>) {
        let wait = |over: &PassedOver<'_>| over.wait.unwrap_or(Duration::MAX);
        if self.over.as_ref().is_none_or(|first| wait(&over) < wait(first)) {
            self.over = Some(over);
        }
    }

    /// How long to wait before all of them have their turn again; `None`: no use.
    pub fn pause(
        &mut self,
        chat: &Chat<'_>,
        none: NoTarget,
        rounds: u32,
        now: Tick,
    ) -> Option<Duration> {
        let (failover, over) = (&chat.model.failover, self.over.as_ref());
        let rests = match none {
            NoTarget::Resting(until) => Some(until.since(now)),
            NoTarget::AllTried => None,
            NoTarget::Features(_) | NoTarget::TooLong(_) => return None,
        };
        if let (None, None, Some(wait)) = (&self.last, over, rests) {
            return (wait <= REST_WAITED && rounds < RESTS_WAITED).then_some(wait);
        }
        let said = self.last.as_ref().map(|fault| fault.retry_after);
        let asked = match (said, rests) {
            (said, Some(rests)) => Some(rests.max(said.flatten().unwrap_or_default())),
            (Some(said), None) => Some(said.unwrap_or(PAUSE * 2u32.saturating_pow(rounds))),
            (None, None) => None,
        };
        let wait = asked.into_iter().chain(over.and_then(|over| over.wait)).min()?;
        if wait > failover.retry_after_max || rounds >= failover.attempts {
            return None;
        }
        // After it they are asked anew.
        self.over = None;
        Some(wait)
    }

    /// Tells the client why nobody serves it.
    pub fn told(
        self,
        exchange: &mut Exchange<'c>,
        chat: &Chat<'_>,
        none: NoTarget,
        now: Tick,
    ) -> Failure {
        match (self.last, self.over) {
            (Some(fault), _) => tell(exchange, chat, &fault, now),
            (None, Some(over)) => over.tell(exchange),
            (None, None) => unasked(exchange, chat, none, now),
        }
    }
}

/// Tells the client what a provider has failed with.
pub(super) fn tell(
    exchange: &mut Exchange<'_>,
    chat: &Chat<'_>,
    fault: &Fault,
    now: Tick,
) -> Failure {
    let provider = chat.target.map_or("", |target| &target.provider.name);
    exchange.told = Some(Box::new(fault.details(provider, chat.attempts)));
    exchange.upstream_ns =
        exchange.upstream_ns.or_else(|| Some(nanos(now.since(exchange.started))));
    fault.failure
}

/// Tells a client whose request nobody could even be asked to serve.
fn unasked(exchange: &mut Exchange<'_>, chat: &Chat<'_>, none: NoTarget, now: Tick) -> Failure {
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
            let wait = until.since(now).as_secs().max(1);
            let details = Details::new().field("x-should-retry", "true");
            let mut targets = chat.model.targets.iter();
            // Clients tell a rate from a failure.
            let is_rate = targets.any(|target| target.is_limited(now));
            let failure = if is_rate { Failure::ProviderRateLimit } else { Failure::RouterNone };
            (failure, come_back(details, Duration::from_secs(wait)))
        }
        NoTarget::AllTried => (Failure::RouterAllFailed, Details::new()),
    };
    exchange.told = Some(Box::new(details));
    failure
}
