//! What a request must bring for its route: a body within bounds and of a known content type, the
//! fields and parameters that are required, values that match their patterns.
//!
//! Everything that is missing or wrong is told in one answer, in AWS's words: `Missing required
//! request parameters: [a, b]`. A body is judged by what its head says; not a byte of it is read.

use crate::failure::{Details, Failure};
use crate::http::{Framing, Name, query};
use crate::integration::Exchange;
use crate::snapshot::{Checks, Route, Source};

/// Checks the request against what its route asks for.
pub fn request(exchange: &mut Exchange<'_>, route: &Route) -> Result<(), Failure> {
    if let (Framing::Length(length), Some(max)) = (exchange.request.head.framing, route.body_max)
        && length > max
    {
        return Err(Failure::BodyTooLarge);
    }
    match &route.checks {
        None => Ok(()),
        Some(checks) => content_type(exchange, checks).and_then(|()| parameters(exchange, checks)),
    }
}

fn content_type(exchange: &mut Exchange<'_>, checks: &Checks) -> Result<(), Failure> {
    let Some(media) = &checks.media else { return Ok(()) };
    let request = &exchange.request;
    let has_body = !matches!(request.head.framing, Framing::None | Framing::Length(0));
    let is_taken = |value: Option<&[u8]>| value.is_some_and(|value| media.take(value));
    if !has_body || is_taken(request.value(Name::ContentType)) {
        return Ok(());
    }
    // RFC 9110 section 15.5.16: Accept tells what would have been taken.
    let details =
        Details::new().texts("content_types", media.iter()).field("accept", media.joined());
    exchange.told = Some(Box::new(details));
    Err(Failure::MediaTypeUnsupported)
}

fn parameters(exchange: &mut Exchange<'_>, checks: &Checks) -> Result<(), Failure> {
    let (mut missing, mut wrong) = (Vec::new(), Vec::new());
    let request = &exchange.request;
    let query = exchange.query().unwrap_or_default();
    for name in &checks.headers {
        let mut values = request.head.values_named(name.as_bytes(), request.block);
        if values.all(|value| value.trim_ascii().is_empty()) {
            missing.push(name.as_str());
        }
    }
    for name in &checks.query {
        let mut values = query::values(query, name.as_bytes());
        if values.all(|value| query::decoded(value).trim_ascii().is_empty()) {
            missing.push(name);
        }
    }
    for rule in &checks.patterns {
        let name = rule.name.as_bytes();
        let fits = |value: &[u8]| rule.pattern.matches(value);
        let all_fit = match rule.source {
            Source::Path => fits(&query::percent_decoded(exchange.parameter(&rule.name))),
            Source::Query => query::values(query, name).all(|value| fits(&query::decoded(value))),
            Source::Header => request.head.values_named(name, request.block).all(fits),
        };
        if !all_fit && !missing.contains(&rule.name.as_str()) {
            wrong.push(rule.name.as_str());
        }
    }
    if missing.is_empty() && wrong.is_empty() {
        return Ok(());
    }
    exchange.told = Some(Box::new(told(&missing, &wrong)));
    Err(Failure::ParameterMissing)
}

fn told(missing: &[&str], wrong: &[&str]) -> Details {
    let mut details = Details::new();
    // What is missing comes first: it is what AWS's message speaks of.
    let message = match missing {
        [] => format!("Invalid request parameters: [{}]", wrong.join(", ")),
        _ => format!("Missing required request parameters: [{}]", missing.join(", ")),
    };
    if !missing.is_empty() {
        details = details.texts("missing", missing.iter().copied());
    }
    if !wrong.is_empty() {
        details = details.texts("invalid", wrong.iter().copied());
    }
    match missing.iter().chain(wrong).next() {
        Some(first) => details.message(message).param(*first),
        None => details.message(message),
    }
}
