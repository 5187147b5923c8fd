//! How an entry becomes a row of `usage.db`: its own numbers, and the label it shares with others.
//!
//! Owns the statement that inserts, and which labels of the day are in the file. A value that
//! stands in the statement already, from the row before, is not put there again: most requests
//! read nothing from a cache, and those of one caller have one label. Knows nothing of
//! transactions: when one is undone, [`Labels::forget`] must follow. Invariant: a label is of one
//! day, so that it can go with the last of that day's rows.

use std::collections::HashMap;

use rusqlite::{Connection, Statement, params};

use super::db::integer;
use crate::bounds::LEDGER_LABELS_BYTES;
use crate::llm::{Label, Line};

/// The columns in the order in which they are bound, the only text the last.
const INSERT: &str = "INSERT INTO entries (time_ns, label, input, cached, cache_write, output, \
    reasoning, cost_pico_usd, total_us, first_token_us, request_id) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
const INTEGERS: usize = 10;

const INSERT_LABEL: &str = "INSERT INTO labels (day, key, team, api, operation, model, provider, \
    served, outcome, status, stream, estimated, attempts) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";

pub const DAY_NS: u64 = 86_400 * 1_000_000_000;
/// What a label takes in memory besides its bytes.
const PLACE_BYTES: usize = 64;

/// Inserts entries.
pub struct Insert<'c> {
    statement: Statement<'c>,
    /// The integers that stand in the statement; nothing stands there as NULL.
    bound: [Option<i64>; INTEGERS],
}

/// Labels of one day that are in the file.
#[derive(Default)]
pub struct Labels {
    /// In days since 1970.
    day: u64,
    ids: HashMap<Box<[u8]>, i64>,
    bytes: usize,
}

// === impl Insert ===

impl<'c> Insert<'c> {
    pub fn new(conn: &'c Connection) -> rusqlite::Result<Insert<'c>> {
        Ok(Insert { statement: conn.prepare(INSERT)?, bound: [None; INTEGERS] })
    }

    /// Puts an entry at a time.
    pub fn put(&mut self, time_ns: i64, label: i64, line: &Line<'_>) -> rusqlite::Result<()> {
        let usage = &line.usage;
        let integers = [
            Some(time_ns),
            Some(label),
            Some(integer(usage.input)),
            Some(integer(usage.cached)),
            Some(integer(usage.cache_write)),
            Some(integer(usage.output)),
            Some(integer(usage.reasoning)),
            Some(integer(line.cost_pico)),
            Some(integer(line.total_us)),
            line.first_token_us.map(integer),
        ];
        for (at, (value, bound)) in integers.into_iter().zip(&mut self.bound).enumerate() {
            if *bound != value {
                self.statement.raw_bind_parameter(at + 1, value)?;
                *bound = value;
            }
        }
        // Whatever a client sends as its own is no reason to lose an entry.
        match str::from_utf8(line.request_id) {
            Ok(id) => self.statement.raw_bind_parameter(INTEGERS + 1, id)?,
            Err(_) => {
                let id = String::from_utf8_lossy(line.request_id);
                self.statement.raw_bind_parameter(INTEGERS + 1, id)?;
            }
        }
        self.statement.raw_execute().map(|_| ())
    }
}

// === impl Labels ===

impl Labels {
    /// The number of an entry's label, which is put into the file if it is not known to be there:
    /// a label may stand in it twice.
    pub fn id(&mut self, conn: &Connection, line: &Line<'_>) -> rusqlite::Result<i64> {
        let day = line.time.0 / DAY_NS;
        if day != self.day || self.bytes > LEDGER_LABELS_BYTES {
            self.forget();
            self.day = day;
        }
        if let Some(id) = self.ids.get(line.label) {
            return Ok(*id);
        }
        let id = put_label(conn, day, line.label)?;
        self.bytes += line.label.len() + PLACE_BYTES;
        self.ids.insert(line.label.into(), id);
        Ok(id)
    }

    /// Knows nothing of the file any more.
    pub fn forget(&mut self) {
        self.ids.clear();
        self.bytes = 0;
    }
}

fn put_label(conn: &Connection, day: u64, bytes: &[u8]) -> rusqlite::Result<i64> {
    let label = Label::read(bytes).expect("a line has been read, and with it its label");
    conn.prepare(INSERT_LABEL)?.insert(params![
        integer(day),
        label.key,
        label.team,
        label.api,
        label.operation,
        label.model,
        label.provider,
        label.served,
        label.outcome,
        label.status,
        label.stream,
        label.estimated,
        label.attempts,
    ])
}
