//! API keys and usage plans as the workers see them: what each route asks for, and who may show
//! what.
//!
//! Secrets are read here, on the control thread, and only their digests are kept. The
//! configuration's keys are part of the snapshot; the store's are in a table that outlives it.

use std::collections::BTreeMap;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::compile::{Parts, diagnostic};
use super::limit::{Limit, LimitScope, LimitSpec, Limits};
use crate::auth::keys::{Clash, Configured, Digest, Key, KeyRecord, KeyTable, Origin, Secret};
use crate::auth::plans::Plans;
use crate::config::{
    self, Config, DEFAULT_STAGE, Diagnostic, KeyNeed, KeyPart, KeySource, Missing, Name, Throttle,
    ValueSource,
};
use crate::limit::{Standing, Store, Times, Unit};

/// All keys and plans.
pub struct Keys {
    /// Those of the configuration.
    pub configured: Arc<Configured>,
    /// Those kept at run time: one table over all snapshots.
    pub table: Arc<KeyTable>,
    pub plans: Plans,
    /// All limits of each plan, by its name: for looking at what is left of them.
    limits: BTreeMap<String, Limits>,
}

/// How a route asks for keys.
pub struct KeyRules {
    /// `Off` where only the API's other routes ask: a key that is shown all the same stays here.
    pub need: KeyNeed,
    /// In the order in which they are looked at; empty if `from_claim` is there.
    pub sources: Vec<Source>,
    /// The claim that holds the key.
    pub from_claim: Option<String>,
    /// Whether the upstream gets the key too.
    pub forward: bool,
    /// Whether the upstream is told the key's name and plan.
    pub identity_headers: bool,
    pub stage: Arc<str>,
    /// Empty for an API without versions.
    pub version: Arc<str>,
    /// The plans that hold here, in the order of their names.
    pub plans: Vec<PlanHere>,
}

/// A plan on a route.
pub struct PlanHere {
    pub name: Arc<str>,
    /// What it takes from each key.
    pub limits: Limits,
}

/// One change of the configuration can concern a million keys.
const WARNINGS_MAX: usize = 10;

/// Where a client shows its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Lower case.
    Header(String),
    Bearer,
    Query(String),
}

// === impl Keys ===

impl Keys {
    /// The key that has this value.
    #[must_use]
    pub fn find(&self, value: &Digest) -> Option<Arc<Key>> {
        self.configured.find(value).cloned().or_else(|| self.table.find(value))
    }

    /// How the limits of a plan stand for a key, each by its name: `plan gold` and, of a route
    /// with a rate of its own, `plan gold orders GET /pets`. Nothing is taken.
    #[must_use]
    pub fn standing(
        &self,
        store: &Store,
        plan: &str,
        key: &str,
        now: Times,
    ) -> Vec<(&Limit, Standing)> {
        let list = self.limits.get(plan).map_or(&[][..], |limits| &limits.list);
        let standing = |limit: &Limit| {
            let mut id = limit.begun.clone();
            id.part(key.as_bytes());
            Standing::of(store, &limit.rules, id.id(), now)
        };
        list.iter().map(|limit| (limit, standing(limit))).collect()
    }

    /// What this configuration makes of the store's keys that is probably not meant: their plans
    /// are gone, or two of them meet. Such a key is refused where none of its plans holds.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let wrong = |plans: &[Arc<str>]| self.plans.check(plans).is_err();
        let keys = self.table.with_plans(WARNINGS_MAX, wrong);
        let tell = |key: Arc<Key>| {
            let error = self.plans.check(key.plans()).err()?;
            Some(format!("the key {:?} ({}): {error}", key.name(), key.origin()))
        };
        keys.into_iter().filter_map(tell).collect()
    }

    /// Takes note of the configuration's keys, for the store to keep off them: done with the
    /// publication of the snapshot.
    ///
    /// # Errors
    /// The store's keys that are in their way.
    pub fn publish(&self) -> Result<(), Vec<Diagnostic>> {
        self.table.configure(&self.configured).map_err(|clashes| told(&clashes))
    }
}

// === impl KeyRules ===

