//! Periods of the calendar, and clocks that step.

use proptest::prelude::*;

use super::*;

fn wall(seconds: u64) -> Wall {
    Wall(seconds * 1_000_000_000)
}

fn daily(max: u64) -> Quota {
    Quota { max, period: Period::Day, offset: 0, carries: false }
}

/// 2026-11-22T05:00:00Z, a Sunday.
const SUNDAY: u64 = 1_795_323_600;

#[test]
fn so_many_a_period_and_never_one_more() {
    let (quota, mut state) = (daily(3), 0);
    for left in [2, 1, 0] {
        let next = quota.take(state, wall(SUNDAY), 1).expect("one of three");
        let found = quota.peek(next, wall(SUNDAY));
        assert_eq!((found.count, found.ends_in), (left, 19 * 3600));
        state = next;
    }
    let spent = quota.take(state, wall(SUNDAY + 19 * 3600 - 1), 1).expect_err("used up");
    assert_eq!(spent, Spent { wait: Some(1) });
    assert!(!is_over(state, wall(SUNDAY + 19 * 3600 - 1)));
    assert!(is_over(state, wall(SUNDAY + 19 * 3600)));
    assert_eq!(quota.peek(state, wall(SUNDAY + 19 * 3600)).count, 3);
    assert!(quota.take(state, wall(SUNDAY + 19 * 3600), 3).is_ok());
    assert!(quota.take(state, wall(SUNDAY + 19 * 3600), 4).is_err());
}

#[test]
fn periods_are_of_the_calendar_in_utc() {
    let monday = SUNDAY + 19 * 3600;
    assert_eq!(Period::Week.around(SUNDAY, 0), (monday - 7 * DAY, monday));
    assert_eq!(Period::Week.around(monday, 0), (monday, monday + 7 * DAY));
    // 2026-11-01 and 2026-12-01.
    let november = (monday - 22 * DAY, monday + 8 * DAY);
    assert_eq!(Period::Month.around(SUNDAY, 0), november);
    assert_eq!(Period::Month.around(november.1, 0), (november.1, november.1 + 31 * DAY));
    // A day that begins at six in the morning.
    assert_eq!(
        Period::Day.around(SUNDAY, 6 * 3600),
        (monday - 2 * DAY + 6 * 3600, monday - DAY + 6 * 3600)
    );
    // 2024-02 had 29 days, 2100-02 has 28, 2000-02 had 29.
    for (day, length) in [(1_707_955_200, 29), (4_106_073_600, 28), (950_572_800, 29)] {
        let (start, end) = Period::Month.around(day, 0);
        assert_eq!((end - start) / DAY, length, "{day}");
    }
}

#[test]
fn every_month_begins_where_the_last_one_ended() {
    let days = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut at = 0;
    for year in 1970_u64..2105 {
        for (month, length) in days.iter().enumerate() {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = length + u64::from(month == 1 && leap);
            for second in [at, at + 1, at + length * DAY / 2, at + length * DAY - 1] {
                let found = Period::Month.around(second, 0);
                assert_eq!(found, (at, at + length * DAY), "{year}-{}", month + 1);
            }
            at += length * DAY;
        }
    }
}

#[test]
fn a_clock_that_steps_back_goes_on_counting_in_the_later_period() {
    let (quota, midnight) = (daily(5), SUNDAY + 19 * 3600);
    let state = quota.take(0, wall(midnight + 1), 4).expect("four");
    // Back to Sunday: one is left, and it is Monday's.
    let state = quota.take(state, wall(midnight - 2), 1).expect("the fifth");
    let left = quota.peek(state, wall(midnight - 2));
    assert_eq!((left.count, left.ends_in), (0, DAY + 2));
    assert!(quota.take(state, wall(midnight + 3), 1).is_err(), "Monday has had its five");
}

#[test]
fn a_shorter_period_after_a_reload_keeps_the_count_and_not_the_wait() {
    let monthly = Quota { max: 100, period: Period::Month, offset: 0, carries: false };
    let state = monthly.take(0, wall(SUNDAY), 90).expect("ninety");
    let daily = daily(95);
    assert_eq!(daily.peek(state, wall(SUNDAY)), Left { count: 5, ends_in: 19 * 3600 });
    let state = daily.take(state, wall(SUNDAY), 5).expect("five");
    assert!(daily.take(state, wall(SUNDAY), 1).is_err());
    assert!(daily.take(state, wall(SUNDAY + DAY), 1).is_ok());
}

