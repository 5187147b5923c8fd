//! From the Responses API. What it keeps at OpenAI's (earlier responses, conversations, prompts,
//! background work) and the tools OpenAI runs itself cannot be had elsewhere.
//!
//! Claude's thinking travels as reasoning items: its signature in `encrypted_content`, so that a
//! client that sends the items back sends the thinking back.

use std::borrow::Cow;

use super::super::field::{Path, number, quoted};
use super::super::json::{Json, Object};
use super::super::reasoning;
use super::super::{Ask, Back, Translated, Untranslatable};
use super::parts::{self, Voice};
use super::{Draft, Format, chat, text_block, tools};

/// Whom the messages of refusal speak of.
const WHOM: &str = "this model's provider";

pub(in super::super) fn request(
    ask: &Ask<'_>,
    mut json: Json<'_>,
) -> Result<Translated, Untranslatable> {
    let mut back = Back::new(ask, &json)?;
    untranslatable(&json)?;
    back.echo = Some(echo(&json));
    let mut draft = Draft::new(ask);
    let at = Path::Root.key("instructions");
    let instructions = at.text(json.take("instructions"))?;
    draft.system.extend(instructions.filter(|text| !text.is_empty()).map(text_block));
    let at = Path::Root.key("input");
    match json.take("input") {
        Json::Text(text) => draft.say(false, parts::content(Json::Text(text), Voice::User, at)?),
        Json::List(items) => {
            for (place, item) in items.into_iter().enumerate() {
                self::item(&mut draft, item, at.item(place))?;
            }
        }
        Json::Null => {}
        other => return Err(at.expected("a string or an array", &other)),
    }
    let at = Path::Root.key("tools");
    for (place, tool) in at.list(json.take("tools"))?.into_iter().enumerate() {
        let at = at.item(place);
        if tool.get("type").as_str() != Some("function") {
            return Err(at.key("type").refuse("cannot be translated: only \"function\" can"));
        }
        draft.tools.push(tools::function(Json::Null, tool, at)?);
    }
    tools::choice(&mut draft, json.take("tool_choice"), false)?;
    draft.parallel =
        Path::Root.key("parallel_tool_calls").boolean(json.get("parallel_tool_calls"))?;
    let at = Path::Root.key("text");
    let text = at.object(json.take("text"))?;
    draft.format = format(text, at)?;
    reasoning(&mut draft, json.take("reasoning"))?;
    let at = Path::Root.key("max_output_tokens");
    if let Some(count) = at.count(json.get("max_output_tokens"))? {
        draft.max_tokens = count;
    }
    chat::sampling(&mut draft, &json)?;
    chat::ending(&mut draft, &mut json)?;
    draft.finish(ask, back)
}

/// What would change the meaning and has no word at Anthropic's.
fn untranslatable(json: &Json) -> Result<(), Untranslatable> {
    for key in ["previous_response_id", "conversation", "prompt", "moderation"] {
        Path::Root.key(key).absent(json.get(key), false, WHOM)?;
    }
    let at = Path::Root.key("background");
    at.absent(json.get("background"), json.get("background").as_bool() == Some(false), WHOM)?;
    let count = json.get("top_logprobs");
    Path::Root.key("top_logprobs").absent(count, count.as_u64() == Some(0), WHOM)?;
    let compaction = json.get("context_management");
    let none = matches!(compaction, Json::List(items) if items.is_empty());
    Path::Root.key("context_management").absent(compaction, none, WHOM)?;
    let at = Path::Root.key("include");
    for (place, one) in json.get("include").items().iter().enumerate() {
        if one.as_str() == Some("message.output_text.logprobs") {
            return Err(at.item(place).refuse("cannot be translated: there are no logprobs"));
        }
    }
    Ok(())
}

fn item<'a>(draft: &mut Draft<'a>, mut item: Json<'a>, at: Path<'_>) -> Result<(), Untranslatable> {
    if !item.is_object() {
        return Err(at.expected("an object", &item));
    }
    let kind = at.key("type").text(item.take("type"))?.unwrap_or(Cow::Borrowed("message"));
    match &*kind {
        "message" => message(draft, item, at)?,
        "function_call" => {
            let id = at.key("call_id").name(item.take("call_id"))?;
            let name = at.key("name").name(item.take("name"))?;
            let arguments = at.key("arguments").text(item.take("arguments"))?;
            draft.say(true, vec![parts::call(&id, name, arguments.unwrap_or_default())]);
        }
        "function_call_output" => {
            let id = at.key("call_id").name(item.take("call_id"))?;
            let path = at.key("output");
            let blocks = parts::content(item.take("output"), Voice::User, path)?;
            draft.say(false, vec![parts::result(&id, blocks)]);
        }
        "reasoning" => draft.say(true, thinking(item).into_iter().collect()),
        _ => {
            let path = at.key("type");
            return Err(path.refuse(format_args!("cannot be translated: {}", quoted(&kind))));
        }
    }
    Ok(())
}

