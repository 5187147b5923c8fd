//! Rows of `[providers.NAME]`, `[models.NAME]`, and `llm` of a route. How connections to a provider
//! are made is told by the rows of `[upstreams.NAME]`, with defaults that fit.

use std::sync::LazyLock;

use super::{Kind, Range, Row, upstream};
use crate::bounds;

/// Those of all three.
pub(super) fn sections() -> Vec<(&'static str, &'static [Row])> {
    static CONNECTION: LazyLock<Vec<Row>> = LazyLock::new(connection);
    vec![
        ("providers", PROVIDERS),
        ("providers: how connections are made", &CONNECTION),
        ("models", MODELS),
        ("routes to models", ROUTES),
    ]
}

/// What of an upstream is a provider's as well.
const SHARED: [&str; 8] =
    ["protocol", "timeouts", "pool", "concurrency", "retry", "health", "ejection", "tls"];

fn connection() -> Vec<Row> {
    let rows = upstream::ROWS.iter().filter_map(|row| {
        let rest = row.path.strip_prefix("upstreams.*.")?;
        let first = rest.split('.').next().unwrap_or(rest);
        let path = || &*format!("providers.*.{rest}").leak();
        SHARED.contains(&first).then(|| fitted(rest, Row { path: path(), ..*row }))
    });
    rows.collect()
}

/// The row with the default of a provider.
fn fitted(key: &str, row: Row) -> Row {
    let (default, text) = match key {
        "timeouts.first_byte" => (
            bounds::PROVIDER_FIRST_BYTE_MS,
            "From the request's last byte to the answer's first, of an answer that is not \
             streamed: by then all of it has been generated. As long as OpenAI's and Anthropic's \
             SDKs wait.",
        ),
        "timeouts.idle" => (
            bounds::EXCHANGE_IDLE_MS,
            "Between two moments of progress: a stream in which nothing comes for so long has \
             stalled.",
        ),
        "pool.idle_timeout" => (bounds::PROVIDER_POOL_IDLE_MS, row.text),
        "ejection.failures" => (
            0,
            "Failures in a row that eject an address. Off by default: the breaker of a model's \
             target does this.",
        ),
        "tls" => {
            let text = "How TLS is spoken; an `https` URL has it also without this table.";
            return Row { text, ..row };
        }
        _ => return row,
    };
    let kind = match row.kind {
        Kind::Duration { range, .. } => Kind::Duration { default: Some(default), range },
        Kind::Count { range, .. } => Kind::Count { default: Some(default), range },
        kind => kind,
    };
    Row { kind, text, ..row }
}

const PRICE: &str = "decimal number in quotes, at most 6 places";

