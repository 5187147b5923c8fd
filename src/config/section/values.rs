//! The typed values of a section, each by the schema's kind, default and range for its key.

use std::time::Duration;

use super::{Either, Section, Spot};
use crate::bounds;
use crate::config::schema::{Kind, Range};
use crate::config::spot::{show_bytes, show_count, show_ms, show_percent};
use crate::config::tree::Value;
use crate::config::types::{FilePath, Moment, Percent};
use crate::config::units::{self, show_usd};
use crate::limit::{NANO_PER_USD, Unit};

// === impl Section ===

impl<'a> Section<'a> {
    pub(in crate::config) fn flag(&self, key: &str) -> bool {
        let Kind::Flag(default) = self.row(key).kind else {
            panic!("{} is a flag", self.path_of(key));
        };
        let Some(spot) = self.value(key) else { return default };
        let Value::Flag(flag) = spot.node.value else {
            spot.error("not a flag", "write true or false, without quotes");
            return default;
        };
        flag
    }

    pub(in crate::config) fn count<T: TryFrom<u64>>(&self, key: &str) -> T {
        let number = self.count_if(key).unwrap_or_else(|| {
            let Kind::Count { default: Some(default), .. } = self.row(key).kind else {
                panic!("{} has a default", self.path_of(key));
            };
            default
        });
        let Ok(number) = T::try_from(number) else {
            panic!("the range of {} fits its field", self.path_of(key));
        };
        number
    }

    /// `None` if the key is not there.
    pub(in crate::config) fn count_if(&self, key: &str) -> Option<u64> {
        let Kind::Count { range, .. } = self.row(key).kind else {
            panic!("{} is a count", self.path_of(key));
        };
        let spot = self.value(key)?;
        let Value::Integer(number, _) = spot.node.value else {
            spot.error(
                "not a number",
                &format!("write {}, without quotes", range.show(show_count)),
            );
            return None;
        };
        let number = number.and_then(|number| u64::try_from(number).ok());
        spot.within(number, range, show_count)
    }

    /// So much of a unit: dollars are a decimal text, all else is counted. `None` if the key is not
    /// there.
    pub(in crate::config) fn amount_if(&self, key: &str, unit: Unit) -> Option<u64> {
        let Kind::Amount(range) = self.row(key).kind else { return self.count_if(key) };
        let spot = self.value(key)?;
        if unit == Unit::Money {
            let max = bounds::USD_MAX * NANO_PER_USD;
            let text = if let Value::Text { text, .. } = &spot.node.value { text } else { "" };
            let nano = spot.take(units::usd(text))?;
            return spot.within(Some(nano), Range { max, ..range }, show_usd);
        }
        let number = match &spot.node.value {
            Value::Integer(number, _) => number.and_then(|number| u64::try_from(number).ok()),
            Value::Text { text, .. } if text.bytes().all(|b| b.is_ascii_digit()) => {
                text.parse().ok()
            }
            _ => {
                spot.error("not a number", &format!("write {}", range.show(show_count)));
                return None;
            }
        };
        spot.within(number, range, show_count)
    }

    /// `None` if it is zero.
    pub(in crate::config) fn count_or_none(&self, key: &str) -> Option<u64> {
        Some(self.count(key)).filter(|number| *number != 0)
    }

    pub(in crate::config) fn duration(&self, key: &str) -> Duration {
        self.duration_if(key).unwrap_or_else(|| {
            let Kind::Duration { default: Some(ms), .. } = self.row(key).kind else {
                panic!("{} has a default", self.path_of(key));
            };
            Duration::from_millis(ms)
        })
    }

    /// `None` if it is zero.
    pub(in crate::config) fn duration_or_none(&self, key: &str) -> Option<Duration> {
        Some(self.duration(key)).filter(|duration| !duration.is_zero())
    }

    /// `None` if the key is not there.
    pub(in crate::config) fn duration_if(&self, key: &str) -> Option<Duration> {
        let Kind::Duration { range, .. } = self.row(key).kind else {
            panic!("{} is a duration", self.path_of(key));
        };
        let spot = self.value(key)?;
        let read = spot.measure(|text| {
            units::duration(text).map(|duration| duration.as_millis().try_into().ok())
        })?;
        spot.within(read, range, show_ms).map(Duration::from_millis)
    }

    pub(in crate::config) fn size(&self, key: &str) -> u64 {
        self.size_if(key).unwrap_or_else(|| {
            let Kind::Size { default: Some(bytes), .. } = self.row(key).kind else {
                panic!("{} has a default", self.path_of(key));
            };
            bytes
        })
    }

    /// `None` if the key is not there.
    pub(in crate::config) fn size_if(&self, key: &str) -> Option<u64> {
        let Kind::Size { range, .. } = self.row(key).kind else {
            panic!("{} is a size", self.path_of(key));
        };
        let spot = self.value(key)?;
        let read = spot.measure(|text| units::size(text).map(Some))?;
        spot.within(read, range, show_bytes)
    }

