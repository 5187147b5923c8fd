//! The request's head as an endpoint gets it: written anew from what was parsed.
//!
//! Duties of a gateway (RFC 9110 section 7.6): hop-by-hop fields stay behind, Via is added,
//! forwarding fields are appended to if the peer is trusted and replaced if not, so that no
//! client-sent identity survives.

use std::net::{IpAddr, SocketAddr};

use super::Exchange;
use super::template::{render, render_content, render_target};
use crate::config::{HostPolicy, Source};
use crate::http::escape::{Escape, Escaped};
use crate::http::write::{self, Out};
use crate::http::{Field, Framing, Method, Name, NameSet, Version, query};
use crate::message::HeadOut;
use crate::snapshot::{
    EditKind, Endpoint, KeySource, Proof, QueryEdits, Route, TargetPath, Upstream, is_claimed,
};

/// Fields this file writes itself.
const OURS: NameSet = NameSet::of(&[
    Name::Expect,
    Name::Forwarded,
    Name::MaxForwards,
    Name::Traceparent,
    Name::Via,
    Name::XForwardedFor,
    Name::XForwardedHost,
    Name::XForwardedProto,
    Name::XRequestId,
]);
/// Further claims about the client that only a trusted peer may make.
const CLAIMS: NameSet = NameSet::of(&[
    Name::XForwardedPort,
    Name::XForwardedPrefix,
    Name::XForwardedServer,
    Name::XRealIp,
]);

/// What the gateway says of an API key: its name and its plan. A client cannot.
const IDENTITY: [&[u8]; 2] = [b"x-ringway-key-name", b"x-ringway-plan"];

/// Writes the request's head for `endpoint`.
pub fn write_head(
    exchange: &Exchange<'_>,
    route: &Route,
    upstream: &Upstream,
    endpoint: &Endpoint,
    framing: Framing,
    via: &str,
    out: &mut HeadOut,
) {
    let request = &exchange.request;
    let head = request.head;
    request_line(exchange, route, out);
    match &upstream.conf.host {
        HostPolicy::Preserve => write::field(out, b"host", request.authority()),
        HostPolicy::Endpoint => write::field(out, b"host", endpoint.written.as_bytes()),
        HostPolicy::Literal(host) => write::field(out, b"host", host.as_bytes()),
    }
    let web = exchange.grpc.as_ref().filter(|call| call.is_web());
    let mut lines = write::Lines::default();
    for field in head.forwarded(request.block) {
        let rewritten = web.is_some() && field.id == Name::ContentType;
        if !rewritten && passes(exchange, route, field) {
            lines.add(out, field, request.block);
        }
    }
    lines.flush(out, request.block);
    if let Some(call) = web {
        out.put(b"content-type: ");
        call.put_upstream_type(out);
        out.put(b"\r\n");
    }
    write::framing(out, framing);
    // RFC 9110 sections 7.8 and 10.1.4: both are for this hop, and Connection must say so.
    // A gRPC call's status comes in trailers, also where a browser asks, who cannot say so.
    let te_trailers = head.te_trailers || web.is_some();
    match (&exchange.upgrade, te_trailers) {
        (None, false) => {}
        (None, true) => write::field(out, b"connection", b"te"),
        (Some(_), false) => write::field(out, b"connection", b"upgrade"),
        (Some(_), true) => write::field(out, b"connection", b"upgrade, te"),
    }
    if te_trailers {
        write::field(out, b"te", b"trailers");
    }
    if let Some(upgrade) = &exchange.upgrade {
        write::field(out, b"upgrade", upgrade.protocol.as_bytes());
    }
    if head.method == Method::Options
        && let Some(left) = request.value(Name::MaxForwards).and_then(number)
    {
        write::field_decimal(out, b"max-forwards", left.saturating_sub(1));
    }
    traces(exchange, via, out);
    identity(exchange, route, out);
    proven(exchange, route, out);
    for edit in route.request.puts() {
        debug_assert_ne!(edit.kind, EditKind::Remove, "`puts` leaves removals out");
        out.put(edit.name.as_bytes());
        out.put(b": ");
        render(&edit.value, exchange, out);
        out.put(b"\r\n");
    }
    write::end(out);
}

/// Whether a field shows an API key, or claims to be what the gateway says of one.
pub(super) fn hides(exchange: &Exchange<'_>, route: &Route, field: &Field) -> bool {
    let name = exchange.request.text(field.name);
    if field.id == Name::Other && IDENTITY.iter().any(|own| name.eq_ignore_ascii_case(own)) {
        return true;
    }
    let Some(keys) = route.keys.as_ref().filter(|keys| !keys.forward) else { return false };
    match field.id {
        Name::Authorization => exchange.bearer_is_key,
        _ => keys.sources.iter().any(|source| match source {
            KeySource::Header(header) => name.eq_ignore_ascii_case(header.as_bytes()),
            KeySource::Bearer | KeySource::Query(_) => false,
        }),
    }
}

