//! THE table of the admin API: one row an operation. Requests are matched against it, and the
//! OpenAPI document is written from it, so that the two cannot disagree.

use super::problem::Problem;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Index,
    OpenApi,
    Apis,
    Api,
    Routes,
    Versions,
    Upstreams,
    Providers,
    Models,
    Plans,
    Limits,
    Authorizers,
    Keys,
    KeyCreate,
    Key,
    KeyChange,
    KeyDelete,
    KeyRotate,
    Reload,
    Reloads,
    Preview,
    Audit,
    Usage,
}

/// A parameter of the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query {
    /// How many entries a page has.
    Limit,
    /// Goes on behind this name.
    After,
    /// Goes back from this number.
    Before,
    /// Filters of keys.
    Owner,
    Plan,
    Tag,
    State,
    /// A filter of routes.
    Api,
    /// A filter of the audit trail.
    Object,
    /// What the usage is grouped by, its period, and conditions.
    By,
    Since,
    Until,
    Where,
}

/// A row.
pub struct Row {
    pub op: Op,
    pub method: &'static str,
    /// Below [`ROOT`]; `{name}` is one segment.
    pub path: &'static str,
    pub summary: &'static str,
    pub query: &'static [Query],
    /// The schema of the body, and whether there must be one.
    pub body: Option<(&'static str, bool)>,
    /// Status and schema of the answer; no schema, no body.
    pub answer: (u16, &'static str),
    /// Beside those that the method and the parameters bring.
    pub problems: &'static [Problem],
}

/// Where all paths begin.
pub const ROOT: &str = "/admin/v1";

const NONE: &[Query] = &[];
const PAGE: &[Query] = &[Query::Limit, Query::Before];
const KEYS: &[Query] =
    &[Query::Limit, Query::After, Query::Owner, Query::Plan, Query::Tag, Query::State];
const AUDIT: &[Query] = &[Query::Limit, Query::Before, Query::Object];
const USAGE: &[Query] = &[Query::By, Query::Since, Query::Until, Query::Where];
const STORE: &[Problem] = &[Problem::Unavailable];
const CREATE: &[Problem] = &[Problem::Exists, Problem::Unavailable];
const CHANGE: &[Problem] = &[Problem::Conflict, Problem::Changed, Problem::Unavailable];
const RELOAD: &[Problem] = &[Problem::Refused, Problem::Unavailable];

const fn get(
    op: Op,
    path: &'static str,
    schema: &'static str,
    query: &'static [Query],
    problems: &'static [Problem],
    summary: &'static str,
) -> Row {
    Row { op, method: "GET", path, summary, query, body: None, answer: (200, schema), problems }
}

pub const TABLE: &[Row] = &[
    get(Op::Index, "", "Index", NONE, &[], "What there is"),
    get(Op::OpenApi, "/openapi.json", "Document", NONE, &[], "This document"),
    get(Op::Apis, "/apis", "Objects", NONE, &[], "The APIs in force, with everything inherited"),
    get(Op::Api, "/apis/{name}", "Object", NONE, &[Problem::NotFound], "One API"),
    get(Op::Routes, "/routes", "Routes", &[Query::Api], &[], "The route table, by listener"),
    get(Op::Versions, "/versions", "Versions", NONE, &[], "The versions of all APIs"),
    get(
        Op::Upstreams,
        "/upstreams",
        "Upstreams",
        NONE,
        &[],
        "Upstreams and their endpoints' health",
    ),
    get(Op::Providers, "/providers", "Providers", NONE, &[], "Who serves language models"),
    get(Op::Models, "/models", "Models", NONE, &[], "Language models and how their targets fare"),
    get(Op::Plans, "/plans", "Objects", NONE, &[], "The usage plans in force"),
    get(Op::Limits, "/limits", "Objects", NONE, &[], "The limits in force"),
    get(Op::Authorizers, "/authorizers", "Objects", NONE, &[], "The authorizers in force"),
    get(Op::Keys, "/keys", "Keys", KEYS, &[], "API keys, by name"),
    Row {
        op: Op::KeyCreate,
        method: "POST",
        path: "/keys",
        summary: "Make a key; its secret is in the answer, and nowhere else ever again",
        query: NONE,
        body: Some(("NewKey", true)),
        answer: (201, "MadeKey"),
        problems: CREATE,
    },
    get(Op::Key, "/keys/{name}", "Key", NONE, &[Problem::NotFound], "One key"),
    Row {
        op: Op::KeyChange,
        method: "PATCH",
        path: "/keys/{name}",
        summary: "Change a key (RFC 7396: what is not named stays)",
        query: NONE,
        body: Some(("KeyPatch", true)),
        answer: (200, "Key"),
        problems: CHANGE,
    },
    Row {
        op: Op::KeyDelete,
        method: "DELETE",
        path: "/keys/{name}",
        summary: "Take a key out",
        query: NONE,
        body: None,
        answer: (204, ""),
        problems: CHANGE,
    },
    Row {
        op: Op::KeyRotate,
        method: "POST",
        path: "/keys/{name}/rotate",
        summary: "Give a key a new secret; the old ones hold on for a grace period",
        query: NONE,
        body: Some(("Rotation", false)),
        answer: (200, "MadeKey"),
        problems: CHANGE,
    },
    Row {
        op: Op::Reload,
        method: "POST",
        path: "/reload",
        summary: "Read the configuration anew, as SIGHUP does",
        query: NONE,
        body: None,
        answer: (200, "Reloaded"),
        problems: RELOAD,
    },
    get(Op::Reloads, "/reloads", "Reloads", PAGE, STORE, "Reloads, the newest first"),
    get(Op::Preview, "/config/diff", "Preview", NONE, RELOAD, "What a reload would change now"),
    get(Op::Usage, "/usage", "Usage", USAGE, STORE, "What requests to models came to, by group"),
    get(Op::Audit, "/audit", "Audit", AUDIT, STORE, "Changes, the newest first"),
];

/// How a path and a method meet the table.
pub enum Found<'p> {
    Row(&'static Row, Option<&'p str>),
    /// The path is there; these are its methods.
    OtherMethod(Vec<&'static str>),
    Nothing,
}

/// Looks a request up; HEAD is where GET is.
#[must_use]
pub fn find<'p>(method: &[u8], path: &'p str) -> Found<'p> {
    let Some(path) = path.strip_prefix(ROOT) else { return Found::Nothing };
    let asked = if method == b"HEAD" { b"GET" } else { method };
    let mut methods = Vec::new();
    for row in TABLE {
        let Some(name) = meets(row.path, path) else { continue };
        if row.method.as_bytes() == asked {
            return Found::Row(row, name);
        }
        if row.method == "GET" {
            methods.push("HEAD");
        }
        methods.push(row.method);
    }
    methods.sort_unstable();
    if methods.is_empty() { Found::Nothing } else { Found::OtherMethod(methods) }
}

