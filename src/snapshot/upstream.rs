//! An upstream as all workers see it: its endpoints, what is known of their health, its
//! concurrency.
//!
//! Health follows the endpoint over reloads as long as the upstream's name, the endpoint's address
//! and how it is reached (TLS, PROXY protocol) stay. The hot path reads atomics; the lock is for
//! failures.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::compile::Names;
use crate::balance::{Ejection, EjectionRules, Outcome, Outlier, RAMP_FULL};
use crate::clock::Tick;
use crate::config::{self, EndpointAddress, Name};
use crate::net::tls::client::ClientTls;
use crate::observe::cells::{EndpointCells, PerWorker, UpstreamCells};
use crate::observe::registry::Registry;

/// An upstream of a snapshot.
pub struct Upstream {
    pub name: Name,
    pub conf: config::Upstream,
    pub tls: Option<ClientTls>,
    pub cells: Arc<PerWorker<UpstreamCells>>,
    endpoints: ArcSwap<Endpoints>,
    /// Requests in flight over all workers; shared with the next snapshot's upstream of this name.
    in_flight: Arc<AtomicU64>,
}

/// The endpoints of an upstream as they are resolved now. Replaced whole: a worker that holds
/// another `Arc` than the current one looks again.
#[derive(Default)]
pub struct Endpoints {
    pub list: Vec<Arc<Endpoint>>,
    /// By position in `list`; `None` if the upstream ejects nobody. Taken on failures, and on the
    /// first success after one: never by a request that goes well among others that do.
    ejection: Option<Mutex<Ejection>>,
}

/// One address requests go to.
pub struct Endpoint {
    /// Identity: the address, and the name it was resolved from.
    pub name: String,
    /// As it is written in the configuration, `host:port`.
    pub written: String,
    /// The written host, without the port.
    pub host: String,
    pub address: SocketAddr,
    pub weight: u32,
    pub cells: Arc<PerWorker<EndpointCells>>,
    /// Active checks have taken it out.
    down: AtomicBool,
    /// Its last request failed: the next good one must be told to the ejection.
    troubled: AtomicBool,
    /// Ejected until this tick.
    ejected_until: AtomicU64,
    /// Its share of the requests still grows until this tick.
    ramps_until: AtomicU64,
}

// === impl Upstream ===

impl Upstream {
    /// The old object if nothing about it changed, else a new one; what its predecessor of the same
    /// name knew of endpoints that stay is kept.
    #[must_use]
    pub fn new(
        name: &Name,
        conf: &config::Upstream,
        tls: Option<ClientTls>,
        old: Option<&Arc<Upstream>>,
        registry: &Registry,
        names: &Names,
    ) -> Arc<Upstream> {
        let sessions = |tls: &Option<ClientTls>| tls.as_ref().map(|tls| Arc::as_ptr(tls.config()));
        let unchanged =
            |old: &&Arc<Upstream>| old.conf == *conf && sessions(&old.tls) == sessions(&tls);
        if let Some(old) = old.filter(unchanged) {
            old.update(registry, names);
            return old.clone();
        }
        let upstream = Upstream {
            name: name.clone(),
            conf: conf.clone(),
            tls,
            cells: registry.upstream(name),
            endpoints: ArcSwap::default(),
            in_flight: old.map(|old| old.in_flight.clone()).unwrap_or_default(),
        };
        let same_way = old.is_some_and(|old| {
            old.conf.tls == conf.tls
                && old.conf.protocol == conf.protocol
                && old.conf.proxy_protocol == conf.proxy_protocol
                && sessions(&old.tls) == sessions(&upstream.tls)
        });
        let before = old.filter(|_| same_way).map(|old| old.endpoints());
        upstream.resolve(before.as_deref(), registry, names);
        Arc::new(upstream)
    }

    /// Whether its endpoints may be spoken to in HTTP/2.
    #[must_use]
    pub fn may_speak_h2(&self) -> bool {
        match self.conf.protocol {
            config::UpstreamProtocol::H1 => false,
            config::UpstreamProtocol::H2 => true,
            config::UpstreamProtocol::Auto => self.tls.is_some(),
        }
    }

