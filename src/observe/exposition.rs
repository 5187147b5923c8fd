//! The scrape: every family of the table as text, merged over workers.
//!
//! Owns Prometheus' text format 0.0.4 and OpenMetrics 1.0; what differs between the two is the
//! names of counters' families, the UNIT lines and the end mark. Order is the table's, then the
//! names': two scrapes of the same numbers are the same bytes. What only the operating system
//! knows is passed in.
//! Invariant: a family's lines stand together, its labels are those of its row, in its order.

mod gen_ai;

pub use gen_ai::{BreakerSeen, LedgerSeen, TargetSeen};

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::cells::{
    ControlCells, Eviction, Handshake, KEY_REFUSALS, PerWorker, Refusal, Reload, TunnelEnd,
    WorkerCells,
};
use super::count::Array;
use super::histogram::{Distribution, Histogram};
use super::metrics::{Family, Kind, Row, TABLE, Unit};
use super::proofs::{Fetch, Judged};
use super::registry::{Listing, Named, Registry};
use super::status;
use super::verdicts::Verdict;
use crate::clock::Wall;
use crate::failure;
use crate::http::grpc;
use crate::http::h2::meter::AbuseKind;

/// Which of the two formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    OpenMetrics,
    Prometheus,
}

/// What the admin thread knows of its process at a scrape.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    pub version: &'static str,
    /// `io_uring` or `epoll`.
    pub io_driver: &'static str,
    pub started: Wall,
    pub cpu_ns: u64,
    pub resident_bytes: u64,
    pub open_fds: u64,
    pub max_fds: u64,
}

/// What of a worker's thread the operating system knows.
#[derive(Clone, Copy, Debug, Default)]
pub struct WorkerSeen {
    pub parks: u64,
    pub cpu_ns: u64,
}

/// What the kernel counted in the rings of all workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rings {
    pub submissions: u64,
    pub completions: u64,
}

/// What the store of keys tells.
#[derive(Clone, Copy, Debug, Default)]
pub struct StoreSeen {
    pub keys: u64,
    pub writes: u64,
    pub errors: u64,
}

/// Whether an endpoint takes requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Takes requests.
    Healthy,
    /// Fails its probes.
    Unhealthy,
    /// Out for a while because requests to it failed.
    Ejected,
}

/// The state of an endpoint at a scrape.
#[derive(Clone, Debug)]
pub struct EndpointSeen {
    pub upstream: Arc<str>,
    pub endpoint: String,
    pub health: Health,
}

/// How full the table of limits is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitsSeen {
    pub slots: u64,
    pub used: u64,
    pub evicted: u64,
    pub full: u64,
}

/// All that is not in cells: asked for at a scrape.
#[derive(Clone, Debug)]
pub struct Outside {
    pub process: Process,
    /// By number.
    pub workers: Vec<WorkerSeen>,
    pub rings: Rings,
    pub store: StoreSeen,
    pub ledger: LedgerSeen,
    pub panics: u64,
    pub limits: LimitsSeen,
    /// In the order in which they are to be shown.
    pub endpoints: Vec<EndpointSeen>,
    /// The same.
    pub targets: Vec<TargetSeen>,
}

/// How a scrape is written.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub dialect: Dialect,
    /// Histogram lines to a power of two: 1, 2 or 4.
    pub buckets_per_octave: usize,
}

/// All that a scrape tells of.
struct Scrape<'a> {
    listing: Listing,
    workers: Arc<PerWorker<WorkerCells>>,
    control: &'a ControlCells,
    outside: &'a Outside,
}

/// The text being written, and whose family's turn it is.
struct Page<'a> {
    out: &'a mut Vec<u8>,
    options: Options,
    row: &'static Row,
}

/// Appends a scrape to `out`.
pub fn render(registry: &Registry, outside: &Outside, options: Options, out: &mut Vec<u8>) {
    let workers = registry.workers();
    let control = registry.control();
    let scrape = Scrape { listing: registry.listing(), workers, control, outside };
    for row in TABLE {
        let mut page = Page { out: &mut *out, options, row };
        page.head();
        let of_models = page.gen_ai(&scrape.listing.gen_ai, &outside.targets)
            || page.ledger(&scrape.workers, &outside.ledger);
        if !of_models {
            scrape.samples(&mut page);
        }
    }
    if options.dialect == Dialect::OpenMetrics {
        out.extend_from_slice(b"# EOF\n");
    }
}

// === impl Dialect ===