impl KeyRules {
    /// The rules of a route of this stage; `None` if nothing in its API asks for a key.
    #[must_use]
    pub fn of(
        config: &Config,
        plans: &Plans,
        scope: &LimitScope<'_>,
        route: Option<KeyNeed>,
        parts: &Parts<'_>,
    ) -> Option<Box<KeyRules>> {
        // An API without stages has this one, for plans and for what keys are good at.
        let stage = if scope.stage.is_empty() { DEFAULT_STAGE } else { scope.stage };
        let conf = &config.apis[scope.api].api_key;
        let attached = if plans.name(scope.api, stage) { KeyNeed::Required } else { KeyNeed::Off };
        let of_api = conf.required.unwrap_or(attached);
        let need = route.unwrap_or(of_api);
        let source = |source: &KeySource| match source {
            KeySource::Header(name) => Source::Header(name.clone()),
            KeySource::Bearer => Source::Bearer,
            KeySource::Query(name) => Source::Query(name.clone()),
        };
        let rules = || KeyRules {
            need,
            sources: match conf.from_claim {
                Some(_) => Vec::new(),
                None => conf.source.iter().map(source).collect(),
            },
            from_claim: conf.from_claim.clone(),
            forward: conf.forward,
            identity_headers: conf.identity_headers,
            stage: stage.into(),
            version: scope.version.into(),
            plans: plans
                .at(scope.api, stage)
                .map(|name| PlanHere::new(config, name, scope, parts))
                .collect(),
        };
        (need != KeyNeed::Off || of_api != KeyNeed::Off).then(|| Box::new(rules()))
    }

    /// Which of a key's plans holds here: its place among the key's, and its limits.
    #[must_use]
    pub fn plan_of(&self, key: &Key) -> Option<(u16, &Limits)> {
        key.plans().iter().enumerate().find_map(|(at, name)| {
            let here = self.plans.iter().find(|here| here.name == *name)?;
            Some((u16::try_from(at).ok()?, &here.limits))
        })
    }
}

// === impl PlanHere ===

impl PlanHere {
    fn new(config: &Config, name: &str, scope: &LimitScope<'_>, parts: &Parts<'_>) -> PlanHere {
        let plan = &config.plans[name];
        let own = plan.routes.get_key_value(&format!("{} {}", scope.api, scope.route));
        let mut specs = vec![plan_spec(name, plan, own.is_none())];
        specs.extend(own.map(|(route, throttle)| route_spec(name, route, *throttle, plan)));
        specs.extend(LimitSpec::named(config, plan.limits.iter()));
        let limits = Limits::compile(&specs, scope, parts.limits, parts.registry);
        PlanHere { name: name.into(), limits }
    }
}

/// What each key may over all APIs of the plan. It is there also if it limits nothing, so that the
/// plan's requests are counted.
fn plan_spec(name: &str, plan: &config::Plan, throttles: bool) -> LimitSpec {
    LimitSpec {
        // With a blank: no `[limits.NAME]` has one.
        name: format!("plan {name}").into(),
        unit: Unit::Requests,
        by: vec![KeyPart::Key],
        throttle: plan.throttle.filter(|_| throttles),
        quota: plan.quota,
        concurrency: plan.concurrency,
        shadow: false,
        missing: Missing::Refuse,
        headers: plan.headers,
    }
}

/// What each key may on a route that has a rate of its own.
fn route_spec(name: &str, route: &str, throttle: Throttle, plan: &config::Plan) -> LimitSpec {
    LimitSpec {
        name: format!("plan {name} {route}").into(),
        throttle: Some(throttle),
        quota: None,
        concurrency: None,
        ..plan_spec(name, plan, false)
    }
}

/// All limits of each plan that count by the key alone.
fn all_limits(config: &Config, parts: &Parts<'_>) -> BTreeMap<String, Limits> {
    let limits = |(name, plan): (&Name, &config::Plan)| {
        let mut specs = vec![plan_spec(name, plan, true)];
        let routes = plan.routes.iter();
        specs.extend(routes.map(|(route, throttle)| route_spec(name, route, *throttle, plan)));
        specs.extend(LimitSpec::named(config, plan.limits.iter()));
        specs.retain(|spec| spec.by == [KeyPart::Key]);
        let scope = LimitScope::default();
        (name.to_string(), Limits::compile(&specs, &scope, parts.limits, parts.registry))
    };
    config.plans.iter().map(limits).collect()
}

