//! An answer that comes as a whole. It is kept until all of it is here and has been read: one that
//! breaks off, or is none, is a reason to ask another provider, and the client never sees it.

use super::attempt::{Heard, Way, begin, is_reusable};
use super::{Chat, Fault};
use crate::bounds::LLM_ANSWER_BYTES_MAX;
use crate::clock;
use crate::failure::Failure;
use crate::integration::Exchange;
use crate::integration::http::client_failure;
use crate::llm::answer::{self as reading, Whole};
use crate::llm::dialect::{Back, Stamp};
use crate::llm::{Endpoint, Usage, estimate};
use crate::message::{BodySize, Failed, Reply};
use crate::net::buffer::Buf;
use crate::net::patience::{Ended, Patience};
use crate::snapshot::Attempt;

/// A body that is all here.
pub(super) enum Gathered {
    /// As it arrived.
    One(Buf),
    Many(Vec<u8>),
}

// === impl Gathered ===

impl Gathered {
    pub fn bytes(&self) -> &[u8] {
        match self {
            Gathered::One(buf) => buf.filled(),
            Gathered::Many(bytes) => bytes,
        }
    }

    pub fn into_vec(self) -> Vec<u8> {
        match self {
            Gathered::One(buf) => buf.filled().to_vec(),
            Gathered::Many(bytes) => bytes,
        }
    }
}

/// Passes a whole answer on.
pub(super) async fn relay(
    exchange: &mut Exchange<'_>,
    chat: &mut Chat<'_>,
    way: &Way<'_, '_>,
    (entry, asked, back): (&mut Attempt, Endpoint, Option<Back>),
    reply: &mut Reply<'_>,
    answer: Heard<'_>,
) -> Result<(), Fault> {
    let status = answer.response.status;
    chat.begun();
    let patience = way.patience(exchange);
    let head_at = answer.at;
    let gathered = gather(answer, &patience, LLM_ANSWER_BYTES_MAX).await;
    let now = match &gathered {
        // All of it came with its head.
        Ok(Gathered::One(_)) => head_at,
        _ => clock::now(),
    };
    exchange.upstream_ns = Some(clock::nanos(now.since(exchange.started)));
    // An answer that is cut was begun: it may be billed. What is none is not, nor is an error.
    let gathered = gathered?;
    chat.said(gathered.bytes());
    let read = understood(asked, gathered.bytes()).inspect_err(|_| chat.forgiven())?;
    match read.usage {
        Some(usage) => chat.learn(usage, false),
        None => {
            let input = chat.input_estimate();
            let output = estimate::output(read.output_bytes, 0);
            chat.learn(Usage { input, output, ..Usage::default() }, true);
        }
    }
    let gathered = match &back {
        None => gathered,
        Some(back) => translated(exchange, back, gathered.bytes())?,
    };
    entry.succeeded(now, now.since(way.asked_at));
    self::answer(exchange, chat, way, reply, status, gathered).await
}

/// What an answer says, if it is one.
fn understood(asked: Endpoint, bytes: &[u8]) -> Result<Whole, Fault> {
    let read = reading::read(asked, bytes).map_err(|_| Fault::unusable())?;
    match &read.error {
        Some(error) => Err(Fault::reported(error.fault(), error)),
        None => Ok(read),
    }
}

fn translated(exchange: &Exchange<'_>, back: &Back, bytes: &[u8]) -> Result<Gathered, Fault> {
    let id = String::from_utf8_lossy(&exchange.ids.request);
    let stamp = Stamp { unix: clock::wall().seconds(), id: &id };
    back.answer(bytes, &stamp).map(Gathered::Many).map_err(|_| Fault::unusable())
}

/// Reads an answer's body to its end; the connection is given back if it can be used again.
pub(super) async fn gather(
    answer: Heard<'_>,
    patience: &Patience<'_>,
    max: usize,
) -> Result<Gathered, Fault> {
    let Heard { lease, response, mut block, at } = answer;
    block.consume(response.len);
    let mut body = lease.body(response, block);
    let broken = |failed: Failed| of_body(&failed, patience);
    let first = body.ready().map_err(broken)?;
    let gathered = match first {
        Some(data) if body.is_done() => Gathered::One(data),
        first => {
            let mut bytes = first.map(|data| data.filled().to_vec()).unwrap_or_default();
            while !body.is_done() {
                let Some(data) = body.next(patience).await.map_err(broken)? else { break };
                if bytes.len() + data.len() > max {
                    return Err(Fault::last(Failure::ProviderError));
                }
                bytes.extend_from_slice(data.filled());
            }
            Gathered::Many(bytes)
        }
    };
    if is_reusable(body, response) {
        let now = if matches!(gathered, Gathered::One(_)) { at } else { clock::coarse() };
        lease.give_back(now);
    }
    Ok(gathered)
}

/// Why an answer's body cannot be read to its end.
pub(super) fn of_body(failed: &Failed, patience: &Patience<'_>) -> Fault {
    match failed {
        Failed::Ended(Ended::ClientGone) => Fault::last(Failure::ClientGone),
        Failed::Ended(Ended::Deadline) if clock::now() >= patience.until => {
            Fault::of_exchange(Failure::UpstreamTotalTimeout)
        }
        Failed::Ended(Ended::Deadline) => Fault::of_exchange(Failure::UpstreamIdleTimeout),
        Failed::Cut | Failed::Malformed(_) | Failed::Ended(Ended::Io(_)) => Fault::unusable(),
    }
}

/// Sends a whole answer.
pub(super) async fn answer(
    exchange: &mut Exchange<'_>,
    chat: &mut Chat<'_>,
    way: &Way<'_, '_>,
    reply: &mut Reply<'_>,
    status: u16,
    body: Gathered,
) -> Result<(), Fault> {
    exchange.status = status;
    let size = BodySize::Length(body.bytes().len() as u64);
    begin(exchange, chat, way, reply, b"application/json", size);
    let sent = match body {
        Gathered::One(buf) => reply.send_head(&way.client, Some(buf), true).await,
        Gathered::Many(bytes) => super::super::fixed::send(reply, &way.client, &bytes).await,
    };
    sent.map_err(|ended| Fault::last(client_failure(&ended)))
}
