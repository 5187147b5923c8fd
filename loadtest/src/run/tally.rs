//! What a run counts. One tally per thread, added up at the end; pure bookkeeping that takes
//! times as arguments.
//!
//! Invariant: a request is either counted once (as ok or as one kind of error) or, outside the
//! window, not at all.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::response::Fault;
use crate::clock::{MICRO, Nanos, SECOND};

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Problem {
    /// The TCP connection could not be made.
    Connect,
    /// The TLS handshake failed.
    Handshake,
    /// No answer in time.
    Timeout,
    /// The connection broke (RST, EPIPE) with an answer due.
    Reset,
    /// The peer closed a connection it had kept alive, before any byte of the answer.
    Stale,
    /// The stream ended inside the answer.
    Truncated,
    /// The answer breaks the protocol.
    Malformed(&'static str),
    /// Bytes after the end of the answer.
    Excess,
    /// A status that was not expected.
    Status(u16),
    /// The peer did not settle on HTTP/2 in the TLS handshake.
    NotNegotiated,
    /// The peer ended one stream with this code.
    StreamReset(&'static str),
    /// The peer left the connection, with this code, before it took the request.
    GoneAway(&'static str),
    /// A gRPC call that failed, with this status.
    Grpc(u16),
    /// The peer refused to upgrade to WebSocket.
    Upgrade,
    /// What came back is not what was sent.
    Echo,
}

/// The times of one request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// When it should have been sent; equals `sent` in a closed loop.
    pub due: Nanos,
    pub sent: Nanos,
    pub first_byte: Nanos,
    pub ended: Nanos,
    /// It was late because no connection was free, not because the generator was.
    pub starved: bool,
}

/// The measured window.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub from: Nanos,
    pub to: Nanos,
    /// Open loop: a request belongs to the window it was due in. Closed: it ended in.
    pub by_due: bool,
}

#[derive(Clone)]
pub struct Second {
    pub ok: u64,
    pub errors: u64,
    /// Two digits: an hour's run keeps 3600 of these.
    pub latency: Histogram<u32>,
}

pub struct Tally {
    window: Window,
    /// From due to end.
    pub latency: Histogram<u64>,
    /// From sent to end.
    pub service: Histogram<u64>,
    /// From due to sent, where a connection was free: the generator's own fault.
    pub lag: Histogram<u64>,
    pub first_byte: Histogram<u64>,
    pub event_gap: Histogram<u64>,
    /// Connect and handshake together.
    pub connect: Histogram<u64>,
    pub ok: u64,
    pub aborted: u64,
    pub starved: u64,
    pub errors: BTreeMap<Problem, u64>,
    pub statuses: BTreeMap<u16, u64>,
    pub bytes_in: u64,
    pub body_bytes: u64,
    pub bytes_out: u64,
    pub events: u64,
    pub connections: u64,
    pub handshakes_full: u64,
    pub handshakes_resumed: u64,
    /// Requests of any outcome that ended within the window: what CPU time is divided by.
    pub ended_in_window: u64,
    pub unfinished: u64,
    pub seconds: Vec<Second>,
    pub last_end: Nanos,
}

/// What came back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub wire_bytes: u64,
    pub body_bytes: u64,
    pub events: u64,
}

// === impl Problem ===

impl Problem {
    #[must_use]
    pub fn of(fault: Fault, reused: bool) -> Problem {
        match fault {
            Fault::Empty if reused => Problem::Stale,
            Fault::Empty | Fault::Truncated => Problem::Truncated,
            Fault::Malformed(why) => Problem::Malformed(why),
        }
    }

    #[must_use]
    pub fn name(self) -> String {
        match self {
            Problem::Connect => "connect".into(),
            Problem::Handshake => "tls_handshake".into(),
            Problem::Timeout => "timeout".into(),
            Problem::Reset => "reset".into(),
            Problem::Stale => "closed_while_idle".into(),
            Problem::Truncated => "truncated".into(),
            Problem::Malformed(why) => format!("malformed: {why}"),
            Problem::Excess => "excess_bytes".into(),
            Problem::Status(code) => format!("status_{code}"),
            Problem::NotNegotiated => "no_h2".into(),
            Problem::StreamReset(code) => format!("rst_stream: {code}"),
            Problem::GoneAway(code) => format!("goaway: {code}"),
            Problem::Grpc(code) => format!("grpc_status_{code}"),
            Problem::Upgrade => "no_upgrade".into(),
            Problem::Echo => "wrong_echo".into(),
        }
    }
}

// === impl Window ===

