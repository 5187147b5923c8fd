//! Tree -> typed configuration: one reader per section of the schema. What concerns one object is
//! checked by its reader; what concerns several (names that refer, addresses that collide) here.

mod answer;
mod api;
mod authorizer;
mod cors;
mod deployment;
mod edge;
mod fields;
mod gateway;
mod key;
mod limit;
mod listener;
mod llm;
mod stage;
mod upstream;
mod version;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::diagnostic::{Diagnostic, Place};
use super::section::Section;
use super::spot::Spot;
use super::suggest::nearest;
use super::types::{Admin, Config, Listener, Model, Name, OPENS};
use crate::llm::ModelPattern;

/// The names there are, also of objects that could not be read: a mistake in an upstream must not
/// make every route to it one.
pub(super) struct Known<'a> {
    listeners: BTreeSet<&'a str>,
    upstreams: BTreeSet<&'a str>,
    apis: BTreeSet<&'a str>,
    plans: BTreeSet<&'a str>,
    limits: BTreeSet<&'a str>,
    authorizers: BTreeSet<&'a str>,
    providers: BTreeSet<&'a str>,
    models: BTreeSet<&'a str>,
    /// The upstreams some route names.
    used: RefCell<BTreeSet<String>>,
    /// The authorizers that something names.
    asked: RefCell<BTreeSet<String>>,
    /// The providers some model names.
    used_providers: RefCell<BTreeSet<String>>,
    /// The limits something names.
    used_limits: RefCell<BTreeSet<String>>,
}

/// Reads the whole tree. What could not be read has been reported and stands at its default.
pub(super) fn config(root: &Section<'_>) -> Config {
    let known = Known::of(root);
    let gateway = gateway::gateway(&root.sub("gateway"));
    let admin = gateway::admin(&root.sub("admin"));
    let log = gateway::log(&root.sub("log"));
    let ledger = gateway::ledger(&root.sub("ledger"));
    let listeners = each(root, "listeners", |_, section| Some(listener::listener(section)));
    let upstreams = each(root, "upstreams", |_, section| Some(upstream::upstream(section)));
    let limits = each(root, "limits", |_, section| Some(limit::limit(section)));
    let providers = each(root, "providers", |_, section| llm::provider(section, &known));
    let models = models(root, &known);
    let authorizers = each(root, "authorizers", authorizer::authorizer);
    let apis = each(root, "apis", |_, section| Some(api::api(section, &known)));
    let keys = each(root, "keys", |_, section| key::key(section, &known));
    let plans = each(root, "plans", |_, section| Some(key::plan(section, &known)));
    let domains = stage::domains(root, &apis);
    let config = Config {
        gateway,
        admin,
        log,
        ledger,
        listeners,
        upstreams,
        limits,
        providers,
        models,
        authorizers,
        apis,
        domains,
        keys,
        plans,
    };
    addresses(root, &config.listeners, &config.admin);
    whole(root, &known, &config);
    key::whole(root, &config);
    llm::whole(root, &known, &config);
    config
}

/// The objects of a table that could be read.
fn each<'a, T>(
    root: &Section<'a>,
    table: &str,
    read: impl Fn(&Name, &Section<'a>) -> Option<T>,
) -> BTreeMap<Name, T> {
    let objects = root.named(table).into_iter();
    objects.filter_map(|(name, section)| Some((name.clone(), read(&name, &section)?))).collect()
}

/// The models that could be read; what a client asks for has no form of its own.
fn models(root: &Section<'_>, known: &Known<'_>) -> BTreeMap<ModelPattern, Model> {
    let models = root.keyed("models").into_iter().filter_map(|(name, section)| {
        let name = llm::pattern_of(name, &section)?;
        let model = llm::model(&name, &section, known)?;
        Some((name, model))
    });
    models.collect()
}

/// No two listeners, and no listener and the admin server, share an address.
fn addresses(root: &Section<'_>, listeners: &BTreeMap<Name, Listener>, admin: &Admin) {
    let mut taken: BTreeMap<SocketAddr, (String, String)> = BTreeMap::new();
    if admin.enabled && admin.address.port() != 0 {
        let place = match admin.place.line {
            0 => "its default".to_owned(),
            _ => format!("at {}", admin.place),
        };
        taken.insert(admin.address, ("admin.address".to_owned(), place));
    }
    for (name, listener) in listeners {
        for listen in listener.addresses.iter().filter(|listen| listen.address.port() != 0) {
            let key = format!("listeners.{name}");
            if let Some((other, place)) = taken.get(&listen.address) {
                root.report.error(Diagnostic {
                    place: listen.place.clone(),
                    key,
                    value: Some(format!("\"{}\"", listen.address)),
                    message: format!("also the address of {other} ({place})"),
                    remedy: "give one of them another port".to_owned(),
                });
            } else {
                taken.insert(listen.address, (key, format!("at {}", listen.place)));
            }
        }
    }
}