impl Dialect {
    /// What the answer's Content-Type says.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Dialect::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Dialect::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

// === impl Health ===

impl Health {
    const NAMES: [(Health, &'static str); 3] = [
        (Health::Healthy, "healthy"),
        (Health::Unhealthy, "unhealthy"),
        (Health::Ejected, "ejected"),
    ];

    /// The word in labels and on pages.
    #[must_use]
    pub fn name(self) -> &'static str {
        Health::NAMES[self as usize].1
    }
}

// === impl Options ===

impl Default for Options {
    fn default() -> Self {
        Options { dialect: Dialect::Prometheus, buckets_per_octave: 2 }
    }
}

// === impl Scrape ===

impl Scrape<'_> {
    fn samples(&self, page: &mut Page<'_>) {
        let Listing {
            listeners,
            routes,
            versions,
            upstreams,
            endpoints,
            limits,
            authorizers,
            jwks,
            ..
        } = &self.listing;
        match page.row.family {
            Family::Requests => page.choices(routes, status::label, |c| &c.status),
            Family::RequestFailures => page.choices(routes, failure_name, |c| &c.failures),
            Family::GrpcCalls => page.choices(routes, grpc_status, |c| &c.grpc),
            Family::RequestDuration => page.histograms(routes, |c| &c.total),
            Family::RequestUpstream => page.histograms(routes, |c| &c.upstream),
            Family::RequestGateway => page.histograms(routes, |c| &c.gateway),
            Family::DownstreamReceived => page.sums(routes, |c| c.received.get()),
            Family::DownstreamSent => page.sums(routes, |c| c.sent.get()),
            Family::VersionRequests => page.choices(versions, status::label, |c| &c.status),
            Family::TunnelsOpened => page.sums(routes, |c| c.tunnels.opened.get()),
            Family::TunnelsOpen => page.sums(routes, |c| c.tunnels.open.get()),
            Family::TunnelsClosed => page.choices(routes, tunnel_end, |c| &c.tunnels.closed),
            Family::TunnelReceived => page.sums(routes, |c| c.tunnels.received.get()),
            Family::TunnelSent => page.sums(routes, |c| c.tunnels.sent.get()),
            Family::ConnectionsOpened => page.sums(listeners, |c| c.opened.get()),
            Family::ConnectionsActive => page.sums(listeners, |c| c.active.get()),
            Family::ConnectionsRefused => page.named(listeners, &Refusal::NAMES, |c| &c.refused),
            Family::TlsHandshakes => page.named(listeners, &Handshake::NAMES, |c| &c.handshakes),
            Family::ProtocolAbuse => page.choices(listeners, abuse_name, |c| &c.abuses),
            Family::UpstreamConnects => page.sums(upstreams, |c| c.connects.get()),
            Family::UpstreamConnectFailures => {
                page.choices(upstreams, failure_name, |c| &c.connect_failures);
            }
            Family::UpstreamReuses => page.sums(upstreams, |c| c.reuses.get()),
            Family::UpstreamIdle => page.sums(upstreams, |c| c.idle.get()),
            Family::UpstreamShared => page.sums(upstreams, |c| c.shared.get()),
            Family::UpstreamStreams => page.sums(upstreams, |c| c.streams.get()),
            Family::UpstreamActive => page.sums(upstreams, |c| c.active.get()),
            Family::UpstreamEvictions => page.named(upstreams, &Eviction::NAMES, |c| &c.evictions),
            Family::UpstreamRetries => page.sums(upstreams, |c| c.retries.get()),
            Family::UpstreamRetryBudget => {
                page.sums(upstreams, |c| c.retry_budget_exhausted.get());
            }
            Family::UpstreamWaiting => page.sums(upstreams, |c| c.waiting.get()),
            Family::UpstreamSent => page.sums(upstreams, |c| c.sent.get()),
            Family::UpstreamReceived => page.sums(upstreams, |c| c.received.get()),
            Family::EndpointHealth => {
                for EndpointSeen { upstream, endpoint, health } in &self.outside.endpoints {
                    for (state, name) in Health::NAMES {
                        let is = u64::from(state == *health);
                        page.number(&[upstream, endpoint, name], is);
                    }
                }
            }
            Family::Authorizations => page.named(authorizers, &Judged::NAMES, |c| &c.judged),
            Family::JwksFetches => page.named(jwks, &Fetch::NAMES, |c| &c.fetches),
            Family::JwksFetched => {
                for ([name], cells) in jwks {
                    page.seconds(&[name], cells.sum(|c| c.fetched_ns.get()));
                }
            }
            Family::JwksKeys => page.sums(jwks, |c| c.keys.get()),
            Family::EndpointEjections => page.sums(endpoints, |c| c.ejections.get()),
            Family::LimitVerdicts => page.named(limits, &Verdict::NAMES, |c| &c.verdicts),
            _ => self.unnamed_samples(page),
        }
    }

