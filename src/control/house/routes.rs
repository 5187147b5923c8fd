//! The route table of a snapshot as people and programs read it: `ringway routes` and `/routes`.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::snapshot::{Action, Route, Snapshot};

/// The table as text, listener by listener.
#[must_use]
pub fn text(snapshot: &Snapshot) -> String {
    let mut out = String::new();
    for listener in &snapshot.listeners {
        let mut line = |text: std::fmt::Arguments<'_>| {
            writeln!(out, "{text}").expect("a String takes all text");
        };
        line(format_args!("listener {}", listener.name));
        for row in listener.table.routes() {
            let route = &snapshot.routes[row.target as usize];
            let host = row.host.to_string();
            let path = format!("{} {}{}", row.base_path, route.key, deployed(route));
            let ends_in = ends_in(snapshot, route);
            let authorizers = authorizers(route).join(" or ");
            let by = if authorizers.is_empty() { "" } else { ", callers proven by " };
            line(format_args!(
                "  {host:<24} {path:<32} {:<14} {ends_in}{by}{authorizers}",
                &*route.api
            ));
        }
    }
    out
}

/// The table as JSON.
#[must_use]
pub fn json(snapshot: &Snapshot) -> Value {
    let listeners = snapshot.listeners.iter().map(|listener| {
        let routes = listener.table.routes().into_iter().map(|row| {
            let route = &snapshot.routes[row.target as usize];
            json!({
                "host": row.host.to_string(),
                "base_path": row.base_path.to_string(),
                "key": &*route.key,
                "api": &*route.api,
                "stage": &*route.deployment.stage,
                "version": route.deployment.version_id(),
                "ends_in": ends_in(snapshot, route),
                "authorizers": authorizers(route),
            })
        });
        json!({ "listener": &*listener.name, "routes": routes.collect::<Vec<_>>() })
    });
    json!({ "generation": snapshot.generation, "listeners": listeners.collect::<Vec<_>>() })
}

/// Of which stage and version it is, where it is of any.
fn deployed(route: &Route) -> String {
    let parts = [("stage", &*route.deployment.stage), ("version", route.deployment.version_id())];
    let parts = parts.iter().filter(|(_, name)| !name.is_empty());
    parts.map(|(what, name)| format!("  {what}={name}")).collect()
}

/// What a route ends in, in a few words; and its canary, where that differs.
/// Who proves the route's callers; empty: everybody may call.
fn authorizers(route: &Route) -> Vec<&str> {
    let access = route.access.as_deref();
    access.map_or(Vec::new(), |access| access.authorizers.iter().map(|its| &*its.name).collect())
}

/// What a route ends in, in a few words.
fn ends_in(snapshot: &Snapshot, route: &Route) -> String {
    let own = action(snapshot, route);
    let Some(split) = &route.split else { return own };
    let twin = action(snapshot, &snapshot.routes[split.twin as usize]);
    let percent = crate::config::Percent(split.parts);
    if twin == own {
        format!("{own} (canary {percent})")
    } else {
        format!("{own} (canary {percent}: {twin})")
    }
}

fn action(snapshot: &Snapshot, route: &Route) -> String {
    match &route.action {
        Action::Redirect(redirect) => format!("{} to {}", redirect.status, redirect.to),
        Action::Versions(_) => "list of versions".to_owned(),
        Action::Llm(llm) if llm.models.is_empty() => "language models".to_owned(),
        Action::Llm(llm) => {
            let models: Vec<&str> = llm.models.iter().map(|model| model.as_str()).collect();
            format!("language models {}", models.join(", "))
        }
        Action::Respond(respond) => format!("answer {}", respond.status),
        Action::Proxy(targets) => {
            let mut before = 0;
            let shares = targets.iter().map(|target| {
                let weight = target.weight_upto - before;
                before = target.weight_upto;
                let name = &snapshot.upstreams[target.upstream].name;
                if targets.len() == 1 { name.to_string() } else { format!("{name}={weight}") }
            });
            shares.collect::<Vec<_>>().join(" ")
        }
    }
}
