//! Fields of a Messages request that are called otherwise in chat completions.

use std::borrow::Cow;

use super::super::Untranslatable;
use super::super::field::{Path, at_most};
use super::super::json::Json;
use super::{STOPS_MAX, WHOM};

/// Characters OpenAI takes of a `user`.
const USER_CHARS_MAX: usize = 64;

/// OpenAI's own models take `max_completion_tokens` (the newer ones nothing else), most other
/// servers of its dialect know `max_tokens` only.
pub(super) fn max_tokens(model: &str) -> &'static str {
    if is_openai(model) { "max_completion_tokens" } else { "max_tokens" }
}

fn is_openai(model: &str) -> bool {
    // Routers put the maker before the name.
    let name = model.rsplit('/').next().unwrap_or(model);
    let name = name.strip_prefix("ft:").unwrap_or(name);
    let digit = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    (name.starts_with("gpt-") && !name.starts_with("gpt-oss"))
        || name.starts_with("chatgpt-")
        || name.strip_prefix('o').is_some_and(digit)
}

/// Whether the model is one of OpenAI's that cannot reason, and refuse to be asked to.
fn never_reasons(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    let name = name.strip_prefix("ft:").unwrap_or(name);
    ["gpt-3", "gpt-4", "chatgpt-4"].iter().any(|old| name.starts_with(old))
}

pub(super) fn tools(list: Json<'_>) -> Result<Vec<Json<'_>>, Untranslatable> {
    let at = Path::Root.key("tools");
    let mut tools = Vec::new();
    for (place, mut tool) in at.list(list)?.into_iter().enumerate() {
        let at = at.item(place);
        if !matches!(tool.get("type").as_str(), None | Some("custom")) {
            let why = "cannot be translated: only Anthropic's own servers run that tool";
            return Err(at.key("type").refuse(why));
        }
        let mut function =
            vec![(Cow::Borrowed("name"), Json::Text(at.key("name").name(tool.take("name"))?))];
        if let Some(text) = at.key("description").text(tool.take("description"))? {
            function.push((Cow::Borrowed("description"), Json::Text(text)));
        }
        let path = at.key("input_schema");
        match path.object(tool.take("input_schema"))? {
            Json::Object(mut schema) => {
                // OpenAI refuses an object that names no properties.
                if !schema.iter().any(|(key, _)| key == "properties") {
                    schema.push((Cow::Borrowed("properties"), Json::Object(Vec::new())));
                }
                function.push((Cow::Borrowed("parameters"), Json::Object(schema)));
            }
            _ => return Err(path.refuse("must be an object")),
        }
        if let Some(true) = at.key("strict").boolean(tool.get("strict"))? {
            function.push((Cow::Borrowed("strict"), Json::Bool(true)));
        }
        tools.push(Json::object([
            ("type", Json::text("function")),
            ("function", Json::Object(function)),
        ]));
    }
    Ok(tools)
}

/// The choice, and whether several calls at once are welcome.
pub(super) fn choice(value: Json<'_>) -> Result<(Option<Json<'_>>, bool), Untranslatable> {
    let at = Path::Root.key("tool_choice");
    let mut value = at.object(value)?;
    let choice = match value.get("type").as_str() {
        None if value.is_null() => return Ok((None, true)),
        Some("auto") => Json::text("auto"),
        Some("any") => Json::text("required"),
        Some("none") => Json::text("none"),
        Some("tool") => {
            let name = at.key("name").name(value.take("name"))?;
            let function = Json::object([("name", Json::Text(name))]);
            Json::object([("type", Json::text("function")), ("function", function)])
        }
        _ => return Err(at.key("type").refuse("must be \"auto\", \"any\", \"tool\" or \"none\"")),
    };
    let key = "disable_parallel_tool_use";
    let single = at.key(key).boolean(value.get(key))? == Some(true);
    Ok((Some(choice), !single))
}

/// How much the model should think, in OpenAI's words.
pub(super) fn effort(
    thinking: &Json,
    output: &Json,
    model: &str,
) -> Result<Option<&'static str>, Untranslatable> {
    let path = Path::Root.key("output_config");
    let at = path.key("effort");
    let said = match (output.get("effort"), output.get("effort").as_str()) {
        (Json::Null, _) => None,
        (_, Some("low")) => Some("low"),
        (_, Some("medium")) => Some("medium"),
        (_, Some("high")) => Some("high"),
        (_, Some("xhigh")) => Some("xhigh"),
        (_, Some("max")) => Some("max"),
        _ => return Err(at.refuse("must be one of low, medium, high, xhigh, max")),
    };
    let budget = match thinking.get("type").as_str() {
        None if thinking.is_null() => None,
        Some("adaptive" | "between_tools") => None,
        // What thinks without being asked cannot always be told not to: the provider's own default.
        Some("disabled") => return Ok(None),
        Some("enabled") => {
            let path = Path::Root.key("thinking");
            let at = path.key("budget_tokens");
            let tokens = at.count(thinking.get("budget_tokens"))?;
            match tokens.ok_or_else(|| at.refuse("must be a whole number greater than 0"))? {
                0..=2048 => Some("low"),
                2049..=8192 => Some("medium"),
                _ => Some("high"),
            }
        }
        _ => {
            let path = Path::Root.key("thinking");
            return Err(path.key("type").refuse("is not known"));
        }
    };
    Ok(said.or(budget).filter(|_| !never_reasons(model)))
}

