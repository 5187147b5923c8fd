//! Reads the fields of a request: where each stands, and of what kind it must be. A null is the
//! same as nothing, as in both providers' own readers.

use std::borrow::Cow;
use std::fmt;
use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};

use super::Untranslatable;
use super::json::Json;

const QUOTED_BYTES_MAX: usize = 64;

/// Where a value stands in the request, as OpenAI writes it in `param`: `messages[3].content`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Path<'p> {
    Root,
    Key(&'p Path<'p>, &'p str),
    Item(&'p Path<'p>, usize),
}

// === impl Path ===

impl<'p> Path<'p> {
    pub(super) fn key(&'p self, key: &'p str) -> Path<'p> {
        Path::Key(self, key)
    }

    pub(super) fn item(&'p self, at: usize) -> Path<'p> {
        Path::Item(self, at)
    }

    /// It is not translated; the message begins with its name.
    pub(super) fn refuse(&self, why: impl fmt::Display) -> Untranslatable {
        let param = self.to_string();
        let message = if param.is_empty() { why.to_string() } else { format!("`{param}` {why}") };
        Untranslatable { param, message }
    }

    pub(super) fn expected(&self, what: &str, found: &Json) -> Untranslatable {
        self.refuse(format_args!("must be {what}, not {}", found.kind()))
    }

    pub(super) fn text<'a>(&self, value: Json<'a>) -> Result<Option<Cow<'a, str>>, Untranslatable> {
        match value {
            Json::Null => Ok(None),
            Json::Text(text) => Ok(Some(text)),
            other => Err(self.expected("a string", &other)),
        }
    }

    /// A text that must be there and say something.
    pub(super) fn name<'a>(&self, value: Json<'a>) -> Result<Cow<'a, str>, Untranslatable> {
        let text = self.text(value)?.filter(|text| !text.is_empty());
        text.ok_or_else(|| self.refuse("must be a string that is not empty"))
    }

    pub(super) fn list<'a>(&self, value: Json<'a>) -> Result<Vec<Json<'a>>, Untranslatable> {
        match value {
            Json::Null => Ok(Vec::new()),
            Json::List(items) => Ok(items),
            other => Err(self.expected("an array", &other)),
        }
    }

    /// An object, or null.
    pub(super) fn object<'a>(&self, value: Json<'a>) -> Result<Json<'a>, Untranslatable> {
        match value {
            Json::Null | Json::Object(_) => Ok(value),
            other => Err(self.expected("an object", &other)),
        }
    }

    pub(super) fn boolean(&self, value: &Json) -> Result<Option<bool>, Untranslatable> {
        match value {
            Json::Null => Ok(None),
            Json::Bool(value) => Ok(Some(*value)),
            other => Err(self.expected("a boolean", other)),
        }
    }

    /// A whole number of at least one.
    pub(super) fn count(&self, value: &Json) -> Result<Option<u64>, Untranslatable> {
        match (value, value.as_u64()) {
            (Json::Null, _) => Ok(None),
            (_, Some(number)) if number > 0 => Ok(Some(number)),
            _ => Err(self.refuse("must be a whole number greater than 0")),
        }
    }

    /// A number of a range.
    pub(super) fn number(
        &self,
        value: &Json,
        range: std::ops::RangeInclusive<f64>,
    ) -> Result<Option<f64>, Untranslatable> {
        match (value, value.as_f64()) {
            (Json::Null, _) => Ok(None),
            (_, Some(number)) if range.contains(&number) => Ok(Some(number)),
            _ => Err(self.refuse(format_args!(
                "must be a number from {} to {}",
                range.start(),
                range.end()
            ))),
        }
    }

    /// Something the other dialect does not have: only the value that asks for nothing may stand.
    pub(super) fn absent(
        &self,
        value: &Json,
        idle: bool,
        whom: &str,
    ) -> Result<(), Untranslatable> {
        if value.is_null() || idle {
            return Ok(());
        }
        Err(self.refuse(format_args!("cannot be translated: {whom} has nothing like it")))
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Key(Path::Root, key) => f.write_str(key),
            Path::Key(up, key) => write!(f, "{up}.{key}"),
            Path::Item(up, at) => write!(f, "{up}[{at}]"),
        }
    }
}

/// A word of the client's in a message to it: its beginning, if it is long.
pub(super) fn quoted(word: &str) -> String {
    let end = word.floor_char_boundary(QUOTED_BYTES_MAX);
    let more = if end < word.len() { "..." } else { "" };
    format!("\"{}{more}\"", &word[..end])
}

/// A name that a provider takes up to a length: a longer one is told by its hash, which is the same
/// for the same name.
pub(super) fn at_most<'a>(chars: usize, prefix: &str, name: Cow<'a, str>) -> Cow<'a, str> {
    if name.len() <= chars || name.chars().count() <= chars {
        return name;
    }
    let mut hasher = SipHasher13::new();
    hasher.write(name.as_bytes());
    Cow::Owned(format!("{prefix}{:032x}", hasher.finish128().as_u128()))
}

/// A number as JSON; whole ones without a fraction.
pub(super) fn number(value: f64) -> Json<'static> {
    serde_json::Number::from_f64(value).map_or(Json::Null, Json::Number)
}
