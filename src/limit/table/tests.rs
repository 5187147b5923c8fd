//! The table under threads.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::super::bucket::{Bucket, Rate};
use super::super::id::{HashKey, Hasher};
use super::*;

const SECOND: u64 = 1_000_000_000;

fn table(slots: usize) -> Table<Box<[Slot]>> {
    Table::new((0..slots).map(|_| Slot::new(0)).collect(), 7)
}

fn id(n: u64) -> Id {
    let mut hasher = Hasher::new(HashKey(1, 2), "test");
    hasher.part(&n.to_le_bytes());
    hasher.id()
}

fn at(seconds: u64) -> Times {
    Times { boot: Boot(seconds * SECOND), wall: Wall(seconds * SECOND) }
}

fn hourly(burst: u64) -> Bucket {
    Bucket::new(Rate { thousandths: 1000, per_ns: 3600 * SECOND }, burst).expect("a bucket")
}

fn take(table: &Table<Box<[Slot]>>, id: Id, bucket: &Bucket, now: Times) -> Option<bool> {
    let rule = |state| bucket.take(state, now.boot, 1);
    match table.change((id, Kind::Bucket), now, rule) {
        Ok(done) => Some(done.evicted),
        Err(NotDone::Refused(_)) => None,
        Err(NotDone::Full) => panic!("no slot for it"),
    }
}

#[test]
fn ids_and_kinds_have_a_state_each() {
    let table = table(1024);
    let bucket = hourly(2);
    for n in 0..100 {
        assert!(take(&table, id(n), &bucket, at(1)).is_some());
    }
    for n in 0..100 {
        assert!(take(&table, id(n), &bucket, at(1)).is_some());
        assert!(take(&table, id(n), &bucket, at(1)).is_none());
        assert_eq!(table.find(id(n), Kind::Quota), None);
    }
    assert_eq!(table.live(0..1024, at(1)), 100);
    assert_eq!(table.live(0..1024, at(2 * 3600 + 1)), 0);
    table.forget(Kind::Quota);
    assert_eq!(table.live(0..2000, at(1)), 100);
    table.forget(Kind::Bucket);
    assert_eq!(table.live(0..1024, at(1)), 0);
    assert!(take(&table, id(3), &bucket, at(1)).is_some());
}

#[test]
fn what_is_full_again_makes_room_and_what_is_not_is_never_forgotten() {
    // One window, so that every id may be in every slot.
    let table = table(WINDOW);
    let bucket = hourly(1);
    for n in 0..WINDOW as u64 {
        assert_eq!(take(&table, id(n), &bucket, at(n)), Some(false));
    }
    let one_more = |now: Times| {
        let rule = |state| bucket.take(state, now.boot, 1);
        table.change((id(1000), Kind::Bucket), now, rule)
    };
    assert!(matches!(one_more(at(3599)), Err(NotDone::Full)));
    for n in 0..WINDOW as u64 {
        assert_eq!(take(&table, id(n), &bucket, at(3599)), None, "{n} is not forgotten");
    }
    // The first is full again at 3600.
    assert!(one_more(at(3600)).expect("room").evicted);
    assert!(matches!(one_more(at(3600)), Err(NotDone::Refused(_))));
    for n in 1..WINDOW as u64 {
        assert_eq!(take(&table, id(n), &bucket, at(3600)), None, "{n} is not forgotten");
    }
}

#[test]
fn one_who_joined_and_never_came_back_is_helped_or_gives_way() {
    let table = table(WINDOW);
    let bucket = hourly(1);
    let orphan = word(id(1), Kind::Bucket, 99) | JOINING;
    let first = table.window(id(1)).next().expect("a slot");
    table.slots[first].store(orphan, SeqCst);
    assert_eq!(take(&table, id(1), &bucket, at(1)), Some(false));
    assert_eq!(take(&table, id(1), &bucket, at(1)), None);
    assert_eq!(table.live(0..WINDOW, at(1)), 1, "it took the place that was prepared");
    // A table full of such has no room for others, until they are struck out.
    for (n, slot) in table.slots.iter().enumerate() {
        slot.store(word(id(500 + n as u64), Kind::Bucket, 1) | JOINING, SeqCst);
    }
    let rule = |state| bucket.take(state, at(1).boot, 1);
    let full = table.change((id(2), Kind::Bucket), at(1), rule);
    assert!(matches!(full, Err(NotDone::Full)));
    let joining = table.joining(0..WINDOW);
    assert_eq!(joining.len(), WINDOW);
    joining.into_iter().for_each(|seen| table.strike(seen));
    assert!(take(&table, id(2), &bucket, at(1)).is_some());
    assert_eq!(take(&table, id(2), &bucket, at(1)), None);
}

#[test]
fn live_ids_fit_in_twice_as_many_slots() {
    let table = table(400_000);
    let bucket = hourly(1);
    let full = (0..200_000).filter(|n| {
        let rule = |state| bucket.take(state, at(1).boot, 1);
        let done = table.change((id(*n), Kind::Bucket), at(1), rule);
        matches!(done, Err(NotDone::Full))
    });
    assert_eq!(full.count(), 0);
    assert_eq!(table.live(0..400_000, at(1)), 200_000, "each in one slot");
}

/// Threads that join, take and evict at once, with clocks that are not quite the same: no id gets
/// more than its bucket gives, though slots change hands all the time.
#[test]
fn threads_together_take_what_one_bucket_gives() {
    const IDS: u64 = 150;
    const SECONDS: u64 = 100;
    const ROUNDS: u64 = 40_000;
    let table = Arc::new(table(WINDOW));
    let admitted: Arc<Vec<AtomicU64>> = Arc::new((0..IDS).map(|_| AtomicU64::new(0)).collect());
    let evicted = Arc::new(AtomicU64::new(0));
    // One token a second, and two at once.
    let bucket = Bucket::new(Rate { thousandths: 1000, per_ns: SECOND }, 2).expect("a bucket");
    let threads: Vec<_> = (0..4_u64)
        .map(|thread| {
            let (table, admitted, evicted) = (table.clone(), admitted.clone(), evicted.clone());
            std::thread::spawn(move || {
                for round in 0..ROUNDS {
                    // A third of the ids at a time, so that the others are full again meanwhile.
                    let third = round * 30 / ROUNDS % 3;
                    let n = (round * 7 + thread) % (IDS / 3) + third * (IDS / 3);
                    let ns = round * SECONDS * SECOND / ROUNDS + thread * 1000;
                    let now = Times { boot: Boot(SECOND + ns), wall: Wall(0) };
                    let rule = |state| bucket.take(state, now.boot, 1);
                    if let Ok(done) = table.change((id(n), Kind::Bucket), now, rule) {
                        admitted[usize::try_from(n).expect("small")].fetch_add(1, SeqCst);
                        evicted.fetch_add(u64::from(done.evicted), SeqCst);
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no thread fails"));
    let counts: Vec<u64> = admitted.iter().map(|count| count.load(SeqCst)).collect();
    assert!(counts.iter().all(|count| *count <= 2 + SECONDS), "{counts:?}");
    assert!(counts.iter().sum::<u64>() > 2000, "{counts:?}");
    assert!(evicted.load(SeqCst) > 500, "{evicted:?} slots changed hands");
    for n in 0..IDS {
        let of_n = |slot: &&Slot| is_of(slot.load(SeqCst), id(n), Kind::Bucket);
        assert!(table.slots.iter().filter(of_n).count() <= 1, "{n} has one slot at most");
    }
}
