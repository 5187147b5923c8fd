//! Rows of `include`, `[gateway]`, `[admin]`, `[log]` and `[ledger]`.

use super::{Kind, Range, Row};
use crate::bounds;

pub(super) const GATEWAY: &[Row] = &[
    Row::new(
        "include",
        Kind::texts("path, `*` allowed in its last part"),
        "More files, relative to the file that names them; those a `*` finds are read in the \
         order of their names. An object stands in one file: the same name in two is an error.",
    )
    .example(r#"["conf.d/*.toml"]"#),
    Row::new("gateway", Kind::Table, "The process as a whole."),
    Row::new(
        "gateway.workers",
        Kind::Count { default: None, range: Range::of(1, bounds::WORKERS_MAX as u64) },
        "Worker threads. Without it: one per core the process may run on (its affinity mask).",
    )
    .example("2"),
    Row::new(
        "gateway.pin",
        Kind::Flag(true),
        "Bind each worker to a core, so that a connection's data stays in that core's cache.",
    ),
    Row::new(
        "gateway.io",
        Kind::choice("auto", &["auto", "uring", "epoll"]),
        "The driver. `auto` is io_uring, or epoll with a loud line where the kernel or a \
         container's seccomp profile forbids it; `uring` refuses to start instead.",
    ),
    Row::new(
        "gateway.drain_deadline",
        Kind::duration(bounds::DRAIN_DEADLINE_MS, Range::of(1_000, bounds::HOUR_MS)),
        "How long exchanges in flight may take to end after SIGTERM before they are cut. Keep it \
         below the time your supervisor waits before SIGKILL (Kubernetes: 30 s).",
    ),
    Row::new(
        "gateway.drain_delay",
        Kind::duration(0, Range::of(0, 10 * bounds::MINUTE_MS)),
        "How long `/readyz` says no while new connections are still taken, so that a load \
         balancer can look elsewhere first.",
    ),
    Row::new(
        "gateway.server_header",
        Kind::Text { default: Some("pass"), form: "`pass`, `remove`, or a value" },
        "The `Server` field of responses: the upstream's, none, or this value in its place.",
    ),
    Row::new(
        "gateway.via",
        Kind::Text { default: Some("ringway"), form: "token" },
        "The gateway's name in `Via` (RFC 9110 section 7.6.3). A request that carries it eight \
         times goes round in a circle (508): gateways in a row may share a name.",
    ),
    Row::new(
        "gateway.buffers_max",
        Kind::size(bounds::BUFFERS_BYTES_MAX, Range::of(1 << 20, 64 << 30)),
        "Bound on the relay buffers of one worker. At the bound, exchanges go on with small \
         buffers.",
    ),
    Row::new(
        "gateway.error_docs",
        Kind::Flag(true),
        "Serve `/docs/errors` and `/docs/errors/CODE`, where an error's `doc_url` leads, on every \
         listener. A route of yours for such a path comes first; only one that takes every path \
         (`$default`, `ANY /{proxy+}` at the root) does not.",
    ),
    Row::new(
        "gateway.state_dir",
        Kind::text("path of a directory"),
        "Where what must outlive the process is kept: `limits.tab`, in which limits are counted. \
         Two processes may share it. Without it, limits hold over all workers of this process and \
         are forgotten when it ends.",
    )
    .example(r#""/var/lib/ringway""#),
    Row::new(
        "gateway.limits_max",
        Kind::count(bounds::LIMITS_MAX, Range::of(100, 1 << 30)),
        "Buckets and quotas that can be counted at once, at 32 bytes each. One that is full again, \
         or whose period is over, needs no place. With none left, requests that need one are \
         refused (RATE_LIMIT_005). A `limits.tab` keeps the size it was made with.",
    ),
    Row::new(
        "gateway.dns",
        Kind::Table,
        "How endpoints' names are resolved; never blocks a worker.",
    ),
    Row::new(
        "gateway.dns.servers",
        Kind::texts("address"),
        "Resolvers, asked in this order. Empty: those of `/etc/resolv.conf`.",
    )
    .example(r#"["127.0.0.1:53"]"#),
    Row::new(
        "gateway.dns.timeout",
        Kind::duration(bounds::DNS_TIMEOUT_MS, Range::of(50, bounds::MINUTE_MS)),
        "For one question to one resolver.",
    ),
    Row::new(
        "gateway.dns.ttl_min",
        Kind::duration(bounds::DNS_TTL_MIN_MS, Range::of(100, bounds::DAY_MS)),
        "Answers live at least this long, so that a TTL of 0 does not become a query per request.",
    ),
    Row::new(
        "gateway.dns.ttl_max",
        Kind::duration(bounds::DNS_TTL_MAX_MS, Range::of(1_000, bounds::DAY_MS)),
        "Answers live at most this long, so that a moved endpoint is found whatever its TTL says.",
    ),
];

pub(super) const ADMIN: &[Row] = &[
    Row::new(
        "admin",
        Kind::Table,
        "The admin server: metrics, health, the configuration in force.",
    ),
    Row::new("admin.enabled", Kind::Flag(true), "Whether it runs."),
    Row::new(
        "admin.address",
        Kind::Text { default: Some("127.0.0.1:9901"), form: "address" },
        "Where it listens. Other than loopback only with `allow_remote`: only `/admin/v1` asks for \
         the token.",
    ),
    Row::new(
        "admin.allow_remote",
        Kind::Flag(false),
        "Allows an `address` other hosts can reach. Firewall it.",
    ),
    Row::new(
        "admin.token",
        Kind::Table,
        "Where the token stands that writes to `/admin/v1` must show (`Authorization: Bearer`). \
         Looked up each time, so a new token holds at once. Without a token writes are refused.",
    ),
    Row::new("admin.token.env", Kind::text("name"), "A variable of the process's environment.")
        .example(r#""RINGWAY_ADMIN_TOKEN""#),
    Row::new(
        "admin.token.file",
        Kind::text("path"),
        "A file; white space around the token does not count. At least 16 characters.",
    )
    .example(r#""admin.token""#),
    Row::new(
        "admin.token_sha256",
        Kind::text("64 hexadecimal digits"),
        "The SHA-256 of such a token, for a configuration that holds no secret. Beside `token`, \
         either proves the caller.",
    )
    .example(r#""9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08""#),
];

pub(super) const LOG: &[Row] = &[
    Row::new("log", Kind::Table, "What is written, and where."),
    Row::new(
        "log.level",
        Kind::choice("info", &["error", "warn", "info", "debug", "trace"]),
        "The least severe line of the process log (standard error). Release builds have none below \
         `debug`.",
    ),
    Row::new("log.access", Kind::Table, "The access log: one line an exchange."),
    Row::new("log.access.enabled", Kind::Flag(true), "Whether it is written."),
    Row::new(
        "log.access.format",
        Kind::Text { default: Some("json"), form: "`json`, `combined`, or text with `{fields}`" },
        "The form of a line; `combined` is Apache's and nginx's.",
    ),
    Row::new(
        "log.access.path",
        Kind::Text { default: Some("stdout"), form: "`stdout`, `stderr`, or a path" },
        "Where lines go. A file is opened again on SIGHUP, for logrotate.",
    ),
    Row::new(
        "log.access.queue",
        Kind::count(bounds::LOG_QUEUE_LINES, Range::of(64, 1 << 20)),
        "Lines each worker may have waiting for the disk. More are dropped and counted: a slow \
         disk must not slow requests.",
    ),
];

pub(super) const LEDGER: &[Row] = &[
    Row::new(
        "ledger",
        Kind::Table,
        "The usage ledger: one entry for each request to a model, in `usage.db` in \
         `gateway.state_dir` (`ringway usage` adds it up). Without a `state_dir` the newest \
         100,000 entries are kept in memory until the process ends.",
    ),
    Row::new(
        "ledger.keep",
        Kind::duration(bounds::LEDGER_KEEP_MS, Range::of(0, 36_500 * bounds::DAY_MS)),
        "How long an entry is kept. The default is a year, and the time to bill it. `0s`: for \
         ever.",
    ),
];
