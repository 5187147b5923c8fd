//! What providers report beside their answers: usage and errors, in the words of each dialect.
//!
//! Owns the names of the counts and of the errors. Knows no stream and no limit. Invariants: a
//! number that no request can have cost is no usage at all; and of an error's texts no more is kept
//! than [`bounds::PROVIDER_ERROR_BYTES_MAX`].

use crate::bounds;

use super::json::{Kind, Malformed, Reader, Text};
use super::{Dialect, Usage};

/// The counts a provider has reported, as far as it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reported {
    input: Option<u64>,
    output: Option<u64>,
    total: Option<u64>,
    /// Within the input (`OpenAI`).
    cached: Option<u64>,
    cache_write: Option<u64>,
    /// Beside the input (Anthropic).
    cache_read: Option<u64>,
    cache_creation: Option<u64>,
    reasoning: Option<u64>,
    /// One of them was no count.
    broken: bool,
}

/// What a member of a `usage` object counts.
enum Member {
    Input,
    Output,
    Total,
    CacheRead,
    CacheCreation,
    /// What the input is made up of.
    OfInput,
    OfOutput,
}

/// What a count is made up of.
enum Detail {
    Cached,
    CacheWrite,
    Reasoning,
}

/// What a provider says went wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderError {
    /// Its `type`; empty if it has none.
    pub kind: Box<str>,
    /// Its `code`; empty if it has none.
    pub code: Box<str>,
    pub message: Box<str>,
}

/// What kind of thing went wrong there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Too many requests or tokens for now.
    RateLimit,
    /// Nothing is left to be spent.
    Quota,
    /// Too much to do for anybody.
    Overloaded,
    /// The credential is not taken.
    Auth,
    /// It does not have the model.
    NotFound,
    /// The request is at fault.
    Invalid,
    Timeout,
    /// Anything else is the provider's own doing.
    Server,
}

/// What the words of errors mean, in lower case; the first that is found counts.
const FAULTS: &[(Fault, &[&str])] = &[
    (Fault::Quota, &["insufficient_quota", "billing", "credit", "402"]),
    (Fault::RateLimit, &["rate_limit", "too_many_requests", "throttl", "exhausted", "429"]),
    (Fault::Overloaded, &["overloaded", "slow_down", "unavailable", "529", "503"]),
    (Fault::Auth, &["authenti", "unauthorized", "api_key", "permission", "401", "403"]),
    (Fault::NotFound, &["not_found", "404"]),
    (Fault::Timeout, &["timeout", "deadline", "504", "408"]),
    (
        Fault::Invalid,
        &["invalid", "context_length", "bad_request", "too_large", "content_filter", "400", "413"],
    ),
];

// === impl Reported ===

impl Reported {
    /// Reads a `usage` object, or a `null` in its place.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Option<Reported>, Malformed> {
        if reader.kind()? != Kind::Object {
            reader.skip()?;
            return Ok(None);
        }
        let mut reported = Reported::default();
        reader.begin_object()?;
        while let Some(member) = reader.next_known(Member::of)? {
            let count = match member {
                Member::Input => &mut reported.input,
                Member::Output => &mut reported.output,
                Member::Total => &mut reported.total,
                Member::CacheRead => &mut reported.cache_read,
                Member::CacheCreation => &mut reported.cache_creation,
                Member::OfInput | Member::OfOutput => {
                    reported.details(reader, matches!(member, Member::OfInput))?;
                    continue;
                }
            };
            reported.broken |= !take(count, reader)?;
        }
        Ok(Some(reported))
    }

    /// Reads what a count is made up of.
    fn details(&mut self, reader: &mut Reader<'_>, of_input: bool) -> Result<(), Malformed> {
        if reader.kind()? != Kind::Object {
            reader.skip()?;
            return Ok(());
        }
        reader.begin_object()?;
        while let Some(detail) = reader.next_known(|name| Detail::of(name, of_input))? {
            let count = match detail {
                Detail::Cached => &mut self.cached,
                Detail::CacheWrite => &mut self.cache_write,
                Detail::Reasoning => &mut self.reasoning,
            };
            self.broken |= !take(count, reader)?;
        }
        Ok(())
    }

    /// Takes over what a later report says; what it does not say stays.
    pub(super) fn update(&mut self, later: &Reported) {
        self.input = later.input.or(self.input);
        self.output = later.output.or(self.output);
        self.total = later.total.or(self.total);
        self.cached = later.cached.or(self.cached);
        self.cache_write = later.cache_write.or(self.cache_write);
        self.cache_read = later.cache_read.or(self.cache_read);
        self.cache_creation = later.cache_creation.or(self.cache_creation);
        self.reasoning = later.reasoning.or(self.reasoning);
        self.broken |= later.broken;
    }

    /// In the one form for all dialects; `None` if nothing was reported, or nonsense.
    pub(super) fn usage(&self, dialect: Dialect) -> Option<Usage> {
        if self.broken || (self.input, self.output) == (None, None) {
            return None;
        }
        let said = |count: Option<u64>| count.unwrap_or(0);
        let (input, mut output) = (said(self.input), said(self.output));
        let mut usage = match dialect {
            Dialect::Anthropic => {
                let (cached, cache_write) = (said(self.cache_read), said(self.cache_creation));
                let input = input + cached + cache_write;
                Usage { input, cached, cache_write, output, reasoning: said(self.reasoning) }
            }
            Dialect::OpenAi => {
                // xAI and Gemini leave what was thought out of `completion_tokens`, and bill it:
                // the total has it.
                output = output.max(said(self.total).saturating_sub(input));
                let (cached, cache_write) = (said(self.cached), said(self.cache_write));
                Usage { input, cached, cache_write, output, reasoning: said(self.reasoning) }
            }
        };
        usage.cached = usage.cached.min(usage.input);
        usage.cache_write = usage.cache_write.min(usage.input - usage.cached);
        usage.reasoning = usage.reasoning.min(usage.output);
        Some(usage)
    }
}

