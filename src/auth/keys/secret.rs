//! The secret of a key: what is shown to a client once and kept by nobody here.
//!
//! A generated secret is `rw_`, 192 random bits in base 62, and a checksum in base 62: a mistyped
//! one and a leaked one can be told without asking the gateway. Only its digest is kept. A plain
//! SHA-256 is enough for that: with 192 bits nobody guesses, and a slow hash would let strangers
//! burn a worker's time. What people choose themselves must be long for the same reason.

use std::fmt;

use aws_lc_rs::{constant_time, digest};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

/// How many random bytes a generated secret is made of.
pub const RANDOM_BYTES: usize = 24;
/// The shortest secret that may be chosen by hand, as AWS has it.
pub const CHOSEN_MIN: usize = 20;
/// The longest secret looked at; a longer one is nobody's.
pub const SECRET_MAX: usize = 512;

const MARK: &str = "rw_";
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 62^33 is the first power above 2^192.
const BODY_DIGITS: usize = 33;
/// 62^6 is above 2^32.
const SUM_DIGITS: usize = 6;
/// `rw_` and five digits: enough to tell keys apart, and 160 bits stay unknown.
const SHOWN_MAX: usize = 8;

/// A secret in the clear. Overwritten when dropped; never printed by `Debug`.
pub struct Secret(Zeroizing<String>);

/// The SHA-256 of a secret. Equality takes the same time wherever two differ.
#[derive(Clone, Copy, Eq, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

// === impl Secret ===

impl Secret {
    /// The secret of these random bytes, which must come from the system's generator.
    #[must_use]
    pub fn generate(random: &[u8; RANDOM_BYTES]) -> Secret {
        let mut text = String::with_capacity(MARK.len() + BODY_DIGITS + SUM_DIGITS);
        text.push_str(MARK);
        digits(random, BODY_DIGITS, &mut text);
        let sum = crc32(&text.as_bytes()[MARK.len()..]);
        digits(&sum.to_be_bytes(), SUM_DIGITS, &mut text);
        Secret(Zeroizing::new(text))
    }

    /// A secret somebody chose: 20 to 512 visible ASCII characters.
    ///
    /// # Errors
    /// What is wrong with it, without repeating it.
    pub fn chosen(text: &str) -> Result<Secret, &'static str> {
        if text.len() < CHOSEN_MIN {
            return Err("is shorter than 20 characters, so it could be guessed");
        }
        if text.len() > SECRET_MAX {
            return Err("is longer than 512 characters");
        }
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("holds something else than visible ASCII, which no header can carry");
        }
        if text.starts_with(MARK) && text.len() == MARK.len() + BODY_DIGITS + SUM_DIGITS {
            let body = &text[MARK.len()..MARK.len() + BODY_DIGITS];
            let mut sum = String::with_capacity(SUM_DIGITS);
            digits(&crc32(body.as_bytes()).to_be_bytes(), SUM_DIGITS, &mut sum);
            if text[MARK.len() + BODY_DIGITS..] != sum {
                return Err(
                    "looks like a generated key, and its checksum is wrong: a typing error",
                );
            }
        }
        Ok(Secret(Zeroizing::new(text.to_owned())))
    }

    /// The secret itself: to be shown once, to whom it was made for.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }

    /// Its beginning, by which people tell keys apart: of a generated secret `rw_` and five
    /// digits, of a chosen one a fifth at most.
    #[must_use]
    pub fn shown(&self) -> &str {
        let is_ours = self.0.starts_with(MARK);
        let most = if is_ours { SHOWN_MAX } else { SHOWN_MAX.min(self.0.len() / 5) };
        &self.0[..most]
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

// === impl Digest ===

impl Digest {
    /// The digest of what a client showed.
    #[must_use]
    pub fn of(secret: &[u8]) -> Digest {
        let mut out = [0; 32];
        out.copy_from_slice(digest::digest(&digest::SHA256, secret).as_ref());
        Digest(out)
    }

    /// `sha256:` and 64 hexadecimal digits.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Digest, &'static str> {
        let Some(hex) = text.strip_prefix("sha256:") else {
            return Err("does not begin with `sha256:`");
        };
        if hex.len() != 64 {
            return Err("a SHA-256 has 64 hexadecimal digits");
        }
        let mut out = [0; 32];
        for (byte, pair) in out.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            let (Some(high), Some(low)) = (nibble(pair[0]), nibble(pair[1])) else {
                return Err("a SHA-256 has hexadecimal digits only");
            };
            *byte = high << 4 | low;
        }
        Ok(Digest(out))
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Digest) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Digest, D::Error> {
        let text = String::deserialize(from)?;
        Digest::parse(&text).map_err(de::Error::custom)
    }
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Appends a big-endian number as this many digits of base 62, leading zeros included.
fn digits(number: &[u8], count: usize, out: &mut String) {
    let mut rest = Zeroizing::new(number.to_vec());
    let mut text = Zeroizing::new(vec![b'0'; count]);
    for digit in text.iter_mut().rev() {
        let mut remainder = 0u16;
        for byte in rest.iter_mut() {
            let value = remainder << 8 | u16::from(*byte);
            *byte = u8::try_from(value / 62).expect("remainder < 62, so the quotient is < 256");
            remainder = value % 62;
        }
        *digit = BASE62[usize::from(remainder)];
    }
    out.extend(text.iter().map(|digit| char::from(*digit)));
}

