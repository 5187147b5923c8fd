//! A shared connection's life: dialled, greeted, driven, ended.
//!
//! One task each. Whatever ends it, its place among the endpoint's connections is given up first,
//! and those who wait find another. Invariant: a connection that is silent while requests wait on
//! it is asked for a sign of life, and closed if there is none.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::dial;
use super::exchange::blame;
use super::pool::{Local, Member};
use super::shared::{Link, Shared};
use crate::bounds;
use crate::clock::{self, Tick};
use crate::failure::Failure;
use crate::http::Limits;
use crate::net::h2::{Client, Requests, Wire};
use crate::net::patience::Patience;
use crate::net::{Stream, Timer};
use crate::observe::cells::Eviction;

/// A dial under way; however it ends, those who wait are told.
struct Dial<'a> {
    shared: &'a Shared,
    told: Cell<bool>,
}

/// A connection that carries requests.
struct Life<'a> {
    local: &'a Rc<Local>,
    member: &'a Rc<Member>,
    link: Rc<Link>,
    client: Client,
    /// A ping is under way since, when so many bytes had been received.
    pinged: Option<(Tick, u64)>,
    /// Bytes received when it was last looked at.
    seen: u64,
    /// Streams the endpoint allows.
    allowed: usize,
}

enum Event {
    Ended,
    Pong,
    Timer,
}

/// Dials, unless `dialled` is there already, and drives the connection to its end.
pub(super) async fn live(local: Rc<Local>, member: Rc<Member>, dialled: Option<Stream>) {
    let dial = Dial { shared: &member.shared, told: Cell::new(false) };
    let timer = Timer::new();
    let opened = match dialled {
        Some(stream) => Ok(stream),
        None => Box::pin(dial::connect(&local, &member, None, &timer)).await,
    };
    let stream = match opened {
        Ok(stream) => stream,
        Err(failure) => {
            blame(&local, &member, clock::now());
            return dial.failed(failure);
        }
    };
    if !dial::speaks_h2(&local.def, &stream) {
        dial.told.set(true);
        return member.shared.is_spoken_to_alone(stream);
    }
    let stream = Rc::new(stream);
    match greet(&stream, &timer, local.def.conf.timeouts.connect).await {
        Ok((client, requests)) => {
            dial.told.set(true);
            member.shared.dialled();
            let link = Link::new(&stream, requests, timer);
            let mut life = Life {
                local: &local,
                member: &member,
                link,
                client,
                pinged: None,
                seen: 0,
                allowed: 0,
            };
            life.live().await;
            drop(life);
        }
        Err(error) => {
            let (upstream, endpoint) = (&*local.def.name, &*member.endpoint.name);
            tracing::warn!(upstream, endpoint, %error, "the endpoint does not speak HTTP/2");
            blame(&local, &member, clock::now());
            local.cells().connect_failed(Failure::UpstreamConnect);
            dial.failed(Failure::UpstreamConnect);
        }
    }
    finish(&stream).await;
}

/// Exchanges prefaces and waits for the endpoint's SETTINGS, which say how many streams it takes.
pub(super) async fn greet(
    stream: &Rc<Stream>,
    timer: &Timer,
    within: Duration,
) -> io::Result<(Client, Requests)> {
    let patience = Patience { timer, idle: within, until: Tick::NEVER, client: None };
    let greeting = async {
        let wire = Wire::new(stream.clone(), None, None);
        let (mut client, requests) =
            Client::handshake(wire, Limits::default().head_bytes_max).await?;
        poll_fn(|cx| {
            let ended = client.poll_ended(cx);
            if requests.streams_max() > 0 {
                return Poll::Ready(Ok(()));
            }
            ended.map(|ended| ended.and(Err(io::ErrorKind::UnexpectedEof.into())))
        })
        .await?;
        Ok((client, requests))
    };
    patience.wait(greeting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Announces the end of what we send.
async fn finish(stream: &Stream) {
    let timer = Timer::new();
    let until = clock::now().after(bounds::LINGER);
    let patience = Patience { timer: &timer, idle: bounds::LINGER, until, client: None };
    let finish = std::pin::pin!(stream.finish());
    patience.guard(stream, finish).await;
}

// === impl Dial ===

impl Dial<'_> {
    fn failed(&self, failure: Failure) {
        if !self.told.replace(true) {
            self.shared.failed(failure);
        }
    }
}

impl Drop for Dial<'_> {
    fn drop(&mut self) {
        self.failed(Failure::Internal);
    }
}

