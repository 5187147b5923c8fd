//! What OpenAI's dialect lets a client wish for together and Anthropic's does not.
//!
//! A call that the client forces is stronger than its effort: Anthropic refuses to think before a
//! forced call. Thinking is stronger than a temperature, which OpenAI's reasoning models refuse as
//! well. JSON mode forces a call where nothing thinks, and else asks for the format by name.

use std::borrow::Cow;

use super::super::field::{Path, number};
use super::super::json::{Json, Object};
use super::super::unwrap::ANSWER_TOOL;
use super::super::{Back, Untranslatable};
use super::{Choice, Draft, Format, text_block};

/// Models that think by a budget of tokens; all that came after them think by an effort. The list
/// is closed: no model is added to it any more.
const BY_BUDGET: &[&str] = &[
    "claude-2",
    "claude-3",
    "claude-instant",
    "claude-haiku-4-5",
    "claude-opus-4-0",
    "claude-opus-4-1",
    "claude-opus-4-2025",
    "claude-opus-4-5",
    "claude-opus-4@",
    "claude-sonnet-4-0",
    "claude-sonnet-4-2025",
    "claude-sonnet-4-5",
    "claude-sonnet-4@",
];
/// Models that know nothing of `strict` tools; closed as well.
const WITHOUT_STRICT: &[&str] = &[
    "claude-2",
    "claude-3",
    "claude-instant",
    "claude-opus-4-0",
    "claude-opus-4-2025",
    "claude-opus-4@",
    "claude-sonnet-4-0",
    "claude-sonnet-4-2025",
    "claude-sonnet-4@",
];
/// The least budget Anthropic takes.
const BUDGET_MIN: u64 = 1024;

const ANSWER_DESCRIPTION: &str = "Give your answer by calling this tool, once. Its input is the \
                                  JSON object that the conversation asks for.";
const ANSWER_IN_JSON: &str = "Answer with one JSON object and nothing else: no words before or \
                              after it, and no code fence.";

/// How the model thinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thinking {
    /// As it does by itself.
    Open,
    Off,
    Effort(&'static str),
    Budget(u64),
}

// === impl Thinking ===

impl Thinking {
    fn is_on(self) -> bool {
        matches!(self, Thinking::Effort(_) | Thinking::Budget(_))
    }
}

// === impl Draft ===

