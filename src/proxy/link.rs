//! A client's connection as its requests see it, whichever protocol it speaks: the listener, the
//! two ends, what TLS agreed on.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use smallvec::SmallVec;

use super::context::{Context, Current};
use super::serve::Scene;
use super::welcome::TlsFacts;
use crate::bounds;
use crate::clock::{self, Tick};
use crate::http::Name;
use crate::integration::forward::claimed_client;
use crate::integration::{Exchange, Ids, Party};
use crate::message::{Body, Reply, Request};
use crate::net::Timer;
use crate::net::patience::{ClientWatch, Patience};
use crate::snapshot::Listener;

/// What all requests of a connection share.
#[derive(Clone)]
pub struct Link {
    pub context: Rc<Context>,
    pub listener: Arc<Listener>,
    /// The snapshot the listener is of.
    pub current: Rc<Current>,
    pub peer: SocketAddr,
    /// The peer's address as forwarding fields write it: no request writes it again.
    pub peer_text: SmallVec<[u8; 16]>,
    pub local: SocketAddr,
    pub tls: Option<Rc<TlsFacts>>,
}

// === impl Link ===

impl Link {
    /// Takes in the snapshot of now. False if the listener is gone from it: what is here already is
    /// served from the old one.
    fn refresh(&mut self) -> bool {
        let current = self.context.current();
        if Rc::ptr_eq(&current, &self.current) {
            return true;
        }
        let Some(listener) = current.snapshot.listener(&self.listener.name).cloned() else {
            return false;
        };
        (self.listener, self.current) = (listener, current);
        true
    }

    /// Whether a connection since `opened` that has carried so many requests may not carry another.
    pub fn must_leave(&mut self, requests: u32, opened: Tick) -> bool {
        if !self.refresh() {
            return true;
        }
        let conf = &self.listener.conf;
        self.context.is_draining()
            || conf.requests_max.is_some_and(|max| u64::from(requests) >= max)
            || conf.timeouts.lifetime.is_some_and(|max| clock::coarse().since(opened) >= max)
    }

    /// A request that begins its way.
    pub fn exchange<'c>(&'c self, request: Request<'c>, started: Tick) -> Exchange<'c> {
        let ids = Ids::of(&request, &mut self.context.random.borrow_mut());
        let party = self.party(&request);
        Exchange::new(request, party, &self.listener, ids, started)
    }

    /// The surroundings of the `nth` request, whose waits for the client `timer` bounds.
    pub fn scene<'c>(
        &'c self,
        current: &'c Current,
        timer: &'c Timer,
        client: Option<&'c ClientWatch>,
        nth: u32,
    ) -> Scene<'c> {
        let idle = self.listener.conf.timeouts.write;
        Scene {
            context: &self.context,
            current,
            patience: Patience { timer, idle, until: Tick::NEVER, client },
            tls: self.tls.as_deref(),
            nth,
        }
    }

    fn party(&self, request: &Request<'_>) -> Party<'_> {
        let peer = self.peer.ip();
        let trusted = self.listener.trusts(peer);
        let client = if trusted {
            // Few hops: the list is as long as the header.
            let values: SmallVec<[&[u8]; 4]> =
                request.head.values(Name::XForwardedFor, request.block).collect();
            claimed_client(values.into_iter(), |ip| self.listener.trusts(ip)).unwrap_or(peer)
        } else {
            peer
        };
        Party {
            peer: self.peer,
            peer_text: &self.peer_text,
            local: self.local,
            client,
            trusted,
            secure: self.tls.is_some(),
        }
    }
}

/// Reads what is left of a request's body, within bounds: over HTTP/1 its bytes must not pass for
/// the next request, over HTTP/2 a client that is not interrupted does not miss the answer. False:
/// more is left than is worth reading, or the connection ends anyway.
pub async fn drained(timer: &Timer, body: &mut Body<'_>, reply: &Reply<'_>) -> bool {
    let enough = body.received() + bounds::DRAIN_BYTES_MAX;
    let until = clock::now().after(bounds::LINGER);
    let patience = Patience { timer, idle: bounds::LINGER, until, client: None };
    while !body.is_done() {
        if !reply.keeps_alive() || body.received() > enough {
            return false;
        }
        match body.next(&patience).await {
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(_) => return false,
        }
    }
    true
}
