//! What is counted of requests to models, under the names of OpenTelemetry's GenAI conventions.
//!
//! `gen_ai_client_*` is what the gateway sees of providers, once an attempt; `gen_ai_server_*` what
//! its clients see of it, once a request, with the model's last target. The buckets are those of
//! the conventions, so that dashboards made for them fit. Cells of a kind of operation are made
//! when it is first asked for. As all cells they have one writer each.
//! Invariant: the number of series is bounded by the configured models and their targets, the words
//! below and `failure`'s table; nothing a client or a provider writes becomes a label.

use std::array;
use std::sync::OnceLock;

use super::count::{Array, Count};
use crate::failure::{self, Failure};

/// What the counts of a model's target are known by.
#[derive(Clone, Copy, Debug, Default)]
pub struct GenAiName<'a> {
    /// `gen_ai.provider.name`: whose wire format the provider speaks.
    pub dialect: &'a str,
    /// `gen_ai.request.model`: the model as configured, a pattern if it is one.
    pub model: &'a str,
    /// `gen_ai.response.model`: the provider's own name for it; empty if it is the client's.
    pub served: &'a str,
    /// `server.address` and `server.port`.
    pub address: &'a str,
    pub port: u16,
    /// The provider's name in the configuration.
    pub provider: &'a str,
}

/// The names of operations that are counted apart; the last is for all others.
pub(super) const OPERATIONS: [&str; 5] =
    ["chat", "text_completion", "embeddings", "count_tokens", "other"];

/// What is counted per target of a model.
#[derive(Default)]
pub struct GenAiCells {
    pub(super) attempts: Array<{ AttemptEnd::NAMES.len() }>,
    pub(super) cost_pico: Count,
    pub(super) estimated: Count,
    operations: [OnceLock<Box<OperationCells>>; OPERATIONS.len()],
}

/// The same, of one kind of operation.
#[derive(Default)]
pub struct OperationCells {
    pub(super) input: Tokens,
    pub(super) output: Tokens,
    pub(super) first_chunk: Durations,
    pub(super) chunk: Durations,
    pub(super) attempts: ByReason<{ AttemptEnd::NAMES.len() }>,
    pub(super) requests: ByReason<{ 1 + failure::COUNT }>,
    pub(super) first_token: Buckets<16>,
    pub(super) per_token: Buckets<13>,
}

/// How an attempt at a provider ended: the words of `failover.on`, and what is no failure of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptEnd {
    Ok,
    /// No connection, or it broke before the answer.
    Connect,
    Timeout,
    /// 429.
    RateLimit,
    /// 5xx but for what follows.
    ServerError,
    /// 529, or 503 with the provider's word for it.
    Overloaded,
    /// 401 or 403: the credential.
    Auth,
    /// Another 4xx: the request is at fault.
    Rejected,
    /// The answer made no sense, or ended too early.
    Broken,
    /// The client had gone.
    Cancelled,
}

/// How a request to a model ended, once for each.
#[derive(Clone, Copy, Debug)]
pub struct GenAiOutcome {
    /// Why it went badly, if it did.
    pub failure: Option<Failure>,
    /// First byte of the request to the last of the answer.
    pub total_ns: u64,
    /// To the first token of a stream.
    pub first_token_ns: Option<u64>,
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// The tokens were not counted by the provider: they make no sample of the token histogram, as
    /// the conventions demand.
    pub estimated: bool,
    /// In 10^-12 USD.
    pub cost_pico: u64,
}

/// When a request to a model was given up because its client had gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbortPhase {
    /// Before it was sent to a provider.
    Unsent,
    /// Before the first byte of the answer.
    Waiting,
    /// While the answer came.
    Answering,
}

/// What a worker counts of requests to models, whichever they are.
#[derive(Default)]
pub struct LlmCells {
    pub(super) aborted: Array<{ AbortPhase::NAMES.len() }>,
    pub(super) entries: Count,
    pub(super) lost: Count,
}

/// A histogram of the conventions' buckets.
pub(super) struct Buckets<const N: usize> {
    /// Each what lies in it and in no lower one.
    counts: [Count; N],
    above: Count,
    sum: Count,
}

/// Durations told apart by how something ended; slot 0 is for well.
pub(super) struct ByReason<const N: usize>([OnceLock<Box<Durations>>; N]);

pub(super) type Durations = Buckets<14>;
pub(super) type Tokens = Buckets<14>;

/// The same, summed over workers at a scrape.
pub(super) struct Summed<const N: usize> {
    pub(super) counts: [u64; N],
    pub(super) above: u64,
    pub(super) sum: u64,
}

const MS: u64 = 1_000_000;

