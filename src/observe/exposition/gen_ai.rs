//! The families of models and their targets, and of the usage ledger.
//!
//! Owns how their cells become samples: a target's cells hold those of its operations, and each
//! series has both names. Invariant: a family that is not of models is left to the others.

use std::sync::Arc;

use super::{Page, seconds};
use crate::failure;
use crate::observe::cells::{PerWorker, WorkerCells};
use crate::observe::count::Array;
use crate::observe::gen_ai::{
    AbortPhase, AttemptEnd, Buckets, ByReason, DURATIONS, FIRST_TOKEN, GenAiCells, OPERATIONS,
    OperationCells, PER_TOKEN, Summed, TOKENS,
};
use crate::observe::metrics::Family;
use crate::observe::registry::Named;

/// What the usage ledger tells.
#[derive(Clone, Copy, Debug, Default)]
pub struct LedgerSeen {
    pub written: u64,
    pub errors: u64,
    pub waiting_bytes: u64,
}

/// Whether a target of a model is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerSeen {
    Closed,
    Open,
    HalfOpen,
}

/// The state of a model's target at a scrape.
#[derive(Clone, Debug)]
pub struct TargetSeen {
    /// As configured.
    pub model: Arc<str>,
    pub provider: Arc<str>,
    /// Empty if it is the client's name for it.
    pub served: Arc<str>,
    pub breaker: BreakerSeen,
}

type Targets<'a> = &'a [Named<6, GenAiCells>];

/// How a bound and a sum are written.
type Write = fn(u64) -> String;

// === impl Page ===

impl Page<'_> {
    /// Writes the family's samples; false if it is not one of models.
    pub(super) fn gen_ai(&mut self, targets: Targets<'_>, seen: &[TargetSeen]) -> bool {
        match self.row.family {
            Family::GenAiTokens => {
                self.buckets(targets, Some("input"), &TOKENS, plain, |c| &c.input);
                self.buckets(targets, Some("output"), &TOKENS, plain, |c| &c.output);
            }
            Family::GenAiDuration => {
                self.reasons(targets, |c| &c.attempts, |slot| AttemptEnd::NAMES[slot]);
            }
            Family::GenAiRequest => {
                let name = |slot: usize| failure::TABLE[slot - 1].name;
                self.reasons(targets, |c| &c.requests, name);
            }
            Family::GenAiFirstChunk => {
                self.buckets(targets, None, &DURATIONS, seconds, |c| &c.first_chunk);
            }
            Family::GenAiChunk => self.buckets(targets, None, &DURATIONS, seconds, |c| &c.chunk),
            Family::GenAiFirstToken => {
                self.buckets(targets, None, &FIRST_TOKEN, seconds, |c| &c.first_token);
            }
            Family::GenAiPerToken => {
                self.buckets(targets, None, &PER_TOKEN, seconds, |c| &c.per_token);
            }
            Family::LlmCost => {
                for (name, cells) in targets {
                    let usd = usd(cells.sum(|c| c.cost_pico.get()));
                    self.sample("", &own(name), None, &usd);
                }
            }
            Family::LlmEstimated => {
                for (name, cells) in targets {
                    self.number(&own(name), cells.sum(|c| c.estimated.get()));
                }
            }
            Family::LlmAttempts => self.attempts(targets, |c| &c.attempts),
            Family::LlmBreaker => {
                for target in seen {
                    let TargetSeen { model, provider, served, breaker } = target;
                    for (state, word) in BreakerSeen::NAMES {
                        let is = u64::from(state == *breaker);
                        self.number(&[model, provider, served, word], is);
                    }
                }
            }
            _ => return false,
        }
        true
    }

    /// The same for what workers count whatever the model is, and for the ledger.
    pub(super) fn ledger(&mut self, workers: &PerWorker<WorkerCells>, seen: &LedgerSeen) -> bool {
        match self.row.family {
            Family::LlmAborted => {
                for (at, phase) in AbortPhase::NAMES.into_iter().enumerate() {
                    self.number(&[phase], workers.sum(|c| c.llm.aborted.get(at)));
                }
            }
            Family::LedgerEntries => self.workers(workers, |c| c.llm.entries.get()),
            Family::LedgerLost => self.workers(workers, |c| c.llm.lost.get()),
            Family::LedgerWritten => self.number(&[], seen.written),
            Family::LedgerErrors => self.number(&[], seen.errors),
            Family::LedgerWaiting => self.number(&[], seen.waiting_bytes),
            _ => return false,
        }
        true
    }

    fn attempts<const N: usize>(
        &mut self,
        targets: Targets<'_>,
        array: impl Fn(&GenAiCells) -> &Array<N>,
    ) {
        for (name, cells) in targets {
            let [model, provider, served] = own(name);
            for (slot, word) in AttemptEnd::NAMES.into_iter().enumerate() {
                let sum = cells.sum(|c| array(c).get(slot));
                if sum > 0 {
                    self.number(&[model, provider, served, word], sum);
                }
            }
        }
    }

    /// A histogram for each target and operation that has recorded any.
    fn buckets<const N: usize>(
        &mut self,
        targets: Targets<'_>,
        last: Option<&str>,
        bounds: &[u64; N],
        write: Write,
        of: impl Fn(&OperationCells) -> &Buckets<N>,
    ) {
        for (name, cells) in targets {
            for at in 0..OPERATIONS.len() {
                let summed = Summed::of(seen(cells, at).map(&of));
                self.explicit(&labels(name, at, last), bounds, write, &summed);
            }
        }
    }

    /// The same, for each way in which something ended.
    fn reasons<const N: usize>(
        &mut self,
        targets: Targets<'_>,
        of: impl Fn(&OperationCells) -> &ByReason<N>,
        word: impl Fn(usize) -> &'static str,
    ) {
        for (name, cells) in targets {
            for at in 0..OPERATIONS.len() {
                for slot in 0..N {
                    let all = seen(cells, at).filter_map(|cells| of(cells).seen(slot));
                    let summed = Summed::of(all);
                    // What ended well has no error, and an empty label is none.
                    let last = if slot == 0 { "" } else { word(slot) };
                    self.explicit(&labels(name, at, Some(last)), &DURATIONS, seconds, &summed);
                }
            }
        }
    }

    fn explicit<const N: usize>(
        &mut self,
        labels: &[&str],
        bounds: &[u64; N],
        write: Write,
        summed: &Summed<N>,
    ) {
        let count = summed.count();
        if count == 0 {
            return;
        }
        let mut below = 0;
        for (bound, in_it) in bounds.iter().zip(&summed.counts) {
            below += in_it;
            self.sample("_bucket", labels, Some(&write(*bound)), &below.to_string());
        }
        self.sample("_bucket", labels, Some("+Inf"), &count.to_string());
        self.sample("_sum", labels, None, &write(summed.sum));
        self.sample("_count", labels, None, &count.to_string());
    }
}

