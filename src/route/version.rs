//! The versions of an API: which one a request asks for, and where each stands in its life.
//!
//! Owns the table of versions, the rules by which a request's fields, query and media types name
//! one, the order of ids, and the verdict of the dates. Refuses to know what a version leads to.
//! The time and the request are arguments. Invariant: the first selector in the configured order
//! that names a version decides, also when it names one that does not exist; nothing is guessed.

mod lifecycle;
mod order;

pub use lifecycle::{Brownout, Cycle, Hours, Lifecycle, Standing, Status};
pub use order::{Range, is_id, natural, shape};

/// The versions of an API, in the natural order of their ids.
#[derive(Debug, Default)]
pub struct Versions {
    pub list: Vec<Version>,
    /// Taken where a request names none.
    pub default: Option<u16>,
    /// Whether the first segment below the base path may be an id.
    pub by_path: bool,
    /// The shapes of the ids that a mistyped one is known by.
    shapes: Vec<String>,
}

/// One version, as far as callers are told of it.
#[derive(Debug, Default)]
pub struct Version {
    pub id: String,
    pub life: Lifecycle,
    /// Second of its release.
    pub released: Option<u64>,
    /// A URL, or a path below the API's base path.
    pub guide: Option<String>,
    /// Its place in the list.
    pub successor: Option<u16>,
    pub features: Vec<String>,
    pub breaking_changes: Vec<String>,
    /// What a caller gets after the sunset.
    pub after_sunset: AfterSunset,
    /// Its own hosts.
    pub hosts: Vec<String>,
}

/// What a caller gets after the sunset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AfterSunset {
    /// 410 with the guide.
    #[default]
    Gone,
    /// 308 to the same resource of the successor.
    Redirect,
}

/// Where a request may name its version, besides path and host, which are known by the base path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// The field of this (lower-case) name.
    Header(String),
    /// The query parameter of this name.
    Query(String),
    /// The `Accept` field: see `select` in docs/configuration.md.
    MediaType,
}

/// The parts of a request that may name a version.
pub trait Asks {
    /// The values of the fields of this name, in their order.
    fn fields<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]>;
    /// The query without its question mark.
    fn query(&self) -> &[u8];
}

/// A version that there is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown;

// === impl Versions ===

impl Versions {
    /// A table of these versions, which are in natural order.
    #[must_use]
    pub fn new(list: Vec<Version>, by_path: bool) -> Versions {
        debug_assert!(list.is_sorted_by(|a, b| natural(&a.id, &b.id).is_lt()), "in order");
        let mut shapes: Vec<String> = list.iter().map(|version| shape(&version.id)).collect();
        // A number alone is what most resources have for an id: nothing tells it from a version.
        shapes.retain(|shape| shape.contains('#') && !shape.trim_matches('#').is_empty());
        shapes.sort();
        shapes.dedup();
        Versions { list, default: None, by_path, shapes }
    }

    /// The version of exactly this id.
    #[must_use]
    pub fn find(&self, id: &[u8]) -> Option<u16> {
        let at = self.list.iter().position(|version| version.id.as_bytes() == id)?;
        Some(u16::try_from(at).expect("versions are bounded"))
    }

    /// The version of this id as callers write it: `2` may stand for `v2`.
    #[must_use]
    fn named(&self, id: &[u8]) -> Option<u16> {
        self.find(id).or_else(|| {
            let with_v = |version: &Version| version.id.as_bytes().strip_prefix(b"v") == Some(id);
            let at = self.list.iter().position(|version| {
                id.first().is_some_and(u8::is_ascii_digit) && with_v(version)
            })?;
            Some(u16::try_from(at).expect("versions are bounded"))
        })
    }

    #[must_use]
    pub fn get(&self, at: u16) -> Option<&Version> {
        self.list.get(usize::from(at))
    }

