//! What outlives the process: API keys made at run time, the audit trail, the history of reloads.
//!
//! Owns the database and, with it, the store's half of the key table: a write is committed first
//! and then published, so what a caller was told outlives a kill. Several processes may have one
//! store open (a binary upgrade, `ringway keys`): each picks up the others' changes. Never on a
//! worker. Invariant: every change of a key stands in the audit trail, in the same transaction.

mod clerk;
mod db;
mod history;
mod keys;
mod rows;

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Transaction, TransactionBehavior};
use serde_json::Value;

use crate::auth::keys::{Clash, KeyRecord, KeyTable};
use crate::clock::Wall;

pub use clerk::Clerk;
pub use db::StoreError;
pub use history::ReloadSeen;
pub use keys::{Made, Refused, lists_of, tag_of, value_of, view};

pub(super) use db::{Db, Shape};

use db::STORE;

/// The store; one thread's.
pub struct Store {
    db: Db,
    table: Arc<KeyTable>,
    /// Whether what is written here outlives the process.
    keeps: bool,
    /// What other processes have done is known up to here.
    seen_version: i64,
    seen_change: i64,
}

/// Who asks for a change, for the audit trail, and when.
#[derive(Clone, Debug)]
pub struct By {
    pub who: String,
    pub at: Wall,
}

// === impl Store ===

impl Store {
    /// Opens the store of a state directory and puts its keys into the table; without a directory,
    /// a history that ends with the process.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub fn open(dir: Option<&Path>, table: Arc<KeyTable>) -> Result<Store, StoreError> {
        let db = dir.map_or_else(|| Db::in_memory(&STORE), |dir| Db::open(dir, &STORE))?;
        let mut store = Store { db, table, keeps: dir.is_some(), seen_version: 0, seen_change: 0 };
        store.load()?;
        Ok(store)
    }

    /// Whether there is a state directory, so that keys can be kept.
    #[must_use]
    pub fn keeps(&self) -> bool {
        self.keeps
    }

    /// All keys, whoever has them.
    #[must_use]
    pub fn table(&self) -> &KeyTable {
        &self.table
    }

    /// Puts all keys of the database into the table.
    fn load(&mut self) -> Result<(), StoreError> {
        self.seen_version = self.db.version()?;
        self.seen_change = self.sql(rows::last_change)?;
        if let Err(clashes) = self.load_without(&[])? {
            // The configuration's keys hold: they are what the operator wrote last, by hand.
            let left_out: Vec<String> = clashes.iter().flat_map(names).collect();
            for clash in &clashes {
                tracing::error!("{clash}; the store's is left out until that is mended");
            }
            if let Err(clashes) = self.load_without(&left_out)? {
                let first = clashes.first().map(ToString::to_string).unwrap_or_default();
                tracing::error!(first, "no key of the store is loaded");
            }
        }
        Ok(())
    }

    fn load_without(&self, left_out: &[String]) -> Result<Result<(), Vec<Clash>>, StoreError> {
        let mut failed = None;
        let loaded = self.sql(|conn| {
            let mut statement = conn.prepare(&rows::all())?;
            let all = rows::each(statement.query([])?, &mut failed);
            let good = all.filter(|record| !left_out.contains(&record.name) && is_good(record));
            Ok(self.table.load(good))
        })?;
        failed.map_or(Ok(loaded), |error| Err(self.db.error(error)))
    }

    /// Picks up what other processes have changed since the last time; says how many keys.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn catch_up(&mut self) -> Result<usize, StoreError> {
        let version = self.db.version()?;
        if version == self.seen_version {
            return Ok(0);
        }
        let last = self.sql(rows::last_change)?;
        let seen = self.seen_change;
        let Some(names) = self.sql(|conn| rows::changed_since(conn, seen))? else {
            self.load()?;
            return Ok(self.table.len());
        };
        for name in &names {
            let record = self.sql(|conn| rows::get(conn, name))?;
            self.publish(name, record.as_ref());
        }
        self.seen_version = version;
        self.seen_change = last;
        Ok(names.len())
    }

    /// Makes a key of the database what the workers see.
    fn publish(&self, name: &str, record: Option<&KeyRecord>) {
        let done = match record {
            Some(record) if !is_good(record) => return,
            Some(record) => self.table.put(record).map(|_| ()).map_err(|clash| clash.to_string()),
            None => match self.table.remove(name) {
                // The configuration has taken the name over.
                Ok(_) | Err(_) => Ok(()),
            },
        };
        if let Err(error) = done {
            tracing::error!(key = name, error, "a key of the store is not in force");
        }
    }

    /// Writes a reload down.
    ///
    /// # Errors
    /// When the database cannot be written to.
    pub fn note_reload(&mut self, reload: &ReloadSeen) -> Result<(), StoreError> {
        self.sql(|conn| history::note_reload(conn, reload))
    }

    /// Writes down what somebody did that is no change of a key.
    ///
    /// # Errors
    /// When the database cannot be written to.
    pub fn note(&mut self, by: &By, action: &str, object: &str) -> Result<(), StoreError> {
        let (at, who) = (by.at, by.who.as_str());
        let entry = history::Entry { at, who, action, object, before: None, after: None };
        self.sql(|conn| history::note(conn, &entry))
    }

    /// The audit trail, the newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn audit(
        &self,
        before: Option<i64>,
        object: Option<&str>,
        count: usize,
    ) -> Result<Vec<Value>, StoreError> {
        self.sql(|conn| history::audit(conn, before.unwrap_or(i64::MAX), object, count))
    }

    /// The reloads, the newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn reloads(&self, before: Option<i64>, count: usize) -> Result<Vec<Value>, StoreError> {
        self.sql(|conn| history::reloads(conn, before.unwrap_or(i64::MAX), count))
    }

    fn begin(&mut self) -> Result<Transaction<'_>, StoreError> {
        let path = &self.db.path;
        let begun = self.db.conn.transaction_with_behavior(TransactionBehavior::Immediate);
        begun.map_err(|error| StoreError::of(path, error))
    }

    fn sql<T>(
        &self,
        ask: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        ask(&self.db.conn).map_err(|error| self.db.error(error))
    }
}

/// A record that somebody has spoilt by hand is left out, and said.
fn is_good(record: &KeyRecord) -> bool {
    match record.check() {
        Ok(()) => true,
        Err(wrong) => {
            tracing::error!(key = record.name, %wrong, "a key of the store is not usable");
            false
        }
    }
}

/// The names of the store's keys in a clash.
fn names(clash: &Clash) -> Vec<String> {
    use crate::auth::keys::Origin;
    let both = [(&clash.name, &clash.origin), (&clash.other, &clash.other_origin)];
    let of_store = both.into_iter().filter(|(_, origin)| **origin == Origin::Store);
    of_store.map(|(name, _)| name.clone()).collect()
}

#[cfg(test)]
mod tests;
