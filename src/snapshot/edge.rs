//! What an API answers whichever of its routes a request takes, or none: the form of its errors,
//! and CORS.
//!
//! A preflight has no route of its own, and a request that no route takes still reached somebody's
//! API: its answer must be one that this API's clients can read. Invariant: the API found is the
//! one whose host and base path own the path, as for routes.

use std::collections::HashSet;
use std::sync::Arc;

use crate::auth;
use crate::config::{Api, Config, Name};
use crate::failure::ErrorFormat;
use crate::observe::cells::{PerWorker, RouteCells};
use crate::observe::registry::Registry;
use crate::route::{BasePath, HostPattern, Lookup, Options, Params, Place, RouteKey, Spec, Table};

/// An API as those requests meet it that no route takes.
pub struct Edge {
    pub errors: ErrorFormat,
    pub cors: Option<Arc<Cors>>,
}

/// Which pages of other origins may read an API's answers.
pub struct Cors {
    pub api: Name,
    pub policy: auth::Cors,
    /// Of the preflights that were answered.
    pub preflights: Arc<PerWorker<RouteCells>>,
}

/// The APIs of a listener by host and base path; those that differ from the default only.
#[derive(Default)]
pub struct Edges {
    table: Option<Table>,
    list: Vec<Edge>,
}

/// What metrics and the log call the route of an answered preflight.
pub const PREFLIGHT: &str = "(preflight)";

// === impl Cors ===

impl Cors {
    /// The compiled policy of an API, if it has one.
    #[must_use]
    pub(super) fn of(name: &Name, api: &Api, registry: &Registry) -> Option<Arc<Cors>> {
        let policy = api.cors.clone()?;
        let preflights = registry.route(name, PREFLIGHT);
        Some(Arc::new(Cors { api: name.clone(), policy, preflights }))
    }
}

// === impl Edges ===

impl Edges {
    /// The APIs that this listener reaches.
    pub(super) fn build(config: &Config, listener: &Name, registry: &Registry) -> Edges {
        let mut apis: Vec<(&Name, &Api)> = config
            .apis
            .iter()
            .filter(|(_, api)| api.listeners.as_ref().is_none_or(|set| set.contains(listener)))
            .collect();
        let plain = |api: &Api| api.cors.is_none() && api.errors == ErrorFormat::default();
        if apis.iter().all(|(_, api)| plain(api)) {
            return Edges::default();
        }
        // Several APIs may share a host and a base path: one with a policy speaks for them, since
        // without one browsers could read nothing at all.
        apis.sort_by_key(|(name, api)| (api.cors.is_none(), *name));
        let (mut list, mut specs, mut taken) = (Vec::new(), Vec::new(), HashSet::new());
        for (name, api) in apis {
            let Ok(base_path) = BasePath::parse(&api.base_path) else { continue };
            let target = u32::try_from(list.len()).expect("fewer than 2^32 APIs");
            list.push(Edge { errors: api.errors, cors: Cors::of(name, api, registry) });
            for host in &api.hosts {
                let Ok(host) = HostPattern::parse(&host.to_string()) else { continue };
                if taken.insert((host.clone(), base_path.clone())) {
                    let key = RouteKey::parse("$default").expect("is a route key");
                    let (base_path, place) = (base_path.clone(), Place(String::new()));
                    specs.push(Spec { host, base_path, key, target, place });
                }
            }
        }
        // Without doubles and with one key there is nothing that could conflict.
        Edges { table: Table::build(specs, Options::default()).ok(), list }
    }

    /// The API that owns this path of this host.
    #[must_use]
    pub fn of(&self, host: &[u8], path: &[u8]) -> Option<&Edge> {
        let table = self.table.as_ref()?;
        match table.find(host, b"GET", path, &mut Params::default()) {
            Lookup::Found(target) => self.list.get(target as usize),
            Lookup::NotFound => None,
        }
    }
}
