//! The version table of an API, and the documents the gateway serves about it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use super::api::Api;
use super::compile::diagnostic;
use super::route::Action;
use crate::bounds::GUIDE_BYTES_MAX;
use crate::config::{
    self, Diagnostic, GuideSource, HeaderEdit, Name, Respond, RespondBody, Select, Template,
};
use crate::route::canary::PARTS;
use crate::route::version::{Brownout, Lifecycle, Version, Versions, natural};

/// Where the list of versions is, below the base path (RFC 8615).
const LIST: &str = "/.well-known/api-versions";

/// The table of an API's versions.
pub fn compile(conf: &config::Versioning) -> Versions {
    let mut ids: Vec<&Name> = conf.versions.keys().collect();
    ids.sort_by(|a, b| natural(a, b));
    let at = |id: &Name| {
        let at = ids.iter().position(|other| *other == id)?;
        Some(u16::try_from(at).expect("versions are bounded"))
    };
    let list = ids.iter().map(|id| version(id, &conf.versions[*id], at)).collect();
    let mut versions = Versions::new(list, conf.select.contains(&Select::Path));
    versions.default = conf.default.as_ref().and_then(at);
    versions
}

fn version(id: &Name, conf: &config::Version, at: impl Fn(&Name) -> Option<u16>) -> Version {
    let seconds = |moment: Option<config::Moment>| moment.map(|moment| moment.seconds);
    let brownouts = conf.brownouts.iter().map(|brownout| Brownout {
        from: seconds(brownout.from),
        until: seconds(brownout.until),
        hours: brownout.hours,
        parts: (brownout.percent.from.0.min(PARTS), brownout.percent.to.0.min(PARTS)),
    });
    Version {
        id: id.to_string(),
        life: Lifecycle {
            status: conf.status,
            deprecated: seconds(conf.deprecated),
            sunset: seconds(conf.sunset),
            brownouts: brownouts.collect(),
        },
        released: seconds(conf.released),
        guide: conf.guide.clone(),
        successor: conf.successor.as_ref().and_then(at),
        features: conf.features.clone(),
        breaking_changes: conf.breaking_changes.clone(),
        after_sunset: conf.after_sunset,
        hosts: conf.hosts.iter().map(ToString::to_string).collect(),
    }
}

/// The gateway's own documents of an API by their path below its base path: those whose key no
/// route of the operator's has.
pub fn documents(
    api: &Arc<Api>,
    conf: &config::Api,
    wrong: &mut Vec<Diagnostic>,
) -> BTreeMap<String, Action> {
    let mut documents = BTreeMap::new();
    let Some(versioning) = &conf.versioning else { return documents };
    let taken = |path: &str| {
        ["GET", "ANY"].iter().any(|method| conf.routes.contains_key(&format!("{method} {path}")))
    };
    if !taken(LIST) {
        documents.insert(LIST.to_owned(), Action::Versions(api.clone()));
    }
    for (id, version) in &versioning.versions {
        let (Some(source), Some(path)) = (&version.guide_source, &version.guide) else { continue };
        if taken(path) {
            continue;
        }
        let at = format!("apis.{}.versions.{id}", api.name);
        if documents.contains_key(path) {
            let message = format!("another document is served at {path}");
            wrong.push(diagnostic(&version.place, &at, &message, "give its guide another path"));
            continue;
        }
        match guide(source) {
            Ok(respond) => {
                documents.insert(path.clone(), Action::Respond(respond));
            }
            Err((place, message)) => {
                let at = format!("{at}.guide_file");
                wrong.push(diagnostic(place, &at, &message, "check the path"));
            }
        }
    }
    documents
}

fn guide(source: &GuideSource) -> Result<Respond, (&config::Place, String)> {
    let (body, media_type) = match source {
        GuideSource::GuideText(text) => (text.clone(), "text/markdown; charset=utf-8"),
        GuideSource::GuideFile(file) => {
            let read = || {
                let mut text = String::new();
                File::open(&file.path)?.take(GUIDE_BYTES_MAX + 1).read_to_string(&mut text)?;
                Ok::<_, std::io::Error>(text)
            };
            let fault = |what: String| (&file.place, format!("{}: {what}", file.path.display()));
            let text = read().map_err(|error| fault(format!("cannot be read: {error}")))?;
            if text.len() as u64 > GUIDE_BYTES_MAX {
                return Err(fault("larger than 1MiB".to_owned()));
            }
            let media_type = match file.path.extension().and_then(|extension| extension.to_str()) {
                Some("html" | "htm") => "text/html; charset=utf-8",
                Some("txt") => "text/plain; charset=utf-8",
                _ => "text/markdown; charset=utf-8",
            };
            (text, media_type)
        }
    };
    let header = HeaderEdit {
        name: "content-type".to_owned(),
        value: Template::fixed(media_type),
        place: config::Place::nowhere(),
    };
    Ok(Respond { status: 200, body: RespondBody::Fixed(body), headers: vec![header] })
}
