//! One line a request: what is known of it, and how it is written.
//!
//! A [`Record`] borrows; a [`Format`] is compiled once per load; a line is written into a buffer
//! the worker keeps, and from there into its ring. Nothing allocates, nothing reads a clock.
//! Invariant: whatever bytes a client sends, a line is one line, its JSON parses, and a quoted
//! field of the text forms cannot be left. Every field is cut to its bound in `bounds`, so a line
//! always fits [`LineBuf`].

use core::net::{IpAddr, SocketAddr};

use super::cells::WorkerCells;
use super::ring::{Pushed, Pusher};
use crate::clock::Wall;
use crate::failure::Failure;

mod date;
pub mod field;
mod json;
mod kept;
mod line;
mod query;
mod template;
mod text;

pub use date::Dates;
pub use kept::Kept;
pub use line::{LineBuf, Plain};
pub use query::{MASKED_BY_DEFAULT, MaskList, QueryPolicy};
pub use template::{Template, TemplateError};

/// All that is known of a request when it has ended. Empty bytes, `None` and 0 where marked mean
/// that it is not known, or that there was none.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// When the answer was complete.
    pub time: Wall,
    /// Who asked, after trusted forwarding headers.
    pub client: IpAddr,
    /// From which port; 0 if a forwarding header named the client.
    pub client_port: u16,
    /// Whom an authorizer has found the client to be; empty if none has.
    pub subject: &'a str,
    /// Claims: name, NUL, text, NUL, and so on.
    pub claims: &'a [u8],
    /// Names out of the config; empty where the request got none.
    pub listener: Plain<'a>,
    pub api: Plain<'a>,
    pub route: &'a str,
    pub stage: &'a str,
    pub api_version: &'a str,
    /// Served by the stage's canary.
    pub canary: bool,
    /// The request line and the host, as received.
    pub method: Plain<'a>,
    pub host: Plain<'a>,
    pub path: &'a [u8],
    /// What stands behind the first `?`, without it.
    pub query: Option<&'a [u8]>,
    /// `HTTP/1.1`.
    pub version: &'static str,
    pub status: u16,
    pub failure: Option<Failure>,
    /// What exactly failed, in a word of our own: never the client's bytes.
    pub detail: &'static str,
    /// The names of the API key and of its plan, where one was shown.
    pub key: &'a str,
    pub plan: &'a str,
    /// The name of the limit that refused it.
    pub limit: &'a str,
    /// Why the tunnel ended, if the request opened one.
    pub tunnel_end: &'static str,
    /// How a gRPC call ended.
    pub grpc_status: Option<u8>,
    pub request_id: Plain<'a>,
    pub traceparent: Plain<'a>,
    /// To and from the client, heads and bodies.
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub upstream: Plain<'a>,
    pub endpoint: Option<SocketAddr>,
    /// How often the request was sent to an endpoint; 0 if never.
    pub attempts: u32,
    pub upstream_reused: bool,
    pub total_ns: u64,
    pub upstream_connect_ns: Option<u64>,
    pub upstream_first_byte_ns: Option<u64>,
    pub upstream_ns: Option<u64>,
    pub user_agent: &'a [u8],
    pub referer: &'a [u8],
    /// `TLSv1.3`; empty without TLS.
    pub tls_version: &'static str,
    pub sni: &'a [u8],
    /// Which request of its connection it is, from 1.
    pub connection_requests: u32,
    /// What was asked of a model.
    pub llm: Option<LlmRecord<'a>>,
}

/// What is known of a request to a model besides.
#[derive(Clone, Copy, Debug, Default)]
pub struct LlmRecord<'a> {
    /// As the client wrote it.
    pub model: &'a str,
    /// Names out of the config; empty if no provider was asked.
    pub provider: Plain<'a>,
    pub served_model: &'a str,
    pub tokens_in: u64,
    pub tokens_out: u64,
    pub tokens_cached: u64,
    /// In 10^-12 USD.
    pub cost_pico: u64,
    pub ttft_us: Option<u64>,
    /// The tokens are the gateway's estimate.
    pub estimated: bool,
}

/// How a line is written: compiled once per load.
#[derive(Clone, Debug)]
pub struct Format {
    shape: Shape,
    query: QueryPolicy,
}

#[derive(Clone, Debug)]
enum Shape {
    Json,
    Combined,
    Template(Template),
}

/// A worker's end of the access log: its buffer, its dates, its ring.
pub struct WorkerLog {
    line: LineBuf,
    dates: Dates,
    pusher: Pusher,
    wake: Box<dyn Fn() + Send>,
}

// === impl Record ===

impl Record<'_> {
    /// The gateway's own share of the time.
    #[must_use]
    pub fn gateway_ns(&self) -> u64 {
        self.total_ns.saturating_sub(self.upstream_ns.unwrap_or(0))
    }
}

// === impl Format ===

impl Format {
    /// One JSON object a line; what is not known is left out.
    #[must_use]
    pub fn json() -> Format {
        Format::of(Shape::Json)
    }

    /// nginx's and Apache's `combined`.
    #[must_use]
    pub fn combined() -> Format {
        Format::of(Shape::Combined)
    }

    /// Text with `{field}`s in it; `{{` and `}}` are braces. See [`field::TABLE`] for the fields.
    pub fn parse_template(source: &str) -> Result<Format, TemplateError> {
        Ok(Format::of(Shape::Template(Template::parse(source)?)))
    }

    /// What becomes of query strings, instead of masking [`MASKED_BY_DEFAULT`].
    #[must_use]
    pub fn with_query(self, query: QueryPolicy) -> Format {
        Format { query, ..self }
    }

    /// Writes the record's line, newline included, in place of what `out` held.
    pub fn write(&self, record: &Record<'_>, dates: &mut Dates, out: &mut LineBuf) {
        out.clear();
        dates.set(record.time);
        match &self.shape {
            Shape::Json => json::write(record, &self.query, dates, out),
            Shape::Combined => text::write_combined(record, &self.query, dates, out),
            Shape::Template(template) => template.write(record, &self.query, dates, out),
        }
        out.byte(b'\n');
    }

    fn of(shape: Shape) -> Format {
        Format { shape, query: QueryPolicy::default() }
    }
}

// === impl WorkerLog ===

impl WorkerLog {
    /// A log that pushes into `pusher`; `wake` is called when the ring becomes half full.
    #[must_use]
    pub fn new(pusher: Pusher, wake: Box<dyn Fn() + Send>) -> WorkerLog {
        WorkerLog { line: LineBuf::new(), dates: Dates::new(), pusher, wake }
    }

    /// Writes one line into the ring, or counts that it was dropped.
    pub fn log(&mut self, format: &Format, record: &Record<'_>, cells: &WorkerCells) {
        format.write(record, &mut self.dates, &mut self.line);
        let pushed = self.pusher.push(self.line.bytes());
        cells.logged(pushed != Pushed::Dropped);
        if pushed == Pushed::HalfFull {
            (self.wake)();
        }
    }
}

#[cfg(test)]
mod tests;
