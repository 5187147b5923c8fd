//! Per-worker numbers. One thread writes a cell, any thread may read it.
//!
//! A write is a relaxed load and a relaxed store, never a read-modify-write: one worker owns each
//! cell, so nothing is lost and no cache line is fought over. Cells know no name: `registry` gives
//! them one, and `exposition` a line. The methods here are the doors that `metrics::Row::door`
//! names; a test finds a family whose door nobody outside this room opens.
//! Invariant: only worker `w` writes through `PerWorker::of(w)`; a second writer would lose counts,
//! though never memory safety.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crossbeam_utils::CachePadded;

use super::count::{Array, Count, Gauge, Held};
use super::gen_ai::LlmCells;
use super::histogram::{Distribution, Histogram};
use super::status::{self, STATUS_SLOTS};
use crate::clock::Wall;
use crate::failure::{self, Failure};
use crate::http::grpc;
use crate::http::h2::meter::AbuseKind;

/// Which worker, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub u16);

/// The same cells once per worker, each on cache lines of its own.
pub struct PerWorker<T>(Box<[CachePadded<T>]>);

/// How a request ended, as `RouteCells::record` takes it.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// What was sent, or 499 when the client had gone before anything was.
    pub status: u16,
    /// Why it went badly, if it did.
    pub failure: Option<Failure>,
    /// First byte of the request's head to last byte of the answer.
    pub total_ns: u64,
    /// Of that, what was spent waiting on the upstream; `None` if none was asked.
    pub upstream_ns: Option<u64>,
    /// Bytes received from the client, head and body.
    pub bytes_in: u64,
    /// Bytes sent to the client, head and body.
    pub bytes_out: u64,
    /// How a gRPC call ended, if it was one and that is known.
    pub grpc: Option<grpc::Status>,
}

/// What is counted per route.
#[derive(Default)]
pub struct RouteCells {
    pub(super) status: Array<STATUS_SLOTS>,
    pub(super) failures: Array<{ failure::COUNT }>,
    pub(super) grpc: Array<{ grpc::Status::ALL.len() }>,
    pub(super) received: Count,
    pub(super) sent: Count,
    pub(super) total: Histogram,
    pub(super) upstream: Histogram,
    pub(super) gateway: Histogram,
    pub tunnels: TunnelCells,
}

/// What is counted of a route's tunnels: connections that were upgraded.
#[derive(Default)]
pub struct TunnelCells {
    pub(super) opened: Count,
    pub(super) open: Gauge,
    pub(super) closed: Array<{ TunnelEnd::NAMES.len() }>,
    /// From the client.
    pub received: Count,
    /// To the client.
    pub sent: Count,
}

/// Why a tunnel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TunnelEnd {
    /// The client finished, in order.
    Client,
    /// The client's connection broke.
    ClientGone,
    /// The process drains.
    Drain,
    /// Nothing moved for as long as that may be.
    Idle,
    /// It was as old as it may become.
    Lifetime,
    /// A reload took its route away.
    RouteGone,
    /// A side took nothing of what was there for it.
    Stalled,
    /// The upstream finished, in order.
    Upstream,
    /// The upstream's connection broke.
    UpstreamGone,
}

/// Why a connection was not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// accept(2) failed: out of descriptors or memory.
    AcceptError,
    /// The listener holds as many as it may.
    Limit,
}

/// How a TLS handshake with a client ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// Not completed: refused, malformed, timed out.
    Failed,
    /// Completed, with a key exchange and a certificate.
    Full,
    /// Completed from a ticket.
    Resumed,
}

/// What is counted per listener.
#[derive(Default)]
pub struct ListenerCells {
    pub(super) opened: Count,
    pub(super) active: Gauge,
    pub(super) refused: Array<{ Refusal::NAMES.len() }>,
    pub(super) handshakes: Array<{ Handshake::NAMES.len() }>,
    pub(super) abuses: Array<{ AbuseKind::ALL.len() }>,
}

/// Why an idle upstream connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eviction {
    /// The other side had closed it, or sent what nobody asked for.
    Dead,
    /// Its endpoint is gone or ejected.
    Endpoint,
    /// The pool holds as many as it may.
    Excess,
    /// Idle, or alive, for as long as it may be.
    Expired,
}

