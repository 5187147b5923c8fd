//! A connection's bytes, in clear or through TLS, by io_uring or epoll: above this file nobody
//! knows.
//!
//! Contract: at most one read and one write are pending at a time (they may overlap each other). A
//! pending read is never dropped: to end it early, [`Switch::stop_reading`] or [`Switch::abort`]
//! make it complete. Reads append to the buffer they are given; zero bytes mean the peer has
//! finished.
#![expect(unsafe_code, reason = "one connection is read and written at once: see `Stream::tcp`")]

use std::cell::{Cell, RefCell, UnsafeCell};
use std::io;
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use monoio::io::{AsyncReadRent, AsyncWriteRent, CancelHandle, CancelableAsyncReadRent};
use monoio::net::TcpStream;
use socket2::{SockRef, Socket};

use super::buffer::{Buf, Class};
use super::ring;
use super::tls::client::ClientTls;
use super::tls::server::ServerTls;
use super::tls::{Session, TlsError};

/// A connected stream.
pub struct Stream {
    tcp: UnsafeCell<TcpStream>,
    fd: RawFd,
    /// Bytes sent so far: how a slow peer is told from one that stands still.
    sent: Cell<u64>,
    received: Cell<u64>,
    /// Something is known to wait: the next read takes it without a turn of the ring.
    ready: Cell<bool>,
    tls: Option<Box<Tls>>,
}

struct Tls {
    session: RefCell<Session>,
    /// A write is pending: records must reach the socket in the order they were made, so what a
    /// read gives rise to (an alert, a key update) waits for the writer to send it.
    writing: Cell<bool>,
}

/// The right to end a stream's pending operations from elsewhere on the same worker.
#[derive(Clone, Copy, Debug)]
pub struct Switch {
    fd: RawFd,
}

// === impl Stream ===

impl Stream {
    /// Wraps a connected monoio stream.
    #[must_use]
    pub fn from_tcp(tcp: TcpStream) -> Stream {
        let fd = tcp.as_raw_fd();
        Stream {
            tcp: UnsafeCell::new(tcp),
            fd,
            sent: Cell::new(0),
            received: Cell::new(0),
            ready: Cell::new(false),
            tls: None,
        }
    }

    fn secured(mut self, session: Session) -> Stream {
        self.tls =
            Some(Box::new(Tls { session: RefCell::new(session), writing: Cell::new(false) }));
        self
    }

    /// From here on the bytes are TLS, this end the server.
    ///
    /// # Errors
    /// When the session cannot be set up.
    pub fn secure_server(self, tls: &ServerTls) -> Result<Stream, TlsError> {
        Ok(self.secured(Session::server(tls.config().clone())?))
    }

    /// From here on the bytes are TLS, this end the client; `host` is the endpoint's as it is
    /// written.
    ///
    /// # Errors
    /// When the host is no name a certificate could be for, as text.
    pub fn secure_client(self, tls: &ClientTls, host: &str) -> Result<Stream, String> {
        let name = tls.name_for(host).map_err(|error| error.to_string())?;
        let session = Session::client(tls.config().clone(), name);
        Ok(self.secured(session.map_err(|error| error.to_string())?))
    }

    /// Runs the TLS handshake. The buffer holds what the peer sent after it, if anything.
    ///
    /// # Errors
    /// `InvalidData` carries rustls' error; `UnexpectedEof` a peer that left.
    pub async fn handshake(&self, mut buf: Buf) -> io::Result<Buf> {
        let Some(tls) = &self.tls else { return Ok(buf) };
        self.flush(tls).await?;
        while tls.session.borrow().is_handshaking() {
            let (read, back) = self.read_records(tls, buf, None).await;
            read?;
            buf = back;
        }
        Ok(buf)
    }

    /// What `ask` finds in the TLS session, if this stream has one.
    pub fn with_tls<R>(&self, ask: impl FnOnce(&Session) -> R) -> Option<R> {
        self.tls.as_ref().map(|tls| ask(&tls.session.borrow()))
    }

    /// Announces the end of what we send: close_notify, then a FIN.
    pub async fn finish(&self) {
        if let Some(tls) = &self.tls {
            tls.session.borrow_mut().close_notify();
            let _ = self.flush(tls).await;
        }
        self.finish_writing();
    }

