"""What is measured: one row is one kind of load, the same for every proxy."""

from dataclasses import dataclass, field

# What has a listener, and a template, for all rows but those of language models.
GENERAL = ("ringway", "nginx", "haproxy", "envoy")
CHAT_KEY = "bench-secret-of-a-key-0002"
# A chat of 1 KiB, whose answer has 32 tokens.
CHAT_HEAD = '{"model":"mock-t32","max_tokens":64,"messages":[{"role":"user","content":"'
CHAT = CHAT_HEAD + ("ab cd ef " * 128)[:1024 - len(CHAT_HEAD) - 4] + '"}]}'
# 400 streams begin in a second and last for 64 events, 20 ms apart: about 512 at once.
STREAM_MODEL = "mock-t64-p20ms-stamp"
STREAM_RATE = 400


@dataclass(frozen=True)
class Row:
    name: str
    says: str
    kind: str = "load"  # load | handshakes | idle | chat | streams
    scheme: str = "http"  # which listener; see proxies.Instance
    path: str = "/"
    connections: int = 64
    log: str = "off"
    open_loop: bool = False
    # What a proxy must be able to do: "http1", "http2", "websocket", "grpc". It is checked before it is
    # measured, and one that fails the check is left out of the row, with the reason.
    needs: str = "http1"
    flags: tuple = field(default=())
    proxies: tuple = GENERAL
    behind: str = "origin"  # or "mock": a language model without the model
    # The row whose figures of the same round this one is divided by: such rows are measured in turn.
    beside: str = ""


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
        *language_models(),
    ]


def language_models():
    """The same bytes through the plain route, the LLM route with all that can be off, and with all on."""
    post = ("-X", "POST", "-H", "content-type: application/json", "-H", f"authorization: Bearer {CHAT_KEY}",
            "--body", CHAT)

    def chat(name, says, path, proxies, log="off"):
        return Row(name, says, kind="chat", path=f"{path}/v1/chat/completions", proxies=proxies, log=log,
                   needs="chat", behind="mock", beside="chatplain64", flags=post)

    def streams(name, says, path, proxies, log="off"):
        return Row(name, says, kind="streams", path=path, connections=640, proxies=proxies, log=log,
                   behind="mock", beside="streamsplain512")

    gateways, plain = ("ringway", "portkey"), ("ringway", "nginx")
    return [
        chat("chatplain64", "a chat of 1 KiB, 64 connections, proxied as any other request", "/llm-plain", plain),
        chat("chat64-bare", "the same through the LLM route, no key, no limits", "/llm-bare", gateways),
        chat("chat64", "with a key, limits of requests, tokens and money, ledger, JSON log", "/llm",
             ("ringway",), log="ledger"),
        streams("streamsplain512", "512 paced streams, proxied as any other answer", "/llm-plain", plain),
        streams("streams512-bare", "the same through the LLM route, no key, no limits", "/llm-bare", gateways),
        streams("streams512", "with a key, limits of requests, tokens and money, ledger, JSON log", "/llm",
                ("ringway",), log="ledger"),
    ]


def choose(names, idle_connections):
    rows = all_rows(idle_connections)
    unknown = set(names) - {row.name for row in rows}
    if unknown:
        known = " ".join(row.name for row in rows)
        raise SystemExit(f"unknown row: {', '.join(sorted(unknown))}; there are: {known}")
    return [row for row in rows if not names or row.name in names]
