//! The routes of all APIs, compiled: one for each route key, stage and version, and one more where
//! the stage has a canary. Everything a stage or a version changes is settled here, so that a
//! request pays for none of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::access::{self, Authorizers};
use super::api::{Api, Deployment, Mount, Split};
use super::checks::Checks;
use super::compile::{Parts, diagnostic};
use super::edge::Cors;
use super::keys::KeyRules;
use super::limit::{LimitScope, LimitSpec, Limits};
use super::llm::LlmRoute;
use super::mounts::{Base, Listeners, Plan};
use super::route::{Action, Edits, Route, Target, TargetEdits};
use super::versions;
use crate::auth::plans::Plans;
use crate::config::{self, Config, Diagnostic, Name, Respond};
use crate::observe::registry::RouteName;
use crate::route::{self, Claim, RouteKey, Spec};

/// Routes, and where they stand.
#[derive(Default)]
pub struct Compiled<'c> {
    pub apis: Vec<Arc<Api>>,
    pub mounts: Vec<Mount>,
    pub routes: Vec<Arc<Route>>,
    pub specs: Vec<(Spec, Listeners<'c>)>,
    pub claims: Vec<(Claim, Listeners<'c>)>,
}

/// What a route is compiled from besides its own table.
pub struct Sources<'c> {
    pub config: &'c Config,
    pub upstreams: &'c BTreeMap<Name, usize>,
    pub authorizers: &'c Authorizers,
    pub plans: &'c Plans,
    pub parts: &'c Parts<'c>,
}

/// What stands under a route key: the operator's routes, or a document of the gateway's own.
enum Under<'c> {
    Routes(&'c [config::Route]),
    Document(Action),
}

/// One deployment of an API, as configured and as compiled.
type Pair<'c> = (config::Deployment<'c>, Arc<Deployment>);

// === impl Compiled ===

