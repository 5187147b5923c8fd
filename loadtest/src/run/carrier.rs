//! One HTTP/2 connection of a run and the task that drives it: draws requests or takes those that
//! are due, sends, receives, books what ended. What the bytes mean is `session`'s business.
//!
//! Invariant: all requests that can begin are begun before a send, and all that was received is
//! taken before the next: one send and one receive serve as many streams as are ready.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use super::exchange::{Line, Made};
use super::session::{Begin, Session};
use super::tally::{Problem, Times};
use super::worker::{Assignment, BACKOFF, Seat, Thread};
use crate::clock::{self, Nanos};
use crate::transport::Transport;

const BUFFER: usize = 64 * 1024;
const BUFFER_MAX: usize = 256 * 1024;

struct Carrier {
    thread: Rc<Thread>,
    /// Makes the connections, and lets the thread cut a send that hangs.
    line: Line,
    seat: Rc<Seat>,
    streams: usize,
    grpc: bool,
    connection: Option<(Transport, Session)>,
    /// Due, and not begun yet.
    waiting: VecDeque<Assignment>,
    buf: Vec<u8>,
}

/// Carries requests on one connection at a time, until a closed loop is over.
pub async fn carry(thread: Rc<Thread>, streams: usize, grpc: bool) {
    let line = Line::new(Arc::clone(&thread.spec));
    thread.leases.borrow_mut().push(Rc::clone(&line.lease));
    let seat = Rc::new(Seat::default());
    thread.seats.borrow_mut().push(Rc::clone(&seat));
    let (connection, waiting) = (None, VecDeque::new());
    let mut carrier =
        Carrier { thread, line, seat, streams, grpc, connection, waiting, buf: Vec::new() };
    for _ in 0..streams {
        carrier.offer();
    }
    loop {
        carrier.collect();
        let busy = carrier.connection.as_ref().is_some_and(|(_, s)| s.in_flight() > 0);
        if carrier.waiting.is_empty() && !busy && carrier.thread.open.is_none() {
            return;
        }
        match &carrier.connection {
            None if carrier.waiting.is_empty() => {
                carrier.seat.wake.wait().await;
                carrier.seat.wake.take();
            }
            None => {
                if !carrier.connect().await {
                    monoio::time::sleep(BACKOFF).await;
                }
            }
            Some(_) => carrier.turn().await,
        }
    }
}

// === impl Carrier ===

impl Carrier {
    /// Open loop: one more of our streams is free.
    fn offer(&mut self) {
        let Some(open) = &self.thread.open else {
            return;
        };
        if let Some(assignment) = open.offer(&self.seat) {
            self.thread.accept();
            self.waiting.push_back(assignment);
        }
    }

    /// What is to be sent: due (open loop), or as many as there is room for (closed loop).
    fn collect(&mut self) {
        while let Some(due) = self.seat.dues.borrow_mut().pop_front() {
            self.thread.accept();
            self.waiting.push_back(Assignment { due, starved: false });
        }
        if self.thread.open.is_some() {
            return;
        }
        let begun = self.connection.as_ref().map_or(0, |(_, session)| session.in_flight());
        while begun + self.waiting.len() < self.streams && self.thread.draw() {
            self.thread.accept();
            self.waiting.push_back(Assignment { due: 0, starved: false });
        }
    }

    /// A new connection. If there is none to be had, all that waits for it has failed.
    async fn connect(&mut self) -> bool {
        let begun = clock::now();
        self.line.lease.deadline.set(begun.saturating_add(self.thread.spec.timeout));
        let made = self.line.connect().await;
        let (transport, timed_out) = self.line.release();
        match (made, transport) {
            (Ok(Made { at, took, tls }), Some(transport)) => {
                self.thread.tally.borrow_mut().connected(at, took, tls);
                if tls.is_some() && transport.protocol() != Some(b"h2") {
                    self.fail_waiting(Problem::NotNegotiated, begun);
                    return false;
                }
                let session = Session::new(self.thread.spec.sse, self.grpc);
                self.connection = Some((transport, session));
                self.buf = Vec::with_capacity(BUFFER);
                true
            }
            (made, _) => {
                let problem = made.err().unwrap_or(Problem::Connect);
                let problem = if timed_out { Problem::Timeout } else { problem };
                self.fail_waiting(problem, begun);
                false
            }
        }
    }

    fn fail_waiting(&mut self, problem: Problem, sent: Nanos) {
        let ended = clock::now();
        while let Some(Assignment { due, starved }) = self.waiting.pop_front() {
            let due = if self.thread.open.is_some() { due } else { sent };
            let times = Times { due, sent: sent.max(due), first_byte: 0, ended, starved };
            self.thread.leave();
            self.thread.tally.borrow_mut().failed(&times, 0, problem, None);
            self.offer();
        }
    }

