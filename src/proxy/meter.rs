//! The limits of a request: what each counts it by, and what they say together.
//!
//! What a request to a language model takes is estimated before and settled after, once for each
//! request, however it ends: [`settle`]. Invariant: what is not settled stays taken.

use super::serve::Scene;
use crate::clock::{self, Moment};
use crate::failure::{Details, Failure};
use crate::integration::Exchange;
use crate::integration::metered::Told;
use crate::limit::{self, Ask, Costs, Debits, Hasher, Id, Refusal, Taken, Times, Unit, Why};
use crate::observe::verdicts::Verdict;
use crate::snapshot::{KeyPart, Limit, Limits, Missing};
use smallvec::SmallVec;
use std::cell::Cell;
use std::net::IpAddr;

/// Limits that apply, and what is asked of each.
#[derive(Default)]
struct Bill<'c> {
    applied: SmallVec<[&'c Limit; 4]>,
    asks: SmallVec<[Ask<'c>; 4]>,
}

/// Takes from every limit that applies, or from none: a route's, a plan's on it, a model's. `costs`
/// is what a request to a language model may take; limits of tokens and money count no other. A
/// limit that stands in several lists is taken from once; one that counts by the provider waits
/// until there is one ([`take_more`]).
///
/// # Errors
/// When a limit of them refuses.
pub fn take_all<'c>(
    scene: &Scene<'c>,
    exchange: &mut Exchange<'c>,
    lists: &[&'c Limits],
    costs: Option<&Costs>,
) -> Result<(), Failure> {
    if lists.iter().all(|limits| limits.is_empty()) {
        return Ok(());
    }
    let mut bill = Bill::default();
    for limit in lists.iter().flat_map(|limits| &limits.list) {
        if costs.is_some() && limit.is_by_provider() && exchange.provider.is_none() {
            exchange.metered.later.push(limit);
        } else if lists.len() == 1 || bill.applied.iter().all(|known| known.name != limit.name) {
            bill.add(scene, exchange, limit, costs)?;
        }
    }
    let clock = Clock::default();
    let taken = limit::take(&scene.current.snapshot.limits, &mut bill.asks, || clock.read());
    let metered = &mut exchange.metered;
    for list in lists.iter().filter(|list| !list.policy.is_empty()) {
        metered.policies.push(&list.policy);
    }
    for (&limit, ask) in bill.applied.iter().zip(&bill.asks).filter(|(limit, _)| limit.tells()) {
        metered.told.push(Told { limit, standing: ask.standing });
    }
    metered.dialect = exchange.dialect;
    metered.at = clock.last();
    let taken = bill.judged(scene, exchange, taken)?;
    (exchange.metered.holds, exchange.metered.debits) = (taken.holds, taken.debits);
    Ok(())
}

/// Takes from the limits of a provider that has just been chosen (`exchange.provider`), and from
/// those that count by it: from all of them, or from none.
///
/// # Errors
/// When a limit of them refuses: another provider may be asked.
pub fn take_more<'c>(
    scene: &Scene<'c>,
    exchange: &mut Exchange<'c>,
    limits: &'c Limits,
    costs: &Costs,
) -> Result<(), Failure> {
    debug_assert!(exchange.metered.more.debits.is_empty(), "the last provider's are settled");
    // The one before may have refused.
    exchange.metered.forget_refusal();
    exchange.told = None;
    if limits.is_empty() && exchange.metered.later.is_empty() {
        return Ok(());
    }
    let mut bill = Bill::default();
    let later = std::mem::take(&mut exchange.metered.later);
    let mut lists = later.iter().copied().chain(&limits.list);
    let added = lists.try_for_each(|limit| bill.add(scene, exchange, limit, Some(costs)));
    exchange.metered.later = later;
    added?;
    let clock = Clock::default();
    let taken = limit::take(&scene.current.snapshot.limits, &mut bill.asks, || clock.read());
    exchange.metered.more = bill.judged(scene, exchange, taken)?;
    Ok(())
}

/// Corrects what [`take_more`] took to what that provider has really taken: nothing, if it failed.
pub fn settle_more(scene: &Scene<'_>, exchange: &mut Exchange<'_>, costs: &Costs) {
    let more = std::mem::take(&mut exchange.metered.more);
    if !more.debits.is_empty() {
        settle_debits(scene, more.debits, costs);
    }
}

