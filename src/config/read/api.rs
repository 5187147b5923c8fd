//! Reads `[apis.NAME]` and its routes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::config::section::Section;
use crate::config::template::{self, Part, Scope, Template, Variable, is_token};
use crate::config::types::{
    Action, Api, Host, Name, Route, RouteTimeouts, Target, TotalTimeout, Unmatched,
};
use crate::config::units::{self, Bad};
use crate::failure::ErrorFormat;
use crate::http::upgrade::WEBSOCKET;
use crate::limit::Unit;

use super::{
    Known, answer, authorizer, cors, deployment, edge, fields, key, limit, llm, stage, version,
};

/// The keys of which a route has exactly one.
const ACTIONS: [&str; 5] = ["upstream", "split", "redirect", "respond", "llm"];

pub(super) fn api(section: &Section<'_>, known: &Known<'_>) -> Api {
    let formats = [
        ("ringway", ErrorFormat::Ringway),
        ("problem", ErrorFormat::Problem),
        ("anthropic", ErrorFormat::Anthropic),
        ("aws", ErrorFormat::Aws),
    ];
    let (base_path, spot) = section.text_or_default("base_path");
    if let Some(spot) = spot {
        spot.read(fields::path);
    }
    let mut api = Api {
        place: section.place.clone(),
        hosts: hosts(section),
        base_path,
        listeners: listeners(section, known),
        errors: section.choice("errors", &formats),
        cors: section.sub_if("cors").map(|section| cors::cors(&section)),
        access: authorizer::access(section, known),
        request_headers: fields::edits(
            &section.sub("request_headers"),
            Scope { parameters: &[], response: false },
        ),
        response_headers: fields::edits(
            &section.sub("response_headers"),
            Scope { parameters: &[], response: true },
        ),
        body_max: Some(section.size("body_max")).filter(|bytes| *bytes != 0),
        upgrade: upgrade(section).unwrap_or_else(|| vec![WEBSOCKET.to_owned()]),
        api_key: key::api_key(section),
        limits: limit::names(section, known),
        unmatched: section
            .choice("unmatched", &[("404", Unmatched::NotFound), ("403", Unmatched::MissingToken)]),
        upstream: version::upstream(section, known),
        stages: stage::stages(section, known),
        versioning: version::versioning(section, known),
        routes: BTreeMap::new(),
    };
    for (key, sections) in section.keyed_lists("routes") {
        let mut routes: Vec<Route> = Vec::new();
        for section in sections {
            let Some(route) = route(key, &section, &api, known) else { continue };
            version::check_overlap(&section, &route, &routes, api.versioning.as_ref());
            routes.push(route);
        }
        if !routes.is_empty() {
            api.routes.insert(key.to_owned(), routes);
        }
    }
    cors::check_fit(section, &api);
    deployment::check(section, &api, known);
    if !section.has("routes") {
        section.warn_at("routes", "there is none, so the API answers 404", "add a route");
    }
    api
}

fn hosts(section: &Section<'_>) -> Vec<Host> {
    let Some(spots) = section.texts("hosts") else { return vec![Host::Any] };
    if spots.is_empty() {
        section.error_at("hosts", "is empty", "name at least one host, or leave the key out");
    }
    let mut hosts: Vec<(Host, String)> = Vec::new();
    for spot in spots {
        let Some(host) = spot.read(host) else { continue };
        if let Some((_, first)) = hosts.iter().find(|(other, _)| *other == host) {
            let message = format!("written twice; the first is at {first}");
            spot.error(&message, "remove one of them");
            continue;
        }
        hosts.push((host, spot.node.place.to_string()));
    }
    hosts.into_iter().map(|(host, _)| host).collect()
}

