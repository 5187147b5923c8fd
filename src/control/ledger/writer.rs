//! The ledger's thread: take, gather, commit; retry, complain, prune.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use crossbeam_channel::Receiver;

use super::db::{Pen, Usage};
use super::{Counts, Job};
use crate::bounds::{
    LEDGER_BATCH_MAX, LEDGER_PAUSE, LEDGER_PRUNE_PAUSE, LEDGER_QUEUE_BYTES, LEDGER_REPORT,
    LEDGER_RETRY,
};
use crate::clock::{self, Tick, Wall, nanos};
use crate::control::store::StoreError;
use crate::llm::Line;
use crate::observe::ring::Taker;

/// What the thread is told.
pub enum Command {
    /// Keep entries for so long.
    Keep(Option<Duration>),
    /// Write what there is, retrying until then at most, and end.
    Finish(Tick),
}

/// The thread's state.
pub struct Writer<'u> {
    pen: Pen<'u>,
    takers: Vec<Taker>,
    counts: Arc<Counts>,
    /// Reports of what is in memory.
    asked: Option<Receiver<Job>>,
    /// Entries one behind the other, the committed ones up to `done`.
    /// INVARIANT: `done <= queue.len()`, and an entry begins there unless they are equal.
    queue: Vec<u8>,
    done: usize,
    /// Nothing is written before.
    next_write: Tick,
    next_prune: Tick,
    keep: Option<Duration>,
    complaint: Complaint,
    /// It has been said that all this is forgotten when the process ends.
    said_memory: bool,
}

/// Says when an error is worth a line in the process' log.
#[derive(Default)]
struct Complaint {
    failing: bool,
    said_at: Option<Tick>,
    unsaid: u64,
}

// === impl Writer ===

