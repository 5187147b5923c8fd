//! Translation of one provider's dialect into the other's: requests one way, answers, streams and
//! errors the other.
//!
//! Owns what a field of one is called in the other (docs/llm-translation.md has the table). Refuses
//! to know who asks and where it is sent. Invariants: what would change the meaning and has no word
//! on the other side is refused by name, never dropped; an answer that has not ended never looks as
//! if it had; nothing a client or a provider writes makes it panic or grow without a bound. A
//! request becomes a tree here, and only here: one that stays in its dialect is never parsed so.

mod error;
mod field;
mod json;
mod reasoning;
mod reply;
mod sink;
mod source;
mod to_chat;
mod to_messages;
mod unwrap;
mod usage;

#[cfg(test)]
mod tests;

use std::fmt;

pub use error::error;

use self::field::Path;
use self::json::Json;
use self::reply::Event;
use self::sink::Sink;
use self::source::Source;
use self::unwrap::Unwrap;
use super::{Dialect, Endpoint};

/// A request that needs translating.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Where the client sent it.
    pub from: Endpoint,
    /// What the provider speaks.
    pub to: Dialect,
    pub body: &'a [u8],
    /// The provider's own name for the model.
    pub model: &'a str,
    /// What `max_tokens` becomes where the client names none and the provider wants one.
    pub output_max: u64,
}

/// A request in the provider's dialect.
#[derive(Clone, Debug)]
pub struct Translated {
    /// Where the provider takes it.
    pub endpoint: Endpoint,
    pub body: Vec<u8>,
    /// What its answer needs.
    pub back: Back,
}

/// The way back: what of the request its answer needs to be translated.
#[derive(Clone, Debug)]
pub struct Back {
    to: Endpoint,
    from: Dialect,
    /// The model's name as the client wrote it.
    model: String,
    /// The answer is wrapped in a call ([`unwrap`]).
    wrapped: bool,
    /// The client asked for usage in its stream.
    usage: bool,
    /// The client asked to see thinking.
    thinking: bool,
    /// What the Responses API repeats of a request in its answer.
    echo: Option<Json<'static>>,
}

/// What an answer says of its making, where the provider does not.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    /// Seconds since 1970.
    pub unix: u64,
    /// Stands in ids: letters and digits.
    pub id: &'a str,
}

/// Why a request is not translated: the client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untranslatable {
    /// Which field, as `messages[3].content`; empty if it is the whole.
    pub param: String,
    pub message: String,
}

/// Why an answer is not translated: the provider's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    pub reason: &'static str,
}

/// A streamed answer while it is translated.
#[derive(Debug)]
pub struct Stream {
    source: Source,
    unwrap: Option<Unwrap>,
    sink: Sink,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// More may come.
    Open,
    /// It cannot be understood; the client has not been told yet.
    Spoilt,
    /// The provider has said its last word.
    Ended,
    /// The client has been told that it broke.
    Failed,
}

/// The request in the words of the provider.
///
/// # Errors
/// If it asks for what the provider's dialect has no words for, or is no request.
pub fn request(ask: &Ask<'_>) -> Result<Translated, Untranslatable> {
    let refuse = |why: &str| Err(Path::Root.refuse(why));
    match (ask.from, ask.to) {
        (Endpoint::Completions, Dialect::Anthropic) => refuse(
            "Text completions cannot be translated for this model's provider: use \
             /chat/completions.",
        ),
        (Endpoint::Embeddings, Dialect::Anthropic) => {
            refuse("This model's provider has no embeddings.")
        }
        (Endpoint::Models, _) => refuse("A list of models is not asked of a provider."),
        (Endpoint::CountTokens, Dialect::OpenAi) => {
            refuse("This model's provider does not count tokens.")
        }
        (from, to) if from.dialect() == to => refuse("This request needs no translation."),
        (from, _) => {
            let json = Json::parse(ask.body).map_err(|error| {
                Path::Root.refuse(format_args!("The body is not JSON: {error}."))
            })?;
            if !json.is_object() {
                return refuse("The body is not a JSON object.");
            }
            match from {
                Endpoint::Messages => to_chat::request(ask, json),
                Endpoint::Responses => to_messages::responses::request(ask, json),
                _ => to_messages::chat::request(ask, json),
            }
        }
    }
}

