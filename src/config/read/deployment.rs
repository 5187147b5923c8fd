//! What only shows when stages, versions and routes are put together: upstreams whose names hold
//! stage variables, and routes that inherit theirs.

use std::collections::BTreeSet;

use crate::config::diagnostic::Diagnostic;
use crate::config::section::Section;
use crate::config::template::{Part, Variable};
use crate::config::types::{Action, Api, Deployment, Piece, Route, Setting, Target, pieces};

use super::Known;

/// Checks where each route goes in each deployment of its API.
pub(super) fn check(section: &Section<'_>, api: &Api, known: &Known<'_>) {
    let mut told = BTreeSet::new();
    for deployment in api.deployments() {
        for (key, routes) in &api.routes {
            for route in routes.iter().filter(|route| deployment.has(route)) {
                let Action::Proxy(own) = &route.action else { continue };
                check_target(section, key, route, &deployment, &mut told);
                let targets = deployment.targets(own);
                if targets.is_empty() {
                    goes_nowhere(section, key, route, &deployment, &mut told);
                }
                for target in targets {
                    let name = deployment.text(&target.upstream);
                    if name != *target.upstream && !known.uses(&name) {
                        let whose = whose(section, key, own, &deployment);
                        no_upstream(section, whose, target, &name, &deployment, &mut told);
                    }
                }
            }
        }
    }
}

/// A stage variable may hold a `#`, which no request target may (RFC 9112 section 3.2.1).
fn check_target(
    section: &Section<'_>,
    key: &str,
    route: &Route,
    deployment: &Deployment<'_>,
    told: &mut BTreeSet<String>,
) {
    let (of, target) = match (&route.rewrite, &route.path) {
        (Some(rewrite), _) => ("rewrite", rewrite),
        (None, Some(path)) => ("path", path),
        (None, None) => return,
    };
    for part in &target.parts {
        let Part::Variable(Variable::StageVariable(name)) = part else { continue };
        let Some(setting) = deployment.setting(name).filter(|s| s.value.contains('#')) else {
            continue;
        };
        if told.insert(format!("{} {name} {}", route.place, setting.place)) {
            section.report.error(Diagnostic {
                place: setting.place.clone(),
                key: format!("{}.{of}", route_path(section, key)),
                value: Some(format!("\"{}\"", setting.value)),
                message: format!("a target cannot hold the `#` of {name}"),
                remedy: "leave the fragment out: servers never see it".to_owned(),
            });
        }
    }
}

fn goes_nowhere(
    section: &Section<'_>,
    key: &str,
    route: &Route,
    deployment: &Deployment<'_>,
    told: &mut BTreeSet<String>,
) {
    let message = match deployment.version {
        None => "does nothing".to_owned(),
        Some((id, version)) => format!(
            "does nothing in version {id}: neither it nor the API has an `upstream` ({})",
            version.place
        ),
    };
    let remedy = "give it one of `upstream`, `split`, `redirect`, `respond`";
    if told.insert(format!("{} {message}", route.place)) {
        section.report.error(Diagnostic {
            place: route.place.clone(),
            key: route_path(section, key),
            value: None,
            message,
            remedy: remedy.to_owned(),
        });
    }
}

/// The key that names the upstreams of a route, and which route, if that does not tell.
fn whose(
    section: &Section<'_>,
    key: &str,
    own: &[Target],
    deployment: &Deployment<'_>,
) -> (String, String) {
    let taken_by = format!(" for the route {}", crate::config::section::quoted(key));
    let version = deployment.version.filter(|(_, version)| version.upstream.is_some());
    match (own, version) {
        ([], Some((id, _))) => (format!("{}.versions.{id}.upstream", section.path), taken_by),
        ([], None) => (format!("{}.upstream", section.path), taken_by),
        ([_], _) => (format!("{}.upstream", route_path(section, key)), String::new()),
        _ => (format!("{}.split", route_path(section, key)), String::new()),
    }
}

fn no_upstream(
    section: &Section<'_>,
    (key, taken_by): (String, String),
    target: &Target,
    name: &str,
    deployment: &Deployment<'_>,
    told: &mut BTreeSet<String>,
) {
    let variables = pieces(&target.upstream).filter_map(|piece| match piece {
        Piece::Variable(variable) => Some(variable),
        Piece::Text(_) => None,
    });
    let origins: Vec<String> = variables
        .map(|variable| match deployment.setting(variable) {
            Some(Setting { value, place }) => format!("{variable} is \"{value}\" at {place}"),
            None => format!("{variable} is not set"),
        })
        .collect();
    let mut whose = String::new();
    if let Some((stage, _)) = deployment.stage {
        whose += &format!(" in stage {stage}");
    }
    if let Some((id, _)) = deployment.version {
        whose += &format!(" of version {id}");
    }
    if deployment.canary.is_some() {
        whose += ", in its canary";
    }
    let message =
        format!("there is no upstream \"{name}\"{whose}{taken_by} ({})", origins.join(", "));
    if told.insert(format!("{} {name} {}", target.place, deployment.stage_name())) {
        section.report.error(Diagnostic {
            place: target.place.clone(),
            key,
            value: Some(format!("\"{}\"", target.upstream)),
            message,
            remedy: format!("add `[upstreams.{name}]`, or set the variable"),
        });
    }
}

fn route_path(section: &Section<'_>, key: &str) -> String {
    format!("{}.routes.{}", section.path, crate::config::section::quoted(key))
}