/// What the gateway has proven about the caller, where the API wants it said.
fn identity(exchange: &Exchange<'_>, route: &Route, out: &mut HeadOut) {
    if !route.keys.as_ref().is_some_and(|keys| keys.identity_headers) {
        return;
    }
    let said = [exchange.identity.key_name(), exchange.identity.plan()];
    for (name, value) in IDENTITY.iter().zip(said).filter(|(_, value)| !value.is_empty()) {
        write::field(out, name, value.as_bytes());
    }
}

/// Whether a field of the client's goes on as it is.
#[inline]
fn passes(exchange: &Exchange<'_>, route: &Route, field: &Field) -> bool {
    if OURS.has(field.id) || (CLAIMS.has(field.id) && !exchange.party.trusted) {
        return false;
    }
    let name = exchange.request.text(field.name);
    let claimed = !route.claimed.is_empty() && is_claimed(&route.claimed, name);
    let held_back = exchange.authorizer.is_some() && is_held_back(exchange, field, name);
    let edited = !route.request.list.is_empty() && route.request.drops(name);
    !(claimed || held_back || edited || hides(exchange, route, field))
}

/// What an authorizer has found out about the caller. Texts were checked when they were proven.
fn proven(exchange: &Exchange<'_>, route: &Route, out: &mut HeadOut) {
    let Some(authorizer) = exchange.authorizer else { return };
    for (name, claim) in &authorizer.headers {
        let edited = !route.request.list.is_empty() && route.request.drops(name.as_bytes());
        if let Some(text) = exchange.identity.claim(claim).filter(|_| !edited) {
            write::field(out, name.as_bytes(), text.as_bytes());
        }
    }
}

/// Whether the field held the proof, and the upstream is not to see that.
fn is_held_back(exchange: &Exchange<'_>, field: &Field, name: &[u8]) -> bool {
    let Some(authorizer) = exchange.authorizer.filter(|its| !its.forward_credentials) else {
        return false;
    };
    match &authorizer.proof {
        Proof::Password(_) => field.id == Name::Authorization,
        Proof::Token(tokens) => match &tokens.source {
            Source::Header(source) => name.eq_ignore_ascii_case(source.as_bytes()),
            Source::Cookie(_) | Source::Query(_) => false,
        },
        Proof::Certificate(_) => false,
    }
}

/// A number as a field's value has it.
#[must_use]
pub fn number(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// An address as forwarding fields and logs write it: IPv4 also where it came mapped into IPv6.
pub fn address(ip: IpAddr, out: &mut impl Out) {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            for (at, octet) in ip.octets().into_iter().enumerate() {
                if at > 0 {
                    out.put(b".");
                }
                write::decimal(out, u64::from(octet));
            }
        }
        IpAddr::V6(ip) => out.put(ip.to_string().as_bytes()),
    }
}

/// The client whom a trusted peer forwards for: the last address of `X-Forwarded-For` that is not
/// itself a trusted proxy's. Read from the right: what stands further left anyone can have written.
#[must_use]
pub fn claimed_client<'a>(
    values: impl DoubleEndedIterator<Item = &'a [u8]>,
    trusts: impl Fn(IpAddr) -> bool,
) -> Option<IpAddr> {
    let mut furthest = None;
    for element in values.rev().flat_map(|value| value.rsplit(|b| *b == b',')) {
        let Some(ip) = parse_address(element.trim_ascii()) else { break };
        furthest = Some(ip);
        if !trusts(ip) {
            break;
        }
    }
    furthest
}

fn parse_address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
        .map(|ip: IpAddr| ip.to_canonical())
}

fn request_line(exchange: &Exchange<'_>, route: &Route, out: &mut HeadOut) {
    let request = &exchange.request;
    let query = exchange.query();
    if !route.target.is_edited() {
        let path = stripped(exchange.path, route.strip_prefix.as_deref());
        write::request_line(out, request.method(), path, query);
        return;
    }
    out.put(request.method());
    out.put(b" ");
    match &route.target.path {
        TargetPath::Whole(whole) => render_target(whole, exchange, out),
        TargetPath::Path(path) => render_target(path, exchange, out),
        TargetPath::Same => out.put(stripped(exchange.path, route.strip_prefix.as_deref())),
    }
    if !matches!(route.target.path, TargetPath::Whole(_)) {
        match &route.target.query {
            Some(edits) => put_query(edits, query.unwrap_or_default(), exchange, out),
            None => {
                if let Some(query) = query {
                    out.put(b"?");
                    out.put(query);
                }
            }
        }
    }
    out.put(b" HTTP/1.1\r\n");
}

/// The query without the parameters that are removed or replaced, then those that are set and
/// added. Pairs that stay are not touched.
fn put_query(edits: &QueryEdits, query: &[u8], exchange: &Exchange<'_>, out: &mut HeadOut) {
    let mut mark: &[u8] = b"?";
    for piece in query.split(|b| *b == b'&').filter(|piece| !piece.is_empty()) {
        let name = piece.split(|b| *b == b'=').next().unwrap_or_default();
        if !edits.drops.iter().any(|dropped| query::is_named(name, dropped.as_bytes())) {
            out.put(std::mem::replace(&mut mark, b"&"));
            out.put(piece);
        }
    }
    for (name, value) in &edits.puts {
        out.put(std::mem::replace(&mut mark, b"&"));
        // Both are texts, not encodings: all but unreserved characters of theirs is encoded.
        let mut text = Vec::with_capacity(64);
        render_content(value, Escape::Nothing, exchange, &mut text);
        Escaped { out, place: Escape::Component }.put(name.as_bytes());
        out.put(b"=");
        Escaped { out, place: Escape::Component }.put(&text);
    }
}