pub(super) fn host(text: &str) -> Result<Host, Bad> {
    if text == "*" {
        return Ok(Host::Any);
    }
    let write = "write \"api.example.com\", \"*.example.com\" or \"*\"";
    let (below, name) = match text.strip_prefix("*.") {
        Some(suffix) => (true, suffix),
        None => (false, text),
    };
    if name.contains('*') {
        return Err(Bad::new("a `*` stands for whole labels at the front only", write));
    }
    // Clients do connect by address; the authority then is that address (IPv6 in brackets).
    if !below && let Ok(ip) = name.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(Host::Exact(match ip {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        }));
    }
    if name.contains(':') {
        return Err(Bad::new("hosts are matched without their port", write));
    }
    let name = units::host_name(name)?;
    Ok(if below { Host::Below(name) } else { Host::Exact(name) })
}

fn listeners(section: &Section<'_>, known: &Known<'_>) -> Option<BTreeSet<Name>> {
    let spots = section.texts("listeners")?;
    if spots.is_empty() {
        let remedy = "name at least one, or leave the key out for all";
        section.error_at("listeners", "is empty", remedy);
    }
    Some(spots.iter().filter_map(|spot| known.listener(spot)).collect())
}

fn route(key: &str, section: &Section<'_>, api: &Api, known: &Known<'_>) -> Option<Route> {
    let parameters = match parameters(key) {
        Ok(parameters) => parameters,
        Err(bad) => {
            section.error(&bad.message, &bad.remedy);
            Vec::new()
        }
    };
    let request = Scope { parameters: &parameters, response: false };
    let response = Scope { parameters: &parameters, response: true };
    let action = action(section, &parameters, known);
    let access = authorizer::access(section, known);
    authorizer::check_access(section, &access.over(&api.access), &access);
    let own_body_max = section.size_if("body_max");
    let timeouts = section.sub("timeouts");
    let route = Route {
        place: section.place.clone(),
        action: Action::Proxy(Vec::new()),
        access,
        strip_prefix: section.text("strip_prefix").and_then(|spot| spot.read(fields::path)),
        rewrite: rewrite(section, request),
        path: edge::path(section, request),
        request_query: edge::query_edits(section, request),
        status: edge::statuses(section),
        validate: edge::validate(section, &parameters),
        request_headers: fields::edits(&section.sub("request_headers"), request),
        response_headers: fields::edits(&section.sub("response_headers"), response),
        body_max: own_body_max.or(api.body_max).filter(|bytes| *bytes != 0),
        upgrade: upgrade(section).unwrap_or_else(|| api.upgrade.clone()),
        timeouts: RouteTimeouts {
            first_byte: timeouts.duration_if("first_byte"),
            idle: timeouts.duration_if("idle"),
            total: total(&timeouts, "total"),
            tunnel_idle: timeouts.duration_if("tunnel_idle"),
            tunnel_lifetime: total(&timeouts, "tunnel_lifetime"),
        },
        limits: limit::names(section, known),
        throttle: section
            .sub_if("throttle")
            .and_then(|section| limit::throttle(&section, Unit::Requests)),
        retry: section.flag("retry"),
        api_key: section.choice_if("api_key", &key::NEEDS),
        versions: version::of_route(section, api.versioning.as_ref()),
    };
    let route = Route { action: action?, ..route };
    check_fit(key, section, api, &route);
    Some(route)
}

fn total(timeouts: &Section<'_>, key: &str) -> TotalTimeout {
    match timeouts.duration_if(key) {
        None => TotalTimeout::Inherit,
        Some(zero) if zero.is_zero() => TotalTimeout::Unlimited,
        Some(duration) => TotalTimeout::After(duration),
    }
}

/// Protocols connections may be upgraded to, if the key is there.
fn upgrade(section: &Section<'_>) -> Option<Vec<String>> {
    let mut tokens: Vec<String> = Vec::new();
    for spot in section.texts("upgrade")? {
        let Some(token) = spot.read(protocol) else { continue };
        if tokens.contains(&token) {
            spot.error("written twice", "remove one of them");
            continue;
        }
        tokens.push(token);
    }
    Some(tokens)
}

