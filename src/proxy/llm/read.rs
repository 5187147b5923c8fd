//! What is asked of a model: read whole, understood as far as the gateway must, and priced.

use super::models;
use crate::clock::Tick;
use crate::failure::{Details, Failure};
use crate::http::{Framing, Method, Name};
use crate::integration::llm::{Chat, body};
use crate::integration::{Exchange, http};
use crate::limit::Costs;
use crate::llm::price::Pico;
use crate::llm::{Asked, BadRequest, Endpoint};
use crate::message::{Body, Reply};
use crate::net::patience::Patience;
use crate::proxy::serve::Scene;
use crate::snapshot::{Action, Limits, LlmRoute, Route};

/// Reads what is asked of a model, all of it; nothing happens on other routes.
///
/// # Errors
/// When nothing that can be asked of a model is.
pub async fn read<'c>(
    scene: &Scene<'c>,
    exchange: &mut Exchange<'c>,
    route: &'c Route,
    body: &mut Body<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Failure> {
    match &route.action {
        Action::Llm(rules) => ask(scene, exchange, (route, rules), body, reply).await,
        _ => Ok(()),
    }
}

async fn ask<'c>(
    scene: &Scene<'c>,
    exchange: &mut Exchange<'c>,
    (route, rules): (&'c Route, &'c LlmRoute),
    body: &mut Body<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Failure> {
    let method = exchange.request.head.method;
    let endpoint = match Endpoint::of(exchange.path) {
        Some(Endpoint::Models) if method == Method::Get => return Ok(()),
        None if method == Method::Get && models::wanted(exchange.path).is_some() => return Ok(()),
        Some(endpoint) if method == Method::Post && endpoint != Endpoint::Models => endpoint,
        _ => return Err(Failure::NotFound),
    };
    if !scene.context.ledger_has_room() {
        exchange.detail = "ledger_full";
        return Err(Failure::Unavailable);
    }
    let whole = whole(scene, exchange, route, body, reply).await?;
    let asked = match Asked::read(endpoint, whole.bytes()) {
        Ok(asked) => asked,
        Err(bad) => return Err(not_valid(exchange, &bad)),
    };
    let models = &scene.current.snapshot.llm.models;
    let allowed = rules.allows(asked.model()) && may_use(exchange, asked.model());
    let Some(model) = models.find(asked.model()).filter(|_| allowed) else {
        return Err(models::unknown(exchange, asked.model()));
    };
    let mut chat = Box::new(Chat::new(endpoint, asked, whole, model));
    chat.reserved = costs(&chat, chat.input_estimate(), chat.output_at_most());
    if rules.log_content {
        chat.keep_content();
    }
    exchange.dialect = Some(endpoint.dialect());
    // A `*` is counted by what it stands for.
    exchange.model = chat.asked.kept_model();
    exchange.chat = Some(chat);
    Ok(())
}

/// Whether the caller's key lets it ask for this model.
pub(super) fn may_use(exchange: &Exchange<'_>, model: &str) -> bool {
    exchange.identity.key.as_ref().is_none_or(|key| key.allows_model(model))
}

async fn whole(
    scene: &Scene<'_>,
    exchange: &mut Exchange<'_>,
    route: &Route,
    body: &mut Body<'_>,
    reply: &mut Reply<'_>,
) -> Result<body::Whole, Failure> {
    let head = exchange.request.head;
    let coding = exchange.request.value(Name::ContentEncoding);
    if coding.is_some_and(|coding| !coding.eq_ignore_ascii_case(b"identity")) {
        exchange.detail = "content_encoding";
        return Err(Failure::MediaTypeUnsupported);
    }
    let declared = match head.framing {
        Framing::Length(length) => Some(length),
        _ => None,
    };
    if head.expect_continue && !body.is_done() {
        let asked = reply.interim(&scene.patience, 100, std::iter::empty()).await;
        asked.map_err(|ended| http::client_failure(&ended))?;
    }
    // Whoever reads from the client notices by himself that it has gone.
    let idle = exchange.listener.conf.timeouts.body;
    let patience = Patience { idle, until: Tick::NEVER, client: None, ..scene.patience };
    body::read(body, route.body_max, declared, &patience).await
}

fn not_valid(exchange: &mut Exchange<'_>, bad: &BadRequest) -> Failure {
    let mut details = Details::new().message(bad.reason);
    if let Some(param) = bad.param {
        details = details.param(param);
    }
    exchange.told = Some(Box::new(details));
    Failure::ModelRequest
}

/// What the request takes at most, at the most expensive of the model's targets.
fn costs(chat: &Chat<'_>, input: u64, output: u64) -> Costs {
    let (name, batch) = (chat.asked.model(), chat.asked.batch);
    let targets = chat.model.targets.iter();
    let most = targets.map(|target| target.price_for(name).most_pico(input, output, batch)).max();
    Costs { input, output, nano_usd: Pico(most.unwrap_or(0)).nano() }
}

/// The limits of the model that is asked for.
pub fn limits<'c>(exchange: &Exchange<'c>) -> &'c Limits {
    exchange.chat.as_ref().map_or(Limits::none(), |chat| &chat.model.limits)
}

/// What it may cost; `None` if it is no request to a model.
pub fn reserved(exchange: &Exchange<'_>) -> Option<Costs> {
    exchange.chat.as_ref().map(|chat| chat.reserved)
}