    /// Begins what waits, sends, receives once, and books what ended.
    async fn turn(&mut self) {
        let Some((mut transport, mut session)) = self.connection.take() else {
            return;
        };
        self.begin(&mut session);
        let result = self.exchange(&mut transport, &mut session).await;
        let now = clock::now();
        if self.seat.wake.take() {
            session.cut_overdue(now);
        }
        self.seat.deadline.set(session.deadline());
        if let Err(problem) = result {
            session.fail_all(problem, now);
        }
        self.book(&mut session);
        if !session.is_over() {
            self.connection = Some((transport, session));
        } else if session.link.outbox.pump() || !session.link.outbox.bytes.is_empty() {
            // A reset or an acknowledgement is still owed; the connection ends right after.
            let bytes = std::mem::take(&mut session.link.outbox.bytes);
            let _ = self.send(&mut transport, bytes).await;
        }
    }

    fn begin(&mut self, session: &mut Session) {
        let now = clock::now();
        let spec = Arc::clone(&self.thread.spec);
        let mut begun = 0;
        while session.has_room(self.streams)
            && let Some(assignment) = self.waiting.pop_front()
        {
            let (template, sequence) = self.thread.next_template(&spec);
            let message = template.message(sequence, &mut self.thread.dice.borrow_mut());
            let abort_at = match self.thread.draw_abort() {
                Some(after) => {
                    self.seat.wake_after(after);
                    now + clock::nanos(after)
                }
                None => Nanos::MAX,
            };
            let deadline = now.saturating_add(spec.timeout);
            let due = if self.thread.open.is_some() { assignment.due } else { now };
            let (is_head, starved) = (template.is_head, assignment.starved);
            session.begin(Begin { message, is_head, due, starved, deadline, abort_at }, now);
            begun += 1;
        }
        if begun > 0 && !spec.keep_alive {
            session.drain();
        }
        for late in &mut self.waiting {
            late.starved = true; // by the peer's bound on streams, not by us
        }
        self.seat.deadline.set(session.deadline());
    }

    async fn exchange(
        &mut self,
        transport: &mut Transport,
        session: &mut Session,
    ) -> Result<(), Problem> {
        loop {
            let more = session.link.outbox.pump();
            if session.link.outbox.bytes.is_empty() {
                break;
            }
            let bytes = std::mem::take(&mut session.link.outbox.bytes);
            let mut sent = self.send(transport, bytes).await?;
            sent.clear();
            session.link.outbox.bytes = sent;
            if !more {
                break;
            }
        }
        if self.buf.len() == self.buf.capacity() {
            self.buf.reserve_exact(self.buf.len()); // at most twice: a frame is 16 KiB
        }
        let received = match transport.read_until(&self.seat.wake, &mut self.buf).await {
            Ok(None) => return Ok(()),
            Ok(Some(received)) => received,
            Err(e) if e.kind() == std::io::ErrorKind::InvalidData => {
                return Err(Problem::Malformed("TLS"));
            }
            Err(e) => {
                eprintln!("DBG {e:?}");
                return Err(Problem::Reset);
            }
        };
        if received == 0 {
            return Err(Problem::Truncated);
        }
        let used = session.receive(&self.buf, clock::now())?;
        let full = self.buf.len() == self.buf.capacity();
        self.buf.drain(..used);
        if full && self.buf.capacity() < BUFFER_MAX {
            self.buf.reserve_exact(BUFFER_MAX); // large bodies: few large receives
        }
        Ok(())
    }

    /// A peer that reads nothing must not hold us for ever.
    async fn send(&self, transport: &mut Transport, bytes: Vec<u8>) -> Result<Vec<u8>, Problem> {
        self.line.guard(transport, self.thread.spec.timeout);
        let (result, bytes) = transport.write_all(bytes).await;
        let timed_out = self.line.unguard();
        match result {
            _ if timed_out => Err(Problem::Timeout),
            Err(_) => Err(Problem::Reset),
            Ok(()) => Ok(bytes),
        }
    }

    fn book(&mut self, session: &mut Session) {
        for (now, gap) in session.gaps.drain(..) {
            self.thread.tally.borrow_mut().gap(now, gap);
        }
        for ended in session.ended.drain(..) {
            self.thread.leave();
            self.thread.book(&ended.times, ended.sent_bytes, ended.outcome);
            self.offer();
        }
    }
}
