//! The state directory: `limits.tab`, made once and shared by every process that is given the same
//! directory.
//!
//! Owns the file's making and opening; what is in it belongs to `limit`. The directory is locked
//! while that lasts, so that of two processes that start at once one makes the file. Invariant: a
//! file that is there is never emptied or shortened: one that is not a table is an error.

use std::fs::{self, File, OpenOptions};
use std::io::{Error, ErrorKind, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Weak};
use std::time::Duration;

use memmap2::MmapOptions;

use super::gateway::StartError;
use crate::bounds::LIMIT_SLOTS_PER_BUCKET;
use crate::clock;
use crate::config;
use crate::limit::{HEADER_BYTES, HashKey, Header, Memory, MemoryError, Store, Times};

const TABLE: &str = "limits.tab";
/// How often the table goes to the disk: what a power cut can lose of quotas.
const FLUSH: Duration = Duration::from_secs(1);

/// Keeps the table in step with the disk while this lives.
pub struct Keeper {
    /// Dropped, it ends the thread.
    _stop: Sender<()>,
}

/// Opens what limits are counted in.
///
/// # Errors
/// When the directory or the file in it cannot be used, with what to do.
pub fn open(conf: &config::Gateway) -> Result<Arc<Store>, StartError> {
    let buckets = usize::try_from(conf.limits_max).expect("below 2^30");
    let slots = (buckets * LIMIT_SLOTS_PER_BUCKET).next_multiple_of(256);
    let store = match &conf.state_dir {
        None => anonymous(slots).map_err(|error| error.to_string()),
        Some(dir) => in_directory(&dir.path, slots)
            .map_err(|(path, error)| format!("{}: {error}", path.display())),
    };
    store.map(Arc::new).map_err(|text| StartError::System(format!("cannot count limits: {text}")))
}

/// What limits are counted in by a process that serves nobody.
///
/// # Errors
/// When there is no memory.
pub fn for_check() -> Result<Arc<Store>, MemoryError> {
    Ok(Arc::new(anonymous(256)?))
}

// === impl Keeper ===

impl Keeper {
    /// Starts the thread that hands the table to the disk and counts what is in it.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start(store: &Arc<Store>, has_file: bool) -> Result<Keeper, Error> {
        let (stop, stopped) = mpsc::channel();
        let store = Arc::downgrade(store);
        std::thread::Builder::new().name("limits".to_owned()).spawn(move || {
            let mut failing = false;
            while stopped.recv_timeout(FLUSH) == Err(RecvTimeoutError::Timeout) {
                if !keep(&store, has_file, &mut failing) {
                    return;
                }
            }
            keep(&store, has_file, &mut failing);
        })?;
        Ok(Keeper { _stop: stop })
    }
}

fn keep(store: &Weak<Store>, has_file: bool, failing: &mut bool) -> bool {
    let Some(store) = store.upgrade() else { return false };
    store.survey(Times { boot: clock::boottime(), wall: clock::wall() });
    let flushed = if has_file { store.flush() } else { Ok(()) };
    match &flushed {
        Err(error) if !*failing => tracing::error!(%error, "cannot write limits.tab"),
        Ok(()) if *failing => tracing::info!("limits.tab is written again"),
        _ => {}
    }
    *failing = flushed.is_err();
    true
}

fn anonymous(slots: usize) -> Result<Store, MemoryError> {
    let [k0, k1, seed] = random().map_err(MemoryError::Io)?;
    Store::anonymous(slots, HashKey(k0, k1), seed)
}

type AtPath<T> = Result<T, (PathBuf, MemoryError)>;

