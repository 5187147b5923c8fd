//! The canary of a stage: which requests are served by it.

use std::sync::Arc;

use super::serve::Scene;
use crate::integration::Exchange;
use crate::route::canary::{part_at, part_of};
use crate::snapshot::{Route, Split, Sticky};

/// The route, or its canary. After the caller is known: a caller may be what sticks.
pub fn draw<'c>(
    scene: &Scene<'c>,
    exchange: &mut Exchange<'c>,
    route: &'c Arc<Route>,
) -> &'c Arc<Route> {
    let Some(split) = &route.split else { return route };
    if part(scene, exchange, split) >= split.parts {
        return route;
    }
    let twin = &scene.current.snapshot.routes[split.twin as usize];
    exchange.route = Some(twin);
    twin
}

fn part(scene: &Scene<'_>, exchange: &Exchange<'_>, split: &Split) -> u32 {
    let by_chance = || part_at(scene.context.random.borrow_mut().bits());
    let by_address = || match exchange.party.client.to_canonical() {
        std::net::IpAddr::V4(ip) => part_of(&split.salt, &ip.octets()),
        std::net::IpAddr::V6(ip) => part_of(&split.salt, &ip.octets()),
    };
    match &split.sticky {
        None => by_chance(),
        Some(Sticky::Ip) => by_address(),
        Some(Sticky::Key) => match exchange.identity.key_name() {
            "" => by_address(),
            name => part_of(&split.salt, name.as_bytes()),
        },
        Some(Sticky::Header(name)) => {
            let request = &exchange.request;
            let value = request.head.values_named(name.as_bytes(), request.block).next();
            value.map_or_else(by_chance, |value| part_of(&split.salt, value))
        }
    }
}
