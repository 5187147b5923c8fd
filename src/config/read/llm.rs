//! Reads `[providers.NAME]`, `[models.NAME]`, and `llm` of a route.

use std::collections::BTreeMap;

use super::{Known, fields, key, limit, upstream};
use crate::bounds::{MODEL_NAME_BYTES_MAX, MODEL_TARGETS_MAX, PROVIDER_CREDENTIALS_MAX};
use crate::config::diagnostic::Diagnostic;
use crate::config::section::{Either, Section};
use crate::config::spot::Spot;
use crate::config::types::{
    Breaker, Config, CredentialSource, Failover, FailoverCause, Held, LlmRoute, Model,
    ModelBalance, ModelTarget, Name, Price, Provider, Usd,
};
use crate::config::units::{self, Bad};
use crate::http::Url;
use crate::llm::price::per_million;
use crate::llm::{Dialect, Features, ModelPattern};

const DIALECTS: [(&str, Dialect); 2] =
    [("openai", Dialect::OpenAi), ("anthropic", Dialect::Anthropic)];

/// A provider; `None` if nobody knows where it is, or what it speaks.
pub(super) fn provider(section: &Section<'_>, known: &Known<'_>) -> Option<Provider> {
    let url = section.text("base_url").and_then(|spot| url(&spot));
    let credentials = credentials(section);
    let headers = headers(section, !credentials.is_empty());
    let prices = section.keyed("prices").into_iter().filter_map(|(name, section)| {
        let name = pattern_of(name, &section)?;
        Some((name, price(&section)?))
    });
    let prices: BTreeMap<ModelPattern, Price> = prices.collect();
    let limits = limit::names(section, known);
    let dialect = section.choice_if("dialect", &DIALECTS);
    let stream_first_byte = section.duration("stream_first_byte");
    let upstream = upstream::of_provider(section, url.as_ref());
    let (base_url, dialect) = (url?, dialect?);
    if !base_url.https && !base_url.is_loopback() && !credentials.is_empty() {
        let message = "whoever is on the way can read the credentials";
        section.warn_at("base_url", message, "write an https:// URL");
    }
    Some(Provider {
        place: section.place.clone(),
        dialect,
        base_url,
        credentials,
        headers,
        limits,
        stream_first_byte,
        prices,
        upstream,
    })
}

fn url(spot: &Spot<'_>) -> Option<Url> {
    let text = spot.text();
    let authority = text.split_once("://").map_or(text, |(_, rest)| rest);
    if authority.split(['/', '?', '#']).next().is_none_or(|authority| !authority.contains('@')) {
        return spot.read(base_url);
    }
    spot.report.error(Diagnostic {
        place: spot.node.place.clone(),
        key: spot.path.clone(),
        // It may hold a password.
        value: None,
        message: "holds user information".to_owned(),
        remedy: "remove what stands before the `@`; name secrets in `credentials`".to_owned(),
    });
    None
}

fn base_url(text: &str) -> Result<Url, Bad> {
    let write = "write one such as \"https://api.openai.com/v1\"";
    if text.contains(['?', '#']) {
        return Err(Bad::new("has a query or a fragment, but paths are put behind it", write));
    }
    let url = Url::parse(text.trim_end_matches('/')).ok_or_else(|| Bad::new("not a URL", write))?;
    fields::path(&url.target).map_err(|bad| Bad::new(&bad.message, write))?;
    Ok(url)
}

fn credentials(section: &Section<'_>) -> Vec<CredentialSource> {
    let mut all: Vec<CredentialSource> = Vec::new();
    for spot in section.items("credentials").unwrap_or_default() {
        if spot.node.text().is_some() {
            // It may be the secret itself: the value is not repeated.
            spot.report.error(Diagnostic {
                place: spot.node.place.clone(),
                key: spot.path.clone(),
                value: None,
                message: "a credential does not stand in the configuration itself".to_owned(),
                remedy: "write { env = \"NAME\" }, { file = \"path\" } or { systemd = \"name\" }"
                    .to_owned(),
            });
            continue;
        }
        let Some(item) = section.item("credentials", &spot) else { continue };
        let Some(credential) = credential(&item) else { continue };
        if let Some(twin) = all.iter().find(|other| other.name == credential.name) {
            let message =
                format!("\"{}\" is written twice; the first is at {}", twin.name, twin.place);
            item.error(&message, "remove one of them, or give it a `name` of its own");
            continue;
        }
        all.push(credential);
    }
    if all.len() > PROVIDER_CREDENTIALS_MAX {
        let message = format!("more than {PROVIDER_CREDENTIALS_MAX}");
        section.error_at("credentials", &message, "write fewer");
    }
    all
}

