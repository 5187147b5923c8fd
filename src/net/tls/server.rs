//! A listener's TLS: from a spec of paths and choices to rustls' configuration, and its reload.
//!
//! Owns the policy: TLS 1.2 or 1.3 at least, no early data, no key log, one ticket a handshake from
//! one process-wide ticketer, none at all where client certificates are asked for. Refuses to know
//! listeners and the config file. Invariant: what cannot be loaded is an error; a reload that
//! changes certificates only keeps the configuration, so that nothing but new handshakes notices.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::certificate::{self, Warning};
use super::error::TlsConfigError;
use super::resolver::{CertificateTable, SniResolver};
use crate::clock::Wall;

/// What a listener asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSpec {
    /// Certificate chain file and private key file; the first pair is the default certificate ...
    pub certificates: Vec<(PathBuf, PathBuf)>,
    /// ... unless the one for this host name is asked for.
    pub default: Option<String>,
    pub min_version: MinVersion,
    /// In order of preference, such as `b"h2"`, `b"http/1.1"`. Empty: no ALPN.
    pub alpn: Vec<Vec<u8>>,
    pub client_auth: Option<ClientAuth>,
    pub unknown_sni: UnknownSni,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinVersion {
    #[default]
    Tls12,
    Tls13,
}

/// Client certificates: who vouches for them, and whether one must come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuth {
    pub ca: PathBuf,
    pub mode: ClientAuthMode,
    pub crl: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuthMode {
    /// No handshake without a certificate that the CA vouches for.
    Require,
    /// A certificate may be left out; one that is shown must be good.
    Request,
}

/// What a client gets that asks for a name no certificate has, or for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownSni {
    /// The first certificate.
    #[default]
    Default,
    /// A fatal alert.
    Reject,
}

/// A listener's TLS, ready to accept.
pub struct ServerTls {
    config: Arc<ServerConfig>,
    fixed: Fixed,
    /// What the configuration's resolver reads; shared with the `ServerTls` this one came from.
    live: Arc<ArcSwap<CertificateTable>>,
    /// What [`ServerTls::publish`] puts there.
    table: Arc<CertificateTable>,
    warnings: Vec<Warning>,
    not_after: i64,
}

/// What cannot change inside a `ServerConfig`. Equal means the configuration can be kept.
#[derive(PartialEq)]
struct Fixed {
    min_version: MinVersion,
    alpn: Vec<Vec<u8>>,
    client_auth: Option<FixedClientAuth>,
}

#[derive(PartialEq)]
struct FixedClientAuth {
    mode: ClientAuthMode,
    ca: Vec<CertificateDer<'static>>,
    crls: Vec<CertificateRevocationListDer<'static>>,
}

static TLS13_ONLY: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
static TLS12_AND_13: &[&SupportedProtocolVersion] =
    &[&rustls::version::TLS13, &rustls::version::TLS12];

/// RFC 7301 section 3.1: one byte holds a protocol name's length, and it is not empty.
const ALPN_NAME_BYTES_MAX: usize = 255;

// === impl ServerTls ===

impl ServerTls {
    /// Loads everything the spec names. With `previous`, the same listener's earlier TLS, the
    /// configuration is kept if only certificates changed; nothing is visible to clients until
    /// [`ServerTls::publish`].
    pub fn build(
        spec: &ServerSpec,
        previous: Option<&ServerTls>,
        now: Wall,
    ) -> Result<ServerTls, TlsConfigError> {
        let provider = provider();
        let mut warnings = Vec::new();
        let loaded = load_certificates(spec, &provider, now, &mut warnings)?;
        let not_after = loaded.iter().map(|c| c.not_after).min().unwrap_or(i64::MAX);
        let table = Arc::new(CertificateTable::new(&loaded, spec.unknown_sni, &mut warnings));
        check_alpn(&spec.alpn)?;
        let (client_auth, verifier) = match &spec.client_auth {
            None => (None, WebPkiClientVerifier::no_client_auth()),
            Some(auth) => {
                let (fixed, verifier) = client_verifier(auth, &provider, now, &mut warnings)?;
                (Some(fixed), verifier)
            }
        };
        let fixed = Fixed { min_version: spec.min_version, alpn: spec.alpn.clone(), client_auth };
        let (config, live) = match previous.filter(|previous| previous.fixed == fixed) {
            Some(previous) => (Arc::clone(&previous.config), Arc::clone(&previous.live)),
            None => {
                let live = Arc::new(ArcSwap::new(Arc::clone(&table)));
                (Arc::new(configuration(&fixed, verifier, &live, provider)?), live)
            }
        };
        Ok(ServerTls { config, fixed, live, table, warnings, not_after })
    }

    /// Makes the certificates of this build those of new handshakes. Idempotent.
    pub fn publish(&self) {
        self.live.store(Arc::clone(&self.table));
    }

    /// For [`super::Session::server`].
    #[must_use]
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// What to tell the operator, at every load.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// When the first of the certificates ends, in seconds since 1970: a gauge for the metrics.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        self.not_after
    }
}

/// The cryptography of the whole process.
pub(super) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(aws_lc_rs::default_provider())))
}

