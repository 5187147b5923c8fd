//! Which certificate a client gets, by the name it asks for; replaceable while connections live.
//!
//! Owns the table of names ([`CertificateTable`]) and the cell rustls reads it from. Refuses to
//! know files. Rules: an exact name, then a wildcard of one label, then the first certificate (or
//! nobody, if unknown names are refused); among several certificates of one name, the first whose
//! key the client can verify. Invariant: a lookup takes no lock and allocates nothing.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use smallvec::SmallVec;

use super::certificate::{Loaded, Name, Warning};
use super::server::UnknownSni;

thread_local! {
    /// rustls' unbuffered server tells nobody which name the client asked for, except the resolver.
    /// The resolver runs inside `Session::receive`, on its thread, and leaves the name here for it.
    static ASKED_FOR: RefCell<Option<Box<str>>> = const { RefCell::new(None) };
}

/// The names of one listener. Never changed: a reload makes another and swaps it in.
pub struct CertificateTable {
    exact: HashMap<Box<str>, Candidates>,
    /// Keyed by what follows `*.`.
    wildcard: HashMap<Box<str>, Candidates>,
    /// For clients that ask for no name, or for one nobody has; empty if they are refused.
    default: Candidates,
}

/// One certificate, or one for each kind of key.
type Candidates = SmallVec<[Arc<CertifiedKey>; 1]>;

/// What rustls asks. The `ServerConfig` holds it for ever; only the table in it changes.
pub(super) struct SniResolver {
    pub table: Arc<ArcSwap<CertificateTable>>,
}

pub(super) fn take_server_name() -> Option<Box<str>> {
    ASKED_FOR.take()
}

// === impl CertificateTable ===

impl CertificateTable {
    /// Builds the table; the first certificate is the default one. A name that two certificates
    /// with the same kind of key both have goes to the first, with a warning that shows both.
    pub(super) fn new(
        loaded: &[Loaded],
        unknown: UnknownSni,
        warnings: &mut Vec<Warning>,
    ) -> CertificateTable {
        let mut owners: HashMap<(&Name, u8), &Loaded> = HashMap::new();
        let mut table = CertificateTable {
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            default: Candidates::new(),
        };
        for certificate in loaded {
            for name in &certificate.names {
                let kind = u8::from(certificate.key.key.algorithm());
                if let Some(first) = owners.get(&(name, kind)) {
                    warnings.push(Warning {
                        file: certificate.file.clone(),
                        message: format!(
                            "{name} is served by {}, which has it too",
                            first.file.display()
                        ),
                    });
                    continue;
                }
                owners.insert((name, kind), certificate);
                let (map, key) = match name {
                    Name::Exact(key) => (&mut table.exact, key),
                    Name::Wildcard(key) => (&mut table.wildcard, key),
                };
                map.entry(key.clone()).or_default().push(Arc::clone(&certificate.key));
            }
        }
        if unknown == UnknownSni::Default {
            // Certificates of another kind of key for the same names stand in for the first one.
            let first = loaded.first();
            let same = loaded.iter().filter(|c| first.is_some_and(|f| f.names == c.names));
            table.default = same.map(|c| Arc::clone(&c.key)).collect();
        }
        table
    }

    fn find(&self, name: Option<&str>, offered: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let named = name.and_then(|name| {
            let parent = || name.split_once('.').and_then(|(_, rest)| self.wildcard.get(rest));
            self.exact.get(name).or_else(parent)
        });
        let candidates = named.unwrap_or(&self.default);
        let fits = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(offered).is_some();
        // If none fits, the first: rustls then names the real cause in its alert.
        candidates.iter().find(fits).or(candidates.first()).cloned()
    }
}

impl fmt::Debug for CertificateTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wild = self.wildcard.keys().map(|name| format!("*.{name}"));
        f.debug_set().entries(self.exact.keys()).entries(wild).finish()
    }
}

// === impl SniResolver ===

impl ResolvesServerCert for SniResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // RFC 6066 section 3: names compare without case, and come without the trailing dot.
        let name = hello.server_name().map(|name| name.trim_end_matches('.'));
        let lower = name
            .filter(|name| name.bytes().any(|b| b.is_ascii_uppercase()))
            .map(str::to_ascii_lowercase);
        let name = lower.as_deref().or(name);
        ASKED_FOR.set(name.map(Box::from));
        self.table.load().find(name, hello.signature_schemes())
    }
}

impl fmt::Debug for SniResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table.load().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tls::kit::{Ca, NOW};
    use crate::net::tls::{certificate, server};

    #[test]
    fn the_key_fits_the_clients_abilities() {
        let ca = Ca::new();
        let mut warnings = Vec::new();
        let mut load = |tag: &str, algorithm| {
            let (chain, key) = ca.issue_with(tag, &["a.example"], algorithm, |_| {});
            certificate::load(&chain, &key, &server::provider(), NOW, &mut warnings).unwrap()
        };
        let modern = load("modern", &rcgen::PKCS_ED25519);
        let common = load("common", &rcgen::PKCS_ECDSA_P256_SHA256);
        let mut none = Vec::new();
        let loaded = [modern, common];
        let table = CertificateTable::new(&loaded, UnknownSni::Default, &mut none);
        assert!(none.is_empty());
        let (ed25519, p256) = (SignatureScheme::ED25519, SignatureScheme::ECDSA_NISTP256_SHA256);
        for (offered, expected) in [
            (&[ed25519, p256][..], 0),
            (&[p256, ed25519], 0),
            (&[p256], 1),
            (&[SignatureScheme::RSA_PSS_SHA256], 0),
            (&[], 0),
        ] {
            for name in [Some("a.example"), Some("b.example"), None] {
                let found = table.find(name, offered).unwrap();
                assert!(Arc::ptr_eq(&found, &loaded[expected].key), "{offered:?} for {name:?}");
            }
        }
    }
}