/// CRC-32 (IEEE 802.3), as other vendors' tokens end in it.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            sum >> 1 ^ if sum & 1 == 1 { 0xEDB8_8320 } else { 0 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_secret_has_one_form_and_all_its_random_bits() {
        let low = Secret::generate(&[0; RANDOM_BYTES]);
        let high = Secret::generate(&[0xFF; RANDOM_BYTES]);
        assert_eq!(low.expose().len(), 42);
        assert_eq!(&low.expose()[..36], format!("rw_{}", "0".repeat(33)));
        assert_ne!(low.expose()[3..36], high.expose()[3..36]);
        let mut one = [0; RANDOM_BYTES];
        for bit in 0..RANDOM_BYTES * 8 {
            one[bit / 8] = 1 << (bit % 8);
            assert_ne!(Secret::generate(&one).expose()[3..36], low.expose()[3..36], "bit {bit}");
            one[bit / 8] = 0;
        }
        assert_eq!(low.shown(), "rw_00000");
        assert_eq!(format!("{low:?}"), "Secret(..)");
    }

    #[test]
    fn the_checksum_is_the_one_everybody_computes() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn a_mistyped_generated_secret_is_told() {
        let secret = Secret::generate(b"0123456789abcdef01234567");
        let text = secret.expose().to_owned();
        assert_eq!(Secret::chosen(&text).expect("the same").digest(), secret.digest());
        let typo = text.replacen(&text[9..10], if &text[9..10] == "a" { "b" } else { "a" }, 1);
        assert!(Secret::chosen(&typo).expect_err("a typo").contains("checksum"));
    }

    #[test]
    fn what_people_choose_must_be_long_and_fit_a_header() {
        assert!(Secret::chosen("1234567890123456789").is_err());
        assert!(Secret::chosen("12345678901234567890").is_ok());
        assert!(Secret::chosen("1234567890 1234567890").is_err());
        assert!(Secret::chosen(&"x".repeat(SECRET_MAX + 1)).is_err());
        assert_eq!(Secret::chosen("12345678901234567890").expect("good").shown(), "1234");
    }

    #[test]
    fn a_digest_reads_what_it_writes() {
        let digest = Digest::of(b"abc");
        let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest.to_string(), text);
        assert_eq!(Digest::parse(text), Ok(digest));
        assert!(Digest::parse(&text[7..]).is_err());
        assert!(Digest::parse("sha256:ba78").is_err());
        assert!(Digest::parse(&text.replace("b0", "g0")).is_err());
    }
}
