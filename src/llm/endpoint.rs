//! The doors clients of language models know, and whose words are spoken at each.

/// Whose wire format it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dialect {
    OpenAi,
    Anthropic,
}

/// What is asked of a language model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    ChatCompletions,
    Completions,
    Embeddings,
    Responses,
    Models,
    Messages,
    CountTokens,
}

/// How each endpoint's path ends; longer ones before those they end with.
const PATHS: &[(&str, Endpoint)] = &[
    ("/chat/completions", Endpoint::ChatCompletions),
    ("/completions", Endpoint::Completions),
    ("/embeddings", Endpoint::Embeddings),
    ("/responses", Endpoint::Responses),
    ("/models", Endpoint::Models),
    ("/messages/count_tokens", Endpoint::CountTokens),
    ("/messages", Endpoint::Messages),
];

// === impl Dialect ===

impl Dialect {
    /// The word in the configuration, and `gen_ai.provider.name` in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Dialect::OpenAi => "openai",
            Dialect::Anthropic => "anthropic",
        }
    }
}

// === impl Endpoint ===

impl Endpoint {
    /// The endpoint a path ends in.
    #[must_use]
    pub fn of(path: &[u8]) -> Option<Endpoint> {
        PATHS.iter().find(|(end, _)| path.ends_with(end.as_bytes())).map(|(_, endpoint)| *endpoint)
    }

    /// The path below a provider's base URL.
    #[must_use]
    pub fn path(self) -> &'static str {
        let found = PATHS.iter().find(|(_, endpoint)| *endpoint == self);
        found.expect("every endpoint has a path").0
    }

    /// Whose words are spoken there.
    #[must_use]
    pub fn dialect(self) -> Dialect {
        match self {
            Endpoint::Messages | Endpoint::CountTokens => Dialect::Anthropic,
            _ => Dialect::OpenAi,
        }
    }

    /// `gen_ai.operation.name` (OpenTelemetry's GenAI conventions).
    #[must_use]
    pub fn operation(self) -> &'static str {
        match self {
            Endpoint::ChatCompletions | Endpoint::Responses | Endpoint::Messages => "chat",
            Endpoint::Completions => "text_completion",
            Endpoint::Embeddings => "embeddings",
            Endpoint::Models => "list_models",
            Endpoint::CountTokens => "count_tokens",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_known_by_its_end() {
        assert_eq!(Endpoint::of(b"/v1/chat/completions"), Some(Endpoint::ChatCompletions));
        assert_eq!(Endpoint::of(b"/llm/v2/completions"), Some(Endpoint::Completions));
        assert_eq!(Endpoint::of(b"/v1/messages/count_tokens"), Some(Endpoint::CountTokens));
        assert_eq!(Endpoint::of(b"/v1/messages"), Some(Endpoint::Messages));
        assert_eq!(Endpoint::of(b"/v1/files"), None);
        for (path, endpoint) in PATHS {
            assert_eq!(Endpoint::of(path.as_bytes()), Some(*endpoint));
            assert_eq!(endpoint.path(), *path);
        }
    }
}
