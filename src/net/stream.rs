//! A connection's bytes, in clear or through TLS, by io_uring or epoll: above this file nobody knows.
//!
//! Contract: at most one read and one write are pending at a time (they may overlap each other). A
//! pending read is never dropped: to end it early, [`Stream::stop_reading`] or [`Stream::abort`] make it
//! complete. Reads append to the buffer they are given; zero bytes mean the peer has finished.
#![expect(unsafe_code, reason = "one connection is read and written at once: see `Stream::tcp`")]

use std::cell::UnsafeCell;
use std::io;
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use monoio::io::{AsyncReadRent, AsyncWriteRent};
use monoio::net::TcpStream;
use socket2::{SockRef, Socket};

use super::buffer::Buf;
use super::ring;

/// A connected stream.
pub struct Stream {
    tcp: UnsafeCell<TcpStream>,
    fd: RawFd,
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
        Stream { tcp: UnsafeCell::new(tcp), fd }
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
        self.tcp().readable(false).await
    }

    /// Appends what has arrived to `buf`; zero at the end of the stream.
    ///
    /// # Errors
    /// What recv(2) says.
    pub async fn read(&self, buf: Buf) -> (io::Result<usize>, Buf) {
        debug_assert!(buf.room() > 0, "reads into a buffer with room");
        self.tcp().read(buf).await
    }

    /// Writes all of `buf`; what is left in it after an error was not sent.
    ///
    /// # Errors
    /// What send(2) says.
    pub async fn write_all(&self, mut buf: Buf) -> (io::Result<()>, Buf) {
        while !buf.is_empty() {
            let (sent, back) = self.tcp().write(buf).await;
            buf = back;
            match sent {
                Ok(0) => return (Err(io::ErrorKind::WriteZero.into()), buf),
                Ok(n) => buf.consume(n),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (Err(error), buf),
            }
        }
        (Ok(()), buf)
    }

    /// The address the peer connected to.
    ///
    /// # Errors
    /// What getsockname(2) says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp().local_addr()
    }

    /// What ends this stream's pending operations.
    #[must_use]
    pub fn switch(&self) -> Switch {
        Switch { fd: self.fd }
    }

    /// Whether the peer has closed or sent something unasked: such a connection cannot be used again.
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
        let gone =
            if half_closed_counts { libc::POLLRDHUP } else { 0 } | libc::POLLHUP | libc::POLLERR;
        let mut poll = libc::pollfd { fd: self.fd, events: gone, revents: 0 };
        // SAFETY: one valid pollfd, and a timeout of zero: the call returns at once.
        let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
        ready > 0 && poll.revents & gone != 0
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
        // SAFETY: a Switch is used by the task that owns the stream, while it owns it: the descriptor is
        // open for the length of the call.
        let fd = unsafe { BorrowedFd::borrow_raw(self.fd) };
        call(SockRef::from(&fd))
    }
}
