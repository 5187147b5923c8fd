//! A request to a model, and what has come of it so far.

use std::borrow::Cow;
use std::sync::Arc;

use super::body::Whole;
use crate::bounds::LLM_CONTENT_BYTES_MAX;
use crate::clock::Tick;
use crate::limit::Costs;
use crate::llm::dialect::{self, Ask, Back, Translated, Untranslatable};
use crate::llm::{Asked, Dialect, Endpoint, Usage, estimate_input};
use crate::snapshot::{LlmTarget, Model};

/// A request to a model.
pub struct Chat<'c> {
    /// Where the client asks.
    pub endpoint: Endpoint,
    pub asked: Asked,
    pub body: Whole,
    pub model: &'c Model,
    /// What it may cost, taken from limits before it is sent.
    pub reserved: Costs,
    /// Its limits have let it through.
    pub admitted: bool,
    /// Who was asked last; who serves it, once there is an answer.
    pub target: Option<&'c Arc<LlmTarget>>,
    /// How often it was sent to a provider.
    pub attempts: u32,
    /// When that one was asked whose answer has been passed on, or who found fault with it.
    pub served: Option<Tick>,
    /// What the provider has said it used, or what is estimated.
    pub usage: Usage,
    /// The usage is not the provider's word.
    pub estimated: bool,
    /// From the request's start to the answer's first token.
    pub first_token_ns: Option<u64>,
    /// When the last part of the answer came.
    pub last_token: Tick,
    /// What was answered, as far as it is kept; `None`: nothing is, for the route does not ask for
    /// it.
    content: Option<Vec<u8>>,
    billed: Billed,
    cost_pico: u64,
}

/// What the provider who was asked last may ask money for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Billed {
    /// It has not begun, or has said that it failed.
    Nothing,
    /// It has begun, and nothing has been seen of what it does.
    Begun,
    /// What stands in `usage`.
    Known,
}

/// What an attempt used whose answer has come to nothing.
pub struct Lost {
    pub usage: Usage,
    pub estimated: bool,
    pub cost_pico: u64,
}

/// What a provider is sent.
pub struct Outgoing<'a> {
    pub endpoint: Endpoint,
    pub body: Cow<'a, [u8]>,
    /// How answers get back into the client's dialect, if it was translated.
    pub back: Option<Back>,
}

// === impl Chat ===

impl<'c> Chat<'c> {
    #[must_use]
    pub fn new(endpoint: Endpoint, asked: Asked, body: Whole, model: &'c Model) -> Chat<'c> {
        Chat {
            endpoint,
            asked,
            body,
            model,
            reserved: Costs::default(),
            admitted: false,
            target: None,
            attempts: 0,
            served: None,
            usage: Usage::default(),
            estimated: false,
            first_token_ns: None,
            last_token: Tick(0),
            content: None,
            billed: Billed::Nothing,
            cost_pico: 0,
        }
    }

    /// Tokens of its input, estimated.
    #[must_use]
    pub fn input_estimate(&self) -> u64 {
        estimate_input(&self.asked)
    }

    /// Tokens of output it may cost, all choices together.
    #[must_use]
    pub fn output_at_most(&self) -> u64 {
        if matches!(self.endpoint, Endpoint::Embeddings | Endpoint::CountTokens) {
            return 0;
        }
        let each = self.asked.output_max.unwrap_or_else(|| self.model.output_ceiling());
        each.saturating_mul(u64::from(self.asked.choices))
    }

    /// Input and output.
    #[must_use]
    pub fn tokens_at_most(&self) -> u64 {
        self.reserved.input.saturating_add(self.reserved.output)
    }

    /// Whether one of the model's targets speaks the client's dialect.
    #[must_use]
    pub fn has_native_target(&self) -> bool {
        self.model.targets.iter().any(|target| self.is_native(target.provider.dialect))
    }

    /// Whether answers of this provider are in the client's own words.
    #[must_use]
    pub fn is_native(&self, provider: Dialect) -> bool {
        self.endpoint.dialect() == provider
    }

    /// What this target's provider is sent.
    ///
    /// # Errors
    /// When it cannot be said in the provider's dialect.
    pub fn outgoing(&self, target: &LlmTarget) -> Result<Outgoing<'_>, Untranslatable> {
        let (body, dialect) = (self.body.bytes(), target.provider.dialect);
        let name = target.model_for(self.asked.model());
        if !self.is_native(dialect) {
            let output_max = self.model.output_ceiling();
            let ask = Ask { from: self.endpoint, to: dialect, body, model: name, output_max };
            let Translated { endpoint, body, back } = dialect::request(&ask)?;
            return Ok(Outgoing { endpoint, body: Cow::Owned(body), back: Some(back) });
        }
        let endpoint = self.endpoint;
        let counts = self.asks_for_usage();
        if !self.asked.needs_rewriting(name, counts) {
            return Ok(Outgoing { endpoint, body: Cow::Borrowed(body), back: None });
        }
        let mut out = Vec::with_capacity(body.len() + name.len() + 64);
        self.asked.write_body(body, name, counts, &mut out);
        Ok(Outgoing { endpoint, body: Cow::Owned(out), back: None })
    }

