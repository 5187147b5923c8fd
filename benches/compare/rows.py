"""What is measured: one row is one kind of load, the same for every proxy."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    name: str
    says: str
    kind: str = "load"  # load | handshakes | idle
    scheme: str = "http"  # which listener; see proxies.Instance
    path: str = "/"
    connections: int = 64
    log: str = "off"
    open_loop: bool = False
    # What a proxy must be able to do: "http1", "http2", "websocket", "grpc". It is checked before it is
    # measured, and one that fails the check is left out of the row, with the reason.
    needs: str = "http1"
    flags: tuple = field(default=())


def all_rows(idle_connections):
    tls = ("--insecure", "--tls-version", "1.3")
    new = tls + ("--keep-alive", "off", "--resume", "off")
    return [
        Row("plain64", "plain, 64 connections"),
        Row("plain512", "plain, 512 connections", connections=512),
        Row("tls64", "TLS 1.3, 64 connections", scheme="https", flags=tls),
        Row("body64k", "plain, 64 connections, 64 KiB bodies", path="/?size=64KiB"),
        Row("body1m", "plain, 16 connections, 1 MiB bodies", path="/?size=1MiB", connections=16),
        Row("log64", "plain64, access log on (combined, to a file in memory)", log="combined"),
        Row("json64", "plain64, access log on (JSON, to a file in memory)", log="json"),
        Row("managed64", "log64 on a versioned API with a key, its plan and a limit", path="/managed/v2/",
            log="combined", needs="managed", flags=("-H", "x-api-key: bench-secret-of-a-key-0001")),
        Row("rate", "plain, a fixed rate (open loop)", connections=512, open_loop=True),
        Row("handshakes", "new TLS 1.3 connections, full handshakes, one request each",
            kind="handshakes", scheme="https", flags=new),
        Row("h2_8x16", "HTTP/2 over TLS 1.3, 8 connections of 16 streams", scheme="https", connections=8,
            needs="http2", flags=tls + ("--http2", "--streams", "16")),
        Row("ws64", "WebSocket, plain, 64 connections, echo of 42 bytes", path="/ws", needs="websocket",
            flags=("--websocket", "--body-size", "42")),
        Row("grpc", "gRPC, h2c on both sides, 8 connections of 16 streams, 42 bytes", scheme="h2c",
            path="/bench.Bench/Echo", connections=8, needs="grpc",
            flags=("--grpc", "--streams", "16", "--body-size", "42")),
        Row("idle", f"{idle_connections} idle connections, plain",
            kind="idle", connections=idle_connections),
        Row("idle_tls", f"{idle_connections} idle connections, TLS 1.3",
            kind="idle", scheme="https", connections=idle_connections, flags=tls),
        Row("idle_ws", f"{idle_connections} idle WebSocket tunnels, plain; each is two connections",
            kind="idle", path="/ws", connections=idle_connections, needs="websocket",
            flags=("--websocket", "--body-size", "42")),
    ]


def choose(names, idle_connections):
    rows = all_rows(idle_connections)
    unknown = set(names) - {row.name for row in rows}
    if unknown:
        known = " ".join(row.name for row in rows)
        raise SystemExit(f"unknown row: {', '.join(sorted(unknown))}; there are: {known}")
    return [row for row in rows if not names or row.name in names]
