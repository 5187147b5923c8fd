//! The numbers of an answer: read from either dialect into `Usage`, written in each client's words.
//!
//! Anthropic counts what came from a cache beside its `input_tokens`, OpenAI within its
//! `prompt_tokens`; `Usage` says the latter. Numbers a provider made up do not overflow: sums and
//! differences saturate.

use super::json::Json;
use crate::llm::Usage;

/// What Anthropic has said so far: a stream says some at its start and some at its end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    input: u64,
    read: u64,
    written: u64,
    output: u64,
    thinking: u64,
}

// === impl Counts ===

impl Counts {
    /// Takes over what is there: the counts of a stream are cumulative.
    pub(super) fn read(&mut self, usage: &Json) {
        let take = |key: &str, count: &mut u64| {
            if let Some(number) = usage.get(key).as_u64() {
                *count = number;
            }
        };
        take("input_tokens", &mut self.input);
        take("cache_read_input_tokens", &mut self.read);
        take("cache_creation_input_tokens", &mut self.written);
        take("output_tokens", &mut self.output);
        let details = usage.get("output_tokens_details");
        if let Some(number) = details.get("thinking_tokens").as_u64() {
            self.thinking = number;
        }
    }

    pub(super) fn usage(self) -> Usage {
        Usage {
            input: self.input.saturating_add(self.read).saturating_add(self.written),
            cached: self.read,
            cache_write: self.written,
            output: self.output,
            reasoning: self.thinking,
        }
    }
}

/// The `usage` of a chat completion or its last chunk; `None` where it is null or absent.
pub(super) fn of_chat(usage: &Json) -> Option<Usage> {
    if !usage.is_object() {
        return None;
    }
    let count = |json: &Json, key: &str| json.get(key).as_u64().unwrap_or(0);
    let input = usage.get("prompt_tokens_details");
    let output = usage.get("completion_tokens_details");
    Some(Usage {
        input: count(usage, "prompt_tokens"),
        cached: count(input, "cached_tokens"),
        cache_write: count(input, "cache_write_tokens"),
        output: count(usage, "completion_tokens"),
        reasoning: count(output, "reasoning_tokens"),
    })
}

/// As Anthropic writes it.
pub(super) fn to_messages(usage: &Usage) -> Json<'static> {
    let beside = usage.cached.saturating_add(usage.cache_write);
    let mut pairs = vec![
        ("input_tokens".into(), usage.input.saturating_sub(beside).into()),
        ("cache_creation_input_tokens".into(), usage.cache_write.into()),
        ("cache_read_input_tokens".into(), usage.cached.into()),
        ("output_tokens".into(), usage.output.into()),
    ];
    if usage.reasoning > 0 {
        let details = Json::object([("thinking_tokens", usage.reasoning.into())]);
        pairs.push(("output_tokens_details".into(), details));
    }
    Json::Object(pairs)
}

/// As chat completions write it.
pub(super) fn to_chat(usage: &Usage) -> Json<'static> {
    let input = Json::object([
        ("cached_tokens", usage.cached.into()),
        ("cache_write_tokens", usage.cache_write.into()),
    ]);
    Json::object([
        ("prompt_tokens", usage.input.into()),
        ("completion_tokens", usage.output.into()),
        ("total_tokens", usage.input.saturating_add(usage.output).into()),
        ("prompt_tokens_details", input),
        ("completion_tokens_details", Json::object([("reasoning_tokens", usage.reasoning.into())])),
    ])
}

/// As the Responses API writes it.
pub(super) fn to_responses(usage: &Usage) -> Json<'static> {
    let input = Json::object([
        ("cached_tokens", usage.cached.into()),
        ("cache_write_tokens", usage.cache_write.into()),
    ]);
    Json::object([
        ("input_tokens", usage.input.into()),
        ("input_tokens_details", input),
        ("output_tokens", usage.output.into()),
        ("output_tokens_details", Json::object([("reasoning_tokens", usage.reasoning.into())])),
        ("total_tokens", usage.input.saturating_add(usage.output).into()),
    ])
}
