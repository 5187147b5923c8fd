//! The few facts of a certificate (and of a CRL) that rustls checks but does not tell: how long it
//! is valid, and the names it was made for, byte by byte as written.
//!
//! Owns a DER reader for exactly that. Refuses to judge trust: rustls does, in the handshake.
//! Invariant: any slice in, facts or `None` out; lengths are checked before they are used.

use crate::http::date::days_from_civil;

/// What [`certificate`] reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CertificateFacts<'a> {
    /// Seconds since 1970.
    pub not_before: i64,
    pub not_after: i64,
    /// The subjectAltName's dNSName entries, unchecked.
    pub dns_names: Vec<&'a [u8]>,
    /// Whether the subjectAltName has an address.
    pub has_address: bool,
}

pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const INTEGER: u8 = 0x02;
const BOOLEAN: u8 = 0x01;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
pub(super) const VERSION: u8 = 0xa0;
pub(super) const EXTENSIONS: u8 = 0xa3;
const GENERAL_NAME_DNS: u8 = 0x82;
const GENERAL_NAME_ADDRESS: u8 = 0x87;

/// id-ce-subjectAltName, 2.5.29.17.
pub(super) const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// Reads elements one after the other.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

/// Reads an X.509 certificate (RFC 5280 section 4.1).
pub(super) fn certificate(der: &[u8]) -> Option<CertificateFacts<'_>> {
    let mut tbs = Reader(der).enter(SEQUENCE)?.enter(SEQUENCE)?;
    tbs.skip_if(VERSION)?;
    tbs.take(INTEGER)?; // serialNumber
    tbs.take(SEQUENCE)?; // signature
    tbs.take(SEQUENCE)?; // issuer
    let mut validity = Reader(tbs.take(SEQUENCE)?);
    let not_before = validity.time()?;
    let not_after = validity.time()?;
    tbs.take(SEQUENCE)?; // subject
    tbs.take(SEQUENCE)?; // subjectPublicKeyInfo
    let mut facts =
        CertificateFacts { not_before, not_after, dns_names: Vec::new(), has_address: false };
    while let Some((tag, contents)) = tbs.next()? {
        if tag == EXTENSIONS {
            extensions(Reader(contents).enter(SEQUENCE)?, &mut facts)?;
        }
    }
    Some(facts)
}

/// A CRL's nextUpdate (RFC 5280 section 5.1); `Some(None)` when it has none.
pub(super) fn crl_next_update(der: &[u8]) -> Option<Option<i64>> {
    let mut tbs = Reader(der).enter(SEQUENCE)?.enter(SEQUENCE)?;
    tbs.skip_if(INTEGER)?; // version
    tbs.take(SEQUENCE)?; // signature
    tbs.take(SEQUENCE)?; // issuer
    tbs.time()?; // thisUpdate
    match tbs.0.first() {
        Some(&UTC_TIME | &GENERALIZED_TIME) => tbs.time().map(Some),
        _ => Some(None),
    }
}

fn extensions<'a>(mut list: Reader<'a>, facts: &mut CertificateFacts<'a>) -> Option<()> {
    while let Some((tag, contents)) = list.next()? {
        if tag != SEQUENCE {
            return None;
        }
        let mut extension = Reader(contents);
        let oid = extension.take(OID)?;
        extension.skip_if(BOOLEAN)?;
        let value = extension.take(OCTET_STRING)?;
        if oid == SUBJECT_ALT_NAME {
            let mut names = Reader(value).enter(SEQUENCE)?;
            while let Some((tag, name)) = names.next()? {
                match tag {
                    GENERAL_NAME_DNS => facts.dns_names.push(name),
                    GENERAL_NAME_ADDRESS => facts.has_address = true,
                    _ => {}
                }
            }
        }
    }
    Some(())
}

// === impl Reader ===

impl<'a> Reader<'a> {
    /// The next element; `Some(None)` at the end, `None` if what follows is not one.
    pub(super) fn next(&mut self) -> Option<Option<(u8, &'a [u8])>> {
        let Some((&tag, rest)) = self.0.split_first() else {
            return Some(None);
        };
        let (&first, rest) = rest.split_first()?;
        let (len, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            // Definite long form; four bytes are more than any file we read.
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (bytes.iter().fold(0, |n, &b| n << 8 | usize::from(b)), rest)
            }
            _ => return None,
        };
        let (contents, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some(Some((tag, contents)))
    }

