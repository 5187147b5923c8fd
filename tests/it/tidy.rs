//! Style as a test: which room may name which, how long files and functions may be, what every file
//! must have and none may hold.
//!
//! Reads the source tree, not the compiled crate. Every rule has its list of exceptions, each with
//! its reason; a list is exact: an exception that is not needed any more fails the test, so that
//! lists only shrink.

mod exceptions;
mod scan;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use ringway::{failure, observe};

use self::exceptions::{
    ARROWS, CONFIG_IN_PROXY, EMPTY_NAMES, Exceptions, IMPURITIES, LONG_FILES, LONG_FUNCTIONS,
    NETWORK_ABOVE_NET, UNFED_METRICS, UNRAISED_FAILURES, WIDE_FILES,
};
use self::scan::{blanked, functions, has_word, items, rooms, without_tests, words_in};

/// The rooms in layers, the lowest first: a room may name rooms of lower layers only.
const LAYERS: &[&[&str]] = &[
    &["allocator", "bounds", "failure", "clock"],
    &["http"],
    &["route", "auth", "limit", "balance", "llm", "observe"],
    &["net"],
    &["message"],
    &["config"],
    &["snapshot"],
    &["upstream"],
    &["integration"],
    &["proxy"],
    &["worker", "control"],
    &["cli"],
    &["main"],
];

/// Rooms that take bytes and a tick and give a verdict.
const PURE: &str = "bounds failure http route auth limit balance llm observe";
/// What no pure room may name: sockets, files, threads, runtimes, clocks.
const IMPURE: &str = "File Instant OpenOptions SystemTime TcpListener TcpStream UdpSocket \
    UnixListener UnixStream fs libc monoio os socket2 thread";
/// Crates that only `net` names.
const NET_ONLY: &str = "io_uring monoio rustls rustls_native_certs rustls_pki_types socket2 \
    tokio";
/// Words that say nothing about what a thing does.
const EMPTY_WORDS: &str = "common commons engine engines handler handlers helper \
    helpers manager managers misc service services util utils";
const MARKERS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const COLUMNS_MAX: usize = 100;

/// A source file.
struct Source {
    /// From the root of the repository.
    path: String,
    text: String,
    /// The text with comments, strings and items for tests blanked; same lines.
    code: String,
    /// The whole file is for tests.
    is_test: bool,
}

/// What breaks a rule: what it is called in a list of exceptions, and what to say.
struct Finding {
    name: String,
    text: String,
}

// === the rules ===

#[test]
fn arrows_point_down() {
    let mut findings = Vec::new();
    for file in production().filter(|file| file.path.starts_with("src/")) {
        let room = file.room();
        if room == "lib" {
            continue;
        }
        let layer =
            layer(room).unwrap_or_else(|| panic!("{}: room {room} has no layer", file.path));
        for named in file.rooms_named() {
            let below = self::layer(&named).is_some_and(|other| other < layer);
            // `crate::Thing` is the crate's root, which holds modules only.
            if named != room && !below {
                let name = format!("{} names {named}", file.path);
                let text = format!("{name}, which is not below {room}");
                findings.push(Finding { name, text });
            }
        }
    }
    compare("a room names only rooms below it", &findings, ARROWS);
}

#[test]
fn proxy_does_not_know_the_configuration() {
    let findings = production()
        .filter(|file| file.room() == "proxy" && file.rooms_named().contains("config"))
        .map(|file| Finding::of_file(&file, "names crate::config; the snapshot should say it"));
    compare("proxy knows snapshots only", &findings.collect::<Vec<_>>(), CONFIG_IN_PROXY);
}

#[test]
fn only_net_names_the_runtime_and_the_tls_library() {
    let mut findings = Vec::new();
    for file in production().filter(|file| file.path.starts_with("src/") && file.room() != "net") {
        for word in file.words_of(NET_ONLY) {
            findings.push(Finding::named(&file, word, "only net may name it"));
        }
    }
    compare("only net names runtime and TLS", &findings, NETWORK_ABOVE_NET);
}

