//! What is learned of a stream while it passes: its usage, how much was said, how it ends.
//!
//! Owns the events of each endpoint's stream. It changes nothing and keeps no text; an event that
//! it cannot read is said to be so and counts for nothing. Invariants: a stream is complete only
//! once its last event was seen, in the words of its endpoint; usage is a provider's word only if
//! nothing was generated after it; and what is said to be finished has said why it stopped.

use std::borrow::Cow;

use crate::http::sse::Event;

use super::estimate;
use super::json::{Kind, Malformed, Reader, Text};
use super::reported::{ProviderError, Reported};
use super::spoken::{spoken, spoken_in};
use super::{Endpoint, Usage};

/// Looks at the events of one stream.
#[derive(Clone, Debug)]
pub struct Tap {
    endpoint: Endpoint,
    reported: Reported,
    /// The report is about all that was generated.
    is_final: bool,
    deltas: u64,
    text_bytes: u64,
    complete: bool,
    /// Choices that have begun, and that have said why they stopped: one bit for each.
    begun: u128,
    finished: u128,
    error: Option<Box<ProviderError>>,
    /// The number the next event would have (Responses).
    sequence: u64,
}

/// What an event was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Something was generated.
    Delta,
    /// Nothing but the usage that `stream_options.include_usage` asks for: to be hidden from a
    /// client that did not ask.
    Usage,
    /// The stream has failed: see [`Tap::error`].
    Error,
    /// The stream is complete.
    Done,
    /// Anything else that belongs to a stream, comments too.
    Other,
    /// Its data is not what it should be.
    Malformed,
}

/// The members of a chunk, or of a response or a message in an event, that mean something.
enum Member {
    Choices,
    Usage,
    Error,
}

/// What was read of an event before it is believed.
#[derive(Debug, Default)]
struct Chunk<'a> {
    kind: Option<Cow<'a, str>>,
    bytes: u64,
    /// How many choices it has, if it has a list of them.
    choices: Option<u32>,
    /// Which of them have begun, and have stopped; of a message the first.
    begun: u128,
    finished: u128,
    reported: Option<Reported>,
    error: Option<ProviderError>,
    /// An error's members beside the event's type (Responses).
    flat: ProviderError,
    sequence: Option<u64>,
}

// === impl Tap ===

