//! A small HTTP/1.1 server for the process's own pages: the admin's, the demo's.
//!
//! The gateway's own codec and streams, on a thread of its own with an epoll runtime, which costs
//! no ring memory. Strict as the gateway is, and as bounded: connections, heads, bodies, waits.
//! Knows nothing of what it serves: a function from a request to a [`Page`].

use std::cell::Cell;
use std::future::Future as _;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::page::{Asked, Content, Page};
use crate::bounds;
use crate::clock::{self, Tick};
use crate::failure::Failure;
use crate::http::date::DateCache;
use crate::http::{Framing, Limits, Parsed, Reject, RequestHead, Scan, Version, parse_request};
use crate::message::{Body, BodySize, Failed, Inbound, Reply, Request, size_for};
use crate::net::buffer::Buf;
use crate::net::listen::Acceptor;
use crate::net::patience::{Ended, Patience};
use crate::net::ring::{self, Driver};
use crate::net::stream::Stream;
use crate::net::{Timer, deadline, task, wake};

/// What a server answers with.
pub trait Answer: Fn(&Asked<'_>) -> Page + 'static {}

impl<F: Fn(&Asked<'_>) -> Page + 'static> Answer for F {}

/// A thread with a runtime of its own; it ends when this is dropped.
pub struct OwnThread {
    _ends_it: wake::Waker,
}

/// A connection's place among those the server takes at once.
struct Place(Rc<Cell<usize>>);

struct Conn<'a> {
    stream: &'a Stream,
    peer: SocketAddr,
    timer: &'a Timer,
}

/// Why there is no request to answer.
enum Missing {
    /// The client has left, or never asked.
    Nobody,
    /// It must be told.
    Told(Failure),
}

// === impl OwnThread ===

impl OwnThread {
    /// Starts a thread and runs `set_up` in its runtime, where it may spawn tasks.
    ///
    /// # Errors
    /// When there is no thread or runtime to be had, or what `set_up` says.
    pub fn start(
        name: &str,
        set_up: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) -> io::Result<OwnThread> {
        let (waker, wakes) = wake::pair()?;
        let (told, outcome) = crossbeam_channel::bounded(1);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let rt = match ring::build(Driver::Epoll) {
                Ok(rt) => rt,
                Err(error) => return drop(told.send(Err(error))),
            };
            rt.run(async move {
                task::spawn(deadline::run_wheel());
                let done = set_up();
                let serves = done.is_ok();
                drop(told.send(done));
                if serves {
                    drop(wakes.each(|| ()).await);
                }
            });
        })?;
        outcome.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))?;
        Ok(OwnThread { _ends_it: waker })
    }
}

/// Serves a listening socket in this thread's runtime.
///
/// # Errors
/// When the runtime refuses the socket.
pub fn serve(socket: OwnedFd, answer: impl Answer) -> io::Result<()> {
    let acceptor = Acceptor::new(socket)?;
    task::spawn(accept(acceptor, Rc::new(answer)));
    Ok(())
}

