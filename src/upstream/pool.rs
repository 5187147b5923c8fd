//! A worker's upstreams, their endpoints, and the idle connections to these.
//!
//! Last in, first out per endpoint: the warmest connection is used again and surplus ones age out
//! at the bottom. A connection that has been idle for a moment is looked at before use: if its peer
//! has closed it, or sent what nobody asked for, it is dropped and the next one taken.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use super::choose::{View, picker};
use super::lease::{Conn, Lease};
use super::shared::Shared;
use crate::balance::{Budget, BudgetRules, Picker};
use crate::bounds;
use crate::clock::{self, Tick};
use crate::failure::Failure;
use crate::net::buffer::{Buf, Class};
use crate::net::patience::{ClientWatch, Patience};
use crate::net::stream::Stream;
use crate::observe::cells::{Eviction, UpstreamCells, WorkerId};
use crate::snapshot::{Endpoint, Endpoints, Snapshot, Upstream};

/// A connection idle for less than this was alive a moment ago: looking costs a system call and
/// would prove no more than that the peer had not closed it yet. Both ends of the rest are read
/// off the coarse clock, so it is looked at once a tick has passed.
const LOOK_AFTER: Duration = Duration::from_millis(2);

/// A worker's upstreams, indexed as the snapshot's.
#[derive(Default)]
pub struct Pool {
    upstreams: RefCell<Vec<Rc<Local>>>,
}

/// One upstream on one worker.
pub struct Local {
    pub def: Arc<Upstream>,
    worker: WorkerId,
    members: RefCell<Members>,
    picker: RefCell<Picker>,
    pub(super) budget: RefCell<Budget>,
    seed: u64,
    waiting: RefCell<VecDeque<(u64, Waker)>>,
    /// Numbers handed out to those who wait.
    numbers: Cell<u64>,
    /// What the first receive of an answer asks for: as the last answers were.
    expects: Cell<(Class, u8)>,
    /// Over all endpoints; shared with the object that takes over at a reload.
    idle_connections: Rc<Cell<u32>>,
    /// Shared connections and the streams in use on them; shared as well.
    sharing: Rc<Cell<(u64, u64)>>,
}

/// The endpoints as this worker last saw them.
struct Members {
    seen: Arc<Endpoints>,
    list: Vec<Rc<Member>>,
}

/// One endpoint on one worker.
pub struct Member {
    pub endpoint: Arc<Endpoint>,
    idle: RefCell<Vec<Idle>>,
    /// Its connections that many exchanges share.
    pub(super) shared: Shared,
    /// Requests this worker has in flight there.
    active: Cell<u32>,
    /// Requests go there no more: what comes back is closed.
    retired: Cell<bool>,
}

pub(super) struct Idle {
    pub conn: Box<Conn>,
    pub since: Tick,
}

/// A request's place among those an upstream takes at once.
pub struct Place(Rc<Local>);

/// A request's place among those that wait; given up however the wait ends.
struct Queued<'a> {
    local: &'a Local,
    number: u64,
}

// === impl Pool ===

impl Pool {
    /// This worker's side of an upstream, which stands at `index` in the snapshot it was found in.
    /// A connection of a listener that is gone may still be served from an older snapshot: its
    /// upstream is then known by its name, or gone too.
    #[must_use]
    pub fn upstream(&self, index: usize, def: &Upstream) -> Option<Rc<Local>> {
        let upstreams = self.upstreams.borrow();
        let there = upstreams.get(index).filter(|local| local.def.name == def.name);
        there.or_else(|| upstreams.iter().find(|local| local.def.name == def.name)).cloned()
    }

    /// Takes in a new snapshot: what stays (by name and endpoint) keeps its connections.
    pub fn adopt(&self, snapshot: &Snapshot, worker: WorkerId, seed: u64) {
        let old = std::mem::take(&mut *self.upstreams.borrow_mut());
        let next = snapshot.upstreams.iter().map(|def| {
            let before = old.iter().find(|local| local.def.name == def.name);
            match before {
                // Unchanged: the very same object, so that nobody notices.
                Some(same) if Arc::ptr_eq(&same.def, def) => same.clone(),
                _ => Rc::new(Local::new(def.clone(), worker, seed, before)),
            }
        });
        let next: Vec<_> = next.collect();
        for gone in old.iter().filter(|old| !next.iter().any(|new| new.def.name == old.def.name)) {
            gone.retire();
        }
        *self.upstreams.borrow_mut() = next;
    }

    /// Closes idle connections whose time is up or whose peer has closed; called about once a
    /// second.
    pub fn sweep(&self, now: Tick) {
        for local in self.upstreams.borrow().iter() {
            local.sweep(now);
        }
    }

    /// Closes all idle connections and keeps none any more: the worker drains.
    pub fn retire(&self) {
        self.upstreams.borrow().iter().for_each(|local| local.retire());
    }

    /// Idle connections kept, over all upstreams.
    #[must_use]
    pub fn idle(&self) -> u32 {
        self.upstreams.borrow().iter().map(|local| local.idle_connections.get()).sum()
    }
}