impl Window {
    fn holds(&self, times: &Times) -> bool {
        let at = if self.by_due { times.due } else { times.ended };
        self.from <= at && at < self.to
    }
}

// === impl Tally ===

impl Tally {
    #[must_use]
    pub fn new(window: Window) -> Tally {
        Tally {
            window,
            latency: fine(),
            service: fine(),
            lag: fine(),
            first_byte: fine(),
            event_gap: fine(),
            connect: fine(),
            ok: 0,
            aborted: 0,
            starved: 0,
            errors: BTreeMap::new(),
            statuses: BTreeMap::new(),
            bytes_in: 0,
            body_bytes: 0,
            bytes_out: 0,
            events: 0,
            connections: 0,
            handshakes_full: 0,
            handshakes_resumed: 0,
            ended_in_window: 0,
            unfinished: 0,
            seconds: Vec::new(),
            last_end: 0,
        }
    }

    /// A complete answer with an expected status.
    pub fn succeeded(&mut self, times: &Times, sent_bytes: usize, answer: &Answer) {
        if !self.ended(times) {
            return;
        }
        self.ok += 1;
        self.answered(times, sent_bytes, answer);
        let latency = times.ended - times.due;
        self.latency.saturating_record(latency);
        if self.window.by_due {
            self.service.saturating_record(times.ended - times.sent);
        }
        let second = self.second(times);
        second.ok += 1;
        second.latency.saturating_record(latency);
    }

    pub fn failed(
        &mut self,
        times: &Times,
        sent_bytes: usize,
        problem: Problem,
        answer: Option<&Answer>,
    ) {
        if !self.ended(times) {
            return;
        }
        *self.errors.entry(problem).or_default() += 1;
        match answer {
            Some(answer) => self.answered(times, sent_bytes, answer),
            None => self.bytes_out += sent_bytes as u64,
        }
        self.second(times).errors += 1;
    }

    /// We hung up on purpose.
    pub fn aborted(&mut self, times: &Times, sent_bytes: usize) {
        if self.ended(times) {
            self.aborted += 1;
            self.bytes_out += sent_bytes as u64;
        }
    }

    pub fn connected(&mut self, now: Nanos, took: Nanos, tls: Option<bool>) {
        if now < self.window.from || now >= self.window.to {
            return;
        }
        self.connections += 1;
        self.connect.saturating_record(took);
        match tls {
            Some(true) => self.handshakes_resumed += 1,
            Some(false) => self.handshakes_full += 1,
            None => {}
        }
    }

    /// A gap between two receives that ended events.
    pub fn gap(&mut self, now: Nanos, gap: Nanos) {
        if self.window.from <= now && now < self.window.to {
            self.event_gap.saturating_record(gap);
        }
    }

    pub fn add(&mut self, other: &Tally) {
        const SAME: &str = "all histograms have the same bounds";
        self.latency.add(&other.latency).expect(SAME);
        self.service.add(&other.service).expect(SAME);
        self.lag.add(&other.lag).expect(SAME);
        self.first_byte.add(&other.first_byte).expect(SAME);
        self.event_gap.add(&other.event_gap).expect(SAME);
        self.connect.add(&other.connect).expect(SAME);
        self.ok += other.ok;
        self.aborted += other.aborted;
        self.starved += other.starved;
        self.bytes_in += other.bytes_in;
        self.body_bytes += other.body_bytes;
        self.bytes_out += other.bytes_out;
        self.events += other.events;
        self.connections += other.connections;
        self.handshakes_full += other.handshakes_full;
        self.handshakes_resumed += other.handshakes_resumed;
        self.ended_in_window += other.ended_in_window;
        self.unfinished += other.unfinished;
        self.last_end = self.last_end.max(other.last_end);
        for (problem, n) in &other.errors {
            *self.errors.entry(*problem).or_default() += n;
        }
        for (status, n) in &other.statuses {
            *self.statuses.entry(*status).or_default() += n;
        }
        while self.seconds.len() < other.seconds.len() {
            self.seconds.push(Second::new());
        }
        for (mine, theirs) in self.seconds.iter_mut().zip(&other.seconds) {
            mine.ok += theirs.ok;
            mine.errors += theirs.errors;
            mine.latency.add(&theirs.latency).expect(SAME);
        }
    }

