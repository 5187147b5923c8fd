//! One call after another into rustls' unbuffered connection, for either side.
//!
//! Owns the rules of that API: what it discards is skipped, what it wants to say goes to `outgoing`
//! in order, and it is never called without the bytes its handshake deframer holds offsets into.
//! Refuses to know when to call: [`super::session`] does. Invariant: a record's plaintext is
//! written only over bytes that rustls has consumed.

use rustls::CommonState;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};

use super::error::TlsError;

/// Plaintext bytes of a full record (RFC 8446 section 5.1).
pub const RECORD_PLAINTEXT_MAX: usize = 16_384;

/// A record's largest size on the wire: TLS 1.2 allows 2048 bytes of expansion (RFC 5246 section
/// 6.2.3), and there is the 5-byte header.
pub const RECORD_WIRE_MAX: usize = 5 + RECORD_PLAINTEXT_MAX + 2048;

/// What a record of ours adds at most: header 5, TLS 1.2's explicit nonce 8, tag 16. TLS 1.3 is
/// smaller: header 5, inner content type 1, tag 16.
pub(super) const RECORD_OVERHEAD_MAX: usize = 5 + 8 + 16;

/// How often `encrypt` restarts because a key update went first. One is the most that can happen.
const ENCRYPT_RESTARTS_MAX: usize = 4;

/// rustls' two unbuffered connections share no trait of their own.
pub(super) trait Records {
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

/// What came of feeding a whole buffer.
#[derive(Default)]
pub(super) struct Progress {
    /// Ciphertext bytes at the front that rustls is done with.
    pub consumed: usize,
    pub plaintext: usize,
    pub closed: bool,
    pub error: Option<TlsError>,
}

/// An upper bound of what `plaintext` bytes take on the wire. A session's pending outgoing bytes
/// come on top: [`super::Session::encrypt_room`].
#[must_use]
pub const fn encrypted_len(plaintext: usize) -> usize {
    plaintext + plaintext.div_ceil(RECORD_PLAINTEXT_MAX) * RECORD_OVERHEAD_MAX
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

pub(super) fn decrypt<R: Records>(
    conn: &mut R,
    outgoing: &mut Vec<u8>,
    buf: &mut [u8],
) -> Progress {
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

/// Copies the application data that waits inside rustls to the front of `room`, the space of
/// records already consumed: a record's plaintext is always shorter than the record was.
///
/// The state that announced it borrowed the very bytes we write to, so it was dropped and is asked
/// for again: rustls 0.23 gives `ReadTraffic` until it was emptied, before it looks at any input.
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

pub(super) fn encrypt<R: Records>(
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

pub(super) fn close<R: Records>(
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

/// Moves the alerts rustls has queued out of a connection that failed, and touches nothing else:
/// its deframer may hold offsets into bytes that are gone.
pub(super) fn last_words<R: Records>(conn: &mut R, outgoing: &mut Vec<u8>) {
    while conn.common().wants_write() {
        if !matches!(step(conn, &mut [], outgoing), (_, Ok(Step::Again))) {
            return;
        }
    }
}

/// How much plaintext surely fits into `room` bytes of ciphertext.
pub(super) fn plaintext_fitting(room: usize) -> usize {
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
