//! The buffer a line is written into, and the primitives of writing without `fmt`.
//!
//! Owns numbers, addresses and the copying of text; knows no field. Short pieces are copied in
//! whole words, for a call of memcpy costs more than they do: a write may spill into the slack
//! behind the line, where the next one overwrites it.
//! Invariant: `len` is within the buffer: a write that would pass its end is left out. The fields'
//! bounds make that impossible for whole lines, which end before the slack; the check keeps a
//! mistake there from being a panic.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::bounds::LOG_LINE_BYTES_MAX;
use crate::http::lanes::{self, is, lowest};
use crate::http::write::{self, DIGITS_MAX};

/// What a [`Word`] takes in the buffer, and the slack behind the longest line.
const WORD_BYTES: usize = 32;

/// One line's bytes: allocated once per worker.
pub struct LineBuf {
    bytes: Box<[u8; LOG_LINE_BYTES_MAX + WORD_BYTES]>,
    len: usize,
}

/// A text that needs no escape in either form: printable ASCII but `"` and `\`. It is not looked
/// at again: whoever makes one knows it of all such texts, be they words of the program, names that
/// the config has checked, or what a parser lets through.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain<'a>(&'a [u8]);

/// A constant text of at most 32 bytes, copied as a whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    bytes: [u8; WORD_BYTES],
    len: usize,
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The numbers of an IPv4 address, each with the dot behind it.
static OCTETS: [[u8; 4]; 256] = {
    const fn digit(n: usize) -> u8 {
        b"0123456789"[n % 10]
    }
    let (mut all, mut n) = ([[0; 4]; 256], 0);
    while n < 256 {
        all[n] = match n {
            0..10 => [digit(n), b'.', 0, 0],
            10..100 => [digit(n / 10), digit(n), b'.', 0],
            _ => [digit(n / 100), digit(n / 10), digit(n), b'.'],
        };
        n += 1;
    }
    all
};

// === impl Plain ===

impl<'a> Plain<'a> {
    /// This text; empty if there is none.
    #[must_use]
    #[inline]
    pub fn of(text: &'a (impl AsRef<[u8]> + ?Sized)) -> Plain<'a> {
        let text = text.as_ref();
        debug_assert!(!text.iter().any(|byte| is_dirty(*byte)), "{}", text.escape_ascii());
        Plain(text)
    }

    /// Its bytes.
    #[must_use]
    #[inline]
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }
}

// === impl Word ===

impl Word {
    pub(super) const fn new(text: &str) -> Word {
        assert!(text.len() <= WORD_BYTES, "a word is short");
        let (mut bytes, mut i) = ([0; WORD_BYTES], 0);
        while i < text.len() {
            bytes[i] = text.as_bytes()[i];
            i += 1;
        }
        Word { bytes, len: text.len() }
    }
}

// === impl LineBuf ===

impl LineBuf {
    /// An empty line.
    #[must_use]
    pub fn new() -> LineBuf {
        let bytes = vec![0; LOG_LINE_BYTES_MAX + WORD_BYTES].into_boxed_slice();
        LineBuf { bytes: bytes.try_into().expect("just made as long as this"), len: 0 }
    }

    /// What was written.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    /// Writes another byte in place of the first.
    pub(super) fn begin_with(&mut self, byte: u8) {
        self.bytes[0] = byte;
    }

