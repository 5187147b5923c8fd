//! The only file that reads a clock. Everything else takes a [`Tick`] (monotonic) or a [`Wall`]
//! (calendar) as an argument, so that a test can say what time it is.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point on CLOCK_MONOTONIC, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub u64);

/// Calendar time: nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wall(pub u64);

/// A point on CLOCK_BOOTTIME, in nanoseconds: it goes on while the machine sleeps, and means the
/// same to every process until the next boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Boot(pub u64);

// === impl Tick ===

impl Tick {
    /// Later than any time that comes.
    pub const NEVER: Tick = Tick(u64::MAX);

    /// `self + d`, saturating at [`Tick::NEVER`].
    #[must_use]
    pub fn after(self, d: Duration) -> Tick {
        Tick(self.0.saturating_add(nanos(d)))
    }

    /// How long ago `earlier` was; zero if it is later than `self`.
    #[must_use]
    pub fn since(self, earlier: Tick) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

// === impl Wall ===

impl Wall {
    /// Whole seconds since the epoch.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.0 / 1_000_000_000
    }
}

/// Nanoseconds of a duration, saturating: 584 years fit.
#[must_use]
pub fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

/// Reads the monotonic clock.
#[must_use]
pub fn now() -> Tick {
    read(libc::CLOCK_MONOTONIC)
}

/// Reads the clock that began with the machine.
#[must_use]
pub fn boottime() -> Boot {
    Boot(read(libc::CLOCK_BOOTTIME).0)
}

/// The monotonic clock as of the kernel's last tick, at most [`COARSE_LAG`] ago: a quarter of the
/// cost of [`now`]. For deadlines, which are far longer than that.
#[must_use]
pub fn coarse() -> Tick {
    read(libc::CLOCK_MONOTONIC_COARSE)
}

/// The calendar clock as of the kernel's last tick, at most [`COARSE_LAG`] ago.
#[must_use]
pub fn wall_coarse() -> Wall {
    Wall(read(libc::CLOCK_REALTIME_COARSE).0)
}

/// How far [`coarse`] may lag: one tick of the slowest kernel (CONFIG_HZ=100).
pub const COARSE_LAG: Duration = Duration::from_millis(10);

#[expect(unsafe_code, reason = "clock_gettime has no safe wrapper in std that names its clock")]
fn read(clock: libc::clockid_t) -> Tick {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `ts` is a valid, writable timespec; all three clocks exist on every kernel since
    // 2.6.39.
    let rc = unsafe { libc::clock_gettime(clock, &raw mut ts) };
    debug_assert_eq!(rc, 0, "the clock is readable");
    // Both are never negative.
    Tick(ts.tv_sec.cast_unsigned() * 1_000_000_000 + ts.tv_nsec.cast_unsigned())
}

/// Reads the calendar clock.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the file the ban points to")]
pub fn wall() -> Wall {
    Wall(nanos(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()))
}
