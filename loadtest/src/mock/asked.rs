//! What a request asks of the model, whichever dialect it was written in: how long its text is,
//! which tools it offers, what form the answer is to have. Pure; a request that a real provider
//! would refuse is refused with the words to say so.
//!
//! Invariant: `input` depends on the request alone: ceil(bytes of all content text / 4), 85 for an
//! image, 10 for a tool. Tests compute it themselves.

use serde_json::Value;

use super::schema;
use super::wire::Endpoint;

/// What a request lacks, or has wrong.
#[derive(Debug, PartialEq, Eq)]
pub struct Complaint {
    pub param: Option<&'static str>,
    pub code: Option<&'static str>,
    pub message: String,
}

pub struct Tool {
    pub name: String,
    schema: Value,
}

/// Which tools the answer is to call.
#[derive(Debug, PartialEq, Eq)]
enum Wish {
    No,
    First,
    All,
    Named(String),
}

#[derive(Default)]
pub struct Asked {
    pub model: String,
    pub stream: bool,
    pub includes_usage: bool,
    pub tokens_max: Option<u64>,
    pub choices: u64,
    /// Tokens of input.
    pub input: u64,
    /// The calls the answer is to make: name and arguments.
    pub calls: Vec<(String, String)>,
    /// The answer is to be this JSON text.
    pub json: Option<String>,
    pub thinks: bool,
    /// `user`, or `metadata.user_id`: who counts aborted requests finds his own by it.
    pub tag: String,
    /// Of embeddings: one hash for each input, how many numbers, in base64.
    pub inputs: Vec<u64>,
    pub dimensions: usize,
    pub base64: bool,
}

/// What content adds up to.
#[derive(Default)]
struct Tally {
    bytes: u64,
    tokens: u64,
    images: u64,
}

const DIMENSIONS: usize = 1536;
const IMAGE_TOKENS: u64 = 85;
const TOOL_TOKENS: u64 = 10;

// === impl Asked ===

