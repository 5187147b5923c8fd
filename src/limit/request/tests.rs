//! All or nothing, shadow, and what is told.

use std::cell::Cell;
use std::sync::Arc;

use super::*;
use crate::clock::Boot;
use crate::clock::Wall;
use crate::limit::bucket::Rate;
use crate::limit::id::HashKey;
use crate::limit::quota::Period;

const NOW: Times = Times { boot: Boot(1_000 * SECOND), wall: Wall(1_795_323_600 * SECOND) };

fn store() -> Arc<Store> {
    Arc::new(Store::anonymous(256, HashKey(1, 2), 3).expect("memory"))
}

fn rate(burst: u64) -> Rules {
    let hourly = Rate { thousandths: 1000, per_ns: 3600 * SECOND };
    Rules { bucket: Some(Bucket::new(hourly, burst).expect("a bucket")), ..Rules::default() }
}

fn quota(max: u64) -> Rules {
    Rules {
        quota: Some(Quota { max, period: Period::Day, offset: 0, carries: false }),
        ..Rules::default()
    }
}

fn at_once(max: u64) -> Rules {
    Rules { at_once: Some(max), ..Rules::default() }
}

fn ask<'l>(store: &Store, name: &str, rules: &'l Rules) -> Ask<'l> {
    Ask::new(rules, store.hasher(name).id(), false)
}

fn left(store: &Store, name: &str, rules: &Rules) -> Standing {
    Standing::of(store, rules, store.hasher(name).id(), NOW)
}

#[test]
fn a_refusal_by_the_last_leaves_all_others_untouched() {
    let store = store();
    let (wide, narrow, held) = (rate(10), quota(1), at_once(5));
    let asks =
        || [ask(&store, "held", &held), ask(&store, "wide", &wide), ask(&store, "narrow", &narrow)];
    let holds = take(&store, &mut asks(), || NOW).expect("admitted").holds;
    assert!(!holds.is_empty());
    for _ in 0..20 {
        let mut asks = asks();
        let refusal = take(&store, &mut asks, || NOW).err().expect("refused");
        assert_eq!(
            (refusal.at, refusal.why, refusal.retry_after()),
            (2, Why::Quota, Some(19 * 3600))
        );
        assert_eq!(asks[1].standing.bucket.expect("was looked at").left, 9);
        assert_eq!(asks[2].standing.quota.expect("was looked at").left, 0);
    }
    assert_eq!(left(&store, "wide", &wide).bucket.expect("a bucket").left, 9);
    drop(holds);
    let five: Vec<_> =
        (0..6).map(|_| take(&store, &mut [ask(&store, "held", &held)], || NOW).is_ok()).collect();
    assert_eq!(five, [true; 6], "each place is given back before the next is taken");
    let holds: Vec<_> =
        (0..6).map(|_| take(&store, &mut [ask(&store, "held", &held)], || NOW)).collect();
    assert!(holds[..5].iter().all(Result::is_ok));
    let refusal = holds[5].as_ref().err().expect("a sixth at once");
    assert_eq!((refusal.why, refusal.retry_after()), (Why::Concurrency, Some(1)));
}

/// Another request comes between the look and the taking: what was taken is given back.
#[test]
fn a_race_lost_gives_back_what_was_taken() {
    let store = store();
    let (wide, narrow, held) = (rate(10), rate(1), at_once(5));
    let raced = Cell::new(0);
    let mut asks = [
        ask(&store, "wide", &wide),
        ask(&store, "held", &held),
        // The same bucket twice: the look sees a token for each, and there is one.
        ask(&store, "narrow", &narrow),
        ask(&store, "narrow", &narrow),
    ];
    let clock = || {
        raced.set(raced.get() + 1);
        NOW
    };
    let refusal = take(&store, &mut asks, clock).err().expect("refused");
    assert_eq!((refusal.at, refusal.why), (3, Why::Rate));
    assert!(raced.get() > 1, "the clock is read anew to give back");
    assert_eq!(left(&store, "wide", &wide).bucket.expect("a bucket").left, 10);
    assert_eq!(left(&store, "narrow", &narrow).bucket.expect("a bucket").left, 1);
    let held = store.held.find(store.hasher("held").id(), Kind::Held).expect("it was taken");
    assert_eq!(held.state(), 0);
}