// === impl Local ===

impl Local {
    fn new(def: Arc<Upstream>, worker: WorkerId, seed: u64, before: Option<&Rc<Local>>) -> Local {
        let local = Local {
            worker,
            picker: RefCell::new(picker(&def, seed, &[])),
            budget: RefCell::new(Budget::new(BudgetRules {
                percent: def.conf.retry.budget.0 / 100,
                min_per_second: def.conf.retry.budget_min,
                ..BudgetRules::default()
            })),
            seed,
            members: RefCell::new(Members { seen: Arc::default(), list: Vec::new() }),
            waiting: RefCell::default(),
            expects: Cell::new((Class::Small, 0)),
            numbers: Cell::new(0),
            idle_connections: before.map(|old| old.idle_connections.clone()).unwrap_or_default(),
            sharing: before.map(|old| old.sharing.clone()).unwrap_or_default(),
            def,
        };
        if let Some(before) = before {
            // Idle connections and endpoints go on here. The old object keeps its list: a request
            // that waits for its place there is still to be sent.
            local.members.borrow_mut().list = before.members.borrow().list.clone();
        }
        local.look(true);
        local
    }

    /// This upstream's cells of this worker.
    #[must_use]
    pub fn cells(&self) -> &UpstreamCells {
        self.def.cells.of(self.worker)
    }

    /// This endpoint's cells of this worker.
    #[must_use]
    pub fn worker(&self) -> WorkerId {
        self.worker
    }

    /// Follows the upstream's endpoints: kept by identity, so their idle connections stay.
    fn look(&self, first: bool) {
        let mut members = self.members.borrow_mut();
        if !first && self.def.still(&members.seen) {
            return;
        }
        let now = self.def.endpoints();
        let mut old = std::mem::take(&mut members.list);
        members.list = now
            .list
            .iter()
            .map(|endpoint| {
                old.iter()
                    .position(|member| Arc::ptr_eq(&member.endpoint, endpoint))
                    .map_or_else(|| Rc::new(Member::new(endpoint)), |at| old.swap_remove(at))
            })
            .collect();
        old.iter().for_each(|gone| self.retire_member(gone));
        members.seen = now;
        *self.picker.borrow_mut() = picker(&self.def, self.seed, &members.list);
    }

    /// A buffer for an answer's head and what comes with it. Bodies too large for a small one are
    /// expected where the last ones were: one receive then takes what would have been two.
    #[must_use]
    pub fn answer_buffer(&self, largest: Class) -> Buf {
        Buf::of(self.expects.get().0.min(largest))
    }

    /// Learns from an answer of `bytes` (head and body; `None`: nobody knows yet).
    pub fn answered(&self, bytes: Option<u64>) {
        /// So many small answers in a row and small ones are expected again.
        const FORGET: u8 = 16;
        let (class, small) = self.expects.get();
        let needed = bytes.map_or(Class::Small, Class::holding);
        self.expects.set(match needed {
            Class::Small if class == Class::Small || small >= FORGET => (Class::Small, 0),
            Class::Small => (class, small + 1),
            larger => (larger, 0),
        });
    }

    /// Counts a request of which retries may be a share.
    pub fn earns_retries(&self, now: Tick) {
        self.budget.borrow_mut().deposit(now);
    }

    /// Waits for a place among the requests this upstream takes at once.
    ///
    /// # Errors
    /// When the queue is full or the wait too long.
    pub async fn enter(
        self: &Rc<Self>,
        patience: &Patience<'_>,
        now: Tick,
    ) -> Result<Place, Failure> {
        if self.def.try_enter() {
            return Ok(Place(self.clone()));
        }
        let conf = &self.def.conf.concurrency;
        if self.waiting.borrow().len() >= conf.queue_max as usize {
            return Err(Failure::UpstreamQueueFull);
        }
        let _waiting = self.cells().queue_waiting();
        let give_up = now.after(conf.queue_timeout);
        let mut queued = None;
        std::future::poll_fn(|cx| {
            let at = clock::now();
            if self.def.try_enter() {
                return Poll::Ready(Ok(()));
            }
            if at >= give_up {
                return Poll::Ready(Err(Failure::UpstreamQueueTimeout));
            }
            if patience.client.is_some_and(ClientWatch::has_gone) {
                return Poll::Ready(Err(Failure::ClientGone));
            }
            queued.get_or_insert_with(|| Queued::behind(self, cx.waker().clone()));
            // A place may be freed on another worker, which wakes nobody here: look every few ms.
            patience.timer.arm(at.after(bounds::QUEUE_LOOK).min(give_up));
            let _ = patience.timer.poll_fired(cx);
            Poll::Pending
        })
        .await
        .map(|()| Place(self.clone()))
    }

    /// Picks an endpoint: not one of `tried`, while there is another.
    #[must_use]
    pub fn pick(
        &self,
        hash: Option<u64>,
        tried: &[usize],
        now: Tick,
    ) -> Option<(usize, Rc<Member>)> {
        self.look(false);
        let members = self.members.borrow();
        let view = View { upstream: &self.def, list: &members.list };
        let mut picker = self.picker.borrow_mut();
        let other = picker.pick(&view, hash, tried, now);
        let at = other.or_else(|| picker.pick(&view, hash, &[], now))?;
        Some((at, members.list[at].clone()))
    }

