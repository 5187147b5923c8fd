//! Connections to an endpoint that many exchanges share: HTTP/2, a stream for each.
//!
//! An exchange takes a place on the least busy connection, or waits for one. Dialling is a task of
//! its own: those who wait share it, and none of them ends it by leaving. Invariants: a connection
//! carries requests only once the endpoint's SETTINGS are here, and never more at once than they
//! allow; places are given in the order they were asked for; a connection that takes no more
//! requests closes with its last stream.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use http::Request;

use super::live::live;
use super::pool::{Local, Member};
use crate::bounds;
use crate::clock::{self, Tick};
use crate::failure::Failure;
use crate::net::h2::{Asked, Lost, Outgoing, Requests};
use crate::net::patience::{Ended, Patience};
use crate::net::{Stream, Timer, task};
use crate::observe::cells::Eviction;

/// An endpoint's shared connections on this worker.
#[derive(Default)]
pub struct Shared {
    pub(super) open: RefCell<Vec<Rc<Link>>>,
    waiting: RefCell<VecDeque<Rc<Waiter>>>,
    dialling: Cell<usize>,
    /// Places the last connection had: how many requests one that is dialled will serve.
    places: Cell<usize>,
    /// The last handshake agreed on HTTP/1.1.
    alone: Cell<bool>,
}

/// A connection.
pub(super) struct Link {
    pub stream: Rc<Stream>,
    /// `None`: it takes no more requests.
    pub requests: RefCell<Option<Requests>>,
    pub streams: Cell<usize>,
    carried: Cell<u64>,
    born: Tick,
    /// Counted among the idle ones since.
    rests: Cell<Option<Tick>>,
    /// Bytes sent and received that have been counted.
    counted: Cell<(u64, u64)>,
    /// It may be dead: no requests until it has given a sign of life.
    pub doubted: Cell<bool>,
    /// When it is to be looked at.
    pub timer: Timer,
}

/// A request's place on a connection: one stream.
pub struct Place {
    link: Rc<Link>,
    requests: RefCell<Requests>,
    member: Rc<Member>,
    local: Rc<Local>,
    reused: bool,
}

/// What waiting for a connection comes to.
pub enum Found {
    Place(Place),
    /// The endpoint speaks HTTP/1.1, on this connection.
    Own(Stream),
    /// It speaks HTTP/1.1: dial.
    Alone,
    Failed(Failure),
}

#[derive(Default)]
struct Waiter {
    found: RefCell<Option<Found>>,
    waker: Cell<Option<Waker>>,
}

/// A waiter's stay in the queue; given up however the wait ends.
struct Stay<'a> {
    shared: &'a Shared,
    waiter: Rc<Waiter>,
}

/// A place, at once or after a wait.
///
/// # Errors
/// How the wait ended without one.
pub async fn find(
    local: &Rc<Local>,
    member: &Rc<Member>,
    patience: &Patience<'_>,
) -> Result<Found, Failure> {
    let shared = &member.shared;
    if shared.waiting.borrow().is_empty()
        && let Some(place) = shared.take(local, member)
    {
        return Ok(Found::Place(place));
    }
    let stay = Stay::new(shared);
    shared.dial_for_those_who_wait(local, member);
    let conf = &local.def.conf;
    // TCP, TLS and HTTP/2's beginning have the connect timeout each; the dialling task keeps it.
    let dialling =
        if shared.dialling.get() > 0 { conf.timeouts.connect * 3 } else { Duration::ZERO };
    let bound = dialling + conf.concurrency.queue_timeout;
    match patience.with_idle(bound).wait(stay.found()).await {
        Ok(Found::Failed(failure)) => Err(failure),
        Ok(found) => Ok(found),
        Err(Ended::ClientGone) => Err(Failure::ClientGone),
        Err(_) if clock::now() >= patience.until => Err(Failure::UpstreamTotalTimeout),
        Err(_) => Err(Failure::UpstreamQueueTimeout),
    }
}

// === impl Shared ===

impl Shared {
    /// Whether the endpoint is known to speak HTTP/1.1 only.
    pub(super) fn is_alone(&self) -> bool {
        self.alone.get()
    }

