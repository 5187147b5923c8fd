//! What the ledger adds up to: entries of a period, grouped.
//!
//! Reads the rows of the period once, in their order on the disk, and sums them here: money in 128
//! bits, so that no sum of it is rounded or overflows, and quantiles to within a sixteenth.
//! Invariant: names of columns are this file's own words; what a caller asks for is compared, never
//! put into SQL.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Write};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use serde_json::{Map, Value, json};

use crate::bounds::LEDGER_GROUPS_MAX;
use crate::clock::{self, Tick, Wall};
use crate::config::{Moment, duration_of};
use crate::llm::Entry;

/// What entries can be grouped by, or chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    Key,
    Team,
    Api,
    Operation,
    Model,
    Provider,
    Served,
    Outcome,
    Day,
    Hour,
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    pub by: Vec<Column>,
    /// From then on, and before then.
    pub since: Wall,
    pub until: Wall,
    /// Only entries that have these values.
    pub only: Vec<(Column, String)>,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum NoReport {
    /// More groups than anybody reads.
    TooMany,
    /// It took too long.
    TooLong,
    Sql(rusqlite::Error),
}

/// What a group, or everything, adds up to.
#[derive(Clone, Debug, Default)]
struct Sum {
    requests: u64,
    input: u64,
    cached: u64,
    cache_write: u64,
    output: u64,
    reasoning: u64,
    cost_pico: u128,
    estimated: u64,
    errors: u64,
    latency: Spread,
    first_token: Spread,
}

/// Counts of microseconds in buckets, eight to a power of two.
#[derive(Clone, Debug, Default)]
struct Spread(BTreeMap<u16, u64>);

/// The values of the columns that are grouped by, and what they add up to.
type Group = (Vec<String>, Sum);

/// The groups of a report, each found by the bytes of its names.
#[derive(Default)]
struct Groups {
    places: HashMap<Box<[u8]>, usize>,
    sums: Vec<Group>,
}

const NUMBERS: &str = "input, cached, cache_write, output, reasoning, cost_pico_usd, estimated, \
                       outcome, total_us, first_token_us";
/// How many columns those are.
const NUMBER_COLUMNS: usize = 10;
/// How many rows are read between two looks at the clock.
const ROWS_PER_LOOK: u64 = 4096;
const DAY_NS: u64 = 86_400 * 1_000_000_000;
const HOUR_NS: u64 = 3_600 * 1_000_000_000;

// === impl Column ===

impl Column {
    pub const ALL: [(Column, &'static str); 10] = [
        (Column::Key, "key"),
        (Column::Team, "team"),
        (Column::Api, "api"),
        (Column::Operation, "operation"),
        (Column::Model, "model"),
        (Column::Provider, "provider"),
        (Column::Served, "served"),
        (Column::Outcome, "outcome"),
        (Column::Day, "day"),
        (Column::Hour, "hour"),
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        Column::ALL[self as usize].1
    }

    /// The column called so.
    #[must_use]
    pub fn named(name: &str) -> Option<Column> {
        Column::ALL.iter().find(|(_, known)| *known == name).map(|(column, _)| *column)
    }

    /// The names, for who wrote another.
    #[must_use]
    pub fn names() -> String {
        Column::ALL.map(|(_, name)| name).join(", ")
    }

    fn is_time(self) -> bool {
        matches!(self, Column::Day | Column::Hour)
    }
}

// === impl Question ===

impl Question {
    /// Reads a question as it is written: columns with commas between them, times as
    /// `time` reads them, conditions as `column=value`.
    ///
    /// # Errors
    /// The parameter that is wrong, and why.
    pub fn read<'a>(
        by: &str,
        since: &str,
        until: Option<&str>,
        only: impl IntoIterator<Item = &'a str>,
        now: Wall,
    ) -> Result<Question, (&'static str, String)> {
        let column = |parameter, name: &str| {
            let unknown = || format!("there is no {name:?}; there are {}", Column::names());
            Column::named(name).ok_or_else(|| (parameter, unknown()))
        };
        let mut columns = Vec::new();
        for name in by.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let column = column("by", name)?;
            // Twice says no more than once.
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        let mut conditions = Vec::new();
        for condition in only {
            let pair = condition.split_once('=');
            let (name, value) = pair.ok_or(("where", "write column=value".to_owned()))?;
            conditions.push((column("where", name.trim())?, value.to_owned()));
        }
        let since = time(since, now).map_err(|why| ("since", why))?;
        let until = until.map_or(Ok(now), |text| time(text, now).map_err(|why| ("until", why)))?;
        if since > until {
            return Err(("until", "it lies before since".to_owned()));
        }
        Ok(Question { by: columns, since, until, only: conditions })
    }

