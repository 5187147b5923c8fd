//! A request's way through the gateway, in one screen: `steps`.
//!
//! One line a step, each `?` a [`Failure`] whose name is the metric label, the log field and the
//! heading in docs/errors.md. A client's protocol is hidden by `Request`, `Body` and `Reply`.

use super::context::{Context, Current};
use super::select::{self, Selected};
use super::welcome::TlsFacts;
use super::{admit, canary, cors, key, llm, meter, record, refuse, validate};
use crate::clock;
use crate::failure::Failure;
use crate::http::{Method, Name};
use crate::integration::{Exchange, fixed, forward, http, lifecycle};
use crate::limit::Holds;
use crate::message::{Body, Reply};
use crate::net::patience::Patience;
use crate::route::canonical;
use crate::snapshot::{Action, Route};

/// A request's surroundings: the same for every step.
pub struct Scene<'s> {
    pub context: &'s Context,
    pub current: &'s Current,
    /// Waiting for the client to take the answer, watching that it is still there.
    pub patience: Patience<'s>,
    /// What the connection's TLS handshake agreed on.
    pub tls: Option<&'s TlsFacts>,
    /// Which request of its connection this is, from 1.
    pub nth: u32,
}

/// Serves a request that has just been read: in the canonical form of its path, for which `room`
/// is, or not at all.
pub async fn arrive<'c>(
    scene: &Scene<'c>,
    exchange: &mut Exchange<'c>,
    room: &'c mut Vec<u8>,
    body: &mut Body<'_>,
    reply: &mut Reply<'_>,
) {
    match canonical(exchange.request.path(), exchange.listener.path_policy, room) {
        Ok(path) => {
            exchange.path = path;
            serve(scene, exchange, body, reply).await;
        }
        Err(error) => {
            exchange.detail = error.token();
            refused(scene, exchange, Failure::BadRequest, body, reply).await;
        }
    }
}

/// Serves one request, from the route to the log line.
async fn serve<'c>(
    scene: &Scene<'c>,
    exchange: &mut Exchange<'c>,
    body: &mut Body<'_>,
    reply: &mut Reply<'_>,
) {
    let _in_flight = scene.context.cells().request_in_flight();
    if let Err(failure) = steps(scene, exchange, body, reply).await {
        Box::pin(refuse::tell(scene, exchange, failure, reply)).await;
    }
    // A tunnel is counted and logged by who runs it.
    if exchange.opened.is_none() {
        let now = llm::settle(scene, exchange);
        record::write(scene, exchange, body, reply, now);
        exchange.metered.holds = Holds::default();
    }
}

/// Answers, counts and logs a request that was refused before it could be served.
pub async fn refused<'c>(
    scene: &Scene<'c>,
    exchange: &mut Exchange<'c>,
    failure: Failure,
    body: &Body<'_>,
    reply: &mut Reply<'_>,
) {
    refuse::tell(scene, exchange, failure, reply).await;
    record::write(scene, exchange, body, reply, clock::moment());
}

async fn steps<'c>(
    scene: &Scene<'c>,
    exchange: &mut Exchange<'c>,
    body: &mut Body<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Failure> {
    check_method(scene, exchange)?;
    if goes_no_further(exchange) {
        return Box::pin(fixed::options(exchange, reply, &scene.patience)).await;
    }
    if let Some(cors) = cors::preflight(scene, exchange) {
        return Box::pin(fixed::preflight(exchange, cors, reply, &scene.patience)).await;
    }
    let route = match select::route(scene, exchange)? {
        Selected::Route(route) => route,
        Selected::Page(page) => {
            return Box::pin(fixed::page(exchange, page, reply, &scene.patience)).await;
        }
        Selected::Moved(url) => {
            return Box::pin(fixed::moved(exchange, 308, &url, reply, &scene.patience)).await;
        }
    };
    admit::caller(scene, exchange, route).await?;
    key::admit(scene, exchange, route)?;
    let route = canary::draw(scene, exchange, route);
    llm::read(scene, exchange, route, body, reply).await?;
    let lists = [&route.limits, key::limits(exchange, route), llm::limits(exchange)];
    meter::take_all(scene, exchange, &lists, llm::reserved(exchange).as_ref())?;
    validate::request(exchange, route)?;
    match &route.action {
        Action::Redirect(to) => {
            Box::pin(fixed::redirect(exchange, to, reply, &scene.patience)).await
        }
        Action::Respond(answer) => {
            Box::pin(fixed::respond(exchange, answer, reply, &scene.patience)).await
        }
        Action::Versions(api) => {
            let list = lifecycle::list(exchange, api);
            Box::pin(fixed::respond(exchange, &list, reply, &scene.patience)).await
        }
        Action::Proxy(_) => proxy(scene, exchange, route, body, reply).await,
        Action::Llm(rules) => llm::serve(scene, exchange, (route, rules), reply).await,
    }
}

/// CONNECT would make an open proxy of us; TRACE tells scripts what only the gateway should see.
fn check_method(scene: &Scene<'_>, exchange: &Exchange<'_>) -> Result<(), Failure> {
    match exchange.request.head.method {
        Method::Connect | Method::Trace => Err(Failure::MethodNotImplemented),
        _ if passes_again(scene, exchange) => Err(Failure::LoopDetected),
        _ => Ok(()),
    }
}

/// RFC 9110 section 7.6.2: with no forwards left, OPTIONS is the gateway's own to answer.
fn goes_no_further(exchange: &Exchange<'_>) -> bool {
    let request = &exchange.request;
    request.head.method == Method::Options
        && request.value(Name::MaxForwards).and_then(forward::number) == Some(0)
}

async fn proxy<'c>(
    scene: &Scene<'c>,
    exchange: &mut Exchange<'c>,
    route: &Route,
    body: &mut Body<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Failure> {
    let draw = scene.context.random.borrow_mut().bits();
    let target = route.target(draw).ok_or(Failure::UpstreamNone)?;
    let snapshot = &scene.current.snapshot;
    let upstream = &snapshot.upstreams[target.upstream];
    exchange.upstream = &upstream.name;
    let local =
        scene.context.pool.upstream(target.upstream, upstream).ok_or(Failure::UpstreamNone)?;
    let way = http::Way {
        local: &local,
        target,
        gateway: &snapshot.config.gateway,
        client: scene.patience,
        body_idle: exchange.listener.conf.timeouts.body,
        buffer_max: reply.buffer_max(),
    };
    http::proxy(exchange, route, &way, body, reply).await
}

/// How often a request may pass through gateways of our pseudonym: a chain of a few is meant, a
/// circle is not (RFC 9110 section 7.6.3).
const PASSES_MAX: usize = 8;

fn passes_again(scene: &Scene<'_>, exchange: &Exchange<'_>) -> bool {
    let (request, via) = (&exchange.request, &scene.current.snapshot.config.gateway.via);
    let values = request.head.values(Name::Via, request.block);
    // Each element is a protocol and a pseudonym, perhaps a comment.
    let ours = values.flat_map(|value| value.split(|b| *b == b',')).filter(|element| {
        element.trim_ascii().split(|b| *b == b' ').nth(1) == Some(via.as_bytes())
    });
    ours.take(PASSES_MAX).count() == PASSES_MAX
}
