//! Address rules: which networks may call, and which may not.
//!
//! Owns sorted ranges of addresses and the order of the two lists: whoever is denied is denied,
//! however large the network that allows them. Invariant: an address means the same in its IPv4
//! form and mapped into IPv6.

use std::net::IpAddr;

use ipnet::IpNet;

/// Who may call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    /// `None`: everybody.
    allow: Option<Ranges>,
    deny: Ranges,
}

/// Ranges of addresses in order, none of which touch; both families as numbers of 128 bits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ranges(Vec<(u128, u128)>);

// === impl Networks ===

impl Networks {
    /// `allow` of `None` lets everybody in who is not denied; an empty list nobody.
    #[must_use]
    pub fn new(allow: Option<&[IpNet]>, deny: &[IpNet]) -> Networks {
        Networks { allow: allow.map(Ranges::of), deny: Ranges::of(deny) }
    }

    /// Whether the rules let this address in.
    #[must_use]
    pub fn admit(&self, address: IpAddr) -> bool {
        let number = number(address);
        !self.deny.has(number) && self.allow.as_ref().is_none_or(|allow| allow.has(number))
    }

    /// Whether they let everybody in.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.allow.is_none() && self.deny.0.is_empty()
    }
}

// === impl Ranges ===

impl Ranges {
    fn of(networks: &[IpNet]) -> Ranges {
        let mut ranges: Vec<(u128, u128)> =
            networks.iter().map(|net| (number(net.network()), number(net.broadcast()))).collect();
        ranges.sort_unstable();
        let mut merged: Vec<(u128, u128)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => {
                    before.1 = before.1.max(last);
                }
                _ => merged.push((first, last)),
            }
        }
        Ranges(merged)
    }

    fn has(&self, number: u128) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= number);
        after > 0 && number <= self.0[after - 1].1
    }
}

/// IPv4 as mapped into IPv6 (RFC 4291 section 2.5.5.2): one order for both.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn admits(rules: &Networks, address: &str) -> bool {
        rules.admit(address.parse().unwrap())
    }

    #[test]
    fn denied_comes_before_allowed() {
        let rules =
            Networks::new(Some(&nets(&["10.0.0.0/8", "fd00::/8"])), &nets(&["10.6.6.6/32"]));
        assert!(admits(&rules, "10.0.0.1") && admits(&rules, "fd00::1"));
        assert!(!admits(&rules, "10.6.6.6") && !admits(&rules, "192.0.2.1"));
        assert!(!admits(&rules, "fe80::1") && !admits(&rules, "::1"));
        assert!(admits(&rules, "::ffff:10.1.2.3") && !admits(&rules, "::ffff:10.6.6.6"));
    }

    #[test]
    fn no_rule_lets_all_in_and_an_empty_list_nobody() {
        assert!(Networks::default().is_open() && admits(&Networks::default(), "192.0.2.1"));
        let nobody = Networks::new(Some(&[]), &[]);
        assert!(!nobody.is_open() && !admits(&nobody, "192.0.2.1"));
    }

    #[test]
    fn the_whole_of_ipv4_is_not_ipv6() {
        let rules = Networks::new(Some(&nets(&["0.0.0.0/0"])), &[]);
        assert!(admits(&rules, "255.255.255.255") && !admits(&rules, "2001:db8::1"));
        let rules = Networks::new(None, &nets(&["::/0"]));
        assert!(!admits(&rules, "2001:db8::1"));
    }

    proptest! {
        #[test]
        fn ranges_hold_what_a_plain_look_finds(
            list in proptest::collection::vec((any::<u32>(), 8_u8..=32), 0..12),
            asked in proptest::collection::vec(any::<u32>(), 0..20),
        ) {
            let nets: Vec<IpNet> = list
                .iter()
                .map(|(bits, len)| IpNet::new(IpAddr::from(bits.to_be_bytes()), *len).unwrap())
                .collect();
            let rules = Networks::new(Some(&nets), &[]);
            let edges = nets.iter().flat_map(|net| [net.network(), net.broadcast()]);
            let asked = asked.iter().map(|bits| IpAddr::from(bits.to_be_bytes()));
            for address in edges.chain(asked) {
                let plain = nets.iter().any(|net| net.contains(&address));
                prop_assert_eq!(rules.admit(address), plain);
            }
        }
    }
}
