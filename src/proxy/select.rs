//! From a request to the route it takes: host, base path, stage, version, route key; then whether
//! that version still answers.
//!
//! A route of an API without versions costs one lookup and nothing here. The wall clock is read
//! once at most, and only where a version has dates.

use std::sync::Arc;

use super::key;
use super::serve::Scene;
use crate::clock;
use crate::failure::Failure;
use crate::failure::page::Page;
use crate::http::Method;
use crate::integration::{Exchange, lifecycle};
use crate::message::Request;
use crate::route::canary::part_at;
use crate::route::version::{AfterSunset, Asks, Status, Version};
use crate::route::{Lookup, RouteKey, Segment};
use crate::snapshot::{Api, Chosen, Judged, Mount, Route, Unmatched};

/// What a request leads to.
pub enum Selected<'c> {
    Route(&'c Arc<Route>),
    /// A page of the gateway's own, about an error.
    Page(Page),
    /// The successor of its version has it now: a URL.
    Moved(Vec<u8>),
}

/// The request's fields and query, as the choice of a version asks for them.
struct Asked<'c>(Request<'c>);

/// Host, method and path to a route of this listener.
pub fn route<'c>(scene: &Scene<'c>, exchange: &mut Exchange<'c>) -> Result<Selected<'c>, Failure> {
    let (found, chosen) = look(scene, exchange, exchange.request.method());
    if let Some(page) = error_page(scene, exchange, found) {
        return Ok(Selected::Page(page));
    }
    match found {
        Lookup::Found(target) => {
            let route = &scene.current.snapshot.routes[target as usize];
            exchange.route = Some(route);
            if route.deployment.version.is_none() && !route.is_public {
                return Ok(Selected::Route(route));
            }
            exchange.mount = mount(scene, exchange);
            versioned(scene, exchange, route)
        }
        Lookup::NotFound => {
            exchange.mount = mount(scene, exchange);
            missed(scene, exchange, chosen)
        }
    }
}

/// The API of the route that the request would take if its method were this one; without such a
/// route, the one that owns the path.
pub fn api<'c>(
    scene: &Scene<'c>,
    exchange: &mut Exchange<'c>,
    method: &[u8],
) -> Option<&'c Arc<Api>> {
    match look(scene, exchange, method).0 {
        Lookup::Found(target) => {
            Some(&scene.current.snapshot.routes[target as usize].deployment.api)
        }
        Lookup::NotFound => mount(scene, exchange).map(|mount| &mount.api),
    }
}

/// The base path that owns the request's path, whether or not a route takes it.
#[cold]
pub fn owner<'c>(scene: &Scene<'c>, exchange: &mut Exchange<'c>) -> Option<&'c Mount> {
    look(scene, exchange, exchange.request.method());
    mount(scene, exchange)
}

/// What the route table says, and which version its owner's versions chose.
fn look<'c>(
    scene: &Scene<'c>,
    exchange: &mut Exchange<'c>,
    method: &[u8],
) -> (Lookup, Option<Chosen>) {
    let request = exchange.request;
    let mounts = &scene.current.snapshot.mounts;
    let mut chosen = None;
    let (table, path) = (&exchange.listener.table, exchange.path);
    let params = &mut exchange.params;
    let found = table.find_chosen(request.host(), method, path, params, |owner, below| {
        let mount = mounts.get(owner as usize)?;
        let choice = mount.choose(method == b"GET", below, &Asked(request));
        chosen = Some(choice);
        mount.variant(choice)
    });
    (found, chosen)
}

/// The base path that owns the path which was looked up.
fn mount<'c>(scene: &Scene<'c>, exchange: &Exchange<'c>) -> Option<&'c Mount> {
    scene.current.snapshot.mounts.get(exchange.params.owner()? as usize)
}

/// The page about an error at this path, unless a route was written for that path.
fn error_page(scene: &Scene<'_>, exchange: &Exchange<'_>, found: Lookup) -> Option<Page> {
    let page = Page::at(exchange.path)?;
    let snapshot = &scene.current.snapshot;
    let is_read = matches!(exchange.request.head.method, Method::Get | Method::Head);
    let is_free = match found {
        Lookup::Found(target) => snapshot.routes[target as usize].takes_all,
        Lookup::NotFound => true,
    };
    (is_read && is_free && snapshot.config.gateway.error_docs).then_some(page)
}

