//! Reads `[apis.NAME.versioning]`, `[apis.NAME.versions.ID]` and the `versions` of a route.

use std::collections::BTreeMap;

use crate::bounds::VERSIONS_MAX;
use crate::config::section::Section;
use crate::config::spot::Spot;
use crate::config::template::is_token;
use crate::config::types::{
    Brownout, GuideSource, Host, Name, Percent, Route, Select, Share, Target, Version, VersionSet,
    Versioning, WEEKDAYS,
};
use crate::config::units::{self, Bad};
use crate::route::version::{AfterSunset, Cycle, Hours, Range, Status, is_id};

use super::{Known, api, fields, limit, stage};

const SELECTS: [(&str, Select); 5] = [
    ("path", Select::Path),
    ("header", Select::Header),
    ("query", Select::Query),
    ("host", Select::Host),
    ("media_type", Select::MediaType),
];

/// The versions of an API; `None`: it has none.
pub(super) fn versioning(api: &Section<'_>, known: &Known<'_>) -> Option<Versioning> {
    let Some(section) = api.sub_if("versioning") else {
        if api.has("versions") {
            let remedy = "add `versioning = { select = [\"path\"] }`";
            api.error_at("versions", "nothing says how a request names one", remedy);
        }
        return None;
    };
    let mut versions = BTreeMap::new();
    for (id, section) in api.keyed("versions") {
        if !is_id(id) {
            let remedy = "use at most 64 letters, digits, `.`, `_` and `-`, such as \"v1\"";
            section.error("not the id of a version", remedy);
            continue;
        }
        versions.insert(Name::from(id), version(&section, known));
    }
    if versions.is_empty() {
        if !api.has("versions") {
            section.error("there is no version to choose", "add `[apis.NAME.versions.v1]`");
        }
        return None;
    }
    if versions.len() > VERSIONS_MAX {
        let message = format!("has more than {VERSIONS_MAX} versions");
        api.error_at("versions", &message, "take out those nobody can ask for any more");
    }
    let select = select(&section);
    let header = section.text("header").and_then(|spot| spot.read(field));
    let query = section.text("query").and_then(|spot| spot.read(parameter));
    let default = section.text("default").and_then(|spot| id_of(&spot, &versions));
    let versioning = Versioning {
        place: section.place.clone(),
        select,
        header: header.unwrap_or_else(|| "api-version".to_owned()),
        query: query.unwrap_or_else(|| "version".to_owned()),
        default,
        versions,
    };
    for (id, section) in api.keyed("versions") {
        check(id, &section, &versioning);
    }
    check_hosts(api, &versioning);
    Some(versioning)
}

fn select(section: &Section<'_>) -> Vec<Select> {
    let mut select = section.words("select", &SELECTS);
    let mut seen = Vec::new();
    select.retain(|one| {
        let twice = seen.contains(one);
        seen.push(*one);
        !twice
    });
    if select.len() < seen.len() {
        section.error_at("select", "names one of them twice", "remove it");
    }
    if select.is_empty() {
        section.error_at("select", "is empty", "name one place, such as \"path\"");
    }
    select
}

fn field(text: &str) -> Result<String, Bad> {
    match is_token(text) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(Bad::new("not a field name", "write one such as \"api-version\"")),
    }
}

fn parameter(text: &str) -> Result<String, Bad> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    match !text.is_empty() && text.bytes().all(good) {
        true => Ok(text.to_owned()),
        false => Err(Bad::new("not the name of a parameter", "use letters, digits, `-`, `_`, `.`")),
    }
}

/// The id of one of these versions.
fn id_of(spot: &Spot<'_>, versions: &BTreeMap<Name, Version>) -> Option<Name> {
    if let Some((id, _)) = versions.get_key_value(spot.text()) {
        return Some(id.clone());
    }
    unknown(spot, spot.text(), versions);
    None
}

