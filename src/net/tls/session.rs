//! One TLS connection without IO: ciphertext in, plaintext out, in the caller's own buffer.
//!
//! Owns the record state and, only while they are needed, two vectors: the *stash* (the tail of a
//! read that is not a whole record yet) and *outgoing* (handshake flights, tickets, alerts, key
//! updates). Both are freed when empty, so an idle connection costs rustls' keys and nothing more.
//! Refuses to know sockets, deadlines and who reads. Invariants: bytes leave in the order this
//! session made them ([`Session::encrypt`] puts `outgoing` first); after an error nothing more is
//! decrypted, but `outgoing` still holds the alert.
//!
//! How a stream uses it: read into `buf[n..]` where `n = session.restore(&mut buf)` and `buf` is at
//! least [`Session::read_room`] long; `receive(&mut buf[..n + read])`; send `take_outgoing()`, at
//! once while handshaking, else it may ride in front of the next `encrypt`. A socket's EOF without
//! `closed` is a truncation. After the peer's close_notify we may still send; after both sides' no
//! more (rustls then gives no write state), so finish writing before [`Session::close_notify`].

use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::UnbufferedServerConnection;
use rustls::{ClientConfig, CommonState, HandshakeKind, ProtocolVersion, ServerConfig};

use super::error::TlsError;
use super::names;
use super::records::{self, RECORD_WIRE_MAX, Records, encrypted_len};
use super::resolver;
use crate::auth::Certificate;

/// The most ciphertext kept between two reads. rustls accepts handshake messages of 64 KiB; in many
/// small records they would need many times that, which only an attacker does.
pub const STASH_BYTES_MAX: usize = 64 * 1024;

/// A client's or a server's end of one TLS connection.
pub struct Session {
    side: Side,
    /// The bytes that follow the last whole record. rustls' handshake deframer holds offsets into
    /// them while a handshake message is in pieces, so every call into rustls must be given them:
    /// with an empty slice it would index out of bounds.
    /// INVARIANT: holds no whole record; empty once the peer has closed or the session failed.
    stash: Vec<u8>,
    outgoing: Vec<u8>,
    server_name: Option<Box<str>>,
    peer_closed: bool,
    close_sent: bool,
    failure: Option<TlsError>,
}

/// Boxed: rustls' state is over a kilobyte, and a session moves through futures.
enum Side {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
}

/// What one [`Session::receive`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Bytes of application data, at the front of the buffer.
    pub plaintext: usize,
    /// The peer's close_notify was seen (now or earlier): no more data comes.
    pub closed: bool,
    /// The handshake goes on; there is no data either way yet.
    pub handshaking: bool,
    /// The data is good, but what followed it was not: the next `receive` returns the error.
    pub failed: bool,
}

/// What the two sides agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiated<'a> {
    pub version: TlsVersion,
    /// IANA name, such as `TLS13_AES_256_GCM_SHA384`.
    pub cipher: &'static str,
    pub alpn: Option<&'a [u8]>,
    /// Server: the name the client asked for (lower case). Client: always `None`.
    pub server_name: Option<&'a str>,
    pub resumed: bool,
    /// Leaf first; empty when the peer showed none.
    pub peer_certificates: &'a [CertificateDer<'static>],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    V1_2,
    V1_3,
}

// === impl Session ===

impl Session {
    /// A server's end, waiting for a ClientHello.
    pub fn server(config: Arc<ServerConfig>) -> Result<Session, TlsError> {
        let conn = UnbufferedServerConnection::new(config)?;
        Ok(Session::new(Side::Server(Box::new(conn))))
    }

    /// A client's end; its ClientHello is in [`Session::take_outgoing`] already.
    pub fn client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Session, TlsError> {
        let conn = UnbufferedClientConnection::new(config, name)?;
        let mut session = Session::new(Side::Client(Box::new(conn)));
        session.receive(&mut [])?;
        Ok(session)
    }

