//! A key as it is written: by the configuration, or by whoever keeps keys at run time.
//!
//! Owns the words of a key's rules and what is wrong with them, in the same words for the
//! configuration and the admin API. Knows no table and no file.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::secret::Digest;
use crate::bounds;
use crate::http::NamePattern;

/// A key with everything that is known about it. Times are seconds since 1970 (UTC).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    pub name: String,
    /// One, or several while one is rotated out. Any of them is the key.
    pub values: Vec<KeyValue>,
    pub enabled: bool,
    /// From this second on the key is refused.
    #[serde(default)]
    pub expires: Option<u64>,
    #[serde(default)]
    pub owner: String,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Names of usage plans: at most one for each API stage.
    #[serde(default)]
    pub plans: Vec<String>,
    #[serde(default)]
    pub allow: Allow,
    #[serde(default)]
    pub created: u64,
    #[serde(skip)]
    pub origin: Origin,
}

/// One value of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyValue {
    pub digest: Digest,
    /// The beginning of the secret, at most 8 characters; empty if only its digest was ever known.
    #[serde(default)]
    pub shown: String,
    #[serde(default)]
    pub created: u64,
    /// From this second on this value is refused: set on the old ones by a rotation.
    #[serde(default)]
    pub not_after: Option<u64>,
}

/// Where a key is good: everywhere, as far as a list is empty; else all lists must agree.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Allow {
    /// `orders` (all its stages) or `orders/prod`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub apis: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<String>,
    /// The API and the route key: `orders GET /pets/{id}`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<String>,
    /// Where requests may come from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<Network>,
    /// Language models.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<NamePattern>,
}

/// Addresses: a network, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network(pub IpNet);

/// Where a key is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Kept at run time.
    #[default]
    Store,
    /// The configuration, at this place (`file:line:column`).
    Config(Arc<str>),
}

/// What is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The field, such as `allow.routes`.
    pub field: &'static str,
    pub value: String,
    pub message: &'static str,
}

// === impl KeyRecord ===

impl KeyRecord {
    /// An enabled key that is good everywhere, and has no value yet.
    #[must_use]
    pub fn new(name: &str, origin: Origin) -> KeyRecord {
        KeyRecord {
            name: name.to_owned(),
            values: Vec::new(),
            enabled: true,
            expires: None,
            owner: String::new(),
            tags: BTreeMap::new(),
            plans: Vec::new(),
            allow: Allow::default(),
            created: 0,
            origin,
        }
    }

    /// Checks what can be checked without knowing any other object.
    ///
    /// # Errors
    /// The first field that is not of its form or beyond its bound.
    pub fn check(&self) -> Result<(), Wrong> {
        let wrong = |field, value: &str, message| {
            Err(Wrong { field, value: value.chars().take(80).collect(), message })
        };
        if !good_name(&self.name) {
            return wrong("name", &self.name, NAME_FORM);
        }
        if self.values.is_empty() || self.values.len() > bounds::KEY_VALUES_MAX {
            return wrong("values", "", "a key has 1 to 8 values");
        }
        for (at, value) in self.values.iter().enumerate() {
            if self.values[..at].iter().any(|other| other.digest == value.digest) {
                return wrong("values", "", "the same value twice");
            }
            if value.shown.len() > 8 {
                return wrong("values", "", "more than 8 characters of a secret are shown");
            }
        }
        if self.owner.len() > bounds::KEY_TEXT_MAX {
            return wrong("owner", &self.owner, "longer than 256 bytes");
        }
        if self.tags.len() > bounds::KEY_LIST_MAX {
            return wrong("tags", "", "more than 64");
        }
        for (name, value) in &self.tags {
            if name.is_empty() || name.len().max(value.len()) > bounds::KEY_TEXT_MAX {
                return wrong("tags", name, "a tag's name and value have at most 256 bytes");
            }
        }
        if self.plans.len() > bounds::KEY_LIST_MAX {
            return wrong("plans", "", "more than 64");
        }
        for (at, plan) in self.plans.iter().enumerate() {
            if !good_name(plan) {
                return wrong("plans", plan, NAME_FORM);
            }
            if self.plans[..at].contains(plan) {
                return wrong("plans", plan, "written twice");
            }
        }
        self.allow.check()
    }
}

// === impl Allow ===

