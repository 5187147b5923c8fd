//! How much of a request becomes the model's input, told by its parts and not by their words.
//!
//! Owns which parts of a message are text and which are an image, a document or sound. Knows no
//! tokenizer. Invariant: what it does not know counts as text, byte by byte, so that nothing a
//! client writes can make its input look smaller than text is.

use crate::bounds;

use super::json::{Kind, Reader, Text};
use super::request::{self, BadRequest};

/// What becomes a model's input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Input {
    /// Bytes of text: what users, tools and the operator of the model have written, and the
    /// schemas of tools and answers.
    pub text_bytes: u64,
    /// Messages, or items of another kind that are said by somebody.
    pub messages: u32,
    /// Texts in a list, or lists of tokens in a list: each is completed, or embedded, by itself.
    pub texts: u32,
    pub images: u32,
    /// Tokens of documents and sound, estimated from their bytes.
    pub media_tokens: u64,
    /// Tokens that the client has counted itself: it sent their numbers.
    pub tokens: u64,
    /// The request has tools, which the provider explains to the model.
    pub tools: u32,
}

/// What an item of input says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Text,
    Image,
    Document,
    Sound,
    /// What the bytes of the item around it come in.
    Carrier,
}

/// What an item is given that may be no text; what it is, the item's type says.
#[derive(Clone, Copy, Debug, Default)]
struct Media {
    bytes: usize,
    /// Something that the provider has, or will fetch.
    named: bool,
}

/// What a member of an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Member {
    Type,
    /// Bytes that may be no text.
    Bytes,
    /// A URL: what it names, or (`data:`) bytes.
    Url,
    /// The name of something that the provider has.
    Id,
    /// What its item's bytes are in.
    Source,
    /// Something of which the same is asked.
    Inside,
    /// Text, as far as anybody knows.
    Other,
}

// === impl Input ===

impl Input {
    /// Takes a member that is input: a text, messages, items, tokens.
    pub(super) fn take(&mut self, reader: &mut Reader<'_>) -> Result<(), BadRequest> {
        self.value(reader, 0)
    }

    /// Takes the tools; whether there are any.
    pub(super) fn take_tools(
        &mut self,
        reader: &mut Reader<'_>,
        param: &'static str,
    ) -> Result<bool, BadRequest> {
        request::expect(reader, Kind::Array, "an array was expected", param)?;
        let start = reader.at();
        reader.begin_array()?;
        while reader.next_element()? {
            self.tools = self.tools.saturating_add(1);
            reader.skip()?;
        }
        self.add_text(reader.at() - start);
        Ok(self.tools > 0)
    }

    pub(super) fn add_text(&mut self, bytes: usize) {
        self.text_bytes = self.text_bytes.saturating_add(bytes as u64);
    }

    /// Reads a value of which any part may be anything.
    ///
    /// It calls itself for what is inside, at most [`bounds::INPUT_LEVELS_MAX`] deep.
    fn value(&mut self, reader: &mut Reader<'_>, level: u32) -> Result<(), BadRequest> {
        let kind = reader.kind()?;
        if level == 1 && matches!(kind, Kind::String | Kind::Array) {
            self.texts = self.texts.saturating_add(1);
        }
        match kind {
            Kind::String => self.add_text(reader.string()?.len()),
            Kind::Number => {
                let start = reader.at();
                reader.number()?;
                // The numbers of tokens have six digits; what has more is somebody's text.
                let tokens = 1 + (reader.at() - start) as u64 / 8;
                self.tokens = self.tokens.saturating_add(tokens);
            }
            Kind::Array if level < bounds::INPUT_LEVELS_MAX => {
                reader.begin_array()?;
                while reader.next_element()? {
                    self.value(reader, level + 1)?;
                }
            }
            Kind::Object if level < bounds::INPUT_LEVELS_MAX => {
                if level <= 1 {
                    self.messages = self.messages.saturating_add(1);
                }
                let (part, media) = self.item(reader, level)?;
                self.settle(part.unwrap_or(Part::Text), media);
            }
            _ => {
                let span = reader.skip()?;
                self.add_text(span.len());
            }
        }
        Ok(())
    }

    /// A message, a part of its content, or what such a part is made of.
    fn item(
        &mut self,
        reader: &mut Reader<'_>,
        level: u32,
    ) -> Result<(Option<Part>, Media), BadRequest> {
        let (mut media, mut part) = (Media::default(), None);
        reader.begin_object()?;
        while let Some(name) = reader.next_member()? {
            let member = Member::of(&name);
            match (member, reader.kind()?) {
                (Member::Type, _) if part.is_some() => {
                    let (param, at) = (Some("type"), name.span().start);
                    return Err(BadRequest { reason: "it is there twice", param, at });
                }
                (Member::Type, Kind::String) => part = Some(Part::of(&reader.string()?)),
                (Member::Bytes, Kind::String) => media.bytes += reader.string()?.len(),
                (Member::Url, Kind::String) => {
                    let url = reader.string()?;
                    if url.begins("data:") {
                        media.bytes += url.len();
                    } else {
                        media.named = true;
                        self.add_text(url.len());
                    }
                }
                (Member::Source | Member::Url, Kind::Object)
                    if level < bounds::INPUT_LEVELS_MAX =>
                {
                    let (part, inner) = self.item(reader, level + 1)?;
                    if part == Some(Part::Text) {
                        self.settle(Part::Text, inner);
                    } else {
                        media.bytes += inner.bytes;
                        media.named |= inner.named;
                    }
                }
                (Member::Inside, _) => self.value(reader, level + 1)?,
                _ => {
                    let span = reader.skip()?;
                    media.named |= member == Member::Id;
                    self.add_text(span.len());
                }
            }
        }
        Ok((part, media))
    }

    /// Counts what an item has for what it says it is.
    fn settle(&mut self, part: Part, media: Media) {
        let bytes = media.bytes as u64;
        let tokens = match part {
            Part::Text | Part::Carrier => {
                self.add_text(media.bytes);
                0
            }
            Part::Image => {
                self.images = self.images.saturating_add(1);
                0
            }
            // A page of nothing but text is 3 KB or more for its 1,000 tokens.
            Part::Document if bytes > 0 => (bytes / 3).clamp(1, bounds::DOCUMENT_TOKENS_MAX),
            Part::Document if media.named => bounds::DOCUMENT_TOKENS,
            Part::Document => 0,
            // Ten tokens a second; a second of speech is 640 bytes or more in base64 (4 kbit/s).
            Part::Sound => bytes / 64,
        };
        self.media_tokens = self.media_tokens.saturating_add(tokens);
    }
}

// === impl Part ===

impl Part {
    fn of(kind: &Text<'_>) -> Part {
        match &*kind.name() {
            b"image" | b"image_url" | b"input_image" | b"computer_screenshot" => Part::Image,
            b"document" | b"file" | b"input_file" => Part::Document,
            b"input_audio" => Part::Sound,
            b"base64" | b"url" | b"content" => Part::Carrier,
            _ => Part::Text,
        }
    }
}

// === impl Member ===

impl Member {
    fn of(name: &Text<'_>) -> Member {
        match &*name.name() {
            b"text" | b"content" | b"output" => Member::Inside,
            b"type" => Member::Type,
            b"data" | b"file_data" => Member::Bytes,
            b"url" | b"image_url" | b"file_url" => Member::Url,
            b"source" | b"file" | b"input_audio" => Member::Source,
            b"file_id" => Member::Id,
            _ => Member::Other,
        }
    }
}

#[cfg(test)]
mod tests;
