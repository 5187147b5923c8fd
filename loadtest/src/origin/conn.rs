//! One connection of the origin: receive heads, drain bodies, play the recipe's steps. Owns the
//! buffers and the order of things; what to answer comes from `recipe`.
//!
//! Invariant: a peer that leaves while an answer is due is counted as aborted, once.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use monoio::net::TcpStream;

use super::counters::{self, bump};
use super::echo;
use super::recipe::{self, PATTERN, Recipe, Step};
use super::request::{self, Body, Request};
use super::streams;
use crate::chunked::Chunked;
use crate::h2::frame::PREFACE;
use crate::transport::{TlsStream, Transport};

const BUFFER: usize = 16 * 1024;
const BUFFER_MAX: usize = 256 * 1024;
/// A body larger than this is not echoed but refused.
const ECHO_BYTES_MAX: usize = 64 << 20;
/// Rendered answers kept for the life of the process.
const KEPT_BYTES_MAX: usize = 64 << 20;
const KEPT_MAX: usize = 1024;

/// What the connections of one thread share.
pub struct Shared {
    tls: Option<Arc<rustls::ServerConfig>>,
    /// Plain answers by query, rendered once: bytes that live as long as the process, so a send
    /// needs neither copy nor count.
    kept: RefCell<HashMap<String, &'static [u8]>>,
    kept_bytes: Cell<usize>,
    pattern: &'static [u8],
}

struct Conn {
    transport: Transport,
    peer: SocketAddr,
    shared: Rc<Shared>,
    buf: Vec<u8>,
}

/// Whether the connection goes on after an exchange.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Again,
    Close,
    /// WebSocket from here on.
    Tunnel,
}

/// A head, with everything that outlives the receive buffer's next change.
struct Owned {
    target: String,
    head: Vec<u8>,
    is_head: bool,
    keep_alive: bool,
    expects_continue: bool,
    body: Body,
}

// === impl Shared ===

impl Shared {
    pub fn new(tls: Option<Arc<rustls::ServerConfig>>) -> Shared {
        let pattern: Vec<u8> = PATTERN.iter().copied().cycle().take(BUFFER_MAX + 64).collect();
        Shared { tls, kept: RefCell::default(), kept_bytes: Cell::new(0), pattern: pattern.leak() }
    }

    /// The whole answer as bytes, if it is a plain one.
    fn kept(&self, query: &str) -> Option<&'static [u8]> {
        if let Some(bytes) = self.kept.borrow().get(query) {
            return Some(bytes);
        }
        let recipe = Recipe::parse(query).ok().filter(Recipe::is_plain)?;
        let mut bytes = Vec::new();
        for step in recipe.steps(false, true, None) {
            match step {
                Step::Send(more) => bytes.extend_from_slice(&more),
                Step::Pattern { len, .. } => {
                    bytes.extend(PATTERN.iter().copied().cycle().take(len));
                }
                _ => return None,
            }
        }
        let mut kept = self.kept.borrow_mut();
        let held = self.kept_bytes.get() + bytes.len();
        if held > KEPT_BYTES_MAX || kept.len() >= KEPT_MAX {
            return None;
        }
        self.kept_bytes.set(held);
        let bytes: &'static [u8] = bytes.leak();
        kept.insert(query.to_owned(), bytes);
        Some(bytes)
    }
}

/// Serves one accepted connection to its end.
pub async fn run(stream: TcpStream, peer: SocketAddr, shared: Rc<Shared>) {
    let _open = counters::Open::new();
    let _ = stream.set_nodelay(true);
    let transport = match &shared.tls {
        None => Transport::Plain(stream),
        Some(config) => match handshake(stream, config).await {
            Ok(transport) => transport,
            Err(_) => return,
        },
    };
    let buf = Vec::with_capacity(BUFFER);
    let mut conn = Conn { transport, peer, shared, buf };
    if matches!(conn.begins_http2().await, Ok(true)) {
        conn.buf.drain(..PREFACE.len());
        bump(&counters::HTTP2_CONNECTIONS);
        let _ = streams::serve(conn.transport, peer, conn.buf).await;
        return;
    }
    let end = loop {
        match conn.exchange().await {
            Ok(Next::Again) => {}
            end => break end,
        }
    };
    if matches!(end, Ok(Next::Tunnel)) {
        bump(&counters::WEBSOCKETS);
        let _ = echo::serve(conn.transport, conn.buf).await;
    }
}

async fn handshake(stream: TcpStream, config: &Arc<rustls::ServerConfig>) -> io::Result<Transport> {
    let session = rustls::ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
    let stream = TlsStream::handshake(stream, session.into()).await?;
    let transport = Transport::Tls(Box::new(stream));
    bump(&counters::HANDSHAKES);
    if transport.resumed() {
        bump(&counters::HANDSHAKES_RESUMED);
    }
    Ok(transport)
}