    /// What the first of these selectors that names a version names; `None`: none does.
    ///
    /// # Errors
    /// It names one that is not there.
    pub fn choose(
        &self,
        selectors: &[Selector],
        request: &impl Asks,
    ) -> Result<Option<u16>, Unknown> {
        for selector in selectors {
            let named = match selector {
                Selector::Header(name) => {
                    request.fields(name).map(<[u8]>::trim_ascii).find(|value| !value.is_empty())
                }
                Selector::Query(name) => parameter(request.query(), name.as_bytes()),
                Selector::MediaType => request
                    .fields("accept")
                    .flat_map(|value| value.split(|b| *b == b','))
                    .find_map(|range| self.media_version(range)),
            };
            if let Some(id) = named {
                return self.named(id).map(Some).ok_or(Unknown);
            }
        }
        Ok(None)
    }

    /// Whether a path segment looks like the id of a version of this API, but is none.
    #[must_use]
    pub fn mistakes(&self, segment: &[u8]) -> bool {
        if !self.by_path || segment.is_empty() || self.find(segment).is_some() {
            return false;
        }
        std::str::from_utf8(segment).is_ok_and(|segment| {
            is_id(segment) && self.shapes.binary_search(&shape(segment)).is_ok()
        })
    }

    /// The version that a media range of `Accept` names: by its `version` (or `v`) parameter; else
    /// by the last part of a vendor's subtype (`application/vnd.acme.orders.v2+json`), where that
    /// is the id of a version or looks like one. A range with `q=0` names nothing: it is what the
    /// client does not want (RFC 9110 section 12.4.2).
    fn media_version<'r>(&self, range: &'r [u8]) -> Option<&'r [u8]> {
        let mut parts = range.split(|b| *b == b';').map(<[u8]>::trim_ascii);
        let media_type = parts.next()?;
        let mut by_parameter = None;
        for part in parts {
            let equals = part.iter().position(|b| *b == b'=');
            let (name, value) =
                equals.map_or((part, &b""[..]), |at| (&part[..at], &part[at + 1..]));
            if name.eq_ignore_ascii_case(b"q") && value.first() == Some(&b'0') {
                let rest = value.get(1..).unwrap_or_default();
                if rest.iter().all(|b| matches!(b, b'.' | b'0')) {
                    return None;
                }
            }
            let is_version =
                name.eq_ignore_ascii_case(b"version") || name.eq_ignore_ascii_case(b"v");
            let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
            let value = quoted.unwrap_or(value);
            if is_version && !value.is_empty() && by_parameter.is_none() {
                by_parameter = Some(value);
            }
        }
        by_parameter.or_else(|| {
            let slash = media_type.iter().position(|b| *b == b'/')?;
            let subtype = &media_type[slash + 1..];
            let vendor = subtype.get(..4).is_some_and(|tree| tree.eq_ignore_ascii_case(b"vnd."));
            let name = subtype.split(|b| *b == b'+').next()?;
            // An id may have dots of its own: the longest end of the name that is one.
            let ends = (0..name.len()).filter(|at| name[*at] == b'.').map(|at| &name[at + 1..]);
            let mut ends = ends.filter(|end| !end.is_empty());
            let last = name.rsplit(|b| *b == b'.').next().unwrap_or_default();
            let found = ends.find(|end| self.find(end).is_some());
            found.or_else(|| self.looks_like_one(last).then_some(last)).filter(|_| vendor)
        })
    }

    fn looks_like_one(&self, text: &[u8]) -> bool {
        std::str::from_utf8(text)
            .is_ok_and(|text| is_id(text) && self.shapes.binary_search(&shape(text)).is_ok())
    }
}

