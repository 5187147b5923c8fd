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

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{ClientConfig, CommonState, HandshakeKind, ProtocolVersion, ServerConfig};

use super::error::TlsError;
use super::resolver;

/// Plaintext bytes of a full record (RFC 8446 section 5.1).
pub const RECORD_PLAINTEXT_MAX: usize = 16_384;

/// A record's largest size on the wire: TLS 1.2 allows 2048 bytes of expansion (RFC 5246 section
/// 6.2.3), and there is the 5-byte header.
pub const RECORD_WIRE_MAX: usize = 5 + RECORD_PLAINTEXT_MAX + 2048;

/// What a record of ours adds at most: header 5, TLS 1.2's explicit nonce 8, tag 16. TLS 1.3 is
/// smaller: header 5, inner content type 1, tag 16.
const RECORD_OVERHEAD_MAX: usize = 5 + 8 + 16;

/// The most ciphertext kept between two reads. rustls accepts handshake messages of 64 KiB; in many
/// small records they would need many times that, which only an attacker does.
pub const STASH_BYTES_MAX: usize = 64 * 1024;

/// How often `encrypt` restarts because a key update went first. One is the most that can happen.
const ENCRYPT_RESTARTS_MAX: usize = 4;

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

/// rustls' two unbuffered connections share no trait of their own.
trait Records {
    type Data;
    fn records<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data>;
    fn common(&self) -> &CommonState;
}

/// Where one step of rustls left us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Outgoing bytes were moved; more may come.
    Again,
    /// A record of application data waits inside rustls.
    Plaintext,
    PeerClosed,
    /// Nothing more to do with these bytes: idle, blocked on the peer, or closed.
    Rest,
}

/// An upper bound of what `plaintext` bytes take on the wire. A session's pending outgoing bytes come
/// on top: [`Session::encrypt_room`].
#[must_use]
pub const fn encrypted_len(plaintext: usize) -> usize {
    plaintext + plaintext.div_ceil(RECORD_PLAINTEXT_MAX) * RECORD_OVERHEAD_MAX
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

    /// The least length of a buffer with which one read can finish what is in the stash.
    #[must_use]
    pub fn read_room(&self) -> usize {
        self.stash.len() + RECORD_WIRE_MAX
    }

    /// Copies the stash to the front of `dst` and says how long it is. The session keeps its own copy
    /// until the next `receive`, so calling this twice, or encrypting in between, is harmless.
    ///
    /// # Panics
    /// If `dst` is shorter than [`Session::stash_len`].
    #[must_use]
    pub fn restore(&self, dst: &mut [u8]) -> usize {
        let n = self.stash.len();
        dst[..n].copy_from_slice(&self.stash);
        n
    }

    /// Takes ciphertext in `buf` (the restored stash, then what was read) and leaves the plaintext of
    /// all its whole records at the front of `buf`.
    ///
    /// # Errors
    /// The connection is over; send [`Session::take_outgoing`] (the alert) and close. Data that came
    /// before the fault is delivered first, with [`Received::failed`], and the error on the next call.
    pub fn receive(&mut self, buf: &mut [u8]) -> Result<Received, TlsError> {
        if let Some(error) = &self.failure {
            return Err(error.clone());
        }
        debug_assert!(buf.starts_with(&self.stash), "the caller restored the stash");
        self.stash = Vec::new();
        if self.server_name.is_none() && self.is_handshaking() {
            drop(resolver::take_server_name());
        }
        let progress = match &mut self.side {
            Side::Client(conn) => decrypt(conn.as_mut(), &mut self.outgoing, buf),
            Side::Server(conn) => decrypt(conn.as_mut(), &mut self.outgoing, buf),
        };
        if self.server_name.is_none() {
            self.server_name = resolver::take_server_name();
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

    /// Encrypts as much of `plaintext` as fits into `out`, after what is pending in outgoing; returns
    /// (plaintext bytes consumed, ciphertext bytes written). Both may be less than asked when `out` is
    /// short; with [`Session::encrypt_room`] bytes all goes in one call, save for a rare key update.
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
            Side::Client(conn) => encrypt(conn.as_mut(), stash, outgoing, plaintext, out),
            Side::Server(conn) => encrypt(conn.as_mut(), stash, outgoing, plaintext, out),
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

    /// Puts a close_notify into outgoing. Nothing can be sent after it. During the handshake and after
    /// a failure it does nothing: there is no close to announce, or the alert says it already.
    pub fn close_notify(&mut self) {
        if self.close_sent || self.failure.is_some() || self.is_handshaking() {
            return;
        }
        self.close_sent = true;
        let Session { side, stash, outgoing, .. } = self;
        let result = match side {
            Side::Client(conn) => close(conn.as_mut(), stash, outgoing),
            Side::Server(conn) => close(conn.as_mut(), stash, outgoing),
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
            Side::Client(conn) => last_words(conn.as_mut(), outgoing),
            Side::Server(conn) => last_words(conn.as_mut(), outgoing),
        }
        self.stash = Vec::new();
        self.failure = Some(error);
    }
}

// === impl Records ===

impl Records for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn records<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }

    fn common(&self) -> &CommonState {
        self
    }
}

