//! Language models as the workers see them: the names clients use, who can serve each, and how each
//! of those fares.
//!
//! Owns the choice among a model's targets and what is known of them over all workers, all of it
//! atomics: breaker, latency, requests in flight. State follows names over reloads: a target's its
//! model, provider and the provider's name for it, a credential's its provider, name and value.
//! Refuses to know what a request looks like and how it is sent. Invariant: nobody is chosen who
//! could not serve the request: too small, without a feature it needs, resting, or tried before.

mod compile;
mod credential;
mod learned;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::limit::Limits;
use super::route::Target;
use crate::balance::{Admission, Allowance, Breaker, BreakerRules, BreakerState, Latency, Random};
use crate::clock::Tick;
use crate::config::Name;
use crate::llm::{Dialect, Features, ModelPattern, Price};
use crate::observe::cells::PerWorker;
use crate::observe::gen_ai::GenAiCells;

pub(super) use compile::From;
pub use credential::Credential;
pub use learned::Learned;

/// Models and providers of a snapshot.
#[derive(Default)]
pub struct Llm {
    pub models: Models,
    /// In the order of their names.
    pub providers: Vec<Arc<Provider>>,
}

/// Models by the names clients use.
#[derive(Default)]
pub struct Models {
    exact: BTreeMap<Arc<str>, Arc<Model>>,
    /// The part before the `*`, longest first.
    wildcards: Vec<(Box<str>, Arc<Model>)>,
}

/// Somebody who serves models.
pub struct Provider {
    pub name: Name,
    pub dialect: Dialect,
    /// Its place among the snapshot's upstreams, and its timeouts.
    pub target: Target,
    /// For the first byte of a streamed answer, in place of `target.first_byte`.
    pub stream_first_byte: Duration,
    /// What stands before an endpoint's own path, without a slash at its end.
    pub base_path: String,
    /// The `Host` field.
    pub host: String,
    /// Empty: it asks for none.
    pub credentials: Vec<Arc<Credential>>,
    /// Put on every request to it; names in lower case.
    pub headers: Vec<(String, String)>,
    /// By its own names for models.
    pub prices: Vec<(ModelPattern, Price)>,
    /// Counted when it is chosen.
    pub limits: Limits,
    /// Whose turn it is among the credentials.
    turn: AtomicU32,
}

/// A name clients use.
pub struct Model {
    /// As it is configured; may end in `*`.
    pub name: Arc<str>,
    /// By priority, the first choice first; at most [`Tried::MOST`].
    pub targets: Vec<Arc<LlmTarget>>,
    pub balance: ModelBalance,
    /// Tokens of output to reserve where the client names no number.
    pub output_max: Option<u64>,
    /// The same, learned from what came.
    pub learned: Arc<Learned>,
    pub limits: Limits,
    pub failover: Failover,
    /// How many of its requests may be sent again.
    pub retries: Arc<Allowance>,
}

/// How one of several targets of a priority is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelBalance {
    Weighted,
    /// The better of two drawn at random: time to the first byte times requests in flight.
    LeastLatency,
}

/// When a request is sent to another target; never after a byte of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failover {
    /// How often it is sent at most.
    pub attempts: u32,
    pub on: Causes,
    /// The longest `Retry-After` that is waited for where no other target is left.
    pub retry_after_max: Duration,
}

/// Why a request may be sent to another target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Causes(u8);

/// One reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// No connection, or it broke before a byte of an answer.
    Connect,
    /// No byte of an answer in time.
    Timeout,
    /// 429.
    RateLimit,
    /// 5xx but for the next one.
    ServerError,
    /// 503 and 529.
    Overloaded,
    /// 401 and 403: the credential, not the request, is at fault.
    Auth,
}

/// Who can serve a model, under which name.
pub struct LlmTarget {
    pub provider: Arc<Provider>,
    /// The provider's name for the model; `*`: as the client wrote it.
    pub model: Arc<str>,
    pub weight: u32,
    /// Lower ones first.
    pub priority: u32,
    /// Tokens of input and output it has room for; `None`: nobody knows.
    pub context_max: Option<u64>,
    /// What it can do; `None`: everything.
    pub features: Option<Features>,
    /// Of [`LlmTarget::model`]; of a model that keeps its name see [`LlmTarget::price_for`].
    price: Price,
    pub breaker: BreakerRules,
    pub state: Arc<TargetState>,
    pub cells: Arc<PerWorker<GenAiCells>>,
    /// Its place in the model's targets.
    at: u8,
}

