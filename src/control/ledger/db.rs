//! `usage.db`: its form, and how entries are put into it and taken out when they are old.
//!
//! One table an operator can query with SQL. Its key is the time an entry's request ended, in Unix
//! nanoseconds, made unique: rows lie in the order of time, an insert is an append, and a report
//! over a period reads that period only, all without a second index. Money is an integer of 10^-12
//! USD. Invariant: a batch is in it wholly or not at all.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, OpenFlags, Statement, TransactionBehavior, params};

use crate::bounds::{LEDGER_MEMORY_ROWS, LEDGER_PRUNE_MAX, STORE_LOCKED};
use crate::clock::Wall;
use crate::control::store::{Db, Shape, StoreError};
use crate::llm::Entry;

/// The file in the state directory.
pub const FILE: &str = "usage.db";

/// What it is.
const USAGE: Shape = Shape { file: FILE, application: APPLICATION, forms: FORMS };

/// Marks the file as ours: "RWUS".
const APPLICATION: i64 = 0x5257_5553;

const FORMS: &[&str] = &["
    CREATE TABLE usage (
        time_ns        INTEGER PRIMARY KEY NOT NULL,
        request_id     TEXT NOT NULL,
        key            TEXT NOT NULL,
        team           TEXT NOT NULL,
        api            TEXT NOT NULL,
        operation      TEXT NOT NULL,
        model          TEXT NOT NULL,
        provider       TEXT NOT NULL,
        served         TEXT NOT NULL,
        outcome        TEXT NOT NULL,
        status         INTEGER NOT NULL,
        stream         INTEGER NOT NULL,
        estimated      INTEGER NOT NULL,
        attempts       INTEGER NOT NULL,
        input          INTEGER NOT NULL,
        cached         INTEGER NOT NULL,
        cache_write    INTEGER NOT NULL,
        output         INTEGER NOT NULL,
        reasoning      INTEGER NOT NULL,
        cost_pico_usd  INTEGER NOT NULL,
        total_us       INTEGER NOT NULL,
        first_token_us INTEGER
    ) STRICT;
"];

const INSERT: &str = "INSERT INTO usage (time_ns, request_id, key, team, api, operation, model, \
    provider, served, outcome, status, stream, estimated, attempts, input, cached, cache_write, \
    output, reasoning, cost_pico_usd, total_us, first_token_us) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, \
    ?20, ?21, ?22)";

/// Times this near to the one before are moved behind it; what is further back comes from a clock
/// that was set back, and stays.
const NEAR_NS: i64 = 1_000_000_000;
/// Entries of another process at the very same nanoseconds.
const CLASHES_MAX: u32 = 10_000;

/// The open ledger.
pub struct Usage {
    db: Db,
    /// Whether what is written here outlives the process.
    keeps: bool,
    /// The time of the row written last.
    last_ns: i64,
}

// === impl Usage ===

impl Usage {
    /// Opens the ledger of a state directory; without one, a ledger in memory.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub fn open(dir: Option<&Path>) -> Result<Usage, StoreError> {
        let db = dir.map_or_else(|| Db::in_memory(&USAGE), |dir| Db::open(dir, &USAGE))?;
        Ok(Usage { db, keeps: dir.is_some(), last_ns: -1 })
    }

    /// Whether it outlives the process.
    #[must_use]
    pub fn keeps(&self) -> bool {
        self.keeps
    }

    /// Writes a batch, all of it or nothing.
    ///
    /// # Errors
    /// When it is not written.
    pub fn write(&mut self, batch: &[Entry<'_>]) -> Result<(), StoreError> {
        let before = self.last_ns;
        let written = self.try_write(batch);
        if written.is_err() {
            self.last_ns = before;
        }
        written.map_err(|error| self.db.error(error))
    }

    fn try_write(&mut self, batch: &[Entry<'_>]) -> rusqlite::Result<()> {
        let behavior = TransactionBehavior::Immediate;
        let all = self.db.conn.transaction_with_behavior(behavior)?;
        {
            let mut insert = all.prepare(INSERT)?;
            for entry in batch {
                self.last_ns = put(&mut insert, entry, self.last_ns)?;
            }
        }
        all.commit()
    }

    /// Takes out some of what is older than `oldest`, or too much for memory; whether there may be
    /// more.
    ///
    /// # Errors
    /// When it cannot be done.
    pub fn prune(&mut self, oldest: Wall) -> Result<bool, StoreError> {
        self.try_prune(integer(oldest.0)).map_err(|error| self.db.error(error))
    }

    fn try_prune(&mut self, oldest_ns: i64) -> rusqlite::Result<bool> {
        let conn = &self.db.conn;
        let mut oldest_ns = oldest_ns;
        if !self.keeps {
            let surplus = "SELECT coalesce(max(time_ns) + 1, 0) FROM (SELECT time_ns FROM usage \
                           ORDER BY time_ns DESC LIMIT 1 OFFSET ?1)";
            let first: i64 =
                conn.prepare(surplus)?.query_row([LEDGER_MEMORY_ROWS], |row| row.get(0))?;
            oldest_ns = oldest_ns.max(first);
        }
        // A step at a time: entries that come meanwhile wait for this.
        let step = "DELETE FROM usage WHERE time_ns < min(?1, coalesce((SELECT time_ns FROM usage \
                    ORDER BY time_ns LIMIT 1 OFFSET ?2), ?1))";
        let gone = conn.prepare(step)?.execute(params![oldest_ns, LEDGER_PRUNE_MAX])?;
        Ok(gone > 0)
    }

    /// For reading.
    #[must_use]
    pub fn conn(&self) -> &Connection {
        &self.db.conn
    }
}

/// Opens the ledger of a state directory to read in it, also while others write.
///
/// # Errors
/// When it is not there, or not a ledger this version can read.
pub fn open_to_read(dir: &Path) -> Result<Connection, StoreError> {
    let path = dir.join(FILE);
    let of = |error| StoreError::of(&path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(&path, flags).map_err(of)?;
    conn.busy_timeout(STORE_LOCKED).map_err(of)?;
    let number = |name| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let application = number("application_id").map_err(of)?;
    let form = number("user_version").map_err(of)?;
    if application != APPLICATION || form != i64::try_from(FORMS.len()).unwrap_or(0) {
        let why = format!("it is no usage ledger that this version knows (form {form})");
        return Err(StoreError::Foreign(path, why));
    }
    Ok(conn)
}

/// Puts an entry behind the one at `last_ns`; the time it got.
fn put(insert: &mut Statement<'_>, entry: &Entry<'_>, last_ns: i64) -> rusqlite::Result<i64> {
    let mut time_ns = integer(entry.time.0);
    if time_ns <= last_ns && last_ns - time_ns < NEAR_NS {
        time_ns = last_ns + 1;
    }
    let usage = &entry.usage;
    let request_id = String::from_utf8_lossy(entry.request_id);
    let mut clashes = 0;
    loop {
        let done = insert.execute(params![
            time_ns,
            request_id,
            entry.key,
            entry.team,
            entry.api,
            entry.operation,
            entry.model,
            entry.provider,
            entry.served,
            entry.outcome,
            entry.status,
            entry.stream,
            entry.estimated,
            entry.attempts,
            integer(usage.input),
            integer(usage.cached),
            integer(usage.cache_write),
            integer(usage.output),
            integer(usage.reasoning),
            integer(entry.cost_pico),
            integer(entry.total_us),
            entry.first_token_us.map(integer),
        ]);
        match done {
            Ok(_) => return Ok(time_ns),
            // Another process has an entry of that nanosecond.
            Err(error) if is_clash(&error) && clashes < CLASHES_MAX => {
                clashes += 1;
                time_ns += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

fn is_clash(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
}

/// SQLite's integers have a sign. No true number comes near to the bound.
fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
