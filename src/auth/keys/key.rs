//! A key as workers see it: compact, shared, never changed. A change of a key is another `Key`.
//!
//! Owns the answer to "is this key good here and now". A million of them must fit into memory, so
//! what many keys have in common (rules, owner and tags) is shared, and times are 32 bits wide.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use smallvec::SmallVec;

use super::record::{Allow, KeyRecord, KeyValue, Origin};
use super::secret::Digest;

/// An API key.
#[derive(PartialEq, Eq)]
pub struct Key {
    name: Box<str>,
    pub(super) values: SmallVec<[Value; 1]>,
    pub(super) rules: Arc<Rules>,
    pub(super) about: Option<Arc<About>>,
    /// `None`: the store.
    place: Option<Box<Origin>>,
    created: u32,
    expires: u32,
    enabled: bool,
}

/// One value of a key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Value {
    pub digest: Digest,
    created: u32,
    not_after: u32,
    /// Filled up with zeros.
    shown: [u8; 8],
}

/// Where a key is good and what it is metered by: shared by all keys of the same rules.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rules {
    pub plans: Vec<Arc<str>>,
    pub allow: Allow,
}

/// What people write at a key: shared by all keys of the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct About {
    pub owner: String,
    pub tags: std::collections::BTreeMap<String, String>,
}

/// Where a request goes, whence it comes, and when.
#[derive(Clone, Copy, Debug)]
pub struct Here<'a> {
    pub api: &'a str,
    pub stage: &'a str,
    /// Empty for an API without versions.
    pub version: &'a str,
    /// The route key.
    pub route: &'a str,
    pub client: IpAddr,
    /// Seconds since 1970.
    pub now: u64,
}

/// Why a key is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No key was shown where one is needed.
    Missing,
    /// Nobody's value.
    Unknown,
    Disabled,
    /// The key has expired, or the value was rotated out.
    Expired,
    Api,
    Version,
    Route,
    Network,
    /// None of its plans is attached here.
    Plan,
}

/// Never, as a time.
const NEVER: u32 = u32::MAX;

// === impl Key ===

impl Key {
    pub(super) fn new(record: &KeyRecord, rules: Arc<Rules>, about: Option<Arc<About>>) -> Key {
        let value = |value: &KeyValue| Value {
            digest: value.digest,
            created: narrow(value.created),
            not_after: value.not_after.map_or(NEVER, narrow),
            shown: shown(&value.shown),
        };
        Key {
            name: record.name.as_str().into(),
            values: record.values.iter().map(value).collect(),
            rules,
            about,
            place: match &record.origin {
                Origin::Store => None,
                origin => Some(Box::new(origin.clone())),
            },
            created: narrow(record.created),
            expires: record.expires.map_or(NEVER, narrow),
            enabled: record.enabled,
        }
    }

    /// What the key is known by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The plans it names, in its order.
    #[must_use]
    pub fn plans(&self) -> &[Arc<str>] {
        &self.rules.plans
    }

    #[must_use]
    pub fn enabled(&self) -> bool {
        self.enabled
    }

    /// Where it is written.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.place.as_deref().cloned().unwrap_or_default()
    }

    /// Whether the configuration has it, not the store.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        self.place.is_some()
    }

    /// All that is known about it.
    #[must_use]
    pub fn record(&self) -> KeyRecord {
        let about = self.about.as_deref().cloned().unwrap_or_default();
        let value = |value: &Value| KeyValue {
            digest: value.digest,
            shown: value.shown_text().to_owned(),
            created: u64::from(value.created),
            not_after: (value.not_after != NEVER).then_some(u64::from(value.not_after)),
        };
        KeyRecord {
            name: self.name.to_string(),
            values: self.values.iter().map(value).collect(),
            enabled: self.enabled,
            expires: (self.expires != NEVER).then_some(u64::from(self.expires)),
            owner: about.owner,
            tags: about.tags,
            plans: self.rules.plans.iter().map(|plan| plan.to_string()).collect(),
            allow: self.rules.allow.clone(),
            created: u64::from(self.created),
            origin: self.origin(),
        }
    }

    /// Whether the key, shown by this value, is good here.
    ///
    /// # Errors
    /// Why not: the first reason in the order of [`Refusal`].
    pub fn admit(&self, shown: &Digest, here: &Here<'_>) -> Result<(), Refusal> {
        let value = self.value(shown).ok_or(Refusal::Unknown)?;
        let allow = &self.rules.allow;
        if !self.enabled {
            return Err(Refusal::Disabled);
        }
        if has_come(self.expires, here.now) || has_come(value.not_after, here.now) {
            return Err(Refusal::Expired);
        }
        if !permits(&allow.apis, |text| is_stage(text, here)) {
            return Err(Refusal::Api);
        }
        if !permits(&allow.versions, |text| text == here.version) {
            return Err(Refusal::Version);
        }
        if !permits(&allow.routes, |text| text.split_once(' ') == Some((here.api, here.route))) {
            return Err(Refusal::Route);
        }
        if !permits(&allow.networks, |net| net.holds(here.client)) {
            return Err(Refusal::Network);
        }
        Ok(())
    }

    pub(super) fn value(&self, digest: &Digest) -> Option<&Value> {
        self.values.iter().find(|value| value.digest == *digest)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("name", &self.name).finish_non_exhaustive()
    }
}

// === impl Value ===

impl Value {
    fn shown_text(&self) -> &str {
        let len = self.shown.iter().position(|b| *b == 0).unwrap_or(self.shown.len());
        std::str::from_utf8(&self.shown[..len]).unwrap_or_default()
    }
}

// === impl Rules ===

