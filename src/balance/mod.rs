//! Which endpoint gets the next request, which one is left out for a while, and whether to try
//! again.
//!
//! Owns the choice ([`Picker`]), what passive results and active probes say of an endpoint
//! ([`Ejection`], [`Health`]), and the retry budget ([`Budget`]). Refuses to know what an endpoint
//! is: it sees a [`View`] of positions, and for what must survive a reload an identity, which is a
//! name. No IO, no clock, no lock: a worker owns its own. What all workers must know at once of a
//! model's targets ([`Breaker`], [`Latency`], [`Allowance`]) is a word each.
//!
//! Invariants: an endpoint of weight 0 or among those excluded is never picked; the same calls with
//! the same seed and ticks give the same picks; every time span is an argument.

mod allowance;
mod breaker;
mod budget;
mod ejection;
mod health;
mod latency;
mod pick;
mod random;
mod tally;
mod window;

pub use allowance::Allowance;
pub use breaker::{Admission, Breaker, BreakerRules, BreakerState};
pub use budget::{Budget, BudgetRules};
pub use ejection::{Ejection, EjectionRules, Outcome, Outlier};
pub use health::{Health, HealthChange, HealthRules};
pub use latency::Latency;
pub use pick::{Algorithm, Fallback, Member, Picker, View, hash_key};
pub use random::Random;

/// The ramp of an endpoint that takes its full share; see [`View::ramp`].
pub const RAMP_FULL: u32 = 256;
