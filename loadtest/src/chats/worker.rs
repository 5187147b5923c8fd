//! One thread of chats: begins each when it is due, on a connection that is free, or lets every
//! connection go on by itself (closed loop).
//!
//! Invariant: a due chat is never skipped; without a free connection it waits, and is counted as
//! having waited.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::Spec;
use super::ask::Chat;
use super::score::Score;
use super::talk::{End, Lease, Line, Times};
use crate::clock::{self, Nanos, SECOND};
use crate::dice::Dice;
use crate::run::schedule::{Schedule, Share};
use crate::run::tally::Problem;
use crate::run::timer::Timer;

/// How often overdue chats and due aborts are looked for.
const TICK: Duration = Duration::from_millis(1);
const BACKOFF: Duration = Duration::from_millis(10);

struct Thread {
    spec: Arc<Spec>,
    share: Share,
    score: RefCell<Score>,
    dice: RefCell<Dice>,
    leases: RefCell<Vec<Rc<Lease>>>,
    idle: RefCell<Vec<Line>>,
    /// Due, but without a connection.
    waiting: RefCell<VecDeque<Nanos>>,
    /// Chats that were begun by this thread: they number its requests.
    begun: Cell<u64>,
    active: Cell<u64>,
    left: Cell<u64>,
    all_begun: Cell<bool>,
}

pub fn run(spec: Arc<Spec>, share: Share) -> io::Result<Score> {
    if let Some(cpu) = spec.cpus.get(share.index % spec.cpus.len().max(1)) {
        crate::sys::pin(&[*cpu])?;
    }
    let io = spec.io;
    crate::ring::block_on(io, work(spec, share))?
}

async fn work(spec: Arc<Spec>, share: Share) -> io::Result<Score> {
    let part = |whole: u64| match whole {
        u64::MAX => whole,
        _ => whole / share.of as u64 + u64::from((share.index as u64) < whole % share.of as u64),
    };
    let (left, connections) = (part(spec.requests), part(spec.connections));
    let thread = Rc::new(Thread {
        share,
        score: RefCell::new(Score::new()),
        dice: RefCell::new(Dice::new(spec.seed.wrapping_add(share.index as u64))),
        leases: RefCell::default(),
        idle: RefCell::default(),
        waiting: RefCell::default(),
        begun: Cell::new(0),
        active: Cell::new(0),
        left: Cell::new(left),
        all_begun: Cell::new(false),
        spec,
    });
    let timer = Timer::new()?;
    timer.sleep(thread.spec.start.saturating_sub(clock::now())).await?;
    match thread.spec.rate {
        Some((rate, arrivals)) => {
            let Spec { start, end, seed, .. } = *thread.spec;
            let schedule = Schedule::new(arrivals, rate, share, start, end, left, seed);
            monoio::spawn(open_loop(Rc::clone(&thread), schedule, timer, connections));
        }
        None => {
            for _ in 0..connections {
                thread.enter();
                monoio::spawn(closed_loop(Rc::clone(&thread)));
            }
            thread.all_begun.set(true);
        }
    }
    thread.watch().await;
    let mut score = thread.score.replace(Score::new());
    score.unfinished = thread.active.get() + thread.waiting.borrow().len() as u64;
    Ok(score)
}

async fn closed_loop(thread: Rc<Thread>) {
    let mut line = thread.line();
    while thread.left.get() > 0 && clock::now() < thread.spec.end {
        thread.left.set(thread.left.get() - 1);
        if !thread.chat(&mut line, None).await {
            monoio::time::sleep(BACKOFF).await;
        }
    }
    thread.leave();
}

async fn open_loop(thread: Rc<Thread>, mut schedule: Schedule, timer: Timer, connections: u64) {
    while let Some(due) = schedule.take() {
        if timer.sleep(due.saturating_sub(clock::now())).await.is_err() {
            break;
        }
        if thread.active.get() < connections {
            thread.enter();
            monoio::spawn(lane(Rc::clone(&thread), due));
        } else {
            thread.waiting.borrow_mut().push_back(due);
            thread.score.borrow_mut().waited += 1;
        }
    }
    thread.all_begun.set(true);
}

/// One chat, and then those that wait for a connection.
async fn lane(thread: Rc<Thread>, due: Nanos) {
    let idle = thread.idle.borrow_mut().pop();
    let mut line = idle.unwrap_or_else(|| thread.line());
    let mut waited = false;
    let mut next = Some(due);
    while let Some(due) = next {
        thread.chat(&mut line, Some((due, waited))).await;
        next = thread.waiting.borrow_mut().pop_front();
        waited = true;
    }
    thread.idle.borrow_mut().push(line);
    thread.leave();
}

/// The times of one stream, on their way into the score.
struct Clocked<'a>(&'a RefCell<Score>);

// === impl Clocked ===

impl Times for Clocked<'_> {
    fn first(&mut self, took: Nanos) {
        self.0.borrow_mut().first_token.saturating_record(took);
    }

    fn gap(&mut self, took: Nanos) {
        self.0.borrow_mut().gap.saturating_record(took);
    }

    fn transit(&mut self, took: Nanos) {
        self.0.borrow_mut().transit.saturating_record(took);
    }
}

// === impl Thread ===

impl Thread {
    fn line(&self) -> Line {
        let line = Line::new();
        self.leases.borrow_mut().push(Rc::clone(&line.lease));
        line
    }

    fn enter(&self) {
        self.active.set(self.active.get() + 1);
        let most = &mut self.score.borrow_mut().most_at_once;
        *most = (*most).max(self.active.get());
    }

    fn leave(&self) {
        self.active.set(self.active.get() - 1);
    }

    /// `false`: there was nobody to connect to.
    async fn chat(&self, line: &mut Line, due: Option<(Nanos, bool)>) -> bool {
        let n = self.begun.get() * self.share.of as u64 + self.share.index as u64;
        self.begun.set(self.begun.get() + 1);
        let chat = Chat::new(&self.spec, n, &mut self.dice.borrow_mut());
        let (stream, hangs_up) = (chat.stream, chat.hangs_up.is_some());
        let talk = line.talk(&self.spec, chat, &mut Clocked(&self.score)).await;
        let mut score = self.score.borrow_mut();
        score.connections += u64::from(talk.connected);
        score.words += talk.words;
        if let Some((due, false)) = due {
            score.lag.saturating_record(talk.sent.saturating_sub(due));
        }
        match talk.end {
            End::Answered(told) => {
                score.ok += 1;
                score.streams += u64::from(stream);
                score.too_late += u64::from(hangs_up);
                score.told.input += told.input;
                score.told.output += told.output;
                let from = due.map_or(talk.sent, |(due, _)| due);
                score.latency.saturating_record(clock::now() - from);
            }
            End::Aborted(phase, abort) => score.abort(phase, abort),
            End::Failed(name) => {
                let connects = name != Problem::Connect.name();
                score.fail(name);
                return connects;
            }
        }
        true
    }

    /// Cuts what is overdue until all is over, or patience is.
    async fn watch(&self) {
        let Spec { end, timeout, .. } = *self.spec;
        let patience = end.saturating_add(timeout).saturating_add(SECOND);
        loop {
            monoio::time::sleep(TICK).await;
            let now = clock::now();
            self.leases.borrow().iter().for_each(|lease| lease.look(now));
            if (self.all_begun.get() && self.active.get() == 0) || now > patience {
                return;
            }
        }
    }
}
