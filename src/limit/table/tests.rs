//! The table under threads, and under loom.

#[cfg(not(loom))]
mod model {
    use std::sync::Arc;

    use super::super::*;
    use crate::limit::bucket::{Bucket, Rate};
    use crate::limit::id::{HashKey, Hasher};

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
        match table.change((id, Kind::Bucket), now, None, rule) {
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
            assert_eq!(table.peek(id(n), Kind::Quota, at(1)), (0, None));
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
            table.change((id(1000), Kind::Bucket), now, None, rule)
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
        // A table full of such: others take their places.
        for (n, slot) in table.slots.iter().enumerate() {
            slot.store(word(id(500 + n as u64), Kind::Bucket, 1) | JOINING, SeqCst);
        }
        assert!(take(&table, id(2), &bucket, at(1)).is_some());
        assert_eq!(take(&table, id(2), &bucket, at(1)), None);
    }

    #[test]
    fn a_million_live_ids_fit_in_two_million_slots() {
        let table = table(2_000_000);
        let bucket = hourly(1);
        let full = (0..1_000_000).filter(|n| {
            let rule = |state| bucket.take(state, at(1).boot, 1);
            let done = table.change((id(*n), Kind::Bucket), at(1), None, rule);
            matches!(done, Err(NotDone::Full))
        });
        assert_eq!(full.count(), 0);
        assert_eq!(table.live(0..2_000_000, at(1)), 1_000_000, "each in one slot");
    }

    /// Threads that join, take, evict and give back at once: no bucket gives more than its burst.
    #[test]
    fn threads_together_take_exactly_the_burst() {
        let table = Arc::new(table(128));
        // More ids than slots, so that slots change hands all the time; a second between rounds.
        let admitted: Vec<_> = (0..40).map(|_| std::sync::atomic::AtomicU64::new(0)).collect();
        let admitted = Arc::new(admitted);
        let bucket = Bucket::new(Rate { thousandths: 3000, per_ns: SECOND }, 3).expect("a bucket");
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (table, admitted) = (table.clone(), admitted.clone());
                std::thread::spawn(move || {
                    for i in 0..40_000_u64 {
                        // All at one time: no id gets more than its burst, evicted or not.
                        let n = i * 7 % 40;
                        if take(&table, id(n), &bucket, at(9)).is_some() {
                            admitted[usize::try_from(n).expect("small")]
                                .fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        }
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().expect("no thread fails"));
        for count in admitted.iter() {
            assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 3);
        }
    }
}

/// Every interleaving, by loom: run by tests/loom.
#[cfg(loom)]
mod explored {
    use loom::sync::Arc;
    use loom::thread;

    use super::super::*;
    use crate::limit::bucket::{Bucket, Rate};
    use crate::limit::quota::{Period, Quota};

    const SECOND: u64 = 1_000_000_000;
    const SLOTS: usize = 2;

    type Shared = Arc<Table<Box<[Slot]>>>;

    fn table(first: [u128; SLOTS]) -> Shared {
        let slots: Vec<Slot> = first.iter().map(|_| Slot::default()).collect();
        for (slot, word) in slots.iter().zip(first) {
            slot.store(word, SeqCst);
        }
        Arc::new(Table::new(slots.into_boxed_slice(), 7))
    }

    fn id(n: u64) -> Id {
        Id { home: 0, tag: n }
    }

    fn at(seconds: u64) -> Times {
        Times { boot: Boot(seconds * SECOND), wall: Wall(seconds * SECOND) }
    }

    /// One token a second.
    fn bucket(burst: u64) -> Bucket {
        Bucket::new(Rate { thousandths: 1000, per_ns: SECOND }, burst).expect("a bucket")
    }

    /// How many of `count` were admitted.
    fn takes(table: &Shared, who: u64, burst: u64, now: Times, count: u32) -> u32 {
        let bucket = bucket(burst);
        let rule = |state| bucket.take(state, now.boot, 1);
        let take = |_: &u32| table.change((id(who), Kind::Bucket), now, None, rule).is_ok();
        u32::try_from((0..count).filter(take).count()).expect("small")
    }

    fn explore(scenario: impl Fn() + Send + Sync + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(scenario);
    }