fn in_directory(dir: &Path, slots: usize) -> AtPath<Store> {
    let path = dir.join(TABLE);
    let at_dir = |error| (dir.to_owned(), MemoryError::Io(error));
    let at_file = |error| (path.clone(), MemoryError::Io(error));
    fs::create_dir_all(dir).map_err(at_dir)?;
    let lock = File::open(dir).map_err(at_dir)?;
    lock.lock().map_err(at_dir)?;
    let boot_id = boot_id().map_err(at_dir)?;
    let [k0, k1, seed] = random().map_err(at_dir)?;
    let file = match OpenOptions::new().read(true).write(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let header = Header { slots: slots as u64, key: HashKey(k0, k1), boot_id };
            make(dir, &path, &header).map_err(at_file)?
        }
        Err(error) => return Err(at_file(error)),
    };
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    (&file).take(HEADER_BYTES as u64).read_to_end(&mut bytes).map_err(at_file)?;
    let length = file.metadata().map_err(at_file)?.len();
    let header = Header::read(&bytes, length).map_err(|error| (path.clone(), error))?;
    if header.slots != slots as u64 {
        let (has, path) = (header.slots / LIMIT_SLOTS_PER_BUCKET as u64, path.display());
        tracing::warn!(%path, "keeps the size it was made with: limits_max = {has}");
    }
    let map = MmapOptions::new().map_raw(&file).map_err(at_file)?;
    let memory = Memory::of_file(map, &header).map_err(|error| (path.clone(), error))?;
    let store = Store::new(memory, header.key, seed).map_err(|error| (path.clone(), error))?;
    if header.boot_id != boot_id {
        // Nobody else is here: whoever came after this boot has done this, under the lock.
        store.forget_buckets();
        file.write_all_at(&Header { boot_id, ..header }.bytes(), 0).map_err(at_file)?;
        tracing::info!("the machine has booted since: buckets begin full, quotas go on");
    }
    Ok(store)
}

/// Makes the file whole before it has its name.
fn make(dir: &Path, path: &Path, header: &Header) -> Result<File, Error> {
    let draft = dir.join(".limits.tab.new");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&draft)?;
    file.write_all(&header.bytes())?;
    allocate(&file, header.file_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    File::open(dir)?.sync_all()?;
    OpenOptions::new().read(true).write(true).open(path)
}

/// The disk's room is taken now: a write to a mapping for which there is none would be a signal.
#[expect(unsafe_code, reason = "posix_fallocate has no wrapper in std")]
fn allocate(file: &File, bytes: u64) -> Result<(), Error> {
    use std::os::fd::AsRawFd;
    let length = libc::off_t::try_from(bytes).map_err(Error::other)?;
    // SAFETY: the descriptor is open, and the call touches no memory of ours.
    match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, length) } {
        0 => Ok(()),
        code => Err(Error::from_raw_os_error(code)),
    }
}

/// Of this boot: random, made by the kernel.
fn boot_id() -> Result<[u8; 16], Error> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let id = u128::from_str_radix(&digits, 16).map_err(Error::other)?;
    Ok(id.to_be_bytes())
}

