"""One measurement: run the generator against one proxy, and read what it and the kernel say."""

import json
import subprocess
import time
from dataclasses import asdict, dataclass, field
from typing import Optional

import host
import rows
from proxies import CLIENT_CORE

# More than this share of a run in which the proxy was ready but had no core: somebody else works here.
WAITED_SHARE_MAX = 0.02
# More failed requests than this, and the run measured something else than meant.
ERROR_SHARE_MAX = 0.001


@dataclass
class Sample:
    row: str
    proxy: str
    round: int
    cpu_us: Optional[float] = None
    p50_us: Optional[float] = None
    p99_us: Optional[float] = None
    per_second: Optional[float] = None
    busy_percent: Optional[float] = None
    client_busy_percent: Optional[float] = None
    rss_mib: Optional[float] = None
    handshakes_per_cpu_second: Optional[float] = None
    kib_per_connection: Optional[float] = None
    event_cpu_us: Optional[float] = None
    # Beside a run without the proxy, just before: to the first token and of one word (medians), of gaps (p99).
    added_first_us: Optional[float] = None
    added_word_us: Optional[float] = None
    added_gap_us: Optional[float] = None
    notes: list = field(default_factory=list)

    def as_json(self):
        return asdict(self)


class Meter:
    """Runs the generator. `load` is its binary; `behind` is what stands behind the proxies, by its name."""

    def __init__(self, load, behind, options):
        self.load = load
        self.behind = behind
        self.options = options

    def measure(self, row, instance, number):
        sample = Sample(row.name, instance.name, number)
        before = instance.process.accounts()
        begun = time.monotonic_ns()
        if row.kind == "idle":
            self._idle(row, instance, sample)
        elif row.kind == "streams":
            self._streams(row, instance, sample)
        else:
            self._load(row, instance, sample)
        waited = host.waited_ns(before, instance.process.accounts())
        share = waited / (time.monotonic_ns() - begun)
        if share > WAITED_SHARE_MAX:
            sample.notes.append(f"DISTURBED: waited for its core {share:.0%} of the time")
        return sample

    def _run(self, row, instance, arguments, sample):
        pids = [str(pid) for pid in instance.process.pids()]
        url, flags = instance.aim(row)
        command = [self.load, "run", url, "--json", "--pin", str(CLIENT_CORE), *flags, *arguments]
        for pid in pids + [str(self.behind[row.behind].process.pid)]:
            command += ["--pid", pid]
        report = self._report(command, sample)
        return report, report["processes"][:len(pids)], report["processes"][len(pids)]

    @staticmethod
    def _report(command, sample):
        done = subprocess.run(command, capture_output=True, text=True)
        # 3: the generator itself calls the run invalid; its report is there all the same.
        if done.returncode not in (0, 3):
            raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
        for line in done.stderr.splitlines():
            if line.startswith("INVALID"):
                sample.notes.append(line)
        return json.loads(done.stdout)

    def _load(self, row, instance, sample):
        options = self.options
        arguments = ["-c", str(row.connections), "--duration", f"{int(options.seconds * 1000)}ms",
                     "--warmup", f"{int(options.warmup * 1000)}ms"]
        if row.open_loop:
            arguments += ["--rate", str(options.rate), "--arrivals", "poisson"]
        else:
            arguments.append("--max")
        report, proxy, origin = self._run(row, instance, arguments, sample)
        sample.cpu_us = sum(each["cpu_us_per_request"] for each in proxy)
        sample.p50_us = report["latency_us"]["p50"]
        sample.p99_us = report["latency_us"]["p99"]
        sample.per_second = report["ok_per_second"]
        sample.busy_percent = sum(each["busy_percent"] for each in proxy)
        sample.client_busy_percent = report["generator"]["busy_percent"] + origin["busy_percent"]
        sample.rss_mib = sum(each["rss_bytes_after"] for each in proxy) / 2**20
        errors = report["errors_total"]
        if errors > ERROR_SHARE_MAX * max(report["ended_in_window"], 1):
            sample.notes.append(f"ERRORS: {errors} of {report['ended_in_window']}: {report['errors']}")
        if row.kind == "handshakes":
            self._handshakes(report, sample)

    @staticmethod
    def _handshakes(report, sample):
        """Every request is a connection with a full handshake, so their CPU times are one."""
        if report["handshakes"]["resumed"]:
            sample.notes.append(f"ERRORS: {report['handshakes']['resumed']} handshakes were resumed")
        sample.handshakes_per_cpu_second = 1e6 / sample.cpu_us if sample.cpu_us else None

    def _streams(self, row, instance, sample):
        """Open loop, without warm-up; the CPU time is that of the streams' requests, too."""
        url, flags = instance.aim(row)
        seconds = self.options.seconds
        command = [self.load, "llm", "--json", "--pin", str(CLIENT_CORE), "--model", rows.STREAM_MODEL,
                   "--rate", str(rows.STREAM_RATE), "-c", str(row.connections), "--key", rows.CHAT_KEY,
                   "-d", f"{int(seconds * 1000)}ms"]
        direct = self._report([*command, f"http://127.0.0.1:{self.behind[row.behind].port}"], sample)
        pids = [word for pid in instance.process.pids() for word in ("--pid", str(pid))]
        report = self._report([*command, *flags, *pids, url], sample)
        spent = sum(each["cpu_seconds"] for each in report["processes"])
        sample.event_cpu_us = spent * 1e6 / max(report["words"], 1)
        sample.busy_percent = 100 * spent / report["seconds"]
        sample.rss_mib = sum(each["rss_bytes_after"] for each in report["processes"]) / 2**20

        def added(what, quantile):
            return report[what][quantile] - direct[what][quantile]

        if report["ok"] and direct["ok"]:
            sample.added_first_us = added("first_token_us", "p50")
            sample.added_word_us = added("transit_us", "p50")
            sample.added_gap_us = added("gap_us", "p99")
        if report["errors_total"] > ERROR_SHARE_MAX * report["ok"]:
            sample.notes.append(f"ERRORS: {report['errors_total']}, {report['ok']} ok: {report['errors']}")

    def _idle(self, row, instance, sample):
        arguments = ["--idle", str(row.connections), "--hold", f"{int(self.options.hold * 1000)}ms"]
        report, proxy, _ = self._run(row, instance, arguments, sample)
        grown = sum(each["rss_bytes_after"] - each["rss_bytes_before"] for each in proxy)
        sample.kib_per_connection = grown / 1024 / max(report["held"], 1)
        sample.rss_mib = sum(each["rss_bytes_after"] for each in proxy) / 2**20
