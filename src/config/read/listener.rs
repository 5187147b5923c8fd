//! Reads `[listeners.NAME]`.

use ipnet::IpNet;

use crate::config::section::Section;
use crate::config::types::{
    Certificate, ClientAuth, ClientAuthMode, HalfClose, HeadLimits, Listen, Listener,
    ListenerTimeouts, ListenerTls, PathPolicy, Protocol, ProxyProtocolAccept, TlsVersion,
    UnknownSni,
};
use crate::config::units;

pub(super) const TLS_VERSIONS: [(&str, TlsVersion); 2] =
    [("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)];

pub(super) fn listener(section: &Section<'_>) -> Listener {
    let policies = [
        ("normalize", PathPolicy::Normalize),
        ("reject", PathPolicy::Reject),
        ("raw", PathPolicy::Raw),
    ];
    Listener {
        place: section.place.clone(),
        addresses: addresses(section),
        protocols: protocols(section),
        proxy_protocol: section.sub_if("proxy_protocol").map(|proxy| ProxyProtocolAccept {
            from: networks(&proxy, "from"),
            required: proxy.flag("required"),
        }),
        trusted_proxies: networks(section, "trusted_proxies"),
        half_close: section
            .choice("half_close", &[("close", HalfClose::Close), ("keep", HalfClose::Keep)]),
        connections_max: section.count("connections_max"),
        requests_max: section.count_or_none("requests_max"),
        path_policy: section.choice("path_policy", &policies),
        timeouts: timeouts(&section.sub("timeouts")),
        limits: limits(&section.sub("limits")),
        tls: section.sub_if("tls").map(|section| tls(&section)),
    }
}

fn addresses(section: &Section<'_>) -> Vec<Listen> {
    let one = section.text("address");
    let many = section.texts("addresses");
    match (section.has("address"), section.has("addresses")) {
        (true, true) => section.error_at(
            "address",
            "given together with `addresses`",
            "move it into `addresses`, or remove one of the two",
        ),
        (false, false) => {
            section.error("has no address", "write `address = \"127.0.0.1:8080\"`");
        }
        (false, true) if section.items("addresses").is_some_and(|all| all.is_empty()) => {
            section.error_at("addresses", "is empty", "name at least one, or use `address`");
        }
        _ => {}
    }
    let spots = one.into_iter().chain(many.unwrap_or_default());
    let mut addresses: Vec<Listen> = Vec::new();
    for spot in spots {
        let Some(address) = spot.read(units::address) else { continue };
        let twin = addresses.iter().find(|other| other.address == address && address.port() != 0);
        if let Some(twin) = twin {
            let message = format!("written twice; the first is at {}", twin.place);
            spot.error(&message, "remove one of them");
            continue;
        }
        addresses.push(Listen { address, place: spot.node.place.clone() });
    }
    addresses
}

fn networks(section: &Section<'_>, key: &str) -> Vec<IpNet> {
    let texts = section.texts(key).unwrap_or_default();
    texts.iter().filter_map(|spot| spot.read(units::network)).collect()
}

fn timeouts(section: &Section<'_>) -> ListenerTimeouts {
    ListenerTimeouts {
        header: section.duration("header"),
        idle: section.duration("idle"),
        body: section.duration("body"),
        write: section.duration("write"),
        tls_handshake: section.duration("tls_handshake"),
        lifetime: section.duration_or_none("lifetime"),
    }
}

fn limits(section: &Section<'_>) -> HeadLimits {
    let limits = HeadLimits {
        head: section.size("head"),
        target: section.size("target"),
        fields: section.count("fields"),
    };
    if limits.target > limits.head {
        let (target, head) = (units::show_size(limits.target), units::show_size(limits.head));
        // The key that is written is the one to repair; the other stands at its default.
        let key = if section.has("target") { "target" } else { "head" };
        section.error_at(
            key,
            &format!("target ({target}) is larger than head ({head}), which it is part of"),
            "lower `target` or raise `head`",
        );
    }
    limits
}

fn tls(section: &Section<'_>) -> ListenerTls {
    ListenerTls {
        place: section.place.clone(),
        certificates: certificates(section),
        default: section.text("default").and_then(|spot| spot.read(units::host_name)),
        min_version: section.choice("min_version", &TLS_VERSIONS),
        client: client_auth(section),
        unknown_sni: section.choice(
            "unknown_sni",
            &[("default", UnknownSni::Default), ("reject", UnknownSni::Reject)],
        ),
    }
}

fn protocols(section: &Section<'_>) -> Vec<Protocol> {
    if section.items("protocols").is_some_and(|all| all.is_empty()) {
        section.error_at("protocols", "is empty", "write [\"http/1.1\"], or leave the key out");
    }
    section.words("protocols", &[("h2", Protocol::H2), ("http/1.1", Protocol::Http11)])
}

fn certificates(section: &Section<'_>) -> Vec<Certificate> {
    let Some(items) = section.items("certificates") else { return Vec::new() };
    if items.is_empty() {
        let remedy = "write `[{ cert = \"a.pem\", key = \"a.key\" }]`";
        section.error_at("certificates", "is empty", remedy);
    }
    let certificate = |item: &Section<'_>| {
        let (cert, key) = (item.file("cert"), item.file("key"));
        Some(Certificate { place: item.place.clone(), cert: cert?, key: key? })
    };
    let sections = items.iter().filter_map(|spot| section.item("certificates", spot));
    sections.filter_map(|item| certificate(&item)).collect()
}

fn client_auth(section: &Section<'_>) -> Option<ClientAuth> {
    let modes = [("request", ClientAuthMode::Request), ("require", ClientAuthMode::Require)];
    let mode = section.choice_if("client_auth", &modes);
    let ca = section.file("client_ca");
    let crl = section.file("client_crl");
    for key in ["client_auth", "client_crl"] {
        if section.has(key) && !section.has("client_ca") {
            let remedy = "name the authorities: `client_ca = \"clients.pem\"`";
            section.error_at(key, "means nothing without `client_ca`", remedy);
        }
    }
    Some(ClientAuth { mode: mode.unwrap_or(ClientAuthMode::Require), ca: ca?, crl })
}