#[test]
fn what_is_given_back_is_of_its_own_period() {
    let quota = daily(2);
    let first = quota.take(0, wall(SUNDAY), 1).expect("one");
    let second = quota.take(first, wall(SUNDAY), 1).expect("two");
    assert_eq!(quota.settle(second, wall(SUNDAY), first, (1, 0)), first);
    let monday = quota.take(second, wall(SUNDAY + DAY), 1).expect("one on Monday");
    let settled = quota.settle(monday, wall(SUNDAY + DAY), first, (1, 0));
    assert_eq!(settled, monday, "Sunday's does not count on Monday");
}

fn budget(max: u64, period: Period) -> Quota {
    Quota { max, period, offset: 0, carries: true }
}

#[test]
fn a_budget_is_settled_to_what_was_used_and_its_debt_is_paid_by_the_next_periods() {
    let (quota, midnight) = (budget(100, Period::Day), SUNDAY + 19 * 3600);
    let state = quota.take(0, wall(SUNDAY), 40).expect("forty");
    let state = quota.take(state, wall(SUNDAY), 60).expect("the rest");
    let taken = state;
    assert_eq!(quota.peek(state, wall(SUNDAY)).count, 0);
    assert!(quota.take(state, wall(SUNDAY), 1).is_err());
    // The sixty were ten.
    let state = quota.settle(state, wall(SUNDAY), taken, (60, 10));
    assert_eq!(quota.peek(state, wall(SUNDAY)).count, 50);
    assert!(is_over(state, wall(midnight)), "nothing is owed");
    // The forty were 280: three days have used this, and a fifth of the third is left.
    let state = quota.settle(state, wall(SUNDAY), taken, (40, 280));
    assert_eq!(quota.peek(state, wall(SUNDAY)).count, 0);
    let spent = quota.take(state, wall(SUNDAY), 20).expect_err("in debt");
    assert_eq!(spent.wait, Some(19 * 3600 + 2 * DAY));
    let spent = quota.take(state, wall(SUNDAY), 101).expect_err("more than it is");
    assert_eq!(spent.wait, None);
    assert!(quota.take(state, wall(midnight), 1).is_err(), "Monday pays for Sunday");
    for day in 0..2 {
        assert!(!is_over(state, wall(midnight + day * DAY)), "it is not forgotten");
    }
    let tuesday = midnight + DAY;
    assert_eq!(quota.peek(state, wall(tuesday)).count, 10);
    let next = quota.take(state, wall(tuesday), 10).expect("what is left of it");
    let left = quota.peek(next, wall(tuesday));
    assert_eq!((left.count, left.ends_in), (0, DAY));
    assert!(is_over(next, wall(tuesday + DAY)));
    assert_eq!(quota.peek(state, wall(tuesday + DAY)).count, 100, "Wednesday is free");
    assert!(is_over(state, wall(midnight + 3 * DAY)), "and then nobody knows of it");
}

#[test]
fn what_is_settled_in_a_later_period_counts_there_as_far_as_it_was_too_little() {
    let (quota, later) = (budget(100, Period::Minute), SUNDAY + 90);
    let state = quota.take(0, wall(SUNDAY), 40).expect("forty");
    let taken = state;
    // Nobody else has come since: the count is still the first minute's, and so is what it gets.
    let settled = quota.settle(state, wall(later), taken, (40, 70));
    assert_eq!(quota.peek(settled, wall(later)).count, 100);
    let settled = quota.settle(state, wall(later), taken, (40, 130));
    assert_eq!(quota.peek(settled, wall(later)).count, 70);
    // Somebody has.
    let state = quota.take(state, wall(later), 5).expect("five");
    assert_eq!(quota.settle(state, wall(later), taken, (40, 0)), state);
    let settled = quota.settle(state, wall(later), taken, (40, 70));
    assert_eq!(quota.peek(settled, wall(later)).count, 65);
    // It was forgotten.
    let settled = quota.settle(0, wall(later), taken, (40, 70));
    assert_eq!(quota.peek(settled, wall(later)).count, 70);
}

#[test]
fn a_hundred_thousand_dollars_fit_and_as_much_debt_as_does_is_kept() {
    let quota = budget(100_000 * 1_000_000_000, Period::Month);
    let state = quota.take(0, wall(SUNDAY), quota.max).expect("all of it");
    assert_eq!(quota.peek(state, wall(SUNDAY)).count, 0);
    assert!(quota.take(state, wall(SUNDAY), 1).is_err());
    let state = quota.settle(state, wall(SUNDAY), state, (0, u64::MAX));
    assert!(state < 1 << 80);
    assert_eq!(quota.peek(state, wall(SUNDAY + 20 * DAY)).count, 2 * quota.max - CARRIED_MAX);
    // The last minute that can be told is in 2225.
    let end = MINUTES_MAX * MINUTE;
    let state = quota.take(0, wall(end - 60), 1).expect("one");
    assert!(state < 1 << 80 && quota.peek(state, wall(end - 60)).ends_in > 0);
}

