//! Requests to a provider that speaks OpenAI's chat completions, from Anthropic's Messages.

mod fields;
mod turns;

use std::borrow::Cow;

use super::field::{Path, number};
use super::json::{Json, Object};
use super::{Ask, Back, Translated, Untranslatable};
use crate::llm::Endpoint;

/// Whom the messages of refusal speak of.
const WHOM: &str = "this model's provider";
/// OpenAI takes so many stop sequences.
const STOPS_MAX: usize = 4;

pub(super) fn request(ask: &Ask<'_>, mut json: Json<'_>) -> Result<Translated, Untranslatable> {
    let mut back = Back::new(ask, &json)?;
    untranslatable(&json)?;
    let mut messages = Vec::new();
    turns::system(json.take("system"), &mut messages)?;
    turns::turns(json.take("messages"), &mut messages)?;
    let mut pairs: Object<'_> = vec![
        (Cow::Borrowed("model"), Json::text(ask.model)),
        (Cow::Borrowed("messages"), Json::List(messages)),
    ];
    let mut add = |key, value| pairs.push((Cow::Borrowed(key), value));
    let at = Path::Root.key("max_tokens");
    if let Some(tokens) = at.count(json.get("max_tokens"))? {
        add(fields::max_tokens(ask.model), tokens.into());
    }
    let tools = fields::tools(json.take("tools"))?;
    let has_tools = !tools.is_empty();
    if has_tools {
        add("tools", Json::List(tools));
    }
    let (choice, parallel) = fields::choice(json.take("tool_choice"))?;
    match choice {
        Some(choice) if has_tools => add("tool_choice", choice),
        Some(choice) if !matches!(choice.as_str(), Some("auto" | "none")) => {
            let why = "asks for a call, but there are no `tools`";
            return Err(Path::Root.key("tool_choice").refuse(why));
        }
        _ => {}
    }
    if let (false, true) = (parallel, has_tools) {
        add("parallel_tool_calls", Json::Bool(false));
    }
    let mut output = Path::Root.key("output_config").object(json.take("output_config"))?;
    let thinking = Path::Root.key("thinking").object(json.take("thinking"))?;
    back.thinking = matches!(thinking.get("type").as_str(), Some("enabled" | "adaptive"))
        && thinking.get("display").as_str() != Some("omitted");
    if let Some(effort) = fields::effort(&thinking, &output, ask.model)? {
        add("reasoning_effort", Json::text(effort));
    }
    if let Some(format) = fields::response_format(output.take("format"))? {
        add("response_format", format);
    }
    for key in ["temperature", "top_p"] {
        // 1 is the default of both sides, and all that reasoning models take.
        let value = Path::Root.key(key).number(json.get(key), 0.0..=1.0)?;
        if let Some(value) = value.filter(|value| *value < 1.0) {
            add(key, number(value));
        }
    }
    if let Some(stops) = fields::stops(json.take("stop_sequences"))? {
        add("stop", stops);
    }
    if let Some(user) = fields::user(json.take("metadata"))? {
        add("user", user);
    }
    if let Some(tier) = fields::tier(&json)? {
        add("service_tier", Json::text(tier));
    }
    if let Some(true) = Path::Root.key("stream").boolean(json.get("stream"))? {
        add("stream", Json::Bool(true));
        add("stream_options", Json::object([("include_usage", Json::Bool(true))]));
    }
    let mut body = Vec::with_capacity(ask.body.len() + 256);
    Json::Object(pairs).write(&mut body);
    Ok(Translated { endpoint: Endpoint::ChatCompletions, body, back })
}

/// What would change the meaning and has no word at OpenAI's.
fn untranslatable(json: &Json) -> Result<(), Untranslatable> {
    for key in ["top_k", "container", "mcp_servers", "inference_geo"] {
        let value = json.get(key);
        let empty = matches!(value, Json::List(items) if items.is_empty());
        Path::Root.key(key).absent(value, empty, WHOM)?;
    }
    Ok(())
}
