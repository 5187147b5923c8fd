//! An upstream's TLS: from a spec of paths and choices to rustls' client configuration.
//!
//! Owns whom we trust, what we show, and the session cache of one upstream (it lives in the
//! configuration, so all workers that share the `Arc` resume each other's sessions). Refuses to
//! know endpoints and pools. Invariant: an empty set of trust anchors is an error; the only way not
//! to verify a server is to name [`Trust::InsecureSkipVerify`].

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
};

use super::certificate::{self, Warning};
use super::error::TlsConfigError;
use super::server::MinVersion;
use super::server::provider;
use crate::clock::Wall;

/// What an upstream asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSpec {
    pub trust: Trust,
    /// The name to ask for and to verify, instead of the endpoint's own: a DNS name or an address.
    pub server_name: Option<String>,
    pub identity: Option<Identity>,
    pub min_version: MinVersion,
    /// In order of preference. Empty: no ALPN.
    pub alpn: Vec<Vec<u8>>,
}

/// Who vouches for the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The host's trust store.
    System,
    /// The CA certificates of this file, and no others.
    File(PathBuf),
    /// Nobody: whoever sits between us and the upstream can read and change everything.
    InsecureSkipVerify,
}

/// The client certificate we show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// An upstream's TLS, ready to connect.
pub struct ClientTls {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
    fixed: Fixed,
    warnings: Vec<Warning>,
}

/// What the configuration was made of. Equal means it, and its sessions, can be kept.
#[derive(PartialEq)]
struct Fixed {
    roots: Option<Vec<CertificateDer<'static>>>,
    /// The chain stands for its key too: no two keys have one certificate.
    chain: Option<Vec<CertificateDer<'static>>>,
    min_version: MinVersion,
    alpn: Vec<Vec<u8>>,
}

/// Verifies that the server owns the key of the certificate it shows, and nothing about whose that
/// is.
#[derive(Debug)]
struct AcceptAnyCertificate(Arc<CryptoProvider>);

/// Sessions kept for one upstream: rustls keys them by server name, and an upstream has few.
const SESSIONS_MAX: usize = 256;

// === impl ClientTls ===

impl ClientTls {
    /// Loads everything the spec names. With `previous`, the same upstream's earlier TLS, its
    /// sessions are kept if the files and choices are the same.
    pub fn build(
        spec: &ClientSpec,
        previous: Option<&ClientTls>,
        now: Wall,
    ) -> Result<ClientTls, TlsConfigError> {
        let provider = provider();
        let mut warnings = Vec::new();
        let server_name = spec.server_name.as_deref().map(parse_name).transpose()?;
        super::server::check_alpn(&spec.alpn)?;
        let (roots, certificates) = match &spec.trust {
            Trust::InsecureSkipVerify => (None, None),
            Trust::File(file) => {
                let (roots, certificates) = certificate::load_roots(file)?;
                (Some(roots), Some(certificates))
            }
            Trust::System => {
                let (roots, certificates) = system_roots()?;
                (Some(roots), Some(certificates))
            }
        };
        let identity = match &spec.identity {
            None => None,
            Some(Identity { certificate, key }) => {
                Some(certificate::load(certificate, key, &provider, now, &mut warnings)?.key)
            }
        };
        let chain = identity.as_ref().map(|key| key.cert.clone());
        let fixed = Fixed {
            roots: certificates,
            chain,
            min_version: spec.min_version,
            alpn: spec.alpn.clone(),
        };
        let config = match previous.filter(|previous| previous.fixed == fixed) {
            Some(previous) => Arc::clone(&previous.config),
            None => {
                let verifier = verifier(roots, &provider)?;
                let builder = ClientConfig::builder_with_provider(provider)
                    .with_protocol_versions(super::server::versions(spec.min_version))
                    .map_err(|error| {
                        let remedy = "this is a fault of the build";
                        TlsConfigError::in_spec(error.to_string(), remedy)
                    })?
                    // rustls' word for "our own verifier"; only `AcceptAnyCertificate` is
                    // dangerous.
                    .dangerous()
                    .with_custom_certificate_verifier(verifier);
                let mut config = match identity {
                    None => builder.with_no_client_auth(),
                    Some(key) => {
                        let resolver = rustls::sign::SingleCertAndKey::from((*key).clone());
                        builder.with_client_cert_resolver(Arc::new(resolver))
                    }
                };
                config.alpn_protocols.clone_from(&spec.alpn);
                config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
                Arc::new(config)
            }
        };
        Ok(ClientTls { config, server_name, fixed, warnings })
    }

    /// For [`super::Session::client`].
    #[must_use]
    pub fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    /// The name to verify an endpoint by: the spec's, else the endpoint's own host name or address.
    pub fn name_for(&self, host: &str) -> Result<ServerName<'static>, TlsConfigError> {
        match &self.server_name {
            Some(name) => Ok(name.clone()),
            None => parse_name(host),
        }
    }

    /// What to tell the operator, at every load.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

/// A DNS name, or an address with or without the brackets of a URL.
fn parse_name(host: &str) -> Result<ServerName<'static>, TlsConfigError> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    ServerName::try_from(bare.to_owned()).map_err(|_| {
        TlsConfigError::in_spec(
            format!("\"{}\" is no name a server can be verified by", host.escape_debug()),
            "use a DNS name, or an IP address that stands in the server's certificate",
        )
    })
}

fn system_roots() -> Result<(RootCertStore, Vec<CertificateDer<'static>>), TlsConfigError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // A trust store's odd certificate (old, or in an encoding webpki refuses) is no reason to stop:
    // leaving it out trusts less, not more.
    let (added, _) = roots.add_parsable_certificates(found.certs.iter().cloned());
    if added == 0 {
        let cause = found.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
        return Err(TlsConfigError::in_spec(
            format!("no CA certificate was found on this host{cause}"),
            "install the package ca-certificates, or name a CA file for this upstream",
        ));
    }
    Ok((roots, found.certs))
}

fn verifier(
    roots: Option<RootCertStore>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, TlsConfigError> {
    let Some(roots) = roots else {
        return Ok(Arc::new(AcceptAnyCertificate(Arc::clone(provider))));
    };
    let built = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    match built.build() {
        Ok(verifier) => Ok(verifier),
        Err(error) => Err(TlsConfigError::in_spec(
            format!("the upstream's certificates could not be verified ({error})"),
            "give the CA certificates to trust, in PEM",
        )),
    }
}

// === impl AcceptAnyCertificate ===

impl ServerCertVerifier for AcceptAnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        None
    }
}
