//! `usage.db`: its form, and how entries are put into it and taken out when they are old.
//!
//! What an operator asks with SQL is the view `usage`, a row an entry. Below it the table `entries`
//! has what is each request's own, and `labels` what many have in common: key, model, outcome and
//! so on. The key of `entries` is the time a request ended, in Unix nanoseconds, made unique: rows
//! lie in the order of time, an insert is an append, and a report over a period reads that period
//! only, all without a second index. Money is an integer of 10^-12 USD. Invariant: a batch is in it
//! wholly or not at all.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior, params};

use super::rows::{DAY_NS, Insert, Labels};
use crate::bounds::{LEDGER_MEMORY_ROWS, LEDGER_PRUNE_MAX, STORE_LOCKED};
use crate::clock::Wall;
use crate::control::store::{Db, Shape, StoreError};
use crate::llm::Line;

/// The file in the state directory.
pub const FILE: &str = "usage.db";

/// What it is.
const USAGE: Shape = Shape { file: FILE, application: APPLICATION, forms: FORMS };

/// Marks the file as ours: "RWUS".
const APPLICATION: i64 = 0x5257_5553;

/// The first form was one table. It stays below the view as `usage_1` with the rows it has, until
/// they are too old: to write millions of them anew would keep a start waiting.
const FORMS: &[&str] = &[TABLE, LABELS];

const TABLE: &str = "
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
";

/// `entries` is neither STRICT nor NOT NULL: both look at each value of each row once more, and
/// nobody but this file writes there. CROSS JOIN: a label is looked up for an entry, whatever is
/// asked, never the entries of a label. A gateway of the form before, that runs on while this one
/// takes over, writes into `usage` as it always did; hence the triggers.
const LABELS: &str = "
    ALTER TABLE usage RENAME TO usage_1;
    CREATE TABLE labels (
        id         INTEGER PRIMARY KEY NOT NULL,
        day        INTEGER NOT NULL,
        key        TEXT NOT NULL,
        team       TEXT NOT NULL,
        api        TEXT NOT NULL,
        operation  TEXT NOT NULL,
        model      TEXT NOT NULL,
        provider   TEXT NOT NULL,
        served     TEXT NOT NULL,
        outcome    TEXT NOT NULL,
        status     INTEGER NOT NULL,
        stream     INTEGER NOT NULL,
        estimated  INTEGER NOT NULL,
        attempts   INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX labels_of_day ON labels (day);
    CREATE TABLE entries (
        time_ns        INTEGER PRIMARY KEY NOT NULL,
        label          INTEGER,
        request_id     TEXT,
        input          INTEGER,
        cached         INTEGER,
        cache_write    INTEGER,
        output         INTEGER,
        reasoning      INTEGER,
        cost_pico_usd  INTEGER,
        total_us       INTEGER,
        first_token_us INTEGER
    );
    CREATE VIEW usage AS
        SELECT time_ns, request_id, key, team, api, operation, model, provider, served, outcome,
            status, stream, estimated, attempts, input, cached, cache_write, output, reasoning,
            cost_pico_usd, total_us, first_token_us
        FROM entries CROSS JOIN labels ON labels.id = entries.label
        UNION ALL
        SELECT time_ns, request_id, key, team, api, operation, model, provider, served, outcome,
            status, stream, estimated, attempts, input, cached, cache_write, output, reasoning,
            cost_pico_usd, total_us, first_token_us
        FROM usage_1;
    CREATE TRIGGER usage_added INSTEAD OF INSERT ON usage BEGIN
        INSERT INTO usage_1 VALUES (new.time_ns, new.request_id, new.key, new.team, new.api,
            new.operation, new.model, new.provider, new.served, new.outcome, new.status, new.stream,
            new.estimated, new.attempts, new.input, new.cached, new.cache_write, new.output,
            new.reasoning, new.cost_pico_usd, new.total_us, new.first_token_us);
    END;
    CREATE TRIGGER usage_removed INSTEAD OF DELETE ON usage BEGIN
        DELETE FROM entries WHERE time_ns = old.time_ns AND request_id = old.request_id;
        DELETE FROM usage_1 WHERE time_ns = old.time_ns AND request_id = old.request_id;
    END;
";

/// Times this near to the one before are moved behind it; what is further back comes from a clock
/// that was set back, and stays.
const NEAR_NS: i64 = 1_000_000_000;
/// Entries of another process at the very same nanoseconds.
const CLASHES_MAX: u32 = 10_000;

/// Entries of one statement: what a statement costs besides its rows is shared by so many.
const AT_ONCE: usize = 16;

/// The open ledger.
pub struct Usage {
    db: Db,
    /// Whether what is written here outlives the process.
    keeps: bool,
}

/// Whoever writes into it: one thread of the process.
pub struct Pen<'u> {
    usage: &'u Usage,
    /// None before the first batch.
    inserts: Option<Inserts<'u>>,
    labels: Labels,
    /// The time of the row written last.
    last_ns: i64,
}

