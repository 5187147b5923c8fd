//! Turns a request target into what to do: a list of steps (send, wait, reset, close). Pure, so
//! every fault the origin can commit is tested as bytes, without a socket.
//!
//! Invariant: a target without a query gives the one default answer.

use std::time::Duration;

use crate::units;

/// The default answer's body: 42 bytes.
pub const BODY: &[u8; 42] = b"The quick brown origin answers at once. :)";

pub const DEFAULT: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\
Content-Length: 42\r\n\r\nThe quick brown origin answers at once. :)";

const SIZE_MAX: usize = 1 << 40;
/// Answers sent in pieces are laid out in memory first.
const STEPPED_BYTES_MAX: usize = 256 << 20;

/// A query, parsed. Every field is one parameter of the same name.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Recipe {
    pub size: Option<usize>,
    pub status: Option<u16>,
    pub delay: Duration,
    pub gap: Duration,
    pub chunked: bool,
    pub chunk: Option<usize>,
    pub sse: Option<usize>,
    pub close: bool,
    pub echo: bool,
    pub reset: bool,
    pub reset_after: Option<usize>,
    pub truncate: Option<usize>,
    pub stall: Option<Duration>,
    pub slow: Option<Duration>,
    pub drop: bool,
    pub early: bool,
    pub trailers: bool,
    pub continue_first: bool,
    pub bad: Option<&'static [u8]>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    Send(Vec<u8>),
    /// This many bytes of the body's pattern, beginning at this offset of the body.
    Pattern {
        offset: usize,
        len: usize,
    },
    /// One SSE event, counted when sent.
    Event(Vec<u8>),
    Wait(Duration),
    /// RST at once.
    Reset,
    /// FIN at once, whatever is missing.
    Close,
    /// Nothing more, until the peer goes away.
    Silence,
}

/// Byte `i` of any generated body is byte `i % 64` of this, so a reader can verify it.
pub const PATTERN: &[u8; 64] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-\n";

// === impl Recipe ===

