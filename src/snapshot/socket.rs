//! The listening sockets of the process: one per address and worker, bound by the control thread,
//! carried from snapshot to snapshot while their address stays. An address goes by what is written,
//! whichever listener it belongs to; one of port 0 ("any") by its listener as well.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::{self, Name};
use crate::net::listen;

/// What a bound address is known by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// As configured.
    pub address: SocketAddr,
    /// Of port 0: whose it is, and which of those that its listener writes alike.
    any: Option<(Name, usize)>,
}

/// An address, bound.
#[derive(Debug)]
pub struct Bound {
    pub wanted: Wanted,
    /// As bound: another port if the configured one is 0.
    pub address: SocketAddr,
    /// One for each worker, or one that all share (socket activation); `None` once given up.
    sockets: Mutex<Vec<Option<OwnedFd>>>,
}

/// All that is bound. An address is closed when no snapshot names it any more.
#[derive(Debug, Default)]
pub struct Sockets(BTreeMap<Wanted, Arc<Bound>>);

// === impl Wanted ===

impl Wanted {
    /// The addresses a listener is to be bound to.
    pub fn of<'c>(name: &'c Name, conf: &'c config::Listener) -> impl Iterator<Item = Wanted> + 'c {
        conf.addresses.iter().enumerate().map(|(at, listen)| {
            let address = listen.address;
            let before = conf.addresses[..at].iter().filter(|other| other.address == address);
            let any = (address.port() == 0).then(|| (name.clone(), before.count()));
            Wanted { address, any }
        })
    }
}

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
            let wanted = Wanted { address, any: None };
            all.insert(wanted.clone(), Arc::new(Bound { wanted, address, sockets }));
        }
        Ok(Sockets(all))
    }

    /// What an address is bound to.
    #[must_use]
    pub fn get(&self, wanted: &Wanted) -> Option<Arc<Bound>> {
        self.0.get(wanted).cloned()
    }

    /// These sockets and those of further addresses, each bound once per worker.
    ///
    /// # Errors
    /// The address that could not be bound. Nothing is kept of this call then.
    pub fn with(
        &self,
        addresses: impl Iterator<Item = Wanted>,
        workers: usize,
    ) -> Result<Sockets, (SocketAddr, io::Error)> {
        let mut all = BTreeMap::new();
        for wanted in addresses {
            let bound = match self.0.get(&wanted) {
                Some(bound) => bound.clone(),
                None => {
                    let address = wanted.address;
                    let bound = bind(wanted.clone(), workers).map_err(|error| (address, error))?;
                    Arc::new(bound)
                }
            };
            all.insert(wanted, bound);
        }
        Ok(Sockets(all))
    }
}

fn bind(wanted: Wanted, workers: usize) -> io::Result<Bound> {
    listen::check_free(wanted.address)?;
    let sockets = listen::bind(wanted.address, workers)?;
    let address = listen::local_addr(&sockets[0])?;
    let sockets = sockets.into_iter().map(Some).collect();
    Ok(Bound { wanted, address, sockets: Mutex::new(sockets) })
}
