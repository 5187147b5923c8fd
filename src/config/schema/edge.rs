//! Rows of what an API does at the edge: CORS, checks of requests, transforms.

use super::{Kind, Range, Row};
use crate::bounds;

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "apis.*.cors",
        Kind::Table,
        "Pages of other origins may read the answers. Preflights are answered by the gateway, \
         before authentication and without an OPTIONS route; answers carry the fields, errors \
         too; the upstream's own `access-control-*` fields are dropped. Without it CORS is left \
         to the upstream.",
    ),
    Row::new(
        "apis.*.cors.origins",
        Kind::texts("`https://host`, `https://*.host`, `https://*`, `*`"),
        "Origins that are allowed; a `*.` stands for any number of labels.",
    )
    .example(r#"["https://app.example.com", "https://*.example.org"]"#)
    .required(),
    Row::new(
        "apis.*.cors.methods",
        Kind::texts("method, `*`"),
        "Methods beside those browsers need no permission for (GET, HEAD, POST). `*`: all.",
    )
    .example(r#"["GET", "PUT", "DELETE"]"#),
    Row::new(
        "apis.*.cors.headers",
        Kind::texts("field name, `*`"),
        "Request fields scripts may set. `*`: all, `Authorization` too.",
    )
    .example(r#"["authorization", "content-type"]"#),
    Row::new(
        "apis.*.cors.expose",
        Kind::texts("field name, `*`"),
        "Response fields scripts may read, beside the safe ones.",
    )
    .example(r#"["x-request-id", "ratelimit"]"#),
    Row::new(
        "apis.*.cors.credentials",
        Kind::Flag(false),
        "Whether cookies and client certificates come along. Not with `*` as an origin: every \
         page of the Web could then read what a user is shown.",
    ),
    Row::new(
        "apis.*.cors.max_age",
        Kind::Duration {
            default: None,
            range: Range::of(1_000, bounds::DAY_MS).zero("not at all (-1 at AWS)"),
        },
        "How long a browser may keep the answer to a preflight. Without it: 5 seconds, by the \
         Fetch standard.",
    )
    .example(r#""10m""#),
    Row::new(
        "apis.*.routes.*.validate",
        Kind::Table,
        "What a request must bring, checked before the upstream is asked. All that is missing or \
         wrong is told at once (400, COMMON_016).",
    ),
    Row::new(
        "apis.*.routes.*.validate.headers",
        Kind::texts("field name"),
        "Fields that must be there and not blank.",
    )
    .example(r#"["x-tenant"]"#),
    Row::new(
        "apis.*.routes.*.validate.query",
        Kind::texts("name of a parameter"),
        "Parameters of the query that must be there and not blank. Case-sensitive.",
    )
    .example(r#"["page"]"#),
    Row::new(
        "apis.*.routes.*.validate.path_patterns",
        Kind::Pairs("parameter of the key = regular expression"),
        "What parameters of the path must match, decoded, as a whole.",
    )
    .example(r#"{ id = "[0-9]{1,10}" }"#),
    Row::new(
        "apis.*.routes.*.validate.query_patterns",
        Kind::Pairs("parameter = regular expression"),
        "What every value of a parameter must match, decoded, as a whole, if it is there.",
    )
    .example(r#"{ page = "[1-9][0-9]*" }"#),
    Row::new(
        "apis.*.routes.*.validate.header_patterns",
        Kind::Pairs("field name = regular expression"),
        "The same for fields.",
    )
    .example(r#"{ x-tenant = "[a-z]+" }"#),
    Row::new(
        "apis.*.routes.*.validate.content_types",
        Kind::texts("`type/subtype`, `type/*`"),
        "Content types a body may have (415, COMMON_017, otherwise); parameters such as `charset` \
         do not matter. A request without a body needs none.",
    )
    .example(r#"["application/json", "image/*"]"#),
    Row::new(
        "apis.*.routes.*.path",
        Kind::text("template"),
        "The path the upstream sees; the query stays (AWS: `overwrite:path`). Not with \
         `strip_prefix` or `rewrite`.",
    )
    .example(r#""/internal/pets/{id}""#),
    Row::new(
        "apis.*.routes.*.request_query",
        Kind::Table,
        "Edits of the query the upstream sees: remove, then set, then add. Names are \
         case-sensitive; names and values are encoded for you.",
    ),
    Row::new(
        "apis.*.routes.*.request_query.remove",
        Kind::texts("name of a parameter"),
        "Parameters taken out (AWS: `remove:querystring.NAME`).",
    )
    .example(r#"["debug"]"#),
    Row::new(
        "apis.*.routes.*.request_query.set",
        Kind::Pairs("parameter = template"),
        "Parameters replaced (AWS: `overwrite:querystring.NAME`).",
    )
    .example(r#"{ tenant = "{header:x-tenant}" }"#),
    Row::new(
        "apis.*.routes.*.request_query.add",
        Kind::Pairs("parameter = template, or a list"),
        "Parameters put behind those there are (AWS: `append:querystring.NAME`).",
    )
    .example(r#"{ via = "edge" }"#),
    Row::new(
        "apis.*.routes.*.status",
        Kind::Pairs("\"status\" = status"),
        "Statuses of the upstream and what clients get in their place (AWS: \
         `overwrite:statuscode`). The body passes unchanged.",
    )
    .example(r#"{ "418" = 404 }"#),
];
