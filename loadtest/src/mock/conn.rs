//! One connection of the mock: requests in, the endpoint found, an answer or a refusal out. Owns
//! the buffers and the order of things; what is said comes from `wire` and `refusal`, when from
//! `play`.
//!
//! Invariant: an answer that needs no time and commits no fault costs one send.

use std::io;
use std::rc::Rc;

use serde_json::Value;

use super::asked::Asked;
use super::counters::{self, End, Running};
use super::line::Line;
use super::options::Options;
use super::play::{self, Job, Then};
use super::refusal::Refusal;
use super::wire::{Answer, Endpoint, put};
use super::{Shared, catalogue, vectors};
use crate::chunked::Chunked;
use crate::clock;
use crate::origin::request::{self, Body};
use crate::transport::Transport;

const BUFFER: usize = 16 * 1024;
const BODY_BYTES_MAX: usize = 64 << 20;

pub struct Conn {
    transport: Transport,
    shared: Rc<Shared>,
    buf: Vec<u8>,
    /// An answer on its way out, and its body before that; kept between answers.
    out: Vec<u8>,
    body: Vec<u8>,
}

/// A request as it came: head and body, whole.
struct Call<'a> {
    method: &'a str,
    /// Without the query.
    path: &'a str,
    key: &'a str,
    /// Anthropic's clients say their version.
    version: bool,
    options: Options,
    /// The fields that begin with `x-mock-`, without that.
    mock_fields: Vec<(String, &'a str)>,
    keep_alive: bool,
    body: &'a [u8],
    id: String,
}

/// Where the bytes of a request are in the buffer.
struct Framed {
    head: usize,
    body: Body,
    keep_alive: bool,
    is_head: bool,
}

// === impl Conn ===

impl Conn {
    pub fn new(transport: Transport, shared: Rc<Shared>) -> Conn {
        Conn {
            transport,
            shared,
            buf: Vec::with_capacity(BUFFER),
            out: Vec::new(),
            body: Vec::new(),
        }
    }

    pub async fn serve(mut self) -> io::Result<()> {
        loop {
            match self.exchange().await? {
                Then::Again => {}
                Then::Reset => return self.transport.reset_on_drop(),
                Then::Close => {
                    self.transport.finish().await?;
                    // Until the peer's FIN: closing with unread bytes would be an RST that
                    // destroys what we sent (RFC 9112 section 9.6).
                    loop {
                        self.buf.clear();
                        if self.receive().await? == 0 {
                            return Ok(());
                        }
                    }
                }
            }
        }
    }

