//! The limits of a request: what each counts it by, and what they say together.

use super::serve::Scene;
use crate::clock;
use crate::failure::Failure;
use crate::integration::Exchange;
use crate::integration::metered::Told;
use crate::limit::{self, Ask, Hasher, Id, Refusal, Times, Why};
use crate::observe::verdicts::Verdict;
use crate::snapshot::{KeyPart, Limit, Limits, Missing};
use smallvec::SmallVec;
use std::net::IpAddr;

/// Takes from every limit that applies, or from none: a route's, and a plan's on it.
///
/// # Errors
/// When a limit of them refuses.
pub fn take_all<'c>(
    scene: &Scene<'c>,
    exchange: &mut Exchange<'c>,
    lists: &[&'c Limits],
) -> Result<(), Failure> {
    if lists.iter().all(|limits| limits.is_empty()) {
        return Ok(());
    }
    let store = &scene.current.snapshot.limits;
    let mut applied: SmallVec<[&'c Limit; 4]> = SmallVec::new();
    let mut asks: SmallVec<[Ask<'c>; 4]> = SmallVec::new();
    for limit in lists.iter().flat_map(|limits| &limits.list) {
        let Some(id) = id_of(limit, exchange) else {
            if limit.missing == Missing::Refuse && !limit.shadow {
                exchange.metered.refused_by = &limit.name;
                limit.cells.of(scene.context.worker).judged(Verdict::Refused);
                return Err(Failure::LimitKeyMissing);
            }
            continue;
        };
        applied.push(limit);
        asks.push(Ask::new(&limit.rules, id, limit.shadow));
    }
    let taken =
        limit::take(store, &mut asks, || Times { boot: clock::boottime(), wall: clock::wall() });
    let metered = &mut exchange.metered;
    metered.policies = lists.iter().map(|list| &*list.policy).filter(|p| !p.is_empty()).collect();
    let told = applied.iter().zip(&asks).filter(|(limit, _)| limit.tells());
    metered.told = told.map(|(&limit, ask)| Told { limit, standing: ask.standing }).collect();
    match taken {
        Ok(holds) => {
            for (limit, ask) in applied.iter().zip(&asks) {
                let refused = limit.shadow && ask.refused.is_some();
                let verdict = if refused { Verdict::ShadowRefused } else { Verdict::Admitted };
                limit.cells.of(scene.context.worker).judged(verdict);
            }
            metered.holds = holds;
            Ok(())
        }
        Err(refusal) => Err(refused(scene, exchange, applied[refusal.at], refusal)),
    }
}

fn refused<'c>(
    scene: &Scene<'c>,
    exchange: &mut Exchange<'c>,
    limit: &'c Limit,
    Refusal { why, retry_after, .. }: Refusal,
) -> Failure {
    limit.cells.of(scene.context.worker).judged(Verdict::Refused);
    exchange.metered.refused_by = &limit.name;
    let failure = match why {
        Why::Rate => Failure::RateLimited,
        Why::Quota => Failure::QuotaExceeded,
        Why::Concurrency => Failure::ConcurrencyLimited,
        // 503 says by itself when to come back.
        Why::Full => return Failure::LimitsFull,
    };
    if !limit.is_silent() {
        exchange.metered.retry_after = Some(retry_after);
    }
    failure
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

fn put_part(part: &KeyPart, exchange: &Exchange<'_>, hasher: &mut Hasher) -> Option<()> {
    let text = match part {
        KeyPart::Key => exchange.identity.key_name(),
        KeyPart::Plan => exchange.identity.plan(),
        KeyPart::Claim(name) => exchange.identity.claim(name).unwrap_or(""),
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