impl Tap {
    /// For a stream of this endpoint.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Tap {
        Tap {
            endpoint,
            reported: Reported::default(),
            is_final: false,
            deltas: 0,
            text_bytes: 0,
            complete: false,
            begun: 0,
            finished: 0,
            error: None,
            sequence: 0,
        }
    }

    /// Looks at the stream's next event.
    pub fn event(&mut self, event: &Event<'_>) -> Seen {
        let fields = event.fields();
        match &fields.data {
            Some(data) => self.data(fields.name, data),
            None => Seen::Other,
        }
    }

    /// Looks at the stream's next event, by its name and data.
    pub fn data(&mut self, name: &[u8], data: &[u8]) -> Seen {
        let is_chat = matches!(self.endpoint, Endpoint::ChatCompletions | Endpoint::Completions);
        match data.trim_ascii() {
            b"[DONE]" if is_chat => {
                self.complete = true;
                return Seen::Done;
            }
            b"" | b"[DONE]" => return Seen::Other,
            _ => {}
        }
        let chunk = if is_chat { Chunk::of_chat(data) } else { Chunk::of_typed(data) };
        let Ok(chunk) = chunk else { return Seen::Malformed };
        match self.endpoint {
            _ if is_chat => self.chat(chunk),
            Endpoint::Messages => self.messages(name, chunk),
            _ => self.responses(name, chunk),
        }
    }

    /// What it cost, by the provider's last word; `None` as long as that was not said.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.is_final.then(|| self.reported.usage(self.endpoint.dialect())).flatten()
    }

    /// How many tokens were generated, from what was seen of them.
    #[must_use]
    pub fn output_estimate(&self) -> u64 {
        estimate::output(self.text_bytes, self.deltas)
    }

    /// What to charge for: the provider's word, or else what is known of it and an estimate; then
    /// the second is true.
    #[must_use]
    pub fn usage_or_estimate(&self, input_estimate: u64) -> (Usage, bool) {
        if let Some(usage) = self.usage() {
            return (usage, false);
        }
        let known = self.reported.usage(self.endpoint.dialect());
        let known = known.unwrap_or(Usage { input: input_estimate, ..Usage::default() });
        (Usage { output: known.output.max(self.output_estimate()), ..known }, true)
    }

    /// Whether the stream's last event was seen.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// The last event of a stream that lacks nothing else: all of its choices, so many, have said
    /// why they stopped. Some senders leave it away.
    #[must_use]
    pub fn last_event(&self, choices: u32) -> Option<&'static [u8]> {
        let all = self.finished == self.begun && self.finished.count_ones() >= choices.max(1);
        if self.complete || self.error.is_some() || !all {
            return None;
        }
        match self.endpoint {
            Endpoint::ChatCompletions | Endpoint::Completions => Some(b"data: [DONE]\n\n"),
            Endpoint::Messages => {
                Some(b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n")
            }
            _ => None,
        }
    }

    /// What the provider said went wrong.
    #[must_use]
    pub fn error(&self) -> Option<&ProviderError> {
        self.error.as_deref()
    }

    /// Events in which something was generated.
    #[must_use]
    pub fn deltas(&self) -> u64 {
        self.deltas
    }

    /// Bytes of text that was generated.
    #[must_use]
    pub fn text_bytes(&self) -> u64 {
        self.text_bytes
    }

    /// The number that the stream's next event has (Responses).
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The endpoint whose stream it is.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    fn chat(&mut self, chunk: Chunk<'_>) -> Seen {
        if let Some(error) = chunk.error {
            return self.failed(error);
        }
        let has_usage = chunk.reported.is_some();
        self.stops(&chunk);
        let seen = self.said(chunk.bytes);
        self.report(chunk.reported, true);
        match seen {
            Seen::Other if has_usage && chunk.choices == Some(0) => Seen::Usage,
            seen => seen,
        }
    }

    fn messages(&mut self, name: &[u8], chunk: Chunk<'_>) -> Seen {
        let kind = chunk.kind(name);
        if chunk.error.is_some() || kind == b"error" {
            return self.failed(chunk.error.unwrap_or(chunk.flat));
        }
        // What `message_start` says of the output is how it began.
        let is_final = kind == b"message_delta";
        let is_end = kind == b"message_stop";
        if is_final {
            self.stops(&chunk);
        }
        let seen = self.said(chunk.bytes);
        self.report(chunk.reported, is_final);
        if is_end {
            self.complete = true;
            return Seen::Done;
        }
        seen
    }

    fn responses(&mut self, name: &[u8], chunk: Chunk<'_>) -> Seen {
        if let Some(number) = chunk.sequence {
            self.sequence = number.saturating_add(1);
        }
        let kind = chunk.kind(name);
        match kind {
            b"response.completed" | b"response.incomplete" | b"response.cancelled" => {
                self.report(chunk.reported, true);
                self.complete = true;
                Seen::Done
            }
            b"response.failed" => {
                self.report(chunk.reported, true);
                self.failed(chunk.error.unwrap_or_default())
            }
            b"error" => self.failed(chunk.error.unwrap_or(chunk.flat)),
            // Sound and images are base64.
            _ if kind.ends_with(b".delta") && !kind.ends_with(b"audio.delta") => {
                self.said(chunk.bytes)
            }
            _ => match chunk.error {
                Some(error) if chunk.kind.is_none() => self.failed(error),
                _ => Seen::Other,
            },
        }
    }

    fn said(&mut self, bytes: u64) -> Seen {
        if bytes == 0 {
            return Seen::Other;
        }
        self.text_bytes = self.text_bytes.saturating_add(bytes);
        self.deltas += 1;
        self.is_final = false;
        Seen::Delta
    }

    fn stops(&mut self, chunk: &Chunk<'_>) {
        self.begun |= chunk.begun;
        self.finished |= chunk.finished;
    }

    fn report(&mut self, reported: Option<Reported>, is_final: bool) {
        if let Some(reported) = reported {
            self.reported.update(&reported);
            self.is_final = is_final;
        }
    }

    fn failed(&mut self, error: ProviderError) -> Seen {
        self.error = Some(Box::new(error));
        Seen::Error
    }
}

// === impl Member ===

