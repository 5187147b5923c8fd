//! Where something is written, and what is wrong with it. A diagnostic carries everything an
//! operator needs to repair the file without reading the documentation: place, key path, value,
//! remedy.

use std::fmt;
use std::sync::Arc;

/// A point in a configuration file. Line and column count from 1, the column in characters; line 0
/// is the file as a whole.
///
/// Two places always compare equal: where an object is written is no part of what it is, so that
/// `old.upstreams["pets"] == new.upstreams["pets"]` is the question a reload asks (a line inserted
/// above the object must not drop its pool).
#[derive(Clone, Debug)]
pub struct Place {
    /// The file as it was named to the gateway, or as an `include` found it.
    pub file: Arc<str>,
    pub line: u32,
    pub column: u32,
}

/// One mistake (or, in a list of warnings, one thing that is probably a mistake).
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostic {
    pub place: Place,
    /// The path of the key, such as `upstreams.pets.timeouts.connect`; empty if the text is not
    /// TOML.
    pub key: String,
    /// The value as it is written, shortened; `None` where no value is at fault.
    pub value: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub remedy: String,
}

// === impl Place ===

impl Place {
    /// The place of values that no file holds: defaults, and configurations built by a test.
    #[must_use]
    pub fn nowhere() -> Place {
        Place { file: Arc::from("-"), line: 0, column: 0 }
    }
}

impl PartialEq for Place {
    fn eq(&self, _: &Place) -> bool {
        true
    }
}

impl Eq for Place {}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}:{}", self.file, self.column),
        }
    }
}

// === impl Diagnostic ===

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}", self.key)?;
            if let Some(value) = &self.value {
                write!(f, " = {value}")?;
            }
            write!(f, ": ")?;
        }
        write!(f, "{}", self.message)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostic {}