impl<'a> Draft<'a> {
    /// The fields that depend on each other.
    pub(super) fn settle(
        &mut self,
        model: &str,
        back: &mut Back,
    ) -> Result<Object<'a>, Untranslatable> {
        if self.turns.is_empty() {
            return Err(Path::Root.refuse("The request has no message that says anything."));
        }
        if WITHOUT_STRICT.iter().any(|old| model.contains(old)) {
            for tool in &mut self.tools {
                if let Json::Object(pairs) = tool {
                    pairs.retain(|(key, _)| key != "strict");
                }
            }
        }
        let mut pairs: Object<'a> = Vec::new();
        let mut add = |key, value| pairs.push((Cow::Borrowed(key), value));
        let thinking = match (&self.choice, self.thinking(model)) {
            (Choice::Any | Choice::Tool(_), thinking) if thinking.is_on() => Thinking::Open,
            (_, thinking) => thinking,
        };
        let schema = self.json_mode(thinking, back);
        if let Some(choice) = self.tool_choice() {
            add("tool_choice", choice);
        }
        match thinking {
            Thinking::Open => {}
            Thinking::Off => add("thinking", kind("disabled")),
            Thinking::Budget(tokens) => add(
                "thinking",
                Json::object([("type", Json::text("enabled")), ("budget_tokens", tokens.into())]),
            ),
            Thinking::Effort(_) if self.summary => add(
                "thinking",
                Json::object([
                    ("type", Json::text("adaptive")),
                    ("display", Json::text("summarized")),
                ]),
            ),
            Thinking::Effort(_) => add("thinking", kind("adaptive")),
        }
        let mut output: Object<'a> = Vec::new();
        if let Thinking::Effort(effort) = thinking {
            output.push((Cow::Borrowed("effort"), Json::text(effort)));
        }
        if let Some(schema) = schema {
            let format = Json::object([("type", Json::text("json_schema")), ("schema", schema)]);
            output.push((Cow::Borrowed("format"), format));
        }
        if !output.is_empty() {
            add("output_config", Json::Object(output));
        }
        if !thinking.is_on() {
            // 1 is the default of both sides; newer models refuse to be told both, or either.
            let said = |value: Option<f64>| value.filter(|value| *value < 1.0).map(number);
            if let Some(temperature) = said(self.temperature) {
                add("temperature", temperature);
            }
            if let Some(top_p) = said(self.top_p) {
                add("top_p", top_p);
            }
            if let Some(top_k) = self.top_k {
                add("top_k", top_k.into());
            }
        }
        Ok(pairs)
    }

    fn thinking(&self, model: &str) -> Thinking {
        let Some(effort) = self.effort.as_deref() else { return Thinking::Open };
        if !BY_BUDGET.iter().any(|old| model.contains(old)) {
            return match effort {
                "none" => Thinking::Off,
                "minimal" | "low" => Thinking::Effort("low"),
                "medium" => Thinking::Effort("medium"),
                "xhigh" => Thinking::Effort("xhigh"),
                "max" => Thinking::Effort("max"),
                _ => Thinking::Effort("high"),
            };
        }
        let budget = match effort {
            "none" => return Thinking::Open,
            "minimal" => 1024,
            "low" => 2048,
            "medium" => 8192,
            "xhigh" | "max" => 32_768,
            _ => 16_384,
        };
        // The budget is of `max_tokens`, of which a quarter is left for the answer.
        let budget = budget.min(self.max_tokens / 4 * 3);
        if budget < BUDGET_MIN || self.calls_without_thinking() {
            return Thinking::Open;
        }
        Thinking::Budget(budget)
    }

    /// Whether results are given to calls whose thinking is lost: OpenAI's dialect has no place for
    /// it, and without it the older models refuse to think on.
    fn calls_without_thinking(&self) -> bool {
        let Some(last) = self.turns.iter().rfind(|turn| turn.assistant) else { return false };
        let is = |block: &Json, kind: &str| block.get("type").as_str() == Some(kind);
        let thought = last
            .blocks
            .first()
            .is_some_and(|block| is(block, "thinking") || is(block, "redacted_thinking"));
        !thought && last.blocks.iter().any(|block| is(block, "tool_use"))
    }

    /// Makes the answer JSON; the schema, if it is to be asked for by name.
    fn json_mode(&mut self, thinking: Thinking, back: &mut Back) -> Option<Json<'a>> {
        // Whoever must call a tool says nothing whose format could matter.
        if matches!(self.choice, Choice::Any | Choice::Tool(_)) {
            return None;
        }
        let format = std::mem::replace(&mut self.format, Format::Text);
        let Format::Json { schema, description } = format else { return None };
        if thinking.is_on() {
            if schema.is_none() {
                self.system.push(text_block(ANSWER_IN_JSON));
            }
            return schema;
        }
        let description = match description {
            Some(text) => Cow::Owned(format!("{ANSWER_DESCRIPTION} {text}")),
            None => Cow::Borrowed(ANSWER_DESCRIPTION),
        };
        let alone = self.tools.is_empty() || self.choice == Choice::None;
        self.tools.push(Json::object([
            ("name", Json::text(ANSWER_TOOL)),
            ("description", Json::Text(description)),
            ("input_schema", schema.unwrap_or(kind("object"))),
        ]));
        back.wrapped = true;
        self.choice = if alone { Choice::Tool(Cow::Borrowed(ANSWER_TOOL)) } else { Choice::Any };
        if alone {
            self.parallel = Some(false);
        }
        None
    }

    fn tool_choice(&self) -> Option<Json<'a>> {
        let single = self.parallel == Some(false);
        let choice = match &self.choice {
            Choice::Open if !single => return None,
            Choice::Open | Choice::Auto => kind("auto"),
            Choice::None => return Some(kind("none")),
            Choice::Any => kind("any"),
            Choice::Tool(name) => {
                Json::object([("type", Json::text("tool")), ("name", Json::text(name.clone()))])
            }
        };
        let Json::Object(mut pairs) = choice else { unreachable!("it was made an object") };
        if self.tools.is_empty() {
            return None;
        }
        if single {
            pairs.push((Cow::Borrowed("disable_parallel_tool_use"), Json::Bool(true)));
        }
        Some(Json::Object(pairs))
    }
}

/// An object that only says its type.
fn kind(name: &'static str) -> Json<'static> {
    Json::object([("type", Json::text(name))])
}
