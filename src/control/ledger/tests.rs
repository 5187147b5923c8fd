//! Rings in, rows out: what is pushed is committed, once, whatever goes wrong in between.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::db::Usage;
use super::*;
use crate::clock::{Tick, Wall};
use crate::llm::{self, Entry};
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
    let mut writer = Writer::new(db, vec![first, second], counts.clone(), None);
    assert_eq!(writer.run(&inbox), 0);
    drop(writer);
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
    let mut writer = Writer::new(db, vec![taker], counts, None);
    let running = thread::spawn(move || (writer.run(&inbox), writer));
    while seen.errors.load(Relaxed) < 2 {
        thread::yield_now();
    }
    assert_eq!(seen.written.load(Relaxed), 0);
    assert!(seen.waiting_bytes.load(Relaxed) > 0);
    other.execute_batch("ROLLBACK").unwrap();
    commands.send(Command::Finish(clock::now().after(Duration::from_secs(5)))).unwrap();
    running.thread().unpark();
    let (lost, _) = running.join().unwrap();
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
    let mut writer = Writer::new(db, vec![taker], Arc::default(), None);
    assert_eq!(writer.run(&inbox), 3);
}

#[test]
fn times_are_made_unique_and_a_clock_that_was_set_back_is_believed() {
    let mut usage = Usage::open(None).unwrap();
    let hour = 3_600_000_000_000;
    let times = [hour * 2, hour * 2, hour * 2 - 5, hour, hour];
    let batch: Vec<Entry<'_>> = times.into_iter().map(entry).collect();
    usage.write(&batch).unwrap();
    let (hour, two) = (hour.cast_signed(), 2 * hour.cast_signed());
    assert_eq!(rows(&usage), [hour, hour + 1, two, two + 1, two + 2]);
    // Another process had that very nanosecond.
    usage.write(&[entry(hour.cast_unsigned() + 2)]).unwrap();
    usage.write(&[entry(two.cast_unsigned()), entry(hour.cast_unsigned())]).unwrap();
    assert_eq!(rows(&usage).len(), 8);
}

#[test]
fn numbers_that_no_column_can_hold_do_not_stop_the_others() {
    let mut usage = Usage::open(None).unwrap();
    let mut odd = entry(7);
    odd.usage.input = u64::MAX;
    odd.cost_pico = u64::MAX;
    odd.request_id = &[0xff, 0];
    usage.write(&[odd, entry(8)]).unwrap();
    assert_eq!(rows(&usage), [7, 8]);
}

#[test]
fn the_old_go_in_steps_and_memory_is_bounded() {
    let mut usage = Usage::open(None).unwrap();
    let batch: Vec<Entry<'_>> = (0..12_000).map(entry).collect();
    usage.write(&batch).unwrap();
    assert!(usage.prune(Wall(11_000)).unwrap());
    assert_eq!(rows(&usage).len(), 7_000);
    while usage.prune(Wall(11_000)).unwrap() {}
    assert_eq!(rows(&usage), (11_000..12_000).collect::<Vec<_>>());
    let many: Vec<Entry<'_>> = (12_000..112_000).map(entry).collect();
    usage.write(&many).unwrap();
    while usage.prune(Wall(0)).unwrap() {}
    assert_eq!(rows(&usage).len(), 100_000);
    assert_eq!(rows(&usage)[0], 12_000);
}
