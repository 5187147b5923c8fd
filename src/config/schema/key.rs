//! Rows of `[keys.NAME]`, `[plans.NAME]`, and `api_key` of an API.

use super::{Kind, Range, Row};
use crate::bounds;

pub(super) const KEYS: &[Row] = &[
    Row::new(
        "keys",
        Kind::Named,
        "API keys. A key is known by its name: plans, limits and logs follow it whatever becomes \
         of its values or of other keys.",
    ),
    Row::new("keys.*", Kind::Table, "One key. At least one of `hashes` and `values`."),
    Row::new(
        "keys.*.hashes",
        Kind::texts("`sha256:` and 64 hexadecimal digits"),
        "Digests of the secrets that are the key: `printf %s \"$SECRET\" | sha256sum`. Secrets are \
         long and random, so that a plain digest tells nothing.",
    )
    .example(r#"["sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]"#),
    Row::new(
        "keys.*.values",
        Kind::Tables("tables"),
        "The same, where more is said of a value, or the secret itself is read when the \
         configuration is. All values of `hashes` and `values` are the key: two of them while one \
         is rotated out.",
    )
    .example(r#"[{ env = "ACME_KEY" }, { file = "acme.key" }]"#),
    Row::new("keys.*.values[].hash", Kind::text("`sha256:HEX`"), "As in `hashes`.")
        .example(r#""sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08""#),
    Row::new(
        "keys.*.values[].env",
        Kind::text("name of a variable"),
        "The secret is in this environment variable: 20 to 512 visible ASCII characters.",
    )
    .example(r#""ACME_KEY""#),
    Row::new(
        "keys.*.values[].file",
        Kind::text("path"),
        "The secret is all that is in this file. A reload reads it anew.",
    )
    .example(r#""keys/acme""#),
    Row::new(
        "keys.*.values[].not_after",
        Kind::Date,
        "From then on this value is refused; the key's others are not.",
    )
    .example(r#""2027-01-31T00:00:00Z""#),
    Row::new("keys.*.enabled", Kind::Flag(true), "`false`: the key is refused, and kept."),
    Row::new("keys.*.expires", Kind::Date, "From then on the key is refused. Without it: never.")
        .example(r#""2027-12-31""#),
    Row::new(
        "keys.*.owner",
        Kind::Text { default: Some(""), form: "any text" },
        "Whose it is; for people.",
    )
    .example(r#""ops@acme.example""#),
    Row::new("keys.*.tags", Kind::Pairs("name = text"), "For people.")
        .example(r#"{ team = "billing" }"#),
    Row::new(
        "keys.*.plans",
        Kind::texts("name of a plan"),
        "The usage plans that meter it, at most one for each API stage. A key with plans is good \
         only where one of them is attached; one without is not metered.",
    )
    .example(r#"["gold"]"#),
    Row::new(
        "keys.*.allow",
        Kind::Table,
        "Where the key is good. A list that is not there rules nothing out; all that are there \
         must agree. Elsewhere it is refused with 403.",
    ),
    Row::new(
        "keys.*.allow.apis",
        Kind::texts("`API` or `API/STAGE`"),
        "APIs, or single stages of them.",
    )
    .example(r#"["orders", "pets/prod"]"#),
    Row::new("keys.*.allow.versions", Kind::texts("name of a version"), "Versions of the API.")
        .example(r#"["v2"]"#),
    Row::new(
        "keys.*.allow.routes",
        Kind::texts("`API KEY`"),
        "Routes: the API's name and the route key.",
    )
    .example(r#"["orders GET /pets/{id}"]"#),
    Row::new(
        "keys.*.allow.networks",
        Kind::texts("network or address"),
        "Where requests with this key may come from.",
    )
    .example(r#"["10.0.0.0/8"]"#),
    super::llm::ALLOW,
];

pub(super) const PLANS: &[Row] = &[
    Row::new("plans", Kind::Named, "Usage plans: what keys may use."),
    Row::new("plans.*", Kind::Table, "One plan."),
    Row::new(
        "plans.*.apis",
        Kind::texts("`API` or `API/STAGE`"),
        "Where it is attached. An API (or stage) named here asks for keys unless its `api_key` \
         says otherwise. Without it: wherever keys are asked for.",
    )
    .example(r#"["orders", "pets/prod"]"#),
    Row::new(
        "plans.*.limits",
        Kind::texts("name of a limit"),
        "`[limits.NAME]` that count each request of the plan's keys, beside its own rate and \
         quota: tokens and money, for example. What they count apart is theirs to say (`by`).",
    )
    .example(r#"["key-tokens"]"#),
    Row::new(
        "plans.*.rate",
        Kind::text("rate"),
        "Requests of each key in a time (`s`, `m`, `h`, `d`), over all APIs of the plan.",
    )
    .example(r#""100/s""#),
    Row::new(
        "plans.*.burst",
        Kind::Count { default: None, range: Range::of(1, bounds::BURST_MAX) },
        "Requests at once after a pause. Without it: one second of the rate, at least 1.",
    )
    .example("200"),
    Row::new(
        "plans.*.quota",
        Kind::Table,
        "Requests of each key in a period of the calendar, over all APIs of the plan.",
    ),
    Row::new(
        "plans.*.quota.limit",
        Kind::Count { default: None, range: Range::of(1, bounds::QUOTA_MAX) },
        "How many; never one more.",
    )
    .example("100000")
    .required(),
    Row::new(
        "plans.*.quota.per",
        Kind::choice("day", PERIODS),
        "The period, in UTC. Weeks begin on Monday.",
    ),
    Row::new(
        "plans.*.quota.offset",
        Kind::duration(0, Range::of(0, 28 * bounds::DAY_MS)),
        "How long after midnight UTC (of Monday, of the 1st) the period begins; shorter than it.",
    ),
    Row::new(
        "plans.*.concurrency",
        Kind::Count { default: None, range: Range::of(1, bounds::BURST_MAX) },
        "Requests of each key at once.",
    )
    .example("50"),
    Row::new(
        "plans.*.headers",
        Kind::choice("standard", &["standard", "aws", "off"]),
        "What answers tell of the plan, as `limits.NAME.headers`.",
    ),
    Row::new(
        "plans.*.routes",
        Kind::Named,
        "By API and route key, such as `orders GET /pets`: rates in place of the plan's, each \
         key's on that route alone. Its quota counts there too.",
    ),
    Row::new("plans.*.routes.*", Kind::Table, "One of them."),
    Row::new("plans.*.routes.*.rate", Kind::text("rate"), "As the plan's.")
        .example(r#""1/s""#)
        .required(),
    Row::new(
        "plans.*.routes.*.burst",
        Kind::Count { default: None, range: Range::of(1, bounds::BURST_MAX) },
        "As the plan's.",
    )
    .example("5"),
];

/// Under `apis.*`.
pub(super) const API_KEY: &[Row] = &[
    Row::new(
        "apis.*.api_key",
        Kind::Either(NEEDS),
        "Whether requests need an API key, or a table that says also where it is. Without it: \
         required if a plan names the API, else off. `optional`: a key that is shown must be good.",
    )
    .example(r#""required""#),
    Row::new(
        "apis.*.api_key.required",
        Kind::Choice { default: None, words: NEEDS },
        "As `api_key` alone.",
    )
    .example(r#""required""#),
    Row::new(
        "apis.*.api_key.source",
        Kind::Texts {
            default: Some(&["header:x-api-key", "bearer"]),
            form: "`header:NAME`, `bearer`, `query:NAME`",
        },
        "Where clients show their key, in the order in which it is looked for. `bearer` is \
         `Authorization: Bearer KEY`. What stands in a query string ends up in logs that are not \
         ours: prefer a header.",
    )
    .example(r#"["header:x-api-key", "query:api_key"]"#),
    Row::new(
        "apis.*.api_key.from_claim",
        Kind::text("name of a claim"),
        "The key is this claim of the token an authorizer has verified (AWS: AUTHORIZER and \
         `usageIdentifierKey`), and `source` is not looked at.",
    )
    .example(r#""api_key""#),
    Row::new(
        "apis.*.api_key.forward",
        Kind::Flag(false),
        "Whether the upstream gets the key as the client sent it.",
    ),
    Row::new(
        "apis.*.api_key.identity_headers",
        Kind::Flag(false),
        "Whether the upstream is told `x-ringway-key-name` and `x-ringway-plan`. Those a client \
         sends never reach it.",
    ),
    Row::new(
        "apis.*.routes.*.api_key",
        Kind::Choice { default: None, words: NEEDS },
        "In place of the API's `required`.",
    )
    .example(r#""off""#),
];

const PERIODS: &[&str] = super::limit::PERIODS;

const NEEDS: &[&str] = &["required", "optional", "off"];