impl<'c> Compiled<'c> {
    /// Compiles the routes of all APIs.
    pub fn of(sources: &Sources<'c>, wrong: &mut Vec<Diagnostic>) -> Compiled<'c> {
        let mut compiled = Compiled::default();
        for (name, conf) in &sources.config.apis {
            compiled.add(sources, name, conf, wrong);
        }
        // Of APIs that share a base path the one with versions is asked what a miss means.
        let mounts = &compiled.mounts;
        let has_versions = |owner: u32| mounts[owner as usize].api.versions.is_some();
        compiled.claims.sort_by_key(|(claim, _)| !has_versions(claim.owner));
        compiled
    }

    fn add(
        &mut self,
        sources: &Sources<'c>,
        name: &'c Name,
        conf: &'c config::Api,
        wrong: &mut Vec<Diagnostic>,
    ) {
        let versions = conf.versioning.as_ref().map(versions::compile);
        let list = versions.iter().flat_map(|versions| &versions.list);
        let api = Arc::new(Api {
            name: name.clone(),
            errors: conf.errors,
            unmatched: conf.unmatched,
            calls: list.map(|version| sources.parts.registry.version(name, &version.id)).collect(),
            versions,
            cors: Cors::of(name, conf, sources.parts.registry),
        });
        let documents = versions::documents(&api, conf, wrong);
        let paths: Vec<String> = documents.keys().cloned().collect();
        let plan =
            Plan { config: sources.config, name, conf, api: api.clone(), documents: paths.into() };
        let bases = plan.bases();
        let mut under: BTreeMap<String, Under<'c>> = BTreeMap::new();
        for (path, action) in documents {
            under.insert(format!("GET {path}"), Under::Document(action));
        }
        for (key, routes) in &conf.routes {
            under.insert(key.clone(), Under::Routes(routes));
        }
        let deployments: Vec<Pair<'c>> = conf
            .deployments()
            .into_iter()
            .map(|deployment| (deployment, Arc::new(of_deployment(&api, &deployment))))
            .collect();
        let listeners = conf.listeners.as_ref();
        for (key, under) in under {
            let Some(parsed) = parse(name, &key, &under, wrong) else { continue };
            match under {
                Under::Document(action) => {
                    self.document(sources, &api, &key, action, &parsed, &bases, listeners);
                }
                Under::Routes(routes) => {
                    for pair in &deployments {
                        for conf in routes.iter().filter(|route| pair.0.has(route)) {
                            self.route(sources, pair, &key, conf, &parsed, &bases, listeners);
                        }
                    }
                }
            }
        }
        for base in bases {
            let owner = u32::try_from(self.mounts.len()).expect("fewer than 2^32 base paths");
            self.claims.push((base.claim(owner), listeners));
            self.mounts.push(base.mount);
        }
        self.apis.push(api);
    }

    #[expect(clippy::too_many_arguments, reason = "what a key, a deployment and an API share")]
    fn route(
        &mut self,
        sources: &Sources<'c>,
        (conf_of, deployment): &Pair<'c>,
        key: &str,
        conf: &config::Route,
        parsed: &RouteKey,
        bases: &[Base],
        listeners: Listeners<'c>,
    ) {
        let target = u32::try_from(self.routes.len()).expect("fewer than 2^32 routes");
        let canary = conf_of.stage.and_then(|(_, stage)| stage.canary.as_ref());
        let split = canary.filter(|_| !deployment.canary).map(|canary| Split {
            parts: canary.percent.0,
            sticky: canary.sticky.clone(),
            salt: format!("{}/{}", deployment.api.name, deployment.stage).into(),
            // The canary of a deployment comes right after it, and has the same routes.
            twin: target + 1,
        });
        self.routes.push(Arc::new(compile(sources, conf_of, deployment, key, conf, split)));
        if deployment.canary {
            return; // no path leads to it
        }
        let place = route::Place(conf.place.to_string());
        for base in bases.iter().filter(|base| base.stage.as_deref() == Some(&*deployment.stage)) {
            let variant = match deployment.version {
                Some(version) if base.chooses() && base.mount.is_root => version + 1,
                version if version == base.mount.otherwise => 0,
                _ => continue,
            };
            let spec = Spec {
                host: base.host.clone(),
                base_path: base.path.clone(),
                key: parsed.clone(),
                target,
                variant,
                place: place.clone(),
            };
            self.specs.push((spec, listeners));
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what a document and an API share")]
    fn document(
        &mut self,
        sources: &Sources<'c>,
        api: &Arc<Api>,
        key: &str,
        action: Action,
        parsed: &RouteKey,
        bases: &[Base],
        listeners: Listeners<'c>,
    ) {
        let target = u32::try_from(self.routes.len()).expect("fewer than 2^32 routes");
        let conf = &sources.config.apis[&*api.name];
        let deployment =
            Deployment { api: api.clone(), stage: Arc::from(""), version: None, canary: false };
        let cells = sources.parts.registry.route(&api.name, key);
        let edits = Edits::of(&conf.response_headers, &config::HeaderEdits::default());
        self.routes.push(Arc::new(Route::document(deployment, key, action, edits, cells)));
        for base in bases.iter().filter(|base| base.mount.is_root) {
            let spec = Spec {
                host: base.host.clone(),
                base_path: base.path.clone(),
                key: parsed.clone(),
                target,
                variant: 0,
                place: route::Place(conf.place.to_string()),
            };
            self.specs.push((spec, listeners));
        }
    }
}

fn of_deployment(api: &Arc<Api>, conf: &config::Deployment<'_>) -> Deployment {
    let find = |id: &str| api.versions.as_ref().and_then(|all| all.find(id.as_bytes()));
    Deployment {
        api: api.clone(),
        stage: Arc::from(conf.stage_name()),
        version: conf.version.and_then(|(id, _)| find(id)),
        canary: conf.canary.is_some(),
    }
}

fn parse(
    api: &Name,
    key: &str,
    under: &Under<'_>,
    wrong: &mut Vec<Diagnostic>,
) -> Option<RouteKey> {
    match (RouteKey::parse(key), under) {
        (Ok(parsed), _) => Some(parsed),
        (Err(error), Under::Routes([first, ..])) => {
            let at = format!("apis.{api}.routes.{key:?}");
            wrong.push(diagnostic(&first.place, &at, &error.to_string(), error.remedy()));
            None
        }
        // The path of a guide is a path, and no key at all is under an empty list.
        (Err(_), _) => None,
    }
}

fn compile(
    sources: &Sources<'_>,
    of: &config::Deployment<'_>,
    deployment: &Arc<Deployment>,
    key: &str,
    conf: &config::Route,
    split: Option<Split>,
) -> Route {
    let api = of.api;
    let name = &deployment.api.name;
    let (stage, version) = (&*deployment.stage, deployment.version_id());
    let scope = LimitScope { api: name, stage, version, route: key };
    let action = match &conf.action {
        config::Action::Redirect(redirect) => {
            Action::Redirect(config::Redirect { to: of.template(&redirect.to), ..redirect.clone() })
        }
        config::Action::Respond(respond) => Action::Respond(Respond {
            body: of.body(&respond.body),
            headers: filled(of, &respond.headers),
            ..respond.clone()
        }),
        config::Action::Proxy(own) => Action::Proxy(targets(sources, of, conf, own)),
        config::Action::Llm(llm) => {
            Action::Llm(LlmRoute { models: llm.models.clone(), log_content: llm.log_content })
        }
    };
    let edits = |edits: &config::HeaderEdits| config::HeaderEdits {
        remove: edits.remove.clone(),
        set: filled(of, &edits.set),
        add: filled(of, &edits.add),
    };
    Route {
        api: name.clone(),
        key: Arc::from(key),
        deployment: deployment.clone(),
        split,
        is_public: false,
        action,
        errors: api.errors,
        access: access::of_route(api, &conf.access, sources.authorizers),
        claimed: access::claimed_fields(api, sources.config),
        strip_prefix: conf.strip_prefix.clone(),
        target: TargetEdits::of(conf, of),
        statuses: conf.status.iter().map(|change| (change.from, change.to)).collect(),
        checks: conf.validate.as_ref().and_then(Checks::of),
        request: Edits::of(&edits(&api.request_headers), &edits(&conf.request_headers)),
        response: Edits::of(&edits(&api.response_headers), &edits(&conf.response_headers)),
        body_max: conf.body_max,
        upgrade: conf.upgrade.clone(),
        retry: conf.retry,
        takes_all: takes_all(&api.base_path, key),
        keys: KeyRules::of(sources.config, sources.plans, &scope, conf.api_key, sources.parts),
        limits: limits(sources, of, &scope, conf),
        cells: sources.parts.registry.route_of(&RouteName {
            api: name,
            route: key,
            stage: &deployment.stage,
            version: deployment.version_id(),
            canary: deployment.canary,
        }),
    }
}

/// Whether the route is `$default` or `ANY /{proxy+}` of a whole host.
fn takes_all(base_path: &str, key: &str) -> bool {
    let path = key.split_once(' ').map_or("", |(_, path)| path);
    let greedy = path.starts_with("/{") && path.ends_with("+}") && !path[1..].contains('/');
    base_path == "/" && (key == "$default" || greedy)
}

/// The limits of the API, the stage, the version, then of the route; then its throttles.
fn limits(
    sources: &Sources<'_>,
    of: &config::Deployment<'_>,
    scope: &LimitScope<'_>,
    conf: &config::Route,
) -> Limits {
    let stage = of.stage.map(|(_, stage)| stage);
    let of_stage = stage.map_or(&[][..], |stage| &stage.limits);
    let of_version = of.version.map_or(&[][..], |(_, version)| &version.limits);
    let names = of.api.limits.iter().chain(of_stage).chain(of_version).chain(&conf.limits);
    let mut specs = LimitSpec::named(sources.config, names);
    if let Some(throttle) = stage.and_then(|stage| stage.throttle) {
        let name = format!("{}/{} stage", scope.api, scope.stage);
        specs.push(LimitSpec::throttle(&name, throttle));
    }
    if let Some(throttle) = conf.throttle {
        specs.push(LimitSpec::throttle(&format!("{} {}", scope.api, scope.route), throttle));
    }
    Limits::compile(&specs, scope, sources.parts.limits, sources.parts.registry)
}

fn filled(of: &config::Deployment<'_>, edits: &[config::HeaderEdit]) -> Vec<config::HeaderEdit> {
    let fill = |edit: &config::HeaderEdit| config::HeaderEdit {
        value: of.template(&edit.value),
        ..edit.clone()
    };
    edits.iter().map(fill).collect()
}

fn targets(
    sources: &Sources<'_>,
    of: &config::Deployment<'_>,
    conf: &config::Route,
    own: &[config::Target],
) -> Vec<Target> {
    let mut weight_upto = 0;
    let taken = of.targets(own).iter().filter(|target| target.weight > 0).map(|target| {
        let name = of.text(&target.upstream);
        let timeouts = &sources.config.upstreams[&*name].timeouts;
        weight_upto += u64::from(target.weight);
        Target {
            upstream: sources.upstreams[&Name::from(name.as_str())],
            weight_upto,
            first_byte: conf.timeouts.first_byte.unwrap_or(timeouts.first_byte),
            idle: conf.timeouts.idle.unwrap_or(timeouts.idle),
            total: conf.timeouts.total.or(timeouts.total),
            tunnel_idle: conf.timeouts.tunnel_idle.unwrap_or(timeouts.tunnel_idle),
            tunnel_lifetime: conf.timeouts.tunnel_lifetime.or(timeouts.tunnel_lifetime),
        }
    });
    taken.collect()
}