/// Corrects all that was taken to what it came to; when that was. Once for a request; more often
/// does nothing.
pub fn settle(scene: &Scene<'_>, exchange: &mut Exchange<'_>, costs: &Costs) -> Moment {
    settle_more(scene, exchange, costs);
    settle_debits(scene, std::mem::take(&mut exchange.metered.debits), costs)
}

fn settle_debits(scene: &Scene<'_>, debits: Debits<'_>, costs: &Costs) -> Moment {
    let clock = Clock::default();
    limit::settle(&scene.current.snapshot.limits, debits, costs, || clock.read());
    clock.last()
}

/// The clock as limits read it, and what it said last.
#[derive(Default)]
struct Clock(Cell<Option<Moment>>);

// === impl Clock ===

impl Clock {
    fn read(&self) -> Times {
        let now = clock::moment();
        self.0.set(Some(now));
        Times { boot: now.boot, wall: now.wall }
    }

    /// Read for this, if it never was.
    fn last(&self) -> Moment {
        self.0.get().unwrap_or_else(clock::moment)
    }
}

// === impl Bill ===

impl<'c> Bill<'c> {
    /// Asks a limit too, if it counts such requests.
    fn add(
        &mut self,
        scene: &Scene<'c>,
        exchange: &mut Exchange<'c>,
        limit: &'c Limit,
        costs: Option<&Costs>,
    ) -> Result<(), Failure> {
        let cost = match costs {
            Some(costs) => costs.of(limit.unit),
            None if limit.unit.is_settled() => return Ok(()),
            None => 1,
        };
        let Some(id) = id_of(limit, exchange) else {
            if limit.missing == Missing::Refuse && !limit.shadow {
                exchange.metered.refused_by = &limit.name;
                limit.cells.of(scene.context.worker).judged(Verdict::Refused);
                return Err(Failure::LimitKeyMissing);
            }
            return Ok(());
        };
        self.applied.push(limit);
        self.asks.push(Ask::metered(&limit.rules, id, limit.shadow, (limit.unit, cost)));
        Ok(())
    }

    /// Counts what the limits have said.
    fn judged(
        &self,
        scene: &Scene<'c>,
        exchange: &mut Exchange<'c>,
        taken: Result<Taken<'c>, Refusal>,
    ) -> Result<Taken<'c>, Failure> {
        let refusal = match taken {
            Ok(taken) => {
                for (limit, ask) in self.applied.iter().zip(&self.asks) {
                    let refused = limit.shadow && ask.refused.is_some();
                    let verdict = if refused { Verdict::ShadowRefused } else { Verdict::Admitted };
                    limit.cells.of(scene.context.worker).judged(verdict);
                }
                return Ok(taken);
            }
            Err(refusal) => refusal,
        };
        let limit = self.applied[refusal.at];
        limit.cells.of(scene.context.worker).judged(Verdict::Refused);
        let metered = &mut exchange.metered;
        metered.refused_by = &limit.name;
        let failure = failure(limit.unit, &refusal);
        // 503 says by itself when to come back.
        if failure != Failure::LimitsFull && !limit.is_silent() {
            metered.retry_after_ms = refusal.wait_ms;
            metered.should_retry = Some(is_worth_a_retry(failure, refusal.wait_ms));
            if limit.unit.is_settled() {
                let details = details(limit, &self.asks[refusal.at], &refusal);
                let retryable = metered.should_retry == Some(true);
                exchange.told = Some(Box::new(details.retryable(retryable)));
            }
        }
        Err(failure)
    }
}

fn failure(unit: Unit, refusal: &Refusal) -> Failure {
    match (refusal.why, unit) {
        (Why::Full, _) => Failure::LimitsFull,
        (Why::Concurrency, _) => Failure::ConcurrencyLimited,
        (Why::Quota, Unit::Money) => Failure::BillingBalance,
        (Why::Rate, Unit::Money) if refusal.wait_ms.is_none() => Failure::BillingBalance,
        (Why::Rate, Unit::Requests | Unit::Money) => Failure::RateLimited,
        (Why::Quota, Unit::Requests) => Failure::QuotaExceeded,
        (_, Unit::Tokens | Unit::InputTokens | Unit::OutputTokens) => Failure::TokenLimit,
    }
}

