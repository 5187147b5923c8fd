//! Which counter a status code has: its own if it is one that gateways see, else its class's.
//!
//! A route with a counter for each of 500 codes would cost 4 KiB a worker; this costs 0.4 KiB.
//! Invariant: every `u16` has a slot, and no two slots have the same label.

/// Codes with a counter of their own, ascending.
const OWN: [u16; 43] = [
    101, 200, 201, 202, 204, 206, 207, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403, 404, 405,
    406, 408, 409, 410, 411, 412, 413, 414, 415, 416, 421, 422, 425, 426, 428, 429, 431, 451, 499,
    500, 501, 502, 503, 504,
];
/// What the others are counted as; the last is for what is no status code at all.
const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"];

/// How many counters that makes.
pub const STATUS_SLOTS: usize = OWN.len() + CLASSES.len();

const FIRST: u16 = 100;
const SLOT_OF: [u8; 500] = slots();

/// The slot of a status code.
#[must_use]
#[inline]
pub fn slot_of(status: u16) -> usize {
    let offset = usize::from(status.wrapping_sub(FIRST));
    SLOT_OF.get(offset).map_or(STATUS_SLOTS - 1, |slot| usize::from(*slot))
}

/// The label of a slot.
#[must_use]
pub fn label(slot: usize) -> String {
    OWN.get(slot).map_or_else(|| CLASSES[slot - OWN.len()].to_string(), ToString::to_string)
}

#[expect(clippy::cast_possible_truncation, reason = "slots number less than 256")]
const fn slots() -> [u8; 500] {
    let mut slots = [0; 500];
    let mut offset = 0;
    while offset < slots.len() {
        slots[offset] = (OWN.len() + offset / 100) as u8;
        offset += 1;
    }
    let mut i = 0;
    while i < OWN.len() {
        slots[(OWN[i] - FIRST) as usize] = i as u8;
        i += 1;
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::TABLE;

    fn label_of(status: u16) -> String {
        label(slot_of(status))
    }

    #[test]
    fn known_codes_are_themselves_others_their_class() {
        for code in OWN {
            assert_eq!(label_of(code), code.to_string());
        }
        assert_eq!(label_of(100), "1xx");
        assert_eq!(label_of(299), "2xx");
        assert_eq!(label_of(418), "4xx");
        assert_eq!(label_of(599), "5xx");
        for code in [0, 99, 600, u16::MAX] {
            assert_eq!(label_of(code), "other");
        }
    }

    #[test]
    fn most_of_what_the_gateway_itself_answers_has_a_counter_of_its_own() {
        let classed: Vec<u16> =
            TABLE.iter().map(|row| row.status).filter(|s| !OWN.contains(s)).collect();
        assert!(classed.iter().all(|s| [417, 505, 508].contains(s)), "{classed:?}");
    }
}
