//! Reads `[keys.NAME]`, `[plans.NAME]`, and how an API asks for keys.

use std::collections::BTreeMap;

use super::{Known, fields, limit, llm};
use crate::auth::keys::{Allow, Digest, Network};
use crate::auth::plans::{ApiStage, WrongPlans};
use crate::config::diagnostic::{Diagnostic, Place};
use crate::config::section::{Either, Section};
use crate::config::spot::Spot;
use crate::config::types::{
    ApiKey, Config, Key, KeyNeed, KeySource, KeyValue, Name, Plan, ValueSource,
};
use crate::config::units::{self, Bad};
use crate::limit::Unit;

pub(super) const NEEDS: [(&str, KeyNeed); 3] =
    [("required", KeyNeed::Required), ("optional", KeyNeed::Optional), ("off", KeyNeed::Off)];

/// How an API asks for keys.
pub(super) fn api_key(section: &Section<'_>) -> ApiKey {
    let default = || ApiKey {
        required: None,
        source: vec![KeySource::Header("x-api-key".to_owned()), KeySource::Bearer],
        from_claim: None,
        forward: false,
        identity_headers: false,
    };
    let section = match section.either("api_key", &NEEDS) {
        None => return default(),
        Some(Either::Word(need)) => return ApiKey { required: Some(need), ..default() },
        Some(Either::Table(section)) => section,
    };
    let source = sources(&section).unwrap_or_else(|| default().source);
    if source.is_empty() && !section.has("from_claim") {
        section.error_at(
            "source",
            "is empty, so nobody could show a key",
            "name one, or leave out",
        );
    }
    let claim = section.text("from_claim");
    ApiKey {
        required: section.choice_if("required", &NEEDS),
        source,
        from_claim: claim.map(|spot| spot.text().to_owned()),
        forward: section.flag("forward"),
        identity_headers: section.flag("identity_headers"),
    }
}

fn sources(section: &Section<'_>) -> Option<Vec<KeySource>> {
    let mut sources: Vec<KeySource> = Vec::new();
    for spot in section.texts("source")? {
        let Some(source) = spot.read(source) else { continue };
        if sources.contains(&source) {
            spot.error("written twice", "remove one of them");
            continue;
        }
        sources.push(source);
    }
    Some(sources)
}

fn source(text: &str) -> Result<KeySource, Bad> {
    let write = "write \"header:x-api-key\", \"bearer\" or \"query:api_key\"";
    match text.split_once(':') {
        None if text == "bearer" => Ok(KeySource::Bearer),
        Some(("header", name)) if name.eq_ignore_ascii_case("authorization") => {
            Err(Bad::new("the authorization field has a scheme before the key", "write \"bearer\""))
        }
        Some(("header", name)) => Ok(KeySource::Header(fields::field_name(name)?)),
        Some(("query", name)) => {
            let good = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
            if name.is_empty() || !name.bytes().all(good) {
                let message = "not the name of a parameter: letters, digits, `-`, `.`, `_`, `~`";
                return Err(Bad::new(message, write));
            }
            Ok(KeySource::Query(name.to_owned()))
        }
        _ => Err(Bad::new("not a place where a key can be", write)),
    }
}

/// A key; `None` if it has no value that could be read.
pub(super) fn key(section: &Section<'_>, known: &Known<'_>) -> Option<Key> {
    let values = values(section);
    if !section.has("hashes") && !section.has("values") {
        let remedy = "add `hashes = [\"sha256:...\"]`, or `values = [{ env = \"NAME\" }]`";
        section.error("has no value, so nobody could show it", remedy);
    }
    let tags: BTreeMap<String, String> = section
        .texts_by_name("tags")
        .into_iter()
        .map(|(name, spot)| (name.to_owned(), spot.text().to_owned()))
        .collect();
    let mut plans: Vec<Name> = Vec::new();
    for spot in section.texts("plans").unwrap_or_default() {
        let Some(plan) = known.plan(&spot) else { continue };
        if plans.contains(&plan) {
            spot.error("written twice", "remove one of them");
            continue;
        }
        plans.push(plan);
    }
    let key = Key {
        place: section.place.clone(),
        enabled: section.flag("enabled"),
        expires: section.date_if("expires"),
        owner: section.text_or_default("owner").0,
        tags,
        plans,
        allow: allow(&section.sub("allow"), known),
        values,
    };
    (!key.values.is_empty()).then_some(key)
}

fn values(section: &Section<'_>) -> Vec<KeyValue> {
    let mut values = Vec::new();
    for spot in section.texts("hashes").unwrap_or_default() {
        if let Some(hash) = hash(&spot) {
            let place = spot.node.place.clone();
            values.push(KeyValue { place, source: ValueSource::Hash(hash), not_after: None });
        }
    }
    for spot in section.items("values").unwrap_or_default() {
        values.extend(section.item("values", &spot).and_then(|section| value(&section)));
    }
    values
}

fn value(section: &Section<'_>) -> Option<KeyValue> {
    let hash = section.text("hash").and_then(|spot| hash(&spot)).map(ValueSource::Hash);
    let env = section.text("env").and_then(|spot| spot.read(variable)).map(ValueSource::Env);
    let file = section.file("file").map(ValueSource::File);
    let not_after = section.date_if("not_after");
    let given = ["hash", "env", "file"].into_iter().filter(|key| section.has(key)).count();
    if given != 1 {
        section.error("needs one of `hash`, `env` and `file`", "write { env = \"NAME\" }");
        return None;
    }
    let source = hash.or(env).or(file)?;
    Some(KeyValue { place: section.place.clone(), source, not_after })
}

