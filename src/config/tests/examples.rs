//! The examples and the documentation hold every key of the schema, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use super::{MINIMAL, good, root, told};
use crate::config::section::tests::ASKED;
use crate::config::{
    Action, Balance, Host, IoChoice, Loaded, PathPolicy, Percent, RetryCause, load, parse_str,
    reference, schema,
};

const FULL: &str = include_str!("../../../config/ringway.toml");

/// The full example with the keys that are commented out.
fn uncommented() -> String {
    let lines = FULL.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => rest,
        _ => line,
    });
    let without_include = lines.filter(|line| !line.starts_with("include"));
    without_include.map(|line| format!("{line}\n")).collect()
}

fn loaded(path: &str) -> Loaded {
    load(&root(path)).unwrap_or_else(|errors| panic!("{}", told(&errors)))
}

#[test]
fn the_examples_load_without_a_warning() {
    for path in ["config/minimal.toml", "config/ringway.toml", "config/demo.toml"] {
        assert_eq!(loaded(path).warnings, [], "{path}");
    }
    let examples = fs::read_dir(root("config/examples")).expect("config/examples is there");
    for entry in examples {
        let name = entry.expect("is listed").file_name().into_string().expect("a name in UTF-8");
        let path = format!("config/examples/{name}");
        if name.ends_with(".toml") {
            assert_eq!(loaded(&path).warnings, [], "{path}");
        }
    }
}

#[test]
fn the_full_example_includes_its_directory() {
    let loaded = loaded("config/ringway.toml");
    assert!(loaded.config.apis.contains_key("status"));
    assert_eq!(loaded.files, [root("config/ringway.toml"), root("config/conf.d/status.toml")]);
}

#[test]
fn the_full_example_holds_every_key_and_every_reader_has_a_row() {
    ASKED.take();
    let text = uncommented();
    let warnings = good(&text).warnings;
    // What `concurrency` shows has no effect at the default of no bound.
    assert_eq!(warnings.len(), 2, "{}", told(&warnings));
    let mut written = BTreeSet::new();
    let table: toml::Table = text.parse().expect("is TOML");
    keys(&toml::Value::Table(table), "", &mut written);
    let asked = ASKED.take();
    for (_, rows) in schema::sections() {
        for row in rows.iter().filter(|row| !row.path.ends_with('*') && row.path != "include") {
            assert!(written.contains(row.path), "config/ringway.toml does not show {}", row.path);
            assert!(asked.contains(row.path) || !is_leaf(row.path), "nothing reads {}", row.path);
        }
    }
}

fn is_leaf(path: &str) -> bool {
    schema::keys(path).is_empty() && !path.ends_with("[]")
}

/// The patterns of all keys of a value.
fn keys(value: &toml::Value, pattern: &str, found: &mut BTreeSet<String>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let exact = schema::join(pattern, key);
                let star = schema::join(pattern, "*");
                let known = schema::find(pattern, key).is_some();
                let path = if known { exact } else { star };
                keys(value, &path, found);
                found.insert(path);
            }
        }
        // Routes of one key are told apart by their versions; each is a route like any other.
        toml::Value::Array(values) if pattern.ends_with(".routes.*") => {
            values.iter().for_each(|value| keys(value, pattern, found));
        }
        toml::Value::Array(values) => {
            values.iter().for_each(|value| keys(value, &format!("{pattern}[]"), found));
        }
        _ => {}
    }
}

#[test]
fn the_documentation_is_the_schema() {
    let path = root("docs/configuration.md");
    let text = fs::read_to_string(&path).expect("docs/configuration.md is there");
    let (begin, end) = ("<!-- keys: generated -->\n", "<!-- end of keys -->\n");
    let (before, rest) = text.split_once(begin).expect("the marker of the beginning");
    let (_, after) = rest.split_once(end).expect("the marker of the end");
    let wanted = format!("{before}{begin}\n{}{end}{after}", reference());
    if std::env::var_os("RINGWAY_BLESS").is_some() {
        fs::write(&path, &wanted).expect("is written");
    } else {
        assert!(text == wanted, "docs/configuration.md is stale: RINGWAY_BLESS=1 writes it anew");
    }
    for (_, rows) in schema::sections() {
        for row in *rows {
            assert!(!row.text.is_empty() && row.text.ends_with(['.', ')']), "{}", row.path);
        }
    }
}

