//! Stages of an API, the variables they set, and custom domains. What a variable is in one
//! deployment (stage, version, canary) is told here, for whoever checks and whoever compiles.

use std::collections::BTreeMap;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::{Api, Host, Name, Percent, Place, RespondBody, Route, Target, Throttle, Version};
use crate::config::template::{Template, Variable};
use crate::http::escape::Escaped;
use crate::http::write::Out;

/// Stage variables: each value with its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables(pub BTreeMap<String, Setting>);

/// A stage variable's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub value: String,
    pub place: Place,
}

/// `[apis.NAME.stages.STAGE]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stage {
    #[serde(skip)]
    pub place: Place,
    /// Limits that apply beside the API's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Name>,
    /// A limit of the stage alone, with its canary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttle: Option<Throttle>,
    #[serde(skip_serializing_if = "Variables::is_empty")]
    pub variables: Variables,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
}

/// A share of a stage's requests that is served with other variables.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Canary {
    #[serde(skip)]
    pub place: Place,
    pub percent: Percent,
    #[serde(skip_serializing_if = "Variables::is_empty")]
    pub variables: Variables,
    /// By what a caller stays in or out; `None`: each request by chance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sticky: Option<Sticky>,
}

/// By what a caller is known to a canary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sticky {
    /// The API key's name; the address, where there is none.
    Key,
    /// The client's address.
    Ip,
    /// The field of this (lower-case) name; by chance where it is missing.
    Header(String),
}

/// What a request that meets no route is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Unmatched {
    /// 404.
    #[default]
    #[serde(rename = "404")]
    NotFound,
    /// AWS REST's 403 "Missing Authentication Token".
    #[serde(rename = "403")]
    MissingToken,
}

/// `[domains."HOST"]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Domain {
    #[serde(skip)]
    pub place: Place,
    #[serde(skip)]
    pub host: Host,
    pub mappings: Vec<Mapping>,
}

/// A base path of a domain, and the stage of an API it leads to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mapping {
    #[serde(skip)]
    pub place: Place,
    pub path: String,
    pub api: Name,
    /// `None`: all of the API's stages, as below its own base path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<Name>,
}

/// One of the ways in which an API's routes are compiled: a stage, a version, the canary or not.
#[derive(Clone, Copy, Debug)]
pub struct Deployment<'a> {
    pub api: &'a Api,
    /// `None`: the API has no stages.
    pub stage: Option<(&'a Name, &'a Stage)>,
    /// `None`: the API has no versions.
    pub version: Option<(&'a Name, &'a Version)>,
    pub canary: Option<&'a Canary>,
}

/// The stage that is reached at the base path itself.
pub const DEFAULT_STAGE: &str = "$default";

// === impl Variables ===

impl Variables {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Variables {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.len()))?;
        for (name, setting) in &self.0 {
            map.serialize_entry(name, &setting.value)?;
        }
        map.end()
    }
}

// === impl Sticky ===

impl Serialize for Sticky {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Sticky::Key => to.serialize_str("key"),
            Sticky::Ip => to.serialize_str("ip"),
            Sticky::Header(name) => to.collect_str(&format_args!("header:{name}")),
        }
    }
}

// === impl Api ===

impl Api {
    /// Every stage with every version, each followed by its canary if the stage has one; in the
    /// order of their names, whatever the order in the file.
    #[must_use]
    pub fn deployments(&self) -> Vec<Deployment<'_>> {
        let stages: Vec<_> = match self.stages.is_empty() {
            true => vec![None],
            false => self.stages.iter().map(Some).collect(),
        };
        let versions: Vec<_> = match &self.versioning {
            None => vec![None],
            Some(versioning) => versioning.versions.iter().map(Some).collect(),
        };
        let mut deployments = Vec::new();
        for stage in stages {
            for &version in &versions {
                let plain = Deployment { api: self, stage, version, canary: None };
                deployments.push(plain);
                if let Some(canary) = stage.and_then(|(_, stage)| stage.canary.as_ref()) {
                    deployments.push(Deployment { canary: Some(canary), ..plain });
                }
            }
        }
        deployments
    }
}

// === impl Deployment ===

