//! Turns of a Messages request as messages of a chat: results of tools become messages of their
//! own, thinking stays behind (OpenAI's dialect has no place for it).

use std::borrow::Cow;

use super::super::Untranslatable;
use super::super::field::{Path, at_most, quoted};
use super::super::json::Json;

/// Said of a tool's result that is a picture alone: messages of tools hold texts only.
const SEE_BELOW: &str = "The result is in the next message.";

pub(super) fn system<'a>(
    system: Json<'a>,
    messages: &mut Vec<Json<'a>>,
) -> Result<(), Untranslatable> {
    let text = texts(system, Path::Root.key("system"), "\n\n")?;
    if !text.is_empty() {
        messages.push(message("system", Json::Text(text)));
    }
    Ok(())
}

pub(super) fn turns<'a>(
    turns: Json<'a>,
    messages: &mut Vec<Json<'a>>,
) -> Result<(), Untranslatable> {
    let at = Path::Root.key("messages");
    let turns = at.list(turns)?;
    if turns.is_empty() {
        return Err(at.refuse("must not be empty"));
    }
    if turns.last().is_some_and(|turn| turn.get("role").as_str() == Some("assistant")) {
        return Err(at.refuse(
            "cannot be translated: it ends with a turn of the assistant, which this model's \
             provider would not continue",
        ));
    }
    for (place, mut turn) in turns.into_iter().enumerate() {
        let at = at.item(place);
        let role = at.key("role").name(turn.take("role"))?;
        let content = turn.take("content");
        let path = at.key("content");
        match &*role {
            "user" => user(content, path, messages)?,
            "assistant" => assistant(content, path, messages)?,
            "system" => {
                let text = texts(content, path, "\n\n")?;
                messages.push(message("system", Json::Text(text)));
            }
            _ => return Err(at.key("role").refuse("must be \"user\" or \"assistant\"")),
        }
    }
    Ok(())
}

fn message<'a>(role: &'static str, content: Json<'a>) -> Json<'a> {
    Json::object([("role", Json::text(role)), ("content", content)])
}

/// A text, or blocks of texts put together.
fn texts<'a>(
    content: Json<'a>,
    at: Path<'_>,
    between: &str,
) -> Result<Cow<'a, str>, Untranslatable> {
    let blocks = match content {
        Json::Null => return Ok(Cow::Borrowed("")),
        Json::Text(text) => return Ok(text),
        Json::List(blocks) => blocks,
        other => return Err(at.expected("a string or an array", &other)),
    };
    let mut all: Option<Cow<'a, str>> = None;
    for (place, mut block) in blocks.into_iter().enumerate() {
        let at = at.item(place);
        if block.get("type").as_str() != Some("text") {
            return Err(at.key("type").refuse("must be \"text\" here"));
        }
        let text = at.key("text").text(block.take("text"))?.unwrap_or_default();
        match &mut all {
            None => all = Some(text),
            Some(all) => {
                let all = all.to_mut();
                all.push_str(between);
                all.push_str(&text);
            }
        }
    }
    Ok(all.unwrap_or_default())
}

/// The blocks of a turn; `None` if it was one text, which is a message already.
fn blocks<'a>(
    role: &'static str,
    content: Json<'a>,
    at: Path<'_>,
    messages: &mut Vec<Json<'a>>,
) -> Result<Option<Vec<Json<'a>>>, Untranslatable> {
    match content {
        Json::Text(_) => {
            messages.push(message(role, content));
            Ok(None)
        }
        Json::List(blocks) => Ok(Some(blocks)),
        other => Err(at.expected("a string or an array", &other)),
    }
}

fn user<'a>(
    content: Json<'a>,
    at: Path<'_>,
    messages: &mut Vec<Json<'a>>,
) -> Result<(), Untranslatable> {
    let Some(blocks) = blocks("user", content, at, messages)? else { return Ok(()) };
    let mut parts = Vec::with_capacity(blocks.len());
    for (place, mut block) in blocks.into_iter().enumerate() {
        let at = at.item(place);
        if block.get("type").as_str() == Some("tool_result") {
            let id = at.key("tool_use_id").name(block.take("tool_use_id"))?;
            let failed = at.key("is_error").boolean(block.get("is_error"))? == Some(true);
            let path = at.key("content");
            let text = result(block.take("content"), failed, path, &mut parts)?;
            messages.push(Json::object([
                ("role", Json::text("tool")),
                ("tool_call_id", Json::Text(call_id(id))),
                ("content", Json::Text(text)),
            ]));
        } else {
            part(block, at, &mut parts)?;
        }
    }
    match &mut *parts {
        [] => {}
        [one] if one.get("type").as_str() == Some("text") => {
            messages.push(message("user", one.take("text")));
        }
        _ => messages.push(message("user", Json::List(parts))),
    }
    Ok(())
}

/// The text of a tool's result; what is no text goes into `parts`, for the message that follows.
fn result<'a>(
    content: Json<'a>,
    failed: bool,
    at: Path<'_>,
    parts: &mut Vec<Json<'a>>,
) -> Result<Cow<'a, str>, Untranslatable> {
    let blocks = match content {
        Json::List(blocks) => blocks,
        Json::Null => Vec::new(),
        Json::Text(text) if !failed => return Ok(text),
        Json::Text(text) => {
            vec![Json::object([("type", Json::text("text")), ("text", Json::Text(text))])]
        }
        other => return Err(at.expected("a string or an array", &other)),
    };
    let mut text = Cow::Borrowed(if failed { "Error: " } else { "" });
    let before = parts.len();
    let mut begun = false;
    for (place, mut block) in blocks.into_iter().enumerate() {
        let at = at.item(place);
        if block.get("type").as_str() != Some("text") {
            part(block, at, parts)?;
            continue;
        }
        let more = at.key("text").text(block.take("text"))?.unwrap_or_default();
        if std::mem::replace(&mut begun, true) {
            text.to_mut().push('\n');
        }
        text.to_mut().push_str(&more);
    }
    if text.is_empty() && parts.len() > before {
        text = Cow::Borrowed(SEE_BELOW);
    }
    Ok(text)
}

