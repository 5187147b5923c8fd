//! Limits of the translation between the dialects of language models.

/// Values of one JSON text that is translated. A value costs 32 bytes and its text; a chat of 1,000
/// turns has about 20,000, and a million of the shortest make 32 MiB of 2 MiB.
pub const JSON_VALUES_MAX: usize = 1_000_000;
/// And its levels. What is translated may lie a few levels deeper than it did, and those who read
/// it stop at 128.
pub const JSON_LEVELS_MAX: usize = 120;
/// Calls of tools in one answer. Providers allow 128 tools; models call a handful at once.
pub const TOOL_CALLS_MAX: usize = 512;
/// Bytes of an answer that a stream's translation holds back because they come out of turn: as
/// many as a model can say in some 250,000 tokens.
pub const HELD_BACK_BYTES_MAX: usize = 1 << 20;
/// Bytes of an answer in the Responses API, whose stream repeats all of it at its end: what such a
/// stream may keep.
pub const RESPONSE_BYTES_MAX: usize = 8 << 20;
/// Bytes of a provider's message of failure that a client is told.
pub const ERROR_MESSAGE_BYTES_MAX: usize = 16 << 10;
