//! Preflights, answered before anybody is asked who they are: browsers send them without
//! credentials.

use super::serve::Scene;
use crate::http::grammar::is_token;
use crate::http::{Method, Name};
use crate::integration::Exchange;
use crate::route::Lookup;
use crate::snapshot::Cors;

/// The policy that answers this request, if it is a preflight and its API has one. The API is that
/// of the route the announced request will take; if none will, the one that owns the path, so that
/// the page learns of the 404 and not of a CORS error.
pub fn preflight<'c>(scene: &Scene<'c>, exchange: &mut Exchange<'c>) -> Option<&'c Cors> {
    if exchange.request.head.method != Method::Options {
        return None;
    }
    exchange.request.value(Name::Origin)?;
    let method = exchange.request.value(Name::AccessControlRequestMethod);
    let method = method.filter(|method| is_token(method))?;
    let (host, listener) = (exchange.request.host(), exchange.listener);
    let cors = match listener.table.find(host, method, exchange.path, &mut exchange.params) {
        Lookup::Found(target) => scene.current.snapshot.routes[target as usize].cors.as_deref(),
        Lookup::NotFound => {
            listener.edges.of(host, exchange.path).and_then(|edge| edge.cors.as_deref())
        }
    };
    exchange.preflight = cors;
    cors
}
