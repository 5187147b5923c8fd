//! What only the operating system knows of this process, read from /proc at a scrape.
//!
//! Every reader is a function from a file's text to a number; what cannot be read counts as zero,
//! for a scrape must not fail because one file looks different on some kernel. Invariant: a counter
//! never goes down, also where the kernel's own wraps at 32 bits.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::observe::exposition::{Rings, WorkerSeen};

/// What a process uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub cpu_ns: u64,
    pub resident_bytes: u64,
    pub open_fds: u64,
    pub max_fds: u64,
}

/// The rings of this process, and what their counters have come to.
#[derive(Debug, Default)]
pub struct RingWatch {
    seen: BTreeMap<PathBuf, Seen>,
    total: Rings,
}

/// The last values of a ring's counters, which wrap.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    submissions: u32,
    completions: u32,
}

/// `USER_HZ`, the unit of the times in /proc/PID/stat: part of the kernel's ABI, 100 wherever
/// Rust's standard library runs on Linux.
const TICK_NS: u64 = 10_000_000;
/// A ring's file is empty while its worker submits: how often it is read before this scrape does
/// without.
const READS_MAX: usize = 8;

/// Reads what this process uses.
#[must_use]
pub fn usage() -> Usage {
    let text = |name: &str| fs::read_to_string(Path::new("/proc/self").join(name));
    let of = |name: &str, read: fn(&str) -> Option<u64>| {
        text(name).ok().and_then(|text| read(&text)).unwrap_or(0)
    };
    Usage {
        cpu_ns: of("stat", cpu_ns),
        resident_bytes: of("status", |text| number_after(text, "VmRSS:")).saturating_mul(1024),
        open_fds: open_fds(),
        max_fds: of("limits", |text| number_after(text, "Max open files")),
    }
}

/// Reads what is known of the threads `worker-0` to `worker-(count - 1)`.
#[must_use]
pub fn workers(count: usize) -> Vec<WorkerSeen> {
    let mut seen = vec![WorkerSeen::default(); count];
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return seen };
    for task in tasks.flatten().map(|task| task.path()) {
        let Ok(name) = fs::read_to_string(task.join("comm")) else { continue };
        let Some(worker) = worker_number(&name).and_then(|n| seen.get_mut(n)) else { continue };
        let text = |name: &str| fs::read_to_string(task.join(name)).unwrap_or_default();
        // A loop that has nothing to do waits in the kernel: a voluntary switch.
        *worker = WorkerSeen {
            parks: number_after(&text("status"), "\nvoluntary_ctxt_switches:").unwrap_or(0),
            cpu_ns: number_after(&text("schedstat"), "").unwrap_or(0),
        };
    }
    seen
}

// === impl RingWatch ===

impl RingWatch {
    /// Looks at `wanted` rings, searching for those not found yet.
    pub fn look(&mut self, wanted: usize) {
        if self.seen.len() < wanted {
            self.search();
        }
        for (path, seen) in &mut self.seen {
            let counted = (0..READS_MAX).find_map(|_| counters(&fs::read_to_string(path).ok()?));
            if let Some(now) = counted {
                let since = |now: u32, before: u32| u64::from(now.wrapping_sub(before));
                self.total.submissions += since(now.submissions, seen.submissions);
                self.total.completions += since(now.completions, seen.completions);
                *seen = now;
            }
        }
    }

    /// What they have counted until the last look.
    #[must_use]
    pub fn total(&self) -> Rings {
        self.total
    }

    fn search(&mut self) {
        let Ok(fds) = fs::read_dir("/proc/self/fd") else { return };
        for fd in fds.flatten() {
            let is_ring = fs::read_link(fd.path())
                .is_ok_and(|target| target.as_os_str() == "anon_inode:[io_uring]");
            if is_ring {
                let info = Path::new("/proc/self/fdinfo").join(fd.file_name());
                self.seen.entry(info).or_default();
            }
        }
    }
}

/// User and system time: the fields 14 and 15 of /proc/PID/stat. The second is the program's name
/// in parentheses, which may hold anything.
fn cpu_ns(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system).saturating_mul(TICK_NS))
}

