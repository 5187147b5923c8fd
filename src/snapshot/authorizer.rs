//! An authorizer as the workers see it: what it asks for, the keys it verifies with, what it says
//! of a caller.
//!
//! Keys live in a [`KeyStore`] that follows the authorizer's name over reloads for as long as they
//! come from the same place: a reload loses no key, and keys of one issuer never stand for
//! another's. Invariant: a store without keys refuses, and so does one whose keys are too old.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwapOption;

use crate::auth::basic::Users;
use crate::auth::{Form, KeySet, Networks, Patterns, jwt};
use crate::clock::Tick;
use crate::config::{self, JwksSource, Name, Source};
use crate::http::Url;
use crate::net::tls::client::ClientTls;
use crate::observe::cells::PerWorker;
use crate::observe::proofs::{AuthorizerCells, JwksCells};

/// An authorizer of a snapshot.
pub struct Authorizer {
    /// Tells this object from every other of the process.
    pub id: u64,
    pub name: Name,
    pub proof: Proof,
    pub realm: Arc<str>,
    /// Field name and claim.
    pub headers: Vec<(Box<str>, Box<str>)>,
    pub log_claims: Vec<Arc<str>>,
    pub forward_credentials: bool,
    pub cells: Arc<PerWorker<AuthorizerCells>>,
}

/// What it asks for.
pub enum Proof {
    Token(Box<Tokens>),
    Password(Box<Users>),
    Certificate(Patterns),
}

/// How tokens are found and verified.
pub struct Tokens {
    pub rules: jwt::Rules,
    pub source: Source,
    /// Whether `Bearer ` must stand before it.
    pub bearer_required: bool,
    /// How its keys are fetched.
    pub jwks: config::Jwks,
    pub keys: Arc<KeyStore>,
}

/// Where keys come from, and those there are.
pub struct KeyStore {
    /// The authorizer's name.
    pub name: Name,
    pub from: JwksSource,
    /// The issuer, which a discovered document must name.
    pub issuer: Box<str>,
    /// For URLs; `None` for a file.
    pub tls: Option<Arc<ClientTls>>,
    pub cells: Arc<PerWorker<JwksCells>>,
    keys: ArcSwapOption<KeySet>,
    /// The keys are good until then, if no newer ones come.
    stale_at: AtomicU64,
    /// A request has met a key that is not among them.
    asked: AtomicBool,
    /// A fetch is under way or due at once.
    fetching: AtomicBool,
    /// Fetches that have ended, well or not.
    rounds: AtomicU64,
    /// Before then nobody's unknown key has them fetched again.
    cool_until: AtomicU64,
}

/// Who may call a route.
pub struct Access {
    pub networks: Option<Networks>,
    /// Any one of them; empty: everybody.
    pub authorizers: Vec<Arc<Authorizer>>,
    /// At least one of them; empty: none is asked for.
    pub scopes: Vec<Box<str>>,
    pub mfa: bool,
    /// In whose words the refused are told what would be accepted.
    pub form: Form,
}

// === impl KeyStore ===

impl KeyStore {
    /// A store without keys, or with those of a file.
    #[must_use]
    pub fn new(
        name: &Name,
        issuer: &str,
        from: JwksSource,
        tls: Option<Arc<ClientTls>>,
        cells: Arc<PerWorker<JwksCells>>,
    ) -> KeyStore {
        KeyStore {
            name: name.clone(),
            from,
            issuer: issuer.into(),
            tls,
            cells,
            keys: ArcSwapOption::empty(),
            stale_at: AtomicU64::new(u64::MAX),
            asked: AtomicBool::new(false),
            fetching: AtomicBool::new(true),
            rounds: AtomicU64::new(0),
            cool_until: AtomicU64::new(0),
        }
    }

    /// The keys to verify with now.
    #[must_use]
    pub fn keys(&self, now: Tick) -> Option<Arc<KeySet>> {
        let fresh = now.0 < self.stale_at.load(Ordering::Relaxed);
        self.keys.load_full().filter(|_| fresh)
    }

    /// Which set of keys that is.
    #[must_use]
    pub fn id(&self, now: Tick) -> Option<u64> {
        let fresh = now.0 < self.stale_at.load(Ordering::Relaxed);
        self.keys.load().as_ref().filter(|_| fresh).map(|keys| keys.id)
    }

    /// The URL to ask; `None` if keys come from a file.
    #[must_use]
    pub fn url(&self) -> Option<&Url> {
        match &self.from {
            JwksSource::File(_) => None,
            JwksSource::Url(url) | JwksSource::Discovery(url) => Some(url),
        }
    }

    /// A worker lacks a key. Says which round of fetching to wait for; `None`: none is due.
    #[must_use]
    pub fn ask(&self, now: Tick) -> Option<u64> {
        self.url()?;
        let may = now.0 >= self.cool_until.load(Ordering::Relaxed);
        if may {
            self.asked.store(true, Ordering::Release);
        }
        let next = self.rounds.load(Ordering::Acquire) + 1;
        (may || self.fetching.load(Ordering::Acquire)).then_some(next)
    }

    /// Whether that round is over.
    #[must_use]
    pub fn is_over(&self, round: u64) -> bool {
        self.rounds.load(Ordering::Acquire) >= round
    }

    /// Whether a worker has asked since the last fetch began.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    /// A fetch begins.
    pub fn begins(&self) {
        self.fetching.store(true, Ordering::Release);
        self.asked.store(false, Ordering::Release);
    }

    /// A fetch has ended. Without keys those there are stay.
    pub fn ends(&self, keys: Option<KeySet>, conf: &config::Jwks, now: Tick) {
        if let Some(keys) = keys {
            let stale_at = conf.stale.filter(|_| self.url().is_some());
            let stale_at = stale_at.map_or(Tick::NEVER, |stale| now.after(stale));
            self.stale_at.store(stale_at.0, Ordering::Relaxed);
            self.keys.store(Some(Arc::new(keys)));
        }
        self.cool_until.store(now.after(conf.cooldown).0, Ordering::Relaxed);
        self.asked.store(false, Ordering::Release);
        self.fetching.store(false, Ordering::Release);
        self.rounds.fetch_add(1, Ordering::AcqRel);
    }
}

// === impl Access ===

impl Access {
    /// Whether everybody may call.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.networks.is_none() && self.authorizers.is_empty()
    }
}
