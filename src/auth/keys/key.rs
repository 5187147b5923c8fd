//! A key as workers see it: compact, shared, never changed. A change of a key is another `Key`.
//!
//! Owns the answer to "is this key good here and now". A million of them must fit into memory, so
//! what many keys have in common (rules, owner and tags) is shared, and times are 32 bits wide.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::record::{Allow, KeyRecord, KeyValue, Origin};
use super::secret::Digest;

/// An API key.
#[derive(PartialEq, Eq)]
pub struct Key {
    name: Box<str>,
    digest: Digest,
    shown: Shown,
    created: u32,
    expires: u32,
    rest: Arc<Rest>,
    /// `None`: one value, made with the key and good as long as it.
    more: Option<Box<Values>>,
}

/// What keys have in common with others: shared by all keys of which it is the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rest {
    enabled: bool,
    plans: Vec<Arc<str>>,
    allow: Allow,
    owner: String,
    tags: BTreeMap<String, String>,
    origin: Origin,
}

/// All values of a key.
type Values = Vec<Value>;

/// One value of a key.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Value {
    digest: Digest,
    shown: Shown,
    created: u32,
    not_after: u32,
}

/// The beginning of a secret, filled up with zeros.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shown([u8; 8]);

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
    pub(super) fn new(record: &KeyRecord, rest: Arc<Rest>) -> Key {
        let created = narrow(record.created);
        let values: Values = record.values.iter().map(Value::of).collect();
        let first = values.first().copied().unwrap_or(Value::NONE);
        let is_simple = values.len() == 1 && first.not_after == NEVER && first.created == created;
        Key {
            name: record.name.as_str().into(),
            digest: first.digest,
            shown: first.shown,
            created,
            expires: record.expires.map_or(NEVER, narrow),
            rest,
            more: (!is_simple).then(|| Box::new(values)),
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
        &self.rest.plans
    }

    /// The value of one of its tags.
    #[must_use]
    pub fn tag(&self, name: &str) -> Option<&str> {
        self.rest.tags.get(name).map(String::as_str)
    }

    #[must_use]
    pub fn enabled(&self) -> bool {
        self.rest.enabled
    }

    /// Where it is written.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.rest.origin.clone()
    }

    /// Whether the configuration has it, not the store.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        self.rest.origin != Origin::Store
    }

    /// All that is known about it.
    #[must_use]
    pub fn record(&self) -> KeyRecord {
        let rest = &*self.rest;
        KeyRecord {
            name: self.name.to_string(),
            values: self.values().map(|value| value.written()).collect(),
            enabled: rest.enabled,
            expires: (self.expires != NEVER).then_some(u64::from(self.expires)),
            owner: rest.owner.clone(),
            tags: rest.tags.clone(),
            plans: rest.plans.iter().map(|plan| plan.to_string()).collect(),
            allow: rest.allow.clone(),
            created: u64::from(self.created),
            origin: rest.origin.clone(),
        }
    }

    /// Whether the key, shown by this value, is good here.
    ///
    /// # Errors
    /// Why not: the first reason in the order of [`Refusal`].
    pub fn admit(&self, shown: &Digest, here: &Here<'_>) -> Result<(), Refusal> {
        let value = self.value(shown).ok_or(Refusal::Unknown)?;
        let allow = &self.rest.allow;
        if !self.rest.enabled {
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

    /// Whether it is good for this language model, by the name a client uses.
    #[must_use]
    pub fn allows_model(&self, name: &str) -> bool {
        self.rest.allow.allows_model(name)
    }

    /// The digests of its values.
    pub(super) fn digests(&self) -> impl Iterator<Item = Digest> {
        self.values().map(|value| value.digest)
    }

    fn value(&self, digest: &Digest) -> Option<Value> {
        self.values().find(|value| value.digest == *digest)
    }

    fn values(&self) -> impl Iterator<Item = Value> {
        let Key { digest, shown, created, .. } = *self;
        let only = Value { digest, shown, created, not_after: NEVER };
        let (one, several) = match &self.more {
            None => (Some(only), &[][..]),
            Some(values) => (None, values.as_slice()),
        };
        one.into_iter().chain(several.iter().copied())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("name", &self.name).finish_non_exhaustive()
    }
}

// === impl Value ===

impl Value {
    /// Of a key that has none: what digests to this nobody knows.
    const NONE: Value =
        Value { digest: Digest([0; 32]), shown: Shown([0; 8]), created: 0, not_after: 0 };

    fn of(value: &KeyValue) -> Value {
        let mut shown = [0; 8];
        for (to, from) in shown.iter_mut().zip(value.shown.bytes()) {
            *to = from;
        }
        Value {
            digest: value.digest,
            shown: Shown(shown),
            created: narrow(value.created),
            not_after: value.not_after.map_or(NEVER, narrow),
        }
    }

    fn written(&self) -> KeyValue {
        let Shown(shown) = &self.shown;
        let len = shown.iter().position(|b| *b == 0).unwrap_or(shown.len());
        KeyValue {
            digest: self.digest,
            shown: String::from_utf8_lossy(&shown[..len]).into_owned(),
            created: u64::from(self.created),
            not_after: (self.not_after != NEVER).then_some(u64::from(self.not_after)),
        }
    }
}

// === impl Rest ===

impl Rest {
    pub fn plans(&self) -> &[Arc<str>] {
        &self.plans
    }

    pub fn of(record: &KeyRecord) -> Rest {
        Rest {
            enabled: record.enabled,
            plans: record.plans.iter().map(|plan| Arc::from(plan.as_str())).collect(),
            allow: record.allow.clone(),
            owner: record.owner.clone(),
            tags: record.tags.clone(),
            origin: record.origin.clone(),
        }
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
        Key::new(record, Arc::new(Rest::of(record)))
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
        let mut plain = record();
        plain.values.truncate(1);
        assert_eq!(key(&plain).record(), plain);
        plain.created = 7;
        assert_eq!(key(&plain).record(), plain);
        assert!(key(&plain).more.is_none());
    }

    #[test]
    fn a_key_and_its_counts_are_small() {
        assert!(size_of::<Key>() + 16 <= 96, "{}", size_of::<Key>());
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
