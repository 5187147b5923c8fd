//! A configuration shown to people: as JSON or TOML for the admin's `/config` page with secrets
//! masked, and as the list of what a reload changes. Secrets are files here; but an operator can
//! write one into a field edit, and no page may repeat it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::section::quoted;
use super::types::Config;

/// An object that a reload adds, removes or changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub what: What,
    /// Such as `upstreams.pets`.
    pub object: String,
    /// The keys below it that differ, such as `timeouts.connect`; of a change only.
    pub keys: Vec<String>,
    /// What each of them was and will be, secrets masked; `None`: it is not there.
    pub values: Vec<(Option<Value>, Option<Value>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Added,
    Changed,
    Removed,
}

/// What stands in place of a secret.
const MASK: &str = "***";
/// What stands in place of a password's hash: nobody's, but well-formed, for what is shown is a
/// configuration too.
const MASK_OF_HASH: &str =
    "$argon2id$v=19$m=8,t=1,p=1$KioqKioqKio$KioqKioqKioqKioqKioqKioqKioqKioqKioqKioqKio";

/// What differs between two configurations, object by object, in alphabetical order. Moving an
/// object within a file or to another is no change.
#[must_use]
pub fn diff(old: &Config, new: &Config) -> Vec<Change> {
    let shown = (objects(&old.masked_json()), objects(&new.masked_json()));
    let (old, new) = (objects(&old.json()), objects(&new.json()));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let change = |object: &String| {
        let (what, keys) = match (old.get(object), new.get(object)) {
            (Some(old), Some(new)) if old == new => return None,
            (Some(old), Some(new)) => (What::Changed, differing(old, new)),
            (None, _) => (What::Added, Vec::new()),
            (_, None) => (What::Removed, Vec::new()),
        };
        let (before, after) = (shown.0.get(object), shown.1.get(object));
        let values = keys.iter().map(|key| (leaf(before, key), leaf(after, key))).collect();
        Some(Change { what, object: object.clone(), keys, values })
    };
    names.into_iter().filter_map(change).collect()
}

/// The value of one leaf of an object.
fn leaf(object: Option<&Value>, key: &str) -> Option<Value> {
    let mut found = BTreeMap::new();
    leaves(object?, "", &mut found);
    found.get(key).map(|value| (*value).clone())
}

// === impl Config ===

impl Config {
    /// All values in force, defaults included, in the shape of the file; secrets masked.
    #[must_use]
    pub fn masked_json(&self) -> Value {
        let mut json = self.json();
        mask(&mut json);
        json
    }

    /// The same as TOML.
    #[must_use]
    pub fn masked_toml(&self) -> String {
        toml::to_string(&self.masked_json()).expect("tables, texts, flags and small numbers only")
    }

    fn json(&self) -> Value {
        serde_json::to_value(self).expect("every key is a text")
    }
}

// === impl Change ===

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.what, self.object)?;
        if !self.keys.is_empty() {
            write!(f, " ({})", self.keys.join(", "))?;
        }
        Ok(())
    }
}

// === impl What ===

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            What::Added => "added",
            What::Changed => "changed",
            What::Removed => "removed",
        })
    }
}

/// The sections that hold objects by name.
const TABLES: &[&str] = &[
    "authorizers",
    "listeners",
    "upstreams",
    "limits",
    "providers",
    "models",
    "apis",
    "domains",
    "keys",
    "plans",
];

/// Takes a configuration apart into its objects: sections, listeners, upstreams, domains, APIs, and
/// of these the stages, versions and routes.
fn objects(config: &Value) -> BTreeMap<String, Value> {
    let mut objects = BTreeMap::new();
    for (key, value) in entries(config) {
        if !TABLES.contains(&key.as_str()) {
            objects.insert(key.clone(), value.clone());
            continue;
        }
        for (name, object) in entries(value) {
            let path = format!("{key}.{}", quoted(name));
            let mut object = object.clone();
            for below in ["routes", "stages", "versions"] {
                let taken = object.as_object_mut().and_then(|map| map.remove(below));
                for (name, object) in entries(&taken.unwrap_or_default()) {
                    several(format!("{path}.{below}.{}", quoted(name)), object, &mut objects);
                }
            }
            objects.insert(path, object);
        }
    }
    objects
}

/// An object, or each of the routes that share a key: known by their versions, not by their place.
fn several(path: String, object: &Value, objects: &mut BTreeMap<String, Value>) {
    let Some(routes) = object.as_array() else {
        objects.insert(path, object.clone());
        return;
    };
    for route in routes {
        let versions = route["versions"].as_array().into_iter().flatten();
        let versions: Vec<&str> = versions.filter_map(Value::as_str).collect();
        objects.insert(format!("{path} of {}", versions.join(", ")), route.clone());
    }
}

/// The paths of the leaves that differ; a list is a leaf.
fn differing(old: &Value, new: &Value) -> Vec<String> {
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    leaves(old, "", &mut before);
    leaves(new, "", &mut after);
    let paths: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    paths.into_iter().filter(|path| before.get(*path) != after.get(*path)).cloned().collect()
}

fn leaves<'v>(value: &'v Value, path: &str, into: &mut BTreeMap<String, &'v Value>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                leaves(value, &super::schema::join(path, &quoted(key)), into);
            }
        }
        _ => {
            into.insert(path.to_owned(), value);
        }
    }
}

/// Replaces the values of fields that hold credentials. The names are those of field edits; a key
/// of the schema of such a name would be masked as well, and none is.
fn mask(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                match value {
                    Value::String(text) if is_secret(name) => *text = MASK.to_owned(),
                    // Of a basic authorizer: a hash invites guessing.
                    Value::Object(users) if name == "users" => {
                        users.values_mut().for_each(|hash| *hash = Value::from(MASK_OF_HASH));
                    }
                    Value::Array(texts) if is_secret(name) && name != "credentials" => {
                        texts.iter_mut().for_each(|text| *text = Value::from(MASK));
                    }
                    value => mask(value),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(mask),
        _ => {}
    }
}

/// Whether a field of this (lower-case) name carries a credential.
fn is_secret(name: &str) -> bool {
    let exact =
        ["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "api-key"];
    // A digest tells nothing of a token that nobody can guess.
    exact.contains(&name)
        || name != "token_sha256"
            && ["token", "secret", "password", "credential"].iter().any(|part| name.contains(part))
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}
