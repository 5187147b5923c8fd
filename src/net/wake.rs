//! Waking a worker from another thread: a socket pair whose one end the worker reads in its ring.
//!
//! Used for snapshots and drain only, never for a request: a wake is a system call.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use monoio::io::AsyncReadRent;

/// The end that wakes; any thread may hold it.
#[derive(Clone, Debug)]
pub struct Waker(Arc<UnixStream>);

/// The worker's end.
#[derive(Debug)]
pub struct Wakes(UnixStream);

/// A connected pair.
///
/// # Errors
/// When the process is out of descriptors.
pub fn pair() -> io::Result<(Waker, Wakes)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok((Waker(Arc::new(ours)), Wakes(theirs)))
}

// === impl Waker ===

impl Waker {
    /// Wakes the worker. A full pipe means that it has a wake to see anyway.
    pub fn wake(&self) {
        let _ = (&*self.0).write(&[1]);
    }
}

// === impl Wakes ===

impl Wakes {
    /// Calls `woken` after each wake (several may count as one), until the other end is dropped.
    ///
    /// # Errors
    /// When the runtime refuses the descriptor.
    pub async fn each(self, mut woken: impl FnMut()) -> io::Result<()> {
        self.0.set_nonblocking(super::ring::is_epoll())?;
        let mut stream = monoio::net::UnixStream::from_std(self.0)?;
        let mut buf = vec![0_u8; 64];
        loop {
            let (read, back) = stream.read(buf).await;
            if read? == 0 {
                return Ok(());
            }
            buf = back;
            woken();
        }
    }
}