impl Records for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn records<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }

    fn common(&self) -> &CommonState {
        self
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

/// What came of feeding a whole buffer.
#[derive(Default)]
struct Progress {
    /// Ciphertext bytes at the front that rustls is done with.
    consumed: usize,
    plaintext: usize,
    closed: bool,
    error: Option<TlsError>,
}

fn decrypt<R: Records>(conn: &mut R, outgoing: &mut Vec<u8>, buf: &mut [u8]) -> Progress {
    let mut progress = Progress::default();
    loop {
        let (discard, step) = step(conn, &mut buf[progress.consumed..], outgoing);
        progress.consumed += discard;
        match step {
            Ok(Step::Again) => {}
            Ok(Step::Plaintext) => {
                let room = &mut buf[progress.plaintext..progress.consumed];
                match take_plaintext(conn, room) {
                    Ok(n) => progress.plaintext += n,
                    Err(error) => {
                        progress.error = Some(error.into());
                        return progress;
                    }
                }
            }
            Ok(Step::PeerClosed) => progress.closed = true,
            Ok(Step::Rest) => return progress,
            Err(error) => {
                progress.error = Some(error.into());
                return progress;
            }
        }
    }
}

/// Copies the application data that waits inside rustls to the front of `room`, the space of records
/// already consumed: a record's plaintext is always shorter than the record was.
///
/// The state that announced it borrowed the very bytes we write to, so it was dropped and is asked for
/// again: rustls 0.23 gives `ReadTraffic` until it was emptied, before it looks at any input.
fn take_plaintext<R: Records>(conn: &mut R, room: &mut [u8]) -> Result<usize, rustls::Error> {
    let mut n = 0;
    if let ConnectionState::ReadTraffic(mut traffic) = conn.records(&mut []).state? {
        while let Some(record) = traffic.next_record() {
            let payload = record?.payload;
            room[n..n + payload.len()].copy_from_slice(payload);
            n += payload.len();
        }
    }
    Ok(n)
}

/// One call into rustls. Returns the bytes to discard from the front of `incoming`.
fn step<R: Records>(
    conn: &mut R,
    incoming: &mut [u8],
    outgoing: &mut Vec<u8>,
) -> (usize, Result<Step, rustls::Error>) {
    let UnbufferedStatus { discard, state } = conn.records(incoming);
    let step = state.and_then(|state| match state {
        ConnectionState::EncodeTlsData(mut data) => {
            let mut encode = |dst: &mut [u8]| data.encode(dst);
            append(outgoing, &mut encode).map(|()| Step::Again)
        }
        ConnectionState::TransmitTlsData(data) => {
            // Sent, as far as rustls is concerned: `outgoing` keeps the order from here on.
            data.done();
            Ok(Step::Again)
        }
        ConnectionState::ReadTraffic(_) => Ok(Step::Plaintext),
        ConnectionState::PeerClosed => Ok(Step::PeerClosed),
        ConnectionState::Closed
        | ConnectionState::BlockedHandshake
        | ConnectionState::WriteTraffic(_) => Ok(Step::Rest),
        // Early data is off on every server we build, and rustls then skips it unseen.
        other => Err(rustls::Error::General(format!("unexpected state {other:?}"))),
    });
    (discard, step)
}

/// Grows `outgoing` by exactly what rustls wants to say.
fn append(
    outgoing: &mut Vec<u8>,
    encode: &mut dyn FnMut(&mut [u8]) -> Result<usize, EncodeError>,
) -> Result<(), rustls::Error> {
    // The first call with no room tells the size and loses nothing.
    if let Err(EncodeError::InsufficientSize(short)) = encode(&mut []) {
        let at = outgoing.len();
        outgoing.resize(at + short.required_size, 0);
        let written = encode(&mut outgoing[at..])
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        outgoing.truncate(at + written);
    }
    Ok(())
}

/// Lets rustls say what it has to say before application data, until it rests.
fn settle<R: Records>(
    conn: &mut R,
    stash: &mut [u8],
    outgoing: &mut Vec<u8>,
) -> Result<(), rustls::Error> {
    loop {
        // The stash holds no whole record, so this consumes nothing of it.
        let (discard, step) = step(conn, stash, outgoing);
        debug_assert_eq!(discard, 0, "a stash has nothing left to process");
        if step? == Step::Rest {
            return Ok(());
        }
    }
}

fn encrypt<R: Records>(
    conn: &mut R,
    stash: &mut [u8],
    outgoing: &mut Vec<u8>,
    plaintext: &[u8],
    out: &mut [u8],
) -> Result<(usize, usize), TlsError> {
    if conn.common().is_handshaking() {
        return Err(TlsError::NotEstablished);
    }
    let mut written = 0;
    for _ in 0..ENCRYPT_RESTARTS_MAX {
        settle(conn, stash, outgoing)?;
        written += move_front(outgoing, &mut out[written..]);
        let room = &mut out[written..];
        let n = plaintext.len().min(plaintext_fitting(room.len()));
        if n == 0 || !outgoing.is_empty() {
            return Ok((0, written));
        }
        let ConnectionState::WriteTraffic(mut traffic) = conn.records(stash).state? else {
            return Err(TlsError::NotEstablished);
        };
        match traffic.encrypt(&plaintext[..n], room) {
            Ok(len) => return Ok((n, written + len)),
            // A key update was queued in front and no longer fits: it goes through outgoing.
            Err(EncryptError::InsufficientSize(_)) => {}
            Err(EncryptError::EncryptExhausted) => return Err(TlsError::KeysExhausted),
        }
    }
    Ok((0, written))
}

fn close<R: Records>(
    conn: &mut R,
    stash: &mut [u8],
    outgoing: &mut Vec<u8>,
) -> Result<(), TlsError> {
    settle(conn, stash, outgoing)?;
    if let ConnectionState::WriteTraffic(mut traffic) = conn.records(stash).state? {
        // With no room the alert is only queued; `settle` then moves it out in order.
        if let Err(EncryptError::EncryptExhausted) = traffic.queue_close_notify(&mut []) {
            return Err(TlsError::KeysExhausted);
        }
    }
    Ok(settle(conn, stash, outgoing)?)
}

/// Moves the alerts rustls has queued out of a connection that failed, and touches nothing else: its
/// deframer may hold offsets into bytes that are gone.
fn last_words<R: Records>(conn: &mut R, outgoing: &mut Vec<u8>) {
    while conn.common().wants_write() {
        if !matches!(step(conn, &mut [], outgoing), (_, Ok(Step::Again))) {
            return;
        }
    }
}

/// How much plaintext surely fits into `room` bytes of ciphertext.
fn plaintext_fitting(room: usize) -> usize {
    let wire = RECORD_PLAINTEXT_MAX + RECORD_OVERHEAD_MAX;
    let last = (room % wire).saturating_sub(RECORD_OVERHEAD_MAX);
    room / wire * RECORD_PLAINTEXT_MAX + last
}

fn move_front(from: &mut Vec<u8>, to: &mut [u8]) -> usize {
    let n = from.len().min(to.len());
    to[..n].copy_from_slice(&from[..n]);
    if n == from.len() {
        *from = Vec::new();
    } else {
        from.drain(..n);
    }
    n
}

#[cfg(test)]
mod tests;
