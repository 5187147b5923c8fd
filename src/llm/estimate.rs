//! How many tokens a text may have, from its bytes: what is reserved before a provider has counted
//! them, and what is charged if it never does.
//!
//! A byte pair encoding of today (OpenAI's `o200k`, Anthropic's, Llama's) has about 4.2 bytes a
//! token in English prose, 3 to 4 in European languages and in code, about 3 in Chinese and
//! Japanese (one character), and 2 to 3 in rows of digits. Three bytes a token is thus seldom too
//! low, and never by much; too high by a third costs nothing once the usage is known.

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
    let Input { text_bytes, messages, images, media_tokens, tokens, tools } = asked.input;
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
