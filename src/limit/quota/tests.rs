//! Periods of the calendar, and clocks that step.

use proptest::prelude::*;

use super::*;

fn wall(seconds: u64) -> Wall {
    Wall(seconds * 1_000_000_000)
}

fn daily(max: u64) -> Quota {
    Quota { max, period: Period::Day, offset: 0 }
}

/// 2026-11-22T05:00:00Z, a Sunday.
const SUNDAY: u64 = 1_795_323_600;

#[test]
fn so_many_a_period_and_never_one_more() {
    let (quota, mut state) = (daily(3), 0);
    for left in [2, 1, 0] {
        let (next, found) = quota.take(state, wall(SUNDAY), 1).expect("one of three");
        assert_eq!((found.count, found.ends_in), (left, 19 * 3600));
        state = next;
    }
    let left = quota.take(state, wall(SUNDAY + 19 * 3600 - 1), 1).expect_err("used up");
    assert_eq!((left.count, left.ends_in), (0, 1));
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
    let (state, _) = quota.take(0, wall(midnight + 1), 4).expect("four");
    // Back to Sunday: one is left, and it is Monday's.
    let (state, left) = quota.take(state, wall(midnight - 2), 1).expect("the fifth");
    assert_eq!((left.count, left.ends_in), (0, DAY + 2));
    assert!(quota.take(state, wall(midnight + 3), 1).is_err(), "Monday has had its five");
}

#[test]
fn a_shorter_period_after_a_reload_keeps_the_count_and_not_the_wait() {
    let monthly = Quota { max: 100, period: Period::Month, offset: 0 };
    let (state, _) = monthly.take(0, wall(SUNDAY), 90).expect("ninety");
    let daily = daily(95);
    assert_eq!(daily.peek(state, wall(SUNDAY)), Left { count: 5, ends_in: 19 * 3600 });
    let (state, _) = daily.take(state, wall(SUNDAY), 5).expect("five");
    assert!(daily.take(state, wall(SUNDAY), 1).is_err());
    assert!(daily.take(state, wall(SUNDAY + DAY), 1).is_ok());
}

#[test]
fn what_is_given_back_is_of_its_own_period() {
    let quota = daily(2);
    let (first, _) = quota.take(0, wall(SUNDAY), 1).expect("one");
    let (second, _) = quota.take(first, wall(SUNDAY), 1).expect("two");
    assert_eq!(quota.give_back(second, first, 1), first);
    let (monday, _) = quota.take(second, wall(SUNDAY + DAY), 1).expect("one on Monday");
    assert_eq!(quota.give_back(monday, first, 1), monday, "Sunday's does not count on Monday");
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
        let quota = Quota { max, period: Period::Day, offset };
        let (mut state, mut counts) = (0, std::collections::BTreeMap::new());
        for (time, cost) in times {
            if let Ok((next, left)) = quota.take(state, wall(SUNDAY + time), cost) {
                state = next;
                let end = SUNDAY + time + left.ends_in;
                *counts.entry(end).or_insert(0) += cost;
            }
        }
        for (end, count) in counts {
            prop_assert!(count <= max, "{count} in the day that ends at {end}");
        }
    }
}
