//! The log writer: one thread that takes the lines out of all workers' rings and writes them.
//!
//! Owns the file, its reopening, and what happens when it cannot be written: what was taken is
//! kept and tried again, the rings fill, workers drop and count lines, and a warning comes now and
//! then; nothing else stops. Knows no field of a line. The thread sleeps between passes, so that a
//! busy host pays one write(2) for many lines; a worker whose ring is half full wakes it, also from
//! a sleep that has not begun. No line waits longer than `LOG_PARK_MS` and the write before it.
//! Invariant: a line is written whole and once; only a reopening after a torn write repeats the
//! torn line, from its beginning, in the new file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};

use crate::bounds::{
    LOG_BATCH_BYTES, LOG_FULL_PIPE_MS, LOG_LINE_BYTES_MAX, LOG_PARK_MS, LOG_REPORT_MS,
    LOG_RETRY_MS, LOG_RING_BYTES,
};
use crate::clock::{self, Tick};
use crate::observe::access_log::WorkerLog;
use crate::observe::registry::Registry;
use crate::observe::ring::{Taker, ring};

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    File(PathBuf),
    Stdout,
}

/// The running log writer.
pub struct LogSink {
    commands: Sender<Command>,
    thread: JoinHandle<()>,
    /// Tells how many lines were lost when the thread ends.
    ended: Receiver<u64>,
}

/// Why `LogSink::finish` did not write all lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// A write did not return: the reader of stdout stands still.
    Blocked,
    /// The log writer panicked.
    Died,
    /// The target could not be written; so many lines were lost.
    Lost(u64),
}

enum Command {
    /// Open the target anew, or another; tell when done.
    Reopen(Option<Target>, Sender<io::Result<()>>),
    /// Write what there is, retrying until then at most, and end.
    Finish(Tick),
}

/// What lines are written to.
trait Place: Send + 'static {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    fn reopen(&mut self, target: Option<Target>) -> io::Result<()>;
}

/// An open target.
struct Open {
    target: Target,
    file: File,
}

/// The thread's state.
struct Writer<P> {
    place: P,
    takers: Vec<Taker>,
    registry: Arc<Registry>,
    batch: Vec<u8>,
    /// INVARIANT: `written <= batch.len()`.
    written: usize,
    retry_at: Tick,
    complaint: Complaint,
}

/// What there is to do after a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    /// All that the rings held is written; what has come since can wait.
    Drained,
    /// The rings may hold what has waited already.
    More,
    /// The place takes nothing before `retry_at`.
    Stuck,
}

/// Says when an error is worth a line in the process' own log.
#[derive(Default)]
struct Complaint {
    said_at: Option<Tick>,
    unsaid: u64,
    failing: bool,
}

// === impl LogSink ===

impl LogSink {
    /// Opens the target and starts the thread; gives a log for each of `workers` workers, in order.
    pub fn start(
        target: Target,
        workers: u16,
        registry: Arc<Registry>,
    ) -> io::Result<(LogSink, Vec<WorkerLog>)> {
        LogSink::start_at(Open::new(target)?, workers, registry)
    }

    /// Opens the target anew: after the old file was moved away, or because a reload names another.
    /// The answer tells when it is done; on an error the old one stays.
    pub fn reopen(&self, target: Option<Target>) -> Receiver<io::Result<()>> {
        let (done, answer) = bounded(1);
        self.command(Command::Reopen(target, done));
        answer
    }

    /// Writes all that the rings hold and ends the thread. To be called when the workers have
    /// stopped; gives up after `patience`.
    pub fn finish(self, patience: Duration) -> Result<(), Unfinished> {
        // Retries end at half of it, which leaves the other half to a write that is slow.
        self.command(Command::Finish(clock::now().after(patience / 2)));
        match self.ended.recv_timeout(patience) {
            Ok(0) => Ok(()),
            Ok(lines) => Err(Unfinished::Lost(lines)),
            Err(RecvTimeoutError::Timeout) => Err(Unfinished::Blocked),
            Err(RecvTimeoutError::Disconnected) => Err(Unfinished::Died),
        }
    }

    fn start_at(
        place: impl Place,
        workers: u16,
        registry: Arc<Registry>,
    ) -> io::Result<(LogSink, Vec<WorkerLog>)> {
        let (pushers, takers): (Vec<_>, Vec<_>) =
            (0..workers).map(|_| ring(LOG_RING_BYTES)).unzip();
        let (commands, inbox) = unbounded();
        let (end, ended) = bounded(1);
        let mut writer = Writer::new(place, takers, registry);
        let thread = thread::Builder::new().name("log".into()).spawn(move || {
            let lost = writer.run(&inbox);
            // Nobody listens if `finish` has given up.
            let _ = end.send(lost);
        })?;
        let wake = |thread: Thread| Box::new(move || thread.unpark());
        let logs = pushers
            .into_iter()
            .map(|pusher| WorkerLog::new(pusher, wake(thread.thread().clone())))
            .collect();
        Ok((LogSink { commands, thread, ended }, logs))
    }

    fn command(&self, command: Command) {
        // If the thread has died, `finish` says so.
        let _ = self.commands.send(command);
        self.thread.thread().unpark();
    }
}

// === impl Unfinished ===

impl std::fmt::Display for Unfinished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unfinished::Blocked => f.write_str("access log: a write does not return"),
            Unfinished::Died => f.write_str("access log: the writer panicked"),
            Unfinished::Lost(lines) => write!(f, "access log: {lines} lines could not be written"),
        }
    }
}

impl std::error::Error for Unfinished {}

// === impl Open ===