/// The value is not repeated: it may be the secret itself, put here by mistake.
fn hash(spot: &Spot<'_>) -> Option<Digest> {
    let wrong = |message: &str| Diagnostic {
        place: spot.node.place.clone(),
        key: spot.path.clone(),
        value: None,
        message: message.to_owned(),
        remedy: "write what `printf %s \"$SECRET\" | sha256sum` says behind `sha256:`".to_owned(),
    };
    Digest::parse(spot.text()).map_err(|message| spot.report.error(wrong(message))).ok()
}

pub(super) fn variable(text: &str) -> Result<String, Bad> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if text.is_empty() || !text.bytes().all(good) {
        return Err(Bad::new("not the name of a variable", "write one such as \"ACME_KEY\""));
    }
    Ok(text.to_owned())
}

fn allow(section: &Section<'_>, known: &Known<'_>) -> Allow {
    let list = |key| section.texts(key).unwrap_or_default();
    let kept = |spots: Vec<Spot<'_>>, good: &dyn Fn(&Spot<'_>) -> bool| {
        let kept = spots.iter().filter(|spot| good(spot)).map(|spot| spot.text().to_owned());
        kept.collect::<Vec<_>>()
    };
    // To pass over it could leave an empty list, and that is one of everything.
    let filled = |spot: &Spot<'_>| {
        if spot.text().is_empty() {
            spot.error("is empty", "write a name, or remove it");
        }
        !spot.text().is_empty()
    };
    let network = |spot: &Spot<'_>| spot.read(units::network).map(Network);
    let allow = Allow {
        apis: kept(list("apis"), &|spot| api_stage(spot, known)),
        versions: kept(list("versions"), &filled),
        routes: kept(list("routes"), &filled),
        networks: list("networks").iter().filter_map(network).collect(),
        models: llm::patterns(section, "models", known),
    };
    for key in ["apis", "versions", "routes", "networks"] {
        if section.items(key).is_some_and(|items| items.is_empty()) {
            let remedy = "name at least one, or leave the key out for all";
            section.error_at(key, "is empty, so the key would be good nowhere", remedy);
        }
    }
    allow
}

/// Whether `orders` or `orders/prod` is an API there is.
fn api_stage(spot: &Spot<'_>, known: &Known<'_>) -> bool {
    let named = ApiStage::parse(spot.text());
    known.api(spot, &named.api)
}

/// A plan.
pub(super) fn plan(section: &Section<'_>, known: &Known<'_>) -> Plan {
    let apis = section.texts("apis").map(|spots| {
        let known = spots.iter().filter(|spot| api_stage(spot, known));
        known.map(|spot| spot.text().to_owned()).collect()
    });
    let route = |(key, section): (&str, Section<'_>)| {
        Some((key.to_owned(), limit::throttle(&section, Unit::Requests)?))
    };
    Plan {
        place: section.place.clone(),
        apis,
        limits: limit::names(section, known),
        throttle: limit::throttle_if(section, Unit::Requests),
        quota: section.sub_if("quota").and_then(|section| limit::quota(&section, Unit::Requests)),
        concurrency: section.count_if("concurrency"),
        headers: section.choice("headers", &limit::HEADERS),
        routes: section.keyed("routes").into_iter().filter_map(route).collect(),
    }
}

/// What concerns keys, plans and routes together.
pub(super) fn whole(root: &Section<'_>, config: &Config) {
    let plans = config.usage_plans();
    for (name, key) in &config.keys {
        if let Err(WrongPlans::Overlap { first, second, place }) = plans.check(&key.plans) {
            let at = |plan: &str| config.plans[plan].place.clone();
            let place =
                if place.is_empty() { "everywhere".to_owned() } else { format!("at {place}") };
            root.report.error(Diagnostic {
                place: key.place.clone(),
                key: format!("keys.{name}.plans"),
                value: None,
                message: format!(
                    "the plans {first:?} ({}) and {second:?} ({}) both hold {place}",
                    at(&first),
                    at(&second)
                ),
                remedy: "a key has one plan for each API stage; remove one of them".to_owned(),
            });
        }
        let at = format!("keys.{name}.allow.routes");
        key.allow.routes.iter().for_each(|route| has_route(root, config, &key.place, &at, route));
    }
    for (name, plan) in &config.plans {
        let at = format!("plans.{name}.routes");
        plan.routes.keys().for_each(|route| has_route(root, config, &plan.place, &at, route));
    }
}

/// Reports a route that is none.
fn has_route(root: &Section<'_>, config: &Config, place: &Place, at: &str, route: &str) {
    let (api, key) = route.split_once(' ').unwrap_or((route, ""));
    if config.apis.get(api).is_some_and(|api| api.routes.contains_key(key)) {
        return;
    }
    root.report.error(Diagnostic {
        place: place.clone(),
        key: at.to_owned(),
        value: Some(format!("{route:?}")),
        message: "there is no such route".to_owned(),
        remedy: "write the API's name and a route key as it stands there: \"orders GET /pets\""
            .to_owned(),
    });
}
