//! Reads `[apis.NAME.cors]`: what browsers' rules would make useless or dangerous is an error here.

use crate::auth::{Cors, List, Names, OriginPattern, is_cors_field};
use crate::config::section::Section;
use crate::config::spot::Spot;
use crate::config::template::is_token;
use crate::config::types::{Action, Api};
use crate::config::units::Bad;

pub(super) fn cors(section: &Section<'_>) -> Cors {
    let spots = section.texts("origins").unwrap_or_default();
    if spots.is_empty() && section.has("origins") {
        section.error_at("origins", "is empty", "name one, or leave `cors` out");
    }
    let origins: Vec<OriginPattern> = spots.iter().filter_map(|spot| spot.read(origin)).collect();
    let policy = Cors {
        origins,
        methods: names(section, "methods", method),
        headers: names(section, "headers", field),
        expose: List::of(each(section, "expose", exposed)),
        credentials: section.flag("credentials"),
        max_age: section.duration_if("max_age"),
    };
    if policy.credentials {
        if policy.allows_all() {
            section.error_at(
                "credentials",
                "given together with the origin `*`: every page of the Web could act for whoever \
                 is signed in, and browsers refuse it",
                "name the origins, or turn credentials off",
            );
        }
        // Fetch standard, section 4.9: with credentials `*` is the name of a field.
        if section.texts("expose").unwrap_or_default().iter().any(|spot| spot.text() == "*") {
            section.error_at(
                "expose",
                "`*` means nothing to a browser when credentials come along",
                "name the fields",
            );
        }
    }
    policy
}

/// With a policy, nobody else speaks of CORS: two such fields make browsers refuse an answer.
pub(super) fn check_fit(section: &Section<'_>, api: &Api) {
    if api.cors.is_none() {
        return;
    }
    let routes = api.routes.values().flatten().flat_map(|route| {
        let fixed = match &route.action {
            Action::Respond(respond) => respond.headers.as_slice(),
            _ => &[],
        };
        let edits = &route.response_headers;
        edits.set.iter().chain(&edits.add).chain(fixed)
    });
    let edits = &api.response_headers;
    for edit in edits.set.iter().chain(&edits.add).chain(routes) {
        if is_cors_field(edit.name.as_bytes()) {
            let mut diagnostic = section.diagnostic(
                &format!("has no effect: `{}` is said by the API's `cors`", edit.name),
                "remove it here, and say it there",
            );
            diagnostic.place = edit.place.clone();
            section.report.warn(diagnostic);
        }
    }
}

fn origin(text: &str) -> Result<OriginPattern, Bad> {
    OriginPattern::parse(text).map_err(|(message, remedy)| Bad::new(message, remedy))
}

fn names(section: &Section<'_>, key: &str, read: fn(&str) -> Result<String, Bad>) -> Names {
    let list = each(section, key, read);
    match list.iter().any(|name| name == "*") {
        true if list.len() > 1 => {
            section.error_at(key, "`*` together with names", "write one or the other");
            Names::Any
        }
        true => Names::Any,
        false => Names::List(List::of(list)),
    }
}

fn each(section: &Section<'_>, key: &str, read: fn(&str) -> Result<String, Bad>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let take = |spot: &Spot<'_>| match spot.text() {
        "*" => Some("*".to_owned()),
        _ => spot.read(read),
    };
    for spot in section.texts(key).unwrap_or_default() {
        let Some(name) = take(&spot) else { continue };
        if names.contains(&name) {
            spot.error("written twice", "remove one of them");
        } else {
            names.push(name);
        }
    }
    names
}

fn method(text: &str) -> Result<String, Bad> {
    if !is_token(text) || text.bytes().any(|b| b.is_ascii_lowercase()) {
        return Err(Bad::new("not a method in capitals", "write one such as \"PUT\""));
    }
    // Fetch standard, section 2.2.1: scripts cannot send them at all.
    if ["CONNECT", "TRACE", "TRACK"].contains(&text) {
        return Err(Bad::new("no script may send this method", "remove it"));
    }
    Ok(text.to_owned())
}

fn field(text: &str) -> Result<String, Bad> {
    match is_token(text) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(Bad::new("not a field name", "write one such as \"content-type\"")),
    }
}

fn exposed(text: &str) -> Result<String, Bad> {
    let name = field(text)?;
    match name.as_str() {
        // Fetch standard, section 2.2.2: forbidden response-header names.
        "set-cookie" | "set-cookie2" => Err(Bad::new("no script may read this field", "remove it")),
        _ => Ok(name),
    }
}
