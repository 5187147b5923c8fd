//! What the gateway counts, as a scraper sees it: the Prometheus text of the admin server, by a
//! parser of its own.

use std::collections::{BTreeMap, BTreeSet};

use super::Gateway;

/// One scrape.
pub struct Scrape {
    /// Names as their TYPE lines say them.
    families: BTreeSet<String>,
    samples: Vec<Sample>,
}

/// A line of it.
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

// === impl Scrape ===

impl Scrape {
    /// Asks the gateway's admin server.
    pub fn of(gateway: &Gateway) -> Scrape {
        // Another host than its address or localhost it would not answer.
        let asked = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let response = super::client::ask(gateway.admin(), asked);
        assert_eq!(response.status, 200, "{response:?}");
        let text = response.text();
        let family =
            |line: &str| line.strip_prefix("# TYPE ")?.split(' ').next().map(str::to_owned);
        Scrape {
            families: text.lines().filter_map(family).collect(),
            samples: text.lines().filter(|line| !line.starts_with('#')).map(sample).collect(),
        }
    }

    /// The sum over all lines of that name which have these labels; 0 if there is none, but a
    /// family nobody knows fails the test.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let has = |sample: &Sample| {
            labels
                .iter()
                .all(|(label, value)| sample.labels.get(*label).is_some_and(|found| found == value))
        };
        whole(self.named(name).filter(|sample| has(sample)).map(|sample| sample.value).sum())
    }

    /// The same, to be compared with lengths.
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> usize {
        usize::try_from(self.sum(name, labels)).expect("a count of things in memory")
    }

    /// Sums by the values of one label, those of zero left out.
    pub fn by(&self, name: &str, label: &str) -> BTreeMap<String, u64> {
        let mut sums: BTreeMap<String, f64> = BTreeMap::new();
        for sample in self.named(name) {
            *sums.entry(sample.labels[label].clone()).or_default() += sample.value;
        }
        sums.into_iter().map(|(value, sum)| (value, whole(sum))).filter(|(_, n)| *n > 0).collect()
    }

    fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Sample> {
        let family = name.strip_suffix("_count").unwrap_or(name);
        assert!(self.families.contains(family), "there is no metric {family}");
        self.samples.iter().filter(move |sample| sample.name == name)
    }
}

/// `name{label="value",...} 1.5`; label values of the scenarios hold no quotes and no commas.
fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let labels = labels.trim_end_matches('}').split(',').filter(|pair| !pair.is_empty());
    let labels = labels.map(|pair| {
        let (label, value) = pair.split_once('=').unwrap_or_else(|| panic!("no label: {line}"));
        (label.to_owned(), value.trim_matches('"').to_owned())
    });
    Sample {
        name: name.to_owned(),
        labels: labels.collect(),
        value: value.parse().unwrap_or_else(|_| panic!("not a number: {line}")),
    }
}

/// Counts are whole numbers below 2^53.
fn whole(value: f64) -> u64 {
    assert!(value >= 0.0 && value.fract() == 0.0, "{value} is no count");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "just checked")]
    let whole = value as u64;
    whole
}
