//! The listening sockets of the process: one per address and worker, bound by the control thread,
//! carried from snapshot to snapshot while their address stays.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::net::listen;

/// An address, bound.
#[derive(Debug)]
pub struct Bound {
    /// As configured.
    pub configured: SocketAddr,
    /// As bound: another port if the configured one is 0.
    pub address: SocketAddr,
    /// One for each worker, or one that all share (socket activation); `None` once given up.
    sockets: Mutex<Vec<Option<OwnedFd>>>,
}

/// All that is bound. An address is closed when no snapshot names it any more.
#[derive(Debug, Default)]
pub struct Sockets(BTreeMap<SocketAddr, Arc<Bound>>);

// === impl Bound ===

impl Bound {
    /// A duplicate of a worker's socket.
    ///
    /// # Errors
    /// When the process is out of descriptors, or drains.
    pub fn socket_of(&self, worker: usize) -> io::Result<OwnedFd> {
        let sockets = self.sockets();
        let socket = sockets[worker % sockets.len()].as_ref();
        socket.ok_or(io::ErrorKind::NotConnected)?.try_clone()
    }

    /// Gives a worker's socket up, whatever snapshot still names it: once the worker has let go of
    /// its duplicate, new connections are refused instead of waiting for nobody.
    pub fn give_up(&self, worker: usize) {
        let mut sockets = self.sockets();
        let at = worker % sockets.len();
        sockets[at] = None;
    }

    fn sockets(&self) -> MutexGuard<'_, Vec<Option<OwnedFd>>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Sockets ===

impl Sockets {
    /// Takes sockets that somebody else has bound (socket activation).
    ///
    /// # Errors
    /// When one is not an IP socket.
    pub fn inherited(sockets: Vec<OwnedFd>) -> io::Result<Sockets> {
        let mut all = BTreeMap::new();
        for socket in sockets {
            let address = listen::local_addr(&socket)?;
            let sockets = Mutex::new(vec![Some(socket)]);
            let bound = Bound { configured: address, address, sockets };
            all.insert(address, Arc::new(bound));
        }
        Ok(Sockets(all))
    }

    /// What `address`, as configured, is bound to.
    #[must_use]
    pub fn get(&self, address: SocketAddr) -> Option<Arc<Bound>> {
        self.0.get(&address).cloned()
    }

    /// These sockets and those of further addresses, each bound once per worker.
    ///
    /// # Errors
    /// The address that could not be bound. Nothing is kept of this call then.
    pub fn with(
        &self,
        addresses: impl Iterator<Item = SocketAddr>,
        workers: usize,
    ) -> Result<Sockets, (SocketAddr, io::Error)> {
        let mut all = BTreeMap::new();
        for configured in addresses {
            let bound = match self.0.get(&configured) {
                Some(bound) => bound.clone(),
                None => Arc::new(bind(configured, workers).map_err(|error| (configured, error))?),
            };
            all.insert(configured, bound);
        }
        Ok(Sockets(all))
    }
}

fn bind(configured: SocketAddr, workers: usize) -> io::Result<Bound> {
    listen::check_free(configured)?;
    let sockets = listen::bind(configured, workers)?;
    let address = listen::local_addr(&sockets[0])?;
    let sockets = sockets.into_iter().map(Some).collect();
    Ok(Bound { configured, address, sockets: Mutex::new(sockets) })
}