fn credential(item: &Section<'_>) -> Option<CredentialSource> {
    let name = item.text("name").and_then(|spot| spot.read(credential_name));
    let env = item.text("env").and_then(|spot| spot.read(key::variable)).map(Held::Env);
    let file = item.file("file").map(Held::File);
    let systemd =
        item.text("systemd").and_then(|spot| spot.read(credential_name)).map(Held::Systemd);
    let given = ["env", "file", "systemd"].into_iter().filter(|key| item.has(key)).count();
    if given != 1 {
        let remedy = "write { env = \"OPENAI_API_KEY\" }";
        item.error("needs one of `env`, `file` and `systemd`", remedy);
        return None;
    }
    let held = env.or(file).or(systemd)?;
    let own = match &held {
        Held::Env(name) | Held::Systemd(name) => name.clone(),
        Held::File(file) => {
            let name = file.path.file_name().unwrap_or(file.path.as_os_str());
            name.to_string_lossy().into_owned()
        }
    };
    Some(CredentialSource { place: item.place.clone(), name: name.unwrap_or(own), held })
}

/// Also a file's name in a directory that systemd has made.
fn credential_name(text: &str) -> Result<String, Bad> {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    if text.is_empty() || text.len() > 64 || text.starts_with('.') || !text.bytes().all(good) {
        let remedy = "use at most 64 letters, digits, `_`, `-` and `.`, the first of them not `.`";
        return Err(Bad::new("not a name", remedy));
    }
    Ok(text.to_owned())
}

fn headers(section: &Section<'_>, has_credentials: bool) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    for (name, spot) in section.texts_by_name("headers") {
        let Some(lower) = spot.take(fields::field_name(name)) else { continue };
        let own = ["authorization", "x-api-key"].contains(&&*lower) && has_credentials;
        if own || ["content-type", "accept", "accept-encoding"].contains(&&*lower) {
            let message = format!("`{lower}` is the gateway's own to put");
            let remedy = if own { "name the secret in `credentials`" } else { "remove it" };
            section.error_at("headers", &message, remedy);
            continue;
        }
        if !fields::check_value(&spot, spot.text()) {
            continue;
        }
        if headers.insert(lower, spot.text().to_owned()).is_some() {
            spot.error("the same name twice, but for the case", "remove one of them");
        }
    }
    headers
}

fn price(section: &Section<'_>) -> Option<Price> {
    let read = |key| section.text(key).map(|spot| spot.read(usd));
    let (input, output) = (read("input").flatten(), read("output").flatten());
    let of = |key, otherwise: Option<Usd>| read(key).unwrap_or(otherwise);
    let cached_input = of("cached_input", input);
    let cache_write = of("cache_write", input);
    let reasoning = of("reasoning", output);
    let batch_input = of("batch_input", input);
    let batch_output = of("batch_output", output);
    Some(Price {
        input: input?,
        output: output?,
        cached_input: cached_input?,
        cache_write: cache_write?,
        reasoning: reasoning?,
        batch_input: batch_input?,
        batch_output: batch_output?,
    })
}

/// USD, exactly.
fn usd(text: &str) -> Result<Usd, Bad> {
    let write = "write USD per million tokens, such as \"0.15\"";
    per_million(text).map(Usd).map_err(|bad| Bad::new(&bad.to_string(), write))
}

/// A model; `None` if it has no target that could be read.
pub(super) fn model(
    name: &ModelPattern,
    section: &Section<'_>,
    known: &Known<'_>,
) -> Option<Model> {
    let targets = targets(name, section, known);
    let words =
        [("weighted", ModelBalance::Weighted), ("least_latency", ModelBalance::LeastLatency)];
    let model = Model {
        place: section.place.clone(),
        balance: section.choice("balance", &words),
        output_max: section.count_if("output_max"),
        limits: limit::names(section, known),
        failover: failover(&section.sub("failover")),
        breaker: breaker(&section.sub("breaker")),
        targets,
    };
    (!model.targets.is_empty()).then_some(model)
}