/// Whether a path is of a pattern: `Some(None)` where the pattern has no name.
fn meets<'p>(pattern: &str, path: &'p str) -> Option<Option<&'p str>> {
    let Some((before, after)) = pattern.split_once("{name}") else {
        return (pattern == path).then_some(None);
    };
    let name = path.strip_prefix(before)?.strip_suffix(after)?;
    (!name.is_empty() && !name.contains('/')).then_some(Some(name))
}

// === impl Row ===

impl Row {
    /// Whether it changes something.
    #[must_use]
    pub fn writes(&self) -> bool {
        self.method != "GET"
    }
}

// === impl Query ===

impl Query {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Query::Limit => "limit",
            Query::After => "after",
            Query::Before => "before",
            Query::Owner => "owner",
            Query::Plan => "plan",
            Query::Tag => "tag",
            Query::State => "state",
            Query::Api => "api",
            Query::Object => "object",
            Query::By => "by",
            Query::Since => "since",
            Query::Until => "until",
            Query::Where => "where",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_meets_one_row_by_method() {
        let name = |method: &[u8], path: &str| match find(method, path) {
            Found::Row(row, name) => (Some(row.op), name.map(str::to_owned)),
            _ => (None, None),
        };
        assert_eq!(name(b"GET", "/admin/v1"), (Some(Op::Index), None));
        assert_eq!(name(b"HEAD", "/admin/v1/keys"), (Some(Op::Keys), None));
        assert_eq!(name(b"POST", "/admin/v1/keys"), (Some(Op::KeyCreate), None));
        assert_eq!(name(b"GET", "/admin/v1/keys/a"), (Some(Op::Key), Some("a".into())));
        let rotate = name(b"POST", "/admin/v1/keys/a/rotate");
        assert_eq!(rotate, (Some(Op::KeyRotate), Some("a".into())));
        for path in ["/admin/v1/", "/admin/v1/keys/", "/admin/v1/keys/a/b", "/admin/v12", "/"] {
            assert!(matches!(find(b"GET", path), Found::Nothing), "{path}");
        }
        let Found::OtherMethod(methods) = find(b"PUT", "/admin/v1/keys/a") else { panic!() };
        assert_eq!(methods, ["DELETE", "GET", "HEAD", "PATCH"]);
    }

    #[test]
    fn no_operation_stands_twice_and_no_two_rows_meet_the_same_request() {
        for (at, row) in TABLE.iter().enumerate() {
            for other in &TABLE[at + 1..] {
                assert!(row.op != other.op, "{:?}", row.op);
                assert!((row.method, row.path) != (other.method, other.path), "{}", row.path);
            }
        }
    }
}
