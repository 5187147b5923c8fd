//! The house around the workers: a thread of its own with the admin pages, the active health
//! checks and the issuers' keys.
//!
//! Nothing here is on a request's way: it reads the snapshot cell and the registry, and tells the
//! workers what it found through the endpoints' atomics. Its runtime is epoll's, whatever the
//! workers use, and its HTTP is the gateway's own.

pub mod admin;
pub mod api;
pub mod models;
pub mod page;
pub mod process;
pub mod routes;
pub mod server;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::gateway::StartError;
use super::jwks;
use super::ledger::Desk;
use super::store::Clerk;
use crate::clock;
use crate::net::ring::Driver;
use crate::net::{listen, task};
use crate::observe::registry::Registry;
use crate::snapshot::Cell;
use crate::upstream::probe;
use admin::Admin;
use api::{Api, Ask, Way};
use crossbeam_channel::Sender;
use server::OwnThread;

/// The running house; its thread ends when this is dropped.
pub struct House {
    /// Where the admin server listens; `None` if it is not wanted.
    pub admin: Option<SocketAddr>,
    leaving: Arc<AtomicBool>,
    _thread: OwnThread,
}

// === impl House ===

impl House {
    /// Starts the thread; it listens when this returns.
    ///
    /// # Errors
    /// When the admin address cannot be bound.
    pub fn start(
        cell: Arc<Cell>,
        registry: Arc<Registry>,
        driver: Driver,
        (clerk, ledger): (Clerk, Desk),
        asks: Sender<Ask>,
    ) -> Result<House, StartError> {
        let leaving = Arc::new(AtomicBool::new(false));
        let conf = cell.load().config.admin.clone();
        let bound = if conf.enabled {
            let bound =
                bind(conf.address).map_err(|error| StartError::Bind(conf.address, error))?;
            Some(bound)
        } else {
            None
        };
        let admin = bound.as_ref().map(|(_, address)| *address);
        let set_up = {
            let leaving = leaving.clone();
            move || {
                task::spawn(probe::run(cell.clone(), clock::wall().0));
                task::spawn(jwks::run(cell.clone()));
                if let Some((socket, address)) = bound {
                    let loopback = address.ip().is_loopback();
                    let way = Way::Network { loopback };
                    let counts = Some(registry.clone());
                    let api =
                        Api { cell: cell.clone(), clerk, ledger, asks, way, registry: counts };
                    let admin = Admin {
                        cell,
                        registry,
                        driver,
                        leaving,
                        started: (clock::wall(), clock::now()),
                        loopback,
                        api,
                        rings: std::cell::RefCell::default(),
                    };
                    server::serve(socket, move |asked: &page::Asked<'_>| admin.answer(asked))?;
                }
                Ok(())
            }
        };
        let thread = OwnThread::start("house", set_up)
            .map_err(|error| StartError::System(format!("cannot start the house: {error}")))?;
        Ok(House { admin, leaving, _thread: thread })
    }

    /// From now on `/readyz` says no.
    pub fn not_ready(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }
}

/// Binds one socket, unless somebody else listens there.
fn bind(address: SocketAddr) -> std::io::Result<(std::os::fd::OwnedFd, SocketAddr)> {
    listen::check_free(address)?;
    let socket = listen::bind(address, 1)?.pop().expect("as many sockets as were asked for");
    let address = listen::local_addr(&socket)?;
    Ok((socket, address))
}

#[cfg(test)]
mod tests;
