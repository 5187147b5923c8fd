//! JSON as a tree that borrows its texts and keeps the order of its keys.
//!
//! The order matters: models write the keys of an answer in the order their schema has them. Knows
//! nothing of dialects. Invariants: at most `JSON_LEVELS_MAX` levels, at most `JSON_VALUES_MAX`
//! values, and no key twice in one object, which different readers would read differently.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::Number;

use crate::bounds::{JSON_LEVELS_MAX, JSON_VALUES_MAX};

/// Above so many keys a set finds the second of two, below it a look at all of them.
const KEYS_COMPARED: usize = 16;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json<'a> {
    Null,
    Bool(bool),
    Number(Number),
    Text(Cow<'a, str>),
    List(Vec<Json<'a>>),
    Object(Object<'a>),
}

/// The pairs of an object, in their order.
pub(super) type Object<'a> = Vec<(Cow<'a, str>, Json<'a>)>;

/// The value of a key.
pub(super) fn get<'o, 'a>(object: &'o [(Cow<'a, str>, Json<'a>)], key: &str) -> &'o Json<'a> {
    object.iter().find(|(name, _)| name == key).map_or(&Json::Null, |(_, value)| value)
}

// === impl Json ===

impl<'a> Json<'a> {
    /// One JSON text and nothing behind it; the error says what is wrong, in words for the client.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Json<'a>, String> {
        let (left, levels) = (Cell::new(JSON_VALUES_MAX), JSON_LEVELS_MAX);
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        let value = Seed { left: &left, levels }
            .deserialize(&mut reader)
            .map_err(|error| error.to_string())?;
        reader.end().map_err(|error| error.to_string())?;
        Ok(value)
    }

    pub(super) fn text(text: impl Into<Cow<'a, str>>) -> Json<'a> {
        Json::Text(text.into())
    }

    pub(super) fn object<const N: usize>(pairs: [(&'static str, Json<'a>); N]) -> Json<'a> {
        Json::Object(pairs.into_iter().map(|(key, value)| (Cow::Borrowed(key), value)).collect())
    }

    /// The value of a key; null if it is no object or has no such key.
    pub(super) fn get(&self, key: &str) -> &Json<'a> {
        match self {
            Json::Object(object) => get(object, key),
            _ => &Json::Null,
        }
    }

    /// Takes the value of a key out; null stays behind.
    pub(super) fn take(&mut self, key: &str) -> Json<'a> {
        let Json::Object(pairs) = self else { return Json::Null };
        let found = pairs.iter_mut().find(|(name, _)| name == key);
        found.map_or(Json::Null, |(_, value)| std::mem::replace(value, Json::Null))
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self, Json::Null)
    }

    pub(super) fn is_object(&self) -> bool {
        matches!(self, Json::Object(_))
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn as_bool(&self) -> Option<bool> {
        match self {
            Json::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// A whole number that is not negative; `10.0` is one.
    pub(super) fn as_u64(&self) -> Option<u64> {
        let Json::Number(number) = self else { return None };
        if let Some(whole) = number.as_u64() {
            return Some(whole);
        }
        let float = number.as_f64()?;
        // Up to 2^53 every whole number is a float of its own.
        let fits = (0.0..=9_007_199_254_740_992.0).contains(&float) && float.fract() == 0.0;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "fits")]
        fits.then_some(float as u64)
    }

    pub(super) fn as_f64(&self) -> Option<f64> {
        match self {
            Json::Number(number) => number.as_f64(),
            _ => None,
        }
    }

    /// The values of a list; none if it is no list.
    pub(super) fn items(&self) -> &[Json<'a>] {
        match self {
            Json::List(items) => items,
            _ => &[],
        }
    }

    /// The kind of value, in words.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool(_) => "a boolean",
            Json::Number(_) => "a number",
            Json::Text(_) => "a string",
            Json::List(_) => "an array",
            Json::Object(_) => "an object",
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        serde_json::to_writer(out, self).expect("a tree of texts and finite numbers is written");
    }

    pub(super) fn to_text(&self) -> String {
        let mut out = Vec::new();
        self.write(&mut out);
        String::from_utf8(out).expect("JSON is written as UTF-8")
    }

    pub(super) fn into_owned(self) -> Json<'static> {
        match self {
            Json::Null => Json::Null,
            Json::Bool(value) => Json::Bool(value),
            Json::Number(number) => Json::Number(number),
            Json::Text(text) => Json::Text(Cow::Owned(text.into_owned())),
            Json::List(items) => Json::List(items.into_iter().map(Json::into_owned).collect()),
            Json::Object(pairs) => Json::Object(
                pairs
                    .into_iter()
                    .map(|(key, value)| (Cow::Owned(key.into_owned()), value.into_owned()))
                    .collect(),
            ),
        }
    }
}

