//! From chat completions.

use std::borrow::Cow;

use super::super::field::{Path, at_most, quoted};
use super::super::json::Json;
use super::super::{Ask, Back, Translated, Untranslatable};
use super::parts::{self, Voice};
use super::{Draft, Format, tools};

/// Whom the messages of refusal speak of.
const WHOM: &str = "this model's provider";
/// Characters Anthropic takes of a `user_id`.
const USER_CHARS_MAX: usize = 256;
/// Whether a field's value asks for nothing.
type IsIdle<'f> = &'f dyn Fn(&Json<'_>) -> bool;

pub(in super::super) fn request(
    ask: &Ask<'_>,
    mut json: Json<'_>,
) -> Result<Translated, Untranslatable> {
    let mut back = Back::new(ask, &json)?;
    let mut draft = Draft::new(ask);
    untranslatable(&json)?;
    let at = Path::Root.key("messages");
    for (place, message) in at.list(json.take("messages"))?.into_iter().enumerate() {
        self::message(&mut draft, message, at.item(place))?;
    }
    let at = Path::Root.key("tools");
    for (place, mut tool) in at.list(json.take("tools"))?.into_iter().enumerate() {
        let at = at.item(place);
        match tool.get("type").as_str() {
            Some("function") => {
                let function = at.key("function").object(tool.take("function"))?;
                draft.tools.push(tools::function(tool, function, at.key("function"))?);
            }
            _ => return Err(at.key("type").refuse("cannot be translated: only \"function\" can")),
        }
    }
    tools::choice(&mut draft, json.take("tool_choice"), true)?;
    draft.parallel =
        Path::Root.key("parallel_tool_calls").boolean(json.get("parallel_tool_calls"))?;
    let format = json.take("response_format");
    draft.format = response_format(format, Path::Root.key("response_format"))?;
    draft.effort = effort(json.take("reasoning_effort"), Path::Root.key("reasoning_effort"))?;
    limits(&mut draft, &json)?;
    let at = Path::Root.key("stop");
    if let Some(stops) = stops(json.take("stop"), at)? {
        draft.rest("stop_sequences", stops);
    }
    ending(&mut draft, &mut json)?;
    let at = Path::Root.key("stream_options");
    let options = at.object(json.take("stream_options"))?;
    let asked = at.key("include_usage").boolean(options.get("include_usage"))?;
    back.usage = asked == Some(true);
    draft.finish(ask, back)
}

/// What would change the meaning and has no word at Anthropic's.
fn untranslatable(json: &Json) -> Result<(), Untranslatable> {
    let zero = |value: &Json| value.as_f64() == Some(0.0);
    let no = |value: &Json| value.as_bool() == Some(false);
    let empty = |value: &Json| matches!(value, Json::Object(pairs) if pairs.is_empty());
    let text_only = |value: &Json| {
        let items = value.items();
        !items.is_empty() && items.iter().all(|item| item.as_str() == Some("text"))
    };
    let idle: [(&str, IsIdle<'_>); 12] = [
        ("n", &|value| value.as_u64() == Some(1)),
        ("logprobs", &no),
        ("top_logprobs", &zero),
        ("logit_bias", &empty),
        ("frequency_penalty", &zero),
        ("presence_penalty", &zero),
        ("modalities", &text_only),
        ("audio", &|_| false),
        ("functions", &|value| matches!(value, Json::List(items) if items.is_empty())),
        ("function_call", &|value| matches!(value.as_str(), Some("none" | "auto"))),
        ("web_search_options", &|_| false),
        ("moderation", &|_| false),
    ];
    for (key, is_idle) in idle {
        let value = json.get(key);
        Path::Root.key(key).absent(value, is_idle(value), WHOM)?;
    }
    Ok(())
}

fn message<'a>(
    draft: &mut Draft<'a>,
    mut message: Json<'a>,
    at: Path<'_>,
) -> Result<(), Untranslatable> {
    if !message.is_object() {
        return Err(at.expected("an object", &message));
    }
    let role = at.key("role").name(message.take("role"))?;
    let content = message.take("content");
    let path = at.key("content");
    match &*role {
        "system" | "developer" => {
            draft.system.extend(parts::content(content, Voice::System, path)?)
        }
        "user" => draft.say(false, parts::content(content, Voice::User, path)?),
        "assistant" => {
            let mut blocks = parts::content(content, Voice::Assistant, path)?;
            let refusal = at.key("refusal").text(message.take("refusal"))?;
            blocks.extend(refusal.filter(|text| !text.is_empty()).map(super::text_block));
            for old in ["audio", "function_call"] {
                at.key(old).absent(message.get(old), false, WHOM)?;
            }
            let list = at.key("tool_calls");
            let calls = list.list(message.take("tool_calls"))?;
            for (place, call) in calls.into_iter().enumerate() {
                blocks.push(self::call(call, list.item(place))?);
            }
            draft.say(true, blocks);
        }
        "tool" => {
            let id = at.key("tool_call_id").name(message.take("tool_call_id"))?;
            let blocks = parts::content(content, Voice::User, path)?;
            let mut result = parts::result(&id, blocks);
            if let Json::Object(pairs) = &mut result {
                pairs.extend(parts::cache_mark(&mut message));
            }
            draft.say(false, vec![result]);
        }
        _ => {
            return Err(at
                .key("role")
                .refuse(format_args!("cannot be translated: {}", quoted(&role))));
        }
    }
    Ok(())
}

fn call<'a>(mut call: Json<'a>, at: Path<'_>) -> Result<Json<'a>, Untranslatable> {
    // `function` is the only type that was there from the start.
    if !matches!(call.get("type").as_str(), Some("function") | None) {
        return Err(at.key("type").refuse("cannot be translated: only \"function\" can"));
    }
    let id = at.key("id").name(call.take("id"))?;
    let within = at.key("function");
    let mut function = within.object(call.take("function"))?;
    let name = within.key("name").name(function.take("name"))?;
    let arguments = within.key("arguments").text(function.take("arguments"))?;
    Ok(parts::call(&id, name, arguments.unwrap_or_default()))
}

fn response_format<'a>(mut format: Json<'a>, at: Path<'_>) -> Result<Format<'a>, Untranslatable> {
    match (&format, format.get("type").as_str()) {
        (Json::Null, _) | (_, Some("text")) => Ok(Format::Text),
        (_, Some("json_object")) => Ok(Format::Json { schema: None, description: None }),
        (_, Some("json_schema")) => {
            let path = at.key("json_schema");
            json_schema(path.object(format.take("json_schema"))?, path)
        }
        _ => Err(at.key("type").refuse("must be \"text\", \"json_object\" or \"json_schema\"")),
    }
}

/// The name and the schema of structured output, as both endpoints have them.
pub(super) fn json_schema<'a>(
    mut from: Json<'a>,
    at: Path<'_>,
) -> Result<Format<'a>, Untranslatable> {
    let description = at.key("description").text(from.take("description"))?;
    let schema = match from.take("schema") {
        Json::Null => None,
        schema => Some(tools::object_schema(schema, at.key("schema"))?),
    };
    Ok(Format::Json { schema, description })
}

