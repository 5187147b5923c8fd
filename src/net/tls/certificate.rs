//! From PEM files to certificates, keys, trust anchors and revocation lists.
//!
//! Owns the reading and the refusing: a file that is missing, empty, of another kind, or damaged in
//! any section is an error that names it, never an empty set. What is legal but will hurt (expired,
//! expiring, world-readable key) becomes a [`Warning`]. Refuses to know who asks for which name.
//! Invariant: the first certificate of a [`Loaded`] belongs to its key, and every name in it is a
//! well-formed DNS name in lower case.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, DnsName, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::der;
use super::error::TlsConfigError;
use crate::clock::Wall;

/// No PEM file comes near; a path like `/dev/zero` must not fill the memory. Large CRLs are the
/// biggest honest case.
const PEM_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// From when on a certificate's end is worth a warning. Automatic renewal happens weeks before.
const EXPIRES_SOON_S: i64 = 7 * 86_400;

/// Something in a file that works today and should be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    pub file: PathBuf,
    pub message: String,
}

/// A certificate chain with its key, and what the chain's first certificate says.
#[derive(Debug)]
pub(super) struct Loaded {
    pub file: PathBuf,
    pub key: Arc<CertifiedKey>,
    pub names: Vec<Name>,
    /// Seconds since 1970.
    pub not_after: i64,
}

/// A dNSName of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Name {
    Exact(Box<str>),
    /// `*.example.com`, kept as `example.com`: it stands for exactly one label more.
    Wildcard(Box<str>),
}

// === impl Name ===

impl Name {
    /// Whether the certificate is for this host, which is in lower case.
    pub fn is(&self, host: &str) -> bool {
        match self {
            Name::Exact(name) => **name == *host,
            Name::Wildcard(parent) => host
                .split_once('.')
                .is_some_and(|(label, rest)| !label.is_empty() && *rest == **parent),
        }
    }
}

/// Loads a chain and its key, and checks that they belong together.
pub(super) fn load(
    chain_file: &Path,
    key_file: &Path,
    provider: &CryptoProvider,
    now: Wall,
    warnings: &mut Vec<Warning>,
) -> Result<Loaded, TlsConfigError> {
    let chain: Vec<CertificateDer<'static>> = sections(
        chain_file,
        "certificate",
        "give the certificate followed by its intermediates, in PEM",
    )?;
    let key = private_key(key_file, warnings)?;
    let signing = provider.key_provider.load_private_key(key).map_err(|error| {
        TlsConfigError::in_file(
            key_file,
            format!("the private key cannot be used ({error})"),
            "use an RSA key of 2048 to 8192 bits, ECDSA P-256, P-384 or P-521, or Ed25519",
        )
    })?;
    let (not_before, not_after, names) = leaf(chain_file, &chain[0])?;
    for (i, certificate) in chain.iter().enumerate().skip(1) {
        if der::certificate(certificate).is_none() {
            return Err(damaged(chain_file, &format!("certificate {} of the chain", i + 1)));
        }
    }
    let certified = CertifiedKey::new(chain, signing);
    match certified.keys_match() {
        // A key that cannot tell its public half is judged by the first handshake.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
        Err(rustls::Error::InconsistentKeys(_)) => {
            return Err(TlsConfigError::in_file(
                key_file,
                format!("the key is not that of the first certificate in {}", chain_file.display()),
                "pair the key with its own certificate, and put that one first in the chain",
            ));
        }
        Err(error) => return Err(damaged(chain_file, &format!("the first certificate ({error})"))),
    }
    validity(chain_file, not_before, not_after, now, warnings);
    Ok(Loaded { file: chain_file.into(), key: Arc::new(certified), names, not_after })
}

/// Loads trust anchors; at least one, and every one of them good.
pub(super) fn load_roots(
    file: &Path,
) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), TlsConfigError> {
    let certificates: Vec<CertificateDer<'static>> =
        sections(file, "certificate", "give the CA certificates to trust, in PEM")?;
    let mut roots = RootCertStore::empty();
    for (i, certificate) in certificates.iter().enumerate() {
        roots
            .add(certificate.clone())
            .map_err(|error| damaged(file, &format!("CA certificate {} ({error})", i + 1)))?;
    }
    Ok((roots, certificates))
}

