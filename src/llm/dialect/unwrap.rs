//! JSON mode at a provider that has none: the model is made to call one tool, whose input is the
//! answer. Here the call becomes the text again that the client asked for.
//!
//! What the model says beside the call would spoil the JSON, so it is held back until it is known
//! that no call comes (a refusal, or no tokens left).

use super::Malformed;
use super::reply::{Block, Event, Reply, Stop};
use super::source::Take;
use crate::bounds::HELD_BACK_BYTES_MAX;

/// The tool's name; a client's tool of the same name is refused.
pub(super) const ANSWER_TOOL: &str = "answer_as_json";

/// A streamed answer while it is unwrapped.
#[derive(Debug, Default)]
pub(super) struct Unwrap {
    held: String,
    at: At,
    answered: bool,
    calls: bool,
}

/// Whose arguments come now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    Other,
    Answer,
    /// A second answer.
    Spare,
}

pub(super) fn whole(reply: &mut Reply<'_>) {
    let is_answer =
        |block: &Block<'_>| matches!(block, Block::Tool { name, .. } if name == ANSWER_TOOL);
    if reply.blocks.iter().any(is_answer) {
        let mut answered = false;
        let blocks = std::mem::take(&mut reply.blocks);
        for block in blocks {
            match block {
                Block::Tool { name, input, .. } if name == ANSWER_TOOL => {
                    if !std::mem::replace(&mut answered, true) {
                        reply.blocks.push(Block::Text(input.into_text()));
                    }
                }
                Block::Text(_) => {}
                other => reply.blocks.push(other),
            }
        }
    }
    let calls = reply.blocks.iter().any(|block| matches!(block, Block::Tool { .. }));
    reply.stop = reply.stop.with_calls(calls);
}

// === impl Unwrap ===

impl Unwrap {
    pub(super) fn event(&mut self, event: Event<'_>, take: Take<'_>) -> Result<(), Malformed> {
        match event {
            Event::Tool { name: ANSWER_TOOL, .. } => {
                self.held.clear();
                let again = std::mem::replace(&mut self.answered, true);
                self.at = if again { At::Spare } else { At::Answer };
                Ok(())
            }
            Event::Tool { .. } => {
                (self.at, self.calls) = (At::Other, true);
                take(event)
            }
            Event::Arguments(part) => match self.at {
                At::Other => take(event),
                At::Answer => take(Event::Text(part)),
                At::Spare => Ok(()),
            },
            Event::Text(_) if self.answered => Ok(()),
            Event::Text(text) => {
                self.held.push_str(text);
                if self.held.len() > HELD_BACK_BYTES_MAX {
                    return Err(Malformed::new("too much text before the JSON"));
                }
                Ok(())
            }
            Event::Stop { stop, sequence, usage } => {
                if !self.held.is_empty() {
                    take(Event::Text(&std::mem::take(&mut self.held)))?;
                }
                let stop = match stop {
                    Stop::Tools if !self.calls => Stop::End,
                    other => other,
                };
                take(Event::Stop { stop, sequence, usage })
            }
            other => take(other),
        }
    }
}
