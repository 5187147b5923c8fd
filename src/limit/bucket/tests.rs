//! Against the definition, in exact arithmetic.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;

fn per_second(tokens: u64) -> Rate {
    Rate { thousandths: tokens * 1000, per_ns: SECOND }
}

fn bucket(rate: Rate, burst: u64) -> Bucket {
    Bucket::new(rate, burst).expect("a bucket")
}

#[test]
fn a_full_bucket_gives_its_burst_and_then_one_token_an_interval() {
    let bucket = bucket(per_second(10), 3);
    let (mut state, start) = (0, 5 * SECOND);
    for left in (0..3).rev() {
        let next = bucket.take(state, Boot(start), 1).expect("a token");
        let fill = bucket.peek(next, Boot(start));
        assert_eq!((fill.tokens, fill.full_in_ns), (left, (3 - left) * SECOND / 10));
        state = next;
    }
    let short = bucket.take(state, Boot(start), 1).expect_err("empty");
    assert_eq!(short.wait_ns, Some(SECOND / 10));
    let early = bucket.take(state, Boot(start + SECOND / 10 - 1), 1).expect_err("not yet");
    assert_eq!(early.wait_ns, Some(1));
    assert!(bucket.take(state, Boot(start + SECOND / 10), 1).is_ok());
    assert!(!is_full(state, Boot(start + 3 * SECOND / 10 - 1)));
    assert!(is_full(state, Boot(start + 3 * SECOND / 10)));
}

#[test]
fn several_tokens_at_once_are_all_or_none_and_more_than_the_burst_never() {
    let bucket = bucket(per_second(1), 10);
    let state = bucket.take(0, Boot(0), 7).expect("seven");
    assert_eq!(bucket.peek(state, Boot(0)).tokens, 3);
    let short = bucket.take(state, Boot(0), 4).expect_err("three are left");
    assert_eq!(short.wait_ns, Some(SECOND));
    assert_eq!(bucket.take(state, Boot(0), 11).expect_err("too many").wait_ns, None);
    assert!(bucket.take(state, Boot(0), 3).is_ok());
}

#[test]
fn rates_up_to_a_million_lose_less_than_a_token_a_second() {
    for tokens in [1, 3, 7, 999, 99_991, 999_983, 999_999, 1_000_000] {
        let bucket = bucket(per_second(tokens), 1);
        let day = (86_400_u128 * u128::from(SECOND)) << FRACTION;
        let given = day / bucket.interval;
        let exact = 86_400 * u128::from(tokens);
        assert!(given <= exact && exact - given < 86_400, "{tokens}/s: {given} of {exact}");
    }
}

#[test]
fn a_bucket_that_never_fills_or_holds_nothing_is_none() {
    assert_eq!(Bucket::new(per_second(1), 0), Err(BucketError::Empty));
    assert_eq!(Bucket::new(Rate { thousandths: 0, per_ns: SECOND }, 1), Err(BucketError::Empty));
    let hourly = Rate { thousandths: 1000, per_ns: 3600 * SECOND };
    assert!(Bucket::new(hourly, 366 * 24).is_ok());
    assert_eq!(Bucket::new(hourly, 366 * 24 + 1), Err(BucketError::TooSlow));
    let never = Rate { thousandths: 1, per_ns: u64::MAX };
    assert_eq!(Bucket::new(never, u64::MAX), Err(BucketError::TooSlow));
}

#[test]
fn a_smaller_burst_after_a_reload_is_at_worst_an_empty_bucket() {
    let hourly = Rate { thousandths: 1000, per_ns: 3600 * SECOND };
    let state = bucket(hourly, 100).take(0, Boot(0), 100).expect("all of it");
    let faster = bucket(per_second(100), 200);
    assert_eq!(faster.peek(state, Boot(0)), Fill { tokens: 0, full_in_ns: 2 * SECOND });
    let short = faster.take(state, Boot(0), 1).expect_err("empty");
    assert_eq!(short.wait_ns, Some(SECOND / 100));
}

