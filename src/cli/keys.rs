//! `ringway keys`: makes, shows, changes API keys.
//!
//! Asks the gateway that runs; where none does, it works on the store in its state directory
//! itself, and a gateway that has that open picks the change up. Invariant: a secret is printed
//! when it is made, and to standard output only.

mod door;
mod print;

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::config;
pub use door::{Door, Failed, coded};

/// Nothing of that name, or one too many.
const REFUSED: u8 = 4;

const AFTER_HELP: &str = "\
The gateway that runs is asked if it answers at the admin address of the configuration (or at
--admin); otherwise the store in gateway.state_dir is changed directly. Changes ask for the admin
token: from --token-file, the variable RINGWAY_ADMIN_TOKEN, or where admin.token says.

Examples:
  ringway keys create acme --config ringway.toml --owner 'Acme Inc.' --plan gold --tag team=orders
  ringway keys list --config ringway.toml --tag team=orders
  ringway keys rotate acme --config ringway.toml --grace 2h
  ringway keys disable acme --admin http://127.0.0.1:9901 --token-file admin.token
  KEY=$(ringway keys create ci --config ringway.toml --format json | jq -r .secret)

Exit codes: 0 done; 1 the gateway or the store cannot be asked; 2 bad usage; 3 the configuration is
wrong; 4 refused: there is no such key, or one already, or the token or a value is wrong.";

/// What to do with keys.
#[derive(clap::Subcommand)]
pub enum Verb {
    /// Make a key; its secret is printed once.
    Create(Box<Create>),
    /// List keys.
    List(List),
    /// Show a key.
    Show(Named),
    /// Give a key a new secret, printed once; the old ones hold on for a grace period.
    Rotate(Rotate),
    /// Have a key refused until it is enabled again.
    Disable(Named),
    /// Have a disabled key accepted again.
    Enable(Named),
    /// Take a key out for good.
    Delete(Named),
}

/// Which gateway, and how to print.
#[derive(clap::Args)]
pub struct Whom {
    /// The gateway's configuration: its admin address, token and state directory.
    #[arg(short, long, value_name = "FILE", required_unless_present = "admin")]
    config: Option<PathBuf>,
    /// The admin address of a gateway that runs.
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
    /// A file that holds the admin token.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Table,
    Json,
}

#[derive(clap::Args)]
pub struct Create {
    /// What the key is to be known by.
    name: String,
    #[command(flatten)]
    whom: Whom,
    /// Whose it is.
    #[arg(long)]
    owner: Option<String>,
    /// A tag; may stand several times.
    #[arg(long = "tag", value_name = "NAME=VALUE", value_parser = tag)]
    tags: Vec<(String, String)>,
    /// A usage plan; may stand several times.
    #[arg(long = "plan", value_name = "PLAN")]
    plans: Vec<String>,
    /// When it ends to be good: 2027-01-31, or 2027-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time)]
    expires: Option<String>,
    /// An API (`orders`) or a stage (`orders/prod`) it is good for; may stand several times.
    #[arg(long = "api", value_name = "API[/STAGE]")]
    apis: Vec<String>,
    /// A version it is good for; may stand several times.
    #[arg(long = "version-name", value_name = "VERSION")]
    versions: Vec<String>,
    /// A route it is good for, such as 'orders GET /pets/{id}'; may stand several times.
    #[arg(long = "route", value_name = "API KEY")]
    routes: Vec<String>,
    /// Where its requests may come from, such as 10.0.0.0/8; may stand several times.
    #[arg(long = "network", value_name = "NETWORK")]
    networks: Vec<String>,
    /// A language model it is good for, such as 'gpt-4o*'; may stand several times.
    #[arg(long = "model", value_name = "MODEL")]
    models: Vec<String>,
    /// Made, but refused until it is enabled.
    #[arg(long)]
    disabled: bool,
    /// The SHA-256 of a secret of your own, as `printf %s SECRET | sha256sum` prints it.
    #[arg(long, value_name = "HEX")]
    sha256: Option<String>,
}

#[derive(clap::Args)]
pub struct List {
    #[command(flatten)]
    whom: Whom,
    /// Only keys of this owner.
    #[arg(long)]
    owner: Option<String>,
    /// Only keys of this usage plan.
    #[arg(long)]
    plan: Option<String>,
    /// Only keys with this tag: NAME or NAME=VALUE.
    #[arg(long)]
    tag: Option<String>,
    /// Only keys in this state.
    #[arg(long, value_parser = ["active", "disabled", "expired"])]
    state: Option<String>,
}

#[derive(clap::Args)]
pub struct Named {
    /// The key's name.
    name: String,
    #[command(flatten)]
    whom: Whom,
}

