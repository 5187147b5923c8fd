//! Rows of `[limits.NAME]`.

use super::{Kind, Range, Row};
use crate::bounds;

pub(super) const ROWS: &[Row] = &[
    Row::new("limits", Kind::Named, "How much callers may. An API or a route names those it has."),
    Row::new(
        "limits.*",
        Kind::Table,
        "One limit: at least one of `rate`, `quota` and `concurrency`. What it has counted follows \
         its name over reloads.",
    ),
    Row::new(
        "limits.*.by",
        Kind::texts(
            "`key`, `plan`, `ip`, `ip/24`, `header:x`, `claim:sub`, `route`, `api`, `stage`, \
             `version`",
        ),
        "What is counted apart; several together are one key. `ip` is an IPv4 address or the /64 \
         of an IPv6 address, `ip/24/56` the networks of those lengths. Without it: all requests \
         together.",
    )
    .example(r#"["key", "route"]"#),
    Row::new(
        "limits.*.rate",
        Kind::text("rate"),
        "Requests in a time (`s`, `m`, `h`, `d`), evenly: a token bucket gets one token each \
         interval.",
    )
    .example(r#""100/s""#),
    Row::new(
        "limits.*.burst",
        Kind::Count { default: None, range: Range::of(1, bounds::BURST_MAX) },
        "Requests at once after a pause: how many tokens the bucket holds. In any time t no more \
         than `burst + rate * t` pass. Without it: one second of the rate, at least 1.",
    )
    .example("200"),
    Row::new("limits.*.quota", Kind::Table, "Requests in a period of the calendar."),
    Row::new(
        "limits.*.quota.limit",
        Kind::Count { default: None, range: Range::of(1, bounds::QUOTA_MAX) },
        "How many; never one more.",
    )
    .example("100000")
    .required(),
    Row::new(
        "limits.*.quota.per",
        Kind::choice("day", &["day", "week", "month"]),
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
