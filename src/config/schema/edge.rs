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
];
