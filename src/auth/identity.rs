//! What has been proven about the caller of one request.
//!
//! Filled by the authenticate step, then only read. Every part is behind an `Arc` that a table or a
//! cache shares, so that knowing a caller again costs a count and no copy.

use std::sync::Arc;

use super::claims::Claims;
use super::keys::Key;

/// The caller of a request, as far as it has been proven. Empty: anybody.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// The API key it showed.
    pub key: Option<Arc<Key>>,
    /// Which of the key's plans it is metered by; `None`: by none.
    pub plan: Option<u16>,
    /// The claims of the token it showed, or what stands for them.
    pub claims: Option<Arc<Claims>>,
    /// Whom they are about.
    pub subject: Option<Arc<str>>,
}

// === impl Identity ===

impl Identity {
    /// The name of the API key; empty if there is none.
    #[must_use]
    pub fn key_name(&self) -> &str {
        self.key.as_ref().map_or("", |key| key.name())
    }

    /// A tag of the API key; empty if it has none of this name.
    #[must_use]
    pub fn tag(&self, name: &str) -> &str {
        self.key.as_ref().and_then(|key| key.tag(name)).unwrap_or("")
    }

    /// The name of the usage plan; empty if there is none.
    #[must_use]
    pub fn plan(&self) -> &str {
        let (Some(key), Some(plan)) = (&self.key, self.plan) else { return "" };
        key.plans().get(usize::from(plan)).map_or("", |plan| plan)
    }

    /// Whom an authorizer has found the caller to be; empty if none has.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.subject.as_deref().unwrap_or("")
    }

    /// A claim as text; see [`Claims::text`].
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&str> {
        self.claims.as_ref()?.text(name)
    }
}
