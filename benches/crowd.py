#!/usr/bin/env python3
"""What a request costs among a million API keys, beside one among a thousand.

    benches/crowd.py [--binary target/release/ringway] [--rounds 8] [--keys 1000,1000000]

Two gateways run the managed route of benches/compare (version, key of the store, its plan's rate and quota, a
limit by address, access log, upstream), each with its own store. Rounds alternate between them; each request
shows another key, chosen at random from all (or from so many as --ask says), each of which has been shown once
before: what a key's first request costs is told apart. The figure is the gateway's CPU time per request, from
/proc/PID/task/*/schedstat; it has core 0 for itself, this client and the origin core 1.
"""

import argparse
import hashlib
import os
import random
import shutil
import socket
import sqlite3
import statistics
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "compare"))
import host  # noqa: E402

CONNECTIONS = 32
PIPELINE = 4
ORIGIN = """
[gateway]
workers = 1
[admin]
enabled = false
[log.access]
enabled = false
[listeners.web]
address = "127.0.0.1:{port}"
[apis.origin.routes."$default"]
respond = {{ body = "The answer is forty-two, and so is this one." }}
"""
GATEWAY = """
[gateway]
workers = 1
state_dir = "state"
limits_max = 4000000
[admin]
enabled = false
[log]
level = "warn"
[log.access]
format = "combined"
path = "access.log"
[listeners.web]
address = "127.0.0.1:{port}"
[upstreams.origin]
endpoints = ["127.0.0.1:{origin}"]
pool = {{ idle_max = 1024 }}
[apis.managed]
limits = ["address"]
versioning = {{ default = "v2" }}
[apis.managed.versions.v1]
status = "deprecated"
deprecated = 2026-01-01
[apis.managed.versions.v2]
[apis.managed.routes."$default"]
upstream = "origin"
[limits.address]
by = ["ip"]
rate = "1000000/s"
[plans.bench]
rate = "1000000/s"
quota = {{ limit = 1000000000000, per = "month" }}
apis = ["managed"]
"""


def secret(nth):
    return f"secret-of-customer-{nth:08}"


class Gateway:
    def __init__(self, binary, directory, keys, ask, origin_port):
        self.keys = keys
        self.asked = min(keys, ask or keys)
        self.directory = os.path.join(directory, str(keys))
        os.mkdir(self.directory)
        (self.port,) = host.free_ports(1)
        self.config = os.path.join(self.directory, "ringway.toml")
        with open(self.config, "w") as file:
            file.write(GATEWAY.format(port=self.port, origin=origin_port))
        self.binary = binary
        # Once, so that the store has its tables; then with its keys in it.
        self._start().stop()
        self._fill()
        self.process = self._start()
        self.sockets = []

    def connect(self):
        """Anew for each round, which is longer apart than a connection may rest."""
        for each in self.sockets:
            each.close()
        self.sockets = [socket.create_connection(("127.0.0.1", self.port)) for _ in range(CONNECTIONS)]
        for each in self.sockets:
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _start(self):
        os.chdir(self.directory)
        log = os.path.join(self.directory, "log")
        process = host.Process("ringway", [self.binary, "serve", "--config", self.config], 0, log)
        process.wait_for_port(self.port, 60)
        return process

    def _fill(self):
        with sqlite3.connect(os.path.join(self.directory, "state", "ringway.db")) as db:
            names = [(f"customer-{nth:08}", f"team-{nth % 100}") for nth in range(self.keys)]
            db.executemany("INSERT INTO keys VALUES (?, 1, NULL, ?, '', '[\"bench\"]', '', 1795000000)", names)
            digests = ((f"customer-{nth:08}", hashlib.sha256(secret(nth).encode()).digest())
                       for nth in range(self.keys))
            db.executemany("INSERT INTO key_values VALUES (?, 0, ?, '', 1795000000, NULL)", digests)
            db.execute("DELETE FROM changes WHERE id < (SELECT max(id) FROM changes)")

    def resident_mb(self):
        with open(f"/proc/{self.process.pid}/status") as file:
            kib = next(line for line in file if line.startswith("VmRSS:")).split()[1]
        return int(kib) / 1000 * 1.024

    def first(self):
        """CPU us per request while each key that will be shown is shown for the first time."""
        order = iter(range(self.asked))
        return self.round(lambda: next(order), self.asked)

    def random(self, dice, requests):
        """CPU us per request of keys by chance."""
        return self.round(lambda: dice.randrange(self.asked), requests)

    def round(self, which, requests):
        batches = requests // (CONNECTIONS * PIPELINE)
        self.connect()
        ran = sum(ran for ran, _ in self.process.accounts().values())
        for _ in range(batches):
            for each in self.sockets:
                each.sendall(b"".join(
                    b"GET / HTTP/1.1\r\nHost: a\r\nX-Api-Key: %s\r\n\r\n" % secret(which()).encode()
                    for _ in range(PIPELINE)))
            for each in self.sockets:
                self._read(each)
        ran = sum(ran for ran, _ in self.process.accounts().values()) - ran
        return ran / 1000 / (batches * CONNECTIONS * PIPELINE)

    @staticmethod
    def _read(sock):
        """As many answers as requests were sent; each has a body that ends alike."""
        data = b""
        while data.count(b"this one.") < PIPELINE:
            more = sock.recv(65536)
            if not more or b" 429 " in data or b" 401 " in data or b" 503 " in data:
                raise SystemExit(f"not an answer: {data!r}")
            data += more
        if data.count(b"HTTP/1.1 200 OK") != PIPELINE:
            raise SystemExit(f"not an answer: {data!r}")

    def stop(self):
        self.process.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    parser.add_argument("--binary", default=os.path.join(root, "target", "release", "ringway"))
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--requests", type=int, default=40_000)
    parser.add_argument("--keys", default="1000,1000000")
    parser.add_argument("--ask", type=int, help="only so many of the keys are ever shown")
    options = parser.parse_args()
    binary = os.path.abspath(options.binary)
    os.sched_setaffinity(0, {1})
    directory = tempfile.mkdtemp(prefix="ringway-crowd-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    started = []
    try:
        (port,) = host.free_ports(1)
        config = os.path.join(directory, "origin.toml")
        with open(config, "w") as file:
            file.write(ORIGIN.format(port=port))
        origin = host.Process("origin", [binary, "serve", "--config", config], 1, os.path.join(directory, "log"))
        started.append(origin)
        origin.wait_for_port(port)
        gateways = []
        for keys in options.keys.split(","):
            gateways.append(Gateway(binary, directory, int(keys), options.ask, port))
            started.append(gateways[-1])
            host.say(f"{keys} keys: serving")
        dice = random.Random(1)
        firsts = {gateway.keys: gateway.first() for gateway in gateways}
        for gateway in gateways:
            gateway.random(dice, options.requests)
        figures = {gateway.keys: [] for gateway in gateways}
        for number in range(options.rounds):
            for gateway in gateways if number % 2 == 0 else reversed(gateways):
                figures[gateway.keys].append(gateway.random(dice, options.requests))
        base = figures[gateways[0].keys]
        for gateway in gateways:
            mine = figures[gateway.keys]
            ratio = statistics.median(one / other for one, other in zip(mine, base))
            print(f"{gateway.keys} keys: {statistics.median(mine):.2f} us/request ({min(mine):.2f}-{max(mine):.2f}), "
                  f"{ratio:.3f} of the first, {gateway.resident_mb():.0f} MB resident, "
                  f"first requests {firsts[gateway.keys]:.2f} us")
    finally:
        for each in started:
            each.stop()
        os.chdir("/")
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
