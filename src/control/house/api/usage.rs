//! How keys and versions are used: what their plans have left for keys now, and which key has asked
//! for which version, how often and when last.
//!
//! Calls are counted since the process began; what is left of a plan is what the workers see.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::clock;
use crate::config::Moment;
use crate::limit::{Standing, Times, Unit, show_usd};
use crate::observe::registry::{By, Calls, Registry};
use crate::snapshot::{Limit, Snapshot};

/// Of one moment.
pub struct Usage {
    snapshot: Arc<Snapshot>,
    calls: Vec<Calls>,
    now: Times,
}

// === impl Usage ===

impl Usage {
    /// As of now.
    #[must_use]
    pub fn of(snapshot: Arc<Snapshot>, registry: &Registry) -> Usage {
        let now = Times { boot: clock::boottime(), wall: clock::wall() };
        Usage { snapshot, calls: registry.calls(now.wall), now }
    }

    /// Adds to keys what their plans have left for them, and the versions they ask for.
    pub fn add_to_keys(&self, keys: &mut [Value]) {
        let mut by_key: BTreeMap<&str, Vec<&Calls>> = BTreeMap::new();
        for calls in &self.calls {
            if let By::Key(key) = &calls.by {
                by_key.entry(key).or_default().push(calls);
            }
        }
        for key in keys {
            let name = key["name"].as_str().unwrap_or_default().to_owned();
            let plans = key["plans"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let standing: Vec<Value> = plans.flat_map(|plan| self.of_plan(plan, &name)).collect();
            key["standing"] = standing.into();
            let calls = by_key.remove(&*name).unwrap_or_default();
            let versions = calls.into_iter().map(|calls| {
                let mut told = told(calls);
                told["api"] = (&*calls.api).into();
                told["version"] = (&*calls.version).into();
                told
            });
            key["versions"] = versions.collect::<Vec<_>>().into();
        }
    }

    /// Adds to a version who asks for it, who did so last first.
    pub fn add_to_version(&self, api: &str, version: &mut Value) {
        let id = version["name"].as_str().unwrap_or_default().to_owned();
        let is_here = |calls: &&Calls| *calls.api == *api && *calls.version == *id;
        let mut here: Vec<&Calls> = self.calls.iter().filter(is_here).collect();
        here.sort_by_key(|calls| std::cmp::Reverse(calls.last));
        let one = |by: By| here.iter().find(|calls| calls.by == by).map(|calls| told(calls));
        version["keyless"] = one(By::Keyless).into();
        version["other_keys"] = one(By::Others).into();
        let callers = here.iter().filter_map(|calls| {
            let By::Key(key) = &calls.by else { return None };
            let mut told = told(calls);
            told["key"] = (&**key).into();
            Some(told)
        });
        version["callers"] = callers.collect::<Vec<_>>().into();
    }

    /// What a plan has left for a key: of itself, and of each route with a rate of its own.
    fn of_plan(&self, plan: &str, key: &str) -> Vec<Value> {
        let snapshot = &self.snapshot;
        let all = snapshot.keys.standing(&snapshot.limits, plan, key, self.now);
        let limit = |(limit, standing): (&Limit, Standing)| {
            let mut told = levels(limit, &standing);
            told["plan"] = plan.into();
            told["name"] = (&*limit.name).into();
            told
        };
        all.into_iter().map(limit).collect()
    }
}

/// What is left of a limit, of how much, and when it is whole again, in seconds.
#[must_use]
pub fn levels(limit: &Limit, standing: &Standing) -> Value {
    let amount = |amount: u64| match limit.unit {
        Unit::Money => Value::from(show_usd(amount)),
        _ => amount.into(),
    };
    let rate = standing.bucket.zip(limit.rules.bucket).map(|(level, bucket)| {
        let (limit, left) = (amount(bucket.burst()), amount(level.left));
        json!({ "limit": limit, "left": left, "full_in": level.full_in() })
    });
    let quota = standing.quota.zip(limit.rules.quota).map(|(level, quota)| {
        let (limit, left) = (amount(quota.max), amount(level.left));
        json!({ "limit": limit, "left": left, "resets_in": level.full_in() })
    });
    json!({ "unit": limit.unit.name(), "rate": rate, "quota": quota })
}

fn told(calls: &Calls) -> Value {
    json!({ "requests": calls.requests, "last": Moment { seconds: calls.last }.to_string() })
}
