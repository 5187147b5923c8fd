//! Reads what the gateway answers itself: `redirect` and `respond`.

use super::fields;
use crate::config::section::Section;
use crate::config::spot::Spot;
use crate::config::template::{self, Part, Scope, Template, Variable};
use crate::config::types::{HeaderEdit, Redirect, Respond, RespondBody};
use crate::http::escape::Escape;

pub(super) fn redirect(section: &Section<'_>, parameters: &[String]) -> Option<Redirect> {
    let status = section.count("status");
    if ![301, 302, 303, 307, 308].contains(&status) {
        let remedy = "write 301, 302, 303, 307 or 308";
        section.error_at("status", "not a status of a redirect", remedy);
    }
    let spot = section.text("to")?;
    let to = template::read(&spot, Scope { parameters, response: false })?;
    let text = spot.text();
    let absolute = ["http://", "https://", "{scheme}://"].iter().any(|s| text.starts_with(s));
    // `//host` is a URL of another host, though it looks like a path (RFC 3986 section 4.2).
    let path = (text.starts_with('/') && !text.starts_with("//")) || text.starts_with("{path}");
    if !absolute && !path {
        let remedy = "write \"https://{host}/new\" or \"/new\"";
        spot.error("neither an absolute URL nor a path", remedy);
        return None;
    }
    let keep_query = section.flag("keep_query");
    let asks =
        |part: &Part| matches!(part, Part::Variable(Variable::Query | Variable::QueryWithMark));
    if keep_query && to.parts.iter().any(asks) {
        let message = "the query would stand there twice: `to` holds it too";
        section.error_at("keep_query", message, "remove one of the two");
    }
    if keep_query && text.contains('#') {
        let message = "a query cannot stand behind the fragment of `to`";
        section.error_at("keep_query", message, "write `{query?}` before the `#`");
    }
    let good = good_target(&spot, &to) && keeps_host(&spot, &to);
    good.then_some(Redirect { to: to.in_target(), status, keep_query })
}

pub(super) fn respond(section: &Section<'_>, parameters: &[String]) -> Respond {
    let status = section.count("status");
    let (body, spot) = section.text_or_default("body");
    if !body.is_empty() && [204, 205, 304].contains(&status) {
        let message = format!("a {status} response has no body (RFC 9110 section 6.4.1)");
        section.error_at("body", &message, "remove it, or write another status");
    }
    let scope = Scope { parameters, response: true };
    let is_template = section.flag("template");
    let mut headers = fields::pairs(section, "headers", scope);
    if !body.is_empty() && !headers.iter().any(|edit| edit.name == "content-type") {
        let value = Template::fixed("text/plain; charset=utf-8");
        let name = "content-type".to_owned();
        headers.push(HeaderEdit { name, value, place: section.place.clone() });
        headers.sort_by(|a, b| a.name.cmp(&b.name));
    }
    let body = match spot.filter(|_| is_template) {
        Some(spot) => content(section, &spot, scope, &headers),
        None => RespondBody::Fixed(body),
    };
    Respond { status, body, headers }
}

/// A body with variables: how their values are written follows from its content type.
fn content(
    section: &Section<'_>,
    spot: &Spot<'_>,
    scope: Scope<'_>,
    headers: &[HeaderEdit],
) -> RespondBody {
    let mut types = headers.iter().filter(|edit| edit.name == "content-type");
    let place = match types.next().map(|edit| edit.value.parts.as_slice()) {
        Some([Part::Literal(value)]) => Escape::of_content_type(value),
        _ => {
            let message = "the content type of a body with variables cannot have any itself";
            section.error_at("headers", message, "write it out: it says how values are escaped");
            Escape::Nothing
        }
    };
    let template = template::read_body(spot, scope).unwrap_or_default();
    if place == Escape::Json {
        check_json(spot, &template);
    }
    RespondBody::Template { text: spot.text().to_owned(), template, place }
}

/// Whether the body is JSON whatever the values are: each stands between the quotes of a string,
/// which escaping keeps it from ending.
fn check_json(spot: &Spot<'_>, template: &Template) {
    let (mut sample, mut is_inside, mut is_escaped) = (String::new(), false, false);
    for part in &template.parts {
        match part {
            Part::Literal(text) => {
                for c in text.chars() {
                    match c {
                        _ if is_escaped => is_escaped = false,
                        '\\' => is_escaped = is_inside,
                        '"' => is_inside = !is_inside,
                        _ => {}
                    }
                }
                sample.push_str(text);
            }
            Part::Variable(Variable::Status) => sample.push_str("200"),
            // Not a digit: it must not complete an escape of the text before it.
            Part::Variable(_) if is_inside => sample.push('x'),
            Part::Variable(variable) => {
                let message = format!(
                    "`{{{variable}}}` stands outside a string: its value could add to the document"
                );
                spot.error(&message, &format!("write \"{{{variable}}}\", with the quotes"));
                return;
            }
        }
    }
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&sample) {
        let message = format!("not JSON once its variables are filled in: {error}");
        spot.error(&message, "correct it, or give it another content type");
    }
}

/// Where a redirect leads is the configuration's to say: a parameter of the query as a host would
/// make the gateway send people to whoever wrote the link.
fn keeps_host(spot: &Spot<'_>, to: &Template) -> bool {
    let mut before = String::new();
    for part in &to.parts {
        match part {
            Part::Literal(text) => before.push_str(text),
            Part::Variable(Variable::Scheme) => before.push_str("https"),
            Part::Variable(variable) => {
                let authority = before.split_once("://").map(|(_, rest)| rest);
                let is_open = authority.is_some_and(|rest| !rest.contains(['/', '?']));
                if is_open && matches!(variable, Variable::QueryParameter(_)) {
                    let message = format!("`{{{variable}}}` would choose the host");
                    spot.error(&message, "write the host out");
                    return false;
                }
                before.push('x');
            }
        }
    }
    true
}

/// Whether the fixed parts may stand in a target: no blank, no control, no fragment.
pub(super) fn good_target(spot: &Spot<'_>, template: &Template) -> bool {
    let literals = template.parts.iter().filter_map(|part| match part {
        Part::Literal(text) => Some(text),
        Part::Variable(_) => None,
    });
    let bad = literals.flat_map(|text| text.chars()).find(|c| !c.is_ascii_graphic());
    if let Some(bad) = bad {
        let message = format!("a target cannot hold `{}`", bad.escape_debug());
        spot.error(&message, "write it percent-encoded");
    }
    bad.is_none()
}
