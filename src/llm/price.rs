//! What tokens cost, exactly: whole numbers of 10^-12 USD, never a float.
//!
//! Owns how a price is written (USD for a million tokens, up to six decimal places, so that one
//! token's price is a whole number) and how a request's usage becomes money. Knows no table and no
//! budget. Invariants: what is parsed is what is meant, or refused; no sum overflows, it stays at
//! the most there is; and a cost depends on the usage only.

use std::fmt;

use super::Usage;

/// What a model's tokens cost, in 10^-12 USD each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Price {
    now: Rates,
    batch: Rates,
}

/// Prices of the kinds of tokens, in 10^-12 USD each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Rates {
    input: u64,
    cached: u64,
    cache_write: u64,
    output: u64,
    reasoning: u64,
}

/// What a price table says of a model, in 10^-12 USD a token ([`per_million`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    pub input: u64,
    pub output: u64,
    /// Input from the provider's cache; as other input if it is not said.
    pub cached_input: Option<u64>,
    /// Input into the provider's cache; as other input if it is not said.
    pub cache_write: Option<u64>,
    /// Output that is reasoning; as other output if it is not said.
    pub reasoning: Option<u64>,
    /// Input of what is billed as batch; as other input if it is not said.
    pub batch_input: Option<u64>,
    /// Output of what is billed as batch; as other output if it is not said.
    pub batch_output: Option<u64>,
}

/// An amount in 10^-12 USD, to be written as an exact decimal of USD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pico(pub u64);

/// Why a text is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadDecimal {
    /// Digits, and a point with digits behind it if need be, is all there may be.
    Form,
    TooManyPlaces,
    TooLarge,
}

// === impl Price ===

impl Price {
    /// From what a table says. Where batches have a price of their own, cached and written input
    /// and reasoning are cheaper by the same share, as providers grant it, rounded up to 10^-12
    /// USD.
    #[must_use]
    pub fn new(prices: &Prices) -> Price {
        let now = Rates {
            input: prices.input,
            cached: prices.cached_input.unwrap_or(prices.input),
            cache_write: prices.cache_write.unwrap_or(prices.input),
            output: prices.output,
            reasoning: prices.reasoning.unwrap_or(prices.output),
        };
        let input = prices.batch_input.unwrap_or(now.input);
        let output = prices.batch_output.unwrap_or(now.output);
        let batch = Rates {
            input,
            cached: share(now.cached, input, now.input),
            cache_write: share(now.cache_write, input, now.input),
            output,
            reasoning: share(now.reasoning, output, now.output),
        };
        Price { now, batch }
    }

    /// What a request cost.
    #[must_use]
    pub fn cost_pico(&self, usage: &Usage, batch: bool) -> u64 {
        let rates = if batch { self.batch } else { self.now };
        let cached = usage.cached.min(usage.input);
        let written = usage.cache_write.min(usage.input - cached);
        let reasoning = usage.reasoning.min(usage.output);
        sum([
            (usage.input - cached - written, rates.input),
            (cached, rates.cached),
            (written, rates.cache_write),
            (usage.output - reasoning, rates.output),
            (reasoning, rates.reasoning),
        ])
    }

    /// The most that so much input and output can cost, whatever kind of token each turns out to
    /// be: what is reserved.
    #[must_use]
    pub fn most_pico(&self, input: u64, output: u64, batch: bool) -> u64 {
        let rates = if batch { self.batch } else { self.now };
        sum([
            (input, rates.input.max(rates.cached).max(rates.cache_write)),
            (output, rates.output.max(rates.reasoning)),
        ])
    }

    /// Whether nothing costs anything.
    #[must_use]
    pub fn is_free(&self) -> bool {
        *self == Price::default()
    }
}

// === impl Pico ===

impl Pico {
    /// In 10^-9 USD, rounded up: what budgets count.
    #[must_use]
    pub fn nano(self) -> u64 {
        self.0.div_ceil(1000)
    }
}

impl fmt::Display for Pico {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_decimal(f, self.0, 12)
    }
}

// === impl BadDecimal ===

impl fmt::Display for BadDecimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadDecimal::Form => "is no decimal number like 0.15",
            BadDecimal::TooManyPlaces => "has too many decimal places",
            BadDecimal::TooLarge => "is too large",
        })
    }
}

/// A price, USD for a million tokens with up to six decimal places, in 10^-12 USD a token.
pub fn per_million(text: &str) -> Result<u64, BadDecimal> {
    decimal(text, 6)
}

/// An amount of USD with up to nine decimal places, in 10^-9 USD.
pub fn nano_usd(text: &str) -> Result<u64, BadDecimal> {
    decimal(text, 9)
}

/// Writes `amount`, which counts units of 10^-`places`, without zeros that say nothing.
pub fn write_decimal(out: &mut impl fmt::Write, amount: u64, places: u32) -> fmt::Result {
    let unit = 10_u64.checked_pow(places).expect("at most 19 places");
    let (whole, mut part) = (amount / unit, amount % unit);
    write!(out, "{whole}")?;
    if part == 0 {
        return Ok(());
    }
    let mut width = places as usize;
    while part.is_multiple_of(10) {
        (part, width) = (part / 10, width - 1);
    }
    write!(out, ".{part:0width$}")
}

