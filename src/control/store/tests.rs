//! The store by itself: what is written is there again, whoever wrote it.

use super::*;
use crate::auth::keys::{Digest, KeyValue, Origin};

fn by(seconds: u64) -> By {
    By { who: "test".to_owned(), at: Wall(seconds * 1_000_000_000) }
}

fn record(name: &str, secret: &str) -> KeyRecord {
    let mut record = KeyRecord::new(name, Origin::Store);
    let digest = Digest::of(secret.as_bytes());
    record.values.push(KeyValue { digest, shown: String::new(), created: 1, not_after: None });
    record
}

fn open(dir: &Path) -> Store {
    Store::open(Some(dir), Arc::default()).unwrap()
}

fn names_of(store: &Store) -> Vec<String> {
    store.table().list("", 100).iter().map(|key| key.name().to_owned()).collect()
}

#[test]
fn everything_that_is_known_of_a_key_is_there_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut full = record("full", "a");
    full.values.push(KeyValue {
        digest: Digest::of(b"b"),
        shown: "rw_12345".to_owned(),
        created: 7,
        not_after: Some(99),
    });
    full.enabled = false;
    full.expires = Some(1_000);
    full.owner = "Ä".to_owned();
    full.tags.insert("n".to_owned(), "v".to_owned());
    full.plans.push("gold".to_owned());
    full.allow.routes.push("orders GET /".to_owned());
    let mut store = open(dir.path());
    for record in [full.clone(), record("plain", "c"), record("another", "d")] {
        store.create(record, &by(5)).unwrap();
    }
    let again = open(dir.path());
    full.created = 5;
    assert_eq!(again.table().get("full").unwrap().record(), full);
    assert_eq!(names_of(&again), ["another", "full", "plain"]);
}

#[test]
fn another_stores_changes_are_picked_up_and_ones_own_stay() {
    let dir = tempfile::tempdir().unwrap();
    let (mut one, mut two) = (open(dir.path()), open(dir.path()));
    one.create(record("a", "a"), &by(1)).unwrap();
    assert_eq!(names_of(&two), [""; 0]);
    assert_eq!(two.catch_up().unwrap(), 1);
    assert_eq!(names_of(&two), ["a"]);
    two.create(record("b", "b"), &by(2)).unwrap();
    one.change("a", None, &by(3), |record| {
        record.owner = "x".to_owned();
        Ok(())
    })
    .unwrap();
    one.catch_up().unwrap();
    two.catch_up().unwrap();
    assert_eq!((names_of(&one), names_of(&two)), (names_of(&two), names_of(&one)));
    assert_eq!(two.table().get("a").unwrap().record().owner, "x");
    one.delete("b", None, &by(4)).unwrap();
    two.catch_up().unwrap();
    assert_eq!(names_of(&two), ["a"]);
    assert_eq!(two.catch_up().unwrap(), 0, "nothing is new");
    // A name that the other process has taken meanwhile is seen before it is seen here.
    one.create(record("c", "c"), &by(5)).unwrap();
    assert!(matches!(two.create(record("c", "x"), &by(6)), Err(Refused::Exists(_))));
    assert!(matches!(two.create(record("d", "c"), &by(6)), Err(Refused::Exists(_))));
}

#[test]
fn who_is_far_behind_reads_all() {
    let dir = tempfile::tempdir().unwrap();
    let (mut one, mut two) = (open(dir.path()), open(dir.path()));
    one.create(record("a", "a"), &by(1)).unwrap();
    one.create(record("b", "b"), &by(1)).unwrap();
    one.delete("a", None, &by(2)).unwrap();
    one.db
        .conn
        .execute("DELETE FROM changes WHERE id < (SELECT max(id) FROM changes)", [])
        .unwrap();
    two.catch_up().unwrap();
    assert_eq!(names_of(&two), ["b"]);
}

#[test]
fn a_change_by_hand_is_picked_up_and_a_spoilt_key_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let (mut one, two) = (open(dir.path()), open(dir.path()));
    one.create(record("a", "a"), &by(1)).unwrap();
    one.create(record("b", "b"), &by(1)).unwrap();
    two.db.conn.execute("UPDATE keys SET enabled = 0 WHERE name = 'a'", []).unwrap();
    one.catch_up().unwrap();
    assert!(!one.table().get("a").unwrap().enabled());
    two.db.conn.execute("DELETE FROM key_values WHERE key = 'b'", []).unwrap();
    assert_eq!(names_of(&open(dir.path())), ["a"], "a key without a value is nobody's");
    two.db.conn.execute("UPDATE keys SET tags = 'nonsense' WHERE name = 'a'", []).unwrap();
    let failed = Store::open(Some(dir.path()), Arc::default());
    assert!(failed.is_err(), "what cannot be read at all is an error of the start");
}

#[test]
fn a_change_meets_the_key_it_was_read_from_or_none() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let made = store.create(KeyRecord::new("a", Origin::Store), &by(1)).unwrap();
    assert!(made.secret.is_some());
    let tag = tag_of(&made.record);
    let rotated = store.rotate("a", Some(&tag), &by(2), None, std::time::Duration::ZERO).unwrap();
    assert_eq!(rotated.record.values.len(), 1);
    let none = std::time::Duration::ZERO;
    let stale = store.rotate("a", Some(&tag), &by(3), None, none);
    assert!(matches!(stale, Err(Refused::Changed)));
    assert!(matches!(store.delete("a", Some(&tag), &by(3)), Err(Refused::Changed)));
    for nth in 4..20 {
        let grace = std::time::Duration::from_secs(1_000);
        store.rotate("a", None, &by(nth), None, grace).unwrap();
    }
    let values = store.table().get("a").unwrap().record().values;
    assert_eq!(values.len(), crate::bounds::KEY_VALUES_MAX, "the oldest go");
    assert!(values[0].not_after.is_none() && values[1..].iter().all(|v| v.not_after.is_some()));
}

#[test]
fn without_a_directory_there_is_a_history_and_no_keys() {
    let mut store = Store::open(None, Arc::default()).unwrap();
    assert!(matches!(store.create(record("a", "a"), &by(1)), Err(Refused::Nowhere)));
    store.note(&by(1), "test", "nothing").unwrap();
    assert_eq!(store.audit(None, None, 10).unwrap().len(), 1);
}

#[test]
fn the_trail_is_bounded() {
    let mut store = Store::open(None, Arc::default()).unwrap();
    let seen = ReloadSeen {
        at: Wall(0),
        generation: 1,
        applied: true,
        cause: "signal".to_owned(),
        changes: Vec::new(),
        error: None,
    };
    let most = usize::try_from(crate::bounds::STORE_RELOADS_MAX).unwrap();
    for _ in 0..most + 10 {
        store.note_reload(&seen).unwrap();
    }
    let kept = store.reloads(None, 10 * most).unwrap();
    assert_eq!(kept.len(), most);
    assert_eq!(kept[0]["id"], most + 10, "the newest stay");
}
