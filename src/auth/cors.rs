//! Which pages of other origins may read an API's answers: CORS, as AWS's HTTP APIs do it.
//!
//! Owns the policy of one API and its verdicts (Fetch standard, section 3.2). A preflight is
//! answered from the policy alone; of every other answer the policy says which fields it carries.
//! Invariants: an origin that is not allowed gets no field; `*` never goes with credentials; an
//! answer that depends on the origin says so in `Vary`.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::http::grammar::is_token;
use crate::http::write::decimal;

/// The policy of an API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cors {
    pub origins: Vec<OriginPattern>,
    pub methods: Names,
    pub headers: Names,
    /// Fields scripts may read beside the safe ones.
    pub expose: List,
    /// Cookies and `Authorization` of the browser's own may come along.
    pub credentials: bool,
    /// How long a browser may keep a preflight's answer; `None`: as long as it likes.
    #[serde(serialize_with = "as_seconds", skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Duration>,
}

/// What an origin may look like. Lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginPattern {
    /// `*`
    Any,
    /// `https://*`: every origin of the scheme. Holds `https://`.
    Scheme(String),
    /// `https://app.example.com`
    Exact(String),
    /// `https://*.example.com:8443`: any number of labels, at least one.
    Below {
        /// `https://`
        scheme: String,
        /// `.example.com:8443`
        suffix: String,
    },
}

/// Names that are allowed: all, or these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    /// `*`: whatever is asked for.
    Any,
    List(List),
}

/// Names, and the value of a field that lists them: joined once, not for every answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    names: Vec<String>,
    joined: String,
}

/// Why a text is no pattern of origins, and what to do.
pub type BadOrigin = (&'static str, &'static str);

// === impl Cors ===

impl Cors {
    /// Puts the fields of an answer to a request of this origin (`None`: it names none).
    pub fn put_fields(&self, origin: Option<&[u8]>, put: &mut impl FnMut(&str, &[u8])) {
        if self.allows_all() {
            // Also without an origin: a cache may give this answer to a page later.
            put("access-control-allow-origin", b"*");
        } else {
            put("vary", b"origin");
            let Some(origin) = origin.filter(|origin| self.allows(origin)) else { return };
            put("access-control-allow-origin", origin);
            if self.credentials {
                put("access-control-allow-credentials", b"true");
            }
        }
        if !self.expose.names.is_empty() {
            put("access-control-expose-headers", self.expose.joined.as_bytes());
        }
    }

    /// Puts the fields of a preflight's answer.
    pub fn put_preflight(
        &self,
        origin: &[u8],
        method: &[u8],
        headers: Option<&[u8]>,
        put: &mut impl FnMut(&str, &[u8]),
    ) {
        let asks = b"origin, access-control-request-method, access-control-request-headers";
        put("vary", asks);
        if !self.allows(origin) {
            return;
        }
        let all = self.allows_all();
        put("access-control-allow-origin", if all { b"*" } else { origin });
        if self.credentials {
            put("access-control-allow-credentials", b"true");
        }
        match &self.methods {
            // With credentials a `*` would stand for itself; what was asked for always works.
            Names::Any => put("access-control-allow-methods", method),
            Names::List(list) if list.names.is_empty() => {}
            Names::List(list) => put("access-control-allow-methods", list.joined.as_bytes()),
        }
        match (&self.headers, headers) {
            // The same, and `*` would leave `Authorization` out (Fetch, section 4.9).
            (Names::Any, Some(asked)) if is_list(asked) => {
                put("access-control-allow-headers", asked);
            }
            (Names::List(list), _) if !list.names.is_empty() => {
                put("access-control-allow-headers", list.joined.as_bytes());
            }
            _ => {}
        }
        if let Some(age) = self.max_age {
            let mut seconds = Vec::with_capacity(8);
            decimal(&mut seconds, age.as_secs());
            put("access-control-max-age", &seconds);
        }
    }

    /// Whether pages of this origin may read the answers.
    #[must_use]
    pub fn allows(&self, origin: &[u8]) -> bool {
        self.origins.iter().any(|pattern| pattern.matches(origin))
    }

    /// Whether all may, whoever they are.
    #[must_use]
    pub fn allows_all(&self) -> bool {
        self.origins.contains(&OriginPattern::Any)
    }
}

/// Whether a field of an answer is one that a policy decides about.
#[must_use]
pub fn is_ours(name: &[u8]) -> bool {
    const PREFIX: &[u8] = b"access-control-";
    name.len() > PREFIX.len() && name[..PREFIX.len()].eq_ignore_ascii_case(PREFIX)
}