/// Files of before have states of the other form only, and programs of before keep the new ones.
#[test]
fn the_two_forms_are_told_apart() {
    let counts = Quota { max: COUNT_MAX, period: Period::Month, offset: 77, carries: false };
    let state = counts.take(0, wall(MINUTES_MAX * MINUTE), COUNT_MAX).expect("all");
    assert_eq!(state & CARRIES, 0);
    assert!(!is_over(state, wall(MINUTES_MAX * MINUTE)));
    let state = budget(1, Period::Minute).take(0, wall(60), 1).expect("one");
    assert_eq!(state & CARRIES, CARRIES);
    assert!(state >> COUNT_BITS > u128::from(u32::MAX), "it is never over for who reads it so");
}

#[test]
fn minutes_and_hours_are_periods() {
    assert_eq!(Period::Minute.around(SUNDAY + 61, 0), (SUNDAY + 60, SUNDAY + 120));
    assert_eq!(Period::Hour.around(SUNDAY + 61, 60), (SUNDAY + 60, SUNDAY + 3660));
    for (at, period) in Period::ALL.into_iter().enumerate() {
        assert!(period.seconds_min() <= period.seconds_mean(), "{at}");
        assert!(period.seconds_mean() <= period.seconds_max(), "{at}");
    }
}

/// A budget as its definition has it: what each period has used, and what it has left to the next.
#[derive(Default)]
struct Ledger {
    used: std::collections::BTreeMap<u64, u64>,
}

impl Ledger {
    /// What counts in the period that begins at `start`.
    fn counted(&self, quota: &Quota, start: u64) -> u64 {
        let (mut carried, mut at) = (0_u64, None);
        for (&period, &used) in self.used.range(..=start) {
            if let Some(before) = at {
                let passed = months(before, period);
                carried = u64::saturating_sub(carried, passed * quota.max);
            }
            (carried, at) = (carried + used, Some(period));
        }
        carried.saturating_sub(at.map_or(0, |at| months(at, start)) * quota.max)
    }
}

/// How many months lie between two beginnings of one.
fn months(from: u64, to: u64) -> u64 {
    let (mut at, mut count) = (from, 0);
    while at < to {
        (at, count) = (Period::Month.around(at, 0).1, count + 1);
    }
    count
}

proptest! {
    /// Months that reserve, settle and overdraw at random: what is left is what the definition
    /// says, nothing is admitted beyond it, and a state that may be forgotten says nothing.
    #[test]
    fn debt_is_carried_over_months(
        max in 1..200_u64,
        steps in prop::collection::vec((0..20 * DAY, 0..100_u64, 0..400_u64), 1..60),
    ) {
        let quota = budget(max, Period::Month);
        let (mut state, mut now, mut ledger) = (0, SUNDAY, Ledger::default());
        for (pause, reserved, used) in steps {
            now += pause;
            let (start, _) = Period::Month.around(now, 0);
            let counted = ledger.counted(&quota, start);
            prop_assert_eq!(quota.peek(state, wall(now)).count, max.saturating_sub(counted));
            if is_over(state, wall(now)) {
                prop_assert_eq!(counted, 0);
                state = 0;
            }
            let taken = quota.take(state, wall(now), reserved);
            prop_assert_eq!(taken.is_ok(), counted + reserved <= max);
            if let Ok(next) = taken {
                state = quota.settle(next, wall(now), next, (reserved, used));
                *ledger.used.entry(start).or_default() += used;
            } else if let Err(Spent { wait: Some(wait), .. }) = taken {
                prop_assert!(quota.take(state, wall(now + wait + 3 * DAY), reserved).is_ok());
            }
        }
    }
}

proptest! {
    /// Whatever steps back and forth the clock takes, of up to a day, no day admits more than its
    /// quota.
    #[test]
    fn no_period_has_more(
        max in 1..20_u64,
        times in prop::collection::vec((0..DAY, 1..3_u64), 1..200),
        offset in 0..DAY,
    ) {
        let quota = Quota { max, period: Period::Day, offset, carries: false };
        let (mut state, mut counts) = (0, std::collections::BTreeMap::new());
        for (time, cost) in times {
            if let Ok(next) = quota.take(state, wall(SUNDAY + time), cost) {
                state = next;
                let left = quota.peek(state, wall(SUNDAY + time));
                let end = SUNDAY + time + left.ends_in;
                *counts.entry(end).or_insert(0) += cost;
            }
        }
        for (end, count) in counts {
            prop_assert!(count <= max, "{count} in the day that ends at {end}");
        }
    }
}
