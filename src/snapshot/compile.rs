//! Config (and the previous snapshot) -> snapshot. Runs on the control thread; any error leaves the
//! old snapshot in force.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::checks::Checks;
use super::edge::{Cors, Edges};
use super::route::{Action, Edits, Route, Target, TargetEdits};
use super::socket::{Sockets, Wanted};
use super::upstream::Upstream;
use super::{Listener, Snapshot};
use crate::config::{self, Config, Diagnostic, Host, Name, Place};
use crate::http::Limits;
use crate::net::tls::TlsConfigError;
use crate::net::tls::client::{ClientSpec, ClientTls, Identity, Trust};
use crate::net::tls::server::{self, ServerSpec, ServerTls};
use crate::observe::access_log::Format;
use crate::observe::registry::Registry;
use crate::route::{self, BasePath, Conflict, HostPattern, PathPolicy, RouteKey, Spec, Table};

/// Addresses of names, as far as they are known: name -> addresses.
pub type Names = BTreeMap<String, Vec<std::net::IpAddr>>;

/// What a snapshot is made from besides the configuration.
pub struct Parts<'a> {
    pub previous: Option<&'a Snapshot>,
    pub registry: &'a Registry,
    pub names: &'a Names,
    /// Bound for every address of the configuration.
    pub sockets: &'a Sockets,
}

/// Compiles a configuration.
///
/// # Errors
/// Every conflict and every unusable file, with the place that names it.
pub fn compile(config: Arc<Config>, parts: &Parts<'_>) -> Result<Snapshot, Vec<Diagnostic>> {
    let Parts { previous, registry, .. } = *parts;
    let mut wrong = Vec::new();
    let upstreams = compile_upstreams(&config, parts, &mut wrong);
    let index: BTreeMap<&Name, usize> =
        config.upstreams.keys().enumerate().map(|(at, name)| (name, at)).collect();
    let (routes, specs) = compile_routes(&config, &index, registry, &mut wrong);
    let listeners = compile_listeners(&config, &specs, parts, &mut wrong);
    let log = compile_log(&config.log.access, &mut wrong);
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let generation = previous.map_or(0, |old| old.generation) + 1;
    Ok(Snapshot { generation, config, listeners, routes, upstreams, log })
}

/// A route's specification and the listeners of its API.
type Placed<'c> = (Spec, Option<&'c std::collections::BTreeSet<Name>>);

fn compile_routes<'c>(
    config: &'c Config,
    upstreams: &BTreeMap<&Name, usize>,
    registry: &Registry,
    wrong: &mut Vec<Diagnostic>,
) -> (Vec<Arc<Route>>, Vec<Placed<'c>>) {
    let (mut routes, mut specs) = (Vec::new(), Vec::new());
    for (name, api) in &config.apis {
        let cors = Cors::of(name, api, registry);
        for (key, conf) in &api.routes {
            let at = format!("apis.{name}.routes.{key:?}");
            let parsed = match RouteKey::parse(key) {
                Ok(parsed) => parsed,
                Err(error) => {
                    wrong.push(diagnostic(&conf.place, &at, &error.to_string(), error.remedy()));
                    continue;
                }
            };
            let Ok(base_path) = BasePath::parse(&api.base_path) else {
                wrong.push(diagnostic(
                    &api.place,
                    &at,
                    "base_path is not a path",
                    "write \"/\" or \"/v1\"",
                ));
                continue;
            };
            let target = u32::try_from(routes.len()).expect("fewer than 2^32 routes");
            let mut route = compile_route(config, name, key, upstreams, registry);
            route.cors.clone_from(&cors);
            routes.push(Arc::new(route));
            for host in &api.hosts {
                let spec = Spec {
                    host: host_pattern(host),
                    base_path: base_path.clone(),
                    key: parsed.clone(),
                    target,
                    place: route::Place(conf.place.to_string()),
                };
                specs.push((spec, api.listeners.as_ref()));
            }
        }
    }
    (routes, specs)
}

