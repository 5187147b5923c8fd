//! One request out, one response head in: choosing the endpoint, leasing a connection, sending, and
//! sending again where [`super::retry`] allows it.
//!
//! A request whose body is complete in memory (or absent) goes through [`exchange`]; one whose body
//! still streams goes through [`open`], and its body is pumped by the caller: it is never retried
//! once a byte of it has left.

use std::rc::Rc;

use smallvec::SmallVec;

use super::dial::{self, Origin};
use super::lease::{Lease, Sent, Unheard};
use super::pool::{Local, Member};
use super::retry::{self, Progress};
use super::shared::{self, Found};
use crate::balance::Outcome;
use crate::clock::{self, Tick};
use crate::config::RetryCause;
use crate::failure::Failure;
use crate::http::{Limits, Method, Parsed, Reject, ResponseHead, Scan, parse_response};
use crate::message::HeadOut;
use crate::net::buffer::{Buf, Class};
use crate::net::h2::Lost;
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
    /// The answer is waited for without a buffer: one more operation, for what takes its time.
    pub waits_bare: bool,
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
    let Some(stream) = lease.h1() else {
        drop(block);
        return hear(lease, call, &patience, head, answered).await;
    };
    loop {
        if block.is_empty() && call.waits_bare {
            drop(block);
            let waited = patience.readable(stream).await;
            waited.map_err(|ended| unanswered(&ended, &patience))?;
            block = lease.local().answer_buffer(call.buffer_max);
        }
        if !block.is_empty() {
            *answered = true;
            match parse_response(head, &mut scan, block.filled(), &limits, call.method) {
                Ok(Parsed::Complete) => return Ok(block),
                Ok(Parsed::Partial) => {}
                Err(reject) => return Err(invalid(lease, reject)),
            }
        }
        if block.room() == 0 {
            block = block.grown().ok_or(Failure::UpstreamHeadTooLarge)?;
        }
        let (read, back) = patience.read(stream, block).await;
        block = back;
        match read {
            Ok(0) if *answered => return Err(Failure::UpstreamCut),
            Ok(0) | Err(Ended::Io(_)) => return Err(Failure::UpstreamReset),
            Ok(_) => {}
            Err(ended) => return Err(unanswered(&ended, &patience)),
        }
    }
}

/// The same on a stream of a shared connection.
async fn hear(
    lease: &Lease,
    call: &Call<'_, '_>,
    patience: &Patience<'_>,
    head: &mut ResponseHead,
    answered: &mut bool,
) -> Result<Buf, Failure> {
    match lease.hear(patience, call.method).await {
        Ok(Ok(text)) => {
            *answered = true;
            let limits = Limits::default();
            let mut scan = Scan::default();
            match parse_response(head, &mut scan, text.filled(), &limits, call.method) {
                Ok(Parsed::Complete) => Ok(text),
                Ok(Parsed::Partial) => Err(Failure::UpstreamInvalid),
                Err(reject) => Err(invalid(lease, reject)),
            }
        }
        Ok(Err(Unheard::Malformed(reject))) => {
            *answered = true;
            Err(invalid(lease, reject))
        }
        Ok(Err(Unheard::Lost(Lost::Malformed))) => Err(Failure::UpstreamInvalid),
        Ok(Err(Unheard::Lost(_))) if *answered => Err(Failure::UpstreamCut),
        Ok(Err(Unheard::Lost(_))) => Err(Failure::UpstreamReset),
        Err(ended) => {
            if matches!(ended, Ended::Deadline) {
                lease.doubt();
            }
            Err(unanswered(&ended, patience))
        }
    }
}

fn invalid(lease: &Lease, reject: Reject) -> Failure {
    let endpoint = &*lease.member.endpoint.name;
    tracing::warn!(endpoint, reason = reject.token(), "invalid response");
    reject.upstream_failure()
}

