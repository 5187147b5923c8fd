//! API keys and usage plans as the workers see them: what each route asks for, and who may show
//! what.
//!
//! Secrets are read here, on the control thread, and only their digests are kept. The
//! configuration's keys are part of the snapshot; the store's are in a table that outlives it.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::Snapshot;
use super::compile::diagnostic;
use crate::auth::keys::{Clash, Configured, Digest, Key, KeyRecord, KeyTable, Origin, Secret};
use crate::auth::plans::Plans;
use crate::config::{
    self, Config, DEFAULT_STAGE, Diagnostic, KeyNeed, KeySource, Name, ValueSource,
};

/// All keys and plans.
pub struct Keys {
    /// Those of the configuration.
    pub configured: Arc<Configured>,
    /// Those kept at run time: one table over all snapshots.
    pub table: Arc<KeyTable>,
    pub plans: Plans,
}

/// How a route asks for keys.
pub struct KeyRules {
    /// Whether a request without a key is refused.
    pub required: bool,
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
    pub plans: Vec<Arc<str>>,
}

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
    /// The rules of a route of this stage; `None` if it asks for no key.
    #[must_use]
    pub fn of(
        config: &Config,
        api_name: &Name,
        (stage, version): (&str, &str),
        route: Option<KeyNeed>,
    ) -> Option<Box<KeyRules>> {
        // An API without stages has this one, for plans and for what keys are good at.
        let stage = if stage.is_empty() { DEFAULT_STAGE } else { stage };
        let conf = &config.apis[api_name].api_key;
        let plans = config.usage_plans();
        let attached = if plans.name(api_name, stage) { KeyNeed::Required } else { KeyNeed::Off };
        let need = route.or(conf.required).unwrap_or(attached);
        let source = |source: &KeySource| match source {
            KeySource::Header(name) => Source::Header(name.clone()),
            KeySource::Bearer => Source::Bearer,
            KeySource::Query(name) => Source::Query(name.clone()),
        };
        let rules = || KeyRules {
            required: need == KeyNeed::Required,
            sources: match conf.from_claim {
                Some(_) => Vec::new(),
                None => conf.source.iter().map(source).collect(),
            },
            from_claim: conf.from_claim.clone(),
            forward: conf.forward,
            identity_headers: conf.identity_headers,
            stage: stage.into(),
            version: version.into(),
            plans: plans.at(api_name, stage).map(Arc::from).collect(),
        };
        (need != KeyNeed::Off).then(|| Box::new(rules()))
    }

    /// Which of a key's plans holds here.
    #[must_use]
    pub fn plan_of(&self, key: &Key) -> Option<u16> {
        let at = key.plans().iter().position(|plan| self.plans.contains(plan))?;
        u16::try_from(at).ok()
    }
}

/// Compiles the configuration's keys; the table is the previous snapshot's.
pub(super) fn compile(
    config: &Config,
    previous: Option<&Snapshot>,
    wrong: &mut Vec<Diagnostic>,
) -> Keys {
    let table = previous.map_or_else(Arc::default, |old| old.keys.table.clone());
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
    Keys { configured: Arc::new(configured), table, plans: config.usage_plans() }
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
