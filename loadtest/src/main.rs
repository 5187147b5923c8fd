//! `ringway-load`: an open-loop load generator and the origins it is measured against. Flags in,
//! one verb run, an exit code out: 0 done, 1 could not run, 2 usage, 3 the run is not valid.
//!
//! This crate never depends on the gateway, so that a fault in the gateway's own code cannot
//! hide itself by being on both sides of the wire.

use std::process::ExitCode;

mod chats;
mod chunked;
mod cli;
mod clock;
mod dice;
mod h2;
mod listen;
mod mock;
mod origin;
mod ring;
mod run;
mod sys;
mod tls;
mod transport;
mod units;
mod wake;
mod websocket;

fn main() -> ExitCode {
    let _ = clock::now(); // fixes the zero of all times
    let result = match cli::parse(std::env::args_os()).verb {
        cli::Verb::Run(args) => run::main(*args),
        cli::Verb::Origin(args) => origin::main(&args),
        cli::Verb::MockLlm(args) => mock::main(args),
        cli::Verb::Llm(args) => chats::main(&args),
    };
    result.unwrap_or_else(|message| {
        eprintln!("ringway-load: {message}");
        ExitCode::FAILURE
    })
}