    #[must_use]
    pub fn failures(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Common to every outcome; `false` when the request is outside the window.
    fn ended(&mut self, times: &Times) -> bool {
        self.last_end = self.last_end.max(times.ended);
        if self.window.from <= times.ended && times.ended < self.window.to {
            self.ended_in_window += 1;
        }
        if !self.window.holds(times) {
            return false;
        }
        if times.starved {
            self.starved += 1;
        } else if self.window.by_due {
            self.lag.saturating_record(times.sent - times.due);
        }
        true
    }

    fn answered(&mut self, times: &Times, sent_bytes: usize, answer: &Answer) {
        *self.statuses.entry(answer.status).or_default() += 1;
        self.bytes_out += sent_bytes as u64;
        self.bytes_in += answer.wire_bytes;
        self.body_bytes += answer.body_bytes;
        self.events += answer.events;
        if times.first_byte != 0 {
            self.first_byte.saturating_record(times.first_byte - times.sent);
        }
    }

    fn second(&mut self, times: &Times) -> &mut Second {
        let at = if self.window.by_due { times.due } else { times.ended };
        let index = usize::try_from((at - self.window.from) / SECOND).expect("a run is short");
        while self.seconds.len() <= index {
            self.seconds.push(Second::new());
        }
        &mut self.seconds[index]
    }
}

// === impl Second ===

impl Second {
    fn new() -> Second {
        let latency = Histogram::new_with_bounds(MICRO, 60 * SECOND, 2);
        Second { ok: 0, errors: 0, latency: latency.expect("1 us to 60 s are valid bounds") }
    }
}

/// 1 us to 60 s at three digits.
pub fn fine() -> Histogram<u64> {
    Histogram::new_with_bounds(MICRO, 60 * SECOND, 3).expect("1 us to 60 s are valid bounds")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::MILLI;

    const OPEN: Window = Window { from: SECOND, to: 3 * SECOND, by_due: true };

    fn times(due: Nanos, sent: Nanos, ended: Nanos) -> Times {
        Times { due, sent, ended, first_byte: ended, starved: false }
    }

    #[test]
    fn the_window_goes_by_the_due_time_in_an_open_loop() {
        let mut tally = Tally::new(OPEN);
        let answer = Answer { status: 200, ..Answer::default() };
        tally.succeeded(&times(SECOND - 1, SECOND, SECOND + 1), 10, &answer);
        assert_eq!((tally.ok, tally.ended_in_window), (0, 1));
        tally.succeeded(&times(SECOND, SECOND + 5, 4 * SECOND), 10, &answer);
        assert_eq!((tally.ok, tally.ended_in_window), (1, 1));
        assert_eq!(tally.bytes_out, 10);
        tally.failed(&times(2 * SECOND, 2 * SECOND, 2 * SECOND + 9), 10, Problem::Reset, None);
        assert_eq!((tally.failures(), tally.seconds[1].errors), (1, 1));
    }

    /// A server that stalls for a second: a request every 10 ms is due, one connection. The wait
    /// must show in the latency of all that were due meanwhile, and not in their service time.
    #[test]
    fn a_stall_shows_in_latency_and_not_in_service() {
        let mut tally = Tally::new(Window { from: 0, to: 3 * SECOND, by_due: true });
        let answer = Answer { status: 200, ..Answer::default() };
        let mut free_at = 0;
        for i in 0..300u64 {
            let due = i * 10 * MILLI;
            let sent = free_at.max(due);
            let took = if i == 100 { SECOND } else { MILLI };
            free_at = sent + took;
            let late = Times { starved: sent > due, ..times(due, sent, free_at) };
            tally.succeeded(&late, 0, &answer);
        }
        let share_above = |h: &Histogram<u64>| {
            h.iter_recorded().fold(0, |n, v| {
                n + if v.value_iterated_to() > 100 * MILLI {
                    v.count_since_last_iteration()
                } else {
                    0
                }
            })
        };
        assert_eq!(share_above(&tally.service), 1);
        assert!(
            (90..=110).contains(&share_above(&tally.latency)),
            "{}",
            share_above(&tally.latency)
        );
        assert_eq!(tally.lag.max(), 0, "the generator itself was never late");
        assert!(tally.starved > 90);
    }

    #[test]
    fn tallies_add_up() {
        let answer = Answer { status: 200, wire_bytes: 7, ..Answer::default() };
        let mut one = Tally::new(OPEN);
        one.succeeded(&times(SECOND, SECOND, SECOND + MILLI), 1, &answer);
        let mut two = Tally::new(OPEN);
        two.succeeded(&times(2 * SECOND, 2 * SECOND, 2 * SECOND + MILLI), 1, &answer);
        two.failed(&times(SECOND, SECOND, SECOND), 1, Problem::Status(503), Some(&answer));
        one.add(&two);
        assert_eq!((one.ok, one.failures(), one.latency.len(), one.bytes_in), (2, 1, 2, 21));
        assert_eq!(one.seconds.iter().map(|s| s.ok).sum::<u64>(), 2);
    }
}
