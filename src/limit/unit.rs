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