async fn accept<A: Answer>(acceptor: Acceptor, answer: Rc<A>) {
    let open = Rc::new(Cell::new(0));
    loop {
        if acceptor.ready().await.is_err() {
            return;
        }
        match acceptor.accept() {
            // Over the bound: closed at once, so that the client sees it and the queue does not
            // fill.
            Ok((stream, peer)) if open.get() < bounds::HOUSE_CONNECTIONS_MAX => {
                open.set(open.get() + 1);
                let place = Place(open.clone());
                task::spawn(connection(stream, peer, answer.clone(), place));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // Out of descriptors, most likely: look again when some may have been closed.
            Err(_) => deadline::sleep_until(clock::now().after(bounds::HOUSE_ACCEPT_PAUSE)).await,
        }
    }
}

async fn connection<A: Answer>(stream: Stream, peer: SocketAddr, answer: Rc<A>, place: Place) {
    let timer = Timer::new();
    let conn = Conn { stream: &stream, peer, timer: &timer };
    let mut ahead = None;
    while let Some(rest) = conn.exchange(ahead, &*answer).await {
        ahead = rest;
    }
    conn.leave().await;
    drop(place);
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

// === impl Conn ===

impl Conn<'_> {
    /// One request, one answer. `None`: the connection ends; else what has come of the next
    /// request.
    async fn exchange(&self, ahead: Option<Buf>, answer: &impl Answer) -> Option<Option<Buf>> {
        if ahead.is_none() && !self.readable(clock::now().after(bounds::HOUSE_IDLE)).await {
            return None;
        }
        let (mut head, mut block) = (RequestHead::default(), ahead.unwrap_or_else(Buf::small));
        match self.read_head(&mut head, &mut block).await {
            Ok(()) => {}
            Err(Missing::Nobody) => return None,
            Err(Missing::Told(failure)) => {
                self.refuse(failure).await;
                return None;
            }
        }
        let rest = copy_of(&block.filled()[head.len..]);
        let mut reply = Reply::h1(self.stream, head.version, head.keep_alive);
        let (mut body, mut rest) = match head.framing {
            Framing::None | Framing::Length(0) => (Body::Empty, rest),
            framing => (Body::H1(Inbound::new(self.stream, framing, rest)), None),
        };
        if matches!(head.framing, Framing::Length(n) if n > bounds::HOUSE_BODY_BYTES_MAX) {
            self.refuse(Failure::BodyTooLarge).await;
            return None;
        }
        if head.expect_continue && !body.is_done() {
            let patience = self.patience(bounds::HOUSE_WRITE);
            reply.interim(&patience, 100, std::iter::empty()).await.ok()?;
        }
        let kept = match self.read_body(&mut body).await {
            Ok(kept) => kept,
            Err(Missing::Nobody) => return None,
            Err(Missing::Told(failure)) => {
                self.refuse(failure).await;
                return None;
            }
        };
        let request = Request { head: &head, block: block.filled() };
        let body_bytes = body.received();
        let mut page = answer(&Asked { request, peer: self.peer, body: &kept, body_bytes });
        drop(kept);
        if let Content::Later(later) = page.content {
            page = later.page().await.unwrap_or_else(|| Page::failure(Failure::Unavailable));
        }
        self.send(&mut reply, head.method, page).await.ok()?;
        if let Body::H1(inbound) = body {
            rest = inbound.into_rest();
        }
        reply.keeps_alive().then_some(rest)
    }

    /// Waits until there is something to read, holding no buffer. False: time is up.
    async fn readable(&self, until: Tick) -> bool {
        self.timer.arm(until);
        let mut readable = std::pin::pin!(self.stream.readable());
        let ready = std::future::poll_fn(|cx| {
            // Dropping a poll loses nothing, and the client can still be told that it is late.
            if let Poll::Ready(ready) = readable.as_mut().poll(cx) {
                return Poll::Ready(ready.is_ok());
            }
            self.timer.poll_fired(cx).map(|()| false)
        })
        .await;
        self.timer.arm(Tick::NEVER);
        ready
    }

    async fn read_head(&self, head: &mut RequestHead, block: &mut Buf) -> Result<(), Missing> {
        let mut scan = Scan::default();
        let until = clock::now().after(bounds::HOUSE_READ);
        loop {
            match parse_request(head, &mut scan, block.filled(), &Limits::default()) {
                Ok(Parsed::Complete) => return Ok(()),
                Ok(Parsed::Partial) => {}
                Err(reject) => return Err(Missing::Told(reject.failure())),
            }
            let mut taken = std::mem::replace(block, Buf::none());
            if taken.room() == 0 {
                let too_large = Missing::Told(Reject::HeadTooLarge.failure());
                taken = taken.larger().ok_or(too_large)?;
            }
            if !self.readable(until).await {
                return Err(match taken.is_empty() {
                    true => Missing::Nobody,
                    false => Missing::Told(Failure::RequestTimeout),
                });
            }
            let (read, back) = self.stream.read(taken).await;
            *block = back;
            if !matches!(read, Ok(n) if n > 0) {
                return Err(Missing::Nobody);
            }
        }
    }

    /// Reads a body to its end and keeps its beginning.
    async fn read_body(&self, body: &mut Body<'_>) -> Result<Vec<u8>, Missing> {
        let patience = self.patience(bounds::HOUSE_READ);
        let mut kept = Vec::new();
        loop {
            let data = match body.next(&patience).await {
                Ok(Some(data)) => data,
                Ok(None) => return Ok(kept),
                Err(Failed::Malformed(reject)) => return Err(Missing::Told(reject.failure())),
                Err(Failed::Cut | Failed::Ended(_)) => return Err(Missing::Nobody),
            };
            if body.received() > bounds::HOUSE_BODY_BYTES_MAX {
                return Err(Missing::Told(Failure::BodyTooLarge));
            }
            let room = bounds::HOUSE_BODY_BYTES_KEPT.saturating_sub(kept.len());
            kept.extend_from_slice(&data.filled()[..data.len().min(room)]);
        }
    }

    async fn refuse(&self, failure: Failure) {
        let mut reply = Reply::h1(self.stream, Version::Http11, false);
        let method = crate::http::Method::Get;
        // The connection ends whether or not the client takes it.
        let _ = self.send(&mut reply, method, Page::failure(failure)).await;
    }

    async fn send(
        &self,
        reply: &mut Reply<'_>,
        method: crate::http::Method,
        page: Page,
    ) -> Result<(), Ended> {
        let patience = self.patience(bounds::HOUSE_WRITE);
        let size = match &page.content {
            Content::Whole(bytes) => BodySize::Length(bytes.len() as u64),
            Content::Paced(..) | Content::Frames(..) | Content::Later(_) => BodySize::Unknown,
        };
        let size = size_for(method, page.status, size);
        reply.start(page.status, None, size);
        reply.field(b"content-type", page.content_type.as_bytes());
        reply.field(b"date", DateCache::default().at(clock::wall()));
        reply.field(b"cache-control", b"no-store");
        reply.field(b"x-content-type-options", b"nosniff");
        for (name, value) in &page.fields {
            reply.field(name.as_bytes(), value.as_bytes());
        }
        match page.content {
            Content::Frames(pause, frames) => {
                reply.switches_to(b"websocket");
                // Nothing of HTTP follows on this connection.
                reply.close();
                send_paced(reply, &patience, pause, frames).await
            }
            _ if matches!(size, BodySize::None(_)) => reply.send_head(&patience, None, true).await,
            Content::Whole(bytes) => send_whole(reply, &patience, &bytes).await,
            Content::Later(_) => unreachable!("a page that came later is a page"),
            Content::Paced(pause, parts) => send_paced(reply, &patience, pause, parts).await,
        }
    }

    /// Ends the connection so that a client still sending does not lose our answer to a RST
    /// (RFC 9112 section 9.6).
    async fn leave(&self) {
        let mut patience = self.patience(bounds::LINGER);
        patience.until = clock::now().after(bounds::LINGER);
        let work = std::pin::pin!(self.stream.finish());
        let (_, ended) = patience.guard(self.stream, work).await;
        let (mut left, mut buf) = (bounds::DRAIN_BYTES_MAX, Buf::small());
        while ended.is_none() {
            buf.clear();
            let (read, back) = patience.read(self.stream, buf).await;
            buf = back;
            match read {
                Ok(n) if n > 0 && (n as u64) < left => left -= n as u64,
                _ => return,
            }
        }
    }

    fn patience(&self, idle: Duration) -> Patience<'_> {
        Patience { timer: self.timer, idle, until: Tick::NEVER, client: None }
    }
}