/// `#field-name` of RFC 9110 section 5.6.1.
fn is_list(value: &[u8]) -> bool {
    value.split(|b| *b == b',').all(|name| is_token(name.trim_ascii()))
}

// === impl OriginPattern ===

impl OriginPattern {
    /// Reads a pattern: `*`, `https://app.example.com`, `https://*.example.com`, `https://*`.
    ///
    /// # Errors
    /// Why it is none, and what to write.
    pub fn parse(text: &str) -> Result<OriginPattern, BadOrigin> {
        if text == "*" {
            return Ok(OriginPattern::Any);
        }
        const WRITE: &str = "write \"https://app.example.com\", \"https://*.example.com\" or \"*\"";
        if text == "null" {
            let why = "every sandboxed page and local file has the origin `null`";
            return Err((why, "serve the page from an origin of its own"));
        }
        let text = text.to_ascii_lowercase();
        let Some((scheme, host)) = text.split_once("://") else {
            return Err(("an origin is a scheme and a host", WRITE));
        };
        let letter = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        if scheme.is_empty() || !scheme.chars().all(letter) {
            return Err(("its scheme is none", WRITE));
        }
        let scheme = format!("{scheme}://");
        if host == "*" {
            return Ok(OriginPattern::Scheme(scheme));
        }
        if host.contains(['/', '?', '#', '@']) {
            return Err(("an origin ends with its host and port: no path, no `/`", WRITE));
        }
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
            _ => (host, None),
        };
        match (scheme.as_str(), port) {
            ("https://", Some("443")) | ("http://", Some("80")) => {
                return Err(("browsers leave the scheme's own port out", "remove the port"));
            }
            (_, Some(port)) if port.parse::<u16>().is_err() => {
                return Err(("its port is none", WRITE));
            }
            _ => {}
        }
        let below = name.strip_prefix("*.");
        let good = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
        let rest = below.unwrap_or(name);
        if rest.contains('*') {
            return Err(("a `*` stands for whole labels at the front only", WRITE));
        }
        if rest.is_empty() || rest.starts_with('.') || !rest.chars().all(good) {
            return Err(("its host is none", "write names in ASCII (`xn--...`)"));
        }
        Ok(match below {
            Some(_) => OriginPattern::Below { scheme, suffix: host["*".len()..].to_owned() },
            None => OriginPattern::Exact(text),
        })
    }

    fn matches(&self, origin: &[u8]) -> bool {
        let after = |scheme: &str| {
            let (front, rest) = origin.split_at_checked(scheme.len())?;
            front.eq_ignore_ascii_case(scheme.as_bytes()).then_some(rest)
        };
        match self {
            OriginPattern::Any => true,
            OriginPattern::Exact(exact) => origin.eq_ignore_ascii_case(exact.as_bytes()),
            OriginPattern::Scheme(scheme) => after(scheme).is_some_and(|host| !host.is_empty()),
            OriginPattern::Below { scheme, suffix } => after(scheme).is_some_and(|host| {
                let Some(at) = host.len().checked_sub(suffix.len()).filter(|at| *at > 0) else {
                    return false;
                };
                let (labels, end) = host.split_at(at);
                let good = |b: &u8| b.is_ascii_alphanumeric() || b"-._".contains(b);
                end.eq_ignore_ascii_case(suffix.as_bytes()) && labels.iter().all(good)
            }),
        }
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OriginPattern::Any => f.write_str("*"),
            OriginPattern::Scheme(scheme) => write!(f, "{scheme}*"),
            OriginPattern::Exact(origin) => f.write_str(origin),
            OriginPattern::Below { scheme, suffix } => write!(f, "{scheme}*{suffix}"),
        }
    }
}

impl Serialize for OriginPattern {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

// === impl List ===

impl List {
    #[must_use]
    pub fn of(names: Vec<String>) -> List {
        let joined = names.join(", ");
        List { names, joined }
    }
}

impl Serialize for List {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.names.serialize(to)
    }
}

// === impl Names ===

impl Serialize for Names {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Names::Any => ["*"].serialize(to),
            Names::List(list) => list.serialize(to),
        }
    }
}