fn load_certificates(
    spec: &ServerSpec,
    provider: &CryptoProvider,
    now: Wall,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<certificate::Loaded>, TlsConfigError> {
    if spec.certificates.is_empty() {
        return Err(TlsConfigError::in_spec(
            "a TLS listener has no certificate",
            "give at least one certificate file with its key file",
        ));
    }
    let mut loaded = Vec::with_capacity(spec.certificates.len());
    for (chain, key) in &spec.certificates {
        let certificate = certificate::load(chain, key, provider, now, warnings)?;
        // Such a certificate can only be the default; in any other place it is a mistake.
        let reachable = loaded.is_empty() && spec.unknown_sni == UnknownSni::Default;
        if certificate.names.is_empty() && !reachable {
            return Err(TlsConfigError::in_file(
                chain,
                "the certificate has no DNS name in its subjectAltName, so no client can get it",
                "have it issued with the names it is for, or make it the first (default) one",
            ));
        }
        loaded.push(certificate);
    }
    if let Some(host) = &spec.default {
        let of_host = loaded.iter().position(|c| c.names.iter().any(|name| name.is(host)));
        let Some(at) = of_host else {
            return Err(TlsConfigError::in_spec(
                format!("no certificate is for the default host {host:?}"),
                "name a host that stands in one of the certificates",
            ));
        };
        loaded.swap(0, at);
    }
    Ok(loaded)
}

/// The versions from the least one on.
pub(super) fn versions(min: MinVersion) -> &'static [&'static SupportedProtocolVersion] {
    match min {
        MinVersion::Tls12 => TLS12_AND_13,
        MinVersion::Tls13 => TLS13_ONLY,
    }
}

pub(super) fn check_alpn(alpn: &[Vec<u8>]) -> Result<(), TlsConfigError> {
    match alpn.iter().find(|name| name.is_empty() || name.len() > ALPN_NAME_BYTES_MAX) {
        None => Ok(()),
        Some(name) => Err(TlsConfigError::in_spec(
            format!("the ALPN name \"{}\" is empty or longer than 255 bytes", name.escape_ascii()),
            "use registered names, such as h2 and http/1.1",
        )),
    }
}

fn client_verifier(
    auth: &ClientAuth,
    provider: &Arc<CryptoProvider>,
    now: Wall,
    warnings: &mut Vec<Warning>,
) -> Result<(FixedClientAuth, Arc<dyn ClientCertVerifier>), TlsConfigError> {
    let (roots, ca): (RootCertStore, _) = certificate::load_roots(&auth.ca)?;
    let crls = match &auth.crl {
        None => Vec::new(),
        Some(file) => certificate::load_crls(file, now, warnings)?,
    };
    let mut builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .with_crls(crls.clone())
            // An out-of-date list says nothing about who was revoked since: refuse, as OpenSSL
            // does.
            .enforce_revocation_expiration();
    if auth.mode == ClientAuthMode::Request {
        builder = builder.allow_unauthenticated();
    }
    let verifier = builder.build().map_err(|error| {
        TlsConfigError::in_file(
            auth.crl.as_ref().unwrap_or(&auth.ca),
            format!("client certificates could not be verified with it ({error})"),
            "give the CA's certificates and its current revocation list, in PEM",
        )
    })?;
    Ok((FixedClientAuth { mode: auth.mode, ca, crls }, verifier))
}

fn configuration(
    fixed: &Fixed,
    verifier: Arc<dyn ClientCertVerifier>,
    live: &Arc<ArcSwap<CertificateTable>>,
    provider: Arc<CryptoProvider>,
) -> Result<ServerConfig, TlsConfigError> {
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions(fixed.min_version))
        .map_err(|error| {
            let remedy = "this is a fault of the build: its cipher suites do not fit its versions";
            TlsConfigError::in_spec(error.to_string(), remedy)
        })?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SniResolver { table: Arc::clone(live) }));
    config.alpn_protocols.clone_from(&fixed.alpn);
    // Tickets carry the session, so all workers resume each other's without a shared, locked cache.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    if fixed.client_auth.is_some() {
        // A resumed handshake does not verify the client's certificate again, so one that was
        // revoked or has expired would live on in its tickets.
        config.send_tls13_tickets = 0;
    } else {
        config.ticketer = ticketer()?;
        // rustls' default of 2 serves clients that open connections in pairs; each costs an
        // encryption and about 100 bytes in every handshake.
        config.send_tls13_tickets = 1;
    }
    // No rustls server can tell a replay from another worker's: early data stays off.
    config.max_early_data_size = 0;
    Ok(config)
}

/// One for all listeners and workers, for the life of the process: a reload must not turn every
/// returning client's ticket into a full handshake. Keys rotate every 6 hours by themselves.
fn ticketer() -> Result<Arc<dyn ProducesTickets>, TlsConfigError> {
    static TICKETER: OnceLock<Arc<dyn ProducesTickets>> = OnceLock::new();
    if let Some(ticketer) = TICKETER.get() {
        return Ok(Arc::clone(ticketer));
    }
    let made = aws_lc_rs::Ticketer::new().map_err(|error| {
        let remedy = "the kernel's random number source must be available";
        TlsConfigError::in_spec(format!("no session ticket keys could be made ({error})"), remedy)
    })?;
    Ok(Arc::clone(TICKETER.get_or_init(|| made)))
}