    async fn exchange(&mut self) -> io::Result<Then> {
        let framed = loop {
            let parsed = if self.buf.is_empty() { Ok(None) } else { request::parse(&self.buf) };
            match parsed {
                Ok(Some(request)) => {
                    let expects = request.expects_continue;
                    let framed = Framed {
                        head: request.head_len,
                        body: request.body,
                        keep_alive: request.keep_alive,
                        is_head: request.is_head,
                    };
                    if expects && self.buf.len() == framed.head {
                        self.send(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()).await?;
                    }
                    break framed;
                }
                Ok(None) => {}
                Err(reason) => return self.bad_http(reason).await,
            }
            if self.receive().await? == 0 {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
        };
        let mut decoded = Vec::new();
        let Some(used) = self.receive_body(&framed, &mut decoded).await? else {
            return self.refuse_unread().await;
        };
        let wire = std::mem::take(&mut self.buf);
        let (head, rest) = wire.split_at(framed.head);
        let body = if framed.body == Body::Chunked { &decoded[..] } else { &rest[..used] };
        let then = match Call::read(head, body, &framed, &self.shared) {
            Ok(call) => self.answer(call, framed.is_head).await,
            Err(reason) => self.bad_http(reason).await,
        };
        let mut wire = wire;
        wire.drain(..framed.head + used);
        self.buf = wire;
        then
    }

    /// Until the body is in the buffer (or, of chunks, decoded): how many bytes of the buffer are
    /// its. `None`: too large.
    async fn receive_body(
        &mut self,
        framed: &Framed,
        decoded: &mut Vec<u8>,
    ) -> io::Result<Option<usize>> {
        let length = match framed.body {
            Body::None => return Ok(Some(0)),
            Body::Length(n) => n,
            Body::Chunked => 0,
        };
        let length = match usize::try_from(length) {
            Ok(n) if n <= BODY_BYTES_MAX => n,
            _ => return Ok(None),
        };
        let mut chunks = Chunked::default();
        let mut at = framed.head;
        loop {
            if framed.body == Body::Chunked {
                let fed = chunks.feed(&self.buf[at..], |piece| decoded.extend_from_slice(piece));
                at += fed.map_err(|bad| io::Error::new(io::ErrorKind::InvalidData, bad.0))?;
                if decoded.len() > BODY_BYTES_MAX {
                    return Ok(None);
                }
                if chunks.is_done() {
                    return Ok(Some(at - framed.head));
                }
            } else if self.buf.len() >= framed.head + length {
                return Ok(Some(length));
            } else {
                self.buf.reserve(framed.head + length - self.buf.len());
            }
            if self.receive().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn answer(&mut self, call: Call<'_>, is_head: bool) -> io::Result<Then> {
        if call.path.starts_with("/mock/") {
            return self.control(&call).await;
        }
        if is_head || call.path == "/" || call.path == "/healthz" {
            return self
                .json(200, &call, |out| {
                    if !is_head {
                        out.extend_from_slice(b"{}");
                    }
                })
                .await;
        }
        if call.method == "GET" {
            let anthropic = call.version;
            if let Some(body) = catalogue(&self.shared.models, call.path, anthropic) {
                return self.json(200, &call, |out| out.extend_from_slice(body.as_bytes())).await;
            }
            return self.refuse(&call, anthropic, &Refusal::no_path("GET", call.path)).await;
        }
        match Endpoint::of(call.path) {
            Some(endpoint) if call.method == "POST" => self.generate(endpoint, call).await,
            _ => {
                let refusal = Refusal::no_path(call.method, call.path);
                self.refuse(&call, call.version, &refusal).await
            }
        }
    }

    /// What tests and scripts ask of the process.
    async fn control(&mut self, call: &Call<'_>) -> io::Result<Then> {
        let said = match (call.method, call.path) {
            ("GET", "/mock/counters") => Ok(counters::json()),
            ("GET", "/mock/aborts") => Ok(counters::aborts()),
            ("POST", "/mock/reset") => {
                counters::reset();
                Ok("{}".into())
            }
            ("POST", "/mock/faults") => {
                let text = std::str::from_utf8(call.body).unwrap_or("?");
                self.shared.shares.set(text.split([',', '\n'])).map(|()| "{}".into())
            }
            _ => Err(format!("nothing at {} {}", call.method, call.path)),
        };
        match said {
            Ok(body) => self.json(200, call, |out| out.extend_from_slice(body.as_bytes())).await,
            Err(reason) => self.refuse(call, false, &Refusal::bad_request(reason)).await,
        }
    }

    async fn generate(&mut self, endpoint: Endpoint, mut call: Call<'_>) -> io::Result<Then> {
        counters::asked(endpoint);
        let arrived = clock::now();
        let anthropic = endpoint.is_anthropic();
        let asked = match self.read(endpoint, &mut call) {
            Ok(asked) => asked,
            Err(refusal) => return self.refuse(&call, anthropic, &refusal).await,
        };
        if call.options.fault.is_none() {
            call.options.fault = self.shared.shares.draw(&mut self.shared.dice.borrow_mut());
        }
        if let Some(fault) = call.options.fault {
            counters::committed(&fault.name());
            if let Some(refusal) = Refusal::of_fault(fault, call.options.retry_after) {
                return self.refuse(&call, anthropic, &refusal).await;
            }
        }
        let running = Running::begin(&asked.model, call.key);
        let id = self.shared.id();
        let answer = Answer::new(endpoint, &asked, &call.options, id, clock::unix());
        let options = &call.options;
        let takes_time = !options.first.is_zero() || !options.pace.is_zero();
        if !asked.stream && !takes_time && options.fault.is_none() && options.split.is_none() {
            self.json(200, &call, |out| body(endpoint, &asked, &answer, out)).await?;
            running.end(End::Completed, &answer.usage, &asked.tag);
            return Ok(call.then());
        }
        let fields = call.fields();
        let job = Job { endpoint, answer: &answer, options, fields: &fields, arrived };
        let mut line = Line::new(&mut self.transport);
        let played = match endpoint.wire() {
            Some(wire) if asked.stream => job.stream(wire, &mut line).await,
            _ => {
                let mut bytes = Vec::new();
                body(endpoint, &asked, &answer, &mut bytes);
                job.whole(bytes, &mut line).await
            }
        };
        let usage = play::usage_of(&answer, played.end, played.sent);
        running.end(played.end, &usage, &asked.tag);
        match played.end {
            End::Aborted(_) => Err(io::ErrorKind::ConnectionAborted.into()),
            _ if played.then == Then::Again => Ok(call.then()),
            _ => Ok(played.then),
        }
    }

    /// Everything that can be wrong with a request, in the order in which providers look.
    fn read(&self, endpoint: Endpoint, call: &mut Call<'_>) -> Result<Asked, Refusal> {
        let keys = &self.shared.keys;
        if !keys.is_empty() && !keys.iter().any(|key| key == call.key) {
            return Err(Refusal::no_key(call.key));
        }
        if endpoint.is_anthropic() && !call.version {
            return Err(Refusal::bad_request("anthropic-version: header is required"));
        }
        let body: Value = serde_json::from_slice(call.body).map_err(|_| Refusal::not_json())?;
        let asked = Asked::read(endpoint, &body).map_err(Refusal::of_complaint)?;
        if !self.shared.has_model(&asked.model) {
            return Err(Refusal::no_model(&asked.model, endpoint.is_anthropic()));
        }
        let dice = &mut *self.shared.dice.borrow_mut();
        let options = &mut call.options;
        options.read_model(&asked.model, dice).map_err(Refusal::bad_request)?;
        for (name, value) in &call.mock_fields {
            options.read_field(name, value, dice).map_err(Refusal::bad_request)?;
        }
        Ok(asked)
    }

    async fn refuse(
        &mut self,
        call: &Call<'_>,
        anthropic: bool,
        refusal: &Refusal,
    ) -> io::Result<Then> {
        counters::answered_with_an_error();
        let mut fields = String::new();
        if let Some(wait) = refusal.retry_after {
            let (ms, up) = (wait.as_millis(), wait.as_millis().div_ceil(1000));
            fields = format!("retry-after: {up}\r\nretry-after-ms: {ms}\r\n");
        }
        let mut body = Vec::new();
        refusal.body(anthropic, &call.id, &mut body);
        let mut out = std::mem::take(&mut self.out);
        head(refusal.status, body.len(), &format!("{fields}{}", call.fields()), &mut out);
        out.extend_from_slice(&body);
        self.send_kept(out).await?;
        Ok(call.then())
    }

    /// An answer that is there at once.
    async fn json(
        &mut self,
        status: u16,
        call: &Call<'_>,
        body: impl FnOnce(&mut Vec<u8>),
    ) -> io::Result<Then> {
        let mut bytes = std::mem::take(&mut self.body);
        body(&mut bytes);
        let mut out = std::mem::take(&mut self.out);
        head(status, bytes.len(), &call.fields(), &mut out);
        out.extend_from_slice(&bytes);
        bytes.clear();
        self.body = bytes;
        self.send_kept(out).await?;
        Ok(call.then())
    }

    async fn bad_http(&mut self, reason: &str) -> io::Result<Then> {
        let mut out = Vec::new();
        head(400, reason.len(), "Connection: close\r\n", &mut out);
        out.extend_from_slice(reason.as_bytes());
        self.send(out).await?;
        Ok(Then::Close)
    }

    async fn refuse_unread(&mut self) -> io::Result<Then> {
        counters::answered_with_an_error();
        let mut body = Vec::new();
        Refusal::too_large().body(false, "req_mock", &mut body);
        let mut out = Vec::new();
        head(413, body.len(), "Connection: close\r\n", &mut out);
        out.append(&mut body);
        self.send(out).await?;
        Ok(Then::Close)
    }

    async fn receive(&mut self) -> io::Result<usize> {
        if self.buf.len() == self.buf.capacity() {
            self.buf.reserve(BUFFER.max(self.buf.len()));
        }
        self.transport.read(&mut self.buf).await
    }

    async fn send(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        self.transport.write_all(bytes).await.0
    }

    async fn send_kept(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        let (result, mut bytes) = self.transport.write_all(bytes).await;
        bytes.clear();
        if bytes.capacity() <= 1 << 20 {
            self.out = bytes;
        }
        result
    }
}

// === impl Call ===

impl<'a> Call<'a> {
    fn read(
        head: &'a [u8],
        body: &'a [u8],
        framed: &Framed,
        shared: &Shared,
    ) -> Result<Call<'a>, &'static str> {
        let text = std::str::from_utf8(head).map_err(|_| "head syntax")?;
        let mut lines = text.split("\r\n");
        let mut first = lines.next().unwrap_or("").split(' ');
        let method = first.next().unwrap_or("");
        let target = first.next().unwrap_or("");
        let mut call = Call {
            method,
            path: target.split('?').next().unwrap_or(target),
            key: "",
            version: false,
            options: shared.options.clone(),
            mock_fields: Vec::new(),
            keep_alive: framed.keep_alive,
            body,
            id: String::new(),
        };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            call.note(name, value.trim());
        }
        call.id = format!("req_{}", shared.id());
        Ok(call)
    }

    fn note(&mut self, name: &str, value: &'a str) {
        match name.len() {
            9 if name.eq_ignore_ascii_case("x-api-key") => self.key = value,
            13 if name.eq_ignore_ascii_case("authorization") => {
                self.key = value.strip_prefix("Bearer ").unwrap_or(value).trim();
            }
            17 if name.eq_ignore_ascii_case("anthropic-version") => self.version = true,
            _ => {
                let begin = name.get(..7).filter(|name| name.eq_ignore_ascii_case("x-mock-"));
                if begin.is_some() {
                    self.mock_fields.push((name[7..].to_ascii_lowercase(), value));
                }
            }
        }
    }

    /// The fields that every answer has, in the dialect's names.
    fn fields(&self) -> String {
        let close = if self.keep_alive { "" } else { "Connection: close\r\n" };
        let id = &self.id;
        if self.version {
            return format!(
                "request-id: {id}\r\nanthropic-ratelimit-requests-limit: 10000\r\n\
                 anthropic-ratelimit-requests-remaining: 9999\r\n{close}"
            );
        }
        format!(
            "x-request-id: {id}\r\nopenai-version: 2020-10-01\r\nopenai-processing-ms: 1\r\n\
             x-ratelimit-limit-requests: 10000\r\nx-ratelimit-remaining-requests: 9999\r\n\
             x-ratelimit-reset-requests: 6ms\r\n{close}"
        )
    }

    fn then(&self) -> Then {
        if self.keep_alive { Then::Again } else { Then::Close }
    }
}

fn body(endpoint: Endpoint, asked: &Asked, answer: &Answer, out: &mut Vec<u8>) {
    match endpoint.wire() {
        Some(wire) => wire.whole(answer, out),
        None if endpoint == Endpoint::CountTokens => {
            put(out, format_args!(r#"{{"input_tokens":{}}}"#, asked.input));
        }
        None => vectors::write(asked, answer, out),
    }
}

fn head(status: u16, length: usize, fields: &str, out: &mut Vec<u8>) {
    let reason = match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        413 => "Content Too Large",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        529 => "Overloaded",
        _ => "Whatever",
    };
    put(
        out,
        format_args!(
            "HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\
         {fields}\r\n"
        ),
    );
}