fn unknown(spot: &Spot<'_>, id: &str, versions: &BTreeMap<Name, Version>) {
    const SHOWN: usize = 10;
    let ids: Vec<&str> = versions.keys().take(SHOWN).map(|id| &**id).collect();
    let more = if versions.len() > SHOWN { ", ..." } else { "" };
    let remedy = format!("the versions are {}{more}", ids.join(", "));
    spot.error(&format!("there is no version {id:?}"), &remedy);
}

fn version(section: &Section<'_>, known: &Known<'_>) -> Version {
    let statuses = [
        ("beta", Status::Beta),
        ("active", Status::Active),
        ("deprecated", Status::Deprecated),
        ("sunset", Status::Sunset),
    ];
    let after = [("gone", AfterSunset::Gone), ("redirect", AfterSunset::Redirect)];
    let texts = |key: &str| -> Vec<String> {
        let spots = section.texts(key).unwrap_or_default();
        spots.iter().map(|spot| spot.text().to_owned()).collect()
    };
    let text = section.text("guide_text").map(|spot| spot.text().to_owned());
    let file = section.file("guide_file");
    if text.is_some() && file.is_some() {
        let message = "given together with `guide_text`";
        section.error_at("guide_file", message, "remove one of the two");
    }
    Version {
        place: section.place.clone(),
        status: section.choice("status", &statuses),
        released: section.date_if("released"),
        deprecated: section.date_if("deprecated"),
        sunset: section.date_if("sunset"),
        after_sunset: section.choice("after_sunset", &after),
        guide: section.text("guide").and_then(|spot| spot.read(guide)),
        guide_source: text.map(GuideSource::GuideText).or_else(|| file.map(GuideSource::GuideFile)),
        successor: section.text("successor").map(|spot| Name::from(spot.text())),
        features: texts("features"),
        breaking_changes: texts("breaking_changes"),
        hosts: hosts(section),
        upstream: upstream(section, known),
        limits: limit::names(section, known),
        variables: stage::variables(section),
        brownouts: brownouts(section),
    }
}

/// The upstream that routes inherit.
pub(super) fn upstream(section: &Section<'_>, known: &Known<'_>) -> Option<Target> {
    let spot = section.text("upstream")?;
    let place = spot.node.place.clone();
    // Of one that is not there its own mistake is told, and not that routes have none.
    let upstream = known.upstream(&spot).unwrap_or_else(|| Name::from(spot.text()));
    Some(Target { upstream, weight: 1, place })
}

fn hosts(section: &Section<'_>) -> Vec<Host> {
    let spots = section.texts("hosts").unwrap_or_default();
    spots.iter().filter_map(|spot| spot.read(api::host)).collect()
}

fn guide(text: &str) -> Result<String, Bad> {
    if text.starts_with('/') {
        return fields::path(text);
    }
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let good = |c: char| c.is_ascii_graphic() && !"<>\"\\^`{|}".contains(c);
    match rest {
        Some(rest) if !rest.is_empty() && rest.chars().all(good) => Ok(text.to_owned()),
        _ => Err(Bad::new(
            "neither a URL nor a path",
            "write \"https://example.com/v1-to-v2\" or \"/docs/v1-migration\"",
        )),
    }
}

fn brownouts(section: &Section<'_>) -> Vec<Brownout> {
    let mut brownouts = Vec::new();
    for spot in section.items("brownouts").unwrap_or_default() {
        let Some(item) = section.item("brownouts", &spot) else { continue };
        let (from, until) = (item.date_if("from"), item.date_if("until"));
        if let (Some(from), Some(until)) = (from, until)
            && from >= until
        {
            item.error_at("until", "not after `from`", "write a later date");
        }
        let daily = item.text("daily").and_then(|spot| spot.read(daily));
        let weekly = item.text("weekly").and_then(|spot| spot.read(weekly));
        if item.has("daily") && item.has("weekly") {
            item.error_at("weekly", "given together with `daily`", "write two tables");
        }
        let (_, spot) = item.text_or_default("percent");
        let whole = Share { from: Percent(10_000), to: Percent(10_000) };
        let percent = spot.and_then(|spot| spot.read(share)).unwrap_or(whole);
        if percent.from != percent.to && (from.is_none() || until.is_none()) {
            let remedy = "add `from` and `until`";
            item.error_at("percent", "grows, but nothing says from when to when", remedy);
        }
        let timed = ["from", "until", "daily", "weekly", "percent"];
        if !timed.iter().any(|key| item.has(key)) {
            item.error(
                "would refuse every request for ever",
                "say when: `daily = \"14:00-14:15\"`",
            );
        }
        let place = item.place.clone();
        brownouts.push(Brownout { place, from, until, hours: daily.or(weekly), percent });
    }
    brownouts
}

