//! A worker's runtime: an io_uring built for one thread, stepped down flag by flag where the kernel
//! is older, and epoll where io_uring is denied (container runtimes' default seccomp profiles do).
//!
//! Knows nothing of what runs on it.
#![expect(unsafe_code, reason = "sched_setaffinity has no safe wrapper")]

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io;

use monoio::time::TimeDriver;
use monoio::{IoUringDriver, LegacyDriver, Runtime, RuntimeBuilder};

use crate::bounds;

/// What the operator asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// io_uring if it can be had, else epoll with a loud line.
    Auto,
    /// io_uring or refuse to start.
    Uring,
    /// epoll.
    Epoll,
}

/// What runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// io_uring with SINGLE_ISSUER, DEFER_TASKRUN and SUBMIT_ALL (Linux 6.1).
    UringDeferred,
    /// io_uring with SUBMIT_ALL and COOP_TASKRUN (Linux 5.19).
    UringCooperative,
    /// io_uring with no flags.
    UringPlain,
    /// epoll.
    Epoll,
}

/// Why no runtime could be built: cause and remedy.
#[derive(Debug)]
pub struct Refused(pub String);

/// A runtime of either kind.
pub enum Rt {
    /// On io_uring.
    Uring(Box<Runtime<TimeDriver<IoUringDriver>>>),
    /// On epoll.
    Epoll(Box<Runtime<TimeDriver<LegacyDriver>>>),
}

thread_local! {
    static EPOLL: Cell<bool> = const { Cell::new(false) };
}

// === impl Driver ===

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Driver::UringDeferred => "io_uring (single issuer, deferred task work)",
            Driver::UringCooperative => {
                "io_uring (cooperative task work; Linux 6.1 would defer it)"
            }
            Driver::UringPlain => "io_uring (no flags; Linux 5.19 or later is faster)",
            Driver::Epoll => "epoll",
        })
    }
}

// === impl Refused ===

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

// === impl Rt ===

impl Rt {
    /// Runs `main` to its end on this thread. The runtime is then leaked on purpose: dropping it
    /// would free buffers the kernel may still own (monoio 0.2.4).
    pub fn run<F: Future>(self, main: F) -> F::Output {
        match self {
            Rt::Uring(mut rt) => {
                let out = rt.block_on(main);
                std::mem::forget(rt);
                out
            }
            Rt::Epoll(mut rt) => {
                EPOLL.with(|epoll| epoll.set(true));
                let out = rt.block_on(main);
                std::mem::forget(rt);
                out
            }
        }
    }
}

/// Whether this thread's runtime is the epoll one: its sockets must not block.
#[must_use]
pub fn is_epoll() -> bool {
    EPOLL.with(Cell::get)
}

/// Finds what this kernel grants, by building a small ring of each kind.
///
/// # Errors
/// When io_uring is `Wanted::Uring` but denied; the text says by what and the remedy.
pub fn probe(wanted: Wanted) -> Result<(Driver, Option<String>), Refused> {
    if wanted == Wanted::Epoll {
        return Ok((Driver::Epoll, None));
    }
    let kinds = [Driver::UringDeferred, Driver::UringCooperative, Driver::UringPlain];
    let mut denied = None;
    for kind in kinds {
        match uring_builder(kind).build(8) {
            Ok(_) => return Ok((kind, None)),
            Err(error) => denied = Some(error),
        }
    }
    let why = denied.map_or_else(String::new, |error| explain(&error));
    match wanted {
        Wanted::Uring => Err(Refused(format!("gateway.io = \"uring\", but {why}"))),
        _ => Ok((Driver::Epoll, Some(format!("falling back to epoll: {why}")))),
    }
}

/// Builds this thread's runtime. Must be called on the thread that will run it (SINGLE_ISSUER).
///
/// # Errors
/// When the kernel refuses a ring of the full size (memory, descriptors).
pub fn build(driver: Driver) -> io::Result<Rt> {
    if driver == Driver::Epoll {
        let rt = RuntimeBuilder::<LegacyDriver>::new()
            .with_entries(bounds::RING_ENTRIES)
            .enable_timer()
            .build()?;
        return Ok(Rt::Epoll(Box::new(rt)));
    }
    let rt = RuntimeBuilder::<IoUringDriver>::new()
        .with_entries(bounds::RING_ENTRIES)
        .uring_builder(uring_builder(driver))
        .enable_timer()
        .build()?;
    Ok(Rt::Uring(Box::new(rt)))
}

/// Pins this thread to one core.
///
/// # Errors
/// When the core is not in the process's affinity mask.
pub fn pin_to(core: usize) -> io::Result<()> {
    // SAFETY: an all-zero cpu_set_t is a valid, empty set; CPU_SET writes inside it because the
    // index is checked against its size; the call reads it only.
    let rc = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if core >= 8 * size_of::<libc::cpu_set_t>() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The cores this process may run on, ascending.
#[must_use]
pub fn cores() -> Vec<usize> {
    // SAFETY: an all-zero cpu_set_t is valid and the call fills at most the size given; CPU_ISSET
    // reads inside it.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        let rc = libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set);
        if rc != 0 {
            return vec![0];
        }
        (0..8 * size_of::<libc::cpu_set_t>()).filter(|core| libc::CPU_ISSET(*core, &set)).collect()
    }
}

fn uring_builder(kind: Driver) -> io_uring::Builder {
    let mut builder = io_uring::IoUring::builder();
    // Completions come in bursts (every connection of a worker can fire in one turn): four to one.
    builder.setup_cqsize(bounds::RING_ENTRIES * 4);
    match kind {
        Driver::UringDeferred => {
            builder.setup_single_issuer().setup_defer_taskrun().setup_submit_all();
        }
        Driver::UringCooperative => {
            builder.setup_coop_taskrun().setup_submit_all();
        }
        Driver::UringPlain | Driver::Epoll => {}
    }
    builder
}

fn explain(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            "io_uring is denied: a container's seccomp profile or the \
            sysctl kernel.io_uring_disabled forbids it; allow io_uring_setup, io_uring_enter and \
            io_uring_register in the profile, or set the sysctl to 0"
                .into()
        }
        Some(libc::ENOSYS) => {
            "this kernel has no io_uring; Linux 6.1 or later has what is needed".into()
        }
        Some(libc::ENOMEM) => "the ring does not fit RLIMIT_MEMLOCK; raise it (systemd: \
            LimitMEMLOCK=infinity)"
            .into(),
        _ => format!("io_uring cannot be set up: {error}"),
    }
}
