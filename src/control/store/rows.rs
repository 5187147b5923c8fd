//! Keys as rows: read whole at the start, read and written one by one afterwards.
//!
//! Knows no rule about keys; what it writes has been checked. Lists that are empty are empty texts,
//! for a million rows are read in one pass.

use rusqlite::{Connection, Row, Rows, params};

use crate::auth::keys::{Digest, KeyRecord, KeyValue, Origin};

const OF_KEYS: &str = "SELECT k.name, k.enabled, k.expires, k.owner, k.tags, k.plans, k.allow, \
                       k.created, v.digest, v.shown, v.created, v.not_after \
                       FROM keys k LEFT JOIN key_values v ON v.key = k.name";

/// All keys in the order of their names, one after the other; an error ends them and stands in
/// `failed`.
pub fn each<'r>(
    mut rows: Rows<'r>,
    failed: &'r mut Option<rusqlite::Error>,
) -> impl Iterator<Item = KeyRecord> + 'r {
    let mut ahead: Option<KeyRecord> = None;
    std::iter::from_fn(move || {
        loop {
            let row = match rows.next() {
                Ok(Some(row)) => row,
                Ok(None) => return ahead.take(),
                Err(error) => {
                    *failed = Some(error);
                    return None;
                }
            };
            match take(row, &mut ahead) {
                Ok(None) => {}
                Ok(Some(whole)) => return Some(whole),
                Err(error) => {
                    *failed = Some(error);
                    return None;
                }
            }
        }
    })
}

/// The text of the statement whose rows [`each`] takes.
pub fn all() -> String {
    format!("{OF_KEYS} ORDER BY k.name, v.nth")
}

/// The key of this name.
pub fn get(conn: &Connection, name: &str) -> rusqlite::Result<Option<KeyRecord>> {
    let text = format!("{OF_KEYS} WHERE k.name = ?1 ORDER BY v.nth");
    let mut statement = conn.prepare(&text)?;
    let mut failed = None;
    let found = each(statement.query([name])?, &mut failed).next();
    failed.map_or(Ok(found), Err)
}

/// Writes a key, in place of the one of its name.
pub fn put(conn: &Connection, record: &KeyRecord) -> rusqlite::Result<()> {
    conn.execute("DELETE FROM key_values WHERE key = ?1", [&record.name])?;
    conn.execute(
        "INSERT INTO keys (name, enabled, expires, owner, tags, plans, allow, created) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (name) DO UPDATE SET \
         enabled = ?2, expires = ?3, owner = ?4, tags = ?5, plans = ?6, allow = ?7, created = ?8",
        params![
            record.name,
            record.enabled,
            record.expires,
            record.owner,
            json(record.tags.is_empty(), &record.tags),
            json(record.plans.is_empty(), &record.plans),
            json(record.allow.is_everything(), &record.allow),
            record.created,
        ],
    )?;
    for (nth, value) in record.values.iter().enumerate() {
        conn.execute(
            "INSERT INTO key_values (key, nth, digest, shown, created, not_after) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                record.name,
                nth,
                value.digest.0.as_slice(),
                value.shown,
                value.created,
                value.not_after
            ],
        )?;
    }
    Ok(())
}

/// Takes a key out.
pub fn delete(conn: &Connection, name: &str) -> rusqlite::Result<()> {
    conn.execute("DELETE FROM keys WHERE name = ?1", [name]).map(|_| ())
}

/// The number of the last change.
pub fn last_change(conn: &Connection) -> rusqlite::Result<i64> {
    conn.query_row("SELECT coalesce(max(id), 0) FROM changes", [], |row| row.get(0))
}

/// The names of keys changed after a change; `None` if nobody remembers that far back.
pub fn changed_since(conn: &Connection, seen: i64) -> rusqlite::Result<Option<Vec<String>>> {
    let first = "SELECT coalesce(min(id), 0) FROM changes";
    let first: i64 = conn.query_row(first, [], |row| row.get(0))?;
    if first > seen + 1 {
        return Ok(None);
    }
    let mut statement = conn.prepare("SELECT DISTINCT name FROM changes WHERE id > ?1")?;
    let names = statement.query_map([seen], |row| row.get(0))?;
    names.collect::<rusqlite::Result<_>>().map(Some)
}

/// Adds a row to the key it belongs to; gives the key before it, which is whole now.
fn take(row: &Row<'_>, ahead: &mut Option<KeyRecord>) -> rusqlite::Result<Option<KeyRecord>> {
    let name = row.get_ref(0)?.as_str()?;
    let mut whole = None;
    if ahead.as_ref().is_none_or(|record| record.name != name) {
        whole = ahead.take();
        let mut record = KeyRecord::new(name, Origin::Store);
        record.enabled = row.get(1)?;
        record.expires = row.get(2)?;
        record.owner = row.get(3)?;
        record.tags = parsed(row, 4)?;
        record.plans = parsed(row, 5)?;
        record.allow = parsed(row, 6)?;
        record.created = row.get(7)?;
        *ahead = Some(record);
    }
    let record = ahead.as_mut().expect("it was just put there, if it was not there");
    if let Some(digest) = row.get::<_, Option<[u8; 32]>>(8)? {
        record.values.push(KeyValue {
            digest: Digest(digest),
            shown: row.get(9)?,
            created: row.get(10)?,
            not_after: row.get(11)?,
        });
    }
    Ok(whole)
}

fn parsed<T: Default + serde::de::DeserializeOwned>(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    if text.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_str(text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(
            column,
            rusqlite::types::Type::Text,
            Box::new(error),
        )
    })
}

fn json(is_empty: bool, value: &impl serde::Serialize) -> String {
    match is_empty {
        true => String::new(),
        false => serde_json::to_string(value).expect("lists and texts are JSON"),
    }
}
