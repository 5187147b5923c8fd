//! Reads what a route asks of requests and changes on the way: `validate`, `path`,
//! `request_query`, `status`. What could never work is an error here, not at the first request.

use super::answer::good_target;
use crate::config::section::Section;
use crate::config::spot::Spot;
use crate::config::template::{self, Part, Scope, Template, Variable, is_token};
use crate::config::types::{HeaderEdit, HeaderEdits, Pattern, StatusChange, Validate};
use crate::config::units::Bad;
use crate::http::pattern::{BadPattern, Pattern as Compiled};

/// `validate`, if it is there; `parameters` are those of the route's key.
pub(super) fn validate(section: &Section<'_>, parameters: &[String]) -> Option<Validate> {
    let section = section.sub_if("validate")?;
    let known = |text: &str| match parameters.iter().any(|parameter| parameter == text) {
        true => Ok(text.to_owned()),
        false => Err(Bad::new("the route's key has no such parameter", "name one of its own")),
    };
    Some(Validate {
        headers: names(&section, "headers", field),
        query: names(&section, "query", parameter),
        path_patterns: patterns(&section, "path_patterns", known),
        query_patterns: patterns(&section, "query_patterns", parameter),
        header_patterns: patterns(&section, "header_patterns", field),
        content_types: names(&section, "content_types", media_type),
    })
}

fn names(
    section: &Section<'_>,
    key: &str,
    read: impl Fn(&str) -> Result<String, Bad>,
) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for spot in section.texts(key).unwrap_or_default() {
        let Some(name) = spot.read(&read) else { continue };
        if names.contains(&name) {
            spot.error("written twice", "remove one of them");
        } else {
            names.push(name);
        }
    }
    names
}

fn patterns(
    section: &Section<'_>,
    key: &str,
    read: impl Fn(&str) -> Result<String, Bad>,
) -> Vec<Pattern> {
    let mut patterns: Vec<Pattern> = Vec::new();
    for (name, place, spot) in section.pairs(key) {
        let Some(name) = spot.take(read(name)) else { continue };
        if let Some(twin) = patterns.iter().find(|pattern| pattern.name == name) {
            let message = format!("written twice; the first is at {}", twin.place);
            spot.error(&message, "remove one of them");
            continue;
        }
        if !spot.is_text("a regular expression") {
            continue;
        }
        match Compiled::compile(spot.text()) {
            Ok(_) => patterns.push(Pattern { name, text: spot.text().to_owned(), place }),
            Err(BadPattern { message, at }) => {
                let before = at.and_then(|at| spot.text().get(..at));
                let remedy = "write a regular expression such as \"[0-9]+\"; it must match the \
                              whole value";
                spot.error_inside(before.map(|text| text.chars().count()), &message, remedy);
            }
        }
    }
    patterns
}

fn field(text: &str) -> Result<String, Bad> {
    match is_token(text) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(Bad::new("not a field name", "write one such as \"x-tenant\"")),
    }
}

/// A parameter of a query, not encoded.
fn parameter(text: &str) -> Result<String, Bad> {
    match text.is_empty() || text.chars().any(char::is_control) {
        false => Ok(text.to_owned()),
        true => Err(Bad::new("not the name of a parameter", "write one such as \"page\"")),
    }
}

fn media_type(text: &str) -> Result<String, Bad> {
    let bad = |message: &str| Bad::new(message, "write \"application/json\" or \"image/*\"");
    if text.contains(';') {
        return Err(bad("parameters of a content type are not compared"));
    }
    match text.split_once('/') {
        Some(("*", sub)) if sub != "*" => Err(bad("a `*` stands for all subtypes only")),
        Some((main, sub))
            if is_token(main) && is_token(sub) && (sub == "*" || !sub.contains('*')) =>
        {
            Ok(text.to_ascii_lowercase())
        }
        _ => Err(bad("not a content type")),
    }
}

/// The path the upstream sees.
pub(super) fn path(section: &Section<'_>, scope: Scope<'_>) -> Option<Template> {
    let spot = section.text("path")?;
    let template = template::read(&spot, scope)?;
    if !spot.text().starts_with('/') {
        spot.error("does not begin with `/`", "write one such as \"/internal/{id}\"");
        return None;
    }
    if spot.text().contains(['?', '#']) {
        spot.error("a path has no query", "edit the query with `request_query`, or use `rewrite`");
        return None;
    }
    (good_target(&spot, &template) && keeps_below(&spot, &template.parts))
        .then_some(template.in_target())
}

/// A path's own parameters have been made canonical; anything else a client writes (a field, its
/// request id, even a method) could be `..` and lead the upstream anywhere.
pub(super) fn keeps_below(spot: &Spot<'_>, parts: &[Part]) -> bool {
    let loose = parts.iter().find_map(|part| match part {
        Part::Variable(
            variable @ (Variable::QueryParameter(_)
            | Variable::Header(_)
            | Variable::Host
            | Variable::Method
            | Variable::Query
            | Variable::QueryWithMark
            | Variable::RequestId
            | Variable::Route),
        ) => Some(variable),
        _ => None,
    });
    if let Some(variable) = loose {
        let message = format!("`{{{variable}}}` could hold `..` and leave the path");
        spot.error(&message, "use a parameter of the route's key, or put it into the query");
    }
    loose.is_none()
}

/// Edits of the query: as those of fields, but names are case-sensitive and may be any text.
pub(super) fn query_edits(section: &Section<'_>, scope: Scope<'_>) -> HeaderEdits {
    let section = section.sub("request_query");
    HeaderEdits {
        remove: names(&section, "remove", parameter),
        set: pairs(&section, "set", scope),
        add: pairs(&section, "add", scope),
    }
}

fn pairs(section: &Section<'_>, key: &str, scope: Scope<'_>) -> Vec<HeaderEdit> {
    let mut edits = Vec::new();
    for (name, place, spot) in section.pairs(key) {
        let Some(name) = spot.take(parameter(name)) else { continue };
        let spots = if key == "set" { vec![spot] } else { spot.each() };
        for spot in spots.iter().filter(|spot| spot.is_text("a template")) {
            if let Some(value) = template::read(spot, scope) {
                edits.push(HeaderEdit { name: name.clone(), value, place: place.clone() });
            }
        }
    }
    edits
}

/// Statuses of the upstream and what clients get instead.
pub(super) fn statuses(section: &Section<'_>) -> Vec<StatusChange> {
    // One that never has a body cannot stand for one that has, nor the other way round.
    let status = |text: &str| match text.parse::<u16>() {
        Ok(status) if (200..600).contains(&status) && ![204, 205, 304].contains(&status) => {
            Ok(status)
        }
        _ => Err(Bad::new(
            "not a status of an answer with a body",
            "write 200 to 599, but not 204, 205 or 304",
        )),
    };
    let change = |(from, _, spot): (&str, _, Spot<'_>)| {
        let to = spot.node.written().unwrap_or_default();
        Some(StatusChange { from: spot.take(status(from))?, to: spot.take(status(&to))? })
    };
    section.pairs("status").into_iter().filter_map(change).collect()
}