/// What is counted per upstream.
#[derive(Default)]
pub struct UpstreamCells {
    pub(super) connects: Count,
    pub(super) connect_failures: Array<{ failure::COUNT }>,
    pub(super) reuses: Count,
    pub(super) idle: Gauge,
    pub(super) shared: Gauge,
    pub(super) streams: Gauge,
    pub(super) active: Gauge,
    pub(super) evictions: Array<{ Eviction::NAMES.len() }>,
    pub(super) retries: Count,
    pub(super) retry_budget_exhausted: Count,
    pub(super) waiting: Gauge,
    pub(super) sent: Count,
    pub(super) received: Count,
}

/// What is counted per endpoint.
#[derive(Default)]
pub struct EndpointCells {
    pub(super) ejections: Count,
}

/// Why API keys are refused, in the words of `auth::keys::Refusal`.
pub const KEY_REFUSALS: [&str; 9] =
    ["missing", "unknown", "disabled", "expired", "api", "version", "route", "network", "plan"];

/// What is counted per worker and nothing else.
#[derive(Default)]
pub struct WorkerCells {
    pub(super) in_flight: Gauge,
    pub(super) relay_buffers: Gauge,
    pub(super) relay_bytes: Gauge,
    pub(super) log_lines: Count,
    pub(super) log_dropped: Count,
    pub(super) generation: Gauge,
    pub(super) key_refusals: Array<{ KEY_REFUSALS.len() }>,
    pub llm: LlmCells,
}

/// How a reload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// Published.
    Applied,
    /// Refused; the old configuration stays.
    Rejected,
}

/// What the control threads count. Several of them may write, so additions are atomic here.
#[derive(Default)]
pub struct ControlCells {
    pub(super) reloads: [AtomicU64; Reload::NAMES.len()],
    pub(super) generation: AtomicU64,
    pub(super) published_ns: AtomicU64,
    pub(super) log_bytes: AtomicU64,
    pub(super) log_errors: AtomicU64,
}

// === impl PerWorker ===

impl<T: Default> PerWorker<T> {
    /// Cells for `workers` workers.
    #[must_use]
    pub fn new(workers: u16) -> PerWorker<T> {
        PerWorker((0..workers).map(|_| CachePadded::new(T::default())).collect())
    }
}

impl<T> PerWorker<T> {
    /// The cells that `worker` alone writes.
    #[must_use]
    #[inline]
    pub fn of(&self, worker: WorkerId) -> &T {
        &self.0[usize::from(worker.0)]
    }

    /// All workers' cells, in their order, to read.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|cells| &**cells)
    }

    /// The sum of one number over all workers.
    pub fn sum(&self, number: impl Fn(&T) -> u64) -> u64 {
        self.iter().map(number).fold(0, u64::wrapping_add)
    }

    /// One histogram merged over all workers.
    pub fn merged(&self, histogram: impl Fn(&T) -> &Histogram) -> Distribution {
        let mut merged = Distribution::new();
        self.iter().for_each(|cells| merged.merge(histogram(cells)));
        merged
    }
}

// === impl RouteCells ===

impl RouteCells {
    /// Counts a request that has ended.
    #[inline]
    pub fn record(&self, outcome: &Outcome) {
        self.status.add(status::slot_of(outcome.status));
        if let Some(failure) = outcome.failure {
            self.failures.add(failure as usize);
        }
        if let Some(status) = outcome.grpc {
            self.grpc.add(usize::from(status.code()));
        }
        self.received.add(outcome.bytes_in);
        self.sent.add(outcome.bytes_out);
        self.total.record_ns(outcome.total_ns);
        let upstream_ns = outcome.upstream_ns.unwrap_or(0);
        if outcome.upstream_ns.is_some() {
            self.upstream.record_ns(upstream_ns);
        }
        self.gateway.record_ns(outcome.total_ns.saturating_sub(upstream_ns));
    }
}

// === impl TunnelCells ===

impl TunnelCells {
    /// A tunnel is open until the guard is dropped.
    pub fn tunnel_opened(&self) -> Held<'_> {
        self.opened.add(1);
        self.open.hold()
    }

    /// A tunnel ended.
    pub fn tunnel_closed(&self, why: TunnelEnd) {
        self.closed.add(why as usize);
    }
}

// === impl TunnelEnd ===

