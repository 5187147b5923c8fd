//! Units as an operator writes them: `"250ms"`, `"16KiB"`, `"20%"`, `"10.0.0.0/8"`. Both ways: read
//! with an error that says what to write, and written back so that reading gives the same again.

use std::fmt::Display;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// Writes a duration in the largest unit that holds it exactly: `90s`, `1m`, `250ms`.
pub(super) fn show_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    match ms {
        0 => "0s".to_owned(),
        _ if ms % 3_600_000 == 0 => format!("{}h", ms / 3_600_000),
        _ if ms % 60_000 == 0 => format!("{}m", ms / 60_000),
        _ if ms % 1_000 == 0 => format!("{}s", ms / 1_000),
        _ => format!("{ms}ms"),
    }
}

/// Writes a size in the largest binary unit that holds it exactly: `16KiB`, `10MiB`, `1000B`.
pub(super) fn show_size(bytes: u64) -> String {
    match bytes {
        0 => "0B".to_owned(),
        _ if bytes.is_multiple_of(1 << 30) => format!("{}GiB", bytes >> 30),
        _ if bytes.is_multiple_of(1 << 20) => format!("{}MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{}KiB", bytes >> 10),
        _ => format!("{bytes}B"),
    }
}

// --- for `#[serde(serialize_with = ...)]` on the typed configuration ---

pub(super) fn as_duration<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&show_duration(*value))
}

pub(super) fn as_duration_option<S: Serializer>(
    value: &Option<Duration>,
    to: S,
) -> Result<S::Ok, S::Error> {
    value.map(show_duration).serialize(to)
}

/// `None` is written as the `"0s"` it was read from.
pub(super) fn as_duration_or_zero<S: Serializer>(
    value: &Option<Duration>,
    to: S,
) -> Result<S::Ok, S::Error> {
    as_duration(&value.unwrap_or_default(), to)
}

pub(super) fn as_size<S: Serializer>(value: &u64, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&show_size(*value))
}

/// `None` is written as the `"0B"` it was read from.
pub(super) fn as_size_or_zero<S: Serializer>(
    value: &Option<u64>,
    to: S,
) -> Result<S::Ok, S::Error> {
    as_size(&value.unwrap_or_default(), to)
}

/// `None` is written as the `0` it was read from.
pub(super) fn as_number_or_zero<S: Serializer>(
    value: &Option<u64>,
    to: S,
) -> Result<S::Ok, S::Error> {
    to.serialize_u64(value.unwrap_or_default())
}

pub(super) fn as_texts<T: Display, S: Serializer>(values: &[T], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(values.iter().map(ToString::to_string))
}