// === impl Back ===

impl Back {
    fn new(ask: &Ask<'_>, json: &Json<'_>) -> Result<Back, Untranslatable> {
        let Some(model) = json.get("model").as_str() else {
            return Err(Path::Root.key("model").expected("a string", json.get("model")));
        };
        Ok(Back {
            to: ask.from,
            from: ask.to,
            model: model.to_owned(),
            wrapped: false,
            usage: false,
            thinking: false,
            echo: None,
        })
    }

    /// A whole answer in the words of the client.
    ///
    /// # Errors
    /// If it is not what its dialect says an answer is.
    pub fn answer(&self, body: &[u8], stamp: &Stamp<'_>) -> Result<Vec<u8>, Malformed> {
        let mut reply = source::whole(self.from, body)?;
        if self.wrapped {
            unwrap::whole(&mut reply);
        }
        Ok(sink::whole(reply, self, stamp))
    }

    /// A streamed answer in the words of the client.
    #[must_use]
    pub fn stream(&self, stamp: &Stamp<'_>) -> Stream {
        Stream {
            source: Source::new(self.from),
            unwrap: self.wrapped.then(Unwrap::default),
            sink: Sink::new(self, stamp),
            state: State::Open,
        }
    }
}

// === impl Stream ===

impl Stream {
    /// Translates an event of the provider: its name (may be empty) and its data. What is to be
    /// sent to the client is put behind what `out` holds. After the last event, nothing more is.
    ///
    /// # Errors
    /// If it is not what the dialect says; what follows is ignored then, and [`Stream::finish`]
    /// tells the client.
    pub fn event(&mut self, name: &[u8], data: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        // An event without data is none (WHATWG HTML, section 9.2.6).
        if self.state != State::Open || data.trim_ascii().is_empty() {
            return Ok(());
        }
        let Stream { source, unwrap, sink, state } = self;
        let done = source.event(name, data, &mut |event| {
            match event {
                Event::End => *state = State::Ended,
                Event::Failed { .. } => *state = State::Failed,
                _ => {}
            }
            match unwrap {
                Some(unwrap) => unwrap.event(event, &mut |event| sink.event(event, out)),
                None => sink.event(event, out),
            }
        });
        if done.is_err() {
            self.state = State::Spoilt;
        }
        done
    }

    /// Whether the provider has ended its answer as it should.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.state == State::Ended
    }

    /// The number of the next event, which only Responses have.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sink.sequence()
    }

    /// The provider says no more. If it had more to say, the client is told so (unless it has been)
    /// and false is returned.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> bool {
        if !self.is_complete() {
            self.broken("api_error", "The provider's answer broke off before its end.", out);
        }
        self.is_complete()
    }

    /// Tells the client that the stream broke, once, in its dialect: `kind` is one of Anthropic's
    /// types of errors. Nothing is said after the end of a complete answer.
    pub fn broken(&mut self, kind: &str, message: &str, out: &mut Vec<u8>) {
        if matches!(self.state, State::Open | State::Spoilt) {
            self.state = State::Failed;
            let kind = error::Kind::of_messages(Some(kind));
            let told = self.sink.event(Event::Failed { kind, message }, out);
            debug_assert!(told.is_ok(), "an error has nothing to be refused");
        }
    }
}

// === impl Untranslatable, Malformed ===

impl fmt::Display for Untranslatable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Untranslatable {}

impl Malformed {
    fn new(reason: &'static str) -> Malformed {
        Malformed { reason }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)
    }
}

impl std::error::Error for Malformed {}
