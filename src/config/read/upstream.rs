//! Reads `[upstreams.NAME]`.

use std::net::{IpAddr, SocketAddr};

use crate::config::section::Section;
use crate::config::spot::Spot;
use crate::config::template::is_token;
use crate::config::tree::Value;
use crate::config::types::{
    Balance, Certificate, Concurrency, Ejection, Endpoint, EndpointAddress, HashKey, Health,
    HostPolicy, Pool, ProbeMethod, ProxyProtocolVersion, Retry, RetryCause, StatusRange, Upstream,
    UpstreamProtocol, UpstreamTimeouts, UpstreamTls,
};
use crate::config::units::{self, Bad};
use crate::http::Url;

use super::fields;
use super::listener::TLS_VERSIONS;

const PROTOCOLS: [(&str, UpstreamProtocol); 3] =
    [("h1", UpstreamProtocol::H1), ("h2", UpstreamProtocol::H2), ("auto", UpstreamProtocol::Auto)];

pub(super) fn upstream(section: &Section<'_>) -> Upstream {
    let versions = [("v1", ProxyProtocolVersion::V1), ("v2", ProxyProtocolVersion::V2)];
    let tls = section.sub_if("tls").map(|section| tls(&section));
    let endpoints = endpoints(section);
    if let Some(tls) = &tls {
        check_server_name(section, tls, &endpoints);
    }
    let proxy_protocol = section.choice_if("proxy_protocol", &versions);
    let protocol = section.choice("protocol", &PROTOCOLS);
    let may_share = match protocol {
        UpstreamProtocol::H1 => false,
        UpstreamProtocol::H2 => true,
        UpstreamProtocol::Auto => tls.is_some(),
    };
    if may_share && proxy_protocol.is_some() {
        section.error_at(
            "proxy_protocol",
            "speaks for one client, but HTTP/2 connections carry the requests of many",
            "remove it, or write `protocol = \"h1\"`",
        );
    }
    Upstream {
        place: section.place.clone(),
        endpoints,
        protocol,
        balance: balance(section),
        host: host(section),
        timeouts: timeouts(&section.sub("timeouts")),
        pool: pool(&section.sub("pool")),
        concurrency: concurrency(&section.sub("concurrency")),
        retry: retry(&section.sub("retry")),
        health: section.sub_if("health").map(|section| health(&section)),
        ejection: ejection(&section.sub("ejection")),
        proxy_protocol,
        tls,
    }
}

/// The upstream that is made of a provider: its one endpoint is where its URL leads. `None`: that
/// has been reported.
pub(super) fn of_provider(section: &Section<'_>, url: Option<&Url>) -> Upstream {
    let is_https = url.is_none_or(|url| url.https);
    let given = section.sub_if("tls");
    if given.is_some() && !is_https {
        let remedy = "write an https:// `base_url`, or remove this";
        section.error_at("tls", "the URL is one of http://", remedy);
    }
    let tls = is_https.then(|| tls(&given.unwrap_or_else(|| section.sub("tls"))));
    let endpoint = |url: &Url| Endpoint {
        place: section.place.clone(),
        address: match url.host.parse::<IpAddr>() {
            Ok(ip) => EndpointAddress::Ip(SocketAddr::new(ip, url.port)),
            Err(_) => EndpointAddress::Name { host: url.host.clone(), port: url.port },
        },
        weight: 1,
    };
    let endpoints: Vec<Endpoint> = url.map(endpoint).into_iter().collect();
    if let Some(tls) = &tls {
        check_server_name(section, tls, &endpoints);
    }
    Upstream {
        place: section.place.clone(),
        endpoints,
        protocol: section.choice("protocol", &PROTOCOLS),
        balance: Balance::LeastRequest,
        host: url.map_or(HostPolicy::Endpoint, |url| HostPolicy::Literal(url.authority())),
        timeouts: timeouts(&section.sub("timeouts")),
        pool: pool(&section.sub("pool")),
        concurrency: concurrency(&section.sub("concurrency")),
        retry: retry(&section.sub("retry")),
        health: section.sub_if("health").map(|section| health(&section)),
        ejection: ejection(&section.sub("ejection")),
        proxy_protocol: None,
        tls,
    }
}

