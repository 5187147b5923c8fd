//! What a route asks of requests, and what it changes on the way: checks, statuses.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::Place;
use crate::config::template::Template;
use crate::http::escape::Escape;

/// `validate` of a route.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Validate {
    /// Lower case.
    pub headers: Vec<String>,
    pub query: Vec<String>,
    #[serde(serialize_with = "as_pairs")]
    pub path_patterns: Vec<Pattern>,
    #[serde(serialize_with = "as_pairs")]
    pub query_patterns: Vec<Pattern>,
    #[serde(serialize_with = "as_pairs")]
    pub header_patterns: Vec<Pattern>,
    /// `application/json`, `image/*`; lower case.
    pub content_types: Vec<String>,
}

/// What a value must match: a regular expression that has been compiled once to see that it can be.
#[derive(Clone, Debug, PartialEq)]
pub struct Pattern {
    pub name: String,
    pub text: String,
    pub place: Place,
}

/// A status of the upstream, and what clients get in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusChange {
    pub from: u16,
    pub to: u16,
}

/// The body of a fixed answer.
#[derive(Clone, Debug, PartialEq)]
pub enum RespondBody {
    /// Sent as it is.
    Fixed(String),
    Template {
        /// As it is written.
        text: String,
        template: Template,
        /// How values are written into it.
        place: Escape,
    },
}

// === impl RespondBody ===

impl RespondBody {
    /// The body as it is written.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            RespondBody::Fixed(text) | RespondBody::Template { text, .. } => text,
        }
    }
}

// === serialised ===

fn as_pairs<S: Serializer>(patterns: &[Pattern], to: S) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(None)?;
    for pattern in patterns {
        map.serialize_entry(&pattern.name, &pattern.text)?;
    }
    map.end()
}

/// A table `"418" = 404`.
pub(super) fn as_statuses<S: Serializer>(
    changes: &[StatusChange],
    to: S,
) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(None)?;
    for change in changes {
        map.serialize_entry(&change.from.to_string(), &change.to)?;
    }
    map.end()
}
