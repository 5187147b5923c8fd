//! Bounds of the usage ledger and of what is counted of models.

use std::time::Duration;

/// Names of models and their targets that are counted apart (1 KiB each and worker, and 3 KiB for
/// each kind of operation that was asked of it); more share the row "(other)".
pub const GEN_AI_CELLS_MAX: usize = 2048;

/// How much of each text of an entry is kept.
pub mod ledger_text_max {
    pub const REQUEST_ID: usize = 128;
    /// Names out of the configuration, and the value of a tag.
    pub const NAME: usize = 256;
    /// A model's name as the client wrote it: those of providers have some 60 characters.
    pub const MODEL: usize = 256;
    /// Words of our own.
    pub const WORD: usize = 64;
}

/// The ring between a worker and the ledger: 2,600 entries of 190 bytes, more than gather in
/// `LEDGER_PAUSE` at 12,000 requests a second; at half of it the ledger's thread is woken.
pub const LEDGER_RING_BYTES: usize = 512 * 1024;
/// Entries that a worker keeps when its ring is full, some 10 MB at most. At half of them it begins
/// no more requests to models: the other half is more than it has streams open.
pub const LEDGER_KEPT_MAX: usize = 64 * 1024;
/// What the ledger holds in memory while it cannot be written: 170,000 entries.
pub const LEDGER_QUEUE_BYTES: usize = 32 * 1024 * 1024;
/// How long entries gather before they are written together: with a full synchronisation for each
/// batch, what a power cut can lose, and 5 fsyncs a second.
pub const LEDGER_PAUSE: Duration = Duration::from_millis(200);
/// How long between two attempts to write after an error (disk full, file locked).
pub const LEDGER_RETRY: Duration = Duration::from_millis(250);
/// How long between two reports of such errors.
pub const LEDGER_REPORT: Duration = Duration::from_secs(10);
/// Entries of one transaction: some 20 ms, and a reader never waits for it.
pub const LEDGER_BATCH_MAX: usize = 4_096;
/// What the ledger knows of the labels in its file: 40,000 of them.
pub const LEDGER_LABELS_BYTES: usize = 8 * 1024 * 1024;
/// How long entries are kept unless the configuration says it: a year, and its bill.
pub const LEDGER_KEEP_MS: u64 = 400 * super::DAY_MS;
/// Entries that go in one step when they are too old: 10 ms.
pub const LEDGER_PRUNE_MAX: u32 = 5_000;
/// How often the oldest are looked at.
pub const LEDGER_PRUNE_PAUSE: Duration = Duration::from_secs(10);
/// Entries that are kept without a state directory.
pub const LEDGER_MEMORY_ROWS: u64 = 100_000;
/// Groups of one report: a key, model and day for each of 500 keys; 1 KiB each.
pub const LEDGER_GROUPS_MAX: usize = 50_000;
/// How long a report over the admin API may read before it is given up; the command line may take
/// its time.
pub const LEDGER_REPORT_TIME: Duration = Duration::from_secs(20);
/// Reports that wait for each other.
pub const LEDGER_ASKS_MAX: usize = 16;
/// How long the ledger has to write the last entries when the process ends.
pub const LEDGER_FINISH: Duration = Duration::from_secs(10);