    /// The families of workers, control threads and the process.
    fn unnamed_samples(&self, page: &mut Page<'_>) {
        let (control, outside, process) = (self.control, self.outside, &self.outside.process);
        let workers = &*self.workers;
        match page.row.family {
            Family::RequestsInFlight => page.workers(workers, |c| c.in_flight.get()),
            Family::KeyRefusals => {
                for (at, reason) in KEY_REFUSALS.into_iter().enumerate() {
                    page.number(&[reason], workers.sum(|c| c.key_refusals.get(at)));
                }
            }
            Family::RelayBuffers => page.workers(workers, |c| c.relay_buffers.get()),
            Family::RelayBufferBytes => page.workers(workers, |c| c.relay_bytes.get()),
            Family::WorkerParks => {
                for (worker, seen) in outside.workers.iter().enumerate() {
                    page.number(&[&worker.to_string()], seen.parks);
                }
            }
            Family::WorkerCpu => {
                for (worker, seen) in outside.workers.iter().enumerate() {
                    page.seconds(&[&worker.to_string()], seen.cpu_ns);
                }
            }
            Family::RingSubmissions => page.number(&[], outside.rings.submissions),
            Family::RingCompletions => page.number(&[], outside.rings.completions),
            Family::Panics => page.number(&[], outside.panics),
            Family::LimitSlots => page.number(&[], outside.limits.slots),
            Family::LimitSlotsUsed => page.number(&[], outside.limits.used),
            Family::LimitEvictions => page.number(&[], outside.limits.evicted),
            Family::LimitFull => page.number(&[], outside.limits.full),
            Family::WorkerGeneration => page.workers(workers, |c| c.generation.get()),
            Family::LogLines => page.workers(workers, |c| c.log_lines.get()),
            Family::LogDropped => page.workers(workers, |c| c.log_dropped.get()),
            Family::ConfigReloads => {
                for (count, result) in control.reloads.iter().zip(Reload::NAMES) {
                    page.number(&[result], count.load(Relaxed));
                }
            }
            Family::ConfigGeneration => page.number(&[], control.generation.load(Relaxed)),
            Family::ConfigPublished => page.seconds(&[], control.published_ns.load(Relaxed)),
            Family::LogWritten => page.number(&[], control.log_bytes.load(Relaxed)),
            Family::LogWriteErrors => page.number(&[], control.log_errors.load(Relaxed)),
            Family::StoreKeys => page.number(&[], outside.store.keys),
            Family::StoreWrites => page.number(&[], outside.store.writes),
            Family::StoreErrors => page.number(&[], outside.store.errors),
            Family::BuildInfo => page.number(&[process.version], 1),
            Family::IoInfo => page.number(&[process.io_driver], 1),
            Family::ProcessStart => page.seconds(&[], process.started.0),
            Family::ProcessCpu => page.seconds(&[], process.cpu_ns),
            Family::ProcessResident => page.number(&[], process.resident_bytes),
            Family::ProcessFds => page.number(&[], process.open_fds),
            Family::ProcessFdsMax => page.number(&[], process.max_fds),
            family => unreachable!("{family:?} is one of the named families"),
        }
    }
}

// === impl Page ===

