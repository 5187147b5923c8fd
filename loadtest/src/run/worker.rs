//! One thread of the generator: its ring, its connections, its part of the schedule. Hands due
//! times to free connections (open loop) or lets each connection go on by itself (closed loop).
//!
//! Invariant: a due request is never skipped. It goes to a connection that is free, or, if none
//! is, to the first that becomes free.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::exchange::{Cut, Lease, Line, Outcome};
use super::request::Template;
use super::schedule::{Schedule, Share};
use super::tally::{Problem, Tally, Times, Window};
use super::timer::Timer;
use super::{Mode, Protocol, Spec, carrier};
use crate::clock::{self, MILLI, Nanos};
use crate::dice::Dice;
use crate::wake::Wake;

/// How long a connection waits after a failed connect, so that a dead target is not hammered.
pub const BACKOFF: Duration = Duration::from_millis(10);
/// How often overdue requests are looked for, and how often a thread looks whether it is done.
const TICK: Duration = Duration::from_millis(10);
/// A closed loop's requests still under way at the end of the window get this long.
const GRACE: Nanos = 200 * MILLI;

/// What the tasks of one thread share.
pub struct Thread {
    pub spec: Arc<Spec>,
    pub tally: RefCell<Tally>,
    pub dice: RefCell<Dice>,
    pub leases: RefCell<Vec<Rc<Lease>>>,
    /// Of the connections that carry streams.
    pub seats: RefCell<Vec<Rc<Seat>>>,
    sequence: Cell<u64>,
    stride: u64,
    in_flight: Cell<u64>,
    /// Requests this thread may still begin (closed loop).
    left: Cell<u64>,
    pub open: Option<Open>,
}

/// The open loop's meeting place.
pub struct Open {
    schedule: RefCell<Schedule>,
    free: RefCell<VecDeque<Rc<Seat>>>,
    /// A request is due and no connection is free.
    starving: Cell<bool>,
    dispatcher: RefCell<Option<Waker>>,
    over: Cell<bool>,
}

/// Where a free connection waits for its next request; one with streams, for several.
pub struct Seat {
    pub dues: RefCell<VecDeque<Nanos>>,
    pub wake: Rc<Wake>,
    /// When its owner has something overdue, and wants to be woken.
    pub deadline: Cell<Nanos>,
}

/// A request to be sent now.
pub struct Assignment {
    pub due: Nanos,
    pub starved: bool,
}

/// Runs one thread's share of the load to its end.
pub fn run(spec: Arc<Spec>, share: Share) -> io::Result<Tally> {
    let cpus = if spec.cpus.is_empty() {
        Vec::new()
    } else {
        vec![spec.cpus[share.index % spec.cpus.len()]]
    };
    crate::sys::pin(&cpus)?;
    let io = spec.io;
    crate::ring::block_on(io, work(spec, share))?
}

async fn work(spec: Arc<Spec>, share: Share) -> io::Result<Tally> {
    let by_due = matches!(spec.mode, Mode::Open { .. });
    let window = Window { from: spec.window_from, to: spec.window_to, by_due };
    let left = part(spec.requests, share);
    let open = match spec.mode {
        Mode::Open { rate, arrivals } => Some(Open::new(Schedule::new(
            arrivals,
            rate,
            share,
            spec.start,
            spec.window_to,
            left,
            spec.seed,
        ))),
        Mode::Closed => None,
    };
    let connections = part(spec.connections as u64, share);
    let thread = Rc::new(Thread {
        tally: RefCell::new(Tally::new(window)),
        dice: RefCell::new(Dice::new(spec.seed.wrapping_add(1000 + share.index as u64))),
        leases: RefCell::default(),
        seats: RefCell::default(),
        sequence: Cell::new(share.index as u64),
        stride: share.of as u64,
        in_flight: Cell::new(0),
        left: Cell::new(left),
        open,
        spec,
    });
    let timer = Timer::new()?;
    timer.sleep(thread.spec.start.saturating_sub(clock::now())).await?;
    for _ in 0..connections {
        if let Protocol::Http2 { streams, grpc } = thread.spec.protocol {
            monoio::spawn(carrier::carry(Rc::clone(&thread), streams, grpc));
            continue;
        }
        let line = Line::new(Arc::clone(&thread.spec));
        thread.leases.borrow_mut().push(Rc::clone(&line.lease));
        if thread.open.is_some() {
            monoio::spawn(open_loop(Rc::clone(&thread), line));
        } else {
            monoio::spawn(closed_loop(Rc::clone(&thread), line));
        }
    }
    if thread.open.is_some() {
        monoio::spawn(dispatch(Rc::clone(&thread), timer));
    }
    thread.watch().await;
    let mut tally = thread.tally.replace(Tally::new(window));
    tally.unfinished = thread.unfinished();
    Ok(tally)
}

