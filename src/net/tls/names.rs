//! The names in a client's certificate: its subject as text, its alternative names, its digest.
//!
//! The certificate was verified before; here it is only read, byte by byte, by the same strict
//! reader as `der`. Invariant: any slice in, names or `None` out; what is not understood of a name
//! makes it shorter, never another name.

use std::fmt::Write as _;

use aws_lc_rs::digest;

use super::der::{
    EXTENSIONS, INTEGER, OCTET_STRING, OID, Reader, SEQUENCE, SUBJECT_ALT_NAME, VERSION,
};
use crate::auth::Certificate;

const SET: u8 = 0x31;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const TELETEX_STRING: u8 = 0x14;
const IA5_STRING: u8 = 0x16;
const BMP_STRING: u8 = 0x1e;
const MAIL: u8 = 0x81;
const DNS: u8 = 0x82;
const URI: u8 = 0x86;
const BOOLEAN: u8 = 0x01;

/// id-at-commonName, 2.5.4.3.
const AT_CN: &[u8] = &[0x55, 0x04, 0x03];
/// RFC 4514 section 3, and what certificates have besides.
const ATTRIBUTES: &[(&[u8], &str)] = &[
    (AT_CN, "CN"),
    (&[0x55, 0x04, 0x04], "SN"),
    (&[0x55, 0x04, 0x05], "serialNumber"),
    (&[0x55, 0x04, 0x06], "C"),
    (&[0x55, 0x04, 0x07], "L"),
    (&[0x55, 0x04, 0x08], "ST"),
    (&[0x55, 0x04, 0x09], "STREET"),
    (&[0x55, 0x04, 0x0a], "O"),
    (&[0x55, 0x04, 0x0b], "OU"),
    (&[0x55, 0x04, 0x0c], "title"),
    (&[0x55, 0x04, 0x2a], "GN"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x01], "UID"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19], "DC"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01], "emailAddress"),
];

/// Reads the names of an X.509 certificate (RFC 5280 section 4.1).
pub(super) fn certificate(der: &[u8]) -> Option<Certificate> {
    let mut tbs = Reader(der).enter(SEQUENCE)?.enter(SEQUENCE)?;
    tbs.skip_if(VERSION)?;
    tbs.take(INTEGER)?; // serialNumber
    tbs.take(SEQUENCE)?; // signature
    tbs.take(SEQUENCE)?; // issuer
    tbs.take(SEQUENCE)?; // validity
    let mut found = Certificate { fingerprint: fingerprint(der), ..Certificate::default() };
    subject(Reader(tbs.take(SEQUENCE)?), &mut found)?;
    tbs.take(SEQUENCE)?; // subjectPublicKeyInfo
    while let Some((tag, contents)) = tbs.next()? {
        if tag == EXTENSIONS {
            extensions(Reader(contents).enter(SEQUENCE)?, &mut found)?;
        }
    }
    Some(found)
}

/// RFC 4514 section 2.1: the last relative name comes first.
fn subject(mut names: Reader<'_>, found: &mut Certificate) -> Option<()> {
    let mut texts = Vec::new();
    while let Some((tag, set)) = names.next()? {
        if tag != SET {
            return None;
        }
        let (mut set, mut text) = (Reader(set), String::new());
        while let Some((tag, pair)) = set.next()? {
            if tag != SEQUENCE {
                return None;
            }
            let mut pair = Reader(pair);
            let oid = pair.take(OID)?;
            let (kind, value) = pair.next()??;
            if !text.is_empty() {
                text.push('+');
            }
            let known = ATTRIBUTES.iter().find(|(its, _)| *its == oid).map(|(_, name)| *name);
            match (known, string(kind, value)) {
                (Some(name), Some(value)) => {
                    write!(text, "{name}={}", escaped(&value)).ok()?;
                    if oid == AT_CN {
                        found.common_name = value;
                    }
                }
                // Section 2.4: the value as it is encoded, in hex.
                (_, _) => {
                    let encoded = [&[kind, u8::try_from(value.len()).ok()?], value].concat();
                    write!(text, "{}=#{}", dotted(oid), hex(&encoded)).ok()?;
                }
            }
        }
        texts.push(text);
    }
    texts.reverse();
    found.subject = texts.join(",");
    Some(())
}

