//! A timer finer than the runtime's millisecond wheel, for schedules. Owns one timer descriptor.

use std::io;
use std::os::fd::AsRawFd;

use monoio::net::TcpStream;

use crate::clock::Nanos;

/// A timer descriptor polled through the ring: the runtime's own timers tick in milliseconds,
/// which is twenty requests at 20,000 a second.
pub struct Timer {
    /// A timerfd dressed as a stream, because readiness is all that is asked of it.
    fd: TcpStream,
}

// === impl Timer ===

impl Timer {
    pub fn new() -> io::Result<Timer> {
        let fd = std::net::TcpStream::from(crate::sys::timer()?);
        Ok(Timer { fd: TcpStream::from_std(fd)? })
    }

    pub async fn sleep(&self, wait: Nanos) -> io::Result<()> {
        if wait == 0 {
            return Ok(());
        }
        crate::sys::arm(self.fd.as_raw_fd(), wait)?;
        self.fd.readable(false).await
    }
}
