//! From files to one tree: reads the named file and what it includes, and merges their objects.
//! Every bound on files is kept here: their size, their number, how deep they include each other.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::diagnostic::{Diagnostic, Place};
use super::read;
use super::report::Report;
use super::schema::{self, Kind};
use super::section::{Section, quoted};
use super::spot::Spot;
use super::tree::{self, Entry, Node, Table, Value};
use super::types::Config;
use super::units::{Bad, show_size};
use crate::bounds::{CONFIG_FILE_BYTES_MAX, CONFIG_FILES_MAX, CONFIG_INCLUDE_DEPTH_MAX};

/// A configuration without a mistake.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// What is allowed and probably not meant.
    pub warnings: Vec<Diagnostic>,
    /// The files it came from, the named one first; these are what a watcher watches.
    pub files: Vec<PathBuf>,
}

/// Reads `path` and all it includes.
///
/// # Errors
/// Every mistake found, in the order of the files; of a text that is not TOML only its syntax.
pub fn load(path: &Path) -> Result<Loaded, Vec<Diagnostic>> {
    let report = Report::default();
    let mut files = Files::new(&report);
    files.add(path, None, 0);
    let Files { merged, names, known, .. } = files;
    finish(&merged, report, &names, known.into_iter().map(|(path, _)| path).collect())
}

/// Reads a text as the file of this name; nothing is opened. `include` is refused.
///
/// # Errors
/// As [`load`].
pub fn parse_str(text: &str, file_name: &str) -> Result<Loaded, Vec<Diagnostic>> {
    let report = Report::default();
    let mut files = Files::new(&report);
    if let Some(entry) = files.merge(text, file_name) {
        let node = &entry.node;
        let spot = Spot { node, path: "include".to_owned(), report: &report };
        spot.error("files are not included from a text", "load the file instead");
    }
    let Files { merged, names, .. } = files;
    finish(&merged, report, &names, Vec::new())
}

fn finish(
    merged: &Table,
    report: Report,
    names: &[String],
    files: Vec<PathBuf>,
) -> Result<Loaded, Vec<Diagnostic>> {
    // A text that is not TOML holds half its objects: what else it seems to lack would mislead.
    if report.has_errors() {
        return Err(report.finish(names).expect_err("it has errors"));
    }
    let file = Arc::from(names.first().map_or("-", String::as_str));
    let root = Section::root(merged, Place { file, line: 0, column: 0 }, &report);
    let config = read::config(&root);
    let warnings = report.finish(names)?;
    Ok(Loaded { config, warnings, files })
}

/// All files of one load.
struct Files<'r> {
    /// The objects of all files read so far.
    merged: Table,
    report: &'r Report,
    /// Files as they were named, in the order they were read; a place's file is one of these.
    names: Vec<String>,
    /// The files as they are opened, each beside its path without symbolic links and `..`.
    known: Vec<(PathBuf, PathBuf)>,
}

// === impl Files ===

