//! The only file of the generator that reads a clock: nanoseconds since the process began.
//! Everything else takes such a number as an argument, so that schedules and reports can be
//! tested without waiting.

use std::sync::OnceLock;
use std::time::Instant;

/// Nanoseconds since `start` was first called in this process.
pub type Nanos = u64;

pub const MICRO: Nanos = 1_000;
pub const MILLI: Nanos = 1_000_000;
pub const SECOND: Nanos = 1_000_000_000;

static START: OnceLock<Instant> = OnceLock::new();

/// Reads the monotonic clock.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the file that reads the clock")]
pub fn now() -> Nanos {
    let start = *START.get_or_init(Instant::now);
    nanos(start.elapsed())
}

/// Seconds since 1970, as answers say when they were created.
#[must_use]
pub fn unix() -> u64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed();
    since.map_or(0, |d| d.as_secs())
}

/// Nanoseconds of a duration, saturating: 584 years fit.
#[must_use]
pub fn nanos(d: std::time::Duration) -> Nanos {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

/// Nanoseconds as seconds for people and for JSON.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a report does not need 53 bits")]
pub fn seconds(n: Nanos) -> f64 {
    n as f64 / 1e9
}
