//! One request to one provider: sent, and its answer passed on if it is one.

use std::rc::Rc;
use std::time::Duration;

use super::fault::{self, Fault, Said};
use super::head::{self, Sending};
use super::{Chat, stream, whole};
use crate::bounds;
use crate::clock::{self, Tick, nanos};
use crate::config::Gateway;
use crate::failure::Failure;
use crate::http::{Method, Name, ResponseHead, write};
use crate::integration::{Exchange, own};
use crate::llm::Endpoint;
use crate::llm::dialect::{self, Back};
use crate::message::{Body, BodySize, HeadOut, Reply, Spare};
use crate::net::buffer::{Buf, Class};
use crate::net::patience::Patience;
use crate::observe::gen_ai::GenAiCells;
use crate::snapshot::{Attempt, Credential, LlmTarget, Route};
use crate::upstream::{Answer, Call, Lease, Local, exchange as upstream};

/// What an attempt needs besides the request itself.
pub struct Way<'a, 'p> {
    pub local: &'a Rc<Local>,
    pub target: &'a LlmTarget,
    pub credential: Option<&'a Credential>,
    pub route: &'a Route,
    pub gateway: &'a Gateway,
    /// Towards the client: timer, write timeout, the watch on whether it is still there.
    pub client: Patience<'p>,
    /// The largest buffer worth filling for the client.
    pub buffer_max: Class,
    pub asked_at: Tick,
    pub cells: &'a GenAiCells,
}

/// The detail of a request that its provider has found fault with.
pub const REFUSED: &str = "provider_refused";

// === impl Way ===

impl<'p> Way<'_, 'p> {
    /// Waiting for the provider.
    pub(super) fn patience(&self, exchange: &Exchange<'_>) -> Patience<'p> {
        let its = &self.target.provider.target;
        let until = its.total.map_or(Tick::NEVER, |total| exchange.started.after(total));
        Patience { until, idle: its.idle, ..self.client }
    }
}

/// Sends the request to the target and passes its answer on.
///
/// # Errors
/// Why there is no answer, or no whole one. If `reply` has not started, another may be asked.
pub async fn run<'c>(
    exchange: &mut Exchange<'c>,
    chat: &mut Chat<'c>,
    way: &Way<'_, '_>,
    entry: &mut Attempt,
    reply: &mut Reply<'_>,
) -> Result<(), Fault> {
    let entered = way.local.enter(&way.client, way.asked_at).await;
    let _place = entered.map_err(Fault::of_exchange)?;
    let mut response = Spare::<ResponseHead>::take();
    let (answer, asked, back) = ask(exchange, chat, way, &mut response).await?;
    let Answer { lease, block } = answer;
    exchange.upstream_ns = Some(exchange.timings.first_byte_ns);
    let at = exchange.started.after(Duration::from_nanos(exchange.timings.first_byte_ns));
    upstream::judge(lease.local(), &lease.member, response.status, at);
    way.local.answered(response.content_length.map(|body| body + response.len as u64));
    let answer = Heard { lease, response: &response, block, at };
    match response.status {
        200..=299 if is_stream(&answer) => {
            let source = (entry, asked, back);
            stream::relay(exchange, chat, way, source, reply, answer).await
        }
        200..=299 => whole::relay(exchange, chat, way, (entry, asked, back), reply, answer).await,
        _ => {
            chat.forgiven();
            Box::pin(refused(exchange, chat, way, entry, reply, answer)).await
        }
    }
}

/// An answer's head, and where the rest of it comes from.
pub(super) struct Heard<'a> {
    pub lease: Lease,
    pub response: &'a ResponseHead,
    /// Begins with the head.
    pub block: Buf,
    /// When it came.
    pub at: Tick,
}

fn is_stream(answer: &Heard<'_>) -> bool {
    let media = answer.response.value(Name::ContentType, answer.block.filled());
    media.is_some_and(|media| {
        media.get(..17).is_some_and(|media| media.eq_ignore_ascii_case(b"text/event-stream"))
    })
}

/// Sends the request; its answer's head, where it was asked, and the way back to the client's
/// dialect.
async fn ask(
    exchange: &mut Exchange<'_>,
    chat: &mut Chat<'_>,
    way: &Way<'_, '_>,
    response: &mut ResponseHead,
) -> Result<(Answer, Endpoint, Option<Back>), Fault> {
    let mut timings = std::mem::take(&mut exchange.timings);
    let outgoing = chat.outgoing(way.target).map_err(untranslatable)?;
    let sending = Sending {
        target: way.target,
        credential: way.credential,
        endpoint: outgoing.endpoint,
        stream: chat.asked.stream,
        body_bytes: outgoing.body.len(),
        via: &way.gateway.via,
    };
    let outcome = {
        let exchange = &*exchange;
        let write = |_: &crate::snapshot::Endpoint, out: &mut HeadOut| {
            head::write(exchange, way.route, &sending, out);
        };
        let call = call(exchange, way, &write, &outgoing.body, chat.asked.stream);
        match upstream::exchange(way.local, &call, response, &mut timings).await {
            Ok(answer) if response.is_interim() => {
                let answer = past_interim(answer, &call, response).await;
                timings.first_byte_ns = nanos(clock::now().since(exchange.started));
                answer
            }
            Ok(answer) => Ok(answer),
            Err(failure) => Err(failure),
        }
    };
    exchange.timings = timings;
    let (asked, back) = (outgoing.endpoint, outgoing.back);
    match outcome {
        Ok(answer) => Ok((answer, asked, back)),
        Err(failure) => {
            let fault = Fault::of_exchange(failure);
            // A client that leaves pays for what it has set going; for a provider that fails
            // before it has said a word nobody does.
            if failure == Failure::ClientGone && exchange.timings.endpoint.is_some() {
                chat.begun();
            }
            Err(fault)
        }
    }
}

