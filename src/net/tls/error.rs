//! The two ways TLS goes wrong: on a connection ([`TlsError`]) and in a configuration
//! ([`TlsConfigError`]).
//!
//! A connection's error carries a token of few values for metrics and the log, and the library's
//! own words for people. A configuration's error always names the file, what is wrong and what to
//! do.

use std::fmt;
use std::path::{Path, PathBuf};

use rustls::{CertificateError, PeerIncompatible};

/// Why a TLS connection cannot go on. Bytes for the peer (an alert) may still be pending in
/// [`super::Session::take_outgoing`].
#[derive(Clone, Debug)]
pub enum TlsError {
    /// The protocol failed: the peer's fault, ours, or the certificates'.
    Protocol(rustls::Error),
    /// An unfinished handshake message grew past [`super::session::STASH_BYTES_MAX`].
    HandshakeTooLarge,
    /// Application data was to be sent before the handshake ended.
    NotEstablished,
    /// Application data was to be sent after our close_notify.
    WriteAfterClose,
    /// TLS 1.2 keys reached their confidentiality limit; the connection must be replaced.
    KeysExhausted,
}

/// A certificate, key, CA or CRL file (or a choice in the spec) that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfigError {
    /// The file at fault; `None` if it is a value of the spec itself.
    pub file: Option<PathBuf>,
    pub message: String,
    pub remedy: String,
}

// === impl TlsError ===

impl TlsError {
    /// One of a few words, for a metric's label and the access log.
    #[must_use]
    pub fn token(&self) -> &'static str {
        use rustls::Error as E;
        match self {
            TlsError::HandshakeTooLarge => "handshake_too_large",
            TlsError::NotEstablished => "not_established",
            TlsError::WriteAfterClose => "write_after_close",
            TlsError::KeysExhausted => "keys_exhausted",
            TlsError::Protocol(error) => match error {
                E::InappropriateMessage { .. }
                | E::InappropriateHandshakeMessage { .. }
                | E::PeerMisbehaved(_) => "peer_misbehaved",
                E::InvalidMessage(_) | E::PeerSentOversizedRecord => "not_tls",
                E::DecryptError => "bad_record",
                E::AlertReceived(_) => "alert_received",
                E::NoApplicationProtocol => "no_alpn_overlap",
                E::NoCertificatesPresented => "no_peer_certificate",
                E::PeerIncompatible(why) => incompatible(why),
                E::InvalidCertificate(why) => certificate(why),
                E::InvalidCertRevocationList(_) => "bad_crl",
                // What rustls says when the resolver has no certificate for the name.
                E::General(_) => "no_certificate_for_name",
                _ => "other",
            },
        }
    }
}

fn incompatible(why: &PeerIncompatible) -> &'static str {
    use PeerIncompatible as P;
    match why {
        P::NoCipherSuitesInCommon => "no_cipher_overlap",
        P::NoKxGroupsInCommon | P::NoEcPointFormatsInCommon => "no_group_overlap",
        P::ServerDoesNotSupportTls12Or13
        | P::SupportedVersionsExtensionRequired
        | P::Tls12NotOffered
        | P::Tls12NotOfferedOrEnabled
        | P::Tls13RequiredForQuic => "no_version_overlap",
        _ => "peer_incompatible",
    }
}

fn certificate(why: &CertificateError) -> &'static str {
    use CertificateError as C;
    match why {
        C::Expired | C::ExpiredContext { .. } => "certificate_expired",
        C::NotValidYet | C::NotValidYetContext { .. } => "certificate_not_yet_valid",
        C::Revoked => "certificate_revoked",
        C::BadSignature => "certificate_bad_signature",
        C::UnknownIssuer => "certificate_unknown_issuer",
        C::NotValidForName | C::NotValidForNameContext { .. } => "certificate_wrong_name",
        _ => "certificate_invalid",
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsError::Protocol(error) => write!(f, "{error}"),
            TlsError::HandshakeTooLarge => {
                f.write_str("an unfinished handshake message is too large")
            }
            TlsError::NotEstablished => f.write_str("the handshake has not ended"),
            TlsError::WriteAfterClose => f.write_str("close_notify was already sent"),
            TlsError::KeysExhausted => f.write_str("the keys reached their confidentiality limit"),
        }
    }
}

impl std::error::Error for TlsError {}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        TlsError::Protocol(error)
    }
}

// === impl TlsConfigError ===

impl TlsConfigError {
    pub(super) fn in_file(file: &Path, message: impl Into<String>, remedy: &str) -> Self {
        TlsConfigError { file: Some(file.into()), message: message.into(), remedy: remedy.into() }
    }

    pub(super) fn in_spec(message: impl Into<String>, remedy: &str) -> Self {
        TlsConfigError { file: None, message: message.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for TlsConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}: ", file.display())?;
        }
        write!(f, "{}; {}", self.message, self.remedy)
    }
}

impl std::error::Error for TlsConfigError {}
