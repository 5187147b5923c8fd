//! Templates: text with `{variables}`, as header edits, rewrites and redirects write them. Parsed
//! and checked once here; the data path matches on [`Part`] and knows where each value comes from.

use std::fmt;

use super::spot::Spot;
use super::suggest::nearest;
use super::types::{OPENS, is_variable_name};
use super::units::Bad;
use crate::bounds::{CONFIG_TEMPLATE_BYTES_MAX, MOCK_BODY_BYTES_MAX};

/// A parsed template. Two literals never stand side by side, and no literal is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    pub parts: Vec<Part>,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Literal(String),
    Variable(Variable),
}

/// What a template may refer to. Values come from the network: whoever renders one into a header
/// must refuse or replace CR, LF and NUL (a decoded path parameter can hold any byte).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    /// `{client_ip}`: the client's address, after PROXY protocol and trusted proxies.
    ClientIp,
    /// `{host}`: the request's authority without the port, lower case.
    Host,
    /// `{method}`
    Method,
    /// `{path}`: the path as routed, after the listener's path policy; begins with `/`.
    Path,
    /// `{query}`: without the `?`; empty if there is none.
    Query,
    /// `{query?}`: `?` and the query, or nothing if the request has none.
    QueryWithMark,
    /// `{scheme}`: `http` or `https`, as the client sees it.
    Scheme,
    /// `{request_id}`
    RequestId,
    /// `{route}`: the route's key.
    Route,
    /// `{api}`: the API's name.
    Api,
    /// `{upstream}`: the chosen upstream's name; empty if the route has none.
    Upstream,
    /// `{listener}`: the listener's name.
    Listener,
    /// `{status}`: the status the client gets. Responses only.
    Status,
    /// `{stage}`: the stage's name.
    Stage,
    /// `{version}`: the version's id; empty if the API has none.
    Version,
    /// `${stageVariables.name}`: filled in when the configuration is compiled.
    StageVariable(String),
    /// `{time}`: now, as `2026-11-22T04:38:49Z`.
    Time,
    /// `{query:name}`: the first value of this parameter of the query, as it stands there (still
    /// encoded); empty if there is none.
    QueryParameter(String),
    /// `{header:name}`: the request's field of this (lower-case) name; values joined by `, `.
    Header(String),
    /// `{claim:name}`: what has been proven of the caller; empty if nothing of that name has.
    Claim(String),
    /// The same in a target: percent-encoded, so that it stays within its segment.
    ClaimEncoded(String),
    /// `{name}`: a path parameter of the route's key, as it stands in the path (still encoded).
    Parameter(String),
}

/// What the templates of one key may refer to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a> {
    /// The path parameters of the route's key.
    pub parameters: &'a [String],
    /// Whether there is a response to speak of.
    pub response: bool,
}

/// A mistake, and before which character of the text it is.
#[derive(Debug, PartialEq)]
pub(super) struct BadAt {
    pub character: usize,
    pub bad: Bad,
}

/// The variables without an argument.
const PLAIN: [(&str, Variable); 16] = [
    ("api", Variable::Api),
    ("client_ip", Variable::ClientIp),
    ("host", Variable::Host),
    ("listener", Variable::Listener),
    ("method", Variable::Method),
    ("path", Variable::Path),
    ("query", Variable::Query),
    ("query?", Variable::QueryWithMark),
    ("request_id", Variable::RequestId),
    ("route", Variable::Route),
    ("scheme", Variable::Scheme),
    ("stage", Variable::Stage),
    ("status", Variable::Status),
    ("time", Variable::Time),
    ("upstream", Variable::Upstream),
    ("version", Variable::Version),
];

// === impl Scope ===