impl TunnelEnd {
    pub(super) const NAMES: [&str; 9] = [
        "client",
        "client_gone",
        "drain",
        "idle",
        "lifetime",
        "route_gone",
        "stalled",
        "upstream",
        "upstream_gone",
    ];

    /// The word in labels and the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        TunnelEnd::NAMES[self as usize]
    }
}

// === impl Refusal ===

impl Refusal {
    pub(super) const NAMES: [&str; 2] = ["accept_error", "limit"];
}

// === impl Handshake ===

impl Handshake {
    pub(super) const NAMES: [&str; 3] = ["failed", "full", "resumed"];
}

// === impl ListenerCells ===

impl ListenerCells {
    /// A connection was accepted and is served until the guard is dropped.
    pub fn connection_opened(&self) -> Held<'_> {
        self.opened.add(1);
        self.active.hold()
    }

    /// A connection was not served.
    pub fn connection_refused(&self, why: Refusal) {
        self.refused.add(why as usize);
    }

    /// A TLS handshake ended.
    pub fn tls_handshake(&self, how: Handshake) {
        self.handshakes.add(how as usize);
    }

    /// A connection was ended for what the client did with HTTP/2.
    pub fn abused(&self, kind: AbuseKind) {
        self.abuses.add(kind as usize);
    }

    /// Connections this worker serves now on this listener: its cap is checked against this.
    #[must_use]
    pub fn connections_active(&self) -> u64 {
        self.active.get()
    }
}

// === impl Eviction ===

impl Eviction {
    pub(super) const NAMES: [&str; 4] = ["dead", "endpoint", "excess", "expired"];
}

// === impl UpstreamCells ===

impl UpstreamCells {
    /// A new connection was established.
    pub fn connected(&self) {
        self.connects.add(1);
    }

    /// A new connection could not be established.
    pub fn connect_failed(&self, why: Failure) {
        self.connect_failures.add(why as usize);
    }

    /// An exchange took a pooled connection.
    pub fn connection_reused(&self) {
        self.reuses.add(1);
    }

    /// The pool now holds this many idle connections.
    pub fn connections_idle(&self, now: u64) {
        self.idle.set(now);
    }

    /// There are this many shared connections now, and streams in use on them.
    pub fn shares(&self, connections: u64, streams: u64) {
        self.shared.set(connections);
        self.streams.set(streams);
    }

    /// Idle connections and running exchanges of this worker, for who looks on.
    #[must_use]
    pub fn idle_and_active(&self) -> (u64, u64) {
        (self.idle.get(), self.active.get())
    }

    /// An exchange runs until the guard is dropped.
    pub fn exchange_active(&self) -> Held<'_> {
        self.active.hold()
    }

    /// The pool closed an idle connection.
    pub fn connection_evicted(&self, why: Eviction) {
        self.evictions.add(why as usize);
    }

    /// A request is sent again.
    pub fn retried(&self) {
        self.retries.add(1);
    }

    /// A request could have been sent again, but the budget was spent.
    pub fn retry_budget_exhausted(&self) {
        self.retry_budget_exhausted.add(1);
    }

    /// A request waits for a connection until the guard is dropped.
    pub fn queue_waiting(&self) -> Held<'_> {
        self.waiting.hold()
    }

    /// Bytes of an exchange, heads and bodies.
    pub fn bytes_exchanged(&self, sent: u64, received: u64) {
        self.sent.add(sent);
        self.received.add(received);
    }
}

// === impl EndpointCells ===

impl EndpointCells {
    /// The endpoint was taken out because requests to it failed.
    pub fn ejected(&self) {
        self.ejections.add(1);
    }
}

// === impl WorkerCells ===

impl WorkerCells {
    /// A request is served until the guard is dropped.
    pub fn request_in_flight(&self) -> Held<'_> {
        self.in_flight.hold()
    }

    /// The relay pool has lent out this many buffers of this many bytes together.
    pub fn relay_buffers(&self, count: u64, bytes: u64) {
        self.relay_buffers.set(count);
        self.relay_bytes.set(bytes);
    }

    /// A log line reached the ring, or did not.
    pub(super) fn logged(&self, reached: bool) {
        if reached { self.log_lines.add(1) } else { self.log_dropped.add(1) }
    }

    /// A request was refused because of its API key: which of [`KEY_REFUSALS`].
    pub fn key_refused(&self, reason: usize) {
        self.key_refusals.add(reason);
    }

    /// The worker serves by the snapshot of this generation from now on.
    pub fn serves_generation(&self, generation: u64) {
        self.generation.set(generation);
    }
}

