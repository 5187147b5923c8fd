//! A route that ends in an upstream: the request goes out, the response comes back as it arrives.
//!
//! A request whose body is here already is sent in one piece and may be sent again. One that still
//! streams is pumped while the answer is awaited: either side may finish first. Invariant: when
//! this returns, nothing of the exchange is pending on either socket.

use std::rc::Rc;

use super::duplex;
use super::exchange::Exchange;
use super::forward;
use super::own;
use super::pump::request_failure;
use super::tunnel;
use crate::balance::hash_key;
use crate::clock::{self, Tick};
use crate::config::{Balance, Gateway, HashKey, ServerHeader};
use crate::failure::Failure;
use crate::http::{Framing, Name, ResponseHead};
use crate::message::{Body, BodySize, Failed, HeadOut, Reply, Spare, size_for};
use crate::net::buffer::{Buf, Class};
use crate::net::patience::{Ended, Patience};
use crate::snapshot::{Endpoint, Route, Target};
use crate::upstream::dial::Origin;
use crate::upstream::{Answer, Call, Lease, Local, exchange as upstream};

/// What a proxied exchange needs besides the request itself.
pub struct Way<'a, 'p> {
    pub local: &'a Rc<Local>,
    pub target: &'a Target,
    pub gateway: &'a Gateway,
    /// Towards the client: timer, write timeout, the watch on whether it is still there.
    pub client: Patience<'p>,
    /// Between two reads of the request's body.
    pub body_idle: std::time::Duration,
    /// The largest buffer worth filling for the client.
    pub buffer_max: Class,
}

// === impl Way ===

impl Way<'_, '_> {
    /// When the exchange has taken too long, by the route's rule or by the caller's own.
    pub(super) fn until(&self, exchange: &Exchange<'_>) -> Tick {
        let started = exchange.started;
        let call = exchange.grpc.as_ref().map_or(Tick::NEVER, |call| call.until(started));
        self.target.total.map_or(Tick::NEVER, |total| started.after(total)).min(call)
    }
}

