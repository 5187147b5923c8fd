//! Providers and models of a configuration -> those of a snapshot. Credentials are read here, on
//! the control thread, at each load: what was rotated in its file is in force after a reload.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use zeroize::Zeroizing;

use super::super::Snapshot;
use super::super::compile::{Parts, diagnostic};
use super::super::limit::{LimitScope, LimitSpec, Limits};
use super::super::route::Target;
use super::{
    Cause, Causes, Credential, Failover, Llm, LlmTarget, Model, ModelBalance, Models, Provider,
    TargetState,
};
use crate::balance::{Allowance, BreakerRules, BudgetRules};
use crate::bounds::CREDENTIAL_BYTES_MAX;
use crate::clock::Tick;
use crate::config::{self, Config, CredentialSource, Diagnostic, Held, Name};
use crate::llm::price::Prices;
use crate::llm::{ModelPattern, Price};
use crate::observe::cells::PerWorker;
use crate::observe::gen_ai::{GenAiCells, GenAiName};

/// What providers and models are made from.
pub struct From<'a> {
    pub config: &'a Config,
    /// The places of the snapshot's upstreams by name.
    pub upstreams: &'a BTreeMap<Name, usize>,
    pub parts: &'a Parts<'a>,
    pub now: Tick,
}

// === impl From ===

impl From<'_> {
    /// Compiles all of them; what cannot be made is told.
    pub fn compile(&self, wrong: &mut Vec<Diagnostic>) -> Llm {
        let providers: BTreeMap<&Name, Arc<Provider>> = self
            .config
            .providers
            .iter()
            .map(|(name, conf)| (name, Arc::new(self.provider(name, conf, wrong))))
            .collect();
        let models = self.config.models.iter();
        let models: Models =
            models.map(|(name, conf)| Arc::new(self.model(name, conf, &providers))).collect();
        Llm { models, providers: providers.into_values().collect() }
    }

    fn provider(
        &self,
        name: &Name,
        conf: &config::Provider,
        wrong: &mut Vec<Diagnostic>,
    ) -> Provider {
        let old = self.previous().and_then(|old| old.llm.provider(name));
        let timeouts = &conf.upstream.timeouts;
        let mut credentials = Vec::new();
        for source in &conf.credentials {
            match read(source, credentials_directory().as_deref()) {
                Ok(secret) => credentials.push(kept(source, secret, old)),
                Err((message, remedy)) => {
                    let at = format!("providers.{name}.credentials");
                    wrong.push(diagnostic(&source.place, &at, &message, remedy));
                }
            }
        }
        let base_path = conf.base_url.target.trim_end_matches('/');
        Provider {
            name: name.clone(),
            dialect: conf.dialect,
            target: Target {
                upstream: self.upstreams[&config::Provider::upstream_name(name)],
                weight_upto: 1,
                first_byte: timeouts.first_byte,
                idle: timeouts.idle,
                total: timeouts.total,
                tunnel_idle: timeouts.tunnel_idle,
                tunnel_lifetime: timeouts.tunnel_lifetime,
            },
            stream_first_byte: conf.stream_first_byte,
            base_path: base_path.to_owned(),
            host: conf.base_url.authority(),
            credentials,
            headers: conf.headers.iter().map(|(n, v)| (n.clone(), v.clone())).collect(),
            prices: conf.prices.iter().map(|(name, conf)| (name.clone(), price(conf))).collect(),
            limits: self.limits(&conf.limits),
            turn: AtomicU32::new(0),
        }
    }

    fn model(
        &self,
        name: &ModelPattern,
        conf: &config::Model,
        providers: &BTreeMap<&Name, Arc<Provider>>,
    ) -> Model {
        let old = self.previous().and_then(|old| old.llm.models.named(name.as_str()));
        let rules = BudgetRules {
            percent: conf.failover.budget.0 / 100,
            min_per_second: conf.failover.budget_min,
            ..BudgetRules::default()
        };
        let targets = conf.targets.iter().zip(0u8..).map(|(conf_of, at)| {
            Arc::new(LlmTarget {
                provider: providers[&conf_of.provider].clone(),
                model: Arc::from(conf_of.model.as_str()),
                weight: conf_of.weight,
                priority: conf_of.priority,
                context_max: conf_of.context_max,
                features: conf_of.features,
                price: providers[&conf_of.provider].price(&conf_of.model),
                breaker: breaker(&conf.breaker),
                state: state_of(old, conf_of),
                cells: self.cells(name, conf_of),
                at,
            })
        });
        Model {
            name: Arc::from(name.as_str()),
            targets: targets.collect(),
            balance: match conf.balance {
                config::ModelBalance::Weighted => ModelBalance::Weighted,
                config::ModelBalance::LeastLatency => ModelBalance::LeastLatency,
            },
            output_max: conf.output_max,
            learned: old.map(|old| old.learned.clone()).unwrap_or_default(),
            limits: self.limits(&conf.limits),
            failover: failover(&conf.failover),
            retries: match old.filter(|old| *old.retries.rules() == rules) {
                Some(old) => old.retries.clone(),
                None => Arc::new(Allowance::new(rules, self.now)),
            },
        }
    }

    /// They count all requests together, whichever route they came by.
    fn limits(&self, names: &[Name]) -> Limits {
        let specs = LimitSpec::named(self.config, names.iter());
        let (store, registry) = (self.parts.limits, self.parts.registry);
        Limits::compile(&specs, &LimitScope::default(), store, registry)
    }

    fn cells(
        &self,
        model: &ModelPattern,
        conf: &config::ModelTarget,
    ) -> Arc<PerWorker<GenAiCells>> {
        let provider = &self.config.providers[&conf.provider];
        self.parts.registry.gen_ai(&GenAiName {
            dialect: provider.dialect.name(),
            model: model.as_str(),
            served: if conf.model == "*" { "" } else { &conf.model },
            address: &provider.base_url.host,
            port: provider.base_url.port,
            provider: &conf.provider,
        })
    }

    fn previous(&self) -> Option<&Snapshot> {
        self.parts.previous
    }
}

