//! What the mock counted, for GET /mock/counters: requests, how they ended, and the tokens of each
//! model and key. One set for the process; relaxed atomics, because each number stands alone.
//!
//! Invariant: every generation that began is `running` until it is counted once, as completed,
//! aborted or faulted.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

use super::draft::Usage;
use super::wire::{ENDPOINTS, Endpoint};
use crate::clock::Nanos;
use crate::sys;

static COUNTS: Counts = Counts::new();

/// Names beyond this many share a row: a row a name must not fill the memory.
const NAMES_MAX: usize = 10_000;
/// The newest aborts are kept, to be asked for.
const ABORTS_MAX: usize = 1 << 16;

struct Counts {
    by_endpoint: [AtomicU64; ENDPOINTS.len()],
    answered_with_an_error: AtomicU64,
    completed: AtomicU64,
    faulted: AtomicU64,
    aborted: [AtomicU64; 3],
    running: AtomicI64,
    models: Mutex<BTreeMap<String, Arc<Account>>>,
    keys: Mutex<BTreeMap<String, Arc<Account>>>,
    faults: Mutex<BTreeMap<String, u64>>,
    aborts: Mutex<VecDeque<Abort>>,
}

/// The tokens of one model, or of one key.
#[derive(Default)]
struct Account {
    ends: [Sums; 3],
}

#[derive(Default)]
struct Sums {
    requests: AtomicU64,
    input: AtomicU64,
    cached: AtomicU64,
    written: AtomicU64,
    output: AtomicU64,
    reasoning: AtomicU64,
}

/// How far an answer was when its peer left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    BeforeFirstByte,
    MidStream,
    /// An answer that is not streamed was being made.
    Generating,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Completed,
    /// Ended by a fault that was asked for.
    Faulted,
    Aborted(Phase),
}

/// A peer that left: who, when, and how much had been sent.
struct Abort {
    tag: String,
    phase: Phase,
    noticed: Nanos,
    output: u64,
}

/// A generation that is under way; dropped without an end, it is an abort before the first byte.
pub struct Running {
    model: Arc<Account>,
    key: Arc<Account>,
    has_ended: bool,
}

thread_local! {
    /// Accounts by name, found without a lock.
    static KNOWN: RefCell<[HashMap<String, Arc<Account>>; 2]> = RefCell::default();
}

// === impl Counts ===

impl Counts {
    const fn new() -> Counts {
        Counts {
            by_endpoint: [const { AtomicU64::new(0) }; ENDPOINTS.len()],
            answered_with_an_error: AtomicU64::new(0),
            completed: AtomicU64::new(0),
            faulted: AtomicU64::new(0),
            aborted: [const { AtomicU64::new(0) }; 3],
            running: AtomicI64::new(0),
            models: Mutex::new(BTreeMap::new()),
            keys: Mutex::new(BTreeMap::new()),
            faults: Mutex::new(BTreeMap::new()),
            aborts: Mutex::new(VecDeque::new()),
        }
    }
}

// === impl Running ===

impl Running {
    pub fn begin(model: &str, key: &str) -> Running {
        COUNTS.running.fetch_add(1, Relaxed);
        Running { model: account(0, model), key: account(1, key), has_ended: false }
    }

    /// `usage.output` is what was sent, or would have been.
    pub fn end(mut self, end: End, usage: &Usage, tag: &str) {
        self.has_ended = true;
        COUNTS.running.fetch_sub(1, Relaxed);
        let at = match end {
            End::Completed => {
                COUNTS.completed.fetch_add(1, Relaxed);
                0
            }
            End::Faulted => {
                COUNTS.faulted.fetch_add(1, Relaxed);
                1
            }
            End::Aborted(phase) => {
                COUNTS.aborted[phase as usize].fetch_add(1, Relaxed);
                let noticed = sys::monotonic();
                let mut aborts = lock(&COUNTS.aborts);
                if aborts.len() == ABORTS_MAX {
                    aborts.pop_front();
                }
                let output = usage.output;
                aborts.push_back(Abort { tag: tag.to_owned(), phase, noticed, output });
                2
            }
        };
        self.model.ends[at].add(usage);
        self.key.ends[at].add(usage);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.has_ended {
            COUNTS.running.fetch_sub(1, Relaxed);
            COUNTS.aborted[0].fetch_add(1, Relaxed);
        }
    }
}

// === impl Sums ===