fn targets(name: &ModelPattern, section: &Section<'_>, known: &Known<'_>) -> Vec<ModelTarget> {
    let Some(items) = section.items("targets") else { return Vec::new() };
    if items.is_empty() {
        let remedy = "write [{ provider = \"NAME\" }]";
        section.error_at("targets", "is empty, so nobody could serve it", remedy);
    }
    let mut targets: Vec<ModelTarget> = Vec::new();
    let mut broken = false;
    for spot in &items {
        let item = section.item("targets", spot);
        let Some(target) = item.as_ref().and_then(|item| target(name, item, known)) else {
            broken = true;
            continue;
        };
        let same =
            |other: &&ModelTarget| other.provider == target.provider && other.model == target.model;
        if let Some(twin) = targets.iter().find(same) {
            let message = format!(
                "{} of {} is written twice; the first is at {}",
                twin.model, twin.provider, twin.place
            );
            spot.report.error(Diagnostic {
                place: spot.node.place.clone(),
                key: spot.path.clone(),
                value: None,
                message,
                remedy: "remove one of them; `weight` gives one a larger share".to_owned(),
            });
            continue;
        }
        targets.push(target);
    }
    if !broken && !targets.is_empty() && targets.iter().all(|target| target.weight == 0) {
        section.error_at("targets", "all weights are 0", "give at least one a weight above 0");
    }
    if targets.len() > MODEL_TARGETS_MAX {
        let message = format!("more than {MODEL_TARGETS_MAX}");
        section.error_at("targets", &message, "write fewer");
    }
    // Those that are tried first stand first; of one priority, as they were written.
    targets.sort_by_key(|target| target.priority);
    targets
}

fn target(name: &ModelPattern, item: &Section<'_>, known: &Known<'_>) -> Option<ModelTarget> {
    let model = item.text("model");
    let own = if name.is_wildcard() { "*" } else { name.as_str() };
    let target = ModelTarget {
        place: item.place.clone(),
        weight: item.count("weight"),
        priority: item.count("priority"),
        context_max: item.count_if("context_max"),
        features: features(item),
        model: model.as_ref().map_or(own, Spot::text).to_owned(),
        provider: item.text("provider").and_then(|spot| known.provider(&spot))?,
    };
    if let Some(spot) = model {
        match spot.text() {
            "*" if !name.is_wildcard() => {
                let remedy = "leave it out: the name stays the same";
                spot.error("stands for the client's name, but the model's has no `*`", remedy);
                return None;
            }
            "*" => {}
            text if text.contains('*') => {
                spot.error("not a name", "write a whole name, or \"*\" alone");
                return None;
            }
            _ => drop(spot.read(model_name)?),
        }
    }
    Some(target)
}

fn features(item: &Section<'_>) -> Option<Features> {
    let spots = item.texts("features")?;
    Some(spots.iter().filter_map(|spot| spot.word(&Features::WORDS)).collect())
}

fn failover(section: &Section<'_>) -> Failover {
    let causes = [
        ("connect", FailoverCause::Connect),
        ("timeout", FailoverCause::Timeout),
        ("rate_limit", FailoverCause::RateLimit),
        ("server_error", FailoverCause::ServerError),
        ("overloaded", FailoverCause::Overloaded),
        ("auth", FailoverCause::Auth),
    ];
    Failover {
        attempts: section.count("attempts"),
        on: section.words("on", &causes).into_iter().collect(),
        budget: section.percent("budget"),
        budget_min: section.count("budget_min"),
        retry_after_max: section.duration_or_none("retry_after_max"),
    }
}

fn breaker(section: &Section<'_>) -> Breaker {
    let breaker = Breaker {
        failures: section.count("failures"),
        ratio: section.percent("ratio"),
        requests_min: section.count("requests_min"),
        window: section.duration("window"),
        open: section.duration("open"),
        open_max: section.duration("open_max"),
        half_open: section.count("half_open"),
    };
    if breaker.open_max < breaker.open {
        let key = if section.has("open_max") { "open_max" } else { "open" };
        let message = format!(
            "`open` (\"{}\") is longer than `open_max` (\"{}\")",
            units::show_duration(breaker.open),
            units::show_duration(breaker.open_max)
        );
        section.error_at(key, &message, "lower `open` or raise `open_max`");
    }
    breaker
}

