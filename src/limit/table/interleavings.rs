//! Every interleaving of threads that share a table, by loom: `tests/loom` runs it.

use loom::sync::Arc;
use loom::thread;

use super::super::bucket::{Bucket, Rate};
use super::super::quota::{Period, Quota};
use super::*;

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
    let take = |_: &u32| table.change((id(who), Kind::Bucket), now, rule).is_ok();
    u32::try_from((0..count).filter(take).count()).expect("small")
}

fn explore(scenario: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    // Those of more switches of threads than this add nothing but hours.
    model.preemption_bound = Some(4);
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
        let state = bucket(4).take(0, at(1).boot, 4).expect("four");
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
        let state = bucket(1).take(0, at(1).boot, 1).expect("one");
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
        table.amend(id(1), Kind::Bucket, |state| {
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
        let quota = Quota { max: 1, period: Period::Day, offset: 0, carries: false };
        let state = quota.take(0, at(1).wall, 1).expect("one");
        let table = table([word(id(1), Kind::Quota, state), EMPTY]);
        let count = move |table: &Shared| {
            let now = at(86_401);
            let rule = |state| quota.take(state, now.wall, 1);
            u32::from(table.change((id(1), Kind::Quota), now, rule).is_ok())
        };
        let other = table.clone();
        let thread = thread::spawn(move || count(&other));
        assert_eq!(count(&table) + thread.join().expect("no panic"), 1);
    });
}

/// Two that have reserved settle at once, one to less and one to more: the count is their sum.
#[test]
fn what_is_settled_by_two_adds_up() {
    explore(|| {
        let quota = Quota { max: 100, period: Period::Day, offset: 0, carries: true };
        let table = table([EMPTY; SLOTS]);
        let take = |cost| {
            let rule = |state| quota.take(state, at(1).wall, cost);
            table.change((id(1), Kind::Quota), at(1), rule).expect("there is room").state
        };
        let (first, second) = (take(30), take(40));
        let other = table.clone();
        let thread = thread::spawn(move || {
            other
                .amend(id(1), Kind::Quota, |state| quota.settle(state, at(1).wall, first, (30, 5)));
        });
        let rule = |state| Ok::<_, ()>(quota.settle(state, at(1).wall, second, (40, 80)));
        assert!(table.change((id(1), Kind::Quota), at(1), rule).is_ok());
        thread.join().expect("no panic");
        let state = table.find(id(1), Kind::Quota).expect("a member").state();
        assert_eq!(quota.peek(state, at(1).wall).count, 15);
    });
}