    /// Whether the provider must be asked to tell the usage of a stream.
    #[must_use]
    pub fn asks_for_usage(&self) -> bool {
        let counts = matches!(self.endpoint, Endpoint::ChatCompletions | Endpoint::Completions);
        self.asked.stream && counts
    }

    /// From now on what is answered is kept, for the log.
    pub fn keep_content(&mut self) {
        self.content = Some(Vec::new());
    }

    /// Some of the answer, as it came.
    pub fn said(&mut self, bytes: &[u8]) {
        if let Some(kept) = &mut self.content {
            let room = LLM_CONTENT_BYTES_MAX.saturating_sub(kept.len());
            kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }

    /// Prompt and answer, where the route wants them logged, each as far as it is kept.
    #[must_use]
    pub fn content(&self) -> Option<(&[u8], &[u8])> {
        let prompt = self.body.bytes();
        let answer = self.content.as_deref()?;
        Some((&prompt[..prompt.len().min(LLM_CONTENT_BYTES_MAX)], answer))
    }

    /// Its answer has begun, so nobody else will be asked: the request is let go, unless it is
    /// logged. Streams last for minutes, and prompts are long.
    pub fn let_body_go(&mut self) {
        if self.content.is_none() {
            self.body = Whole::default();
        }
    }

    /// A provider has been sent the request: it may bill what it does.
    pub fn begun(&mut self) {
        self.billed = Billed::Begun;
    }

    /// What has come of an attempt that failed, of which its client has seen nothing: nothing, or
    /// what its provider may bill all the same. The next attempt begins anew.
    pub fn lose(&mut self) -> Option<Lost> {
        if self.billed == Billed::Nothing {
            return None;
        }
        self.close();
        let lost =
            Lost { usage: self.usage, estimated: self.estimated, cost_pico: self.cost_pico() };
        (self.usage, self.estimated, self.billed) = (Usage::default(), false, Billed::Nothing);
        self.first_token_ns = None;
        Some(lost)
    }

    /// The attempt has failed in a way that providers do not bill.
    pub fn forgiven(&mut self) {
        self.billed = Billed::Nothing;
    }

    /// What was used, by the provider's word or estimated from what has come of the answer.
    pub fn learn(&mut self, usage: Usage, estimated: bool) {
        (self.usage, self.estimated, self.billed) = (usage, estimated, Billed::Known);
    }

    /// Nothing more will come: what is not known is estimated.
    pub fn close(&mut self) {
        match self.billed {
            Billed::Nothing => (self.usage, self.estimated) = (Usage::default(), false),
            Billed::Known if self.estimated => {}
            Billed::Known => {
                let choices = u64::from(self.asked.choices.max(1));
                self.model.learned.saw(self.usage.output / choices);
            }
            Billed::Begun => {
                // What would have come as a whole may have been all but complete: as long as others
                // were, at most.
                let choices = u64::from(self.asked.choices.max(1));
                let learned = self.model.learned.ceiling().saturating_mul(choices);
                let output = self.output_at_most().min(learned);
                self.usage = Usage { input: self.input_estimate(), output, ..Usage::default() };
                self.estimated = true;
            }
        }
        self.cost_pico = self.target.map_or(0, |target| {
            target.price_for(self.asked.model()).cost_pico(&self.usage, self.asked.batch)
        });
    }

    /// What it has cost, in 10^-12 USD; known once it is closed.
    #[must_use]
    pub fn cost_pico(&self) -> u64 {
        self.cost_pico
    }
}
