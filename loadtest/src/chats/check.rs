//! Judges what a model said: a stream event by event, a whole answer at once. The mock numbers its
//! words, so that one that is missing, doubled, or from another answer is found. Pure.
//!
//! Invariant: how the bytes were split changes nothing, and an answer without a flaw is complete,
//! in order, and said once.

use serde::Deserialize;

use super::Dialect;

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flaw {
    NotJson,
    /// A word that is not one of the mock's.
    NotNumbered,
    /// A word that came before.
    Replayed,
    Skipped,
    TwoIds,
    /// The stream said that it broke.
    ErrorEvent,
    /// The body ended in good order, the stream did not.
    Incomplete,
    AfterEnd,
    /// The usage is missing, or not what came.
    WrongUsage,
    /// Usage that nobody asked for.
    UnaskedUsage,
}

/// What an answer is expected to look like.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    pub dialect: Dialect,
    pub usage: bool,
    pub numbered: bool,
}

/// Tokens as the answer's usage says them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub input: u64,
    pub output: u64,
}

pub struct Check {
    expected: Expected,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    data: Vec<u8>,
    id: Option<String>,
    /// The number of the next word.
    next: u64,
    has_finish: bool,
    is_over: bool,
    told: Option<Told>,
    reasoning: u64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow)]
    id: Option<&'a str>,
    #[serde(rename = "type")]
    kind: Option<&'a str>,
    choices: Option<Vec<Choice>>,
    usage: Option<Usage>,
    delta: Option<Delta>,
    message: Option<Message>,
    content: Option<Vec<Delta>>,
    stop_reason: Option<String>,
    error: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Choice {
    delta: Option<Delta>,
    message: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Delta {
    content: Option<String>,
    text: Option<String>,
    stop_reason: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Message {
    id: Option<String>,
    usage: Option<Usage>,
}

#[derive(Clone, Copy, Deserialize, Default)]
#[serde(default)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    completion_tokens_details: Option<Details>,
    input_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    output_tokens: u64,
}

#[derive(Clone, Copy, Deserialize, Default)]
#[serde(default)]
struct Details {
    reasoning_tokens: u64,
}

// === impl Flaw ===

impl Flaw {
    pub fn name(self) -> &'static str {
        match self {
            Flaw::NotJson => "not_json",
            Flaw::NotNumbered => "not_numbered",
            Flaw::Replayed => "replayed",
            Flaw::Skipped => "skipped",
            Flaw::TwoIds => "two_ids",
            Flaw::ErrorEvent => "error_event",
            Flaw::Incomplete => "incomplete",
            Flaw::AfterEnd => "after_end",
            Flaw::WrongUsage => "wrong_usage",
            Flaw::UnaskedUsage => "unasked_usage",
        }
    }
}

// === impl Check ===

impl Check {
    pub fn new(expected: Expected) -> Check {
        Check {
            expected,
            line: Vec::new(),
            data: Vec::new(),
            id: None,
            next: 0,
            has_finish: false,
            is_over: false,
            told: None,
            reasoning: 0,
        }
    }

    /// Words so far.
    pub fn words(&self) -> u64 {
        self.next
    }

    /// Takes the next bytes of a stream; every word goes to `word`, with its stamp.
    pub fn feed(&mut self, piece: &[u8], mut word: impl FnMut(Option<u64>)) -> Result<(), Flaw> {
        let mut rest = piece;
        while let Some(at) = memchr::memchr(b'\n', rest) {
            self.line.extend_from_slice(&rest[..at]);
            rest = &rest[at + 1..];
            let mut line = std::mem::take(&mut self.line);
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            let taken = self.take_line(&line, &mut word);
            line.clear();
            self.line = line;
            taken?;
        }
        self.line.extend_from_slice(rest);
        Ok(())
    }

    fn take_line(&mut self, line: &[u8], word: &mut impl FnMut(Option<u64>)) -> Result<(), Flaw> {
        if let Some(data) = line.strip_prefix(b"data:") {
            self.data.extend_from_slice(data.strip_prefix(b" ").unwrap_or(data));
            return Ok(());
        }
        if !line.is_empty() || self.data.is_empty() {
            return Ok(());
        }
        let data = std::mem::take(&mut self.data);
        let taken = self.take_event(&data, word);
        self.data = data;
        self.data.clear();
        taken
    }

    fn take_event(&mut self, data: &[u8], word: &mut impl FnMut(Option<u64>)) -> Result<(), Flaw> {
        if self.is_over {
            return Err(Flaw::AfterEnd);
        }
        if data == b"[DONE]" {
            self.is_over = true;
            return Ok(());
        }
        let event: Event<'_> = serde_json::from_slice(data).map_err(|_| Flaw::NotJson)?;
        if event.error.is_some() {
            return Err(Flaw::ErrorEvent);
        }
        match self.expected.dialect {
            Dialect::OpenAi => self.take_chunk(event, word),
            Dialect::Anthropic => self.take_message_event(event, word),
        }
    }