/// RFC 9110 section 7.8: a name, or a name and a version.
fn protocol(text: &str) -> Result<String, Bad> {
    let (name, version) = text.split_once('/').unwrap_or((text, "1"));
    if !is_token(name) || !is_token(version) {
        return Err(Bad::new("not the name of a protocol", "write one such as \"websocket\""));
    }
    let token = text.to_ascii_lowercase();
    if matches!(name.to_ascii_lowercase().as_str(), "h2c" | "h2" | "http" | "tls") {
        // Behind such an upgrade requests would pass that nobody here has seen.
        let message = "HTTP inside a tunnel would reach the upstream unseen";
        return Err(Bad::new(message, "remove it"));
    }
    Ok(token)
}

/// Keys that do not go together, or that change nothing.
fn check_fit(key: &str, section: &Section<'_>, api: &Api, route: &Route) {
    if section.has("strip_prefix") && section.has("rewrite") {
        section.error_at(
            "strip_prefix",
            "given together with `rewrite`, which is the whole target",
            "remove one of the two",
        );
    }
    for key in ["strip_prefix", "rewrite"] {
        if section.has("path") && section.has(key) {
            let message = format!("given together with `{key}`: both say the path");
            section.error_at("path", &message, "remove one of the two");
        }
    }
    if section.has("request_query") && section.has("rewrite") {
        section.error_at(
            "request_query",
            "given together with `rewrite`, which is the whole target",
            "use `path` in place of `rewrite`, or write the query there",
        );
    }
    if !matches!(route.action, Action::Proxy(_)) {
        let upstream_only = "strip_prefix rewrite path request_query request_headers status \
                             body_max upgrade timeouts retry";
        let is_llm = matches!(route.action, Action::Llm(_));
        let message = match is_llm {
            true => "has no effect on requests to language models",
            false => "has no effect: no upstream gets the request",
        };
        let has_effect = |key: &str| is_llm && key == "body_max";
        let given = upstream_only.split(' ').filter(|key| section.has(key) && !has_effect(key));
        given.for_each(|key| section.warn_at(key, message, "remove it"));
    }
    if let Some(prefix) = &route.strip_prefix {
        let fixed = fixed_path(key, &api.base_path);
        if !fixed.starts_with(prefix.as_str()) && !prefix.starts_with(&fixed) {
            let message = format!("no path of this route begins so: they begin with {fixed}");
            section.warn_at("strip_prefix", &message, "write what is to be taken off");
        }
    }
}

fn action(section: &Section<'_>, parameters: &[String], known: &Known<'_>) -> Option<Action> {
    let given: Vec<&str> = ACTIONS.into_iter().filter(|key| section.has(key)).collect();
    let action = match given.first().copied() {
        Some("upstream") => section.text("upstream").and_then(|spot| {
            let (upstream, place) = (known.upstream(&spot)?, spot.node.place.clone());
            Some(Action::Proxy(vec![Target { upstream, weight: 1, place }]))
        }),
        Some("split") => split(section, known).map(Action::Proxy),
        Some("redirect") => section
            .sub_if("redirect")
            .and_then(|section| answer::redirect(&section, parameters))
            .map(Action::Redirect),
        Some("llm") => llm::route(section, known).map(Action::Llm),
        Some(_) => {
            section.sub_if("respond").map(|s| Action::Respond(answer::respond(&s, parameters)))
        }
        // Whether there is one to inherit `deployment` sees, where versions are known.
        None => Some(Action::Proxy(Vec::new())),
    };
    if let [first, second, ..] = given.as_slice() {
        let message = format!("given together with `{first}`");
        section.error_at(second, &message, "a route has one of them; remove the others");
    }
    action
}

