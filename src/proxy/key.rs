//! Finds the API key of a request and says whether it is good here.
//!
//! A value is digested where it stands and looked up by the digest; what a client showed is kept
//! nowhere. A value that stands twice is ambiguous and nobody's.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::serve::Scene;
use crate::auth::keys::{Digest, Here, Key, Refusal, SECRET_MAX};
use crate::auth::shown::bearer;
use crate::auth::{Challenge, Scheme, Shown};
use crate::clock;
use crate::failure::{ErrorFormat, Failure};
use crate::http::query::percent_decoded;
use crate::integration::Exchange;
use crate::message::Request;
use crate::snapshot::{KeyNeed, KeyRules, KeySource, Limits, Route};

/// Proves the request's API key, if its route asks for one.
///
/// # Errors
/// The key is missing, not valid, or not allowed here; `exchange.detail` has the exact reason.
pub fn admit(scene: &Scene<'_>, exchange: &mut Exchange<'_>, route: &Route) -> Result<(), Failure> {
    let Some(rules) = &route.keys else { return Ok(()) };
    exchange.query = without_key(rules, &exchange.request);
    if rules.need == KeyNeed::Off {
        return Ok(());
    }
    let refusal = match judge(scene, exchange, route, rules) {
        Ok(()) => return Ok(()),
        Err(refusal) => refusal,
    };
    exchange.detail = refusal.token();
    scene.context.cells().key_refused(refusal as usize);
    let failure = failure(refusal);
    // AWS says 403 of a key that is missing or wrong, and asks for none.
    let is_challenged = matches!(failure, Failure::KeyMissing | Failure::KeyInvalid);
    if is_challenged && exchange.error_format() != ErrorFormat::Aws {
        exchange.challenges.push(challenge(rules, route, failure));
    }
    Err(failure)
}

/// What the plan that meters the request takes; nothing if none does.
pub fn limits<'c>(exchange: &Exchange<'_>, route: &'c Route) -> &'c Limits {
    let rules = route.keys.as_ref().filter(|_| exchange.identity.plan.is_some());
    let key = exchange.identity.key.as_ref();
    let plan = rules.zip(key).and_then(|(rules, key)| rules.plan_of(key));
    plan.map_or(Limits::none(), |(_, limits)| limits)
}

/// Notes whose key a request shows that gets no further than to its version: whoever still asks for
/// what has ended is to be told. It proves nothing.
pub fn note(scene: &Scene<'_>, exchange: &mut Exchange<'_>, route: &Route) {
    let Some(rules) = &route.keys else { return };
    exchange.query = without_key(rules, &exchange.request);
    if rules.need != KeyNeed::Off {
        exchange.identity.key = find(scene, exchange, rules).1.map(|(_, key)| key);
    }
}

fn judge(
    scene: &Scene<'_>,
    exchange: &mut Exchange<'_>,
    route: &Route,
    rules: &KeyRules,
) -> Result<(), Refusal> {
    let (is_shown, found) = find(scene, exchange, rules);
    let Some((digest, key)) = found else {
        return match (is_shown, rules.need) {
            (true, _) => Err(Refusal::Unknown),
            (false, KeyNeed::Required) => Err(Refusal::Missing),
            (false, _) => Ok(()),
        };
    };
    let here = Here {
        api: &route.api,
        stage: &rules.stage,
        version: &rules.version,
        route: &route.key,
        client: exchange.party.client,
        now: clock::wall_coarse().seconds(),
    };
    let verdict = key.admit(&digest, &here);
    let plan = rules.plan_of(&key).map(|(at, _)| at);
    let is_metered = plan.is_some() || key.plans().is_empty();
    // Also of a key that is refused: the log tells whose it was.
    exchange.identity.key = Some(key);
    verdict?;
    if !is_metered {
        return Err(Refusal::Plan);
    }
    exchange.identity.plan = plan;
    Ok(())
}

