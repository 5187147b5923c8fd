//! Bounds of the control side: the admin server, the store.

use super::REQUEST_BODY_BYTES;

// --- control: the house --------------------------------------------------------------------

/// Connections to an internal server at once: scrapers, probes and a few people. Each holds a 20
/// KiB buffer at most while it is read from.
pub const HOUSE_CONNECTIONS_MAX: usize = 256;
/// How long it stops accepting when the process is out of descriptors.
pub const HOUSE_ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);
/// How long a kept connection may rest: above the minute in which Prometheus scrapes again.
pub const HOUSE_IDLE: std::time::Duration = std::time::Duration::from_secs(75);
/// Connections with clients above which the rings' own counters are not read. The kernel writes a
/// line for every pending operation while it holds the ring: 0.25 us each (measured), so a worker
/// that wants to submit could wait for 2.5 ms.
pub const HOUSE_RING_CONNECTIONS_MAX: u64 = 10_000;
/// A whole head, and between two parts of a body.
pub const HOUSE_READ: std::time::Duration = std::time::Duration::from_secs(10);
/// Without progress of an answer.
pub const HOUSE_WRITE: std::time::Duration = std::time::Duration::from_secs(30);
/// A request's body: as much as the gateway lets through to the demo's origin.
pub const HOUSE_BODY_BYTES_MAX: u64 = REQUEST_BODY_BYTES;
/// What is kept of it: a key of the admin API with all its lists full is below 40 KiB.
pub const HOUSE_BODY_BYTES_KEPT: usize = 64 * 1024;

// --- control: the store --------------------------------------------------------------------

/// How long the store waits for another process that is writing: a write takes milliseconds.
pub const STORE_LOCKED: std::time::Duration = std::time::Duration::from_secs(5);
/// How often it looks whether another process has written: a key is live everywhere in 100 ms.
pub const STORE_LOOK: std::time::Duration = std::time::Duration::from_millis(40);
/// Requests to it that wait: each holds a connection to the admin server.
pub const STORE_QUEUE_MAX: usize = 2 * HOUSE_CONNECTIONS_MAX;
/// Reloads and previews that wait for the control thread: who asks for more waits in vain anyway.
pub const ASKS_MAX: usize = 16;
/// Changes that the audit trail keeps: a hundred a day for three years, in some 100 MB.
pub const STORE_AUDIT_MAX: u64 = 100_000;
/// Reloads that are kept: ten a day for three months.
pub const STORE_RELOADS_MAX: u64 = 1_000;
/// Changed names that are kept for other processes; one that is further behind reads all keys.
pub const STORE_CHANGES_MAX: u64 = 10_000;
/// Entries of one page of a list.
pub const ADMIN_PAGE_MAX: usize = 1_000;
pub const ADMIN_PAGE: usize = 100;
/// A token that could be guessed proves nothing.
pub const ADMIN_TOKEN_BYTES_MIN: usize = 16;
/// And a file that holds one is short.
pub const ADMIN_TOKEN_BYTES_MAX: u64 = 4_096;
/// How long the values of a rotated key hold on at most: a quarter of a year.
pub const KEY_GRACE_MAX: std::time::Duration = std::time::Duration::from_secs(90 * 86_400);
