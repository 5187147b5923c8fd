//! Rows of `[apis.NAME.stages.STAGE]` and of `[domains."HOST"]`.

use super::{Kind, Range, Row};
use crate::bounds;

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "apis.*.stages",
        Kind::Named,
        "Stages of the API, as AWS has them: a stage is reached at the base path and its name, \
         `\"$default\"` at the base path itself. Without this table there is one, `$default`. \
         Names are at most 128 letters, digits, `_` and `-`.",
    ),
    Row::new("apis.*.stages.*", Kind::Table, "One stage."),
    Row::new(
        "apis.*.stages.*.limits",
        Kind::texts("name of a limit"),
        "Limits that apply to all requests of the stage, beside those of the API.",
    )
    .example(r#"["per-ip"]"#),
    Row::new(
        "apis.*.stages.*.throttle",
        Kind::Table,
        "A limit of all requests of this stage together, its canary's among them, as AWS has it.",
    ),
    Row::new("apis.*.stages.*.throttle.rate", Kind::text("rate"), "Requests in a time.")
        .example(r#""1000/s""#)
        .required(),
    Row::new(
        "apis.*.stages.*.throttle.burst",
        Kind::Count { default: None, range: Range::of(1, bounds::BURST_MAX) },
        "As `limits.*.burst`.",
    )
    .example("2000"),
    Row::new(
        "apis.*.stages.*.variables",
        Kind::Pairs("name = text"),
        "Stage variables: `${stageVariables.NAME}` in names of upstreams, templates and bodies of \
         `respond` stands for the value, and for nothing where no value is set. Names are at most \
         64 letters, digits and `_`; values at most 512 of `A-Z a-z 0-9 - . _ ~ : / ? # & = ,`; at \
         most 100.",
    )
    .example(r#"{ upstream = "orders-dev" }"#),
    Row::new(
        "apis.*.stages.*.canary",
        Kind::Table,
        "A share of the requests is served with other variables, counted and logged apart.",
    ),
    Row::new(
        "apis.*.stages.*.canary.percent",
        Kind::Percent { default: 0, range: Range::of(0, 10_000) },
        "How many.",
    )
    .example(r#""10%""#),
    Row::new(
        "apis.*.stages.*.canary.variables",
        Kind::Pairs("name = text"),
        "What is set otherwise; comes before the version's and the stage's.",
    )
    .example(r#"{ upstream = "orders-next" }"#),
    Row::new(
        "apis.*.stages.*.canary.sticky",
        Kind::text("`key`, `ip` or `header:NAME`"),
        "By what a caller stays in or out, over workers and restarts; raising `percent` only moves \
         callers in. `key`: the API key's name, else the address. Without it, or without the \
         field: each request by chance.",
    )
    .example(r#""header:x-user""#),
];

pub(super) const DOMAINS: &[Row] = &[
    Row::new(
        "domains",
        Kind::Named,
        "Custom domains, by host as in `hosts` of an API: whose base paths lead to stages of APIs.",
    ),
    Row::new("domains.*", Kind::Table, "One domain."),
    Row::new(
        "domains.*.mappings",
        Kind::Tables("tables"),
        "The longest path that fits decides alone, as at AWS: what its API does not have is not \
         looked for elsewhere.",
    )
    .example(r#"[{ path = "/orders", api = "orders", stage = "prod" }]"#)
    .required(),
    Row::new(
        "domains.*.mappings[].path",
        Kind::Text { default: Some("/"), form: "path" },
        "In place of the API's base path; `/` takes what no other does.",
    )
    .example(r#""/orders""#),
    Row::new("domains.*.mappings[].api", Kind::text("name of an API"), "Where it leads.")
        .example(r#""orders""#)
        .required(),
    Row::new(
        "domains.*.mappings[].stage",
        Kind::text("name of a stage"),
        "The stage it leads to, without its name in the path. Without it: all of the API's stages, \
         as below its base path.",
    )
    .example(r#""prod""#),
];