pub(super) fn response_format(mut format: Json<'_>) -> Result<Option<Json<'_>>, Untranslatable> {
    let path = Path::Root.key("output_config");
    let at = path.key("format");
    match (&format, format.get("type").as_str()) {
        (Json::Null, _) => return Ok(None),
        (_, Some("json_schema")) => {}
        _ => return Err(at.key("type").refuse("must be \"json_schema\"")),
    }
    let at = at.key("schema");
    let schema = at.object(format.take("schema"))?;
    if schema.is_null() {
        return Err(at.refuse("must be an object"));
    }
    let json_schema = Json::object([
        ("name", Json::text("answer")),
        ("strict", Json::Bool(is_strict(&schema))),
        ("schema", schema),
    ]);
    Ok(Some(Json::object([("type", Json::text("json_schema")), ("json_schema", json_schema)])))
}

/// Whether OpenAI would take the schema as strict: every object closed, every property required.
/// Anthropic lets properties be optional.
fn is_strict(schema: &Json) -> bool {
    match schema {
        Json::List(items) => items.iter().all(is_strict),
        Json::Object(pairs) => {
            let closed = match schema.get("properties") {
                Json::Object(properties) => {
                    let required = schema.get("required").items();
                    let is_required =
                        |name: &str| required.iter().any(|one| one.as_str() == Some(name));
                    schema.get("additionalProperties").as_bool() == Some(false)
                        && properties.iter().all(|(name, _)| is_required(name))
                }
                _ => schema.get("type").as_str() != Some("object"),
            };
            closed && pairs.iter().all(|(_, value)| is_strict(value))
        }
        _ => true,
    }
}

pub(super) fn stops(list: Json<'_>) -> Result<Option<Json<'_>>, Untranslatable> {
    let at = Path::Root.key("stop_sequences");
    let list = at.list(list)?;
    if list.len() > STOPS_MAX {
        return Err(
            at.refuse(format_args!("cannot be translated: {WHOM} takes {STOPS_MAX} at most"))
        );
    }
    for (place, one) in list.iter().enumerate() {
        if one.as_str().is_none() {
            return Err(at.item(place).expected("a string", one));
        }
    }
    Ok((!list.is_empty()).then_some(Json::List(list)))
}

/// Who asks. One that is too long for OpenAI is told by its hash, the same for the same user.
pub(super) fn user(metadata: Json<'_>) -> Result<Option<Json<'_>>, Untranslatable> {
    let at = Path::Root.key("metadata");
    let mut metadata = at.object(metadata)?;
    let user = at.key("user_id").text(metadata.take("user_id"))?;
    let user = user.filter(|user| !user.is_empty());
    Ok(user.map(|user| Json::Text(at_most(USER_CHARS_MAX, "", user))))
}

pub(super) fn tier(json: &Json) -> Result<Option<&'static str>, Untranslatable> {
    let at = Path::Root.key("speed");
    match (json.get("speed"), json.get("speed").as_str()) {
        (Json::Null, _) | (_, Some("standard")) => {}
        (_, Some("fast")) => return Ok(Some("priority")),
        _ => return Err(at.refuse("must be \"standard\" or \"fast\"")),
    }
    let at = Path::Root.key("service_tier");
    match (json.get("service_tier"), json.get("service_tier").as_str()) {
        (Json::Null, _) | (_, Some("auto")) => Ok(None),
        (_, Some("standard_only")) => Ok(Some("default")),
        _ => Err(at.refuse("must be \"auto\" or \"standard_only\"")),
    }
}
