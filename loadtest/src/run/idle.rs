//! `--idle`: opens many connections, makes each one a real one (handshake, one request), then
//! holds them while a script or `--pid` looks at the memory of the other side.

use std::cell::{Cell, RefCell};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::Spec;
use super::exchange::{Cut, Line, Outcome};
use super::proc::Usage;
use super::report::bytes;
use crate::cli::RunArgs;
use crate::clock::{self, Nanos};
use crate::dice::Dice;

/// Connections being opened at the same time.
const OPENING: usize = 64;

struct Opener {
    spec: Arc<Spec>,
    silent: bool,
    left: Cell<usize>,
    busy: Cell<usize>,
    failed: Cell<usize>,
    held: RefCell<Vec<Line>>,
}

pub fn main(args: &RunArgs, spec: &Arc<Spec>, count: usize) -> Result<ExitCode, String> {
    raise_descriptor_limit(count)?;
    let before = usages(&args.pid)?;
    let opener = Rc::new(Opener {
        spec: Arc::clone(spec),
        silent: args.silent,
        left: Cell::new(count),
        busy: Cell::new(0),
        failed: Cell::new(0),
        held: RefCell::default(),
    });
    let begun = clock::now();
    let hold = args.hold;
    let pids = args.pid.clone();
    let run = async {
        for _ in 0..OPENING.min(count) {
            monoio::spawn(Rc::clone(&opener).open());
        }
        opener.wait_until_open().await;
        let took = clock::now() - begun;
        eprintln!("holding {} connections", opener.held.borrow().len());
        monoio::time::sleep(hold).await;
        (took, usages(&pids))
    };
    let (took, after) = crate::ring::block_on(args.io, run).map_err(|e| e.to_string())?;
    let after = after?;
    let held = opener.held.borrow().len();
    let alive = opener.held.borrow_mut().iter_mut().filter(|line| line.is_alive()).count();
    print(args, &opener, (held, alive, took), &before, &after);
    let complete = alive == count;
    if !complete {
        eprintln!("INVALID: {alive} of {count} connections were open to the end");
    }
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

fn usages(pids: &[u32]) -> Result<Vec<Usage>, String> {
    pids.iter().map(|&pid| Usage::of(pid)).collect()
}

#[expect(clippy::print_stdout, reason = "the report is what the program is for")]
#[expect(clippy::cast_precision_loss, reason = "a report needs no 53 bits")]
fn print(
    args: &RunArgs,
    opener: &Opener,
    (held, alive, took): (usize, usize, Nanos),
    before: &[Usage],
    after: &[Usage],
) {
    let grown = |at: usize| after[at].rss_bytes as f64 - before[at].rss_bytes as f64;
    let each = |at: usize| grown(at) / held.max(1) as f64;
    if args.json {
        let processes = args.pid.iter().enumerate().map(|(at, pid)| {
            json!({
                "pid": pid,
                "rss_bytes_before": before[at].rss_bytes,
                "rss_bytes_after": after[at].rss_bytes,
                "rss_bytes_per_connection": each(at),
                "cpu_seconds": clock::seconds(after[at].since(&before[at])),
            })
        });
        let report = json!({
            "valid": alive == opener.spec.connections,
            "held": held,
            "alive_at_end": alive,
            "failed": opener.failed.get(),
            "opening_seconds": clock::seconds(took),
            "processes": processes.collect::<Vec<_>>(),
        });
        println!("{report:#}");
        return;
    }
    println!(
        "held {held} connections ({} failed, {alive} alive at the end), opened in {:.2} s",
        opener.failed.get(),
        clock::seconds(took)
    );
    for (at, pid) in args.pid.iter().enumerate() {
        println!(
            "pid {pid}: RSS {} -> {}, {:.0} bytes per connection",
            bytes(before[at].rss_bytes),
            bytes(after[at].rss_bytes),
            each(at)
        );
    }
}

// === impl Opener ===

impl Opener {
    /// One of several tasks that open connections until none is left to open.
    async fn open(self: Rc<Self>) {
        let mut dice = Dice::new(self.spec.seed);
        while self.left.get() > 0 {
            self.left.set(self.left.get() - 1);
            self.busy.set(self.busy.get() + 1);
            let mut line = Line::new(Arc::clone(&self.spec));
            let overdue = monoio::spawn(cut_when_overdue(&line, self.spec.timeout));
            let well = if self.silent {
                line.open().await.is_ok()
            } else {
                let template = self.spec.mix.choose(&mut dice);
                let bytes = template.render(0, &mut dice);
                let report = line.exchange(template, bytes, |_, _| ()).await;
                match report.outcome {
                    Outcome::Answered(answer) => self.spec.expects(answer.status),
                    _ => false,
                }
            };
            drop(overdue);
            line.lease.deadline.set(Nanos::MAX);
            if well {
                self.held.borrow_mut().push(line);
            } else {
                self.failed.set(self.failed.get() + 1);
            }
            self.busy.set(self.busy.get() - 1);
        }
    }

    async fn wait_until_open(&self) {
        while self.left.get() > 0 || self.busy.get() > 0 {
            monoio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn cut_when_overdue(line: &Line, timeout: Nanos) -> impl Future<Output = ()> + use<> {
    let lease = Rc::clone(&line.lease);
    async move {
        monoio::time::sleep(Duration::from_nanos(timeout)).await;
        if lease.deadline.get() <= clock::now() {
            lease.cut(Cut::TimedOut);
        }
    }
}

/// Every connection is a descriptor.
fn raise_descriptor_limit(connections: usize) -> Result<(), String> {
    let wanted = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(64);
    crate::sys::raise_descriptor_limit(wanted)
        .map_err(|e| format!("{connections} connections need as many descriptors: {e} (ulimit -n)"))
}
