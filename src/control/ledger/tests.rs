//! Rings in, rows out: what is pushed is committed, once, whatever goes wrong in between.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::db::{Pen, Usage};
use super::*;
use crate::clock::{Tick, Wall};
use crate::llm::{self, Entry, Line};
use crate::observe::ring::Pusher;

pub(super) fn entry(time: u64) -> Entry<'static> {
    Entry {
        time: Wall(time),
        request_id: b"0190f3a2",
        key: "acme",
        team: "search",
        api: "llm",
        operation: "chat",
        model: "gpt-4o-mini",
        provider: "openai",
        served: "gpt-4o-mini-2024-07-18",
        stream: true,
        usage: llm::Usage { input: 1200, cached: 1024, cache_write: 0, output: 340, reasoning: 64 },
        estimated: false,
        cost_pico: 384_000_000,
        status: 200,
        outcome: "ok",
        attempts: 1,
        total_us: 1_234_567,
        first_token_us: Some(210_000),
    }
}

/// Writes a batch as the thread does: out of bytes.
pub(super) fn write(pen: &mut Pen<'_>, batch: &[Entry<'_>]) {
    let mut bytes = Vec::new();
    batch.iter().for_each(|entry| entry.encode(&mut bytes));
    let (mut rest, mut lines) = (&bytes[..], Vec::new());
    while let Ok((line, behind)) = Line::decode(rest) {
        lines.push(line);
        rest = behind;
    }
    pen.write(&lines).unwrap();
}

