//! One connection of the generator: connect, send a request, read the answer. Owns the bytes of
//! one exchange; who asks for it and when is the worker's business.
//!
//! Invariant: a receive is never dropped. A request that takes too long, or that is to be aborted,
//! has its socket shut down by somebody else, and the receive ends by itself.

use std::cell::Cell;
use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::Arc;

use monoio::net::TcpStream;

use super::Spec;
use super::request::{Rendered, Template};
use super::response::{Progress, Reader};
use super::sse::Events;
use super::tally::{Answer, Problem};
use crate::clock::{self, Nanos};
use crate::dice::Dice;
use crate::transport::{TlsStream, Transport};

const BUFFER: usize = 16 * 1024;
const BUFFER_MAX: usize = 256 * 1024;

/// Why a connection was shut down under its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    No,
    TimedOut,
    Aborted,
}

/// What others of the same thread may see and touch of a connection.
pub struct Lease {
    /// When the current exchange has taken too long.
    pub deadline: Cell<Nanos>,
    /// Tells exchanges apart, for whoever wants to cut exactly one.
    pub exchange: Cell<u64>,
    cut: Cell<Cut>,
    /// -1 while there is no socket.
    fd: Cell<RawFd>,
}

pub struct Line {
    pub lease: Rc<Lease>,
    pub(super) spec: Arc<Spec>,
    pub(super) transport: Option<Transport>,
    /// Exchanges completed on the current connection.
    pub(super) uses: u64,
    pub(super) buf: Vec<u8>,
    reader: Reader,
    /// For WebSocket's keys.
    pub(super) dice: Dice,
}

/// How an exchange ended.
pub enum Outcome {
    Answered(Answer),
    Failed(Problem),
    Aborted,
}

/// A connection made: when, how long it took, and for TLS whether it resumed.
pub struct Made {
    pub at: Nanos,
    pub took: Nanos,
    pub tls: Option<bool>,
}

/// Everything a caller learns of an exchange.
pub struct Report {
    pub outcome: Outcome,
    pub sent: Nanos,
    pub first_byte: Nanos,
    pub sent_bytes: usize,
    pub made: Option<Made>,
}

// === impl Lease ===

impl Lease {
    fn new() -> Lease {
        Lease {
            deadline: Cell::new(Nanos::MAX),
            exchange: Cell::new(0),
            cut: Cell::new(Cut::No),
            fd: Cell::new(-1),
        }
    }

    /// Shuts the socket down, so that whatever its owner waits for ends now.
    pub fn cut(&self, why: Cut) {
        if self.fd.get() >= 0 && self.cut.get() == Cut::No {
            self.cut.set(why);
            crate::sys::shutdown_both(self.fd.get());
        }
        self.deadline.set(Nanos::MAX);
    }
}

// === impl Line ===

impl Line {
    pub fn new(spec: Arc<Spec>) -> Line {
        let lease = Rc::new(Lease::new());
        let dice = Dice::new(spec.seed ^ clock::now());
        let (buf, reader) = (Vec::new(), Reader::new());
        Line { lease, spec, transport: None, uses: 0, buf, reader, dice }
    }

    /// Sends one request and reads its answer, connecting first where needed. Gaps between
    /// events go to `gap`.
    pub async fn exchange(
        &mut self,
        template: &Template,
        bytes: Rendered,
        gap: impl FnMut(Nanos, Nanos),
    ) -> Report {
        let sent = clock::now();
        self.lease.exchange.set(self.lease.exchange.get() + 1);
        self.lease.deadline.set(sent.saturating_add(self.spec.timeout));
        let mut report =
            Report { outcome: Outcome::Aborted, sent, first_byte: 0, sent_bytes: 0, made: None };
        let result = match self.ready(&mut report).await {
            Ok(()) if self.spec.upgrade.is_some() => self.echo(bytes, &mut report).await,
            Ok(()) => self.talk(template, bytes, &mut report, gap).await,
            Err(problem) => Err(problem),
        };
        self.lease.deadline.set(Nanos::MAX);
        let keep = matches!(result, Ok((_, true)));
        report.outcome = match (result, self.lease.cut.get()) {
            (_, Cut::Aborted) => Outcome::Aborted,
            // Even when an answer came of it: our own shutdown ends a body that closing ends.
            (_, Cut::TimedOut) => Outcome::Failed(Problem::Timeout),
            (Ok((answer, _)), Cut::No) => Outcome::Answered(answer),
            (Err(problem), Cut::No) => Outcome::Failed(problem),
        };
        if !keep || self.lease.cut.get() != Cut::No {
            self.close();
        }
        report
    }

    pub fn close(&mut self) {
        self.lease.fd.set(-1);
        self.lease.cut.set(Cut::No);
        self.transport = None;
        self.uses = 0;
    }

    /// Gives the connection just made to somebody else; whether it was cut meanwhile.
    pub fn release(&mut self) -> (Option<Transport>, bool) {
        self.lease.deadline.set(Nanos::MAX);
        let timed_out = self.lease.cut.get() == Cut::TimedOut;
        let transport = self.transport.take();
        self.close();
        (transport, timed_out)
    }

    /// From now on a connection that was released may be cut, once this long has passed.
    pub fn guard(&self, transport: &Transport, timeout: Nanos) {
        self.lease.fd.set(transport.raw_fd());
        self.lease.deadline.set(clock::now().saturating_add(timeout));
    }

    /// Whether it was.
    pub fn unguard(&self) -> bool {
        self.lease.fd.set(-1);
        self.lease.deadline.set(Nanos::MAX);
        self.lease.cut.replace(Cut::No) == Cut::TimedOut
    }

