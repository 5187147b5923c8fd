//! Why a set of routes is not a table: two that could both be meant, or too many alternatives.

use std::fmt;

use crate::bounds::{ROUTE_METHODS_MAX, ROUTE_SEGMENTS_MAX, ROUTE_VISITS_MAX};

/// Where a route was written, ready to print (`ringway.toml:12:3`). Opaque to this room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place(pub String);

/// A reason to refuse a set of routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// Two routes with one host, base path and method take the same paths.
    Same {
        /// The route written first, as `host key`.
        first: String,
        /// Where it stands.
        first_place: Place,
        /// The later one.
        second: String,
        /// Where it stands.
        second_place: Place,
    },
    /// `$default` beside `ANY /{proxy+}`: all but the root path goes to the latter, which is seldom
    /// meant. `Options::default_beside_proxy` allows it.
    DefaultBesideProxy {
        /// The host and base path of both.
        mount: String,
        /// Where `$default` stands.
        default_place: Place,
        /// Where the greedy route stands.
        proxy_place: Place,
    },
    /// Two want one base path, and at least one of them chooses among sets of routes there.
    Shared {
        /// The host and base path.
        mount: String,
        /// Where the first stands.
        first_place: Place,
        /// Where the second stands.
        second_place: Place,
    },
    /// Base path and key have more segments together than a lookup can hold.
    TooDeep {
        /// The route, as `host key`.
        route: String,
        /// Where it stands.
        place: Place,
    },
    /// More distinct methods than a table holds.
    TooManyMethods {
        /// The route with the first method too many.
        route: String,
        /// Where it stands.
        place: Place,
    },
    /// Static and parameter segments alternate so much that one path could cost this many steps.
    TooManyAlternatives {
        /// The host and base path.
        mount: String,
        /// The steps the dearest path could take.
        visits: u64,
        /// Where the first route of this mount stands.
        place: Place,
    },
}

// === impl Place ===

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Conflict ===

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Conflict::Same { first, first_place, second, second_place } => write!(
                f,
                "{second_place}: route `{second}` takes the same requests as `{first}` at \
                 {first_place}; remove one of them"
            ),
            Conflict::DefaultBesideProxy { mount, default_place, proxy_place } => write!(
                f,
                "{default_place}: `$default` of {mount} takes only what `ANY /{{proxy+}}` at \
                 {proxy_place} leaves, the root path; keep one, or write `ANY /` for the root"
            ),
            Conflict::Shared { mount, first_place, second_place } => write!(
                f,
                "{second_place}: {mount} is also the base path of {first_place}, and a version \
                 that a request names in its fields or query must be of one API; give them \
                 different hosts or base paths"
            ),
            Conflict::TooDeep { route, place } => write!(
                f,
                "{place}: route `{route}` has more than {ROUTE_SEGMENTS_MAX} segments with its \
                 base path; take the rest with {{name+}}"
            ),
            Conflict::TooManyMethods { route, place } => write!(
                f,
                "{place}: route `{route}` names one method more than the {ROUTE_METHODS_MAX} a \
                 table may have; use ANY"
            ),
            Conflict::TooManyAlternatives { mount, visits, place } => write!(
                f,
                "{place}: among the routes of {mount} one path could take {visits} steps, more \
                 than {ROUTE_VISITS_MAX}; use fewer literals beside parameters at the same place"
            ),
        }
    }
}

impl std::error::Error for Conflict {}
