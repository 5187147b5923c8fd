//! A route as the workers see it: what it ends in, with everything inherited filled in.

use std::sync::Arc;
use std::time::Duration;

use super::api::{Api, Deployment, Split};
use super::authorizer::Access;
use super::checks::Checks;
use super::keys::KeyRules;
use super::limit::Limits;
use super::llm::LlmRoute;
use crate::config::{self, Name, Redirect, Respond, Template};
use crate::failure::ErrorFormat;
use crate::observe::cells::{PerWorker, RouteCells};

/// A route of a snapshot.
pub struct Route {
    pub api: Name,
    /// The route key as it is written.
    pub key: Arc<str>,
    pub deployment: Arc<Deployment>,
    /// The canary beside it.
    pub split: Option<Split>,
    /// Anybody may have it, whatever the API asks of its callers.
    pub is_public: bool,
    pub action: Action,
    pub errors: ErrorFormat,
    /// It takes every path of its hosts: pages of the gateway's own come before it.
    pub takes_all: bool,
    /// What it asks of its callers; `None`: nothing.
    pub access: Option<Box<Access>>,
    /// Fields that only an authorizer may put on a request: no client's copy is passed on.
    pub claimed: Arc<[Box<str>]>,
    pub strip_prefix: Option<String>,
    pub target: TargetEdits,
    /// Statuses of the upstream and what clients get in their place.
    pub statuses: Vec<(u16, u16)>,
    /// What a request must be; `None`: anything.
    pub checks: Option<Box<Checks>>,
    /// The API's edits, then the route's.
    pub request: Edits,
    /// The API's edits, then the route's.
    pub response: Edits,
    pub body_max: Option<u64>,
    /// Protocols a connection may be upgraded to, lower case.
    pub upgrade: Vec<String>,
    pub retry: bool,
    /// How it asks for API keys; `None`: its API does not.
    pub keys: Option<Box<KeyRules>>,
    pub limits: Limits,
    pub cells: Arc<PerWorker<RouteCells>>,
}

/// What a route ends in.
pub enum Action {
    /// To one of several upstreams by weight; weights above zero only.
    Proxy(Vec<Target>),
    Redirect(Redirect),
    Respond(Respond),
    /// The list of the API's versions.
    Versions(Arc<Api>),
    /// To a language model.
    Llm(LlmRoute),
}

/// A share of a route's requests.
pub struct Target {
    /// Index into the snapshot's upstreams.
    pub upstream: usize,
    /// Sum of the weights up to and including this one.
    pub weight_upto: u64,
    pub first_byte: Duration,
    pub idle: Duration,
    pub total: Option<Duration>,
    pub tunnel_idle: Duration,
    pub tunnel_lifetime: Option<Duration>,
}

/// What the upstream sees in place of the request's target.
#[derive(Default)]
pub struct TargetEdits {
    pub path: TargetPath,
    pub query: Option<QueryEdits>,
}

/// The path the upstream sees.
#[derive(Default)]
pub enum TargetPath {
    /// The request's, perhaps without a prefix.
    #[default]
    Same,
    Path(Template),
    /// Path and query.
    Whole(Template),
}

/// Edits of a query.
pub struct QueryEdits {
    /// Names, decoded, of parameters that do not go on: removed or replaced.
    pub drops: Vec<String>,
    /// Set, then added; neither name nor value is encoded.
    pub puts: Vec<(String, Template)>,
}

/// Edits of a message's fields, compiled.
#[derive(Default)]
pub struct Edits {
    pub list: Vec<Edit>,
}

/// One edit.
pub struct Edit {
    pub kind: EditKind,
    /// Lower case.
    pub name: String,
    /// Empty for `Remove`.
    pub value: Template,
}

/// What an edit does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EditKind {
    Remove,
    /// Replaces all fields of the name.
    Set,
    /// Stands beside those that are there.
    Add,
}

// === impl Edits ===