impl<'u> Writer<'u> {
    pub fn new(
        usage: &'u Usage,
        takers: Vec<Taker>,
        counts: Arc<Counts>,
        asked: Option<Receiver<Job>>,
    ) -> Writer<'u> {
        Writer {
            pen: usage.pen(),
            takers,
            counts,
            asked,
            queue: Vec::new(),
            done: 0,
            next_write: Tick(0),
            next_prune: Tick(0),
            keep: None,
            complaint: Complaint::default(),
            said_memory: false,
        }
    }

    /// The thread's body; tells how many entries were lost at the end.
    pub fn run(&mut self, inbox: &Receiver<Command>) -> u64 {
        let mut finish_by = None;
        loop {
            while let Ok(command) = inbox.try_recv() {
                match command {
                    Command::Keep(keep) => self.keep = keep,
                    Command::Finish(by) => finish_by = Some(by),
                }
            }
            if let Some(job) = self.asked.as_ref().and_then(|asked| asked.try_recv().ok()) {
                // A bug in one report must not take the ledger with it.
                let conn = self.pen.usage().conn();
                let _ = catch_unwind(AssertUnwindSafe(|| job(Ok(conn))));
            }
            let now = clock::now();
            self.take();
            let is_due = now >= self.next_write || finish_by.is_some() && !self.complaint.failing;
            if is_due {
                self.write(now);
                self.prune(now);
            }
            let is_empty = self.done == self.queue.len() && self.takers.iter().all(Taker::is_empty);
            match finish_by {
                Some(_) if is_empty => return 0,
                Some(by) if now >= by => return self.abandon(),
                Some(_) if !self.complaint.failing => {}
                _ => thread::park_timeout(self.next_write.since(now).min(LEDGER_PAUSE)),
            }
        }
    }

    /// Takes what the rings hold, as far as the queue has room.
    fn take(&mut self) {
        if self.done > 0 {
            self.queue.drain(..self.done);
            self.done = 0;
        }
        for taker in &mut self.takers {
            taker.take(&mut self.queue, LEDGER_QUEUE_BYTES);
        }
        // So that a full queue is not always the first workers'.
        self.takers.rotate_left(1);
        self.counts.waiting_bytes.store(self.queue.len() as u64, Relaxed);
    }

    /// Writes all that is in the queue, batch by batch.
    fn write(&mut self, now: Tick) {
        self.next_write = now.after(LEDGER_PAUSE);
        while self.done < self.queue.len() {
            let (mut batch, bytes) = batch(&self.queue[self.done..]);
            if batch.is_empty() {
                // The rings give whole what was pushed whole: a bug, and nothing behind it can be
                // read.
                let bytes = self.queue.len() - self.done;
                tracing::error!(
                    bytes,
                    "the usage ledger cannot read its own entries: they are lost"
                );
                self.counts.errors.fetch_add(1, Relaxed);
                self.done = self.queue.len();
                return;
            }
            // Workers' entries come one worker after the other.
            batch.sort_by_key(|line| line.time);
            let (written, count) = (self.pen.write(&batch), batch.len() as u64);
            if let Err(error) = written {
                self.next_write = now.after(LEDGER_RETRY);
                self.complain(&error, now);
                return;
            }
            if !self.pen.usage().keeps() && !self.said_memory {
                self.said_memory = true;
                tracing::warn!(
                    "the usage ledger is in memory, bounded and gone with the process: set \
                     gateway.state_dir to keep it"
                );
            }
            self.done += bytes;
            self.counts.written.fetch_add(count, Relaxed);
            if self.complaint.recovered() {
                tracing::info!("the usage ledger is written again; nothing was lost");
            }
        }
        self.counts.waiting_bytes.store(0, Relaxed);
    }

    fn prune(&mut self, now: Tick) {
        if now < self.next_prune || self.complaint.failing {
            return;
        }
        self.next_prune = now.after(LEDGER_PRUNE_PAUSE);
        let keep = self.keep.map_or(u64::MAX, nanos);
        let oldest = Wall(clock::wall().0.saturating_sub(keep));
        match self.pen.prune(oldest) {
            // More at the next turn, and entries that have come meanwhile first.
            Ok(true) => self.next_prune = now,
            Ok(false) => {}
            Err(error) => {
                self.counts.errors.fetch_add(1, Relaxed);
                tracing::warn!(%error, "old entries of the usage ledger stay for now");
            }
        }
    }

    fn complain(&mut self, error: &StoreError, now: Tick) {
        self.counts.errors.fetch_add(1, Relaxed);
        let waiting_bytes = self.queue.len() - self.done;
        if let Some(times) = self.complaint.due(now) {
            tracing::error!(
                %error,
                times,
                waiting_bytes,
                "cannot write the usage ledger; entries wait, and when there is no room left for \
                 them requests to models are refused (503)"
            );
        }
    }

    /// Counts the entries that nobody will write.
    fn abandon(&mut self) -> u64 {
        let mut lost = 0;
        loop {
            while self.done < self.queue.len() {
                let (batch, bytes) = batch(&self.queue[self.done..]);
                lost += batch.len().max(1) as u64;
                self.done += bytes.max(1);
            }
            self.done = self.queue.len();
            self.take();
            if self.queue.is_empty() {
                return lost;
            }
        }
    }
}

/// The entries at the front, and how many bytes they are.
fn batch(bytes: &[u8]) -> (Vec<Line<'_>>, usize) {
    let (mut rest, mut batch) = (bytes, Vec::new());
    while batch.len() < LEDGER_BATCH_MAX
        && let Ok((line, behind)) = Line::decode(rest)
    {
        batch.push(line);
        rest = behind;
    }
    (batch, bytes.len() - rest.len())
}

// === impl Complaint ===

impl Complaint {
    /// Takes note of an error; how many there were since the last that was said, if it is time.
    fn due(&mut self, now: Tick) -> Option<u64> {
        self.failing = true;
        self.unsaid += 1;
        if self.said_at.is_some_and(|at| now.since(at) < LEDGER_REPORT) {
            return None;
        }
        self.said_at = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }

    /// Whether there was an error before this success.
    fn recovered(&mut self) -> bool {
        std::mem::take(&mut self.failing)
    }
}