/// What is known of a target over all workers.
#[derive(Default)]
pub struct TargetState {
    pub breaker: Breaker,
    pub latency: Latency,
    in_flight: AtomicU64,
}

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

/// A request that is on its way to a target: counted as in flight until it is dropped. Dropped
/// without a verdict it says nothing of the target.
#[must_use = "the request is in flight as long as this lives"]
pub struct Attempt {
    target: Arc<LlmTarget>,
    admission: Option<Admission>,
}

/// A route that ends in a model.
#[derive(Clone, Debug, Default)]
pub struct LlmRoute {
    /// Names of models, perhaps with a `*`; empty: all.
    pub models: Vec<ModelPattern>,
    /// Whether prompts and completions are logged.
    pub log_content: bool,
}

// === impl Llm ===

impl Llm {
    /// The provider of this name.
    #[must_use]
    pub fn provider(&self, name: &str) -> Option<&Arc<Provider>> {
        self.providers.iter().find(|provider| &*provider.name == name)
    }
}

// === impl Models ===

impl Models {
    /// The model of this name: exactly, or the longest one with a `*` that it begins like.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Arc<Model>> {
        self.exact.get(name).or_else(|| {
            let begins = |(before, _): &&(Box<str>, Arc<Model>)| name.starts_with(&**before);
            self.wildcards.iter().find(begins).map(|(_, model)| model)
        })
    }

    /// All of them, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Model>> {
        self.exact.values().chain(self.wildcards.iter().map(|(_, model)| model))
    }

    /// The model that is configured under this name, `*` and all.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Arc<Model>> {
        match name.strip_suffix('*') {
            None => self.exact.get(name),
            Some(before) => {
                let found = self.wildcards.iter().find(|(begins, _)| **begins == *before);
                found.map(|(_, model)| model)
            }
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.wildcards.is_empty()
    }
}

impl FromIterator<Arc<Model>> for Models {
    fn from_iter<I: IntoIterator<Item = Arc<Model>>>(models: I) -> Models {
        let mut all = Models::default();
        for model in models {
            match model.name.strip_suffix('*') {
                Some(before) => all.wildcards.push((before.into(), model)),
                None => drop(all.exact.insert(model.name.clone(), model)),
            }
        }
        all.wildcards.sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then(a.cmp(b)));
        all
    }
}

// === impl Provider ===

impl Provider {
    /// Its place among the snapshot's upstreams.
    #[must_use]
    pub fn upstream(&self) -> usize {
        self.target.upstream
    }

    /// The credential whose turn it is, of those that are awake; of none, the one that is first to
    /// wake. `None` only if the provider asks for none.
    #[must_use]
    pub fn credential(&self, now: Tick) -> Option<&Arc<Credential>> {
        if let [only] = self.credentials.as_slice() {
            return Some(only);
        }
        let count = self.credentials.len();
        let first = self.turn.fetch_add(1, Ordering::Relaxed) as usize;
        let turns = (0..count).map(|i| &self.credentials[first.wrapping_add(i) % count]);
        turns.min_by_key(|credential| credential.rests_until().0.max(now.0))
    }

    /// What the model costs that it calls so; nothing if nobody has said.
    #[must_use]
    pub fn price(&self, model: &str) -> Price {
        let prices = self.prices.iter().map(|(pattern, price)| (pattern, *price));
        ModelPattern::closest(prices, model).unwrap_or_default()
    }

    /// When one of its credentials is awake; `now` if one is, or none is asked for.
    #[must_use]
    pub fn awake_at(&self, now: Tick) -> Tick {
        let first = self.credentials.iter().map(|credential| credential.rests_until()).min();
        first.unwrap_or(now).max(now)
    }
}

// === impl Model ===

impl Model {
    /// Whether a client asks for it by its beginning.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.name.ends_with('*')
    }

    /// Tokens of output to reserve for each choice of a request that names no number.
    #[must_use]
    pub fn output_ceiling(&self) -> u64 {
        self.output_max.unwrap_or_else(|| self.learned.ceiling())
    }

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