pub(super) fn effort<'a>(
    value: Json<'a>,
    at: Path<'_>,
) -> Result<Option<Cow<'a, str>>, Untranslatable> {
    let Some(effort) = at.text(value)? else { return Ok(None) };
    match &*effort {
        "none" | "minimal" | "low" | "medium" | "high" | "xhigh" | "max" => Ok(Some(effort)),
        _ => Err(at.refuse("must be one of none, minimal, low, medium, high, xhigh, max")),
    }
}

/// How much, and how wild.
fn limits(draft: &mut Draft<'_>, json: &Json<'_>) -> Result<(), Untranslatable> {
    for key in ["max_completion_tokens", "max_tokens"] {
        if let Some(count) = Path::Root.key(key).count(json.get(key))? {
            draft.max_tokens = count;
            break;
        }
    }
    sampling(draft, json)
}

/// Anthropic's temperatures end at 1 where OpenAI's end at 2: what is above is 1.
pub(super) fn sampling(draft: &mut Draft<'_>, json: &Json<'_>) -> Result<(), Untranslatable> {
    let read = |key, max| Path::Root.key(key).number(json.get(key), 0.0..=max);
    draft.temperature = read("temperature", 2.0)?;
    draft.top_p = read("top_p", 1.0)?;
    draft.top_k = Path::Root.key("top_k").count(json.get("top_k"))?;
    Ok(())
}

fn stops<'a>(stop: Json<'a>, at: Path<'_>) -> Result<Option<Json<'a>>, Untranslatable> {
    let list = match stop {
        Json::Text(text) => vec![Json::Text(text)],
        stop => at.list(stop)?,
    };
    for (place, one) in list.iter().enumerate() {
        if one.as_str().is_none() {
            return Err(at.item(place).expected("a string", one));
        }
    }
    Ok((!list.is_empty()).then_some(Json::List(list)))
}

/// Who asks, how fast, and whether it streams.
pub(super) fn ending<'a>(draft: &mut Draft<'a>, json: &mut Json<'a>) -> Result<(), Untranslatable> {
    let mut who = None;
    for key in ["safety_identifier", "user"] {
        let text = Path::Root.key(key).text(json.take(key))?;
        who = who.or(text.filter(|text| !text.is_empty()));
    }
    if let Some(user) = who {
        let user = Json::Text(at_most(USER_CHARS_MAX, "", user));
        draft.rest("metadata", Json::object([("user_id", user)]));
    }
    let at = Path::Root.key("service_tier");
    match at.text(json.take("service_tier"))?.as_deref() {
        None => {}
        Some("auto" | "priority" | "fast") => draft.rest("service_tier", Json::text("auto")),
        Some("default") => draft.rest("service_tier", Json::text("standard_only")),
        Some(other) => {
            return Err(
                at.refuse(format_args!("cannot be translated: {WHOM} has no {}", quoted(other)))
            );
        }
    }
    if let Some(true) = Path::Root.key("stream").boolean(json.get("stream"))? {
        draft.rest("stream", Json::Bool(true));
    }
    Ok(())
}