    /// The answer, as JSON; `by` is when it must be there.
    ///
    /// # Errors
    /// When there is none.
    pub fn answer(&self, conn: &Connection, by: Tick) -> Result<Value, NoReport> {
        let (mut groups, total) = self.sums(conn, by)?;
        if self.by.iter().any(|column| column.is_time()) {
            groups.sort_by(|(one, _), (other, _)| one.cmp(other));
        } else {
            let key =
                |sum: &Sum| (std::cmp::Reverse(sum.cost_pico), std::cmp::Reverse(sum.requests));
            groups.sort_by(|(a, one), (b, other)| key(one).cmp(&key(other)).then(a.cmp(b)));
        }
        let names: Vec<&str> = self.by.iter().map(|column| column.name()).collect();
        let each = groups.iter().map(|(values, sum)| {
            let mut object = Map::new();
            for (name, value) in names.iter().zip(values) {
                object.insert((*name).to_owned(), value.as_str().into());
            }
            object.extend(sum.json());
            Value::Object(object)
        });
        let moment = |at: Wall| Moment { seconds: at.seconds() }.to_string();
        Ok(json!({
            "since": moment(self.since),
            "until": moment(self.until),
            "by": names,
            "groups": each.collect::<Vec<_>>(),
            "total": sum_object(&total),
        }))
    }

    fn sums(&self, conn: &Connection, by: Tick) -> Result<(Vec<Group>, Sum), NoReport> {
        let texts = self.by.clone();
        let only: Vec<Column> = self.only.iter().map(|(column, _)| *column).collect();
        let mut sql = format!("SELECT {NUMBERS}");
        for column in texts.iter().chain(&only) {
            // Of a time there is nothing to be read but the time.
            let name = if column.is_time() { "time_ns" } else { column.name() };
            write!(sql, ", {name}").expect("a String takes all text");
        }
        sql.push_str(" FROM usage WHERE time_ns >= ?1 AND time_ns < ?2");
        let mut statement = conn.prepare(&sql).map_err(NoReport::Sql)?;
        let bound = |at: Wall| i64::try_from(at.0).unwrap_or(i64::MAX);
        let mut rows =
            statement.query([bound(self.since), bound(self.until)]).map_err(NoReport::Sql)?;
        let (mut groups, mut total, mut seen) = (Groups::default(), Sum::default(), 0_u64);
        let mut name = Vec::new();
        while let Some(row) = rows.next().map_err(NoReport::Sql)? {
            seen += 1;
            if seen.is_multiple_of(ROWS_PER_LOOK) && clock::now() > by {
                return Err(NoReport::TooLong);
            }
            if !self.wants(row, NUMBER_COLUMNS + texts.len()) {
                continue;
            }
            total.add(row);
            name.clear();
            for (at, column) in texts.iter().enumerate() {
                name_part(row, *column, NUMBER_COLUMNS + at, &mut name);
            }
            groups.of(&name, |place| spelled(place, &texts))?.add(row);
        }
        Ok((groups.sums, total))
    }

    /// Whether a row has the values that are asked for, its texts from `first` on.
    fn wants(&self, row: &Row<'_>, first: usize) -> bool {
        let mut part = Vec::new();
        self.only.iter().enumerate().all(|(at, (column, value))| {
            if column.is_time() {
                part.clear();
                name_part(row, *column, first + at, &mut part);
                return spelled(&part, &[*column])[0] == *value;
            }
            matches!(row.get_ref(first + at), Ok(ValueRef::Text(text)) if text == value.as_bytes())
        })
    }
}

// === impl Groups ===

