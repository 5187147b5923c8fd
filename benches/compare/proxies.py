"""What is compared: how each proxy is found, configured, started, and checked before it is measured."""

import http.client
import json
import os
import shutil
import ssl
import subprocess
import tempfile

import host

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PROXY_CORE = 0
CLIENT_CORE = 1
ORIGIN_BODY_BYTES = 42

# How an access-log variant is written in each configuration. None: this proxy has no such variant.
RINGWAY_LOG = {
    "off": "enabled = false",
    "combined": 'format = "combined"\npath = "@DIR@/ringway.access.log"',
    "json": 'format = "json"\npath = "@DIR@/ringway.access.log"',
    "ledger": 'format = "json"\npath = "@DIR@/ringway.access.log"',  # and a state directory
}
NGINX_LOG = {
    "off": "off",
    # Buffered, which is nginx's cheapest: Ringway batches its lines too.
    "combined": "@DIR@/nginx.access.log combined buffer=256k flush=1s",
}


class Setting:
    """What all proxies share in one run: origin, certificate, directory, options."""

    def __init__(self, directory, origin_port, mock_port, certificate, io, files):
        self.directory = directory
        self.origin_port = origin_port
        self.mock_port = mock_port
        self.cert, self.key, self.pem = certificate
        self.io = io
        self.files = files


