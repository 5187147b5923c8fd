//! Answers the gateway gives itself: redirects and fixed responses.

use super::template::{render, render_content, render_target, text};
use super::{Exchange, own};
use crate::config::{Redirect, Respond, RespondBody};
use crate::failure::Failure;
use crate::failure::page::Page;
use crate::http::Name;
use crate::message::{BodySize, Reply, size_for};
use crate::net::buffer::Buf;
use crate::net::patience::{Ended, Patience};
use crate::snapshot::{Cors, Edit};

/// Sends a redirect.
///
/// # Errors
/// When the client does not take it.
pub async fn redirect(
    exchange: &mut Exchange<'_>,
    to: &Redirect,
    reply: &mut Reply<'_>,
    patience: &Patience<'_>,
) -> Result<(), Failure> {
    let location = location(to, exchange);
    moved(exchange, to.status, &location, reply, patience).await
}

/// Sends the client to another URL.
///
/// # Errors
/// When the client does not take it.
pub async fn moved(
    exchange: &mut Exchange<'_>,
    status: u16,
    location: &[u8],
    reply: &mut Reply<'_>,
    patience: &Patience<'_>,
) -> Result<(), Failure> {
    exchange.status = status;
    reply.start(status, None, BodySize::Length(0));
    reply.field(b"location", location);
    finish(exchange, reply, None, patience).await
}

fn location(to: &Redirect, exchange: &Exchange<'_>) -> Vec<u8> {
    let mut location = Vec::with_capacity(128);
    render_target(&to.to, exchange, &mut location);
    // `//host` is another host to a browser, and so is `/\\host`: a path stays a path, whatever
    // its values are.
    let slash = |b: &u8| matches!(b, b'/' | b'\\');
    let slashes = location.iter().take_while(|b| slash(b)).count();
    if slashes > 1 {
        location.drain(..slashes - 1);
        location[0] = b'/';
    }
    if let Some(query) = exchange.query().filter(|_| to.keep_query) {
        location.push(if location.contains(&b'?') { b'&' } else { b'?' });
        location.extend_from_slice(query);
    }
    location
}

/// Sends a fixed answer.
///
/// # Errors
/// When the client does not take it.
pub async fn respond(
    exchange: &mut Exchange<'_>,
    answer: &Respond,
    reply: &mut Reply<'_>,
    patience: &Patience<'_>,
) -> Result<(), Failure> {
    exchange.status = answer.status;
    let mut filled = Vec::new();
    let body = match &answer.body {
        RespondBody::Fixed(text) => text.as_bytes(),
        RespondBody::Template { template, place, .. } => {
            render_content(template, *place, exchange, &mut filled);
            &filled
        }
    };
    let size = BodySize::Length(body.len() as u64);
    let size = size_for(exchange.request.head.method, answer.status, size);
    reply.start(answer.status, None, size);
    for header in answer.headers.iter().filter(|h| !own::replaces(exchange, h.name.as_bytes())) {
        reply.field(header.name.as_bytes(), &text(&header.value, exchange));
    }
    let body = matches!(size, BodySize::Length(_)).then_some(body);
    finish(exchange, reply, body, patience).await
}

/// Answers an OPTIONS that may go no further: the gateway itself has nothing to tell of.
///
/// # Errors
/// When the client does not take it.
pub async fn options(
    exchange: &mut Exchange<'_>,
    reply: &mut Reply<'_>,
    patience: &Patience<'_>,
) -> Result<(), Failure> {
    exchange.status = 200;
    reply.start(200, None, BodySize::Length(0));
    finish(exchange, reply, None, patience).await
}

/// Answers a preflight (Fetch standard, section 4.8): no route, no upstream, no identity.
///
/// # Errors
/// When the client does not take it.
pub async fn preflight(
    exchange: &mut Exchange<'_>,
    cors: &Cors,
    reply: &mut Reply<'_>,
    patience: &Patience<'_>,
) -> Result<(), Failure> {
    exchange.status = 204;
    reply.start(204, None, BodySize::None(None));
    let request = &exchange.request;
    if let (Some(origin), Some(method)) =
        (request.value(Name::Origin), request.value(Name::AccessControlRequestMethod))
    {
        let headers = request.value(Name::AccessControlRequestHeaders);
        let mut put = |name: &str, value: &[u8]| reply.field(name.as_bytes(), value);
        cors.policy.put_preflight(origin, method, headers, &mut put);
    }
    finish(exchange, reply, None, patience).await
}

