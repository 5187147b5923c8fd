//! Addresses of endpoint names: resolved when a configuration is loaded, and again when their time
//! to live ends, on a thread of their own.
//!
//! Invariants: a name that does not resolve any more keeps its last addresses, and the log says so;
//! a name of the snapshot in force is known.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{self, Tick};
use crate::config::Dns;
use crate::observe::registry::Registry;
use crate::snapshot::{Cell, Names};
use crate::upstream::resolve::{Resolver, ResolverConfig};

/// What is known of names.
pub struct NameBook {
    resolver: Resolver,
    ttl_min: Duration,
    ttl_max: Duration,
    entries: Mutex<BTreeMap<String, Entry>>,
}

#[derive(Clone, Debug)]
struct Entry {
    addresses: Vec<IpAddr>,
    /// When to ask again.
    due: Tick,
}

/// How soon a name that did not resolve is asked for again.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// How often the thread looks whether a name is due.
const LOOK_EVERY: Duration = Duration::from_millis(250);

// === impl NameBook ===

impl NameBook {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(dns: &Dns) -> NameBook {
        let mut config = ResolverConfig { timeout: dns.timeout, ..ResolverConfig::default() };
        if !dns.servers.is_empty() {
            config.servers.clone_from(&dns.servers);
        }
        NameBook {
            resolver: Resolver::new(config),
            ttl_min: dns.ttl_min,
            ttl_max: dns.ttl_max,
            entries: Mutex::default(),
        }
    }

    /// Resolves those of `names` that are not known.
    pub fn learn(&self, names: &BTreeSet<String>) {
        for name in names {
            if !self.entries().contains_key(name) {
                let entry = self.ask(name, None);
                self.entries().insert(name.clone(), entry);
            }
        }
    }

    /// Forgets all but `names`: those of the snapshot in force, never of one that may be refused.
    pub fn forget_others(&self, names: &BTreeSet<String>) {
        self.entries().retain(|name, _| names.contains(name));
    }

    /// All names and addresses.
    #[must_use]
    pub fn known(&self) -> Names {
        let entries = self.entries();
        entries.iter().map(|(name, entry)| (name.clone(), entry.addresses.clone())).collect()
    }

    /// Keeps the endpoints of the current snapshot's upstreams up to date, on a thread of its own.
    pub fn watch(self: Arc<Self>, cell: Arc<Cell>, registry: Arc<Registry>) {
        let body = move || {
            while cell.draining().is_none() {
                std::thread::park_timeout(LOOK_EVERY);
                if self.refresh(clock::now()) {
                    let known = self.known();
                    for upstream in &cell.load().upstreams {
                        if upstream.update(&registry, &known) {
                            tracing::info!(upstream = &*upstream.name, "addresses changed");
                        }
                    }
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("names".into()).spawn(body) {
            tracing::error!(%error, "names will not be resolved again");
        }
    }

    /// Asks for the names that are due; says whether any address changed.
    fn refresh(&self, now: Tick) -> bool {
        let due: Vec<(String, Entry)> = {
            let entries = self.entries();
            let due = entries.iter().filter(|(_, entry)| entry.due <= now);
            due.map(|(name, entry)| (name.clone(), entry.clone())).collect()
        };
        let mut changed = false;
        for (name, old) in due {
            // The lock is not held while the network is asked.
            let new = self.ask(&name, Some(&old));
            changed |= new.addresses != old.addresses;
            if let Some(entry) = self.entries().get_mut(&name) {
                *entry = new;
            }
        }
        changed
    }

    fn ask(&self, name: &str, old: Option<&Entry>) -> Entry {
        let answer = self.resolver.resolve(name);
        let now = clock::now();
        match answer {
            Ok(answer) => {
                let mut addresses = answer.addresses;
                // Round-robin DNS shuffles: the same set is no change.
                addresses.sort_unstable();
                addresses.dedup();
                let ttl = answer.ttl.clamp(self.ttl_min, self.ttl_max);
                Entry { addresses, due: now.after(ttl) }
            }
            Err(error) => {
                tracing::warn!(name, %error, "name does not resolve; its last addresses stay");
                let addresses = old.map(|old| old.addresses.clone()).unwrap_or_default();
                Entry { addresses, due: now.after(RETRY_AFTER) }
            }
        }
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