#[test]
fn a_bucket_too_fast_to_be_counted_is_none() {
    let per_ns = SECOND;
    // A thousand dollars a second, counted in 10^-9 of one.
    let fast = Rate { thousandths: 1_000_000_000_000_000, per_ns };
    let money = bucket(fast, 1_000_000_000_000);
    assert!(money.fill_ns().abs_diff(SECOND) < SECOND / 1000, "{}", money.fill_ns());
    let faster = Rate { thousandths: 5_000_000_000_000_000, per_ns };
    assert_eq!(Bucket::new(faster, 1), Err(BucketError::TooFast));
}

#[test]
fn what_was_reserved_is_settled_and_debt_is_paid_by_time() {
    let bucket = bucket(per_second(10), 100).carrying();
    let state = bucket.take(0, Boot(SECOND), 60).expect("sixty");
    assert_eq!(bucket.peek(state, Boot(SECOND)).tokens, 40);
    // Twenty were used: at once, and half a second later, all of the rest comes back.
    for at in [SECOND, SECOND + SECOND / 2] {
        let settled = bucket.settle(state, state, Boot(at), (60, 20));
        let got = (at - SECOND) * 10 / SECOND;
        assert_eq!(bucket.peek(settled, Boot(at)).tokens, 80 + got);
    }
    let settled = bucket.settle(state, state, Boot(6 * SECOND), (60, 10));
    assert_eq!(bucket.peek(settled, Boot(6 * SECOND)).tokens, 100, "they had been paid by then");
    let full = bucket.take(state, Boot(8 * SECOND), 100).expect("all of it");
    let settled = bucket.settle(full, state, Boot(8 * SECOND), (60, 0));
    assert_eq!(settled, full, "what time has given back is not given twice");
    // 250 were used: that is 150 more than it holds, and 15 seconds until it is no more empty.
    let settled = bucket.settle(state, state, Boot(SECOND), (60, 250));
    let fill = bucket.peek(settled, Boot(SECOND));
    assert_eq!((fill.tokens, fill.full_in_ns), (0, 25 * SECOND));
    let short = bucket.take(settled, Boot(SECOND), 5).expect_err("in debt");
    assert_eq!(short.wait_ns, Some(15 * SECOND + SECOND / 2));
    assert!(bucket.take(settled, Boot(16 * SECOND), 0).is_ok(), "the debt is paid");
    assert!(bucket.take(settled, Boot(16 * SECOND - 1), 0).is_err());
    assert!(bucket.take(settled, Boot(16 * SECOND + SECOND / 2), 5).is_ok());
    assert!(!is_full(settled, Boot(26 * SECOND - 1)), "it is not forgotten before");
    assert!(is_full(settled, Boot(26 * SECOND)));
}

#[test]
fn debt_has_a_bound_that_a_state_can_hold() {
    let year = Rate { thousandths: 1000, per_ns: 366 * 86_400 * SECOND };
    for bucket in [bucket(year, 1), bucket(per_second(1), 1000)] {
        let bucket = bucket.carrying();
        let settled = bucket.settle(0, 0, Boot(SECOND), (0, u64::MAX));
        assert!(settled <= STATE_MAX);
        let short = bucket.take(settled, Boot(SECOND), 1).expect_err("in debt");
        assert!(short.wait_ns.is_some());
        // After a reload to a faster rate nobody waits for more than a hundred of its bursts.
        let faster = Bucket::new(per_second(100), 100).expect("a bucket").carrying();
        let short = faster.take(settled, Boot(SECOND), 1).expect_err("in debt");
        assert!(short.wait_ns.expect("it passes") <= 101 * SECOND);
    }
}

/// The definition: tokens as an exact fraction, thousandths of a token times nanoseconds.
struct Model {
    rate: Rate,
    burst: u128,
    level: u128,
    at: u64,
}

impl Model {
    fn take(&mut self, now: u64, cost: u64) -> bool {
        let one = u128::from(self.rate.per_ns) * 1000;
        let got = u128::from(now - self.at) * u128::from(self.rate.thousandths);
        self.level = (self.level + got).min(self.burst * one);
        self.at = now;
        let enough = self.level >= u128::from(cost) * one;
        if enough {
            self.level -= u128::from(cost) * one;
        }
        enough
    }
}

