//! Config (and the previous snapshot) -> snapshot. Runs on the control thread; any error leaves the
//! old snapshot in force.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::access;
use super::keys;
use super::llm;
use super::mounts::Listeners;
use super::routes::{Compiled, Sources};
use super::socket::{Sockets, Wanted};
use super::upstream::Upstream;
use super::{Listener, Snapshot};
use crate::config::{self, Config, Diagnostic, Name, Place};
use crate::http;
use crate::limit::Store;
use crate::net::tls::TlsConfigError;
use crate::net::tls::client::{ClientSpec, ClientTls, Identity, Trust};
use crate::net::tls::server::{self, ServerSpec, ServerTls};
use crate::observe::access_log::Format;
use crate::observe::registry::Registry;
use crate::route::{self, Claim, Conflict, PathPolicy, Table};

/// Addresses of names, as far as they are known: name -> addresses.
pub type Names = BTreeMap<String, Vec<std::net::IpAddr>>;

/// What a snapshot is made from besides the configuration.
pub struct Parts<'a> {
    pub previous: Option<&'a Snapshot>,
    pub registry: &'a Registry,
    pub names: &'a Names,
    /// Bound for every address of the configuration.
    pub sockets: &'a Sockets,
    /// What limits are counted in.
    pub limits: &'a Arc<Store>,
}

/// Compiles a configuration.
///
/// # Errors
/// Every conflict and every unusable file, with the place that names it.
pub fn compile(config: Arc<Config>, parts: &Parts<'_>) -> Result<Snapshot, Vec<Diagnostic>> {
    let previous = parts.previous;
    let mut wrong = Vec::new();
    let upstreams = compile_upstreams(&config, parts, &mut wrong);
    let names = config.all_upstreams().map(|(name, _, _)| name);
    let index: BTreeMap<Name, usize> = names.zip(0..).collect();
    // Where an upstream could not be made its routes would only repeat that.
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let keys = keys::compile(&config, parts, &mut wrong);
    let authorizers = access::compile(&config, previous, parts.registry, &mut wrong);
    let sources = Sources {
        config: &config,
        upstreams: &index,
        authorizers: &authorizers,
        plans: &keys.plans,
        parts,
    };
    let compiled = Compiled::of(&sources, &mut wrong);
    let listeners = compile_listeners(&config, &compiled, parts, &mut wrong);
    let Compiled { apis, mounts, routes, .. } = compiled;
    let from = llm::From { config: &config, upstreams: &index, parts, now: crate::clock::now() };
    let llm = from.compile(&mut wrong);
    let log = compile_log(&config.log.access, &mut wrong)
        .map(|format| format.with_query(access::masks(&config)));
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let generation = previous.map_or(0, |old| old.generation) + 1;
    Ok(Snapshot {
        generation,
        config,
        listeners,
        apis,
        mounts,
        routes,
        upstreams,
        keys,
        authorizers,
        limits: parts.limits.clone(),
        llm,
        log,
    })
}

fn compile_listeners(
    config: &Config,
    compiled: &Compiled<'_>,
    parts: &Parts<'_>,
    wrong: &mut Vec<Diagnostic>,
) -> Vec<Arc<Listener>> {
    // One table serves all listeners, unless an API names its own.
    let everywhere = compiled.claims.iter().all(|(_, listeners)| listeners.is_none());
    let mut shared: Option<Arc<Table>> = None;
    let mut listeners = Vec::new();
    for (name, conf) in &config.listeners {
        let table = match shared.clone().filter(|_| everywhere) {
            Some(table) => table,
            None => match build_table(name, compiled) {
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
            tls,
            bound: Wanted::of(name, conf).filter_map(|wanted| parts.sockets.get(&wanted)).collect(),
            cells: parts.registry.listener(name),
            connections: old.map(|old| old.connections.clone()).unwrap_or_default(),
        }));
    }
    listeners
}

fn build_table(listener: &Name, compiled: &Compiled<'_>) -> Result<Table, Vec<Conflict>> {
    let mine = |listeners: Listeners<'_>| listeners.is_none_or(|names| names.contains(listener));
    let specs = compiled.specs.iter().filter(|(_, listeners)| mine(*listeners));
    let claims = compiled.claims.iter().filter(|(_, listeners)| mine(*listeners));
    let mut claims: Vec<Claim> = claims.map(|(claim, _)| claim.clone()).collect();
    // Several APIs may share a host and a base path, and the first speaks for them. One with a CORS
    // policy: without one browsers could read nothing at all, not even that there is no such route.
    claims.sort_by_key(|claim| compiled.mounts[claim.owner as usize].api.cors.is_none());
    let specs = specs.map(|(spec, _)| spec.clone()).collect();
    Table::build_claimed(specs, &claims, route::Options::default())
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
    for (name, conf, key) in config.all_upstreams() {
        let old = parts.previous.and_then(|old| old.upstream(&name));
        let tls = match build_client_tls(conf, old.and_then(|old| old.tls.as_ref())) {
            Ok(tls) => tls,
            Err(error) => {
                wrong.push(of_tls(&error, &conf.place, &format!("{key}.tls")));
                continue;
            }
        };
        upstreams.push(Upstream::new(&name, conf, tls, old, parts.registry, parts.names));
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

fn limits(conf: &config::Listener) -> http::Limits {
    let bytes = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    http::Limits {
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

pub(super) fn diagnostic(place: &Place, key: &str, message: &str, remedy: &str) -> Diagnostic {
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
        .flat_map(|api| {
            let routes = api.routes.values().flatten().map(|route| &route.place);
            routes.chain([&api.place])
        })
        .chain(config.domains.values().flat_map(|d| &d.mappings).map(|mapping| &mapping.place))
        .find(|place| text.starts_with(&format!("{place}: ")))
        .cloned()
        .unwrap_or_else(Place::nowhere);
    let message = text.strip_prefix(&format!("{place}: ")).unwrap_or(&text);
    diagnostic(&place, "apis", message, "")
}

pub(super) fn of_tls(error: &TlsConfigError, place: &Place, key: &str) -> Diagnostic {
    diagnostic(place, key, &error.to_string(), "")
}