impl Edits {
    /// The edits of an API and, after them, of its route.
    #[must_use]
    pub fn of(api: &config::HeaderEdits, route: &config::HeaderEdits) -> Edits {
        let mut list = Vec::new();
        for edits in [api, route] {
            let removed = edits.remove.iter().map(|name| (EditKind::Remove, name, None));
            let set = edits.set.iter().map(|edit| (EditKind::Set, &edit.name, Some(&edit.value)));
            let added = edits.add.iter().map(|edit| (EditKind::Add, &edit.name, Some(&edit.value)));
            list.extend(removed.chain(set).chain(added).map(|(kind, name, value)| Edit {
                kind,
                name: name.clone(),
                value: value.cloned().unwrap_or_default(),
            }));
        }
        Edits { list }
    }

    /// Whether a field of this name, as received, is not passed on: removed or replaced.
    #[must_use]
    pub fn drops(&self, name: &[u8]) -> bool {
        let replaced = |edit: &&Edit| edit.kind != EditKind::Add;
        self.list
            .iter()
            .filter(replaced)
            .any(|edit| name.eq_ignore_ascii_case(edit.name.as_bytes()))
    }

    /// The fields to put: a later `set` or `remove` of the same name undoes an earlier edit.
    pub fn puts(&self) -> impl Iterator<Item = &Edit> {
        self.list.iter().enumerate().filter_map(|(at, edit)| {
            let undone = self.list[at + 1..]
                .iter()
                .any(|later| later.kind != EditKind::Add && later.name == edit.name);
            (edit.kind != EditKind::Remove && !undone).then_some(edit)
        })
    }
}

// === impl TargetEdits ===

impl TargetEdits {
    /// The edits of a route in a deployment.
    #[must_use]
    pub fn of(conf: &config::Route, of: &config::Deployment<'_>) -> TargetEdits {
        let path = match (&conf.rewrite, &conf.path) {
            (Some(whole), _) => TargetPath::Whole(of.template(whole)),
            (None, Some(path)) => TargetPath::Path(of.template(path)),
            (None, None) => TargetPath::Same,
        };
        let edits = &conf.request_query;
        let replaced = edits.set.iter().map(|edit| edit.name.clone());
        let puts = edits.set.iter().chain(&edits.add);
        let query = (!edits.is_empty()).then(|| QueryEdits {
            drops: edits.remove.iter().cloned().chain(replaced).collect(),
            puts: puts.map(|edit| (edit.name.clone(), of.template(&edit.value))).collect(),
        });
        TargetEdits { path, query }
    }

    /// Whether there is anything to do.
    #[must_use]
    pub fn is_edited(&self) -> bool {
        self.query.is_some() || !matches!(self.path, TargetPath::Same)
    }
}

// === impl Route ===

impl Route {
    /// A document of the gateway's own.
    #[must_use]
    pub fn document(
        deployment: Deployment,
        key: &str,
        action: Action,
        response: Edits,
        cells: Arc<PerWorker<RouteCells>>,
    ) -> Route {
        Route {
            api: deployment.api.name.clone(),
            key: Arc::from(key),
            errors: deployment.api.errors,
            deployment: Arc::new(deployment),
            split: None,
            is_public: true,
            action,
            strip_prefix: None,
            target: TargetEdits::default(),
            statuses: Vec::new(),
            checks: None,
            request: Edits::default(),
            response,
            body_max: Some(0),
            upgrade: Vec::new(),
            retry: false,
            takes_all: false,
            keys: None,
            access: None,
            claimed: Arc::default(),
            limits: Limits::default(),
            cells,
        }
    }

    /// What tells it from all others, in the order in which a snapshot holds them: over reloads, a
    /// route of the same name is the same route.
    #[must_use]
    pub fn name(&self) -> (&str, &str, &str, &str, bool) {
        let Deployment { stage, canary, .. } = &*self.deployment;
        (&self.api, &self.key, stage, self.deployment.version_id(), *canary)
    }

    /// The status a client gets where the upstream's is this.
    #[must_use]
    pub fn status_for(&self, status: u16) -> u16 {
        let found = self.statuses.iter().find(|(from, _)| *from == status);
        found.map_or(status, |(_, to)| *to)
    }

    /// The upstream target for a draw; `None` if the route ends elsewhere.
    #[must_use]
    pub fn target(&self, draw: u64) -> Option<&Target> {
        let Action::Proxy(targets) = &self.action else { return None };
        let total = targets.last()?.weight_upto;
        let draw = if targets.len() == 1 { 0 } else { draw % total };
        targets.iter().find(|target| draw < target.weight_upto)
    }
}