    /// Whether the connection stands and the peer has not ended it. For idle connections.
    pub fn is_alive(&self) -> bool {
        self.transport.as_ref().is_some_and(|transport| !transport.has_ended())
    }

    /// Connects (and shakes hands) unless there is a connection.
    async fn ready(&mut self, report: &mut Report) -> Result<(), Problem> {
        if self.transport.is_none() {
            report.made = Some(self.open().await?);
        }
        Ok(())
    }

    /// A connection, and for WebSocket a tunnel through it.
    pub async fn open(&mut self) -> Result<Made, Problem> {
        let mut made = self.connect().await?;
        let spec = Arc::clone(&self.spec);
        if let Some(request) = &spec.upgrade {
            self.upgrade(request).await?;
            let now = clock::now();
            (made.at, made.took) = (now, made.took + now - made.at);
        }
        Ok(made)
    }

    pub async fn connect(&mut self) -> Result<Made, Problem> {
        let begun = clock::now();
        let limit = std::time::Duration::from_nanos(self.spec.timeout);
        // A connect may be given up: it takes no bytes from anybody.
        let connecting = TcpStream::connect_addr(self.spec.address);
        let stream = match monoio::time::timeout(limit, connecting).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(_)) => return Err(Problem::Connect),
            Err(_) => return Err(Problem::Timeout),
        };
        let _ = stream.set_nodelay(true);
        let Some((config, name)) = &self.spec.tls else {
            self.transport = Some(Transport::Plain(stream));
            return Ok(self.made(begun, None));
        };
        let session = rustls::ClientConnection::new(Arc::clone(config), name.clone())
            .map_err(|_| Problem::Handshake)?;
        self.lease.fd.set(std::os::fd::AsRawFd::as_raw_fd(&stream));
        let shaken = TlsStream::handshake(stream, session.into()).await;
        self.lease.fd.set(-1);
        let transport = Transport::Tls(Box::new(shaken.map_err(|_| Problem::Handshake)?));
        let resumed = transport.resumed();
        self.transport = Some(transport);
        Ok(self.made(begun, Some(resumed)))
    }

    fn made(&mut self, begun: Nanos, tls: Option<bool>) -> Made {
        self.lease.fd.set(self.transport.as_ref().map_or(-1, Transport::raw_fd));
        self.uses = 0;
        let at = clock::now();
        Made { at, took: at - begun, tls }
    }

    /// The answer, and whether the connection may be used again.
    async fn talk(
        &mut self,
        template: &Template,
        bytes: Rendered,
        report: &mut Report,
        mut gap: impl FnMut(Nanos, Nanos),
    ) -> Result<(Answer, bool), Problem> {
        let transport = self.transport.as_mut().expect("ready() made a connection");
        self.reader.begin(template.is_head);
        report.sent_bytes = bytes.len();
        let written = match bytes {
            Rendered::Fixed(bytes) => transport.write_all(bytes).await.0,
            Rendered::Once(bytes) => transport.write_all(bytes).await.0,
        };
        // A peer may answer and close before it has read the whole body (a 413, say), so a failed
        // send is only the verdict when no answer can be read either.
        let reused = self.uses > 0;
        let mut events = Events::default();
        let mut answer = Answer::default();
        let mut last_event = report.sent;
        if self.buf.capacity() == 0 {
            self.buf.reserve_exact(BUFFER);
        }
        loop {
            self.buf.clear();
            let received = match transport.read(&mut self.buf).await {
                Ok(n) => n,
                Err(e) => return Err(broken(&e, reused, self.reader.wire_bytes())),
            };
            if report.first_byte == 0 {
                report.first_byte = clock::now();
            }
            if received == 0 {
                if written.is_err() && self.reader.wire_bytes() == 0 {
                    return Err(if reused { Problem::Stale } else { Problem::Reset });
                }
                self.reader.end_of_stream().map_err(|fault| Problem::of(fault, reused))?;
                return Ok((self.answer(answer), false));
            }
            let before = answer.events;
            let sse = self.spec.sse;
            let progress = self.reader.feed(&self.buf, |piece| {
                if sse {
                    answer.events += events.feed(piece);
                }
            });
            if answer.events > before {
                let now = clock::now();
                if before > 0 {
                    gap(now, now - last_event);
                }
                last_event = now;
            }
            match progress.map_err(|fault| Problem::of(fault, reused))? {
                Progress::Done(used) if used < received => return Err(Problem::Excess),
                Progress::Done(_) => {
                    self.uses += 1;
                    let keep =
                        self.spec.keep_alive && self.reader.head().keep_alive && written.is_ok();
                    return Ok((self.answer(answer), keep));
                }
                // A full receive: the body is large, and large receives cost less per byte.
                Progress::More if received == self.buf.capacity() && received < BUFFER_MAX => {
                    self.buf.clear();
                    self.buf.reserve_exact(received * 2);
                }
                Progress::More => {}
            }
        }
    }

    fn answer(&self, counted: Answer) -> Answer {
        Answer {
            status: self.reader.head().status,
            wire_bytes: self.reader.wire_bytes(),
            body_bytes: self.reader.body_bytes(),
            ..counted
        }
    }
}

fn broken(error: &io::Error, reused: bool, received: u64) -> Problem {
    match error.kind() {
        // A reset of a connection that had been kept alive, before any byte: the peer had closed.
        _ if reused && received == 0 => Problem::Stale,
        io::ErrorKind::InvalidData => Problem::Malformed("TLS"),
        _ => Problem::Reset,
    }
}