/// Compiles the configuration's keys; the table is the previous snapshot's.
pub(super) fn compile(config: &Config, parts: &Parts<'_>, wrong: &mut Vec<Diagnostic>) -> Keys {
    let table = parts.previous.map_or_else(Arc::default, |old| old.keys.table.clone());
    let records: Vec<KeyRecord> =
        config.keys.iter().filter_map(|(name, key)| record(name, key, wrong)).collect();
    let configured = match Configured::build(&records) {
        Ok(configured) => configured,
        Err(clashes) => {
            wrong.extend(told(&clashes));
            Configured::default()
        }
    };
    wrong.extend(told(&table.clashes(&configured)));
    Keys {
        configured: Arc::new(configured),
        table,
        plans: config.usage_plans(),
        limits: all_limits(config, parts),
    }
}

fn record(name: &Name, conf: &config::Key, wrong: &mut Vec<Diagnostic>) -> Option<KeyRecord> {
    let at = format!("keys.{name}");
    let origin = Origin::Config(conf.place.to_string().into());
    let mut record = KeyRecord::new(name, origin);
    for value in &conf.values {
        match digest(&value.source) {
            Ok((digest, shown)) => {
                let not_after = value.not_after.map(|moment| moment.seconds);
                let value = crate::auth::keys::KeyValue { digest, shown, created: 0, not_after };
                record.values.push(value);
            }
            Err((message, remedy)) => {
                wrong.push(diagnostic(&value.place, &at, &message, remedy));
            }
        }
    }
    if record.values.len() < conf.values.len() {
        return None;
    }
    record.enabled = conf.enabled;
    record.expires = conf.expires.map(|moment| moment.seconds);
    record.owner.clone_from(&conf.owner);
    record.tags.clone_from(&conf.tags);
    record.plans = conf.plans.iter().map(ToString::to_string).collect();
    record.allow = conf.allow.clone();
    match record.check() {
        Ok(()) => Some(record),
        Err(error) => {
            wrong.push(diagnostic(&conf.place, &at, &error.to_string(), ""));
            None
        }
    }
}

/// The digest of a value, and what may be shown of it.
fn digest(source: &ValueSource) -> Result<(Digest, String), (String, &'static str)> {
    let chosen = |text: &str| match Secret::chosen(text) {
        Ok(secret) => Ok((secret.digest(), secret.shown().to_owned())),
        Err(message) => {
            Err((format!("the secret {message}"), "`ringway keys create` makes good ones"))
        }
    };
    match source {
        ValueSource::Hash(digest) => Ok((*digest, String::new())),
        ValueSource::Env(name) => match std::env::var(name).map(Zeroizing::new) {
            Ok(text) => chosen(text.trim()),
            Err(_) => {
                let message = format!("the environment variable {name} is not set to a text");
                Err((message, "set it, or name another"))
            }
        },
        ValueSource::File(file) => match std::fs::read_to_string(&file.path).map(Zeroizing::new) {
            Ok(text) => chosen(text.trim()),
            Err(error) => {
                let message = format!("{}: cannot be read: {error}", file.path.display());
                Err((message, "check the path and its permissions"))
            }
        },
    }
}

/// Clashes as diagnostics: at the configuration's key, if one of the two is.
fn told(clashes: &[Clash]) -> Vec<Diagnostic> {
    let tell = |clash: &Clash| {
        let at = match (&clash.origin, &clash.other_origin) {
            (Origin::Config(_), _) | (_, Origin::Store) => (&clash.origin, &clash.name),
            (Origin::Store, other) => (other, &clash.other),
        };
        let place = config::Place { file: at.0.to_string().into(), line: 0, column: 0 };
        let remedy = "give one of them another name or value, or remove it";
        diagnostic(&place, &format!("keys.{}", at.1), &clash.to_string(), remedy)
    };
    clashes.iter().map(tell).collect()
}