    /// The last handshake agreed on HTTP/1.1: whoever waits uses `stream`, or dials.
    pub(super) fn is_spoken_to_alone(&self, stream: Stream) {
        self.alone.set(true);
        self.dialled();
        self.give(Found::Own(stream));
        self.give_all(|| Found::Alone);
    }

    /// What an endpoint allows on one connection.
    pub(super) fn learns(&self, places: usize) {
        self.places.set(places);
    }

    /// Takes in a connection on which HTTP/2 was agreed, though HTTP/1.1 was expected.
    pub(super) fn adopt(&self, local: &Rc<Local>, member: &Rc<Member>, stream: Stream) {
        self.alone.set(false);
        self.dialling.set(self.dialling.get() + 1);
        task::spawn(live(local.clone(), member.clone(), Some(stream)));
    }

    /// A place on the least busy connection.
    fn take(&self, local: &Rc<Local>, member: &Rc<Member>) -> Option<Place> {
        loop {
            let least = {
                let open = self.open.borrow();
                let with_room = open.iter().filter(|link| link.room() > 0);
                with_room.min_by_key(|link| link.streams.get()).cloned()?
            };
            let mut requests = least.requests.borrow().clone();
            if requests.as_mut().is_some_and(Requests::is_open)
                && let Some(requests) = requests
            {
                return Some(Place::new(least, requests, local, member));
            }
            self.leave(local, &least, Eviction::Dead);
        }
    }

    /// Gives places to those who wait, the first first; dials if that is not enough.
    pub(super) fn serve(&self, local: &Rc<Local>, member: &Rc<Member>) {
        while !self.waiting.borrow().is_empty() {
            let Some(place) = self.take(local, member) else {
                return self.dial_for_those_who_wait(local, member);
            };
            self.give(Found::Place(place));
        }
    }

    fn give(&self, found: Found) {
        let first = self.waiting.borrow_mut().pop_front();
        if let Some(waiter) = first {
            waiter.gets(found);
        }
    }

    fn give_all(&self, found: impl Fn() -> Found) {
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        waiting.iter().for_each(|waiter| waiter.gets(found()));
    }

    fn dial_for_those_who_wait(&self, local: &Rc<Local>, member: &Rc<Member>) {
        let places = self.places.get().clamp(1, bounds::H2_UPSTREAM_STREAMS_MAX);
        let some = self.open.borrow().len();
        while self.waiting.borrow().len() > self.dialling.get() * places
            && some + self.dialling.get() < bounds::H2_UPSTREAM_CONNECTIONS_MAX
            // What an endpoint nothing is known of allows, its first connection tells.
            && (self.dialling.get() == 0 || self.places.get() > 0)
        {
            self.dialling.set(self.dialling.get() + 1);
            task::spawn(live(local.clone(), member.clone(), None));
        }
    }

    /// A dial has ended.
    pub(super) fn dialled(&self) {
        self.dialling.set(self.dialling.get().saturating_sub(1));
    }

    /// A dial came to nothing: so did the wait of all who have nothing else to wait for.
    pub(super) fn failed(&self, failure: Failure) {
        self.dialled();
        if self.dialling.get() == 0 && self.open.borrow().is_empty() {
            self.give_all(|| Found::Failed(failure));
        }
    }

    /// The connection takes no more requests.
    pub(super) fn leave(&self, local: &Local, link: &Rc<Link>, why: Eviction) {
        self.open.borrow_mut().retain(|other| !Rc::ptr_eq(other, link));
        drop(link.requests.take());
        if link.rests.take().is_some() {
            local.forget(1);
            local.cells().connection_evicted(why);
        }
    }

    pub(super) fn sweep(&self, local: &Local, now: Tick) {
        let pool = &local.def.conf.pool;
        let open = self.open.borrow().clone();
        for link in open {
            let rested = link.rests.get().is_some_and(|at| now.since(at) >= pool.idle_timeout);
            let aged = pool.lifetime.is_some_and(|max| now.since(link.born) >= max);
            if rested || aged {
                self.leave(local, &link, Eviction::Expired);
            }
        }
    }

    pub(super) fn retire(&self, local: &Local) {
        let open = self.open.borrow().clone();
        open.iter().for_each(|link| self.leave(local, link, Eviction::Endpoint));
    }
}