// === impl Member ===

impl Member {
    #[inline(always)]
    fn of(name: &Text<'_>) -> Option<Member> {
        Some(match &*name.name() {
            b"prompt_tokens" | b"input_tokens" => Member::Input,
            b"completion_tokens" | b"output_tokens" => Member::Output,
            b"total_tokens" => Member::Total,
            b"cache_read_input_tokens" => Member::CacheRead,
            b"cache_creation_input_tokens" => Member::CacheCreation,
            b"prompt_tokens_details" | b"input_tokens_details" => Member::OfInput,
            b"completion_tokens_details" | b"output_tokens_details" => Member::OfOutput,
            _ => return None,
        })
    }
}

// === impl Detail ===

impl Detail {
    #[inline(always)]
    fn of(name: &Text<'_>, of_input: bool) -> Option<Detail> {
        match &*name.name() {
            b"cached_tokens" if of_input => Some(Detail::Cached),
            b"cache_write_tokens" if of_input => Some(Detail::CacheWrite),
            b"reasoning_tokens" | b"thinking_tokens" if !of_input => Some(Detail::Reasoning),
            _ => None,
        }
    }
}

/// Reads a count; false if it is none, or more than can be.
fn take(count: &mut Option<u64>, reader: &mut Reader<'_>) -> Result<bool, Malformed> {
    match reader.kind()? {
        Kind::Null => {
            reader.null()?;
            Ok(true)
        }
        Kind::Number => {
            let number = reader.number()?.integer().filter(|n| *n <= bounds::TOKENS_MAX);
            *count = number.or(*count);
            Ok(number.is_some())
        }
        _ => {
            reader.skip()?;
            Ok(false)
        }
    }
}

// === impl ProviderError ===

impl ProviderError {
    /// The error that a body says, in either dialect: an object with a member `error`.
    #[must_use]
    pub fn of_body(body: &[u8]) -> Option<ProviderError> {
        let mut reader = Reader::new(body);
        let mut error = None;
        reader.begin_object().ok()?;
        while let Some(name) = reader.next_member().ok()? {
            if name.is("error") {
                error = ProviderError::read(&mut reader).ok()?.or(error);
            } else {
                reader.skip().ok()?;
            }
        }
        reader.end().ok()?;
        error
    }

    /// What went wrong, by its code if that is known, else by its type.
    #[must_use]
    pub fn fault(&self) -> Fault {
        let known = |word: &str| {
            let word = word.to_ascii_lowercase();
            let is = |words: &[&str]| words.iter().any(|part| word.contains(part));
            FAULTS.iter().find(|(_, words)| is(words)).map(|(fault, _)| *fault)
        };
        known(&self.code).or_else(|| known(&self.kind)).unwrap_or(Fault::Server)
    }

    /// Reads the value of a member `error`; `None` if it says that there is none.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Option<ProviderError>, Malformed> {
        let mut error = ProviderError::default();
        match reader.kind()? {
            Kind::Null | Kind::Bool => {
                reader.skip()?;
                return Ok(None);
            }
            // Some servers of local models say it in one string.
            Kind::String => error.message = kept(&reader.string()?),
            Kind::Object => {
                reader.begin_object()?;
                while let Some(name) = reader.next_member()? {
                    error.member(&name, reader)?;
                }
            }
            Kind::Array | Kind::Number => _ = reader.skip()?,
        }
        Ok(Some(error))
    }

    /// Reads a member of an error.
    pub(super) fn member(
        &mut self,
        name: &Text<'_>,
        reader: &mut Reader<'_>,
    ) -> Result<(), Malformed> {
        let kind = reader.kind()?;
        if name.is("code") && kind == Kind::Number {
            // OpenRouter's codes are statuses.
            let code = reader.number()?.integer();
            self.code = code.map(|code| code.to_string().into()).unwrap_or_default();
            return Ok(());
        }
        let place = match () {
            () if kind != Kind::String => None,
            () if name.is("type") => Some(&mut self.kind),
            () if name.is("code") => Some(&mut self.code),
            () if name.is("message") => Some(&mut self.message),
            () => None,
        };
        match place {
            Some(place) => *place = kept(&reader.string()?),
            None => _ = reader.skip()?,
        }
        Ok(())
    }
}

/// The front of a text, as long as is kept.
fn kept(text: &Text<'_>) -> Box<str> {
    let text = text.decoded().unwrap_or_default();
    text[..text.floor_char_boundary(bounds::PROVIDER_ERROR_BYTES_MAX)].into()
}