impl Asked {
    pub fn read(endpoint: Endpoint, body: &Value) -> Result<Asked, Complaint> {
        let Some(fields) = body.as_object() else {
            return Err(Complaint::wrong(None, "the body is not a JSON object"));
        };
        let Some(model) = body["model"].as_str() else {
            return Err(Complaint::missing(endpoint, "model"));
        };
        let must = match endpoint {
            Endpoint::Chat | Endpoint::Messages | Endpoint::CountTokens => "messages",
            Endpoint::Text => "prompt",
            Endpoint::Responses | Endpoint::Embeddings => "input",
        };
        if fields.get(must).is_none_or(Value::is_null) {
            return Err(Complaint::missing(endpoint, must));
        }
        if must == "messages" && body[must].as_array().is_none_or(Vec::is_empty) {
            let message = "messages: at least one message is required";
            return Err(Complaint::wrong(Some("messages"), message));
        }
        let mut asked = Asked {
            model: model.to_owned(),
            stream: body["stream"].as_bool().unwrap_or(false),
            includes_usage: body["stream_options"]["include_usage"].as_bool().unwrap_or(false),
            tokens_max: tokens_max(endpoint, body)?,
            choices: body["n"].as_u64().unwrap_or(1).clamp(1, 128),
            tag: tag(endpoint, body).to_owned(),
            thinks: body["thinking"]["type"] == "enabled",
            ..Asked::default()
        };
        let mut tally = Tally::default();
        for name in ["system", "instructions", must] {
            tally.content(&body[name]);
        }
        let tools: Vec<Tool> = body["tools"]
            .as_array()
            .map_or(&[][..], Vec::as_slice)
            .iter()
            .map(Tool::read)
            .collect();
        asked.input = tally.bytes.div_ceil(4)
            + tally.tokens
            + tally.images * IMAGE_TOKENS
            + tools.len() as u64 * TOOL_TOKENS;
        if endpoint == Endpoint::Embeddings {
            asked.read_embeddings(body);
        }
        asked.calls = calls(&tools, body, &body[must]);
        let format = match endpoint {
            Endpoint::Responses => &body["text"]["format"],
            Endpoint::Messages if body["output_config"]["format"].is_object() => {
                &body["output_config"]["format"]
            }
            Endpoint::Messages => &body["output_format"],
            _ => &body["response_format"],
        };
        asked.json = match format["type"].as_str() {
            Some("json_object") => Some(r#"{"answer":"forty two","sure":true}"#.to_owned()),
            Some("json_schema") => {
                let nested = &format["json_schema"]["schema"];
                let schema = if nested.is_null() { &format["schema"] } else { nested };
                Some(schema::sample(schema).to_string())
            }
            _ => None,
        };
        Ok(asked)
    }

    fn read_embeddings(&mut self, body: &Value) {
        let input = &body["input"];
        let is_one = input.is_string() || input.as_array().is_some_and(|a| a[0].is_number());
        let one = std::slice::from_ref(input);
        let list = if is_one { one } else { input.as_array().map_or(one, Vec::as_slice) };
        self.inputs = list.iter().map(|input| hash(input.to_string().as_bytes())).collect();
        let dimensions = body["dimensions"].as_u64().and_then(|n| usize::try_from(n).ok());
        self.dimensions = dimensions.unwrap_or(DIMENSIONS).clamp(1, 8192);
        self.base64 = body["encoding_format"] == "base64";
    }
}

// === impl Tally ===

impl Tally {
    /// Text wherever it may stand: a string, a part, a message, or a list of those.
    fn content(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.bytes += text.len() as u64,
            Value::Number(_) => self.tokens += 1, // a token, in embeddings and completions
            Value::Array(list) => list.iter().for_each(|part| self.content(part)),
            Value::Object(part) => {
                match part.get("type").and_then(Value::as_str) {
                    Some("image_url" | "image" | "input_image") => self.images += 1,
                    Some("tool_use") => {
                        self.bytes += part.get("input").map_or(0, |v| v.to_string().len()) as u64;
                    }
                    _ => {}
                }
                for name in ["content", "text", "arguments", "output"] {
                    part.get(name).into_iter().for_each(|inner| self.content(inner));
                }
                for call in part.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
                    self.content(&call["function"]["arguments"]);
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }
}

// === impl Tool ===

impl Tool {
    /// Chat's tools are nested in `function`; Anthropic's call their schema `input_schema`.
    fn read(tool: &Value) -> Tool {
        let inner = if tool["function"].is_object() { &tool["function"] } else { tool };
        let schema = if inner["input_schema"].is_null() { "parameters" } else { "input_schema" };
        let name = inner["name"].as_str().unwrap_or("unnamed").to_owned();
        Tool { name, schema: inner[schema].clone() }
    }
}

// === impl Complaint ===

impl Complaint {
    fn wrong(param: Option<&'static str>, message: &str) -> Complaint {
        Complaint { param, code: None, message: message.to_owned() }
    }

