//! The faults a model can be asked to commit: their names, and the shares in which a process
//! commits them by itself. Pure, but for the set that POST /mock/faults replaces.
//!
//! Invariant: an unknown name is refused, so a misspelt fault cannot pass for a success.

use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::dice::Dice;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An error answer with this status (400 to 599), in the dialect.
    Status(u16),
    /// 429 that no waiting mends: the account is empty.
    Quota,
    /// 400: the prompt does not fit into the model's context.
    Context,
    /// Nothing comes, ever: before the first byte, or in the middle.
    Stall,
    StallMid,
    /// RST.
    Reset,
    ResetMid,
    /// FIN before the answer.
    Close,
    /// FIN within an event, or within a body.
    Truncate,
    /// A stream that ends at the end of an event, without its last ones.
    EndEarly,
    /// The first byte comes two seconds later.
    Slow,
    /// The usage is left out; the last event (`[DONE]`, `message_stop`) is.
    NoUsage,
    NoDone,
    /// A stream whose first event is an error; one that breaks with an error event.
    ErrorFirst,
    ErrorMid,
    /// A body that is neither JSON nor events; bytes that are not HTTP.
    Garbage,
    GarbageHttp,
    /// An event (or a body) without an end.
    Endless,
    /// One of 64 MiB.
    Huge,
}

/// A fault and how often it is committed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    fault: Fault,
    share: f64,
}

/// What the process commits by itself.
#[derive(Default)]
pub struct Shares {
    any: AtomicBool,
    list: RwLock<Vec<Share>>,
}

const NAMED: [(&str, Fault); 20] = [
    ("quota", Fault::Quota),
    ("context", Fault::Context),
    ("stall", Fault::Stall),
    ("stall-mid", Fault::StallMid),
    ("reset", Fault::Reset),
    ("reset-mid", Fault::ResetMid),
    ("close", Fault::Close),
    ("truncate", Fault::Truncate),
    ("end-early", Fault::EndEarly),
    ("slow", Fault::Slow),
    ("no-usage", Fault::NoUsage),
    ("no-done", Fault::NoDone),
    ("error-first", Fault::ErrorFirst),
    ("error-mid", Fault::ErrorMid),
    ("garbage", Fault::Garbage),
    ("garbage-http", Fault::GarbageHttp),
    ("endless", Fault::Endless),
    ("huge", Fault::Huge),
    ("overloaded", Fault::Status(529)),
    ("rate-limit", Fault::Status(429)),
];

// === impl Fault ===

impl Fault {
    pub fn parse(name: &str) -> Result<Fault, String> {
        if let Some((_, fault)) = NAMED.iter().find(|(known, _)| *known == name) {
            return Ok(*fault);
        }
        match name.parse() {
            Ok(status @ 400..=599) => Ok(Fault::Status(status)),
            _ => {
                let known: Vec<_> = NAMED.iter().map(|(known, _)| *known).collect();
                Err(format!("unknown fault `{name}`; a status or one of {}", known.join(" ")))
            }
        }
    }

    pub fn name(self) -> String {
        match (self, NAMED.iter().find(|(_, fault)| *fault == self)) {
            (Fault::Status(status), _) => status.to_string(),
            (_, Some((name, _))) => (*name).to_owned(),
            (_, None) => String::new(),
        }
    }

    /// Whether tokens are sent before it shows.
    pub fn is_midway(self) -> bool {
        matches!(
            self,
            Fault::StallMid
                | Fault::ResetMid
                | Fault::Truncate
                | Fault::EndEarly
                | Fault::ErrorMid
                | Fault::Endless
                | Fault::Huge
        )
    }
}

// === impl Share ===

impl Share {
    /// `429`, or `429:0.1`.
    pub fn parse(text: &str) -> Result<Share, String> {
        let (name, share) = text.rsplit_once(':').unwrap_or((text, "1"));
        let share = share.parse().map_err(|_| format!("`{text}`: a share is a number up to 1"))?;
        if !(0.0..=1.0).contains(&share) {
            return Err(format!("`{text}`: a share is a number up to 1"));
        }
        Ok(Share { fault: Fault::parse(name)?, share })
    }

    pub fn draw(self, dice: &mut Dice) -> Option<Fault> {
        (self.share >= 1.0 || dice.unit() <= self.share).then_some(self.fault)
    }
}

// === impl Shares ===

impl Shares {
    /// Replaces them; none are named by nothing.
    pub fn set<'a>(&self, names: impl Iterator<Item = &'a str>) -> Result<(), String> {
        let names = names.map(str::trim).filter(|name| !name.is_empty());
        let list = names.map(Share::parse).collect::<Result<Vec<_>, _>>()?;
        self.any.store(!list.is_empty(), Relaxed);
        *self.list.write().expect("nobody panics while holding it") = list;
        Ok(())
    }

    pub fn draw(&self, dice: &mut Dice) -> Option<Fault> {
        if !self.any.load(Relaxed) {
            return None;
        }
        let list = self.list.read().expect("nobody panics while holding it");
        list.iter().find_map(|share| share.draw(dice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_a_name_that_leads_back_to_it() {
        for (name, fault) in NAMED {
            assert_eq!(Fault::parse(name), Ok(fault));
            assert_eq!(Fault::parse(&fault.name()), Ok(fault));
            assert!(crate::mock::HELP.contains(name), "{name} is not in the help");
        }
        assert_eq!(Fault::parse("503"), Ok(Fault::Status(503)));
        assert!(Fault::parse("200").is_err() && Fault::parse("stal").is_err());
    }

    #[test]
    fn shares_are_drawn_in_their_proportion() {
        let shares = Shares::default();
        let mut dice = Dice::new(3);
        assert_eq!(shares.draw(&mut dice), None);
        shares.set("429:0.25, stall:1".split(',')).unwrap();
        let drawn = (0..10_000).filter(|_| shares.draw(&mut dice) == Some(Fault::Status(429)));
        assert!((2_300..2_700).contains(&drawn.count()));
        assert!(shares.set("429:2".split(',')).is_err());
        shares.set("".split(',')).unwrap();
        assert_eq!(shares.draw(&mut dice), None);
    }
}