impl Scope<'_> {
    fn variable(&self, name: &str) -> Result<Variable, Bad> {
        let plain = PLAIN.iter().find(|(known, _)| *known == name).map(|(_, v)| v.clone());
        let is_parameter = self.parameters.iter().any(|parameter| parameter == name);
        if is_parameter && plain.is_some() {
            let message = format!("`{{{name}}}` is a variable and a parameter of the route's key");
            return Err(Bad::new(&message, "give the parameter another name"));
        }
        if is_parameter {
            return Ok(Variable::Parameter(name.to_owned()));
        }
        if let Some(header) = name.strip_prefix("header:") {
            if !is_token(header) {
                let message = format!("`{header}` is not a field name");
                return Err(Bad::new(&message, "write `{header:x-name}`"));
            }
            return Ok(Variable::Header(header.to_ascii_lowercase()));
        }
        if let Some(claim) = name.strip_prefix("claim:") {
            if claim.is_empty() || claim.chars().any(char::is_control) {
                return Err(Bad::new("no claim is named", "write `{claim:sub}`"));
            }
            return Ok(Variable::Claim(claim.to_owned()));
        }
        if let Some(parameter) = name.strip_prefix("query:") {
            if parameter.is_empty() || !parameter.bytes().all(|b| b.is_ascii_graphic()) {
                let message = format!("`{}` is not a name", parameter.escape_debug());
                return Err(Bad::new(&message, "write `{query:page}`"));
            }
            return Ok(Variable::QueryParameter(parameter.to_owned()));
        }
        match plain {
            Some(Variable::Status) if !self.response => Err(Bad::new(
                "`{status}` is not known before the response",
                "use it in response_headers",
            )),
            Some(variable) => Ok(variable),
            None => Err(self.unknown(name)),
        }
    }

    fn unknown(&self, name: &str) -> Bad {
        let plain = PLAIN.iter().map(|(known, _)| *known);
        let plain = plain.filter(|known| self.response || *known != "status");
        let all: Vec<&str> = plain.chain(self.parameters.iter().map(String::as_str)).collect();
        let shown: String = name.chars().take(40).collect();
        let message = format!("unknown variable `{{{}}}`", shown.escape_debug());
        let list = format!("known here: {}, claim:NAME, header:NAME, query:NAME", all.join(", "));
        match nearest(name, all.iter().copied()) {
            Some(meant) => Bad::new(&message, &format!("did you mean `{{{meant}}}`? ({list})")),
            None => Bad::new(&message, &list),
        }
    }
}

// === impl Variable ===

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Variable::ClientIp => f.write_str("client_ip"),
            Variable::Host => f.write_str("host"),
            Variable::Method => f.write_str("method"),
            Variable::Path => f.write_str("path"),
            Variable::Query => f.write_str("query"),
            Variable::QueryWithMark => f.write_str("query?"),
            Variable::Scheme => f.write_str("scheme"),
            Variable::RequestId => f.write_str("request_id"),
            Variable::Route => f.write_str("route"),
            Variable::Api => f.write_str("api"),
            Variable::Upstream => f.write_str("upstream"),
            Variable::Listener => f.write_str("listener"),
            Variable::Status => f.write_str("status"),
            Variable::Stage => f.write_str("stage"),
            Variable::Version => f.write_str("version"),
            Variable::StageVariable(name) => write!(f, "stageVariables.{name}"),
            Variable::Time => f.write_str("time"),
            Variable::QueryParameter(name) => write!(f, "query:{name}"),
            Variable::Header(name) => write!(f, "header:{name}"),
            Variable::Claim(name) | Variable::ClaimEncoded(name) => write!(f, "claim:{name}"),
            Variable::Parameter(name) => f.write_str(name),
        }
    }
}

// === impl Template ===

impl Template {
    /// Parses a text; `{{` and `}}` stand for the braces themselves.
    pub(super) fn parse(text: &str, scope: Scope<'_>) -> Result<Template, BadAt> {
        if text.len() > CONFIG_TEMPLATE_BYTES_MAX {
            let message = format!("longer than {CONFIG_TEMPLATE_BYTES_MAX} bytes");
            return Err(BadAt { character: 0, bad: Bad::new(&message, "shorten it") });
        }
        Template::parse_as(text, scope, |_| true)
    }

