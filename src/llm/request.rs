//! What a request asks a model for, read from its body in one pass.
//!
//! Owns which members mean something to the gateway, at each endpoint, and how the body is written
//! again for a provider. Knows no provider and no price. Invariants: a body is either read as every
//! provider reads it or refused (members that are there twice, or differ from one of ours in case
//! only, are read differently by different parsers); a member that nobody here knows passes
//! untouched; and [`Asked::write_body`] changes the model's name and `include_usage`, nothing else.

mod members;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use crate::bounds;

use super::Endpoint;
use super::features::Features;
use super::input::Input;
use super::json::{self, Kind, Malformed, Reader, Text};

use self::members::{MEMBER_BYTES_MAX, MEMBERS, Member, place_of};

/// Why a request is not sent to anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadRequest {
    pub reason: &'static str,
    /// The member it is about.
    pub param: Option<&'static str>,
    /// Which byte it was found at.
    pub at: usize,
}

/// What a request asks for.
#[derive(Clone, Debug)]
pub struct Asked {
    pub endpoint: Endpoint,
    /// INVARIANT: there, and not empty, in what [`Asked::read`] gives out.
    model: Option<Arc<str>>,
    /// Where the model's name is in the body, quotes included.
    pub model_span: Range<usize>,
    pub stream: bool,
    /// The client asks for a stream's usage itself.
    pub includes_usage: bool,
    /// The most tokens it wants for each answer.
    pub output_max: Option<u64>,
    /// How many answers will be made: `n` or `best_of`, for each prompt of a completion.
    pub choices: u32,
    /// What becomes the model's input.
    pub input: Input,
    pub features: Features,
    /// It is billed as batch (`service_tier` `batch` or `flex`).
    pub batch: bool,
    /// It goes on with what the provider has stored: there is more input than the body has.
    pub continues: bool,
    usage: IncludeUsage,
}

/// Where a body says whether the stream ends with its usage, or could say so.
#[derive(Clone, Debug, PartialEq, Eq)]
enum IncludeUsage {
    /// There is no `stream_options`: where the first member begins.
    NoOptions(usize),
    /// `stream_options` is `null`.
    NullOptions(Range<usize>),
    /// There are options but not this one: where the first begins, and whether there is any.
    Missing(usize, bool),
    /// The option's value.
    Given(Range<usize>),
}

// === impl Asked ===

impl Asked {
    /// Reads the body of a request.
    pub fn read(endpoint: Endpoint, body: &[u8]) -> Result<Asked, BadRequest> {
        let mut reader = Reader::new(body);
        reader.begin_object()?;
        let mut asked = Asked::new(endpoint, reader.at());
        let mut seen = 0_u32;
        while let Some(name) = reader.next_member()? {
            let Some(place) = asked.known(&name)? else {
                reader.skip()?;
                continue;
            };
            let (param, member, _) = MEMBERS[place];
            let bad = |reason| BadRequest { reason, param: Some(param), at: name.span().start };
            if seen & 1 << place != 0 {
                return Err(bad("it is there twice"));
            }
            seen |= 1 << place;
            asked.take(member, param, &mut reader)?;
        }
        reader.end()?;
        if asked.model.is_none() {
            return Err(BadRequest { reason: "it is missing", param: Some("model"), at: 0 });
        }
        if endpoint == Endpoint::Completions {
            asked.choices = asked.choices.saturating_mul(asked.input.texts.max(1));
        }
        if asked.input.images > 0 {
            asked.features = asked.features | Features::IMAGES;
        }
        if asked.stream {
            asked.features = asked.features | Features::STREAM;
        }
        Ok(asked)
    }

    /// The model's name.
    #[must_use]
    pub fn model(&self) -> &str {
        self.model.as_deref().unwrap_or_default()
    }

    /// The same, to be kept.
    #[must_use]
    pub fn kept_model(&self) -> Option<Arc<str>> {
        self.model.clone()
    }

    /// Whether a body for this model has to be written with [`Asked::write_body`]: if not, the
    /// client's own is it.
    #[must_use]
    pub fn needs_rewriting(&self, model: &str, ask_for_usage: bool) -> bool {
        model != self.model() || self.must_ask(ask_for_usage)
    }

    /// Appends the body for a provider: the same bytes, but for the model's name and, where the
    /// usage is to be asked for, `stream_options.include_usage`. `body` is the one that was read.
    pub fn write_body(&self, body: &[u8], model: &str, ask_for_usage: bool, out: &mut Vec<u8>) {
        out.reserve(body.len() + model.len() + 64);
        let usage = self.must_ask(ask_for_usage).then(|| self.usage.edit());
        let usage_first = usage.as_ref().is_some_and(|(at, _)| at.start < self.model_span.start);
        let mut done = 0;
        let mut upto = |span: &Range<usize>, out: &mut Vec<u8>| {
            out.extend_from_slice(&body[done..span.start]);
            done = span.end;
        };
        for model_is_next in [!usage_first, usage_first] {
            if model_is_next {
                if model != self.model() {
                    upto(&self.model_span, out);
                    json::write_string(out, model);
                }
            } else if let Some((at, text)) = &usage {
                upto(at, out);
                out.extend_from_slice(text.as_bytes());
            }
        }
        out.extend_from_slice(&body[done..]);
    }