fn message<'a>(
    draft: &mut Draft<'a>,
    mut item: Json<'a>,
    at: Path<'_>,
) -> Result<(), Untranslatable> {
    let role = at.key("role").name(item.take("role"))?;
    let content = item.take("content");
    let path = at.key("content");
    match &*role {
        "system" | "developer" => {
            draft.system.extend(parts::content(content, Voice::System, path)?);
        }
        "user" => draft.say(false, parts::content(content, Voice::User, path)?),
        "assistant" => draft.say(true, parts::content(content, Voice::Assistant, path)?),
        _ => {
            return Err(at
                .key("role")
                .refuse(format_args!("cannot be translated: {}", quoted(&role))));
        }
    }
    Ok(())
}

/// Thinking that comes back. What another provider thought means nothing here.
fn thinking(mut item: Json<'_>) -> Option<Json<'_>> {
    let sealed = item.get("encrypted_content").as_str()?;
    if let Some(data) = reasoning::redacted(sealed) {
        return Some(Json::object([
            ("type", Json::text("redacted_thinking")),
            ("data", Json::text(data.to_owned())),
        ]));
    }
    let signature = reasoning::signature(sealed)?.to_owned();
    let summary = item.take("summary");
    let text: String =
        summary.items().iter().filter_map(|part| part.get("text").as_str()).collect();
    Some(Json::object([
        ("type", Json::text("thinking")),
        ("thinking", Json::text(text)),
        ("signature", Json::text(signature)),
    ]))
}

fn format<'a>(mut text: Json<'a>, at: Path<'_>) -> Result<Format<'a>, Untranslatable> {
    let at = at.key("format");
    let format = at.object(text.take("format"))?;
    match (&format, format.get("type").as_str()) {
        (Json::Null, _) | (_, Some("text")) => Ok(Format::Text),
        (_, Some("json_object")) => Ok(Format::Json { schema: None, description: None }),
        (_, Some("json_schema")) => chat::json_schema(format, at),
        _ => Err(at.key("type").refuse("must be \"text\", \"json_object\" or \"json_schema\"")),
    }
}

fn reasoning<'a>(draft: &mut Draft<'a>, value: Json<'a>) -> Result<(), Untranslatable> {
    let at = Path::Root.key("reasoning");
    let mut value = at.object(value)?;
    draft.effort = chat::effort(value.take("effort"), at.key("effort"))?;
    draft.summary = ["summary", "generate_summary"].iter().any(|key| !value.get(key).is_null());
    Ok(())
}

/// What an answer repeats of its request, with what was left out.
fn echo(json: &Json<'_>) -> Json<'static> {
    let mut pairs: Object<'static> = Vec::new();
    let mut add = |key: &'static str, value: Json<'static>| pairs.push((Cow::Borrowed(key), value));
    let said = |key: &str, default: Json<'static>| match json.get(key) {
        Json::Null => default,
        value => value.clone().into_owned(),
    };
    add("instructions", said("instructions", Json::Null));
    add("max_output_tokens", said("max_output_tokens", Json::Null));
    add("max_tool_calls", said("max_tool_calls", Json::Null));
    add("metadata", said("metadata", Json::Object(Vec::new())));
    add("parallel_tool_calls", said("parallel_tool_calls", Json::Bool(true)));
    add("previous_response_id", Json::Null);
    let nothing = Json::object([("effort", Json::Null), ("summary", Json::Null)]);
    add("reasoning", said("reasoning", nothing));
    add("service_tier", Json::text("default"));
    // Nothing is kept here: what was said before is sent again by the client.
    add("store", Json::Bool(false));
    add("temperature", said("temperature", number(1.0)));
    let plain = Json::object([("format", Json::object([("type", Json::text("text"))]))]);
    let mut text = said("text", plain.clone());
    if text.get("format").is_null() {
        text = plain;
    }
    add("text", text);
    add("tool_choice", said("tool_choice", Json::text("auto")));
    let tools = json.get("tools").items().iter().map(|tool| tool_echo(tool.clone().into_owned()));
    add("tools", Json::List(tools.collect()));
    add("top_logprobs", 0.into());
    add("top_p", said("top_p", number(1.0)));
    add("truncation", said("truncation", Json::text("disabled")));
    add("user", said("user", Json::Null));
    Json::Object(pairs)
}

/// OpenAI's own answers always have these of a tool.
fn tool_echo(mut tool: Json<'static>) -> Json<'static> {
    if let Json::Object(pairs) = &mut tool {
        for key in ["description", "parameters"] {
            if !pairs.iter().any(|(name, _)| name == key) {
                pairs.push((Cow::Borrowed(key), Json::Null));
            }
        }
        if !pairs.iter().any(|(name, _)| name == "strict") {
            pairs.push((Cow::Borrowed("strict"), Json::Bool(false)));
        }
    }
    tool
}
