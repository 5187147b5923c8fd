//! The members of requests that mean something to the gateway, and at which endpoints.
//!
//! Knows their names and nothing of their values. Invariant: a name has one place, wherever it is
//! asked.

use crate::llm::Endpoint;

/// The members that mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Member {
    Model,
    Stream,
    StreamOptions,
    OutputMax,
    Choices,
    ServiceTier,
    Tools,
    Format,
    Reasoning,
    Input,
    Stored,
}

/// Which members mean what, and at which endpoints.
pub(super) const MEMBERS: &[(&str, Member, &[Endpoint])] = {
    use Endpoint::{ChatCompletions, Completions, CountTokens, Embeddings, Messages, Responses};
    use Member::{
        Choices, Format, Input, Model, OutputMax, Reasoning, ServiceTier, Stored, Stream,
        StreamOptions, Tools,
    };
    const STREAMS: &[Endpoint] = &[ChatCompletions, Completions, Responses, Messages];
    const TALKS: &[Endpoint] = &[ChatCompletions, Responses, Messages, CountTokens];
    const ALL: &[Endpoint] =
        &[ChatCompletions, Completions, Embeddings, Responses, Messages, CountTokens];
    &[
        ("model", Model, ALL),
        ("messages", Input, &[ChatCompletions, Messages, CountTokens]),
        ("stream", Stream, STREAMS),
        ("stream_options", StreamOptions, &[ChatCompletions, Completions]),
        ("max_tokens", OutputMax, &[ChatCompletions, Completions, Messages]),
        ("max_completion_tokens", OutputMax, &[ChatCompletions]),
        ("max_output_tokens", OutputMax, &[Responses]),
        ("n", Choices, &[ChatCompletions, Completions]),
        ("best_of", Choices, &[Completions]),
        ("service_tier", ServiceTier, STREAMS),
        ("tools", Tools, TALKS),
        ("functions", Tools, &[ChatCompletions]),
        ("response_format", Format, &[ChatCompletions]),
        ("text", Format, &[Responses]),
        ("output_format", Format, &[Messages, CountTokens]),
        ("output_config", Format, &[Messages, CountTokens]),
        ("reasoning_effort", Reasoning, &[ChatCompletions]),
        ("reasoning", Reasoning, &[ChatCompletions, Responses]),
        ("thinking", Reasoning, &[Messages, CountTokens]),
        ("input", Input, &[Embeddings, Responses]),
        ("instructions", Input, &[Responses]),
        ("system", Input, &[Messages, CountTokens]),
        ("prompt", Input, &[Completions, Responses]),
        ("suffix", Input, &[Completions]),
        ("previous_response_id", Stored, &[Responses]),
        ("conversation", Stored, &[Responses]),
    ]
};

/// The longest name in [`MEMBERS`].
pub(super) const MEMBER_BYTES_MAX: usize = 21;

const _: () = assert!(MEMBERS.len() <= u32::BITS as usize);

/// For each letter that a name can begin with, a bit for each of [`MEMBERS`] that does.
const BEGIN: [u32; 32] = {
    let (mut begin, mut place) = ([0; 32], 0);
    while place < MEMBERS.len() {
        begin[(MEMBERS[place].0.as_bytes()[0] & 31) as usize] |= 1 << place;
        place += 1;
    }
    begin
};

/// Which of [`MEMBERS`] has this name, whatever its case.
#[inline]
pub(super) fn place_of(name: &[u8]) -> Option<usize> {
    // A letter has the same five low bits in both cases.
    let mut begin = BEGIN[usize::from(*name.first()? & 31)];
    while begin != 0 {
        let place = begin.trailing_zeros() as usize;
        let own = MEMBERS[place].0.as_bytes();
        if own == name || own.eq_ignore_ascii_case(name) {
            return Some(place);
        }
        begin &= begin - 1;
    }
    None
}
