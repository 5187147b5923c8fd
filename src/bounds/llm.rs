//! Bounds of what is read of requests to language models and of their answers.

// --- llm: bytes --------------------------------------------------------------------

/// How deep JSON may nest. `serde_json` stops at 128 too; the deepest that is real, a schema in a
/// tool in a request, has about 20 levels.
pub const JSON_DEPTH_MAX: usize = 128;
/// Bytes of a model's name. The longest real ones are resource names of clouds, about 150 bytes.
pub const MODEL_NAME_BYTES_MAX: usize = 256;
/// How many answers a request may ask for at once: `OpenAI` stops at 128 too.
pub const CHOICES_MAX: u64 = 128;
/// Levels of a request's input whose parts are told apart: message, content, a tool's result, its
/// content, a document's source, its content. What is deeper counts as text.
pub const INPUT_LEVELS_MAX: u32 = 8;
/// One event of a stream. The longest, `response.completed`, repeats the whole answer and what it
/// was made with; 8 MiB are two million tokens.
pub const SSE_EVENT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// What is kept of each text in a provider's error.
pub const PROVIDER_ERROR_BYTES_MAX: usize = 512;

// --- llm: tokens --------------------------------------------------------------------

/// Tokens of one kind that a provider may say a request has cost: the largest contexts hold ten
/// million. What is beyond is no number to charge anybody for.
pub const TOKENS_MAX: u64 = 1_000_000_000;
/// Tokens that an image may cost: Claude Opus 4.7 takes up to 4,784 for one of high resolution,
/// older ones 1,600, GPT-4o 1,445.
pub const IMAGE_TOKENS: u64 = 4_800;
/// Tokens that a document may cost: 100 pages, which is how many a request to Claude may have, of
/// 3,000 tokens each.
pub const DOCUMENT_TOKENS_MAX: u64 = 300_000;
/// Tokens of a document that is only named, by an id or a URL: a few pages.
pub const DOCUMENT_TOKENS: u64 = 10_000;

const _: () = assert!(DOCUMENT_TOKENS_MAX < TOKENS_MAX && IMAGE_TOKENS < TOKENS_MAX);
