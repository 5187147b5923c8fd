//! Dialling an endpoint, with a deadline. Names are resolved elsewhere: only addresses come here.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;

use monoio::net::TcpStream;

use super::deadline::Timer;
use super::stream::Stream;
use crate::clock::Tick;

/// Connects to `address`; `TimedOut` if it takes longer than until `at`.
///
/// # Errors
/// What connect(2) says, or `TimedOut`.
pub async fn connect(address: SocketAddr, timer: &Timer, at: Tick) -> io::Result<Stream> {
    let mut dialling = pin!(TcpStream::connect_addr(address));
    timer.arm(at);
    let tcp = std::future::poll_fn(|cx| {
        if let Poll::Ready(done) = dialling.as_mut().poll(cx) {
            return Poll::Ready(done);
        }
        // Dropping a connect is safe: the operation is cancelled and its socket closed; no byte is
        // lost.
        timer.poll_fired(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    })
    .await;
    timer.arm(Tick::NEVER);
    let tcp = tcp?;
    tcp.set_nodelay(true)?;
    Ok(Stream::from_tcp(tcp))
}
