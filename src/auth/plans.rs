//! Usage plans by name, and the API stages each is attached to.
//!
//! Knows nothing of what a plan limits. Invariant (AWS has it too): a key is metered by at most one
//! plan at any API stage, so that nobody must guess which one a request was charged to.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

/// All usage plans.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plans {
    by_name: BTreeMap<String, Attached>,
}

/// Where a plan holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attached {
    /// Wherever keys are asked for.
    Everywhere,
    To(Vec<ApiStage>),
}

/// An API, or one stage of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiStage {
    pub api: String,
    /// `None`: all its stages.
    pub stage: Option<String>,
}

/// Why a key cannot have these plans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WrongPlans {
    Unknown(String),
    /// Two plans at one place.
    Overlap {
        first: String,
        second: String,
        /// Such as `orders/prod`; empty: everywhere.
        place: String,
    },
}

// === impl Plans ===

impl FromIterator<(String, Attached)> for Plans {
    fn from_iter<I: IntoIterator<Item = (String, Attached)>>(plans: I) -> Plans {
        Plans { by_name: plans.into_iter().collect() }
    }
}

impl Plans {
    /// Whether a key may have these plans together.
    ///
    /// # Errors
    /// The first plan there is not, or the first two that meet.
    pub fn check<S: Deref<Target = str>>(&self, names: &[S]) -> Result<(), WrongPlans> {
        for (at, second) in names.iter().map(Deref::deref).enumerate() {
            let Some(attached) = self.by_name.get(second) else {
                return Err(WrongPlans::Unknown(second.to_owned()));
            };
            for first in names[..at].iter().map(Deref::deref) {
                if let Some(place) = attached.meets(&self.by_name[first]) {
                    let (first, second) = (first.to_owned(), second.to_owned());
                    return Err(WrongPlans::Overlap { first, second, place });
                }
            }
        }
        Ok(())
    }

    /// The plans that hold at a stage, in the order of their names.
    pub fn at<'a>(&'a self, api: &'a str, stage: &'a str) -> impl Iterator<Item = &'a str> {
        let here = move |(_, attached): &(&String, &Attached)| attached.holds(api, stage);
        self.by_name.iter().filter(here).map(|(name, _)| name.as_str())
    }

    /// Whether some plan names this stage, or its API.
    #[must_use]
    pub fn name(&self, api: &str, stage: &str) -> bool {
        let named =
            |attached: &Attached| *attached != Attached::Everywhere && attached.holds(api, stage);
        self.by_name.values().any(named)
    }
}

// === impl Attached ===

impl Attached {
    fn holds(&self, api: &str, stage: &str) -> bool {
        match self {
            Attached::Everywhere => true,
            Attached::To(places) => places.iter().any(|place| {
                place.api == api && place.stage.as_deref().is_none_or(|named| named == stage)
            }),
        }
    }

    /// Where both hold.
    fn meets(&self, other: &Attached) -> Option<String> {
        match (self, other) {
            (Attached::Everywhere, Attached::Everywhere) => Some(String::new()),
            (Attached::Everywhere, Attached::To(places))
            | (Attached::To(places), Attached::Everywhere) => {
                places.first().map(ToString::to_string)
            }
            (Attached::To(these), Attached::To(those)) => these
                .iter()
                .flat_map(|this| those.iter().filter_map(move |that| this.meets(that)))
                .next(),
        }
    }
}

// === impl ApiStage ===

impl ApiStage {
    /// Reads `orders` or `orders/prod`.
    #[must_use]
    pub fn parse(text: &str) -> ApiStage {
        match text.split_once('/') {
            Some((api, stage)) => ApiStage { api: api.to_owned(), stage: Some(stage.to_owned()) },
            None => ApiStage { api: text.to_owned(), stage: None },
        }
    }

    fn meets(&self, other: &ApiStage) -> Option<String> {
        let narrower = match (&self.stage, &other.stage) {
            (Some(this), Some(that)) if this != that => return None,
            (Some(_), _) => self,
            (None, _) => other,
        };
        (self.api == other.api).then(|| narrower.to_string())
    }
}

impl fmt::Display for ApiStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.stage {
            Some(stage) => write!(f, "{}/{stage}", self.api),
            None => f.write_str(&self.api),
        }
    }
}

// === impl WrongPlans ===

impl fmt::Display for WrongPlans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WrongPlans::Unknown(name) => write!(f, "there is no plan {name:?}"),
            WrongPlans::Overlap { first, second, place } => {
                let place = if place.is_empty() { "everywhere" } else { place };
                write!(f, "the plans {first:?} and {second:?} both hold at {place}")
            }
        }
    }
}

impl std::error::Error for WrongPlans {}

#[cfg(test)]
mod tests {
    use super::*;

    fn plans() -> Plans {
        let to =
            |places: &[&str]| Attached::To(places.iter().map(|p| ApiStage::parse(p)).collect());
        [
            ("all", Attached::Everywhere),
            ("any", Attached::Everywhere),
            ("orders", to(&["orders"])),
            ("prod", to(&["orders/prod", "pets/prod"])),
            ("dev", to(&["orders/dev"])),
            ("none", to(&[])),
        ]
        .map(|(name, attached)| (name.to_owned(), attached))
        .into_iter()
        .collect()
    }

    #[test]
    fn two_plans_do_not_meet_at_a_stage() {
        let told = |names: &[&str]| plans().check(names).err().map(|wrong| wrong.to_string());
        assert_eq!(told(&["prod", "dev", "none"]), None);
        assert_eq!(told(&["none", "all"]), None, "one of them holds nowhere");
        for (names, place) in [
            (["orders", "prod"], "orders/prod"),
            (["dev", "orders"], "orders/dev"),
            (["all", "any"], "everywhere"),
            (["all", "dev"], "orders/dev"),
        ] {
            let [first, second] = names;
            let expected = format!("the plans {first:?} and {second:?} both hold at {place}");
            assert_eq!(told(&names), Some(expected));
        }
        assert_eq!(told(&["gold"]).as_deref(), Some("there is no plan \"gold\""));
    }

    #[test]
    fn a_plan_holds_where_it_is_attached() {
        let at = |api, stage| plans().at(api, stage).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(at("orders", "prod"), ["all", "any", "orders", "prod"]);
        assert_eq!(at("pets", "dev"), ["all", "any"]);
        assert!(plans().name("pets", "prod") && !plans().name("pets", "dev"));
    }
}