impl Groups {
    fn of(
        &mut self,
        name: &[u8],
        spell: impl Fn(&[u8]) -> Vec<String>,
    ) -> Result<&mut Sum, NoReport> {
        let at = match self.places.get(name) {
            Some(at) => *at,
            None if self.sums.len() >= LEDGER_GROUPS_MAX => return Err(NoReport::TooMany),
            None => {
                self.places.insert(name.into(), self.sums.len());
                self.sums.push((spell(name), Sum::default()));
                self.sums.len() - 1
            }
        };
        Ok(&mut self.sums[at].1)
    }
}

/// Appends what tells a value of the column from all others: its length and itself, or its number.
fn name_part(row: &Row<'_>, column: Column, at: usize, name: &mut Vec<u8>) {
    if column.is_time() {
        let unit = if column == Column::Day { DAY_NS } else { HOUR_NS };
        name.extend_from_slice(&(number(row, at) / unit).to_be_bytes());
        return;
    }
    let text = match row.get_ref(at) {
        Ok(ValueRef::Text(text)) => text,
        _ => b"",
    };
    name.extend_from_slice(&(text.len() as u64).to_be_bytes());
    name.extend_from_slice(text);
}

/// The values of a name, as they are shown.
fn spelled(mut name: &[u8], columns: &[Column]) -> Vec<String> {
    let mut values = Vec::with_capacity(columns.len());
    for column in columns {
        let Some((head, rest)) = name.split_first_chunk() else { break };
        let number = u64::from_be_bytes(*head);
        name = rest;
        let moment = |seconds: u64| Moment { seconds }.to_string();
        values.push(match column {
            Column::Day => moment(number * 86_400)[..10].to_owned(),
            Column::Hour => format!("{}:00Z", &moment(number * 3_600)[..13]),
            _ => {
                let len = usize::try_from(number).unwrap_or(usize::MAX);
                let (text, rest) = name.split_at(len.min(name.len()));
                name = rest;
                String::from_utf8_lossy(text).into_owned()
            }
        });
    }
    values
}

// === impl Sum ===

impl Sum {
    fn add(&mut self, row: &Row<'_>) {
        let outcome = row.get_ref(7);
        // A request's row stands beside it.
        let lost = matches!(outcome, Ok(ValueRef::Text(text)) if text == Entry::LOST.as_bytes());
        self.requests += u64::from(!lost);
        let sums = [
            &mut self.input,
            &mut self.cached,
            &mut self.cache_write,
            &mut self.output,
            &mut self.reasoning,
        ];
        for (at, sum) in sums.into_iter().enumerate() {
            *sum = sum.saturating_add(number(row, at));
        }
        self.cost_pico += u128::from(number(row, 5));
        self.estimated += u64::from(number(row, 6) > 0);
        self.errors += u64::from(!lost && !matches!(outcome, Ok(ValueRef::Text(b"ok"))));
        if !lost {
            self.latency.add(number(row, 8));
        }
        if let Ok(ValueRef::Integer(first)) = row.get_ref(9) {
            self.first_token.add(u64::try_from(first).unwrap_or(0));
        }
    }

    fn json(&self) -> Map<String, Value> {
        let object = json!({
            "requests": self.requests,
            "input_tokens": self.input,
            "cached_tokens": self.cached,
            "cache_write_tokens": self.cache_write,
            "output_tokens": self.output,
            "reasoning_tokens": self.reasoning,
            "total_tokens": self.input.saturating_add(self.output),
            "cost_usd": usd(self.cost_pico),
            "estimated": self.estimated,
            "errors": self.errors,
            "latency_p50_us": self.latency.quantile(50),
            "latency_p95_us": self.latency.quantile(95),
            "first_token_p50_us": self.first_token.quantile(50),
            "first_token_p95_us": self.first_token.quantile(95),
        });
        match object {
            Value::Object(map) => map,
            _ => unreachable!("an object was written"),
        }
    }
}

fn sum_object(sum: &Sum) -> Value {
    Value::Object(sum.json())
}

fn number(row: &Row<'_>, at: usize) -> u64 {
    match row.get_ref(at) {
        Ok(ValueRef::Integer(number)) => u64::try_from(number).unwrap_or(0),
        _ => 0,
    }
}

// === impl Spread ===

impl Spread {
    fn add(&mut self, us: u64) {
        *self.0.entry(Spread::bucket(us)).or_default() += 1;
    }