#[test]
fn pure_rooms_touch_nothing() {
    let mut findings = Vec::new();
    for file in production().filter(|file| PURE.split(' ').any(|room| room == file.room())) {
        for word in file.words_of(IMPURE) {
            findings.push(Finding::named(&file, word, "no socket, file, thread or clock here"));
        }
    }
    compare("pure rooms are pure", &findings, IMPURITIES);
}

#[test]
fn files_are_short() {
    let mut findings = Vec::new();
    for file in production() {
        let lines = file.production_lines();
        if lines > FILE_LINES_MAX {
            findings.push(Finding::of_file(&file, &format!("{lines} production lines")));
        }
    }
    compare("at most 500 production lines a file", &findings, LONG_FILES);
}

#[test]
fn functions_are_short() {
    let mut findings = Vec::new();
    for file in production() {
        for (function, lines) in functions(&file.code) {
            if lines > FUNCTION_LINES_MAX {
                let name = format!("{} {function}", file.path);
                let text = format!("{name}: {lines} lines");
                findings.push(Finding { name, text });
            }
        }
    }
    compare("at most 70 lines a function", &findings, LONG_FUNCTIONS);
}

#[test]
fn lines_are_short() {
    let mut findings = Vec::new();
    for file in sources() {
        let wide = |line: &&str| line.chars().count() > COLUMNS_MAX;
        let count = file.text.lines().filter(wide).count();
        if count > 0 {
            let first = file.text.lines().position(|line| wide(&line)).map_or(0, |at| at + 1);
            let text = format!("{count} lines of more than 100 columns, the first is {first}");
            findings.push(Finding::of_file(&file, &text));
        }
    }
    compare("at most 100 columns a line", &findings, WIDE_FILES);
}

#[test]
fn names_say_something() {
    let mut findings = Vec::new();
    for file in sources() {
        let mut names: BTreeSet<String> = items(&file.code).into_iter().collect();
        names.extend(file.path.trim_end_matches(".rs").split('/').map(str::to_owned));
        for name in names {
            if words_in(&name).iter().any(|word| EMPTY_WORDS.split(' ').any(|empty| empty == word))
            {
                findings.push(Finding::named(&file, &name, "say what it does"));
            }
        }
    }
    compare("no empty words in names", &findings, EMPTY_NAMES);
}

#[test]
fn nothing_is_left_for_later_or_taken_for_granted() {
    let mut findings = Vec::new();
    for file in sources() {
        let mut comments = file.text.lines().filter_map(|line| line.split_once("//"));
        let found = comments.find_map(|(_, comment)| MARKERS.iter().find(|m| has_word(comment, m)));
        if let Some(marker) = found {
            findings.push(Finding::named(&file, marker, "do it, or open an issue"));
        }
        let head = file.text.trim_start();
        if !file.is_test && !head.starts_with("//!") {
            findings.push(Finding::of_file(&file, "does not begin with `//!`: what is it for?"));
        }
        let asks = file.code.contains("expect(") && has_word(&file.code, "unsafe_code");
        if has_word(&file.code, "unsafe") && !asks {
            findings.push(Finding::of_file(&file, "unsafe without `expect(unsafe_code, reason)`"));
        }
        if !file.is_production() {
            continue;
        }
        for (text, instead) in [
            (".unwrap()", "`expect(\"the fact that makes it hold\")`"),
            ("#[allow(", "`#[expect(lint, reason)]`"),
            ("#![allow(", "`#![expect(lint, reason)]`"),
            ("todo!(", "do it"),
            ("dbg!(", "remove it"),
        ] {
            if file.code.contains(text) {
                findings.push(Finding::named(&file, text, instead));
            }
        }
    }
    compare("nothing is left for later or taken for granted", &findings, &[]);
}