    pub(super) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next()?.filter(|(found, _)| *found == tag).map(|(_, contents)| contents)
    }

    pub(super) fn enter(mut self, tag: u8) -> Option<Reader<'a>> {
        self.take(tag).map(Reader)
    }

    pub(super) fn skip_if(&mut self, tag: u8) -> Option<()> {
        if self.0.first() == Some(&tag) {
            self.take(tag)?;
        }
        Some(())
    }

    fn time(&mut self) -> Option<i64> {
        match self.next()?? {
            (UTC_TIME, text) if text.len() == 13 => {
                let yy = digits(&text[..2])?;
                // RFC 5280 section 4.1.2.5.1: 50 and later are of the last century.
                seconds(if yy >= 50 { 1900 + yy } else { 2000 + yy }, &text[2..])
            }
            (GENERALIZED_TIME, text) if text.len() == 15 => {
                seconds(digits(&text[..4])?, &text[4..])
            }
            _ => None,
        }
    }
}

/// Seconds since 1970 of a year and `MMDDHHMMSSZ`.
fn seconds(year: i64, rest: &[u8]) -> Option<i64> {
    let at = |i: usize| digits(&rest[i..i + 2]);
    let (month, day, hour, minute, second) = (at(0)?, at(2)?, at(4)?, at(6)?, at(8)?);
    let in_range = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60
        && rest[10] == b'Z';
    in_range
        .then(|| days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
}

/// `2027-01-31 08:00:00 UTC`.
pub(super) fn utc_text(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // The inverse of `days_from_civil`.
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_are_the_calendars() {
        for (year, month, day, days) in [
            (1970, 1, 1, 0),
            (1969, 12, 31, -1),
            (2000, 2, 29, 11_016),
            (2000, 3, 1, 11_017),
            (2026, 11, 5, 20_762),
            (2100, 3, 1, 47_541),
        ] {
            assert_eq!(days_from_civil(year, month, day), days, "{year}-{month}-{day}");
        }
        assert_eq!(utc_text(951_827_696), "2000-02-29 12:34:56 UTC");
        assert_eq!(utc_text(-1), "1969-12-31 23:59:59 UTC");
    }

    #[test]
    fn times_are_read_in_both_forms() {
        let utc = |text: &str| {
            let tag = if text.len() == 13 { UTC_TIME } else { GENERALIZED_TIME };
            let mut der = vec![tag, u8::try_from(text.len()).unwrap()];
            der.extend(text.as_bytes());
            Reader(&der).time()
        };
        assert_eq!(utc("000229123456Z"), Some(951_827_696));
        assert_eq!(utc("20000229123456Z"), Some(951_827_696));
        assert_eq!(utc("491231235959Z").map(utc_text).unwrap(), "2049-12-31 23:59:59 UTC");
        assert_eq!(utc("500101000000Z").map(utc_text).unwrap(), "1950-01-01 00:00:00 UTC");
        for bad in ["001329123456Z", "0002291234560", "00022912345 Z", "000200123456Z", "0002"] {
            assert_eq!(utc(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_date_survives_the_round_trip(seconds in -60_000_000_000_i64..250_000_000_000) {
            let text = utc_text(seconds);
            let number = |range: std::ops::Range<usize>| text[range].parse::<i64>().unwrap();
            prop_assume!(text.len() == 23);
            let days = days_from_civil(number(0..4), number(5..7), number(8..10));
            let back = days * 86_400 + number(11..13) * 3600 + number(14..16) * 60 + number(17..19);
            prop_assert_eq!(back, seconds);
        }

        #[test]
        fn no_bytes_panic(der in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = certificate(&der);
            let _ = crl_next_update(&der);
        }

        #[test]
        fn no_damage_to_a_real_certificate_panics(
            at in 0_usize..400, to in any::<u8>(), cut in 0_usize..600,
        ) {
            let key = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
            let mut der = key.cert.der().to_vec();
            let at = at % der.len();
            der[at] = to;
            der.truncate(cut.min(der.len()));
            let _ = certificate(&der);
        }
    }
}
