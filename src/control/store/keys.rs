//! Keys of the store: made, changed, rotated, taken out; and how a key is shown.
//!
//! Each is one transaction with its line of the audit trail, and is published after the commit.
//! What is shown of a value is its beginning; neither a secret nor a digest leaves this room.

use std::time::Duration;

use aws_lc_rs::{digest, rand};
use serde_json::{Value, json};

use super::{By, Store, StoreError, history, rows};
use crate::auth::keys::{
    Allow, Digest, KeyRecord, KeyTable, KeyValue, Origin, RANDOM_BYTES, Secret, Wrong,
};
use crate::bounds;
use crate::clock::Wall;
use crate::config::Moment;

/// A key with the secret that was made for it: the only time it is seen.
pub struct Made {
    pub record: KeyRecord,
    /// `None`: the caller chose it, or gave its digest only.
    pub secret: Option<Secret>,
}

/// Why a key is not made or changed.
#[derive(Debug)]
pub enum Refused {
    /// There is no key of this name.
    Unknown(String),
    /// There is a key of this name, or of this value.
    Exists(String),
    /// The key is the configuration's, written at this place.
    Configured(String, String),
    /// It is not what the caller thinks it is.
    Changed,
    /// There is no state directory to keep it in.
    Nowhere,
    Wrong(Wrong),
    /// A field that could not be read, and why.
    Invalid(String, String),
    /// All that can be said in one sentence.
    Conflict(String),
    Store(StoreError),
}

// === impl Store ===

