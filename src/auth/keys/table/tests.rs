use super::*;
use crate::auth::keys::KeyValue;

fn record(name: &str, values: &[&str], origin: Origin) -> KeyRecord {
    let mut record = KeyRecord::new(name, origin);
    record.values = values
        .iter()
        .map(|value| KeyValue {
            digest: Digest::of(value.as_bytes()),
            shown: String::new(),
            created: 0,
            not_after: None,
        })
        .collect();
    record
}

#[test]
fn what_is_put_is_found_by_its_values_and_its_name() {
    let table = KeyTable::default();
    assert_eq!(table.put(&record("a", &["1", "2"], Origin::Store)), Ok(None));
    let found =
        |value: &str| table.find(&Digest::of(value.as_bytes())).map(|k| k.name().to_owned());
    assert_eq!(found("1").as_deref(), Some("a"));
    assert_eq!(found("2").as_deref(), Some("a"));
    assert_eq!(found("3"), None);
}
