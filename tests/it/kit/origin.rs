//! A scripted origin on threads of its own: what a connection does is a closure, what it got is
//! kept.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::client::Wire;
use super::message::{Chunk, Framing, Request, chunk, head_end};
use super::{PATIENCE, eventually};

/// A server for the gateway to talk to.
pub struct Origin {
    pub addr: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    /// Complete requests, in the order they were read.
    requests: Mutex<Vec<Request>>,
    /// Every byte that came, by connection.
    bytes: Mutex<Vec<Vec<u8>>>,
    streams: Mutex<Vec<TcpStream>>,
    open: AtomicUsize,
    stopped: AtomicBool,
    tls: Option<Arc<rustls::ServerConfig>>,
}

/// One connection, as its script sees it.
pub struct Conn {
    wire: Box<dyn Wire>,
    pub tcp: TcpStream,
    pub buf: Vec<u8>,
    /// Which connection it is, from 0.
    pub nth: usize,
    shared: Arc<Shared>,
}

// === impl Origin ===

impl Origin {
    /// Each connection runs `script`, and closes when it returns.
    pub fn scripted(script: impl Fn(&mut Conn) + Send + Sync + 'static) -> Origin {
        Origin::listening(anywhere(), None, script)
    }

    /// Answers each request with the bytes `answer` gives; connections are kept.
    pub fn answering(answer: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static) -> Origin {
        Origin::scripted(move |conn| conn.serve(&answer))
    }

    /// Answers every request with these bytes.
    pub fn fixed(answer: impl Into<Vec<u8>>) -> Origin {
        let answer = answer.into();
        Origin::answering(move |_| answer.clone())
    }

    /// Says its name to everything.
    pub fn named(name: &str) -> Origin {
        Origin::fixed(ok(name))
    }

    /// The same at an address of the test's choice: another family, or where one was before.
    pub fn at(addr: SocketAddr, script: impl Fn(&mut Conn) + Send + Sync + 'static) -> Origin {
        let mut listener = None;
        // The one that was there may not quite have gone.
        eventually(PATIENCE, || {
            listener = TcpListener::bind(addr).ok();
            listener.is_some()
        });
        let listener = listener.unwrap_or_else(|| panic!("{addr} is not free"));
        Origin::listening(listener, None, script)
    }

    /// The same over TLS.
    pub fn tls(
        config: Arc<rustls::ServerConfig>,
        script: impl Fn(&mut Conn) + Send + Sync + 'static,
    ) -> Origin {
        Origin::listening(anywhere(), Some(config), script)
    }

    fn listening(
        listener: TcpListener,
        tls: Option<Arc<rustls::ServerConfig>>,
        script: impl Fn(&mut Conn) + Send + Sync + 'static,
    ) -> Origin {
        let addr = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            requests: Mutex::default(),
            bytes: Mutex::default(),
            streams: Mutex::default(),
            open: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            tls,
        });
        let (here, script) = (shared.clone(), Arc::new(script));
        std::thread::spawn(move || {
            for tcp in listener.incoming() {
                if here.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(tcp) = tcp else { continue };
                let (here, script) = (here.clone(), script.clone());
                if let Some(mut conn) = Conn::new(tcp, here) {
                    std::thread::spawn(move || {
                        script(&mut conn);
                        conn.leave();
                    });
                }
            }
        });
        Origin { addr, shared }
    }

    /// How many requests it read to their end.
    pub fn count(&self) -> usize {
        lock(&self.shared.requests).len()
    }

    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.requests).clone()
    }

    /// The only request it got.
    pub fn only(&self) -> Request {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "the origin got {} requests", requests.len());
        requests[0].clone()
    }

    pub fn last(&self) -> Request {
        self.requests().last().expect("the origin got a request").clone()
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> usize {
        lock(&self.shared.bytes).len()
    }

    /// How many of them are open.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// All bytes that came, connection after connection.
    pub fn bytes(&self) -> Vec<u8> {
        lock(&self.shared.bytes).concat()
    }

    /// Waits until it has got that many requests.
    pub fn await_requests(&self, count: usize) {
        let got = eventually(PATIENCE, || self.count() >= count);
        assert!(got, "the origin got {} requests, not {count}", self.count());
    }

    /// Ends every connection that is open.
    pub fn hang_up(&self) {
        for stream in lock(&self.shared.streams).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // The accepting thread is woken by one last connection.
        let _ = TcpStream::connect_timeout(&self.addr, Duration::from_secs(1));
        self.hang_up();
    }
}

// === impl Conn ===

