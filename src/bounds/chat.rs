//! Bounds of requests to language models and of their answers.

// --- integration: llm ----------------------------------------------------------------------

/// The most a route may let through as one request: 20 images of 5 MB in base64, which is what the
/// providers take (Anthropic: 32 MB a request; OpenAI: 50 MB of files).
pub const LLM_BODY_BYTES_MAX: usize = 128 << 20;
/// All requests a worker holds for models: eight of the largest, or 100,000 of 10 KiB.
pub const LLM_BODIES_BYTES_MAX: usize = 1 << 30;
/// An answer that is not streamed: 2,048 embeddings of 3,072 numbers in text are 75 MB.
pub const LLM_ANSWER_BYTES_MAX: usize = 128 << 20;
/// A provider's error that is read.
pub const LLM_ERROR_BYTES_MAX: usize = 64 << 10;
/// Of a prompt, and of an answer, that a route wants logged.
pub const LLM_CONTENT_BYTES_MAX: usize = 64 << 10;
const _: () = assert!(LLM_BODY_BYTES_MAX <= LLM_BODIES_BYTES_MAX, "one fits");
