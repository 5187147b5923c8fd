//! How one answer is to be: length, pace, usage, fault. The process says it by flags, a request by
//! its model's name (`mock-t32-p5ms-fault-stall-mid`) and by header fields (`x-mock-tokens`),
//! the later ones winning. A model's name passes every gateway; a header field may not. Pure.

use std::time::Duration;

use super::fault::{Fault, Share};
use crate::cli::MockArgs;
use crate::dice::Dice;
use crate::units;

/// More tokens than this are no answer any more.
const TOKENS_MAX: u64 = 10_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eol {
    Lf,
    CrLf,
    Cr,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    pub tokens: u64,
    pub pace: Duration,
    pub first: Duration,
    /// The token before which a fault in the middle shows; default: half of them.
    pub at: Option<u64>,
    /// Tokens of reasoning before the answer.
    pub reasoning: Option<u64>,
    /// Of the input, at most: read from a cache, written to one.
    pub cached: u64,
    pub written: u64,
    pub retry_after: Duration,
    /// Each word says when it was sent (CLOCK_MONOTONIC, ns).
    pub stamp: bool,
    pub eol: Eol,
    /// Sends of this many bytes, each a chunk of its own.
    pub split: Option<usize>,
    pub fault: Option<Fault>,
}

// === impl Options ===

impl Options {
    pub fn of_process(args: &MockArgs) -> Options {
        Options {
            tokens: args.tokens,
            pace: args.pace,
            first: args.first,
            at: None,
            reasoning: None,
            cached: 0,
            written: 0,
            retry_after: args.retry_after,
            stamp: false,
            eol: Eol::Lf,
            split: None,
            fault: None,
        }
    }

    /// `mock-SEGMENT-SEGMENT...`, behind anything (`claude-mock-t5`); a fault's name is the rest.
    /// Segments that begin like no option are part of the name.
    pub fn read_model(&mut self, model: &str, dice: &mut Dice) -> Result<(), String> {
        let Some((_, options)) = model.split_once("mock-") else {
            return Ok(());
        };
        let mut rest = options;
        while !rest.is_empty() {
            if let Some(fault) = rest.strip_prefix("fault-") {
                self.fault = Share::parse(fault)?.draw(dice);
                return Ok(());
            }
            let (segment, after) = rest.split_once('-').unwrap_or((rest, ""));
            rest = after;
            match segment {
                "stamp" => self.stamp = true,
                "crlf" => self.eol = Eol::CrLf,
                "cr" => self.eol = Eol::Cr,
                _ => self.read_segment(segment)?,
            }
        }
        Ok(())
    }

    fn read_segment(&mut self, segment: &str) -> Result<(), String> {
        let mut chars = segment.chars();
        let (letter, value) = (chars.next(), chars.as_str());
        if !value.starts_with(|c: char| c.is_ascii_digit()) {
            return Ok(());
        }
        match letter {
            Some('t') => self.tokens = count(value)?,
            Some('p') => self.pace = units::duration(value)?,
            Some('f') => self.first = units::duration(value)?,
            Some('k') => self.at = Some(count(value)?),
            Some('r') => self.reasoning = Some(count(value)?),
            Some('c') => self.cached = count(value)?,
            Some('w') => self.written = count(value)?,
            Some('a') => self.retry_after = units::duration(value)?,
            Some('s') => self.split = Some(units::size(value)?.max(1)),
            _ => {}
        }
        Ok(())
    }

    /// One `x-mock-` field; the name without that beginning.
    pub fn read_field(&mut self, name: &str, value: &str, dice: &mut Dice) -> Result<(), String> {
        match name {
            "tokens" => self.tokens = count(value)?,
            "pace" => self.pace = units::duration(value)?,
            "first" => self.first = units::duration(value)?,
            "at" => self.at = Some(count(value)?),
            "reasoning" => self.reasoning = Some(count(value)?),
            "cached" => self.cached = count(value)?,
            "written" => self.written = count(value)?,
            "retry-after" => self.retry_after = units::duration(value)?,
            "stamp" => self.stamp = true,
            "split" => self.split = Some(units::size(value)?.max(1)),
            "fault" => self.fault = Share::parse(value)?.draw(dice),
            _ => return Err(format!("unknown field x-mock-{name}")),
        }
        Ok(())
    }
}

fn count(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(n) if n <= TOKENS_MAX => Ok(n),
        _ => Err(format!("`{text}` is not a number up to {TOKENS_MAX}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        let ms = Duration::from_millis;
        Options {
            tokens: 16,
            pace: ms(0),
            first: ms(0),
            at: None,
            reasoning: None,
            cached: 0,
            written: 0,
            retry_after: ms(1000),
            stamp: false,
            eol: Eol::Lf,
            split: None,
            fault: None,
        }
    }

    #[test]
    fn a_models_name_says_it() {
        let mut read = options();
        let name = "mock-t32-p5ms-f20ms-r8-c10-crlf-k3-fault-stall-mid";
        read.read_model(name, &mut Dice::new(1)).unwrap();
        let expected = Options {
            tokens: 32,
            pace: Duration::from_millis(5),
            first: Duration::from_millis(20),
            at: Some(3),
            reasoning: Some(8),
            cached: 10,
            eol: Eol::CrLf,
            fault: Some(Fault::StallMid),
            ..options()
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn so_does_one_that_says_its_maker() {
        let mut read = options();
        read.read_model("claude-mock-t3", &mut Dice::new(1)).unwrap();
        assert_eq!(read, Options { tokens: 3, ..options() });
    }

    #[test]
    fn other_names_are_names() {
        for name in ["gpt-4o", "mock", "mock-large", "mock-two-words", "claude-t9"] {
            let mut read = options();
            read.read_model(name, &mut Dice::new(1)).unwrap();
            assert_eq!(read, options(), "{name}");
        }
    }

    #[test]
    fn misspelt_ones_are_refused() {
        for name in ["mock-p5parsecs", "mock-fault-42x", "mock-fault-429:7", "mock-t1x"] {
            assert!(options().read_model(name, &mut Dice::new(1)).is_err(), "{name}");
        }
        assert!(options().read_field("tokns", "3", &mut Dice::new(1)).is_err());
    }
}