/// Counters that nobody feeds look like zeros.
#[test]
fn every_metric_is_fed() {
    let outside: Vec<Source> = production()
        .filter(|file| file.path.starts_with("src/") && file.room() != "observe")
        .collect();
    let mut findings = Vec::new();
    for row in observe::metrics::TABLE {
        if !outside.iter().any(|file| file.code.contains(row.door)) {
            let text = format!("{}: nobody outside observe writes `{}`", row.name, row.door);
            findings.push(Finding { name: row.name.to_owned(), text });
        }
    }
    compare("every metric is fed", &findings, UNFED_METRICS);
}

/// A code that nobody answers looks like a promise kept.
#[test]
fn every_failure_is_raised() {
    let tables = ["src/failure", "src/http/grpc.rs"];
    let raising: Vec<Source> = production()
        .filter(|file| file.path.starts_with("src/"))
        .filter(|file| !tables.iter().any(|table| file.path.starts_with(table)))
        .collect();
    let mut findings = Vec::new();
    for row in failure::TABLE {
        let (name, variant) = (format!("{:?}", row.failure), format!("Failure::{:?}", row.failure));
        // The rows of the codec's own table name the failure alone.
        let in_table =
            |file: &Source| file.path == "src/http/reject.rs" && has_word(&file.code, &name);
        let names = |file: &Source| {
            let mut uses = file.code.match_indices(&variant);
            in_table(file)
                || uses.any(|(at, _)| {
                    let next = file.code[at + variant.len()..].bytes().next();
                    !next.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
                })
        };
        if !raising.iter().any(names) {
            let text = format!("{}: no step raises Failure::{name}", row.code);
            findings.push(Finding { name, text });
        }
    }
    compare("every failure is raised", &findings, UNRAISED_FAILURES);
}

#[test]
fn every_failure_is_documented() {
    let (errors, operations) = (read("docs/errors.md"), read("docs/operations.md"));
    for row in failure::TABLE {
        let heading = format!("\n## {}\n", row.code);
        assert!(errors.contains(&heading), "docs/errors.md has no heading {}", row.code);
        let cell = format!("| `{}` |", row.name);
        assert!(operations.contains(&cell), "docs/operations.md has no row for {}", row.name);
    }
}

#[test]
fn ci_runs_what_the_readme_says_and_every_fuzz_target() {
    let (readme, ci, fuzz) = (read("README.md"), read(".ci/run"), read("fuzz/Cargo.toml"));
    assert!(
        readme.contains("\ncargo run --release\n") && readme.contains("\ncargo test --workspace\n")
    );
    assert!(ci.contains("cargo test --workspace"), ".ci/run does not run the README's tests");
    let targets = ci.lines().find_map(|line| line.trim().strip_prefix("for target in "));
    let targets = targets.expect(".ci/run goes through the fuzz targets").replace("; do", "");
    for file in sources().filter(|file| file.path.starts_with("fuzz/fuzz_targets/")) {
        let path = file.path.trim_start_matches("fuzz/");
        assert!(fuzz.contains(&format!("path = \"{path}\"")), "fuzz/Cargo.toml lacks {path}");
        let name = path.trim_start_matches("fuzz_targets/").trim_end_matches(".rs");
        assert!(targets.split(' ').any(|target| target == name), ".ci/run does not fuzz {name}");
    }
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut pages = Vec::new();
    walk(root(), &mut |path| {
        if path.ends_with(".md") {
            pages.push(path.to_owned());
        }
    });
    for page in pages {
        let folder = page.rsplit_once('/').map_or("", |(folder, _)| folder);
        for link in read(&page).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().expect("split gives one part at least");
            if !target.is_empty() && !target.contains("://") {
                let found = root().join(folder).join(target).exists();
                assert!(found, "{page}: the link to {target} leads nowhere");
            }
        }
    }
}

// === impl Source ===

impl Source {
    fn is_production(&self) -> bool {
        !self.is_test && (self.path.starts_with("src/") || self.path.starts_with("loadtest/src/"))
    }

    /// `src/http/head.rs` and `src/http.rs` are of the room `http`.
    fn room(&self) -> &str {
        let path = self.path.strip_prefix("src/").unwrap_or_default();
        path.split(['/', '.']).next().expect("split gives one part at least")
    }