fn compile_route(
    config: &Config,
    api_name: &Name,
    key: &str,
    upstreams: &BTreeMap<&Name, usize>,
    registry: &Registry,
) -> Route {
    let api = &config.apis[api_name];
    let conf = &api.routes[key];
    let action = match &conf.action {
        config::Action::Redirect(redirect) => Action::Redirect(redirect.clone()),
        config::Action::Respond(respond) => Action::Respond(respond.clone()),
        config::Action::Proxy(targets) => {
            let mut weight_upto = 0;
            let taken = targets.iter().filter(|target| target.weight > 0).map(|target| {
                let timeouts = &config.upstreams[&target.upstream].timeouts;
                weight_upto += u64::from(target.weight);
                Target {
                    upstream: upstreams[&target.upstream],
                    weight_upto,
                    first_byte: conf.timeouts.first_byte.unwrap_or(timeouts.first_byte),
                    idle: conf.timeouts.idle.unwrap_or(timeouts.idle),
                    total: conf.timeouts.total.or(timeouts.total),
                    tunnel_idle: conf.timeouts.tunnel_idle.unwrap_or(timeouts.tunnel_idle),
                    tunnel_lifetime: conf.timeouts.tunnel_lifetime.or(timeouts.tunnel_lifetime),
                }
            });
            Action::Proxy(taken.collect())
        }
    };
    Route {
        api: api_name.clone(),
        key: Arc::from(key),
        action,
        errors: api.errors,
        cors: None,
        takes_all: takes_all(&api.base_path, key),
        strip_prefix: conf.strip_prefix.clone(),
        target: TargetEdits::of(conf),
        statuses: conf.status.iter().map(|change| (change.from, change.to)).collect(),
        checks: conf.validate.as_ref().and_then(Checks::of),
        request: Edits::of(&api.request_headers, &conf.request_headers),
        response: Edits::of(&api.response_headers, &conf.response_headers),
        body_max: conf.body_max,
        upgrade: conf.upgrade.clone(),
        retry: conf.retry,
        cells: registry.route(api_name, key),
    }
}

/// Whether the route is `$default` or `ANY /{proxy+}` of a whole host.
fn takes_all(base_path: &str, key: &str) -> bool {
    let path = key.split_once(' ').map_or("", |(_, path)| path);
    let greedy = path.starts_with("/{") && path.ends_with("+}") && !path[1..].contains('/');
    base_path == "/" && (key == "$default" || greedy)
}