struct Inserts<'u> {
    one: Insert<'u>,
    /// `AT_ONCE` entries.
    many: Insert<'u>,
}

// === impl Usage ===

impl Usage {
    /// Opens the ledger of a state directory; without one, a ledger in memory.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub fn open(dir: Option<&Path>) -> Result<Usage, StoreError> {
        let db = dir.map_or_else(|| Db::in_memory(&USAGE), |dir| Db::open(dir, &USAGE))?;
        Ok(Usage { db, keeps: dir.is_some() })
    }

    /// Whether it outlives the process.
    #[must_use]
    pub fn keeps(&self) -> bool {
        self.keeps
    }

    /// To write into it.
    #[must_use]
    pub fn pen(&self) -> Pen<'_> {
        Pen { usage: self, inserts: None, labels: Labels::default(), last_ns: -1 }
    }

    /// For reading.
    #[must_use]
    pub fn conn(&self) -> &Connection {
        &self.db.conn
    }
}

// === impl Pen ===

impl<'u> Pen<'u> {
    /// What it writes into.
    #[must_use]
    pub fn usage(&self) -> &'u Usage {
        self.usage
    }

    /// Writes a batch, all of it or nothing.
    ///
    /// # Errors
    /// When it is not written.
    pub fn write(&mut self, batch: &[Line<'_>]) -> Result<(), StoreError> {
        let before = self.last_ns;
        let written = self.try_write(batch);
        if written.is_err() {
            self.last_ns = before;
            self.labels.forget();
        }
        written.map_err(|error| self.usage.db.error(error))
    }

    fn try_write(&mut self, batch: &[Line<'_>]) -> rusqlite::Result<()> {
        let conn = self.usage.conn();
        // Kept from batch to batch: SQLite prepares them anew itself if another process has
        // changed the form.
        let inserts = match &mut self.inserts {
            Some(inserts) => inserts,
            none => none
                .insert(Inserts { one: Insert::new(conn, 1)?, many: Insert::new(conn, AT_ONCE)? }),
        };
        let all = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
        let (chunks, rest) = batch.as_chunks::<AT_ONCE>();
        for chunk in chunks {
            let ids = self.labels.ids(conn, chunk)?;
            self.last_ns = inserts.put_many(chunk, &ids, self.last_ns)?;
        }
        for line in rest {
            let [id] = self.labels.ids(conn, std::array::from_ref(line))?;
            self.last_ns = inserts.put(line, id, self.last_ns)?;
        }
        all.commit()
    }

    /// Takes out some of what is older than `oldest`, or too much for memory; whether there may be
    /// more.
    ///
    /// # Errors
    /// When it cannot be done.
    pub fn prune(&mut self, oldest: Wall) -> Result<bool, StoreError> {
        self.try_prune(integer(oldest.0)).map_err(|error| self.usage.db.error(error))
    }

    fn try_prune(&mut self, oldest_ns: i64) -> rusqlite::Result<bool> {
        let conn = self.usage.conn();
        let mut oldest_ns = oldest_ns;
        if !self.usage.keeps {
            let surplus = "SELECT coalesce(max(time_ns) + 1, 0) FROM (SELECT time_ns FROM entries \
                           ORDER BY time_ns DESC LIMIT 1 OFFSET ?1)";
            let first: i64 =
                conn.prepare(surplus)?.query_row([LEDGER_MEMORY_ROWS], |row| row.get(0))?;
            oldest_ns = oldest_ns.max(first);
        }
        // A step at a time: entries that come meanwhile wait for this.
        let mut gone = 0;
        for table in ["entries", "usage_1"] {
            let step = format!(
                "DELETE FROM {table} WHERE time_ns < min(?1, coalesce((SELECT time_ns FROM {table} \
                 ORDER BY time_ns LIMIT 1 OFFSET ?2), ?1))"
            );
            gone += conn.prepare(&step)?.execute(params![oldest_ns, LEDGER_PRUNE_MAX])?;
        }
        if gone > 0 {
            return Ok(true);
        }
        // With the last of its day's rows. One whose time was made unique may be in the day after.
        let labels = "DELETE FROM labels WHERE id IN \
                      (SELECT id FROM labels WHERE day < ?1 ORDER BY day LIMIT ?2)";
        let day = oldest_ns / integer(DAY_NS) - 1;
        gone = conn.prepare(labels)?.execute(params![day, LEDGER_PRUNE_MAX])?;
        if gone > 0 {
            self.labels.forget();
        }
        Ok(gone > 0)
    }
}

/// Opens the ledger of a state directory to read in it, also while others write: `usage` is the
/// same in all forms.
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
    if application != APPLICATION
        || !usize::try_from(form).is_ok_and(|form| (1..=FORMS.len()).contains(&form))
    {
        let why = format!("it is no usage ledger that this version knows (form {form})");
        return Err(StoreError::Foreign(path, why));
    }
    Ok(conn)
}

