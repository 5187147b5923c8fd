//! What has been proven about the caller of one request.
//!
//! Filled by the authenticate step, then only read. Every part is behind an `Arc` that a table or a
//! cache shares, so that knowing a caller again costs a count and no copy.

use std::sync::Arc;

/// The caller of a request, as far as it has been proven. Empty: anybody.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// The API key it showed.
    pub key: Option<Arc<Key>>,
    /// The claims of the token it showed.
    pub claims: Option<Arc<Claims>>,
}

/// An API key, known by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub name: Arc<str>,
    /// The usage plan it is metered by; `None`: by no plan.
    pub plan: Option<Arc<str>>,
}

/// The claims of a verified token (RFC 7519 section 4).
#[derive(Clone, Debug, PartialEq)]
pub struct Claims(pub serde_json::Map<String, serde_json::Value>);

// === impl Identity ===

impl Identity {
    /// The name of the API key; empty if there is none.
    #[must_use]
    pub fn key_name(&self) -> &str {
        self.key.as_ref().map_or("", |key| &key.name)
    }

    /// The name of the usage plan; empty if there is none.
    #[must_use]
    pub fn plan(&self) -> &str {
        self.key.as_ref().and_then(|key| key.plan.as_deref()).unwrap_or("")
    }

    /// A claim of the token that is a text.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&str> {
        self.claims.as_ref()?.0.get(name)?.as_str()
    }
}
