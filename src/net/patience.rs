//! How long to wait for a socket, and for whose sake: every read and write of an exchange goes
//! through a [`Patience`].
//!
//! When patience ends (a deadline, or the client has gone) the socket is shut down and the
//! operation awaited, so no buffer is left with the kernel and no byte is lost. A write that makes
//! progress is not late. Watching the client costs a poll, so it begins only when a wait exceeds
//! [`WATCH_AFTER`].

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

pub use monoio::io::Canceller;

use super::buffer::Buf;
use super::deadline::{self, Timer};
use super::h2::Outgoing;
use super::stream::{Stream, Switch, is_cancelled};
use crate::clock::{self, COARSE_LAG, Tick};

/// Short exchanges never pay for watching their client. By the coarse clock, whose ticks are 4 ms:
/// it may be at once.
pub const WATCH_AFTER: Duration = Duration::from_millis(2);
/// Nor do those that wait for their turn on a busy worker: there it is 2 ms at least by that clock,
/// and so many of the worker's lags come on top.
const WATCH_AFTER_BUSY: Duration = Duration::from_millis(6);
const WATCH_AFTER_LAGS: u32 = 4;
/// A worker that lags less is not busy.
const LAG_IDLE: Duration = Duration::from_millis(1);
/// How often a client is looked at that has sent ahead (pipelining): its socket is always readable.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Why a wait ended without what it waited for.
#[derive(Debug)]
pub enum Ended {
    /// The socket said so.
    Io(io::Error),
    /// The deadline passed.
    Deadline,
    /// The client whose exchange this is has gone.
    ClientGone,
}

/// How long to wait, and for whom.
#[derive(Clone, Copy)]
pub struct Patience<'a> {
    /// The timer of whoever waits: one wait at a time.
    pub timer: &'a Timer,
    /// The longest wait without progress.
    pub idle: Duration,
    /// No wait goes past this.
    pub until: Tick,
    /// The client to watch meanwhile.
    pub client: Option<&'a ClientWatch>,
}

/// What came of waiting for a connection's next bytes.
pub enum Arrival {
    /// Bytes, in this buffer.
    Bytes(Buf),
    /// The peer has finished, or the connection is broken.
    End,
    /// The timer fired first.
    Timer,
}

/// Waits a moment for the next bytes with a buffer ready: a busy connection's next request costs
/// one operation instead of two. When the timer fires the buffer is taken back, and nothing is
/// lost. What can take it back stays in `takes_back` for the next wait, unless it was used.
pub async fn arrival(
    stream: &Stream,
    timer: &Timer,
    takes_back: &mut Option<Canceller>,
) -> Arrival {
    let handle = takes_back.get_or_insert_default().handle();
    let mut reading = std::pin::pin!(stream.read_unless(Buf::small(), handle));
    let (read, buf) = std::future::poll_fn(|cx| {
        if let Poll::Ready(done) = reading.as_mut().poll(cx) {
            return Poll::Ready(done);
        }
        if takes_back.is_some() && timer.poll_fired(cx).is_ready() {
            drop(takes_back.take().map(Canceller::cancel));
        }
        Poll::Pending
    })
    .await;
    match read {
        Ok(n) if n > 0 => Arrival::Bytes(buf),
        Err(error) if takes_back.is_none() && is_cancelled(&error) => Arrival::Timer,
        _ => Arrival::End,
    }
}

/// Notices that a client has gone while nobody reads from it.
pub struct ClientWatch {
    sight: Sight,
    timer: Timer,
    /// Somebody else reads from the client, and notices by himself.
    hushed: Cell<bool>,
    /// A pending poll outlives the wait it was armed for.
    stays: Cell<bool>,
    state: RefCell<Watching>,
}

/// How it is seen that a client has gone.
enum Sight {
    /// By its socket. A FIN counts as gone, or not.
    Socket { client: Rc<Stream>, half_close_counts: bool },
    /// By its stream on an HTTP/2 connection, which costs nothing.
    Stream(Rc<Outgoing>),
}

