//! Reads what the kernel accounts to a process: CPU time of all its threads and resident memory.
//! Parsing is pure; only [`Usage::of`] touches /proc.

use std::collections::BTreeMap;
use std::path::Path;

use crate::clock::Nanos;

/// A snapshot of one process.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// CPU nanoseconds by thread, from `schedstat`: exact where utime counts ticks.
    threads: BTreeMap<u32, Nanos>,
    pub rss_bytes: u64,
}

// === impl Usage ===

impl Usage {
    pub fn of(pid: u32) -> Result<Usage, String> {
        let root = format!("/proc/{pid}");
        let failed = |e: std::io::Error| format!("{root}: {e}");
        let mut threads = BTreeMap::new();
        for entry in std::fs::read_dir(format!("{root}/task")).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let tid = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.parse().ok());
            // A thread may end between the listing and the reading.
            if let (Some(tid), Some(spent)) = (tid, spent(&path.join("schedstat"))) {
                threads.insert(tid, spent);
            }
        }
        let status = std::fs::read_to_string(format!("{root}/status")).map_err(failed)?;
        Ok(Usage { threads, rss_bytes: rss(&status).unwrap_or(0) })
    }

    /// CPU time spent since `earlier`. A thread that has ended since is not counted.
    #[must_use]
    pub fn since(&self, earlier: &Usage) -> Nanos {
        let before = |tid| earlier.threads.get(tid).copied().unwrap_or(0);
        self.threads.iter().map(|(tid, spent)| spent.saturating_sub(before(tid))).sum()
    }
}

fn spent(path: &Path) -> Option<Nanos> {
    std::fs::read_to_string(path).ok()?.split(' ').next()?.parse().ok()
}

fn rss(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read() {
        assert_eq!(rss("Name:\tx\nVmRSS:\t    1234 kB\nThreads: 1\n"), Some(1234 * 1024));
        assert_eq!(rss("Name:\tx\n"), None);
    }

    #[test]
    fn own_usage_grows_with_work() {
        let before = Usage::of(std::process::id()).unwrap();
        let mut dice = crate::dice::Dice::new(1);
        let sum = (0..20_000_000u64).fold(0u64, |sum, _| sum ^ dice.next());
        let after = Usage::of(std::process::id()).unwrap();
        assert_ne!(sum, 0);
        assert!(after.since(&before) > 1_000_000, "{}", after.since(&before));
        assert!(after.rss_bytes > 0);
    }

    #[test]
    fn threads_that_come_and_go() {
        let usage =
            |list: &[(u32, u64)]| Usage { threads: list.iter().copied().collect(), rss_bytes: 0 };
        assert_eq!(usage(&[(1, 50), (3, 7)]).since(&usage(&[(1, 40), (2, 9)])), 17);
    }
}
