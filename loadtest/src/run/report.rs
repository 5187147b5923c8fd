//! Turns a tally into a verdict and prints it, for people or as JSON. Pure but for the printing.
//!
//! Invariant: what makes a run invalid is decided here, in one place, from the tally alone.

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::tally::{Second, Tally};
use super::{Mode, Spec};
use crate::cli::RunArgs;
use crate::clock::{MILLI, Nanos, seconds};

/// A generator that sends later than this at p99 measures itself.
const LAG_P99_MAX: Nanos = MILLI;
/// More than this share of requests without a free connection: the load was not open any more.
const STARVED_SHARE_MAX: f64 = 0.01;

/// What a watched process spent over the window.
pub struct Watched {
    pub pid: u32,
    pub spent: Nanos,
    /// Between the two readings: a little longer than the window.
    pub length: Nanos,
    pub rss_before: u64,
    pub rss_after: u64,
}

pub struct Report<'a> {
    url: &'a str,
    connections: usize,
    threads: usize,
    mode: Mode,
    tls: bool,
    sse: bool,
    tally: &'a Tally,
    watched: Vec<Watched>,
    own: Watched,
    length: Nanos,
    /// Why the numbers are not to be quoted. Empty: they are.
    pub invalid: Vec<String>,
}

// === impl Report ===

impl<'a> Report<'a> {
    pub fn new(
        args: &'a RunArgs,
        spec: &Spec,
        tally: &'a Tally,
        watched: Vec<Watched>,
        own: Watched,
    ) -> Self {
        let to = if spec.window_to == Nanos::MAX { tally.last_end } else { spec.window_to };
        Report {
            url: &args.url,
            connections: spec.connections,
            threads: args.threads,
            mode: spec.mode,
            tls: spec.tls.is_some(),
            sse: spec.sse,
            tally,
            watched,
            own,
            length: to.saturating_sub(spec.window_from),
            invalid: verdict(tally, spec.mode),
        }
    }

