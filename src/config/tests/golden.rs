//! `tests/data/config/bad/*.toml`: each with the exact diagnostics it gets, in the file of the same
//! name that ends in `.txt`. `RINGWAY_BLESS=1` writes those files anew; read the difference before
//! committing.

use std::fs;

use super::{root, told};
use crate::config::parse_str;

/// The diagnostics of every case of a directory, compared with its `.txt`.
fn compare(directory: &str, at_least: usize) {
    let directory = root(directory);
    let entries = fs::read_dir(&directory).expect("the cases are there");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("is listed").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    assert!(paths.len() >= at_least, "{} cases", paths.len());
    let mut wrong = String::new();
    for path in paths {
        let text = fs::read_to_string(&path).expect("a case is text");
        let name = path.file_name().expect("is a file").to_string_lossy().into_owned();
        let found = match parse_str(&text, &name) {
            Ok(loaded) => format!("ok\n{}", told(&loaded.warnings)),
            Err(errors) => told(&errors),
        };
        let expected_path = path.with_extension("txt");
        if std::env::var_os("RINGWAY_BLESS").is_some() {
            fs::write(&expected_path, &found).expect("is written");
        }
        let expected = fs::read_to_string(&expected_path).unwrap_or_default();
        if found != expected {
            wrong += &format!("--- {name}: expected\n{expected}--- found\n{found}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn mistakes_are_told_in_these_words() {
    compare("tests/data/config/bad", 50);
    // No case there may load: a diagnostic that got lost would otherwise be blessed away.
    for entry in fs::read_dir(root("tests/data/config/bad")).expect("the cases are there") {
        let path = entry.expect("is listed").path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            let text = fs::read_to_string(&path).expect("is text");
            assert!(!text.is_empty() && !text.starts_with("ok"), "{}", path.display());
            assert!(path.with_extension("toml").exists(), "{}", path.display());
        }
    }
}

#[test]
fn what_is_probably_not_meant_is_warned_of_in_these_words() {
    compare("tests/data/config/good", 5);
    for entry in fs::read_dir(root("tests/data/config/good")).expect("the cases are there") {
        let path = entry.expect("is listed").path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            let text = fs::read_to_string(&path).expect("is text");
            assert!(text.starts_with("ok\n"), "{}: {text}", path.display());
        }
    }
}