    /// The endpoints now.
    #[must_use]
    pub fn endpoints(&self) -> Arc<Endpoints> {
        self.endpoints.load_full()
    }

    /// Whether `seen` is still what [`Upstream::endpoints`] would give.
    #[must_use]
    pub fn still(&self, seen: &Arc<Endpoints>) -> bool {
        Arc::ptr_eq(&self.endpoints.load(), seen)
    }

    /// Takes new addresses of names into the endpoints; says whether anything changed.
    pub fn update(&self, registry: &Registry, names: &Names) -> bool {
        let before = self.endpoints();
        self.resolve(Some(&before), registry, names);
        let now = self.endpoints();
        before.list.len() != now.list.len()
            || before.list.iter().zip(&now.list).any(|(a, b)| !Arc::ptr_eq(a, b))
    }

    /// Names that stand in `endpoints` and must be resolved.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.conf.endpoints.iter().filter_map(|endpoint| match &endpoint.address {
            EndpointAddress::Ip(_) => None,
            EndpointAddress::Name { host, .. } => Some(host.as_str()),
        })
    }

    /// Takes one of the places for requests at once; false when all are taken. Free, and shared by
    /// nobody, where the number is not bounded.
    #[must_use]
    pub fn try_enter(&self) -> bool {
        let Some(max) = self.conf.concurrency.requests_max else { return true };
        if self.in_flight.fetch_add(1, Ordering::Relaxed) < max {
            return true;
        }
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        false
    }

    /// Gives a request's place back.
    pub fn leave(&self) {
        if self.conf.concurrency.requests_max.is_some() {
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn resolve(&self, before: Option<&Endpoints>, registry: &Registry, names: &Names) {
        let mut list = Vec::new();
        for conf in &self.conf.endpoints {
            if let EndpointAddress::Name { host, .. } = &conf.address
                && !names.contains_key(host)
            {
                // Nobody has asked, which says nothing against what was there.
                let written = conf.address.to_string();
                let known = before.iter().flat_map(|before| &before.list);
                let same = |e: &&Arc<Endpoint>| e.written == written && e.weight == conf.weight;
                list.extend(known.filter(same).cloned());
                continue;
            }
            for (address, host) in addresses(&conf.address, names) {
                let name = endpoint_name(&conf.address, address);
                let known = before.and_then(|before| {
                    before.list.iter().find(|e| e.name == name && e.weight == conf.weight)
                });
                if let Some(endpoint) = known {
                    list.push(endpoint.clone());
                    continue;
                }
                list.push(Arc::new(Endpoint {
                    cells: registry.endpoint(&self.name, &name),
                    written: conf.address.to_string(),
                    host: host.into_owned(),
                    address,
                    weight: conf.weight,
                    down: AtomicBool::new(false),
                    troubled: AtomicBool::new(false),
                    ejected_until: AtomicU64::new(0),
                    ramps_until: AtomicU64::new(0),
                    name,
                }));
            }
        }
        let ejection = self.conf.ejection.as_ref().map(|conf| {
            let rules = rules(conf);
            let known = list.iter().map(|endpoint| {
                before
                    .and_then(|before| before.outlier(endpoint))
                    .unwrap_or_else(|| Outlier::new(&rules))
            });
            Mutex::new(Ejection::new(rules, known.collect()))
        });
        self.endpoints.store(Arc::new(Endpoints { list, ejection }));
    }

    /// Takes the result of a request to `endpoint`; says whether it was ejected for it.
    pub fn report(&self, endpoint: &Arc<Endpoint>, outcome: Outcome, now: Tick) -> bool {
        if outcome == Outcome::Good && !endpoint.troubled.load(Ordering::Relaxed) {
            return false;
        }
        endpoint.troubled.store(outcome == Outcome::Bad, Ordering::Relaxed);
        let endpoints = self.endpoints.load();
        let (Some(at), Some(mut ejection)) = (endpoints.position(endpoint), endpoints.ejection())
        else {
            return false;
        };
        let Some(until) = ejection.on_result(at, outcome, now) else { return false };
        endpoint.ejected_until.store(until.0, Ordering::Relaxed);
        endpoint.ramps_until.store(until.after(self.slow_start()).0, Ordering::Relaxed);
        true
    }

    /// Takes the verdict of active checks.
    pub fn probed(&self, endpoint: &Arc<Endpoint>, up: bool, now: Tick) {
        endpoint.down.store(!up, Ordering::Relaxed);
        let endpoints = self.endpoints.load();
        if let (true, Some(at), Some(mut ejection)) =
            (up, endpoints.position(endpoint), endpoints.ejection())
        {
            ejection.on_return(at, now);
            endpoint.ramps_until.store(now.after(self.slow_start()).0, Ordering::Relaxed);
        }
    }

    /// The share of its weight an endpoint takes now, of [`RAMP_FULL`].
    #[must_use]
    pub fn ramp(&self, endpoint: &Arc<Endpoint>, now: Tick) -> u32 {
        if endpoint.ramps_until.load(Ordering::Relaxed) <= now.0 {
            return RAMP_FULL;
        }
        let endpoints = self.endpoints.load();
        match (endpoints.position(endpoint), endpoints.ejection()) {
            (Some(at), Some(ejection)) => ejection.ramp(at, now),
            _ => RAMP_FULL,
        }
    }

    fn slow_start(&self) -> Duration {
        self.conf.ejection.as_ref().and_then(|conf| conf.slow_start).unwrap_or_default()
    }
}

// === impl Endpoints ===

impl Endpoints {
    fn position(&self, endpoint: &Arc<Endpoint>) -> Option<usize> {
        self.list.iter().position(|known| Arc::ptr_eq(known, endpoint))
    }

    fn ejection(&self) -> Option<std::sync::MutexGuard<'_, Ejection>> {
        // A panic while it was held left counts that are at worst one off.
        self.ejection
            .as_ref()
            .map(|ejection| ejection.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn outlier(&self, endpoint: &Arc<Endpoint>) -> Option<Outlier> {
        self.ejection()?.outlier(self.position(endpoint)?).cloned()
    }
}

// === impl Endpoint ===

impl Endpoint {
    /// Whether checks and results let requests go there.
    #[must_use]
    pub fn usable(&self, now: Tick) -> bool {
        !self.is_down() && !self.is_ejected(now)
    }

    /// Whether active checks have taken it out.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    /// Whether its results have taken it out for a while.
    #[must_use]
    pub fn is_ejected(&self, now: Tick) -> bool {
        self.ejected_until.load(Ordering::Relaxed) > now.0
    }
}

fn rules(conf: &config::Ejection) -> EjectionRules {
    EjectionRules {
        consecutive_failures: conf.failures,
        base: conf.base_time,
        longest: conf.base_time.saturating_mul(10),
        ejected_percent_max: conf.share_max.0 / 100,
        slow_start: conf.slow_start.unwrap_or_default(),
        ..EjectionRules::default()
    }
}

fn addresses<'a>(
    address: &'a EndpointAddress,
    names: &'a Names,
) -> Vec<(SocketAddr, std::borrow::Cow<'a, str>)> {
    match address {
        EndpointAddress::Ip(ip) => vec![(*ip, ip.ip().to_string().into())],
        EndpointAddress::Name { host, port } => {
            let found: &[IpAddr] = names.get(host).map_or(&[], Vec::as_slice);
            found.iter().map(|ip| (SocketAddr::new(*ip, *port), host.as_str().into())).collect()
        }
    }
}

fn endpoint_name(written: &EndpointAddress, address: SocketAddr) -> String {
    match written {
        EndpointAddress::Ip(_) => address.to_string(),
        EndpointAddress::Name { host, .. } => format!("{host}/{address}"),
    }
}