/// This thread's part of a whole number.
fn part(whole: u64, share: Share) -> u64 {
    if whole == u64::MAX {
        return whole;
    }
    let (index, of) = (share.index as u64, share.of as u64);
    whole / of + u64::from(index < whole % of)
}

// === impl Thread ===

impl Thread {
    /// Cuts overdue requests until the load is over.
    async fn watch(&self) {
        loop {
            monoio::time::sleep(TICK).await;
            let now = clock::now();
            for lease in self.leases.borrow().iter() {
                if lease.deadline.get() <= now {
                    lease.cut(Cut::TimedOut);
                }
            }
            for seat in self.seats.borrow().iter() {
                if seat.deadline.get() <= now {
                    seat.wake.wake();
                }
            }
            if self.is_over(now) {
                return;
            }
        }
    }

    fn is_over(&self, now: Nanos) -> bool {
        let idle = self.in_flight.get() == 0;
        let begun_all = match &self.open {
            Some(open) => open.over.get(),
            None => self.left.get() == 0 || now >= self.spec.window_to,
        };
        let patience = match &self.open {
            Some(_) => self.spec.timeout.saturating_add(GRACE),
            None => GRACE,
        };
        let too_late = now >= self.spec.window_to.saturating_add(patience);
        (begun_all && idle) || too_late
    }

    fn unfinished(&self) -> u64 {
        let never_begun = self.open.as_ref().map_or(0, |open| {
            let mut schedule = open.schedule.borrow_mut();
            std::iter::from_fn(|| schedule.take()).count() as u64
        });
        self.in_flight.get() + never_begun
    }

    /// A request of ours has begun, or waits for its connection to begin it.
    pub fn accept(&self) {
        self.in_flight.set(self.in_flight.get() + 1);
    }

    /// It has ended.
    pub fn leave(&self) {
        self.in_flight.set(self.in_flight.get() - 1);
    }

    /// Closed loop: whether one more request may begin.
    pub fn draw(&self) -> bool {
        if self.left.get() == 0 || clock::now() >= self.spec.window_to {
            return false;
        }
        self.left.set(self.left.get() - 1);
        true
    }

    /// What to send next, and its number.
    pub fn next_template<'a>(&self, spec: &'a Spec) -> (&'a Template, u64) {
        let sequence = self.sequence.get();
        self.sequence.set(sequence + self.stride);
        (spec.mix.choose(&mut self.dice.borrow_mut()), sequence)
    }

    async fn perform(self: &Rc<Self>, line: &mut Line, due: Option<Assignment>) -> bool {
        let (template, sequence) = self.next_template(&self.spec);
        let bytes = template.render(sequence, &mut self.dice.borrow_mut());
        self.accept();
        self.arm_abort(&line.lease);
        let tally = &self.tally;
        let report =
            line.exchange(template, bytes, |now, gap| tally.borrow_mut().gap(now, gap)).await;
        let ended = clock::now();
        self.leave();
        let times = Times {
            due: due.as_ref().map_or(report.sent, |a| a.due),
            sent: report.sent,
            first_byte: report.first_byte,
            ended,
            starved: due.is_some_and(|a| a.starved),
        };
        if let Some(made) = &report.made {
            self.tally.borrow_mut().connected(made.at, made.took, made.tls);
        }
        self.book(&times, report.sent_bytes, report.outcome)
    }

    /// Counts a request; `false` if there was nobody to connect to.
    pub fn book(&self, times: &Times, sent_bytes: usize, outcome: Outcome) -> bool {
        let mut tally = self.tally.borrow_mut();
        match outcome {
            Outcome::Answered(answer) if self.spec.expects(answer.status) => {
                tally.succeeded(times, sent_bytes, &answer);
            }
            Outcome::Answered(answer) => {
                let problem = Problem::Status(answer.status);
                tally.failed(times, sent_bytes, problem, Some(&answer));
            }
            Outcome::Failed(problem) => {
                tally.failed(times, sent_bytes, problem, None);
                return problem != Problem::Connect;
            }
            Outcome::Aborted => tally.aborted(times, sent_bytes),
        }
        true
    }

    /// Whether to hang up on the coming request, and when.
    pub fn draw_abort(&self) -> Option<Duration> {
        let (after, share) = self.spec.abort?;
        (self.dice.borrow_mut().unit() <= share).then_some(after)
    }

    /// Hangs up in the middle of the coming exchange, if the dice say so.
    fn arm_abort(&self, lease: &Rc<Lease>) {
        let Some(after) = self.draw_abort() else {
            return;
        };
        let (lease, exchange) = (Rc::clone(lease), lease.exchange.get() + 1);
        monoio::spawn(async move {
            monoio::time::sleep(after).await;
            if lease.exchange.get() == exchange && lease.deadline.get() != Nanos::MAX {
                lease.cut(Cut::Aborted);
            }
        });
    }
}

