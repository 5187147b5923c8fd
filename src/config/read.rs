//! Tree -> typed configuration: one reader per section of the schema. What concerns one object is
//! checked by its reader; what concerns several (names that refer, addresses that collide) here.

mod answer;
mod api;
mod cors;
mod edge;
mod fields;
mod gateway;
mod listener;
mod upstream;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::diagnostic::Diagnostic;
use super::section::Section;
use super::spot::Spot;
use super::suggest::nearest;
use super::types::{Admin, Config, Listener, Name, Upstream};

/// The names there are, also of objects that could not be read: a mistake in an upstream must not
/// make every route to it one.
pub(super) struct Known<'a> {
    listeners: BTreeSet<&'a str>,
    upstreams: BTreeSet<&'a str>,
    /// The upstreams some route names.
    used: RefCell<BTreeSet<String>>,
}

/// Reads the whole tree. What could not be read has been reported and stands at its default.
pub(super) fn config(root: &Section<'_>) -> Config {
    let known = Known {
        listeners: root.keys_of("listeners"),
        upstreams: root.keys_of("upstreams"),
        used: RefCell::default(),
    };
    let gateway = gateway::gateway(&root.sub("gateway"));
    let admin = gateway::admin(&root.sub("admin"));
    let log = gateway::log(&root.sub("log"));
    let listeners: BTreeMap<Name, Listener> = root
        .named("listeners")
        .into_iter()
        .map(|(name, section)| (name, listener::listener(&section)))
        .collect();
    let upstreams: BTreeMap<Name, Upstream> = root
        .named("upstreams")
        .into_iter()
        .map(|(name, section)| (name, upstream::upstream(&section)))
        .collect();
    let apis = root
        .named("apis")
        .into_iter()
        .map(|(name, section)| (name, api::api(&section, &known)))
        .collect();
    let config = Config { gateway, admin, log, listeners, upstreams, apis };
    addresses(root, &config.listeners, &config.admin);
    whole(root, &known, &config);
    config
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
    let used = known.used.borrow();
    for (name, upstream) in &config.upstreams {
        if !used.contains(&**name) {
            root.report.warn(Diagnostic {
                place: upstream.place.clone(),
                key: format!("upstreams.{name}"),
                value: None,
                message: "no route names it".to_owned(),
                remedy: "remove it, or name it in a route".to_owned(),
            });
        }
    }
}

// === impl Known ===

impl Known<'_> {
    fn upstream(&self, spot: &Spot<'_>) -> Option<Name> {
        let name = Known::find(spot, &self.upstreams, "upstream", "upstreams")?;
        self.used.borrow_mut().insert(name.to_string());
        Some(name)
    }

    fn listener(&self, spot: &Spot<'_>) -> Option<Name> {
        Known::find(spot, &self.listeners, "listener", "listeners")
    }

    fn find(spot: &Spot<'_>, names: &BTreeSet<&str>, what: &str, table: &str) -> Option<Name> {
        let name = spot.text();
        if names.contains(name) {
            return Some(Name::from(name));
        }
        if spot.report.is_full() {
            return None;
        }
        let remedy = match nearest(name, names.iter().copied()) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => format!("add `[{table}.{}]`", super::section::quoted(name)),
        };
        spot.error(&format!("there is no {what} of this name"), &remedy);
        None
    }
}
