//! The limits of a route as the workers see them: rules, what they count by, what they tell.
//!
//! A limit's state follows its name: the id begins with it and with what does not vary between
//! requests, hashed here once. Knows limits as specifications, whoever wrote them: `[limits.NAME]`,
//! a `throttle`, a usage plan.

use std::sync::Arc;

use crate::config::{self, Config, KeyPart, LimitHeaders, Missing, Name, Throttle};
use crate::limit::{Bucket, Hasher, Period, Quota, Rules, Store, Unit};
use crate::observe::cells::PerWorker;
use crate::observe::registry::Registry;
use crate::observe::verdicts::LimitCells;

/// The limits of a route, or of a plan on it.
#[derive(Default)]
pub struct Limits {
    pub list: Vec<Limit>,
    /// `RateLimit-Policy` of those that tell; empty if none does.
    pub policy: Vec<u8>,
}

/// One limit.
pub struct Limit {
    pub name: Arc<str>,
    /// How `RateLimit` tells of its rate and of its quota, up to the number: [`LIST_COMMA`], the
    /// name as a structured field's text (RFC 9651 section 3.3.3), `;r=`.
    pub told: [Vec<u8>; 2],
    pub rules: Rules,
    pub unit: Unit,
    /// Its id as far as it is the same for all requests.
    pub begun: Hasher,
    /// What the rest of the id is made of, in this order.
    pub varying: Vec<KeyPart>,
    pub missing: Missing,
    pub shadow: bool,
    pub headers: LimitHeaders,
    pub cells: Arc<PerWorker<LimitCells>>,
    by_provider: bool,
}

/// Between the members of a list (RFC 9651 section 3.1).
pub const LIST_COMMA: &[u8] = b", ";

/// A limit as it is asked for.
#[derive(Clone, Debug)]
pub struct LimitSpec {
    /// Tells its state and its metrics from those of others.
    pub name: Arc<str>,
    pub unit: Unit,
    pub by: Vec<KeyPart>,
    pub throttle: Option<Throttle>,
    pub quota: Option<config::Quota>,
    pub concurrency: Option<u64>,
    pub shadow: bool,
    pub missing: Missing,
    pub headers: LimitHeaders,
}

/// Where limits apply: what they may be counted by without looking at a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct LimitScope<'a> {
    pub api: &'a str,
    pub stage: &'a str,
    pub version: &'a str,
    /// The route key.
    pub route: &'a str,
}

// === impl LimitSpec ===

impl LimitSpec {
    /// What `[limits.NAME]` says.
    #[must_use]
    pub fn of(name: &Name, limit: &config::Limit) -> LimitSpec {
        LimitSpec {
            name: Arc::from(&**name),
            unit: limit.unit,
            by: limit.by.clone(),
            throttle: limit.throttle,
            quota: limit.quota,
            concurrency: limit.concurrency,
            shadow: limit.shadow,
            missing: limit.missing,
            headers: limit.headers,
        }
    }

    /// All requests together. The name is to hold a blank: no `[limits.NAME]` has one.
    #[must_use]
    pub fn throttle(name: &str, throttle: Throttle) -> LimitSpec {
        LimitSpec {
            name: Arc::from(name),
            unit: Unit::Requests,
            by: Vec::new(),
            throttle: Some(throttle),
            quota: None,
            concurrency: None,
            shadow: false,
            missing: Missing::Refuse,
            headers: LimitHeaders::Standard,
        }
    }

    /// Those of these names, each once.
    #[must_use]
    pub fn named<'n>(config: &Config, names: impl Iterator<Item = &'n Name>) -> Vec<LimitSpec> {
        let mut specs: Vec<LimitSpec> = Vec::new();
        for name in names {
            let limit = &config.limits[name];
            if !specs.iter().any(|spec| *spec.name == **name) {
                specs.push(LimitSpec::of(name, limit));
            }
        }
        specs
    }
}

// === impl Limits ===

