//! Providers and models of a snapshot, and how each target fares, as people and programs read it:
//! `/providers`, `/models`, and the breakers of `/metrics`. Of a credential its name is shown and
//! whether it rests, never its value.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::balance::BreakerState;
use crate::clock::Tick;
use crate::observe::exposition::{BreakerSeen, TargetSeen};
use crate::snapshot::{LlmTarget, Model, ModelBalance, Provider, Snapshot};

/// All providers.
#[must_use]
pub fn providers(snapshot: &Snapshot, now: Tick) -> Value {
    let all = snapshot.llm.providers.iter().map(|provider| of_provider(snapshot, provider, now));
    json!({ "generation": snapshot.generation, "providers": all.collect::<Vec<_>>() })
}

/// All models and their targets.
#[must_use]
pub fn models(snapshot: &Snapshot, now: Tick) -> Value {
    let all = in_order(snapshot).into_iter().map(|model| of_model(model, now));
    json!({ "generation": snapshot.generation, "models": all.collect::<Vec<_>>() })
}

/// The breakers of all targets.
#[must_use]
pub fn seen(snapshot: &Snapshot, now: Tick) -> Vec<TargetSeen> {
    let models = in_order(snapshot).into_iter();
    let targets = models.flat_map(|model| model.targets.iter().map(move |target| (model, target)));
    let seen = targets.map(|(model, target)| TargetSeen {
        model: model.name.clone(),
        provider: Arc::from(&*target.provider.name),
        served: if &*target.model == "*" { Arc::from("") } else { target.model.clone() },
        breaker: match target.state.breaker.state(now) {
            BreakerState::Closed => BreakerSeen::Closed,
            BreakerState::Open(_) => BreakerSeen::Open,
            BreakerState::HalfOpen => BreakerSeen::HalfOpen,
        },
    });
    seen.collect()
}

/// The models by name.
fn in_order(snapshot: &Snapshot) -> Vec<&Arc<Model>> {
    let mut models: Vec<&Arc<Model>> = snapshot.llm.models.iter().collect();
    models.sort_by(|a, b| a.name.cmp(&b.name));
    models
}

fn of_provider(snapshot: &Snapshot, provider: &Provider, now: Tick) -> Value {
    let credentials = provider.credentials.iter().map(|credential| {
        json!({
            "name": &*credential.name,
            "resting": credential.is_resting(now),
            "awake_in_ms": left(credential.rests_until(), now),
        })
    });
    let prices: Vec<&str> = provider.prices.iter().map(|(name, _)| name.as_str()).collect();
    json!({
        "name": &*provider.name,
        "dialect": provider.dialect.name(),
        "host": provider.host,
        "base_path": provider.base_path,
        "upstream": &*snapshot.upstreams[provider.upstream()].name,
        "credentials": credentials.collect::<Vec<_>>(),
        "headers": provider.headers.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        "limits": provider.limits.list.iter().map(|limit| &*limit.name).collect::<Vec<_>>(),
        "prices": prices,
    })
}

fn of_model(model: &Model, now: Tick) -> Value {
    json!({
        "name": &*model.name,
        "balance": match model.balance {
            ModelBalance::Weighted => "weighted",
            ModelBalance::LeastLatency => "least_latency",
        },
        "output_max": model.output_max,
        "output_reserved": model.output_ceiling(),
        "limits": model.limits.list.iter().map(|limit| &*limit.name).collect::<Vec<_>>(),
        "attempts": model.failover.attempts,
        "targets": model.targets.iter().map(|target| of_target(target, now)).collect::<Vec<_>>(),
    })
}

fn of_target(target: &LlmTarget, now: Tick) -> Value {
    let (breaker, open_for) = match target.state.breaker.state(now) {
        BreakerState::Closed => ("closed", None),
        BreakerState::Open(until) => ("open", left(until, now)),
        BreakerState::HalfOpen => ("half_open", None),
    };
    let features = target.features.map(|features| features.words().collect::<Vec<_>>());
    json!({
        "provider": &*target.provider.name,
        "model": &*target.model,
        "weight": target.weight,
        "priority": target.priority,
        "context_max": target.context_max,
        "features": features,
        "breaker": breaker,
        "open_for_ms": open_for,
        "first_byte_us": target.state.latency.micros(now),
        "in_flight": target.state.in_flight(),
        "takes_requests": target.awake_at(now) <= now && target.weight > 0,
    })
}

/// Milliseconds until then; `None` if it has come.
fn left(until: Tick, now: Tick) -> Option<u64> {
    let left = until.since(now);
    (!left.is_zero()).then(|| u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
}