    /// The value at or below which that many of a hundred lie; none of nothing.
    fn quantile(&self, percent: u64) -> Option<u64> {
        let count: u64 = self.0.values().sum();
        let rank = (count * percent).div_ceil(100).max(1);
        let mut below = 0;
        for (bucket, in_it) in &self.0 {
            below += in_it;
            if below >= rank {
                return Some(Spread::middle(*bucket));
            }
        }
        None
    }

    /// Below 16 each value has its own; above, eight share a power of two.
    #[expect(clippy::cast_possible_truncation, reason = "at most 64 powers of two")]
    fn bucket(us: u64) -> u16 {
        if us < 16 {
            return us as u16;
        }
        let octave = us.ilog2() - 3;
        (octave as u16) * 8 + (us >> octave) as u16
    }

    fn middle(bucket: u16) -> u64 {
        if bucket < 16 {
            return u64::from(bucket);
        }
        let (octave, front) = (bucket / 8 - 1, u64::from(bucket % 8 + 8));
        (front << octave) + (1 << octave) / 2
    }
}

// === impl NoReport ===

impl fmt::Display for NoReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoReport::TooMany => write!(
                f,
                "more than {LEDGER_GROUPS_MAX} groups: group by less, or ask for a shorter time"
            ),
            NoReport::TooLong => f.write_str("it takes too long: ask for a shorter time"),
            NoReport::Sql(error) => write!(f, "the usage ledger cannot be read: {error}"),
        }
    }
}

/// A time: so long ago (`24h`, `7d`), a date, or a date and time (RFC 3339).
///
/// # Errors
/// When it is none of these.
pub fn time(text: &str, now: Wall) -> Result<Wall, String> {
    if let Ok(ago) = duration_of(text) {
        return Ok(Wall(now.0.saturating_sub(clock::nanos(ago))));
    }
    let moment = Moment::parse(text).and_then(|moment| moment.seconds.checked_mul(1_000_000_000));
    moment.map(Wall).ok_or_else(|| {
        "write how long ago (24h, 7d), a date (2027-01-31) or 2027-01-31T12:00:00Z".to_owned()
    })
}

