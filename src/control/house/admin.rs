//! The admin pages: how the gateway is, what it serves, what it counts.
//!
//! Reads the current snapshot and the registry; changes nothing, so every page is GET (what changes
//! something is the admin API's). On a
//! loopback address the name in `Host` is looked at: a page in somebody's browser whose name was
//! made to resolve to 127.0.0.1 (DNS rebinding) must not read the configuration.

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use serde_json::{Value, json};

use super::api::Api;
use super::page::{Asked, HTML, Page, TEXT};
use super::process::{self, RingWatch};
use super::{models, routes};
use crate::bounds;
use crate::clock::{self, Tick, Wall};
use crate::failure::Failure;
use crate::http::Method;
use crate::http::date::imf_fixdate;
use crate::net::ring::Driver;
use crate::net::task;
use crate::observe::exposition::{
    self, Dialect, EndpointSeen, Health, LimitsSeen, Options, Outside, Process, Rings,
};
use crate::observe::registry::Registry;
use crate::snapshot::{Cell, Endpoint, Snapshot, Upstream};

/// What the pages tell of.
pub struct Admin {
    pub cell: Arc<Cell>,
    pub registry: Arc<Registry>,
    pub driver: Driver,
    /// Set when `/readyz` is to say no.
    pub leaving: Arc<AtomicBool>,
    pub started: (Wall, Tick),
    /// The server can be reached from this host only.
    pub loopback: bool,
    pub rings: RefCell<RingWatch>,
    pub api: Api,
}

/// The pages, for the index and for nobody to forget one.
const PAGES: &[(&str, &str)] = &[
    ("/healthz", "200 while the process runs"),
    ("/readyz", "200 while it takes requests, 503 while it drains"),
    ("/metrics", "Prometheus text, or OpenMetrics if asked for"),
    ("/routes", "the route table: JSON, or text with ?format=text"),
    ("/upstreams", "upstreams, their endpoints and how they are"),
    ("/providers", "who serves language models, their credentials by name"),
    ("/models", "language models, their targets and how they fare"),
    ("/config", "the configuration in force, secrets masked: TOML, or ?format=json"),
    ("/version", "version, driver, generation, uptime"),
    ("/admin/v1", "the admin API: what it can do; /admin/v1/openapi.json describes it"),
];

// === impl Admin ===

impl Admin {
    /// Answers a request.
    #[must_use]
    pub fn answer(&self, asked: &Asked<'_>) -> Page {
        let request = &asked.request;
        if self.loopback && !is_local_name(request.host()) {
            return Page::refused(
                Failure::Misdirected.row().status,
                Failure::Misdirected,
                "The admin server answers to an address or to localhost, not to other names.",
            );
        }
        if Api::has(request.path()) {
            return self.api.answer(asked);
        }
        if !matches!(request.head.method, Method::Get | Method::Head) {
            let text = "The admin server only answers GET and HEAD.";
            return Page::refused(405, Failure::BadRequest, text).with("allow", "GET, HEAD");
        }
        match request.path() {
            b"/" => index(),
            b"/healthz" => Page::text(200, "ok\n"),
            b"/readyz" => self.ready(),
            b"/metrics" => self.metrics(asked),
            b"/routes" => self.routes(asked),
            b"/upstreams" => self.upstreams(),
            b"/providers" => Page::json(200, &models::providers(&self.cell.load(), clock::now())),
            b"/models" => Page::json(200, &models::models(&self.cell.load(), clock::now())),
            b"/config" => self.config(asked),
            b"/version" => self.version(),
            _ => Page::refused(404, Failure::NotFound, "No such page; / lists them."),
        }
    }

    fn ready(&self) -> Page {
        if self.leaving.load(Relaxed) || self.cell.draining().is_some() {
            return Page::text(503, "draining\n");
        }
        Page::text(200, "ready\n")
    }

    fn metrics(&self, asked: &Asked<'_>) -> Page {
        let dialect = if asked.accepts("application/openmetrics-text") {
            Dialect::OpenMetrics
        } else {
            Dialect::Prometheus
        };
        self.registry.make_room(clock::wall());
        let mut out = Vec::with_capacity(64 << 10);
        let options = Options { dialect, ..Options::default() };
        exposition::render(&self.registry, &self.outside(), options, &mut out);
        Page::of(200, dialect.content_type(), out)
    }

    /// All that a scrape tells of and no cell counts.
    fn outside(&self) -> Outside {
        let workers = self.registry.workers().iter().count();
        let usage = process::usage();
        let now = clock::now();
        let snapshot = self.cell.load();
        let endpoints = snapshot.upstreams.iter().flat_map(|upstream| {
            let list = upstream.endpoints().list.clone();
            list.into_iter().map(move |endpoint| EndpointSeen {
                upstream: Arc::from(&*upstream.name),
                endpoint: endpoint.name.clone(),
                health: health(&endpoint, now),
            })
        });
        let limits = snapshot.limits.seen();
        Outside {
            process: Process {
                version: env!("CARGO_PKG_VERSION"),
                io_driver: self.driver_word(),
                started: self.started.0,
                cpu_ns: usage.cpu_ns,
                resident_bytes: usage.resident_bytes,
                open_fds: usage.open_fds,
                max_fds: usage.max_fds,
            },
            workers: process::workers(workers),
            rings: self.rings(&snapshot, workers),
            store: self.api.clerk.seen(),
            ledger: self.api.ledger.seen(),
            panics: task::panics(),
            limits: LimitsSeen {
                slots: limits.capacity,
                used: limits.live,
                evicted: limits.evicted,
                full: limits.full,
            },
            endpoints: endpoints.collect(),
            targets: models::seen(&snapshot, now),
        }
    }

