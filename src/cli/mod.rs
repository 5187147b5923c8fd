//! The command line: one file a verb. Exit codes: 0 done, 1 could not start or run, 2 bad usage, 3
//! the configuration is wrong, 4 refused (of `keys`), or the two configurations differ (of `diff`).

mod check;
mod demo;
mod diff;
mod keys;
mod routes;
mod serve;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The process ended as asked.
pub const DONE: u8 = 0;
/// It could not start, or not go on.
pub const FAILED: u8 = 1;
/// The configuration is wrong.
pub const WRONG_CONFIG: u8 = 3;
/// A reload would change something.
pub const DIFFERENT: u8 = 4;

/// An edge gateway: TLS, routing, pooled upstreams, on io_uring.
///
/// Without a command, runs the demo: a listener on 127.0.0.1:8080, admin on 127.0.0.1:9901, and an
/// origin inside the process.
#[derive(Parser)]
#[command(name = "ringway", version, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
}

const AFTER_HELP: &str = "\
Signals: SIGHUP reloads the configuration and certificates; SIGTERM (or SIGINT) drains and ends, a second
SIGINT ends at once; SIGUSR1 reopens the access log.
Exit codes: 0 ended as asked; 1 could not start or run; 2 bad usage; 3 the configuration is wrong;
4 refused (of `keys`), or the two configurations differ (of `diff`).
Documentation: docs/configuration.md (every key), docs/operations.md (running it).";

#[derive(Subcommand)]
enum Verb {
    /// Serve a configuration file until SIGTERM.
    Serve {
        /// The configuration (TOML).
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Check a configuration and print what it would serve.
    Check {
        /// The configuration (TOML).
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Print the route table of a configuration.
    Routes {
        /// The configuration (TOML).
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Print what a reload from one configuration to another would change; exits 4 if anything.
    Diff {
        /// The configuration in force (TOML).
        #[arg(value_name = "OLD")]
        old: PathBuf,
        /// The one to come (TOML).
        #[arg(value_name = "NEW")]
        new: PathBuf,
        #[arg(long, value_enum, default_value_t = diff::Form::Text)]
        format: diff::Form,
    },
    /// Make, list, rotate, disable and delete API keys, with or without a gateway that runs.
    Keys(keys::Args),
    /// Add up what requests to models came to: tokens and money by key, team, model, day ...
    Usage(usage::Args),
    /// Serve the built-in demo (what `ringway` alone does).
    Demo(demo::Args),
}

/// Runs the command line.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    ExitCode::from(match cli.verb {
        None => demo::run(&demo::Args::default()),
        Some(Verb::Demo(args)) => demo::run(&args),
        Some(Verb::Serve { config }) => serve::run(&config),
        Some(Verb::Check { file }) => check::run(&file),
        Some(Verb::Diff { old, new, format }) => diff::run(&old, &new, format),
        Some(Verb::Routes { file }) => routes::run(&file),
        Some(Verb::Keys(args)) => keys::run(&args),
        Some(Verb::Usage(args)) => usage::run(&args),
    })
}

/// Starts the process log on standard error.
fn start_log(level: crate::config::Level) {
    use crate::config::Level;
    use std::io::IsTerminal;
    let level = match level {
        Level::Error => tracing::Level::ERROR,
        Level::Warn => tracing::Level::WARN,
        Level::Info => tracing::Level::INFO,
        Level::Debug => tracing::Level::DEBUG,
        Level::Trace => tracing::Level::TRACE,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}

/// Prints configuration errors as a compiler would.
fn complain(diagnostics: &[crate::config::Diagnostic]) -> u8 {
    for diagnostic in diagnostics {
        eprintln!("error: {diagnostic}");
    }
    eprintln!("{} error(s)", diagnostics.len());
    WRONG_CONFIG
}
