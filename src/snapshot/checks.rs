//! What a route asks of a request before anybody is bothered with it: fields, parameters and the
//! content type of the body.
//!
//! Compiled once; a check reads the request and allocates nothing unless it fails. As at AWS, a
//! required parameter that is blank is missing, and all that is missing is told at once.

use crate::config::{Pattern as Written, Validate};
use crate::http::pattern::Pattern;

/// The checks of a route.
pub struct Checks {
    /// Fields that must be there, lower case.
    pub headers: Vec<String>,
    /// Parameters of the query that must be there.
    pub query: Vec<String>,
    pub patterns: Vec<Rule>,
    pub media: Option<MediaTypes>,
}

/// What a value must match, if it is there.
pub struct Rule {
    pub source: Source,
    pub name: String,
    pub pattern: Pattern,
}

/// Where a value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Path,
    Query,
    Header,
}

/// Content types a body may have.
pub struct MediaTypes {
    /// `application/json`, `image/*`; lower case.
    list: Vec<String>,
    /// The list as a field's value.
    joined: String,
}

// === impl Checks ===

impl Checks {
    /// The checks of a route; `None` if nothing is asked.
    #[must_use]
    pub fn of(conf: &Validate) -> Option<Box<Checks>> {
        let rules = |source, list: &[Written]| -> Vec<Rule> {
            let rule = |written: &Written| {
                let pattern = Pattern::compile(&written.text).expect("config has compiled it");
                Rule { source, name: written.name.clone(), pattern }
            };
            list.iter().map(rule).collect()
        };
        let mut patterns = rules(Source::Path, &conf.path_patterns);
        patterns.extend(rules(Source::Query, &conf.query_patterns));
        patterns.extend(rules(Source::Header, &conf.header_patterns));
        let checks = Checks {
            headers: conf.headers.clone(),
            query: conf.query.clone(),
            patterns,
            media: (!conf.content_types.is_empty()).then(|| MediaTypes {
                list: conf.content_types.clone(),
                joined: conf.content_types.join(", "),
            }),
        };
        let is_empty = checks.headers.is_empty()
            && checks.query.is_empty()
            && checks.patterns.is_empty()
            && checks.media.is_none();
        (!is_empty).then(|| Box::new(checks))
    }
}

// === impl MediaTypes ===

impl MediaTypes {
    /// What is taken, one by one.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.list.iter().map(String::as_str)
    }

    /// What is taken, as a field's value.
    #[must_use]
    pub fn joined(&self) -> &str {
        &self.joined
    }

    /// Whether a body of this Content-Type is taken; its parameters do not matter.
    #[must_use]
    pub fn take(&self, value: &[u8]) -> bool {
        let media = value.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        self.list.iter().any(|taken| match taken.strip_suffix('*') {
            Some("*/") => !media.is_empty(),
            Some(front) => {
                let head = media.get(..front.len());
                head.is_some_and(|head| head.eq_ignore_ascii_case(front.as_bytes()))
                    && media.len() > front.len()
            }
            None => media.eq_ignore_ascii_case(taken.as_bytes()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_are_compared_without_case_and_parameters() {
        let types = |list: &[&str]| MediaTypes {
            list: list.iter().map(|t| (*t).to_owned()).collect(),
            joined: String::new(),
        };
        let some = types(&["application/json", "image/*"]);
        for (value, taken) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/json ;x=y", true),
            ("application/jsonx", false),
            ("application/problem+json", false),
            ("image/png", true),
            ("IMAGE/svg+xml", true),
            ("image/", false),
            ("imagex/png", false),
            ("text/plain", false),
            ("", false),
        ] {
            assert_eq!(some.take(value.as_bytes()), taken, "{value}");
        }
        assert!(types(&["*/*"]).take(b"text/plain") && !types(&["*/*"]).take(b""));
    }
}