    /// A connection kept for this endpoint that can carry another exchange.
    #[must_use]
    pub fn take_idle(
        self: &Rc<Self>,
        member: &Rc<Member>,
        now: Tick,
        careful: bool,
    ) -> Option<Lease> {
        loop {
            let idle = member.idle.borrow_mut().pop()?;
            self.forget(1);
            let rested = now.since(idle.since);
            if self.is_spent(&idle.conn, rested, now) {
                self.cells().connection_evicted(Eviction::Expired);
                continue;
            }
            if (careful || rested >= LOOK_AFTER) && idle.conn.stream.is_stale() {
                self.cells().connection_evicted(Eviction::Dead);
                continue;
            }
            self.cells().connection_reused();
            return Some(Lease::own(idle.conn, member, self));
        }
    }

    /// A lease on a connection just dialled.
    #[must_use]
    pub fn lease_new(self: &Rc<Self>, member: &Rc<Member>, stream: Stream, now: Tick) -> Lease {
        Lease::own(Conn::new(stream, now), member, self)
    }

    pub(super) fn is_spent(&self, conn: &Conn, rested: Duration, now: Tick) -> bool {
        let pool = &self.def.conf.pool;
        rested >= pool.idle_timeout
            || pool.requests_max.is_some_and(|max| conn.requests >= max)
            || pool.lifetime.is_some_and(|max| now.since(conn.born) >= max)
    }

    fn sweep(&self, now: Tick) {
        self.look(false);
        for member in &self.members.borrow().list {
            member.shared.sweep(self, now);
            member.idle.borrow_mut().retain(|idle| {
                let why = if self.is_spent(&idle.conn, now.since(idle.since), now) {
                    Eviction::Expired
                } else if idle.conn.stream.is_stale() {
                    Eviction::Dead
                } else {
                    return true;
                };
                self.forget(1);
                self.cells().connection_evicted(why);
                false
            });
        }
        // A place may have been freed by another worker since its waiters looked.
        self.wake_next();
    }

    /// So many more shared connections, and streams in use on them, or fewer.
    pub(super) fn shares(&self, connections: i64, streams: i64) {
        let (before, busy) = self.sharing.get();
        let now = (before.saturating_add_signed(connections), busy.saturating_add_signed(streams));
        self.sharing.set(now);
        self.cells().shares(now.0, now.1);
    }

    /// Takes a place among the idle connections; false if there is none.
    pub(super) fn rests_one_more(&self) -> bool {
        let kept = self.idle_connections.get();
        if kept >= self.def.conf.pool.idle_max {
            return false;
        }
        self.idle_connections.set(kept + 1);
        self.cells().connections_idle(u64::from(kept + 1));
        true
    }

    pub(super) fn forget(&self, connections: usize) {
        let gone = u32::try_from(connections).unwrap_or(u32::MAX);
        self.idle_connections.set(self.idle_connections.get().saturating_sub(gone));
        self.cells().connections_idle(u64::from(self.idle_connections.get()));
    }

    fn retire(&self) {
        self.members.borrow().list.iter().for_each(|member| self.retire_member(member));
    }

    fn retire_member(&self, member: &Member) {
        member.retired.set(true);
        member.shared.retire(self);
        let closed = member.idle.borrow_mut().drain(..).count();
        self.forget(closed);
        (0..closed).for_each(|_| self.cells().connection_evicted(Eviction::Endpoint));
    }

    fn wake_next(&self) {
        if let Some((_, waker)) = self.waiting.borrow().front() {
            waker.wake_by_ref();
        }
    }
}

// === impl Member ===

impl Member {
    fn new(endpoint: &Arc<Endpoint>) -> Member {
        Member {
            endpoint: endpoint.clone(),
            idle: RefCell::default(),
            shared: Shared::default(),
            active: Cell::new(0),
            retired: Cell::new(false),
        }
    }

    /// Requests this worker has in flight there.
    pub(super) fn active(&self) -> u32 {
        self.active.get()
    }

    pub(super) fn begins(&self) {
        self.active.set(self.active.get() + 1);
    }

    pub(super) fn ends(&self) {
        self.active.set(self.active.get().saturating_sub(1));
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.get()
    }

    pub(super) fn keep(&self, idle: Idle) {
        self.idle.borrow_mut().push(idle);
    }
}

// === impl Queued ===

impl<'a> Queued<'a> {
    fn behind(local: &'a Local, waker: Waker) -> Queued<'a> {
        let number = local.numbers.get();
        local.numbers.set(number + 1);
        local.waiting.borrow_mut().push_back((number, waker));
        Queued { local, number }
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.local.waiting.borrow_mut().retain(|(number, _)| *number != self.number);
    }
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        self.0.def.leave();
        self.0.wake_next();
    }
}