/// A decimal number, in units of 10^-`places`.
fn decimal(text: &str, places: u32) -> Result<u64, BadDecimal> {
    let (whole, part) = match text.split_once('.') {
        Some((_, "")) => return Err(BadDecimal::Form),
        Some(halves) => halves,
        None => (text, ""),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) {
        return Err(BadDecimal::Form);
    }
    let part = part.trim_end_matches('0');
    let missing = (places as usize).checked_sub(part.len()).ok_or(BadDecimal::TooManyPlaces)?;
    let all = whole.bytes().chain(part.bytes()).chain(std::iter::repeat_n(b'0', missing));
    all.map(|b| u64::from(b - b'0'))
        .try_fold(0_u64, |sum, digit| sum.checked_mul(10)?.checked_add(digit))
        .ok_or(BadDecimal::TooLarge)
}

/// `price` times `part` of `whole`, rounded up.
fn share(price: u64, part: u64, whole: u64) -> u64 {
    if whole == 0 || part == whole {
        return price;
    }
    let scaled = (u128::from(price) * u128::from(part)).div_ceil(u128::from(whole));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

fn sum<const N: usize>(parts: [(u64, u64); N]) -> u64 {
    let each = parts.map(|(tokens, price)| tokens.saturating_mul(price));
    each.into_iter().fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn prices_are_exact() {
        for (text, pico) in [
            ("0.15", 150_000),
            ("0.000001", 1),
            ("15", 15_000_000),
            ("015.50", 15_500_000),
            ("0", 0),
            ("0.0000010", 1),
            ("18446744073709.551615", u64::MAX),
        ] {
            assert_eq!(per_million(text), Ok(pico), "{text}");
        }
        for (text, why) in [
            ("", BadDecimal::Form),
            (".5", BadDecimal::Form),
            ("5.", BadDecimal::Form),
            ("-1", BadDecimal::Form),
            ("+1", BadDecimal::Form),
            ("1e3", BadDecimal::Form),
            ("1.2.3", BadDecimal::Form),
            ("1_000", BadDecimal::Form),
            (" 1", BadDecimal::Form),
            ("٣", BadDecimal::Form),
            ("0.0000001", BadDecimal::TooManyPlaces),
            ("18446744073709.551616", BadDecimal::TooLarge),
            ("99999999999999999999", BadDecimal::TooLarge),
        ] {
            assert_eq!(per_million(text), Err(why), "{text}");
        }
        assert_eq!(nano_usd("12.50"), Ok(12_500_000_000));
    }

    #[test]
    fn each_kind_of_token_has_its_price() {
        let usd = |text| per_million(text).expect("is a price");
        let price = Price::new(&Prices {
            input: usd("2"),
            output: usd("8"),
            cached_input: Some(usd("0.5")),
            cache_write: Some(usd("2.5")),
            reasoning: Some(usd("10")),
            batch_input: Some(usd("1")),
            batch_output: Some(usd("4")),
        });
        let usage =
            Usage { input: 1000, cached: 200, cache_write: 100, output: 500, reasoning: 300 };
        // 700 * 2 + 200 * 0.5 + 100 * 2.5 + 200 * 8 + 300 * 10 = 6350 millionths.
        assert_eq!(price.cost_pico(&usage, false), 6_350_000_000);
        assert_eq!(Pico(6_350_000_000).to_string(), "0.00635");
        assert_eq!(price.cost_pico(&usage, true), 6_350_000_000 / 2);
        assert_eq!(price.most_pico(1000, 500, false), (2500 + 5000) * 1_000_000);
        let plain = Price::new(&Prices { input: 3, output: 5, ..Prices::default() });
        assert_eq!(plain.cost_pico(&usage, true), 3 * 1000 + 5 * 500);
        assert!(!plain.is_free() && Price::default().is_free());
    }

    #[test]
    fn nonsense_saturates() {
        let dear = Prices { input: u64::MAX, output: u64::MAX, ..Prices::default() };
        let usage =
            Usage { input: 5, cached: 9, cache_write: 9, output: u64::MAX, reasoning: u64::MAX };
        assert_eq!(Price::new(&dear).cost_pico(&usage, false), u64::MAX);
        assert_eq!(Pico(u64::MAX).to_string(), "18446744.073709551615");
        assert_eq!(Pico(u64::MAX).nano(), 18_446_744_073_709_552);
        assert_eq!((Pico(1).nano(), Pico(0).nano(), Pico(1000).nano()), (1, 0, 1));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(amount: u64) {
            let mut text = String::new();
            write_decimal(&mut text, amount, 6).expect("a string takes all");
            prop_assert_eq!(per_million(&text), Ok(amount));
        }

        #[test]
        fn what_is_reserved_is_enough(
            rates: [u32; 7], input: u32, output: u32, parts: [u8; 3], batch: bool,
        ) {
            let [input_rate, output_rate, a, b, c, d, e] = rates.map(u64::from);
            let price = Price::new(&Prices {
                input: input_rate,
                output: output_rate,
                cached_input: Some(a),
                cache_write: Some(b),
                reasoning: Some(c),
                batch_input: Some(d),
                batch_output: Some(e),
            });
            let (input, output) = (u64::from(input), u64::from(output));
            let of = |whole: u64, part: u8| whole * u64::from(part) / 255;
            let usage = Usage {
                input,
                cached: of(input, parts[0]),
                cache_write: of(input, parts[1]),
                output,
                reasoning: of(output, parts[2]),
            };
            prop_assert!(price.cost_pico(&usage, batch) <= price.most_pico(input, output, batch));
        }
    }
}
