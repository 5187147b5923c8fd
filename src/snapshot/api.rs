//! An API as the workers see it beside its routes: its versions, its base paths, what a request
//! that meets no route is told.

use std::sync::Arc;

use super::edge::Cors;
use crate::config::Name;
pub use crate::config::{Sticky, Unmatched};
use crate::failure::ErrorFormat;
use crate::observe::callers::VersionCalls;
use crate::route::version::{Asks, Selector, Standing, Unknown, Version, Versions};

/// An API of a snapshot.
pub struct Api {
    pub name: Name,
    pub errors: ErrorFormat,
    pub unmatched: Unmatched,
    /// `None`: it has none.
    pub versions: Option<Versions>,
    /// Which pages of other origins may read its answers; `None`: that is the upstream's business.
    pub cors: Option<Arc<Cors>>,
    /// Who asks for each version.
    pub calls: Vec<VersionCalls>,
}

/// Which way of deploying its API a route is compiled for. Shared by all routes of it.
pub struct Deployment {
    pub api: Arc<Api>,
    /// Empty if the API has no stages.
    pub stage: Arc<str>,
    /// Its place in the API's versions.
    pub version: Option<u16>,
    pub canary: bool,
}

/// The canary beside a route.
#[derive(Clone, Debug)]
pub struct Split {
    /// Of [`crate::route::canary::PARTS`].
    pub parts: u32,
    pub sticky: Option<Sticky>,
    /// The name of what is rolled out: API and stage.
    pub salt: Arc<str>,
    /// The canary's place in the snapshot's routes.
    pub twin: u32,
}

/// A base path under which an API is reached. A route table's owner is an index into the
/// snapshot's.
pub struct Mount {
    pub api: Arc<Api>,
    /// Base path and stage as they stand in a path, without the version; empty for the root.
    pub prefix: String,
    /// Whether the segment below it may be a version's id; and the gateway's own documents are
    /// there.
    pub is_root: bool,
    /// Who may name another one before that.
    pub asks: Vec<Selector>,
    /// The version of a request that names none.
    pub otherwise: Option<u16>,
    /// The paths below it at which the gateway serves documents of its own.
    pub documents: Arc<[String]>,
}

/// What a request asks of a mount that chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen {
    Document,
    Version(u16),
    /// None is named, and there is no default.
    Nothing,
    Unknown,
}

// === impl Deployment ===

impl Deployment {
    /// The version, if the API has any.
    #[must_use]
    pub fn version(&self) -> Option<&Version> {
        self.api.versions.as_ref()?.get(self.version?)
    }

    /// The version's id; empty if the API has none.
    #[must_use]
    pub fn version_id(&self) -> &str {
        self.version().map_or("", |version| &version.id)
    }
}

// === impl Mount ===

impl Mount {
    /// Which version a request below this base path asks for.
    pub fn choose(&self, is_get: bool, below: &[u8], request: &impl Asks) -> Chosen {
        if is_get && self.is_root && self.documents.iter().any(|path| path.as_bytes() == below) {
            return Chosen::Document;
        }
        let Some(versions) = &self.api.versions else { return Chosen::Nothing };
        match versions.choose(&self.asks, request) {
            Err(Unknown) => Chosen::Unknown,
            Ok(asked) => asked.or(self.otherwise).map_or(Chosen::Nothing, Chosen::Version),
        }
    }

    /// The set of routes in the route table; documents are first, or at a version's own path that
    /// version.
    #[must_use]
    pub fn variant(&self, chosen: Chosen) -> Option<u16> {
        match chosen {
            Chosen::Document => Some(0),
            Chosen::Version(at) if !self.is_root && Some(at) == self.otherwise => Some(0),
            Chosen::Version(at) => Some(at + 1),
            Chosen::Nothing | Chosen::Unknown => None,
        }
    }

    /// Whether a path below it begins with what looks like a version and is none.
    #[must_use]
    pub fn mistakes(&self, below: &[u8]) -> bool {
        let Some(versions) = &self.api.versions else { return false };
        let segment = below.strip_prefix(b"/").unwrap_or(below).split(|b| *b == b'/').next();
        // Where a path has named its version the next segment is a resource.
        self.is_root && versions.mistakes(segment.unwrap_or_default())
    }
}

/// Where a request's version stands, and which it is.
#[derive(Clone, Copy)]
pub struct Judged<'c> {
    pub api: &'c Api,
    /// Its place in the API's versions.
    pub at: u16,
    pub version: &'c Version,
    pub standing: Standing,
}
