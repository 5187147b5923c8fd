//! An upgrade on its way through: asked of the upstream, answered by its 101, told to the client.
//!
//! Owns what of an exchange outlives it as a tunnel ([`Opened`]). Knows nothing of how bytes then
//! pass. The invariant: up to the last byte of the 101 to the client everything is HTTP, and
//! whatever else the upstream says ends as any answer does.

use std::sync::Arc;
use std::time::Duration;

use super::exchange::Exchange;
use super::http::{Way, client_failure};
use crate::clock::{self, Tick};
use crate::failure::Failure;
use crate::http::{ResponseHead, Upgrade, Version};
use crate::limit::Holds;
use crate::message::Reply;
use crate::net::buffer::Buf;
use crate::snapshot::{Route, Target};
use crate::upstream::Lease;
use crate::upstream::pool::Place;

/// What is left of an exchange that opened a tunnel.
pub struct Opened {
    /// The upstream's side.
    pub lease: Lease,
    /// A tunnel is one of the requests its upstream has at once.
    pub place: Place,
    /// And of the requests at once of its limits.
    pub holds: Holds,
    /// What came behind the upstream's 101: mostly nothing, so boxed.
    pub first: Option<Box<Buf>>,
    pub route: Arc<Route>,
    pub websocket: bool,
    /// The longest time without a byte either way.
    pub idle: Duration,
    /// When its lifetime is over.
    pub until: Tick,
    /// The longest time in which the upstream takes nothing of what is there for it.
    pub write: Duration,
}

/// Finds out whether this request asks for an upgrade that its route allows.
///
/// # Errors
/// When a WebSocket handshake is malformed.
pub fn ask(exchange: &mut Exchange<'_>) -> Result<(), Failure> {
    let (Some(route), true) = (exchange.route, exchange.request.head.upgrade) else {
        return Ok(());
    };
    let request = &exchange.request;
    let Ok(upgrade) = Upgrade::of(request.head, request.block, &route.upgrade) else {
        exchange.detail = "websocket_key";
        return Err(Failure::BadRequest);
    };
    exchange.upgrade = upgrade;
    Ok(())
}

/// Whether the upstream's 101 is the one that was asked for.
///
/// # Errors
/// When it is not: RFC 9110 section 15.2.2 forbids it, and what follows is nobody's.
pub fn check(
    exchange: &mut Exchange<'_>,
    response: &ResponseHead,
    block: &Buf,
) -> Result<(), Failure> {
    let verdict = match &exchange.upgrade {
        None => Err("upgrade_unasked"),
        Some(upgrade) => upgrade.is_answered_by(response, block.filled()),
    };
    verdict.map_err(|reason| {
        let upstream = exchange.upstream;
        tracing::warn!(upstream, reason, "invalid response: 101");
        exchange.detail = reason;
        Failure::UpstreamInvalid
    })
}

/// Whether an answer that is no 101 may be passed on as it is.
///
/// # Errors
/// To an extended CONNECT any 2xx would say that the tunnel is open (RFC 8441 section 5).
pub fn check_refusal(exchange: &mut Exchange<'_>, response: &ResponseHead) -> Result<(), Failure> {
    let over_h2 = exchange.request.head.version == Version::Http2;
    if over_h2 && exchange.upgrade.is_some() && (200..300).contains(&response.status) {
        exchange.detail = "upgrade_ignored";
        return Err(Failure::UpstreamInvalid);
    }
    Ok(())
}

/// Sends the 101 whose head `reply` holds; gives back what followed the upstream's.
///
/// # Errors
/// When the client does not take it.
pub async fn switch(
    exchange: &Exchange<'_>,
    way: &Way<'_, '_>,
    reply: &mut Reply<'_>,
    rest: Buf,
) -> Result<Option<Buf>, Failure> {
    let protocol = exchange.upgrade.as_ref().map_or("", |upgrade| upgrade.protocol);
    reply.switches_to(protocol.as_bytes());
    let sent = reply.send_head(&way.client, None, false).await;
    sent.map_err(|ended| client_failure(&ended))?;
    Ok((!rest.is_empty()).then_some(rest))
}

/// Keeps what the tunnel needs once the exchange is over.
pub fn open(
    exchange: &mut Exchange<'_>,
    target: &Target,
    lease: Lease,
    place: Place,
    first: Option<Buf>,
) {
    let (Some(route), Some(upgrade)) = (exchange.route, &exchange.upgrade) else { return };
    let until = target.tunnel_lifetime.map_or(Tick::NEVER, |life| clock::now().after(life));
    exchange.opened = Some(Box::new(Opened {
        lease,
        place,
        holds: std::mem::take(&mut exchange.metered.holds),
        first: first.map(Box::new),
        route: route.clone(),
        websocket: upgrade.is_websocket(),
        idle: target.tunnel_idle,
        until,
        write: target.idle,
    }));
}
