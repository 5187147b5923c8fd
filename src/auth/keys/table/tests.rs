use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::auth::keys::KeyValue;

fn record(name: &str, values: &[u8], origin: Origin) -> KeyRecord {
    let mut record = KeyRecord::new(name, origin);
    record.values = values
        .iter()
        .map(|value| KeyValue {
            digest: Digest::of(&[*value]),
            shown: String::new(),
            created: 0,
            not_after: None,
        })
        .collect();
    record
}

fn stored(name: &str, values: &[u8]) -> KeyRecord {
    record(name, values, Origin::Store)
}

fn configured(name: &str, values: &[u8]) -> KeyRecord {
    record(name, values, Origin::Config(format!("{name}.toml:1:1").into()))
}

fn found(table: &KeyTable, value: u8) -> Option<String> {
    table.find(&Digest::of(&[value])).map(|key| key.name().to_owned())
}

fn configure(table: &KeyTable, records: &[KeyRecord]) -> Result<(), Vec<Clash>> {
    table.configure(&Arc::new(Configured::build(records)?))
}

#[test]
fn a_key_is_found_by_each_of_its_values_until_they_are_rotated_out() {
    let table = KeyTable::default();
    assert_eq!(table.put(&stored("a", &[1, 2])), Ok(None));
    assert_eq!((found(&table, 1), found(&table, 2)), (Some("a".into()), Some("a".into())));
    let old = table.put(&stored("a", &[2, 3])).expect("no clash").expect("it was there");
    assert_eq!(old.record(), stored("a", &[1, 2]));
    assert_eq!((found(&table, 1), found(&table, 3)), (None, Some("a".into())));
    assert_eq!(
        table.remove("a").expect("of the store").map(|k| k.name().to_owned()),
        Some("a".into())
    );
    assert_eq!((found(&table, 2), table.len()), (None, 0));
}

#[test]
fn a_clash_names_both_places() {
    let table = KeyTable::default();
    table.put(&stored("a", &[1])).expect("the first");
    let clash = table.put(&stored("b", &[2, 1])).expect_err("the same value");
    assert_eq!(
        clash.to_string(),
        "the key \"b\" (the store) has a value that \"a\" (the store) has too"
    );
    assert_eq!((found(&table, 2), table.get("b")), (None, None), "nothing has changed");

    let told = |clashes: Vec<Clash>| clashes.iter().map(Clash::to_string).collect::<Vec<_>>();
    let clashes = configure(&table, &[configured("a", &[7]), configured("c", &[1])]);
    assert_eq!(
        told(clashes.expect_err("a name and a value")),
        [
            "the key \"a\" (a.toml:1:1) is also in the store",
            "the key \"c\" (c.toml:1:1) has a value that \"a\" (the store) has too",
        ]
    );
    let clashes = configure(&table, &[configured("x", &[5]), configured("y", &[5])]);
    assert_eq!(
        told(clashes.expect_err("a value")),
        ["the key \"y\" (y.toml:1:1) has a value that \"x\" (x.toml:1:1) has too"]
    );
    configure(&table, &[configured("x", &[5])]).expect("no clash");
    let clash = table.put(&stored("x", &[9])).expect_err("the configuration's name");
    assert_eq!(clash.to_string(), "the key \"x\" (the store) is also in x.toml:1:1");
    assert!(table.put(&stored("z", &[5])).is_err(), "the configuration's value");
    assert_eq!(table.remove("x"), Err(Origin::Config("x.toml:1:1".into())));
    let clashes = table.load([stored("x", &[1]), stored("n", &[2]), stored("n", &[3])]);
    assert_eq!(clashes.expect_err("two names").len(), 2);
    assert_eq!(found(&table, 1).as_deref(), Some("a"), "nothing has changed");
}

#[test]
fn a_reload_of_the_configuration_leaves_the_stores_keys() {
    let table = KeyTable::default();
    table.load([stored("b", &[1]), stored("d", &[2])]).expect("no clash");
    configure(&table, &[configured("a", &[3]), configured("c", &[4])]).expect("no clash");
    let names = |after: &str, count| {
        let keys = table.list(after, count);
        keys.iter().map(|key| key.name().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("", 9), ["a", "b", "c", "d"]);
    assert_eq!(names("a", 2), ["b", "c"]);
    configure(&table, &[configured("c", &[5])]).expect("no clash");
    assert_eq!(names("", 9), ["b", "c", "d"]);
    assert!(table.put(&stored("a", &[3])).is_ok(), "the name and the value are free again");
    assert!(table.get("c").is_some_and(|key| key.is_configured()));
}

#[test]
fn keys_whose_plans_are_wrong_are_told() {
    let table = KeyTable::default();
    let mut gold = stored("a", &[1]);
    gold.plans = vec!["gold".into()];
    table.load([gold, stored("b", &[2])]).expect("no clash");
    let wrong = |plans: &[Arc<str>]| plans.iter().any(|plan| &**plan == "gold");
    let names = |keys: Vec<Arc<Key>>| keys.iter().map(|k| k.name().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(table.with_plans(9, wrong)), ["a"]);
    table.put(&stored("a", &[1])).expect("the same key");
    assert_eq!(names(table.with_plans(9, wrong)), Vec::<String>::new());
}

#[test]
fn what_keys_share_is_there_once() {
    let table = KeyTable::default();
    let mut one = stored("one", &[1]);
    one.plans = vec!["gold".into()];
    one.owner = "ops".into();
    let mut two = KeyRecord { name: "two".into(), ..one.clone() };
    two.values = stored("two", &[2]).values;
    table.load([one, two]).expect("no clash");
    let (one, two) = (table.get("one").expect("there"), table.get("two").expect("there"));
    assert!(std::ptr::eq(one.plans(), two.plans()));
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, Vec<u8>),
    Remove(u8),
    Load(BTreeMap<u8, Vec<u8>>),
    Configure(BTreeMap<u8, Vec<u8>>),
}