/// `14:00-14:15`.
fn daily(text: &str) -> Result<Hours, Bad> {
    let bad = || Bad::new("not a time of day", "write \"14:00-14:15\" (UTC)");
    let (begin, end) = span(text).ok_or_else(bad)?;
    Ok(Hours { cycle: Cycle::Day, begin, end })
}

/// `Mon 10:00-11:00`.
fn weekly(text: &str) -> Result<Hours, Bad> {
    let bad = || Bad::new("not a time of the week", "write \"Mon 10:00-11:00\" (UTC)");
    let (day, times) = text.split_once(' ').ok_or_else(bad)?;
    let day = WEEKDAYS.iter().position(|name| *name == day).ok_or_else(bad)?;
    let (begin, end) = span(times).ok_or_else(bad)?;
    let from = day as u64 * 86_400;
    // Past midnight it is the next day; past Sunday, Monday.
    let end = if end <= begin { end + 86_400 } else { end };
    Ok(Hours { cycle: Cycle::Week, begin: from + begin, end: (from + end) % (7 * 86_400) })
}

fn span(text: &str) -> Option<(u64, u64)> {
    let clock = |text: &str| -> Option<u64> {
        let (hour, minute) = text.split_once(':')?;
        let two = |text: &str| text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        if !two(hour) || !two(minute) {
            return None;
        }
        let (hour, minute): (u64, u64) = (hour.parse().ok()?, minute.parse().ok()?);
        (hour < 24 && minute < 60).then_some(hour * 3600 + minute * 60)
    };
    let (begin, end) = text.split_once('-')?;
    let (begin, end) = (clock(begin)?, clock(end)?);
    (begin != end).then_some((begin, end))
}

/// `5%`, or `0%..50%`.
fn share(text: &str) -> Result<Share, Bad> {
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    let (from, to) = (units::percent(from)?, units::percent(to)?);
    if from.0 > 10_000 || to.0 > 10_000 {
        return Err(Bad::new("more than 100%", "write \"5%\" or \"0%..50%\""));
    }
    if from.0 > to.0 {
        return Err(Bad::new("shrinks", "write the smaller share first: \"0%..50%\""));
    }
    Ok(Share { from, to })
}