impl From<u64> for Json<'_> {
    fn from(number: u64) -> Self {
        Json::Number(number.into())
    }
}

/// Writes a text as a JSON string.
pub(super) fn write_text(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a text is written");
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Json::Null => serializer.serialize_unit(),
            Json::Bool(value) => serializer.serialize_bool(*value),
            Json::Number(number) => number.serialize(serializer),
            Json::Text(text) => serializer.serialize_str(text),
            Json::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(item)?;
                }
                list.end()
            }
            Json::Object(pairs) => {
                let mut map = serializer.serialize_map(Some(pairs.len()))?;
                for (key, value) in pairs {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

// === reading ===

/// Reads a value and counts it.
#[derive(Clone, Copy)]
struct Seed<'n> {
    left: &'n Cell<usize>,
    /// So many more may be within it.
    levels: usize,
}

/// Reads a text without copying it, if nothing in it is escaped.
struct TextSeed;

impl Seed<'_> {
    /// For what is within.
    fn inner<E: serde::de::Error>(self) -> Result<Self, E> {
        let levels = self.levels.checked_sub(1);
        let levels = levels.ok_or_else(|| E::custom("it is nested too deep"))?;
        Ok(Seed { levels, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Json<'de>, D::Error> {
        let left = self.left.get().checked_sub(1);
        self.left.set(left.ok_or_else(|| D::Error::custom("it holds too many values"))?);
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Json<'de>, E> {
        Number::from_f64(value).map(Json::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json<'de>, A::Error> {
        let inner = self.inner()?;
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json<'de>, A::Error> {
        let inner = self.inner()?;
        let mut pairs: Object<'de> = Vec::new();
        let mut seen: HashSet<Cow<'de, str>> = HashSet::new();
        while let Some(key) = access.next_key_seed(TextSeed)? {
            let twice = if pairs.len() < KEYS_COMPARED {
                pairs.iter().any(|(other, _)| *other == key)
            } else {
                if seen.is_empty() {
                    seen.extend(pairs.iter().map(|(other, _)| other.clone()));
                }
                !seen.insert(key.clone())
            };
            if twice {
                return Err(A::Error::custom("an object has the same key twice"));
            }
            pairs.push((key, access.next_value_seed(inner)?));
        }
        Ok(Json::Object(pairs))
    }
}

impl<'de> DeserializeSeed<'de> for TextSeed {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Cow<'de, str>, D::Error> {
        reader.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for TextSeed {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Json::parse(text.as_bytes()).expect_err("is refused")
    }

    #[test]
    fn what_is_read_is_written_in_its_order() {
        for text in [
            r#"{"z":1,"a":[true,false,null,-3,0.5,1e300,18446744073709551615]}"#,
            r#"{"m":{"é\n\"":"\u0000"}}"#,
            "[]",
            "\"\"",
        ] {
            let json = Json::parse(text.as_bytes()).expect("is JSON");
            let again = json.to_text();
            assert_eq!(Json::parse(again.as_bytes()), Ok(json.clone()));
            assert_eq!(json.clone().into_owned(), json);
        }
        let json = Json::parse(br#"{"z":1,"a":2}"#).expect("is JSON");
        assert_eq!(json.to_text(), r#"{"z":1,"a":2}"#);
    }

    #[test]
    fn what_two_readers_would_read_differently_is_refused() {
        assert!(refused(r#"{"a":1,"a":2}"#).contains("twice"));
        let many: String = (0..40).map(|n| format!("\"k{n}\":0,")).collect();
        assert!(refused(&format!("{{{many}\"k3\":1}}")).contains("twice"));
        assert!(refused(&format!("{{{many}\"k39\":1}}")).contains("twice"));
        assert!(Json::parse(format!("{{{many}\"k40\":1}}").as_bytes()).is_ok());
        refused("{} {}");
        refused("1e999");
        refused(&"[".repeat(200));
        let nested = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(refused(&nested(JSON_LEVELS_MAX + 1)).contains("too deep"));
        assert!(Json::parse(nested(JSON_LEVELS_MAX).as_bytes()).is_ok());
        refused("\"\\ud800\"");
        refused("");
    }

    #[test]
    fn values_are_counted() {
        let text = format!("[{}0]", "0,".repeat(JSON_VALUES_MAX));
        assert!(refused(&text).contains("too many"));
    }

    #[test]
    fn whole_numbers_are_whole() {
        let read = |text: &'static str| Json::parse(text.as_bytes()).expect("is JSON").as_u64();
        assert_eq!(read("10"), Some(10));
        assert_eq!(read("10.0"), Some(10));
        assert_eq!(read("18446744073709551615"), Some(u64::MAX));
        for text in ["-1", "1.5", "1e30", "-0.5", "\"1\"", "null"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
