//! Rendering templates: header edits, rewrites, redirects and bodies with a request's own values in
//! them, each as the place it goes to allows.

use super::Exchange;
use crate::clock;
use crate::config::{Part, Template, Variable};
use crate::http::date::rfc3339;
use crate::http::escape::{Escape, Escaped};
use crate::http::query;
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

/// A template's text as a field's value.
#[must_use]
pub fn text(template: &Template, exchange: &Exchange<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    render(template, exchange, &mut out);
    out
}

/// Appends a template's text as a target or a URL. What is encoded stays so; what could not stand
/// in a request line (a blank out of a field's value) is encoded.
pub fn render_target(template: &Template, exchange: &Exchange<'_>, out: &mut impl Out) {
    let mut out = Escaped { out, place: Escape::Target };
    render(template, exchange, &mut out);
}

/// Appends a template's text where it is content: parameters are decoded, and what cannot stand in
/// the place is escaped.
pub fn render_content(
    template: &Template,
    place: Escape,
    exchange: &Exchange<'_>,
    out: &mut impl Out,
) {
    for part in &template.parts {
        match part {
            Part::Literal(text) => out.put(text.as_bytes()),
            Part::Variable(variable) => {
                let mut out = Escaped { out, place };
                match variable {
                    Variable::Parameter(name) => {
                        out.put(&query::percent_decoded(exchange.parameter(name)));
                    }
                    Variable::QueryParameter(name) => {
                        out.put(&query::decoded(query_parameter(exchange, name)));
                    }
                    Variable::Claim(name) => {
                        out.put(exchange.identity.claim(name).unwrap_or_default().as_bytes());
                    }
                    variable => value(variable, exchange, &mut out),
                }
            }
        }
    }
}

fn query_parameter<'e>(exchange: &'e Exchange<'_>, name: &str) -> &'e [u8] {
    let query = exchange.query().unwrap_or_default();
    let named = |(written, _): &(&[u8], &[u8])| query::is_named(written, name.as_bytes());
    query::pairs(query).find(named).map_or(&[], |(_, value)| value)
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
        Variable::Time => out.put(&rfc3339(clock::wall())),
        Variable::QueryParameter(name) => out.put(query_parameter(exchange, name)),
        Variable::Status => write::decimal(out, u64::from(exchange.status)),
        Variable::Stage => {
            out.put(exchange.route.map_or(b"", |route| route.deployment.stage.as_bytes()));
        }
        Variable::Version => {
            let id = exchange.route.map_or("", |route| route.deployment.version_id());
            out.put(id.as_bytes());
        }
        Variable::StageVariable(_) => {} // filled in when the route was compiled
        Variable::Header(name) => {
            let values = request.head.values_named(name.as_bytes(), request.block);
            for (at, value) in values.enumerate() {
                if at > 0 {
                    out.put(b", ");
                }
                out.put(value);
            }
        }
        Variable::Claim(name) => claim(exchange, name, out, stays_in_field),
        // RFC 3986 section 5.2.4: these two mean another segment however they are encoded.
        Variable::ClaimEncoded(name)
            if matches!(exchange.identity.claim(name), Some("." | "..")) => {}
        Variable::ClaimEncoded(name) => claim(exchange, name, out, stays_in_segment),
        Variable::Parameter(name) => out.put(exchange.parameter(name)),
    }
}

/// A claim's text; bytes that may not stay are percent-encoded. Unlike what came in a head, a claim
/// can hold anything.
fn claim(exchange: &Exchange<'_>, name: &str, out: &mut impl Out, stays: fn(u8) -> bool) {
    let text = exchange.identity.claim(name).unwrap_or_default();
    for run in text.as_bytes().chunk_by(|a, b| stays(*a) && stays(*b)) {
        if stays(run[0]) {
            out.put(run);
        } else {
            let digit = |nibble: u8| b"0123456789ABCDEF"[usize::from(nibble & 0xf)];
            out.put(&[b'%', digit(run[0] >> 4), digit(run[0])]);
        }
    }
}

/// RFC 9110 section 5.5: no control character.
fn stays_in_field(byte: u8) -> bool {
    byte >= b' ' && byte != 0x7f
}

/// RFC 3986 section 2.3: what is not reserved.
fn stays_in_segment(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
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