fn endpoints(section: &Section<'_>) -> Vec<Endpoint> {
    let Some(items) = section.items("endpoints") else { return Vec::new() };
    if items.is_empty() {
        section.error_at("endpoints", "is empty", "name at least one, such as \"10.0.0.1:8080\"");
    }
    let mut endpoints: Vec<Endpoint> = Vec::new();
    let mut broken = false;
    for spot in &items {
        let Some(endpoint) = endpoint(section, spot) else {
            broken = true;
            continue;
        };
        if let Some(twin) = endpoints.iter().find(|other| other.address == endpoint.address) {
            let message =
                format!("{} is written twice; the first is at {}", twin.address, twin.place);
            spot.error(&message, "remove one of them; `weight` gives one a larger share");
            continue;
        }
        endpoints.push(endpoint);
    }
    if !broken && !endpoints.is_empty() && endpoints.iter().all(|e| e.weight == 0) {
        section.error_at("endpoints", "all weights are 0", "give at least one a weight above 0");
    }
    endpoints
}

fn endpoint(section: &Section<'_>, spot: &Spot<'_>) -> Option<Endpoint> {
    let place = spot.node.place.clone();
    if spot.node.text().is_some() {
        return Some(Endpoint { place, address: spot.read(units::endpoint)?, weight: 1 });
    }
    if !matches!(spot.node.value, Value::Table(_)) {
        spot.expected("an address or a table");
        return None;
    }
    let item = section.item("endpoints", spot)?;
    let weight = item.count("weight");
    Some(Endpoint { place, address: item.text("address")?.read(units::endpoint)?, weight })
}

fn balance(section: &Section<'_>) -> Balance {
    // The key that stands here with `hash` is replaced by the one `hash` names.
    let words = [
        ("least_request", &Balance::LeastRequest),
        ("round_robin", &Balance::RoundRobin),
        ("random", &Balance::Random),
        ("hash", &Balance::Hash(HashKey::ClientIp)),
    ];
    let chosen = section.choice("balance", &words);
    let key = section.text("hash").and_then(|spot| spot.read(hash_key));
    match (chosen, section.has("hash")) {
        (Balance::Hash(_), false) => section.error_at(
            "balance",
            "needs to know what to hash",
            "add `hash = \"client_ip\"` (or path, header:NAME, cookie:NAME)",
        ),
        (Balance::Hash(_), true) => {}
        (_, true) => {
            section.error_at("hash", "without `balance = \"hash\"`", "add that, or remove this");
        }
        (_, false) => {}
    }
    match (chosen, key) {
        (Balance::Hash(_), Some(key)) => Balance::Hash(key),
        (chosen, _) => chosen.clone(),
    }
}

fn hash_key(text: &str) -> Result<HashKey, Bad> {
    match text.split_once(':') {
        None if text == "client_ip" => Ok(HashKey::ClientIp),
        None if text == "path" => Ok(HashKey::Path),
        Some(("header", name)) if is_token(name) => Ok(HashKey::Header(name.to_ascii_lowercase())),
        Some(("cookie", name)) if is_token(name) => Ok(HashKey::Cookie(name.to_owned())),
        _ => Err(Bad::new(
            "not a part of a request",
            "write \"client_ip\", \"path\", \"header:x-user\" or \"cookie:sid\"",
        )),
    }
}

fn host(section: &Section<'_>) -> HostPolicy {
    let (text, spot) = section.text_or_default("host");
    // Case does not matter in hosts, so none can be written that differs from a word by case alone.
    match (text.to_ascii_lowercase().as_str(), spot) {
        ("endpoint", _) => HostPolicy::Endpoint,
        ("preserve", _) | (_, None) => HostPolicy::Preserve,
        (_, Some(spot)) => {
            spot.read(units::authority).map_or(HostPolicy::Preserve, HostPolicy::Literal)
        }
    }
}

fn timeouts(section: &Section<'_>) -> UpstreamTimeouts {
    let timeouts = UpstreamTimeouts {
        connect: section.duration("connect"),
        first_byte: section.duration("first_byte"),
        idle: section.duration("idle"),
        total: section.duration_or_none("total"),
        tunnel_idle: section.duration("tunnel_idle"),
        tunnel_lifetime: section.duration_or_none("tunnel_lifetime"),
    };
    let longest = [("connect", timeouts.connect), ("first_byte", timeouts.first_byte)];
    for (key, duration) in longest {
        if timeouts.total.is_some_and(|total| total < duration) && section.has(key) {
            section.warn_at(key, "longer than `total`, which comes first", "lower it");
        }
    }
    timeouts
}

