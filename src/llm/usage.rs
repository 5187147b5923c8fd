//! How many tokens a request has cost, in one form for all dialects.

/// Tokens of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All of the input, what came from a cache or went into one included. (Anthropic reports these
    /// beside its `input_tokens`, OpenAI within its `prompt_tokens`.)
    pub input: u64,
    /// Of the input, read from the provider's cache.
    pub cached: u64,
    /// Of the input, written to the provider's cache.
    pub cache_write: u64,
    /// All of the output, reasoning included.
    pub output: u64,
    /// Of the output, reasoning.
    pub reasoning: u64,
}