/// `llm` of a route; `None` if it is not there, or `false`.
pub(super) fn route(section: &Section<'_>, known: &Known<'_>) -> Option<LlmRoute> {
    let given = section.switch("llm")?;
    if known.models.is_empty() {
        let remedy = "add `[models.\"NAME\"]` with `targets = [{ provider = \"NAME\" }]`";
        section.error_at("llm", "there is no model", remedy);
    }
    let Either::Table(section) = given else { return Some(LlmRoute::default()) };
    Some(LlmRoute {
        models: patterns(&section, "models", known),
        log_content: section.flag("log_content"),
    })
}

/// Names of models, perhaps with a `*`, of which each stands for one that there is.
pub(super) fn patterns(section: &Section<'_>, key: &str, known: &Known<'_>) -> Vec<ModelPattern> {
    let Some(spots) = section.texts(key) else { return Vec::new() };
    if spots.is_empty() {
        let remedy = "name at least one, or leave the key out for all";
        section.error_at(key, "is empty", remedy);
    }
    let mut patterns: Vec<ModelPattern> = Vec::new();
    for spot in spots {
        let Some(pattern) = spot.read(pattern) else { continue };
        if patterns.contains(&pattern) {
            spot.error("written twice", "remove one of them");
            continue;
        }
        if !known.models.iter().any(|model| meet(model, &pattern)) {
            known.no_model(&spot);
        }
        patterns.push(pattern);
    }
    patterns
}

/// Whether a client could write a name that is of both.
fn meet(model: &str, pattern: &ModelPattern) -> bool {
    let whole = |text: &'_ str| text.strip_suffix('*').map(str::len);
    match (whole(model), whole(pattern.as_str())) {
        (None, _) => pattern.matches(model),
        (Some(at), None) => pattern.as_str().starts_with(&model[..at]),
        (Some(at), Some(other)) => {
            let (one, two) = (&model[..at], &pattern.as_str()[..other]);
            one.starts_with(two) || two.starts_with(one)
        }
    }
}

fn model_name(text: &str) -> Result<ModelPattern, Bad> {
    pattern(text)
}

fn pattern(text: &str) -> Result<ModelPattern, Bad> {
    let found = ModelPattern::parse(text).filter(|_| text.len() <= MODEL_NAME_BYTES_MAX);
    found.ok_or_else(|| {
        let message = "not the name of a model: visible characters, and a `*` at its end only";
        Bad::new(message, "write one such as \"gpt-4o-mini\" or \"gpt-4o*\"")
    })
}

/// The name of a table as a pattern.
pub(super) fn pattern_of(name: &str, section: &Section<'_>) -> Option<ModelPattern> {
    pattern(name).map_err(|bad| section.error(&bad.message, &bad.remedy)).ok()
}

/// What concerns providers, models and routes together.
pub(super) fn whole(root: &Section<'_>, known: &Known<'_>, config: &Config) {
    let used = known.used_providers.borrow();
    let warn = |place: &_, key: String, message: &str, remedy: &str| {
        root.report.warn(Diagnostic {
            place: Clone::clone(place),
            key,
            value: None,
            message: message.to_owned(),
            remedy: remedy.to_owned(),
        });
    };
    for (name, provider) in config.providers.iter().filter(|(name, _)| !used.contains(&***name)) {
        let remedy = "remove it, or name it in the `targets` of a model";
        warn(&provider.place, format!("providers.{name}"), "no model names it", remedy);
    }
    if let Some((name, model)) = config.models.iter().next().filter(|_| !config.has_llm_route()) {
        let at = format!("models.{}", crate::config::section::quoted(name.as_str()));
        warn(&model.place, at, "no route leads to models", "add a route with `llm = true`");
    }
}

// === impl Known ===

impl Known<'_> {
    fn provider(&self, spot: &Spot<'_>) -> Option<Name> {
        let name = Known::find(spot, &self.providers, "provider", "providers")?;
        self.used_providers.borrow_mut().insert(name.to_string());
        Some(name)
    }

    fn no_model(&self, spot: &Spot<'_>) {
        Known::is(spot, spot.text(), &self.models, "model", "models");
    }
}
