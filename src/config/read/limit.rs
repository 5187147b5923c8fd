//! Reads `[limits.NAME]`, and `limits` and `throttle` wherever they stand.

use crate::bounds::LIMITS_PER_ROUTE_MAX;
use crate::config::section::Section;
use crate::config::template::is_token;
use crate::config::types::{
    IPV6_BITS, KeyPart, Limit, LimitHeaders, Missing, Name, Quota, Throttle,
};
use crate::config::units::{self, Bad};
use crate::limit::{Bucket, BucketError, Period, Rate, Unit};

use super::Known;

pub(super) const HEADERS: [(&str, LimitHeaders); 3] =
    [("standard", LimitHeaders::Standard), ("aws", LimitHeaders::Aws), ("off", LimitHeaders::Off)];

pub(super) fn limit(section: &Section<'_>) -> Limit {
    let missing = [("skip", Missing::Skip), ("refuse", Missing::Refuse)];
    let unit = section.choice("unit", &Unit::ALL.map(|unit| (unit.name(), unit)));
    let limit = Limit {
        place: section.place.clone(),
        unit,
        by: by(section),
        throttle: throttle_if(section, unit),
        quota: section.sub_if("quota").and_then(|section| quota(&section, unit)),
        concurrency: section.count_if("concurrency"),
        shadow: section.flag("shadow"),
        missing: section.choice("missing", &missing),
        headers: section.choice("headers", &HEADERS),
    };
    if !["rate", "quota", "concurrency"].iter().any(|key| section.has(key)) {
        let remedy = "add `rate = \"100/s\"`, `quota = { limit = 100000 }` or `concurrency = 50`";
        section.error("limits nothing", remedy);
    }
    limit
}

/// The same where it may be left out.
pub(super) fn throttle_if(section: &Section<'_>, unit: Unit) -> Option<Throttle> {
    if section.has("rate") {
        return throttle(section, unit);
    }
    if section.has("burst") {
        section.error_at("burst", "without a rate", "add `rate = \"100/s\"`, or remove it");
    }
    None
}

/// The rate and the burst of a table: of a limit, or `throttle` of a stage or a route.
pub(super) fn throttle(section: &Section<'_>, unit: Unit) -> Option<Throttle> {
    let read = if unit == Unit::Money { units::usd_rate } else { units::rate };
    let rate = section.text("rate").and_then(|spot| spot.read(read));
    let burst = section.amount_if("burst", unit);
    let rate = rate?;
    if section.has("burst") && burst.is_none() {
        return None;
    }
    let burst = burst.unwrap_or_else(|| match unit {
        Unit::Requests => a_second_of(rate),
        // One request takes thousands: what a second gives would never be enough for it.
        _ => rate.thousandths.div_ceil(1000),
    });
    match Bucket::new(rate, burst) {
        Ok(_) => Some(Throttle { rate, burst, unit }),
        Err(BucketError::TooFast) => {
            let message = "too fast to be counted";
            section.error_at("rate", message, "lower it, or write the same for a longer time");
            None
        }
        Err(BucketError::TooSlow | BucketError::Empty) => {
            let message = format!(
                "a burst of {} would take longer than a year to come back",
                unit.show(burst)
            );
            let key = if section.has("burst") { "burst" } else { "rate" };
            section.error_at(key, &message, "lower the burst, or raise the rate");
            None
        }
    }
}

fn a_second_of(rate: Rate) -> u64 {
    let tokens = u128::from(rate.thousandths) * 1_000_000_000;
    let second = tokens.div_ceil(u128::from(rate.per_ns) * 1000);
    u64::try_from(second).unwrap_or(u64::MAX).max(1)
}

pub(super) fn quota(section: &Section<'_>, unit: Unit) -> Option<Quota> {
    let per = section.choice("per", &Period::ALL.map(|period| (period.name(), period)));
    let offset = section.duration("offset");
    if offset.as_secs() >= per.seconds_min() {
        let message = format!("a {} may be over before it begins", per.name());
        section.error_at("offset", &message, "write a shorter one");
    }
    if unit.is_settled() && !offset.as_secs().is_multiple_of(60) {
        let message = "a budget's period begins with a minute";
        section.error_at("offset", message, "write whole minutes");
    }
    Some(Quota { limit: section.amount_if("limit", unit)?, per, offset, unit })
}

fn by(section: &Section<'_>) -> Vec<KeyPart> {
    let mut parts: Vec<KeyPart> = Vec::new();
    for spot in section.texts("by").unwrap_or_default() {
        let Some(part) = spot.read(part) else { continue };
        if parts.contains(&part) {
            spot.error("written twice", "remove one of them");
            continue;
        }
        parts.push(part);
    }
    parts
}

fn part(text: &str) -> Result<KeyPart, Bad> {
    let bad = || {
        Bad::new(
            "not a part of a request",
            "write \"key\", \"plan\", \"ip\", \"ip/24\", \"header:x-user\", \"claim:sub\", \
             \"tag:team\", \"model\", \"provider\", \"route\", \"api\", \"stage\" or \"version\"",
        )
    };
    Ok(match text.split_once([':', '/']) {
        None => match text {
            "key" => KeyPart::Key,
            "plan" => KeyPart::Plan,
            "ip" => KeyPart::Ip(32, IPV6_BITS),
            "route" => KeyPart::Route,
            "api" => KeyPart::Api,
            "stage" => KeyPart::Stage,
            "version" => KeyPart::Version,
            "model" => KeyPart::Model,
            "provider" => KeyPart::Provider,
            _ => return Err(bad()),
        },
        Some(("ip", bits)) if text.starts_with("ip/") => {
            let (v4, v6) = bits.split_once('/').unwrap_or((bits, "64"));
            let within =
                |text: &str, max| text.parse().ok().filter(|bits| (1..=max).contains(bits));
            match (within(v4, 32_u8), within(v6, 128_u8)) {
                (Some(v4), Some(v6)) => KeyPart::Ip(v4, v6),
                _ => {
                    return Err(Bad::new(
                        "not lengths of networks",
                        "write \"ip/24\" or \"ip/24/56\"",
                    ));
                }
            }
        }
        Some(("header", name)) if is_token(name) => KeyPart::Header(name.to_ascii_lowercase()),
        Some(("claim", name)) if !name.is_empty() => KeyPart::Claim(name.to_owned()),
        Some(("tag", name)) if !name.is_empty() => KeyPart::Tag(name.to_owned()),
        _ => return Err(bad()),
    })
}

/// The names of `limits`, each there and once.
pub(super) fn names(section: &Section<'_>, known: &Known<'_>) -> Vec<Name> {
    let mut names: Vec<Name> = Vec::new();
    for spot in section.texts("limits").unwrap_or_default() {
        let Some(name) = known.limit(&spot) else { continue };
        if names.contains(&name) {
            spot.error("written twice", "remove one of them: a limit counts a request once");
            continue;
        }
        names.push(name);
    }
    if names.len() > LIMITS_PER_ROUTE_MAX {
        let message = format!("more than {LIMITS_PER_ROUTE_MAX} limits");
        section.error_at("limits", &message, "join some: one limit has a rate and a quota");
    }
    names
}