#[expect(clippy::ref_option, reason = "the signature serde asks for")]
fn as_seconds<S: Serializer>(age: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{}s", age.unwrap_or_default().as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(origins: &[&str]) -> Cors {
        let parse = |text: &&str| OriginPattern::parse(text).unwrap_or_else(|e| panic!("{e:?}"));
        Cors {
            origins: origins.iter().map(parse).collect(),
            methods: Names::List(List::of(vec!["GET".into(), "PUT".into()])),
            headers: Names::List(List::of(vec!["x-a".into()])),
            expose: List::of(vec!["x-b".into(), "x-c".into()]),
            credentials: false,
            max_age: Some(Duration::from_secs(600)),
        }
    }

    fn fields(cors: &Cors, origin: Option<&str>) -> String {
        let mut text = String::new();
        cors.put_fields(origin.map(str::as_bytes), &mut |name, value| {
            text += &format!("{name}: {}\n", String::from_utf8_lossy(value));
        });
        text
    }

    fn preflight(cors: &Cors, origin: &str, headers: Option<&str>) -> String {
        let mut text = String::new();
        let headers = headers.map(str::as_bytes);
        cors.put_preflight(origin.as_bytes(), b"PATCH", headers, &mut |name, value| {
            text += &format!("{name}: {}\n", String::from_utf8_lossy(value));
        });
        text
    }

    #[test]
    fn an_origin_is_allowed_by_name_by_wildcard_or_with_all() {
        let cors = policy(&["https://app.example.com", "https://*.example.org:8443", "app://*"]);
        for (origin, allowed) in [
            ("https://app.example.com", true),
            ("https://APP.example.com", true),
            ("http://app.example.com", false),
            ("https://app.example.com:8443", false),
            ("https://app.example.com.evil.test", false),
            ("https://evil-app.example.com", false),
            ("https://a.example.org:8443", true),
            ("https://a.b.example.org:8443", true),
            ("https://example.org:8443", false),
            ("https://a.example.org", false),
            ("https://evil.test/.example.org:8443", false),
            ("https://aexample.org:8443", false),
            ("app://anything", true),
            ("app://", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(cors.allows(origin.as_bytes()), allowed, "{origin}");
        }
        assert!(policy(&["*"]).allows(b"null"));
    }

    #[test]
    fn answers_echo_the_origin_and_say_what_they_depend_on() {
        let mut cors = policy(&["https://a.test"]);
        let exposed = "access-control-expose-headers: x-b, x-c\n";
        assert_eq!(
            fields(&cors, Some("https://a.test")),
            format!("vary: origin\naccess-control-allow-origin: https://a.test\n{exposed}")
        );
        assert_eq!(fields(&cors, Some("https://b.test")), "vary: origin\n");
        assert_eq!(fields(&cors, None), "vary: origin\n", "a cache must know that it depends");
        cors.credentials = true;
        assert!(fields(&cors, Some("https://a.test")).contains("allow-credentials: true\n"));
        let all = policy(&["*"]);
        assert_eq!(fields(&all, None), format!("access-control-allow-origin: *\n{exposed}"));
    }

    #[test]
    fn a_preflight_is_told_the_lists_or_what_it_asked_for() {
        let mut cors = policy(&["https://a.test"]);
        let vary = "vary: origin, access-control-request-method, access-control-request-headers\n";
        assert_eq!(
            preflight(&cors, "https://a.test", Some("x-z")),
            format!(
                "{vary}access-control-allow-origin: https://a.test\n\
                 access-control-allow-methods: GET, PUT\naccess-control-allow-headers: x-a\n\
                 access-control-max-age: 600\n"
            )
        );
        assert_eq!(preflight(&cors, "https://b.test", Some("x-z")), vary);
        (cors.methods, cors.headers) = (Names::Any, Names::Any);
        cors.max_age = None;
        let told = preflight(&cors, "https://a.test", Some("authorization, x-z"));
        assert!(told.contains("allow-methods: PATCH\n"), "{told}");
        assert!(told.contains("allow-headers: authorization, x-z\n"), "{told}");
        assert!(!told.contains("max-age"));
        assert!(!preflight(&cors, "https://a.test", Some("a b")).contains("allow-headers"));
        assert!(!preflight(&cors, "https://a.test", None).contains("allow-headers"));
    }

    #[test]
    fn patterns_are_written_as_they_are_read_and_mistakes_are_told() {
        for text in ["*", "https://*", "https://a.test:8443", "https://*.a.test", "http://[::1]:1"]
        {
            assert_eq!(OriginPattern::parse(text).map(|p| p.to_string()), Ok(text.to_owned()));
        }
        for (text, part) in [
            ("null", "sandboxed"),
            ("a.test", "scheme"),
            ("://a.test", "scheme"),
            ("https://a.test/", "no path"),
            ("https://u@a.test", "no path"),
            ("https://a.test:443", "own port"),
            ("https://a.test:x", "port"),
            ("https://a.*.test", "whole labels"),
            ("https://*a.test", "whole labels"),
            ("https://", "host"),
            ("https://*.", "host"),
            ("https://ä.test", "host"),
        ] {
            let (why, _) = OriginPattern::parse(text).expect_err(text);
            assert!(why.contains(part), "{text}: {why}");
        }
    }
}
