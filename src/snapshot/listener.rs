//! A listener as the workers see it: its settings, its route table, its TLS.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ipnet::IpNet;
use std::net::IpAddr;

use super::socket::Bound;
use crate::config::{self, HalfClose, Name, Protocol};
use crate::http::Limits;
use crate::net::tls::server::ServerTls;
use crate::observe::cells::{ListenerCells, PerWorker};
use crate::route::{PathPolicy, Table};

/// A listener of a snapshot.
pub struct Listener {
    pub name: Name,
    pub conf: config::Listener,
    /// What a head may measure, in the codec's terms.
    pub limits: Limits,
    pub path_policy: PathPolicy,
    pub table: Arc<Table>,
    pub tls: Option<ServerTls>,
    /// What it is bound to; shared with the next snapshot where the address stays.
    pub bound: Vec<Arc<Bound>>,
    pub cells: Arc<PerWorker<ListenerCells>>,
    /// Connections open over all workers; shared with the next snapshot's listener of this name.
    /// One that ends takes itself off.
    pub connections: Arc<AtomicU32>,
}

// === impl Listener ===

impl Listener {
    /// Takes one of the listener's connection places; false when all are taken.
    #[must_use]
    pub fn try_open(&self) -> bool {
        let taken = self.connections.fetch_add(1, Ordering::Relaxed);
        if taken < self.conf.connections_max {
            return true;
        }
        self.connections.fetch_sub(1, Ordering::Relaxed);
        false
    }

    /// Whether this peer's `Forwarded` and `X-Forwarded-*` are believed.
    #[must_use]
    pub fn trusts(&self, peer: IpAddr) -> bool {
        contains(&self.conf.trusted_proxies, peer)
    }

    /// Whether a client's FIN before its answer means that it has gone.
    #[must_use]
    pub fn half_close_counts(&self) -> bool {
        self.conf.half_close == HalfClose::Close
    }

    /// Whether clients may speak HTTP/2.
    #[must_use]
    pub fn speaks_h2(&self) -> bool {
        self.conf.protocols.contains(&Protocol::H2)
    }
}

/// Whether one of the networks holds the address; an IPv4 address mapped into IPv6 counts as
/// itself.
#[must_use]
pub fn contains(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}
