//! `ringway-load llm`: chats with a language model's API, due on a schedule or one after another;
//! time to first token and gaps, hang-ups at random points, every answer judged. Turns flags into
//! a [`Spec`], runs the threads, reports.
//!
//! Invariant: only an answer that is complete, in order and said once counts as ok.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, mpsc};

use clap::ValueEnum;

use crate::cli::{Arrivals, LlmArgs};
use crate::clock::{self, MILLI, Nanos, nanos};
use crate::ring::Io;
use crate::run::proc::Usage;
use crate::run::schedule::Share;
use crate::run::target::Target;
use crate::sys;

mod ask;
mod check;
mod report;
mod score;
mod talk;
mod witness;
mod worker;

use report::Report;
use score::Score;

pub const HELP: &str = "\
The URL is the gateway's (or the mock's), with the path before /v1 if there is one. The answers have
to be those of `ringway-load mock-llm`, whose words are numbered (else: --unnumbered).

Errors:  status_NNN connect timeout reset truncated malformed closed_while_idle, and of streams:
         not_json not_numbered replayed skipped two_ids error_event (the stream said it broke)
         incomplete (it just ended) after_end wrong_usage unasked_usage
Times:   first token from sending, gap between two words, transit (with a model like
         mock-t32-p20ms-stamp) from the word's making at the mock to its reading here.
Aborts:  of streams half come within --abort-within of sending, half after 1 to --abort-words
         words; of others all come within --abort-within. With --mock, the mock is asked how soon
         it noticed each, and whether anything is still generated.

Exit codes: 0 done, 1 could not run, 2 usage, 3 the run is INVALID.

Examples:
  ringway-load llm http://127.0.0.1:8080 --key sk-a --model mock-t32-p20ms-stamp --rate 50 -c 200
  ringway-load llm http://127.0.0.1:8080 --stream off -c 64 -n 100000 --model mock-t32
  ringway-load llm http://127.0.0.1:8080 --abort 1 -n 10000 -c 64 --model mock-t64-p10ms-f50ms \\
      --dialect both --stream 0.7 --mock http://127.0.0.1:9100
";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    OpenAi,
    Anthropic,
}

/// What a run speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Dialects {
    Openai,
    Anthropic,
    /// In turn
    Both,
}

/// A run, fully decided. Shared by all threads, never changed.
pub struct Spec {
    pub address: SocketAddr,
    pub host: String,
    /// The path before `/chat/completions`.
    pub base: String,
    /// Further fields of every request, each with its line's end.
    pub fields: String,
    pub dialects: Dialects,
    pub keys: Vec<String>,
    pub models: Vec<String>,
    pub prompt: String,
    pub max_tokens: Option<u64>,
    /// Shares: of streams, of chats that are aborted.
    pub streaming: f64,
    pub abort: f64,
    pub abort_within: Nanos,
    pub abort_words: u64,
    pub usage: bool,
    pub numbered: bool,
    pub rate: Option<(f64, Arrivals)>,
    pub connections: u64,
    pub requests: u64,
    pub timeout: Nanos,
    pub start: Nanos,
    pub end: Nanos,
    pub seed: u64,
    /// Number of the first chat: no other run has it.
    pub tags: u64,
    pub cpus: Vec<usize>,
    pub io: Io,
}

pub fn main(args: &LlmArgs) -> Result<ExitCode, String> {
    let mock = match &args.mock {
        Some(url) => Some(Target::parse(url)?.resolve()?),
        None => None,
    };
    let spec = Arc::new(compile(args)?);
    let _ = sys::raise_descriptor_limit(spec.connections + 256); // a connect would tell
    if let Some(mock) = mock {
        witness::reset(mock)?;
    }
    let before = usages(&args.pid)?;
    let (score, length) = load(&spec, args.threads)?;
    let after = usages(&args.pid)?;
    let testimony = match mock {
        Some(mock) => Some(witness::hear(mock, &score)?),
        None => None,
    };
    let processes =
        args.pid.iter().zip(before.iter().zip(&after)).map(|(&pid, (before, after))| {
            (pid, after.since(before), before.rss_bytes, after.rss_bytes)
        });
    let processes = processes.collect();
    let report = Report {
        args,
        spec: &spec,
        score: &score,
        testimony: testimony.as_ref(),
        length,
        processes,
    };
    report.print();
    Ok(if report.invalid().is_empty() { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

fn compile(args: &LlmArgs) -> Result<Spec, String> {
    let target = Target::parse(&args.url)?;
    if target.tls || target.websocket {
        return Err("llm speaks plain http only".into());
    }
    for (name, share) in [("--stream", args.stream), ("--abort", args.abort)] {
        if !(0.0..=1.0).contains(&share) {
            return Err(format!("{name} is a share from 0 to 1"));
        }
    }
    if args.rate.is_some_and(|rate| !(0.001..=1e8).contains(&rate)) {
        return Err("--rate is between 0.001 and 100000000".into());
    }
    if args.abort_words == 0 || args.connections == 0 || args.threads == 0 {
        return Err("--abort-words, --connections and --threads are at least 1".into());
    }
    let path = target.path.trim_end_matches('/');
    let base = if path.ends_with("/v1") { path.to_owned() } else { format!("{path}/v1") };
    let mut fields = String::new();
    for field in &args.headers {
        let (name, value) =
            field.split_once(':').ok_or_else(|| format!("-H `{field}`: no colon"))?;
        fields.push_str(&format!("{}: {}\r\n", name.trim(), value.trim()));
    }
    let start = clock::now() + 50 * MILLI;
    let end = match args.requests {
        Some(_) => Nanos::MAX / 2,
        None => start.saturating_add(nanos(args.duration)),
    };
    Ok(Spec {
        address: target.resolve()?,
        host: target.authority.clone(),
        base,
        fields,
        dialects: args.dialect,
        keys: args.keys.clone(),
        models: args.models.clone(),
        prompt: "word ".chars().cycle().take(args.prompt).collect(),
        max_tokens: args.max_tokens,
        streaming: args.stream,
        abort: args.abort,
        abort_within: nanos(args.abort_within),
        abort_words: args.abort_words,
        usage: args.usage,
        numbered: !args.unnumbered,
        rate: args.rate.map(|rate| (rate, args.arrivals)),
        connections: args.connections as u64,
        requests: args.requests.unwrap_or(u64::MAX),
        timeout: nanos(args.timeout),
        start,
        end,
        seed: args.seed,
        tags: sys::monotonic(),
        cpus: args.pin.clone(),
        io: args.io,
    })
}

/// Runs the threads to their end; says how long it took.
fn load(spec: &Arc<Spec>, threads: usize) -> Result<(Score, Nanos), String> {
    let (done, results) = mpsc::channel();
    for index in 0..threads {
        let (spec, done) = (Arc::clone(spec), done.clone());
        std::thread::spawn(move || {
            // The receiver lives until every thread has reported.
            let _ = done.send(worker::run(spec, Share { index, of: threads }));
        });
    }
    drop(done);
    let mut total = Score::new();
    let mut reports = 0;
    for result in results {
        total.add(result.map_err(|e| e.to_string())?);
        reports += 1;
    }
    if reports < threads {
        return Err("a generator thread panicked".into());
    }
    Ok((total, clock::now().saturating_sub(spec.start)))
}

fn usages(pids: &[u32]) -> Result<Vec<Usage>, String> {
    pids.iter().map(|&pid| Usage::of(pid)).collect()
}