/// OpenAI takes 40 characters of an id.
fn call_id(id: Cow<'_, str>) -> Cow<'_, str> {
    at_most(40, "call_", id)
}

/// A block of the user's as a part.
fn part<'a>(
    mut block: Json<'a>,
    at: Path<'_>,
    parts: &mut Vec<Json<'a>>,
) -> Result<(), Untranslatable> {
    let kind = at.key("type").name(block.take("type"))?;
    match &*kind {
        "text" => {
            let text = at.key("text").text(block.take("text"))?.unwrap_or_default();
            parts.push(Json::object([("type", Json::text("text")), ("text", Json::Text(text))]));
        }
        "image" => {
            let url = source(block.take("source"), at.key("source"))?;
            parts.push(Json::object([
                ("type", Json::text("image_url")),
                ("image_url", Json::object([("url", Json::Text(url))])),
            ]));
        }
        "document" => document(block, at, parts)?,
        _ => {
            let path = at.key("type");
            return Err(path.refuse(format_args!("cannot be translated: {}", quoted(&kind))));
        }
    }
    Ok(())
}

/// The URL of an image: its own, or one that holds it.
fn source<'a>(mut source: Json<'a>, at: Path<'_>) -> Result<Cow<'a, str>, Untranslatable> {
    match source.get("type").as_str() {
        Some("url") => at.key("url").name(source.take("url")),
        Some("base64") => {
            let media = at.key("media_type").name(source.take("media_type"))?;
            let data = at.key("data").name(source.take("data"))?;
            Ok(Cow::Owned(format!("data:{media};base64,{data}")))
        }
        _ => Err(at.key("type").refuse("cannot be translated: only \"base64\" and \"url\" can")),
    }
}

fn document<'a>(
    mut block: Json<'a>,
    at: Path<'_>,
    parts: &mut Vec<Json<'a>>,
) -> Result<(), Untranslatable> {
    let title = at.key("title").text(block.take("title"))?;
    let mut inner = block.take("source");
    let path = at.key("source");
    match inner.get("type").as_str() {
        Some("base64") => {
            let data = source(inner, path)?;
            let name = title.unwrap_or(Cow::Borrowed("document.pdf"));
            let file =
                Json::object([("filename", Json::Text(name)), ("file_data", Json::Text(data))]);
            parts.push(Json::object([("type", Json::text("file")), ("file", file)]));
            Ok(())
        }
        Some("text") => {
            let mut text = path.key("data").name(inner.take("data"))?;
            if let Some(title) = title {
                text = Cow::Owned(format!("{title}\n\n{text}"));
            }
            parts.push(Json::object([("type", Json::text("text")), ("text", Json::Text(text))]));
            Ok(())
        }
        _ => {
            let why = "cannot be translated: only \"base64\" and \"text\" can";
            Err(path.key("type").refuse(why))
        }
    }
}

fn assistant<'a>(
    content: Json<'a>,
    at: Path<'_>,
    messages: &mut Vec<Json<'a>>,
) -> Result<(), Untranslatable> {
    let Some(blocks) = blocks("assistant", content, at, messages)? else { return Ok(()) };
    let mut text: Option<Cow<'a, str>> = None;
    let mut calls = Vec::new();
    for (place, mut block) in blocks.into_iter().enumerate() {
        let at = at.item(place);
        let kind = at.key("type").name(block.take("type"))?;
        match &*kind {
            "text" => {
                let more = at.key("text").text(block.take("text"))?.unwrap_or_default();
                match &mut text {
                    None => text = Some(more),
                    Some(text) => text.to_mut().push_str(&more),
                }
            }
            "thinking" | "redacted_thinking" => {}
            "tool_use" => {
                let id = at.key("id").name(block.take("id"))?;
                let name = at.key("name").name(block.take("name"))?;
                let input = match at.key("input").object(block.take("input"))? {
                    Json::Null => "{}".to_owned(),
                    input => input.to_text(),
                };
                let function =
                    Json::object([("name", Json::Text(name)), ("arguments", Json::text(input))]);
                calls.push(Json::object([
                    ("id", Json::Text(call_id(id))),
                    ("type", Json::text("function")),
                    ("function", function),
                ]));
            }
            _ => {
                let path = at.key("type");
                return Err(path.refuse(format_args!("cannot be translated: {}", quoted(&kind))));
            }
        }
    }
    if text.is_none() && calls.is_empty() {
        return Ok(());
    }
    let content = text.filter(|text| !text.is_empty()).map(Json::Text);
    let empty = if calls.is_empty() { Json::text("") } else { Json::Null };
    let mut pairs = vec![
        (Cow::Borrowed("role"), Json::text("assistant")),
        (Cow::Borrowed("content"), content.unwrap_or(empty)),
    ];
    if !calls.is_empty() {
        pairs.push((Cow::Borrowed("tool_calls"), Json::List(calls)));
    }
    messages.push(Json::Object(pairs));
    Ok(())
}