// === impl Reload ===

impl Reload {
    pub(super) const NAMES: [&str; 2] = ["applied", "rejected"];
}

// === impl ControlCells ===

impl ControlCells {
    /// A reload ended.
    pub fn reloaded(&self, how: Reload) {
        self.reloads[how as usize].fetch_add(1, Relaxed);
    }

    /// A snapshot was published.
    pub fn published(&self, generation: u64, at: Wall) {
        self.generation.store(generation, Relaxed);
        self.published_ns.store(at.0, Relaxed);
    }

    /// The log writer wrote this many bytes.
    pub fn log_written(&self, bytes: u64) {
        self.log_bytes.fetch_add(bytes, Relaxed);
    }

    /// The log writer failed to write or to reopen.
    pub fn log_write_failed(&self) {
        self.log_errors.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_with_an_upstream_is_split_into_its_time_and_ours() {
        let cells: PerWorker<RouteCells> = PerWorker::new(2);
        let outcome = Outcome {
            status: 502,
            failure: Some(Failure::UpstreamReset),
            total_ns: 5_000_000,
            upstream_ns: Some(4_000_000),
            bytes_in: 100,
            bytes_out: 200,
            grpc: None,
        };
        cells.of(WorkerId(1)).record(&outcome);
        cells.of(WorkerId(0)).record(&outcome);
        assert_eq!(cells.sum(|c| c.status.get(status::slot_of(502))), 2);
        assert_eq!(cells.sum(|c| c.failures.get(Failure::UpstreamReset as usize)), 2);
        assert_eq!(cells.sum(|c| c.received.get()), 200);
        assert_eq!(cells.sum(|c| c.sent.get()), 400);
        assert_eq!(cells.merged(|c| &c.total).sum_ns(), 10_000_000);
        assert_eq!(cells.merged(|c| &c.upstream).sum_ns(), 8_000_000);
        assert_eq!(cells.merged(|c| &c.gateway).sum_ns(), 2_000_000);
    }

    #[test]
    fn a_request_without_an_upstream_is_all_ours_and_a_clock_that_disagrees_is_not_negative() {
        let cells = RouteCells::default();
        let mut outcome = Outcome {
            status: 404,
            failure: Some(Failure::NotFound),
            total_ns: 7_000,
            upstream_ns: None,
            bytes_in: 1,
            bytes_out: 1,
            grpc: None,
        };
        cells.record(&outcome);
        outcome.upstream_ns = Some(9_000);
        cells.record(&outcome);
        let (mut upstream, mut gateway) = (Distribution::new(), Distribution::new());
        upstream.merge(&cells.upstream);
        gateway.merge(&cells.gateway);
        assert_eq!((upstream.count(), upstream.sum_ns()), (1, 9_000));
        assert_eq!((gateway.count(), gateway.sum_ns()), (2, 7_000));
    }

    #[test]
    fn a_held_gauge_goes_down_when_its_guard_goes_also_by_a_panic() {
        let cells = WorkerCells::default();
        let one = cells.request_in_flight();
        let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _two = cells.request_in_flight();
            assert_eq!(cells.in_flight.get(), 2);
            std::panic::resume_unwind(Box::new(()));
        }));
        assert!(unwound.is_err());
        assert_eq!(cells.in_flight.get(), 1);
        drop(one);
        assert_eq!(cells.in_flight.get(), 0);
    }

    #[test]
    fn an_opened_connection_stays_counted_when_it_is_no_longer_active() {
        let cells = ListenerCells::default();
        drop(cells.connection_opened());
        let _open = cells.connection_opened();
        assert_eq!((cells.opened.get(), cells.connections_active()), (2, 1));
    }

    #[test]
    fn two_workers_cells_share_no_cache_line() {
        let cells: PerWorker<WorkerCells> = PerWorker::new(2);
        let at = |w| std::ptr::from_ref(cells.of(WorkerId(w))).addr();
        assert_eq!(at(0) % 64, 0);
        assert!(at(1) - at(0) >= 64 && at(1) % 64 == 0);
    }
}
