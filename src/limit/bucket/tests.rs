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
        let (next, fill) = bucket.take(state, Boot(start), 1).expect("a token");
        assert_eq!((fill.tokens, fill.full_in_ns), (left, (3 - left) * SECOND / 10));
        state = next;
    }
    let short = bucket.take(state, Boot(start), 1).expect_err("empty");
    assert_eq!((short.fill.tokens, short.wait_ns), (0, Some(SECOND / 10)));
    let early = bucket.take(state, Boot(start + SECOND / 10 - 1), 1).expect_err("not yet");
    assert_eq!(early.wait_ns, Some(1));
    assert!(bucket.take(state, Boot(start + SECOND / 10), 1).is_ok());
    assert!(!is_full(state, Boot(start + 3 * SECOND / 10 - 1)));
    assert!(is_full(state, Boot(start + 3 * SECOND / 10)));
}

#[test]
fn several_tokens_at_once_are_all_or_none_and_more_than_the_burst_never() {
    let bucket = bucket(per_second(1), 10);
    let (state, fill) = bucket.take(0, Boot(0), 7).expect("seven");
    assert_eq!(fill.tokens, 3);
    let short = bucket.take(state, Boot(0), 4).expect_err("three are left");
    assert_eq!((short.fill.tokens, short.wait_ns), (3, Some(SECOND)));
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
    let (state, _) = bucket(hourly, 100).take(0, Boot(0), 100).expect("all of it");
    let faster = bucket(per_second(100), 200);
    assert_eq!(faster.peek(state, Boot(0)), Fill { tokens: 0, full_in_ns: 2 * SECOND });
    let short = faster.take(state, Boot(0), 1).expect_err("empty");
    assert_eq!(short.wait_ns, Some(SECOND / 100));
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
            if let Ok((next, fill)) = taken {
                prop_assert!(fill.tokens <= burst);
                state = next;
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
            if let Ok((next, _)) = bucket.take(state, Boot(now), cost) {
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
            if let Ok((next, _)) = late {
                let (least, _) = on_time.expect("just so");
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
            if let Ok((next, _)) = bucket.take(state, Boot(now), cost) {
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
