//! One request out, one response head in: choosing the endpoint, leasing a connection, sending, and
//! sending again where [`super::retry`] allows it.
//!
//! A request whose body is complete in memory (or absent) goes through [`exchange`]; one whose body
//! still streams goes through [`open`], and its body is pumped by the caller: it is never retried
//! once a byte of it has left.

use std::rc::Rc;

use smallvec::SmallVec;

use super::dial::{self, Origin};
use super::pool::{Lease, Local, Member};
use super::retry::{self, Progress};
use crate::balance::Outcome;
use crate::clock::{self, Tick};
use crate::config::RetryCause;
use crate::failure::Failure;
use crate::http::{Limits, Method, Parsed, ResponseHead, Scan, parse_response};
use crate::message::HeadOut;
use crate::net::buffer::{Buf, Class};
use crate::net::patience::{Ended, Patience};
use crate::snapshot::Endpoint;

/// What to send, and how long to wait.
pub struct Call<'a, 'p> {
    pub method: Method,
    /// Writes the request's head for an endpoint.
    pub head: &'a dyn Fn(&Endpoint, &mut HeadOut),
    /// Body bytes that are here; all of them, unless the body streams.
    pub body: &'a [u8],
    /// More body follows: sent by the caller.
    pub streams: bool,
    /// The route lets the upstream's retry rule apply.
    pub retry: bool,
    /// What consistent hashing goes by.
    pub hash: Option<u64>,
    pub origin: Option<Origin>,
    pub first_byte: std::time::Duration,
    /// Timer, idle timeout, total deadline, and the client to watch.
    pub patience: Patience<'p>,
    pub started: Tick,
    /// The largest buffer worth filling with the answer's beginning.
    pub buffer_max: Class,
}

/// A response's beginning, and the connection the rest comes from.
pub struct Answer {
    pub lease: Lease,
    /// The bytes the head's spans point into, and what followed it.
    pub block: Buf,
}

/// What happened on the way, for the log.
#[derive(Clone, Debug, Default)]
pub struct Timings {
    pub attempts: u32,
    /// Spent dialling, over all attempts.
    pub connect_ns: u64,
    /// From the start to the response's first byte.
    pub first_byte_ns: u64,
    /// The endpoint last tried.
    pub endpoint: Option<std::net::SocketAddr>,
    pub reused: bool,
}

type Tried = SmallVec<[usize; 4]>;