enum Watching {
    /// Hushed, or nobody waits.
    Off,
    /// The timer runs; then the poll is armed.
    Soon,
    /// A poll is pending on the client's socket, from then on.
    Armed(Pin<Box<dyn Future<Output = io::Result<()>>>>),
}

// === impl Patience ===

impl Patience<'_> {
    /// The same, but no wait is longer than `idle`.
    #[must_use]
    pub fn with_idle(self, idle: Duration) -> Self {
        Self { idle, ..self }
    }

    /// Reads from `stream`, appending to `buf`.
    pub async fn read(&self, stream: &Stream, buf: Buf) -> (Result<usize, Ended>, Buf) {
        let work = std::pin::pin!(stream.read(buf));
        // What is late can still be told why: writing goes on.
        let ((read, buf), ended) = self.guard_until(stream, work, Switch::stop_reading).await;
        (ended.map_or_else(|| read.map_err(Ended::Io), Err), buf)
    }

    /// Waits, without a buffer, until there is something to read from `stream`, or something wrong
    /// with it, which the read will say.
    ///
    /// # Errors
    /// The deadline passed, or the client has gone.
    pub async fn readable(&self, stream: &Stream) -> Result<(), Ended> {
        let work = std::pin::pin!(stream.readable());
        let (_, ended) = self.guard(stream, work).await;
        ended.map_or(Ok(()), Err)
    }

    /// Writes all of `buf` to `stream`.
    ///
    /// # Errors
    /// How it ended; some of the bytes may have been sent.
    pub async fn write(&self, stream: &Stream, buf: Buf) -> Result<(), Ended> {
        let work = std::pin::pin!(stream.write_all(buf));
        let ((written, _), ended) = self.guard(stream, work).await;
        ended.map_or_else(|| written.map_err(Ended::Io), Err)
    }

    /// Awaits any work on `stream`'s socket. Pinned by the caller, so that it is not stored twice.
    pub async fn guard<F: Future>(
        &self,
        stream: &Stream,
        work: Pin<&mut F>,
    ) -> (F::Output, Option<Ended>) {
        self.guard_until(stream, work, Switch::abort).await
    }

    /// The same; `end` makes the work complete when the deadline has passed.
    async fn guard_until<F: Future>(
        &self,
        stream: &Stream,
        mut work: Pin<&mut F>,
        end: impl Fn(Switch),
    ) -> (F::Output, Option<Ended>) {
        let mut ended = None;
        let mut seen = stream.progress();
        // Most operations complete in this very turn: look before the clock is read.
        let mut armed = false;
        let out = std::future::poll_fn(|cx| {
            if let Poll::Ready(out) = work.as_mut().poll(cx) {
                return Poll::Ready(out);
            }
            if !armed {
                armed = true;
                self.arm(clock::coarse());
            }
            if ended.is_none() && self.timer.poll_fired(cx).is_ready() {
                let now = clock::now();
                if stream.progress() != seen && now < self.until {
                    seen = stream.progress();
                    self.arm(now);
                    let _ = self.timer.poll_fired(cx);
                } else {
                    end(stream.switch());
                    ended = Some(Ended::Deadline);
                }
            }
            if ended.is_none() && self.client.is_some_and(|client| client.poll_gone(cx).is_ready())
            {
                stream.switch().abort();
                ended = Some(Ended::ClientGone);
            }
            Poll::Pending
        })
        .await;
        if armed {
            self.timer.arm(Tick::NEVER);
            if let Some(client) = self.client {
                client.rest();
            }
        }
        (out, ended)
    }

    /// Awaits work that may be dropped at any time; its every step is progress.
    ///
    /// # Errors
    /// The deadline passed, or the client has gone.
    pub async fn wait<F: Future>(&self, work: F) -> Result<F::Output, Ended> {
        let mut work = std::pin::pin!(work);
        let mut armed = false;
        let out = std::future::poll_fn(|cx| {
            if let Poll::Ready(out) = work.as_mut().poll(cx) {
                return Poll::Ready(Ok(out));
            }
            if !armed {
                armed = true;
                self.arm(clock::coarse());
            }
            if self.timer.poll_fired(cx).is_ready() {
                return Poll::Ready(Err(Ended::Deadline));
            }
            match self.client.map(|client| client.poll_gone(cx)) {
                Some(Poll::Ready(())) => Poll::Ready(Err(Ended::ClientGone)),
                _ => Poll::Pending,
            }
        })
        .await;
        if armed {
            self.timer.arm(Tick::NEVER);
            if let Some(client) = self.client {
                client.rest();
            }
        }
        out
    }

    fn arm(&self, now: Tick) {
        // The coarse clock lags: what it lags is added, so that no deadline comes early.
        self.timer.arm(now.after(self.idle).after(COARSE_LAG).min(self.until));
        if let Some(client) = self.client {
            client.begin(now);
        }
    }
}

