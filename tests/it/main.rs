//! Wire-level scenarios: exact bytes and counters through real sockets.
#![allow(clippy::disallowed_methods, reason = "scenarios run against the real clock")]

mod tidy;
