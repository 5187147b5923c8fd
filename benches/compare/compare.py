"""Ringway beside nginx and HAProxy: alternating rounds against one origin, medians and ratios.

The proxy alone has core 0; the generator and the origin share core 1. The figure is the proxy's CPU
time per request, from the kernel's own account. docs/benchmarks.md says how to read the result.
"""

import argparse
import itertools
import json
import os
import shlex
import shutil
import signal
import sys
import tempfile

import host
import measure
import proxies
import report
import rows as row_list


def arguments():
    names = " ".join(row.name for row in row_list.all_rows(3000))
    parser = argparse.ArgumentParser(description=__doc__, epilog=f"rows: {names}")
    parser.add_argument("--quick", action="store_true", help="all rows in about a minute; rough")
    parser.add_argument("--only", default="", metavar="A,B", help="proxies: ringway,nginx,haproxy,envoy,portkey")
    parser.add_argument("--rows", default="", metavar="A,B", help="rows, see below")
    parser.add_argument("--rounds", type=int, help="how often each is measured (5; quick: 2)")
    parser.add_argument("--seconds", type=float, help="length of a measured window (4; quick: 0.4)")
    parser.add_argument("--rate", type=int, default=8000, help="requests/s of the open-loop row")
    parser.add_argument("--idle", type=int, default=3000, help="connections of the idle rows")
    parser.add_argument("--io", default="auto", choices=("auto", "uring", "epoll"), help="Ringway's driver")
    parser.add_argument("--json", metavar="FILE", help="every sample, for a machine")
    parser.add_argument("--markdown", metavar="FILE", help="the tables into this file too")
    parser.add_argument("--binaries", default=os.path.join(proxies.ROOT, "target", "release"),
                        metavar="DIR", help="where ringway and ringway-load are (target/release)")
    parser.add_argument("--no-install", action="store_true", help="never install a missing proxy")
    options = parser.parse_args()
    quick = options.quick
    options.rounds = options.rounds or (2 if quick else 5)
    options.seconds = options.seconds or (0.4 if quick else 4.0)
    options.warmup = 0.2 if quick else 1.0
    options.hold = 0.3 if quick else 2.0
    options.only = [name for name in options.only.split(",") if name]
    options.rows = [name for name in options.rows.split(",") if name]
    return options


class Stage:
    """What runs while we measure. Instances are started when first asked for, and all ended."""

    def __init__(self, setting, origin):
        self.setting = setting
        self.origin = origin
        self.instances = {}
        self.left_out = []  # row, proxy, why

    def instance(self, kind, log):
        key = (kind.name, log)
        if key not in self.instances:
            self.instances[key] = self._checked(kind, log)
        return self.instances[key]

    def fresh(self, kind):
        """One that has served nobody but the check: memory kept from other rows would hide what it takes."""
        return self._checked(kind, "off")

    def _checked(self, kind, log):
        instance = kind.start(self.setting, log)
        try:
            instance.check(self.origin.port)
        except Exception:
            instance.stop()
            raise
        return instance

    def stop(self):
        for instance in self.instances.values():
            instance.stop()


def measure_once(stage, meter, row, kind, number):
    if row.kind != "idle":
        return meter.measure(row, stage.instance(kind, row.log), number)
    instance = stage.fresh(kind)
    try:
        return meter.measure(row, instance, number)
    finally:
        instance.stop()


def is_able(stage, meter, row, kind):
    """A proxy that cannot do what a row needs is left out of it, and never measured failing."""
    why = stage.instance(kind, row.log).unable(row, meter.load)
    if why:
        host.say(f"{row.name}: {kind.name} is left out: {why}")
        stage.left_out.append((row.name, kind.name, why))
    return not why


def measure_all(stage, meter, rows, kinds, rounds):
    """Rows one after the other, but those that are compared with one another in turn; within a row
    A B C, A B C, ...: drift then meets all alike."""
    samples = []
    for _, group in itertools.groupby(rows, lambda row: row.beside or row.name):
        pairs = [pair for row in group for pair in able_pairs(stage, meter, row, kinds)]
        for number in range(rounds):
            for row, kind in pairs:
                samples.append(measure_once(stage, meter, row, kind, number))
    return samples


def able_pairs(stage, meter, row, kinds):
    host.say(f"{row.name}: {row.says}")
    meant = (kind for kind in kinds if kind.name in row.proxies and row.log in kind.logs)
    return [(row, kind) for kind in meant if is_able(stage, meter, row, kind)]


def run(options, kinds, directory):
    load = os.path.join(options.binaries, "ringway-load")
    files = host.raise_file_limit()
    if files < 2 * options.idle + 200:
        host.say(f"only {files} descriptors are allowed; the idle rows may fail (ulimit -Hn)")
    origin = proxies.Origin(load, directory)
    mock = proxies.Origin(load, directory, "mock-llm")
    setting = proxies.Setting(
        directory, origin.port, mock.port, host.make_certificate(directory), options.io, files)
    stage = Stage(setting, origin)
    try:
        rows = row_list.choose(options.rows, options.idle)
        samples = measure_all(
            stage, measure.Meter(load, {"origin": origin, "mock": mock}, options), rows, kinds,
            options.rounds)
    finally:
        stage.stop()
        origin.stop()
        mock.stop()
    return report.Results(rows, [kind.name for kind in kinds], samples, stage.left_out)


def facts_of(options, kinds):
    return {
        "command": "benches/compare/run " + shlex.join(without_outputs(sys.argv[1:])),
        "machine": host.describe(),
        "versions": {kind.name: kind.version() for kind in kinds},
        "absent": proxies.absent(options.only, kinds),
        "rounds": options.rounds,
        "seconds": options.seconds,
    }


def without_outputs(words):
    """The command without its output files and places: those are this machine's business."""
    kept, skip = [], False
    for word in words:
        named = word.split("=")[0] in ("--json", "--markdown", "--binaries")
        if not skip and not named:
            kept.append(word)
        skip = named and "=" not in word
    return kept


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    options = arguments()
    if (os.cpu_count() or 1) < 2:
        raise SystemExit("two cores are needed: one for the proxy, one for client and origin")
    row_list.choose(options.rows, options.idle)  # a misspelt row is told before anything is built
    proxies.build_missing(options.binaries)
    kinds = proxies.find(options.only, options.binaries, not options.no_install)
    if not kinds:
        raise SystemExit("there is no proxy to measure")
    facts = facts_of(options, kinds)
    # In memory, if there is such a place: the rows with a log would measure the disk.
    shared = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    directory = tempfile.mkdtemp(prefix="ringway-compare-", dir=shared)
    try:
        results = run(options, kinds, directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    text = report.markdown(results, facts)
    print(text, end="")
    if options.markdown:
        write(options.markdown, text)
    if options.json:
        samples = [sample.as_json() for sample in results.samples]
        write(options.json, json.dumps({**facts, "samples": samples}, indent=1))


if __name__ == "__main__":
    main()