// === impl BreakerSeen ===

impl BreakerSeen {
    const NAMES: [(BreakerSeen, &'static str); 3] = [
        (BreakerSeen::Closed, "closed"),
        (BreakerSeen::Open, "open"),
        (BreakerSeen::HalfOpen, "half_open"),
    ];

    /// The word in labels and on pages.
    #[must_use]
    pub fn name(self) -> &'static str {
        BreakerSeen::NAMES[self as usize].1
    }
}

/// The labels of a series: operation, the target's, and one more if there is one.
fn labels<'a>(name: &'a [Arc<str>; 6], at: usize, last: Option<&'a str>) -> Vec<&'a str> {
    let own = name.iter().map(|part| &**part);
    [OPERATIONS[at]].into_iter().chain(own).chain(last).collect()
}

/// Model, provider, served model.
fn own(name: &[Arc<str>; 6]) -> [&str; 3] {
    let [_, model, served, _, _, provider] = name;
    [model, provider, served]
}

fn seen(cells: &PerWorker<GenAiCells>, at: usize) -> impl Iterator<Item = &OperationCells> {
    cells.iter().filter_map(move |cells| cells.seen(at))
}

fn plain(number: u64) -> String {
    number.to_string()
}

/// 10^-12 USD as USD, exactly, in the shortest decimal form.
fn usd(pico: u64) -> String {
    let (whole, rest) = (pico / 1_000_000_000_000, pico % 1_000_000_000_000);
    if rest == 0 {
        return whole.to_string();
    }
    format!("{whole}.{rest:012}").trim_end_matches('0').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_exact_and_short() {
        for (pico, text) in [
            (0, "0"),
            (1, "0.000000000001"),
            (2_500_000_000_000, "2.5"),
            (u64::MAX, "18446744.073709551615"),
        ] {
            assert_eq!(usd(pico), text);
        }
    }
}