impl Store {
    /// Adds a key. Without a value it gets a new secret.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn create(&mut self, mut record: KeyRecord, by: &By) -> Result<Made, Refused> {
        self.may_keep()?;
        let mut secret = None;
        record.created = by.at.seconds();
        if record.values.is_empty() {
            let made = new_secret()?;
            record.values.push(value_of(&made, by.at));
            secret = Some(made);
        }
        record.check().map_err(Refused::Wrong)?;
        if let Some(key) = self.table.get(&record.name) {
            return Err(exists(&record.name, &key.origin()));
        }
        check_values(&self.table, &record)?;
        let all = self.begin()?;
        if sql(&all, |conn| rows::get(conn, &record.name))?.is_some() {
            return Err(exists(&record.name, &Origin::Store));
        }
        sql(&all, |conn| rows::put(conn, &record))?;
        let after = view(&record, by.at);
        note(&all, by, "key.create", &record.name, None, Some(&after))?;
        commit(all)?;
        self.publish(&record.name, Some(&record));
        Ok(Made { record, secret })
    }

    /// Changes a key by `edit`; only if it still is what `tag` says, where that is given.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn change(
        &mut self,
        name: &str,
        tag: Option<&str>,
        by: &By,
        edit: impl FnOnce(&mut KeyRecord) -> Result<(), Refused>,
    ) -> Result<KeyRecord, Refused> {
        self.edit(name, tag, by, "key.change", |record| edit(record).map(|()| None))
            .map(|made| made.record)
    }

    /// Gives a key a new value; the old ones hold on for `grace`.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn rotate(
        &mut self,
        name: &str,
        tag: Option<&str>,
        by: &By,
        value: Option<KeyValue>,
        grace: Duration,
    ) -> Result<Made, Refused> {
        let now = by.at.seconds();
        self.edit(name, tag, by, "key.rotate", |record| {
            let same = |old: &KeyValue| value.as_ref().is_some_and(|v| v.digest == old.digest);
            if record.values.iter().any(same) {
                return Err(Refused::Exists("the key has this value already".to_owned()));
            }
            let until = now.saturating_add(grace.as_secs());
            record.values.retain_mut(|value| {
                let end = value.not_after.map_or(until, |earlier| earlier.min(until));
                value.not_after = Some(end);
                end > now
            });
            // The newest stay: who rotates that often has no use for the oldest.
            let most = bounds::KEY_VALUES_MAX - 1;
            record.values.truncate(most);
            let (value, secret) = match value {
                Some(value) => (value, None),
                None => {
                    let made = new_secret()?;
                    (value_of(&made, by.at), Some(made))
                }
            };
            record.values.insert(0, value);
            Ok(secret)
        })
    }

    /// Takes a key out.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn delete(&mut self, name: &str, tag: Option<&str>, by: &By) -> Result<(), Refused> {
        self.may_change(name)?;
        let all = self.begin()?;
        let record = sql(&all, |conn| rows::get(conn, name))?;
        let record = record.ok_or_else(|| Refused::Unknown(name.to_owned()))?;
        if tag.is_some_and(|tag| tag != tag_of(&record)) {
            return Err(Refused::Changed);
        }
        sql(&all, |conn| rows::delete(conn, name))?;
        note(&all, by, "key.delete", name, Some(&view(&record, by.at)), None)?;
        commit(all)?;
        self.publish(name, None);
        Ok(())
    }

    fn edit(
        &mut self,
        name: &str,
        tag: Option<&str>,
        by: &By,
        action: &str,
        edit: impl FnOnce(&mut KeyRecord) -> Result<Option<Secret>, Refused>,
    ) -> Result<Made, Refused> {
        self.may_change(name)?;
        let table = self.table.clone();
        let all = self.begin()?;
        // What is in the database holds: another process may have changed it a moment ago.
        let old = sql(&all, |conn| rows::get(conn, name))?;
        let old = old.ok_or_else(|| Refused::Unknown(name.to_owned()))?;
        let mut record = old.clone();
        let secret = edit(&mut record)?;
        record.check().map_err(Refused::Wrong)?;
        // What is wrong whatever the key is comes first (RFC 9110 section 13.2.1).
        if tag.is_some_and(|tag| tag != tag_of(&old)) {
            return Err(Refused::Changed);
        }
        if record == old {
            return Ok(Made { record, secret });
        }
        check_values(&table, &record)?;
        sql(&all, |conn| rows::put(conn, &record))?;
        let (before, after) = (view(&old, by.at), view(&record, by.at));
        note(&all, by, action, name, Some(&before), Some(&after))?;
        commit(all)?;
        self.publish(name, Some(&record));
        Ok(Made { record, secret })
    }

    fn may_keep(&self) -> Result<(), Refused> {
        if self.keeps { Ok(()) } else { Err(Refused::Nowhere) }
    }

    fn may_change(&self, name: &str) -> Result<(), Refused> {
        match self.table.get(name).map(|key| key.origin()) {
            Some(Origin::Config(place)) => {
                Err(Refused::Configured(name.to_owned(), place.to_string()))
            }
            _ if !self.keeps => Err(Refused::Unknown(name.to_owned())),
            _ => Ok(()),
        }
    }
}

fn shown(seconds: u64) -> String {
    Moment { seconds }.to_string()
}

/// What of a key anybody may see.
#[must_use]
pub fn view(record: &KeyRecord, now: Wall) -> Value {
    let at = |seconds: &Option<u64>| seconds.map(shown);
    let made = |seconds: u64| (seconds != 0).then(|| shown(seconds));
    let now = now.seconds();
    let values = record.values.iter().map(|value| {
        json!({
            "shown": value.shown,
            "created": made(value.created),
            "not_after": at(&value.not_after),
        })
    });
    let has_come = |at: &Option<u64>| at.is_some_and(|at| at <= now);
    let state = match record {
        _ if !record.enabled => "disabled",
        _ if has_come(&record.expires) => "expired",
        _ if record.values.iter().all(|value| has_come(&value.not_after)) => "expired",
        _ => "active",
    };
    let (source, place) = match &record.origin {
        Origin::Store => ("store", None),
        Origin::Config(place) => ("config", Some(&**place)),
    };
    json!({
        "name": record.name,
        "state": state,
        "enabled": record.enabled,
        "expires": at(&record.expires),
        "owner": record.owner,
        "tags": record.tags,
        "plans": record.plans,
        "allow": lists_of(&record.allow),
        "created": made(record.created),
        "values": values.collect::<Vec<_>>(),
        "source": source,
        "place": place,
    })
}