/// Sends a request and reads the head that answers it, retrying as allowed.
///
/// # Errors
/// What the last attempt failed with.
pub async fn exchange(
    local: &Rc<Local>,
    call: &Call<'_, '_>,
    head: &mut ResponseHead,
    timings: &mut Timings,
) -> Result<Answer, Failure> {
    let mut tried = Tried::new();
    loop {
        let mut progress = Progress { sent: false, answered: false };
        let failure = match attempt(local, call, head, timings, &mut tried, &mut progress).await {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        if !may_repeat(local, call, failure, progress, timings.attempts) {
            return Err(failure);
        }
        local.cells().retried();
    }
}

/// Leases a connection and sends the head, with the body bytes that are here.
///
/// # Errors
/// What the last attempt failed with.
pub async fn open(
    local: &Rc<Local>,
    call: &Call<'_, '_>,
    timings: &mut Timings,
) -> Result<Lease, Failure> {
    let mut tried = Tried::new();
    loop {
        let mut progress = Progress { sent: false, answered: false };
        let failure = match send(local, call, timings, &mut tried, &mut progress).await {
            Ok(lease) => return Ok(lease),
            Err(failure) => failure,
        };
        if !may_repeat(local, call, failure, progress, timings.attempts) {
            return Err(failure);
        }
        local.cells().retried();
    }
}

/// Reads the next response head on a lease (after an interim one, there is another).
///
/// # Errors
/// What went wrong; `progress.answered` says whether a byte had come.
pub async fn read_head(
    lease: &Lease,
    call: &Call<'_, '_>,
    mut block: Buf,
    head: &mut ResponseHead,
    answered: &mut bool,
) -> Result<Buf, Failure> {
    let limits = Limits::default();
    let mut scan = Scan::default();
    let patience = call.patience.with_idle(call.first_byte);
    loop {
        if !block.is_empty() {
            *answered = true;
            match parse_response(head, &mut scan, block.filled(), &limits, call.method) {
                Ok(Parsed::Complete) => return Ok(block),
                Ok(Parsed::Partial) => {}
                Err(reject) => {
                    let endpoint = &*lease.member.endpoint.name;
                    tracing::warn!(endpoint, reason = reject.token(), "invalid response");
                    return Err(reject.upstream_failure());
                }
            }
        }
        if block.room() == 0 {
            block = block.grown().ok_or(Failure::UpstreamHeadTooLarge)?;
        }
        let (read, back) = patience.read(lease.stream(), block).await;
        block = back;
        match read {
            Ok(0) if *answered => return Err(Failure::UpstreamCut),
            Ok(0) | Err(Ended::Io(_)) => return Err(Failure::UpstreamReset),
            Ok(_) => {}
            Err(Ended::ClientGone) => return Err(Failure::ClientGone),
            Err(Ended::Deadline) if clock::now() >= patience.until => {
                return Err(Failure::UpstreamTotalTimeout);
            }
            Err(Ended::Deadline) => return Err(Failure::UpstreamFirstByteTimeout),
        }
    }
}

async fn attempt(
    local: &Rc<Local>,
    call: &Call<'_, '_>,
    head: &mut ResponseHead,
    timings: &mut Timings,
    tried: &mut Tried,
    progress: &mut Progress,
) -> Result<Answer, Failure> {
    let lease = send(local, call, timings, tried, progress).await?;
    let read =
        read_head(&lease, call, local.answer_buffer(call.buffer_max), head, &mut progress.answered)
            .await;
    let now = clock::now();
    timings.first_byte_ns = crate::clock::nanos(now.since(call.started));
    let block = read.inspect_err(|failure| note_failure(local, &lease, *failure, now))?;
    Ok(Answer { lease, block })
}

/// Picks, leases, writes.
async fn send(
    local: &Rc<Local>,
    call: &Call<'_, '_>,
    timings: &mut Timings,
    tried: &mut Tried,
    progress: &mut Progress,
) -> Result<Lease, Failure> {
    timings.attempts += 1;
    let now = if timings.attempts == 1 { call.started } else { clock::now() };
    let (at, member) = local.pick(call.hash, tried, now).ok_or(Failure::UpstreamNone)?;
    tried.push(at);
    timings.endpoint = Some(member.endpoint.address);
    // Of a request that cannot be repeated nothing is risked on a connection that may be dead.
    let careful = call.streams || !call.method.is_idempotent();
    let kept = local.take_idle(&member, now, careful);
    timings.reused = kept.is_some();
    let lease = match kept {
        Some(lease) => lease,
        None => {
            let dialling = dial::lease(local, &member, call.origin, call.patience.timer);
            let dialled = Box::pin(dialling).await;
            timings.connect_ns += clock::nanos(clock::now().since(now));
            dialled.inspect_err(|failure| {
                blame(local, &member, clock::now());
                let (upstream, endpoint) = (&*local.def.name, &*member.endpoint.name);
                tracing::debug!(upstream, endpoint, failure = failure.row().name, "no connection");
            })?
        }
    };
    let mut out = HeadOut::new();
    (call.head)(&member.endpoint, &mut out);
    let mut first = out.into_buf().ok_or(Failure::Internal)?;
    let copied = first.put_some(call.body);
    let before = lease.stream().progress();
    let mut written = call.patience.write(lease.stream(), first).await;
    let mut rest = &call.body[copied..];
    while written.is_ok() && !rest.is_empty() {
        let mut more = Buf::with_room(rest.len());
        let n = more.put_some(rest);
        rest = &rest[n..];
        written = call.patience.write(lease.stream(), more).await;
    }
    progress.sent = lease.stream().progress() != before;
    match written {
        Ok(()) => Ok(lease),
        // The endpoint may have answered and closed without reading on: its answer counts.
        Err(Ended::Io(_)) if progress.sent => Ok(lease),
        Err(Ended::Io(_)) => Err(Failure::UpstreamReset),
        Err(Ended::ClientGone) => Err(Failure::ClientGone),
        Err(Ended::Deadline) => Err(Failure::UpstreamFirstByteTimeout),
    }
    .inspect_err(|failure| {
        if *failure != Failure::ClientGone {
            blame(local, &member, clock::now());
        }
    })
}

/// A reused connection that was reset tells of a keep-alive race, not of a sick endpoint.
pub fn note_failure(local: &Rc<Local>, lease: &Lease, failure: Failure, now: Tick) {
    let race = lease.reused && failure == Failure::UpstreamReset;
    if !race && failure != Failure::ClientGone {
        blame(local, &lease.member, now);
    }
}

fn blame(local: &Local, member: &Member, now: Tick) {
    if local.def.report(&member.endpoint, Outcome::Bad, now) {
        member.endpoint.cells.of(local.worker()).ejected();
        let (upstream, endpoint) = (&*local.def.name, &*member.endpoint.name);
        tracing::warn!(upstream, endpoint, "endpoint ejected: too many failures in a row");
    }
}

/// What a response's status says of the endpoint that sent it.
pub fn judge(local: &Local, member: &Member, status: u16, now: Tick) {
    // 502 to 504 say that the endpoint cannot do its work; a 500 may be this one request's fault.
    if (502..=504).contains(&status) {
        blame(local, member, now);
    } else {
        local.def.report(&member.endpoint, Outcome::Good, now);
    }
}

fn may_repeat(
    local: &Rc<Local>,
    call: &Call<'_, '_>,
    failure: Failure,
    progress: Progress,
    attempts: u32,
) -> bool {
    let conf = &local.def.conf.retry;
    let repeatable = call.method.is_idempotent() && !call.streams;
    let cause = retry::cause(failure, progress, repeatable);
    let allowed = |cause: RetryCause| conf.on.contains(&cause);
    if !call.retry || attempts >= conf.attempts || !cause.is_some_and(allowed) {
        return false;
    }
    let granted = local.budget.borrow_mut().withdraw(clock::now());
    if !granted {
        local.cells().retry_budget_exhausted();
    }
    granted
}