/// Whether a client that waits as long as clients do gets through. OpenAI's and Anthropic's SDKs
/// wait for a minute at most; told a longer time, some of them come back at once.
fn is_worth_a_retry(failure: Failure, wait_ms: Option<u64>) -> bool {
    const PATIENCE_MS: u64 = 60_000;
    failure != Failure::BillingBalance && wait_ms.is_some_and(|ms| ms <= PATIENCE_MS)
}

/// What the client is told of a limit of tokens or money.
fn details(limit: &Limit, ask: &Ask<'_>, refusal: &Refusal) -> Details {
    let (unit, rules) = (limit.unit, &limit.rules);
    let (bucket, quota) = (rules.bucket.as_ref(), rules.quota.as_ref());
    let (left, most) = match refusal.why {
        Why::Rate => (ask.standing.bucket, bucket.map(|bucket| bucket.burst())),
        _ => (ask.standing.quota, quota.map(|quota| quota.max)),
    };
    let (left, most) = (left.map_or(0, |level| level.left), most.unwrap_or(0));
    let (name, asked) = (&*limit.name, ask.cost);
    let message = if refusal.why == Why::Concurrency {
        format!("The limit {name:?} admits no more requests at once.")
    } else if asked > most {
        let (asked, most) = (unit.show(asked), unit.show(most));
        format!(
            "The request may take {asked}, and the limit {name:?} never admits more than {most}."
        )
    } else {
        let (asked, left) = (unit.show(asked), unit.show(left));
        format!("The request may take {asked}, and the limit {name:?} has {left} left.")
    };
    let details = Details::new().message(message).text("limit", name).text("unit", unit.name());
    match unit {
        Unit::Money => {
            details.text("asked", limit::show_usd(asked)).text("left", limit::show_usd(left))
        }
        _ => details.number("asked", asked).number("left", left),
    }
}

/// What a limit counts this request by; `None` if the request lacks a part of it.
fn id_of(limit: &Limit, exchange: &Exchange<'_>) -> Option<Id> {
    if limit.varying.is_empty() {
        return Some(limit.begun.id());
    }
    let mut hasher = limit.begun.clone();
    for part in &limit.varying {
        put_part(part, exchange, &mut hasher)?;
    }
    Some(hasher.id())
}

// Not inlined: what each kind of part needs would be made ready for all of them, once a limit.
#[inline(never)]
fn put_part(part: &KeyPart, exchange: &Exchange<'_>, hasher: &mut Hasher) -> Option<()> {
    let text = match part {
        KeyPart::Key => exchange.identity.key_name(),
        KeyPart::Plan => exchange.identity.plan(),
        KeyPart::Claim(name) => exchange.identity.claim(name).unwrap_or(""),
        KeyPart::Tag(name) => exchange.identity.tag(name),
        KeyPart::Model => exchange.model.as_deref().unwrap_or(""),
        KeyPart::Provider => exchange.provider.unwrap_or(""),
        KeyPart::Ip(v4, v6) => {
            put_network(exchange.party.client, *v4, *v6, hasher);
            return Some(());
        }
        KeyPart::Header(name) => {
            let request = &exchange.request;
            let values = request.head.values_named(name.as_bytes(), request.block);
            let mut found = None;
            // All of them: who may write one may write two.
            for value in values.filter(|value| !value.is_empty()) {
                hasher.part(value);
                found = Some(());
            }
            return found;
        }
        KeyPart::Route | KeyPart::Api | KeyPart::Stage | KeyPart::Version => {
            unreachable!("the same for all requests of a route: hashed when it was compiled")
        }
    };
    (!text.is_empty()).then(|| hasher.part(text.as_bytes()))
}

fn put_network(address: IpAddr, v4: u8, v6: u8, hasher: &mut Hasher) {
    match address.to_canonical() {
        IpAddr::V4(ip) => {
            let bits = u32::MAX.checked_shl(32 - u32::from(v4)).unwrap_or(0);
            hasher.part(&(ip.to_bits() & bits).to_be_bytes());
        }
        IpAddr::V6(ip) => {
            let bits = u128::MAX.checked_shl(128 - u32::from(v6)).unwrap_or(0);
            hasher.part(&(ip.to_bits() & bits).to_be_bytes());
        }
    }
}
