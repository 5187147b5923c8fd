//! Rows of `[limits.NAME]`.

use super::{Kind, Range, Row};
use crate::bounds;

pub(super) const PERIODS: &[&str] = &["minute", "hour", "day", "week", "month"];

pub(super) const ROWS: &[Row] = &[
    Row::new("limits", Kind::Named, "How much callers may. An API or a route names those it has."),
    Row::new(
        "limits.*",
        Kind::Table,
        "One limit: at least one of `rate`, `quota` and `concurrency`. What it has counted follows \
         its name over reloads.",
    ),
    Row::new(
        "limits.*.unit",
        Kind::choice("requests", &["requests", "tokens", "input_tokens", "output_tokens", "usd"]),
        "What is counted. All but `requests` count what a language model takes, and other \
         requests not at all: an estimate is reserved before, and corrected to what the provider \
         says after; what was too little counts against the time that follows. `tokens` are \
         input and output. Dollars are texts of up to 9 decimals.",
    )
    .example(r#""tokens""#),
    Row::new(
        "limits.*.by",
        Kind::texts(
            "`key`, `plan`, `tag:team`, `model`, `provider`, `ip`, `ip/24`, `header:x`, \
             `claim:sub`, `route`, `api`, `stage`, `version`",
        ),
        "What is counted apart; several together are one key. `ip` is an IPv4 address or the /64 \
         of an IPv6 address, `ip/24/56` the networks of those lengths, `tag:team` a tag of the API \
         key. Without it: all requests together.",
    )
    .example(r#"["key", "route"]"#),
    Row::new(
        "limits.*.rate",
        Kind::text("rate"),
        "How many in a time (`s`, `m`, `h`, `d`), evenly: a token bucket gets one token each \
         interval. Of `usd`: dollars, `5.00/h`.",
    )
    .example(r#""100/s""#),
    Row::new(
        "limits.*.burst",
        Kind::Amount(Range::of(1, bounds::BURST_MAX)),
        "How many at once after a pause: how many tokens the bucket holds. In any time t no more \
         than `burst + rate * t` pass. Without it: one second of the rate, at least 1; of other \
         units than `requests` as many as the rate names. Of `usd`: dollars, `\"2.50\"`.",
    )
    .example("200"),
    Row::new("limits.*.quota", Kind::Table, "So many in a period of the calendar."),
    Row::new(
        "limits.*.quota.limit",
        Kind::Amount(Range::of(1, bounds::QUOTA_MAX)),
        "How many; never one more. Of `usd`: dollars, `\"250.00\"`, at most 100,000.",
    )
    .example("100000")
    .required(),
    Row::new(
        "limits.*.quota.per",
        Kind::choice("day", PERIODS),
        "The period, in UTC. Weeks begin on Monday.",
    ),
    Row::new(
        "limits.*.quota.offset",
        Kind::duration(0, Range::of(0, 28 * bounds::DAY_MS)),
        "How long after midnight UTC (of Monday, of the 1st) the period begins; shorter than it.",
    ),
    Row::new(
        "limits.*.concurrency",
        Kind::Count { default: None, range: Range::of(1, bounds::BURST_MAX) },
        "Requests at once, in this process; upgraded connections as long as they last.",
    )
    .example("50"),
    Row::new(
        "limits.*.shadow",
        Kind::Flag(false),
        "Count what it would refuse (`shadow_refused` of `ringway_limit_verdicts_total`) and \
         refuse nothing: to try it out.",
    ),
    Row::new(
        "limits.*.missing",
        Kind::choice("refuse", &["skip", "refuse"]),
        "What becomes of a request that lacks something of `by`, such as the field: refused (400), \
         or not counted by this limit.",
    ),
    Row::new(
        "limits.*.headers",
        Kind::choice("standard", &["standard", "aws", "off"]),
        "`standard`: `RateLimit-Policy` and `RateLimit` on every answer, `Retry-After` on \
         refusals. `aws`: none of them, as AWS API Gateway. `off`: `Retry-After` only.",
    ),
];
