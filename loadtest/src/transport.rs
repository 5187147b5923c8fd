//! A byte stream that is either plain TCP or TLS over it, for both the generator and the origin.
//! Owns the ciphertext buffers; knows nothing of HTTP.
//!
//! Invariant: a receive future is always awaited to its end. A monoio receive that is dropped
//! may already have taken bytes from the socket, so whoever wants to end one early shuts the
//! socket down ([`crate::sys::shutdown_both`]) and the receive completes by itself.

use std::io::{self, BufRead, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use monoio::buf::{IoBuf, IoBufMut};
use monoio::io::{
    AsyncReadRent, AsyncWriteRent, AsyncWriteRentExt, CancelHandle, CancelableAsyncReadRent,
};
use monoio::net::TcpStream;
use rustls::Connection;

use crate::wake::Wake;

pub enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
}

/// rustls' buffered connection, fed by hand.
pub struct TlsStream {
    tcp: TcpStream,
    session: Connection,
    /// Ciphertext on its way in; kept between receives.
    inbound: Vec<u8>,
    /// How much of it the session has.
    fed: usize,
    /// Ciphertext on its way out; kept between sends.
    outbound: Vec<u8>,
}

/// One TLS record with its overhead, so that a full record needs one receive.
const CIPHERTEXT: usize = 17 * 1024;

// === impl Transport ===

impl Transport {
    /// Receives once, appending to `buf` (which must have room). 0 means end of stream.
    pub async fn read(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        assert!(buf.len() < buf.capacity(), "the caller made room for at least one byte");
        match self {
            Transport::Plain(tcp) => read_plain(tcp, buf, None).await,
            Transport::Tls(tls) => tls.read(buf, None).await,
        }
    }

    /// As [`Transport::read`], but ends early with `None` when somebody wakes us.
    pub async fn read_until(
        &mut self,
        wake: &Wake,
        buf: &mut Vec<u8>,
    ) -> io::Result<Option<usize>> {
        assert!(buf.len() < buf.capacity(), "the caller made room for at least one byte");
        let Some(cancel) = wake.handle() else {
            return Ok(None);
        };
        let result = match self {
            Transport::Plain(tcp) => read_plain(tcp, buf, Some(cancel)).await,
            Transport::Tls(tls) => tls.read(buf, Some(cancel)).await,
        };
        match result {
            Err(e) if e.raw_os_error() == Some(libc::ECANCELED) => Ok(None),
            result => result.map(Some),
        }
    }

    /// Sends all of `bytes` and gives the buffer back.
    pub async fn write_all<B>(&mut self, bytes: B) -> (io::Result<()>, B)
    where
        B: IoBuf + AsRef<[u8]>,
    {
        match self {
            Transport::Plain(tcp) => {
                let (result, bytes) = tcp.write_all(bytes).await;
                (result.map(drop), bytes)
            }
            Transport::Tls(tls) => (tls.write_all(bytes.as_ref()).await, bytes),
        }
    }

    /// Says goodbye: close_notify for TLS, then FIN. Receiving stays possible.
    pub async fn finish(&mut self) -> io::Result<()> {
        match self {
            Transport::Plain(tcp) => tcp.shutdown().await,
            Transport::Tls(tls) => {
                tls.session.send_close_notify();
                tls.flush().await?;
                tls.tcp.shutdown().await
            }
        }
    }

    /// Makes the coming drop send RST instead of FIN.
    pub fn reset_on_drop(&self) -> io::Result<()> {
        crate::sys::with_socket(self.tcp(), |s| s.set_linger(Some(Duration::ZERO)))
    }

    /// Whether the peer has closed or reset the connection, as far as the kernel knows.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        crate::sys::has_ended(self.tcp())
    }

    /// The protocol that the handshake settled on.
    #[must_use]
    pub fn protocol(&self) -> Option<&[u8]> {
        match self {
            Transport::Plain(_) => None,
            Transport::Tls(tls) => tls.session.alpn_protocol(),
        }
    }

    #[must_use]
    pub fn raw_fd(&self) -> RawFd {
        self.tcp().as_raw_fd()
    }

    /// `true` when this connection's handshake resumed an earlier session.
    #[must_use]
    pub fn resumed(&self) -> bool {
        match self {
            Transport::Plain(_) => false,
            Transport::Tls(tls) => {
                tls.session.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
            }
        }
    }

    fn tcp(&self) -> &TcpStream {
        match self {
            Transport::Plain(tcp) => tcp,
            Transport::Tls(tls) => &tls.tcp,
        }
    }
}