fn random() -> Result<[u64; 3], Error> {
    let mut bytes = [0; 24];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let (words, _) = bytes.as_chunks::<8>();
    Ok([words[0], words[1], words[2]].map(u64::from_ne_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Boot, Wall};
    use crate::limit::{
        Ask, Bucket, Costs, Period, Quota, Rate, Rules, Standing, Unit, settle, take,
    };

    const NOW: Times = Times { boot: Boot(1 << 40), wall: Wall(1_795_323_600_000_000_000) };

    fn rules() -> Rules {
        let hourly = Rate { thousandths: 1000, per_ns: 3_600_000_000_000 };
        Rules {
            bucket: Some(Bucket::new(hourly, 10).expect("a bucket")),
            quota: Some(Quota { max: 100, period: Period::Day, offset: 0, carries: false }),
            at_once: None,
        }
    }

    fn left(store: &Store) -> (u64, u64) {
        let standing = Standing::of(store, &rules(), store.hasher("x").id(), NOW);
        let level = |level: Option<crate::limit::Level>| level.expect("it has one").left;
        (level(standing.bucket), level(standing.quota))
    }

    fn use_one(store: Arc<Store>) {
        let rules = rules();
        let mut asks = [Ask::new(&rules, store.hasher("x").id(), false)];
        assert!(take(&store, &mut asks, || NOW).is_ok());
    }

    fn opened(dir: &Path, slots: usize) -> Arc<Store> {
        let opened = in_directory(dir, slots);
        Arc::new(opened.unwrap_or_else(|(path, error)| panic!("{}: {error}", path.display())))
    }

    #[test]
    fn what_is_counted_is_there_again_and_seen_by_who_shares_the_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let (first, second) = (opened(dir.path(), 256), opened(dir.path(), 256));
        use_one(first.clone());
        assert_eq!((left(&first), left(&second)), ((9, 99), (9, 99)));
        use_one(second.clone());
        drop((first, second));
        let third = opened(dir.path(), 1024);
        assert_eq!(left(&third), (8, 98));
        assert_eq!(third.capacity(), 256, "a file keeps its size");
        third.flush().expect("a disk");
    }

    /// Two processes, four threads each, one budget: what one has reserved the other's count has.
    #[test]
    fn a_budget_that_two_share_is_settled_to_the_token() {
        let dir = tempfile::tempdir().expect("a directory");
        let stores = [opened(dir.path(), 256), opened(dir.path(), 256)];
        let quota = Quota { max: 1 << 40, period: Period::Month, offset: 0, carries: true };
        let rules = Rules { quota: Some(quota), ..Rules::default() };
        let used: u64 = std::thread::scope(|scope| {
            let work = |thread: u64| {
                let store = &stores[usize::from(thread.is_multiple_of(2))];
                let mut used = 0;
                for round in 0..5000 {
                    let id = store.hasher("budget").id();
                    let mut asks = [Ask::metered(&rules, id, false, (Unit::Tokens, 1000))];
                    let taken = take(store, &mut asks, || NOW).expect("there is room");
                    let costs = Costs { input: (round * 7 + thread) % 2000, ..Costs::default() };
                    settle(store, taken.debits, &costs, || NOW);
                    used += costs.input;
                }
                used
            };
            let threads: Vec<_> = (0..8).map(|n| scope.spawn(move || work(n))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no thread fails")).sum()
        });
        for store in &stores {
            let standing = Standing::of(store, &rules, store.hasher("budget").id(), NOW);
            assert_eq!(standing.quota.expect("a quota").left, (1 << 40) - used);
        }
    }

    #[test]
    fn after_a_boot_buckets_are_full_and_quotas_go_on() {
        let dir = tempfile::tempdir().expect("a directory");
        use_one(opened(dir.path(), 256));
        let path = dir.path().join(TABLE);
        let file = OpenOptions::new().write(true).open(&path).expect("a file");
        // The id of another boot.
        file.write_all_at(&[7; 16], 40).expect("written");
        let store = opened(dir.path(), 256);
        assert_eq!(left(&store), (10, 99));
        use_one(store);
        assert_eq!(left(&opened(dir.path(), 256)), (9, 98), "the boot is the same as before");
    }

    #[test]
    fn a_file_that_is_cut_or_somebody_elses_is_refused_and_not_touched() {
        let dir = tempfile::tempdir().expect("a directory");
        drop(opened(dir.path(), 256));
        let path = dir.path().join(TABLE);
        let whole = fs::read(&path).expect("a file");
        for wrong in [&whole[..whole.len() - 16], &whole[..100], b"", b"my notes"] {
            fs::write(&path, wrong).expect("written");
            assert!(in_directory(dir.path(), 256).is_err(), "{} bytes", wrong.len());
            assert_eq!(fs::read(&path).expect("a file"), wrong);
        }
        fs::write(&path, &whole).expect("written");
        assert!(in_directory(dir.path(), 256).is_ok());
    }

    #[test]
    fn two_that_start_at_once_make_one_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let stores: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| opened(dir.path(), 256))).collect();
            threads.into_iter().map(|thread| thread.join().expect("it opens")).collect()
        });
        stores.iter().for_each(|store| use_one(store.clone()));
        assert!(stores.iter().all(|store| left(store) == (2, 92)));
    }
}
