//! Telling a client that its request failed: the status, the body of design 8, and why in the log.

use std::sync::LazyLock;

use super::key;
use super::serve::Scene;
use crate::config::ErrorFormat;
use crate::failure::{Failure, Row};
use crate::http::grpc::Status;
use crate::http::write::{self, Out};
use crate::integration::{Exchange, grpc, own};
use crate::message::{BodySize, Reply, size_for};
use crate::net::buffer::Buf;

/// Answers with the failure's row, if an answer is still possible; else the connection must end so
/// that what was sent cannot be taken for complete.
pub async fn tell(
    scene: &Scene<'_>,
    exchange: &mut Exchange<'_>,
    failure: Failure,
    reply: &mut Reply<'_>,
) {
    exchange.failure = Some(failure);
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
    let row = failure.row();
    exchange.status = row.status;
    if row.close {
        reply.close();
    }
    if is_gone {
        reply.cut();
        return;
    }
    let format = exchange.route.map_or(ErrorFormat::Ringway, |route| route.errors);
    let (media_type, text) = body(format, row, exchange);
    let size = BodySize::Length(text.len() as u64);
    let size = size_for(exchange.request.head.method, row.status, size);
    reply.start(row.status, None, size);
    reply.field(b"content-type", media_type);
    reply.date();
    own::fields(exchange, reply);
    if row.status == 401 {
        key::challenge(exchange, failure, reply);
    }
    if row.status == 503 {
        reply.field(b"retry-after", b"1");
    }
    let first = matches!(size, BodySize::Length(_)).then(|| {
        let mut buf = Buf::with_room(text.len());
        buf.put_some(&text);
        buf
    });
    if reply.send_head(&scene.patience, first, true).await.is_err() {
        reply.cut();
    }
}

/// What a client is told for whom there is no place: its request was not even read.
#[must_use]
pub fn at_the_door() -> &'static [u8] {
    static ANSWER: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let row = Failure::ConnectionLimit.row();
        let body = format!(
            "{{\"error\":{{\"code\":\"{}\",\"type\":\"{}\",\"message\":\"{}\",\"param\":null,\
             \"details\":{{}},\"doc_url\":\"/docs/errors/{}\",\"retryable\":{}}}}}\n",
            row.code,
            row.kind,
            row.message,
            row.code.to_ascii_lowercase(),
            row.retryable
        );
        let mut out = Vec::with_capacity(512);
        write::status_line(&mut out, row.status);
        write::field_decimal(&mut out, b"content-length", body.len() as u64);
        write::field(&mut out, b"content-type", b"application/json");
        write::field(&mut out, b"retry-after", b"1");
        write::field(&mut out, b"connection", b"close");
        write::end(&mut out);
        out.put(body.as_bytes());
        out
    });
    &ANSWER
}

/// The error's body. Every text in it is a constant of ours, or an id whose bytes were checked.
fn body(format: ErrorFormat, row: &Row, exchange: &Exchange<'_>) -> (&'static [u8], Vec<u8>) {
    let mut out = Vec::with_capacity(320);
    let code = row.code.to_ascii_lowercase();
    match format {
        ErrorFormat::Ringway => {
            text(&mut out, b"{\"error\":{\"code\":", row.code.as_bytes());
            text(&mut out, b",\"type\":", row.kind.as_bytes());
            text(&mut out, b",\"message\":", row.message.as_bytes());
            out.put(b",\"param\":null,\"details\":");
            details(&mut out, exchange);
            text(&mut out, b",\"request_id\":", &exchange.ids.request);
            text(&mut out, b",\"doc_url\":", format!("/docs/errors/{code}").as_bytes());
            out.put(b",\"retryable\":");
            out.put(if row.retryable { b"true" } else { b"false" });
            out.put(b"}}\n");
            (b"application/json", out)
        }
        // RFC 9457.
        ErrorFormat::Problem => {
            text(&mut out, b"{\"type\":", format!("/docs/errors/{code}").as_bytes());
            text(&mut out, b",\"title\":", row.message.as_bytes());
            out.put(b",\"status\":");
            write::decimal(&mut out, u64::from(row.status));
            text(&mut out, b",\"code\":", row.code.as_bytes());
            text(&mut out, b",\"request_id\":", &exchange.ids.request);
            out.put(b",\"retryable\":");
            out.put(if row.retryable { b"true" } else { b"false" });
            out.put(b"}\n");
            (b"application/problem+json", out)
        }
    }
}

fn details(out: &mut Vec<u8>, exchange: &Exchange<'_>) {
    if exchange.detail.is_empty() {
        out.put(b"{}");
        return;
    }
    text(out, b"{\"reason\":", exchange.detail.as_bytes());
    out.put(b"}");
}

fn text(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    out.put(key);
    out.put(b"\"");
    out.put(value);
    out.put(b"\"");
}
