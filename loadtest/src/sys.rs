//! The few calls that neither std nor socket2 offers: binding a thread to a CPU, a timer finer
//! than the runtime's millisecond wheel, and touching the socket under a monoio stream.
//!
//! This file is allowed `unsafe`; every block says why it holds. Nothing here keeps state.
#![expect(unsafe_code, reason = "sched_setaffinity, timerfd and borrowed descriptors")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use monoio::net::TcpStream;

use crate::clock::{Nanos, SECOND};

/// Binds the calling thread to these CPUs. An empty list changes nothing.
pub fn pin(cpus: &[usize]) -> io::Result<()> {
    if cpus.is_empty() {
        return Ok(());
    }
    // SAFETY: an all-zero cpu_set_t is the empty set, a valid value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for &cpu in cpus {
        if cpu >= libc::CPU_SETSIZE as usize {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        // SAFETY: `set` is a live cpu_set_t and `cpu` is below CPU_SETSIZE.
        unsafe { libc::CPU_SET(cpu, &mut set) };
    }
    // SAFETY: `set` is a valid set of the size given; pid 0 means the calling thread.
    let rc = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Runs `f` on the socket under a monoio stream, for socket options.
pub fn with_socket<R>(stream: &TcpStream, f: impl FnOnce(&socket2::Socket) -> R) -> R {
    // SAFETY: the stream owns the descriptor and is borrowed for the whole call.
    let fd = unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) };
    f(&socket2::SockRef::from(&fd))
}

/// Shuts both directions of a socket that another task is reading: its receive then completes
/// (with 0), so no receive future ever has to be dropped. `fd` may be stale; then this fails.
pub fn shutdown_both(fd: RawFd) {
    // SAFETY: shutdown takes two integers and touches no memory of ours.
    unsafe { libc::shutdown(fd, libc::SHUT_RDWR) };
}

/// A disarmed CLOCK_MONOTONIC timer descriptor.
pub fn timer() -> io::Result<OwnedFd> {
    let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
    // SAFETY: timerfd_create takes two integers.
    let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fd` was just returned by the kernel and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Arms the timer to fire once in `wait` nanoseconds. Arming also forgets an earlier firing, so
/// the descriptor never has to be read.
pub fn arm(timer: RawFd, wait: Nanos) -> io::Result<()> {
    let wait = wait.max(1); // zero would disarm it
    let value = libc::timespec {
        tv_sec: libc::time_t::try_from(wait / SECOND).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::try_from(wait % SECOND).expect("below 10^9"),
    };
    let interval = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let spec = libc::itimerspec { it_interval: interval, it_value: value };
    // SAFETY: `spec` is a valid itimerspec; the old value is not wanted.
    let rc = unsafe { libc::timerfd_settime(timer, 0, &raw const spec, std::ptr::null_mut()) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// CLOCK_MONOTONIC in nanoseconds: one clock for all processes of the machine, so that what one
/// stamps another can subtract.
#[must_use]
pub fn monotonic() -> Nanos {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid, writable timespec; this clock always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec.unsigned_abs() * SECOND + now.tv_nsec.unsigned_abs()
}

/// Sends what fits into the socket's buffer now.
pub fn send_now(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    with_socket(stream, |s| s.send_with_flags(bytes, flags))
}

/// Whether a readable socket has reached its end (FIN or RST), without taking a byte from it.
pub fn has_ended(stream: &TcpStream) -> bool {
    let mut byte = [std::mem::MaybeUninit::uninit(); 1];
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    match with_socket(stream, |s| s.recv_with_flags(&mut byte, flags)) {
        Ok(n) => n == 0,
        Err(e) => e.kind() != io::ErrorKind::WouldBlock,
    }
}

/// Makes room for this many descriptors, if the limit is lower.
pub fn raise_descriptor_limit(wanted: u64) -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid, writable rlimit.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if limit.rlim_cur >= wanted {
        return Ok(());
    }
    limit.rlim_cur = wanted;
    limit.rlim_max = limit.rlim_max.max(wanted);
    // SAFETY: `limit` is a valid rlimit.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