impl Page<'_> {
    /// The lines that begin a family.
    fn head(&mut self) {
        let Row { name, kind, unit, help, .. } = self.row;
        let open_metrics = self.options.dialect == Dialect::OpenMetrics;
        // OpenMetrics names a counter's family without the suffix its samples have.
        let family = if open_metrics { name.trim_end_matches("_total") } else { name };
        self.text(&format!("# HELP {family} {help}\n# TYPE {family} {}\n", kind.name()));
        let unit = match unit {
            Unit::None => return,
            Unit::Bytes => "bytes",
            Unit::Seconds => "seconds",
        };
        if open_metrics {
            self.text(&format!("# UNIT {family} {unit}\n"));
        }
    }

    /// A number per name, summed over workers.
    fn sums<const N: usize, T>(&mut self, cells: &[Named<N, T>], number: impl Fn(&T) -> u64) {
        for (name, cells) in cells {
            let sum = cells.sum(&number);
            self.number(&name.each_ref().map(|label| &**label), sum);
        }
    }

    /// A number per name and word; all words are shown, so that a first one is seen to happen.
    fn named<const N: usize, const M: usize, T>(
        &mut self,
        cells: &[Named<N, T>],
        words: &[&'static str; M],
        array: impl Fn(&T) -> &Array<M>,
    ) {
        for (name, cells) in cells {
            for (slot, word) in words.iter().enumerate() {
                let mut labels: Vec<&str> = name.iter().map(|label| &**label).collect();
                labels.push(word);
                self.number(&labels, cells.sum(|c| array(c).get(slot)));
            }
        }
    }

    /// A number per name and choice, those that never happened left out: there are dozens of each.
    fn choices<const N: usize, const M: usize, T>(
        &mut self,
        cells: &[Named<N, T>],
        label: impl Fn(usize) -> String,
        array: impl Fn(&T) -> &Array<M>,
    ) {
        for (name, cells) in cells {
            for slot in 0..M {
                let sum = cells.sum(|c| array(c).get(slot));
                if sum > 0 {
                    let label = label(slot);
                    let mut labels: Vec<&str> = name.iter().map(|label| &**label).collect();
                    labels.push(&label);
                    self.number(&labels, sum);
                }
            }
        }
    }

    /// A histogram per name; a name that has recorded nothing has no lines.
    fn histograms<const N: usize, T>(
        &mut self,
        cells: &[Named<N, T>],
        histogram: impl Fn(&T) -> &Histogram,
    ) {
        for (name, cells) in cells {
            let merged = cells.merged(&histogram);
            if merged.count() > 0 {
                self.histogram(&name.each_ref().map(|label| &**label), &merged);
            }
        }
    }

    fn histogram(&mut self, labels: &[&str], merged: &Distribution) {
        for (upper_ns, below) in merged.cumulative(self.options.buckets_per_octave) {
            let le = seconds(upper_ns);
            self.sample("_bucket", labels, Some(&le), &below.to_string());
        }
        let count = merged.count().to_string();
        self.sample("_bucket", labels, Some("+Inf"), &count);
        self.sample("_sum", labels, None, &seconds(merged.sum_ns()));
        self.sample("_count", labels, None, &count);
    }

    /// A number per worker.
    fn workers(&mut self, cells: &PerWorker<WorkerCells>, number: impl Fn(&WorkerCells) -> u64) {
        for (worker, cells) in cells.iter().enumerate() {
            self.number(&[&worker.to_string()], number(cells));
        }
    }

    fn number(&mut self, labels: &[&str], value: u64) {
        self.sample("", labels, None, &value.to_string());
    }

    fn seconds(&mut self, labels: &[&str], ns: u64) {
        self.sample("", labels, None, &seconds(ns));
    }

    fn sample(&mut self, suffix: &str, labels: &[&str], le: Option<&str>, value: &str) {
        assert_eq!(labels.len(), self.row.labels.len(), "{} has its row's labels", self.row.name);
        debug_assert!(suffix.is_empty() || self.row.kind == Kind::Histogram);
        self.text(self.row.name);
        self.text(suffix);
        let mut before = '{';
        let names = self.row.labels.iter().copied().chain(["le"]);
        // An empty label is no label in both formats' data model: left out, it costs no bytes.
        let values = labels.iter().copied().chain(le);
        for (name, value) in names.zip(values).filter(|(_, value)| !value.is_empty()) {
            self.text(&format!("{before}{name}=\"{}\"", escaped(value)));
            before = ',';
        }
        self.text(if before == '{' { " " } else { "} " });
        self.text(value);
        self.text("\n");
    }

    fn text(&mut self, text: &str) {
        self.out.write_all(text.as_bytes()).expect("a Vec takes all bytes");
    }
}

fn grpc_status(slot: usize) -> String {
    grpc::Status::ALL[slot].name().to_string()
}

fn abuse_name(slot: usize) -> String {
    AbuseKind::ALL[slot].name().to_string()
}

fn tunnel_end(slot: usize) -> String {
    TunnelEnd::NAMES[slot].to_owned()
}

fn failure_name(slot: usize) -> String {
    failure::TABLE[slot].name.to_string()
}

/// Nanoseconds as seconds, exactly, in the shortest decimal form.
fn seconds(ns: u64) -> String {
    let (whole, rest) = (ns / 1_000_000_000, ns % 1_000_000_000);
    if rest == 0 {
        return format!("{whole}.0");
    }
    format!("{whole}.{rest:09}").trim_end_matches('0').to_string()
}

/// A label's value: backslash, quote and line feed escaped, as both formats want it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests;
