//! Keys as the API reads and shows them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::problem::Problem;
use super::query::Query;
use super::usage::Usage;
use crate::auth::keys::{Allow, Digest, KeyRecord, KeyTable, KeyValue, Network, Origin, Secret};
use crate::auth::plans::Plans;
use crate::bounds;
use crate::clock::{self, Wall};
use crate::config::Moment;
use crate::control::house::page::Page;
use crate::control::store::{Made, Refused, lists_of, tag_of, value_of, view};
use crate::llm::ModelPattern;

/// What of a key can be written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    enabled: bool,
    expires: Option<String>,
    owner: String,
    tags: BTreeMap<String, String>,
    plans: Vec<String>,
    allow: AllowFields,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AllowFields {
    apis: Vec<String>,
    versions: Vec<String>,
    routes: Vec<String>,
    networks: Vec<String>,
    models: Vec<String>,
}

/// What a rotation asks for.
pub struct Rotation {
    pub value: Option<KeyValue>,
    pub grace: Duration,
}

/// How long the old values of a key hold on unless the caller says it.
const GRACE: Duration = Duration::from_secs(86_400);
/// Characters of an owner, a tag or its value: whatever they are, they fit the table's bytes.
const TEXT_CHARS_MAX: usize = bounds::KEY_TEXT_MAX / 4;
/// The table counts seconds in 32 bits.
const EXPIRES_MAX: u64 = u32::MAX as u64 - 1;

/// The page of a key.
#[must_use]
pub fn page(status: u16, record: &KeyRecord, now: Wall) -> Page {
    Page::json(status, &view(record, now)).with("etag", tag_of(record))
}

/// The page of a key whose secret is seen now and never again.
#[must_use]
pub fn made(status: u16, made: &Made, now: Wall) -> Page {
    let mut key = view(&made.record, now);
    key["secret"] = made.secret.as_ref().map(Secret::expose).into();
    Page::json(status, &key).with("etag", tag_of(&made.record))
}

/// One key.
///
/// # Errors
/// The page that says that there is none.
pub fn show(table: &KeyTable, usage: Option<&Usage>, name: &str) -> Result<Page, Page> {
    let key = table.get(name);
    let key = key.ok_or_else(|| refused(&Refused::Unknown(name.to_owned())))?;
    let record = key.record();
    let mut shown = [view(&record, clock::wall())];
    if let Some(usage) = usage {
        usage.add_to_keys(&mut shown);
    }
    Ok(Page::json(200, &shown[0]).with("etag", tag_of(&record)))
}

/// A page of the keys that meet the filters.
#[must_use]
pub fn list(table: &KeyTable, usage: Option<&Usage>, query: &Query) -> Page {
    let (mut found, mut after) = (Vec::new(), query.after.clone());
    let now = clock::wall();
    loop {
        let keys = table.list(&after, bounds::ADMIN_PAGE_MAX);
        let Some(last) = keys.last() else { break };
        after = last.name().to_owned();
        let records = keys.iter().map(|key| key.record());
        found.extend(records.map(|record| view(&record, now)).filter(|key| meets(key, query)));
        if found.len() > query.limit {
            break;
        }
    }
    let more = found.len() > query.limit;
    found.truncate(query.limit);
    if let Some(usage) = usage {
        usage.add_to_keys(&mut found);
    }
    let next = found.last().filter(|_| more).map(|key| key["name"].clone());
    Page::json(200, &json!({ "keys": found, "next": next }))
}

/// The key that a body describes, with its value if the caller chose one.
///
/// # Errors
/// The page that says what is wrong with it.
pub fn new_key(body: &[u8], now: Wall) -> Result<KeyRecord, Page> {
    let mut given = object(body)?;
    let name = match given.remove("name") {
        Some(Value::String(name)) => name,
        Some(_) => return Err(wrong("/name", "it is not a text")),
        None => return Err(wrong("/name", "it is missing")),
    };
    let mut record = KeyRecord::new(&name, Origin::Store);
    record.values.extend(take_value(&mut given, now)?);
    let mut whole = written(&record);
    for (field, value) in given {
        match (whole.get_mut(&field), value) {
            // A list that is not there is empty; one that is, is as it is written.
            (Some(Value::Object(lists)), Value::Object(more)) if field == "allow" => {
                lists.extend(more);
            }
            (_, value) => drop(whole.insert(field, value)),
        }
    }
    put(&mut record, whole).map_err(|error| refused(&error))?;
    // A placeholder, for a secret is made later: all other fields are checked before any thread is
    // asked.
    let mut checked = record.clone();
    if checked.values.is_empty() {
        let digest = Digest([0; 32]);
        checked.values.push(KeyValue { digest, shown: String::new(), created: 0, not_after: None });
    }
    checked.check().map_err(|error| refused(&Refused::Wrong(error)))?;
    Ok(record)
}