/// What the configuration as a whole lacks or has too much of.
fn whole(root: &Section<'_>, known: &Known<'_>, config: &Config) {
    if known.listeners.is_empty() && root.may_hold("listeners") {
        root.error_at(
            "listeners",
            "there is none, so nobody could connect",
            "add `[listeners.web]` with `address = \"127.0.0.1:8080\"`",
        );
    }
    if config.apis.is_empty() && root.may_hold("apis") {
        root.warn_at(
            "apis",
            "there is none, so every request is answered 404",
            "add `[apis.NAME]`",
        );
    }
    authorizer::whole(root, &known.asked.borrow(), config);
    let unnamed = |place: &Place, key: String| {
        root.report.warn(Diagnostic {
            place: place.clone(),
            key,
            value: None,
            message: "no route names it".to_owned(),
            remedy: "remove it, or name it in a route".to_owned(),
        });
    };
    let (used, limits) = (known.used.borrow(), known.used_limits.borrow());
    for (name, upstream) in config.upstreams.iter().filter(|(name, _)| !used.contains(&***name)) {
        unnamed(&upstream.place, format!("upstreams.{name}"));
    }
    for (name, limit) in config.limits.iter().filter(|(name, _)| !limits.contains(&***name)) {
        unnamed(&limit.place, format!("limits.{name}"));
    }
}

// === impl Known ===

impl<'a> Known<'a> {
    fn of(root: &Section<'a>) -> Known<'a> {
        Known {
            listeners: root.keys_of("listeners"),
            upstreams: root.keys_of("upstreams"),
            apis: root.keys_of("apis"),
            plans: root.keys_of("plans"),
            limits: root.keys_of("limits"),
            authorizers: root.keys_of("authorizers"),
            providers: root.keys_of("providers"),
            models: root.keys_of("models"),
            used_providers: RefCell::default(),
            used: RefCell::default(),
            asked: RefCell::default(),
            used_limits: RefCell::default(),
        }
    }

    fn upstream(&self, spot: &Spot<'_>) -> Option<Name> {
        // With a stage variable in it there are as many upstreams as values: see `deployment`.
        if spot.text().contains(OPENS) {
            return Some(Name::from(spot.text()));
        }
        let name = Known::find(spot, &self.upstreams, "upstream", "upstreams")?;
        self.used.borrow_mut().insert(name.to_string());
        Some(name)
    }

    fn api(&self, spot: &Spot<'_>, name: &str) -> bool {
        Known::is(spot, name, &self.apis, "API", "apis")
    }

    fn plan(&self, spot: &Spot<'_>) -> Option<Name> {
        Known::find(spot, &self.plans, "plan", "plans")
    }

    /// Whether there is an upstream of this name, which some deployment of an API uses.
    fn uses(&self, name: &str) -> bool {
        let is_there = self.upstreams.contains(name);
        if is_there {
            self.used.borrow_mut().insert(name.to_owned());
        }
        is_there
    }

    fn authorizer(&self, spot: &Spot<'_>) -> Option<Name> {
        let name = Known::find(spot, &self.authorizers, "authorizer", "authorizers")?;
        self.asked.borrow_mut().insert(name.to_string());
        Some(name)
    }

    fn listener(&self, spot: &Spot<'_>) -> Option<Name> {
        Known::find(spot, &self.listeners, "listener", "listeners")
    }

    fn limit(&self, spot: &Spot<'_>) -> Option<Name> {
        let name = Known::find(spot, &self.limits, "limit", "limits")?;
        self.used_limits.borrow_mut().insert(name.to_string());
        Some(name)
    }

    fn find(spot: &Spot<'_>, names: &BTreeSet<&str>, what: &str, table: &str) -> Option<Name> {
        let name = spot.text();
        Known::is(spot, name, names, what, table).then(|| Name::from(name))
    }

    fn is(spot: &Spot<'_>, name: &str, names: &BTreeSet<&str>, what: &str, table: &str) -> bool {
        if names.contains(name) {
            return true;
        }
        if spot.report.is_full() {
            return false;
        }
        let remedy = match nearest(name, names.iter().copied()) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => format!("add `[{table}.{}]`", super::section::quoted(name)),
        };
        spot.error(&format!("there is no {what} of this name"), &remedy);
        false
    }
}
