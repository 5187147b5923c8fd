//! What the API tells of the configuration in force: named objects of its sections, secrets masked.
//!
//! A section that this version of the configuration does not have is an empty list.

use serde_json::{Map, Value, json};

use super::problem::Problem;
use super::table::{ROOT, TABLE};
use crate::clock;
use crate::control::house::page::Page;
use crate::control::house::{admin, routes as route_table};
use crate::snapshot::Snapshot;

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

/// The versions of all APIs.
#[must_use]
pub fn versions(config: &Value) -> Page {
    let apis = config["apis"].as_object().into_iter().flatten();
    let each = apis.flat_map(|(api, conf)| {
        objects(&conf["versions"]).map(move |mut version| {
            version["api"] = api.as_str().into();
            version
        })
    });
    Page::json(200, &json!({ "versions": each.collect::<Vec<_>>() }))
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