/// Changes a key as a merge patch says.
///
/// # Errors
/// What is wrong with it.
pub fn patch(record: &mut KeyRecord, patch: &Map<String, Value>) -> Result<(), Refused> {
    let mut whole = written(record);
    // Also what would be taken out must have been able to be there.
    let inner = patch.get("allow").and_then(Value::as_object).into_iter().flatten();
    let unknown = patch.keys().find(|field| !whole.contains_key(*field));
    let unknown = unknown.or_else(|| {
        inner.map(|(field, _)| field).find(|field| whole["allow"].get(*field).is_none())
    });
    if let Some(field) = unknown {
        return Err(Refused::Invalid(String::new(), format!("there is no field {field:?} here")));
    }
    merge(&mut whole, patch);
    put(record, whole)
}

/// Whether the plans of a key are there, and go together.
///
/// # Errors
/// Which is not.
pub fn check_plans(plans: &Plans, record: &KeyRecord) -> Result<(), Refused> {
    let names: Vec<&str> = record.plans.iter().map(String::as_str).collect();
    plans.check(&names).map_err(|wrong| Refused::Conflict(wrong.to_string()))
}

/// What a rotation's body asks for; an empty one asks for a new secret and the usual grace.
///
/// # Errors
/// The page that says what is wrong with it.
pub fn rotation(body: &[u8], now: Wall) -> Result<Rotation, Page> {
    let mut given = if body.is_empty() { Map::new() } else { object(body)? };
    let value = take_value(&mut given, now)?;
    let most = bounds::KEY_GRACE_MAX.as_secs();
    let grace = match given.remove("grace_seconds") {
        None => GRACE,
        Some(seconds) => {
            let seconds = whole_number(&seconds).filter(|seconds| *seconds <= most);
            let why = format!("it is not a number of seconds from 0 to {most}");
            Duration::from_secs(seconds.ok_or_else(|| wrong("/grace_seconds", &why))?)
        }
    };
    match given.keys().next() {
        Some(field) => Err(unknown_field(field)),
        None => Ok(Rotation { value, grace }),
    }
}

/// A body that is a JSON object.
///
/// # Errors
/// The page that says that it is not.
pub fn object(body: &[u8]) -> Result<Map<String, Value>, Page> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(wrong("", "the body is not an object")),
        Err(error) => Err(wrong("", &format!("the body is not JSON: {error}"))),
    }
}

/// What is said of a refusal of the store's.
#[must_use]
pub fn refused(why: &Refused) -> Page {
    let detail = why.to_string();
    match why {
        Refused::Unknown(_) => Problem::NotFound.page(detail),
        Refused::Exists(_) => Problem::Exists.page(detail),
        Refused::Configured(..) | Refused::Nowhere | Refused::Conflict(_) => {
            Problem::Conflict.page(detail)
        }
        Refused::Changed => Problem::Changed.page(detail),
        Refused::Wrong(error) => wrong(&format!("/{}", error.field.replace('.', "/")), &detail),
        Refused::Invalid(field, why) => wrong(&format!("/{}", field.replace('.', "/")), why),
        Refused::Store(error) => {
            tracing::error!(%error, "the store refused a change");
            Problem::Unavailable.page(detail)
        }
    }
}

/// What of a key can be written, as it is.
fn written(record: &KeyRecord) -> Map<String, Value> {
    let value = json!({
        "enabled": record.enabled,
        "expires": record.expires.map(|seconds| Moment { seconds }.to_string()),
        "owner": record.owner,
        "tags": record.tags,
        "plans": record.plans,
        "allow": lists_of(&record.allow),
    });
    let Value::Object(object) = value else { unreachable!("it is written as one") };
    object
}

fn read_expiry(text: &str) -> Option<u64> {
    Moment::parse(text).map(|moment| moment.seconds).filter(|at| *at <= EXPIRES_MAX)
}

