//! Rendering templates: header edits, rewrites and redirects with a request's own values in them.

use super::Exchange;
use crate::config::{Part, Template, Variable};
use crate::http::write::{self, Out};

/// Appends a template's text for this exchange. Values come from the network but have been parsed:
/// no control byte survives the codec, so none can be smuggled into a field through here.
pub fn render(template: &Template, exchange: &Exchange<'_>, out: &mut impl Out) {
    for part in &template.parts {
        match part {
            Part::Literal(text) => out.put(text.as_bytes()),
            Part::Variable(variable) => value(variable, exchange, out),
        }
    }
}

/// A template's text. For redirects and rewrites; edits render into the head itself.
#[must_use]
pub fn text(template: &Template, exchange: &Exchange<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    render(template, exchange, &mut out);
    out
}

fn value(variable: &Variable, exchange: &Exchange<'_>, out: &mut impl Out) {
    let request = &exchange.request;
    match variable {
        Variable::ClientIp => super::forward::address(exchange.party.client, out),
        Variable::Host => lower(request.host(), out),
        Variable::Method => out.put(request.method()),
        Variable::Path => out.put(exchange.path),
        Variable::Query => out.put(exchange.query().unwrap_or_default()),
        Variable::QueryWithMark => {
            if let Some(query) = exchange.query() {
                out.put(b"?");
                out.put(query);
            }
        }
        Variable::Scheme => out.put(exchange.scheme().as_bytes()),
        Variable::RequestId => out.put(&exchange.ids.request),
        Variable::Route => out.put(exchange.route.map_or(b"", |route| route.key.as_bytes())),
        Variable::Api => out.put(exchange.route.map_or(b"", |route| route.api.as_bytes())),
        Variable::Upstream => out.put(exchange.upstream.as_bytes()),
        Variable::Listener => out.put(exchange.listener.name.as_bytes()),
        Variable::Status => write::decimal(out, u64::from(exchange.status)),
        Variable::Header(name) => {
            let values = request.head.values_named(name.as_bytes(), request.block);
            for (at, value) in values.enumerate() {
                if at > 0 {
                    out.put(b", ");
                }
                out.put(value);
            }
        }
        Variable::Parameter(name) => out.put(exchange.parameter(name)),
    }
}

fn lower(text: &[u8], out: &mut impl Out) {
    // Hosts are mostly written in lower case: put whole runs.
    for run in text.chunk_by(|a, b| a.is_ascii_uppercase() == b.is_ascii_uppercase()) {
        if run[0].is_ascii_uppercase() {
            run.iter().for_each(|b| out.put(&[b.to_ascii_lowercase()]));
        } else {
            out.put(run);
        }
    }
}