impl Open {
    fn new(target: Target) -> io::Result<Open> {
        let file = match &target {
            // Appending makes one write(2) one piece also while an old process still writes.
            // A log tells who asked for what: not everybody's to read.
            Target::File(path) => {
                OpenOptions::new().append(true).create(true).mode(0o640).open(path)?
            }
            Target::Stdout => File::from(io::stdout().as_fd().try_clone_to_owned()?),
        };
        Ok(Open { target, file })
    }
}

impl Place for Open {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn reopen(&mut self, target: Option<Target>) -> io::Result<()> {
        *self = Open::new(target.unwrap_or_else(|| self.target.clone()))?;
        Ok(())
    }
}

// === impl Writer ===

impl<P: Place> Writer<P> {
    fn new(place: P, takers: Vec<Taker>, registry: Arc<Registry>) -> Writer<P> {
        Writer {
            place,
            takers,
            registry,
            batch: Vec::with_capacity(LOG_BATCH_BYTES),
            written: 0,
            retry_at: Tick(0),
            complaint: Complaint::default(),
        }
    }

    /// The thread's body; tells how many lines were lost at the end.
    fn run(&mut self, inbox: &Receiver<Command>) -> u64 {
        let mut finish_by = None;
        loop {
            while let Ok(command) = inbox.try_recv() {
                match command {
                    Command::Finish(by) => finish_by = Some(by),
                    // Nobody need wait for the answer.
                    Command::Reopen(target, done) => drop(done.send(self.reopen(target))),
                }
            }
            let now = clock::now();
            let pass = self.pass(now);
            match (pass, finish_by) {
                (Pass::Drained, Some(_)) if self.is_empty() => return 0,
                (Pass::More, _) | (Pass::Drained, Some(_)) => {}
                (Pass::Stuck, Some(by)) if now >= by => return self.abandon(),
                (Pass::Stuck, _) => thread::park_timeout(self.retry_at.since(now)),
                (Pass::Drained, None) => thread::park_timeout(Duration::from_millis(LOG_PARK_MS)),
            }
        }
    }

    /// Takes what the rings hold, as far as it fits, and writes it.
    fn pass(&mut self, now: Tick) -> Pass {
        // What stands in the batch from before has kept the rings waiting.
        let has_all = self.written == self.batch.len() && self.collect();
        if self.batch.is_empty() {
            return Pass::Drained;
        }
        if now < self.retry_at {
            return Pass::Stuck;
        }
        match self.write_batch() {
            Ok(()) if has_all || self.is_empty() => Pass::Drained,
            Ok(()) => Pass::More,
            Err(error) => {
                // A non-blocking stdout that is full is slow, not broken.
                let full_pipe = error.kind() == io::ErrorKind::WouldBlock;
                let pause_ms = if full_pipe { LOG_FULL_PIPE_MS } else { LOG_RETRY_MS };
                self.retry_at = now.after(Duration::from_millis(pause_ms));
                if !full_pipe {
                    self.complain(&error, now);
                }
                Pass::Stuck
            }
        }
    }

    /// Takes a batch; whether that is all there was.
    fn collect(&mut self) -> bool {
        self.batch.clear();
        self.written = 0;
        for taker in &mut self.takers {
            taker.take(&mut self.batch, LOG_BATCH_BYTES);
        }
        // So that a full batch is not always the first workers'.
        self.takers.rotate_left(1);
        self.batch.len() + LOG_LINE_BYTES_MAX <= LOG_BATCH_BYTES
    }

    /// Whether the rings are.
    fn is_empty(&self) -> bool {
        self.takers.iter().all(Taker::is_empty)
    }

    fn write_batch(&mut self) -> io::Result<()> {
        while self.written < self.batch.len() {
            match self.place.write(&self.batch[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.written += n;
                    self.registry.control().log_written(n as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.complaint.recovered() {
            tracing::info!("access log: written again");
        }
        Ok(())
    }

    fn reopen(&mut self, target: Option<Target>) -> io::Result<()> {
        // What was taken before belongs to the old file, if it takes it: an error stays in the
        // batch.
        let now = clock::now();
        if let Err(error) = self.write_batch() {
            self.complain(&error, now);
        }
        if let Err(error) = self.place.reopen(target) {
            self.registry.control().log_write_failed();
            tracing::warn!(%error, "access log: cannot reopen; the old file stays");
            return Err(error);
        }
        self.rewind_to_line();
        self.retry_at = now;
        Ok(())
    }

    /// Goes back to the beginning of a line that was torn.
    fn rewind_to_line(&mut self) {
        let line = self.batch[..self.written].iter().rposition(|byte| *byte == b'\n');
        self.written = line.map_or(0, |newline| newline + 1);
    }

    fn complain(&mut self, error: &io::Error, now: Tick) {
        self.registry.control().log_write_failed();
        if let Some(times) = self.complaint.due(now) {
            tracing::warn!(%error, times, "access log: cannot write; lines wait, then are dropped");
        }
    }

    /// Counts the lines that nobody will write.
    fn abandon(&mut self) -> u64 {
        let mut lost = 0;
        loop {
            let rest = &self.batch[self.written..];
            lost += rest.iter().filter(|byte| **byte == b'\n').count() as u64;
            self.collect();
            if self.batch.is_empty() {
                return lost;
            }
        }
    }
}

// === impl Complaint ===

impl Complaint {
    /// Takes note of an error; how many there were since the last that was said, if it is time.
    fn due(&mut self, now: Tick) -> Option<u64> {
        self.failing = true;
        self.unsaid += 1;
        let pause = Duration::from_millis(LOG_REPORT_MS);
        if self.said_at.is_some_and(|at| now.since(at) < pause) {
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

#[cfg(test)]
mod tests;
