//! What has been proven about the caller of one request.
//!
//! Filled by the authenticate step, then only read. Every part is behind an `Arc` that a table or a
//! cache shares, so that knowing a caller again costs a count and no copy.

use std::sync::Arc;

use super::keys::Key;

/// The caller of a request, as far as it has been proven. Empty: anybody.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// The API key it showed.
    pub key: Option<Arc<Key>>,
    /// Which of the key's plans it is metered by; `None`: by none.
    pub plan: Option<u16>,
    /// The claims of the token it showed.
    pub claims: Option<Arc<Claims>>,
}

/// The claims of a verified token (RFC 7519 section 4).
#[derive(Clone, Debug, PartialEq)]
pub struct Claims(pub serde_json::Map<String, serde_json::Value>);

// === impl Identity ===

impl Identity {
    /// The name of the API key; empty if there is none.
    #[must_use]
    pub fn key_name(&self) -> &str {
        self.key.as_ref().map_or("", |key| key.name())
    }

    /// The name of the usage plan; empty if there is none.
    #[must_use]
    pub fn plan(&self) -> &str {
        let (Some(key), Some(plan)) = (&self.key, self.plan) else { return "" };
        key.plans().get(usize::from(plan)).map_or("", |plan| plan)
    }

    /// A claim of the token that is a text.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&str> {
        self.claims.as_ref()?.0.get(name)?.as_str()
    }
}
