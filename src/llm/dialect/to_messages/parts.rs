//! Parts of a message's content: texts, images, files. Audio and uploaded files stay behind:
//! Anthropic has no audio, and an id of a file means something at its own provider only.

use std::borrow::Cow;

use super::super::Untranslatable;
use super::super::field::{Path, quoted};
use super::super::json::Json;
use super::super::reply::Input;
use super::text_block;

/// Who said it decides what may stand there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Voice {
    User,
    Assistant,
    /// Instructions: texts only.
    System,
}

/// The blocks of a content: a text, or a list of parts. Empty texts, which Anthropic refuses, are
/// left out.
pub(super) fn content<'a>(
    content: Json<'a>,
    voice: Voice,
    at: Path<'_>,
) -> Result<Vec<Json<'a>>, Untranslatable> {
    match content {
        Json::Null => Ok(Vec::new()),
        Json::Text(text) => Ok(some(text).into_iter().collect()),
        Json::List(parts) => {
            let mut blocks = Vec::with_capacity(parts.len());
            for (place, one) in parts.into_iter().enumerate() {
                blocks.extend(part(one, voice, at.item(place))?);
            }
            Ok(blocks)
        }
        other => Err(at.expected("a string or an array", &other)),
    }
}

fn some(text: Cow<'_, str>) -> Option<Json<'_>> {
    (!text.is_empty()).then(|| text_block(text))
}

fn part<'a>(
    mut part: Json<'a>,
    voice: Voice,
    at: Path<'_>,
) -> Result<Option<Json<'a>>, Untranslatable> {
    let kind = at.key("type").name(part.take("type"))?;
    let block = match (&*kind, voice) {
        ("text" | "input_text" | "output_text", _) => {
            let text = at.key("text").text(part.take("text"))?;
            text.and_then(some)
        }
        ("refusal", Voice::Assistant) => {
            let text = at.key("refusal").text(part.take("refusal"))?;
            text.and_then(some)
        }
        ("image_url", Voice::User) => {
            let path = at.key("image_url");
            // Some clients write the URL itself.
            let url = match part.take("image_url") {
                Json::Text(url) => url,
                mut image => path.key("url").name(image.take("url"))?,
            };
            Some(image(url, path)?)
        }
        ("input_image", Voice::User) if part.get("image_url").is_null() => {
            return Err(at.key("file_id").refuse(
                "cannot be translated: the file is at another provider; send the image itself",
            ));
        }
        ("input_image", Voice::User) => {
            let path = at.key("image_url");
            Some(image(path.name(part.take("image_url"))?, path)?)
        }
        ("file", Voice::User) => Some(file(part.take("file"), at.key("file"))?),
        ("input_file", Voice::User) => {
            let mark = cache_mark(&mut part);
            let mut block = file(part, at)?;
            if let Json::Object(pairs) = &mut block {
                pairs.extend(mark);
            }
            return Ok(Some(block));
        }
        ("input_audio", _) => {
            return Err(at.refuse("cannot be translated: this model's provider hears no audio"));
        }
        _ => {
            let path = at.key("type");
            return Err(path.refuse(format_args!(
                "cannot be translated: {} is not known here",
                quoted(&kind)
            )));
        }
    };
    Ok(block.map(|mut block| {
        if let Json::Object(pairs) = &mut block {
            pairs.extend(cache_mark(&mut part));
        }
        block
    }))
}

/// `cache_control`, which clients that know of Claude send along, or OpenAI's own mark.
pub(super) fn cache_mark<'a>(of: &mut Json<'a>) -> Option<(Cow<'static, str>, Json<'a>)> {
    let mark = match of.take("cache_control") {
        mark @ Json::Object(_) => mark,
        _ if of.get("prompt_cache_breakpoint").is_object() => {
            Json::object([("type", Json::text("ephemeral"))])
        }
        _ => return None,
    };
    Some((Cow::Borrowed("cache_control"), mark))
}