fn failure(refusal: Refusal) -> Failure {
    match refusal {
        Refusal::Missing => Failure::KeyMissing,
        Refusal::Unknown | Refusal::Disabled | Refusal::Expired => Failure::KeyInvalid,
        Refusal::Api | Refusal::Version | Refusal::Route | Refusal::Network | Refusal::Plan => {
            Failure::KeyNotAllowed
        }
    }
}

/// Whether anything that may be a key is shown, and the key that has it for a value.
fn find(
    scene: &Scene<'_>,
    exchange: &mut Exchange<'_>,
    rules: &KeyRules,
) -> (bool, Option<(Digest, Arc<Key>)>) {
    let keys = &scene.current.snapshot.keys;
    let found = |digest: Digest| Some((digest, keys.find(&digest)?));
    if let Some(claim) = &rules.from_claim {
        let value = exchange.identity.claim(claim);
        return (value.is_some(), value.and_then(|value| found(Digest::of(value.as_bytes()))));
    }
    let mut is_shown = false;
    for source in &rules.sources {
        let value = match shown(source, &exchange.request) {
            Shown::Nothing => continue,
            Shown::One(value) => value,
            Shown::Several => {
                is_shown = true;
                continue;
            }
        };
        let digest = match source {
            KeySource::Query(_) => digest(&Zeroizing::new(percent_decoded(value).into_owned())),
            KeySource::Header(_) | KeySource::Bearer => digest(value),
        };
        if let Some(found) = digest.and_then(found) {
            exchange.bearer_is_key = *source == KeySource::Bearer;
            return (true, Some(found));
        }
        // A token for an authorizer is not a key that failed: all begin with the `{"` of a header.
        is_shown |= *source != KeySource::Bearer || !value.starts_with(b"eyJ");
    }
    (is_shown, None)
}

fn shown<'r>(source: &'r KeySource, request: &Request<'r>) -> Shown<'r> {
    let Request { head, block } = *request;
    match source {
        KeySource::Header(name) => Shown::field(name, head, block),
        KeySource::Bearer => match Shown::authorization(head, block) {
            Shown::One(value) => bearer(value).map_or(Shown::Nothing, Shown::One),
            other => other,
        },
        KeySource::Query(name) => Shown::parameter(name, request.query()),
    }
}

fn digest(value: &[u8]) -> Option<Digest> {
    (1..=SECRET_MAX).contains(&value.len()).then(|| Digest::of(value))
}

/// What would be accepted (RFC 9110 section 15.5.2).
fn challenge(rules: &KeyRules, route: &Route, failure: Failure) -> Challenge {
    let scheme = match rules.sources.first() {
        Some(KeySource::Bearer) => Scheme::Bearer,
        _ => Scheme::ApiKey,
    };
    let challenge = Challenge::new(scheme, &Arc::from(&*route.api));
    match failure {
        // RFC 6750 section 3.1: no error where nothing was shown.
        Failure::KeyInvalid => challenge.because("invalid_token", "the API key is not valid"),
        _ => challenge,
    }
}

/// The query without the parameters that hold keys; `None` if it has none.
fn without_key(rules: &KeyRules, request: &Request<'_>) -> Option<Box<[u8]>> {
    let names = || {
        rules.sources.iter().filter_map(|source| match source {
            KeySource::Query(name) => Some(name.as_str()),
            _ => None,
        })
    };
    let query = request.query();
    let is_there = |name: &str, query: &[u8]| Shown::parameter(name, query) != Shown::Nothing;
    names().find(|name| is_there(name, query))?;
    let is_key = |pair: &&[u8]| names().any(|name| is_there(name, pair));
    let mut kept = Vec::with_capacity(query.len());
    for pair in query.split(|b| *b == b'&').filter(|pair| !is_key(pair)) {
        if !kept.is_empty() {
            kept.push(b'&');
        }
        kept.extend_from_slice(pair);
    }
    Some(kept.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_counted_by_their_names() {
        for (at, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, at);
            assert_eq!(crate::observe::cells::KEY_REFUSALS[at], refusal.token());
        }
    }
}