impl<'r> Files<'r> {
    fn new(report: &'r Report) -> Files<'r> {
        Files { merged: Table::new(), report, names: Vec::new(), known: Vec::new() }
    }

    /// Reads one file and, after it, those it includes.
    fn add(&mut self, path: &Path, by: Option<&Spot<'_>>, depth: usize) {
        match self.open(path, depth) {
            Ok(text) => {
                if let Some(entry) = self.merge(&text, &path.display().to_string()) {
                    self.includes(&entry, path.parent().unwrap_or(Path::new("")), depth + 1);
                }
            }
            Err(bad) => match by {
                Some(spot) => {
                    spot.error(&format!("{}: {}", path.display(), bad.message), &bad.remedy);
                }
                None => self.report.error(Diagnostic {
                    place: Place { file: path.display().to_string().into(), line: 0, column: 0 },
                    key: String::new(),
                    value: None,
                    message: bad.message,
                    remedy: bad.remedy,
                }),
            },
        }
    }

    /// The text of a file that has not been read yet.
    fn open(&mut self, path: &Path, depth: usize) -> Result<String, Bad> {
        if depth > CONFIG_INCLUDE_DEPTH_MAX {
            let message = format!("included more than {CONFIG_INCLUDE_DEPTH_MAX} files deep");
            return Err(Bad::new(&message, "include it from a file further up"));
        }
        if self.known.len() >= CONFIG_FILES_MAX {
            let message = format!("more than {CONFIG_FILES_MAX} files");
            return Err(Bad::new(&message, "put several objects into one file"));
        }
        let unreadable = |error| Bad::new(&format!("cannot be read: {error}"), "check the path");
        let real = path.canonicalize().map_err(unreadable)?;
        if let Some((first, _)) = self.known.iter().find(|(_, known)| *known == real) {
            let message = format!("included again; it was read before as {}", first.display());
            return Err(Bad::new(&message, "a file is read once, and never includes itself"));
        }
        let mut bytes = Vec::new();
        let bounded = File::open(path).map(|file| file.take(CONFIG_FILE_BYTES_MAX + 1));
        bounded.and_then(|mut file| file.read_to_end(&mut bytes)).map_err(unreadable)?;
        if u64::try_from(bytes.len()).is_ok_and(|len| len > CONFIG_FILE_BYTES_MAX) {
            let message = format!("larger than {}", show_size(CONFIG_FILE_BYTES_MAX));
            return Err(Bad::new(&message, "split it with `include`"));
        }
        self.known.push((path.to_owned(), real));
        String::from_utf8(bytes).map_err(|error| {
            let good = error.utf8_error().valid_up_to();
            let line = 1 + error.as_bytes().iter().take(good).filter(|b| **b == b'\n').count();
            Bad::new(&format!("not UTF-8 (line {line})"), "save it as UTF-8")
        })
    }

    /// Puts the objects of a text beside those of the files before; returns its `include`.
    fn merge(&mut self, text: &str, name: &str) -> Option<Entry> {
        self.names.push(name.to_owned());
        let mut table = match tree::parse(text, &Arc::from(name)) {
            Ok(table) => table,
            Err(errors) => {
                errors.into_iter().for_each(|error| self.report.error(error));
                return None;
            }
        };
        let include = table.remove("include");
        for (key, entry) in table {
            let before = self.merged.get_mut(&key).map(|entry| &mut entry.node.value);
            match (entry.node.value, before) {
                // The tables of named objects are one over all files; each object stands in one.
                (Value::Table(objects), Some(Value::Table(before))) if is_named(&key) => {
                    for (name, object) in objects {
                        put(before, self.report, &format!("{key}.{}", quoted(&name)), name, object);
                    }
                }
                (value, _) => {
                    let node = Node { value, place: entry.node.place };
                    let entry = Entry { place: entry.place, node };
                    put(&mut self.merged, self.report, &key.clone(), key, entry);
                }
            }
        }
        include
    }

    fn includes(&mut self, entry: &Entry, directory: &Path, depth: usize) {
        let path = "include".to_owned();
        let spot = Spot { node: &entry.node, path, report: self.report };
        if !matches!(entry.node.value, Value::List(_)) {
            return spot.expected("a list");
        }
        for spot in spot.each() {
            if !spot.is_text("a path, `*` allowed in its last part") {
                continue;
            }
            match found(directory, spot.text()) {
                Ok(paths) => paths.iter().for_each(|path| self.add(path, Some(&spot), depth)),
                Err(bad) => spot.error(&bad.message, &bad.remedy),
            }
        }
    }
}

fn is_named(key: &str) -> bool {
    schema::find("", key).is_some_and(|row| matches!(row.kind, Kind::Named))
}

/// Adds an object, unless one of its name is there.
fn put(table: &mut Table, report: &Report, path: &str, key: String, entry: Entry) {
    if let Some(first) = table.get(&key) {
        report.error(Diagnostic {
            place: entry.place,
            key: path.to_owned(),
            value: None,
            message: format!("written twice; the first is at {}", first.place),
            remedy: "remove or rename one of them".to_owned(),
        });
        return;
    }
    table.insert(key, entry);
}

/// The files a path of `include` stands for, in the order of their names.
fn found(directory: &Path, text: &str) -> Result<Vec<PathBuf>, Bad> {
    if text.is_empty() {
        return Err(Bad::new("not a path to a file", "write \"conf.d/*.toml\""));
    }
    let path = directory.join(text);
    let (Some(parent), Some(last)) = (path.parent(), path.file_name().and_then(|l| l.to_str()))
    else {
        return Err(Bad::new("not a path to a file", "write \"conf.d/*.toml\""));
    };
    if Path::new(text).parent().is_some_and(|parent| parent.to_string_lossy().contains('*')) {
        let message = "a `*` before the last part of the path";
        return Err(Bad::new(message, "include each directory by a path of its own"));
    }
    if !last.contains('*') {
        return Ok(vec![path]);
    }
    let at = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let entries = std::fs::read_dir(at).map_err(|error| {
        let message = format!("{}: cannot be listed: {error}", parent.display());
        Bad::new(&message, "create the directory, or correct the path")
    })?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.') && matches(last, name))
        .take(CONFIG_FILES_MAX + 1)
        .collect();
    names.sort();
    Ok(names.into_iter().map(|name| parent.join(name)).collect())
}

/// Whether a name is of the pattern, in which `*` stands for any run of characters.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        // The earliest place a middle part fits leaves the most for those after it.
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run() {
        for (pattern, name, fits) in [
            ("*.toml", "a.toml", true),
            ("*.toml", ".toml", true),
            ("*.toml", "a.toml.bak", false),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "abbcbc", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("*", "", true),
            ("ab", "ab", true),
            ("ab", "abc", false),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }
}
