//! An answer that comes as a stream of events: each goes on as soon as it is whole.
//!
//! What a provider sends in the client's own dialect passes byte for byte, but for the event that
//! only the gateway has asked for; what it sends in the other dialect is translated event by event.
//! A tap reads along. Invariants: the head goes out with the first event, so that a stream that
//! begins with an error can still be asked of somebody else; one that breaks off ends with an error
//! in the client's dialect, never with what looks complete, and its connection is closed.

use super::attempt::{Heard, Way, begin, is_reusable};
use super::whole::of_body;
use super::{Chat, Fault};
use crate::clock::{self, Tick, nanos};
use crate::failure::{Details, Failure, Told};
use crate::http::sse::{Event, Events, Place};
use crate::integration::Exchange;
use crate::integration::http::client_failure;
use crate::llm::dialect::{Back, Stamp, Stream};
use crate::llm::{self, Endpoint, Seen, Tap};
use crate::message::{Body, BodySize, Reply};
use crate::net::buffer::Buf;
use crate::net::patience::{Ended, Patience};
use crate::snapshot::Attempt;

/// What comes before the answer itself (comments, a message's head) is kept back so long: an error
/// that follows can then be made good by somebody else. After that a client wants a sign of life.
const FRONT: std::time::Duration = std::time::Duration::from_secs(5);
/// The most of it that is kept back.
const FRONT_BYTES_MAX: usize = 64 << 10;
/// How long a stream that has said its last word may take to end.
const FAREWELL: std::time::Duration = std::time::Duration::from_secs(1);

/// A stream on its way.
struct Relay<'r, 'c, 'w, 'p, 'b> {
    exchange: &'r mut Exchange<'c>,
    chat: &'r mut Chat<'c>,
    way: &'r Way<'w, 'p>,
    entry: &'r mut Attempt,
    reply: &'r mut Reply<'b>,
    tap: Tap,
    /// `None`: the provider speaks the client's dialect.
    translator: Option<Box<Stream>>,
    /// An error has been passed on, in the provider's words.
    told: bool,
    /// What came before the answer itself; `None` once that has begun.
    front: Option<Vec<u8>>,
}

/// What becomes of an event.
enum Fate {
    /// It goes on as it came.
    Passes,
    /// Something else goes in its place, or nothing does.
    Replaced,
}