class Proxy:
    """A kind of proxy. Subclasses say what is their own."""

    name = ""
    package = None
    template = ""
    logs = {"off": ""}

    def __init__(self, binary=None):
        self.binary = binary or shutil.which(self.name)

    def version(self):
        line = host.first_line([self.binary, "--version"]).strip()
        return line.replace(os.path.dirname(self.binary) + "/", "")

    def command(self, config):
        raise NotImplementedError

    def start(self, setting, log="off"):
        """A running instance with that access-log variant; raises if it does not serve."""
        ports = host.free_ports(3)
        directory = os.path.join(setting.directory, f"{self.name}-{ports[0]}")
        os.mkdir(directory)
        config = os.path.join(directory, self.template)
        with open(os.path.join(HERE, self.template)) as file:
            text = file.read()
        with open(config, "w") as file:
            file.write(fill(text, self.values(setting, log, ports, directory)))
        process = host.Process(
            self.name, self.command(config), PROXY_CORE, os.path.join(directory, "stderr"))
        instance = Instance(self.name, process, *ports)
        process.wait_for_port(ports[0])
        return instance

    def values(self, setting, log, ports, directory):
        plain, tls, h2c = ports
        return {
            "ACCESS_LOG": self.logs[log],
            "DIR": directory,
            "PLAIN": f"127.0.0.1:{plain}",
            "TLS": f"127.0.0.1:{tls}",
            "H2C": f"127.0.0.1:{h2c}",
            "PLAIN_PORT": plain,
            "TLS_PORT": tls,
            "H2C_PORT": h2c,
            **self.own_values(),
            # Limits and the usage ledger on disk, or what stands for one; else both in memory.
            "STATE": 'state_dir = "@DIR@"' if log == "ledger" else "",
            "ORIGIN": f"127.0.0.1:{setting.origin_port}",
            "MOCK": f"127.0.0.1:{setting.mock_port}",
            "ORIGIN_PORT": setting.origin_port,
            "CERT": setting.cert,
            "KEY": setting.key,
            "PEM": setting.pem,
            "IO": setting.io,
            "CORE": PROXY_CORE,
            "FILES": setting.files,
            # Two descriptors a proxied connection, and some for itself.
            "CONNECTIONS": min(8000, setting.files // 2 - 100),
        }


    def own_values(self):
        return {}


# Ringway's keys of HTTP/2 without TLS, listener and upstream: here and nowhere else.
RINGWAY_H2C_LISTENER = 'protocols = ["h2", "http/1.1"]'
RINGWAY_H2C_UPSTREAM = 'protocol = "h2"'
# Its listener and its upstream for gRPC; left out where it does not know the keys.
RINGWAY_H2C = """
[listeners.h2c]
address = "@H2C@"
@H2C_LISTENER@

[upstreams.grpc]
endpoints = ["@ORIGIN@"]
@H2C_UPSTREAM@

[apis.bench.routes."POST /bench.Bench/Echo"]
upstream = "grpc"
"""


class Ringway(Proxy):
    name = "ringway"
    template = "ringway.toml"
    logs = RINGWAY_LOG
    knows_h2c = None  # not asked yet

    def command(self, config):
        return [self.binary, "serve", "--config", config]

    def own_values(self):
        return {
            "H2C_PARTS": RINGWAY_H2C if self._knows_h2c() else "",
            "H2C_LISTENER": RINGWAY_H2C_LISTENER,
            "H2C_UPSTREAM": RINGWAY_H2C_UPSTREAM,
        }

    def _knows_h2c(self):
        """A build without these keys can still be measured in all other rows."""
        if self.knows_h2c is None:
            with tempfile.NamedTemporaryFile("w", suffix=".toml") as config:
                parts = {"H2C": "127.0.0.1:1", "ORIGIN": "127.0.0.1:1",
                         "H2C_LISTENER": RINGWAY_H2C_LISTENER, "H2C_UPSTREAM": RINGWAY_H2C_UPSTREAM}
                config.write(fill(RINGWAY_H2C, parts))
                config.flush()
                done = subprocess.run([self.binary, "check", config.name],
                                      capture_output=True, text=True)
            self.knows_h2c = done.returncode == 0
            if not self.knows_h2c:
                host.say(f"ringway: no HTTP/2 without TLS: {(done.stderr + done.stdout).strip()[:300]}")
        return self.knows_h2c


class Nginx(Proxy):
    name = "nginx"
    package = "nginx-light"
    template = "nginx.conf"
    logs = NGINX_LOG

    def version(self):
        return host.first_line([self.binary, "-v"])

    def command(self, config):
        return [self.binary, "-c", config, "-p", os.path.dirname(config)]


class HAProxy(Proxy):
    # No access-log variant: HAProxy gives its lines to a syslog daemon, whose CPU time would be
    # another process's.
    name = "haproxy"
    package = "haproxy"
    template = "haproxy.cfg"

    def version(self):
        return host.first_line([self.binary, "-v"])

    def command(self, config):
        return [self.binary, "-f", config]


class Envoy(Proxy):
    # Not in Debian: compared if it is on the path.
    name = "envoy"
    template = "envoy.yaml"

    def command(self, config):
        return [self.binary, "-c", config, "--concurrency", "1", "--disable-hot-restart", "-l", "error"]


class Portkey(Proxy):
    # An LLM gateway without keys, limits and ledger. Not installed by us: `npm install @portkey-ai/gateway`
    # into a directory, and its node_modules/.bin on the path. Node.js has one thread for requests.
    # 1.15.2 streams with @hono/node-server 1.3.3 only: newer ones give it a response it cannot add fields to.
    name = "portkey"

    def __init__(self, binary=None):
        super().__init__(binary or shutil.which("gateway"))
        # The file itself: npm's link would hide where its package.json is.
        self.binary = self.binary and os.path.realpath(self.binary)

    def version(self):
        with open(os.path.join(os.path.dirname(self.binary), "..", "package.json")) as file:
            package = json.load(file)
        return f"{package['name']} {package['version']}, Node.js {host.first_line(['node', '--version'])}"

    def start(self, setting, log="off"):
        [port] = host.free_ports(1)
        process = host.Process(
            self.name, ["env", "NODE_ENV=production", "TRUSTED_CUSTOM_HOSTS=127.0.0.1", "node", self.binary,
                        f"--port={port}", "--headless"],
            PROXY_CORE, os.path.join(setting.directory, f"portkey-{port}.stderr"))
        process.wait_for_port(port)
        return PortkeyInstance(self.name, process, port, setting.mock_port)


class Instance:
    """A proxy that runs."""

    def __init__(self, name, process, plain_port, tls_port, h2c_port):
        self.name = name
        self.process = process
        self.ports = {"http": plain_port, "https": tls_port, "h2c": h2c_port}
        self.checked = {}

    def url(self, scheme, path="/"):
        """`h2c` is a listener of its own: nginx 1.22 speaks either protocol on a plain port, not both."""
        name = "http" if scheme == "h2c" else scheme
        return f"{name}://127.0.0.1:{self.ports[scheme]}{path}"

    def aim(self, row):
        """Where the generator is sent for this row, and its flags."""
        return self.url(row.scheme, row.path), row.flags

    def unable(self, row, load):
        """Why this row cannot be measured here; None if it can. The generator is the judge: it checks
        every answer, and one wrong answer in a few is enough."""
        if row.needs == "http1":
            return None  # `check` has seen to it
        if row.needs == "managed" and self.name != "ringway":
            return "it has no keys, plans and versions to compare with"
        asked = row.needs, row.path
        if asked not in self.checked:
            url, flags = self.aim(row)
            command = [load, "run", url, *flags, "-c", "2", "-n", "64",
                       "--timeout", "3s", "--json"]
            done = subprocess.run(command, capture_output=True, text=True)
            try:
                report = json.loads(done.stdout)
                well = report["ok"] == 64
                why = json.dumps(report["errors"])
            except (ValueError, KeyError):
                well, why = False, done.stderr.strip()
            self.checked[asked] = None if well else why
        return self.checked[asked]

    def stop(self):
        self.process.stop()

    def check(self, origin_port):
        """One request of every kind that will be measured: no proxy is quick by answering wrongly."""
        for scheme in ("http", "https"):
            connection = self._connect(scheme)
            self._expect(connection, "/", ORIGIN_BODY_BYTES)
            self._expect(connection, "/?size=65536", 65536)
            seen = self._get(connection, "/headers").lower()
            # Any address: for a peer on loopback Envoy writes the host's own.
            if b"\nx-forwarded-for: " not in seen:
                raise RuntimeError(f"{self.name}: x-forwarded-for does not reach the origin:\n{seen!r}")
            self._expect_reuse(connection, origin_port)
            connection.close()

    def _connect(self, scheme):
        if scheme == "http":
            return http.client.HTTPConnection("127.0.0.1", self.ports[scheme], timeout=10)
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return http.client.HTTPSConnection(
            "127.0.0.1", self.ports[scheme], timeout=10, context=context)

    def _get(self, connection, path):
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{self.name}: {path} is answered with {answer.status}: {body[:300]!r}")
        return body

    def _expect(self, connection, path, length):
        body = self._get(connection, path)
        if len(body) != length:
            raise RuntimeError(f"{self.name}: {path} has {len(body)} bytes, not {length}")

    def _expect_reuse(self, connection, origin_port):
        before = origin_connections(origin_port)
        for _ in range(5):
            self._get(connection, "/")
        made = origin_connections(origin_port) - before - 1  # asking made one, too
        if made > 1:
            raise RuntimeError(f"{self.name}: made {made} upstream connections for 5 requests")


class PortkeyInstance(Instance):
    """Speaks to language models only, at one path, and is told by fields of the request whose they are."""

    def __init__(self, name, process, port, mock_port):
        super().__init__(name, process, port, None, None)
        self.fields = ("-H", "x-portkey-provider: openai",
                       "-H", f"x-portkey-custom-host: http://127.0.0.1:{mock_port}/v1")

    def aim(self, row):
        return self.url(row.scheme, row.path.removeprefix("/llm-bare")), row.flags + self.fields

    def check(self, origin_port):
        """Its rows' own trials do that."""


def origin_connections(port):
    """How many connections the origin has accepted so far."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/status", headers={"connection": "close"})
    status = json.loads(connection.getresponse().read())
    connection.close()
    return status["connections_accepted"]


def fill(text, values):
    """Twice: the log variants hold @DIR@ themselves."""
    for _ in range(2):
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
    return text


def find(only, binaries, may_install):
    """The proxies to compare, in order. Those of apt are installed if missing."""
    all_kinds = [Ringway(os.path.join(binaries, "ringway")), Nginx(), HAProxy(), Envoy(), Portkey()]
    wanted = [kind for kind in all_kinds if not only or kind.name in only]
    unknown = set(only) - {kind.name for kind in all_kinds}
    if unknown:
        raise SystemExit(f"unknown proxy: {', '.join(sorted(unknown))}")
    missing = [kind.package for kind in wanted if not kind.binary and kind.package]
    if missing and may_install and host.install(missing):
        for kind in wanted:
            kind.binary = kind.binary or shutil.which(kind.name)
    for kind in wanted:
        if not kind.binary:
            host.say(f"{kind.name} is not installed: left out")
    return [kind for kind in wanted if kind.binary]


def absent(only, kinds):
    """Names of the proxies that were wanted and are not here."""
    here = {kind.name for kind in kinds}
    names = ("ringway", "nginx", "haproxy", "envoy", "portkey")
    return [name for name in names if name not in here and (not only or name in only)]


def build_missing(binaries):
    """Ringway and its generator, in release, if they are not built yet."""
    if all(os.path.exists(os.path.join(binaries, name)) for name in ("ringway", "ringway-load")):
        return
    host.say("building ringway and ringway-load (release)")
    cargo = os.environ.get("CARGO", "cargo")
    subprocess.run([cargo, "build", "--release", "--workspace"], cwd=ROOT, check=True)


class Origin:
    """The one origin behind all of them, on the client's core; or the one language model."""

    def __init__(self, load, directory, verb="origin"):
        read, write = os.pipe()
        self.process = host.Process(
            verb, [load, verb, "--listen", "127.0.0.1:0", "--pin", str(CLIENT_CORE)],
            CLIENT_CORE, os.path.join(directory, f"{verb}.stderr"), stdout=write)
        os.close(write)
        with os.fdopen(read) as said:
            line = said.readline()
        if not line.startswith("listening on "):
            self.stop()
            raise RuntimeError(f"the {verb} does not serve: {self.process.last_words()}")
        self.port = int(line.rsplit(":", 1)[1])

    def stop(self):
        self.process.stop()