    fn new(side: Side) -> Session {
        Session {
            side,
            stash: Vec::new(),
            outgoing: Vec::new(),
            server_name: None,
            peer_closed: false,
            close_sent: false,
            failure: None,
        }
    }

    /// Bytes that [`Session::restore`] will put in front of the next read.
    #[must_use]
    pub fn stash_len(&self) -> usize {
        self.stash.len()
    }

    /// The length of a buffer with which one read can finish what is in the stash. Any buffer
    /// longer than the stash makes progress; a short one only means more copying.
    #[must_use]
    pub fn read_room(&self) -> usize {
        self.stash.len() + RECORD_WIRE_MAX
    }

    /// Copies the stash to the front of `dst` and says how long it is. The session keeps its own
    /// copy until the next `receive`, so calling this twice, or encrypting in between, is harmless.
    ///
    /// # Panics
    /// If `dst` is shorter than [`Session::stash_len`].
    #[must_use]
    pub fn restore(&self, dst: &mut [u8]) -> usize {
        let n = self.stash.len();
        dst[..n].copy_from_slice(&self.stash);
        n
    }

    /// Takes ciphertext in `buf` (the restored stash, then what was read) and leaves the plaintext
    /// of all its whole records at the front of `buf`.
    ///
    /// # Errors
    /// The connection is over; send [`Session::take_outgoing`] (the alert) and close. Data from
    /// before the fault is delivered first, with [`Received::failed`], and the error by the next
    /// call.
    ///
    /// # Panics
    /// If `buf` is shorter than the stash it must begin with.
    pub fn receive(&mut self, buf: &mut [u8]) -> Result<Received, TlsError> {
        if let Some(error) = &self.failure {
            return Err(error.clone());
        }
        // rustls holds offsets into the stash: without its bytes it would panic far from the cause.
        assert!(buf.len() >= self.stash.len(), "the caller restored the stash");
        debug_assert!(buf.starts_with(&self.stash), "the caller restored the stash");
        self.stash = Vec::new();
        let naming = matches!(self.side, Side::Server(_)) && self.is_handshaking();
        if naming {
            drop(resolver::take_server_name());
        }
        let progress = match &mut self.side {
            Side::Client(conn) => records::decrypt(conn.as_mut(), &mut self.outgoing, buf),
            Side::Server(conn) => records::decrypt(conn.as_mut(), &mut self.outgoing, buf),
        };
        if naming && let Some(name) = resolver::take_server_name() {
            self.server_name = Some(name);
        }
        self.peer_closed |= progress.closed;
        match progress.error {
            Some(error) => self.fail(error),
            // RFC 8446 section 6.1: data after a closure alert is ignored.
            None if self.peer_closed => {}
            None => self.keep(&buf[progress.consumed..]),
        }
        match &self.failure {
            Some(error) if progress.plaintext == 0 => Err(error.clone()),
            failure => Ok(Received {
                plaintext: progress.plaintext,
                closed: self.peer_closed,
                handshaking: self.is_handshaking(),
                failed: failure.is_some(),
            }),
        }
    }

    /// Encrypts as much of `plaintext` as fits into `out`, after what is pending in outgoing;
    /// returns (plaintext bytes consumed, ciphertext bytes written). Both may be less than asked
    /// when `out` is short; with [`Session::encrypt_room`] bytes all goes in one call, save for a
    /// rare key update.
    pub fn encrypt(
        &mut self,
        plaintext: &[u8],
        out: &mut [u8],
    ) -> Result<(usize, usize), TlsError> {
        if let Some(error) = &self.failure {
            return Err(error.clone());
        }
        if self.close_sent {
            return Err(TlsError::WriteAfterClose);
        }
        let Session { side, stash, outgoing, .. } = self;
        let result = match side {
            Side::Client(conn) => records::encrypt(conn.as_mut(), stash, outgoing, plaintext, out),
            Side::Server(conn) => records::encrypt(conn.as_mut(), stash, outgoing, plaintext, out),
        };
        match result {
            Err(TlsError::NotEstablished) => Err(TlsError::NotEstablished),
            Err(error) => {
                self.fail(error.clone());
                Err(error)
            }
            ok => ok,
        }
    }