async fn closed_loop(thread: Rc<Thread>, mut line: Line) {
    while thread.draw() {
        if !thread.perform(&mut line, None).await {
            monoio::time::sleep(BACKOFF).await;
        }
    }
}

async fn open_loop(thread: Rc<Thread>, mut line: Line) {
    let open = thread.open.as_ref().expect("only an open loop spawns this");
    let seat = Rc::new(Seat::default());
    loop {
        let assignment = open.next(&seat).await;
        thread.perform(&mut line, Some(assignment)).await;
    }
}

/// Gives each due request to a free connection.
async fn dispatch(thread: Rc<Thread>, timer: Timer) {
    let open = thread.open.as_ref().expect("only an open loop spawns this");
    while let Some(due) = { open.schedule.borrow().peek() } {
        let now = clock::now();
        if due > now {
            if timer.sleep(due - now).await.is_err() {
                break;
            }
            continue;
        }
        let seat = open.free.borrow_mut().pop_front();
        match seat {
            Some(seat) => {
                open.schedule.borrow_mut().take();
                seat.dues.borrow_mut().push_back(due);
                seat.wake.wake();
            }
            None => open.starve().await,
        }
    }
    open.over.set(true);
}

// === impl Open ===

impl Open {
    fn new(schedule: Schedule) -> Open {
        Open {
            schedule: RefCell::new(schedule),
            free: RefCell::default(),
            starving: Cell::new(false),
            dispatcher: RefCell::default(),
            over: Cell::new(false),
        }
    }

    /// A connection has room for one more request: takes an overdue one if there is any, else a
    /// place in the queue of the free.
    pub fn offer(&self, seat: &Rc<Seat>) -> Option<Assignment> {
        if self.starving.get() {
            let mut schedule = self.schedule.borrow_mut();
            if let Some(due) = schedule.peek().filter(|due| *due <= clock::now()) {
                schedule.take();
                return Some(Assignment { due, starved: true });
            }
            self.starving.set(false);
            if let Some(dispatcher) = self.dispatcher.take() {
                dispatcher.wake();
            }
        }
        self.free.borrow_mut().push_back(Rc::clone(seat));
        None
    }

    /// The next request for a connection that has just become free.
    async fn next(&self, seat: &Rc<Seat>) -> Assignment {
        if let Some(assignment) = self.offer(seat) {
            return assignment;
        }
        loop {
            seat.wake.wait().await;
            seat.wake.take();
            if let Some(due) = seat.dues.borrow_mut().pop_front() {
                return Assignment { due, starved: false };
            }
        }
    }

    /// Waits until a connection finds nothing overdue any more.
    fn starve(&self) -> impl Future<Output = ()> + '_ {
        self.starving.set(true);
        poll_fn(|cx: &mut Context<'_>| {
            if self.starving.get() {
                self.dispatcher.replace(Some(cx.waker().clone()));
                return Poll::Pending;
            }
            Poll::Ready(())
        })
    }
}

// === impl Seat ===

impl Default for Seat {
    fn default() -> Seat {
        Seat {
            dues: RefCell::default(),
            wake: Rc::new(Wake::new()),
            deadline: Cell::new(Nanos::MAX),
        }
    }
}

impl Seat {
    pub fn wake_after(&self, wait: Duration) {
        let wake = Rc::clone(&self.wake);
        monoio::spawn(async move {
            monoio::time::sleep(wait).await;
            wake.wake();
        });
    }
}