fn pool(section: &Section<'_>) -> Pool {
    Pool {
        idle_max: section.count("idle_max"),
        idle_timeout: section.duration("idle_timeout"),
        requests_max: section.count_or_none("requests_max"),
        lifetime: section.duration_or_none("lifetime"),
        ping_interval: section.duration_or_none("ping_interval"),
    }
}

fn concurrency(section: &Section<'_>) -> Concurrency {
    let concurrency = Concurrency {
        requests_max: section.count_or_none("requests_max"),
        queue_max: section.count("queue_max"),
        queue_timeout: section.duration("queue_timeout"),
    };
    for key in ["queue_max", "queue_timeout"] {
        if section.has(key) && concurrency.requests_max.is_none() {
            let remedy = "set `requests_max`, or remove it";
            section.warn_at(key, "has no effect: without `requests_max` nothing waits", remedy);
        }
    }
    concurrency
}

fn retry(section: &Section<'_>) -> Retry {
    let causes = [
        ("connect", RetryCause::Connect),
        ("reset", RetryCause::Reset),
        ("timeout", RetryCause::Timeout),
    ];
    Retry {
        attempts: section.count("attempts"),
        on: section.words("on", &causes).into_iter().collect(),
        budget: section.percent("budget"),
        budget_min: section.count("budget_min"),
    }
}

fn health(section: &Section<'_>) -> Health {
    let (path, spot) = section.text_or_default("path");
    if let Some(spot) = spot {
        spot.read(fields::target);
    }
    let methods =
        [("GET", ProbeMethod::Get), ("HEAD", ProbeMethod::Head), ("OPTIONS", ProbeMethod::Options)];
    let (status, spot) = section.text_or_default("status");
    let status = match spot {
        Some(spot) => spot.read(units::statuses),
        None => units::statuses(&status).ok(),
    };
    let health = Health {
        place: section.place.clone(),
        path,
        method: section.choice("method", &methods),
        host: section.text("host").and_then(|spot| spot.read(units::authority)),
        interval: section.duration("interval"),
        timeout: section.duration("timeout"),
        rise: section.count("rise"),
        fall: section.count("fall"),
        status: status.unwrap_or(StatusRange { first: 200, last: 399 }),
    };
    if health.timeout > health.interval {
        let key = if section.has("timeout") { "timeout" } else { "interval" };
        section.error_at(
            key,
            &format!(
                "the timeout (\"{}\") is longer than the interval (\"{}\")",
                units::show_duration(health.timeout),
                units::show_duration(health.interval)
            ),
            "lower `timeout` or raise `interval`",
        );
    }
    health
}

fn ejection(section: &Section<'_>) -> Option<Ejection> {
    let failures: u32 = section.count("failures");
    let ejection = Ejection {
        failures,
        base_time: section.duration("base_time"),
        share_max: section.percent("share_max"),
        slow_start: section.duration_or_none("slow_start"),
    };
    (failures > 0).then_some(ejection)
}

fn tls(section: &Section<'_>) -> UpstreamTls {
    let (cert, key) = (section.file("cert"), section.file("key"));
    for (one, other) in [("cert", "key"), ("key", "cert")] {
        if section.has(one) && !section.has(other) {
            section.error_at(one, &format!("without `{other}`"), "give both, or neither");
        }
    }
    let tls = UpstreamTls {
        place: section.place.clone(),
        ca: section.file("ca"),
        server_name: section.text("server_name").and_then(|spot| spot.read(units::tls_name)),
        client: cert.zip(key).map(|(cert, key)| Certificate {
            place: cert.place.clone(),
            cert,
            key,
        }),
        min_version: section.choice("min_version", &TLS_VERSIONS),
        insecure_skip_verify: section.flag("insecure_skip_verify"),
    };
    if tls.insecure_skip_verify {
        section.warn_at(
            "insecure_skip_verify",
            "whoever is on the way to the endpoints can read and change everything",
            "name the authority with `ca` instead",
        );
    }
    tls
}

/// A certificate is for a name: endpoints that are bare addresses need one told.
fn check_server_name(section: &Section<'_>, tls: &UpstreamTls, endpoints: &[Endpoint]) {
    let told = section.sub("tls").has("server_name");
    let bare = endpoints.iter().find(|e| matches!(e.address, EndpointAddress::Ip(_)));
    if let Some(bare) = bare.filter(|_| !told && !tls.insecure_skip_verify) {
        let message = format!("the endpoint {} is verified by its IP address", bare.address);
        let remedy = "if its certificate is for a name, add `server_name` to `tls`";
        section.warn_at("tls", &message, remedy);
    }
}