const PROVIDERS: &[Row] = &[
    Row::new("providers", Kind::Named, "Who serves language models."),
    Row::new(
        "providers.*",
        Kind::Table,
        "One provider. An upstream `provider:NAME` is made of it: its pool, health and counters \
         are those of an upstream of that name.",
    ),
    Row::new(
        "providers.*.dialect",
        Kind::Choice { default: None, words: &["openai", "anthropic"] },
        "Whose wire format it speaks. A request in the other one is translated, both ways.",
    )
    .example(r#""openai""#)
    .required(),
    Row::new(
        "providers.*.base_url",
        Kind::text("URL"),
        "What stands before `/chat/completions`, `/messages` and the like. A name is resolved \
         again as its TTL passes.",
    )
    .example(r#""https://api.openai.com/v1""#)
    .required(),
    Row::new(
        "providers.*.credentials",
        Kind::Tables("tables"),
        "The provider's API keys, sent as its dialect has it (`Authorization: Bearer`, or \
         `x-api-key`). Several take turns; one that the provider refuses or limits rests for a \
         while. Without any: none is sent. Read when the configuration is, and again by each \
         reload. What a client sends as its own key never reaches a provider.",
    )
    .example(r#"[{ env = "OPENAI_API_KEY" }, { name = "second", file = "openai.key" }]"#),
    Row::new(
        "providers.*.credentials[].name",
        Kind::text("name"),
        "What it is called in logs and on the admin's pages. Without it: the name of the variable, \
         the file or the systemd credential.",
    )
    .example(r#""second""#),
    Row::new(
        "providers.*.credentials[].env",
        Kind::text("name of a variable"),
        "The environment variable that holds it.",
    )
    .example(r#""OPENAI_API_KEY""#),
    Row::new(
        "providers.*.credentials[].file",
        Kind::text("path"),
        "The file that holds it and nothing else, but for a line's end.",
    )
    .example(r#""/etc/ringway/openai.key""#),
    Row::new(
        "providers.*.credentials[].systemd",
        Kind::text("name of a credential"),
        "The credential systemd hands over (`LoadCredential=NAME:...`), in \
         `$CREDENTIALS_DIRECTORY`.",
    )
    .example(r#""openai""#),
    Row::new(
        "providers.*.headers",
        Kind::Pairs("name = text"),
        "Fields put on every request to it, in place of a client's own.",
    )
    .example(r#"{ openai-organization = "org-1" }"#),
    Row::new(
        "providers.*.limits",
        Kind::texts("name of a limit"),
        "Limits counted when a request is to go there; where one refuses, the next target's turn \
         has come.",
    )
    .example(r#"["openai-tpm"]"#),
    Row::new(
        "providers.*.stream_first_byte",
        Kind::duration(bounds::PROVIDER_STREAM_FIRST_BYTE_MS, Range::of(1, bounds::DAY_MS)),
        "From the request's last byte to the first of a streamed answer; `timeouts.first_byte` is \
         for the others.",
    ),
    Row::new(
        "providers.*.prices",
        Kind::Named,
        "What tokens cost, by the provider's name for the model, which may end in `*`: a whole \
         name goes before the longest beginning. Without a price: nothing.",
    ),
    Row::new(
        "providers.*.prices.*",
        Kind::Table,
        "Prices of one model, in USD per million tokens.",
    ),
    Row::new("providers.*.prices.*.input", Kind::text(PRICE), "Input.")
        .example(r#""0.15""#)
        .required(),
    Row::new("providers.*.prices.*.output", Kind::text(PRICE), "Output.")
        .example(r#""0.60""#)
        .required(),
    Row::new(
        "providers.*.prices.*.cached_input",
        Kind::text(PRICE),
        "Input that is read from the provider's cache. Without it: as `input`.",
    )
    .example(r#""0.075""#),
    Row::new(
        "providers.*.prices.*.cache_write",
        Kind::text(PRICE),
        "Input that is written to the provider's cache. Without it: as `input`.",
    )
    .example(r#""0.30""#),
    Row::new(
        "providers.*.prices.*.reasoning",
        Kind::text(PRICE),
        "Output nobody sees. Without it: as `output`.",
    )
    .example(r#""0.60""#),
    Row::new(
        "providers.*.prices.*.batch_input",
        Kind::text(PRICE),
        "Input of requests billed as batch (`service_tier` `batch` or `flex`). Without it: as \
         `input`.",
    )
    .example(r#""0.075""#),
    Row::new(
        "providers.*.prices.*.batch_output",
        Kind::text(PRICE),
        "Output of those. Without it: as `output`.",
    )
    .example(r#""0.30""#),
];

const MODELS: &[Row] = &[
    Row::new(
        "models",
        Kind::Named,
        "The names clients use. One that ends in `*` stands for all that begin so; a whole name \
         goes before the longest beginning.",
    ),
    Row::new(
        "models.*",
        Kind::Table,
        "One model. What is known of its targets follows its name over reloads.",
    ),
    Row::new("models.*.targets", Kind::Tables("tables"), "Who can serve it, at least one.")
        .example(
            r#"[{ provider = "openai" }, { provider = "azure", model = "mini", priority = 2 }]"#,
        )
        .required(),
    Row::new("models.*.targets[].provider", Kind::text("name of a provider"), "The provider.")
        .example(r#""openai""#)
        .required(),
    Row::new(
        "models.*.targets[].model",
        Kind::text("name, or `*`"),
        "The provider's name for it. Without it: the same name; `*` says so of a model that ends \
         in `*`.",
    )
    .example(r#""gpt-4o-mini-2024-07-18""#),
    Row::new(
        "models.*.targets[].weight",
        Kind::count(1, Range::of(1, bounds::WEIGHT_MAX).zero("no requests")),
        "Its share beside others of its priority.",
    ),
    Row::new(
        "models.*.targets[].priority",
        Kind::count(1, Range::of(0, 1000)),
        "Lower ones first; the next ones where all of those cannot, or rest.",
    ),
    Row::new(
        "models.*.targets[].context_max",
        Kind::Count { default: None, range: Range::of(1, bounds::MODEL_TOKENS_MAX) },
        "Tokens of input and output together it has room for; a longer request goes to another. \
         Without it: any.",
    )
    .example("128000"),
    Row::new(
        "models.*.targets[].features",
        Kind::texts("`tools`, `images`, `json`, `stream`, `reasoning`"),
        "What it can do; a request that asks for more goes to another. Without it: everything.",
    )
    .example(r#"["tools", "json", "stream"]"#),
    Row::new(
        "models.*.balance",
        Kind::choice("weighted", &["weighted", "least_latency"]),
        "How one of several targets of a priority is chosen: by weight, or the better of two drawn \
         at random: the moving average of its time to the first byte, times the requests that are \
         there. One that nobody has measured goes first.",
    ),
    Row::new(
        "models.*.output_max",
        Kind::Count { default: None, range: Range::of(1, bounds::MODEL_TOKENS_MAX) },
        "Tokens of output that limits reserve for a request that names no maximum. Without it: \
         learned from the answers that came.",
    )
    .example("16384"),
    Row::new(
        "models.*.limits",
        Kind::texts("name of a limit"),
        "Limits of all requests to the model, beside those of the route and the plan.",
    )
    .example(r#"["model-budget"]"#),
    Row::new(
        "models.*.failover",
        Kind::Table,
        "When a request is sent to another target. Never after a byte of an answer has gone to \
         the client.",
    ),
    Row::new(
        "models.*.failover.attempts",
        Kind::count(bounds::FAILOVER_ATTEMPTS, Range::of(1, bounds::RETRY_ATTEMPTS_MAX)),
        "How often it is sent at most, the first time included; 1 = to one target only.",
    ),
    Row::new(
        "models.*.failover.on",
        Kind::Texts {
            default: Some(&[
                "connect",
                "timeout",
                "rate_limit",
                "server_error",
                "overloaded",
                "auth",
            ]),
            form: "`connect`, `timeout`, `rate_limit`, `server_error`, `overloaded`, `auth`",
        },
        "`connect`: no connection, or it broke before the answer; `timeout`: no byte of it in \
         time; `rate_limit`: 429; `overloaded`: 503 or 529; `server_error`: other 5xx; `auth`: 401 \
         or 403, with another credential first.",
    ),
    Row::new(
        "models.*.failover.budget",
        Kind::Percent { default: bounds::RETRY_BUDGET_BASIS_POINTS, range: Range::of(0, 10_000) },
        "Second and further attempts as a share of requests, so that providers that fail do not \
         get a multiple of their load.",
    ),
    Row::new(
        "models.*.failover.budget_min",
        Kind::count(bounds::FAILOVER_BUDGET_MIN, Range::of(0, 1 << 20)),
        "Such attempts a second that are always allowed.",
    ),
    Row::new(
        "models.*.failover.retry_after_max",
        Kind::duration(
            bounds::FAILOVER_RETRY_AFTER_MS,
            Range::of(1, bounds::MINUTE_MS).zero("never"),
        ),
        "The longest `Retry-After` of a provider that is waited for where no other target is \
         left; beyond it the client is told.",
    ),
    Row::new(
        "models.*.breaker",
        Kind::Table,
        "A target that fails is left alone for a while: one breaker for each target.",
    ),
    Row::new(
        "models.*.breaker.failures",
        Kind::count(bounds::BREAKER_FAILURES, Range::of(1, 1000).zero("never")),
        "Failures in a row that open it. A `Retry-After` opens it at once, for as long.",
    ),
    Row::new(
        "models.*.breaker.ratio",
        Kind::Percent {
            default: bounds::BREAKER_RATIO_BASIS_POINTS,
            range: Range::of(0, 10_000).zero("never"),
        },
        "The share of failures among the requests of the last `window` that opens it, too.",
    ),
    Row::new(
        "models.*.breaker.requests_min",
        Kind::count(bounds::BREAKER_REQUESTS_MIN, Range::of(1, 100_000)),
        "Of fewer requests no share opens it.",
    ),
    Row::new(
        "models.*.breaker.window",
        Kind::duration(bounds::BREAKER_WINDOW_MS, Range::of(1_000, bounds::HOUR_MS)),
        "How long a request counts for `ratio`.",
    ),
    Row::new(
        "models.*.breaker.open",
        Kind::duration(bounds::BREAKER_OPEN_MS, Range::of(100, bounds::HOUR_MS)),
        "How long it is open the first time; twice that if it fails again, and so on.",
    ),
    Row::new(
        "models.*.breaker.open_max",
        Kind::duration(bounds::BREAKER_OPEN_MAX_MS, Range::of(100, bounds::DAY_MS)),
        "How long at most; at least `open`.",
    ),
    Row::new(
        "models.*.breaker.half_open",
        Kind::count(bounds::BREAKER_HALF_OPEN, Range::of(1, 100)),
        "After that, so many requests at once go there to see whether it works again; the first \
         that does closes it.",
    ),
];

const ROUTES: &[Row] = &[
    Row::new(
        "apis.*.routes.*.llm",
        Kind::Switch,
        "The route ends in language models. Which endpoint it is the end of the path says: \
         `/chat/completions`, `/completions`, `/embeddings`, `/responses`, `/models`, `/messages`, \
         `/messages/count_tokens`.",
    )
    .example("true"),
    Row::new(
        "apis.*.routes.*.llm.models",
        Kind::texts("name, or its beginning and `*`"),
        "The models clients may ask for here. Without it: all.",
    )
    .example(r#"["gpt-*"]"#),
    Row::new(
        "apis.*.routes.*.llm.log_content",
        Kind::Flag(false),
        "Whether prompts and completions are logged. They may hold anything.",
    ),
];

/// Under `keys.*.allow`.
pub(super) const ALLOW: Row = Row::new(
    "keys.*.allow.models",
    Kind::texts("name, or its beginning and `*`"),
    "Language models, by the names clients use.",
)
.example(r#"["gpt-4o*", "claude-*"]"#);