impl Limits {
    /// No limits at all.
    #[must_use]
    pub fn none() -> &'static Limits {
        static NONE: Limits = Limits { list: Vec::new(), policy: Vec::new() };
        &NONE
    }

    /// Compiles what was asked for, where it applies.
    #[must_use]
    pub fn compile(
        specs: &[LimitSpec],
        scope: &LimitScope<'_>,
        store: &Store,
        registry: &Registry,
    ) -> Limits {
        let list: Vec<Limit> =
            specs.iter().map(|spec| Limit::compile(spec, scope, store, registry)).collect();
        let mut policy = Vec::new();
        for limit in list.iter().filter(|limit| limit.tells()) {
            limit.put_policy(&mut policy);
        }
        Limits { list, policy }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

// === impl Limit ===

impl Limit {
    fn compile(
        spec: &LimitSpec,
        scope: &LimitScope<'_>,
        store: &Store,
        registry: &Registry,
    ) -> Limit {
        let mut begun = store.hasher(&spec.name);
        if spec.unit.is_settled() {
            // What has counted something else says nothing of this.
            begun.part(spec.unit.name().as_bytes());
        }
        let mut varying = Vec::new();
        for part in &spec.by {
            begun.part(part.to_string().as_bytes());
            let values: &[&str] = match part {
                KeyPart::Api => &[scope.api],
                KeyPart::Stage => &[scope.api, scope.stage],
                KeyPart::Version => &[scope.api, scope.version],
                KeyPart::Route => &[scope.api, scope.route],
                _ => {
                    varying.push(part.clone());
                    continue;
                }
            };
            values.iter().for_each(|value| begun.part(value.as_bytes()));
        }
        let bucket = spec.throttle.map(|throttle| {
            let bucket = Bucket::new(throttle.rate, throttle.burst).expect("config has checked it");
            if spec.unit.is_settled() { bucket.carrying() } else { bucket }
        });
        let quota = spec.quota.map(|quota| Quota {
            max: quota.limit,
            period: quota.per,
            offset: quota.offset.as_secs(),
            carries: spec.unit.is_settled(),
        });
        Limit {
            name: spec.name.clone(),
            told: [quoted(&spec.name, b""), quoted(&spec.name, period(quota.as_ref()))]
                .map(|name| [LIST_COMMA, &name, b";r="].concat()),
            rules: Rules { bucket, quota, at_once: spec.concurrency },
            unit: spec.unit,
            begun,
            by_provider: varying.contains(&KeyPart::Provider),
            varying,
            missing: spec.missing,
            shadow: spec.shadow,
            headers: spec.headers,
            cells: registry.limit(&spec.name),
        }
    }

    /// Whether answers tell of it.
    #[must_use]
    pub fn tells(&self) -> bool {
        self.headers == LimitHeaders::Standard && !self.shadow
    }

    /// Whether refusals do not say when to come back.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.headers == LimitHeaders::Aws
    }

    /// Whether it can be counted only when the provider has been chosen.
    #[must_use]
    pub fn is_by_provider(&self) -> bool {
        self.by_provider
    }

    /// So much of its unit, as the fields of answers tell it: of money millionths of a dollar.
    #[must_use]
    pub fn told_amount(&self, amount: u64) -> u64 {
        if self.unit == Unit::Money { amount / 1000 } else { amount }
    }

    fn put_policy(&self, out: &mut Vec<u8>) {
        let mut item = |end: &[u8], text: &str| {
            if !out.is_empty() {
                out.extend_from_slice(LIST_COMMA);
            }
            out.extend_from_slice(&quoted(&self.name, end));
            out.extend_from_slice(text.as_bytes());
        };
        let unit = match self.unit {
            Unit::Requests => "",
            Unit::Tokens => ";qu=\"tokens\"",
            Unit::InputTokens => ";qu=\"input-tokens\"",
            Unit::OutputTokens => ";qu=\"output-tokens\"",
            Unit::Money => ";qu=\"micro-usd\"",
        };
        if let Some(bucket) = &self.rules.bucket {
            let window = bucket.fill_ns().div_ceil(1_000_000_000).max(1);
            item(b"", &format!(";q={};w={window}{unit}", self.told_amount(bucket.burst())));
        }
        if let Some(quota) = &self.rules.quota {
            let window = match quota.period {
                Period::Minute => ";w=60",
                Period::Hour => ";w=3600",
                Period::Day => ";w=86400",
                Period::Week => ";w=604800",
                // Not always the same, and the draft lets it be left out.
                Period::Month => "",
            };
            let text = format!(";q={}{window}{unit}", self.told_amount(quota.max));
            item(period(Some(quota)), &text);
        }
    }
}

/// The end of a quota's name, which is told beside the rate.
fn period(quota: Option<&Quota>) -> &'static [u8] {
    match quota.map(|quota| quota.period) {
        Some(Period::Minute) => b"/minute",
        Some(Period::Hour) => b"/hour",
        Some(Period::Day) => b"/day",
        Some(Period::Week) => b"/week",
        Some(Period::Month) => b"/month",
        None => b"",
    }
}

/// A name and an end of it as a structured field's text: printable ASCII in quotes.
fn quoted(name: &str, end: &[u8]) -> Vec<u8> {
    let mut out = b"\"".to_vec();
    for c in name.chars() {
        match c {
            '"' | '\\' => out.extend_from_slice(&[b'\\', u8::try_from(c).expect("ASCII")]),
            ' '..='~' => out.push(u8::try_from(c).expect("ASCII")),
            _ => out.push(b'?'),
        }
    }
    out.extend_from_slice(end);
    out.push(b'"');
    out
}