impl Sums {
    fn cells(&self) -> [(&'static str, &AtomicU64); 6] {
        [
            ("requests", &self.requests),
            ("input", &self.input),
            ("cached", &self.cached),
            ("written", &self.written),
            ("output", &self.output),
            ("reasoning", &self.reasoning),
        ]
    }

    fn add(&self, usage: &Usage) {
        let Usage { input, cached, written, output, reasoning } = *usage;
        for ((_, cell), more) in
            self.cells().iter().zip([1, input, cached, written, output, reasoning])
        {
            if more > 0 {
                cell.fetch_add(more, Relaxed);
            }
        }
    }
}

pub fn asked(endpoint: Endpoint) {
    COUNTS.by_endpoint[endpoint as usize].fetch_add(1, Relaxed);
}

pub fn answered_with_an_error() {
    COUNTS.answered_with_an_error.fetch_add(1, Relaxed);
}

pub fn committed(fault: &str) {
    *lock(&COUNTS.faults).entry(fault.to_owned()).or_default() += 1;
}

fn account(kind: usize, name: &str) -> Arc<Account> {
    KNOWN.with_borrow_mut(|known| {
        if let Some(account) = known[kind].get(name) {
            return Arc::clone(account);
        }
        let all = if kind == 0 { &COUNTS.models } else { &COUNTS.keys };
        let mut all = lock(all);
        let name = if all.len() < NAMES_MAX { name } else { "(others)" };
        let account = Arc::clone(all.entry(name.to_owned()).or_default());
        if known[kind].len() < NAMES_MAX {
            known[kind].insert(name.to_owned(), Arc::clone(&account));
        }
        account
    })
}

/// The body of GET /mock/counters.
pub fn json() -> String {
    let by_endpoint: BTreeMap<_, _> = ENDPOINTS
        .iter()
        .map(|&endpoint| (endpoint.path(), COUNTS.by_endpoint[endpoint as usize].load(Relaxed)))
        .collect();
    json!({
        "requests": by_endpoint.values().sum::<u64>(),
        "by_endpoint": by_endpoint,
        "completed": COUNTS.completed.load(Relaxed),
        "faulted": COUNTS.faulted.load(Relaxed),
        "errors": COUNTS.answered_with_an_error.load(Relaxed),
        "aborted": {
            "before_first_byte": COUNTS.aborted[Phase::BeforeFirstByte as usize].load(Relaxed),
            "mid_stream": COUNTS.aborted[Phase::MidStream as usize].load(Relaxed),
            "generating": COUNTS.aborted[Phase::Generating as usize].load(Relaxed),
            "total": COUNTS.aborted.iter().map(|cell| cell.load(Relaxed)).sum::<u64>(),
        },
        "running": COUNTS.running.load(Relaxed),
        "faults": *lock(&COUNTS.faults),
        "models": accounts(&lock(&COUNTS.models)),
        "keys": accounts(&lock(&COUNTS.keys)),
    })
    .to_string()
}

fn accounts(all: &BTreeMap<String, Arc<Account>>) -> Value {
    let rows = all.iter().filter_map(|(name, account)| {
        let ends = ["completed", "faulted", "aborted"].into_iter().zip(&account.ends);
        let ends: serde_json::Map<_, _> = ends
            .filter(|(_, sums)| sums.requests.load(Relaxed) > 0)
            .map(|(end, sums)| {
                let cells = sums.cells().map(|(cell, n)| (cell.to_owned(), n.load(Relaxed).into()));
                (end.to_owned(), Value::Object(cells.into_iter().collect()))
            })
            .collect();
        (!ends.is_empty()).then(|| (name.clone(), Value::Object(ends)))
    });
    Value::Object(rows.collect())
}

/// The body of GET /mock/aborts: the newest aborts, the oldest first.
pub fn aborts() -> String {
    let aborts = lock(&COUNTS.aborts);
    let rows = aborts.iter().map(|abort| {
        let phase = match abort.phase {
            Phase::BeforeFirstByte => "before_first_byte",
            Phase::MidStream => "mid_stream",
            Phase::Generating => "generating",
        };
        let Abort { tag, noticed, output, .. } = abort;
        json!({"tag": tag, "phase": phase, "noticed_ns": noticed, "output": output})
    });
    Value::Array(rows.collect()).to_string()
}

/// Everything is zero again, but for what is running.
pub fn reset() {
    let singles = [&COUNTS.answered_with_an_error, &COUNTS.completed, &COUNTS.faulted];
    for cell in singles.into_iter().chain(&COUNTS.by_endpoint).chain(&COUNTS.aborted) {
        cell.store(0, Relaxed);
    }
    for accounts in [&COUNTS.models, &COUNTS.keys] {
        for account in lock(accounts).values() {
            for (_, cell) in account.ends.iter().flat_map(Sums::cells) {
                cell.store(0, Relaxed);
            }
        }
    }
    lock(&COUNTS.faults).clear();
    lock(&COUNTS.aborts).clear();
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics while holding it")
}