/// Of `gen_ai.client.token.usage`.
pub(super) const TOKENS: [u64; 14] = {
    let (mut all, mut at) = ([1; 14], 1);
    while at < all.len() {
        all[at] = all[at - 1] * 4;
        at += 1;
    }
    all
};
/// Of `gen_ai.client.operation.*` and `gen_ai.server.request.duration`: 10 ms, and the double of
/// the one before up to 81.92 s.
pub(super) const DURATIONS: [u64; 14] = {
    let (mut all, mut at) = ([10 * MS; 14], 1);
    while at < all.len() {
        all[at] = all[at - 1] * 2;
        at += 1;
    }
    all
};
/// Of `gen_ai.server.time_to_first_token`.
pub(super) const FIRST_TOKEN: [u64; 16] = [
    MS,
    5 * MS,
    10 * MS,
    20 * MS,
    40 * MS,
    60 * MS,
    80 * MS,
    100 * MS,
    250 * MS,
    500 * MS,
    750 * MS,
    1_000 * MS,
    2_500 * MS,
    5_000 * MS,
    7_500 * MS,
    10_000 * MS,
];
/// Of `gen_ai.server.time_per_output_token`.
pub(super) const PER_TOKEN: [u64; 13] = [
    10 * MS,
    25 * MS,
    50 * MS,
    75 * MS,
    100 * MS,
    150 * MS,
    200 * MS,
    300 * MS,
    400 * MS,
    500 * MS,
    750 * MS,
    1_000 * MS,
    2_500 * MS,
];

// === impl GenAiCells ===

impl GenAiCells {
    /// The cells of an operation, by its `gen_ai.operation.name`: for who counts more than once.
    #[inline]
    pub fn operation(&self, name: &str) -> &OperationCells {
        let other = OPERATIONS.len() - 1;
        let at = OPERATIONS.iter().position(|known| *known == name).unwrap_or(other);
        self.operations[at].get_or_init(Box::default)
    }

    /// An attempt at this target has ended: the answer's last byte has come, or none will.
    pub fn attempt_ended(&self, operation: &str, how: AttemptEnd, duration_ns: u64) {
        self.attempts.add(how as usize);
        self.operation(operation).attempts.record(how as usize, &DURATIONS, duration_ns);
    }

    /// A request that this target served, or was the last to fail at, has ended.
    pub fn request_ended(&self, operation: &str, outcome: &GenAiOutcome) {
        let cells = self.operation(operation);
        let slot = outcome.failure.map_or(0, |failure| 1 + failure as usize);
        cells.requests.record(slot, &DURATIONS, outcome.total_ns);
        self.cost_pico.add(outcome.cost_pico);
        if outcome.estimated {
            self.estimated.add(1);
        } else if outcome.input_tokens > 0 || outcome.output_tokens > 0 {
            cells.input.record(&TOKENS, outcome.input_tokens);
            cells.output.record(&TOKENS, outcome.output_tokens);
        }
        let Some(first_ns) = outcome.first_token_ns else { return };
        if outcome.failure.is_some() {
            // "For successful responses."
            return;
        }
        cells.first_token.record(&FIRST_TOKEN, first_ns);
        let rest_ns = outcome.total_ns.saturating_sub(first_ns);
        if let Some(per_token) = rest_ns.checked_div(outcome.output_tokens.saturating_sub(1)) {
            cells.per_token.record(&PER_TOKEN, per_token);
        }
    }

    /// The cells of an operation, if it was ever asked for.
    pub(super) fn seen(&self, at: usize) -> Option<&OperationCells> {
        self.operations[at].get().map(|cells| &**cells)
    }
}

// === impl OperationCells ===

impl OperationCells {
    /// The first chunk of a stream has come, so long after the request was sent to the provider.
    #[inline]
    pub fn first_chunk_after(&self, ns: u64) {
        self.first_chunk.record(&DURATIONS, ns);
    }

    /// A further chunk has come, so long after the one before.
    #[inline]
    pub fn next_chunk_after(&self, gap_ns: u64) {
        self.chunk.record(&DURATIONS, gap_ns);
    }
}

// === impl AttemptEnd ===

impl AttemptEnd {
    pub(super) const NAMES: [&str; 10] = [
        "ok",
        "connect",
        "timeout",
        "rate_limit",
        "server_error",
        "overloaded",
        "auth",
        "rejected",
        "broken",
        "cancelled",
    ];

    /// The word in labels.
    #[must_use]
    pub fn name(self) -> &'static str {
        AttemptEnd::NAMES[self as usize]
    }
}

// === impl AbortPhase ===

impl AbortPhase {
    pub(super) const NAMES: [&str; 3] = ["unsent", "waiting", "answering"];
}

// === impl LlmCells ===

