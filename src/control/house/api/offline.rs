//! The admin API without a gateway: asked in this process, of the store in its state directory.
//!
//! What is asked goes the way of a request of the network, so that the two cannot differ; only the
//! token is not asked for, since who may write to the directory may do what he wants.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use super::{Api, Way};
use crate::config::Config;
use crate::control::gateway::StartError;
use crate::control::house::page::{Asked, Content};
use crate::control::ledger::Desk;
use crate::control::state;
use crate::control::store::Clerk;
use crate::http::{Limits, Parsed, RequestHead, Scan, parse_request};
use crate::message::Request;
use crate::observe::registry::Registry;
use crate::snapshot::{self, Cell, Names, Parts, Sockets};

/// The API of a store that no gateway of ours has open.
pub struct Offline(Api);

// === impl Offline ===

impl Offline {
    /// Opens the store of a configuration.
    ///
    /// # Errors
    /// When the configuration does not compile, or the store cannot be used.
    pub fn open(config: Config) -> Result<Offline, StartError> {
        let limits = state::for_check()
            .map_err(|error| StartError::System(format!("no memory: {error}")))?;
        let parts = Parts {
            previous: None,
            registry: &Registry::new(1),
            names: &Names::new(),
            sockets: &Sockets::default(),
            limits: &limits,
        };
        let snapshot = snapshot::compile(Arc::new(config), &parts).map_err(StartError::Config)?;
        snapshot.keys.publish().map_err(StartError::Config)?;
        let clerk = Clerk::of(&snapshot).map_err(StartError::Store)?;
        let (asks, _) = crossbeam_channel::bounded(1);
        let uid = std::fs::metadata("/proc/self").map(|of| of.uid().to_string());
        let who = format!("command line, uid {}", uid.unwrap_or_else(|_| "unknown".to_owned()));
        let cell = Arc::new(Cell::new(Arc::new(snapshot)));
        let (ledger, way) = (Desk::default(), Way::Here(who));
        Ok(Offline(Api { cell, clerk, ledger, asks, way, registry: None }))
    }

    /// Asks; status and body.
    #[must_use]
    pub fn ask(&self, method: &str, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        let block = format!("{method} /admin/v1{path} HTTP/1.1\r\nHost: localhost\r\n{kind}\r\n");
        let block = block.as_bytes();
        let mut head = RequestHead::default();
        let parsed = parse_request(&mut head, &mut Scan::default(), block, &Limits::default());
        if !matches!(parsed, Ok(Parsed::Complete)) {
            return (400, br#"{"detail":"not a path of the admin API"}"#.to_vec());
        }
        let request = Request { head: &head, block };
        let peer = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let body_bytes = body.len() as u64;
        let mut page = self.0.answer(&Asked { request, peer, body, body_bytes });
        if let Content::Later(later) = page.content {
            match later.wait() {
                Some(made) => page = made,
                None => return (500, br#"{"detail":"the store has ended"}"#.to_vec()),
            }
        }
        match page.content {
            Content::Whole(bytes) => (page.status, bytes),
            _ => unreachable!("the API's pages are known whole"),
        }
    }
}
