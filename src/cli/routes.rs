//! `ringway routes FILE`: the route table, listener by listener.

use std::path::Path;

use crate::control::house::routes;

/// Prints the table; the exit code.
#[expect(clippy::print_stdout, reason = "what the verb is for")]
pub fn run(file: &Path) -> u8 {
    match super::check::compile(file) {
        Ok(snapshot) => {
            print!("{}", routes::text(&snapshot));
            super::DONE
        }
        Err(diagnostics) => super::complain(&diagnostics),
    }
}
