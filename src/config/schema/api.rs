//! Rows of `[apis.NAME]` and its routes.

use super::{Kind, Range, Row};
use crate::bounds;

pub(super) const ROWS: &[Row] = &[
    Row::new("apis", Kind::Named, "What requests are for."),
    Row::new("apis.*", Kind::Table, "One API: hosts, a base path, and routes below it."),
    Row::new(
        "apis.*.hosts",
        Kind::Texts { default: Some(&["*"]), form: "host, `*.host`, `*`" },
        "Hosts it answers on; an exact host comes before `*.example.com`, the longest of those \
         first, and `*` last.",
    )
    .example(r#"["api.example.com", "*.example.com"]"#),
    Row::new(
        "apis.*.base_path",
        Kind::Text { default: Some("/"), form: "path" },
        "What all its paths begin with; route keys are below it.",
    )
    .example(r#""/v1""#),
    Row::new(
        "apis.*.listeners",
        Kind::texts("name of a listener"),
        "The listeners it is reached through. Without it: all.",
    )
    .example(r#"["web"]"#),
    Row::new(
        "apis.*.errors",
        Kind::choice("ringway", &["ringway", "problem", "anthropic", "aws"]),
        "The body of errors the gateway answers itself: its own (OpenAI's SDKs read it too), RFC \
         9457 problem details, Anthropic's, or AWS API Gateway's with its statuses and \
         `x-amzn-ErrorType`.",
    ),
    Row::new(
        "apis.*.unmatched",
        Kind::choice("404", &["404", "403"]),
        "What a request below the base path that meets no route is told: 404, or AWS REST's 403 \
         `Missing Authentication Token`.",
    ),
    Row::new(
        "apis.*.upstream",
        Kind::text("name of an upstream"),
        "Where routes go that have no action of their own. A version's `upstream` comes before it.",
    )
    .example(r#""orders""#),
    Row::new(
        "apis.*.body_max",
        Kind::size(bounds::REQUEST_BODY_BYTES, Range::of(1, 1 << 40).zero("no bound")),
        "The largest request body (413 beyond it); routes may say otherwise. Bodies are streamed, \
         so this bounds what the upstream gets, not the gateway's memory.",
    ),
    Row::new(
        "apis.*.upgrade",
        Kind::Texts { default: Some(&["websocket"]), form: "protocol" },
        "Protocols a connection may be upgraded to by a GET without a body: `Upgrade` goes on with \
         the first of the client's that stands here, and once the upstream has answered 101 bytes \
         pass both ways. An upgrade to anything else is a plain request. `[]`: none.",
    )
    .example(r#"["websocket", "my-protocol"]"#),
    Row::new(
        "apis.*.limits",
        Kind::texts("name of a limit"),
        "Limits that apply to all its requests, beside those of the route. All of them admit a \
         request, or it takes from none.",
    )
    .example(r#"["per-ip"]"#),
    Row::new(
        "apis.*.request_headers",
        Kind::Table,
        "Edits of the request's fields: remove, then set, then add.",
    ),
    Row::new("apis.*.request_headers.remove", Kind::texts("field name"), "Fields taken out.")
        .example(r#"["x-debug"]"#),
    Row::new("apis.*.request_headers.set", Kind::Fields, "Fields replaced. Values are templates.")
        .example(r#"{ x-client = "{client_ip}" }"#),
    Row::new(
        "apis.*.request_headers.add",
        Kind::Fields,
        "Fields put beside those there are. Values are templates, or lists of them.",
    )
    .example(r#"{ x-tag = ["a", "b"] }"#),
    Row::new("apis.*.response_headers", Kind::Table, "The same for the response's fields."),
    Row::new("apis.*.response_headers.remove", Kind::texts("field name"), "Fields taken out.")
        .example(r#"["x-powered-by"]"#),
    Row::new("apis.*.response_headers.set", Kind::Fields, "Fields replaced.")
        .example(r#"{ strict-transport-security = "max-age=31536000" }"#),
    Row::new("apis.*.response_headers.add", Kind::Fields, "Fields put beside those there are.")
        .example(r#"{ vary = "origin" }"#),
    Row::new(
        "apis.*.routes",
        Kind::Named,
        "By key: `GET /pets/{id}`, `ANY /files/{proxy+}`, `$default`.",
    ),
    Row::new(
        "apis.*.routes.*",
        Kind::Table,
        "One route. One of `upstream`, `split`, `redirect`, `respond`; none: the `upstream` of the \
         version, or of the API. A list of tables: one of them for each set of `versions`.",
    ),
    Row::new(
        "apis.*.routes.*.upstream",
        Kind::text("name of an upstream"),
        "All requests go there.",
    )
    .example(r#""pets""#),
    Row::new(
        "apis.*.routes.*.versions",
        Kind::texts("id or range"),
        "The versions it is in: ids, or ranges with both ends in them (`v1..v3`, `v2..`, `..v2`). \
         Without it: all. Several routes of one key have no version together.",
    )
    .example(r#"["v1..v3", "v5"]"#),
    Row::new(
        "apis.*.routes.*.split",
        Kind::Tables("tables"),
        "Requests are spread over several upstreams by weight.",
    )
    .example(r#"[{ upstream = "pets", weight = 90 }, { upstream = "pets-v2", weight = 10 }]"#),
    Row::new("apis.*.routes.*.split[].upstream", Kind::text("name of an upstream"), "One of them.")
        .example(r#""pets""#)
        .required(),
    Row::new(
        "apis.*.routes.*.split[].weight",
        Kind::count(1, Range::of(1, bounds::WEIGHT_MAX).zero("gets nothing")),
        "Its share beside the others.",
    )
    .example("90"),
    Row::new("apis.*.routes.*.redirect", Kind::Table, "The gateway answers with a redirect."),
    Row::new(
        "apis.*.routes.*.redirect.to",
        Kind::text("template"),
        "`Location`: an absolute URL or a path. Parameters of the query (`{query:NAME}`) may not \
         choose the host.",
    )
    .example(r#""https://{host}/new{query?}""#)
    .required(),
    Row::new(
        "apis.*.routes.*.redirect.status",
        Kind::count(308, Range::of(301, 308)),
        "301, 302, 303, 307 or 308. 308 by default: it keeps the method, unlike 301 and 302.",
    ),
    Row::new(
        "apis.*.routes.*.redirect.keep_query",
        Kind::Flag(false),
        "The request's query goes along, behind that of `to` if it has one.",
    ),
    Row::new("apis.*.routes.*.respond", Kind::Table, "The gateway answers with this."),
    Row::new(
        "apis.*.routes.*.respond.status",
        Kind::count(200, Range::of(200, 599)),
        "The status.",
    ),
    Row::new(
        "apis.*.routes.*.respond.body",
        Kind::Text { default: Some(""), form: "any text" },
        "The body, sent as it is but for stage variables unless `template` is set. \
         `content-type` is `text/plain; charset=utf-8` if `headers` says nothing.",
    )
    .example(r#""ok""#),
    Row::new(
        "apis.*.routes.*.respond.template",
        Kind::Flag(false),
        "`body` is a template: `{id}`, `{query:page}`, `{header:x-a}`, `{time}` and the other \
         variables stand for values, parameters decoded. A brace without a name behind it is \
         itself, `{{` one before a name. Values are escaped as the content type asks: in JSON \
         each stands between quotes and cannot leave its string; in HTML and XML it is text.",
    ),
    Row::new(
        "apis.*.routes.*.respond.headers",
        Kind::Fields,
        "Fields of the answer. Values are templates.",
    )
    .example(r#"{ content-type = "application/json" }"#),
    Row::new(
        "apis.*.routes.*.strip_prefix",
        Kind::text("path"),
        "Taken off the front of the whole path (base path included) before it goes to the \
         upstream.",
    )
    .example(r#""/v1""#),
    Row::new(
        "apis.*.routes.*.rewrite",
        Kind::text("template"),
        "The whole target the upstream gets, path and query; not together with `strip_prefix`.",
    )
    .example(r#""/internal{path}{query?}""#),
    Row::new(
        "apis.*.routes.*.request_headers",
        Kind::Table,
        "As the API's, and applied after them.",
    ),
    Row::new(
        "apis.*.routes.*.request_headers.remove",
        Kind::texts("field name"),
        "Fields taken out.",
    )
    .example(r#"["x-debug"]"#),
    Row::new(
        "apis.*.routes.*.request_headers.set",
        Kind::Fields,
        "Fields replaced; path parameters are variables too.",
    )
    .example(r#"{ x-route = "{route}" }"#),
    Row::new(
        "apis.*.routes.*.request_headers.add",
        Kind::Fields,
        "Fields put beside those there are.",
    )
    .example(r#"{ x-tag = "a" }"#),
    Row::new(
        "apis.*.routes.*.response_headers",
        Kind::Table,
        "As the API's, and applied after them.",
    ),
    Row::new(
        "apis.*.routes.*.response_headers.remove",
        Kind::texts("field name"),
        "Fields taken out.",
    )
    .example(r#"["server-timing"]"#),
    Row::new("apis.*.routes.*.response_headers.set", Kind::Fields, "Fields replaced.")
        .example(r#"{ cache-control = "no-store" }"#),
    Row::new(
        "apis.*.routes.*.response_headers.add",
        Kind::Fields,
        "Fields put beside those there are.",
    )
    .example(r#"{ x-upstream = "{upstream}" }"#),
    Row::new(
        "apis.*.routes.*.body_max",
        Kind::Size { default: None, range: Range::of(1, 1 << 40).zero("no bound") },
        "Without it: the API's.",
    )
    .example(r#""100MiB""#),
    Row::new("apis.*.routes.*.upgrade", Kind::texts("protocol"), "Without it: the API's.")
        .example(r#"["websocket"]"#),
    Row::new(
        "apis.*.routes.*.timeouts",
        Kind::Table,
        "In place of the upstream's. Without a key: the upstream's.",
    ),
    Row::new(
        "apis.*.routes.*.timeouts.first_byte",
        Kind::Duration { default: None, range: Range::of(1, bounds::DAY_MS) },
        "From the request's last byte to the answer's first.",
    )
    .example(r#""2m""#),
    Row::new(
        "apis.*.routes.*.timeouts.idle",
        Kind::Duration { default: None, range: Range::of(1, bounds::DAY_MS) },
        "Between two moments of progress.",
    )
    .example(r#""5m""#),
    Row::new(
        "apis.*.routes.*.timeouts.total",
        Kind::Duration { default: None, range: Range::of(1, bounds::DAY_MS).zero("no bound") },
        "For the whole exchange.",
    )
    .example(r#""10m""#),
    Row::new(
        "apis.*.routes.*.timeouts.tunnel_idle",
        Kind::Duration { default: None, range: Range::of(1, 30 * bounds::DAY_MS) },
        "Of a tunnel, without a byte either way.",
    )
    .example(r#""5m""#),
    Row::new(
        "apis.*.routes.*.timeouts.tunnel_lifetime",
        Kind::Duration {
            default: None,
            range: Range::of(1, 365 * bounds::DAY_MS).zero("no bound"),
        },
        "Of a tunnel, from its 101 on.",
    )
    .example(r#""24h""#),
    Row::new(
        "apis.*.routes.*.limits",
        Kind::texts("name of a limit"),
        "Limits that apply beside the API's.",
    )
    .example(r#"["per-key"]"#),
    Row::new(
        "apis.*.routes.*.throttle",
        Kind::Table,
        "A limit of all requests of this route together, as AWS has it.",
    ),
    Row::new("apis.*.routes.*.throttle.rate", Kind::text("rate"), "Requests in a time.")
        .example(r#""100/s""#)
        .required(),
    Row::new(
        "apis.*.routes.*.throttle.burst",
        Kind::Count { default: None, range: Range::of(1, bounds::BURST_MAX) },
        "As `limits.*.burst`.",
    )
    .example("200"),
    Row::new("apis.*.routes.*.retry", Kind::Flag(true), "Whether the upstream's `retry` applies."),
];