    fn rooms_named(&self) -> BTreeSet<String> {
        let mut named = rooms(&self.code, "crate::");
        named.extend(rooms(&self.code, "ringway::"));
        let room = self.room();
        if self.path == format!("src/{room}.rs") || self.path == format!("src/{room}/mod.rs") {
            named.extend(rooms(&self.code, "super::"));
        }
        named.remove("");
        named
    }

    fn words_of(&self, words: &'static str) -> Vec<&'static str> {
        words.split(' ').filter(|word| has_word(&self.code, word)).collect()
    }

    /// Lines up to the tests at the end; tests in the middle count as blank.
    fn production_lines(&self) -> usize {
        let lines: Vec<&str> = self.text.lines().collect();
        let end = lines.iter().position(|line| line.starts_with("#[cfg(test)]")).filter(|at| {
            lines.get(at + 1).is_some_and(|next| next.contains("mod ") && next.ends_with('{'))
        });
        end.unwrap_or(lines.len())
    }
}

// === impl Finding ===

impl Finding {
    fn of_file(file: &Source, text: &str) -> Finding {
        Finding { name: file.path.clone(), text: format!("{}: {text}", file.path) }
    }

    fn named(file: &Source, what: &str, text: &str) -> Finding {
        let name = format!("{} {what}", file.path);
        Finding { text: format!("{name}: {text}"), name }
    }
}

// === comparing ===

fn compare(rule: &str, findings: &[Finding], exceptions: Exceptions) {
    let mut report = String::new();
    for finding in findings {
        if !exceptions.iter().any(|(name, _)| *name == finding.name) {
            let _ = writeln!(report, "  {}", finding.text);
        }
    }
    for (name, why) in exceptions {
        assert!(!why.is_empty(), "{name}: an exception needs a reason");
        if !findings.iter().any(|finding| finding.name == *name) {
            let _ = writeln!(report, "  not needed any more: the exception \"{name}\"");
        }
    }
    assert!(report.is_empty(), "{rule}:\n{report}");
}

// === reading the tree ===

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Calls `seen` with every file's path from the root, but for what builds leave behind.
fn walk(folder: &Path, seen: &mut impl FnMut(&str)) {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .expect("a folder of the repository can be read")
        .map(|entry| entry.expect("an entry can be read").path())
        .collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().and_then(|name| name.to_str()).expect("names are UTF-8");
        if path.is_dir() {
            if !name.starts_with('.') && !["target", "corpus", "artifacts"].contains(&name) {
                walk(&path, seen);
            }
        } else {
            let path = path.strip_prefix(root()).expect("below the root");
            seen(path.to_str().expect("paths are UTF-8"));
        }
    }
}

fn sources() -> impl Iterator<Item = Source> {
    let mut files = BTreeMap::new();
    walk(root(), &mut |path| {
        if path.ends_with(".rs") {
            files.insert(path.to_owned(), read(path));
        }
    });
    let mut test_modules = BTreeSet::new();
    let mut all = Vec::new();
    for (path, text) in files {
        let (code, modules) = without_tests(&blanked(&text));
        let folder = ["/mod.rs", "/lib.rs", "/main.rs", ".rs"]
            .iter()
            .find_map(|end| path.strip_suffix(end))
            .expect("a path ends in one of them");
        test_modules.extend(modules.iter().map(|module| format!("{folder}/{module}")));
        all.push(Source { path, text, code, is_test: false });
    }
    for file in &mut all {
        let stem = file.path.trim_end_matches(".rs");
        let declared = stem
            .match_indices('/')
            .map(|(at, _)| &stem[..at])
            .chain([stem])
            .any(|part| test_modules.contains(part));
        file.is_test = declared || stem.ends_with("_tests");
    }
    all.into_iter()
}

fn production() -> impl Iterator<Item = Source> {
    sources().filter(Source::is_production)
}

fn layer(room: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&room))
}
