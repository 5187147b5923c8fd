//! How many tokens a text may have, from its bytes: what is reserved before a provider has counted
//! them, and what is charged if it never does.
//!
//! Where the numbers come from: OpenAI's rule of thumb is four characters a token of English; other
//! European languages and code have three to four bytes, Chinese and Japanese about three (a
//! character), and rows of random letters or digits two or fewer. Three bytes a token is thus high
//! by a third for prose, about right for the rest, and too low only for what nobody writes by hand,
//! by less than half. Too high costs nothing once the usage is known; what was too low is taken
//! then.

use crate::bounds;

use super::input::Input;
use super::{Asked, Endpoint};

/// What every message is wrapped in: OpenAI's cookbook counts 3 tokens, and 1 for a name.
const MESSAGE_TOKENS: u64 = 4;
/// What a conversation begins and an answer is introduced with.
const REQUEST_TOKENS: u64 = 8;
/// What a provider tells a model about tools in general: Anthropic's pages name 346 tokens for
/// Claude 4, and up to 530 for older ones.
const TOOLS_TOKENS: u64 = 530;

/// How many tokens of input a request has.
#[must_use]
pub fn input(asked: &Asked) -> u64 {
    let Input { text_bytes, messages, texts: _, images, media_tokens, tokens, tools } = asked.input;
    let talks = !matches!(asked.endpoint, Endpoint::Embeddings | Endpoint::Completions);
    let frame = if talks { REQUEST_TOKENS + MESSAGE_TOKENS * u64::from(messages) } else { 0 };
    text_bytes
        .div_ceil(3)
        .saturating_add(frame)
        .saturating_add(if tools > 0 { TOOLS_TOKENS } else { 0 })
        .saturating_add(bounds::IMAGE_TOKENS * u64::from(images))
        .saturating_add(media_tokens)
        .saturating_add(tokens)
}

/// How many tokens of output a text had that came in so many events: a token is seldom longer than
/// four bytes on average, and an event seldom has less than one.
#[must_use]
pub fn output(text_bytes: u64, events: u64) -> u64 {
    text_bytes.div_ceil(4).max(events)
}
