//! One HTTP/2 connection of the origin: requests in, the recipe's steps out, on as many streams as
//! the peer likes; gRPC calls get their message back. What to answer comes from `reply`.
//!
//! Invariant: a stream that is reset, or whose connection ends, while its answer is due counts as
//! aborted, once; its task finds the stream gone and stops.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::LazyLock;
use std::sync::atomic::Ordering::Relaxed;

use super::counters::{self, bump};
use super::recipe::{BODY, Recipe};
use super::reply::{self, Step};
use crate::h2::hpack::{self, Decoder};
use crate::h2::link::{Event, Link};
use crate::h2::outbox::Piece;
use crate::h2::{self, Fault, frame};
use crate::transport::Transport;
use crate::wake::Wake;

const BUFFER: usize = 64 * 1024;
const BUFFER_MAX: usize = 256 * 1024;
/// A body larger than this is not given back.
const ECHO_BYTES_MAX: usize = 64 << 20;

static DEFAULT_HEAD: LazyLock<Vec<u8>> =
    LazyLock::new(|| reply::block(200, "text/plain", Some(BODY.len())));
static GRPC_HEAD: LazyLock<Vec<u8>> = LazyLock::new(|| reply::block(200, "application/grpc", None));
static GRPC_END: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut block = Vec::new();
    hpack::encode(&mut block, "grpc-status", b"0");
    block
});

/// What the tasks of one connection share.
struct Streams {
    link: RefCell<Link>,
    wake: Wake,
    peer: SocketAddr,
}

/// A request whose end has not come.
#[derive(Default)]
struct Request {
    is_head: bool,
    is_grpc: bool,
    target: String,
    length: Option<u64>,
    received: u64,
    body: Vec<u8>,
    /// The fields as they came, a line each.
    text: String,
    malformed: bool,
}

/// Serves a connection whose preface was taken off `buf`.
pub async fn serve(mut transport: Transport, peer: SocketAddr, buf: Vec<u8>) -> io::Result<()> {
    let streams = Rc::new(Streams { link: RefCell::new(Link::server()), wake: Wake::new(), peer });
    let mut requests = HashMap::new();
    let result = run(&mut transport, &streams, &mut requests, buf).await;
    let unanswered = streams.link.borrow_mut().outbox.close_all() + requests.len();
    counters::ABORTED.fetch_add(unanswered as u64, Relaxed);
    result
}

async fn run(
    transport: &mut Transport,
    streams: &Rc<Streams>,
    requests: &mut HashMap<u32, Request>,
    mut buf: Vec<u8>,
) -> io::Result<()> {
    let mut last = 0;
    buf.reserve(BUFFER);
    loop {
        let taken = streams.take(&buf, requests, &mut last);
        if let Ok(used) = taken {
            buf.drain(..used);
        }
        if let Err(fault) = &taken {
            bump(&counters::MALFORMED);
            eprintln!("ringway-load origin: HTTP/2: {}", fault.0);
            let out = &mut streams.link.borrow_mut().outbox.bytes;
            frame::goaway(out, last, h2::PROTOCOL_ERROR);
        }
        streams.flush(transport).await?;
        if taken.is_err() {
            transport.finish().await?;
            // Until the peer's FIN, so that our last bytes are not destroyed by an RST.
            while transport.read(&mut { Vec::with_capacity(BUFFER) }).await? > 0 {}
            return Ok(());
        }
        if buf.len() == buf.capacity() {
            buf.reserve(BUFFER_MAX);
        }
        if transport.read_until(&streams.wake, &mut buf).await? == Some(0) {
            return Ok(());
        }
        streams.wake.take();
    }
}

// === impl Streams ===

impl Streams {
    async fn flush(&self, transport: &mut Transport) -> io::Result<()> {
        loop {
            let (more, bytes) = {
                let outbox = &mut self.link.borrow_mut().outbox;
                (outbox.pump(), std::mem::take(&mut outbox.bytes))
            };
            if bytes.is_empty() {
                return Ok(());
            }
            let (result, mut bytes) = transport.write_all(bytes).await;
            result?;
            bytes.clear();
            // Tasks may have written meanwhile.
            let outbox = &mut self.link.borrow_mut().outbox;
            if outbox.bytes.is_empty() {
                outbox.bytes = bytes;
                if !more {
                    return Ok(());
                }
            }
        }
    }