impl Member {
    #[inline(always)]
    fn of(name: &Text<'_>) -> Option<Member> {
        match &*name.name() {
            b"choices" => Some(Member::Choices),
            b"usage" => Some(Member::Usage),
            b"error" => Some(Member::Error),
            _ => None,
        }
    }
}

// === impl Chunk ===

impl<'a> Chunk<'a> {
    /// A chunk of a chat or a completion: what it says is in its choices.
    fn of_chat(data: &'a [u8]) -> Result<Chunk<'a>, Malformed> {
        let mut chunk = Chunk::default();
        let mut reader = Reader::new(data);
        reader.begin_object()?;
        while let Some(member) = reader.next_known(Member::of)? {
            match member {
                Member::Choices if reader.kind()? == Kind::Array => {
                    let mut choices = 0_u32;
                    reader.begin_array()?;
                    while reader.next_element()? {
                        choices = choices.saturating_add(1);
                        chunk.choice(&mut reader)?;
                    }
                    chunk.choices = Some(choices);
                }
                Member::Choices => _ = reader.skip()?,
                Member::Usage => chunk.reported = Reported::read(&mut reader)?,
                Member::Error => chunk.error = ProviderError::read(&mut reader)?,
            }
        }
        reader.end()?;
        Ok(chunk)
    }

    fn choice(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        if reader.kind()? != Kind::Object {
            return reader.skip().map(drop);
        }
        let (mut index, mut stops) = (0, false);
        reader.begin_object()?;
        while let Some(name) = reader.next_member()? {
            let kind = reader.kind()?;
            match () {
                () if name.is("index") && kind == Kind::Number => {
                    index = reader.number()?.integer().unwrap_or(0);
                }
                () if name.is("finish_reason") && kind == Kind::String => {
                    stops = !reader.string()?.is_empty();
                }
                () => self.bytes += spoken_in(&name, reader)?,
            }
        }
        let bit = 1 << index.min(u64::from(u128::BITS - 1));
        self.begun |= bit;
        self.finished |= if stops { bit } else { 0 };
        Ok(())
    }

    /// An event with a type: of a response or a message.
    fn of_typed(data: &'a [u8]) -> Result<Chunk<'a>, Malformed> {
        let mut chunk = Chunk::default();
        let mut reader = Reader::new(data);
        reader.begin_object()?;
        while let Some(name) = reader.next_member()? {
            chunk.member(&name, &mut reader)?;
        }
        reader.end()?;
        Ok(chunk)
    }

    fn member(&mut self, name: &Text<'_>, reader: &mut Reader<'a>) -> Result<(), Malformed> {
        let kind = reader.kind()?;
        match (&*name.name(), kind) {
            (b"type", Kind::String) => {
                self.kind = reader.string()?.decoded();
            }
            (b"delta", Kind::String) => self.bytes += reader.string()?.len() as u64,
            (b"delta", Kind::Object) => {
                reader.begin_object()?;
                while let Some(name) = reader.next_member()? {
                    if name.is("stop_reason") && reader.kind()? == Kind::String {
                        self.finished = u128::from(!reader.string()?.is_empty());
                        self.begun = self.finished;
                    } else {
                        self.bytes += spoken_in(&name, reader)?;
                    }
                }
            }
            (b"delta" | b"content_block", _) => self.bytes += spoken(reader)?,
            (b"message" | b"response", Kind::Object) => {
                reader.begin_object()?;
                while let Some(member) = reader.next_known(Member::of)? {
                    match member {
                        Member::Usage => self.usage(reader)?,
                        Member::Error => self.error = ProviderError::read(reader)?,
                        Member::Choices => _ = reader.skip()?,
                    }
                }
            }
            (b"usage", _) => self.usage(reader)?,
            (b"error", _) => self.error = ProviderError::read(reader)?,
            (b"sequence_number", Kind::Number) => self.sequence = reader.number()?.integer(),
            (b"code" | b"message", Kind::String) => self.flat.member(name, reader)?,
            _ => _ = reader.skip()?,
        }
        Ok(())
    }

    fn usage(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        self.reported = Reported::read(reader)?.or(self.reported);
        Ok(())
    }

    /// Its type: what its data says, else its name.
    fn kind<'c>(&'c self, name: &'c [u8]) -> &'c [u8] {
        self.kind.as_deref().map_or(name, str::as_bytes)
    }
}

#[cfg(test)]
mod tests;