/// What of a version does not go together, once all are known.
fn check(id: &str, section: &Section<'_>, versioning: &Versioning) {
    let Some(version) = versioning.versions.get(id) else { return };
    if let Some(spot) = section.text("successor") {
        if spot.text() == id {
            spot.error("a version does not follow itself", "name the one after it");
        } else if !versioning.versions.contains_key(spot.text()) {
            unknown(&spot, spot.text(), &versioning.versions);
        }
    }
    if version.status == Status::Deprecated && version.deprecated.is_none() {
        let remedy = "add `deprecated = 2026-01-01`";
        section.error_at("status", "since when? the `Deprecation` field has to say it", remedy);
    }
    if let (Some(deprecated), Some(sunset)) = (version.deprecated, version.sunset)
        && sunset < deprecated
    {
        // RFC 9745 section 4.
        section.error_at("sunset", "before `deprecated`", "write a later date");
    }
    let names = versioning.select.as_slice();
    if version.after_sunset == AfterSunset::Redirect {
        let successor = version.successor.as_ref().and_then(|id| versioning.versions.get(id));
        let by_host = names.contains(&Select::Host)
            && successor.is_some_and(|next| matches!(next.hosts[..], [Host::Exact(_), ..]));
        if version.successor.is_none() {
            section.error_at("after_sunset", "redirects to no successor", "add `successor`");
        } else if !names.contains(&Select::Path) && !by_host {
            let remedy = "write \"gone\", or let `versioning.select` have \"path\"";
            let message = "the successor has no path or host of its own to redirect to";
            section.error_at("after_sunset", message, remedy);
        }
    }
    if version.guide_source.is_some() && !version.guide.as_ref().is_some_and(|g| g.starts_with('/'))
    {
        let key = if section.has("guide_text") { "guide_text" } else { "guide_file" };
        section.error_at(key, "there is no path to serve it at", "add `guide = \"/docs/v1\"`");
    }
    if !version.hosts.is_empty() && !names.contains(&Select::Host) {
        let remedy = "add \"host\" to `versioning.select`, or remove them";
        section.error_at("hosts", "hosts name no version here", remedy);
    }
}

/// No host names two versions.
fn check_hosts(api: &Section<'_>, versioning: &Versioning) {
    let mut taken: BTreeMap<&Host, &str> = BTreeMap::new();
    for (id, section) in api.keyed("versions") {
        let Some((id, version)) = versioning.versions.get_key_value(id) else { continue };
        for host in &version.hosts {
            if let Some(other) = taken.insert(host, id) {
                let place = &versioning.versions[other].place;
                let message = format!("`{host}` also names version {other} (at {place})");
                section.error_at("hosts", &message, "a host names one version");
            }
        }
    }
}

/// The versions of a route.
pub(super) fn of_route(
    section: &Section<'_>,
    versioning: Option<&Versioning>,
) -> Option<VersionSet> {
    let spots = section.texts("versions")?;
    let Some(versioning) = versioning else {
        section.error_at("versions", "the API has no versions", "add `[apis.NAME.versions.v1]`");
        return None;
    };
    let mut ranges = Vec::new();
    for spot in &spots {
        let Some(range) = Range::parse(spot.text()) else {
            spot.error(
                "not a version or a range",
                "write \"v1\", \"v1..v3\", \"v2..\" or \"..v2\"",
            );
            continue;
        };
        for id in range.ids().filter(|id| !versioning.versions.contains_key(*id)) {
            unknown(spot, id, &versioning.versions);
        }
        if !versioning.versions.keys().any(|id| range.holds(id)) {
            spot.error("holds no version", "write the lower end first: \"v1..v3\"");
        }
        ranges.push(range);
    }
    if spots.is_empty() {
        section.error_at("versions", "is empty", "name a version, or leave the key out for all");
    }
    let spot = section.items("versions")?.first().map(|spot| spot.node.place.clone());
    Some(VersionSet { ranges, place: spot.unwrap_or_else(|| section.place.clone()) })
}

/// Routes of one key must have no version together.
pub(super) fn check_overlap(
    section: &Section<'_>,
    route: &Route,
    before: &[Route],
    versioning: Option<&Versioning>,
) {
    let Some(versioning) = versioning else {
        if let Some(first) = before.first() {
            let message = format!("the same key again; the first is at {}", first.place);
            section.error(&message, "only routes of different `versions` may share a key");
        }
        return;
    };
    let has = |route: &Route, id: &str| route.versions.as_ref().is_none_or(|set| set.holds(id));
    for other in before {
        let both = versioning.versions.keys().find(|id| has(route, id) && has(other, id));
        if let Some(id) = both {
            let message =
                format!("version {id} has this route already: the one at {}", other.place);
            let remedy = "give each of them its own `versions`";
            match section.has("versions") {
                true => section.error_at("versions", &message, remedy),
                false => section.error(&message, remedy),
            }
        }
    }
}
