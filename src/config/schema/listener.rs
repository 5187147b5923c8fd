//! Rows of `[listeners.NAME]`.

use super::{Kind, Range, Row};
use crate::bounds;

pub(super) const ROWS: &[Row] = &[
    Row::new("listeners", Kind::Named, "Where clients connect. At least one."),
    Row::new("listeners.*", Kind::Table, "One listener; metrics and logs carry its name."),
    Row::new(
        "listeners.*.address",
        Kind::text("address"),
        "IP address and port. Either this or `addresses`. Port 0 lets the kernel choose.",
    )
    .example(r#""0.0.0.0:443""#),
    Row::new(
        "listeners.*.addresses",
        Kind::texts("address"),
        "Several addresses for one listener, in place of `address`.",
    )
    .example(r#"["0.0.0.0:443", "[::]:443"]"#),
    Row::new(
        "listeners.*.trusted_proxies",
        Kind::texts("CIDR"),
        "Peers whose `Forwarded` and `X-Forwarded-*` fields are believed; everybody else's are \
         replaced.",
    )
    .example(r#"["10.0.0.0/8"]"#),
    Row::new(
        "listeners.*.half_close",
        Kind::choice("close", &["close", "keep"]),
        "What a client's FIN before its answer means: it is gone (`close`), or it still waits \
         (`keep`).",
    ),
    Row::new(
        "listeners.*.connections_max",
        Kind::count(bounds::LISTENER_CONNECTIONS, Range::of(1, bounds::CONNECTIONS_MAX)),
        "Connections held at once, over all workers. Beyond it a new one is answered 503 and \
         closed; on a TLS listener it is closed unanswered, for a handshake costs more than it \
         would spare.",
    ),
    Row::new(
        "listeners.*.requests_max",
        Kind::count(0, Range::of(1, u32::MAX as u64).zero("no bound")),
        "Requests on one connection before it is closed, to spread clients over workers again.",
    ),
    Row::new(
        "listeners.*.path_policy",
        Kind::choice("normalize", &["normalize", "reject", "raw"]),
        "Paths with `.`, `..`, `//` or needlessly encoded bytes: routed and forwarded in normal \
         form, answered 400, or left as they came (then the upstream may read another path than \
         was routed).",
    ),
    Row::new(
        "listeners.*.protocols",
        Kind::Texts { default: Some(&["h2", "http/1.1"]), form: "`h2` or `http/1.1`" },
        "Protocols spoken, the preferred one first. Over TLS the handshake (ALPN) decides; in \
         clear a client that begins with HTTP/2's preface has chosen it (h2c by prior knowledge, \
         RFC 9113 section 3.3).",
    ),
    Row::new("listeners.*.proxy_protocol", Kind::Table, "The PROXY protocol (v1 and v2) is read."),
    Row::new("listeners.*.proxy_protocol.from", Kind::texts("CIDR"), "Peers it is believed from.")
        .example(r#"["10.0.0.0/8"]"#)
        .required(),
    Row::new(
        "listeners.*.proxy_protocol.required",
        Kind::Flag(true),
        "Close connections that do not begin with it, or that come from elsewhere.",
    ),
    Row::new("listeners.*.timeouts", Kind::Table, "What a client may take its time for."),
    Row::new(
        "listeners.*.timeouts.header",
        Kind::duration(bounds::HEADER_MS, Range::of(1, 10 * bounds::MINUTE_MS)),
        "For a request's head, from its first byte to its last (slow-loris clients).",
    ),
    Row::new(
        "listeners.*.timeouts.idle",
        Kind::duration(bounds::KEEPALIVE_MS, Range::of(1, bounds::DAY_MS)),
        "Between two requests of a connection. Longer than the 60 s of the usual load balancer in \
         front, which must be the one that closes.",
    ),
    Row::new(
        "listeners.*.timeouts.body",
        Kind::duration(bounds::BODY_MS, Range::of(1, bounds::HOUR_MS)),
        "Between two reads of a request's body.",
    ),
    Row::new(
        "listeners.*.timeouts.write",
        Kind::duration(bounds::WRITE_MS, Range::of(1, bounds::HOUR_MS)),
        "Between two moments of progress while an answer is sent.",
    ),
    Row::new(
        "listeners.*.timeouts.tls_handshake",
        Kind::duration(bounds::TLS_HANDSHAKE_MS, Range::of(1, 10 * bounds::MINUTE_MS)),
        "For the TLS handshake as a whole.",
    ),
    Row::new(
        "listeners.*.timeouts.lifetime",
        Kind::duration(0, Range::of(1_000, 30 * bounds::DAY_MS).zero("no bound")),
        "Age at which a connection is closed once its exchange ends.",
    ),
    Row::new("listeners.*.limits", Kind::Table, "What a request's head may measure."),
    Row::new(
        "listeners.*.limits.head",
        Kind::size(
            bounds::CLIENT_HEAD_BYTES,
            Range::of(1 << 10, bounds::HEAD_BYTES_CEILING as u64),
        ),
        "Request line and fields together (431 beyond it). Room for a few large cookies and a \
         token.",
    ),
    Row::new(
        "listeners.*.limits.target",
        Kind::size(bounds::CLIENT_TARGET_BYTES, Range::of(64, bounds::HEAD_BYTES_CEILING as u64)),
        "The request target (414 beyond it); RFC 9112 section 3 asks for 8000 bytes at least.",
    ),
    Row::new(
        "listeners.*.limits.fields",
        Kind::count(bounds::CLIENT_FIELDS, Range::of(8, bounds::FIELDS_CEILING as u64)),
        "How many fields (431 beyond it).",
    ),
    Row::new("listeners.*.tls", Kind::Table, "Present = clients speak TLS."),
    Row::new(
        "listeners.*.tls.certificates",
        Kind::Tables("tables"),
        "At least one. Which host names each serves is read from the certificate.",
    )
    .example(r#"[{ cert = "a.pem", key = "a.key" }]"#)
    .required(),
    Row::new(
        "listeners.*.tls.certificates[].cert",
        Kind::text("path"),
        "PEM: the certificate, then its chain.",
    )
    .example(r#""tls/a.pem""#)
    .required(),
    Row::new("listeners.*.tls.certificates[].key", Kind::text("path"), "PEM: the private key.")
        .example(r#""tls/a.key""#)
        .required(),
    Row::new(
        "listeners.*.tls.default",
        Kind::text("host name"),
        "Whose certificate clients without SNI get. Without it: the first certificate.",
    )
    .example(r#""api.example.com""#),
    Row::new(
        "listeners.*.tls.min_version",
        Kind::choice("1.2", &["1.2", "1.3"]),
        "The oldest TLS version spoken; the newest is 1.3.",
    ),
    Row::new(
        "listeners.*.tls.client_auth",
        Kind::Choice { default: None, words: &["request", "require"] },
        "Ask for a client certificate, or insist on one. Needs `client_ca`; without this key, \
         `client_ca` means `require`.",
    )
    .example(r#""require""#),
    Row::new(
        "listeners.*.tls.client_ca",
        Kind::text("path"),
        "PEM: the authorities whose client certificates are accepted. Without it no certificate \
         is asked for.",
    )
    .example(r#""tls/clients.pem""#),
    Row::new(
        "listeners.*.tls.client_crl",
        Kind::text("path"),
        "PEM: revocation lists for client certificates.",
    )
    .example(r#""tls/revoked.pem""#),
    Row::new(
        "listeners.*.tls.unknown_sni",
        Kind::choice("default", &["default", "reject"]),
        "A client that names a host no certificate is for gets the default certificate, or the \
         alert `access_denied`.",
    ),
];
