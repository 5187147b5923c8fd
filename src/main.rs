//! The gateway's binary: flags, then `cli`.

use std::process::ExitCode;

use ringway::allocator::Mimalloc;

#[global_allocator]
static ALLOCATOR: Mimalloc = Mimalloc;

fn main() -> ExitCode {
    ringway::cli::main()
}
