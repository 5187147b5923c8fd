//! What a breaker promises.

use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;

fn rules() -> BreakerRules {
    BreakerRules {
        failures: 3,
        ratio: 0,
        requests_min: 20,
        window: Duration::from_secs(8),
        open: Duration::from_secs(10),
        open_max: Duration::from_secs(35),
        half_open: 2,
    }
}

fn at(seconds: u64) -> Tick {
    Tick(seconds * SECOND)
}

/// Sends a request, which fails or does not; false if it was not admitted.
fn send(breaker: &Breaker, now: Tick, good: bool) -> bool {
    let Some(admission) = breaker.admit(&rules(), now) else { return false };
    if good {
        breaker.succeeded(admission, &rules(), now);
    } else {
        breaker.failed(admission, &rules(), now);
    }
    true
}

#[test]
fn a_row_of_failures_opens_it_for_longer_each_time() {
    let breaker = Breaker::default();
    // second, whether it fares well, whether it was admitted
    for (second, good, admitted) in [
        (0, false, true),
        (0, false, true),
        (1, true, true), // breaks the row
        (1, false, true),
        (1, false, true),
        (2, false, true), // opens until 12
        (2, true, false),
        (11, true, false),
        (13, false, true), // a trial: opens until 33
        (32, true, false),
        (34, false, true), // until 69: forty seconds, but for the longest
        (68, true, false),
        (70, true, true), // closes
        (70, false, true),
        (70, false, true),
        (70, false, true), // until 80: the past is forgotten
        (79, true, false),
        (81, true, true),
    ] {
        assert_eq!(send(&breaker, at(second), good), admitted, "at {second}");
    }
    assert_eq!(breaker.state(at(81)), BreakerState::Closed);
}

#[test]
fn half_open_lets_only_so_many_go() {
    let breaker = Breaker::default();
    (0..3).for_each(|_| assert!(send(&breaker, at(0), false)));
    let BreakerState::Open(until) = breaker.state(at(1)) else { panic!("it is open") };
    assert!(until >= at(10) && until <= Tick(10 * SECOND + (2 << UNIT)), "{until:?}");
    assert_eq!(breaker.state(until), BreakerState::HalfOpen);
    let first = breaker.admit(&rules(), until).expect("a trial");
    let second = breaker.admit(&rules(), until).expect("another one");
    assert!(!breaker.admits(&rules(), until) && breaker.admit(&rules(), until).is_none());
    breaker.given_back(first);
    let third = breaker.admit(&rules(), until).expect("its place is free");
    breaker.failed(second, &rules(), until);
    assert!(matches!(breaker.state(until), BreakerState::Open(_)));
    // One of the time before has nothing to say about this one.
    let (state, later) = (breaker.state(until), at(31));
    breaker.succeeded(third, &rules(), until);
    breaker.given_back(third);
    assert_eq!(breaker.state(until), state);
    let trial = breaker.admit(&rules(), later).expect("a trial of the next time");
    breaker.failed(third, &rules(), later);
    assert_eq!(breaker.state(later), BreakerState::HalfOpen);
    breaker.succeeded(trial, &rules(), later);
    assert_eq!(breaker.state(later), BreakerState::Closed);
}

#[test]
fn what_was_sent_before_it_opened_changes_nothing() {
    let breaker = Breaker::default();
    let early = breaker.admit(&rules(), at(0)).expect("it is closed");
    (0..3).for_each(|_| assert!(send(&breaker, at(0), false)));
    let state = breaker.state(at(1));
    breaker.succeeded(early, &rules(), at(1));
    breaker.failed(early, &rules(), at(1));
    breaker.given_back(early);
    assert_eq!(breaker.state(at(1)), state);
}

#[test]
fn it_is_held_for_as_long_as_the_other_side_says_but_not_for_ever() {
    let breaker = Breaker::default();
    breaker.hold(&rules(), at(0), Duration::from_secs(5));
    assert!(!breaker.admits(&rules(), at(4)) && breaker.admits(&rules(), at(6)));
    breaker.hold(&rules(), at(0), Duration::from_secs(1));
    assert!(!breaker.admits(&rules(), at(4)), "never shortened");
    breaker.hold(&rules(), at(0), Duration::from_secs(86_400));
    assert!(!breaker.admits(&rules(), at(34)) && breaker.admits(&rules(), at(36)));
    // It was told, not found out: the next opening is no longer than the first.
    assert!(send(&breaker, at(40), false));
    assert!(breaker.admits(&rules(), at(51)));
}

#[test]
fn no_number_of_failures_opens_one_that_is_off() {
    let off = BreakerRules { failures: 0, ..rules() };
    let breaker = Breaker::default();
    for _ in 0..200_000 {
        let admission = breaker.admit(&off, at(0)).expect("never opens");
        breaker.failed(admission, &off, at(0));
    }
}

/// Half of twenty requests in eight seconds, but no number in a row.
fn by_share() -> BreakerRules {
    BreakerRules { failures: 0, ratio: 5_000, ..rules() }
}

