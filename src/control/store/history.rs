//! What happened: the audit trail of changes, and the reloads.
//!
//! Both are bounded: the oldest go when there are too many. No secret comes here, nor a digest.

use rusqlite::{Connection, params};
use serde_json::{Value, json};

use crate::bounds;
use crate::clock::Wall;
use crate::config::Moment;

/// One change, as it is written down.
pub struct Entry<'a> {
    pub at: Wall,
    pub who: &'a str,
    /// Such as `key.create`.
    pub action: &'a str,
    /// Such as `keys/acme`.
    pub object: &'a str,
    pub before: Option<&'a Value>,
    pub after: Option<&'a Value>,
}

/// One reload, applied or refused; the start counts as the first.
#[derive(Clone, Debug)]
pub struct ReloadSeen {
    pub at: Wall,
    /// In force afterwards.
    pub generation: u64,
    pub applied: bool,
    /// `start`, `signal`, or who asked for it.
    pub cause: String,
    pub changes: Vec<String>,
    pub error: Option<String>,
}

/// Writes a change down.
pub fn note(conn: &Connection, entry: &Entry<'_>) -> rusqlite::Result<()> {
    let text = |value: Option<&Value>| value.map(Value::to_string);
    conn.execute(
        "INSERT INTO audit (at_ms, who, action, object, before, after) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            millis(entry.at),
            entry.who,
            entry.action,
            entry.object,
            text(entry.before),
            text(entry.after)
        ],
    )?;
    trim(conn, "audit", bounds::STORE_AUDIT_MAX)?;
    trim(conn, "changes", bounds::STORE_CHANGES_MAX)
}

/// Writes a reload down.
pub fn note_reload(conn: &Connection, reload: &ReloadSeen) -> rusqlite::Result<()> {
    conn.execute(
        "INSERT INTO reloads (at_ms, generation, outcome, cause, changes, error) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            millis(reload.at),
            reload.generation,
            if reload.applied { "applied" } else { "refused" },
            reload.cause,
            json!(reload.changes).to_string(),
            reload.error
        ],
    )?;
    trim(conn, "reloads", bounds::STORE_RELOADS_MAX)
}

/// The newest changes first, from the one before `before` on; of one object if it is named.
pub fn audit(
    conn: &Connection,
    before: i64,
    object: Option<&str>,
    count: usize,
) -> rusqlite::Result<Vec<Value>> {
    let mut statement = conn.prepare(
        "SELECT id, at_ms, who, action, object, before, after FROM audit \
         WHERE id < ?1 AND (?2 IS NULL OR object = ?2) ORDER BY id DESC LIMIT ?3",
    )?;
    let rows = statement.query_map(params![before, object, count], |row| {
        let value = |text: Option<String>| -> Value {
            text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
        };
        Ok(json!({
            "id": row.get::<_, i64>(0)?,
            "at": at(row.get(1)?),
            "who": row.get::<_, String>(2)?,
            "action": row.get::<_, String>(3)?,
            "object": row.get::<_, String>(4)?,
            "before": value(row.get(5)?),
            "after": value(row.get(6)?),
        }))
    })?;
    rows.collect()
}

/// The newest reloads first, from the one before `before` on.
pub fn reloads(conn: &Connection, before: i64, count: usize) -> rusqlite::Result<Vec<Value>> {
    let mut statement = conn.prepare(
        "SELECT id, at_ms, generation, outcome, cause, changes, error FROM reloads \
         WHERE id < ?1 ORDER BY id DESC LIMIT ?2",
    )?;
    let rows = statement.query_map(params![before, count], |row| {
        let changes: String = row.get(5)?;
        Ok(json!({
            "id": row.get::<_, i64>(0)?,
            "at": at(row.get(1)?),
            "generation": row.get::<_, i64>(2)?,
            "outcome": row.get::<_, String>(3)?,
            "cause": row.get::<_, String>(4)?,
            "changes": serde_json::from_str::<Value>(&changes).unwrap_or_default(),
            "error": row.get::<_, Option<String>>(6)?,
        }))
    })?;
    rows.collect()
}

fn trim(conn: &Connection, table: &str, most: u64) -> rusqlite::Result<()> {
    let text = format!("DELETE FROM {table} WHERE id <= (SELECT max(id) FROM {table}) - ?1");
    conn.execute(&text, [most]).map(|_| ())
}

fn millis(at: Wall) -> u64 {
    at.0 / 1_000_000
}

fn at(millis: u64) -> String {
    Moment { seconds: millis / 1_000 }.to_string()
}