    /// Takes whole frames; says how many bytes.
    fn take(
        self: &Rc<Self>,
        bytes: &[u8],
        requests: &mut HashMap<u32, Request>,
        last: &mut u32,
    ) -> Result<usize, Fault> {
        let mut at = 0;
        loop {
            let Some((used, event)) = self.link.borrow_mut().next(&bytes[at..])? else {
                return Ok(at);
            };
            at += used;
            match event {
                Event::None | Event::GoAway { .. } => {}
                Event::Headers { id, end, block } => {
                    let read = Request::read(&mut self.link.borrow_mut().decoder, &block)?;
                    if let Some(mut request) = requests.remove(&id) {
                        request.malformed |= !end; // trailers end the request
                        self.answer(id, request);
                        continue;
                    }
                    if id % 2 == 0 || id <= *last {
                        return Err(Fault("a stream's number"));
                    }
                    *last = id;
                    if end {
                        self.answer(id, read);
                    } else {
                        requests.insert(id, read);
                    }
                }
                Event::Data { id, end, bytes } => {
                    if id > *last {
                        return Err(Fault("DATA of an idle stream"));
                    }
                    counters::BODY_BYTES.fetch_add(bytes.len() as u64, Relaxed);
                    let Some(request) = requests.get_mut(&id) else {
                        continue; // was reset
                    };
                    request.store(bytes);
                    if end && let Some(request) = requests.remove(&id) {
                        self.answer(id, request);
                    }
                }
                Event::Reset { id, .. } => {
                    let due = self.link.borrow_mut().outbox.close(id);
                    if requests.remove(&id).is_some() || due {
                        bump(&counters::ABORTED);
                    }
                }
            }
        }
    }

    fn answer(self: &Rc<Self>, id: u32, request: Request) {
        let wrong_length = request.length.is_some_and(|length| length != request.received);
        let outbox = &mut self.link.borrow_mut().outbox;
        if request.malformed || wrong_length {
            bump(&counters::MALFORMED);
            return frame::word(&mut outbox.bytes, frame::RST_STREAM, id, h2::PROTOCOL_ERROR);
        }
        bump(&counters::REQUESTS);
        if request.is_grpc {
            outbox.headers(id, &GRPC_HEAD, false);
            outbox.open(id);
            outbox.push(id, Piece::of(grpc_message(request.body)));
            outbox.push(id, Piece::Trailers(GRPC_END.clone()));
            return;
        }
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let special = match path {
            "/headers" => Some(request.text.into_bytes()),
            "/ip" => Some(self.peer.ip().to_string().into_bytes()),
            "/status" => Some(counters::json().into_bytes()),
            _ if query.is_empty() && !request.is_head => {
                outbox.headers(id, &DEFAULT_HEAD, false);
                return outbox.body(id, Cow::Borrowed(BODY));
            }
            _ => None,
        };
        let played = Recipe::parse(query).and_then(|recipe| {
            let echo = special.or(recipe.echo.then_some(request.body));
            reply::steps(&recipe, request.is_head, echo)
        });
        let steps = played.unwrap_or_else(|reason| {
            let block = reply::block(400, "text/plain", Some(reason.len()));
            let reason = Piece::of(reason.into_bytes());
            let head = Step::Head { block: block.into(), end: request.is_head };
            let body = [Step::Send(reason), Step::Send(Piece::End)];
            let body = body.into_iter().filter(|_| !request.is_head);
            std::iter::once(head).chain(body).collect()
        });
        outbox.open(id);
        let mut steps = steps.into_iter();
        if let Some(pause) = steps.by_ref().find_map(|step| self.play(id, step, outbox)) {
            let streams = Rc::clone(self);
            monoio::spawn(async move { streams.go_on(id, pause, steps).await });
        }
    }