fn compile_listeners(
    config: &Config,
    specs: &[Placed<'_>],
    parts: &Parts<'_>,
    wrong: &mut Vec<Diagnostic>,
) -> Vec<Arc<Listener>> {
    // One table serves all listeners, unless an API names its own.
    let everywhere = specs.iter().all(|(_, listeners)| listeners.is_none());
    let mut shared: Option<Arc<Table>> = None;
    let mut listeners = Vec::new();
    for (name, conf) in &config.listeners {
        let table = match shared.clone().filter(|_| everywhere) {
            Some(table) => table,
            None => match build_table(name, specs) {
                Ok(table) => Arc::new(table),
                Err(conflicts) => {
                    wrong.extend(conflicts.iter().map(|conflict| of_conflict(conflict, config)));
                    if everywhere {
                        break;
                    }
                    continue;
                }
            },
        };
        shared = Some(table.clone());
        let old = parts.previous.and_then(|old| old.listener(name));
        let tls = match build_tls(conf, old.and_then(|old| old.tls.as_ref())) {
            Ok(tls) => tls,
            Err(error) => {
                wrong.push(of_tls(&error, &conf.place, &format!("listeners.{name}.tls")));
                continue;
            }
        };
        listeners.push(Arc::new(Listener {
            name: name.clone(),
            conf: conf.clone(),
            limits: limits(conf),
            path_policy: path_policy(conf.path_policy),
            table,
            edges: Edges::build(config, name, parts.registry),
            tls,
            bound: Wanted::of(name, conf).filter_map(|wanted| parts.sockets.get(&wanted)).collect(),
            cells: parts.registry.listener(name),
            connections: old.map(|old| old.connections.clone()).unwrap_or_default(),
        }));
    }
    listeners
}

fn build_table(listener: &Name, specs: &[Placed<'_>]) -> Result<Table, Vec<Conflict>> {
    let mine = |listeners: &Option<&std::collections::BTreeSet<Name>>| {
        listeners.is_none_or(|listeners| listeners.contains(listener))
    };
    let specs = specs.iter().filter(|(_, listeners)| mine(listeners)).map(|(spec, _)| spec.clone());
    Table::build(specs.collect(), route::Options::default())
}

fn build_tls(
    conf: &config::Listener,
    previous: Option<&ServerTls>,
) -> Result<Option<ServerTls>, TlsConfigError> {
    let Some(tls) = &conf.tls else { return Ok(None) };
    let mut certificates: Vec<_> = tls
        .certificates
        .iter()
        .map(|pair| (pair.cert.path.clone(), pair.key.path.clone()))
        .collect();
    certificates.dedup();
    let spec = ServerSpec {
        default: tls.default.clone(),
        certificates,
        min_version: min_version(tls.min_version),
        alpn: conf.protocols.iter().map(|protocol| alpn(*protocol).to_vec()).collect(),
        client_auth: tls.client.as_ref().map(|client| server::ClientAuth {
            ca: client.ca.path.clone(),
            mode: match client.mode {
                config::ClientAuthMode::Request => server::ClientAuthMode::Request,
                config::ClientAuthMode::Require => server::ClientAuthMode::Require,
            },
            crl: client.crl.as_ref().map(|crl| crl.path.clone()),
        }),
        unknown_sni: match tls.unknown_sni {
            config::UnknownSni::Default => server::UnknownSni::Default,
            config::UnknownSni::Reject => server::UnknownSni::Reject,
        },
    };
    ServerTls::build(&spec, previous, crate::clock::wall()).map(Some)
}

fn alpn(protocol: config::Protocol) -> &'static [u8] {
    match protocol {
        config::Protocol::H2 => b"h2",
        config::Protocol::Http11 => b"http/1.1",
    }
}

fn compile_upstreams(
    config: &Config,
    parts: &Parts<'_>,
    wrong: &mut Vec<Diagnostic>,
) -> Vec<Arc<Upstream>> {
    let mut upstreams = Vec::new();
    for (name, conf) in &config.upstreams {
        let old = parts.previous.and_then(|old| old.upstream(name));
        let tls = match build_client_tls(conf, old.and_then(|old| old.tls.as_ref())) {
            Ok(tls) => tls,
            Err(error) => {
                wrong.push(of_tls(&error, &conf.place, &format!("upstreams.{name}.tls")));
                continue;
            }
        };
        upstreams.push(Upstream::new(name, conf, tls, old, parts.registry, parts.names));
    }
    upstreams
}

fn build_client_tls(
    conf: &config::Upstream,
    previous: Option<&ClientTls>,
) -> Result<Option<ClientTls>, TlsConfigError> {
    let Some(tls) = &conf.tls else { return Ok(None) };
    let spec = ClientSpec {
        min_version: min_version(tls.min_version),
        trust: match (&tls.ca, tls.insecure_skip_verify) {
            (_, true) => Trust::InsecureSkipVerify,
            (Some(ca), false) => Trust::File(ca.path.clone()),
            (None, false) => Trust::System,
        },
        server_name: tls.server_name.clone(),
        identity: tls.client.as_ref().map(|pair| Identity {
            certificate: pair.cert.path.clone(),
            key: pair.key.path.clone(),
        }),
        alpn: match conf.protocol {
            config::UpstreamProtocol::H1 => vec![b"http/1.1".to_vec()],
            config::UpstreamProtocol::H2 => vec![b"h2".to_vec()],
            config::UpstreamProtocol::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        },
    };
    ClientTls::build(&spec, previous, crate::clock::wall()).map(Some)
}

fn compile_log(conf: &config::AccessLog, wrong: &mut Vec<Diagnostic>) -> Option<Format> {
    if !conf.enabled {
        return None;
    }
    match &conf.format {
        config::AccessFormat::Json => Some(Format::json()),
        config::AccessFormat::Combined => Some(Format::combined()),
        config::AccessFormat::Template { text, place } => match Format::parse_template(text) {
            Ok(format) => Some(format),
            Err(error) => {
                wrong.push(diagnostic(place, "log.access.format", &error.to_string(), ""));
                None
            }
        },
    }
}

fn limits(conf: &config::Listener) -> Limits {
    let bytes = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    Limits {
        head_bytes_max: bytes(conf.limits.head),
        target_bytes_max: bytes(conf.limits.target),
        fields_max: bytes(u64::from(conf.limits.fields)),
    }
}

fn path_policy(policy: config::PathPolicy) -> PathPolicy {
    match policy {
        config::PathPolicy::Normalize => PathPolicy::Normalize,
        config::PathPolicy::Reject => PathPolicy::Reject,
        config::PathPolicy::Raw => PathPolicy::Raw,
    }
}

fn min_version(version: config::TlsVersion) -> server::MinVersion {
    match version {
        config::TlsVersion::V1_2 => server::MinVersion::Tls12,
        config::TlsVersion::V1_3 => server::MinVersion::Tls13,
    }
}

fn host_pattern(host: &Host) -> HostPattern {
    HostPattern::parse(&host.to_string()).expect("config has checked the host pattern")
}

fn diagnostic(place: &Place, key: &str, message: &str, remedy: &str) -> Diagnostic {
    Diagnostic {
        place: place.clone(),
        key: key.to_owned(),
        value: None,
        message: message.to_owned(),
        remedy: remedy.to_owned(),
    }
}

fn of_conflict(conflict: &Conflict, config: &Config) -> Diagnostic {
    let text = conflict.to_string();
    // The text begins with the place of the route at fault, as `route` was given it.
    let place = config
        .apis
        .values()
        .flat_map(|api| api.routes.values())
        .map(|route| &route.place)
        .find(|place| text.starts_with(&format!("{place}: ")))
        .cloned()
        .unwrap_or_else(Place::nowhere);
    let message = text.strip_prefix(&format!("{place}: ")).unwrap_or(&text);
    diagnostic(&place, "apis", message, "")
}

fn of_tls(error: &TlsConfigError, place: &Place, key: &str) -> Diagnostic {
    diagnostic(place, key, &error.to_string(), "")
}
