//! What the API asks of the control thread, which alone loads and publishes configurations.

use serde_json::json;

use super::problem::Problem;
use crate::config::Change;
use crate::control::gateway::StartError;
use crate::control::house::page::{Page, Promise};

/// A question to the control thread.
pub struct Ask {
    pub what: What,
    pub promise: Promise,
}

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// As SIGHUP does.
    Reload { cause: String },
    /// What a reload would change, without doing it.
    Preview,
}

/// Why a configuration is not loaded.
#[derive(Debug)]
pub enum NotLoaded {
    /// It is built in.
    NoFile,
    Wrong(StartError),
}

/// The answer to a reload: the generation in force and what has changed.
#[must_use]
pub fn reloaded(outcome: &Result<(u64, Vec<Change>), NotLoaded>) -> Page {
    match outcome {
        Ok((generation, changes)) => {
            Page::json(200, &json!({ "generation": generation, "changes": told(changes) }))
        }
        Err(why) => refused(why),
    }
}

/// The answer to a preview.
#[must_use]
pub fn preview(outcome: &Result<(u64, Vec<Change>), NotLoaded>) -> Page {
    match outcome {
        Ok((generation, changes)) => {
            let changes = told(changes);
            Page::json(200, &json!({ "generation": generation, "changes": changes }))
        }
        Err(why) => refused(why),
    }
}

fn told(changes: &[Change]) -> serde_json::Value {
    let each = changes.iter().map(|change| {
        json!({
            "what": change.what.to_string(),
            "object": change.object,
            "keys": change.keys,
        })
    });
    each.collect()
}

fn refused(why: &NotLoaded) -> Page {
    match why {
        NotLoaded::NoFile => Problem::Refused.page("The demo's configuration is built in."),
        NotLoaded::Wrong(StartError::Config(all)) => {
            let each = all.iter().map(|one| {
                json!({
                    "place": one.place.to_string(),
                    "key": one.key,
                    "detail": one.to_string(),
                })
            });
            let detail = "The configuration is wrong; the one in force stays.";
            Problem::Refused.page_with(detail, &each.collect::<Vec<_>>())
        }
        NotLoaded::Wrong(error) => Problem::Refused.page(error.to_string()),
    }
}