    fn take_chunk(
        &mut self,
        event: Event<'_>,
        word: &mut impl FnMut(Option<u64>),
    ) -> Result<(), Flaw> {
        self.note_id(event.id.ok_or(Flaw::NotJson)?)?;
        if let Some(usage) = event.usage {
            if !self.expected.usage {
                return Err(Flaw::UnaskedUsage);
            }
            self.note_usage(usage);
        }
        let choices = event.choices.ok_or(Flaw::NotJson)?;
        if choices.is_empty() && !self.expected.usage {
            return Err(Flaw::UnaskedUsage);
        }
        for choice in choices {
            if let Some(text) = choice.delta.and_then(|delta| delta.content) {
                self.take_text(&text, word)?;
            }
            self.has_finish |= choice.finish_reason.is_some();
        }
        Ok(())
    }

    fn take_message_event(
        &mut self,
        event: Event<'_>,
        word: &mut impl FnMut(Option<u64>),
    ) -> Result<(), Flaw> {
        match event.kind {
            Some("message_start") => {
                let message = event.message.ok_or(Flaw::NotJson)?;
                self.note_id(&message.id.ok_or(Flaw::NotJson)?)?;
                if let Some(usage) = message.usage {
                    self.note_usage(usage);
                }
            }
            Some("content_block_delta") => {
                let delta = event.delta.ok_or(Flaw::NotJson)?;
                if let Some(text) = delta.text {
                    self.take_text(&text, word)?;
                }
            }
            Some("message_delta") => {
                self.has_finish |= event.delta.is_some_and(|delta| delta.stop_reason.is_some());
                if let (Some(usage), Some(told)) = (event.usage, &mut self.told) {
                    told.output = usage.output_tokens; // cumulative
                }
            }
            Some("message_stop") => self.is_over = true,
            Some(_) => {}
            None => return Err(Flaw::NotJson),
        }
        Ok(())
    }

    fn note_id(&mut self, id: &str) -> Result<(), Flaw> {
        match &self.id {
            None => self.id = Some(id.to_owned()),
            Some(known) if known == id => {}
            Some(_) => return Err(Flaw::TwoIds),
        }
        Ok(())
    }

    fn note_usage(&mut self, usage: Usage) {
        let Usage { prompt_tokens, completion_tokens, input_tokens, output_tokens, .. } = usage;
        let cached = usage.cache_creation_input_tokens + usage.cache_read_input_tokens;
        self.reasoning = usage.completion_tokens_details.unwrap_or_default().reasoning_tokens;
        let (input, output) = match self.expected.dialect {
            Dialect::OpenAi => (prompt_tokens, completion_tokens),
            Dialect::Anthropic => (input_tokens + cached, output_tokens),
        };
        self.told = Some(Told { input, output });
    }

    /// ` t7`, or several of them; each perhaps with `@` and when it was sent.
    fn take_text(&mut self, text: &str, word: &mut impl FnMut(Option<u64>)) -> Result<(), Flaw> {
        if !self.expected.numbered {
            self.next += u64::from(!text.is_empty());
            if !text.is_empty() {
                word(None);
            }
            return Ok(());
        }
        for said in text.split_ascii_whitespace() {
            let (number, stamp) = match said.split_once('@') {
                Some((number, stamp)) => (number, stamp.parse().ok()),
                None => (said, None),
            };
            let number = number.strip_prefix('t').and_then(|n| n.parse::<u64>().ok());
            match number.ok_or(Flaw::NotNumbered)?.cmp(&self.next) {
                std::cmp::Ordering::Less => return Err(Flaw::Replayed),
                std::cmp::Ordering::Greater => return Err(Flaw::Skipped),
                std::cmp::Ordering::Equal => {}
            }
            self.next += 1;
            word(stamp);
        }
        Ok(())
    }

    /// The body has ended: whether that was a stream, and what it cost.
    pub fn end(&self) -> Result<Told, Flaw> {
        if !self.is_over || !self.has_finish || !self.line.is_empty() || !self.data.is_empty() {
            return Err(Flaw::Incomplete);
        }
        let tells = self.expected.usage || self.expected.dialect == Dialect::Anthropic;
        self.sum(tells)
    }

    /// An answer that is not a stream.
    pub fn whole(&mut self, body: &[u8]) -> Result<Told, Flaw> {
        let event: Event<'_> = serde_json::from_slice(body).map_err(|_| Flaw::NotJson)?;
        if event.error.is_some() {
            return Err(Flaw::ErrorEvent);
        }
        let usage = event.usage.ok_or(Flaw::WrongUsage)?;
        self.note_usage(usage);
        let mut ignore = |_| {};
        match self.expected.dialect {
            Dialect::OpenAi => {
                let choices = event.choices.ok_or(Flaw::NotJson)?;
                for choice in choices {
                    self.has_finish |= choice.finish_reason.is_some();
                    let text = choice.message.and_then(|message| message.content);
                    self.take_text(&text.unwrap_or_default(), &mut ignore)?;
                }
            }
            Dialect::Anthropic => {
                self.has_finish = event.stop_reason.is_some();
                for block in event.content.ok_or(Flaw::NotJson)? {
                    self.take_text(&block.text.unwrap_or_default(), &mut ignore)?;
                }
            }
        }
        if self.has_finish { self.sum(true) } else { Err(Flaw::Incomplete) }
    }

    fn sum(&self, tells: bool) -> Result<Told, Flaw> {
        let Some(told) = self.told else {
            return if tells { Err(Flaw::WrongUsage) } else { Ok(Told::default()) };
        };
        let counted = !self.expected.numbered || told.output == self.next + self.reasoning;
        if counted { Ok(told) } else { Err(Flaw::WrongUsage) }
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