    fn missing(endpoint: Endpoint, param: &'static str) -> Complaint {
        let message = match (endpoint.is_anthropic(), param) {
            (true, _) => format!("{param}: Field required"),
            (false, "model") => "you must provide a model parameter".to_owned(),
            (false, _) => format!("Missing required parameter: '{param}'."),
        };
        Complaint { param: Some(param), code: Some("missing_required_parameter"), message }
    }
}

fn tokens_max(endpoint: Endpoint, body: &Value) -> Result<Option<u64>, Complaint> {
    let names: &[&'static str] = match endpoint {
        Endpoint::Chat => &["max_completion_tokens", "max_tokens"],
        Endpoint::Responses => &["max_output_tokens"],
        Endpoint::Text | Endpoint::Messages => &["max_tokens"],
        Endpoint::Embeddings | Endpoint::CountTokens => &[],
    };
    for &name in names {
        match &body[name] {
            Value::Null => {}
            value => match value.as_u64() {
                Some(n) if n > 0 => return Ok(Some(n)),
                _ => {
                    let message = format!("{name}: Input should be an integer of at least 1");
                    return Err(Complaint { param: Some(name), code: None, message });
                }
            },
        }
    }
    if endpoint == Endpoint::Messages {
        return Err(Complaint::missing(endpoint, "max_tokens"));
    }
    Ok(None)
}

fn tag(endpoint: Endpoint, body: &Value) -> &str {
    let tag = if endpoint.is_anthropic() { &body["metadata"]["user_id"] } else { &body["user"] };
    tag.as_str().unwrap_or("")
}

/// The tools to call, each with arguments that its schema allows.
fn calls(tools: &[Tool], body: &Value, messages: &Value) -> Vec<(String, String)> {
    let wish = wish(&body["tool_choice"], messages);
    let call = |tool: &Tool| (tool.name.clone(), schema::sample(&tool.schema).to_string());
    match wish {
        Wish::No => Vec::new(),
        Wish::First => tools.iter().take(1).map(call).collect(),
        Wish::All => tools.iter().map(call).collect(),
        Wish::Named(name) => tools.iter().filter(|tool| tool.name == name).map(call).collect(),
    }
}

/// A choice that forces decides; else the last message, if it is the user's, may ask for a call.
fn wish(choice: &Value, messages: &Value) -> Wish {
    match choice.as_str().or(choice["type"].as_str()) {
        Some("none") => return Wish::No,
        Some("required" | "any") => return Wish::First,
        Some("function" | "tool") => {
            let name = choice["function"]["name"].as_str().or(choice["name"].as_str());
            return name.map_or(Wish::First, |name| Wish::Named(name.to_owned()));
        }
        _ => {}
    }
    let text = match messages {
        Value::String(text) => text.clone(),
        _ => match messages.as_array().and_then(|list| list.last()) {
            Some(last) if last["role"] == "user" => words(&last["content"]),
            _ => String::new(),
        },
    };
    if text.contains("call all tools") {
        Wish::All
    } else if text.contains("call the tool") {
        Wish::First
    } else {
        Wish::No
    }
}

/// The text of a message; of tool results none.
fn words(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts = parts.iter().filter_map(|part| part["text"].as_str());
            texts.collect::<Vec<_>>().join(" ")
        }
        _ => String::new(),
    }
}

/// FNV-1a.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, &byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn input_follows_the_documented_rule() {
        let chat = json!({"model": "m", "messages": [
            {"role": "system", "content": "12345678"},
            {"role": "user", "content": [
                {"type": "text", "text": "123"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}],
            "tools": [{"type": "function", "function": {"name": "f"}}]});
        assert_eq!(Asked::read(Endpoint::Chat, &chat).unwrap().input, 3 + 85 + 10);
        let result = json!([{"type": "tool_result", "content": "abc"}]);
        let message = json!({"model": "m", "max_tokens": 1,
            "system": [{"type": "text", "text": "12345"}],
            "messages": [{"role": "user", "content": result}]});
        assert_eq!(Asked::read(Endpoint::Messages, &message).unwrap().input, 2);
        let tokens = json!({"model": "m", "input": [[1, 2, 3], [4]]});
        let asked = Asked::read(Endpoint::Embeddings, &tokens).unwrap();
        assert_eq!((asked.input, asked.inputs.len()), (4, 2));
    }

    #[test]
    fn a_tool_is_called_when_the_request_asks_for_it() {
        let ask = |choice: Value, text: &str| {
            let tool = |name: &str| json!({"type": "function", "function": {"name": name}});
            let body = json!({"model": "m", "tool_choice": choice, "tools": [tool("f"), tool("g")],
                "messages": [{"role": "user", "content": text}]});
            let calls = Asked::read(Endpoint::Chat, &body).unwrap().calls;
            calls.into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(ask(json!("auto"), "hello"), "");
        assert_eq!(ask(json!(null), "please call the tool"), "f");
        assert_eq!(ask(json!(null), "please call all tools"), "f g");
        assert_eq!(ask(json!("required"), "hello"), "f");
        assert_eq!(ask(json!("none"), "call the tool"), "");
        assert_eq!(ask(json!({"type": "function", "function": {"name": "g"}}), "hello"), "g");
    }

    #[test]
    fn what_a_provider_refuses_is_refused() {
        let complaint = |endpoint, body: Value| Asked::read(endpoint, &body).err().unwrap().message;
        let messages = json!([{"role": "user", "content": "x"}]);
        assert_eq!(
            complaint(Endpoint::Messages, json!({"model": "m", "messages": messages})),
            "max_tokens: Field required"
        );
        assert_eq!(
            complaint(Endpoint::Chat, json!({"model": "m"})),
            "Missing required parameter: 'messages'."
        );
        let zero = json!({"model": "m", "messages": messages, "max_tokens": 0});
        assert!(complaint(Endpoint::Chat, zero).contains("at least 1"));
    }
}