    pub(in crate::config) fn percent(&self, key: &str) -> Percent {
        let Kind::Percent { default, range } = self.row(key).kind else {
            panic!("{} is a percentage", self.path_of(key));
        };
        let read = || {
            let spot = self.value(key)?;
            let Some(text) = spot.node.text() else {
                spot.error("not a percentage", r#"write a number and a %: "20%", "0.5%""#);
                return None;
            };
            let percent = spot.take(units::percent(text))?;
            spot.within(Some(u64::from(percent.0)), range, show_percent)?;
            Some(percent)
        };
        read().unwrap_or(Percent(default))
    }

    /// One of the schema's words.
    pub(in crate::config) fn choice<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> T {
        let Kind::Choice { default, .. } = self.row(key).kind else {
            panic!("{} is a choice", self.path_of(key));
        };
        self.choice_if(key, words).unwrap_or_else(|| {
            let chosen = words.iter().find(|(word, _)| Some(*word) == default);
            chosen.map(|(_, value)| *value).expect("the schema's default is one of its words")
        })
    }

    /// `None` if the key is not there.
    pub(in crate::config) fn choice_if<T: Copy>(
        &self,
        key: &str,
        words: &[(&str, T)],
    ) -> Option<T> {
        let Kind::Choice { words: known, .. } = self.row(key).kind else {
            panic!("{} is a choice", self.path_of(key));
        };
        assert!(
            words.iter().map(|(word, _)| word).eq(known),
            "{} has its words",
            self.path_of(key)
        );
        let spot = self.value(key)?;
        spot.word(words)
    }

    /// A point in time; `None` if the key is not there.
    pub(in crate::config) fn date_if(&self, key: &str) -> Option<Moment> {
        assert!(matches!(self.row(key).kind, Kind::Date), "{} is a date", self.path_of(key));
        let spot = self.value(key)?;
        let text = match &spot.node.value {
            Value::Date(text) | Value::Text { text, .. } => text.as_str(),
            _ => "",
        };
        let moment = Moment::parse(text);
        if moment.is_none() {
            let remedy = "write \"2026-12-31\" (midnight UTC) or \"2026-12-31T23:59:59Z\"";
            spot.error("not a date since 1970", remedy);
        }
        moment
    }

    /// `true`, or the table in its place; `None` if the key is not there or `false`.
    pub(in crate::config) fn switch(&self, key: &str) -> Option<Either<'a, ()>> {
        assert!(matches!(self.row(key).kind, Kind::Switch), "{} is a switch", self.path_of(key));
        let spot = self.value(key)?;
        match spot.node.value {
            Value::Table(_) => self.below(key).map(Either::Table),
            Value::Flag(flag) => flag.then_some(Either::Word(())),
            _ => {
                spot.error("neither a flag nor a table", "write true, or { key = value, ... }");
                None
            }
        }
    }

    /// One of the schema's words, or the table in its place; `None` if the key is not there.
    pub(in crate::config) fn either<T: Copy>(
        &self,
        key: &str,
        words: &[(&str, T)],
    ) -> Option<Either<'a, T>> {
        let Kind::Either(known) = self.row(key).kind else {
            panic!("{} is a word or a table", self.path_of(key));
        };
        assert!(words.iter().map(|(word, _)| word).eq(known), "{} has its words", self.path);
        let spot = self.value(key)?;
        match &spot.node.value {
            Value::Table(_) => self.below(key).map(Either::Table),
            _ => spot.word(words).map(Either::Word),
        }
    }

    /// The names and texts of a table.
    pub(in crate::config) fn texts_by_name(&self, key: &str) -> Vec<(&'a str, Spot<'a>)> {
        assert!(matches!(self.row(key).kind, Kind::Pairs(_)), "{} has texts", self.path_of(key));
        let pairs = self.entries(key).into_iter();
        let texts = pairs.filter(|(_, _, spot)| spot.is_text("any text"));
        texts.map(|(name, _, spot)| (name, spot)).collect()
    }

    /// The text of `key` if it is there and is one.
    pub(in crate::config) fn text(&self, key: &str) -> Option<Spot<'a>> {
        let Kind::Text { form, .. } = self.row(key).kind else {
            panic!("{} is a text", self.path_of(key));
        };
        let spot = self.value(key)?;
        spot.is_text(form).then_some(spot)
    }

    /// The text of `key`, or its default.
    pub(in crate::config) fn text_or_default(&self, key: &str) -> (String, Option<Spot<'a>>) {
        let Kind::Text { default: Some(default), .. } = self.row(key).kind else {
            panic!("{} has a default", self.path_of(key));
        };
        match self.text(key) {
            Some(spot) => (spot.text().to_owned(), Some(spot)),
            None => (default.to_owned(), None),
        }
    }

    /// The texts of the list `key`; `None` if it is not there.
    pub(in crate::config) fn texts(&self, key: &str) -> Option<Vec<Spot<'a>>> {
        let Kind::Texts { form, .. } = self.row(key).kind else {
            panic!("{} is a list of texts", self.path_of(key));
        };
        let items = self.items(key)?;
        Some(items.into_iter().filter(|spot| spot.is_text(form)).collect())
    }

    /// The values of a list of words; the schema's default if the key is not there.
    pub(in crate::config) fn words<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Vec<T> {
        let Kind::Texts { default: Some(default), .. } = self.row(key).kind else {
            panic!("{} has a default", self.path_of(key));
        };
        match self.texts(key) {
            Some(spots) => spots.iter().filter_map(|spot| spot.word(words)).collect(),
            None => {
                let chosen = words.iter().filter(|(word, _)| default.contains(word));
                chosen.map(|(_, value)| *value).collect()
            }
        }
    }

    /// A path, resolved against the directory of the file that names it.
    pub(in crate::config) fn file(&self, key: &str) -> Option<FilePath> {
        self.text(key)?.file()
    }
}
