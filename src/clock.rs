//! The only file that reads a clock. Everything else takes a [`Tick`] (monotonic) or a [`Wall`]
//! (calendar) as an argument, so that a test can say what time it is.

use std::cell::Cell;
use std::time::Duration;

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

/// One reading of the clock, as each of the three tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    pub tick: Tick,
    pub boot: Boot,
    pub wall: Wall,
}

/// What the other clocks are ahead of CLOCK_BOOTTIME, modulo 2^64.
#[derive(Clone, Copy, Default)]
struct Ahead {
    tick: u64,
    wall: u64,
    /// When they are compared again.
    until: Boot,
}

thread_local! {
    static AHEAD: Cell<Ahead> = const { Cell::new(Ahead { tick: 0, wall: 0, until: Boot(0) }) };
}

/// For so long two clocks are taken to run alike: a step of the calendar, or a sleep of the
/// machine, is noticed within this time.
const AHEAD_KEPT: Duration = Duration::from_millis(100);
/// Two readings further apart than this had something come between them.
const AHEAD_BLUR: u64 = 2_000;
const AHEAD_TRIES: u32 = 3;

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

// === impl Ahead ===

impl Ahead {
    /// Compares the clocks: within [`AHEAD_BLUR`], but on a machine that has no moment for it.
    #[cold]
    fn compare() -> Ahead {
        let mut tries = AHEAD_TRIES;
        loop {
            let (before, tick, wall) = (boottime(), now(), wall());
            tries -= 1;
            if tries == 0 || boottime().0 - before.0 <= AHEAD_BLUR {
                return Ahead::of(Moment { tick, boot: before, wall });
            }
        }
    }

    /// Of three readings.
    fn of(read: Moment) -> Ahead {
        Ahead {
            tick: read.tick.0.wrapping_sub(read.boot.0),
            wall: read.wall.0.wrapping_sub(read.boot.0),
            until: Boot(read.boot.0 + nanos(AHEAD_KEPT)),
        }
    }

    fn moment(self, boot: Boot) -> Moment {
        Moment {
            tick: Tick(boot.0.wrapping_add(self.tick)),
            boot,
            wall: Wall(boot.0.wrapping_add(self.wall)),
        }
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

/// Reads the clock once, and knows all three: the boot time exactly, the others as they stood to it
/// a tenth of a second ago at most.
#[must_use]
pub fn moment() -> Moment {
    let boot = boottime();
    let mut ahead = AHEAD.get();
    if boot >= ahead.until {
        ahead = Ahead::compare();
        AHEAD.set(ahead);
    }
    ahead.moment(boot)
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

/// Reads the calendar clock; a time before 1970 is taken for its beginning.
#[must_use]
pub fn wall() -> Wall {
    Wall(read(libc::CLOCK_REALTIME).0)
}

#[expect(unsafe_code, reason = "clock_gettime has no safe wrapper in std that names its clock")]
fn read(clock: libc::clockid_t) -> Tick {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `ts` is a valid, writable timespec; all these clocks exist on every kernel since
    // 2.6.39.
    let rc = unsafe { libc::clock_gettime(clock, &raw mut ts) };
    debug_assert_eq!(rc, 0, "the clock is readable");
    // Only the calendar's seconds may be negative.
    let seconds = u64::try_from(ts.tv_sec).unwrap_or(0);
    Tick(seconds.saturating_mul(1_000_000_000).saturating_add(ts.tv_nsec.cast_unsigned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clocks_keep_their_distance_until_they_are_compared_again() {
        // After a sleep of two seconds; then on a machine whose calendar is at its beginning.
        for (tick, boot, wall) in [(5_000, 2_000_005_000, 1_795_323_600_000_000_000), (7, 9, 0)] {
            let read = Moment { tick: Tick(tick), boot: Boot(boot), wall: Wall(wall) };
            let ahead = Ahead::of(read);
            assert_eq!(ahead.moment(read.boot), read);
            let later = ahead.moment(Boot(boot + 70));
            assert_eq!((later.tick, later.wall), (Tick(tick + 70), Wall(wall + 70)));
            assert_eq!(ahead.until.0 - boot, 100_000_000);
        }
    }
}