/// The same with debt: it may hold less than nothing.
struct Account {
    rate: Rate,
    most: i128,
    level: i128,
}

impl Account {
    fn new(rate: Rate, burst: u64) -> Account {
        let most = i128::from(burst) * i128::from(rate.per_ns) * 1000;
        Account { rate, most, level: most }
    }

    fn wait(&mut self, ns: u64) {
        let got = i128::from(ns) * i128::from(self.rate.thousandths);
        self.level = (self.level + got).min(self.most);
    }

    fn add(&mut self, tokens: i128) {
        self.level = (self.level + tokens * i128::from(self.rate.per_ns) * 1000).min(self.most);
    }

    fn has(&self, tokens: u64) -> bool {
        self.level >= i128::from(tokens) * i128::from(self.rate.per_ns) * 1000
    }
}

fn rates() -> impl Strategy<Value = Rate> {
    let units = prop::sample::select(vec![SECOND, 60 * SECOND, 3600 * SECOND, 86_400 * SECOND]);
    (1..=2_000_000_000_u64, units).prop_map(|(thousandths, per_ns)| Rate { thousandths, per_ns })
}

fn steps() -> impl Strategy<Value = Vec<(u64, u64)>> {
    // Pauses of all sizes, costs mostly of one.
    let pause = (0_u32..40).prop_flat_map(|bits| 0..=1_u64 << bits);
    prop::collection::vec((pause, prop_oneof![4 => Just(1_u64), 1 => 1..50_u64]), 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    /// What it gives, the definition would have given at that time or before: never a token too
    /// many. And it is never behind by a whole token, but for what rounding has lost.
    #[test]
    fn it_gives_what_the_definition_gives(rate in rates(), burst in 1..1000_u64, steps in steps()) {
        let Ok(bucket) = Bucket::new(rate, burst) else { return Ok(()) };
        let mut model = Model { rate, burst: burst.into(), level: 0, at: SECOND };
        model.level = u128::from(burst) * u128::from(rate.per_ns) * 1000;
        let (mut state, mut now) = (0, SECOND);
        for (pause, cost) in steps {
            now += pause;
            let taken = bucket.take(state, Boot(now), cost);
            let could = {
                let level = model.level;
                let at = model.at;
                let could = model.take(now, cost);
                if taken.is_err() {
                    model.level = level;
                    model.at = at;
                }
                could
            };
            prop_assert!(could || taken.is_err(), "a token too many");
            if let (true, Err(short)) = (could, &taken) {
                // Rounding up has cost less than a unit for each token given.
                let wait = short.wait_ns.expect("the model would have given them");
                prop_assert!(wait <= 1 + burst, "{wait} ns late");
                // From here on they agree again: the bucket is the later.
            }
            if let Ok(next) = taken {
                prop_assert!(bucket.peek(next, Boot(now)).tokens <= burst);
                state = next;
            }
        }
    }

    /// Reserved and settled to anything: it never admits what the definition would not that gets
    /// all of the rest back, and never refuses what the definition would not that gets none of it
    /// back. Both pay for all that was used, beyond empty too.
    #[test]
    fn settling_takes_what_was_used(
        rate in rates(), burst in 10..1000_u64, steps in steps(),
        used in prop::collection::vec((0..60_u64, 0..6_usize), 200),
    ) {
        let Ok(bucket) = Bucket::new(rate, burst) else { return Ok(()) };
        let bucket = bucket.carrying();
        let (mut state, mut now) = (0, SECOND);
        let (mut most, mut least) = (Account::new(rate, burst), Account::new(rate, burst));
        let mut open: Vec<(usize, u128, u64, u64)> = Vec::new();
        for (i, ((pause, cost), (used, after))) in steps.into_iter().zip(used).enumerate() {
            now += pause;
            most.wait(pause);
            least.wait(pause);
            for (_, taken, cost, used) in open.extract_if(.., |(due, ..)| *due <= i) {
                state = bucket.settle(state, taken, Boot(now), (cost, used));
                most.add(i128::from(cost) - i128::from(used));
                least.add((i128::from(cost) - i128::from(used)).min(0));
            }
            match bucket.take(state, Boot(now), cost) {
                Ok(next) => {
                    prop_assert!(most.has(cost), "a token too many");
                    prop_assert!(bucket.peek(next, Boot(now)).tokens <= burst);
                    state = next;
                    most.add(-i128::from(cost));
                    least.add(-i128::from(cost));
                    open.push((i + after, next, cost, used));
                }
                Err(short) => {
                    let late = |wait| least.has(cost) && wait > 1000;
                    prop_assert!(!short.wait_ns.is_none_or(late) || cost > burst, "{:?}", short);
                }
            }
        }
    }

    /// In any window of time: no more than the burst and what the rate gives in it.
    #[test]
    fn no_window_has_more_than_burst_and_rate(
        rate in rates(), burst in 1..50_u64, steps in steps(),
    ) {
        let Ok(bucket) = Bucket::new(rate, burst) else { return Ok(()) };
        let (mut state, mut now) = (0, SECOND);
        let mut given: VecDeque<(u64, u64)> = VecDeque::new();
        for (pause, cost) in steps {
            now += pause;
            if let Ok(next) = bucket.take(state, Boot(now), cost) {
                state = next;
                given.push_back((now, cost));
            }
        }
        for first in 0..given.len() {
            let mut sum: u128 = 0;
            for &(at, cost) in given.range(first..) {
                sum += u128::from(cost);
                let time = u128::from(at - given[first].0);
                let most = u128::from(burst) * 1000 * u128::from(rate.per_ns)
                    + time * u128::from(rate.thousandths);
                prop_assert!(sum * 1000 * u128::from(rate.per_ns) <= most);
            }
        }
    }

    /// Threads that are late with their idea of now get no more than those on time.
    #[test]
    fn a_late_clock_admits_no_more(
        rate in rates(), burst in 1..50_u64, steps in steps(), lag in 0..1_000_000_u64,
    ) {
        let Ok(bucket) = Bucket::new(rate, burst) else { return Ok(()) };
        let (mut state, mut now) = (0, SECOND);
        for (pause, cost) in steps {
            now += pause;
            let late = bucket.take(state, Boot(now - lag), cost);
            let on_time = bucket.take(state, Boot(now), cost);
            prop_assert!(late.is_err() || on_time.is_ok());
            if let Ok(next) = late {
                let least = on_time.expect("just so");
                // What it leaves behind is no fuller than if it had been on time, seen from now.
                prop_assert!(bucket.peek(next, Boot(now)).tokens <= burst);
                prop_assert!(next <= least);
                state = next;
            }
        }
    }

    /// With give-backs after some time, still no window has more than burst and rate, what was
    /// given back not counted.
    #[test]
    fn what_is_given_back_is_never_given_twice(
        rate in rates(), burst in 1..20_u64, steps in steps(),
        back in prop::collection::vec((any::<bool>(), 0..5_usize), 200),
    ) {
        let Ok(bucket) = Bucket::new(rate, burst) else { return Ok(()) };
        let (mut state, mut now) = (0, SECOND);
        let mut given: Vec<(u64, u64)> = Vec::new();
        // Taken, to be given back after so many steps.
        let mut out: Vec<(usize, u64, u64)> = Vec::new();
        for (i, ((pause, cost), (returns, after))) in steps.into_iter().zip(back).enumerate() {
            now += pause;
            out.retain(|&(due, taken, cost)| {
                if due <= i {
                    state = bucket.give_back(state, Boot(taken), Boot(now), cost);
                }
                due > i
            });
            if let Ok(next) = bucket.take(state, Boot(now), cost) {
                state = next;
                if returns {
                    out.push((i + after, now, cost));
                } else {
                    given.push((now, cost));
                }
            }
        }
        for first in 0..given.len() {
            let mut sum: u128 = 0;
            for &(at, cost) in &given[first..] {
                sum += u128::from(cost);
                let time = u128::from(at - given[first].0);
                let most = u128::from(burst) * 1000 * u128::from(rate.per_ns)
                    + time * u128::from(rate.thousandths);
                prop_assert!(sum * 1000 * u128::from(rate.per_ns) <= most);
            }
        }
    }
}