/// 10^-12 USD as USD: exact, with two digits behind the point at least.
#[must_use]
pub fn usd(pico: u128) -> String {
    const USD: u128 = 1_000_000_000_000;
    let text = format!("{}.{:012}", pico / USD, pico % USD);
    let digits = text.trim_end_matches('0').len().max(text.len() - 10);
    text[..digits].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::ledger::db::Usage;
    use crate::control::ledger::tests::{entry, write};
    use proptest::prelude::*;

    const HOUR: u64 = HOUR_NS;

    fn asked(by: &str, only: &[&str]) -> Question {
        Question::read(by, "1970-01-01", Some("1970-02-01"), only.iter().copied(), Wall(0)).unwrap()
    }

    fn answer(usage: &Usage, question: &Question) -> Value {
        question.answer(usage.conn(), Tick::NEVER).unwrap()
    }

    fn filled() -> Usage {
        let usage = Usage::open(None).unwrap();
        let one = entry(HOUR);
        let batch = [
            one,
            crate::llm::Entry { key: "zed", cost_pico: 1, outcome: "upstream_reset", ..entry(2) },
            Entry { key: "zed", cost_pico: 5, outcome: Entry::LOST, total_us: 9, ..entry(3) },
            crate::llm::Entry { estimated: true, total_us: 5_000_000, ..entry(25 * HOUR) },
            crate::llm::Entry { model: "m2", first_token_us: None, ..entry(26 * HOUR) },
        ];
        write(&mut usage.pen(), &batch);
        usage
    }

    #[test]
    fn groups_add_up_to_the_total_and_money_is_exact() {
        let usage = filled();
        let all = answer(&usage, &asked("key,model", &[]));
        let names: Vec<(&str, &str)> = all["groups"]
            .as_array()
            .unwrap()
            .iter()
            .map(|group| (group["key"].as_str().unwrap(), group["model"].as_str().unwrap()))
            .collect();
        assert_eq!(names, [("acme", "gpt-4o-mini"), ("acme", "m2"), ("zed", "gpt-4o-mini")]);
        let first = &all["groups"][0];
        assert_eq!(first["requests"], 2);
        assert_eq!(first["cost_usd"], "0.000768");
        assert_eq!(first["estimated"], 1);
        assert_eq!(first["total_tokens"], 2 * 1540);
        assert_eq!(first["errors"], 0);
        assert_eq!(all["groups"][1]["first_token_p50_us"], Value::Null);
        let zed = ["requests", "errors", "latency_p50_us"].map(|name| &all["groups"][2][name]);
        let alone = answer(&usage, &asked("key", &["outcome=upstream_reset"]));
        let alone = ["requests", "errors", "latency_p50_us"].map(|name| &alone["groups"][0][name]);
        assert_eq!(zed, alone, "an attempt that was lost is no request");
        assert_eq!(all["groups"][2]["errors"], 1);
        assert_eq!(all["total"]["cost_usd"], "0.001152000006");
        assert_eq!(all["total"]["requests"], 4);
        assert_eq!(answer(&usage, &asked("", &[]))["groups"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn days_and_hours_are_in_their_order_and_conditions_hold() {
        let usage = filled();
        let days = answer(&usage, &asked("day", &[]));
        assert_eq!(days["groups"][0]["day"], "1970-01-01");
        assert_eq!(days["groups"][1]["day"], "1970-01-02");
        assert_eq!(days["groups"][1]["requests"], 2);
        let hours = answer(&usage, &asked("hour,key", &["day=1970-01-01"]));
        assert_eq!(hours["groups"][0]["hour"], "1970-01-01T00:00Z");
        assert_eq!(hours["groups"][0]["key"], "zed");
        assert_eq!(hours["groups"][1]["hour"], "1970-01-01T01:00Z");
        assert_eq!(hours["total"]["requests"], 2);
        let acme = answer(&usage, &asked("", &["key=acme", "model=m2"]));
        assert_eq!(acme["total"]["requests"], 1);
        let none = answer(&usage, &asked("key", &["key=no'body"]));
        assert_eq!(
            (none["groups"].as_array().unwrap().len(), &none["total"]["requests"]),
            (0, &0.into())
        );
    }

    #[test]
    fn a_period_begins_with_its_first_moment_and_ends_before_its_last() {
        let usage = filled();
        let of = |since: u64, until: u64| {
            let question = Question { since: Wall(since), until: Wall(until), ..asked("", &[]) };
            answer(&usage, &question)["total"]["requests"].clone()
        };
        assert_eq!(of(HOUR, 25 * HOUR), 1);
        assert_eq!(of(HOUR, 25 * HOUR + 1), 2);
        assert_eq!(of(HOUR + 1, 25 * HOUR), 0);
    }

    #[test]
    fn a_wrong_question_says_what_is_wrong() {
        let now = Wall(100 * HOUR);
        let read = |by: &str, since: &str, until: Option<&str>, only: &[&str]| {
            Question::read(by, since, until, only.iter().copied(), now).map_err(|(name, _)| name)
        };
        assert_eq!(read("kez", "1h", None, &[]).unwrap_err(), "by");
        assert_eq!(read("key,key", "1h", None, &[]).unwrap().by, [Column::Key]);
        assert_eq!(read("key", "soon", None, &[]).unwrap_err(), "since");
        assert_eq!(read("key", "1h", Some("2h"), &[]).unwrap_err(), "until");
        assert_eq!(read("key", "1h", None, &["key"]).unwrap_err(), "where");
        assert_eq!(read("key", "1h", None, &["cost=1"]).unwrap_err(), "where");
        let good = read(" key , model", "90m", Some("30m"), &["key=a=b"]).unwrap();
        assert_eq!(
            (good.since, good.until),
            (Wall(98 * HOUR + HOUR / 2), Wall(99 * HOUR + HOUR / 2))
        );
        assert_eq!(good.only, [(Column::Key, "a=b".to_owned())]);
    }

    #[test]
    fn money_has_at_least_cents() {
        for (pico, text) in [
            (0, "0.00"),
            (1, "0.000000000001"),
            (500_000_000_000, "0.50"),
            (12_345_678_900_000_000, "12345.6789"),
        ] {
            assert_eq!(usd(pico), text);
        }
    }

    proptest! {
        #[test]
        fn a_quantile_lies_near_the_value(us in 0_u64..1 << 50) {
            let mut spread = Spread::default();
            spread.add(us);
            let shown = spread.quantile(95).unwrap();
            prop_assert!(shown.abs_diff(us) <= us / 16, "{us} {shown}");
        }
    }
}