/// Sends so many at a second, of which so many fail, the good ones first; how many were admitted.
fn send_some(breaker: &Breaker, second: u64, good: u32, bad: u32) -> u32 {
    let (rules, now) = (by_share(), at(second));
    let mut sent = 0;
    for fails in (0..good + bad).map(|n| n >= good) {
        let Some(admission) = breaker.admit(&rules, now) else { continue };
        sent += 1;
        match fails {
            true => breaker.failed(admission, &rules, now),
            false => breaker.succeeded(admission, &rules, now),
        }
    }
    sent
}

#[test]
fn a_share_of_failures_opens_it_too() {
    // what was sent at which second: good, bad; whether it is open then
    let scenarios: [&[(u64, u32, u32, bool)]; 5] = [
        // Half of twenty, with successes in between: no row of failures.
        &[(0, 1, 1, false), (1, 5, 4, false), (3, 4, 4, false), (5, 0, 1, true)],
        // Too few.
        &[(0, 0, 19, false), (9, 0, 19, false), (18, 0, 20, true)],
        // Not half.
        &[(0, 51, 49, false), (1, 500, 499, false), (2, 0, 3, true)],
        // The window moves on.
        &[(0, 0, 15, false), (9, 10, 9, false), (10, 0, 1, true)],
        // A success does not open it, only the next failure.
        &[(0, 0, 19, false), (1, 1, 0, false), (1, 0, 1, true)],
    ];
    for scenario in scenarios {
        let breaker = Breaker::default();
        for &(second, good, bad, opens) in scenario {
            assert_eq!(send_some(&breaker, second, good, bad), good + bad, "{scenario:?}");
            let is_open = matches!(breaker.state(at(second)), BreakerState::Open(_));
            assert_eq!(is_open, opens, "{scenario:?}, at {second}");
        }
    }
}

#[test]
fn what_failed_before_it_opened_does_not_open_it_again() {
    let breaker = Breaker::default();
    let short = BreakerRules { open: Duration::from_secs(1), ..by_share() };
    for _ in 0..20 {
        let admission = breaker.admit(&short, at(0)).expect("it is closed");
        breaker.failed(admission, &short, at(0));
    }
    assert!(breaker.admit(&short, at(0)).is_none());
    let trial = breaker.admit(&short, at(2)).expect("a trial");
    breaker.succeeded(trial, &short, at(2));
    assert_eq!(send_some(&breaker, 2, 0, 19), 19, "they count alone");
    assert_eq!(send_some(&breaker, 2, 0, 2), 1, "the twentieth opens it");
}

#[derive(Clone, Debug)]
enum Step {
    Admit,
    Succeed(usize),
    Fail(usize),
    GiveBack(usize),
    Hold(u64),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Admit),
        1 => (0usize..8).prop_map(Step::Succeed),
        4 => (0usize..8).prop_map(Step::Fail),
        1 => (0usize..8).prop_map(Step::GiveBack),
        1 => (0u64..60).prop_map(Step::Hold),
        2 => (0u64..20).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn nobody_goes_while_it_is_open_and_few_while_it_is_half_open(
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let (breaker, rules, mut now) = (Breaker::default(), rules(), 1000);
        let mut under_way: Vec<Admission> = Vec::new();
        for step in steps {
            let state = breaker.state(at(now));
            let mut settle = |at: usize| {
                (!under_way.is_empty()).then(|| under_way.swap_remove(at % under_way.len()))
            };
            match step {
                Step::Wait(seconds) => now += seconds,
                Step::Succeed(i) => {
                    let succeed = |admission| breaker.succeeded(admission, &rules, at(now));
                    settle(i).into_iter().for_each(succeed);
                }
                Step::Fail(i) => settle(i)
                    .into_iter()
                    .for_each(|admission| breaker.failed(admission, &rules, at(now))),
                Step::GiveBack(i) => {
                    settle(i).into_iter().for_each(|admission| breaker.given_back(admission));
                }
                Step::Hold(wait) => breaker.hold(&rules, at(now), Duration::from_secs(wait)),
                Step::Admit => {
                    let could = breaker.admits(&rules, at(now));
                    let admission = breaker.admit(&rules, at(now));
                    prop_assert_eq!(could, admission.is_some());
                    match state {
                        BreakerState::Closed => {
                            prop_assert_eq!(admission, Some(Admission::Usual));
                        }
                        BreakerState::Open(until) => {
                            prop_assert!(admission.is_none() && until > at(now));
                        }
                        BreakerState::HalfOpen => {
                            let trials = |a: &&Admission| {
                                **a != Admission::Usual && Some(**a) == admission
                            };
                            prop_assert!(under_way.iter().filter(trials).count() < 2);
                        }
                    }
                    under_way.extend(admission);
                }
            }
            if let BreakerState::Open(until) = breaker.state(at(now)) {
                prop_assert!(until <= Tick(at(now).0 + 36 * SECOND), "never out for longer");
            }
        }
    }
}

#[test]
fn rules_that_never_open_it_hold_it_only() {
    let never = BreakerRules { failures: 0, ..rules() };
    let breaker = Breaker::default();
    breaker.hold(&never, at(0), Duration::from_secs(1));
    assert!(breaker.admit(&never, at(0)).is_none());
    let trial = breaker.admit(&never, at(2)).expect("the time is over");
    breaker.failed(trial, &never, at(2));
    assert_eq!(breaker.state(at(2)), BreakerState::Closed);
}