/// Answers with a JSON document.
///
/// # Errors
/// When the client does not take it.
pub async fn json(
    exchange: &mut Exchange<'_>,
    document: &str,
    reply: &mut Reply<'_>,
    patience: &Patience<'_>,
) -> Result<(), Failure> {
    exchange.status = 200;
    let size = BodySize::Length(document.len() as u64);
    let size = size_for(exchange.request.head.method, 200, size);
    reply.start(200, None, size);
    reply.field(b"content-type", b"application/json");
    let body = matches!(size, BodySize::Length(_)).then_some(document.as_bytes());
    finish(exchange, reply, body, patience).await
}

/// Answers with a page of the gateway's own about its errors.
///
/// # Errors
/// When the client does not take it.
pub async fn page(
    exchange: &mut Exchange<'_>,
    page: Page,
    reply: &mut Reply<'_>,
    patience: &Patience<'_>,
) -> Result<(), Failure> {
    let mut accepted = exchange.request.head.values(Name::Accept, exchange.request.block);
    let is_browser = accepted.any(|value| memchr::memmem::find(value, b"text/html").is_some());
    let (media_type, text): (&[u8], _) = match is_browser {
        true => (b"text/html; charset=utf-8", page.html()),
        false => (b"application/json", page.json()),
    };
    exchange.status = 200;
    let size = BodySize::Length(text.len() as u64);
    let size = size_for(exchange.request.head.method, 200, size);
    reply.start(200, None, size);
    reply.field(b"content-type", media_type);
    reply.field(b"cache-control", b"public, max-age=3600");
    reply.field(b"vary", b"accept");
    reply.field(b"x-content-type-options", b"nosniff");
    let body = matches!(size, BodySize::Length(_)).then_some(text.as_bytes());
    finish(exchange, reply, body, patience).await
}

/// Puts the fields every answer has, then sends head and body.
async fn finish(
    exchange: &Exchange<'_>,
    reply: &mut Reply<'_>,
    body: Option<&[u8]>,
    patience: &Patience<'_>,
) -> Result<(), Failure> {
    edits(exchange, reply);
    let ours = |name: &[u8]| exchange.route.is_none_or(|route| !route.response.drops(name));
    if ours(b"date") {
        reply.date();
    }
    own::fields(exchange, reply);
    let sent = send(reply, patience, body.unwrap_or_default()).await;
    sent.map_err(|ended| super::http::client_failure(&ended))
}

/// Ends the head and sends it with a whole body, in as many buffers as that takes.
///
/// # Errors
/// How the write ended.
pub async fn send(
    reply: &mut Reply<'_>,
    patience: &Patience<'_>,
    body: &[u8],
) -> Result<(), Ended> {
    let mut first = Buf::with_room(body.len());
    let n = first.put_some(body);
    let mut rest = &body[n..];
    reply.send_head(patience, Some(first), rest.is_empty()).await?;
    while !rest.is_empty() {
        let mut more = Buf::with_room(rest.len());
        let n = more.put_some(rest);
        rest = &rest[n..];
        reply.data(patience, more, rest.is_empty()).await?;
    }
    Ok(())
}

/// Puts the response fields the route adds or sets.
pub fn edits(exchange: &Exchange<'_>, reply: &mut Reply<'_>) {
    let Some(route) = exchange.route else { return };
    let ours = |edit: &&Edit| !own::replaces(exchange, edit.name.as_bytes());
    for edit in route.response.puts().filter(ours) {
        let mut value = Vec::with_capacity(64);
        render(&edit.value, exchange, &mut value);
        reply.field(edit.name.as_bytes(), &value);
    }
}
