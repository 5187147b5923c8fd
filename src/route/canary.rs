//! Which requests a canary takes.
//!
//! A share of requests by chance, or of callers by a hash that stays the same for ever: over
//! reloads, restarts, workers and machines. A caller has a number below 10,000, and is in the
//! canary while that is below the percentage, so raising it only moves callers in, and lowering it
//! only moves them out.

/// Of how many parts a share is told: hundredths of a percent.
pub const PARTS: u32 = 10_000;

/// The number below [`PARTS`] of a caller. `salt` is the name of what is rolled out, so that it is
/// not the same callers who try everything first.
#[must_use]
pub fn part_of(salt: &str, caller: &[u8]) -> u32 {
    // FNV-1a, with the finish of MurmurHash3: FNV's high bits alone are not even for short texts.
    let bytes = salt.bytes().chain([0]).chain(caller.iter().copied());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    part_at(hash ^ (hash >> 33))
}

/// The number below [`PARTS`] of a draw.
#[must_use]
pub fn part_at(draw: u64) -> u32 {
    let part = (u128::from(draw) * u128::from(PARTS)) >> 64;
    u32::try_from(part).expect("below PARTS")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_number_never_changes() {
        // Computed elsewhere: another number would move callers in and out over an upgrade.
        for (salt, caller, part) in [
            ("orders/prod", &b"alice"[..], 8_856),
            ("orders/prod", b"", 5_731),
            ("orders/dev", b"alice", 7_031),
            ("a", &[127, 0, 0, 1], 760),
        ] {
            assert_eq!(part_of(salt, caller), part);
        }
    }

    #[test]
    fn callers_are_spread_evenly_and_differently_for_each_salt() {
        let parts = |salt: &str| -> Vec<u32> {
            (0..20_000).map(|n: u32| part_of(salt, format!("user-{n}").as_bytes())).collect()
        };
        let (one, other) = (parts("a/prod"), parts("b/prod"));
        for below in [100, 1_000, 5_000] {
            let share = one.iter().filter(|part| **part < below).count();
            let wanted = 20_000 * below as usize / PARTS as usize;
            assert!(share.abs_diff(wanted) * 100 < 15 * wanted.max(200), "{share} of {wanted}");
        }
        let both = one.iter().zip(&other).filter(|(a, b)| **a < 1_000 && **b < 1_000).count();
        assert!(both < 400, "of 20,000 callers 200 are in both tenths by chance: {both}");
    }

    #[test]
    fn draws_cover_all_parts() {
        assert_eq!((part_at(0), part_at(u64::MAX)), (0, PARTS - 1));
        assert_eq!(part_at(u64::MAX / 2), PARTS / 2 - 1);
    }
}