// === impl Life ===

impl Life<'_> {
    async fn live(&mut self) {
        let shared = &self.member.shared;
        shared.open.borrow_mut().push(self.link.clone());
        self.local.shares(1, 0);
        self.heed();
        if self.link.streams.get() == 0 {
            self.link.rest(self.local, self.member);
        }
        self.link.timer.arm(self.next_look());
        loop {
            match self.event().await {
                Event::Ended => break,
                Event::Pong => self.is_alive(),
                Event::Timer => {
                    if !self.look() {
                        break;
                    }
                    self.link.timer.arm(self.next_look());
                }
            }
        }
        self.link.count(self.local);
        self.local.shares(-1, 0);
        shared.leave(self.local, &self.link, Eviction::Dead);
        shared.serve(self.local, self.member);
    }

    async fn event(&mut self) -> Event {
        poll_fn(|cx| {
            if self.client.poll_ended(cx).is_ready() {
                return Poll::Ready(Event::Ended);
            }
            self.heed();
            if self.pinged.is_some() && self.client.pings.poll_answer(cx).is_ready() {
                return Poll::Ready(Event::Pong);
            }
            self.link.timer.poll_fired(cx).map(|()| Event::Timer)
        })
        .await
    }

    /// Takes in what the endpoint has said of its streams: GOAWAY, or how many there may be.
    fn heed(&mut self) {
        let now = match &mut *self.link.requests.borrow_mut() {
            Some(requests) => requests.is_open().then(|| requests.streams_max()),
            None => return,
        };
        let shared = &self.member.shared;
        match now {
            Some(allowed) if allowed == self.allowed => {}
            Some(allowed) => {
                self.allowed = allowed;
                shared.learns(allowed);
                shared.serve(self.local, self.member);
            }
            None => {
                shared.leave(self.local, &self.link, Eviction::Dead);
                shared.serve(self.local, self.member);
            }
        }
    }

    /// False: it is dead.
    fn look(&mut self) -> bool {
        let received = self.link.stream.received();
        let silent = received == std::mem::replace(&mut self.seen, received);
        match self.pinged {
            Some((_, before)) if before != received => self.is_alive(),
            Some((at, _)) if clock::now().since(at) >= self.pong() => {
                let (upstream, endpoint) = (&*self.local.def.name, &*self.member.endpoint.name);
                tracing::warn!(upstream, endpoint, "no sign of life: connection closed");
                self.link.stream.switch().abort();
                return false;
            }
            Some(_) => {}
            None if self.link.doubted.get() || silent && self.link.streams.get() > 0 => {
                self.pinged = Some((clock::now(), received));
                self.client.pings.ask();
            }
            None => {}
        }
        true
    }

    fn is_alive(&mut self) {
        self.pinged = None;
        if self.link.doubted.replace(false) {
            self.member.shared.serve(self.local, self.member);
        }
        self.link.timer.arm(self.next_look());
    }

    fn next_look(&self) -> Tick {
        match (self.pinged, self.local.def.conf.pool.ping_interval) {
            (Some((at, _)), _) => at.after(self.pong()),
            (None, Some(interval)) => clock::now().after(interval),
            (None, None) => Tick::NEVER,
        }
    }

    /// How long a pong may take.
    fn pong(&self) -> Duration {
        let interval = self.local.def.conf.pool.ping_interval.unwrap_or(bounds::H2_PONG);
        interval.min(bounds::H2_PONG)
    }
}
