//! How an entry becomes a row of `usage.db`: its own numbers, and the label it shares with others.
//!
//! Owns the statements that insert, and which labels of the day are in the file. A value that
//! stands in a statement already, from the row before, is not put there again: most requests read
//! nothing from a cache, and those of one caller have one label. Knows nothing of transactions:
//! when one is undone, [`Labels::forget`] must follow. Invariant: a label is of one day, so that
//! it can go with the last of that day's rows.

use std::collections::HashMap;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Statement, params};

use super::db::integer;
use crate::bounds::LEDGER_LABELS_BYTES;
use crate::llm::{Label, Line};

/// What each entry has of its own, in the order in which it is bound: the only text is the last.
const COLUMNS: &str = "time_ns, label, input, cached, cache_write, output, reasoning, \
    cost_pico_usd, total_us, first_token_us, request_id";
const INTEGERS: usize = 10;

const INSERT_LABEL: &str = "INSERT INTO labels (day, key, team, api, operation, model, provider, \
    served, outcome, status, stream, estimated, attempts) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";

pub const DAY_NS: u64 = 86_400 * 1_000_000_000;
/// What a label takes in memory besides its bytes.
const PLACE_BYTES: usize = 64;

/// A statement that inserts a number of entries.
pub struct Insert<'c> {
    statement: Statement<'c>,
    /// The integers that stand in it for each entry; where nothing was put stands NULL.
    bound: Vec<[Option<i64>; INTEGERS]>,
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
    /// For so many entries at once.
    pub fn new(conn: &'c Connection, entries: usize) -> rusqlite::Result<Insert<'c>> {
        let row = format!("({})", ["?"; INTEGERS + 1].join(", "));
        let rows = vec![row; entries].join(", ");
        let statement = conn.prepare(&format!("INSERT INTO entries ({COLUMNS}) VALUES {rows}"))?;
        Ok(Insert { statement, bound: vec![[None; INTEGERS]; entries] })
    }

    /// Puts the `nth` entry into the statement, at a time.
    pub fn set(
        &mut self,
        nth: usize,
        time_ns: i64,
        label: i64,
        line: &Line<'_>,
    ) -> rusqlite::Result<()> {
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
        // Parameters count from 1.
        let first = nth * (INTEGERS + 1) + 1;
        for (at, (value, bound)) in integers.into_iter().zip(&mut self.bound[nth]).enumerate() {
            if *bound != value {
                self.statement.raw_bind_parameter(first + at, value)?;
                *bound = value;
            }
        }
        let id = line.request_id;
        if id.is_ascii() {
            let text = ToSqlOutput::Borrowed(ValueRef::Text(id));
            return self.statement.raw_bind_parameter(first + INTEGERS, text);
        }
        // Whatever a client sends as its own is no reason to lose an entry.
        self.statement.raw_bind_parameter(first + INTEGERS, String::from_utf8_lossy(id))
    }

    /// Inserts all of them or, on an error, none.
    pub fn run(&mut self) -> rusqlite::Result<()> {
        self.statement.raw_execute().map(|_| ())
    }
}

// === impl Labels ===

impl Labels {
    /// The numbers of entries' labels. One that is not known to be in the file is put there: a
    /// label may stand in it twice.
    pub fn ids<const N: usize>(
        &mut self,
        conn: &Connection,
        lines: &[Line<'_>; N],
    ) -> rusqlite::Result<[i64; N]> {
        let mut ids = [0; N];
        for (nth, line) in lines.iter().enumerate() {
            let day = line.time.0 / DAY_NS;
            // Requests of one caller often come one behind the other.
            let is_same = nth > 0 && day == self.day && line.label == lines[nth - 1].label;
            ids[nth] = if is_same { ids[nth - 1] } else { self.id(conn, day, line.label)? };
        }
        Ok(ids)
    }

    fn id(&mut self, conn: &Connection, day: u64, label: &[u8]) -> rusqlite::Result<i64> {
        if day != self.day || self.bytes > LEDGER_LABELS_BYTES {
            self.forget();
            self.day = day;
        }
        if let Some(id) = self.ids.get(label) {
            return Ok(*id);
        }
        let id = put_label(conn, day, label)?;
        self.bytes += label.len() + PLACE_BYTES;
        self.ids.insert(label.into(), id);
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
