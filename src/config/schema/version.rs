//! Rows of `[apis.NAME.versioning]` and `[apis.NAME.versions.ID]`.

use super::{Kind, Row};

pub(super) const ROWS: &[Row] = &[
    Row::new("apis.*.versioning", Kind::Table, "How a request names the version it wants."),
    Row::new(
        "apis.*.versioning.select",
        Kind::Texts {
            default: Some(&["path"]),
            form: "`path`, `header`, `query`, `host`, `media_type`",
        },
        "Where versions are named; the first of these that names one decides. `path`: the segment \
         behind the base path and stage; `host`: the version's `hosts`; `media_type`: in `Accept`, \
         by the parameter `version` (or `v`), or by the last part of a vendor's name \
         (`application/vnd.acme.v2+json`). In fields, queries and media types `2` may stand for \
         `v2`. One that does not exist is a 404 API_VERSION_NOT_FOUND.",
    )
    .example(r#"["path", "header"]"#),
    Row::new(
        "apis.*.versioning.header",
        Kind::Text { default: Some("api-version"), form: "field name" },
        "The field that names a version.",
    ),
    Row::new(
        "apis.*.versioning.query",
        Kind::Text { default: Some("version"), form: "parameter" },
        "The query parameter that names a version; it is passed on.",
    ),
    Row::new(
        "apis.*.versioning.default",
        Kind::text("id of a version"),
        "The version of requests that name none. Without it they are told API_VERSION_NOT_FOUND.",
    )
    .example(r#""v2""#),
    Row::new(
        "apis.*.versions",
        Kind::Named,
        "Versions by id: `v1`, `2024-01-15`; letters, digits, `.`, `_` and `-`, at most 64. Their \
         list is served at `/.well-known/api-versions` below the base path, unless a route has \
         that very key.",
    ),
    Row::new("apis.*.versions.*", Kind::Table, "One version."),
    Row::new(
        "apis.*.versions.*.status",
        Kind::choice("active", &["beta", "active", "deprecated", "sunset"]),
        "Where it is in its life, at least: its dates move it on by themselves, without a reload.",
    ),
    Row::new("apis.*.versions.*.released", Kind::Date, "For the list of versions.")
        .example("2024-01-15"),
    Row::new(
        "apis.*.versions.*.deprecated",
        Kind::Date,
        "From then on answers have `Deprecation` (RFC 9745), `Sunset` (RFC 8594) and `Link` \
         fields. A date is its first second in UTC.",
    )
    .example("2026-01-01"),
    Row::new(
        "apis.*.versions.*.sunset",
        Kind::Date,
        "From then on requests are answered as `after_sunset` says.",
    )
    .example("2026-12-31T23:59:59Z"),
    Row::new(
        "apis.*.versions.*.after_sunset",
        Kind::choice("gone", &["gone", "redirect"]),
        "`gone`: 410 API_VERSION_SUNSET with the guide. `redirect`: 308 to the same path of the \
         successor, which must be named by path or host.",
    ),
    Row::new(
        "apis.*.versions.*.guide",
        Kind::text("URL or path"),
        "How to move on from it, for the `Link` fields: a URL, or a path below the API's base \
         path.",
    )
    .example(r#""/docs/v1-migration""#),
    Row::new(
        "apis.*.versions.*.guide_text",
        Kind::text("text"),
        "Served at that path, as Markdown, to GET without authentication, unless a route has that \
         very key.",
    )
    .example(r##""# From v1 to v2""##),
    Row::new(
        "apis.*.versions.*.guide_file",
        Kind::text("path of a file"),
        "The same from a file, read at each load; `.html` is served as HTML, `.txt` as plain text.",
    )
    .example(r#""guides/v1.md""#),
    Row::new("apis.*.versions.*.successor", Kind::text("id of a version"), "The version after it.")
        .example(r#""v2""#),
    Row::new("apis.*.versions.*.features", Kind::texts("text"), "For the list of versions.")
        .example(r#"["partial refunds"]"#),
    Row::new(
        "apis.*.versions.*.breaking_changes",
        Kind::texts("text"),
        "For the list of versions.",
    )
    .example(r#"["amounts are in cents"]"#),
    Row::new(
        "apis.*.versions.*.hosts",
        Kind::texts("host"),
        "Hosts that name it, where `select` has `host`.",
    )
    .example(r#"["v1.api.example.com"]"#),
    Row::new(
        "apis.*.versions.*.upstream",
        Kind::text("name of an upstream"),
        "Where its routes go that have no action of their own.",
    )
    .example(r#""orders-v1""#),
    Row::new(
        "apis.*.versions.*.limits",
        Kind::texts("name of a limit"),
        "Limits that apply to all requests for this version, beside those of the API and the \
         stage.",
    )
    .example(r#"["per-ip"]"#),
    Row::new(
        "apis.*.versions.*.variables",
        Kind::Pairs("name = text"),
        "Stage variables of this version, before the stage's.",
    )
    .example(r#"{ upstream = "orders-v1" }"#),
    Row::new(
        "apis.*.versions.*.brownouts",
        Kind::Tables("tables"),
        "Times before the sunset at which requests are refused (410 API_VERSION_BROWNOUT with \
         `Retry-After`), to be noticed by callers who read no fields.",
    )
    .example(r#"[{ daily = "14:00-14:15" }]"#),
    Row::new("apis.*.versions.*.brownouts[].from", Kind::Date, "Not before. Without it: always.")
        .example("2026-06-01"),
    Row::new(
        "apis.*.versions.*.brownouts[].until",
        Kind::Date,
        "Not from then on. Without it: to the end.",
    )
    .example("2026-12-31"),
    Row::new(
        "apis.*.versions.*.brownouts[].daily",
        Kind::text("`HH:MM-HH:MM`"),
        "At this time of every day, in UTC.",
    )
    .example(r#""14:00-14:15""#),
    Row::new(
        "apis.*.versions.*.brownouts[].weekly",
        Kind::text("`Mon HH:MM-HH:MM`"),
        "At this time of every week, in UTC.",
    )
    .example(r#""Mon 10:00-11:00""#),
    Row::new(
        "apis.*.versions.*.brownouts[].percent",
        Kind::Text { default: Some("100%"), form: "percentage or `X%..Y%`" },
        "How many of the requests are refused; `0%..50%` grows evenly between `from` and `until`.",
    ),
];
