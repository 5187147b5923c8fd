//! Prints what a run of chats came to, for people or as JSON, and decides whether it holds. Pure
//! but for the printing.

use serde_json::{Value, json};

use super::score::{Phase, Score};
use super::witness::Testimony;
use super::{LlmArgs, Spec};
use crate::clock::{MILLI, Nanos, seconds};
use crate::run::report::{HEADER, bytes, object, percentiles, row, us};

/// A generator that sends later than this at p99 measures itself.
const LAG_P99_MAX: Nanos = 2 * MILLI;

pub struct Report<'a> {
    pub args: &'a LlmArgs,
    pub spec: &'a Spec,
    pub score: &'a Score,
    pub testimony: Option<&'a Testimony>,
    /// From the first due to the last end.
    pub length: Nanos,
    /// Each process: number, CPU nanoseconds, memory before and after.
    pub processes: Vec<(u32, Nanos, u64, u64)>,
}

// === impl Report ===

impl Report<'_> {
    pub fn invalid(&self) -> Vec<String> {
        let score = self.score;
        let mut invalid = Vec::new();
        if score.ok == 0 && score.aborts_total() == 0 {
            invalid.push("not one chat was a success".into());
        }
        let lag = score.lag.value_at_quantile(0.99);
        if lag > LAG_P99_MAX {
            invalid.push(format!("the generator lagged: p99 of the send delay is {} us", us(lag)));
        }
        if score.waited * 100 > score.ok {
            let waited = score.waited;
            invalid.push(format!("ran out of connections: {waited} chats waited for a free one"));
        }
        if score.unfinished > 0 {
            invalid.push(format!("{} chats never ended", score.unfinished));
        }
        invalid.extend(self.testimony.iter().flat_map(|said| said.objections(score)));
        invalid
    }

    #[expect(clippy::print_stdout, reason = "the report is what the program is for")]
    pub fn print(&self) {
        if self.args.json {
            println!("{:#}", self.json());
        } else {
            print!("{}", self.table());
        }
        for why in self.invalid() {
            eprintln!("INVALID: {why}");
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate needs no 53 bits")]
    fn per_second(&self, n: u64) -> f64 {
        if self.length == 0 { 0.0 } else { n as f64 / seconds(self.length) }
    }

    #[expect(clippy::cast_precision_loss, reason = "a ratio needs no 53 bits")]
    fn cpu_us(&self, spent: Nanos) -> f64 {
        let ended = self.score.ok + self.score.failures() + self.score.aborts_total();
        spent as f64 / 1e3 / ended.max(1) as f64
    }

    fn json(&self) -> Value {
        let s = self.score;
        let invalid = self.invalid();
        let process = |&(pid, spent, before, after): &(u32, Nanos, u64, u64)| {
            json!({
                "pid": pid,
                "cpu_us_per_request": self.cpu_us(spent),
                "cpu_seconds": seconds(spent),
                "rss_bytes_before": before,
                "rss_bytes_after": after,
            })
        };
        json!({
            "url": self.args.url,
            "valid": invalid.is_empty(),
            "invalid": invalid,
            "loop": if self.spec.rate.is_some() { "open" } else { "closed" },
            "target_per_second": self.args.rate,
            "connections": self.spec.connections,
            "threads": self.args.threads,
            "seconds": seconds(self.length),
            "ok": s.ok,
            "ok_per_second": self.per_second(s.ok),
            "streams": s.streams,
            "errors_total": s.failures(),
            "errors": object(s.errors.iter().map(|(name, n)| (name.clone(), *n))),
            "aborted": {
                "before_first_byte": s.aborted[Phase::BeforeFirstByte as usize],
                "mid_stream": s.aborted[Phase::MidStream as usize],
                "generating": s.aborted[Phase::Generating as usize],
                "total": s.aborts_total(),
                "too_late": s.too_late,
            },
            "unfinished": s.unfinished,
            "waited_for_connection": s.waited,
            "most_at_once": s.most_at_once,
            "connections_made": s.connections,
            "words": s.words,
            "usage": {"input": s.told.input, "output": s.told.output},
            "latency_us": percentiles(&s.latency),
            "first_token_us": percentiles(&s.first_token),
            "gap_us": percentiles(&s.gap),
            "transit_us": percentiles(&s.transit),
            "send_lag_us": percentiles(&s.lag),
            "mock": self.testimony.map(Testimony::json),
            "processes": self.processes.iter().map(process).collect::<Vec<_>>(),
        })
    }

    fn table(&self) -> String {
        let s = self.score;
        let mut lines = vec![
            format!(
                "{}  {} connections, {} at once  {:.2} s",
                self.args.url,
                self.spec.connections,
                s.most_at_once,
                seconds(self.length)
            ),
            format!(
                "ok {} ({:.1}/s, {} streams)  errors {}  aborted {}  unfinished {}  waited {}",
                s.ok,
                self.per_second(s.ok),
                s.streams,
                s.failures(),
                s.aborts_total(),
                s.unfinished,
                s.waited
            ),
        ];
        lines.extend(s.errors.iter().map(|(name, n)| format!("  error {name:<40} {n}")));
        if s.aborts_total() > 0 {
            let [before, mid, generating] = s.aborted;
            lines.push(format!(
                "aborted {before} before the first byte, {mid} mid-stream, {generating} while \
                 generating; {} came too late",
                s.too_late
            ));
        }
        lines.push(format!(
            "tokens {} in, {} out; {} words read ({:.0}/s)",
            s.told.input,
            s.told.output,
            s.words,
            self.per_second(s.words)
        ));
        lines.push(format!("{:>14}{HEADER}", "us"));
        for (name, histogram) in [
            ("latency", &s.latency),
            ("first token", &s.first_token),
            ("gap", &s.gap),
            ("transit", &s.transit),
            ("send lag", &s.lag),
        ] {
            if !histogram.is_empty() {
                lines.push(row(name, histogram));
            }
        }
        lines.extend(self.testimony.iter().flat_map(|said| said.lines()));
        for &(pid, spent, before, after) in &self.processes {
            let (cpu, before, after) = (self.cpu_us(spent), bytes(before), bytes(after));
            lines.push(format!("pid {pid}: {cpu:.2} CPU us per chat, RSS {before} -> {after}"));
        }
        lines.join("\n") + "\n"
    }
}