impl Conn {
    fn new(tcp: TcpStream, shared: Arc<Shared>) -> Option<Conn> {
        let _ = tcp.set_nodelay(true);
        let _ = tcp.set_read_timeout(Some(PATIENCE * 3));
        lock(&shared.streams).push(tcp.try_clone().ok()?);
        let nth = {
            let mut all = lock(&shared.bytes);
            all.push(Vec::new());
            all.len() - 1
        };
        shared.open.fetch_add(1, Ordering::SeqCst);
        let wire: Box<dyn Wire> = match &shared.tls {
            None => Box::new(tcp.try_clone().ok()?),
            Some(config) => {
                let session = rustls::ServerConnection::new(config.clone()).ok()?;
                Box::new(rustls::StreamOwned::new(session, tcp.try_clone().ok()?))
            }
        };
        Some(Conn { wire, tcp, buf: Vec::new(), nth, shared })
    }

    /// Answers until the gateway leaves.
    pub fn serve(&mut self, answer: &dyn Fn(&Request) -> Vec<u8>) {
        while let Some(request) = self.request() {
            if !self.send(answer(&request)) {
                return;
            }
        }
    }

    /// The next whole request; `None` if the gateway left first.
    pub fn request(&mut self) -> Option<Request> {
        let mut request = self.request_head()?;
        match request.framing() {
            Framing::Length(length) => {
                while self.buf.len() < length {
                    self.more().ok()?;
                }
                request.body = self.buf.drain(..length).collect();
            }
            Framing::Chunked => loop {
                match self.chunk()? {
                    Chunk::Data(data) => request.body.extend(data),
                    Chunk::Last(trailers) => {
                        request.trailers = trailers;
                        break;
                    }
                }
            },
            Framing::None | Framing::UntilClose => {}
        }
        lock(&self.shared.requests).push(request.clone());
        Some(request)
    }

    /// The next head; its body is left to be read, and it is not counted.
    pub fn request_head(&mut self) -> Option<Request> {
        loop {
            if let Some(end) = head_end(&self.buf) {
                let head: Vec<u8> = self.buf.drain(..end).collect();
                return Some(Request::of_head(&head));
            }
            self.more().ok()?;
        }
    }

    pub fn chunk(&mut self) -> Option<Chunk> {
        loop {
            if let Some((found, len)) = chunk(&self.buf) {
                self.buf.drain(..len);
                return Some(found);
            }
            self.more().ok()?;
        }
    }

    /// False if the gateway does not take it.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.wire.write_all(bytes.as_ref()).and_then(|()| self.wire.flush()).is_ok()
    }

    /// Waits until the gateway leaves; what it sends meanwhile is dropped. Longer than a test waits
    /// for that, so that the end of this is not taken for it.
    pub fn until_left(&mut self) -> bool {
        use io::ErrorKind::{TimedOut, WouldBlock};
        let _ = self.tcp.set_read_timeout(Some(Duration::from_millis(10)));
        let until = Instant::now() + PATIENCE * 3;
        while Instant::now() < until && !self.shared.stopped.load(Ordering::SeqCst) {
            match self.more() {
                Err(error) if matches!(error.kind(), WouldBlock | TimedOut) => {}
                Err(_) => return true,
                Ok(_) => {}
            }
        }
        false
    }

    /// Waits until the test says go on (or the origin stops).
    pub fn wait_for(&self, go: &AtomicBool) {
        eventually(PATIENCE * 3, || {
            go.load(Ordering::SeqCst) || self.shared.stopped.load(Ordering::SeqCst)
        });
    }

    /// Sends what `answer` gives, byte for byte, and ends with a RST.
    pub fn reset(&mut self) {
        let _ = SockRef::from(&self.tcp).set_linger(Some(Duration::ZERO));
        self.let_go();
    }

    /// Sends a FIN, but goes on reading.
    pub fn finish(&self) {
        let _ = self.tcp.shutdown(Shutdown::Write);
    }

    pub fn more(&mut self) -> io::Result<usize> {
        let mut bytes = [0; 64 * 1024];
        let n = self.wire.read(&mut bytes)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.buf.extend_from_slice(&bytes[..n]);
        let mut all = lock(&self.shared.bytes);
        // Big uploads are not kept: what is looked at are heads and the bytes behind them.
        if all[self.nth].len() < 1 << 20 {
            all[self.nth].extend_from_slice(&bytes[..n]);
        }
        Ok(n)
    }

    /// The clone kept for hanging up must not hold the socket open.
    fn let_go(&self) {
        let peer = self.tcp.peer_addr().ok();
        lock(&self.shared.streams)
            .retain(|other| other.peer_addr().is_ok_and(|address| Some(address) != peer));
    }

    fn leave(mut self) {
        self.let_go();
        // Dropping a TLS stream tells nobody; scripts that want a cut use `reset`.
        let _ = self.wire.flush();
        let shared = self.shared.clone();
        // Counted as closed only once it is.
        drop(self);
        shared.open.fetch_sub(1, Ordering::SeqCst);
    }
}

fn anywhere() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("a free port")
}

/// A 200 with a text.
pub fn ok(text: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()).into_bytes()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A script that panicked poisons nothing that matters.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