/// Passes the request on and the answer back.
///
/// # Errors
/// How it ended badly. If `reply` has not started, the client can still be told.
pub async fn proxy(
    exchange: &mut Exchange<'_>,
    route: &Route,
    way: &Way<'_, '_>,
    body: &mut Body<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Failure> {
    let local = way.local;
    tunnel::ask(exchange)?;
    if let Some(call) = exchange.grpc.as_ref().filter(|call| call.is_web()) {
        reply.speak_web(call.is_text());
        if call.is_text() {
            *body = std::mem::replace(body, Body::Empty).in_text();
        }
    }
    local.earns_retries(exchange.started);
    let place = local.enter(&way.client, exchange.started).await?;
    let _active = local.cells().exchange_active();
    let first = body.ready().map_err(|failed| request_failure(&failed))?;
    if route.body_max.is_some_and(|max| body.received() > max) {
        return Err(Failure::BodyTooLarge);
    }
    // Trailers take a body in chunks to stand behind, be it all here already.
    let streams = !body.is_over();
    let framing = framing_out(exchange, streams, first.as_ref());
    let mut timings = std::mem::take(&mut exchange.timings);
    let mut response = Spare::<ResponseHead>::take();
    let outcome = {
        let exchange = &*exchange;
        let head = |endpoint: &Endpoint, out: &mut HeadOut| {
            let via = &way.gateway.via;
            forward::write_head(exchange, route, &local.def, endpoint, framing, via, out);
        };
        let call = call(exchange, route, way, &head, first.as_ref(), streams);
        if streams {
            let lease = begin(exchange, &call, way, reply, &mut timings).await;
            lease.map(|lease| (lease, None))
        } else {
            let answer = upstream::exchange(local, &call, &mut response, &mut timings).await;
            answer.map(|Answer { lease, block }| (lease, Some(block)))
        }
    };
    exchange.timings = timings;
    exchange.upstream_ns = Some(match &outcome {
        Ok(_) => exchange.timings.first_byte_ns,
        Err(_) => clock::nanos(clock::now().since(exchange.started)),
    });
    let (lease, block) = outcome?;
    match block {
        Some(block) => {
            // It has been heard, and is not sent again: nobody waits with it in hand.
            drop(first);
            match respond(exchange, route, way, reply, &lease, block, &mut response).await? {
                After::Reusable => lease.give_back(clock::coarse()),
                After::Spent => {}
                After::Tunnel(first) => tunnel::open(exchange, way.target, lease, place, first),
            }
            Ok(())
        }
        None => {
            let both = duplex::run(exchange, route, way, (first, body), reply, lease);
            Box::pin(both).await
        }
    }
}

/// The failure when a write to the client ended badly.
#[must_use]
pub fn client_failure(ended: &Ended) -> Failure {
    match ended {
        Ended::Io(_) | Ended::ClientGone => Failure::ClientGone,
        Ended::Deadline => Failure::ClientStalled,
    }
}

/// The call that sends this request; with an empty head writer, what goes on with one that was
/// sent.
pub(super) fn call<'a, 'p>(
    exchange: &Exchange<'_>,
    route: &Route,
    way: &Way<'_, 'p>,
    head: &'a dyn Fn(&Endpoint, &mut HeadOut),
    first: Option<&'a Buf>,
    streams: bool,
) -> Call<'a, 'p> {
    let until = way.until(exchange);
    let party = &exchange.party;
    Call {
        method: exchange.request.head.method,
        head,
        // The first part of a streaming body goes with the pump: its framing is the pump's.
        body: first.filter(|_| !streams).map_or(&[], |buf| buf.filled()),
        streams,
        retry: route.retry,
        hash: hash(exchange, &way.local.def.conf.balance),
        origin: Some(Origin { client: party.peer, listener: party.local }),
        first_byte: way.target.first_byte,
        patience: Patience { until, idle: way.target.idle, ..way.client },
        started: exchange.started,
        waits_bare: false,
        buffer_max: way.buffer_max,
    }
}

/// How the request's body is framed for the endpoint: counted where the length is known.
pub(super) fn framing_out(exchange: &Exchange<'_>, streams: bool, first: Option<&Buf>) -> Framing {
    let decoded = exchange.grpc.as_ref().is_some_and(|call| call.is_text());
    match exchange.request.head.framing {
        Framing::None => Framing::None,
        Framing::Length(_) if decoded && streams => Framing::Chunked,
        framing if !streams && (decoded || framing == Framing::Chunked) => {
            Framing::Length(first.map_or(0, |buf| buf.len() as u64))
        }
        framing => framing,
    }
}

fn hash(exchange: &Exchange<'_>, balance: &Balance) -> Option<u64> {
    let Balance::Hash(key) = balance else { return None };
    let request = &exchange.request;
    match key {
        HashKey::Path => Some(hash_key(exchange.path)),
        HashKey::ClientIp => {
            let mut text = Vec::with_capacity(40);
            forward::address(exchange.party.client, &mut text);
            Some(hash_key(&text))
        }
        HashKey::Header(name) => {
            request.head.values_named(name.as_bytes(), request.block).next().map(hash_key)
        }
        HashKey::Cookie(name) => request
            .head
            .values(Name::Cookie, request.block)
            .flat_map(|value| value.split(|b| *b == b';'))
            .map(<[u8]>::trim_ascii)
            .find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
            .map(hash_key),
    }
}

/// Opens the way for a body that still streams, and asks the client for it.
async fn begin(
    exchange: &Exchange<'_>,
    call: &Call<'_, '_>,
    way: &Way<'_, '_>,
    reply: &mut Reply<'_>,
    timings: &mut crate::upstream::Timings,
) -> Result<Lease, Failure> {
    let lease = upstream::open(way.local, call, timings).await?;
    if exchange.request.head.expect_continue {
        // RFC 9110 section 10.1.1: the route, the limits and an endpoint are there; send the body.
        let asked = reply.interim(&way.client, 100, std::iter::empty()).await;
        asked.map_err(|ended| client_failure(&ended))?;
    }
    Ok(lease)
}

/// What the upstream's connection is good for after an answer.
pub(super) enum After {
    /// Another exchange.
    Reusable,
    Spent,
    /// It is a tunnel now; it began with this.
    Tunnel(Option<Buf>),
}

/// An answer of which a part took so long to come, and was so short, is a stream of events: many
/// wait at once, and the next part is worth one more operation, not a buffer all the while.
const SLOW_PART_NS: u64 = 50_000_000;
const SMALL_PART_BYTES: usize = 4 * 1024;

/// Passes the answer to the client.
pub(super) async fn respond(
    exchange: &mut Exchange<'_>,
    route: &Route,
    way: &Way<'_, '_>,
    reply: &mut Reply<'_>,
    lease: &Lease,
    mut block: Buf,
    response: &mut ResponseHead,
) -> Result<After, Failure> {
    let until = way.until(exchange);
    let patience = Patience { until, idle: way.target.idle, ..way.client };
    while response.is_interim() {
        block = Box::pin(interim(exchange, route, way, reply, lease, block, response)).await?;
    }
    if response.tunnel {
        tunnel::check(exchange, response, &block)?;
    } else {
        tunnel::check_refusal(exchange, response)?;
    }
    upstream::judge(lease.local(), &lease.member, response.status, clock::coarse());
    lease.local().answered(response.content_length.map(|body| body + response.len as u64));
    exchange.status = route.status_for(response.status);
    if let Some(call) = &mut exchange.grpc {
        call.learn_from_head(response, block.filled());
        if !call.is_translated() {
            reply.speak_plain();
        }
    }
    write_head(exchange, route, way.gateway, reply, response, &block);
    block.consume(response.len);
    if response.tunnel {
        return Box::pin(tunnel::switch(exchange, way, reply, block)).await.map(After::Tunnel);
    }
    let mut body = lease.body(response, block);
    let first = body.ready().map_err(|failed| response_failure(&failed, &patience))?;
    let mut ended = body.is_over();
    let sent = reply.send_head(&way.client, first, ended).await;
    sent.map_err(|ended| client_failure(&ended))?;
    while !body.is_done() {
        reply.room(&way.client).await.map_err(|ended| client_failure(&ended))?;
        let Some(data) = next_part(exchange, &mut body, &patience).await? else { break };
        ended = body.is_over();
        let sent = reply.data(&way.client, data, ended).await;
        sent.map_err(|ended| client_failure(&ended))?;
    }
    if let Some(call) = &mut exchange.grpc {
        call.learn(body.trailers());
        call.complete(response.status);
    }
    if !ended {
        let sent = if body.trailers().next().is_none() {
            reply.end(&way.client, std::iter::empty()).await
        } else {
            // Boxed: rare, and larger than all else that is awaited here.
            Box::pin(reply.end(&way.client, body.trailers())).await
        };
        sent.map_err(|ended| client_failure(&ended))?;
    }
    let Body::H1(inbound) = body else { return Ok(After::Reusable) };
    // Bytes behind the answer that nobody asked for: the next answer could not be trusted.
    let reusable = response.keep_alive && inbound.into_rest().is_none();
    Ok(if reusable { After::Reusable } else { After::Spent })
}

/// Waits for the answer's next part.
async fn next_part(
    exchange: &mut Exchange<'_>,
    body: &mut Body<'_>,
    patience: &Patience<'_>,
) -> Result<Option<Buf>, Failure> {
    let before = clock::now();
    let next = body.next(patience).await.map_err(|failed| response_failure(&failed, patience));
    let waited = clock::nanos(clock::now().since(before));
    exchange.upstream_ns = exchange.upstream_ns.map(|ns| ns + waited);
    let next = next?;
    if waited > SLOW_PART_NS && next.as_ref().is_some_and(|data| data.len() < SMALL_PART_BYTES) {
        body.expect_small_parts();
    }
    Ok(next)
}

/// Forwards an interim response (RFC 9110 section 15.2) and reads the next head.
async fn interim(
    exchange: &Exchange<'_>,
    route: &Route,
    way: &Way<'_, '_>,
    reply: &mut Reply<'_>,
    lease: &Lease,
    mut block: Buf,
    response: &mut ResponseHead,
) -> Result<Buf, Failure> {
    // 100 answers an expectation that was not forwarded: it is ours to swallow.
    if response.status != 100 {
        let fields = response
            .forwarded(block.filled())
            .map(|field| (field.name.of(block.filled()), field.value.of(block.filled())));
        let sent = reply.interim(&way.client, response.status, fields).await;
        sent.map_err(|ended| client_failure(&ended))?;
    }
    block.consume(response.len);
    let nothing = |_: &Endpoint, _: &mut HeadOut| {};
    let call = call(exchange, route, way, &nothing, None, true);
    upstream::read_head(lease, &call, block, response, &mut true).await
}

fn write_head(
    exchange: &Exchange<'_>,
    route: &Route,
    gateway: &Gateway,
    reply: &mut Reply<'_>,
    response: &ResponseHead,
    block: &Buf,
) {
    let bytes = block.filled();
    let declared = match response.framing {
        Framing::Length(length) => BodySize::Length(length),
        Framing::Chunked | Framing::UntilClose => BodySize::Unknown,
        Framing::None => BodySize::None(response.content_length),
    };
    let size = size_for(exchange.request.head.method, response.status, declared);
    let reason = (exchange.status == response.status).then(|| response.reason.of(bytes));
    reply.start(exchange.status, reason, size);
    let web = exchange.grpc.as_ref().filter(|call| call.is_translated());
    if let Some(call) = web {
        reply.field(b"content-type", &call.content_type());
    }
    let (mut dated, mut served) = (false, gateway.server_header == ServerHeader::Remove);
    let kept = response.forwarded(bytes).filter(|field| {
        match field.id {
            Name::Date => dated = true,
            Name::Server if gateway.server_header != ServerHeader::Pass => return false,
            Name::Server => served = true,
            Name::XRequestId => return false,
            Name::ContentType if web.is_some() => return false,
            _ => {}
        }
        let name = field.name.of(bytes);
        !own::replaces(exchange, name)
            && (route.response.list.is_empty() || !route.response.drops(name))
    });
    reply.fields(kept, bytes);
    if let (false, ServerHeader::Set(text)) = (served, &gateway.server_header) {
        reply.field(b"server", text.as_bytes());
    }
    if !dated && !route.response.drops(b"date") {
        // RFC 9110 section 6.6.1: a recipient with a clock adds the Date that is missing.
        reply.date();
    }
    own::fields(exchange, reply);
    super::fixed::edits(exchange, reply);
}

fn response_failure(failed: &Failed, patience: &Patience<'_>) -> Failure {
    match failed {
        Failed::Cut | Failed::Ended(Ended::Io(_)) => Failure::UpstreamCut,
        Failed::Malformed(reject) => reject.upstream_failure(),
        Failed::Ended(Ended::ClientGone) => Failure::ClientGone,
        Failed::Ended(Ended::Deadline) if clock::now() >= patience.until => {
            Failure::UpstreamTotalTimeout
        }
        Failed::Ended(Ended::Deadline) => Failure::UpstreamIdleTimeout,
    }
}
