//! Claude's thinking in the Responses API: what proves it travels in `encrypted_content`, marked so
//! that it is told from what OpenAI puts there.

const SIGNATURE: &str = "claude-signature:";
const REDACTED: &str = "claude-redacted:";

/// The signature of a block of thinking, sealed.
pub(super) fn seal_signature(signature: &str) -> String {
    format!("{SIGNATURE}{signature}")
}

/// A block only Anthropic can read, sealed.
pub(super) fn seal_redacted(data: &str) -> String {
    format!("{REDACTED}{data}")
}

/// The signature that was sealed.
pub(super) fn signature(sealed: &str) -> Option<&str> {
    sealed.strip_prefix(SIGNATURE)
}

/// The block that was sealed.
pub(super) fn redacted(sealed: &str) -> Option<&str> {
    sealed.strip_prefix(REDACTED)
}
