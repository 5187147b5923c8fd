//! The buffer a line is written into, and the primitives of writing without `fmt`.
//!
//! Owns numbers, addresses and the cutting of what is too long; knows no field.
//! Invariant: what is written never passes the end: a write that would is cut there. The fields'
//! bounds make that impossible for whole lines; the check keeps a mistake there from being a panic.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::bounds::LOG_LINE_BYTES_MAX;

/// One line's bytes: allocated once per worker.
pub struct LineBuf {
    bytes: Box<[u8]>,
    len: usize,
}

const HEX: &[u8; 16] = b"0123456789abcdef";

// === impl LineBuf ===

impl LineBuf {
    /// An empty line.
    #[must_use]
    pub fn new() -> LineBuf {
        LineBuf { bytes: vec![0; LOG_LINE_BYTES_MAX].into_boxed_slice(), len: 0 }
    }

    /// What was written.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    #[inline]
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        debug_assert!(end <= self.bytes.len(), "the fields' bounds sum up to a line");
        if let Some(room) = self.bytes.get_mut(self.len..end) {
            room.copy_from_slice(bytes);
            self.len = end;
        }
    }

    #[inline]
    pub(super) fn byte(&mut self, byte: u8) {
        self.raw(&[byte]);
    }

    /// Decimal digits.
    #[inline]
    pub(super) fn number(&mut self, mut n: u64) {
        let mut digits = [0; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + low_byte(n % 10);
            n /= 10;
            if n == 0 {
                break;
            }
        }
        self.raw(&digits[at..]);
    }

    /// An address, IPv6 as RFC 5952 wants it.
    pub(super) fn ip(&mut self, ip: IpAddr) {
        match ip {
            IpAddr::V4(v4) => self.ipv4(v4),
            IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                // A dual-stack listener sees its IPv4 clients so; a log is searched for the IPv4 form.
                Some(v4) => self.ipv4(v4),
                None => self.ipv6(v6),
            },
        }
    }

    /// An address with its port.
    pub(super) fn socket(&mut self, address: SocketAddr) {
        let bracketed = matches!(address.ip(), IpAddr::V6(v6) if v6.to_ipv4_mapped().is_none());
        if bracketed {
            self.byte(b'[');
        }
        self.ip(address.ip());
        if bracketed {
            self.byte(b']');
        }
        self.byte(b':');
        self.number(u64::from(address.port()));
    }

    fn ipv4(&mut self, ip: Ipv4Addr) {
        let [a, b, c, d] = ip.octets();
        self.number(u64::from(a));
        for octet in [b, c, d] {
            self.byte(b'.');
            self.number(u64::from(octet));
        }
    }

    fn ipv6(&mut self, ip: Ipv6Addr) {
        let groups = ip.segments();
        let (start, len) = longest_zeros(&groups);
        let mut i = 0;
        while i < groups.len() {
            // RFC 5952 section 4.2: the longest run of two or more zero groups, the first of equals.
            if len > 1 && i == start {
                self.raw(b"::");
                i += len;
                continue;
            }
            if i > 0 && !(len > 1 && i == start + len) {
                self.byte(b':');
            }
            self.hex_group(groups[i]);
            i += 1;
        }
    }

    /// A 16-bit group in hex without leading zeros (RFC 5952 section 4.1), in lower case (4.3).
    fn hex_group(&mut self, group: u16) {
        let digits = (16 - group.leading_zeros()).div_ceil(4).max(1);
        for shift in (0..digits).rev() {
            self.byte(HEX[usize::from(group >> (shift * 4) & 0xf)]);
        }
    }
}

impl Default for LineBuf {
    fn default() -> Self {
        LineBuf::new()
    }
}

fn longest_zeros(groups: &[u16; 8]) -> (usize, usize) {
    let (mut best, mut run) = ((0, 0), (0, 0));
    for (i, group) in groups.iter().enumerate() {
        run = if *group != 0 { (i + 1, 0) } else { (run.0, run.1 + 1) };
        if run.1 > best.1 {
            best = run;
        }
    }
    best
}

/// A number known to be below 256.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "callers reduce modulo 10 or 100 before")]
pub(super) const fn low_byte(n: u64) -> u8 {
    n as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut LineBuf)) -> String {
        let mut line = LineBuf::new();
        write(&mut line);
        String::from_utf8(line.bytes().to_vec()).unwrap()
    }

    #[test]
    fn numbers_at_their_ends() {
        for n in [0, 9, 10, 99, 100, u64::MAX] {
            assert_eq!(written(|l| l.number(n)), n.to_string());
        }
    }

    #[test]
    fn addresses_with_ports_and_mapped_ones() {
        let socket = |s: &str| written(|l| l.socket(s.parse().unwrap()));
        assert_eq!(socket("10.0.0.1:80"), "10.0.0.1:80");
        assert_eq!(socket("[2001:db8::1]:443"), "[2001:db8::1]:443");
        assert_eq!(socket("[::ffff:10.0.0.1]:80"), "10.0.0.1:80");
    }

    #[test]
    fn the_longest_address_fits_its_bound() {
        let longest = SocketAddr::from(([0xffff_u16; 8], 65535));
        assert!(
            written(|l| l.socket(longest)).len() <= crate::bounds::log_field_bytes_max::ADDRESS
        );
    }

    proptest! {
        #[test]
        fn an_ipv6_address_reads_as_the_standard_library_writes_it(
            mask in any::<u8>(), groups in any::<[u16; 8]>()
        ) {
            let mut groups = groups;
            for (i, group) in groups.iter_mut().enumerate() {
                if mask >> i & 1 == 0 { *group = 0; }
            }
            let ip = Ipv6Addr::from(groups);
            // The standard library writes ::a.b.c.d for nothing but mapped addresses since 1.50.
            let expected = ip.to_ipv4_mapped().map_or(ip.to_string(), |v4| v4.to_string());
            prop_assert_eq!(written(|l| l.ip(IpAddr::V6(ip))), expected);
        }

        #[test]
        fn an_ipv4_address_reads_as_the_standard_library_writes_it(octets in any::<[u8; 4]>()) {
            let ip = IpAddr::from(octets);
            prop_assert_eq!(written(|l| l.ip(ip)), ip.to_string());
        }
    }
}
