//! An origin that speaks HTTP/2: what a stream does is an async closure, what it got is kept.
//!
//! Each connection is a thread that polls everything on it about once a millisecond: no runtime,
//! and a script can stop the connection, leave it, or cut it at any moment.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Response, request};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::client::Wire;
use super::{PATIENCE, eventually, ms};

/// A server for the gateway to talk to.
pub struct H2Origin {
    pub addr: SocketAddr,
    pub seen: Arc<Seen>,
}

/// What has happened so far.
#[derive(Default)]
pub struct Seen {
    /// Connections accepted.
    pub connections: AtomicUsize,
    /// Of these, still there.
    pub open: AtomicUsize,
    /// Requests being answered, and the most there ever were at once.
    pub streams: AtomicUsize,
    pub most: AtomicUsize,
    /// Requests that came, answered or not.
    pub accepted: AtomicUsize,
    pub requests: Mutex<Vec<Heard>>,
    /// How streams the client reset were reset.
    pub resets: Mutex<Vec<Reason>>,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Heard {
    pub method: String,
    pub uri: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: HeaderMap,
}

/// How an origin differs from the usual.
#[derive(Clone, Default)]
pub struct Ways {
    pub streams_max: Option<u32>,
    pub window: Option<u32>,
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

/// One request, as its script sees it.
pub struct Exchange {
    pub parts: request::Parts,
    pub recv: RecvStream,
    pub respond: SendResponse<Bytes>,
    /// Which connection it came on, and which request of all it is, from 0.
    pub connection: usize,
    pub nth: usize,
    pub tap: Rc<Cell<Tap>>,
    seen: Arc<Seen>,
}

/// What a script asks of its connection.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Tap {
    #[default]
    Flows,
    /// GOAWAY; what is open goes on.
    Leave,
    /// Nothing is read or sent any more, though the socket stays.
    Silent,
    /// The socket closes.
    Cut,
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

// === impl H2Origin ===

impl H2Origin {
    /// Each request runs `script`.
    pub fn start<F, T>(ways: Ways, script: F) -> H2Origin
    where
        F: Fn(Exchange) -> T + Send + Sync + 'static,
        T: Future<Output = ()> + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("a bound socket has an address");
        let seen: Arc<Seen> = Arc::default();
        let (kept, script) = (seen.clone(), Arc::new(script));
        std::thread::spawn(move || {
            for tcp in listener.incoming().map_while(Result::ok) {
                let nth = kept.connections.fetch_add(1, Ordering::SeqCst);
                let (kept, script, ways) = (kept.clone(), script.clone(), ways.clone());
                std::thread::spawn(move || {
                    kept.open.fetch_add(1, Ordering::SeqCst);
                    serve(tcp, &ways, nth, &kept, &*script);
                    kept.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        H2Origin { addr, seen }
    }

    /// Says its name, and the request's body again.
    pub fn echo() -> H2Origin {
        H2Origin::start(Ways::default(), |mut exchange| async move {
            let (body, trailers) = exchange.body().await;
            exchange.answer(200, &body, trailers).await;
        })
    }

    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    pub fn requests(&self) -> Vec<Heard> {
        lock(&self.seen.requests).clone()
    }

    /// Waits for the only request.
    pub fn only(&self) -> Heard {
        eventually(PATIENCE, || !self.requests().is_empty());
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "the origin got {} requests", requests.len());
        requests[0].clone()
    }

    /// How the first stream that was reset was.
    pub fn reset(&self) -> Option<Reason> {
        eventually(PATIENCE, || !lock(&self.seen.resets).is_empty());
        lock(&self.seen.resets).first().copied()
    }
}

// === impl Exchange ===

impl Exchange {
    /// The whole body and its trailers; what came is kept.
    pub async fn body(&mut self) -> (Vec<u8>, Option<HeaderMap>) {
        let mut body = Vec::new();
        while let Some(Ok(data)) = self.recv.data().await {
            let _ = self.recv.flow_control().release_capacity(data.len());
            body.extend_from_slice(&data);
        }
        let trailers = self.recv.trailers().await.ok().flatten();
        lock(&self.seen.requests).push(Heard {
            method: self.parts.method.to_string(),
            uri: self.parts.uri.to_string(),
            headers: self.parts.headers.clone(),
            body: body.clone(),
            trailers: trailers.clone().unwrap_or_default(),
        });
        (body, trailers)
    }

    /// A head; data follow.
    pub fn head(&mut self, status: u16, fields: &[(&str, &str)]) -> SendStream<Bytes> {
        self.respond.send_response(head(status, fields), false).expect("the stream is open")
    }

    /// A head that is all.
    pub fn bare(&mut self, status: u16, fields: &[(&str, &str)]) {
        self.respond.send_response(head(status, fields), true).expect("the stream is open");
    }

    /// A whole answer; to a client that has left, none.
    pub async fn answer(&mut self, status: u16, body: &[u8], trailers: Option<HeaderMap>) {
        let Ok(mut stream) = self.respond.send_response(head(status, &[]), false) else { return };
        if trailers.is_none() && body.is_empty() {
            let _ = stream.send_data(Bytes::new(), true);
            return;
        }
        send(&mut stream, body, trailers.is_none()).await;
        if let Some(trailers) = trailers {
            let _ = stream.send_trailers(trailers);
        }
    }

    /// Waits until the client resets the stream, and keeps how.
    pub async fn gone(&mut self) {
        let reset = poll_fn(|cx| self.respond.poll_reset(cx)).await;
        self.note(reset);
    }

    /// The same once the answer has begun.
    pub async fn gone_while(&mut self, stream: &mut SendStream<Bytes>) {
        let reset = poll_fn(|cx| stream.poll_reset(cx)).await;
        self.note(reset);
    }

    /// Whether the client has reset the stream.
    pub fn is_reset(&mut self) -> bool {
        let cx = &mut Context::from_waker(Waker::noop());
        matches!(self.respond.poll_reset(cx), Poll::Ready(Ok(_)))
    }

    fn note(&self, reset: Result<Reason, h2::Error>) {
        if let Ok(reason) = reset {
            lock(&self.seen.resets).push(reason);
        }
    }
}

/// Sends all of `body` as the window allows.
pub async fn send(stream: &mut SendStream<Bytes>, body: &[u8], last: bool) {
    let mut rest = Bytes::copy_from_slice(body);
    while !rest.is_empty() {
        stream.reserve_capacity(rest.len());
        if stream.capacity() == 0 && !matches!(capacity(stream).await, Some(Ok(_))) {
            return;
        }
        let part = rest.split_to(stream.capacity().min(rest.len()));
        if stream.send_data(part, last && rest.is_empty()).is_err() {
            return;
        }
    }
}

async fn capacity(stream: &mut SendStream<Bytes>) -> Option<Result<usize, h2::Error>> {
    poll_fn(|cx| stream.poll_capacity(cx)).await
}

/// Lets time pass.
pub async fn pause(time: Duration) {
    let until = Instant::now() + time;
    poll_fn(|_| if Instant::now() < until { Poll::Pending } else { Poll::Ready(()) }).await;
}

fn head(status: u16, fields: &[(&str, &str)]) -> Response<()> {
    let mut head = Response::builder().status(status);
    for (name, value) in fields {
        head = head.header(*name, *value);
    }
    head.body(()).expect("a valid head")
}

fn serve<F, T>(tcp: TcpStream, ways: &Ways, connection: usize, seen: &Arc<Seen>, script: &F)
where
    F: Fn(Exchange) -> T,
    T: Future<Output = ()> + 'static,
{
    tcp.set_nodelay(true).expect("a socket takes a flag");
    tcp.set_nonblocking(true).expect("a socket takes a flag");
    let wire: Box<dyn Wire> = match &ways.tls {
        None => Box::new(tcp),
        Some(config) => {
            let session = rustls::ServerConnection::new(config.clone()).expect("a session");
            Box::new(rustls::StreamOwned::new(session, tcp))
        }
    };
    let mut builder = h2::server::Builder::new();
    if let Some(max) = ways.streams_max {
        builder.max_concurrent_streams(max);
    }
    if let Some(window) = ways.window {
        builder.initial_window_size(window);
    }
    let cx = &mut Context::from_waker(Waker::noop());
    let mut shaking = std::pin::pin!(builder.handshake::<_, Bytes>(Polled(wire)));
    let mut connection_ = loop {
        match shaking.as_mut().poll(cx) {
            Poll::Ready(Ok(done)) => break done,
            Poll::Ready(Err(_)) => return,
            Poll::Pending => std::thread::sleep(ms(1)),
        }
    };
    let tap: Rc<Cell<Tap>> = Rc::default();
    let mut tasks: Vec<Task> = Vec::new();
    loop {
        match tap.get() {
            Tap::Flows => {}
            Tap::Leave => connection_.graceful_shutdown(),
            Tap::Silent => {
                std::thread::sleep(ms(1));
                continue;
            }
            Tap::Cut => return,
        }
        tasks.retain_mut(|task| task.as_mut().poll(cx).is_pending());
        match connection_.poll_accept(cx) {
            Poll::Ready(Some(Ok((request, respond)))) => {
                let (parts, recv) = request.into_parts();
                let nth = seen.accepted.fetch_add(1, Ordering::SeqCst);
                let counted = Counted::new(seen);
                let seen = seen.clone();
                let tap = tap.clone();
                let run = script(Exchange { parts, recv, respond, connection, nth, tap, seen });
                tasks.push(Box::pin(async move {
                    run.await;
                    drop(counted);
                }));
            }
            Poll::Ready(_) => return,
            Poll::Pending => std::thread::sleep(Duration::from_micros(500)),
        }
    }
}

/// Counts a request while it is answered.
struct Counted(Arc<Seen>);

// === impl Counted ===

impl Counted {
    fn new(seen: &Arc<Seen>) -> Counted {
        let now = seen.streams.fetch_add(1, Ordering::SeqCst) + 1;
        seen.most.fetch_max(now, Ordering::SeqCst);
        Counted(seen.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A non-blocking wire, polled without anybody being woken.
pub struct Polled(pub Box<dyn Wire>);

// === impl Polled ===

fn polled<T>(done: io::Result<T>) -> Poll<io::Result<T>> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        done => Poll::Ready(done),
    }
}

impl AsyncRead for Polled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut bytes = [0; 16 * 1024];
        let room = into.remaining().min(bytes.len());
        polled(self.0.read(&mut bytes[..room])).map_ok(|n| into.put_slice(&bytes[..n]))
    }
}

impl AsyncWrite for Polled {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        polled(self.0.write(bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        polled(self.0.flush())
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
