//! The order of version ids, and ranges of them as routes write them.
//!
//! Digits compare as numbers, everything else as text, and an id is before a longer one that begins
//! with it: `v2` before `v10`, `2024-01-15` before `2024-02-01`. What a word means is not guessed,
//! so `v1` is before `v1beta1`.

use std::cmp::Ordering;

/// Compares two ids: runs of digits as numbers, the rest as bytes.
#[must_use]
pub fn natural(a: &str, b: &str) -> Ordering {
    let (mut x, mut y) = (runs(a), runs(b));
    loop {
        let order = match (x.next(), y.next()) {
            (None, None) => break,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(left), Some(right)) => compare_runs(left, right),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    // `v1` and `v01` are equal as numbers and yet two ids.
    a.cmp(b)
}

/// What an id looks like: `#` for a short run of digits, one for each digit of a longer one, all
/// else as it is. A segment of this shape can be meant as a version.
#[must_use]
pub fn shape(id: &str) -> String {
    let mut shape = String::with_capacity(id.len());
    for run in runs(id) {
        match run.len() {
            _ if !is_digits(run) => shape.push_str(run),
            // Nobody means a date by three digits, nor the 2024th version by four.
            1..=3 => shape.push('#'),
            digits => shape.extend(std::iter::repeat_n('#', digits)),
        }
    }
    shape
}

/// A set of versions as a route names it: ids, or a range by [`natural`] order, ends included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Range {
    One(String),
    Between(Option<String>, Option<String>),
}

// === impl Range ===

impl Range {
    /// `v1`, `v1..v3`, `v2..`, `..v2`; `None` if it is none of these.
    #[must_use]
    pub fn parse(text: &str) -> Option<Range> {
        let Some((from, to)) = text.split_once("..") else {
            return is_id(text).then(|| Range::One(text.to_owned()));
        };
        let end = |text: &str| match text {
            "" => Some(None),
            id => is_id(id).then(|| Some(id.to_owned())),
        };
        let (from, to) = (end(from)?, end(to)?);
        (from.is_some() || to.is_some()).then_some(Range::Between(from, to))
    }

    /// Whether it holds this id.
    #[must_use]
    pub fn holds(&self, id: &str) -> bool {
        match self {
            Range::One(one) => one == id,
            Range::Between(from, to) => {
                let after = |from: &String| natural(from, id) != Ordering::Greater;
                let before = |to: &String| natural(id, to) != Ordering::Greater;
                from.as_ref().is_none_or(after) && to.as_ref().is_none_or(before)
            }
        }
    }

    /// The ids it names.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        let (first, second) = match self {
            Range::One(id) => (Some(id), None),
            Range::Between(from, to) => (from.as_ref(), to.as_ref()),
        };
        first.into_iter().chain(second).map(String::as_str)
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Range::One(id) => f.write_str(id),
            Range::Between(from, to) => {
                let end = |id: &Option<String>| id.clone().unwrap_or_default();
                write!(f, "{}..{}", end(from), end(to))
            }
        }
    }
}

/// Whether a text can be a version's id: it stands in paths, fields, queries and media types.
#[must_use]
pub fn is_id(text: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=64).contains(&text.len())
        && text.bytes().all(good)
        && !text.contains("..")
        && text.bytes().any(|b| b.is_ascii_alphanumeric())
        && !text.starts_with('.')
        && !text.ends_with('.')
}

fn compare_runs(left: &str, right: &str) -> Ordering {
    if !(is_digits(left) && is_digits(right)) {
        return left.cmp(right);
    }
    // Of any length: compared as text once the zeros in front are gone.
    let (left, right) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

fn is_digits(run: &str) -> bool {
    run.as_bytes().first().is_some_and(u8::is_ascii_digit)
}

/// Runs of digits and of what is none, in turn.
fn runs(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.as_bytes().first()?.is_ascii_digit();
        let end = rest.bytes().position(|b| b.is_ascii_digit() != first).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        rest = after;
        Some(run)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_numbers_and_dates_are_dates() {
        let sorted = |mut ids: Vec<&'static str>| {
            ids.sort_by(|a, b| natural(a, b));
            ids
        };
        assert_eq!(sorted(vec!["v10", "v9", "v1", "v2"]), ["v1", "v2", "v9", "v10"]);
        assert_eq!(
            sorted(vec!["2024-10-01", "2023-12-31", "2024-02-15"]),
            ["2023-12-31", "2024-02-15", "2024-10-01"]
        );
        assert_eq!(sorted(vec!["1.10", "1.9", "1"]), ["1", "1.9", "1.10"]);
        assert_eq!(sorted(vec!["v1beta2", "v1", "v1beta1"]), ["v1", "v1beta1", "v1beta2"]);
        let huge = "v99999999999999999999999999";
        assert_eq!(natural(huge, "v100000000000000000000000000"), Ordering::Less);
    }

    #[test]
    fn shapes_tell_versions_from_other_segments() {
        assert_eq!(shape("v1"), shape("v12"));
        assert_eq!(shape("2024-01-15"), shape("2031-9-3"));
        for other in ["pets", "v", "w1", "v1x", "1", "v2024"] {
            assert_ne!(shape("v1"), shape(other), "{other}");
        }
        assert_ne!(shape("2024-01-15"), shape("24-01-15"));
    }

    #[test]
    fn ranges_hold_their_ends() {
        let holds = |range: &str, id: &str| Range::parse(range).expect(range).holds(id);
        assert!(holds("v1..v3", "v1") && holds("v1..v3", "v3") && holds("v1..v3", "v2"));
        assert!(!holds("v1..v3", "v10") && !holds("v1..v3", "v4"));
        assert!(holds("v2..", "v10") && !holds("v2..", "v1"));
        assert!(holds("..v2", "v1") && !holds("..v2", "v3"));
        assert!(holds("v2", "v2") && !holds("v2", "v20"));
        for wrong in ["", "..", "v1...v2", "v 1", "a/b", "v1..v2..v3", ".", "v1/"] {
            assert_eq!(Range::parse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn the_order_is_total(a in "[v0-9.b-]{0,6}", b in "[v0-9.b-]{0,6}", c in "[v0-9.b-]{0,6}") {
            prop_assert_eq!(natural(&a, &b), natural(&b, &a).reverse());
            prop_assert_eq!(natural(&a, &b) == Ordering::Equal, a == b);
            if natural(&a, &b).is_le() && natural(&b, &c).is_le() {
                prop_assert!(natural(&a, &c).is_le(), "{a} {b} {c}");
            }
        }

        #[test]
        fn a_range_is_what_lies_between(from in 0_u32..30, to in 0_u32..30, id in 0_u32..30) {
            let range = Range::parse(&format!("v{from}..v{to}")).expect("is a range");
            prop_assert_eq!(range.holds(&format!("v{id}")), (from..=to).contains(&id));
        }
    }
}
