//! The choice of an endpoint.
//!
//! Owns the four algorithms and their little state. Sees endpoints through [`View`]; cost is that
//! of a few draws for `LeastRequest` and `Random`, of one scan for `RoundRobin` and `Hash`.
//!
//! `Hash` is weighted rendezvous hashing: each endpoint scores the key, the highest score wins.
//! Against a ring it needs no table, holds weights exactly, and moves exactly the share of the
//! endpoint that came or went. A score depends on the key, the endpoint's NAME and its weight,
//! never on its position.

use super::RAMP_FULL;
use super::random::{Random, fold};
use crate::bounds::{BALANCE_DRAWS_MAX, BALANCE_WEIGHT_MAX};
use crate::clock::Tick;

/// What a picker sees of the endpoints, by position.
pub trait View {
    /// How many there are: as many as the picker's members, in the same order.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The configured weight; 0 takes the endpoint out.
    fn weight(&self, i: usize) -> u32;
    /// Requests it is working on.
    fn active(&self, i: usize) -> u32;
    /// Whether probes and results let it be used.
    fn usable(&self, i: usize, now: Tick) -> bool;
    /// Slow start: its share of its weight, of [`RAMP_FULL`].
    fn ramp(&self, _i: usize, _now: Tick) -> u32 {
        RAMP_FULL
    }
}

/// An endpoint, for a new picker.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Its name or address: what `Hash` knows it by.
    pub identity: &'a str,
    /// Its configured weight.
    pub weight: u32,
}

/// How to choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// Of two drawn by weight, the one with fewer requests for its weight.
    #[default]
    LeastRequest,
    /// In turn by weight, spread evenly (nginx's smooth round robin).
    RoundRobin,
    /// By weight, blindly.
    Random,
    /// The same endpoint for the same hash; by weight if there is no hash.
    Hash {
        /// With `Some(25)` an endpoint gets at most 1.25 times its share of the requests under way,
        /// and the next best takes what is over (consistent hashing with bounded loads).
        overload_percent: Option<u32>,
    },
}

/// What to do when no endpoint is usable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fallback {
    /// Pick none.
    #[default]
    Refuse,
    /// Pick among all, as if all were usable: a wrong health check then costs nothing.
    Any,
}

/// Chooses endpoints; one for each upstream and worker.
#[derive(Clone, Debug)]
pub struct Picker {
    algorithm: Algorithm,
    fallback: Fallback,
    random: Random,
    /// The heaviest configured weight.
    heaviest: u32,
    /// `Hash`: of each member's identity.
    identities: Vec<u64>,
    /// `RoundRobin`: what each member is owed.
    owed: Vec<i64>,
}

/// The endpoints that one pick may choose from.
struct Field<'a, V> {
    view: &'a V,
    exclude: &'a [usize],
    now: Tick,
    usable_only: bool,
}

// === impl Picker ===

