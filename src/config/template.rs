//! Templates: text with `{variables}`, as header edits, rewrites and redirects write them. Parsed and
//! checked once here; the data path matches on [`Part`] and knows where each value comes from.

use std::fmt;

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

/// What a template may refer to. Values come from the network: whoever renders one into a header must
/// refuse or replace CR, LF and NUL (a decoded path parameter can hold any byte).
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
    /// `{header:name}`: the request's field of this (lower-case) name; values joined by `, `.
    Header(String),
    /// `{name}`: a path parameter of the route's key, as it stands in the path (still encoded).
    Parameter(String),
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
            Variable::Header(name) => write!(f, "header:{name}"),
            Variable::Parameter(name) => f.write_str(name),
        }
    }
}

// === impl Template ===

/// Writes the template as it would stand in a file.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Literal(text) => {
                    f.write_str(&text.replace('{', "{{").replace('}', "}}"))?;
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