// === impl LlmTarget ===

impl LlmTarget {
    /// The provider's name for a model that a client calls `asked`.
    #[must_use]
    pub fn model_for<'n>(&'n self, asked: &'n str) -> &'n str {
        if &*self.model == "*" { asked } else { &self.model }
    }

    /// What a model costs there that a client calls `asked`.
    #[must_use]
    pub fn price_for(&self, asked: &str) -> Price {
        if &*self.model == "*" { self.provider.price(asked) } else { self.price }
    }

    /// When both its breaker and a credential let a request go; `now` if they do.
    #[must_use]
    pub fn awake_at(&self, now: Tick) -> Tick {
        let breaker = match self.state.breaker.state(now) {
            _ if self.state.breaker.admits(&self.breaker, now) => now,
            BreakerState::Open(until) => until,
            // All trials are under way: one of them may be over at any time.
            BreakerState::HalfOpen | BreakerState::Closed => now.after(TRIAL_WAIT),
        };
        breaker.max(self.provider.awake_at(now))
    }

    /// Sends a request there, if the breaker admits it: another may have taken its last trial.
    #[must_use]
    pub fn enter(self: &Arc<LlmTarget>, now: Tick) -> Option<Attempt> {
        let admission = self.state.breaker.admit(&self.breaker, now)?;
        self.state.in_flight.fetch_add(1, Ordering::Relaxed);
        Some(Attempt { target: self.clone(), admission: Some(admission) })
    }

    fn fits(&self, need: &Need) -> bool {
        self.weight > 0 && self.has_room(need.tokens) && self.lacks(need.features).is_empty()
    }

    fn has_room(&self, tokens: u64) -> bool {
        self.context_max.is_none_or(|max| tokens <= max)
    }

    fn lacks(&self, features: Features) -> Features {
        self.features.map_or(Features::NONE, |mine| features.without(mine))
    }
}

/// What a client is told where all trials of a half-open breaker are under way.
const TRIAL_WAIT: Duration = Duration::from_secs(1);

// === impl TargetState ===

impl TargetState {
    /// Requests that are on their way now.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// What it costs to wait behind those that are there.
    fn cost(&self, now: Tick) -> u64 {
        // A stranger who is being asked costs nothing that is known: the others go first.
        let micros = self.latency.micros(now).unwrap_or(u64::from(u32::MAX));
        micros.saturating_mul(self.in_flight() + 1)
    }
}

// === impl Attempt ===

impl Attempt {
    #[must_use]
    pub fn target(&self) -> &Arc<LlmTarget> {
        &self.target
    }

    /// The first byte of a good answer has come, so long after the request was sent. It is still
    /// in flight.
    pub fn succeeded(&mut self, now: Tick, first_byte: Duration) {
        if let Some(admission) = self.admission.take() {
            self.target.state.breaker.succeeded(admission);
            self.target.state.latency.record(first_byte, now);
        }
    }

    /// It failed, and the target is to blame. One that says when to come back works: it is left
    /// alone until then, and no longer, however often it says so.
    pub fn failed(&mut self, now: Tick, retry_after: Option<Duration>) {
        let (breaker, rules) = (&self.target.state.breaker, &self.target.breaker);
        let Some(admission) = self.admission.take() else { return };
        match retry_after {
            None => breaker.failed(admission, rules, now),
            Some(wait) => {
                breaker.given_back(admission);
                breaker.hold(rules, now, wait);
            }
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(admission) = self.admission.take() {
            self.target.state.breaker.given_back(admission);
        }
        self.target.state.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
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

// === impl Causes ===

impl Causes {
    #[must_use]
    pub fn contains(self, cause: Cause) -> bool {
        self.0 & 1 << cause as u8 != 0
    }
}

impl FromIterator<Cause> for Causes {
    fn from_iter<I: IntoIterator<Item = Cause>>(causes: I) -> Causes {
        Causes(causes.into_iter().fold(0, |all, cause| all | 1 << cause as u8))
    }
}

// === impl LlmRoute ===

impl LlmRoute {
    /// Whether a client may ask for this model here.
    #[must_use]
    pub fn allows(&self, model: &str) -> bool {
        self.models.is_empty() || self.models.iter().any(|pattern| pattern.matches(model))
    }
}

#[cfg(test)]
mod tests;