/// Loads revocation lists; at least one.
pub(super) fn load_crls(
    file: &Path,
    now: Wall,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsConfigError> {
    let crls: Vec<CertificateRevocationListDer<'static>> =
        sections(file, "X509 CRL", "give the CA's revocation list, in PEM")?;
    for (i, crl) in crls.iter().enumerate() {
        let what = format!("revocation list {}", i + 1);
        let next = der::crl_next_update(crl).ok_or_else(|| damaged(file, &what))?;
        if let Some(next) = next.filter(|next| *next < seconds(now)) {
            warnings.push(Warning {
                file: file.into(),
                message: format!(
                    "{what} was due to be replaced on {}: every client certificate it covers is \
                     refused until a newer list is loaded",
                    der::utc_text(next)
                ),
            });
        }
    }
    Ok(crls)
}

fn private_key(
    file: &Path,
    warnings: &mut Vec<Warning>,
) -> Result<PrivateKeyDer<'static>, TlsConfigError> {
    let remedy = "give one unencrypted private key (PKCS#8, PKCS#1 or SEC1), in PEM";
    let mut keys: Vec<PrivateKeyDer<'static>> = sections(file, "private key", remedy)?;
    let key = keys.pop().expect("`sections` gives at least one");
    if !keys.is_empty() {
        let message = format!("holds {} private keys", keys.len() + 1);
        return Err(TlsConfigError::in_file(file, message, remedy));
    }
    let mode = std::fs::metadata(file).map(|m| m.permissions().mode()).unwrap_or_default();
    if mode & 0o004 != 0 {
        let message = "the private key can be read by every user; chmod o-r it".to_owned();
        warnings.push(Warning { file: file.into(), message });
    }
    Ok(key)
}

/// All sections of a kind; at least one, and no damaged section of any kind beside them.
fn sections<T: PemObject>(file: &Path, what: &str, remedy: &str) -> Result<Vec<T>, TlsConfigError> {
    let text = read(file, remedy)?;
    let items = T::pem_slice_iter(&text).collect::<Result<Vec<T>, pem::Error>>();
    let items = items
        .map_err(|error| TlsConfigError::in_file(file, format!("damaged PEM ({error})"), remedy))?;
    if !items.is_empty() {
        return Ok(items);
    }
    let has = |needle: &str| memchr::memmem::find(&text, needle.as_bytes()).is_some();
    let message = if text.iter().all(u8::is_ascii_whitespace) {
        "the file is empty".to_owned()
    } else if has("BEGIN ENCRYPTED PRIVATE KEY") || has("Proc-Type: 4,ENCRYPTED") {
        "the private key is encrypted".to_owned()
    } else if text.first() == Some(&0x30) {
        format!("holds DER where PEM is expected, so no {what} was found")
    } else {
        format!("holds no {what}")
    };
    Err(TlsConfigError::in_file(file, message, remedy))
}

fn read(file: &Path, remedy: &str) -> Result<Vec<u8>, TlsConfigError> {
    let mut text = Vec::new();
    let read =
        File::open(file).and_then(|open| open.take(PEM_BYTES_MAX + 1).read_to_end(&mut text));
    match read {
        Err(error) => {
            Err(TlsConfigError::in_file(file, format!("cannot be read ({error})"), remedy))
        }
        Ok(n) if n as u64 > PEM_BYTES_MAX => {
            let message = format!("is larger than {} MiB", PEM_BYTES_MAX >> 20);
            Err(TlsConfigError::in_file(file, message, remedy))
        }
        Ok(_) => Ok(text),
    }
}

/// The leaf's validity and names.
fn leaf(
    file: &Path,
    certificate: &CertificateDer<'_>,
) -> Result<(i64, i64, Vec<Name>), TlsConfigError> {
    let facts =
        der::certificate(certificate).ok_or_else(|| damaged(file, "the first certificate"))?;
    let mut names = Vec::with_capacity(facts.dns_names.len());
    for raw in &facts.dns_names {
        let name = Name::parse(raw).ok_or_else(|| {
            TlsConfigError::in_file(
                file,
                format!("the certificate has a malformed DNS name \"{}\"", raw.escape_ascii()),
                "have it issued again with well-formed names",
            )
        })?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok((facts.not_before, facts.not_after, names))
}

fn validity(file: &Path, from: i64, until: i64, now: Wall, warnings: &mut Vec<Warning>) {
    let now = seconds(now);
    let message = if now < from {
        format!("the certificate is not valid before {}", der::utc_text(from))
    } else if now > until {
        format!("the certificate expired on {}", der::utc_text(until))
    } else if until - now < EXPIRES_SOON_S {
        format!("the certificate expires soon, on {}", der::utc_text(until))
    } else {
        return;
    };
    warnings.push(Warning { file: file.into(), message });
}

fn seconds(now: Wall) -> i64 {
    i64::try_from(now.seconds()).expect("nanoseconds in a u64 end in the year 2554")
}

fn damaged(file: &Path, what: &str) -> TlsConfigError {
    let remedy = "copy the file again from where it was issued";
    TlsConfigError::in_file(file, format!("{what} cannot be parsed"), remedy)
}

// === impl Name ===

impl Name {
    /// Only what a client could ask for: a NUL, a space or a non-ASCII byte makes it no name at
    /// all.
    fn parse(raw: &[u8]) -> Option<Name> {
        let text = std::str::from_utf8(raw).ok()?.to_ascii_lowercase();
        let (wild, rest) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text.as_str()),
        };
        DnsName::try_from(rest).ok().filter(|_| !rest.ends_with('.'))?;
        Some(if wild { Name::Wildcard(rest.into()) } else { Name::Exact(rest.into()) })
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Exact(name) => f.write_str(name),
            Name::Wildcard(name) => write!(f, "*.{name}"),
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.message)
    }
}