async fn send_whole(
    reply: &mut Reply<'_>,
    patience: &Patience<'_>,
    bytes: &[u8],
) -> Result<(), Ended> {
    let (first, mut rest) = buf_of(bytes);
    reply.send_head(patience, Some(first), rest.is_empty()).await?;
    while !rest.is_empty() {
        let (more, left) = buf_of(rest);
        rest = left;
        reply.data(patience, more, rest.is_empty()).await?;
    }
    Ok(())
}

async fn send_paced(
    reply: &mut Reply<'_>,
    patience: &Patience<'_>,
    pause: Duration,
    parts: impl Iterator<Item = Vec<u8>>,
) -> Result<(), Ended> {
    reply.send_head(patience, None, false).await?;
    for (nth, part) in parts.enumerate() {
        if nth > 0 {
            deadline::sleep_until(clock::now().after(pause)).await;
        }
        let mut rest = &part[..];
        while !rest.is_empty() {
            let (data, left) = buf_of(rest);
            rest = left;
            reply.data(patience, data, false).await?;
        }
    }
    reply.end(patience, std::iter::empty()).await
}

/// A buffer of the first bytes, and the others.
fn buf_of(bytes: &[u8]) -> (Buf, &[u8]) {
    let mut buf = Buf::with_room(bytes.len());
    let put = buf.put_some(bytes);
    (buf, &bytes[put..])
}

/// What a client sent ahead, in a buffer of its own.
fn copy_of(bytes: &[u8]) -> Option<Buf> {
    (!bytes.is_empty()).then(|| buf_of(bytes).0)
}
