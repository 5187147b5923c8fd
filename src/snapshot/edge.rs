//! What an API answers whichever of its routes a request takes, or none: CORS.
//!
//! A preflight has no route of its own, and a request that no route takes still reached somebody's
//! API: its answer must be one that this API's clients can read.

use std::sync::Arc;

use crate::auth;
use crate::config::{Api, Name};
use crate::observe::cells::{PerWorker, RouteCells};
use crate::observe::registry::Registry;

/// Which pages of other origins may read an API's answers.
pub struct Cors {
    pub api: Name,
    pub policy: auth::Cors,
    /// Of the preflights that were answered.
    pub preflights: Arc<PerWorker<RouteCells>>,
}

/// What metrics and the log call the route of an answered preflight.
pub const PREFLIGHT: &str = "(preflight)";

// === impl Cors ===

impl Cors {
    /// The compiled policy of an API, if it has one.
    #[must_use]
    pub(super) fn of(name: &Name, api: &Api, registry: &Registry) -> Option<Arc<Cors>> {
        let policy = api.cors.clone()?;
        let preflights = registry.route(name, PREFLIGHT);
        Some(Arc::new(Cors { api: name.clone(), policy, preflights }))
    }
}
