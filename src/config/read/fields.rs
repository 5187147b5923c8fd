//! Reads what becomes part of a head: field edits, paths, targets. A configuration must not be able
//! to break the framing of what the gateway sends, so everything is checked by the grammar here,
//! once.

use crate::config::section::Section;
use crate::config::spot::Spot;
use crate::config::template::{self, Part, Scope, Template, is_token};
use crate::config::tree::Value;
use crate::config::types::{HeaderEdit, HeaderEdits};
use crate::config::units::Bad;

/// Fields the gateway writes itself: framing, hop-by-hop (RFC 9110 section 7.6.1), and the
/// authority.
const OWN: [(&str, &str); 11] = [
    ("connection", "the gateway decides about connections"),
    ("content-length", "the gateway frames messages"),
    ("host", "set `host` of the upstream instead"),
    ("http2-settings", "the gateway decides about protocols"),
    ("keep-alive", "the gateway decides about connections"),
    ("proxy-connection", "the gateway decides about connections"),
    ("te", "the gateway frames messages"),
    ("trailer", "the gateway frames messages"),
    ("transfer-encoding", "the gateway frames messages"),
    ("upgrade", "the gateway decides about protocols"),
    ("via", "set `gateway.via` instead"),
];

/// The edits of `request_headers` or `response_headers`.
pub(super) fn edits(section: &Section<'_>, scope: Scope<'_>) -> HeaderEdits {
    let removed = section.texts("remove").unwrap_or_default();
    let remove = removed.iter().filter_map(|spot| spot.read(field_name)).collect();
    HeaderEdits { remove, set: pairs(section, "set", scope), add: pairs(section, "add", scope) }
}

/// A table `name = "template"` or `name = ["template", ...]`.
pub(super) fn pairs(section: &Section<'_>, key: &str, scope: Scope<'_>) -> Vec<HeaderEdit> {
    let mut edits: Vec<HeaderEdit> = Vec::new();
    for (name, place, spot) in section.pairs(key) {
        let checked = field_name(name).map_err(|bad| (bad.message, bad.remedy)).and_then(|name| {
            // Names differ by more than case, or one would silently win.
            match edits.iter().find(|edit| edit.name == name) {
                Some(twin) => Err((
                    format!("written twice; the first is at {}", twin.place),
                    "field names ignore case; for several values write a list".to_owned(),
                )),
                None => Ok(name),
            }
        });
        let name = match checked {
            Ok(name) => name,
            Err((message, remedy)) => {
                let mut diagnostic = section.diagnostic(&message, &remedy);
                diagnostic.place = place;
                diagnostic.key = spot.path.clone();
                section.report.error(diagnostic);
                continue;
            }
        };
        let several = matches!(spot.node.value, Value::List(_));
        if several && key == "set" {
            let remedy = "write one, or use `add`";
            spot.error("`set` replaces all fields of a name by one", remedy);
            continue;
        }
        for spot in spot.each() {
            if let Some(value) = value(&spot, scope) {
                edits.push(HeaderEdit { name: name.clone(), value, place: place.clone() });
            }
        }
    }
    edits.sort_by(|a, b| a.name.cmp(&b.name));
    edits
}

/// A field's value: a template whose fixed parts are of the grammar.
fn value(spot: &Spot<'_>, scope: Scope<'_>) -> Option<Template> {
    if !spot.is_text("a template, or a list of templates") {
        return None;
    }
    let template = template::read(spot, scope)?;
    let good = template.parts.iter().all(|part| match part {
        Part::Literal(text) => check_value(spot, text),
        Part::Variable(_) => true,
    });
    good.then_some(template)
}

/// RFC 9110 section 5.5: visible ASCII, blanks and tabs; anything else is a mistake or an attack.
pub(super) fn check_value(spot: &Spot<'_>, text: &str) -> bool {
    let good = |c: char| c == '\t' || c == ' ' || c.is_ascii_graphic();
    let bad = text.chars().find(|c| !good(*c));
    if let Some(bad) = bad {
        let message = format!("a field's value cannot hold `{}`", bad.escape_debug());
        spot.error(&message, "use printable ASCII only");
    }
    bad.is_none()
}

/// A field's name in lower case, if it is one an operator may touch.
pub(super) fn field_name(text: &str) -> Result<String, Bad> {
    if !is_token(text) {
        return Err(Bad::new("not a field name", "write one such as \"x-request-source\""));
    }
    let name = text.to_ascii_lowercase();
    match OWN.iter().find(|(own, _)| *own == name) {
        Some((_, why)) => Err(Bad::new(&format!("`{name}` cannot be edited"), why)),
        None => Ok(name),
    }
}

/// A path from the root, without a query, in normal form; `/` at the end only of `/` itself.
pub(super) fn path(text: &str) -> Result<String, Bad> {
    let bad = |message: &str| Bad::new(message, "write a path such as \"/v1\"");
    let path = target(text)?;
    if path.contains('?') {
        return Err(bad("a path has no query"));
    }
    if path.contains("//") || path.split('/').any(|part| part == "." || part == "..") {
        return Err(bad("not in normal form"));
    }
    if path.contains(['{', '}']) {
        return Err(bad("parameters are not known here"));
    }
    if path.len() > 1 && path.ends_with('/') {
        return Err(bad("ends with `/`"));
    }
    Ok(path)
}

/// A request target in origin form (RFC 9112 section 3.2.1).
pub(super) fn target(text: &str) -> Result<String, Bad> {
    if !text.starts_with('/') {
        return Err(Bad::new("does not begin with `/`", "write a path such as \"/v1\""));
    }
    match text.chars().find(|c| !c.is_ascii_graphic() || *c == '#') {
        Some(c) => {
            let message = format!("a path cannot hold `{}`", c.escape_debug());
            Err(Bad::new(&message, "write it percent-encoded"))
        }
        None => Ok(text.to_owned()),
    }
}
