//! What a million API keys cost: the time to load them, the memory they stay in, a look-up among
//! them beside one among a thousand, a change.
//!
//! `cargo bench --bench keys` prints one line a size. Each size has a process of its own, so that
//! no memory of one is counted for another. The keys are as a store would hand them on: names and
//! values of their own, a hundred owners, four plans.
#![expect(clippy::print_stdout, reason = "what it is for")]

use std::hint::black_box;

use ringway::allocator::Mimalloc;
use ringway::auth::keys::{Digest, KeyRecord, KeyTable, KeyValue, Origin};
use ringway::clock;

// As in the gateway's binary.
#[global_allocator]
static ALLOCATOR: Mimalloc = Mimalloc;

const LOOKUPS: u64 = 200_000;
const CHANGES: u64 = 1_000;

fn main() {
    match std::env::var("RINGWAY_BENCH_KEYS").ok().and_then(|count| count.parse().ok()) {
        Some(count) => measure(count),
        None => ["1000", "100000", "1000000"].into_iter().for_each(alone),
    }
}

fn alone(count: &str) {
    let this = std::env::current_exe().expect("a program knows where it is");
    let status = std::process::Command::new(this).env("RINGWAY_BENCH_KEYS", count).status();
    assert!(status.expect("it runs again").success());
}

fn measure(count: u64) {
    let before = resident();
    let table = KeyTable::default();
    let started = clock::now();
    table.load((0..count).map(record)).expect("no two are alike");
    let load = clock::now().since(started);
    assert_eq!(table.len() as u64, count);
    // The allocator gives back what it does not need after a moment, when it is asked for more.
    let (_never, silence) = std::sync::mpsc::channel::<()>();
    let _ = silence.recv_timeout(std::time::Duration::from_millis(50));
    drop(black_box(vec![1u8; 1 << 20]));
    let memory = resident().saturating_sub(before);

    // All over the table, in no order.
    let digests: Vec<Digest> =
        (0..LOOKUPS).map(|nth| value(nth.wrapping_mul(2_654_435_761) % count)).collect();
    let started = clock::now();
    let found = digests.iter().filter(|digest| black_box(table.find(digest)).is_some()).count();
    let look_up = clock::now().since(started);
    assert_eq!(found as u64, LOOKUPS);

    let started = clock::now();
    for nth in 0..CHANGES.min(count) {
        let old = table.put(&KeyRecord { enabled: false, ..record(nth) });
        assert!(old.expect("no clash").is_some());
    }
    let change = clock::now().since(started);
    println!(
        "{count:>8} keys: loaded in {:.2} s, {:.1} MB resident ({} bytes a key), \
         look-up {} ns, change {} us",
        load.as_secs_f64(),
        memory as f64 / 1e6,
        memory / count,
        look_up.as_nanos() / u128::from(LOOKUPS),
        change.as_micros() / u128::from(CHANGES.min(count)),
    );
}

fn record(nth: u64) -> KeyRecord {
    let mut record = KeyRecord::new(&format!("customer-{nth:08}"), Origin::Store);
    record.owner = format!("team-{}", nth % 100);
    record.plans = vec![format!("plan-{}", nth % 4)];
    record.created = 1_795_000_000 + nth;
    record.values = vec![KeyValue {
        digest: value(nth),
        shown: "rw_1a2b3".to_owned(),
        created: record.created,
        not_after: None,
    }];
    record
}

fn value(nth: u64) -> Digest {
    Digest::of(&nth.to_le_bytes())
}

/// Bytes of this process in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it has a VmRSS");
    let kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
    kib.expect("a number") * 1024
}