    /// Where `stream_options` exists, and the client has not asked.
    fn must_ask(&self, ask_for_usage: bool) -> bool {
        let can = matches!(self.endpoint, Endpoint::ChatCompletions | Endpoint::Completions);
        ask_for_usage && can && self.stream && !self.includes_usage
    }

    fn new(endpoint: Endpoint, first: usize) -> Asked {
        Asked {
            endpoint,
            model: None,
            model_span: 0..0,
            stream: false,
            includes_usage: false,
            output_max: None,
            choices: 1,
            input: Input::default(),
            features: Features::default(),
            batch: false,
            continues: false,
            usage: IncludeUsage::NoOptions(first),
        }
    }

    /// Which of [`MEMBERS`] it is.
    fn known(&self, name: &Text<'_>) -> Result<Option<usize>, BadRequest> {
        if name.len() > MEMBER_BYTES_MAX {
            return Ok(None);
        }
        let text = name.name();
        let place = place_of(&text);
        let place = place.filter(|place| MEMBERS[*place].2.contains(&self.endpoint));
        if let Some(place) = place
            && MEMBERS[place].0.as_bytes() != &*text
        {
            // Go's `encoding/json` takes it for the member, most others do not.
            let param = Some(MEMBERS[place].0);
            let at = name.span().start;
            return Err(BadRequest { reason: "its name must be in lower case", param, at });
        }
        Ok(place)
    }

    fn take(
        &mut self,
        member: Member,
        param: &'static str,
        reader: &mut Reader<'_>,
    ) -> Result<(), BadRequest> {
        let at = reader.at();
        let bad = |reason| BadRequest { reason, param: Some(param), at };
        if member != Member::Model && reader.kind()? == Kind::Null {
            // As if it were not there.
            reader.null()?;
            if member == Member::StreamOptions {
                self.usage = IncludeUsage::NullOptions(at..reader.at());
            }
            return Ok(());
        }
        match member {
            Member::Model => self.take_model(reader)?,
            Member::Stream => self.stream = flag(reader, param)?,
            Member::StreamOptions => self.take_stream_options(reader)?,
            Member::OutputMax => {
                let most = integer(reader, param)?;
                self.output_max = Some(self.output_max.unwrap_or(0).max(most));
            }
            Member::Choices => {
                let many = integer(reader, param)?;
                if !(1..=bounds::CHOICES_MAX).contains(&many) {
                    return Err(bad("it must be from 1 to 128"));
                }
                let many = u32::try_from(many).expect("CHOICES_MAX is a u32");
                self.choices = self.choices.max(many);
            }
            Member::ServiceTier => {
                let tier = string(reader, param)?;
                self.batch = tier.is("batch") || tier.is("flex");
            }
            Member::Tools => {
                let any = self.input.take_tools(reader, param)?;
                self.uses(Features::TOOLS, any);
            }
            Member::Format => {
                let json = self.take_format(reader, param)?;
                self.uses(Features::JSON, json);
            }
            Member::Reasoning => {
                let thinks = reasons(reader)?;
                self.uses(Features::REASONING, thinks);
            }
            Member::Input => self.input.take(reader)?,
            Member::Stored => {
                self.continues = true;
                reader.skip()?;
            }
        }
        Ok(())
    }

    fn uses(&mut self, feature: Features, does: bool) {
        if does {
            self.features = self.features | feature;
        }
    }

    fn take_model(&mut self, reader: &mut Reader<'_>) -> Result<(), BadRequest> {
        let text = string(reader, "model")?;
        let span = text.span();
        let bad = |reason| BadRequest { reason, param: Some("model"), at: span.start };
        if text.is_empty() {
            return Err(bad("it is empty"));
        }
        if text.len() > bounds::MODEL_NAME_BYTES_MAX {
            return Err(bad("it is too long"));
        }
        let name = text.decoded().ok_or_else(|| bad("it is no Unicode text"))?;
        if name.chars().any(char::is_control) {
            return Err(bad("it has a control character"));
        }
        self.model = Some(Arc::from(&*name));
        self.model_span = span;
        Ok(())
    }