impl Allow {
    /// Whether nothing is ruled out.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.apis.is_empty()
            && self.versions.is_empty()
            && self.routes.is_empty()
            && self.networks.is_empty()
            && self.models.is_empty()
    }

    /// Whether the key is good for this model.
    #[must_use]
    pub fn allows_model(&self, name: &str) -> bool {
        self.models.is_empty() || self.models.iter().any(|pattern| pattern.matches(name))
    }

    fn check(&self) -> Result<(), Wrong> {
        let wrong = |field, value: &str, message| {
            Err(Wrong { field, value: value.chars().take(80).collect(), message })
        };
        let of_names = self.apis.len().max(self.versions.len()).max(self.routes.len());
        let lists = [of_names, self.networks.len(), self.models.len()];
        if lists.iter().any(|len| *len > bounds::KEY_LIST_MAX) {
            return wrong("allow", "", "a list of more than 64");
        }
        if let Some(bad) = self.apis.iter().find(|text| !good_api_stage(text)) {
            return wrong("allow.apis", bad, "not an API (`orders`) or a stage (`orders/prod`)");
        }
        if let Some(bad) = self.versions.iter().find(|text| !good_name(text)) {
            return wrong("allow.versions", bad, NAME_FORM);
        }
        let good = |text: &str| match text.split_once(' ') {
            Some((api, key)) => good_name(api) && good_route_key(key),
            None => false,
        };
        if let Some(bad) = self.routes.iter().find(|text| !good(text)) {
            let message = "not an API and a route key, such as `orders GET /pets/{id}`";
            return wrong("allow.routes", bad, message);
        }
        let good = |text: &str| {
            text.len() <= bounds::MODEL_NAME_BYTES_MAX && text.bytes().all(|b| b.is_ascii_graphic())
        };
        if let Some(bad) = self.models.iter().find(|model| !good(model.as_str())) {
            let message = "not the name of a model: at most 256 visible ASCII characters";
            return wrong("allow.models", bad.as_str(), message);
        }
        Ok(())
    }
}

// === impl Network ===

impl Network {
    /// `10.0.0.0/8`, `2001:db8::/32`, or one address.
    #[must_use]
    pub fn parse(text: &str) -> Option<Network> {
        let net = text.parse::<IpNet>().ok();
        let net = net.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))?;
        (net == net.trunc()).then_some(Network(net))
    }

    /// Whether the address is one of these; IPv4 also where it came mapped into IPv6.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Network, D::Error> {
        let text = String::deserialize(from)?;
        Network::parse(&text).ok_or_else(|| de::Error::custom("not a network"))
    }
}

// === impl Origin ===

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Store => f.write_str("the store"),
            Origin::Config(place) => f.write_str(place),
        }
    }
}

// === impl Wrong ===

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value.as_str() {
            "" => write!(f, "{}: {}", self.field, self.message),
            value => write!(f, "{} {value:?}: {}", self.field, self.message),
        }
    }
}

impl std::error::Error for Wrong {}

const NAME_FORM: &str =
    "a name is at most 64 letters, digits, `_` and `-`, the first of them not `-`";

/// As the names of all objects of the configuration.
fn good_name(text: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(good) && !text.starts_with('-')
}

fn good_api_stage(text: &str) -> bool {
    match text.split_once('/') {
        Some((api, stage)) => good_name(api) && (stage == "$default" || good_name(stage)),
        None => good_name(text),
    }
}

fn good_route_key(key: &str) -> bool {
    key == "$default"
        || key.split_once(' ').is_some_and(|(method, path)| {
            !method.is_empty() && !method.contains('/') && path.starts_with('/')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> KeyRecord {
        let mut record = KeyRecord::new("acme", Origin::Store);
        let digest = Digest::of(b"one");
        record.values.push(KeyValue { digest, shown: "rw_1".into(), created: 5, not_after: None });
        record.allow.networks = vec![Network::parse("10.0.0.0/8").expect("a network")];
        record.allow.routes = vec!["orders GET /pets/{id}".into(), "orders $default".into()];
        record.allow.apis = vec!["orders".into(), "pets/$default".into(), "pets/prod".into()];
        record
    }

    #[test]
    fn each_field_has_a_form_and_a_bound() {
        assert_eq!(good().check(), Ok(()));
        type Spoil = fn(&mut KeyRecord);
        let cases: [(&str, Spoil); 12] = [
            ("name", |r| r.name = "a b".into()),
            ("name", |r| r.name = "x".repeat(65)),
            ("values", |r| r.values.clear()),
            ("values", |r| r.values.push(r.values[0].clone())),
            ("values", |r| r.values[0].shown = "123456789".into()),
            ("owner", |r| r.owner = "x".repeat(257)),
            ("tags", |r| drop(r.tags.insert(String::new(), "x".into()))),
            ("plans", |r| r.plans = vec!["gold".into(), "gold".into()]),
            ("plans", |r| r.plans = vec!["go ld".into()]),
            ("allow.apis", |r| r.allow.apis.push("orders/".into())),
            ("allow.routes", |r| r.allow.routes.push("GET /pets".into())),
            ("allow.versions", |r| r.allow.versions.push("v 1".into())),
        ];
        for (field, spoil) in cases {
            let mut record = good();
            spoil(&mut record);
            assert_eq!(record.check().expect_err(field).field, field);
        }
    }

    #[test]
    fn a_record_reads_what_it_writes() {
        let text = serde_json::to_string(&good()).expect("a record is JSON");
        assert_eq!(serde_json::from_str::<KeyRecord>(&text).expect("the same"), good());
    }

    #[test]
    fn a_network_is_written_without_host_bits_and_holds_mapped_addresses() {
        let net = Network::parse("10.0.0.0/8").expect("a network");
        assert!(net.holds("10.9.9.9".parse().expect("an address")));
        assert!(net.holds("::ffff:10.9.9.9".parse().expect("an address")));
        assert!(!net.holds("11.0.0.1".parse().expect("an address")));
        assert_eq!(Network::parse("10.0.0.1/8"), None);
        assert!(Network::parse("::1").expect("one").holds("::1".parse().expect("an address")));
    }
}
