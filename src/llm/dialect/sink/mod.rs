//! Writes answers in the words of the client's endpoint, whole and streamed.
//!
//! Every event of a stream is a few bytes written behind each other: no tree is built for a token.

mod chat;
mod messages;
mod responses;

use super::reply::{Event, Reply};
use super::{Back, Malformed, Stamp};
use crate::llm::Endpoint;

/// A streamed answer while it is written.
#[derive(Debug)]
pub(super) enum Sink {
    Chat(chat::Writer),
    Messages(messages::Writer),
    Responses(Box<responses::Writer>),
}

/// A whole answer.
pub(super) fn whole(reply: Reply<'_>, back: &Back, stamp: &Stamp<'_>) -> Vec<u8> {
    let json = match back.to {
        Endpoint::Messages => messages::whole(reply, back, stamp),
        Endpoint::Responses => responses::whole(reply, back, stamp),
        _ => chat::whole(reply, back, stamp),
    };
    let mut out = Vec::with_capacity(1024);
    json.write(&mut out);
    out
}

// === impl Sink ===

impl Sink {
    pub(super) fn new(back: &Back, stamp: &Stamp<'_>) -> Sink {
        match back.to {
            Endpoint::Messages => Sink::Messages(messages::Writer::new(back, stamp)),
            Endpoint::Responses => Sink::Responses(Box::new(responses::Writer::new(back, stamp))),
            _ => Sink::Chat(chat::Writer::new(back, stamp)),
        }
    }

    pub(super) fn event(&mut self, event: Event<'_>, out: &mut Vec<u8>) -> Result<(), Malformed> {
        match self {
            Sink::Chat(writer) => writer.event(event, out),
            Sink::Messages(writer) => writer.event(event, out),
            Sink::Responses(writer) => return writer.event(event, out),
        }
        Ok(())
    }

    /// The number of the next event; 0 where they have none.
    pub(super) fn sequence(&self) -> u64 {
        match self {
            Sink::Responses(writer) => writer.sequence(),
            Sink::Chat(_) | Sink::Messages(_) => 0,
        }
    }
}