    /// Takes an accepted socket into this worker's runtime.
    ///
    /// # Errors
    /// When the runtime refuses it.
    pub fn from_socket(socket: Socket) -> io::Result<Stream> {
        // io_uring answers EAGAIN on a non-blocking socket instead of waiting; epoll needs one.
        if ring::is_epoll() {
            socket.set_nonblocking(true)?;
        }
        Ok(Stream::from_tcp(TcpStream::from_std(socket.into())?))
    }

    /// Waits until there is something to read (or the end) without holding a buffer.
    ///
    /// # Errors
    /// When the descriptor is gone.
    pub async fn readable(&self) -> io::Result<()> {
        self.tcp().readable(false).await?;
        self.ready.set(true);
        Ok(())
    }

    /// Appends what has arrived to `buf`; zero at the end of the stream.
    ///
    /// # Errors
    /// What recv(2) says.
    pub async fn read(&self, buf: Buf) -> (io::Result<usize>, Buf) {
        debug_assert!(buf.room() > 0, "reads into a buffer with room");
        match &self.tls {
            None => {
                let (read, buf) = self.receive(buf).await;
                self.count(&read);
                (read, buf)
            }
            // Boxed: a plain connection's future does not pay for TLS's.
            Some(tls) => Box::pin(self.read_plaintext(tls, buf, None)).await,
        }
    }

    /// Receives once. `None`: what came was not data, or not yet; TLS keeps the beginning of a
    /// record, so nobody has to wait for its end with a buffer in hand.
    ///
    /// # Errors
    /// What recv(2) says.
    pub async fn read_once(&self, buf: Buf) -> (io::Result<Option<usize>>, Buf) {
        let Some(tls) = &self.tls else {
            let (read, buf) = self.read(buf).await;
            return (read.map(Some), buf);
        };
        let (read, buf) = Box::pin(self.read_records(tls, buf, None)).await;
        let silent = matches!(read, Ok(0)) && !tls.session.borrow().peer_closed();
        (read.map(|n| (!silent).then_some(n)), buf)
    }

    /// Like [`Stream::read`], but `cancel` ends it with [`is_cancelled`] and no byte lost.
    ///
    /// # Errors
    /// What recv(2) says, or that it was cancelled.
    pub async fn read_unless(&self, buf: Buf, cancel: CancelHandle) -> (io::Result<usize>, Buf) {
        match &self.tls {
            None => self.tcp().cancelable_read(buf, cancel).await,
            Some(tls) => Box::pin(self.read_plaintext(tls, buf, Some(cancel))).await,
        }
    }

    /// Writes all of `buf`; what is left in it after an error was not sent.
    ///
    /// # Errors
    /// What send(2) says.
    pub async fn write_all(&self, buf: Buf) -> (io::Result<()>, Buf) {
        match &self.tls {
            None => self.write_bytes(buf).await,
            Some(tls) => Box::pin(self.write_records(tls, buf)).await,
        }
    }