    fn rings(&self, snapshot: &Snapshot, workers: usize) -> Rings {
        let open = snapshot.listeners.iter().map(|listener| listener.connections.load(Relaxed));
        let mut watch = self.rings.borrow_mut();
        let few = open.map(u64::from).sum::<u64>() <= bounds::HOUSE_RING_CONNECTIONS_MAX;
        if self.driver != Driver::Epoll && few {
            watch.look(workers);
        }
        watch.total()
    }

    fn driver_word(&self) -> &'static str {
        if self.driver == Driver::Epoll { "epoll" } else { "io_uring" }
    }

    fn routes(&self, asked: &Asked<'_>) -> Page {
        let snapshot = self.cell.load();
        let wants_text = match asked.query("format") {
            Some(format) => format == "text",
            None => asked.accepts("text/plain"),
        };
        if wants_text {
            return Page::text(200, routes::text(&snapshot));
        }
        Page::json(200, &routes::json(&snapshot))
    }

    fn upstreams(&self) -> Page {
        Page::json(200, &upstreams(&self.cell.load(), clock::now()))
    }

    fn config(&self, asked: &Asked<'_>) -> Page {
        let config = &self.cell.load().config;
        if asked.query("format") == Some("json") {
            return Page::json(200, &config.masked_json());
        }
        Page::of(200, TEXT, config.masked_toml().into_bytes())
    }

    fn version(&self) -> Page {
        let (wall, tick) = self.started;
        let started = imf_fixdate(wall);
        Page::json(
            200,
            &json!({
                "version": env!("CARGO_PKG_VERSION"),
                "io": self.driver.to_string(),
                "workers": self.registry.workers().iter().count(),
                "generation": self.cell.load().generation,
                "started": String::from_utf8_lossy(&started),
                "uptime_seconds": clock::now().since(tick).as_secs(),
            }),
        )
    }
}

fn index() -> Page {
    let items = PAGES
        .iter()
        .map(|(path, what)| format!("<li><a href=\"{path}\">{path}</a>: {what}</li>\n"));
    let items: String = items.collect();
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<title>Ringway {version}</title>\n\
         <h1>Ringway {version}</h1>\n<ul>\n{items}</ul>\n</html>\n",
        version = env!("CARGO_PKG_VERSION"),
    );
    Page::of(200, HTML, html.into_bytes())
}

/// Upstreams, their endpoints and how they are.
#[must_use]
pub fn upstreams(snapshot: &Snapshot, now: Tick) -> Value {
    let upstreams = snapshot.upstreams.iter().map(|upstream| of_upstream(upstream, now));
    let upstreams: Vec<Value> = upstreams.collect();
    json!({ "generation": snapshot.generation, "upstreams": upstreams })
}

fn of_upstream(upstream: &Upstream, now: Tick) -> Value {
    let (idle, active) = upstream
        .cells
        .iter()
        .map(|cells| cells.idle_and_active())
        .fold((0_u64, 0_u64), |(idle, active), of| {
            (idle.wrapping_add(of.0), active.wrapping_add(of.1))
        });
    let endpoints = upstream.endpoints();
    let endpoints = endpoints.list.iter().map(|endpoint| {
        json!({
            "endpoint": endpoint.written,
            "address": endpoint.address.to_string(),
            "weight": endpoint.weight,
            "state": health(endpoint, now).name(),
        })
    });
    json!({
        "upstream": &*upstream.name,
        "tls": upstream.tls.is_some(),
        "probed": upstream.conf.health.is_some(),
        "connections_idle": idle,
        "exchanges_active": active,
        "endpoints": endpoints.collect::<Vec<_>>(),
    })
}

fn health(endpoint: &Endpoint, now: Tick) -> Health {
    if endpoint.is_down() {
        Health::Unhealthy
    } else if endpoint.is_ejected(now) {
        Health::Ejected
    } else {
        Health::Healthy
    }
}

/// Whether a `Host` (without port) can only mean this host itself: an address, `localhost` or a
/// name below it (RFC 6761 section 6.3), or nothing (HTTP/1.0).
fn is_local_name(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let host = host.to_ascii_lowercase();
    let host = host.strip_suffix('.').unwrap_or(&host);
    host.is_empty()
        || host == "localhost"
        || host.ends_with(".localhost")
        || bare.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_local_if_no_dns_server_can_say_what_it_is() {
        for local in ["", "localhost", "LOCALHOST", "localhost.", "a.localhost", "127.0.0.1"] {
            assert!(is_local_name(local.as_bytes()), "{local}");
        }
        assert!(is_local_name(b"[::1]") && is_local_name(b"192.168.1.1"));
        for other in ["evil.example", "localhost.evil.example", "notlocalhost", "127.0.0.1.nip.io"]
        {
            assert!(!is_local_name(other.as_bytes()), "{other}");
        }
        assert!(!is_local_name(b"\xff"));
    }
}
