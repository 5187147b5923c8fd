//! The room as a whole: golden diagnostics, the examples, the documentation, include files, reload
//! diffs.

mod examples;
mod files;
mod golden;
mod mutants;
mod reload;

use std::path::PathBuf;

use super::{Diagnostic, Loaded, parse_str};

/// A directory of the repository.
fn root(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn good(text: &str) -> Loaded {
    parse_str(text, "test.toml").unwrap_or_else(|errors| panic!("{}", told(&errors)))
}

/// Diagnostics, one a line.
fn told(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(|diagnostic| format!("{diagnostic}\n")).collect()
}

const MINIMAL: &str = include_str!("../../config/minimal.toml");
