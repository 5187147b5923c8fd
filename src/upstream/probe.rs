//! Active health checks: asks every endpoint of the upstreams that want it how it is, and tells the
//! snapshot, where all workers see it.
//!
//! Runs on one thread for the whole process. When to ask and what an answer means is
//! `balance::Health`'s; a probe is a connection of its own, opened as a request's would be, TLS
//! included. Invariants: at most [`bounds::PROBES_MAX`] probes run at once, and one per endpoint;
//! what is known of an endpoint follows it over reloads and DNS changes; an endpoint that nobody
//! probes any more is not left down.

use std::cell::{Cell as Flag, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use super::answer::{Unread, read_head};
use super::dial;
use super::live::greet;
use crate::balance::{Health, HealthChange, HealthRules, Random};
use crate::bounds;
use crate::clock::{self, Tick};
use crate::config::{self, ProbeMethod};
use crate::failure::Failure;
use crate::http::h2::translate::to_request;
use crate::http::{self, Method, ResponseHead, Scheme};
use crate::message::{Body, HeadOut, Inbound};
use crate::net::buffer::Buf;
use crate::net::h2::Heard;
use crate::net::patience::{Ended, Patience};
use crate::net::stream::Stream;
use crate::net::{Timer, deadline, task};
use crate::snapshot::{Cell, Endpoint, Endpoints, Snapshot, Upstream};

/// All that is probed.
struct Rounds {
    watches: Vec<Rc<Watch>>,
    /// The endpoints the watches were made from.
    seen: Vec<(Arc<Upstream>, Arc<Endpoints>)>,
    generation: u64,
    random: Random,
    running: Rc<Flag<usize>>,
}

/// One endpoint under watch.
struct Watch {
    endpoint: Arc<Endpoint>,
    /// The newest definition of the upstream it belongs to.
    upstream: RefCell<Arc<Upstream>>,
    health: RefCell<Health>,
    due: Flag<Tick>,
    asked: Flag<bool>,
    /// It left while it was being asked: the answer concerns nobody.
    gone: Flag<bool>,
}

/// A probe under way, among all and of its endpoint; ends also by a panic.
struct Running {
    watch: Rc<Watch>,
    running: Rc<Flag<usize>>,
}

/// Why an endpoint is not well.
#[derive(Debug)]
enum Sick {
    Failed(Failure),
    /// Its answer breaks this rule.
    Malformed(http::Reject),
    /// It answered, but not with a status that counts as good.
    Status(u16),
    /// It did not answer in time.
    Late,
}

/// Probes for ever; `seed` decides how probes drift apart.
pub async fn run(cell: Arc<Cell>, seed: u64) {
    let mut rounds = Rounds {
        watches: Vec::new(),
        seen: Vec::new(),
        generation: 0,
        random: Random::new(seed),
        running: Rc::default(),
    };
    loop {
        let now = clock::now();
        rounds.follow(&cell.load(), now);
        deadline::sleep_until(rounds.ask_those_due(now)).await;
    }
}

// === impl Rounds ===

impl Rounds {
    /// Takes in what has changed: a snapshot, or the addresses of a name.
    fn follow(&mut self, snapshot: &Snapshot, now: Tick) {
        let same = snapshot.generation == self.generation
            && self.seen.iter().all(|(upstream, endpoints)| upstream.still(endpoints));
        if same {
            return;
        }
        self.generation = snapshot.generation;
        let probed = snapshot.upstreams.iter().filter(|upstream| upstream.conf.health.is_some());
        self.seen = probed.map(|upstream| (upstream.clone(), upstream.endpoints())).collect();
        let old = std::mem::take(&mut self.watches).into_iter();
        // An endpoint is the same as long as its object is: a watch holds it, so no address comes
        // twice.
        let mut old: HashMap<*const Endpoint, Rc<Watch>> =
            old.map(|watch| (Arc::as_ptr(&watch.endpoint), watch)).collect();
        for (upstream, endpoints) in &self.seen {
            for endpoint in &endpoints.list {
                let watch = old.remove(&Arc::as_ptr(endpoint)).unwrap_or_else(|| {
                    Rc::new(Watch::new(upstream.clone(), endpoint.clone(), now))
                });
                watch.upstream.replace(upstream.clone());
                self.watches.push(watch);
            }
        }
        old.into_values().for_each(|watch| watch.leave(now));
    }

    /// Starts the probes that are due; says when to look again.
    fn ask_those_due(&mut self, now: Tick) -> Tick {
        let mut next = now.after(bounds::PROBE_LOOK);
        // Those that have waited the longest first, so that none starves when all cannot run at
        // once.
        let mut due: Vec<&Rc<Watch>> = Vec::new();
        for watch in self.watches.iter().filter(|watch| !watch.asked.get()) {
            if watch.due.get() <= now {
                due.push(watch);
            } else {
                next = next.min(watch.due.get());
            }
        }
        due.sort_by_key(|watch| watch.due.get());
        for watch in due {
            if self.running.get() >= bounds::PROBES_MAX {
                // Some wait for a place: look again as soon as one may be free.
                next = now.after(deadline::SLOT);
                break;
            }
            let upstream = watch.upstream.borrow().clone();
            let Some(conf) = &upstream.conf.health else { continue };
            watch.due.set(rules(conf).next(now, &mut self.random));
            next = next.min(watch.due.get());
            task::spawn(Running::new(watch, &self.running).ask(upstream));
        }
        next
    }
}

// === impl Watch ===

impl Watch {
    /// Counts as up, and is asked at once.
    fn new(upstream: Arc<Upstream>, endpoint: Arc<Endpoint>, now: Tick) -> Watch {
        Watch {
            endpoint,
            upstream: RefCell::new(upstream),
            health: RefCell::default(),
            due: Flag::new(now),
            asked: Flag::new(false),
            gone: Flag::new(false),
        }
    }

    /// Takes an answer.
    fn learn(&self, answer: Result<(), Sick>, now: Tick) {
        let upstream = self.upstream.borrow();
        let (name, endpoint) = (&*upstream.name, &*self.endpoint.name);
        if let Err(reason) = &answer {
            tracing::debug!(upstream = name, endpoint, %reason, "probe failed");
        }
        let Some(conf) = upstream.conf.health.as_ref().filter(|_| !self.gone.get()) else { return };
        let change = self.health.borrow_mut().on_probe(answer.is_ok(), &rules(conf));
        match (change, answer) {
            (Some(HealthChange::CameUp), _) => {
                upstream.probed(&self.endpoint, true, now);
                tracing::info!(upstream = name, endpoint, "endpoint up: probes succeed");
            }
            (Some(HealthChange::WentDown), Err(reason)) => {
                upstream.probed(&self.endpoint, false, now);
                tracing::warn!(upstream = name, endpoint, %reason, "endpoint down: probes fail");
            }
            _ => {}
        }
    }

    /// Nobody asks it any more: it must not stay down for ever.
    fn leave(&self, now: Tick) {
        self.gone.set(true);
        if !self.health.borrow().is_up() {
            self.upstream.borrow().probed(&self.endpoint, true, now);
        }
    }
}

// === impl Running ===

impl Running {
    fn new(watch: &Rc<Watch>, running: &Rc<Flag<usize>>) -> Running {
        watch.asked.set(true);
        running.set(running.get() + 1);
        Running { watch: watch.clone(), running: running.clone() }
    }

    async fn ask(self, upstream: Arc<Upstream>) {
        let Some(conf) = &upstream.conf.health else { return };
        let answer = probe(&upstream, &self.watch.endpoint, conf).await;
        self.watch.learn(answer, clock::now());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.watch.asked.set(false);
        self.running.set(self.running.get() - 1);
    }
}

/// One question, one answer, on a connection of its own.
async fn probe(
    upstream: &Upstream,
    endpoint: &Endpoint,
    conf: &config::Health,
) -> Result<(), Sick> {
    let timer = Timer::new();
    let until = clock::now().after(conf.timeout);
    let opened = dial::open(upstream, endpoint, None, until, &timer).await;
    let stream = opened.map_err(Sick::Failed)?;
    let patience = Patience { timer: &timer, idle: conf.timeout, until, client: None };
    let head = head(endpoint, conf).into_buf().ok_or(Sick::Failed(Failure::Internal))?;
    let status = if dial::speaks_h2(upstream, &stream) {
        let asking = Box::pin(ask_h2(upstream, stream, head));
        patience.wait(asking).await.map_err(|ended| Sick::of(&ended))??
    } else {
        ask_h1(&stream, &patience, head, method(conf.method)).await?
    };
    if conf.status.contains(status) { Ok(()) } else { Err(Sick::Status(status)) }
}

async fn ask_h1(
    stream: &Stream,
    patience: &Patience<'_>,
    head: Buf,
    method: Method,
) -> Result<u16, Sick> {
    patience.write(stream, head).await.map_err(|ended| Sick::of(&ended))?;
    let mut response = ResponseHead::default();
    let read = read_head(stream, patience, method, &mut response).await;
    let block = read.map_err(|unread| Sick::unread(&unread))?;
    let rest = &block.filled()[response.len..];
    let mut ahead = Buf::with_room(rest.len());
    ahead.put_some(rest);
    let mut body = Body::H1(Inbound::new(stream, response.framing, Some(ahead)));
    // The status has decided: a body that breaks off or takes too long changes nothing.
    while body.received() < bounds::PROBE_BODY_BYTES
        && let Ok(Some(_)) = body.next(patience).await
    {}
    Ok(response.status)
}

/// The same on a stream of its own connection, whose body is not waited for: the stream is reset.
async fn ask_h2(upstream: &Upstream, stream: Stream, head: Buf) -> Result<u16, Sick> {
    let broken = || Sick::Failed(Failure::UpstreamReset);
    let scheme = if upstream.tls.is_some() { Scheme::Https } else { Scheme::Http };
    let request = to_request(head.filled(), scheme).map_err(Sick::Malformed)?;
    let (stream, timer) = (Rc::new(stream), Timer::new());
    let greeting = greet(&stream, &timer, upstream.conf.timeouts.connect);
    let (mut client, mut requests) = greeting.await.map_err(|_| broken())?;
    let (mut asked, outgoing) = requests.open(request, true).map_err(|_| broken())?;
    let status = poll_fn(|cx| {
        let ended = client.poll_ended(cx).is_ready();
        loop {
            match asked.poll_head(cx) {
                Poll::Ready(Ok(Heard::Interim(_))) => {}
                Poll::Ready(Ok(Heard::Final(answer))) => {
                    return Poll::Ready(Ok(answer.parts.status.as_u16()));
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Err(broken())),
                Poll::Pending if ended => return Poll::Ready(Err(broken())),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await?;
    // With the last of them gone the connection says goodbye by itself.
    drop((asked, outgoing, requests));
    let _ = poll_fn(|cx| client.poll_ended(cx)).await;
    Ok(status)
}

fn head(endpoint: &Endpoint, conf: &config::Health) -> HeadOut {
    let (path, query) = match conf.path.split_once('?') {
        Some((path, query)) => (path, Some(query.as_bytes())),
        None => (&*conf.path, None),
    };
    let host = conf.host.as_deref().unwrap_or(&endpoint.written);
    let mut out = HeadOut::new();
    http::write::request_line(&mut out, method(conf.method).token(b""), path.as_bytes(), query);
    http::write::field(&mut out, b"host", host.as_bytes());
    let agent = concat!("ringway/", env!("CARGO_PKG_VERSION"), " (health check)");
    http::write::field(&mut out, b"user-agent", agent.as_bytes());
    http::write::field(&mut out, b"accept", b"*/*");
    http::write::field(&mut out, b"connection", b"close");
    http::write::end(&mut out);
    out
}

// === impl Sick ===

impl Sick {
    fn unread(unread: &Unread) -> Sick {
        match unread {
            Unread::Malformed(reject) => Sick::Malformed(*reject),
            Unread::TooLarge => Sick::Failed(Failure::UpstreamHeadTooLarge),
            Unread::Closed => Sick::Failed(Failure::UpstreamReset),
            Unread::Ended(ended) => Sick::of(ended),
        }
    }

    fn of(ended: &Ended) -> Sick {
        match ended {
            Ended::Deadline => Sick::Late,
            Ended::Io(_) | Ended::ClientGone => Sick::Failed(Failure::UpstreamReset),
        }
    }
}

impl fmt::Display for Sick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sick::Failed(failure) => f.write_str(failure.row().name),
            Sick::Malformed(reject) => write!(f, "malformed answer: {}", reject.token()),
            Sick::Status(status) => write!(f, "status {status}"),
            Sick::Late => f.write_str("no answer in time"),
        }
    }
}

fn rules(conf: &config::Health) -> HealthRules {
    HealthRules { rise: conf.rise, fall: conf.fall, interval: conf.interval }
}

fn method(method: ProbeMethod) -> Method {
    match method {
        ProbeMethod::Get => Method::Get,
        ProbeMethod::Head => Method::Head,
        ProbeMethod::Options => Method::Options,
    }
}

#[cfg(test)]
mod tests;