fn unanswered(ended: &Ended, patience: &Patience<'_>) -> Failure {
    match ended {
        Ended::Io(_) => Failure::UpstreamReset,
        Ended::ClientGone => Failure::ClientGone,
        Ended::Deadline if clock::now() >= patience.until => Failure::UpstreamTotalTimeout,
        Ended::Deadline => Failure::UpstreamFirstByteTimeout,
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
    let block = match call.waits_bare {
        true => Buf::none(),
        false => local.answer_buffer(call.buffer_max),
    };
    let read = read_head(&lease, call, block, head, &mut progress.answered).await;
    let now = clock::now();
    timings.first_byte_ns = crate::clock::nanos(now.since(call.started));
    // RFC 9113 section 8.7: what was refused was not processed, whatever was sent of it.
    progress.sent &= !lease.was_refused();
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
    let lease = obtain(local, &member, call).await.inspect_err(|failure| {
        let (upstream, endpoint) = (&*local.def.name, &*member.endpoint.name);
        tracing::debug!(upstream, endpoint, failure = failure.row().name, "no connection");
    })?;
    timings.reused = lease.reused;
    if !lease.reused {
        timings.connect_ns += clock::nanos(clock::now().since(now));
    }
    let mut out = HeadOut::within(call.buffer_max);
    (call.head)(&member.endpoint, &mut out);
    let head = out.into_buf().ok_or(Failure::Internal)?;
    let Sent { any, ended } = lease.send(&call.patience, head, call.body, call.streams).await?;
    progress.sent = any;
    let refused = lease.was_refused();
    match ended {
        Ok(()) => Ok(lease),
        // The endpoint may have answered and closed without reading on: its answer counts.
        Err(Ended::Io(_)) if progress.sent => Ok(lease),
        Err(Ended::Io(_)) => Err(Failure::UpstreamReset),
        Err(Ended::ClientGone) => Err(Failure::ClientGone),
        Err(Ended::Deadline) => Err(Failure::UpstreamFirstByteTimeout),
    }
    .inspect_err(|failure| {
        if *failure != Failure::ClientGone && !refused {
            blame(local, &member, clock::now());
        }
    })
}

/// A connection to `member`, or a place on one: kept, shared or new.
async fn obtain(
    local: &Rc<Local>,
    member: &Rc<Member>,
    call: &Call<'_, '_>,
) -> Result<Lease, Failure> {
    if local.def.may_speak_h2() && !member.shared.is_alone() {
        match shared::find(local, member, &call.patience).await? {
            Found::Place(place) => return Ok(Lease::shared(place, local)),
            Found::Own(stream) => return Ok(local.lease_new(member, stream, clock::now())),
            Found::Alone | Found::Failed(_) => {}
        }
    }
    // Of a request that cannot be repeated nothing is risked on a connection that may be dead.
    let careful = call.streams || !call.method.is_idempotent();
    // By the clock it was given back by: by a finer one it would have rested a tick already.
    if let Some(kept) = local.take_idle(member, clock::coarse(), careful) {
        return Ok(kept);
    }
    let dialling = dial::connect(local, member, call.origin, call.patience.timer);
    let dialled = Box::pin(dialling).await;
    let stream = dialled.inspect_err(|_| blame(local, member, clock::now()))?;
    if !dial::speaks_h2(&local.def, &stream) {
        return Ok(local.lease_new(member, stream, clock::now()));
    }
    member.shared.adopt(local, member, stream);
    match shared::find(local, member, &call.patience).await? {
        Found::Place(place) => Ok(Lease::shared(place, local)),
        Found::Own(stream) => Ok(local.lease_new(member, stream, clock::now())),
        Found::Alone | Found::Failed(_) => Err(Failure::UpstreamConnect),
    }
}

/// A reused connection that was reset tells of a keep-alive race, not of a sick endpoint.
pub fn note_failure(local: &Rc<Local>, lease: &Lease, failure: Failure, now: Tick) {
    let race = (lease.reused || lease.was_refused()) && failure == Failure::UpstreamReset;
    if !race && failure != Failure::ClientGone {
        blame(local, &lease.member, now);
    }
}

/// The endpoint failed a request, or a dial: how many requests waited for that does not matter.
pub(super) fn blame(local: &Local, member: &Member, now: Tick) {
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