    /// The steps after a pause, and after each further one.
    async fn go_on(&self, id: u32, pause: std::time::Duration, steps: std::vec::IntoIter<Step>) {
        let mut steps = steps;
        let mut pause = Some(pause);
        while let Some(wait) = pause {
            monoio::time::sleep(wait).await;
            let outbox = &mut self.link.borrow_mut().outbox;
            if !outbox.is_open(id) {
                return; // reset meanwhile
            }
            pause = steps.by_ref().find_map(|step| self.play(id, step, outbox));
            self.wake.wake();
        }
    }

    /// One step; a pause is given back.
    fn play(
        &self,
        id: u32,
        step: Step,
        outbox: &mut h2::outbox::Outbox,
    ) -> Option<std::time::Duration> {
        match step {
            Step::Wait(pause) => return Some(pause),
            Step::Head { block, end } => {
                outbox.headers(id, &block, end);
                if end {
                    outbox.close(id);
                }
            }
            Step::Send(piece) => {
                outbox.push(id, piece);
            }
            Step::Event(bytes) => {
                bump(&counters::EVENTS);
                outbox.push(id, Piece::of(bytes));
            }
            Step::Silence => {}
            Step::Leave => {
                // All that is on its way is answered, and the peer ends the connection: the first
                // half of section 6.8's graceful end, so that no request is lost by it.
                frame::goaway(&mut outbox.bytes, 0x7fff_ffff, h2::NO_ERROR);
            }
        }
        None
    }
}

// === impl Request ===

impl Request {
    /// RFC 9113 section 8.3.1: what breaks it is the stream's fault, not the connection's.
    fn read(decoder: &mut Decoder, block: &[u8]) -> Result<Request, Fault> {
        let mut request = Request::default();
        let mut method = false;
        let mut scheme = false;
        let mut regular = false;
        decoder.decode(block, |name, value| {
            let text = String::from_utf8_lossy(value);
            request.text.push_str(&String::from_utf8_lossy(name));
            request.text.push_str(": ");
            request.text.push_str(&text);
            request.text.push('\n');
            let upper = name.iter().any(u8::is_ascii_uppercase);
            request.malformed |= upper || (regular && name.starts_with(b":"));
            regular |= !name.starts_with(b":");
            match name {
                b":method" => {
                    request.malformed |= method;
                    method = true;
                    request.is_head = value == b"HEAD";
                }
                b":path" => {
                    request.malformed |= !request.target.is_empty();
                    request.target = text.into_owned();
                }
                b":scheme" => scheme = true,
                b":authority" => {}
                b"content-type" => request.is_grpc = value.starts_with(b"application/grpc"),
                b"content-length" => {
                    request.malformed |= request.length.is_some();
                    request.length = text.parse().ok();
                    request.malformed |= request.length.is_none();
                }
                b"te" => request.malformed |= value != b"trailers",
                b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding"
                | b"upgrade" => request.malformed = true,
                name => request.malformed |= name.starts_with(b":"),
            }
            Ok(())
        })?;
        request.malformed |= !method || !scheme || request.target.is_empty();
        Ok(request)
    }

    fn store(&mut self, bytes: &[u8]) {
        self.received += bytes.len() as u64;
        let kept = self.is_grpc || self.target.contains("echo");
        if kept && self.body.len() + bytes.len() <= ECHO_BYTES_MAX {
            self.body.extend_from_slice(bytes);
        }
    }
}

/// The call's first message, prefix and all; without one, our own.
fn grpc_message(body: Vec<u8>) -> Vec<u8> {
    if let [_, a, b, c, d, rest @ ..] = body.as_slice() {
        let length = usize::try_from(frame::number(&[*a, *b, *c, *d])).unwrap_or(usize::MAX);
        if length <= rest.len() {
            let mut body = body;
            body.truncate(5 + length);
            return body;
        }
    }
    [&[0, 0, 0, 0, 42], BODY.as_slice()].concat()
}