impl Rules {
    pub fn of(record: &KeyRecord) -> Rules {
        let plans = record.plans.iter().map(|plan| Arc::from(plan.as_str())).collect();
        Rules { plans, allow: record.allow.clone() }
    }
}

// === impl About ===

impl About {
    pub fn of(record: &KeyRecord) -> Option<About> {
        let is_silent = record.owner.is_empty() && record.tags.is_empty();
        let about = || About { owner: record.owner.clone(), tags: record.tags.clone() };
        (!is_silent).then(about)
    }
}

// === impl Refusal ===

impl Refusal {
    /// Every reason, in the order in which they are looked for.
    pub const ALL: [Refusal; 9] = [
        Refusal::Missing,
        Refusal::Unknown,
        Refusal::Disabled,
        Refusal::Expired,
        Refusal::Api,
        Refusal::Version,
        Refusal::Route,
        Refusal::Network,
        Refusal::Plan,
    ];

    /// Log token and metric label.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Refusal::Missing => "missing",
            Refusal::Unknown => "unknown",
            Refusal::Disabled => "disabled",
            Refusal::Expired => "expired",
            Refusal::Api => "api",
            Refusal::Version => "version",
            Refusal::Route => "route",
            Refusal::Network => "network",
            Refusal::Plan => "plan",
        }
    }
}

/// An empty list rules nothing out.
fn permits<T>(list: &[T], good: impl Fn(&T) -> bool) -> bool {
    list.is_empty() || list.iter().any(good)
}

/// `orders` means all its stages.
fn is_stage(text: &str, here: &Here<'_>) -> bool {
    match text.split_once('/') {
        Some(api_stage) => api_stage == (here.api, here.stage),
        None => text == here.api,
    }
}

fn has_come(time: u32, now: u64) -> bool {
    time != NEVER && now >= u64::from(time)
}

/// Seconds in 32 bits: what is after 2106 is never.
fn narrow(seconds: u64) -> u32 {
    u32::try_from(seconds).unwrap_or(NEVER)
}

fn shown(text: &str) -> [u8; 8] {
    let mut out = [0; 8];
    for (to, from) in out.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::keys::Network;

    fn record() -> KeyRecord {
        let mut record = KeyRecord::new("acme", Origin::Config("a.toml:3:1".into()));
        for (text, not_after) in [("new", None), ("old", Some(100))] {
            let digest = Digest::of(text.as_bytes());
            record.values.push(KeyValue {
                digest,
                shown: "rw_12345".into(),
                created: 7,
                not_after,
            });
        }
        record
    }

    fn key(record: &KeyRecord) -> Key {
        let about = About::of(record).map(Arc::new);
        Key::new(record, Arc::new(Rules::of(record)), about)
    }

    fn here() -> Here<'static> {
        let client = IpAddr::from([10, 0, 0, 9]);
        Here { api: "orders", stage: "prod", version: "v1", route: "GET /pets", client, now: 99 }
    }

    #[test]
    fn a_compact_key_tells_all_its_record_told() {
        let mut full = record();
        full.owner = "ops".into();
        full.tags.insert("team".into(), "a".into());
        full.plans = vec!["gold".into()];
        full.expires = Some(1_000);
        full.created = 5;
        full.enabled = false;
        full.allow.versions = vec!["v1".into()];
        assert_eq!(key(&full).record(), full);
        assert_eq!(key(&record()).record(), record());
    }

    #[test]
    fn a_key_fits_two_cache_lines_beside_its_counts() {
        assert!(size_of::<Key>() + 16 <= 128, "{}", size_of::<Key>());
    }

    #[test]
    fn each_rule_refuses_by_its_name() {
        let (new, old) = (Digest::of(b"new"), Digest::of(b"old"));
        let admit =
            |record: &KeyRecord, digest: &Digest, here: &Here<'_>| key(record).admit(digest, here);
        assert_eq!(admit(&record(), &new, &here()), Ok(()));
        assert_eq!(admit(&record(), &old, &here()), Ok(()));
        let later = Here { now: 100, ..here() };
        assert_eq!(admit(&record(), &old, &later), Err(Refusal::Expired));
        assert_eq!(admit(&record(), &new, &later), Ok(()));
        assert_eq!(admit(&record(), &Digest::of(b"x"), &later), Err(Refusal::Unknown));

        type Spoil = fn(&mut KeyRecord);
        let cases: [(Spoil, Result<(), Refusal>); 12] = [
            (|r| r.enabled = false, Err(Refusal::Disabled)),
            (|r| r.expires = Some(99), Err(Refusal::Expired)),
            (|r| r.expires = Some(100), Ok(())),
            (|r| r.allow.apis = vec!["pets".into()], Err(Refusal::Api)),
            (|r| r.allow.apis = vec!["pets".into(), "orders".into()], Ok(())),
            (|r| r.allow.apis = vec!["orders/dev".into()], Err(Refusal::Api)),
            (|r| r.allow.apis = vec!["orders/prod".into()], Ok(())),
            (|r| r.allow.versions = vec!["v2".into()], Err(Refusal::Version)),
            (|r| r.allow.routes = vec!["orders PUT /pets".into()], Err(Refusal::Route)),
            (|r| r.allow.routes = vec!["pets GET /pets".into()], Err(Refusal::Route)),
            (|r| r.allow.routes = vec!["orders GET /pets".into()], Ok(())),
            (
                |r| r.allow.networks = Network::parse("10.1.0.0/16").into_iter().collect(),
                Err(Refusal::Network),
            ),
        ];
        for (at, (spoil, expected)) in cases.into_iter().enumerate() {
            let mut record = record();
            spoil(&mut record);
            assert_eq!(admit(&record, &new, &here()), expected, "case {at}");
        }
    }
}