fn image<'a>(url: Cow<'a, str>, at: Path<'_>) -> Result<Json<'a>, Untranslatable> {
    let source = source(url, at, |media| match media {
        "image/jpeg" | "image/jpg" => Some("image/jpeg"),
        "image/png" => Some("image/png"),
        "image/gif" => Some("image/gif"),
        "image/webp" => Some("image/webp"),
        _ => None,
    })?;
    Ok(Json::object([("type", Json::text("image")), ("source", source)]))
}

/// A file given with the request: PDF, or text.
fn file<'a>(mut file: Json<'a>, at: Path<'_>) -> Result<Json<'a>, Untranslatable> {
    let title = at.key("filename").text(file.take("filename"))?;
    let (data, path) = match (file.take("file_data"), file.take("file_url")) {
        (Json::Null, Json::Null) => {
            return Err(at.key("file_id").refuse(
                "cannot be translated: the file is at another provider; send it in `file_data`",
            ));
        }
        (Json::Null, url) => (url, at.key("file_url")),
        (data, _) => (data, at.key("file_data")),
    };
    let source = source(path.name(data)?, path, |media| match media {
        "application/pdf" => Some("application/pdf"),
        _ => None,
    })?;
    let mut pairs =
        vec![(Cow::Borrowed("type"), Json::text("document")), (Cow::Borrowed("source"), source)];
    if let Some(title) = title {
        pairs.push((Cow::Borrowed("title"), Json::Text(title)));
    }
    Ok(Json::Object(pairs))
}

/// Where the bytes are: in a data URL (RFC 2397), or elsewhere.
fn source<'a>(
    url: Cow<'a, str>,
    at: Path<'_>,
    known: impl Fn(&str) -> Option<&'static str>,
) -> Result<Json<'a>, Untranslatable> {
    let begins =
        |text: &str| url.get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text));
    if begins("https://") || begins("http://") {
        return Ok(Json::object([("type", Json::text("url")), ("url", Json::Text(url))]));
    }
    if !begins("data:") {
        return Err(at.refuse("must be an http(s) or a data URL"));
    }
    let Some((head, data)) = url["data:".len()..].split_once(',') else {
        return Err(at.refuse("is a data URL without data"));
    };
    let mut words = head.split(';').map(str::trim);
    let media = words.next().unwrap_or_default().to_ascii_lowercase();
    if !words.any(|word| word.eq_ignore_ascii_case("base64")) {
        return Err(at.refuse("must be a data URL in base64"));
    }
    let Some(media) = known(&media) else {
        return Err(
            at.refuse(format_args!("cannot be translated: {} is not known here", quoted(&media)))
        );
    };
    let data = match url {
        Cow::Borrowed(url) => Cow::Borrowed(url.split_once(',').map_or("", |(_, data)| data)),
        Cow::Owned(_) => Cow::Owned(data.to_owned()),
    };
    Ok(Json::object([
        ("type", Json::text("base64")),
        ("media_type", Json::text(media)),
        ("data", Json::Text(data)),
    ]))
}

/// A call the assistant made.
pub(super) fn call<'a>(id: &str, name: Cow<'a, str>, arguments: Cow<'a, str>) -> Json<'a> {
    Json::object([
        ("type", Json::text("tool_use")),
        ("id", Json::Text(call_id(id))),
        ("name", Json::Text(name)),
        ("input", Input::Text(arguments).into_object()),
    ])
}

/// What came of a call; nothing at all where it came to nothing.
pub(super) fn result<'a>(id: &str, blocks: Vec<Json<'a>>) -> Json<'a> {
    let mut pairs = vec![
        (Cow::Borrowed("type"), Json::text("tool_result")),
        (Cow::Borrowed("tool_use_id"), Json::Text(call_id(id))),
    ];
    let content = match &blocks[..] {
        [] => None,
        [Json::Object(block)] if block.len() == 2 && block[1].0 == "text" => {
            Some(block[1].1.clone())
        }
        _ => Some(Json::List(blocks)),
    };
    pairs.extend(content.map(|content| (Cow::Borrowed("content"), content)));
    Json::Object(pairs)
}

/// Anthropic's ids are of letters, digits, `_` and `-`.
fn call_id(id: &str) -> Cow<'static, str> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    Cow::Owned(id.chars().map(|c| if good(c) { c } else { '_' }).collect())
}
