//! What a refusal asks for: the value of `WWW-Authenticate` (RFC 9110 section 11.6.1).
//!
//! Owns the grammar of challenges: Bearer (RFC 6750 section 3), Basic (RFC 7617) and API keys, in
//! their own form or as AWS API Gateway writes Bearer's. Invariant: what goes between quotes is
//! escaped; a client's bytes never come here.

use std::sync::Arc;

/// Which scheme would be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Bearer,
    Basic,
    /// No registered scheme: the name says what is meant.
    ApiKey,
    /// The same: TLS asks for it, not HTTP.
    Certificate,
}

/// In whose words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Rfc,
    /// `Bearer scope="" error="..." error_description="..."`, without commas or a realm.
    Aws,
}

/// One challenge of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    pub scheme: Scheme,
    pub realm: Arc<str>,
    /// RFC 6750 section 3.1: `invalid_token`, `insufficient_scope`, `invalid_request`. `None` if
    /// nothing was shown: then no reason may be given.
    pub error: Option<&'static str>,
    pub description: Option<&'static str>,
    /// The scopes of which one is needed.
    pub scopes: Vec<Box<str>>,
}

// === impl Challenge ===

impl Challenge {
    /// A challenge without a reason.
    #[must_use]
    pub fn new(scheme: Scheme, realm: &Arc<str>) -> Challenge {
        let realm = realm.clone();
        Challenge { scheme, realm, error: None, description: None, scopes: Vec::new() }
    }

    /// Because of this.
    #[must_use]
    pub fn because(self, error: &'static str, description: &'static str) -> Challenge {
        Challenge { error: Some(error), description: Some(description), ..self }
    }

    /// One of these scopes is needed.
    #[must_use]
    pub fn wanting(self, scopes: &[Box<str>]) -> Challenge {
        Challenge { scopes: scopes.to_vec(), ..self }
    }

    /// The field's value.
    #[must_use]
    pub fn value(&self, form: Form) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        let scopes = self.scopes.join(" ");
        match (self.scheme, form) {
            (Scheme::Bearer, Form::Aws) => {
                out.extend_from_slice(b"Bearer");
                parameter(&mut out, " ", "scope", &scopes);
                if let (Some(error), Some(description)) = (self.error, self.description) {
                    parameter(&mut out, " ", "error", error);
                    parameter(&mut out, " ", "error_description", description);
                }
            }
            (Scheme::Bearer, Form::Rfc) => {
                out.extend_from_slice(b"Bearer");
                parameter(&mut out, " ", "realm", &self.realm);
                if let (Some(error), Some(description)) = (self.error, self.description) {
                    parameter(&mut out, ", ", "error", error);
                    parameter(&mut out, ", ", "error_description", description);
                }
                if !scopes.is_empty() {
                    parameter(&mut out, ", ", "scope", &scopes);
                }
            }
            (Scheme::Basic, _) => {
                out.extend_from_slice(b"Basic");
                parameter(&mut out, " ", "realm", &self.realm);
                // RFC 7617 section 2.1.
                parameter(&mut out, ", ", "charset", "UTF-8");
            }
            (Scheme::ApiKey | Scheme::Certificate, _) => {
                let name =
                    if self.scheme == Scheme::ApiKey { "ApiKey" } else { "ClientCertificate" };
                out.extend_from_slice(name.as_bytes());
                parameter(&mut out, " ", "realm", &self.realm);
            }
        }
        out
    }
}

fn parameter(out: &mut Vec<u8>, before: &str, name: &str, value: &str) {
    out.extend_from_slice(before.as_bytes());
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"=\"");
    for byte in value.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(challenge: &Challenge, form: Form) -> String {
        String::from_utf8(challenge.value(form)).unwrap()
    }

    #[test]
    fn challenges_are_written_as_their_rfcs_have_them() {
        let realm: Arc<str> = Arc::from("the \"edge\"");
        let bearer = Challenge::new(Scheme::Bearer, &realm);
        assert_eq!(text(&bearer, Form::Rfc), r#"Bearer realm="the \"edge\"""#);
        assert_eq!(text(&bearer, Form::Aws), r#"Bearer scope="""#);
        let wrong = bearer.clone().because("invalid_token", "the token has expired");
        assert_eq!(
            text(&wrong, Form::Rfc),
            "Bearer realm=\"the \\\"edge\\\"\", error=\"invalid_token\", \
             error_description=\"the token has expired\""
        );
        assert_eq!(
            text(&wrong, Form::Aws),
            r#"Bearer scope="" error="invalid_token" error_description="the token has expired""#
        );
        let scopes = ["a".into(), "b".into()];
        let less = bearer.because("insufficient_scope", "more is needed").wanting(&scopes);
        assert!(text(&less, Form::Rfc).ends_with(r#", scope="a b""#));
        assert!(text(&less, Form::Aws).starts_with(r#"Bearer scope="a b" error="#));
        let basic = Challenge::new(Scheme::Basic, &Arc::from("r"));
        assert_eq!(text(&basic, Form::Rfc), r#"Basic realm="r", charset="UTF-8""#);
        assert_eq!(text(&basic, Form::Aws), text(&basic, Form::Rfc));
        let key = Challenge::new(Scheme::ApiKey, &Arc::from("r"));
        assert_eq!(text(&key, Form::Rfc), r#"ApiKey realm="r""#);
    }
}