// === impl Link ===

impl Link {
    pub(super) fn new(stream: &Rc<Stream>, requests: Requests, timer: Timer) -> Rc<Link> {
        Rc::new(Link {
            stream: stream.clone(),
            requests: RefCell::new(Some(requests)),
            streams: Cell::new(0),
            carried: Cell::new(0),
            born: clock::coarse(),
            rests: Cell::new(None),
            counted: Cell::new((stream.progress(), stream.received())),
            doubted: Cell::new(false),
            timer,
        })
    }

    /// Streams that can be opened.
    fn room(&self) -> usize {
        if self.doubted.get() {
            return 0;
        }
        let requests = self.requests.borrow();
        let allowed = requests.as_ref().map_or(0, Requests::streams_max);
        allowed.min(bounds::H2_UPSTREAM_STREAMS_MAX).saturating_sub(self.streams.get())
    }

    pub(super) fn count(&self, local: &Local) {
        let (sent, received) = (self.stream.progress(), self.stream.received());
        let (sent_before, received_before) = self.counted.replace((sent, received));
        local.cells().bytes_exchanged(sent - sent_before, received - received_before);
    }

    /// Nothing is open on it: it is idle, or one too many.
    pub(super) fn rest(self: &Rc<Self>, local: &Local, member: &Member) {
        if self.requests.borrow().is_none() {
            return;
        }
        if member.is_retired() || !local.rests_one_more() {
            local.cells().connection_evicted(Eviction::Excess);
            member.shared.leave(local, self, Eviction::Excess);
        } else {
            self.rests.set(Some(clock::coarse()));
        }
    }
}

// === impl Place ===

impl Place {
    fn new(link: Rc<Link>, requests: Requests, local: &Rc<Local>, member: &Rc<Member>) -> Place {
        if link.rests.take().is_some() {
            local.forget(1);
        }
        link.streams.set(link.streams.get() + 1);
        local.shares(0, 1);
        link.carried.set(link.carried.get() + 1);
        let reused = link.carried.get() > 1;
        if reused {
            local.cells().connection_reused();
        }
        let (local, member) = (local.clone(), member.clone());
        let spent = local.def.conf.pool.requests_max.is_some_and(|max| link.carried.get() >= max);
        if spent {
            member.shared.leave(&local, &link, Eviction::Expired);
        }
        Place { link, requests: RefCell::new(requests), member, local, reused }
    }

    pub(super) fn member(&self) -> &Rc<Member> {
        &self.member
    }

    /// Whether the connection had carried an exchange before.
    pub(super) fn reused(&self) -> bool {
        self.reused
    }

    /// Opens the stream.
    pub(super) fn open(
        &self,
        head: Request<()>,
        last: bool,
    ) -> Result<(Asked, Rc<Outgoing>), Lost> {
        self.requests.borrow_mut().open(head, last)
    }

    /// The endpoint is silent: it is asked for a sign of life now.
    pub(super) fn doubt(&self) {
        self.link.doubted.set(true);
        self.link.timer.arm(clock::coarse());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let link = &self.link;
        link.count(&self.local);
        link.streams.set(link.streams.get().saturating_sub(1));
        self.local.shares(0, -1);
        if link.streams.get() == 0 {
            link.rest(&self.local, &self.member);
        }
        self.member.shared.serve(&self.local, &self.member);
    }
}

// === impl Waiter ===

impl Waiter {
    fn gets(&self, found: Found) {
        self.found.replace(Some(found));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

// === impl Stay ===

impl<'a> Stay<'a> {
    fn new(shared: &'a Shared) -> Stay<'a> {
        let waiter = Rc::new(Waiter::default());
        shared.waiting.borrow_mut().push_back(waiter.clone());
        Stay { shared, waiter }
    }

    fn found(&self) -> impl Future<Output = Found> {
        std::future::poll_fn(|cx| match self.waiter.found.take() {
            Some(found) => Poll::Ready(found),
            None => {
                self.waiter.waker.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        })
    }
}

impl Drop for Stay<'_> {
    fn drop(&mut self) {
        self.shared.waiting.borrow_mut().retain(|other| !Rc::ptr_eq(other, &self.waiter));
    }
}