/// The credential that was there, if it has the same name and value: it may be resting.
fn kept(
    source: &CredentialSource,
    secret: Zeroizing<Vec<u8>>,
    old: Option<&Arc<Provider>>,
) -> Arc<Credential> {
    let mut before = old.into_iter().flat_map(|old| &old.credentials);
    let same = |old: &&Arc<Credential>| *old.name == *source.name && old.secret() == &**secret;
    match before.find(same) {
        Some(old) => old.clone(),
        None => Arc::new(Credential::new(&source.name, secret)),
    }
}

fn state_of(old: Option<&Arc<Model>>, conf: &config::ModelTarget) -> Arc<TargetState> {
    let mut before = old.into_iter().flat_map(|old| &old.targets);
    let same = |target: &&Arc<LlmTarget>| {
        target.provider.name == conf.provider && *target.model == *conf.model
    };
    before.find(same).map(|target| target.state.clone()).unwrap_or_default()
}

fn price(conf: &config::Price) -> Price {
    Price::new(&Prices {
        input: conf.input.0,
        output: conf.output.0,
        cached_input: Some(conf.cached_input.0),
        cache_write: Some(conf.cache_write.0),
        reasoning: Some(conf.reasoning.0),
        batch_input: Some(conf.batch_input.0),
        batch_output: Some(conf.batch_output.0),
    })
}

fn breaker(conf: &config::Breaker) -> BreakerRules {
    BreakerRules {
        failures: conf.failures,
        ratio: conf.ratio.0,
        requests_min: conf.requests_min,
        window: conf.window,
        open: conf.open,
        open_max: conf.open_max,
        half_open: conf.half_open,
    }
}

fn failover(conf: &config::Failover) -> Failover {
    let cause = |cause: &config::FailoverCause| match cause {
        config::FailoverCause::Connect => Cause::Connect,
        config::FailoverCause::Timeout => Cause::Timeout,
        config::FailoverCause::RateLimit => Cause::RateLimit,
        config::FailoverCause::ServerError => Cause::ServerError,
        config::FailoverCause::Overloaded => Cause::Overloaded,
        config::FailoverCause::Auth => Cause::Auth,
    };
    Failover {
        attempts: conf.attempts,
        on: conf.on.iter().map(cause).collect::<Causes>(),
        retry_after_max: conf.retry_after_max.unwrap_or_default(),
    }
}

/// Where systemd puts the credentials of this unit.
fn credentials_directory() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}

