//! `ringway-load mock-llm`: a language model's API without a model. OpenAI's and Anthropic's
//! endpoints, streamed and not, tokens at a pace, tools, faults on demand, and counters that prove
//! what a gateway did. Owns the flags and what the connections of a thread share.
//!
//! Invariant: what a request costs and how long it takes follows from the request and the flags
//! alone, so that a test can compute it.

use std::cell::RefCell;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use monoio::net::TcpStream;
use serde_json::{Value, json};

use self::fault::Shares;
use self::options::Options;
use crate::cli::MockArgs;
use crate::dice::Dice;
use crate::listen::{self, Tls};
use crate::transport::{TlsStream, Transport};

mod asked;
mod chat;
mod conn;
mod counters;
mod draft;
mod fault;
mod line;
mod messages;
mod options;
mod play;
mod refusal;
mod responses;
mod schema;
mod text;
mod vectors;
mod wire;

pub const HELP: &str = "\
Endpoints, found by the end of the path: /v1/chat/completions /v1/completions /v1/embeddings
/v1/responses (OpenAI), /v1/messages /v1/messages/count_tokens (Anthropic), GET /v1/models.

Tokens:  an answer's words are `t0 t1 t2 ...`, one token and one event each. JSON and a tool's
         arguments come in pieces of 8 bytes, one token each; a tool's name is one more.
         Input is ceil(bytes of all text / 4), 85 for each image, 10 for each tool.
Tools:   called if tool_choice forces it, or if the last message says `call the tool` or
         `call all tools`; the arguments follow the tool's schema.
Options: by the model's name, mock-OPTION... or claude-mock-OPTION..., or by fields (which win):
         t32 (x-mock-tokens) p5ms (-pace) f20ms (-first) k3 (-at: token of a fault in the middle)
         r8 (-reasoning) c10 (-cached) w10 (-written) a2s (-retry-after) s7 (-split: bytes a send)
         stamp (-stamp: words carry the time they were sent)  crlf  cr (ends of lines)
Faults:  fault-NAME at the end of the model's name, x-mock-fault, or --fault NAME:SHARE:
         400 to 599 (429 and 503 with Retry-After) rate-limit overloaded quota context
         stall reset close slow (before the first byte; slow takes two seconds)
         stall-mid reset-mid truncate end-early error-mid endless huge (in the middle)
         error-first garbage garbage-http no-usage no-done
Control: GET /mock/counters, GET /mock/aborts (who left when), POST /mock/reset,
         POST /mock/faults with a body like 429:0.5,stall:0.1 (an empty one ends them)

Examples:
  ringway-load mock-llm --listen 127.0.0.1:9100 --tokens 32 --pace 20ms --first 100ms
  curl -N http://127.0.0.1:9100/v1/completions \\
    -d '{\"model\":\"mock-t5\",\"stream\":true,\"prompt\":\"hi\"}'
";

/// What the flags say; the same for all threads.
pub struct Config {
    options: Options,
    keys: Vec<String>,
    models: Vec<String>,
    shares: Shares,
}

/// What the connections of one thread share.
pub struct Shared {
    config: Arc<Config>,
    tls: Tls,
    dice: RefCell<Dice>,
}

pub fn main(args: MockArgs) -> Result<ExitCode, String> {
    let shares = Shares::default();
    shares.set(args.fault.iter().map(String::as_str))?;
    let options = Options::of_process(&args);
    let config = Arc::new(Config { options, keys: args.keys, models: args.models, shares });
    let threads = Arc::new(std::sync::atomic::AtomicU64::new(args.seed));
    listen::run(&args.listen, move |listeners, tls| {
        let seed = threads.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let dice = RefCell::new(Dice::new(seed));
        let shared = Rc::new(Shared { config: Arc::clone(&config), tls, dice });
        listen::accept(listeners, move |stream, _| serve(stream, Rc::clone(&shared)))
    })
}

async fn serve(stream: TcpStream, shared: Rc<Shared>) {
    let _ = stream.set_nodelay(true);
    let transport = match &shared.tls {
        None => Transport::Plain(stream),
        Some(config) => {
            let Ok(session) = rustls::ServerConnection::new(Arc::clone(config)) else {
                return;
            };
            match TlsStream::handshake(stream, session.into()).await {
                Ok(tls) => Transport::Tls(Box::new(tls)),
                Err(_) => return,
            }
        }
    };
    // How it ended is counted where it ended.
    let _ = conn::Conn::new(transport, shared).serve().await;
}

// === impl Shared ===

impl std::ops::Deref for Shared {
    type Target = Config;

    fn deref(&self) -> &Config {
        &self.config
    }
}

impl Shared {
    /// Twenty-four digits that no other answer has.
    pub fn id(&self) -> String {
        let mut dice = self.dice.borrow_mut();
        format!("{:016x}{:08x}", dice.next(), dice.next() >> 32)
    }

    pub fn has_model(&self, name: &str) -> bool {
        self.models.iter().any(|known| match known.strip_suffix('*') {
            Some(begin) => name.starts_with(begin),
            None => name == known,
        })
    }
}

/// GET /v1/models, and one of them.
fn catalogue(models: &[String], path: &str, anthropic: bool) -> Option<String> {
    let (_, rest) = path.split_once("/models")?;
    let one = |name: &str| -> Value {
        if anthropic {
            let made = "2025-01-01T00:00:00Z";
            json!({"type": "model", "id": name, "display_name": name, "created_at": made})
        } else {
            json!({"id": name, "object": "model", "created": 1_735_689_600, "owned_by": "mock"})
        }
    };
    if let Some(name) = rest.strip_prefix('/') {
        return Some(one(name).to_string());
    }
    let names: Vec<_> = models.iter().map(|name| name.trim_end_matches(['*', '-'])).collect();
    let list: Vec<_> = names.iter().map(|name| one(name)).collect();
    Some(if anthropic {
        let (first, last) = (names.first(), names.last());
        json!({"data": list, "has_more": false, "first_id": first, "last_id": last}).to_string()
    } else {
        json!({"object": "list", "data": list}).to_string()
    })
}