// === impl TlsStream ===

impl TlsStream {
    /// Runs the handshake to its end.
    pub async fn handshake(tcp: TcpStream, session: Connection) -> io::Result<TlsStream> {
        let inbound = Vec::with_capacity(CIPHERTEXT);
        let mut stream = TlsStream { tcp, session, inbound, fed: 0, outbound: Vec::new() };
        // A large request must not be refused by rustls' own 64 KiB bound: every write is
        // flushed before the next is taken.
        stream.session.set_buffer_limit(None);
        loop {
            stream.flush().await?;
            if !stream.session.is_handshaking() {
                return Ok(stream);
            }
            if stream.receive(None).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn read(&mut self, buf: &mut Vec<u8>, cancel: Option<CancelHandle>) -> io::Result<usize> {
        let begun = buf.len();
        loop {
            // All that has been decrypted, of however many records.
            while buf.len() < buf.capacity() {
                match self.session.reader().fill_buf() {
                    Ok([]) => return Ok(buf.len() - begun),
                    Ok(chunk) => {
                        let n = chunk.len().min(buf.capacity() - buf.len());
                        buf.extend_from_slice(&chunk[..n]);
                        self.session.reader().consume(n);
                    }
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                    // A FIN without close_notify: an end all the same; framing tells a truncation.
                    Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                        return Ok(buf.len() - begun);
                    }
                    Err(e) => return Err(e),
                }
            }
            let more = self.fed < self.inbound.len() && buf.len() < buf.capacity();
            if buf.len() > begun && !more {
                return Ok(buf.len() - begun);
            }
            self.receive(cancel.clone()).await?;
            if self.session.wants_write() {
                self.flush().await?;
            }
        }
    }

    async fn write_all(&mut self, mut plain: &[u8]) -> io::Result<()> {
        const SLICE: usize = 256 * 1024; // bounds the ciphertext held at once
        while !plain.is_empty() {
            let taken = self.session.writer().write(&plain[..plain.len().min(SLICE)])?;
            plain = &plain[taken..];
            self.flush().await?;
        }
        Ok(())
    }

    /// Ciphertext into the session: what is left of the last receive, or one more. 0 means the
    /// peer has closed.
    async fn receive(&mut self, cancel: Option<CancelHandle>) -> io::Result<usize> {
        if self.fed == self.inbound.len() {
            self.inbound.clear();
            self.fed = 0;
            read_plain(&mut self.tcp, &mut self.inbound, cancel).await?;
        }
        loop {
            let mut rest = &self.inbound[self.fed..];
            let before = rest.len();
            self.session.read_tls(&mut rest)?;
            self.fed += before - rest.len();
            let state = match self.session.process_new_packets() {
                Ok(state) => state,
                Err(e) => {
                    let _ = self.flush().await; // the alert, if it still can be sent
                    return Err(io::Error::new(io::ErrorKind::InvalidData, e));
                }
            };
            // rustls takes nothing more while it holds a record's worth of plaintext.
            let done = self.fed == self.inbound.len();
            if done || state.plaintext_bytes_to_read() > 0 {
                return Ok(self.inbound.len());
            }
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.outbound.clear();
        while self.session.wants_write() {
            self.session.write_tls(&mut self.outbound)?;
        }
        if self.outbound.is_empty() {
            return Ok(());
        }
        let (result, outbound) = self.tcp.write_all(std::mem::take(&mut self.outbound)).await;
        self.outbound = outbound;
        result.map(drop)
    }
}

async fn read_plain(
    tcp: &mut TcpStream,
    buf: &mut Vec<u8>,
    cancel: Option<CancelHandle>,
) -> io::Result<usize> {
    let owned = std::mem::take(buf);
    let (start, end) = (owned.len(), owned.capacity());
    if start == 0 {
        let (result, owned) = match cancel {
            None => tcp.read(owned).await,
            Some(cancel) => tcp.cancelable_read(owned, cancel).await,
        };
        *buf = owned;
        if !matches!(result, Ok(1..)) {
            buf.clear();
        }
        return result;
    }
    let slice = owned.slice_mut(start..end);
    let (result, slice) = match cancel {
        None => tcp.read(slice).await,
        Some(cancel) => tcp.cancelable_read(slice, cancel).await,
    };
    *buf = slice.into_inner();
    result
}
