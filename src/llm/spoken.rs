//! How much a model has said, whatever form its answer has: the bytes of all texts that were made
//! of its tokens.

use crate::bounds;

use super::json::{Kind, Malformed, Reader, Text};

/// How many bytes of text are in a value: a choice, a message, a delta, an item, or a list of them.
///
/// It calls itself for what is inside, at most [`bounds::INPUT_LEVELS_MAX`] deep.
pub(super) fn spoken(reader: &mut Reader<'_>) -> Result<u64, Malformed> {
    inside(reader, 0)
}

/// The same of one member of such an object.
pub(super) fn spoken_in(name: &Text<'_>, reader: &mut Reader<'_>) -> Result<u64, Malformed> {
    member(name, reader, 0)
}

/// What a member holds.
enum Member {
    /// Text, or parts with texts.
    Text,
    /// An object that is one text: it was generated as JSON.
    Json,
    /// Something with texts somewhere.
    Inside,
    Other,
}

fn inside(reader: &mut Reader<'_>, level: u32) -> Result<u64, Malformed> {
    let mut bytes = 0_u64;
    match reader.kind()? {
        Kind::Array if level < bounds::INPUT_LEVELS_MAX => {
            reader.begin_array()?;
            while reader.next_element()? {
                bytes += inside(reader, level + 1)?;
            }
        }
        Kind::Object if level < bounds::INPUT_LEVELS_MAX => {
            reader.begin_object()?;
            while let Some(name) = reader.next_member()? {
                bytes += member(&name, reader, level)?;
            }
        }
        _ => _ = reader.skip()?,
    }
    Ok(bytes)
}

fn member(name: &Text<'_>, reader: &mut Reader<'_>, level: u32) -> Result<u64, Malformed> {
    let kind = reader.kind()?;
    Ok(match Member::of(name) {
        Member::Text if kind == Kind::String => reader.string()?.len() as u64,
        Member::Json if kind == Kind::Object => reader.skip()?.len() as u64,
        Member::Json if kind == Kind::String => reader.string()?.len() as u64,
        Member::Text | Member::Inside => inside(reader, level + 1)?,
        Member::Json | Member::Other => reader.skip().map(|_| 0)?,
    })
}

// === impl Member ===

impl Member {
    fn of(name: &Text<'_>) -> Member {
        match &*name.name() {
            b"content" | b"text" | b"refusal" | b"reasoning" | b"reasoning_content"
            | b"thinking" | b"partial_json" | b"arguments" => Member::Text,
            b"input" => Member::Json,
            b"message" | b"delta" | b"tool_calls" | b"function" | b"function_call" | b"custom"
            | b"summary" => Member::Inside,
            _ => Member::Other,
        }
    }
}
