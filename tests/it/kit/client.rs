//! A raw client: sends exact bytes, in splits if wanted, and reads exactly what comes.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::message::{Chunk, Framing, Response, chunk, head_end};
use super::{PATIENCE, show};

/// Something that carries bytes: TCP, or TLS over it.
pub trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

/// A connection to the gateway.
pub struct Client {
    wire: Box<dyn Wire>,
    pub tcp: TcpStream,
    /// Received and not yet read.
    pub buf: Vec<u8>,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The peer finished in order.
    Fin,
    /// RST, or TLS cut without close_notify.
    Reset,
    /// It had not ended when patience did.
    Open,
}

/// A response that did not become complete.
pub struct Broken {
    pub end: End,
    /// What had come of the head and the body (decoded).
    pub head: Option<Response>,
    pub rest: Vec<u8>,
}

// === impl Client ===

impl Client {
    pub fn connect(to: SocketAddr) -> Client {
        Client::try_connect(to).unwrap_or_else(|error| panic!("cannot connect to {to}: {error}"))
    }

    pub fn try_connect(to: SocketAddr) -> io::Result<Client> {
        let tcp = TcpStream::connect_timeout(&to, PATIENCE)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_write_timeout(Some(PATIENCE))?;
        Ok(Client { wire: Box::new(tcp.try_clone()?), tcp, buf: Vec::new() })
    }

    /// The same connection, its bytes carried by something else (TLS).
    pub fn over(wire: impl Wire + 'static, tcp: TcpStream) -> Client {
        Client { wire: Box::new(wire), tcp, buf: Vec::new() }
    }

    /// What carries the bytes, none of which has been read yet.
    pub fn into_wire(self) -> Box<dyn Wire> {
        assert!(self.buf.is_empty(), "bytes would be lost: {}", show(&self.buf));
        self.wire
    }

    /// Receive buffer, to be set small where a slow reader is wanted.
    pub fn receive_buffer(&self, bytes: usize) {
        SockRef::from(&self.tcp).set_recv_buffer_size(bytes).expect("a socket takes a size");
    }

    pub fn read_timeout(&self, time: Duration) {
        self.tcp.set_read_timeout(Some(time)).expect("a timeout above zero");
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Client {
        self.try_send(bytes).expect("the gateway takes the bytes");
        self
    }

    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.wire.write_all(bytes.as_ref())?;
        self.wire.flush()
    }

