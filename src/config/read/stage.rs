//! Reads `[apis.NAME.stages.STAGE]`, stage variables, and `[domains."HOST"]`.

use std::collections::BTreeMap;

use crate::bounds::{
    STAGE_NAME_BYTES_MAX, STAGE_VARIABLE_BYTES_MAX, STAGE_VARIABLE_NAME_BYTES_MAX,
    STAGE_VARIABLES_MAX,
};
use crate::config::section::Section;
use crate::config::suggest::nearest;
use crate::config::template::is_token;
use crate::config::types::{
    Api, Canary, DEFAULT_STAGE, Domain, Mapping, Name, Setting, Stage, Sticky, Variables,
    is_variable_name,
};
use crate::config::units::Bad;
use crate::limit::Unit;

use super::{Known, api, fields, limit};

/// The stages of an API.
pub(super) fn stages(section: &Section<'_>, known: &Known<'_>) -> BTreeMap<Name, Stage> {
    let mut stages = BTreeMap::new();
    for (name, section) in section.keyed("stages") {
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        let fits = (1..=STAGE_NAME_BYTES_MAX).contains(&name.len());
        if name != DEFAULT_STAGE && !(fits && name.bytes().all(good)) {
            let remedy = format!(
                "use at most {STAGE_NAME_BYTES_MAX} letters, digits, `_` and `-`, or \"$default\""
            );
            section.error("not the name of a stage", &remedy);
            continue;
        }
        stages.insert(Name::from(name), stage(&section, known));
    }
    if section.has("stages") && stages.is_empty() && section.may_hold("stages") {
        section.error_at("stages", "holds no stage", "add one, or remove the table");
    }
    stages
}

fn stage(section: &Section<'_>, known: &Known<'_>) -> Stage {
    Stage {
        place: section.place.clone(),
        limits: limit::names(section, known),
        throttle: section
            .sub_if("throttle")
            .and_then(|section| limit::throttle(&section, Unit::Requests)),
        variables: variables(section),
        canary: section.sub_if("canary").map(|section| canary(&section)),
    }
}

fn canary(section: &Section<'_>) -> Canary {
    let sticky = section.text("sticky").and_then(|spot| spot.read(sticky));
    Canary {
        place: section.place.clone(),
        percent: section.percent("percent"),
        variables: variables(section),
        sticky,
    }
}

fn sticky(text: &str) -> Result<Sticky, Bad> {
    match (text, text.strip_prefix("header:")) {
        ("key", _) => Ok(Sticky::Key),
        ("ip", _) => Ok(Sticky::Ip),
        (_, Some(name)) if is_token(name) => Ok(Sticky::Header(name.to_ascii_lowercase())),
        _ => Err(Bad::new(
            "not something a caller is known by",
            "write \"key\", \"ip\" or \"header:x-user\"",
        )),
    }
}

/// AWS's limits and alphabet (what such a value can hold harms no field and no target).
pub(super) fn variables(section: &Section<'_>) -> Variables {
    let mut variables = Variables::default();
    for (name, place, spot) in section.pairs("variables") {
        if !is_variable_name(name) || name.len() > STAGE_VARIABLE_NAME_BYTES_MAX {
            let remedy =
                format!("use at most {STAGE_VARIABLE_NAME_BYTES_MAX} letters, digits and `_`");
            spot.error("not the name of a stage variable", &remedy);
            continue;
        }
        if !spot.is_text("any of A-Z a-z 0-9 - . _ ~ : / ? # & = ,") {
            continue;
        }
        let value = spot.text();
        if value.len() > STAGE_VARIABLE_BYTES_MAX {
            let message = format!("longer than {STAGE_VARIABLE_BYTES_MAX} characters");
            spot.error(&message, "shorten it");
            continue;
        }
        let good = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#&=,".contains(c);
        if let Some(at) = value.chars().position(|c| !good(c)) {
            let remedy = "use A-Z a-z 0-9 - . _ ~ : / ? # & = , only";
            spot.error_inside(Some(at), "a stage variable cannot hold this character", remedy);
            continue;
        }
        variables.0.insert(name.to_owned(), Setting { value: value.to_owned(), place });
    }
    if variables.0.len() > STAGE_VARIABLES_MAX {
        let message = format!("has more than {STAGE_VARIABLES_MAX} variables");
        section.error_at("variables", &message, "remove some");
    }
    variables
}

/// Custom domains.
pub(super) fn domains(root: &Section<'_>, apis: &BTreeMap<Name, Api>) -> BTreeMap<String, Domain> {
    let known = root.keys_of("apis");
    let mut domains: BTreeMap<String, Domain> = BTreeMap::new();
    for (written, section) in root.keyed("domains") {
        let host = match api::host(written) {
            Ok(host) => host,
            Err(bad) => {
                section.error(&bad.message, &bad.remedy);
                continue;
            }
        };
        if let Some(twin) = domains.values().find(|domain| domain.host == host) {
            let message = format!("also written at {}", twin.place);
            section.error(&message, "names ignore case; make them one");
            continue;
        }
        let mut mappings: Vec<Mapping> = Vec::new();
        for spot in section.items("mappings").unwrap_or_default() {
            let Some(item) = section.item("mappings", &spot) else { continue };
            let Some(mapping) = mapping(&item, apis, &known) else { continue };
            if let Some(twin) = mappings.iter().find(|other| other.path == mapping.path) {
                let message = format!("also the path of the mapping at {}", twin.place);
                item.error_at("path", &message, "a path leads to one stage; remove one of them");
                continue;
            }
            mappings.push(mapping);
        }
        if section.items("mappings").is_some_and(|items| items.is_empty()) {
            section.error_at("mappings", "is empty", "map a path, or remove the domain");
        }
        // Which is written first says nothing: the longest path that fits wins.
        mappings.sort_by(|a, b| a.path.cmp(&b.path));
        let place = section.place.clone();
        domains.insert(written.to_owned(), Domain { place, host, mappings });
    }
    domains
}

fn mapping(
    item: &Section<'_>,
    apis: &BTreeMap<Name, Api>,
    known: &std::collections::BTreeSet<&str>,
) -> Option<Mapping> {
    let (path, spot) = item.text_or_default("path");
    if let Some(spot) = spot {
        spot.read(fields::path)?;
    }
    let spot = item.text("api")?;
    if !known.contains(spot.text()) {
        let remedy = match nearest(spot.text(), known.iter().copied()) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => "name an API of this configuration".to_owned(),
        };
        spot.error("there is no API of this name", &remedy);
        return None;
    }
    let api = Name::from(spot.text());
    let stage = item.text("stage").and_then(|spot| {
        // An API that could not be read has told its own mistakes.
        let stages = &apis.get(&api)?.stages;
        let name = spot.text();
        if stages.contains_key(name) || (stages.is_empty() && name == DEFAULT_STAGE) {
            return Some(Name::from(name));
        }
        let names: Vec<&str> = stages.keys().map(|name| &**name).collect();
        let remedy = match nearest(name, names.iter().copied()) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None if names.is_empty() => "the API has no stages: leave the key out".to_owned(),
            None => format!("its stages are {}", names.join(", ")),
        };
        spot.error(&format!("the API {api} has no stage of this name"), &remedy);
        None
    });
    Some(Mapping { place: item.place.clone(), path, api, stage })
}