#[test]
fn a_limit_in_shadow_never_refuses_and_counts_what_it_admits_only() {
    let store = store();
    let (real, trial) = (rate(3), rate(2));
    let request = || {
        let mut asks = [ask(&store, "real", &real), ask(&store, "trial", &trial)];
        asks[1].shadow = true;
        let taken = take(&store, &mut asks, || NOW).is_ok();
        (taken, asks[1].refused)
    };
    assert_eq!(request(), (true, None));
    assert_eq!(request(), (true, None));
    assert_eq!(request(), (true, Some(Why::Rate)));
    assert_eq!(request(), (false, None), "what another refuses is not asked of it");
}

#[test]
fn retry_after_is_the_longest_wait_of_those_who_refuse() {
    let store = store();
    let (soon, late) = (rate(1), quota(1));
    let request = || {
        let mut asks = [ask(&store, "soon", &soon), ask(&store, "late", &late)];
        take(&store, &mut asks, || NOW)
    };
    assert!(request().is_ok());
    let refusal = request().err().expect("refused");
    assert_eq!((refusal.at, refusal.why, refusal.retry_after()), (0, Why::Rate, Some(19 * 3600)));
}

#[test]
fn what_a_killed_process_left_half_joined_is_struck_out_in_time() {
    let store = store();
    let (id, rules) = (store.hasher("x").id(), rate(1));
    let orphan = store.kept.prepare(id, Kind::Bucket, NOW);
    assert_eq!(store.kept.joining(0..256), [orphan]);
    let round = || (0..30).for_each(|_| store.survey(NOW));
    round();
    assert_eq!(store.kept.joining(0..256), [orphan], "it may be at it");
    round();
    assert_eq!(store.kept.joining(0..256), []);
    assert!(take(&store, &mut [ask(&store, "x", &rules)], || NOW).is_ok());
}

#[test]
fn without_a_slot_a_request_is_refused_and_counted() {
    let store = Arc::new(Store::anonymous(64, HashKey(1, 2), 3).expect("memory"));
    let rules = rate(1);
    let refusals: Vec<_> = (0..100)
        .filter_map(|n| {
            let mut asks = [ask(&store, &format!("{n}"), &rules)];
            take(&store, &mut asks, || NOW).err()
        })
        .collect();
    assert_eq!(refusals.len(), 36);
    assert!(refusals.iter().all(|refusal| refusal.why == Why::Full));
    assert_eq!(store.seen().full, 36);
    for _ in 0..30 {
        store.survey(NOW);
    }
    assert_eq!((store.seen().live, store.seen().capacity), (64, 64));
    let later = Times { boot: Boot(NOW.boot.0 + 3600 * SECOND), ..NOW };
    let mut asks = [ask(&store, "one more", &rules)];
    assert!(take(&store, &mut asks, || later).is_ok());
    assert_eq!(store.seen().evicted, 1);
}

/// A limit of tokens: a quota of a day.
fn budget(max: u64) -> Rules {
    Rules {
        quota: Some(Quota { max, period: Period::Day, offset: 0, carries: true }),
        ..Rules::default()
    }
}

fn costs(input: u64, output: u64) -> Costs {
    Costs { input, output, nano_usd: 0 }
}

fn reserve<'l>(
    store: &Arc<Store>,
    rules: &'l Rules,
    costs: &Costs,
    now: Times,
) -> Result<Debits<'l>, Refusal> {
    let id = store.hasher("budget").id();
    let mut asks = [Ask::metered(rules, id, false, (Unit::Tokens, costs.of(Unit::Tokens)))];
    take(store, &mut asks, || now).map(|taken| taken.debits)
}

#[test]
fn what_is_reserved_is_settled_by_its_unit_and_requests_are_not() {
    let store = store();
    let (tokens, output, requests) = (budget(1000), budget(500), quota(10));
    let standing = |name, rules| left(&store, name, rules).quota.expect("a quota").left;
    let request = |reserved: Costs| {
        let mut asks = [
            ask(&store, "requests", &requests),
            Ask::metered(
                &tokens,
                store.hasher("tokens").id(),
                false,
                (Unit::Tokens, reserved.of(Unit::Tokens)),
            ),
            Ask::metered(
                &output,
                store.hasher("output").id(),
                false,
                (Unit::OutputTokens, reserved.output),
            ),
        ];
        take(&store, &mut asks, || NOW)
    };
    let taken = request(costs(100, 400)).expect("room");
    assert_eq!((standing("tokens", &tokens), standing("output", &output)), (500, 100));
    let refusal = request(costs(1, 101)).err().expect("too many");
    assert_eq!((refusal.at, refusal.why), (2, Why::Quota));
    let refusal = request(costs(1, 501)).err().expect("more than it ever admits");
    assert_eq!((refusal.at, refusal.wait_ms), (1, None), "for one of them it is for ever");
    assert_eq!(standing("requests", &requests), 9, "who was refused is not counted");
    settle(&store, taken.debits, &costs(90, 30), || NOW);
    assert_eq!((standing("tokens", &tokens), standing("output", &output)), (880, 470));
    let taken = request(costs(100, 400)).expect("room");
    settle(&store, taken.debits, &Costs::default(), || NOW);
    assert_eq!((standing("tokens", &tokens), standing("output", &output)), (880, 470));
    assert_eq!(standing("requests", &requests), 8, "a request stays one");
    // One that nobody settles stays taken.
    drop(request(costs(100, 400)).expect("room"));
    assert_eq!((standing("tokens", &tokens), standing("output", &output)), (380, 70));
}