/// Passes a stream on, event by event. No async fn: what one is given it holds to its end, and what
/// it makes of that as well.
pub(super) fn relay<'a, 'c>(
    exchange: &'a mut Exchange<'c>,
    chat: &'a mut Chat<'c>,
    way: &'a Way<'_, '_>,
    (entry, asked, back): (&'a mut Attempt, Endpoint, Option<Back>),
    reply: &'a mut Reply<'_>,
    answer: Heard<'a>,
) -> impl Future<Output = Result<(), Fault>> {
    let Heard { lease, response, mut block, .. } = answer;
    block.consume(response.len);
    let translator = back.map(|back| {
        let id = String::from_utf8_lossy(&exchange.ids.request);
        Box::new(back.stream(&Stamp { unix: clock::wall().seconds(), id: &id }))
    });
    let patience = way.patience(exchange);
    if let Some(watch) = patience.client {
        watch.stays();
    }
    chat.begun();
    let mut relay = Relay {
        exchange,
        chat,
        way,
        entry,
        reply,
        tap: Tap::new(asked),
        translator,
        told: false,
        front: Some(Vec::new()),
    };
    async move {
        let mut body = lease.body(response, block);
        body.expect_small_parts();
        let ended = relay.run(&mut body, &patience).await;
        relay.note();
        if let Err(fault) = ended {
            return Err(Box::pin(relay.broken(fault)).await);
        }
        if body.is_done() && is_reusable(body, response) {
            lease.give_back(clock::coarse());
        }
        Ok(())
    }
}

// === impl Relay ===

impl Relay<'_, '_, '_, '_, '_> {
    async fn run(&mut self, body: &mut Body<'_>, patience: &Patience<'_>) -> Result<(), Fault> {
        let mut events = Events::default();
        let mut next = body.ready().map_err(|failed| of_body(&failed, patience))?;
        let mut now = clock::now();
        loop {
            if let Some(data) = next {
                self.pass(&mut events, data, now).await?;
            }
            if body.is_done() {
                break;
            }
            let complete = self.tap.is_complete();
            let patience = if complete { patience.with_idle(FAREWELL) } else { *patience };
            let before = clock::now();
            let arrived = body.next(&patience).await;
            now = clock::now();
            let waited = nanos(now.since(before));
            self.exchange.upstream_ns = self.exchange.upstream_ns.map(|ns| ns + waited);
            next = match arrived {
                // A body that ends with its connection is done only now.
                Ok(None) => break,
                // It has said all there was to say.
                Err(failed) if complete && !is_client_gone(&failed) => break,
                next => next.map_err(|failed| of_body(&failed, &patience))?,
            };
        }
        self.end(&events).await
    }

    /// Passes on what whole events there are in what came `now`.
    async fn pass(&mut self, events: &mut Events, mut data: Buf, now: Tick) -> Result<(), Fault> {
        self.chat.said(data.filled());
        let (mut at, mut passed) = (0, 0);
        // Only what cannot go on in the buffer it came in is copied.
        let mut copied: Option<Vec<u8>> = None;
        let (mut deltas, mut others) = (0, true);
        loop {
            let event = events.next(data.filled(), &mut at);
            let Some(event) = event.map_err(|_| Fault::unusable())? else { break };
            let mut out = Vec::new();
            let fate = self.judge(&event, &mut out, &mut deltas, &mut others)?;
            match (&event.place, fate) {
                (Place::Chunk(range), Fate::Passes)
                    if copied.is_none() && range.start == passed =>
                {
                    passed = range.end;
                }
                (_, fate) => {
                    let copied = copied.get_or_insert_with(|| data.filled()[..passed].to_vec());
                    match fate {
                        Fate::Passes => copied.extend_from_slice(event.bytes),
                        Fate::Replaced => copied.extend_from_slice(&out),
                    }
                }
            }
        }
        if deltas > 0 {
            self.tokens(now);
        }
        if let Some(mut front) = self.front.take() {
            front.extend_from_slice(copied.as_deref().unwrap_or(&data.filled()[..passed]));
            let waited = now.since(self.way.asked_at);
            if others && waited < FRONT && front.len() < FRONT_BYTES_MAX {
                self.front = Some(front);
                return Ok(());
            }
            return self.send_copied(&front).await;
        }
        match copied {
            Some(bytes) => self.send_copied(&bytes).await,
            None if passed == 0 => Ok(()),
            None => {
                data.truncate(passed);
                self.send(data).await
            }
        }
    }

    /// Reads an event; what goes in its place, if anything does, is put into `out`.
    fn judge(
        &mut self,
        event: &Event<'_>,
        out: &mut Vec<u8>,
        deltas: &mut u32,
        others: &mut bool,
    ) -> Result<Fate, Fault> {
        let seen = self.tap.event(event);
        *others &= seen == Seen::Other;
        match &seen {
            Seen::Delta => *deltas += 1,
            Seen::Error if !self.reply.has_started() => {
                let error = self.tap.error().cloned().unwrap_or_default();
                return Err(Fault::reported(error.fault(), &error));
            }
            Seen::Error => self.told = true,
            Seen::Malformed => return Err(Fault::unusable()),
            Seen::Usage | Seen::Done | Seen::Other => {}
        }
        let Some(translator) = &mut self.translator else {
            let hides = seen == Seen::Usage && !self.chat.asked.includes_usage;
            return Ok(if hides { Fate::Replaced } else { Fate::Passes });
        };
        let fields = event.fields();
        if let Some(data) = &fields.data {
            translator.event(fields.name, data, out).map_err(|_| Fault::unusable())?;
        }
        Ok(Fate::Replaced)
    }

    /// Some of the answer itself has come.
    fn tokens(&mut self, now: Tick) {
        let since = nanos(now.since(self.exchange.started));
        let chat = &mut *self.chat;
        let cells = self.way.cells.operation(chat.endpoint.operation());
        match chat.first_token_ns {
            None => {
                chat.first_token_ns = Some(since);
                cells.first_chunk_after(nanos(now.since(self.way.asked_at)));
            }
            Some(_) => cells.next_chunk_after(nanos(now.since(chat.last_token))),
        }
        chat.last_token = now;
    }

    async fn send_copied(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let mut part = Buf::with_room(rest.len());
            let n = part.put_some(rest);
            rest = &rest[n..];
            self.send(part).await?;
        }
        Ok(())
    }

    async fn send(&mut self, data: Buf) -> Result<(), Fault> {
        let client = &self.way.client;
        let sent = if self.reply.has_started() {
            self.reply.data(client, data, false).await
        } else {
            let now = clock::now();
            self.entry.succeeded(now, now.since(self.way.asked_at));
            self.exchange.status = 200;
            self.chat.let_body_go();
            let media = b"text/event-stream; charset=utf-8";
            begin(self.exchange, self.chat, self.way, self.reply, media, BodySize::Unknown);
            // Boxed: the parts that follow take less.
            Box::pin(self.reply.send_head(client, Some(data), false)).await
        };
        sent.map_err(|ended| Fault::last(client_failure(&ended)))
    }

    /// Ends the answer, if it is complete.
    async fn end(&mut self, events: &Events) -> Result<(), Fault> {
        let mut out = Vec::new();
        // Some leave the last empty line away.
        if let Some(event) = events.cut() {
            match self.judge(&event, &mut out, &mut 0, &mut true)? {
                Fate::Passes if self.tap.is_complete() => {
                    out.extend_from_slice(event.bytes);
                    out.extend_from_slice(b"\n\n");
                }
                _ => {}
            }
        }
        // Others the last event: what ended in order after it has said why it stopped is whole.
        if let Some(last) = self.tap.last_event(self.chat.asked.choices) {
            let (mut events, mut at) = (Events::default(), 0);
            let event = events.next(last, &mut at).map_err(|_| Fault::unusable())?;
            if let Some(event) = event
                && let Fate::Passes = self.judge(&event, &mut out, &mut 0, &mut true)?
            {
                out.extend_from_slice(last);
            }
        }
        if !self.tap.is_complete() || self.told {
            return Err(Fault::unusable());
        }
        if let Some(front) = self.front.take() {
            out.splice(..0, front);
        }
        if let Some(translator) = &mut self.translator
            && !translator.finish(&mut out)
        {
            self.told = true;
            self.send_copied(&out).await?;
            return Err(Fault::unusable());
        }
        self.send_copied(&out).await?;
        if !self.reply.has_started() {
            return Err(Fault::unusable());
        }
        let ended = self.reply.end(&self.way.client, std::iter::empty()).await;
        ended.map_err(|ended| Fault::last(client_failure(&ended)))
    }

    /// What the tap knows of what was used.
    fn note(&mut self) {
        let (usage, estimated) = self.tap.usage_or_estimate(self.chat.input_estimate());
        self.chat.learn(usage, estimated);
    }

    /// Tells the client in its own dialect that there will be no more.
    async fn broken(&mut self, fault: Fault) -> Fault {
        if matches!(fault.failure, Failure::ClientGone | Failure::ClientStalled) {
            return fault;
        }
        if !self.reply.has_started() {
            // Nothing of it has reached anybody; but if some of it came, it may be billed.
            let begun = self.front.as_ref().is_none_or(|front| !front.is_empty());
            if !begun || self.tap.error().is_some() {
                self.chat.forgiven();
            }
            return fault;
        }
        let row = fault.failure.row();
        let mut out = Vec::new();
        if !self.told {
            let details = Details::new().message("The provider broke off its answer.");
            let told = Told {
                failure: fault.failure,
                request_id: &self.exchange.ids.request,
                reason: "",
                details: Some(&details),
            };
            match &mut self.translator {
                Some(translator) => translator.broken(row.kind, told.message(), &mut out),
                None => {
                    let next = self.tap.sequence();
                    llm::broken_stream(self.chat.endpoint, &told, next, &mut out);
                }
            }
        }
        match self.send_copied(&out).await {
            Ok(()) => {
                // The event says that it broke. A body that is cut as well would cost clients the
                // event: fetch throws away what it has buffered when the body fails.
                let client = &self.way.client;
                let ended = self.reply.end(client, std::iter::empty()).await;
                match ended {
                    Ok(()) => Fault { cause: None, ..fault },
                    Err(ended) => Fault::last(client_failure(&ended)),
                }
            }
            Err(gone) => gone,
        }
    }
}

fn is_client_gone(failed: &crate::message::Failed) -> bool {
    matches!(failed, crate::message::Failed::Ended(Ended::ClientGone))
}