/// The number that follows a label.
fn number_after(text: &str, label: &str) -> Option<u64> {
    let (_, after) = text.split_once(label)?;
    after.split_ascii_whitespace().next()?.parse().ok()
}

/// Linux 6.2 and later give the number as the directory's size; before, the entries must be
/// counted.
fn open_fds() -> u64 {
    let directory = "/proc/self/fd";
    match fs::metadata(directory).map(|metadata| metadata.len()) {
        Ok(size) if size > 0 => size,
        _ => fs::read_dir(directory).map_or(0, |entries| entries.count() as u64),
    }
}

fn worker_number(comm: &str) -> Option<usize> {
    comm.trim_end().strip_prefix("worker-")?.parse().ok()
}

/// A ring's counters out of its fdinfo: how far the kernel has taken submissions and put
/// completions.
fn counters(fdinfo: &str) -> Option<Seen> {
    let number = |label| u32::try_from(number_after(fdinfo, label)?).ok();
    Some(Seen { submissions: number("\nSqHead:")?, completions: number("\nCqTail:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_a_name_with_spaces_and_parentheses() {
        let stat = "42 (a ) b (c) S 1 42 42 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 3 0 900 1 2 3\n";
        assert_eq!(cpu_ns(stat), Some(3_000_000_000));
        assert_eq!(cpu_ns("42 (x) S 1"), None);
    }

    #[test]
    fn numbers_are_those_behind_their_label() {
        let limits =
            "Limit      Soft Limit  Hard Limit  Units\nMax open files   1024   4096  files\n";
        assert_eq!(number_after(limits, "Max open files"), Some(1024));
        assert_eq!(number_after("VmRSS:\t  2024 kB\n", "VmRSS:"), Some(2024));
        let status = "nonvoluntary_ctxt_switches:\t3\nvoluntary_ctxt_switches:\t7\n";
        assert_eq!(number_after(status, "\nvoluntary_ctxt_switches:"), Some(7));
        assert_eq!(number_after("Max open files unlimited", "Max open files"), None);
        assert_eq!(number_after("123 456 7\n", ""), Some(123));
    }

    #[test]
    fn a_rings_counters_are_read_and_an_empty_file_is_no_zero() {
        let info = "pos:\t0\nino:\t1\nSqMask:\t0x7ff\nSqHead:\t12\nSqTail:\t12\nCachedSqHead:\t12\n\
                    CqMask:\t0x1fff\nCqHead:\t9\nCqTail:\t10\nCachedCqTail:\t11\nSQEs:\t0\n";
        let seen = counters(info).unwrap();
        assert_eq!((seen.submissions, seen.completions), (12, 10));
        assert!(counters("pos:\t0\nino:\t1\n").is_none());
    }

    #[test]
    fn only_workers_are_workers() {
        assert_eq!(worker_number("worker-12\n"), Some(12));
        assert_eq!(worker_number("worker-\n"), None);
        assert_eq!(worker_number("house\n"), None);
    }

    #[test]
    fn this_process_uses_something() {
        let usage = usage();
        assert!(usage.resident_bytes > 100_000, "{usage:?}");
        assert!(usage.open_fds >= 3 && usage.max_fds >= usage.open_fds, "{usage:?}");
    }

    #[test]
    fn rings_that_wrap_go_on_counting() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("7");
        let ring = |submissions: u32, completions: u32| {
            let text = format!("pos:\t0\nSqHead:\t{submissions}\nCqTail:\t{completions}\n");
            fs::write(&path, text).unwrap();
        };
        let mut watch = RingWatch::default();
        watch.seen.insert(path.clone(), Seen::default());
        ring(4_000_000_000, 10);
        watch.look(1);
        assert_eq!(watch.total(), Rings { submissions: 4_000_000_000, completions: 10 });
        ring(100, 20);
        let wrapped = 4_294_967_296 + 100;
        watch.look(1);
        assert_eq!(watch.total(), Rings { submissions: wrapped, completions: 20 });
        fs::write(&path, "pos:\t0\n").unwrap();
        watch.look(1);
        assert_eq!(watch.total().completions, 20, "a busy ring tells nothing, and nothing is lost");
    }
}