/// Numbers that look like chance.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// Threads that reserve, settle to less or more, release and die: what is counted is the sum of
/// what was used, and of what nobody settled; nobody was admitted by more than was there.
#[test]
fn a_budget_is_exact_to_the_token_whatever_becomes_of_requests() {
    const MAX: u64 = 400_000;
    let (store, rules) = (store(), budget(MAX));
    let threads: Vec<_> = (0..8_u64)
        .map(|thread| {
            let store = store.clone();
            std::thread::spawn(move || {
                let (mut chance, mut used, mut over) = (thread, 0, 0);
                let mut open = Vec::new();
                for _ in 0..3000 {
                    let reserved = costs(random(&mut chance) % 50, random(&mut chance) % 200);
                    if let Ok(debits) = reserve(&store, &rules, &reserved, NOW) {
                        open.push((debits, reserved.of(Unit::Tokens)));
                    }
                    let ends = random(&mut chance) % 4;
                    while open.len() as u64 > ends {
                        let (debits, reserved) = open.swap_remove(0);
                        let real = match random(&mut chance) % 4 {
                            0 => 0,
                            1 => random(&mut chance) % 400,
                            2 => {
                                drop(debits);
                                used += reserved;
                                continue;
                            }
                            _ => reserved,
                        };
                        settle(&store, debits, &costs(0, real), || NOW);
                        used += real;
                        over += real.saturating_sub(reserved);
                    }
                }
                used += open.iter().map(|(_, reserved)| reserved).sum::<u64>();
                (used, over)
            })
        })
        .collect();
    let sums = threads.into_iter().map(|thread| thread.join().expect("no thread fails"));
    let (used, over) = sums.fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
    let id = store.hasher("budget").id();
    let state = store.kept.find(id, Kind::Quota).expect("it was taken").state();
    // What is over it is carried: days that pass pay for it, and tell how much it was.
    let quota = rules.quota.expect("a quota");
    let left = |days: u64| quota.peek(state, Wall(NOW.wall.0 + days * 86_400 * SECOND)).count;
    assert!(used > MAX * 9 / 10, "{used} were used");
    assert!(used <= MAX + over, "{used} with {over} that nobody could know of");
    assert_eq!(left(0), MAX.saturating_sub(used));
    assert_eq!(left(1), MAX - used.saturating_sub(MAX));
}

/// A reservation outlives its day, its limit and the room in the table.
#[test]
fn what_is_settled_late_finds_whatever_is_there() {
    let store = Arc::new(Store::anonymous(64, HashKey(1, 2), 3).expect("memory"));
    let rules = budget(100);
    let debits = reserve(&store, &rules, &costs(10, 0), NOW).expect("room");
    let late = Times { wall: Wall(NOW.wall.0 + 3 * 86_400 * SECOND), ..NOW };
    // All slots are somebody else's by then.
    let other = rate(1);
    for n in 0..64 {
        let mut asks = [ask(&store, &format!("{n}"), &other)];
        assert!(take(&store, &mut asks, || late).is_ok());
    }
    settle(&store, debits, &costs(500, 0), || late);
    assert_eq!(store.seen().full, 1, "it is noticed that there was no room");
    let tomorrow = Times { boot: Boot(late.boot.0 + 3600 * SECOND), ..late };
    let debits = reserve(&store, &rules, &costs(10, 0), tomorrow).expect("room");
    settle(&store, debits, &costs(150, 0), || tomorrow);
    let refusal = reserve(&store, &rules, &costs(1, 0), tomorrow).err().expect("in debt");
    assert_eq!(refusal.why, Why::Quota);
}