    /// Parses the body of an answer, in which most braces are those of JSON: only one with a name
    /// behind it begins a variable; `{{` stands for a brace before a name.
    pub(super) fn parse_body(text: &str, scope: Scope<'_>) -> Result<Template, BadAt> {
        if text.len() > MOCK_BODY_BYTES_MAX {
            let message = format!("longer than {MOCK_BODY_BYTES_MAX} bytes");
            return Err(BadAt { character: 0, bad: Bad::new(&message, "shorten it") });
        }
        let begins_name = |behind: &str| {
            behind.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '{')
        };
        Template::parse_as(text, scope, |rest| rest.strip_prefix('{').is_some_and(begins_name))
    }

    /// Parses a text in which braces that do not pass `counts` stand for themselves.
    fn parse_as(
        text: &str,
        scope: Scope<'_>,
        counts: impl Fn(&str) -> bool,
    ) -> Result<Template, BadAt> {
        let at = |offset: usize, bad| {
            let before = text.get(..offset).unwrap_or_default();
            BadAt { character: before.chars().count(), bad }
        };
        let mut template = Template::default();
        let mut offset = 0;
        while let Some(rest) = text.get(offset..).filter(|rest| !rest.is_empty()) {
            if rest.starts_with(['{', '}']) && !counts(rest) {
                template.literal(&rest[..1]);
                offset += 1;
            } else if let Some(brace) =
                ["{{", "}}"].into_iter().find(|brace| rest.starts_with(brace))
            {
                template.literal(&brace[..1]);
                offset += 2;
            } else if let Some(rest) = rest.strip_prefix(OPENS) {
                let name = rest.split_once('}').map(|(name, _)| name);
                let Some(name) = name.filter(|name| is_variable_name(name)) else {
                    let message = "not the name of a stage variable: letters, digits, `_`";
                    let bad = Bad::new(message, "write one such as `${stageVariables.name}`");
                    return Err(at(offset, bad));
                };
                template.parts.push(Part::Variable(Variable::StageVariable(name.to_owned())));
                offset += OPENS.len() + name.len() + 1;
            } else if let Some(rest) = rest.strip_prefix('{') {
                let Some((name, _)) = rest.split_once('}') else {
                    let bad =
                        Bad::new("a `{` without its `}`", "close it, or write `{{` for a brace");
                    return Err(at(offset, bad));
                };
                let variable = scope.variable(name).map_err(|bad| at(offset, bad))?;
                template.parts.push(Part::Variable(variable));
                offset += name.len() + 2;
            } else if rest.starts_with('}') {
                let bad = Bad::new("a `}` without its `{`", "write `}}` for a brace");
                return Err(at(offset, bad));
            } else {
                // The first character is none of these: a `$` that opens nothing is a literal.
                let mut next = rest.char_indices().skip(1);
                let end = next.find(|(_, c)| matches!(c, '{' | '}' | '$'));
                let end = end.map_or(rest.len(), |(at, _)| at);
                template.literal(&rest[..end]);
                offset += end;
            }
        }
        Ok(template)
    }

    /// A template of this text alone.
    #[must_use]
    pub fn fixed(text: &str) -> Template {
        let mut template = Template::default();
        template.literal(text);
        template
    }

    /// The template with some of its variables replaced by their values.
    #[must_use]
    pub fn filled(&self, value: impl Fn(&Variable) -> Option<String>) -> Template {
        let mut filled = Template::default();
        for part in &self.parts {
            match part {
                Part::Literal(text) => filled.literal(text),
                Part::Variable(variable) => match value(variable) {
                    Some(text) => filled.literal(&text),
                    None => filled.parts.push(part.clone()),
                },
            }
        }
        filled
    }

    /// The same where the text becomes part of a path or a URL.
    #[must_use]
    pub(super) fn in_target(mut self) -> Template {
        for part in &mut self.parts {
            if let Part::Variable(Variable::Claim(name)) = part {
                *part = Part::Variable(Variable::ClaimEncoded(std::mem::take(name)));
            }
        }
        self
    }

    fn literal(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        if let Some(Part::Literal(last)) = self.parts.last_mut() {
            last.push_str(text);
        } else {
            self.parts.push(Part::Literal(text.to_owned()));
        }
    }
}

/// A template in a file; a mistake is reported at its character.
pub(super) fn read(spot: &Spot<'_>, scope: Scope<'_>) -> Option<Template> {
    told(spot, Template::parse(spot.text(), scope))
}

/// The same of an answer's body.
pub(super) fn read_body(spot: &Spot<'_>, scope: Scope<'_>) -> Option<Template> {
    told(spot, Template::parse_body(spot.text(), scope))
}

