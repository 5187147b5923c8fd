//! The issuers' keys: fetched when they are due or asked for, files read anew when they change.
//!
//! Runs on the house's thread, off the data path; what it learns stands in each authorizer's
//! [`KeyStore`]. Names are resolved on a thread of their own, for that blocks. Invariants: one
//! fetch per authorizer at a time; a fetch that fails leaves the keys as they are, and is tried
//! again later and later; what asks for keys cannot make fetches more frequent than the cooldown.

use std::cell::{Cell as Flag, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::auth::{KeySet, KeySetError};
use crate::bounds::{
    JWKS_BYTES_MAX, JWKS_FILE_LOOK, JWKS_LOOK, JWKS_RETRY, JWKS_RETRY_MAX, PROOF_LOOK,
};
use crate::clock::{self, Tick};
use crate::config::{Dns, Jwks, JwksSource};
use crate::http::Url;
use crate::net::{deadline, task};
use crate::observe::cells::WorkerId;
use crate::snapshot::{Cell, KeyStore, Proof, Snapshot};
use crate::upstream::fetch::{self, FetchError, Wanted};
use crate::upstream::resolve::{ResolveError, Resolver, ResolverConfig};

/// One authorizer's keys under watch.
struct Watch {
    store: Arc<KeyStore>,
    conf: RefCell<Jwks>,
    due: Flag<Tick>,
    running: Flag<bool>,
    /// Fetches that failed in a row.
    failed: Flag<u32>,
    /// The file as it was read last.
    seen: RefCell<Option<Stamp>>,
}

/// A reading under way; ends also by a panic.
struct Running(Rc<Watch>);

/// What changes when a file does.
type Stamp = (Option<SystemTime>, u64);

/// Why keys could not be had.
enum Lacking {
    Fetch(FetchError),
    Keys(KeySetError),
    Name(ResolveError),
    /// The issuer's document does not name it, or no keys.
    Discovery(&'static str),
    File(PathBuf, std::io::Error),
    Threads(std::io::Error),
}

/// Keeps the keys of all authorizers for ever.
pub async fn run(cell: Arc<Cell>) {
    let (mut watches, mut generation) = (Vec::new(), 0);
    loop {
        let snapshot = cell.load();
        if snapshot.generation != generation {
            generation = snapshot.generation;
            watches = follow(&snapshot, watches);
        }
        let resolver = snapshot.config.gateway.dns.clone();
        drop(snapshot);
        let now = clock::now();
        for watch in &watches {
            if watch.is_due(now) {
                task::spawn(Running::new(watch).read(resolver.clone()));
            }
        }
        let pause = if watches.is_empty() { JWKS_FILE_LOOK } else { JWKS_LOOK };
        deadline::sleep_until(now.after(pause)).await;
    }
}

/// The watches of a snapshot; a store that stays keeps its own.
fn follow(snapshot: &Snapshot, old: Vec<Rc<Watch>>) -> Vec<Rc<Watch>> {
    let mut old: HashMap<*const KeyStore, Rc<Watch>> =
        old.into_iter().map(|watch| (Arc::as_ptr(&watch.store), watch)).collect();
    let mut watches = Vec::new();
    for authorizer in snapshot.authorizers.values() {
        let Proof::Token(tokens) = &authorizer.proof else { continue };
        let watch = old.remove(&Arc::as_ptr(&tokens.keys)).unwrap_or_else(|| {
            Rc::new(Watch {
                store: tokens.keys.clone(),
                conf: RefCell::new(tokens.jwks.clone()),
                due: Flag::new(Tick(0)),
                running: Flag::new(false),
                failed: Flag::new(0),
                seen: RefCell::new(None),
            })
        });
        watch.conf.replace(tokens.jwks.clone());
        watches.push(watch);
    }
    watches
}

// === impl Running ===

impl Running {
    fn new(watch: &Rc<Watch>) -> Running {
        watch.running.set(true);
        // Should it panic: not at once again.
        watch.due.set(clock::now().after(JWKS_RETRY_MAX));
        if watch.store.url().is_some() {
            watch.store.begins();
        }
        Running(watch.clone())
    }

    async fn read(self, dns: Dns) {
        self.0.read(&dns).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.set(false);
    }
}

// === impl Watch ===

impl Watch {
    fn is_due(&self, now: Tick) -> bool {
        !self.running.get() && (now >= self.due.get() || self.store.is_asked())
    }

    async fn read(&self, dns: &Dns) {
        let (store, conf) = (self.store.clone(), self.conf.borrow().clone());
        let name = &*store.name;
        let read = match &store.from {
            JwksSource::File(file) => self.read_file(&file.path),
            JwksSource::Url(url) => fetch_keys(&store, &conf, url, dns).await.map(Some),
            JwksSource::Discovery(url) => discover(&store, &conf, url, dns).await.map(Some),
        };
        let now = clock::now();
        let cells = store.cells.of(WorkerId(0));
        match read {
            // A file that has not changed.
            Ok(None) => self.due.set(now.after(JWKS_FILE_LOOK)),
            Ok(Some((keys, next))) => {
                if self.failed.replace(0) > 0 {
                    tracing::info!(authorizer = name, "the issuer's keys are there again");
                }
                if keys.skipped > 0 {
                    let skipped = keys.skipped;
                    tracing::debug!(authorizer = name, skipped, "keys that cannot verify here");
                }
                cells.keys_fetched(keys.len(), clock::wall());
                self.due.set(now.after(next));
                store.ends(Some(keys), &conf, now);
            }
            Err(lacking) => {
                let failed = self.failed.get() + 1;
                self.failed.set(failed);
                let pause = JWKS_RETRY * (1 << failed.min(16).saturating_sub(1));
                self.due.set(now.after(pause.min(JWKS_RETRY_MAX)));
                cells.fetch_failed();
                let has_keys = store.keys(now).is_some();
                let told = if has_keys { "those there are stay" } else { "callers get 503" };
                tracing::warn!(authorizer = name, %lacking, "no new keys from the issuer; {told}");
                store.ends(None, &conf, now);
            }
        }
    }

    /// `None`: the file is the one that was read last.
    fn read_file(&self, path: &PathBuf) -> Result<Option<(KeySet, Duration)>, Lacking> {
        use std::io::Read as _;
        let failed = |error| Lacking::File(path.clone(), error);
        let file = std::fs::File::open(path).map_err(failed)?;
        let facts = file.metadata().map_err(failed)?;
        let stamp: Stamp = (facts.modified().ok(), facts.len());
        if self.seen.borrow().as_ref() == Some(&stamp) {
            return Ok(None);
        }
        let mut text = Vec::new();
        file.take(JWKS_BYTES_MAX as u64 + 1).read_to_end(&mut text).map_err(failed)?;
        let keys = KeySet::parse(&text).map_err(Lacking::Keys)?;
        self.seen.replace(Some(stamp));
        Ok(Some((keys, JWKS_FILE_LOOK)))
    }
}

/// OpenID Connect Discovery 1.0 section 4: where the issuer says its keys are.
async fn discover(
    store: &KeyStore,
    conf: &Jwks,
    url: &Url,
    dns: &Dns,
) -> Result<(KeySet, Duration), Lacking> {
    let document = fetch(store, conf, url, dns).await?;
    let value: Value = serde_json::from_slice(&document.body)
        .map_err(|_| Lacking::Discovery("the issuer's metadata is no JSON"))?;
    // Section 4.3: it MUST be the very issuer that was asked.
    if value.get("issuer").and_then(Value::as_str) != Some(&store.issuer) {
        return Err(Lacking::Discovery("the metadata is of another issuer"));
    }
    let keys = value.get("jwks_uri").and_then(Value::as_str).and_then(Url::parse);
    let keys = keys.ok_or(Lacking::Discovery("the metadata has no jwks_uri to ask"))?;
    if url.https && !keys.https {
        return Err(Lacking::Discovery("the metadata leads to keys in clear"));
    }
    fetch_keys(store, conf, &keys, dns).await
}

async fn fetch_keys(
    store: &KeyStore,
    conf: &Jwks,
    url: &Url,
    dns: &Dns,
) -> Result<(KeySet, Duration), Lacking> {
    let document = fetch(store, conf, url, dns).await?;
    let keys = KeySet::parse(&document.body).map_err(Lacking::Keys)?;
    // Not sooner than a cooldown, however impatient the issuer is.
    let next = document.max_age.unwrap_or(conf.refresh).min(conf.refresh).max(conf.cooldown);
    Ok((keys, next))
}

async fn fetch(
    store: &KeyStore,
    conf: &Jwks,
    url: &Url,
    dns: &Dns,
) -> Result<fetch::Document, Lacking> {
    let addresses = resolve(&url.host, dns).await?;
    let wanted = Wanted {
        url,
        tls: store.tls.as_deref(),
        accept: "application/json, application/jwk-set+json",
        bytes_max: JWKS_BYTES_MAX,
        until: clock::now().after(conf.timeout),
    };
    fetch::get(&wanted, &addresses).await.map_err(Lacking::Fetch)
}

/// The addresses of a host; a name is asked for on a thread of its own.
async fn resolve(host: &str, dns: &Dns) -> Result<Vec<IpAddr>, Lacking> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let mut config = ResolverConfig { timeout: dns.timeout, ..ResolverConfig::default() };
    if !dns.servers.is_empty() {
        config.servers.clone_from(&dns.servers);
    }
    let answer: Arc<Mutex<Option<Result<_, ResolveError>>>> = Arc::default();
    let (slot, name) = (answer.clone(), host.to_owned());
    let body = move || {
        let resolved = Resolver::new(config).resolve(&name);
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(resolved);
    };
    std::thread::Builder::new().name("jwks-name".into()).spawn(body).map_err(Lacking::Threads)?;
    // The resolver's own timeouts end this.
    loop {
        let resolved = answer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(resolved) = resolved {
            return resolved.map(|found| found.addresses).map_err(Lacking::Name);
        }
        deadline::sleep_until(clock::now().after(PROOF_LOOK)).await;
    }
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lacking::Fetch(error) => error.fmt(f),
            Lacking::Keys(error) => error.fmt(f),
            Lacking::Name(error) => error.fmt(f),
            Lacking::Discovery(why) => f.write_str(why),
            Lacking::File(path, error) => write!(f, "{}: {error}", path.display()),
            Lacking::Threads(error) => write!(f, "no thread to resolve a name on: {error}"),
        }
    }
}