#[test]
fn every_example_of_the_reference_is_of_its_type() {
    for (_, rows) in schema::sections() {
        for row in rows.iter().filter(|row| !row.example.is_empty()) {
            let text = format!("x = {}", row.example);
            assert!(text.parse::<toml::Table>().is_ok(), "{}: {text}", row.path);
        }
    }
}

#[test]
fn the_defaults_are_those_of_an_empty_section() {
    let config = good(MINIMAL).config;
    assert_eq!(config.gateway.workers, None);
    assert_eq!(config.gateway.io, IoChoice::Auto);
    assert_eq!(config.gateway.drain_deadline, Duration::from_secs(30));
    assert_eq!(config.gateway.buffers_max, 256 << 20);
    assert!(config.admin.enabled && config.admin.address.port() == 9901);
    let web = &config.listeners["web"];
    assert_eq!(web.path_policy, PathPolicy::Normalize);
    assert_eq!(web.timeouts.lifetime, None);
    assert_eq!(web.requests_max, None);
    assert_eq!((web.limits.head, web.limits.target, web.limits.fields), (32_768, 8_192, 100));
    let app = &config.upstreams["app"];
    assert_eq!(app.balance, Balance::LeastRequest);
    assert_eq!(app.retry.attempts, 2);
    assert!(app.retry.on.contains(&RetryCause::Connect) && app.retry.on.len() == 2);
    assert_eq!(app.retry.budget, Percent(2_000));
    assert_eq!(app.ejection.as_ref().map(|ejection| ejection.failures), Some(5));
    assert_eq!((app.timeouts.total, &app.health, &app.tls), (None, &None, &None));
    assert_eq!(app.timeouts.first_byte, Duration::from_secs(29), "AWS's integration timeout");
    let api = &config.apis["app"];
    assert_eq!((&api.hosts[..], &*api.base_path), (&[Host::Any][..], "/"));
    assert_eq!(api.listeners, None);
    let route = &api.routes["$default"][0];
    assert_eq!(route.body_max, Some(10 << 20));
    let Action::Proxy(targets) = &route.action else { panic!("{route:?}") };
    assert_eq!((&*targets[0].upstream, targets[0].weight), ("app", 1));
}

/// The hash of the only user of the full example.
fn hash_of(text: &str) -> &str {
    let at = text.find("$argon2id$").unwrap_or(text.len());
    text[at..].split('"').next().unwrap_or_default()
}

/// Shown and read again, a configuration is the same: nothing is lost on the admin's page.
#[test]
fn what_is_shown_reads_back_as_itself() {
    for text in [MINIMAL.to_owned(), uncommented()] {
        let config = good(&text).config;
        let shown = toml::to_string(&config).expect("every value has a form in TOML");
        let again = match parse_str(&shown, "again.toml") {
            Ok(loaded) => loaded.config,
            Err(errors) => panic!("{}\n{shown}", told(&errors)),
        };
        assert_eq!(config, again, "{shown}");
        let masked = config.masked_toml();
        let hash = hash_of(&text);
        assert!(hash.is_empty() || !masked.contains(hash), "{masked}");
        // What a page does not repeat cannot be read back from it.
        let shown = hash_of(&masked);
        let with_hash = if shown.is_empty() { masked.clone() } else { masked.replace(shown, hash) };
        assert_eq!(parse_str(&with_hash, "m").map(|m| m.config), Ok(config));
    }
}

/// "Where 0 is allowed, `0` needs no unit": in quotes or not.
#[test]
fn zero_needs_no_unit() {
    for zero in ["0", "\"0\"", "\"0B\""] {
        let config = good(&format!(
            "{MINIMAL}[apis.b]\nbase_path = \"/b\"\nbody_max = {zero}\n\
             [apis.b.routes.\"GET /\"]\nrespond = {{}}\n"
        ))
        .config;
        assert_eq!(config.apis["b"].routes["GET /"][0].body_max, None, "{zero}");
    }
    for zero in ["0", "\"0\"", "\"0s\""] {
        let timeouts = format!("timeouts = {{ connect = {zero} }}\n");
        let text = MINIMAL.replace("[upstreams.app]\n", &format!("[upstreams.app]\n{timeouts}"));
        let errors = parse_str(&text, "test.toml").expect_err("no time is not enough");
        assert!(told(&errors).contains("too small"), "{zero}: {}", told(&errors));
    }
}