#[derive(clap::Args)]
pub struct Rotate {
    /// The key's name.
    name: String,
    #[command(flatten)]
    whom: Whom,
    /// How long the old secrets hold on: 30s, 2h, 7d; 0s for not at all.
    #[arg(long, default_value = "1d", value_parser = grace)]
    grace: u64,
    /// The SHA-256 of a secret of your own.
    #[arg(long, value_name = "HEX")]
    sha256: Option<String>,
}

/// `ringway keys VERB`.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

/// Does it; the exit code.
pub fn run(args: &Args) -> u8 {
    match done(&args.verb) {
        Ok(()) => super::DONE,
        Err(Failed::Config(diagnostics)) => super::complain(&diagnostics),
        Err(Failed::Refused(why)) => {
            eprintln!("error: {why}");
            REFUSED
        }
        Err(Failed::Unable(why)) => {
            eprintln!("error: {why}");
            super::FAILED
        }
    }
}

fn done(verb: &Verb) -> Result<(), Failed> {
    match verb {
        Verb::Create(create) => {
            let mut door = Door::open(&create.whom)?;
            let key = door.ask("POST", "/keys", Some(&create.body()))?;
            print::made(create.whom.format, &key);
        }
        Verb::List(list) => {
            let mut door = Door::open(&list.whom)?;
            print::list(list.whom.format, &all(&mut door, &list.filter())?);
        }
        Verb::Show(named) => {
            let mut door = Door::open(&named.whom)?;
            print::one(named.whom.format, &door.ask("GET", &named.path(""), None)?);
        }
        Verb::Rotate(rotate) => {
            let mut door = Door::open(&rotate.whom)?;
            let path = format!("/keys/{}/rotate", door::coded(&rotate.name));
            let mut body = json!({ "grace_seconds": rotate.grace });
            if let Some(hex) = &rotate.sha256 {
                body["digest"] = digest(hex).into();
            }
            print::made(rotate.whom.format, &door.ask("POST", &path, Some(&body))?);
        }
        Verb::Disable(named) => enable(named, false)?,
        Verb::Enable(named) => enable(named, true)?,
        Verb::Delete(named) => {
            Door::open(&named.whom)?.ask("DELETE", &named.path(""), None)?;
            if named.whom.format == Format::Table {
                print::say(&format!("{} is deleted", named.name));
            }
        }
    }
    Ok(())
}

fn enable(named: &Named, enabled: bool) -> Result<(), Failed> {
    let mut door = Door::open(&named.whom)?;
    let key = door.ask("PATCH", &named.path(""), Some(&json!({ "enabled": enabled })))?;
    print::one(named.whom.format, &key);
    Ok(())
}

/// All pages of a list.
fn all(door: &mut Door, filter: &str) -> Result<Vec<Value>, Failed> {
    let (mut keys, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/keys?limit=1000&after={}{filter}", door::coded(&after));
        let mut page = door.ask("GET", &path, None)?;
        keys.extend(page["keys"].as_array_mut().map(std::mem::take).unwrap_or_default());
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => return Ok(keys),
        }
    }
}

// === impl Create ===

impl Create {
    fn body(&self) -> Value {
        let tags: Map<String, Value> =
            self.tags.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        let mut body = json!({
            "name": self.name,
            "enabled": !self.disabled,
            "expires": self.expires,
            "owner": self.owner.as_deref().unwrap_or_default(),
            "tags": tags,
            "plans": self.plans,
            "allow": {
                "apis": self.apis, "versions": self.versions, "routes": self.routes,
                "networks": self.networks, "models": self.models,
            },
        });
        if let Some(hex) = &self.sha256 {
            body["digest"] = digest(hex).into();
        }
        body
    }
}

// === impl List ===

impl List {
    fn filter(&self) -> String {
        let filters = [
            ("owner", &self.owner),
            ("plan", &self.plan),
            ("tag", &self.tag),
            ("state", &self.state),
        ];
        let given = filters.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        given.map(|(name, value)| format!("&{name}={}", door::coded(value))).collect()
    }
}

// === impl Named ===

impl Named {
    fn path(&self, more: &str) -> String {
        format!("/keys/{}{more}", door::coded(&self.name))
    }
}

fn digest(hex: &str) -> String {
    // sha256sum writes the name of the file behind it.
    let digits = hex.split_whitespace().next().unwrap_or_default();
    format!("sha256:{}", digits.trim_start_matches("sha256:"))
}

fn tag(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = pair.ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn time(text: &str) -> Result<String, String> {
    let moment = crate::config::Moment::parse(text);
    Ok(moment.ok_or("write 2027-01-31 or 2027-01-31T12:00:00Z")?.to_string())
}

fn grace(text: &str) -> Result<u64, String> {
    config::duration_of(text).map(|grace| grace.as_secs())
}