    /// Sends pieces with a pause between them, so that each arrives alone.
    pub fn send_split<'a>(
        &mut self,
        pieces: impl IntoIterator<Item = &'a [u8]>,
        pause: Duration,
    ) -> &mut Client {
        for piece in pieces {
            // Who is refused early may stop listening.
            if self.try_send(piece).is_err() {
                break;
            }
            std::thread::sleep(pause);
        }
        self
    }

    /// A FIN: nothing more will be sent.
    pub fn finish(&self) {
        let _ = self.tcp.shutdown(Shutdown::Write);
    }

    /// Leaves with a RST.
    pub fn reset(self) {
        let _ = SockRef::from(&self.tcp).set_linger(Some(Duration::ZERO));
    }

    /// One complete response to a GET; anything else fails the test.
    pub fn response(&mut self) -> Response {
        self.response_to("GET")
    }

    pub fn response_to(&mut self, method: &str) -> Response {
        self.try_response(method).unwrap_or_else(|broken| panic!("no response: {broken:?}"))
    }

    /// One response, whole or not.
    pub fn try_response(&mut self, method: &str) -> Result<Response, Box<Broken>> {
        let mut interim = Vec::new();
        let mut response = loop {
            let head = self.head()?;
            if head.status >= 200 {
                break head;
            }
            interim.push(head);
        };
        response.interim = interim;
        match response.framing(method) {
            Framing::None => {}
            Framing::Length(length) => {
                while self.buf.len() < length {
                    if let Err(end) = self.more() {
                        return Err(self.broken(end, Some(response)));
                    }
                }
                response.body = self.buf.drain(..length).collect();
            }
            Framing::Chunked => loop {
                match self.chunk() {
                    Ok(Chunk::Data(data)) => response.body.extend(data),
                    Ok(Chunk::Last(trailers)) => {
                        response.trailers = trailers;
                        break;
                    }
                    Err(end) => return Err(self.broken(end, Some(response))),
                }
            },
            Framing::UntilClose => match self.drain() {
                End::Fin => response.body = std::mem::take(&mut self.buf),
                end => return Err(self.broken(end, Some(response))),
            },
        }
        Ok(response)
    }

    /// The next head only; its body is left to be read.
    pub fn head(&mut self) -> Result<Response, Box<Broken>> {
        loop {
            if let Some(end) = head_end(&self.buf) {
                let head: Vec<u8> = self.buf.drain(..end).collect();
                return Ok(Response::of_head(&head));
            }
            if let Err(end) = self.more() {
                return Err(self.broken(end, None));
            }
        }
    }

    /// The next piece of a chunked body.
    pub fn chunk(&mut self) -> Result<Chunk, End> {
        loop {
            if let Some((found, len)) = chunk(&self.buf) {
                self.buf.drain(..len);
                return Ok(found);
            }
            self.more()?;
        }
    }

    /// Exactly so many bytes.
    pub fn take(&mut self, len: usize) -> Result<Vec<u8>, End> {
        while self.buf.len() < len {
            self.more()?;
        }
        Ok(self.buf.drain(..len).collect())
    }

    /// Everything until the end, and how that came.
    pub fn read_to_end(&mut self) -> (Vec<u8>, End) {
        let end = self.drain();
        (std::mem::take(&mut self.buf), end)
    }

    /// How the connection ends, within `time`; bytes that come are kept.
    pub fn end_within(&mut self, time: Duration) -> End {
        self.read_timeout(time);
        let end = self.drain();
        self.read_timeout(PATIENCE);
        end
    }

    /// Fails unless the gateway closes, having sent nothing more.
    pub fn expect_closed(&mut self) {
        let end = self.drain();
        assert!(self.buf.is_empty(), "unasked bytes: {}", show(&self.buf));
        assert_ne!(end, End::Open, "the connection stays open");
    }

    /// Whether nothing comes and nothing ends for `time`.
    pub fn is_quiet_for(&mut self, time: Duration) -> bool {
        self.end_within(time) == End::Open && self.buf.is_empty()
    }

    fn drain(&mut self) -> End {
        loop {
            if let Err(end) = self.more() {
                return end;
            }
        }
    }

    /// Reads once.
    pub fn more(&mut self) -> Result<usize, End> {
        let mut bytes = [0; 64 * 1024];
        let until = Instant::now() + PATIENCE;
        loop {
            match self.wire.read(&mut bytes) {
                Ok(0) => return Err(End::Fin),
                Ok(n) => {
                    self.buf.extend_from_slice(&bytes[..n]);
                    return Ok(n);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted if Instant::now() < until => {}
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => return Err(End::Open),
                    _ => return Err(End::Reset),
                },
            }
        }
    }

    fn broken(&mut self, end: End, head: Option<Response>) -> Box<Broken> {
        Box::new(Broken { end, head, rest: std::mem::take(&mut self.buf) })
    }
}

// === impl Broken ===

impl std::fmt::Debug for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Broken by {:?}: {:?}, then {}", self.end, self.head, show(&self.rest))
    }
}

/// One request on a connection of its own.
pub fn ask(to: SocketAddr, bytes: impl AsRef<[u8]>) -> Response {
    let method = String::from_utf8_lossy(bytes.as_ref());
    let method = method.split(' ').next().expect("split gives one part at least").to_owned();
    Client::connect(to).send(bytes).response_to(&method)
}

/// A plain GET on a connection of its own.
pub fn get(to: SocketAddr, path: &str) -> Response {
    ask(to, format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
}
