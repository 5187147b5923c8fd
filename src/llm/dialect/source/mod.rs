//! Reads the answers of providers, whole and streamed, into what they say in no dialect.
//!
//! Providers are as hostile as clients: a value of the wrong type is refused or skipped, nothing is
//! kept that could grow without a bound. An answer that has not ended is never said to have.

mod anthropic;
mod chat;

use super::Malformed;
use super::json::Json;
use super::reply::{Event, Reply};
use crate::llm::Dialect;

/// A streamed answer while it is read.
#[derive(Debug)]
pub(super) enum Source {
    Anthropic(anthropic::Reader),
    Chat(chat::Reader),
}

/// What takes the events of a source.
pub(super) type Take<'t> = &'t mut dyn FnMut(Event<'_>) -> Result<(), Malformed>;

/// A whole answer.
pub(super) fn whole(dialect: Dialect, body: &[u8]) -> Result<Reply<'_>, Malformed> {
    let json = Json::parse(body).map_err(|_| Malformed::new("the answer is not JSON"))?;
    match dialect {
        Dialect::Anthropic => anthropic::whole(json),
        Dialect::OpenAi => chat::whole(json),
    }
}

// === impl Source ===

impl Source {
    pub(super) fn new(dialect: Dialect) -> Source {
        match dialect {
            Dialect::Anthropic => Source::Anthropic(anthropic::Reader::default()),
            Dialect::OpenAi => Source::Chat(chat::Reader::default()),
        }
    }

    /// An event of the provider's stream.
    pub(super) fn event(
        &mut self,
        name: &[u8],
        data: &[u8],
        take: Take<'_>,
    ) -> Result<(), Malformed> {
        match self {
            Source::Anthropic(reader) => reader.event(data, take),
            Source::Chat(reader) => reader.event(name, data, take),
        }
    }
}