/// The value of a credential, or why there is none and what to do; never the value.
fn read(
    source: &CredentialSource,
    systemd: Option<&Path>,
) -> Result<Zeroizing<Vec<u8>>, (String, &'static str)> {
    let (of, text) = match &source.held {
        Held::Env(name) => {
            let of = format!("the environment variable {name}");
            match std::env::var(name).map(Zeroizing::new) {
                Ok(text) => (of, Zeroizing::new(text.as_bytes().to_vec())),
                Err(std::env::VarError::NotPresent) => {
                    return Err((format!("{of} is not set"), "set it, or name another"));
                }
                Err(std::env::VarError::NotUnicode(_)) => {
                    return Err((format!("{of} is not a text"), "set it to the provider's key"));
                }
            }
        }
        Held::File(file) => (file.path.display().to_string(), read_file(&file.path)?),
        Held::Systemd(name) => {
            let Some(directory) = systemd else {
                let message = format!("systemd has handed over no credential: not {name} either");
                return Err((message, "start it by systemd, with `LoadCredential=` in its unit"));
            };
            (format!("the systemd credential {name}"), read_file(&directory.join(name))?)
        }
    };
    let value = Zeroizing::new(text.trim_ascii().to_vec());
    if value.is_empty() {
        return Err((format!("{of} is empty"), "put the provider's key there"));
    }
    if value.len() > CREDENTIAL_BYTES_MAX {
        return Err((format!("{of} is longer than {CREDENTIAL_BYTES_MAX} bytes"), "shorten it"));
    }
    if !value.iter().all(u8::is_ascii_graphic) {
        let message = format!("{of} holds something else than visible ASCII characters");
        return Err((message, "put the provider's key there and nothing else"));
    }
    Ok(value)
}

/// A file, as long as it is not longer than a credential with blanks around it may be.
fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, (String, &'static str)> {
    let most = 2 * CREDENTIAL_BYTES_MAX;
    // At once, so that no part of it is left behind where it grew.
    let mut bytes = Zeroizing::new(Vec::with_capacity(most + 1));
    let limit = u64::try_from(most).expect("a few kilobytes");
    let read = std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    match read {
        Ok(_) => Ok(bytes),
        Err(error) => {
            let message = format!("{}: cannot be read: {error}", path.display());
            Err((message, "check the path and its permissions"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{FilePath, Place};

    fn source(held: Held) -> CredentialSource {
        CredentialSource { place: Place::nowhere(), name: "one".to_owned(), held }
    }

    fn file(path: &Path) -> CredentialSource {
        source(Held::File(FilePath { path: path.to_owned(), place: Place::nowhere() }))
    }

    #[test]
    fn a_credential_is_all_a_file_holds_but_for_blanks_around_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("key");
        for (text, value) in [("sk-1", "sk-1"), ("sk-1\n", "sk-1"), (" sk-1\r\n", "sk-1")] {
            std::fs::write(&path, text).expect("is written");
            let read = read(&file(&path), None).unwrap_or_else(|why| panic!("{why:?}"));
            assert_eq!(&**read, value.as_bytes());
        }
        let long = "x".repeat(CREDENTIAL_BYTES_MAX + 1);
        for (text, why) in [
            ("", "is empty"),
            ("\n\n", "is empty"),
            ("sk-s\u{0}ecret", "visible ASCII"),
            ("sk-secret\nsk-secret", "visible ASCII"),
            ("sk-sécret", "visible ASCII"),
            (&long, "longer than"),
        ] {
            std::fs::write(&path, text).expect("is written");
            let (message, remedy) = read(&file(&path), None).expect_err("no credential");
            assert!(message.contains(why), "{message}");
            assert!(message.contains(&path.display().to_string()), "{message}");
            assert!(!message.contains("ecret") && !remedy.contains("ecret"), "{message}");
        }
        let (message, _) = read(&file(&directory.path().join("no")), None).expect_err("no file");
        assert!(message.contains("cannot be read"), "{message}");
    }

    #[test]
    fn systemd_hands_over_files_of_a_directory() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("openai"), "sk-1\n").expect("is written");
        let held = || source(Held::Systemd("openai".to_owned()));
        let value = read(&held(), Some(directory.path())).unwrap_or_else(|why| panic!("{why:?}"));
        assert_eq!(&**value, b"sk-1");
        let (message, _) = read(&held(), None).expect_err("not started by systemd");
        assert!(message.contains("openai"), "{message}");
    }

    #[test]
    fn a_variable_that_is_not_there_is_named() {
        let held = Held::Env("RINGWAY_TEST_NOBODY_SETS_THIS".to_owned());
        let (message, _) = read(&source(held), None).expect_err("nobody has set it");
        assert_eq!(message, "the environment variable RINGWAY_TEST_NOBODY_SETS_THIS is not set");
    }
}