// === impl Inserts ===

impl Inserts<'_> {
    /// Puts entries behind the one at `last_ns`, each with its label; the time of the last.
    fn put_many(
        &mut self,
        lines: &[Line<'_>; AT_ONCE],
        labels: &[i64; AT_ONCE],
        last_ns: i64,
    ) -> rusqlite::Result<i64> {
        let mut time_ns = last_ns;
        for (nth, (line, label)) in lines.iter().zip(labels).enumerate() {
            time_ns = time_behind(line, time_ns);
            self.many.set(nth, time_ns, *label, line)?;
        }
        match self.many.run() {
            Ok(()) => Ok(time_ns),
            // Which of them it is, is seen one by one.
            Err(error) if is_clash(&error) => {
                let mut all = lines.iter().zip(labels);
                all.try_fold(last_ns, |last_ns, (line, label)| self.put(line, *label, last_ns))
            }
            Err(error) => Err(error),
        }
    }

    /// Puts an entry behind the one at `last_ns`; the time it got.
    fn put(&mut self, line: &Line<'_>, label: i64, last_ns: i64) -> rusqlite::Result<i64> {
        let mut time_ns = time_behind(line, last_ns);
        let mut clashes = 0;
        loop {
            self.one.set(0, time_ns, label, line)?;
            match self.one.run() {
                Ok(()) => return Ok(time_ns),
                // Another process has an entry of that nanosecond.
                Err(error) if is_clash(&error) && clashes < CLASHES_MAX => {
                    clashes += 1;
                    time_ns += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// The time of an entry, or the first one behind `last_ns` if that is near.
fn time_behind(line: &Line<'_>, last_ns: i64) -> i64 {
    let time_ns = integer(line.time.0);
    let is_near = time_ns <= last_ns && last_ns - time_ns < NEAR_NS;
    if is_near { last_ns + 1 } else { time_ns }
}

fn is_clash(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
}

/// SQLite's integers have a sign. No true number comes near to the bound.
pub fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
