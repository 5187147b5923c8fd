//! Finds the API key of a request and says whether it is good here.
//!
//! A value is digested where it stands and looked up by the digest; what a client showed is kept
//! nowhere. A value that stands twice is ambiguous and nobody's.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::serve::Scene;
use crate::auth::keys::{Digest, Here, Key, Refusal, SECRET_MAX};
use crate::clock;
use crate::failure::Failure;
use crate::http::{Name, query};
use crate::integration::Exchange;
use crate::message::{Reply, Request};
use crate::snapshot::{KeyNeed, KeyRules, KeySource, Limits, Route};

/// What a place of the request holds.
enum Shown {
    Nothing,
    Value(Digest),
    /// More than one, or nothing a key can be.
    Unusable,
}

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
    Err(failure(refusal))
}

/// What the plan that meters the request takes; nothing if none does.
pub fn limits<'c>(exchange: &Exchange<'_>, route: &'c Route) -> &'c Limits {
    static NONE: Limits = Limits { list: Vec::new(), policy: Vec::new() };
    let rules = route.keys.as_ref().filter(|_| exchange.identity.plan.is_some());
    let key = exchange.identity.key.as_ref();
    let plan = rules.zip(key).and_then(|(rules, key)| rules.plan_of(key));
    plan.map_or(&NONE, |(_, limits)| limits)
}

/// Says in a 401 what would be accepted (RFC 9110 section 15.5.2).
pub fn challenge(exchange: &Exchange<'_>, failure: Failure, reply: &mut Reply<'_>) {
    let Some(rules) = exchange.route.and_then(|route| route.keys.as_ref()) else { return };
    if !matches!(failure, Failure::KeyMissing | Failure::KeyInvalid) {
        return;
    }
    let invalid = failure == Failure::KeyInvalid;
    match rules.sources.first() {
        // RFC 6750 section 3.1: no error where nothing was shown.
        Some(KeySource::Bearer) if invalid => {
            reply.field(b"www-authenticate", b"Bearer error=\"invalid_token\"");
        }
        Some(KeySource::Bearer) => reply.field(b"www-authenticate", b"Bearer"),
        _ => reply.field(b"www-authenticate", b"ApiKey"),
    }
}

fn judge(
    scene: &Scene<'_>,
    exchange: &mut Exchange<'_>,
    route: &Route,
    rules: &KeyRules,
) -> Result<(), Refusal> {
    let keys = &scene.current.snapshot.keys;
    let mut is_shown = false;
    let mut found: Option<(Digest, Arc<Key>)> = None;
    if let Some(claim) = &rules.from_claim {
        let value = exchange.identity.claim(claim);
        is_shown = value.is_some();
        found = value.and_then(|value| {
            let digest = Digest::of(value.as_bytes());
            Some((digest, keys.find(&digest)?))
        });
    }
    for source in &rules.sources {
        match shown(source, &exchange.request) {
            Shown::Nothing => {}
            Shown::Unusable => is_shown = true,
            Shown::Value(digest) => {
                if let Some(key) = keys.find(&digest) {
                    exchange.bearer_is_key = *source == KeySource::Bearer;
                    found = Some((digest, key));
                    break;
                }
                // A token for an authorizer is not a key that failed.
                is_shown |= *source != KeySource::Bearer || !is_token(&exchange.request);
            }
        }
    }
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
        now: clock::wall().seconds(),
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

fn shown(source: &KeySource, request: &Request<'_>) -> Shown {
    match source {
        KeySource::Header(name) => {
            only(request.head.values_named(name.as_bytes(), request.block), digest)
        }
        KeySource::Bearer => {
            let values = request.head.values(Name::Authorization, request.block);
            only(values.filter_map(bearer), digest)
        }
        KeySource::Query(name) => {
            only(parameters(request.query(), name), |value| digest(&decoded(value)))
        }
    }
}

fn only<'a>(
    mut values: impl Iterator<Item = &'a [u8]>,
    digest: impl Fn(&[u8]) -> Option<Digest>,
) -> Shown {
    match (values.next(), values.next()) {
        (None, _) => Shown::Nothing,
        (Some(value), None) => digest(value).map_or(Shown::Unusable, Shown::Value),
        (Some(_), Some(_)) => Shown::Unusable,
    }
}

fn digest(value: &[u8]) -> Option<Digest> {
    (1..=SECRET_MAX).contains(&value.len()).then(|| Digest::of(value))
}

/// The credentials of the Bearer scheme, whose name knows no case (RFC 9110 section 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| rest.trim_ascii())
}

/// Whether the bearer's credentials are a JSON Web Token: all begin with the `{"` of a header.
fn is_token(request: &Request<'_>) -> bool {
    let mut values = request.head.values(Name::Authorization, request.block);
    values.any(|value| bearer(value).is_some_and(|token| token.starts_with(b"eyJ")))
}

/// The values of a query's parameters of this name, as received. `%61pi_key` is `api_key` to who
/// decodes it, and must not reach the upstream either.
fn parameters<'a>(query: &'a [u8], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    query::values(query, name.as_bytes())
}

fn decoded(text: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(query::percent_decoded(text).into_owned())
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
    names().find(|name| parameters(query, name).next().is_some())?;
    let is_key = |pair: &&[u8]| names().any(|name| parameters(pair, name).next().is_some());
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

    #[test]
    fn the_bearer_scheme_knows_no_case() {
        assert_eq!(bearer(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"BEARER  abc "), Some(&b"abc"[..]));
        assert_eq!(bearer(b"Basic abcdef"), None);
        assert_eq!(bearer(b"Bearer"), None);
    }

    #[test]
    fn parameters_are_found_however_they_are_written() {
        let found = |query: &'static str| {
            parameters(query.as_bytes(), "api_key").map(|v| decoded(v).to_vec()).collect::<Vec<_>>()
        };
        assert_eq!(found("a=1&api_key=x%2By&b"), [b"x+y"]);
        assert_eq!(found("%61pi_key=x"), [b"x"]);
        assert_eq!(found("api_key"), [b""]);
        assert_eq!(found("my_api_key=x&api_keys=x"), Vec::<Vec<u8>>::new());
        assert_eq!(found("api_key=1&api_key=2"), [b"1", b"2"]);
        assert_eq!(*decoded(b"%4%zz%"), b"%4%zz%");
    }
}
