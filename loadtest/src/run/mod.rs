//! `ringway-load run`: turns flags into a [`Spec`], runs the threads, measures the processes asked
//! for over the same window, and reports.
//!
//! Invariant: a run whose own generator was the bottleneck is called INVALID (exit code 3), so
//! that no script can quote its numbers by accident.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use rustls_pki_types::ServerName;

use crate::cli::{Arrivals, RunArgs};
use crate::clock::{self, MILLI, Nanos, nanos};
use crate::ring::Io;
use crate::{sys, tls};

mod carrier;
mod exchange;
mod idle;
mod message;
mod plan;
pub mod proc;
pub mod report;
mod request;
pub mod response;
pub mod schedule;
mod session;
mod sse;
pub mod tally;
pub mod target;
pub mod timer;
mod tunnel;
mod worker;

use proc::Usage;
use report::Watched;
use request::{Mix, Wire};
use schedule::Share;
use tally::Tally;
use target::Target;

/// Threads get this long to build their rings before the first request is due.
const HEAD_START: Nanos = 50 * MILLI;

/// A run, fully decided. Shared by all threads, never changed.
pub struct Spec {
    pub address: SocketAddr,
    pub tls: Option<(Arc<rustls::ClientConfig>, ServerName<'static>)>,
    pub mix: Mix,
    pub mode: Mode,
    pub protocol: Protocol,
    /// The request that turns a connection into a WebSocket, but for its key.
    pub upgrade: Option<String>,
    pub connections: usize,
    pub keep_alive: bool,
    pub timeout: Nanos,
    /// Successes; empty means any 2xx.
    pub expect_status: Vec<u16>,
    pub sse: bool,
    /// Hang up after this long, for this share of the requests.
    pub abort: Option<(Duration, f64)>,
    pub start: Nanos,
    pub window_from: Nanos,
    pub window_to: Nanos,
    /// `u64::MAX`: as many as the duration holds.
    pub requests: u64,
    pub seed: u64,
    pub cpus: Vec<usize>,
    pub io: Io,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    Open { rate: f64, arrivals: Arrivals },
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2 { streams: usize, grpc: bool },
    WebSocket,
}

pub fn main(args: RunArgs) -> Result<ExitCode, String> {
    check(&args)?;
    let spec = Arc::new(compile(&args)?);
    // The coordinating thread shares the generators' CPUs, so as not to disturb what is measured.
    sys::pin(&spec.cpus).map_err(|e| format!("--pin: {e}"))?;
    if let Some(count) = args.idle {
        return idle::main(&args, &spec, count);
    }
    // The generator itself comes last: what it cost tells whether it could have been the limit.
    let pids: Vec<u32> = args.pid.iter().copied().chain([std::process::id()]).collect();
    let (tally, mut watched) = load(&spec, args.threads, &pids)?;
    let own = watched.pop().expect("this process was watched");
    let report = report::Report::new(&args, &spec, &tally, watched, own);
    if let Some(path) = &args.hgrm {
        let text = report::distribution(&tally.latency);
        std::fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    report.print(args.json);
    Ok(if report.invalid.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

fn check(args: &RunArgs) -> Result<(), String> {
    if args.connections == 0 || args.threads == 0 {
        return Err("--connections and --threads are at least 1".into());
    }
    if args.connections < args.threads && args.idle.is_none() {
        return Err("--connections is at least --threads".into());
    }
    if args.streams == 0 || (args.streams > 1 && !args.http2 && !args.grpc) {
        return Err("--streams is at least 1, and more only with --http2 or --grpc".into());
    }
    if args.rate.is_some_and(|rate| !(0.001..=1e8).contains(&rate)) {
        return Err("--rate is between 0.001 and 100000000".into());
    }
    if args.requests.is_none() && args.duration.is_zero() {
        return Err("--duration is longer than nothing".into());
    }
    if !(0.0..=100.0).contains(&args.abort_percent) {
        return Err("--abort-percent is between 0 and 100".into());
    }
    Ok(())
}

fn compile(args: &RunArgs) -> Result<Spec, String> {
    let target = Target::parse(&args.url)?;
    let host = args.host.clone().unwrap_or_else(|| target.authority.clone());
    let keep_alive = args.keep_alive.is_on();
    let (protocol, wire) = protocol(args, &target)?;
    let start = clock::now() + HEAD_START;
    let (window_from, window_to) = match args.requests {
        Some(_) => (start, Nanos::MAX),
        None => {
            let from = start + nanos(args.warmup);
            (from, from.saturating_add(nanos(args.duration)))
        }
    };
    let mode = match args.rate {
        Some(rate) => Mode::Open { rate, arrivals: args.arrivals },
        None => Mode::Closed,
    };
    let definitions = plan::definitions(args, &target)?;
    let websocket = protocol == Protocol::WebSocket;
    let mut expect_status = args.expect_status.clone();
    if websocket && expect_status.is_empty() {
        expect_status.push(101);
    }
    Ok(Spec {
        address: target.resolve()?,
        tls: if target.tls { Some(session(args, &target, protocol)?) } else { None },
        mix: Mix::new(&definitions, &host, wire)?,
        mode,
        protocol,
        upgrade: websocket
            .then(|| tunnel::upgrade_request(&target.path, &host, &definitions[0].headers)),
        connections: args.idle.unwrap_or(args.connections),
        keep_alive,
        timeout: nanos(args.timeout),
        expect_status,
        sse: args.sse,
        abort: args.abort_after.map(|after| (after, args.abort_percent / 100.0)),
        start,
        window_from,
        window_to,
        requests: args.requests.unwrap_or(u64::MAX),
        seed: args.seed,
        cpus: args.pin.clone(),
        io: args.io,
    })
}

fn protocol(args: &RunArgs, target: &Target) -> Result<(Protocol, Wire), String> {
    let http2 = args.http2 || args.grpc;
    if args.websocket || target.websocket {
        if http2 || args.sse || args.plan.is_some() {
            return Err("WebSocket goes with neither --http2, --grpc, --sse nor --plan".into());
        }
        return Ok((Protocol::WebSocket, Wire::WebSocket));
    }
    if http2 {
        let scheme = if target.tls { "https" } else { "http" };
        let (streams, grpc) = (args.streams, args.grpc);
        return Ok((Protocol::Http2 { streams, grpc }, Wire::Http2 { scheme, grpc }));
    }
    Ok((Protocol::Http1, Wire::Http1 { keep_alive: args.keep_alive.is_on() }))
}

fn session(
    args: &RunArgs,
    target: &Target,
    protocol: Protocol,
) -> Result<(Arc<rustls::ClientConfig>, ServerName<'static>), String> {
    let trust = match (&args.tls_ca, args.insecure) {
        (Some(path), _) => tls::Trust::Ca(path),
        (None, true) => tls::Trust::Anything,
        (None, false) => return Err("https needs --tls-ca FILE or --insecure".into()),
    };
    let alpn = if matches!(protocol, Protocol::Http2 { .. }) { "h2" } else { "http/1.1" };
    let config = tls::client(&trust, args.tls_version, args.resume.is_on(), alpn)?;
    let name = args.sni.clone().unwrap_or_else(|| target.host.clone());
    let name = ServerName::try_from(name).map_err(|e| format!("--sni: {e}"))?;
    Ok((config, name))
}

/// Runs the threads; meanwhile reads what the watched processes spend within the window.
fn load(spec: &Arc<Spec>, threads: usize, pids: &[u32]) -> Result<(Tally, Vec<Watched>), String> {
    let (done, results) = mpsc::channel();
    for index in 0..threads {
        let (spec, done) = (Arc::clone(spec), done.clone());
        std::thread::spawn(move || {
            let result = worker::run(spec, Share { index, of: threads });
            // The receiver lives until every thread has reported.
            let _ = done.send(result);
        });
    }
    drop(done);
    let mut total: Option<Tally> = None;
    let mut take = |until: Nanos| -> Result<bool, String> {
        loop {
            let wait = Duration::from_nanos(until.saturating_sub(clock::now()));
            match results.recv_timeout(wait) {
                Ok(Ok(tally)) => match &mut total {
                    Some(total) => total.add(&tally),
                    None => total = Some(tally),
                },
                Ok(Err(e)) => return Err(e.to_string()),
                Err(mpsc::RecvTimeoutError::Timeout) => return Ok(true),
                Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(false),
            }
        }
    };
    take(spec.window_from)?;
    let before = usages(pids)?;
    let mut begun = clock::now();
    take(spec.window_to)?;
    let after = usages(pids)?;
    let length = clock::now() - begun;
    begun = clock::now();
    // The rest of the answers; each thread bounds its own patience.
    while take(begun.saturating_add(Nanos::MAX / 4))? {}
    let watched = pids
        .iter()
        .zip(before.iter().zip(&after))
        .map(|(&pid, (before, after))| Watched {
            pid,
            spent: after.since(before),
            length,
            rss_before: before.rss_bytes,
            rss_after: after.rss_bytes,
        })
        .collect();
    let total = total.ok_or("a generator thread panicked")?;
    Ok((total, watched))
}

fn usages(pids: &[u32]) -> Result<Vec<Usage>, String> {
    pids.iter().map(|&pid| Usage::of(pid)).collect()
}

// === impl Spec ===

impl Spec {
    #[must_use]
    pub fn expects(&self, status: u16) -> bool {
        match self.expect_status.as_slice() {
            [] => (200..300).contains(&status),
            list => list.contains(&status),
        }
    }
}