fn call<'a, 'p>(
    exchange: &Exchange<'_>,
    way: &Way<'_, 'p>,
    head: &'a dyn Fn(&crate::snapshot::Endpoint, &mut HeadOut),
    body: &'a [u8],
    streams: bool,
) -> Call<'a, 'p> {
    Call {
        method: Method::Post,
        head,
        body,
        streams: false,
        // What was never sent may be sent to another address of the same provider.
        retry: true,
        hash: None,
        origin: None,
        first_byte: match streams {
            true => way.target.provider.stream_first_byte,
            false => way.target.provider.target.first_byte,
        },
        patience: way.patience(exchange),
        started: exchange.started,
        waits_bare: streams,
        buffer_max: way.buffer_max,
    }
}

/// Interim responses (RFC 9110 section 15.2) say nothing a client of a model waits for.
async fn past_interim(
    answer: Answer,
    call: &Call<'_, '_>,
    response: &mut ResponseHead,
) -> Result<Answer, Failure> {
    let Answer { lease, mut block } = answer;
    while response.is_interim() {
        block.consume(response.len);
        block = upstream::read_head(&lease, call, block, response, &mut true).await?;
    }
    Ok(Answer { lease, block })
}

/// An error of the provider's: a reason to ask another, or the client's to know.
async fn refused(
    exchange: &mut Exchange<'_>,
    chat: &mut Chat<'_>,
    way: &Way<'_, '_>,
    entry: &mut Attempt,
    reply: &mut Reply<'_>,
    answer: Heard<'_>,
) -> Result<(), Fault> {
    let status = answer.response.status;
    let wall = clock::wall().seconds();
    let retry_after = fault::retry_after(answer.response, answer.block.filled(), wall);
    let patience = way.patience(exchange);
    let body = whole::gather(answer, &patience, bounds::LLM_ERROR_BYTES_MAX).await;
    // Its status has said enough to ask another.
    let body = body.map(whole::Gathered::into_vec).unwrap_or_default();
    let said = Said { status, body, retry_after };
    if let Some(fault) = Fault::of_answer(&said) {
        return Err(fault);
    }
    let now = clock::now();
    entry.succeeded(now, now.since(way.asked_at));
    let provider = way.target.provider.dialect;
    let (status, body) = match chat.is_native(provider) {
        true => (said.status, said.body),
        false => dialect::error(chat.endpoint, provider, said.status, &said.body),
    };
    exchange.detail = REFUSED;
    whole::answer(exchange, chat, way, reply, status, whole::Gathered::Many(body)).await
}

fn untranslatable(error: dialect::Untranslatable) -> Fault {
    let said = Some(error.message);
    Fault { said, param: Some(error.param), ..Fault::last(Failure::ModelRequest) }
}

/// Begins the answer's head: what it is, who gave it, and the gateway's own fields.
pub(super) fn begin(
    exchange: &Exchange<'_>,
    chat: &Chat<'_>,
    way: &Way<'_, '_>,
    reply: &mut Reply<'_>,
    media: &[u8],
    size: BodySize,
) {
    reply.start(exchange.status, None, size);
    reply.field(b"content-type", media);
    if size == BodySize::Unknown {
        // What stands between must not keep events back, or keep them at all.
        reply.field(b"cache-control", b"no-cache");
        reply.field(b"x-accel-buffering", b"no");
    }
    reply.field(b"x-ringway-provider", way.target.provider.name.as_bytes());
    let attempts = u64::from(chat.attempts);
    reply.field(b"x-ringway-attempts", write::digits(attempts, &mut [0; write::DIGITS_MAX]));
    reply.date();
    own::fields(exchange, reply);
    crate::integration::fixed::edits(exchange, reply);
}

/// Whether the provider's connection can carry another exchange, now that its answer is here.
pub(super) fn is_reusable(body: Body<'_>, response: &ResponseHead) -> bool {
    match body {
        // Bytes behind the answer that nobody asked for: the next answer could not be trusted.
        Body::H1(inbound) => response.keep_alive && inbound.into_rest().is_none(),
        _ => true,
    }
}
