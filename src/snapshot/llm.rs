//! Language models as the workers see them: the names clients use, who can serve each, and how each
//! of those fares.
//!
//! Owns the choice among a model's targets and what is known of them over all workers, all of it
//! atomics: breaker, latency, requests in flight. State follows names over reloads: a target's its
//! model, provider and the provider's name for it, a credential's its provider, name and value.
//! Refuses to know what a request looks like and how it is sent. Invariant: nobody is chosen who
//! could not serve the request: too small, without a feature it needs, resting, or tried before.

mod choose;
mod compile;
mod credential;
mod learned;
mod target;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::limit::Limits;
use super::route::Target;
use crate::balance::Allowance;
use crate::clock::Tick;
use crate::config::Name;
use crate::llm::{Dialect, ModelPattern, Price};

pub use choose::{Need, NoTarget, Tried};
pub(super) use compile::From;
pub use credential::Credential;
pub use learned::Learned;
pub use target::{Attempt, LlmTarget, TargetState};

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
