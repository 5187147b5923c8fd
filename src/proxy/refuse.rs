//! Telling a client that its request failed: the status, the body in its API's form, the fields
//! that go with it, and why in the log.

use std::sync::LazyLock;

use super::select;
use super::serve::Scene;
use crate::failure::{Answer, ErrorFormat, Failure, Told};
use crate::http::grpc::Status;
use crate::http::write::{self, Out};
use crate::integration::{Exchange, fixed, grpc, lifecycle, own};
use crate::message::{BodySize, Reply, size_for};

/// Answers with the failure's row, if an answer is still possible; else the connection must end so
/// that what was sent cannot be taken for complete.
pub async fn tell<'c>(
    scene: &Scene<'c>,
    exchange: &mut Exchange<'c>,
    failure: Failure,
    reply: &mut Reply<'_>,
) {
    exchange.failure = Some(failure);
    if exchange.api().is_none() && !exchange.path.is_empty() {
        // The client of an API is told as its other clients are, also before a route was sought.
        exchange.mount = select::owner(scene, exchange);
    }
    let is_gone = matches!(failure, Failure::ClientGone);
    let told = exchange.grpc.as_mut().is_some_and(|call| {
        call.status = Some(Status::of_failure(failure));
        !is_gone && call.can_be_told(reply)
    });
    if told {
        if failure.row().close {
            reply.close();
        }
        if grpc::tell(exchange, failure, reply, &scene.patience).await.is_err() {
            reply.cut();
        }
        return;
    }
    if reply.has_started() {
        reply.cut();
        return;
    }
    if failure.row().close {
        reply.close();
    }
    if exchange.told.is_none() {
        exchange.told = lifecycle::details(exchange, failure);
    }
    let (answer, retry_after) = {
        let told = what(exchange, failure);
        (told.answer(exchange.error_format()), told.retry_after())
    };
    exchange.status = answer.status;
    if is_gone {
        reply.cut();
        return;
    }
    let size = BodySize::Length(answer.body.len() as u64);
    let size = size_for(exchange.request.head.method, answer.status, size);
    head(exchange, &answer, retry_after, size, reply);
    let body = if matches!(size, BodySize::Length(_)) { &answer.body[..] } else { &[] };
    if fixed::send(reply, &scene.patience, body).await.is_err() {
        reply.cut();
    }
}

fn head(
    exchange: &Exchange<'_>,
    answer: &Answer,
    retry_after: Option<u64>,
    size: BodySize,
    reply: &mut Reply<'_>,
) {
    reply.start(answer.status, None, size);
    reply.field(b"content-type", answer.media_type.as_bytes());
    if let Some(kind) = answer.amzn_type {
        reply.field(b"x-amzn-errortype", kind.as_bytes());
        reply.field(b"x-amzn-requestid", &exchange.ids.request);
    }
    if exchange.error_format() == ErrorFormat::Anthropic {
        // Where Anthropic's SDKs look for the id.
        reply.field(b"request-id", &exchange.ids.request);
    }
    reply.date();
    own::fields(exchange, reply);
    if let Some(seconds) = retry_after {
        let mut text = Vec::with_capacity(8);
        write::decimal(&mut text, seconds);
        reply.field(b"retry-after", &text);
    }
    for (name, value) in exchange.told.iter().flat_map(|details| &details.fields) {
        reply.field(name.as_bytes(), value);
    }
}

/// What a client is told for whom there is no place: its request was not even read.
#[must_use]
pub fn at_the_door() -> &'static [u8] {
    static ANSWER: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let failure = Failure::ConnectionLimit;
        let told = Told { failure, request_id: b"", reason: "", details: None };
        let answer = told.answer(ErrorFormat::default());
        let mut out = Vec::with_capacity(512);
        write::status_line(&mut out, answer.status);
        write::field_decimal(&mut out, b"content-length", answer.body.len() as u64);
        write::field(&mut out, b"content-type", answer.media_type.as_bytes());
        write::field(&mut out, b"retry-after", b"1");
        write::field(&mut out, b"connection", b"close");
        write::end(&mut out);
        out.put(&answer.body);
        out
    });
    &ANSWER
}

fn what<'a>(exchange: &'a Exchange<'_>, failure: Failure) -> Told<'a> {
    Told {
        failure,
        request_id: &exchange.ids.request,
        reason: exchange.detail,
        details: exchange.told.as_deref(),
    }
}
