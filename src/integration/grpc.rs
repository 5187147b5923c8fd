//! gRPC calls among requests: their deadline, how they ended, and gRPC-Web for browsers.
//!
//! Owns what is special about a request whose content type is gRPC's. A failure of ours is told as
//! a status in fields, where gRPC's clients look; gRPC-Web is made gRPC for the upstream, and its
//! answer gRPC-Web again: trailers become the last frame of the body. Knows no messages: those pass
//! as bytes.

use std::time::Duration;

use smallvec::SmallVec;

use super::{Exchange, own};
use crate::clock::Tick;
use crate::failure::Failure;
use crate::http::grpc::{ContentType, Kind, Status, parse_timeout, put_message};
use crate::http::{Method, Name, ResponseHead};
use crate::message::{BodySize, HeadOut, Reply, Request};
use crate::net::patience::{Ended, Patience};

/// A call on its way.
pub struct Call {
    kind: Kind,
    /// What its messages are in, as the content type says.
    suffix: SmallVec<[u8; 16]>,
    timeout: Option<Duration>,
    /// The answer is not gRPC's: a proxy's page, perhaps.
    plain: bool,
    /// How it ended, once that is known.
    pub status: Option<Status>,
}

// === impl Call ===

impl Call {
    /// The call this request makes, if it is one.
    #[must_use]
    pub fn of(request: &Request<'_>) -> Option<Box<Call>> {
        if request.head.method != Method::Post {
            return None;
        }
        let content_type = ContentType::parse(request.value(Name::ContentType)?)?;
        let timeout = request.head.values_named(b"grpc-timeout", request.block).next();
        Some(Box::new(Call {
            kind: content_type.kind,
            suffix: SmallVec::from_slice(content_type.suffix),
            timeout: timeout.and_then(parse_timeout),
            plain: false,
            status: None,
        }))
    }

    /// Whether the client is a browser, to which trailers are part of the body.
    #[must_use]
    pub fn is_web(&self) -> bool {
        self.kind != Kind::Grpc
    }

    /// Whether the answer is told as gRPC-Web.
    #[must_use]
    pub fn is_translated(&self) -> bool {
        self.is_web() && !self.plain
    }

    /// Whether the client can still be told how its call ended: not behind a page.
    #[must_use]
    pub fn can_be_told(&self, reply: &Reply<'_>) -> bool {
        reply.takes_status() && !(self.plain && reply.has_started())
    }

    /// Whether the body comes, and goes, in base64.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.kind == Kind::WebText
    }

    /// When the client stops waiting.
    #[must_use]
    pub fn until(&self, started: Tick) -> Tick {
        self.timeout.map_or(Tick::NEVER, |timeout| started.after(timeout))
    }

    /// The content type as the upstream is to see it.
    pub fn put_upstream_type(&self, out: &mut HeadOut) {
        ContentType { kind: Kind::Grpc, suffix: &self.suffix }.put_as(Kind::Grpc, out);
    }

    /// Learns how the call ended from fields of an answer, or from its trailers.
    pub fn learn<'f>(&mut self, mut fields: impl Iterator<Item = (&'f [u8], &'f [u8])>) {
        let status = fields.find(|(name, _)| name.eq_ignore_ascii_case(b"grpc-status"));
        if let Some((_, value)) = status {
            self.status = Some(Status::parse(value));
        }
    }

    /// The same, from an answer's head: one that has no body says it there.
    pub fn learn_from_head(&mut self, head: &ResponseHead, block: &[u8]) {
        let values = head.values_named(b"grpc-status", block);
        self.learn(values.map(|value| (&b"grpc-status"[..], value)));
        let mut types = head.values_named(b"content-type", block);
        let is_grpc = types.next().is_some_and(|value| ContentType::parse(value).is_some());
        self.plain = !is_grpc && self.status.is_none();
    }

    /// The answer is complete. Without a status, clients take it for what its HTTP status says.
    pub fn complete(&mut self, status: u16) {
        self.status.get_or_insert(Status::of_http(status));
    }

    /// The content type of what the client gets.
    #[must_use]
    pub fn content_type(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(48);
        ContentType { kind: self.kind, suffix: &self.suffix }.put_as(self.kind, &mut text);
        text
    }
}

/// Tells a gRPC client that its call failed, in the fields its library reads ("Trailers-Only" of
/// PROTOCOL-HTTP2). After the head, trailers can still say it over HTTP/2.
///
/// # Errors
/// When the client does not take it.
pub async fn tell(
    exchange: &mut Exchange<'_>,
    failure: Failure,
    reply: &mut Reply<'_>,
    patience: &Patience<'_>,
) -> Result<(), Ended> {
    let Some(call) = &mut exchange.grpc else { return Ok(()) };
    let status = Status::of_failure(failure);
    call.status = Some(status);
    let code = status.code().to_string();
    let mut message = Vec::with_capacity(96);
    let told = exchange.told.as_ref().and_then(|details| details.message.as_deref());
    put_message(told.unwrap_or(failure.row().message), &mut message);
    if reply.has_started() {
        let fields: [(&[u8], &[u8]); 2] =
            [(b"grpc-status", code.as_bytes()), (b"grpc-message", &message)];
        return reply.end(patience, fields.into_iter()).await;
    }
    exchange.status = 200;
    reply.start(200, None, BodySize::Length(0));
    reply.field(b"content-type", &call.content_type());
    reply.field(b"grpc-status", code.as_bytes());
    reply.field(b"grpc-message", &message);
    reply.date();
    own::fields(exchange, reply);
    reply.send_head(patience, None, true).await
}
