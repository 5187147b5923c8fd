//! Scripts and programs in Python and Node, run to their end: clients that others wrote. What is
//! not installed is said, for a scenario that is skipped must not look like one that was run.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use super::system::python_with;

/// Runs a script of `tests/it/python` to its end; all it tries must pass. Where Python lacks the
/// modules, that is said.
pub fn python_passes(script: &str, modules: &str, args: &[&str]) {
    let path = format!("{}/tests/it/python/{script}", env!("CARGO_MANIFEST_DIR"));
    if let Some(python) = python_with(modules) {
        let output = Command::new(python).arg(path).args(args).output().expect("python3 runs");
        eprintln!("{}", passed(&format!("{script} {args:?}"), &output));
    }
}

/// What a program in Python prints.
pub fn python_runs(program: &str, modules: &str) -> Option<String> {
    let output = Command::new(python_with(modules)?).args(["-c", program]).output();
    Some(passed(program, &output.expect("python3 runs")))
}

/// A script of `tests/it/node`, with the packages that `.ci/run` puts into target/node.
pub fn node_passes(script: &str, args: &[&str]) {
    let path = format!("{}/tests/it/node/{script}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("a script");
    if let Some(said) = node_with(&text, args) {
        eprintln!("{said}");
    }
}

/// What a program in JavaScript prints.
pub fn node_runs(program: &str) -> Option<String> {
    node_with(program, &[])
}

fn node_with(program: &str, args: &[&str]) -> Option<String> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let home = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/target/node"));
    let has_node = Command::new("node").arg("--version").output().is_ok();
    if !has_node || !home.join("node_modules/openai").exists() {
        eprintln!("skipped: no node here has the packages of tests/it/node (.ci/run has them)");
        return None;
    }
    // Node looks for packages where a program is, so it has to be beside them.
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let beside = home.join(format!("{}-{next}.mjs", std::process::id()));
    std::fs::write(&beside, program).expect("a file");
    let output = Command::new("node").arg(&beside).args(args).output().expect("node runs");
    let _ = std::fs::remove_file(&beside);
    Some(passed(program, &output))
}

/// What it printed; it must have ended well.
fn passed(what: &str, output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    let said = format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err));
    assert!(output.status.success(), "{what}:\n{said}");
    said
}