/// Puts what was written into the record.
fn put(record: &mut KeyRecord, written: Map<String, Value>) -> Result<(), Refused> {
    let is_no_object = |field: &&str| written.get(*field).is_some_and(|v| !v.is_object());
    if let Some(field) = ["allow", "tags"].into_iter().find(is_no_object) {
        // Serde would take a list for an object.
        return Err(Refused::Invalid(field.to_owned(), "it is not an object".to_owned()));
    }
    let fields: Fields = serde_json::from_value(Value::Object(written))
        .map_err(|error| Refused::Invalid(String::new(), error.to_string()))?;
    let expires = match &fields.expires {
        None => None,
        Some(text) => Some(read_expiry(text).ok_or_else(|| {
            let why = "it is not a time such as \"2027-01-31T00:00:00Z\", from 1970 to 2106";
            Refused::Invalid("expires".to_owned(), why.to_owned())
        })?),
    };
    let texts = fields.tags.iter().flat_map(|(name, value)| [("tags", name), ("tags", value)]);
    for (field, text) in texts.chain([("owner", &fields.owner)]) {
        if text.chars().count() > TEXT_CHARS_MAX {
            let why = format!("more than {TEXT_CHARS_MAX} characters");
            return Err(Refused::Invalid(field.to_owned(), why));
        }
    }
    let networks = fields.allow.networks.iter().map(|text| {
        Network::parse(text).ok_or_else(|| {
            let why = format!("{text:?} is neither an address nor a network without host bits");
            Refused::Invalid("allow.networks".to_owned(), why)
        })
    });
    let networks = networks.collect::<Result<_, _>>()?;
    let models = fields.allow.models.iter().map(|text| {
        ModelPattern::parse(text).ok_or_else(|| {
            let why = format!("{text:?} is not the name of a model, perhaps with a `*` at its end");
            Refused::Invalid("allow.models".to_owned(), why)
        })
    });
    let models = models.collect::<Result<_, _>>()?;
    let AllowFields { apis, versions, routes, .. } = fields.allow;
    record.enabled = fields.enabled;
    record.expires = expires;
    record.owner = fields.owner;
    record.tags = fields.tags;
    record.plans = fields.plans;
    record.allow = Allow { apis, versions, routes, networks, models };
    Ok(())
}

/// RFC 7396 section 2.
fn merge(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (field, value) in patch {
        match value {
            Value::Null => drop(target.remove(field)),
            Value::Object(inner) => {
                let below = target.entry(field.clone()).or_insert_with(|| json!({}));
                if !below.is_object() {
                    *below = json!({});
                }
                merge(below.as_object_mut().expect("it is one now"), inner);
            }
            value => drop(target.insert(field.clone(), value.clone())),
        }
    }
}

/// The value a caller chose: a secret, or the digest of one.
fn take_value(given: &mut Map<String, Value>, now: Wall) -> Result<Option<KeyValue>, Page> {
    match (given.remove("secret"), given.remove("digest")) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(wrong("/secret", "write it or its digest, not both")),
        (Some(Value::String(text)), None) => match Secret::chosen(&text) {
            Ok(secret) => Ok(Some(value_of(&secret, now))),
            Err(why) => Err(wrong("/secret", why)),
        },
        (None, Some(Value::String(text))) => match Digest::parse(&text) {
            Ok(digest) => Ok(Some(KeyValue {
                digest,
                shown: String::new(),
                created: now.seconds(),
                not_after: None,
            })),
            Err(why) => Err(wrong("/digest", why)),
        },
        (Some(_), None) => Err(wrong("/secret", "it is not a text")),
        (None, Some(_)) => Err(wrong("/digest", "it is not a text")),
    }
}

/// JSON Schema's integers may be written `1.0`.
fn whole_number(value: &Value) -> Option<u64> {
    if let Some(number) = value.as_u64() {
        return Some(number);
    }
    let number = value.as_f64().filter(|n| n.fract() == 0.0 && (0.0..1e15).contains(n))?;
    format!("{number:.0}").parse().ok()
}

fn meets(key: &Value, query: &Query) -> bool {
    let is = |wanted: &Option<String>, value: &Value| {
        wanted.as_ref().is_none_or(|wanted| value == wanted.as_str())
    };
    let has_plan = |plan: &String| {
        key["plans"].as_array().is_some_and(|plans| plans.iter().any(|p| p == plan.as_str()))
    };
    let has_tag = |tag: &String| match tag.split_once('=') {
        Some((name, value)) => key["tags"].get(name).is_some_and(|tag| tag == value),
        None => key["tags"].get(tag).is_some(),
    };
    is(&query.owner, &key["owner"])
        && is(&query.state, &key["state"])
        && query.plan.as_ref().is_none_or(has_plan)
        && query.tag.as_ref().is_none_or(has_tag)
}

fn unknown_field(field: &str) -> Page {
    wrong("", &format!("there is no field {field:?} here"))
}

fn wrong(pointer: &str, why: &str) -> Page {
    let errors = [json!({ "pointer": pointer, "detail": why })];
    let place = if pointer.is_empty() { String::new() } else { format!("{pointer}: ") };
    Problem::Invalid.page_with(format!("{place}{why}."), &errors)
}