// === impl Conn ===

impl Conn {
    /// By prior knowledge or after ALPN: the connection begins with HTTP/2's preface.
    async fn begins_http2(&mut self) -> io::Result<bool> {
        loop {
            let seen = self.buf.len().min(PREFACE.len());
            if self.buf[..seen] != PREFACE[..seen] {
                return Ok(false);
            }
            if seen == PREFACE.len() {
                return Ok(true);
            }
            if self.receive().await? == 0 {
                return Ok(false);
            }
        }
    }

    /// One request, one answer.
    async fn exchange(&mut self) -> io::Result<Next> {
        let owned = loop {
            if !self.buf.is_empty() {
                match request::parse(&self.buf) {
                    Ok(Some(Request { head_len, target, websocket_key: Some(key), .. }))
                        if target.split('?').next() == Some("/ws") =>
                    {
                        let answer = switch(key);
                        self.buf.drain(..head_len);
                        bump(&counters::REQUESTS);
                        self.send(answer).await?;
                        return Ok(Next::Tunnel);
                    }
                    Ok(Some(request)) => match fast_answer(&request, &self.shared) {
                        Some(answer) => {
                            let used = request.head_len;
                            return self.fast(used, answer).await;
                        }
                        None => break own(&request, &self.buf),
                    },
                    Ok(None) => {}
                    Err(reason) => return self.refuse(reason).await,
                }
            }
            if self.receive().await? == 0 {
                return Ok(Next::Close);
            }
        };
        self.buf.drain(..owned.head.len());
        bump(&counters::REQUESTS);
        self.slow(owned).await
    }

    async fn fast(&mut self, used: usize, answer: &'static [u8]) -> io::Result<Next> {
        bump(&counters::REQUESTS);
        if used == self.buf.len() {
            self.buf.clear();
        } else {
            self.buf.drain(..used);
        }
        self.send(answer).await?;
        Ok(Next::Again)
    }

    async fn refuse(&mut self, reason: &str) -> io::Result<Next> {
        bump(&counters::MALFORMED);
        let answer = format!(
            "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{reason}",
            reason.len()
        );
        self.send(answer.into_bytes()).await?;
        self.transport.finish().await?;
        Ok(Next::Close)
    }

    /// Everything that is not the fast answer.
    async fn slow(&mut self, owned: Owned) -> io::Result<Next> {
        let (path, query) = owned.target.split_once('?').unwrap_or((&owned.target, ""));
        let parsed = Recipe::parse(query);
        let mut echo = None;
        let recipe = match parsed {
            Ok(recipe) => recipe,
            Err(reason) => {
                echo = Some(reason.into_bytes());
                Recipe { status: Some(400), echo: true, ..Recipe::default() }
            }
        };
        if recipe.continue_first || (owned.expects_continue && !recipe.early) {
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n".as_slice()).await?;
        }
        if recipe.early {
            let next = self.play(&recipe, &owned, echo).await?;
            self.drain(owned.body, None).await?;
            return Ok(next);
        }
        let mut body = Vec::new();
        let keep = (recipe.echo && echo.is_none()).then_some(&mut body);
        if let Err(e) = self.drain(owned.body, keep).await {
            bump(&counters::ABORTED);
            return Err(e);
        }
        let echo = match path {
            "/headers" => Some(owned.head.clone()),
            "/ip" => Some(self.peer.ip().to_string().into_bytes()),
            "/status" => Some(counters::json().into_bytes()),
            _ if recipe.echo && echo.is_none() => Some(body),
            _ => echo,
        };
        self.play(&recipe, &owned, echo).await
    }

    async fn play(
        &mut self,
        recipe: &Recipe,
        owned: &Owned,
        echo: Option<Vec<u8>>,
    ) -> io::Result<Next> {
        for step in recipe.steps(owned.is_head, owned.keep_alive, echo) {
            let is_event = matches!(step, Step::Event(_));
            let sent = match step {
                Step::Send(bytes) | Step::Event(bytes) => self.send(bytes).await,
                Step::Pattern { offset, len } => self.send_pattern(offset, len).await,
                Step::Wait(pause) => self.wait(pause).await,
                Step::Reset => {
                    self.transport.reset_on_drop()?;
                    return Ok(Next::Close);
                }
                Step::Close => {
                    self.transport.finish().await?;
                    return self.linger().await;
                }
                Step::Silence => self.silence().await,
            };
            if let Err(e) = sent {
                bump(&counters::ABORTED);
                return Err(e);
            }
            if is_event {
                bump(&counters::EVENTS);
            }
        }
        if recipe.close || !owned.keep_alive {
            self.transport.finish().await?;
            return self.linger().await;
        }
        Ok(Next::Again)
    }