fn told(spot: &Spot<'_>, parsed: Result<Template, BadAt>) -> Option<Template> {
    match parsed {
        Ok(template) => Some(template),
        Err(BadAt { character, bad }) => {
            spot.error_inside(Some(character), &bad.message, &bad.remedy);
            None
        }
    }
}

/// A token of RFC 9110 section 5.6.2: what field names and methods are made of.
pub(super) fn is_token(text: &str) -> bool {
    let tchar = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(tchar)
}

/// Writes the template as it would stand in a file.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Literal(text) => {
                    f.write_str(&text.replace('{', "{{").replace('}', "}}"))?;
                }
                Part::Variable(variable @ Variable::StageVariable(_)) => {
                    write!(f, "${{{variable}}}")?;
                }
                Part::Variable(variable) => write!(f, "{{{variable}}}")?,
            }
        }
        Ok(())
    }
}

impl serde::Serialize for Template {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: Scope<'_> = Scope { parameters: &[], response: false };

    fn literal(text: &str) -> Part {
        Part::Literal(text.to_owned())
    }

    #[test]
    fn a_template_is_literals_and_variables() {
        let parameters = ["id".to_owned()];
        let scope = Scope { parameters: &parameters, response: true };
        let text = "/a{{b}}/{id}{query?}-{header:X-Y}{status}";
        let template = Template::parse(text, scope).expect("is well-formed");
        assert_eq!(
            template.parts,
            [
                literal("/a{b}/"),
                Part::Variable(Variable::Parameter("id".to_owned())),
                Part::Variable(Variable::QueryWithMark),
                literal("-"),
                Part::Variable(Variable::Header("x-y".to_owned())),
                Part::Variable(Variable::Status),
            ]
        );
        assert_eq!(template.to_string(), text.to_lowercase());
    }

    #[test]
    fn every_variable_is_written_as_it_is_read() {
        for (name, variable) in PLAIN {
            assert_eq!(variable.to_string(), name);
        }
        assert!(PLAIN.is_sorted_by_key(|(name, _)| *name), "the list shown is in order");
    }

    #[test]
    fn in_a_body_braces_are_those_of_json() {
        let parameters = ["id".to_owned()];
        let scope = Scope { parameters: &parameters, response: true };
        let text = r#"{"a":{"id":"{id}","q":"{query:x-y}","n":{}}, "t": "{{id}"}"#;
        let template = Template::parse_body(text, scope).expect("is well-formed");
        assert_eq!(
            template.parts,
            [
                literal(r#"{"a":{"id":""#),
                Part::Variable(Variable::Parameter("id".to_owned())),
                literal(r#"","q":""#),
                Part::Variable(Variable::QueryParameter("x-y".to_owned())),
                literal(r#"","n":{}}, "t": "{id}"}"#),
            ]
        );
        let wrong = Template::parse_body(r#"{"a":"{idd}"}"#, scope).expect_err("no such one");
        assert_eq!(wrong.character, 6);
        assert!(Template::parse_body("{id", scope).is_err());
    }

    #[test]
    fn empty_text_has_no_parts() {
        assert_eq!(Template::parse("", REQUEST), Ok(Template::default()));
    }

    #[test]
    fn mistakes_are_told_at_their_character() {
        for (text, character, part) in [
            ("ä{pat}", 1, "did you mean `{path}`?"),
            ("a{b", 1, "without its `}`"),
            ("a}b", 1, "without its `{`"),
            ("{}", 0, "unknown variable"),
            ("{status}", 0, "before the response"),
            ("xx{header:a b}", 2, "not a field name"),
            ("{{{nope}", 2, "unknown variable"),
        ] {
            let wrong = Template::parse(text, REQUEST).expect_err(text);
            assert_eq!(wrong.character, character, "{text}");
            let told = format!("{}; {}", wrong.bad.message, wrong.bad.remedy);
            assert!(told.contains(part), "{text}: {told}");
        }
    }

    #[test]
    fn a_parameter_named_like_a_variable_is_refused() {
        let parameters = ["host".to_owned()];
        let scope = Scope { parameters: &parameters, response: false };
        assert!(Template::parse("{host}", scope).is_err());
        assert!(Template::parse("{path}", scope).is_ok());
    }
}