fn extensions(mut list: Reader<'_>, found: &mut Certificate) -> Option<()> {
    while let Some((tag, contents)) = list.next()? {
        if tag != SEQUENCE {
            return None;
        }
        let mut extension = Reader(contents);
        let oid = extension.take(OID)?;
        extension.skip_if(BOOLEAN)?;
        let value = extension.take(OCTET_STRING)?;
        if oid != SUBJECT_ALT_NAME {
            continue;
        }
        let mut names = Reader(value).enter(SEQUENCE)?;
        while let Some((tag, name)) = names.next()? {
            // RFC 5280 section 4.2.1.6: all three are IA5Strings.
            let printable = name.iter().all(u8::is_ascii_graphic) && !name.is_empty();
            let Some(text) = std::str::from_utf8(name).ok().filter(|_| printable) else { continue };
            match tag {
                MAIL => found.emails.push(text.to_owned()),
                DNS => found.dns.push(text.to_ascii_lowercase()),
                URI => found.uris.push(text.to_owned()),
                _ => {}
            }
        }
    }
    Some(())
}

fn string(kind: u8, value: &[u8]) -> Option<String> {
    match kind {
        UTF8_STRING | PRINTABLE_STRING | IA5_STRING => String::from_utf8(value.to_vec()).ok(),
        TELETEX_STRING => value.is_ascii().then(|| String::from_utf8(value.to_vec()).ok())?,
        BMP_STRING => {
            let (pairs, rest) = value.as_chunks::<2>();
            let units: Vec<u16> = pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
            String::from_utf16(&units).ok().filter(|_| rest.is_empty())
        }
        _ => None,
    }
}

/// RFC 4514 section 2.4; control characters too, so that a name is one line of a log or a field.
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (at, c) in value.chars().enumerate() {
        let special = matches!(c, '"' | '+' | ',' | ';' | '<' | '>' | '\\')
            || (at == 0 && matches!(c, ' ' | '#'))
            || (at == last && c == ' ');
        if c.is_control() {
            let mut bytes = [0; 4];
            c.encode_utf8(&mut bytes).bytes().for_each(|byte| {
                let _ = write!(out, "\\{byte:02x}");
            });
            continue;
        }
        if special {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn dotted(oid: &[u8]) -> String {
    let (mut text, mut number, mut first) = (String::new(), 0_u64, true);
    for byte in oid {
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            continue;
        }
        let _ = match first {
            true => write!(text, "{}.{}", (number / 40).min(2), number - 40 * (number / 40).min(2)),
            false => write!(text, ".{number}"),
        };
        (number, first) = (0, false);
    }
    text
}

fn fingerprint(der: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, der).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType, string::Ia5String};

    use super::*;

    fn made() -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["A.example".to_owned()]).unwrap();
        let uri = Ia5String::try_from("spiffe://acme/billing").unwrap();
        params.subject_alt_names.push(SanType::URI(uri));
        let mail = Ia5String::try_from("ops@acme.example").unwrap();
        params.subject_alt_names.push(SanType::Rfc822Name(mail));
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Acme, Inc");
        params.distinguished_name.push(DnType::CommonName, "billing \n\"7\"");
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn names_are_read_as_they_were_made() {
        let read = certificate(&made()).unwrap();
        assert_eq!(read.subject, r#"CN=billing \0a\"7\",O=Acme\, Inc"#);
        assert_eq!(read.common_name, "billing \n\"7\"");
        assert_eq!(read.dns, ["a.example"]);
        assert_eq!(read.uris, ["spiffe://acme/billing"]);
        assert_eq!(read.emails, ["ops@acme.example"]);
        assert_eq!(read.fingerprint.len(), 64);
    }

    #[test]
    fn an_attribute_without_a_name_is_its_number() {
        assert_eq!(dotted(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d]), "1.2.840.113549");
        assert_eq!(dotted(&[0x55, 0x04, 0x03]), "2.5.4.3");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(der in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = certificate(&der);
        }

        #[test]
        fn no_damage_panics(at in 0_usize..600, to in any::<u8>(), cut in 1_usize..700) {
            let mut der = made();
            let at = at % der.len();
            der[at] = to;
            der.truncate(cut.min(der.len()));
            let _ = certificate(&der);
        }
    }
}