    /// After our FIN: receives until the peer's, so that closing with unread bytes does not turn
    /// into an RST that destroys what we sent (RFC 9112 section 9.6).
    async fn linger(&mut self) -> io::Result<Next> {
        loop {
            self.buf.clear();
            if self.receive().await? == 0 {
                return Ok(Next::Close);
            }
        }
    }

    /// Accepts whatever comes and never answers.
    async fn silence(&mut self) -> io::Result<()> {
        loop {
            self.buf.clear();
            if self.receive().await? == 0 {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
        }
    }

    /// Waits, but notices at once when a plain peer leaves. Waiting for readability consumes
    /// nothing, so it may be given up when the time is over.
    async fn wait(&mut self, pause: Duration) -> io::Result<()> {
        let Transport::Plain(tcp) = &self.transport else {
            monoio::time::sleep(pause).await;
            return Ok(());
        };
        let mut sleep = std::pin::pin!(monoio::time::sleep(pause));
        let readable = {
            let mut readable = std::pin::pin!(tcp.readable(false));
            std::future::poll_fn(|cx| {
                if sleep.as_mut().poll(cx).is_ready() {
                    return std::task::Poll::Ready(false);
                }
                readable.as_mut().poll(cx).map(|_| true)
            })
            .await
        };
        if readable {
            if crate::sys::has_ended(tcp) {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            sleep.await; // a pipelined request: it has to wait its turn
        }
        Ok(())
    }

    /// Consumes the request's body; appends it to `keep` when it is to be echoed.
    async fn drain(&mut self, body: Body, mut keep: Option<&mut Vec<u8>>) -> io::Result<()> {
        let mut chunks = Chunked::default();
        let mut left = match body {
            Body::None => return Ok(()),
            Body::Length(n) => n,
            Body::Chunked => u64::MAX,
        };
        loop {
            let mut store = |piece: &[u8]| {
                counters::BODY_BYTES.fetch_add(piece.len() as u64, Relaxed);
                if let Some(keep) = keep.as_deref_mut()
                    && keep.len() + piece.len() <= ECHO_BYTES_MAX
                {
                    keep.extend_from_slice(piece);
                }
            };
            let used = if body == Body::Chunked {
                let invalid = |bad: crate::chunked::BadChunk| {
                    bump(&counters::MALFORMED);
                    io::Error::new(io::ErrorKind::InvalidData, bad.0)
                };
                let used = chunks.feed(&self.buf, &mut store).map_err(invalid)?;
                if chunks.is_done() {
                    left = 0;
                }
                used
            } else {
                let here = self.buf.len();
                let used = usize::try_from(left).map_or(here, |left| left.min(here));
                store(&self.buf[..used]);
                left -= used as u64;
                used
            };
            self.buf.drain(..used);
            if left == 0 {
                return Ok(());
            }
            if self.buf.capacity() < BUFFER_MAX {
                self.buf.reserve(BUFFER_MAX); // large bodies: few large receives
            }
            if self.receive().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn receive(&mut self) -> io::Result<usize> {
        if self.buf.len() == self.buf.capacity() {
            self.buf.reserve(BUFFER.max(self.buf.len()));
        }
        self.transport.read(&mut self.buf).await
    }

    async fn send<B: monoio::buf::IoBuf + AsRef<[u8]>>(&mut self, bytes: B) -> io::Result<()> {
        self.transport.write_all(bytes).await.0
    }

    async fn send_pattern(&mut self, offset: usize, mut len: usize) -> io::Result<()> {
        let start = offset % PATTERN.len();
        let mut piece = &self.shared.pattern[start..start + len.min(BUFFER_MAX)];
        while len > 0 {
            self.send(piece).await?;
            len -= piece.len();
            // BUFFER_MAX is a multiple of the pattern, so every piece starts at the same byte.
            piece = &piece[..len.min(piece.len())];
        }
        Ok(())
    }
}

/// The answer to an upgrade to WebSocket.
fn switch(key: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        crate::websocket::accept(key)
    )
    .into_bytes()
}

/// The answer of a request that needs nothing but one send.
fn fast_answer(request: &Request<'_>, shared: &Shared) -> Option<&'static [u8]> {
    if request.is_head || !request.keep_alive || request.body != Body::None {
        return None;
    }
    match request.target.split_once('?') {
        None if matches!(request.target, "/headers" | "/ip" | "/status") => None,
        None => Some(recipe::DEFAULT),
        Some(("/headers" | "/ip" | "/status", _)) => None,
        Some((_, query)) => shared.kept(query),
    }
}

fn own(request: &Request<'_>, buf: &[u8]) -> Owned {
    Owned {
        target: request.target.to_owned(),
        head: buf[..request.head_len].to_vec(),
        is_head: request.is_head,
        keep_alive: request.keep_alive,
        expects_continue: request.expects_continue,
        body: request.body,
    }
}
