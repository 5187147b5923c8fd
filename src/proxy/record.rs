//! What is kept of a request: its route's counters and one line of the access log.

use super::serve::Scene;
use crate::clock::{Moment, nanos};
use crate::http::grpc::Status;
use crate::http::{Name, Version};
use crate::integration::Exchange;
use crate::integration::llm::Chat;
use crate::message::{Body, Reply};
use crate::observe::access_log::{Kept, LlmRecord, Plain, Record};
use crate::observe::cells::Outcome;
use crate::snapshot::PREFLIGHT;

/// Counts and logs a request that has ended.
pub fn write(
    scene: &Scene<'_>,
    exchange: &Exchange<'_>,
    body: &Body<'_>,
    reply: &Reply<'_>,
    now: Moment,
) {
    let outcome = count(scene, exchange, body.received(), reply, now);
    if scene.current.snapshot.log.is_some() {
        let claims = claims(exchange);
        scene.context.log(scene.current, &line(scene, exchange, &outcome, &claims, now));
    }
}

/// Counts a request that has opened a tunnel; its line is for the tunnel's end.
pub fn opened(
    scene: &Scene<'_>,
    exchange: &Exchange<'_>,
    reply: &Reply<'_>,
    now: Moment,
) -> Option<Box<Kept>> {
    let outcome = count(scene, exchange, 0, reply, now);
    let is_logged = scene.current.snapshot.log.is_some();
    is_logged.then(|| {
        let claims = claims(exchange);
        Box::new(Kept::of(&line(scene, exchange, &outcome, &claims, now)))
    })
}

fn count(
    scene: &Scene<'_>,
    exchange: &Exchange<'_>,
    body: u64,
    reply: &Reply<'_>,
    now: Moment,
) -> Outcome {
    let total_ns = nanos(now.tick.since(exchange.started));
    let outcome = Outcome {
        status: exchange.status,
        failure: exchange.failure,
        total_ns,
        upstream_ns: exchange.upstream_ns.map(|ns| ns.min(total_ns)),
        bytes_in: exchange.request.head.len as u64 + body,
        bytes_out: reply.sent(),
        grpc: exchange.grpc.as_ref().and_then(|call| call.status),
    };
    if let Some(judged) = &exchange.judged {
        let calls = &judged.api.calls[usize::from(judged.at)];
        let (worker, key) = (scene.context.worker, exchange.identity.key_name());
        calls.version_asked(worker, key, outcome.status, now.wall.seconds());
    }
    match exchange.route {
        Some(route) => route.cells.of(scene.context.worker).record(&outcome),
        None => match exchange.preflight {
            Some(cors) => cors.preflights.of(scene.context.worker).record(&outcome),
            None => scene.context.unrouted().record(&outcome),
        },
    }
    outcome
}

/// The claims that are to be logged, as the log takes them.
fn claims(exchange: &Exchange<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let Some(authorizer) = exchange.authorizer else { return out };
    for name in &authorizer.log_claims {
        if let Some(text) = exchange.identity.claim(name) {
            for part in [&**name, text] {
                out.extend(part.bytes().filter(|byte| *byte != 0));
                out.push(0);
            }
        }
    }
    out
}

fn line<'a>(
    scene: &'a Scene<'_>,
    exchange: &'a Exchange<'_>,
    outcome: &Outcome,
    claims: &'a [u8],
    now: Moment,
) -> Record<'a> {
    let request = &exchange.request;
    let timings = &exchange.timings;
    let some = |ns: u64| (ns > 0).then_some(ns);
    let tls = scene.tls;
    let (api, route): (&str, &str) = match (exchange.route, exchange.preflight) {
        (Some(route), _) => (&route.api, &route.key),
        (None, Some(cors)) => (&cors.api, PREFLIGHT),
        (None, None) => ("", ""),
    };
    Record {
        time: now.wall,
        client: exchange.party.client,
        client_port: if exchange.party.trusted { 0 } else { exchange.party.peer.port() },
        subject: exchange.identity.subject(),
        claims,
        listener: Plain::of(&*exchange.listener.name),
        api: Plain::of(api),
        route,
        stage: exchange.route.map_or("", |route| &route.deployment.stage),
        api_version: exchange.judged.map_or("", |judged| &judged.version.id),
        canary: exchange.route.is_some_and(|route| route.deployment.canary),
        method: Plain::of(request.method()),
        host: Plain::of(request.authority()),
        path: request.path(),
        query: exchange.query(),
        version: match request.head.version {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
            Version::Http2 => "HTTP/2.0",
        },
        status: outcome.status,
        failure: outcome.failure,
        detail: exchange.detail,
        key: exchange.identity.key_name(),
        plan: exchange.identity.plan(),
        limit: exchange.metered.refused_by,
        tunnel_end: "",
        grpc_status: outcome.grpc.map(Status::code),
        request_id: Plain::of(&*exchange.ids.request),
        traceparent: Plain::of(&*exchange.ids.traceparent),
        bytes_in: outcome.bytes_in,
        bytes_out: outcome.bytes_out,
        upstream: Plain::of(exchange.upstream),
        endpoint: timings.endpoint,
        attempts: timings.attempts,
        upstream_reused: timings.reused,
        total_ns: outcome.total_ns,
        upstream_connect_ns: some(timings.connect_ns),
        upstream_first_byte_ns: some(timings.first_byte_ns),
        upstream_ns: outcome.upstream_ns,
        user_agent: request.value(Name::UserAgent).unwrap_or_default(),
        referer: request.value(Name::Referer).unwrap_or_default(),
        tls_version: tls.map_or("", |tls| tls.version),
        sni: tls.map_or(b"", |tls| tls.sni.as_bytes()),
        connection_requests: scene.nth,
        llm: exchange.chat.as_ref().map(|chat| asked_of_a_model(chat)),
    }
}

fn asked_of_a_model<'a>(chat: &'a Chat<'_>) -> LlmRecord<'a> {
    let (target, model) = (chat.target, chat.asked.model());
    LlmRecord {
        model,
        provider: Plain::of(target.map_or("", |target| &target.provider.name)),
        served_model: target.map_or("", |target| target.model_for(model)),
        tokens_in: chat.usage.input,
        tokens_out: chat.usage.output,
        tokens_cached: chat.usage.cached,
        cost_pico: chat.cost_pico(),
        ttft_us: chat.first_token_ns.map(|ns| ns / 1000),
        estimated: chat.estimated,
    }
}