impl<'a> Deployment<'a> {
    /// The stage's name; empty if the API has none.
    #[must_use]
    pub fn stage_name(&self) -> &'a str {
        self.stage.map_or("", |(name, _)| name)
    }

    /// The version's id; empty if the API has none.
    #[must_use]
    pub fn version_id(&self) -> &'a str {
        self.version.map_or("", |(id, _)| id)
    }

    /// What a variable is set to: by the canary, else by the version, else by the stage.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<&'a Setting> {
        let canary = self.canary.and_then(|canary| canary.variables.0.get(name));
        let version = self.version.and_then(|(_, version)| version.variables.0.get(name));
        let stage = self.stage.and_then(|(_, stage)| stage.variables.0.get(name));
        canary.or(version).or(stage)
    }

    /// The value of a variable; empty if nobody sets it, as at AWS.
    #[must_use]
    pub fn variable(&self, name: &str) -> &'a str {
        self.setting(name).map_or("", |setting| setting.value.as_str())
    }

    /// Whether a route takes part in this one.
    #[must_use]
    pub fn has(&self, route: &Route) -> bool {
        match (self.version, &route.versions) {
            (Some((id, _)), Some(versions)) => versions.holds(id),
            _ => true,
        }
    }

    /// The upstreams of a route that proxies: its own, else the version's, else the API's.
    #[must_use]
    pub fn targets(&self, own: &'a [Target]) -> &'a [Target] {
        let version = self.version.and_then(|(_, version)| version.upstream.as_ref());
        match version.or(self.api.upstream.as_ref()) {
            Some(inherited) if own.is_empty() => std::slice::from_ref(inherited),
            _ => own,
        }
    }

    /// A text with every `${stageVariables.name}` filled in.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for piece in pieces(text) {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Variable(name) => out.push_str(self.variable(name)),
            }
        }
        out
    }

    /// A template in which nothing is left that the deployment knows.
    #[must_use]
    pub fn template(&self, template: &Template) -> Template {
        template.filled(|variable| self.value(variable).map(str::to_owned))
    }

    /// The body of an answer in which nothing is left that the deployment knows. Its values are
    /// escaped as those of a request are.
    #[must_use]
    pub fn body(&self, body: &RespondBody) -> RespondBody {
        match body {
            RespondBody::Fixed(text) => RespondBody::Fixed(self.text(text)),
            RespondBody::Template { text, template, place } => {
                let escaped = |value: &str| {
                    let mut out = Vec::with_capacity(value.len());
                    Escaped { out: &mut out, place: *place }.put(value.as_bytes());
                    String::from_utf8_lossy(&out).into_owned()
                };
                let template = template.filled(|variable| self.value(variable).map(escaped));
                RespondBody::Template { text: text.clone(), template, place: *place }
            }
        }
    }

    /// What a variable stands for, if the deployment knows.
    fn value(&self, variable: &Variable) -> Option<&str> {
        match variable {
            Variable::StageVariable(name) => Some(self.variable(name)),
            Variable::Stage => Some(self.stage.map_or(DEFAULT_STAGE, |(name, _)| name)),
            Variable::Version => Some(self.version_id()),
            _ => None,
        }
    }
}

/// A part of a text with stage variables in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'t> {
    Text(&'t str),
    Variable(&'t str),
}

/// What opens a stage variable; `}` closes it.
pub(in crate::config) const OPENS: &str = "${stageVariables.";

/// The pieces of a text, in their order. What is not closed, or no name, is text.
pub fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let found = rest.match_indices(OPENS).find_map(|(at, _)| {
            let (name, _) = rest[at + OPENS.len()..].split_once('}')?;
            is_variable_name(name).then_some((at, name))
        });
        match found {
            Some((0, name)) => {
                rest = &rest[OPENS.len() + name.len() + 1..];
                Some(Piece::Variable(name))
            }
            found => {
                let (text, after) = rest.split_at(found.map_or(rest.len(), |(at, _)| at));
                rest = after;
                (!text.is_empty()).then_some(Piece::Text(text))
            }
        }
    })
}

/// AWS: letters, digits and `_`.
#[must_use]
pub fn is_variable_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_its_variables() {
        let cut = |text| pieces(text).collect::<Vec<_>>();
        assert_eq!(cut(""), []);
        assert_eq!(cut("plain"), [Piece::Text("plain")]);
        assert_eq!(cut("${stageVariables.a}"), [Piece::Variable("a")]);
        assert_eq!(
            cut("x-${stageVariables.a}${stageVariables.b_1}-y"),
            [Piece::Text("x-"), Piece::Variable("a"), Piece::Variable("b_1"), Piece::Text("-y")]
        );
        for text in ["${stageVariables.}", "${stageVariables.a", "${stageVariables.a b}", "${x}"] {
            assert_eq!(cut(text), [Piece::Text(text)]);
        }
        assert_eq!(
            cut("${stageVariables.-}${stageVariables.ok}"),
            [Piece::Text("${stageVariables.-}"), Piece::Variable("ok")]
        );
    }
}
