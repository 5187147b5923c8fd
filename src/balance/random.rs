//! A small generator for choices that nobody gains from guessing (wyrand). Not for secrets.

/// State of a generator; equal seeds give equal sequences.
#[derive(Clone, Debug)]
pub struct Random(u64);

// === impl Random ===

impl Random {
    /// Begins a sequence.
    #[must_use]
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next 64 bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0xa076_1d64_78bd_642f);
        fold(self.0, self.0 ^ 0xe703_7ed1_a0b4_28db)
    }

    /// A number below `bound`, which is not zero. The bias is below `bound / 2^64`.
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        debug_assert_ne!(bound, 0, "nothing is below zero");
        high(u128::from(self.bits()) * u128::from(bound))
    }
}

/// Both halves of the product of `a` and `b`, folded together.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "both halves are kept")]
pub(super) fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

#[inline]
fn high(product: u128) -> u64 {
    (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_below_a_bound_are_spread_evenly_and_repeat_with_the_seed() {
        let (mut a, mut b) = (Random::new(7), Random::new(7));
        let mut seen = [0u32; 10];
        for _ in 0..100_000 {
            let n = a.below(10);
            assert_eq!(n, b.below(10));
            seen[usize::try_from(n).unwrap()] += 1;
        }
        // Standard deviation 95: five of them.
        assert!(seen.iter().all(|&n| n.abs_diff(10_000) < 475), "{seen:?}");
        assert_ne!(Random::new(1).bits(), Random::new(2).bits());
        assert_eq!(Random::new(3).below(1), 0);
    }
}