/// How long a worker that lags so much lets an exchange wait before it watches its client.
fn watch_after(lag: Duration) -> Duration {
    if lag < LAG_IDLE { WATCH_AFTER } else { WATCH_AFTER_BUSY + WATCH_AFTER_LAGS * lag }
}

// === impl ClientWatch ===

impl ClientWatch {
    /// Watches `client`; a FIN counts as gone unless the listener lets clients half-close.
    #[must_use]
    pub fn new(client: &Rc<Stream>, half_close_counts: bool) -> Self {
        Self::by(Sight::Socket { client: client.clone(), half_close_counts })
    }

    /// Watches the client whose answer is `outgoing`.
    #[must_use]
    pub fn of_stream(outgoing: &Rc<Outgoing>) -> Self {
        Self::by(Sight::Stream(outgoing.clone()))
    }

    fn by(sight: Sight) -> Self {
        let state = RefCell::new(Watching::Off);
        let (hushed, stays) = (Cell::new(false), Cell::new(false));
        Self { sight, timer: Timer::new(), hushed, stays, state }
    }

    /// Stops watching: the client is being read from.
    pub fn hush(&self) {
        self.hushed.set(true);
        self.stays.set(false);
        self.rest();
    }

    /// From here on the exchange only waits and writes, many times over: a poll that is pending on
    /// the client stays so from wait to wait. Arming it anew each time costs two operations.
    pub fn stays(&self) {
        self.stays.set(true);
    }

    /// Watches again; a wait that is under way is joined.
    pub fn rouse(&self) {
        self.hushed.set(false);
        self.begin(clock::now());
    }

    /// Whether the client has gone by now.
    #[must_use]
    pub fn has_gone(&self) -> bool {
        match &self.sight {
            Sight::Socket { client, half_close_counts } => client.peer_has_left(*half_close_counts),
            Sight::Stream(outgoing) => outgoing.is_gone(),
        }
    }

    fn begin(&self, now: Tick) {
        if matches!(self.sight, Sight::Stream(_)) {
            return;
        }
        let mut state = self.state.borrow_mut();
        if matches!(*state, Watching::Off) && !self.hushed.get() {
            *state = Watching::Soon;
            self.timer.arm(now.after(watch_after(deadline::lag())));
        }
    }

    fn rest(&self) {
        let mut state = self.state.borrow_mut();
        if !(self.stays.get() && matches!(*state, Watching::Armed(_))) {
            *state = Watching::Off;
            self.timer.arm(Tick::NEVER);
        }
    }

    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let client = match &self.sight {
            Sight::Socket { client, .. } => client,
            Sight::Stream(outgoing) => return outgoing.poll_gone(cx),
        };
        let mut state = self.state.borrow_mut();
        if matches!(*state, Watching::Soon) {
            if self.timer.poll_fired(cx).is_pending() {
                return Poll::Pending;
            }
            let client = client.clone();
            *state = Watching::Armed(Box::pin(async move { client.readable().await }));
        }
        let Watching::Armed(poll) = &mut *state else { return Poll::Pending };
        if poll.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        if self.has_gone() {
            *state = Watching::Off;
            return Poll::Ready(());
        }
        // Bytes sent ahead, or a FIN that does not count: the poll would fire for ever.
        *state = Watching::Soon;
        self.timer.arm(clock::now().after(LOOK_AGAIN));
        let _ = self.timer.poll_fired(cx);
        Poll::Pending
    }
}