fn split(section: &Section<'_>, known: &Known<'_>) -> Option<Vec<Target>> {
    let items = section.items("split")?;
    let mut targets: Vec<Target> = Vec::new();
    let mut broken = false;
    for spot in &items {
        let target = section.item("split", spot).and_then(|item| {
            let weight = item.count("weight");
            let spot = item.text("upstream")?;
            let twin = targets.iter().find(|target| *target.upstream == *spot.text());
            if let Some(twin) = twin {
                let message = format!("written twice; the first is at {}", twin.place);
                spot.error(&message, "add their weights up");
                return None;
            }
            let place = spot.node.place.clone();
            Some(Target { upstream: known.upstream(&spot)?, weight, place })
        });
        broken |= target.is_none();
        targets.extend(target);
    }
    if items.is_empty() {
        let remedy = "write [{ upstream = \"NAME\", weight = 90 }, ...]";
        section.error_at("split", "is empty", remedy);
        return None;
    }
    if !broken && targets.iter().all(|target| target.weight == 0) {
        section.error_at("split", "all weights are 0", "give at least one a weight above 0");
    }
    (!broken).then_some(targets)
}

fn rewrite(section: &Section<'_>, scope: Scope<'_>) -> Option<Template> {
    let spot = section.text("rewrite")?;
    let template = template::read(&spot, scope)?;
    if !spot.text().starts_with('/') && !spot.text().starts_with("{path}") {
        spot.error("does not begin with `/`", "write one such as \"/internal{path}{query?}\"");
        return None;
    }
    // Behind the `?` everything is a value.
    let query = |part: &Part| match part {
        Part::Literal(text) => text.contains('?'),
        Part::Variable(variable) => matches!(variable, Variable::QueryWithMark),
    };
    let end = template.parts.iter().position(query).unwrap_or(template.parts.len());
    let in_path = |part: &&Part| matches!(part, Part::Variable(Variable::QueryParameter(_)));
    let loose: Vec<Part> = template.parts[..end].iter().filter(in_path).cloned().collect();
    let good = answer::good_target(&spot, &template) && edge::keeps_below(&spot, &loose);
    good.then_some(template.in_target())
}

/// The path parameters of a route key, which is `$default` or a method (or `ANY`) and a path. Only
/// its outer form is checked: `route` gives keys their meaning and refuses what it cannot tell
/// apart.
fn parameters(key: &str) -> Result<Vec<String>, Bad> {
    let write = "write \"GET /pets/{id}\", \"ANY /files/{proxy+}\" or \"$default\"";
    if key == "$default" {
        return Ok(Vec::new());
    }
    let Some((method, path)) = key.split_once(' ') else {
        return Err(Bad::new("not a route key: a method and a path", write));
    };
    if !is_token(method) || method.bytes().any(|b| b.is_ascii_lowercase()) {
        return Err(Bad::new("its method is not one in capitals", write));
    }
    if !path.starts_with('/') {
        return Err(Bad::new("its path does not begin with `/`", write));
    }
    let mut names: Vec<String> = Vec::new();
    for segment in path.split('/') {
        let inner = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let Some(inner) = inner else {
            if segment.contains(['{', '}']) {
                return Err(Bad::new("a parameter is a whole segment", write));
            }
            continue;
        };
        let name = inner.strip_suffix('+').unwrap_or(inner);
        let good = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-' || b == b'.';
        if name.is_empty() || !name.bytes().all(good) {
            return Err(Bad::new("a parameter's name is letters, digits, `_`, `-` or `.`", write));
        }
        if names.iter().any(|other| other == name) {
            return Err(Bad::new(&format!("the parameter `{name}` is there twice"), write));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

/// What every path of the route begins with.
fn fixed_path(key: &str, base_path: &str) -> String {
    let path = key.split_once(' ').map_or("/", |(_, path)| path);
    let fixed = path.find('{').map_or(path, |brace| &path[..brace]);
    format!("{}{fixed}", base_path.trim_end_matches('/'))
}
