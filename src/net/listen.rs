//! Listening sockets: bound by the control thread, one per worker and address (SO_REUSEPORT),
//! accepted from by the workers.
//!
//! Accepts with accept4 after a poll, not with monoio's accept operation: that one leaks the
//! descriptor when its future is dropped and sets no CLOEXEC. Dropping a poll loses nothing.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use monoio::net::TcpStream;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::stream::Stream;
use crate::bounds;

/// A worker's end of a listening socket.
pub struct Acceptor {
    socket: Socket,
    /// The same descriptor's duplicate in the runtime, for polling only.
    poll: TcpStream,
}

/// Binds `count` sockets to one address so that each worker has an accept queue of its own.
///
/// # Errors
/// When the address is taken or not ours.
pub fn bind(address: SocketAddr, count: usize) -> io::Result<Vec<OwnedFd>> {
    let mut address = address;
    let mut sockets: Vec<OwnedFd> = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = bind_one(address)?;
        // Port 0: the first socket's port is everybody's.
        address = local_addr(&socket)?;
        sockets.push(socket.into());
    }
    Ok(sockets)
}

/// The address a listening descriptor is bound to.
///
/// # Errors
/// When it is not an IP socket.
pub fn local_addr(socket: &impl std::os::fd::AsFd) -> io::Result<SocketAddr> {
    SockRef::from(socket).local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::Unsupported.into())
}

fn bind_one(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // "[::]:80" and "0.0.0.0:80" are two listeners, not one that shadows the other.
        socket.set_only_v6(true)?;
    }
    // Refuse an address that somebody else listens on: SO_REUSEPORT alone would share it silently
    // with another process of the same user, so probe without it first.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(bounds::LISTEN_BACKLOG)?;
    Ok(socket)
}

/// Whether somebody already listens on `address`: SO_REUSEPORT would share it with another Ringway
/// of the same user without a word.
///
/// # Errors
/// The error of the bind, `AddrInUse` first of all.
pub fn check_free(address: SocketAddr) -> io::Result<()> {
    if address.port() == 0 {
        return Ok(());
    }
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(1)
}

// === impl Acceptor ===

impl Acceptor {
    /// Takes a bound socket into this worker's runtime.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub fn new(socket: OwnedFd) -> io::Result<Acceptor> {
        let poll = std::net::TcpStream::from(socket.try_clone()?);
        Ok(Acceptor { socket: Socket::from(socket), poll: TcpStream::from_std(poll)? })
    }

    /// Waits until a connection waits.
    ///
    /// # Errors
    /// When the descriptor is gone.
    pub async fn ready(&self) -> io::Result<()> {
        self.poll.readable(false).await
    }

    /// The next waiting connection, if there is one.
    ///
    /// # Errors
    /// `WouldBlock` when none waits; otherwise what accept4 says (out of descriptors, aborted).
    pub fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        // accept4 with SOCK_CLOEXEC.
        let (socket, peer) = self.socket.accept()?;
        let peer = peer.as_socket().ok_or(io::ErrorKind::Unsupported)?;
        socket.set_tcp_nodelay(true)?;
        Ok((Stream::from_socket(socket)?, peer))
    }
}
