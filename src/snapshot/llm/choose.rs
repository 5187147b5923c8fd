//! Who of a model's targets is to serve a request, and why nobody can.
//!
//! Nothing is taken by a choice: the breaker of the chosen one is asked when the request enters it.
//! Invariant: nobody is chosen who could not serve the request, and somebody is if anybody can.

use std::sync::Arc;

use super::{LlmTarget, Model, ModelBalance};
use crate::balance::Random;
use crate::clock::Tick;
use crate::llm::Features;

/// Which targets of a model a request has been sent to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried(u64);

/// What a request asks of a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    pub features: Features,
    /// Input and output together, estimated.
    pub tokens: u64,
}

/// Why no target is left for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoTarget {
    /// None of them can do all that it asks: these features no target has that is large enough.
    Features(Features),
    /// None of them has room for so many tokens; the largest has this.
    TooLong(u64),
    /// All that could are resting: their breaker is open, or no credential is awake. The first is
    /// back then.
    Resting(Tick),
    /// It has been sent to all that could.
    AllTried,
}

// === impl Model ===

impl Model {
    /// Who is to serve a request, of the best priority that anybody who can is left of.
    ///
    /// # Errors
    /// Why there is nobody.
    pub fn choose(
        &self,
        now: Tick,
        random: &mut Random,
        tried: Tried,
        need: &Need,
    ) -> Result<&Arc<LlmTarget>, NoTarget> {
        for group in self.targets.chunk_by(|a, b| a.priority == b.priority) {
            let mut able = Tried::default();
            for target in group {
                if target.fits(need) && !tried.contains(target) && target.awake_at(now) <= now {
                    able.add(target);
                }
            }
            let chosen = match self.balance {
                _ if able.0.count_ones() <= 1 => group.iter().find(|target| able.contains(target)),
                ModelBalance::Weighted => weighted(group, able, random),
                ModelBalance::LeastLatency => quickest(group, able, random, now),
            };
            if let Some(target) = chosen {
                return Ok(target);
            }
        }
        Err(self.why_none(now, tried, need))
    }

    fn why_none(&self, now: Tick, tried: Tried, need: &Need) -> NoTarget {
        let targets = || self.targets.iter().filter(|target| target.weight > 0);
        let roomy = || targets().filter(|target| target.has_room(need.tokens));
        if roomy().next().is_none() {
            let largest = targets().filter_map(|target| target.context_max).max();
            return NoTarget::TooLong(largest.unwrap_or(0));
        }
        let fitting = || roomy().filter(|target| target.fits(need));
        if fitting().next().is_none() {
            let lacking = roomy().map(|target| target.lacks(need.features));
            let fewest = lacking.min_by_key(|features| features.words().count());
            return NoTarget::Features(fewest.unwrap_or(need.features));
        }
        let left = fitting().filter(|target| !tried.contains(target));
        match left.map(|target| target.awake_at(now)).min() {
            Some(tick) => NoTarget::Resting(tick),
            None => NoTarget::AllTried,
        }
    }
}

fn weighted<'t>(
    group: &'t [Arc<LlmTarget>],
    able: Tried,
    random: &mut Random,
) -> Option<&'t Arc<LlmTarget>> {
    let able = || group.iter().filter(|target| able.contains(target));
    let total: u64 = able().map(|target| u64::from(target.weight)).sum();
    let mut draw = random.below(total.max(1));
    able().find(|target| {
        let here = draw < u64::from(target.weight);
        draw = draw.saturating_sub(u64::from(target.weight));
        here
    })
}

/// One nobody has measured, else the better of two.
fn quickest<'t>(
    group: &'t [Arc<LlmTarget>],
    able: Tried,
    random: &mut Random,
    now: Tick,
) -> Option<&'t Arc<LlmTarget>> {
    let able = || group.iter().filter(|target| able.contains(target));
    // Once each: while the first answer is awaited, others are not sent to a stranger as well.
    let unknown = |target: &&Arc<LlmTarget>| {
        target.state.latency.micros(now).is_none() && target.state.in_flight() == 0
    };
    if let Some(target) = able().find(unknown) {
        return Some(target);
    }
    let count = able().count() as u64;
    let nth = |n: u64| able().nth(usize::try_from(n).expect("fewer than 64"));
    let first = random.below(count.max(1));
    let second = (first + 1 + random.below(count.saturating_sub(1).max(1))) % count.max(1);
    let (first, second) = (nth(first)?, nth(second)?);
    Some(if second.state.cost(now) < first.state.cost(now) { second } else { first })
}

// === impl Tried ===

impl Tried {
    /// Targets it can tell apart.
    pub const MOST: usize = 64;

    pub fn add(&mut self, target: &LlmTarget) {
        self.0 |= 1 << target.at;
    }

    #[must_use]
    pub fn contains(self, target: &LlmTarget) -> bool {
        self.0 & 1 << target.at != 0
    }
}
