"""Samples to tables: medians over the rounds, and the median of the per-round ratios.

A ratio is taken within a round, because the figures drift from minute to minute by more than the
proxies differ, and both sides of a round drift together.
"""

from statistics import median

BASELINES = ("haproxy", "nginx")
# Of the rows of language models: the same bytes through the plain route of these, in the same round.
LLM_BASELINES = ("ringway", "nginx")
KINDS = (
    ("load", "CPU time of the proxy per request"),
    ("handshakes", "New TLS connections per second of the proxy's CPU time (more is better)"),
    ("idle", "Resident memory per idle connection"),
    ("chat", "Language models: CPU time of the proxy per chat, beside the same bytes proxied plainly"),
    ("streams", "Language models: CPU time of the proxy per event of a paced stream, and the delay it adds"),
)
WARNINGS_MAX = 12
# Of each kind: the figure that is compared, and how it is written.
FIGURE = {"load": "cpu_us", "handshakes": "handshakes_per_cpu_second", "idle": "kib_per_connection",
          "chat": "cpu_us", "streams": "event_cpu_us"}


class Results:
    def __init__(self, rows, proxies, samples, left_out=()):
        self.rows = rows
        self.proxies = proxies
        self.samples = samples
        self.left_out = left_out

    def of(self, row, proxy):
        return [s for s in self.samples if s.row == row.name and s.proxy == proxy]

    def values(self, row, proxy, figure):
        return [v for s in self.of(row, proxy) if (v := getattr(s, figure)) is not None]

    def median(self, row, proxy, figure):
        values = self.values(row, proxy, figure)
        return median(values) if values else None

    def ratio(self, row, proxy, baseline):
        """The median over rounds of proxy / baseline; None where there is nothing to divide by."""
        figure = FIGURE[row.kind]
        other = next((other for other in self.rows if other.name == row.beside), row)
        theirs = {s.round: getattr(s, figure) for s in self.of(other, baseline)}
        ratios = [value / theirs[s.round] for s in self.of(row, proxy)
                  if (value := getattr(s, figure)) is not None and theirs.get(s.round)]
        return median(ratios) if ratios else None

    def notes(self, row, proxy):
        """Each warning word once, with how many rounds it befell."""
        samples = self.of(row, proxy)
        words = sorted({note.split(":")[0] for s in samples for note in s.notes})
        count = {w: sum(any(n.startswith(w) for n in s.notes) for s in samples) for w in words}
        return ", ".join(f"{word} {count[word]}/{len(samples)}" for word in words)


def markdown(results, facts):
    """The whole report, ready to be pasted."""
    lines = list(preamble(facts))
    for kind, title in KINDS:
        rows = [row for row in results.rows if row.kind == kind]
        if rows:
            lines += ["", f"**{title}**", ""]
            lines += table(results, kind, rows)
    if results.left_out:
        lines += ["", *(f"- {row}: {proxy} cannot do it: {why}" for row, proxy, why in results.left_out)]
    lines += warnings(results.samples)
    return "\n".join(lines) + "\n"


def warnings(samples):
    """In how many samples each kind occurred; in full what is no mere disturbance."""
    disturbed = sum(any(is_disturbance(note) for note in s.notes) for s in samples)
    others = [f"- {s.row} {s.proxy}, round {s.round + 1}: {note}"
              for s in samples for note in s.notes if not is_disturbance(note)]
    lines = []
    if disturbed:
        lines += ["", f"**{disturbed} of {len(samples)} samples were DISTURBED:** the proxy had to wait for "
                  "its core. Do not quote these numbers; stop what else runs here and measure again."]
    if others:
        lines += ["", *others[:WARNINGS_MAX]]
        if len(others) > WARNINGS_MAX:
            lines.append(f"- and {len(others) - WARNINGS_MAX} more: see --json")
    return lines


def is_disturbance(note):
    return note.startswith("DISTURBED")


def preamble(facts):
    machine = facts["machine"]
    yield f"    {facts['command']}"
    yield ""
    yield (f"{machine['date']}; {machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, "
           f"load average at the start {machine['load_average']}; {facts['rounds']} alternating rounds "
           f"of {facts['seconds']:g} s. Loopback: no network card is in these numbers.")
    yield ""
    for name, version in facts["versions"].items():
        yield f"- {name}: {version}"
    for name in facts.get("absent", ()):
        yield f"- {name}: not installed"


def table(results, kind, rows):
    llm = kind in ("chat", "streams")
    baselines = [name for name in (LLM_BASELINES if llm else BASELINES) if name in results.proxies]
    own = {
        "load": ["CPU us/request", "(min-max)", "p50 us", "p99 us", "requests/s", "core %", "RSS MiB"],
        "handshakes": ["handshakes/CPU s", "(min-max)", "p50 us", "p99 us", "core %"],
        "idle": ["KiB/connection", "(min-max)", "RSS MiB"],
        "chat": ["CPU us/chat", "(min-max)", "p50 us", "p99 us", "chats/s", "core %", "RSS MiB"],
        "streams": ["CPU us/event", "(min-max)", "first token +us", "word +us", "gap p99 +us", "core %",
                    "RSS MiB"],
    }[kind]
    plain = " plain" if llm else ""
    header = ["row", "proxy", *own[:2], *(f"/ {name}{plain}" for name in baselines), *own[2:], "notes"]
    yield line(header)
    yield line(["---"] * 2 + ["---:"] * (len(header) - 3) + ["---"])
    for row in rows:
        for proxy in results.proxies:
            values = results.values(row, proxy, FIGURE[kind])
            if values:
                ratios = [number(results.ratio(row, proxy, name), 2) for name in baselines]
                cells = details(results, kind, row, proxy)
                yield line([row.name, proxy, *spread(values), *ratios, *cells, results.notes(row, proxy)])


def details(results, kind, row, proxy):
    columns = {
        "load": (("p50_us", 0), ("p99_us", 0), ("per_second", 0), ("busy_percent", 0), ("rss_mib", 1)),
        "handshakes": (("p50_us", 0), ("p99_us", 0), ("busy_percent", 0)),
        "idle": (("rss_mib", 1),),
        "chat": (("p50_us", 0), ("p99_us", 0), ("per_second", 0), ("busy_percent", 0), ("rss_mib", 1)),
        "streams": (("added_first_us", 0), ("added_word_us", 0), ("added_gap_us", 0), ("busy_percent", 0),
                    ("rss_mib", 1)),
    }[kind]
    return [number(results.median(row, proxy, figure), digits) for figure, digits in columns]


def spread(values):
    return [f"**{number(median(values))}**", f"{number(min(values))}-{number(max(values))}"]


def number(value, digits=None):
    """Three figures that mean something, unless told otherwise."""
    if value is None:
        return "-"
    if digits is None:
        digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:.{digits}f}"


def line(cells):
    return "| " + " | ".join(str(cell) for cell in cells) + " |"
