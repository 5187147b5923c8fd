//! `ringway usage`: what requests to models came to, as a table, CSV or JSON.
//!
//! Reads `usage.db` in the state directory by a connection of its own, also while a gateway writes
//! it; a gateway that keeps its ledger in memory is asked at its admin address. Both give the same
//! JSON, from which everything here is printed. Invariant: nothing is changed, and money is printed
//! as the exact decimal that it is.

mod print;

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::keys::{Door, Failed, coded};
use crate::clock::{self, Tick};
use crate::config;
use crate::control::ledger::{self, Question};

const AFTER_HELP: &str = "\
Columns to group by and to choose by: key, team, api, operation, model, provider, served (the
provider's own name for the model), outcome (ok, or the name of the failure), day, hour (UTC).
Times: how long ago (90m, 24h, 7d), a date (2027-01-31), or 2027-01-31T12:00:00Z.

Examples:
  ringway usage --config ringway.toml --by key,model --since 24h
  ringway usage --state-dir /var/lib/ringway --by day --where team=search --since 2027-01-01
  ringway usage --config ringway.toml --by key --since 2027-01-01 --until 2027-02-01 --format csv

Exit codes: 0 done; 1 the ledger cannot be read; 2 bad usage; 3 the configuration is wrong.";

/// `ringway usage`.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// The gateway's configuration: its state directory, or its admin address.
    #[arg(short, long, value_name = "FILE", required_unless_present_any = ["state_dir", "admin"])]
    config: Option<PathBuf>,
    /// The state directory itself.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["config", "admin"])]
    state_dir: Option<PathBuf>,
    /// The admin address of a gateway that runs.
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
    /// A file that holds the admin token.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// What to group by, with commas between several.
    #[arg(long, value_name = "COLUMNS", default_value = "")]
    by: String,
    /// The first moment.
    #[arg(long, value_name = "TIME", default_value = "24h")]
    since: String,
    /// The moment after the last; now without it.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only requests with this value; may stand several times, and all must hold.
    #[arg(long = "where", value_name = "COLUMN=VALUE")]
    only: Vec<String>,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Table,
    Csv,
    Json,
}

/// The arguments themselves are wrong.
const BAD_USAGE: u8 = 2;

/// Does it; the exit code.
pub fn run(args: &Args) -> u8 {
    let now = clock::wall();
    let only = args.only.iter().map(String::as_str);
    let read = Question::read(&args.by, &args.since, args.until.as_deref(), only, now);
    let question = match read {
        Ok(question) => question,
        Err((name, why)) => {
            eprintln!("error: --{name}: {why}");
            return BAD_USAGE;
        }
    };
    match answer(args, &question) {
        Ok(answer) => {
            print::answer(args.format, &answer);
            super::DONE
        }
        Err(Failed::Config(diagnostics)) => super::complain(&diagnostics),
        Err(Failed::Refused(why) | Failed::Unable(why)) => {
            eprintln!("error: {why}");
            super::FAILED
        }
    }
}

fn answer(args: &Args, question: &Question) -> Result<Value, Failed> {
    if let Some(dir) = &args.state_dir {
        return read(dir, question);
    }
    let config = match &args.config {
        Some(file) => Some(config::load(file).map_err(Failed::Config)?.config),
        None => None,
    };
    let kept = config.as_ref().and_then(|config| config.gateway.state_dir.as_ref());
    match kept {
        Some(dir) if args.admin.is_none() => read(&dir.path, question),
        _ => ask(args, config.as_ref()),
    }
}

/// From the file.
fn read(dir: &Path, question: &Question) -> Result<Value, Failed> {
    let file = dir.join(ledger::FILE);
    if !file.exists() {
        return Err(Failed::Unable(format!(
            "there is no usage ledger {}: a gateway with this gateway.state_dir makes it",
            file.display()
        )));
    }
    let conn = ledger::open_to_read(dir).map_err(|error| Failed::Unable(error.to_string()))?;
    question.answer(&conn, Tick::NEVER).map_err(|why| Failed::Unable(why.to_string()))
}

/// From a gateway that runs: what it has in memory is nowhere else.
fn ask(args: &Args, config: Option<&config::Config>) -> Result<Value, Failed> {
    let url = match (&args.admin, config) {
        (Some(url), _) => url.clone(),
        (None, Some(config)) if config.admin.enabled => config.admin.address.to_string(),
        _ => {
            let why = "gateway.state_dir, where the usage ledger would be, is not set, and there \
                       is no admin server to ask";
            return Err(Failed::Unable(why.to_owned()));
        }
    };
    let mut door = Door::to_gateway(&url, args.token_file.as_deref(), config)?;
    let mut path = format!("/usage?by={}&since={}", coded(&args.by), coded(&args.since));
    if let Some(until) = &args.until {
        path.push_str(&format!("&until={}", coded(until)));
    }
    if args.only.iter().any(|condition| condition.contains(',')) {
        return Err(Failed::Unable("--where: a gateway takes no comma in a value".to_owned()));
    }
    if !args.only.is_empty() {
        path.push_str(&format!("&where={}", coded(&args.only.join(","))));
    }
    door.ask("GET", &path, None)
}