impl Recipe {
    /// Unknown parameters are an error: a misspelt fault must not pass for a success.
    pub fn parse(query: &str) -> Result<Recipe, String> {
        let mut recipe = Recipe::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, "1"));
            recipe.set(name, value).map_err(|e| format!("{name}: {e}"))?;
        }
        let stepped = recipe.chunked || recipe.trailers || recipe.slow.is_some();
        let events = recipe.sse.map_or(1, |n| n.saturating_add(1));
        if (stepped || recipe.sse.is_some())
            && recipe.size.unwrap_or(1).saturating_mul(events) > STEPPED_BYTES_MAX
        {
            return Err("size: too large for an answer in pieces".into());
        }
        Ok(recipe)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let flag = value != "0";
        match name {
            "size" => self.size = Some(size(value)?),
            "status" => self.status = Some(status(value)?),
            "delay" => self.delay = units::duration(value)?,
            "gap" => self.gap = units::duration(value)?,
            "chunked" => self.chunked = flag,
            "chunk" => self.chunk = Some(size(value)?.max(1)),
            "sse" => self.sse = Some(size(value)?),
            "close" => self.close = flag,
            "echo" => self.echo = flag,
            "reset" => self.reset = flag,
            "reset_after" => self.reset_after = Some(size(value)?),
            "truncate" => self.truncate = Some(size(value)?),
            "stall" => self.stall = Some(units::duration(value)?),
            "slow" => self.slow = Some(units::duration(value)?),
            "drop" => self.drop = flag,
            "early" => self.early = flag,
            "trailers" => self.trailers = flag,
            "continue" => self.continue_first = flag,
            "bad" => self.bad = Some(bad(value)?),
            // Only makes targets differ, for tests that need distinct ones.
            "n" | "id" => {}
            _ => return Err("unknown parameter".into()),
        }
        Ok(())
    }

    /// An answer that needs no timing and commits no fault: it may be rendered once and kept.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let kept = Recipe { size: self.size, status: self.status, ..Recipe::default() };
        *self == kept && self.size.unwrap_or(0) <= 4 << 20
    }

    /// The steps of the answer. `echo` is the body to send instead of the pattern.
    #[must_use]
    pub fn steps(&self, is_head: bool, keep_alive: bool, echo: Option<Vec<u8>>) -> Vec<Step> {
        let mut steps = Vec::new();
        if !self.delay.is_zero() {
            steps.push(Step::Wait(self.delay));
        }
        if self.drop {
            steps.push(Step::Silence);
        } else if self.reset {
            steps.push(Step::Reset);
        } else if let Some(bytes) = self.bad {
            steps.extend([Step::Send(bytes.to_vec()), Step::Close]);
        } else if let Some(events) = self.sse {
            self.events(events, keep_alive, &mut steps);
        } else if self.chunked || self.trailers {
            self.chunks(keep_alive, &mut steps);
        } else {
            self.fixed(is_head, keep_alive, echo, &mut steps);
        }
        if let Some(pause) = self.slow {
            steps = slowed(steps, pause);
        }
        steps
    }

    fn head(&self, framing: &str, keep_alive: bool) -> Vec<u8> {
        let status = self.status.unwrap_or(200);
        let close = if self.close || !keep_alive { "Connection: close\r\n" } else { "" };
        let kind = if self.sse.is_some() { "text/event-stream" } else { "text/plain" };
        format!(
            "HTTP/1.1 {status} {}\r\nContent-Type: {kind}\r\n{framing}{close}\r\n",
            reason(status)
        )
        .into_bytes()
    }

    fn fixed(&self, is_head: bool, keep_alive: bool, echo: Option<Vec<u8>>, steps: &mut Vec<Step>) {
        let sent_only = self.truncate.or(self.reset_after);
        let mut size = self.size.or(echo.as_ref().map(Vec::len)).unwrap_or(BODY.len());
        if let Some(sent) = sent_only {
            size = size.max(sent + 1);
        }
        let empty = matches!(self.status, Some(204 | 304));
        let framing = if empty { String::new() } else { format!("Content-Length: {size}\r\n") };
        let mut head = self.head(&framing, keep_alive);
        if is_head || empty {
            steps.push(Step::Send(head));
            return;
        }
        let pattern = |offset, len| Step::Pattern { offset, len };
        if let Some(sent) = sent_only {
            let end = if self.reset_after.is_some() { Step::Reset } else { Step::Close };
            steps.extend([Step::Send(head), pattern(0, sent), end]);
        } else if let Some(pause) = self.stall {
            let half = size / 2;
            steps.extend([Step::Send(head), pattern(0, half), Step::Wait(pause)]);
            steps.push(pattern(half, size - half));
        } else if let Some(body) = echo {
            head.extend_from_slice(&body);
            steps.push(Step::Send(head));
        } else if self.size.is_none() {
            head.extend_from_slice(BODY);
            steps.push(Step::Send(head));
        } else {
            steps.extend([Step::Send(head), pattern(0, size)]);
        }
    }

    fn chunks(&self, keep_alive: bool, steps: &mut Vec<Step>) {
        let trailer_field = if self.trailers { "Trailer: X-Checksum\r\n" } else { "" };
        let framing = format!("Transfer-Encoding: chunked\r\n{trailer_field}");
        steps.push(Step::Send(self.head(&framing, keep_alive)));
        let size = self.size.unwrap_or(BODY.len());
        let chunk = self.chunk.unwrap_or(16 * 1024);
        let mut at = 0;
        while at < size {
            let len = chunk.min(size - at);
            if let Some(sent) = self.truncate.or(self.reset_after)
                && at + len > sent
            {
                let end = if self.reset_after.is_some() { Step::Reset } else { Step::Close };
                steps.push(Step::Send(format!("{len:x}\r\n").into_bytes()));
                steps.extend([Step::Pattern { offset: at, len: sent.saturating_sub(at) }, end]);
                return;
            }
            if at > 0 && !self.gap.is_zero() {
                steps.push(Step::Wait(self.gap));
            }
            if let Some(pause) = self.stall
                && at <= size / 2
                && at + len > size / 2
            {
                steps.push(Step::Wait(pause));
            }
            let mut piece = format!("{len:x}\r\n").into_bytes();
            piece.extend((at..at + len).map(|i| PATTERN[i % PATTERN.len()]));
            piece.extend_from_slice(b"\r\n");
            steps.push(Step::Send(piece));
            at += len;
        }
        let trailer = if self.trailers { "X-Checksum: 0\r\n" } else { "" };
        steps.push(Step::Send(format!("0\r\n{trailer}\r\n").into_bytes()));
    }

    fn events(&self, events: usize, keep_alive: bool, steps: &mut Vec<Step>) {
        steps.push(Step::Send(self.head("Transfer-Encoding: chunked\r\n", keep_alive)));
        for n in 0..events {
            if n > 0 && !self.gap.is_zero() {
                steps.push(Step::Wait(self.gap));
            }
            match (self.truncate, self.reset_after) {
                (Some(at), _) if n >= at => return steps.push(Step::Close),
                (_, Some(at)) if n >= at => return steps.push(Step::Reset),
                _ => {}
            }
            let pad = ".".repeat(self.size.unwrap_or(0));
            steps.push(Step::Event(as_chunk(&format!("data: {{\"n\":{n}}}{pad}\n\n"))));
        }
        let mut end = as_chunk("data: [DONE]\n\n");
        end.extend_from_slice(b"0\r\n\r\n");
        steps.push(Step::Send(end));
    }
}