impl LlmCells {
    /// A request to a model was given up because its client had gone.
    pub fn aborted(&self, phase: AbortPhase) {
        self.aborted.add(phase as usize);
    }

    /// An entry is on its way to the ledger, or is lost.
    pub fn entry_pushed(&self, reached: bool) {
        if reached { self.entries.add(1) } else { self.lost.add(1) }
    }

    /// How many entries were lost so far.
    #[must_use]
    pub fn entries_lost(&self) -> u64 {
        self.lost.get()
    }
}

// === impl Buckets ===

impl<const N: usize> Buckets<N> {
    #[inline]
    fn record(&self, bounds: &[u64; N], value: u64) {
        // A bound is inclusive, as Prometheus' `le` is.
        let at = bounds.partition_point(|bound| *bound < value);
        self.counts.get(at).unwrap_or(&self.above).add(1);
        self.sum.add(value);
    }
}

impl<const N: usize> Default for Buckets<N> {
    fn default() -> Self {
        let counts = [const { Count::new() }; N];
        Buckets { counts, above: Count::new(), sum: Count::new() }
    }
}

// === impl ByReason ===

impl<const N: usize> ByReason<N> {
    fn record(&self, slot: usize, bounds: &[u64; 14], ns: u64) {
        self.0[slot].get_or_init(Box::default).record(bounds, ns);
    }

    pub(super) fn seen(&self, slot: usize) -> Option<&Durations> {
        self.0[slot].get().map(|buckets| &**buckets)
    }
}

impl<const N: usize> Default for ByReason<N> {
    fn default() -> Self {
        ByReason(array::from_fn(|_| OnceLock::new()))
    }
}

// === impl Summed ===

impl<const N: usize> Summed<N> {
    pub(super) fn of<'a>(all: impl Iterator<Item = &'a Buckets<N>>) -> Summed<N> {
        let mut summed = Summed { counts: [0; N], above: 0, sum: 0 };
        for buckets in all {
            for (sum, count) in summed.counts.iter_mut().zip(&buckets.counts) {
                *sum += count.get();
            }
            summed.above += buckets.above.get();
            summed.sum = summed.sum.wrapping_add(buckets.sum.get());
        }
        summed
    }

    pub(super) fn count(&self) -> u64 {
        self.counts.iter().sum::<u64>() + self.above
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_those_of_the_conventions_and_ascend() {
        assert_eq!(TOKENS[13], 67_108_864);
        assert_eq!(DURATIONS[13], 81_920 * MS);
        for bounds in [&TOKENS[..], &DURATIONS, &FIRST_TOKEN, &PER_TOKEN] {
            assert!(bounds.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }

    #[test]
    fn a_bound_is_inclusive_and_what_is_above_all_is_counted_too() {
        let tokens = Tokens::default();
        for value in [0, 1, 2, 4, 5, u64::MAX >> 1] {
            tokens.record(&TOKENS, value);
        }
        let summed = Summed::of([&tokens].into_iter());
        assert_eq!(summed.counts[..3], [2, 2, 1]);
        assert_eq!((summed.above, summed.count()), (1, 6));
    }

    #[test]
    fn an_outcome_is_counted_where_it_belongs() {
        let cells = GenAiCells::default();
        let ok = GenAiOutcome {
            failure: None,
            total_ns: 1_100 * MS,
            first_token_ns: Some(100 * MS),
            input_tokens: 10,
            output_tokens: 101,
            estimated: false,
            cost_pico: 7,
        };
        cells.request_ended("chat", &ok);
        cells.request_ended("chat", &GenAiOutcome { estimated: true, ..ok });
        let failed = GenAiOutcome { failure: Some(Failure::UpstreamReset), ..ok };
        cells.request_ended("chat", &failed);
        cells.request_ended("chat", &GenAiOutcome { output_tokens: 1, ..ok });
        cells.attempt_ended("no such operation", AttemptEnd::Timeout, 5);
        let chat = cells.seen(0).unwrap();
        let count = |tokens: &Tokens| Summed::of([tokens].into_iter()).count();
        assert_eq!((count(&chat.input), count(&chat.output)), (3, 3), "estimates are no samples");
        assert_eq!(Summed::of([&chat.first_token].into_iter()).count(), 3);
        let per_token = Summed::of([&chat.per_token].into_iter());
        assert_eq!((per_token.count(), per_token.counts[0]), (2, 2), "10 ms each; one has no rest");
        assert_eq!((cells.cost_pico.get(), cells.estimated.get()), (28, 1));
        assert!(chat.requests.seen(1 + Failure::UpstreamReset as usize).is_some());
        assert!(cells.seen(1).is_none(), "no cells for what was never asked");
        assert!(cells.seen(OPERATIONS.len() - 1).is_some());
    }
}