    /// The address the peer connected to.
    ///
    /// # Errors
    /// What getsockname(2) says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp().local_addr()
    }

    /// Bytes taken out of the socket so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.get()
    }

    fn count(&self, read: &io::Result<usize>) {
        let bytes = read.as_ref().map_or(0, |n| *n as u64);
        self.received.set(self.received.get() + bytes);
    }

    /// Bytes put into the socket so far.
    #[must_use]
    pub fn progress(&self) -> u64 {
        self.sent.get()
    }

    /// What ends this stream's pending operations.
    #[must_use]
    pub fn switch(&self) -> Switch {
        Switch { fd: self.fd }
    }

    /// Whether the peer has closed or sent something unasked: such a connection cannot be used
    /// again.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
        match self.switch().with(|sock| sock.recv_with_flags(&mut byte, flags)) {
            Ok(_) => true,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// Whether the peer has sent a FIN or a RST, whatever else waits to be read.
    #[must_use]
    pub fn peer_has_left(&self, half_closed_counts: bool) -> bool {
        let half = if half_closed_counts { libc::POLLRDHUP } else { 0 };
        self.polls(half | libc::POLLHUP | libc::POLLERR)
    }

    /// Whether the connection is broken: a RST has come, or the peer answers no more.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.polls(libc::POLLERR)
    }

    fn polls(&self, gone: i16) -> bool {
        let mut poll = libc::pollfd { fd: self.fd, events: gone, revents: 0 };
        // SAFETY: one valid pollfd, and a timeout of zero: the call returns at once.
        let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
        ready > 0 && poll.revents & gone != 0
    }

    /// One receive: of what is known to wait at once, else through the ring.
    async fn receive(&self, mut buf: Buf) -> (io::Result<usize>, Buf) {
        if self.ready.take()
            && let Some(read) = self.receive_now(&mut buf)
        {
            return (read, buf);
        }
        self.tcp().read(buf).await
    }

    /// Takes what waits in the socket; `None` if that is nothing.
    fn receive_now(&self, buf: &mut Buf) -> Option<io::Result<usize>> {
        let room = buf.spare_mut();
        // SAFETY: `room` is writable for its whole length, and the call keeps nothing of it. The
        // descriptor is open: `self.tcp` owns it.
        let n = at_once(|| unsafe {
            libc::recv(self.fd, room.as_mut_ptr().cast(), room.len(), libc::MSG_DONTWAIT)
        })?;
        Some(n.inspect(|n| buf.commit(*n)))
    }

    async fn write_bytes(&self, mut buf: Buf) -> (io::Result<()>, Buf) {
        while !buf.is_empty() {
            let (sent, back) = self.tcp().write(buf).await;
            buf = back;
            match sent {
                Ok(0) => return (Err(io::ErrorKind::WriteZero.into()), buf),
                Ok(n) => {
                    self.sent.set(self.sent.get() + n as u64);
                    buf.consume(n);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (Err(error), buf),
            }
        }
        (Ok(()), buf)
    }

    async fn read_plaintext(
        &self,
        tls: &Tls,
        mut buf: Buf,
        cancel: Option<CancelHandle>,
    ) -> (io::Result<usize>, Buf) {
        loop {
            let (read, back) = self.read_records(tls, buf, cancel.clone()).await;
            buf = back;
            match read {
                Ok(0) if !tls.session.borrow().peer_closed() => {}
                done => return (done, buf),
            }
        }
    }

    /// One receive of ciphertext, decrypted in place: how many bytes of plaintext it brought.
    async fn read_records(
        &self,
        tls: &Tls,
        mut buf: Buf,
        cancel: Option<CancelHandle>,
    ) -> (io::Result<usize>, Buf) {
        if let Some(error) = tls.session.borrow().failure() {
            return (Err(io::Error::new(io::ErrorKind::InvalidData, error.clone())), buf);
        }
        while buf.room() < tls.session.borrow().read_room() {
            match buf.grown() {
                Some(larger) => buf = larger,
                None => return (Err(io::ErrorKind::OutOfMemory.into()), buf),
            }
        }
        let plain = buf.len();
        let stashed = tls.session.borrow().restore(buf.spare_mut());
        buf.commit(stashed);
        let (read, back) = match cancel {
            None => self.receive(buf).await,
            Some(cancel) => self.tcp().cancelable_read(buf, cancel).await,
        };
        buf = back;
        self.count(&read);
        match read {
            Ok(0) => {
                buf.truncate(plain);
                let announced = tls.session.borrow().peer_closed();
                // RFC 8446 section 6.1: an end without close_notify may be a truncation.
                return (
                    if announced { Ok(0) } else { Err(io::ErrorKind::UnexpectedEof.into()) },
                    buf,
                );
            }
            Ok(_) => {}
            Err(error) => {
                buf.truncate(plain);
                return (Err(error), buf);
            }
        }
        let received = tls.session.borrow_mut().receive(&mut buf.filled_mut()[plain..]);
        let got = received.as_ref().map_or(0, |received| received.plaintext);
        buf.truncate(plain + got);
        if !tls.writing.get()
            && let Err(error) = self.flush(tls).await
            && got == 0
        {
            return (Err(error), buf);
        }
        match received {
            Ok(_) => (Ok(got), buf),
            Err(error) => (Err(io::Error::new(io::ErrorKind::InvalidData, error)), buf),
        }
    }

    async fn write_records(&self, tls: &Tls, mut buf: Buf) -> (io::Result<()>, Buf) {
        tls.writing.set(true);
        let mut written = Ok(());
        while !buf.is_empty() && written.is_ok() {
            let room = tls.session.borrow().encrypt_room(buf.len());
            let mut records = Buf::of(Class::holding(room as u64));
            let made = tls.session.borrow_mut().encrypt(buf.filled(), records.spare_mut());
            written = match made {
                Ok((consumed, made)) => {
                    buf.consume(consumed);
                    records.commit(made);
                    self.write_bytes(records).await.0
                }
                Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            };
        }
        if written.is_ok() {
            written = self.flush(tls).await;
        }
        tls.writing.set(false);
        (written, buf)
    }

    /// Sends what the session has to say by itself: handshake flights, tickets, alerts, key
    /// updates.
    async fn flush(&self, tls: &Tls) -> io::Result<()> {
        loop {
            let Some(mut bytes) = tls.session.borrow_mut().take_outgoing() else { return Ok(()) };
            while !bytes.is_empty() {
                let (sent, back) = self.tcp().write(bytes).await;
                bytes = back;
                match sent? {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    n => drop(bytes.drain(..n)),
                }
            }
        }
    }

    /// Whether something has arrived that nobody has read yet.
    #[must_use]
    pub fn has_sent(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
        self.switch().with(|sock| sock.recv_with_flags(&mut byte, flags)).is_ok_and(|n| n > 0)
    }

    /// Sends what fits the socket's buffer, in clear and without waiting, then a FIN: for those who
    /// are turned away.
    pub fn say_last(&self, bytes: &[u8]) {
        self.switch().with(|sock| {
            let _ = sock.send_with_flags(bytes, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL);
            let _ = sock.shutdown(Shutdown::Write);
            // Closing over unread data would send a RST after the answer.
            let mut unread = [MaybeUninit::uninit(); 4096];
            let _ = sock.recv_with_flags(&mut unread, libc::MSG_DONTWAIT);
        });
    }

    /// Sends a FIN: the peer sees the end of what was written.
    pub fn finish_writing(&self) {
        let _ = self.switch().with(|sock| sock.shutdown(Shutdown::Write));
    }

    /// Makes close send a RST instead of a FIN: the peer must not take what it got for complete.
    pub fn reset_on_close(&self) {
        let _ = self.switch().with(|sock| sock.set_linger(Some(std::time::Duration::ZERO)));
    }

    #[expect(
        clippy::mut_from_ref,
        reason = "the reference does not outlive the call it is made for"
    )]
    fn tcp(&self) -> &mut TcpStream {
        // SAFETY: this thread only (the type is !Sync). `read` and `write` of TcpStream clone the
        // descriptor into the operation before they return and keep no reference to the stream, so
        // the two that may be pending at once never alias it; `readable` and `local_addr` take it
        // shared.
        unsafe { &mut *self.tcp.get() }
    }
}