fn values() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::btree_set(0u8..24, 1..4).prop_map(|set| set.into_iter().collect())
}

fn step() -> impl Strategy<Value = Step> {
    let many = || prop::collection::btree_map(0u8..8, values(), 0..4);
    prop_oneof![
        6 => (0u8..8, values()).prop_map(|(name, values)| Step::Put(name, values)),
        3 => (0u8..8).prop_map(Step::Remove),
        1 => many().prop_map(Step::Load),
        1 => many().prop_map(Step::Configure),
    ]
}

/// Name -> whether it is the configuration's, and its values.
type Model = BTreeMap<u8, (bool, Vec<u8>)>;

/// Whether all names and values of the model are each one key's.
fn is_sound(keys: &[(u8, Vec<u8>)]) -> bool {
    let mut names: Vec<u8> = keys.iter().map(|(name, _)| *name).collect();
    let mut values: Vec<u8> = keys.iter().flat_map(|(_, values)| values.clone()).collect();
    let counts = (names.len(), values.len());
    names.sort_unstable();
    names.dedup();
    values.sort_unstable();
    values.dedup();
    counts == (names.len(), values.len())
}

/// The model with all keys of one origin replaced; `None` if they clash.
fn replaced(model: &Model, of_config: bool, new: &BTreeMap<u8, Vec<u8>>) -> Option<Model> {
    let kept = model.iter().filter(|(_, (config, _))| *config != of_config);
    let mut all: Vec<_> = kept.map(|(name, (_, values))| (*name, values.clone())).collect();
    all.extend(new.iter().map(|(name, values)| (*name, values.clone())));
    if !is_sound(&all) {
        return None;
    }
    let mut next = model.clone();
    next.retain(|_, (config, _)| *config != of_config);
    next.extend(new.iter().map(|(name, values)| (*name, (of_config, values.clone()))));
    Some(next)
}

fn apply(model: &Model, step: &Step) -> Option<Model> {
    match step {
        Step::Put(name, values) => {
            let is_config = model.get(name).is_some_and(|(config, _)| *config);
            let mut next = model.clone();
            next.insert(*name, (false, values.clone()));
            let all: Vec<_> = next.iter().map(|(name, (_, v))| (*name, v.clone())).collect();
            (!is_config && is_sound(&all)).then_some(next)
        }
        Step::Remove(name) => {
            let mut next = model.clone();
            let removed = next.remove(name);
            (!removed.is_some_and(|(config, _)| config)).then_some(next)
        }
        Step::Load(keys) => replaced(model, false, keys),
        Step::Configure(keys) => replaced(model, true, keys),
    }
}

proptest! {
    #[test]
    fn the_table_does_what_a_map_would(steps in prop::collection::vec(step(), 1..40)) {
        let table = KeyTable::default();
        let mut config = Arc::new(Configured::default());
        let mut model = Model::new();
        let name = |n: &u8| format!("k{n}");
        for step in steps {
            let expected = apply(&model, &step);
            let done = match &step {
                Step::Put(n, values) => table.put(&stored(&name(n), values)).is_ok(),
                Step::Remove(n) => table.remove(&name(n)).is_ok(),
                Step::Load(keys) => {
                    table.load(keys.iter().map(|(n, values)| stored(&name(n), values))).is_ok()
                }
                Step::Configure(keys) => {
                    let keys: Vec<_> =
                        keys.iter().map(|(n, values)| configured(&name(n), values)).collect();
                    match Configured::build(&keys).map(Arc::new) {
                        Ok(built) => {
                            let done = table.configure(&built);
                            if done.is_ok() {
                                config = built;
                            }
                            done.is_ok()
                        }
                        Err(_) => false,
                    }
                }
            };
            prop_assert_eq!(done, expected.is_some(), "{:?} on {:?}", step, model);
            model = expected.unwrap_or(model);
            prop_assert_eq!(table.len(), model.len());
            for value in 0..24 {
                let digest = Digest::of(&[value]);
                let found = config.find(&digest).cloned().or_else(|| table.find(&digest));
                let has = |(_, (_, values)): &(&u8, &(bool, Vec<u8>))| values.contains(&value);
                let expected = model.iter().find(has).map(|(n, _)| name(n));
                prop_assert_eq!(found.map(|key| key.name().to_owned()), expected);
            }
            let listed: Vec<_> =
                table.list("", 99).iter().map(|key| key.name().to_owned()).collect();
            prop_assert_eq!(listed, model.keys().map(name).collect::<Vec<_>>());
        }
    }
}