fn as_chunk(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

/// Every byte by itself with a pause before it.
fn slowed(steps: Vec<Step>, pause: Duration) -> Vec<Step> {
    let mut slow = Vec::new();
    let mut drip = |bytes: &mut dyn Iterator<Item = u8>| {
        for byte in bytes {
            slow.extend([Step::Wait(pause), Step::Send(vec![byte])]);
        }
    };
    let mut tail = None;
    for step in steps {
        match step {
            Step::Send(bytes) | Step::Event(bytes) => drip(&mut bytes.into_iter()),
            Step::Pattern { offset, len } => {
                drip(&mut (offset..offset + len).map(|i| PATTERN[i % PATTERN.len()]));
            }
            Step::Wait(_) => {}
            end => tail = Some(end),
        }
    }
    slow.extend(tail);
    slow
}

fn size(value: &str) -> Result<usize, String> {
    units::size(value).and_then(|n| if n <= SIZE_MAX { Ok(n) } else { Err("too large".into()) })
}

fn status(value: &str) -> Result<u16, String> {
    match value.parse() {
        Ok(code @ 200..=599) => Ok(code),
        _ => Err("a final status is 200 to 599".into()),
    }
}

/// Answers no origin should give.
fn bad(name: &str) -> Result<&'static [u8], String> {
    Ok(match name {
        "garbage" => b"this is not http\r\n\r\n",
        "status" => b"HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n",
        "version" => b"HTTP/3.7 200 OK\r\nContent-Length: 0\r\n\r\n",
        "two_lengths" => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        "length_and_chunked" => {
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        }
        "length" => b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "length_overflow" => {
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nabc"
        }
        "coding" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        "chunk_size" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
        "chunk_overflow" => {
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc\r\n"
        }
        "chunk_end" => {
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n"
        }
        "bare_lf" => b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "obs_fold" => b"HTTP/1.1 200 OK\r\nX-A: b\r\n  c\r\nContent-Length: 0\r\n\r\n",
        "field_name" => b"HTTP/1.1 200 OK\r\nX A: b\r\nContent-Length: 0\r\n\r\n",
        "space_colon" => b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
        "nul" => b"HTTP/1.1 200 OK\r\nX-A: b\0c\r\nContent-Length: 0\r\n\r\n",
        "switch" => {
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
        }
        "excess" => b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\n\r\n",
        "huge_head" => {
            static HUGE: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
                let field = format!("X-Huge: {}\r\n", "h".repeat(1000));
                format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", field.repeat(1000)).into()
            });
            &HUGE
        }
        _ => return Err(format!("unknown kind `{name}`; one of {BAD_KINDS}")),
    })
}

/// The kinds `bad=` knows, for messages and the help.
pub const BAD_KINDS: &str = "garbage status version two_lengths length_and_chunked length \
length_overflow coding chunk_size chunk_overflow chunk_end bare_lf obs_fold field_name \
space_colon nul switch excess huge_head";

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        304 => "Not Modified",
        400 => "Bad Request",
        404 => "Not Found",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Whatever",
    }
}

#[cfg(test)]
#[path = "recipe_tests.rs"]
mod tests;