/// The path without a prefix of whole segments; the root if nothing is left.
fn stripped<'a>(path: &'a [u8], prefix: Option<&str>) -> &'a [u8] {
    let Some(prefix) = prefix.map(|prefix| prefix.trim_end_matches('/').as_bytes()) else {
        return path;
    };
    match path.strip_prefix(prefix) {
        Some(b"") => b"/",
        Some(rest) if rest[0] == b'/' => rest,
        _ => path,
    }
}

fn traces(exchange: &Exchange<'_>, via: &str, out: &mut HeadOut) {
    let request = &exchange.request;
    let party = &exchange.party;
    let before = |name| request.value(name).filter(|_| party.trusted);

    out.put(b"via: ");
    for value in request.head.values(Name::Via, request.block) {
        out.put(value);
        out.put(b", ");
    }
    out.put(match request.head.version {
        Version::Http10 => b"1.0 ",
        Version::Http11 => b"1.1 ",
        Version::Http2 => b"2.0 ",
    });
    out.put(via.as_bytes());

    out.put(b"\r\nx-forwarded-for: ");
    if party.trusted {
        for value in request.head.values(Name::XForwardedFor, request.block) {
            out.put(value);
            out.put(b", ");
        }
    }
    out.put(party.peer_text);
    out.put(match exchange.scheme() {
        "https" => b"\r\nx-forwarded-proto: https\r\nx-forwarded-host: ",
        _ => b"\r\nx-forwarded-proto: http\r\nx-forwarded-host: ",
    });
    out.put(before(Name::XForwardedHost).unwrap_or_else(|| request.authority()));

    // RFC 7239 section 4.
    out.put(b"\r\nforwarded: ");
    if party.trusted {
        for value in request.head.values(Name::Forwarded, request.block) {
            out.put(value);
            out.put(b", ");
        }
    }
    let v6 = party.peer.ip().to_canonical().is_ipv6();
    out.put(if v6 { b"for=\"[" } else { b"for=" });
    out.put(party.peer_text);
    if v6 {
        out.put(b"]\"");
    }
    out.put(if party.secure { b";proto=https" } else { b";proto=http" });
    if request.authority().is_empty() {
        out.put(b"\r\nx-request-id: ");
    } else {
        out.put(b";host=\"");
        out.put(request.authority());
        out.put(b"\"\r\nx-request-id: ");
    }
    out.put(&exchange.ids.request);
    out.put(b"\r\ntraceparent: ");
    out.put(&exchange.ids.traceparent);
    out.put(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claimed(values: &[&str]) -> Option<String> {
        let trusted = |ip: IpAddr| ip.to_string().starts_with("10.");
        claimed_client(values.iter().map(|v| v.as_bytes()), trusted).map(|ip| ip.to_string())
    }

    #[test]
    fn the_client_is_the_last_address_nobody_trusted_could_have_forged() {
        assert_eq!(claimed(&["203.0.113.9"]).as_deref(), Some("203.0.113.9"));
        assert_eq!(claimed(&["6.6.6.6, 203.0.113.9, 10.0.0.2"]).as_deref(), Some("203.0.113.9"));
        assert_eq!(
            claimed(&["6.6.6.6", "203.0.113.9", "10.0.0.2"]).as_deref(),
            Some("203.0.113.9")
        );
        assert_eq!(claimed(&["10.0.0.3, 10.0.0.2"]).as_deref(), Some("10.0.0.3"));
        assert_eq!(claimed(&["junk, 10.0.0.2"]).as_deref(), Some("10.0.0.2"));
        assert_eq!(claimed(&["[2001:db8::1]:443"]).as_deref(), Some("2001:db8::1"));
        assert_eq!(claimed(&["unknown"]), None);
        assert_eq!(claimed(&[]), None);
    }

    #[test]
    fn a_prefix_is_stripped_by_whole_segments() {
        assert_eq!(stripped(b"/v1/pets", Some("/v1")), b"/pets");
        assert_eq!(stripped(b"/v1", Some("/v1/")), b"/");
        assert_eq!(stripped(b"/v10/pets", Some("/v1")), b"/v10/pets");
        assert_eq!(stripped(b"/pets", None), b"/pets");
    }

    #[test]
    fn addresses_are_written_as_text() {
        let text = |ip: &str| {
            let mut out = Vec::new();
            address(ip.parse().expect("an address"), &mut out);
            String::from_utf8(out).expect("text")
        };
        assert_eq!(text("127.0.0.1"), "127.0.0.1");
        assert_eq!(text("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(text("2001:db8::1"), "2001:db8::1");
    }
}
