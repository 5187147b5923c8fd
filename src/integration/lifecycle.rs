//! What callers are told of the version they use: fields on every answer, details in refusals, the
//! list of versions, the URL of the same thing in the successor.

use smallvec::SmallVec;

use super::Exchange;
use crate::config::{HeaderEdit, Moment, Place, Respond, RespondBody, Template};
use crate::failure::{Details, Failure};
use crate::http::write::{self, Out};
use crate::message::Reply;
use crate::route::version::{Selector, Status, Version, Versions};
use crate::snapshot::{Api, Judged};

/// A `Link` field: a few of these on answers of deprecated versions only.
type Line = SmallVec<[u8; 256]>;

/// Puts `Deprecation` (RFC 9745), `Sunset` (RFC 8594) and `Link` fields, where they apply.
pub fn fields(exchange: &Exchange<'_>, reply: &mut Reply<'_>) {
    vary(exchange, reply);
    let Some(Judged { version, standing, .. }) = exchange.judged else { return };
    let status = standing.status;
    if let Some(seconds) = standing.brownout {
        let mut text = Line::new();
        write::decimal(&mut text, seconds);
        reply.field(b"retry-after", &text);
    }
    let sunset = version.life.sunset_date(status);
    let deprecation = version.life.deprecation(status);
    if let Some(seconds) = deprecation {
        let mut text = Line::new();
        text.put(b"@");
        write::decimal(&mut text, seconds);
        reply.field(b"deprecation", &text);
    }
    if let Some(date) = sunset {
        reply.field(b"sunset", &date);
    }
    if status < Status::Deprecated && sunset.is_none() {
        return;
    }
    if let Some(guide) = &version.guide {
        let url = guide_url(exchange, guide);
        if status >= Status::Deprecated {
            link(reply, &url, b"deprecation");
        }
        if sunset.is_some() || status == Status::Sunset {
            link(reply, &url, b"sunset");
        }
    }
    if let Some(url) = successor_url(exchange, false) {
        link(reply, &url, b"successor-version");
    }
}

/// Caches must not give one version's answer to who asks for another (RFC 9110 section 12.5.5).
fn vary(exchange: &Exchange<'_>, reply: &mut Reply<'_>) {
    for selector in exchange.mount.iter().flat_map(|mount| &mount.asks) {
        match selector {
            Selector::Header(name) => reply.field(b"vary", name.as_bytes()),
            Selector::MediaType => reply.field(b"vary", b"accept"),
            Selector::Query(_) => {} // part of the URL
        }
    }
}

fn link(reply: &mut Reply<'_>, url: &[u8], relation: &[u8]) {
    let mut line = Line::new();
    line.put(b"<");
    line.put(url);
    line.put(b">; rel=\"");
    line.put(relation);
    line.put(b"\"");
    reply.field(b"link", &line);
}

/// A guide's URL: as it was written, or below the base path that the request came by.
fn guide_url(exchange: &Exchange<'_>, guide: &str) -> Line {
    let mut url = Line::new();
    if guide.starts_with('/')
        && let Some(mount) = exchange.mount
    {
        url.put(mount.prefix.as_bytes());
    }
    url.put(guide.as_bytes());
    url
}

/// Where the successor has what this request asks for; `None` if it has no URL of its own.
#[must_use]
pub fn successor_url(exchange: &Exchange<'_>, with_query: bool) -> Option<Vec<u8>> {
    let judged = exchange.judged.as_ref()?;
    let mount = exchange.mount?;
    let versions = judged.api.versions.as_ref()?;
    let successor = versions.get(judged.version.successor?)?;
    let mut url = Vec::with_capacity(128);
    if versions.by_path {
        url.put(mount.prefix.as_bytes());
        url.put(b"/");
        url.put(successor.id.as_bytes());
    } else {
        let host = successor.hosts.first().filter(|host| !host.starts_with('*'))?;
        url.put(exchange.scheme().as_bytes());
        url.put(b"://");
        url.put(host.as_bytes());
        // The port is the listener's, which the host's name does not have.
        if let Some(port) = port(exchange.request.authority(), exchange.request.host()) {
            url.put(port);
        }
        url.put(mount.prefix.as_bytes());
    }
    uri(exchange.params.below_base(exchange.path), &mut url);
    if with_query && exchange.request.head.query.is_some() {
        url.put(b"?");
        uri(exchange.request.query(), &mut url);
    }
    Some(url)
}

