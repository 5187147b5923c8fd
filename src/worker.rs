//! One worker: a thread with its own ring, listeners, pool and buffers. It serves the current
//! snapshot until the control thread says drain.
//!
//! All it is told comes through the snapshot cell; a wake means "look there". Invariant: a
//! listening socket is given up only after what waits in its queue was accepted.

use std::cell::{Cell as Flag, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::bounds;
use crate::clock::{self, Tick};
use crate::config::Name;
use crate::net::listen::Acceptor;
use crate::net::ring::{self, Driver};
use crate::net::stream::Stream;
use crate::net::wake::Wakes;
use crate::net::{buffer, deadline, task};
use crate::observe::access_log::WorkerLog;
use crate::observe::cells::{PerWorker, Refusal, RouteCells, WorkerCells, WorkerId};
use crate::proxy::ledger::WorkerLedger;
use crate::proxy::{Context, conn, refuse};
use crate::snapshot::{Bound, Cell, Snapshot, Wanted};

/// What a worker is given when it starts.
pub struct Seat {
    pub id: WorkerId,
    /// The core to pin to.
    pub core: Option<usize>,
    pub driver: Driver,
    pub cell: Arc<Cell>,
    pub wakes: Wakes,
    pub cells: Arc<PerWorker<WorkerCells>>,
    pub unrouted: Arc<PerWorker<RouteCells>>,
    pub log: WorkerLog,
    pub ledger: WorkerLedger,
    pub seed: u64,
}

/// What is accepted from: an address, and the listener it is now.
type Door = (Name, Wanted);

struct Worker {
    context: Rc<Context>,
    cell: Arc<Cell>,
    doors: RefCell<BTreeMap<Door, Rc<Stop>>>,
    /// Told when the drain begins.
    leaving: Stop,
}

/// Tells an accepting task to stop.
#[derive(Default)]
struct Stop {
    asked: Flag<bool>,
    waker: RefCell<Option<Waker>>,
}

/// How often idle upstream connections are looked at, and gauges set.
const SWEEP: Duration = Duration::from_secs(1);
/// How often a draining worker looks whether its connections are gone.
const DRAIN_LOOK: Duration = Duration::from_millis(20);
/// How long before the end of the drain all waiting ends.
const DRAIN_LAST: Duration = Duration::from_millis(200);
/// How long a worker pauses accepting when the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Runs a worker on this thread until it has drained.
///
/// # Errors
/// When its ring cannot be set up.
pub fn run(seat: Seat) -> io::Result<()> {
    if let Some(core) = seat.core
        && let Err(error) = ring::pin_to(core)
    {
        tracing::warn!(core, %error, "cannot pin a worker");
    }
    let rt = ring::build(seat.driver)?;
    rt.run(serve(seat));
    Ok(())
}

async fn serve(seat: Seat) {
    task::spawn(deadline::run_wheel());
    let snapshot = seat.cell.load();
    let limit = snapshot.config.gateway.buffers_max;
    buffer::set_limit(usize::try_from(limit).unwrap_or(usize::MAX));
    let outlets = (seat.log, seat.ledger);
    let context =
        Context::new(seat.id, snapshot.clone(), seat.cells, seat.unrouted, outlets, seat.seed);
    let worker = Rc::new(Worker {
        context: Rc::new(context),
        cell: seat.cell,
        doors: RefCell::default(),
        leaving: Stop::default(),
    });
    worker.open_doors(&snapshot);
    drop(snapshot);
    task::spawn(sweep(worker.context.clone()));
    let waker = worker.clone();
    let wakes = seat.wakes;
    task::spawn(async move {
        if let Err(error) = wakes.each(|| waker.look()).await {
            tracing::error!(%error, "a worker cannot hear its control thread");
        }
    });
    worker.until_drained().await;
}

// === impl Worker ===

impl Worker {
    /// Looks at the cell: a new snapshot, or the order to drain.
    fn look(self: &Rc<Self>) {
        let snapshot = self.cell.load();
        if snapshot.generation != self.context.current().snapshot.generation {
            self.context.adopt(snapshot.clone());
            self.open_doors(&snapshot);
            // Idle connections of listeners that are gone leave now.
            deadline::wake_idle();
        }
        if self.cell.draining().is_some() && !self.context.is_draining() {
            self.doors.borrow_mut().values().for_each(|stop| stop.ask());
            let bound = snapshot.listeners.iter().flat_map(|listener| &listener.bound);
            bound.for_each(|bound| bound.give_up(usize::from(self.context.worker.0)));
            self.context.drain();
            self.leaving.ask();
        }
    }

    /// Accepts where the snapshot says, and nowhere else.
    fn open_doors(&self, snapshot: &Snapshot) {
        let mut doors = self.doors.borrow_mut();
        let mut wanted = BTreeMap::new();
        for listener in &snapshot.listeners {
            for bound in &listener.bound {
                wanted.insert((listener.name.clone(), bound.wanted.clone()), bound.clone());
            }
        }
        doors.retain(|door, stop| {
            let stays = wanted.contains_key(door);
            if !stays {
                stop.ask();
            }
            stays
        });
        for (door, bound) in wanted {
            if doors.contains_key(&door) {
                continue;
            }
            match self.open(&door.0, &bound) {
                Ok(stop) => drop(doors.insert(door, stop)),
                Err(error) => {
                    let (listener, address) = (&*door.0, door.1.address);
                    tracing::error!(listener, %address, %error, "cannot accept");
                }
            }
        }
    }

    fn open(&self, name: &Name, bound: &Bound) -> io::Result<Rc<Stop>> {
        let acceptor = Acceptor::new(bound.socket_of(usize::from(self.context.worker.0))?)?;
        let stop = Rc::new(Stop::default());
        task::spawn(accept(self.context.clone(), name.clone(), acceptor, stop.clone()));
        Ok(stop)
    }

    /// Ends when the worker has been told to drain and its connections are gone, or time is up.
    async fn until_drained(&self) {
        self.leaving.asked().await;
        let until = self.cell.draining().unwrap_or(Tick(0));
        // First the doors: they accept what waits, then the ring has a poll to cancel and a
        // descriptor to close. The runtime is leaked when this returns; a socket left in it would
        // listen on.
        deadline::sleep_until(clock::now().after(DRAIN_LOOK)).await;
        while self.context.connections.get() > 0 && clock::now() < until {
            deadline::sleep_until(clock::now().after(DRAIN_LOOK)).await;
            // What has not ended by itself ends as if it had run out of time: a model's answer
            // is settled and in the ledger, and a request in the log, before the worker goes.
            if until.since(clock::now()) < DRAIN_LAST {
                deadline::pass_all();
            }
        }
        // What the ledger had no room for. It may be that it cannot be written at all.
        let until = clock::now().after(bounds::LEDGER_FINISH);
        while !self.context.ledger_is_handed_on() && clock::now() < until {
            deadline::sleep_until(clock::now().after(DRAIN_LOOK)).await;
        }
    }
}

// === impl Stop ===

impl Stop {
    fn ask(&self) {
        self.asked.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    async fn asked(&self) {
        std::future::poll_fn(|cx| {
            *self.waker.borrow_mut() = Some(cx.waker().clone());
            if self.asked.get() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// Accepts connections until told to stop, then what still waits.
async fn accept(context: Rc<Context>, name: Name, acceptor: Acceptor, stop: Rc<Stop>) {
    loop {
        {
            let mut ready = std::pin::pin!(acceptor.ready());
            std::future::poll_fn(|cx| {
                *stop.waker.borrow_mut() = Some(cx.waker().clone());
                if stop.asked.get() {
                    return Poll::Ready(());
                }
                ready.as_mut().poll(cx).map(drop)
            })
            .await;
        }
        let last = stop.asked.get();
        // The last time round, all that wait: a queue is given up empty.
        let turn = if last { usize::MAX } else { bounds::ACCEPTS_PER_TURN };
        for _ in 0..turn {
            match acceptor.accept() {
                Ok((stream, peer)) => admit(&context, &name, stream, peer),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    pause(&context, &name, &error).await;
                    break;
                }
            }
        }
        if last {
            return;
        }
    }
}

/// After an error of accept4: the client's (aborted), or ours (descriptors, memory), which passes.
async fn pause(context: &Context, name: &Name, error: &io::Error) {
    if matches!(error.raw_os_error(), Some(libc::ECONNABORTED | libc::EPROTO | libc::EINTR)) {
        return;
    }
    if let Some(listener) = context.listener_now(name) {
        listener.cells.of(context.worker).connection_refused(Refusal::AcceptError);
    }
    tracing::warn!(listener = &**name, %error, "cannot accept; raise LimitNOFILE if it says so");
    deadline::sleep_until(clock::now().after(ACCEPT_PAUSE)).await;
}

fn admit(context: &Rc<Context>, name: &Name, stream: Stream, peer: SocketAddr) {
    // A listener on its way out has left the snapshot: its last connections are told to go
    // elsewhere by the RST of this close.
    let Some(listener) = context.listener_now(name) else { return };
    if !listener.try_open() {
        listener.cells.of(context.worker).connection_refused(Refusal::Limit);
        if listener.tls.is_none() {
            stream.say_last(refuse::at_the_door());
        }
        return;
    }
    task::spawn(conn::run(context.clone(), listener, stream, peer));
}

async fn sweep(context: Rc<Context>) {
    loop {
        let now = clock::now();
        deadline::sleep_until(now.after(SWEEP)).await;
        context.pool.sweep(clock::now());
        buffer::trim();
        context.ledger_is_handed_on();
        context.cells().relay_buffers(buffer::count_in_use(), buffer::bytes_in_use() as u64);
    }
}
