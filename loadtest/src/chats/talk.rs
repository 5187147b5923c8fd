//! One chat over one connection: send, read, judge, and hang up where that was drawn. Owns the
//! bytes of an exchange; when it begins is the worker's business.
//!
//! Invariant: a receive is never dropped. Whoever wants to end one shuts the socket down, and the
//! receive ends by itself.

use std::cell::Cell;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;

use monoio::net::TcpStream;

use super::Spec;
use super::ask::{Chat, Point};
use super::check::{Check, Told};
use super::score::{Abort, Phase};
use crate::clock::{self, Nanos};
use crate::run::response::{Progress, Reader};
use crate::run::tally::Problem;
use crate::sys;
use crate::transport::Transport;

const BUFFER: usize = 16 * 1024;

/// What the watcher of the thread sees of a connection.
pub struct Lease {
    fd: Cell<RawFd>,
    /// When it has taken too long, and when we hang up.
    deadline: Cell<Nanos>,
    hang_up: Cell<Nanos>,
    timed_out: Cell<bool>,
    /// CLOCK_MONOTONIC; 0: not yet.
    hung_up: Cell<Nanos>,
}

pub struct Line {
    pub lease: Rc<Lease>,
    transport: Option<Transport>,
    uses: u64,
    buf: Vec<u8>,
    reader: Reader,
}

/// What is told of an exchange.
pub struct Talk {
    pub sent: Nanos,
    pub end: End,
    pub words: u64,
    pub connected: bool,
}

pub enum End {
    Answered(Told),
    Aborted(Phase, Abort),
    /// The name of what went wrong.
    Failed(String),
}

/// Where the times of a stream go.
pub trait Times {
    fn first(&mut self, took: Nanos);
    fn gap(&mut self, took: Nanos);
    fn transit(&mut self, took: Nanos);
}

// === impl Lease ===

impl Lease {
    fn new() -> Lease {
        Lease {
            fd: Cell::new(-1),
            deadline: Cell::new(Nanos::MAX),
            hang_up: Cell::new(Nanos::MAX),
            timed_out: Cell::new(false),
            hung_up: Cell::new(0),
        }
    }

    /// Ends what is overdue, or due to be aborted.
    pub fn look(&self, now: Nanos) {
        if self.hang_up.get() <= now {
            self.hang_up();
        } else if self.deadline.get() <= now {
            self.timed_out.set(true);
            self.deadline.set(Nanos::MAX);
            sys::shutdown_both(self.fd.get());
        }
    }

    fn hang_up(&self) {
        if self.hung_up.get() == 0 && self.fd.get() >= 0 {
            self.hung_up.set(sys::monotonic());
            sys::shutdown_both(self.fd.get());
        }
        self.hang_up.set(Nanos::MAX);
    }

    fn rest(&self) {
        self.deadline.set(Nanos::MAX);
        self.hang_up.set(Nanos::MAX);
    }
}

// === impl Line ===

impl Line {
    pub fn new() -> Line {
        let lease = Rc::new(Lease::new());
        Line { lease, transport: None, uses: 0, buf: Vec::new(), reader: Reader::new() }
    }

    pub async fn talk(&mut self, spec: &Spec, mut chat: Chat, times: &mut impl Times) -> Talk {
        let bytes = std::mem::take(&mut chat.bytes);
        let sent = clock::now();
        let mut check = Check::new(chat.expected);
        self.lease.hung_up.set(0);
        self.lease.timed_out.set(false);
        self.lease.deadline.set(sent.saturating_add(spec.timeout));
        let mut connected = false;
        let ended = async {
            if self.transport.as_ref().is_none_or(Transport::has_ended) {
                self.connect(spec).await?;
                connected = true;
            }
            if let Some(Point::After(wait)) = chat.hangs_up {
                self.lease.hang_up.set(clock::now() + wait);
            }
            self.exchange(&chat, bytes, &mut check, sent, times).await
        };
        let ended = ended.await;
        self.lease.rest();
        let at = self.lease.hung_up.get();
        let end = if at > 0 {
            let phase = match chat.stream {
                false => Phase::Generating,
                true if self.reader.wire_bytes() == 0 => Phase::BeforeFirstByte,
                true => Phase::MidStream,
            };
            End::Aborted(phase, Abort { tag: chat.tag, at })
        } else if self.lease.timed_out.get() {
            End::Failed(Problem::Timeout.name())
        } else {
            match ended {
                Ok((told, keep)) => {
                    if !keep {
                        self.close();
                    }
                    return Talk {
                        sent,
                        end: End::Answered(told),
                        words: check.words(),
                        connected,
                    };
                }
                Err(name) => End::Failed(name),
            }
        };
        self.close();
        Talk { sent, end, words: check.words(), connected }
    }