    #[inline]
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        if let Some(room) = self.bytes.get_mut(self.len..self.len + bytes.len()) {
            room.copy_from_slice(bytes);
            self.grow(bytes.len());
        }
    }

    #[inline]
    pub(super) fn byte(&mut self, byte: u8) {
        self.front(&[byte], 1);
    }

    #[inline]
    pub(super) fn word(&mut self, word: &Word) {
        self.front(&word.bytes, word.len);
    }

    /// Writes a word without its last byte.
    #[inline]
    pub(super) fn word_but_last(&mut self, word: &Word) {
        self.front(&word.bytes, word.len.saturating_sub(1));
    }

    /// Writes the front of `bytes`, all of which are copied.
    #[inline]
    pub(super) fn front<const N: usize>(&mut self, bytes: &[u8; N], len: usize) {
        const { assert!(N <= WORD_BYTES, "the slack holds what spills") };
        if let Some(room) = self.bytes.get_mut(self.len..).and_then(<[u8]>::first_chunk_mut) {
            *room = *bytes;
            self.grow(len);
        }
    }

    #[inline]
    fn grow(&mut self, bytes: usize) {
        self.len += bytes;
        debug_assert!(self.len <= LOG_LINE_BYTES_MAX, "the fields' bounds sum up to a line");
    }

    /// Writes the front of `bytes` that needs no escape in either form (printable ASCII but `"` and
    /// `\`), `most` bytes of it at most; tells how many that was.
    pub(super) fn clean(&mut self, bytes: &[u8], most: usize) -> usize {
        let limit = bytes.len().min(most);
        let Some(room) = self.bytes.get_mut(self.len..self.len + limit + 1) else {
            return limit; // as if written: the caller must not try the same again
        };
        let clean = copy_clean(&bytes[..limit], room);
        self.grow(clean);
        clean
    }

    /// Decimal digits.
    pub(super) fn number(&mut self, n: u64) {
        match write::few_digits(n) {
            Some((digits, len)) => self.front(&digits, len),
            None => self.raw(write::digits(n, &mut [0; DIGITS_MAX])),
        }
    }

    /// 10^-12 of something as a decimal: exact, without zeros at its end.
    pub(super) fn money(&mut self, pico: u64) {
        const ONE: u64 = 1_000_000_000_000;
        self.number(pico / ONE);
        let mut rest = pico % ONE;
        if rest == 0 {
            return;
        }
        let mut pairs = [[0; 2]; 6];
        for pair in pairs.iter_mut().rev() {
            *pair = *write::two_digits(rest);
            rest /= 100;
        }
        let digits = pairs.as_flattened();
        let zeros = digits.iter().rev().take_while(|digit| **digit == b'0').count();
        self.byte(b'.');
        self.raw(&digits[..digits.len() - zeros]);
    }

    /// An address, IPv6 as RFC 5952 wants it.
    pub(super) fn ip(&mut self, ip: IpAddr) {
        match ip {
            IpAddr::V4(v4) => self.ipv4(v4),
            IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                // A dual-stack listener sees its IPv4 clients so; a log is searched for the IPv4
                // form.
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
        let (mut text, mut at) = ([0; 16], 0);
        for octet in ip.octets() {
            if let Some(room) = text[at..].first_chunk_mut() {
                *room = OCTETS[usize::from(octet)];
            }
            at += 2 + usize::from(octet >= 10) + usize::from(octet >= 100);
        }
        self.front(&text, at - 1);
    }

    fn ipv6(&mut self, ip: Ipv6Addr) {
        let groups = ip.segments();
        let (start, len) = longest_zeros(&groups);
        let mut i = 0;
        while i < groups.len() {
            // RFC 5952 section 4.2: the longest run of two or more zero groups, the first of
            // equals.
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

/// Copies `from` to the front of `to`, which is longer, up to the first byte that needs an escape.
fn copy_clean(from: &[u8], to: &mut [u8]) -> usize {
    const STEP: usize = 16;
    let (steps, rest) = from.as_chunks::<STEP>();
    let mut at = 0;
    for step in steps {
        put(step, to, at);
        if any_dirty(step) {
            return at + first_dirty(step);
        }
        at += STEP;
    }
    // What is left is copied with what stands before it, so that it is a whole step too.
    match from.last_chunk::<STEP>() {
        _ if rest.is_empty() => at,
        Some(last) => {
            at = from.len() - STEP;
            put(last, to, at);
            at + first_dirty(last)
        }
        None => copy_clean_short(from, to),
    }
}

#[inline]
fn put<const N: usize>(bytes: &[u8; N], to: &mut [u8], at: usize) {
    if let Some(room) = to[at..].first_chunk_mut() {
        *room = *bytes;
    }
}

/// The same for less than 16 bytes: the first and the last eight, or four, or byte by byte.
fn copy_clean_short(from: &[u8], to: &mut [u8]) -> usize {
    if let (Some(first), Some(last)) = (from.first_chunk::<8>(), from.last_chunk::<8>()) {
        put(first, to, 0);
        put(last, to, from.len() - 8);
        let (first, last) = (dirty(u64::from_le_bytes(*first)), dirty(u64::from_le_bytes(*last)));
        return if first != 0 { lowest(first) } else { from.len() - 8 + lowest(last) };
    }
    if let (Some(first), Some(last)) = (from.first_chunk::<4>(), from.last_chunk::<4>()) {
        put(first, to, 0);
        put(last, to, from.len() - 4);
        let word = |half: &[u8; 4]| u64::from(u32::from_le_bytes(*half));
        let at = lowest(dirty(word(first) | word(last) << 32));
        return if at < 4 { at } else { from.len() + at - 8 };
    }
    for (at, byte) in from.iter().enumerate() {
        if is_dirty(*byte) {
            return at;
        }
        to[at] = *byte;
    }
    from.len()
}

/// Whether a byte needs an escape in JSON or in text. The two bytes a text cannot hold and what is
/// not printable ASCII: one set for both, so that there is one loop.
#[inline]
fn is_dirty(byte: u8) -> bool {
    !matches!(byte, 0x20..=0x7e) | (byte == b'"') | (byte == b'\\')
}

/// Written without a branch, so that it is compiled into vector instructions.
#[inline]
fn any_dirty(step: &[u8; 16]) -> bool {
    step.iter().fold(false, |any, byte| any | is_dirty(*byte))
}

/// Where the first byte that needs an escape is, or the length if none does.
#[inline]
fn first_dirty(step: &[u8; 16]) -> usize {
    let all = u128::from_le_bytes(*step);
    let (low, high) = (dirty(low_word(all)), dirty(low_word(all >> 64)));
    if low != 0 { lowest(low) } else { 8 + lowest(high) }
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the other half is not wanted")]
fn low_word(all: u128) -> u64 {
    all as u64
}

/// Marks the bytes that need an escape, and perhaps some above such a one: only the lowest mark is
/// to be believed.
#[inline]
fn dirty(word: u64) -> u64 {
    let odd = is(word, b'"') | is(word, b'\\') | is(word, 0x7f);
    lanes::drops_or_not_ascii::<0x20>(word) | odd
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
    fn money_is_exact_and_short() {
        for (pico, text) in [
            (0, "0"),
            (1, "0.000000000001"),
            (384_000_000, "0.000384"),
            (2_500_000_000_000, "2.5"),
            (u64::MAX, "18446744.073709551615"),
        ] {
            assert_eq!(written(|l| l.money(pico)), text);
        }
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

    #[test]
    fn a_word_takes_its_own_length() {
        assert_eq!(
            written(|l| {
                l.word(&Word::new("ab"));
                l.word(&Word::new(""));
                l.byte(b'c')
            }),
            "abc"
        );
    }

    proptest! {
        #[test]
        fn the_clean_front_is_what_a_plain_loop_finds(
            bytes in proptest::collection::vec(
                prop_oneof![16 => 0x20_u8..0x7f, 1 => any::<u8>(), 1 => Just(b'"')], 0..40),
            most in 0_usize..50,
        ) {
            let dirty = |b: &u8| *b < 0x20 || *b > 0x7e || *b == b'"' || *b == b'\\';
            let plain = bytes.iter().position(dirty).unwrap_or(bytes.len()).min(most);
            let mut line = LineBuf::new();
            line.byte(b'<');
            prop_assert_eq!(line.clean(&bytes, most), plain);
            line.byte(b'>');
            let expected = [b"<", &bytes[..plain], b">"].concat();
            prop_assert_eq!(line.bytes(), expected);
        }

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