    /// The length of `out` with which [`Session::encrypt`] takes all of `plaintext` bytes.
    #[must_use]
    pub fn encrypt_room(&self, plaintext: usize) -> usize {
        self.outgoing.len() + encrypted_len(plaintext)
    }

    /// Puts a close_notify into outgoing. Nothing can be sent after it. During the handshake and
    /// after a failure it does nothing: there is no close to announce, or the alert says it
    /// already.
    pub fn close_notify(&mut self) {
        if self.close_sent || self.failure.is_some() || self.is_handshaking() {
            return;
        }
        self.close_sent = true;
        let Session { side, stash, outgoing, .. } = self;
        let result = match side {
            Side::Client(conn) => records::close(conn.as_mut(), stash, outgoing),
            Side::Server(conn) => records::close(conn.as_mut(), stash, outgoing),
        };
        if let Err(error) = result {
            self.fail(error);
        }
    }

    /// The bytes to send before anything else, if any. They must reach the socket in this order.
    #[must_use]
    pub fn take_outgoing(&mut self) -> Option<Vec<u8>> {
        (!self.outgoing.is_empty()).then(|| std::mem::take(&mut self.outgoing))
    }

    /// How many bytes [`Session::take_outgoing`] would give.
    #[must_use]
    pub fn outgoing_len(&self) -> usize {
        self.outgoing.len()
    }

    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        self.common().is_handshaking()
    }

    /// The peer's close_notify was seen.
    #[must_use]
    pub fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// The error after which this session is dead, if it is.
    #[must_use]
    pub fn failure(&self) -> Option<&TlsError> {
        self.failure.as_ref()
    }

    /// Server: the name the client asked for, in lower case; known even if the handshake failed.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// What was agreed on; `None` until the version and the cipher are.
    #[must_use]
    pub fn negotiated(&self) -> Option<Negotiated<'_>> {
        let common = self.common();
        let version = match common.protocol_version()? {
            ProtocolVersion::TLSv1_2 => TlsVersion::V1_2,
            ProtocolVersion::TLSv1_3 => TlsVersion::V1_3,
            _ => return None,
        };
        Some(Negotiated {
            version,
            cipher: common.negotiated_cipher_suite()?.suite().as_str().unwrap_or("unknown"),
            alpn: common.alpn_protocol(),
            server_name: self.server_name.as_deref(),
            resumed: common.handshake_kind() == Some(HandshakeKind::Resumed),
            peer_certificates: common.peer_certificates().unwrap_or_default(),
        })
    }

    fn common(&self) -> &CommonState {
        match &self.side {
            Side::Client(conn) => conn.common(),
            Side::Server(conn) => conn.common(),
        }
    }

    fn keep(&mut self, tail: &[u8]) {
        if tail.len() > STASH_BYTES_MAX {
            self.fail(TlsError::HandshakeTooLarge);
        } else if !tail.is_empty() {
            self.stash = tail.to_vec();
        }
    }

    fn fail(&mut self, error: TlsError) {
        let Session { side, outgoing, .. } = self;
        match side {
            Side::Client(conn) => records::last_words(conn.as_mut(), outgoing),
            Side::Server(conn) => records::last_words(conn.as_mut(), outgoing),
        }
        self.stash = Vec::new();
        self.failure = Some(error);
    }
}

// === impl Negotiated ===

impl Negotiated<'_> {
    /// The names of the peer's own certificate, if it showed one.
    #[must_use]
    pub fn peer(&self) -> Option<Certificate> {
        names::certificate(self.peer_certificates.first()?)
    }
}

// === impl TlsVersion ===

impl TlsVersion {
    /// As nginx's `$ssl_protocol` writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            TlsVersion::V1_2 => "TLSv1.2",
            TlsVersion::V1_3 => "TLSv1.3",
        }
    }
}

#[cfg(test)]
mod tests;
