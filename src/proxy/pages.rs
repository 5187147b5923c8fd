//! Pages of the gateway's own: what an error means, where its `doc_url` leads.

use super::serve::Scene;
use crate::failure::page::Page;
use crate::http::Method;
use crate::integration::Exchange;

/// The page this request asks for, unless a route was written for its path. One that takes every
/// path was not: it gives way.
pub fn asked(scene: &Scene<'_>, exchange: &mut Exchange<'_>) -> Option<Page> {
    let page = Page::at(exchange.path)?;
    let is_read = matches!(exchange.request.head.method, Method::Get | Method::Head);
    let is_free = exchange.route.is_none_or(|route| route.takes_all);
    if !is_read || !is_free || !scene.current.snapshot.config.gateway.error_docs {
        return None;
    }
    exchange.route = None;
    Some(page)
}