    #[expect(clippy::print_stdout, reason = "the report is what the program is for")]
    pub fn print(&self, as_json: bool) {
        if as_json {
            println!("{:#}", self.json());
        } else {
            print!("{}", self.table());
        }
        for why in &self.invalid {
            eprintln!("INVALID: {why}");
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate needs no 53 bits")]
    fn per_second(&self, n: u64) -> f64 {
        if self.length == 0 { 0.0 } else { n as f64 / seconds(self.length) }
    }

    /// CPU microseconds per request that ended within the window.
    #[expect(clippy::cast_precision_loss, reason = "a ratio needs no 53 bits")]
    fn cpu_us(&self, watched: &Watched) -> f64 {
        watched.spent as f64 / 1e3 / self.tally.ended_in_window.max(1) as f64
    }

    #[expect(clippy::cast_precision_loss, reason = "a share needs no 53 bits")]
    fn busy_percent(watched: &Watched) -> f64 {
        watched.spent as f64 * 100.0 / watched.length.max(1) as f64
    }

    fn json(&self) -> Value {
        let t = self.tally;
        let mut out = json!({
            "url": self.url,
            "valid": self.invalid.is_empty(),
            "invalid": self.invalid,
            "connections": self.connections,
            "threads": self.threads,
            "seconds": seconds(self.length),
            "ok": t.ok,
            "ok_per_second": self.per_second(t.ok),
            "errors_total": t.failures(),
            "errors": object(t.errors.iter().map(|(problem, n)| (problem.name(), *n))),
            "statuses": object(t.statuses.iter().map(|(status, n)| (status.to_string(), *n))),
            "aborted": t.aborted,
            "unfinished": t.unfinished,
            "ended_in_window": t.ended_in_window,
            "bytes_in": t.bytes_in,
            "body_bytes_in": t.body_bytes,
            "bytes_out": t.bytes_out,
            "connections_made": t.connections,
            "connect_us": percentiles(&t.connect),
            "latency_us": percentiles(&t.latency),
            "first_byte_us": percentiles(&t.first_byte),
            "intervals": t.seconds.iter().enumerate().map(interval).collect::<Vec<_>>(),
            "processes": self.watched.iter().map(|w| self.process(w)).collect::<Vec<_>>(),
            "generator": self.process(&self.own),
        });
        match self.mode {
            Mode::Open { rate, arrivals } => {
                out["loop"] = json!("open");
                out["arrivals"] = json!(format!("{arrivals:?}").to_lowercase());
                out["target_per_second"] = json!(rate);
                out["service_us"] = percentiles(&t.service);
                out["send_lag_us"] = percentiles(&t.lag);
                out["waited_for_connection"] = json!(t.starved);
            }
            Mode::Closed => out["loop"] = json!("closed"),
        }
        if self.tls {
            out["handshakes"] = json!({"full": t.handshakes_full, "resumed": t.handshakes_resumed});
        }
        if self.sse {
            out["events"] = json!(t.events);
            out["event_gap_us"] = percentiles(&t.event_gap);
        }
        out
    }

    fn process(&self, watched: &Watched) -> Value {
        json!({
            "pid": watched.pid,
            "cpu_us_per_request": self.cpu_us(watched),
            "cpu_seconds": seconds(watched.spent),
            "busy_percent": Self::busy_percent(watched),
            "rss_bytes_before": watched.rss_before,
            "rss_bytes_after": watched.rss_after,
        })
    }

    fn table(&self) -> String {
        let t = self.tally;
        let mut out = String::new();
        let mut line = |text: String| {
            out.push_str(&text);
            out.push('\n');
        };
        let length = seconds(self.length);
        line(format!("{}  {} connections  {length:.2} s", self.url, self.connections));
        match self.mode {
            Mode::Open { rate, arrivals } => line(format!(
                "open loop, {arrivals:?} arrivals: {:.1}/s of {rate}/s answered well",
                self.per_second(t.ok)
            )),
            Mode::Closed => {
                line(format!("closed loop: {:.1}/s answered well", self.per_second(t.ok)))
            }
        }
        line(format!(
            "ok {}  errors {}  aborted {}  unfinished {}  in {}  out {}",
            t.ok,
            t.failures(),
            t.aborted,
            t.unfinished,
            bytes(t.bytes_in),
            bytes(t.bytes_out)
        ));
        for (problem, n) in &t.errors {
            line(format!("  error {:<40} {n}", problem.name()));
        }
        line(format!("{:>14}{HEADER}", "us"));
        line(row("latency", &t.latency));
        if matches!(self.mode, Mode::Open { .. }) {
            line(row("service", &t.service));
            line(row("send lag", &t.lag));
        }
        if !t.connect.is_empty() {
            line(row("connect", &t.connect));
        }
        if self.sse {
            line(row("first byte", &t.first_byte));
            line(row("event gap", &t.event_gap));
            line(format!("events {}", t.events));
        }
        if self.tls {
            line(format!(
                "handshakes {} full, {} resumed",
                t.handshakes_full, t.handshakes_resumed
            ));
        }
        for w in self.watched.iter().chain([&self.own]) {
            let name = if w.pid == self.own.pid { "generator" } else { "pid" };
            line(format!(
                "{name} {}: {:.2} CPU us per request, {:.1}% of a core, RSS {} -> {}",
                w.pid,
                self.cpu_us(w),
                Self::busy_percent(w),
                bytes(w.rss_before),
                bytes(w.rss_after)
            ));
        }
        out
    }
}

pub fn object(entries: impl Iterator<Item = (String, u64)>) -> Value {
    Value::Object(entries.map(|(name, n)| (name, json!(n))).collect())
}

fn interval((second, s): (usize, &Second)) -> Value {
    json!({
        "second": second,
        "ok": s.ok,
        "errors": s.errors,
        "latency_us": {
            "p50": us(s.latency.value_at_quantile(0.5)),
            "p99": us(s.latency.value_at_quantile(0.99)),
            "max": us(s.latency.max()),
        },
    })
}

/// Why a run does not count.
#[expect(clippy::cast_precision_loss, reason = "a share needs no 53 bits")]
fn verdict(tally: &Tally, mode: Mode) -> Vec<String> {
    let mut invalid = Vec::new();
    let done = tally.ok + tally.failures() + tally.aborted;
    if done == 0 {
        invalid.push("no request ended within the window".into());
    } else if tally.ok == 0 && tally.aborted == 0 {
        invalid.push("not one answer was a success".into());
    }
    if !matches!(mode, Mode::Open { .. }) {
        return invalid;
    }
    let lag = tally.lag.value_at_quantile(0.99);
    if lag > LAG_P99_MAX {
        invalid.push(format!(
            "the generator lagged: p99 of the send delay is {} us (more than {} us); give it a CPU \
             of its own, more --threads or less --rate",
            us(lag),
            us(LAG_P99_MAX)
        ));
    }
    let share = tally.starved as f64 / done.max(1) as f64;
    if share > STARVED_SHARE_MAX {
        invalid.push(format!(
            "ran out of connections: {} of {done} requests waited for a free one; raise \
             --connections, or read the latency as that of a closed pool",
            tally.starved
        ));
    }
    if tally.unfinished > 0 {
        invalid.push(format!("{} requests never ended", tally.unfinished));
    }
    invalid
}

pub const HEADER: &str = "         p50         p90         p99       p99.9         max        mean";

pub fn row(name: &str, h: &Histogram<u64>) -> String {
    format!(
        "{name:>14}{:>12.1}{:>12.1}{:>12.1}{:>12.1}{:>12.1}{:>12.1}",
        us(h.value_at_quantile(0.5)),
        us(h.value_at_quantile(0.9)),
        us(h.value_at_quantile(0.99)),
        us(h.value_at_quantile(0.999)),
        us(h.max()),
        h.mean() / 1e3
    )
}

pub fn percentiles(h: &Histogram<u64>) -> Value {
    json!({
        "count": h.len(),
        "mean": h.mean() / 1e3,
        "p50": us(h.value_at_quantile(0.5)),
        "p90": us(h.value_at_quantile(0.9)),
        "p99": us(h.value_at_quantile(0.99)),
        "p99.9": us(h.value_at_quantile(0.999)),
        "max": us(h.max()),
    })
}

#[expect(clippy::cast_precision_loss, reason = "a report needs no 53 bits")]
pub fn us(n: Nanos) -> f64 {
    n as f64 / 1e3
}

#[expect(clippy::cast_precision_loss, reason = "a report needs no 53 bits")]
pub fn bytes(n: u64) -> String {
    match n {
        0..1024 => format!("{n} B"),
        1024..1_048_576 => format!("{:.1} KiB", n as f64 / 1024.0),
        _ => format!("{:.1} MiB", n as f64 / 1_048_576.0),
    }
}

/// HdrHistogram's text format, values in microseconds.
#[expect(clippy::cast_precision_loss, reason = "a report needs no 53 bits")]
pub fn distribution(h: &Histogram<u64>) -> String {
    let mut out = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    let mut total = 0;
    for step in h.iter_quantiles(5) {
        total += step.count_since_last_iteration();
        let q = step.quantile_iterated_to();
        let value = us(step.value_iterated_to());
        let inverse = if q < 1.0 { format!("{:.2}", 1.0 / (1.0 - q)) } else { "inf".into() };
        out.push_str(&format!("{value:>12.3} {q:>14.12} {total:>10} {inverse:>14}\n"));
    }
    out.push_str(&format!(
        "#[Mean    = {:>12.3}, StdDeviation   = {:>12.3}]\n",
        h.mean() / 1e3,
        h.stdev() / 1e3
    ));
    out.push_str(&format!(
        "#[Max     = {:>12.3}, Total count    = {:>12}]\n",
        us(h.max()),
        h.len()
    ));
    out.push_str(&format!(
        "#[Buckets = {:>12}, SubBuckets     = {:>12}]\n",
        (h.high() as f64).log2().ceil(),
        2048
    ));
    out
}

#[cfg(test)]
mod tests {
    use super::super::tally::{Answer, Problem, Times, Window};
    use super::*;
    use crate::cli::Arrivals;
    use crate::clock::SECOND;

    const OPEN: Mode = Mode::Open { rate: 100.0, arrivals: Arrivals::Constant };

    /// A hundred good answers, each sent this late.
    fn tally(lag: Nanos, starved: u64) -> Tally {
        let mut tally = Tally::new(Window { from: 0, to: 10 * SECOND, by_due: true });
        let answer = Answer { status: 200, ..Answer::default() };
        for i in 0..100 {
            let due = i * 10 * MILLI;
            let sent = due + lag;
            let times =
                Times { due, sent, first_byte: sent, ended: sent + MILLI, starved: i < starved };
            tally.succeeded(&times, 0, &answer);
        }
        tally
    }

    #[test]
    fn a_good_run_is_valid() {
        assert_eq!(verdict(&tally(MILLI / 10, 1), OPEN), Vec::<String>::new());
    }

    #[test]
    fn a_lagging_generator_is_not() {
        let why = verdict(&tally(2 * MILLI, 0), OPEN);
        assert!(why.len() == 1 && why[0].contains("lagged"), "{why:?}");
    }

    #[test]
    fn nor_is_a_pool_that_ran_dry() {
        let why = verdict(&tally(0, 2), OPEN);
        assert!(why.len() == 1 && why[0].contains("ran out of connections"), "{why:?}");
    }

    #[test]
    fn nor_one_without_answers() {
        let window = Window { from: 0, to: SECOND, by_due: false };
        assert_eq!(verdict(&Tally::new(window), Mode::Closed).len(), 1);
        let mut failed = Tally::new(window);
        failed.failed(&Times::default(), 0, Problem::Connect, None);
        assert_eq!(verdict(&failed, Mode::Closed).len(), 1);
    }

    #[test]
    fn the_distribution_is_hdr_text() {
        let text = distribution(&tally(0, 0).latency);
        assert!(text.starts_with("       Value     Percentile TotalCount 1/(1-Percentile)\n\n"));
        assert!(text.contains("inf\n#[Mean    = "), "{text}");
        assert!(text.contains("Total count    =          100]"), "{text}");
    }
}