/// What a call that does not wait has done; `None` if it would have had to.
///
/// The epoll driver makes every call so by itself, and must see it refused to know when to wait.
fn at_once(call: impl FnOnce() -> isize) -> Option<io::Result<usize>> {
    if ring::is_epoll() {
        return None;
    }
    match usize::try_from(call()) {
        Ok(n) => Some(Ok(n)),
        Err(_) => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::WouldBlock => None,
            error => Some(Err(error)),
        },
    }
}

/// Whether a read ended because it was cancelled.
#[must_use]
pub fn is_cancelled(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ECANCELED)) || error.kind() == io::ErrorKind::Other
}

// === impl Switch ===

impl Switch {
    /// Ends reading: a pending read completes with zero bytes. Writing goes on.
    pub fn stop_reading(self) {
        let _ = self.with(|sock| sock.shutdown(Shutdown::Read));
    }

    /// Ends both directions: everything pending completes.
    pub fn abort(self) {
        let _ = self.with(|sock| sock.shutdown(Shutdown::Both));
    }

    fn with<R>(self, call: impl FnOnce(SockRef<'_>) -> R) -> R {
        // SAFETY: a Switch is used by the task that owns the stream, while it owns it: the
        // descriptor is open for the length of the call.
        let fd = unsafe { BorrowedFd::borrow_raw(self.fd) };
        call(SockRef::from(&fd))
    }
}