    fn close(&mut self) {
        self.lease.fd.set(-1);
        self.transport = None;
        self.uses = 0;
    }

    async fn connect(&mut self, spec: &Spec) -> Result<(), String> {
        self.close();
        let limit = std::time::Duration::from_nanos(spec.timeout);
        let connecting = TcpStream::connect_addr(spec.address);
        // A connect may be given up: it takes no bytes from anybody.
        let stream = match monoio::time::timeout(limit, connecting).await {
            Ok(Ok(stream)) => stream,
            _ => return Err(Problem::Connect.name()),
        };
        let _ = stream.set_nodelay(true);
        self.lease.fd.set(stream.as_raw_fd());
        self.transport = Some(Transport::Plain(stream));
        Ok(())
    }

    /// What the answer cost, and whether the connection may be used again.
    async fn exchange(
        &mut self,
        chat: &Chat,
        bytes: Vec<u8>,
        check: &mut Check,
        sent: Nanos,
        times: &mut impl Times,
    ) -> Result<(Told, bool), String> {
        let transport = self.transport.as_mut().expect("connected");
        let reused = self.uses > 0;
        self.reader.begin(false);
        let _ = transport.write_all(bytes).await.0; // the read tells more
        let mut body = Vec::new();
        let mut last = sent;
        if self.buf.capacity() == 0 {
            self.buf.reserve_exact(BUFFER);
        }
        loop {
            self.buf.clear();
            let received = match transport.read(&mut self.buf).await {
                Ok(n) => n,
                Err(_) if reused && self.reader.wire_bytes() == 0 => {
                    return Err(Problem::Stale.name());
                }
                Err(_) => return Err(Problem::Reset.name()),
            };
            let progress = if received == 0 {
                let ended = self.reader.end_of_stream();
                ended.map_err(|fault| Problem::of(fault, reused).name())?;
                Progress::Done(0)
            } else {
                let fed = self.reader.feed(&self.buf, |piece| body.extend_from_slice(piece));
                fed.map_err(|fault| Problem::of(fault, reused).name())?
            };
            let status = self.reader.head().status;
            let is_stream = chat.stream && status == 200;
            if is_stream && !body.is_empty() {
                read_words(check, &body, &mut last, sent, times)?;
                body.clear();
                if matches!(chat.hangs_up, Some(Point::Words(n)) if check.words() >= n) {
                    self.lease.hang_up();
                    return Err("aborted".into());
                }
            }
            let Progress::Done(used) = progress else {
                continue;
            };
            if used < received {
                return Err(Problem::Excess.name());
            }
            self.uses += 1;
            let keep = received > 0 && self.reader.head().keep_alive;
            if status != 200 {
                // The connection is as good as before, but nothing here says so: it is closed.
                return Err(Problem::Status(status).name());
            }
            let told = if is_stream { check.end() } else { check.whole(&body) };
            return told.map(|told| (told, keep)).map_err(|flaw| flaw.name().to_owned());
        }
    }
}

fn read_words(
    check: &mut Check,
    body: &[u8],
    last: &mut Nanos,
    sent: Nanos,
    times: &mut impl Times,
) -> Result<(), String> {
    let (now, mut words, monotonic) = (clock::now(), check.words(), sys::monotonic());
    let fed = check.feed(body, |stamp| {
        if words == 0 {
            times.first(now - sent);
        } else {
            times.gap(now - *last);
        }
        words += 1;
        *last = now;
        if let Some(stamp) = stamp {
            times.transit(monotonic.saturating_sub(stamp));
        }
    });
    fed.map_err(|flaw| flaw.name().to_owned())
}
