//! What the tests of this room share: a CA that writes files, and two sessions joined by a wire
//! that cuts wherever a test wants.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, SupportedProtocolVersion};
use tempfile::TempDir;

use super::client::{ClientSpec, ClientTls, Identity, Trust};
use super::error::TlsError;
use super::server::{MinVersion, ServerSpec, ServerTls, UnknownSni};
use super::session::Session;
use super::{certificate, server};
use crate::clock::Wall;

pub static TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
pub static TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// 2027-01-15 08:00:00 UTC: only warnings look at it.
pub const NOW: Wall = Wall(1_800_000_000_000_000_000);

/// A certificate authority with a directory.
pub struct Ca {
    pub dir: TempDir,
    issuer: Issuer<'static, KeyPair>,
    pub file: PathBuf,
}

/// One end, with what it received.
pub struct Peer {
    pub session: Session,
    pub plain: Vec<u8>,
    pub closed: bool,
}

/// Which end found the fault.
#[derive(Debug)]
pub enum Fault {
    Client(TlsError),
    Server(TlsError),
}

impl Ca {
    pub fn new() -> Ca {
        let dir = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        // One subject each, else a stranger's certificate fails by its signature, not by its
        // issuer.
        let subject = format!("CA of {}", dir.path().display());
        params.distinguished_name.push(DnType::CommonName, subject);
        let key = KeyPair::generate().unwrap();
        let file = dir.path().join("ca.pem");
        std::fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        Ca { dir, issuer: Issuer::new(params, key), file }
    }

    /// Issues a certificate; returns chain and key files.
    pub fn issue(&self, tag: &str, names: &[&str]) -> (PathBuf, PathBuf) {
        self.issue_with(tag, names, &rcgen::PKCS_ECDSA_P256_SHA256, |_| {})
    }

    pub fn issue_with(
        &self,
        tag: &str,
        names: &[&str],
        algorithm: &'static rcgen::SignatureAlgorithm,
        change: impl FnOnce(&mut CertificateParams),
    ) -> (PathBuf, PathBuf) {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate_for(algorithm).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let chain = self.write(&format!("{tag}.crt"), &certificate.pem());
        (chain, self.write(&format!("{tag}.key"), &key.serialize_pem()))
    }

    /// A revocation list of these serial numbers, due for replacement at the start of a year.
    pub fn crl(&self, tag: &str, serials: &[u64], until: i32) -> PathBuf {
        let revoked = serials.iter().map(|&serial| RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let crl = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(until, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let crl = crl.signed_by(&self.issuer).unwrap();
        self.write(&format!("{tag}.crl"), &crl.pem().unwrap())
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn server_spec(&self, names: &[&str]) -> ServerSpec {
        ServerSpec {
            default: None,
            certificates: vec![self.issue(names[0], names)],
            min_version: MinVersion::Tls12,
            alpn: Vec::new(),
            client_auth: None,
            unknown_sni: UnknownSni::Default,
        }
    }

    pub fn server(&self, names: &[&str]) -> ServerTls {
        ServerTls::build(&self.server_spec(names), None, NOW).unwrap()
    }

    pub fn client_spec(&self) -> ClientSpec {
        ClientSpec {
            min_version: MinVersion::Tls12,
            trust: Trust::File(self.file.clone()),
            server_name: None,
            identity: None,
            alpn: Vec::new(),
        }
    }

    pub fn client(&self) -> ClientTls {
        ClientTls::build(&self.client_spec(), None, NOW).unwrap()
    }

    pub fn client_showing(&self, (certificate, key): (PathBuf, PathBuf)) -> ClientTls {
        let identity = Some(Identity { certificate, key });
        ClientTls::build(&ClientSpec { identity, ..self.client_spec() }, None, NOW).unwrap()
    }

    /// A client of rustls' own making that speaks only `versions`.
    pub fn client_of(&self, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
        let (roots, _) = certificate::load_roots(&self.file).unwrap();
        let mut config = ClientConfig::builder_with_provider(server::provider())
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.enable_secret_extraction = true;
        Arc::new(config)
    }
}

impl Peer {
    pub fn server(tls: &ServerTls) -> Peer {
        Peer::new(Session::server(Arc::clone(tls.config())).unwrap())
    }

    pub fn client(config: &Arc<ClientConfig>, name: &str) -> Peer {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        Peer::new(Session::client(Arc::clone(config), name).unwrap())
    }

    fn new(session: Session) -> Peer {
        Peer { session, plain: Vec::new(), closed: false }
    }

    /// Receives `wire` in reads of the lengths `split` says.
    pub fn feed(&mut self, wire: &[u8], split: &mut dyn FnMut() -> usize) -> Result<(), TlsError> {
        let mut rest = wire;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(split().clamp(1, rest.len()));
            let mut buf = vec![0; self.session.stash_len() + now.len()];
            let at = self.session.restore(&mut buf);
            buf[at..].copy_from_slice(now);
            let got = self.session.receive(&mut buf)?;
            self.plain.extend(&buf[..got.plaintext]);
            self.closed = got.closed;
            if got.failed {
                return Err(self.session.receive(&mut []).unwrap_err());
            }
            rest = later;
        }
        Ok(())
    }

    pub fn feed_whole(&mut self, wire: &[u8]) -> Result<(), TlsError> {
        self.feed(wire, &mut || usize::MAX)
    }

    /// Encrypts all of `plaintext`, in calls with `room` bytes of output.
    pub fn send(&mut self, plaintext: &[u8], room: usize) -> Vec<u8> {
        let mut wire = Vec::new();
        let mut rest = plaintext;
        let mut out = vec![0; room];
        while !rest.is_empty() {
            let (consumed, written) = self.session.encrypt(rest, &mut out).unwrap();
            assert!(consumed + written > 0, "no progress with {room} bytes of room");
            wire.extend(&out[..written]);
            rest = &rest[consumed..];
        }
        wire
    }
}

/// Carries flights to and fro until both are silent.
pub fn handshake(
    client: &mut Peer,
    server: &mut Peer,
    split: &mut dyn FnMut() -> usize,
) -> Result<(), Fault> {
    loop {
        let to_server = client.session.take_outgoing();
        if let Some(wire) = &to_server {
            server.feed(wire, split).map_err(Fault::Server)?;
        }
        let to_client = server.session.take_outgoing();
        if let Some(wire) = &to_client {
            client.feed(wire, split).map_err(Fault::Client)?;
        }
        if to_server.is_none() && to_client.is_none() {
            return Ok(());
        }
    }
}

/// Connects; both ends, or the fault.
pub fn connect(
    config: &Arc<ClientConfig>,
    tls: &ServerTls,
    name: &str,
) -> Result<(Peer, Peer), Fault> {
    let (mut client, mut server) = (Peer::client(config, name), Peer::server(tls));
    handshake(&mut client, &mut server, &mut || usize::MAX)?;
    assert!(!client.session.is_handshaking() && !server.session.is_handshaking());
    Ok((client, server))
}

/// The token of the fault that a handshake must end with, and who found it.
pub fn refusal(
    config: &Arc<ClientConfig>,
    tls: &ServerTls,
    name: &str,
) -> (&'static str, &'static str) {
    match connect(config, tls, name) {
        Ok(_) => panic!("the handshake went through"),
        Err(Fault::Client(error)) => ("client", error.token()),
        Err(Fault::Server(error)) => ("server", error.token()),
    }
}

/// The file's first PEM section as DER.
pub fn der(file: &Path) -> Vec<u8> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    CertificateDer::from_pem_file(file).unwrap().to_vec()
}
