"""The machine under the benchmark: free ports, pinned processes and their CPU accounts, a certificate."""

import os
import platform
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time


def free_ports(count):
    """Ports nobody listens on now. All are held until the last is found, so none is given twice."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def raise_file_limit():
    """As many descriptors as allowed: 3,000 idle connections need them on both sides."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def make_certificate(directory):
    """A self-signed P-256 certificate: the key type that public sites use most."""
    cert, key, pem = (os.path.join(directory, name) for name in ("cert.pem", "key.pem", "both.pem"))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", key, "-out", cert],
        check=True, capture_output=True)
    with open(pem, "wb") as both:
        for part in (cert, key):
            with open(part, "rb") as file:
                both.write(file.read())
    return cert, key, pem


class Process:
    """One program of ours, bound to a core from its first instruction, in a process group of its own."""

    def __init__(self, name, command, core, log, stdout=None):
        self.name = name
        self.log = log
        with open(log, "ab") as errors:
            self.child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stdout or errors, stderr=errors,
                start_new_session=True, preexec_fn=lambda: os.sched_setaffinity(0, {core}))

    @property
    def pid(self):
        return self.child.pid

    def pids(self):
        """Its process and their children: nginx works in a child."""
        with open(f"/proc/{self.pid}/task/{self.pid}/children") as file:
            return [self.pid] + [int(pid) for pid in file.read().split()]

    def accounts(self):
        """By thread: how long it ran, and how long it was ready to run but had no core, in ns."""
        accounts = {}
        for pid in self.pids():
            for tid in os.listdir(f"/proc/{pid}/task"):
                try:
                    with open(f"/proc/{pid}/task/{tid}/schedstat") as file:
                        ran, waited = file.read().split()[:2]
                except FileNotFoundError:
                    continue  # the thread ended meanwhile
                accounts[tid] = int(ran), int(waited)
        return accounts

    def wait_for_port(self, port, seconds=10):
        """Until somebody accepts there; raises with the log if the program ends instead."""
        until = time.monotonic() + seconds
        while True:
            if self.child.poll() is not None or time.monotonic() > until:
                self.stop()
                raise RuntimeError(f"{self.name} does not serve; its log:\n{self.last_words()}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)

    def last_words(self):
        with open(self.log, errors="replace") as file:
            return file.read()[-2000:]

    def stop(self):
        """Ends its process group, and only that."""
        if self.child.poll() is None:
            self._signal(signal.SIGTERM)
            try:
                self.child.wait(timeout=4)
            except subprocess.TimeoutExpired:
                pass
        self._signal(signal.SIGKILL)
        self.child.wait()

    def _signal(self, number):
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            pass  # all of the group has ended


def first_line(command):
    """What a program says of itself first, on either stream; empty if it cannot run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0] if lines else ""


def describe():
    """What must stand beside any number: processor, kernel, cores, how busy the machine is."""
    model = "unknown"
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "load_average": round(os.getloadavg()[0], 2),
        "openssl": first_line(["openssl", "version"]),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def install(packages):
    """From apt, as root. False where that is not possible."""
    if not packages or os.geteuid() != 0 or not shutil.which("apt-get"):
        return False
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    say(f"installing {' '.join(packages)}")
    for command in (["apt-get", "update", "-qq"],
                    ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]):
        done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL)
        if done.returncode != 0:
            return False
    return True


def waited_ns(before, after):
    """How long the busiest thread was kept from its core. The proxy's own small threads, which wait for
    that one, do not count: only strangers make it wait."""
    spent = {tid: (ran - before[tid][0], waited - before[tid][1])
             for tid, (ran, waited) in after.items() if tid in before}
    return max(spent.values(), default=(0, 0))[1]


def say(text):
    """Progress goes to standard error: standard output holds the result only."""
    print(text, file=sys.stderr, flush=True)
