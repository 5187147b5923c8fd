//! Reads `[gateway]`, `[admin]`, `[log]` and `[ledger]`.

use crate::config::section::Section;
use crate::config::spot::Spot;
use crate::config::suggest::nearest;
use crate::config::template::is_token;
use crate::config::types::{
    AccessFormat, AccessLog, Admin, AdminToken, Dns, Gateway, IoChoice, Ledger, Level, Log,
    LogPath, ServerHeader,
};
use crate::config::units;

use super::fields;

pub(super) fn gateway(section: &Section<'_>) -> Gateway {
    Gateway {
        place: section.place.clone(),
        workers: section.count_if("workers").and_then(|workers| usize::try_from(workers).ok()),
        pin: section.flag("pin"),
        io: section.choice(
            "io",
            &[("auto", IoChoice::Auto), ("uring", IoChoice::Uring), ("epoll", IoChoice::Epoll)],
        ),
        drain_deadline: section.duration("drain_deadline"),
        drain_delay: section.duration("drain_delay"),
        server_header: server_header(section),
        via: via(section),
        buffers_max: section.size("buffers_max"),
        error_docs: section.flag("error_docs"),
        state_dir: section.file("state_dir"),
        limits_max: section.count("limits_max"),
        dns: dns(&section.sub("dns")),
    }
}

pub(super) fn admin(section: &Section<'_>) -> Admin {
    let (text, spot) = section.text_or_default("address");
    let address = match &spot {
        Some(spot) => spot.read(units::address),
        None => units::address(&text).ok(),
    };
    let address = address.unwrap_or_else(|| ([127, 0, 0, 1], 9901).into());
    let admin = Admin {
        place: spot.map_or(section.place.clone(), |spot| spot.node.place.clone()),
        enabled: section.flag("enabled"),
        address,
        allow_remote: section.flag("allow_remote"),
        token: section.sub_if("token").and_then(|section| token(&section)),
        token_sha256: section.text("token_sha256").and_then(|spot| token_sha256(&spot)),
    };
    if admin.enabled && !admin.allow_remote && !address.ip().is_loopback() {
        section.error_at(
            "address",
            "other hosts can reach it, and most of its pages need no authentication",
            "write \"127.0.0.1:9901\", or set allow_remote = true and firewall it",
        );
    }
    admin
}

fn token(section: &Section<'_>) -> Option<AdminToken> {
    let env = section.text("env").and_then(|spot| {
        let name = spot.text();
        if name.is_empty() || name.contains(['=', '\0']) {
            spot.error(
                "not the name of a variable",
                "write a name, such as \"RINGWAY_ADMIN_TOKEN\"",
            );
            return None;
        }
        Some(name.to_owned())
    });
    let file = section.file("file");
    if !section.has("env") && !section.has("file") {
        section.error(
            "says neither of where the token stands",
            "write { file = \"/etc/ringway/admin.token\" } or { env = \"RINGWAY_ADMIN_TOKEN\" }",
        );
        return None;
    }
    Some(AdminToken { env, file })
}

fn token_sha256(spot: &Spot<'_>) -> Option<String> {
    let text = spot.text();
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        spot.error(
            "not a SHA-256 in 64 hexadecimal digits",
            "write what `printf %s TOKEN | sha256sum` prints",
        );
        return None;
    }
    Some(digits.to_ascii_lowercase())
}

pub(super) fn log(section: &Section<'_>) -> Log {
    let levels = [
        ("error", Level::Error),
        ("warn", Level::Warn),
        ("info", Level::Info),
        ("debug", Level::Debug),
        ("trace", Level::Trace),
    ];
    let access = section.sub("access");
    Log {
        place: section.place.clone(),
        level: section.choice("level", &levels),
        access: AccessLog {
            enabled: access.flag("enabled"),
            format: access_format(&access),
            path: match access.text_or_default("path") {
                (text, _) if text == "stdout" => LogPath::Stdout,
                (text, _) if text == "stderr" => LogPath::Stderr,
                (_, spot) => {
                    spot.and_then(|spot| spot.file()).map_or(LogPath::Stdout, LogPath::File)
                }
            },
            queue: access.count("queue"),
        },
    }
}

pub(super) fn ledger(section: &Section<'_>) -> Ledger {
    Ledger { place: section.place.clone(), keep: section.duration_or_none("keep") }
}

fn server_header(section: &Section<'_>) -> ServerHeader {
    let (text, spot) = section.text_or_default("server_header");
    match text.as_str() {
        "pass" => ServerHeader::Pass,
        "remove" => ServerHeader::Remove,
        _ => {
            if let Some(spot) = spot {
                fields::check_value(&spot, &text);
            }
            ServerHeader::Set(text)
        }
    }
}

fn via(section: &Section<'_>) -> String {
    let (text, spot) = section.text_or_default("via");
    if let Some(spot) = spot.filter(|_| !is_token(&text)) {
        spot.error("not a token", "use letters, digits and `-`, such as \"edge-1\"");
    }
    text
}

fn dns(section: &Section<'_>) -> Dns {
    let servers = section.texts("servers").unwrap_or_default();
    let dns = Dns {
        servers: servers.iter().filter_map(|spot| spot.read(server)).collect(),
        timeout: section.duration("timeout"),
        ttl_min: section.duration("ttl_min"),
        ttl_max: section.duration("ttl_max"),
    };
    if dns.ttl_min > dns.ttl_max {
        let max = units::show_duration(dns.ttl_max);
        section.error_at(
            "ttl_min",
            &format!("longer than ttl_max, which is \"{max}\""),
            "lower this or raise that",
        );
    }
    dns
}

/// A resolver: port 53 may be left out.
fn server(text: &str) -> Result<std::net::SocketAddr, units::Bad> {
    match text.parse::<std::net::IpAddr>() {
        Ok(ip) => Ok((ip, 53).into()),
        Err(_) => units::address(text),
    }
}

fn access_format(section: &Section<'_>) -> AccessFormat {
    let (text, spot) = section.text_or_default("format");
    match (text.as_str(), spot) {
        ("combined", _) => AccessFormat::Combined,
        ("json", _) | (_, None) => AccessFormat::Json,
        (_, Some(spot)) => {
            check_format(&spot);
            AccessFormat::Template { text, place: spot.node.place.clone() }
        }
    }
}

/// A form without a field would write the same line for ever: more likely a misspelt word.
fn check_format(spot: &Spot<'_>) {
    let text = spot.text();
    let mut open = None;
    let mut fields = 0;
    for (at, character) in text.chars().enumerate() {
        match (character, open) {
            ('{', None) => open = Some(at),
            ('}', Some(_)) => {
                open = None;
                fields += 1;
            }
            ('{', Some(_)) | ('}', None) => {
                spot.error_inside(Some(at), "a brace without its other half", "write `{field}`");
                return;
            }
            _ if character.is_control() => {
                spot.error_inside(Some(at), "a control character", "a line is one line");
                return;
            }
            _ => {}
        }
    }
    if let Some(at) = open {
        spot.error_inside(Some(at), "a brace without its other half", "write `{field}`");
    } else if fields == 0 {
        let remedy = match nearest(text, ["json", "combined"]) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => "write \"json\", \"combined\", or text with fields such as \
                     \"{client} {method} {path} {status}\""
                .to_owned(),
        };
        spot.error("neither a known form nor text with `{fields}`", &remedy);
    }
}