impl Picker {
    /// A picker for these members. `seed` should differ from worker to worker.
    #[must_use]
    pub fn new(
        algorithm: Algorithm,
        fallback: Fallback,
        members: &[Member<'_>],
        seed: u64,
    ) -> Picker {
        Picker {
            algorithm,
            fallback,
            random: Random::new(seed),
            heaviest: members.iter().map(|m| m.weight).max().unwrap_or(0).min(BALANCE_WEIGHT_MAX),
            identities: members.iter().map(|m| hash_key(m.identity.as_bytes())).collect(),
            owed: vec![0; members.len()],
        }
    }

    /// The position of the endpoint for the next request. `hash` is for [`Algorithm::Hash`] (see
    /// [`hash_key`]); `exclude` are those already tried for this request.
    pub fn pick(
        &mut self,
        view: &impl View,
        hash: Option<u64>,
        exclude: &[usize],
        now: Tick,
    ) -> Option<usize> {
        debug_assert_eq!(view.len(), self.identities.len(), "the view is of the members");
        let usable = Field { view, exclude, now, usable_only: true };
        self.choose(&usable, hash).or_else(|| match self.fallback {
            Fallback::Refuse => None,
            Fallback::Any => self.choose(&Field { usable_only: false, ..usable }, hash),
        })
    }

    fn choose<V: View>(&mut self, field: &Field<'_, V>, hash: Option<u64>) -> Option<usize> {
        match (self.algorithm, hash) {
            (Algorithm::LeastRequest, _) => self.less_busy_of_two(field),
            (Algorithm::RoundRobin, _) => self.next_in_turn(field),
            (Algorithm::Random, _) | (Algorithm::Hash { .. }, None) => self.draw(field, None),
            (Algorithm::Hash { overload_percent }, Some(hash)) => {
                self.highest_score(field, hash, overload_percent)
            }
        }
    }

    /// One endpoint with a probability in proportion to its share, but not `other`.
    fn draw<V: View>(&mut self, field: &Field<'_, V>, other: Option<usize>) -> Option<usize> {
        let len = field.view.len();
        let most = u64::from(self.heaviest) * u64::from(RAMP_FULL);
        if len == 0 || most == 0 {
            return None;
        }
        // By rejection: each round accepts an endpoint in proportion to its share, so the result is
        // exactly that of the scan below, mostly without looking at all endpoints.
        for _ in 0..BALANCE_DRAWS_MAX {
            let i = index(self.random.below(len as u64));
            if other != Some(i) && self.random.below(most) < field.share(i) {
                return Some(i);
            }
        }
        let share = |i: usize| if other == Some(i) { 0 } else { field.share(i) };
        let total: u64 = (0..len).map(share).sum();
        if total == 0 {
            return None;
        }
        let mut left = self.random.below(total);
        (0..len).find(|&i| {
            let share = share(i);
            let here = left < share;
            left = left.saturating_sub(share);
            here
        })
    }

    /// Power of two choices. Both are drawn by weight and compared by requests for their weight; a
    /// tie goes to the first, so that an idle upstream is used exactly by weight.
    fn less_busy_of_two<V: View>(&mut self, field: &Field<'_, V>) -> Option<usize> {
        let first = self.draw(field, None)?;
        let Some(second) = self.draw(field, Some(first)) else { return Some(first) };
        let load = |i: usize, of: usize| u64::from(field.view.active(i)) * field.share(of);
        Some(if load(second, first) < load(first, second) { second } else { first })
    }

    /// Smooth weighted round robin: all are owed their share, the most owed is picked and pays.
    fn next_in_turn<V: View>(&mut self, field: &Field<'_, V>) -> Option<usize> {
        let mut total = 0;
        let mut best: Option<(usize, i64)> = None;
        for (i, owed) in self.owed.iter_mut().enumerate().take(field.view.len()) {
            let share = i64::try_from(field.share(i)).expect("weights are bounded");
            if share == 0 {
                continue;
            }
            *owed += share;
            total += share;
            if best.is_none_or(|(_, most)| *owed > most) {
                best = Some((i, *owed));
            }
        }
        let (i, _) = best?;
        self.owed[i] -= total;
        Some(i)
    }

    fn highest_score<V: View>(
        &self,
        field: &Field<'_, V>,
        hash: u64,
        overload_percent: Option<u32>,
    ) -> Option<usize> {
        let all = 0..field.view.len().min(self.identities.len());
        let room = overload_percent.map(|percent| {
            let (active, share) = all.clone().filter(|&i| field.share(i) > 0).fold(
                (1u128, 0u128),
                |(active, share), i| {
                    let more = u128::from(field.view.active(i));
                    (active + more, share + u128::from(field.share(i)))
                },
            );
            (active * (100 + u128::from(percent)), share * 100)
        });
        let fits = |i: usize| {
            room.is_none_or(|(requests, shares)| {
                let most = (requests * u128::from(field.share(i))).div_ceil(shares.max(1));
                u128::from(field.view.active(i)) < most
            })
        };
        let mut best: Option<(usize, f64)> = None;
        for i in all {
            let share = field.share(i);
            if share == 0 || !fits(i) {
                continue;
            }
            let score = score(hash, self.identities[i], share);
            if best.is_none_or(|(_, most)| score > most) {
                best = Some((i, score));
            }
        }
        best.map(|(i, _)| i)
    }
}

// === impl Field ===

impl<V: View> Field<'_, V> {
    /// Weight and ramp together; 0 if it may not be picked.
    #[inline]
    fn share(&self, i: usize) -> u64 {
        let weight = self.view.weight(i).min(BALANCE_WEIGHT_MAX);
        if weight == 0
            || self.exclude.contains(&i)
            || (self.usable_only && !self.view.usable(i, self.now))
        {
            return 0;
        }
        // An endpoint at the foot of its ramp is still picked now and then.
        u64::from(weight) * u64::from(self.view.ramp(i, self.now).clamp(1, RAMP_FULL))
    }
}

/// A hash of what requests are told apart by (a header's value, a cookie, an address). It does not
/// change from release to release: a fleet that is being upgraded agrees on it.
#[must_use]
pub fn hash_key(bytes: &[u8]) -> u64 {
    const P: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut h = fold(bytes.len() as u64 ^ P, 0xd6e8_feb8_6659_fd93);
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        h = fold(h ^ u64::from_le_bytes(word), P).wrapping_add(h.rotate_left(23));
    }
    fold(h ^ (h >> 29), 0xa076_1d64_78bd_642f)
}

/// Weighted rendezvous: with u uniform in (0, 1), the highest of `-w / ln u` falls on an endpoint
/// with a probability in proportion to w (Schindelhauer and Schomaker, 2005).
fn score(hash: u64, identity: u64, share: u64) -> f64 {
    let mixed = fold(hash ^ identity.rotate_left(32), 0xe703_7ed1_a0b4_28db ^ identity);
    let mixed = fold(mixed ^ (mixed >> 32), 0x8ebc_6af0_9c88_c6e3);
    // 53 bits and a half: never 0, never 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact in an f64")]
    let uniform = ((mixed >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    #[expect(clippy::cast_precision_loss, reason = "a share has 24 bits")]
    let share = share as f64;
    -share / uniform.ln()
}

fn index(i: u64) -> usize {
    usize::try_from(i).expect("below the number of endpoints")
}

#[cfg(test)]
mod tests;
