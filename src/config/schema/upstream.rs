//! Rows of `[upstreams.NAME]`.

use super::{Kind, Range, Row};
use crate::bounds;

pub(super) const ROWS: &[Row] = &[
    Row::new("upstreams", Kind::Named, "What requests are sent to."),
    Row::new(
        "upstreams.*",
        Kind::Table,
        "One upstream. Its pool, health and counters follow the name over reloads.",
    ),
    Row::new(
        "upstreams.*.endpoints",
        Kind::Tables("addresses or tables"),
        "At least one. An address is `IP:port` or `name:port`; a name stands for all addresses it \
         resolves to, and is resolved again as its TTL passes.",
    )
    .example(r#"["10.0.0.1:8080", { address = "pets.internal:8080", weight = 2 }]"#)
    .required(),
    Row::new(
        "upstreams.*.endpoints[].address",
        Kind::text("address or `name:port`"),
        "The endpoint.",
    )
    .example(r#""pets.internal:8080""#)
    .required(),
    Row::new(
        "upstreams.*.endpoints[].weight",
        Kind::count(1, Range::of(1, bounds::WEIGHT_MAX).zero("no new requests")),
        "Its share beside the others.",
    ),
    Row::new(
        "upstreams.*.protocol",
        Kind::choice("h1", &["h1", "h2", "auto"]),
        "`h1` is HTTP/1.1; `h2` is HTTP/2: over TLS the handshake (ALPN) must agree to it, in \
         clear the endpoints must know it (prior knowledge, RFC 9113 section 3.3). `auto` takes \
         HTTP/2 where the handshake offers it, else HTTP/1.1; in clear it is `h1`. Many requests \
         share an HTTP/2 connection, so `h1` spreads them better where a balancer stands between; \
         an `Upgrade` (WebSocket) goes over `h1` only.",
    ),
    Row::new(
        "upstreams.*.balance",
        Kind::choice("least_request", &["least_request", "round_robin", "random", "hash"]),
        "`least_request` is the less loaded of two drawn at random: nearly as good as the least \
         loaded of all, and without the herd.",
    ),
    Row::new(
        "upstreams.*.hash",
        Kind::text("`client_ip`, `path`, `header:NAME`, `cookie:NAME`"),
        "What `balance = \"hash\"` hashes: the same value goes to the same endpoint, and a change \
         of endpoints moves few. A request without the field is spread at random.",
    )
    .example(r#""header:x-user""#),
    Row::new(
        "upstreams.*.host",
        Kind::Text { default: Some("preserve"), form: "`preserve`, `endpoint`, or a host" },
        "The `Host` the endpoint sees: the client's, the endpoint's as written above, or this one.",
    ),
    Row::new(
        "upstreams.*.proxy_protocol",
        Kind::Choice { default: None, words: &["v1", "v2"] },
        "Begin each connection with the client's address. Such a connection belongs to one \
         client, so none is pooled.",
    )
    .example(r#""v2""#),
    Row::new("upstreams.*.timeouts", Kind::Table, "What an endpoint may take its time for."),
    Row::new(
        "upstreams.*.timeouts.connect",
        Kind::duration(bounds::CONNECT_MS, Range::of(1, 10 * bounds::MINUTE_MS)),
        "For the TCP connection; a TLS handshake has as long again. Two lost SYNs (1 s + 2 s) \
         still fit.",
    ),
    Row::new(
        "upstreams.*.timeouts.first_byte",
        Kind::duration(bounds::FIRST_BYTE_MS, Range::of(1, bounds::DAY_MS)),
        "From the request's last byte to the answer's first (504 beyond it).",
    ),
    Row::new(
        "upstreams.*.timeouts.idle",
        Kind::duration(bounds::EXCHANGE_IDLE_MS, Range::of(1, bounds::DAY_MS)),
        "Between two moments of progress of an exchange, either way.",
    ),
    Row::new(
        "upstreams.*.timeouts.total",
        Kind::duration(0, Range::of(1, bounds::DAY_MS).zero("no bound")),
        "For the whole exchange, queueing and retries included. No bound by default: streams may \
         last as long as they move.",
    ),
    Row::new(
        "upstreams.*.timeouts.tunnel_idle",
        Kind::duration(bounds::TUNNEL_IDLE_MS, Range::of(1, 30 * bounds::DAY_MS)),
        "Of a tunnel (WebSocket or another upgrade): without a byte either way. Longer than what \
         proxies usually give, for not every library pings.",
    ),
    Row::new(
        "upstreams.*.timeouts.tunnel_lifetime",
        Kind::duration(0, Range::of(1, 365 * bounds::DAY_MS).zero("no bound")),
        "Of a tunnel, from its 101 on. `total` ends at the 101.",
    ),
    Row::new("upstreams.*.pool", Kind::Table, "Idle connections that are kept, per worker."),
    Row::new(
        "upstreams.*.pool.idle_max",
        Kind::count(bounds::POOL_IDLE, Range::of(1, 65_536).zero("none is kept")),
        "How many.",
    ),
    Row::new(
        "upstreams.*.pool.idle_timeout",
        Kind::duration(bounds::POOL_IDLE_MS, Range::of(1, bounds::HOUR_MS)),
        "How long. Keep it below the endpoint's own (nginx 75 s, Node.js 5 s): the side that \
         closes first must be this one.",
    ),
    Row::new(
        "upstreams.*.pool.requests_max",
        Kind::count(0, Range::of(1, u32::MAX as u64).zero("no bound")),
        "Requests on one connection before it is closed.",
    ),
    Row::new(
        "upstreams.*.pool.lifetime",
        Kind::duration(0, Range::of(1_000, 30 * bounds::DAY_MS).zero("no bound")),
        "Age at which a connection is not used again, so that endpoints behind a balancer are \
         found.",
    ),
    Row::new(
        "upstreams.*.pool.ping_interval",
        Kind::duration(bounds::H2_UPSTREAM_PING_MS, Range::of(100, bounds::HOUR_MS).zero("never")),
        "HTTP/2: a connection on which requests wait and nothing has come for so long is asked for \
         a sign of life; without one in as long again, 15 s at most, it is closed.",
    ),
    Row::new("upstreams.*.concurrency", Kind::Table, "Requests at once, over all workers."),
    Row::new(
        "upstreams.*.concurrency.requests_max",
        Kind::count(0, Range::of(1, 1 << 20).zero("no bound")),
        "How many the upstream gets at once; others wait.",
    ),
    Row::new(
        "upstreams.*.concurrency.queue_max",
        Kind::count(bounds::QUEUE_REQUESTS, Range::of(1, 1 << 20).zero("none waits")),
        "How many may wait (503 beyond it).",
    ),
    Row::new(
        "upstreams.*.concurrency.queue_timeout",
        Kind::duration(bounds::QUEUE_MS, Range::of(1, bounds::MINUTE_MS)),
        "How long one waits (503 beyond it). Short: a queue must not keep requests whose clients \
         have given up.",
    ),
    Row::new(
        "upstreams.*.retry",
        Kind::Table,
        "When a request is sent again. Never after a byte of an answer.",
    ),
    Row::new(
        "upstreams.*.retry.attempts",
        Kind::count(bounds::RETRY_ATTEMPTS, Range::of(1, bounds::RETRY_ATTEMPTS_MAX)),
        "How often a request is sent at most, the first time included; 1 = never again.",
    ),
    Row::new(
        "upstreams.*.retry.on",
        Kind::Texts { default: Some(&["connect", "reset"]), form: "`connect`, `reset`, `timeout`" },
        "`connect`: no connection, nothing was sent, any method. `reset`: the connection broke; \
         `timeout`: `first_byte` passed; these two for idempotent methods (RFC 9110 section \
         9.2.2) with the whole body at hand.",
    ),
    Row::new(
        "upstreams.*.retry.budget",
        Kind::Percent { default: bounds::RETRY_BUDGET_BASIS_POINTS, range: Range::of(0, 10_000) },
        "Retries as a share of requests, so that a failing upstream does not get a multiple of \
         its load.",
    ),
    Row::new(
        "upstreams.*.retry.budget_min",
        Kind::count(bounds::RETRY_BUDGET_MIN, Range::of(0, 1 << 20)),
        "Retries a second that are always allowed.",
    ),
    Row::new("upstreams.*.health", Kind::Table, "Present = endpoints are probed."),
    Row::new(
        "upstreams.*.health.path",
        Kind::Text { default: Some("/"), form: "path" },
        "What is asked for.",
    )
    .example(r#""/healthz""#),
    Row::new("upstreams.*.health.method", Kind::choice("GET", &["GET", "HEAD", "OPTIONS"]), "How."),
    Row::new(
        "upstreams.*.health.host",
        Kind::text("host"),
        "The probe's `Host`. Without it: the endpoint as written.",
    )
    .example(r#""pets.internal""#),
    Row::new(
        "upstreams.*.health.interval",
        Kind::duration(bounds::PROBE_INTERVAL_MS, Range::of(100, bounds::HOUR_MS)),
        "Between two probes of an endpoint.",
    ),
    Row::new(
        "upstreams.*.health.timeout",
        Kind::duration(bounds::PROBE_TIMEOUT_MS, Range::of(1, bounds::HOUR_MS)),
        "For a probe, connection included; at most `interval`.",
    ),
    Row::new(
        "upstreams.*.health.rise",
        Kind::count(bounds::PROBE_RISE, Range::of(1, 100)),
        "Good answers in a row that bring an endpoint back.",
    ),
    Row::new(
        "upstreams.*.health.fall",
        Kind::count(bounds::PROBE_FALL, Range::of(1, 100)),
        "Bad ones in a row that take it out; more than one, for a lost packet is no outage.",
    ),
    Row::new(
        "upstreams.*.health.status",
        Kind::Text { default: Some("200-399"), form: "`200` or `200-399`" },
        "Statuses that are good.",
    ),
    Row::new(
        "upstreams.*.ejection",
        Kind::Table,
        "An endpoint that fails real requests is left out for a while.",
    ),
    Row::new(
        "upstreams.*.ejection.failures",
        Kind::count(bounds::EJECTION_FAILURES, Range::of(1, 1_000).zero("never")),
        "Failures in a row (no connection, broken or timed out before the answer) that eject it.",
    ),
    Row::new(
        "upstreams.*.ejection.base_time",
        Kind::duration(bounds::EJECTION_MS, Range::of(100, bounds::HOUR_MS)),
        "How long the first time; doubled at each further one, up to ten times this.",
    ),
    Row::new(
        "upstreams.*.ejection.share_max",
        Kind::Percent { default: bounds::EJECTION_SHARE_BASIS_POINTS, range: Range::of(0, 10_000) },
        "The share of endpoints that may be out at once: when all fail, the fault is rarely \
         theirs.",
    ),
    Row::new(
        "upstreams.*.ejection.slow_start",
        Kind::duration(
            bounds::SLOW_START_MS,
            Range::of(100, bounds::HOUR_MS).zero("at once in full"),
        ),
        "How long a returning endpoint's share grows: its caches are cold.",
    ),
    Row::new("upstreams.*.tls", Kind::Table, "Present = TLS to the endpoints."),
    Row::new(
        "upstreams.*.tls.ca",
        Kind::text("path"),
        "PEM: authorities. Without it: the system's.",
    )
    .example(r#""tls/ca.pem""#),
    Row::new(
        "upstreams.*.tls.server_name",
        Kind::text("host name"),
        "SNI, and the name the certificate must be for. Without it: the endpoint's name.",
    )
    .example(r#""pets.internal""#),
    Row::new(
        "upstreams.*.tls.cert",
        Kind::text("path"),
        "PEM: the gateway's own certificate. Needs `key`.",
    )
    .example(r#""tls/gateway.pem""#),
    Row::new("upstreams.*.tls.key", Kind::text("path"), "PEM: its private key.")
        .example(r#""tls/gateway.key""#),
    Row::new(
        "upstreams.*.tls.min_version",
        Kind::choice("1.2", &["1.2", "1.3"]),
        "The oldest TLS version spoken.",
    ),
    Row::new(
        "upstreams.*.tls.insecure_skip_verify",
        Kind::Flag(false),
        "Believe any certificate: encryption without knowing with whom. Loads with a warning.",
    ),
];