    fn take_stream_options(&mut self, reader: &mut Reader<'_>) -> Result<(), BadRequest> {
        let param = "stream_options";
        begin_object(reader, param)?;
        let first = reader.at();
        let (mut any, mut found) = (false, None);
        while let Some(name) = reader.next_member()? {
            any = true;
            if !name.is("include_usage") {
                reader.skip()?;
                continue;
            }
            let at = reader.at();
            if found.is_some() {
                return Err(BadRequest { reason: "it is there twice", param: Some(param), at });
            }
            self.includes_usage = !reader.null()? && flag(reader, "stream_options.include_usage")?;
            found = Some(at..reader.at());
        }
        self.usage = found.map_or(IncludeUsage::Missing(first, any), IncludeUsage::Given);
        Ok(())
    }

    /// Whether the answer must be JSON: `response_format`, or the same below `text.format` and
    /// `output_config.format`. The schema becomes input.
    fn take_format(
        &mut self,
        reader: &mut Reader<'_>,
        param: &'static str,
    ) -> Result<bool, BadRequest> {
        begin_object(reader, param)?;
        let mut json = false;
        while let Some(name) = reader.next_member()? {
            let kind = reader.kind()?;
            if name.is("type") && kind == Kind::String {
                json |= names_json(&reader.string()?);
            } else if name.is("format") && kind == Kind::Object {
                let start = reader.at();
                reader.begin_object()?;
                while let Some(name) = reader.next_member()? {
                    if name.is("type") && reader.kind()? == Kind::String {
                        json |= names_json(&reader.string()?);
                    } else {
                        reader.skip()?;
                    }
                }
                self.input.add_text(reader.at() - start);
            } else {
                let span = reader.skip()?;
                self.input.add_text(span.len());
            }
        }
        Ok(json)
    }
}

// === impl IncludeUsage ===

impl IncludeUsage {
    /// What to put in whose place, so that the usage is asked for.
    fn edit(&self) -> (Range<usize>, Cow<'static, str>) {
        match self {
            // The body has a model: another member follows.
            IncludeUsage::NoOptions(at) => {
                (*at..*at, r#""stream_options":{"include_usage":true},"#.into())
            }
            IncludeUsage::NullOptions(span) => (span.clone(), r#"{"include_usage":true}"#.into()),
            IncludeUsage::Missing(at, true) => (*at..*at, r#""include_usage":true,"#.into()),
            IncludeUsage::Missing(at, false) => (*at..*at, r#""include_usage":true"#.into()),
            IncludeUsage::Given(span) => (span.clone(), "true".into()),
        }
    }
}

// === impl BadRequest ===

impl From<Malformed> for BadRequest {
    fn from(Malformed { reason, at }: Malformed) -> BadRequest {
        BadRequest { reason, param: None, at }
    }
}

fn names_json(kind: &Text<'_>) -> bool {
    kind.is("json_object") || kind.is("json_schema")
}

/// Whether thinking is asked for: an effort that is not `none`, an object that does not say
/// `disabled`.
fn reasons(reader: &mut Reader<'_>) -> Result<bool, Malformed> {
    match reader.kind()? {
        Kind::String => Ok(!reader.string()?.is("none")),
        Kind::Object => {
            reader.begin_object()?;
            let mut thinks = true;
            while let Some(name) = reader.next_member()? {
                let says = name.is("type") || name.is("effort");
                if says && reader.kind()? == Kind::String {
                    let word = reader.string()?;
                    thinks &= !word.is("disabled") && !word.is("none");
                } else {
                    reader.skip()?;
                }
            }
            Ok(thinks)
        }
        _ => reader.skip().map(|_| false),
    }
}

fn begin_object(reader: &mut Reader<'_>, param: &'static str) -> Result<(), BadRequest> {
    expect(reader, Kind::Object, "an object was expected", param)?;
    Ok(reader.begin_object()?)
}

fn string<'a>(reader: &mut Reader<'a>, param: &'static str) -> Result<Text<'a>, BadRequest> {
    expect(reader, Kind::String, "a string was expected", param)?;
    Ok(reader.string()?)
}

fn flag(reader: &mut Reader<'_>, param: &'static str) -> Result<bool, BadRequest> {
    expect(reader, Kind::Bool, "true or false was expected", param)?;
    Ok(reader.bool()?)
}

fn integer(reader: &mut Reader<'_>, param: &'static str) -> Result<u64, BadRequest> {
    let reason = "a whole number was expected, not below 0";
    let at = reader.at();
    expect(reader, Kind::Number, reason, param)?;
    let number = reader.number()?.integer();
    number.ok_or(BadRequest { reason, param: Some(param), at })
}

pub(super) fn expect(
    reader: &Reader<'_>,
    kind: Kind,
    reason: &'static str,
    param: &'static str,
) -> Result<(), BadRequest> {
    if reader.kind()? != kind {
        return Err(BadRequest { reason, param: Some(param), at: reader.at() });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