/// The value of the first parameter of this name; as it stands, for ids need no encoding.
fn parameter<'q>(query: &'q [u8], name: &[u8]) -> Option<&'q [u8]> {
    query.split(|b| *b == b'&').find_map(|pair| {
        let value = pair.strip_prefix(name)?.strip_prefix(b"=")?;
        (!value.is_empty()).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Asked<'a> {
        fields: &'a [(&'a str, &'a str)],
        query: &'a str,
    }

    impl Asks for Asked<'_> {
        fn fields<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
            let found = self.fields.iter().filter(move |(n, _)| *n == name);
            found.map(|(_, value)| value.as_bytes())
        }

        fn query(&self) -> &[u8] {
            self.query.as_bytes()
        }
    }

    fn versions(ids: &[&str], by_path: bool) -> Versions {
        let list =
            ids.iter().map(|id| Version { id: (*id).to_owned(), ..Version::default() }).collect();
        Versions::new(list, by_path)
    }

    fn header() -> Selector {
        Selector::Header("api-version".to_owned())
    }

    fn query() -> Selector {
        Selector::Query("version".to_owned())
    }

    #[test]
    fn the_first_selector_that_names_one_decides() {
        let table = versions(&["v1", "v2", "v3"], false);
        let all = [header(), query(), Selector::MediaType];
        let ask =
            |fields: &[(&str, &str)], query: &str| table.choose(&all, &Asked { fields, query });
        assert_eq!(ask(&[], ""), Ok(None));
        assert_eq!(ask(&[("api-version", "v1")], "version=v2"), Ok(Some(0)));
        assert_eq!(ask(&[("api-version", " ")], "a=b&version=v2"), Ok(Some(1)));
        assert_eq!(ask(&[("accept", "application/json;version=3")], ""), Ok(Some(2)));
        assert_eq!(ask(&[("api-version", "v9")], "version=v2"), Err(Unknown), "not passed over");
        assert_eq!(ask(&[("api-version", "2")], ""), Ok(Some(1)), "v may be left out");
        assert_eq!(ask(&[], "versions=v2&xversion=v1"), Ok(None));
    }

    #[test]
    fn media_types_name_versions_by_parameter_or_by_the_end_of_a_vendors_name() {
        let table = versions(&["v1", "v2", "v2.1"], false);
        let ask = |accept: &str| {
            table
                .choose(&[Selector::MediaType], &Asked { fields: &[("accept", accept)], query: "" })
        };
        for (accept, found) in [
            ("application/vnd.acme.v2+json", Ok(Some(1))),
            ("application/vnd.acme.orders.v2.1+json", Ok(Some(2))),
            ("application/vnd.acme.v2", Ok(Some(1))),
            ("application/VND.acme.v1+xml", Ok(Some(0))),
            ("application/json; version=2", Ok(Some(1))),
            ("application/json;v=\"v1\"", Ok(Some(0))),
            ("text/html, application/json;version=2;q=0.5", Ok(Some(1))),
            ("application/json;version=1;q=0, application/json;version=2", Ok(Some(1))),
            ("application/json;version=1;q=0.01", Ok(Some(0))),
            ("application/vnd.github+json", Ok(None)),
            ("application/vnd.acme.v9+json", Err(Unknown)),
            ("application/json;version=9", Err(Unknown)),
            ("application/x.v2+json", Ok(None)),
            ("*/*", Ok(None)),
            ("", Ok(None)),
            (";;==,/", Ok(None)),
        ] {
            assert_eq!(ask(accept), found, "{accept}");
        }
    }

    #[test]
    fn a_segment_that_looks_like_a_version_is_told_from_a_resource() {
        let table = versions(&["v1", "v2"], true);
        assert!(table.mistakes(b"v3") && table.mistakes(b"v0") && table.mistakes(b"v10"));
        for segment in ["v1", "pets", "", "v", "3", "v3x", "v2024", "\u{e9}3"] {
            assert!(!table.mistakes(segment.as_bytes()), "{segment}");
        }
        let dates = versions(&["2024-01-15", "2025-06-01"], true);
        assert!(dates.mistakes(b"2023-01-01") && !dates.mistakes(b"2024"));
        let numbers = versions(&["1", "2"], true);
        assert!(!numbers.mistakes(b"123"), "any resource's id");
        assert!(!versions(&["v1"], false).mistakes(b"v2"), "paths name no version there");
    }

    proptest! {
        #[test]
        fn no_request_makes_the_choice_fail(
            field in "[ -~]{0,40}", accept in "[ -~]{0,60}", query in "[ -~]{0,40}",
        ) {
            let table = versions(&["2024-01-15", "v1", "v2"], true);
            let selectors = [header(), Selector::Query("version".to_owned()), Selector::MediaType];
            let fields = [("api-version", &*field), ("accept", &*accept)];
            let chosen = table.choose(&selectors, &Asked { fields: &fields, query: &query });
            if let Ok(Some(at)) = chosen {
                prop_assert!(table.get(at).is_some());
            }
            let _ = table.mistakes(field.as_bytes());
        }
    }
}
