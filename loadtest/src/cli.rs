//! The command line: raw flags only. What they mean together is decided where they are used.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::chats::Dialects;
use crate::ring::Io;
use crate::tls::TlsVersion;
use crate::units;

#[derive(Debug, Parser)]
#[command(name = "ringway-load", version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Generate load and report latency (the default verb)
    #[command(after_help = RUN_HELP)]
    Run(Box<RunArgs>),
    /// Serve answers, delays and faults chosen by the request's query
    #[command(after_help = ORIGIN_HELP)]
    Origin(OriginArgs),
    /// Serve a language model's API: OpenAI's and Anthropic's, paced tokens, faults on demand
    #[command(after_help = crate::mock::HELP)]
    MockLlm(MockArgs),
    /// Chat with a language model's API: first token, gaps, aborts, every answer judged
    #[command(after_help = crate::chats::HELP)]
    Llm(Box<LlmArgs>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Arrivals {
    /// Equal gaps: request i is due at t0 + i/rate
    Constant,
    /// Exponential gaps with the same mean, as independent users make them
    Poisson,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    On,
    Off,
}

// === impl Switch ===

impl Switch {
    #[must_use]
    pub fn is_on(self) -> bool {
        self == Switch::On
    }
}

#[derive(Args, Debug)]
pub struct RunArgs {
    /// `http://host[:port]/path`, `https://...`, `ws://...` or `wss://...`
    pub url: String,

    /// Requests per second, on schedule whatever the answers take (open loop)
    #[arg(long, short, conflicts_with_all = ["max", "idle"], help_heading = "Load")]
    pub rate: Option<f64>,
    /// How the requests of --rate are spread in time
    #[arg(long, value_enum, default_value = "constant", help_heading = "Load")]
    pub arrivals: Arrivals,
    /// Closed loop: every connection sends its next request when the former has ended (default
    /// without --rate). Its latency hides stalls; use it for throughput and CPU cost only
    #[arg(long, conflicts_with = "idle", help_heading = "Load")]
    pub max: bool,
    /// Connections in all
    #[arg(long, short, default_value_t = 64, help_heading = "Load")]
    pub connections: usize,
    /// Length of the measured window
    #[arg(long, short, default_value = "10s")]
    #[arg(value_parser = units::duration, help_heading = "Load")]
    pub duration: Duration,
    /// Stop after this many requests instead (all of them are measured, there is no warm-up)
    #[arg(long, short = 'n', help_heading = "Load")]
    pub requests: Option<u64>,
    /// Load before the measured window
    #[arg(long, default_value = "2s", value_parser = units::duration, help_heading = "Load")]
    pub warmup: Duration,
    /// Threads, each with a ring of its own
    #[arg(long, short, default_value_t = 1, help_heading = "Load")]
    pub threads: usize,
    /// CPUs to bind the threads to, e.g. 1 or 0,2-3
    #[arg(long, default_value = "", hide_default_value = true)]
    #[arg(value_parser = units::cpus, help_heading = "Load")]
    pub pin: CpuList,
    /// A request that takes longer fails and its connection is closed
    #[arg(long, default_value = "10s", value_parser = units::duration, help_heading = "Load")]
    pub timeout: Duration,
    /// Seed of everything random
    #[arg(long, default_value_t = 1, help_heading = "Load")]
    pub seed: u64,
    /// Event interface
    #[arg(long, value_enum, default_value = "auto", help_heading = "Load")]
    pub io: Io,

    /// HTTP/2: by prior knowledge to http, by ALPN to https
    #[arg(long, conflicts_with_all = ["websocket", "idle"], help_heading = "Protocol")]
    pub http2: bool,
    /// Requests under way on each connection
    #[arg(long, default_value_t = 1, help_heading = "Protocol")]
    pub streams: usize,
    /// gRPC: HTTP/2, POST, the body as one message; a grpc-status other than 0 is an error
    #[arg(long, conflicts_with_all = ["websocket", "idle"], help_heading = "Protocol")]
    pub grpc: bool,
    /// WebSocket (as ws:// says): upgrade, then send the body as a message and wait for its echo
    #[arg(long, conflicts_with = "sse", help_heading = "Protocol")]
    pub websocket: bool,

    /// Method
    #[arg(long, short = 'X', default_value = "GET", help_heading = "Request")]
    pub method: String,
    /// Header field `Name: value` (repeatable)
    #[arg(long = "header", short = 'H', help_heading = "Request")]
    pub headers: Vec<String>,
    /// Body: TEXT or @file
    #[arg(long, conflicts_with = "body_size", help_heading = "Request")]
    pub body: Option<String>,
    /// Body of this many bytes, e.g. 1KiB
    #[arg(long, value_parser = units::size, help_heading = "Request")]
    pub body_size: Option<usize>,
    /// Host field (default: the URL's authority)
    #[arg(long, help_heading = "Request")]
    pub host: Option<String>,
    /// off: a new connection (and TLS handshake) for every request
    #[arg(long, value_enum, default_value = "on", help_heading = "Request")]
    pub keep_alive: Switch,
    /// TOML file with a mix of requests
    #[arg(long, conflicts_with_all = ["body", "body_size"], help_heading = "Request")]
    pub plan: Option<PathBuf>,
    /// These statuses are successes and all others errors (default: 2xx)
    #[arg(long, value_delimiter = ',', help_heading = "Request")]
    pub expect_status: Vec<u16>,
    /// Count server-sent events and their gaps
    #[arg(long, help_heading = "Request")]
    pub sse: bool,
    /// Hang up this long after sending a request ...
    #[arg(long, value_parser = units::duration, help_heading = "Request")]
    pub abort_after: Option<Duration>,
    /// ... for this percentage of the requests
    #[arg(long, default_value_t = 100.0, requires = "abort_after", help_heading = "Request")]
    pub abort_percent: f64,

    /// PEM file of the CAs to trust
    #[arg(long, conflicts_with = "insecure", help_heading = "TLS")]
    pub tls_ca: Option<PathBuf>,
    /// Trust any certificate
    #[arg(long, help_heading = "TLS")]
    pub insecure: bool,
    /// Offer only this version
    #[arg(long, value_enum, help_heading = "TLS")]
    pub tls_version: Option<TlsVersion>,
    /// off: a full handshake for every connection
    #[arg(long, value_enum, default_value = "on", help_heading = "TLS")]
    pub resume: Switch,
    /// Server name to ask for (default: the URL's host)
    #[arg(long, help_heading = "TLS")]
    pub sni: Option<String>,

    /// Open this many connections, send one request on each, then hold them idle
    #[arg(long, help_heading = "Idle connections")]
    pub idle: Option<usize>,
    /// For this long
    #[arg(long, default_value = "30s")]
    #[arg(value_parser = units::duration, help_heading = "Idle connections")]
    pub hold: Duration,
    /// Do not send a request on the idle connections (TLS is still shaken hands)
    #[arg(long, requires = "idle", help_heading = "Idle connections")]
    pub silent: bool,

    /// Measure the CPU time and memory of this process over the window (repeatable)
    #[arg(long, help_heading = "Report")]
    pub pid: Vec<u32>,
    /// Report as JSON, with one-second intervals
    #[arg(long, help_heading = "Report")]
    pub json: bool,
    /// Write the latency distribution (HdrHistogram's text format) to this file
    #[arg(long, help_heading = "Report")]
    pub hgrm: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct OriginArgs {
    #[command(flatten)]
    pub listen: ListenArgs,
}

#[derive(Args, Debug)]
pub struct LlmArgs {
    /// `http://host[:port][/path]`; /v1/chat/completions or /v1/messages is put behind it
    pub url: String,

    /// Chats per second, on schedule whatever the answers take (open loop)
    #[arg(long, short, help_heading = "Load")]
    pub rate: Option<f64>,
    /// How the chats of --rate are spread in time
    #[arg(long, value_enum, default_value = "poisson", help_heading = "Load")]
    pub arrivals: Arrivals,
    /// Connections at most (open loop), or in all (closed loop)
    #[arg(long, short, default_value_t = 64, help_heading = "Load")]
    pub connections: usize,
    /// No chat begins after this
    #[arg(long, short, default_value = "10s")]
    #[arg(value_parser = units::duration, help_heading = "Load")]
    pub duration: Duration,
    /// So many chats instead
    #[arg(long, short = 'n', help_heading = "Load")]
    pub requests: Option<u64>,
    /// Threads, each with a ring of its own
    #[arg(long, short, default_value_t = 1, help_heading = "Load")]
    pub threads: usize,
    /// CPUs to bind the threads to
    #[arg(long, default_value = "", hide_default_value = true)]
    #[arg(value_parser = units::cpus, help_heading = "Load")]
    pub pin: CpuList,
    /// A chat that takes longer fails and its connection is closed
    #[arg(long, default_value = "60s", value_parser = units::duration, help_heading = "Load")]
    pub timeout: Duration,
    /// Seed of everything random
    #[arg(long, default_value_t = 1, help_heading = "Load")]
    pub seed: u64,
    /// Event interface
    #[arg(long, value_enum, default_value = "auto", help_heading = "Load")]
    pub io: Io,

    /// What to speak
    #[arg(long, value_enum, default_value = "openai", help_heading = "Chat")]
    pub dialect: Dialects,
    /// Models, taken in turn
    #[arg(long = "model", value_delimiter = ',', default_value = "mock", help_heading = "Chat")]
    pub models: Vec<String>,
    /// API keys, taken in turn
    #[arg(long = "key", value_delimiter = ',', help_heading = "Chat")]
    pub keys: Vec<String>,
    /// Share of the chats that are streamed: on, off or a number
    #[arg(long, default_value = "on", value_parser = share, help_heading = "Chat")]
    pub stream: f64,
    /// Bytes of the prompt
    #[arg(long, default_value = "64", value_parser = units::size, help_heading = "Chat")]
    pub prompt: usize,
    /// The most tokens an answer may have
    #[arg(long, help_heading = "Chat")]
    pub max_tokens: Option<u64>,
    /// Ask streams for their usage (OpenAI), and check it
    #[arg(long, help_heading = "Chat")]
    pub usage: bool,
    /// The answers are not the mock's: their words are not checked
    #[arg(long, help_heading = "Chat")]
    pub unnumbered: bool,
    /// Header field `Name: value` (repeatable)
    #[arg(long = "header", short = 'H', help_heading = "Chat")]
    pub headers: Vec<String>,

    /// Share of the chats that are hung up on
    #[arg(long, default_value = "off", value_parser = share, help_heading = "Aborts")]
    pub abort: f64,
    /// At a random time up to this after sending, or ...
    #[arg(long, default_value = "100ms", value_parser = units::duration, help_heading = "Aborts")]
    pub abort_within: Duration,
    /// ... after a random number of words up to this
    #[arg(long, default_value_t = 16, help_heading = "Aborts")]
    pub abort_words: u64,

    /// The mock behind it: its counters are reset before and compared after
    #[arg(long, help_heading = "Report")]
    pub mock: Option<String>,
    /// Measure the CPU time and memory of this process (repeatable)
    #[arg(long, help_heading = "Report")]
    pub pid: Vec<u32>,
    /// Report as JSON
    #[arg(long, help_heading = "Report")]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct MockArgs {
    #[command(flatten)]
    pub listen: ListenArgs,
    /// Tokens of an answer
    #[arg(long, default_value_t = 16)]
    pub tokens: u64,
    /// Time between two tokens
    #[arg(long, default_value = "0", value_parser = units::duration)]
    pub pace: Duration,
    /// Time before the first token
    #[arg(long, default_value = "0", value_parser = units::duration)]
    pub first: Duration,
    /// FAULT or FAULT:SHARE, e.g. 429:0.1 (repeatable; the first that is drawn is committed)
    #[arg(long, value_delimiter = ',')]
    pub fault: Vec<String>,
    /// What a 429 or 503 says in Retry-After
    #[arg(long, default_value = "1s", value_parser = units::duration)]
    pub retry_after: Duration,
    /// API keys that are taken; without one, any key or none is
    #[arg(long = "key", value_delimiter = ',')]
    pub keys: Vec<String>,
    /// Models that exist; a trailing * stands for any end
    #[arg(long = "model", value_delimiter = ',')]
    #[arg(default_value = "mock*,gpt-*,o1*,o3*,o4*,claude-*,text-embedding-*")]
    pub models: Vec<String>,
    /// Seed of everything random
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Where and how a verb serves.
#[derive(Args, Debug)]
pub struct ListenArgs {
    /// Addresses to listen on; port 0 takes a free one. One line `listening on ADDR` each
    #[arg(long, required = true, value_delimiter = ',', help_heading = "Listener")]
    pub listen: Vec<SocketAddr>,
    /// Threads, each with a ring and listeners of its own
    #[arg(long, short, default_value_t = 1, value_parser = at_least_one)]
    #[arg(help_heading = "Listener")]
    pub threads: usize,
    /// CPUs to bind the threads to
    #[arg(long, value_parser = units::cpus, default_value = "", hide_default_value = true)]
    #[arg(help_heading = "Listener")]
    pub pin: CpuList,
    /// PEM certificate chain: serve TLS
    #[arg(long, requires = "tls_key", help_heading = "Listener")]
    pub tls_cert: Option<PathBuf>,
    /// PEM private key
    #[arg(long, requires = "tls_cert", help_heading = "Listener")]
    pub tls_key: Option<PathBuf>,
    /// Event interface
    #[arg(long, value_enum, default_value = "auto", help_heading = "Listener")]
    pub io: Io,
}

/// clap treats a bare `Vec` field as a repeatable flag; this one is a single value.
pub type CpuList = std::vec::Vec<usize>;

const RUN_HELP: &str = "\
Latency is measured from the moment a request was DUE, not from when it could be sent, so a
stall of the server shows in full (no coordinated omission). Service time is measured from the
actual send and shown beside it.

Exit codes: 0 done, 1 could not run, 2 usage, 3 the run is INVALID (the generator lagged, ran out
of connections, or nothing was answered): do not quote its numbers.

Examples:
  ringway-load http://127.0.0.1:8080/ --rate 20000 --arrivals poisson --duration 30s
  ringway-load http://127.0.0.1:8080/ --max -c 64 --pin 1 --pid $(pidof ringway)
  ringway-load https://127.0.0.1:8443/ --max --insecure --keep-alive off --resume off
  ringway-load 'http://127.0.0.1:8080/?sse=10&gap=20ms' --sse --rate 100 -c 400
  ringway-load http://127.0.0.1:8080/ --idle 10000 --hold 30s --pid 1234
  ringway-load http://127.0.0.1:8080/ --rate 5000 --plan mix.toml --json
  ringway-load https://127.0.0.1:8443/ --http2 --max -c 8 --streams 16 --insecure
  ringway-load http://127.0.0.1:8080/pets.Pets/Get --grpc --max -c 8 --streams 16 --body-size 42
  ringway-load ws://127.0.0.1:8080/ws --max -c 64 --body-size 42
  ringway-load ws://127.0.0.1:8080/ws --idle 3000 --hold 30s --pid 1234

A plan (placeholders {seq} and {rand} work in path, headers and body):
  [[request]]
  weight = 9
  path = \"/pets/{rand}\"
  [[request]]
  method = \"POST\"
  path = \"/pets\"
  headers = { \"Content-Type\" = \"application/json\" }
  body = '{\"id\":{seq}}'
";

const ORIGIN_HELP: &str = "\
Without a query: 200 with a body of 42 bytes, kept alive. Request bodies are read and dropped.

HTTP/1.1, HTTP/2 (by prior knowledge, or by ALPN over TLS), gRPC (HTTP/2 with content-type
application/grpc: the message comes back, then grpc-status: 0), WebSocket (/ws: messages come back).

Paths:   /headers the request head as received   /ip the peer's address   /status counters (JSON)
Answer:  size=64KiB status=503 close=1 echo=1 (the request's body) n=... id=... (ignored)
Timing:  delay=20ms before the answer   stall=2s in mid-body   slow=1ms before every byte
Pieces:  chunked=1 chunk=1000 gap=5ms trailers=1   sse=10 gap=20ms (size=N pads each event)
Faults:  reset=1 (RST before the answer)  reset_after=N (RST after N body bytes or N events)
         truncate=N (FIN after N body bytes or N events)  drop=1 (never answers)
         early=1 (answers before reading the body)  continue=1 (100 first)
         bad=KIND (malformed head or framing): garbage status version two_lengths
         length_and_chunked length length_overflow coding chunk_size chunk_overflow chunk_end
         bare_lf obs_fold field_name space_colon nul switch excess huge_head
Over HTTP/2: reset and reset_after are RST_STREAM, truncate ends the stream early, close is GOAWAY;
slow, early, continue and bad are of HTTP/1.1 only.
An unknown parameter is answered with 400.

Examples:
  ringway-load origin --listen 127.0.0.1:9000,127.0.0.1:9001 --pin 1
  curl 'http://127.0.0.1:9000/?chunked=1&size=5000&chunk=1000&gap=5ms'
";

/// Parses the command line; `run` may be left out.
pub fn parse(args: impl Iterator<Item = OsString>) -> Cli {
    Cli::parse_from(with_default_verb(args.collect()))
}

fn with_default_verb(mut args: Vec<OsString>) -> Vec<OsString> {
    const VERBS: [&str; 9] =
        ["run", "origin", "mock-llm", "llm", "help", "-h", "--help", "-V", "--version"];
    if args.get(1).is_some_and(|first| !VERBS.iter().any(|verb| first == verb)) {
        args.insert(1, "run".into());
    }
    args
}

/// `on`, `off`, `0.3` or `30%`.
fn share(text: &str) -> Result<f64, String> {
    let (number, whole) = match (text, text.strip_suffix('%')) {
        ("on", _) => return Ok(1.0),
        ("off", _) => return Ok(0.0),
        (_, Some(percent)) => (percent, 100.0),
        _ => (text, 1.0),
    };
    match number.parse::<f64>() {
        Ok(n) if (0.0..=whole).contains(&n) => Ok(n / whole),
        _ => Err(format!("`{text}` is not a share: on, off, 0.3 or 30%")),
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err("a number of at least 1".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn run(line: &str) -> RunArgs {
        let args = std::iter::once("ringway-load").chain(line.split(' ')).map(OsString::from);
        match Cli::try_parse_from(with_default_verb(args.collect())).unwrap().verb {
            Verb::Run(args) => *args,
            other => panic!("parsed {line} as {other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_is_the_default_verb() {
        assert_eq!(run("http://a/ --rate 10").rate, Some(10.0));
        assert_eq!(run("run http://a/ --pin 0-1").pin, [0, 1]);
        assert!(run("--max http://a/").max);
        assert!(run("http://a/").pin.is_empty());
    }

    #[test]
    fn the_help_names_every_fault() {
        for kind in crate::origin::BAD_KINDS.split(' ') {
            assert!(ORIGIN_HELP.contains(kind), "{kind} is not in the help");
        }
    }
}