fn port<'a>(authority: &'a [u8], host: &[u8]) -> Option<&'a [u8]> {
    authority.strip_prefix(host).filter(|rest| rest.first() == Some(&b':'))
}

/// Bytes of a target as they may stand in `Location` and between `<` and `>`.
fn uri(bytes: &[u8], out: &mut impl Out) {
    for byte in bytes {
        let plain = byte.is_ascii_graphic() && !b"<>\"\\^`{|}".contains(byte);
        if plain {
            out.put(&[*byte]);
        } else {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            out.put(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

/// The details of a refusal that a version is the reason of.
#[must_use]
pub fn details(exchange: &Exchange<'_>, failure: Failure) -> Option<Box<Details>> {
    match failure {
        Failure::VersionNotFound => {
            let versions = exchange.mount?.api.versions.as_ref()?;
            let now = crate::clock::wall_coarse();
            let alive = versions
                .list
                .iter()
                .filter(|version| version.life.at(now, u32::MAX).status != Status::Sunset);
            let ids = alive.map(|version| version.id.as_str());
            Some(Box::new(Details::new().texts("available_versions", ids)))
        }
        Failure::VersionSunset | Failure::VersionBrownout => {
            let Judged { api, version, .. } = exchange.judged?;
            let mut details = Details::new().text("version", version.id.as_str());
            if let Some(seconds) = version.life.sunset {
                details = details.text("sunset", Moment { seconds }.to_string());
            }
            if let Some(guide) = &version.guide {
                let url = guide_url(exchange, guide);
                details = details.text("guide", String::from_utf8_lossy(&url));
            }
            if let Some(successor) = successor_of(api, version) {
                details = details.text("successor", successor);
            }
            Some(Box::new(details))
        }
        _ => None,
    }
}

fn successor_of<'a>(api: &'a Api, version: &Version) -> Option<&'a str> {
    Some(&*api.versions.as_ref()?.get(version.successor?)?.id)
}

/// The list of an API's versions, as it is now.
#[must_use]
pub fn list(exchange: &Exchange<'_>, api: &Api) -> Respond {
    let now = crate::clock::wall_coarse();
    let none = Versions::default();
    let versions = api.versions.as_ref().unwrap_or(&none);
    let date = |seconds: Option<u64>| seconds.map(|seconds| Moment { seconds }.to_string());
    let list = versions.list.iter().map(|version| {
        let mut entry = serde_json::json!({
            "id": version.id,
            "status": version.life.at(now, u32::MAX).status.name(),
        });
        let guide = version
            .guide
            .as_ref()
            .map(|guide| String::from_utf8_lossy(&guide_url(exchange, guide)).into_owned());
        let optional = [
            ("released", date(version.released)),
            ("deprecated", date(version.life.deprecated)),
            ("sunset", date(version.life.sunset)),
            ("guide", guide),
            ("successor", successor_of(api, version).map(str::to_owned)),
        ];
        for (key, value) in optional {
            if let Some(value) = value {
                entry[key] = value.into();
            }
        }
        for (key, texts) in
            [("features", &version.features), ("breaking_changes", &version.breaking_changes)]
        {
            if !texts.is_empty() {
                entry[key] = texts.clone().into();
            }
        }
        entry
    });
    let mut page = serde_json::json!({ "api": &*api.name, "versions": list.collect::<Vec<_>>() });
    if let Some(default) = versions.default.and_then(|at| versions.get(at)) {
        page["default"] = default.id.clone().into();
    }
    let header = |name: &str, value: &str| HeaderEdit {
        name: name.to_owned(),
        value: Template::fixed(value),
        place: Place::nowhere(),
    };
    // A status changes at a second nobody can be told in advance: what is cached would lie.
    let headers =
        vec![header("cache-control", "no-cache"), header("content-type", "application/json")];
    Respond { status: 200, body: RespondBody::Fixed(format!("{page}\n")), headers }
}
