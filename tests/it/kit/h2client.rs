//! An HTTP/2 client that shows fields and trailers: the `h2` crate's, polled while a script waits.
//!
//! For what happens inside well-formed streams; frames of one's own making are `h2raw`'s. Nothing
//! moves on the connection but while a call waits for something.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, response};

use super::client::Client;
use super::h2origin::{Polled, send};
use super::{PATIENCE, ms};

/// A connection to the gateway.
pub struct H2Client {
    connection: Pin<Box<dyn Future<Output = Result<(), h2::Error>>>>,
    requests: SendRequest<Bytes>,
}

/// One request on it.
pub struct Stream {
    up: SendStream<Bytes>,
    response: ResponseFuture,
    down: Option<RecvStream>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
    /// The stream was reset.
    pub broken: Option<Reason>,
}

// === impl H2Client ===

impl H2Client {
    pub fn connect(to: SocketAddr) -> H2Client {
        H2Client::over(Client::connect(to))
    }

    /// Speaks HTTP/2 on a connection (after TLS, with ALPN).
    pub fn over(client: Client) -> H2Client {
        client.tcp.set_nonblocking(true).expect("a socket takes a flag");
        let handshake = h2::client::handshake(Polled(client.into_wire()));
        let (requests, connection) = wait(PATIENCE, handshake, || {}).expect("HTTP/2 is spoken");
        H2Client { connection: Box::pin(connection), requests }
    }

    /// Waits for `future` while the connection moves.
    pub fn run<T>(&mut self, future: impl Future<Output = T>) -> T {
        let connection = &mut self.connection;
        let mut ended = false;
        wait(PATIENCE, future, || {
            if !ended {
                let cx = &mut Context::from_waker(Waker::noop());
                ended = connection.as_mut().poll(cx).is_ready();
            }
        })
    }

    /// Lets the connection move for a while.
    pub fn idle(&mut self, time: Duration) {
        self.run(super::h2origin::pause(time));
    }

    /// Sends a head; data follow unless it is `last`.
    pub fn open(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        last: bool,
    ) -> Stream {
        let uri = format!("http://a.test{path}");
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a valid head");
        let mut requests = self.requests.clone();
        let ready = self.run(poll_fn(|cx| requests.poll_ready(cx)));
        ready.expect("the connection is open");
        let (response, up) = requests.send_request(request, last).expect("a stream");
        Stream { up, response, down: None }
    }

    /// Sends data.
    pub fn send(&mut self, stream: &mut Stream, bytes: &[u8], last: bool) {
        if bytes.is_empty() {
            stream.up.send_data(Bytes::new(), last).expect("the stream is open");
        }
        self.run(send(&mut stream.up, bytes, last));
        self.idle(ms(1));
    }

    /// The answer's head.
    pub fn head(&mut self, stream: &mut Stream) -> Result<response::Parts, h2::Error> {
        let (parts, down) = self.run(&mut stream.response)?.into_parts();
        stream.down = Some(down);
        Ok(parts)
    }

    /// The next data; after [`H2Client::head`].
    pub fn data(&mut self, stream: &mut Stream) -> Option<Result<Bytes, h2::Error>> {
        let down = stream.down.as_mut().expect("the head was read");
        let data = self.run(down.data());
        if let Some(Ok(data)) = &data {
            down.flow_control().release_capacity(data.len()).expect("it was received");
        }
        data
    }

    /// Exactly so many bytes of data.
    pub fn exactly(&mut self, stream: &mut Stream, len: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < len {
            let data = self.data(stream).expect("more data").expect("the stream goes on");
            all.extend_from_slice(&data);
        }
        assert_eq!(all.len(), len, "more than was waited for");
        all
    }

    /// The whole answer, or what came of it.
    pub fn answer(&mut self, stream: &mut Stream) -> Answer {
        let head = self.head(stream).unwrap_or_else(|error| panic!("no answer: {error}"));
        self.rest(stream, head)
    }

    /// What follows the head.
    pub fn rest(&mut self, stream: &mut Stream, head: response::Parts) -> Answer {
        let (status, headers) = (head.status.as_u16(), head.headers);
        let mut answer = Answer { status, headers, body: Vec::new(), trailers: None, broken: None };
        while let Some(data) = self.data(stream) {
            match data {
                Ok(data) => answer.body.extend_from_slice(&data),
                Err(error) => {
                    answer.broken = Some(error.reason().unwrap_or(Reason::INTERNAL_ERROR));
                    return answer;
                }
            }
        }
        let down = stream.down.as_mut().expect("the head was read");
        match self.run(down.trailers()) {
            Ok(trailers) => answer.trailers = trailers,
            Err(error) => answer.broken = error.reason(),
        }
        answer
    }

    /// A request with its body, and the answer.
    pub fn ask(&mut self, path: &str, fields: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut stream = self.open("POST", path, fields, false);
        self.send(&mut stream, body, true);
        self.answer(&mut stream)
    }

    /// Resets the stream.
    pub fn reset(&mut self, stream: &mut Stream, reason: Reason) {
        stream.up.send_reset(reason);
        self.idle(ms(20));
    }
}

// === impl Answer ===

impl Answer {
    /// A field of the head, or of the trailers.
    pub fn field(&self, name: &str) -> Option<&str> {
        let trailer = self.trailers.as_ref().and_then(|trailers| trailers.get(name));
        self.headers.get(name).or(trailer).map(|value| value.to_str().expect("text"))
    }
}

fn wait<T>(time: Duration, future: impl Future<Output = T>, mut turn: impl FnMut()) -> T {
    let cx = &mut Context::from_waker(Waker::noop());
    let mut future = pin!(future);
    let until = Instant::now() + time;
    loop {
        turn();
        if let Poll::Ready(done) = future.as_mut().poll(cx) {
            turn();
            return done;
        }
        assert!(Instant::now() < until, "it does not come");
        std::thread::sleep(Duration::from_micros(200));
    }
}