    #[test]
    fn two_who_join_and_take_get_one_bucket() {
        explore(|| {
            let table = table([EMPTY; SLOTS]);
            let other = table.clone();
            let thread = thread::spawn(move || takes(&other, 1, 1, at(1), 1));
            let mine = takes(&table, 1, 1, at(1), 1);
            assert_eq!(mine + thread.join().expect("no panic"), 1);
        });
    }

    /// The slot before is free for the one with the later clock only: they see different free
    /// slots first.
    #[test]
    fn two_who_see_different_free_slots_get_one_bucket() {
        explore(|| {
            // Full again at second 5, which the other's clock has not reached.
            let (state, _) = bucket(4).take(0, at(1).boot, 4).expect("four");
            let table = table([word(id(9), Kind::Bucket, state), EMPTY]);
            let other = table.clone();
            let thread = thread::spawn(move || takes(&other, 1, 1, at(4), 1));
            let mine = takes(&table, 1, 1, at(5), 1);
            let sum = mine + thread.join().expect("no panic");
            // Between second 4 and second 5 a bucket gets one more.
            assert!((1..=2).contains(&sum), "{sum}");
            let members = table.slots.iter().filter(|slot| {
                let word = slot.load(SeqCst);
                is_of(word, id(1), Kind::Bucket) && word & JOINING == 0
            });
            assert_eq!(members.count(), 1);
        });
    }

    /// The same without the second between them: one token in all.
    #[test]
    fn joiners_and_an_orphan_make_one_member() {
        explore(|| {
            let orphan = word(id(1), Kind::Bucket, 99) | JOINING;
            let table = table([STRUCK, orphan]);
            let other = table.clone();
            let thread = thread::spawn(move || takes(&other, 1, 1, at(1), 1));
            let mine = takes(&table, 1, 1, at(1), 1);
            assert_eq!(mine + thread.join().expect("no panic"), 1);
        });
    }

    /// A full bucket is evicted while somebody takes from it: the take is lost or the eviction is,
    /// never the token.
    #[test]
    fn a_take_and_an_eviction_of_one_slot_do_not_both_happen() {
        explore(|| {
            let (state, _) = bucket(1).take(0, at(1).boot, 1).expect("one");
            let live = word(id(8), Kind::Held, 1);
            let table = table([word(id(1), Kind::Bucket, state), live]);
            let other = table.clone();
            let thread = thread::spawn(move || takes(&other, 2, 1, at(2), 1));
            // Id 1 has one token at second 2, wherever it is kept; without a slot it gets none.
            let mine = takes(&table, 1, 1, at(2), 2);
            let theirs = thread.join().expect("no panic");
            assert!(mine <= 1 && theirs <= 1 && mine + theirs >= 1, "{mine} {theirs}");
        });
    }

    #[test]
    fn what_is_given_back_can_be_taken_once() {
        explore(|| {
            let table = table([EMPTY; SLOTS]);
            assert_eq!(takes(&table, 1, 2, at(1), 2), 2);
            let other = table.clone();
            let thread = thread::spawn(move || takes(&other, 1, 2, at(1), 2));
            table.amend(id(1), Kind::Bucket, at(1), |state| {
                bucket(2).give_back(state, at(1).boot, at(1).boot, 1)
            });
            let theirs = thread.join().expect("no panic");
            let after = takes(&table, 1, 2, at(1), 2);
            assert_eq!(theirs + after, 1);
        });
    }

    #[test]
    fn a_period_rolls_over_once() {
        explore(|| {
            let quota = Quota { max: 1, period: Period::Day, offset: 0 };
            let (state, _) = quota.take(0, at(1).wall, 1).expect("one");
            let table = table([word(id(1), Kind::Quota, state), EMPTY]);
            let count = move |table: &Shared| {
                let now = at(86_401);
                let rule = |state| quota.take(state, now.wall, 1);
                u32::from(table.change((id(1), Kind::Quota), now, None, rule).is_ok())
            };
            let other = table.clone();
            let thread = thread::spawn(move || count(&other));
            assert_eq!(count(&table) + thread.join().expect("no panic"), 1);
        });
    }
}
