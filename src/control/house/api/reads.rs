//! What the API tells of the configuration in force: named objects of its sections, secrets masked.
//!
//! A section that this version of the configuration does not have is an empty list.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::problem::Problem;
use super::table::{ROOT, TABLE};
use super::usage::{self, Usage};
use crate::clock::{self, Wall};
use crate::config::Config;
use crate::control::house::page::Page;
use crate::control::house::{admin, models, routes as route_table};
use crate::limit::{Standing, Times};
use crate::route::canary::PARTS;
use crate::snapshot::{KeyPart, Route, Snapshot};

/// What there is, for whoever looks around.
#[must_use]
pub fn index() -> Page {
    let rows = TABLE.iter().map(|row| {
        json!({
            "method": row.method,
            "path": format!("{ROOT}{}", row.path),
            "summary": row.summary,
        })
    });
    let version = env!("CARGO_PKG_VERSION");
    Page::json(200, &json!({ "version": version, "operations": rows.collect::<Vec<_>>() }))
}

/// All objects of a section.
#[must_use]
pub fn all(config: &Value, section: &str) -> Page {
    let objects: Vec<Value> = objects(&config[section]).collect();
    Page::json(200, &json!({ section: objects }))
}

/// One object of a section.
///
/// # Errors
/// The page that says that there is none.
pub fn one(config: &Value, section: &str, name: &str) -> Result<Page, Page> {
    match objects(&config[section]).find(|object| object["name"] == name) {
        Some(object) => Ok(Page::json(200, &object)),
        None => Err(Problem::NotFound.page(format!("{section} has no {name:?}."))),
    }
}

/// The versions of all APIs, where each stands now, and who asks for it.
#[must_use]
pub fn versions(snapshot: &Snapshot, usage: Option<&Usage>, now: Wall) -> Page {
    let config = snapshot.config.masked_json();
    let mut shown = Vec::new();
    for api in &snapshot.apis {
        let Some(versions) = &api.versions else { continue };
        for mut version in objects(&config["apis"][&*api.name]["versions"]) {
            let at = version["name"].as_str().and_then(|id| versions.find(id.as_bytes()));
            if let Some(known) = at.and_then(|at| versions.get(at)) {
                let left = known.life.sunset.map(|sunset| sunset.saturating_sub(now.seconds()));
                version["standing"] = known.life.at(now, PARTS).status.name().into();
                version["days_to_sunset"] = left.map(|seconds| seconds / 86_400).into();
            }
            version["api"] = (&*api.name).into();
            if let Some(usage) = usage {
                usage.add_to_version(&api.name, &mut version);
            }
            shown.push(version);
        }
    }
    Page::json(200, &json!({ "versions": shown }))
}

/// The limits; with what is left of those that do not look at the caller.
#[must_use]
pub fn limits(snapshot: &Snapshot, now: Times) -> Page {
    let mut left: BTreeMap<&str, BTreeMap<String, Value>> = BTreeMap::new();
    for route in &snapshot.routes {
        for limit in route.limits.list.iter().filter(|limit| limit.varying.is_empty()) {
            // A limit of many routes is counted once for each of these.
            let of = left.entry(&limit.name).or_default();
            let place = counted_apart(&snapshot.config, &limit.name, route);
            of.entry(place.to_string()).or_insert_with(|| {
                let standing = Standing::of(&snapshot.limits, &limit.rules, limit.begun.id(), now);
                let mut told = usage::levels(limit, &standing);
                told["place"] = place;
                told
            });
        }
    }
    let config = snapshot.config.masked_json();
    let each = objects(&config["limits"]).map(|mut limit| {
        let name = limit["name"].as_str().unwrap_or_default();
        let standing: Vec<Value> = left.remove(name).unwrap_or_default().into_values().collect();
        limit["standing"] = standing.into();
        limit
    });
    Page::json(200, &json!({ "limits": each.collect::<Vec<_>>() }))
}

/// Of what a route is, the parts by which a limit of its counts.
fn counted_apart(config: &Config, limit: &str, route: &Route) -> Value {
    let (api, key, stage, version, _) = route.name();
    let mut place = Map::new();
    let by = config.limits.get(limit).map(|limit| limit.by.as_slice()).unwrap_or_default();
    for part in by {
        let (name, value) = match part {
            KeyPart::Api => ("api", api),
            KeyPart::Stage => ("stage", stage),
            KeyPart::Version => ("version", version),
            KeyPart::Route => ("route", key),
            _ => continue,
        };
        place.insert("api".to_owned(), api.into());
        place.insert(name.to_owned(), value.into());
    }
    place.into()
}

/// The route table; of one API if it is named.
#[must_use]
pub fn routes(snapshot: &Snapshot, api: Option<&str>) -> Page {
    let mut table = route_table::json(snapshot);
    let lists = table["listeners"].as_array_mut().into_iter().flatten();
    for list in lists.filter_map(|listener| listener["routes"].as_array_mut()) {
        list.retain(|route| api.is_none_or(|api| route["api"] == api));
    }
    Page::json(200, &table)
}

/// Upstreams, their endpoints and how they are.
#[must_use]
pub fn upstreams(snapshot: &Snapshot) -> Page {
    Page::json(200, &admin::upstreams(snapshot, clock::now()))
}

/// Providers of language models, and which of their credentials rest.
#[must_use]
pub fn providers(snapshot: &Snapshot) -> Page {
    Page::json(200, &models::providers(snapshot, clock::now()))
}

/// Language models, their targets and how these fare.
#[must_use]
pub fn models(snapshot: &Snapshot) -> Page {
    Page::json(200, &models::models(snapshot, clock::now()))
}

/// The entries of a table, each with its name in it.
fn objects(table: &Value) -> impl Iterator<Item = Value> {
    let entries = table.as_object().into_iter().flatten();
    entries.map(|(name, object)| {
        let mut named = Map::new();
        named.insert("name".to_owned(), name.as_str().into());
        named.extend(object.as_object().cloned().unwrap_or_default());
        Value::Object(named)
    })
}