fn rows(usage: &Usage) -> Vec<i64> {
    let mut all = usage.conn().prepare("SELECT time_ns FROM usage ORDER BY time_ns").unwrap();
    all.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

fn push(pusher: &mut Pusher, entry: &Entry<'_>) {
    let mut bytes = Vec::new();
    entry.encode(&mut bytes);
    assert_ne!(pusher.push(&bytes), crate::observe::ring::Pushed::Dropped);
}

#[test]
fn entries_of_all_workers_are_committed_when_the_thread_is_told_to_end() {
    let dir = tempfile::tempdir().unwrap();
    let (mut one, first) = ring(LEDGER_RING_BYTES);
    let (mut two, second) = ring(LEDGER_RING_BYTES);
    for time in 0..500 {
        push(&mut one, &entry(2 * time));
        push(&mut two, &entry(2 * time + 1));
    }
    let (commands, inbox) = unbounded();
    commands.send(Command::Finish(clock::now().after(Duration::from_secs(5)))).unwrap();
    let counts = Arc::<Counts>::default();
    let db = Usage::open(Some(dir.path())).unwrap();
    let mut writer = Writer::new(&db, vec![first, second], counts.clone(), None);
    assert_eq!(writer.run(&inbox), 0);
    assert_eq!(counts.written.load(Relaxed), 1000);
    assert_eq!(counts.waiting_bytes.load(Relaxed), 0);
    let kept = Usage::open(Some(dir.path())).unwrap();
    assert_eq!(rows(&kept), (0..1000).collect::<Vec<_>>());
}

#[test]
fn a_file_that_is_locked_loses_nothing_and_is_written_when_it_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let (mut pusher, taker) = ring(LEDGER_RING_BYTES);
    push(&mut pusher, &entry(1));
    let db = Usage::open(Some(dir.path())).unwrap();
    db.conn().busy_timeout(Duration::ZERO).unwrap();
    let other = rusqlite::Connection::open(dir.path().join("usage.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (commands, inbox) = unbounded();
    let counts = Arc::<Counts>::default();
    let seen = counts.clone();
    let running = thread::spawn(move || Writer::new(&db, vec![taker], counts, None).run(&inbox));
    while seen.errors.load(Relaxed) < 2 {
        thread::yield_now();
    }
    assert_eq!(seen.written.load(Relaxed), 0);
    assert!(seen.waiting_bytes.load(Relaxed) > 0);
    other.execute_batch("ROLLBACK").unwrap();
    commands.send(Command::Finish(clock::now().after(Duration::from_secs(5)))).unwrap();
    running.thread().unpark();
    let lost = running.join().unwrap();
    assert_eq!((lost, seen.written.load(Relaxed)), (0, 1));
}

#[test]
fn what_cannot_be_written_until_the_end_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (mut pusher, taker) = ring(LEDGER_RING_BYTES);
    (0..3).for_each(|time| push(&mut pusher, &entry(time)));
    let db = Usage::open(Some(dir.path())).unwrap();
    db.conn().busy_timeout(Duration::ZERO).unwrap();
    let other = rusqlite::Connection::open(dir.path().join("usage.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (commands, inbox) = unbounded();
    commands.send(Command::Finish(Tick(0))).unwrap();
    let mut writer = Writer::new(&db, vec![taker], Arc::default(), None);
    assert_eq!(writer.run(&inbox), 3);
}

#[test]
fn times_are_made_unique_and_a_clock_that_was_set_back_is_believed() {
    let usage = Usage::open(None).unwrap();
    let mut pen = usage.pen();
    let hour = 3_600_000_000_000;
    let times = [hour * 2, hour * 2, hour * 2 - 5, hour, hour];
    let batch: Vec<Entry<'_>> = times.into_iter().map(entry).collect();
    write(&mut pen, &batch);
    let (hour, two) = (hour.cast_signed(), 2 * hour.cast_signed());
    assert_eq!(rows(&usage), [hour, hour + 1, two, two + 1, two + 2]);
    // Another process had that very nanosecond.
    write(&mut pen, &[entry(hour.cast_unsigned() + 2)]);
    write(&mut pen, &[entry(two.cast_unsigned()), entry(hour.cast_unsigned())]);
    assert_eq!(rows(&usage).len(), 8);
}

#[test]
fn numbers_that_no_column_can_hold_do_not_stop_the_others() {
    let usage = Usage::open(None).unwrap();
    let mut pen = usage.pen();
    let mut odd = entry(7);
    odd.usage.input = u64::MAX;
    odd.cost_pico = u64::MAX;
    odd.request_id = &[0xff, 0];
    write(&mut pen, &[odd, entry(8)]);
    assert_eq!(rows(&usage), [7, 8]);
}

#[test]
fn the_old_go_in_steps_and_memory_is_bounded() {
    let usage = Usage::open(None).unwrap();
    let mut pen = usage.pen();
    let batch: Vec<Entry<'_>> = (0..12_000).map(entry).collect();
    write(&mut pen, &batch);
    assert!(pen.prune(Wall(11_000)).unwrap());
    assert_eq!(rows(&usage).len(), 7_000);
    while pen.prune(Wall(11_000)).unwrap() {}
    assert_eq!(rows(&usage), (11_000..12_000).collect::<Vec<_>>());
    let many: Vec<Entry<'_>> = (12_000..112_000).map(entry).collect();
    write(&mut pen, &many);
    while pen.prune(Wall(0)).unwrap() {}
    assert_eq!(rows(&usage).len(), 100_000);
    assert_eq!(rows(&usage)[0], 12_000);
}

/// One number out of the file.
fn number(usage: &Usage, sql: &str) -> i64 {
    usage.conn().query_row(sql, [], |row| row.get(0)).unwrap()
}

/// The words of a row and its numbers, as an operator sees them.
fn seen(usage: &Usage) -> Vec<String> {
    let sql = "SELECT concat_ws('|', time_ns, request_id, key, team, api, operation, model, \
               provider, served, outcome, status, stream, estimated, attempts, input, cached, \
               cache_write, output, reasoning, cost_pico_usd, total_us, \
               coalesce(first_token_us, 'none')) FROM usage ORDER BY time_ns";
    let mut all = usage.conn().prepare(sql).unwrap();
    all.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

const DAY: u64 = 86_400 * 1_000_000_000;

#[test]
fn a_row_says_what_its_entry_said_whatever_the_row_before_it_was() {
    let usage = Usage::open(None).unwrap();
    let mut pen = usage.pen();
    let bare = Entry {
        usage: llm::Usage { input: 7, ..llm::Usage::default() },
        team: "",
        stream: false,
        estimated: true,
        status: 502,
        outcome: "upstream_reset",
        attempts: 3,
        cost_pico: 0,
        first_token_us: None,
        request_id: b"r2",
        ..entry(20)
    };
    write(&mut pen, &[entry(10), bare, entry(30)]);
    let whole = "0190f3a2|acme|search|llm|chat|gpt-4o-mini|openai|gpt-4o-mini-2024-07-18|ok|200|1\
                 |0|1|1200|1024|0|340|64|384000000|1234567|210000";
    let bare = "20|r2|acme||llm|chat|gpt-4o-mini|openai|gpt-4o-mini-2024-07-18|upstream_reset|502|0\
                |1|3|7|0|0|0|0|0|1234567|none";
    assert_eq!(seen(&usage), [format!("10|{whole}"), bare.to_owned(), format!("30|{whole}")]);
}

#[test]
fn a_label_stands_once_a_day_and_goes_with_its_day() {
    let usage = Usage::open(None).unwrap();
    let mut pen = usage.pen();
    let of = |day: u64, key| (0..50).map(move |nth| Entry { key, ..entry(day * DAY + nth) });
    let batch: Vec<Entry<'_>> =
        (10..14).flat_map(|day| of(day, "acme").chain(of(day, "b"))).collect();
    let (first, rest) = batch.split_at(30);
    write(&mut pen, first);
    write(&mut pen, rest);
    assert_eq!(number(&usage, "SELECT count(*) FROM usage"), 400);
    assert_eq!(number(&usage, "SELECT count(*) FROM usage WHERE key = 'b'"), 200);
    assert_eq!(number(&usage, "SELECT count(*) FROM labels"), 8);
    while pen.prune(Wall(12 * DAY + 25)).unwrap() {}
    assert_eq!(number(&usage, "SELECT count(*) FROM usage"), 175);
    assert_eq!(number(&usage, "SELECT min(day) FROM labels"), 11);
    // Of a label that is gone another is made.
    write(&mut pen, &[entry(10 * DAY)]);
    assert_eq!(number(&usage, "SELECT count(*) FROM usage WHERE key = 'acme'"), 76);
}

#[test]
fn a_batch_that_fails_leaves_no_label_behind_that_is_believed() {
    let dir = tempfile::tempdir().unwrap();
    let usage = Usage::open(Some(dir.path())).unwrap();
    let mut pen = usage.pen();
    let pages = number(&usage, "PRAGMA page_count");
    usage.conn().pragma_update(None, "max_page_count", pages).unwrap();
    let mut bytes = Vec::new();
    (0..2000).for_each(|time| entry(time).encode(&mut bytes));
    let (mut rest, mut lines) = (&bytes[..], Vec::new());
    while let Ok((line, behind)) = Line::decode(rest) {
        lines.push(line);
        rest = behind;
    }
    assert!(pen.write(&lines).is_err());
    assert_eq!(number(&usage, "SELECT count(*) FROM labels"), 0);
    usage.conn().pragma_update(None, "max_page_count", 1 << 30).unwrap();
    pen.write(&lines).unwrap();
    assert_eq!(number(&usage, "SELECT count(*) FROM usage WHERE key = 'acme'"), 2000);
}

#[test]
fn a_period_is_found_by_the_key_and_labels_by_theirs() {
    let usage = Usage::open(None).unwrap();
    let sql = "EXPLAIN QUERY PLAN SELECT key, sum(input + output) FROM usage \
               WHERE time_ns >= 5 AND time_ns < 9 AND team = 'search' GROUP BY key";
    let mut plan = usage.conn().prepare(sql).unwrap();
    let steps: Vec<String> =
        plan.query_map([], |row| row.get(3)).unwrap().map(Result::unwrap).collect();
    let place = |what: &str| steps.iter().position(|step| step.contains(what)).expect(what);
    let period = "USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)";
    let entries = place(&format!("SEARCH entries {period}"));
    assert!(entries < place("SEARCH labels USING INTEGER PRIMARY KEY (rowid=?)"), "{steps:?}");
    place(&format!("SEARCH usage_1 {period}"));
}

/// As the version with form 1 made it.
const FORM_1: &str = "
    CREATE TABLE usage (
        time_ns INTEGER PRIMARY KEY NOT NULL, request_id TEXT NOT NULL, key TEXT NOT NULL,
        team TEXT NOT NULL, api TEXT NOT NULL, operation TEXT NOT NULL, model TEXT NOT NULL,
        provider TEXT NOT NULL, served TEXT NOT NULL, outcome TEXT NOT NULL,
        status INTEGER NOT NULL, stream INTEGER NOT NULL, estimated INTEGER NOT NULL,
        attempts INTEGER NOT NULL, input INTEGER NOT NULL, cached INTEGER NOT NULL,
        cache_write INTEGER NOT NULL, output INTEGER NOT NULL, reasoning INTEGER NOT NULL,
        cost_pico_usd INTEGER NOT NULL, total_us INTEGER NOT NULL, first_token_us INTEGER
    ) STRICT;
    PRAGMA application_id = 0x52575553;
    PRAGMA user_version = 1;
    PRAGMA journal_mode = wal;
";
const INSERT_1: &str = "INSERT INTO usage (time_ns, request_id, key, team, api, operation, model, \
    provider, served, outcome, status, stream, estimated, attempts, input, cached, cache_write, \
    output, reasoning, cost_pico_usd, total_us, first_token_us) VALUES (?1, 'r1', 'old', \
    'search', 'llm', 'chat', 'm', 'p', 'm', 'ok', 200, 0, 0, 1, 100, 0, 0, 10, 0, 5, 7, NULL)";

#[test]
fn a_ledger_of_the_form_before_keeps_its_rows_and_its_gateway_goes_on_writing() {
    let dir = tempfile::tempdir().unwrap();
    let old = rusqlite::Connection::open(dir.path().join(FILE)).unwrap();
    old.execute_batch(FORM_1).unwrap();
    let mut insert = old.prepare(INSERT_1).unwrap();
    for time in [10, 20] {
        assert_eq!(insert.execute([time]).unwrap(), 1);
    }
    // Read as it is, by a `ringway usage` that is newer than the gateway.
    let sum = |conn: &rusqlite::Connection| -> (i64, i64) {
        let sql = "SELECT count(*), sum(input) FROM usage";
        conn.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    };
    assert_eq!(sum(&open_to_read(dir.path()).unwrap()), (2, 200));

    let usage = Usage::open(Some(dir.path())).unwrap();
    let mut pen = usage.pen();
    write(&mut pen, &[entry(30)]);
    insert.execute([40]).unwrap();
    // Its word for a nanosecond that is taken.
    let clash = insert.execute([40]).unwrap_err();
    assert_eq!(clash.sqlite_error_code(), Some(rusqlite::ErrorCode::ConstraintViolation));
    assert_eq!(rows(&usage), [10, 20, 30, 40]);
    assert_eq!(sum(&old), (4, 300 + 1200));
    let whole = "10|r1|old|search|llm|chat|m|p|m|ok|200|0|0|1|100|0|0|10|0|5|7|none";
    assert_eq!(seen(&usage)[0], whole);
    old.execute("DELETE FROM usage WHERE time_ns < 20", []).unwrap();
    assert_eq!(rows(&usage), [20, 30, 40]);
    drop(insert);
    drop(old);
    drop(pen);
    drop(usage);

    let usage = Usage::open(Some(dir.path())).unwrap();
    let mut pen = usage.pen();
    assert_eq!(rows(&usage), [20, 30, 40]);
    assert_eq!(sum(&open_to_read(dir.path()).unwrap()), (3, 200 + 1200));
    while pen.prune(Wall(35)).unwrap() {}
    assert_eq!(rows(&usage), [40]);
    usage.conn().pragma_update(None, "user_version", 3).unwrap();
    assert!(open_to_read(dir.path()).is_err());
}

#[test]
fn two_gateways_on_one_ledger_each_have_their_labels() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = [(); 2].map(|()| Usage::open(Some(dir.path())).unwrap()).into();
    let (mut one, mut other) = (first.pen(), second.pen());
    // Some one by one, some many at once, and each nanosecond asked for twice.
    for (round, many) in [1, 3, 16, 40, 2, 50].into_iter().enumerate() {
        let from = 100 * round as u64;
        for (pen, key) in [(&mut one, "one"), (&mut other, "other")] {
            let batch: Vec<Entry<'_>> = (from..from + many)
                .flat_map(|time| [Entry { key, ..entry(time) }, entry(time)])
                .collect();
            write(pen, &batch);
        }
    }
    for (key, count) in [("one", 112), ("other", 112), ("acme", 224)] {
        let sql = format!("SELECT count(*) FROM usage WHERE key = '{key}'");
        assert_eq!(number(&first, &sql), count, "{key}");
    }
}
