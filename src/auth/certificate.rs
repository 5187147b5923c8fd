//! A client's certificate as an identity: its names, and which of them may call.
//!
//! The certificate was verified in the handshake; here it only says who that is. Owns the patterns
//! an operator writes. Invariant: a pattern names whole labels or whole path segments, so that
//! `*.example.com` is not `evilexample.com`.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::claims::Claims;

/// What a verified certificate says of its owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// The subject as a text of RFC 4514: `CN=billing,O=Acme`.
    pub subject: String,
    /// The last common name of the subject; empty if it has none.
    pub common_name: String,
    /// The alternative names: hosts, URIs, mail addresses.
    pub dns: Vec<String>,
    pub uris: Vec<String>,
    pub emails: Vec<String>,
    /// SHA-256 of the certificate, in lower-case hex.
    pub fingerprint: String,
}

/// Whose certificates are accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns {
    /// Whole subjects.
    pub subjects: Vec<Box<str>>,
    /// Alternative names: exact, `*.host`, or `scheme://prefix/*`.
    pub names: Vec<Box<str>>,
}

// === impl Certificate ===

impl Certificate {
    /// Whom it is about: the first URI, host or mail address; else the subject.
    #[must_use]
    pub fn owner(&self) -> &str {
        let names = self.uris.iter().chain(&self.dns).chain(&self.emails);
        names.map(String::as_str).next().unwrap_or(&self.subject)
    }

    /// The same facts as claims.
    #[must_use]
    pub fn claims(&self) -> Claims {
        let mut all = Map::new();
        let list = |texts: &[String]| Value::from(texts.to_vec());
        all.insert("sub".to_owned(), Value::from(self.owner()));
        all.insert("subject".to_owned(), Value::from(&*self.subject));
        all.insert("cn".to_owned(), Value::from(&*self.common_name));
        all.insert("dns".to_owned(), list(&self.dns));
        all.insert("uri".to_owned(), list(&self.uris));
        all.insert("email".to_owned(), list(&self.emails));
        all.insert("fingerprint".to_owned(), Value::from(&*self.fingerprint));
        all.retain(|_, value| {
            value.as_str() != Some("") && value.as_array().is_none_or(|l| !l.is_empty())
        });
        Claims::new(all)
    }

    /// The claims and the owner, shared.
    #[must_use]
    pub fn proof(&self) -> (Arc<Claims>, Arc<str>) {
        (Arc::new(self.claims()), Arc::from(self.owner()))
    }
}

// === impl Patterns ===

impl Patterns {
    /// Whether it is one of those. Without any pattern every verified certificate is.
    #[must_use]
    pub fn accept(&self, certificate: &Certificate) -> bool {
        if self.subjects.is_empty() && self.names.is_empty() {
            return true;
        }
        let subject = self.subjects.iter().any(|subject| **subject == *certificate.subject);
        let fits =
            |name: &String, is_host| self.names.iter().any(|pattern| fits(pattern, name, is_host));
        subject
            || certificate.dns.iter().any(|name| fits(name, true))
            || certificate.uris.iter().chain(&certificate.emails).any(|name| fits(name, false))
    }
}

fn fits(pattern: &str, name: &str, is_host: bool) -> bool {
    if is_host {
        return match pattern.strip_prefix("*.") {
            Some(suffix) => name
                .len()
                .checked_sub(suffix.len() + 1)
                .filter(|at| *at > 0)
                .and_then(|at| name.split_at_checked(at))
                .is_some_and(|(_, rest)| {
                    rest.starts_with('.') && rest[1..].eq_ignore_ascii_case(suffix)
                }),
            None => name.eq_ignore_ascii_case(pattern),
        };
    }
    match pattern.strip_suffix("/*") {
        Some(prefix) if pattern.contains("://") => {
            name.strip_prefix(prefix).is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'))
        }
        _ => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(dns: &[&str], uris: &[&str]) -> Certificate {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Certificate {
            subject: "CN=billing,O=Acme".to_owned(),
            common_name: "billing".to_owned(),
            dns: texts(dns),
            uris: texts(uris),
            ..Certificate::default()
        }
    }

    #[test]
    fn patterns_name_whole_labels_and_segments() {
        let accepts = |names: &[&str], dns: &[&str], uris: &[&str]| {
            let names = names.iter().map(|name| Box::from(*name)).collect();
            Patterns { names, subjects: Vec::new() }.accept(&certificate(dns, uris))
        };
        assert!(accepts(&["*.a.example"], &["x.a.example"], &[]));
        assert!(accepts(&["*.a.example"], &["X.Y.A.example"], &[]));
        assert!(!accepts(&["*.a.example"], &["a.example", "xa.example"], &[]));
        assert!(!accepts(&["*.a.example"], &[".a.example"], &[]));
        assert!(accepts(&["a.example"], &["A.example"], &[]));
        assert!(accepts(&["spiffe://acme/ns/*"], &[], &["spiffe://acme/ns/billing"]));
        assert!(!accepts(&["spiffe://acme/ns/*"], &[], &["spiffe://acme/ns", "spiffe://acme/ns/"]));
        assert!(!accepts(&["spiffe://acme/ns/*"], &[], &["spiffe://acme/nsx/billing"]));
        assert!(!accepts(&["*.a.example"], &[], &["x.a.example"]), "a host's pattern");
        assert!(!accepts(&["ü.example", "*.é"], &["x", "é"], &[]));
    }

    #[test]
    fn a_subject_is_matched_whole_and_no_pattern_takes_all() {
        let of = |subject: &str| Patterns { subjects: vec![subject.into()], names: Vec::new() };
        let mine = certificate(&[], &[]);
        assert!(of("CN=billing,O=Acme").accept(&mine) && !of("CN=billing").accept(&mine));
        assert!(Patterns::default().accept(&mine));
    }

    #[test]
    fn its_claims_are_its_names() {
        let mine = certificate(&["a.example", "b.example"], &[]);
        let claims = mine.claims();
        assert_eq!(claims.text("sub"), Some("a.example"));
        assert_eq!(claims.text("dns"), Some("a.example,b.example"));
        assert_eq!(claims.text("cn"), Some("billing"));
        assert_eq!(claims.text("uri"), None);
        assert_eq!(certificate(&[], &[]).owner(), "CN=billing,O=Acme");
    }
}
