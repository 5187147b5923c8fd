//! Certificates made for a test, and TLS clients and origins that use them.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};

use super::client::Client;

/// An authority.
pub struct Authority {
    pem: String,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key.
pub struct Certificate {
    pub pem: String,
    pub key_pem: String,
    der: CertificateDer<'static>,
    key: Vec<u8>,
}

// === impl Authority ===

impl Authority {
    pub fn new(name: &str) -> Authority {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let cert = params.self_signed(&key).expect("a certificate");
        let (pem, der) = (cert.pem(), cert.der().clone());
        Authority { pem, der, issuer: Issuer::new(params, key) }
    }

    /// A certificate for these names, for servers and clients.
    pub fn issue(&self, names: &[&str]) -> Certificate {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate");
        Certificate {
            pem: cert.pem(),
            key_pem: key.serialize_pem(),
            der: cert.der().clone(),
            key: key.serialize_der(),
        }
    }

    pub fn write(&self, dir: &Path, file: &str) {
        std::fs::write(dir.join(file), &self.pem).expect("a file");
    }

    /// A client that believes this authority.
    pub fn client(&self) -> ClientConfig {
        self.client_speaking(rustls::ALL_VERSIONS)
    }

    pub fn client_speaking(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> ClientConfig {
        self.client_builder(versions).with_no_client_auth()
    }

    /// The same, with a certificate of its own.
    pub fn client_with(&self, own: &Certificate) -> ClientConfig {
        self.client_builder(rustls::ALL_VERSIONS)
            .with_client_auth_cert(vec![own.der.clone()], own.private())
            .expect("a key that fits")
    }

    fn client_builder(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
        ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(self.roots())
    }

    /// A server that shows `own` and, if asked to, insists on clients of this authority.
    pub fn server(&self, own: &Certificate, asks_clients: bool) -> Arc<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .expect("versions");
        let builder = if asks_clients {
            let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
                Arc::new(self.roots()),
                provider(),
            );
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        } else {
            builder.with_no_client_auth()
        };
        let config = builder.with_single_cert(vec![own.der.clone()], own.private());
        Arc::new(config.expect("a key that fits"))
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).expect("an authority");
        roots
    }
}

// === impl Certificate ===

impl Certificate {
    /// Writes `NAME.pem` and `NAME.key`.
    pub fn write(&self, dir: &Path, name: &str) {
        std::fs::write(dir.join(format!("{name}.pem")), &self.pem).expect("a file");
        std::fs::write(dir.join(format!("{name}.key")), &self.key_pem).expect("a file");
    }

    fn private(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.clone().into())
    }

    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }
}

/// What a handshake led to.
pub struct Shaken {
    pub client: Client,
    pub version: rustls::ProtocolVersion,
    /// The certificate the gateway showed.
    pub shown: CertificateDer<'static>,
    /// The protocol agreed on.
    pub alpn: Option<Vec<u8>>,
}

/// Connects and shakes hands; the error is the client's or the alert it was sent.
pub fn connect(to: SocketAddr, config: ClientConfig, name: &str) -> std::io::Result<Shaken> {
    let plain = Client::connect(to);
    let tcp = plain.tcp;
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let session = ClientConnection::new(Arc::new(config), name).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(session, tcp.try_clone()?);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    let shown = stream.conn.peer_certificates().expect("the gateway shows one")[0].clone();
    let version = stream.conn.protocol_version().expect("the handshake is done");
    let alpn = stream.conn.alpn_protocol().map(<[u8]>::to_vec);
    let shown = shown.into_owned();
    Ok(Shaken { client: Client::over(stream, tcp), version, shown, alpn })
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