/// All lists of where a key is good, the empty ones too.
#[must_use]
pub fn lists_of(allow: &Allow) -> Value {
    let Allow { apis, versions, routes, networks, models } = allow;
    json!({
        "apis": apis, "versions": versions, "routes": routes, "networks": networks,
        "models": models,
    })
}

/// Tells one state of a key from any other: an entity tag (RFC 9110 section 8.8.3).
#[must_use]
pub fn tag_of(record: &KeyRecord) -> String {
    let text = serde_json::to_vec(record).expect("a record is JSON");
    let sum = digest::digest(&digest::SHA256, &text);
    let hex = sum.as_ref()[..12].iter().map(|byte| format!("{byte:02x}"));
    format!("\"{}\"", hex.collect::<String>())
}

/// A value is one key's, also of the configuration's.
fn check_values(table: &KeyTable, record: &KeyRecord) -> Result<(), Refused> {
    let taken = |digest: &Digest| table.holder(digest).filter(|key| key.name() != record.name);
    match record.values.iter().find_map(|value| taken(&value.digest)) {
        Some(other) => Err(Refused::Exists(format!("the key {:?} has this value", other.name()))),
        None => Ok(()),
    }
}

fn exists(name: &str, origin: &Origin) -> Refused {
    Refused::Exists(format!("there is a key {name:?} in {origin}"))
}

fn new_secret() -> Result<Secret, Refused> {
    let mut random = [0; RANDOM_BYTES];
    rand::fill(&mut random)
        .map_err(|_| Refused::Conflict("the system gives no random numbers".to_owned()))?;
    Ok(Secret::generate(&random))
}

/// What is kept of a secret.
pub fn value_of(secret: &Secret, at: Wall) -> KeyValue {
    let (digest, shown) = (secret.digest(), secret.shown().to_owned());
    KeyValue { digest, shown, created: at.seconds(), not_after: None }
}

fn note(
    conn: &rusqlite::Connection,
    by: &By,
    action: &str,
    name: &str,
    before: Option<&Value>,
    after: Option<&Value>,
) -> Result<(), Refused> {
    let object = format!("keys/{name}");
    let (at, who) = (by.at, by.who.as_str());
    let entry = history::Entry { at, who, action, object: &object, before, after };
    sql(conn, |conn| history::note(conn, &entry))
}

fn sql<T>(
    conn: &rusqlite::Connection,
    ask: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T>,
) -> Result<T, Refused> {
    ask(conn).map_err(|error| failed(conn, error))
}

fn commit(all: rusqlite::Transaction<'_>) -> Result<(), Refused> {
    let path = all.path().map(std::path::PathBuf::from).unwrap_or_default();
    all.commit().map_err(|error| Refused::Store(StoreError::of(&path, error)))
}

fn failed(conn: &rusqlite::Connection, error: rusqlite::Error) -> Refused {
    // The digest is the only thing that is unique and not looked for before.
    if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) {
        return Refused::Exists("another key has this value".to_owned());
    }
    let path = conn.path().map(std::path::PathBuf::from).unwrap_or_default();
    Refused::Store(StoreError::of(&path, error))
}

// === impl Refused ===

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Refused {
        Refused::Store(error)
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refused::Unknown(name) => write!(f, "there is no key {name:?}"),
            Refused::Exists(text) | Refused::Conflict(text) => f.write_str(text),
            Refused::Configured(name, place) => {
                write!(
                    f,
                    "the key {name:?} is written in the configuration ({place}): change it there"
                )
            }
            Refused::Changed => f.write_str("the key has been changed meanwhile: read it again"),
            Refused::Nowhere => f.write_str(
                "there is nowhere to keep a key: set gateway.state_dir in the configuration",
            ),
            Refused::Wrong(wrong) => wrong.fmt(f),
            Refused::Invalid(field, why) => write!(f, "{field}: {why}"),
            Refused::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Refused {}