/// A route of a version: it may be at its end, or not what was asked for.
#[inline(never)]
fn versioned<'c>(
    scene: &Scene<'c>,
    exchange: &mut Exchange<'c>,
    route: &'c Arc<Route>,
) -> Result<Selected<'c>, Failure> {
    if is_mistaken(exchange) {
        exchange.route = None;
        return Err(Failure::VersionNotFound);
    }
    let deployment = &route.deployment;
    let (Some(at), Some(version)) = (deployment.version, deployment.version()) else {
        return Ok(Selected::Route(route));
    };
    let judged = judge(scene, exchange, (&deployment.api, at, version));
    if !matches!(judged, Ok(None)) {
        key::note(scene, exchange, route);
    }
    Ok(judged?.map_or(Selected::Route(route), Selected::Moved))
}

/// Whether the default version took a path that begins with the id of a version there is not. A
/// route that says so literally is what the operator meant.
fn is_mistaken(exchange: &Exchange<'_>) -> bool {
    let below = exchange.params.below_base(exchange.path);
    if !exchange.mount.is_some_and(|mount| mount.mistakes(below)) {
        return false;
    }
    let key = exchange.listener.table.route(&exchange.params).map(|route| &route.key);
    let Some(RouteKey::Path { path, .. }) = key else { return true };
    !matches!(path.segments.first(), Some(Segment::Static(_)))
}

/// Whether a version still answers; a URL, where its successor does.
fn judge<'c>(
    scene: &Scene<'c>,
    exchange: &mut Exchange<'c>,
    (api, at, version): (&'c Api, u16, &'c Version),
) -> Result<Option<Vec<u8>>, Failure> {
    let life = &version.life;
    let now = if life.needs_time() { clock::wall_coarse() } else { clock::Wall::default() };
    let draw = match life.brownouts.is_empty() {
        true => 0,
        false => part_at(scene.context.random.borrow_mut().bits()),
    };
    let standing = life.at(now, draw);
    exchange.judged = Some(Judged { api, at, version, standing });
    if standing.status == Status::Sunset {
        let moved = match version.after_sunset {
            AfterSunset::Redirect => lifecycle::successor_url(exchange, true),
            AfterSunset::Gone => None,
        };
        return moved.map(Some).ok_or(Failure::VersionSunset);
    }
    if standing.brownout.is_some() {
        return Err(Failure::VersionBrownout);
    }
    Ok(None)
}

/// Why no route was found; or where the successor of its version is, which may have one.
#[cold]
fn missed<'c>(
    scene: &Scene<'c>,
    exchange: &mut Exchange<'c>,
    chosen: Option<Chosen>,
) -> Result<Selected<'c>, Failure> {
    let Some(mount) = exchange.mount else { return Err(Failure::NotFound) };
    let unmatched = match mount.api.unmatched {
        Unmatched::NotFound => Failure::NotFound,
        Unmatched::MissingToken => Failure::MissingToken,
    };
    let Some(versions) = &mount.api.versions else { return Err(unmatched) };
    if matches!(chosen, Some(Chosen::Unknown)) || is_mistaken(exchange) {
        return Err(Failure::VersionNotFound);
    }
    let at = match chosen {
        Some(Chosen::Version(at)) => Some(at),
        Some(_) => None,
        None => mount.otherwise,
    };
    let Some((at, version)) = at.and_then(|at| Some((at, versions.get(at)?))) else {
        return Err(Failure::VersionNotFound); // none was named, and there is no default
    };
    // Of a version at its end nothing is found any more: that says more than a 404.
    judge(scene, exchange, (&mount.api, at, version))?.map(Selected::Moved).ok_or(unmatched)
}

// === impl Asked ===

impl Asks for Asked<'_> {
    fn fields<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.0.head.values_named(name.as_bytes(), self.0.block)
    }

    fn query(&self) -> &[u8] {
        self.0.query()
    }
}
