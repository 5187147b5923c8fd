//! Tools and the choice among them, as both of OpenAI's endpoints have them: within `function` in
//! chat completions, flat in Responses.

use std::borrow::Cow;

use super::super::Untranslatable;
use super::super::field::{Path, quoted};
use super::super::json::Json;
use super::super::unwrap::ANSWER_TOOL;
use super::parts::cache_mark;
use super::{Choice, Draft};

/// The definition of a function: `outer` is the tool, `function` what names and describes it.
pub(super) fn function<'a>(
    mut outer: Json<'a>,
    mut function: Json<'a>,
    at: Path<'_>,
) -> Result<Json<'a>, Untranslatable> {
    let name = at.key("name").name(function.take("name"))?;
    if name == ANSWER_TOOL {
        return Err(at.key("name").refuse("is the name of a tool of the gateway's own"));
    }
    let path = at.key("parameters");
    let schema = object_schema(function.take("parameters"), path)?;
    let mut pairs = vec![(Cow::Borrowed("name"), Json::Text(name))];
    if let Some(text) = at.key("description").text(function.take("description"))? {
        pairs.push((Cow::Borrowed("description"), Json::Text(text)));
    }
    pairs.push((Cow::Borrowed("input_schema"), schema));
    if let Some(true) = at.key("strict").boolean(function.get("strict"))? {
        pairs.push((Cow::Borrowed("strict"), Json::Bool(true)));
    }
    pairs.extend(cache_mark(&mut outer));
    Ok(Json::Object(pairs))
}

/// A schema of an object: Anthropic wants it to say that it is one.
pub(super) fn object_schema<'a>(
    schema: Json<'a>,
    at: Path<'_>,
) -> Result<Json<'a>, Untranslatable> {
    match at.object(schema)? {
        Json::Object(mut pairs) => {
            match pairs.iter().find(|(key, _)| key == "type").map(|(_, kind)| kind) {
                Some(Json::Text(kind)) if kind == "object" => {}
                None => pairs.insert(0, (Cow::Borrowed("type"), Json::text("object"))),
                Some(_) => {
                    return Err(at.refuse("must be a schema whose `type` is \"object\""));
                }
            }
            Ok(Json::Object(pairs))
        }
        _ => Ok(Json::object([
            ("type", Json::text("object")),
            ("properties", Json::Object(Vec::new())),
        ])),
    }
}

/// `tool_choice`; `nested` where a function's name stands within `function`.
pub(super) fn choice<'a>(
    draft: &mut Draft<'a>,
    mut value: Json<'a>,
    nested: bool,
) -> Result<(), Untranslatable> {
    let at = Path::Root.key("tool_choice");
    let choice = match value.as_str() {
        Some("auto") => Choice::Auto,
        Some("none") => Choice::None,
        Some("required") => Choice::Any,
        Some(_) => return Err(at.refuse("must be \"auto\", \"none\", \"required\" or an object")),
        None => match (&value, value.get("type").as_str()) {
            (Json::Null, _) => return Ok(()),
            (_, Some("function")) => Choice::Tool(named(&mut value, nested, at)?),
            (_, Some("allowed_tools")) => return allowed(draft, value, nested),
            (Json::Object(_), _) => {
                return Err(at
                    .key("type")
                    .refuse("cannot be translated: only \"function\" and \"allowed_tools\" can"));
            }
            (other, _) => return Err(at.expected("a string or an object", other)),
        },
    };
    let known = |name: &str| draft.tools.iter().any(|tool| tool.get("name").as_str() == Some(name));
    match &choice {
        Choice::Tool(name) if !known(name) => {
            return Err(
                at.refuse(format_args!("names {}, which is not among `tools`", quoted(name)))
            );
        }
        Choice::Any if draft.tools.is_empty() => {
            return Err(at.refuse("asks for a call, but there are no `tools`"));
        }
        Choice::None if draft.tools.is_empty() => {}
        _ => draft.choice = choice,
    }
    Ok(())
}

fn named<'a>(
    value: &mut Json<'a>,
    nested: bool,
    at: Path<'_>,
) -> Result<Cow<'a, str>, Untranslatable> {
    if nested {
        let within = at.key("function");
        within.key("name").name(value.take("function").take("name"))
    } else {
        at.key("name").name(value.take("name"))
    }
}

/// Only some of the tools: the others are not told of.
fn allowed<'a>(
    draft: &mut Draft<'a>,
    mut value: Json<'a>,
    nested: bool,
) -> Result<(), Untranslatable> {
    let at = Path::Root.key("tool_choice");
    let mut within = at;
    if nested {
        within = at.key("allowed_tools");
        value = value.take("allowed_tools");
    }
    draft.choice = match value.get("mode").as_str() {
        Some("auto") => Choice::Auto,
        Some("required") => Choice::Any,
        _ => return Err(within.key("mode").refuse("must be \"auto\" or \"required\"")),
    };
    let list = within.key("tools");
    let mut names = Vec::new();
    for (place, mut tool) in list.list(value.take("tools"))?.into_iter().enumerate() {
        names.push(named(&mut tool, nested, list.item(place))?);
    }
    let is_named = |tool: &Json| names.iter().any(|name| tool.get("name").as_str() == Some(name));
    draft.tools.retain(is_named);
    if draft.tools.is_empty() {
        return Err(list.refuse("names none of `tools`"));
    }
    Ok(())
}
