//! What a limit counts, and how much of it a request takes.

/// What a limit counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    #[default]
    Requests,
    /// Input and output together.
    Tokens,
    InputTokens,
    OutputTokens,
    /// In 10^-9 USD.
    Money,
}

/// How much of everything a request takes: reserved before it is served, settled after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Costs {
    pub input: u64,
    pub output: u64,
    /// In 10^-9 USD, rounded up.
    pub nano_usd: u64,
}

/// What [`Unit::Money`] counts of a dollar.
pub const NANO_PER_USD: u64 = 1_000_000_000;

// === impl Unit ===

impl Unit {
    pub const ALL: [Unit; 5] =
        [Unit::Requests, Unit::Tokens, Unit::InputTokens, Unit::OutputTokens, Unit::Money];

    /// The word in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Unit::Requests => "requests",
            Unit::Tokens => "tokens",
            Unit::InputTokens => "input_tokens",
            Unit::OutputTokens => "output_tokens",
            Unit::Money => "usd",
        }
    }

    /// Whether how much a request takes is known only afterwards.
    #[must_use]
    pub fn is_settled(self) -> bool {
        self != Unit::Requests
    }

    /// For people: `12 tokens`, `12.50 USD`.
    #[must_use]
    pub fn show(self, amount: u64) -> String {
        match self {
            Unit::Requests => amount.to_string(),
            Unit::Tokens => format!("{amount} tokens"),
            Unit::InputTokens => format!("{amount} input tokens"),
            Unit::OutputTokens => format!("{amount} output tokens"),
            Unit::Money => format!("{} USD", show_usd(amount)),
        }
    }
}

/// Dollars in exact decimals, at least two.
#[must_use]
pub fn show_usd(nano: u64) -> String {
    let (whole, part) = (nano / NANO_PER_USD, nano % NANO_PER_USD);
    let digits = format!("{part:09}");
    let end = digits.trim_end_matches('0').len().max(2);
    format!("{whole}.{}", &digits[..end])
}

// === impl Costs ===

impl Costs {
    /// How much of `unit`.
    #[must_use]
    pub fn of(&self, unit: Unit) -> u64 {
        match unit {
            Unit::Requests => 1,
            Unit::Tokens => self.input.saturating_add(self.output),
            Unit::InputTokens => self.input,
            Unit::OutputTokens => self.output,
            Unit::Money => self.nano_usd,
        }
    }
}
